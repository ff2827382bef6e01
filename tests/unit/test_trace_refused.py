"""Trace files that are hostile or damaged are refused with a reason."""

import io
import json
import zipfile

import numpy as np
import pytest

from tests.factories import make_trace
from tests.trace_files import DATA, TRACE, array, assert_equal, members, packed, read_header, with_array, with_header
from uncage_demo.trace import file as trace_io
from uncage_demo.trace import header as trace_header
from uncage_demo.trace import layout
from uncage_demo.trace.lineage import lineage_json
from uncage_demo.trace.record import Trace, TraceFormatError


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
        ("scores", poked("scores", (0, 3), np.nan), "scores of masked positions=nan: give numbers from -1e\\+09 to 1e\\+09"),
        ("scores", poked("scores", (4, FIRST_CELL), 0.0), "must be -inf"),
        ("confidence", poked("confidence", (0, 3), np.inf), "step 0: confidence=inf"),
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
        ("entropy", poked("entropy", (0, 0), 65.0), "entropy has a maximum"),
        ("weight", np.zeros(300), "1..256"),
        ("weight", np.full(5, np.inf), "weight=inf"),
        ("weight", np.full(5, -1e308), r"step 0: weight=-1e\+308: give numbers from"),
        ("cutoff", np.full(5, -np.inf), "cutoff=-inf"),
        ("cutoff", np.full(5, 1e39), r"cutoff=1e\+39"),
        *((name, poked(name, (0, 3), np.float32(3e38)), rf"step 0: {name}=3e\+38") for name in ("confidence", "noise", "contrast")),
        ("scores", poked("scores", (0, 3), np.float32(-3e38)), r"scores of masked positions=-3e\+38"),
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
        *(
            ({"config": {name: value for name, value in TRACE.config.items() if name != lost}}, f"config lacks {lost}")
            for lost in ("order", "seed")
        ),
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


def test_a_run_whose_model_decides_how_many_does_not_begin_before_step_0() -> None:
    trace = make_trace(grid=(6, 6), steps=4, image_px=48, order="confidence", how_many="confidence", confidence_threshold=0.5)
    trace.validate()
    for record in trace.steps:
        record.step -= 1
    with pytest.raises(TraceFormatError, match="4 steps from -1 on are more than num_steps=4"):
        trace.validate()
