"""Traces -> the one compact JSON object that the player in the browser reads. Knows arrays and Pillow; no torch, no user interface.

Arrays travel as base64 of little-endian typed arrays. What must add up (confidence + noise + w_a x contrast = score) is float32 and
kept only for the cells that were still masked; attention is 8 bits with a square-root code (fine steps where values are small);
pictures are WebP. Every key is described in static/payload.d.ts, which a test holds against what is sent. Shapes: s step,
n cells (row-major), w words, o objects, a alternatives, c candidates (masked cells of all steps in order).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

from uncage_demo.orders.table import order_choices
from uncage_demo.player import web_pictures
from uncage_demo.player.binding_view import binding_view
from uncage_demo.player.packing import array, plain
from uncage_demo.player.prompts import placed, prompts_view, shared_prompt
from uncage_demo.player.run_view import CANDIDATE_MAPS, LARGE_CANDIDATES, Detail, mark_maps, run_view
from uncage_demo.player.titles import stage_titles
from uncage_demo.prompt.judging import counted, match, too_many
from uncage_demo.render import heatmaps
from uncage_demo.render.palette import (
    DIVERGING_MAP,
    ORDER_MAP,
    SEQUENTIAL_MAP,
    color_table,
    sequential_limits,
    subject_colors,
    subject_table,
)
from uncage_demo.trace.record import Trace
from uncage_demo.types import Prompt, Verdict

PAYLOAD_VERSION = 2
MAX_RUNS = 24


def build_payload(
    traces: Sequence[Trace],
    verdicts: Sequence[Verdict | None] | None = None,
    diagnoses: Sequence[Sequence[Any]] | None = None,
    *,
    titles: Sequence[str] | None = None,
    ids: Sequence[str] | None = None,
    detail: Detail | None = None,
) -> dict[str, Any]:
    """Everything the player shows of some runs, as one JSON-able object.

    Args:
        traces: 1..24 runs of one model and grid. Where prompts differ, words and objects are numbered over all of them (see `prompts`).
            A run may be unfinished (fewer records than config num_steps).
        verdicts: one per run or None; shown as judged by a detector.
        diagnoses: one list of findings per run (dataclasses or dicts; `text`, and optionally `step`, `layer`, `subject`, `word`, `cell`).
        titles: names of the stages; None takes the order's name, with the seed where seeds differ.
        ids: addresses of the runs, handed back in events.
        detail: "full", or "grid" (small pictures, no alternatives, the objects' words only); None = "full" up to 6 runs, else "grid".

    Returns:
        The payload; see `run_view.run_view` for what a run holds.

    Raises:
        ValueError: no run or too many, runs that do not belong together, or lists of another length than the runs.
    """
    _check(traces, verdicts=verdicts, diagnoses=diagnoses, titles=titles, ids=ids)
    level: Detail = detail or ("full" if len(traces) <= 6 else "grid")
    first = traces[0]
    large = sum(int(r.masked_before.sum()) for r in first.steps) > LARGE_CANDIDATES
    runs = []
    names = titles or stage_titles(traces)
    for index, trace in enumerate(traces):
        run = run_view(trace, level, large)
        run["title"] = str(names[index])
        run["id"] = str(ids[index]) if ids else str(index)
        run["divergence"] = None if index == 0 else first_divergence(first, trace)
        run["verdict"] = _verdict(verdicts[index], trace.prompt) if verdicts else None
        run["binding"] = binding_view(trace, verdicts[index] if verdicts else None)
        run["findings"] = [_finding(f) for f in diagnoses[index]] if diagnoses else []
        source = _source(trace, traces)
        runs.append(run if source is None else {**run, "source": source})
    prompts = [trace.prompt for trace in traces]
    shared, places = shared_prompt(prompts)
    several = {}
    if any(place.number for place in places):
        runs = [placed(run, place, len(shared.subjects)) for run, place in zip(runs, places, strict=True)]
        several = {"prompts": prompts_view(prompts, places)}
    return {
        "version": PAYLOAD_VERSION,
        "detail": level,
        "grid": list(first.grid),
        "num_steps": max(t.length for t in traces),
        "model": {"id": first.model.id, "title": first.model.title, "weights": first.model.weight_hash},
        "prompt": prompt_view(shared),
        **several,
        "scales": _scales(traces),
        "tables": {
            "sequential": array(color_table(SEQUENTIAL_MAP)),
            "order": array(color_table(ORDER_MAP)),
            "diverging": array(color_table(DIVERGING_MAP)),
        },
        "atlas": web_pictures.atlas(traces) if level == "full" else None,
        "orders": [[name, title] for title, name in order_choices()],
        "runs": runs,
    }


def _source(trace: Trace, traces: Sequence[Trace]) -> int | None:
    """Which of the runs an edit comes from; None for a run of its own, and for an edit of one that is not here."""
    wanted = trace.origin.source if trace.origin else ""
    return next((index for index, one in enumerate(traces) if wanted and one.id == wanted), None)


def prompt_view(prompt: Prompt) -> dict[str, Any]:
    """Words with their spans, kinds and subject, and subjects with their colour."""
    owner = prompt.owners()
    colors = subject_colors(len(prompt.subjects))
    words = []
    for index, word in enumerate(prompt.words):
        subject, role = owner.get(index, (-1, ""))
        words.append({"text": word.text, "start": word.start, "end": word.end, "kind": word.kind, "subject": subject, "role": role})
    subjects = []
    for subject, color in zip(prompt.subjects, colors, strict=True):
        label = subject.label or " ".join(prompt.words[w].text for w in subject.object)
        groups = [list(group) for group in subject.groups]
        subjects.append(
            {"label": label, "color": color, "ramp": array(subject_table(color)), "object": list(subject.object), "groups": groups}
        )
    return {"text": prompt.text, "words": words, "subjects": subjects, "truncated": prompt.truncated}


def first_divergence(one: Trace, other: Trace) -> int | None:
    """First step at which two runs committed other cells or other tokens; None when they never differ (in the steps both have)."""
    for a, b in zip(one.steps, other.steps, strict=False):
        if not a.same_commits(b):
            return a.step
    return None


def _scales(traces: Sequence[Trace]) -> dict[str, list[float]]:
    """One scale per kind of map for all runs and steps: [low, high]."""
    scales = {}
    for kind in CANDIDATE_MAPS:
        if kind.key != "noise" and kind.scale:
            limits = heatmaps.map_limits(traces, kind.key)
            scales[kind.key] = [limits.low, limits.high]
    scales["order"] = [0.0, float(max(t.length for t in traces) - 1)]
    if all(r.attention is not None for t in traces for r in t.steps):
        objects = heatmaps.map_limits(traces, "attention")
        words = sequential_limits([t.word_maps(s) for t in traces for s in range(len(t.steps))], 0.995)
        scales["object"], scales["word"] = [objects.low, objects.high], [words.low, words.high]
        scales["mark"] = [0.0, max((float(maps.max()) for maps in (mark_maps(t)[1] for t in traces) if maps.size), default=1.0)]
    return {k: [float(v) for v in pair] for k, pair in scales.items()}


def _verdict(verdict: Verdict | None, prompt: Prompt) -> dict[str, Any] | None:
    if verdict is None:
        return None
    own = match(prompt.subjects, verdict.detections).own
    subject_of = {detection: subject for subject, mine in enumerate(own) for detection in mine}
    seen = [{**plain(found), "subject": subject_of.get(i, -1)} for i, found in enumerate(verdict.detections)]
    return {**plain(verdict), "detections": seen, "too_many": too_many(prompt.subjects, verdict)}


def _finding(finding: Any) -> dict[str, Any]:
    data = dict(finding) if isinstance(finding, dict) else None
    if is_dataclass(finding) and not isinstance(finding, type):
        data = asdict(finding)
    if data is None or not isinstance(data.get("text"), str):
        raise ValueError(f"finding={finding!r}: a finding is a dataclass or dict with a string `text`")
    return plain(data)


def _check(traces: Sequence[Trace], **lists: Sequence[Any] | None) -> None:
    if not 1 <= len(traces) <= MAX_RUNS:
        raise ValueError(f"{len(traces)} runs: the player shows 1 to {MAX_RUNS}")
    for name, values in lists.items():
        if values is not None and len(values) != len(traces):
            raise ValueError(f"{name} has {counted(len(values), 'entry')} for {counted(len(traces), 'run')}")
    first = traces[0]
    for trace in traces:
        if not trace.steps:
            raise ValueError("a run without steps has nothing to play")
        if trace.grid != first.grid or trace.model.id != first.model.id:
            raise ValueError(f"runs of different models or grids: {trace.model.id} {trace.grid} and {first.model.id} {first.grid}")
        if trace.model.codebook_size > 65536:
            raise ValueError(f"codebook_size={trace.model.codebook_size}: the payload holds token ids up to 65535")
