"""One command that makes everything that depends on the weights anew: what it covers, how it continues, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.drawings import drawn_atlas
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.bench.records import SHIPPED_SUFFIX
from uncage_demo.shipped import ASSETS, EMBEDDED
from uncage_demo.train import parts, refresh
from uncage_demo.train.refresh import Step, Wishes
from uncage_demo.train.steps import Steps
from uncage_demo.train.worlds import CLEAN, WORLDS, world_named


def wanted(folder: Path, **options: Any) -> dict[str, Step]:
    """The plan for the tiny model, by name (nothing is run)."""
    return {step.name: step for step in refresh.plan(EmbeddedBackend.tiny(0), None, folder, Wishes(**options))}  # type: ignore[arg-type]


def test_plan_covers_what_is_shipped(tmp_path):
    plans = {name: wanted(tmp_path, world=name) for name in WORLDS}
    assert {name: list(steps) for name, steps in plans.items()} == {
        "clean": ["examples", "golden grids", "model card"],
        "web": ["examples", "model card"],
        "blind": ["examples", "README pictures", "model card"],
    }
    files = {path for steps in plans.values() for step in steps.values() for path in step.files()}
    # The index is of all worlds' examples; each rewrites its own part of it.
    shipped = {*(ASSETS / "examples").glob("*.npz"), ASSETS / "readme.webp", refresh.GOLDEN}
    for folder in EMBEDDED.values():
        shipped |= {path for path in folder.iterdir() if path.suffix in (".md", ".webp") or path.name == "metrics.json"}
    assert shipped <= files


def test_extras_come_when_they_are_wished_for(tmp_path):
    steps = wanted(tmp_path, calibrate=True, bench=("weights", "table1"))
    assert list(steps)[3:] == ["diagnosis", "experiment weights", "experiment table1", "tables"]


@pytest.mark.parametrize(("processes", "names"), [(1, ["table1.jsonl"]), (2, ["table1.0-of-2.jsonl", "table1.1-of-2.jsonl"])])
def test_experiment_continues_in_the_training_folder_and_is_shipped_complete(processes, names, tmp_path, monkeypatch):
    said: list[tuple[str, ...]] = []
    monkeypatch.setattr(refresh, "_command", lambda *words: said.append(words))
    monkeypatch.setattr(refresh, "RESULTS", tmp_path / "results")
    step = wanted(tmp_path, bench=("table1",), bench_seeds="0-1", bench_steps=12, bench_processes=processes)["experiment table1"]
    step.work()
    command = ("uncage_demo", "bench", "--model", "embedded", "--experiment", "table1", "--seeds", "0-1", "--steps", "12", "--shard")
    lines = tmp_path / "bench-tiny-0" / "table1.jsonl"
    assert sorted(said[:-1]) == [(*command, f"{i}/{processes}", "--out", str(lines)) for i in range(processes)]
    assert said[-1] == (
        "uncage_demo",
        "bench-merge",
        *(str(lines.with_name(name)) for name in names),
        "--out",
        str(tmp_path / f"results/table1{SHIPPED_SUFFIX}"),
    )


def test_killed_run_continues_and_a_changed_file_is_made_again(tmp_path, capsys):
    made: list[str] = []

    def step(name: str, fails: bool = False) -> Step:
        def work() -> None:
            if fails:
                raise KeyboardInterrupt
            made.append(name)
            (tmp_path / name).write_text(name)

        return Step(name, work, lambda: [tmp_path / name])

    kept = tmp_path / "steps.json"
    with pytest.raises(KeyboardInterrupt):
        refresh.run_steps([step("one"), step("two"), step("three", fails=True)], Steps(kept, "weights"))
    refresh.run_steps([step("one"), step("two"), step("three")], Steps(kept, "weights"))
    assert made == ["one", "two", "three"]
    (tmp_path / "two").write_text("by hand")
    refresh.run_steps([step("one"), step("two"), step("three")], Steps(kept, "weights"))
    assert made == ["one", "two", "three", "two"]
    refresh.run_steps([step("one")], Steps(kept, "other weights"))
    assert made[-1] == "one"
    printed = capsys.readouterr().out
    assert "one: there already" in printed
    assert "three: done in" in printed


def test_results_of_other_weights_are_found(tmp_path, monkeypatch):
    def line(weights: str, model: str = "embedded") -> dict[str, Any]:
        return {"model": {"id": model, "weight_hash": weights}}

    lines = {"new.jsonl": [line("a")], "old.jsonl": [line("a"), line("b")], "large.jsonl": [line("c", "meissonic")]}
    for name in lines:
        (tmp_path / name).touch()
    monkeypatch.setattr(refresh, "read_records", lambda path: lines[path.name])
    assert [path.name for path in refresh.stale_results(CLEAN, tmp_path, {"a"})] == ["old.jsonl"]


def test_ages_are_run_one_after_another_and_shipped_in_one_file(tmp_path, monkeypatch):
    said: list[tuple[str, ...]] = []
    monkeypatch.setattr(refresh, "_command", lambda *words: said.append(words))
    monkeypatch.setattr(refresh, "RESULTS", tmp_path / "results")
    wanted(tmp_path, world="web", ages=True, bench_seeds="0")["experiment growth-web"].work()
    assert [words[words.index("--age") + 1] for words in said[:-1]] == ["1/20", "1/5", "3/5", "1"]
    assert all(words[words.index("--model") + 1] == "embedded-web" and "--steps" not in words for words in said[:-1])
    assert said[-1][-2:] == ("--experiment", "growth-web")


def test_weights_at_all_ages_belong_to_a_world():
    hashes = refresh.weights_of(world_named("web"))
    assert len(hashes) == 4
    assert EmbeddedBackend.load(EMBEDDED["embedded-web"]).info.weight_hash in hashes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 0}, "--seeds 0"),
        ({"bench_processes": 0}, "--bench-processes 0"),
        ({"bench": ("tabel1",)}, "tabel1: choose one of table1"),
        ({"world": "wbe"}, "world 'wbe': choose from clean, web"),
        ({"ages": True}, "--ages: the world 'clean' keeps none; choose one of web"),
    ],
)
def test_bad_wishes_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Wishes(**options)


class TestCheckpoints:
    def test_all_parts_or_none(self, tmp_path):
        for name in parts.PARTS[:-1]:
            (tmp_path / f"{name}.ckpt").touch()
        assert not parts.has_checkpoints(tmp_path)
        (tmp_path / f"{parts.PARTS[-1]}.ckpt").touch()
        assert parts.has_checkpoints(tmp_path)

    def test_shared_parts_need_none(self, tmp_path):
        (tmp_path / "transformer.ckpt").touch()
        assert parts.has_checkpoints(tmp_path, shared=tmp_path)
        assert not parts.has_checkpoints(tmp_path)

    def test_a_missing_stage_is_named(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"tokenizer\.ckpt is missing; run the stage 'tokenizer' first"):
            parts.restored(tmp_path, drawn_atlas(), tiny=True)


def test_notes_say_what_was_done(tmp_path):
    steps = Steps(tmp_path / "steps.json", "key")
    steps("one", lambda: {"figure": 1.5})
    kept = json.loads((tmp_path / "steps.json").read_text())
    assert kept["key"] == "key"
    assert kept["steps"]["one"]["result"] == {"figure": 1.5}
    assert kept["steps"]["one"]["seconds_s"] >= 0
