"""Maps of traces as arrays and pictures."""

import numpy as np
import pytest

from tests.factories import make_trace
from uncage_demo.render import heatmaps
from uncage_demo.render.palette import SEQUENTIAL_MAP, Limits, apply_map, color_table


@pytest.fixture(scope="module")
def pair():
    return [make_trace(order="meissonic"), make_trace(order="uncage")]


def test_object_maps_are_the_mean_over_the_naming_words(pair):
    trace = pair[0]
    maps = heatmaps.object_maps(trace, 3)
    words = trace.word_maps(3)
    assert maps.shape == (2, 12, 12)
    for subject, found in zip(trace.prompt.subjects, maps, strict=True):
        assert np.allclose(found.ravel(), words[list(subject.object)].mean(axis=0))


@pytest.mark.parametrize(("kind", "names"), [("attention", "subject=2"), ("nonsense", "kind='nonsense'")])
def test_step_map_names_what_is_wrong(pair, kind, names):
    with pytest.raises(ValueError, match=names):
        heatmaps.step_map(pair[0], kind, 0, 2)


@pytest.mark.parametrize("step", [-1, 8, True])
def test_steps_out_of_range_are_refused(pair, step):
    with pytest.raises(ValueError, match="steps 0 to 7"):
        heatmaps.step_map(pair[0], "contrast", step)


def test_maps_without_record_are_refused():
    bare = make_trace(attention=False)
    with pytest.raises(ValueError, match="no recorded attention"):
        heatmaps.object_maps(bare, 0)


@pytest.mark.parametrize("kind", ["confidence", "score", "entropy"])
def test_committed_cells_have_no_value(pair, kind):
    trace = pair[0]
    found = heatmaps.step_map(trace, kind, 4).ravel()
    assert np.array_equal(np.isfinite(found), trace.steps[4].masked_before)


def test_order_map_leaves_given_cells_out(pair):
    trace = make_trace()
    trace.unmask_step[0, 0] = -1
    order = heatmaps.step_map(trace, "order")
    assert np.isnan(order[0, 0])
    assert order[0, 1] == trace.unmask_step[0, 1]


def test_limits_are_the_same_for_one_run_or_both_when_they_agree(pair):
    shared = heatmaps.map_limits(pair, "attention", quantile=1.0)
    largest = max(heatmaps.object_maps(t, s).max() for t in pair for s in range(8))
    assert shared.low == 0
    assert shared.high == pytest.approx(float(largest))
    assert heatmaps.map_limits(pair, "attention", steps=[0], quantile=1.0).high < shared.high
    assert heatmaps.map_limits(pair, "contrast").low == -heatmaps.map_limits(pair, "contrast").high
    assert heatmaps.map_limits(pair, "order") == Limits(0.0, 7.0)
    confidence = heatmaps.map_limits(pair, "confidence")
    assert confidence.low < confidence.high <= 0
    assert heatmaps.map_limits(pair, "attention", steps=[99]) == Limits(0.0, 1.0)


def test_pair_overlap_is_one_for_equal_and_zero_for_disjoint_maps():
    trace = make_trace(steps=2)
    turtle, apple = (trace.prompt.words[s.object[0]].tokens[0] for s in trace.prompt.subjects)
    for record, disjoint in zip(trace.steps, (False, True), strict=True):
        assert record.attention is not None
        record.attention[:] = 0
        record.attention[turtle, :72] = 0.1
        record.attention[apple, slice(72, None) if disjoint else slice(None, 72)] = 0.3
    assert heatmaps.overlap_pairs(trace) == [(0, 1)]
    assert heatmaps.pair_overlap(trace).ravel().tolist() == pytest.approx([1.0, 0.0])
    assert heatmaps.attention_mass(trace)[0].tolist() == pytest.approx([0.05, 0.15])


def test_overlap_of_an_object_nobody_looks_at_is_zero():
    trace = make_trace(steps=1)
    assert trace.steps[0].attention is not None
    trace.steps[0].attention[:] = 0
    assert heatmaps.pair_overlap(trace).tolist() == [[0.0]]


def test_upscale_shows_cells_exactly_or_smoothly():
    values = np.array([[0.0, 1.0]], np.float32)
    assert heatmaps.upscale(values, (2, 4)).tolist() == [[0, 0, 1, 1]] * 2
    smooth = heatmaps.upscale(values, (2, 8), smooth=True)[0]
    assert (np.diff(smooth) >= 0).all()
    assert 0 < smooth[3] < smooth[4] < 1


def test_the_same_value_has_the_same_color_in_every_run_and_step():
    limits = Limits(0.0, 0.2)
    low, high = (heatmaps.map_picture(np.full((2, 2), 0.1) + extra, limits, (4, 4)) for extra in (0, np.diag([0.1, 0])))
    assert np.array_equal(low[-1, -1], high[-1, -1])
    assert np.array_equal(low[0, 0], apply_map(np.array(0.1), limits))


def test_legend_is_a_ramp_of_its_limits_with_room_for_numbers():
    limits = Limits(-1.0, 3.0)
    image = heatmaps.legend(limits, 200, label="contrast", scale=2)
    assert image.width == 400
    pixels = np.asarray(image)
    rows = [y for y in range(image.height) if np.array_equal(pixels[y, 0], color_table(SEQUENTIAL_MAP)[0])]
    assert len(rows) >= 18
    assert np.array_equal(pixels[rows[0], -1], color_table(SEQUENTIAL_MAP)[-1])
    with pytest.raises(ValueError, match="width_px=10"):
        heatmaps.legend(limits, 10)
    with pytest.raises(ValueError, match="scale=9"):
        heatmaps.legend(limits, 100, scale=9)
