"""Named steps of a long command whose results are kept in a file: a run that was killed continues where it stopped."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from uncage_demo.files import write_atomically


class Steps:
    """Runs steps, keeps what they return, prints what is done and how long it took.

    Args:
        path: a JSON file for the results; None = nothing is kept.
        key: what the results belong to (weights, settings); results of another key are dropped.
    """

    def __init__(self, path: Path | None, key: str) -> None:
        self.path, self.key = path, key
        self.done: dict[str, dict[str, Any]] = {}
        if path is not None and path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept.get("key") == key:
                self.done = kept["steps"]

    def __call__(self, name: str, work: Callable[[], Any], files: Sequence[Path] | Callable[[], Sequence[Path]] = ()) -> Any:
        """The step's result: kept from before when its files are still as it left them, else worked out now.

        Args:
            name: of the step.
            work: gives a JSON-able result.
            files: what the step writes; a function where that is only known afterwards.
        """

        def written() -> dict[str, str]:
            return file_hashes(files() if callable(files) else files)

        kept = self.done.get(name)
        if kept is not None and kept["files"] == written():
            print(f"{name}: there already ({kept['seconds_s']:.0f} s then)", flush=True)
            return kept["result"]
        print(f"{name} ...", flush=True)
        started = time.monotonic()
        result = work()
        seconds = time.monotonic() - started
        print(f"{name}: done in {seconds:.0f} s", flush=True)
        self.done[name] = {"result": result, "seconds_s": seconds, "files": written()}
        self._save()
        return result

    def _save(self) -> None:
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path, json.dumps({"key": self.key, "steps": self.done}, default=float))


def file_hashes(files: Sequence[Path]) -> dict[str, str]:
    """Name and sha256 (first 16 hex digits) of each file; "" for one that is not there."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.exists() else "" for path in files}
