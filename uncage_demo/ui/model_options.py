"""The page's options of a large model: inputs made from the one table of options, shown for the model that is chosen and nothing else.

Which options there are, their help and what they may be: backends/options.py. What was entered comes back as ModelOptions, or as an error
that names the value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from uncage_demo.backends.options import NEGATIVE_PROMPTS, OPTIONS, ModelOptions, OptionFact
from uncage_demo.ui.models import entry_of, option_facts
from uncage_demo.ui.settings import option_text, option_value

USUAL = ""  # what an input shows while the model's own way holds


def build_inputs(model: str) -> dict[str, Any]:
    """One input an option, in the order of the table; those that the model lacks are hidden. Call inside a Blocks.

    Args:
        model: the one that the page starts with.

    Returns:
        {option: component}; their values go to `options_from`.
    """
    shown = {one.name for one in option_facts(model)}
    return {one.name: _input(one, model, one.name in shown) for one in OPTIONS}


def updates_for(model: str, options: ModelOptions | None = None) -> list[dict[str, Any]]:
    """What to do with the inputs of `build_inputs`, in order, when another model is chosen: show what it has and nothing else.

    Args:
        model: the chosen one.
        options: what the inputs then say; None = nothing, the model's own way.
    """
    shown = {one.name for one in option_facts(model)}
    given = {} if options is None else options.given()
    updates = []
    for one in OPTIONS:
        value: Any = False if one.kind == "switch" else USUAL
        if one.name in given:
            value = True if one.kind == "switch" else option_text(one.name, given[one.name])
        choices: dict[str, Any] = {"choices": _choices(one, model)} if one.name == "negative_prompt" else {}
        updates.append(gr.update(visible=one.name in shown, value=value, **choices))
    return updates


def options_from(model: str, values: Mapping[str, Any]) -> ModelOptions:
    """What the inputs say, checked; blank = the model's own way.

    Args:
        model: the chosen one; values of options that it does not show are not looked at.
        values: {option: value} as the components deliver it.

    Raises:
        ValueError: naming the option, the value and what is allowed.
    """
    given: dict[str, Any] = {}
    for one in option_facts(model):
        value = values.get(one.name)
        if value not in (None, USUAL, False):
            given[one.name] = option_value(one.name, str(value))
    return ModelOptions(**given)


def _input(one: OptionFact, model: str, visible: bool) -> Any:
    common: dict[str, Any] = {
        "label": one.label,
        "info": f"{one.help[0].upper()}{one.help[1:]}.",
        "visible": visible,
        "min_width": 200,
        "elem_id": f"uc-option-{one.name}",
    }
    if one.kind == "switch":
        return gr.Checkbox(value=False, **common)
    if one.kind == "place":
        return gr.Textbox(value=USUAL, placeholder="the model's own", **common)
    return gr.Dropdown(_choices(one, model), value=USUAL, allow_custom_value=one.kind != "choice", **common)


def _choices(one: OptionFact, model: str) -> list[tuple[str, str]]:
    """(label, value) of what a dropdown offers; of a negative prompt with its text."""
    if one.name != "negative_prompt":
        return [("the model's usual", USUAL), *((name, name) for name in one.choices)]
    own = entry_of(model).negative_prompt
    named = [(f"{name}: {text}" if text else "an empty text", name) for name, text in NEGATIVE_PROMPTS.items()]
    return [(f"the model's own: {own or 'an empty text'}", USUAL), *named]
