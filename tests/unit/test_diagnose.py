"""Diagnosis: the rules on objects and their words, on traces whose maps are drawn by hand, and what they must not say."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest

from tests.painted import EXACT, GRID, LEFT, NOTHING, RIGHT, STEPS, box, kinds, of_kind, painted
from uncage_demo.diagnosis.diagnose import diagnose


def test_two_objects_side_by_side_are_clear() -> None:
    findings = diagnose(painted("a turtle and a pink apple", lambda _: {"turtle": LEFT, "apple": RIGHT, "pink": RIGHT}), thresholds=EXACT)
    assert kinds(findings) == ["decided", "decided", "clear"]
    assert findings[-1].confidence == "strong evidence"
    assert all(f.step == 0 for f in of_kind(findings, "decided"))


def test_missing_object_is_named_with_its_evidence() -> None:
    trace = painted("a turtle and a pink apple", lambda _: {"turtle": RIGHT, "apple": NOTHING, "pink": NOTHING})
    missing = of_kind(diagnose(trace, thresholds=EXACT), "missing")
    assert [f.subject for f in missing] == [1]
    finding = missing[0]
    assert finding.severity == "problem"
    assert finding.text.startswith("“pink apple” never got cells")
    assert "none of 144 cells" in finding.text
    assert finding.evidence["share"] == 0.0
    assert finding.layer == "object"
    assert "clear" not in kinds(diagnose(trace, thresholds=EXACT))


def test_scattered_cells_do_not_make_an_object() -> None:
    scattered = np.zeros(144, bool)
    scattered[[0, 30, 61, 99, 134]] = True
    trace = painted("a turtle and an apple", lambda _: {"turtle": LEFT, "apple": scattered})
    finding = of_kind(diagnose(trace, thresholds=EXACT), "missing")[0]
    assert finding.cells == (0, 30, 61, 99, 134)
    assert "5 cells of 144, never 5 together" in finding.text
    joined = painted("a turtle and an apple", lambda _: {"turtle": LEFT, "apple": box(9, 0, 1, 5)})
    assert not of_kind(diagnose(joined, thresholds=EXACT), "missing")


def test_an_object_that_lost_its_cells_is_told_with_the_step() -> None:
    def paint(step: int) -> dict[str, np.ndarray]:
        return {"turtle": LEFT | RIGHT if step >= 2 else LEFT, "apple": RIGHT if step < 2 else NOTHING}

    trace = painted("a turtle and an apple", paint)
    trace.unmask_step[:] = STEPS - 1  # every cell is read at the end
    finding = of_kind(diagnose(trace, thresholds=EXACT), "missing")[0]
    assert finding.subject == 1
    assert "25 cells at step 1 and lost them" in finding.text
    assert finding.step == 0
    early = painted("a turtle and an apple", paint)
    early.unmask_step[:] = 0  # the same maps, but all cells were committed while it had them
    assert not of_kind(diagnose(early, thresholds=EXACT), "missing")
    assert of_kind(diagnose(early, thresholds=replace(EXACT, evidence_at="final")), "missing")


def test_missing_object_names_who_took_its_place() -> None:
    """The apple's word looks where the turtle's word looks more."""
    trace = painted("a turtle and an apple", lambda _: {"turtle": LEFT})
    for record in trace.steps:
        assert record.attention is not None
        record.attention[6 - 1] = np.where(LEFT, 0.03, 0.02)  # the apple's token
    finding = of_kind(diagnose(trace, thresholds=EXACT), "missing")[0]
    assert finding.subjects == (1, 0)
    assert "“turtle” led" in finding.text


def test_interleaved_objects_are_a_mixture() -> None:
    field = np.indices(GRID).sum(axis=0).reshape(-1) % 2 == 0
    area = box(2, 2, 8, 8)
    trace = painted("a turtle and an apple", lambda _: {"turtle": area & field, "apple": area & ~field})
    mixture = of_kind(diagnose(trace, thresholds=EXACT), "mixture")
    assert [f.subjects for f in mixture] == [(0, 1)]
    assert mixture[0].evidence["mix"] == 1.0
    assert set(mixture[0].cells) == set(np.flatnonzero(area).tolist())
    assert mixture[0].cell in mixture[0].cells


def test_objects_that_look_at_one_place_are_a_mixture_even_where_no_one_leads() -> None:
    findings = diagnose(painted("a turtle and an apple", lambda _: {"turtle": LEFT, "apple": LEFT}), thresholds=EXACT)
    assert kinds(findings) == ["mixture"]
    assert findings[0].evidence["overlap"] == pytest.approx(1.0)
    assert "compete for one position" in findings[0].text


def test_nearly_flat_maps_that_coincide_are_no_mixture() -> None:
    trace = painted("a turtle and an apple", lambda _: {})
    for record in trace.steps:
        assert record.attention is not None
        record.attention[:] = np.where(LEFT, 0.022, 0.02)
    assert kinds(diagnose(trace, thresholds=EXACT)) == ["weak"]


def test_an_object_in_two_places_is_drawn_twice() -> None:
    """Two turtles and an apple: the turtle's word leads in two places that lie apart."""
    low, high = box(7, 0, 4, 4), box(0, 0, 4, 4)
    trace = painted("a turtle and a pink apple", lambda _: {"turtle": high | low, "apple": RIGHT, "pink": RIGHT})
    findings = diagnose(trace, thresholds=EXACT)
    assert kinds(findings)[0] == "twice"
    finding = findings[0]
    assert finding.subjects == (0,)
    assert finding.severity == "problem"
    assert "“turtle” seems to be drawn twice" in finding.text
    assert "(16 and 16 cells)" in finding.text
    assert (finding.evidence["larger"], finding.evidence["smaller"]) == (16, 16)
    assert set(finding.cells) == set(np.flatnonzero(high | low).tolist())
    assert finding.cell in finding.cells
    assert finding.layer == "object"
    assert "clear" not in kinds(findings)
    assert not of_kind(diagnose(painted("a turtle and an apple", lambda _: {"turtle": high, "apple": RIGHT}), thresholds=EXACT), "twice")


def test_two_that_touch_are_drawn_twice_and_one_wide_thing_is_not() -> None:
    touching = box(0, 0, 5, 5) | box(5, 2, 5, 5)
    finding = of_kind(
        diagnose(painted("a turtle and an apple", lambda _: {"turtle": touching, "apple": box(0, 8, 4, 4)}), thresholds=EXACT), "twice"
    )[0]
    assert "two areas, which touch, attend mostly to this word (25 and 25 cells)" in finding.text
    wide = painted("a turtle and an apple", lambda _: {"turtle": box(0, 0, 4, 6), "apple": box(8, 8, 4, 4)})
    assert not of_kind(diagnose(wide, thresholds=EXACT), "twice")


def test_the_second_place_is_dated() -> None:
    low, high = box(8, 0, 4, 4), box(0, 0, 4, 4)
    trace = painted("a turtle and an apple", lambda s: {"turtle": high | low if s >= 3 else high, "apple": RIGHT})
    trace.unmask_step[:] = STEPS - 1
    finding = of_kind(diagnose(trace, thresholds=EXACT), "twice")[0]
    assert finding.step == 3
    assert "from step 4 on" in finding.text


def test_scattered_cells_are_no_second_object_and_a_noun_asked_for_twice_is_left_alone() -> None:
    stray = LEFT.copy()
    stray[[10, 140]] = True  # fewer than a place is worth
    assert not of_kind(diagnose(painted("a turtle and an apple", lambda _: {"turtle": stray, "apple": RIGHT}), thresholds=EXACT), "twice")
    trace = painted("a red apple and a turtle", lambda _: {"apple": box(0, 0, 4, 4) | box(8, 8, 4, 4), "turtle": box(0, 8, 4, 4)})
    assert of_kind(diagnose(trace, thresholds=EXACT), "twice")
    trace.prompt = replace(trace.prompt, subjects=tuple(replace(s, noun="apple") for s in trace.prompt.subjects))
    assert not of_kind(diagnose(trace, thresholds=EXACT), "twice")


def test_an_object_decided_in_doubt_is_faint() -> None:
    trace = painted("a turtle and an apple", lambda _: {"turtle": LEFT, "apple": RIGHT})
    for record in trace.steps:
        assert record.entropy is not None
        record.entropy[RIGHT] = 0.9
    findings = diagnose(trace, thresholds=EXACT)
    finding = of_kind(findings, "faint")[0]
    assert finding.subjects == (1,)
    assert finding.evidence["doubt"] == pytest.approx(0.9)
    assert "“apple” may be missing or hard to see" in finding.text
    assert "90% of its doubt" in finding.text
    assert finding.confidence == "strong evidence"
    for record in trace.steps:
        record.entropy = None
    assert kinds(diagnose(trace, thresholds=EXACT)) == ["decided", "decided", "clear"]


def test_leaked_attribute() -> None:
    trace = painted("a turtle and a pink apple", lambda _: {"turtle": LEFT, "apple": RIGHT, "pink": LEFT})
    finding = of_kind(diagnose(trace, thresholds=EXACT), "leak")[0]
    assert finding.subjects == (1, 0)
    assert trace.prompt.words[finding.word].text == "pink"
    assert finding.layer == "word"
    assert finding.evidence["share"] == pytest.approx(6 / 7)
    assert "6.0 times" in finding.text
    assert set(finding.cells) == set(np.flatnonzero(LEFT).tolist())
    even = painted("a turtle and a pink apple", lambda _: {"turtle": LEFT, "apple": RIGHT, "pink": LEFT | RIGHT})
    assert not of_kind(diagnose(even, thresholds=EXACT), "leak")


def test_leak_names_the_object_that_has_most_of_it() -> None:
    places = {"cat": box(0, 0, 4, 4), "dog": box(0, 8, 4, 4), "car": box(8, 4, 4, 4), "red": box(0, 8, 4, 4)}
    finding = of_kind(diagnose(painted("a red cat and a dog and a car", lambda _: places), thresholds=EXACT), "leak")[0]
    assert finding.subjects == (0, 1)


@pytest.mark.parametrize("step", [1, 3, 6])
def test_decided_at_the_step_where_the_place_settles(step: int) -> None:
    def paint(s: int) -> dict[str, np.ndarray]:
        return {"turtle": LEFT if s >= step else box(0, 7, 3, 5), "apple": RIGHT}

    trace = painted("a turtle and an apple", paint)
    decided = {f.subject: f for f in of_kind(diagnose(trace, thresholds=EXACT), "decided")}
    assert decided[0].step == step
    assert f"decided at step {step + 1} of {STEPS}" in decided[0].text
    assert decided[1].step == 0
    assert "was fixed at step 1" in decided[1].text


def test_a_place_that_changes_to_the_end_is_told_so() -> None:
    trace = painted("a turtle and an apple", lambda s: {"turtle": LEFT if s % 2 else box(0, 3, 3, 5), "apple": RIGHT})
    decided = {f.subject: f for f in of_kind(diagnose(trace, thresholds=EXACT), "decided")}
    assert "kept changing to the end" in decided[0].text


def test_flat_maps_are_weak_evidence_and_nothing_else_is_claimed() -> None:
    findings = diagnose(painted("a turtle and a pink apple", lambda _: {}), thresholds=EXACT)
    assert kinds(findings) == ["weak"]
    assert findings[0].confidence == "weak evidence"
    assert findings[0].evidence["strength"] < EXACT.weak_strength
    assert kinds(diagnose(painted("a turtle", lambda _: {}), thresholds=EXACT)) == ["weak"]


def test_loudness_of_a_word_does_not_matter() -> None:
    trace = painted("a turtle and an apple", lambda _: {"turtle": LEFT, "apple": RIGHT})
    quiet = copy.deepcopy(trace)
    for record in quiet.steps:
        assert record.attention is not None
        record.attention[2] *= 0.01  # the turtle's token
    assert [f.text for f in diagnose(quiet, thresholds=EXACT)] == [f.text for f in diagnose(trace, thresholds=EXACT)]


def test_single_object_is_compared_with_a_flat_map() -> None:
    assert kinds(diagnose(painted("a cat", lambda _: {"cat": LEFT}), thresholds=EXACT)) == ["decided", "clear"]
