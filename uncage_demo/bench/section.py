"""Results as Markdown: the whole section of docs/RESULTS.md and the one table of the README.

Text and numbers come from result lines and from the file of `uncage speed`; nothing is written by hand, so a test can compare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from uncage_demo.bench.beyond import SHOWN, beyond_section, is_idea
from uncage_demo.bench.laboratory import series_in, series_of
from uncage_demo.bench.records import Record
from uncage_demo.bench.results import FIRST, MODEL_METRICS, build_tables, judge_note, shipped_weights
from uncage_demo.bench.speed_report import overhead_section
from uncage_demo.bench.tables import (
    FAILED,
    METRICS,
    PLOT_SUFFIX,
    Row,
    Table,
    build_table,
    format_difference,
    format_estimate,
    format_p,
    markdown_table,
    to_markdown,
)
from uncage_demo.bench.titles import heading, method_title

MAIN = FIRST[0]
# What the README shows of it: the orders that anybody would choose between.
HEADLINE = ("meissonic", "halton", "uncage", "anchored", "redraw", "mend")
# Which side of its baseline the paper's scores put a method (2508.05399, Table 1: CLIP text-text and GPT score).
PAPER_SIDES = {
    "random": -1,
    "confidence": -1,
    "halton": 1,
    "uncage, negative only": 1,
    "uncage, positive only": 1,
    "uncage": 1,
    "uncage, all steps": 1,
}


def results_section(
    records: Sequence[Record],
    plots: str = "../assets/results",
    speed: dict[str, Any] | None = None,
    metrics_files: Mapping[str, Path] = MODEL_METRICS,
) -> str:
    """All results: the main table, a line for each other experiment, ideas beyond UNCAGE, what it costs.

    Args:
        records: result lines.
        plots: folder of the tables and plots, relative to docs; "" leaves links and plots out.
        speed: what `uncage speed --json` wrote; None leaves the costs out.
        metrics_files: measurements of the shipped weights by model (for the judge's own error).

    Raises:
        ValueError: when there are no lines.
    """
    if not records:
        raise ValueError("no results: run `uncage bench` first")
    tables = build_tables(list(records))
    main = [table for table in tables if table.experiment == MAIN]
    ideas = [table for table in tables if is_idea(table.experiment)]
    others = [table for table in tables if table not in main and table not in ideas]
    others.sort(key=lambda table: FIRST.index(table.experiment) if table.experiment in FIRST else len(FIRST))
    parts = [introduction(records, tables, metrics_files)]
    if main:
        parts.append(main_part(records, main, plots))
    if others:
        parts.append("### The other experiments\n")
        for model in sorted({table.model.split()[0] for table in others}):
            of_model = [table for table in others if table.model.split()[0] == model]
            lines = "\n".join(one_line(table, plots, plot_stem(records, table)) for table in of_model)
            parts.append(f"#### `{model}`\n\n{lines}\n")
        curve = next((table for table in others if table.experiment == "weights"), None)
        if curve and plots:
            parts.append(f"![{curve.heading}]({plots}/{stem(curve)}{PLOT_SUFFIX})\n")
    if ideas:
        parts.append(beyond_section(records, plots))
    if speed:
        parts.append(overhead_section(speed, f"{plots}/speed.md" if plots else ""))
    return "\n".join(parts)


def headline_section(records: Sequence[Record]) -> str:
    """The README's one table: each main order, how often its pictures are fully correct, and the difference from the baseline.

    Args:
        records: result lines; those of `MAIN` with an order of `HEADLINE` are shown.

    Raises:
        ValueError: when there are no such lines.
    """
    found = [record for record in records if record["experiment"] == MAIN and record["method"] in HEADLINE]
    if not found:
        raise ValueError(f"no results of the experiment {MAIN!r}: run `uncage bench --experiment {MAIN}` first")
    table = build_tables(found)[0]
    metric = METRICS[table.primary]
    rows = []
    for row in table.rows:
        compared = "baseline" if row.comparison is None else format_difference(row.comparison.difference, metric)
        rows.append([f"{row.title} (`{row.method}`)", format_estimate(row.estimates[table.primary], metric), compared])
    head = ["order", f"{metric.heading} %", "against the baseline, points"]
    sizes = f"{table.size}; model {table.model}; 95 % intervals in brackets."
    return f"{markdown_table(head, rows)}\n{sizes}\n"


def introduction(records: Sequence[Record], tables: Sequence[Table], metrics_files: Mapping[str, Path] = MODEL_METRICS) -> str:
    """Which weights, how many pictures, who judged with what error, and how to read the numbers."""
    models = list(dict.fromkeys(table.model for table in tables))
    pictures = len({record["image_key"] for record in records})
    hardware = "; ".join(dict.fromkeys(table.hardware for table in tables if table.hardware))
    lines = [f"{pictures:,} pictures ({len(records):,} result lines) of {', '.join(map(weights_told, models))}, by `uncage bench`"]
    lines[0] += f" on {hardware}." if hardware else "."
    shipped = shipped_weights(metrics_files)
    for name in dict.fromkeys(
        name for name, _, weights in (model.partition(" ") for model in models) if shipped.get(name, weights) != weights
    ):
        lines.append(f"**These are not the shipped weights of `{name}`, which are `{shipped[name]}`.**")
    lines += dict.fromkeys(judge_note(table, metrics_files) for table in tables)
    lines.append(
        "Brackets are 95 % intervals (bootstrap that draws whole prompts). Methods are compared on the same prompts and seeds, in points; "
        "p is McNemar's exact test, “Holm” corrects it for the number of methods in the table. "
        "We claim nothing whose interval includes zero."
    )
    return " ".join(lines) + "\n"


def weights_told(model: str) -> str:
    """ "id hash" -> how prose names it."""
    name, _, weights = model.partition(" ")
    return f"model `{name}`, weights `{weights}`"


def main_part(records: Sequence[Record], tables: Sequence[Table], plots: str) -> str:
    """The paper's Table 1 on its first suite; categories and failures folded; other suites as a column and a line each."""
    full = tables[0]
    table = build_table(records, full.experiment, full.suite, metrics=[key for key in SHOWN if key in full.metrics])
    parts = [f"### {table.heading}\n\n{to_markdown(table)}\n{finding(table)} {against_paper(table)}".rstrip() + "\n"]
    if plots:
        parts.append(f"![{table.heading}]({plots}/{stem(table)}{PLOT_SUFFIX})\n")
    parts += [one_line(other, plots) + "\n" for other in tables[1:]]
    if len(category_columns(records, full)) > 1:
        parts.append(folded(f"By category: {METRICS[full.primary].heading}", category_tables(records, full)))
    if any(key in full.metrics for key in FAILED):
        parts.append(folded("What goes wrong, by method", failure_table(full)))
    return "\n".join(parts)


def finding(table: Table) -> str:
    """One paragraph: which methods differ from the baseline with an interval clear of zero, and which do not."""
    metric = METRICS[table.primary]
    higher, lower, open_ = sides(table)
    unit = "points of " if metric.percent else ""
    lines = [f"Against {table.against}, in {unit}{metric.heading}."]
    lines.append(f"Higher: {_listed(higher, table)}." if higher else "Higher with an interval clear of zero: none.")
    if lower:
        lines.append(f"Lower: {_listed(lower, table)}.")
    if open_:
        lines.append(f"No difference shown: {'; '.join(row.title for row in open_)}.")
    if len(table.rows) > 2 and (higher or lower):
        kept = [row.title for row in (*higher, *lower) if (row.adjusted_p or 0.0) < 0.05]
        lines.append(f"With p below 0.05 after Holm's correction: {'; '.join(kept) or 'none'}.")
    return " ".join(lines)


def sides(table: Table) -> tuple[list[Row], list[Row], list[Row]]:
    """(higher, lower, undecided): rows whose interval against the baseline is above zero, below zero, or holds it (or is missing)."""
    compared = [(row, row.comparison.difference) for row in table.rows if row.comparison is not None]
    higher = [row for row, difference in compared if difference.low > 0]
    lower = [row for row, difference in compared if difference.high < 0]
    return higher, lower, [row for row, _ in compared if row not in higher and row not in lower]


def against_paper(table: Table) -> str:
    """One sentence: where the paper's comparison with its baseline holds here, is reversed, or is not shown; "" where nothing is shared."""
    if table.baseline != "meissonic":
        return ""
    higher, lower, _ = sides(table)
    found = {row.method: 1 for row in higher} | {row.method: -1 for row in lower}
    known = {row.method: PAPER_SIDES[row.method] for row in table.rows if row.method in PAPER_SIDES}
    same = [method_title(name) for name, side in known.items() if found.get(name) == side]
    reversed_ = [method_title(name) for name, side in known.items() if found.get(name) == -side]
    rest = [method_title(name) for name in known if name not in found]
    said = [f"The same here: {'; '.join(same)}."] if same else []
    said += [f"The opposite here: {'; '.join(reversed_)}."] if reversed_ else []
    said += [f"Not shown either way: {'; '.join(rest)}."] if rest else []
    if not said:
        return ""
    return (
        "The paper (a large model, other scores) puts Random and Confidence below this baseline, and Halton and every form of UNCAGE above "
        "it. " + " ".join(said)
    )


def one_line(table: Table, plots: str = "", plot: str = "") -> str:
    """An experiment as one list item: baseline, highest and lowest setting with their intervals, and how many are clear of zero.

    Args:
        table: the experiment. plots: where its table and its plot are; "" = neither is named.
        plot: the plot's name without its ending, where it is not the table's (see `plot_stem`).
    """
    metric = METRICS[table.primary]
    base = table.row(table.baseline)
    text = f"- **{heading(table.title, table.suite)}**: {table.size}. {metric.heading.capitalize()} with {table.against}: "
    text += f"{format_estimate(base.estimates[table.primary], metric)}{' %' if metric.percent else ''}."
    compared = sorted((row for row in table.rows if row.comparison), key=_difference)
    if compared:
        ends = [("Highest", compared[-1])] + ([("lowest", compared[0])] if len(compared) > 1 else [])
        told = (f"{name}: {_with_interval(row, table)}, p (Holm) {format_p(row.adjusted_p or 0.0)}" for name, row in ends)
        text += f" {'; '.join(told)}."
        higher, lower, _ = sides(table)
        clear = [f"{len(group)} {name}" for name, group in (("higher", higher), ("lower", lower)) if group]
        text += f" Interval clear of zero: {' and '.join(clear) or 'none'} of {len(compared)}."
    return text + (f" [Table]({plots}/{stem(table)}.md), [plot]({plots}/{plot or stem(table)}{PLOT_SUFFIX})." if plots else "")


def category_columns(records: Sequence[Record], table: Table) -> list[tuple[str, str, str]]:
    """(heading, suite, category) of the category table: the suite's categories, then the experiment's other suites as wholes."""
    own = dict.fromkeys(r["category"] for r in records if (r["experiment"], r["suite"]) == (table.experiment, table.suite))
    others = dict.fromkeys(r["suite"] for r in records if r["experiment"] == table.experiment and r["suite"] != table.suite)
    columns = [(category, table.suite, category) for category in own] if len(own) > 1 else []
    return columns + [(suite, suite, "") for suite in others]


def category_parts(records: Sequence[Record], table: Table) -> dict[str, Table]:
    """Heading -> the table of that category on the primary metric alone."""
    return {
        heading: build_table(records, table.experiment, suite, category=category, metrics=[table.primary], primary=table.primary)
        for heading, suite, category in category_columns(records, table)
    }


def category_tables(records: Sequence[Record], table: Table) -> str:
    """The primary metric by category, and the differences from the baseline, as two Markdown tables."""
    metric = METRICS[table.primary]
    parts = category_parts(records, table)
    head = ["method", *(f"{heading} ({part.prompts} prompts, {part.images} images)" for heading, part in parts.items())]
    rates, differences = [], []
    for row in table.rows:
        found = [next((r for r in part.rows if r.method == row.method), None) for part in parts.values()]
        rates.append([row.title, *("" if r is None else format_estimate(r.estimates[table.primary], metric) for r in found)])
        if row.comparison is not None:
            cells = ("" if r is None or r.comparison is None else format_difference(r.comparison.difference, metric) for r in found)
            differences.append([row.title, *cells])
    unit = " %" if metric.percent else ""
    told = f"{metric.heading.capitalize()}{unit}:\n\n{markdown_table(head, rates)}\n"
    if differences:
        told += f"Against {table.against}{', points' if metric.percent else ''}:\n\n{markdown_table(head, differences)}\n"
    return told


def failure_table(table: Table) -> str:
    """What goes wrong, by method, as Markdown. A picture may show several failures."""
    keys = [key for key in FAILED if key in table.metrics]
    head = ["method", *(METRICS[key].heading + (" %" if METRICS[key].percent else "") for key in keys)]
    lines = [[row.title, *(format_estimate(row.estimates[key], METRICS[key]) for key in keys)] for row in table.rows]
    return f"{table.size}; a picture may show several failures.\n\n{markdown_table(head, lines)}\n"


def stem(table: Table) -> str:
    """File name, without ending, of what belongs to a table."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in f"{table.experiment}-{table.suite}")


def plot_stem(records: Sequence[Record], table: Table) -> str:
    """File name, without ending, of the plot that shows a table: its own, or the curve over forwards that it is a part of."""
    found = series_of(table.experiment)
    return f"{found[0]}-{table.suite}" if found and (found[0], table.suite) in series_in(records, least=2) else stem(table)


def folded(title: str, text: str) -> str:
    """Text that the reader unfolds."""
    return f"<details><summary>{title}</summary>\n\n{text.strip()}\n\n</details>\n"


def _with_interval(row: Row, table: Table) -> str:
    assert row.comparison is not None
    unit = " points" if METRICS[table.primary].percent else ""
    return f"{row.title}, {format_difference(row.comparison.difference, METRICS[table.primary])}{unit}"


def _listed(rows: Sequence[Row], table: Table) -> str:
    metric = METRICS[table.primary]
    return "; ".join(f"{r.title} ({format_difference(r.comparison.difference, metric)})" for r in rows if r.comparison is not None)


def _difference(row: Row) -> float:
    return row.comparison.difference.value if row.comparison else 0.0
