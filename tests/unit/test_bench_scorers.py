"""From verdicts to numbers: cases by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tests.toy_backend import ToyBackend
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.bench.scorers_detector import DetectorScorer, failures, metrics, overlap
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.types import FoundObject, Prompt, Subject, Verdict

LEFT, RIGHT = (0.0, 0.0, 0.5, 0.4), (0.5, 0.6, 1.0, 1.0)
TURTLE_APPLE = (Subject((1,), noun="turtle"), Subject((4,), ((3,),), noun="apple", colors=("pink",)))


def verdict(found: tuple[bool, ...], colors: tuple[bool, ...], seen: list[tuple[str, str, tuple[float, float, float, float]]]) -> Verdict:
    detections = tuple(FoundObject(noun, color, 0.9, box) for noun, color, box in seen)
    extra = max(0, len(seen) - sum(found))
    return Verdict(found, colors, extra, all(found) and all(colors) and not extra, detections, "detector 1")


def test_perfect_picture() -> None:
    result = metrics(verdict((True, True), (True, True), [("turtle", "", LEFT), ("apple", "pink", RIGHT)]), TURTLE_APPLE)
    assert result == {
        "one": 1, "all": 1, "colored": 1, "bound": 1, "correct": 1, "extra": 0, "missing": 0, "mixture": 0, "leaked": 0, "duplicate": 0,
    }  # fmt: skip


def test_missing_and_duplicate() -> None:
    result = metrics(verdict((True, False), (True, False), [("turtle", "", LEFT), ("turtle", "", RIGHT)]), TURTLE_APPLE)
    assert (result["one"], result["all"], result["missing"], result["duplicate"], result["extra"]) == (1, 0, 1, 1, 1)
    assert (result["leaked"], result["mixture"], result["correct"]) == (0, 0, 0)


def test_leak_is_a_colour_given_to_another_object() -> None:
    leaked = verdict((True, True), (True, True), [("turtle", "pink", LEFT), ("apple", "pink", RIGHT)])
    assert failures(leaked, TURTLE_APPLE)["leaked"]
    other = verdict((True, True), (True, False), [("turtle", "", LEFT), ("apple", "green", RIGHT)])
    assert not failures(other, TURTLE_APPLE)["leaked"]  # wrong, but nobody's
    # Both may be pink when both were asked for in pink.
    both = (Subject((1,), noun="turtle", colors=("pink",)), TURTLE_APPLE[1])
    assert not failures(leaked, both)["leaked"]


def test_swapped_colours_are_leaks_but_two_cars_are_not() -> None:
    cars = (Subject((2,), noun="car", colors=("red",)), Subject((5,), noun="car", colors=("blue",)))
    seen = verdict((True, True), (True, True), [("car", "red", LEFT), ("car", "blue", RIGHT)])
    assert failures(seen, cars) == {"missing": False, "mixture": False, "leaked": False, "duplicate": False}
    objects = (Subject((2,), noun="car", colors=("red",)), Subject((5,), noun="clock", colors=("blue",)))
    swapped = verdict((True, True), (False, False), [("car", "blue", LEFT), ("clock", "red", RIGHT)])
    assert failures(swapped, objects)["leaked"]


def test_mixture_is_two_nouns_in_one_place() -> None:
    near = (0.0, 0.0, 0.5, 0.5)
    mixed = verdict((True, True), (True, True), [("turtle", "", LEFT), ("apple", "pink", near)])
    assert failures(mixed, TURTLE_APPLE)["mixture"]
    half = Verdict((True, False), (True, False), 0, False, (FoundObject("turtle", "", 0.8, LEFT, rival="apple"),), "test")
    assert failures(half, TURTLE_APPLE)["mixture"]
    twice = verdict((True, False), (True, False), [("turtle", "", LEFT), ("turtle", "", near)])
    assert not failures(twice, TURTLE_APPLE)["mixture"]


def test_overlap_by_hand() -> None:
    a, b = FoundObject("x", "", 1, (0, 0, 0.5, 0.4)), FoundObject("y", "", 1, (0, 0, 0.5, 0.5))
    assert overlap(a, b) == pytest.approx(0.2 / 0.25)
    assert overlap(a, FoundObject("y", "", 1, RIGHT)) == 0
    touching = FoundObject("y", "", 1, (0.5, 0, 1, 0.4))
    assert overlap(a, touching) == 0


def test_three_subjects_have_a_rate_of_their_own() -> None:
    three = (*TURTLE_APPLE, Subject((7,), noun="dog"))
    result = metrics(verdict((True, False, True), (True, False, True), []), three)
    assert (result["one"], result["two"], result["all"]) == (1, 1, 0)
    assert "two" not in metrics(verdict((True, True), (True, True), []), TURTLE_APPLE)
    assert "colored" not in metrics(verdict((True,), (True,), []), TURTLE_APPLE[:1])


def test_a_model_without_detector_is_refused() -> None:
    backend = ToyBackend()
    with pytest.raises(ValueError, match="no detector"):
        DetectorScorer(backend).score(np.zeros((1, 8, 8, 3), np.uint8), [Prompt("a cat", (), ())])


def test_the_embedded_detector_in_one_batch_says_what_it_says_alone() -> None:
    backend = EmbeddedBackend.tiny(0)
    prompt = parse_prompt("a cat and a red car", backend)
    images = np.random.default_rng(0).integers(0, 256, (3, 96, 96, 3), dtype=np.uint8)
    together = DetectorScorer(backend).score(images, [prompt] * 3)
    assert together == [DetectorScorer(backend).score(images[i : i + 1], [prompt])[0] for i in range(3)]
    assert set(together[0]["metrics"]) >= {"one", "all", "colored", "bound", "correct", "missing"}
