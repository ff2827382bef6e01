"""The grammar of picture prompts: words with spans -> noun phrases with their attributes.

A rule-based reader in two passes: every word gets a part of speech from the lists of prompt_lexicon.py, its ending and its right
neighbours; then one scan from left to right builds the phrases. No model, no download, linear in the length of the text.

What it does not know: which of several nouns a trailing clause means ("a cat and a dog that are black" gives "black" to the dog, the
nearest), gapping ("a red and a blue car" leaves "red" without an object), or languages other than English. The page lets users correct it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from uncage_demo.prompt import lexicon as lex
from uncage_demo.prompt.words import Span

# Words that a closed vocabulary need not hold: the picture is the same without them
_PLAIN_WORDS = lex.PLAIN_RELATIONS | lex.DEGREE_WORDS | {"it", "they", "them", "there", "itself", "both", "all", "1", "one"}

DET, CONJ, REL, COP, DESCRIBE, RELATION, VERB, NEG, OTHER, FRAME, POSS = range(11)
NOUN, ATTR, ADV, DUAL, SUFFIX, PART, POSITION, BREAK, STOP = range(11, 20)

_ADJECTIVE_ENDINGS = ("ful", "ous", "ish", "less", "able", "ible", "ic", "al", "ive", "y", "like", "ern")


@dataclass
class Phrase:
    """A noun phrase under construction: word indices of the object, and of each attribute."""

    object: tuple[int, ...]
    attributes: list[tuple[int, ...]] = field(default_factory=list)


@dataclass(frozen=True)
class Meaning:
    """What a closed vocabulary says of a word: kind "object", "color" or "other", canonical form, and how many words it spans."""

    kind: str
    name: str
    length: int = 1


@dataclass
class Reading:
    """Result of `read`.

    Args:
        phrases: noun phrases in order.
        loose: attribute words that belong to none.
        unknown: words that a closed vocabulary does not cover.
        tags: part of speech of each word.
    """

    phrases: list[Phrase]
    loose: list[int]
    unknown: list[int]
    tags: list[int]


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
            tags[i] = ATTR if direct[i] else VERB
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
        elif tag == VERB and spans[i].lower.endswith("ing") and direct[i]:
            tags[i] = ATTR
    for i in range(n):
        before, after = tags[i - 1] if i else STOP, tags[i + 1] if i + 1 < n else STOP
        lower = spans[i].lower
        if (tags[i] == ATTR and before == NOUN and lower.endswith(("ing", "ed")) and lower not in lex.ADJECTIVES | lex.COLORS) or (
            tags[i] == NOUN and i and _makes_verb(spans, i)
        ):
            tags[i] = VERB
        elif tags[i] == VERB and before in (DET, ATTR) and not lower.endswith("ing"):
            tags[i] = NOUN
        elif tags[i] == NOUN and before == NOUN and after == DET and lower.endswith("s") and not lower.endswith("ss"):
            tags[i] = VERB
    return tags, leads, direct


_STUFF = frozenset(
    ("wood", "metal", "steel", "iron", "glass", "stone", "leather", "plastic", "gold", "silver", "marble", "brick", "wooden")
)


def _same_kind(lower: str, joined: str) -> bool:
    """Whether two words joined by "and" are both colours or both materials ("gold and silver"; not "a white glass and red flowers")."""
    return lower in lex.DUALS and ((lower in lex.COLORS and joined in lex.COLORS) or (lower in _STUFF and joined in _STUFF))


def _makes_verb(spans: Sequence[Span], i: int) -> bool:
    """Whether the words before make a verb of word i: "it rains", "about to jump"."""
    before = spans[i - 1].lower
    infinitive = before == "to" and i > 1 and spans[i - 2].lower in lex.BEFORE_INFINITIVES
    return infinitive or before in ("it", "he", "she", "they", "we", "who")


def _requests(spans: Sequence[Span]) -> set[int]:
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
            if lower in ("style", "styles", "theme") and k and after != "of":
                first = k
                while first and tags[segment[first - 1]] not in (DET, BREAK, RELATION, CONJ):
                    first -= 1
                if first and tags[segment[first - 1]] in (RELATION, DET):
                    found.update(segment[first : k + 1])
    return found


def _compounds(spans: Sequence[Span]) -> list[int]:
    """Where a name of two words begins ("hot dog", "teddy bears")."""
    pairs = ((i, spans[i].lower, spans[i + 1].lower) for i in range(len(spans) - 1) if not spans[i].stop and not spans[i + 1].stop)
    return [i for i, first, second in pairs if {(first, second), (first, second.removesuffix("s"))} & lex.COMPOUNDS]


def read(spans: Sequence[Span], meanings: Sequence[Meaning | None] | None = None) -> Reading:
    """Noun phrases of a text.

    Args:
        spans: words and breaks in order (`split`).
        meanings: None for an open vocabulary; else what the closed vocabulary says of each span (None = not in it, and for breaks).

    Returns:
        phrases whose indices count words only (breaks are not counted).
    """
    return _Reader(spans, meanings).run()


class _Reader:
    """The left-to-right scan; its fields are the state that a reader of the sentence would keep in mind."""

    def __init__(self, spans: Sequence[Span], meanings: Sequence[Meaning | None] | None) -> None:
        self.spans, self.meanings = spans, meanings
        base = [BREAK if s.stop else base_tag(s.lower) for s in spans]
        self.unknown = [False] * len(spans)
        if meanings is not None:
            base = [self._closed_tag(i, tag) for i, tag in enumerate(base)]
        else:
            passed = _requests(spans) | style_spans(spans, base)
            base = [OTHER if i in passed and tag != BREAK else tag for i, tag in enumerate(base)]
            for i in _compounds(spans):
                base[i] = base[i + 1] = NOUN
        self.tags, self.leads, self.direct = settle(spans, base, guess=meanings is None)
        counted = 0
        self.words = [span for span in spans if not span.stop]
        self.word_of: list[int] = []
        for span in spans:
            self.word_of.append(counted)
            counted += not span.stop
        self.phrases: list[Phrase] = []
        self.loose: list[int] = []
        self.pending: list[tuple[int, ...]] = []  # attributes that wait for their noun
        self.last: Phrase | None = None  # the nearest noun phrase
        self.head: Phrase | None = None  # the nearest one that no preposition introduced: what "is red" speaks of
        self.target: Phrase | None = None  # set after "is", "painted", "in": what a bare attribute describes
        self.definite: list[bool] = []  # for each phrase, whether "the" introduced it
        self.by_relation = self.relative = self.negated = self.owns = self.the = False

    def _closed_tag(self, i: int, tag: int) -> int:
        """The tag of span i under the closed vocabulary; notes the words it does not cover."""
        assert self.meanings is not None
        meaning, lower = self.meanings[i], self.spans[i].lower
        if tag == BREAK:
            return tag
        if meaning is None:
            plain = tag in (DET, CONJ, REL, COP, DESCRIBE) or lower in _PLAIN_WORDS
            frame = tag == FRAME and i + 1 < len(self.spans) and self.spans[i + 1].lower == "of"
            self.unknown[i] = not (plain or frame)
            return tag
        if meaning.kind == "object":
            return NOUN
        if meaning.kind == "color":
            return DUAL if tag == DUAL else ATTR
        return OTHER if tag in (NOUN, DUAL, SUFFIX, PART, VERB, POSITION, FRAME, NEG) else tag

    def run(self) -> Reading:
        """Scan once from left to right."""
        i = 0
        while i < len(self.spans):
            i = self._step(i)
        self._drop_pending()
        unknown = [self.word_of[i] for i, flag in enumerate(self.unknown) if flag]
        tags = [tag for tag, span in zip(self.tags, self.spans, strict=True) if not span.stop]
        return Reading(self.phrases, sorted(set(self.loose)), unknown, tags)

    def _step(self, i: int) -> int:
        """Read the word at i; returns the index of the next one to read."""
        tag, lower = self.tags[i], self.spans[i].lower
        color_follows = i + 1 < len(self.spans) and self.tags[i + 1] == ATTR and self.spans[i + 1].lower in lex.COLORS
        if lower in lex.SHADES and color_follows and tag in (NOUN, ATTR) and self.meanings is None:
            self._attribute((i, i + 1), i + 1)
            return i + 2
        if tag == NOUN:
            return self._noun(i)
        if tag == ATTR:
            self._attribute((i,), i)
        elif tag == BREAK:
            if self.spans[i].stop == 2:
                self._drop_pending()
                self.head = self.target = None
                self.negated = self.by_relation = self.owns = False
        elif tag == DET:
            self._drop_pending()
            self.target, self.the = None, lower == "the"
        elif tag == RELATION:
            self._drop_pending()
            described = i > 0 and self.tags[i - 1] == DESCRIBE
            self.target = self.target if described else (self.last if lower == "in" else None)
            self.by_relation = not (i > 0 and self.tags[i - 1] == FRAME)
            self.relative, self.owns = False, lower in ("with", "has", "have", "having")
        elif tag == REL:
            self.relative = True
        elif tag in (COP, DESCRIBE):
            self._drop_pending()
            self.target = self.last if self.relative or tag == DESCRIBE else (self.head or self.last)
            self.relative = False
        elif tag == NEG:
            self._drop_pending()
            self.negated = True
        elif tag == VERB:
            self._drop_pending()
            self.target, self.by_relation, self.owns, self.relative = None, True, False, False
        elif tag == FRAME:
            self._drop_pending()
        return i + 1

    def _drop_pending(self) -> None:
        self.loose += [self.word_of[i] for group in self.pending for i in group]
        self.pending = []

    def _attribute(self, group: tuple[int, ...], end: int) -> None:
        """An attribute whose last word is span `end`: wait for a noun, or describe one that came before."""
        if any(self.unknown[i] for i in group):
            return
        words = tuple(self.word_of[i] for i in group)
        noun_before = group[0] > 0 and self.tags[group[0] - 1] == NOUN
        if self.negated and not self.leads[end]:
            self.negated = False
        elif self.direct[end] or (self.leads[end] and self.target is None):
            self.pending.append(group)
        elif self.target is not None:
            self.target.attributes.append(words)
        elif noun_before and self.last is not None:
            self.last.attributes.append(words)
        else:
            self.loose += words

    def _noun(self, i: int) -> int:
        """The run of nouns that begins at i."""
        j = i + 1
        while j < len(self.spans) and self.tags[j] == NOUN and not self._is_known_color(j):
            j += 1
        if self._describes_before(i):
            self._attribute((i,), i)
            return i + 1
        if self.meanings is not None:
            return self._closed_nouns(i, j)
        group = tuple(range(i, j))
        has_owner_sign = j < len(self.spans) and self.tags[j] == POSS
        if has_owner_sign and j + 1 < len(self.spans) and (self.tags[j + 1] == NOUN or (self.tags[j + 1] == ATTR and self.direct[j + 1])):
            self.pending.append(group)
            return j + 1
        words = tuple(self.word_of[k] for k in group)
        owner = self.head or self.last
        if self.negated:
            self.pending, self.negated = [], False
        elif j < len(self.spans) and self.tags[j] == FRAME:  # "an oil painting of"
            self._drop_pending()
        elif self.owns and owner is not None and self.spans[j - 1].lower in lex.BODY_PARTS:
            described = tuple(self.word_of[k] for g in self.pending for k in g)
            owner.attributes.append((*described, *words))
            self.pending, self.by_relation = [], False
        else:
            self._add(group)
        return j

    def _describes_before(self, i: int) -> bool:
        """Whether a colour or material that could be a thing describes the noun before it: "is orange", "made of glass", "car orange"."""
        lower = self.spans[i].lower
        if lower not in lex.DUALS:
            return False
        if self.target is not None:
            return True
        return self._is_known_color(i) and self.last is not None and self.tags[i - 1] == NOUN

    def _is_known_color(self, i: int) -> bool:
        meaning = self.meanings[i] if self.meanings is not None else None
        return meaning is not None and meaning.kind == "color"

    def _closed_nouns(self, i: int, j: int) -> int:
        """Nouns i .. j - 1 under a closed vocabulary: each one it knows is an object of its own."""
        assert self.meanings is not None
        if self.negated or self._owns_known(j):
            for k in range(i, j):
                self.unknown[k] = True
            self.negated, self.pending = False, []
            return j
        known = False
        k = i
        while k < j:
            meaning = self.meanings[k]
            length = meaning.length if meaning else 1
            if meaning is not None and meaning.kind == "object":
                known = True
                self._add(tuple(range(k, k + length)))
            else:
                self.unknown[k] = True
            k += length
        if not known:
            self.pending, self.last, self.head = [], None, None
        return j

    def _owns_known(self, j: int) -> bool:
        """Whether span j makes the nouns before it the owner of a thing that the closed vocabulary knows ("a dog's red bowl")."""
        assert self.meanings is not None
        if j >= len(self.spans) or self.tags[j] != POSS:
            return False
        k = j + 1
        while k < len(self.spans) and self.tags[k] in (NOUN, ATTR, ADV):
            meaning = self.meanings[k]
            if meaning is not None and meaning.kind == "object":
                return True
            k += 1
        return False

    def _add(self, group: tuple[int, ...]) -> None:
        """A noun phrase made of the spans in `group`, or one more mention of an earlier phrase ("a cat and a car. The car is red")."""
        words = tuple(self.word_of[i] for i in group)
        named = [self.spans[i].lower for i in group]
        phrase = None
        if self.the and not self.pending:
            phrase = next((p for p, t in zip(self.phrases, self.definite, strict=True) if not t and self._name(p) == named), None)
        if phrase is None:
            phrase = Phrase(words, [tuple(self.word_of[i] for i in g) for g in self.pending])
            self.phrases.append(phrase)
            self.definite.append(self.the)
        self.last, self.target, self.pending = phrase, None, []
        if not self.by_relation:
            self.head = phrase
        self.by_relation = self.the = False

    def _name(self, phrase: Phrase) -> list[str]:
        return [self.words[i].lower for i in phrase.object]
