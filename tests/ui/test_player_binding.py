"""The binding debugger in a real browser: a click goes to the step and the cell, a branch is asked for, boxes are drawn."""

from typing import Any

import numpy as np
import pytest

from tests.factories import make_trace
from tests.ui.player_page import FRAME, PICTURES_READY, pixel, put, save, state
from uncage_demo.player.payload import build_payload
from uncage_demo.types import FoundObject, Verdict

BOX = (0.0, 0.5, 0.5, 1.0)
SEEN = Verdict((False, True), (False, False), 0, False, (FoundObject("apple", "red", 0.9, BOX),), "detector 1")


@pytest.fixture
def sent() -> dict[str, Any]:
    trace = make_trace(0, steps=12)
    whole = np.full(trace.tokens.size, 2, np.uint16)
    trace.steps[11].sight = whole
    return build_payload([trace], [SEEN])


def test_a_click_goes_to_the_step_and_the_cell(open_page, tmp_path, sent):
    page = open_page(save(tmp_path, sent, {"step": 0}), reduced_motion="reduce")
    apple = sent["runs"][0]["binding"]["objects"][1]
    assert apple["source"] == "detector"
    assert apple["cells"] == 36
    for k, word in enumerate(sent["runs"][0]["binding"]["words"]):
        page.locator(f".up-bind-cell[data-object='1'][data-word='{word}']").click()
        now = state(page)
        assert [now["step"], now["pin"]] == apple["peaks"][k]
        assert (now["layer"], now["word"]) == ("word", word)
    made = apple["decision"]
    page.locator(".up-decision").nth(1).get_by_role("button", name=f"Show step {made['step'] + 1}").click()
    assert (state(page)["step"], state(page)["pin"]) == (made["step"], made["cell"])
    assert page.locator(".up-decision [data-wait]").count() == 0  # nobody decodes in a file
    late = int(np.flatnonzero(make_trace(0, steps=12).steps[11].committed)[0])
    put(page, step=11, pin=late)
    assert page.locator(".up-sight").inner_text() == "This cell read only the words of: pink apple."
    put(page, step=10)
    assert page.locator(".up-sight").is_hidden()


def test_waiting_is_asked_for_at_the_deciding_cell_and_boxes_are_drawn(open_page, tmp_path, sent):
    page = open_page(save(tmp_path, sent, {"step": 0}), reduced_motion="reduce")
    page.evaluate(
        """() => {
          window.heard = [];
          window.uncage.destroy();
          const payload = JSON.parse(document.getElementById('payload').textContent);
          const onEvent = (name, detail) => window.heard.push([name, detail]);
          const root = document.getElementById('player');
          window.uncage = window.UncagePlayer.mount(root, payload, { actions: ['branch'], onEvent, state: { step: 11 } });
        }"""
    )
    page.wait_for_function(PICTURES_READY)
    page.evaluate(FRAME)
    objects = sent["runs"][0]["binding"]["objects"]
    waiting = [o["decision"] for o in objects if o["decision"] and not o["decision"]["last"]]
    assert waiting
    page.locator(".up-decision [data-wait]").first.click()
    told = [detail for name, detail in page.evaluate("() => window.heard") if name == "branch"]
    assert [(d["step"], d["cell"], d["action"]) for d in told] == [(waiting[0]["step"], waiting[0]["cell"], "drop")]
    put(page, layer="picture", step=11, pin=-1)
    before = pixel(page, 0, 6, at=0.2)
    page.get_by_label("Detector boxes").check()
    page.evaluate(FRAME)
    assert pixel(page, 0, 6, at=0.2) != before  # the label in the corner of the box
    assert pixel(page, 0, 6, at=0.2)[:3] != pixel(page, 0, 0, at=0.2)[:3]
