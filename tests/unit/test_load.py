"""The load script's own arithmetic; what it measures is measured by running it (docs/LOAD.md)."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import pytest

from tools import load
from tools.load import CLASSES, EXAMPLE, Report, cpu_s, main, memory_mb, prompts

GOOD = Report(
    visitors=60,
    equal=0,
    refused=0,
    mixed_up=0,
    single_s=1.0,
    last_s=20.0,
    median_s=9.0,
    whole_s=28.0,
    last_ratio=20.0,
    last_limit=25.0,
    single_cpu_s=0.8,
    cpu_ratio=1.1,
    slowest_config_s=0.1,
    memory_mb=(500.0, 520.0),
    load_before=0.5,
)


def test_each_visitor_asks_for_their_own_or_for_the_example() -> None:
    asked = prompts(60, 30)
    assert asked[:30] == [EXAMPLE] * 30
    assert len(set(asked[30:])) == 30
    with pytest.raises(ValueError, match="200 different visitors: there are 132 different prompts"):
        prompts(200, 0)


def test_what_is_good_enough() -> None:
    assert GOOD.good
    for change in ({"refused": 1}, {"mixed_up": 1}, {"last_ratio": 25.1}, {"slowest_config_s": 0.6}, {"last_ratio": float("nan")}):
        assert not replace(GOOD, **change).good, change
    assert "last 20.00 s = 20.0 times (at most 25)" in str(GOOD)


def test_the_classes_are_those_of_the_goals() -> None:
    assert (60, 0.0, 25.0) in CLASSES
    assert (30, 1.0, 2.0) in CLASSES


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="no /proc here")
def test_memory_and_processor_time_are_read() -> None:
    assert 10 < memory_mb(os.getpid()) < 100_000
    assert 0 < cpu_s(os.getpid()) == pytest.approx(time.process_time(), abs=0.1)


@pytest.mark.parametrize("wrong", [["--visitors", "0"], ["--visitors", "5", "--equal", "2"], ["--runs", "50"]])
def test_bad_arguments_are_named(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(wrong)
    assert f"{wrong[-2]} {wrong[-1]}" in capsys.readouterr().err


def test_an_idle_process_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, used = [0.0], {3.0: 1.0, 5.0: 2.0}
    monkeypatch.setattr(load.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(load.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    monkeypatch.setattr(load, "cpu_s", lambda process: sum(amount for at, amount in used.items() if at <= clock[0]))
    load.wait_until_idle(1, at_least_s=1.0, quiet_s=3.5)
    assert clock[0] == 8.5, "3.5 s after its last work"
    clock[0] = 0.0
    load.wait_until_idle(1, at_least_s=10.0, quiet_s=3.5)
    assert clock[0] == 10.0
    used.update({float(at): 1.0 for at in range(60)})
    clock[0] = 0.0
    load.wait_until_idle(1, at_least_s=1.0, quiet_s=3.5, at_most_s=20.0)
    assert clock[0] == 20.0
