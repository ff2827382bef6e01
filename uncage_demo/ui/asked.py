"""What a program asks for: the arguments of an endpoint as the settings of a run, checked, and explained in its description."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from uncage_demo.backends.options import OPTIONS, ModelOptions
from uncage_demo.config import ORDER_NAMES, SETTINGS, DecodingConfig
from uncage_demo.decoding.presets import NAMED, named_preset, preset_with
from uncage_demo.orders.table import COMPARED
from uncage_demo.setting import listed, one_of, retold, shortened, whole_number
from uncage_demo.trace.record import Trace
from uncage_demo.ui import settings as options
from uncage_demo.ui.settings import Settings

# What a program may change of a run when it branches.
BRANCH_CHANGES = ("keep", "drop", "forbid", "order", "knock_out")
# Settings that have no argument of their own.
_OF_THEIR_OWN = ("order", "seed", "num_steps", "contrast_weight", "contrast_steps", "contrast_mode", "guidance_scale")
_FURTHER = tuple(name for name in SETTINGS if name not in _OF_THEIR_OWN)


def shared_settings(seed: Any, num_steps: Any, weight: Any, guided: Any, scale: Any, mode: Any) -> dict[str, Any]:
    """Settings that have an argument of their own, by name; -1 stands for the model's own value, as None does.

    Raises:
        ValueError: naming the argument, the value and what is allowed.
    """
    given = {
        "seed": seed,
        "num_steps": None if num_steps == -1 else num_steps,
        "contrast_weight": weight,
        "contrast_steps": None if guided == -1 else guided,
        "guidance_scale": None if scale == -1 else scale,
        "contrast_mode": mode,
    }
    return {name: options.tidy(name, value) for name, value in given.items()}


def further_settings(text: str | None) -> dict[str, Any]:
    """Settings given by name, as JSON text; "" gives none.

    Raises:
        ValueError: not an object, an unknown name, or one that has an argument of its own.
    """
    try:
        named = json.loads(text) if text and text.strip() else {}
    except (ValueError, RecursionError):
        named = None
    if not isinstance(named, dict) or not set(named) <= set(_FURTHER):
        raise ValueError(f"settings={shortened(text)}: give a JSON object with some of {listed(_FURTHER, 160)}")
    return {name: options.tidy(name, tuple(value) if isinstance(value, list) else value) for name, value in named.items()}


def loaded_with(text: str | None) -> ModelOptions:
    """What a large model is loaded with, as JSON text; "" gives none.

    Raises:
        ValueError: naming the argument, the option and what is allowed.
    """
    said = (text or "").strip()
    try:
        return ModelOptions.from_json(said)
    except ValueError as error:
        told = f"model_options: {_option_problem(said, error)}"
        raise ValueError(told) from None


def _option_problem(said: str, error: ValueError) -> str:
    try:
        data = json.loads(said)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict) or not set(data) <= {one.name for one in fields(ModelOptions)}:
        return f"{shortened(said)}: give an object with some of {listed(one.name for one in fields(ModelOptions))}"
    values = [tuple(value) if isinstance(value, list) else value for value in data.values()]
    return retold(error, *values)


def chosen_settings(
    model: str, orders: tuple[str, ...], shared: dict[str, Any], age: str | None, preset: str | None, model_options: str, frames: str | None
) -> Settings:
    """What a program asks for. Of a preset holds what the arguments leave at their usual value: orders and settings alike.

    Raises:
        ValueError: naming the argument, the value and what is allowed.
    """
    if preset:
        told, usual = named_preset(preset), DecodingConfig()
        shared = preset_with(preset, {name: value for name, value in shared.items() if value != getattr(usual, name)})
        orders = {COMPARED[-1:]: (told.config.order,), COMPARED: told.orders}.get(orders, orders)
    loaded = loaded_with(model_options)
    if loaded.age and age:
        raise ValueError(f"age={shortened(age)}: the model options name an age, too; give one of the two")
    return Settings(model, orders, shared, age or "", loaded, frames or "all")


def branch_event(parent: Trace, at_step: Any, change: Any, cell: Any, order: Any, word: Any) -> dict[str, Any]:
    """What a program asks for in a branch as the player would report it (see `runs.branch_arguments`); what `change` does not need is not
    looked at.

    Raises:
        ValueError: naming the argument, the value and what is allowed.
    """
    step = whole_number("at_step", at_step, parent.steps[0].step, parent.steps[-1].step)
    one_of("change", change, BRANCH_CHANGES)
    if change == "order":
        return {"step": step, "order": one_of("order", order, ORDER_NAMES)}
    if change == "knock_out":
        return {"step": step, "word": whole_number("word", word, 0, len(parent.prompt.words) - 1)}
    at = whole_number("cell", cell, 0, parent.tokens.size - 1)
    token = parent.steps[step - parent.steps[0].step].sampled[at]
    return {"step": step, "action": change, "cell": at, "token": int(token)}


def with_settings_named(function: Callable[..., Any]) -> Callable[..., Any]:
    """Write into a function's description what can be given by name; clients and models read it."""
    told = "; ".join(f"{name}: {SETTINGS[name].full_help}" for name in _FURTHER)
    options_told = "; ".join(f"{one.name}: {one.help}" for one in OPTIONS)
    presets_told = "; ".join(f"{one.name}: {one.about}" for one in NAMED.values())
    texts = {
        "FURTHER": f'any other settings as a JSON object such as {{"schedule": "linear"}}, or empty ({told}).',
        "OPTIONS": 'how a large model is loaded, as a JSON object such as {"image_size_px": 512}, or empty (list_models says which options '
        f"a model has here; {options_told}).",
        "PRESETS": f"settings by name, or empty; arguments that are not at their usual values count before it ({presets_told})",
        "FRAMES": 'pictures of the steps: all, final (the finished one only) or "every K".',
    }
    for name, text in texts.items():
        function.__doc__ = (function.__doc__ or "").replace(f": {name}\n", f": {text}\n")
    return function
