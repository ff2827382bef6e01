"""Editing on the page and for programs: the brush's requests, pictures of one's own, and the endpoints that do the same."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from uncage_demo import runner
from uncage_demo.backends.zero_gpu import borrows_gpu
from uncage_demo.config import ORDER_NAMES, DecodingConfig
from uncage_demo.editing.cells import cells_named, object_named, regions_of
from uncage_demo.editing.picture import OwnPicture, encode_picture
from uncage_demo.editing.plans import Given
from uncage_demo.editing.request import EditRequest, cost_of, stream_request
from uncage_demo.orders.table import COMPARED, ORDERS
from uncage_demo.setting import shortened, whole_number
from uncage_demo.trace.record import Trace
from uncage_demo.types import Prompt
from uncage_demo.ui import chips, device_runs
from uncage_demo.ui import settings as options
from uncage_demo.ui.device_runs import Finished
from uncage_demo.ui.handlers import Handlers
from uncage_demo.ui.inputs import checked_number
from uncage_demo.ui.line import Job, Shown, check_cost
from uncage_demo.ui.messages import explained, message
from uncage_demo.ui.models import DEVICE_QUEUE, MOST_IN_LINE, default_model, is_embedded, model_choices, own_steps
from uncage_demo.ui.panel import BROWSER_MAX, Panel
from uncage_demo.ui.runs import Made

# What "Six orders" draws side by side: those that are compared first, the even one, and the others that read attention or draw twice.
SIX = tuple(dict.fromkeys((*COMPARED, "halton", *(name for name, order in ORDERS.items() if order.guided or order.redraw_share))))[:6]
MAX_REGIONS = 16
_THUMB_PX = 320


def seconds_for(slot: int, model: str, given: Given | None, request: EditRequest) -> int:
    """As device_runs.seconds_for, for an edit."""
    config = request.config or (DecodingConfig.from_dict(given.config) if isinstance(given, Trace) else DecodingConfig())
    prompt = Prompt("", (), ())
    return device_runs.seconds_for(slot, model, [runner.Run(prompt, config)] * cost_of(request, 1))


@borrows_gpu(seconds_for)
def stream_edit(slot: int, model: str, given: Given | None, request: EditRequest) -> Iterator[runner.Progress | Finished]:
    """editing.request.stream_request on the slot's model, judged before the device is given back."""
    backend = device_runs.backend_of(slot, model)
    yield from device_runs.judged(backend, stream_request(backend, given, request))


def follow(handlers: Handlers, model: str, given: Given | None, request: EditRequest, edits: str = "") -> Iterator[str | Made]:
    """Progress messages of an edit and its end, by way of the line. Closing it leaves; what nobody waits for stops.

    Args:
        handlers: of the page.
        model: name of the backend with its age.
        given, request: as `request.stream_request`.
        edits: the corrections of the prompt, kept with the runs.

    Raises:
        ValueError: a request that would hold the device for too long, or that does not fit.
    """
    backend = handlers.slot.get(model)
    config = request.config or (DecodingConfig.from_dict(given.config) if isinstance(given, Trace) else DecodingConfig())
    steps = config.num_steps or own_steps(model)
    check_cost(cost_of(request, 1), 1, steps)

    def make() -> Job:
        return Job(
            work=lambda together: stream_edit(handlers.slot_number, model, given, request),
            runs=(),
            cost=cost_of(request, steps),
            grid=backend.info.grid,
            keep=lambda finished: handlers.keep(finished, edits),
            shared_device=handlers.slot.shares_cores(model),
            gate=handlers.slot.gate(model),
        )

    for item in handlers.line.follow(None, make):
        # the runs on stage stay while an edit is decoded
        yield from handlers._news(replace(item, pictures=None) if isinstance(item, Shown) else item, (), {})


def request_of(trace: Trace, others: Sequence[Trace], event: dict[str, Any]) -> EditRequest:
    """What the brush reports -> a request; everything in it is untrusted.

    Args:
        trace: the run that is edited.
        others: all runs on stage.
        event: kind; step, cells; shift; strength, rounds; regions, pins; prompt, order.

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
    if kind == "remix":
        strength = event.get("strength")
        if isinstance(strength, bool) or not isinstance(strength, (int, float)):
            raise ValueError(f"strength={shortened(strength)}: give a number above 0, at most 1")
        return EditRequest("remix", strength=float(strength), rounds=whole_number("rounds", event.get("rounds"), 1, 16), **shared)
    if kind == "compose":
        cells, tokens = _cells(event.get("pins", []), trace.tokens.size), trace.tokens.reshape(-1)
        boxes = _regions(event.get("regions", []), trace)
        config = DecodingConfig.from_dict(trace.config)
        pins = tuple((cell, int(tokens[cell])) for cell in cells)
        return EditRequest("compose", trace.prompt, pins=pins, regions=boxes, config=config, orders=shared["orders"])
    raise ValueError(f"kind={shortened(kind)}: choose edit, extend, remix or compose")


def edit_on_stage(handlers: Handlers, ids: Any, event: Any) -> Iterator[str]:
    """Draw what the brush asks for. Runs of the same prompt join the stages; with another prompt they take the stage.

    Args:
        handlers: of the page.
        ids: the runs on stage.
        event: what the player reports (see `request_of`), with run (index).
    """
    if not isinstance(ids, list) or not isinstance(event, dict):
        raise ValueError("an edit needs the runs on stage and what to draw")
    entries = handlers.store.get_many(ids[: options.MAX_STAGES])
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
        made = answer.finished.traces
        same = all(trace.prompt.text == parent.trace.prompt.text for trace in made) and len(answer.ids) < options.MAX_STAGES
        kept = ids[: options.MAX_STAGES - len(answer.ids)] if same else []
        note = "" if same else f"Drawn for “{made[0].prompt.text}”. Undo last edit brings the earlier runs back."
        told = handlers.told([*kept, *answer.ids], None, edits)
        yield message("traces", **told, step=made[-1].steps[-1].step, edit=request.kind, note=note, prompt=made[0].prompt.text)


def own_picture(handlers: Handlers, path: str, text: str, kept: str, chosen: options.Settings) -> Iterator[str]:
    """Read a picture of one's own with the chosen model and put it on stage, ready for the brush.

    Raises:
        ValueError: a file that is no picture, or a prompt that the model cannot draw.
    """
    yield message("progress", phase="Reading your picture…")
    prompt, backend = handlers.understood_prompt(text, kept, chosen.backend)
    own = encode_picture(backend, path)
    request = EditRequest("picture", prompt, config=chosen.configs()[0].with_(num_steps=None))
    for answer in follow(handlers, chosen.backend, own.tokens, request, kept):
        if isinstance(answer, str):
            yield answer
        else:
            yield message("traces", **handlers.told(answer.ids, None, kept), step=0, edit="picture", own=own_view(own, chosen.backend))


def own_view(own: OwnPicture, model: str) -> dict[str, Any]:
    """What the page shows of a picture of one's own: the picture, what its tokens give, where they differ, and words on it."""
    most = max(1.0, float(own.error.max()))
    far = np.repeat((own.error / most * 255).round().astype(np.uint8)[..., None], 3, axis=2)
    said = [*own.notes, f"As tokens it is off by {own.error.mean():.0f} of 255 on average, by {own.error.max():.0f} where it is worst."]
    if is_embedded(model):
        said.append("This model's tokens were made for small emoji art on plain paper: photos and fine detail become blots.")
    pictures = {"Your picture": own.given, "As tokens": own.decoded, "Where they differ": far}
    return {"pictures": [{"name": name, "data": _webp(picture)} for name, picture in pictures.items()], "said": said}


def _webp(picture: np.ndarray) -> str:
    image = Image.fromarray(picture)
    small = max(image.size) < 64  # an error map has a pixel a cell
    image = image.resize(
        (_THUMB_PX, round(_THUMB_PX * image.size[1] / image.size[0])), Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS
    )
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=90)
    return base64.b64encode(buffer.getvalue()).decode()


def _orders(wanted: Any, traces: Sequence[Trace]) -> tuple[str, ...]:
    if wanted in (None, ""):
        return ()
    if wanted == "stage":
        return tuple(dict.fromkeys(str(trace.config["order"]) for trace in traces))
    if wanted == "six":
        return SIX
    if wanted not in ORDER_NAMES:
        raise ValueError(f"order={shortened(wanted)}: choose one of {', '.join(ORDER_NAMES)}")
    return (str(wanted),)


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


# -- the page ---------------------------------------------------------------------------------------------------------------


def upload_button() -> gr.UploadButton:
    """The button that takes a picture of one's own."""
    kinds = [".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"]
    return gr.UploadButton("Your picture", file_types=kinds, elem_id="uc-own", size="sm", scale=0)


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

    @explained
    def draw(event: gr.EventData) -> Any:
        for news in edit_on_stage(handlers, event._data.get("ids"), event._data.get("event")):
            yield news or gr.skip()

    @explained
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


# -- programs ---------------------------------------------------------------------------------------------------------------


def add_api(handlers: Handlers) -> None:
    """Register `edit`, `extend`, `remix`, `compose` and `read_picture` in the current Blocks."""
    from uncage_demo.ui.api import _files, _nothing_yet, _opened, _picture

    def finished(model: str, given: Given | None, request: EditRequest) -> Iterator[Any]:
        for answer in follow(handlers, model, given, request):
            if not isinstance(answer, Made):
                yield _nothing_yet(3)
                continue
            made = _files(answer)
            yield [m[0] for m in made], [m[1] for m in made], [m[2] for m in made]

    def changed(trace: Trace, kind: Any, prompt: str, orders: Any, seed: Any, **fields: Any) -> EditRequest:
        handlers.check_same_model(trace)
        text = (prompt or "").strip()
        return EditRequest(
            kind,
            None if text in ("", trace.prompt.text) else text,
            orders=_listed(orders),
            seed=None if seed == -1 else whole_number("seed", seed, 0, BROWSER_MAX),
            **fields,
        )

    @explained
    def edit(
        trace: str, cells: str, prompt: str, orders: list[str], seed: int, after_step: int
    ) -> Iterator[tuple[list[str], list[str], list[dict[str, Any]]]]:
        """Erase cells of a picture and draw them again; everything else stays token for token.

        Args:
            trace: an .npz file made by this page's model.
            cells: what is erased: cells row by row from 0, such as 0-5,14, or the name of an object of the run's prompt, such as apple.
            prompt: what the erased cells are drawn for; empty means the run's own prompt.
            orders: up to six orders, side by side; empty means the run's own.
            seed: 0 to 9007199254740991; -1 means the one after the run's.
            after_step: start from what the run had after this step, from 0; -1 means the finished picture.

        Returns:
            The pictures, the trace files and the summaries, one per order.
        """
        given = _opened(trace)
        erased = _erased(cells, given)
        after = None if after_step == -1 else after_step
        request = changed(given, "edit", prompt, orders, seed, cells=erased, after_step=after)
        yield from finished(handlers.slot.of_trace(given), given, request)

    @explained
    def extend(
        trace: str, down: int, right: int, prompt: str, orders: list[str], seed: int
    ) -> Iterator[tuple[list[str], list[str], list[dict[str, Any]]]]:
        """Move a picture within its grid by whole cells and draw the freed border (outpainting).

        Args:
            trace: an .npz file made by this page's model.
            down: rows down; less than 0 is up.
            right: columns to the right; less than 0 is to the left.
            prompt: what is drawn; empty means the run's own prompt.
            orders: up to six orders, side by side; empty means the run's own.
            seed: 0 to 9007199254740991; -1 means the one after the run's.

        Returns:
            The pictures, the trace files and the summaries, one per order.
        """
        given = _opened(trace)
        yield from finished(handlers.slot.of_trace(given), given, changed(given, "extend", prompt, orders, seed, shift=(down, right)))

    @explained
    def remix(
        trace: str, prompt: str, strength: float, rounds: int, orders: list[str], seed: int
    ) -> Iterator[tuple[list[str], list[str], list[dict[str, Any]]]]:
        """Edit a picture without a mask: in some rounds, the cells that a new prompt finds least likely are opened and drawn.

        Args:
            trace: an .npz file made by this page's model.
            prompt: what the picture should become.
            strength: share of the cells that all rounds together open, above 0, at most 1.
            rounds: 1 to 16.
            orders: at most one order; empty means the run's own.
            seed: 0 to 9007199254740991; -1 means the one after the run's.

        Returns:
            The pictures, the trace files and the summaries, one per round; the last one is the result.
        """
        given = _opened(trace)
        request = changed(given, "remix", prompt, orders, seed, strength=strength, rounds=rounds)
        yield from finished(handlers.slot.of_trace(given), given, request)

    @explained
    def compose(
        prompt: str, regions: str, pins: str, orders: list[str], seed: int, num_steps: int, model: str
    ) -> Iterator[tuple[list[str], list[str], list[dict[str, Any]]]]:
        """Generate a picture with a place for each object, or with some tokens put down before the first step.

        Args:
            prompt: what to draw, for example "a turtle and a pink apple".
            regions: JSON object of boxes in cells (top, left, bottom, right, half-open), such as {"turtle": [0, 0, 6, 6]}; or empty.
            pins: JSON object of tokens by cell, such as {"35": 7}; or empty.
            orders: up to six orders, side by side; empty means uncage.
            seed: 0 to 9007199254740991; -1 means 0.
            num_steps: decoding steps, 1 to 256; -1 means the model's own.
            model: name of the model, see list_models.

        Returns:
            The pictures, the trace files and the summaries, one per order; the verdict says whether each region was obeyed.
        """
        read, backend = handlers.understood_prompt(prompt, "", model)
        named = _json_object(regions, "regions")
        boxes = regions_of({object_named(name, read, "region of"): _box(name, box) for name, box in named.items()}, read, backend.info.grid)
        cells = {cell: token for text, token in _json_object(pins, "pins").items() for cell in cells_named(text, backend.info.grid, "pins")}
        config = DecodingConfig(
            order=COMPARED[-1],
            seed=0 if seed == -1 else whole_number("seed", seed, 0, BROWSER_MAX),
            num_steps=options.tidy("num_steps", None if num_steps == -1 else num_steps),
        )
        request = EditRequest(
            "compose",
            read,
            pins=tuple(cells.items()),
            regions=tuple((one.subject, one.box) for one in boxes),
            orders=_listed(orders),
            config=config,
        )
        yield from finished(model, None, request)

    @explained
    def read_picture(picture: str, prompt: str, model: str) -> Iterator[tuple[list[str], list[str], list[dict[str, Any]]]]:
        """Read a picture of your own as the model's tokens; the trace can then be edited, extended or remixed.

        Args:
            picture: a PNG, JPEG, WebP, GIF, BMP or TIFF file.
            prompt: what is in it, in words that the model knows.
            model: name of the model, see list_models.

        Returns:
            The picture as it was fitted, what its tokens give; the trace; and a summary with the error of each cell (0 to 255).
        """
        read, backend = handlers.understood_prompt(prompt, "", model)
        own = encode_picture(backend, picture)
        request = EditRequest("picture", read)
        for pictures, traces, said in finished(model, own.tokens, request):
            if not isinstance(said, list):
                yield pictures, traces, said
                continue
            told = {"notes": list(own.notes), "error": own.error.round(1).tolist(), "mean_error": float(own.error.mean())}
            yield [_picture(own.given, "own"), pictures[0]], traces, [{**said[0], "picture": told}]

    with gr.Group(visible=False):
        trace = gr.File(label="trace", type="filepath", file_types=[".npz"])
        picture = gr.File(label="picture", type="filepath")
        cells, prompt = gr.Textbox("", label="cells"), gr.Textbox("", label="prompt")
        orders = gr.Dropdown(list(ORDER_NAMES), value=[], multiselect=True, label="orders")
        seed, after = checked_number(-1, precision=0, label="seed"), checked_number(-1, precision=0, label="after_step")
        down, right = checked_number(0, precision=0, label="down"), checked_number(0, precision=0, label="right")
        strength, rounds = checked_number(0.5, label="strength"), checked_number(3, precision=0, label="rounds")
        regions, pins = gr.Textbox("", label="regions"), gr.Textbox("", label="pins")
        steps = checked_number(-1, precision=0, label="num_steps")
        model = gr.Dropdown([name for _, name in model_choices()], value=default_model(), label="model")
        outputs = [gr.Gallery(label="pictures"), gr.Files(label="traces"), gr.JSON(label="summaries")]
        device: dict[str, Any] = {"concurrency_limit": MOST_IN_LINE, "concurrency_id": DEVICE_QUEUE}
        for function, inputs in (
            (edit, [trace, cells, prompt, orders, seed, after]),
            (extend, [trace, down, right, prompt, orders, seed]),
            (remix, [trace, prompt, strength, rounds, orders, seed]),
            (compose, [prompt, regions, pins, orders, seed, steps, model]),
            (read_picture, [picture, prompt, model]),
        ):
            gr.Button().click(function, inputs, outputs, api_name=function.__name__, **device)


def _erased(text: Any, trace: Trace) -> tuple[int, ...]:
    """Cells by number, or those of an object that is named."""
    from uncage_demo.editing.cells import object_cells

    said = str(text or "").strip()
    if said and not said[0].isdigit():
        return tuple(np.flatnonzero(object_cells(trace, object_named(said, trace.prompt, "cells"), margin=1)).tolist())
    return tuple(cells_named(said, trace.grid, "cells"))


def _listed(orders: Any) -> tuple[str, ...]:
    from uncage_demo.editing.request import checked_orders

    return checked_orders(tuple(orders or ()), options.MAX_STAGES)


def _json_object(text: Any, name: str) -> dict[str, Any]:
    try:
        value = json.loads(text) if text and str(text).strip() else {}
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ValueError(f"{name}={str(text)[:200]!r}: give a JSON object, or nothing")
    return value


def _box(name: str, box: Any) -> list[Any]:
    if not isinstance(box, list):
        raise ValueError(f"region of {name}: give [top, left, bottom, right] in cells, not {shortened(box)}")
    return box
