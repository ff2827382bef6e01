"""Figures of tables with their intervals, as wide as a paper's page. Returns matplotlib Figures; opens no window, keeps no state.

Drawn from the same numbers that the tables print. Colours are Okabe and Ito's; what a colour says, a marker's shape says too:
the baseline is a diamond, a filled circle has an interval clear of zero, an open one has not.
"""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator

from uncage_demo.bench.ages import COMPARED, SHOWN, Growth
from uncage_demo.bench.beyond import Beyond, Idea
from uncage_demo.bench.statistics import Estimate
from uncage_demo.bench.tables import FAILED, METRICS, Row, Table
from uncage_demo.bench.titles import against, method_title
from uncage_demo.render.palette import DARK, LIGHT

INK, MUTED, GRID = "#1f2933", "#55606e", "#dde3e9"
METHOD, CHOSEN = LIGHT.method, "#8a94a3"
REFERENCE = "#d55e00"  # for lines and marks; the page's is darker, since text has it too
LINES = (METHOD, "#e69f00", "#009e73", "#cc79a7", DARK.method, MUTED)
WIDTH_IN = 7.2
FILLED = "A difference is filled where its interval is clear of zero."
OPEN = f"Diamond: the baseline. {FILLED}"
PARAMETERS = {"weights": "weight of the contrast, $w_a$", "guided-steps": "guided steps", "blur": "blur of the maps, σ (attention cells)"}


def plot_table(table: Table, note: str = "") -> Figure:
    """The plot that suits a table: a curve where every method is a number, otherwise rates and differences side by side."""
    return plot_curve(table, note) if numeric_methods(table) is not None else plot_methods(table, note)


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


def plot_methods(table: Table, note: str = "") -> Figure:
    """Rates of the primary metric (left) and differences from the baseline (right), one line per method."""
    metric = METRICS[table.primary]
    scale = 100 if metric.percent else 1
    figure = _figure(table.heading, f"{table.size}. {note}".strip(), 0.27 * len(table.rows) + 0.6, OPEN)
    left, right = figure.subplots(1, 2, sharey=True)
    _rates(left, table, table.primary)
    right.axvline(0, color=REFERENCE, linewidth=1, linestyle=(0, (1, 1.5)))
    for y, row in enumerate(table.rows):
        if row.comparison is not None:
            _interval(right, row.comparison.difference, y, scale, METHOD, filled=_clear(row))
    right.set_xlabel(f"against {table.against}" + (", points" if metric.percent else ""))
    for axes in (left, right):
        _plain(axes)
    return figure


def plot_curve(table: Table, note: str = "") -> Figure:
    """The primary metric over a numeric setting (left) and its difference from the baseline (right), with intervals.

    Raises:
        ValueError: when the methods are not numbers.
    """
    numbers = numeric_methods(table)
    if numbers is None:
        raise ValueError(f"experiment {table.experiment!r}: its methods are not numbers, so there is no curve")
    metric = METRICS[table.primary]
    scale = 100 if metric.percent else 1
    figure = _figure(table.heading, f"{table.size}. {note}".strip(), 2.5, OPEN)
    left, right = figure.subplots(1, 2)
    points = sorted((x, row) for x, row in zip(numbers, table.rows, strict=True) if not math.isnan(x))
    # Numbers that double from one to the next stand at equal distances.
    doubling = len(points) > 3 and points[-1][0] / max(points[-2][0], 1e-9) >= 1.9
    places = list(range(len(points))) if doubling else [x for x, _ in points]
    reference = table.row(table.baseline).estimates[table.primary]
    if not math.isnan(reference.low):
        left.axhspan(scale * reference.low, scale * reference.high, color=REFERENCE, alpha=0.10, linewidth=0)
    left.axhline(scale * reference.value, color=REFERENCE, linewidth=1, linestyle=(0, (1, 1.5)))
    right.axhline(0, color=REFERENCE, linewidth=1, linestyle=(0, (1, 1.5)))
    left.plot(places, [scale * row.estimates[table.primary].value for _, row in points], color=METHOD, linewidth=1.2)
    for x, (_, row) in zip(places, points, strict=True):
        base = row.method == table.baseline
        color, marker = (REFERENCE, "D") if base else (METHOD, "o")
        _interval(left, row.estimates[table.primary], x, scale, color, upright=True, marker=marker)
        if row.comparison is not None:
            _interval(right, row.comparison.difference, x, scale, METHOD, upright=True, filled=_clear(row))
    for axes in (left, right):
        axes.set_xlabel(PARAMETERS.get(table.experiment, "setting"))
        if doubling or len(points) <= 6:
            axes.set_xticks(places, [f"{x:g}" for x, _ in points])
        _plain(axes)
    right.set_xlim(left.get_xlim())
    left.set_ylabel(metric.heading + (" (%)" if metric.percent else ""))
    right.set_ylabel(f"against {table.against}" + (", points" if metric.percent else ""))
    return figure


def plot_panels(title: str, panels: Mapping[str, tuple[Table, str]], note: str = "") -> Figure:
    """Small multiples: one panel per category or kind of failure, one line per method.

    Args:
        title: heading.
        panels: heading -> (table, key of the metric drawn); the tables have the same methods.
        note: what the reader must also know.

    Raises:
        ValueError: when there is no panel.
    """
    if not panels:
        raise ValueError("no panel to draw")
    first = next(iter(panels.values()))[0]
    longest = max(panels.values(), key=lambda panel: len(panel[0].rows))[0]
    told = f"The diamond is {first.against}. {note}".strip()
    figure = _figure(title, told, 0.27 * len(longest.rows) + 0.75)
    row = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (heading, (table, key)) in zip(row, panels.items(), strict=True):
        _rates(axes, table, key)
        axes.set_xlabel(METRICS[key].heading if METRICS[key].heading != heading else "")
        if METRICS[key].percent:
            axes.set_xlabel("%" if METRICS[key].heading == heading else f"{METRICS[key].heading} (%)")
        size = f"\n{table.prompts} prompts" if len({id(t) for t, _ in panels.values()}) > 1 else ""
        axes.set_title("\n".join(textwrap.wrap(heading, min(18, 90 // len(panels)))) + size, fontsize=8, color=INK)
        axes.xaxis.set_major_locator(MaxNLocator(3))
        if not METRICS[key].higher_is_better:
            axes.set_xlim(left=0)
        _plain(axes)
    return figure


def plot_growth(found: Growth, most: int = 5) -> Figure:
    """What goes wrong with the baseline's pictures, and what the orders gain, against the age of the weights.

    Args:
        found: one experiment at several ages.
        most: how many methods beside the baseline have a line: those that are best at the oldest age.
    """
    first = found.tables[COMPARED[0]]
    baseline = first[found.ages[-1]].baseline
    told = f"{first[found.ages[-1]].size} per age. Above: rates of {against(baseline)}. Below: differences from it on the same pictures."
    figure = _figure(first[found.ages[-1]].heading, told, 6.4, FILLED)
    (failures, success), gains = figure.subplots(2, 2, sharex=True)
    places = range(len(found.ages))
    groups = ((success, [key for key in SHOWN if METRICS[key].higher_is_better]), (failures, [key for key in SHOWN if key in FAILED]))
    for axes, keys in groups:
        for number, key in enumerate(keys):
            rows = [table.row(table.baseline).estimates[key] for table in first.values()]
            _line(axes, places, rows, LINES[number], METRICS[key].heading)
        axes.set_ylabel(f"{method_title(baseline)} (%)")
    for axes, (metric, tables) in zip(gains, found.tables.items(), strict=True):
        axes.axhline(0, color=REFERENCE, linewidth=1, linestyle=(0, (1, 1.5)))
        old = first[found.ages[-1]]
        ranked = sorted(old.rows, key=lambda row: -row.estimates[old.primary].value)
        shown = [row.method for row in ranked if row.method != baseline][:most]
        methods = [row.method for row in old.rows if row.method in shown]
        for number, method in enumerate(methods):
            rows = [comparison.difference for table in tables.values() if (comparison := table.row(method).comparison)]
            shifted = [x + 0.06 * (number - (len(methods) - 1) / 2) for x in places]
            _line(axes, shifted, rows, LINES[number % len(LINES)], method_title(method))
        axes.set_ylabel(f"{METRICS[metric].heading} (points)")
        axes.set_xticks(list(places), [str(age) for age in found.ages])
        axes.set_xlabel("part of the training")
    for axes in (failures, success, *gains):
        _plain(axes)
        _legend(axes, 2)
    return figure


def plot_forwards(title: str, found: Mapping[str, Mapping[int, Table]], most: int = 6) -> Figure:
    """Success against the number of forwards: a line for each method, and below the difference from each rival.

    Args:
        title: heading.
        found: rival -> number of forwards -> table with that rival as its baseline (see `laboratory.curves`).
        most: how many methods have a line of their own: the rivals, and those that are best at the middle number of forwards.

    Raises:
        ValueError: when there is no table.
    """
    tables = {rival: dict(one) for rival, one in found.items() if one}
    if not tables:
        raise ValueError("no results of the laboratory to draw")
    first = next(iter(tables.values()))
    counts = sorted(first)
    middle = first[counts[len(counts) // 2]]
    key = middle.primary
    # A method that was measured everywhere makes a line; one that was measured once makes a dot, and comes after those.
    often = Counter(row.method for table in first.values() for row in table.rows)
    ranked = sorted(middle.rows, key=lambda row: (-often[row.method], -row.estimates[key].value))
    rivals = list(tables)
    shown = [*rivals, *(row.method for row in ranked if row.method not in rivals)][:most]
    sizes: dict[str, list[int]] = {}
    for count in counts:
        sizes.setdefault(first[count].size, []).append(count)
    told = "; ".join(f"{size}{f' at {_listed(at)} forward passes' if len(sizes) > 1 else ''}" for size, at in sizes.items())
    figure = _figure(title, f"{told}.", 2.6 * (1 + len(tables)), FILLED)
    panels = figure.subplots(1 + len(tables), 1, sharex=True, squeeze=False)[:, 0]
    for number, method in enumerate(shown):
        color = LINES[number % len(LINES)]
        shift = 0.08 * (number - (len(shown) - 1) / 2)
        at = [count for count in counts if any(row.method == method for row in first[count].rows)]
        _line(panels[0], [x + shift for x in at], [first[count].row(method).estimates[key] for count in at], color, method_title(method))
        for axes, (rival, one) in zip(panels[1:], tables.items(), strict=True):
            compared = {c: table.row(method).comparison for c, table in one.items() if any(row.method == method for row in table.rows)}
            told = {count: comparison.difference for count, comparison in compared.items() if comparison is not None}
            if told and method != rival:
                _line(axes, [x + shift for x in told], list(told.values()), color, method_title(method))
    panels[0].set_ylabel(f"{METRICS[key].heading} (%)")
    for axes, rival in zip(panels[1:], tables, strict=True):
        axes.axhline(0, color=REFERENCE, linewidth=1, linestyle=(0, (1, 1.5)))
        axes.set_ylabel(f"against {against(rival)} (points)")
    panels[-1].set_xlabel("forward passes per picture")
    panels[-1].set_xticks(counts, [str(count) for count in counts])
    for axes in panels:
        _plain(axes)
    _legend(panels[0], 3)
    return figure


def _legend(axes: Axes, columns: int) -> None:
    """What the lines are, above the axes: inside, it would lie over intervals."""
    place = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.3}
    axes.legend(fontsize=7, frameon=False, labelcolor=INK, ncols=columns, columnspacing=1.2, handlelength=1.6, **place)


def _listed(numbers: Sequence[int]) -> str:
    *before, last = map(str, numbers)
    return f"{', '.join(before)} and {last}" if before else last


def _line(axes: Axes, places: Sequence[float], estimates: Sequence[Estimate], color: str, label: str) -> None:
    """Points with their intervals, joined, in percent; a point is filled where its interval is clear of zero."""
    axes.plot(places, [100 * estimate.value for estimate in estimates], color=color, linewidth=1.2, label=label)
    for x, estimate in zip(places, estimates, strict=True):
        _interval(axes, estimate, x, 100, color, upright=True, filled=estimate.low > 0 or estimate.high < 0)


def plot_beyond(found: Beyond) -> Figure:
    """Every idea's difference from the reference of its round: grey where it was chosen, blue where it was confirmed."""
    rounds = list(found.rounds)
    known = {idea.label for one in rounds for idea in one.ideas}
    rest = [idea for idea in found.confirmed if idea.label not in known]
    lines: list[tuple[str, Idea | None]] = []
    for number, one in enumerate(rounds):
        if len(rounds) > 1:
            lines.append((f"round {number + 1}, against {one.table.against}", None))
        lines += [(idea.label, idea) for idea in one.ideas]
    lines += [(idea.label, idea) for idea in rest]
    first = [*(one.table for one in rounds), *found.confirming][0]
    metric = METRICS[first.primary]
    scale = 100 if metric.percent else 1
    told = "Squares: prompts and seeds to choose on. Circles: confirmed on others, once."
    figure = _figure("Ideas beyond UNCAGE", told, 0.23 * max(1, len(lines)) + 0.6, FILLED)
    axes = figure.subplots()
    axes.axvline(0, color=REFERENCE, linewidth=1, linestyle=(0, (1, 1.5)))
    for y, (_, idea) in enumerate(lines):
        if idea and idea.chosen and idea.chosen.comparison:
            at = y - (0.17 if idea.confirmed else 0)
            _interval(axes, idea.chosen.comparison.difference, at, scale, CHOSEN, marker="s", filled=_clear(idea.chosen))
        for number, row in enumerate(idea.confirmed if idea else ()):
            if row.comparison:
                at = y + (0.17 if idea and idea.chosen else 0) + 0.14 * number
                _interval(axes, row.comparison.difference, at, scale, METHOD, filled=_clear(row))
    _names(axes, [label for label, _ in lines], {label for label, idea in lines if idea is None})
    references = dict.fromkeys([*(one.table.against for one in rounds), *(table.against for table in found.confirming)])
    axes.set_xlabel(f"{metric.heading}, against {' or '.join(references)}" + (" (points)" if metric.percent else ""))
    _plain(axes)
    return figure


def _figure(title: str, told: str, panels_in: float, legend: str = "") -> Figure:
    """An empty figure with its heading and a small line below it that says what is drawn; its height follows the text."""
    lines = textwrap.wrap(f"{told} Bars: 95 % intervals by prompt. {legend}".strip(), 125)
    headings = textwrap.wrap(title, 86)
    over = 0.17 * (len(headings) - 1)
    height = panels_in + 0.34 + over + 0.15 * len(lines)
    figure = Figure(figsize=(WIDTH_IN, height), layout="constrained")
    top = 1 - (0.34 + over + 0.15 * len(lines)) / height
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.set(rect=(0, 0, 1, top))  # pyright: ignore[reportCallIssue]
    figure.text(0.01, 1 - 0.1 / height, "\n".join(headings), fontsize=10, fontweight="bold", color=INK, va="top")
    figure.text(0.01, 1 - (0.33 + over) / height, "\n".join(lines), fontsize=7.5, color=MUTED, va="top", linespacing=1.25)
    return figure


def _rates(axes: Axes, table: Table, key: str) -> None:
    """One line per method with its rate; the baseline's value runs down as a dotted line."""
    metric = METRICS[key]
    scale = 100 if metric.percent else 1
    axes.axvline(scale * table.row(table.baseline).estimates[key].value, color=REFERENCE, linewidth=1, linestyle=(0, (1, 1.5)))
    for y, row in enumerate(table.rows):
        base = row.method == table.baseline
        _interval(axes, row.estimates[key], y, scale, REFERENCE if base else METHOD, marker="D" if base else "o")
    _names(axes, [row.title for row in table.rows], {table.row(table.baseline).title})
    axes.set_xlabel(metric.heading + (" (%)" if metric.percent else ""))


def _names(axes: Axes, names: list[str], marked: set[str]) -> None:
    """The methods' names from the top down; the baseline in its colour."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    for label in axes.get_yticklabels():
        label.set_color(REFERENCE if label.get_text() in marked else INK)
        label.set_fontweight("bold" if label.get_text() in marked else "normal")


def _interval(
    axes: Axes, estimate: Estimate, at: float, scale: float, color: str, *, upright: bool = False, filled: bool = True, marker: str = "o"
) -> None:
    """A point with its interval (the point alone where there is none)."""
    if not math.isnan(estimate.low):
        ends = [scale * estimate.low, scale * estimate.high]
        where = ([at, at], ends) if upright else (ends, [at, at])
        axes.plot(*where, color=color, linewidth=1.6, solid_capstyle="butt", zorder=2)
    point = ([at], [scale * estimate.value]) if upright else ([scale * estimate.value], [at])
    axes.plot(
        *point, color=color, marker=marker, markersize=4.6, markerfacecolor=color if filled else "white", markeredgewidth=1.2, zorder=3
    )


def _clear(row: Row) -> bool:
    """Whether the interval of the difference is clear of zero."""
    return row.comparison is not None and (row.comparison.difference.low > 0 or row.comparison.difference.high < 0)


def _plain(axes: Axes) -> None:
    axes.grid(True, axis="both", color=GRID, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.tick_params(axis="x", colors=MUTED, labelsize=8, length=0)
    axes.tick_params(axis="y", labelsize=8, length=0)
    if not isinstance(axes.yaxis.get_major_locator(), FixedLocator):  # numbers, not the methods' names
        axes.tick_params(axis="y", colors=MUTED)
    axes.xaxis.label.set_fontsize(8)
    axes.yaxis.label.set_fontsize(8)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(INK)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
