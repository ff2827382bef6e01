"""What a model with a closed vocabulary is given where it cannot read the text itself: a caption of what was understood.

The form is that of the captions the model learned from: objects with number and colour, where they are, and the place at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from uncage_demo.prompt import lexicon as lex
from uncage_demo.prompt.where import Where
from uncage_demo.prompt.words import Span
from uncage_demo.types import Subject, TextToken, Vocabulary

# A piece of a caption and the words of the text that it comes from; () for words that only the caption has.
Piece = tuple[str, tuple[int, ...]]


def caption_of(
    subjects: Sequence[Subject],
    numbers: Sequence[tuple[int, ...]],
    where: Sequence[Where],
    place: tuple[str, int] | None,
    vocabulary: Vocabulary,
    short: bool = False,
) -> list[Piece]:
    """The pieces of a caption; joined by blanks (but a comma has none before it) they are its text.

    Args:
        subjects: at least one; numbers: for each, the words that say its number.
        where: positions, at most one per subject; with one between two subjects it is the only one, and its subjects come first.
        place: (canonical place, index of the word that names it) or None.
        vocabulary: the words there are.
        short: positions and the place by their bare words ("left" for "on the left").
    """
    relation = next((w for w in where if w.other is not None), None)
    order = list(range(len(subjects)))
    if relation is not None and relation.other is not None:
        order = [relation.subject, relation.other, *(i for i in order if i not in (relation.subject, relation.other))]
    sides = {w.subject: w for w in where if w.other is None}
    pieces: list[Piece] = []
    for number, index in enumerate(order):
        if number == 1 and relation is not None:
            of = " of" if relation.position in ("left", "right") else ""
            pieces.append((relation.position + of, (relation.word,)))
        elif number:
            pieces.append((", " if number + 1 < len(order) else "and", ()))
        pieces += phrase_of(subjects[index], numbers[index], vocabulary)
        if index in sides:
            side = sides[index]
            pieces.append((side.position if short else vocabulary.positions[side.position], (side.word,)))
    if place is not None:
        pieces.append((place[0] if short else vocabulary.places[place[0]], (place[1],)))
    return pieces


def phrase_of(subject: Subject, number: tuple[int, ...], vocabulary: Vocabulary) -> list[Piece]:
    """An object as a caption names it, piece by piece: "two red cars", "an apple", "glasses"."""
    color: list[Piece] = []
    if len(set(subject.colors)) == 1 and subject.attributes:
        words = next(group for group in subject.attributes)
        color = [(subject.colors[0], words)]
    noun = subject.noun if subject.count == 1 else plural_of(subject.noun, vocabulary)
    first = color[0][0] if color else noun
    if subject.count > 1:
        known = dict(enumerate(vocabulary.numbers, start=2))
        return [(known.get(subject.count, str(subject.count)), number), *color, (noun, subject.object)]
    if noun in lex.PLURAL_OF_ONE:
        return [*color, (noun, subject.object)]
    return [("an" if first[0] in "aeiou" else "a", number), *color, (noun, subject.object)]


def plural_of(noun: str, vocabulary: Vocabulary) -> str:
    """A noun's plural, as a vocabulary lists it before the noun's other aliases; what has none ("glasses") is its own plural."""
    return next((alias for alias, name in vocabulary.aliases.items() if name == noun and alias[0] == noun[0]), noun)


def text_of(pieces: Sequence[Piece]) -> str:
    """The caption's text."""
    return " ".join(piece.strip() for piece, _ in pieces).replace(" ,", ",")


def tokens_of(
    pieces: Sequence[Piece], text: str, words: Sequence[Span], tokenize: Callable[[str], tuple[tuple[TextToken, ...], str]]
) -> tuple[tuple[TextToken, ...], str]:
    """The caption's text tokens with spans in the typed text, and what of the caption was cut off.

    A token's span is that of the words it comes from; it is empty for words that only the caption has, and for special tokens. Of a piece
    of several words ("on the left") the one that means something has the span.
    """
    caption = text_of(pieces)
    tokens, truncated = tokenize(caption)
    bounds: list[tuple[int, int, tuple[int, ...]]] = []
    at = 0
    for piece, source in pieces:
        start = caption.index(piece.strip(), at)
        at = start + len(piece.strip())
        words_in = [w for w in piece.split() if w not in ("on", "the", "at", "in", "a", "of")] or [piece.strip()]
        meant = caption.index(words_in[-1], start)
        bounds.append((meant, meant + len(words_in[-1]), source))
    made = []
    for token in tokens:
        source = next((s for start, end, s in bounds if s and not token.special and token.start < end and token.end > start), ())
        span = (words[source[0]].start, words[source[-1]].end) if source else (0, 0)
        if token.special and token.start:
            span = (len(text), len(text))
        made.append(TextToken(token.text, *span, token.special))
    return tuple(made), truncated
