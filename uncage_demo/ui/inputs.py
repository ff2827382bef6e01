"""Numbers and names that programs send: checked, and named when they do not fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import gradio as gr

from uncage_demo.setting import one_of, shortened
from uncage_demo.ui.models import default_model, folders_allowed, model_choices


def checked_number(
    value: float, *, label: str, precision: int | None = None, minimum: float | None = None, maximum: float | None = None
) -> Any:
    """A gr.Number that refuses what it would otherwise round or choke on, and names its argument in the error.

    Not a class of its own: Gradio writes a stub file beside every module that defines a component.

    Args:
        value: at first.
        label: the argument's name.
        precision: 0 takes whole numbers only.
        minimum, maximum: what is allowed; None = any.
    """
    number = gr.Number(value, label=label, precision=precision, minimum=minimum, maximum=maximum)

    def preprocess(payload: Any) -> float | int | None:
        return None if payload is None else check_number(payload, label, whole=precision == 0, low=minimum, high=maximum)

    number.preprocess = preprocess  # type: ignore[method-assign]
    return number


def check_number(given: Any, name: str, *, whole: bool, low: float | None = None, high: float | None = None) -> float | int:
    """The number as sent.

    Raises:
        gr.Error: naming the argument, the value and what is allowed.
    """
    fits = isinstance(given, (int, float)) and not isinstance(given, bool) and math.isfinite(given)
    fits = (
        fits and not (whole and given != int(given)) and not (low is not None and given < low) and not (high is not None and given > high)
    )
    if not fits:
        bounds = (f" from {low}" if low is not None else "") + (f" to {high}" if high is not None else "")
        raise gr.Error(f"{name}={str(given)[:60]!r}: give a {'whole number' if whole else 'number'}{bounds}", print_exception=False)
    return int(given) if whole else float(given)


def checked_choice(choices: Sequence[str], *, label: str, value: Any, several: bool = False, blank: bool = False) -> Any:
    """A gr.Dropdown that names its argument when what is sent is not among its choices, and shows no more than the value's beginning.

    Args:
        choices: what is allowed.
        label: the argument's name.
        value: at first.
        several: takes a list of choices.
        blank: None may be sent for it.
    """
    dropdown = gr.Dropdown(list(choices), value=value, multiselect=several or None, label=label)

    def preprocess(payload: Any) -> Any:
        if payload is None and blank:
            return None
        try:
            if not several:
                return one_of(label, payload, choices)
            if not isinstance(payload, list):
                raise ValueError(f"{label}={shortened(payload)}: give a list")
            return [one_of(label, one, choices) for one in payload]
        except ValueError as error:
            raise gr.Error(str(error), print_exception=False) from None

    dropdown.preprocess = preprocess  # type: ignore[method-assign]
    return dropdown


def model_input() -> Any:
    """Where a program names a model: one of those on offer, or any text where it may also be a folder of the server.

    A list of choices would refuse a folder before anything of ours could look at it.
    """
    if not folders_allowed():
        return checked_choice([name for _, name in model_choices()], value=default_model(), label="model")
    model = gr.Textbox(default_model(), label="model")

    def preprocess(payload: Any) -> str:
        if not isinstance(payload, str) or not payload.strip():
            raise gr.Error(f"model={shortened(payload)}: give a name (see list_models) or a folder of the server", print_exception=False)
        return payload

    model.preprocess = preprocess  # type: ignore[method-assign]
    return model
