"""Colours, maps and shared limits."""

import numpy as np
import pytest

from uncage_demo.render.palette import (
    DARK,
    LIGHT,
    MAPS,
    ORDER_MAP,
    SEQUENTIAL_MAP,
    Limits,
    apply_map,
    color_table,
    contrast_ratio,
    diverging_limits,
    readable,
    rgb,
    sequential_limits,
    subject_colors,
    subject_table,
    theme_properties,
)

# What the three kinds of colour blindness make of linear RGB (Vienot, Brettel and Mollon 1999; tritan: Brettel 1997, simplified).
DEFICIENCIES = {
    "protan": [[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]],
    "deutan": [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]],
}


def lab(color: np.ndarray) -> np.ndarray:
    """CIE L*a*b* (D65) of linear RGB."""
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ color / np.array([0.9505, 1, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(np.maximum(xyz, 0)), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def linear(color: str) -> np.ndarray:
    channels = np.array(rgb(color)) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def test_subject_colors_keep_their_order_and_repeat_after_the_eighth():
    assert subject_colors(3) == subject_colors(20)[:3]
    assert len(set(subject_colors(8))) == 8
    assert subject_colors(9)[8] == subject_colors(1)[0]
    assert subject_colors(0) == []
    with pytest.raises(ValueError, match="n=-1"):
        subject_colors(-1)


def test_the_first_four_subject_colors_are_seen_on_both_themes():
    for color in subject_colors(4):
        assert contrast_ratio(color, LIGHT.background) >= 3
        assert contrast_ratio(color, DARK.background) >= 3


@pytest.mark.parametrize("kind", DEFICIENCIES)
def test_the_first_three_subject_colors_differ_for_the_color_blind(kind):
    seen = [lab(np.clip(np.array(DEFICIENCIES[kind]) @ linear(c), 0, 1)) for c in subject_colors(3)]
    gaps = [np.linalg.norm(seen[a] - seen[b]) for a in range(3) for b in range(a)]
    assert min(gaps) > 20


def test_contrast_ratio_has_the_known_ends():
    assert contrast_ratio("#FFFFFF", "#000000") == pytest.approx(21)
    assert contrast_ratio("#808080", "#808080") == 1


@pytest.mark.parametrize("background", [LIGHT.background, DARK.background, "#777777"])
def test_readable_reaches_the_ratio_or_a_pole(background):
    for color in subject_colors(8):
        changed = readable(color, background)
        assert contrast_ratio(changed, background) >= 4.4
    assert readable("#000000", "#FFFFFF") == "#000000"


@pytest.mark.parametrize("text", ["red", "#12", "#12345", "#GG0000", "1234567"])
def test_rgb_refuses_other_forms(text):
    with pytest.raises(ValueError, match="#RRGGBB"):
        rgb(text)


@pytest.mark.parametrize("name", [SEQUENTIAL_MAP, ORDER_MAP])
def test_sequential_maps_grow_steadily_in_lightness(name):
    lightness = [lab(linear("#{:02x}{:02x}{:02x}".format(*row)))[0] for row in color_table(name)[::16]]
    steps = np.diff(lightness)
    assert (steps > 0).all()
    assert steps.max() < 2.2 * steps.mean()


def test_color_table_is_checked_and_read_only():
    assert color_table(MAPS[0], 16).shape == (16, 3)
    with pytest.raises(ValueError, match="jet"):
        color_table("jet")
    with pytest.raises(ValueError, match="size=1"):
        color_table(MAPS[0], 1)
    with pytest.raises(ValueError, match="read-only"):
        color_table(MAPS[0])[0] = 0


def test_diverging_map_is_neutral_at_zero():
    limits = diverging_limits([np.array([-1.0, 4.0])])
    assert (limits.low, limits.high, limits.diverging) == (-4.0, 4.0, True)
    middle = apply_map(np.array([0.0]), limits)[0].astype(int)
    assert np.ptp(middle) < 12
    assert middle.min() > 230


def test_limits_are_shared_by_all_arrays_and_never_empty():
    assert sequential_limits([np.array([1.0]), np.array([[5.0, np.nan, -np.inf]])]) == Limits(0.0, 5.0)
    assert sequential_limits([]) == Limits(0.0, 1.0)
    assert sequential_limits([np.zeros(3)]).high == 1.0
    assert sequential_limits([np.arange(101)], quantile=0.5).high == 50
    with pytest.raises(ValueError, match="quantile"):
        sequential_limits([], quantile=0)


def test_unit_clips_and_places_what_is_not_a_number():
    limits = Limits(0.0, 2.0)
    assert limits.unit(np.array([-1, 0, 1, 3, np.nan, np.inf, -np.inf])).tolist() == [0, 0, 0.5, 1, 0, 1, 0]
    assert Limits(-2.0, 2.0, True).unit(np.array([np.nan])).tolist() == [0.5]


def test_a_subjects_map_runs_from_dark_to_light_through_its_hue():
    table = subject_table("#D55E00").astype(int)
    assert table[[0, 64, 128, 200, 255]].tolist() == [[40, 0, 0], [127, 0, 0], [194, 77, 0], [255, 153, 94], [255, 232, 212]]
    lightness = [contrast_ratio("#{:02X}{:02X}{:02X}".format(*row), "#000000") for row in table]
    assert (np.diff(lightness) >= 0).all()


def test_css_names_every_colour_of_a_theme():
    text = theme_properties(DARK, "up")
    assert "--up-mask-mark: #4A5264;" in text
    assert "--up-name" not in text
    assert text.count("#") == len(DARK.__dataclass_fields__) - 1
