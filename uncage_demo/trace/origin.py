"""What a run began with, where that is no empty grid: an edit, an extension, pins, regions, a picture of one's own. Plain values.

Which cells were given and which were drawn stands in the trace itself: the first step's `masked_before` are those that were drawn.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, UInt16

Kind = Literal["edit", "extend", "remix", "compose", "picture", "sketch"]


@dataclass(frozen=True)
class Region:
    """Where one object of the prompt is asked for.

    Args:
        subject: index into the prompt's subjects.
        box: (top, left, bottom, right) in cells, half-open.
    """

    subject: int
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Origin:
    """How a run that does not start from an empty grid came about.

    Args:
        kind: "edit" some cells of a picture are drawn again; "extend" a picture is moved and the freed border drawn; "remix" the cells that
            a new prompt finds least likely are drawn again; "compose" tokens or regions are put down before the first step; "picture" a
            picture is read and nothing is drawn; "sketch" a whole picture is drawn after the structure of another one.
        source: id of the run that the given tokens come from; "" = tokens or a picture from outside, or none.
        source_prompt: that run's prompt; "" = none.
        after_step: the given tokens are those that the source had after this step; None = its finished picture.
        shift: rows and columns by which the picture was moved, down and right counted positive.
        strength: of a remix, the share of cells that all rounds together open; of a sketch, how much likeness counts; 0..1. None for other
            kinds.
        round: of a remix, which of its rounds this run is, from 1; None for other kinds.
        regions: where objects are asked for, at most one region per object.
        guide: of a sketch, the token ids of the guiding picture, row by row; () for other kinds.
    """

    kind: Kind
    source: str = ""
    source_prompt: str = ""
    after_step: int | None = None
    shift: tuple[int, int] = (0, 0)
    strength: float | None = None
    round: int | None = None
    regions: tuple[Region, ...] = ()
    guide: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The origin as JSON-able values, as trace files and the player have it; `guide`, which came later, only where it is given."""
        return {name: value for name, value in asdict(self).items() if name != "guide" or value}


def origin_json(origin: Origin | None) -> dict[str, Any] | None:
    """A trace's origin as JSON-able values; None for a run from an empty grid."""
    return None if origin is None else origin.to_json()


def region_cells(origin: Origin | None, subjects: int, grid: tuple[int, int]) -> Bool[np.ndarray, "o n"] | None:
    """The cells of each object's region.

    Args:
        origin: of a run.
        subjects: number of the prompt's objects.
        grid: token grid (y, x).

    Returns:
        "o n" bool, a row without any True for an object without a region; None where no object has one.
    """
    if origin is None or not origin.regions:
        return None
    cells = np.zeros((subjects, *grid), bool)
    for region in origin.regions:
        top, left, bottom, right = region.box
        cells[region.subject, top:bottom, left:right] = True
    return cells.reshape(subjects, -1)


def region_sight(cells: Bool[np.ndarray, "o n"]) -> UInt16[np.ndarray, " n"]:
    """Whose words each cell may read, as one bit per object: inside regions those of their objects, elsewhere those of objects without one.

    Args:
        cells: from `region_cells`.

    Source: this project; regions bound to phrases by masked cross-attention are 2302.08113's.
    """
    bits = np.left_shift(1, np.arange(len(cells)))
    free = int(bits[~cells.any(axis=1)].sum())
    return np.where(cells.any(axis=0), bits @ cells, free).astype(np.uint16)
