"""Loading a large model by name, folder or hub id: what it is, where its parts lie, on which device and in which dtype it runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from uncage_demo.backends.devices import parse_device, parse_dtype
from uncage_demo.backends.large.backend import LargeBackend
from uncage_demo.backends.large.catalog import (
    ENTRIES,
    MEISSONIC,
    TEXT,
    TOKENIZER,
    VQ,
    WEIGHTS,
    CatalogEntry,
    Family,
    offered,
)
from uncage_demo.backends.large.download import Checkpoint, ModelUnavailable, Report, is_folder, is_hub_id, missing, obtain
from uncage_demo.backends.large.layout import ALIKE, OTHER_PARTS, Parts, family_of, model_folder, text_encoder_folder
from uncage_demo.backends.options import ModelOptions

Fetch = Callable[[Checkpoint], Path]


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
    negative_prompt: str | None = None,
    lora: str | None = None,
    family: str | None = None,
) -> LargeBackend:
    """Load a model of the Meissonic or aMUSEd family, or a checkpoint laid out like one of them.

    Args:
        name_or_path: a catalogue name, a local folder (also a repository in the hub's cache, by its path), or a hub id ("owner/name").
        device: "cpu", "cuda", "cuda:1", "auto".
        dtype: "fp32", "fp16", "bf16" or a torch dtype; None = bf16 on GPUs that have it, fp16 on others, fp32 on CPUs.
        download: fetch what is missing (asking for a model by name is asking for this); UNCAGE_DOWNLOAD=0 forbids it everywhere.
        report: called with (source, bytes) before a download; raise in it to stop.
        text_encoder, image_size_px, offload, compile, negative_prompt, lora, family: see ModelOptions.

    Raises:
        ModelUnavailable: not here and not to be had.
        ValueError: unfitting checkpoint, size, device or dtype; or a model that this deployment does not offer.
    """
    from uncage_demo.backends.large.amused import load_amused
    from uncage_demo.backends.large.assemble import LoadOptions
    from uncage_demo.backends.large.meissonic import load_meissonic

    place = parse_device(device)
    number = parse_dtype(dtype, place)
    named = None if dtype is None else str(dtype)
    chosen = ModelOptions(named, image_size_px, text_encoder, negative_prompt, offload, compile, lora, family)
    entry = find(name_or_path)
    parts, kind = gather(entry, chosen, lambda checkpoint: obtain(checkpoint, download=download, report=report))
    options = LoadOptions(
        id=entry.id,
        title=entry.title,
        device=place,
        dtype=number,
        family=kind,
        description=entry.draws,
        settings=entry.settings,
        size_px=None if entry.sizes is None else entry.sizes.side_px,
        chosen=chosen,
    )
    return (load_amused if kind == "amused" else load_meissonic)(parts, options)


def gather(entry: CatalogEntry, chosen: ModelOptions, fetch: Fetch) -> tuple[Parts, Family]:
    """Find, or fetch, every part of a model.

    Args:
        entry: of the catalogue, or what `find` made of a folder or hub id.
        chosen: what was asked for; text_encoder, lora and family matter here.
        fetch: checkpoint -> its folder.

    Returns:
        The parts, and the model's family.

    Raises:
        ModelUnavailable: a part is not here and not to be had; ValueError: a model of another family than the one asked for.
    """
    local = is_folder(entry.source)
    own_text = () if chosen.text_encoder is not None or entry.text_source else TEXT
    if local:
        root = model_folder(Path(entry.source).expanduser())
    else:
        rest = () if entry.base else (*VQ, *TOKENIZER, *own_text)
        root = fetch(entry.part((*WEIGHTS, *rest))) / entry.subfolder
    found = family_of(root / "transformer")
    wanted = entry.family or chosen.family
    if wanted is not None and wanted not in ALIKE[found]:
        raise ValueError(f"{root}: holds a model of the {found} family, expected {wanted}")
    family: Family = next(name for name in ALIKE[found] if wanted in (None, name))
    if chosen.lora is not None and family != "amused":
        raise ValueError(f"lora={chosen.lora!r}: adapters are read for aMUSEd only, and {entry.id} is of the {family} family")
    base_source = entry.base or (MEISSONIC if family in ("muddit", "dimo") else "")
    if base_source and not all((root / part).is_dir() for part in OTHER_PARTS):
        base = fetch(Checkpoint(base_source, (*VQ, *TOKENIZER, *own_text), ("tokenizer/*.txt", "vqvae/*.json", "text_encoder/*.json")))
    else:
        base = root
        lacking = missing(root, (*WEIGHTS[:1], *VQ[::2], *TOKENIZER, *own_text[:1])) if local else []
        if lacking:
            raise ModelUnavailable(f"{root}: not a complete checkpoint, no file matches {', '.join(lacking)}")
    with _option_named("text_encoder", chosen.text_encoder):
        named = chosen.text_encoder or entry.text_source
        text = text_encoder_folder(_named_encoder(named, fetch)) if named else base / "text_encoder"
    with _option_named("lora", chosen.lora):
        lora = None if chosen.lora is None else fetch(Checkpoint(chosen.lora, ("adapter_config.json", "adapter_model.safetensors")))
    vqvae, tokenizer, scheduler = (base / part for part in OTHER_PARTS)
    return Parts(root / "transformer", vqvae, tokenizer, scheduler, text, lora), family


@contextmanager
def _option_named(name: str, value: str | None) -> Iterator[None]:
    """Put the option that asked for it before what is said of a place that is not there; nothing where it was not given."""
    try:
        yield
    except ModelUnavailable as error:
        raise error if value is None else ModelUnavailable(f"{name}: {error}") from None


def _named_encoder(source: str, fetch: Fetch) -> Path:
    if is_folder(source):
        return Path(source).expanduser()
    return fetch(Checkpoint(source, ("config.json", "*.safetensors"), ("*.safetensors.index*.json",)))


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
    sharing = [entry for entry in known.values() if name_or_path == entry.source]
    if len(sharing) > 1:
        raise ModelUnavailable(f"{name_or_path}: holds several models; choose {' or '.join(entry.id for entry in sharing)}")
    if sharing:
        return sharing[0]
    if is_folder(name_or_path):
        name = _folder_name(Path(name_or_path).expanduser().resolve())
        return CatalogEntry(name, name, None, "", source=name_or_path)
    if name_or_path.strip() and Path(name_or_path).expanduser().is_file():
        raise ModelUnavailable(f"{name_or_path}: this is a file; give the folder that holds transformer, vqvae, tokenizer and scheduler")
    if is_hub_id(name_or_path):
        return CatalogEntry(name_or_path, name_or_path.split("/")[1], None, "", source=name_or_path)
    raise ModelUnavailable(f"model {name_or_path!r}: choose {', '.join(known)}, a folder, or a hub id (owner/name)")


def _folder_name(folder: Path) -> str:
    """What a folder's model is called: the folder's name, or the repository's where it is one in the hub's cache."""
    for path in (folder, *folder.parents[:2]):
        if path.name.startswith("models--"):
            return path.name.removeprefix("models--").replace("--", "/")
    return folder.name
