"""Scenes of emoji art on the token grid: layout, caption, pixels, and (with a trained tokenizer) tokens.

Objects are sprites of SPRITE_CELLS x SPRITE_CELLS cells placed on whole cells of a GRID x GRID grid over pale paper. Cells that no
object touches carry small decorations drawn at random, so that no background cell is ever certain.
Knows art and vocabulary, not models' training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from uncage_demo.models.tokenizer import PATCH_PX
from uncage_demo.models.vocab import ANIMALS, COLORS, NOUNS, OBJECTS
from uncage_demo.train.art import RASTER_PX, fetch_icons, rasterise, recolour, sprite

GRID = 12
SPRITE_CELLS = 5
IMAGE_PX = GRID * PATCH_PX
STYLES = ("", *COLORS)
PAPER = np.array((0.865, 0.912, 0.925), np.float32)
THEMES = ("dots", "stars", "leaves", "rings")
TILES_PER_THEME = 4
PLAIN_FRAC = 0.5
WORN = ("bow", "crown", "glasses")


@dataclass(frozen=True)
class Placed:
    """One object of a scene: noun, colour ("" = the art's own), upper left cell."""

    noun: str
    color: str
    y: int
    x: int

    @property
    def phrase(self) -> str:
        """ "a pink apple" with the right article; "glasses" takes none."""
        words = f"{self.color} {self.noun}".strip()
        if self.noun == "glasses":
            return words
        return ("an " if words[0] in "aeiou" else "a ") + words


@dataclass(frozen=True)
class Scene:
    """A layout with its caption.

    Args:
        objects: placed objects, in the caption's order.
        tiles: "y x" int: 0 = plain paper, 1 + theme * TILES_PER_THEME + k = decoration.
        caption: the text.
        word_owners: for every word and comma of the caption, the index of the object it describes; -1 for the others.
    """

    objects: tuple[Placed, ...]
    tiles: np.ndarray
    caption: str
    word_owners: tuple[int, ...]


class SpriteAtlas:
    """Every noun in every colour as premultiplied sprites, and the background tiles.

    Args:
        cache: folder of the downloaded art (see `art.fetch_icons`).
        icons: SVG source of every noun instead of the downloaded art.
        raster_px: side at which drawings are rasterised before they are coloured and made smaller.
    """

    def __init__(self, cache: Path | None = None, icons: Mapping[str, str] | None = None, raster_px: int = RASTER_PX) -> None:
        if icons is None:
            if cache is None:
                raise ValueError("give the folder of the downloaded art, or the drawings themselves")
            icons = fetch_icons(cache)
        size = SPRITE_CELLS * PATCH_PX
        self.sprites: dict[tuple[str, str], np.ndarray] = {}
        self.touched: dict[str, np.ndarray] = {}
        for noun, svg in icons.items():
            art = rasterise(svg, raster_px)
            for style in STYLES:
                self.sprites[noun, style] = sprite(recolour(art, style) if style else art, size)
            alpha = self.sprites[noun, ""][..., 3].reshape(SPRITE_CELLS, PATCH_PX, SPRITE_CELLS, PATCH_PX)
            self.touched[noun] = alpha.max(axis=(1, 3)) > 0.02
        self.tiles = background_tiles()

    def visible_tiles(self, scene: Scene) -> np.ndarray:
        """Background cells "y x" int as drawn: plain paper where an object touches the cell."""
        tiles = scene.tiles.copy()
        for placed in scene.objects:
            box = tiles[placed.y : placed.y + SPRITE_CELLS, placed.x : placed.x + SPRITE_CELLS]
            box[self.touched[placed.noun]] = 0
        return tiles

    def render(self, scene: Scene) -> np.ndarray:
        """Picture "H W 3" float32 in 0..1."""
        tiles = self.visible_tiles(scene)
        canvas = self.tiles[tiles].transpose(0, 2, 1, 3, 4).reshape(IMAGE_PX, IMAGE_PX, 3)
        for placed in scene.objects:
            art = self.sprites[placed.noun, placed.color]
            top, left = placed.y * PATCH_PX, placed.x * PATCH_PX
            region = canvas[top : top + art.shape[0], left : left + art.shape[1]]
            region[...] = art[..., :3] + region * (1 - art[..., 3:])
        return canvas


def background_tiles() -> np.ndarray:
    """Plain paper followed by every theme's decorations, "tile p p 3" float32 in 0..1."""
    scale = 8
    side = PATCH_PX * scale
    y, x = (np.mgrid[0:side, 0:side] + 0.5) / side * 2 - 1

    def draw(inside: np.ndarray, ink: tuple[float, float, float]) -> np.ndarray:
        cover = inside.reshape(PATCH_PX, scale, PATCH_PX, scale).mean(axis=(1, 3))[..., None].astype(np.float32)
        return PAPER * (1 - cover) + np.array(ink, np.float32) * cover

    def disc(cy: float, cx: float, r: float) -> np.ndarray:
        return (y - cy) ** 2 + (x - cx) ** 2 < r**2

    def star(cy: float, cx: float, r: float, points: int) -> np.ndarray:
        angle, radius = np.arctan2(y - cy, x - cx), np.hypot(y - cy, x - cx)
        return radius < r * (0.62 + 0.38 * np.cos(points * angle + np.pi / 2))

    def leaf(cy: float, cx: float, angle: float) -> np.ndarray:
        u = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
        w = -(x - cx) * np.sin(angle) + (y - cy) * np.cos(angle)
        return (np.abs(u) < 0.6) & (np.abs(w) < 0.26 * (1 - (u / 0.6) ** 2))

    white, mint, rose, sky, sand = (1.0, 1.0, 1.0), (0.56, 0.78, 0.68), (0.94, 0.68, 0.75), (0.56, 0.74, 0.92), (0.95, 0.83, 0.54)
    tiles = [np.broadcast_to(PAPER, (PATCH_PX, PATCH_PX, 3)).astype(np.float32)]
    tiles += [draw(disc(0, 0, 0.42), white), draw(disc(-0.35, 0.3, 0.26) | disc(0.4, -0.35, 0.3), white)]
    tiles += [draw(disc(0.1, 0.1, 0.5), rose), draw(disc(0, 0, 0.34), sky)]
    tiles += [draw(star(0, 0, 0.75, 5), white), draw(star(-0.1, 0.1, 0.55, 4), white)]
    tiles += [draw(star(0.1, -0.1, 0.7, 5), sand), draw(star(-0.4, -0.4, 0.4, 4) | star(0.4, 0.35, 0.4, 4), sand)]
    tiles += [draw(leaf(0, 0, 0.7), mint), draw(leaf(0, 0, -0.7), mint)]
    tiles += [draw(leaf(-0.3, -0.2, 0.2) | leaf(0.4, 0.2, 0.2), mint), draw(leaf(0, 0, 1.57), white)]
    tiles += [draw(disc(0, 0, 0.6) & ~disc(0, 0, 0.36), sky), draw(disc(0, 0, 0.45) & ~disc(0, 0, 0.25), white)]
    tiles += [draw(disc(-0.2, 0.2, 0.5) & ~disc(-0.2, 0.2, 0.3), rose), draw(disc(0.3, -0.3, 0.3) & ~disc(0.3, -0.3, 0.14), sky)]
    return np.stack(tiles)


def sample_tiles(rng: np.random.Generator) -> np.ndarray:
    """Background cells "y x" int of one random theme; half of them plain."""
    theme = int(rng.integers(len(THEMES)))
    tiles = 1 + theme * TILES_PER_THEME + rng.integers(TILES_PER_THEME, size=(GRID, GRID))
    return np.where(rng.random((GRID, GRID)) < PLAIN_FRAC, 0, tiles)


def sample_layout(rng: np.random.Generator, count: int) -> list[tuple[int, int]]:
    """Upper left cells of `count` sprites that do not overlap, uniformly over such layouts (1 to 3 sprites)."""
    if not 1 <= count <= 3:
        raise ValueError(f"count={count!r}: 1 to 3 objects fit")
    span = GRID - SPRITE_CELLS + 1
    while True:
        cells = rng.integers(span, size=(count, 2))
        apart = [max(abs(int(a[0] - b[0])), abs(int(a[1] - b[1]))) >= SPRITE_CELLS for i, a in enumerate(cells) for b in cells[:i]]
        if all(apart):
            return [(int(y), int(x)) for y, x in cells]


def sample_color(rng: np.random.Generator, noun: str, animal_color_frac: float = 0.15) -> str:
    """A colour word or "" for the art's own: objects are mostly coloured, animals seldom."""
    colored = rng.random() < (animal_color_frac if noun in ANIMALS else 0.8)
    return COLORS[int(rng.integers(len(COLORS)))] if colored else ""


def sample_subjects(rng: np.random.Generator, count: int) -> list[tuple[str, str]]:
    """(noun, colour) of each object; nouns differ, but for a few scenes of one noun in different colours."""
    if count > 1 and rng.random() < 0.08:
        noun = OBJECTS[int(rng.integers(len(OBJECTS)))]
        colors = rng.choice(len(COLORS), size=count, replace=False)
        return [(noun, COLORS[int(c)]) for c in colors]
    nouns = [NOUNS[int(i)] for i in rng.choice(len(NOUNS), size=count, replace=False)]
    return [(noun, sample_color(rng, noun)) for noun in nouns]


def caption_of(objects: Sequence[Placed], rng: np.random.Generator) -> tuple[str, tuple[int, ...]]:
    """A caption that names the objects in order, and the owner of each of its words (see Scene)."""
    links = [" and "] * (len(objects) - 1)
    if len(objects) == 2 and objects[1].noun in WORN and rng.random() < 0.6:
        links = [" with "]
    if len(objects) == 3 and rng.random() < 0.5:
        links[0] = ", "
    caption, owners = "", []
    for index, placed in enumerate(objects):
        if index:
            caption += links[index - 1]
            owners.append(-1)
        caption += placed.phrase
        owners += [-1 if word in ("a", "an") else index for word in placed.phrase.split()]
    return caption, tuple(owners)


def sample_scene(rng: np.random.Generator, weights: tuple[float, float, float] = (0.2, 0.55, 0.25)) -> Scene:
    """A random scene with caption.

    Args:
        rng: the only source of randomness.
        weights: probabilities of one, two and three objects.
    """
    count = 1 + int(rng.choice(3, p=np.array(weights) / sum(weights)))
    layout = sample_layout(rng, count)
    objects = [Placed(noun, color, y, x) for (noun, color), (y, x) in zip(sample_subjects(rng, count), layout, strict=True)]
    return Scene(tuple(objects), sample_tiles(rng), *caption_of(objects, rng))
