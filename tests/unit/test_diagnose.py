"""Diagnosis: every rule on traces whose maps are drawn by hand, and what it must not say."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.factories import make_trace
from uncage_demo.diagnose import Finding, Thresholds, diagnose, divergence
from uncage_demo.diagnose_evidence import largest_patch, leak, mix, overlap, peakedness, settled_at, swapped_picks
from uncage_demo.trace import Trace

GRID = (12, 12)
STEPS = 8
EXACT = Thresholds(smooth_steps=1)
Painter = Callable[[int], dict[str, np.ndarray]]


def box(top: int, left: int, height: int = 5, width: int = 5) -> np.ndarray:
    """A "n" bool mask of a rectangle."""
    field = np.zeros(GRID, bool)
    field[top : top + height, left : left + width] = True
    return field.reshape(-1)


LEFT, RIGHT, NOTHING = box(3, 0), box(3, 7), np.zeros(GRID, bool).reshape(-1)


def painted(text: str, paint: Painter, *, order: str = "confidence", seed: int = 0) -> Trace:
    """A trace whose word maps are bright (0.12 over 0.02) where `paint(step)` says, flat for other words."""
    trace = make_trace(seed, GRID, STEPS, text, order=order, frames=False)
    for record in trace.steps:
        assert record.attention is not None
        record.attention[:] = 0.02
        for name, mask in paint(record.step).items():
            index = [w.text for w in trace.prompt.words].index(name)
            record.attention[list(trace.prompt.words[index].tokens)] = np.where(mask, 0.12, 0.02)
    return trace


def kinds(findings: list[Finding]) -> list[str]:
    return [f.kind for f in findings]


def of_kind(findings: list[Finding], kind: str) -> list[Finding]:
    return [f for f in findings if f.kind == kind]


def test_two_objects_side_by_side_are_clear() -> None:
    findings = diagnose(painted("a turtle and a pink apple", lambda _: {"turtle": LEFT, "apple": RIGHT, "pink": RIGHT}), EXACT)
    assert kinds(findings) == ["decided", "decided", "clear"]
    assert findings[-1].confidence == "strong evidence"
    assert all(f.step == 0 for f in of_kind(findings, "decided"))


def test_missing_object_is_named_with_its_evidence() -> None:
    trace = painted("a turtle and a pink apple", lambda _: {"turtle": RIGHT, "apple": NOTHING, "pink": NOTHING})
    missing = of_kind(diagnose(trace, EXACT), "missing")
    assert [f.subject for f in missing] == [1]
    finding = missing[0]
    assert finding.severity == "problem"
    assert finding.text.startswith("“pink apple” never got cells")
    assert "none of 144 cells" in finding.text
    assert finding.evidence["share"] == 0.0
    assert finding.layer == "object"
    assert "clear" not in kinds(diagnose(trace, EXACT))


def test_scattered_cells_do_not_make_an_object() -> None:
    scattered = np.zeros(144, bool)
    scattered[[0, 30, 61, 99, 134]] = True
    trace = painted("a turtle and an apple", lambda _: {"turtle": LEFT, "apple": scattered})
    finding = of_kind(diagnose(trace, EXACT), "missing")[0]
    assert finding.cells == (0, 30, 61, 99, 134)
    assert "5 cells of 144, never 5 together" in finding.text
    joined = painted("a turtle and an apple", lambda _: {"turtle": LEFT, "apple": box(9, 0, 1, 5)})
    assert not of_kind(diagnose(joined, EXACT), "missing")


def test_an_object_that_lost_its_cells_is_told_with_the_step() -> None:
    def paint(step: int) -> dict[str, np.ndarray]:
        return {"turtle": LEFT | RIGHT if step >= 2 else LEFT, "apple": RIGHT if step < 2 else NOTHING}

    trace = painted("a turtle and an apple", paint)
    trace.unmask_step[:] = STEPS - 1  # every cell is read at the end
    finding = of_kind(diagnose(trace, EXACT), "missing")[0]
    assert finding.subject == 1
    assert "25 cells at step 1 and lost them" in finding.text
    assert finding.step == 0
    early = painted("a turtle and an apple", paint)
    early.unmask_step[:] = 0  # the same maps, but all cells were committed while it had them
    assert not of_kind(diagnose(early, EXACT), "missing")
    assert of_kind(diagnose(early, replace(EXACT, evidence_at="final")), "missing")


def test_missing_object_names_who_took_its_place() -> None:
    """The apple's word looks where the turtle's word looks more."""
    trace = painted("a turtle and an apple", lambda _: {"turtle": LEFT})
    for record in trace.steps:
        assert record.attention is not None
        record.attention[6 - 1] = np.where(LEFT, 0.03, 0.02)  # the apple's token
    finding = of_kind(diagnose(trace, EXACT), "missing")[0]
    assert finding.subjects == (1, 0)
    assert "“turtle” led" in finding.text


def test_interleaved_objects_are_a_mixture() -> None:
    field = np.indices(GRID).sum(axis=0).reshape(-1) % 2 == 0
    area = box(2, 2, 8, 8)
    trace = painted("a turtle and an apple", lambda _: {"turtle": area & field, "apple": area & ~field})
    mixture = of_kind(diagnose(trace, EXACT), "mixture")
    assert [f.subjects for f in mixture] == [(0, 1)]
    assert mixture[0].evidence["mix"] == 1.0
    assert set(mixture[0].cells) == set(np.flatnonzero(area).tolist())
    assert mixture[0].cell in mixture[0].cells


def test_objects_that_look_at_one_place_are_a_mixture_even_where_no_one_leads() -> None:
    findings = diagnose(painted("a turtle and an apple", lambda _: {"turtle": LEFT, "apple": LEFT}), EXACT)
    assert kinds(findings) == ["mixture"]
    assert findings[0].evidence["overlap"] == pytest.approx(1.0)
    assert "compete for one place" in findings[0].text


def test_nearly_flat_maps_that_coincide_are_no_mixture() -> None:
    trace = painted("a turtle and an apple", lambda _: {})
    for record in trace.steps:
        assert record.attention is not None
        record.attention[:] = np.where(LEFT, 0.022, 0.02)
    assert kinds(diagnose(trace, EXACT)) == ["weak"]


def test_leaked_attribute() -> None:
    trace = painted("a turtle and a pink apple", lambda _: {"turtle": LEFT, "apple": RIGHT, "pink": LEFT})
    finding = of_kind(diagnose(trace, EXACT), "leak")[0]
    assert finding.subjects == (1, 0)
    assert trace.prompt.words[finding.word].text == "pink"
    assert finding.layer == "word"
    assert finding.evidence["share"] == pytest.approx(6 / 7)
    assert "6.0 times" in finding.text
    assert set(finding.cells) == set(np.flatnonzero(LEFT).tolist())
    even = painted("a turtle and a pink apple", lambda _: {"turtle": LEFT, "apple": RIGHT, "pink": LEFT | RIGHT})
    assert not of_kind(diagnose(even, EXACT), "leak")


def test_leak_names_the_object_that_has_most_of_it() -> None:
    places = {"cat": box(0, 0, 4, 4), "dog": box(0, 8, 4, 4), "car": box(8, 4, 4, 4), "red": box(0, 8, 4, 4)}
    finding = of_kind(diagnose(painted("a red cat and a dog and a car", lambda _: places), EXACT), "leak")[0]
    assert finding.subjects == (0, 1)


@pytest.mark.parametrize("step", [1, 3, 6])
def test_decided_at_the_step_where_the_place_settles(step: int) -> None:
    def paint(s: int) -> dict[str, np.ndarray]:
        return {"turtle": LEFT if s >= step else box(0, 7, 3, 5), "apple": RIGHT}

    trace = painted("a turtle and an apple", paint)
    decided = {f.subject: f for f in of_kind(diagnose(trace, EXACT), "decided")}
    assert decided[0].step == step
    assert f"decided at step {step + 1} of {STEPS}" in decided[0].text
    assert decided[1].step == 0
    assert "from the first step" in decided[1].text


def test_a_place_that_changes_to_the_end_is_told_so() -> None:
    trace = painted("a turtle and an apple", lambda s: {"turtle": LEFT if s % 2 else box(0, 3, 3, 5), "apple": RIGHT})
    decided = {f.subject: f for f in of_kind(diagnose(trace, EXACT), "decided")}
    assert "kept changing to the end" in decided[0].text


def test_flat_maps_are_weak_evidence_and_nothing_else_is_claimed() -> None:
    findings = diagnose(painted("a turtle and a pink apple", lambda _: {}), EXACT)
    assert kinds(findings) == ["weak"]
    assert findings[0].confidence == "weak evidence"
    assert findings[0].evidence["strength"] < EXACT.weak_strength
    assert kinds(diagnose(painted("a turtle", lambda _: {}), EXACT)) == ["weak"]


def test_loudness_of_a_word_does_not_matter() -> None:
    trace = painted("a turtle and an apple", lambda _: {"turtle": LEFT, "apple": RIGHT})
    quiet = copy.deepcopy(trace)
    for record in quiet.steps:
        assert record.attention is not None
        record.attention[2] *= 0.01  # the turtle's token
    assert [f.text for f in diagnose(quiet, EXACT)] == [f.text for f in diagnose(trace, EXACT)]


def test_single_object_is_compared_with_a_flat_map() -> None:
    assert kinds(diagnose(painted("a cat", lambda _: {"cat": LEFT}), EXACT)) == ["decided", "clear"]


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
    findings = diagnose(trace, EXACT)
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
    findings = diagnose(trace, EXACT)
    ranks = [["problem", "warning", "info"].index(f.severity) for f in findings]
    assert ranks == sorted(ranks)
    for f in findings:
        assert f.text
        assert f.step is None or 0 <= f.step < STEPS
        assert f.layer in ("picture", "order", "object", "word", "contrast", "difference")
        assert all(isinstance(c, int) and 0 <= c < 144 for c in f.cells)
        assert all(isinstance(v, float) and np.isfinite(v) for v in f.evidence.values())
    assert diagnose(trace, EXACT) == findings


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


def test_largest_patch_is_4_connected_and_does_not_wrap() -> None:
    field = np.zeros((3, 4), bool)
    assert largest_patch(field.reshape(-1), (3, 4)) == 0
    field[0, 3] = field[1, 0] = True  # neighbours in the flat array only
    assert largest_patch(field.reshape(-1), (3, 4)) == 1
    field[2, 1] = True  # diagonal
    assert largest_patch(field.reshape(-1), (3, 4)) == 1
    field[1, 1] = True
    assert largest_patch(field.reshape(-1), (3, 4)) == 3


def test_measures_on_small_fields() -> None:
    blobs = np.array([[0, 0, 1, 1], [0, 0, 1, 1]]).reshape(-1)
    assert mix(blobs, 0, 1, (2, 4)) == pytest.approx(2 / 10)
    assert mix(np.array([0, 1, 1, 0]), 0, 1, (2, 2)) == 1.0
    assert mix(np.array([-1, -1, 0, -1]), 0, 1, (2, 2)) == 0.0
    peak, flat = np.array([4.0, 0, 0, 0]), np.ones(4)
    assert overlap(peak, peak) == 1.0
    assert overlap(peak, peak[::-1]) == 0.0
    assert overlap(peak, flat) == 0.0
    assert peakedness(flat) == 0.0
    assert peakedness(peak) == 0.75
    own, other = np.array([True, False]), np.array([False, True])
    assert leak(np.array([1.0, 3.0]), own, other) == 0.75
    assert leak(np.array([1.0, 3.0]), own, np.zeros(2, bool)) is None
    assert leak(np.zeros(2), own, other) is None
    owner = np.array([[0, -1, -1], [0, 0, -1], [-1, 0, 0], [-1, 0, 0]])
    assert settled_at(owner, 0, 0.9) == 2
    assert settled_at(owner, 0, 0.3) == 1
    assert settled_at(owner, 1, 0.9) is None


@pytest.mark.parametrize(
    "settings", [{"evidence_at": "x"}, {"smooth_steps": 2}, {"smooth_steps": 0}, {"own_gap": 2.0}, {"peaked": -1.0}, {"own_floor": -1.0}]
)
def test_thresholds_are_checked(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        Thresholds(**settings)  # type: ignore[arg-type]
