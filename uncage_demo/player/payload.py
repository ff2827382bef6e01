"""Traces -> the one compact JSON object that the player in the browser reads. Knows arrays and Pillow; no torch, no user interface.

Arrays travel as base64 of little-endian typed arrays. What must add up (confidence + noise + w_a x contrast = score) is float32 and
kept only for the cells that were still masked; attention is 8 bits with a square-root code (fine steps where values are small);
pictures are WebP. Every key is described in static/payload.d.ts, which a test holds against what is sent. Shapes: s step,
n cells (row-major), w words, o objects, a alternatives, c candidates (masked cells of all steps in order).
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any, Literal

import numpy as np

from uncage_demo.decoding.order import recorded_terms
from uncage_demo.diagnosis.health import health
from uncage_demo.orders.base import Term
from uncage_demo.orders.revise import REASONS
from uncage_demo.orders.table import ORDERS, order_choices, order_of
from uncage_demo.player import web_pictures
from uncage_demo.player.binding_view import binding_view, sight_view
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
from uncage_demo.trace.lineage import Edits, lineage_json
from uncage_demo.trace.origin import origin_json
from uncage_demo.trace.record import StepRecord, Trace
from uncage_demo.types import Prompt, Verdict

PAYLOAD_VERSION = 2
MAX_RUNS = 24
Detail = Literal["full", "grid"]

# Above this many candidate cells a run drops to three alternatives and to the words of objects, so that a pair stays within 6 MB.
LARGE_CANDIDATES = 20_000


@dataclass(frozen=True)
class CandidateMap:
    """A number for every masked cell of every step. Sent once declared here; a layer of the player that shows it is one entry of the
    table in static/player-layers.js.

    Args:
        key: name in the payload, in `maps` and, with a scale, in `scales`.
        values: record -> "n"; steps where all candidates have 0 do not travel.
        scale: whether a layer shows it by itself, so that it needs one colour scale for all runs (`heatmaps.map_limits` of its key).
    """

    key: Literal["confidence", "noise", "contrast"]
    values: Callable[[StepRecord], np.ndarray]
    scale: bool


MARKS = ("start", "end")  # text tokens that stand for no word and take much of the attention
CANDIDATE_MAPS = (
    CandidateMap("confidence", lambda record: record.confidence, scale=True),
    CandidateMap("noise", lambda record: record.noise, scale=False),
    CandidateMap("contrast", lambda record: record.contrast, scale=True),
)


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
        traces: 1..24 runs of the same prompt text, model grid and codebook. A run may be unfinished (fewer records than config num_steps).
        verdicts: one per run or None; shown as judged by a detector.
        diagnoses: one list of findings per run (dataclasses or dicts; `text`, and optionally `step`, `layer`, `subject`, `word`, `cell`).
        titles: names of the stages; None takes the order's name, with the seed where seeds differ.
        ids: addresses of the runs, handed back in events.
        detail: "full", or "grid" (small pictures, no alternatives, the objects' words only); None = "full" up to 6 runs, else "grid".

    Returns:
        The payload; see `_run` for what a run holds.

    Raises:
        ValueError: no run or too many, runs that do not belong together, or lists of another length than the runs.
    """
    _check(traces, verdicts=verdicts, diagnoses=diagnoses, titles=titles, ids=ids)
    level: Detail = detail or ("full" if len(traces) <= 6 else "grid")
    first = traces[0]
    large = sum(int(r.masked_before.sum()) for r in first.steps) > LARGE_CANDIDATES
    runs = []
    names = titles or _titles(traces)
    for index, trace in enumerate(traces):
        run = _run(trace, level, large)
        run["title"] = str(names[index])
        run["id"] = str(ids[index]) if ids else str(index)
        run["divergence"] = None if index == 0 else first_divergence(first, trace)
        run["verdict"] = _verdict(verdicts[index], trace.prompt) if verdicts else None
        run["binding"] = binding_view(trace, verdicts[index] if verdicts else None)
        run["findings"] = [_finding(f) for f in diagnoses[index]] if diagnoses else []
        runs.append(run)
    return {
        "version": PAYLOAD_VERSION,
        "detail": level,
        "grid": list(first.grid),
        "num_steps": max(t.length for t in traces),
        "model": {"id": first.model.id, "title": first.model.title, "weights": first.model.weight_hash},
        "prompt": prompt_view(first.prompt),
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


def score_terms(trace: Trace) -> list[dict[str, bool] | None]:
    """Of each step, which of confidence, noise and contrast its score is the sum of; None for a score that is a value of its own."""
    names: tuple[Term, ...] = ("confidence", "noise", "contrast")
    return [None if terms is None else {name: name in terms for name in names} for terms in recorded_terms(trace)]


def _exact_sums(steps: Sequence[StepRecord], terms: Sequence[dict[str, bool] | None]) -> bool:
    """True when float32 addition of the used terms gives every recorded score bit for bit."""
    for record, used in zip(steps, terms, strict=True):
        if used is None:
            return False
        at = record.masked_before
        total = np.zeros(int(at.sum()), np.float32)
        if used["confidence"]:
            total = record.confidence[at].astype(np.float32)
        if used["noise"]:
            total = total + record.noise[at].astype(np.float32)
        if used["contrast"]:
            total = total + np.float32(record.weight) * record.contrast[at].astype(np.float32)
        if total.dtype != np.float32 or not np.array_equal(total, record.scores[at]):
            return False
    return True


def array(values: np.ndarray, dtype: str | None = None) -> dict[str, Any]:
    """A typed array for the browser: {"t": type, "s": shape, "d": base64 of little-endian bytes}."""
    data = np.ascontiguousarray(values, np.dtype(dtype).newbyteorder("<") if dtype else None)
    kind = data.dtype.newbyteorder("<")
    return {"t": kind.kind + str(kind.itemsize), "s": list(data.shape), "d": base64.b64encode(data.astype(kind).tobytes()).decode()}


def _run(trace: Trace, level: Detail, large: bool) -> dict[str, Any]:
    """One run: packed masks, the terms of every candidate's score, attention, curves, pictures, invariants."""
    steps = trace.steps
    masked = np.stack([r.masked_before for r in steps])
    candidates = [np.flatnonzero(m) for m in masked]
    terms = score_terms(trace)
    unmask = np.full(trace.tokens.size, -1, np.int64)
    for r in steps:
        unmask[r.committed] = r.step
    return {
        "config": trace.config,
        "lineage": lineage_json(trace.lineage),
        "origin": origin_json(trace.origin),
        "order": trace.config["order"],
        "guided": order_of(trace.config["order"]).guided,
        "seed": str(trace.config["seed"]),
        "num_steps": trace.length,
        "first_step": int(steps[0].step),
        "steps_done": len(steps),
        "masked": array(np.packbits(masked, axis=1, bitorder="little")),
        "committed": array(np.packbits(np.stack([r.committed for r in steps]), axis=1, bitorder="little")),
        "drawn": array(_joined([r.sampled for r in steps], candidates), "uint16"),
        "tokens": array(steps[-1].sampled, "uint16"),
        "unmask_step": array(unmask, "int16"),
        "maps": {kind.key: _candidate_values([kind.values(r) for r in steps], candidates) for kind in CANDIDATE_MAPS},
        # The browser adds in float32 as the engine does; scores that this gives bit for bit need not travel.
        "scores": None if _exact_sums(steps, terms) else array(_joined([r.scores for r in steps], candidates), "float32"),
        "weight": array(np.array([r.weight for r in steps]), "float32"),
        "cutoff": array(np.array([r.cutoff for r in steps]), "float32"),
        "terms": terms,
        "attention": _attention(trace, objects_only=large or level == "grid"),
        "marks": None if large or level == "grid" else _marks(trace),
        "mass": _curve(trace, heatmaps.attention_mass),
        "overlap": _curve(trace, heatmaps.pair_overlap),
        "pairs": [list(p) for p in heatmaps.overlap_pairs(trace)],
        "health": _health(trace),
        "sight": sight_view(trace),
        "taken_back": taken_back_view(trace),
        "alternatives": _alternatives(trace, candidates, 3 if large else 8) if level == "full" else None,
        "frames": web_pictures.frames(trace, web_pictures.frame_size_px(trace, level, large)),
        "image": web_pictures.final(trace) if level == "full" and len(steps) + steps[0].step == trace.length else None,
    }


def taken_back_view(trace: Trace) -> dict[str, Any] | None:
    """Which cells each step opened again and why: {"reasons": sentences, "steps": of each step [cell, reason, log p or None]}; None for a
    run that took nothing back, or whose file is from before this was recorded."""
    if all(record.reopened is None for record in trace.steps):
        return None
    steps = []
    for record in trace.steps:
        cells = [] if record.reopened is None else np.flatnonzero(record.reopened).tolist()
        # A cell that was committed in this very step had no token before it.
        told = record.likelihood if record.likelihood is not None else np.zeros(trace.tokens.size)
        known = np.zeros(trace.tokens.size, bool) if record.likelihood is None else ~record.masked_before
        codes = record.reopened if record.reopened is not None else np.zeros(trace.tokens.size, np.uint8)
        steps.append([[cell, int(codes[cell]), round(float(told[cell]), 4) if known[cell] else None] for cell in cells])
    return {"reasons": [reason.told for reason in REASONS], "steps": steps}


def _health(trace: Trace) -> dict[str, Any]:
    found = health(trace)
    return {**vars(found), "special": None if found.special is None else array(found.special)}


def _joined(values: Sequence[np.ndarray], candidates: Sequence[np.ndarray]) -> np.ndarray:
    """The candidates' values of all steps, one after the other: "c"."""
    return np.concatenate([v[cells] for v, cells in zip(values, candidates, strict=True)])


def _candidate_values(values: Sequence[np.ndarray], candidates: Sequence[np.ndarray]) -> dict[str, Any]:
    """{"at": which steps have any value but 0, "values": "c" float32 of those steps' candidates}."""
    chosen = [v[cells] for v, cells in zip(values, candidates, strict=True)]
    at = [bool(np.any(part)) for part in chosen]
    kept = [part for part, some in zip(chosen, at, strict=True) if some]
    return {"at": at, "values": array(np.concatenate(kept) if kept else np.zeros(0), "float32")}


def _attention(trace: Trace, objects_only: bool) -> dict[str, Any] | None:
    if any(r.attention is None for r in trace.steps):
        return None
    subject_words = {w for s in trace.prompt.subjects for g in s.groups for w in g}
    chosen = [i for i, word in enumerate(trace.prompt.words) if word.tokens and (not objects_only or i in subject_words)]
    maps = np.stack([trace.word_maps(s)[chosen] for s in range(len(trace.steps))])
    top = float(maps.max()) if maps.size and maps.max() > 0 else 1.0
    return {"words": chosen, "max": top, "codes": array(np.rint(np.sqrt(np.clip(maps / top, 0, 1)) * 255), "uint8")}


def _marks(trace: Trace) -> dict[str, Any] | None:
    """Attention to the start and the end token, which stand for no word: {"names", "max", "codes"} as `_attention` codes words."""
    names, maps = _mark_maps(trace)
    if not names:
        return None
    top = float(maps.max()) or 1.0
    return {"names": names, "max": top, "codes": array(np.rint(np.sqrt(np.clip(maps / top, 0, 1)) * 255), "uint8")}


def _mark_maps(trace: Trace) -> tuple[list[str], np.ndarray]:
    """("start" and "end" as far as they were recorded, their attention "s k n")."""
    if any(r.attention is None for r in trace.steps):
        return [], np.zeros((0, 0, 0), np.float32)
    rows = {trace.prompt.tokens[token].text.strip("<>|"): k for k, token in enumerate(trace.columns) if trace.prompt.tokens[token].special}
    names = [name for name in MARKS if name in rows]
    return names, np.stack([r.attention[[rows[name] for name in names]] for r in trace.steps])  # pyright: ignore[reportOptionalSubscript]


def _curve(trace: Trace, function: Any) -> dict[str, Any] | None:
    return None if any(r.attention is None for r in trace.steps) else array(function(trace), "float32")


def _alternatives(trace: Trace, candidates: list[np.ndarray], limit: int) -> dict[str, Any] | None:
    ids, probs = [], []
    for record, cells in zip(trace.steps, candidates, strict=True):
        if record.alternatives is None or record.alternative_probs is None:
            return None
        ids.append(record.alternatives[cells, :limit])
        probs.append(record.alternative_probs[cells, :limit])
    joined, chances = np.concatenate(ids), np.concatenate(probs)
    codes = (
        array(np.rint(np.clip(chances, 0, 1) * 65535), "uint16")
        if limit > 3
        else array(np.rint(np.sqrt(np.clip(chances, 0, 1)) * 255), "uint8")
    )
    return {"count": int(joined.shape[1]), "ids": array(joined, "uint16"), "probs": codes}


def _scales(traces: Sequence[Trace]) -> dict[str, list[float]]:
    """One scale a kind of map for all runs and steps: [low, high]."""
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
        scales["mark"] = [0.0, max((float(maps.max()) for maps in (_mark_maps(t)[1] for t in traces) if maps.size), default=1.0)]
    return {k: [float(v) for v in pair] for k, pair in scales.items()}


def _titles(traces: Sequence[Trace]) -> list[str]:
    """The order's name; what was changed for a branch; the model's age where ages differ; the seed where seeds differ."""
    seeds, ages = (len({of(t) for t in traces}) > 1 for of in (lambda t: t.config["seed"], lambda t: t.age))
    names = []
    for t in traces:
        order = order_of(t.config["order"]).title + (f", {t.age_said}" if ages else "")
        order = f"{edit_made(t)} · {order}" if t.origin and t.origin.kind != "picture" else edit_made(t) or order
        name = f"{branch_change(t)} · step {t.lineage.at_step + 1} · {order}" if t.lineage else order
        names.append(f"{name}, seed {t.config['seed']}" if seeds else name)
    return names


def edit_made(trace: Trace) -> str:
    """What an edit did, e.g. "25 cells drawn again"; "" for a run from an empty grid."""
    origin = trace.origin
    if origin is None:
        return ""
    drawn = int(trace.steps[0].masked_before.sum())
    if origin.kind == "extend":
        ways = zip(origin.shift, (("down", "up"), ("right", "left")), strict=True)
        return "Moved " + " and ".join(f"{abs(by)} {names[by < 0]}" for by, names in ways if by)
    if origin.kind == "remix":
        return f"Round {origin.round}, {counted(drawn, 'cell')}"
    if origin.kind == "compose":
        pinned = trace.tokens.size - drawn
        parts = [counted(pinned, "pin")] if pinned else []
        return "With " + " and ".join(parts + ([counted(len(origin.regions), "region")] if origin.regions else []))
    if origin.kind == "sketch":
        return "After a picture's structure"
    return "Your picture" if origin.kind == "picture" else f"{counted(drawn, 'cell')} drawn again"


def branch_change(trace: Trace) -> str:
    """What a branch changed in the run that it continues, e.g. "Forbid token at row 11, column 11"; edits of that run are left out."""
    lineage = trace.lineage
    if lineage is None:
        return ""
    old = lineage.earlier[0].edits if lineage.earlier else Edits((), (), (), None)
    edits, columns = lineage.edits, trace.grid[1]
    changes = []
    for name, cells, known in (
        ("Keep token at", edits.keep, old.keep),
        ("Delay", edits.drop, old.drop),
        ("Forbid token at", [cell for cell, _ in edits.forbid], [line[0] for line in old.forbid if line in edits.forbid]),
    ):
        changes += [f"{name} row {cell // columns + 1}, column {cell % columns + 1}" for cell in cells if cell not in known]
    hidden = edits.suppress_word
    if hidden is not None and hidden != old.suppress_word:
        changes.append(f"Without “{trace.prompt.words[hidden].text}”")
    before = lineage.parent_config.get("order")
    if before != trace.config["order"] and before in ORDERS:
        changes.append(f"Switch from {ORDERS[before].title}")
    return " and ".join(changes) or "Other settings"


def _verdict(verdict: Verdict | None, prompt: Prompt) -> dict[str, Any] | None:
    if verdict is None:
        return None
    own = match(prompt.subjects, verdict.detections).own
    subject_of = {detection: subject for subject, mine in enumerate(own) for detection in mine}
    seen = [{**_plain(found), "subject": subject_of.get(i, -1)} for i, found in enumerate(verdict.detections)]
    return {**_plain(verdict), "detections": seen, "too_many": too_many(prompt.subjects, verdict)}


def _finding(finding: Any) -> dict[str, Any]:
    data = dict(finding) if isinstance(finding, dict) else None
    if is_dataclass(finding) and not isinstance(finding, type):
        data = asdict(finding)
    if data is None or not isinstance(data.get("text"), str):
        raise ValueError(f"finding={finding!r}: a finding is a dataclass or dict with a string `text`")
    return _plain(data)


def _plain(value: Any) -> Any:
    """Dataclasses, tuples and numpy values as JSON-able ones; numbers that are not finite become None."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, (np.generic, np.ndarray)):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _check(traces: Sequence[Trace], **lists: Sequence[Any] | None) -> None:
    if not 1 <= len(traces) <= MAX_RUNS:
        raise ValueError(f"{len(traces)} runs: the player shows 1 to {MAX_RUNS}")
    for name, values in lists.items():
        if values is not None and len(values) != len(traces):
            raise ValueError(f"{name} has {len(values)} entries for {len(traces)} runs")
    first = traces[0]
    for trace in traces:
        if not trace.steps:
            raise ValueError("a run without steps has nothing to play")
        if trace.prompt.text != first.prompt.text:
            raise ValueError(f"runs of different prompts cannot share a clock: {trace.prompt.text!r} and {first.prompt.text!r}")
        if trace.grid != first.grid or trace.model.id != first.model.id:
            raise ValueError(f"runs of different models or grids: {trace.model.id} {trace.grid} and {first.model.id} {first.grid}")
        if trace.model.codebook_size > 65536:
            raise ValueError(f"codebook_size={trace.model.codebook_size}: the payload holds token ids up to 65535")
