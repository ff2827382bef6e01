"""Corrections of a parsed prompt: overrides as plain data, and the edits behind the page's word chips.

Every function returns a new Prompt and leaves the given one as it is. The order of subjects is the order of their objects in the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from uncage_demo.prompt.lexicon import COLORS
from uncage_demo.prompt.subjects import make_subject
from uncage_demo.prompt.words import lowered
from uncage_demo.setting import shortened
from uncage_demo.types import Prompt, Subject, Vocabulary, Word, WordKind


def overrides_of(prompt: Prompt) -> list[dict[str, Any]]:
    """The subjects of a prompt as plain JSON-able data: [{"object": [word indices], "attributes": [[word indices], ...]}, ...]."""
    return [{"object": list(s.object), "attributes": [list(group) for group in s.attributes]} for s in prompt.subjects]


def apply_overrides(prompt: Prompt, overrides: Sequence[dict[str, Any]], vocabulary: Vocabulary | None = None) -> Prompt:
    """The prompt with other subjects.

    Args:
        prompt: a parsed prompt.
        overrides: see `overrides_of`; may be empty (no subjects: nothing to guide).
        vocabulary: gives canonical nouns and colours; None keeps the words as typed.

    Raises:
        ValueError: not that structure, a word that does not exist, an empty group, or a word used twice.
    """
    if isinstance(overrides, (str, bytes, dict)) or not isinstance(overrides, Sequence):
        raise ValueError(f'overrides must be a list of {{"object": [...], "attributes": [[...], ...]}}, not {type(overrides).__name__}')
    used: set[int] = set()
    subjects = []
    for number, entry in enumerate(overrides):
        if not isinstance(entry, dict) or "object" not in entry or set(entry) - {"object", "attributes"}:
            raise ValueError(
                f'overrides[{number}] must be {{"object": [word indices], "attributes": [[word indices], ...]}}, got {entry!r:.80}'
            )
        group = _group(prompt, entry["object"], f"overrides[{number}] object", used)
        listed = entry.get("attributes", [])
        if isinstance(listed, (str, bytes, dict)) or not isinstance(listed, Sequence):
            raise ValueError(f"overrides[{number}] attributes must be a list of lists of word indices, got {listed!r:.80}")
        attributes = tuple(_group(prompt, item, f"overrides[{number}] attributes[{k}]", used) for k, item in enumerate(listed))
        subjects.append((group, attributes))
    return _with_subjects(prompt, subjects, vocabulary)


def make_object(prompt: Prompt, word: int, vocabulary: Vocabulary | None = None) -> Prompt:
    """The prompt with a word as an object of its own: it leaves the attribute or compound noun it was in.

    Raises:
        ValueError: when there is no such word.
    """
    _check_word(prompt, word)
    if any(subject.object == (word,) for subject in prompt.subjects):
        return prompt
    return _with_subjects(prompt, [*_without(prompt, word), ((word,), ())], vocabulary)


def attach(prompt: Prompt, word: int, subject: int, vocabulary: Vocabulary | None = None) -> Prompt:
    """The prompt with a word as an attribute of a subject. If it was an object, that object ends and its attributes are set free.

    Args:
        word: index into prompt.words.
        subject: index into prompt.subjects, as they are before the edit.

    Raises:
        ValueError: when there is no such word or subject, or the word is the subject's only noun.
    """
    _check_word(prompt, word)
    target = _check_subject(prompt, subject)
    if target.object == (word,):
        raise ValueError(f"“{prompt.words[word].text}” is the object itself and cannot be its own attribute")
    kept = []
    for group, attributes in _without(prompt, word):
        mine = group[0] in target.object
        kept.append((group, (*attributes, (word,)) if mine else attributes))
    return _with_subjects(prompt, kept, vocabulary)


def join(prompt: Prompt, word: int, subject: int, vocabulary: Vocabulary | None = None) -> Prompt:
    """The prompt with a word as part of a subject's name ("polar" of "polar bear").

    Raises:
        ValueError: when there is no such word or subject.
    """
    _check_word(prompt, word)
    target = _check_subject(prompt, subject)
    if word in target.object:
        return prompt
    kept = [(tuple(sorted((*g, word))) if g[0] in target.object else g, attributes) for g, attributes in _without(prompt, word)]
    return _with_subjects(prompt, kept, vocabulary)


def detach(prompt: Prompt, word: int, vocabulary: Vocabulary | None = None) -> Prompt:
    """The prompt with a word in no subject. Detaching an object's only noun ends the subject and frees its attributes.

    Raises:
        ValueError: when there is no such word.
    """
    _check_word(prompt, word)
    return _with_subjects(prompt, _without(prompt, word), vocabulary)


_Parts = tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]


def _without(prompt: Prompt, word: int) -> list[_Parts]:
    """The subjects' word groups with one word taken out of them; groups left empty vanish."""
    kept = []
    for subject in prompt.subjects:
        group = tuple(i for i in subject.object if i != word)
        attributes = tuple(g for g in (tuple(i for i in a if i != word) for a in subject.attributes) if g)
        if group:
            kept.append((group, attributes))
    return kept


def _with_subjects(prompt: Prompt, subjects: Sequence[_Parts], vocabulary: Vocabulary | None) -> Prompt:
    """The prompt with these subjects, in text order, kinds of words brought in line."""
    kinds: list[WordKind] = ["unused" if word.kind == "unused" else "other" for word in prompt.words]
    for unknown in prompt.unknown:
        kinds[unknown.word] = "unknown"
    made = []
    for group, attributes in sorted((tuple(g), tuple(sorted(a))) for g, a in subjects):
        made.append(_subject(prompt, group, attributes, vocabulary))
        for index in group:
            kinds[index] = "object" if kinds[index] != "unknown" else "unknown"
        for index in (i for a in attributes for i in a):
            kinds[index] = "attribute" if kinds[index] != "unknown" else "unknown"
    words = tuple(replace(word, kind=kind) for word, kind in zip(prompt.words, kinds, strict=True))
    return replace(prompt, words=words, subjects=tuple(made))


def _subject(prompt: Prompt, group: tuple[int, ...], attributes: tuple[tuple[int, ...], ...], vocabulary: Vocabulary | None) -> Subject:
    """A Subject after an edit: names that the parser found are kept where the words are the same."""
    earlier = {s.object: s.noun for s in prompt.subjects}
    found = {i for s in prompt.subjects for g in s.attributes for i in g}
    known = set(vocabulary.colors) if vocabulary else COLORS | {color for s in prompt.subjects for color in s.colors}

    def canonical(typed: str) -> str:
        return vocabulary.canonical(typed) if vocabulary else typed

    def color_of(index: int) -> str:
        name = canonical(lowered(prompt.words[index].text))
        if name not in known and vocabulary is None and index in found:
            name = _color_found_before(prompt, index) or name
        return "" if name not in known else "gray" if name == "grey" else name

    return make_subject(prompt.text, prompt.words, group, attributes, lambda typed: earlier.get(group) or canonical(typed), color_of)


def _color_found_before(prompt: Prompt, word: int) -> str | None:
    """The canonical colour the parser gave to a word, when its subject had just that one attribute."""
    for subject in prompt.subjects:
        if subject.attributes == ((word,),) and len(subject.colors) == 1:
            return subject.colors[0]
    return None


def _group(prompt: Prompt, value: object, name: str, used: set[int]) -> tuple[int, ...]:
    """A validated group of word indices, in text order; adds them to `used`."""
    if isinstance(value, (str, bytes, dict)) or not isinstance(value, Sequence) or not value:
        raise ValueError(f"{name} must be a list of at least one word index, got {value!r:.80}")
    for index in value:
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(prompt.words):
            raise ValueError(f"{name}: {index!r:.40} is not a word index; this prompt has words 0 to {len(prompt.words) - 1}")
        if index in used:
            raise ValueError(f"{name}: word {index} (“{prompt.words[index].text}”) is used twice")
        used.add(index)
    return tuple(sorted(value))


def _check_word(prompt: Prompt, word: int) -> Word:
    if isinstance(word, bool) or not isinstance(word, int) or not 0 <= word < len(prompt.words):
        raise ValueError(f"word {shortened(word)}: this prompt has words 0 to {len(prompt.words) - 1}")
    return prompt.words[word]


def _check_subject(prompt: Prompt, subject: int) -> Subject:
    if isinstance(subject, bool) or not isinstance(subject, int) or not 0 <= subject < len(prompt.subjects):
        raise ValueError(f"subject {shortened(subject)}: this prompt has {len(prompt.subjects)} subject(s), counted from 0")
    return prompt.subjects[subject]
