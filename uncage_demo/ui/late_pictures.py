"""Pictures of the steps that come after the finished ones: while many wait, those are drawn first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import gradio as gr

from uncage_demo.ui import settings as options
from uncage_demo.ui import theme
from uncage_demo.ui.messages import message
from uncage_demo.ui.models import MOST_IN_LINE

if TYPE_CHECKING:
    from uncage_demo.ui.handlers import Handlers


def build(handlers: Handlers, payload: Callable[[Any], str]) -> None:
    """The component by which a stage asks for the pictures that its runs still owe, and hears that they are there.

    Args:
        handlers: of the page.
        payload: gives scripts the payload of some runs.
    """
    late: Any = gr.HTML(
        "",
        html_template="<span></span>",
        js_on_load=theme.attach_script("UncagePage.attach.pictures", ("owed",)),
        server_functions=[payload],
        elem_id="uc-pictures",
        apply_default_css=False,
    )

    def drawn(event: gr.EventData) -> Iterator[Any]:
        for news in answers(handlers, event._data.get("ids")):
            yield news or gr.skip()

    late.owed(
        drawn,
        None,
        late,
        concurrency_limit=MOST_IN_LINE,
        concurrency_id="late_pictures",  # nobody's Generate waits for those who wait here
        trigger_mode="multiple",
        api_visibility="private",
        show_progress="hidden",
    )


def answers(handlers: Handlers, ids: Any) -> Iterator[str]:
    """Wait until nobody waits for a finished picture, then draw what these runs owe: "" while that takes, then the message.

    Args:
        handlers: of the page.
        ids: of the runs, as a script sends them.
    """
    try:
        if not isinstance(ids, list) or not 1 <= len(ids) <= options.MAX_STAGES:
            raise ValueError(f"give the ids of 1 to {options.MAX_STAGES} runs")
        yield from handlers.step_pictures(ids)
        yield message("pictures", ids=ids)
    except ValueError as error:
        yield message("pictures", ids=ids, problem=f"The pictures of the steps could not be drawn: {error}.")
