"""Borrowing a GPU for one call on a ZeroGPU Space; everywhere else the call just runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def on_zero_gpu() -> bool:
    """True inside a Space whose GPU is lent call by call (the platform sets SPACES_ZERO_GPU there)."""
    return os.environ.get("SPACES_ZERO_GPU", "").strip().lower() in ("1", "true", "t", "yes")


def borrows_gpu(duration_s: int | Callable[..., int] = 60) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function or generator function that needs the GPU.

    Args:
        duration_s: seconds of GPU time to ask for, 1..3600, or a function of the call's arguments that returns them.

    Returns:
        A decorator: `spaces.GPU` on a ZeroGPU Space, the function itself everywhere else (so that nothing is imported for nothing).

    Raises:
        ValueError: for a duration out of range.
    """
    if isinstance(duration_s, bool) or (not callable(duration_s) and not 1 <= duration_s <= 3600):
        raise ValueError(f"duration_s={duration_s!r}: give 1 to 3600 seconds")

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        if not on_zero_gpu():
            return function
        import spaces

        lend: Any = spaces.GPU
        return lend(duration=duration_s)(function)

    return decorate
