"""What detections mean for the objects of a prompt, and whether objects are where regions ask for them."""

from __future__ import annotations

import pytest

from uncage_demo.prompt.judging import match, region_wishes
from uncage_demo.types import FoundObject, Subject


def found(noun: str, color: str, y: float = 0.5, x: float = 0.5) -> FoundObject:
    return FoundObject(noun, color, 0.9, (y - 0.1, x - 0.1, y + 0.1, x + 0.1))


def asked(noun: str, color: str = "", count: int = 1) -> Subject:
    return Subject((0,), (), noun, noun, (color,) if color else (), count)


@pytest.mark.parametrize(
    ("subjects", "detections", "own", "left"),
    [
        # The right colour comes before the stronger detection.
        ([asked("cat", "red"), asked("cat", "blue")], [found("cat", "blue"), found("cat", "red")], ((1,), (0,)), ()),
        # A wrong colour still stands for the object.
        ([asked("cat", "red")], [found("dog", "red"), found("cat", "blue")], ((1,),), (0,)),
        # As many as were asked for, the strongest first.
        ([asked("cat", count=2)], [found("cat", ""), found("cat", "red"), found("cat", "blue")], ((0, 1),), (2,)),
        ([asked("cat", "red", 2)], [found("cat", ""), found("cat", "red"), found("cat", "red")], ((1, 2),), (0,)),
    ],
)
def test_who_is_who(subjects: list[Subject], detections: list[FoundObject], own: tuple, left: tuple) -> None:
    matched = match(subjects, detections)
    assert (matched.own, matched.left) == (own, left)


@pytest.mark.parametrize(
    ("middles", "met"),
    [([(0.25, 0.25)], True), ([(0.25, 0.25), (0.75, 0.25)], False), ([], False), ([(0.5, 0.0)], True), ([(0.25, 0.51)], False)],
)
def test_all_of_an_object_is_in_its_region_and_nothing_is_not(middles: list[tuple[float, float]], met: bool) -> None:
    subjects = [asked("cat"), asked("dog")]
    matched = [[], [found("dog", "", y, x) for y, x in middles]]
    (wish,) = region_wishes(subjects, matched, {1: (0.0, 0.0, 0.5, 0.5)})
    assert (wish.label, wish.met) == ("dog in its region", met)
