"""How many threads a computation gets: one, where the order of its sums would otherwise depend on the machine's number of cores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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
