"""Trace files: exact round trips, and hostile or damaged files refused with a reason."""

import io
import json
import time
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from tests.factories import make_trace
from uncage_demo.shipped import EXAMPLES
from uncage_demo.trace import file as trace_io
from uncage_demo.trace import header as trace_header
from uncage_demo.trace import layout
from uncage_demo.trace.header import header_of, write_header
from uncage_demo.trace.lineage import lineage_json
from uncage_demo.trace.record import Trace, TraceFormatError

TRACE = make_trace(grid=(6, 6), steps=5, image_px=48)
DATA = TRACE.to_bytes()


def members(data: bytes = DATA) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def packed(content: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, body in content.items():
            archive.writestr(name, body)
    return buffer.getvalue()


def array(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, values, version=(1, 0), allow_pickle=values.dtype == object)
    return buffer.getvalue()


def with_array(name: str, values: np.ndarray) -> bytes:
    return packed({**members(), f"{name}.npy": array(values)})


def read_header() -> dict:
    return json.loads(np.load(io.BytesIO(members()["header.npy"])).tobytes())


def with_header(**changes) -> bytes:
    text = json.dumps({**read_header(), **changes}).encode()
    return with_array("header", np.frombuffer(text, np.uint8))


def assert_equal(one: Trace, other: Trace) -> None:
    for name in ("prompt", "config", "model", "columns", "lineage", "timings_s", "versions", "created"):
        assert getattr(one, name) == getattr(other, name), name
    for name in ("tokens", "unmask_step", "image", "frames"):
        assert_same_array(getattr(one, name), getattr(other, name))
    assert one.token_pictures.keys() == other.token_pictures.keys()
    for token, picture in one.token_pictures.items():
        assert_same_array(picture, other.token_pictures[token])
    assert len(one.steps) == len(other.steps)
    for a, b in zip(one.steps, other.steps, strict=True):
        for name, value in vars(a).items():
            if isinstance(value, np.ndarray):
                assert_same_array(value, getattr(b, name))
            else:
                assert value == getattr(b, name), name


def assert_same_array(one: np.ndarray | None, other: np.ndarray | None) -> None:
    if one is None or other is None:
        assert one is other
    else:
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)


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


def test_large_arrays_are_looked_through_before_they_are_kept(monkeypatch) -> None:
    monkeypatch.setattr(trace_io, "_LOOK_THROUGH_BYTES", 0)
    monkeypatch.setattr(trace_io, "_PIECE_BYTES", 64)
    assert_equal(Trace.from_bytes(DATA), TRACE)
    kept: list[str] = []
    unpack = trace_io._unpack

    def counted(archive, member, check=None, keep=True):
        kept.extend([member.name] * keep)
        return unpack(archive, member, check, keep)

    monkeypatch.setattr(trace_io, "_unpack", counted)
    with pytest.raises(TraceFormatError, match="entropy has a minimum"):
        Trace.from_bytes(with_array("entropy", poked("entropy", (4, 35), -5.0)))
    assert not {"frames", "attention", "entropy", "pictures"} & set(kept)


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


@pytest.mark.parametrize("data", [b"", b"not a zip", DATA[:-40], DATA[: len(DATA) // 2], b"PK\x03\x04" + bytes(100)])
def test_what_is_no_trace_file_is_refused(data: bytes) -> None:
    with pytest.raises(TraceFormatError):
        Trace.from_bytes(data)


def test_a_flipped_byte_never_gives_another_exception() -> None:
    for place in range(0, len(DATA), max(1, len(DATA) // 150)):
        broken = bytearray(DATA)
        broken[place] ^= 0x41
        try:
            Trace.from_bytes(bytes(broken))
        except TraceFormatError:
            continue


def test_pickled_arrays_are_never_unpickled(tmp_path) -> None:
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    with pytest.raises(TraceFormatError, match="tokens is object"):
        Trace.from_bytes(with_array("tokens", np.array([[Trap()]], object)))
    assert not (tmp_path / "sprung").exists()


def test_a_zip_bomb_is_refused_by_its_declared_size(monkeypatch) -> None:
    bomb = packed({**members(), "frames.npy": bytes(3 << 20)})
    monkeypatch.setattr(layout, "MAX_CONTENT_BYTES", 1 << 20)
    with pytest.raises(TraceFormatError, match="the content has"):
        Trace.from_bytes(bomb)


def test_a_shape_that_claims_more_than_the_member_holds_takes_no_memory() -> None:
    body = array(np.zeros((2, 2), np.float32)).replace(b"(2, 2)", b"(90000, 90000)").replace(b" " * 8 + b"\n", b"\n")
    with pytest.raises(TraceFormatError, match="scores"):
        Trace.from_bytes(packed({**members(), "scores.npy": body}))


@pytest.mark.parametrize("shape", [b"(-1, 36)", b"(5, 36, 0)", b"(5,)   "])
def test_strange_shapes_are_refused(shape: bytes) -> None:
    body = members()["scores.npy"].replace(b"(5, 36)", shape)
    with pytest.raises(TraceFormatError):
        Trace.from_bytes(packed({**members(), "scores.npy": body}))


def test_limits_on_file_header_and_members(monkeypatch, tmp_path) -> None:
    many = {**members(), **{f"x{i}.npy": b"" for i in range(40)}}
    with pytest.raises(TraceFormatError, match="members"):
        Trace.from_bytes(packed(many))
    monkeypatch.setattr(trace_io, "MAX_HEADER_BYTES", 100)
    with pytest.raises(TraceFormatError, match="the header has"):
        Trace.from_bytes(DATA)
    monkeypatch.setattr(trace_header, "MAX_HEADER_BYTES", 100)
    with pytest.raises(TraceFormatError, match="the header has"):
        TRACE.to_bytes()
    monkeypatch.setattr(trace_io, "MAX_FILE_BYTES", 1000)
    with pytest.raises(TraceFormatError, match="the file has"):
        Trace.from_bytes(DATA)
    (tmp_path / "big.npz").write_bytes(DATA)
    with pytest.raises(TraceFormatError, match="at most 1000"):
        Trace.load(tmp_path / "big.npz")


@pytest.mark.parametrize("name", ["../../evil.npy", "tokens.txt", "surprise.npy", "header"])
def test_unexpected_members_are_refused(name: str) -> None:
    with pytest.raises(TraceFormatError, match="unexpected or repeated"):
        Trace.from_bytes(packed({**members(), name: b"x"}))


def test_repeated_and_missing_members_and_other_compressions_are_refused() -> None:
    buffer = io.BytesIO(DATA)
    with zipfile.ZipFile(buffer, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("tokens.npy", members()["tokens.npy"])
    with pytest.raises(TraceFormatError, match="unexpected or repeated"):
        Trace.from_bytes(buffer.getvalue())
    for name in ("header.npy", "scores.npy", "tokens.npy", "image.npy"):
        with pytest.raises(TraceFormatError, match=name.removesuffix(".npy")):
            Trace.from_bytes(packed({k: v for k, v in members().items() if k != name}))
    with pytest.raises(TraceFormatError, match="compressed in a way"):
        Trace.from_bytes(packed(members(), zipfile.ZIP_BZIP2))


def stacked(name: str) -> np.ndarray:
    return np.stack([getattr(r, name) for r in TRACE.steps]).copy()


def poked(name: str, index: tuple, value) -> np.ndarray:
    values = stacked(name)
    values[index] = value
    return values


LAST_CELL = int(np.flatnonzero(TRACE.steps[4].committed)[0])
FIRST_CELL = int(np.flatnonzero(TRACE.steps[0].committed)[0])


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("tokens", TRACE.tokens.astype(np.int64), "int64"),
        ("tokens", np.asfortranarray(TRACE.tokens), "row-major"),
        ("tokens", TRACE.tokens[:5], "model's grid"),
        ("tokens", (TRACE.tokens + 1) % 64, "not what the steps committed"),
        ("unmask_step", TRACE.unmask_step + 1, "unmask_step"),
        ("unmask_step", TRACE.unmask_step[::-1], "not when the steps committed"),
        ("scores", stacked("scores").astype(np.float16), "float16"),
        ("scores", stacked("scores").astype(">f4"), "scores"),
        ("scores", stacked("scores")[:4], "scores"),
        ("scores", poked("scores", (0, 3), np.nan), "not all finite"),
        ("scores", poked("scores", (4, FIRST_CELL), 0.0), "must be -inf"),
        ("confidence", poked("confidence", (0, 3), np.inf), "confidence is not finite"),
        ("attention", poked("attention", (0, 0, 0), 1.5), "attention has a maximum of 1.5"),
        ("attention", poked("attention", (0, 0, 0), np.nan), "attention has a minimum"),
        ("attention", stacked("attention")[:, :3], "attention"),
        ("sampled", poked("sampled", (0, 0), 64), "sampled has a maximum of 64"),
        ("sampled", poked("sampled", (0, 0), -1), "sampled has a minimum of -1"),
        ("sampled", poked("sampled", (4, FIRST_CELL), (TRACE.tokens.flat[FIRST_CELL] + 1) % 64), "committed token changed"),
        ("committed", poked("committed", (4, LAST_CELL), False), "still masked after the last step"),
        ("committed", poked("committed", (4, FIRST_CELL), True), "not masked is committed"),
        ("masked_before", poked("masked_before", (3, LAST_CELL), False), "step 3"),
        ("alternative_probs", poked("alternative_probs", (0, 0, 0), 2.0), "alternative_probs has a maximum"),
        ("entropy", poked("entropy", (0, 0), -5.0), "entropy has a minimum"),
        ("weight", np.zeros(300), "1..256"),
        ("weight", np.full(5, np.inf), "weight=inf"),
        ("cutoff", np.full(5, np.nan), "cutoff"),
        ("image", np.zeros((48, 48, 4), np.uint8), "H W 3"),
        ("image", np.zeros((1, 5000, 3), np.uint8), "4096"),
        ("frames", np.zeros((4, 48, 48, 3), np.uint8), "frames"),
        ("pictures", np.zeros((3, 8, 8, 3), np.uint8), "belong together"),
        ("picture_ids", np.zeros(64, np.int32), "twice"),
        ("picture_ids", np.arange(64, dtype=np.int32) + 1, "64"),
    ],
)
def test_arrays_that_do_not_fit_are_named(name: str, values: np.ndarray, message: str) -> None:
    with pytest.raises(TraceFormatError, match=message):
        Trace.from_bytes(with_array(name, values))


def test_bytes_that_are_no_booleans_are_refused() -> None:
    body = bytearray(members()["committed.npy"])
    body[-1] = 7
    with pytest.raises(TraceFormatError, match="neither 0 nor 1"):
        Trace.from_bytes(packed({**members(), "committed.npy": bytes(body)}))


def changed_prompt(part: str, **fields) -> dict:
    prompt = read_header()["prompt"]
    prompt[part][0].update(fields)
    return prompt


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 2}, "schema version 2"),
        ({"schema": None}, "schema version"),
        ({"extra": 1}, "extra"),
        ({"config": {**TRACE.config, "order": "alphabetical"}}, "alphabetical"),
        ({"config": {**TRACE.config, "nonsense": 1}}, "nonsense"),
        ({"config": {**TRACE.config, "num_steps": 6}}, "num_steps=6"),
        ({"config": {**TRACE.config, "noise_temperature": "hot"}}, "noise_temperature"),
        ({"config": []}, "config"),
        ({"columns": [0, 0]}, "columns"),
        ({"columns": [0, 99]}, "columns"),
        ({"columns": [True]}, "columns.0 is True"),
        ({"first_step": 2}, "expected 0"),
        ({"present": {}}, "disagree"),
        ({"present": {"scores": [0]}}, "disagree"),
        ({"present": {**read_header()["present"], "attention": [0, 1, 2, 4, 3]}}, "attention"),
        ({"present": {**read_header()["present"], "attention": [0, 1, 2, 3, 9]}}, "attention"),
        ({"prompt": changed_prompt("words", tokens=[99])}, "text tokens"),
        ({"prompt": changed_prompt("words", kind="verb")}, "verb"),
        ({"prompt": changed_prompt("words", start=5, end=2)}, "spans"),
        ({"prompt": changed_prompt("words", end=10**6)}, "spans"),
        ({"prompt": changed_prompt("tokens", special="yes")}, "special"),
        ({"prompt": changed_prompt("subjects", object=[])}, "word group"),
        ({"prompt": changed_prompt("subjects", object=[77])}, "word group"),
        ({"prompt": changed_prompt("subjects", label=3)}, "subjects.0.label is 3"),
        ({"prompt": {**read_header()["prompt"], "text": "x" * 5000}}, "4096"),
        ({"model": {**read_header()["model"], "grid": [6]}}, "model.grid.1: this key is missing"),
        ({"model": {**read_header()["model"], "grid": [6, 7]}}, "sampled has shape"),
        ({"model": {**read_header()["model"], "codebook_size": 2**40}}, "codebook_size"),
        ({"timings_s": {"total": "long"}}, "timings_s.total"),
        ({"versions": {"numpy": 2}}, "versions.numpy"),
        ({"created": 7}, "created"),
        ({"lineage": {"parent": "x"}}, "lineage.at_step: this key is missing"),
        ({"lineage": []}, "lineage"),
        ({"columns": []}, "attention is recorded for 0 text columns"),
        ({"prompt": {**read_header()["prompt"], "subjects": read_header()["prompt"]["subjects"] * 9}}, "18 subjects: at most 16"),
        ({"prompt": changed_prompt("subjects", count=0)}, "subject.count is 0"),
        ({"prompt": changed_prompt("subjects", object=[1, 1])}, "different words"),
        ({"prompt": changed_prompt("words", tokens=[1, 1])}, "different ones"),
        ({"prompt": changed_prompt("subjects", label="x" * 5000)}, "5000 characters"),
        ({"config": {**TRACE.config, "guidance_scale": 10**400}}, "guidance_scale"),
        ({"config": {**TRACE.config, "use_noise": []}}, "use_noise"),
        ({"config": {**TRACE.config, "use_noise": 1}}, "give True or False"),
        ({"first_step": 10**400}, "expected 0"),
        ({"timings_s": {"total": 10**400}}, "timings_s.total=inf"),
        ({"model": {**read_header()["model"], "codebook_size": 65537}}, "codebook_size=65537: 1..65536"),
        ({"model": {**read_header()["model"], "image_size_px": [0, 10**9]}}, "image_size_px"),
        ({"versions": {"frames.npy": "plain pictures"}}, "plain pictures"),
    ],
)
def test_headers_that_do_not_fit_are_named(changes: dict, message: str) -> None:
    with pytest.raises(TraceFormatError, match=message):
        Trace.from_bytes(with_header(**changes))


@pytest.mark.parametrize("text", [b"[" * 100_000, b"{", b"\xff\xfe", b"[]", b'{"schema": 1, "columns": NaN}'])
def test_headers_that_are_no_json_object_are_refused(text: bytes) -> None:
    with pytest.raises(TraceFormatError):
        Trace.from_bytes(with_array("header", np.frombuffer(text, np.uint8)))


GOOD_LINE = {
    "parent": "f" * 16,
    "at_step": 2,
    "edits": {"keep": [1], "drop": [2], "forbid": [[3, [4, 5]]], "suppress_word": None},
    "parent_config": json.loads(json.dumps(TRACE.config)),
    "earlier": [],
}


def test_a_good_lineage_is_read() -> None:
    assert lineage_json(Trace.from_bytes(with_header(lineage=GOOD_LINE)).lineage) == GOOD_LINE


@pytest.mark.parametrize(
    "changes",
    [
        {"at_step": "2"},
        {"at_step": 999},
        {"parent": 3},
        {"edits": {}},
        {"edits": {**GOOD_LINE["edits"], "keep": [36]}},
        {"edits": {**GOOD_LINE["edits"], "drop": ["a"]}},
        {"edits": {**GOOD_LINE["edits"], "forbid": [[1]]}},
        {"edits": {**GOOD_LINE["edits"], "forbid": [[1, [64]]]}},
        {"edits": {**GOOD_LINE["edits"], "forbid": 7}},
        {"edits": {**GOOD_LINE["edits"], "suppress_word": 6}},
        {"earlier": {}},
        {"earlier": [{}]},
        {"earlier": [3]},
        {"more": 1},
        {"earlier": [GOOD_LINE]},
        {"earlier": [{key: value for key, value in GOOD_LINE.items() if key != "earlier"}] * 600},
        {"edits": {**GOOD_LINE["edits"], "keep": [1] * 100}},
        {"edits": {**GOOD_LINE["edits"], "forbid": [[1, [2]], [1, [3]]]}},
        {"parent_config": {"order": "alphabetical"}},
        {"parent_config": {"use_noise": [[]] * 9}},
    ],
)
def test_a_bad_lineage_is_refused(changes: dict) -> None:
    with pytest.raises(TraceFormatError, match=r"lineage|header has") as caught:
        Trace.from_bytes(with_header(lineage={**GOOD_LINE, **changes}))
    assert len(str(caught.value)) < 300


def test_positions_may_come_back_only_where_a_branch_began() -> None:
    masked, committed = stacked("masked_before"), stacked("committed")
    again = int(np.flatnonzero(committed[0])[0])
    sampled, scores, unmask = stacked("sampled"), stacked("scores"), TRACE.unmask_step.copy()
    masked[2, again], committed[2, again], scores[2, again] = True, True, 0.0
    unmask.flat[again] = 2
    content = {"masked_before": masked, "committed": committed, "sampled": sampled, "scores": scores, "unmask_step": unmask}
    changed = {**members(), **{f"{k}.npy": array(v) for k, v in content.items()}}
    with pytest.raises(TraceFormatError, match="step 2: a committed position is masked again"):
        Trace.from_bytes(packed(changed))
    header = {**read_header(), "lineage": GOOD_LINE}
    changed["header.npy"] = array(np.frombuffer(json.dumps(header).encode(), np.uint8))
    assert Trace.from_bytes(packed(changed)).unmask_step.flat[again] == 2


def test_an_invalid_trace_is_not_written() -> None:
    trace = make_trace(grid=(6, 6), steps=5, image_px=48)
    trace.steps[0].scores = trace.steps[0].scores.astype(np.float64)
    with pytest.raises(TraceFormatError, match=r"step 0: scores is float64"):
        trace.to_bytes()
    trace = make_trace(grid=(6, 6), steps=5, image_px=48)
    trace.steps.pop()
    with pytest.raises(TraceFormatError, match=r"frames|num_steps"):
        trace.validate()
