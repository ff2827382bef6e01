"""Tables against numbers worked out by hand."""

from __future__ import annotations

import csv
import io

import pytest

from tests.result_lines import LINES, line
from uncage_demo.bench.experiments import EXPERIMENTS
from uncage_demo.bench.laboratory import NAME as LABORATORY
from uncage_demo.bench.statistics import paired
from uncage_demo.bench.suites import SUITES
from uncage_demo.bench.tables import build_table, format_difference, format_p, measured, to_csv, to_latex, to_markdown, to_rows
from uncage_demo.bench.titles import SUITE_TITLES, TITLES, against, experiment_title, method_title
from uncage_demo.orders.table import ORDERS


def test_rates_and_differences_by_hand() -> None:
    table = build_table(LINES, "table1", "s")
    assert [row.method for row in table.rows] == ["base", "new", "bad"]
    assert table.metrics == ("all", "correct")
    assert [row.estimates["correct"].value for row in table.rows] == [0.25, 0.75, 0.0]
    new, bad = table.rows[1].comparison, table.rows[2].comparison
    assert table.rows[0].comparison is None
    assert new is not None
    assert bad is not None
    assert (new.win, new.tie, new.loss) == (3, 0, 1)
    assert (bad.win, bad.tie, bad.loss) == (0, 3, 1)
    assert new.difference.value == 0.5
    # P(X <= 1 | 4, 1/2) = 5/16, twice; Holm over two methods doubles the smaller and keeps the order.
    assert new.p_value == pytest.approx(10 / 16)
    assert table.rows[1].adjusted_p == 1.0
    assert (table.images, table.prompts, table.seeds, table.dropped) == (4, 2, (0, 1), 0)


def test_the_order_of_lines_does_not_matter_for_pairing() -> None:
    table = build_table(LINES[::-1], "table1", "s")
    by_method = {row.method: row for row in table.rows}
    comparison = by_method["new"].comparison
    assert comparison is not None
    assert comparison.win == 3
    assert comparison == paired([1, 1, 0, 1], [0, 0, 1, 0], ["p", "p", "q", "q"])


def test_unfinished_runs_compare_only_complete_images() -> None:
    table = build_table(LINES[:-1], "table1", "s")
    assert table.images == 3
    assert table.dropped == 2
    assert "2 images without a partner" in table.caption
    with pytest.raises(ValueError, match="no prompt has results of all 3"):
        build_table([*LINES[:4], line("bad", "other", 9, 1), *LINES[4:8]], "table1", "s")


def test_what_follows_from_other_numbers() -> None:
    found = {(1, 1): 0, (1, 0): 1, (0, 0): 0}
    assert {(a, b): measured({"metrics": {"all": a, "bound": b}})["miscolored"] for a, b in found} == found
    assert measured({"metrics": {"all": 1}}) == {"all": 1}
    lines = [line("base", f"p{i}", 0, 1, metrics={"all": 1, "bound": i % 2, "correct": i % 2}) for i in range(4)]
    assert build_table(lines, "table1").row("base").estimates["miscolored"].value == 0.5


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match=r"different settings.*num_steps"):
        build_table([*LINES, line("new", "r", 0, 1, config={"order": "new", "num_steps": 9})], "table1", "s")
    with pytest.raises(ValueError, match="different models"):
        build_table([*LINES, line("new", "r", 0, 1, model={"id": "embedded", "weight_hash": "0"})], "table1", "s")
    with pytest.raises(ValueError, match="no results for experiment 'blur'"):
        build_table(LINES, "blur", "s")
    with pytest.raises(ValueError, match="metric 'beauty'"):
        build_table(LINES, "table1", "s", metrics=["beauty"])


def test_text_forms() -> None:
    table = build_table(LINES, "table1", "s")
    headings, cells = to_rows(table)
    assert headings[:3] == ["method", "every object %", "fully correct %"]
    assert headings[-4:] == ["fully correct, against base, points", "win / tie / loss", "p (McNemar)", "p (Holm)"]
    assert cells[0][-4:] == ["baseline", "", "", ""]
    assert cells[1][-2:] == ["0.625", "1.000"]
    assert cells[1][3].startswith("+50.0 [")
    assert cells[1][4] == "3 / 0 / 1"
    markdown = to_markdown(table, "The judge errs.")
    assert markdown.rstrip().endswith("The judge errs.")
    assert len({row.count("|") for row in markdown.splitlines() if row.startswith("|")}) == 1
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert float(rows[1]["correct"]) == 0.75
    assert rows[1]["win"] == "3"
    latex = to_latex(table)
    assert r"fully correct \%" in latex
    assert latex.count(r"\\") == 4


def test_all_suites_together_and_another_baseline() -> None:
    """A prompt that two suites share counts in each, as a cluster of its own."""
    both = [*LINES, *[{**record, "suite": "t"} for record in LINES]]
    table = build_table(both, "table1", baseline="bad")
    assert (table.suite, table.images, table.prompts, table.baseline) == ("s + t", 8, 4, "bad")
    base, new = table.row("base").comparison, table.row("new").comparison
    assert base is not None
    assert new is not None
    assert (base.win, base.tie, base.loss) == (2, 6, 0)
    assert new.difference.value == 0.75
    assert table.row("bad").comparison is None
    with pytest.raises(KeyError):
        table.row("nobody")
    with pytest.raises(ValueError, match="baseline 'nobody' has no results"):
        build_table(both, "table1", baseline="nobody")


def test_the_machine_is_told_where_the_lines_know_it() -> None:
    made = {"device": "cpu", "threads": "1", "torch": "2"}
    table = build_table([{**record, "versions": made} for record in LINES], "table1", "s")
    assert table.hardware == "cpu, 1 thread per process, torch 2"
    assert "made on cpu, 1 thread per process, torch 2" in table.caption
    assert build_table(LINES, "table1", "s").hardware == ""


def test_number_formats() -> None:
    from uncage_demo.bench.statistics import Estimate
    from uncage_demo.bench.tables import METRICS

    assert format_difference(Estimate(-0.0301, -0.08, 0.0204, 9, 3), METRICS["correct"]) == "-3.0 [-8.0, +2.0]"
    assert format_difference(Estimate(0.5, float("nan"), float("nan"), 2, 1), METRICS["extra"]) == "+0.50"
    assert format_p(0.0004) == "< 0.001"
    assert format_p(0.0449) == "0.045"


def test_titles_stand_for_names_wherever_people_read() -> None:
    """The page's titles of the orders, and what shipped lines hold under titles of their time."""
    for name, order in ORDERS.items():
        assert method_title(name) == order.title
    assert method_title("mend, guidance first half") == "Draft and mend, guidance first half"
    assert method_title("F_a + F_c") == "F_a + F_c"
    assert (against("meissonic"), against("uncage"), against("0.5")) == ("the baseline", "UNCAGE", "the setting 0.5")
    assert set(SUITES) <= set(SUITE_TITLES)
    assert set(EXPERIMENTS) - {LABORATORY} == set(TITLES)
    old = {
        "The laboratory at 8 forwards; Emoji scenes, web-like captions": "Orders and settings at 8 forward passes per picture",
        "The laboratory on embedded-web: two coloured objects at 24 forwards": "Orders and settings at 24 forward passes per picture",
        "Orders (the paper's Table 1); Emoji scenes, order-blind captions": TITLES["table1"],
        "Mine; with a semicolon": "Mine; with a semicolon",
    }
    assert {title: experiment_title({"title": title, "experiment": "x"}) for title in old} == old
    assert experiment_title({"experiment": "mine"}) == "mine"
    lines = [line(m, p, 0, 1, suite="numbers", title="Two, compared") for m in ("uncage", "base") for p in ("p", "q")]
    table = build_table(lines, "table1")
    assert table.heading == "Two, compared, on prompts that count objects, embedded"
    assert to_rows(table)[1][0][0] == "UNCAGE"
    assert next(csv.DictReader(io.StringIO(to_csv(table))))["method"] == "uncage", "programs read the names"


def test_seeds_are_told_as_they_were_drawn() -> None:
    def size(seeds: dict[str, tuple[int, ...]]) -> str:
        return build_table([line("base", prompt, seed, 1) for prompt, own in seeds.items() for seed in own], "table1").size

    assert size({"p": (0, 1), "q": (0, 1)}) == "2 prompts, 2 seeds shared by all prompts, 4 images per method"
    assert size({"p": (1,), "q": (2,)}) == "2 prompts, 1 seed per prompt, 2 images per method"
    assert size({"p": (1, 2), "q": (3, 4)}) == "2 prompts, 2 seeds per prompt, 4 images per method"
    assert size({"p": (1, 2), "q": (3,)}) == "2 prompts, one or more seeds per prompt, 3 images per method"
    assert size({"p": (0, 1)}) == "1 prompt, 2 seeds, 2 images per method"
