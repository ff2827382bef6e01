"""The settings of the laboratory: training-free ways of drawing better or faster. Each is off by default, and then nothing changes."""

from __future__ import annotations

from dataclasses import dataclass

from uncage_demo.config.usual import UsualSettings
from uncage_demo.orders.counts import COUNTS, SCHEDULED
from uncage_demo.orders.revise import REVISIONS
from uncage_demo.setting import Method, declare

NO_REVISION = "none"


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
        "shares of the steps between which classifier-free guidance is on, 0 to 1",
        "CFG interval",
        ends=("from", "to"),
        group="which",
        high=1,
        cost="half a forward pass less in each step without guidance",
    )
    composition: float = declare(
        0.0,
        "number",
        "share of the guidance that comes from one prediction per object, 0 to 1; 0 = all from the whole prompt",
        "Product of experts",
        group="which",
        high=1,
        cost="half a forward pass more per object in each step",
        metavar="SHARE",
    )
    self_guidance: float = declare(
        0.0,
        "number",
        "weight of guidance away from what the model predicts with half of the committed cells hidden, 0 to 20; 0 = none",
        "Self-guidance",
        group="which",
        high=20,
        cost="half a forward pass more in each step but the first",
        metavar="W",
    )
    logit_noise: float = declare(
        0.0,
        "number",
        "noise on the logits, strongest at both ends of the run, 0 to 10; 0 = none",
        "Noise regularisation",
        group="which",
        high=10,
        cost="none",
        metavar="X",
    )
    differential: float = declare(
        0.0,
        "number",
        "share of the open cells that draw from what grew since the last step; those that changed least come first, 0 to 1; 0 = none",
        "Differential sampling",
        group="which",
        high=1,
        cost="none",
        metavar="SHARE",
    )
    entropy_heat: float = declare(
        0.0,
        "number",
        "heat added where the model is sure: T0 in the temperature T0 exp(-H/alpha) + token temperature, 0 to 100; 0 = none",
        "Entropy-aware temperature",
        group="which",
        cost="none",
        metavar="T0",
    )
    entropy_decay: float = declare(
        1.0,
        "number",
        "how fast the added heat falls with the entropy H: alpha in nats, 0.01 to 100",
        "Decay of the added heat, nats",
        group="which",
        low=0.01,
        metavar="ALPHA",
    )
    how_many: str = declare(
        SCHEDULED,
        "choice",
        "what decides how many cells a step commits",
        "Cells in each step",
        group="how_many",
        choices=tuple(COUNTS),
        methods=tuple(Method(count.name, count.name.replace("_", " "), count.about) for count in COUNTS.values()),
        cost="none extra; all but the schedule end a run as soon as it is full, after T steps at the latest",
    )
    entropy_budget: float = declare(
        1.0,
        "number",
        "most entropy that a step may commit, in nats, where entropy decides how many, 0 to 100; 0 = one cell at a time where T allows it",
        "Entropy budget, nats",
        group="how_many",
        metavar="NATS",
    )
    confidence_threshold: float = declare(
        0.9,
        "number",
        "least probability of a token, where confidence decides how many, 0 to 1",
        "Confidence threshold",
        group="how_many",
        high=1,
        metavar="P",
    )
    reuse_steps: int = declare(
        0,
        "whole",
        "steps after each whole one that look only at the cells about to be committed, 0 to 8; 0 = every step is whole",
        "Partial steps after each whole one",
        group="how_many",
        high=8,
        cost="less: a partial step costs the share of the grid that it looks at, in forward passes; in seconds somewhat more",
        metavar="K",
    )
    reuse_from: float = declare(
        0.25,
        "number",
        "share of the steps at the start that always look at the whole grid, 0 to 1",
        "Whole steps at the start, share",
        group="how_many",
        high=1,
        metavar="SHARE",
    )
    spacing: float = declare(
        0.0,
        "number",
        "least distance between cells that are committed in one step, in cells, 0 to 64; 0 = any distance",
        "Distance in one step, cells",
        group="where",
        high=64,
        cost="none",
        metavar="CELLS",
    )
    revise: str = declare(
        NO_REVISION,
        "choice",
        "which committed cells are opened again",
        "Take back",
        group="revise",
        choices=(NO_REVISION, *REVISIONS),
        methods=tuple(Method(one.name, one.title, one.about, one.cost) for one in REVISIONS.values()),
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
