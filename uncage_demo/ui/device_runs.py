"""Decoding on the device that the deployment has: here, or borrowed for the call on a ZeroGPU Space.

A borrowed GPU runs the call in a forked process: arguments and results travel, models are found in the slot that the fork inherits.
"""

from __future__ import annotations

import functools
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from uncage_demo import runner
from uncage_demo.device import borrows_gpu, on_zero_gpu
from uncage_demo.trace import Trace

if TYPE_CHECKING:
    from uncage_demo.ui.models import ModelSlot

_SLOTS: list[ModelSlot] = []


def register(slot: ModelSlot) -> int:
    """Make a slot known to borrowed processes; returns its number."""
    _SLOTS.append(slot)
    return len(_SLOTS) - 1


@borrows_gpu(120)
def stream(slot: int, model: str, runs: Sequence[Any]) -> Iterator[Any]:
    """runner.stream on the slot's model."""
    yield from runner.stream(_SLOTS[slot].get(model), runs)


@borrows_gpu(120)
def branch_at_once(slot: int, model: str, trace: Trace, changes: dict[str, Any]) -> Trace:
    """runner.branch on the slot's model."""
    return runner.branch(_SLOTS[slot].get(model), trace, **changes)


def branch(slot: int, model: str, trace: Trace, changes: dict[str, Any]) -> Iterator[dict[str, Any] | Trace]:
    """The steps of a branch as they come, then its trace. On a borrowed GPU the trace alone."""
    if on_zero_gpu():
        yield branch_at_once(slot, model, trace, changes)
    else:
        yield from stepwise(functools.partial(runner.branch, _SLOTS[slot].get(model), trace, **changes))


def stepwise(work: Callable[..., Trace]) -> Iterator[dict[str, Any] | Trace]:
    """Run `work(on_step=...)` in a thread: its steps as they come, then its trace; closing the iterator stops it at the next step."""
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
            if isinstance(item, Trace):
                return
    finally:
        stop.set()
        thread.join()
