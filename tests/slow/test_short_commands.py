"""Short whole commands with the shipped model: what they draw as they go, and of which steps they keep pictures."""

from __future__ import annotations

from pathlib import Path

from uncage_demo.cli import main as cli
from uncage_demo.trace.frames import FRAMES_KEY
from uncage_demo.trace.record import Trace


def test_the_command_line_draws_as_it_goes(tmp_path, capsys, monkeypatch) -> None:
    given = ["generate", "a cat", "--num-steps", "3", "--formats", "npz", "--quiet", "--watch", "--out"]
    assert cli.main([*given, str(tmp_path / "piped")]) == 0
    piped = capsys.readouterr().out
    assert piped.count("step 3 of 3") == 1  # into a file only the finished grid is written
    assert "step 1 of 3" not in piped
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert cli.main([*given, str(tmp_path / "live")]) == 0
    live = capsys.readouterr().out
    assert [live.count(f"step {step} of 3") for step in (1, 2, 3)] == [1, 1, 1]
    assert live.count("\x1b[J") == 2
    monkeypatch.setenv("NO_COLOR", "1")
    assert cli.main([*given, str(tmp_path / "plain")]) == 0
    assert "38;2" not in capsys.readouterr().out


def test_the_command_line_makes_only_the_finished_picture(tmp_path: Path) -> None:
    given = ["generate", "a cat", "--num-steps", "2", "--formats", "npz", "--quiet", "--out"]
    for word in ("final", "none"):
        assert cli.main([*given, str(tmp_path / word), "--frames", word]) == 0
        trace = Trace.load(next((tmp_path / word).glob("*.npz")))
        assert trace.frames is None
        assert trace.versions[FRAMES_KEY] == "final"
