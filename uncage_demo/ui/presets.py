"""Named settings: what a preset changes, and why someone would choose it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from uncage_demo.config import DecodingConfig
from uncage_demo.decoding import presets as papers


@dataclass(frozen=True)
class Preset:
    """A named set of settings.

    Args:
        name: as shown.
        orders: the two stages.
        shared: DecodingConfig fields that differ from the defaults.
        about: one sentence for people.
    """

    name: str
    orders: tuple[str, str]
    about: str
    shared: dict[str, Any] = field(default_factory=dict)


def _paper(name: str, first: str, second: str, about: str) -> Preset:
    """A preset made of the engine's named settings: those of `second` (of `first` where it is "") for both stages."""
    settings = papers.preset(second or first).to_dict()
    defaults = DecodingConfig().to_dict()
    differs = {k: v for k, v in settings.items() if k not in ("order", "seed") and v != defaults.get(k)}
    shared = {k: tuple(v) if isinstance(v, list) else v for k, v in differs.items()}
    return Preset(name, (papers.preset(first).order, "uncage"), about, shared)


# Source: 2508.05399 (w_a 3, first quarter of the steps, noise 1 -> 0.01); Meissonic's own pipeline anneals its noise from 2 to 0.
PRESETS = (
    Preset("UNCAGE, as published", ("meissonic", "uncage"), "Weight 3 in the first quarter of the steps; noise 1 to 0.01."),
    Preset("UNCAGE in every step", ("meissonic", "uncage"), "The paper's dagger: the contrast acts to the end.", {"contrast_steps": 256}),
    Preset(
        "Anchored: one place per object", ("uncage", "anchored"), "UNCAGE's contrast, held to one place per object (this project's order)."
    ),
    Preset(
        "Twelve steps",
        ("meissonic", "anchored"),
        "More cells are kept at once, so doubles are common in the baseline; with 24 steps and more there are hardly any.",
        {"num_steps": 12},
    ),
    Preset(
        "Draft and redraw",
        ("meissonic", "redraw"),
        "The last quarter of the steps keeps one place per object and draws the rest again (this project's method).",
        {"num_steps": 12},
    ),
    Preset(
        "Positive term only",
        ("meissonic", "uncage"),
        "Own words attract; other objects' words do not repel.",
        {"contrast_mode": "positive"},
    ),
    Preset(
        "Negative term only",
        ("meissonic", "uncage"),
        "Other objects' words repel; own words do not attract.",
        {"contrast_mode": "negative"},
    ),
    Preset("Strong guidance", ("meissonic", "uncage"), "Weight 12: see what too much of it does.", {"contrast_weight": 12.0}),
    Preset(
        "Meissonic pipeline noise",
        ("meissonic", "uncage"),
        "Order noise from 2 down to 0, as the released pipeline does.",
        {"noise_temperature": (2.0, 0.0)},
    ),
    Preset("Does order matter? Random and Halton", ("random", "halton"), "No confidence at all: chance against an even spread."),
    _paper("Meissonic 1024, the paper's settings", "meissonic", "uncage", "64 steps, guidance 9, 16 guided steps, blur 2, every head."),
    _paper("aMUSEd's own settings", "amused", "", "12 steps, guidance 10, noise 2 to 0."),
    Preset("Greedy confidence and noise", ("confidence", "meissonic"), "What the Gumbel noise is good for."),
)


def preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        ValueError: naming the presets there are.
    """
    for candidate in PRESETS:
        if candidate.name == name:
            return candidate
    raise ValueError(f"preset {name!r}: choose one of {', '.join(p.name for p in PRESETS)}")
