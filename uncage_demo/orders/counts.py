"""How many: how many cells a step commits. Pure arrays; knows no model, no settings class, no user interface.

The usual answer is a schedule, known before the run begins. The others ask the model: then T is the most steps that a run may take, and it
ends as soon as nothing is masked. Shapes: n image tokens (row-major). T = number of steps, s = 0-based step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Count:
    """One way of deciding how many cells a step commits.

    Args:
        name: as settings store it.
        about: what it commits, in one clause.
        varies: whether a run may end before its last step.
    """

    name: str
    about: str
    varies: bool = True


SCHEDULED = "schedule"
ENTROPY, CONFIDENCE, HITTING = "entropy", "confidence", "first_hitting"
COUNTS: dict[str, Count] = {
    count.name: count
    for count in (
        Count(SCHEDULED, "as many as the schedule says", varies=False),
        Count(ENTROPY, "as many as keep the sum of their entropies, without the greatest, within the budget"),
        Count(CONFIDENCE, "every cell whose token is at least as probable as the threshold"),
        Count(HITTING, "chance decides: each cell has a random time of its own, along the schedule's curve"),
    )
}


def least(num_masked: int, step: int, num_steps: int) -> int:
    """What a step commits at least: an even share of what is masked, and so at least one, so that T steps are always enough.

    Args:
        num_masked: positions still masked, >= 0.
        step: s, 0..T-1.
        num_steps: T.
    """
    return -(-num_masked // (num_steps - step))


def within_entropy(scores: np.ndarray, entropy: np.ndarray, masked: np.ndarray, budget: float) -> int:
    """How many cells, in the order's ranking, keep sum(H) - max(H) within the budget; the first always does.

    Args:
        scores: "n" float32 of the order.
        entropy: "n" float32, nats.
        masked: "n" bool.
        budget: gamma, nats, >= 0.

    Source: 2505.24857, eq. 8 (EB-Sampler).
    """
    import numpy as np

    cells = np.flatnonzero(masked)
    ranked = entropy[cells[np.argsort(-scores[cells], kind="stable")]].astype(np.float64)
    joint = np.cumsum(ranked) - np.maximum.accumulate(ranked)
    over = np.flatnonzero(joint > budget)
    return int(over[0]) if len(over) else len(cells)


def above_threshold(confidence: np.ndarray, masked: np.ndarray, threshold: float) -> int:
    """How many masked cells drew a token of at least this probability.

    Args:
        confidence: "n" float32, log p of the drawn token.
        masked: "n" bool.
        threshold: 0..1.
    """
    import numpy as np

    return int((np.exp(confidence[masked].astype(np.float64)) >= threshold).sum())


def hitting_levels(uniforms: np.ndarray) -> np.ndarray:
    """Mask levels at which the cells of a run are unmasked one after the other: "n" float64, falling, each in (0, 1).

    Each cell is unmasked when the share of masked cells falls below a level of its own, uniform in (0, 1). The greatest of k such levels
    has a closed form, u^(1/k) times the level before it, so that no small time steps are needed.

    Args:
        uniforms: "n" float64 in (0, 1). In float32 the powers of large k would be cut off near 1.

    Source: 2409.02908, section 4 (first-hitting sampler).
    """
    import numpy as np

    left = np.arange(len(uniforms), 0, -1)
    return np.exp(np.cumsum(np.log(uniforms.astype(np.float64)) / left))
