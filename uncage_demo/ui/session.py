"""Finished traces that a visitor can still ask about: a bounded store, addressed by unguessable ids.

The last ones are in memory, older ones in files of this process: a server that has made five hundred runs is hardly larger than one that
has made fifty, and a run is remembered longer. One process-wide store rather than per-session state, so that a branch, a download or a
reconnect finds its trace by id alone. Shipped examples are addressed as "example:<name>" and read from disk when asked for; they are
never evicted.
"""

from __future__ import annotations

import logging
import pickle
import secrets
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from uncage_demo.trace.record import Trace
from uncage_demo.types import Verdict
from uncage_demo.ui import scratch

log = logging.getLogger(__name__)
# About 13 runs of the embedded model in 16 steps (2.4 MB each); from disk one is back in some milliseconds.
MAX_BYTES = 32 * 2**20
MAX_DISK_BYTES = 2 * 2**30


@dataclass(frozen=True)
class Entry:
    """A finished run with what was said of it.

    Args:
        id: address of the run; say it to nobody but its visitor.
        trace: the run.
        verdict: the scorer's judgement or None.
        edits: the corrections of the prompt as the page keeps them ("" when there are none).
        owed: whether the pictures of its steps are still to be drawn.
    """

    id: str
    trace: Trace
    verdict: Verdict | None = None
    edits: str = ""
    owed: bool = False


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
    """Keeps the most recently used runs: a few in memory, many more on disk. Safe to use from several threads.

    Args:
        max_bytes: memory of all runs with everything that they hold; the oldest ones go to disk first, the newest one always stays.
        shipped: loads "example:<name>" ids; raises KeyError for unknown names.
        max_disk_bytes: size of all files; the oldest ones go first.
        folder: makes the folder for them, once there is something to write. Only this process may have access: its files are trusted.
    """

    def __init__(
        self,
        max_bytes: int = MAX_BYTES,
        shipped: Callable[[str], Entry] | None = None,
        max_disk_bytes: int = MAX_DISK_BYTES,
        folder: Callable[[], Path] = scratch.lasting_folder,
    ) -> None:
        self._max_bytes, self._max_disk_bytes = max_bytes, max_disk_bytes
        self._shipped, self._folder = shipped, cache(folder)
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._sizes: dict[str, int] = {}
        self._leaving: dict[str, Entry] = {}  # being written
        self._files: OrderedDict[str, tuple[Path, int]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, trace: Trace, verdict: Verdict | None = None, edits: str = "", owed: bool = False) -> str:
        """Keep a run; returns its id."""
        identity = secrets.token_urlsafe(12)
        self._take(Entry(identity, trace, verdict, edits, owed), held_bytes(trace, verdict, edits))
        return identity

    def replace(self, entry: Entry) -> None:
        """Keep a run with more in it in place of the one of its id."""
        with self._lock:
            self._leaving.pop(entry.id, None)
            path, _ = self._files.pop(entry.id, (None, 0))
        if path is not None:
            path.unlink(missing_ok=True)
        self._take(entry, held_bytes(entry.trace, entry.verdict, entry.edits))

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
            if identity in self._entries:
                self._entries.move_to_end(identity)
                return self._entries[identity]
            if identity in self._leaving:
                return self._leaving[identity]
            path, _ = self._files.get(identity, (None, 0))
        entry = None if path is None else self._read(identity, path)
        if entry is None:
            raise ValueError("this run is no longer kept; generate it again, or open its saved trace file")
        self._take(entry, held_bytes(entry.trace, entry.verdict, entry.edits))
        return entry

    def get_many(self, identities: Sequence[Any]) -> list[Entry]:
        """The runs of several ids, in order."""
        return [self.get(identity) for identity in identities]

    def __len__(self) -> int:
        with self._lock:
            return len({*self._entries, *self._leaving, *self._files})

    @property
    def in_memory(self) -> int:
        """How many runs are in memory."""
        with self._lock:
            return len(self._entries)

    def _take(self, entry: Entry, size_bytes: int) -> None:
        """Keep a run in memory, and write those for which there is no room any more."""
        leaving: list[Entry] = []
        with self._lock:
            self._entries[entry.id] = entry
            self._entries.move_to_end(entry.id)
            self._sizes[entry.id] = size_bytes
            while len(self._entries) > 1 and sum(self._sizes.values()) > self._max_bytes:
                identity, oldest = self._entries.popitem(last=False)
                del self._sizes[identity]
                if identity not in self._files:
                    self._leaving[identity] = oldest
                    leaving.append(oldest)
                else:
                    self._files.move_to_end(identity)
        for one in leaving:
            self._write(one)

    def _write(self, entry: Entry) -> None:
        """Write a run that leaves memory; where the disk is full it is gone, as those are that leave the disk."""
        try:
            data = pickle.dumps(entry, protocol=5)
            path = self._folder() / f"{entry.id}.run"
            path.write_bytes(data)
        except OSError as error:
            log.warning("a run could not be kept on disk: %s", error)
            with self._lock:
                self._leaving.pop(entry.id, None)
            return
        gone: list[Path] = []
        with self._lock:
            if self._leaving.pop(entry.id, None) is not None:
                self._files[entry.id] = (path, len(data))
            while sum(size for _, size in self._files.values()) > self._max_disk_bytes:
                _, (old, _) = self._files.popitem(last=False)
                gone.append(old)
        for old in gone:
            old.unlink(missing_ok=True)

    def _read(self, identity: str, path: Path) -> Entry | None:
        """A run from disk; None where it is just being let go, or the file was removed by somebody."""
        try:
            return pickle.loads(path.read_bytes())
        except FileNotFoundError:
            with self._lock:
                self._files.pop(identity, None)
            return None
