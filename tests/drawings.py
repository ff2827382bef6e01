"""Simple drawings instead of the downloaded art, for tests of the training code."""

from __future__ import annotations

from functools import lru_cache

import pytest

from uncage_demo.backends.embedded import vocab
from uncage_demo.train.scenes import SpriteAtlas

RASTER_PX = 96  # the sprites are 80 px; the art's own 512 would cost ten seconds


def drawing(index: int) -> str:
    """A simple SVG that differs from noun to noun."""
    hue = 360 * index // len(vocab.NOUNS)
    shape = f'<circle cx="8" cy="8" r="{4 + index % 4}" fill="hsl({hue},80%,45%)"/>'
    mark = f'<rect x="{index % 8}" y="2" width="4" height="5" fill="#222"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">{shape}{mark}</svg>'


@lru_cache(maxsize=1)
def drawn_atlas() -> SpriteAtlas:
    """Every noun as a simple drawing; made once a session. Skips the test where the rasteriser is not installed."""
    pytest.importorskip("resvg_py")
    return SpriteAtlas(icons={noun: drawing(index) for index, noun in enumerate(vocab.NOUNS)}, raster_px=RASTER_PX)
