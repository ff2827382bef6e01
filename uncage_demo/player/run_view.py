"""One run of the player's payload: masks, the terms of every candidate's score, attention, curves and pictures, packed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.order import recorded_terms
from uncage_demo.decoding.schedule import leading_steps
from uncage_demo.diagnosis.health import health
from uncage_demo.orders.base import Term
from uncage_demo.orders.revise import REASONS
from uncage_demo.orders.table import order_of
from uncage_demo.player import web_pictures
from uncage_demo.player.binding_view import sight_view
from uncage_demo.player.packing import array
from uncage_demo.render import heatmaps
from uncage_demo.trace.lineage import lineage_json
from uncage_demo.trace.origin import origin_json
from uncage_demo.trace.record import StepRecord, Trace

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


def run_view(trace: Trace, level: Detail, large: bool) -> dict[str, Any]:
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
        "origin": _origin(trace),
        "notes": [note.to_json() for note in trace.notes],
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
    names, maps = mark_maps(trace)
    if not names:
        return None
    top = float(maps.max()) or 1.0
    return {"names": names, "max": top, "codes": array(np.rint(np.sqrt(np.clip(maps / top, 0, 1)) * 255), "uint8")}


def mark_maps(trace: Trace) -> tuple[list[str], np.ndarray]:
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


def _origin(trace: Trace) -> dict[str, Any] | None:
    """What the run began with; with regions also how many steps commit cells of theirs first."""
    told = origin_json(trace.origin)
    if told and told["regions"]:
        told["leads"] = leading_steps(DecodingConfig.from_dict(trace.config))
    return told
