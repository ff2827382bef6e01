"""The tabs beside the stage: comparison grid, lessons, results."""

from __future__ import annotations

from typing import Any

import gradio as gr

from uncage_demo.config import parse_seeds
from uncage_demo.orders.table import order_choices
from uncage_demo.types import Vocabulary
from uncage_demo.ui import chips, exports, lessons, theme
from uncage_demo.ui import settings as options
from uncage_demo.ui.errors import beside_the_field, explained
from uncage_demo.ui.handlers import Handlers
from uncage_demo.ui.messages import message
from uncage_demo.ui.models import DEVICE_QUEUE, MOST_IN_LINE, is_embedded, kept_ages
from uncage_demo.ui.often import how_often
from uncage_demo.ui.panel import Panel

MANY_SEEDS = 20


def compare(handlers: Handlers, prompt: gr.Textbox, edits: gr.State, panel: Panel) -> None:
    """Up to six orders, or all ages of the model, by four seeds on one clock. Prompt and other settings are those of the first tab."""
    with gr.Row(elem_classes="uc-settings-row", elem_id="uc-compare-ask"):
        orders = gr.Dropdown(
            order_choices(),
            value=["meissonic", "uncage", "halton"],
            multiselect=True,
            max_choices=options.MAX_STAGES,
            label="Orders, up to 6",
            scale=3,
            min_width=260,
        )
        seeds = gr.Textbox("0-3", label="Seeds, up to 4", placeholder="0-3 or 5, 8, 13", scale=1, min_width=110, elem_id="uc-seeds")
        run = gr.Button("Compare", variant="primary", elem_id="uc-compare", scale=0, min_width=112)
        grown = gr.Button("All ages", visible=bool(kept_ages(panel.model.value)), elem_id="uc-compare-ages", scale=0, min_width=112)
        often = gr.Button(f"How often in {MANY_SEEDS} seeds?", elem_id="uc-compare-often", scale=0, min_width=112)
        stop = gr.Button("Cancel", elem_id="uc-compare-cancel", scale=0, min_width=112)
    place = gr.HTML("", html_template="<span></span>", elem_classes="uc-queue")
    first = handlers.plan(prompt.value, orders.value, seeds.value, panel.shared["num_steps"].value, panel.model.value)
    plan = gr.HTML(
        first,
        html_template=theme.static_text("plan.html"),
        js_on_load=theme.attach_script("UncageGrid.plan"),
        elem_id="uc-plan",
        apply_default_css=False,
    )
    asked = [prompt, orders, seeds, panel.shared["num_steps"], panel.model]
    gr.on(
        [component.change for component in asked],
        explained(handlers.plan),
        asked,
        plan,
        api_visibility="private",
        show_progress="hidden",
        queue=False,
        trigger_mode="always_last",
    )
    grid = gr.HTML(
        message("idle"),
        html_template=theme.static_text("grid.html"),
        js_on_load=theme.attach_script("UncageGrid.attach"),
        server_functions=[exports.payload_function(handlers)],
        elem_id="uc-grid",
        apply_default_css=False,
    )

    @beside_the_field
    def start(text: str, kept: str, chosen: list[str], typed: str, *values: Any) -> Any:
        setting = panel.settings(values, chosen)
        for news in handlers.compare(text, chips.edits_for(kept, text), setting, parse_seeds(typed, options.MAX_SEEDS)):
            yield news or gr.skip()

    @beside_the_field
    def start_ages(text: str, kept: str, chosen: list[str], typed: str, *values: Any) -> Any:
        setting = panel.settings(values, chosen)
        for news in handlers.compare_ages(text, chips.edits_for(kept, text), setting, parse_seeds(typed, options.MAX_SEEDS)):
            yield news or gr.skip()

    @beside_the_field
    def start_often(text: str, kept: str, chosen: list[str], _typed: str, *values: Any) -> Any:
        for news in how_often(handlers, text, chips.edits_for(kept, text), panel.settings(values, chosen), MANY_SEEDS):
            yield news or gr.skip()

    device: dict[str, Any] = {
        "concurrency_limit": MOST_IN_LINE,
        "concurrency_id": DEVICE_QUEUE,
        "api_visibility": "private",
        "show_progress": "minimal",
        "show_progress_on": place,
        "trigger_mode": "once",
    }
    asks = [prompt, edits, orders, seeds, *panel.inputs]
    events = [
        run.click(start, asks, grid, **device),
        grown.click(start_ages, asks, grid, **device),
        often.click(start_often, asks, grid, **device),
    ]
    for event in events:
        event.failure(None, None, None, js="() => window.UncageGrid && window.UncageGrid.settle()")
    panel.model.change(
        lambda model: gr.update(visible=bool(kept_ages(model))),
        panel.model,
        grown,
        api_visibility="private",
        show_progress="hidden",
        queue=False,
    )
    stop.click(
        lambda: message("stopped", text="Stopped."),
        None,
        grid,
        cancels=events,  # pyright: ignore[reportArgumentType]
        queue=False,
        api_visibility="private",
        show_progress="hidden",
    )


def learn(handlers: Handlers) -> gr.HTML:
    """Lessons on shipped runs; everything happens in the browser."""

    def lesson(data: Any) -> str:
        return lessons.lesson_text(handlers.examples, data)

    return gr.HTML(
        message("lesson", number=0),
        html_template=theme.static_text("lessons.html"),
        js_on_load=theme.attach_script("UncageLessons.attach"),
        server_functions=[lesson, exports.payload_function(handlers)],
        elem_id="uc-learn",
        apply_default_css=False,
    )


def shipped_vocabulary(model: str) -> Vocabulary | None:
    """What a shipped run's model can draw, without loading it."""
    from uncage_demo.backends.embedded.vocab import VOCABULARY

    return VOCABULARY if is_embedded(model) else None


def results(handlers: Handlers) -> None:
    """The shipped benchmark results, and any single picture's run decoded again."""
    from uncage_demo.ui.results import build

    build(handlers)
