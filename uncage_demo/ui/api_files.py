"""What the endpoints hand out and take in: files of runs, their summaries, traces that a program sent."""

from __future__ import annotations

import threading
from typing import Any

from cachetools import TTLCache, cached
from PIL import Image

from uncage_demo.backends.options import TRACE_KEY, ModelOptions
from uncage_demo.files import replacing
from uncage_demo.trace.frames import frames_told
from uncage_demo.trace.record import Trace
from uncage_demo.types import Verdict
from uncage_demo.ui import scratch
from uncage_demo.ui.runs import Made


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
    stem = f"{trace.config['order']}-seed{trace.config['seed']}"
    path = scratch.folder() / f"{stem}.npz"
    trace.save(path)
    return picture_file(trace.image, stem), str(path)


def opened_trace(path: Any) -> Trace:
    """A trace file that a program sent.

    Raises:
        ValueError: naming the argument, or what is wrong with the file.
    """
    if not isinstance(path, str) or not path:
        raise ValueError("trace: give an .npz file that this project made")
    return Trace.load(path)


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
