"""Failures and gains against the age of the weights: numbers worked out by hand, from lines to files."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from uncage_demo.bench.ages import age_of, growth, growth_markdown, has_ages
from uncage_demo.bench.report import write_report
from uncage_demo.bench.results import Shipped, build_tables

PROMPTS = ("p", "q", "r", "s")


def line(method: str, prompt: str, age: str, correct: int, leaked: int = 0) -> dict:
    failures = {"missing": 0, "mixture": 0, "duplicate": 0, "leaked": leaked}
    return {
        "schema": 1,
        "key": f"{age} {method} {prompt}",
        "experiment": "ages",
        "method": method,
        "baseline": "base",
        "suite": "s",
        "category": "objects",
        "cluster": prompt,
        "prompt": prompt,
        "seed": 0,
        "image_key": f"{age} {method} {prompt}",
        "config": {"order": method, "seed": 0},
        "model": {"id": "web", "weight_hash": f"h{age}"} | ({} if age == "1" else {"options": {"age": age}}),
        "scorer": "detector 1",
        "metrics": {"all": 1, "bound": 1 - leaked, "correct": correct, **failures},
    }


# By hand: young, the order gains nothing; old, it mends one leak of two (of four pictures), so +25 and -25 points.
LINES = [line(method, prompt, "1/16", 0, 1) for method in ("base", "new") for prompt in PROMPTS]
LINES += [line("base", prompt, "1", int(prompt in "rs"), int(prompt in "pq")) for prompt in PROMPTS]
LINES += [line("new", prompt, "1", int(prompt in "qrs"), int(prompt == "p")) for prompt in PROMPTS]


def test_gains_by_age_are_those_worked_out_by_hand() -> None:
    assert [age_of(LINES[0]), age_of(LINES[-1])] == [Fraction(1, 16), Fraction(1)]
    found = growth(LINES, "ages", "s")
    assert found.ages == (Fraction(1, 16), Fraction(1))
    gains = {
        metric: [compared.difference.value for table in tables.values() if (compared := table.row("new").comparison)]
        for metric, tables in found.tables.items()
    }
    assert gains == {"correct": [0.0, 0.25], "leaked": [0.0, -0.25]}
    told = growth_markdown(found)
    assert "| 1 | 50.0" in told
    assert "| 1 | +25.0" in told
    assert "| 1 | -25.0" in told


def test_ages_stay_out_of_tables_of_one_model() -> None:
    assert has_ages(LINES, "ages", "s")
    old = [record for record in LINES if age_of(record) == 1]
    assert not has_ages(old, "ages", "s")
    assert build_tables(LINES) == ()
    assert Shipped(LINES).pairs == ()
    assert len(build_tables(old)) == 1


def test_the_report_holds_figure_and_numbers(tmp_path: Path) -> None:
    written = {path.name for path in write_report(LINES, tmp_path)}
    assert written == {"ages-s.md", "ages-s.webp"}
    assert all((tmp_path / name).stat().st_size > 500 for name in written)


def test_lines_of_no_age_are_refused() -> None:
    with pytest.raises(ValueError, match="Invalid literal"):
        age_of({"model": {"options": {"age": "young"}}})
