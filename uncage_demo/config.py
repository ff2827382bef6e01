"""DecodingConfig: every setting of one decoding run, frozen, validated, stored in every trace. Each is declared once, here."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from uncage_demo.orders.base import CONTRAST_MODES, RESCALE_MODES
from uncage_demo.orders.table import ORDERS
from uncage_demo.setting import declare, declared
from uncage_demo.types import ModelDefaults

ORDER_NAMES = tuple(ORDERS)
# The orders that add w_a times a term read from attention.
GUIDED_ORDERS = tuple(name for name, order in ORDERS.items() if order.guided)
# The "float32" ones count as the schedulers of Meissonic and aMUSEd do: now and then one position fewer than exact arithmetic.
SCHEDULE_NAMES = ("cosine", "linear", "arccos", "power", "cosine_float32", "linear_float32")
REDRAW_WORDS = ("every", "own")
GUIDANCE_SCHEDULES = ("constant", "ramp")
MAX_SEED = 2**63 - 1
# The embedded model is trained for this many steps on its 144 cells: single objects come out right and about two of three pairs, so
# that orders have something to mend.
DEFAULT_STEPS = 16
# Fields that came after the first traces.
LATER = ("redraw_steps", "redraw_words")
LEFT_TO_MODEL = "the model's own"


def _names(**marks: bool) -> str:
    """The orders whose entries have these marks, as people list them: "redraw or mend"."""
    return " or ".join(name for name, order in ORDERS.items() if all(getattr(order, mark) == value for mark, value in marks.items()))


def _redrawing() -> str:
    """Which share of the steps redraws, by order: "T/4 with the order redraw, T/3 with mend"."""
    return ", ".join(f"T/{order.redraw_share} with {name}" for name, order in ORDERS.items() if order.redraw_share)


def parse_attention_source(source: str) -> tuple[str, int, int]:
    """("default" | "all" | "layers", first, last) of an attention_source string; first = last = -1 unless "layers".

    Raises:
        ValueError: when the string is none of "default", "all", "layers:A-B" with 0 <= A <= B.
    """
    if source in ("default", "all"):
        return source, -1, -1
    band = re.fullmatch(r"layers:(\d{1,6})-(\d{1,6})", str(source), re.ASCII)
    if band and int(band[1]) <= int(band[2]):
        return "layers", int(band[1]), int(band[2])
    raise ValueError(f'attention_source={source!r}: use "default", "all" or "layers:A-B" with A <= B')


def parse_seeds(text: str, limit: int | None = None) -> tuple[int, ...]:
    """Seeds as people type them: "0,1,7", "5; 8", "0-3", " 1 - 2 " or a mixture -> different seeds in the order given.

    Args:
        text: numbers and ranges (both ends included), with commas or semicolons between them.
        limit: how many are allowed; None = a million, so that a slip of the finger does not fill the memory.

    Raises:
        ValueError: naming what was typed and what is allowed.
    """
    most = 1_000_000 if limit is None else limit
    seeds: dict[int, None] = {}
    for part in re.split("[,;]", re.sub(r"[,;]\s*$", "", str(text))):
        found = re.fullmatch(r"\s*(\d{1,19})(?:\s*-\s*(\d{1,19}))?\s*", part, re.ASCII)
        if not found:
            raise ValueError(f'seeds "{text}": give whole numbers such as 0,1,7 or a range such as 0-3')
        low, high = int(found[1]), int(found[2] or found[1])
        if high > MAX_SEED:
            raise ValueError(f'seeds "{part}": a seed is at most {MAX_SEED}')
        if not low <= high < low + most:
            raise ValueError(f'seeds "{part}": a range goes from low to high and has at most {most} seeds')
        seeds.update(dict.fromkeys(range(low, high + 1)))
    if not 1 <= len(seeds) <= most:
        raise ValueError(f'seeds "{text}" are {len(seeds)}: give 1 to {most}')
    return tuple(seeds)


@dataclass(frozen=True)
class DecodingConfig:
    """All settings of one decoding run. What each may be is in its declaration; None leaves it to the model or to other settings.

    Args:
        order: which positions are committed next, a key of `orders.table.ORDERS`.
        num_steps: T.
        seed: 0 is a seed like any other.
        schedule: how many positions stay masked after each step.
        schedule_power: exponent of the "power" schedule.
        guidance_scale: g of classifier-free guidance, l = u + g (c - u); 1 = conditional only.
        guidance_schedule: "constant", or "ramp" (from 1 at the first step to guidance_scale at the last).
        token_temperature: divides the logits before sampling x0; 0 = argmax.
        noise_temperature: (start, end) of the Gumbel noise in the order score, linear over the steps.
        contrast_weight: w_a of UNCAGE (eq. 4); 0 = baseline exactly.
        contrast_steps: number of guided steps from the start.
        contrast_blur: sigma of the Gaussian blur in attention-grid cells.
        contrast_mode: "both", "positive" or "negative" (eq. 2 and its ablations).
        contrast_rescale: how a word's map is rescaled before the contrast: "none", "max" (divide by its maximum),
            "minmax" (to 0..1), "mean" (divide by its mean).
        anchor_radius: order "anchored" only: how far from its anchor an object's cells are hurried rather than held back, as a
            fraction of the grid's longer side (sigma of a Gaussian).
        redraw_steps: how many of the num_steps draw again everything but one place per object, after a draft in the others (see
            `redraw`). Works with every order. Without a subject in the prompt there is nothing to keep, and nothing is redrawn.
        redraw_words: in the redraw each place reads "every" word or only its "own" object's (see `sight`), and a place for
            whose attributes attention cannot vouch is opened again.
        use_confidence, use_noise: keep F_c / F_g in the score (the paper's Table 5).
        attention_source: "default" (the model's measured choice), "all" (the paper: every single-modal block, every head),
            or "layers:A-B" (an inclusive band).
        halton_randomize: roll the Halton list by a per-sample offset.

    Raises:
        ValueError: naming the field, the value and what is allowed.

    Source: 2508.05399 section 3 and Table 1-5; 2202.04200; 2503.17076.
    """

    order: str = declare("meissonic", "choice", "which cells are committed next", "Order", choices=ORDER_NAMES)
    num_steps: int | None = declare(
        None,
        "whole",
        "decoding steps T, 1 to 256",
        "Steps",
        group="first",
        low=1,
        high=256,
        left_open=LEFT_TO_MODEL,
        slider=(1, 64, 1),
        metavar="T",
    )
    seed: int = declare(0, "whole", "0 to 2^63-1; 0 is a seed like any other", "Seed", low=0, high=MAX_SEED, metavar="N")
    schedule: str | None = declare(
        None,
        "choice",
        "how many cells stay masked after each step",
        "Schedule",
        group="schedule",
        choices=SCHEDULE_NAMES,
        left_open=LEFT_TO_MODEL,
    )
    schedule_power: float = declare(
        2.0,
        "number",
        'exponent of the "power" schedule, 0.01 to 100',
        "Power (power schedule)",
        group="schedule",
        low=0.01,
        metavar="P",
    )
    guidance_scale: float | None = declare(
        None,
        "number",
        "classifier-free guidance, 0 to 100; 1 = none",
        "Guidance scale (CFG)",
        group="guidance",
        left_open=LEFT_TO_MODEL,
        metavar="G",
    )
    guidance_schedule: str = declare(
        "constant",
        "choice",
        "guidance at full strength throughout, or growing from 1 at the first step",
        "CFG over the steps",
        group="guidance",
        choices=GUIDANCE_SCHEDULES,
    )
    token_temperature: float = declare(
        1.0,
        "number",
        "spread of token sampling, 0 (always the likeliest) to 100",
        "Token temperature",
        group="guidance",
        metavar="X",
    )
    noise_temperature: tuple[float, float] | None = declare(
        None,
        "pair",
        "noise in the order, first and last step, 0 to 100",
        "Order noise",
        group="guidance",
        left_open=LEFT_TO_MODEL,
    )
    contrast_weight: float = declare(
        3.0,
        "number",
        "UNCAGE weight w_a, -1000 to 1000; 0 = the baseline exactly",
        "Contrast weight wₐ",
        group="first",
        low=-1000,
        high=1000,
        slider=(0, 20, 0.5),
        metavar="W",
    )
    contrast_steps: int | None = declare(
        None,
        "whole",
        "guided steps from the start, 0 to T",
        "Guided steps",
        group="first",
        low=0,
        high=256,
        left_open="a quarter of T",
        metavar="N",
    )
    contrast_blur: float | None = declare(
        None,
        "number",
        "blur of the attention maps in cells, 0 to 64",
        "Blur of the maps, cells",
        group="contrast",
        high=64,
        left_open=LEFT_TO_MODEL,
        metavar="SIGMA",
    )
    contrast_mode: str = declare(
        "both",
        "choice",
        "own words against the others', or only one of the two",
        "Contrast terms",
        group="contrast",
        choices=CONTRAST_MODES,
    )
    contrast_rescale: str = declare(
        "max",
        "choice",
        "how a word's map is rescaled before it is compared",
        "Rescale each map by",
        group="contrast",
        choices=RESCALE_MODES,
    )
    anchor_radius: float = declare(
        0.33,
        "number",
        "order anchored: reach of an anchor as a fraction of the grid's side, 0.02 to 2",
        "Anchor radius",
        group="contrast",
        low=0.02,
        high=2,
        slider=(0.02, 1, 0.01),
        metavar="F",
    )
    redraw_steps: int | None = declare(
        None,
        "whole",
        "of the T steps, how many draw again all but one place per object, 0 to T-1",
        "Redraw steps",
        group="contrast",
        low=0,
        high=255,
        left_open=f"{_redrawing()}, else 0",
        metavar="R",
    )
    redraw_words: str | None = declare(
        None,
        "choice",
        "words that a place reads in the redraw: every word, or its own object's only",
        "Words read in the redraw",
        group="contrast",
        choices=REDRAW_WORDS,
        left_open=f"own with the order {_names(own_words=True)}, else every",
    )
    use_confidence: bool = declare(
        True, "switch", "keep the model's confidence in the order score", "Use confidence in the score", group="schedule"
    )
    use_noise: bool = declare(True, "switch", "keep the noise in the order score", "Use noise in the score", group="schedule")
    attention_source: str = declare(
        "default",
        "text",
        'which attention guidance reads: "default", "all" or "layers:A-B"',
        "Attention read from",
        group="contrast",
        choices=("default", "all", "layers:0-0"),
        metavar="SOURCE",
        check=parse_attention_source,
    )
    halton_randomize: bool = declare(False, "switch", "shift the Halton order by the seed", "Shift Halton order by seed", group="schedule")

    def __post_init__(self) -> None:
        for name, setting in SETTINGS.items():
            object.__setattr__(self, name, setting.checked(name, getattr(self, name)))
        if self.redraw_steps is not None and self.num_steps is not None and self.redraw_steps >= self.num_steps:
            raise ValueError(f"redraw_steps={self.redraw_steps}: give a whole number from 0 to {self.num_steps - 1}")

    def resolved(self, defaults: ModelDefaults, blur: float | None = None) -> DecodingConfig:
        """The settings with what was left to the model filled in.

        Args:
            defaults: the model's own settings (ModelInfo.defaults).
            blur: the model's own contrast_blur; None leaves it open.
        """
        own = {**asdict(defaults), "contrast_blur": blur}
        return self.with_(**{name: own[name] for name in SETTINGS if name in own and getattr(self, name) is None})

    @property
    def total_steps(self) -> int:
        """T.

        Raises:
            ValueError: it is still left to the model.
        """
        return self._known("num_steps")

    @property
    def mask_schedule(self) -> str:
        """The schedule's name; raises ValueError while it is left to the model."""
        return self._known("schedule")

    @property
    def noise_range(self) -> tuple[float, float]:
        """The noise's temperature at the first and last step; raises ValueError while it is left to the model."""
        return self._known("noise_temperature")

    @property
    def guided_steps(self) -> int:
        """Number of guided steps: contrast_steps, or a quarter of the draft's steps (at least 1), never more than those."""
        steps = max(1, self.draft_steps // 4) if self.contrast_steps is None else self.contrast_steps
        return min(steps, self.draft_steps)

    @property
    def draft_steps(self) -> int:
        """Number of steps before the redraw: all of them where there is none."""
        return self.total_steps - self.redrawn_steps

    @property
    def redrawn_steps(self) -> int:
        """Number of steps of the redraw: redraw_steps, or the order's own share of num_steps."""
        if self.redraw_steps is None:
            share = ORDERS[self.order].redraw_share
            return self.total_steps // share if share else 0
        return self.redraw_steps

    @property
    def redraws_by_own_words(self) -> bool:
        """Whether each place reads only its own object's words in the redraw."""
        return ORDERS[self.order].own_words if self.redraw_words is None else self.redraw_words == "own"

    def with_(self, **changes: Any) -> DecodingConfig:
        """A copy with some fields changed (validated again)."""
        return replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able dict of all fields; LATER ones only where they are given, so that runs made before them keep their keys."""
        data = {name: value for name, value in asdict(self).items() if value is not None or name not in LATER}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in data.items()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> DecodingConfig:
        """Inverse of to_dict; unknown keys raise ValueError naming them."""
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(data) - known)
        if unknown:
            raise ValueError(f"unknown setting(s) {', '.join(unknown)}; allowed: {', '.join(sorted(known))}")
        return cls(**data)

    def _known(self, name: str) -> Any:
        value = getattr(self, name)
        if value is None:
            raise ValueError(f"{name} is left to the model: fill it in with DecodingConfig.resolved(backend.info.defaults)")
        return value


SETTINGS = declared(DecodingConfig)
