"""Functions that the page's scripts call by name: payloads of runs on stage, and files to take away. They read; they never decode.

Answers are JSON texts: {"payload": ...}, {"name": ..., "mime": ..., "data": base64} or {"error": message}.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import tempfile
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uncage_demo.render.payload import MAX_RUNS, build_payload
from uncage_demo.ui.session import Entry

if TYPE_CHECKING:
    from uncage_demo.ui.handlers import Handlers

log = logging.getLogger(__name__)
_MIME = {
    "npz": "application/octet-stream",
    "html": "text/html",
    "webp": "image/webp",
    "gif": "image/gif",
    "mp4": "video/mp4",
    "png": "image/png",
    "svg": "image/svg+xml",
    "zip": "application/zip",
}
_CACHED_PAYLOADS = 24


def answered(function: Callable[[Any], dict[str, Any]]) -> Callable[[Any], str]:
    """A function for scripts: errors come back as a message instead of a failed request."""

    def call(data: Any) -> str:
        try:
            return json.dumps(function(data))
        except ValueError as error:
            return json.dumps({"error": str(error)})
        except Exception as error:
            log.exception("%s failed", function.__name__)
            return json.dumps({"error": f"Something went wrong on the server ({type(error).__name__})."})

    call.__name__ = function.__name__
    return call


class Payloads:
    """Payloads of runs by their ids; the last few are kept as text."""

    def __init__(self) -> None:
        self._texts: OrderedDict[tuple[str, ...], str] = OrderedDict()
        self._lock = threading.Lock()

    def text(self, entries: list[Entry], small: bool = False) -> str:
        """JSON text {"payload": ...} of these runs; small = as a grid of small stages."""
        key = (str(small), *(entry.id for entry in entries))
        with self._lock:
            if key in self._texts:
                self._texts.move_to_end(key)
                return self._texts[key]
        text = json.dumps({"payload": payload_of(entries, small)})
        with self._lock:
            self._texts[key] = text
            while len(self._texts) > _CACHED_PAYLOADS:
                self._texts.popitem(last=False)
        return text


def payload_of(entries: list[Entry], small: bool = False) -> dict[str, Any]:
    """The player's payload of some runs, with verdicts and findings."""
    from uncage_demo.diagnose import diagnose

    traces = [entry.trace for entry in entries]
    findings = None if small or len(traces) > 6 else [diagnose(trace) for trace in traces]
    verdicts, ids = [entry.verdict for entry in entries], [entry.id for entry in entries]
    return build_payload(traces, verdicts, findings, ids=ids, detail="grid" if small else None)


def payload_function(handlers: Handlers) -> Callable[[Any], str]:
    """`payload({ids, small})` for scripts: the payload of 1 to 24 runs."""
    kept = Payloads()

    def payload(data: Any) -> str:
        try:
            entries = _entries(handlers, data, MAX_RUNS)
            return kept.text(entries, bool(data.get("small")))
        except ValueError as error:
            return json.dumps({"error": str(error)})
        except Exception as error:
            log.exception("payload failed")
            return json.dumps({"error": f"Something went wrong on the server ({type(error).__name__})."})

    return payload


def export_function(handlers: Handlers) -> Callable[[Any], str]:
    """`export_file({ids, kind, step})` for scripts: one file made of the runs on stage."""

    def export_file(data: Any) -> dict[str, Any]:
        entries = _entries(handlers, data, 6)
        kind, step = data.get("kind"), data.get("step", 0)
        if kind not in ("npz", "html", "webp", "gif", "mp4", "png", "svg"):
            raise ValueError(f"kind={kind!r}: choose npz, html, webp, gif, mp4, png or svg")
        last = max(len(e.trace.steps) for e in entries) - 1
        if not isinstance(step, int) or isinstance(step, bool):
            raise ValueError(f"step={step!r}: give a whole number from 0 to {last}")
        with tempfile.TemporaryDirectory() as folder:
            path = make_file(entries, kind, min(max(step, 0), last), Path(folder))
            return {"name": path.name, "mime": _MIME[path.suffix[1:]], "data": base64.b64encode(path.read_bytes()).decode()}

    return answered(export_file)


def make_file(entries: list[Entry], kind: str, step: int, folder: Path) -> Path:
    """One file of the runs on stage.

    Args:
        entries: 1..6 runs.
        kind: "npz" (a .zip of them when there are several), "html", "webp", "gif", "mp4", "png" or "svg".
        step: the step a figure shows.
        folder: where to write.

    Raises:
        ValueError: when this file cannot be made.
    """
    traces, verdicts = [e.trace for e in entries], [e.verdict for e in entries]
    stem = f"uncage-{_slug(traces[0].prompt.text)}-seed{traces[0].config['seed']}"
    if kind == "npz":
        return _trace_files(entries, folder, stem)
    path = folder / f"{stem}.{kind}"
    if kind == "html":
        from uncage_demo.render.report import standalone_html

        path.write_text(standalone_html(payload_of(entries), traces[0].prompt.text), encoding="utf-8")
    elif kind in ("webp", "gif", "mp4"):
        from uncage_demo.render.animation import EncoderMissing, save_animation
        from uncage_demo.render.frames import compare_frames

        try:
            save_animation(compare_frames(traces, verdicts=verdicts), path)
        except EncoderMissing as error:
            raise ValueError(str(error)) from error
    else:
        from uncage_demo.render.figures import default_steps, heatmap_figure, save_figure

        steps = sorted({*default_steps(traces, 5), min(step, min(len(t.steps) for t in traces) - 1)})
        save_figure(heatmap_figure(traces, steps), path)
    return path


def model_facts(name: str) -> str:
    """What the page says under the model switch, as a message."""
    from uncage_demo.ui.handlers import message
    from uncage_demo.ui.models import about

    return message("model", **about(name))


def _trace_files(entries: list[Entry], folder: Path, stem: str) -> Path:
    paths = []
    for number, entry in enumerate(entries):
        path = folder / f"{stem}-{'abcdef'[number]}-{_slug(str(entry.trace.config['order']))}.npz"
        entry.trace.save(path)
        paths.append(path)
    if len(paths) == 1:
        return paths[0]
    packed = folder / f"{stem}.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for path in paths:
            archive.write(path, path.name)
    return packed


def _entries(handlers: Handlers, data: Any, most: int) -> list[Entry]:
    ids = data.get("ids") if isinstance(data, dict) else None
    if not isinstance(ids, list) or not 1 <= len(ids) <= most:
        raise ValueError(f"there is no run on stage to read (1 to {most} are needed); generate one first")
    return handlers.store.get_many(ids)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:48] or "run"
