"""Choosing a model on the running page: its own settings and options come, and those of another go. No large model is loaded."""

from typing import Any

import pytest

from tests.ui.visitor import WIDE, visit

pytest.importorskip("gradio")


def choose(page: Any, title: str) -> None:
    page.click("#uc-model-name input")
    page.fill("#uc-model-name input", title)
    page.get_by_role("option", name=title, exact=True).click()


def test_switching_the_model_switches_settings_and_options_visibly(browser: Any, site: str) -> None:
    for page in visit(browser, site, WIDE):
        page.click("#uc-settings > button")
        assert page.locator("#uc-model-options").count() == 0 or not page.locator("#uc-model-options").is_visible()
        choose(page, "Meissonic 1024")
        page.wait_for_selector("#uc-model-options", state="visible")
        steps = page.locator("input[aria-label='number input for Steps']")
        page.wait_for_function("(box) => box.value === '64'", arg=steps.element_handle())
        page.click("#uc-more-settings > button")
        scale = page.get_by_label("Guidance scale (CFG)")
        assert scale.get_attribute("placeholder") == "the model's own: 9"
        assert scale.input_value() == ""
        page.click("#uc-model-options > button")
        negative = page.locator("#uc-option-negative_prompt input")
        assert negative.input_value().startswith("the model's own: worst quality, low quality")
        assert page.locator("#uc-option-image_size_px").is_visible()
        assert page.locator("#uc-option-text_encoder").count() == 0  # the owner of this server allows no folders
        choose(page, "aMUSEd 256")
        page.wait_for_function("(box) => box.value === '12'", arg=steps.element_handle())
        page.wait_for_function('(box) => box.placeholder === "the model\'s own: 10"', arg=scale.element_handle())
        assert negative.input_value() == "the model's own: an empty text"
        choose(page, "Emoji scenes (embedded)")
        page.wait_for_selector("#uc-model-options", state="hidden")
