"""Statistics of paired, clustered, mostly binary results. Numbers in, numbers out; knows no files and no pictures.

Images of one prompt are not independent, so every interval is a bootstrap that draws whole clusters (prompts).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

DRAWS = 10_000
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval.

    Args:
        value: the mean (of a rate: 0..1).
        low, high: the interval's ends; nan where there are fewer than two clusters.
        count: number of images; clusters: number of prompts (or pairs of prompts).
    """

    value: float
    low: float
    high: float
    count: int
    clusters: int


@dataclass(frozen=True)
class Comparison:
    """One method against another on the same prompts and seeds.

    Args:
        difference: mean of method minus baseline, with its interval.
        win, tie, loss: images on which the method is better, equal, worse.
        p_value: exact McNemar for binary results, else the two-sided sign test over wins and losses (the same formula).
    """

    difference: Estimate
    win: int
    tie: int
    loss: int
    p_value: float


def rate(values: Sequence[float] | np.ndarray, clusters: Sequence[Hashable], *, draws: int = DRAWS, seed: int = 0) -> Estimate:
    """Mean with a 95 % percentile interval by bootstrap over clusters.

    Args:
        values: one number an image.
        clusters: one cluster name an image.
        draws: bootstrap draws; seed: of the draws.

    Returns:
        Estimate. When every value is the same 0 or 1, the bootstrap has no width; the other end is then the exact (Clopper-Pearson)
        bound for as many trials as there are clusters.
    """
    return rates(np.asarray(values, np.float64)[:, None], clusters, draws=draws, seed=seed)[0]


def rates(columns: np.ndarray, clusters: Sequence[Hashable], *, draws: int = DRAWS, seed: int = 0) -> list[Estimate]:
    """`rate` of every column of "n c" numbers, with the same draws (many columns cost little more than one)."""
    lows, highs = bootstrap_intervals(columns, clusters, draws=draws, seed=seed)
    number, slack = len(set(clusters)), 0.0
    if number > 1:
        slack = 1 - ((1 - LEVEL) / 2) ** (1 / number)
    estimates = []
    for data, low, high in zip(columns.T, lows, highs, strict=True):
        value = float(data.mean())
        if number > 1 and value in (0.0, 1.0) and (data == value).all():
            low, high = (0.0, slack) if value == 0.0 else (1 - slack, 1.0)
        estimates.append(Estimate(value, float(low), float(high), len(data), number))
    return estimates


def paired(
    method: Sequence[float] | np.ndarray,
    baseline: Sequence[float] | np.ndarray,
    clusters: Sequence[Hashable],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Comparison:
    """Method minus baseline on the same images (same prompt, same seed), in the same order.

    Raises:
        ValueError: when the lengths differ or nothing is given.
    """
    if len(method) != len(baseline):
        raise ValueError(f"paired results of different length: {len(method)} and {len(baseline)}")
    difference = np.asarray(method, np.float64) - np.asarray(baseline, np.float64)
    return paired_many(difference[:, None], clusters, draws=draws, seed=seed)[0]


def paired_many(differences: np.ndarray, clusters: Sequence[Hashable], *, draws: int = DRAWS, seed: int = 0) -> list[Comparison]:
    """`paired` for every column of "n m" differences (method minus baseline), with the same draws."""
    lows, highs = bootstrap_intervals(differences, clusters, draws=draws, seed=seed)
    comparisons = []
    for data, low, high in zip(differences.T, lows, highs, strict=True):
        win, loss = int((data > 0).sum()), int((data < 0).sum())
        estimate = Estimate(float(data.mean()), float(low), float(high), len(data), len(set(clusters)))
        comparisons.append(Comparison(estimate, win, len(data) - win - loss, loss, mcnemar_exact(win, loss)))
    return comparisons


def bootstrap_intervals(
    columns: np.ndarray, clusters: Sequence[Hashable], *, draws: int = DRAWS, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """95 % percentile intervals of the means when whole clusters are drawn with replacement.

    Args:
        columns: "n c" numbers.
        clusters: n cluster names.
        draws: bootstrap draws; seed: of the draws.

    Returns:
        low "c" and high "c"; nan below two clusters.

    Raises:
        ValueError: when nothing is given, a value is not finite, or values and clusters differ in length.
    """
    if len(columns) == 0:
        raise ValueError("no values: nothing to estimate")
    if len(columns) != len(clusters):
        raise ValueError(f"{len(columns)} values but {len(clusters)} cluster names")
    if not np.isfinite(columns).all():
        raise ValueError("a value is not finite")
    # Sorted by name, so that the order of the lines in a file does not move the interval.
    index = {name: i for i, name in enumerate(sorted(set(clusters), key=str))}
    if len(index) < 2:
        nothing = np.full(columns.shape[1], math.nan)
        return nothing, nothing
    member = np.zeros((len(index), len(columns)))
    member[[index[name] for name in clusters], np.arange(len(columns))] = 1.0
    weights = _bootstrap_weights(len(index), draws, seed)
    means = (weights @ (member @ columns)) / (weights @ member.sum(axis=1))[:, None]
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(means, [tail, 100 - tail], axis=0)
    return low, high


def mcnemar_exact(win: int, loss: int) -> float:
    """Two-sided exact McNemar test: the probability of a split at least as uneven as win : loss when both are equally likely.

    It takes images for independent, which images of one prompt are not: read it beside the clustered interval.
    """
    if win < 0 or loss < 0:
        raise ValueError(f"win={win}, loss={loss}: counts must not be negative")
    total = win + loss
    if total == 0:
        return 1.0
    ways, tail = 1, 1  # of k of them, and of at most k, one from the other: binomial coefficients anew would be quadratic work
    for k in range(min(win, loss)):
        ways = ways * (total - k) // (k + 1)
        tail += ways
    return min(1.0, (2 * tail) / 2**total)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p values, in the order given."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = running
    return adjusted


@lru_cache(maxsize=8)
def _bootstrap_weights(clusters: int, draws: int, seed: int) -> np.ndarray:
    """How often each cluster is drawn: "r c" float64. Shared by all columns of a table, so comparisons use the same draws."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=draws).astype(np.float64)
