"""Small tables that a document asks for: each method on all the pictures that it shares with the baseline."""

from __future__ import annotations

from typing import Any

import pytest

from tests.result_lines import line
from uncage_demo.bench.gains import Gains, gains_section, read_name
from uncage_demo.bench.report import disagreement, renewed

NAME = "gains two/correct two/all | uncage; redraw, spacing 2"
TEXT = f"# Title\n\n<!-- {NAME}:begin (written by `uncage bench-report --readme`; do not edit) -->\n<!-- {NAME}:end -->\n"


def lines() -> list[dict[str, Any]]:
    """UNCAGE on twelve prompts, the other order on the first eight of them: right in all; the baseline in every other."""
    right = {"meissonic": lambda i: i % 2, "uncage": lambda i: i % 2, "redraw, spacing 2": lambda i: 1}
    counts = {"meissonic": 12, "uncage": 12, "redraw, spacing 2": 8}
    changes: dict[str, Any] = {"experiment": "two", "suite": "numbers", "baseline": "meissonic"}
    return [line(m, f"p{i}", 0, of(i), **changes) for m, of in right.items() for i in range(counts[m])]


def test_each_method_is_compared_on_all_that_it_shares_with_the_baseline() -> None:
    text = gains_section(lines(), read_name(NAME))
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in text.splitlines() if row.startswith("|")]
    assert rows[0] == ["order", "fully correct", "every object"]
    assert [row[0] for row in rows[2:]] == ["Baseline", "UNCAGE", "Draft and redraw, spacing 2"]
    assert rows[2][1].startswith("50.0 [")
    assert rows[3][1] == "+0.0 [+0.0, +0.0]"
    assert rows[4][1].startswith("**+50.0 [+")
    assert "prompts that count objects, 12 prompts" in text
    assert "12 pictures per order (UNCAGE); 8 prompts" in text


def test_another_baseline_and_a_method_that_an_experiment_lacks() -> None:
    more = [{**one, "experiment": "one", "model": {"id": "other", "weight_hash": "0"}} for one in lines() if one["method"] != "uncage"]
    text = gains_section([*lines(), *more], read_name("gains two/correct one/correct | uncage; redraw, spacing 2"))
    assert "| order | `embedded`: fully correct | `other`: fully correct |" in text
    assert "| UNCAGE | +0.0 [+0.0, +0.0] |  |" in text
    turned = gains_section(lines(), read_name("gains two/correct | meissonic | against redraw, spacing 2"))
    assert "| Baseline | **-50.0 [" in turned


def test_a_document_is_renewed_and_compared_by_its_marks() -> None:
    text = renewed(TEXT, lines())
    assert "Draft and redraw, spacing 2" in text
    assert renewed(text, lines()) == text
    assert disagreement(text, lines()) == ""
    assert "+60.0" in disagreement(text.replace("**+50.0", "**+60.0"), lines())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gains two/correct", "write gains EXPERIMENT/METRIC"),
        ("gains two | uncage", "write gains EXPERIMENT/METRIC"),
        ("gains two/beauty | uncage", "metric 'beauty'"),
    ],
)
def test_names_that_ask_for_nothing_are_refused(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_name(name)


def test_what_was_not_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="no results for experiment 'three'"):
        gains_section(lines(), Gains((("three", "correct"),), ("uncage",)))
    with pytest.raises(ValueError, match="method 'mend' has no results in two"):
        gains_section(lines(), Gains((("two", "correct"),), ("mend",)))
