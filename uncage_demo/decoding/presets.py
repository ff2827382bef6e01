"""Named settings: what the papers used, and what the embedded model does by default."""

from __future__ import annotations

from uncage_demo.config import DecodingConfig

# Meissonic at 1024 px: 64 steps, guidance 9, order noise 1 -> 0.01 (2508.05399 section 4; its own pipeline runs 2 -> 0).
_MEISSONIC = DecodingConfig(order="meissonic", num_steps=64, guidance_scale=9.0, noise_temperature=(1.0, 0.01))
# The paper's guidance: weight 3, first 16 of 64 steps, blur 2.0 at the attention grid, every head of every single-modal block.
_UNCAGE = _MEISSONIC.with_(
    order="uncage", contrast_weight=3.0, contrast_steps=16, contrast_blur=2.0, contrast_mode="both", attention_source="all"
)

PRESETS: dict[str, DecodingConfig] = {
    "embedded": DecodingConfig(),
    "embedded_uncage": DecodingConfig(order="uncage"),
    # What the model's authors draw with, whichever model it is: everything is left to it (ModelInfo.defaults).
    "authors": DecodingConfig(order="meissonic"),
    "paper": _UNCAGE,
    "meissonic": _MEISSONIC,
    "meissonic_pipeline": _MEISSONIC.with_(noise_temperature=(2.0, 0.0), schedule="cosine_float32"),
    "uncage": _UNCAGE,
    "uncage_dagger": _UNCAGE.with_(contrast_steps=64),
    "uncage_positive": _UNCAGE.with_(contrast_mode="positive"),
    "uncage_negative": _UNCAGE.with_(contrast_mode="negative"),
    "random": _MEISSONIC.with_(order="random"),
    "confidence": _MEISSONIC.with_(order="confidence"),
    # aMUSEd: 12 steps, guidance 10, order noise 2 -> 0 (2401.01808 and its scheduler's defaults).
    "amused": DecodingConfig(order="meissonic", num_steps=12, guidance_scale=10.0, noise_temperature=(2.0, 0.0), schedule="cosine_float32"),
    # MaskGIT: 12 steps, cosine, choice temperature 4.5, no guidance (2202.04200, google-research/maskgit configs).
    "maskgit": DecodingConfig(order="maskgit", num_steps=12, guidance_scale=1.0, schedule="cosine"),
    # Halton: 32 steps, arccos schedule (2503.17076); guidance is the model's.
    "halton": DecodingConfig(order="halton", num_steps=32, schedule="arccos"),
}


def preset(name: str) -> DecodingConfig:
    """Settings by name.

    Args:
        name: a key of PRESETS.

    Returns:
        A DecodingConfig with seed 0; change fields with `with_`.

    Raises:
        ValueError: an unknown name; the message lists the known ones.
    """
    if name not in PRESETS:
        raise ValueError(f"preset={name!r}: choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
