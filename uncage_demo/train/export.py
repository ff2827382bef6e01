"""Writes the trained parts as a model folder: one safetensors file a part, config.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from uncage_demo.backends.embedded.files import compacted
from uncage_demo.files import replacing, write_atomically

MAX_FILE_BYTES = 10_000_000


def save_half(module: nn.Module, path: Path, notes: Mapping[str, str] | None = None) -> None:
    """Write a module's weights in half precision.

    Args:
        module: any. path: a .safetensors file. notes: further metadata of the file.
    """
    state = {key: value.detach().cpu().to(torch.float16).contiguous() for key, value in module.state_dict().items()}
    save_file(state, path, metadata={"format": "pt", **(notes or {})})
    path.chmod(0o644)


def save_compact(module: nn.Module, path: Path, notes: Mapping[str, str] | None = None) -> None:
    """Write a module's weights at half the size of `save_half` (see `files.compacted`).

    Args:
        module: any. path: a .safetensors file. notes: further metadata of the file.
    """
    state = {key: value.detach().cpu() for key, value in module.state_dict().items()}
    save_file(compacted(state), path, metadata={"format": "pt", **(notes or {})})
    path.chmod(0o644)


def export(folder: Path, parts: dict[str, nn.Module], settings: dict[str, Any], compact: bool = False) -> None:
    """Write `<part>.safetensors` and config.json.

    Args:
        folder: created when absent.
        parts: "tokenizer", "transformer", "detector"; each has a `config` dict.
        settings: further keys of config.json ("attention_heads", "blur", "defaults").
        compact: as whole numbers with scales (see `files.compacted`); otherwise float16.

    Raises:
        ValueError: a file would be 10 MB or more, which a plain push to a Space refuses.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, module in parts.items():
        path = folder / f"{name}.safetensors"
        with replacing(path) as place:
            (save_compact if compact else save_half)(module, place)
            size_bytes = place.stat().st_size
            if size_bytes >= MAX_FILE_BYTES:
                raise ValueError(f"{path} has {size_bytes} bytes; at most {MAX_FILE_BYTES} are allowed: train a smaller model")
    config = {name: module.config for name, module in parts.items()} | settings
    write_atomically(folder / "config.json", json.dumps(config, indent=2) + "\n")
