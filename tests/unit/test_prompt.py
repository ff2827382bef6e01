"""Prompts: words and spans, subjects and attributes, texts that cannot be read."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.text_models import CLOSED, OPEN, Pieces, pair_prompts, shape
from uncage_demo.prompt.numbers import number_of
from uncage_demo.prompt.parse import align, check_drawable, negatives, overrides_of, parse_prompt, positives
from uncage_demo.prompt.words import split
from uncage_demo.types import TextToken


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a turtle and a pink apple", ["turtle", "apple: pink"]),
        ("A Turtle AND A PINK apple", ["Turtle", "apple: PINK"]),
        ("a elephant and an horse", ["elephant", "horse"]),
        ("turtle", ["turtle"]),
        ("a small red car", ["car: small, red"]),
        ("a car that is red", ["car: red"]),
        ("the apple is pink", ["apple: pink"]),
        ("the car is small and red", ["car: small, red"]),
        ("the apple is pink and the cat is white", ["apple: pink", "cat: white"]),
        ("a cat and a car. The car is red.", ["cat", "car: red"]),
        # What was said of a thing, and what was denied, ends with the sentence.
        ("a cat is black. White or grey", ["cat: black"]),
        ("a cat is black, white or grey", ["cat: black, white, grey"]),
        ("a cat or not. A dog", ["cat", "dog"]),
        ("the cat with a crown is black", ["cat: black", "crown"]),
        ("a bird with a crown and a bow that is red", ["bird", "crown", "bow: red"]),
        ("a red car and a blue car", ["car: red", "car: blue"]),
        ("red car, blue cat", ["car: red", "cat: blue"]),
        ("a red, white and blue flag", ["flag: red, white, blue"]),
        ("a cat wearing a crown next to a dog with a red bow", ["cat", "crown", "dog", "bow: red"]),
        ("an alarm clock and a polar bear", ["alarm clock", "polar bear"]),
        ("a black-and-white cat", ["cat: black-and-white"]),
        ("a t-shirt and a blue-eyed cat", ["t-shirt", "cat: blue-eyed"]),
        ("an apple and a banana and an orange", ["apple", "banana", "orange"]),
        ("an orange cat and an orange", ["cat: orange", "orange"]),
        ("an orange and white cat", ["cat: orange, white"]),
        ("a gold and silver crown and a glass bowl", ["crown: gold, silver", "bowl: glass"]),
        ("a horse and a donkey and zebra", ["horse", "donkey", "zebra"]),
        ("a orca and a owl", ["orca", "owl"]),
        ("a fly and a bee", ["fly", "bee"]),
        ("a rose and a daisy and a white lily", ["rose", "daisy", "lily: white"]),
        ("a catfish and a carp", ["catfish", "carp"]),
        ("a dark blue car and a sky blue balloon", ["car: dark blue", "balloon: sky blue"]),
        ("a chair made of wood and a car painted red", ["chair: wood", "car: red"]),
        ("a man in red and a woman in a green dress", ["man: red", "woman", "dress: green"]),
        ("a car red", ["car: red"]),
        ("two red apples and 3 cats", ["apples: red", "cats"]),
        ("a cat without a hat and a dog", ["cat", "dog"]),
        ("a dog chases a cat", ["dog", "cat"]),
        ("a dog chasing a running horse", ["dog", "horse: running"]),
        ("a photo of a cat in front of a house", ["cat", "house"]),
        ("an oil painting of a brown fox", ["fox: brown"]),
        ("a painting and a chair", ["painting", "chair"]),
        ("a cat with blue eyes and a long tail and a dog", ["cat: blue eyes, long tail", "dog"]),
        ("the dog's red bowl", ["bowl: dog, red"]),
        ("it’s a cat & a dog + a bird", ["cat", "dog", "bird"]),
        ("a highly detailed, realistic photo of a small fluffy fox, 4k", ["fox: small, fluffy"]),
        ("a red and", []),
        ("a lion at night under a night sky, digital art", ["lion", "night sky"]),
        ("🐢 and 🍎", ["🐢", "🍎"]),
        ("un café brûlé", ["un café brûlé"]),
        ("两只猫", ["两只猫"]),
    ],
)
def test_open_vocabulary_subjects(text: str, expected: list[str]) -> None:
    prompt = parse_prompt(text, OPEN)
    assert shape(prompt) == expected
    assert prompt.unknown == ()
    for subject in prompt.subjects:
        assert all(prompt.words[i].kind == "object" for i in subject.object)
        assert all(prompt.words[i].kind == "attribute" for group in subject.attributes for i in group)
    check_drawable(prompt, OPEN)  # an open vocabulary accepts everything


@pytest.mark.parametrize("backend", [OPEN, CLOSED], ids=["open", "closed"])
def test_benchmark_structures(backend: Pieces) -> None:
    for text, expected in pair_prompts():
        prompt = parse_prompt(text, backend)
        assert [(s.noun, s.colors) for s in prompt.subjects] == expected, text
        check_drawable(prompt, backend)


def test_positives_and_negatives_of_eq_2() -> None:
    prompt = parse_prompt("a turtle and a pink apple and a red car", OPEN)
    text = [w.text for w in prompt.words]
    turtle, pink, apple, red, car = (text.index(w) for w in ("turtle", "pink", "apple", "red", "car"))
    assert positives(prompt, 1) == ((apple,), (pink,))
    assert negatives(prompt, 1) == ((turtle,), (car,), (red,))
    assert negatives(parse_prompt("a turtle", OPEN), 0) == ()
    for bad in (-1, 3, True, "0"):
        with pytest.raises(ValueError, match="3 subject"):
            positives(prompt, bad)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="3 subject"):
            negatives(prompt, bad)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("two cats and a dog", [2, 1]),
        ("a cat, 3 red cars", [1, 3]),
        ("seven small green birds", [7]),
        ("one cat", [1]),
        ("the two of them and a cat", [1]),
        ("a cat: two dogs", [1, 2]),
        ("cats: three", [3]),
        ("one of the cats", [1]),
    ],
)
def test_numbers_say_how_many(text: str, counts: list[int]) -> None:
    prompt = parse_prompt(text, OPEN)
    assert [subject.count for subject in prompt.subjects] == counts
    again = parse_prompt(text, OPEN, overrides_of(prompt))
    assert [subject.count for subject in again.subjects] == counts


def test_labels_and_colors() -> None:
    prompt = parse_prompt("a small Grey car that is red, with a cat", OPEN)
    assert [(s.label, s.noun, s.colors) for s in prompt.subjects] == [("small grey red car", "car", ("gray", "red")), ("cat", "cat", ())]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_words_split_into_pieces_are_aligned(size: int) -> None:
    text = "a rhinoceros, and a pink-ish alarm clock's 🐢"
    prompt = parse_prompt(text, Pieces(size=size))
    covered = {}
    for word in prompt.words:
        tokens = [prompt.tokens[t] for t in word.tokens]
        assert tokens
        assert all(not t.special and t.start < word.end and t.end > word.start for t in tokens)
        covered[word.text] = "".join(t.text for t in tokens)
    assert covered["rhinoceros"] == "rhinoceros"
    if size == 1:
        assert covered["clock"] == "clock"
        assert covered["'s"] == "'s"
    everything = {t for w in prompt.words for t in w.tokens}
    assert everything == {i for i, t in enumerate(prompt.tokens) if not t.special}


def test_align_by_offset_not_by_text() -> None:
    """Lower-cased, decorated pieces (as byte-pair encoders give) must not matter: only offsets do."""
    tokens = (
        TextToken("<s>", 0, 0, True),
        TextToken("a</w>", 0, 1),
        TextToken("cor", 2, 5),
        TextToken("gi</w>", 5, 7),
        TextToken(" </w>", 7, 8),
    )
    assert align(split("A Corgi!"), tokens)[:2] == [(1,), (2, 3)]


def test_truncated_words_have_no_tokens() -> None:
    prompt = parse_prompt("a turtle and a pink apple", Pieces(limit=3))
    assert prompt.truncated == "a pink apple"
    assert [w.text for w in prompt.words if not w.tokens] == ["a", "pink", "apple"]
    assert shape(prompt) == ["turtle"]  # what the model does not read is left out, so that guidance has no word without a map
    assert [prompt.words[i].text for i in prompt.unused] == ["pink", "apple"]


@pytest.mark.parametrize("seed", range(30))  # more: tests/slow/test_sweeps.py
def test_spans_always_match_the_text(seed: int) -> None:
    """Random text of letters, marks, emoji and punctuation: spans are in order, never overlap, and are the text they name."""
    rng = random.Random(seed)
    alphabet = [
        "a",
        "red",
        "cat",
        "and",
        " ",
        " ",
        ",",
        ".",
        "-",
        "'",
        "’s",
        "é",
        "e\u0301",
        "猫",
        "ß",
        "İ",
        "_",
        "1",
        "²",
        "\n",
        "\t",
        "&",
        "%",
    ]
    alphabet += ["🐢", "👩\u200d🚀", "👍🏽", "🇫🇷", "❤️", "\u200d", "\ufe0f", "हिन्दी", "العربية", "{{x}}", "${6*7}", "<img>"]
    text = "".join(rng.choice(alphabet) for _ in range(rng.randint(1, 40)))
    for backend in (OPEN, CLOSED):
        if all(s.stop for s in split(text)):
            with pytest.raises(ValueError, match=r"no words|empty"):
                parse_prompt(text, backend)
            continue
        prompt = parse_prompt(text, backend)
        last = 0
        for word in prompt.words:
            assert last <= word.start < word.end <= len(text)
            assert text[word.start : word.end] == word.text
            last = word.end
        outside = list(text)
        for word in prompt.words:
            outside[word.start : word.end] = [" "] * (word.end - word.start)
        assert not any(c.isalnum() for c in outside), "a letter or digit was dropped"
        used = [i for s in prompt.subjects for g in s.groups for i in g]
        assert len(used) == len(set(used))
        assert all(s.object and all(s.attributes) for s in prompt.subjects)
        assert prompt == parse_prompt(text, backend)


def test_emoji_with_modifiers_is_one_word() -> None:
    words = [s.text for s in split("👩‍🚀 and 👍🏽 and 🇫🇷 and ❤️") if s.text != "and"]
    assert words == ["👩‍🚀", "👍🏽", "🇫🇷", "❤️"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("  \n\t", "empty"),
        ("...", "no words"),
        ("a" * 5001, "5001 characters"),
        ("a \ud800 cat", "Unicode"),
        (7, "must be text, not int"),
    ],
)
def test_texts_that_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_prompt(text, OPEN)


def list_of(name: str) -> list[tuple[str, list[str]]]:
    """(text, objects as "count colours noun") of a list of prompts in tests/data."""
    lines = (Path(__file__).parents[1] / "data" / name).read_text(encoding="utf-8").splitlines()
    pairs = [line.split(" | ") for line in lines if line and not line.startswith("#")]
    return [(text, objects.split("; ")) for text, objects in pairs]


def objects_right(prompts: list[tuple[str, list[str]]]) -> float:
    """Share of objects whose noun, colours and number are all read right; one too many counts as wrong, too."""
    right = total = 0
    for text, wanted in prompts:
        found = [" ".join([str(s.count), *s.colors, s.noun]) for s in parse_prompt(text, Pieces()).subjects]
        right += sum(min(wanted.count(name), found.count(name)) for name in set(wanted))
        total += max(len(wanted), len(found))
    return right / total


def test_subjects_colours_and_numbers_of_150_prompts() -> None:
    prompts = list_of("prompts_open.txt")
    assert len(prompts) >= 150
    assert objects_right(prompts) >= 0.95


@pytest.mark.parametrize("name", ["prompts_open_held_out.txt", "prompts_open_fresh.txt", "prompts_open_newest.txt"])
def test_lists_that_were_written_before_the_program_read_them(name: str) -> None:
    assert objects_right(list_of(name)) >= 0.95


@pytest.mark.parametrize(
    ("text", "nouns"),
    [
        ("a girl watches", ["girl"]),
        ("a red skis", ["skis"]),
        ("the baker is slicing bread", ["baker", "bread"]),
        ("a man is slowly eating red apples", ["man", "apples"]),
        ("they are painting a fence", ["fence"]),
        ("a barn, oil on canvas", ["barn"]),
        ("a barn and a canvas", ["barn", "canvas"]),
        ("two gulls in flight at sunset", ["gulls"]),
        ("a red sunset", ["sunset"]),
        ("the rocks rose above a rose", ["rocks", "rose"]),
        ("a cup that's blue", ["cup"]),
        ("a cozy living room", ["living room"]),
    ],
)
def test_verbs_media_and_manners_are_no_things(text: str, nouns: list[str]) -> None:
    assert [subject.noun for subject in parse_prompt(text, Pieces()).subjects] == nouns


@pytest.mark.parametrize(
    ("text", "nouns"),
    [
        ("two hot dogs and a teddy bear", ["hot dogs", "teddy bear"]),
        ("a hot cup and a dog", ["cup", "dog"]),
        ("a red traffic light", ["traffic light"]),
        ("an ice cream cone on a dining table", ["ice cream cone", "dining table"]),
    ],
)
def test_names_of_two_words_are_one_thing(text: str, nouns: list[str]) -> None:
    assert [subject.noun for subject in parse_prompt(text, Pieces()).subjects] == nouns


@pytest.mark.parametrize(
    ("word", "number"),
    [("0", None), ("1", 1), ("4096", 4096), ("4097", None), ("12345", None), ("x3", 3), ("3×", 3), ("x0", None), ("two", 2), ("²", None)],
)
def test_a_number_is_said_by_itself(word: str, number: int | None) -> None:
    assert number_of(word) == number
