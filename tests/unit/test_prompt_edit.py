"""Corrections of a prompt: overrides, and the edits behind the word chips."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from tests.text_models import CLOSED, OPEN, VOCABULARY, shape
from uncage_demo.prompt.parse import attach, check_drawable, detach, join, make_object, overrides_of, parse_prompt

TEXT = "a turtle and a pink apple"  # words: a0 turtle1 and2 a3 pink4 apple5


def test_overrides_replace_the_found_subjects() -> None:
    prompt = parse_prompt(TEXT, OPEN, [{"object": [5], "attributes": []}, {"object": [1], "attributes": [[4]]}])
    assert shape(prompt) == ["turtle: pink", "apple"]  # in text order
    assert [w.kind for w in prompt.words] == ["other", "object", "other", "other", "attribute", "object"]
    assert prompt.subjects[0].label == "pink turtle"
    assert prompt.subjects[0].colors == ("pink",)
    assert parse_prompt(TEXT, OPEN, []).subjects == ()
    assert parse_prompt(TEXT, OPEN, [{"object": [5, 4]}]).subjects[0].object == (4, 5)


@pytest.mark.parametrize("backend", [OPEN, CLOSED], ids=["open", "closed"])
@pytest.mark.parametrize(
    "text", [TEXT, "a red car and a grey bunny", "a small red car. the car is wet", "an alarm clock and a cat with blue eyes"]
)
def test_own_overrides_change_nothing(text: str, backend: Any) -> None:
    prompt = parse_prompt(text, backend)
    listed = json.loads(json.dumps(overrides_of(prompt)))
    again = parse_prompt(text, backend, listed)
    assert again.subjects == prompt.subjects
    assert again.unknown == prompt.unknown


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("x", "must be a list"),
        ({"object": [1]}, "must be a list"),
        ([[1]], r"overrides\[0\] must be"),
        ([{"attributes": []}], r"overrides\[0\] must be"),
        ([{"object": [1], "color": "red"}], r"overrides\[0\] must be"),
        ([{"object": []}], "at least one word index"),
        ([{"object": 1}], "at least one word index"),
        ([{"object": [6]}], "words 0 to 5"),
        ([{"object": [-1]}], "words 0 to 5"),
        ([{"object": [True]}], "not a word index"),
        ([{"object": ["1"]}], "not a word index"),
        ([{"object": [1], "attributes": [4]}], r"attributes\[0\] must be a list"),
        ([{"object": [1], "attributes": [[]]}], "at least one word index"),
        ([{"object": [1], "attributes": "4"}], "list of lists"),
        ([{"object": [1], "attributes": [[1]]}], "used twice"),
        ([{"object": [1]}, {"object": [5], "attributes": [[4], [4]]}], "used twice"),
        ([{"object": [1, 1]}], "used twice"),
    ],
)
def test_overrides_that_do_not_fit(overrides: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_prompt(TEXT, OPEN, overrides)


def test_make_object() -> None:
    prompt = parse_prompt("a pink apple", OPEN)
    made = make_object(prompt, 1)
    assert shape(made) == ["pink", "apple"]
    assert [w.kind for w in made.words] == ["other", "object", "object"]
    assert made.subjects[1].label == "apple"
    assert shape(prompt) == ["apple: pink"]  # the given prompt is as it was
    assert make_object(prompt, 2) == prompt
    assert shape(make_object(parse_prompt("a polar bear", OPEN), 1)) == ["polar", "bear"]


def test_attach_moves_an_attribute() -> None:
    prompt = parse_prompt(TEXT, OPEN)
    moved = attach(prompt, 4, 0)
    assert shape(moved) == ["turtle: pink", "apple"]
    assert moved.subjects[0].colors == ("pink",)
    assert attach(moved, 4, 1) == prompt


def test_attach_an_object_ends_it() -> None:
    prompt = parse_prompt(TEXT, OPEN)
    merged = attach(prompt, 5, 0)
    assert shape(merged) == ["turtle: apple"]
    assert merged.words[4].kind == "other"  # pink was the apple's
    assert shape(attach(prompt, 1, 1)) == ["apple: turtle, pink"]
    with pytest.raises(ValueError, match="cannot be its own attribute"):
        attach(prompt, 1, 0)
    with pytest.raises(ValueError, match="2 subject"):
        attach(prompt, 4, 2)
    compound = parse_prompt("a polar bear", OPEN)
    assert shape(attach(compound, 1, 0)) == ["bear: polar"]


def test_detach_and_join() -> None:
    prompt = parse_prompt(TEXT, OPEN)
    assert shape(detach(prompt, 4)) == ["turtle", "apple"]
    assert shape(detach(prompt, 5)) == ["turtle"]
    assert shape(join(prompt, 4, 1)) == ["turtle", "pink apple"]
    assert join(prompt, 5, 1) == prompt
    compound = parse_prompt("an alarm clock", OPEN)
    assert shape(detach(compound, 1)) == ["clock"]
    for edit in (make_object, detach):
        for bad in (-1, 6, True, "1"):
            with pytest.raises(ValueError, match="words 0 to 5"):
                edit(prompt, bad)  # type: ignore[arg-type]


def test_edits_under_a_closed_vocabulary() -> None:
    prompt = parse_prompt("a grey bunny and a puppy", CLOSED)
    assert [(s.noun, s.colors) for s in prompt.subjects] == [("rabbit", ("gray",))]
    moved = make_object(prompt, 5, VOCABULARY)
    assert moved.words[5].kind == "unknown"  # still a word the model cannot draw
    with pytest.raises(ValueError, match="puppy"):
        check_drawable(moved, CLOSED)
    again = attach(detach(prompt, 1, VOCABULARY), 1, 0, VOCABULARY)
    assert again.subjects == prompt.subjects
    colour_object = make_object(parse_prompt("a red car", CLOSED), 1, VOCABULARY)
    with pytest.raises(ValueError, match="cannot draw “red” as an object"):
        check_drawable(colour_object, CLOSED)
    assert check_drawable(detach(parse_prompt("a red car", CLOSED), 1), CLOSED) is None  # set free on purpose


@pytest.mark.parametrize("seed", range(8))  # more: tests/slow/test_sweeps.py
def test_random_edits_keep_a_prompt_whole(seed: int) -> None:
    """After any edits: no word twice, no empty group, subjects in text order, kinds as the subjects say."""
    rng = random.Random(seed)
    prompt = parse_prompt("a small red car and a polar bear with a dark blue hat next to a cat", OPEN)
    words = len(prompt.words)
    for _ in range(25):
        edit = rng.choice([make_object, detach, attach, join])
        word = rng.randrange(words)
        try:
            if edit in (attach, join):
                prompt = edit(prompt, word, rng.randrange(3))  # type: ignore[call-arg]
            else:
                prompt = edit(prompt, word)  # type: ignore[call-arg]
        except ValueError:
            continue
        groups = [g for s in prompt.subjects for g in s.groups]
        used = [i for g in groups for i in g]
        assert all(groups)
        assert len(used) == len(set(used))
        objects = {i for s in prompt.subjects for i in s.object}
        expected = ["object" if i in objects else "attribute" if i in used else "other" for i in range(words)]
        assert [w.kind for w in prompt.words] == expected
        assert [s.object for s in prompt.subjects] == sorted(s.object for s in prompt.subjects)
        assert parse_prompt(prompt.text, OPEN, overrides_of(prompt)).subjects == prompt.subjects
