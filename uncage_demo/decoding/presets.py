"""Named settings, one table for Python, command line, API and page: what a preset sets, and why someone would choose it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from uncage_demo.config import SETTINGS, DecodingConfig
from uncage_demo.orders.table import COMPARED


@dataclass(frozen=True)
class Preset:
    """A named set of settings.

    Args:
        name: what the command line, the API and Python call it.
        title: what the page calls it.
        about: one sentence for people.
        config: the settings, with the order of a single picture; seed 0. What it leaves open is the model's.
        beside: the order to compare it with; "" = one of COMPARED, the first that is not its own.
        keeps_steps: whether the page keeps the number of steps where the preset leaves it open.
    """

    name: str
    title: str
    about: str
    config: DecodingConfig
    beside: str = ""
    keeps_steps: bool = True

    @property
    def orders(self) -> tuple[str, str]:
        """The orders of a comparison: the one beside it and its own, the order of COMPARED kept."""
        own = self.config.order
        beside = self.beside or next(order for order in COMPARED if order != own)
        return (own, beside) if own == COMPARED[0] else (beside, own)

    @property
    def shared(self) -> dict[str, Any]:
        """The settings other than order and seed that differ from the defaults, by name."""
        usual = DecodingConfig()
        values = {name: getattr(self.config, name) for name in SETTINGS if name not in ("order", "seed")}
        return {name: value for name, value in values.items() if value != getattr(usual, name)}


_USUAL = DecodingConfig()
_GUIDED = DecodingConfig(order="uncage")
# Meissonic at 1024 px: 64 steps, guidance 9, order noise 1 -> 0.01 (2508.05399 section 4; its own pipeline runs 2 -> 0).
_MEISSONIC = DecodingConfig(order="meissonic", num_steps=64, guidance_scale=9.0, noise_temperature=(1.0, 0.01))
# The paper's guidance: weight 3, first 16 of 64 steps, blur 2.0 at the attention grid, every head of every single-modal block.
_UNCAGE = _MEISSONIC.with_(
    order="uncage", contrast_weight=3.0, contrast_steps=16, contrast_blur=2.0, contrast_mode="both", attention_source="all"
)
_TABLE = (
    Preset("embedded_uncage", "UNCAGE, as published", "Weight 3 in the first quarter of the steps, on the model's own settings.", _GUIDED),
    Preset("embedded", "Baseline", "Confidence and noise, no guidance, on the model's own settings.", _USUAL),
    Preset(
        "authors",
        "The model's own settings",
        "Steps, guidance, noise and schedule that the chosen model's authors draw with.",
        _USUAL,
        keeps_steps=False,
    ),
    Preset(
        "every_step",
        "UNCAGE in every step",
        "The contrast acts in every step (UNCAGE† in the paper).",
        _GUIDED.with_(contrast_steps=256),
    ),
    Preset(
        "anchored",
        "Anchored: one place per object",
        "UNCAGE's contrast, held to one place per object (this project's order).",
        DecodingConfig(order="anchored"),
        beside="uncage",
    ),
    Preset(
        "twelve_steps",
        "Twelve steps",
        "More cells are kept at once, so the baseline often draws an object twice; with 24 steps or more it hardly ever does.",
        DecodingConfig(order="anchored", num_steps=12),
    ),
    Preset(
        "redraw",
        "Draft and redraw",
        "The last quarter of the steps keeps one place per object and draws the rest again (this project's method).",
        DecodingConfig(order="redraw", num_steps=12),
    ),
    Preset(
        "mend_half_guided",
        "Draft and mend, guided for half",
        "The laboratory's best method where colours leak: classifier-free guidance in the first half of the steps only.",
        DecodingConfig(order="mend", guidance_interval=(0.0, 0.5)),
    ),
    Preset(
        "mend_spaced",
        "Draft and mend, spaced, guided for half",
        "The laboratory's best method in few steps: cells committed in one step are also at least two cells apart.",
        DecodingConfig(order="mend", guidance_interval=(0.0, 0.5), spacing=2.0),
    ),
    Preset(
        "positive_only",
        "Positive term only",
        "Own words attract; other objects' words do not repel.",
        _GUIDED.with_(contrast_mode="positive"),
    ),
    Preset(
        "negative_only",
        "Negative term only",
        "Other objects' words repel; own words do not attract.",
        _GUIDED.with_(contrast_mode="negative"),
    ),
    Preset("strong", "Strong guidance", "Weight 12: what too much guidance does.", _GUIDED.with_(contrast_weight=12.0)),
    Preset(
        "pipeline_noise",
        "Meissonic pipeline noise",
        "Noise from 2 down to 0, as the released pipeline does.",
        _GUIDED.with_(noise_temperature=(2.0, 0.0)),
    ),
    Preset(
        "order_matters",
        "Does order matter? Random and Halton",
        "Two orders that ignore the model: chance against an even spread.",
        DecodingConfig(order="halton"),
        beside="random",
    ),
    Preset(
        "greedy",
        "Greedy confidence and noise",
        "Confidence without noise beside confidence with noise: what the Gumbel noise does.",
        DecodingConfig(order="meissonic"),
        beside="confidence",
    ),
    Preset(
        "paper",
        "UNCAGE paper, Meissonic 1024",
        "64 steps, guidance 9, noise 1 to 0.01, 16 guided steps, blur 2, every head.",
        _UNCAGE,
    ),
    Preset(
        "uncage_dagger",
        "UNCAGE paper, all 64 steps guided",
        "The contrast acts in every step (UNCAGE† in the paper).",
        _UNCAGE.with_(contrast_steps=64),
    ),
    Preset(
        "uncage_positive",
        "UNCAGE paper, positive term",
        "The paper's ablation: own words attract.",
        _UNCAGE.with_(contrast_mode="positive"),
    ),
    Preset(
        "uncage_negative",
        "UNCAGE paper, negative term",
        "The paper's ablation: other objects' words repel.",
        _UNCAGE.with_(contrast_mode="negative"),
    ),
    Preset("meissonic", "UNCAGE paper, baseline", "64 steps, guidance 9, noise 1 to 0.01, without attention guidance.", _MEISSONIC),
    Preset("random", "UNCAGE paper, random", "The paper's random order in 64 steps.", _MEISSONIC.with_(order="random")),
    Preset("confidence", "UNCAGE paper, confidence", "The paper's order by confidence alone.", _MEISSONIC.with_(order="confidence")),
    Preset(
        "meissonic_pipeline",
        "Meissonic's own settings",
        "64 steps, guidance 9, noise 2 to 0, as its pipeline.",
        _MEISSONIC.with_(noise_temperature=(2.0, 0.0), schedule="cosine_float32"),
    ),
    Preset(
        "amused",
        "aMUSEd's own settings",
        "12 steps, guidance 10, noise 2 to 0 (2401.01808 and its scheduler).",
        DecodingConfig(num_steps=12, guidance_scale=10.0, noise_temperature=(2.0, 0.0), schedule="cosine_float32"),
    ),
    Preset(
        "maskgit",
        "MaskGIT's own settings",
        "12 steps, cosine, choice temperature 4.5, no guidance (2202.04200 and its configs).",
        DecodingConfig(order="maskgit", num_steps=12, guidance_scale=1.0, schedule="cosine"),
    ),
    Preset(
        "halton",
        "Halton's own settings",
        "32 steps, arccos schedule (2503.17076); guidance is the model's.",
        DecodingConfig(order="halton", num_steps=32, schedule="arccos"),
    ),
)
NAMED: dict[str, Preset] = {one.name: one for one in _TABLE}
# A second name, from before there was a table.
_ALSO = {"uncage": "paper"}
PRESETS: dict[str, DecodingConfig] = {one.name: one.config for one in _TABLE} | {name: NAMED[same].config for name, same in _ALSO.items()}


def named_preset(name: str) -> Preset:
    """A preset with its title, its sentence and the orders of a comparison.

    Args:
        name: a key of PRESETS, or the title that the page shows.

    Raises:
        ValueError: an unknown name; the message lists the known ones.
    """
    for one in _TABLE:
        if _ALSO.get(name, name) in (one.name, one.title):
            return one
    raise ValueError(f"preset={name!r}: choose one of {', '.join(PRESETS)}")


def preset_with(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """A preset's settings that differ from the defaults, order and seed aside, changed by those given.

    In another number of steps its guided steps keep their share of them: 16 of the paper's 64 are 2 of 8.

    Args:
        name: see `named_preset`.
        given: settings by name; they count before the preset.

    Raises:
        ValueError: an unknown name.
    """
    told = named_preset(name).shared
    settings = {**told, **given}
    steps, guided = settings.get("num_steps"), told.get("contrast_steps")
    if steps is not None and guided and "contrast_steps" not in given:
        settings["contrast_steps"] = min(steps, max(1, round(guided * steps / told.get("num_steps", steps))))
    return settings


def preset(name: str) -> DecodingConfig:
    """Settings by name.

    Args:
        name: a key of PRESETS.

    Returns:
        A DecodingConfig with seed 0; change fields with `with_`.

    Raises:
        ValueError: an unknown name; the message lists the known ones.
    """
    return named_preset(name).config
