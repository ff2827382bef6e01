"""Who is served when: places and times as they are told, fairness between visitors, a full line. No server, no model."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from uncage_demo.runner import Progress
from uncage_demo.ui import line as lines
from uncage_demo.ui.device_runs import Finished
from uncage_demo.ui.jobs import Job, Place, Shown
from uncage_demo.ui.line import Line
from uncage_demo.ui.messages import said_place


class Bench:
    """A line with one worker that stands still until the block is left, and jobs that note when they start."""

    def __init__(self) -> None:
        self.line, self.hold, self.busy = Line(workers=1), threading.Event(), threading.Event()
        self.started: list[str] = []
        self.line._measure(1.0, 10)

    def ask(self, name: str = "", visitor: Any = None, key: Any = None) -> Any:
        """A visitor's generator."""

        def work(runs: Any) -> Iterator[Any]:
            self.started.append(name)
            self.busy.set()
            self.hold.wait()
            yield Finished([], [])

        return self.line.follow(key, lambda: Job(work=work, runs=(), cost=10, grid=(2, 2), keep=lambda finished: []), visitor)


@contextmanager
def standing() -> Iterator[Bench]:
    """A bench whose worker is busy with a first request."""
    bench = Bench()
    first = bench.ask("first", "somebody")
    try:
        next(first)
        bench.busy.wait()
        yield bench
    finally:
        bench.hold.set()
        list(first)


def test_places_and_times_are_told_and_leaving_frees_the_place() -> None:
    with standing() as bench:
        second, third = bench.ask(), bench.ask()
        assert next(second) == Place(ahead=1, seconds=2, full=False)
        assert next(third) == Place(ahead=2, seconds=3, full=False)
        second.close()
        assert next(third) == Place(ahead=1, seconds=2, full=False)


def test_a_failed_run_is_told_to_whoever_waits_for_it() -> None:
    line = Line(workers=1)

    def work(runs: Any) -> Iterator[Any]:
        raise ValueError("as planned")
        yield

    with pytest.raises(ValueError, match="as planned"):
        list(line.follow(None, lambda: Job(work=work, runs=(), cost=10, grid=(2, 2), keep=lambda finished: [])))


def test_a_full_line_tells_how_long_and_keeps_the_visitor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "FULL", 1)
    with standing() as bench:
        bench.line._seconds_per_step = 6.0
        waiting = [bench.ask() for _ in range(2)]
        told = [next(one) for one in waiting]
        assert isinstance(told[1], Place)
        assert told[1].full
        assert (
            said_place(told[1])
            == "The line is full: 2 runs are before yours, about 3 min. Your prompt is kept, and you are let in as soon as there is room."
        )


def test_one_run_is_said_as_one() -> None:
    assert said_place(Place(1, None, False)) == "Waiting: 1 run before yours"
    assert said_place(Place(1, None, True)).startswith("The line is full: 1 run is before yours.")


def in_the_end(bench: Bench, asked: list[Any]) -> list[str]:
    """Who was served, in order."""
    for one in asked:
        next(one)
    bench.hold.set()
    for one in asked:
        list(one)
    return bench.started[1:]


def test_many_requests_of_one_visitor_do_not_keep_others_waiting() -> None:
    with standing() as bench:
        asked = [bench.ask(f"crowd {number}", "crowd") for number in range(3)]
        asked += [bench.ask("late", "late"), bench.ask("later", "later"), bench.ask("late again", "late")]
        assert in_the_end(bench, asked) == ["crowd 0", "late", "later", "crowd 1", "late again", "crowd 2"]


def test_places_are_told_as_they_will_be_served() -> None:
    with standing() as bench:
        _, second, other = (bench.ask(visitor=name) for name in ("crowd", "crowd", "other"))
        for one in (_, second, other):
            next(one)
        assert bench.line.place(bench.line._waiting[1]) == Place(ahead=3, seconds=4, full=False)
        assert bench.line.place(bench.line._waiting[2]) == Place(ahead=2, seconds=3, full=False)
        for one in (_, second, other):
            one.close()


def test_who_joins_a_request_brings_it_their_own_turn() -> None:
    with standing() as bench:
        asked = [bench.ask("crowd 0", "crowd"), bench.ask("crowd 1", "crowd"), bench.ask("shared", "crowd", key="same")]
        asked += [bench.ask("shared", "friend", key="same")]
        assert in_the_end(bench, asked) == ["crowd 0", "shared", "crowd 1"]


def test_nobody_is_overtaken_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_PATIENCE", 2)
    with standing() as bench:
        asked = [bench.ask(f"crowd {number}", "crowd") for number in range(2)]
        asked += [bench.ask(f"new {number}", f"new {number}") for number in range(4)]
        assert in_the_end(bench, asked) == ["crowd 0", "new 0", "new 1", "crowd 1", "new 2", "new 3"]


def test_a_crowd_and_who_waits_for_later_are_told_of_fewer_steps_and_of_the_end_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_CROWD_WAIT_S", "_WAIT_S", "_LONGEST_WAIT_S"):
        monkeypatch.setattr(lines, name, 3600.0)
    walk = threading.Semaphore(0)

    def work(runs: Any) -> Iterator[Any]:
        for step in range(3):
            walk.acquire()
            yield Progress(step, 3, [], 0.0)
        walk.acquire()
        yield Finished([], [])

    def told(crowd: int, later: bool = False) -> list[Any]:
        monkeypatch.setattr(lines, "_CROWD", crowd)
        line = Line(workers=1)
        items = line.follow("same", lambda: Job(work=work, runs=(), cost=3, grid=(2, 2), keep=lambda finished: [], later=later))
        found = [next(items)]
        listener = threading.Thread(target=lambda: found.extend(items))
        if later:
            listener.start()
        for _ in range(3):
            walk.release()
            if later:
                time.sleep(0.02)  # long enough to be told of a step, if anybody were
            elif crowd:
                found.append(next(items))
        walk.release()
        if later:
            listener.join()
        return [type(item) for item in (*found, *items) if item is not None]

    assert told(4).count(Shown) == 3
    for few in (told(0), told(4, later=True)):
        assert few.count(Shown) == 0
        assert few[-1] is Job
