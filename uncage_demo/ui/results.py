"""The results tab: tables computed from the shipped result lines, and any single picture decoded again with its trace."""

from __future__ import annotations

from typing import Any

import gradio as gr

from uncage_demo.decoding.config import DecodingConfig
from uncage_demo.ui import settings as options
from uncage_demo.ui.handlers import Handlers, explained
from uncage_demo.ui.models import DEFAULT_MODEL, DEVICE_QUEUE
from uncage_demo.ui.settings import Settings

MAX_ROWS = 200
_HEADERS = ["Method", "Prompt", "Seed", "Fully correct", "Failures"]
_ANY = "any"


def build(handlers: Handlers, stage: gr.HTML, tabs: gr.Tabs) -> None:
    """The tab's components and events. Nothing is read before the tab is built; an empty folder gives a sentence, not a table."""
    shipped, problem = _shipped()
    if problem:
        gr.Markdown(problem)
        return
    from uncage_demo.bench.tables import to_markdown

    names = [_name(table) for table in shipped.tables]
    gr.Markdown(
        "Every number is computed from the shipped result lines, one a picture. Intervals are 95 %, by resampling prompts. "
        "Verdicts are a detector's judgement, not the truth."
    )
    which = gr.Dropdown(names, value=names[0], label="Experiment", elem_id="uc-experiment")
    shown = gr.Markdown(to_markdown(shipped.tables[0]), elem_id="uc-table", elem_classes="uc-table")
    which.input(
        lambda name: to_markdown(shipped.tables[names.index(name)]),
        which,
        shown,
        api_visibility="private",
        show_progress="hidden",
        queue=False,
    )
    gr.Markdown("### Single pictures\nFilter, then choose a line: its picture is decoded again from its settings and opens on the stage.")
    with gr.Row(elem_classes="uc-settings-row"):
        method = gr.Dropdown([_ANY, *dict.fromkeys(i.method for i in shipped.images)], value=_ANY, label="Method", min_width=130)
        verdict = gr.Dropdown([_ANY, "correct", "wrong"], value=_ANY, label="Verdict", min_width=110)
        failure = gr.Dropdown([_ANY, "missing", "mixture", "leaked", "duplicate"], value=_ANY, label="Failure", min_width=110)
        text = gr.Textbox("", label="Prompt contains", min_width=140)
    keys = gr.State([])
    table = gr.Dataframe(headers=_HEADERS, interactive=False, wrap=True, max_height=420, elem_id="uc-images", show_label=False)

    @explained
    def search(experiment: str, chosen: str, said: str, failed: str, part: str) -> tuple[list[list[Any]], list[str]]:
        index = names.index(experiment)
        rows = shipped.find(
            experiment=shipped.tables[index].experiment,
            suite=shipped.tables[index].suite,
            method="" if chosen == _ANY else chosen,
            prompt=part or "",
            correct={_ANY: None, "correct": True, "wrong": False}[said],
            failure="" if failed == _ANY else failed,
        )[:MAX_ROWS]
        cells = [
            [r.method, r.prompt, r.seed, {True: "yes", False: "no", None: "not judged"}[r.correct], ", ".join(r.failures)] for r in rows
        ]
        return cells, [r.key for r in rows]

    filters = [which, method, verdict, failure, text]
    gr.on(
        [f.change for f in filters],
        search,
        filters,
        [table, keys],
        api_visibility="private",
        show_progress="hidden",
        queue=False,
        trigger_mode="always_last",
    )

    by_key = {image.key: image for image in shipped.images}

    @explained
    def reopen(listed: list[str], event: gr.SelectData) -> Any:
        row = event.index[0]
        image = by_key[listed[row]]
        config = {name: value for name, value in image.config.items() if name in options.SHARED_FIELDS}
        config = {k: v for k, v in DecodingConfig.from_dict({"order": image.config["order"], **config}).to_dict().items() if k != "order"}
        config["noise_temperature"] = tuple(config["noise_temperature"])
        others = ("meissonic",) if image.config["order"] != "meissonic" else ()
        yield gr.skip(), gr.Tabs(selected="play")
        for news, _ in handlers.generate(image.prompt, "", Settings(DEFAULT_MODEL, (*others, image.config["order"]), config)):
            yield news or gr.skip(), gr.skip()

    table.select(
        reopen, keys, [stage, tabs], concurrency_limit=1, concurrency_id=DEVICE_QUEUE, api_visibility="private", show_progress="hidden"
    )


def _shipped() -> tuple[Any, str]:
    """(results, "") or (None, why there are none)."""
    from uncage_demo.bench.results import load_shipped

    try:
        shipped = load_shipped()
    except ValueError as error:
        return None, f"The shipped results cannot be read: {error}"
    if not shipped.tables:
        return (
            None,
            "No benchmark results are shipped yet. `python -m uncage_demo bench --help` says how to measure them; they appear here.",
        )
    return shipped, ""


def _name(table: Any) -> str:
    return f"{table.experiment}: {table.suite}"
