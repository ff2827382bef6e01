"""Pictures of a trace for the browser: every step's guess, the finished picture, one atlas of token pictures. Arrays and Pillow only."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from uncage_demo.trace.record import Trace

FULL_PX, LARGE_PX, GRID_PX, FINAL_PX = 192, 128, 96, 512
FRAME_QUALITY, LARGE_QUALITY, GRID_QUALITY, FINAL_QUALITY = 80, 62, 66, 88
TILE_PX = 16


def encode_webp(image: np.ndarray, size_px: int, quality: int) -> str:
    """ "H W 3" uint8 -> base64 WebP of at most size_px a side.

    Args:
        image: the picture.
        size_px: largest side, >= 1.
        quality: 1..100.
    """
    picture = Image.fromarray(np.ascontiguousarray(image, np.uint8))
    if max(picture.size) > size_px:
        scale = size_px / max(picture.size)
        picture = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=quality, method=4)
    return base64.b64encode(buffer.getvalue()).decode()


def frame_size_px(trace: Trace, level: str, large: bool) -> tuple[int, int]:
    """(largest side, quality) of a run's step pictures."""
    if level == "grid":
        return GRID_PX, GRID_QUALITY
    return (LARGE_PX, LARGE_QUALITY) if large else (FULL_PX, FRAME_QUALITY)


def frames(trace: Trace, size: tuple[int, int]) -> list[str] | None:
    """Base64 WebP of the guess at every step; None when the trace holds no pictures.

    Steps whose guess equals the one before (nothing changed) share their text, which the browser decodes once.
    """
    if trace.frames is None or not len(trace.frames):
        return None
    texts: list[str] = []
    for index, frame in enumerate(trace.frames):
        same = index > 0 and np.array_equal(frame, trace.frames[index - 1])
        texts.append(texts[-1] if same else encode_webp(frame, *size))
    return texts


def final(trace: Trace) -> str:
    """Base64 WebP of the finished picture, larger and finer than a step's."""
    return encode_webp(trace.image, FINAL_PX, FINAL_QUALITY)


def atlas(traces: Sequence[Trace]) -> dict[str, Any] | None:
    """All token pictures of the runs in one WebP: {"tile": px, "columns": c, "ids": [...], "image": base64}; None when there are none.

    Only tokens that a run's alternatives or samples name are kept.
    """
    found: dict[int, np.ndarray] = {}
    for trace in traces:
        if not trace.token_pictures:
            continue
        used = {int(i) for r in trace.steps for i in np.unique(r.sampled)}
        used |= {int(i) for r in trace.steps if r.alternatives is not None for i in np.unique(r.alternatives)}
        found.update((i, trace.token_pictures[i]) for i in sorted(used) if i in trace.token_pictures)
    if not found:
        return None
    ids = sorted(found)
    columns = math.ceil(math.sqrt(len(ids)))
    sheet = np.zeros((math.ceil(len(ids) / columns), TILE_PX, columns, TILE_PX, 3), np.uint8)
    for number, token in enumerate(ids):
        sheet[number // columns, :, number % columns] = _tile(found[token])
    buffer = io.BytesIO()
    Image.fromarray(sheet.reshape(-1, columns * TILE_PX, 3)).save(buffer, "WEBP", quality=82, method=4)
    return {"tile": TILE_PX, "columns": columns, "ids": ids, "image": base64.b64encode(buffer.getvalue()).decode()}


def _tile(picture: np.ndarray) -> np.ndarray:
    """A token's picture "H W 3" at the atlas's size."""
    if picture.shape == (TILE_PX, TILE_PX, 3):
        return picture
    tile = Image.fromarray(np.ascontiguousarray(picture, np.uint8)).resize((TILE_PX, TILE_PX), Image.Resampling.BICUBIC)
    return np.asarray(tile)
