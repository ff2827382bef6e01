"""Work split over processes: every piece done once, shards merged without loss or duplicates, interruptions survived."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.full_disk import no_file_beyond
from uncage_demo.bench.distributed import merge, read_lines, run_shared, share

KEYS = [f"key{i}" for i in range(7)]


def process(index: int, count: int) -> Any:
    """Stands for accelerate's PartialState of one of several processes that run one after the other."""
    return SimpleNamespace(
        process_index=index, num_processes=count, device="cpu", is_main_process=index == count - 1, wait_for_everyone=lambda: None
    )


def test_shares_are_disjoint_complete_and_even() -> None:
    for count in (1, 2, 3, 9):
        parts = [share(KEYS, i, count) for i in range(count)]
        assert sorted(key for part in parts for key in part) == KEYS
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
    with pytest.raises(ValueError, match="process 2 of 2"):
        share(KEYS, 2, 2)


def test_an_interrupted_run_goes_on_with_another_number_of_processes(tmp_path: Path) -> None:
    done: list[int] = []

    def work(index: int, device: Any) -> dict[str, Any]:
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(index)
        return {"square": index**2, "device": str(device)}

    with pytest.raises(KeyboardInterrupt):
        run_shared(KEYS, work, tmp_path, state=process(0, 1))
    torn = tmp_path / "shard-00000-of-00001.jsonl"
    torn.write_bytes(torn.read_bytes() + b'{"key": "key6", "squ')
    finished = list(done)

    def rest(index: int, device: Any) -> dict[str, Any]:
        assert index not in finished
        return {"square": index**2, "device": str(device)}

    lines = run_shared(KEYS, rest, tmp_path, state=process(0, 1))
    assert lines is not None
    assert [line["key"] for line in lines] == KEYS
    assert [line["square"] for line in lines] == [i**2 for i in range(7)]
    assert read_lines(tmp_path / "results.jsonl") == lines


def test_a_full_disk_leaves_no_half_line(tmp_path: Path) -> None:
    def work(index: int, _: Any) -> dict[str, Any]:
        return {"picture": str(index) * 60}

    with no_file_beyond(100), pytest.raises(OSError, match="too large"):
        run_shared(["a", "b"], work, tmp_path, state=process(0, 1))
    (shard,) = tmp_path.glob("shard-*.jsonl")
    assert [line["key"] for line in read_lines(shard)] == ["a"]
    assert shard.read_bytes().endswith(b"}\n")


def test_results_of_all_processes_come_together(tmp_path: Path) -> None:
    calls: list[str] = []

    def work(index: int, device: Any) -> dict[str, Any]:
        calls.append(KEYS[index])
        return {"value": index}

    # The shares are fixed before anybody writes, so the second process is given the same view of the folder as the first.
    for index in range(2):
        folder = tmp_path / str(index)
        with pytest.raises(ValueError, match=r"[34] of 7"):
            run_shared(KEYS, work, folder, state=SimpleNamespace(**vars(process(index, 2)) | {"is_main_process": True}))
    assert sorted(calls) == KEYS
    shards = [read_lines(tmp_path / str(i) / f"shard-{i:05d}-of-00002.jsonl") for i in range(2)]
    assert [line["value"] for line in merge(shards, KEYS)] == list(range(7))


def test_merge_refuses_loss_and_contradiction_and_drops_repetition() -> None:
    one, two = {"key": "a", "v": 1}, {"key": "b", "v": 2}
    assert merge([[one], [two, one]], ["b", "a"]) == [two, one]
    with pytest.raises(ValueError, match="1 of 3 results are missing, the first is c"):
        merge([[one, two]], ["a", "b", "c"])
    with pytest.raises(ValueError, match="two results for a contradict"):
        merge([[one], [{"key": "a", "v": 3}]], ["a"])


def test_bad_shards_and_keys_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="repeat"):
        run_shared(["a", "a"], lambda i, d: {}, tmp_path, state=process(0, 1))
    path = tmp_path / "shard-00000-of-00001.jsonl"
    path.write_text(json.dumps({"key": "a"}) + "\nnot json\n")
    with pytest.raises(ValueError, match="line 2"):
        run_shared(["a"], lambda i, d: {}, tmp_path, state=process(0, 1))
