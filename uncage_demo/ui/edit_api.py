"""Editing for programs: named endpoints and MCP tools that do what the brush does. Typed, documented, few."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import gradio as gr
import numpy as np

from uncage_demo.backends.options import named
from uncage_demo.config import ORDER_NAMES, DecodingConfig
from uncage_demo.editing.cells import cells_named, object_cells, object_named, regions_of
from uncage_demo.editing.picture import encode_picture
from uncage_demo.editing.plans import Given, check_remix
from uncage_demo.editing.request import EditRequest, checked_orders
from uncage_demo.orders.table import COMPARED
from uncage_demo.setting import shortened, whole_number
from uncage_demo.trace.record import Trace
from uncage_demo.ui import settings as options
from uncage_demo.ui.api_files import columns_of, files_of, nothing_yet, opened_trace, picture_file
from uncage_demo.ui.asked import loaded_with
from uncage_demo.ui.edit_runs import follow
from uncage_demo.ui.errors import explained
from uncage_demo.ui.handlers import Handlers
from uncage_demo.ui.inputs import checked_choice, checked_number, model_input
from uncage_demo.ui.models import DEVICE_QUEUE, MOST_IN_LINE
from uncage_demo.ui.runs import Made


def add_api(handlers: Handlers) -> None:
    """Register `edit`, `extend`, `remix`, `sketch`, `compose` and `read_picture` in the current Blocks."""

    def finished(model: str, given: Given | None, request: EditRequest) -> Iterator[Any]:
        for answer in follow(handlers, model, given, request):
            yield columns_of(files_of(answer)) if isinstance(answer, Made) else nothing_yet(3)

    def changed(trace: Trace, kind: Any, prompt: str, orders: Any, seed: Any, **fields: Any) -> EditRequest:
        handlers.check_same_model(trace)
        text = (prompt or "").strip()
        return EditRequest(
            kind,
            None if text in ("", trace.prompt.text) else text,
            orders=_listed(orders),
            seed=None if seed == -1 else whole_number("seed", seed, 0, options.BROWSER_MAX),
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
        given = opened_trace(trace)
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
        given = opened_trace(trace)
        rows, columns = given.grid
        shift = whole_number("down", down, 1 - rows, rows - 1), whole_number("right", right, 1 - columns, columns - 1)
        if not any(shift):
            raise ValueError("down=0, right=0: move the picture by at least one row or column")
        yield from finished(handlers.slot.of_trace(given), given, changed(given, "extend", prompt, orders, seed, shift=shift))

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
        given = opened_trace(trace)
        check_remix(strength, rounds)
        request = changed(given, "remix", prompt, orders, seed, strength=strength, rounds=rounds)
        yield from finished(handlers.slot.of_trace(given), given, request)

    @explained
    def sketch(trace: str, prompt: str, strength: float, seed: int) -> Iterator[tuple[list[str], list[str], list[dict[str, Any]]]]:
        """Draw a new picture after the structure of another one: what looks at what in it, by attention within the picture.

        Args:
            trace: an .npz file made by this page's model, an embedded one; its finished picture is the guide.
            prompt: what is drawn; empty means the run's own prompt.
            strength: how much likeness counts against the model's own probability, 0 to 1.
            seed: 0 to 9007199254740991; -1 means the one after the run's.

        Returns:
            The picture, the trace file and the summary.
        """
        given = opened_trace(trace)
        yield from finished(handlers.slot.of_trace(given), given, changed(given, "sketch", prompt, (), seed, strength=strength))

    @explained
    def compose(
        prompt: str, regions: str, pins: str, orders: list[str], seed: int, num_steps: int, model: str, model_options: str = ""
    ) -> Iterator[tuple[list[str], list[str], list[dict[str, Any]]]]:
        """Generate a picture with a place for each object, or with some tokens put down before the first step.

        Args:
            prompt: what to draw, for example "a turtle and a pink apple".
            regions: JSON object of boxes in cells (top, left, bottom, right, half-open), such as {"turtle": [0, 0, 6, 6]}; or empty.
            pins: JSON object of tokens by cell, such as {"35": 7}; or empty.
            orders: up to six orders, side by side; empty means uncage.
            seed: 0 to 9007199254740991; -1 means 0.
            num_steps: decoding steps, 1 to 256; -1 means the model's own.
            model: name of the model, see list_models; where the server's owner allows it, also a folder of the server.
            model_options: how a large model is loaded, as for generate.

        Returns:
            The pictures, the trace files and the summaries, one per order; the verdict says whether each region was obeyed.
        """
        asked = named(model, loaded_with(model_options))
        read, backend = handlers.understood_prompt(prompt, "", asked)
        asked_for = _json_object(regions, "regions")
        boxes = regions_of(
            {object_named(name, read, "region of"): _box(name, box) for name, box in asked_for.items()}, read, backend.info.grid
        )
        cells = {cell: token for text, token in _json_object(pins, "pins").items() for cell in cells_named(text, backend.info.grid, "pins")}
        config = DecodingConfig(
            order=COMPARED[-1],
            seed=0 if seed == -1 else whole_number("seed", seed, 0, options.BROWSER_MAX),
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
        yield from finished(asked, None, request)

    @explained
    def read_picture(
        picture: str, prompt: str, model: str, model_options: str = ""
    ) -> Iterator[tuple[list[str], list[str], list[dict[str, Any]]]]:
        """Read a picture of your own as the model's tokens; the trace can then be edited, extended or remixed.

        Args:
            picture: a PNG, JPEG, WebP, GIF, BMP or TIFF file.
            prompt: what is in it, in words that the model knows.
            model: name of the model, see list_models; where the server's owner allows it, also a folder of the server.
            model_options: how a large model is loaded, as for generate.

        Returns:
            The picture as it was fitted, what its tokens give; the trace; and a summary with the error of each cell (0 to 255).
        """
        asked = named(model, loaded_with(model_options))
        read, backend = handlers.understood_prompt(prompt, "", asked)
        own = encode_picture(backend, picture)
        request = EditRequest("picture", read)
        for pictures, traces, said in finished(asked, own.tokens, request):
            if not isinstance(said, list):
                yield pictures, traces, said
                continue
            told = {"notes": list(own.notes), "error": own.error.round(1).tolist(), "mean_error": float(own.error.mean())}
            yield [picture_file(own.given, "own"), pictures[0]], traces, [{**said[0], "picture": told}]

    with gr.Group(visible=False):
        trace = gr.File(label="trace", type="filepath", file_types=[".npz"])
        picture = gr.File(label="picture", type="filepath")
        cells, prompt = gr.Textbox("", label="cells"), gr.Textbox("", label="prompt")
        orders = checked_choice(ORDER_NAMES, value=[], label="orders", several=True, blank=True)
        seed, after = checked_number(-1, precision=0, label="seed"), checked_number(-1, precision=0, label="after_step")
        down, right = checked_number(0, precision=0, label="down"), checked_number(0, precision=0, label="right")
        strength, rounds = checked_number(0.5, label="strength"), checked_number(3, precision=0, label="rounds")
        regions, pins = gr.Textbox("", label="regions"), gr.Textbox("", label="pins")
        steps = checked_number(-1, precision=0, label="num_steps")
        model, loaded = model_input(), gr.Textbox("", label="model_options")
        outputs = [gr.Gallery(label="pictures"), gr.Files(label="traces"), gr.JSON(label="summaries")]
        device: dict[str, Any] = {"concurrency_limit": MOST_IN_LINE, "concurrency_id": DEVICE_QUEUE}
        for function, inputs in (
            (edit, [trace, cells, prompt, orders, seed, after]),
            (extend, [trace, down, right, prompt, orders, seed]),
            (remix, [trace, prompt, strength, rounds, orders, seed]),
            (sketch, [trace, prompt, strength, seed]),
            (compose, [prompt, regions, pins, orders, seed, steps, model, loaded]),
            (read_picture, [picture, prompt, model, loaded]),
        ):
            gr.Button().click(function, inputs, outputs, api_name=function.__name__, **device)


def _erased(text: Any, trace: Trace) -> tuple[int, ...]:
    """Cells by number, or those of an object that is named."""
    said = str(text or "").strip()
    if said and not said[0].isdigit():
        return tuple(np.flatnonzero(object_cells(trace, object_named(said, trace.prompt, "cells"), margin=1)).tolist())
    return tuple(cells_named(said, trace.grid, "cells"))


def _listed(orders: Any) -> tuple[str, ...]:
    return checked_orders(tuple(orders or ()), options.MAX_STAGES)


def _json_object(text: Any, name: str) -> dict[str, Any]:
    try:
        value = json.loads(text) if text and str(text).strip() else {}
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ValueError(f"{name}={shortened(text)}: give a JSON object, or nothing")
    return value


def _box(name: str, box: Any) -> list[Any]:
    if not isinstance(box, list):
        raise ValueError(f"region of {shortened(name)}: give [top, left, bottom, right] in cells, not {shortened(box)}")
    return box
