"""The pieces that the paper figures are put together from: axes, literal text, colour bars with numbers, legends.

Knows matplotlib objects; decides no layout. Text is drawn literally: no mathematics mode, whatever a prompt or a label contains.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.lines import Line2D

from uncage_demo.render.palette import LIGHT, Limits
from uncage_demo.render.text import clean, prompt_spans
from uncage_demo.types import Prompt

INK, MUTED, LINE = LIGHT.ink, LIGHT.muted, LIGHT.line
TITLE_SIZE = 11.0  # points
MEASURE = 10  # text is measured this much larger, where the rounding of glyph positions to pixels does not show


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, sides in inches, on an Agg canvas of its own."""
    figure = Figure(figsize=(width, height), facecolor=LIGHT.background)
    FigureCanvasAgg(figure)
    return figure


def figure_text(figure: Figure, x: float, y: float, text: str, size: float, color: str, **options: Any) -> None:
    """One cleaned line, x and y as shares of the figure, size in points."""
    figure.text(x, y, clean(text), fontsize=size, color=color, parse_math=False, **options)


def axes_text(axes: Axes, x: float, y: float, text: str, size: float, color: str, **options: Any) -> None:
    """Cleaned lines (split at line feeds), x and y as shares of the axes, size in points."""
    lines = "\n".join(clean(line) for line in text.split("\n"))
    axes.text(x, y, lines, transform=axes.transAxes, fontsize=size, color=color, parse_math=False, **options)


def prompt_title(figure: Figure, prompt: Prompt, x: float, y: float, width: float) -> None:
    """The prompt in its objects' colours from x (share of the figure) to the right margin, cut with an ellipsis; width in inches."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    probe = figure.text(0, 0, "", fontsize=TITLE_SIZE * MEASURE, parse_math=False)

    def advance(text: str) -> float:
        """Width with its blanks as a share of the figure (between two bars, because only ink is measured)."""
        widths = []
        for measured in (f"|{text}|", "||"):
            probe.set_text(measured)
            widths.append(probe.get_window_extent(renderer).width / MEASURE / figure.bbox.width)
        return widths[0] - widths[1]

    limit, before = 1 - 0.15 / width, ""
    for span in prompt_spans(prompt, LIGHT):
        text = clean(span.text)
        room = limit - x - advance(before)
        shortened = text
        while shortened and advance(shortened) > room:
            shortened = shortened[:-2] + "…" if len(shortened) > 1 else ""
        figure.text(x + advance(before), y, shortened, fontsize=TITLE_SIZE, color=span.color, parse_math=False, va="baseline")
        if shortened != text:
            break
        before += text
    probe.remove()


def image_axes(figure: Figure, place: SubplotSpec) -> Axes:
    """Axes for a picture or a map: no ticks, no frame."""
    axes = figure.add_subplot(place)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes


def plot_axes(figure: Figure, place: SubplotSpec) -> Axes:
    """Axes for curves: two quiet spines and horizontal grid lines."""
    axes = figure.add_subplot(place)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(LINE)
    axes.tick_params(labelsize=7.5, colors=MUTED, length=3, width=0.6)
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    return axes


def color_bar(figure: Figure, axes: Axes, limits: Limits, name: str, label: str, *, whole: bool = False, open_end: bool = False) -> None:
    """A vertical colour bar of a locked scale in axes of its own; both ends carry their number, an open end as "at least"."""
    bar = figure.colorbar(ScalarMappable(Normalize(limits.low, limits.high), name), cax=axes)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
    ticks = whole_ticks(round(limits.low), round(limits.high), 5) if whole else np.linspace(limits.low, limits.high, 5).tolist()
    labels = [f"{t:d}" if whole else f"{t:.2g}" for t in ticks]
    if open_end:
        labels[-1] = f"≥{labels[-1]}"
    bar.set_ticks(ticks, labels=labels)
    axes.tick_params(labelsize=7, colors=INK, length=2, width=0.5, pad=2)
    axes.set_ylabel(label, fontsize=7.5, color=MUTED, labelpad=3)


def whole_ticks(low: int, high: int, count: int) -> list[int]:
    """Low, high, and round whole numbers between them, at most about `count` in all; evenly spread about zero for a symmetric range."""
    if low == -high:
        return sorted({round(v) for v in np.linspace(low, high, min(count, 2 * high + 1))})
    step = next((s for s in (1, 2, 4, 5, 8, 10, 16, 20, 32, 50, 64) if (high - low) / s <= count), high - low)
    inside = [t for t in range(low + 1, high) if t % step == 0 and min(t - low, high - t) * 2 >= step]
    return [low, *inside, high]


def line_legend(axes: Axes, handles: Sequence[tuple[Line2D, str]], columns: int, keep_markers: bool) -> None:
    """A legend below the axes; without markers only colour (and dashes) speak."""
    lines, texts = zip(*handles, strict=True)
    legend = axes.legend(
        lines,
        [""] * len(lines),
        loc="upper left",
        bbox_to_anchor=(-0.03, -0.19),
        ncols=min(columns, len(lines)),
        fontsize=7.5,
        frameon=False,
        handlelength=2.0,
        columnspacing=1.1,
        labelspacing=0.35,
        labelcolor=INK,
        borderaxespad=0.2,
    )
    for entry, line, text in zip(legend.get_texts(), legend.get_lines(), texts, strict=True):
        entry.set_parse_math(False)
        entry.set_text(clean(text.replace("\n", ", "), 30))
        if not keep_markers:
            line.set_marker("")
