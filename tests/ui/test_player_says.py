"""What the player says without being pointed at, to eyes, keys and fingers; and what stays in view."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.ui.player_page import FRAME, put, state

PHONE: dict[str, Any] = {"reduced_motion": "reduce", "has_touch": True, "is_mobile": True}
BOX = """(selector) => { const { top, bottom } = document.querySelector(selector).getBoundingClientRect(); return [top, bottom]; }"""


def test_the_unit_of_confidence_is_named(player: Any) -> None:
    put(player, pin=40)
    assert player.inner_text(".up-row-confidence th").split("\n") == ["confidence", "log-probability"]


def test_the_timeline_has_the_keys_of_a_slider(player: Any) -> None:
    player.get_by_role("slider", name="Step").focus()
    reached = []
    for key in ("PageUp", "PageUp", "ArrowUp", "PageDown", "ArrowDown", "End", "PageUp", "PageDown", "Home", "PageDown"):
        player.keyboard.press(key)
        reached.append(state(player)["step"])
    assert reached == [2, 4, 5, 3, 2, 11, 11, 9, 0, 0]


def test_the_page_still_scrolls_by_its_keys_elsewhere(player: Any) -> None:
    player.focus(".up-canvas")
    before = player.evaluate("() => window.scrollY")
    player.keyboard.press("PageDown")
    player.wait_for_function("(before) => window.scrollY > before", arg=before)
    assert state(player)["step"] == 0


def test_the_focus_is_seen_around_a_picture(player: Any) -> None:
    look = """() => { const look = getComputedStyle(document.querySelector(".up-frame"));
        return [look.outlineStyle, look.outlineWidth, look.outlineOffset, look.outlineColor]; }"""
    assert player.evaluate(look)[0] == "none"
    player.focus("[data-layer=picture]")
    while player.evaluate("() => document.activeElement.className") != "up-canvas":
        player.keyboard.press("Tab")
    player.evaluate(FRAME)
    style, width, offset, color = player.evaluate(look)
    assert (style, width, offset) == ("solid", "3px", "3px")
    assert color == player.evaluate("() => getComputedStyle(document.querySelector('.up-play')).backgroundColor"), "the accent"


@pytest.mark.parametrize("size", [(1280, 800), (1000, 800), (390, 844)], ids=str)
def test_what_if_is_used_with_the_pictures_in_view(open_page: Callable[..., Any], player_url: str, size: tuple[int, int]) -> None:
    page = open_page(player_url, *size, reduced_motion="reduce")
    put(page, step=1, pin=40 if size[0] > 1000 else -1)  # a pinned cell makes the column above the panel long
    page.locator(".up-whatif").evaluate("(node) => node.scrollIntoView({ block: 'end' })")
    page.evaluate("() => window.scrollBy(0, 200)")  # the pictures have gone
    assert page.evaluate(BOX, ".up-stages")[0] < 0
    page.locator(".up-whatif input[type=range]").first.fill("9")
    page.evaluate(FRAME)
    page.evaluate(FRAME)
    top, bottom = page.evaluate(BOX, ".up-stages")
    assert 0 <= top < bottom <= size[1]
    slider = page.evaluate(BOX, ".up-whatif .up-weight")
    assert 0 <= slider[0] < slider[1] <= size[1]
    if size[0] <= 1000:
        assert slider[0] >= bottom, "below the pictures, not under them"
    page.evaluate("() => window.scrollTo(0, 0)")
    put(page, step=2)
    assert page.evaluate("() => window.scrollY") == 0, "another step moves no page"
    page.locator(".up-whatif").evaluate("(node) => node.scrollIntoView({ block: 'end' })")
    page.get_by_role("button", name="Off").click()
    page.evaluate(FRAME)
    page.evaluate("() => window.scrollBy(0, 1)")
    assert page.evaluate(BOX, ".up-stages")[0] < 0, "and then they scroll as ever"


@pytest.mark.parametrize(
    ("touch", "said", "unsaid"), [(True, ["Tap a cell", "Press “Select”"], "Shift"), (False, ["Point at a cell", "Shift"], "Tap")]
)
def test_hints_speak_of_what_a_visitor_has(
    open_page: Callable[..., Any], player_url: str, touch: bool, said: list[str], unsaid: str
) -> None:
    page = open_page(player_url, 390, 844, **(PHONE if touch else {"reduced_motion": "reduce"}))
    page.evaluate(FRAME)
    text = page.inner_text(".up")
    for words in said:
        assert words in text
    assert unsaid not in text
    page.locator(".up-present").click()
    page.evaluate(FRAME)
    assert page.locator(".up-present-keys").is_visible() is not touch
