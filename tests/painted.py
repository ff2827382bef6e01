"""Traces whose word maps are painted by hand, for tests of the diagnosis."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.factories import make_trace
from uncage_demo.diagnosis.diagnose import Finding, Thresholds
from uncage_demo.trace.record import Trace

GRID = (12, 12)
STEPS = 8
EXACT = Thresholds(smooth_steps=1)
Painter = Callable[[int], dict[str, np.ndarray]]


def box(top: int, left: int, height: int = 5, width: int = 5) -> np.ndarray:
    """A "n" bool mask of a rectangle."""
    field = np.zeros(GRID, bool)
    field[top : top + height, left : left + width] = True
    return field.reshape(-1)


LEFT, RIGHT, NOTHING = box(3, 0), box(3, 7), np.zeros(GRID, bool).reshape(-1)


def painted(text: str, paint: Painter, *, order: str = "confidence", seed: int = 0) -> Trace:
    """A trace whose word maps are bright (0.12 over 0.02) where `paint(step)` says, flat for other words.

    Painted cells are decided with little doubt (0.1 nats), the others with much (1).
    """
    trace = make_trace(seed, GRID, STEPS, text, order=order, frames=False)
    for record in trace.steps:
        assert record.attention is not None
        record.attention[:] = 0.02
        record.entropy = np.ones(144, np.float32)
        for name, mask in paint(record.step).items():
            index = [w.text for w in trace.prompt.words].index(name)
            record.attention[list(trace.prompt.words[index].tokens)] = np.where(mask, 0.12, 0.02)
            record.entropy[mask] = 0.1
    return trace


def kinds(findings: list[Finding]) -> list[str]:
    return [f.kind for f in findings]


def of_kind(findings: list[Finding], kind: str) -> list[Finding]:
    return [f for f in findings if f.kind == kind]
