"""From text to a Prompt: words, subjects (objects with their attributes), and what guidance takes for and against each object.

The reading is shown on the page and can be corrected there (edit.py); what is shown is what guidance uses.
Knows nothing of tensors or of any particular model: only of a backend's text tokens and its vocabulary.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from uncage_demo.prompt import lexicon as lex
from uncage_demo.prompt.caption import phrase_of
from uncage_demo.prompt.closed import TextModel, align, near_words, understand
from uncage_demo.prompt.edit import apply_overrides, attach, detach, join, make_object, overrides_of
from uncage_demo.prompt.grammar import Meaning, read
from uncage_demo.prompt.subjects import make_subject
from uncage_demo.prompt.words import HYPHENS, Span, lowered, split
from uncage_demo.types import Prompt, Subject, TextToken, Vocabulary, Word, WordKind

__all__ = [
    "PromptError",
    "UndrawableError",
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
_LONGEST_NAME = 4  # words in the longest name that a vocabulary may hold ("fire engine")
# Second halves of hyphenated words that add nothing to the first one
_HYPHENATED = ("colored", "coloured", "hand")

Groups = tuple[tuple[int, ...], ...]


def parse_prompt(text: str, backend: TextModel, overrides: Sequence[dict[str, Any]] | None = None) -> Prompt:
    """Read a prompt the way guidance needs it.

    Args:
        text: what the user typed; 1..5000 characters with at least one word. English is understood best; any text is accepted.
        backend: gives the text tokens and says which words the model can draw. With a closed vocabulary only its objects become subjects;
            words that name something else to draw are listed in `Prompt.unknown` with near words, other words outside the vocabulary are
            "unused", and where the model could not read the text itself `Prompt.given` is what it is given instead; `check_drawable` tells
            whether the prompt can be generated. With an open vocabulary every noun can be a subject.
            Subjects that its text encoder cut off are left out; their words are "unused".
        overrides: subjects that replace the ones found, each {"object": [word indices], "attributes": [[word indices], ...]};
            a word belongs to one group at most. `overrides_of(prompt)` gives a prompt's own subjects in this form.

    Returns:
        The prompt: words with spans and text tokens (aligned by character offset), subjects in order of appearance.

    Raises:
        ValueError: empty text, text without words, text that is too long or not valid Unicode, or overrides that do not fit.

    Source: 2508.05399 section 3.2 (subjects, objects and attributes of a prompt).
    """
    _check_text(text)
    vocabulary = backend.vocabulary
    spans = split(text) if vocabulary is None else _split_known(split(text), vocabulary)
    tokens, truncated = backend.tokenize(text)
    tokens = tuple(tokens)
    plain = [span for span in spans if not span.stop]
    if not plain:
        raise PromptError(f"the prompt {_shorten(text)} has no words; describe what to draw, for example: a turtle and a pink apple")
    aligned = align(plain, tokens)
    meanings = None if vocabulary is None else _meanings(spans, plain, aligned, tokens, vocabulary)
    reading = read(spans, meanings)
    of_word = None if meanings is None else [m for m, span in zip(meanings, spans, strict=True) if not span.stop]
    subjects = []
    for phrase in reading.phrases:
        subjects.append(_subject(text, phrase.object, tuple(sorted(phrase.attributes)), plain, of_word))
    kinds: list[WordKind] = ["other"] * len(plain)
    if vocabulary is None and truncated:
        named = {i for subject in subjects for group in subject.groups for i in group}
        subjects = _read_subjects(text, subjects, plain, aligned)
        for index in (i for i in named if not aligned[i]):
            kinds[index] = "unused"
    for subject in subjects:
        for index in subject.object:
            kinds[index] = "object"
        for index in (i for group in subject.attributes for i in group):
            kinds[index] = "attribute"
    words = tuple(Word(s.text, s.start, s.end, aligned[i], kinds[i]) for i, s in enumerate(plain))
    prompt = Prompt(text, tokens, words, tuple(subjects), (), truncated)
    if vocabulary is not None and of_word is not None:
        prompt = understand(prompt, spans, of_word, reading, backend)
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


class PromptError(ValueError):
    """What is wrong with the words of a prompt: whoever shows the words says it beside them."""


class UndrawableError(PromptError):
    """A prompt that a model cannot draw. Its text says why and what the model can draw.

    Args:
        reason: why, one or two sentences.
        can: what the model can draw, one long sentence.
    """

    def __init__(self, reason: str, can: str) -> None:
        super().__init__(f"{reason} {can}")
        self.reason = reason


def check_drawable(prompt: Prompt, model: TextModel | Vocabulary | None) -> None:
    """Raise unless a model, or a model with this vocabulary, can draw the whole prompt.

    Open-vocabulary models accept every prompt. A closed vocabulary must hold every word that names something to draw (other words are read
    over), at least one object must be named and no more than a picture holds, every colour must belong to an object, no object may have
    two, and nothing may be cut off.

    Raises:
        PromptError: names the words, near words that the model knows, and what it can draw.
    """
    vocabulary = model if model is None or isinstance(model, Vocabulary) else model.vocabulary
    if vocabulary is None:
        return
    lists = {"draws": vocabulary.objects, "colours": vocabulary.colors, "places": vocabulary.places.values(), "numbers": vocabulary.numbers}
    can = "This model " + "; ".join(f"{name} {', '.join(words)}" for name, words in lists.items() if words) + "."
    problems: dict[str, str] = {}
    for unknown in prompt.unknown:
        word = prompt.words[unknown.word].text
        use = " as an object" if vocabulary.canonical(lowered(word)) in vocabulary.colors else ""
        near = f" (near: {', '.join(unknown.suggestions)})" if unknown.suggestions else ""
        problems.setdefault(word.lower(), f"“{_shorten(word)}”{use}{near}")
    if problems:
        raise UndrawableError(f"This model does not know {_list(list(problems.values()))}.", can)
    in_subjects = {i for subject in prompt.subjects for group in subject.groups for i in group}
    strange = [f"“{subject.label}”" for subject in prompt.subjects if subject.noun not in vocabulary.objects]
    if strange:
        raise UndrawableError(f"This model cannot draw {_list(strange)} as an object.", can)
    mixed = [f"“{subject.label}”" for subject in prompt.subjects if len(set(subject.colors)) > 1]
    if mixed:
        raise UndrawableError(f"{_list(mixed)}: this model gives each object one colour.", can)
    loose = [f"“{word.text}”" for i, word in enumerate(prompt.words) if word.kind == "attribute" and i not in in_subjects]
    if loose:
        belongs = "belongs" if len(loose) == 1 else "belong"
        raise UndrawableError(f"{_list(loose)} {belongs} to no object: put each colour right before its object, or attach it.", can)
    if not prompt.subjects:
        raise UndrawableError(f"The prompt “{_shorten(prompt.text)}” names nothing that this model can draw.", can)
    total = sum(subject.count for subject in prompt.subjects)
    if vocabulary.most_objects and total > vocabulary.most_objects:
        asked = [_counted(subject, vocabulary) for subject in prompt.subjects]
        raise PromptError(
            f"{_list(asked)} {'is' if total == 1 else 'are'} {total} objects; this model draws at most {vocabulary.most_objects}."
        )
    if prompt.truncated.strip():
        raise PromptError(f"The prompt is too long for this model: it would not read “{_shorten(prompt.truncated)}”. Shorten it.")


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
        raise PromptError(f"the prompt is not valid Unicode text at character {error.start}") from None


def _meanings(
    spans: Sequence[Span], plain: Sequence[Span], aligned: Sequence[tuple[int, ...]], tokens: Sequence[TextToken], vocabulary: Vocabulary
) -> list[Meaning | None]:
    """What the vocabulary says of each span. A word that the text encoder reads only as part of something longer is not known."""
    objects, colors, others = set(vocabulary.objects), set(vocabulary.colors), set(vocabulary.others)

    def look_up(typed: str, length: int) -> Meaning | None:
        name = vocabulary.canonical(typed)
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


def _subject(
    text: str, group: tuple[int, ...], attributes: Groups, words: Sequence[Span], meanings: Sequence[Meaning | None] | None
) -> Subject:
    """A Subject as the vocabulary (or, without one, the lexicon) names it."""
    first = meanings[group[0]] if meanings else None

    def color_of(index: int) -> str:
        if meanings is None:
            lower = words[index].lower
            return "" if lower not in lex.COLORS else "gray" if lower == "grey" else lower
        meaning = meanings[index]
        return meaning.name if meaning is not None and meaning.kind == "color" else ""

    return make_subject(text, words, group, attributes, lambda typed: first.name if first else typed, color_of)


def _read_subjects(text: str, subjects: Sequence[Subject], words: Sequence[Span], aligned: Sequence[tuple[int, ...]]) -> list[Subject]:
    """The subjects without what the text encoder cut off: objects, and attributes of objects that are left."""
    left = []
    for subject in subjects:
        if all(aligned[i] for i in subject.object):
            attributes = tuple(group for group in subject.attributes if all(aligned[i] for i in group))
            whole = attributes == subject.attributes
            left.append(subject if whole else _subject(text, subject.object, attributes, words, None))
    return left


def _split_known(spans: Sequence[Span], vocabulary: Vocabulary) -> list[Span]:
    """Hyphenated words whose every part the vocabulary knows, as words of their own ("pink-apple", "red-coloured", "left-hand")."""
    known = {*vocabulary.objects, *vocabulary.colors, *vocabulary.others, *vocabulary.aliases, *lex.COUNTS, *_HYPHENATED}
    made: list[Span] = []
    for span in spans:
        parts = span.lower.split("-")
        if span.stop or len(parts) < 2 or not all(part in known for part in parts):
            made.append(span)
            continue
        start = span.start
        for part in re.split(f"[{HYPHENS}]", span.text):
            made.append(Span(part, start, start + len(part)))
            start += len(part) + 1
    return made


def _subject_at(prompt: Prompt, index: int) -> Subject:
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(prompt.subjects):
        raise ValueError(f"subject {index!r}: this prompt has {len(prompt.subjects)} subject(s), counted from 0")
    return prompt.subjects[index]


def _counted(subject: Subject, vocabulary: Vocabulary) -> str:
    """ "a cat", "two dogs", "4 horses"."""
    return " ".join(piece for piece, _ in phrase_of(subject, (), vocabulary))


def _list(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


def _shorten(text: str, limit: int = 60) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
