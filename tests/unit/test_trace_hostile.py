"""Hostile traces: refused with a short reason and little memory, or opened, counted and made into every format."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from tests import hostile_traces as hostile
from tests.factories import make_trace
from tests.fuzz_traces import run
from uncage_demo.trace.check import MAX_SUBJECTS
from uncage_demo.trace.file import load_trace
from uncage_demo.trace.lineage import Edits, Lineage
from uncage_demo.trace.record import Trace, TraceFormatError
from uncage_demo.ui.examples import verdict_from_dict
from uncage_demo.ui.session import TraceStore, held_bytes

REFUSED = {
    hostile.repeated_subject: "400 subjects: at most 16",
    hostile.malformed_array_header: "scores has an array header",
    hostile.huge_number: "guidance_scale",
    hostile.no_columns: "attention is recorded for 0 text columns",
    hostile.large_codebook: "codebook_size=70000: 1..65536",
}


@pytest.mark.parametrize("make", REFUSED, ids=lambda make: make.__name__)
def test_refused_with_the_reason(make) -> None:
    with pytest.raises(TraceFormatError) as caught:
        Trace.from_bytes(make())
    assert REFUSED[make] in str(caught.value)
    assert len(str(caught.value)) < 300


def small_bomb() -> bytes:
    """64 MB of zeros in attention, of a shape that does not fit."""
    members = hostile.unpacked(make_trace(grid=(12, 12), steps=1).to_bytes())
    return hostile.packed({**members, "attention.npy": hostile.npy(np.zeros((1, 9, 144 * 13_000), np.float32))})


def fitting_bomb() -> bytes:
    """74 MB of frames that fit, and a wrong value in another array."""
    members = hostile.unpacked(make_trace(grid=(12, 12), steps=8).to_bytes())
    members["image.npy"] = hostile.npy(np.zeros((1280, 2400, 3), np.uint8))
    members["frames.npy"] = hostile.npy(np.zeros((8, 1280, 2400, 3), np.uint8))
    return hostile.packed({**members, "entropy.npy": hostile.npy(np.full((8, 144), -5, np.float32))})


def nested() -> bytes:
    return hostile.nested_lineage(400_000)


# Larger ones: tests/slow/test_sweeps.py.
@pytest.mark.parametrize("make", [nested])
def test_what_is_refused_takes_little_memory(make) -> None:
    data = make()
    tracemalloc.start()
    try:
        with pytest.raises(TraceFormatError):
            Trace.from_bytes(data)
        assert tracemalloc.get_traced_memory()[1] < 24 << 20
    finally:
        tracemalloc.stop()


def test_what_is_opened_is_in_memory_once(tmp_path) -> None:
    trace = make_trace(grid=(12, 12), steps=4, image_px=768)
    content = held_bytes(trace)
    data = trace.to_bytes()
    tracemalloc.start()
    try:
        Trace.from_bytes(data)
        assert tracemalloc.get_traced_memory()[1] < 1.3 * content + (10 << 20)
    finally:
        tracemalloc.stop()
    path = trace.save(tmp_path / "run.npz")
    with pytest.raises(TraceFormatError, match="at most 1000000"):
        load_trace(path, max_bytes=1_000_000)


def test_an_invalid_trace_cannot_be_saved_as_a_file_that_is_refused() -> None:
    trace = make_trace(grid=(6, 6), steps=2, image_px=48)
    trace.versions = {"numpy": 2}  # type: ignore[dict-item]
    with pytest.raises((TraceFormatError, TypeError)):
        trace.to_bytes()
    trace.versions = {}
    trace.created = 7  # type: ignore[assignment]
    with pytest.raises((TraceFormatError, TypeError)):
        trace.to_bytes()


def test_mutants_are_refused_or_shown() -> None:
    """2000 of them: tests/slow/test_mutants.py."""
    found = run(120, seed=1)
    assert sum(found.values()) == 120
    assert found["opened"] >= 1
    assert found["refused"] >= 60


def test_the_store_counts_everything_that_a_run_holds() -> None:
    bare, full = make_trace(grid=(6, 6), steps=2, image_px=48), make_trace(grid=(6, 6), steps=2, image_px=48)
    edits = Edits(tuple(range(1000, 31_000)), (), (), None)
    full.lineage = Lineage("a", 1, edits, {}, (Lineage("b", 0, Edits((), tuple(range(40_000, 70_000)), (), None), {}),))
    assert held_bytes(full) - held_bytes(bare) > 60_000 * (8 + 28)
    arrays = sum(value.nbytes for step in bare.steps for value in vars(step).values() if isinstance(value, np.ndarray))
    arrays += bare.image.nbytes + (0 if bare.frames is None else bare.frames.nbytes) + bare.tokens.nbytes + bare.unmask_step.nbytes
    assert arrays < held_bytes(bare) < arrays + 200_000
    # the part of a larger array keeps all of it
    bare.image = np.zeros((4, 48, 48, 3), np.uint8)[0]
    assert held_bytes(bare) > arrays + 3 * 48 * 48 * 3
    store = TraceStore(max_bytes=held_bytes(full) + 1000, max_disk_bytes=0)
    first = store.add(full)
    store.add(full)
    with pytest.raises(ValueError, match="no longer kept"):
        store.get(first)


def test_a_verdict_keeps_every_field() -> None:
    said = {
        "objects_found": [True],
        "colors_right": [False],
        "extra_objects": 1,
        "all_correct": False,
        "detections": [{"noun": "cat", "color": "", "score": 0.5, "box": [0.0, 0.25, 0.5, 1.0], "rival": "dog"}],
        "scorer": "s",
        "wishes": [{"kind": "place", "label": "night", "met": True}],
    }
    verdict = verdict_from_dict(said)
    assert verdict is not None
    assert verdict.detections[0].rival == "dog"
    assert verdict.detections[0].box == (0.0, 0.25, 0.5, 1.0)
    assert verdict.wishes[0].kind == "place"
    assert verdict_from_dict(None) is None
    with pytest.raises(ValueError, match=r"detections\.0\.score is 'high'"):
        verdict_from_dict({**said, "detections": [{**said["detections"][0], "score": "high"}]})


def test_as_many_subjects_as_are_allowed() -> None:
    assert len(Trace.from_bytes(hostile.many_subjects(MAX_SUBJECTS)).prompt.subjects) == MAX_SUBJECTS
