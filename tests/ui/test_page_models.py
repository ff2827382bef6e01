"""Choosing a model on the running page: its options appear. No large model is loaded."""

from typing import Any

import pytest

from tests.ui.visitor import WIDE, visit

pytest.importorskip("gradio")


def choose(page: Any, title: str) -> None:
    page.click("#uc-model-name input")
    page.fill("#uc-model-name input", title)
    page.get_by_role("option", name=title, exact=True).click()


def test_a_large_models_options_appear_when_it_is_chosen(browser: Any, site: str) -> None:
    for page in visit(browser, site, WIDE):
        page.click("#uc-settings > button")
        assert page.locator("#uc-model-options").count() == 0 or not page.locator("#uc-model-options").is_visible()
        choose(page, "Meissonic 1024")
        page.wait_for_selector("#uc-model-options", state="visible")
