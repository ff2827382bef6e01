"""Cases of the diagnosis against a detector: which question each rule answers, what the detector says, and how well the two agree.

The detector's verdict stands for the truth here; it is a model's judgement, with an error of its own (model card).
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from uncage_demo.bench.scorers_detector import MIXTURE_OVERLAP, overlap
from uncage_demo.bench.statistics import Estimate, rate
from uncage_demo.diagnosis.evidence import Evidence, Thresholds, measure
from uncage_demo.diagnosis.rules import faint_score, leak_score, least_cells, missing_score, mixture_scores, twice_score
from uncage_demo.trace.record import Trace
from uncage_demo.types import Verdict

# Rule -> the threshold it speaks by; missing speaks below its threshold, the others above.
CUTS = {"missing": "missing_share", "faint": "faint_doubt", "twice": "twice_spread", "mixture": "mixture_mix", "leak": "leak_share"}
RULES = tuple(CUTS)
Judged = tuple[Trace, Verdict]


@dataclass(frozen=True)
class Case:
    """One question a rule answers: is this object missing, drawn twice, are these two mixed, did this attribute go to that object?

    Args:
        rule: one of RULES.
        cluster: the prompt's text.
        score: the more, the more the rule believes it.
        truth: what the detector says.
        weak: the diagnosis would stay silent (too little evidence).
    """

    rule: str
    cluster: str
    score: float
    truth: bool
    weak: bool


@dataclass(frozen=True)
class Agreement:
    """How one rule agrees with the detector.

    Args:
        rule, threshold: the rule, and the score from which on it fires.
        precision: of the cases it names, how many the detector confirms; None when it names none.
        recall: of the cases the detector sees, how many it names; None when there are none.
        base_rate: share of cases the detector sees: the precision of naming cases at random.
        auc: probability that a true case scores above a false one, 0..1; nan where one kind is absent.
        cases, positives, named, silent: numbers of cases: all, true, named, and not judged for weak evidence.
    """

    rule: str
    threshold: float
    precision: Estimate | None
    recall: Estimate | None
    base_rate: float
    auc: float
    cases: int
    positives: int
    named: int
    silent: int


def calibrate(judged: Iterable[Judged], thresholds: Thresholds | None = None) -> dict[str, Agreement]:
    """Precision and recall of the missing, mixture and leak rules against detector verdicts.

    Args:
        judged: traces with recorded attention, and the detector's verdicts on their pictures.
        thresholds: what the rules decide by; None = the defaults.

    Returns:
        {rule: Agreement}.

    Raises:
        ValueError: no traces, or a verdict that does not fit its prompt.
    """
    thresholds = thresholds or Thresholds()
    cases = [case for trace, verdict in judged for case in cases_of(trace, verdict, thresholds)]
    if not cases:
        raise ValueError("nothing to calibrate on: no trace with subjects and recorded attention")
    return {rule: agreement([c for c in cases if c.rule == rule], rule, cut_of(rule, thresholds)) for rule in RULES}


def cases_of(trace: Trace, verdict: Verdict, thresholds: Thresholds) -> Iterator[Case]:
    """Every case of one judged trace.

    Truths: an object is missing or faint when the detector did not find it; drawn twice when its noun, asked for once, was detected more
    often; two objects are mixed when their two nouns were detected in one place (intersection over union >= 0.5, or one half
    seen in the other); a colour leaked when another noun of the prompt, not asked to have it, was detected in it.

    Raises:
        ValueError: a verdict that does not fit its prompt.
    """
    subjects = trace.prompt.subjects
    if len(verdict.objects_found) != len(subjects):
        raise ValueError(f"a verdict on {len(verdict.objects_found)} objects for a prompt with {len(subjects)}: {trace.prompt.text!r}")
    evidence = measure(trace, thresholds)
    if evidence is None:
        return
    weak, cluster = evidence.strength < thresholds.weak_strength, trace.prompt.text
    asked = Counter(subject.noun for subject in subjects for _ in range(subject.count))
    seen = Counter(detection.noun for detection in verdict.detections)
    least = least_cells(thresholds, evidence.cells.size)
    for index, (subject, found) in enumerate(zip(subjects, verdict.objects_found, strict=True)):
        if index in evidence.silent:
            continue
        yield Case("missing", cluster, -missing_score(evidence, index, trace.grid), not found, weak)
        doubt = faint_score(evidence, index)
        yield Case("faint", cluster, -np.inf if doubt is None else doubt, not found, weak)
        if asked[subject.noun] == 1:
            yield Case("twice", cluster, twice_score(evidence.cells, index, trace.grid, least), seen[subject.noun] > 1, weak)
    yield from _pairs(trace, verdict, evidence, cluster, weak)


def _pairs(trace: Trace, verdict: Verdict, evidence: Evidence, cluster: str, weak: bool) -> Iterator[Case]:
    """The cases that concern two objects: mixtures and leaks."""
    subjects = trace.prompt.subjects
    pairs = [(a, b) for a, b in itertools.combinations(verdict.detections, 2) if overlap(a, b) >= MIXTURE_OVERLAP]
    together = [{a.noun, b.noun} for a, b in pairs] + [{d.noun, d.rival} for d in verdict.detections if d.rival]
    for a, b in itertools.combinations(range(len(subjects)), 2):
        nouns = {subjects[a].noun, subjects[b].noun}
        if len(nouns) == 2 and a not in evidence.silent and b not in evidence.silent:
            yield Case("mixture", cluster, mixture_scores(evidence, a, b, trace.grid)[0], nouns in together, weak)
    for owner, subject in enumerate(subjects):
        for number in range(len(subject.attributes) if len(subject.colors) == len(subject.attributes) else 0):
            color = subject.colors[number]
            for other, rival in enumerate(subjects):
                if other == owner or rival.noun == subject.noun or color in rival.colors:
                    continue
                score = leak_score(evidence, owner, number, other)
                leaked = any(d.noun == rival.noun and d.color == color for d in verdict.detections)
                yield Case("leak", cluster, -np.inf if score is None else score, leaked, weak)


def cut_of(rule: str, thresholds: Thresholds) -> float:
    """The score from which on a rule speaks."""
    value = getattr(thresholds, CUTS[rule])
    return -value if rule == "missing" else value


def agreement(cases: Sequence[Case], rule: str, threshold: float) -> Agreement:
    """Precision, recall and area under the curve of one rule over its cases."""
    truth = np.array([c.truth for c in cases], bool)
    score = np.array([c.score for c in cases], float)
    weak = np.array([c.weak for c in cases], bool)
    clusters = [c.cluster for c in cases]
    named = (score >= threshold) & ~weak

    def estimate(hits: np.ndarray, among: np.ndarray) -> Estimate | None:
        chosen = np.flatnonzero(among)
        return rate(hits[chosen].astype(float), [clusters[i] for i in chosen]) if len(chosen) else None

    return Agreement(
        rule,
        threshold,
        estimate(truth, named),
        estimate(named, truth),
        float(truth.mean()) if len(cases) else float("nan"),
        auc(score, truth),
        len(cases),
        int(truth.sum()),
        int(named.sum()),
        int(weak.sum()),
    )


def auc(score: np.ndarray, truth: np.ndarray) -> float:
    """Probability that a true case scores above a false one, ties counting half; nan where one kind is absent."""
    true, false = np.sort(score[truth]), np.sort(score[~truth])
    if not len(true) or not len(false):
        return float("nan")
    below = np.searchsorted(false, true, "left") + np.searchsorted(false, true, "right")
    return float(below.sum() / (2 * len(true) * len(false)))
