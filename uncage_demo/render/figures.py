"""Paper-ready figures of traces as matplotlib Figure objects, saved as PNG and SVG. Never touches pyplot or global settings.

Everything compared in a figure shares one scale, and every scale has a colour bar with numbers. Text is drawn literally: no mathematics
mode, whatever a prompt or a label contains.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.ticker import FixedLocator, MaxNLocator
from PIL import Image

from uncage_demo.files import replacing
from uncage_demo.prompt.judging import counted
from uncage_demo.render.figure_parts import (
    INK,
    MUTED,
    axes_text,
    color_bar,
    figure_text,
    image_axes,
    line_legend,
    new_figure,
    plot_axes,
    prompt_title,
    whole_ticks,
)
from uncage_demo.render.frames import MAX_TRACES, FrameStyle, reveal_frame, run_label
from uncage_demo.render.heatmaps import attention_mass, map_limits, object_maps, overlap_pairs, pair_overlap, step_map
from uncage_demo.render.palette import DIVERGING_MAP, LIGHT, ORDER_MAP, SEQUENTIAL_MAP, Limits, readable, subject_colors
from uncage_demo.trace.check import MAX_SUBJECTS
from uncage_demo.trace.record import Trace

FIGURE_FORMATS = ("png", "svg")
MAX_COLUMNS = 12
MAX_PAIRS = 6
MAX_PRINTED_PX = 1024  # a place of 1.7 inches at the 600 pixels an inch that a figure may have
MARKERS = ("o", "^", "s", "D", "v", "P")
_SAVING = threading.Lock()  # two settings of the SVG writer can only be given through matplotlib's process-wide table


def default_steps(traces: Sequence[Trace], count: int = 6) -> list[int]:
    """Steps that tell the story: the first, the last, and the rest evenly between, without repeats.

    Args:
        traces: the longest run decides.
        count: at most so many, 1..12.

    Raises:
        ValueError: for a count outside that range.
    """
    if not 1 <= count <= MAX_COLUMNS:
        raise ValueError(f"count={count}: give 1 to {MAX_COLUMNS}")
    last = max(len(t.steps) for t in traces) - 1
    return sorted({round(v) for v in np.linspace(0, last, count)}) if count > 1 else [last]


def heatmap_figure(traces: Sequence[Trace], steps: Sequence[int] | None = None, labels: Sequence[str] | None = None) -> Figure:
    """Pictures and attention maps: one block of rows for the pictures and one for each object; rows are runs, columns are steps.

    Without recorded attention or without objects there are the pictures only; a step that has none is left empty.

    Args:
        traces: 1..6 runs of one prompt.
        steps: 0-based steps, at most 12; None = six that span the run. A run that is shorter shows its last step.
        labels: names of the runs; None = their orders'.

    Returns:
        A figure whose maps all share one scale from 0 to the 99.5th percentile of *all* steps, runs and objects.

    Raises:
        ValueError: for no or too many traces, objects, steps or labels; or a step out of range.
    """
    names = _names(traces, labels)
    steps = _steps(traces, steps)
    recorded = any(record.attention is not None for trace in traces for record in trace.steps)
    subjects = _subjects(traces) if recorded else ()
    limits = map_limits(traces, "attention") if subjects else Limits(0.0, 1.0)
    blocks, runs, columns = 1 + len(subjects), len(traces), len(steps)
    cell, left, right, head, gap = 1.05, 0.95, 0.85, 0.42, 0.3
    width = left + columns * cell + right
    height = head + blocks * (runs * cell + gap) + 0.1
    figure = new_figure(width, height)
    prompt_title(figure, traces[0].prompt, left / width, 1 - 0.26 / height, width)
    colors = [readable(c, LIGHT.background) for c in subject_colors(len(subjects))]
    for block in range(blocks):
        top = head + block * (runs * cell + gap) + gap
        spec = GridSpec(
            runs,
            columns,
            figure,
            left=left / width,
            right=1 - right / width,
            top=1 - top / height,
            bottom=1 - (top + runs * cell) / height,
            wspace=0.045,
            hspace=0.045,
        )
        if block:
            figure_text(
                figure,
                left / width,
                1 - (top - 0.07) / height,
                f"attention to “{_object_text(traces[0], block - 1)}”",
                8.5,
                colors[block - 1],
            )
        for row, trace in enumerate(traces):
            for column, asked in enumerate(steps):
                step = min(asked, len(trace.steps) - 1)
                axes = image_axes(figure, spec[row, column])
                if block == 0:
                    axes.imshow(np.asarray(reveal_frame(trace, step, FrameStyle(stage_px=240, theme="light"), outline=False)))
                elif trace.steps[step].attention is None:
                    axes_text(axes, 0.5, 0.5, "not recorded", 6.5, MUTED, ha="center", va="center")
                else:
                    axes.imshow(object_maps(trace, step)[block - 1], cmap=SEQUENTIAL_MAP, vmin=limits.low, vmax=limits.high)
                if column == 0:
                    axes_text(axes, -0.07, 0.5, names[row], 8, INK, ha="right", va="center")
                if row == 0 and block == 0:
                    axes_text(axes, 0, 1.04, f"step {asked + 1}", 8, MUTED, va="bottom")
    if not subjects:
        return figure
    bar_top, bar_height = head + (runs * cell + gap) + gap, min(2.6, runs * cell)
    bar = figure.add_axes(((width - right + 0.14) / width, 1 - (bar_top + bar_height) / height, 0.11 / width, bar_height / height))
    color_bar(figure, bar, limits, SEQUENTIAL_MAP, "attention weight", open_end=True)
    return figure


def order_figure(traces: Sequence[Trace], labels: Sequence[str] | None = None) -> Figure:
    """When each cell was committed: finished picture and order map of each run, and for several runs the difference to the first.

    Args:
        traces: 1..6 runs with grids of one size.
        labels: names of the runs; None = their orders'.

    Returns:
        A figure whose order maps share one scale (steps counted from 1) and whose differences share another, symmetric about zero.

    Raises:
        ValueError: for no or too many traces or labels, or grids of different size.
    """
    names = _names(traces, labels)
    if len({t.grid for t in traces}) > 1:
        raise ValueError(f"grids of {', '.join(sorted({str(t.grid) for t in traces}))}: order maps compare only on one grid")
    maps = [step_map(t, "order") + 1 for t in traces]
    shared = map_limits(traces, "order")
    order = Limits(1.0, shared.high + 1)
    runs = len(traces)
    rows, columns = (3, runs) if runs > 1 else (1, 2)
    cell, left, right, head, gap = 1.7, 0.95, 0.85, 0.66, 0.08
    width = left + columns * cell + (columns - 1) * gap + right
    height = head + rows * cell + (rows - 1) * gap + 0.12
    figure = new_figure(width, height)
    prompt_title(figure, traces[0].prompt, left / width, 1 - 0.26 / height, width)
    spec = GridSpec(
        rows,
        columns,
        figure,
        left=left / width,
        right=1 - right / width,
        top=1 - head / height,
        bottom=0.12 / height,
        wspace=gap / cell,
        hspace=gap / cell,
    )
    differences = [m - maps[0] for m in maps[1:]]
    reach = max([1.0, *(float(np.nanmax(np.abs(d))) for d in differences if np.isfinite(d).any())])
    spread = Limits(-reach, reach, diverging=True)
    bars: dict[int, Axes] = {}
    for index, trace in enumerate(traces):
        picture = image_axes(figure, spec[0, index])
        axes = image_axes(figure, spec[1, index] if runs > 1 else spec[0, 1])
        picture.imshow(_as_printed(trace.image))
        axes.imshow(maps[index], cmap=ORDER_MAP, vmin=order.low, vmax=order.high)
        bars[1] = axes
        if runs == 1:
            axes_text(axes, 0, 1.03, "committed at step", 8, MUTED, va="bottom")
        elif index == 0:
            axes_text(axes, -0.06, 0.5, "committed\nat step", 8, MUTED, ha="right", va="center")
        axes_text(picture, 0, 1.03, names[index].replace("\n", ", "), 8.5, INK, va="bottom")
        if index > 0:
            changed = image_axes(figure, spec[2, index])
            changed.imshow(differences[index - 1], cmap=DIVERGING_MAP, vmin=spread.low, vmax=spread.high)
            bars[2] = changed
            if index == 1:
                axes_text(changed, -0.06, 0.5, f"steps later\nthan {names[0]}", 8, MUTED, ha="right", va="center")
    for row, limits, name, unit in ((1, order, ORDER_MAP, "step"), (2, spread, DIVERGING_MAP, "steps")):
        if row in bars:
            box = bars[row].get_position()
            bar = figure.add_axes((box.x1 + 0.1 / width, box.y0 + 0.06 * box.height, 0.11 / width, 0.88 * box.height))
            color_bar(figure, bar, limits, name, unit, whole=True)
    return figure


def curves_figure(traces: Sequence[Trace], labels: Sequence[str] | None = None) -> Figure:
    """Curves over the steps: attention mass of each object, overlap of each pair of objects, cells committed in each step.

    Colour tells the object (two colours alternate for a pair), the marker tells the run. Of many pairs the most overlapping are shown.

    Args:
        traces: 1..6 runs of one prompt; where none has recorded attention, there are only the cells committed.
        labels: names of the runs; None = their orders'.

    Raises:
        ValueError: for no or too many traces, objects or labels.
    """
    names = _names(traces, labels)
    recorded = any(record.attention is not None for trace in traces for record in trace.steps)
    subjects = _subjects(traces) if recorded else ()
    pairs = overlap_pairs(traces[0]) if recorded else []
    runs = len(traces)
    panels = [p for p, present in (("mass", bool(subjects)), ("overlap", bool(pairs)), ("counts", True)) if present]
    overlaps = [pair_overlap(trace) for trace in traces] if pairs else []
    mean_overlap = np.mean([np.nanmean(o, axis=0) for o in overlaps if np.isfinite(o).any()], axis=0) if pairs else np.zeros(0)
    strongest = sorted(np.argsort(-mean_overlap, kind="stable")[:MAX_PAIRS].tolist())
    legend_rows = max(1, math.ceil(len(subjects) / 3), math.ceil(len(strongest) / 2), math.ceil(runs / 2))
    width, height = 3.1 * len(panels) + 0.35, 2.92 + 0.19 * legend_rows
    figure = new_figure(width, height)
    prompt_title(figure, traces[0].prompt, 0.55 / width, 1 - 0.26 / height, width)
    spec = GridSpec(
        1,
        len(panels),
        figure,
        left=0.55 / width,
        right=1 - 0.15 / width,
        top=1 - 0.7 / height,
        bottom=(0.57 + 0.19 * legend_rows) / height,
        wspace=0.24,
    )
    colors = [readable(c, LIGHT.background, 3.0) for c in subject_colors(len(subjects))]
    titles = {"mass": "attention mass of each object", "overlap": "overlap of attention (0 apart, 1 same)", "counts": "cells committed"}
    if len(strongest) < len(pairs):
        titles["overlap"] = f"overlap of attention, {len(strongest)} strongest of {len(pairs)} pairs"
    longest = max(len(t.steps) for t in traces)
    for column, panel in enumerate(panels):
        axes = plot_axes(figure, spec[0, column])
        handles = []
        for run, trace in enumerate(traces):
            x = np.arange(1, len(trace.steps) + 1)
            # markers of different runs sit at different steps, so that runs that coincide are all seen
            every = max(1, longest // 6)
            look = {
                "marker": MARKERS[run],
                "markersize": 3.6,
                "markerfacecolor": LIGHT.background,
                "markeredgewidth": 1.0,
                "clip_on": False,
            }
            look["markevery"] = (run * every // max(1, runs), every)
            if panel == "mass":
                values = attention_mass(trace)
                for o, color in enumerate(colors):
                    (line,) = axes.plot(x, values[:, o], color=color, linewidth=1.4, **look)
                    handles += [(line, _object_text(traces[0], o))] if run == 0 else []
            elif panel == "overlap":
                values = overlaps[run]
                for p in strongest:
                    a, b = pairs[p]
                    dashes = (0, (4, 4))
                    (line,) = axes.plot(x, values[:, p], color=colors[a], gapcolor=colors[b], linestyle=dashes, linewidth=1.4, **look)
                    handles += [(line, f"{_object_text(traces[0], a)}, {_object_text(traces[0], b)}")] if run == 0 else []
            else:
                counts = [int(r.committed.sum()) for r in trace.steps]
                (line,) = axes.plot(x, counts, color=INK, linewidth=1.2, **look)
                handles += [(line, names[run])]
        axes_text(axes, 0, 1.06, titles[panel], 8.5, INK, va="bottom")
        axes.set_ylim(0, 1 if panel == "overlap" else None)
        axes.set_xlim(1, max(2, longest))
        axes.xaxis.set_major_locator(FixedLocator(whole_ticks(1, max(2, longest), 5)))
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=panel == "counts"))
        axes.set_xlabel("step", fontsize=8, color=MUTED, labelpad=1)
        line_legend(axes, handles, 3 if panel == "mass" else 2, keep_markers=panel == "counts")
    return figure


def save_figure(figure: Figure, path: str | Path, dpi: int = 200) -> Path:
    """Write a figure as PNG or SVG; the same figure gives the same bytes.

    Args:
        figure: any matplotlib Figure.
        path: ends in .png or .svg.
        dpi: pixels an inch of PNG, 50..600.

    Returns:
        The path.

    Raises:
        ValueError: for another suffix or dpi.
    """
    path = Path(path)
    kind = path.suffix.lower().lstrip(".")
    if kind not in FIGURE_FORMATS:
        raise ValueError(f"{path.name!r}: a figure ends in .png or .svg")
    if not 50 <= dpi <= 600:
        raise ValueError(f"dpi={dpi!r}: give 50 to 600")
    with _SAVING, matplotlib.rc_context({"svg.hashsalt": "uncage", "svg.fonttype": "path"}):
        metadata = {"Date": None, "Creator": "uncage-demo"} if kind == "svg" else {"Software": "uncage-demo"}
        with replacing(path) as place:
            figure.savefig(place, format=kind, dpi=dpi, metadata=metadata)
    return path


def _as_printed(picture: np.ndarray) -> np.ndarray:
    """A picture "H W 3" uint8 with no more pixels than its place in a figure can print; one of 4096 px took 300 MB in each place."""
    if max(picture.shape[:2]) <= MAX_PRINTED_PX:
        return picture
    image = Image.fromarray(picture)
    image.thumbnail((MAX_PRINTED_PX, MAX_PRINTED_PX), Image.Resampling.BOX)
    return np.asarray(image)


def _names(traces: Sequence[Trace], labels: Sequence[str] | None) -> list[str]:
    if not 1 <= len(traces) <= MAX_TRACES:
        raise ValueError(f"{len(traces)} traces: give 1 to {MAX_TRACES}")
    different = len({trace.prompt.text for trace in traces})
    if different > 1:
        raise ValueError(f"the traces have {different} different prompts: a figure shows runs of one prompt; a film or a player shows both")
    if labels is not None and len(labels) != len(traces):
        raise ValueError(f"{counted(len(labels), 'label')} for {counted(len(traces), 'trace')}: give one for each")
    names = [run_label(t)[0] for t in traces] if labels is None else list(labels)
    if labels is None and len(set(names)) < len(names):
        names = [f"{name}\nseed {t.config.get('seed', '?')}" for name, t in zip(names, traces, strict=True)]
    return names


def _steps(traces: Sequence[Trace], steps: Sequence[int] | None) -> list[int]:
    if steps is None:
        return default_steps(traces)
    last = max(len(t.steps) for t in traces) - 1
    if not 1 <= len(steps) <= MAX_COLUMNS:
        raise ValueError(f"{len(steps)} steps: give 1 to {MAX_COLUMNS}")
    for step in steps:
        if not 0 <= step <= last:
            raise ValueError(f"step={step!r}: these runs have steps 0 to {last}")
    return list(steps)


def _subjects(traces: Sequence[Trace]) -> tuple[object, ...]:
    subjects = traces[0].prompt.subjects
    if any(len(t.prompt.subjects) != len(subjects) for t in traces):
        raise ValueError("the traces have different numbers of objects: compare runs of one prompt")
    if len(subjects) > MAX_SUBJECTS:
        raise ValueError(f"{len(subjects)} objects: a figure shows at most {MAX_SUBJECTS}")
    return subjects


def _object_text(trace: Trace, index: int) -> str:
    subject = trace.prompt.subjects[index]
    return " ".join(trace.prompt.words[w].text for w in subject.object) or subject.label
