"""Diagnosis: every rule on traces whose maps are drawn by hand, and what it must not say."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from tests.factories import make_trace
from uncage_demo.diagnose import CALIBRATION, Finding, Thresholds, calibration, diagnose, divergence
from uncage_demo.diagnose_evidence import largest_patch, leak, mix, overlap, parted, patches, peakedness, settled_at, swapped_picks
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
    """A trace whose word maps are bright (0.12 over 0.02) where `paint(step)` says, flat for other words.

    Painted cells are decided with little doubt (0.1 nats), the others with much (1).
    """
    trace = make_trace(seed, GRID, STEPS, text, order=order, frames=False)
    for record in trace.steps:
        assert record.attention is not None
        record.attention[:] = 0.02
        record.entropy = np.ones(144, np.float32)
        for name, mask in paint(record.step).items():
            index = [w.text for w in trace.prompt.words].index(name)
            record.attention[list(trace.prompt.words[index].tokens)] = np.where(mask, 0.12, 0.02)
            record.entropy[mask] = 0.1
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


def test_an_object_in_two_places_is_drawn_twice() -> None:
    """Two turtles and an apple: the turtle's word leads in two places that lie apart."""
    low, high = box(7, 0, 4, 4), box(0, 0, 4, 4)
    trace = painted("a turtle and a pink apple", lambda _: {"turtle": high | low, "apple": RIGHT, "pink": RIGHT})
    findings = diagnose(trace, EXACT)
    assert kinds(findings)[0] == "twice"
    finding = findings[0]
    assert finding.subjects == (0,)
    assert finding.severity == "problem"
    assert "“turtle” seems to be drawn twice" in finding.text
    assert "apart from each other, of 16 and 16 cells" in finding.text
    assert (finding.evidence["larger"], finding.evidence["smaller"]) == (16, 16)
    assert set(finding.cells) == set(np.flatnonzero(high | low).tolist())
    assert finding.cell in finding.cells
    assert finding.layer == "object"
    assert "clear" not in kinds(findings)
    assert not of_kind(diagnose(painted("a turtle and an apple", lambda _: {"turtle": high, "apple": RIGHT}), EXACT), "twice")


def test_two_that_touch_are_drawn_twice_and_one_wide_thing_is_not() -> None:
    touching = box(0, 0, 5, 5) | box(5, 2, 5, 5)
    finding = of_kind(diagnose(painted("a turtle and an apple", lambda _: {"turtle": touching, "apple": box(0, 8, 4, 4)}), EXACT), "twice")[
        0
    ]
    assert "two places that touch, of 25 and 25 cells" in finding.text
    wide = painted("a turtle and an apple", lambda _: {"turtle": box(0, 0, 4, 6), "apple": box(8, 8, 4, 4)})
    assert not of_kind(diagnose(wide, EXACT), "twice")


def test_the_second_place_is_dated() -> None:
    low, high = box(8, 0, 4, 4), box(0, 0, 4, 4)
    trace = painted("a turtle and an apple", lambda s: {"turtle": high | low if s >= 3 else high, "apple": RIGHT})
    trace.unmask_step[:] = STEPS - 1
    finding = of_kind(diagnose(trace, EXACT), "twice")[0]
    assert finding.step == 3
    assert "from step 4 on" in finding.text


def test_scattered_cells_are_no_second_object_and_a_noun_asked_for_twice_is_left_alone() -> None:
    stray = LEFT.copy()
    stray[[10, 140]] = True  # fewer than a place is worth
    assert not of_kind(diagnose(painted("a turtle and an apple", lambda _: {"turtle": stray, "apple": RIGHT}), EXACT), "twice")
    trace = painted("a red apple and a turtle", lambda _: {"apple": box(0, 0, 4, 4) | box(8, 8, 4, 4), "turtle": box(0, 8, 4, 4)})
    assert of_kind(diagnose(trace, EXACT), "twice")
    trace.prompt = replace(trace.prompt, subjects=tuple(replace(s, noun="apple") for s in trace.prompt.subjects))
    assert not of_kind(diagnose(trace, EXACT), "twice")


def test_an_object_decided_in_doubt_is_faint() -> None:
    trace = painted("a turtle and an apple", lambda _: {"turtle": LEFT, "apple": RIGHT})
    for record in trace.steps:
        assert record.entropy is not None
        record.entropy[RIGHT] = 0.9
    findings = diagnose(trace, EXACT)
    finding = of_kind(findings, "faint")[0]
    assert finding.subjects == (1,)
    assert finding.evidence["doubt"] == pytest.approx(0.9)
    assert "“apple” may be missing or hard to see" in finding.text
    assert "90% of its doubt" in finding.text
    assert finding.confidence == "strong evidence"
    for record in trace.steps:
        record.entropy = None
    assert kinds(diagnose(trace, EXACT)) == ["decided", "decided", "clear"]


def test_a_statement_just_past_its_threshold_says_that_its_evidence_is_weak() -> None:
    trace = painted("a turtle and a pink apple", lambda _: {"turtle": LEFT, "apple": RIGHT, "pink": LEFT})
    share = of_kind(diagnose(trace, EXACT), "leak")[0].evidence["share"]
    near = of_kind(diagnose(trace, replace(EXACT, leak_share=share - 0.001)), "leak")[0]
    assert near.confidence == "weak evidence"
    assert near.text.startswith("Perhaps “pink” looks at the wrong object")
    between = of_kind(diagnose(trace, replace(EXACT, leak_share=share - 0.2 * (1 - share) / 0.8)), "leak")[0]
    assert between.confidence == "some evidence"
    assert not between.text.startswith("Perhaps")


def test_thresholds_of_other_weights_give_no_strong_evidence(tmp_path: Path) -> None:
    trace = painted("a turtle and an apple", lambda _: {"turtle": LEFT, "apple": RIGHT})
    assert calibration().model != (trace.model.id, trace.model.weight_hash)
    given = diagnose(trace, calibration().thresholds)
    foreign = diagnose(trace)
    assert of_kind(given, "clear")[0].confidence == "strong evidence"
    assert of_kind(foreign, "clear")[0].confidence == "some evidence"
    assert [f.text for f in given] == [f.text for f in foreign]
    assert calibration(tmp_path / "none.json").thresholds == Thresholds()
    assert calibration(tmp_path / "none.json").model == ("", "")
    for wrong in ("[]", "{", json.dumps({"thresholds": {"own_gap": 7}, "model": "m", "weights": "w"})):
        (tmp_path / "c.json").write_text(wrong)
        with pytest.raises(ValueError, match=r"c\.json is no calibration"):
            calibration.__wrapped__(tmp_path / "c.json")


def test_the_shipped_calibration_is_what_the_diagnosis_uses_and_says() -> None:
    """Whatever the weights: the file is in force, its page tells the same figures, and no rule does worse than naming at random."""
    from uncage_demo.bench.diagnose_calibrate import document
    from uncage_demo.bench.diagnose_cases import CUTS

    data = json.loads(CALIBRATION.read_text(encoding="utf-8"))
    assert asdict(calibration().thresholds) == data["thresholds"]
    assert calibration().model == (data["model"], data["weights"])
    assert CALIBRATION.with_name("README.md").read_text(encoding="utf-8") == document(data)
    for part in ("rules", "chosen_on"):
        assert set(data[part]) == set(CUTS)
        for rule, told in data[part].items():
            sign = -1 if rule == "missing" else 1
            assert told["threshold"] == pytest.approx(sign * data["thresholds"][CUTS[rule]])
            assert max(told["positives"], told["named"], told["silent"]) <= told["cases"]
            if told["named"] and told["positives"] and part == "rules":
                assert told["precision"]["value"] >= told["base_rate"]


@pytest.mark.parametrize(
    ("named", "precision", "level"),
    [
        (40, 0.9, "strong evidence"),
        (9, 1.0, "some evidence"),
        (40, 0.7, "some evidence"),
        (40, 0.3, "weak evidence"),
        (0, None, "some evidence"),
    ],
)
def test_no_statement_is_called_better_evidence_than_its_rule_was_measured_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: int, precision: float | None, level: str
) -> None:
    trace = painted("a turtle and a pink apple", lambda _: {"turtle": LEFT, "apple": RIGHT, "pink": LEFT})
    rules = {rule: {"named": 40, "precision": {"value": 1.0}} for rule in ("missing", "faint", "twice", "mixture")}
    rules["leak"] = {"named": named, "precision": None if precision is None else {"value": precision}}
    model = {"model": trace.model.id, "weights": trace.model.weight_hash}
    (tmp_path / "c.json").write_text(json.dumps({"thresholds": asdict(EXACT), "rules": rules, **model}))
    measured = calibration.__wrapped__(tmp_path / "c.json")
    monkeypatch.setattr("uncage_demo.diagnose.calibration", lambda: measured)
    finding = of_kind(diagnose(trace), "leak")[0]
    assert finding.confidence == level
    assert finding.text.startswith("Perhaps") == (level == "weak evidence")
    assert diagnose(trace, EXACT)[0].confidence == "strong evidence"


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
    assert patches(field.reshape(-1), (3, 4)) == [[4, 5, 9], [3]]
    assert patches(np.zeros(12, bool), (3, 4)) == []


def test_one_thing_or_two() -> None:
    def apart(mask: np.ndarray, least: int = 4) -> float:
        return parted(mask, GRID, least)[0]

    assert apart(box(2, 2, 4, 4)) == pytest.approx(0.5)
    assert apart(box(0, 0, 4, 4) | box(4, 4, 4, 4)) == pytest.approx(1.0)
    assert apart(box(0, 0, 4, 4) | box(0, 4, 4, 4)) == pytest.approx(4 / np.sqrt(32))
    assert apart(box(0, 0, 4, 4) | box(8, 8, 4, 4)) == pytest.approx(np.hypot(8, 8) / np.sqrt(32))
    score, larger, smaller = parted(box(0, 0, 4, 4) | box(8, 8, 2, 2), GRID, 4)
    assert (len(larger), len(smaller)) == (16, 4)
    assert score > 1
    score, larger, smaller = parted(box(0, 0, 4, 4) | box(8, 8, 2, 2), GRID, 5)  # the small patch is left out
    assert score == pytest.approx(0.5)
    assert sorted(larger + smaller) == np.flatnonzero(box(0, 0, 4, 4)).tolist()
    assert parted(NOTHING, GRID, 1) == (0.0, [], [])
    assert apart(box(0, 0, 1, 2), 1) == pytest.approx(1 / np.sqrt(2))


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
    "settings",
    [
        {"evidence_at": "x"},
        {"smooth_steps": 2},
        {"smooth_steps": 0},
        {"own_gap": 2.0},
        {"peaked": -1.0},
        {"own_floor": -1.0},
        {"twice_spread": 11.0},
    ],
)
def test_thresholds_are_checked(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        Thresholds(**settings)  # type: ignore[arg-type]
