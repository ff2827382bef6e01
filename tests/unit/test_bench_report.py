"""Report: the section is generated, text and data must agree, plots show the table's numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_bench_tables import LINES, line

from uncage_demo.bench.plots import numeric_methods, plot_curve, plot_methods, plot_table
from uncage_demo.bench.records import read_many
from uncage_demo.bench.report import BEGIN, END, current_section, disagreement, finding, replace_section, results_section, write_report
from uncage_demo.bench.results import RESULTS_DIR, detector_error, load_shipped
from uncage_demo.bench.tables import build_table

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


def test_readme_agrees_with_the_shipped_results() -> None:
    records = read_many([RESULTS_DIR]) if RESULTS_DIR.is_dir() else []
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert (disagreement(text, records) if records else current_section(text)) == ""


def test_report_files(tmp_path: Path) -> None:
    files = write_report(LINES, tmp_path)
    assert {f.suffix for f in files} == {".md", ".csv", ".tex", ".png"}
    first = {f.name: f.read_bytes() for f in files}
    assert {f.name: f.read_bytes() for f in write_report(LINES, tmp_path)} == first
    assert first["table1-s.png"].startswith(b"\x89PNG")


def test_plot_shows_the_tables_numbers() -> None:
    table = build_table(LINES, "table1", "s")
    figure = plot_methods(table)
    left, right = figure.axes
    points = [float(drawn.get_xdata()[0]) for drawn in left.lines if drawn.get_marker() == "o"]  # pyright: ignore
    assert points == [100 * row.estimates["correct"].value for row in table.rows]
    differences = [float(drawn.get_xdata()[0]) for drawn in right.lines if drawn.get_marker() == "o"]  # pyright: ignore
    assert differences == [50.0, -25.0]
    assert [label.get_text() for label in left.get_yticklabels()] == ["base", "new", "bad"]


def test_curves_are_drawn_for_numeric_methods_only() -> None:
    lines = [line(m, p, 0, v, baseline="0", experiment="weights") for m, v in (("0", 0), ("0.5", 1), ("1", 1)) for p in ("p", "q")]
    table = build_table(lines, "weights", "s")
    assert numeric_methods(table) == [0, 0.5, 1]
    axes = plot_table(table).axes[0]
    assert axes.get_xlabel() == "weight of the contrast"
    assert numeric_methods(build_table(LINES, "table1", "s")) is None
    with pytest.raises(ValueError, match="not numbers"):
        plot_curve(build_table(LINES, "table1", "s"))


def test_the_detectors_own_error_is_told_for_its_own_weights_only(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    detector = {"reconstructed_objects_frac": 0.96, "reconstructed_colors_frac": 0.9, "scenes_n": 1000.0}
    path.write_text(json.dumps({"weight_hash": "ab", "detector": detector}))
    assert "4.0 % with a wrong object, 10.0 % with" in detector_error("ab", path)
    assert detector_error("cd", path) == ""
    assert detector_error("ab", tmp_path / "none.json") == ""


def test_shipped_results_as_tables_and_images(tmp_path: Path) -> None:
    from test_bench_records import make

    from uncage_demo.bench.records import write_records

    assert load_shipped(tmp_path / "nowhere").tables == ()
    write_records(tmp_path / "a.jsonl.gz", [make(s, method=m, correct=s % 2) for s in range(4) for m in ("a", "b")])
    shipped = load_shipped(tmp_path)
    assert len(shipped.tables) == 1
    assert shipped.weight_hashes == ("ffff",)
    assert len(shipped.find(method="b", correct=True)) == 2
    assert shipped.find(prompt="CAT", experiment="table1")[0].config["seed"] == 0
    assert not shipped.find(failure="missing")
