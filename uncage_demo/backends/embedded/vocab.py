"""The closed vocabulary of the embedded model: nouns, colours, places, positions, numbers, function words; word-level text tokens.

Knows nothing of pictures or tensors.
Source: noun and colour lists of the Attend-and-Excite benchmark (2301.13826, section 5).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from uncage_demo.types import TextToken, Vocabulary

ANIMALS = ("bear", "bird", "cat", "dog", "elephant", "frog", "horse", "lion", "monkey", "mouse", "rabbit", "turtle")
OBJECTS = ("apple", "backpack", "balloon", "bench", "bow", "bowl", "car", "chair", "clock", "crown", "glasses", "suitcase")
NOUNS = ANIMALS + OBJECTS
COLORS = ("black", "blue", "brown", "gray", "green", "orange", "pink", "purple", "red", "white", "yellow")
FUNCTION_WORDS = ("a", "an", "the", "and", "with", "one", ",", "next", "to", "beside", "wearing", "of", "picture", "on", "in", "is", "that")

# Where a scene is ("at night"), where in it an object is ("on the left", "left of"), how many of a kind there are ("two cats").
PLACE_SAID = {"meadow": "on a meadow", "night": "at night", "beach": "on a beach", "snow": "in the snow", "sea": "in the sea"}
POSITION_SAID = {"left": "on the left", "right": "on the right", "above": "at the top", "below": "at the bottom"}
PLACES, POSITIONS = tuple(PLACE_SAID), tuple(POSITION_SAID)
NUMBERS = {"one": 1, "two": 2, "three": 3}

# The function words of the training captions. The model has learned nothing about the other ones, so they are read over (as padding).
CAPTION_WORDS = ("a", "an", "and", "with", ",")

PAD, START, END, UNKNOWN = 0, 1, 2, 3
SPECIAL = ("<pad>", "<start>", "<end>", "<unk>")
# New words go to the end: weights of a smaller vocabulary can then be trained on.
WORDS = SPECIAL + FUNCTION_WORDS + COLORS + NOUNS + PLACES + POSITIONS + tuple(word for word in NUMBERS if word not in FUNCTION_WORDS)
WORD_ID = {word: i for i, word in enumerate(WORDS)}
TEXT_LENGTH = 20
_READ_OVER = {UNKNOWN} | {WORD_ID[word] for word in FUNCTION_WORDS if word not in CAPTION_WORDS}

MOST_OBJECTS = 3

_PLURALS = {noun: noun + "s" for noun in NOUNS if noun not in ("bench", "mouse", "glasses")} | {"bench": "benches", "mouse": "mice"}
# Other names of a noun. Only what the model draws for it: a rucksack is a backpack, a taxi is more than a car.
_SYNONYMS = {
    "automobile": "car",
    "ribbon": "bow",
    "bowtie": "bow",
    "rucksack": "backpack",
    "tortoise": "turtle",
    "bunny": "rabbit",
    "kitten": "cat",
    "kitty": "cat",
    "puppy": "dog",
    "doggy": "dog",
}
ALIASES = {plural: noun for noun, plural in _PLURALS.items()} | _SYNONYMS
ALIASES |= {word[:-1] + "ies" if word.endswith("y") else word + "s": noun for word, noun in _SYNONYMS.items()}
ALIASES |= {
    "grey": "gray",
    "eyeglasses": "glasses",
    "spectacles": "glasses",
    "luggage": "suitcase",
    "violet": "purple",
    "1": "one",
    "2": "two",
    "3": "three",
    "grass": "meadow",
    "lawn": "meadow",
    "field": "meadow",
    "night sky": "night",
    "nighttime": "night",
    "sand": "beach",
    "seaside": "beach",
    "ocean": "sea",
    "water": "sea",
    "underwater": "sea",
    "top": "above",
    "over": "above",
    "atop": "above",
    "bottom": "below",
    "under": "below",
    "beneath": "below",
    "underneath": "below",
}

VOCABULARY = Vocabulary(
    objects=NOUNS,
    colors=COLORS,
    others=(*(w for w in FUNCTION_WORDS if w != ","), *PLACES, *POSITIONS, *(w for w in NUMBERS if w not in FUNCTION_WORDS)),
    aliases=ALIASES,
    places=PLACE_SAID,
    positions=POSITION_SAID,
    numbers=tuple(word for word, number in NUMBERS.items() if number > 1),
    most_objects=MOST_OBJECTS,
)


def plural(noun: str) -> str:
    """ "cats" of "cat", "mice" of "mouse"; "glasses" stays."""
    return _PLURALS.get(noun, noun)


_TOKEN = re.compile(r"[^\W_]+(?:['’][^\W_]+)*|[^\w\s]|_", re.UNICODE)


def word_id(word: str) -> int:
    """Id of a typed word after lower-casing and aliases; UNKNOWN when the model has never seen it."""
    return WORD_ID.get(canonical(word), UNKNOWN)


def canonical(word: str) -> str:
    """The vocabulary's own form of a typed word; the word itself, in lower case, where there is none."""
    lower = word.lower()
    return ALIASES.get(lower, lower)


def position(words: Sequence[str], index: int) -> str:
    """The position that a typed word says, one of POSITIONS, or ""; "under" in "under the sea" says a place, no position."""
    name = canonical(words[index])
    if name not in POSITIONS:
        return ""
    following = next((word for word in words[index + 1 : index + 3] if word.lower() not in ("a", "an", "the")), "")
    return "" if canonical(following) in PLACES else name


def tokenize(text: str) -> tuple[tuple[TextToken, ...], tuple[int, ...], str]:
    """Word-level text tokens with spans, their ids (padded to TEXT_LENGTH), and the part of the text that did not fit.

    Punctuation that the model has never seen is skipped; a word it has never seen keeps its place with the id PAD: nothing attends to it.
    """
    tokens, ids = [TextToken("<start>", 0, 0, special=True)], [START]
    truncated = ""
    matches = list(_TOKEN.finditer(text))
    words = [match.group() for match in matches]
    for index, match in enumerate(matches):
        identity = word_id(match.group())
        if identity == UNKNOWN and not match.group()[0].isalnum():
            continue
        if len(ids) == TEXT_LENGTH - 1:
            truncated = text[match.start() :]
            break
        tokens.append(TextToken(match.group(), match.start(), match.end()))
        no_position = canonical(match.group()) in POSITIONS and not position(words, index)
        ids.append(PAD if identity in _READ_OVER or no_position else identity)
    tokens.append(TextToken("<end>", len(text), len(text), special=True))
    ids.append(END)
    while len(ids) < TEXT_LENGTH:
        tokens.append(TextToken("<pad>", len(text), len(text), special=True))
        ids.append(PAD)
    return tuple(tokens), tuple(ids), truncated
