"""Backends: masked generative transformers behind one protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uncage_demo.backends.base import Backend


def load_backend(name: str = "embedded", device: str = "cpu", dtype: str | None = None) -> Backend:
    """Load a model by name.

    Args:
        name: "embedded" (ships with the project), "meissonic", "monetico", "amused-256", "amused-512", a local folder, or a hub id.
        device: torch device, e.g. "cpu" or "cuda".
        dtype: "float32", "bfloat16" or "float16"; None = the model's own default.

    Returns:
        A Backend.

    Raises:
        ValueError: an unknown name, or a damaged model; FileNotFoundError: missing files.
    """
    from pathlib import Path

    from uncage_demo.backends.embedded import EmbeddedBackend

    if name == "embedded":
        if dtype not in (None, "float32"):
            raise ValueError(f"dtype={dtype!r}: the embedded model runs in float32")
        return EmbeddedBackend.load(device=device)
    folder = Path(name)
    if folder.is_dir() and all((folder / f"{part}.safetensors").exists() for part in ("tokenizer", "transformer", "detector")):
        return EmbeddedBackend.load(folder, device=device)
    from uncage_demo.backends.hub import load_large

    return load_large(name, device=device, dtype=dtype)
