"""Colours: subject colours, colour maps as tables, limits that comparisons share, and the two themes. Knows arrays and numbers only.

Every picture, curve, legend and word of the project takes its colours from here, so an object looks the same everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

# Okabe and Ito's colour-blind-safe set. The first four keep a contrast of at least 3:1 on white *and* on the dark theme's background,
# so they come first; yellow is last because it disappears on white, and black gives way to a grey that is seen on both.
_OKABE_ITO = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C96", "#F0E442")

SEQUENTIAL_MAP = "magma"  # attention, entropy: dark = nothing, bright = much
ORDER_MAP = "viridis"  # time: dark = early, bright = late
DIVERGING_MAP = "PuOr_r"  # signed quantities: purple below zero, orange above
MAPS = (SEQUENTIAL_MAP, ORDER_MAP, DIVERGING_MAP)


@dataclass(frozen=True)
class Theme:
    """Colours of one look, all "#rrggbb".

    Args:
        background, ink, muted, line: page, text, secondary text, hairlines.
        mask, mask_mark: a still-masked cell and the mark in it.
        fresh, fresh_halo: outline of newly committed cells and the thin line that keeps it visible on any picture.
        accent: progress and highlights.
    """

    name: str
    background: str
    ink: str
    muted: str
    line: str
    mask: str
    mask_mark: str
    fresh: str
    fresh_halo: str
    accent: str


LIGHT = Theme("light", "#FFFFFF", "#16181D", "#5C6370", "#DDE0E6", "#C6CCD8", "#A3ABBA", "#16181D", "#FFFFFF", "#3B4252")
DARK = Theme("dark", "#12141A", "#F2F4F8", "#9AA3B2", "#2B303B", "#1F232D", "#363D4B", "#FFFFFF", "#0A0B0E", "#D5DAE4")
THEMES = {"light": LIGHT, "dark": DARK}


@dataclass(frozen=True)
class Limits:
    """A colour scale that everything in one comparison shares.

    Args:
        low, high: values at the ends of the colour map; low < high.
        diverging: True when the scale is symmetric about zero.
    """

    low: float
    high: float
    diverging: bool = False

    def unit(self, values: np.ndarray) -> np.ndarray:
        """Values mapped to 0..1 float32 (clipped); not-a-number becomes the low end (the middle of a diverging scale)."""
        scaled = (np.asarray(values, np.float32) - self.low) / (self.high - self.low)
        return np.clip(np.nan_to_num(scaled, nan=0.5 if self.diverging else 0.0, posinf=1.0, neginf=0.0), 0.0, 1.0)


def subject_colors(n: int) -> list[str]:
    """Colour-blind-safe colours of n subjects, always in the same order; after the eighth they repeat.

    Args:
        n: number of subjects, >= 0.

    Returns:
        n strings "#RRGGBB".

    Raises:
        ValueError: when n is negative.

    Source: M. Okabe and K. Ito, Color Universal Design (2008).
    """
    if n < 0:
        raise ValueError(f"n={n}: give a number of subjects of at least 0")
    return [_OKABE_ITO[i % len(_OKABE_ITO)] for i in range(n)]


def rgb(color: str) -> tuple[int, int, int]:
    """(r, g, b), 0..255 each, of "#RRGGBB".

    Raises:
        ValueError: when the string is not of that form.
    """
    if len(color) != 7 or color[0] != "#":
        raise ValueError(f'color={color!r}: use "#RRGGBB"')
    try:
        return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
    except ValueError as error:
        raise ValueError(f'color={color!r}: use "#RRGGBB"') from error


def contrast_ratio(first: str, second: str) -> float:
    """Contrast of two colours, 1..21.

    Source: WCAG 2.2, relative luminance and contrast ratio.
    """
    bright, dark = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def readable(color: str, background: str, ratio: float = 4.5) -> str:
    """The colour itself, or the nearest mix of it with white or black that reads as text on the background.

    Args:
        color, background: "#RRGGBB".
        ratio: contrast wanted, 1..21 (4.5 = WCAG AA for text).

    Returns:
        "#RRGGBB"; pure white or black when nothing else reaches the ratio.
    """
    # 0.1791 is the luminance at which white and black contrast equally
    pole = np.array((0, 0, 0) if _luminance(background) > 0.1791 else (255, 255, 255), np.float32)
    start = np.array(rgb(color), np.float32)
    for share in np.linspace(0, 1, 41):
        mixed = "#{:02X}{:02X}{:02X}".format(*(int(v) for v in np.rint(start + (pole - start) * share)))
        if contrast_ratio(mixed, background) >= ratio:
            return mixed
    return "#{:02X}{:02X}{:02X}".format(*(int(v) for v in pole))


@lru_cache(maxsize=16)
def color_table(name: str = SEQUENTIAL_MAP, size: int = 256) -> np.ndarray:
    """A colour map as a table "size 3" uint8, low to high; read only.

    Args:
        name: one of MAPS (perceptually uniform, or diverging with a light middle).
        size: number of entries, 2..4096.

    Raises:
        ValueError: for another name or size.

    Source: matplotlib's colour maps (magma and viridis: S. van der Walt and N. Smith; PuOr: C. Brewer).
    """
    if name not in MAPS:
        raise ValueError(f"map={name!r}: choose one of {', '.join(MAPS)}")
    if not 2 <= size <= 4096:
        raise ValueError(f"size={size}: give a number of entries from 2 to 4096")
    from matplotlib import colormaps  # costs 0.3 s to import; only pictures with maps pay for it

    table = np.rint(colormaps[name](np.linspace(0, 1, size))[:, :3] * 255).astype(np.uint8)
    table.flags.writeable = False
    return table


def apply_map(values: np.ndarray, limits: Limits, name: str | None = None) -> np.ndarray:
    """Colours "... 3" uint8 of values "..." on a locked scale.

    Args:
        values: numbers of any shape.
        limits: the shared scale.
        name: colour map; None takes the diverging one for a diverging scale, else the sequential one.
    """
    table = color_table(name or (DIVERGING_MAP if limits.diverging else SEQUENTIAL_MAP))
    return table[np.rint(limits.unit(values) * (len(table) - 1)).astype(np.int64)]


def sequential_limits(arrays: Iterable[np.ndarray], quantile: float = 1.0) -> Limits:
    """One scale from 0 to the largest finite value (or a quantile) of all arrays together.

    Args:
        arrays: non-negative numbers, any shapes.
        quantile: 0 < quantile <= 1; below 1 the few brightest cells saturate instead of darkening all others.

    Raises:
        ValueError: for a quantile outside 0..1.
    """
    if not 0 < quantile <= 1:
        raise ValueError(f"quantile={quantile!r}: give a number above 0 and at most 1")
    values = _finite(arrays)
    high = float(np.quantile(values, quantile)) if values.size else 1.0
    return Limits(0.0, high if high > 0 else 1.0)


def diverging_limits(arrays: Iterable[np.ndarray], quantile: float = 1.0) -> Limits:
    """One scale symmetric about zero that holds all arrays together, so zero is the map's neutral middle.

    Args:
        arrays: signed numbers, any shapes; values that are not finite are left out.
        quantile: as for `sequential_limits`, of the magnitudes.
    """
    high = sequential_limits([np.abs(np.asarray(a, np.float64)) for a in arrays], quantile).high
    return Limits(-high, high, diverging=True)


def sign_aware_limits(arrays: Sequence[np.ndarray], quantile: float = 1.0) -> Limits:
    """A scale from 0 when no value is negative, else one symmetric about zero."""
    values = _finite(arrays)
    if values.size and values.min() < 0:
        return diverging_limits([values], quantile)
    return sequential_limits([values], quantile)


def _finite(arrays: Iterable[np.ndarray]) -> np.ndarray:
    flat = [np.asarray(a, np.float64).reshape(-1) for a in arrays]
    values = np.concatenate(flat) if flat else np.zeros(0)
    return values[np.isfinite(values)]


def _luminance(color: str) -> float:
    channels = np.array(rgb(color)) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ np.array([0.2126, 0.7152, 0.0722]))
