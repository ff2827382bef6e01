"""Where the parts of a checkpoint lie: the usual folder, a cached repository by its path, a model in a subfolder, one part elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uncage_demo.backends.large.catalog import Family
from uncage_demo.backends.large.download import ModelUnavailable
from uncage_demo.backends.large.settings import OwnSettings, settings_of
from uncage_demo.backends.large.weights import read_json

OTHER_PARTS = ("vqvae", "tokenizer", "scheduler")
# The families that a transformer's config.json cannot tell apart: Di[M]O is a Meissonic, distilled.
ALIKE: dict[str, tuple[Family, ...]] = {"meissonic": ("meissonic", "dimo"), "muddit": ("muddit",), "amused": ("amused",)}


@dataclass(frozen=True)
class Parts:
    """The folders of a checkpoint's parts.

    Args:
        transformer, vqvae, tokenizer, scheduler, text_encoder: each holds a config.json (the tokenizer its files) and weights where it
            has any.
        lora: an adapter of the transformer, or None.
    """

    transformer: Path
    vqvae: Path
    tokenizer: Path
    scheduler: Path
    text_encoder: Path
    lora: Path | None = None

    @property
    def weighty(self) -> list[Path]:
        """The folders whose weights decide what is drawn."""
        return [self.transformer, self.vqvae, self.text_encoder]


def snapshot_of(folder: Path) -> Path:
    """The folder itself, or of a repository in the hub's cache ("models--owner--name") the snapshot that its main branch names.

    Raises:
        ModelUnavailable: a cached repository without a snapshot, or with several and none named.
    """
    kept = folder / "snapshots"
    if not kept.is_dir() or (folder / "transformer").is_dir():
        return folder
    named = folder / "refs" / "main"
    wanted = kept / named.read_text(encoding="utf-8").strip() if named.is_file() else None
    if wanted is not None and wanted.is_dir():
        return wanted
    found = sorted(path for path in kept.iterdir() if path.is_dir())
    if len(found) != 1:
        raise ModelUnavailable(f"{folder}: a cached repository with {len(found)} snapshots; give the path of one of them")
    return found[0]


def model_folder(folder: Path) -> Path:
    """The folder that holds transformer/: this one, its only subfolder that does, or the one above a transformer's own folder.

    Raises:
        ModelUnavailable: none, or several, which are named.
    """
    root = snapshot_of(folder)
    if (root / "transformer" / "config.json").is_file():
        return root
    if root.name == "transformer" and (root / "config.json").is_file():
        return root.parent
    inside = sorted(path.parent.parent for path in root.glob("*/transformer/config.json"))
    if len(inside) == 1:
        return inside[0]
    if inside:
        raise ModelUnavailable(f"{root}: holds several models, {', '.join(path.name for path in inside)}; give the path of one of them")
    raise ModelUnavailable(f"{root}: not a complete checkpoint, no file matches transformer/config.json")


def text_encoder_folder(folder: Path) -> Path:
    """The folder of a text encoder's config.json: this one, or its subfolder text_encoder.

    Raises:
        ModelUnavailable: neither holds one.
    """
    root = snapshot_of(folder)
    for place in (root, root / "text_encoder"):
        if (place / "config.json").is_file():
            return place
    raise ModelUnavailable(f"{root}: not a text encoder, no file matches config.json or text_encoder/config.json")


def settings_in(folder: Path, family: str | None = None) -> OwnSettings:
    """The settings that the authors of a local checkpoint's kind draw with, told from its config alone.

    Args:
        folder: the checkpoint's.
        family: its family where the config does not tell it.

    Raises:
        ValueError: no such checkpoint.
    """
    transformer = model_folder(folder) / "transformer"
    return settings_of(family or family_of(transformer), bool(read_json(transformer / "config.json").get("downsample", False)))


def families_in(folder: Path) -> tuple[Family, ...]:
    """The families that a local checkpoint may be of, as far as its config tells, the likeliest first.

    Raises:
        ValueError: no such checkpoint.
    """
    return ALIKE[family_of(model_folder(folder) / "transformer")]


def family_of(transformer: Path) -> str:
    """ "meissonic", "muddit" or "amused", from what a transformer's config.json says of itself.

    Raises:
        ValueError: when it is none of them.
    """
    config: dict[str, Any] = read_json(transformer / "config.json")
    kind = config.get("_class_name")
    if kind == "UVit2DModel" or "num_hidden_layers" in config:
        return "amused"
    if kind == "SymmetricTransformer2DModel" or config.get("tokenizer_vocab_size") is not None:
        return "muddit"
    if kind == "Transformer2DModel" or "num_single_layers" in config:
        return "meissonic"
    raise ValueError(f"{transformer}: a {kind or 'model without _class_name'} is neither Meissonic nor Muddit nor aMUSEd")
