"""What the server does when a visitor edits: untrusted events, joined stages, own pictures."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.late import late
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.config import DecodingConfig
from uncage_demo.editing.picture import encode_picture
from uncage_demo.player.payload import build_payload
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.runner import generate
from uncage_demo.ui.handlers import Handlers, kept_beside
from uncage_demo.ui.models import ModelSlot
from uncage_demo.ui.settings import Settings

edit, own_picture = late("uncage_demo.ui.edit"), late("uncage_demo.ui.own_picture")
TINY = EmbeddedBackend.tiny(seed=0)
PAIR = parse_prompt("a turtle and a pink apple", TINY)


@pytest.fixture(scope="module")
def handlers() -> Handlers:
    return Handlers(ModelSlot(lambda name, allow: TINY))


@pytest.fixture(scope="module")
def ids(handlers: Handlers) -> list[str]:
    configs = [DecodingConfig(order=order, num_steps=4, seed=3) for order in ("meissonic", "uncage")]
    return [handlers.store.add(trace, None, "") for trace in (generate(TINY, PAIR, config) for config in configs)]


def last(messages: Any) -> dict[str, Any]:
    return json.loads([one for one in messages if one][-1])


def asked(**event: Any) -> dict[str, Any]:
    return {"run": 0, "kind": "edit", "step": 3, "cells": [0, 1, 7], "order": "", "prompt": PAIR.text, **event}


def test_an_edit_of_the_same_prompt_joins_the_stages(handlers: Handlers, ids: list[str]) -> None:
    told = last(edit.edit_on_stage(handlers, ids, asked(run=1, order="stage")))
    assert told["ids"][:2] == ids
    assert told["edit"] == "edit"
    made = [handlers.store.get(one).trace for one in told["ids"][2:]]
    assert [t.config["order"] for t in made] == ["meissonic", "uncage"]
    parent = handlers.store.get(ids[1]).trace
    assert np.array_equal(np.delete(made[0].tokens.flat, [0, 1, 7]), np.delete(parent.tokens.flat, [0, 1, 7]))
    assert "ud.edit(backend, traces[1]" in told["python"]
    assert told["command"] is None


def test_another_prompt_stands_beside_the_run_that_it_comes_from(handlers: Handlers, ids: list[str]) -> None:
    told = last(edit.edit_on_stage(handlers, ids, asked(run=1, prompt="a turtle and a blue apple")))
    assert told["ids"][:2] == ids
    traces = [handlers.store.get(one).trace for one in told["ids"]]
    assert (traces[2].prompt.text, traces[2].origin and traces[2].origin.source) == ("a turtle and a blue apple", traces[1].id)
    assert "ud.edit(backend, traces[1]" in told["python"]
    payload = build_payload(traces)
    assert [run["prompt"] for run in payload["runs"]] == [0, 0, 1]
    assert payload["runs"][2]["source"] == 1
    assert told["step"] == 3, "where all runs are finished, though three cells take three steps"

    five = last(edit.edit_on_stage(handlers, ids, asked(run=1, prompt="a turtle and a blue apple", order="five")))
    assert five["ids"][0] == ids[1], "the run that is edited stays beside the orders"
    assert [handlers.store.get(one).trace.config["order"] for one in five["ids"][1:]] == list(edit.FIVE)
    assert "1 earlier run made room" in five["note"]
    rounds = last(edit.edit_on_stage(handlers, ids, asked(kind="remix", strength=0.3, rounds=2, prompt="a cat")))
    assert len(rounds["ids"]) == 4


@pytest.mark.parametrize(
    ("edited", "count", "room", "kept"),
    [(0, 2, 5, [0, 1]), (1, 2, 1, [1]), (3, 6, 5, [0, 1, 2, 3, 4]), (5, 6, 5, [0, 1, 2, 3, 5]), (0, 6, 0, [])],
)
def test_the_edited_run_makes_room_last(edited: int, count: int, room: int, kept: list[int]) -> None:
    assert kept_beside(edited, count, room) == kept


def test_moves_and_places(handlers: Handlers, ids: list[str]) -> None:
    moved = handlers.store.get(last(edit.edit_on_stage(handlers, ids, asked(kind="extend", shift=[0, -2])))["ids"][-1])
    assert moved.trace.origin is not None
    assert moved.trace.origin.shift == (0, -2)
    event = asked(kind="compose", regions=[{"subject": 1, "box": [0, 0, 3, 3]}], pins=[35])
    placed = handlers.store.get(last(edit.edit_on_stage(handlers, ids, event))["ids"][-1])
    assert placed.verdict is not None
    assert placed.verdict.wishes[0].label == "apple in its region"
    assert placed.trace.tokens.flat[35] == handlers.store.get(ids[0]).trace.tokens.flat[35]
    assert placed.trace.config["seed"] == 3, "the same noise as the run on stage, so that only the places differ"


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (asked(run=2), "run=2: choose one of the 2"),
        (asked(run=True), "run=True"),
        (asked(kind="paint"), "kind='paint'"),
        (asked(cells="all"), "cells='all'"),
        (asked(cells=[36]), "cell=36"),
        (asked(cells=list(range(40))), "at most 36"),
        (asked(cells=[], step=3), "nothing to draw"),
        (asked(step=9), "step=9"),
        (asked(order="best"), "order='best'"),
        (asked(prompt="x" * 3000), "3000 characters"),
        (asked(prompt="a purple zebra"), "zebra"),
        (asked(kind="extend", shift=[1]), "shift="),
        (asked(kind="extend", shift=[0, 99]), "right=99"),
        (asked(kind="remix", strength="much", rounds=1), "strength='much'"),
        (asked(kind="remix", strength=0.5, rounds=99), "rounds=99"),
        (asked(kind="compose", regions=[{"subject": 5, "box": [0, 0, 1, 1]}]), "region of object 5"),
        (asked(kind="compose", regions=[{"subject": 0, "box": [0, 0, 1]}]), "region of turtle"),
        (asked(kind="compose", regions=[{"subject": 0}]), "one box of four numbers"),
        (asked(kind="compose", regions=[], pins=[]), "nothing is pinned"),
    ],
)
def test_events_are_not_trusted(handlers: Handlers, ids: list[str], event: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(edit.edit_on_stage(handlers, ids, event))


def test_an_own_picture_comes_on_stage(handlers: Handlers, tmp_path) -> None:
    path = tmp_path / "mine.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)).save(path)
    told = last(own_picture.own_picture(handlers, str(path), PAIR.text, "", Settings("embedded", ("uncage",), {})))
    trace = handlers.store.get(told["ids"][0]).trace
    assert np.array_equal(trace.tokens, encode_picture(TINY, path).tokens)
    assert [one["name"] for one in told["own"]["pictures"]] == ["Your picture", "As tokens", "Where they differ"]
    assert any("70 × 50" in sentence for sentence in told["own"]["said"])
    again = last(edit.edit_on_stage(handlers, told["ids"], asked(step=0, cells=list(range(30)))))
    assert len(again["ids"]) == 2
    drawn = handlers.store.get(again["ids"][1]).trace
    assert len(drawn.steps) == TINY.info.default_steps, "drawn in the model's own number of steps, not in the one that read the picture"
    placed = last(edit.edit_on_stage(handlers, told["ids"], asked(kind="compose", regions=[{"subject": 0, "box": [0, 0, 3, 3]}])))
    assert len(handlers.store.get(placed["ids"][1]).trace.steps) == TINY.info.default_steps
    path.write_bytes(b"no picture")
    with pytest.raises(ValueError, match="no picture that can be read"):
        list(own_picture.own_picture(handlers, str(path), PAIR.text, "", Settings("embedded", ("uncage",), {})))
