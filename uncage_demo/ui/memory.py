"""Memory of a server that runs for long: what is free goes back to the system, and what stays is not looked through again and again.

glibc keeps freed memory, in an arena for every few threads, and a page is served by many. Measured after 28 runs for twelve visitors:
697 MB resident, 590 after giving back. Elsewhere than on glibc nothing of this happens.

Python's collector now and then looks at every object there is. A page with its libraries, result lines and a model has more than a million,
and nobody is answered meanwhile.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import time
from functools import cache
from typing import Any

# Arenas that threads share. With the usual sixteen on two cores each keeps the most that it ever needed.
ARENAS = 2
_M_ARENA_MAX = -8
_LEAST_INTERVAL_S = 2.0
_given_back_at = float("-inf")


@cache
def _libc() -> Any:
    """glibc, or None where the C library is another one."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "malloc_trim") and hasattr(library, "mallopt") else None


def share_arenas() -> bool:
    """Let all threads to come share a few arenas; returns whether that was possible. Once, before threads are started."""
    libc = _libc()
    return libc is not None and bool(libc.mallopt(_M_ARENA_MAX, ARENAS))


def give_back() -> bool:
    """Give free memory back to the system, once in a while; returns whether that was done now."""
    global _given_back_at
    libc, now = _libc(), time.monotonic()
    if libc is None or now - _given_back_at < _LEAST_INTERVAL_S:
        return False
    _given_back_at = now
    libc.malloc_trim(0)
    return True


def settle() -> None:
    """Leave what there is now out of later garbage collections; it is freed all the same when nobody refers to it any more."""
    gc.collect()
    gc.freeze()


def unsettle() -> None:
    """Let garbage collections look at everything again, before something large is let go that may refer to itself."""
    gc.unfreeze()
