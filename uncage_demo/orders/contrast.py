"""The contrastive attention score of UNCAGE: attention of the image tokens to the subjects' words -> F_a.

Numpy only. Shapes: w words, n image tokens (y x grid, row-major), k text columns. Inner sums are float64, results float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int

from uncage_demo.orders.base import CONTRAST_MODES, RESCALE_MODES
from uncage_demo.types import Prompt, Subject

# Beyond four sigma a Gaussian weighs less than 1e-4 of its peak.
_BLUR_REACH_SIGMAS = 4.0
# Sigma of the neighbourhood that votes for an anchor, as a share of the anchor's own radius.
GATHER_FRAC = 0.6
# How far apart the anchors of one counted object lie at least, as a share of the grid's longer side: most of an embedded model's object.
APART_FRAC = 0.35


def contrastive_score(maps: Float[np.ndarray, "w n"], subjects: Sequence[Subject], mode: str = "both") -> Float[np.ndarray, " n"]:
    """F_a: for each object the weakest of its own maps minus the strongest foreign map, then the best object a position.

    Args:
        maps: "w n" one map per word of the prompt.
        subjects: objects with attributes; a group's map is the mean of its words' maps.
        mode: "both" min over P_o minus max over N_o; "positive" min over P_o; "negative" the object's own map minus max over N_o.

    Returns:
        "n" float32. Zeros without subjects. Without negatives (a single object) the subtracted maximum is 0.

    Raises:
        ValueError: an unknown mode, or a word index outside the maps.

    Source: 2508.05399 eq. 2 and 3.
    """
    contrasts = object_contrasts(maps, subjects, mode)
    return contrasts.max(axis=0).astype(np.float32) if subjects else np.zeros(maps.shape[1], np.float32)


def object_contrasts(maps: Float[np.ndarray, "w n"], subjects: Sequence[Subject], mode: str = "both") -> Float[np.ndarray, "o n"]:
    """F_a of each object on its own (eq. 2), before the best object a position is taken.

    Args:
        maps, subjects, mode: as `contrastive_score`.

    Returns:
        "o n" float64, one row per object.

    Raises:
        ValueError: an unknown mode, or a word index outside the maps.

    Source: 2508.05399 eq. 2.
    """
    if mode not in CONTRAST_MODES:
        raise ValueError(f"mode={mode!r}: choose one of {', '.join(CONTRAST_MODES)}")
    groups = [[_group_map(maps, group) for group in subject.groups] for subject in subjects]
    rows = []
    for o, own in enumerate(groups):
        positive = own[0] if mode == "negative" else np.minimum.reduce(own)
        foreign = [group for other, others in enumerate(groups) if other != o for group in others]
        rows.append(positive - np.maximum.reduce(foreign) if foreign and mode != "positive" else positive)
    return np.stack(rows) if rows else np.zeros((0, maps.shape[1]))


def anchors(
    maps: Float[np.ndarray, "w n"], subjects: Sequence[Subject], grid: tuple[int, int], radius_frac: float
) -> list[Int[np.ndarray, " _"]]:
    """The cells around which each object is being built: where the attention to its noun, gathered over a neighbourhood, is greatest.

    An object that is asked for more than once ("two cats") has as many anchors, at least APART_FRAC of the grid's side apart.

    Args:
        maps: "w n" attention of the words, before rescaling and blur (committed cells attend too, so what is drawn already counts most).
        subjects: the prompt's subjects.
        grid: token grid (y, x).
        radius_frac: as DecodingConfig.anchor_radius; the neighbourhood's sigma is GATHER_FRAC of it.

    Returns:
        For each object "c" int64 positions, the strongest first, the lowest index on a tie; fewer than asked for where no room is left.
    """
    nouns = np.stack([_group_map(maps, subject.groups[0]) for subject in subjects])
    sigma = GATHER_FRAC * radius_frac * max(grid)
    found = []
    for subject, gathered in zip(subjects, blur_maps(nouns, grid, sigma), strict=True):
        places = [int(gathered.argmax())]
        while len(places) < subject.count:
            room = squared_distances([np.array(places)], grid)[0] >= (APART_FRAC * max(grid)) ** 2
            if not room.any():
                break
            places.append(int(np.where(room, gathered, -np.inf).argmax()))
        found.append(np.array(places))
    return found


def squared_distances(places: Sequence[Int[np.ndarray, " _"]], grid: tuple[int, int]) -> Int[np.ndarray, "o n"]:
    """Squared distance, in cells, of every cell from the nearest anchor of each object: "o n"."""
    y, x = np.divmod(np.arange(grid[0] * grid[1]), grid[1])
    return np.stack([((y - y[own][:, None]) ** 2 + (x - x[own][:, None]) ** 2).min(axis=0) for own in places])


def anchored_score(
    contrasts: Float[np.ndarray, "o n"], places: Sequence[Int[np.ndarray, " _"]], grid: tuple[int, int], radius_frac: float
) -> Float[np.ndarray, " n"]:
    """F_n: a cell that belongs to an object is hurried near the object's anchor and held back away from it.

    F_n = max(0, F_a^o) (2 K_o - 1), with o the object of the largest contrast at the cell and K_o a Gaussian bump of height 1 at the
    nearest anchor of o. Parallel commits start an object in two places at once; here the second place waits, and by the time its turn
    comes the model has seen the first and draws background there.

    Args:
        contrasts: "o n" from `object_contrasts`.
        places: from `anchors`.
        grid: token grid (y, x).
        radius_frac: sigma of the bump as a fraction of the grid's longer side.

    Returns:
        "n" float32 within plus or minus the largest contrast; zeros without subjects.

    Source: this project.
    """
    if not len(contrasts):
        return np.zeros(grid[0] * grid[1], np.float32)
    near = np.exp(-squared_distances(places, grid) / (2 * (radius_frac * max(grid)) ** 2))
    owner = contrasts.argmax(axis=0)
    cells = np.arange(contrasts.shape[1])
    return (np.maximum(contrasts[owner, cells], 0) * (2 * near[owner, cells] - 1)).astype(np.float32)


def rescale_maps(maps: Float[np.ndarray, "w n"], mode: str) -> Float[np.ndarray, "w n"]:
    """Rescale every map on its own so that words of different strength can be compared.

    Args:
        maps: "w n", >= 0.
        mode: "none"; "max" divides by the maximum; "minmax" stretches to 0..1; "mean" divides by the mean.

    Returns:
        "w n" float64. A map that is zero everywhere (or flat, under "minmax") becomes zeros, never NaN.

    Raises:
        ValueError: unknown mode.
    """
    maps = maps.astype(np.float64)
    if mode == "none":
        return maps
    if mode == "minmax":
        maps = maps - maps.min(axis=1, keepdims=True)
    elif mode not in RESCALE_MODES:
        raise ValueError(f"contrast_rescale={mode!r}: choose one of {', '.join(RESCALE_MODES)}")
    size = maps.mean(axis=1, keepdims=True) if mode == "mean" else maps.max(axis=1, keepdims=True)
    return np.divide(maps, size, out=np.zeros_like(maps), where=size > 0)


def blur_maps(maps: Float[np.ndarray, "w n"], grid: tuple[int, int], sigma: float) -> Float[np.ndarray, "w n"]:
    """Separable Gaussian blur of maps on a grid; weights that fall outside are left out and the rest sum to 1.

    Args:
        maps: "w n" with n = y * x of `grid`.
        grid: (y, x).
        sigma: standard deviation in cells, >= 0; 0 leaves the maps alone.

    Returns:
        "w n" float64; a constant map stays constant up to the border.
    """
    height, width = grid
    fields = maps.astype(np.float64).reshape(-1, height, width)
    if sigma > 0:
        fields = _blur_matrix(height, float(sigma)) @ fields @ _blur_matrix(width, float(sigma)).T
    return fields.reshape(maps.shape)


def word_matrix(prompt: Prompt, columns: Sequence[int]) -> Float[np.ndarray, "w k"]:
    """Averages text columns into words: row w is 1/m at the m recorded columns of word w, zeros for a word without tokens."""
    place = {token: k for k, token in enumerate(columns)}
    matrix = np.zeros((len(prompt.words), len(place)))
    for w, word in enumerate(prompt.words):
        present = [place[token] for token in word.tokens if token in place]
        matrix[w, present] = 1.0 / max(1, len(present))
    return matrix


def attention_contrast(
    attention: Float[np.ndarray, "k n"],
    words: Float[np.ndarray, "w k"],
    subjects: Sequence[Subject],
    *,
    grid: tuple[int, int],
    sigma: float,
    rescale: str = "max",
    mode: str = "both",
    anchor_radius: float | None = None,
) -> Float[np.ndarray, " n"]:
    """From captured attention to F_a: columns -> word maps -> rescale -> blur -> eq. 2 and 3; or to F_n, anchored.

    Args:
        attention: "k n" attention of each image token to each text column, at the token grid.
        words: "w k" from `word_matrix`.
        subjects: the prompt's subjects.
        grid: token grid (y, x).
        sigma: blur in token-grid cells.
        rescale, mode: DecodingConfig.contrast_rescale and contrast_mode.
        anchor_radius: DecodingConfig.anchor_radius for the anchored contrast; None = F_a as published.

    Returns:
        "n" float32, finite.

    Source: 2508.05399 section 3.
    """
    raw = words @ attention.astype(np.float64)
    maps = blur_maps(rescale_maps(raw, rescale), grid, sigma)
    if anchor_radius is None or not subjects:
        return contrastive_score(maps, subjects, mode)
    return anchored_score(object_contrasts(maps, subjects, mode), anchors(raw, subjects, grid, anchor_radius), grid, anchor_radius)


def blur_in_cells(sigma: float, grid: tuple[int, int], attention_grid: tuple[int, int]) -> float:
    """Blur given in attention-grid cells, expressed in token-grid cells (they differ where a model attends at lower resolution)."""
    return sigma * grid[0] / attention_grid[0]


def untokenized_words(prompt: Prompt) -> list[str]:
    """Subject words that the text encoder gave no token to (cut off); contrast cannot be computed for them."""
    return [prompt.words[w].text for s in prompt.subjects for group in s.groups for w in group if not prompt.words[w].tokens]


def _group_map(maps: np.ndarray, group: Sequence[int]) -> np.ndarray:
    rows = list(group)
    if not rows or min(rows) < 0 or max(rows) >= len(maps):
        raise ValueError(f"word group {tuple(rows)}: give at least one word index from 0 to {len(maps) - 1}")
    return maps[rows].astype(np.float64).mean(axis=0) if len(rows) > 1 else maps[rows[0]].astype(np.float64)


@lru_cache(maxsize=64)
def _blur_matrix(size: int, sigma: float) -> np.ndarray:
    distance = np.arange(size)[:, None] - np.arange(size)[None, :]
    weights = np.exp(-0.5 * (distance / sigma) ** 2)
    weights[np.abs(distance) > np.ceil(_BLUR_REACH_SIGMAS * sigma)] = 0.0
    weights /= weights.sum(axis=1, keepdims=True)
    weights.flags.writeable = False
    return weights
