"""How a branch came about: its parent, the step it took over at, and the edits in force. Plain values; the same JSON on disk as ever."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

# Of one trace: the oldest and the newest branch of each of 256 steps.
MAX_LINES = 512


@dataclass(frozen=True)
class Edits:
    """What a branch changes at its step and from there on.

    Args:
        keep: positions (row-major cells) committed at the step whatever their score.
        drop: positions masked again, or not committed at the step.
        forbid: (position, token ids) never sampled there again.
        suppress_word: index of a word hidden from the model's attention, or None.
    """

    keep: tuple[int, ...]
    drop: tuple[int, ...]
    forbid: tuple[tuple[int, tuple[int, ...]], ...]
    suppress_word: int | None

    def to_json(self) -> dict[str, Any]:
        """The edits as JSON-able values."""
        forbid = [[position, list(ids)] for position, ids in self.forbid]
        return {"keep": list(self.keep), "drop": list(self.drop), "forbid": forbid, "suppress_word": self.suppress_word}


@dataclass(frozen=True)
class Lineage:
    """One branch.

    Args:
        parent: id of the run that it continues.
        at_step: k, the first step of its own.
        edits: the edits in force from there on, the parent's that still hold included.
        parent_config: the parent's settings (`DecodingConfig.to_dict`).
        earlier: the parent's own branches that still matter, the newest first; None in those lines themselves.
    """

    parent: str
    at_step: int
    edits: Edits
    parent_config: dict[str, bool | int | float | str | list[int | float] | None] = field(hash=False)
    earlier: tuple[Lineage, ...] | None = None

    @property
    def lines(self) -> tuple[Lineage, ...]:
        """This branch and those before it, the newest first."""
        return (self, *(self.earlier or ()))

    def to_json(self) -> dict[str, Any]:
        """The branch as JSON-able values, as trace files and the player have it."""
        data = {"parent": self.parent, "at_step": self.at_step, "edits": self.edits.to_json(), "parent_config": self.parent_config}
        return data if self.earlier is None else {**data, "earlier": [line.to_json() for line in self.earlier]}


def lineage_json(lineage: Lineage | None) -> dict[str, Any]:
    """A trace's lineage as JSON-able values; {} for a run that is no branch."""
    return {} if lineage is None else lineage.to_json()


def within_limit(lines: Sequence[Lineage]) -> tuple[Lineage, ...]:
    """Branches, the newest first, thinned out where there are too many: of those at one step, the newest and the oldest stay.

    The oldest tells the settings of the steps before, the newest what holds from there on; those between changed nothing that is left.
    """
    if len(lines) < MAX_LINES:
        return tuple(lines)
    newest, oldest = {line.at_step: i for i, line in reversed(list(enumerate(lines)))}, {line.at_step: i for i, line in enumerate(lines)}
    return tuple(lines[i] for i in sorted({*newest.values(), *oldest.values()}))[: MAX_LINES - 1]
