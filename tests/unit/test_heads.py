"""Layers and heads read again from the model are those it used, and the page's function answers or says why not."""

from __future__ import annotations

import base64
import copy
import json
from dataclasses import replace

import numpy as np
import pytest

from tests.factories import make_prompt, make_trace
from tests.toy_backend import ToyBackend
from uncage_demo import runner
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.branching import attention_at, attention_of_cell, attention_to_other, branch
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.run import recorded_columns
from uncage_demo.player.head_maps import MAX_OFFLINE_BYTES, NOT_RECORDED, TOO_LARGE, packed, recorded_heads, word_rows
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.trace.record import Trace
from uncage_demo.ui.handlers import Handlers
from uncage_demo.ui.head_requests import heads_function
from uncage_demo.ui.models import ModelSlot


@pytest.fixture(scope="module")
def backend() -> ToyBackend:
    return ToyBackend()


@pytest.fixture(scope="module")
def whole(backend: ToyBackend) -> Trace:
    config = DecodingConfig(num_steps=6, seed=2, order="uncage", contrast_blur=0.0)
    return runner.generate(backend, make_prompt(), config, frames=False, full_attention=True)


def without(trace: Trace) -> Trace:
    """The same trace as visitors have it: only the mean over layers and heads."""
    plain = copy.deepcopy(trace)
    for record in plain.steps:
        record.attention_full = None
    return plain


def test_one_forward_gives_what_the_model_saw(backend: ToyBackend, whole: Trace) -> None:
    plain = without(whole)
    seen = []
    for record in whole.steps:
        full = attention_at(backend, plain, record.step)
        assert record.attention_full is not None
        np.testing.assert_allclose(full, record.attention_full, rtol=1e-5, atol=1e-7)
        np.testing.assert_array_equal(attention_at(None, whole, record.step), record.attention_full)
        seen.append(full)
    assert not np.allclose(seen[0], seen[-1])  # steps do differ


def test_a_knocked_out_word_stays_hidden(backend: ToyBackend, whole: Trace) -> None:
    plain = without(whole)
    made = branch(backend, plain, 2, suppress_word=1)
    rows = [made.columns.index(token) for token in made.prompt.words[1].tokens]
    assert attention_at(backend, made, 3)[:, :, rows].max() == 0
    assert attention_at(backend, made, 1)[:, :, rows].max() > 0
    np.testing.assert_allclose(attention_at(backend, made, 1), attention_at(backend, plain, 1))


def test_what_cannot_be_read(backend: ToyBackend, whole: Trace) -> None:
    with pytest.raises(ValueError, match="at_step=6"):
        attention_at(backend, whole, 6)
    with pytest.raises(ValueError, match="no model to read them from"):
        attention_at(None, without(whole), 0)
    with pytest.raises(ValueError, match="the model here is"):
        attention_at(backend, make_trace(), 0)


def test_the_page_asks_for_one_word(backend: ToyBackend, whole: Trace) -> None:
    handlers = Handlers(ModelSlot(lambda _name, _allowed: backend))
    ask = heads_function(handlers)
    identity = handlers.store.add(whole)
    answer = json.loads(ask({"id": identity, "step": 2, "word": 1}))["heads"]
    full = whole.steps[2].attention_full
    assert full is not None
    wanted = full[:, :, [whole.columns.index(t) for t in whole.prompt.words[1].tokens]].mean(axis=2)
    assert (answer["layers"], answer["heads"], answer["step"], answer["word"]) == (*full.shape[:2], 2, 1)
    codes = np.frombuffer(base64.b64decode(answer["codes"]["d"]), np.uint8).reshape(answer["codes"]["s"])
    np.testing.assert_allclose(answer["max"] * (codes / 255) ** 2, wanted, atol=answer["max"] / 200)
    for data, wrong in (
        (None, "one run, step and word"),
        ({"id": "x", "step": 0, "word": 0}, "no longer kept"),
        ({"id": identity, "step": 9, "word": 0}, "step=9: give a whole number from 0 to 5"),
        ({"id": identity, "step": True, "word": 0}, "step=True"),
        ({"id": identity, "step": 0, "word": 99}, "word=99"),
    ):
        assert wrong in json.loads(ask(data))["error"]
    assert handlers.slot.reading.acquire(blocking=False), "nothing is held afterwards"
    handlers.slot.reading.release()


def test_a_word_that_is_not_in_the_prompt() -> None:
    """As if the prompt went on: the same as reading a run of the longer prompt from the same cells."""
    tiny = EmbeddedBackend.tiny()
    trace = runner.generate(tiny, parse_prompt("a cat and a red car", tiny), DecodingConfig(num_steps=4, seed=2, order="meissonic"))
    maps = attention_to_other(tiny, trace, 2, "dog")
    longer = replace(trace, prompt=parse_prompt("a cat and a red car and a dog", tiny))
    longer = replace(longer, columns=recorded_columns(longer.prompt), steps=[replace(r, attention_full=None) for r in trace.steps])
    rows = [longer.columns.index(token) for token in longer.prompt.words[-1].tokens]
    np.testing.assert_allclose(maps, attention_at(tiny, longer, 2)[:, :, rows].mean(axis=2), rtol=1e-6)
    assert maps.max() > 0
    for word, wrong in (("  ", "0 characters"), ("zebra", "does not read"), ("x" * 50, "50 characters")):
        with pytest.raises(ValueError, match=wrong):
            attention_to_other(tiny, trace, 2, word)
    handlers = Handlers(ModelSlot(lambda _name, _allowed: tiny))
    answer = json.loads(heads_function(handlers)({"id": handlers.store.add(trace), "step": 2, "other": "dog"}))["heads"]
    assert (answer["word"], answer["other"], answer["layers"]) == (-1, "dog", maps.shape[0])


def test_where_a_cell_looks_in_the_picture() -> None:
    """What goes to the picture and what goes to the text are one whole: together they are 1, in every head and for every cell."""
    tiny = EmbeddedBackend.tiny()
    trace = runner.generate(tiny, parse_prompt("a cat and a red car", tiny), DecodingConfig(num_steps=4, seed=2, order="mend"))
    for step in (0, 3):  # the last one belongs to the redraw, in which cells read their own object's words
        to_text = attention_at(tiny, trace, step).sum(axis=2)
        for cell in (0, 17):
            looks = attention_of_cell(tiny, trace, step, cell)
            assert looks.shape == (2, 2, 36)
            np.testing.assert_allclose(looks.sum(axis=2) + to_text[:, :, cell], 1, atol=1e-5)
    handlers = Handlers(ModelSlot(lambda _name, _allowed: tiny))
    ask, identity = heads_function(handlers), handlers.store.add(trace)
    answer = json.loads(ask({"id": identity, "step": 3, "cell": 17}))["heads"]
    assert (answer["word"], answer["cell"], answer["heads"]) == (-1, 17, 2)
    for cell in (36, -1, "x", True):
        assert "cell=" in json.loads(ask({"id": identity, "step": 3, "cell": cell}))["error"]


def test_packed_maps_of_nothing() -> None:
    assert packed(np.zeros((2, 3, 4), np.float32), 0, 0)["max"] == 1.0


def test_a_file_takes_along_what_was_recorded_and_says_what_was_not(whole: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = recorded_heads([whole, without(whole)], ["one", "two"])
    rows = word_rows(whole, 1)
    assert {key.split()[0] for key in kept["maps"]} == {"one"}
    assert {key.split()[1] for key in kept["maps"]} == {str(step) for step in range(6)}
    full = whole.steps[3].attention_full
    assert full is not None
    assert kept["maps"]["one 3 1"] == packed(full[:, :, rows].mean(axis=2), 3, 1)
    assert recorded_heads([without(whole)], ["two"]) == {"maps": {}, "note": NOT_RECORDED}
    size = sum(len(base64.b64decode(one["codes"]["d"])) for one in kept["maps"].values())
    assert size < MAX_OFFLINE_BYTES
    monkeypatch.setattr("uncage_demo.player.head_maps.MAX_OFFLINE_BYTES", size)
    assert recorded_heads([whole], ["one"])["maps"]
    monkeypatch.setattr("uncage_demo.player.head_maps.MAX_OFFLINE_BYTES", size - 1)
    assert recorded_heads([whole], ["one"]) == {"maps": {}, "note": TOO_LARGE}
