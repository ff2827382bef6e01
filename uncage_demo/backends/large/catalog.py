"""The models that a deployment offers: what each can draw, what it costs, whether it is on this machine. Loads nothing (see hub.py)."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from uncage_demo.backends.large.download import Checkpoint, is_folder, obtain, present
from uncage_demo.backends.large.settings import AUTHORS, OwnSettings
from uncage_demo.backends.large.sizes import MODELS, Sizes
from uncage_demo.backends.options import ModelOptions
from uncage_demo.config import DEFAULT_STEPS
from uncage_demo.shipped import EMBEDDED
from uncage_demo.types import ModelDefaults

Family = Literal["embedded", "meissonic", "muddit", "dimo", "amused"]
CLIP_H = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"
MEISSONIC = "MeissonFlow/Meissonic"
WEIGHTS = ("transformer/config.json", "transformer/*.safetensors")
VQ = ("vqvae/config.json", "vqvae/*.safetensors", "scheduler/*.json")
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
        source: hub id ("" for the model that ships with the project), or a local folder.
        subfolder: where in it the transformer's folder lies, "" = at the top.
        base: hub id of the repository that has everything but the transformer, "" = the same one.
        text_source: hub id of its text encoder where that is in neither.
        folder_settings: of a local folder: the settings of the published model that it resembles.
    """

    id: str
    title: str
    family: Family | None
    draws: str
    source: str = ""
    subfolder: str = ""
    base: str = ""
    text_source: str = ""
    folder_settings: OwnSettings | None = None

    @property
    def settings(self) -> OwnSettings | None:
        """The authors' settings; None for the model that ships with the project and for what is not in the catalogue."""
        return self.folder_settings or (AUTHORS.get(self.id) if self.family else None)  # a folder may be called like a model

    @property
    def defaults(self) -> ModelDefaults:
        """Its own settings, told without loading it; a model that ships with the project says them in its config."""
        own = self.settings
        if own is not None:
            return ModelDefaults(own.num_steps, own.guidance_scale, own.noise_temperature, own.schedule)
        config = json.loads((EMBEDDED[self.id] / "config.json").read_text(encoding="utf-8")) if self.id in EMBEDDED else {}
        said = config.get("defaults", {})
        return ModelDefaults(int(said.get("num_steps", DEFAULT_STEPS)), float(said.get("guidance_scale", ModelDefaults.guidance_scale)))

    @property
    def default_steps(self) -> int:
        """Its own number of steps."""
        return self.defaults.num_steps

    @property
    def negative_prompt(self) -> str:
        """Its own negative prompt, "" = an empty text."""
        return "" if self.settings is None else self.settings.negative_prompt

    @property
    def sizes(self) -> Sizes | None:
        """Sizes computed from its shapes; None for the model that ships with the project and for what is not in the catalogue."""
        return MODELS.get(self.id) if self.family else None

    @property
    def cost(self) -> str:
        """What it needs to run, one sentence."""
        if self.sizes is None and self.source:
            return "What it needs is known once it is loaded."
        if self.sizes is None:
            return "Runs on any CPU in seconds; ships with the project."
        billions, memory = self.sizes.parameters / 1e9, self.sizes.memory_bytes() / 1e9
        slow = "less than a minute" if self.family == "dimo" else "minutes" if self.family == "amused" else "tens of minutes"
        return (
            f"A transformer of {billions:.1f} billion parameters: about {memory:.1f} GB of GPU memory in half precision "
            f"({self.sizes.memory_bytes(offload=True) / 1e9:.1f} GB with offloading); on a CPU a picture takes {slow}; not on Apple's mps."
        )

    @property
    def download_gb(self) -> float:
        """What a first use fetches, in GB (10^9 bytes), all parts; the hub's own figure is reported before a download."""
        return 0 if self.sizes is None else round(self.sizes.download_bytes / 1e9, 1)

    def part(self, patterns: Sequence[str], extras: Sequence[str] = EXTRAS) -> Checkpoint:
        """Files of the model's own repository, below its subfolder."""
        below = f"{self.subfolder}/" if self.subfolder else ""
        return Checkpoint(self.source, tuple(below + pattern for pattern in patterns), tuple(below + pattern for pattern in extras))

    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """What must be on this machine: the model, and what lies in other repositories."""
        if not self.source:
            return ()
        own_text = () if self.text_source else TEXT
        if self.base:
            base = Checkpoint(self.base, (*VQ, *TOKENIZER, *own_text), ("tokenizer/*.txt", "vqvae/*.json", "text_encoder/*.json"))
            found = [self.part(WEIGHTS), base]
        else:
            found = [self.part((*WEIGHTS, *VQ, *TOKENIZER, *own_text))]
        if self.text_source:
            found.append(Checkpoint(self.text_source, ("config.json", "*.safetensors"), ("*.safetensors.index*.json",)))
        return tuple(found)

    @property
    def is_present(self) -> bool:
        """True when loading it needs no network."""
        if is_folder(self.source):  # a folder may be laid out in several ways, and lack what another repository has
            from uncage_demo.backends.large.hub import gather

            try:
                gather(self, ModelOptions(), obtain)
            except ValueError:
                return False
            return True
        return all(present(checkpoint) is not None for checkpoint in self.checkpoints())


_SCENES = "Scenes of a few coloured everyday objects, from a closed vocabulary."
_ANYTHING = "Anything you can describe, at {0} × {0} pixels."
_SIMPLE = "Simple pictures of anything, at {0} × {0} pixels; best with close-ups and few objects."
ENTRIES = (
    CatalogEntry("embedded", "Emoji scenes (embedded)", "embedded", _SCENES),
    CatalogEntry(
        "embedded-web",
        "Emoji scenes, web-like captions",
        "embedded",
        f"{_SCENES} It learnt from captions as unreliable as the web's: colours leak, objects go missing or melt together.",
    ),
    CatalogEntry(
        "embedded-blind",
        "Emoji scenes, order-blind captions",
        "embedded",
        f"{_SCENES} Colour words stood anywhere in the captions it learnt from: it knows which colours there are, not whose they are.",
    ),
    CatalogEntry("meissonic", "Meissonic 1024", "meissonic", _ANYTHING.format(1024), source=MEISSONIC, text_source=CLIP_H),
    CatalogEntry("monetico", "Monetico 512", "meissonic", _ANYTHING.format(512), source="Collov-Labs/Monetico"),
    CatalogEntry("muddit-512", "Muddit 512", "muddit", _ANYTHING.format(512), "MeissonFlow/Muddit", "512", MEISSONIC),
    CatalogEntry("muddit-1024", "Muddit Plus 1024", "muddit", _ANYTHING.format(1024), "MeissonFlow/Muddit", "1024", MEISSONIC),
    CatalogEntry(
        "dimo",
        "Di[M]O 1024 (one step)",
        "dimo",
        "Anything you can describe, at 1024 × 1024 pixels, in a single step: no order of positions to compare, all are drawn at once.",
        "Yuanzhi/DiMO",
        "meissonic",
        MEISSONIC,
    ),
    CatalogEntry("amused-256", "aMUSEd 256", "amused", _SIMPLE.format(256), source="amused/amused-256"),
    CatalogEntry("amused-512", "aMUSEd 512", "amused", _SIMPLE.format(512), source="amused/amused-512"),
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
