"""The panel of layers and heads in a real browser: asked for on request, drawn from the answer, silent where there is nobody to ask."""

import json

import numpy as np
import pytest

from tests.factories import make_prompt
from tests.toy_backend import ToyBackend
from tests.ui.player_page import FRAME, put, save
from uncage_demo import runner
from uncage_demo.config import DecodingConfig
from uncage_demo.player.head_maps import NOT_RECORDED, recorded_heads
from uncage_demo.player.payload import build_payload
from uncage_demo.ui.handlers import Handlers
from uncage_demo.ui.head_requests import heads_function
from uncage_demo.ui.models import ModelSlot

MOUNT = """() => {
  const payload = JSON.parse(document.getElementById('payload').textContent);
  window.uncage.destroy();
  window.asked = [];
  const heads = async (detail) => { window.asked.push(detail); return JSON.parse(await window.answer(detail)); };
  window.uncage = window.UncagePlayer.mount(document.getElementById('player'), payload, { state: { step: 1 }, heads });
}"""


@pytest.fixture
def asked(open_page, tmp_path):
    """(page whose player can ask for heads, the trace)."""
    backend = ToyBackend()
    trace = runner.generate(backend, make_prompt(), DecodingConfig(num_steps=6, seed=2, contrast_blur=0.0), full_attention=True)
    handlers = Handlers(ModelSlot(lambda _name, _allowed: backend))
    identity = handlers.store.add(trace)
    page = open_page(save(tmp_path, build_payload([trace], ids=[identity]), {"step": 0}), reduced_motion="reduce")
    page.expose_function("answer", heads_function(handlers))
    assert not page.locator(".up-heads").is_visible()  # a page without a server has nobody to ask
    page.evaluate(MOUNT)
    return page, trace


def test_one_map_a_head_with_the_values_of_the_trace(asked):
    page, trace = asked
    assert page.evaluate("() => window.asked.length") == 0  # nothing is read before somebody wants it
    page.locator(".up-heads").get_by_role("button", name="Show").click()
    page.wait_for_selector(".up-head-map")
    full = trace.steps[1].attention_full
    layers, heads = full.shape[:2]
    assert page.locator(".up-head-map").count() == layers * heads
    assert page.locator(".up-heads-row").count() == layers
    word = page.evaluate("() => window.asked[0].word")
    rows = [trace.columns.index(token) for token in trace.prompt.words[word].tokens]
    wanted = full[:, :, rows].mean(axis=2)
    cells = trace.tokens.size
    got = np.array(page.evaluate("(n) => Array.from({length: n}, (_, i) => window.uncage.player.heads.at(0, i))", cells))
    np.testing.assert_allclose(got, wanted[0, 0], atol=wanted.max() / 200)
    assert float(page.locator(".up-heads .up-number").nth(1).inner_text()) == pytest.approx(wanted.max(), abs=6e-4)
    put(page, pin=7)
    assert f"{wanted[0, 0, 7]:.3f}"[:4] in page.locator(".up-head-map figcaption").first.inner_text()


def test_another_step_or_word_asks_again_once(asked):
    page, _ = asked
    page.locator(".up-heads").get_by_role("button", name="Show").click()
    page.wait_for_selector(".up-head-map")
    put(page, step=3)
    page.wait_for_function("() => window.uncage.player.heads.shown.step === 3")
    put(page, step=1)
    page.wait_for_function("() => window.uncage.player.heads.shown.step === 1")
    assert page.evaluate("() => window.asked.map((a) => a.step)") == [1, 3]  # the first answer was kept
    put(page, layer="word", word=5)
    page.wait_for_function("() => window.uncage.player.heads.shown.word === 5")
    page.locator(".up-heads").get_by_role("button", name="Hide").click()
    page.evaluate(FRAME)
    assert not page.locator(".up-heads-grid").is_visible()


def test_an_error_is_told_as_text(asked):
    page, _ = asked
    text = json.dumps({"error": "<img src=x onerror=alert(1)> ${6*7}"})
    page.evaluate("(text) => { window.answer = async () => text; }", text)
    page.locator(".up-heads").get_by_role("button", name="Show").click()
    page.wait_for_function("() => document.querySelector('.up-heads .up-hint').textContent.includes('onerror')")
    assert page.locator(".up-heads img").count() == 0


def test_a_page_without_a_server_shows_what_it_took_along(asked, open_page, tmp_path):
    _, trace = asked
    trace.steps[4].attention_full = None
    payload = {**build_payload([trace], ids=["a run"]), "heads": recorded_heads([trace], ["a run"])}
    page = open_page(save(tmp_path, payload, {"step": 1}), reduced_motion="reduce")
    page.locator(".up-heads").get_by_role("button", name="Show").click()
    page.wait_for_selector(".up-head-map")
    wanted = trace.steps[1].attention_full[:, :, [trace.columns.index(t) for t in trace.prompt.words[1].tokens]].mean(axis=2)
    shown = page.evaluate("() => [window.uncage.player.heads.shown.word, window.uncage.player.heads.shown.max]")
    assert shown == [1, pytest.approx(float(wanted.max()))]
    put(page, step=4)
    page.wait_for_function("(note) => document.querySelector('.up-heads .up-hint').textContent === note", arg=NOT_RECORDED)


def test_a_page_without_a_server_says_why_it_has_none(pair, open_page, tmp_path):
    payload = {**build_payload(pair), "heads": recorded_heads(pair, ["0", "1"])}
    page = open_page(save(tmp_path, payload), reduced_motion="reduce")
    assert NOT_RECORDED in page.inner_text(".up-heads")
    assert page.locator(".up-heads button, .up-heads canvas").count() == 0
