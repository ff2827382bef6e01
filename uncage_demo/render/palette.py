"""Colours: subject colours, colour maps as tables, limits that comparisons share, and the two themes. Knows arrays and numbers only.

Every picture, curve, legend and word of the project takes its colours from here, so an object looks the same everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
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
    """Colours of one look, all "#RRGGBB". Films, figures, the player and the page around it read these and no others.

    Args:
        ground, background, panel: the page, the cards on it that hold pictures, and a surface set off from a card.
        ink, muted: text and secondary text.
        line, strong: hairlines, and lines or bars that carry meaning.
        mask, mask_mark: a still-masked cell and the mark in it.
        fresh, fresh_halo: outline of newly committed cells and the thin line that keeps it visible on any picture.
        accent, accent_ink, soft: progress and highlights, text on them, and their pale ground.
        good, bad, warn: text that says right, wrong, or attention.
        what_if: outline of cells that other settings would pick.
        method, reference: in tables of results, a method's mark and the baseline's mark and text (Okabe and Ito's blue and vermilion, as
            dark or light as text must be on the background).
    """

    name: str
    ground: str
    background: str
    panel: str
    ink: str
    muted: str
    line: str
    strong: str
    mask: str
    mask_mark: str
    fresh: str
    fresh_halo: str
    accent: str
    accent_ink: str
    soft: str
    good: str
    bad: str
    warn: str
    what_if: str
    method: str
    reference: str


LIGHT = Theme(
    name="light",
    ground="#F7F8FA",
    background="#FFFFFF",
    panel="#F6F7F9",
    ink="#16181D",
    muted="#5A6170",
    line="#DDE0E6",
    strong="#C9CEDA",
    mask="#C6CCD8",
    mask_mark="#A3ABBA",
    fresh="#16181D",
    fresh_halo="#FFFFFF",
    accent="#5B46D6",
    accent_ink="#FFFFFF",
    soft="#EFECFD",
    good="#0A6B4D",
    bad="#B3261E",
    warn="#8A5A00",
    what_if="#FFB000",
    method="#0072B2",
    reference="#B84A00",
)
DARK = Theme(
    name="dark",
    ground="#0E1015",
    background="#12141A",
    panel="#191C24",
    ink="#F2F4F8",
    muted="#A3ABBA",
    line="#2B303B",
    strong="#434B5C",
    mask="#1F232D",
    mask_mark="#4A5264",
    fresh="#FFFFFF",
    fresh_halo="#0A0B0E",
    accent="#A79BFF",
    accent_ink="#14102E",
    soft="#241F42",
    good="#5FD3A8",
    bad="#FF8F86",
    warn="#FFC861",
    what_if="#FFC53D",
    method="#56B4E9",
    reference="#FF9D5C",
)
THEMES = {"light": LIGHT, "dark": DARK}


def theme_properties(theme: Theme, prefix: str) -> str:
    """The colours of a look as CSS declarations, e.g. "--up-mask-mark: #4A5264;" for prefix "up"."""
    return " ".join(f"--{prefix}-{field.name.replace('_', '-')}: {getattr(theme, field.name)};" for field in fields(theme)[1:])


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


@lru_cache(maxsize=32)
def subject_table(color: str, size: int = 256) -> np.ndarray:
    """A subject's own colour map, "size 3" uint8: dark to light through its hue, with even steps of perceived lightness; read only.

    Args:
        color: "#RRGGBB".
        size: number of entries, >= 2.

    Source: B. Ottosson, "A perceptual color space for image processing" (OKLab), 2020.
    """
    linear = _to_linear(np.array(rgb(color)) / 255)
    _, a, b = _LMS_TO_OKLAB @ np.cbrt(_RGB_TO_LMS @ linear)
    t = np.linspace(0, 1, size)
    chroma = np.minimum(1, 1.25 * np.sin(np.pi * (0.12 + 0.8 * t)))  # full colour in the middle, towards black and white at the ends
    lab = np.stack([0.17 + 0.79 * t, a * chroma, b * chroma])
    light = np.linalg.inv(_RGB_TO_LMS) @ (np.linalg.inv(_LMS_TO_OKLAB) @ lab) ** 3
    table = np.rint(255 * np.clip(_to_gamma(np.maximum(light, 0)), 0, 1)).T.astype(np.uint8)
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


def _finite(arrays: Iterable[np.ndarray]) -> np.ndarray:
    flat = [np.asarray(a, np.float64).reshape(-1) for a in arrays]
    values = np.concatenate(flat) if flat else np.zeros(0)
    return values[np.isfinite(values)]


_RGB_TO_LMS = np.array(
    [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566], [0.0883024619, 0.2817188376, 0.6299787005]]
)
_LMS_TO_OKLAB = np.array(
    [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099], [0.0259040371, 0.7827717662, -0.8086757660]]
)


def _to_linear(gamma: np.ndarray) -> np.ndarray:
    return np.where(gamma <= 0.04045, gamma / 12.92, ((gamma + 0.055) / 1.055) ** 2.4)


def _to_gamma(linear: np.ndarray) -> np.ndarray:
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _luminance(color: str) -> float:
    return float(_to_linear(np.array(rgb(color)) / 255) @ np.array([0.2126, 0.7152, 0.0722]))
