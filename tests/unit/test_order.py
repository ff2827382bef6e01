"""Where next: each order's formula, the selection, and the Halton list."""

from typing import Any

import numpy as np
import pytest

from uncage_demo.config import ORDER_NAMES, DecodingConfig
from uncage_demo.decoding.order import noise_scale, select, weight_at
from uncage_demo.orders.base import StepContext
from uncage_demo.orders.halton import halton_order, visiting_rank
from uncage_demo.orders.table import ORDERS
from uncage_demo.types import ModelDefaults

pytestmark = pytest.mark.shapes

N = 12


def settings(**given: Any) -> DecodingConfig:
    return DecodingConfig(**given).resolved(ModelDefaults(num_steps=16))


def context(step: int = 0, num_steps: int = 8, weight: float = 0.0) -> StepContext:
    rng = np.random.default_rng(5)
    draw = [rng.normal(size=N).astype(np.float32) for _ in range(5)]
    return StepContext(step, num_steps, np.ones(N, bool), -np.abs(draw[0]), draw[1], draw[2], weight, draw[3], draw[4], np.arange(N)[::-1])


def test_there_is_a_function_for_every_name() -> None:
    assert tuple(ORDERS) == ORDER_NAMES


@pytest.mark.parametrize("order", ORDER_NAMES)
def test_scores_are_float32_and_leave_the_context_alone(order: str) -> None:
    given = context(weight=3.0)
    before = {name: np.copy(value) for name, value in vars(given).items()}
    scores = ORDERS[order](given, settings(order=order))
    assert scores.dtype == np.float32
    assert scores.shape == (N,)
    assert all(np.array_equal(value, before[name]) for name, value in vars(given).items())


def test_formulas() -> None:
    c = context()
    score = {name: ORDERS[name](c, settings(order=name)) for name in ORDER_NAMES}
    assert np.array_equal(score["random"], c.noise)
    assert np.array_equal(score["confidence"], c.confidence)
    assert np.array_equal(score["meissonic"], c.confidence + c.noise)
    assert np.array_equal(score["maskgit"], c.confidence + c.noise)
    assert np.array_equal(score["halton"], np.arange(N)[::-1] * np.float32(-1))
    assert np.array_equal(score["margin"], c.margin)  # type: ignore[arg-type]
    assert np.array_equal(score["entropy"], -c.entropy)  # type: ignore[operator]


def test_uncage_adds_weight_times_contrast_in_guided_steps_only() -> None:
    config = settings(order="uncage", num_steps=8, contrast_steps=3, contrast_weight=2.5)
    guided, later = context(2, 8, 2.5), context(3, 8, 0.0)
    assert np.array_equal(ORDERS["uncage"](guided, config), guided.confidence + guided.noise + np.float32(2.5) * guided.contrast)
    assert np.array_equal(ORDERS["uncage"](later, config), later.confidence + later.noise)
    assert [weight_at(config, s) for s in range(5)] == [2.5, 2.5, 2.5, 0, 0]
    assert weight_at(config.with_(order="meissonic"), 0) == 0


@pytest.mark.parametrize("step", range(8))
def test_weight_0_is_the_baseline_bit_for_bit(step: int) -> None:
    config = settings(order="uncage", num_steps=8, contrast_weight=0.0)
    given = context(step)
    assert np.array_equal(ORDERS["uncage"](given, config), ORDERS["meissonic"](given, config.with_(order="meissonic")))
    assert noise_scale(config, step) == noise_scale(config.with_(order="meissonic"), step)


def test_switches_drop_a_term_of_the_guided_score_only() -> None:
    given, later = context(0, 8, 3.0), context(7, 8, 0.0)
    only_contrast = settings(order="uncage", num_steps=8, use_confidence=False, use_noise=False)
    assert np.array_equal(ORDERS["uncage"](given, only_contrast), np.float32(3) * given.contrast)
    assert np.array_equal(ORDERS["uncage"](later, only_contrast), later.confidence + later.noise)
    assert noise_scale(only_contrast, 0) == 0
    assert noise_scale(only_contrast, 7) == pytest.approx(0.01)
    no_noise = settings(order="meissonic", use_noise=False)
    assert np.array_equal(ORDERS["meissonic"](given, no_noise), given.confidence)
    no_confidence = settings(order="meissonic", use_confidence=False)
    assert np.array_equal(ORDERS["meissonic"](given, no_confidence), given.noise)


def test_noise_scales() -> None:
    config = settings(num_steps=5, noise_temperature=(2.0, 0.0))
    assert [noise_scale(config, s) for s in range(5)] == [2.0, 1.5, 1.0, 0.5, 0.0]
    assert [noise_scale(config.with_(order="uncage"), s) for s in (0, 4)] == [2.0, 0.0]
    assert noise_scale(config.with_(num_steps=1), 0) == 2.0
    assert [noise_scale(config.with_(order="maskgit"), s) for s in (0, 4)] == pytest.approx([4.5 * 0.8, 0.0])
    assert noise_scale(config.with_(order="random"), 4) == 1.0
    assert [noise_scale(config.with_(order=o), 0) for o in ("confidence", "halton", "margin", "entropy")] == [0, 0, 0, 0]


def test_select_takes_the_highest_candidates_and_the_lower_index_of_equals() -> None:
    scores = np.array([1, 5, 5, 5, 9, 0], np.float32)
    candidates = np.array([1, 1, 1, 1, 0, 1], bool)
    assert np.flatnonzero(select(scores, candidates, 2)).tolist() == [1, 2]
    assert np.flatnonzero(select(scores, candidates, 4)).tolist() == [0, 1, 2, 3]
    assert np.flatnonzero(select(scores, candidates, 99)).tolist() == [0, 1, 2, 3, 5]
    assert not select(scores, candidates, 0).any()


def test_select_never_takes_a_committed_position_however_high_its_score() -> None:
    scores = np.full(6, -1e30, np.float32)
    scores[4] = 1e30
    candidates = np.arange(6) != 4
    assert not select(scores, candidates, 5)[4]


def test_forced_positions_come_first_and_use_up_places() -> None:
    scores = np.array([9, 8, 1, 0], np.float32)
    forced = np.array([0, 0, 0, 1], bool)
    assert np.flatnonzero(select(scores, np.ones(4, bool), 2, forced)).tolist() == [0, 3]
    assert np.flatnonzero(select(scores, np.ones(4, bool), 0, forced)).tolist() == [3]


def test_select_refuses_scores_that_are_not_numbers() -> None:
    with pytest.raises(FloatingPointError, match="1 of 3"):
        select(np.array([0, np.nan, 1], np.float32), np.ones(3, bool), 1)
    assert select(np.array([0, np.nan, 1], np.float32), np.array([1, 0, 1], bool), 1).tolist() == [False, False, True]


@pytest.mark.parametrize("grid", [(1, 1), (1, 9), (12, 12), (5, 7), (16, 16), (32, 32), (64, 64)])
def test_halton_visits_every_cell_once(grid: tuple[int, int]) -> None:
    order = halton_order(*grid)
    assert np.array_equal(np.sort(order), np.arange(grid[0] * grid[1]))


def radical_inverse(index: int, base: int) -> float:
    value, fraction = 0.0, 1.0 / base
    while index:
        index, digit = divmod(index, base)
        value, fraction = value + digit * fraction, fraction / base
    return value


def test_halton_is_first_visits_of_base_2_rows_and_base_3_columns_from_index_1() -> None:
    visits = [int(radical_inverse(i, 2) * 16 + 1e-12) * 16 + int(radical_inverse(i, 3) * 16 + 1e-12) for i in range(1, 3000)]
    assert halton_order(16, 16).tolist() == list(dict.fromkeys(visits))
    assert halton_order(4, 4)[:4].tolist() == [2 * 4 + 1, 1 * 4 + 2, 3 * 4 + 0, 0 * 4 + 1]


def test_halton_at_64x64_needs_10363_points() -> None:
    index = np.arange(1, 10_364)
    cells = [int(radical_inverse(int(i), 2) * 64) * 64 + int(radical_inverse(int(i), 3) * 64 + 1e-12) for i in index]
    assert len(set(cells[:10_000])) == 4090
    assert len(set(cells[:10_362])) == 4095
    assert len(set(cells)) == 4096
    assert halton_order(64, 64)[-1] == cells[-1]


def test_halton_refuses_other_sizes_and_cannot_be_written_to() -> None:
    for height, width in ((0, 4), (4, 1025)):
        with pytest.raises(ValueError, match="from 1 to 1024"):
            halton_order(height, width)
    with pytest.raises(ValueError, match="read-only"):
        halton_order(4, 4)[0] = 1


def test_rank_is_the_place_in_the_list_and_rolls() -> None:
    order = np.array([2, 0, 3, 1])
    assert visiting_rank(order).tolist() == [1, 3, 0, 2]
    assert visiting_rank(order, 1).tolist() == [0, 2, 3, 1]


def test_an_order_without_its_input_says_what_it_needs() -> None:
    nothing = np.zeros(2, np.float32)
    bare = StepContext(0, 8, np.ones(2, bool), nothing, nothing, nothing, 0.0)
    for name, needed in (("margin", "margin"), ("entropy", "entropy"), ("halton", "rank")):
        with pytest.raises(ValueError, match=rf"StepContext\.{needed}"):
            ORDERS[name](bare, settings(order=name))
