"""Prompts for a model with a closed vocabulary: what it understands, what it reports, what cannot be drawn."""

from __future__ import annotations

import random

import pytest

from tests.text_models import ANIMALS, CLOSED, COLORS, VOCABULARY, Pieces, pair_prompts
from uncage_demo.prompt.parse import check_drawable, near_words, parse_prompt
from uncage_demo.types import TextToken


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a turtle and a pink apple", [("turtle", ()), ("apple", ("pink",))]),
        ("A GREY Bunny wearing a crown", [("rabbit", ("gray",)), ("crown", ())]),
        ("cats & apples", [("cat", ()), ("apple", ())]),
        ("an alarm clock near the car", [("clock", ()), ("car", ())]),
        ("a cat with the glasses that are red", [("cat", ()), ("glasses", ("red",))]),
        ("a red car and a blue car", [("car", ("red",)), ("car", ("blue",))]),
        ("a cat in a meadow", [("cat", ())]),
        ("a picture of a cat dog", [("cat", ()), ("dog", ())]),
        ("a car orange", [("car", ("orange",))]),
        ("a dog and a cat that are both black", [("dog", ()), ("cat", ("black",))]),
        ("the car is orange", [("car", ("orange",))]),
    ],
)
def test_closed_vocabulary_subjects(text: str, expected: list[tuple[str, tuple[str, ...]]]) -> None:
    prompt = parse_prompt(text, CLOSED)
    assert [(s.noun, s.colors) for s in prompt.subjects] == expected
    assert prompt.unknown == ()
    check_drawable(prompt, CLOSED)


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("a puppy and a crimson car", {"puppy": "dog", "crimson": "red"}),
        ("a turtel and a bluish mose", {"turtel": "turtle", "bluish": "blue", "mose": "mouse"}),
        ("a small car", {"small": None}),
        ("a kitty on a sofa", {"kitty": "cat", "sofa": "bench"}),
        ("two dogs", {"two": None, "dogs": "dog"}),
        ("a pink-apple", {"pink-apple": "pink"}),
        ("a cat's bowl", {"'s": None}),
        ("a cat under a bench", {"under": "next to"}),
        ("a cat without a crown", {"without": None}),
        ("an apple and an orange", {"orange": None}),
        ("🐢", {"🐢": "turtle"}),
        ("🍎 and a cat", {"🍎": "apple"}),
        ("两只猫", {"两只猫": None}),
        ("a polar bear", {"polar": None}),
        ("a dog chases a cat", {"chases": None}),
        ("a cat with blue eyes", {"eyes": None}),
    ],
)
def test_unknown_words_are_named(text: str, unknown: dict[str, str | None]) -> None:
    prompt = parse_prompt(text, CLOSED)
    found = {prompt.words[u.word].text: u.suggestions for u in prompt.unknown}
    assert set(found) == set(unknown)
    for word, first in unknown.items():
        assert found[word][:1] == (() if first is None else (first,))
        assert next(w for w in prompt.words if w.text == word).kind == "unknown"
    with pytest.raises(ValueError, match="does not know") as error:
        check_drawable(prompt, CLOSED)
    for word, first in unknown.items():
        assert f"“{word}”" in str(error.value)
        assert first is None or first in str(error.value)
    assert "turtle" in str(error.value)  # what the model can draw


def test_no_word_of_a_closed_prompt_is_dropped() -> None:
    """Every word is known to the vocabulary, a plain connecting word, or reported."""
    rng = random.Random(1)
    connecting = {"a", "the", "and", "with", "is", "near", "very"}
    strange = ["purr", "gleam", "quixotic", "dancing", "wooden", "4k", "bed", "slowly", "Paris"]
    known = [*ANIMALS, *COLORS[:5], *connecting]
    for _ in range(300):
        words = [rng.choice(known + strange) for _ in range(rng.randint(1, 9))]
        prompt = parse_prompt(" ".join(words), CLOSED)
        reported = {u.word for u in prompt.unknown}
        assert reported >= {i for i, word in enumerate(words) if word in strange}
        assert all(words[i] in strange for i in reported)


def test_a_word_the_encoder_reads_only_inside_something_longer_is_not_known() -> None:
    class Glued(Pieces):
        def tokenize(self, text: str) -> tuple[tuple[TextToken, ...], str]:
            return (TextToken(text, 0, len(text)),), ""

    prompt = parse_prompt("red cat", Glued(VOCABULARY))
    assert [prompt.words[u.word].text for u in prompt.unknown] == ["red", "cat"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a cat and a red", "“red” belongs to no object"),
        ("a red and a blue car", "“red” belongs to no object"),
        ("the and a", "names nothing"),
        ("a pink and green car", "“pink green car”: this model gives an object one colour"),
        ("an orange", "“orange” as an object"),
    ],
)
def test_prompts_that_cannot_be_drawn(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_drawable(parse_prompt(text, CLOSED), CLOSED)


def test_truncated_closed_prompt_cannot_be_drawn() -> None:
    short = Pieces(VOCABULARY, limit=3)
    with pytest.raises(ValueError, match="would not read “a pink apple”"):
        check_drawable(parse_prompt("a turtle and a pink apple", short), short)


def test_near_words_are_words_of_the_vocabulary() -> None:
    assert near_words("glass", VOCABULARY) == ("glasses",)
    assert near_words("orange", VOCABULARY) == ()
    assert near_words("geese", VOCABULARY) == ()
    for word in ("puppies", "elefant", "navy", "rucksack", "zzz", "", "-", "🍏", "x" * 1000):
        near = near_words(word, VOCABULARY)
        assert len(near) <= 3
        assert set(near) <= set(VOCABULARY.objects) | set(VOCABULARY.colors)
    assert near_words("puppies", VOCABULARY)[0] == "dog"


def test_the_embedded_vocabulary_is_covered() -> None:
    """Every noun, colour and alias of the shipped model is understood, in every benchmark structure."""
    from uncage_demo.backends.embedded import vocab

    class Embedded:
        vocabulary = vocab.VOCABULARY

        def tokenize(self, text: str) -> tuple[tuple[TextToken, ...], str]:
            tokens, _, truncated = vocab.tokenize(text)
            return tokens, truncated

    for text, expected in pair_prompts():
        prompt = parse_prompt(text, Embedded())
        assert [(s.noun, s.colors) for s in prompt.subjects] == expected
        check_drawable(prompt, Embedded())
    for alias, name in vocab.VOCABULARY.aliases.items():
        text = f"a {alias} car" if name in vocab.COLORS else f"a {alias}" if name in vocab.NOUNS else f"a cat {alias} a dog"
        prompt = parse_prompt(text, Embedded())
        check_drawable(prompt, Embedded())
        if name in vocab.NOUNS + vocab.COLORS:
            assert name in (prompt.subjects[0].noun, *prompt.subjects[0].colors)
        else:
            assert [s.noun for s in prompt.subjects] == ["cat", "dog"]
