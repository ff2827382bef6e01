"""Signed maps in the player: the diverging colour scale, differences of maps between two runs, and noise in What-if."""

import numpy as np
import pytest

from tests.factories import make_prompt
from tests.toy_backend import ToyBackend
from tests.ui.player_page import FRAME, pixel, put, save, state
from uncage_demo import runner
from uncage_demo.branching import branch
from uncage_demo.config import DecodingConfig
from uncage_demo.player.payload import build_payload
from uncage_demo.render.palette import DIVERGING_MAP, color_table

TABLE = color_table(DIVERGING_MAP).astype(int)


def shown_scale(page) -> tuple[float, float]:
    """The numbers at the two ends of the colour scale."""
    low, high = (page.locator(f"[data-up={end}]").inner_text().replace("−", "-") for end in ("low", "high"))
    return float(low), float(high)


def expected_color(value: float, most: float) -> np.ndarray:
    """The diverging map's colour of a value on a scale from -most to most."""
    return TABLE[round((value + most) / (2 * most) * 255)]


def test_the_diverging_table_is_purple_below_and_orange_above_a_pale_middle():
    assert TABLE[0][2] > TABLE[0][1]
    assert TABLE[64][2] > TABLE[64][0] - 10
    assert TABLE[255][0] > TABLE[255][2] + 40
    assert TABLE[192][0] > TABLE[192][2] + 40
    middle = TABLE[127:129].mean(axis=0)
    assert middle.min() > 225
    assert np.ptp(middle) < 15


def test_contrast_colours_have_their_sign_and_zero_in_the_middle(player, pair):
    """Swapped ends or a middle off zero would give other colours to these cells."""
    record = pair[1].steps[1]
    open_cells = np.flatnonzero(record.masked_before & ~record.committed)
    contrast = record.contrast[open_cells]
    assert contrast.min() < 0 < contrast.max()
    put(player, layer="contrast", step=1, blend=100)
    most = player.evaluate("() => window.uncage.player.model.scales.contrast[1]")
    low, high = shown_scale(player)
    assert low == -high
    assert high == pytest.approx(most, abs=0.006)
    assert most >= np.abs(contrast).max() * 0.9
    for place in (contrast.argmin(), contrast.argmax(), np.abs(contrast).argmin()):
        cell, value = int(open_cells[place]), float(np.clip(contrast[place], -most, most))
        np.testing.assert_allclose(pixel(player, 1, cell, at=0.3)[:3], expected_color(value, most), atol=3, err_msg=f"contrast {value}")


@pytest.mark.parametrize("of", ["object", "word", "confidence", "contrast", "order"])
def test_difference_of_maps_is_run_minus_reference_on_one_scale(player, pair, of):
    put(player, layer="difference", of=of, object=1, word=5, step=4, blend=100)
    assert state(player)["of"] == of
    first, second = (trace.steps[4] for trace in pair)

    def values(trace, record):
        maps = trace.word_maps(4)
        if of == "object":
            return maps[list(trace.prompt.subjects[1].object)].mean(axis=0)
        if of == "word":
            return maps[5]
        if of == "order":
            when = trace.unmask_step.reshape(-1)
            return np.where((when >= 0) & (when <= 4), when, np.nan)
        return np.where(record.masked_before, getattr(record, of), np.nan)

    wanted = values(pair[1], second) - values(pair[0], first)
    most = player.evaluate("() => window.uncage.player.painter.mostDifferent(window.uncage.player.state)")
    low, high = shown_scale(player)
    assert low == -high
    assert high == pytest.approx(most, abs=0.5 if of == "order" else 0.006)
    assert np.nanmax(np.abs(wanted)) <= most * 1.02 + 1e-3
    got = np.array(player.evaluate("() => [...window.uncage.player.stages[1].values]"), float)
    # attention travels in 8 bits with a square-root code
    np.testing.assert_allclose(got, wanted, atol=1e-5 if of in ("confidence", "contrast", "order") else 0.01)
    assert "B − A" in player.locator("[data-up=unit]").inner_text()
    assert "minus run A" in player.locator("[data-up=about]").inner_text()
    fresh = first.committed | second.committed
    cells = np.flatnonzero(np.isfinite(wanted) & ~fresh)
    for cell in (int(cells[np.argmin(wanted[cells])]), int(cells[np.argmax(wanted[cells])])):
        np.testing.assert_allclose(pixel(player, 1, cell, at=0.3)[:3], expected_color(got[cell], most), atol=3)
    # run A is what the others are compared with: its grey picture shows
    red, green, blue = pixel(player, 0, int(cells[0]), at=0.3)[:3]
    assert max(red, green, blue) - min(red, green, blue) <= 12


def test_difference_fields_follow_what_is_compared(player):
    put(player, layer="difference", of="picture")
    assert not player.locator("[data-up=objectField]").is_visible()
    player.get_by_label("Difference of what").select_option("object")
    player.evaluate(FRAME)
    assert player.locator("[data-up=objectField]").is_visible()
    assert state(player)["object"] == 0  # the difference of all objects at once is no map
    player.get_by_label("Difference of what").select_option("word")
    player.evaluate(FRAME)
    assert player.locator("[data-up=wordField]").is_visible()
    put(player, layer="picture")
    assert not player.locator("[data-up=ofField]").is_visible()


def test_newly_committed_cells_are_outlined_on_every_layer(player, pair):
    cell = int(np.flatnonzero(pair[0].steps[5].committed)[0])
    for layer in player.evaluate("() => window.UncagePlayer.layers"):
        put(player, layer=layer, step=5, object=0, word=1, of="picture")
        edge = player.evaluate(
            """(cell) => {
              const canvas = document.querySelectorAll('.up-canvas')[0], side = canvas.width / 12;
              const x = Math.round((cell % 12) * side), y = Math.round((Math.floor(cell / 12) + 0.5) * side);
              const data = canvas.getContext('2d').getImageData(Math.max(0, x - 1), y, 3, 1).data;
              return Math.min(...[0, 4, 8].map((k) => data[k] + data[k + 1] + data[k + 2]));
            }""",
            cell,
        )
        assert edge < 200, layer  # the outline's ink


def test_the_key_fills_the_place_of_the_scale(player):
    """The clock stays where it is when the layer changes: a line of keys stands where maps have their scale."""
    tops = set()
    for layer in ("picture", "guess", "confidence", "order", "difference"):
        put(player, layer=layer, of="picture")
        assert player.locator("[data-up=keys]").is_visible() != player.locator("[data-up=scale]").is_visible()
        tops.add(round(player.locator("[data-up=clock]").bounding_box()["y"]))
    assert max(tops) - min(tops) <= 2


def test_noise_factor_equals_an_engine_with_that_noise(open_page, tmp_path):
    """Twice the noise temperature is twice the recorded noise, at every step."""
    backend, prompt = ToyBackend(), make_prompt()
    base = DecodingConfig(num_steps=8, seed=3, contrast_blur=0.0, noise_temperature=(1.0, 0.2))
    trace = runner.generate(backend, prompt, base)
    page = open_page(save(tmp_path, build_payload([trace]), {"step": 0}), reduced_motion="reduce")
    changed = 0
    for factor in (0.0, 0.3, 2.0, 3.0):
        hotter = base.with_(noise_temperature=(1.0 * factor, 0.2 * factor))
        for step in range(8):
            expected = branch(backend, trace, step, config=hotter).steps[step].committed
            wish = {"weight": 0, "noiseFactor": factor, "confidence": True, "noise": True, "contrast": False}
            chosen = page.evaluate("([s, wish]) => [...window.uncage.player.model.runs[0].pick(s, wish)]", [step, wish])
            np.testing.assert_array_equal(np.array(chosen, bool), expected, err_msg=f"step {step}, factor {factor}")
            changed += int((expected != trace.steps[step].committed).any())
    assert changed > 5
    page.get_by_label("Noise multiplier").fill("2")
    page.evaluate(FRAME)
    assert state(page)["whatIf"]["noiseFactor"] == 2
    record = trace.steps[0]
    scores = np.where(
        record.masked_before, record.confidence + np.float32(2) * record.noise + np.float32(record.weight) * record.contrast, -np.inf
    )
    wanted = set(np.argsort(-scores, kind="stable")[: record.committed.sum()].tolist())
    same = len(wanted & set(np.flatnonzero(record.committed).tolist()))
    assert page.locator(".up-result").first.get_attribute("data-same") == str(same)
