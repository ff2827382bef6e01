"""What the node tests hold the player's scripts against: a payload, and the same facts read from the traces and the engine in Python.

`python -m tests.scripts.make_fixture` writes fixture.json, which `npm test` reads; pytest makes a fresh one for its own run of them.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.factories import make_prompt
from tests.toy_backend import ToyBackend
from uncage_demo import runner
from uncage_demo.branching import branch
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.schedule import leading_steps
from uncage_demo.diagnosis.binding import binding_table
from uncage_demo.editing.edit import edit
from uncage_demo.orders.revise import REASONS
from uncage_demo.player.payload import build_payload
from uncage_demo.trace.lineage import lineage_json
from uncage_demo.trace.record import Trace
from uncage_demo.types import FoundObject, Verdict

FIXTURE = Path(__file__).parent / "fixture.json"
STEPS = 8
REGIONS = ((1, 2, 3, 4), (0, 0, 5, 4), (4, 4, 4, 4))  # first row and column, last row and column
SEEN = (("turtle", ""), ("turtle", ""), ("apple", "red"))  # a turtle too many, and an apple that should be pink
CHANGES: tuple[dict[str, Any], ...] = ({"weight": 7.5}, {"weight": 2.0, "noise": False}, {"confidence": False}, {"noise": False})


def runs() -> tuple[list[Trace], ToyBackend]:
    """A baseline run, a guided one, a branch of the guided one that commits one cell now and delays another, and a run that takes cells
    back and keeps those of one step apart."""
    backend, prompt = ToyBackend(), make_prompt()
    base = DecodingConfig(num_steps=STEPS, seed=3, contrast_blur=0.0, order="meissonic")
    plain = runner.generate(backend, prompt, base)
    guided = runner.generate(backend, prompt, base.with_(order="uncage", contrast_weight=3.0, contrast_steps=STEPS))
    record = guided.steps[3]
    waits, picked = int(np.flatnonzero(record.masked_before & ~record.committed)[0]), int(np.flatnonzero(record.committed)[0])
    revised = runner.generate(backend, prompt, base.with_(revise="plan", spacing=2.5))
    return [plain, guided, branch(backend, guided, 3, keep=(waits,), drop=(picked,)), revised], backend


def two_prompts() -> tuple[dict[str, Any], dict[str, Any]]:
    """A run and an edit of it for another prompt with a region, as one payload; and what the traces say of them."""
    backend = ToyBackend()
    config = DecodingConfig(num_steps=STEPS, seed=3, contrast_blur=0.0, order="meissonic")
    first = runner.generate(backend, make_prompt("a turtle and a pink apple"), config)
    cells = range(first.tokens.size // 2)
    second = edit(backend, first, cells, prompt=make_prompt("a blue cat and a turtle"), config=config, regions={0: (0, 3, 2, 5)})
    payload = build_payload([first, second])
    for run in payload["runs"]:
        run["frames"] = run["image"] = None
    payload["atlas"] = None
    step = second.steps[0]
    inside = np.zeros(second.grid, bool)
    inside[0:2, 3:5] = True
    told = {
        "turtle": [float(f"{v:.6g}") for v in second.word_maps(1)[[w.text for w in second.prompt.words].index("turtle")]],
        "max": float(second.word_maps(1).max()),
        "leads": leading_steps(config),
        "outside": np.flatnonzero(step.masked_before & ~step.committed & ~inside.reshape(-1) & (step.scores > step.cutoff)).tolist(),
        "inside": np.flatnonzero(step.committed & (step.scores < step.cutoff)).tolist(),
        "committed": np.flatnonzero(step.committed).tolist(),
    }
    return payload, told


def why(trace: Trace, step: int, cell: int) -> dict[str, float]:
    """The numbers of one candidate, from the trace."""
    r = trace.steps[step]
    candidates = np.flatnonzero(r.masked_before)
    ranked = candidates[np.argsort(-r.scores[candidates], kind="stable")]
    numbers = {"confidence": r.confidence[cell], "noise": r.noise[cell], "contrast": r.contrast[cell], "weight": r.weight}
    numbers |= {"score": r.scores[cell], "cutoff": r.cutoff, "rank": int(np.flatnonzero(ranked == cell)[0]) + 1}
    return {key: float(value) for key, value in numbers.items()} | {"picked": bool(r.committed[cell]), "candidates": len(candidates)}


def engine_pick(backend: ToyBackend, trace: Trace, step: int, change: dict[str, Any]) -> list[int]:
    """The cells that the engine itself commits at a step with other terms."""
    config = DecodingConfig.from_dict(trace.config)
    weight = change.get("weight", config.contrast_weight if config.order == "uncage" else 0.0)
    other = config.with_(
        order="uncage",
        contrast_weight=weight,
        contrast_steps=STEPS,
        use_confidence=change.get("confidence", True),
        use_noise=change.get("noise", True),
    )
    return np.flatnonzero(branch(backend, trace, step, config=other).steps[step].committed).tolist()


def times_read(trace: Trace, box: tuple[int, int, int, int]) -> list[float]:
    """How much a region's cells read each word when they were decided, as a multiple of the picture's mean."""
    maps = np.stack([trace.word_maps(step) for step in range(len(trace.steps))])  # s w n
    maps = maps.max() * (np.rint(np.sqrt(maps / maps.max()) * 255) / 255) ** 2  # as the payload sends them
    when = trace.unmask_step.reshape(-1) - trace.steps[0].step
    read = maps[when, :, np.arange(when.size)].T  # w n
    top, left, bottom, right = box
    inside = np.zeros(trace.grid, bool)
    inside[top : bottom + 1, left : right + 1] = True
    return [float(f"{row[inside.reshape(-1)].mean() / row.mean():.6g}") for row in read]


def marks(trace: Trace) -> list[list[float]]:
    """Attention "k n" to the start and end token at the last step."""
    last = trace.steps[-1].attention
    assert last is not None
    rows = {trace.prompt.tokens[token].text.strip("<>"): row for token, row in zip(trace.columns, last, strict=True)}
    return [[float(f"{value:.6g}") for value in rows[name].tolist()] for name in ("start", "end")]


def _plain(row: np.ndarray) -> list[float | None]:
    """Four significant digits, as the payload sends them; None where a number is missing."""
    return [float(f"{value:.4g}") if np.isfinite(value) else None for value in row.tolist()]


def fixture() -> dict[str, Any]:
    """{"payload", "truth", "two": a payload of two prompts}; pictures are left out, node decodes none."""
    traces, backend = runs()
    said = Verdict((True, True), (True, False), 1, False, tuple(FoundObject(n, c, 0.9, (0, 0, 0.5, 1)) for n, c in SEEN))
    verdicts = [said, *[None] * (len(traces) - 1)]
    payload = build_payload(traces, verdicts)
    for run in payload["runs"]:
        run["frames"] = run["image"] = None
    payload["atlas"] = None
    tables = [binding_table(t, verdict) for t, verdict in zip(traces, verdicts, strict=True)]
    edits = lineage_json(traces[2].lineage)["edits"]
    truth = {
        "marks": [marks(trace) for trace in traces[:2]],
        "regions": [{"box": list(box), "times": times_read(traces[1], box)} for box in REGIONS],
        "hidden": [[np.flatnonzero(r.masked_before & ~r.committed).tolist() for r in t.steps] for t in traces],
        "tokens": [[r.sampled.tolist() for r in t.steps] for t in traces],
        "order": [t.unmask_step.reshape(-1).tolist() for t in traces],
        "why": [
            {"run": i, "step": s, "cell": int(c), **why(t, s, int(c))}
            for i, t in enumerate(traces)
            for s in (0, 2, 3, STEPS - 1)
            for c in np.flatnonzero(t.steps[s].masked_before)[::3]
        ],
        "what_if": [
            {"run": i, "step": s, "change": change, "cells": engine_pick(backend, t, s, change)}
            for i, t in enumerate(traces)
            if t.lineage is None
            for s in (0, 2, 5)
            for change in CHANGES
        ],
        "words": [[float(v) for v in traces[1].word_maps(2)[w]] for w in range(len(traces[1].prompt.words))],
        "binding": [[_plain(row) for row in table.times] for table in tables if table is not None],
        "boxes": [["turtle", False], ["turtle", True], ["red apple", True]],
        "taken_back": [
            [record.step, cell, REASONS[code].told]
            for record in traces[3].steps
            if record.reopened is not None
            for cell, code in enumerate(record.reopened.tolist())
            if code
        ],
        "forced": {"step": 3, "keep": edits["keep"], "drop": edits["drop"]},
    }
    two, truth["two"] = two_prompts()
    return {"payload": payload, "truth": truth, "two": two}


if __name__ == "__main__":
    FIXTURE.write_text(json.dumps(fixture(), separators=(",", ":")) + "\n", encoding="utf-8")
