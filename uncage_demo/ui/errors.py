"""Errors that a visitor can read: beside the field or as a toast, whatever a handler raises."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from uncage_demo.backends.options import OUT_OF_MEMORY
from uncage_demo.prompt.parse import PromptError, UndrawableError
from uncage_demo.ui.messages import message

log = logging.getLogger(__name__)
# What says itself what is wrong: bad input, missing files, no network, values that are not finite, too little memory for a model.
TOLD = (ValueError, FileNotFoundError, ConnectionError, FloatingPointError, MemoryError)


def explained(function: Callable[..., Any]) -> Callable[..., Any]:
    """Errors that say what is wrong become gr.Error with their message; anything else is logged in full and told in one sentence."""

    def told(error: Exception) -> Any:
        raise _told(error) from error

    return _answering(function, told)


def beside_the_field(function: Callable[..., Any], answers: int = 1, chips: bool = False) -> Callable[..., Any]:
    """A handler whose errors are a message to its first output, which keeps it in view, instead of a toast that goes away.

    Args:
        function: returns, or generates, messages, or tuples that begin with one.
        answers: how many outputs it has.
        chips: whether the prompt's words stand beside the field, and say by themselves what is wrong with them.
    """

    def told(error: Exception) -> Any:
        text = message("problem", text=short_reason(error), words=chips and isinstance(error, PromptError))
        return text if answers == 1 else (text, *[gr.skip()] * (answers - 1))

    return _answering(function, told)


def _answering(function: Callable[..., Any], told: Callable[[Exception], Any]) -> Callable[..., Any]:
    """The function, or generator function, with `told` for what it does where an error ends it: its answer, or another error."""
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def generator(*args: Any, **kwargs: Any) -> Iterator[Any]:
            try:
                yield from function(*args, **kwargs)
            except Exception as error:
                yield told(error)

        return generator

    @functools.wraps(function)
    def plain(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            return told(error)

    return plain


def short_reason(error: Exception) -> str:
    """What a visitor reads of an error: one or two sentences, without the list of all words, which is under the prompt.

    Args:
        error: any; what is no mistake of the visitor's is logged.
    """
    if isinstance(error, UndrawableError):
        return f"{error.reason} The words that this model knows are listed under the prompt."
    text = str(_told(error).message)
    first = text.split(maxsplit=1)[0] if text.split() else ""
    return text[0].upper() + text[1:] if first.isalpha() else text  # "seed=-1: ..." keeps its name as it is


def _told(error: Exception) -> gr.Error:
    if isinstance(error, gr.Error):
        return error
    # What the system says (it has a number) names paths of the server; what this project says is meant for visitors.
    if isinstance(error, TOLD) and str(error) and getattr(error, "errno", None) is None:
        return gr.Error(str(error), duration=12, print_exception=False)
    if type(error).__name__ == "OutOfMemoryError":
        return gr.Error(OUT_OF_MEMORY, duration=12, print_exception=False)
    log.exception("a handler failed")
    return gr.Error(
        f"Something went wrong on the server ({type(error).__name__}). Nothing was lost; try again.", duration=12, print_exception=False
    )
