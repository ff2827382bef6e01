"""What tests of the command line share: a small real backend in place of the shipped one, and how a command fails."""

import re
from pathlib import Path

import pytest

from tests.factories import make_trace
from tests.toy_backend import ToyBackend
from uncage_demo.cli import main as cli
from uncage_demo.types import TextToken, Verdict


class TalkingToy(ToyBackend):
    """The toy with one text token a word and a scorer that finds only cats."""

    def tokenize(self, text):
        return tuple(TextToken(m.group(), m.start(), m.end()) for m in re.finditer(r"\w+", text)), ""

    def judge(self, image, prompt):
        found = tuple("cat" in s.label for s in prompt.subjects)
        return Verdict(found, found, 1, False, (), "cat finder")


def fails(capsys, *given):
    """The one line on stderr of a command that must fail with status 2."""
    try:
        status = cli.main(list(given))
    except SystemExit as stop:
        status = stop.code
    told = capsys.readouterr().err
    assert status == 2
    assert told.count("\n") == 1
    assert "Traceback" not in told
    return told


def write_pair(folder: Path) -> list[str]:
    """Two trace files of one prompt and seed."""
    return [str(make_trace(order=order).save(folder / f"{order}.npz")) for order in ("meissonic", "uncage")]


def serve_toy(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str | None]]:
    """Put the toy in place of the models that the command line loads; the (name, device, dtype) that it is asked for, as it is asked."""
    import uncage_demo.backends

    loaded: list[tuple[str, str, str | None]] = []

    def load(name, device="cpu", dtype=None, *, download, report):
        loaded.append((name, device, dtype))
        return backend

    backend = TalkingToy()
    monkeypatch.setattr(uncage_demo.backends, "load_backend", load, raising=False)
    return loaded
