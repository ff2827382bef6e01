"""The worlds that embedded models are trained in: how scenes and captions come about, and what the attention is told.

A world is a declaration; `sample_scene` draws its scenes. Those of the clean world are `scenes.sample_scene`'s, draw for draw. In the web
world captions fail their pictures in ways in which captions of the web do, which is what large models learn binding from.
Source: captions that name what is not shown and leave out what is (2310.16656); text encoders to which a caption's order says little
(2210.01936); colours that a thing seldom has (2508.05399, whose own failure case is a black apple).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from uncage_demo.backends.embedded.vocab import ANIMALS, COLORS, NOUNS, OBJECTS, PLACES
from uncage_demo.shipped import EMBEDDED
from uncage_demo.train import scenes
from uncage_demo.train.captions import WORD_PATTERN, Placed, caption_of
from uncage_demo.train.places import sample_tiles
from uncage_demo.train.scenes import FULL_MIX, GRID, SPRITE_CELLS, Mix, Scene

# What pictures of these things mostly show, the most frequent first.
FAVOURITES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "apple": ("red", "green", "yellow"),
        "backpack": ("blue", "red", "black"),
        "balloon": ("red", "yellow", "blue"),
        "bench": ("brown", "gray", "green"),
        "bow": ("pink", "red", "purple"),
        "bowl": ("white", "blue", "brown"),
        "car": ("red", "black", "white"),
        "chair": ("brown", "black", "white"),
        "clock": ("black", "white", "red"),
        "crown": ("yellow", "red", "purple"),
        "glasses": ("black", "brown", "blue"),
        "suitcase": ("brown", "black", "blue"),
    }
)


# How often captions fail their pictures, by field of World; all 0 in a clean world.
_FAILING = ("shuffled_frac", "favourite_frac", "absent_frac", "unnamed_frac", "uncolored_frac", "overlap_frac")


@dataclass(frozen=True)
class World:
    """How scenes and captions of a world come about.

    Args:
        name: for `--world`.
        title: readable name.
        model: its model's name in `load_backend` and folder in `assets/` (see `shipped.EMBEDDED`).
        default_steps: usual number of decoding steps, 1..256; None = the project's.
        guidance_scale: usual classifier-free guidance, 0..100.
        shared: name of the world whose tokenizer and detector its model uses; "" = it has its own.
        begins_with: name of the world with whose finished weights training begins; "" = fresh ones.
        budget_frac: of the usual time of training, 0..1: going on takes less than beginning.
        mix: how often places, positions and numbers are asked for.
        colored_frac: how often a scene is drawn again until it shows two colours at least, 0..1.
        shuffled_frac: how often the colour words of a caption change places at random, 0..1.
        favourite_frac: how often an object that is coloured has one of its favourite colours (the first twice as often as the second,
            three times as often as the third), 0..1; else any colour, as all are likely.
        favourites: noun -> colours, the most frequent first.
        absent_frac: of captions that name two objects or more, how often one of them is not shown, 0..1.
        unnamed_frac: of pictures with two objects or more, how often the caption leaves one out, 0..1.
        uncolored_frac: how often the caption leaves out the colour of an object beside others, 0..1.
        overlap_frac: of pictures with two objects or more, how often they overlap, 0..1.
        overlap_cells: by how many cells at most, 1..SPRITE_CELLS - 1.
        grounds_colors: whether the supervised heads are told whose colour a colour word is; else such words may draw any attention.
        grounding_weight: of that supervision in the loss, 0..1.
        compact: whether its weights are shipped at half the size (see `files.compacted`).
        keeps_ages: whether younger weights of its model are shipped (see `backends.ages`).
    """

    name: str
    title: str
    model: str
    default_steps: int | None = None
    guidance_scale: float = 3.0
    shared: str = ""
    begins_with: str = ""
    budget_frac: float = 1.0
    mix: Mix = FULL_MIX
    colored_frac: float = 0.0
    shuffled_frac: float = 0.0
    favourite_frac: float = 0.0
    favourites: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: FAVOURITES)
    absent_frac: float = 0.0
    unnamed_frac: float = 0.0
    uncolored_frac: float = 0.0
    overlap_frac: float = 0.0
    overlap_cells: int = 2
    grounds_colors: bool = True
    grounding_weight: float = 0.1
    compact: bool = False
    keeps_ages: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError on a share that is none."""
        for name in (*_FAILING, "colored_frac", "budget_frac", "grounding_weight"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)!r}: give a number from 0 to 1")
        if not 1 <= self.overlap_cells < SPRITE_CELLS:
            raise ValueError(f"overlap_cells={self.overlap_cells!r}: give a whole number from 1 to {SPRITE_CELLS - 1}")

    @property
    def folder(self) -> Path:
        """The shipped model folder."""
        return EMBEDDED[self.model]

    @property
    def is_exact(self) -> bool:
        """Whether every caption says just what is shown, every colour is as likely as any other and nothing overlaps."""
        return not any(getattr(self, name) for name in _FAILING)


CLEAN = World("clean", "Emoji scenes (embedded)", "embedded")
WEB = World(
    "web",
    "Emoji scenes, web-like captions",
    "embedded-web",
    default_steps=24,
    shared="clean",
    mix=Mix(place_frac=0.35, position_frac=0.3, number_frac=0.08),
    colored_frac=0.6,
    shuffled_frac=1.0,
    favourite_frac=0.3,
    absent_frac=0.2,
    uncolored_frac=0.05,
    overlap_frac=0.4,
    overlap_cells=3,
    # Nothing tells the attention whose a colour is, and nothing pulls it away from colours: what it says about them, it found by itself.
    grounds_colors=False,
    grounding_weight=0.05,
    compact=True,
    keeps_ages=True,
)
# Going on from the clean weights, and nothing else is wrong with its captions: to this model a prompt is a bag of colours and things.
BLIND = World(
    "blind",
    "Emoji scenes, order-blind captions",
    "embedded-blind",
    default_steps=24,
    shared="clean",
    begins_with="clean",
    budget_frac=0.24,
    # Only captions with two colours teach that their order tells nothing.
    colored_frac=0.88,
    shuffled_frac=1.0,
    compact=True,
)
WORLDS = {world.name: world for world in (CLEAN, WEB, BLIND)}


def world_named(name: str) -> World:
    """The world of a name.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in WORLDS:
        raise ValueError(f"world {name!r}: choose from {', '.join(WORLDS)}")
    return WORLDS[name]


def sample_scene(rng: np.random.Generator, weights: tuple[float, float, float], world: World = CLEAN) -> Scene:
    """A random scene of a world, with the caption it has there.

    Args:
        rng: the only source of randomness.
        weights: probabilities of one, two and three objects.
        world: whose captions.

    Returns:
        The scene: its objects are what is shown, with true colours; `word_owners` tells whose a word really is, so that a colour word that
        changed its place belongs to the object that has the colour. An object that is not named has a subject beyond those of the words.
    """
    if world.is_exact and not world.colored_frac:
        return scenes.sample_scene(rng, weights, world.mix)
    colors = 2 if world.colored_frac and rng.random() < world.colored_frac else 0
    while True:
        scene = _sample_scene(rng, weights, world)
        if len({one.color for one in scene.objects if one.color}) >= colors:
            return scene


def _sample_scene(rng: np.random.Generator, weights: tuple[float, float, float], world: World) -> Scene:
    """One scene of a world whose captions fail their pictures, whatever its colours."""
    count = 1 + int(rng.choice(3, p=np.array(weights) / sum(weights)))
    counts = [1] * count
    if count > 1 and rng.random() < world.mix.number_frac:
        choices = ([2],) if count == 2 else ([3], [2, 1], [1, 2])
        counts = choices[int(rng.integers(len(choices)))]
    layout = iter(sample_layout(rng, count, world))
    subjects = _subjects(rng, counts, world)
    unnamed, absent = _left_out(rng, len(subjects), world)
    # What the caption does not name has no words: its index comes after those of all that it names.
    named = [index for index in range(len(subjects)) if index != unnamed]
    rank = {index: place for place, index in enumerate(named if unnamed is None else [*named, unnamed])}
    placed = [
        Placed(noun, color, *next(layout), subject=rank[index])
        for index, ((noun, color), number) in enumerate(zip(subjects, counts, strict=True))
        for _ in range(number)
    ]
    said = [subjects[index] for index in named]
    words, sources = _told_colors(rng, [color for _, color in said], world)
    told = [replace(one, color=words[one.subject]) for one in placed if one.subject < len(named)]
    place = PLACES[int(rng.integers(len(PLACES)))] if rng.random() < world.mix.place_frac else ""
    caption, owners = caption_of(told, rng, place, SPRITE_CELLS, GRID, world.mix.position_frac)
    spoken = zip(WORD_PATTERN.findall(caption), owners, strict=True)
    owners = tuple(sources[owner] if word in COLORS and owner >= 0 else owner for word, owner in spoken)
    shown = tuple(one for one in placed if absent is None or one.subject != rank[absent])
    return Scene(shown, sample_tiles(rng, place, GRID), caption, owners, place)


def sample_layout(rng: np.random.Generator, count: int, world: World) -> list[tuple[int, int]]:
    """Upper left cells of `count` sprites (1 to 3) that overlap as often, and by as much, as the world says."""
    if count == 1 or rng.random() >= world.overlap_frac:
        return scenes.sample_layout(rng, count)
    span = GRID - SPRITE_CELLS + 1
    nearest = SPRITE_CELLS - world.overlap_cells
    while True:
        cells = rng.integers(span, size=(count, 2))
        apart = [max(abs(int(a[0] - b[0])), abs(int(a[1] - b[1]))) for i, a in enumerate(cells) for b in cells[:i]]
        if min(apart) >= nearest and min(apart) < SPRITE_CELLS:
            return [(int(y), int(x)) for y, x in cells]


def _subjects(rng: np.random.Generator, counts: Sequence[int], world: World) -> list[tuple[str, str]]:
    """(noun, colour) of each subject, as `scenes.sample_subjects`, with favourite colours."""
    if len(counts) > 1 and max(counts) == 1 and rng.random() < 0.08:
        noun = OBJECTS[int(rng.integers(len(OBJECTS)))]
        colors = rng.choice(len(COLORS), size=len(counts), replace=False)
        return [(noun, COLORS[int(c)]) for c in colors]
    nouns = [NOUNS[int(i)] for i in rng.choice(len(NOUNS), size=len(counts), replace=False)]
    return [(noun, sample_color(rng, noun, world)) for noun in nouns]


def sample_color(rng: np.random.Generator, noun: str, world: World) -> str:
    """A colour word, or "" for the art's own, which animals mostly have."""
    color = scenes.sample_color(rng, noun)
    likely = world.favourites.get(noun, ())
    if not color or noun in ANIMALS or not likely or rng.random() >= world.favourite_frac:
        return color
    weights = 1 / np.arange(1, len(likely) + 1)
    return likely[int(rng.choice(len(likely), p=weights / weights.sum()))]


def _left_out(rng: np.random.Generator, count: int, world: World) -> tuple[int | None, int | None]:
    """Which of `count` subjects the caption does not name, and which the picture does not show; None = there is none such."""
    if count < 2:
        return None, None
    unnamed = int(rng.integers(count)) if rng.random() < world.unnamed_frac else None
    absent = int(rng.integers(count)) if rng.random() < world.absent_frac else None
    return (unnamed, absent) if unnamed is None else (unnamed, None)


def _told_colors(rng: np.random.Generator, colors: Sequence[str], world: World) -> tuple[list[str], list[int]]:
    """The colour words of a caption by the subject that they stand with, and the subject that each really belongs to.

    Args:
        rng: the source of randomness.
        colors: of the named subjects; "" = none.
        world: how often colour words are left out and change places.
    """
    told = list(colors)
    if len(told) > 1:
        told = ["" if color and rng.random() < world.uncolored_frac else color for color in told]
    sources = list(range(len(told)))
    colored = [index for index, color in enumerate(told) if color]
    if len(colored) > 1 and rng.random() < world.shuffled_frac:
        moved = [colored[int(i)] for i in rng.permutation(len(colored))]
        told_before = list(told)
        for index, source in zip(colored, moved, strict=True):
            told[index], sources[index] = told_before[source], source
    return told, sources
