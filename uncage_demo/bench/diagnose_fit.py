"""Thresholds of the diagnosis that suit a model, chosen on some judged traces; what they are worth is measured on others."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from uncage_demo.bench.diagnose_cases import CUTS, RULES, Case, Judged, auc, cases_of
from uncage_demo.diagnosis.evidence import Thresholds

# Floors from above 1: an object leads only where its map is above its own average, else a missing one would lead in the background.
OWN_GAPS, OWN_FLOORS, READINGS = (0.1, 0.2, 0.3), (1.1, 1.6, 2.0, 2.5), ("commit", "final")
# A rule with fewer true cases has no say in how cells are read, and keeps its threshold: a handful of cases fits anything.
MIN_TRUE = 3
# Nor is a threshold taken for a rule that hardly tells true cases from false ones (area under the curve; 0.5 tells nothing) ...
MIN_AREA = 0.7
# ... or one that is right less often than this on the very data it was chosen on.
MIN_PRECISION = 1 / 3


def fit(judged: Sequence[Judged], start: Thresholds | None = None) -> Thresholds:
    """Thresholds that suit a model: reading and ownership by the areas under the curves, then each rule's cut by its F1.

    Args:
        judged: the half of the data to choose on.
        start: the rest of the settings; None = the defaults.

    Returns:
        The chosen thresholds. A rule with fewer than 3 true cases, with an area below 0.7, or that no cut makes right one time in three
        keeps its cut.
    """
    start = start or Thresholds()
    best, best_value = start, -np.inf
    for gap, floor, reading in itertools.product(OWN_GAPS, OWN_FLOORS, READINGS):
        tried = replace(start, own_gap=gap, own_floor=floor, evidence_at=reading)
        cases = [case for trace, verdict in judged for case in cases_of(trace, verdict, tried)]
        by_rule = [_scores(_of(cases, rule)) for rule in RULES]
        areas = [auc(score, truth) for score, truth in by_rule if truth.sum() >= MIN_TRUE]
        value = sum(max(area, 0.5) for area in areas if np.isfinite(area))
        if value > best_value:
            best_value, best = value, tried
    cases = [case for trace, verdict in judged for case in cases_of(trace, verdict, best)]
    for rule in RULES:
        of_rule = [case for case in _of(cases, rule) if not case.weak]
        enough = sum(case.truth for case in of_rule) >= MIN_TRUE and auc(*_scores(of_rule)) >= MIN_AREA
        cut = best_cut(of_rule) if enough else None
        if cut is not None:
            best = replace(best, **{CUTS[rule]: round(-cut if rule == "missing" else cut, 3)})
            if rule == "missing":  # what a place is worth the name decides what "twice" counts
                cases = [case for trace, verdict in judged for case in cases_of(trace, verdict, best)]
    return best


def best_cut(cases: Sequence[Case], precision: float = MIN_PRECISION) -> float | None:
    """The cut with the best F1 among those of enough precision, midway to the next score below it.

    Args:
        cases: of one rule.
        precision: 0..1, the least of it.

    Returns:
        The cut; None when all cases are true, none is, or no cut is precise enough.
    """
    score, truth = _scores(cases)
    if truth.all() or not truth.any():
        return None
    cuts = np.unique(score[np.isfinite(score)])
    if not len(cuts):
        return None
    named = score[None] >= cuts[:, None]
    hits, count = (named & truth).sum(axis=1), named.sum(axis=1)
    f1 = np.where(hits >= precision * count, 2 * hits / (count + truth.sum()), 0.0)
    best = int(f1.argmax())
    if f1[best] <= 0:
        return None
    return float(cuts[best] if best == 0 else (cuts[best] + cuts[best - 1]) / 2)


def halves(judged: Sequence[Judged]) -> tuple[list[Judged], list[Judged]]:
    """Two halves of the data that share no prompt: every other prompt in alphabetical order."""
    texts = sorted({trace.prompt.text for trace, _ in judged})
    first = set(texts[::2])
    return [j for j in judged if j[0].prompt.text in first], [j for j in judged if j[0].prompt.text not in first]


def _of(cases: Sequence[Case], rule: str) -> list[Case]:
    return [case for case in cases if case.rule == rule]


def _scores(cases: Sequence[Case]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([c.score for c in cases], float), np.array([c.truth for c in cases], bool)
