"""For everybody: WCAG AA by axe-core in both themes, the main job by keyboard with visible focus, and a live region that speaks."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.ui.axe import violations
from tests.ui.player_page import FRAME
from tests.ui.visitor import visit

pytest.importorskip("gradio")

DESK = {"width": 1280, "height": 800}
# What stands out around the element that has the focus, and what it would be called.
FOCUSED = """() => { const node = document.activeElement, look = getComputedStyle(node), outer = getComputedStyle(node.parentElement);
    const drawn = (one) => (one.outlineStyle !== 'none' && parseFloat(one.outlineWidth) >= 2) || /0px 0px 0px [2-9]px/.test(one.boxShadow);
    const name = node.getAttribute('aria-label') || node.labels && node.labels[0] && node.labels[0].innerText || node.innerText || node.id;
    return { tag: node.tagName, name: (name || '').trim().slice(0, 60), id: node.id, seen: drawn(look) || drawn(outer),
        css: node.className, inStage: Boolean(node.closest('#uc-stage')) }; }"""


@pytest.fixture(scope="module")
def page(browser: Any, site: str) -> Iterator[Any]:
    """One visitor who asked for little motion."""
    yield from visit(browser, site, DESK, reduced_motion="reduce")


def test_the_main_job_goes_by_keyboard_with_visible_focus(page):
    """From the top of the page: skip link, prompt, Generate, a cell pinned, a step taken. Nothing on the way is without a visible focus."""
    page.keyboard.press("Tab")
    first = page.evaluate(FOCUSED)
    assert first["name"] == "Skip to the player"
    stops = [first]
    for _ in range(60):
        page.keyboard.press("Tab")
        stops.append(page.evaluate(FOCUSED))
        if stops[-1]["inStage"] and "up-canvas" in stops[-1]["css"]:
            break
    names = [stop["name"] for stop in stops]
    assert [stop for stop in stops if not stop["seen"]] == []
    assert [stop for stop in stops if not stop["name"]] == []
    assert "Prompt" in names
    assert "Generate" in names
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.evaluate(FRAME)
    assert page.evaluate("() => window.UncagePage.shared.stage.state.pin") >= 0
    said = page.inner_text("#uc-stage .up-live")
    assert said.startswith("Pinned. Row ")
    assert "rank" in said or "decided in step" in said
    page.keyboard.press("Escape")
    page.evaluate(FRAME)
    assert page.inner_text("#uc-stage .up-live") == "Unpinned."
    page.keyboard.press(",")
    page.evaluate(FRAME)
    assert page.inner_text("#uc-stage .up-live").startswith("Step 15 of 16")


def test_the_skip_link_goes_to_the_player(page):
    page.evaluate("() => { document.activeElement.blur(); document.querySelector('.uc-skip').focus(); }")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED)["inStage"]


def test_after_generating_the_focus_is_still_on_the_button(page):
    before = page.get_attribute("#uc-stage [data-ready]", "data-ready")
    page.focus("#uc-generate")
    page.keyboard.press("Enter")
    page.wait_for_function("(old) => document.querySelector('#uc-stage [data-ready]').dataset.ready !== old", arg=before)
    page.wait_for_function("() => !document.body.classList.contains('uc-running')")
    assert page.evaluate(FOCUSED)["id"] == "uc-generate"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_on_the_page(page, theme):
    if page.evaluate("() => document.body.classList.contains('dark')") != (theme == "dark"):
        page.click(".uc-theme")
    page.locator('#uc-tabs button[role="tab"]', has_text="Play").click()
    for name in ("#uc-settings > button", "#uc-more-settings > button"):
        if "open" not in (page.get_attribute(name, "class") or ""):
            page.click(name)
    if not page.locator("#uc-chips .uc-editor").count():
        page.click('#uc-chips [data-word="1"]')
    page.evaluate("() => window.UncagePage.shared.stage.setState({ layer: 'word', word: 1, pin: 40, step: 3 })")
    page.wait_for_timeout(300)  # colours fade from one theme to the other
    assert violations(page) == []
    page.locator('#uc-tabs button[role="tab"]', has_text="Compare").click()
    assert violations(page, "#uc-tabs") == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_a_lesson(page, theme):
    if page.evaluate("() => document.body.classList.contains('dark')") != (theme == "dark"):
        page.click(".uc-theme")
    page.locator('#uc-tabs button[role="tab"]', has_text="Learn").click()
    if page.locator("#uc-learn .uc-lesson-card >> visible=true").count():
        assert violations(page, "#uc-learn") == []
        page.click("#uc-learn .uc-lesson-card[aria-label^='Lesson 1']")
        page.wait_for_selector("#uc-learn .uc-now")
    page.wait_for_timeout(300)
    assert violations(page, "#uc-learn") == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_the_offline_player(open_page, player_url, theme):
    page = open_page(player_url, color_scheme=theme, reduced_motion="reduce")
    page.evaluate("() => window.uncage.setState({ layer: 'object', pin: 40, step: 3 })")
    page.evaluate(FRAME)
    assert violations(page) == []
