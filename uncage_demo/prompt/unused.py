"""Which of the words that a closed vocabulary does not hold name something to draw, and which are only read over.

A word that names an object or a colour is *unknown*: it is named, with near words. Every other word (verbs, materials, parts of a body,
light, style, requests, owners, what is to be left out) is *unused*: the picture is drawn without it, and the page shows so.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from itertools import pairwise

from uncage_demo.prompt import lexicon as lex
from uncage_demo.prompt.grammar import Meaning, Reading
from uncage_demo.prompt.tagging import ADV, ATTR, CONJ, DET, FRAME, NEG, NOUN, POSS, is_no_thing
from uncage_demo.prompt.words import Span
from uncage_demo.types import Vocabulary

_NO_OBJECT = (
    lex.BODY_PARTS
    | lex.STYLE_WORDS
    | lex.SCENE_WORDS
    | lex.FRAMES
    | lex.REQUESTS
    | lex.POSITIONS
    | lex.VERBS
    | lex.RELATIONS
    | lex.DEGREE_WORDS
    | lex.ADJECTIVES
    | lex.PRONOUNS
    | lex.DESCRIBING_PARTICIPLES
    | lex.COPULAS
    | lex.CONJUNCTIONS
    | lex.NEGATIONS
    | {"'s", "'"}
)
_MANY_COLORS = frozenset(["colorful", "colourful", "multicolored", "multicoloured", "rainbow"])
# How alike a modifier must be to a word of the vocabulary to be taken for a misspelling of it (0..1)
_MISSPELT = 0.8


def split_unknown(
    words: Sequence[Span], breaks: Sequence[bool], meanings: Sequence[Meaning | None], reading: Reading, vocabulary: Vocabulary
) -> tuple[set[int], set[int]]:
    """(unused, unknown) word indices of a reading's unknown words.

    Args:
        words: the words, without breaks.
        breaks: for each word, whether a comma, full stop or the like stands before it.
        meanings: what the vocabulary says of each word.
        reading: the grammar's reading of them.
        vocabulary: what the model can draw.
    """
    tail = _style_tail(words, breaks, meanings, reading)
    unused, unknown = set(), set()
    for index in reading.unknown:
        named = index not in tail and _names_something(index, words, breaks, meanings, reading, vocabulary)
        (unknown if named else unused).add(index)
    return unused, unknown


def colors_of_nothing(
    words: Sequence[Span], meanings: Sequence[Meaning | None], taken: set[int], unused: set[int], loose: Sequence[int]
) -> set[int]:
    """Colours of what is not drawn: of a part ("black ears"), of the background, of the photo. Other loose colours are left to be told.

    Args:
        words, meanings: the words and what the vocabulary says of each.
        taken: words that belong to a subject.
        unused: words that are read over.
        loose: attributes without an object, as the grammar found them.
    """
    colors = {i for i, meaning in enumerate(meanings) if meaning is not None and meaning.kind == "color" and i not in taken}
    found = set()
    for index in colors:
        k = index + 1
        while k < len(words) and (k in colors or words[k].lower in ("and", "or", "&") or words[k].lower in lex.ADJECTIVES):
            k += 1
        of_nothing = (
            k < len(words)
            and (k in unused or words[k].lower in lex.FRAMES | lex.SCENE_WORDS)
            and words[k].lower not in lex.VERBS | lex.RELATIONS
        )
        if of_nothing or index not in loose:
            found.add(index)
    return found


def _names_something(
    index: int,
    words: Sequence[Span],
    breaks: Sequence[bool],
    meanings: Sequence[Meaning | None],
    reading: Reading,
    vocabulary: Vocabulary,
) -> bool:
    lower, tag = words[index].lower, reading.tags[index]
    meaning = meanings[index]
    if meaning is not None:  # a colour in the place of an object ("an orange"); an object that is an owner or that is left out is read over
        return meaning.kind != "object"
    if lower in _MANY_COLORS:
        return False
    near = vocabulary.canonical(lex.NEAR_MEANINGS.get(lower, ""))
    if lower in lex.COLORS or (near in vocabulary.colors and tag != NOUN):
        return True
    if (lower in _NO_OBJECT or _is_no_name(lower)) and near not in vocabulary.objects:
        return False
    before = words[index - 1].lower if index and not breaks[index] else ""
    if tag != NOUN or is_no_thing(lower, before) or _repeats(index, words, breaks, meanings, near):
        return False
    return not _modifies(index, words, breaks, meanings, reading, vocabulary)


def _counts_what_follows(words: Sequence[Span], i: int, end: int) -> bool:
    """Whether word i says how many of what follows there are; the number at the end of "unreal engine 5" says nothing."""
    return words[i].lower in lex.COUNTS and i + 1 < end


def _is_no_name(lower: str) -> bool:
    """Whether a word is no name of a thing by its form: one letter, or letters with a number ("85mm", "1080p")."""
    return lower.isascii() and (len(lower) == 1 or any(sign.isdigit() for sign in lower))


def _repeats(index: int, words: Sequence[Span], breaks: Sequence[bool], meanings: Sequence[Meaning | None], near: str) -> bool:
    """Whether an unknown noun belongs to the known thing right before it: its longer name ("bow tie") or its own ("my dog Rex")."""
    before = meanings[index - 1] if index and not breaks[index] else None
    if before is None or before.kind != "object":
        return False
    return before.name == near or (words[index].text[0].isupper() and words[index - 1].text.islower())


def _modifies(
    index: int,
    words: Sequence[Span],
    breaks: Sequence[bool],
    meanings: Sequence[Meaning | None],
    reading: Reading,
    vocabulary: Vocabulary,
) -> bool:
    """Whether an unknown noun, no misspelling, only describes what follows: a known thing ("polar bear", "Anna's cat") or the picture."""
    k = index + 1
    while k < len(words) and not breaks[k] and meanings[k] is None and reading.tags[k] in (NOUN, ATTR, ADV, POSS):
        k += 1
    if k < len(words) and reading.tags[k] == FRAME:  # "an oil painting of"
        return True
    follows = k < len(words) and not breaks[k] and meanings[k] is not None
    meaning = meanings[k] if follows else None
    if meaning is None or meaning.kind not in ("object", "color") or (meaning.kind == "color" and reading.tags[k] != ATTR):
        return False
    lower = words[index].lower
    if len(lower) < 4:
        return True
    near = lex.NEAR_MEANINGS.get(lower)
    known = (*vocabulary.objects, *vocabulary.colors)
    return near not in known and not difflib.get_close_matches(lower, known, n=1, cutoff=_MISSPELT)


def _style_tail(words: Sequence[Span], breaks: Sequence[bool], meanings: Sequence[Meaning | None], reading: Reading) -> set[int]:
    """Words of style: after "in the style of" and "by" with a name, and the segments behind commas that hold no object, colour or article.

    Where the objects have no articles or numbers ("cat, pizza"), only a segment with a word of style begins the tail ("cat, studio photo").
    """
    tail: set[int] = set()
    for i, word in enumerate(words):
        styled = word.lower == "style" and i + 1 < len(words) and words[i + 1].lower == "of"
        artist = word.lower == "by" and i + 1 < len(words) and words[i + 1].text[:1].isupper() and not words[i + 1].text.isupper()
        if not (styled or artist) or (artist and meanings[i + 1] is not None):
            continue
        k = i + 1
        while k < len(words) and not breaks[k]:
            tail.add(k)
            k += 1
    first = next((i for i, meaning in enumerate(meanings) if meaning is not None and meaning.kind == "object"), None)
    if first is None:
        return tail
    styled = any(reading.tags[i] == DET or words[i].lower in lex.COUNTS for i in range(first))
    starts = [i for i in range(len(words)) if breaks[i]] + [len(words)]
    for start, end in pairwise(starts):
        segment = range(start, end)
        bare = not any(reading.tags[i] in (DET, NEG, CONJ) or _counts_what_follows(words, i, end) for i in segment)
        bare = bare and not any(meanings[i] is not None and meanings[i].kind != "other" for i in segment)  # type: ignore[union-attr]
        styled = styled or (bare and any(words[i].lower in lex.STYLE_NOUNS for i in segment))
        if start > first and bare and styled:
            tail.update(segment)
    return tail
