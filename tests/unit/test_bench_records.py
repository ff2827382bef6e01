"""Result files: torn lines, kill -9, locking, merging, determinism."""

from __future__ import annotations

import json
import lzma
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.full_disk import no_file_beyond
from tests.result_lines import make
from uncage_demo.bench.records import (
    SUFFIXES,
    RecordFile,
    derived_keys,
    image_key,
    merge,
    read_many,
    read_records,
    record_files,
    record_key,
    same_digest,
    write_records,
)


def test_keys_separate_what_differs() -> None:
    base = image_key("a cat", {"seed": 0}, "m", "w", "s")
    others = [("a dog", {"seed": 0}, "m", "w", "s"), ("a cat", {"seed": 1}, "m", "w", "s"), ("a cat", {"seed": 0}, "m", "v", "s")]
    assert len({base, *(image_key(*other) for other in others)}) == 4
    assert image_key("a", {"x": 1, "y": 2}, "m", "w", "s") == image_key("a", {"y": 2, "x": 1}, "m", "w", "s")
    assert record_key("table1", "a", "s", base) != record_key("weights", "a", "s", base)


def test_append_and_reopen_without_double_counting(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "results.jsonl"
    with RecordFile(path) as file:
        file.append([make(0), make(1), make(1)])
    with RecordFile(path) as file:
        file.append([make(1), make(2)])
        assert len(file.records) == 3
    assert [r["seed"] for r in read_records(path)] == [0, 1, 2]


def test_torn_last_line_is_cut_off_and_the_rest_kept(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    write_records(path, [make(0), make(1)])
    whole = path.read_bytes()
    for cut in (1, 10, 100):
        path.write_bytes(whole[:-cut])
        assert [r["seed"] for r in read_records(path)] == [0]
        with RecordFile(path) as file:
            file.append([make(1)])
        assert path.read_bytes() == whole


def test_a_full_disk_leaves_no_half_line(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    lines = [make(seed) for seed in range(3)]
    with RecordFile(path) as file:
        file.append(lines[:1])
        before = path.read_bytes()
        with no_file_beyond(len(before) + 100), pytest.raises(OSError, match="too large"):
            file.append(lines[1:2])
        assert path.read_bytes() == before
        assert len(file.records) == 1
        file.append(lines[1:])
    assert [record["seed"] for record in read_records(path)] == [0, 1, 2]


def test_damage_inside_is_refused_not_skipped(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    write_records(path, [make(0), make(1)])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0][:40] + b"\n" + lines[1])
    with pytest.raises(ValueError, match=r"results.jsonl, line 1"):
        read_records(path)
    with pytest.raises(ValueError, match="line 1"):
        RecordFile(path)
    path.write_bytes(json.dumps(make(0) | {"schema": 99}).encode() + b"\n")
    with pytest.raises(ValueError, match="schema 99"):
        read_records(path)
    path.write_bytes(b'{"schema":1}\n')
    with pytest.raises(ValueError, match="without key"):
        read_records(path)


def test_two_writers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with RecordFile(path), pytest.raises(ValueError, match="another process"):
        RecordFile(path)
    RecordFile(path).__exit__(None, None, None)


WRITER = """
import sys
sys.path.insert(0, {root!r})
from tests.result_lines import make
from uncage_demo.bench.records import RecordFile
with RecordFile({path!r}) as file:
    start = len(file.records)
    print("ready", flush=True)
    for batch in range(start // 20, 5000):
        file.append([make(20 * batch + i) for i in range(20)])
"""


def test_kill_minus_nine_loses_nothing_written_and_counts_nothing_twice(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    code = WRITER.format(root=str(Path(__file__).parents[2]), path=str(path))
    sizes = []
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        before = path.stat().st_size
        while path.stat().st_size < before + 20_000:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        records = read_records(path)
        sizes.append(len(records))
        assert [r["seed"] for r in records] == list(range(len(records)))
    assert sizes[1] > sizes[0] > 0


def test_merge_is_a_union(tmp_path: Path) -> None:
    write_records(tmp_path / "a.jsonl", [make(0), make(1)])
    write_records(tmp_path / "b.jsonl.gz", [make(1), make(2)])
    assert [r["seed"] for r in read_many([tmp_path])] == [0, 1, 2]
    assert len(read_many([tmp_path / "a.jsonl", tmp_path / "a.jsonl"])) == 2


def test_merge_refuses_contradictions_unless_told() -> None:
    with pytest.raises(ValueError, match="contradict"):
        merge([[make(0)], [make(0, correct=0)]])
    with pytest.raises(ValueError, match="contradict"):
        merge([[make(0)], [make(0, image_hash="01")]])
    assert merge([[make(0)], [make(0, correct=0)]], keep_first=True)[0]["metrics"]["correct"] == 1


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".jsonl.xz"])
def test_compressed_files_are_the_same_bytes_every_time(tmp_path: Path, suffix: str) -> None:
    write_records(tmp_path / f"a{suffix}", [make(0)])
    first = (tmp_path / f"a{suffix}").read_bytes()
    write_records(tmp_path / f"b{suffix}", [make(0)])
    assert (tmp_path / f"b{suffix}").read_bytes() == first
    assert not list(tmp_path.glob(".*"))
    with pytest.raises(ValueError, match=r"plain \.jsonl"):
        RecordFile(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_kind_of_file_holds_the_same_lines(tmp_path: Path, suffix: str) -> None:
    for records in ([], [make(number) for number in range(40)]):
        write_records(tmp_path / f"a{suffix}", records)
        assert read_records(tmp_path / f"a{suffix}") == records
    assert record_files(tmp_path) == [tmp_path / f"a{suffix}"]


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".jsonl.xz"])
@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: b"{}\n", lambda data: data[:30] + b"?" + data[31:]])
def test_a_damaged_compressed_file_is_named(tmp_path: Path, suffix: str, damage: Callable[[bytes], bytes]) -> None:
    write_records(tmp_path / f"a{suffix}", [make(number) for number in range(40)])
    (tmp_path / f"a{suffix}").write_bytes(damage((tmp_path / f"a{suffix}").read_bytes()))
    with pytest.raises(ValueError, match=rf"a{suffix} cannot be unpacked"):
        read_records(tmp_path / f"a{suffix}")


def test_a_shipped_file_leaves_out_what_its_lines_say_already(tmp_path: Path) -> None:
    derived = make(0) | {"tokens_hash": "0123456789abcdef", "image_hash": "fedcba9876543210"}
    derived["verdict"] = {"found": [1], "colors": [1], "seen": [["bear", "", 1.0, [8, 58, 50, 100]]]}
    derived |= dict(zip(("image_key", "key"), derived_keys(derived), strict=True))
    foreign = make(1) | {"image_key": "best of four", "key": "another"}  # its keys name something that the line does not say
    write_records(tmp_path / "a.jsonl.xz", [derived, foreign])
    stored = [json.loads(line) for line in lzma.decompress((tmp_path / "a.jsonl.xz").read_bytes()).splitlines()]
    assert not {"key", "image_key"} & set(stored[0])
    assert (stored[1]["key"], stored[1]["image_key"]) == (foreign["key"], foreign["image_key"])
    back = read_records(tmp_path / "a.jsonl.xz")
    verdict = {"found": [1], "colors": [1], "seen": [["bear", "", 1.0]]}
    assert back[0] == derived | {"tokens_hash": "01234567", "image_hash": "fedcba98", "verdict": verdict}
    assert same_digest(back[0]["tokens_hash"], derived["tokens_hash"])
    assert not same_digest(back[0]["tokens_hash"], derived["image_hash"])
    assert not same_digest("", derived["image_hash"])
    write_records(tmp_path / "b.jsonl.xz", back)
    assert (tmp_path / "b.jsonl.xz").read_bytes() == (tmp_path / "a.jsonl.xz").read_bytes()
    assert len(merge([[derived, foreign], back])) == 2, "the packed and the plain line are one picture"


def test_the_keys_of_a_benchmark_line_are_those_that_its_fields_give() -> None:
    """Else nothing would be left out of shipped files, and a key put back would not be the one that it had."""
    shipped = Path(__file__).parents[2] / "assets" / "results"
    for path in record_files(shipped):
        packed = lzma.decompress(path.read_bytes()).splitlines()
        kept = sum(b'"image_key"' in line for line in packed)
        assert kept == 0 or path.name.startswith("editing"), f"{path.name}: only an edit's key names more than the line's settings"
