"""Failures and gains against the age of the weights: numbers worked out by hand, from lines to files."""

from __future__ import annotations

from fractions import Fraction

import pytest

from tests.age_lines import LINES
from uncage_demo.bench.ages import age_of, growth, growth_markdown, has_ages
from uncage_demo.bench.results import Shipped, build_tables


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


def test_lines_of_no_age_are_refused() -> None:
    with pytest.raises(ValueError, match="Invalid literal"):
        age_of({"model": {"options": {"age": "young"}}})
