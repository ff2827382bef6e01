"""Parts of speech of a prompt's words: from the lists of lexicon.py, their endings and their neighbours; and what is request or style.

Which words make up a noun phrase is told by `grammar`, from these tags.
"""

from __future__ import annotations

from collections.abc import Sequence

from uncage_demo.prompt import lexicon as lex
from uncage_demo.prompt.words import Span

DET, CONJ, REL, COP, DESCRIBE, RELATION, VERB, NEG, OTHER, FRAME, POSS = range(11)
NOUN, ATTR, ADV, DUAL, SUFFIX, PART, POSITION, BREAK, STOP = range(11, 20)

_ADJECTIVE_ENDINGS = ("ful", "ous", "ish", "less", "able", "ible", "ic", "al", "ive", "y", "like", "ern")


def base_tag(lower: str) -> int:
    """Part of speech of a word on its own; DUAL, SUFFIX, PART, POSITION, FRAME and ADV are settled by their neighbours."""
    lists = (
        ({"'s", "'"}, POSS),
        (lex.DETERMINERS, DET),
        (lex.CONJUNCTIONS, CONJ),
        (lex.RELATIVES, REL),
        (lex.COPULAS, COP),
        (lex.NEGATIONS, NEG),
        (lex.RELATIONS, RELATION),
        (lex.NUMBERS | lex.PRONOUNS, OTHER),
        (lex.DEGREE_WORDS | lex.STYLE_WORDS, ADV),
        (lex.DESCRIBING_PARTICIPLES, DESCRIBE),
        (lex.POSITIONS, POSITION),
        (lex.FRAMES, FRAME),
        (lex.DUALS, DUAL),
        (lex.COLORS | lex.ADJECTIVES, ATTR),
        (lex.VERBS, VERB),
        (lex.IRREGULAR_PARTICIPLES, PART),
        (lex.NOUN_ENDINGS_KEPT, NOUN),
    )
    for words, tag in lists:
        if lower in words:
            return tag
    if lower.isdigit():
        return OTHER
    if "-" in lower and lower.rsplit("-", 1)[1] in lex.COLORS | lex.ADJECTIVES | lex.DESCRIBING_PARTICIPLES:
        return ATTR
    if len(lower) > 4:
        if lower.endswith(("ing", "ed")):
            return PART
        if lower.endswith("ly"):
            return ADV
        if lower.endswith(_ADJECTIVE_ENDINGS) and not lower.endswith("fish"):
            return SUFFIX
    return NOUN


def settle(spans: Sequence[Span], tags: list[int], guess: bool = True) -> tuple[list[int], list[bool], list[bool]]:
    """Settle the open tags from right to left (then verbs from left to right).

    Args:
        spans, tags: words and breaks, and their open tags.
        guess: whether a word of no list may be an adjective by its place ("the sleek black suitcase").

    Returns:
        tags, `leads` (an attribute here reaches a noun to its right, across "and" and commas but no determiner), and `direct` (the
        same without crossing "and" or a comma).
    """
    n = len(tags)
    tags, leads, direct = list(tags), [False] * n, [False] * n
    for i in range(n - 1, -1, -1):
        tag, after = tags[i], tags[i + 1] if i + 1 < n else STOP
        direct[i] = after == NOUN or (after in (ATTR, ADV) and direct[i + 1]) or (after == ADV and tags[i] in (ATTR, ADV) and leads[i + 1])
        k = i + 1
        while k < n and (tags[k] == CONJ or (tags[k] == BREAK and spans[k].stop == 1)):
            k += 1
        joined = k > i + 1 and k < n and tags[k] == ATTR and leads[k]
        if not direct[i] and after == ATTR and leads[i + 1]:
            joined = True
        leads[i] = direct[i] or joined
        before = tags[i - 1] if i else STOP
        described = after == ATTR and direct[i + 1] and spans[i + 1].lower in lex.COLORS | lex.ADJECTIVES
        if guess and tag == NOUN and described and before in (DET, ATTR, ADV, SUFFIX, POSS):
            tags[i], direct[i], leads[i] = ATTR, True, True
        if tag == DUAL:
            tags[i] = ATTR if direct[i] or (joined and _same_kind(spans[i].lower, spans[k].lower)) else NOUN
        elif tag == SUFFIX:
            tags[i] = ATTR if direct[i] else NOUN
        elif tag == PART:
            tags[i] = ATTR if direct[i] and not _happens(spans, tags, i) else VERB
        elif tag == DESCRIBE and direct[i]:
            tags[i] = ADV if spans[i].lower in ("colored", "coloured", "tinted") else ATTR
        elif tag == ADV and not leads[i] and i and tags[i - 1] == DET and spans[i].lower not in lex.DEGREE_WORDS | lex.STYLE_WORDS:
            tags[i] = NOUN
        elif tag == FRAME:
            tags[i] = FRAME if i + 1 < n and spans[i + 1].lower == "of" else NOUN
        elif tag == POSITION:
            tags[i] = NOUN if after == NOUN else OTHER
        elif tag == REL and spans[i].lower == "that" and after in (NOUN, ATTR, ADV):
            tags[i] = DET
        elif tag == VERB and spans[i].lower.endswith("ing") and direct[i] and not _happens(spans, tags, i):
            tags[i] = ATTR
    for i in range(n):
        before, after = tags[i - 1] if i else STOP, tags[i + 1] if i + 1 < n else STOP
        lower = spans[i].lower
        if (
            (tags[i] == ATTR and before == NOUN and lower.endswith(("ing", "ed")) and lower not in lex.ADJECTIVES | lex.COLORS)
            or (tags[i] == NOUN and i and _makes_verb(spans, i))
            or (tags[i] == NOUN and after == DET and _happens(spans, tags, i))
            or (tags[i] == NOUN and before == NOUN and after in (DET, RELATION) and lower in lex.PAST_OR_THING)
        ):
            tags[i] = VERB
        elif tags[i] == VERB and before in (DET, ATTR) and not lower.endswith("ing"):
            tags[i] = NOUN
        elif tags[i] == NOUN and before == NOUN and lower.endswith("s") and not lower.endswith("ss"):
            tags[i] = VERB if after == DET or (after not in (NOUN, POSS) and _does(spans, tags, i)) else NOUN
    return tags, leads, direct


_STUFF = frozenset(
    ("wood", "metal", "steel", "iron", "glass", "stone", "leather", "plastic", "gold", "silver", "marble", "brick", "wooden")
)


def _same_kind(lower: str, joined: str) -> bool:
    """Whether two words joined by "and" are both colours or both materials ("gold and silver"; not "a white glass and red flowers")."""
    return lower in lex.DUALS and ((lower in lex.COLORS and joined in lex.COLORS) or (lower in _STUFF and joined in _STUFF))


def _happens(spans: Sequence[Span], tags: Sequence[int], i: int) -> bool:
    """Whether word i in -ing says what goes on: "is slicing vegetables", "is slowly slicing vegetables"."""
    k = i - 1
    while k >= 0 and tags[k] == ADV:
        k -= 1
    return spans[i].lower.endswith("ing") and k >= 0 and tags[k] == COP


def _does(spans: Sequence[Span], tags: Sequence[int], i: int) -> bool:
    """Whether word i in -s, behind another noun, says what one thing does ("a girl watches"): "a" goes with no plural."""
    if not lex.is_plural(spans[i].lower) or (spans[i - 1].lower, spans[i].lower.removesuffix("s")) in lex.COMPOUNDS:
        return False
    k = i - 1
    while k >= 0 and tags[k] in (NOUN, ATTR, ADV):
        k -= 1
    return k >= 0 and spans[k].lower in ("a", "an", "another", "each", "every", "one")


def _makes_verb(spans: Sequence[Span], i: int) -> bool:
    """Whether the words before make a verb of word i: "it rains", "about to jump"."""
    before = spans[i - 1].lower
    infinitive = before == "to" and i > 1 and spans[i - 2].lower in lex.BEFORE_INFINITIVES
    return infinitive or before in ("it", "he", "she", "they", "we", "who")


def requests(spans: Sequence[Span]) -> set[int]:
    """Words at the start that ask for a picture ("can you please draw me", "show me"), and every "please"."""
    found = {i for i, span in enumerate(spans) if span.lower in ("please", "thanks")}
    for i, span in enumerate(spans):
        after = spans[i + 1].lower if i + 1 < len(spans) else ""
        asked = span.lower in lex.REQUESTS and after != "of"
        plain = span.lower in lex.PLAIN_REQUESTS or after in lex.DETERMINERS | lex.REQUESTS | lex.NUMBERS | {"to"}
        joins = span.stop > 0 or span.lower in ("to", "i'd", "'s", "id")
        if not (asked and plain) and not (joins and i - 1 in found):
            break
        found.add(i)
    return found


def is_no_thing(lower: str, before: str) -> bool:
    """Whether a noun names nothing behind the word before it: "at sunset", "in love"."""
    return (lower in lex.TIMES and before in lex.BEFORE_TIMES) or (lower in lex.MANNERS and before == "in")


def style_spans(spans: Sequence[Span], tags: Sequence[int]) -> set[int]:
    """Words of style: "in the style of X", "in cartoon style", "by X", and the segments behind commas that name a style and what follows.

    A segment is one of style only where it has no article and no number, and something was named before it.
    """
    found: set[int] = set()
    starts = [0, *(i + 1 for i, span in enumerate(spans) if span.stop), len(spans) + 1]
    styled = False
    for number in range(len(starts) - 1):
        segment = range(starts[number], min(starts[number + 1] - 1, len(spans)))
        lowers = [spans[i].lower for i in segment]
        bare = bool(lowers) and not any(tags[i] in (DET, NEG) or spans[i].lower in lex.COUNTS for i in segment)
        bare = bare or (bool(lowers) and lowers[0] == "by")
        named = any(tags[i] in (NOUN, DUAL) for i in range(starts[number]))
        styled = bare and named and (styled or lowers[0] == "by" or any(lower in lex.STYLE_NOUNS for lower in lowers))
        if styled:
            found.update(segment)
            continue
        for k, lower in enumerate(lowers):
            after = lowers[k + 1] if k + 1 < len(lowers) else ""
            artist = lower == "by" and k + 1 < len(lowers) and k > 0 and lowers[k - 1] in lex.FRAMES | lex.STYLE_NOUNS
            if (lower in ("style", "styles") and after in ("of", "by")) or artist:
                found.update(segment[k:])
                break
            medium = lower in lex.MEDIA and after == "on" and k + 2 < len(lowers) and lowers[k + 2] in lex.GROUNDS
            if medium and (k == 0 or tags[segment[k - 1]] != DET):
                found.update(segment[k : k + 3])
            if is_no_thing(lower, lowers[k - 1] if k else ""):
                found.add(segment[k])
            if lower in ("style", "styles", "theme") and k and after != "of":
                first = k
                while first and tags[segment[first - 1]] not in (DET, BREAK, RELATION, CONJ):
                    first -= 1
                if first and tags[segment[first - 1]] in (RELATION, DET):
                    found.update(segment[first : k + 1])
    return found
