"""Regions, presenter mode and the maps of the start and end tokens, in a real browser."""

import json

from tests.ui.axe import violations
from tests.ui.player_page import FRAME, PICTURES_READY, put, state


def drag(page, run, start, end):
    """Press at a cell (row, column) of a stage and let go at another."""
    box = page.locator(".up-canvas").nth(run).bounding_box()
    at = [(box["x"] + box["width"] * (c + 0.5) / 12, box["y"] + box["height"] * (r + 0.5) / 12) for r, c in (start, end)]
    page.mouse.move(*at[0])
    page.mouse.down()
    page.mouse.move(*at[1], steps=4)
    page.mouse.up()
    page.evaluate(FRAME)


def test_a_dragged_region_says_which_words_drew_it(player, pair):
    drag(player, 1, (4, 5), (2, 1))
    assert state(player)["region"] == [2, 1, 4, 5]
    assert state(player)["pin"] == -1, "the end of a drag pins nothing"
    card = player.locator(".up-region")
    assert "Rows 3 to 5, columns 2 to 6" in card.inner_text()
    trace = pair[1]
    when = trace.unmask_step[2:5, 1:6].reshape(-1)
    cells = [r * 12 + c for r in range(2, 5) for c in range(1, 6)]
    everywhere = trace.unmask_step.reshape(-1)
    for word in range(len(trace.prompt.words)):
        maps = [trace.word_maps(s)[word] for s in range(12)]
        wanted = sum(maps[s][c] for s, c in zip(when, cells, strict=True)) / len(cells)
        mean = sum(maps[s][c] for c, s in enumerate(everywhere)) / everywhere.size
        shown = player.locator(f".up-region [data-word='{word}'] .up-attend-value").nth(1).get_attribute("data-value")
        assert abs(float(shown) - wanted / mean) < 0.03 * wanted / mean
    said = player.inner_text(".up-live")
    assert said.startswith("Rows 3 to 5, columns 2 to 6: read “")
    inspector = "() => ['.up-region', '.up-card'].map((n) => document.querySelector(n).getBoundingClientRect().top)"
    region, why = player.evaluate(inspector)
    assert region < why, "what was asked last comes first"
    player.locator(".up-canvas").nth(1).click(position={"x": 20, "y": 20})
    player.evaluate(FRAME)
    region, why = player.evaluate(inspector)
    assert why < region
    player.get_by_role("button", name="Clear").click()
    assert state(player)["region"] is None


def test_a_region_by_keyboard(player):
    player.locator(".up-canvas").first.focus()
    player.keyboard.press("ArrowRight")
    for key in ("Shift+ArrowRight", "Shift+ArrowRight", "Shift+ArrowDown"):
        player.keyboard.press(key)
    top, left, bottom, right = state(player)["region"]
    assert (bottom - top, right - left) == (1, 2)
    player.keyboard.press("Escape")
    assert state(player)["region"] is None


def test_presenter_mode_is_large_and_goes_by_key(player):
    player.wait_for_function(PICTURES_READY)
    before = player.locator(".up-canvas").first.bounding_box()
    player.locator(".up-clock [aria-label^='Present']").click()
    player.wait_for_function("() => document.querySelector('.up').classList.contains('up-presenting')")
    player.evaluate(FRAME)
    player.evaluate(FRAME)
    assert player.locator(".up-inspector").is_hidden()
    view = player.evaluate("() => [innerWidth, innerHeight]")
    boxes = [player.locator(".up-canvas").nth(k).bounding_box() for k in (0, 1)]
    clock = player.locator(".up-clock").bounding_box()
    assert boxes[0]["width"] > before["width"]
    assert boxes[1]["x"] + boxes[1]["width"] <= view[0]
    assert boxes[0]["y"] + boxes[0]["height"] <= clock["y"]
    assert clock["y"] + clock["height"] <= view[1]
    assert player.inner_text(".up-caption").startswith("Step 1 of 12:")
    player.keyboard.press("ArrowRight")
    player.keyboard.press("5")
    assert (state(player)["step"], state(player)["layer"]) == (1, "object")
    assert player.inner_text(".up-caption").startswith("Step 2 of 12:")
    assert "attends to the word of an object" in player.inner_text(".up-caption")
    player.keyboard.press("l")
    assert state(player)["layer"] == "word"
    assert violations(player, ".up") == []
    player.keyboard.press("f")
    player.wait_for_function("() => !document.querySelector('.up').classList.contains('up-presenting')")
    assert player.locator(".up-inspector").is_visible()


def test_the_start_and_end_token_can_be_chosen_as_words_can(player):
    put(player, layer="word")
    names = player.locator("[data-up=word] option").all_inner_texts()
    assert names[-2:] == ["start token", "end token"]
    player.locator("[data-up=word]").select_option(label="end token")
    player.evaluate(FRAME)
    assert "attention to the end token" in player.inner_text(".up-scale")
    assert json.loads(player.evaluate("() => JSON.stringify([...document.querySelectorAll('.up-prompt button')].length)")) == 6
