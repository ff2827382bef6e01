"""Draft and redraw: spend the last steps on drawing again everything but one place an object.

A draft commits many cells at once, so an object is easily begun twice. When the draft is full, the attention of its last forward tells
which cells belong to which object; one place an object is kept, all else is masked again and drawn with those places in view.
Numpy only. Shapes: w words, n image tokens (y x grid, row-major), k text columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from uncage_demo.config import DecodingConfig
from uncage_demo.orders.contrast import anchors, blur_maps, object_contrasts, rescale_maps, squared_distances
from uncage_demo.types import Subject

# A cell belongs to an object where its contrast (maps rescaled to a maximum of 1) is above this.
OWNED_CONTRAST = 0.2
# How far from its anchor an object's cells are kept, as a share of the grid's longer side: half an object's diagonal in the embedded model.
KEPT_REACH_FRAC = 0.29


def phase_at(config: DecodingConfig, step: int) -> tuple[DecodingConfig, int]:
    """Settings and step as the draft or the redraw sees them: each is a whole run of its own, with its own schedule from start to end.

    Args:
        config: settings; R = redrawn_steps.
        step: s of the whole run, 0..T-1.

    Returns:
        Settings with the phase's number of steps (T - R for the draft; R for the redraw, which is not guided), and the step within it.
        What was given where there is no redraw.
    """
    if not config.redrawn_steps:
        return config, step
    draft = config.draft_steps
    if step < draft:
        return config.with_(num_steps=draft, redraw_steps=0, contrast_steps=config.guided_steps), step
    return config.with_(num_steps=config.redrawn_steps, redraw_steps=0, contrast_steps=0), step - draft


def object_places(
    attention: Float[np.ndarray, "k n"],
    words: Float[np.ndarray, "w k"],
    subjects: Sequence[Subject],
    *,
    grid: tuple[int, int],
    sigma: float,
    radius_frac: float,
) -> tuple[Float[np.ndarray, "o n"], Float[np.ndarray, "o n"]]:
    """Each object's contrast at every cell, and every cell's distance from the object's nearest anchor (one for each that is asked for).

    Args:
        attention: "k n" attention of each image token to each text column, at the token grid.
        words: "w k" from `uncage.word_matrix`.
        subjects: the prompt's subjects, at least one.
        grid: token grid (y, x).
        sigma: blur in token-grid cells.
        radius_frac: DecodingConfig.anchor_radius, for finding the anchors.

    Returns:
        "o n" float64 contrast of maps rescaled to a maximum of 1, and "o n" float64 distance in cells.

    Source: the contrast is 2508.05399 eq. 2; anchors are this project's.
    """
    raw = words @ attention.astype(np.float64)
    contrasts = object_contrasts(blur_maps(rescale_maps(raw, "max"), grid, sigma), subjects)
    return contrasts, np.sqrt(squared_distances(anchors(raw, subjects, grid, radius_frac), grid))


def kept_cells(contrasts: Float[np.ndarray, "o n"], distances: Float[np.ndarray, "o n"], grid: tuple[int, int]) -> Bool[np.ndarray, "o n"]:
    """The cells of one place per object: its own by contrast, and near its anchor. An object that no cell belongs to keeps none.

    Args:
        contrasts, distances: "o n" from `object_places`.
        grid: token grid (y, x).

    Returns:
        "o n" bool; a cell belongs to one object at most.

    Source: this project.
    """
    owner = np.arange(len(contrasts))[:, None] == contrasts.argmax(axis=0)
    return owner & (contrasts > OWNED_CONTRAST) & (distances <= KEPT_REACH_FRAC * max(grid))
