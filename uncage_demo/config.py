"""DecodingConfig: every setting of one decoding run, frozen, validated, stored in every trace."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

ORDER_NAMES = ("random", "confidence", "meissonic", "maskgit", "halton", "margin", "entropy", "uncage", "anchored", "redraw")
# The orders that add w_a times a term read from attention.
GUIDED_ORDERS = ("uncage", "anchored")
# The "float32" ones count as the schedulers of Meissonic and aMUSEd do: now and then one position fewer than exact arithmetic.
SCHEDULE_NAMES = ("cosine", "linear", "arccos", "power", "cosine_float32", "linear_float32")
CONTRAST_MODES = ("both", "positive", "negative")
RESCALE_MODES = ("none", "max", "minmax", "mean")
GUIDANCE_SCHEDULES = ("constant", "ramp")
# For the embedded model's 144 cells: single objects come out right and about two of three pairs, so that orders have something to mend.
DEFAULT_STEPS = 16


@dataclass(frozen=True)
class DecodingConfig:
    """All settings of one decoding run.

    Args:
        order: which positions are committed next, a key of `order.ORDERS`.
        num_steps: T, 1..256.
        seed: 0..2**63-1; 0 is a seed like any other.
        schedule: how many positions stay masked after each step.
        schedule_power: exponent of the "power" schedule, > 0.
        guidance_scale: g of classifier-free guidance, l = u + g (c - u); >= 0, 1 = conditional only. None = the model's default.
        guidance_schedule: "constant", or "ramp" (from 1 at the first step to guidance_scale at the last).
        token_temperature: divides the logits before sampling x0; >= 0, 0 = argmax.
        noise_temperature: (start, end) of the Gumbel noise in the order score, linear over the steps; >= 0.
        contrast_weight: w_a of UNCAGE (eq. 4); any finite number, 0 = baseline exactly.
        contrast_steps: number of guided steps from the start; None = a quarter of num_steps (at least 1).
        contrast_blur: sigma of the Gaussian blur in attention-grid cells; >= 0. None = the model's default.
        contrast_mode: "both", "positive" or "negative" (eq. 2 and its ablations).
        contrast_rescale: how a word's map is rescaled before the contrast: "none", "max" (divide by its maximum),
            "minmax" (to 0..1), "mean" (divide by its mean).
        use_confidence, use_noise: keep F_c / F_g in the score (the paper's Table 5).
        anchor_radius: order "anchored" only: how far from its anchor an object's cells are hurried rather than held back, as a
            fraction of the grid's longer side, 0.02..2 (sigma of a Gaussian).
        redraw_steps: how many of the num_steps draw again everything but one place an object, after a draft in the others (see
            `redraw`); 0..num_steps - 1. None = a quarter of num_steps for the order "redraw", 0 for all others. Works with every
            order. Without a subject in the prompt there is nothing to keep, and nothing is redrawn.
        attention_source: "default" (the model's measured choice), "all" (the paper: every single-modal block, every head),
            or "layers:A-B" (an inclusive band).
        halton_randomize: roll the Halton list by a per-sample offset.

    Raises:
        ValueError: naming the field, the value and what is allowed.

    Source: 2508.05399 section 3 and Table 1-5; 2202.04200; 2503.17076.
    """

    order: str = "meissonic"
    num_steps: int = DEFAULT_STEPS
    seed: int = 0
    schedule: str = "cosine"
    schedule_power: float = 2.0
    guidance_scale: float | None = None
    guidance_schedule: str = "constant"
    token_temperature: float = 1.0
    noise_temperature: tuple[float, float] = (1.0, 0.01)
    contrast_weight: float = 3.0
    contrast_steps: int | None = None
    contrast_blur: float | None = None
    contrast_mode: str = "both"
    contrast_rescale: str = "max"
    anchor_radius: float = 0.33
    redraw_steps: int | None = None
    use_confidence: bool = True
    use_noise: bool = True
    attention_source: str = "default"
    halton_randomize: bool = False

    def __post_init__(self) -> None:
        _choice("order", self.order, ORDER_NAMES)
        _choice("schedule", self.schedule, SCHEDULE_NAMES)
        _choice("contrast_mode", self.contrast_mode, CONTRAST_MODES)
        _choice("contrast_rescale", self.contrast_rescale, RESCALE_MODES)
        _choice("guidance_schedule", self.guidance_schedule, GUIDANCE_SCHEDULES)
        _integer("num_steps", self.num_steps, 1, 256)
        _integer("seed", self.seed, 0, 2**63 - 1)
        if self.redraw_steps is not None:
            _integer("redraw_steps", self.redraw_steps, 0, self.num_steps - 1)
        if self.contrast_steps is not None:
            _integer("contrast_steps", self.contrast_steps, 0, 256)
        _number("schedule_power", self.schedule_power, 0.01, 100)
        if self.guidance_scale is not None:
            _number("guidance_scale", self.guidance_scale, 0, 100)
        _number("token_temperature", self.token_temperature, 0, 100)
        if not isinstance(self.noise_temperature, (tuple, list)) or len(self.noise_temperature) != 2:
            raise ValueError(f"noise_temperature={self.noise_temperature!r}: give a pair (start, end), both >= 0")
        for name, value in zip(("start", "end"), self.noise_temperature, strict=True):
            _number(f"noise_temperature {name}", value, 0, 100)
        object.__setattr__(self, "noise_temperature", tuple(float(v) for v in self.noise_temperature))
        _number("contrast_weight", self.contrast_weight, -1000, 1000)
        if self.contrast_blur is not None:
            _number("contrast_blur", self.contrast_blur, 0, 64)
        _number("anchor_radius", self.anchor_radius, 0.02, 2)
        parse_attention_source(self.attention_source)

    @property
    def guided_steps(self) -> int:
        """Number of guided steps: contrast_steps, or a quarter of the draft's steps (at least 1), never more than those."""
        steps = max(1, self.draft_steps // 4) if self.contrast_steps is None else self.contrast_steps
        return min(steps, self.draft_steps)

    @property
    def draft_steps(self) -> int:
        """Number of steps before the redraw: all of them where there is none."""
        return self.num_steps - self.redrawn_steps

    @property
    def redrawn_steps(self) -> int:
        """Number of steps of the redraw: redraw_steps, or a quarter of num_steps for the order "redraw", else 0."""
        if self.redraw_steps is None:
            return self.num_steps // 4 if self.order == "redraw" else 0
        return self.redraw_steps

    def with_(self, **changes: Any) -> DecodingConfig:
        """A copy with some fields changed (validated again)."""
        return replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able dict of all fields; redraw_steps only where it is given, so that runs made before it existed keep their keys."""
        data = asdict(self)
        if self.redraw_steps is None:
            del data["redraw_steps"]
        data["noise_temperature"] = list(self.noise_temperature)
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> DecodingConfig:
        """Inverse of to_dict; unknown keys raise ValueError naming them."""
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(data) - known)
        if unknown:
            raise ValueError(f"unknown setting(s) {', '.join(unknown)}; allowed: {', '.join(sorted(known))}")
        data = dict(data)
        if "noise_temperature" in data and isinstance(data["noise_temperature"], list):
            data["noise_temperature"] = tuple(data["noise_temperature"])
        return cls(**data)


def parse_attention_source(source: str) -> tuple[str, int, int]:
    """("default" | "all" | "layers", first, last) of an attention_source string; first = last = -1 unless "layers".

    Raises:
        ValueError: when the string is none of "default", "all", "layers:A-B" with 0 <= A <= B.
    """
    if source in ("default", "all"):
        return source, -1, -1
    head, _, band = str(source).partition(":")
    first, dash, last = band.partition("-")
    if head == "layers" and dash and first.isdigit() and last.isdigit() and int(first) <= int(last):
        return "layers", int(first), int(last)
    raise ValueError(f'attention_source={source!r}: use "default", "all" or "layers:A-B" with A <= B')


def _choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name}={value!r}: choose one of {', '.join(allowed)}")


def _integer(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name}={value!r}: give a whole number from {low} to {high}")


def _number(name: str, value: object, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or not low <= value <= high:
        raise ValueError(f"{name}={value!r}: give a number from {low:g} to {high:g}")
