"""Cells of a token grid: masks, moves, patches, regions. Pure numpy; knows no model. Cells are numbered row by row from 0."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int64

from uncage_demo.config import DecodingConfig, parse_seeds
from uncage_demo.decoding.redraw import OWNED_CONTRAST, object_places
from uncage_demo.orders.contrast import blur_in_cells, untokenized_words, word_matrix
from uncage_demo.setting import listed, shortened
from uncage_demo.trace.origin import Region
from uncage_demo.trace.record import Trace
from uncage_demo.types import FoundObject, Prompt

MASKED = -1
Grid = tuple[int, int]


def mask_of(mask: Any, grid: Grid) -> Bool[np.ndarray, " n"]:
    """A mask in any of the forms that people have.

    Args:
        mask: bool "y x" or "n" (True = draw anew), or numbers of cells, row by row from 0.
        grid: (y, x).

    Returns:
        "n" bool, a copy.

    Raises:
        ValueError: another shape or type, or a cell outside the grid.
    """
    count = grid[0] * grid[1]
    values = np.asarray(list(mask) if isinstance(mask, (set, frozenset, range)) else mask)
    if values.dtype == bool:
        if values.shape not in (grid, (count,)):
            raise ValueError(f"mask has shape {values.shape}: give bool of shape {grid} or ({count},)")
        return values.reshape(-1).copy()
    if values.size == 0:
        return np.zeros(count, bool)
    if values.ndim != 1 or not np.issubdtype(values.dtype, np.integer):
        raise ValueError(
            f"mask is {values.dtype} of shape {values.shape}: give bool of shape {grid} or ({count},), or a list of cell numbers"
        )
    wrong = values[(values < 0) | (values >= count)]
    if len(wrong):
        raise ValueError(f"mask: cell {int(wrong[0])} is not one of 0..{count - 1}")
    chosen = np.zeros(count, bool)
    chosen[values] = True
    return chosen


def cells_named(text: str, grid: Grid, name: str) -> list[int]:
    """Cells as people type them: "0-5,14".

    Raises:
        ValueError: naming what was typed and what is allowed.
    """
    count = grid[0] * grid[1]
    try:
        return list(parse_seeds(text, count))
    except ValueError as error:
        raise ValueError(f"{name} {shortened(text)}: give cells from 0 to {count - 1} such as 0-5,14") from error


def told_cells(cells: Iterable[int]) -> str:
    """Cells as `cells_named` reads them, in runs: {0, 1, 2, 14} -> "0-2,14"."""
    runs: list[list[int]] = []
    for cell in sorted(set(cells)):
        if runs and runs[-1][1] == cell - 1:
            runs[-1][1] = cell
        else:
            runs.append([cell, cell])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def object_named(text: str, prompt: Prompt, name: str) -> int:
    """The object of a prompt that a noun ("apple") or a label ("pink apple") names.

    Raises:
        ValueError: naming the objects that there are.
    """
    wanted = text.strip().lower()
    for index, subject in enumerate(prompt.subjects):
        if wanted in (subject.noun.lower(), subject.label.lower()):
            return index
    known = listed((subject.label for subject in prompt.subjects), 80) or "no object"
    raise ValueError(f"{name} {shortened(text)}: the prompt {shortened(prompt.text)} has {known}")


def rectangle(top: int, left: int, bottom: int, right: int, grid: Grid) -> Bool[np.ndarray, " n"]:
    """The cells of a box, half-open.

    Raises:
        ValueError: an empty box, or one that is not within the grid.
    """
    check_box((top, left, bottom, right), grid, "rectangle")
    cells = np.zeros(grid, bool)
    cells[top:bottom, left:right] = True
    return cells.reshape(-1)


def check_box(box: Sequence[Any], grid: Grid, name: str) -> tuple[int, int, int, int]:
    """Four whole numbers top, left, bottom, right (half-open) within a grid.

    Raises:
        ValueError: naming what was given and what is allowed.
    """
    sides = [side for side in box if isinstance(side, (int, np.integer)) and not isinstance(side, bool)]
    if len(sides) == len(box) == 4:
        top, left, bottom, right = map(int, sides)
        if 0 <= top < bottom <= grid[0] and 0 <= left < right <= grid[1]:
            return top, left, bottom, right
    raise ValueError(
        f"{name}: the box {shortened(box)} is not one of this grid; give top, left, bottom, right in cells with "
        f"0 <= top < bottom <= {grid[0]} and 0 <= left < right <= {grid[1]}"
    )


def grown(cells: Bool[np.ndarray, " n"], grid: Grid, by: int = 1) -> Bool[np.ndarray, " n"]:
    """The cells and those beside them, corners included, `by` times."""
    field = cells.reshape(grid)
    for _ in range(by):
        wide = np.pad(field, 1)
        shifted = [wide[y : y + grid[0], x : x + grid[1]] for y in range(3) for x in range(3)]
        field = np.logical_or.reduce(shifted)
    return field.reshape(-1)


def moved(tokens: Int64[np.ndarray, " n"], shift: tuple[int, int], grid: Grid) -> Int64[np.ndarray, " n"]:
    """A token grid moved by whole cells; the freed border is masked, what leaves the grid is lost.

    Args:
        tokens: "n" ids, -1 = masked.
        shift: (down, right) in cells; negative = up, left.
        grid: (y, x).

    Raises:
        ValueError: no move at all, or one as large as the grid.
    """
    whole = len(shift) == 2 and all(isinstance(by, (int, np.integer)) and not isinstance(by, bool) for by in shift)
    if not whole or not any(shift) or abs(shift[0]) >= grid[0] or abs(shift[1]) >= grid[1]:
        raise ValueError(
            f"shift={tuple(shift)}: give rows down and columns right as whole numbers, not both 0, "
            f"from {1 - grid[0]} to {grid[0] - 1} and from {1 - grid[1]} to {grid[1] - 1}"
        )
    down, right = (int(by) for by in shift)
    out = np.full(grid, MASKED, np.int64)
    old = tokens.reshape(grid)
    rows, columns = grid
    out[max(0, down) : rows + min(0, down), max(0, right) : columns + min(0, right)] = old[
        max(0, -down) : rows - max(0, down), max(0, -right) : columns - max(0, right)
    ]
    return out.reshape(-1)


def patch_of(tokens: Int64[np.ndarray, " n"], box: Sequence[int], at: tuple[int, int], grid: Grid) -> dict[int, int]:
    """A box of a picture as pins: its tokens at another place of the grid.

    Args:
        tokens: "n" ids of the picture; masked cells (-1) are left out.
        box: (top, left, bottom, right) in its cells, half-open.
        at: (row, column) of the patch's top left cell in the new picture.
        grid: (y, x) of both.

    Returns:
        {cell: token id}.

    Raises:
        ValueError: a box or a place that is not within the grid.
    """
    top, left, bottom, right = check_box(box, grid, "patch")
    check_box((at[0], at[1], at[0] + bottom - top, at[1] + right - left), grid, "place of the patch")
    field = tokens.reshape(grid)
    cells = ((y, x) for y in range(top, bottom) for x in range(left, right))
    return {(at[0] + y - top) * grid[1] + at[1] + x - left: int(field[y, x]) for y, x in cells if field[y, x] >= 0}


def regions_of(regions: Mapping[int, Sequence[int]] | Iterable[Region], prompt: Prompt, grid: Grid) -> tuple[Region, ...]:
    """Regions as a run records them.

    Args:
        regions: {index of an object: (top, left, bottom, right)} in cells, half-open.
        prompt: whose objects they are.
        grid: (y, x).

    Raises:
        ValueError: an object that the prompt does not have, or a box that is not within the grid.
    """
    pairs = regions.items() if isinstance(regions, Mapping) else [(region.subject, region.box) for region in regions]
    made = []
    for subject, box in pairs:
        if isinstance(subject, bool) or not isinstance(subject, (int, np.integer)) or not 0 <= subject < len(prompt.subjects):
            known = listed(f"{i} ({one.label})" for i, one in enumerate(prompt.subjects)) or "none"
            raise ValueError(f"region of object {shortened(subject)}: this prompt has {known}")
        made.append(Region(int(subject), check_box(box, grid, f"region of {listed([prompt.subjects[subject].label], 60)}")))
    return tuple(sorted(made, key=lambda region: region.subject))


def box_cells(box: Sequence[float], grid: Grid) -> Bool[np.ndarray, " n"]:
    """The cells that a detector's box (top, left, bottom, right; shares of the picture, 0..1) covers by half or more."""
    rows, columns = ((np.arange(side) + 0.5) / side for side in grid)
    inside = ((rows >= box[0]) & (rows < box[2]))[:, None] & ((columns >= box[1]) & (columns < box[3]))
    return inside.reshape(-1)


def seen_cells(found: Sequence[FoundObject], grid: Grid) -> Bool[np.ndarray, " n"]:
    """The cells of some detections together."""
    cells = np.zeros(grid[0] * grid[1], bool)
    for one in found:
        cells |= box_cells(one.box, grid)
    return cells


def object_contrast(trace: Trace) -> Float[np.ndarray, "o n"]:
    """Each object's attention contrast at every cell, at the last step.

    Raises:
        ValueError: the prompt has no objects, or their attention was not recorded.
    """
    attention = trace.steps[-1].attention
    if not trace.prompt.subjects or attention is None or untokenized_words(trace.prompt):
        raise ValueError("this run does not say which cells are whose: its prompt has no objects, or no attention was recorded")
    config = DecodingConfig.from_dict(trace.config)
    sigma = blur_in_cells(config.contrast_blur or 0.0, trace.grid, trace.model.attention_grid)
    words = word_matrix(trace.prompt, trace.columns)
    return object_places(attention, words, trace.prompt.subjects, grid=trace.grid, sigma=sigma, radius_frac=config.anchor_radius)[0]


def object_cells(trace: Trace, subject: int, *, margin: int = 0) -> Bool[np.ndarray, " n"]:
    """The cells that belong to an object by attention: those where its contrast is the largest, and large.

    Args:
        trace: any run with attention.
        subject: index of the object.
        margin: cells around them that are taken, too.

    Raises:
        ValueError: no such object, or a run that does not say which cells are whose.
    """
    if isinstance(subject, bool) or not isinstance(subject, int) or not 0 <= subject < len(trace.prompt.subjects):
        raise ValueError(f"object {shortened(subject)}: this prompt has objects 0 to {len(trace.prompt.subjects) - 1}")
    contrasts = object_contrast(trace)
    own = (contrasts.argmax(axis=0) == subject) & (contrasts[subject] > OWNED_CONTRAST)
    return grown(own, trace.grid, margin)
