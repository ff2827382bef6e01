"""The grid in the terminal: what stands in it, step by step, and what the command line writes."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.factories import make_trace
from uncage_demo.render.terminal import cell_colors, frame_text, grid_lines, over_itself

ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def test_cells_have_the_mean_colour_of_their_pixels() -> None:
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[:2, :3] = 200
    picture[:1, :1] = 0
    colors = cell_colors(picture, (2, 2))
    assert colors[0, 0].tolist() == [167, 167, 167]  # five of six pixels are 200
    assert colors[1, 1].tolist() == [0, 0, 0]


def test_decided_cells_have_their_colour_and_masked_ones_are_shaded() -> None:
    trace = make_trace(steps=4)
    y, x = trace.grid
    assert trace.frames is not None
    for number, step in enumerate(trace.steps):
        decided = ~(step.masked_before & ~step.committed)
        plain = grid_lines(step, trace.grid, trace.frames[number], color=False)
        assert np.array_equal(np.array([list(line[::2]) for line in plain]) == "█", decided.reshape(y, x))
        colored = grid_lines(step, trace.grid, trace.frames[number])
        assert [ESCAPE.sub("", line) for line in colored] == plain
        first = int(np.flatnonzero(decided)[0])
        red, green, blue = cell_colors(trace.frames[number], trace.grid)[divmod(first, x)]
        assert f"\x1b[38;2;{red};{green};{blue}m██" in colored[first // x]


def test_runs_stand_side_by_side_where_the_terminal_is_wide() -> None:
    traces = [make_trace(seed, steps=4) for seed in range(2)]
    (y, x), records = traces[0].grid, [trace.steps[-1] for trace in traces]
    wide = frame_text(records, traces[0].grid, ["one", "two"], 4, None, color=False, columns=500).splitlines()
    assert wide[0] == "step 4 of 4"
    assert wide[1].split() == ["one", "two"]
    assert len(wide) == 1 + 1 + y + 1
    assert wide[-1].count(f"{y * x} of {y * x}") == 2
    narrow = frame_text(records, traces[0].grid, ["one", "two"], 4, None, color=False, columns=2 * x).splitlines()
    assert len(narrow) == 1 + 2 * (y + 2)
    with pytest.raises(ValueError, match="2 runs, 1 titles"):
        frame_text(records, traces[0].grid, ["one"], 4)
    assert over_itself("b", "") == "b"
    assert over_itself("b", "a\na\na") == "\x1b[3A\x1b[Jb"
