"""How far the diagnosis agrees with the detector: precision and recall of its rules, and the thresholds that suit a model.

    python -m uncage_demo.bench.diagnose_calibrate --seeds 0-3 --out calibration.json [--fit]

The detector's verdict stands for the truth here; it is a model's judgement, with an error of its own (model card). Intervals draw whole
prompts. With --fit, thresholds are chosen on one half of the prompts and everything is reported on the other half.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from uncage_demo.bench.scorers_detector import MIXTURE_OVERLAP, overlap
from uncage_demo.bench.statistics import Estimate, rate
from uncage_demo.diagnose import leak_score, missing_score, mixture_scores
from uncage_demo.diagnose_evidence import Thresholds, measure
from uncage_demo.trace import Trace
from uncage_demo.types import Verdict

RULES = ("missing", "mixture", "leak")
OWN_GAPS, OWN_FLOORS, READINGS = (0.1, 0.2, 0.3, 0.4), (0.0, 0.8, 1.0, 1.1, 1.3, 1.6), ("commit", "final")
BATCH = 16
Judged = tuple[Trace, Verdict]


@dataclass(frozen=True)
class Case:
    """One question a rule answers: is this object missing, are these two mixed, did this attribute go to that object?

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
    return {rule: agreement([c for c in cases if c.rule == rule], rule, _cut(rule, thresholds)) for rule in RULES}


def cases_of(trace: Trace, verdict: Verdict, thresholds: Thresholds) -> Iterator[Case]:
    """Every case of one judged trace.

    Truths: an object is missing when the detector did not find it; two objects are mixed when their two nouns were detected in one
    place (intersection over union >= 0.5); a colour leaked when another noun of the prompt, not asked to have it, was detected in it.
    """
    subjects = trace.prompt.subjects
    if len(verdict.objects_found) != len(subjects):
        raise ValueError(f"a verdict on {len(verdict.objects_found)} objects for a prompt with {len(subjects)}: {trace.prompt.text!r}")
    evidence = measure(trace, thresholds)
    if evidence is None:
        return
    weak, cluster = evidence.strength < thresholds.weak_strength, trace.prompt.text
    for index, found in enumerate(verdict.objects_found):
        if index not in evidence.silent:
            yield Case("missing", cluster, -missing_score(evidence, index, trace.grid), not found, weak)
    pairs = [(a, b) for a, b in itertools.combinations(verdict.detections, 2) if overlap(a, b) >= MIXTURE_OVERLAP]
    together = [{a.noun, b.noun} for a, b in pairs]
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
                seen = any(d.noun == rival.noun and d.color == color for d in verdict.detections)
                yield Case("leak", cluster, -np.inf if score is None else score, seen, weak)


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


def fit(judged: Sequence[Judged], start: Thresholds | None = None) -> Thresholds:
    """Thresholds that suit a model: reading and ownership by the area under the curve, then each rule's cut by its F1.

    Args:
        judged: the half of the data to choose on.
        start: the rest of the settings; None = the defaults.

    Returns:
        The chosen thresholds. A rule without true or without false cases keeps its cut.
    """
    best, best_value = start or Thresholds(), -np.inf
    for gap, floor, reading in itertools.product(OWN_GAPS, OWN_FLOORS, READINGS):
        tried = replace(best, own_gap=gap, own_floor=floor, evidence_at=reading, weak_strength=0.0)
        cases = [c for trace, verdict in judged for c in cases_of(trace, verdict, tried)]
        areas = [_area([c for c in cases if c.rule == rule]) for rule in RULES]
        weighted = [area * weight for area, weight in zip(areas, (2.0, 1.0, 1.0), strict=True) if np.isfinite(area)]
        if sum(weighted) > best_value:
            best_value, best = sum(weighted), replace(tried, weak_strength=best.weak_strength)
    cases = [c for trace, verdict in judged for c in cases_of(trace, verdict, best)]
    for rule in RULES:
        cut = best_cut([c for c in cases if c.rule == rule and not c.weak])
        if cut is not None:
            name = {"missing": "missing_share", "mixture": "mixture_mix", "leak": "leak_share"}[rule]
            best = replace(best, **{name: float(np.clip(-cut if rule == "missing" else cut, 0.0, 1.0))})
    return best


def _area(cases: Sequence[Case]) -> float:
    return auc(np.array([c.score for c in cases], float), np.array([c.truth for c in cases], bool))


def best_cut(cases: Sequence[Case]) -> float | None:
    """The score threshold with the best F1; None when all cases are true, or none is."""
    truth = np.array([c.truth for c in cases], bool)
    score = np.array([c.score for c in cases], float)
    if truth.all() or not truth.any():
        return None
    cuts = np.unique(score[np.isfinite(score)])
    if not len(cuts):
        return None
    named = score[None] >= cuts[:, None]
    hits = (named & truth).sum(axis=1)
    f1 = 2 * hits / (named.sum(axis=1) + truth.sum())
    return float(cuts[int(f1.argmax())])


def halves(judged: Sequence[Judged]) -> tuple[list[Judged], list[Judged]]:
    """Two halves of the data that share no prompt: every other prompt in alphabetical order."""
    texts = sorted({trace.prompt.text for trace, _ in judged})
    first = set(texts[::2])
    return [j for j in judged if j[0].prompt.text in first], [j for j in judged if j[0].prompt.text not in first]


def table(result: dict[str, Agreement]) -> str:
    """The agreements as a Markdown table."""

    def show(estimate: Estimate | None) -> str:
        return "–" if estimate is None else f"{estimate.value:.0%} [{estimate.low:.0%}, {estimate.high:.0%}]"

    lines = ["| rule | precision | recall | at random | area | cases | true | named |", "|---|---|---|---|---|---|---|---|"]
    for a in result.values():
        numbers = [f"{a.base_rate:.0%}", f"{a.auc:.2f}", str(a.cases), str(a.positives), str(a.named)]
        cells = [a.rule, show(a.precision), show(a.recall), *numbers]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cut(rule: str, thresholds: Thresholds) -> float:
    return {"missing": -thresholds.missing_share, "mixture": thresholds.mixture_mix, "leak": thresholds.leak_share}[rule]


def _generate(args: argparse.Namespace) -> list[Judged]:
    """Traces and verdicts of the prompts asked for, several decoded together."""
    from uncage_demo.backends import load_backend
    from uncage_demo.bench.commands import gather_prompts, parse_seeds
    from uncage_demo.decoding.config import DecodingConfig
    from uncage_demo.decoding.run import Run
    from uncage_demo.prompt import parse_prompt
    from uncage_demo.runner import stream

    backend = load_backend(args.model, device=args.device)
    prompts = [parse_prompt(p.text, backend) for p in gather_prompts(args.suite, [], False, "all", None)][:: args.every]
    steps = args.steps or backend.info.default_steps
    runs = [
        Run(prompt, DecodingConfig(order=order, num_steps=steps, seed=seed))
        for prompt in prompts
        for seed in parse_seeds(args.seeds)
        for order in args.order.split(",")
    ]
    judged: list[Judged] = []
    for first in range(0, len(runs), BATCH):
        traces = None
        for progress in stream(backend, runs[first : first + BATCH], frames=False):
            traces = progress.traces
        for trace in traces or ():
            verdict = backend.judge(trace, trace.prompt)
            if verdict is None:
                raise ValueError(f"model {backend.info.id!r} has no detector: there is nothing to calibrate against")
            judged.append((trace, verdict))
        print(f"{len(judged)} of {len(runs)} pictures", file=sys.stderr, end="\r", flush=True)
    print(file=sys.stderr)
    return judged


def main(argv: Sequence[str] | None = None) -> int:
    """Generate, judge, measure, print; returns the exit code."""
    parser = argparse.ArgumentParser(prog="diagnose_calibrate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--suite", action="append", default=[], help="prompts (repeatable; default: attend-excite)")
    parser.add_argument("--every", type=int, default=1, metavar="K", help="only every K-th prompt (default: all)")
    parser.add_argument("--seeds", default="0-1", help='"0-3" or "0,2,5" (default: 0-1)')
    parser.add_argument("--order", default="meissonic", help="orders, separated by commas (default: meissonic)")
    parser.add_argument("--steps", type=int, help="number of steps (default: the model's)")
    parser.add_argument("--fit", action="store_true", help="choose thresholds on half of the prompts, report on the other half")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="also write the numbers")
    args = parser.parse_args(argv)
    if args.every < 1:
        parser.error(f"--every {args.every}: give a whole number from 1")
    try:
        judged = _generate(args)
    except ValueError as error:
        parser.error(str(error))
    thresholds, reported = Thresholds(), judged
    if args.fit:
        chosen, reported = halves(judged)
        thresholds = fit(chosen)
        print(f"chosen on {len(chosen)} pictures: {thresholds}")
    result = calibrate(reported, thresholds)
    print(f"on {len(reported)} pictures of {args.model}, order {args.order}, seeds {args.seeds}")
    print(table(result))
    if args.out:
        data: dict[str, Any] = {
            "thresholds": asdict(thresholds),
            "pictures": len(reported),
            "weights": reported[0][0].model.weight_hash,
            "order": args.order,
            "seeds": args.seeds,
            "every": args.every,
            "fitted": args.fit,
            "rules": {rule: asdict(a) for rule, a in result.items()},
        }
        args.out.write_text(json.dumps(_finite(data), indent=1) + "\n", encoding="utf-8")
    return 0


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    return None if isinstance(value, float) and not np.isfinite(value) else value


if __name__ == "__main__":
    raise SystemExit(main())
