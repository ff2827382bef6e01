"""The models that a deployment offers: what each can draw, what it costs, whether it is on this machine. Loads nothing (see hub.py)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from uncage_demo.backends.large.download import Checkpoint, present
from uncage_demo.config import DEFAULT_STEPS

Family = Literal["embedded", "meissonic", "amused"]
CLIP_H = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"
PARTS = ("transformer/config.json", "transformer/*.safetensors", "vqvae/config.json", "vqvae/*.safetensors", "scheduler/*.json")
TOKENIZER = ("tokenizer/*.json",)
TEXT = ("text_encoder/config.json", "text_encoder/*.safetensors")
EXTRAS = ("tokenizer/*.txt", "transformer/*.json", "vqvae/*.json", "text_encoder/*.json")
# Weights in float32, as published: computed from the shapes of the known configs (tests compute them again on the meta device).
# Of CLIP-H the published file holds both halves, of which the text half is read. Tokenizers, a few MB, are left out.
_BYTES = {
    "meissonic": 4_027_785_216,
    "monetico": 3_994_222_592,
    "amused-256": 2_414_150_656,
    "amused-512": 2_433_031_168,
    "vq": 584_978_700,
    "clip-l text": 494_601_216,
    "clip-h text": 1_416_130_560,
    "clip-h": 3_944_437_764,
}


def _weights(*parts: str) -> tuple[tuple[str, int], ...]:
    return tuple((part, _BYTES[part]) for part in parts)


@dataclass(frozen=True)
class CatalogEntry:
    """One model of the page's switch.

    Args:
        id: short name for load_backend.
        title: readable name.
        family: which code runs it; None = the checkpoint's own config.json tells.
        draws: what it can draw, one sentence.
        cost: what it needs to run, one sentence.
        source: hub id ("" for the model that ships with the project).
        text_source: hub id of its text encoder where that is not in `source`.
        weights: bytes of each part's weights, as names and numbers (see `_BYTES`).
        default_steps: usual number of steps.
    """

    id: str
    title: str
    family: Family | None
    draws: str
    cost: str
    source: str = ""
    text_source: str = ""
    weights: tuple[tuple[str, int], ...] = ()
    default_steps: int = 32

    @property
    def download_gb(self) -> float:
        """What a first use fetches, in GB (10^9 bytes), all parts; the hub's own figure is reported before a download."""
        return round(sum(size for _, size in self.weights) / 1e9, 1)

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """What must be on this machine: the model, and its text encoder if that lives elsewhere."""
        if not self.source:
            return ()
        if not self.text_source:
            return (Checkpoint(self.source, (*PARTS, *TOKENIZER, *TEXT), EXTRAS),)
        text = Checkpoint(self.text_source, ("config.json", "model.safetensors"))
        return (Checkpoint(self.source, (*PARTS, *TOKENIZER), EXTRAS), text)

    @property
    def is_present(self) -> bool:
        """True when loading it needs no network."""
        return all(present(checkpoint) is not None for checkpoint in self.checkpoints())


ENTRIES = (
    CatalogEntry(
        "embedded",
        "Emoji scenes (embedded)",
        "embedded",
        "Scenes of a few coloured everyday objects, from a closed vocabulary.",
        "Runs on any CPU in seconds; ships with the project.",
        default_steps=DEFAULT_STEPS,
    ),
    CatalogEntry(
        "embedded-web",
        "Emoji scenes, web-like captions",
        "embedded",
        "The same things, learnt from captions that are as wrong as the web's: colours leak, objects go missing or melt together.",
        "Runs on any CPU in seconds; ships with the project.",
        default_steps=24,
    ),
    CatalogEntry(
        "meissonic",
        "Meissonic 1024",
        "meissonic",
        "Anything you can describe, at 1024 x 1024 pixels.",
        "A transformer of 1.0 billion parameters: a GPU with 8 GB or more; on a CPU a picture takes tens of minutes.",
        source="MeissonFlow/Meissonic",
        text_source=CLIP_H,
        weights=_weights("meissonic", "vq", "clip-h"),
        default_steps=64,
    ),
    CatalogEntry(
        "monetico",
        "Monetico 512",
        "meissonic",
        "Anything you can describe, at 512 x 512 pixels.",
        "A transformer of 1.0 billion parameters: a GPU with 8 GB or more; on a CPU a picture takes tens of minutes.",
        source="Collov-Labs/Monetico",
        weights=_weights("monetico", "vq", "clip-h text"),
        default_steps=48,
    ),
    CatalogEntry(
        "amused-256",
        "aMUSEd 256",
        "amused",
        "Simple pictures of anything, at 256 x 256 pixels; best with close-ups and few objects.",
        "A transformer of 0.6 billion parameters: a small GPU; on a CPU a picture takes minutes.",
        source="amused/amused-256",
        weights=_weights("amused-256", "vq", "clip-l text"),
        default_steps=12,
    ),
    CatalogEntry(
        "amused-512",
        "aMUSEd 512",
        "amused",
        "Simple pictures of anything, at 512 x 512 pixels; best with close-ups and few objects.",
        "A transformer of 0.6 billion parameters: a small GPU; on a CPU a picture takes minutes.",
        source="amused/amused-512",
        weights=_weights("amused-512", "vq", "clip-l text"),
        default_steps=12,
    ),
)


def offered() -> tuple[CatalogEntry, ...]:
    """The entries that this deployment offers, in catalogue order: all, or those that UNCAGE_MODELS names (comma-separated).

    Raises:
        ValueError: when UNCAGE_MODELS names something that is not in the catalogue, or nothing at all.
    """
    text = os.environ.get("UNCAGE_MODELS")
    if text is None or not text.strip():
        return ENTRIES
    names = {name.strip() for name in text.split(",") if name.strip()}
    unknown = sorted(names - {entry.id for entry in ENTRIES})
    if unknown or not names:
        raise ValueError(f"UNCAGE_MODELS={text!r}: unknown {', '.join(unknown) or 'value'}; choose from {', '.join(e.id for e in ENTRIES)}")
    return tuple(entry for entry in ENTRIES if entry.id in names)


def describe(entries: Sequence[CatalogEntry] | None = None) -> list[dict[str, Any]]:
    """What a model switch shows of each entry: id, title, draws, cost, download_gb, present (plain JSON-able values)."""
    return [
        {
            "id": entry.id,
            "title": entry.title,
            "draws": entry.draws,
            "cost": entry.cost,
            "download_gb": entry.download_gb,
            "present": entry.is_present,
        }
        for entry in (offered() if entries is None else entries)
    ]
