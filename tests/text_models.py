"""Text models, vocabularies and prompts for the tests of prompt reading."""

from __future__ import annotations

import itertools
import random
import re

from uncage_demo.types import Prompt, TextToken, Vocabulary

ANIMALS = ("bear", "bird", "cat", "dog", "elephant", "frog", "horse", "lion", "monkey", "mouse", "rabbit", "turtle")
OBJECTS = ("apple", "backpack", "balloon", "bench", "bow", "bowl", "car", "chair", "clock", "crown", "glasses", "suitcase")
COLORS = ("black", "blue", "brown", "gray", "green", "orange", "pink", "purple", "red", "white", "yellow")
VOCABULARY = Vocabulary(
    objects=ANIMALS + OBJECTS,
    colors=COLORS,
    others=("a", "an", "the", "and", "with", "next", "to", "wearing", "is", "that", "meadow"),
    aliases={"grey": "gray", "bunny": "rabbit", "cats": "cat", "mice": "mouse", "apples": "apple", "alarm clock": "clock"},
)


class Pieces:
    """A text model whose tokens are pieces of at most `size` characters, cut at blanks; reads `limit` tokens at most."""

    def __init__(self, vocabulary: Vocabulary | None = None, size: int = 100, limit: int = 10_000) -> None:
        self.vocabulary, self.size, self.limit = vocabulary, size, limit

    def tokenize(self, text: str) -> tuple[tuple[TextToken, ...], str]:
        tokens = [TextToken("<start>", 0, 0, True)]
        for run in re.finditer(r"[^\s,.;]+", text):
            for start in range(run.start(), run.end(), self.size):
                end = min(start + self.size, run.end())
                if len(tokens) > self.limit:
                    return (*tokens, TextToken("<end>", len(text), len(text), True)), text[start:]
                tokens.append(TextToken(text[start:end], start, end))
        return (*tokens, TextToken("<end>", len(text), len(text), True)), ""


OPEN, CLOSED = Pieces(size=3), Pieces(VOCABULARY)


def shape(prompt: Prompt) -> list[str]:
    """Each subject as "object: attribute, attribute" with the words as typed."""

    def named(group: tuple[int, ...]) -> str:
        return " ".join(prompt.words[i].text for i in group)

    return [": ".join([named(s.object), *([", ".join(map(named, s.attributes))] if s.attributes else [])]) for s in prompt.subjects]


def pair_prompts() -> list[tuple[str, list[tuple[str, tuple[str, ...]]]]]:
    """Prompts of the structures of the Attend-and-Excite benchmark, made here, with the subjects they should give."""
    rng = random.Random(0)
    made = []
    for first, second in itertools.combinations(ANIMALS, 2):
        made.append((f"a {first} and a {second}", [(first, ()), (second, ())]))
    for animal, thing in itertools.product(ANIMALS, OBJECTS):
        color = rng.choice(COLORS)
        if thing in ("bow", "crown", "glasses"):
            made.append((f"a {animal} with a {thing}", [(animal, ()), (thing, ())]))
        else:
            made.append((f"a {animal} and a {color} {thing}", [(animal, ()), (thing, (color,))]))
    for first, second in itertools.combinations(OBJECTS, 2):
        one, two = rng.sample(COLORS, 2)
        made.append((f"a {one} {first} and a {two} {second}", [(first, (one,)), (second, (two,))]))
    for _ in range(60):
        nouns, colors = rng.sample(ANIMALS + OBJECTS, 3), rng.sample(COLORS, 3)
        joiner, both = rng.choice([" and ", ", "]), list(zip(nouns, colors, strict=True))
        made.append((joiner.join(f"a {color} {noun}" for noun, color in both), [(noun, (color,)) for noun, color in both]))
    return made
