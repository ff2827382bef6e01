"""Trace files: exact round trips."""

import io
import json
import time
import zipfile
import zlib
from dataclasses import replace

import numpy as np
import pytest

from tests.factories import make_trace
from tests.trace_files import DATA, TRACE, assert_equal, assert_same_array, packed, read_header
from uncage_demo.shipped import EXAMPLES
from uncage_demo.trace import layout
from uncage_demo.trace.header import header_of, write_header
from uncage_demo.trace.record import Trace, TraceFormatError


def test_round_trip_is_exact_and_the_same_trace_gives_the_same_bytes() -> None:
    loaded = Trace.from_bytes(DATA)
    assert_equal(loaded, TRACE)
    assert loaded.id == TRACE.id
    assert loaded.to_bytes() == DATA


def test_the_clock_does_not_reach_the_bytes(monkeypatch) -> None:
    """A zip's times have 2 seconds; a clock that is a year ahead shows whether one of them is the time of writing."""
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 366 * 86400)
    monkeypatch.setattr(time, "localtime", lambda seconds=None: time.gmtime(now + 366 * 86400))
    assert make_trace(grid=(6, 6), steps=5, image_px=48).to_bytes() == DATA
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a", b"")
    assert archive.infolist()[0].date_time[0] == time.gmtime(now).tm_year + 1  # the clock that zipfile reads is the changed one


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.npz")), ids=lambda path: path.stem)
def test_shipped_files_open_bit_for_bit(path) -> None:
    """Every array and header value as numpy and json read them, without a line of the trace room."""
    trace, stored = Trace.load(path), np.load(path)
    header = json.loads(stored["header"].tobytes())
    again = json.loads(write_header(header_of(trace, header["present"])))
    for subject in header["prompt"]["subjects"]:
        subject.setdefault("count", 1)
    # What came after these files, as it was for their model.
    header["prompt"].setdefault("given", "")
    later = {"default_negative_prompt": "", "default_noise_temperature": [1.0, 0.01], "default_schedule": "cosine"}
    header["model"] = {**later, **header["model"]}
    # How the pictures are packed is a note of the file, not of the trace.
    header["versions"].pop("frames.npy", None)
    assert again == header
    for name in ("tokens", "unmask_step", "image"):
        assert_same_array(getattr(trace, name), stored[name])
    for name in (*layout.STEP_ARRAYS, *header["present"]):
        places = header["present"].get(name, range(len(trace.steps)))
        assert_same_array(np.stack([getattr(trace.steps[place], name) for place in places]), stored[name])
    if "frames" in stored:
        assert trace.frames is not None
        assert_same_array(trace.frames, np.cumsum(stored["frames"], axis=0, dtype=np.uint8))
    assert_same_array(np.stack([trace.token_pictures[i] for i in stored["picture_ids"].tolist()]), stored["pictures"])


def test_the_header_says_how_frames_are_stored() -> None:
    assert "modulo 256" in read_header()["versions"]["frames.npy"]
    assert "frames.npy" not in TRACE.versions
    assert "frames.npy" not in Trace.from_bytes(DATA).versions


def test_a_list_of_members_is_bounded_before_it_is_read() -> None:
    many = packed({f"{number}": b"" for number in range(5000)})
    with pytest.raises(TraceFormatError, match="5000 members"):
        Trace.from_bytes(many)


def test_saving_to_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch) -> None:
    path = TRACE.save(tmp_path / "run.npz")

    def half(self, data):
        with self.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", half)
    with pytest.raises(OSError, match="No space"):
        make_trace(seed=1, grid=(6, 6), steps=5, image_px=48).save(path)
    assert path.read_bytes() == DATA
    assert [p.name for p in tmp_path.iterdir()] == ["run.npz"]


@pytest.mark.parametrize("left_out", ["frames", "attention", "alternatives"])
def test_round_trip_without_optional_parts(left_out: str) -> None:
    trace = make_trace(grid=(6, 6), steps=5, image_px=48, frames=left_out != "frames", attention=left_out != "attention")
    if left_out == "alternatives":
        trace.token_pictures = {}
        for r in trace.steps:
            r.alternatives = r.alternative_probs = r.entropy = None
    assert_equal(Trace.from_bytes(trace.to_bytes()), trace)


def test_arrays_of_some_steps_only_come_back_at_those_steps() -> None:
    trace = make_trace(grid=(6, 6), steps=5, image_px=48)
    trace.steps[1].attention = trace.steps[4].attention = None
    attention = trace.steps[2].attention
    assert attention is not None
    trace.steps[2].attention_full = np.repeat(attention[None], 6, 0).reshape(3, 2, *attention.shape)
    loaded = Trace.from_bytes(trace.to_bytes())
    assert [r.attention is None for r in loaded.steps] == [False, True, False, False, True]
    assert [r.attention_full is None for r in loaded.steps] == [True, True, False, True, True]
    assert_equal(loaded, trace)


def test_files(tmp_path) -> None:
    path = TRACE.save(tmp_path / "run.npz")
    assert_equal(Trace.load(path), TRACE)
    assert len(TRACE.to_bytes(frames=False)) < len(DATA)
    assert Trace.from_bytes(TRACE.to_bytes(frames=False)).frames is None
    with pytest.raises(FileNotFoundError):
        Trace.load(tmp_path / "none.npz")


def test_numpy_reads_the_arrays_without_pickle() -> None:
    with np.load(io.BytesIO(DATA), allow_pickle=False) as archive:
        assert np.array_equal(archive["tokens"], TRACE.tokens)
        assert np.array_equal(archive["scores"], np.stack([r.scores for r in TRACE.steps]))


def test_text_of_any_script_survives() -> None:
    text = 'turtle <b>"quoted"</b> 🐢 черепаха \u202e'
    prompt = replace(make_trace(grid=(6, 6), steps=5, image_px=48, prompt_text="a turtle").prompt, truncated=text)
    trace = make_trace(grid=(6, 6), steps=5, image_px=48, prompt_text="a turtle")
    trace.prompt = prompt
    assert Trace.from_bytes(trace.to_bytes()).prompt.truncated == text


def test_id_depends_on_what_was_decoded_only() -> None:
    other = make_trace(grid=(6, 6), steps=5, image_px=48)
    other.created, other.timings_s = "later", {}
    assert other.id == TRACE.id
    assert make_trace(seed=1, grid=(6, 6), steps=5, image_px=48).id != TRACE.id


def test_a_file_is_packed_at_the_level_that_was_chosen() -> None:
    """A member's own ZipInfo once hid the level: three times the time for 3 % of the size."""
    trace = make_trace(0)
    with zipfile.ZipFile(io.BytesIO(trace.to_bytes())) as archive:
        for info in archive.infolist():
            packer = zlib.compressobj(3, zlib.DEFLATED, -15)
            assert info.compress_size == len(packer.compress(archive.read(info)) + packer.flush()), info.filename
