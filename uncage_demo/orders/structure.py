"""Structure from a picture: which cells look around in the picture as the cells of a guiding picture do. Pure arrays.

Shapes: n image tokens (y x grid, row-major), l layers, h heads; maps are "l h k n", how much image token n attends to image token k.
Source: 2302.05496 (MaskSketch).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

# Added to attention before its logarithm.
LEAST = 1e-6


def likeness(guide: np.ndarray, found: np.ndarray) -> np.ndarray:
    """How alike the attention of each cell is in two pictures: sum_k g log f + f log g, the mean over layers and heads.

    Attention between image tokens is scaled to a sum of 1 first, so that what goes to the text does not count.

    Args:
        guide, found: "l h k n" attention, >= 0.

    Returns:
        "n" float32, <= 0; greater is more alike.
    """
    import numpy as np

    one, other = (maps.astype(np.float32) + np.float32(LEAST) for maps in (guide, found))
    one, other = (maps / maps.sum(axis=2, keepdims=True) for maps in (one, other))
    return (one * np.log(other) + other * np.log(one)).sum(axis=2).mean(axis=(0, 1)).astype(np.float32)


def structure_score(alike: np.ndarray, confidence: np.ndarray, free: np.ndarray, weight: float) -> np.ndarray:
    """F = w s + (1 - w) c: likeness and probability, each scaled to 0..1 over the free cells.

    MaskSketch masks the least alike and the least probable cells as two sets; one sum keeps the number that the schedule asks for.

    Args:
        alike: "n" from `likeness`.
        confidence: "n" float32, log p of what each cell holds or drew.
        free: "n" bool, the cells that are drawn; others count for nothing.
        weight: w, 0..1.

    Returns:
        "n" float32.
    """
    import numpy as np

    def scaled(values: np.ndarray) -> np.ndarray:
        low, high = values[free].min(), values[free].max()
        return np.clip((values - low) / (high - low), 0, 1) if high > low else np.zeros_like(values)

    return (weight * scaled(alike) + (1 - weight) * scaled(np.exp(confidence))).astype(np.float32)


def outdone(scores: np.ndarray, masked: np.ndarray, held: np.ndarray, stay: int) -> np.ndarray:
    """The held cells that are not among the best of all free ones when `stay` of them have to be masked: "n" bool.

    Args:
        scores: "n" of `structure_score`.
        masked, held: "n" bool, still masked, and committed earlier and free to be opened.
        stay: how many are masked when the step has ended.
    """
    import numpy as np

    free = np.flatnonzero(masked | held)
    worst = free[np.argsort(scores[free], kind="stable")[:stay]]
    opened = np.zeros(len(scores), bool)
    opened[worst] = True
    return opened & held
