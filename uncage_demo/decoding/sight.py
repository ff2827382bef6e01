"""Own words only: in the redraw, each place reads the words of its own object, and everything else reads no object's words.

An order decides when a cell is committed, not what the model draws there. A colour leaks because every cell reads every word, and a second
turtle appears because the empty meadow reads "turtle" too. When the draft is full, attention has told whose place is whose; from then on
a cell's attention to the others' words is masked. That costs nothing: it is the same forward with a mask.
Numpy only. Shapes: o objects, w words, n image tokens (y x grid, row-major), t text tokens.

Source: this project. Related: regions bound to phrases by masked cross-attention, given by hand (2302.08113) or found on the way
(2403.16990).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, UInt8, UInt16

from uncage_demo.decoding.redraw import KEPT_REACH_FRAC, kept_cells, object_places
from uncage_demo.orders.revise import REASON_CODE
from uncage_demo.types import Prompt, Subject

# Bits of a cell's sight: one per subject.
MAX_SUBJECTS = 16
# A place of fewer cells than this is no object: its object is missing, and may appear wherever no other one is.
LEAST_CELLS = 10
# Attention to a word below this says nothing: the start token alone has more.
VOUCHED = 0.02


def doubtful_objects(maps: Float[np.ndarray, "w n"], kept: Bool[np.ndarray, "o n"], subjects: Sequence[Subject]) -> tuple[int, ...]:
    """Objects whose attributes attention cannot vouch for: their place may have been drawn after somebody else's word.

    A place is vouched for where it attends to each of its own attributes, more than to any foreign one. A model whose attention to
    colours is faint vouches for none.

    Args:
        maps: "w n" attention of the words, before rescaling and blur.
        kept: "o n" the cells of each object's place.
        subjects: the prompt's subjects.

    Returns:
        Indices of subjects. Objects without attributes, without cells or without foreign attributes are never among them.
    """
    found = []
    for o, subject in enumerate(subjects):
        own = [group for group in subject.attributes if group]
        foreign = [group for i, other in enumerate(subjects) if i != o for group in other.attributes if group]
        if kept[o].any() and own and foreign:
            means = [maps[list(group)].mean(axis=0)[kept[o]].mean() for group in (*own, *foreign)]
            if min(means[: len(own)]) < max(VOUCHED, *means[len(own) :]):
                found.append(o)
    return tuple(found)


def own_sight(kept: Bool[np.ndarray, "o n"], distances: Float[np.ndarray, "o n"], grid: tuple[int, int]) -> UInt16[np.ndarray, " n"]:
    """Whose words each cell may read while the rest is redrawn, as one bit per object.

    The reach of an object's anchor reads that object's words. Everything else reads those of objects that have no place yet, or no
    object's at all: there the model draws what is around objects.

    Args:
        kept: "o n" the cells of each object's place; see LEAST_CELLS.
        distances: "o n" each cell's distance from the object's nearest anchor, in cells.
        grid: token grid (y, x).

    Returns:
        "n" uint16; bit o says that the cell reads the words of object o.
    """
    placed = kept.sum(axis=1) >= LEAST_CELLS
    missing = sum(1 << o for o in np.flatnonzero(~placed).tolist())
    near = np.where(placed[:, None], distances, np.inf)
    owner = near.argmin(axis=0)
    inside = near[owner, np.arange(near.shape[1])] <= KEPT_REACH_FRAC * max(grid)
    return np.where(inside, np.left_shift(1, owner), missing).astype(np.uint16)


def hidden_tokens(sight: UInt16[np.ndarray, " n"], prompt: Prompt) -> Bool[np.ndarray, "n t"]:
    """Which text tokens each cell may not attend to: those of subjects' words that none of the cell's own subjects shares.

    Args:
        sight: "n" from `own_sight`.
        prompt: its subjects and their words' tokens.

    Returns:
        "n t" bool.
    """
    tokens = np.zeros((len(prompt.subjects), len(prompt.tokens)), bool)
    for o, subject in enumerate(prompt.subjects):
        tokens[o, [token for group in subject.groups for word in group for token in prompt.words[word].tokens]] = True
    reads = (sight[:, None] >> np.arange(len(tokens))) & 1
    return tokens.any(axis=0) & ~(reads.astype(bool) @ tokens)


def places_reopened(
    attention: Float[np.ndarray, "k n"],
    words: Float[np.ndarray, "w k"],
    subjects: Sequence[Subject],
    *,
    own_words: bool,
    grid: tuple[int, int],
    sigma: float,
    radius_frac: float,
) -> tuple[UInt8[np.ndarray, " n"], UInt16[np.ndarray, " n"] | None]:
    """What a redraw opens again when the draft is full: everything but one place per object.

    Args:
        attention, words, subjects, grid, sigma, radius_frac: as `redraw.object_places`.
        own_words: whether each place reads only its own object's words from now on; then a place is kept only if attention vouches for it.

    Returns:
        "n" uint8, the reason (a place in `orders.revise.REASONS`) of each cell that is opened, 0 for one that is kept; and "n" uint16 whose
        words each cell may read, None = everybody's.
    """
    # Whose place it is, nouns alone tell where the words are to be hidden: attention to colours may be what is wrong.
    named = [replace(subject, attributes=()) for subject in subjects] if own_words else subjects
    contrasts, distances = object_places(attention, words, named, grid=grid, sigma=sigma, radius_frac=radius_frac)
    kept = kept_cells(contrasts, distances, grid)
    opened = np.where(kept.any(axis=0), 0, REASON_CODE["elsewhere"]).astype(np.uint8)
    if not own_words:
        return opened, None
    doubtful = doubtful_objects(words @ attention.astype(np.float64), kept, subjects)
    opened[kept[list(doubtful)].any(axis=0)] = REASON_CODE["unvouched"]
    return opened, own_sight(kept, distances, grid)
