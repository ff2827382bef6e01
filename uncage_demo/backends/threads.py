"""How many threads a computation gets: one, where the order of its sums would otherwise depend on the machine's number of cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from itertools import repeat

import torch


@contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """Inside, the calling thread computes on one core, so that sums come out the same on every number of cores.

    Convolutions on a CPU share the work out by the number of threads, and with it the order in which they add.

    Args:
        device: where the work runs; nothing changes for one that is not a CPU.
    """
    before = torch.get_num_threads()
    if device.type != "cpu" or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def side_by_side(compute: Callable[[torch.Tensor], torch.Tensor], batch: torch.Tensor, at_most: int) -> torch.Tensor:
    """What is computed of a batch, part by part: each part on one thread, and as many parts at once as the caller has threads.

    Args:
        compute: of a part "p ..." a tensor "p ...", without gradients; its bits must not hang on what else is in the part.
        batch: "b ...", b >= 1. at_most: samples in a part.

    Returns:
        "b ...".
    """
    lanes = torch.get_num_threads() if batch.device.type == "cpu" else 1
    parts = batch.split(min(at_most, max(1, -(-len(batch) // lanes))))
    with one_thread(batch.device):
        if lanes == 1 or len(parts) == 1:
            return torch.cat([compute(part) for part in parts])
        return torch.cat(list(_lanes().map(_without_gradients, repeat(compute), parts)))


def _without_gradients(compute: Callable[[torch.Tensor], torch.Tensor], part: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode(torch.is_inference(part)), torch.no_grad():  # both are a thread's own
        return compute(part)


@cache
def _lanes() -> ThreadPoolExecutor:
    """Threads that compute on one core each; they wait for work as long as the process lives."""
    return ThreadPoolExecutor(os.cpu_count(), "lane", initializer=lambda: torch.set_num_threads(1))
