"""The page's options of a large model: inputs made from the one table of options, shown for the model that is chosen and nothing else.

Which options there are, their help and what they may be: backends/options.py. What was entered comes back as ModelOptions, or as an error
that names the value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

import gradio as gr

from uncage_demo.backends.large.catalog import offered
from uncage_demo.backends.large.settings import AUTHORS
from uncage_demo.backends.options import NEGATIVE_PROMPTS, OPTIONS, ModelOptions, OptionFact, options_for

USUAL = ""  # what a choice shows while the model's own way holds


def folders_allowed() -> bool:
    """Whether visitors may name folders of the server: only where its owner says so with UNCAGE_FOLDERS=1."""
    return os.environ.get("UNCAGE_FOLDERS", "").strip().lower() in ("1", "true", "yes", "on")


def shown_for(model: str) -> tuple[OptionFact, ...]:
    """The options that the page offers for a model of the catalogue.

    Args:
        model: its name in the catalogue.

    Raises:
        ValueError: a model that is not on offer.
    """
    for entry in offered():
        if entry.id == model:
            return tuple(one for one in options_for(entry.family, local=folders_allowed()) if one.name != "family")
    raise ValueError(f"model {model!r} is not offered here; choose one of {', '.join(e.id for e in offered())}")


def build_inputs(model: str) -> dict[str, Any]:
    """One input an option, in the order of the table; those that the model lacks are hidden. Call inside a Blocks.

    Args:
        model: the one that the page starts with.

    Returns:
        {option: component}; their values go to `options_from`.
    """
    shown = {one.name for one in shown_for(model)}
    return {one.name: _input(one, model, one.name in shown) for one in OPTIONS if one.name != "family"}


def updates_for(model: str) -> list[Any]:
    """What to do with the inputs of `build_inputs`, in order, when another model is chosen: show what it has, forget what was entered."""
    shown = {one.name for one in shown_for(model)}
    return [
        gr.update(visible=one.name in shown, value=False if one.kind == "switch" else USUAL, placeholder=_placeholder(one, model))
        if one.kind in ("text", "place")
        else gr.update(visible=one.name in shown, value=False if one.kind == "switch" else USUAL)
        for one in OPTIONS
        if one.name != "family"
    ]


def options_from(model: str, values: Mapping[str, Any]) -> ModelOptions:
    """What the inputs say, checked; blank = the model's own way.

    Args:
        model: the chosen one; values of options that it does not show are not looked at.
        values: {option: value} as the components deliver it.

    Raises:
        ValueError: naming the option, the value and what is allowed.
    """
    given: dict[str, Any] = {}
    for one in shown_for(model):
        value = values.get(one.name)
        if value in (None, USUAL, False):
            continue
        given[one.name] = _size(str(value)) if one.kind == "size" else value
    return ModelOptions(**given)


def _input(one: OptionFact, model: str, visible: bool) -> Any:
    common: dict[str, Any] = {"label": one.label, "info": one.help, "visible": visible}
    if one.kind == "switch":
        return gr.Checkbox(value=False, **common)
    if one.kind in ("choice", "size"):
        usual = [("the model's usual", USUAL), *((name, name) for name in one.choices)]
        return gr.Dropdown(usual, value=USUAL, allow_custom_value=one.kind == "size", **common)
    return gr.Textbox(value=USUAL, placeholder=_placeholder(one, model), max_lines=3, **common)


def _placeholder(one: OptionFact, model: str) -> str:
    """What holds while an input is blank."""
    if one.name != "negative_prompt":
        return "the model's own"
    own = AUTHORS[model].negative_prompt if model in AUTHORS else ""
    return own or f"empty; or one of: {', '.join(NEGATIVE_PROMPTS)}"


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"\s*(\d{1,5})(?:\s*[x×]\s*(\d{1,5}))?\s*", text, re.ASCII if "×" not in text else 0)
    if not found:
        raise ValueError(f"picture size {text!r}: give one number or HEIGHTxWIDTH, such as 512 or 512x768")
    return int(found[1]), int(found[2] or found[1])
