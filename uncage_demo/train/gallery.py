"""Pictures of the model card: what goes wrong and how often, and a hundred pictures at a glance. Nothing is picked by eye.

Knows arrays, Pillow and judged pictures; measures nothing itself.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from uncage_demo.backends.base import Backend
from uncage_demo.bench.quality import FAILURE_KINDS, JudgedImage
from uncage_demo.bench.run import make_images
from uncage_demo.bench.scorers_detector import judge_many
from uncage_demo.bench.suites import BenchPrompt, build_suites
from uncage_demo.config import DecodingConfig
from uncage_demo.files import write_atomically
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.render.palette import LIGHT
from uncage_demo.render.text import Span, draw_spans, draw_text, wrap_spans

POSTER_SEED = 990_010
POSTER_PARTS = (("single-object", 10), ("attend-excite", 30), ("three-subjects", 10), ("places", 30), ("positions", 10), ("numbers", 10))
POSTER_COLUMNS = 10
POSTER_PX = 128
SAMPLES = 6
SAMPLE_PX = 144
LABEL_PX = 214
SUITE_PX = 86
RATE_PX = 18
WRONG = "#B3261E"
GAP, MARGIN = 12, 16


class FailureSamples:
    """Keeps a few pictures of each kind of failure, drawn at random from all that show it (reservoir sampling), so that none is picked.

    Args:
        keep: pictures per kind.
        seed: of the draw.
    """

    def __init__(self, keep: int = SAMPLES, seed: int = 0) -> None:
        self.keep = keep
        self.kept: dict[str, list[tuple[JudgedImage, np.ndarray]]] = {kind: [] for kind in FAILURE_KINDS}
        self._count = dict.fromkeys(FAILURE_KINDS, 0)
        self._rng = np.random.default_rng(seed)

    def __call__(self, judged: JudgedImage, image: np.ndarray) -> None:
        """Look at one judged picture (the `watch` of `quality`)."""
        for kind, kept in self.kept.items():
            if not judged.metrics[kind]:
                continue
            self._count[kind] += 1
            place = int(self._rng.integers(self._count[kind]))
            if len(kept) < self.keep:
                kept.append((judged, image))
            elif place < self.keep:
                kept[place] = (judged, image)


def failure_sheet(samples: FailureSamples, failures: dict[str, dict[str, dict[str, Any]]]) -> Image.Image:
    """One row per kind of failure: what it is, how often each suite shows it, and pictures with what the detector saw.

    Args:
        samples: the pictures.
        failures: "failures" of `quality`.
    """
    row = SAMPLE_PX + 58 + GAP
    width = MARGIN + LABEL_PX + samples.keep * (SAMPLE_PX + GAP) + MARGIN - GAP
    sheet = Image.new("RGB", (width, 2 * MARGIN - GAP + row * len(FAILURE_KINDS)), LIGHT.background)
    draw = ImageDraw.Draw(sheet)
    for index, (kind, meaning) in enumerate(FAILURE_KINDS.items()):
        top = MARGIN + index * row
        if index:
            draw.line((MARGIN, top - GAP / 2 - 2, width - MARGIN, top - GAP / 2 - 2), fill=LIGHT.line)
        _rates(draw, top, kind, meaning, {suite: kinds[kind] for suite, kinds in failures.items()})
        for place, (judged, image) in enumerate(samples.kept[kind]):
            left = MARGIN + LABEL_PX + place * (SAMPLE_PX + GAP)
            sheet.paste(_rounded(image, SAMPLE_PX), (left, top))
            bottom = _lines(draw, left, top + SAMPLE_PX + 14, judged.item.text, 11, LIGHT.ink, SAMPLE_PX, 2)
            _lines(draw, left, bottom, "saw " + _seen(judged.seen), 10, WRONG, SAMPLE_PX, 2)
        if not samples.kept[kind]:
            draw_text(draw, MARGIN + LABEL_PX, top + SAMPLE_PX / 2, "none seen", 12, LIGHT.muted)
    return sheet


def _rates(draw: ImageDraw.ImageDraw, top: float, kind: str, meaning: str, suites: dict[str, dict[str, Any]]) -> None:
    """The label of a row: the kind of failure, what it means, and a line of its rate for each suite."""
    draw_text(draw, MARGIN, top + 18, kind, 17, LIGHT.ink)
    y = _lines(draw, MARGIN, top + 38, meaning, 12, LIGHT.muted, LABEL_PX - 24, 3) + 8
    for number, (suite, rate) in enumerate(suites.items()):
        draw_text(draw, MARGIN, y + RATE_PX * number, suite, 11, LIGHT.muted)
        draw_text(draw, MARGIN + SUITE_PX, y + RATE_PX * number, _percent(rate), 11, LIGHT.ink)


@dataclass(frozen=True)
class Poster:
    """The poster, how many of its pictures the detector finds fully correct, and how many there are."""

    image: Image.Image
    correct: int
    count: int


def poster(
    backend: Backend,
    parts: Sequence[tuple[str, int]] = POSTER_PARTS,
    base: DecodingConfig | None = None,
    *,
    seed: int = POSTER_SEED,
    batch: int = 50,
) -> Poster:
    """Pictures of prompts spread evenly over the suites, one seed each that nothing else uses, in the baseline order: none is picked.

    Args:
        backend: a model with a detector.
        parts: (suite, number of prompts).
        base: settings; None = the model's default steps and guidance with the baseline order.
        seed: of the first picture; the next has the next.
        batch: pictures decoded together.
    """
    items = [item for suite, count in parts for item in _spread(build_suites([suite]), count)]
    prompts = [parse_prompt(item.text, backend) for item in items]
    base = base or DecodingConfig(num_steps=backend.info.default_steps)
    images, right = [], []
    for start in range(0, len(items), batch):
        part = prompts[start : start + batch]
        _, pictures = make_images(backend, part, [base.with_(seed=seed + start + i) for i in range(len(part))])
        images += list(pictures)
        right += [verdict.all_correct for verdict in judge_many(backend, pictures, part)]
    columns = min(POSTER_COLUMNS, len(items))
    captions = [Span(item.text, LIGHT.muted) if good else Span(f"✗ {item.text}", WRONG) for item, good in zip(items, right, strict=True)]
    lines = [wrap_spans([caption], 11, POSTER_PX, 3) for caption in captions]
    # Rows of long captions are higher.
    heights = [POSTER_PX + GAP + 14 * max(map(len, lines[start : start + columns])) for start in range(0, len(items), columns)]
    tops = [MARGIN, *(MARGIN + np.cumsum(heights)).tolist()]
    sheet = Image.new("RGB", (2 * MARGIN + columns * (POSTER_PX + GAP) - GAP, tops[-1] + MARGIN - GAP), LIGHT.background)
    draw = ImageDraw.Draw(sheet)
    for index, image in enumerate(images):
        left, top = MARGIN + index % columns * (POSTER_PX + GAP), tops[index // columns]
        sheet.paste(_rounded(image, POSTER_PX), (left, top))
        for row, line in enumerate(lines[index]):
            draw_spans(draw, left, top + POSTER_PX + 13 + 14 * row, line, 11)
    return Poster(sheet, sum(right), len(items))


def save_webp(image: Image.Image, path: Path, max_bytes: int, quality: int = 88) -> int:
    """Save as WebP at the highest quality, from `quality` down to 40, that fits; returns the size in bytes.

    Raises:
        ValueError: when even the lowest quality does not fit.
    """
    for tried in range(quality, 39, -8):
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", quality=tried, method=6)
        if buffer.tell() <= max_bytes:
            write_atomically(path, buffer.getvalue())
            return buffer.tell()
    raise ValueError(f"{path.name} does not fit into {max_bytes} bytes; draw fewer or smaller pictures")


def _spread(prompts: Sequence[BenchPrompt], count: int) -> list[BenchPrompt]:
    return [prompts[(2 * i + 1) * len(prompts) // (2 * count)] for i in range(count)]


def _seen(seen: Sequence[tuple[str, str]]) -> str:
    counts = Counter(f"{color} {noun}".strip() for noun, color in seen)
    return ", ".join(name if count == 1 else f"{count} × {name}" for name, count in counts.items()) or "nothing"


def _percent(entry: dict[str, Any]) -> str:
    return f"{100 * entry['value']:.1f} % [{100 * entry['low']:.1f}, {100 * entry['high']:.1f}]"


def _lines(draw: ImageDraw.ImageDraw, x: float, baseline: float, text: str, size_px: int, color: str, width: float, most: int) -> float:
    """Wrapped text from a first baseline on; returns the baseline of the line after it."""
    for line in wrap_spans([Span(text, color)], size_px, width, most):
        draw_spans(draw, x, baseline, line, size_px)
        baseline += round(size_px * 1.28)
    return baseline


def _rounded(image: np.ndarray, size_px: int, radius: int = 10) -> Image.Image:
    """The picture at a size with rounded corners on the sheet's background."""
    picture = Image.fromarray(image).resize((size_px, size_px), Image.Resampling.LANCZOS)
    shape = Image.new("L", (4 * size_px, 4 * size_px), 0)
    ImageDraw.Draw(shape).rounded_rectangle((0, 0, 4 * size_px - 1, 4 * size_px - 1), radius=4 * radius, fill=255)
    return Image.composite(
        picture, Image.new("RGB", picture.size, LIGHT.background), shape.resize((size_px, size_px), Image.Resampling.LANCZOS)
    )
