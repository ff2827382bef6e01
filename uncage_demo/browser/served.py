"""What a server gives to browsers in which runs are drawn: model, runtime and engine, each file under a name made of its content.

A file's name never means anything else, so a browser may keep it for good: a second visit transfers none of them. Models are written once
and kept in a folder of this user; a change of the weights or of the exporter writes them anew.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.browser.bundle import STATIC, bundle, runtime_as_constant
from uncage_demo.browser.export_model import check_packages, write_model
from uncage_demo.browser.live_lessons import HeldLesson
from uncage_demo.browser.manifest import NAME, manifest_of
from uncage_demo.browser.runtime import Runtime, find_runtime, runtime_folder
from uncage_demo.shipped import EMBEDDED

# What the written graphs depend on beside the weights.
_PARTS = ("transformer", "tokenizer", "detector")
_SOURCES = ("graphs.py", "winograd.py", "export_model.py", *(f"../backends/embedded/{part}.py" for part in _PARTS))
_NAME_DIGITS = 16


@dataclass(frozen=True)
class Served:
    """One file as it travels.

    Args:
        name: digits of its content's hash, a slash, and a readable name.
        data: its bytes, compressed with gzip.
        kind: media type.
        plain: whether the browser is to see it unpacked (Content-Encoding); else its reader unpacks it.
        saved_as: a name under which it is saved instead of shown; "" = it is no download.
    """

    name: str
    data: bytes
    kind: str
    plain: bool
    saved_as: str = ""


class Shelf:
    """Files by name; safe to use from several threads."""

    def __init__(self) -> None:
        self._files: dict[str, Served] = {}
        self._making = threading.Lock()
        self._told: dict[tuple[str, str], dict[str, Any]] = {}
        self._runtimes: dict[str, dict[str, str]] = {}
        self._pages: dict[tuple[str, ...], str] = {}

    def get(self, name: str) -> Served | None:
        """The file of that name, or None."""
        return self._files.get(name)

    def put(self, label: str, data: bytes, kind: str, *, saved: bool = False) -> str:
        """Offer a file that the browser is to see unpacked; returns its name.

        Args:
            label: readable end of the name.
            data: its content, not compressed.
            kind: see `Served`.
            saved: whether it is a download.
        """
        name = f"{hashlib.sha256(data).hexdigest()[:_NAME_DIGITS]}/{label}"
        if name not in self._files:
            self._files[name] = Served(name, gzip.compress(data, 6, mtime=0), kind, True, label if saved else "")
        return name

    def put_packed(self, label: str, digest: str, data: bytes) -> str:
        """As `put`, of bytes that are compressed already and of whose content the hash is known."""
        name = f"{digest[:_NAME_DIGITS]}/{label}"
        self._files.setdefault(name, Served(name, data, "application/octet-stream", False))
        return name

    def model(self, name: str, age: str = "", build: str = "wasm") -> dict[str, Any]:
        """What a browser needs to draw with a model: names of its files. Made on first use, which takes about as long as a few runs.

        Args:
            name: an embedded model's name.
            age: after which part of its training; "" = all of it.
            build: of the runtime, one of `runtime.BUILDS`.

        Returns:
            {"key", "worker", "wasm", "manifest", "parts": {part: name}, "bytes": {name: size as it travels, of "wasm" and the parts}}.

        Raises:
            ValueError: a model, age or build that is not there; `RuntimeMissing` without the npm package.
            WebPartsMissing: without the extra "web".
        """
        if name not in EMBEDDED:
            raise ValueError(f"model {name!r} is drawn on the server only; in a browser: {', '.join(EMBEDDED)}")
        with self._making:
            if build not in self._runtimes:
                self._runtimes[build] = self._runtime(build)
            key = (name, age)
            if key not in self._told:
                manifest, parts = self._parts(name, age)
                self._told[key] = {
                    "key": f"{name} {age}".strip(),
                    "manifest": self.put("manifest.json", json.dumps(manifest).encode(), "application/json"),
                    "parts": parts,
                }
            told = {**self._told[key], **self._runtimes[build]}
            sizes = {file: len(self._files[file].data) for file in (told["wasm"], *told["parts"].values())}
            return {**told, "bytes": sizes}

    def _runtime(self, build: str) -> dict[str, str]:
        """The worker's script and the WebAssembly of a build of the runtime."""
        runtime = find_runtime(build=build)
        return {
            "worker": self.put("worker.js", worker_script(runtime).encode(), "text/javascript"),
            "wasm": self.put_packed("runtime.wasm.gz", hashlib.sha256(runtime.binary).hexdigest(), runtime.binary),
        }

    def page(self, names: tuple[str, ...], title: str, lessons: Callable[[], Mapping[str, HeldLesson]] | None = None) -> str:
        """The page in one file that draws by itself; returns its name here.

        Args:
            names: of embedded models.
            title: shown as title and heading.
            lessons: as `live_page.export_live`.

        Raises:
            ValueError, WebPartsMissing: as `model`.
        """
        from uncage_demo.browser.live_page import live_html

        with self._making:
            if names not in self._pages:
                runtime = find_runtime()
                text = live_html({name: written_model(name, "")[0] for name in names}, runtime, title, lessons() if lessons else {})
                self._pages[names] = self.put("uncage-offline.html", text.encode(), "text/html; charset=utf-8", saved=True)
            return self._pages[names]

    def _parts(self, name: str, age: str) -> tuple[dict[str, Any], dict[str, str]]:
        """The model's manifest, and the names of its graphs."""
        folder, backend = written_model(name, age)
        kept = json.loads((folder / NAME).read_text(encoding="utf-8"))
        # Words, titles and colours are told as they are today; only the graphs are kept.
        manifest = {**manifest_of(backend), "files": kept["files"], "checked": kept["checked"]}
        parts = {}
        for part, file in kept["files"].items():
            data = (folder / file["file"]).read_bytes()
            parts[part] = self.put_packed(f"{file['file']}.gz", file["sha256"], gzip.compress(data, 6, mtime=0))
        return manifest, parts


def check_parts() -> None:
    """See whether this server has what drawing in browsers needs.

    Raises:
        RuntimeMissing: without the npm package. WebPartsMissing: without the extra "web".
    """
    runtime_folder()
    check_packages()


def written_model(name: str, age: str) -> tuple[Path, EmbeddedBackend]:
    """The folder with a model's graphs, written where it is not there yet; and the model.

    Args:
        name, age: as `Shelf.model`.
    """
    backend = EmbeddedBackend.load(EMBEDDED[name], age=age or "1")
    folder = cache_folder() / f"{name}-{age.replace('/', '-') or 'all'}-{backend.info.weight_hash}-{_exporter()}"
    if not (folder / NAME).exists():
        write_model(backend, folder)
    return folder, backend


def worker_script(runtime: Runtime) -> str:
    """The worker as one plain script: the runtime, the engine, and the line that starts them."""
    engine = bundle(STATIC / "worker.js")
    return f"{runtime_as_constant(runtime.script)}\n{engine}\nentry.serve(ort, globalThis);\n"


@cache
def cache_folder() -> Path:
    """Where written models are kept: in this user's cache, or for this process alone where that cannot be written."""
    place = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "uncage-demo" / "web"
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            return place
    except OSError:
        return Path(tempfile.mkdtemp(prefix="uncage-web-"))


@cache
def _exporter() -> str:
    here = Path(__file__).parent
    digest = hashlib.sha256(b"".join((here / source).resolve().read_bytes() for source in _SOURCES))
    return digest.hexdigest()[:8]


SHELF = Shelf()
