"""The page in a real browser, with the tiny real model and shipped-style example runs: what a visitor does, and what then is there."""

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.factories import make_trace
from tests.ui.visitor import HOSTILE, PACE, PHONE, WIDE, click_cell, drop, run_to_end, set_prompt, shared, visit
from uncage_demo.backends.large.catalog import ENTRIES
from uncage_demo.trace.record import Trace

gr = pytest.importorskip("gradio")
RUNS, EDITS = ("generate", "compare", "branch"), ("edit", "extend", "remix", "compose", "read_picture")
ENDPOINTS = {f"/{name}" for name in (*RUNS, *EDITS, "open_trace", "export", "parse", "list_models", "sketch")}


@pytest.fixture(scope="module")
def page(browser: Any, site: str) -> Iterator[Any]:
    """One visitor at a desk, for the tests that follow one another."""
    yield from visit(browser, site, WIDE)


def open_tab(page: Any, name: str) -> None:
    page.locator('#uc-tabs button[role="tab"]', has_text=name).click()


def distinct_colors(page: Any, selector: str) -> list[int]:
    """How many colours each canvas holds: a blank one has one."""
    return page.evaluate(
        """(selector) => [...document.querySelectorAll(selector)].map((c) => {
            const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data, seen = new Set();
            for (let i = 0; i < d.length; i += 4) seen.add((d[i] << 16) | (d[i + 1] << 8) | d[i + 2]);
            return seen.size; })""",
        selector,
    )


def test_it_opens_with_a_finished_example_that_plays_without_the_server(page):
    assert shared(page, "ids") == ["example:rescue.meissonic", "example:rescue.uncage"]
    assert page.locator("#uc-stage .up-stage").count() == 2
    assert "About rescue." in page.inner_text("#uc-stage")
    assert [c.inner_text() for c in page.locator("#uc-chips .uc-object").all()] == ["turtle", "apple"]
    page.evaluate("() => { const p = window.UncagePage.shared.stage; p.setStep(0); }")
    page.wait_for_timeout(500)
    before = len(page.seen)
    page.evaluate("() => window.UncagePage.shared.stage.play()")
    page.wait_for_function("() => window.UncagePage.shared.stage.state.step >= 8")
    assert [u for u in page.seen[before:] if "heartbeat" not in u] == []
    assert all(n > 50 for n in distinct_colors(page, "#uc-stage .up-stage canvas"))


def test_the_first_screen_holds_prompt_button_and_both_stages(page):
    for selector in ("#uc-prompt", "#uc-generate", "#uc-stage .up-canvas >> nth=0", "#uc-stage .up-canvas >> nth=1", "#uc-stage .up-clock"):
        box = page.locator(selector).bounding_box()
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= WIDE["height"]
        assert box["x"] + box["width"] <= WIDE["width"]


def test_generate_shows_progress_at_once_then_live_pictures_then_the_pair(page, monkeypatch):
    monkeypatch.setattr("uncage_demo.ui.live.PICTURE_SHARE", 1.0)  # a busy machine would have time for one picture only
    page.evaluate("""() => { window.live = []; new MutationObserver(() => {
        for (const c of document.querySelectorAll('#uc-stage .uc-live canvas[data-step]')) window.live.push(Number(c.dataset.step));
    }).observe(document.querySelector('#uc-stage'), {subtree: true, childList: true, attributes: true}); }""")
    at_once = page.evaluate("""() => { document.querySelector('#uc-generate').click();
        const bar = document.querySelector('#uc-stage .uc-progress'); return [bar.hidden, bar.innerText]; }""")
    assert at_once[0] is False
    assert at_once[1]
    page.wait_for_function(
        "() => !document.body.classList.contains('uc-running') && !window.UncagePage.shared.ids[0].startsWith('example')"
    )
    seen = page.evaluate("() => window.live")
    assert len(set(seen)) >= 2, "pictures arrived while decoding"
    assert page.locator("#uc-stage .up-stage").count() == 2
    assert "Detector:" in page.inner_text("#uc-stage")
    page.wait_for_function("() => window.UncagePage.shared.stage.state.step === 15")
    assert all(n > 50 for n in distinct_colors(page, "#uc-stage .up-stage canvas"))


def test_a_branch_joins_the_stages(page):
    if shared(page, "ids")[0].startswith("example"):  # a shipped example here is of no model that could go on
        run_to_end(page)
    page.evaluate("() => window.UncagePage.shared.stage.setStep(15)")
    assert page.locator("#uc-stage .up-branch select").nth(1).is_disabled(), "in the last step every order keeps the same cells"
    page.evaluate("() => window.UncagePage.shared.stage.setStep(6)")
    page.locator("#uc-stage .up-branch select").nth(1).select_option("halton")
    page.wait_for_function("() => window.UncagePage.shared.ids.length === 3")
    page.wait_for_function("() => document.querySelectorAll('#uc-stage .up-stage').length === 3")
    assert page.inner_text("#uc-stage .up-stage >> nth=2").startswith("C\nHalton · step 7 · switch from Baseline")


def test_cancel_stops_and_keeps_the_last_run(page):
    ids = shared(page, "ids")
    page.click("#uc-settings button")
    page.get_by_label("number input for Steps").fill("64")
    page.keyboard.press("Tab")
    PACE.hold_after(4)  # however slow the page is, the run cannot end before it is cancelled
    try:
        page.click("#uc-generate")
        page.wait_for_function("() => document.querySelector('#uc-stage .uc-progress').innerText.startsWith('Step')")
        page.click("#uc-cancel")
        page.wait_for_function("() => document.querySelector('#uc-stage').innerText.includes('Stopped')")
        page.wait_for_function("() => !document.body.classList.contains('uc-running')")
    finally:
        PACE.release()
    assert shared(page, "ids") == ids
    assert page.is_visible("#uc-generate")
    page.get_by_label("number input for Steps").fill("16")
    page.keyboard.press("Tab")
    page.click("#uc-settings button")
    run_to_end(page)  # the device is free again
    assert shared(page, "ids") != ids


@pytest.mark.parametrize("prompt", ["three", "red", "a cat and a cat and a cat and a cat", "!!!", "a zebra and a cat"])
def test_what_is_wrong_with_the_words_is_said_once_beside_them(page, prompt):
    set_prompt(page, prompt)
    page.press("#uc-prompt textarea, #uc-prompt input", "Enter")  # before the words have been read again
    page.wait_for_selector("#uc-chips .uc-note[role=alert]")
    page.wait_for_function("() => !document.body.classList.contains('uc-running')")
    page.wait_for_timeout(500)
    assert page.locator("#uc-chips .uc-note").count() == 1
    assert page.inner_text("#uc-chips .uc-note[role=alert]").startswith("Nothing was drawn: ")
    assert page.locator(".uc-problem, .uc-stage-note, .toast-wrap").locator("visible=true").count() == 0
    set_prompt(page, prompt + " ")
    assert page.locator("#uc-chips .uc-note").count() == 1


def test_an_empty_prompt_has_no_words_and_is_told_of_beside_the_field(page):
    set_prompt(page, "")
    page.click("#uc-generate")
    page.wait_for_selector(".uc-problem:has-text('The prompt is empty') >> visible=true")


def test_unknown_words_are_named_and_replaced_by_a_click(page):
    set_prompt(page, "a blue tutle and a cat")
    page.wait_for_selector("#uc-chips .uc-unknown")
    before = shared(page, "ids")
    page.click("#uc-generate")
    page.wait_for_selector("text=tutle >> visible=true")
    page.wait_for_function("() => !document.body.classList.contains('uc-running')")
    assert shared(page, "ids") == before, "nothing is generated from a prompt that was not understood"
    page.locator("#uc-chips .uc-suggest", has_text="turtle").first.click()
    page.wait_for_function("() => document.querySelector('#uc-prompt textarea, #uc-prompt input').value === 'a blue turtle and a cat'")
    page.wait_for_function("() => document.querySelectorAll('#uc-chips .uc-object').length === 2")


@pytest.mark.parametrize("focus", ["chip", "menu", "nowhere"])
def test_escape_closes_the_menu_of_a_word(page, focus):
    chip = page.locator('#uc-chips [data-word="1"]')
    chip.click()
    page.wait_for_selector("#uc-chips .uc-editor")
    if focus == "menu":
        page.locator("#uc-chips .uc-editor button").first.focus()
    elif focus == "nowhere":
        page.evaluate("() => document.activeElement.blur()")
    page.keyboard.press("Escape")
    assert page.locator("#uc-chips .uc-editor").count() == 0
    assert chip.evaluate("(node) => node === document.activeElement")
    assert chip.get_attribute("aria-expanded") == "false"


def test_a_corrected_attribute_is_what_guidance_uses(page):
    page.locator('#uc-chips [data-word="1"]').click()
    page.locator("#uc-chips .uc-editor button", has_text="Attach to cat").click()
    page.wait_for_selector("#uc-chips .uc-reset")
    assert "belongs to blue cat" in page.locator('#uc-chips [data-word="1"]').get_attribute("aria-label")
    run_to_end(page)
    answer = page.evaluate("() => JSON.parse(window.UncagePage.shared.query.edits)")
    assert answer == [{"object": [2], "attributes": []}, {"object": [5], "attributes": [[1]]}]
    assert "overrides=" in shared(page, "python")
    assert "--subjects" in shared(page, "command")


def test_runs_can_be_taken_away_and_opened_again(page, tmp_path):
    with page.expect_download() as coming:
        page.click("#uc-takeaway [data-kind=npz]")
    coming.value.save_as(tmp_path / "runs.zip")
    names = zipfile.ZipFile(tmp_path / "runs.zip").namelist()
    assert len(names) == 2
    zipfile.ZipFile(tmp_path / "runs.zip").extractall(tmp_path)
    trace = Trace.load(tmp_path / names[1])
    assert [s.label for s in trace.prompt.subjects] == ["turtle", "blue cat"]
    drop(page, "#uc-stage .uc-stage", tmp_path / names[1])
    page.wait_for_function("() => window.UncagePage.shared.ids.length === 1")
    assert page.locator("#uc-stage .up-stage").count() == 1
    drop(page, "#uc-stage .uc-stage", tmp_path / "runs.zip")
    page.wait_for_function("() => window.UncagePage.shared.ids.length === 2")
    drop(page, "#uc-stage .uc-stage", tmp_path / names[1])
    page.wait_for_function("() => window.UncagePage.shared.ids.length === 1")
    page.set_input_files("input[accept*='.npz']", [tmp_path / name for name in names])
    page.wait_for_function("() => window.UncagePage.shared.ids.length === 2")
    drop(page, "#uc-stage .uc-stage", tmp_path / names[1])
    page.wait_for_function("() => window.UncagePage.shared.ids.length === 1")
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 not a trace")
    page.set_input_files("input[accept*='.npz']", tmp_path / "broken.npz")
    page.wait_for_function("() => document.body.innerText.includes('not a readable trace file')")
    assert len(shared(page, "ids")) == 1, "the run on stage stays"


def test_prompts_are_never_markup(page):
    set_prompt(page, HOSTILE)
    page.wait_for_function("() => document.querySelector('#uc-chips').innerText.includes('onerror')")
    assert page.evaluate("() => window.hacked") is None
    assert page.locator("#uc-chips img, #uc-stage img").count() == 0
    assert "42" not in page.inner_text("#uc-chips")


def test_compare_shows_a_grid_and_opens_a_row_on_the_stage(page):
    set_prompt(page, "a turtle and a pink apple")
    open_tab(page, "Compare")
    page.fill("#uc-seeds textarea, #uc-seeds input", "0-1")
    page.click("#uc-compare")
    page.wait_for_selector("#uc-grid [data-ready]", state="attached")
    page.wait_for_selector("#uc-grid .up-stage")
    assert page.locator("#uc-grid .up-stage").count() == 6
    page.locator("#uc-grid .uc-grid-rows button", has_text="Seed 1").click()
    page.wait_for_function("() => window.UncagePage.shared.query && window.UncagePage.shared.query.seed === '1'")
    assert page.locator("#uc-stage .up-stage").count() == 3


def test_the_results_tab_says_what_there_is(page):
    open_tab(page, "Results")
    page.wait_for_function("() => /results|Every number/.test(document.body.innerText)")


def test_a_link_restores_prompt_settings_and_step(browser, site):
    query = "?prompt=a+cat+and+a+red+car&orders=random,halton&seed=5&num_steps=12&contrast_weight=7&step=4"
    for page in visit(browser, site + query, WIDE):
        page.wait_for_function("() => window.UncagePage.shared.stage.state.step === 4")
        assert page.input_value("#uc-prompt textarea, #uc-prompt input") == "a cat and a red car"
        restored = shared(page, "query")
        assert (restored["orders"], restored["seed"], restored["num_steps"], restored["contrast_weight"]) == (
            "random,halton",
            "5",
            "12",
            "7",
        )
        link = page.evaluate("() => window.UncagePage.shareLink()")
        assert "step=4" in link
        assert "seed=5" in link


def test_an_address_of_runs_restores_their_settings(browser, site):
    for page in visit(browser, site, WIDE):
        page.click("#uc-settings > button")
        page.fill("#uc-seed input", "77")
        page.keyboard.press("Tab")
        page.get_by_label("Guided steps").first.fill("3")
        page.keyboard.press("Tab")
        run_to_end(page)
        ids = shared(page, "ids")
        for guided, run in (("3", ",".join(ids)), ("", "example:rescue.meissonic,example:rescue.uncage")):
            page.goto(f"{site}?runs={run}", wait_until="domcontentloaded")
            page.wait_for_selector("#uc-stage [data-ready]", state="attached")
            page.click("#uc-settings > button")
            # Fields get their values one after the other; what is left open stays blank.
            page.get_by_label("Guided steps").first.wait_for()
            assert page.get_by_label("Guided steps").first.input_value() == guided
            expect(page.locator("#uc-seed input")).to_have_value("77" if guided else "0")


def test_lessons_work_on_a_phone_without_a_model(browser, site):
    for page in visit(browser, site + "?lesson=1", PHONE, has_touch=True, is_mobile=True):
        page.wait_for_selector("#uc-learn .uc-now")
        width = page.evaluate("() => document.documentElement.scrollWidth")
        assert width <= PHONE["width"], "nothing is wider than the phone"
        lesson = json.loads((Path(__file__).parents[2] / "uncage_demo/ui/static/lesson-1-why-steps.json").read_text(encoding="utf-8"))
        player = "#uc-learn .up"
        page.locator(f"{player} [data-up=timeline]").focus()
        page.keyboard.press("End")
        page.wait_for_selector('#uc-learn [data-step="1"]', state="attached")
        page.locator(f"{player} [data-layer=guess]").click()
        page.locator(f"{player} [data-up=timeline]").focus()
        page.keyboard.press("Home")
        page.wait_for_selector('#uc-learn [data-step="2"]', state="attached")
        page.keyboard.press("End")
        page.wait_for_selector('#uc-learn [data-step="3"]', state="attached")
        page.locator(f"{player} [data-layer=order]").click()
        page.wait_for_selector("#uc-learn .uc-lesson-end")
        assert lesson["end"] in page.inner_text("#uc-learn")
        page.locator("#uc-learn .uc-next").click()
        page.wait_for_selector('#uc-learn [data-lesson="2"]', state="attached")
        assert "lesson=2" in page.url


def test_a_lesson_asks_for_a_kept_cell_and_a_waiting_one(browser, site, examples):
    for page in visit(browser, site + "?lesson=2", WIDE):
        page.wait_for_selector("#uc-learn .uc-now")
        page.locator("#uc-learn .up [data-up=timeline]").focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_selector('#uc-learn [data-step="1"]', state="attached")
        page.locator("#uc-learn .up [data-layer=confidence]").click()
        page.wait_for_selector('#uc-learn [data-step="2"]', state="attached")
        trace = Trace.load(examples / "rescue.meissonic.npz")
        record, stage = trace.steps[1], "#uc-learn .up-canvas"
        waiting = np.flatnonzero(record.masked_before & ~record.committed)[:2]
        click_cell(page, stage, waiting[0], trace.grid)
        page.wait_for_selector('#uc-learn [data-step="3"]', state="attached")
        click_cell(page, stage, waiting[1], trace.grid)
        page.wait_for_timeout(600)  # longer than the lesson takes to look again
        assert page.get_attribute("#uc-learn [data-step]", "data-step") == "3", "two cells that wait are no comparison"
        click_cell(page, stage, np.flatnonzero(record.committed)[0], trace.grid)
        page.wait_for_selector("#uc-learn .uc-lesson-end")
        page.wait_for_timeout(300)
        onward = page.locator("#uc-learn .uc-next").bounding_box()
        assert 0 <= onward["y"] <= WIDE["height"] - onward["height"], "the way on is in view"


def test_the_scale_of_a_map_stands_above_the_clock(browser, site):
    for page in visit(browser, site, WIDE):
        page.locator("#uc-stage [data-layer=contrast]").click()
        page.wait_for_selector("#uc-stage .up-scale", state="visible")
        scale, clock = (page.locator(f"#uc-stage [data-up={name}]").bounding_box() for name in ("scale", "clock"))
        assert scale["y"] + scale["height"] <= clock["y"] <= WIDE["height"]


def test_phone_and_dark_theme(browser, site):
    for page in visit(browser, site, PHONE, has_touch=True, is_mobile=True):
        for button in ("#uc-settings", "#uc-open", "#uc-own"):
            box = page.locator(button).bounding_box()
            assert box["x"] + box["width"] <= PHONE["width"], f"{button} is cut off"
            over = page.evaluate("(b) => document.querySelector(b).scrollWidth - document.querySelector(b).offsetWidth", button)
            assert over <= 0, f"{button} holds its words"
        assert page.evaluate("() => document.documentElement.scrollWidth") <= PHONE["width"]
        boxes = [page.locator(s).bounding_box() for s in ("#uc-stage .up-canvas >> nth=0", "#uc-stage .up-canvas >> nth=1", ".up-clock")]
        assert all(box["y"] + box["height"] <= PHONE["height"] for box in boxes), "both pictures and the clock are on the first screen"
        light = page.evaluate("() => getComputedStyle(document.querySelector('.uc-lesson-card, .uc-small')).backgroundColor")
        page.click(".uc-theme")
        dark = page.evaluate("() => getComputedStyle(document.querySelector('.uc-lesson-card, .uc-small')).backgroundColor")
        assert light != dark


def test_on_a_phone_the_row_of_tools_fades_out_where_there_is_more(browser, site):
    for page in visit(browser, site, PHONE, reduced_motion="reduce"):
        page.locator("#uc-stage [data-layer=word]").click()
        page.wait_for_selector("#uc-stage [data-up=word] >> visible=true")
        row = page.locator("#uc-stage .up-options")
        assert row.evaluate("(node) => node.scrollWidth - node.clientWidth") > 0, "there is more"
        found = re.search(r"100% - ([0-9]+)px", row.evaluate("(node) => getComputedStyle(node).maskImage"))
        assert found, "it fades out"
        row.evaluate("(node) => node.scrollBy(1000, 0)")
        box, last = row.bounding_box(), row.locator("> :visible").last.bounding_box()
        assert last["x"] + last["width"] <= box["x"] + box["width"] - float(found[1]) + 1, "at its end nothing is faded"


def test_on_a_phone_texts_are_read_whole(browser, site):
    long = "What an example is about takes more room than one line of a phone has. " * 3
    for page in visit(browser, site, PHONE, reduced_motion="reduce"):
        about, more = page.locator(".uc-stage-about p"), page.locator(".uc-more")
        assert more.is_hidden(), "nothing is cut"
        page.evaluate(
            "(about) => window.UncagePage.onStage({ kind: 'traces', seq: 'long', ids: window.UncagePage.shared.ids, about })", long
        )
        page.wait_for_selector("#uc-stage [data-ready=long]", state="attached")
        short = about.bounding_box()["height"]
        more.click()
        assert about.bounding_box()["height"] >= 3 * short
        assert about.evaluate("(node) => node.scrollWidth <= node.clientWidth")
        assert more.get_attribute("aria-expanded") == "true"
        more.click()
        assert about.bounding_box()["height"] == short
        page.click("#uc-settings button")
        page.wait_for_selector("#uc-model-name input >> visible=true")
        for title in [entry.title for entry in ENTRIES]:
            page.fill("#uc-model-name input", title)
            assert page.locator("#uc-model-name input").evaluate(
                "(node) => node.scrollWidth <= node.clientWidth && parseFloat(getComputedStyle(node).paddingRight) >= 20"
            ), f"{title} runs under the arrow"


def test_a_second_visitor_is_served_beside_the_first(browser, site):
    # a link starts its run by itself
    for second in visit(browser, site, WIDE):
        for first in visit(browser, site + "?prompt=a+cat+and+a+dog&num_steps=64", WIDE):
            # by timer: a page in the background draws no frames
            first.wait_for_function("() => !window.UncagePage.shared.ids[0].startsWith('example')", polling=50)
            second.evaluate("() => document.querySelector('#uc-generate').click()")
            # Places in the line are told in test_server.
            second.wait_for_function("() => !window.UncagePage.shared.ids[0].startsWith('example')", polling=50)


def test_an_opened_trace_is_never_markup(browser, site, tmp_path):
    path = tmp_path / "hostile.npz"
    make_trace(3, steps=4, prompt_text=HOSTILE).save(path)
    for page in visit(browser, site, WIDE):
        page.set_input_files("input[accept*='.npz']", path)
        page.wait_for_function("() => window.UncagePage.shared.ids.length === 1")
        page.wait_for_function("() => document.querySelector('#uc-stage').innerText.includes('onerror')")
        assert page.evaluate("() => window.hacked") is None
        assert page.locator("#uc-chips img, #uc-stage img").count() == 0


def test_programs_find_few_named_and_typed_endpoints(site, tmp_path):
    from gradio_client import Client, handle_file

    client = Client(site, verbose=False, download_files=str(tmp_path))
    api: Any = client.view_api(return_format="dict", print_info=False)
    assert set(api["named_endpoints"]) == ENDPOINTS
    assert not api["unnamed_endpoints"]
    read = client.predict("a turtle and a pink zebra", "embedded", api_name="/parse")
    assert read["objects"][0]["label"] == "turtle"
    assert read["unknown"][0]["word"] == "zebra"
    assert client.predict(api_name="/list_models")[0]["id"] == "embedded"
    picture, file, summary = client.predict(prompt="a turtle and a pink apple", order="uncage", seed=0, num_steps=6, api_name="/generate")
    trace = Trace.load(file)
    assert (trace.config["seed"], trace.config["num_steps"], trace.config["order"]) == (0, 6, "uncage")
    assert summary["verdict"]["note"]
    assert Path(picture).stat().st_size > 0
    _, again = client.predict(handle_file(file), api_name="/open_trace")
    assert again["settings"] == trace.config
    assert again["verdict"] == summary["verdict"]
    assert again["findings"]
    _, branch, _ = client.predict(handle_file(file), at_step=2, change="knock_out", word=1, api_name="/branch")
    assert Trace.load(branch).branches[0].edits.suppress_word == 1
    figure = client.predict([handle_file(file), handle_file(branch)], "svg", api_name="/export")
    assert "<svg" in Path(figure).read_text(encoding="utf-8")
    _, files, said = client.predict(handle_file(file), cells="0-3", prompt="a turtle and a blue apple", orders=["halton"], api_name="/edit")
    edited = Trace.load(files[0])
    assert (int(edited.steps[0].masked_before.sum()), edited.config["order"]) == (4, "halton")
    assert said[0]["prompt"] == "a turtle and a blue apple"
    _, files, _ = client.predict(prompt="a turtle and a pink apple", regions='{"turtle": [0, 0, 3, 3]}', num_steps=4, api_name="/compose")
    assert Trace.load(files[0]).origin is not None
    with pytest.raises(Exception, match="has turtle, pink apple"):
        client.predict(handle_file(file), cells="zebra", api_name="/edit")
    with pytest.raises(Exception, match="cell=999"):
        client.predict(handle_file(file), at_step=2, change="drop", cell=999, api_name="/branch")
    with pytest.raises(Exception, match="zebra"):
        client.predict(prompt="a zebra", api_name="/generate")
    assert np.isfinite(trace.steps[0].confidence).all()


# How often whoever asks for frames got one, and who still does: a frame that is asked for in a frame goes on with the same chain.
CHAINS = """(() => { const real = window.requestAnimationFrame.bind(window);
    let now = 0, last = 0;
    window.uncageFrames = {};
    window.requestAnimationFrame = (callback) => {
        const chain = now || ++last;
        return real((time) => {
            now = chain;
            window.uncageFrames[chain] = (window.uncageFrames[chain] || 0) + 1;
            try { callback(time); } finally { now = 0; }
        });
    }; })()"""
TWENTY_FRAMES = """async () => { const before = { ...window.uncageFrames };
    const frames = document.createElement('iframe');
    document.body.append(frames); // its own frames are not counted
    for (let i = 0; i < 20; i++) await new Promise((resolve) => frames.contentWindow.requestAnimationFrame(resolve));
    frames.remove();
    return Object.entries(window.uncageFrames).filter(([chain, count]) => count - (before[chain] || 0) > 10); }"""


def test_nothing_runs_frame_by_frame_on_a_page_that_is_looked_at(browser, site):
    """Gradio's loading screen would, for good, on every visit."""
    context = browser.new_context(viewport=WIDE, reduced_motion="reduce")
    page = context.new_page()
    page.add_init_script(CHAINS)
    page.goto(site, wait_until="domcontentloaded")
    page.wait_for_selector("#uc-stage [data-ready]", state="attached")
    for _ in range(2):
        # what goes on for a while (the last events, a transition) ends; what does not, never
        assert any(not page.evaluate(TWENTY_FRAMES) for _ in range(30)), page.evaluate(TWENTY_FRAMES)
        set_prompt(page, "a red cat")
    context.close()
