"""Runs of different prompts on one clock: what is the same is one, what is not is added, and nothing is mixed up."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.factories import make_prompt, make_trace
from uncage_demo.player.payload import build_payload
from uncage_demo.player.prompts import shared_prompt
from uncage_demo.render import heatmaps
from uncage_demo.trace.origin import Origin, Region
from uncage_demo.types import FoundObject, Prompt, Verdict

PINK, BLUE, OTHER = "a turtle and a pink apple", "a turtle and a blue apple", "a blue cat and a turtle"


def shared(*texts: str) -> tuple[Prompt, list[Any]]:
    return shared_prompt([make_prompt(text) for text in texts])


def numbers(packed: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed["d"]), np.dtype(packed["t"])).reshape(packed["s"])


def test_what_is_the_same_is_one_entry() -> None:
    prompt, (one, two) = shared(PINK, BLUE)
    assert [word.text for word in prompt.words] == ["a", "turtle", "and", "a", "pink", "apple", "blue"]
    assert (one.words, two.words) == ((0, 1, 2, 3, 4, 5), (0, 1, 2, 3, 6, 5))
    assert (one.subjects, two.subjects) == ((0, 1), (0, 1))
    assert [subject.label for subject in prompt.subjects] == ["turtle", "apple"], "called by its noun, as the colours differ"
    assert prompt.subjects[1].attributes == ((4,), (6,))
    assert (prompt.words[6].start, prompt.words[6].end) == (-1, -1)


def test_another_object_is_another_one_and_a_colour_belongs_to_its_noun() -> None:
    prompt, (one, two) = shared(BLUE, OTHER)
    assert [subject.label for subject in prompt.subjects] == ["turtle", "blue apple", "blue cat"]
    assert (one.subjects, two.subjects) == ((0, 1), (2, 0)), "in the order of its own prompt"
    blue = [index for index, word in enumerate(prompt.words) if word.text == "blue"]
    assert len(blue) == 2, "the apple's and the cat's are two words"
    assert two.words[-1] == one.words[1], "the turtle is the same, wherever it stands"


def test_the_same_prompt_again_is_no_other_one() -> None:
    prompt, places = shared(PINK, BLUE, PINK, BLUE)
    assert [place.number for place in places] == [0, 1, 0, 1]
    assert len(prompt.words) == 7
    alone, _ = shared(PINK, PINK)
    assert alone == make_prompt(PINK)


def test_one_prompt_alone_stays_as_it_was() -> None:
    built = build_payload([make_trace(0), make_trace(1)])
    assert "prompts" not in built
    assert all("prompt" not in run for run in built["runs"])


@pytest.fixture(scope="module")
def payload() -> dict[str, Any]:
    first, second = make_trace(0, prompt_text=BLUE), make_trace(1, prompt_text=OTHER)
    origin = Origin("edit", first.id, BLUE, regions=(Region(0, (0, 0, 4, 4)),))
    second = replace(second, origin=origin)
    seen = (FoundObject("cat", "blue", 0.9, (0, 0, 0.5, 0.5)), FoundObject("turtle", "", 0.9, (0.5, 0.5, 1, 1)))
    verdicts = [None, Verdict((True, True), (True, False), 0, False, seen)]
    findings: list[list[Any]] = [[], [{"text": "the cat", "subject": 0, "word": 1, "subjects": [0, 1]}, {"text": "nobody", "subject": -1}]]
    built = build_payload([first, second], verdicts, findings)
    json.dumps(built, allow_nan=False)
    return built | {"traces": [first, second]}


def test_every_number_of_a_run_is_that_of_the_shared_lists(payload: dict[str, Any]) -> None:
    words = [word["text"] for word in payload["prompt"]["words"]]
    objects = [subject["label"] for subject in payload["prompt"]["subjects"]]
    assert objects == ["turtle", "blue apple", "blue cat"]
    one, two = payload["runs"]
    assert [words[w] for w in two["attention"]["words"]] == OTHER.split()
    assert [words[w] for w in one["attention"]["words"]] == BLUE.split()
    assert two["verdict"]["objects_found"] == [True, None, True]
    assert two["verdict"]["colors_right"] == [False, None, True]
    assert [objects[found["subject"]] for found in two["verdict"]["detections"]] == ["blue cat", "turtle"]
    assert [objects[region["subject"]] for region in two["origin"]["regions"]] == ["blue cat"]
    told, nobody = two["findings"]
    assert (objects[told["subject"]], words[told["word"]]) == ("blue cat", "blue")
    assert [objects[o] for o in told["subjects"]] == ["blue cat", "turtle"]
    assert nobody["subject"] == -1
    assert two["source"] == 0
    assert "source" not in one
    own = payload["prompts"][1]
    assert (own["text"], own["labels"], own["subjects"]) == (OTHER, ["blue cat", "turtle"], [2, 0])
    assert "".join(OTHER[start:end] for _, start, end in own["words"]) == OTHER.replace(" ", "")


def test_curves_stand_in_the_column_of_their_object(payload: dict[str, Any]) -> None:
    one, two = payload["runs"]
    for run, trace, places in ((one, payload["traces"][0], [0, 1]), (two, payload["traces"][1], [2, 0])):
        mass = numbers(run["mass"])
        assert np.array_equal(mass[:, places], heatmaps.attention_mass(trace))
        left = [o for o in range(3) if o not in places]
        assert np.isnan(mass[:, left]).all()
        assert run["pairs"] == [[0, 1], [0, 2], [1, 2]]
        overlap = numbers(run["overlap"])
        column = run["pairs"].index(sorted(places))
        assert np.array_equal(overlap[:, [column]], heatmaps.pair_overlap(trace))
        assert np.isnan(np.delete(overlap, column, axis=1)).all()


def test_whose_words_a_cell_may_read_moves_with_the_objects() -> None:
    first, second = make_trace(0, prompt_text=BLUE), make_trace(1, prompt_text=OTHER)
    sight = np.where(np.arange(first.tokens.size) % 2, 1, 3).astype(np.uint16)  # the cat's alone, or both
    second = replace(second, steps=[replace(record, sight=sight) for record in second.steps])
    maps = build_payload([first, second])["runs"][1]["sight"]["maps"]
    assert set(maps[0]) == {1 << 2, 1 << 2 | 1 << 0}


def test_a_figure_shows_one_prompt_and_says_so() -> None:
    from uncage_demo.render.figures import heatmap_figure

    with pytest.raises(ValueError, match="2 different prompts: a figure shows runs of one prompt"):
        heatmap_figure([make_trace(0, prompt_text=BLUE), make_trace(1, prompt_text=OTHER)])
