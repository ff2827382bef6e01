"""What a visitor takes away or asks the engine again: files are whole and show what is on stage; words are knocked out."""

import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.factories import make_trace
from tests.ui.visitor import HOSTILE, WIDE, set_prompt, shared, visit
from uncage_demo.export import Look, write_view
from uncage_demo.render.animation import EncoderMissing, find_ffmpeg
from uncage_demo.render.figures import default_steps
from uncage_demo.trace.record import Trace
from uncage_demo.ui.examples import verdict_from_dict

pytest.importorskip("gradio")

STEPS, AT = 8, 4


TOKENS = "() => window.UncagePage.shared.stage.player.model.runs.map((run) => Array.from(run.tokens).join())"


@pytest.fixture(scope="module")
def page(browser: Any, site: str) -> Iterator[Any]:
    """A visitor with a run of their own on stage, at a step in its middle."""
    for visitor in visit(browser, f"{site}?prompt=a+cat+and+a+red+car&seed=3&num_steps={STEPS}&step={AT}", WIDE):
        visitor.wait_for_function("() => window.UncagePage.shared.stage.state.step === 4")
        yield visitor


def take(page: Any, kind: str, folder: Path) -> Path:
    with page.expect_download() as coming:
        page.click(f"#uc-takeaway [data-kind={kind}]")
    path = folder / coming.value.suggested_filename
    coming.value.save_as(path)
    assert path.stat().st_size > 0
    return path


def on_stage(page: Any, folder: Path) -> tuple[list[Trace], list[Any]]:
    """The traces on stage, as downloaded, and their verdicts, as shown."""
    packed = zipfile.ZipFile(take(page, "npz", folder))
    packed.extractall(folder)
    shown = page.evaluate("() => window.UncagePage.shared.stage.player.model.runs.map((r) => r.raw.verdict || null)")
    # What the page says besides the verdict itself.
    verdicts = [said and {name: value for name, value in said.items() if name != "too_many"} for said in shown]
    return [Trace.load(folder / name) for name in packed.namelist()], [verdict_from_dict(v) for v in verdicts]


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def test_the_still_shows_the_stages_at_the_step_on_stage(page, tmp_path):
    traces, verdicts = on_stage(page, tmp_path)
    assert [t.config["seed"] for t in traces] == [3, 3]
    file = take(page, "still", tmp_path)
    assert f"step{AT + 1}" in file.name
    write_view(tmp_path / "expected.png", traces, "side-by-side", step=AT, verdicts=verdicts, look=Look(theme="light"))
    assert np.array_equal(pixels(file), pixels(tmp_path / "expected.png"))
    write_view(tmp_path / "other.png", traces, "side-by-side", step=AT + 1, verdicts=verdicts, look=Look(theme="light"))
    assert not np.array_equal(pixels(file), pixels(tmp_path / "other.png"))


def test_figures_hold_the_step_on_stage_as_pixels_and_as_vectors(page, tmp_path):
    traces, _ = on_stage(page, tmp_path)
    steps = sorted({*default_steps(traces, 5), AT})
    png = take(page, "png", tmp_path)
    write_view(tmp_path / "expected.png", traces, "heatmaps", steps=steps)
    assert np.array_equal(pixels(png), pixels(tmp_path / "expected.png"))
    drawing = ElementTree.fromstring(take(page, "svg", tmp_path).read_text(encoding="utf-8"))
    namespace = "{http://www.w3.org/2000/svg}"
    assert drawing.tag == f"{namespace}svg"
    # a picture and a map for each of two objects, of both runs, at every step
    assert len(list(drawing.iter(f"{namespace}image"))) >= 2 * 3 * len(steps)


def test_films_play_every_step(page, tmp_path):
    webp, gif = Image.open(take(page, "webp", tmp_path)), Image.open(take(page, "gif", tmp_path))
    assert getattr(webp, "n_frames", 1) == getattr(gif, "n_frames", 1) == STEPS + 1
    try:
        find_ffmpeg()
    except EncoderMissing:
        page.click("#uc-takeaway [data-kind=mp4]")
        page.wait_for_function("() => document.querySelector('.uc-take-status').innerText.includes('MP4 needs ffmpeg')")
        return
    data = take(page, "mp4", tmp_path).read_bytes()
    assert data[4:8] == b"ftyp"
    assert b"moov" in data[: len(data) // 2], "plays before all of it has arrived"


def test_the_offline_player_opens_from_disk(page, browser, tmp_path):
    file = take(page, "html", tmp_path)
    context = browser.new_context(offline=True)
    reader = context.new_page()
    reader.goto(file.as_uri())
    reader.wait_for_selector(".up-stage canvas >> nth=1")
    assert "red" in reader.inner_text(".up-prompt")
    context.close()


def test_the_link_restores_prompt_seed_settings_and_step(page, browser):
    link = page.evaluate("() => window.UncagePage.shareLink()")
    before = shared(page, "query")
    for other in visit(browser, link, WIDE):
        other.wait_for_function("() => window.UncagePage.shared.stage.state.step === 4")
        assert shared(other, "query") == before
        assert other.input_value("#uc-prompt textarea, #uc-prompt input") == "a cat and a red car"


def test_a_word_is_knocked_out_and_the_run_without_it_joins_the_stages(page, tmp_path):
    assert page.locator("#uc-stage [data-up=knockout]").is_hidden(), "no word is chosen yet"
    page.click('#uc-stage .up-word[data-word="1"]')
    button = page.locator("#uc-stage [data-up=knockout]")
    button.wait_for()
    assert "cat" in button.inner_text()
    button.click()
    page.wait_for_function("() => document.querySelectorAll('#uc-stage .up-stage').length === 3")
    assert f"Without “cat” · step {AT + 1}" in page.inner_text("#uc-stage .up-stage >> nth=2")
    assert page.evaluate("() => window.UncagePage.shared.stage.state.step") == AT
    assert page.evaluate("() => window.UncagePage.shared.stage.state.layer") == "word", "the visitor still looks at the word"
    traces, _ = on_stage(page, tmp_path)
    branch = traces[2]
    assert (branch.branches[0].at_step, branch.branches[0].edits.suppress_word) == (AT, 1)
    shares = [branch.word_maps(s)[1].sum() for s in range(STEPS)]
    assert all(share > 0 for share in shares[:AT])
    assert all(share == pytest.approx(0, abs=1e-6) for share in shares[AT:]), "nothing attends to the word any more"
    assert branch.steps[AT - 1].sampled.tolist() == traces[0].steps[AT - 1].sampled.tolist()


def test_a_branch_of_a_branch_and_what_can_be_copied_of_it(page, browser):
    page.click('#uc-stage .up-word[data-word="5"]')
    page.hover("#uc-stage .up-stage >> nth=2 >> canvas")
    page.wait_for_function("() => document.querySelector('#uc-stage [data-up=knockout]').innerText.endsWith('on C')")
    page.click("#uc-stage [data-up=knockout]")
    page.wait_for_function("() => document.querySelectorAll('#uc-stage .up-stage').length === 4")
    assert "Without “car”" in page.inner_text("#uc-stage .up-stage >> nth=3")
    hashes = page.evaluate(TOKENS)
    page.click("#uc-takeaway [data-copies=link]")
    page.wait_for_function("() => document.querySelector('.uc-take-status').innerText.startsWith('Link copied. ')")
    assert "but no notes: “Player” and “Trace” hold those" in page.inner_text(".uc-take-status")
    page.wait_for_selector("#uc-takeaway .uc-take-texts")
    for fresh in visit(browser, page.inner_text("#uc-takeaway .uc-take-texts"), WIDE, reduced_motion="reduce"):
        fresh.wait_for_function("() => document.querySelectorAll('#uc-stage .up-stage').length === 4")
        assert fresh.evaluate(TOKENS) == hashes, "the link makes the branches again, with the same tokens"
        assert "branches=" in fresh.url
    page.click("#uc-takeaway [data-copies=python]")
    page.wait_for_function("() => document.querySelector('#uc-takeaway .uc-take-texts').innerText.includes('import')")
    code = page.inner_text("#uc-takeaway .uc-take-texts")
    compile(code, "copied", "exec")
    assert "branch_2 = ud.branch(backend, branch_1," in code


def test_an_example_is_chosen_by_its_picture(page):
    chosen = page.locator("#uc-examples .uc-example", has_text="a cat and a dog")
    chosen.locator("img").wait_for()
    chosen.click()
    page.wait_for_function("() => window.UncagePage.shared.ids[0] === 'example:failure.meissonic'")
    page.locator('#uc-examples .uc-example[aria-pressed="true"]', has_text="a cat and a dog").wait_for()  # told once the player stands
    assert page.input_value("#uc-prompt textarea, #uc-prompt input") == "a cat and a dog"
    assert page.locator("#uc-takeaway [data-copies=link]").is_enabled()


def test_the_plan_says_what_compare_would_make_and_what_is_wrong(page):
    set_prompt(page, HOSTILE)
    page.locator('#uc-tabs button[role="tab"]', has_text="Compare").click()
    page.fill("#uc-seeds textarea, #uc-seeds input", "5, 6")
    page.wait_for_function("() => /6 pictures of .*onerror.*3 orders × 2 seeds/.test(document.querySelector('#uc-plan').innerText)")
    assert page.locator("#uc-plan .uc-plan-tile").count() == 6
    assert page.locator("#uc-plan img").count() == 0
    page.fill("#uc-seeds textarea, #uc-seeds input", "five")
    page.wait_for_function("() => document.querySelector('#uc-plan').innerText.includes('five')")
    assert page.evaluate("() => window.hacked") is None


def test_hostile_links_and_file_names_are_never_markup(browser, site, tmp_path):
    from urllib.parse import quote

    for page in visit(browser, f"{site}?prompt={quote(HOSTILE)}&num_steps=4&example={quote(HOSTILE)}", WIDE, wait_for="#uc-chips .uc-chip"):
        page.wait_for_function("() => document.querySelector('#uc-chips').innerText.includes('onerror')")
        held = page.evaluate_handle(
            """(bytes) => { const files = new DataTransfer();
                files.items.add(new File([new Uint8Array(bytes)], '<img src=x onerror=window.hacked=1>.npz')); return files; }""",
            list(trace_bytes(tmp_path)),
        )
        for event in ("dragover", "drop"):
            page.dispatch_event("#uc-stage .uc-stage", event, {"dataTransfer": held})
        page.wait_for_function("() => window.UncagePage.shared.ids.length === 1")
        assert page.evaluate("() => window.hacked") is None
        assert page.locator("#uc-chips img, #uc-stage img").count() == 0
        assert "42" not in page.inner_text("#uc-chips")
        assert "{{x}}" in page.input_value("#uc-prompt textarea, #uc-prompt input") or "{{x}}" in page.inner_text("#uc-stage")


def trace_bytes(folder: Path) -> bytes:
    path = folder / "hostile.npz"
    make_trace(3, steps=2, prompt_text=HOSTILE).save(path)
    return path.read_bytes()


def test_notes_stay_over_a_reload_and_go_into_the_trace(browser, site, tmp_path):
    for page in visit(browser, site + "?example=failure", WIDE, reduced_motion="reduce"):
        page.evaluate("() => window.UncagePage.shared.stage.setState({ step: 5, pin: 20, touched: 1 })")
        # the form follows the cell with the next frame; what was begun before stays where it was begun
        page.wait_for_function("() => document.querySelector('#uc-stage .up-note-form select').value === '1'")
        page.fill("#uc-stage .up-note-text", HOSTILE)
        page.click("#uc-stage .up-note-form button[type=submit]")
        page.wait_for_selector("#uc-stage .up-note-said")
        page.reload(wait_until="domcontentloaded")
        page.wait_for_selector("#uc-stage .up-note-said")
        assert page.inner_text("#uc-stage .up-note-said") == HOSTILE
        with page.expect_download() as saved:
            page.click("#uc-takeaway [data-kind=npz]")
        saved.value.save_as(tmp_path / "runs.zip")
        with zipfile.ZipFile(tmp_path / "runs.zip") as archive:
            traces = [Trace.from_bytes(archive.read(name)) for name in sorted(archive.namelist())]
        assert [[(note.step, note.cell, note.text) for note in trace.notes] for trace in traces] == [[], [(5, 20, HOSTILE)]]
        assert page.evaluate("() => window.hacked === undefined")
    for other in visit(browser, site + "?example=failure", WIDE, reduced_motion="reduce"):
        assert other.locator("#uc-stage .up-note-said").count() == 0, "nobody else's browser shows them"
