"""The settings that each model's authors draw with: what holds where nobody asks for anything else."""

from __future__ import annotations

from dataclasses import dataclass

from uncage_demo.backends.options import AUTHORS_NEGATIVE


@dataclass(frozen=True)
class OwnSettings:
    """A model's own settings, as its authors' code and scripts have them.

    Args:
        num_steps: T.
        guidance_scale: g; 1 = conditional only. These models are guided only above 1.
        noise_temperature: (first step, last step) of the noise in the order.
        schedule: which counting of masked positions; all count in float32.
        negative_prompt: text of the unconditional half.
    """

    num_steps: int
    guidance_scale: float
    noise_temperature: tuple[float, float] = (2.0, 0.0)
    schedule: str = "cosine_float32"
    negative_prompt: str = ""


# Meissonic's, Monetico's and Muddit's scripts; diffusers' AmusedPipeline; Di[M]O's sample_Meissonic.py (one forward, no guidance).
AUTHORS: dict[str, OwnSettings] = {
    "meissonic": OwnSettings(64, 9.0, negative_prompt=AUTHORS_NEGATIVE),
    "monetico": OwnSettings(48, 9.0, negative_prompt=AUTHORS_NEGATIVE),
    "muddit-512": OwnSettings(64, 9.0, negative_prompt=AUTHORS_NEGATIVE),
    "muddit-1024": OwnSettings(64, 9.0, negative_prompt=AUTHORS_NEGATIVE),
    "dimo": OwnSettings(1, 1.0),
    "amused-256": OwnSettings(12, 10.0),
    "amused-512": OwnSettings(12, 10.0),
}


def settings_of(family: str, downsample: bool) -> OwnSettings:
    """The settings of the published model that a checkpoint of a family resembles most.

    Args:
        family: "meissonic", "muddit", "dimo" or "amused".
        downsample: whether it attends at half its token grid, as the 1024 px models do.
    """
    names = {"meissonic": ("monetico", "meissonic"), "muddit": ("muddit-512", "muddit-1024"), "amused": ("amused-256", "amused-512")}
    return AUTHORS["dimo" if family == "dimo" else names[family][downsample]]
