"""Spread: cells that are committed in one step keep a distance from each other. A filter on any order. Arrays only.

Cells beside each other depend on each other most, and what is committed in one step is drawn as if it did not.

Source: "Plan for Speed: Dilated Scheduling" (PMLR v306), which also filters orders that follow the model.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float


def spread(
    scores: Float[np.ndarray, " n"],
    candidates: Bool[np.ndarray, " n"],
    count: int,
    taken: Bool[np.ndarray, " n"],
    grid: tuple[int, int],
    spacing: float,
) -> Bool[np.ndarray, " n"]:
    """The `count` candidates of highest score that keep their distance; where too few do, the distance shrinks by one cell.

    Args:
        scores: "n" float32; ties go to the lower index.
        candidates: "n" bool, those that may be taken.
        count: how many to take, at most as many as there are candidates.
        taken: "n" bool, cells of this step that are taken already.
        grid: token grid (y, x).
        spacing: least distance between the centres of two cells, in cells; 1 and less is no filter at all.

    Returns:
        "n" bool, without `taken`.
    """
    places = np.stack(np.divmod(np.arange(len(scores)), grid[1]), axis=1)
    chosen, taken = np.zeros(len(scores), bool), taken.copy()
    ranked = np.flatnonzero(candidates & ~taken)
    ranked = ranked[np.argsort(-scores[ranked], kind="stable")]
    while chosen.sum() < count and len(ranked):
        for cell in ranked:
            if chosen.sum() == count:
                break
            apart = places[taken] - places[cell]
            if (apart**2).sum(axis=1).min(initial=1 << 30) >= spacing**2:
                chosen[cell] = taken[cell] = True
        ranked = ranked[~chosen[ranked]]
        spacing -= 1
    return chosen
