"""The measuring script's arithmetic: which task is the longest of the page's own thread, what is missed, what is told."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tools.measure_browser import Drawn, Report, Run, differences, digest, longest_block, main, middle, told_of


def task(thread, ms, cpu, name="ThreadControllerImpl::RunTask"):
    return {"ph": "X", "pid": 1, "tid": thread, "name": name, "dur": ms * 1000, "tdur": cpu * 1000}


def test_the_longest_task_of_the_pages_own_thread():
    names = [
        {"name": "thread_name", "pid": 1, "tid": thread, "args": {"name": name}}
        for thread, name in ((7, "CrRendererMain"), (8, "DedicatedWorker thread"))
    ]
    events = [*names, task(7, 30, 12), task(7, 25, 20), task(8, 900, 800), task(7, 500, 500, "Something else")]
    assert longest_block(events) == (30, 20)
    assert longest_block(names) == (0, 0)


def report(wish="wasm", **changed):
    given = {
        "pair": Run(0.4, 5.0, 6.0),
        "computed_on": "WebAssembly" if wish == "wasm" else "WebGPU (acme)",
        "open_s": 3.0,
        "again_s": 2.0,
        "again_bytes": 0,
        "block_ms": 45.0,
        "block_cpu_ms": 40.0,
        "memory_mb": 300.0,
        "differing": 7,
        "cells": 512,
        "tokens": "0123456789ab",
    }
    drawn = {wish: Drawn(**{**given, **changed})}
    return Report(Run(0.1, 2.0, 1.9), "ba9876543210", drawn, load_before=0.5, load_after=1.0, adapter={})


def test_goals():
    assert report().ratio("wasm") == 2.5
    assert report().missed() == []
    assert report("webgpu").missed() == []
    cases = [
        ({"pair": Run(0.4, 6.2, 6.0)}, "pair against the server: 3.1, the goal is 3"),
        ({"pair": Run(0.6, 5.0, 6.0)}, "seconds to the first picture: 0.6, the goal is 0.5"),
        ({"block_ms": 80.0}, "milliseconds of the page's own thread in one piece: 80, the goal is 50"),
        ({"again_bytes": 9}, "bytes of the second visit: 9, the goal is 0"),
    ]
    for changed, said in cases:
        assert report(**changed).missed() == [f"wasm: {said}"]
        assert report("webgpu", **changed).missed() == [f"webgpu: {said}"]


def test_something_else_that_computed_is_told():
    assert report("webgpu", computed_on="WebAssembly").missed() == ["webgpu: WebAssembly computed"]
    assert report("auto", computed_on="WebAssembly").missed() == []


def test_the_report_tells_everything():
    told = "\n".join(report().lines())
    for part in ("0.5 before, 1.0 after", "pair 2.00 s", "pair 5.00 s", "2.50 by the clock", "300 MB", "0 bytes", "no WebGPU", "7 of 512"):
        assert part in told
    assert "0123456789ab" in told
    assert "ba9876543210" in told


def test_the_graphics_processor_in_words():
    known = {"vendor": "acme", "architecture": "fast", "device": "", "description": "", "software": False}
    assert told_of(known) == "acme fast"
    assert told_of({**known, "software": True}) == "acme fast (computed by the processor itself)"
    assert told_of(dict.fromkeys(known, "")) == "unnamed"
    assert "no adapter" in told_of(None)


def test_tokens_are_held_against_the_servers():
    def traces(rows: list[list[int]], kind: str = "int32") -> list[Any]:
        return [SimpleNamespace(tokens=np.array(rows, dtype=kind))]

    ones, other = traces([[1, 2], [3, 4]]), traces([[1, 5], [6, 4]])
    assert differences(ones, ones) == 0
    assert differences(ones, other) == 2
    assert digest(ones) == digest(traces([[1, 2], [3, 4]], "int64"))
    assert digest(ones) != digest(other)


@pytest.mark.parametrize("given", [["--runs", "0"], ["--on", "cuda"]])
def test_bad_arguments(given, capsys):
    with pytest.raises(SystemExit):
        main(given)
    assert given[1] in capsys.readouterr().err


def test_the_median_of_each_figure():
    assert middle([Run(1, 9, 3), Run(2, 7, 5), Run(3, 8, 4)]) == Run(2, 8, 4)
