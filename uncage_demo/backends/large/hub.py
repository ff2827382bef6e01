"""Loading a large model by name, folder or hub id: what it is, where it lies, on which device and in which dtype it runs."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from uncage_demo.backends.devices import parse_device
from uncage_demo.backends.large.backend import LargeBackend
from uncage_demo.backends.large.catalog import ENTRIES, EXTRAS, PARTS, TOKENIZER, CatalogEntry, Family, offered
from uncage_demo.backends.large.download import Checkpoint, ModelUnavailable, Report, is_folder, is_hub_id, obtain
from uncage_demo.backends.large.weights import read_json
from uncage_demo.backends.options import DTYPES, ModelOptions

_USUAL_STEPS = {"meissonic": 64, "amused": 12}


def load_large(
    name_or_path: str,
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype | None = None,
    *,
    download: bool = True,
    report: Report | None = None,
    text_encoder: str | None = None,
    image_size_px: int | tuple[int, int] | None = None,
    offload: bool = False,
    compile: bool = False,
    negative_prompt: str = "",
) -> LargeBackend:
    """Load Meissonic, Monetico, aMUSEd or a checkpoint laid out like one of them.

    Args:
        name_or_path: a catalogue name, a local folder, or a hub id ("owner/name").
        device: "cpu", "cuda", "cuda:1", "mps".
        dtype: "fp32", "fp16", "bf16" or a torch dtype; None = bf16 on GPUs that have it, fp16 on others, fp32 on CPUs.
        download: fetch what is missing (asking for a model by name is asking for this); UNCAGE_DOWNLOAD=0 forbids it everywhere.
        report: called with (source, bytes) before a download; raise in it to stop.
        text_encoder, image_size_px, offload, compile, negative_prompt: see ModelOptions.

    Raises:
        ModelUnavailable: not here and not to be had.
        ValueError: unfitting checkpoint, size, device or dtype; or a model that this deployment does not offer.
    """
    from uncage_demo.backends.large.amused import load_amused
    from uncage_demo.backends.large.assemble import LoadOptions
    from uncage_demo.backends.large.meissonic import load_meissonic

    place, number = parse_device(device), parse_dtype(dtype, parse_device(device))
    chosen = ModelOptions(None if dtype is None else str(dtype), image_size_px, text_encoder, negative_prompt, offload, compile)
    entry = find(name_or_path)
    main, *rest = entry.checkpoints()
    if text_encoder is not None:
        main, rest = Checkpoint(main.source, (*PARTS, *TOKENIZER), EXTRAS), [Checkpoint(text_encoder, ("config.json", "*.safetensors"))]
    folder = obtain(main, download=download, report=report)
    text_folder = obtain(rest[0], download=download, report=report) if rest else folder / "text_encoder"
    family = family_of(folder)
    if entry.family not in (family, None):
        raise ValueError(f"{folder}: holds a model of the {family} family, expected {entry.family}")
    options = LoadOptions(
        id=entry.id,
        title=entry.title,
        device=place,
        dtype=number,
        description=entry.draws,
        default_steps=entry.default_steps if entry.family else _USUAL_STEPS[family],
        chosen=chosen,
    )
    return (load_meissonic if family == "meissonic" else load_amused)(folder, text_folder, options)


def find(name_or_path: str) -> CatalogEntry:
    """The entry of a catalogue name; for a folder or hub id a fresh entry whose family the checkpoint itself will tell.

    Raises:
        ValueError: a name that this deployment does not offer, or one that means nothing.
    """
    known = {entry.id: entry for entry in ENTRIES if entry.source}
    limited = bool(os.environ.get("UNCAGE_MODELS", "").strip())
    if name_or_path in known and not is_folder(name_or_path):
        if known[name_or_path] not in offered():
            raise ValueError(f"model {name_or_path!r} is not offered here; choose from {', '.join(e.id for e in offered())}")
        return known[name_or_path]
    if limited:
        raise ValueError(f"model {name_or_path!r} is not offered here; choose from {', '.join(e.id for e in offered())}")
    for entry in known.values():
        if name_or_path == entry.source:
            return entry
    if is_folder(name_or_path):
        name = Path(name_or_path).expanduser().resolve().name
        return CatalogEntry(name, name, None, "", "", source=name_or_path)
    if name_or_path.strip() and Path(name_or_path).expanduser().is_file():
        raise ModelUnavailable(f"{name_or_path}: this is a file; give the folder that holds transformer, vqvae, tokenizer and scheduler")
    if is_hub_id(name_or_path):
        return CatalogEntry(name_or_path, name_or_path.split("/")[1], None, "", "", source=name_or_path)
    raise ModelUnavailable(f"model {name_or_path!r}: choose {', '.join(known)}, a folder, or a hub id (owner/name)")


def family_of(folder: Path) -> Family:
    """ "meissonic" or "amused", from what the transformer's config.json says of itself.

    Raises:
        ValueError: when it is neither.
    """
    config = read_json(folder / "transformer" / "config.json")
    if config.get("_class_name") == "UVit2DModel" or "num_hidden_layers" in config:
        return "amused"
    if "num_single_layers" in config:
        return "meissonic"
    raise ValueError(
        f"{folder / 'transformer'}: a {config.get('_class_name', 'model without _class_name')} is neither Meissonic nor aMUSEd"
    )


def parse_dtype(dtype: str | torch.dtype | None, device: torch.device) -> torch.dtype:
    """A floating-point dtype from its name, or the device's usual one.

    Raises:
        ValueError: naming the dtype and what is allowed.
    """
    if dtype is None:
        if device.type == "cuda":
            return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
        return torch.float32
    name = DTYPES.get(str(dtype).removeprefix("torch."))
    if name is None:
        raise ValueError(f"dtype={dtype!r}: use fp32, fp16 or bf16")
    return getattr(torch, name)
