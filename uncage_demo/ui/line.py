"""The line in front of the device: equal requests share one run, small ones go together where that is exact, everybody sees their place.

A visitor's handler holds a Ticket and waits in its own thread, a second or a few at a time, so that it can be cancelled while it waits.
The runs themselves happen in a few worker threads of this process. Nothing here knows of Gradio.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

from cachetools import LRUCache

from uncage_demo.ui import live, memory
from uncage_demo.ui.device_runs import Finished
from uncage_demo.ui.jobs import Job, Place, Shown

log = logging.getLogger(__name__)
# Runs that wait before newcomers are told that the line is full. They keep their place all the same.
FULL = 64
_WAIT_S = 1.0
_FAR = 8  # who has so many before them is told half as often, and so on
_LONGEST_WAIT_S = 4.0
_CROWD = 4  # where more than so many wait, finished pictures go before those of the steps, and steps are told no more often than this:
_CROWD_WAIT_S = 0.5
_REMEMBERED = 512
# How long one thread may keep the interpreter: with Python's 5 ms, decoding stood still while another visitor's payload was written.
_SWITCH_S = 0.0005
_PATIENCE = 20  # a request that so many later ones went before waits for no other visitor any more
_SPEED_MEMORY = 0.7  # weight of what was measured before against the latest run


def workers_here() -> int:
    """How many runs of a small model go side by side: one per core of the CPU, 1 to 4."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(4, cores))


class Line:
    """First come, first served, on a few workers; but everybody's first request goes before anybody's second.

    Args:
        workers: threads that decode.
        exact: whether batches of a job's model were found exact so far; asked before jobs are put together.
    """

    def __init__(self, workers: int | None = None, exact: Callable[[Job], bool] = lambda job: True) -> None:
        self.workers = workers or workers_here()
        self.exact = exact
        self._made: LRUCache[Hashable, list[str]] = LRUCache(_REMEMBERED)
        self._lock = threading.RLock()
        self._work_there = threading.Condition(self._lock)
        self._waiting: list[Job] = []
        self._running: list[Job] = []
        self._round = 0
        self._turns: LRUCache[Hashable, int] = LRUCache(_REMEMBERED)
        self._threads = 0
        self._idle = 0
        self._seconds_per_step: float | None = None

    # -- visitors ---------------------------------------------------------------------------------------------------------

    def remembered(self, key: Hashable) -> list[str] | None:
        """Ids of the runs that an equal request gave, as far as they are remembered."""
        with self._lock:
            return self._made.get(key)

    def follow(self, key: Hashable, make: Callable[[], Job], visitor: Hashable = None) -> Generator[Place | Shown | Job | None]:
        """Join the line, or a request in it that is equal, and tell what happens.

        Args:
            key: equal keys share one run; None = never shared.
            make: the job, if there is none of that key yet.
            visitor: who asks; None = nobody known, who is taken for a visitor of their own.

        Yields:
            Places while waiting, then steps, then the finished job; None where there is nothing new: once a second, every four far back.
            Of what can be done later nobody is told more than that, every four seconds.

        Raises:
            Exception: whatever ended the run.
        """
        with self._lock:
            job = next((j for j in (*self._running, *self._waiting) if key is not None and j.key == key and not j.over), None)
            if job is None:
                job = make()
                job.key, job.changed = key, threading.Condition(self._lock)
                self._waiting.append(job)
                self._start_worker()
            job.waiting_for.append(visitor)
            job.turn = min(self._turn_of(visitor), job.turn)
        try:
            yield from self._told(job)
        finally:
            with self._lock:
                job.waiting_for.remove(visitor)
                if not job.waiting_for and job in self._waiting:
                    self._waiting.remove(job)

    def _told(self, job: Job) -> Iterator[Place | Shown | Job | None]:
        place: Place | None = None
        seen: Shown | None = None
        said_at = -math.inf
        while True:
            with self._lock:
                self._wait_for_news(job, seen, said_at)
                now, over, latest = self._place(job), job.over, job.latest
            said_at = time.perf_counter()
            if over:
                if job.error is not None:
                    raise job.error
                yield job
                return
            if latest is not None and latest is not seen:
                seen = latest
                yield latest
            elif now is not None and now != place:
                place = now
                yield now
            else:
                yield None

    def _wait_for_news(self, job: Job, seen: Shown | None, said_at: float) -> None:
        """Until the job has ended, or made a step that may be told already, or something must be said again.

        Every message costs some milliseconds of the processor that decodes, so a crowd is told less often.
        """
        place = self._place(job)
        crowd = self._crowded or len(job.waiting_for) > _CROWD
        may = said_at + (_CROWD_WAIT_S if crowd else 0.0)
        far = (place.ahead if place else 0) / _FAR
        must = said_at + (_LONGEST_WAIT_S if job.later else min(_LONGEST_WAIT_S, _WAIT_S * (1 + far)))
        while not job.over:
            at = must if job.later or job.latest is seen else min(may, must)
            left = at - time.perf_counter()
            if left <= 0:
                return
            job.changed.wait(left)

    def place(self, job: Job) -> Place | None:
        """Where a job stands; None when it runs or has ended."""
        with self._lock:
            return self._place(job)

    def _place(self, job: Job) -> Place | None:
        if job not in self._waiting:
            return None
        before = self._in_turn()
        number = before.index(job)
        seconds = None
        if self._seconds_per_step is not None:
            left = sum(self._left(j) for j in self._running) + sum(j.cost for j in before[:number])
            seconds = float(round((left / self.workers + job.cost) * self._seconds_per_step))
        return Place(len(self._running) + number, seconds, number >= FULL)

    @property
    def busy(self) -> bool:
        """Whether somebody's run is being decoded or waits for it."""
        with self._lock:
            return bool(self._running or self._waiting)

    @property
    def _crowded(self) -> bool:
        """Whether many wait for their finished pictures."""
        return sum(not job.later for job in self._waiting) > _CROWD

    def _turn_of(self, visitor: Hashable) -> int:
        """The round in which a visitor's next request is served: one after that of their request before, and none that is over."""
        turn = self._round if visitor is None else max(self._round, self._turns.get(visitor, -1) + 1)
        if visitor is not None:
            self._turns[visitor] = turn
        return turn

    def _in_turn(self) -> list[Job]:
        """Who waits, in the order in which they start: by rounds, then by arrival; who was overtaken often enough comes first.

        What can be done later comes last.
        """
        return sorted(self._waiting, key=lambda job: (job.later, -1 if job.overtaken >= _PATIENCE else job.turn))

    @staticmethod
    def _left(job: Job) -> float:
        if job.latest is None:
            return job.cost
        progress = job.latest.progress
        return job.cost * max(0.0, 1 - (progress.step + 1) / progress.num_steps)

    # -- workers ----------------------------------------------------------------------------------------------------------

    def _start_worker(self) -> None:
        if self._idle == 0 and self._threads < self.workers:
            self._threads += 1
            sys.setswitchinterval(_SWITCH_S)
            threading.Thread(target=self._work, name=f"uncage-device-{self._threads}", daemon=True).start()
        self._work_there.notify_all()

    def _next(self) -> list[Job]:
        """The jobs that start now, taken from the line; [] when none may."""
        if not self._waiting:
            return []
        waiting = self._in_turn()
        first = waiting[0]
        if self._running and not (first.shared_device and all(j.shared_device for j in self._running)):
            return []
        chosen = [first]
        if first.together is not None and self.exact(first):
            # no more than this worker's share: two workers with four each are faster than one with eight
            share = -(-len(waiting) // self.workers)
            for job in waiting[1:]:
                if len(chosen) < share and job.together == first.together and sum(len(j.runs) for j in (*chosen, job)) <= first.most:
                    chosen.append(job)
        latest = max(self._waiting.index(job) for job in chosen)
        for job in self._waiting[:latest]:
            job.overtaken += job not in chosen
        if first.overtaken < _PATIENCE:
            self._round = max(self._round, int(first.turn))
        for job in chosen:
            self._waiting.remove(job)
            self._running.append(job)
            job.started = time.perf_counter()
        return chosen

    def _work(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
                while not (jobs := self._next()):
                    self._work_there.wait()
                self._idle -= 1
                if self._waiting:
                    self._start_worker()
            try:
                jobs[0].context.run(self._decode, jobs)
            except BaseException as error:  # the visitors are told; the worker lives on
                self._fail(jobs, error)
            with self._lock:
                for job in jobs:
                    self._running.remove(job)
                    if job.key is not None and job.ids is not None:
                        self._made[job.key] = job.ids
                    job.changed.notify_all()
                self._work_there.notify_all()
            del jobs
            memory.give_back()

    def _decode(self, jobs: Sequence[Job]) -> None:
        """Decode some jobs in lockstep; stops at the next step when nobody waits for any of them."""
        import torch

        first = jobs[0]
        if first.shared_device:  # a small model: the cores are shared out among the workers, and bits do not depend on their number
            torch.set_num_threads(1)
        runs = [run for job in jobs for run in job.runs]
        with self._lock:
            hurried = [job.hurried for job in jobs if job.hurried is not None] if self._crowded else []
        hurry = len(hurried) == len(jobs)
        began = time.perf_counter()
        stream = hurried[0](runs) if hurry else first.work(runs)
        shown = live.with_pictures(
            stream, first.grid, live.MANY_PX if max(len(job.runs) for job in jobs) > live.MOST_LARGE else live.LIVE_PX
        )
        try:
            for item, pictures in _gated(shown, first.gate):
                if isinstance(item, Finished):
                    if not first.later:
                        self._measure(time.perf_counter() - began, sum(job.cost for job in jobs))
                    self._hand_out(jobs, replace(item, owed=hurry))
                    return
                with self._lock:
                    for job, part in zip(jobs, _parts(jobs, len(item.records)), strict=True):
                        frames = None if item.frames is None else item.frames[part]
                        progress = replace(item, records=item.records[part], frames=frames)
                        job.latest = Shown(progress, None if pictures is None else pictures[part])
                        job.changed.notify_all()
                    if not any(job.waiting_for for job in jobs):
                        # said under the lock, so that nobody joins a run that is about to end
                        self._fail(jobs, InterruptedError("everybody who waited for this run has left"))
                        return
        finally:
            close = getattr(stream, "close", None)
            if close is not None:
                close()

    def _fail(self, jobs: Sequence[Job], error: BaseException) -> None:
        with self._lock:
            for job in jobs:
                if not job.over:
                    job.error = error

    def _hand_out(self, jobs: Sequence[Job], end: Finished) -> None:
        for job, part in zip(jobs, _parts(jobs, len(end.traces)), strict=True):
            own = replace(end, traces=end.traces[part], verdicts=end.verdicts[part])
            job.ids = job.keep(own)
            job.finished = own

    def _measure(self, seconds: float, cost: int) -> None:
        latest = seconds / max(1, cost)
        with self._lock:
            before = self._seconds_per_step
            self._seconds_per_step = latest if before is None else _SPEED_MEMORY * before + (1 - _SPEED_MEMORY) * latest


def _gated(items: Iterator[Any], gate: AbstractContextManager[Any]) -> Iterator[Any]:
    """The items, each made while the gate is held."""
    while True:
        with gate:
            item = next(items, None)
        if item is None:
            return
        yield item
        if not isinstance(gate, nullcontext):
            time.sleep(0.001)  # who waits at the gate gets through before the next step takes it again


def _parts(jobs: Sequence[Job], count: int) -> list[slice]:
    """Which of the runs decoded together are whose."""
    if len(jobs) == 1:
        return [slice(0, count)]
    ends = [sum(len(job.runs) for job in jobs[: number + 1]) for number in range(len(jobs))]
    return [slice(end - len(job.runs), end) for job, end in zip(jobs, ends, strict=True)]
