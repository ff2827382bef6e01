"""The page while many wait: the finished pictures are on stage first, those of the steps come to the same player."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.ui.visitor import WIDE, run_to_end, set_prompt, shared, visit
from uncage_demo import runner
from uncage_demo.ui import line as lines

pytest.importorskip("gradio")
WHOLE = "() => window.UncagePage.shared.stage.player.model.runs.every((run) => run.frames && run.frames.length === run.numSteps)"


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Every run starts while many wait; the pictures of the steps are drawn once the event is set."""
    free, drawn = threading.Event(), runner.stream_pictures

    def later(*arguments: Any) -> Iterator[runner.Progress]:
        free.wait(120)
        yield from drawn(*arguments)

    monkeypatch.setattr(lines, "_CROWD", -1)
    monkeypatch.setattr(runner, "stream_pictures", later)
    yield free
    free.set()


def test_pictures_of_the_steps_join_the_player_that_is_there(browser: Any, site: str, held: threading.Event) -> None:
    for page in visit(browser, site, WIDE):
        set_prompt(page, "a pink turtle and an apple")
        run_to_end(page)
        about = page.locator("#uc-stage .uc-stage-about")
        assert "The pictures of the steps follow." in about.inner_text()
        assert page.evaluate("() => window.UncagePage.shared.stage.player.model.runs.map((run) => run.frames)") == [None, None]
        page.evaluate("() => { const p = window.UncagePage.shared.stage; p.setStep(3); p.player.setState({ layer: 'guess' }); }")
        page.evaluate("() => { window.canvas = document.querySelector('#uc-stage .up-canvas'); }")
        look = "() => window.canvas.toDataURL()"
        page.wait_for_function("() => document.querySelector('#uc-stage [data-layer=guess]').getAttribute('aria-checked') === 'true'")
        before = page.evaluate(look)
        held.set()
        page.wait_for_function(WHOLE)
        page.wait_for_function("(old) => window.canvas.isConnected && window.canvas.toDataURL() !== old", arg=before)
        state = page.evaluate("() => { const { step, layer } = window.UncagePage.shared.stage.state; return [step, layer]; }")
        assert state == [3, "guess"], "the visitor's view stays"
        assert "follow" not in about.text_content()


def test_another_run_meanwhile_keeps_the_stage(browser: Any, site: str, held: threading.Event) -> None:
    for page in visit(browser, site, WIDE):
        set_prompt(page, "a pink turtle and an apple")
        run_to_end(page)
        first = shared(page, "ids")
        set_prompt(page, "a dog and a pink cat")
        run_to_end(page)
        second = shared(page, "ids")
        assert first != second
        held.set()
        page.wait_for_function(WHOLE)
        assert shared(page, "ids") == second
