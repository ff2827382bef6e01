"""The measures that the diagnosis rests on, on small fields."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.factories import make_trace
from tests.painted import EXACT, GRID, NOTHING, box, painted
from uncage_demo.diagnosis.evidence import (
    Evidence,
    Thresholds,
    largest_patch,
    leak,
    measure,
    mix,
    overlap,
    parted,
    patches,
    peakedness,
    settled_at,
)
from uncage_demo.diagnosis.rules import _rivals, faint
from uncage_demo.prompt.judging import side_of
from uncage_demo.types import FoundObject


def test_largest_patch_is_4_connected_and_does_not_wrap() -> None:
    field = np.zeros((3, 4), bool)
    assert largest_patch(field.reshape(-1), (3, 4)) == 0
    field[0, 3] = field[1, 0] = True  # neighbours in the flat array only
    assert largest_patch(field.reshape(-1), (3, 4)) == 1
    field[2, 1] = True  # diagonal
    assert largest_patch(field.reshape(-1), (3, 4)) == 1
    field[1, 1] = True
    assert largest_patch(field.reshape(-1), (3, 4)) == 3
    assert patches(field.reshape(-1), (3, 4)) == [[4, 5, 9], [3]]
    assert patches(np.zeros(12, bool), (3, 4)) == []


def test_one_thing_or_two() -> None:
    def apart(mask: np.ndarray, least: int = 4) -> float:
        return parted(mask, GRID, least)[0]

    assert apart(box(2, 2, 4, 4)) == pytest.approx(0.5)
    assert apart(box(0, 0, 4, 4) | box(4, 4, 4, 4)) == pytest.approx(1.0)
    assert apart(box(0, 0, 4, 4) | box(0, 4, 4, 4)) == pytest.approx(4 / np.sqrt(32))
    assert apart(box(0, 0, 4, 4) | box(8, 8, 4, 4)) == pytest.approx(np.hypot(8, 8) / np.sqrt(32))
    score, larger, smaller = parted(box(0, 0, 4, 4) | box(8, 8, 2, 2), GRID, 4)
    assert (len(larger), len(smaller)) == (16, 4)
    assert score > 1
    score, larger, smaller = parted(box(0, 0, 4, 4) | box(8, 8, 2, 2), GRID, 5)  # the small patch is left out
    assert score == pytest.approx(0.5)
    assert sorted(larger + smaller) == np.flatnonzero(box(0, 0, 4, 4)).tolist()
    assert parted(NOTHING, GRID, 1) == (0.0, [], [])
    assert apart(box(0, 0, 1, 2), 1) == pytest.approx(1 / np.sqrt(2))


def test_measures_on_small_fields() -> None:
    blobs = np.array([[0, 0, 1, 1], [0, 0, 1, 1]]).reshape(-1)
    assert mix(blobs, 0, 1, (2, 4)) == pytest.approx(2 / 10)
    assert mix(np.array([0, 1, 1, 0]), 0, 1, (2, 2)) == 1.0
    assert mix(np.array([-1, -1, 0, -1]), 0, 1, (2, 2)) == 0.0
    peak, flat = np.array([4.0, 0, 0, 0]), np.ones(4)
    assert overlap(peak, peak) == 1.0
    assert overlap(peak, peak[::-1]) == 0.0
    assert overlap(peak, flat) == 0.0
    assert peakedness(flat) == 0.0
    assert peakedness(peak) == 0.75
    own, other = np.array([True, False]), np.array([False, True])
    assert leak(np.array([1.0, 3.0]), own, other) == 0.75
    assert leak(np.array([1.0, 3.0]), own, np.zeros(2, bool)) is None
    assert leak(np.zeros(2), own, other) is None
    owner = np.array([[0, -1, -1], [0, 0, -1], [-1, 0, 0], [-1, 0, 0]])
    assert settled_at(owner, 0, 0.9) == 2
    assert settled_at(owner, 0, 0.3) == 1
    assert settled_at(owner, 1, 0.9) is None


@pytest.mark.parametrize(
    ("owners", "rival"),
    [([1, 1, 2, 0], 1), ([1, 2, 0, -1], None), ([2, 2, 2, 1], 2), ([-1, -1, -1, -1], None), ([0, 0, 1, 1], 1), ([0, 0, 0, 1], None)],
)
def test_a_rival_leads_in_half_of_the_cells_where_the_word_looks_most(owners: list[int], rival: int | None) -> None:
    cells = np.array([*owners, *[1] * 36])
    maps = np.stack([np.arange(40.0)[::-1], np.zeros(40), np.zeros(40)])  # object 0 looks most at the first four
    evidence: Any = SimpleNamespace(cells=cells, maps=maps)
    assert _rivals(evidence, 0) == rival


def test_what_has_no_cells_of_its_own_is_missing_and_not_faint_too() -> None:
    trace = make_trace(grid=(4, 10), steps=2)
    count = len(trace.prompt.subjects)

    def unsure_of_the_first(cells: np.ndarray) -> list[int]:
        owner, read_at = np.stack([cells, cells]), np.ones(40, int)
        maps = np.ones((count, 40))
        evidence = Evidence((0, 1), owner, cells, maps, {}, read_at, np.ones(40), 1.0, tuple(range(1, count)))
        return [finding.subject for finding in faint(trace, evidence, Thresholds())]

    drawn = np.full(40, -1)
    drawn[:8] = 0
    assert unsure_of_the_first(drawn) == [0]
    assert unsure_of_the_first(np.full(40, -1)) == []


def test_the_strength_is_the_mean_lead_in_the_best_tenth_of_the_cells() -> None:
    best = np.arange(144) < 14
    evidence = measure(painted("a turtle and a bird", lambda step: {"turtle": best, "bird": NOTHING}), EXACT)
    assert evidence is not None
    bright = 0.12 / ((14 * 0.12 + 130 * 0.02) / 144)  # of the turtle's map there, against its average; the bird's is 1 everywhere
    assert evidence.strength == pytest.approx((bright - 1) / (bright + 1), abs=1e-4)


@pytest.mark.parametrize(
    ("y", "x", "told"),
    [
        (0.5, 0.5, "in the middle"),
        (0.59, 0.41, "in the middle"),
        (0.5, 0.61, "on the right"),
        (0.5, 0.39, "on the left"),
        (0.39, 0.5, "at the top"),
        (0.61, 0.5, "at the bottom"),
        (0.61, 0.39, "at the lower left"),
    ],
)
def test_a_side_begins_a_tenth_of_the_picture_from_its_middle(y: float, x: float, told: str) -> None:
    assert side_of(FoundObject("cat", "", 1.0, (y - 0.1, x - 0.1, y + 0.1, x + 0.1))) == told
