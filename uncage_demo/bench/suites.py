"""Prompt suites: what the benchmark asks for. Built from word lists with a fixed seed, or read from a file.

Knows nothing of models, pictures or scores. A suite is a list of BenchPrompt; the same call always gives the same list.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

ANIMALS = ("bear", "bird", "cat", "dog", "elephant", "frog", "horse", "lion", "monkey", "mouse", "rabbit", "turtle")
OBJECTS = ("apple", "backpack", "balloon", "bench", "bow", "bowl", "car", "chair", "clock", "crown", "glasses", "suitcase")
WORN = ("bow", "crown", "glasses")
COLORS = ("black", "blue", "brown", "gray", "green", "orange", "pink", "purple", "red", "white", "yellow")
# Colours that pictures of these things seldom have: the prior pulls away from the prompt (the paper's failure case is the black apple).
RARE_COLORS = {
    "apple": ("black", "blue"),
    "backpack": ("white",),
    "balloon": ("brown", "gray"),
    "bench": ("pink", "purple"),
    "bow": ("brown", "gray"),
    "bowl": ("black", "purple"),
    "car": ("pink", "brown"),
    "chair": ("pink", "purple"),
    "clock": ("pink", "green"),
    "crown": ("black", "green", "brown"),
    "glasses": ("white", "orange"),
    "suitcase": ("pink", "white"),
}
PLACES = {"meadow": "on a meadow", "night": "at night", "beach": "on a beach", "snow": "in the snow", "sea": "in the sea"}
POSITIONS = {"left": "left of", "right": "right of", "above": "above", "below": "below"}
# Of two things, where the first is and where the second.
SIDES = {
    "left": ("on the left", "on the right"),
    "right": ("on the right", "on the left"),
    "above": ("at the top", "at the bottom"),
    "below": ("at the bottom", "at the top"),
}
IRREGULAR = {"mouse": "mice", "bench": "benches", "glasses": "glasses"}


@dataclass(frozen=True)
class BenchPrompt:
    """One prompt of a suite.

    Args:
        text: the prompt.
        suite: name of its suite.
        category: part of the suite it belongs to ("animals", "objects", ...).
        cluster: what a bootstrap draws as a unit: the prompt itself, or the name of its pair where prompts come in pairs.
    """

    text: str
    suite: str
    category: str
    cluster: str


def noun_phrase(noun: str, color: str = "", *, published: bool = False) -> str:
    """ "a red car", "an elephant", "glasses".

    Args:
        noun: the thing.
        color: its colour, or "".
        published: keep the article "a" everywhere, as the published Attend-and-Excite list does ("a elephant", "a glasses").
    """
    words = f"{color} {noun}".strip()
    if published:
        return f"a {words}"
    if noun == "glasses":
        return words
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def attend_excite(seed: int = 0, *, published: bool = False) -> list[BenchPrompt]:
    """The structure of the Attend-and-Excite benchmark: 66 animal pairs, 144 animal-object, 66 pairs of coloured objects.

    Source: 2301.13826, appendix (vocabulary and counts). The random colours are ours.
    """
    rng = random.Random(f"attend-excite {seed}")

    def phrase(noun: str, color: str = "") -> str:
        return noun_phrase(noun, color, published=published)

    items = [("animals", f"{phrase(a)} and {phrase(b)}") for a, b in combinations(ANIMALS, 2)]
    for animal in ANIMALS:
        for thing in OBJECTS:
            if thing in WORN:
                items.append(("animals-objects", f"{phrase(animal)} with {phrase(thing)}"))
            else:
                items.append(("animals-objects", f"{phrase(animal)} and {phrase(thing, rng.choice(COLORS))}"))
    for a, b in combinations(OBJECTS, 2):
        first, second = rng.sample(COLORS, 2)
        items.append(("objects", f"{phrase(a, first)} and {phrase(b, second)}"))
    return _suite("attend-excite", items)


def three_subjects(seed: int = 0, *, published: bool = False) -> list[BenchPrompt]:
    """Sixty prompts of three subjects: 20 of animals, 20 of two animals and a coloured object, 20 of three coloured objects."""
    rng = random.Random(f"three-subjects {seed}")
    items = []
    for nouns in rng.sample(list(combinations(ANIMALS, 3)), 20):
        items.append(("animals", [(noun, "") for noun in nouns]))
    for nouns in rng.sample(list(combinations(ANIMALS, 2)), 20):
        items.append(("animals-objects", [*((noun, "") for noun in nouns), (rng.choice(OBJECTS), rng.choice(COLORS))]))
    for nouns in rng.sample(list(combinations(OBJECTS, 3)), 20):
        items.append(("objects", list(zip(nouns, rng.sample(COLORS, 3), strict=True))))
    texts = [(category, " and ".join(noun_phrase(n, c, published=published) for n, c in parts)) for category, parts in items]
    return _suite("three-subjects", texts)


def same_class_two_colors(seed: int = 0, *, published: bool = False) -> list[BenchPrompt]:
    """Thirty-six prompts like "a red car and a blue car": three pairs of colours an object."""
    rng = random.Random(f"same-class-two-colours {seed}")
    items = []
    for noun in OBJECTS:
        for first, second in rng.sample(list(combinations(COLORS, 2)), 3):
            items.append((noun, f"{noun_phrase(noun, first, published=published)} and {noun_phrase(noun, second, published=published)}"))
    return _suite("same-class-two-colours", items)


def swapped_colors(seed: int = 0, *, published: bool = False) -> list[BenchPrompt]:
    """Thirty-three pairs of prompts that differ only in which object has which colour; the two prompts of a pair form one cluster."""
    rng = random.Random(f"swapped-colours {seed}")
    prompts = []
    for number, (a, b) in enumerate(rng.sample(list(combinations(OBJECTS, 2)), 33)):
        first, second = rng.sample(COLORS, 2)
        for one, two in ((first, second), (second, first)):
            text = f"{noun_phrase(a, one, published=published)} and {noun_phrase(b, two, published=published)}"
            prompts.append(BenchPrompt(text, "swapped-colours", "objects", f"swap {number}: {a} {b} {first} {second}"))
    return prompts


def two_colored_objects(seed: int = 0, *, published: bool = False) -> list[BenchPrompt]:
    """Every pair of objects in four pairs of colours: the prompts in which a colour can go to the wrong object, 264 of them.

    The attend-excite suite has but one of each pair, too few to see a leak taken away; none of its prompts of the same seed is here, and
    none of this suite's under a smaller seed. The prompts of one pair of objects form one cluster.
    """
    rng = random.Random(f"two-coloured-objects {seed}")
    known = {prompt.text for prompt in attend_excite(seed, published=published)}
    known |= {prompt.text for smaller in range(seed) for prompt in two_colored_objects(smaller, published=published)}
    prompts = []
    for a, b in combinations(OBJECTS, 2):
        texts: list[str] = []
        while len(texts) < 4:
            first, second = rng.sample(COLORS, 2)
            text = f"{noun_phrase(a, first, published=published)} and {noun_phrase(b, second, published=published)}"
            if text not in known and text not in texts:
                texts.append(text)
        prompts += [BenchPrompt(text, "two-coloured-objects", "objects", f"{a} {b}") for text in texts]
    return prompts


def rare_colors(seed: int = 0, *, published: bool = False) -> list[BenchPrompt]:
    """Objects in colours they seldom have, alone and beside an animal ("a dog and a black apple")."""
    rng = random.Random(f"rare-colours {seed}")
    items = []
    for noun, colors in RARE_COLORS.items():
        for color in colors:
            phrase = noun_phrase(noun, color, published=published)
            items.append(("alone", phrase))
            items.append(("with an animal", f"{noun_phrase(rng.choice(ANIMALS), published=published)} and {phrase}"))
    return _suite("rare-colours", items)


def single_object(seed: int = 0, *, published: bool = False) -> list[BenchPrompt]:
    """Every noun alone (24), and every object in every colour (132). Nothing in it is random."""
    del seed
    items = [("plain", noun_phrase(noun, published=published)) for noun in ANIMALS + OBJECTS]
    items += [("coloured", noun_phrase(noun, color, published=published)) for noun in OBJECTS for color in COLORS]
    return _suite("single-object", items)


def _color_for(rng: random.Random, noun: str) -> str:
    """A colour for an object; "" for an animal."""
    return "" if noun in ANIMALS else rng.choice(COLORS)


def _mixed_pair(rng: random.Random, *, published: bool = False) -> tuple[str, str]:
    """Two different things: an animal or a coloured object each."""
    nouns = rng.sample(ANIMALS + OBJECTS, 2)
    first, second = (noun_phrase(noun, _color_for(rng, noun), published=published) for noun in nouns)
    return first, second


def places(seed: int = 0, *, published: bool = False) -> list[BenchPrompt]:
    """Sixty prompts with a place: twelve a place, half of them with one thing ("a red car at night") and half with two."""
    rng = random.Random(f"places {seed}")
    items = []
    for place, said in PLACES.items():
        for noun in rng.sample(ANIMALS + OBJECTS, 6):
            items.append((place, f"{noun_phrase(noun, _color_for(rng, noun), published=published)} {said}"))
        pairs = (_mixed_pair(rng, published=published) for _ in range(6))
        items += [(place, f"{first} and {second} {said}") for first, second in pairs]
    return _suite("places", items)


def positions(seed: int = 0, *, published: bool = False) -> list[BenchPrompt]:
    """Forty-eight prompts that say where two things are, twelve a position of the first.

    Half give both sides ("a cat on the left and a red car on the right"), half how they lie to each other ("a cat left of a red car").
    """
    rng = random.Random(f"positions {seed}")
    items = []
    for position, said in POSITIONS.items():
        own, other = SIDES[position]
        for number in range(12):
            first, second = _mixed_pair(rng, published=published)
            sides = f"{first} {own} and {second} {other}"
            items.append((position, f"{first} {said} {second}" if number % 2 else sides))
    return _suite("positions", items)


def numbers(seed: int = 0, *, published: bool = False) -> list[BenchPrompt]:
    """Forty-eight prompts that count: two of a kind (24), three of a kind (12), two of a kind and something else (12)."""
    rng = random.Random(f"numbers {seed}")

    def several(word: str, noun: str) -> str:
        return " ".join(filter(None, (word, _color_for(rng, noun), IRREGULAR.get(noun, noun + "s"))))

    items = [("two", several("two", noun)) for noun in ANIMALS + OBJECTS]
    items += [("three", several("three", noun)) for noun in rng.sample(ANIMALS + OBJECTS, 12)]
    for _ in range(12):
        many, one = rng.sample(ANIMALS + OBJECTS, 2)
        other = noun_phrase(one, _color_for(rng, one), published=published)
        items.append(("two and one", f"{several('two', many)} and {other}"))
    return _suite("numbers", items)


SUITES: dict[str, Callable[..., list[BenchPrompt]]] = {
    "attend-excite": attend_excite,
    "three-subjects": three_subjects,
    "same-class-two-colours": same_class_two_colors,
    "swapped-colours": swapped_colors,
    "two-coloured-objects": two_colored_objects,
    "rare-colours": rare_colors,
    "single-object": single_object,
    "places": places,
    "positions": positions,
    "numbers": numbers,
}


def build_suites(names: Sequence[str], seed: int = 0, *, published: bool = False) -> list[BenchPrompt]:
    """The prompts of several suites, in order.

    Args:
        names: keys of SUITES.
        seed: seed of the random colours and samples.
        published: articles as in the published list.

    Raises:
        ValueError: naming an unknown suite.
    """
    prompts: list[BenchPrompt] = []
    for name in names:
        if name not in SUITES:
            raise ValueError(f"suite {name!r}: choose from {', '.join(SUITES)}")
        prompts += SUITES[name](seed, published=published)
    return prompts


def load_prompts(path: str | Path) -> list[BenchPrompt]:
    """A prompt file as a suite named after the file.

    Args:
        path: text with one prompt a line ('#' starts a comment line), or JSON: a list, or a dict of lists (its keys are the categories).

    Raises:
        ValueError: when the file is empty or the JSON is neither of these.
    """
    path = Path(path)
    text = path.read_text(encoding="utf-8")
    if path.suffix.lower() != ".json":
        lines = [line.strip() for line in text.splitlines()]
        items = [("all", line) for line in lines if line and not line.startswith("#")]
    else:
        items = _json_items(path.name, text)
    if not items:
        raise ValueError(f"{path.name} holds no prompt")
    return _suite(path.stem, items)


def split_prompts(prompts: Sequence[BenchPrompt], part: str, seed: int = 0) -> list[BenchPrompt]:
    """One half of a suite, stratified by category and never dividing a cluster: "choose" to pick a method on, "confirm" to test it on once.

    Args:
        prompts: the suite.
        part: "choose", "confirm" or "all".
        seed: which division.
    """
    if part == "all":
        return list(prompts)
    if part not in ("choose", "confirm"):
        raise ValueError(f"split {part!r}: choose one of all, choose, confirm")
    chosen: set[tuple[str, str]] = set()
    for suite, category in dict.fromkeys((p.suite, p.category) for p in prompts):
        clusters = sorted({p.cluster for p in prompts if (p.suite, p.category) == (suite, category)})
        random.Random(f"split {seed} {suite} {category}").shuffle(clusters)
        chosen |= {(suite, cluster) for cluster in clusters[: (len(clusters) + 1) // 2]}
    return [p for p in prompts if ((p.suite, p.cluster) in chosen) == (part == "choose")]


def gather_prompts(
    names: Sequence[str], files: Sequence[Path], published: bool, split: str, limit: int | None, seed: int = 0
) -> list[BenchPrompt]:
    """All prompts that a command line asks for; attend-excite when it names none.

    Args:
        names: suites. files: prompt files. published: articles as in the published list. split: see `split_prompts`.
        limit: only the first so many, >= 1; None = all. seed: of the suites' random colours and samples, >= 0.

    Raises:
        ValueError: a limit or a seed out of range; see also `build_suites`, `load_prompts` and `split_prompts`.
    """
    if seed < 0:
        raise ValueError(f"--suite-seed {seed}: give a whole number from 0")
    if limit is not None and limit < 1:
        raise ValueError(f"--limit {limit}: give a whole number from 1")
    names = list(names) if names or files else ["attend-excite"]
    prompts = build_suites(names, seed, published=published) + [prompt for path in files for prompt in load_prompts(path)]
    return split_prompts(prompts, split)[:limit]


def _suite(name: str, items: Sequence[tuple[str, str]]) -> list[BenchPrompt]:
    """BenchPrompts of (category, text); a text that comes twice is kept once."""
    seen: dict[str, BenchPrompt] = {}
    for category, text in items:
        seen.setdefault(text, BenchPrompt(text, name, category, text))
    return list(seen.values())


def _json_items(name: str, text: str) -> list[tuple[str, str]]:
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{name} is not JSON: {error}") from error
    if isinstance(data, list):
        data = {"all": data}
    if not isinstance(data, dict):
        raise ValueError(f"{name}: expected a list of prompts or a dict of lists, got {type(data).__name__}")
    items = []
    for category, texts in data.items():
        if not isinstance(texts, list) or not all(isinstance(t, str) and t.strip() for t in texts):
            raise ValueError(f"{name}: {category!r} must be a list of non-empty strings")
        items += [(str(category), t.strip()) for t in texts]
    return items
