"""The benchmark of a large model on the command line, from its folder to the report: tiny checkpoints of random weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tiny_checkpoints import write_amused, write_meissonic
from uncage_demo.bench import commands
from uncage_demo.bench.records import read_records
from uncage_demo.cli.main import build_parser, main
from uncage_demo.types import Prompt


class Brightness:
    """A picture is correct where it is bright: a judge that depends on the picture alone, since CLIP's weights are not here."""

    name = "brightness"

    def score(self, images: np.ndarray, prompts: Sequence[Prompt]) -> list[dict]:
        assert images.shape[1:] == (32, 32, 3)
        return [{"metrics": {"correct": int(image.mean() > 127)}, "scorer": "brightness"} for image in images]


@pytest.mark.parametrize("write", [write_meissonic, write_amused])
def test_from_a_folder_to_a_report(
    write: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = write(tmp_path / "model"), tmp_path / "lines.jsonl"
    model = ["--model", str(folder), "--image-size", "32"]
    asked = ["--experiment", "table1", "--only", "meissonic,uncage,redraw", "--limit", "2", "--seeds", "0", "--steps", "3"]
    asked += ["--out", str(out)]
    assert main(["bench", *model, *asked]) == 2
    assert "has no detector of its own; choose another scorer (--scorer clip or none)" in capsys.readouterr().err
    assert not out.exists(), "told before anything is drawn"

    monkeypatch.setattr(commands, "_clip_scorer", lambda *_: Brightness())
    pictures = ["--images", str(tmp_path / "pictures"), "--scorer", "clip"]
    assert main(["bench", *model, *asked, *pictures]) == 0
    records = read_records(out)
    assert sorted({record["method"] for record in records}) == ["meissonic", "redraw", "uncage"]
    assert len(records) == 6
    assert {record["config"]["num_steps"] for record in records} == {3}
    assert len(list((tmp_path / "pictures").rglob("*.png"))) == 6
    assert main(["bench", *model, *asked, *pictures]) == 0
    assert "6 there before" in capsys.readouterr().out
    assert main(["bench-replay", "1", "--results", str(out), *model, "--trace", str(tmp_path / "again.npz")]) == 0
    assert (tmp_path / "again.npz").exists()
    assert main(["bench-report", str(out), "--out", str(tmp_path / "report")]) == 0
    assert (tmp_path / "report/table1-attend-excite.md").exists()


def test_the_models_own_settings_hold_and_a_preset_counts_before_them(tmp_path: Path) -> None:
    from types import SimpleNamespace

    from uncage_demo.backends.large.hub import load_large
    from uncage_demo.bench import distributed
    from uncage_demo.bench.run import resolve

    folder = write_meissonic(tmp_path / "model", downsample=True)
    backend = load_large(str(folder), image_size_px=32)

    def methods(*given: str) -> dict[str, Any]:
        asked = build_parser(["bench"]).parse_args(["bench", "--out", "x.jsonl", *given])
        found = commands.choose_experiment(asked, backend).methods
        return {name: resolve(config, backend) for name, config in found.items()}

    own = methods()
    assert {(one.num_steps, one.guidance_scale, one.schedule) for one in own.values()} == {(64, 9.0, "cosine_float32")}
    assert own["uncage"].noise_temperature == (2.0, 0.0)
    assert own["uncage"].contrast_blur == 2.0 * 4 / 32  # the paper's, as the same part of a smaller picture
    paper = methods("--preset", "paper")
    assert paper["uncage"].noise_temperature == paper["halton"].noise_temperature == (1.0, 0.01)
    assert paper["uncage"].contrast_blur == 2.0
    assert paper["uncage, all steps"].contrast_steps == 64
    assert methods("--preset", "amused")["meissonic"].num_steps == 12
    assert methods("--preset", "amused", "--steps", "5", "--set", "guidance_scale=4")["meissonic"].guidance_scale == 4
    assert methods("--preset", "amused", "--steps", "5")["meissonic"].num_steps == 5

    (tmp_path / "prompts.txt").write_text("a red turtle\n")
    asked = ["--model", str(folder), "--image-size", "32", "--prompts", str(tmp_path / "prompts.txt"), "--preset", "paper", "--steps", "3"]
    alone = SimpleNamespace(process_index=0, num_processes=1, device="cpu", is_main_process=True, wait_for_everyone=lambda: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("accelerate.PartialState", lambda: alone)
        assert distributed.main([*asked, "--out", str(tmp_path / "many")]) == 0
    (line,) = distributed.read_lines(tmp_path / "many" / "results.jsonl")
    said = line["config"]
    assert (said["order"], said["num_steps"], said["contrast_steps"], said["contrast_blur"]) == ("uncage", 3, 1, 2.0)


def test_drawn_here_and_judged_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out, pictures = write_meissonic(tmp_path / "model"), tmp_path / "lines.jsonl", tmp_path / "pictures"
    asked = ["bench", "--model", str(folder), "--image-size", "32", "--preset", "paper", "--only", "meissonic,uncage", "--limit", "2"]
    asked += ["--seeds", "0", "--out", str(out), "--scorer", "none", "--images", str(pictures)]
    assert main([*asked, "--steps", "4", "--set", "contrast_steps=1"]) == 0
    records = read_records(out)
    assert {record["scorer"] for record in records} == {"none"}
    assert all(set(record["metrics"]) == {"forwards"} for record in records)
    said = records[0]["config"]
    assert (said["num_steps"], said["noise_temperature"], said["contrast_blur"], said["contrast_steps"]) == (4, [1.0, 0.01], 2.0, 1)
    assert main(["bench-report", str(out), "--out", str(tmp_path / "report")]) == 0
    report = (tmp_path / "report/table1-attend-excite.md").read_text(encoding="utf-8")
    assert "not judged" in report
    assert "forward passes" in report

    monkeypatch.setattr(commands, "_clip_scorer", lambda *_: Brightness())
    judged = tmp_path / "judged.jsonl"
    assert main(["bench-score", str(out), "--images", str(pictures), "--out", str(judged)]) == 0
    assert "4 lines, judged by brightness" in capsys.readouterr().out
    later = read_records(judged)
    assert [(one["image_hash"], one["tokens_hash"]) for one in later] == [(one["image_hash"], one["tokens_hash"]) for one in records]
    assert all(set(one["metrics"]) == {"correct", "forwards"} for one in later)
    for path in pictures.rglob("00000-*.png"):
        path.unlink()
    assert main(["bench-score", str(out), "--images", str(pictures), "--out", str(judged)]) == 2
    assert "2 of 4 pictures are not there" in capsys.readouterr().err
