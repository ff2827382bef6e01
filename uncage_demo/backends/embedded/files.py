"""The folder of an embedded model: config.json, one safetensors file a part, and younger weights of the transformer.

A folder may leave tokenizer and detector to another one: its config.json then says `"shared": "../emoji-scenes"`, and holds neither part.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from uncage_demo.backends.ages import WHOLE, age_file, ages_in
from uncage_demo.backends.embedded.detector import Detector
from uncage_demo.backends.embedded.tokenizer import ImageTokenizer
from uncage_demo.backends.embedded.transformer import SceneTransformer

PARTS = ("tokenizer", "transformer", "detector")
SHARED_PARTS = ("tokenizer", "detector")
_SCALE = ".scale"


@dataclass(frozen=True)
class LoadedParts:
    """What a model folder holds.

    Args:
        parts: tokenizer, transformer and detector modules.
        config: its config.json, with the tokenizer's and detector's settings also where they are shared.
        weight_hash: sha256 (first 16 hex digits) over the weight files of all parts.
    """

    parts: dict[str, nn.Module]
    config: dict[str, Any]
    weight_hash: str


def build_parts(config: dict[str, Any]) -> dict[str, nn.Module]:
    """Fresh modules of a config.json: tokenizer, transformer, detector."""
    return {
        "tokenizer": ImageTokenizer(**config["tokenizer"]),
        "transformer": SceneTransformer(**config["transformer"]),
        "detector": Detector(**config["detector"]),
    }


def is_model_folder(folder: Path) -> bool:
    """Whether a folder holds an embedded model; a large model's has no such files."""
    own = [part for part in PARTS if (folder / f"{part}.safetensors").exists()]
    if len(own) == len(PARTS):
        return True
    try:
        return own == ["transformer"] and "shared" in json.loads((folder / "config.json").read_text())
    except (OSError, ValueError, TypeError):
        return False


def load_parts(folder: Path, age: Fraction = WHOLE) -> LoadedParts:
    """The parts of a model folder.

    Args:
        folder: with config.json and its weights.
        age: after which part of its training; see `ages`.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: no weights of that age, or a file that is damaged or does not fit the config.
    """
    config_path = folder / "config.json"
    if not config_path.exists():
        raise FileNotFoundError(f"{folder} holds no config.json; train one with `python -m uncage_demo train` or give a model's folder")
    try:
        config = _read_config(folder)
        parts = build_parts(config)
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{config_path} does not describe an embedded model: {error}") from error
    if age not in (WHOLE, *ages_in(folder)):
        raise ValueError(f"{folder.name} keeps no weights of age {age}; it has {', '.join(map(str, (*ages_in(folder), WHOLE)))}")
    digest = hashlib.sha256()
    for name in PARTS:
        path = (
            age_file(folder, age) if name == "transformer" and age != WHOLE else part_folder(folder, config, name) / f"{name}.safetensors"
        )
        if not path.exists():
            raise FileNotFoundError(f"{path} is missing; the embedded model needs {', '.join(f'{p}.safetensors' for p in PARTS)}")
        digest.update(path.read_bytes())
        _fill(parts[name], path, name, config_path)
    return LoadedParts(parts, config, digest.hexdigest()[:16])


def part_folder(folder: Path, config: dict[str, Any], part: str) -> Path:
    """The folder in which a part's weights are: the model's own, or the one it shares them with."""
    return folder / config["shared"] if part in SHARED_PARTS and config.get("shared") else folder


def _read_config(folder: Path) -> dict[str, Any]:
    """config.json, with what it leaves to the folder that it shares parts with."""
    config = json.loads((folder / "config.json").read_text())
    shared = config.get("shared", "")
    if not isinstance(shared, str):
        raise TypeError(f"shared={shared!r}, wanted a folder")
    if shared:
        path = folder / shared / "config.json"
        if not path.exists():
            raise FileNotFoundError(f"{path} is missing; {folder.name} shares the {' and '.join(SHARED_PARTS)} of that folder")
        config |= {part: json.loads(path.read_text())[part] for part in SHARED_PARTS}
    return config


def compacted(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights at a quarter of their size: each row of a matrix as whole numbers -127..127 and one scale; all else in half precision.

    Args:
        state: float weights by name.

    Returns:
        What `restored` reads: "NAME" int8 "r ..." with "NAME.scale" float16 "r", or "NAME" float16.
    """
    packed: dict[str, Tensor] = {}
    for name, value in state.items():
        if value.ndim < 2:
            packed[name] = value.to(torch.float16).contiguous()
            continue
        rows = value.float().flatten(1)
        # Scales are rounded first, so that the whole numbers fit to what is stored.
        scale = (rows.abs().amax(dim=1) / 127).clamp(min=1e-7).to(torch.float16)
        whole = (rows / scale.float().clamp(min=1e-7)[:, None]).round().clamp(-127, 127)
        packed[name], packed[f"{name}{_SCALE}"] = whole.to(torch.int8).reshape(value.shape).contiguous(), scale
    return packed


def restored(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Float32 weights from a file's: half precision, or what `compacted` made."""
    whole = {name: value.float() for name, value in state.items() if not name.endswith(_SCALE)}
    for name in whole:
        if f"{name}{_SCALE}" in state:
            scale = state[f"{name}{_SCALE}"].float().clamp(min=1e-7)
            whole[name] = whole[name] * scale.reshape(-1, *[1] * (whole[name].ndim - 1))
    return whole


def _fill(module: nn.Module, path: Path, name: str, config_path: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        module.load_state_dict(restored(load_file(path)))
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{path} does not hold the {name} that {config_path} describes: {error}") from error
