"""Scenes of emoji art on the token grid: layout, caption, pixels.

Objects are sprites of SPRITE_CELLS x SPRITE_CELLS cells placed on whole cells of a GRID x GRID grid over the paper of a place. Cells that
no object touches carry small decorations drawn at random, so that no background cell is ever certain.
Knows art and vocabulary, not models' training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from uncage_demo.backends.embedded.tokenizer import PATCH_PX
from uncage_demo.backends.embedded.vocab import ANIMALS, COLORS, NOUNS, OBJECTS, PLACES
from uncage_demo.train.art import RASTER_PX, fetch_icons, rasterise, recolour, sprite
from uncage_demo.train.captions import Placed, caption_of
from uncage_demo.train.places import background_tiles, plain_tile, sample_tiles

GRID = 12
SPRITE_CELLS = 5
IMAGE_PX = GRID * PATCH_PX
STYLES = ("", *COLORS)


@dataclass(frozen=True)
class Mix:
    """How often scenes ask for more than objects and colours, each 0..1.

    Args:
        place_frac: the scene is in a named place.
        position_frac: the caption tells on which side an object is, or how the first two lie to each other, where that is clear.
        number_frac: objects are counted ("two cats"), in scenes of two or three.
    """

    place_frac: float = 0.45
    position_frac: float = 0.4
    number_frac: float = 0.15


FULL_MIX = Mix()
# For what sees pictures alone: captions do not matter to it, and counted objects would only show fewer different ones.
PICTURE_MIX = Mix(position_frac=0.0, number_frac=0.0)
# Objects and colours alone, on plain paper.
PLAIN_MIX = Mix(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Scene:
    """A layout with its caption.

    Args:
        objects: placed objects, in the caption's order.
        tiles: "y x" int, indices of `places.background_tiles`.
        caption: the text.
        word_owners: for every word and comma of the caption, the subject it describes; PLACE_OWNER for the word of the place; -1 for the
            others.
        place: one of vocab.PLACES, or "" for plain paper.
    """

    objects: tuple[Placed, ...]
    tiles: np.ndarray
    caption: str
    word_owners: tuple[int, ...]
    place: str = ""


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
        """Background cells "y x" int as drawn: the place's plain paper where an object touches the cell."""
        tiles = scene.tiles.copy()
        for placed in scene.objects:
            box = tiles[placed.y : placed.y + SPRITE_CELLS, placed.x : placed.x + SPRITE_CELLS]
            box[self.touched[placed.noun]] = plain_tile(scene.place)
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


def sample_subjects(rng: np.random.Generator, counts: Sequence[int]) -> list[tuple[str, str]]:
    """(noun, colour) of each subject; nouns differ, but for a few scenes of one noun in different colours.

    Args:
        rng: the source of randomness.
        counts: how many objects each subject has.
    """
    if len(counts) > 1 and max(counts) == 1 and rng.random() < 0.08:
        noun = OBJECTS[int(rng.integers(len(OBJECTS)))]
        colors = rng.choice(len(COLORS), size=len(counts), replace=False)
        return [(noun, COLORS[int(c)]) for c in colors]
    nouns = [NOUNS[int(i)] for i in rng.choice(len(NOUNS), size=len(counts), replace=False)]
    return [(noun, sample_color(rng, noun)) for noun in nouns]


def sample_scene(rng: np.random.Generator, weights: tuple[float, float, float] = (0.2, 0.55, 0.25), mix: Mix = FULL_MIX) -> Scene:
    """A random scene with caption.

    Args:
        rng: the only source of randomness.
        weights: probabilities of one, two and three objects.
        mix: how often places, positions and numbers are asked for.
    """
    count = 1 + int(rng.choice(3, p=np.array(weights) / sum(weights)))
    counts = [1] * count
    if count > 1 and rng.random() < mix.number_frac:
        choices = ([2],) if count == 2 else ([3], [2, 1], [1, 2])
        counts = choices[int(rng.integers(len(choices)))]
    layout = iter(sample_layout(rng, count))
    subjects = sample_subjects(rng, counts)
    objects = tuple(
        Placed(noun, color, *next(layout), subject=index)
        for index, ((noun, color), number) in enumerate(zip(subjects, counts, strict=True))
        for _ in range(number)
    )
    place = PLACES[int(rng.integers(len(PLACES)))] if rng.random() < mix.place_frac else ""
    return Scene(objects, sample_tiles(rng, place, GRID), *caption_of(objects, rng, place, SPRITE_CELLS, GRID, mix.position_frac), place)
