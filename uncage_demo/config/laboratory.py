"""The settings of the laboratory: training-free ways of drawing better or faster. Each is off by default, and then nothing changes."""

from __future__ import annotations

from dataclasses import dataclass

from uncage_demo.config.usual import UsualSettings
from uncage_demo.orders.revise import REVISIONS
from uncage_demo.setting import declare

NO_REVISION = "none"


def _revisions_told() -> str:
    return "; ".join(f"{revision.name}: {revision.about}" for revision in REVISIONS.values())


def _own_strengths() -> str:
    return ", ".join(f"{revision.strength:g} with {name}" for name, revision in REVISIONS.items())


@dataclass(frozen=True)
class LaboratorySettings(UsualSettings):
    """What each may be is in its declaration.

    Args:
        revise: which committed cells are opened again, a key of `orders.revise.REVISIONS`.
        revise_strength: how much is taken back; 0 = nothing.
    """

    revise: str = declare(
        NO_REVISION,
        "choice",
        f"which committed cells are opened again; {_revisions_told()}",
        "Take back",
        group="revise",
        choices=(NO_REVISION, *REVISIONS),
        cost="; ".join(dict.fromkeys(f"{revision.name}: {revision.cost}" for revision in REVISIONS.values())),
    )
    revise_strength: float | None = declare(
        None,
        "number",
        "how much is taken back: a share of the cells, or the weight of the comparison in path planning; 0 = nothing",
        "How much is taken back",
        group="revise",
        high=10,
        left_open=_own_strengths(),
        metavar="X",
    )
