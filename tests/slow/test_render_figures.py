"""Paper figures: what their axes hold; never a comparison of pixels."""

import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from tests.factories import make_trace
from uncage_demo.render import figures
from uncage_demo.render.figure_parts import whole_ticks
from uncage_demo.render.heatmaps import attention_mass, map_limits, object_maps, pair_overlap


@pytest.fixture(scope="module")
def pair():
    return [make_trace(order="meissonic"), make_trace(order="uncage")]


def images(figure):
    """Arrays shown in the figure with their colour limits, in the order of drawing; pictures have no limits worth naming."""
    shown = [image for axes in figure.axes for image in axes.images]
    return [(np.asarray(i.get_array()), i.get_clim(), i.get_cmap().name) for i in shown]


def heights(axes):
    """The y values of every line."""
    return np.array([np.asarray(line.get_ydata()) for line in axes.lines])


def test_a_large_picture_is_shown_no_larger_than_it_can_be_printed():
    trace = replace(make_trace(steps=2, frames=False), image=np.full((4096, 2048, 3), 90, np.uint8))
    (picture, _, _), _ = images(figures.order_figure([trace]))
    assert picture.shape == (1024, 512, 3)
    assert (picture == 90).all()
    usual = make_trace(steps=2)
    (picture, _, _), _ = images(figures.order_figure([usual]))
    assert np.array_equal(picture, usual.image)


def entries(axes):
    """The words of the legend."""
    legend = axes.get_legend()
    assert legend is not None
    return [entry.get_text() for entry in legend.get_texts()]


def test_heatmaps_show_every_object_run_and_step_on_one_scale(pair):
    figure = figures.heatmap_figure(pair, [0, 3, 7])
    maps = [i for i in images(figure) if i[0].shape == (12, 12)]
    assert len(maps) == 2 * 2 * 3
    limits = map_limits(pair, "attention")
    assert {clim for _, clim, _ in maps} == {(limits.low, limits.high)}
    expected = [object_maps(t, s)[o] for o in range(2) for t in pair for s in (0, 3, 7)]
    for (found, _, name), wanted in zip(maps, expected, strict=True):
        assert np.array_equal(found, wanted)
        assert name == "magma"


def test_a_shorter_run_shows_its_last_step(pair):
    figure = figures.heatmap_figure([pair[0], make_trace(order="halton", steps=4)], [7])
    maps = [i[0] for i in images(figure) if i[0].shape == (12, 12)]
    assert np.array_equal(maps[1], object_maps(make_trace(order="halton", steps=4), 3)[0])


def test_order_figure_shares_scales_and_is_neutral_at_no_difference(pair):
    figure = figures.order_figure(pair)
    maps = [i for i in images(figure) if i[0].shape == (12, 12)]
    order, difference = [m for m in maps if m[2] == "viridis"], [m for m in maps if m[2] == "PuOr_r"]
    assert [m[1] for m in order] == [(1.0, 8.0)] * 2
    assert np.array_equal(order[0][0], pair[0].unmask_step + 1)
    assert len(difference) == 1
    assert np.array_equal(difference[0][0], pair[1].unmask_step - pair[0].unmask_step)
    low, high = difference[0][1]
    assert low == -high == -np.abs(difference[0][0]).max()


def test_order_of_one_run_and_of_equal_runs(pair):
    assert len([i for i in images(figures.order_figure(pair[:1])) if i[0].shape == (12, 12)]) == 1
    same = [i for i in images(figures.order_figure([pair[0], pair[0]])) if i[2] == "PuOr_r"]
    assert same[0][1] == (-1.0, 1.0)
    with pytest.raises(ValueError, match="one grid"):
        figures.order_figure([pair[0], make_trace(grid=(6, 6))])


def test_curves_are_the_measured_values(pair):
    figure = figures.curves_figure(pair)
    mass, overlap, counts = figure.axes
    assert np.array_equal(heights(mass), [attention_mass(t)[:, o] for t in pair for o in range(2)])
    assert np.array_equal(heights(overlap), [pair_overlap(t)[:, 0] for t in pair])
    assert heights(counts).sum(axis=1).tolist() == [144, 144]
    assert entries(mass) == ["turtle", "apple"]
    assert entries(counts) == ["Baseline", "UNCAGE"]
    assert overlap.get_ylim() == (0, 1)


def test_of_many_pairs_the_strongest_are_shown_and_the_title_says_so():
    trace = make_trace(prompt_text="a cat dog bird bear lion", steps=3)
    overlap = figures.curves_figure([trace]).axes[1]
    assert len(overlap.lines) == figures.MAX_PAIRS
    assert "6 strongest of 10" in overlap.texts[0].get_text()


def test_steps_without_attention_are_left_empty():
    trace = make_trace(steps=3)
    trace.steps[1].attention = None
    texts = [text.get_text() for axes in figures.heatmap_figure([trace]).axes for text in axes.texts]
    assert texts.count("not recorded") == len(trace.prompt.subjects)
    mass = figures.curves_figure([trace]).axes[0].lines[0].get_ydata()
    assert np.isnan(np.asarray(mass)).tolist() == [False, True, False]
    for record in trace.steps:
        record.attention = None
    assert len(figures.heatmap_figure([trace]).axes) == 3
    assert len(figures.curves_figure([trace]).axes) == 1


def test_without_objects_only_counts_are_drawn():
    trace = make_trace(prompt_text="and with", steps=3)
    assert len(figures.curves_figure([trace]).axes) == 1
    assert len(figures.heatmap_figure([trace], steps=[0, 2]).axes) == 2  # the pictures, no maps and no scale


@pytest.mark.parametrize("prompt", ["a $\\frac{1}$ cat ^_ %", "${6*7} {{x}} <img onerror> & cat \\mathbf{"])
def test_hostile_text_is_drawn_literally(tmp_path, prompt):
    trace = make_trace(prompt_text=prompt, steps=3)
    for name, figure in (
        ("h", figures.heatmap_figure([trace])),
        ("o", figures.order_figure([trace])),
        ("c", figures.curves_figure([trace])),
    ):
        path = figures.save_figure(figure, tmp_path / f"{name}.svg")
        tree = ElementTree.parse(path)  # a file of our own making
        assert not [e for e in tree.iter() if e.tag.rsplit("}")[-1] in ("script", "img", "foreignObject")]


@pytest.mark.parametrize("kind", figures.FIGURE_FORMATS)
def test_the_same_figure_gives_the_same_bytes(tmp_path, pair, kind):
    files = [figures.save_figure(figures.order_figure(pair), tmp_path / f"{i}.{kind}") for i in range(2)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_png_resolution_follows_dpi(tmp_path, pair):
    figure = figures.order_figure(pair)
    sizes = []
    for dpi in (100, 200):
        with Image.open(figures.save_figure(figure, tmp_path / f"{dpi}.png", dpi)) as image:
            sizes.append(image.width)
    assert sizes[1] == pytest.approx(2 * sizes[0], abs=2)


def test_bad_requests_are_named(tmp_path, pair):
    with pytest.raises(ValueError, match="0 traces"):
        figures.curves_figure([])
    with pytest.raises(ValueError, match="step=8"):
        figures.heatmap_figure(pair, [8])
    with pytest.raises(ValueError, match="13 steps"):
        figures.heatmap_figure(pair, [0] * 13)
    with pytest.raises(ValueError, match="1 label for 2 traces"):
        figures.order_figure(pair, ["a"])
    with pytest.raises(ValueError, match="2 different prompts"):
        figures.curves_figure([pair[0], make_trace(prompt_text="a cat")])
    with pytest.raises(ValueError, match=r"\.png or \.svg"):
        figures.save_figure(figures.order_figure(pair), tmp_path / "a.pdf")
    with pytest.raises(ValueError, match="dpi=5"):
        figures.save_figure(figures.order_figure(pair), tmp_path / "a.png", 5)


def test_labels_of_equal_orders_name_their_seeds():
    figure = figures.order_figure([make_trace(seed=0), make_trace(seed=1)])
    shown = [t.get_text() for axes in figure.axes for t in axes.texts]
    assert {"UNCAGE, seed 0", "UNCAGE, seed 1"} <= set(shown)


@pytest.mark.parametrize(("low", "high"), [(1, 32), (1, 8), (1, 2), (1, 16), (1, 256), (-12, 12), (-1, 1), (0, 1)])
def test_ticks_hold_both_ends_and_are_few(low, high):
    ticks = whole_ticks(low, high, 5)
    assert ticks[0] == low
    assert ticks[-1] == high
    assert ticks == sorted(set(ticks))
    assert len(ticks) <= 7


def test_default_steps_span_the_longest_run(pair):
    assert figures.default_steps(pair) == [0, 1, 3, 4, 6, 7]
    assert figures.default_steps(pair, 1) == [7]
    assert figures.default_steps([make_trace(steps=2)]) == [0, 1]
    with pytest.raises(ValueError, match="count=0"):
        figures.default_steps(pair, 0)


def test_drawing_imports_no_pyplot_and_leaves_no_settings_behind(tmp_path):
    code = (
        "import sys, matplotlib\n"
        "def settings(): return {k: matplotlib.rcParams[k] for k in matplotlib.rcParams if k != 'backend'}  # reading that imports pyplot\n"
        "before = settings()\n"
        "from tests.factories import make_trace\nfrom uncage_demo.render.figures import curves_figure, save_figure\n"
        f"save_figure(curves_figure([make_trace(steps=2)]), {str(tmp_path / 'a.svg')!r})\n"
        "assert 'matplotlib.pyplot' not in sys.modules and settings() == before\n"
        "assert not {'torch', 'gradio'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
