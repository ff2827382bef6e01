"""An accepted trace becomes every format, however many subjects it has and however few steps recorded attention."""

import pytest

from tests.every_format import assert_every_format
from tests.factories import make_trace
from tests.hostile_traces import attention_at_some_steps, many_subjects
from uncage_demo.diagnosis.diagnose import diagnose
from uncage_demo.export import write_view
from uncage_demo.player.payload import build_payload
from uncage_demo.trace.record import Trace


def test_the_most_subjects(tmp_path) -> None:
    assert_every_format(Trace.from_bytes(many_subjects()), tmp_path)


def test_attention_at_some_steps(tmp_path) -> None:
    assert_every_format(Trace.from_bytes(attention_at_some_steps()), tmp_path)


@pytest.mark.parametrize("grid", [(256, 1), (40, 1), (1, 256), (1, 1)])
def test_grids_of_any_shape(grid: tuple[int, int], tmp_path) -> None:
    assert_every_format(make_trace(grid=grid, steps=min(2, grid[0] * grid[1]), image_px=grid[0]), tmp_path)


@pytest.mark.parametrize("prompt", ["and with", "a turtle"])
def test_few_subjects_are_every_format_too(prompt: str, tmp_path) -> None:
    trace = Trace.from_bytes(make_trace(grid=(6, 6), steps=2, image_px=48, prompt_text=prompt).to_bytes())
    assert build_payload([trace])["runs"]
    assert diagnose(trace)
    for view in ("heatmaps", "curves", "order", "side-by-side"):
        write_view(tmp_path / f"{view}.png", [trace], view)
