"""How many threads a computation gets: one, where the order of its sums would otherwise depend on the machine's number of cores.

What is computed on one thread leaves the other cores free: several such computations go side by side, in lanes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache, partial
from typing import TypeVar

import torch

T = TypeVar("T")


class _Here(threading.local):
    """Of the calling thread: how many threads it had before `one_thread` left it with one; None outside."""

    before: int | None = None


_here = _Here()


@contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """Inside, the calling thread computes on one core, so that sums come out the same on every number of cores.

    Convolutions on a CPU share the work out by the number of threads, and with it the order in which they add. A thread that is started
    meanwhile begins with one, too: PyTorch gives new threads the number that was set last.

    Args:
        device: where the work runs; nothing changes for one that is not a CPU.
    """
    if device.type != "cpu" or _here.before is not None:
        yield
        return
    before = _here.before = torch.get_num_threads()
    try:
        if before > 1:
            torch.set_num_threads(1)
        yield
    finally:
        _here.before = None
        if before > 1:
            torch.set_num_threads(before)


@contextmanager
def all_threads(device: torch.device) -> Iterator[None]:
    """Inside `one_thread`: as many threads as there were outside of it, for what goes as one piece. Elsewhere nothing changes.

    Args:
        device: where the work runs.
    """
    before = _here.before
    if device.type != "cpu" or before is None or before == 1:
        yield
        return
    _here.before = None
    torch.set_num_threads(before)
    try:
        yield
    finally:
        torch.set_num_threads(1)
        _here.before = before


def lanes(device: torch.device) -> int:
    """How many computations on one thread each may go side by side here: as many as the caller has threads; 1 where it is not a CPU."""
    if device.type != "cpu":
        return 1
    return torch.get_num_threads() if _here.before is None else _here.before


def in_lanes(jobs: Sequence[Callable[[], T]], device: torch.device) -> list[T]:
    """What all jobs give, in order: each computed on one thread, and as many at once as there are `lanes`.

    Args:
        jobs: at least one; inside, gradients and inference mode are as the caller has them, and there is one lane.
        device: where they compute.

    Raises:
        Whatever the first job raises that fails; the others have ended by then.
    """
    count = min(lanes(device), len(jobs))
    with one_thread(device):
        if count == 1:
            return [job() for job in jobs]
        whole, inference = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        # The caller's thread takes the first share itself; a share a lane, so that no more are busy than there are lanes.
        shares = [partial(_in_turn, jobs[lane::count], whole, inference) for lane in range(count)]
        try:
            others = [_pool().submit(share) for share in shares[1:]]
        except RuntimeError:  # the program is ending, and starts no more threads; this one goes on
            return [job() for job in jobs]
        try:
            made = [shares[0]()]
        finally:
            wait(others)
        made += [other.result() for other in others]
    return [made[i % count][i // count] for i in range(len(jobs))]


def side_by_side(compute: Callable[[torch.Tensor], torch.Tensor], batch: torch.Tensor, at_most: int) -> torch.Tensor:
    """What is computed of a batch, part by part, in lanes.

    Args:
        compute: of a part "p ..." a tensor "p ..."; its bits must not hang on what else is in the part.
        batch: "b ...", b >= 1. at_most: samples in a part.

    Returns:
        "b ...".
    """
    parts = batch.split(min(at_most, max(1, -(-len(batch) // lanes(batch.device)))))
    with one_thread(batch.device):
        return torch.cat(in_lanes([partial(compute, part) for part in parts], batch.device))


def _in_turn(jobs: Sequence[Callable[[], T]], gradients: bool, inference: bool) -> list[T]:
    """What some jobs give, one after the other, on a thread that has no other lane beside it."""
    before = _here.before
    _here.before = 1
    try:
        with torch.inference_mode(inference), torch.set_grad_enabled(gradients):  # both are a thread's own
            return [job() for job in jobs]
    finally:
        _here.before = before


@cache
def _pool() -> ThreadPoolExecutor:
    """Threads that compute on one core each; they wait for work as long as the process lives."""
    return ThreadPoolExecutor(os.cpu_count(), "lane", initializer=lambda: torch.set_num_threads(1))


if hasattr(os, "register_at_fork"):  # a forked process has none of these threads, and makes its own
    os.register_at_fork(after_in_child=_pool.cache_clear)
