"""Reading published checkpoints: strict, safetensors only, with errors that say which file and which tensor is wrong."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from uncage_demo.backends.large.files import STEMS, choose, conversion_command, index_of, pickles

VISION_HALF = ("vision_", "visual_", "logit_scale")  # what a whole CLIP model has beside its text half
_NAMES_SHOWN = 3
_LFS_POINTER = b"version https://git-lfs"


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
        ValueError: when there are none (with the command that converts pickles, where there are such), or a shard is missing.
    """
    names = {path.name for path in folder.iterdir() if path.is_file()} if folder.is_dir() else set()
    index = index_of(names)
    if index is not None:
        listed = read_json(folder / index).get("weight_map")
        shards = sorted(set(map(str, listed.values()))) if isinstance(listed, dict) else []
        missing = [name for name in shards if Path(name).name != name or not (folder / name).is_file()]
        if missing or not shards:
            raise ValueError(f"{folder / index}: names {len(shards)} shards, missing: {', '.join(missing) or 'all'}")
        return [folder / name for name in shards]
    chosen = choose(names)
    if chosen:
        return [folder / name for name in chosen]
    wanted = " or ".join(f"{stem}.safetensors" for stem in STEMS)
    pickled = pickles(names)
    if pickled:
        raise ValueError(
            f"{folder}: no {wanted}, only {', '.join(pickled[:3])}. Such a file is a pickle and can run code when it is opened, so it is "
            f"not read. Convert it once, if you trust where it comes from: {conversion_command([folder / name for name in pickled])}"
        )
    raise ValueError(f"{folder}: no {wanted}, half-precision copy (.fp16.safetensors) or index of shards")


def read_adapter(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of an adapter's file.

    Raises:
        ValueError: on a truncated or foreign file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from None


def read_tensors(folder: Path, skip: tuple[str, ...] = ()) -> dict[str, torch.Tensor]:
    """The tensors of one component.

    Args:
        folder: of the component.
        skip: tensors whose names begin with one of these stay in the file and take no memory.

    Raises:
        ValueError: on a truncated or foreign file.
    """
    from safetensors import SafetensorError, safe_open

    tensors: dict[str, torch.Tensor] = {}
    for path in weight_files(folder):
        try:
            with safe_open(path, framework="pt") as file:
                tensors.update({name: file.get_tensor(name) for name in file.keys() if not name.startswith(skip)})  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise _unreadable(path, error) from None
    return tensors


def _unreadable(path: Path, error: Exception) -> ValueError:
    """What is wrong with a weight file that cannot be opened; a clone made without Git LFS is the usual case."""
    try:
        with path.open("rb") as stream:
            pointer = stream.read(len(_LFS_POINTER)) == _LFS_POINTER
    except OSError:
        pointer = False
    if pointer:
        return ValueError(f"{path}: holds a pointer of Git LFS in place of the weights; run in its folder: git lfs pull")
    return ValueError(f"{path}: truncated or not a safetensors file ({error})")


def load_strict(module: nn.Module, tensors: Mapping[str, torch.Tensor], dtype: torch.dtype, source: Path) -> None:
    """Put tensors into a module (which may live on the meta device) by name; every name and shape must fit.

    Args:
        module: takes the tensors.
        tensors: by name.
        dtype: that they are turned into.
        source: the folder that they come from.

    Raises:
        ValueError: naming the file and what is missing, unknown, of another shape or no floating-point numbers.
    """
    expected = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    both = sorted(expected.keys() & found.keys())
    shapes = [f"{name} is {found[name]}, not {expected[name]}" for name in both if found[name] != expected[name]]
    # Whole numbers are somebody's quantised copy; read as they stand they would be weights hundreds of times too large.
    kinds = [f"{name} is {str(tensors[name].dtype).removeprefix('torch.')}" for name in both if not tensors[name].is_floating_point()]
    complain(source, missing=expected.keys() - found.keys(), unknown=found.keys() - expected.keys(), shapes=shapes, kinds=kinds)
    module.load_state_dict({name: value.to(dtype) for name, value in tensors.items()}, assign=True)


def complain(
    source: Path,
    *,
    missing: Iterable[str] = (),
    unknown: Iterable[str] = (),
    shapes: Iterable[str] = (),
    kinds: Iterable[str] = (),
) -> None:
    """Raise ValueError naming the files and the first few problems of each kind; do nothing when there are none.

    Args:
        source: a file, or the folder of a component.
        missing, unknown: names of tensors.
        shapes, kinds: sentences that begin with a tensor's name.
    """
    parts = []
    problems = (
        ("missing", sorted(missing)),
        ("unknown", sorted(unknown)),
        ("of another shape", list(shapes)),
        ("not of float32, float16 or bfloat16 numbers", list(kinds)),
    )
    for title, names in problems:
        if names:
            more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
            parts.append(f"{len(names)} tensors {title}: {', '.join(names[:_NAMES_SHOWN])}{more}")
    if parts:
        files = weight_files(source) if source.is_dir() else [source]
        where = f"{files[0]}" + (f" and {len(files) - 1} more shards" if len(files) > 1 else "")
        raise ValueError(f"{where}: these weights do not fit the model that its config describes. {'; '.join(parts)}")


def load_diffusers(kind: type[Any], folder: Path, dtype: torch.dtype) -> Any:
    """A diffusers model from its folder, every tensor accounted for; settings that its config leaves out are diffusers' own defaults.

    Args:
        kind: the model class, e.g. VQModel.
        folder: holds config.json and safetensors weights.
        dtype: of the parameters; the file may hold another.

    Raises:
        ValueError: on a missing or broken file, or weights that do not fit.
    """
    config = read_json(folder / "config.json")
    tensors = read_tensors(folder)
    model = _built(folder, kind.__name__, lambda: kind.from_config(config))
    load_strict(model, tensors, dtype, folder)
    return model.eval()


def load_text_encoder(folder: Path, dtype: torch.dtype) -> Any:
    """transformers' CLIPTextModelWithProjection from a text encoder folder or a whole CLIP folder, of which the text half alone is read.

    Raises:
        ValueError: on a missing or broken file, or weights that do not fit.
    """
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    data = read_json(folder / "config.json")
    tensors = {name: value for name, value in read_tensors(folder, VISION_HALF).items() if not name.endswith("position_ids")}

    def build() -> Any:
        config = CLIPTextConfig.from_pretrained(str(folder), local_files_only=True)
        if isinstance(data.get("text_config"), dict) and "projection_dim" in data:
            config.projection_dim = data["projection_dim"]  # a whole CLIP model projects both halves to the width that it names itself
        return CLIPTextModelWithProjection(config)

    model = _built(folder, "CLIPTextModelWithProjection", build)
    load_strict(model, tensors, dtype, folder)
    embeddings = model.text_model.embeddings
    places = torch.arange(embeddings.position_embedding.weight.shape[0])[None]
    embeddings.register_buffer("position_ids", places, persistent=False)  # in no file, so still without values
    return model.eval()


def _built(folder: Path, name: str, build: Callable[[], Any]) -> Any:
    """A module without values, on the meta device; a config that means nothing fails wherever the library first uses it."""
    try:
        with torch.device("meta"):
            return build()
    except Exception as error:
        raise ValueError(f"{folder}: {name} cannot be loaded: {first_line(error)}") from None


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


def weight_hash(folders: Iterable[Path], files: Iterable[Path] = ()) -> str:
    """First 16 hex digits of a sha256 over the sha256 of all weight files, in the order given.

    Args:
        folders: of components.
        files: further files, such as an adapter's.

    The hub's cache names large files by their sha256; those names are used as they are, which saves reading gigabytes. Other files are
    read once in the life of the process, unless they change.
    """
    total = hashlib.sha256()
    for folder in folders:
        for path in weight_files(folder):
            total.update(file_hash(path).encode())
    for path in files:
        total.update(file_hash(path).encode())
    return total.hexdigest()[:16]


def file_hash(path: Path) -> str:
    """sha256 of a file, hexadecimal."""
    name = path.resolve().name
    if re.fullmatch(r"[0-9a-f]{64}", name):
        return name
    state = path.stat()
    return _read_hash(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)
def _read_hash(path: Path, size: int, changed_ns: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def first_line(error: BaseException) -> str:
    """What an error says, cut to one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]
