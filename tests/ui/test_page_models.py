"""Choosing a model on the running page: what it shows is the chosen model's own, and a checkpoint in a folder draws."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tiny_checkpoints import write_meissonic
from tests.ui.visitor import WIDE, run_to_end, set_prompt, visit
from uncage_demo.backends.options import AUTHORS_NEGATIVE

pytest.importorskip("gradio")

OPTIONS = ("dtype", "image_size_px", "text_encoder", "negative_prompt", "offload", "compile", "lora", "family")


@pytest.fixture(scope="module")
def open_site(browser: Any, examples: Path) -> Iterator[str]:
    """The running page of an owner who allows folders; models are loaded as they are, the shipped one in its tiny form."""
    from uncage_demo.backends.embedded.backend import EmbeddedBackend
    from uncage_demo.ui.examples import Examples
    from uncage_demo.ui.layout import build_ui
    from uncage_demo.ui.models import ModelSlot, _load
    from uncage_demo.ui.theme import launch_options

    def load(name: str, allow_download: bool) -> Any:
        return EmbeddedBackend.tiny(seed=0) if name == "embedded" else _load(name, allow_download)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNCAGE_FOLDERS", "1")
        patch.delenv("UNCAGE_MODELS", raising=False)
        demo = build_ui(ModelSlot(load), Examples(examples))
        _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, _frontend=False, **{**launch_options(), "mcp_server": False})
        yield url
        demo.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_meissonic(tmp_path_factory.mktemp("checkpoints") / "tiny-meissonic", downsample=True)


@pytest.fixture(scope="module")
def page(browser: Any, open_site: str) -> Iterator[Any]:
    for page in visit(browser, open_site, WIDE, reduced_motion="reduce"):
        page.click("#uc-settings > button")
        page.click("#uc-more-settings > button")
        yield page


def choose(page: Any, title: str) -> None:
    page.click("#uc-model-name input")
    page.fill("#uc-model-name input", title)
    page.get_by_role("option", name=title, exact=True).click()


def type_folder(page: Any, folder: Path) -> None:
    page.click("#uc-model-name input")
    page.fill("#uc-model-name input", str(folder))
    page.keyboard.press("Enter")


def wait_for_steps(page: Any, steps: int) -> None:
    page.wait_for_function(
        """(steps) => [...document.querySelectorAll("input[aria-label='number input for Steps']")].some((one) => one.value == steps)""",
        arg=steps,
    )


def guidance_says(page: Any) -> str:
    return page.get_by_label("Guidance scale (CFG)").get_attribute("placeholder")


def shown(page: Any) -> set[str]:
    """The options that a visitor sees."""
    return {name for name in OPTIONS if page.locator(f"#uc-option-{name}").is_visible()}


def open_options(page: Any) -> None:
    page.wait_for_selector("#uc-model-options", state="visible")
    if "open" not in (page.get_attribute("#uc-model-options > button", "class") or ""):
        page.click("#uc-model-options > button")
    page.wait_for_selector("#uc-option-dtype", state="visible")


def value_of(page: Any, option: str) -> str:
    return page.input_value(f"#uc-option-{option} input")


def test_switching_the_model_switches_its_own_settings_and_options_and_back(page: Any) -> None:
    wait_for_steps(page, 16)
    usual = guidance_says(page)
    assert not page.locator("#uc-model-options").is_visible()

    choose(page, "Meissonic 1024")
    open_options(page)
    wait_for_steps(page, 64)
    assert guidance_says(page) == "the model's own: 9"
    assert shown(page) == {"dtype", "image_size_px", "text_encoder", "negative_prompt", "offload", "compile"}
    assert value_of(page, "negative_prompt") == f"the model's own: {AUTHORS_NEGATIVE}"
    assert value_of(page, "dtype") == value_of(page, "image_size_px") == "the model's usual"
    assert page.get_by_label("Order noise, first step").get_attribute("placeholder") == "the model's own: 2"

    choose(page, "aMUSEd 256")
    wait_for_steps(page, 12)
    page.wait_for_selector("#uc-option-lora", state="visible")
    assert guidance_says(page) == "the model's own: 10"
    assert value_of(page, "negative_prompt") == "the model's own: an empty text"

    choose(page, "Di[M]O 1024 (one step)")
    wait_for_steps(page, 1)
    page.wait_for_selector("#uc-option-negative_prompt", state="hidden")

    choose(page, "Emoji scenes (embedded)")
    wait_for_steps(page, 16)
    page.wait_for_selector("#uc-model-options", state="hidden")
    assert shown(page) == set()
    assert guidance_says(page) == usual


def test_a_checkpoint_in_a_folder_draws_on_the_page(page: Any, folder: Path) -> None:
    type_folder(page, folder)
    open_options(page)
    wait_for_steps(page, 64)
    page.wait_for_selector("#uc-option-family", state="visible")
    assert shown(page) == set(OPTIONS) - {"lora"}  # which is of aMUSEd, and the folder's config says that it is none
    # a size that the model cannot draw is said, and nothing is lost
    page.get_by_label("number input for Steps").fill("3")
    page.fill("#uc-option-image_size_px input", "30")
    page.keyboard.press("Enter")
    page.fill("#uc-option-negative_prompt input", "dim")
    page.keyboard.press("Enter")
    set_prompt(page, "a red turtle and a blue apple")
    page.click("#uc-generate")
    page.wait_for_selector("#uc-problem >> visible=true")
    said = page.locator("body").inner_text()
    assert "Image size 30 × 30 px: both sides must be multiples of 8" in said

    page.fill("#uc-option-image_size_px input", "32x32")
    page.keyboard.press("Enter")
    page.fill("#uc-frames input", "final")
    page.keyboard.press("Enter")
    run_to_end(page)
    runs = page.evaluate("() => window.UncagePage.shared.stage.player.model.runs.map((run) => run.raw)")
    assert len(runs) == 2
    told = page.evaluate("() => JSON.stringify(window.UncagePage.shared.stage.player.model)")
    assert "tiny-meissonic" in told
    assert page.locator("#uc-stage .up-canvas").count() >= 2
    command = shlex.split(page.evaluate("() => window.UncagePage.shared.command"))
    assert command[command.index("--model") + 1] == str(folder)
    assert {"--image-size=32x32", "--negative-prompt=dim"} <= set(command)
    assert command[command.index("--frames") + 1] == "final"

    # a damaged checkpoint is named, with its file, and the run on stage stays
    broken = folder.parent / "broken"
    shutil.copytree(folder, broken)
    weights = broken / "vqvae" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    type_folder(page, broken)
    wait_for_steps(page, 64)
    page.click("#uc-generate")
    page.wait_for_function("() => document.body.innerText.includes('vqvae/diffusion_pytorch_model.safetensors: truncated')")
    assert len(page.evaluate("() => window.UncagePage.shared.stage.player.model.runs")) == 2

    choose(page, "Emoji scenes (embedded)")
    page.wait_for_selector("#uc-model-options", state="hidden")
    wait_for_steps(page, 16)
