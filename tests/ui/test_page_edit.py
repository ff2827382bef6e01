"""The brush in a real browser: paint, draw again, undo, take away; with mouse, finger and keys."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.ui.visitor import PHONE, WIDE, run_to_end, shared, visit
from uncage_demo.trace.record import Trace

pytest.importorskip("gradio")

STAGE = "#uc-stage .up-canvas >> nth=0"
FOCUSED = "() => document.activeElement.closest('.up-stage')?.querySelector('.up-letter').textContent"
BRUSH = "() => { const b = window.UncagePage.shared.stage.player.brush; return [...b.cells.keys()].filter((i) => b.cells[i]); }"


def painted(page: Any) -> list[int]:
    return page.evaluate(BRUSH)


def middle(page: Any, cell: int, grid: tuple[int, int] = (6, 6)) -> tuple[float, float]:
    """Where a cell of the first stage is on the screen."""
    page.locator(STAGE).scroll_into_view_if_needed()
    box = page.locator(STAGE).bounding_box()
    y, x = divmod(cell, grid[1])
    return box["x"] + box["width"] * (x + 0.5) / grid[1], box["y"] + box["height"] * (y + 0.5) / grid[0]


def drag(page: Any, start: int, end: int) -> None:
    page.mouse.move(*middle(page, start))
    page.mouse.down()
    page.mouse.move(*middle(page, end), steps=4)
    page.mouse.up()


def wait_for_next(page: Any, act: Any) -> None:
    before = page.get_attribute("#uc-stage [data-ready]", "data-ready")
    act()
    page.wait_for_function("(old) => document.querySelector('#uc-stage [data-ready]').dataset.ready !== old", arg=before)


def taken_away(page: Any, folder: Path) -> list[Trace]:
    """The runs on stage, as files."""
    with page.expect_download() as coming:
        page.click("#uc-takeaway [data-kind=npz]")
    folder.mkdir()
    coming.value.save_as(folder / "runs.zip")
    zipfile.ZipFile(folder / "runs.zip").extractall(folder)
    return [Trace.load(path) for path in sorted(folder.glob("*.npz"))]


def taken_html(page: Any, path: Path) -> str:
    """The stand-alone player of the runs on stage."""
    with page.expect_download() as coming:
        page.click("#uc-takeaway [data-kind=html]")
    coming.value.save_as(path)
    return path.read_text(encoding="utf-8")


def test_paint_draw_again_undo_and_export(browser, site, tmp_path):
    for page in visit(browser, site, WIDE):
        run_to_end(page)
        ids = shared(page, "ids")
        page.click("[data-up=editOpen]")
        send = page.locator("#uc-stage [data-edit=send]")
        assert send.is_disabled(), "nothing is painted yet"
        drag(page, 7, 10)
        assert painted(page) == [7, 8, 9, 10]
        page.click("#uc-stage [data-edit=box]")
        drag(page, 25, 32)
        assert painted(page) == [7, 8, 9, 10, 25, 26, 31, 32]
        page.click("#uc-stage [data-edit=undo]")
        page.click("#uc-stage [data-edit=invert]")
        assert len(painted(page)) == 32
        page.click("#uc-stage [data-edit=undo]")
        assert painted(page) == [7, 8, 9, 10]
        assert "4 cells of 36 painted" in page.inner_text("#uc-stage .up-edit-count")

        wait_for_next(page, send.click)
        assert shared(page, "ids")[:2] == ids, "the same prompt: it joins the stages"
        assert "4 cells drawn again" in page.inner_text("#uc-stage .up-stage >> nth=2")
        first, *_, edited = sorted(taken_away(page, tmp_path / "joined"), key=lambda trace: trace.origin is not None)
        assert edited.origin is not None
        source = next(t for t in taken_away(page, tmp_path / "again") if t.id == edited.origin.source)
        assert np.array_equal(np.delete(source.tokens.flat, [7, 8, 9, 10]), np.delete(edited.tokens.flat, [7, 8, 9, 10]))
        assert first.origin is None

        assert page.is_visible("#uc-stage .up-edit"), "the brush is still there"
        drag(page, 0, 1)
        page.fill("#uc-stage [data-edit=prompt]", "a turtle and a blue apple")
        wait_for_next(page, page.locator("#uc-stage [data-edit=send]").click)
        assert page.locator("#uc-stage .up-stage").count() == 4, "another prompt joins the stages, too"
        lines = page.locator("#uc-stage .up-prompt-line").all_inner_texts()
        assert ["".join(line.split()) for line in lines] == ["ABCaturtleandapinkapple", "Daturtleandablueapple"]
        assert page.input_value("#uc-stage [data-edit=picture]") == "3", "the newest picture is the one to go on with"
        assert page.input_value("#uc-stage [data-edit=prompt]") == "a turtle and a blue apple"
        page.click("#uc-stage .up-prompt-line >> nth=1 >> [data-word] >> text=blue")
        page.wait_for_selector("#uc-stage [data-layer=word][aria-checked=true]")
        page.click("#uc-stage [data-layer=difference]")
        page.click("#uc-stage [data-layer=picture]")
        html = taken_html(page, tmp_path / "both.html")
        assert "a blue apple" in html
        assert "a pink apple" in html
        wait_for_next(page, page.locator("#uc-stage [data-edit=unedit]").click)
        assert len(shared(page, "ids")) == 3
        wait_for_next(page, page.locator("#uc-stage [data-edit=unedit]").click)
        assert shared(page, "ids") == ids
        assert page.locator("#uc-stage [data-edit=unedit]").is_hidden()
        assert page.is_visible("#uc-stage .up-edit"), "who undid an edit goes on with the brush"


def test_keys_reach_the_brush_and_places(browser, site):
    for page in visit(browser, site, WIDE):
        run_to_end(page)
        page.focus("[data-up=editOpen]")
        page.keyboard.press("Enter")
        page.focus(STAGE)
        assert "Enter or Space paints a cell" in page.get_attribute(STAGE, "aria-label")
        page.keyboard.press("ArrowRight")  # to the middle
        page.keyboard.press("Space")
        assert painted(page) == [21]
        page.keyboard.press("Enter")
        page.keyboard.press("Enter")
        assert painted(page) == [21]
        page.keyboard.press("Shift+ArrowRight")
        assert painted(page) == [21, 22]
        page.keyboard.press("Control+z")
        assert painted(page) == [21]
        page.focus("#uc-stage [data-edit=edit]")
        for _ in range(4):
            page.keyboard.press("ArrowRight")
        assert page.get_attribute("#uc-stage [data-edit=compose]", "aria-checked") == "true"
        page.focus(STAGE)
        for keys in (("Space", "ArrowUp", "ArrowLeft", "Space"), ("ArrowDown", "ArrowDown", "Space", "ArrowDown", "ArrowRight", "Space")):
            for key in keys:
                page.keyboard.press(key)
        assert "2 objects have a box" in page.inner_text("#uc-stage .up-edit-count")
        wait_for_next(page, page.locator("#uc-stage [data-edit=send]").click)
        assert "With 2 regions" in page.inner_text("#uc-stage .up-stage >> nth=2")
        assert "in its region" in page.inner_text("#uc-stage .up-stage >> nth=2")


def test_a_remix_opens_its_share_and_painted_cells_are_pinned(browser, site, tmp_path):
    for page in visit(browser, site, WIDE):
        run_to_end(page)
        page.click("[data-up=editOpen]")
        page.click("#uc-stage [data-edit=remix]")
        page.fill("#uc-stage [data-edit=prompt]", "a turtle and a blue apple")
        page.fill("#uc-stage [data-edit=strength]", "0.5")
        page.fill("#uc-stage [data-edit=rounds]", "2")
        wait_for_next(page, page.locator("#uc-stage [data-edit=send]").click)
        rounds = [trace for trace in taken_away(page, tmp_path / "mixed") if trace.origin is not None]
        told = [(t.origin.kind, t.origin.strength, t.prompt.text) for t in rounds if t.origin]
        assert told == 2 * [("remix", 0.5, "a turtle and a blue apple")]
        assert "Round 2, 9 cells" in page.inner_text("#uc-stage .up-stage >> nth=3")
        wait_for_next(page, page.locator("#uc-stage [data-edit=unedit]").click)

        page.click("#uc-stage [data-edit=edit]")
        drag(page, 20, 21)
        page.click("#uc-stage [data-edit=compose]")
        drag(page, 0, 7)
        page.check("#uc-stage [data-edit=pins]")
        assert "2 painted cells of A" in page.inner_text("#uc-stage .up-edit")
        wait_for_next(page, page.locator("#uc-stage [data-edit=send]").click)
        assert "With 2 pins and 1 region" in page.inner_text("#uc-stage .up-stage >> nth=2")
        made = taken_away(page, tmp_path / "made")
        composed = next(trace for trace in made if trace.origin is not None)
        source = next(trace for trace in made if trace.origin is None and trace.config["order"] == composed.config["order"])
        assert np.array_equal(source.tokens.flat[20:22], composed.tokens.flat[20:22]), "what is pinned stays, token for token"


def finger(page: Any, kind: str, *points: tuple[float, float]) -> None:
    """What a finger does, as the browser itself would make it of a screen that is touched."""
    touches = [{"x": x, "y": y, "id": 1} for x, y in points]
    page.touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})


def swipe(page: Any, start: int, end: int) -> None:
    """A finger goes from one cell to another in a few moves."""
    (x, y), (u, v) = middle(page, start), middle(page, end)
    finger(page, "touchStart", (x, y))
    for k in range(1, 5):
        finger(page, "touchMove", (x + (u - x) * k / 4, y + (v - y) * k / 4))
    finger(page, "touchEnd")


def test_fingers_paint_on_a_phone_and_nothing_is_too_wide(browser, site):
    for page in visit(browser, site, PHONE, has_touch=True, is_mobile=True):
        page.touch = page.context.new_cdp_session(page)
        run_to_end(page)
        page.click("[data-up=editOpen]")
        page.touchscreen.tap(*middle(page, 8))
        assert painted(page) == [8]
        above = page.evaluate("() => window.scrollY")
        swipe(page, 12, 30)
        assert painted(page) == [8, 12, 18, 24, 30], "a finger paints and does not scroll"
        assert page.evaluate("() => window.scrollY") == above
        swipe(page, 30, 18)
        assert painted(page) == [8, 12], "a stroke that starts on a painted cell takes cells back"
        page.click("#uc-stage [data-edit=box]")
        swipe(page, 21, 35)
        assert painted(page) == [8, 12, 21, 22, 23, 27, 28, 29, 33, 34, 35]
        for mode in ("extend", "remix", "compose", "edit"):
            page.click(f"#uc-stage [data-edit={mode}]")
            assert page.evaluate("() => document.documentElement.scrollWidth") <= PHONE["width"]
        page.click("#uc-stage [data-edit=compose]")
        swipe(page, 0, 14)
        assert "1 object has a box" in page.inner_text("#uc-stage .up-edit-count")
        for node in page.locator("#uc-stage .up-edit button:visible, #uc-stage .up-edit select:visible").all():
            assert node.bounding_box()["height"] >= 38, node.inner_text()
        wait_for_next(page, page.locator("#uc-stage [data-edit=send]").tap)
        assert "With 1 region" in page.inner_text("#uc-stage .up-stage >> nth=2")


def test_a_tap_counts_right_after_a_quick_stroke(browser, site):
    """Chromium takes the stroke for a fling and would give the next tap to it."""
    for page in visit(browser, site, PHONE, has_touch=True, is_mobile=True):
        page.touch = page.context.new_cdp_session(page)
        speed = page.locator("#uc-stage [data-up=speed]")
        for place in ("#uc-stage [data-up=timeline]", "#uc-stage .up-chart >> nth=0"):
            for _ in range(3):
                page.locator(place).scroll_into_view_if_needed()
                box, said = page.locator(place).bounding_box(), speed.inner_text()
                y = box["y"] + box["height"] / 2
                finger(page, "touchStart", (box["x"] + 10, y))
                for k in range(1, 5):
                    finger(page, "touchMove", (box["x"] + 10 + 50 * k, y))
                finger(page, "touchEnd")
                speed.tap()
                page.wait_for_function(
                    "(said) => document.querySelector('#uc-stage [data-up=speed]').innerText !== said", arg=said, timeout=20000
                )


def test_a_region_leads_to_the_brush_and_three_actions_are_enough(browser, site):
    for page in visit(browser, site, WIDE):
        run_to_end(page)
        drag(page, 14, 28)
        page.click("#uc-stage [data-region=compose]")
        assert "1 object has a box" in page.inner_text("#uc-stage .up-edit-count")
        wait_for_next(page, page.locator("#uc-stage [data-edit=send]").click)
        stage = page.inner_text("#uc-stage .up-stage >> nth=2")
        assert "With 1 region" in stage
        assert "in its region" in stage
        page.click("#uc-stage .up-edit >> text=Close")
        page.focus(STAGE)
        page.evaluate("() => window.UncagePage.shared.stage.setState({ step: 0, pin: 14 })")
        page.wait_for_function("() => document.querySelector('#uc-stage .up-sight').innerText.includes('In the region of')")

        page.click("[data-up=editOpen]")
        page.click("#uc-stage [data-edit=extend]")
        assert "will be drawn" in page.inner_text("#uc-stage .up-edit-count"), "the left side is proposed"
        wait_for_next(page, page.locator("#uc-stage [data-edit=send]").click)
        extended = page.inner_text("#uc-stage .up-stage >> nth=3")
        assert "Extended: 2 columns on the left" in extended
        assert "2 columns further right" in extended
        assert page.evaluate(FOCUSED) == "D", "the focus goes to what was drawn"

        page.click("#uc-stage [data-edit=edit]")
        page.select_option("#uc-stage [data-edit=object]", label="pink apple")
        page.keyboard.type("blue")
        assert page.input_value("#uc-stage [data-edit=prompt]") == "a turtle and a blue apple", "the colour is ready to be written over"


def test_an_own_picture_is_read_and_can_be_painted(browser, site, tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)).save(tmp_path / "mine.png")
    for page in visit(browser, site, WIDE):
        field = page.locator("#uc-bar input[accept*='.png']")
        wait_for_next(page, lambda field=field: field.set_input_files(tmp_path / "mine.png"))
        assert page.locator("#uc-stage .uc-own img").count() == 3
        assert "from 90 × 60" in page.inner_text("#uc-stage .uc-own")
        assert page.is_visible("#uc-stage .up-edit")
        page.mouse.click(*middle(page, 3))
        wait_for_next(page, page.locator("#uc-stage [data-edit=send]").click)
        assert "1 cell drawn again" in page.inner_text("#uc-stage .up-stage >> nth=1")
        (tmp_path / "broken.png").write_bytes(b"\x89PNG broken")
        field.set_input_files(tmp_path / "broken.png")
        page.wait_for_selector("#uc-problem .uc-problem >> visible=true")
        assert "no picture that can be read" in page.inner_text("#uc-problem .uc-problem")
        assert page.locator(".toast-wrap >> visible=true").count() == 0
        assert page.locator("#uc-stage .up-stage").count() == 2, "the runs on stage stay"


def test_a_picture_gives_its_structure_and_mistakes_stay_in_the_panel(browser, site, tmp_path):
    for page in visit(browser, site, WIDE):
        run_to_end(page)
        page.click("[data-up=editOpen]")
        page.click("#uc-stage [data-edit=sketch]")
        assert "half as many forward passes again" in page.inner_text("#uc-stage .up-edit"), "what it costs is said"
        assert page.is_hidden("#uc-stage [data-edit=order]"), "likeness decides, not an order"
        page.fill("#uc-stage [data-edit=prompt]", "a zebra")
        page.click("#uc-stage [data-edit=send]")
        page.wait_for_selector("#uc-stage .up-edit-problem >> visible=true")
        assert "zebra" in page.inner_text("#uc-stage .up-edit-problem")
        assert page.locator(".toast-wrap >> visible=true").count() == 0
        page.fill("#uc-stage [data-edit=prompt]", "a cat and a blue bow")
        assert page.is_hidden("#uc-stage .up-edit-problem"), "it is gone once the prompt is changed"
        page.fill("#uc-stage [data-edit=likeness]", "0.8")
        wait_for_next(page, page.locator("#uc-stage [data-edit=send]").click)
        stage = page.inner_text("#uc-stage .up-stage >> nth=2")
        assert "With a picture's structure" in stage
        assert "none of its tokens was kept" in stage
        told = [(trace.origin, trace.prompt.text) for trace in taken_away(page, tmp_path / "made")]
        assert [(origin.kind, origin.strength, text) for origin, text in told if origin is not None] == [
            ("sketch", 0.8, "a cat and a blue bow")
        ]
