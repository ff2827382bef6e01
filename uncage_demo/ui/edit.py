"""What the brush asks for on the page: untrusted events become requests, their runs join the stages."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from uncage_demo.config import ORDER_NAMES
from uncage_demo.editing.cells import regions_of
from uncage_demo.editing.plans import own_settings
from uncage_demo.editing.request import EditRequest
from uncage_demo.orders.table import COMPARED
from uncage_demo.setting import shortened, whole_number
from uncage_demo.trace.record import Trace
from uncage_demo.ui import chips
from uncage_demo.ui import settings as options
from uncage_demo.ui.edit_runs import follow
from uncage_demo.ui.errors import beside_the_field
from uncage_demo.ui.handlers import Handlers, kept_beside
from uncage_demo.ui.messages import message
from uncage_demo.ui.own_picture import own_picture
from uncage_demo.ui.panel import Panel

# What "Five orders" draws beside the picture that is edited: the baseline, the published order, the even one, and two that draw twice.
FIVE = (*COMPARED, "halton", "redraw", "mend")
MAX_REGIONS = 16


def request_of(trace: Trace, others: Sequence[Trace], event: dict[str, Any]) -> EditRequest:
    """What the brush reports -> a request; everything in it is untrusted.

    Args:
        trace: the run that is edited.
        others: all runs on stage.
        event: kind; step, cells; shift; strength; rounds; regions, pins; prompt, order.

    Raises:
        ValueError: naming the value and what is allowed.
    """
    kind, text = event.get("kind"), str(event.get("prompt") or "").strip()
    if len(text) > options.MAX_PROMPT_CHARS:
        raise ValueError(f"The prompt has {len(text)} characters; at most {options.MAX_PROMPT_CHARS} are allowed.")
    shared: dict[str, Any] = {"prompt": None if text in ("", trace.prompt.text) else text, "orders": _orders(event.get("order"), others)}
    if kind == "edit":
        step = whole_number("step", event.get("step"), trace.steps[0].step, trace.steps[-1].step)
        return EditRequest("edit", cells=_cells(event.get("cells"), trace.tokens.size), after_step=step, **shared)
    if kind == "extend":
        shift = event.get("shift")
        if not isinstance(shift, list) or len(shift) != 2:
            raise ValueError(f"shift={shortened(shift)}: give rows down and columns right")
        rows, columns = trace.grid
        return EditRequest(
            "extend", shift=(whole_number("down", shift[0], -rows, rows), whole_number("right", shift[1], -columns, columns)), **shared
        )
    if kind == "sketch":
        return EditRequest("sketch", strength=_strength(event, "from 0 to 1"), prompt=shared["prompt"])
    if kind == "remix":
        strength = _strength(event, "above 0, at most 1")
        return EditRequest("remix", strength=strength, rounds=whole_number("rounds", event.get("rounds"), 1, 16), **shared)
    if kind == "compose":
        cells, tokens = _cells(event.get("pins", []), trace.tokens.size), trace.tokens.reshape(-1)
        boxes = _regions(event.get("regions", []), trace)
        config = own_settings(trace)
        pins = tuple((cell, int(tokens[cell])) for cell in cells)
        return EditRequest("compose", trace.prompt, pins=pins, regions=boxes, config=config, orders=shared["orders"])
    raise ValueError(f"kind={shortened(kind)}: choose edit, extend, remix, sketch or compose")


def edit_on_stage(handlers: Handlers, ids: Any, event: Any) -> Iterator[str]:
    """Draw what the brush asks for. The new runs join the stages, on one clock with the run that they come from, whatever their prompt.

    Args:
        handlers: of the page.
        ids: the runs on stage.
        event: what the player reports (see `request_of`), with run (index).
    """
    if not isinstance(ids, list) or not isinstance(event, dict):
        raise ValueError("an edit needs the runs on stage and what to draw")
    entries = handlers.whole_entries(ids[: options.MAX_STAGES])
    number = event.get("run")
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(entries):
        raise ValueError(f"run={shortened(number)}: choose one of the {len(entries)} runs on stage")
    parent = entries[number]
    request = request_of(parent.trace, [entry.trace for entry in entries], event)
    handlers.check_same_model(parent.trace)
    yield message("progress", phase="Drawing again…")
    edits = parent.edits if request.prompt is None or request.kind == "compose" else ""
    for answer in follow(handlers, handlers.slot.of_trace(parent.trace), parent.trace, request, edits):
        if isinstance(answer, str):
            yield answer
            continue
        kept = kept_beside(number, len(entries), options.MAX_STAGES - len(answer.ids))
        gone = len(entries) - len(kept)
        runs = "1 earlier run" if gone == 1 else f"{gone} earlier runs"
        note = f"{runs} made room; “Undo last edit” brings everything back." if gone else ""
        told = handlers.told([*(ids[i] for i in kept), *answer.ids], None, entries[kept[0]].edits if kept else edits)
        # an edit may have fewer steps than its source; the clock goes to where all of them are finished
        last = max(trace.steps[-1].step for trace in (*(entries[i].trace for i in kept), *answer.finished.traces))
        yield message("traces", **told, step=last, edit=request.kind, note=note)


def wire(
    handlers: Handlers, stage: gr.HTML, own: gr.UploadButton, asked: tuple[Any, Any, Panel], device: dict[str, Any], settle: str
) -> list[Any]:
    """The brush's event and the upload; returns the events that Cancel stops.

    Args:
        handlers: of the page.
        stage: shows runs and reports the brush's "edit".
        own: the upload.
        asked: prompt, its corrections, and the panel of settings.
        device, settle: of all runs of the page.
    """
    prompt, edits, panel = asked

    @beside_the_field
    def draw(event: gr.EventData) -> Any:
        for news in edit_on_stage(handlers, event._data.get("ids"), event._data.get("event")):
            yield news or gr.skip()

    @functools.partial(beside_the_field, chips=True)
    def read(path: str, text: str, kept: str, *values: Any) -> Any:
        for news in own_picture(handlers, path, text, chips.edits_for(kept, text), panel.settings(values)):
            yield news or gr.skip()

    events = [
        stage.edit(draw, None, stage, trigger_mode="once", **device),
        own.upload(read, [own, prompt, edits, *panel.inputs], stage, trigger_mode="once", **device),
    ]
    for event in events:
        event.failure(None, None, None, js=settle)
    return events


def _orders(wanted: Any, traces: Sequence[Trace]) -> tuple[str, ...]:
    if wanted in (None, ""):
        return ()
    if wanted == "stage":
        return tuple(dict.fromkeys(str(trace.config["order"]) for trace in traces))
    if wanted == "five":
        return FIVE
    if wanted not in ORDER_NAMES:
        raise ValueError(f"order={shortened(wanted)}: choose one of {', '.join(ORDER_NAMES)}")
    return (str(wanted),)


def _strength(event: dict[str, Any], allowed: str) -> float:
    strength = event.get("strength")
    if isinstance(strength, bool) or not isinstance(strength, (int, float)):
        raise ValueError(f"strength={shortened(strength)}: give a number {allowed}")
    return float(strength)


def _cells(cells: Any, count: int) -> tuple[int, ...]:
    if not isinstance(cells, list) or len(cells) > count:
        raise ValueError(f"cells={shortened(cells)}: give at most {count} numbers of cells")
    return tuple(whole_number("cell", cell, 0, count - 1) for cell in cells)


def _regions(regions: Any, trace: Trace) -> tuple[tuple[int, Any], ...]:
    if not isinstance(regions, list) or len(regions) > MAX_REGIONS or not all(isinstance(one, dict) for one in regions):
        raise ValueError(f"regions={shortened(regions)}: give at most {MAX_REGIONS} of subject and box")
    boxes = {one.get("subject"): one.get("box") for one in regions if isinstance(one.get("box"), list)}
    if len(boxes) < len(regions):
        raise ValueError("regions: give each object one box of four numbers")
    return tuple((region.subject, region.box) for region in regions_of(boxes, trace.prompt, trace.grid))
