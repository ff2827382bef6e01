"""Tables from result lines: rates with intervals, paired differences with the baseline; as Markdown, CSV and LaTeX.

Everything here is computed from the lines alone. Knows no model and no picture.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from uncage_demo.bench.records import UNJUDGED, Record
from uncage_demo.bench.statistics import Comparison, Estimate, holm, paired_many, rates
from uncage_demo.bench.titles import against, experiment_title, heading, method_title

PLOT_SUFFIX = ".webp"  # of the plots in a report


@dataclass(frozen=True)
class Metric:
    """How a number of a result line is shown.

    Args:
        key: its name in the line; heading: column title.
        percent: a rate, shown in percent; otherwise a plain number with `digits` decimals.
        higher_is_better: False for failures.
    """

    key: str
    heading: str
    percent: bool = True
    higher_is_better: bool = True
    digits: int = 1


METRICS = {
    metric.key: metric
    for metric in (
        Metric("one", "at least one"),
        Metric("two", "at least two"),
        Metric("all", "every object"),
        Metric("colored", "asked colours right"),
        Metric("bound", "every object in its colour"),
        Metric("correct", "fully correct"),
        Metric("seam", "whole at the seam"),
        Metric("missing", "missing object", higher_is_better=False),
        Metric("mixture", "mixture", higher_is_better=False),
        Metric("miscolored", "objects there, a colour wrong", higher_is_better=False),
        Metric("leaked", "leaked colour", higher_is_better=False),
        Metric("duplicate", "duplicate", higher_is_better=False),
        Metric("extra", "extra objects per image", percent=False, higher_is_better=False, digits=2),
        Metric("forwards", "forward passes", percent=False, higher_is_better=False),
        Metric("text_image", "CLIP text-image", percent=False, digits=2),
        Metric("min_object", "CLIP minimum object", percent=False, digits=2),
        Metric("text_text", "BLIP text-text", percent=False, digits=2),
    )
}
SUCCESS = ("one", "two", "all", "colored", "bound", "correct", "seam", "text_image", "min_object", "text_text")
FAILED = ("missing", "mixture", "miscolored", "leaked", "duplicate", "extra")
COST = ("forwards",)
# What methods are compared on, the first that all lines have; of pictures that nobody judged, only the cost is known.
PRIMARY = ("correct", "min_object", "text_image", *COST)


@dataclass(frozen=True)
class Row:
    """One method of a table.

    Args:
        method: its label.
        estimates: metric key -> mean with interval.
        comparison: against the baseline on the primary metric; None for the baseline itself.
        adjusted_p: Holm-adjusted p value among the table's methods; None for the baseline.
        settings: the settings that all of the method's lines share.
    """

    method: str
    estimates: dict[str, Estimate]
    comparison: Comparison | None
    adjusted_p: float | None
    settings: dict[str, object]

    @property
    def title(self) -> str:
        """The method as people call it."""
        return method_title(self.method)


@dataclass(frozen=True)
class Table:
    """A finished comparison.

    Args:
        experiment: name; title: what it compares; suite: name, or several joined by " + "; category: name or "" for all.
        metrics: keys of the columns; primary: the key the comparison is about.
        baseline: label of the baseline.
        rows: one per method, in the order in which methods appear in the lines.
        images: images per method; prompts: how many; clusters: groups of prompts that a bootstrap draws as one; seeds: the seeds, sorted.
        dropped: images left out because another method lacks its partner (an unfinished run).
        scorer: name and version of what judged; model: "id weight_hash".
        hardware: what the pictures were made on, as the lines tell ("" where they do not).
    """

    experiment: str
    title: str
    suite: str
    category: str
    metrics: tuple[str, ...]
    primary: str
    baseline: str
    rows: tuple[Row, ...]
    images: int
    prompts: int
    clusters: int
    seeds: tuple[int, ...]
    dropped: int
    scorer: str
    model: str
    hardware: str = ""

    @property
    def heading(self) -> str:
        """What is compared, on which prompts, with which model."""
        return f"{heading(self.title, self.suite)}, {self.model.split()[0]}"

    @property
    def against(self) -> str:
        """The baseline inside a sentence."""
        return against(self.baseline)

    @property
    def size(self) -> str:
        """Category, prompts, seeds and images, in a few words."""
        a_prompt = self.images / max(self.prompts, 1)
        shared = len(self.seeds) <= a_prompt
        count = len(self.seeds) if shared else a_prompt
        seeds = f"{count:.0f} seed{'s' if count != 1 else ''}" if count == int(count) else "one or more seeds"
        if self.prompts > 1:
            seeds += " shared by all prompts" if shared else " per prompt"
        grouped = f" in {self.clusters:,} groups" if self.clusters != self.prompts else ""
        where = f"{self.category}: " if self.category else ""
        return f"{where}{self.prompts:,} prompt{'s' if self.prompts != 1 else ''}{grouped}, {seeds}, {self.images:,} images per method"

    @property
    def caption(self) -> str:
        """What the numbers are, in one sentence or two."""
        judged = "not judged" if self.scorer == UNJUDGED else f"judged by {self.scorer}"
        text = f"{self.size}; model {self.model}; {judged}{f'; made on {self.hardware}' if self.hardware else ''}."
        return text + (f" {self.dropped:,} images without a partner left out." if self.dropped else "")

    def row(self, method: str) -> Row:
        """The row of that label.

        Raises:
            KeyError: when there is none.
        """
        for row in self.rows:
            if row.method == method:
                return row
        raise KeyError(method)


def build_table(
    records: Iterable[Record],
    experiment: str,
    suite: str = "",
    *,
    category: str = "",
    metrics: Sequence[str] = (),
    primary: str = "",
    baseline: str = "",
) -> Table:
    """The table of one experiment on one suite (or on all its suites together).

    Only prompts and seeds that every method has are counted, so that all rows are about the same images.

    Args:
        records: result lines (others are ignored).
        experiment, suite, category: which lines; suite "" and category "" take all.
        metrics: keys of the columns; () = every success and failure rate that the lines have.
        primary: key that methods are compared on; "" = "correct" where there is one, else CLIP's, else the forwards.
        baseline: label that the others are compared with; "" = the one that the lines name.

    Raises:
        ValueError: when no line matches, no prompt is complete, one name hides two settings or models, or a metric is unknown.
    """
    lines = [r for r in records if r["experiment"] == experiment and suite in ("", r["suite"]) and category in ("", r["category"])]
    if not lines:
        where = (f" on suite {suite!r}" if suite else "") + (f", {category!r}" if category else "")
        raise ValueError(f"no results for experiment {experiment!r}{where}")
    suites = " + ".join(dict.fromkeys(r["suite"] for r in lines))
    methods = list(dict.fromkeys(r["method"] for r in lines))
    settings = {method: _settings([r for r in lines if r["method"] == method], method) for method in methods}
    models = {_model_name(r["model"]) for r in lines}
    scorers = {str(r.get("scorer", "")) for r in lines}
    if len(models) > 1 or len(scorers) > 1:
        raise ValueError(f"results of different models or scorers cannot share a table: {', '.join(sorted(models | scorers))}")
    by_unit: dict[tuple[str, str, int], dict[str, Record]] = {}
    for record in lines:
        by_unit.setdefault((record["suite"], record["prompt"], record["seed"]), {})[record["method"]] = record
    units = {unit: found for unit, found in sorted(by_unit.items()) if len(found) == len(methods)}
    if not units:
        raise ValueError(f"experiment {experiment!r} on {suites!r}: no prompt has results of all {len(methods)} methods yet")
    scores = {unit: {method: measured(record) for method, record in found.items()} for unit, found in units.items()}
    shared = [key for key in METRICS if all(key in one for found in scores.values() for one in found.values())]
    chosen = list(metrics) or [key for key in (*SUCCESS, *FAILED, *COST) if key in shared]
    primary = primary or next((key for key in PRIMARY if key in shared), "")
    if not primary:
        raise ValueError(f"experiment {experiment!r}: its lines share none of {', '.join(PRIMARY)}, so there is nothing to compare")
    for key in (*chosen, primary):
        if key not in shared:
            raise ValueError(f"metric {key!r}: these results have {', '.join(shared) or 'none'}")
    clusters = [(unit[0], found[methods[0]]["cluster"]) for unit, found in units.items()]
    baseline = baseline or next(iter(units.values()))[methods[0]].get("baseline", methods[0])
    if baseline not in methods:
        raise ValueError(f"experiment {experiment!r}: its baseline {baseline!r} has no results")

    def values(method: str, key: str) -> list[float]:
        return [float(found[method][key]) for found in scores.values()]

    keys = list(dict.fromkeys((*chosen, primary)))
    columns = np.array([values(method, key) for method in methods for key in keys]).T
    found_rates = rates(columns, clusters)
    estimates = {method: dict(zip(keys, found_rates[i * len(keys) :], strict=False)) for i, method in enumerate(methods)}
    others = [method for method in methods if method != baseline]
    comparisons: dict[str, Comparison] = {}
    if others:
        differences = np.array([values(method, primary) for method in others]).T - np.array(values(baseline, primary))[:, None]
        comparisons = dict(zip(others, paired_many(differences, clusters), strict=True))
    adjusted = dict(zip(comparisons, holm([c.p_value for c in comparisons.values()]), strict=True))
    rows = [Row(method, estimates[method], comparisons.get(method), adjusted.get(method), settings[method]) for method in methods]
    return Table(
        experiment,
        experiment_title(lines[0]),
        suites,
        category,
        tuple(chosen),
        primary,
        baseline,
        tuple(rows),
        images=len(units),
        prompts=len({unit[:2] for unit in units}),
        clusters=len(set(clusters)),
        seeds=tuple(sorted({seed for _, _, seed in units})),
        dropped=len(lines) - len(units) * len(methods),
        scorer=scorers.pop(),
        model=models.pop(),
        hardware=_hardware(lines),
    )


def measured(record: Record) -> dict[str, float]:
    """A line's numbers, with what follows from them: `miscolored`, every object found but not every one in its colour."""
    numbers = record["metrics"]
    if "all" in numbers and "bound" in numbers:
        return {**numbers, "miscolored": int(bool(numbers["all"]) and not numbers["bound"])}
    return numbers


def to_rows(table: Table) -> tuple[list[str], list[list[str]]]:
    """Headings and cells as short text: one column a metric, the difference with its interval, win / tie / loss, McNemar's and Holm's p."""
    headings = ["method", *(METRICS[key].heading + (" %" if METRICS[key].percent else "") for key in table.metrics)]
    unit = "points" if METRICS[table.primary].percent else "difference"
    test = "McNemar" if METRICS[table.primary].percent else "sign test"
    headings += [f"{METRICS[table.primary].heading}, against {table.against}, {unit}", "win / tie / loss", f"p ({test})", "p (Holm)"]
    cells = []
    for row in table.rows:
        line = [row.title, *(format_estimate(row.estimates[key], METRICS[key]) for key in table.metrics)]
        if row.comparison is None or row.adjusted_p is None:
            line += ["baseline", "", "", ""]
        else:
            c = row.comparison
            line += [format_difference(c.difference, METRICS[table.primary]), f"{c.win} / {c.tie} / {c.loss}"]
            line += [format_p(c.p_value), format_p(row.adjusted_p)]
        cells.append(line)
    return headings, cells


def to_markdown(table: Table, note: str = "") -> str:
    """A Markdown table with its caption.

    Args:
        table: the table.
        note: what its reader must also know, such as the judge's own error.
    """
    return f"{markdown_table(*to_rows(table))}\n{table.caption}{f' {note}' if note else ''}\n"


def markdown_table(headings: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """Headings and cells as a Markdown table; the first column to the left, the others to the right."""
    lines = [_markdown_row(headings), "|" + " --- |" + " ---: |" * (len(headings) - 1), *(_markdown_row(line) for line in cells)]
    return "\n".join(lines) + "\n"


def to_latex(table: Table, note: str = "") -> str:
    """A LaTeX table (booktabs) with its caption and a note."""
    headings, cells = to_rows(table)
    body = [" & ".join(_latex(cell) for cell in line) + r" \\" for line in cells]
    head = " & ".join(_latex(cell) for cell in headings) + r" \\"
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_latex(f'{table.heading}. {table.caption} {note}'.strip())}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(headings) - 1)}}}",
    ]
    return "\n".join([*lines, r"\toprule", head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def to_csv(table: Table) -> str:
    """Full-precision numbers: for every metric its value, low and high; rates as fractions of 1."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    columns = [f"{key}{end}" for key in table.metrics for end in ("", "_low", "_high")]
    paired_columns = ["difference", "difference_low", "difference_high", "win", "tie", "loss", "p", "p_holm"]
    writer.writerow(["experiment", "suite", "category", "method", "images", "prompts", *columns, "primary", *paired_columns])
    for row in table.rows:
        numbers = [v for key in table.metrics for v in (row.estimates[key].value, row.estimates[key].low, row.estimates[key].high)]
        against: list[object] = [""] * len(paired_columns)
        if row.comparison is not None:
            c = row.comparison
            against = [c.difference.value, c.difference.low, c.difference.high, c.win, c.tie, c.loss, c.p_value, row.adjusted_p]
        writer.writerow(
            [table.experiment, table.suite, table.category, row.method, table.images, table.prompts, *numbers, table.primary, *against]
        )
    return out.getvalue()


def format_estimate(estimate: Estimate, metric: Metric) -> str:
    """ "43.1 [38.0, 48.2]"; only the value where there is no interval."""
    scale = 100 if metric.percent else 1
    value = f"{scale * estimate.value:.{metric.digits}f}"
    if math.isnan(estimate.low):
        return value
    return f"{value} [{scale * estimate.low:.{metric.digits}f}, {scale * estimate.high:.{metric.digits}f}]"


def format_difference(estimate: Estimate, metric: Metric) -> str:
    """ "+3.1 [-0.8, +7.0]"."""
    scale = 100 if metric.percent else 1
    numbers = [f"{scale * v + 0.0:+.{metric.digits}f}" for v in (estimate.value, estimate.low, estimate.high)]
    return numbers[0] if math.isnan(estimate.low) else f"{numbers[0]} [{numbers[1]}, {numbers[2]}]"


def format_p(p_value: float) -> str:
    """Three decimals, or "< 0.001"."""
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def _hardware(lines: Sequence[Record]) -> str:
    """The machines and versions behind lines, in a few words."""
    found = {}
    for record in lines:
        made = record.get("versions", {})
        if "device" in made:
            threads = f", {made['threads']} thread{'' if made['threads'] == '1' else 's'} per process" if "threads" in made else ""
            found[f"{made['device']}{threads}, torch {made.get('torch', '?')}"] = None
    return "; ".join(found)


def _model_name(model: dict[str, Any]) -> str:
    loaded = f" {json.dumps(model['options'], sort_keys=True)}" if model.get("options") else ""
    return f"{model['id']} {model['weight_hash']}{loaded}"


def _settings(lines: Sequence[Record], method: str) -> dict[str, object]:
    """The one configuration (seed aside) behind a label."""
    found = {tuple(sorted((k, str(v)) for k, v in r["config"].items() if k != "seed")): r["config"] for r in lines}
    if len(found) > 1:
        differing = sorted({k for one in found for k, _ in set(one) ^ set(next(iter(found)))})
        raise ValueError(f"method {method!r} stands for different settings in these results ({', '.join(differing)}); report them apart")
    return {k: v for k, v in next(iter(found.values())).items() if k != "seed"}


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _latex(text: str) -> str:
    special = {"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}"}
    special |= {"^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "<": r"$<$"}
    return "".join(special.get(c, c) for c in text)
