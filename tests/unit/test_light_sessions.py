"""Sessions that are described when somebody reads them say what Gradio's own say."""

from __future__ import annotations

from typing import Any

import pytest

from tests.late import late

gr, light_sessions = late("gradio"), late("uncage_demo.ui.light_sessions")


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any, list[int]]:
    with gr.Blocks() as page:
        text = gr.Textbox("as it was", label="a field")
        gr.State(3)
        gr.Number(4)
    described: list[int] = []
    usual = type(page.default_config).config_for_block

    def counted(key: int, *rest: Any) -> Any:
        described.append(key)
        return usual(key, *rest)

    monkeypatch.setattr(type(page.default_config), "config_for_block", staticmethod(counted))
    return page, text, described


def begun(page: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(light_sessions.SessionState, "__init__", light_sessions.SessionState.__init__)  # put back afterwards
    monkeypatch.setattr(light_sessions.SessionState, "components", light_sessions.SessionState.components)
    light_sessions.install()
    return light_sessions.SessionState(page)


def test_a_session_begins_without_describing_anything(page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks, _, described = page
    monkeypatch.setattr(light_sessions.SessionState, "__init__", light_sessions._begin)
    light_sessions.SessionState(blocks)
    assert described, "Gradio does not do this any more: light_sessions can go"
    described.clear()
    begun(blocks, monkeypatch)
    assert described == []


def test_it_says_what_gradios_own_says_also_after_a_change(page: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks, text, _ = page
    monkeypatch.setattr(light_sessions.SessionState, "__init__", light_sessions._begin)
    monkeypatch.setattr(light_sessions.SessionState, "components", property(light_sessions._all_components))
    usual = told_after_a_change(light_sessions.SessionState(blocks), text)
    light = told_after_a_change(begun(blocks, monkeypatch), text)
    assert usual == light
    assert light[text._id]["props"]["value"] == "changed"
    assert len(light) > 3


def told_after_a_change(session: Any, text: Any) -> dict[int, Any]:
    session._update_value_in_config(text._id, "changed")
    return {one["id"]: one for one in session.components}
