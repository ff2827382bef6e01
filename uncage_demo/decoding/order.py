"""Where next: one pure function a strategy, (StepContext, DecodingConfig) -> scores "n" float32, higher = committed earlier.

Scores live on the CPU as float32 numpy arrays whatever device the model runs on, so an order is the same everywhere.
A strategy scores every position; `select` looks at masked positions alone, so committed ones cannot come back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int

from uncage_demo.config import GUIDED_ORDERS, DecodingConfig

MASKGIT_CHOICE_TEMPERATURE = 4.5


@dataclass(frozen=True)
class StepContext:
    """What a strategy may look at; all arrays "n", row-major.

    Args:
        step, num_steps: s and T.
        masked: bool, still masked when the step began.
        confidence: float32, F_c = log p(x0).
        noise: float32, F_g = noise_scale(config, step) times Gumbel noise.
        contrast: float32, F_a before the weight; 0 without subjects or attention.
        weight: w_a in force at this step.
        margin: float32 p(1st) - p(2nd); only for the order "margin".
        entropy: float32 nats; only for the order "entropy".
        rank: int, place in the fixed visiting order (0 = first); only for the order "halton".
    """

    step: int
    num_steps: int
    masked: np.ndarray
    confidence: np.ndarray
    noise: np.ndarray
    contrast: np.ndarray
    weight: float
    margin: np.ndarray | None = None
    entropy: np.ndarray | None = None
    rank: np.ndarray | None = None


OrderFunction = Callable[[StepContext, DecodingConfig], np.ndarray]


def score_random(context: StepContext, config: DecodingConfig) -> np.ndarray:
    """F = F_g, Gumbel noise alone (the UNCAGE paper's "random")."""
    return context.noise


def score_confidence(context: StepContext, config: DecodingConfig) -> np.ndarray:
    """F = F_c = log p(x0); MaskGIT without noise."""
    return context.confidence


def score_meissonic(context: StepContext, config: DecodingConfig) -> np.ndarray:
    """F = F_c + tau_s G, the baseline (2508.05399 eq. 1); use_confidence and use_noise drop a term."""
    return _sum_terms(context, config.use_confidence, config.use_noise)


def score_maskgit(context: StepContext, config: DecodingConfig) -> np.ndarray:
    """F = log p(x0) + 4.5 (1 - (s+1)/T) G (google-research/maskgit); use_confidence and use_noise drop a term."""
    return _sum_terms(context, config.use_confidence, config.use_noise)


def score_halton(context: StepContext, config: DecodingConfig) -> np.ndarray:
    """F = minus the place in the Halton visiting order, whatever the model thinks (2503.17076)."""
    return -_needed(context.rank, "rank").astype(np.float32)


def score_margin(context: StepContext, config: DecodingConfig) -> np.ndarray:
    """F = p(1st) - p(2nd) (2502.06768)."""
    return _needed(context.margin, "margin")


def score_entropy(context: StepContext, config: DecodingConfig) -> np.ndarray:
    """F = minus the entropy of p."""
    return -_needed(context.entropy, "entropy")


def score_uncage(context: StepContext, config: DecodingConfig) -> np.ndarray:
    """F = F_c + F_g + w_a F_a during the guided steps, afterwards the baseline (2508.05399 eq. 4).

    use_confidence and use_noise drop a term of the guided score only (the paper's Table 5): after the guided steps
    the order is the whole baseline. With weight 0 nothing is added, so the result is the baseline bit for bit.
    """
    if context.step >= config.guided_steps:
        return _sum_terms(context, True, True)
    base = _sum_terms(context, config.use_confidence, config.use_noise)
    if context.weight == 0:
        return base
    return base + np.float32(context.weight) * context.contrast


ORDERS: dict[str, OrderFunction] = {
    "random": score_random,
    "confidence": score_confidence,
    "meissonic": score_meissonic,
    "maskgit": score_maskgit,
    "halton": score_halton,
    "margin": score_margin,
    "entropy": score_entropy,
    "uncage": score_uncage,
    # The same sum; what differs is the term in context.contrast (see `uncage.anchored_score`).
    "anchored": score_uncage,
    # The baseline, twice: a draft, then all but one place an object again (see `redraw`).
    "redraw": score_meissonic,
}


def noise_scale(config: DecodingConfig, step: int) -> float:
    """Factor of the Gumbel noise in the score: 1 for random, MaskGIT's own for maskgit, tau_s for the baseline and all built on it, else 0.

    tau_s runs linearly from noise_temperature[0] at the first step to noise_temperature[1] at the last.
    0 also where use_noise drops the term, so that what is recorded is what was added.
    """
    if config.order == "random":
        return 1.0
    if config.order == "maskgit":
        return MASKGIT_CHOICE_TEMPERATURE * (1.0 - (step + 1) / config.num_steps) if config.use_noise else 0.0
    if config.order not in ("meissonic", "redraw", *GUIDED_ORDERS):
        return 0.0
    in_force = config.use_noise or (config.order in GUIDED_ORDERS and step >= config.guided_steps)
    if not in_force:
        return 0.0
    start, end = config.noise_temperature
    return start if config.num_steps == 1 else start + (end - start) * step / (config.num_steps - 1)


def weight_at(config: DecodingConfig, step: int) -> float:
    """w_a in force at a step: contrast_weight during the guided steps of a guided order, else 0."""
    return float(config.contrast_weight) if config.order in GUIDED_ORDERS and step < config.guided_steps else 0.0


def select(
    scores: Float[np.ndarray, " n"], candidates: Bool[np.ndarray, " n"], count: int, forced: Bool[np.ndarray, " n"] | None = None
) -> Bool[np.ndarray, " n"]:
    """The `count` candidates of highest score; ties go to the lower index.

    Args:
        scores: "n" float32.
        candidates: "n" bool; others are never looked at, whatever their score.
        count: how many to take; limited by the number of candidates.
        forced: candidates taken first, whatever their score (an edit of the user); they use up places of `count`, all of them if need be.

    Returns:
        "n" bool.

    Raises:
        FloatingPointError: when a candidate's score is NaN (the model's output was not finite).
    """
    chosen = np.zeros(len(scores), bool)
    if forced is not None:
        chosen |= forced & candidates
    free = np.flatnonzero(candidates & ~chosen)
    values = scores[free]
    if np.isnan(values).any():
        raise FloatingPointError(f"{int(np.isnan(values).sum())} of {len(values)} scores are NaN: the model's logits are not finite")
    remaining = max(0, count - int(chosen.sum()))
    chosen[free[np.argsort(-values, kind="stable")[:remaining]]] = True
    return chosen


@lru_cache(maxsize=32)
def _halton_order(height: int, width: int) -> np.ndarray:
    cells = height * width
    order, seen = np.empty(cells, np.int64), np.zeros(cells, bool)
    found, first, block = 0, 1, max(64, 2 * cells)
    while found < cells:
        index = np.arange(first, first + block)
        visited = _radical_floor(index, 2, height) * width + _radical_floor(index, 3, width)
        _, earliest = np.unique(visited, return_index=True)
        fresh = visited[np.sort(earliest)]
        fresh = fresh[~seen[fresh]]
        order[found : found + len(fresh)] = fresh
        seen[fresh] = True
        found, first = found + len(fresh), first + block
    order.flags.writeable = False
    return order


def halton_order(height: int, width: int) -> Int[np.ndarray, " n"]:
    """Visiting order of a grid by Halton points: bases 2 (rows) and 3 (columns), from index 1, first visits only, every cell once.

    Args:
        height, width: grid size, 1..1024 each.

    Returns:
        "n" int64, a permutation of 0..height*width-1 (row-major cells), read-only. Computed in whole numbers, so it is exact.

    Raises:
        ValueError: a size out of range.

    Source: 2503.17076 (which stops after 10,000 points; a 64x64 grid needs 10,363).
    """
    for name, value in (("height", height), ("width", width)):
        if not 1 <= value <= 1024:
            raise ValueError(f"{name}={value!r}: give a whole number from 1 to 1024")
    return _halton_order(int(height), int(width))


def visiting_rank(order: Int[np.ndarray, " n"], offset: int = 0) -> Int[np.ndarray, " n"]:
    """Place of every cell in a visiting order (0 = first), after rolling the list so that it begins at `offset`."""
    rank = np.empty(len(order), np.int64)
    rank[order] = (np.arange(len(order)) - offset) % len(order)
    return rank


def _radical_floor(index: np.ndarray, base: int, size: int) -> np.ndarray:
    """floor(size * radical inverse of index): the digits mirrored at the point, in exact whole-number arithmetic."""
    rest, mirrored, scale = index.copy(), np.zeros_like(index), 1
    while rest.any():
        mirrored = mirrored * base + rest % base
        rest //= base
        scale *= base
    return mirrored * size // scale


def _sum_terms(context: StepContext, use_confidence: bool, use_noise: bool) -> np.ndarray:
    total = context.confidence if use_confidence else np.zeros_like(context.confidence)
    return total + context.noise if use_noise else total


def _needed(values: np.ndarray | None, name: str) -> np.ndarray:
    if values is None:
        raise ValueError(f"this order needs StepContext.{name}, which is None")
    return values
