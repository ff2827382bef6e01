"""What a coroutine returns, told to tests that are no coroutines themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def awaited(work: Coroutine[Any, Any, T], timeout_s: float = 120) -> T:
    """Runs a coroutine to its end in a thread of its own: a browser test before this one leaves its loop running in the main thread.

    Args:
        work: the coroutine, not yet started.
        timeout_s: longest wait, in seconds.

    Returns:
        What the coroutine returns.

    Raises:
        TimeoutError: it did not end in time.
        Exception: what the coroutine raises.
    """
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result(timeout_s)
