"""Calibration of the diagnosis: truths, precision, recall, area under the curve, and the choice of thresholds."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from tests.painted import LEFT, NOTHING, RIGHT, box, painted
from uncage_demo.bench import diagnose_calibrate
from uncage_demo.bench.diagnose_calibrate import document, main, table
from uncage_demo.bench.diagnose_cases import RULES, Case, Judged, agreement, auc, calibrate, cases_of
from uncage_demo.bench.diagnose_fit import best_cut, fit, halves
from uncage_demo.diagnosis.diagnose import Calibration, Thresholds, calibration
from uncage_demo.types import FoundObject, Verdict

EXACT = Thresholds(smooth_steps=1)
TEXT = "a turtle and a pink apple"
TEXTS = ("a", "the", "of")
AT_LEFT, AT_RIGHT = (0.3, 0.0, 0.7, 0.4), (0.3, 0.6, 0.7, 1.0)


def verdict(*detections: FoundObject, found: tuple[bool, ...]) -> Verdict:
    return Verdict(found, found, 0, all(found), detections)


def good(text: str = TEXT) -> Judged:
    trace = painted(text, lambda _: {"turtle": LEFT, "apple": RIGHT, "pink": RIGHT})
    return trace, verdict(FoundObject("turtle", "", 1, AT_LEFT), FoundObject("apple", "pink", 1, AT_RIGHT), found=(True, True))


def without_apple(text: str = TEXT) -> Judged:
    trace = painted(text, lambda _: {"turtle": LEFT | RIGHT, "apple": NOTHING, "pink": NOTHING})
    return trace, verdict(FoundObject("turtle", "", 1, AT_LEFT), found=(True, False))


def pink_turtle(text: str = TEXT) -> Judged:
    trace = painted(text, lambda _: {"turtle": LEFT, "apple": RIGHT, "pink": LEFT})
    return trace, verdict(FoundObject("turtle", "pink", 1, AT_LEFT), FoundObject("apple", "", 1, AT_RIGHT), found=(True, True))


def both_in_one_place(text: str = TEXT) -> Judged:
    odd = np.indices((12, 12)).sum(axis=0).reshape(-1) % 2 == 0
    trace = painted(text, lambda _: {"turtle": LEFT & odd, "apple": LEFT & ~odd, "pink": LEFT & ~odd})
    return trace, verdict(FoundObject("turtle", "", 1, AT_LEFT), FoundObject("apple", "pink", 1, AT_LEFT), found=(True, True))


def two_turtles(text: str = TEXT) -> Judged:
    low, high = box(8, 0, 4, 4), box(0, 0, 4, 4)
    trace = painted(text, lambda _: {"turtle": low | high, "apple": RIGHT, "pink": RIGHT})
    turtles = [FoundObject("turtle", "", 1, place) for place in ((0.0, 0.0, 0.3, 0.3), (0.7, 0.0, 1.0, 0.3))]
    return trace, verdict(*turtles, FoundObject("apple", "pink", 1, AT_RIGHT), found=(True, True))


def unsure_apple(text: str = TEXT) -> Judged:
    trace, _ = good(text)
    for record in trace.steps:
        assert record.entropy is not None
        record.entropy[RIGHT] = 0.9
    return trace, verdict(FoundObject("turtle", "", 1, AT_LEFT), found=(True, False))


def test_truths_of_the_cases() -> None:
    def truths(rule: str, judged: Judged) -> list[bool]:
        return [c.truth for c in cases_of(*judged, EXACT) if c.rule == rule]

    assert truths("missing", good()) == [False, False]
    assert truths("missing", without_apple()) == [False, True]
    assert truths("leak", good()) == [False]
    assert truths("leak", pink_turtle()) == [True]
    assert truths("mixture", good()) == [False]
    assert truths("mixture", both_in_one_place()) == [True]
    assert truths("twice", good()) == [False, False]
    assert truths("twice", two_turtles()) == [True, False]
    assert truths("faint", unsure_apple()) == truths("missing", unsure_apple()) == [False, True]
    red_and_red = painted("a red turtle and a red apple", lambda _: {"turtle": LEFT, "apple": RIGHT})
    assert [c for c in cases_of(red_and_red, verdict(found=(True, True)), EXACT) if c.rule == "leak"] == []


def test_rules_that_agree_have_precision_and_recall_one() -> None:
    judged = [good(), without_apple(), pink_turtle(), both_in_one_place()]
    result = calibrate(judged, EXACT)
    leak, mixture, missing = result["leak"], result["mixture"], result["missing"]
    assert mixture.precision is not None
    assert mixture.recall is not None
    assert (mixture.precision.value, mixture.recall.value, mixture.auc) == (1.0, 1.0, 1.0)
    assert leak.precision is not None
    assert leak.precision.value == 1.0
    assert leak.positives == leak.named == 1
    assert leak.base_rate == 0.25
    assert missing.cases == 8
    assert missing.recall is not None
    assert missing.recall.value == 1.0
    assert missing.named == 3  # the two scattered halves of the mixture look missing too
    assert missing.precision is not None
    assert missing.precision.value == pytest.approx(1 / 3)
    assert "33%" in table({rule: asdict(a) for rule, a in result.items()})


def test_the_rules_for_duplicates_and_doubt_against_the_detector() -> None:
    result = calibrate([good(), two_turtles(), unsure_apple()], EXACT)
    for rule in ("twice", "faint"):
        precision, recall = result[rule].precision, result[rule].recall
        assert precision is not None
        assert recall is not None
        assert (precision.value, recall.value, result[rule].named) == (1.0, 1.0, 1)
    apples = painted("a red apple and a pink apple", lambda _: {})
    assert not [c for c in cases_of(apples, verdict(found=(True, True)), EXACT) if c.rule == "twice"]


def test_weak_evidence_counts_against_recall_only() -> None:
    flat = painted("a turtle and an apple", lambda _: {})
    result = calibrate([(flat, verdict(found=(True, False)))], EXACT)["missing"]
    assert result.silent == 2
    assert result.named == 0
    assert result.precision is None
    assert result.recall is not None
    assert result.recall.value == 0.0


def test_area_under_the_curve() -> None:
    truth = np.array([False, False, True, True])
    assert auc(np.array([0.0, 1, 2, 3]), truth) == 1.0
    assert auc(np.array([3.0, 2, 1, 0]), truth) == 0.0
    assert auc(np.zeros(4), truth) == 0.5
    assert auc(np.array([-np.inf, 1, 0, 2]), truth) == 0.75
    assert np.isnan(auc(np.zeros(2), np.array([True, True])))


def test_best_cut_maximises_f1() -> None:
    def cases(*pairs: tuple[float, bool]) -> list[Case]:
        return [Case("missing", "p", score, truth, False) for score, truth in pairs]

    assert best_cut(cases((0.1, False), (0.4, False), (0.5, True), (0.9, True))) == pytest.approx(0.45)
    assert best_cut(cases((0.1, False), (0.4, True), (0.5, False), (0.9, True))) == pytest.approx(0.25)
    assert best_cut(cases((0.1, True), (0.4, True), (0.5, False), (0.9, True))) == 0.1
    rare = cases((0.9, False), (0.8, False), (0.75, False), (0.7, True), (0.1, False))
    assert best_cut(rare) is None
    assert best_cut(rare, precision=0.2) == pytest.approx(0.4)
    assert best_cut(cases((0.1, True))) is None
    assert best_cut(cases((-np.inf, True), (-np.inf, False))) is None


def test_agreement_intervals_draw_whole_prompts() -> None:
    cases = [Case("missing", f"p{i}", float(i % 3), i % 4 == 0, False) for i in range(40)]
    result = agreement(cases, "missing", 1.0)
    assert result.precision is not None
    assert result.precision.low <= result.precision.value <= result.precision.high
    assert result.precision.clusters == result.named == 26


def test_fit_finds_thresholds_that_separate() -> None:
    """Missing objects whose word still glows a little in one place: with the default floor that looks like cells of their own."""
    judged = [make(f"{first} turtle and a pink apple") for first in TEXTS for make in (good, without_apple)]
    assert sum(not found for _, said in judged for found in said.objects_found) == 3
    for trace, said in judged:
        if all(said.objects_found):
            continue
        for record in trace.steps:
            assert record.attention is not None
            record.attention[2] = np.where(LEFT, 0.12, 0.02)  # the turtle's token
            record.attention[6] = np.where(RIGHT, 0.03, 0.02)  # the apple's
    before = calibrate(judged, EXACT)["missing"]
    chosen = fit(judged, Thresholds(smooth_steps=1, weak_strength=0.0))
    after = calibrate(judged, chosen)["missing"]
    assert before.named == 0
    assert after.precision is not None
    assert after.recall is not None
    assert (after.precision.value, after.recall.value) == (1.0, 1.0)


def test_halves_share_no_prompt() -> None:
    judged = [good(f"{i} turtle and a pink apple") for i in ("a", "an", "the", "of", "with") for _ in range(2)]
    first, second = halves(judged)
    assert len(first) == 6
    assert len(second) == 4
    assert not {t.prompt.text for t, _ in first} & {t.prompt.text for t, _ in second}


def test_what_cannot_be_calibrated() -> None:
    with pytest.raises(ValueError, match="nothing to calibrate on"):
        calibrate([])
    with pytest.raises(ValueError, match="a verdict on 1 objects for a prompt with 2"):
        calibrate([(good()[0], verdict(found=(True,)))])


def test_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The command over given traces (decoding itself is the runner's affair)."""
    judged = [make(text) for text in (TEXT, "the turtle and a pink apple") for make in (good, without_apple, pink_turtle, two_turtles)]
    monkeypatch.setattr(diagnose_calibrate, "_generate", lambda args: judged)
    monkeypatch.setattr(
        diagnose_calibrate, "calibration_of", lambda model: Calibration(EXACT)
    )  # not what the shipped weights happen to need
    assert main(["--out", str(tmp_path / "c.json")]) == 0
    shown = capsys.readouterr().out
    assert "| missing |" in shown
    data = json.loads((tmp_path / "c.json").read_text())
    assert data["thresholds"] == asdict(EXACT)
    assert data["rules"]["missing"]["positives"] == 2
    assert data["rules"]["twice"]["positives"] == 2
    assert data["rules"]["twice"]["precision"]["value"] == 0.5  # where the apple is missing, the turtle's word leads in two places too
    assert set(data["rules"]) == set(RULES)
    assert "chosen_on" not in data
    for wrong in (["--every", "0"], ["--write"]):
        with pytest.raises(SystemExit):
            main(wrong)


def test_write_puts_thresholds_in_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    judged = [make(f"{first} turtle and a pink apple") for first in ("a", *TEXTS) for make in (good, without_apple, two_turtles)]
    monkeypatch.setattr(diagnose_calibrate, "_generate", lambda args: judged)
    monkeypatch.setattr(diagnose_calibrate, "CALIBRATION", tmp_path / "diagnosis" / "calibration.json")
    assert main(["--fit", "--write", "--seeds", "0"]) == 0
    capsys.readouterr()
    data = json.loads((tmp_path / "diagnosis" / "calibration.json").read_text(encoding="utf-8"))
    page = (tmp_path / "diagnosis" / "README.md").read_text(encoding="utf-8")
    assert page == document(data)
    assert "python -m uncage_demo calibrate --fit --write --seeds 0" in page
    assert data["pictures"] + data["chosen_pictures"] == len(judged)
    written = calibration(tmp_path / "diagnosis" / "calibration.json")
    assert asdict(written.thresholds) == data["thresholds"]
    assert set(written.trust) == set(RULES)
    assert written.model == (judged[0][0].model.id, judged[0][0].model.weight_hash)
