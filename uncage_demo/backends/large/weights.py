"""Reading published checkpoints: strict, safetensors only, with errors that say which file and which tensor is wrong."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

WEIGHTS = ("diffusion_pytorch_model", "model")  # file stems that diffusers and transformers write
_NAMES_SHOWN = 3


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        ValueError: when the file is missing, unreadable or not an object.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; the folder is not a complete checkpoint") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(data, dict):
        raise ValueError(f"{path}: holds a {type(data).__name__}, not an object")
    return data


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of one component: a single file, or the shards that its index names.

    Raises:
        ValueError: when there are none, or a shard is missing.
    """
    for stem in WEIGHTS:
        index = folder / f"{stem}.safetensors.index.json"
        if index.is_file():
            listed = read_json(index).get("weight_map")
            names = sorted(set(map(str, listed.values()))) if isinstance(listed, dict) else []
            missing = [name for name in names if Path(name).name != name or not (folder / name).is_file()]
            if missing or not names:
                raise ValueError(f"{index}: names {len(names)} shards, missing: {', '.join(missing) or 'all'}")
            return [folder / name for name in names]
        if (folder / f"{stem}.safetensors").is_file():
            return [folder / f"{stem}.safetensors"]
    raise ValueError(f"{folder}: no {' or '.join(f'{stem}.safetensors' for stem in WEIGHTS)} (other formats are not read)")


def read_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """All tensors of one component.

    Raises:
        ValueError: on a truncated or foreign file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    tensors: dict[str, torch.Tensor] = {}
    for path in weight_files(folder):
        try:
            tensors.update(load_file(path))
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{path}: truncated or not a safetensors file ({error})") from None
    return tensors


def load_strict(module: nn.Module, tensors: Mapping[str, torch.Tensor], dtype: torch.dtype, source: Path) -> None:
    """Put tensors into a module (which may live on the meta device) by name; every name and shape must fit.

    Raises:
        ValueError: listing what is missing, unknown or of another shape.
    """
    expected = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    shapes = [
        f"{name} is {found[name]}, not {expected[name]}" for name in sorted(expected.keys() & found.keys()) if found[name] != expected[name]
    ]
    complain(source, missing=expected.keys() - found.keys(), unknown=found.keys() - expected.keys(), shapes=shapes)
    module.load_state_dict({name: value.to(dtype) for name, value in tensors.items()}, assign=True)


def complain(source: Path, *, missing: Iterable[str] = (), unknown: Iterable[str] = (), shapes: Iterable[str] = ()) -> None:
    """Raise ValueError naming the first few problems of each kind; do nothing when there are none."""
    parts = []
    for title, names in (("missing", sorted(missing)), ("unknown", sorted(unknown)), ("of another shape", list(shapes))):
        if names:
            more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
            parts.append(f"{len(names)} tensors {title}: {', '.join(names[:_NAMES_SHOWN])}{more}")
    if parts:
        raise ValueError(f"{source}: these weights do not fit the model. {'; '.join(parts)}")


def load_diffusers(kind: type[Any], folder: Path, dtype: torch.dtype) -> Any:
    """A diffusers model from its folder, every tensor accounted for.

    Args:
        kind: the model class, e.g. VQModel.
        folder: holds config.json and safetensors weights.

    Raises:
        ValueError: on a missing or broken file, or weights that do not fit.
    """
    read_json(folder / "config.json")
    weight_files(folder)
    return _load_pretrained(kind, folder, torch_dtype=dtype, use_safetensors=True, local_files_only=True)


def load_text_encoder(folder: Path, dtype: torch.dtype) -> Any:
    """transformers' CLIPTextModelWithProjection from a text encoder folder or a whole CLIP folder (its text half is used).

    Raises:
        ValueError: on a missing or broken file, or weights that do not fit.
    """
    from transformers import CLIPTextModelWithProjection

    read_json(folder / "config.json")
    weight_files(folder)
    vision_half = ("vision_", "visual_", "logit_scale")
    options = {"dtype": dtype, "local_files_only": True, "use_safetensors": True}
    return _load_pretrained(CLIPTextModelWithProjection, folder, ignore=vision_half, **options)


def _load_pretrained(kind: Any, folder: Path, *, ignore: tuple[str, ...] = (), **options: Any) -> Any:
    try:
        model, info = kind.from_pretrained(str(folder), output_loading_info=True, **options)
    except Exception as error:  # a config that means nothing fails wherever the library first uses it
        raise ValueError(f"{folder}: {kind.__name__} cannot be loaded: {first_line(error)}") from None
    unknown = [name for name in info["unexpected_keys"] if not name.startswith(ignore) and not name.endswith("position_ids")]
    shapes = [str(item[0] if isinstance(item, (tuple, list)) else item) for item in info.get("mismatched_keys", ())]
    complain(folder, missing=info["missing_keys"], unknown=unknown, shapes=shapes)
    return model.eval()


def load_tokenizer(folder: Path) -> Any:
    """transformers' CLIPTokenizer from its folder.

    Raises:
        ValueError: when it is not there or broken.
    """
    from transformers import CLIPTokenizer

    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        raise ValueError(f"{folder}: no tokenizer.json or vocab.json")
    try:
        return CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
    except Exception as error:  # the tokenizer library raises plain Exception on a broken file
        raise ValueError(f"{folder}: the tokenizer cannot be loaded: {first_line(error)}") from None


def weight_hash(folders: Iterable[Path]) -> str:
    """First 16 hex digits of a sha256 over the sha256 of all weight files, in the order given.

    The hub's cache names large files by their sha256; those names are used as they are, which saves reading gigabytes.
    """
    total = hashlib.sha256()
    for folder in folders:
        for path in weight_files(folder):
            name = path.resolve().name
            total.update((name if re.fullmatch(r"[0-9a-f]{64}", name) else file_hash(path)).encode())
    return total.hexdigest()[:16]


def file_hash(path: Path) -> str:
    """sha256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def first_line(error: BaseException) -> str:
    """What an error says, cut to one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]
