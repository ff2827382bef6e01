"""Reading a prompt for a model with a closed vocabulary: what names nothing, what is asked where, and what the model is given.

A text that the model can read as it stands is given to it as it stands. Where it holds words that are read over, says a position before its
object, or says a number in a way that the model has not learned, the model is given a caption of what was understood.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from uncage_demo.prompt import lexicon as lex
from uncage_demo.prompt.caption import caption_of, text_of, tokens_of
from uncage_demo.prompt.grammar import Meaning, Reading
from uncage_demo.prompt.numbers import count_of, number_of
from uncage_demo.prompt.tagging import NOUN, PART, SUFFIX, base_tag
from uncage_demo.prompt.unused import colors_of_nothing, split_unknown
from uncage_demo.prompt.where import PositionReader
from uncage_demo.prompt.words import Span, lowered
from uncage_demo.types import Prompt, TextToken, UnknownWord, Vocabulary, WordKind

MAX_SUGGESTIONS = 3
_SHORTEST_FIRST_PART = 3  # letters before a known name at a word's end that make it a name of two parts
_LONGEST_COMPARED = 40  # characters of an unknown word that are compared with the vocabulary
# Words that are passed over although the vocabulary does not hold them, and that say something: shown as not used
_PASSED_OVER = lex.FRAMES | lex.PLAIN_RELATIONS - {"with", "and", "of", "at", "in", "on", "to", "next", "beside", "wearing", "side"}
# Words that name no thing before "of": "a view of the sea"
_LEADS_ON = lex.FRAMES | lex.POSITIONS | lex.SCENE_WORDS


class TextModel(Protocol):
    """The part of a Backend that parsing needs."""

    @property
    def vocabulary(self) -> Vocabulary | None:
        """What the model can draw; None for open-vocabulary models."""
        ...

    def tokenize(self, text: str) -> tuple[tuple[TextToken, ...], str]:
        """Text tokens with character spans, and the part that was cut off."""
        ...


def understand(prompt: Prompt, spans: Sequence[Span], meanings: Sequence[Meaning | None], reading: Reading, backend: TextModel) -> Prompt:
    """A prompt with the kinds of all its words, the unknown ones, and what the model is given.

    Args:
        prompt: text, tokens, words and subjects as the grammar found them.
        spans: the words and breaks of the text.
        meanings: what the vocabulary says of each word.
        reading: the grammar's reading.
        backend: the model that reads.
    """
    vocabulary = backend.vocabulary
    assert vocabulary is not None
    plain = [span for span in spans if not span.stop]
    breaks = _breaks_before(spans)
    counts = [count_of(prompt.text, plain, s.object, s.attributes, s.noun) for s in prompt.subjects]
    counting = {i for _, words in counts for i in words}
    unused, unknown = split_unknown(plain, breaks, meanings, reading, vocabulary)
    too_many = {i for i in counting if i in unused | unknown and number_of(plain[i].lower) is not None}
    read_over = bool((unused | unknown) - too_many)
    unused, unknown = unused - counting, unknown - counting
    taken = {i for s in prompt.subjects for group in s.groups for i in group}
    of_nothing = colors_of_nothing(plain, meanings, taken, unused, reading.loose) - unknown
    names = [m.name if m is not None and m.kind == "object" else "" for m in meanings]
    where, lost = PositionReader(prompt.text, plain, names, prompt.subjects, vocabulary).read()
    named_places = [(m.name, i) for i, m in enumerate(meanings) if m is not None and m.name in vocabulary.places and i not in unused]
    places = [(name, i) for name, i in named_places if _led_to(plain, i, unused | unknown)]
    kinds: list[WordKind] = [word.kind for word in prompt.words]
    for index in reading.loose:
        kinds[index] = "attribute"  # a colour without an object: check_drawable names it
    passed = {i for i, span in enumerate(plain) if span.lower in _PASSED_OVER and meanings[i] is None and i not in counting}
    no_place = {i for _, i in named_places} - {i for _, i in places[:1]}
    for index in unused | of_nothing | lost | passed | no_place:
        kinds[index] = "unused" if index not in taken else kinds[index]
    for index in unknown:
        kinds[index] = "unknown"
    words = tuple(replace(word, kind=kind) for word, kind in zip(prompt.words, kinds, strict=True))
    named = tuple(UnknownWord(i, near_words(plain[i].text, vocabulary)) for i in sorted(unknown))
    prompt = replace(prompt, words=words, unknown=named)
    alone = all(len(prompt.words[i].tokens) == 1 for i, m in enumerate(meanings) if m is not None)
    numbered = all(
        count == _number_right_before(plain, s.object, s.attributes) for s, (count, _) in zip(prompt.subjects, counts, strict=True)
    )
    if not (
        read_over or of_nothing or lost or no_place or prompt.truncated or not alone or not numbered or not all(w.in_order for w in where)
    ):
        return prompt
    if not prompt.subjects:
        return prompt
    numbers = [words if len(words) == 1 else () for _, words in counts]
    for short in (False, True):
        pieces = caption_of(prompt.subjects, numbers, where, places[0] if places else None, vocabulary, short)
        tokens, truncated = tokens_of(pieces, prompt.text, plain, backend.tokenize)
        if not truncated:
            break
    aligned = align(plain, tokens)
    words = tuple(replace(word, tokens=own) for word, own in zip(prompt.words, aligned, strict=True))
    return replace(prompt, words=words, tokens=tokens, truncated=truncated, given=text_of(pieces))


def _led_to(words: Sequence[Span], index: int, passed: set[int]) -> bool:
    """Whether a word for a place says where the scene is ("in the water", "a cat, night"), and not what a word read over is about
    ("drinking water", "depth of field").

    Args:
        words, index: the words, and which of them names the place.
        passed: words that the model does not know.
    """
    k = index - 1
    if k >= 0 and words[k].lower == "with":  # "spraying a car with water"
        return False
    while k >= 0 and (words[k].lower in lex.DETERMINERS or words[k].lower in lex.ADJECTIVES | lex.DUALS):
        k -= 1
    if k > 0 and words[k].lower == "of" and words[k - 1].lower not in _LEADS_ON:
        return k - 1 not in passed
    return k < 0 or words[k].lower in lex.RELATIONS or k not in passed


def _breaks_before(spans: Sequence[Span]) -> list[bool]:
    breaks, stopped = [], False
    for span in spans:
        if not span.stop:
            breaks.append(stopped)
        stopped = bool(span.stop)
    return breaks


def _number_right_before(words: Sequence[Span], group: Sequence[int], attributes: Sequence[Sequence[int]]) -> int:
    """The number that the model reads: the one right before the noun or its first attribute, else 1."""
    first = min(index for part in (group, *attributes) for index in part if index <= group[0])
    return lex.COUNTS.get(words[first - 1].lower, 1) if first else 1


def near_words(word: str, vocabulary: Vocabulary) -> tuple[str, ...]:
    """Up to three words of a closed vocabulary that are near another word, in meaning or in spelling; the nearest first, never itself."""
    known = (*vocabulary.objects, *vocabulary.colors)
    lower = lowered(word[:_LONGEST_COMPARED])
    found: list[str] = []

    def offer(name: str | None, others: Sequence[str] = ()) -> None:
        name = vocabulary.canonical(name) if name else name
        if name and name != lower and name not in found and (name in known or (others and all(p in others for p in name.split()))):
            found.append(name)

    for form in (lower, lex.IRREGULAR_PLURALS.get(lower, lower), *_singulars(lower), lower + "es", *_parts(lower)):
        offer(form)
        offer(lex.NEAR_MEANINGS.get(form), vocabulary.others)
    for name in known:  # "bluebird", "racecar"
        if lower.endswith(name) and len(lower) >= len(name) + _SHORTEST_FIRST_PART:
            offer(name)
    if base_tag(lower) in (NOUN, SUFFIX, PART):  # a word that the lexicon holds is no misspelling
        spellings = [*known, *(alias for alias in vocabulary.aliases if not alias.endswith("s"))]
        for match in difflib.get_close_matches(lower, spellings, n=MAX_SUGGESTIONS, cutoff=0.74):
            offer(match)
    return tuple(found[:MAX_SUGGESTIONS])


def align(words: Sequence[Span], tokens: Sequence[TextToken]) -> list[tuple[int, ...]]:
    """Token indices of each word: the ordinary tokens whose character span overlaps the word's. Both are in text order."""
    aligned: list[tuple[int, ...]] = []
    ordinary = sorted((t.start, t.end, i) for i, t in enumerate(tokens) if not t.special and t.end > t.start)
    first = 0
    for word in words:
        while first < len(ordinary) and ordinary[first][1] <= word.start:
            first += 1
        k, own = first, []
        while k < len(ordinary) and ordinary[k][0] < word.end:
            own.append(ordinary[k][2])
            k += 1
        aligned.append(tuple(sorted(own)))
    return aligned


def _singulars(lower: str) -> list[str]:
    """Possible singular forms of an English plural, likeliest first."""
    forms = []
    if lower.endswith("ies") and len(lower) > 4:
        forms.append(lower[:-3] + "y")
    if lower.endswith(("ses", "xes", "zes", "ches", "shes")):
        forms.append(lower[:-2])
    if lower.endswith("s") and len(lower) > 2:
        forms.append(lower[:-1])
    return forms


def _parts(lower: str) -> list[str]:
    """The parts of a hyphenated word; for an emoji, the words of its Unicode name ("TURTLE" of the turtle sign)."""
    if lower and not lower[0].isalnum():
        return [part for sign in lower for part in reversed(unicodedata.name(sign, "").lower().replace("-", " ").split())]
    return lower.split("-") if "-" in lower else []
