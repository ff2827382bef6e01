"""The models that a deployment offers: what each can draw, what it costs, whether it is on this machine. Loads nothing (see hub.py)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from uncage_demo.backends.download import Checkpoint, present

Family = Literal["embedded", "meissonic", "amused"]
CLIP_H = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"
PARTS = ("transformer/config.json", "transformer/*.safetensors", "vqvae/config.json", "vqvae/*.safetensors", "scheduler/*.json")
TOKENIZER = ("tokenizer/*.json",)
TEXT = ("text_encoder/config.json", "text_encoder/*.safetensors")
EXTRAS = ("tokenizer/*.txt", "transformer/*.json", "vqvae/*.json", "text_encoder/*.json")


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
        download_gb: about how much a first use fetches, in GB (10^9 bytes); the exact size is reported before a download.
        default_steps: usual number of steps.
    """

    id: str
    title: str
    family: Family | None
    draws: str
    cost: str
    source: str = ""
    text_source: str = ""
    download_gb: float = 0.0
    default_steps: int = 32

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
        "Embedded model",
        "embedded",
        "Scenes of a few coloured everyday objects, from a closed vocabulary.",
        "Runs on any CPU in seconds; ships with the project.",
    ),
    CatalogEntry(
        "meissonic",
        "Meissonic 1024",
        "meissonic",
        "Anything you can describe, at 1024 x 1024 pixels.",
        "1.0 billion parameters: a GPU with 8 GB or more; on a CPU a picture takes tens of minutes.",
        source="MeissonFlow/Meissonic",
        text_source=CLIP_H,
        download_gb=8.6,
        default_steps=64,
    ),
    CatalogEntry(
        "monetico",
        "Monetico 512",
        "meissonic",
        "Anything you can describe, at 512 x 512 pixels.",
        "1.0 billion parameters: a GPU with 8 GB or more; on a CPU a picture takes tens of minutes.",
        source="Collov-Labs/Monetico",
        download_gb=6.0,
        default_steps=48,
    ),
    CatalogEntry(
        "amused-256",
        "aMUSEd 256",
        "amused",
        "Simple pictures of anything, at 256 x 256 pixels; best with close-ups and few objects.",
        "0.8 billion parameters: a small GPU; on a CPU a picture takes minutes.",
        source="amused/amused-256",
        download_gb=3.5,
        default_steps=12,
    ),
    CatalogEntry(
        "amused-512",
        "aMUSEd 512",
        "amused",
        "Simple pictures of anything, at 512 x 512 pixels; best with close-ups and few objects.",
        "0.8 billion parameters: a small GPU; on a CPU a picture takes minutes.",
        source="amused/amused-512",
        download_gb=3.5,
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
