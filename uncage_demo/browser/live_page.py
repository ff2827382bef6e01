"""A page in one file that draws by itself: model, runtime, engine, player, lessons. Opens from disk; nothing is loaded or sent."""

from __future__ import annotations

import base64
import gzip
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from uncage_demo.browser.bundle import STATIC, bundle
from uncage_demo.browser.export_model import export_model
from uncage_demo.browser.live_lessons import SCRIPT, HeldLesson, live_lessons
from uncage_demo.browser.manifest import NAME
from uncage_demo.browser.runtime import Runtime, find_runtime
from uncage_demo.browser.served import worker_script
from uncage_demo.files import write_atomically
from uncage_demo.player.page import one_file_page, script_json

MAX_PAGE_BYTES = 25_000_000
TITLE = "Watch a masked generative transformer decide"


def export_live(
    path: Path,
    models: Sequence[str] = ("embedded",),
    title: str = TITLE,
    runtime: str | Path | None = None,
    lessons: Callable[[], Mapping[str, HeldLesson]] | None = None,
) -> Path:
    """Write the page; returns its path.

    Args:
        path: the file to write.
        models: names of embedded models, the first one first.
        title: shown as title and heading.
        runtime: folder of the npm package onnxruntime-web; None = the checkout's.
        lessons: gives the runs of lessons that the page cannot draw; None = it has only those that it draws.

    Raises:
        RuntimeMissing: without the npm package. WebPartsMissing: without the extra "web".
        ValueError: a page that would be too large.
    """
    parts = find_runtime(runtime)
    with tempfile.TemporaryDirectory() as folder:
        folders = {name: export_model(name, Path(folder) / str(number)).parent for number, name in enumerate(models)}
        text = live_html(folders, parts, title, lessons() if lessons else {})
    size = len(text.encode())
    if size > MAX_PAGE_BYTES:
        raise ValueError(f"the page would have {size / 1e6:.1f} MB: at most {MAX_PAGE_BYTES / 1e6:.0f} are allowed; give fewer models")
    return write_atomically(path, text)


def live_html(folders: dict[str, Path], runtime: Runtime, title: str, lessons: Mapping[str, HeldLesson] | None = None) -> str:
    """The page's text.

    Args:
        folders: of exported models by name.
        runtime: from `find_runtime`.
        title: as `export_live`.
        lessons: runs of lessons that the page cannot draw, by the lesson's file.
    """
    held: dict[str, bytes] = {}
    models: list[dict[str, Any]] = []
    for name, folder in folders.items():
        manifest = json.loads((folder / NAME).read_text(encoding="utf-8"))
        ids = {}
        for part, file in manifest["files"].items():
            # Parts that models share lie in the page once.
            ids[part] = f"live-part-{file['sha256'][:12]}"
            held[ids[part]] = (folder / file["file"]).read_bytes()
        models.append({"name": name, "manifest": manifest, "parts": ids})
    lessons = lessons or {}
    held |= {f"live-{stem}": json.dumps(lesson["payload"]).encode() for stem, lesson in lessons.items()}
    blobs = {name: gzip.compress(data, 9, mtime=0) for name, data in held.items()} | {"live-wasm": runtime.binary}
    stored = "\n".join(f'<script type="application/octet-stream" id="{name}">{_base64(data)}</script>' for name, data in blobs.items())
    data = f"""<script type="application/json" id="live-models">{script_json(models)}</script>
<script type="application/json" id="live-lessons">{script_json(live_lessons(lessons, folders))}</script>
<script type="text/plain" id="live-worker">{_plain(worker_script(runtime))}</script>
{stored}"""
    main = f"""
{(STATIC / "live/live.html").read_text(encoding="utf-8")}
<noscript><p>This page computes its pictures itself, so it needs JavaScript.</p></noscript>
"""
    return one_file_page(
        title,
        main,
        data,
        [SCRIPT.read_text(encoding="utf-8"), bundle(STATIC / "live/live.js")],
        style=(STATIC / "live/live.css").read_text(encoding="utf-8"),
        notice=runtime.notice,
        further_sources=" 'wasm-unsafe-eval' blob:; worker-src blob:",
    )


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _plain(script: str) -> str:
    """A script as text inside a <script> element.

    Raises:
        ValueError: it holds what would end the element.
    """
    if "</script" in script.lower() or "<!--" in script:
        raise ValueError("the worker's script holds a text that would end its element in the page")
    return script
