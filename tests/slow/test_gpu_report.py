"""The script for a GPU, tried on the CPU at toy size: every part runs, and what fails is told without stopping the rest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools import gpu_report


def test_every_part_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "report.json"
    common = ["--device", "cpu", "--tiny", "--rounds", "1", "--no-compile", "--out", str(out)]
    assert gpu_report.main([*common, "--dtypes", "float32", "--models", "meissonic,amused-512"]) == 0
    found = json.loads(out.read_text())
    parts = [(line["model"], line["part"]) for line in found["results"]]
    assert parts == [
        *(("meissonic", part) for part in ("steps", "memory", "memory, offload")),
        *(("amused-512", part) for part in ("steps", "memory", "memory, offload", "against AmusedPipeline")),
    ]
    assert not [line for line in found["results"] if "error" in line]
    steps = found["results"][0]["result"]
    assert steps["plain step"]["ratio"] == 1
    assert {"reading 4 text columns", "reading all 77 text columns", "every layer and head of 4 columns", "guided step"} <= set(steps)
    assert found["promised_memory_gb"]["meissonic"] == pytest.approx(6.5, abs=0.1)
    assert "| meissonic | steps | float32 | plain step |" in capsys.readouterr().out


def test_a_part_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(gpu_report, "measure_memory", fail)
    out = tmp_path / "report.json"
    common = ["--device", "cpu", "--tiny", "--rounds", "1", "--no-compile", "--dtypes", "float32", "--models", "meissonic"]
    assert gpu_report.main([*common, "--out", str(out)]) == 1
    lines = json.loads(out.read_text())["results"]
    assert ["error" in line for line in lines] == [False, True, True]
    assert lines[1]["error"] == "RuntimeError: out of memory"


def test_goals_are_judged_by_what_was_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The figures are made up, a GPU's; the sentences follow from them."""

    def line(part: str, result: dict, dtype: str = "bfloat16") -> dict:
        return {"model": "meissonic", "part": part, "dtype": dtype, "result": result}

    def steps(seconds: float, guided: float = 1.02) -> dict:
        return {"plain step": {"seconds": seconds}, "reading 4 text columns": {"ratio": 1.004}, "guided step": {"ratio": guided}}

    results = [line("steps", steps(0.04)), line("memory", {"1 picture": 6.0, "2 pictures": 6.4}), line("steps, compiled", steps(0.025))]
    results += [line("memory, offload", {"2 pictures": 4.5}), {"model": "meissonic", "part": "memory", "dtype": "float32", "error": "..."}]
    found = {"tiny": False, "results": results}
    assert gpu_report.verdicts(found) == [
        "meissonic, bfloat16: reading 4 text columns, times a plain one: 1, goal 1.01: met",
        "meissonic, bfloat16: guided step, times a plain one: 1.02, goal 1.01: missed",
        "meissonic, bfloat16: 2 pictures, GB: 6.4, goal 6.53: met",
        "meissonic, bfloat16: compiled, times faster: 1.6, goal 1.3: met",
        "meissonic, bfloat16: 2 pictures, offloaded, GB: 4.5, goal 3.81: missed",
    ]
    assert gpu_report.verdicts(found | {"tiny": True}) == []
    out = tmp_path / "tiny.json"
    asked = ["--device", "cpu", "--tiny", "--rounds", "1", "--no-compile", "--dtypes", "float32", "--models", "monetico,amused-256"]
    assert gpu_report.main([*asked, "--out", str(out)]) == 0  # the other two models, and what the report is judged from
    real = json.loads(out.read_text()) | {"tiny": False}
    judged = [told.split(":")[1].strip() for told in gpu_report.verdicts(real)]
    assert judged == ["reading 4 text columns, times a plain one", "guided step, times a plain one"] * 2
    capsys.readouterr()


@pytest.mark.parametrize("wrong", [["--models", "embedded"], ["--dtypes", "int8"]])
def test_bad_input_is_named(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        gpu_report.main(["--device", "cpu", *wrong])
    assert wrong[1] in capsys.readouterr().err
