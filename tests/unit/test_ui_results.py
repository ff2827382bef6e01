"""What the results tab's script may ask for: right answers, and plain messages for everything else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.late import late
from tests.result_lines import make
from uncage_demo.bench.records import write_records
from uncage_demo.bench.results import load_shipped
from uncage_demo.ui.handlers import Handlers

results = late("uncage_demo.ui.results")


@pytest.fixture
def ask(tmp_path: Path) -> Any:
    lines = [
        make(s, method=m, correct=(s + (m == "b")) % 2) | {"baseline": "a", "cluster": str(s)}
        for m in "ab"
        for s in range(results.PAGE_ROWS + 3)
    ]
    write_records(tmp_path / "table1.jsonl.gz", lines)
    functions = {f.__name__: f for f in results.server_functions(results.Drawn(Handlers(), tmp_path))}
    return lambda name, data: json.loads(functions[name](data))


PLACE = {"experiment": "table1", "suite": "suite"}


def test_overview_and_table(ask: Any) -> None:
    found = ask("results_overview", {})
    assert [(e["experiment"], e["methods"], e["baseline"]) for e in found["experiments"]] == [("table1", ["a", "b"], "a")]
    table = ask("results_table", {**PLACE, "category": "", "metric": "correct"})
    base, other = table["rows"]
    assert base["rate"][0] == pytest.approx(100 * 7 / 15, abs=1e-3)
    assert "difference" not in base
    assert other["difference"][0] == pytest.approx(other["rate"][0] - base["rate"][0], abs=1e-3)
    assert other["difference"][1] < other["difference"][0] < other["difference"][2]


def test_pictures_come_in_pages_beside_their_baseline(ask: Any) -> None:
    first = ask("results_images", {**PLACE, "method": "b"})
    rest = ask("results_images", {**PLACE, "method": "b", "first": results.PAGE_ROWS})
    assert (first["count"], len(first["rows"]), len(rest["rows"])) == (results.PAGE_ROWS + 3, results.PAGE_ROWS, 3)
    assert {row["key"] for row in first["rows"]} & {row["key"] for row in rest["rows"]} == set()
    assert [run["method"] for run in first["rows"][0]["runs"]] == ["a", "b"]
    assert [run["correct"] for run in first["rows"][1]["runs"]] == [True, False]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("results_table", {"experiment": "nothing"}, "no results for experiment 'nothing'"),
        ("results_table", {"experiment": 3}, "experiment='3': give a text"),
        ("results_table", [], "set of fields"),
        ("results_images", {"outcome": "lovely"}, "outcome='lovely': choose"),
        ("results_images", {"first": -1}, "first=-1"),
        ("results_images", {"prompt": "x" * 501}, "at most 500 characters"),
        ("results_payload", {"ids": ["a"], "titles": []}, "one or two runs"),
        ("results_payload", {"ids": ["a"], "titles": ["a"]}, "no longer kept"),
    ],
)
def test_bad_questions_get_a_sentence(ask: Any, name: str, data: Any, said: str) -> None:
    assert said in ask(name, data)["error"]


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    drawn = results.Drawn(Handlers(), tmp_path)
    for keys in (None, [], ["x"] * (results.MAX_DRAWN + 1)):
        with pytest.raises(ValueError, match=f"1 to {results.MAX_DRAWN}"):
            next(drawn.draw(keys))
    with pytest.raises(ValueError, match="no shipped result has the key 'x'"):
        next(drawn.draw(["x"]))


def test_an_edit_is_not_drawn_from_an_empty_grid(tmp_path: Path) -> None:
    """Its prompt and settings alone would give another picture under its name."""
    edit = {"prompt": "a red car", "config": {}, "erased": "0-5"}
    line = make(0) | {"baseline": "a", "cluster": "0", "edit": edit}
    write_records(tmp_path / "editing.jsonl.gz", [line])
    drawn = results.Drawn(Handlers(), tmp_path)
    functions = {f.__name__: f for f in results.server_functions(drawn)}
    (row,) = json.loads(functions["results_images"]({}))["rows"]
    assert "starts from another picture" in row["unknown"]
    with pytest.raises(ValueError, match="starts from another picture"):
        next(drawn.draw([line["key"]]))


def test_results_can_be_read_ahead(tmp_path: Path) -> None:
    write_records(tmp_path / "table1.jsonl.gz", [make(0) | {"baseline": "a", "cluster": "0"}])
    before = load_shipped.cache_info()
    drawing = iter([True, False, True, False, False])  # at first, a moment after a quiet one, never again
    results.read_ahead(lambda: next(drawing), 0.0, 0.0, tmp_path).join(30)
    assert next(drawing, None) is None, "it waited until nobody drew any more"
    assert load_shipped.cache_info().misses == before.misses + 1
    load_shipped(tmp_path)
    assert load_shipped.cache_info().hits == before.hits + 1
