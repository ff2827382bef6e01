"""Writes an embedded model for the browser: three ONNX files, each checked against PyTorch, and pictures of its codes."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.browser.graphs import Graph, graphs_of, written
from uncage_demo.browser.manifest import NAME, manifest_of
from uncage_demo.files import write_atomically
from uncage_demo.shipped import EMBEDDED

PACKAGES = ("onnx", "onnxruntime")
MAX_FILE_BYTES = 10_000_000
# The largest difference from PyTorch, and outputs whose greatest entry along an axis must be the same.
TOLERANCE = {"logits": 1e-3, "attention": 1e-4, "pictures": 1.0, "centre": 1e-3, "style": 1e-3}
SAME_ARGMAX = {"logits": -1, "style": 1}
# Two entries closer than this are a tie: their order is the last digit's.
_TIE = 1e-3


class WebPartsMissing(ImportError):
    """The packages of the extra "web" are not installed."""


def require(*names: str) -> list[Any]:
    """The packages of the extra "web".

    Raises:
        WebPartsMissing: naming what to install.
    """
    try:
        return [importlib.import_module(name) for name in names]
    except ImportError as error:
        raise _missing(error.name) from error


def check_packages() -> None:
    """See that the packages of the extra "web" are installed, without importing them.

    Raises:
        WebPartsMissing: naming what to install.
    """
    for name in PACKAGES:
        if importlib.util.find_spec(name) is None:
            raise _missing(name)


def _missing(name: str | None) -> WebPartsMissing:
    return WebPartsMissing(f'{name} is not installed: pip install "uncage-demo[web]" (or -r requirements-web.txt)')


def export_model(name: str, folder: Path, age: str = "1") -> Path:
    """Write a model's graphs and manifest; returns the manifest's path.

    Args:
        name: an embedded model's name, or its folder.
        folder: made when missing; files of an earlier export are replaced.
        age: after which part of its training; "1" = all of it.

    Raises:
        WebPartsMissing: without the extra "web".
        ValueError: a graph that does not give what PyTorch gives, or a file that is too large.
    """
    require(*PACKAGES)
    backend = EmbeddedBackend.load(EMBEDDED.get(name, Path(name)), age=age)
    return write_model(backend, folder)


def write_model(backend: EmbeddedBackend, folder: Path) -> Path:
    """As `export_model`, of a model that is loaded."""
    folder.mkdir(parents=True, exist_ok=True)
    parts: dict[str, Any] = {"transformer": backend.transformer, "tokenizer": backend.tokenizer, "detector": backend.detector}
    manifest = manifest_of(backend)
    manifest["files"], manifest["checked"] = {}, {}
    for graph in graphs_of(parts):
        data = written(graph)
        manifest["checked"] |= check(graph, data)
        manifest["files"][graph.name] = _kept(folder / f"{graph.name}.onnx", data)
    # "v 16 16 3" uint8: to draw them anew would cost the browser as much as many steps.
    tiles = backend.token_pictures(range(backend.info.codebook_size))
    manifest["files"]["tiles"] = _kept(folder / "tiles.bin", tiles.tobytes())
    return write_atomically(folder / NAME, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")


def _kept(path: Path, data: bytes) -> dict[str, Any]:
    """Write a file; what the manifest says of it."""
    if len(data) >= MAX_FILE_BYTES:
        raise ValueError(f"{path.name} has {len(data)} bytes: at most {MAX_FILE_BYTES} are allowed")
    write_atomically(path, data)
    return {"file": path.name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def check(graph: Graph, data: bytes) -> dict[str, float]:
    """Run a written graph and compare it with PyTorch, on its example inputs and on each sample alone.

    Returns:
        {output: the largest absolute difference}.

    Raises:
        ValueError: naming the output that differs, by how much, and what is allowed.
    """
    (runtime,) = require("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    most = dict.fromkeys(graph.outputs, 0.0)
    for rows in (slice(None), slice(0, 1)):
        given = {name: values[rows] for name, values in graph.examples.items()}
        with torch.no_grad():
            wanted = (graph.engine or graph.module)(*given.values())
        wanted = [wanted] if isinstance(wanted, torch.Tensor) else wanted
        made = session.run(list(graph.outputs), {name: values.numpy() for name, values in given.items()})
        for name, ours, theirs in zip(graph.outputs, made, wanted, strict=True):
            most[name] = max(most[name], _difference(graph.name, name, np.asarray(ours), theirs.numpy()))
    return most


def _difference(graph: str, name: str, made: np.ndarray, wanted: np.ndarray) -> float:
    if made.shape != wanted.shape:
        raise ValueError(f"{graph}.onnx gives {name} of shape {made.shape}, PyTorch of shape {wanted.shape}")
    difference = float(np.abs(made.astype(np.float64) - wanted.astype(np.float64)).max())
    if not difference <= TOLERANCE[name]:
        raise ValueError(f"{graph}.onnx gives {name} that differs from PyTorch's by {difference:.2g}; allowed is {TOLERANCE[name]:g}")
    if name in SAME_ARGMAX:
        axis = SAME_ARGMAX[name]
        second, first = np.moveaxis(np.sort(wanted, axis=axis), axis, 0)[-2:]
        other = (made.argmax(axis=axis) != wanted.argmax(axis=axis)) & (first - second > _TIE)
        if other.any():
            raise ValueError(f"{graph}.onnx: the greatest entry of {name} is another one than PyTorch's at {int(other.sum())} places")
    return difference
