"""Decoding on the device that the deployment has: here, or borrowed for the call on a ZeroGPU Space.

A borrowed GPU runs the call in a forked process: arguments and results travel, models are found in the slot that the fork inherits.
"""

from __future__ import annotations

import functools
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from uncage_demo import runner
from uncage_demo.decoding.config import DecodingConfig
from uncage_demo.device import borrows_gpu, on_zero_gpu
from uncage_demo.trace import Trace
from uncage_demo.types import Verdict

if TYPE_CHECKING:
    from uncage_demo.backends.base import Backend
    from uncage_demo.ui.models import ModelSlot

_SLOTS: list[ModelSlot] = []


def register(slot: ModelSlot) -> int:
    """Make a slot known to borrowed processes; returns its number."""
    _SLOTS.append(slot)
    return len(_SLOTS) - 1


def backend_of(slot: int, model: str) -> Backend:
    """The model of a slot, loaded where it is not yet."""
    return _SLOTS[slot].get(model)


@dataclass(frozen=True)
class Finished:
    """The end of a run: finished traces and what the model's own scorer says of each (None where it has none)."""

    traces: list[Trace]
    verdicts: list[Verdict | None]


def seconds_for(slot: int, model: str, runs: Sequence[Any]) -> int:
    """GPU seconds to ask for: a generous bound, because a call that takes longer is cut off. Loading counts; 20 to 300."""
    steps = sum(run.config.num_steps for run in runs)
    return round(min(300.0, 20 + 0.1 * steps if model == "embedded" else 60 + 1.0 * steps))


def branch_seconds_for(slot: int, model: str, trace: Trace, changes: dict[str, Any]) -> int:
    """As seconds_for, for one branch."""
    return seconds_for(slot, model, [runner.Run(trace.prompt, DecodingConfig.from_dict(trace.config))])


@borrows_gpu(seconds_for)
def stream(slot: int, model: str, runs: Sequence[Any]) -> Iterator[runner.Progress | Finished]:
    """runner.stream on the slot's model; the scorer reads the finished runs before the device is given back."""
    backend = _SLOTS[slot].get(model)
    for item in runner.stream(backend, runs):
        if item.traces is None:
            yield item
        else:
            yield Finished(item.traces, [backend.judge(trace, run.prompt) for trace, run in zip(item.traces, runs, strict=True)])


@borrows_gpu(branch_seconds_for)
def branch_at_once(slot: int, model: str, trace: Trace, changes: dict[str, Any]) -> Finished:
    """runner.branch on the slot's model, judged."""
    return _branched(slot, model, trace, changes)


def branch(slot: int, model: str, trace: Trace, changes: dict[str, Any]) -> Iterator[dict[str, Any] | Finished]:
    """The steps of a branch as they come, then its end. On a borrowed GPU the end alone."""
    if on_zero_gpu():
        yield branch_at_once(slot, model, trace, changes)
    else:
        yield from stepwise(functools.partial(_branched, slot, model, trace, changes))


def _branched(slot: int, model: str, trace: Trace, changes: dict[str, Any], **extra: Any) -> Finished:
    backend = _SLOTS[slot].get(model)
    made = runner.branch(backend, trace, **changes, **extra)
    return Finished([made], [backend.judge(made, made.prompt)])


def stepwise(work: Callable[..., Finished]) -> Iterator[dict[str, Any] | Finished]:
    """Run `work(on_step=...)` in a thread: its steps as they come, then its end; closing the iterator stops it at the next step."""
    news: queue.Queue[Any] = queue.Queue()
    stop = threading.Event()
    began = time.perf_counter()

    def on_step(step: int, num_steps: int, records: Any) -> None:
        if stop.is_set():
            raise runner.Cancelled
        news.put({"step": step, "num_steps": num_steps, "elapsed_s": time.perf_counter() - began})

    def run() -> None:
        try:
            news.put(work(on_step=on_step))
        except BaseException as error:  # handed over to the thread that waits
            news.put(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        while True:
            item = news.get()
            if isinstance(item, BaseException):
                raise item
            yield item
            if isinstance(item, Finished):
                return
    finally:
        stop.set()
        thread.join()
