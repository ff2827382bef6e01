"""Token-reveal frames: a trace as it stands after step k, and up to six traces side by side. Knows arrays and Pillow only.

Step k of a frame means "after step k"; -1 is the start, when every cell is masked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from uncage_demo.config import DecodingConfig
from uncage_demo.orders.table import order_of
from uncage_demo.prompt.judging import counted, too_many
from uncage_demo.render.heatmaps import map_limits, map_picture, object_maps
from uncage_demo.render.palette import DARK, MAPS, THEMES, Limits, Theme, apply_map, readable, rgb, subject_colors
from uncage_demo.render.text import draw_spans, draw_text, fit, prompt_spans, text_width, wrap_spans
from uncage_demo.trace.record import Trace
from uncage_demo.types import Verdict

MAX_TRACES = 6
MIN_BLOCK_PX = 96  # of a stage with its labels: the least that a square stage has
MAX_OBJECT_ROWS = 4  # small attention maps under a stage


@dataclass(frozen=True)
class FrameStyle:
    """How composed frames look.

    Args:
        stage_px: side of one stage before scaling, 96..1024.
        theme: "light" or "dark".
        scale: 1..4; 2 draws everything at twice the pixels, for high-resolution screens.
        attention: also show each object's attention under its stage (needs recorded attention).
        ghost: how much of the model's current guess shines through masked cells, 0..1.

    Raises:
        ValueError: naming the field, the value and what is allowed.
    """

    stage_px: int = 320
    theme: str = "dark"
    scale: int = 1
    attention: bool = False
    ghost: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.stage_px, bool) or not isinstance(self.stage_px, int) or not 96 <= self.stage_px <= 1024:
            raise ValueError(f"stage_px={self.stage_px!r}: give a whole number from 96 to 1024")
        if self.theme not in THEMES:
            raise ValueError(f"theme={self.theme!r}: choose one of {', '.join(THEMES)}")
        if isinstance(self.scale, bool) or self.scale not in (1, 2, 3, 4):
            raise ValueError(f"scale={self.scale!r}: give a whole number from 1 to 4")
        if not 0 <= self.ghost <= 1:
            raise ValueError(f"ghost={self.ghost!r}: give a number from 0 to 1")


def run_label(trace: Trace) -> tuple[str, str]:
    """Name of a run and its settings in short: ("UNCAGE", "weight 3, 8 guided steps, seed 0")."""
    config = DecodingConfig.from_dict(trace.config)
    order, seed = order_of(config.order), f"seed {config.seed}" + (f", {trace.age_said}" if trace.age else "")
    redraw = f"{counted(config.draft_steps, 'step')} draft, {config.redrawn_steps} redraw" if config.redrawn_steps else ""
    if order.guided:
        guided = f"weight {config.contrast_weight:g}, {counted(min(len(trace.steps), config.guided_steps), 'guided step')}"
        return order.title, ", ".join(filter(None, (guided, redraw, seed)))
    return order.title, f"{redraw or f'{order.name} order'}, {seed}"


def masked_after(trace: Trace, step: int) -> np.ndarray:
    """Cells that are still masked after a step, "y x" bool; step -1 is the start."""
    at = step - trace.steps[0].step
    if at < 0:
        return trace.steps[0].masked_before.reshape(trace.grid)
    record = trace.steps[min(at, len(trace.steps) - 1)]
    return (record.masked_before & ~record.committed).reshape(trace.grid)


def fresh_at(trace: Trace, step: int) -> np.ndarray:
    """Cells committed in exactly this step, "y x" bool."""
    at = step - trace.steps[0].step
    return trace.steps[at].committed.reshape(trace.grid) if 0 <= at < len(trace.steps) else np.zeros(trace.grid, bool)


def first_divergence(traces: Sequence[Trace]) -> int | None:
    """The first step in which not all runs committed the same cells with the same tokens; None when they never differ."""
    shortest = min(len(t.steps) for t in traces)
    for step in range(shortest):
        first = traces[0].steps[step]
        if not all(first.same_commits(other.steps[step]) for other in traces[1:]):
            return step
    return None if len({len(t.steps) for t in traces}) == 1 else shortest


def reveal_frame(trace: Trace, step: int, style: FrameStyle = FrameStyle(), *, outline: bool = True) -> Image.Image:
    """One stage: the picture with its masked cells drawn as masked and the newly committed ones outlined.

    Args:
        trace: with or without frames; without, committed cells show the finished picture.
        step: -1 (all masked) to T-1; a later step shows the finished picture.
        style: size, theme, ghost.
        outline: draw the outline of the cells committed in this step.

    Returns:
        RGB picture; its height is the largest multiple of the grid's rows that fits `stage_px` times `scale`.

    Raises:
        ValueError: when the step is below -1.
    """
    if step < -1:
        raise ValueError(f"step={step!r}: give -1 (the start) or a step from 0")
    theme = THEMES[style.theme]
    rows, columns = trace.grid
    cell = max(1, style.stage_px * style.scale // max(rows, columns))
    size = columns * cell, rows * cell
    last = len(trace.steps) - 1
    has_frames = trace.frames is not None and len(trace.frames) > 0
    shown = trace.frames[max(0, min(step, last))] if has_frames and step < last and trace.frames is not None else trace.image
    picture = Image.fromarray(np.ascontiguousarray(shown)).resize(size, Image.Resampling.LANCZOS)
    masked = masked_after(trace, step)
    if masked.any():
        cover = _mask_pattern(rows, columns, cell, theme)
        if style.ghost > 0 and has_frames and step >= 0:
            cover = Image.blend(cover, picture, style.ghost)
        where = Image.fromarray((masked * 255).astype(np.uint8)).resize(size, Image.Resampling.NEAREST)
        picture.paste(cover, mask=where)
    fresh = fresh_at(trace, step)
    if outline and fresh.any() and step < last:
        _outline(picture, fresh, cell, style.scale, theme)
    return picture


def compare_frame(
    traces: Sequence[Trace],
    step: int,
    style: FrameStyle = FrameStyle(),
    *,
    labels: Sequence[str] | None = None,
    verdicts: Sequence[Verdict | None] | None = None,
    limits: Limits | None = None,
) -> Image.Image:
    """Runs side by side on one clock: prompt with coloured words, step counter, labelled stages, timeline.

    Args:
        traces: 1..6 runs; the prompt line is the first one's, a run with another prompt tells it under its name.
        step: -1 to the longest run's last step.
        style: look; with `attention` each stage gets its objects' maps on one locked scale.
        labels: a name for each run; None = the order's.
        verdicts: shown under finished pictures, marked as judged by a detector.
        limits: the attention scale; None = shared by all steps of all given runs (costly in a loop: `compare_frames` computes it once).

    Raises:
        ValueError: for 0 or more than 6 traces, or as many labels or verdicts as there are not runs.
    """
    _check_traces(traces, labels, verdicts)
    theme, s = THEMES[style.theme], style.scale
    steps = max(len(t.steps) for t in traces)
    per_row = len(traces) if len(traces) <= 3 else math.ceil(len(traces) / 2)
    with_attention = style.attention and all(r.attention is not None for t in traces for r in t.steps) and bool(traces[0].prompt.subjects)
    if with_attention and limits is None:
        limits = map_limits(traces, "attention")
    blocks = []
    for index, trace in enumerate(traces):
        name, settings = run_label(trace)
        name = labels[index] if labels else name
        if trace.prompt.text != traces[0].prompt.text:
            settings = f"“{trace.prompt.text}”"
        verdict = verdicts[index] if verdicts else None
        blocks.append(_stage_block(trace, step, style, name, settings, verdict, limits if with_attention else None))
    gap, pad = 24 * s, 32 * s
    width = max(per_row * blocks[0].width + (per_row - 1) * gap, 380 * s) + 2 * pad
    block_height = max(b.height for b in blocks)
    rows = math.ceil(len(blocks) / per_row)
    size = 22 * s
    lines = wrap_spans(prompt_spans(traces[0].prompt, theme), size, width - 2 * pad - text_width("step 999 / 999", 15 * s) - gap)
    head = pad + len(lines) * round(size * 1.5) + 16 * s
    foot = 46 * s + (26 * s if with_attention else 0)
    image = Image.new("RGB", (width, head + rows * block_height + (rows - 1) * gap + foot + pad // 2), theme.background)
    draw = ImageDraw.Draw(image)
    for row, line in enumerate(lines):
        draw_spans(draw, pad, pad + size * 0.85 + row * round(size * 1.5), line, size)
    counter = f"step {min(step + 1, steps)} / {steps}"
    draw_text(draw, width - pad, pad + size * 0.85, counter, 15 * s, theme.muted, "right")
    for index, block in enumerate(blocks):
        in_row = min(per_row, len(blocks) - index // per_row * per_row)
        left = (width - in_row * block.width - (in_row - 1) * gap) // 2
        image.paste(block, (left + index % per_row * (block.width + gap), head + index // per_row * (block_height + gap)))
    y = image.height - pad // 2 - 20 * s
    _timeline(draw, pad, width - pad, y, step, steps, first_divergence(traces) if len(traces) > 1 else None, theme, s)
    if with_attention and limits is not None:
        _scale_bar(image, draw, pad, width - pad, y - 40 * s, limits, theme, s)
    return image


def compare_frames(
    traces: Sequence[Trace],
    style: FrameStyle = FrameStyle(),
    *,
    labels: Sequence[str] | None = None,
    verdicts: Sequence[Verdict | None] | None = None,
) -> Iterator[Image.Image]:
    """Every composed frame from the start (all masked) to the end: T + 1 pictures of one size, made one at a time.

    Raises:
        ValueError: as `compare_frame`.
    """
    _check_traces(traces, labels, verdicts)
    recorded = all(r.attention is not None for t in traces for r in t.steps)
    limits = map_limits(traces, "attention") if style.attention and recorded else None
    for step in range(-1, max(len(t.steps) for t in traces)):
        yield compare_frame(traces, step, style, labels=labels, verdicts=verdicts, limits=limits)


def _stage_block(
    trace: Trace, step: int, style: FrameStyle, name: str, settings: str, verdict: Verdict | None, limits: Limits | None
) -> Image.Image:
    """Label, stage, cell count, verdict, and the objects' attention maps."""
    theme, s = THEMES[style.theme], style.scale
    stage = _rounded(reveal_frame(trace, step, style), 8 * s, theme)
    subjects = trace.prompt.subjects[:MAX_OBJECT_ROWS] if limits is not None else ()
    small_gap, width = 10 * s, max(stage.width, MIN_BLOCK_PX * s)
    small = (width - small_gap) // 2 if len(subjects) < 3 else (width - 2 * small_gap) // 3
    small_width, small_height = small, max(1, round(small * stage.height / stage.width))
    if small_height > stage.height:  # of a grid that is tall and narrow
        small_width, small_height = max(1, round(small * stage.height / small_height)), stage.height
    small_rows = math.ceil(len(subjects) / (2 if len(subjects) < 3 else 3))
    head, count_line = 46 * s, 30 * s
    verdict_height = 24 * s * (len(trace.prompt.subjects) + len(verdict.wishes)) + 30 * s if verdict is not None else 0
    height = head + stage.height + count_line + small_rows * (small_height + 26 * s + small_gap) + verdict_height
    block = Image.new("RGB", (width, height), theme.background)
    draw = ImageDraw.Draw(block)
    draw_text(draw, 0, 17 * s, fit(name, 18 * s, width), 18 * s, theme.ink)
    draw_text(draw, 0, 36 * s, fit(settings, 12 * s, width), 12 * s, theme.muted)
    block.paste(stage, (0, head))
    y = head + stage.height
    left = int(masked_after(trace, step).sum())
    total = trace.tokens.size
    draw_text(draw, 0, y + 20 * s, f"{total - left} of {total} cells", 12 * s, theme.muted)
    fresh = int(fresh_at(trace, step).sum())
    if fresh:
        draw_text(draw, width, y + 20 * s, f"+{fresh}", 12 * s, theme.muted, "right")
    y += count_line
    if verdict is not None:
        _verdict_lines(draw, trace, verdict, step >= len(trace.steps) - 1, y, width, theme, s)
        y += verdict_height
    if subjects and limits is not None:
        per_row = 2 if len(subjects) < 3 else 3
        maps = object_maps(trace, max(0, min(step, len(trace.steps) - 1)))
        colors = [readable(c, theme.background) for c in subject_colors(len(trace.prompt.subjects))]
        for index, subject in enumerate(subjects):
            x = index % per_row * (small + small_gap)
            top = y + index // per_row * (small_height + 26 * s + small_gap)
            picture = map_picture(maps[index] * (step >= 0), limits, (small_height, small_width), smooth=True)
            block.paste(_rounded(Image.fromarray(picture), 6 * s, theme), (x, top + 20 * s))
            draw_text(draw, x, top + 13 * s, fit(subject.noun or subject.label, 12 * s, small), 12 * s, colors[index])
    return block


def _verdict_lines(
    draw: ImageDraw.ImageDraw, trace: Trace, verdict: Verdict, finished: bool, y: float, width: int, theme: Theme, s: int
) -> None:
    """One line per object; before the picture is finished only the rings and names, so that nothing moves when the verdict comes."""
    colors = [readable(c, theme.background) for c in subject_colors(len(trace.prompt.subjects))]
    for index, subject in enumerate(trace.prompt.subjects):
        found = index < len(verdict.objects_found) and verdict.objects_found[index]
        right = index < len(verdict.colors_right) and verdict.colors_right[index]
        says = "missing" if not found else "found" if not subject.colors else "found, colour right" if right else "found, colour wrong"
        _mark(draw, 7 * s, y + 11 * s, 7 * s, found and right if finished else None, theme)
        x = draw_text(draw, 22 * s, y + 16 * s, fit(subject.label, 14 * s, width * 0.5), 14 * s, colors[index])
        if finished:
            draw_text(draw, x + 8 * s, y + 16 * s, says, 13 * s, theme.muted)
        y += 24 * s
    for wish in verdict.wishes:
        _mark(draw, 7 * s, y + 11 * s, 7 * s, wish.met if finished else None, theme)
        draw_text(draw, 22 * s, y + 16 * s, fit(wish.label, 14 * s, width * 0.8), 14 * s, theme.ink)
        y += 24 * s
    if finished:
        said = "; ".join(["judged by a detector", *too_many(trace.prompt.subjects, verdict)])
        draw_text(draw, 0, y + 14 * s, fit(said, 11 * s, width), 11 * s, theme.muted)


def _mark(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, good: bool | None, theme: Theme) -> None:
    """A tick in a filled disc, a cross in a ring, or an empty ring (not judged yet): told apart by shape, not by colour alone."""
    box = (x - radius, y - radius, x + radius, y + radius)
    width = max(1, round(radius * 0.28))
    if good:
        draw.ellipse(box, fill=theme.ink)
        points = [(x - radius * 0.45, y + radius * 0.02), (x - radius * 0.1, y + radius * 0.38), (x + radius * 0.48, y - radius * 0.36)]
        draw.line(points, fill=theme.background, width=width, joint="curve")
    else:
        draw.ellipse(box, outline=theme.muted, width=max(1, round(radius * 0.18)))
    if good is False:
        for direction in (1, -1):
            reach = radius * 0.38
            draw.line((x - reach, y - reach * direction, x + reach, y + reach * direction), fill=theme.ink, width=width)


def _timeline(
    draw: ImageDraw.ImageDraw, left: int, right: int, y: int, step: int, steps: int, divergence: int | None, theme: Theme, s: int
) -> None:
    draw.rounded_rectangle((left, y, right, y + 4 * s), radius=2 * s, fill=theme.line)
    reached = left + (right - left) * (step + 1) / steps
    if reached > left:
        draw.rounded_rectangle((left, y, reached, y + 4 * s), radius=2 * s, fill=theme.accent)
    if divergence is not None:
        x = left + (right - left) * (divergence + 1) / steps
        draw.polygon(((x - 5 * s, y - 10 * s), (x + 5 * s, y - 10 * s), (x, y - 2 * s)), fill=theme.muted)
        note = f"first difference: step {divergence + 1}"
        fits_right = x + 10 * s + text_width(note, 11 * s) <= right
        draw_text(draw, x + (10 if fits_right else -10) * s, y - 4 * s, note, 11 * s, theme.muted, "left" if fits_right else "right")


def _scale_bar(image: Image.Image, draw: ImageDraw.ImageDraw, left: int, right: int, y: int, limits: Limits, theme: Theme, s: int) -> None:
    """The attention scale on one line: name, low number, bar, high number."""
    x = draw_text(draw, left, y + 9 * s, "attention to the object's word, one scale", 11 * s, theme.muted) + 16 * s
    x = draw_text(draw, x, y + 9 * s, f"{limits.low:.2g}", 11 * s, theme.ink) + 6 * s
    width = min(140 * s, int(right - x) - 60 * s)
    if width > 20 * s:
        ramp = np.linspace(limits.low, limits.high, width, dtype=np.float32)[None].repeat(10 * s, axis=0)
        image.paste(Image.fromarray(apply_map(ramp, limits, MAPS[0])), (int(x), y))
        x += width + 6 * s
    # the scale ends at a quantile, so its brightest colour stands for everything from there on
    draw_text(draw, x, y + 9 * s, f"≥ {limits.high:.2g}", 11 * s, theme.ink)


@lru_cache(maxsize=8)
def _mask_pattern(rows: int, columns: int, cell: int, theme: Theme) -> Image.Image:
    """Every cell as an inset rounded tile with a small dot, drawn four times as large and reduced so that curves are smooth."""
    big = cell * 4
    tile = Image.new("RGB", (big, big), theme.background if theme is DARK else theme.line)
    draw = ImageDraw.Draw(tile)
    inset = max(1, round(big * 0.03))
    draw.rounded_rectangle((inset, inset, big - inset - 1, big - inset - 1), radius=round(big * 0.14), fill=theme.mask)
    radius = big * 0.075
    draw.ellipse((big / 2 - radius, big / 2 - radius, big / 2 + radius, big / 2 + radius), fill=theme.mask_mark)
    small = np.asarray(tile.resize((cell, cell), Image.Resampling.LANCZOS))
    return Image.fromarray(np.tile(small, (rows, columns, 1)))


def _outline(picture: Image.Image, cells: np.ndarray, cell: int, scale: int, theme: Theme) -> None:
    """Outline the union of cells: only edges between a chosen cell and any other cell (or the border) are drawn."""
    width = max(1, min(round(1.5 * scale), cell // 5))
    shape = Image.fromarray((cells * 255).astype(np.uint8)).resize(picture.size, Image.Resampling.NEAREST)
    inner = _eroded(shape, width)
    halo = _eroded(inner, max(1, width // 2))
    picture.paste(rgb(theme.fresh_halo), mask=ImageChops.subtract(inner, halo).point([int(v * 0.8) for v in range(256)]))
    picture.paste(rgb(theme.fresh), mask=ImageChops.subtract(shape, inner))


def _eroded(shape: Image.Image, width: int) -> Image.Image:
    """The shape shrunk by so many pixels; outside the picture counts as empty, so a cell on the border gets its outline too."""
    area = np.pad(np.asarray(shape) > 0, width)
    rows, columns = area.shape
    kept = np.ones((rows - 2 * width, columns - 2 * width), bool)
    for y in (0, width, 2 * width):
        for x in (0, width, 2 * width):
            kept &= area[y : y + kept.shape[0], x : x + kept.shape[1]]
    return Image.fromarray((kept * 255).astype(np.uint8))


def _rounded(picture: Image.Image, radius: int, theme: Theme) -> Image.Image:
    """The picture with rounded corners on the theme's background."""
    base = Image.new("RGB", picture.size, theme.background)
    base.paste(picture, mask=_rounded_shape(picture.width, picture.height, radius))
    return base


@lru_cache(maxsize=16)
def _rounded_shape(width: int, height: int, radius: int) -> Image.Image:
    """A filled rounded rectangle, drawn twice as large and reduced so that its corners are smooth; shared, so never drawn on."""
    big = Image.new("L", (width * 2, height * 2), 0)
    ImageDraw.Draw(big).rounded_rectangle((0, 0, big.width - 1, big.height - 1), radius=radius * 2, fill=255)
    return big.resize((width, height), Image.Resampling.LANCZOS)


def _check_traces(traces: Sequence[Trace], labels: Sequence[str] | None, verdicts: Sequence[Verdict | None] | None) -> None:
    if not 1 <= len(traces) <= MAX_TRACES:
        raise ValueError(f"{len(traces)} traces: give 1 to {MAX_TRACES}")
    for name, values in (("label", labels), ("verdict", verdicts)):
        if values is not None and len(values) != len(traces):
            raise ValueError(f"{counted(len(values), name)} for {counted(len(traces), 'trace')}: give one for each")
