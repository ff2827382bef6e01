"""What the binding debugger and the why card show of who read what, as plain data of the payload. Every key is in static/payload.d.ts."""

from __future__ import annotations

from typing import Any

import numpy as np

from uncage_demo.diagnosis.binding import BindingTable, Decision, binding_table
from uncage_demo.trace.record import Trace
from uncage_demo.types import Verdict


def binding_view(trace: Trace, verdict: Verdict | None) -> dict[str, Any] | None:
    """The binding table of one run; None where there is none (see `binding_table`).

    Args:
        trace: a run.
        verdict: what a detector says of its picture, or None.

    Returns:
        {"words", "objects": one entry per object}. Steps count over the whole run from 0; numbers that are missing are None.
    """
    table = binding_table(trace, verdict)
    if table is None:
        return None
    return {"words": list(table.words), "objects": [_object(trace, table, o) for o in range(len(table.cells))]}


def sight_view(trace: Trace) -> dict[str, Any] | None:
    """Whose words each cell could read: {"at": of each step the index of its map, -1 for all words; "maps": the "n" maps that differ}.

    None for a run in which every cell read all words in every step.
    """
    maps: list[np.ndarray] = []
    at = []
    for record in trace.steps:
        if record.sight is None:
            at.append(-1)
            continue
        same = (k for k, known in enumerate(maps) if np.array_equal(known, record.sight))
        index = next(same, len(maps))
        if index == len(maps):
            maps.append(record.sight)
        at.append(index)
    return {"at": at, "maps": [values.tolist() for values in maps]} if maps else None


def _object(trace: Trace, table: BindingTable, o: int) -> dict[str, Any]:
    commits = np.full(trace.tokens.size, -1)
    for record in trace.steps:
        commits[record.committed] = record.step
    peaks = table.peaks[o].tolist()
    return {
        "source": table.sources[o],
        "cells": len(table.cells[o]),
        "times": _rounded(table.times[o]),
        "raw": _rounded(table.raw[o]),
        "own": table.own[o].tolist(),
        "leads": table.leads[o].tolist(),
        "peaks": [[int(commits[cell]), cell] if cell >= 0 else None for cell in peaks],
        "decision": _decision(table.decisions[o]),
    }


def _decision(found: Decision | None) -> dict[str, Any] | None:
    if found is None:
        return None
    made = found.commitment
    lead = {term: round(value, 4) for term, value in made.lead.items()}
    return {"word": found.word, "step": made.step, "cell": made.cell, "lead": lead, "needed": list(made.needed), "last": made.last}


def _rounded(values: np.ndarray) -> list[float | None]:
    """Four significant digits are more than anybody reads; a missing number is None."""
    return [float(f"{value:.4g}") if np.isfinite(value) else None for value in values.tolist()]
