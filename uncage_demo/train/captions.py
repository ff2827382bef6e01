"""What scenes are called: objects in order, how many, how they lie to each other, and where they are.

Every caption is true of its scene. Knows layouts, not pictures.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from uncage_demo.backends.embedded.vocab import NUMBERS, PLACES, POSITION_SAID, canonical, plural
from uncage_demo.train.places import PLACE_PHRASES

WORN = ("bow", "crown", "glasses")
# How objects lie to each other; the words of vocab.POSITIONS (or their aliases) also say sides, so that both ways teach each other.
POSITION_PHRASES = {
    "left": ("left of", "to the left of", "on the left of"),
    "right": ("right of", "to the right of", "on the right of"),
    "above": ("above", "above", "over"),
    "below": ("below", "under", "beneath"),
}
OPPOSITE = {"left": "right", "right": "left", "above": "below", "below": "above"}
# How often two objects' position is told as both sides ("a cat on the left and a dog on the right"), and as the first one's alone.
BOTH_SIDES_FRAC, ONE_SIDE_FRAC = 0.45, 0.2
# An object is on a side when its middle is this many cells from the picture's.
ASIDE_CELLS = 1.5
# Owner of a caption's word that describes the place; -1 for words that describe nothing.
PLACE_OWNER = -2
WORD_PATTERN = re.compile(r"\w+|,")


@dataclass(frozen=True)
class Placed:
    """One object of a scene.

    Args:
        noun, color: what it is ("" = the art's own colours).
        y, x: upper left cell.
        subject: index of the phrase of the caption that names it; objects that are counted together share one.
    """

    noun: str
    color: str
    y: int
    x: int
    subject: int = 0


def phrase(noun: str, color: str, count: int = 1) -> str:
    """ "a pink apple", "an elephant", "glasses", "two red cars"."""
    words = f"{color} {plural(noun) if count > 1 else noun}".strip()
    if count > 1:
        return f"{_NUMBER_WORD[count]} {words}"
    if noun == "glasses":
        return words
    return ("an " if words[0] in "aeiou" else "a ") + words


def position_of(first: Placed, second: Placed, size: int) -> str:
    """How the first object lies to the second: the direction in which they are farthest apart, by at least an object's size."""
    dy, dx = second.y - first.y, second.x - first.x
    if max(abs(dy), abs(dx)) < size or abs(dy) == abs(dx):
        return ""
    if abs(dx) > abs(dy):
        return "left" if dx > 0 else "right"
    return "above" if dy > 0 else "below"


def side_of(placed: Placed, size: int, grid: int) -> str:
    """The side of the picture an object is on, the one it is nearest to; "" in the middle and on a diagonal."""
    dy, dx = placed.y + (size - grid) / 2, placed.x + (size - grid) / 2
    if max(abs(dy), abs(dx)) < ASIDE_CELLS or abs(dy) == abs(dx):
        return ""
    if abs(dx) > abs(dy):
        return "right" if dx > 0 else "left"
    return "below" if dy > 0 else "above"


def caption_of(
    objects: Sequence[Placed], rng: np.random.Generator, place: str = "", size: int = 0, grid: int = 0, position_frac: float = 0.0
) -> tuple[str, tuple[int, ...]]:
    """A true caption, and the owner of each of its words and commas: the object's subject, PLACE_OWNER, or -1.

    Args:
        objects: in the caption's order; those of one subject stand together.
        rng: picks among the ways to say it.
        place: one of vocab.PLACES, or "".
        size, grid: an object's and the picture's side in cells (for positions).
        position_frac: how often the position of a single object, or of the first two, is told, where it can be.
    """
    subjects = [[placed for placed in objects if placed.subject == index] for index in sorted({placed.subject for placed in objects})]
    links = [" and "] * (len(subjects) - 1)
    sides = [""] * len(subjects)
    if len(subjects) == 3 and rng.random() < 0.5:
        links[0] = ", "
    # Three objects, a position and a place would not fit into the text.
    room = len(subjects) < 3 or not place
    if rng.random() < position_frac and room and all(len(group) == 1 for group in subjects[:2]):
        first = subjects[0][0]
        position = position_of(first, subjects[1][0], size) if len(subjects) > 1 else side_of(first, size, grid)
        how = rng.random()
        if position and (len(subjects) == 1 or how < BOTH_SIDES_FRAC + ONE_SIDE_FRAC):
            sides[0] = f" {POSITION_SAID[position]}"
            if len(subjects) == 2 and how < BOTH_SIDES_FRAC:
                sides[1] = f" {POSITION_SAID[OPPOSITE[position]]}"
        elif position:
            links[0] = f" {_pick(POSITION_PHRASES[position], rng)} "
    elif len(subjects) == 2 and subjects[1][0].noun in WORN and rng.random() < 0.6:
        links = [" with "]
    parts: list[tuple[str, int]] = []
    for index, group in enumerate(subjects):
        if index:
            # A position belongs to the object before it.
            parts.append((links[index - 1], index - 1))
        parts += [(phrase(group[0].noun, group[0].color, len(group)), index), (sides[index], index)]
    if place:
        where = _pick(PLACE_PHRASES[place], rng)
        parts = [(f"{where}, ", PLACE_OWNER), *parts] if rng.random() < 0.15 else [*parts, (f" {where}", PLACE_OWNER)]
    owners = [_owner(word, owner) for text, owner in parts for word in WORD_PATTERN.findall(text)]
    return "".join(text for text, _ in parts), tuple(owners)


_NUMBER_WORD = {number: word for word, number in NUMBERS.items()}
# Words of captions that only lead to others.
_LEADING = ("a", "an", ",", "and", "with", "on", "the", "at", "to", "of")


def _owner(word: str, owner: int) -> int:
    """The owner of one word of a part: articles, and what only leads to a place or a position, describe nothing."""
    if word in _LEADING:
        return -1
    if owner == PLACE_OWNER:
        return PLACE_OWNER if canonical(word) in PLACES else -1
    return owner


def _pick(choices: Sequence[str], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]
