"""Trace files that a visitor opens: several at once, archives of them, and archives that mean harm."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests import hostile_traces as hostile
from tests.factories import make_trace
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.config import DecodingConfig
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.runner import generate
from uncage_demo.trace.record import Trace, TraceFormatError
from uncage_demo.ui import opened
from uncage_demo.ui.exports import make_file
from uncage_demo.ui.handlers import Handlers
from uncage_demo.ui.models import ModelSlot
from uncage_demo.ui.opened import read_traces
from uncage_demo.ui.session import Entry

TRACE = make_trace(grid=(12, 12), steps=2)


def zipped(folder: Path, files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    path = folder / "given.zip"
    path.write_bytes(hostile.packed(files, method))
    return path


def test_a_pair_that_was_taken_away_opens_again(tmp_path: Path) -> None:
    pair = [make_trace(steps=3, order=order) for order in ("meissonic", "uncage")]
    path = make_file([Entry(str(n), trace) for n, trace in enumerate(pair)], "npz", 0, tmp_path)
    assert path.suffix == ".zip"
    assert [trace.id for trace in read_traces([path])] == [trace.id for trace in pair]
    files = sorted(tmp_path.glob("*.npz"))
    assert [trace.id for trace in read_traces(files[::-1])] == [trace.id for trace in pair], "by their names"
    assert [trace.id for trace in read_traces(files[:1])] == [pair[0].id]


def test_a_zip_made_elsewhere_opens(tmp_path: Path) -> None:
    mac = {"runs/b.npz": TRACE.to_bytes(), "runs/": b"", "__MACOSX/runs/._b.npz": b"x", "notes.txt": b"mine"}
    assert [trace.id for trace in read_traces([zipped(tmp_path, mac, zipfile.ZIP_DEFLATED)])] == [TRACE.id]


def lying(folder: Path) -> Path:
    """A member that is larger than the list of members says."""
    data = bytearray(hostile.packed({"a.npz": TRACE.to_bytes()}, zipfile.ZIP_STORED))
    at = data.rfind(b"PK\x01\x02")
    data[at + 24 : at + 28] = (100).to_bytes(4, "little")
    (folder / "lying.zip").write_bytes(data)
    return folder / "lying.zip"


REFUSED = {
    "7 trace files": lambda folder: zipped(folder, {f"{n}.npz": TRACE.to_bytes() for n in range(7)}),
    "the archive has": lambda folder: zipped(folder, {f"{n}.npz": bytes(60 << 20) for n in range(5)}, zipfile.ZIP_DEFLATED),
    "lists 40 members": lambda folder: zipped(folder, {f"{n}.npz": b"" for n in range(40)}),
    "a.npz: this is not a readable": lambda folder: zipped(folder, {"a.npz": b"no archive" * 9, "b.npz": TRACE.to_bytes()}),
    "compressed in a way": lambda folder: zipped(folder, {"a.npz": TRACE.to_bytes()}, zipfile.ZIP_LZMA),
    "not a readable trace file": lying,
    "unexpected": lambda folder: zipped(folder, {"x" * 5000 + ".txt": b""}),
    "different models": lambda folder: zipped(folder, {"a.npz": TRACE.to_bytes(), "b.npz": make_trace(grid=(8, 8), steps=1).to_bytes()}),
    f"{'y' * 56}.npz: ": lambda folder: zipped(folder, {f"../../{'y' * 56}.npz": b"", "b.npz": b""}),
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_is_no_archive_of_traces_is_refused_with_the_reason(said: str, tmp_path: Path) -> None:
    path = REFUSED[said](tmp_path)
    with pytest.raises(TraceFormatError) as caught:
        read_traces([path])
    assert said in str(caught.value)
    assert len(str(caught.value)) < 300


def test_the_runs_together_are_bounded_as_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = TRACE.to_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        size = sum(info.file_size for info in archive.infolist())
    path = zipped(tmp_path, {"a.npz": data, "b.npz": data})
    monkeypatch.setattr(opened, "MAX_CONTENT_BYTES", 2 * size)
    assert len(read_traces([path])) == 2
    monkeypatch.setattr(opened, "MAX_CONTENT_BYTES", 2 * size - 10_000)
    with pytest.raises(TraceFormatError, match=r"b\.npz: the content has"):
        read_traces([path])


@pytest.fixture(scope="module")
def drawn() -> tuple[EmbeddedBackend, Trace]:
    """A model and a finished run of it."""
    backend = EmbeddedBackend.tiny()
    return backend, generate(backend, parse_prompt("a cat on the left and a red dog at night", backend), DecodingConfig(num_steps=3))


def verdict_on_opened(backend: EmbeddedBackend, trace: Trace, folder: Path) -> object:
    """What the page keeps of a run that was opened as a file."""
    handlers = Handlers(ModelSlot(lambda name, allowed: backend))
    trace.save(folder / "run.npz")
    told, _ = handlers.open_traces([str(folder / "run.npz")])
    return handlers.store.get(json.loads(told)["ids"][0]).verdict


def test_an_opened_run_of_the_same_weights_is_judged_as_a_drawn_one(drawn: tuple[EmbeddedBackend, Trace], tmp_path: Path) -> None:
    backend, trace = drawn
    assert verdict_on_opened(backend, trace, tmp_path) == backend.judge(trace, trace.prompt)


UNJUDGED: dict[str, Callable[[Trace], Trace]] = {
    "other weights": lambda trace: replace(trace, model=replace(trace.model, weight_hash="0" * 16)),
    "another model": lambda trace: replace(trace, model=replace(trace.model, id="amused-256")),
    "not offered": lambda trace: replace(trace, model=replace(trace.model, id="mine")),
    "an age that is not kept": lambda trace: replace(trace, versions={**trace.versions, "model_options": '{"age": "1/20"}'}),
    "a picture of another size": lambda trace: replace(trace, image=trace.image[:-8], frames=None),
}


@pytest.mark.parametrize("why", UNJUDGED)
def test_other_opened_runs_are_left_unjudged(drawn: tuple[EmbeddedBackend, Trace], tmp_path: Path, why: str) -> None:
    backend, trace = drawn
    assert verdict_on_opened(backend, UNJUDGED[why](trace), tmp_path) is None


def test_to_judge_an_opened_run_no_large_model_is_let_go(drawn: tuple[EmbeddedBackend, Trace]) -> None:
    backend, _ = drawn
    slot = ModelSlot(lambda name, allowed: backend)
    assert slot.at_hand("embedded")
    slot._backends["amused-256"] = backend
    assert not slot.at_hand("embedded")
    slot._backends["embedded"] = backend
    assert slot.at_hand("embedded")
    assert not slot.at_hand("amused-512")
