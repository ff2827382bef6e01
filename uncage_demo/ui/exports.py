"""Functions that the page's scripts call by name: payloads of runs on stage, and files to take away. They read; of a model they
ask no more than pictures of steps that are still to be drawn.

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
from collections.abc import Callable
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cachetools import LRUCache, cachedmethod
from pydantic import TypeAdapter

from uncage_demo.export import Look, write_view
from uncage_demo.files import replacing, write_atomically
from uncage_demo.player.head_maps import recorded_heads
from uncage_demo.player.page import standalone_html
from uncage_demo.player.payload import MAX_RUNS, build_payload
from uncage_demo.prompt.parse import PromptError
from uncage_demo.setting import one_of, shortened
from uncage_demo.trace.check import check_notes
from uncage_demo.trace.header import read_json
from uncage_demo.trace.notes import Note, tidy
from uncage_demo.ui.session import Entry

if TYPE_CHECKING:
    from uncage_demo.ui.handlers import Handlers

log = logging.getLogger(__name__)
# What can be taken away: name -> what it is.
KINDS = {
    "npz": "trace files, zipped where there are several",
    "html": "the player as one file that works offline",
    "webp": "film, small and sharp",
    "mp4": "film for slides and messengers",
    "gif": "film for places that take nothing else",
    "still": "PNG of the stages at one step",
    "png": "figure: pictures and heatmaps over the steps",
    "svg": "the same figure as vectors",
}
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
_NOTES = TypeAdapter(list[Note])


def answered(function: Callable[[Any], dict[str, Any]]) -> Callable[[Any], str]:
    """A function for scripts: errors come back as a message instead of a failed request."""

    def call(data: Any) -> str:
        try:
            return json.dumps(function(data))
        except ValueError as error:
            return json.dumps({"error": str(error), "words": isinstance(error, PromptError)})
        except Exception as error:
            log.exception("%s failed", function.__name__)
            return json.dumps({"error": f"Something went wrong on the server ({type(error).__name__})."})

    call.__name__ = function.__name__
    return call


class Payloads:
    """Payloads of runs by their ids; the last few are kept as text. Who asks for what is just being made waits for it."""

    def __init__(self) -> None:
        self.kept: LRUCache[tuple[Any, ...], str] = LRUCache(_CACHED_PAYLOADS)
        self.made = threading.Condition()

    @cachedmethod(
        attrgetter("kept"),
        key=lambda self, entries, small=False: (small, *((entry.id, entry.owed) for entry in entries)),
        condition=attrgetter("made"),
    )
    def text(self, entries: list[Entry], small: bool = False) -> str:
        """JSON text {"payload": ..., "owed": ...} of these runs; small = as a grid of small stages; owed = steps' pictures are to come."""
        return json.dumps({"payload": payload_of(entries, small), "owed": any(entry.owed for entry in entries)})


def payload_of(entries: list[Entry], small: bool = False) -> dict[str, Any]:
    """The player's payload of some runs, with verdicts and findings."""
    from uncage_demo.diagnosis.diagnose import diagnose

    traces = [entry.trace for entry in entries]
    findings = None if small or len(traces) > 6 else [diagnose(entry.trace, entry.verdict) for entry in entries]
    verdicts, ids = [entry.verdict for entry in entries], [entry.id for entry in entries]
    return build_payload(traces, verdicts, findings, ids=ids, detail="grid" if small else None)


def payload_function(handlers: Handlers) -> Callable[[Any], str]:
    """`payload({ids, small})` for scripts: the payload of 1 to 24 runs."""
    kept = Payloads()

    def payload(data: Any) -> str:
        try:
            entries = handlers.store.get_many(_ids(data, MAX_RUNS))
            return kept.text(entries, bool(data.get("small")))
        except ValueError as error:
            return json.dumps({"error": str(error)})
        except Exception as error:
            log.exception("payload failed")
            return json.dumps({"error": f"Something went wrong on the server ({type(error).__name__})."})

    return payload


def export_function(handlers: Handlers) -> Callable[[Any], str]:
    """`export_file({ids, kind, step, theme, notes})` for scripts: one file made of the runs on stage and the visitor's notes on them."""

    def export_file(data: Any) -> dict[str, Any]:
        entries = with_notes(handlers.whole_entries(_ids(data, 6)), data.get("notes"))
        with tempfile.TemporaryDirectory() as folder:
            return told_file(entries, data, Path(folder))

    return answered(export_file)


def told_file(entries: list[Entry], asked: dict[str, Any], folder: Path) -> dict[str, Any]:
    """One file of some runs as scripts take it: name, media type and base64.

    Args:
        entries: 1..6 runs.
        asked: kind, step and theme as a script asks for them.
        folder: where to write.

    Raises:
        ValueError: naming what is wrong with the request, or why this file cannot be made.
    """
    kind, step = asked.get("kind"), asked.get("step", 0)
    kind = one_of("kind", kind, KINDS)
    last = max(len(e.trace.steps) for e in entries) - 1
    if not isinstance(step, int) or isinstance(step, bool):
        raise ValueError(f"step={shortened(step)}: give a whole number from 0 to {last}")
    theme = "dark" if asked.get("theme") == "dark" else "light"
    path = make_file(entries, kind, min(max(step, 0), last), folder, theme)
    return {"name": path.name, "mime": _MIME[path.suffix[1:]], "data": base64.b64encode(path.read_bytes()).decode()}


def with_notes(entries: list[Entry], given: Any) -> list[Entry]:
    """The runs with a visitor's notes, which the browser keeps: what is in memory here may be shared with others.

    Args:
        entries: runs on stage.
        given: id -> list of {step, text, cell}, untrusted; runs that it does not name keep their own.

    Raises:
        ValueError: naming what is wrong with a note.
    """
    if given is None:
        return entries
    if not isinstance(given, dict):
        raise ValueError(f"notes is {type(given).__name__}: give an object of lists by the ids of runs")
    noted = []
    for entry in entries:
        if entry.id in given:
            try:
                listed = read_json(_NOTES, json.dumps(given[entry.id]), "the list")
                trace = replace(entry.trace, notes=tuple(replace(note, text=tidy(note.text)) for note in listed))
                check_notes(trace)
            except ValueError as error:
                raise ValueError(f"notes: {error}") from None
            entry = replace(entry, trace=trace)
        noted.append(entry)
    return noted


def make_file(entries: list[Entry], kind: str, step: int, folder: Path, theme: str = "light") -> Path:
    """One file of the runs on stage.

    Args:
        entries: 1..6 runs.
        kind: one of KINDS.
        step: the step that "still", "png" and "svg" show, 0-based.
        folder: where to write.
        theme: "light" or "dark", of stills and films.

    Raises:
        ValueError: when this file cannot be made.
    """
    traces, verdicts = [e.trace for e in entries], [e.verdict for e in entries]
    stem = f"uncage-{_slug(traces[0].prompt.text)}-seed{traces[0].config['seed']}"
    if kind == "npz":
        return _trace_files(entries, folder, stem)
    if kind in ("webp", "gif", "mp4"):
        return _film(entries, folder / f"{stem}.{kind}", theme)
    at = min(step, min(len(t.steps) for t in traces) - 1)
    if kind == "html":
        path = folder / f"{stem}.html"
        payload = {**payload_of(entries), "heads": recorded_heads(traces, [e.id for e in entries])}
        write_atomically(path, standalone_html(payload, traces[0].prompt.text))
    elif kind == "still":
        path = folder / f"{stem}-step{step + 1}.png"
        write_view(path, traces, "side-by-side", step=step, verdicts=verdicts, look=Look(theme=theme))
    else:
        from uncage_demo.render.figures import default_steps

        path = folder / f"{stem}-figure.{kind}"
        write_view(path, traces, "heatmaps", steps=sorted({*default_steps(traces, 5), at}))
    return path


def _film(entries: list[Entry], path: Path, theme: str) -> Path:
    from uncage_demo.render.animation import EncoderMissing, save_animation
    from uncage_demo.render.frames import FrameStyle, compare_frames

    try:
        # single size and no maps: somebody waits for it; the command line writes larger ones with maps
        save_animation(compare_frames([e.trace for e in entries], FrameStyle(theme=theme), verdicts=[e.verdict for e in entries]), path)
    except EncoderMissing as error:
        raise ValueError(str(error)) from error
    return path


def pictures_function(handlers: Handlers) -> Callable[[Any], str]:
    """`example_pictures({})` for scripts: a small picture of every shipped example."""

    def example_pictures(data: Any) -> dict[str, Any]:
        return {"pictures": handlers.examples.pictures()}

    return answered(example_pictures)


def model_facts(name: str) -> str:
    """What the page says under the model switch, as a message."""
    from uncage_demo.ui.messages import message
    from uncage_demo.ui.models import about

    try:
        return message("model", **about(name))
    except ValueError as error:  # a folder that was typed and is not there, say
        return message("model", problem=str(error))


def _trace_files(entries: list[Entry], folder: Path, stem: str) -> Path:
    paths = []
    for number, entry in enumerate(entries):
        path = folder / f"{stem}-{'abcdef'[number]}-{_slug(str(entry.trace.config['order']))}.npz"
        entry.trace.save(path)
        paths.append(path)
    if len(paths) == 1:
        return paths[0]
    packed = folder / f"{stem}.zip"
    with replacing(packed) as place, zipfile.ZipFile(place, "w", zipfile.ZIP_STORED) as archive:
        for path in paths:
            archive.write(path, path.name)
    return packed


def _ids(data: Any, most: int) -> list[str]:
    ids = data.get("ids") if isinstance(data, dict) else None
    if not isinstance(ids, list) or not 1 <= len(ids) <= most:
        raise ValueError(f"there is no run on stage to read (1 to {most} are needed); generate one first")
    return ids


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:48] or "run"
