"""What stands in the line in front of the device, and what is told of it."""

from __future__ import annotations

import contextvars
import math
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from uncage_demo.prompt.judging import counted
from uncage_demo.runner import Progress
from uncage_demo.ui.device_runs import Finished

# One request's decoding steps, all its pictures together: six orders by four seeds in 64 steps.
MAX_STEPS = 1536


def check_cost(orders: int, seeds: int, num_steps: int) -> None:
    """Refuse a request that would hold the device for too long.

    Args:
        orders, seeds: pictures asked for, orders times seeds.
        num_steps: decoding steps of each.

    Raises:
        ValueError: naming the three numbers, their product and the bound.
    """
    steps = orders * seeds * num_steps
    if steps > MAX_STEPS:
        raise ValueError(
            f"{counted(orders, 'order')} × {counted(seeds, 'seed')} × {counted(num_steps, 'step')} are {steps} decoding steps: "
            f"one request may take at most {MAX_STEPS}. Choose fewer steps, orders or seeds."
        )


@dataclass(frozen=True)
class Place:
    """Where a waiting run stands.

    Args:
        ahead: requests before it, those that run included.
        seconds: time until it has finished, from measured speed; None before anything was measured.
        full: whether so many wait that newcomers are told so.
    """

    ahead: int
    seconds: float | None
    full: bool


@dataclass(frozen=True)
class Shown:
    """A step of a run with the live pictures of its stages, now and then; otherwise None."""

    progress: Progress
    pictures: list[dict[str, Any]] | None


@dataclass(eq=False)
class Job:
    """One request, shared by everybody who asked for the same.

    Args:
        work: makes the stream of Progress and Finished of some runs; called in a worker.
        runs: what to decode; () where work knows by itself (a branch).
        cost: decoding steps.
        grid: of the model, for live pictures.
        together: jobs that agree here may be decoded together; None = alone.
        most: runs that one forward takes at most.
        shared_device: whether another worker may be busy at the same time.
        gate: held during each step, so that others who need the device come in between two steps.
        keep: puts the finished runs into the store and returns their ids.
        hurried: as work, but with the finished pictures alone: what a crowd gets first. None = every run is made whole.
        later: whether it waits until nobody else does.
    """

    work: Callable[[Sequence[Any]], Iterator[Progress | Finished]]
    runs: Sequence[Any]
    cost: int
    grid: tuple[int, int]
    keep: Callable[[Finished], list[str]]
    together: tuple[Any, ...] | None = None
    most: int = 1
    shared_device: bool = False
    gate: AbstractContextManager[Any] = field(default_factory=nullcontext)
    hurried: Callable[[Sequence[Any]], Iterator[Progress | Finished]] | None = None
    later: bool = False
    context: contextvars.Context = field(default_factory=contextvars.copy_context)
    key: Hashable = None
    waiting_for: list[Hashable] = field(default_factory=list)
    turn: float = math.inf
    overtaken: int = 0
    started: float | None = None
    latest: Shown | None = None
    changed: threading.Condition = field(default_factory=threading.Condition)
    ids: list[str] | None = None
    finished: Finished | None = None
    error: BaseException | None = None

    @property
    def over(self) -> bool:
        """Whether it has ended, well or not."""
        return self.finished is not None or self.error is not None
