"""Maps of a trace (attention, contrast, order, confidence) as arrays and as pictures on one locked scale. Knows arrays and Pillow only.

Shapes: n cells (y x grid, row-major), o objects, s steps. Maps are "y x" float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

from uncage_demo.prompt.judging import counted
from uncage_demo.render.palette import LIGHT, Limits, Theme, apply_map, diverging_limits, rgb, sequential_limits
from uncage_demo.render.text import draw_text
from uncage_demo.trace.record import Trace

MapKind = Literal["attention", "contrast", "confidence", "entropy", "score", "order"]


def object_maps(trace: Trace, step: int) -> np.ndarray:
    """Attention to every object at one step, "o y x" float32: the mean over the words that name it (attributes are not part of it).

    Args:
        trace: with recorded attention.
        step: 0-based step, 0..T-1.

    Raises:
        ValueError: when the step is out of range or has no recorded attention.
    """
    _check_step(trace, step)
    words = trace.word_maps(step)
    maps = [words[list(subject.object)].mean(axis=0) for subject in trace.prompt.subjects]
    return np.stack(maps).reshape(-1, *trace.grid) if maps else np.zeros((0, *trace.grid), np.float32)


def step_map(trace: Trace, kind: MapKind, step: int = 0, subject: int = 0) -> np.ndarray:
    """One map "y x" float32 of a trace; not-a-number where the quantity does not exist (a committed cell has no confidence).

    Args:
        trace: any trace.
        kind: "attention" (of one object), "contrast" (F_a), "confidence" (F_c, log-probability), "entropy" (nats), "score" (F) or
            "order" (the step at which each cell was committed; not-a-number for cells given from the start).
        step: 0-based; ignored for "order".
        subject: index of the object, for "attention".

    Raises:
        ValueError: for an unknown kind, a step or subject out of range, or a quantity that was not recorded.
    """
    if kind == "order":
        order = trace.unmask_step.astype(np.float32)
        return np.where(order < 0, np.nan, order)
    _check_step(trace, step)
    record = trace.steps[step]
    if kind == "attention":
        if not 0 <= subject < len(trace.prompt.subjects):
            raise ValueError(f"subject={subject}: this prompt has {counted(len(trace.prompt.subjects), 'object')}, counted from 0")
        return object_maps(trace, step)[subject]
    if kind == "contrast":
        return record.contrast.reshape(trace.grid).astype(np.float32)
    if kind == "entropy" and record.entropy is None:
        raise ValueError(f"step {step} of this trace has no recorded entropy")
    values = {"confidence": record.confidence, "score": record.scores, "entropy": record.entropy}.get(kind)
    if values is None:
        raise ValueError(f"kind={kind!r}: choose one of attention, contrast, confidence, entropy, score, order")
    return np.where(record.masked_before, values, np.nan).reshape(trace.grid).astype(np.float32)


def map_limits(traces: Sequence[Trace], kind: MapKind, steps: Sequence[int] | None = None, quantile: float = 0.995) -> Limits:
    """The one scale that a kind of map uses across all given runs, steps and objects.

    Args:
        traces: the runs that are compared.
        kind: as for `step_map`.
        steps: steps that are shown; None = all. Steps that a shorter run lacks are left out.
        quantile: of the values, so that a few extreme cells saturate instead of darkening all others; ignored for "order".

    Returns:
        Attention, where recorded, and entropy: 0 to the quantile. Contrast: symmetric about zero. Order: 0 to the last step. Confidence and
        score: the smallest to the largest finite value (log-probabilities have no natural zero inside their range).
    """
    if kind == "order":
        return Limits(0.0, float(max(1, *(len(t.steps) - 1 for t in traces))))
    chosen = [(t, s) for t in traces for s in (range(len(t.steps)) if steps is None else steps) if 0 <= s < len(t.steps)]
    if kind == "attention":
        return sequential_limits([object_maps(t, s) for t, s in chosen if t.steps[s].attention is not None], quantile)
    maps = [step_map(t, kind, s) for t, s in chosen]
    if kind == "contrast":
        return diverging_limits(maps, quantile)
    if kind == "entropy":
        return sequential_limits(maps, quantile)
    values = np.concatenate([m[np.isfinite(m)] for m in maps]) if maps else np.zeros(0)
    if not values.size:
        return Limits(-1.0, 0.0)
    low, high = float(np.quantile(values, 1 - quantile)), float(np.quantile(values, quantile))
    return Limits(low, high) if high > low else Limits(low - 1.0, low)


def attention_mass(trace: Trace) -> np.ndarray:
    """Attention to each object's words averaged over all image cells, "s o" float32; sums over the words that name the object.

    Steps without recorded attention are not-a-number.
    """
    mass = np.full((len(trace.steps), len(trace.prompt.subjects)), np.nan, np.float32)
    for step in _recorded(trace):
        words = trace.word_maps(step)
        mass[step] = [float(words[list(subject.object)].sum(axis=0).mean()) for subject in trace.prompt.subjects]
    return mass


def overlap_pairs(trace: Trace) -> list[tuple[int, int]]:
    """Index pairs of the prompt's objects, in the order of `pair_overlap`'s columns."""
    return list(combinations(range(len(trace.prompt.subjects)), 2))


def pair_overlap(trace: Trace) -> np.ndarray:
    """How much two objects look at the same cells, "s pairs" float32 in 0..1: the summed minimum of the two maps, each summing to 1.

    0 = apart, 1 = the same map. An object without any attention overlaps nothing. Steps without recorded attention are not-a-number.
    """
    pairs = overlap_pairs(trace)
    rows = np.full((len(trace.steps), len(pairs)), np.nan, np.float32)
    for step in _recorded(trace) if pairs else ():
        maps = object_maps(trace, step).reshape(len(trace.prompt.subjects), -1).astype(np.float64)
        sums = maps.sum(axis=1, keepdims=True)
        maps = np.divide(maps, sums, out=np.zeros_like(maps), where=sums > 0)
        rows[step] = [float(np.minimum(maps[a], maps[b]).sum()) for a, b in pairs]
    return rows


def upscale(values: np.ndarray, size_px: tuple[int, int], smooth: bool = False) -> np.ndarray:
    """A map "y x" at picture size "H W" float32.

    Args:
        values: finite numbers or not-a-number.
        size_px: (height, width).
        smooth: interpolate between cell centres (bilinear); False shows the cells as they are.
    """
    image = Image.fromarray(np.ascontiguousarray(values, np.float32), mode="F")
    how = Image.Resampling.BILINEAR if smooth else Image.Resampling.NEAREST
    return np.asarray(image.resize((size_px[1], size_px[0]), how), np.float32)


def map_picture(
    values: np.ndarray,
    limits: Limits,
    size_px: tuple[int, int],
    *,
    smooth: bool = False,
    map_name: str | None = None,
    missing: str = LIGHT.mask,
) -> np.ndarray:
    """A map alone as a picture "H W 3" uint8; cells that are not a number take the colour `missing`."""
    present = np.isfinite(values)
    colors = apply_map(upscale(np.where(present, values, limits.low), size_px, smooth), limits, map_name)
    return np.where(upscale(present.astype(np.float32), size_px)[..., None] > 0.5, colors, np.array(rgb(missing), np.uint8))


def legend(
    limits: Limits,
    width_px: int,
    *,
    label: str = "",
    map_name: str | None = None,
    theme: Theme = LIGHT,
    scale: int = 1,
    form: str = "{:.3g}",
) -> Image.Image:
    """A horizontal colour bar with its numbers (and zero, when inside) as an RGB picture.

    Args:
        limits: the scale that the bar explains.
        width_px: width before scaling, at least 80.
        label: what is measured, and its unit.
        scale: 1..4; 2 for high-resolution screens.
        form: format of the numbers.

    Raises:
        ValueError: for a width below 80 or a scale outside 1..4.
    """
    if width_px < 80:
        raise ValueError(f"width_px={width_px}: give at least 80")
    if scale not in (1, 2, 3, 4):
        raise ValueError(f"scale={scale!r}: give a whole number from 1 to 4")
    size, bar, pad = 12 * scale, 10 * scale, 4 * scale
    head = size + 2 * pad if label else 0
    image = Image.new("RGB", (width_px * scale, head + bar + size + 2 * pad), theme.background)
    draw = ImageDraw.Draw(image)
    if label:
        draw_text(draw, 0, size + pad * 0.2, label, size, theme.muted)
    values = np.linspace(limits.low, limits.high, image.width, dtype=np.float32)[None].repeat(bar, axis=0)
    image.paste(Image.fromarray(apply_map(values, limits, map_name)), (0, head))
    ticks = [(limits.low, "left"), (limits.high, "right")]
    if limits.low < 0 < limits.high:
        ticks.append((0.0, "center"))
    for value, align in ticks:
        x = float(limits.unit(np.array(value))) * image.width
        draw_text(draw, x, head + bar + pad + size * 0.85, form.format(value), size, theme.ink, align)
    return image


def _recorded(trace: Trace) -> list[int]:
    """The steps that have attention."""
    return [step for step, record in enumerate(trace.steps) if record.attention is not None]


def _check_step(trace: Trace, step: int) -> None:
    if isinstance(step, bool) or not 0 <= step < len(trace.steps):
        raise ValueError(f"step={step!r}: this trace has steps 0 to {len(trace.steps) - 1}")
