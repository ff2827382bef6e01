"""Files made of result lines: a folder of tables and plots, and the generated sections of documents, between their marks.

Nothing in them is written by hand; a command renews them and a test can see that text and data agree.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from uncage_demo.bench.ages import growth, growth_markdown, has_ages
from uncage_demo.bench.beyond import gather, is_idea
from uncage_demo.bench.gains import NAMES, gains_section, read_name
from uncage_demo.bench.laboratory import curves, series_in
from uncage_demo.bench.plots import plot_beyond, plot_forwards, plot_growth, plot_panels, plot_table
from uncage_demo.bench.records import Record
from uncage_demo.bench.results import build_tables, judge_note
from uncage_demo.bench.section import (
    MAIN,
    category_columns,
    category_parts,
    category_tables,
    failure_table,
    finding,
    headline_section,
    plot_stem,
    results_section,
    stem,
)
from uncage_demo.bench.speed_report import to_markdown as speed_to_markdown
from uncage_demo.bench.tables import FAILED, METRICS, PLOT_SUFFIX, Table, to_csv, to_latex, to_markdown
from uncage_demo.bench.titles import heading
from uncage_demo.files import replacing, write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _marks(name: str) -> tuple[str, str]:
    return f"<!-- {name}:begin (written by `uncage bench-report --readme`; do not edit) -->", f"<!-- {name}:end -->"


BEGIN, END = RESULTS_MARKS = _marks("results")
HEADLINE_MARKS = _marks("headline")
SPEED_FILE = "speed.json"


def write_report(records: Sequence[Record], folder: str | Path, speed: dict[str, Any] | None = None) -> list[Path]:
    """Write every table as Markdown, CSV and LaTeX, its plots as WebP, and the costs; returns the files. Equal data, equal bytes.

    Args:
        records: result lines.
        folder: made when missing.
        speed: what `uncage speed --json` wrote.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for table in build_tables(list(records)):
        name, note = stem(table), judge_note(table)
        texts = {".md": full_report(records, table), ".csv": to_csv(table), ".tex": to_latex(table, note)}
        for ending, text in texts.items():
            written.append(folder / f"{name}{ending}")
            write_atomically(written[-1], text)
        if plot_stem(records, table) == name:
            written.append(save_plot(plot_table(table, note), folder / f"{name}{PLOT_SUFFIX}"))
        if table.experiment != MAIN:
            continue
        if len(category_columns(records, table)) > 1:
            parts = {heading: (part, part.primary) for heading, part in category_parts(records, table).items()}
            figure = plot_panels(f"{table.heading}, by category", parts, note)
            written.append(save_plot(figure, folder / f"{name}-categories{PLOT_SUFFIX}"))
        kinds = [key for key in FAILED if key in table.metrics]
        if kinds:
            figure = plot_panels(f"{table.heading}: what goes wrong", {METRICS[key].heading: (table, key) for key in kinds}, note)
            written.append(save_plot(figure, folder / f"{name}-failures{PLOT_SUFFIX}"))
    for experiment, suite in dict.fromkeys((record["experiment"], record["suite"]) for record in records):
        if has_ages(records, experiment, suite):
            found = growth(records, experiment, suite)
            written.append(folder / f"{experiment}-{suite}.md")
            written[-1].write_text(growth_markdown(found), encoding="utf-8")
            written.append(save_plot(plot_growth(found), folder / f"{experiment}-{suite}{PLOT_SUFFIX}"))
    for series, suite in series_in(records, least=2):
        found = curves(records, suite, series)
        models = dict.fromkeys(table.model.split()[0] for tables in found.values() for table in tables.values())
        title = f"{heading('Orders and settings against forward passes per picture', suite)}, {', '.join(models)}"
        figure = plot_forwards(title, found)
        written.append(save_plot(figure, folder / f"{series}-{suite}{PLOT_SUFFIX}"))
    if any(is_idea(record["experiment"]) for record in records):
        written.append(save_plot(plot_beyond(gather(records)), folder / f"beyond{PLOT_SUFFIX}"))
    if speed:
        written.append(folder / "speed.md")
        write_atomically(written[-1], speed_to_markdown(speed))
    return written


def full_report(records: Sequence[Record], table: Table) -> str:
    """Everything about one table as Markdown: rates, comparison, categories, failures, and the judge's own error."""
    parts = [f"# {table.heading}\n\n{to_markdown(table, judge_note(table))}\n{finding(table)}\n"]
    parts.append(f"![{table.heading}]({plot_stem(records, table)}{PLOT_SUFFIX})\n")
    if len(category_columns(records, table)) > 1:
        parts.append(f"## By category\n\n{category_tables(records, table)}")
    if any(key in table.metrics for key in FAILED):
        parts.append(f"## What goes wrong\n\n{failure_table(table)}")
    return "\n".join(parts)


def save_plot(figure: Figure, path: Path) -> Path:
    """A figure as a small lossless WebP: 48 colours are enough for lines and text. Equal figures give equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=160, metadata={"Software": None})
    with Image.open(buffer) as picture, replacing(path) as place:
        picture.convert("RGB").quantize(48, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).convert("RGB").save(
            place, "WEBP", lossless=True, method=6
        )
    return path


def load_speed(paths: Sequence[str | Path]) -> dict[str, Any] | None:
    """What `uncage speed --json` wrote, from the first of these folders that has it; None where none has.

    Raises:
        ValueError: when the file is not such a measurement.
    """
    for path in map(Path, paths):
        file = path / SPEED_FILE
        if path.is_dir() and file.is_file():
            try:
                speed = json.loads(file.read_text(encoding="utf-8"))
            except json.JSONDecodeError as error:
                raise ValueError(f"{file.name} is not JSON: {error}") from error
            missing = {"machine", "model", "features", "throughput", "num_steps", "rounds"} - set(speed)
            if missing:
                raise ValueError(f"{file.name} lacks {', '.join(sorted(missing))}; write it with `uncage speed --json`")
            return speed
    return None


def replace_section(text: str, section: str, marks: tuple[str, str] = (BEGIN, END)) -> str:
    """The text with what stands between the markers replaced.

    Args:
        text: of the document; section: what is to stand there; marks: the lines before and after it.

    Raises:
        ValueError: when the markers are not there exactly once, in order.
    """
    before, after = _around(text, marks)
    return f"{before}{marks[0]}\n\n{section.strip()}\n\n{marks[1]}{after}"


def current_section(text: str, marks: tuple[str, str] = (BEGIN, END)) -> str:
    """What stands between the markers now."""
    before, after = _around(text, marks)
    return text[len(before) + len(marks[0]) : len(text) - len(after) - len(marks[1])].strip()


def sections(
    text: str, records: Sequence[Record], plots: str = "../assets/results", speed: dict[str, Any] | None = None
) -> list[tuple[tuple[str, str], str]]:
    """The generated sections that a document has marks for, with what is to stand there.

    Args:
        text: of the document.
        records: result lines.
        plots: folder of the tables and plots, as the document links to it.
        speed: what `uncage speed --json` wrote; None leaves the costs out.

    Raises:
        ValueError: when the text has the marks of no section.
    """
    made = [(HEADLINE_MARKS, lambda: headline_section(records)), (RESULTS_MARKS, lambda: results_section(records, plots, speed))]
    found = [(marks, make().strip()) for marks, make in made if marks[0] in text]
    found += [(_marks(name), gains_section(records, read_name(name)).strip()) for name in NAMES.findall(text)]
    if not found:
        wanted = "\nor\n".join("\n".join(marks) for marks, _ in made)
        raise ValueError(f"the text must hold these two lines once, in this order:\n{wanted}")
    return found


def renewed(text: str, records: Sequence[Record], plots: str = "../assets/results", speed: dict[str, Any] | None = None) -> str:
    """The document with every generated section as the data say; arguments and errors as `sections`."""
    for marks, section in sections(text, records, plots, speed):
        text = replace_section(text, section, marks)
    return text


def disagreement(text: str, records: Sequence[Record], plots: str = "../assets/results", speed: dict[str, Any] | None = None) -> str:
    """The first line of a document's generated sections that differs from what the data say; "" when they agree."""
    for marks, section in sections(text, records, plots, speed):
        current, wanted = current_section(text, marks).splitlines(), section.splitlines()
        for number in range(max(len(current), len(wanted))):
            have = current[number] if number < len(current) else "(nothing)"
            want = wanted[number] if number < len(wanted) else "(nothing)"
            if have != want:
                return f"line {number + 1} of the section after {marks[0]} is {have!r}; the data say {want!r}"
    return ""


def plots_folder(document: Path, results: Path) -> str:
    """How a document links to the folder of tables and plots."""
    return Path(os.path.relpath(results.resolve(), document.resolve().parent)).as_posix()


def _around(text: str, marks: tuple[str, str]) -> tuple[str, str]:
    begin, end = marks
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"the text must hold these two lines once, in this order:\n{begin}\n{end}")
    return text[: text.index(begin)], text[text.index(end) + len(end) :]
