"""The script that times reuse on the Meissonic shape, at toy size, and the table of the figures that were measured with it."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path

import pytest

from tools import reuse_seconds
from tools.gpu_report import Plan, random_backend

ROOT = Path(__file__).resolve().parents[2]
MEASURED = ROOT / "docs" / "reuse-seconds.json"


def test_runs_are_advanced_in_turn_and_their_seconds_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "found.json"
    small = ["--grid", "16", "--width", "128", "--blocks", "1", "2", "--codes", "64"]
    assert reuse_seconds.main([*small, "--variants", "12,12/3@0.25,12/3@0", "--rounds", "2", "--out", str(out)]) == 0
    found = json.loads(out.read_text())
    assert [line["partial_steps"] for line in found["lines"]] == [0, 6, 9]
    forwards = [line["forwards"] for line in found["lines"]]
    assert forwards[0] == 12
    assert forwards[0] > forwards[1] > forwards[2]
    assert found["lines"][0]["times_faster"] == [1.0, 1.0]
    assert found["clock"] == "processor"
    assert capsys.readouterr().out == reuse_seconds.table(found)
    for wrong in (["--width", "100"], ["--grid", "5"]):
        with pytest.raises(SystemExit):
            reuse_seconds.main(wrong)
        assert wrong[1] in capsys.readouterr().err


def test_a_step_is_charged_to_its_own_run() -> None:
    import torch

    network = {"attention_head_dim": 128, "num_attention_heads": 1, "axes_dims_rope": (16, 56, 56), "codebook_size": 32, "vocab_size": 96}
    backend = random_backend(Plan("meissonic", 8, tiny=True, network=network), torch.device("cpu"), torch.float32)
    tick = count()
    (first, second) = reuse_seconds.measure(backend, ["6", "4"], 1, lambda: float(next(tick)))
    # one tick before and one after each step, and one pair in which a run tells that it is over
    assert (first["seconds"], second["seconds"]) == (7.0, 5.0)
    assert second["times_faster"] == [1.4]


def test_the_documents_show_what_was_measured() -> None:
    found = json.loads(MEASURED.read_text(encoding="utf-8"))
    assert found["lines"][1]["times_faster"][0] >= found["goal_times_faster"]
    assert reuse_seconds.table(found) in (ROOT / "docs" / "LARGE.md").read_text(encoding="utf-8")
