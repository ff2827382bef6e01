"""The rules of the diagnosis: what each measures (its score), when it speaks, and what it says. Scores are also what is calibrated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from uncage_demo.config import DecodingConfig
from uncage_demo.diagnosis.evidence import (
    NOBODY,
    Evidence,
    Thresholds,
    largest_patch,
    leak,
    mix,
    overlap,
    parted,
    peakedness,
    settled_at,
    swapped_picks,
)
from uncage_demo.diagnosis.findings import Finding, middle_of, name_of
from uncage_demo.prompt.judging import counted
from uncage_demo.trace.record import Trace

LEVELS = ("", "weak evidence", "moderate evidence", "strong evidence")
# The kinds of findings whose evidence has a level.
MEASURED = ("missing", "faint", "twice", "mixture", "leak", "clear", "weak")
FEW_CELLS = 0.05  # fewer cells that no object leads in than this share of the picture are no background to compare with


def evidence_level(evidence: Evidence, thresholds: Thresholds, margin: float) -> str:
    """How good the evidence of one statement is, in words.

    Args:
        margin: how far past its threshold the score is, as a share of the way left, 0..1.
    """
    if evidence.strength < thresholds.weak_strength or margin < thresholds.weak_margin:
        return "weak evidence"
    clear = evidence.strength >= thresholds.strong_strength and margin >= thresholds.strong_margin
    return "strong evidence" if clear else "moderate evidence"


def limited(finding: Finding, most: str) -> Finding:
    """A finding whose evidence is called no better than `most`; a weak one says so in its first word."""
    if LEVELS.index(finding.confidence) <= LEVELS.index(most):
        return finding
    weak = most == "weak evidence" and finding.severity != "info"
    return replace(finding, confidence=most, text=perhaps(finding.text) if weak else finding.text)


def perhaps(text: str) -> str:
    """A statement as one of weak evidence: "Perhaps ..." in place of the doubt that its own words have."""
    for doubting, plain in ((" seems to be ", " is "), (" may be ", " is ")):
        text = text.replace(doubting, plain, 1)
    return f"Perhaps {text}"


def _past(value: float, threshold: float, extreme: float) -> float:
    """How far a score is past its threshold, 0 at the threshold, 1 at the extreme and beyond."""
    return min(1.0, (value - threshold) / (extreme - threshold)) if extreme != threshold else 1.0


def missing_score(evidence: Evidence, index: int, grid: tuple[int, int]) -> float:
    """Largest connected patch that an object leads in, as a share of the picture, 0..1; small = missing."""
    return largest_patch(evidence.cells == index, grid) / evidence.cells.size


def missing(trace: Trace, evidence: Evidence, thresholds: Thresholds) -> list[Finding]:
    """Objects without a connected patch of cells of their own."""
    findings = []
    total = evidence.cells.size
    for index in range(len(trace.prompt.subjects)):
        share = missing_score(evidence, index, trace.grid)
        if index in evidence.silent or share > thresholds.missing_share:
            continue
        cells = tuple(np.flatnonzero(evidence.cells == index).tolist())
        held = (evidence.owner == index).sum(axis=1)
        peak = int(held.argmax())
        least = least_cells(thresholds, total)
        text = f"{name_of(trace, index)} never got cells of its own: "
        text += f"it led in {counted(len(cells), 'cell')} of {total}" if cells else f"it led in none of {total} cells"
        text += f", never {least} together." if cells else "."
        step = trace.steps[evidence.steps[-1]].step
        if held[peak] >= 2 * least and held[peak] > 2 * held[-1]:
            step = trace.steps[evidence.steps[peak]].step
            text += f" It had {counted(int(held[peak]), 'cell')} at step {step + 1} and lost them."
        rivals = _rivals(evidence, index)
        if rivals is not None:
            text += f" Where its word looked most, {name_of(trace, rivals)} led."
        numbers = {"share": share, "cells": float(len(cells)), "peak_cells": float(held[peak])}
        others = (rivals,) if rivals is not None else ()
        level = evidence_level(evidence, thresholds, _past(share, thresholds.missing_share, 0.0))
        findings.append(_about("missing", text, trace, index, step, cells, numbers, others, level))
    return findings


def _rivals(evidence: Evidence, index: int) -> int | None:
    """The object that leads in most of the tenth of cells where an object's map is highest; None when none leads in half of them."""
    size = max(1, evidence.cells.size // 10)
    top = evidence.cells[np.argsort(-evidence.maps[index], kind="stable")[:size]]
    owners, counts = np.unique(top[(top >= 0) & (top != index)], return_counts=True)
    return int(owners[counts.argmax()]) if len(counts) and counts.max() * 2 >= size else None


def faint_score(evidence: Evidence, index: int) -> float | None:
    """How unsure the model was in the tenth of cells where an object's map is highest, against the cells that no object leads in.

    Returns:
        Mean entropy at commit by mean entropy at commit, from 0; 1 = as unsure as of the background; None where it cannot be read.
    """
    size = max(1, evidence.cells.size // 10)
    top = evidence.doubt[np.argsort(-evidence.maps[index], kind="stable")[:size]]
    ground = evidence.doubt[(evidence.cells == NOBODY) & np.isfinite(evidence.doubt)]
    if not np.isfinite(top).all() or ground.size < FEW_CELLS * evidence.cells.size or ground.mean() <= 0:
        return None
    return float(top.mean() / ground.mean())


def faint(trace: Trace, evidence: Evidence, thresholds: Thresholds) -> list[Finding]:
    """Objects that have cells of their own in which the model was as unsure as of background: they may not be drawn at all."""
    findings = []
    for index in range(len(trace.prompt.subjects)):
        doubt = None if index in evidence.silent else faint_score(evidence, index)
        if doubt is None or doubt < thresholds.faint_doubt or missing_score(evidence, index, trace.grid) <= thresholds.missing_share:
            continue
        cells = tuple(np.flatnonzero(evidence.cells == index).tolist())
        text = (
            f"{name_of(trace, index)} may be missing or hard to see: where its word looks most, the model was unsure what to draw "
            f"({doubt:.0%} of its doubt about the background; drawn objects are mostly below {thresholds.faint_doubt:.0%})."
        )
        level = evidence_level(evidence, thresholds, _past(doubt, thresholds.faint_doubt, 1.0))
        step = _reading_step(trace, evidence, cells)
        findings.append(_about("faint", text, trace, index, step, cells, {"doubt": doubt}, (), level, "warning"))
    return findings


def least_cells(thresholds: Thresholds, total: int) -> int:
    """Number of cells that is worth calling a place, in a picture of `total` cells."""
    return int(np.floor(thresholds.missing_share * total)) + 1


def twice_score(cells: np.ndarray, index: int, grid: tuple[int, int], least: int) -> float:
    """How far two halves of an object's cells lie apart, from 0; large = drawn twice (see `parted`)."""
    return parted(cells == index, grid, least)[0]


def twice(trace: Trace, evidence: Evidence, thresholds: Thresholds) -> list[Finding]:
    """Objects whose word leads in two places: drawn twice. Nothing is said of a noun that the prompt itself asks for twice."""
    findings = []
    nouns = [subject.noun for subject in trace.prompt.subjects for _ in range(subject.count)]
    least = least_cells(thresholds, evidence.cells.size)
    for index, subject in enumerate(trace.prompt.subjects):
        if index in evidence.silent or nouns.count(subject.noun) > 1:
            continue
        apart, larger, smaller = parted(evidence.cells == index, trace.grid, least)
        if not smaller or apart < thresholds.twice_spread:
            continue
        seen = [twice_score(owner, index, trace.grid, least) >= thresholds.twice_spread for owner in evidence.owner]
        since = len(seen) - next((k for k, on in enumerate(reversed(seen)) if not on), len(seen))
        step = trace.steps[evidence.steps[min(since, len(seen) - 1)]].step
        joined = largest_patch(evidence.cells == index, trace.grid) >= len(larger) + len(smaller)
        areas = "two areas, which touch," if joined else "two separate areas"
        text = f"{name_of(trace, index)} seems to be drawn twice: {areas} attend mostly to this word "
        text += f"({len(larger)} and {counted(len(smaller), 'cell')})."
        if since < len(seen):
            text += f" Both are there from step {step + 1} on."
        level = evidence_level(evidence, thresholds, _past(apart, thresholds.twice_spread, 2 * thresholds.twice_spread))
        numbers = {"apart": apart, "larger": float(len(larger)), "smaller": float(len(smaller))}
        finding = _about("twice", text, trace, index, step, tuple(sorted(larger + smaller)), numbers, (), level)
        findings.append(replace(finding, cell=middle_of(tuple(smaller), trace.grid)))
    return findings


def mixture_scores(evidence: Evidence, a: int, b: int, grid: tuple[int, int]) -> tuple[float, float]:
    """(mix of cells, overlap of maps) of two objects, each 0..1; large = mixed."""
    return mix(evidence.cells, a, b, grid), overlap(evidence.maps[a], evidence.maps[b])


def mixtures(trace: Trace, evidence: Evidence, thresholds: Thresholds) -> list[Finding]:
    """Pairs of objects whose cells interleave, or whose words look at one place."""
    findings = []
    for a in range(len(trace.prompt.subjects)):
        for b in range(a + 1, len(trace.prompt.subjects)):
            if a in evidence.silent or b in evidence.silent:
                continue
            mixed, together = mixture_scores(evidence, a, b, trace.grid)
            numbers = {"mix": mixed, "overlap": together}
            step = trace.steps[evidence.steps[-1]].step
            both_peaked = min(peakedness(evidence.maps[a]), peakedness(evidence.maps[b])) >= thresholds.peaked
            both = f"{name_of(trace, a)} and {name_of(trace, b)}"
            if mixed >= thresholds.mixture_mix:
                cells = tuple(np.flatnonzero(np.isin(evidence.cells, (a, b))).tolist())
                text = f"{both} are mixed: their cells interleave ({mixed:.0%} of the borders among them lie between the two)."
                margin = _past(mixed, thresholds.mixture_mix, 1.0)
            elif together >= thresholds.mixture_overlap and both_peaked:
                cells = tuple(np.flatnonzero((evidence.maps[a] > 1.25) & (evidence.maps[b] > 1.25)).tolist())
                text = (
                    f"{both} compete for one position: the same cells attend to both words ({together:.0%} of their attention coincides)."
                )
                margin = _past(together, thresholds.mixture_overlap, 1.0)
            else:
                continue
            level = evidence_level(evidence, thresholds, margin)
            findings.append(_about("mixture", text, trace, a, step, cells, numbers, (b,), level))
    return findings


def leak_score(evidence: Evidence, owner: int, attribute: int, other: int) -> float | None:
    """Share of an attribute's map on another object's cells, 0..1; large = leaked. None when it cannot be read."""
    values = evidence.attributes.get((owner, attribute))
    if values is None:
        return None
    return leak(values, evidence.cells == owner, evidence.cells == other)


def leaks(trace: Trace, evidence: Evidence, thresholds: Thresholds) -> list[Finding]:
    """Attributes of whose map another object's cells have more than is usual for the model."""
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
            # A model that leaks at a small share is calibrated to it: there most of the map still lies on the own object.
            where = "to the wrong object" if readable[other] > 0.5 else "to another object, too"
            text = (
                f"{attribute} attends {where}: it belongs to {name}, but its map is "
                f"{readable[other] / max(1 - readable[other], 1e-6):.1f} times as strong on the cells of {name_of(trace, other)}."
            )
            step = _reading_step(trace, evidence, cells)
            level = evidence_level(evidence, thresholds, _past(readable[other], thresholds.leak_share, 1.0))
            finding = _about("leak", text, trace, owner, step, cells, {"share": readable[other]}, (other,), level)
            findings.append(replace(finding, word=next(iter(group)), layer="word"))
    return findings


def decided(trace: Trace, evidence: Evidence, thresholds: Thresholds, missing: set[int]) -> list[Finding]:
    """The step at which each object's place was settled; nothing for the missing ones."""
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
        one = trace.prompt.subjects[index].count == 1
        where, was = ("its position", "was") if one else ("their positions", "were")
        if at == 0:
            text = f"{name_of(trace, index)}: {where} {was} fixed at step {step + 1}."
        elif step == last:
            text = f"{name_of(trace, index)}: {where} kept changing to the end (step {last + 1})."
        else:
            text = f"{name_of(trace, index)}: {where} {was} decided at step {step + 1} of {last + 1}."
        findings.append(_about("decided", text, trace, index, step, cells, numbers, (), "", "info"))
    return findings


def guidance(trace: Trace) -> list[Finding]:
    """What the contrast term changed, in a guided run."""
    changes = swapped_picks(trace)
    if not changes:
        return []
    picks = sum(int(trace.steps[k].committed.sum()) for k in changes)
    changed = sum(changes.values())
    numbers = {"changed": float(changed), "picks": float(picks), "guided_steps": float(len(changes))}
    span = counted(len(changes), "guided step")
    if changed == 0:
        steps = "one guided step" if len(changes) == 1 else span
        same = "the one pick" if picks == 1 else f"all {picks} picks"
        text = f"Guidance made no difference: {same} of the {steps} would have been the same without it."
        return [Finding("guidance", text, "warning", step=trace.steps[min(changes)].step, layer="contrast", evidence=numbers)]
    first = next(k for k, count in changes.items() if count)
    text = f"Guidance changed {changed} of {counted(picks, 'pick')} in {span}, the first at step {trace.steps[first].step + 1}."
    return [Finding("guidance", text, "info", step=trace.steps[first].step, layer="contrast", evidence=numbers)]


def redraw(trace: Trace) -> list[Finding]:
    """What a redraw opened again, and how much of it came out as other tokens than in the draft."""
    draft = DecodingConfig.from_dict(trace.config).draft_steps
    by_step = {record.step: record for record in trace.steps}
    if draft not in by_step or draft - 1 not in by_step or trace.steps[-1].step != int(trace.config["num_steps"]) - 1:
        return []
    before, opened = by_step[draft - 1], by_step[draft].masked_before
    count, total = int(opened.sum()), opened.size
    other = int((before.sampled != trace.tokens.reshape(-1))[opened].sum())
    text = (
        f"The draft was full after step {draft}. {counted(count, 'cell')} of {total} {'was' if count == 1 else 'were'} masked again "
        f"and drawn again around one place per object; {other} came out with another token."
    )
    numbers = {"opened": float(count), "changed": float(other)}
    return [Finding("redraw", text, "info", step=draft, layer="picture", evidence=numbers)]


def taken_back(trace: Trace) -> list[Finding]:
    """What a revision opened again step by step, and how much of it ended as another token; a redraw has its own statement."""
    final, ends_draft = trace.tokens.reshape(-1), DecodingConfig.from_dict(trace.config).draft_steps - 1
    told = [(r.step, np.flatnonzero(r.reopened), r.sampled) for r in trace.steps if r.reopened is not None and r.step != ends_draft]
    if not told or not trace.steps[-1].leaves_nothing:
        return []
    count = sum(len(cells) for _, cells, _ in told)
    other = sum(int((sampled[cells] != final[cells]).sum()) for _, cells, sampled in told)
    text = (
        f"Committed cells were taken back {counted(count, 'time')} in {counted(len(told), 'step')}; in {other} of these cases the cell "
        "ended with another token."
    )
    numbers = {"opened": float(count), "changed": float(other)}
    return [Finding("redraw", text, "info", step=told[0][0], layer="picture", evidence=numbers)]


def _about(
    kind: str,
    text: str,
    trace: Trace,
    index: int,
    step: int,
    cells: tuple[int, ...],
    numbers: dict[str, float],
    others: tuple[int, ...],
    level: str,
    severity: str = "problem",
) -> Finding:
    middle = middle_of(cells, trace.grid)
    said = perhaps(text) if level == "weak evidence" else text
    return Finding(kind, said, severity, (index, *others), index, -1, step, "object", cells, middle, numbers, level)


def _reading_step(trace: Trace, evidence: Evidence, cells: tuple[int, ...]) -> int:
    """The step at which most of these cells were read."""
    at = evidence.read_at[list(cells)] if cells else evidence.read_at
    values, counts = np.unique(at, return_counts=True)
    return trace.steps[evidence.steps[int(values[counts.argmax()])]].step
