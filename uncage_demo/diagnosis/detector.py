"""What a detector saw, said beside what the attention shows, so that the diagnosis never contradicts the verdict.

Where a verdict exists it decides what is wrong with the picture: each fault that it names becomes a finding, which says whether the
attention shows it, too. What the attention suggests about an object that the detector finds right is kept, as a hint that the detector
does not confirm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from uncage_demo.diagnosis.findings import Finding, middle_of, name_of
from uncage_demo.prompt.judging import counted, in_words, match, plural, side_of
from uncage_demo.trace.record import Trace
from uncage_demo.types import FoundObject, Verdict

# What each kind of finding from the attention says about its object
_LOST, _TWICE, _COLOR, _SHAPE = {"missing", "faint"}, {"twice"}, {"leak"}, {"mixture"}
_CLAIMS = _LOST | _TWICE | _COLOR | _SHAPE
_SHOWN, _NOT_SHOWN = "The attention shows it, too.", "The attention does not show it."


def with_verdict(trace: Trace, findings: Sequence[Finding], verdict: Verdict) -> list[Finding]:
    """The findings of a run's attention brought in line with a verdict on its picture.

    Args:
        trace: the run.
        findings: what the attention says (`diagnose` without a verdict).
        verdict: what the detector says of the finished picture.

    Returns:
        The detector's findings, then the attention's: never "clear" where the detector sees a fault, and nothing called a problem that the
        detector sees otherwise (an object that it finds, called missing; one that it sees once or not at all, called drawn twice).
    """
    told = _faults(trace, verdict, findings)
    kept = []
    for finding in findings:
        if finding.kind == "clear" and not verdict.all_correct:
            continue
        if finding.kind == "clear":
            text = "No problem seen, by the attention or by the detector: every object has its own position and its own colour."
            finding = replace(finding, text=text)
        elif finding.severity != "info" and (denied := _denied(trace, finding, verdict)):
            finding = replace(finding, severity="info", text=f"{finding.text} {denied}")
        kept.append(finding)
    if verdict.all_correct and not any(finding.kind == "clear" for finding in kept):
        step = trace.steps[-1].step
        kept.append(Finding("detector", "The detector finds every object and colour right.", "info", step=step, layer="picture"))
    return [*told, *kept]


def contradictions(trace: Trace, findings: Sequence[Finding], verdict: Verdict) -> list[str]:
    """Sentences of a run's diagnosis that contradict a verdict; none in what `with_verdict` returns."""
    said = [f.text for f in findings if f.severity != "info" and _denied(trace, f, verdict)]
    if not verdict.all_correct:
        said += [f.text for f in findings if f.kind == "clear"]
        said += [] if any(f.kind == "detector" and f.severity == "problem" for f in findings) else ["the detector's fault is not told"]
    return list(dict.fromkeys(said))


def _denied(trace: Trace, finding: Finding, verdict: Verdict) -> str:
    """What the detector says against a claim of the attention; "" where it says nothing against it."""
    if finding.kind not in _CLAIMS or not finding.subjects:
        return ""
    subjects, owner = trace.prompt.subjects, finding.subjects[0]
    matched = match(subjects, verdict.detections)
    too_many = {verdict.detections[i].noun for i in matched.left}
    several = not verdict.detections and bool(verdict.extra_objects)  # an older verdict: it does not say of what there is too much
    right = [verdict.objects_found[i] and verdict.colors_right[i] for i in finding.subjects]
    if all(right) and not several and not any(subjects[i].noun in too_many for i in finding.subjects):
        one = all(subjects[i].count == 1 for i in finding.subjects) and finding.kind not in _SHAPE
        return f"The detector sees nothing wrong with {'it' if one else 'them'}."
    found = verdict.objects_found[owner]
    if finding.kind in _LOST and found:
        return f"The detector sees {'it' if subjects[owner].count == 1 else 'them'}."
    if finding.kind in _TWICE and not several and subjects[owner].noun not in too_many:
        return "The detector sees only one." if found else "The detector does not see it at all."
    if finding.kind in _COLOR and all(right):
        return "The detector finds its colour right."
    return ""


def _faults(trace: Trace, verdict: Verdict, findings: Sequence[Finding]) -> list[Finding]:
    """One finding for each thing that the detector sees wrong."""
    subjects, found = trace.prompt.subjects, verdict.detections
    matched = match(subjects, found)
    faults = []
    for index, subject in enumerate(subjects):
        own = [found[i] for i in matched.own[index]]
        if not verdict.objects_found[index]:
            seen = (
                f"no {subject.label or subject.noun}"
                if subject.count == 1
                else f"{in_words(len(own))} of {in_words(subject.count)} {plural(subject.noun)}"
            )
            faults.append(_fault(trace, f"The detector sees {seen}.", (index,), own, findings, _LOST | _SHAPE))
        elif not verdict.colors_right[index]:
            wrong = [d for d in own if subject.colors and d.color not in subject.colors]
            color = " and ".join(dict.fromkeys(d.color or "its usual colour" for d in wrong)) or "another colour"
            text = f"The detector sees {name_of(trace, index)} in {color}."
            faults.append(_fault(trace, text, (index,), wrong, findings, _COLOR | _SHAPE))
    by_noun: dict[str, list[FoundObject]] = {}
    for i in matched.left:
        by_noun.setdefault(found[i].noun, []).append(found[i])
    for noun, extra in by_noun.items():
        about = tuple(i for i, subject in enumerate(subjects) if subject.noun == noun)
        where = " and ".join(dict.fromkeys(side_of(d) for d in extra))
        number = in_words(len(extra)) if len(extra) < 7 else str(len(extra))
        name = noun if len(extra) == 1 else plural(noun)
        what = f"{number} {name} too many" if about else f"{number} {name} that nobody asked for"
        faults.append(_fault(trace, f"The detector sees {what} {where}.", about, extra, findings, _TWICE | _SHAPE))
    if len(matched.left) != verdict.extra_objects and verdict.extra_objects:
        text = f"The detector sees {counted(verdict.extra_objects, 'object')} too many."
        faults.append(_fault(trace, text, (), [], findings, _TWICE))
    for wish in verdict.wishes:
        if not wish.met:
            text = f"The detector does not see this: {wish.label}. The attention says nothing about it."
            faults.append(Finding("detector", text, "problem", step=trace.steps[-1].step, layer="picture"))
    if not verdict.all_correct and not faults:
        faults.append(
            Finding("detector", "The detector says that the picture is not right.", "problem", step=trace.steps[-1].step, layer="picture")
        )
    return faults


def _fault(
    trace: Trace, text: str, about: tuple[int, ...], seen: Sequence[FoundObject], findings: Sequence[Finding], shown_by: set[str]
) -> Finding:
    """A fault with the cells of what is seen, and whether a finding from the attention says the same."""
    shown = any(f.kind in shown_by and f.subject in about for f in findings)
    cells = tuple(sorted({cell for detection in seen for cell in cells_of(trace, detection)}))
    middle = middle_of(tuple(cells_of(trace, seen[0])), trace.grid) if seen else -1
    said = f"{text} {_SHOWN if shown else _NOT_SHOWN}"
    subject = about[0] if about else -1
    return Finding("detector", said, "problem", about, subject, -1, trace.steps[-1].step, "picture", cells, middle)


def cells_of(trace: Trace, found: FoundObject) -> list[int]:
    """Cells whose middle lies in a detection's box."""
    height, width = trace.grid
    y, x = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    rows, columns = np.flatnonzero((y >= found.box[0]) & (y <= found.box[2])), np.flatnonzero((x >= found.box[1]) & (x <= found.box[3]))
    return [int(row) * width + int(column) for row in rows for column in columns]
