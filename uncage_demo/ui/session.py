"""Finished traces that a visitor can still ask about: a bounded store, addressed by unguessable ids.

One process-wide store rather than per-session state, so that a branch, a download or a reconnect finds its trace by id alone.
Shipped examples are addressed as "example:<name>" and read from disk when asked for; they are never evicted.
"""

from __future__ import annotations

import secrets
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any

import numpy as np

from uncage_demo.trace.record import Trace
from uncage_demo.types import Verdict

MAX_BYTES = 768 * 2**20


@dataclass(frozen=True)
class Entry:
    """A finished run with what was said of it.

    Args:
        id: address of the run; say it to nobody but its visitor.
        trace: the run.
        verdict: the scorer's judgement or None.
        edits: the corrections of the prompt as the page keeps them ("" when there are none).
    """

    id: str
    trace: Trace
    verdict: Verdict | None = None
    edits: str = ""


def held_bytes(*values: Any) -> int:
    """Memory that values keep, in bytes: every object that they lead to, counted once; arrays with all of the memory they are views of."""
    seen: set[int] = set()
    total, left = 0, list(values)
    while left:
        value = left.pop()
        while isinstance(value, np.ndarray) and isinstance(value.base, np.ndarray):
            total += sys.getsizeof(value) if id(value) not in seen else 0
            seen.add(id(value))
            value = value.base
        if id(value) in seen:
            continue
        seen.add(id(value))
        total += sys.getsizeof(value)
        if isinstance(value, np.ndarray):
            total += 0 if value.flags.owndata else value.nbytes
        elif isinstance(value, dict):
            left += [*value.keys(), *value.values()]
        elif isinstance(value, (list, tuple, set, frozenset)):
            left += value
        elif is_dataclass(value):
            left.append(vars(value))
    return total


class TraceStore:
    """Keeps the most recently used runs within a memory bound. Safe to use from several threads.

    Args:
        max_bytes: memory of all runs with everything that they hold; the oldest runs go first, the newest one always stays.
        shipped: loads "example:<name>" ids; raises KeyError for unknown names.
    """

    def __init__(self, max_bytes: int = MAX_BYTES, shipped: Callable[[str], Entry] | None = None) -> None:
        self._max_bytes = max_bytes
        self._shipped = shipped
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._sizes: dict[str, int] = {}
        self._lock = threading.Lock()

    def add(self, trace: Trace, verdict: Verdict | None = None, edits: str = "") -> str:
        """Keep a run; returns its id."""
        identity = secrets.token_urlsafe(12)
        size_bytes = held_bytes(trace, verdict, edits)
        with self._lock:
            self._entries[identity] = Entry(identity, trace, verdict, edits)
            self._sizes[identity] = size_bytes
            while len(self._entries) > 1 and sum(self._sizes.values()) > self._max_bytes:
                oldest, _ = self._entries.popitem(last=False)
                del self._sizes[oldest]
        return identity

    def get(self, identity: Any) -> Entry:
        """The run of that id.

        Raises:
            ValueError: when it is unknown or was let go to make room.
        """
        if not isinstance(identity, str):
            raise ValueError(f"a run is addressed by its id, a string; got {type(identity).__name__}")
        if identity.startswith("example:") and self._shipped is not None:
            return self._shipped(identity.removeprefix("example:"))
        with self._lock:
            entry = self._entries.get(identity)
            if entry is not None:
                self._entries.move_to_end(identity)
                return entry
        raise ValueError("this run is no longer in memory; generate it again, or open its saved trace file")

    def get_many(self, identities: Sequence[Any]) -> list[Entry]:
        """The runs of several ids, in order."""
        return [self.get(identity) for identity in identities]

    def __len__(self) -> int:
        with self._lock:
            return len(self._entries)
