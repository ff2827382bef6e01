"""What a diagnosis says: findings, where two runs part, and the words both are made of. Plain data; knows no rules."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from uncage_demo.prompt.judging import counted
from uncage_demo.trace.record import Trace


@dataclass(frozen=True)
class Finding:
    """One statement about a run, with its evidence.

    Args:
        kind: "missing", "faint", "twice", "mixture", "leak", "decided", "guidance", "redraw", "weak", "clear", "detector" or "divergence".
        text: the sentence, for people; steps in it count from 1. Contains words of the prompt: plain text, never markup.
        severity: "problem", "warning" or "info".
        subjects: indices into prompt.subjects, the one concerned first.
        subject: the first of them, or -1.
        word: index into prompt.words of the attribute concerned, or -1.
        step: 0-based step that shows it, or None.
        layer: the player's layer that shows it: "object", "word", "contrast", "order", "picture" or "difference".
        cells: cells of the evidence (row-major); cell: one of them, in their middle, or -1.
        evidence: the numbers behind the sentence.
        confidence: "strong evidence", "moderate evidence" or "weak evidence"; "" for plain facts.
    """

    kind: str
    text: str
    severity: str = "info"
    subjects: tuple[int, ...] = ()
    subject: int = -1
    word: int = -1
    step: int | None = None
    layer: str = "object"
    cells: tuple[int, ...] = ()
    cell: int = -1
    evidence: dict[str, float] = field(default_factory=dict)
    confidence: str = ""


@dataclass(frozen=True)
class Divergence:
    """Where two runs diverge.

    Args:
        step: first step (0-based) at which they commit different cells or tokens; None when they never do.
        cells: cells that differ in that step.
        differing: share of cells whose final token differs, 0..1.
        finding: the same in words.
    """

    step: int | None
    cells: tuple[int, ...]
    differing: float
    finding: Finding


def divergence(trace_a: Trace, trace_b: Trace) -> Divergence:
    """The first step at which two runs of one prompt commit different cells or tokens.

    Raises:
        ValueError: grids of different size.
    """
    if trace_a.grid != trace_b.grid:
        raise ValueError(f"grids {trace_a.grid} and {trace_b.grid} differ: only runs of one grid can be compared")
    first, second = (np.asarray(t.tokens).reshape(-1) for t in (trace_a, trace_b))
    when_a, when_b = (np.asarray(t.unmask_step).reshape(-1) for t in (trace_a, trace_b))
    differing = float((first != second).mean())
    apart = (first != second) | (when_a != when_b)
    if not apart.any():
        text = "Both runs committed the same tokens in the same order: the settings that differ made no difference."
        return Divergence(None, (), 0.0, Finding("divergence", text, layer="order", evidence={"differing": 0.0}))
    earliest = np.where(apart, np.minimum(when_a, when_b), np.iinfo(np.int32).max)
    step = int(earliest.min())
    cells = tuple(np.flatnonzero(earliest == step).tolist())
    same = "the finished pictures are the same" if differing == 0 else f"at the end {differing:.0%} of the cells hold another token"
    when = "from the start, in what was given" if step < 0 else f"at step {step + 1}, in {counted(len(cells), 'cell')}"
    text = f"The runs diverge {when}; {same}."
    numbers = {"differing": differing}
    middle = middle_of(cells, trace_a.grid)
    finding = Finding("divergence", text, step=max(step, 0), layer="order", cells=cells, cell=middle, evidence=numbers)
    return Divergence(step, cells, differing, finding)


def name_of(trace: Trace, index: int) -> str:
    """An object of the prompt in quotation marks."""
    subject = trace.prompt.subjects[index]
    return "“" + (subject.label or " ".join(trace.prompt.words[w].text for w in subject.object)) + "”"


def middle_of(cells: tuple[int, ...], grid: tuple[int, int]) -> int:
    """The cell nearest to the mean position of some cells; -1 for none."""
    if not cells:
        return -1
    y, x = np.divmod(np.asarray(cells), grid[1])
    return int(cells[int(((y - y.mean()) ** 2 + (x - x.mean()) ** 2).argmin())])
