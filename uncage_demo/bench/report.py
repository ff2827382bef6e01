"""The results section of the README, and a folder of tables and plots; all from result lines, never by hand.

The section stands between two marker lines, so a command can renew it and a test can see that text and data agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from uncage_demo.bench.plots import plot_table
from uncage_demo.bench.records import Record
from uncage_demo.bench.results import build_tables, detector_error
from uncage_demo.bench.tables import (
    FAILED,
    METRICS,
    Table,
    build_table,
    format_difference,
    format_estimate,
    markdown_table,
    to_csv,
    to_latex,
    to_markdown,
)

BEGIN, END = "<!-- results:begin (written by `uncage bench-report --readme`; do not edit) -->", "<!-- results:end -->"
README_METRICS = ("all", "bound", "correct", "min_object", "text_image", "text_text")


def results_section(records: Sequence[Record], plots: str = "assets/results") -> str:
    """The README's results, as Markdown: for each experiment a table, its plot and what can and cannot be said.

    Args:
        records: result lines.
        plots: folder of the plots, relative to the README; "" leaves them out.

    Raises:
        ValueError: when there are no lines.
    """
    if not records:
        raise ValueError("no results: run `uncage bench` first")
    parts = []
    for full in build_tables(list(records)):
        metrics = [key for key in README_METRICS if key in full.metrics]
        table = build_table(records, full.experiment, full.suite, metrics=metrics)
        error = detector_error(table.model.split()[-1]) if "detector" in table.scorer else ""
        notes = "\n\n".join(filter(None, (error, finding(table))))
        parts.append(f"### {table.title}: {table.suite}\n\n{to_markdown(table)}\n{notes}\n")
        if plots:
            parts.append(f"![{table.title}, {table.suite}]({plots}/{plot_name(table)})\n")
        categories = list(dict.fromkeys(r["category"] for r in records if (r["experiment"], r["suite"]) == (table.experiment, table.suite)))
        if len(categories) > 1 and len(table.rows) > 2:
            parts.append(category_table(records, table, categories))
        if any(key in full.metrics for key in FAILED) and table.experiment == "table1":
            parts.append(failure_table(build_table(records, full.experiment, full.suite)))
    return "\n".join(parts)


def finding(table: Table) -> str:
    """One paragraph: which methods differ from the baseline with an interval clear of zero, and which do not."""
    metric = METRICS[table.primary]
    better, worse, open_ = [], [], []
    for row in table.rows:
        if row.comparison is None:
            continue
        difference = row.comparison.difference
        text = f"{row.method} ({format_difference(difference, metric)})"
        if difference.low > 0:
            better.append(text)
        elif difference.high < 0:
            worse.append(text)
        else:
            open_.append(row.method)
    unit = "points of " if metric.percent else ""
    lines = [f"Against {table.baseline}, in {unit}{metric.heading}, 95 % intervals clustered by prompt."]
    lines.append(f"Higher: {'; '.join(better)}." if better else "Higher with an interval clear of zero: none.")
    if worse:
        lines.append(f"Lower: {'; '.join(worse)}.")
    if open_:
        lines.append(f"No difference shown: {'; '.join(open_)}.")
    return " ".join(lines)


def category_table(records: Sequence[Record], table: Table, categories: Sequence[str]) -> str:
    """The primary metric by category of the suite, as Markdown."""
    metric = METRICS[table.primary]
    parts = [
        build_table(records, table.experiment, table.suite, category=c, metrics=[table.primary], primary=table.primary) for c in categories
    ]
    unit = " %" if metric.percent else ""
    head = ["method", *(f"{part.category} ({part.prompts} prompts){unit}" for part in parts)]
    lines = []
    for row in table.rows:
        cells = [next((r.estimates[table.primary] for r in part.rows if r.method == row.method), None) for part in parts]
        lines.append([row.method, *("" if cell is None else format_estimate(cell, metric) for cell in cells)])
    return f"By category, {metric.heading}:\n\n{markdown_table(head, lines)}\n"


def failure_table(table: Table) -> str:
    """What goes wrong, by method, as Markdown."""
    keys = [key for key in FAILED if key in table.metrics]
    head = ["method", *(METRICS[key].heading + (" %" if METRICS[key].percent else "") for key in keys)]
    lines = [[row.method, *(format_estimate(row.estimates[key], METRICS[key]) for key in keys)] for row in table.rows]
    return f"What goes wrong:\n\n{markdown_table(head, lines)}\n"


def plot_name(table: Table) -> str:
    """File name of a table's plot."""
    return f"{table.experiment}-{table.suite}.png"


def write_report(records: Sequence[Record], folder: str | Path) -> list[Path]:
    """Write every table as Markdown, CSV and LaTeX, and its plot as PNG; returns the files."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for table in build_tables(list(records)):
        stem = folder / f"{table.experiment}-{table.suite}"
        for ending, text in ((".md", to_markdown(table)), (".csv", to_csv(table)), (".tex", to_latex(table))):
            path = stem.with_name(stem.name + ending)
            path.write_text(text, encoding="utf-8")
            written.append(path)
        picture = folder / plot_name(table)
        # Without the software's version in the file, equal data give equal bytes.
        plot_table(table).savefig(picture, dpi=130, metadata={"Software": None})
        written.append(picture)
    return written


def replace_section(text: str, section: str) -> str:
    """The text with what stands between the markers replaced.

    Raises:
        ValueError: when the markers are not there exactly once, in order.
    """
    before, after = _around(text)
    return f"{before}{BEGIN}\n\n{section.strip()}\n\n{END}{after}"


def current_section(text: str) -> str:
    """What stands between the markers now."""
    before, after = _around(text)
    return text[len(before) + len(BEGIN) : len(text) - len(after) - len(END)].strip()


def disagreement(text: str, records: Sequence[Record], plots: str = "assets/results") -> str:
    """The first line of the README's section that differs from what the data say; "" when they agree."""
    current, wanted = current_section(text).splitlines(), results_section(records, plots).strip().splitlines()
    for number in range(max(len(current), len(wanted))):
        have = current[number] if number < len(current) else "(nothing)"
        want = wanted[number] if number < len(wanted) else "(nothing)"
        if have != want:
            return f"line {number + 1} of the results section is {have!r}; the data say {want!r}"
    return ""


def _around(text: str) -> tuple[str, str]:
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"the text must hold these two lines once, in this order:\n{BEGIN}\n{END}")
    return text[: text.index(BEGIN)], text[text.index(END) + len(END) :]
