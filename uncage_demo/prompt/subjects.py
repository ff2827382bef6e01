"""A subject from its words: the one place where the parser's findings and a visitor's corrections become a Subject."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from uncage_demo.prompt.lexicon import BODY_PARTS
from uncage_demo.prompt.numbers import count_of
from uncage_demo.prompt.words import Span, lowered
from uncage_demo.types import Subject, Word

Group = tuple[int, ...]


def make_subject(
    text: str,
    words: Sequence[Word | Span],
    group: Group,
    attributes: tuple[Group, ...],
    name_of: Callable[[str], str],
    color_of: Callable[[int], str],
) -> Subject:
    """A Subject with its readable label, noun, colours and count.

    Args:
        text: what was typed; `words` are its words with their spans.
        group, attributes: indices of the object's words and of those of each attribute.
        name_of: the object as typed, in lower case -> its canonical noun.
        color_of: index of an attribute's word -> the canonical colour that it names, or "".
    """
    typed = " ".join(lowered(words[i].text) for i in group)
    label = " ".join([*(lowered(words[i].text) for part in attributes for i in part), typed])
    # The colour of a part of it ("black ears") is not the object's.
    colors = [color_of(i) for part in attributes if not _names_a_part(words, part) for i in part]
    noun = name_of(typed)
    count = count_of(text, words, group, attributes, noun)[0]
    return Subject(group, attributes, label, noun, tuple(filter(None, colors)), count)


def _names_a_part(words: Sequence[Word | Span], group: Group) -> bool:
    return any(lowered(words[i].text) in BODY_PARTS for i in group)
