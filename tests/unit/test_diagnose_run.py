"""Diagnosis of a run as a whole: guidance, where two runs part, missing records, and findings as plain data."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest

from tests.factories import make_trace
from tests.painted import EXACT, LEFT, RIGHT, STEPS, kinds, of_kind, painted
from uncage_demo.diagnosis.diagnose import diagnose, divergence
from uncage_demo.diagnosis.evidence import swapped_picks


def test_no_attention_and_no_subjects_are_said_plainly() -> None:
    silent = make_trace(attention=False, order="confidence")
    assert "no attention was recorded" in diagnose(silent)[0].text
    empty = make_trace(order="confidence")
    empty.prompt = replace(empty.prompt, subjects=())
    assert "no objects to follow" in diagnose(empty)[0].text
    partly = make_trace(order="confidence")
    turtle = partly.prompt.words[1].tokens[0]
    keep = [k for k, token in enumerate(partly.columns) if token != turtle]
    partly.columns = tuple(partly.columns[k] for k in keep)
    for record in partly.steps:
        assert record.attention is not None
        record.attention = record.attention[keep]
    findings = diagnose(partly)
    assert any(f.kind == "weak" and f.subject == 0 for f in findings)
    assert not any(f.kind in ("missing", "mixture", "decided") and 0 in f.subjects for f in findings)


def test_attention_at_some_steps_only() -> None:
    trace = painted("a turtle and an apple", lambda _: {"turtle": LEFT, "apple": RIGHT})
    for record in trace.steps[1::2]:
        record.attention = None
    findings = diagnose(trace, thresholds=EXACT)
    assert kinds(findings) == ["decided", "decided", "clear"]
    assert findings[-1].step == STEPS - 2


def test_guidance_that_changed_picks_and_guidance_that_did_not() -> None:
    trace = make_trace(order="uncage")
    changes = swapped_picks(trace)
    assert set(changes) == {0, 1}  # a quarter of 8 steps
    for step, count in changes.items():
        record = trace.steps[step]
        plain = np.where(record.masked_before, record.confidence + record.noise, -np.inf)
        picks = set(np.argsort(-plain, kind="stable")[: int(record.committed.sum())].tolist())
        assert count == len(picks - set(np.flatnonzero(record.committed).tolist()))
    assert sum(changes.values()) > 0
    finding = of_kind(diagnose(trace), "guidance")[0]
    assert finding.evidence["changed"] == sum(changes.values())
    assert finding.layer == "contrast"
    assert not of_kind(diagnose(make_trace(order="confidence")), "guidance")


def test_idle_guidance_is_a_warning() -> None:
    trace = make_trace(order="uncage")
    for record in trace.steps:
        record.contrast[:] = 0
        record.scores = np.where(record.committed, 1.0, np.where(record.masked_before, 0.0, -np.inf)).astype(np.float32)
    finding = of_kind(diagnose(trace), "guidance")[0]
    assert "made no difference" in finding.text
    assert finding.severity == "warning"


def test_problems_come_first_and_findings_are_plain_data() -> None:
    trace = painted("a turtle and a pink apple", lambda _: {"turtle": LEFT, "apple": RIGHT, "pink": LEFT}, order="uncage")
    findings = diagnose(trace, thresholds=EXACT)
    ranks = [["problem", "warning", "info"].index(f.severity) for f in findings]
    assert ranks == sorted(ranks)
    for f in findings:
        assert f.text
        assert f.step is None or 0 <= f.step < STEPS
        assert f.layer in ("picture", "order", "object", "word", "contrast", "difference")
        assert all(isinstance(c, int) and 0 <= c < 144 for c in f.cells)
        assert all(isinstance(v, float) and np.isfinite(v) for v in f.evidence.values())
    assert diagnose(trace, thresholds=EXACT) == findings


def test_the_trace_is_left_as_it_was() -> None:
    trace = make_trace()
    before = copy.deepcopy(trace)
    diagnose(trace)
    for old, new in zip(before.steps, trace.steps, strict=True):
        assert old.attention is not None
        assert new.attention is not None
        np.testing.assert_array_equal(old.attention, new.attention)
        np.testing.assert_array_equal(old.scores, new.scores)


def test_divergence_finds_the_first_different_commit() -> None:
    first, second = make_trace(seed=1), make_trace(seed=1)
    assert divergence(first, second).step is None
    assert "no difference" in divergence(first, second).finding.text
    cell = int(np.flatnonzero(second.unmask_step.reshape(-1) == 5)[0])
    second.tokens.reshape(-1)[cell] += 1
    parted = divergence(first, second)
    assert (parted.step, parted.cells) == (5, (cell,))
    assert parted.differing == pytest.approx(1 / 144)
    assert "at step 6, in 1 cell" in parted.finding.text
    late = int(np.flatnonzero(second.unmask_step.reshape(-1) == 4)[0])
    second.unmask_step.reshape(-1)[late] = 2
    assert divergence(first, second).step == 2
    assert divergence(second, first).step == 2
    with pytest.raises(ValueError, match=r"grids \(12, 12\) and \(6, 6\)"):
        divergence(first, make_trace(grid=(6, 6)))
