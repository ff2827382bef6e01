"""Diagnosis and verdict tell one story: on the shipped examples and in what each fault is called."""

from __future__ import annotations

import dataclasses

import pytest

from tests.factories import make_trace
from uncage_demo.backends.embedded.verdict import verdict_of
from uncage_demo.diagnosis.detector import contradictions, with_verdict
from uncage_demo.diagnosis.diagnose import diagnose
from uncage_demo.diagnosis.findings import Finding
from uncage_demo.prompt.judging import counted, match, side_of, too_many
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.types import FoundObject, Subject, Verdict
from uncage_demo.ui.examples import Examples
from uncage_demo.ui.models import EmbeddedReader


def found(noun: str, y: float, x: float, color: str = "") -> FoundObject:
    return FoundObject(noun, color, 0.9, (y - 0.2, x - 0.2, y + 0.2, x + 0.2))


def said(text: str, *detections: FoundObject) -> list[str]:
    """The detector's findings on a small trace whose prompt and picture are these."""
    prompt = parse_prompt(text, EmbeddedReader())
    trace = make_trace()
    trace.prompt = prompt
    trace.columns = tuple(range(len(trace.columns)))
    return [f.text for f in diagnose(trace, verdict_of(detections, prompt)) if f.kind == "detector"]


def test_one_too_many_is_told_with_its_place() -> None:
    told = said("a turtle and a pink apple", found("turtle", 0.2, 0.2), found("apple", 0.2, 0.8, "pink"), found("turtle", 0.8, 0.8))
    assert told[0].startswith("The detector sees one turtle too many at the lower right.")


@pytest.mark.parametrize(
    ("text", "seen", "start"),
    [
        ("a turtle and a cat", [found("turtle", 0.5, 0.5)], "The detector sees no cat."),
        ("two cats", [found("cat", 0.5, 0.5)], "The detector sees one of two cats."),
        ("a red car", [found("car", 0.5, 0.5, "blue")], "The detector sees “red car” in blue."),
        ("a red car", [found("car", 0.5, 0.5)], "The detector sees “red car” in its usual colour."),
        ("a cat", [found("cat", 0.2, 0.5), found("dog", 0.8, 0.5)], "The detector sees one dog that nobody asked for at the bottom."),
        ("a cat on the left", [found("cat", 0.5, 0.8)], "The detector does not see this: cat on the left."),
    ],
)
def test_each_fault_is_called_by_its_name(text: str, seen: list[FoundObject], start: str) -> None:
    assert said(text, *seen)[0].startswith(start)


def test_what_is_too_many_is_counted_by_noun() -> None:
    subjects = (Subject((0,), noun="turtle"), Subject((1,), noun="mouse"))
    seen = (found("turtle", 0.2, 0.2), found("turtle", 0.8, 0.8), found("mouse", 0.2, 0.8), found("cat", 0.5, 0.5), found("cat", 0.5, 0.9))
    verdict = Verdict((True, True), (True, True), 3, False, seen)
    assert too_many(subjects, verdict) == ["1 turtle too many", "2 cats that were not asked for"]
    assert too_many(subjects, dataclasses.replace(verdict, detections=(), extra_objects=2)) == ["2 objects too many"]
    assert match(subjects, seen).left == (1, 3, 4)
    assert counted(2, "mouse") == "2 mice"
    assert (counted(2, "butterfly"), counted(2, "monkey"), counted(1, "entry")) == ("2 butterflies", "2 monkeys", "1 entry")
    assert side_of(found("cat", 0.5, 0.5)) == "in the middle"
    assert side_of(found("cat", 0.2, 0.9)) == "at the upper right"


@pytest.mark.parametrize(
    ("kind", "detections", "said"),
    [
        ("faint", [found("turtle", 0.2, 0.2), found("turtle", 0.8, 0.8)], "The detector sees it."),  # one too many is none missing
        ("missing", [found("turtle", 0.2, 0.2), found("turtle", 0.8, 0.8)], "The detector sees it."),
        ("twice", [], "The detector does not see it at all."),
        ("twice", [found("turtle", 0.2, 0.2), found("turtle", 0.8, 0.8)], ""),
        ("twice", [found("turtle", 0.2, 0.2), found("apple", 0.8, 0.8, "blue")], "The detector sees nothing wrong with it."),
        ("missing", [found("apple", 0.8, 0.8, "pink")], ""),
        ("leak", [found("turtle", 0.2, 0.2), found("turtle", 0.8, 0.8), found("apple", 0.2, 0.8, "blue")], ""),
        ("mixture", [found("apple", 0.8, 0.8, "pink")], ""),
    ],
)
def test_a_claim_of_the_attention_that_the_detector_denies_is_no_problem(kind: str, detections: list[FoundObject], said: str) -> None:
    prompt = parse_prompt("a turtle and a pink apple", EmbeddedReader())
    trace = make_trace()
    trace.prompt = prompt
    claim = Finding(kind, f"It is {kind}.", "problem", (1, 0) if kind == "leak" else (0,), 0)
    verdict = verdict_of(detections, prompt)
    kept = next(f for f in with_verdict(trace, [claim], verdict) if f.kind == kind)
    assert kept.severity == ("info" if said else "problem")
    assert kept.text == f"It is {kind}. {said}".strip()
    assert bool(contradictions(trace, [claim], verdict)) or not said
    assert contradictions(trace, with_verdict(trace, [claim], verdict), verdict) == []


def test_the_examples_hold_no_contradiction() -> None:
    examples = Examples()
    entries = [examples.entry(path.stem) for example in examples.all for path in example.files]
    judged = [(entry.trace, entry.verdict) for entry in entries if entry.verdict is not None]
    assert len(judged) >= 8
    assert any(contradictions(trace, diagnose(trace), verdict) for trace, verdict in judged)  # the attention alone does contradict
    assert [contradictions(trace, diagnose(trace, verdict), verdict) for trace, verdict in judged] == [[]] * len(judged)
