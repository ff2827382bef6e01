"""Token-reveal frames: what is masked, committed, outlined, labelled."""

from dataclasses import replace

import numpy as np
import pytest

from tests.factories import make_trace
from uncage_demo.render.frames import (
    FrameStyle,
    compare_frame,
    compare_frames,
    first_divergence,
    fresh_at,
    masked_after,
    reveal_frame,
    run_label,
)
from uncage_demo.render.palette import THEMES, rgb
from uncage_demo.types import Verdict

CELL = 16
STYLE = FrameStyle(stage_px=192)


@pytest.fixture(scope="module")
def trace():
    return make_trace()


def cells(picture):
    """A stage as "y x p p 3"."""
    pixels = np.asarray(picture)
    return pixels.reshape(12, CELL, 12, CELL, 3).transpose(0, 2, 1, 3, 4)


@pytest.mark.parametrize("prompt", ["a turtle and a pink apple", "a turtle, a cat and a dog", "and with"])
@pytest.mark.parametrize("grid", [(256, 1), (256, 2), (200, 3), (100, 1), (60, 1), (40, 1), (1, 1), (1, 256), (2, 256), (3, 200)])
def test_grids_of_any_shape_are_drawn(grid, prompt):
    odd = make_trace(grid=grid, steps=min(2, grid[0] * grid[1]), image_px=grid[0], prompt_text=prompt)
    for stage_px in (96, 320):
        style = FrameStyle(stage_px=stage_px, attention=True)
        picture = compare_frame([odd, odd], 0, style)
        assert picture.width >= 2 * 96
        assert picture.height < max(stage_px, *grid) * 3 + 400
        assert min(reveal_frame(odd, 0, style).size) >= 1


def test_masks_follow_the_recorded_order(trace):
    assert masked_after(trace, -1).all()
    assert not masked_after(trace, 7).any()
    for step in range(8):
        newly = masked_after(trace, step - 1) & ~masked_after(trace, step)
        assert np.array_equal(newly, fresh_at(trace, step))
        assert np.array_equal(newly.ravel(), trace.steps[step].committed)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("step", [-1, 0, 3, 6])
def test_masked_cells_look_alike_and_committed_cells_show_the_picture(trace, step, theme):
    stage = cells(reveal_frame(trace, step, FrameStyle(stage_px=192, theme=theme), outline=False))
    masked = masked_after(trace, step)
    tiles = stage[masked]
    assert (tiles == tiles[0]).all()
    centre = tiles[0][CELL // 2, CELL // 4]
    assert np.abs(centre.astype(int) - rgb(THEMES[theme].mask)).max() <= 2
    if step >= 0:
        assert trace.frames is not None
        shown = trace.frames[step].reshape(12, CELL, 12, CELL, 3).transpose(0, 2, 1, 3, 4)
        assert np.array_equal(stage[~masked], shown[~masked])


def test_the_last_frame_and_later_ones_are_the_finished_picture(trace):
    for step in (7, 8, 99):
        assert np.array_equal(np.asarray(reveal_frame(trace, step, STYLE)), trace.image)
    with pytest.raises(ValueError, match="step=-2"):
        reveal_frame(trace, -2, STYLE)


def test_outline_surrounds_exactly_the_fresh_cells(trace):
    plain, outlined = (cells(reveal_frame(trace, 2, STYLE, outline=o)) for o in (False, True))
    changed = (plain != outlined).any(axis=(2, 3, 4))
    assert np.array_equal(changed, fresh_at(trace, 2))
    fresh = np.pad(fresh_at(trace, 2), 1)
    lone = next((y, x) for y, x in np.argwhere(fresh_at(trace, 2)) if fresh[y : y + 3, x : x + 3].sum() == 1)
    cell = outlined[lone]
    border = np.concatenate([cell[0], cell[-1], cell[:, 0], cell[:, -1]])
    assert (border == 255).all()


def test_neighbouring_fresh_cells_share_one_outline():
    trace = make_trace(grid=(2, 2), steps=2, image_px=32)
    trace.steps[0].committed[:] = [True, True, False, False]
    stage = np.asarray(reveal_frame(trace, 0, FrameStyle(stage_px=192)))
    assert (stage[0, :, :] == 255).all()
    assert not (stage[40, 94:98] == 255).all(axis=-1).any(), "no line between the two"


def test_a_trace_without_frames_shows_the_finished_picture_in_committed_cells():
    bare = make_trace(frames=False)
    stage = cells(reveal_frame(bare, 3, STYLE, outline=False))
    finished = bare.image.reshape(12, CELL, 12, CELL, 3).transpose(0, 2, 1, 3, 4)
    assert np.array_equal(stage[~masked_after(bare, 3)], finished[~masked_after(bare, 3)])


def test_ghost_lets_the_guess_shine_through(trace):
    solid, ghost = (cells(reveal_frame(trace, 3, replace(STYLE, ghost=g), outline=False)) for g in (0.0, 0.4))
    masked = masked_after(trace, 3)
    assert (solid[masked] != ghost[masked]).any(axis=(1, 2, 3)).all()
    assert np.array_equal(solid[~masked], ghost[~masked])


@pytest.mark.parametrize("field", [{"stage_px": 95}, {"stage_px": 100.0}, {"theme": "jet"}, {"scale": 5}, {"scale": True}, {"ghost": 1.5}])
def test_style_is_checked(field):
    with pytest.raises(ValueError, match=next(iter(field))):
        FrameStyle(**field)


def test_scale_doubles_every_pixel(trace):
    small, large = (compare_frame([trace, trace], 3, FrameStyle(stage_px=192, scale=s)) for s in (1, 2))
    assert abs(large.width - 2 * small.width) <= 2
    assert abs(large.height - 2 * small.height) <= 4


@pytest.mark.parametrize("count", range(1, 7))
def test_up_to_six_runs_side_by_side(trace, count):
    image = compare_frame([trace] * count, 3, FrameStyle(stage_px=96))
    per_row = count if count <= 3 else -(-count // 2)
    assert image.width >= per_row * 96
    again = compare_frame([trace] * count, 3, FrameStyle(stage_px=96))
    assert image.tobytes() == again.tobytes()


def test_wrong_numbers_of_things_are_refused(trace):
    for traces in ([], [trace] * 7):
        with pytest.raises(ValueError, match="give 1 to 6"):
            compare_frame(traces, 0)
    with pytest.raises(ValueError, match="2 labels for 1"):
        compare_frame([trace], 0, labels=["a", "b"])
    with pytest.raises(ValueError, match="0 verdicts for 1"):
        compare_frame([trace], 0, verdicts=[])


def test_frames_run_from_all_masked_to_finished_and_keep_their_size(trace):
    longer = make_trace(order="halton", steps=10)
    verdict = Verdict((True, False), (True, False), 0, False)
    frames = list(compare_frames([trace, longer], FrameStyle(stage_px=96, attention=True), verdicts=[verdict, None]))
    assert len(frames) == 11
    assert len({f.size for f in frames}) == 1
    assert len({f.tobytes() for f in frames}) == 11


def test_attention_is_left_out_when_it_was_not_recorded(trace):
    bare = make_trace(attention=False)
    style = FrameStyle(stage_px=96, attention=True)
    assert compare_frame([bare], 3, style).height < compare_frame([trace], 3, style).height


def test_verdict_changes_only_the_finished_frame_in_words(trace):
    style = FrameStyle(stage_px=160)
    good, bad = Verdict((True, True), (True, True), 0, True), Verdict((True, False), (True, False), 2, False)
    early = [compare_frame([trace], 3, style, verdicts=[v]).tobytes() for v in (good, bad)]
    late = [compare_frame([trace], 7, style, verdicts=[v]).tobytes() for v in (good, bad)]
    assert early[0] == early[1]
    assert late[0] != late[1]


def test_labels_say_order_weight_steps_and_seed(trace):
    assert run_label(trace) == ("UNCAGE", "weight 3, 2 guided steps, seed 0")
    assert run_label(make_trace(seed=5, order="meissonic")) == ("Baseline", "meissonic order, seed 5")
    assert run_label(make_trace(contrast_steps=5))[1].startswith("weight 3, 5 guided")


def test_first_divergence_is_the_first_differing_commit(trace):
    other = make_trace(order="meissonic")
    found = first_divergence([trace, other])
    assert found is not None
    for step in range(found):
        assert np.array_equal(trace.steps[step].committed, other.steps[step].committed)
    assert not np.array_equal(trace.steps[found].committed, other.steps[found].committed)
    assert first_divergence([trace, trace]) is None
    other_tokens = make_trace()
    other_tokens.steps[2].sampled[other_tokens.steps[2].committed] += 1
    assert first_divergence([trace, other_tokens]) == 2


@pytest.mark.parametrize("prompt", ["${6*7} {{x}}", "<img onerror> $\\frac{1}$", "word " * 80])
def test_hostile_prompts_are_only_text(prompt):
    frame = compare_frame([make_trace(prompt_text=prompt.strip(), steps=2)], 1, FrameStyle(stage_px=96))
    assert frame.width < 600
