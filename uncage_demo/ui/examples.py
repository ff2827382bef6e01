"""Shipped examples: finished runs that open without a model, without a queue.

assets/examples/ holds one folder-free set of trace files named "<example>.<order>.npz"; the files of one example are its stages.
An optional index.json ({"<example>": {"title": ..., "about": ..., "first": [orders]}}) names and orders them.
"""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from uncage_demo.setting import listed, shortened
from uncage_demo.shipped import EXAMPLES
from uncage_demo.trace.header import read_json
from uncage_demo.trace.record import Trace
from uncage_demo.types import Verdict
from uncage_demo.ui.live import picture_url
from uncage_demo.ui.session import Entry

log = logging.getLogger(__name__)
THUMB_PX = 72
_FIRST_ORDERS = ("meissonic", "uncage")
_VERDICT = TypeAdapter(Verdict)


@dataclass(frozen=True)
class Example:
    """One shipped example.

    Args:
        name: file stem before the order; used in ids and links.
        title, about: for people.
        files: trace files, one per stage, in the order shown.
        verdicts: file stem -> verdict as recorded when it was shipped.
    """

    name: str
    title: str
    about: str
    files: tuple[Path, ...]
    verdicts: dict[str, Any]

    @property
    def ids(self) -> list[str]:
        """Ids of the stages, as the trace store knows them."""
        return [f"example:{path.stem}" for path in self.files]


class Examples:
    """The examples of a folder. Traces are read when asked for, the last few are kept.

    Args:
        folder: where the trace files are; may be missing or empty.
    """

    def __init__(self, folder: Path = EXAMPLES, keep: int = 12) -> None:
        self._folder = folder
        self._keep = keep
        self._cache: dict[str, Entry] = {}
        self._lock = threading.Lock()

    @cached_property
    def index(self) -> dict[str, Any]:
        """Contents of index.json, or {}."""
        path = self._folder / "index.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    @cached_property
    def all(self) -> list[Example]:
        """Every example, those of the index first and in its order."""
        groups: dict[str, list[Path]] = {}
        for path in sorted(self._folder.glob("*.npz")):
            groups.setdefault(path.stem.rpartition(".")[0] or path.stem, []).append(path)
        names = [n for n in self.index if n in groups] + [n for n in groups if n not in self.index]
        return [self._example(name, groups[name]) for name in names]

    def get(self, name: str) -> Example:
        """The example of that name.

        Raises:
            ValueError: when there is none.
        """
        for example in self.all:
            if example.name == name:
                return example
        raise ValueError(f"no shipped example is called {shortened(name)}; there are: {listed(e.name for e in self.all) or 'none'}")

    def entry(self, stem: str) -> Entry:
        """The run of one file, for the trace store.

        Raises:
            ValueError: for a file that is not among the shipped ones (the stem comes from the browser).
        """
        for example in self.all:
            for path in example.files:
                if path.stem == stem:
                    return self._entry(path, example.verdicts.get(stem))
        raise ValueError(f"no shipped example is called {shortened(stem)}")

    def pictures(self) -> dict[str, str]:
        """Example -> small JPEG data URL of its last stage's finished picture; those that cannot be read are left out."""
        found = {}
        for example in self.all:
            try:
                found[example.name] = picture_url(self.entry(example.files[-1].stem).trace.image, THUMB_PX)
            except ValueError as error:
                log.warning("example %s: %s", example.name, error)
        return found

    def _entry(self, path: Path, verdict: Any) -> Entry:
        with self._lock:
            if path.stem not in self._cache:
                self._cache[path.stem] = Entry(f"example:{path.stem}", Trace.load(path), verdict_from_dict(verdict))
                while len(self._cache) > self._keep:
                    del self._cache[next(iter(self._cache))]
            return self._cache[path.stem]

    def _example(self, name: str, files: list[Path]) -> Example:
        said = self.index.get(name, {})
        first = tuple(said.get("first", _FIRST_ORDERS))

        def rank(path: Path) -> tuple[int, str]:
            order = path.stem.rpartition(".")[2]
            return (first.index(order) if order in first else len(first), order)

        return Example(
            name,
            said.get("title", name.replace("_", " ").replace("-", " ")),
            said.get("about", ""),
            tuple(sorted(files, key=rank)),
            said.get("verdicts", {}),
        )


def verdict_from_dict(data: Any) -> Verdict | None:
    """A verdict kept as JSON -> Verdict, every field of it; None stays None.

    Raises:
        ValueError: naming the field that does not fit.
    """
    return read_json(_VERDICT, json.dumps(data), "the verdict") if data else None
