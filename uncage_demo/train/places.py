"""Where a scene is: plain paper with confetti, or a named place with its own paper and decorations, as tiles of one cell.

Tile 0 is plain paper; then come the confetti themes; then, place after place, its plain paper followed by its decorations.
Numpy only. Source: none; drawn for this project.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from uncage_demo.backends.embedded.tokenizer import PATCH_PX
from uncage_demo.backends.embedded.vocab import PLACES

Color = tuple[float, float, float]
Shape = Callable[["Pen"], np.ndarray]

PAPER = np.array((0.865, 0.912, 0.925), np.float32)
THEMES = ("dots", "stars", "leaves", "rings")
TILES_PER_THEME = 4
TILES_PER_PLACE = 8
# Share of cells with a decoration, drawn at random, so that no background cell is ever certain.
CONFETTI_FRAC, PLACE_FRAC = 0.5, 0.4
# How places are named in captions; the words that decide are those of vocab.PLACES (or their aliases).
PLACE_PHRASES = {
    "meadow": ("on a meadow", "on the meadow", "in a meadow", "on the grass"),
    "night": ("at night", "in the night", "in the night sky"),
    "beach": ("on a beach", "on the beach", "at the beach", "on the sand"),
    "snow": ("in the snow", "on the snow", "in snow"),
    "sea": ("in the sea", "in the water"),
}
PLACE_PAPER = {
    "meadow": np.array((0.640, 0.830, 0.520), np.float32),
    "night": np.array((0.225, 0.250, 0.480), np.float32),
    "beach": np.array((0.960, 0.860, 0.650), np.float32),
    "snow": np.array((0.790, 0.860, 0.960), np.float32),
    "sea": np.array((0.330, 0.680, 0.790), np.float32),
}

WHITE, MINT, ROSE, SKY, SAND = (1.0, 1.0, 1.0), (0.56, 0.78, 0.68), (0.94, 0.68, 0.75), (0.56, 0.74, 0.92), (0.95, 0.83, 0.54)


@dataclass(frozen=True)
class Pen:
    """Draws shapes on one cell at eight times its size. y and x run from -1 to 1."""

    y: np.ndarray
    x: np.ndarray

    def disc(self, cy: float, cx: float, r: float) -> np.ndarray:
        return (self.y - cy) ** 2 + (self.x - cx) ** 2 < r**2

    def ring(self, cy: float, cx: float, r: float, hole: float) -> np.ndarray:
        return self.disc(cy, cx, r) & ~self.disc(cy, cx, hole)

    def star(self, cy: float, cx: float, r: float, points: int) -> np.ndarray:
        angle, radius = np.arctan2(self.y - cy, self.x - cx), np.hypot(self.y - cy, self.x - cx)
        return radius < r * (0.62 + 0.38 * np.cos(points * angle + np.pi / 2))

    def leaf(self, cy: float, cx: float, angle: float, length: float = 0.6, width: float = 0.26) -> np.ndarray:
        u = (self.x - cx) * np.cos(angle) + (self.y - cy) * np.sin(angle)
        w = -(self.x - cx) * np.sin(angle) + (self.y - cy) * np.cos(angle)
        return (np.abs(u) < length) & (np.abs(w) < width * (1 - (u / length) ** 2))

    def petals(self, cy: float, cx: float, r: float, count: int = 5) -> np.ndarray:
        turns = np.arange(count) * 2 * np.pi / count - np.pi / 2
        return np.logical_or.reduce([self.disc(cy + r * np.sin(a), cx + r * np.cos(a), 0.55 * r) for a in turns])

    def flake(self, cy: float, cx: float, r: float, arms: int = 3) -> np.ndarray:
        turns = np.arange(arms) * np.pi / arms + np.pi / 2
        return np.logical_or.reduce([self.leaf(cy, cx, a, r, 0.16) for a in turns])

    def wave(self, cy: float, cx: float) -> np.ndarray:
        crest = cy + 0.16 * np.cos(2 * np.pi * (self.x - cx))
        return (np.abs(self.y - crest) < 0.11) & (np.abs(self.x - cx) < 0.72)

    def tuft(self, cy: float, cx: float) -> np.ndarray:
        blades = ((-2.1, -0.3), (-1.57, 0.0), (-1.05, 0.3))
        return np.logical_or.reduce([self.leaf(cy, cx + shift, a, 0.55, 0.15) for a, shift in blades])


def background_tiles() -> np.ndarray:
    """Every tile in order: plain paper, confetti, the places; "tile p p 3" float32 in 0..1."""
    tiles = [_draw(PAPER)]
    for layers in _confetti():
        tiles.append(_draw(PAPER, *layers))
    for place in PLACES:
        tiles.append(_draw(PLACE_PAPER[place]))
        tiles += [_draw(PLACE_PAPER[place], *layers) for layers in _DECORATIONS[place]]
    return np.stack(tiles)


def plain_tile(place: str) -> int:
    """Index of a place's plain paper ("" = the plain paper)."""
    return 0 if not place else 1 + len(THEMES) * TILES_PER_THEME + PLACES.index(place) * (1 + TILES_PER_PLACE)


def place_tiles(place: str) -> range:
    """Indices of all tiles of a place, the plain one first ("" = plain paper and all confetti)."""
    first = plain_tile(place)
    return range(first, first + 1 + (TILES_PER_PLACE if place else len(THEMES) * TILES_PER_THEME))


def sample_tiles(rng: np.random.Generator, place: str, grid: int) -> np.ndarray:
    """Background cells "y x" int of a place, many of them plain; on plain paper, confetti of one random theme."""
    if place:
        decorated = plain_tile(place) + 1 + rng.integers(TILES_PER_PLACE, size=(grid, grid))
    else:
        decorated = 1 + int(rng.integers(len(THEMES))) * TILES_PER_THEME + rng.integers(TILES_PER_THEME, size=(grid, grid))
    return np.where(rng.random((grid, grid)) < (PLACE_FRAC if place else CONFETTI_FRAC), decorated, plain_tile(place))


def _draw(paper: np.ndarray, *layers: tuple[Shape, Color]) -> np.ndarray:
    """One cell "p p 3" float32: paper with shapes on it, each in its ink, antialiased."""
    scale = 8
    side = PATCH_PX * scale
    y, x = (np.mgrid[0:side, 0:side] + 0.5) / side * 2 - 1
    canvas = np.broadcast_to(paper, (PATCH_PX, PATCH_PX, 3)).astype(np.float32)
    for shape, ink in layers:
        cover = shape(Pen(y, x)).reshape(PATCH_PX, scale, PATCH_PX, scale).mean(axis=(1, 3))[..., None].astype(np.float32)
        canvas = canvas * (1 - cover) + np.array(ink, np.float32) * cover
    return canvas


def _confetti() -> list[list[tuple[Shape, Color]]]:
    """Layers of the confetti tiles, theme after theme."""
    return [
        [(lambda p: p.disc(0, 0, 0.42), WHITE)],
        [(lambda p: p.disc(-0.35, 0.3, 0.26) | p.disc(0.4, -0.35, 0.3), WHITE)],
        [(lambda p: p.disc(0.1, 0.1, 0.5), ROSE)],
        [(lambda p: p.disc(0, 0, 0.34), SKY)],
        [(lambda p: p.star(0, 0, 0.75, 5), WHITE)],
        [(lambda p: p.star(-0.1, 0.1, 0.55, 4), WHITE)],
        [(lambda p: p.star(0.1, -0.1, 0.7, 5), SAND)],
        [(lambda p: p.star(-0.4, -0.4, 0.4, 4) | p.star(0.4, 0.35, 0.4, 4), SAND)],
        [(lambda p: p.leaf(0, 0, 0.7), MINT)],
        [(lambda p: p.leaf(0, 0, -0.7), MINT)],
        [(lambda p: p.leaf(-0.3, -0.2, 0.2) | p.leaf(0.4, 0.2, 0.2), MINT)],
        [(lambda p: p.leaf(0, 0, 1.57), WHITE)],
        [(lambda p: p.ring(0, 0, 0.6, 0.36), SKY)],
        [(lambda p: p.ring(0, 0, 0.45, 0.25), WHITE)],
        [(lambda p: p.ring(-0.2, 0.2, 0.5, 0.3), ROSE)],
        [(lambda p: p.ring(0.3, -0.3, 0.3, 0.14), SKY)],
    ]


_BLADE, _YOLK, _PETAL = (0.36, 0.62, 0.30), (0.99, 0.82, 0.25), (0.98, 0.62, 0.74)
_GLOW, _GLIMMER = (0.99, 0.93, 0.66), (0.62, 0.66, 0.92)
_SHELL, _PEBBLE, _STARFISH, _DUNE = (0.99, 0.97, 0.92), (0.80, 0.66, 0.46), (0.93, 0.50, 0.36), (0.88, 0.75, 0.52)
_ICE = (0.60, 0.72, 0.92)
_FOAM, _DEEP, _WEED, _CORAL = (0.86, 0.96, 0.98), (0.22, 0.54, 0.70), (0.22, 0.58, 0.46), (0.96, 0.60, 0.52)

_DECORATIONS: dict[str, list[list[tuple[Shape, Color]]]] = {
    "meadow": [
        [(lambda p: p.tuft(0.1, 0.0), _BLADE)],
        [(lambda p: p.tuft(-0.3, -0.25) | p.tuft(0.5, 0.3), _BLADE)],
        [(lambda p: p.petals(0, 0, 0.42), WHITE), (lambda p: p.disc(0, 0, 0.24), _YOLK)],
        [(lambda p: p.petals(0.1, -0.1, 0.38), _PETAL), (lambda p: p.disc(0.1, -0.1, 0.22), WHITE)],
        [(lambda p: p.petals(-0.1, 0.1, 0.36), _YOLK), (lambda p: p.disc(-0.1, 0.1, 0.2), (0.93, 0.55, 0.15))],
        [(lambda p: p.petals(-0.35, -0.35, 0.24) | p.petals(0.4, 0.35, 0.24), WHITE)],
        [(lambda p: p.leaf(0, 0, 0.6) | p.leaf(0, 0, 2.4), _BLADE)],
        [(lambda p: p.tuft(0.2, 0.2), _BLADE), (lambda p: p.petals(-0.4, -0.35, 0.24), _PETAL)],
    ],
    "night": [
        [(lambda p: p.star(0, 0, 0.8, 4), _GLOW)],
        [(lambda p: p.star(0.1, -0.15, 0.6, 5), _GLOW)],
        [(lambda p: p.star(-0.4, -0.4, 0.45, 4) | p.star(0.4, 0.35, 0.4, 4), _GLOW)],
        [(lambda p: p.disc(0.1, 0.2, 0.16) | p.disc(-0.5, -0.4, 0.12), WHITE)],
        [(lambda p: p.star(-0.1, 0.1, 0.5, 4), WHITE)],
        [(lambda p: p.disc(-0.3, 0.4, 0.14) | p.disc(0.45, -0.2, 0.18) | p.disc(-0.45, -0.45, 0.1), _GLIMMER)],
        [(lambda p: p.disc(0, -0.05, 0.62) & ~p.disc(-0.12, 0.22, 0.52), _GLOW)],
        [(lambda p: p.star(0.35, 0.3, 0.42, 4), _GLIMMER)],
    ],
    "beach": [
        [(lambda p: p.star(0, 0, 0.85, 5), _STARFISH)],
        [(lambda p: p.disc(0.15, 0, 0.46) & ~(p.y > 0.42), _SHELL), (lambda p: p.leaf(0.05, 0, 1.57, 0.4, 0.07), _PEBBLE)],
        [(lambda p: p.disc(-0.3, 0.35, 0.2) | p.disc(0.35, -0.3, 0.26), _PEBBLE)],
        [(lambda p: p.wave(0, 0), _DUNE)],
        [(lambda p: p.wave(-0.35, -0.1) | p.wave(0.35, 0.1), _DUNE)],
        [(lambda p: p.disc(0.2, -0.3, 0.14) | p.disc(-0.35, 0.1, 0.12) | p.disc(0.4, 0.45, 0.12), _PEBBLE)],
        [(lambda p: p.star(-0.1, 0.15, 0.6, 5), (0.97, 0.68, 0.45))],
        [(lambda p: p.ring(0, 0, 0.4, 0.2), _SHELL)],
    ],
    "snow": [
        [(lambda p: p.flake(0, 0, 0.75), WHITE)],
        [(lambda p: p.flake(0.1, -0.1, 0.5), WHITE)],
        [(lambda p: p.disc(-0.35, 0.3, 0.22) | p.disc(0.4, -0.3, 0.28), WHITE)],
        [(lambda p: p.disc(0, 0.1, 0.4), WHITE)],
        [(lambda p: p.flake(-0.1, 0.1, 0.6), _ICE)],
        [(lambda p: p.disc(-0.4, -0.4, 0.16) | p.disc(0.1, 0.2, 0.16) | p.disc(0.55, -0.35, 0.14), WHITE)],
        [(lambda p: p.disc(0.5, 0.4, 0.26), WHITE), (lambda p: p.flake(-0.3, -0.3, 0.42), _ICE)],
        [(lambda p: p.wave(0.2, 0), WHITE)],
    ],
    "sea": [
        [(lambda p: p.ring(0, 0, 0.52, 0.36), _FOAM)],
        [(lambda p: p.ring(-0.35, 0.3, 0.3, 0.17) | p.ring(0.4, -0.3, 0.36, 0.22), _FOAM)],
        [(lambda p: p.wave(0, 0), _FOAM)],
        [(lambda p: p.wave(-0.35, 0.1) | p.wave(0.35, -0.1), _DEEP)],
        [(lambda p: p.leaf(0, -0.1, 0, 0.52, 0.32) | p.leaf(0, 0.48, 1.57, 0.34, 0.16), _CORAL)],
        [(lambda p: p.leaf(0.1, -0.3, -1.3, 0.7, 0.16) | p.leaf(0.1, 0.15, -1.8, 0.7, 0.16), _WEED)],
        [(lambda p: p.disc(0.2, -0.25, 0.16) | p.disc(-0.3, 0.15, 0.2) | p.disc(-0.6, -0.35, 0.1), _FOAM)],
        [(lambda p: p.leaf(0.1, 0.1, 3.14, 0.46, 0.27) | p.leaf(0.1, -0.42, 1.57, 0.3, 0.14), (0.98, 0.80, 0.36))],
    ],
}
