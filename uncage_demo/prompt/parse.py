"""From text to a Prompt: words, subjects (objects with their attributes), and what guidance takes for and against each object.

The reading is shown on the page and can be corrected there (prompt_edit.py); what is shown is what guidance uses.
Knows nothing of tensors or of any particular model: only of a backend's text tokens and its vocabulary.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Sequence
from typing import Any, Protocol

from uncage_demo.prompt import lexicon as lex
from uncage_demo.prompt.edit import apply_overrides, attach, count_before, detach, join, make_object, overrides_of
from uncage_demo.prompt.grammar import NOUN, PART, SUFFIX, Meaning, base_tag, read
from uncage_demo.prompt.words import Span, split
from uncage_demo.types import Prompt, Subject, TextToken, UnknownWord, Vocabulary, Word, WordKind

__all__ = [
    "attach",
    "check_drawable",
    "detach",
    "join",
    "make_object",
    "near_words",
    "negatives",
    "overrides_of",
    "parse_prompt",
    "positives",
]

MAX_CHARACTERS = 5000
MAX_SUGGESTIONS = 3
_LONGEST_NAME = 4  # words in the longest name that a vocabulary may hold ("fire engine")
_LONGEST_COMPARED = 40  # characters of an unknown word that are compared with the vocabulary

Groups = tuple[tuple[int, ...], ...]


class TextModel(Protocol):
    """The part of a Backend that parsing needs."""

    @property
    def vocabulary(self) -> Vocabulary | None:
        """What the model can draw; None for open-vocabulary models."""
        ...

    def tokenize(self, text: str) -> tuple[tuple[TextToken, ...], str]:
        """Text tokens with character spans, and the part that was cut off."""
        ...


def parse_prompt(text: str, backend: TextModel, overrides: Sequence[dict[str, Any]] | None = None) -> Prompt:
    """Read a prompt the way guidance needs it.

    Args:
        text: what the user typed; 1..5000 characters with at least one word. English is understood best; any text is accepted.
        backend: gives the text tokens and says which words the model can draw. With a closed vocabulary, words outside it are listed in
            `Prompt.unknown` with near words, and only its objects become subjects; `check_drawable` tells whether the prompt can be
            generated. With an open vocabulary every noun can be a subject.
        overrides: subjects that replace the ones found, each {"object": [word indices], "attributes": [[word indices], ...]};
            a word belongs to one group at most. `overrides_of(prompt)` gives a prompt's own subjects in this form.

    Returns:
        The prompt: words with spans and text tokens (aligned by character offset), subjects in order of appearance.

    Raises:
        ValueError: empty text, text without words, text that is too long or not valid Unicode, or overrides that do not fit.

    Source: 2508.05399 section 3.2 (subjects, objects and attributes of a prompt).
    """
    _check_text(text)
    spans = split(text)
    vocabulary = backend.vocabulary
    tokens, truncated = backend.tokenize(text)
    tokens = tuple(tokens)
    plain = [span for span in spans if not span.stop]
    if not plain:
        raise ValueError(f"the prompt {_shorten(text)} has no words; describe what to draw, for example: a turtle and a pink apple")
    aligned = align(plain, tokens)
    meanings = None if vocabulary is None else _meanings(spans, plain, aligned, tokens, vocabulary)
    reading = read(spans, meanings)
    kinds: list[WordKind] = ["other"] * len(plain)
    subjects = []
    of_word = None if meanings is None else [m for m, span in zip(meanings, spans, strict=True) if not span.stop]
    for phrase in reading.phrases:
        attributes = tuple(sorted(phrase.attributes))
        subjects.append(_subject(phrase.object, attributes, plain, of_word))
        for index in phrase.object:
            kinds[index] = "object"
        for group in attributes:
            for index in group:
                kinds[index] = "attribute"
    if vocabulary is not None:
        for index in reading.loose:
            kinds[index] = "attribute"  # a colour without an object: check_drawable names it
    for index in reading.unknown:
        kinds[index] = "unknown"
    words = tuple(Word(s.text, s.start, s.end, aligned[i], kinds[i]) for i, s in enumerate(plain))
    unknown = ()
    if vocabulary is not None:
        unknown = tuple(UnknownWord(i, near_words(plain[i].text, vocabulary)) for i in reading.unknown)
    prompt = Prompt(text, tokens, words, tuple(subjects), unknown, truncated)
    return prompt if overrides is None else apply_overrides(prompt, overrides, vocabulary)


def positives(prompt: Prompt, subject_index: int) -> Groups:
    """P_o: the word groups that speak for an object, its own name and its attributes (2508.05399 eq. 2).

    Args:
        prompt: a parsed prompt.
        subject_index: 0-based index into prompt.subjects.

    Raises:
        ValueError: when there is no such subject.

    Source: 2508.05399 eq. 2.
    """
    return _subject_at(prompt, subject_index).groups


def negatives(prompt: Prompt, subject_index: int) -> Groups:
    """N_o: the word groups of every other object and its attributes; empty when the prompt has one object.

    Source: 2508.05399 eq. 2.
    """
    _subject_at(prompt, subject_index)
    return tuple(group for i, subject in enumerate(prompt.subjects) if i != subject_index for group in subject.groups)


def check_drawable(prompt: Prompt, backend: TextModel) -> None:
    """Raise unless the model can draw the whole prompt.

    Open-vocabulary models accept every prompt. A closed vocabulary must cover every word (words that only connect, such as "the" or "near",
    pass), at least one object must be named, every colour must belong to an object, no object may have two, and nothing may be cut off.

    Raises:
        ValueError: names the words, near words that the model knows, and what it can draw.
    """
    vocabulary = backend.vocabulary
    if vocabulary is None:
        return
    lists = {"draws": vocabulary.objects, "colours": vocabulary.colors, "places": vocabulary.places.values(), "numbers": vocabulary.numbers}
    can = "This model " + "; ".join(f"{name} {', '.join(words)}" for name, words in lists.items() if words) + "."
    problems: dict[str, str] = {}
    for unknown in prompt.unknown:
        word = prompt.words[unknown.word].text
        use = " as an object" if _canonical(word, vocabulary) in vocabulary.colors else ""
        near = f" (near: {', '.join(unknown.suggestions)})" if unknown.suggestions else ""
        problems.setdefault(word.lower(), f"“{_shorten(word)}”{use}{near}")
    if problems:
        raise ValueError(f"This model does not know {_list(list(problems.values()))}. {can}")
    in_subjects = {i for subject in prompt.subjects for group in subject.groups for i in group}
    strange = [f"“{subject.label}”" for subject in prompt.subjects if subject.noun not in vocabulary.objects]
    if strange:
        raise ValueError(f"This model cannot draw {_list(strange)} as an object. {can}")
    mixed = [f"“{subject.label}”" for subject in prompt.subjects if len(set(subject.colors)) > 1]
    if mixed:
        raise ValueError(f"{_list(mixed)}: this model gives an object one colour. {can}")
    loose = [f"“{word.text}”" for i, word in enumerate(prompt.words) if word.kind == "attribute" and i not in in_subjects]
    if loose:
        raise ValueError(f"{_list(loose)} belongs to no object: put it right before the object it describes, or attach it. {can}")
    if not prompt.subjects:
        raise ValueError(f"The prompt {_shorten(prompt.text)} names nothing that this model can draw. {can}")
    if prompt.truncated.strip():
        raise ValueError(f"The prompt is too long for this model: it would not read “{_shorten(prompt.truncated)}”. Shorten it.")


def near_words(word: str, vocabulary: Vocabulary) -> tuple[str, ...]:
    """Up to three words of a closed vocabulary that are near another word, in meaning or in spelling; the nearest first, never itself."""
    known = (*vocabulary.objects, *vocabulary.colors)
    lower = Span(word[:_LONGEST_COMPARED], 0, 0).lower
    found: list[str] = []

    def offer(name: str | None, others: Sequence[str] = ()) -> None:
        name = vocabulary.aliases.get(name, name) if name else name
        if name and name != lower and name not in found and (name in known or (others and all(p in others for p in name.split()))):
            found.append(name)

    for form in (lower, lex.IRREGULAR_PLURALS.get(lower, lower), *_singulars(lower), lower + "es", *_parts(lower)):
        offer(form)
        offer(lex.NEAR_MEANINGS.get(form), vocabulary.others)
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


def _check_text(text: str) -> None:
    if not isinstance(text, str):
        raise ValueError(f"the prompt must be text, not {type(text).__name__}")
    if not text.strip():
        raise ValueError("the prompt is empty; describe what to draw, for example: a turtle and a pink apple")
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"the prompt has {len(text)} characters; at most {MAX_CHARACTERS} are allowed")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"the prompt is not valid Unicode text at character {error.start}") from None


def _meanings(
    spans: Sequence[Span], plain: Sequence[Span], aligned: Sequence[tuple[int, ...]], tokens: Sequence[TextToken], vocabulary: Vocabulary
) -> list[Meaning | None]:
    """What the vocabulary says of each span. A word that the text encoder reads only as part of something longer is not known."""
    objects, colors, others = set(vocabulary.objects), set(vocabulary.colors), set(vocabulary.others)

    def look_up(typed: str, length: int) -> Meaning | None:
        name = vocabulary.aliases.get(typed, typed)
        kind = "object" if name in objects else "color" if name in colors else "other" if name in others else None
        return Meaning(kind, name, length) if kind else None

    # the end of "dog" in "dog's" is that of "'s", which is reported by itself
    ends = [plain[i + 1].end if i + 1 < len(plain) and plain[i + 1].lower == "'s" else w.end for i, w in enumerate(plain)]
    read_alone = {w.start: all(tokens[t].start >= w.start and tokens[t].end <= ends[i] for t in aligned[i]) for i, w in enumerate(plain)}
    meanings: list[Meaning | None] = [None] * len(spans)
    i = 0
    while i < len(spans):
        length = 1
        for count in range(min(_LONGEST_NAME, len(spans) - i), 0, -1):
            part = spans[i : i + count]
            if any(s.stop or not read_alone[s.start] for s in part):
                continue
            meaning = look_up(" ".join(s.lower for s in part), count)
            if meaning is not None:
                meanings[i : i + count] = [meaning] * count
                length = count
                break
        i += length
    return meanings


def _subject(group: tuple[int, ...], attributes: Groups, words: Sequence[Span], meanings: Sequence[Meaning | None] | None) -> Subject:
    """A Subject with its readable label, canonical noun and canonical colours."""
    typed = " ".join(words[i].lower for i in group)
    first = meanings[group[0]] if meanings else None
    label = " ".join([*(words[i].lower for g in attributes for i in g), typed])
    colors = []
    for index in (i for g in attributes for i in g):
        meaning = meanings[index] if meanings else None
        lower = words[index].lower
        if meaning is not None and meaning.kind == "color":
            colors.append(meaning.name)
        elif meanings is None and lower in lex.COLORS:
            colors.append("gray" if lower == "grey" else lower)
    return Subject(group, attributes, label, first.name if first else typed, tuple(colors), count_before(words, group, attributes))


def _canonical(word: str, vocabulary: Vocabulary) -> str:
    lower = Span(word, 0, 0).lower
    return vocabulary.aliases.get(lower, lower)


def _subject_at(prompt: Prompt, index: int) -> Subject:
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(prompt.subjects):
        raise ValueError(f"subject {index!r}: this prompt has {len(prompt.subjects)} subject(s), counted from 0")
    return prompt.subjects[index]


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


def _list(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


def _shorten(text: str, limit: int = 60) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
