"""Diagnosis in words: what went wrong in a decoding run, when it was decided, and where to look. A pure function of the trace.

Rules (the numbers are in `Thresholds`; what is measured is in diagnose_evidence.py, what is said in diagnose_rules.py):
- **missing**: an object never led in a connected patch of cells worth the name, reading each cell when it was committed.
- **faint**: it has such cells, but the model chose their tokens almost as unsurely as those of the background.
- **twice**: the cells an object leads in fall into two halves that lie apart, as two things do and one does not.
- **mixture**: the cells of two objects interleave, or their words look at the same place.
- **leak**: the map of an attribute is stronger on another object's cells than on its own object's.
- **decided**: the first step from which on an object's cells stayed what they are at the end.
- **guidance**: how many picks the contrast term changed; none is worth knowing.
- **weak**: the maps tell the objects apart too little (or were not recorded): then nothing is claimed about objects.
- **clear**: none of the above problems was seen.
- **detector**: what a scorer sees wrong in the finished picture, and whether the attention shows it, too (diagnosis/detector.py).

Attention is evidence, not proof: a picture can fail without a trace of it in the maps, and the reverse. A statement just past its threshold
begins with "Perhaps" and says that its evidence is weak, and so does every statement of a rule that was measured to be wrong more often
than right. Thresholds are fitted to a detector's verdicts on pictures of the shipped model by

    python -m uncage_demo calibrate --fit --write

which writes assets/diagnosis/: calibration.json, read here, and README.md with the measured precision and recall of every rule, on the
pictures it was fitted to and on others. With `--model NAME` it does so for another world, beside the first one's (calibration-NAME.json,
calibration-NAME.md). On traces of weights that nothing was fitted to, the first world's thresholds serve, and nothing is called strong
evidence.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from uncage_demo.diagnosis import rules
from uncage_demo.diagnosis.detector import with_verdict
from uncage_demo.diagnosis.evidence import Thresholds, measure
from uncage_demo.diagnosis.findings import Divergence, Finding, divergence, name_of
from uncage_demo.trace.record import Trace
from uncage_demo.types import ModelInfo, Verdict

__all__ = ["Calibration", "Divergence", "Finding", "Thresholds", "calibration", "calibration_of", "diagnose", "divergence"]

from uncage_demo.shipped import CALIBRATION

# A rule may call its evidence strong when it was right this often, in at least so many named cases.
SURE, MIN_NAMED = 0.8, 10
_RANK = {"problem": 0, "warning": 1, "info": 2}


@dataclass(frozen=True)
class Calibration:
    """What was measured on pictures of one model.

    Args:
        thresholds: the fitted ones.
        model: (id, weight hash) they were fitted to; ("", "") = to none.
        trust: the best that may be said of each rule's evidence, by its measured precision.
    """

    thresholds: Thresholds = field(default_factory=Thresholds)
    model: tuple[str, str] = ("", "")
    trust: Mapping[str, str] = field(default_factory=dict)


@cache
def calibration(path: Path = CALIBRATION) -> Calibration:
    """The calibration in force; the default thresholds where none is installed.

    Raises:
        ValueError: the file holds something else; it names the file.
    """
    if not path.exists():
        return Calibration()
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        known = {known.name for known in fields(Thresholds)}
        fitted = Thresholds(**{name: value for name, value in data["thresholds"].items() if name in known})
        trust = {rule: _trust(told["named"], (told["precision"] or {"value": 0.0})["value"]) for rule, told in data["rules"].items()}
        return Calibration(fitted, (str(data["model"]), str(data["weights"])), trust)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path.name} is no calibration of the diagnosis ({error}); `calibrate --fit --write` makes one") from error


@cache
def calibrations(folder: Path = CALIBRATION.parent) -> Mapping[tuple[str, str], Calibration]:
    """Every calibration of a folder by (model id, weight hash).

    Raises:
        ValueError: a file holds something else; it names the file.
    """
    found = [calibration(path) for path in sorted(folder.glob("calibration*.json"))]
    return {each.model: each for each in found}


def calibration_of(model: ModelInfo) -> Calibration:
    """The calibration that was fitted to a model's weights; where there is none, the first world's, whose `model` then is another."""
    return calibrations().get((model.id, model.weight_hash), calibration())


def _trust(named: int, precision: float) -> str:
    """The best level of evidence of a rule that was right this often (0..1) in as many named cases."""
    if named < MIN_NAMED:
        return "moderate evidence"
    return "strong evidence" if precision >= SURE else "moderate evidence" if precision >= 0.5 else "weak evidence"


def diagnose(trace: Trace, verdict: Verdict | None = None, *, thresholds: Thresholds | None = None) -> list[Finding]:
    """What happened to the objects of a run, problems first.

    Args:
        trace: a finished or partial run.
        verdict: what a scorer says of the finished picture; where there is one, the diagnosis tells what it sees and never contradicts it.
        thresholds: what the rules decide by; None = the fitted ones, and then no statement is called better evidence than its rule was
            measured to be, nor strong evidence on a model that nothing was fitted to.

    Returns:
        Findings; never empty for a trace with subjects. Without subjects or attention, it says that nothing can be said.
    """
    findings = _of_attention(trace, thresholds)
    if verdict is not None:
        findings = with_verdict(trace, findings, verdict)
    return sorted(findings, key=lambda f: _RANK[f.severity])


def _of_attention(trace: Trace, thresholds: Thresholds | None) -> list[Finding]:
    """What the attention of a run shows."""
    trust: Mapping[str, str] = {}
    if thresholds is None:
        fitted = calibration_of(trace.model)
        thresholds, trust = fitted.thresholds, {"clear": "moderate evidence", **fitted.trust}
        if fitted.model != (trace.model.id, trace.model.weight_hash):
            trust = {
                kind: min(trust.get(kind, "moderate evidence"), "moderate evidence", key=rules.LEVELS.index) for kind in rules.MEASURED
            }
    evidence = measure(trace, thresholds)
    findings = [*rules.redraw(trace), *rules.taken_back(trace), *rules.guidance(trace)]
    if evidence is None:
        why = "the prompt has no objects to follow" if not trace.prompt.subjects else "no attention was recorded in this run"
        return [Finding("weak", f"Nothing can be said about objects: {why}.", "info", layer="picture"), *findings]
    for index in evidence.silent:
        text = f"Nothing can be said about {name_of(trace, index)}: attention to its words was not recorded."
        findings.append(Finding("weak", text, "info", (index,), index, layer="picture"))
    weak = evidence.strength < thresholds.weak_strength
    last = trace.steps[evidence.steps[-1]].step
    problems = rules.mixtures(trace, evidence, thresholds)
    if not weak:
        lost = rules.missing(trace, evidence, thresholds)
        problems = [*lost, *rules.faint(trace, evidence, thresholds), *rules.twice(trace, evidence, thresholds), *problems]
        problems += rules.leaks(trace, evidence, thresholds)
        findings += rules.decided(trace, evidence, thresholds, {f.subject for f in lost})
    findings += problems
    if weak and not problems:
        text = "The attention maps hardly tell the objects apart" if len(trace.prompt.subjects) > 1 else "The attention map is almost flat"
        text += f" (lead {evidence.strength:.2f}, needed {thresholds.weak_strength:.2f}), so nothing is said of what went wrong."
        numbers = {"strength": evidence.strength}
        findings.append(Finding("weak", text, step=last, evidence=numbers, confidence="weak evidence"))
    elif not problems:
        text = "The attention shows no problem: every object has its own position and no colour attends to another object. "
        text += "The picture can still be wrong."
        everyone = tuple(range(len(trace.prompt.subjects)))
        level = rules.evidence_level(evidence, thresholds, 1.0)
        findings.append(Finding("clear", text, subjects=everyone, step=last, confidence=level))
    return [rules.limited(f, trust.get(f.kind, "strong evidence")) for f in findings]
