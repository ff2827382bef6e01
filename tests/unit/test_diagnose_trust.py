"""How far the diagnosis trusts itself: thresholds, the calibration that is in force, and what may be called strong evidence."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.painted import EXACT, LEFT, RIGHT, of_kind, painted
from uncage_demo.diagnosis.diagnose import CALIBRATION, Thresholds, calibration, diagnose


def test_a_statement_just_past_its_threshold_says_that_its_evidence_is_weak() -> None:
    trace = painted("a turtle and a pink apple", lambda _: {"turtle": LEFT, "apple": RIGHT, "pink": LEFT})
    share = of_kind(diagnose(trace, thresholds=EXACT), "leak")[0].evidence["share"]
    near = of_kind(diagnose(trace, thresholds=replace(EXACT, leak_share=share - 0.001)), "leak")[0]
    assert near.confidence == "weak evidence"
    assert near.text.startswith("Perhaps “pink” attends to the wrong object")
    between = of_kind(diagnose(trace, thresholds=replace(EXACT, leak_share=share - 0.2 * (1 - share) / 0.8)), "leak")[0]
    assert between.confidence == "moderate evidence"
    assert not between.text.startswith("Perhaps")


def test_a_map_that_is_weaker_on_another_object_is_not_said_to_be_wrong() -> None:
    trace = painted("a turtle and a pink apple", lambda _: {"turtle": LEFT, "apple": RIGHT, "pink": RIGHT})
    found = of_kind(diagnose(trace, thresholds=replace(EXACT, leak_share=0.1)), "leak")[0]
    assert found.evidence["share"] < 0.5
    assert "attends to another object, too: it belongs to “apple”, but its map is 0.2 times as strong" in found.text


def test_thresholds_of_other_weights_give_no_strong_evidence(tmp_path: Path) -> None:
    trace = painted("a turtle and an apple", lambda _: {"turtle": LEFT, "apple": RIGHT})
    assert calibration().model != (trace.model.id, trace.model.weight_hash)
    given = diagnose(trace, thresholds=calibration().thresholds)
    foreign = diagnose(trace)
    assert of_kind(given, "clear")[0].confidence == "strong evidence"
    assert of_kind(foreign, "clear")[0].confidence == "moderate evidence"
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
        (9, 1.0, "moderate evidence"),
        (40, 0.7, "moderate evidence"),
        (40, 0.3, "weak evidence"),
        (0, None, "moderate evidence"),
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
    monkeypatch.setattr("uncage_demo.diagnosis.diagnose.calibration", lambda: measured)
    finding = of_kind(diagnose(trace), "leak")[0]
    assert finding.confidence == level
    assert finding.text.startswith("Perhaps") == (level == "weak evidence")
    assert diagnose(trace, thresholds=EXACT)[0].confidence == "strong evidence"


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
