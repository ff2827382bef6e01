"""Report: the section is generated, text and data must agree, plots show the table's numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes

from tests.result_lines import EVERYTHING, LINES, SPEED, line, make, several
from uncage_demo.bench.beyond import gather, reference_of
from uncage_demo.bench.plots import numeric_methods, plot_beyond, plot_curve, plot_methods, plot_panels, plot_table
from uncage_demo.bench.records import SHIPPED_SUFFIX, read_many, record_files
from uncage_demo.bench.report import BEGIN, END, current_section, disagreement, replace_section
from uncage_demo.bench.results import OUTCOMES, detector_error, load_shipped
from uncage_demo.bench.section import against_paper, finding, results_section
from uncage_demo.bench.tables import build_table
from uncage_demo.shipped import RESULTS

ROOT = Path(__file__).resolve().parents[2]


TEXT = f"# Title\n\n{BEGIN}\n{END}\n\ntail\n"


def test_section_round_trip_and_disagreement() -> None:
    text = replace_section(TEXT, results_section(LINES))
    assert text.startswith("# Title\n")
    assert text.endswith("\n\ntail\n")
    assert replace_section(text, results_section(LINES)) == text
    assert disagreement(text, LINES) == ""
    assert "75.0 [" in current_section(text)
    wrong = text.replace("75.0 [", "76.0 [")
    assert "76.0 [" in disagreement(wrong, LINES)
    changed = [*LINES[:-1], line("bad", "q", 1, 1)]
    assert disagreement(text, changed) != ""


@pytest.mark.parametrize("text", ["no markers", f"{END}\n{BEGIN}", f"{BEGIN}\n{END}\n{BEGIN}\n{END}"])
def test_markers_must_be_there_once(text: str) -> None:
    with pytest.raises(ValueError, match="these two lines once"):
        replace_section(text, "x")


def test_findings_only_claim_what_the_interval_allows() -> None:
    clear = [line(m, f"p{i}", 0, v) for i in range(40) for m, v in (("base", 0), ("good", 1), ("same", i % 2 and 0))]
    text = finding(build_table(clear, "table1", "s"))
    assert "Higher: good (+100.0 [+100.0, +100.0])." in text
    assert "No difference shown: same." in text
    assert "Lower" not in text


def test_the_shipped_results_are_small() -> None:
    files = list(RESULTS.rglob("*")) if RESULTS.is_dir() else []
    assert sum(path.stat().st_size for path in files if path.is_file()) < 5e6
    assert {"".join(path.suffixes[-2:]) for path in record_files(RESULTS)} <= {SHIPPED_SUFFIX}, "results are shipped compressed"
    assert f'"*/*{SHIPPED_SUFFIX}"' in (RESULTS.parents[1] / "pyproject.toml").read_text(encoding="utf-8"), "the wheel takes them along"


def test_any_change_of_the_data_is_seen_wherever_it_is_shown() -> None:
    text = replace_section(TEXT, results_section(EVERYTHING, speed=SPEED))
    assert disagreement(text, EVERYTHING, speed=SPEED) == ""
    for experiment in ("table1", "weights", "choose", "confirm"):
        found = next(i for i, r in enumerate(EVERYTHING) if r["experiment"] == experiment and r["metrics"]["correct"])
        flipped = {**EVERYTHING[found], "metrics": {**EVERYTHING[found]["metrics"], "correct": 0}}
        assert disagreement(text, [*EVERYTHING[:found], flipped, *EVERYTHING[found + 1 :]], speed=SPEED) != "", experiment
    slower = {**SPEED, "features": [SPEED["features"][0], {**SPEED["features"][1], "ratio": 1.5}]}
    assert "1.500" in disagreement(text, EVERYTHING, speed=slower)
    assert disagreement(text, EVERYTHING) != ""


def test_the_section_names_weights_and_warns_of_others(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    detector = {"reconstructed_objects_frac": 0.96, "reconstructed_colors_frac": 0.9, "scenes_n": 1000.0}
    path.write_text(json.dumps({"weight_hash": "ffff", "detector": detector}))
    text = results_section(LINES, metrics_files={"embedded": path})
    assert "weights `ffff`" in text
    assert "4.0 % with a wrong object" in text
    assert "not the shipped weights" not in text
    path.write_text(json.dumps({"weight_hash": "abcd", "detector": detector}))
    text = results_section(LINES, metrics_files={"embedded": path})
    assert "not the shipped weights of `embedded`, which are `abcd`" in text
    assert "own error with these weights is not on record" in text


def test_ideas_are_all_listed_and_only_a_clear_one_is_called_confirmed() -> None:
    found = gather(EVERYTHING)
    assert [table.baseline for table in found.confirming] == [one.table.baseline for one in found.rounds] == ["uncage"]
    assert [idea.label for idea in found.rounds[0].ideas] == ["good idea", "so-so", "bad | idea"]
    assert [idea.label for idea in found.confirmed] == ["good idea", "so-so"]
    assert [idea.label for idea in found.clear()] == ["good idea"]
    assert (found.shared_prompts, found.shared_seeds) == (0, 0)
    text = results_section(EVERYTHING)
    assert "**Confirmed**: *good idea*, +100.0 [+100.0, +100.0] points (win / tie / loss 8 / 0 / 0, p (Holm) 0.023) against UNCAGE." in text
    assert "Not confirmed: *so-so*" in text
    assert "The other 1 idea went no further" in text
    assert "In common: no prompt and no seed." in text
    assert "bad \\| idea" in text  # a label may hold anything
    alone = [r for r in EVERYTHING if r["experiment"] == "choose"]
    assert "nothing is claimed" in results_section(alone)
    again = [*alone, *({**r, "experiment": "choose-2", "baseline": "good idea"} for r in alone if "idea" in r["method"])]
    rounds = gather(again).rounds
    assert [(one.table.baseline, [idea.label for idea in one.ideas]) for one in rounds][1] == ("good idea", ["bad | idea"])
    assert "1 idea against good idea" in results_section(again)
    second = several("confirm-2", {"meissonic": 0.0, "uncage": 0.5, "good idea": 0.5}, range(8, 16), 9, "meissonic")
    told = results_section([*EVERYTHING, *second])
    assert "**Confirmed in part**: *good idea*, +100.0 [+100.0, +100.0] points in “" in told
    assert "and +0.0 [" in told
    reused = [*alone, *({**r, "experiment": "confirm"} for r in alone)]
    assert "In common: 8 prompts and 1 seeds." in results_section(reused)


def test_without_a_label_uncage_is_known_by_its_settings() -> None:
    base = {"order": "meissonic", "num_steps": 8, "contrast_weight": 3.0}
    methods = {"plain": base, "half": {**base, "order": "uncage", "contrast_weight": 1.5}, "guided": {**base, "order": "uncage"}}
    lines = [line(m, f"p{i}", 0, i % 2, experiment="choose", baseline="plain", config=c) for m, c in methods.items() for i in range(3)]
    assert reference_of(build_table(lines, "choose")) == "guided"
    assert reference_of(build_table(lines[:6], "choose")) == "plain"


def test_the_papers_sides_are_compared_honestly() -> None:
    rates = {"meissonic": 0.5, "random": 0.5, "confidence": 0.0, "uncage": 0.0, "halton": 1.0}
    text = against_paper(build_table(several("table1", rates, range(40), 0, "meissonic"), "table1", "s"))
    assert text.endswith("The same here: Confidence; Halton. The opposite here: UNCAGE. Not shown either way: Random.")
    assert against_paper(build_table(LINES, "table1", "s")) == ""


def places(axes: Axes, *markers: str) -> list[float]:
    """Where the lines with one of these markers begin, on the x axis."""
    return [float(np.asarray(drawn.get_xdata())[0]) for drawn in axes.lines if drawn.get_marker() in markers]


def test_plot_shows_the_tables_numbers() -> None:
    table = build_table(LINES, "table1", "s")
    figure = plot_methods(table)
    left, right = figure.axes
    points = places(left, "o", "D")
    assert points == [100 * row.estimates["correct"].value for row in table.rows]
    differences = places(right, "o")
    assert differences == [50.0, -25.0]
    assert [label.get_text() for label in left.get_yticklabels()] == ["base", "new", "bad"]


def test_curves_are_drawn_for_numeric_methods_only() -> None:
    lines = [line(m, p, 0, v, baseline="0", experiment="weights") for m, v in (("0", 0), ("0.5", 1), ("1", 1)) for p in ("p", "q")]
    table = build_table(lines, "weights", "s")
    assert numeric_methods(table) == [0, 0.5, 1]
    axes = plot_table(table).axes[0]
    assert axes.get_xlabel().startswith("weight of the contrast")
    assert numeric_methods(build_table(LINES, "table1", "s")) is None
    with pytest.raises(ValueError, match="not numbers"):
        plot_curve(build_table(LINES, "table1", "s"))


def test_the_detectors_own_error_is_told_for_its_own_weights_only(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    detector = {"reconstructed_objects_frac": 0.96, "reconstructed_colors_frac": 0.9, "scenes_n": 1000.0}
    path.write_text(json.dumps({"weight_hash": "ab", "detector": detector}))
    assert "4.0 % with a wrong object, 10.0 % with" in detector_error("ab", {"embedded": tmp_path / "none.json", "embedded-web": path})
    assert detector_error("cd", {"embedded": path}) == ""
    assert detector_error("ab", {"embedded": tmp_path / "none.json"}) == ""


def test_shipped_results_as_tables_and_images(tmp_path: Path) -> None:
    from uncage_demo.bench.records import write_records

    assert load_shipped(tmp_path / "nowhere").pairs == ()
    right = {"a": (0, 0, 1, 1), "b": (0, 1, 0, 1)}
    lines: list[dict[str, Any]] = []
    for method, values in right.items():
        lines += [{**make(seed, method=method, correct=values[seed]), "baseline": "a", "cluster": str(seed)} for seed in range(4)]
    lines[4]["metrics"]["missing"] = 1
    write_records(tmp_path / "a.jsonl.gz", lines)
    shipped = load_shipped(tmp_path)
    ((experiment, suite),) = shipped.pairs
    assert shipped.models == (("embedded", "ffff"),)
    assert shipped.table(experiment, suite) == build_table(lines, experiment, suite)
    about = shipped.about(experiment, suite)
    assert (about["methods"], about["baseline"], about["categories"], about["primary"]) == (["a", "b"], "a", ["animals"], "correct")
    outcomes = {name: [own.seed for own, _ in shipped.find(method="b", outcome=name)] for name in OUTCOMES}
    assert outcomes == {"right": [1, 3], "wrong": [0, 2], "better": [1], "worse": [2], "both wrong": [0]}
    assert [own.seed for own, _ in shipped.find(failure="missing")] == [0]
    own, base = shipped.find(prompt="CAT", method="b")[2]
    assert base is not None
    assert (own.seed, base.seed, base.method, base.correct, own.correct) == (2, 2, "a", True, False)
    assert own.config == lines[6]["config"]
    assert shipped.pair(own.key) == (own, base)
    assert shipped.find(method="a")[0][1] is None
    with pytest.raises(ValueError, match="no shipped result has the key"):
        shipped.pair("nothing")
    with pytest.raises(ValueError, match="outcome='lovely'"):
        shipped.find(outcome="lovely")
    with pytest.raises(ValueError, match="failure='lovely'"):
        shipped.find(failure="lovely")


def test_panels_and_ideas_show_the_tables_numbers() -> None:
    table = build_table(EVERYTHING, "table1", "s")
    figure = plot_panels("kinds", {"missing": (table, "missing"), "correct": (table, "correct")})
    for axes, key in zip(figure.axes, ("missing", "correct"), strict=True):
        points = places(axes, "o", "D")
        assert points == [100 * row.estimates[key].value for row in table.rows]
    with pytest.raises(ValueError, match="no panel"):
        plot_panels("nothing", {})
    axes = plot_beyond(gather(EVERYTHING)).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["good idea", "so-so", "bad | idea"]
    confirmed = places(axes, "o")
    assert confirmed == [100.0, 25.0]
    filled = [drawn.get_markerfacecolor() == drawn.get_color() for drawn in axes.lines if drawn.get_marker() == "o"]
    assert filled == [True, False]


def test_merged_lines_can_become_part_of_an_experiment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from uncage_demo.bench.records import record_key, write_records
    from uncage_demo.cli.main import main

    lines = [make(seed, method=m) for seed in range(2) for m in ("a", "b")]
    write_records(tmp_path / "e1.jsonl", lines)
    out = tmp_path / "choose.jsonl.gz"
    assert main(["bench-merge", str(tmp_path / "e1.jsonl"), "--experiment", "choose", "--title", "Ideas", "--out", str(out)]) == 0
    merged = read_many([out])
    assert {(r["experiment"], r["title"]) for r in merged} == {("choose", "Ideas")}
    assert [r["key"] for r in merged] == [record_key("choose", r["method"], r["suite"], r["image_key"]) for r in lines]
    assert [r["image_key"] for r in merged] == [r["image_key"] for r in lines]
    assert main(["bench-merge", str(tmp_path / "e1.jsonl"), "--title", "Ideas", "--out", str(out)]) == 2
    assert "--experiment" in capsys.readouterr().err
