"""Plots of tables with their intervals. Returns matplotlib Figures; never touches global plotting state, opens no window.

Intervals are drawn from the same numbers that the tables print.
"""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from uncage_demo.bench.statistics import Estimate
from uncage_demo.bench.tables import METRICS, Table

INK, MUTED, GRID = "#1f2933", "#6b7785", "#dde3e9"
METHOD, REFERENCE = "#0072b2", "#d55e00"


def plot_table(table: Table) -> Figure:
    """The plot that suits a table: a curve where every method is a number, otherwise rates and differences side by side."""
    return plot_curve(table) if numeric_methods(table) is not None else plot_methods(table)


def numeric_methods(table: Table) -> list[float] | None:
    """The methods' labels as numbers ("0.5", "8 of 32", "sigma 2"), the baseline apart; None where one is not a number."""
    numbers = []
    for row in table.rows:
        words = row.method.removeprefix("sigma ").split(" of ")
        try:
            numbers.append(float(words[0]))
        except ValueError:
            if row.method != table.baseline:
                return None
            numbers.append(math.nan)
    return numbers if sum(not math.isnan(n) for n in numbers) >= 3 else None


def plot_methods(table: Table) -> Figure:
    """Rates of the primary metric (left) and differences from the baseline (right), one line a method."""
    metric = METRICS[table.primary]
    scale = 100 if metric.percent else 1
    figure = Figure(figsize=(9, 0.36 * len(table.rows) + 1.5), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for y, row in enumerate(table.rows):
        color = REFERENCE if row.method == table.baseline else METHOD
        _interval(left, row.estimates[table.primary], y, scale, color)
        if row.comparison is not None:
            _interval(right, row.comparison.difference, y, scale, color)
    left.set_yticks(range(len(table.rows)), [row.method for row in table.rows])
    left.invert_yaxis()
    left.axvline(scale * _baseline(table).value, color=REFERENCE, linewidth=1, linestyle=":")
    right.axvline(0, color=REFERENCE, linewidth=1, linestyle=":")
    left.set_xlabel(metric.heading + (" (%)" if metric.percent else ""))
    right.set_xlabel(f"difference from {table.baseline}" + (" (points)" if metric.percent else ""))
    for axes in (left, right):
        _plain(axes)
    figure.suptitle(f"{table.suite}: {table.prompts} prompts, {len(table.seeds)} seeds; bars: 95 % intervals", fontsize=10, color=INK)
    return figure


def plot_curve(table: Table) -> Figure:
    """The primary metric over a numeric setting, with intervals; the baseline as a dotted line with its band.

    Raises:
        ValueError: when the methods are not numbers.
    """
    numbers = numeric_methods(table)
    if numbers is None:
        raise ValueError(f"experiment {table.experiment!r}: its methods are not numbers, so there is no curve")
    metric = METRICS[table.primary]
    scale = 100 if metric.percent else 1
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.subplots()
    reference = _baseline(table)
    axes.axhline(scale * reference.value, color=REFERENCE, linewidth=1, linestyle=":", label=f"baseline: {table.baseline}")
    points = sorted((x, row.estimates[table.primary]) for x, row in zip(numbers, table.rows, strict=True) if not math.isnan(x))
    xs = [x for x, _ in points]
    values = [scale * e.value for _, e in points]
    spread = [[max(0.0, scale * (e.value - e.low)) for _, e in points], [max(0.0, scale * (e.high - e.value)) for _, e in points]]
    axes.errorbar(xs, values, spread, color=METHOD, marker="o", markersize=4, capsize=3, linewidth=1.2)
    axes.set_xlabel(
        {"weights": "weight of the contrast", "guided-steps": "guided steps", "blur": "blur sigma (cells)"}.get(table.experiment, "")
    )
    axes.set_ylabel(metric.heading + (" (%)" if metric.percent else ""))
    axes.legend(frameon=False, fontsize=9)
    axes.set_title(f"{table.suite}: {table.prompts} prompts, {len(table.seeds)} seeds; bars: 95 % intervals", fontsize=10, color=INK)
    _plain(axes)
    return figure


def _baseline(table: Table) -> Estimate:
    return next(row.estimates[table.primary] for row in table.rows if row.method == table.baseline)


def _interval(axes: Axes, estimate: Estimate, y: float, scale: float, color: str) -> None:
    """A point with its horizontal interval (the point alone where there is none)."""
    if not math.isnan(estimate.low):
        axes.plot([scale * estimate.low, scale * estimate.high], [y, y], color=color, linewidth=2.4, solid_capstyle="butt", alpha=0.55)
    axes.plot([scale * estimate.value], [y], color=color, marker="o", markersize=5)


def _plain(axes: Axes) -> None:
    axes.grid(True, axis="both", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, labelsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GRID)
