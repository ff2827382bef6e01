"""Pictures of a run that is still decoding: small JPEGs of every stage with the cells that are still masked."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from PIL import Image

LIVE_PX = 256
MANY_PX = 112
MOST_LARGE = 6  # stages that get pictures of LIVE_PX; more get small ones
MIN_INTERVAL_S = 0.12
PICTURE_SHARE = 0.15  # at most this share of the time goes into pictures nobody asked to keep


def picture_url(image: np.ndarray, max_px: int = LIVE_PX, quality: int = 82) -> str:
    """ "H W 3" uint8 -> JPEG data URL of at most max_px a side."""
    picture = Image.fromarray(image)
    if max(picture.size) > max_px:
        picture.thumbnail((max_px, max_px))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def pack_bits(mask: np.ndarray) -> str:
    """ "n" bool -> base64 of its bits, first cell in the lowest bit."""
    return base64.b64encode(np.packbits(mask.astype(np.uint8), bitorder="little").tobytes()).decode()


def live_runs(progress: Any, grid: tuple[int, int], max_px: int = LIVE_PX) -> list[dict[str, Any]]:
    """Picture and still-masked cells of every run after one step."""
    masked = [record.masked_before & ~record.committed for record in progress.records]
    return [
        {"picture": picture_url(picture, max_px), "masked": pack_bits(mask), "grid": list(grid)}
        for picture, mask in zip(progress.frames, masked, strict=True)
    ]


def with_pictures(
    progress: Iterable[Any], grid: tuple[int, int], max_px: int = LIVE_PX
) -> Iterator[tuple[Any, list[dict[str, Any]] | None]]:
    """Every progress item, now and then with live pictures: no more often than MIN_INTERVAL_S or PICTURE_SHARE of the time allow.

    Yields:
        (item, pictures or None); an item without pictures of its own, such as the end of a run, never gets any.
    """
    next_at = 0.0
    for item in progress:
        now = time.perf_counter()
        pictures = None
        if getattr(item, "frames", None) is not None and now >= next_at:
            pictures = live_runs(item, grid, max_px)
            spent = time.perf_counter() - now
            next_at = now + max(MIN_INTERVAL_S, spent / PICTURE_SHARE)
        yield item, pictures
