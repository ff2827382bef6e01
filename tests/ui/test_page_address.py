"""Addresses: a link restores what was looked at, Back stays on the page, the player alone for a course page; errors that stay; the tour."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.ui.axe import violations
from tests.ui.player_page import FRAME
from tests.ui.visitor import run_to_end, shared, visit

pytest.importorskip("gradio")

DESK = {"width": 1280, "height": 800}
SIZES = ((1366, 768), (1600, 1000), (390, 844))
VIEW = "?example=failure&step=4&layer=word&word=2&cell=3-5&region=2-3-4-5&stage=B"


@pytest.fixture(scope="module")
def page(browser: Any, site: str) -> Iterator[Any]:
    """A visitor who followed a link to one cell of one stage."""
    yield from visit(browser, site + VIEW, DESK, reduced_motion="reduce")


def stage(page: Any) -> dict[str, Any]:
    page.evaluate(FRAME)
    return page.evaluate("() => window.UncagePage.shared.stage.state")


def test_a_link_restores_layer_word_cell_stage_and_region(page):
    now = stage(page)
    assert (now["step"], now["layer"], now["word"], now["pin"], now["touched"]) == (4, "word", 1, 2 * 12 + 4, 1)
    assert now["region"] == [1, 2, 3, 4]
    assert page.evaluate("() => window.UncagePage.shareLink()").endswith(VIEW.replace("?example", "/?example"))
    assert shared(page, "ids")[0].startswith("example:failure")


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_first_screen_at_other_sizes(page, size):
    page.evaluate("() => window.UncagePage.shared.stage.setState({ pin: -1, region: null, layer: 'picture' })")
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.evaluate("() => window.scrollTo(0, 0)")
    for _ in range(3):
        page.evaluate(FRAME)
    first_screen(page, size)
    page.set_viewport_size(DESK)


def first_screen(page: Any, size: tuple[int, int]) -> None:
    """Both pictures whole, their verdicts below them, then the transport: nothing lies over another, all is inside the window."""
    clock = page.locator("#uc-stage .up-clock").bounding_box()
    assert clock["y"] + clock["height"] <= size[1]
    assert clock["x"] + clock["width"] <= size[0]
    for selector in ("#uc-stage .up-canvas", "#uc-stage .up-verdict"):
        found = page.locator(selector).all()
        assert len(found) == 2
        for box in (node.bounding_box() for node in found):
            assert box["y"] >= 0
            assert box["y"] + box["height"] <= clock["y"], selector
            assert box["x"] + box["width"] <= size[0], selector


def test_open_settings_move_no_picture(page):
    page.set_viewport_size({"width": 1280, "height": 800})
    page.evaluate("() => window.scrollTo(0, 0)")
    for _ in range(3):
        page.evaluate(FRAME)
    before = [node.bounding_box() for node in page.locator("#uc-stage .up-canvas").all()]
    page.click("#uc-settings > button")
    page.wait_for_selector("#uc-seed >> visible=true")
    for _ in range(3):
        page.evaluate(FRAME)
    assert [node.bounding_box() for node in page.locator("#uc-stage .up-canvas").all()] == before
    first_screen(page, (1280, 800))
    panel = page.locator("#uc-settings > .label-wrap + div").bounding_box()
    assert panel["y"] + panel["height"] <= 800
    assert panel["x"] >= max(box["x"] + box["width"] for box in before)
    page.locator("#uc-seed input").press("Escape")
    page.wait_for_selector("#uc-seed", state="hidden")
    page.set_viewport_size(DESK)


def test_what_is_wrong_with_a_word_of_the_list_stays_among_the_words(page):
    page.fill("#uc-prompt textarea, #uc-prompt input", "red")
    page.wait_for_function("() => document.querySelectorAll('#uc-chips .uc-chip').length === 1")
    page.click("#uc-chips .uc-vocabulary summary")
    page.locator("#uc-chips .uc-words button", has_text="three").click()
    page.wait_for_selector("#uc-chips .uc-note:has-text('needs an object')")
    page.wait_for_timeout(500)
    assert page.locator(".toast-wrap >> visible=true").count() == 0
    assert page.input_value("#uc-prompt textarea, #uc-prompt input") == "red"
    page.locator("#uc-chips .uc-words button", has_text="cat").click()
    page.wait_for_function("() => document.querySelector('#uc-prompt textarea, #uc-prompt input').value === 'red and a cat'")
    page.wait_for_selector("#uc-chips .uc-note:has-text('needs an object')", state="detached")
    page.fill("#uc-prompt textarea, #uc-prompt input", "a turtle and a pink apple")
    page.wait_for_function("() => document.querySelectorAll('#uc-chips .uc-object').length === 2")


def test_back_stays_on_the_page(page):
    page.locator('#uc-tabs button[role="tab"]', has_text="Learn").click()
    page.locator("#uc-learn .uc-lesson-card[aria-label^='Lesson 2']").click()
    page.wait_for_selector('#uc-learn [data-lesson="2"]', state="attached")
    assert "lesson=2" in page.url
    page.evaluate("() => history.back()")
    page.wait_for_selector("#uc-learn .uc-lesson-card >> visible=true")
    assert "tab=learn" in page.url
    page.evaluate("() => history.back()")
    page.wait_for_selector("#uc-prompt >> visible=true")
    assert "tab=" not in page.url
    assert shared(page, "ids")[0].startswith("example:failure"), "nothing was loaded again"


def test_the_guided_first_play(page):
    page.click(".uc-tour-start >> visible=true")
    titles = []
    for number in range(4):
        titles.append(page.inner_text(".uc-tour h2"))
        box = page.locator(".uc-tour").bounding_box()
        assert box["x"] >= 0
        assert box["y"] >= 0
        assert box["x"] + box["width"] <= DESK["width"]
        assert box["y"] + box["height"] <= DESK["height"]
        assert page.evaluate("() => document.activeElement.classList.contains('uc-tour-next')")
        if number == 1:
            assert stage(page)["layer"] == "object"
        if number == 2:
            assert stage(page)["pin"] >= 0
            assert page.locator("#uc-stage .up-value.up-now").count() >= 1, "the card is about a cell that is picked now"
            assert violations(page, ".uc-tour") == []
        if number < 3:
            page.click(".uc-tour-next")
    assert titles == ["1. The prompt", "2. Attention", "3. The score", "4. The pick"]
    page.keyboard.press("Escape")
    assert page.locator(".uc-tour").count() == 0


def test_an_error_stays_beside_the_prompt_until_the_next_try(page):
    if "open" not in (page.get_attribute("#uc-settings > button", "class") or ""):
        page.click("#uc-settings > button")
    page.fill("#uc-seed input", "-1")
    page.keyboard.press("Tab")
    page.click("#uc-generate")
    page.wait_for_selector(".uc-problem >> visible=true")
    assert "seed=-1" in page.inner_text(".uc-problem")
    assert not page.evaluate("() => document.body.classList.contains('uc-running')")
    assert page.locator(".toast-wrap >> visible=true").count() == 0
    page.fill("#uc-seed input", "5")
    page.keyboard.press("Tab")
    page.click("#uc-generate")
    page.wait_for_function("() => window.UncagePage.shared.query && window.UncagePage.shared.query.seed === '5'")
    assert page.locator(".uc-problem").is_hidden()
    assert "seed=5" in page.url


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("?model=zzz&order=x", "model 'zzz' is not offered here"),
        ("?layer=<b>", "layer='<b>': choose one of picture"),
        ("?lesson=99", "lesson='99'"),
    ],
)
def test_what_is_left_out_of_an_address_is_told_above_the_pictures(browser, site, query, says):
    for page in visit(browser, site + query, DESK, reduced_motion="reduce"):
        note = page.locator("#uc-stage .uc-stage-note")
        assert note.is_visible()
        assert note.inner_text().startswith("Left out of the address: ")
        assert says in note.inner_text()
        assert note.locator("*").count() == 0, "text only"
        assert note.evaluate("(node) => node.scrollWidth <= node.clientWidth")
        assert shared(page, "ids")[0].startswith("example:"), "the page opens as it does without"


def test_what_is_left_out_beside_a_prompt_is_told_with_its_runs(browser, site):
    for page in visit(browser, site + "?prompt=a+cat+and+a+dog&num_steps=2&steps=abc", DESK, reduced_motion="reduce"):
        assert page.inner_text("#uc-stage .uc-stage-note") == "Left out of the address: 'steps' (is step or num_steps meant?)."
        assert page.locator("#uc-stage .up-stage").count() == 2
        run_to_end(page)
        assert page.locator("#uc-stage .uc-stage-note").is_hidden(), "once"


def test_a_notice_moves_the_pictures_and_leaves_them_their_size(browser, site):
    for page in visit(browser, site, DESK, reduced_motion="reduce"):
        before = page.locator("#uc-stage .up-canvas").last.bounding_box()
        page.fill("#uc-prompt textarea, #uc-prompt input", "")
        page.press("#uc-prompt textarea, #uc-prompt input", "Enter")
        page.wait_for_selector(".uc-problem >> visible=true")
        after = settled(page)
        assert after["y"] > before["y"]
        assert (after["width"], after["height"]) == (before["width"], before["height"])
        page.set_viewport_size({"width": 1400, "height": 900})
        assert settled(page)["width"] > before["width"], "another window lays everything out anew"
        page.set_viewport_size(DESK)
        assert settled(page)["width"] < before["width"]
        first_screen(page, (DESK["width"], DESK["height"]))


def settled(page: Any) -> dict[str, float]:
    """Where the last picture is, once what moved it has been drawn."""
    for _ in range(3):
        page.evaluate(FRAME)
    return page.locator("#uc-stage .up-canvas").last.bounding_box()


def test_another_seed_is_looked_at_as_the_one_before(page):
    page.evaluate("() => window.UncagePage.shared.stage.setState({ layer: 'order', step: 3 })")
    page.click("#uc-stage .up-seed")
    page.wait_for_function("() => window.UncagePage.shared.query && window.UncagePage.shared.query.seed !== '5'")
    page.wait_for_function("() => !document.body.classList.contains('uc-running')")
    assert stage(page)["layer"] == "order"
    assert f"seed={shared(page, 'query')['seed']}" in page.url


def test_the_player_alone_in_a_course_page(browser, site):
    for page in visit(browser, site + "?embed=1&example=rescue&layer=object", {"width": 900, "height": 640}, reduced_motion="reduce"):
        for hidden in ("#uc-prompt", "#uc-generate", "#uc-tabs [role=tab] >> nth=0", "#uc-takeaway", ".uc-header", "footer"):
            assert page.locator(hidden).first.is_hidden(), hidden
        assert stage(page)["layer"] == "object"
        box = page.locator("#uc-stage .up-clock").bounding_box()
        assert box["y"] + box["height"] <= 640
        link = page.get_attribute(".uc-open-full", "href")
        assert "embed" not in link
        assert "example=rescue" in link
