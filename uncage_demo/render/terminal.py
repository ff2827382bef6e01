"""A run in the terminal: the grid in colour as it fills, one small picture per run, drawn over itself at every step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from uncage_demo.trace.record import StepRecord

RESET = "\x1b[0m"
_MASK_RGB = (74, 82, 100)
_GAP = "   "


def cell_colors(picture: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """The mean colour "y x 3" uint8 of each cell of a picture "H W 3" uint8.

    Args:
        picture: sides are multiples of the grid's.
        grid: (y, x).
    """
    (y, x), (height, width) = grid, picture.shape[:2]
    return picture.reshape(y, height // y, x, width // x, 3).mean(axis=(1, 3)).round().astype(np.uint8)


def grid_lines(record: StepRecord, grid: tuple[int, int], picture: np.ndarray | None, color: bool = True) -> list[str]:
    """A step as lines of text, one row of cells each: two characters a cell.

    Args:
        record: the step.
        grid: (y, x).
        picture: "H W 3" uint8, of the tokens as sampled at this step; None = no colours of its own, cells are full or shaded.
        color: False = plain characters: full cells "██", masked ones "░░".
    """
    masked = (record.masked_before & ~record.committed).reshape(grid)
    colors = None if picture is None or not color else cell_colors(picture, grid)
    lines = []
    for y in range(grid[0]):
        cells = []
        for x in range(grid[1]):
            if not color:
                cells.append("░░" if masked[y, x] else "██")
                continue
            red, green, blue = _MASK_RGB if masked[y, x] or colors is None else (int(value) for value in colors[y, x])
            cells.append(f"\x1b[38;2;{red};{green};{blue}m{'░░' if masked[y, x] else '██'}")
        lines.append("".join(cells) + (RESET if color else ""))
    return lines


def frame_text(
    records: Sequence[StepRecord],
    grid: tuple[int, int],
    titles: Sequence[str],
    num_steps: int,
    pictures: Sequence[np.ndarray] | None = None,
    color: bool = True,
    columns: int = 120,
) -> str:
    """One step of all runs as text: titles, the grids side by side as far as the terminal is wide, and what is decided.

    Args:
        records: one per run.
        grid: (y, x) of all.
        titles: one per run.
        num_steps: T of the longest run.
        pictures: "H W 3" uint8, one per run, or None.
        color: see grid_lines.
        columns: width of the terminal in characters.

    Raises:
        ValueError: another number of titles or pictures than of records.
    """
    if len(titles) != len(records) or (pictures is not None and len(pictures) != len(records)):
        raise ValueError(f"{len(records)} runs, {len(titles)} titles, {len(pictures or ())} pictures: give one for each run")
    width = 2 * grid[1]
    beside = max(1, (columns + len(_GAP)) // (width + len(_GAP)))
    lines = [f"step {max(record.step for record in records) + 1} of {num_steps}"]
    for at in range(0, len(records), beside):
        some = range(at, min(at + beside, len(records)))
        lines.append(_GAP.join(titles[i][:width].ljust(width) for i in some).rstrip())
        grids = [grid_lines(records[i], grid, None if pictures is None else pictures[i], color) for i in some]
        lines += [_GAP.join(row) for row in zip(*grids, strict=True)]
        told = [f"{int((~(records[i].masked_before & ~records[i].committed)).sum())} of {grid[0] * grid[1]} decided" for i in some]
        lines.append(_GAP.join(one[:width].ljust(width) for one in told).rstrip())
    return "\n".join(lines)


def over_itself(text: str, before: str) -> str:
    """A frame with what moves the cursor back to the top of the frame before it; "" = there is none.

    Args:
        text: the frame to print now; before: the one that was printed last.
    """
    up = before.count("\n") + 1
    return f"\x1b[{up}A\x1b[J{text}" if before else text
