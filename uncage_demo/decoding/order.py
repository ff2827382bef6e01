"""Where next: an order's scores pick the positions that are committed. What the orders are: `uncage_demo.orders.table`.

Every position is scored; `select` looks at masked positions alone, so committed ones cannot come back.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.redraw import phase_at
from uncage_demo.orders.base import Term
from uncage_demo.orders.spacing import spread
from uncage_demo.orders.table import ORDERS
from uncage_demo.trace.record import Trace
from uncage_demo.trace.story import settings_of_steps


def noise_scale(config: DecodingConfig, step: int) -> float:
    """Factor of the Gumbel noise in the score at a step; 0 where the noise is not one of the terms, so that what is recorded was added."""
    order = ORDERS[config.order]
    return order.noise(config, step) if "noise" in order.terms_at(config, step) else 0.0


def weight_at(config: DecodingConfig, step: int) -> float:
    """w_a in force at a step: contrast_weight where the order's score reads the contrast, else 0."""
    return float(config.contrast_weight) if ORDERS[config.order].reads_contrast(config, step) else 0.0


def recorded_terms(trace: Trace) -> list[tuple[Term, ...] | None]:
    """Which terms each recorded step's scores are the sum of, as the order's entry says; None for a score that is a value of its own.

    Args:
        trace: any run, from a file of any age.

    Returns:
        One entry per record. The contrast counts where it had a weight.
    """
    sketched = trace.origin is not None and trace.origin.kind == "sketch"  # its score is likeness and probability, whatever the order
    told: list[tuple[Term, ...] | None] = []
    for record, settings in zip(trace.steps, settings_of_steps(trace), strict=True):
        config, step = phase_at(settings, record.step)
        order = ORDERS[config.order]
        terms = order.terms_at(config, step)
        told.append(None if order.terms is None or sketched else tuple(term for term in terms if term != "contrast" or record.weight != 0))
    return told


def select(
    scores: Float[np.ndarray, " n"],
    candidates: Bool[np.ndarray, " n"],
    count: int,
    forced: Bool[np.ndarray, " n"] | None = None,
    *,
    grid: tuple[int, int] | None = None,
    spacing: float = 0.0,
) -> Bool[np.ndarray, " n"]:
    """The `count` candidates of highest score; ties go to the lower index.

    Args:
        scores: "n" float32.
        candidates: "n" bool; others are never looked at, whatever their score.
        count: how many to take; limited by the number of candidates.
        forced: candidates taken first, whatever their score (an edit of the user); they use up places of `count`, all of them if need be.
        grid, spacing: token grid (y, x), and the least distance that chosen cells keep where that is possible (see `spacing.spread`).

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
    if grid is not None and spacing > 1:
        return chosen | spread(scores, candidates, remaining, chosen, grid, spacing)
    chosen[free[np.argsort(-values, kind="stable")[:remaining]]] = True
    return chosen
