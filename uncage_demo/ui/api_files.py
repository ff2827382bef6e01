"""What the endpoints hand out and take in: files of runs, their summaries, traces that a program sent."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from cachetools import TTLCache, cached
from PIL import Image

from uncage_demo.backends.options import TRACE_KEY, ModelOptions
from uncage_demo.files import replacing
from uncage_demo.trace.file import load_trace
from uncage_demo.trace.frames import frames_told
from uncage_demo.trace.layout import MAX_CONTENT_BYTES, TraceTooLarge
from uncage_demo.trace.record import Trace, stem_of
from uncage_demo.types import Verdict
from uncage_demo.ui import scratch
from uncage_demo.ui.runs import Made
from uncage_demo.ui.session import held_bytes

# What one trace that a visitor sends may take in memory. A few megabytes can hold hundreds of times as much where pictures are empty.
# The largest run that the models on offer make by themselves has 64 steps of 64 x 64 cells and pictures of 1024 px: frames of 64 x 3 MiB
# (192), attention to all 77 text tokens (77, however many of its 16 subjects name them), four alternatives (8), the other arrays of the
# steps (9), the finished picture (3), and token pictures (at most 64): 353 MiB. More steps fit with pictures of "every 2" of them.
MAX_SENT_BYTES = 384 << 20


def nothing_yet(count: int) -> Any:
    """What a generator says at each step, so that it ends as soon as its caller has left.

    Not gr.skip(): that makes every output's component anew, 8 ms of processor time a step.
    """
    return (None,) * count


def files_of(answer: Made) -> list[tuple[str, str, dict[str, Any]]]:
    """(picture file, trace file, summary) of every run."""
    made = []
    for identity, trace, verdict in zip(answer.ids, answer.finished.traces, answer.finished.verdicts, strict=True):
        picture, saved = _saved(identity, trace)
        made.append((picture, saved, {**summary(trace, verdict), "made_before": answer.before}))
    return made


def columns_of(made: list[tuple[str, str, dict[str, Any]]]) -> tuple[list[str], list[str], list[dict[str, Any]]]:
    """(picture files, trace files, summaries) of some runs, as endpoints for several of them answer."""
    return [m[0] for m in made], [m[1] for m in made], [m[2] for m in made]


@cached(TTLCache(256, scratch.KEPT_S / 2), key=lambda identity, trace: identity, condition=threading.Condition())
def _saved(identity: str, trace: Trace) -> tuple[str, str]:
    """(picture, trace file) of a run; made once for everybody who asked for the same."""
    # A round by its number, another edit by its kind: runs of one answer, and a run and its edit, lie in one folder of the caller's.
    kind = f"-{trace.origin.kind}" if trace.origin and not trace.origin.round else ""
    stem = f"{stem_of(trace.config['order'], trace.age, trace.origin and trace.origin.round)}{kind}-seed{trace.config['seed']}"
    path = scratch.folder() / f"{stem}.npz"
    trace.save(path)
    return picture_file(trace.image, stem), str(path)


def opened_trace(path: Any, name: str = "trace", left: int = MAX_CONTENT_BYTES) -> Trace:
    """A trace file that a visitor or a program sent.

    Args:
        path: of the file.
        name: what messages call it.
        left: bytes that the traces of the same request before it leave to it.

    Raises:
        ValueError: naming the argument, or what is wrong with the file.
    """
    if not isinstance(path, str) or not path:
        raise ValueError(f"{name}: give an .npz file that this project made")
    try:
        return load_trace(path, max_bytes=min(left, MAX_SENT_BYTES))
    except TraceTooLarge as error:
        said = f"{name}: the run takes {error.size_bytes >> 20} MiB of memory; one may take {MAX_SENT_BYTES >> 20} here"
        more = f", and all of one request together {MAX_CONTENT_BYTES >> 20}" if left < MAX_CONTENT_BYTES else ""
        raise ValueError(f"{said}{more}. Save it with fewer pictures of its steps.") from error


def opened_traces(paths: Sequence[Any]) -> list[Trace]:
    """The trace files of one request, which together take no more memory than one trace may have anywhere.

    Raises:
        ValueError: as `opened_trace`.
    """
    opened: list[Trace] = []
    for number, path in enumerate(paths, 1):
        left = max(0, MAX_CONTENT_BYTES - held_bytes(*opened))
        opened.append(opened_trace(path, "traces" if len(paths) == 1 else f"traces, number {number}", left))
    return opened


def picture_file(image: Any, stem: str = "picture") -> str:
    """A picture "H W 3" uint8 as a PNG file; its path."""
    path = scratch.folder() / f"{stem}.png"
    with replacing(path) as place:
        Image.fromarray(image).save(place)
    return str(path)


def summary(trace: Any, verdict: Verdict | None) -> dict[str, Any]:
    """What a program wants to know of a run besides its arrays."""
    return {
        "prompt": trace.prompt.text,
        "objects": [s.label for s in trace.prompt.subjects],
        "settings": trace.config,
        "model": {
            "id": trace.model.id,
            "title": trace.model.title,
            "weights": trace.model.weight_hash,
            "age": trace.age,
            "options": ModelOptions.from_json(trace.versions.get(TRACE_KEY)).given(),
        },
        "frames": frames_told(trace.versions),
        "steps": len(trace.steps),
        "timings_s": trace.timings_s,
        "verdict": None
        if verdict is None
        else {
            "objects_found": list(verdict.objects_found),
            "colors_right": list(verdict.colors_right),
            "extra_objects": verdict.extra_objects,
            "all_correct": verdict.all_correct,
            "wishes": [{"kind": wish.kind, "label": wish.label, "met": wish.met} for wish in verdict.wishes],
            "scorer": verdict.scorer,
            "note": "a model's judgement, not the truth",
        },
    }
