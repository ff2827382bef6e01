"""The files of a report: tables, plots and documents, renewed with the same bytes (what they say: tests/unit/test_bench_report.py)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.age_lines import LINES, PROMPTS, line
from tests.figures import legends_over_lines
from tests.result_lines import EVERYTHING, SPEED
from uncage_demo.bench.ages import growth
from uncage_demo.bench.plots import plot_growth
from uncage_demo.bench.report import BEGIN, END, HEADLINE_MARKS, load_speed, write_report

TEXT = f"# Title\n\n{BEGIN}\n{END}\n\ntail\n"


def test_the_report_is_renewed_with_the_same_bytes(tmp_path: Path) -> None:
    files = write_report(EVERYTHING, tmp_path, SPEED)
    assert {f.suffix for f in files} == {".md", ".csv", ".tex", ".webp"}
    first = {f.name: f.read_bytes() for f in files}
    again = {f.name: f.read_bytes() for f in write_report([one for one in EVERYTHING if one["experiment"] == "table1"], tmp_path / "again")}
    assert {"table1-s.webp", "table1-s-categories.webp", "table1-s-failures.webp"} <= set(again)
    assert {name: first[name] for name in again} == again
    assert first["table1-s.webp"].startswith(b"RIFF")
    assert {"table1-s-categories.webp", "table1-s-failures.webp", "beyond.webp", "speed.md", "weights-s.md"} <= set(first)
    assert b"By category" in first["table1-s.md"]
    assert load_speed([tmp_path]) is None
    (tmp_path / "speed.json").write_text(json.dumps(SPEED))
    assert load_speed([tmp_path]) == SPEED
    (tmp_path / "speed.json").write_text('{"machine": {}}')
    with pytest.raises(ValueError, match="lacks features"):
        load_speed([tmp_path])


def test_each_document_gets_the_sections_that_it_has_marks_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from uncage_demo.bench.records import write_records
    from uncage_demo.cli.main import main

    write_records(tmp_path / "results/a.jsonl.gz", [{**one, "schema": 1, "key": str(number)} for number, one in enumerate(EVERYTHING)])
    short, whole = tmp_path / "README.md", tmp_path / "docs/RESULTS.md"
    whole.parent.mkdir()
    short.write_text("\n".join(HEADLINE_MARKS))
    whole.write_text(TEXT)
    command = ["bench-report", str(tmp_path / "results"), "--out", str(tmp_path / "results"), "--readme", str(short), str(whole)]
    assert main([*command, "--check"]) == 1
    assert not list((tmp_path / "results").glob("*.webp")), "a check writes nothing"
    assert main(command) == 0
    assert (tmp_path / "results/table1-s.webp").is_file()
    assert main([*command, "--check"]) == 0
    assert "| UNCAGE (`uncage`) | 75.0 [" in short.read_text()
    assert "8 prompts, 1 seed shared by all prompts, 8 images per method; model embedded ffff" in short.read_text()
    assert "](../results/table1-s.webp)" in whole.read_text()
    short.write_text(short.read_text().replace("(`uncage`) | 75.0", "(`uncage`) | 90.0"))
    capsys.readouterr()
    assert main([*command, "--check"]) == 1
    assert "90.0" in capsys.readouterr().out


def test_the_report_on_ages_holds_figure_and_numbers(tmp_path: Path) -> None:
    written = {path.name for path in write_report(LINES, tmp_path)}
    assert written == {"ages-s.md", "ages-s.webp"}
    assert all((tmp_path / name).stat().st_size > 500 for name in written)


def test_no_legend_lies_over_the_lines() -> None:
    figure = plot_growth(growth(LINES, "ages", "s"))
    assert len(figure.axes) == 4
    assert not legends_over_lines(figure)


def test_the_growth_figure_shows_the_best_few_methods_of_the_oldest_age() -> None:
    worse = [line(f"worse {n}", prompt, age, 0, 1) for n in range(6) for age in ("1/16", "1") for prompt in PROMPTS]
    figure = plot_growth(growth([*LINES, *worse], "ages", "s"), most=2)
    legend = figure.axes[-1].get_legend()
    assert legend is not None
    told = [text.get_text() for text in legend.get_texts()]
    assert told == ["new", "worse 0"]
