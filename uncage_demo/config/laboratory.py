"""The settings of the laboratory: training-free ways of drawing better or faster. Each is off by default, and then nothing changes."""

from __future__ import annotations

from dataclasses import dataclass

from uncage_demo.config.usual import UsualSettings
from uncage_demo.orders.counts import COUNTS, SCHEDULED
from uncage_demo.orders.revise import REVISIONS
from uncage_demo.setting import declare

NO_REVISION = "none"


def _counts_told() -> str:
    return "; ".join(f"{count.name}: {count.about}" for count in COUNTS.values())


def _revisions_told() -> str:
    return "; ".join(f"{revision.name}: {revision.about}" for revision in REVISIONS.values())


def _revisions_cost() -> str:
    names: dict[str, list[str]] = {}
    for revision in REVISIONS.values():
        names.setdefault(revision.cost, []).append(revision.name)
    return "; ".join(f"{cost} with {', '.join(same)}" for cost, same in names.items())


def _own_strengths() -> str:
    return ", ".join(f"{revision.strength:g} with {name}" for name, revision in REVISIONS.items())


@dataclass(frozen=True)
class LaboratorySettings(UsualSettings):
    """What each may be is in its declaration.

    Args:
        guidance_interval: (start, end) shares of the steps between which guidance is on.
        composition: share of the guidance that comes from one answer per object (see `logits.composed`).
        self_guidance: weight of the contrast with a weaker answer of the same model (see `logits.away_from_weaker`).
        logit_noise: of noise regularisation (see `logits.noise_amount`).
        differential: share of the cells that are drawn from what grew (see `logits.grown`).
        entropy_heat, entropy_decay: T0 and alpha of `logits.entropy_temperature`; its theta is token_temperature.
        how_many: how many cells a step commits, a key of `orders.counts.COUNTS`; all but the schedule make num_steps the most steps.
        entropy_budget: gamma of how_many="entropy" (2505.24857).
        confidence_threshold: of how_many="confidence".
        reuse_steps: partial steps after each whole one (see `decoding.reuse`).
        reuse_from: share of the steps that are whole in any case.
        spacing: least distance between cells of one step (see `orders.spacing.spread`).
        revise: which committed cells are opened again, a key of `orders.revise.REVISIONS`.
        revise_strength: how much is taken back; 0 = nothing.
    """

    guidance_interval: tuple[float, float] = declare(
        (0.0, 1.0),
        "pair",
        "from which to which share of the steps guidance is on, 0 to 1",
        "CFG only from and to, share of the steps",
        group="which",
        high=1,
        cost="half a forward less in each step without guidance",
    )
    composition: float = declare(
        0.0,
        "number",
        "share of the guidance that comes from one answer per object, 0 to 1; 0 = from the whole prompt",
        "Product of experts",
        group="which",
        high=1,
        cost="half a forward more per object in each step",
        metavar="SHARE",
    )
    self_guidance: float = declare(
        0.0,
        "number",
        "guide away from the model's own answer with half of the committed cells hidden, 0 to 20; 0 = none",
        "Self-guidance",
        group="which",
        high=20,
        cost="half a forward more in each step but the first",
        metavar="W",
    )
    logit_noise: float = declare(
        0.0,
        "number",
        "noise on the logits, most at both ends of the run, 0 to 10; 0 = none",
        "Noise regularisation",
        group="which",
        high=10,
        cost="none",
        metavar="X",
    )
    differential: float = declare(
        0.0,
        "number",
        "share of the open cells, those of the least change, that are drawn from what grew since the last step, 0 to 1; 0 = none",
        "Differential sampling",
        group="which",
        high=1,
        cost="none",
        metavar="SHARE",
    )
    entropy_heat: float = declare(
        0.0,
        "number",
        "added to the temperature where the model is sure, T0 in T0 exp(-H/alpha) + token temperature, 0 to 100; 0 = none",
        "Entropy-aware temperature",
        group="which",
        cost="none",
        metavar="T0",
    )
    entropy_decay: float = declare(
        1.0,
        "number",
        "how fast that falls with the entropy, alpha in nats, 0.01 to 100",
        "Its decay, nats",
        group="which",
        low=0.01,
        metavar="ALPHA",
    )
    how_many: str = declare(
        SCHEDULED,
        "choice",
        f"how many cells a step commits; {_counts_told()}",
        "How many",
        group="how_many",
        choices=tuple(COUNTS),
        cost="none extra; all but the schedule end a run as soon as it is full, after T steps at the latest",
    )
    entropy_budget: float = declare(
        1.0,
        "number",
        "how_many entropy: the budget in nats, 0 to 100; 0 = one cell at a time where T allows it",
        "Entropy budget, nats",
        group="how_many",
        metavar="NATS",
    )
    confidence_threshold: float = declare(
        0.9, "number", "how_many confidence: the probability, 0 to 1", "Confidence threshold", group="how_many", high=1, metavar="P"
    )
    reuse_steps: int = declare(
        0,
        "whole",
        "how many steps after each whole one look only at the cells that this group of steps commits, 0 to 8; 0 = every step is whole",
        "Partial steps after each whole one",
        group="how_many",
        high=8,
        cost="less: a partial step costs the share of the grid that it looks at, in seconds more than that",
        metavar="K",
    )
    reuse_from: float = declare(
        0.25,
        "number",
        "share of the steps, from the first on, that look at the whole grid in any case, 0 to 1",
        "Whole steps at first, share",
        group="how_many",
        high=1,
        metavar="SHARE",
    )
    spacing: float = declare(
        0.0,
        "number",
        "least distance between the cells of one step, in cells, 0 to 64; 0 = no matter how near",
        "Distance in one step, cells",
        group="where",
        high=64,
        cost="none",
        metavar="CELLS",
    )
    revise: str = declare(
        NO_REVISION,
        "choice",
        f"which committed cells are opened again; {_revisions_told()}",
        "Take back",
        group="revise",
        choices=(NO_REVISION, *REVISIONS),
        cost=_revisions_cost(),
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
