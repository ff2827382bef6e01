"""Who read what: how much each object's cells attended to each word when they were committed, and where an object's colour was decided.

Attention is evidence, not proof: a colour can be drawn on an object whose cells read its own words. Numpy on traces only.
Shapes: o object, w word of an object (nouns and attributes), n cell (y x grid, row-major), c cells of one object.

Source: this project. The contrast of own and foreign words is the idea of 2508.05399 eq. 2; the paper scores cells with it while decoding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from uncage_demo.decoding.order import recorded_terms
from uncage_demo.diagnosis.detector import cells_of
from uncage_demo.diagnosis.diagnose import calibration_of
from uncage_demo.diagnosis.evidence import measure, read_steps
from uncage_demo.prompt.judging import match
from uncage_demo.trace.record import StepRecord, Trace
from uncage_demo.types import Prompt, Verdict


@dataclass(frozen=True)
class Commitment:
    """Why one cell was committed when it was.

    Args:
        step: 0-based step; cell: row-major.
        lead: {term of the score: its value, weight included, minus its mean over the step's candidates}; {} for a score that is no sum.
        needed: the terms without which the cell would have waited; empty where it would have been picked without any single one.
        last: the step committed every cell that was left, so that no term chose.
    """

    step: int
    cell: int
    lead: dict[str, float]
    needed: tuple[str, ...]
    last: bool


@dataclass(frozen=True)
class Decision:
    """Where, as far as attention tells, it was decided which word an object was drawn after.

    Args:
        word: index into prompt.words of the word that leads at the end: of the attributes; of the nouns for an object that has no
            attribute and that read no foreign one either.
        commitment: the cell that decided it: from its step on that word led, in the mean over the cells committed so far.
    """

    word: int
    commitment: Commitment


@dataclass(frozen=True)
class BindingTable:
    """Objects down, words across.

    Args:
        words: w indices into prompt.words, in the order of the prompt.
        sources: of each object, what says which cells are its own: "detector" (its box in the finished picture), "attention" (its word
            leads there when the cell is committed) or "" (neither, so it has no cells).
        cells: of each object, its cells that were committed in a recorded step.
        times: "o w" attention of those cells at their commits, each divided by the word's mean over the picture at that step, then
            averaged: 1 = as much as anywhere, from 0; nan where an object has no cells or a word was not recorded.
        raw: "o w" the same without the division: attention, 0..1.
        own: "o w" the word is one of the object's own.
        leads: "o w" a foreign word leads: see `foreign_leads`.
        peaks: "o w" the object's cell that read the word most, compared as in `times`; -1 for none.
        decisions: of each object, where its colour was decided; None without cells.
    """

    words: tuple[int, ...]
    sources: tuple[str, ...]
    cells: tuple[tuple[int, ...], ...]
    times: Float[np.ndarray, "o w"]
    raw: Float[np.ndarray, "o w"]
    own: Bool[np.ndarray, "o w"]
    leads: Bool[np.ndarray, "o w"]
    peaks: Int[np.ndarray, "o w"]
    decisions: tuple[Decision | None, ...]


def binding_table(trace: Trace, verdict: Verdict | None = None) -> BindingTable | None:
    """How much each object's cells attended to each object's words when they were committed.

    Args:
        trace: a finished or partial run.
        verdict: what a detector says of its picture; an object's cells are those of its box where it has one.

    Returns:
        The table; None for a prompt without objects or a run without recorded attention.

    Source: this project.
    """
    evidence = measure(trace, calibration_of(trace.model).thresholds)
    if evidence is None:
        return None
    prompt, total = trace.prompt, trace.tokens.size
    words = tuple(sorted({w for s in prompt.subjects for group in s.groups for w in group}))
    unmask = committed_steps(trace)
    boxes = _boxes(trace, verdict)
    cells, sources = [], []
    for o in range(len(prompt.subjects)):
        mine = boxes[o] or tuple(np.flatnonzero(evidence.cells == o).tolist())
        kept = tuple(cell for cell in mine if unmask[cell] >= 0)
        cells.append(kept)
        sources.append(("detector" if boxes[o] else "attention") if kept else "")
    # each cell is read at its commit
    at = read_steps(trace, evidence.steps, "commit")
    maps = np.stack([trace.word_maps(k)[list(words)] for k in evidence.steps]).astype(np.float64)
    heard = np.array([bool(set(prompt.words[w].tokens) & set(trace.columns)) for w in words])
    average = maps.mean(axis=2, keepdims=True)
    relative = np.where(average > 0, maps / np.where(average > 0, average, 1), np.nan)
    read_raw, read_times = (field[at, :, np.arange(total)].T for field in (maps, relative))  # w n each
    read_raw[~heard] = read_times[~heard] = np.nan
    times, raw = (np.stack([_mean(field[:, list(mine)]) for mine in cells]) for field in (read_times, read_raw))
    own = np.array([[w in {v for group in s.groups for v in group} for w in words] for s in prompt.subjects])
    peaks = np.stack([_peaks(read_times, mine) for mine in cells])
    leads = foreign_leads(times, words, prompt)
    decisions = tuple(_decision(trace, _asked(prompt, words, o, leads[o]), words, read_times, cells[o], unmask) for o in range(len(cells)))
    return BindingTable(words, tuple(sources), tuple(cells), times, raw, own, leads, peaks, decisions)


def foreign_leads(times: Float[np.ndarray, "o w"], words: tuple[int, ...], prompt: Prompt) -> Bool[np.ndarray, "o w"]:
    """Where an object read somebody else's word more than its own: attributes are compared with attributes, nouns with nouns.

    An object without attributes has none to compare with; there a foreign attribute leads when the object read it more than average and
    more than the object that it belongs to did.

    Args:
        times: "o w" as in BindingTable.
        words: w indices into prompt.words.
        prompt: its subjects.

    Returns:
        "o w" bool; never True for an object's own word, nor where a number is missing.
    """
    leads = np.zeros(times.shape, bool)
    for attribute in (False, True):
        groups = [{w for g in (s.attributes if attribute else (s.object,)) for w in g} for s in prompt.subjects]
        everyone = set().union(*groups)
        for o in range(len(groups)):
            mine = [k for k, w in enumerate(words) if w in groups[o] and np.isfinite(times[o, k])]
            every = {w for g in prompt.subjects[o].groups for w in g}
            for k, w in enumerate(words):
                if w not in everyone or w in every or not np.isfinite(times[o, k]):
                    continue
                theirs = [times[i, k] for i, group in enumerate(groups) if w in group and np.isfinite(times[i, k])]
                least = min(times[o, mine]) if mine else max([1.0, *theirs])
                leads[o, k] = times[o, k] > least
    return leads


def commitment(trace: Trace, step: int, cell: int) -> Commitment:
    """Which term of the order's score committed a cell.

    Args:
        trace: a run.
        step: index of the record that committed the cell.
        cell: row-major.
    """
    record = trace.steps[step]
    candidates = record.masked_before
    last = bool((record.committed == candidates).all())
    terms = recorded_terms(trace)[step]
    if terms is None:
        return Commitment(record.step, cell, {}, (), last)
    parts = {term: _part(record, term) for term in terms}
    lead = {term: float(part[cell] - part[candidates].mean()) for term, part in parts.items()}
    count = int(record.committed.sum())
    needed = []
    if not last:
        for term, part in parts.items():
            rest = np.where(candidates, np.where(candidates, record.scores, 0).astype(np.float64) - part, -np.inf)
            if cell not in np.argsort(-rest, kind="stable")[:count]:
                needed.append(term)
    return Commitment(record.step, cell, lead, tuple(needed), last)


def committed_steps(trace: Trace) -> Int[np.ndarray, " n"]:
    """Index of the record that committed each cell (the last one, where a cell was drawn again); -1 where no record did."""
    at = np.full(trace.tokens.size, -1)
    for k, record in enumerate(trace.steps):
        at[record.committed] = k
    return at


def _part(record: StepRecord, term: str) -> np.ndarray:
    """What a term adds to the score of every cell: "n" float64."""
    value = np.asarray(getattr(record, term), np.float64)
    return record.weight * value if term == "contrast" else value


def _asked(prompt: Prompt, words: tuple[int, ...], o: int, leads: np.ndarray) -> list[int]:
    """Rows of the words among which an object's decision lies: attributes, or nouns where attributes played no part."""
    attributes = {w for s in prompt.subjects for group in s.attributes for w in group}
    nouns = {w for s in prompt.subjects for w in s.object}
    chosen = attributes if prompt.subjects[o].attributes or any(leads[k] for k, w in enumerate(words) if w in attributes) else nouns
    return [k for k, w in enumerate(words) if w in chosen]


def _decision(
    trace: Trace, asked: list[int], words: tuple[int, ...], times: np.ndarray, cells: tuple[int, ...], unmask: np.ndarray
) -> Decision | None:
    """The step from which on the word that leads at the end led among the cells committed so far, and its cell that read it most."""
    rows = [k for k in asked if np.isfinite(times[k]).all()]
    if not cells or not rows:
        return None
    mine = np.array(sorted(cells, key=lambda cell: (unmask[cell], cell)))
    when = unmask[mine]
    steps = np.unique(when)
    running = np.stack([times[np.ix_(rows, mine[when <= step])].mean(axis=1) for step in steps])  # s w  # pyright: ignore[reportArgumentType, reportCallIssue]
    leaders = running.argmax(axis=1)
    other = np.flatnonzero(leaders != leaders[-1])
    first = int(steps[other[-1] + 1 if len(other) else 0])
    row = rows[int(leaders[-1])]
    fresh = mine[when == first]
    return Decision(words[row], commitment(trace, first, int(fresh[times[row, fresh].argmax()])))


def _boxes(trace: Trace, verdict: Verdict | None) -> list[tuple[int, ...]]:
    """Of each object, the cells in the boxes of the detections that stand for it."""
    if verdict is None:
        return [() for _ in trace.prompt.subjects]
    own = match(trace.prompt.subjects, verdict.detections).own
    return [tuple(sorted({cell for i in mine for cell in cells_of(trace, verdict.detections[i])})) for mine in own]


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis; nan over none."""
    return values.mean(axis=1) if values.shape[1] else np.full(len(values), np.nan)


def _peaks(times: np.ndarray, cells: tuple[int, ...]) -> np.ndarray:
    """Of each word, the cell of these that read it most; -1 for none."""
    if not cells:
        return np.full(len(times), -1)
    mine = np.array(cells)
    best = mine[np.nan_to_num(times[:, mine], nan=-1.0).argmax(axis=1)]
    return np.where(np.isfinite(times[:, 0]), best, -1)
