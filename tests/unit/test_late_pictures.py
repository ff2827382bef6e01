"""While many wait, finished pictures come first: the pictures of the steps follow, with the bits that they always have."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("gradio")

from uncage_demo import runner
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.config import DecodingConfig
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.trace.record import Trace
from uncage_demo.ui import exports, late_pictures
from uncage_demo.ui import line as lines
from uncage_demo.ui.device_runs import Finished
from uncage_demo.ui.handlers import Handlers
from uncage_demo.ui.jobs import Job, Place
from uncage_demo.ui.line import Line
from uncage_demo.ui.models import ModelSlot
from uncage_demo.ui.runs import Made
from uncage_demo.ui.session import Entry, TraceStore
from uncage_demo.ui.settings import Settings

TINY = EmbeddedBackend.tiny(seed=0)
TEXT = "a turtle and a pink apple"
PROMPT = parse_prompt(TEXT, TINY)
CHOSEN = Settings("embedded", ("meissonic", "uncage"), {"num_steps": 3})


@pytest.fixture
def handlers() -> Handlers:
    return Handlers(ModelSlot(lambda name, allowed: TINY))


@pytest.fixture
def crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run starts while many wait."""
    monkeypatch.setattr(lines, "_CROWD", -1)


def generated(handlers: Handlers, chosen: Settings = CHOSEN) -> dict[str, Any]:
    """The message that ends Generate."""
    *_, (news, _) = handlers.generate(TEXT, "", chosen)
    return json.loads(news)


def alike(one: Trace, other: Trace) -> bool:
    assert one.frames is not None
    assert other.frames is not None
    same = np.array_equal(one.frames, other.frames) and np.array_equal(one.image, other.image)
    return same and one.id == other.id and one.versions == other.versions


def test_pictures_drawn_afterwards_are_those_drawn_on_the_way() -> None:
    runs = [runner.Run(PROMPT, DecodingConfig(order=order, num_steps=steps)) for order, steps in (("uncage", 5), ("meissonic", 3))]
    for way in ("final", "every 2"):
        bare = runner.finish(runner.stream(TINY, runs, frames=way))
        *steps, end = runner.stream_pictures(TINY, bare)
        assert [one.step for one in steps] == [0, 1, 2, 3, 4]
        assert all(alike(a, b) for a, b in zip(end.traces or [], runner.finish(runner.stream(TINY, runs)), strict=True))
    with pytest.raises(ValueError, match="0 runs: give at least one"):
        next(runner.stream_pictures(TINY, []))
    with pytest.raises(ValueError, match="only runs of the model"):
        next(runner.stream_pictures(EmbeddedBackend.tiny(seed=1), bare))


@pytest.mark.usefixtures("crowd")
def test_in_a_crowd_the_page_gets_finished_pictures_and_then_the_others(handlers: Handlers) -> None:
    first = generated(handlers)
    owed = handlers.store.get_many(first["ids"])
    assert [(entry.owed, entry.trace.frames) for entry in owed] == [(True, None)] * 2
    payload = exports.payload_function(handlers)
    told = json.loads(payload({"ids": first["ids"]}))
    assert told["owed"]
    assert told["payload"]["runs"][0]["frames"] is None
    assert "--frames" not in first["command"], "the visitor asked for all pictures"
    *waiting, last = late_pictures.answers(handlers, first["ids"])
    assert set(waiting) <= {""}
    assert json.loads(last)["ids"] == first["ids"]
    whole = runner.compare(TINY, PROMPT, CHOSEN.configs())
    assert all(alike(entry.trace, trace) for entry, trace in zip(handlers.store.get_many(first["ids"]), whole, strict=True))
    told = json.loads(payload({"ids": first["ids"]}))
    assert not told["owed"]
    assert len(told["payload"]["runs"][0]["frames"]) == 3
    assert [json.loads(said)["kind"] for said in late_pictures.answers(handlers, first["ids"])] == ["pictures"], "nothing is owed any more"


@pytest.mark.usefixtures("crowd")
def test_who_asks_for_files_branches_or_by_program_gets_whole_runs(handlers: Handlers) -> None:
    ids = generated(handlers)["ids"]
    runs = [runner.Run(PROMPT, config) for config in CHOSEN.configs()]
    *_, made = handlers.decode("embedded", runs, ["A", "B"])
    assert isinstance(made, Made)
    assert made.before
    assert not made.finished.owed
    assert all(trace.frames is not None for trace in made.finished.traces)
    assert made.ids == ids

    ids = generated(handlers, CHOSEN.with_shared(seed=1))["ids"]
    file = json.loads(exports.export_function(handlers)({"ids": ids[:1], "kind": "npz"}))
    assert Trace.from_bytes(base64.b64decode(file["data"])).frames is not None
    assert [entry.owed for entry in handlers.store.get_many(ids)] == [False, True]

    *_, last = handlers.branch(ids, {"run": 1, "step": 1, "order": "halton", "name": "branch"})
    branched = handlers.store.get(json.loads(last)["branch"]).trace
    assert branched.frames is not None
    assert len(branched.frames) == 3

    alone = CHOSEN.with_shared(seed=2)
    *_, made = handlers.decode("embedded", [runner.Run(PROMPT, alone.configs()[0])], ["A"])
    assert isinstance(made, Made)
    assert made.finished.traces[0].frames is not None, "a program's own run is made whole"
    assert not handlers.store.get(made.ids[0]).owed


@pytest.mark.usefixtures("crowd")
@pytest.mark.parametrize("frames", ["final", "every 2"])
def test_who_asked_for_fewer_pictures_gets_those(handlers: Handlers, frames: str) -> None:
    chosen = Settings("embedded", ("uncage",), {"num_steps": 3}, frames=frames)
    ids = generated(handlers, chosen)["ids"]
    list(late_pictures.answers(handlers, ids))
    (entry,) = handlers.store.get_many(ids)
    (expected,) = runner.compare(TINY, PROMPT, chosen.configs(), frames=frames)
    assert not entry.owed
    assert (entry.trace.frames is None) == (expected.frames is None)
    if entry.trace.frames is not None and expected.frames is not None:
        assert np.array_equal(entry.trace.frames, expected.frames)


def test_where_few_wait_runs_are_made_whole(handlers: Handlers) -> None:
    ids = generated(handlers)["ids"]
    assert [entry.owed for entry in handlers.store.get_many(ids)] == [False, False]
    assert all(entry.trace.frames is not None for entry in handlers.store.get_many(ids))


@pytest.mark.parametrize("wrong", [None, 3, [], ["a"] * 7, ["nowhere"], [{"a": 1}]])
def test_foreign_ids_are_a_message(handlers: Handlers, wrong: Any) -> None:
    (last,) = late_pictures.answers(handlers, wrong)
    assert json.loads(last)["problem"].startswith("The pictures of the steps could not be drawn: ")


def test_what_can_be_done_later_waits_for_everybody_and_a_crowd_gets_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_CROWD", 2)
    monkeypatch.setattr(lines, "_PATIENCE", 1)
    line, done = Line(workers=1), []

    def job(name: str, later: bool = False) -> Job:
        def way(said: str) -> Any:
            def work(runs: Any) -> Iterator[Any]:
                done.append((name, said))
                yield Finished([], [])

            return work

        hurried = None if later else way("finished pictures")
        return Job(work=way("whole"), runs=(), cost=1, grid=(2, 2), keep=lambda finished: [], hurried=hurried, later=later)

    with line._lock:  # the worker takes none before all stand in line
        visitors = [line.follow(None, lambda name=name: job(name, name == "later"), name) for name in ("later", *"ABCD")]
        assert [next(one) for one in visitors] == [Place(0, None, False), *(Place(ahead, None, False) for ahead in range(4))]
    for one in visitors:
        list(one)
    assert done == [("A", "finished pictures"), ("B", "whole"), ("C", "whole"), ("D", "whole"), ("later", "whole")]


def test_a_run_is_replaced_in_memory_and_on_disk(tmp_path: Path) -> None:
    traces = runner.compare(TINY, PROMPT, CHOSEN.configs(), frames="final")
    store = TraceStore(max_bytes=1, folder=lambda: tmp_path)
    ids = [store.add(trace, owed=True) for trace in traces]
    assert [path.stem for path in tmp_path.glob("*.run")] == ids[:1], "the first one is on disk"
    *_, end = runner.stream_pictures(TINY, traces)
    for identity, trace in zip(ids, end.traces or [], strict=True):
        store.replace(Entry(identity, trace))
    assert len(store) == 2
    assert all(alike(store.get(identity).trace, trace) for identity, trace in zip(ids, end.traces or [], strict=True))
    assert not any(store.get(identity).owed for identity in ids)
