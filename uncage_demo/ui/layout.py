"""The page: prompt, chips, settings, stage, comparison, lessons, results. Layout and wiring only; what happens is in handlers.py."""

from __future__ import annotations

import functools
import html
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from uncage_demo.backends.options import without_options
from uncage_demo.decoding.presets import named_preset
from uncage_demo.trace.record import Trace
from uncage_demo.ui import chips, edit, edit_api, exports, head_requests, in_browser, late_pictures, own_picture, pages, theme
from uncage_demo.ui import settings as options
from uncage_demo.ui.address import lesson_number, misunderstood
from uncage_demo.ui.api import add_api
from uncage_demo.ui.branch_links import parse_branches
from uncage_demo.ui.errors import beside_the_field, explained, short_reason
from uncage_demo.ui.examples import Examples
from uncage_demo.ui.handlers import Handlers
from uncage_demo.ui.messages import message
from uncage_demo.ui.models import DEVICE_QUEUE, MOST_IN_LINE, ModelSlot, default_model, entry_of, model_choices
from uncage_demo.ui.opened import KINDS
from uncage_demo.ui.panel import Panel, build_panel
from uncage_demo.ui.results import read_ahead
from uncage_demo.ui.settings import Settings

# Files that visitors were given are deleted a day after they were made; looked at every hour.
KEPT_FILES_S = (3600, 24 * 3600)
CHIP_EVENTS = ("word_edit", "word_replace", "word_add", "word_reset", "word_rest", "word_only")
EXAMPLE_PROMPTS = ("a turtle and a pink apple", "a cat and a dog", "a blue bear and a yellow car", "a frog wearing a red crown")


def build_ui(slot: ModelSlot | None = None, examples: Examples | None = None, ahead: bool = False) -> gr.Blocks:
    """The whole page; no model is loaded before somebody asks for one.

    Args:
        slot: where models come from (tests pass one with a tiny real model).
        examples: shipped runs.
        ahead: read the benchmark's results in the background, while nobody draws.
    """
    handlers = Handlers(slot, examples)
    with gr.Blocks(
        title="Uncage: watch masked decoding decide", analytics_enabled=False, fill_width=True, delete_cache=KEPT_FILES_S
    ) as demo:
        gr.HTML(
            html_template=theme.static_text("header.html"), js_on_load=theme.attach_script("UncagePage.attach.header"), elem_id="uc-header"
        )
        with gr.Tabs(elem_id="uc-tabs") as tabs:
            with gr.Tab("Play", id="play"):
                page = _play(handlers)
            with gr.Tab("Compare", id="compare"):
                pages.compare(handlers, page["prompt"], page["edits"], page["panel"])
            with gr.Tab("Learn", id="learn"):
                lesson = pages.learn(handlers)
            with gr.Tab("Results", id="results"):
                pages.results(handlers)
        add_api(handlers)
        edit_api.add_api(handlers)
        _restore(demo, handlers, page, tabs, lesson)
    # no bound on events that wait: whoever is in the queue is served, and only runs are counted (see `line`)
    demo.queue(max_size=None, default_concurrency_limit=16)
    if ahead:
        read_ahead(lambda: handlers.line.busy)
    return demo


def _play(handlers: Handlers) -> dict[str, Any]:
    """The first tab; returns the components that others refer to."""
    edits = gr.State("")
    with gr.Row(elem_id="uc-ask"):
        prompt = gr.Textbox(
            EXAMPLE_PROMPTS[0],
            show_label=False,
            label="Prompt",
            placeholder="a turtle and a pink apple",
            lines=1,
            max_lines=3,
            max_length=options.MAX_PROMPT_CHARS,
            container=False,
            elem_id="uc-prompt",
            scale=1,
        )
        generate = gr.Button("Generate", variant="primary", elem_id="uc-generate", scale=0)
        cancel = gr.Button("Cancel", elem_id="uc-cancel", scale=0)
    gr.HTML(
        html_template=theme.static_text("problem.html"), js_on_load=theme.attach_script("UncagePage.attach.problem"), elem_id="uc-problem"
    )
    chip_line = gr.HTML(
        "",
        html_template='<div class="uc-chips-root"></div>',
        js_on_load=theme.attach_script("UncageChips.attach", CHIP_EVENTS),
        elem_id="uc-chips",
        apply_default_css=False,
    )
    with gr.Row(elem_id="uc-bar"):
        with gr.Accordion("Settings", open=False, elem_id="uc-settings"):
            panel, preset, about_preset, new_seed = build_panel(model_choices(), default_model())
            for field in panel.inputs:  # what a number may be is said beside the field by the settings themselves, not by a toast
                if isinstance(field, (gr.Number, gr.Slider)):
                    field.preprocess = _as_typed  # type: ignore[method-assign]
            download = gr.Checkbox(False, label="Download this model when I press Generate", elem_id="uc-download", container=False)
            about_model = gr.HTML(
                html_template=theme.static_text("model.html"), js_on_load=theme.attach_script("UncagePage.attach.model"), elem_id="uc-model"
            )
        example = gr.HTML(
            handlers.examples_listed(),
            html_template=theme.static_text("examples.html"),
            js_on_load=theme.attach_script("UncagePage.attach.examples", ("choose",)),
            server_functions=[exports.pictures_function(handlers)],
            elem_id="uc-examples",
            apply_default_css=False,
        )
        opened = gr.UploadButton("Open a trace", file_count="multiple", file_types=KINDS, elem_id="uc-open", size="sm", scale=0)
        own = own_picture.upload_button()
    in_browser.build(handlers, panel, prompt)
    place = gr.HTML("", html_template="<span></span>", elem_id="uc-queue")
    payload = exports.payload_function(handlers)
    stage = gr.HTML(
        "",
        html_template=theme.static_text("stage.html"),
        js_on_load=theme.attach_script("UncagePage.attach.stage", ("branch", "edit", "another_seed")),
        server_functions=[payload, head_requests.heads_function(handlers)],
        elem_id="uc-stage",
        apply_default_css=False,
    )
    late_pictures.build(handlers, payload)
    gr.HTML(
        html_template=theme.static_text("takeaway.html"),
        js_on_load=theme.attach_script("UncagePage.attach.takeaway"),
        server_functions=[exports.export_function(handlers)],
        elem_id="uc-takeaway",
        apply_default_css=False,
    )
    _wire_prompt(handlers, prompt, edits, chip_line, panel)
    _wire_panel(panel, preset, about_preset, new_seed)
    running = _wire_runs(handlers, prompt, edits, chip_line, panel, stage, (generate, place, download), own)
    cancel.click(
        lambda: message("idle", text="Stopped. The last finished run is still here."),
        None,
        stage,
        cancels=running,
        queue=False,
        api_visibility="private",
        show_progress="hidden",
    )
    panel.model.change(explained(exports.model_facts), panel.model, about_model, api_visibility="private", show_progress="hidden")

    @functools.partial(beside_the_field, answers=4 + len(panel.inputs))
    def open_files(paths: list[str]) -> tuple[Any, ...]:
        shown, traces = handlers.open_traces(paths)
        first = traces[0]
        corrections = chips.corrections_of(first)
        kept = chips.keep(first.prompt.text, corrections)
        said = chips.chips_value(first.prompt, pages.shipped_vocabulary(first.model.id), first.model.title, corrections)
        values, _ = panel_values(handlers, panel, traces)
        return shown, first.prompt.text, kept, said, *(values or [gr.skip()] * len(panel.inputs))

    opened.upload(
        open_files,
        opened,
        [stage, prompt, edits, chip_line, *panel.inputs],
        api_visibility="private",
        show_progress="hidden",
        concurrency_limit=2,
    )

    @functools.partial(beside_the_field, answers=4 + len(panel.inputs))
    def show_example(event: gr.EventData) -> tuple[Any, ...]:
        return restored_example(handlers, panel, str(event._data.get("name")), autoplay=True)

    example.choose(
        show_example,
        None,
        [stage, prompt, edits, chip_line, *panel.inputs],
        api_visibility="private",
        show_progress="hidden",
    )
    return {"prompt": prompt, "edits": edits, "chips": chip_line, "panel": panel, "stage": stage, "model": about_model}


def _as_typed(payload: Any) -> Any:
    return payload


def _wire_prompt(handlers: Handlers, prompt: gr.Textbox, edits: gr.State, chip_line: gr.HTML, panel: Panel) -> None:
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}

    # what is wrong with a click is said among the words, where it happened, until the next one
    def among_the_words(function: Callable[..., tuple[Any, str, str]]) -> Callable[..., tuple[Any, Any, Any]]:
        @functools.wraps(function)
        def handler(text: str, kept: str, model: str, *event: Any) -> tuple[Any, Any, Any]:
            try:
                return function(text, chips.edits_for(kept, text), model, *event)
            except Exception as error:
                return gr.skip(), handlers.words_with(text, chips.edits_for(kept, text), model, short_reason(error)), gr.skip()

        return handler

    @among_the_words
    def reread(text: str, edits: str, model: str) -> tuple[Any, str, str]:
        shown, left = handlers.chips_for(text, edits, model)
        return gr.skip(), shown, chips.keep(text, left)

    @among_the_words
    def edited(text: str, edits: str, model: str, event: gr.EventData) -> tuple[Any, str, str]:
        shown, made = handlers.edited(text, edits, model, event._data)
        return gr.skip(), shown, chips.keep(text, made)

    @among_the_words
    def replaced(text: str, edits: str, model: str, event: gr.EventData) -> tuple[Any, str, str]:
        return rewritten(handlers.replaced(text, model, event._data), model)

    @among_the_words
    def added(text: str, edits: str, model: str, event: gr.EventData) -> tuple[Any, str, str]:
        return rewritten(handlers.added(text, model, event._data), model)

    @among_the_words
    def undone(text: str, edits: str, model: str) -> tuple[Any, str, str]:
        return gr.skip(), handlers.chips_for(text, "", model)[0], ""

    def rewritten(text: str, model: str) -> tuple[Any, str, str]:
        return text, handlers.chips_for(text, "", model)[0], ""

    asked, answers = [prompt, edits, panel.model], [prompt, chip_line, edits]
    prompt.change(reread, asked, answers, trigger_mode="always_last", **quiet)
    panel.model.change(reread, asked, answers, trigger_mode="always_last", **quiet)
    chip_line.word_edit(edited, asked, answers, **quiet)
    chip_line.word_replace(replaced, asked, answers, **quiet)
    chip_line.word_add(added, asked, answers, **quiet)
    chip_line.word_reset(undone, asked, answers, **quiet)


def _wire_panel(panel: Panel, preset: gr.Dropdown, about: gr.HTML, new_seed: gr.Button) -> None:
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    new_seed.click(lambda: secrets.randbelow(2**31), None, panel.shared["seed"], **quiet)

    def apply(name: str | None, *values: Any) -> Any:
        try:
            return [named_preset(name).about, *panel.apply_preset(name, values)] if name else ["", *values]
        except ValueError as error:  # a number that is out of range, say
            return [html.escape(f"Nothing was changed. First mend this: {error}"), *[gr.skip()] * len(values)]

    preset.input(apply, [preset, *panel.inputs], [about, *panel.inputs], **quiet)


def _wire_runs(
    handlers: Handlers,
    prompt: gr.Textbox,
    edits: gr.State,
    chip_line: gr.HTML,
    panel: Panel,
    stage: gr.HTML,
    shown: tuple[Any, Any, Any],
    own: Any,
) -> list[Any]:
    """Generate by click and Enter, branches from the player; returns the events that Cancel stops."""
    generate, place, download = shown

    @functools.partial(beside_the_field, answers=2, chips=True)
    def run(text: str, kept: str, allowed: bool, *values: Any) -> Any:
        for news, chips_now in handlers.generate(text, chips.edits_for(kept, text), panel.settings(values), allow_download=bool(allowed)):
            yield news or gr.skip(), gr.skip() if chips_now is None else chips_now

    @functools.partial(beside_the_field, answers=3, chips=True)
    def run_rest(text: str, kept: str, allowed: bool, *values: Any) -> Any:
        setting = panel.settings(values)
        text = handlers.rest_of(text, setting.model)
        yield gr.skip(), gr.skip(), text
        for news, chips_now in handlers.generate(text, "", setting, allow_download=bool(allowed)):
            yield news or gr.skip(), gr.skip() if chips_now is None else chips_now, gr.skip()

    @beside_the_field
    def branch_on_stage(event: gr.EventData) -> Any:
        ids, asked = event._data.get("ids"), event._data.get("event")
        again = isinstance(asked, dict) and asked.get("name") == "again"
        for news in handlers.branch_again(ids, asked.get("branches")) if again else handlers.branch(ids, asked):
            yield news or gr.skip()

    device: dict[str, Any] = {
        "concurrency_limit": MOST_IN_LINE,
        "concurrency_id": DEVICE_QUEUE,
        "api_visibility": "private",
        "show_progress": "minimal",
        "show_progress_on": place,
    }
    settle = "() => window.UncagePage && window.UncagePage.settle()"
    started = gr.on(
        [generate.click, prompt.submit], run, [prompt, edits, download, *panel.inputs], [stage, chip_line], trigger_mode="once", **device
    )
    rest = chip_line.word_rest(
        run_rest, [prompt, edits, download, *panel.inputs], [stage, chip_line, prompt], trigger_mode="once", **device
    )
    # In this browser the words alone are taken; the run is the page's own.
    chip_line.word_only(
        explained(handlers.rest_of), [prompt, panel.model], prompt, api_visibility="private", show_progress="hidden", queue=False
    ).success(None, None, None, js="() => window.UncagePage.here.press()")
    chosen = stage.another_seed(
        lambda: secrets.randbelow(options.SEEDS_SHOWN),
        None,
        panel.shared["seed"],
        queue=False,
        api_visibility="private",
        show_progress="hidden",
    )
    seeded = chosen.success(run, [prompt, edits, download, *panel.inputs], [stage, chip_line], trigger_mode="once", **device)
    branched = stage.branch(branch_on_stage, None, stage, trigger_mode="once", **device)
    for event in (started, rest, chosen, seeded, branched):
        event.failure(None, None, None, js=settle)
    return [started, rest, seeded, branched, *edit.wire(handlers, stage, own, (prompt, edits, panel), device, settle)]


def restored_example(handlers: Handlers, panel: Panel, name: str, **extra: Any) -> tuple[Any, ...]:
    """(stage, prompt, edits, chips, *panel values) of a shipped example."""
    example = handlers.examples.get(name)
    traces = [handlers.store.get(identity).trace for identity in example.ids[: options.MAX_STAGES]]
    parsed = traces[0].prompt
    return (
        handlers.show_example(example, **extra),
        parsed.text,
        "",
        chips.chips_value(parsed, pages.shipped_vocabulary(traces[0].model.id), traces[0].model.title),
        *panel.values(options.settings_of_traces(traces)),
    )


def panel_values(handlers: Handlers, panel: Panel, traces: Sequence[Trace]) -> tuple[list[Any] | None, str]:
    """(what fills the panel so that Generate draws as some runs were drawn, or None; what to say of None)."""
    try:
        model, _ = without_options(handlers.slot.of_trace(traces[0]))
        entry_of(model)
        return panel.values(replace(options.settings_of_traces(traces), model=model)), ""
    except ValueError:  # a file of a model that is not offered here, or with settings of another version
        return None, "The settings are not those of these runs, which cannot be drawn again here."


def _restore(demo: gr.Blocks, handlers: Handlers, page: dict[str, Any], tabs: gr.Tabs, lesson: gr.HTML) -> None:
    """On load: a link's prompt, settings and step; a lesson's tab; otherwise the first shipped example, playing."""
    panel: Panel = page["panel"]
    outputs = [page["stage"], page["prompt"], page["edits"], page["chips"], *panel.inputs, tabs, lesson, page["model"]]

    # The panel is filled in every case: a number field that was never told its blank value shows 0, and would be read so.
    def nothing() -> list[Any]:
        filled = [gr.skip()] * len(outputs)
        filled[4 : 4 + len(panel.inputs)] = panel.values(Settings(default_model()))
        return filled

    @functools.partial(beside_the_field, answers=len(outputs))
    def restore(request: gr.Request) -> list[Any]:
        query = dict(request.query_params)
        left_out = misunderstood(query)
        try:
            return restored(query, problem=left_out)
        except ValueError as error:  # a link with a mistake in it: say so, and show what a visitor without a link sees
            kept = {name: query[name] for name in ("tab", "lesson") if name in query}
            return restored(kept, problem=f"The link cannot be opened as it is: {error} {left_out}".strip())

    def restored(query: dict[str, str], **extra: Any) -> list[Any]:
        filled = nothing()
        filled[-1] = exports.model_facts(default_model())
        number = lesson_number(query.get("lesson"))
        if number:
            filled[-3], filled[-2] = gr.Tabs(selected="learn"), message("lesson", number=number)
        elif query.get("tab") in ("compare", "learn", "results"):
            filled[-3] = gr.Tabs(selected=query["tab"])
        if "prompt" in query:
            text, chosen, step, kept = options.from_query(query)
            filled[1 : 4 + len(panel.inputs)] = [
                text,
                chips.keep(text, kept),
                handlers.chips_for(text, kept, chosen.model)[0],
                *panel.values(chosen),
            ]
            if "branches" in query:
                parse_branches(query["branches"], len(chosen.orders))  # a mistake in it is said before anything is drawn
            filled[0] = message("restored", restore_step=step, run=bool(text), branches=query.get("branches"), **extra)
        elif "runs" in query:
            entries = handlers.store.get_many(query["runs"].split(",")[: options.MAX_STAGES])
            text, kept = entries[0].trace.prompt.text, entries[0].edits
            values, note = panel_values(handlers, panel, [entry.trace for entry in entries])
            if values:
                filled[4 : 4 + len(panel.inputs)] = values
            filled[0] = handlers.shown([entry.id for entry in entries], None, kept, note=note, **extra)
            filled[1:4] = [text, chips.keep(text, kept), handlers.chips_for(text, kept, entries[0].trace.model.id)[0]]
        elif handlers.examples.all:
            name = query.get("example") or handlers.examples.all[0].name
            if "example" in query and "branches" in query:
                parse_branches(query["branches"], len(handlers.examples.get(name).ids[: options.MAX_STAGES]))
                extra["branches"] = query["branches"]
            filled[: 4 + len(panel.inputs)] = restored_example(handlers, panel, name, autoplay=not number, **extra)
        else:
            filled[0] = message("idle", text=extra.get("problem") or "No finished example is installed; press Generate.")
        return filled

    demo.load(restore, None, outputs, api_visibility="private", show_progress="hidden", queue=False)
