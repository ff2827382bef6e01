"""What a scorer's detections mean for a prompt's objects: who is who, what is left over, and the words for it. Knows only value types."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from uncage_demo.types import FoundObject, Subject, Verdict, Wish

_IRREGULAR = {"mouse": "mice", "man": "men", "woman": "women", "child": "children", "person": "people"}
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six")
# An object whose middle is beyond this share of the picture's side from its centre is at a side of it.
_ASIDE = 0.1


@dataclass(frozen=True)
class Matching:
    """Which detection stands for which object.

    Args:
        own: for each subject, the indices of its detections, at most as many as it asks for.
        left: indices of the detections that nobody asked for.
    """

    own: tuple[tuple[int, ...], ...]
    left: tuple[int, ...]


def match(subjects: Sequence[Subject], found: Sequence[FoundObject]) -> Matching:
    """Detections matched to subjects: right noun and colour first, then right noun; what is left over was not asked for.

    Args:
        subjects: the prompt's objects.
        found: detections, strongest first.
    """
    left, own = list(range(len(found))), [[] for _ in subjects]
    for want_color in (True, False):
        for subject, mine in zip(subjects, own, strict=True):
            fitting = [i for i in left if found[i].noun == subject.noun and (color_fits(found[i], subject) or not want_color)]
            for index in fitting[: subject.count - len(mine)]:
                mine.append(index)
                left.remove(index)
    return Matching(tuple(map(tuple, own)), tuple(left))


def color_fits(found: FoundObject, subject: Subject) -> bool:
    """Whether a detection has a colour that was asked for; any will do where none was."""
    return not subject.colors or found.color in subject.colors


def region_wishes(
    subjects: Sequence[Subject], matched: Sequence[Sequence[FoundObject]], regions: Mapping[int, Sequence[float]]
) -> list[Wish]:
    """Whether objects are where a region asks for them: all that was found of an object has its middle in the region's box.

    Args:
        subjects: the prompt's objects.
        matched: of each, the detections that stand for it.
        regions: {subject: (top, left, bottom, right) as shares of the picture, 0..1}.
    """
    wishes = []
    for index, (top, left, bottom, right) in sorted(regions.items()):
        middles = [((one.box[0] + one.box[2]) / 2, (one.box[1] + one.box[3]) / 2) for one in matched[index]]
        met = bool(middles) and all(top <= y <= bottom and left <= x <= right for y, x in middles)
        wishes.append(Wish("region", f"{subjects[index].noun} in its region", met))
    return wishes


def too_many(subjects: Sequence[Subject], verdict: Verdict) -> list[str]:
    """What a picture has too many of, one phrase a noun: "1 turtle too many", "2 cats that were not asked for"."""
    left = Counter(verdict.detections[i].noun for i in match(subjects, verdict.detections).left)
    if sum(left.values()) != verdict.extra_objects:  # a scorer that does not say what it saw
        return [f"{counted(verdict.extra_objects, 'object')} too many"] if verdict.extra_objects else []
    asked = {subject.noun for subject in subjects}
    said = []
    for noun, number in left.items():
        unasked = "that was not asked for" if number == 1 else "that were not asked for"
        said.append(f"{counted(number, noun)} {'too many' if noun in asked else unasked}")
    return said


def side_of(found: FoundObject) -> str:
    """Where in the picture a detection is: "at the lower right", "on the left", "at the top", "in the middle"."""
    y, x = (found.box[0] + found.box[2]) / 2 - 0.5, (found.box[1] + found.box[3]) / 2 - 0.5
    vertical = "" if abs(y) <= _ASIDE else "upper" if y < 0 else "lower"
    horizontal = "" if abs(x) <= _ASIDE else "left" if x < 0 else "right"
    if vertical and horizontal:
        return f"at the {vertical} {horizontal}"
    if vertical:
        return "at the top" if vertical == "upper" else "at the bottom"
    return f"on the {horizontal}" if horizontal else "in the middle"


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 cell", "2 cells"."""
    return f"{number} {noun}" if number == 1 else f"{number} {plural(noun)}"


def in_words(number: int) -> str:
    """A small number as a word: "no", "one", "two"."""
    return _NUMBERS[number] if number < len(_NUMBERS) else str(number)


def plural(noun: str) -> str:
    """The plural of an English noun of a vocabulary: "turtles", "mice", "benches", "glasses"."""
    if noun in _IRREGULAR:
        return _IRREGULAR[noun]
    if noun.endswith("s"):
        return noun
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("x", "ch", "sh", "z")) else "s")
