"""Diagnosis in words: what went wrong in a decoding run, when it was decided, and where to look. A pure function of the trace.

Rules (the numbers are in `Thresholds`; what is measured is in diagnose_evidence.py):
- **missing**: an object never led in a connected patch of cells worth the name, reading each cell when it was committed.
- **mixture**: the cells of two objects interleave, or their words look at the same place.
- **leak**: the map of an attribute is stronger on another object's cells than on its own object's.
- **decided**: the first step from which on an object's cells stayed what they are at the end.
- **guidance**: how many picks the contrast term changed; none is worth knowing.
- **weak**: the maps tell the objects apart too little (or were not recorded): then nothing is claimed about objects.
- **clear**: none of the above problems was seen.

Attention is evidence, not proof: a picture can fail without a trace of it in the maps, and the reverse. How often the rules agree with a
detector is measured by bench/diagnose_calibrate.py, which also chooses the thresholds.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from uncage_demo.diagnose_evidence import (
    Evidence,
    Thresholds,
    largest_patch,
    leak,
    measure,
    mix,
    overlap,
    peakedness,
    settled_at,
    swapped_picks,
)
from uncage_demo.trace import Trace

__all__ = ["Divergence", "Finding", "Thresholds", "diagnose", "divergence"]

DEFAULT = Thresholds()
_RANK = {"problem": 0, "warning": 1, "info": 2}


@dataclass(frozen=True)
class Finding:
    """One statement about a run, with its evidence.

    Args:
        kind: "missing", "mixture", "leak", "decided", "guidance", "weak", "clear" or "divergence".
        text: the sentence, for people; steps in it count from 1. Contains words of the prompt: plain text, never markup.
        severity: "problem", "warning" or "info".
        subjects: indices into prompt.subjects, the one concerned first.
        subject: the first of them, or -1.
        word: index into prompt.words of the attribute concerned, or -1.
        step: 0-based step that shows it, or None.
        layer: the player's layer that shows it: "object", "word", "contrast", "order", "picture" or "difference".
        cells: cells of the evidence (row-major); cell: one of them, in their middle, or -1.
        evidence: the numbers behind the sentence.
        confidence: "strong evidence", "some evidence" or "weak evidence"; "" for plain facts.
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
    """Where two runs part.

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


def diagnose(trace: Trace, thresholds: Thresholds = DEFAULT) -> list[Finding]:
    """What happened to the objects of a run, problems first.

    Args:
        trace: a finished or partial run.
        thresholds: what the rules decide by.

    Returns:
        Findings; never empty for a trace with subjects. Without subjects or attention, it says that nothing can be said.
    """
    evidence = measure(trace, thresholds)
    findings = _guidance(trace)
    if evidence is None:
        why = "the prompt has no objects to follow" if not trace.prompt.subjects else "no attention was recorded in this run"
        return [Finding("weak", f"Nothing can be said about objects: {why}.", "info", layer="picture"), *findings]
    for index in evidence.silent:
        text = f"Nothing can be said about {_name(trace, index)}: attention to its words was not recorded."
        findings.append(Finding("weak", text, "info", (index,), index, layer="picture"))
    weak = evidence.strength < thresholds.weak_strength
    level = "strong evidence" if evidence.strength >= thresholds.strong_strength else "some evidence"
    last = trace.steps[evidence.steps[-1]].step
    problems = _mixtures(trace, evidence, thresholds)
    if not weak:
        problems = [*_missing(trace, evidence, thresholds), *problems, *_leaks(trace, evidence, thresholds)]
        findings += _decided(trace, evidence, thresholds, {f.subject for f in problems if f.kind == "missing"})
    findings += [replace(f, confidence=level) for f in problems]
    if weak and not problems:
        text = "The attention maps hardly tell the objects apart" if len(trace.prompt.subjects) > 1 else "The attention map is almost flat"
        text += f" (lead {evidence.strength:.2f}, needed {thresholds.weak_strength:.2f}), so nothing is said of what went wrong."
        numbers = {"strength": evidence.strength}
        findings.append(Finding("weak", text, step=last, evidence=numbers, confidence="weak evidence"))
    elif not problems:
        text = "No problem seen: every object has cells of its own and no attribute looks elsewhere. The picture can still be wrong."
        everyone = tuple(range(len(trace.prompt.subjects)))
        findings.append(Finding("clear", text, subjects=everyone, step=last, confidence=level))
    return sorted(findings, key=lambda f: _RANK[f.severity])


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
    when = "from the start, in what was given" if step < 0 else f"at step {step + 1}, in {_count(len(cells), 'cell')}"
    text = f"The runs part {when}; {same}."
    numbers = {"differing": differing}
    middle = _middle(cells, trace_a.grid)
    finding = Finding("divergence", text, step=max(step, 0), layer="order", cells=cells, cell=middle, evidence=numbers)
    return Divergence(step, cells, differing, finding)


def missing_score(evidence: Evidence, index: int, grid: tuple[int, int]) -> float:
    """Largest connected patch that an object leads in, as a share of the picture, 0..1; small = missing."""
    return largest_patch(evidence.cells == index, grid) / evidence.cells.size


def _missing(trace: Trace, evidence: Evidence, thresholds: Thresholds) -> list[Finding]:
    findings = []
    total = evidence.cells.size
    for index in range(len(trace.prompt.subjects)):
        share = missing_score(evidence, index, trace.grid)
        if index in evidence.silent or share > thresholds.missing_share:
            continue
        cells = tuple(np.flatnonzero(evidence.cells == index).tolist())
        held = (evidence.owner == index).sum(axis=1)
        peak = int(held.argmax())
        least = int(np.floor(thresholds.missing_share * total)) + 1
        text = f"{_name(trace, index)} never got cells of its own: "
        text += f"it led in {_count(len(cells), 'cell')} of {total}" if cells else f"it led in none of {total} cells"
        text += f", never {least} together." if cells else "."
        step = trace.steps[evidence.steps[-1]].step
        if held[peak] >= 2 * least and held[peak] > 2 * held[-1]:
            step = trace.steps[evidence.steps[peak]].step
            text += f" It had {_count(int(held[peak]), 'cell')} at step {step + 1} and lost them."
        rivals = _rivals(evidence, index)
        if rivals is not None:
            text += f" Where its word looked most, {_name(trace, rivals)} led."
        numbers = {"share": share, "cells": float(len(cells)), "peak_cells": float(held[peak])}
        findings.append(_about("missing", text, trace, index, step, cells, numbers, (rivals,) if rivals is not None else ()))
    return findings


def _rivals(evidence: Evidence, index: int) -> int | None:
    """The object that leads in most of the tenth of cells where an object's map is highest; None when none leads in half of them."""
    size = max(1, evidence.cells.size // 10)
    top = evidence.cells[np.argsort(-evidence.maps[index], kind="stable")[:size]]
    owners, counts = np.unique(top[(top >= 0) & (top != index)], return_counts=True)
    return int(owners[counts.argmax()]) if len(counts) and counts.max() * 2 >= size else None


def mixture_scores(evidence: Evidence, a: int, b: int, grid: tuple[int, int]) -> tuple[float, float]:
    """(mix of cells, overlap of maps) of two objects, each 0..1; large = mixed."""
    return mix(evidence.cells, a, b, grid), overlap(evidence.maps[a], evidence.maps[b])


def _mixtures(trace: Trace, evidence: Evidence, thresholds: Thresholds) -> list[Finding]:
    findings = []
    for a in range(len(trace.prompt.subjects)):
        for b in range(a + 1, len(trace.prompt.subjects)):
            if a in evidence.silent or b in evidence.silent:
                continue
            mixed, together = mixture_scores(evidence, a, b, trace.grid)
            numbers = {"mix": mixed, "overlap": together}
            step = trace.steps[evidence.steps[-1]].step
            both = f"{_name(trace, a)} and {_name(trace, b)}"
            both_peaked = min(peakedness(evidence.maps[a]), peakedness(evidence.maps[b])) >= thresholds.peaked
            if mixed >= thresholds.mixture_mix:
                cells = tuple(np.flatnonzero(np.isin(evidence.cells, (a, b))).tolist())
                text = f"{both} are mixed: their cells interleave ({mixed:.0%} of the borders among them lie between the two)."
            elif together >= thresholds.mixture_overlap and both_peaked:
                cells = tuple(np.flatnonzero((evidence.maps[a] > 1.25) & (evidence.maps[b] > 1.25)).tolist())
                text = f"{both} compete for one place: their words look at the same cells ({together:.0%} of their attention coincides)."
            else:
                continue
            findings.append(_about("mixture", text, trace, a, step, cells, numbers, (b,)))
    return findings


def leak_score(evidence: Evidence, owner: int, attribute: int, other: int) -> float | None:
    """Share of an attribute's map on another object's cells, 0..1; large = leaked. None when it cannot be read."""
    values = evidence.attributes.get((owner, attribute))
    if values is None:
        return None
    return leak(values, evidence.cells == owner, evidence.cells == other)


def _leaks(trace: Trace, evidence: Evidence, thresholds: Thresholds) -> list[Finding]:
    findings = []
    for owner, subject in enumerate(trace.prompt.subjects):
        for number, group in enumerate(subject.attributes):
            scores = {o: leak_score(evidence, owner, number, o) for o in range(len(trace.prompt.subjects)) if o != owner}
            readable = {o: s for o, s in scores.items() if s is not None}
            if not readable:
                continue
            other = max(readable, key=lambda o: readable[o])
            if readable[other] < thresholds.leak_share:
                continue
            cells = tuple(np.flatnonzero(evidence.cells == other).tolist())
            attribute = "“" + " ".join(trace.prompt.words[w].text for w in group) + "”"
            name = "“" + " ".join(trace.prompt.words[w].text for w in subject.object) + "”"
            text = (
                f"{attribute} looks at the wrong object: it belongs to {name}, but its map is "
                f"{readable[other] / max(1 - readable[other], 1e-6):.1f} times as strong on the cells of {_name(trace, other)}."
            )
            step = _reading_step(trace, evidence, cells)
            finding = _about("leak", text, trace, owner, step, cells, {"share": readable[other]}, (other,))
            findings.append(replace(finding, word=next(iter(group)), layer="word"))
    return findings


def _decided(trace: Trace, evidence: Evidence, thresholds: Thresholds, missing: set[int]) -> list[Finding]:
    findings = []
    last = trace.steps[evidence.steps[-1]].step
    for index in range(len(trace.prompt.subjects)):
        if index in missing or index in evidence.silent:
            continue
        at = settled_at(evidence.owner, index, thresholds.settled_overlap)
        if at is None:
            continue
        step = trace.steps[evidence.steps[at]].step
        cells = tuple(np.flatnonzero(evidence.owner[-1] == index).tolist())
        numbers = {"settled_step": float(step), "cells": float(len(cells))}
        if at == 0:
            text = f"{_name(trace, index)}: its place was settled from the first step on."
        elif step == last:
            text = f"{_name(trace, index)}: its place kept changing to the end (step {last + 1})."
        else:
            text = f"{_name(trace, index)}: its place was decided at step {step + 1} of {last + 1}."
        findings.append(_about("decided", text, trace, index, step, cells, numbers, (), "info"))
    return findings


def _guidance(trace: Trace) -> list[Finding]:
    """What the contrast term changed, in a guided run."""
    changes = swapped_picks(trace)
    if not changes:
        return []
    picks = sum(int(trace.steps[k].committed.sum()) for k in changes)
    changed = sum(changes.values())
    numbers = {"changed": float(changed), "picks": float(picks), "guided_steps": float(len(changes))}
    span = _count(len(changes), "guided step")
    if changed == 0:
        text = f"Guidance made no difference: all {picks} picks of the {span} would have been the same without it."
        return [Finding("guidance", text, "warning", step=trace.steps[min(changes)].step, layer="contrast", evidence=numbers)]
    first = next(k for k, count in changes.items() if count)
    text = f"Guidance changed {changed} of {picks} picks in {span}, the first at step {trace.steps[first].step + 1}."
    return [Finding("guidance", text, "info", step=trace.steps[first].step, layer="contrast", evidence=numbers)]


def _about(
    kind: str,
    text: str,
    trace: Trace,
    index: int,
    step: int,
    cells: tuple[int, ...],
    numbers: dict[str, float],
    others: tuple[int, ...],
    severity: str = "problem",
) -> Finding:
    middle = _middle(cells, trace.grid)
    return Finding(kind, text, severity, (index, *others), index, step=step, cells=cells, cell=middle, evidence=numbers)


def _reading_step(trace: Trace, evidence: Evidence, cells: tuple[int, ...]) -> int:
    """The step at which most of these cells were read."""
    at = evidence.read_at[list(cells)] if cells else evidence.read_at
    values, counts = np.unique(at, return_counts=True)
    return trace.steps[evidence.steps[int(values[counts.argmax()])]].step


def _name(trace: Trace, index: int) -> str:
    subject = trace.prompt.subjects[index]
    return "“" + (subject.label or " ".join(trace.prompt.words[w].text for w in subject.object)) + "”"


def _middle(cells: tuple[int, ...], grid: tuple[int, int]) -> int:
    """The cell nearest to the mean position of some cells; -1 for none."""
    if not cells:
        return -1
    y, x = np.divmod(np.asarray(cells), grid[1])
    return int(cells[int(((y - y.mean()) ** 2 + (x - x.mean()) ** 2).argmin())])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
