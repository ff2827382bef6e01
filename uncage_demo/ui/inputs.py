"""Numbers that programs send: checked, and named when they do not fit."""

from __future__ import annotations

import math
from typing import Any

import gradio as gr

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


def model_input() -> Any:
    """Where a program names a model: one of those on offer, or any text where it may also be a folder of the server.

    A list of choices would refuse a folder before anything of ours could look at it.
    """
    if folders_allowed():
        return gr.Textbox(default_model(), label="model")
    return gr.Dropdown([name for _, name in model_choices()], value=default_model(), label="model")
