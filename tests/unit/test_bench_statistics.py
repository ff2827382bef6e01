"""Statistics against cases worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from uncage_demo.bench.statistics import bootstrap_intervals, holm, mcnemar_exact, paired, rate, rates


def bootstrap_interval(values: np.ndarray, clusters: Sequence[object], **options: int) -> tuple[float, float]:
    low, high = bootstrap_intervals(values[:, None], clusters, **options)  # pyright: ignore[reportArgumentType]
    return float(low[0]), float(high[0])


def test_mcnemar_by_hand() -> None:
    # 1 win, 5 losses: P(X <= 1 | 6, 1/2) = (1 + 6) / 64, twice.
    assert mcnemar_exact(1, 5) == pytest.approx(14 / 64)
    assert mcnemar_exact(5, 1) == mcnemar_exact(1, 5)
    assert mcnemar_exact(0, 10) == pytest.approx(2 / 1024)
    assert mcnemar_exact(3, 3) == 1.0
    assert mcnemar_exact(0, 0) == 1.0
    with pytest.raises(ValueError, match="win=-1"):
        mcnemar_exact(-1, 2)


def test_mcnemar_large_counts_do_not_overflow() -> None:
    assert 0 < mcnemar_exact(3000, 2800) < 0.01


def test_holm_by_hand() -> None:
    # sorted: .01*4=.04, .02*3=.06, .03*2=.06, .04*1 -> kept at .06
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_rate_and_win_tie_loss() -> None:
    result = paired([1, 1, 0, 1], [0, 1, 1, 0], ["a", "a", "b", "b"])
    assert (result.win, result.tie, result.loss) == (2, 1, 1)
    assert result.difference.value == pytest.approx(0.25)
    assert result.p_value == 1.0
    assert result.difference.clusters == 2


def test_bootstrap_draws_whole_clusters() -> None:
    # Two clusters, one all 1 and one all 0, of equal size: the mean of a draw is 0, 1/2 or 1 only (probabilities 1/4, 1/2, 1/4),
    # so the 95 % interval is exactly [0, 1] however many images each cluster holds.
    values = np.array([1.0] * 500 + [0.0] * 500)
    assert bootstrap_interval(values, ["a"] * 500 + ["b"] * 500) == (0.0, 1.0)
    # The same numbers as independent images give a narrow interval.
    low, high = bootstrap_interval(values, list(range(1000)), draws=2000)
    assert 0.46 < low < 0.48
    assert 0.52 < high < 0.54


def test_interval_matches_the_normal_one_for_independent_images() -> None:
    rng = np.random.default_rng(3)
    values = (rng.random(2000) < 0.3).astype(float)
    low, high = bootstrap_interval(values, list(range(2000)), draws=2000)
    half = 1.96 * math.sqrt(values.mean() * (1 - values.mean()) / 2000)
    assert low == pytest.approx(values.mean() - half, abs=0.003)
    assert high == pytest.approx(values.mean() + half, abs=0.003)


def test_interval_does_not_depend_on_the_order_of_lines() -> None:
    rng = np.random.default_rng(0)
    values, names = rng.random(60), [f"p{i % 12}" for i in range(60)]
    shuffled = rng.permutation(60)
    assert bootstrap_interval(values, names) == pytest.approx(bootstrap_interval(values[shuffled], [names[i] for i in shuffled]))


def test_all_zero_rate_still_has_an_upper_bound() -> None:
    estimate = rate([0] * 20, [f"p{i // 2}" for i in range(20)])
    assert estimate.low == 0
    assert estimate.high == pytest.approx(1 - 0.025 ** (1 / 10))  # ten prompts, not twenty images
    assert rate([1] * 4, "abcd").low == pytest.approx(0.025 ** (1 / 4))


def test_one_cluster_has_no_interval() -> None:
    estimate = rate([0, 1, 1], ["a", "a", "a"])
    assert math.isnan(estimate.low)
    assert estimate.value == pytest.approx(2 / 3)


def test_unequal_clusters_use_the_ratio() -> None:
    assert rate([1, 1, 1, 0], ["a", "a", "a", "b"]).value == 0.75
    # 20 prompts of nine pictures that are right and 20 of one that is wrong: nine in ten pictures, though one in two prompts.
    names = [f"long {i}" for i in range(20) for _ in range(9)] + [f"short {i}" for i in range(20)]
    low, high = bootstrap_interval(np.repeat([1.0, 0.0], [180, 20]), names, draws=500)
    assert 0.8 < low < 0.9 < high < 0.96


@pytest.mark.parametrize(
    ("values", "clusters", "message"),
    [([], [], "no values"), ([1.0], ["a", "b"], "1 values but 2"), ([float("nan"), 1.0], ["a", "b"], "not finite")],
)
def test_bad_input_is_refused(values: list[float], clusters: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(np.array(values), clusters)
    with pytest.raises(ValueError, match="different length"):
        paired([1.0], [1.0, 0.0], ["a"])


def test_many_columns_give_what_each_gives_alone() -> None:
    rng = np.random.default_rng(1)
    columns = (rng.random((60, 4)) < 0.4).astype(float)
    names = [f"p{i % 15}" for i in range(60)]
    together = rates(columns, names)
    for i, one in enumerate(together):
        alone = rate(columns[:, i], names)
        assert (one.value, one.count, one.clusters) == (alone.value, alone.count, alone.clusters)
        assert (one.low, one.high) == pytest.approx((alone.low, alone.high))
