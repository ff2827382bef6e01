"""The results tab: tables and plots from the shipped result lines, and any line's pair of pictures made again with its traces.

The server computes and decodes; what is shown and how it is filtered is in static/results.js. Answers are JSON texts.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from uncage_demo.bench.records import same_bits
from uncage_demo.bench.titles import method_title
from uncage_demo.config import DecodingConfig
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.runner import Run
from uncage_demo.setting import shortened
from uncage_demo.shipped import RESULTS
from uncage_demo.trace.record import Trace
from uncage_demo.ui import exports, live, memory, theme
from uncage_demo.ui.errors import explained
from uncage_demo.ui.handlers import Handlers
from uncage_demo.ui.messages import message
from uncage_demo.ui.models import DEVICE_QUEUE, MOST_IN_LINE

if TYPE_CHECKING:
    from uncage_demo.bench.results import ImageRow, Shipped
    from uncage_demo.bench.statistics import Estimate
    from uncage_demo.bench.tables import Table

PAGE_ROWS = 12
MAX_DRAWN = 4  # pairs decoded together at one click
NOTHING = "No benchmark results are shipped yet. `python -m uncage_demo bench --help` says how to measure them; they appear here."


def read_ahead(busy: Callable[[], bool], after_s: float = 6.0, quiet_s: float = 1.0, folder: Path | None = None) -> threading.Timer:
    """Read the result lines and make the first table in the background, so that the tab's first visitor does not wait for them.

    It takes the interpreter for some seconds, in which a run takes twice as long. So it waits for a moment without runs.

    Args:
        busy: whether somebody draws.
        after_s: seconds from now, >= 0; the first visitor's page comes first.
        quiet_s: how long nobody must have drawn, >= 0.
        folder: of the result files; None = the shipped ones.

    Returns:
        The running timer; it ends with the process.
    """

    def read() -> None:
        from uncage_demo.bench.results import load_shipped

        while not _quiet(busy, quiet_s):
            pass
        shipped = load_shipped(folder or RESULTS)
        if shipped.pairs:
            first = shipped.pairs[0]
            shipped.table(*first, metric=shipped.about(*first)["primary"])
        memory.settle()

    timer = threading.Timer(after_s, read)
    timer.daemon = True
    timer.start()
    return timer


def _quiet(busy: Callable[[], bool], seconds: float) -> bool:
    """Whether nobody draws, now and after so many seconds."""
    early = busy()
    time.sleep(seconds)
    return not (early or busy())


def build(handlers: Handlers, folder: Path | None = None) -> gr.HTML:
    """The tab's component and events. Nothing is read before the tab is looked at; an empty folder gives a sentence, not a table.

    Args:
        handlers: of the page; decode and keep runs.
        folder: of the result files; None = the shipped ones.
    """
    drawn = Drawn(handlers, folder)
    view = gr.HTML(
        message("idle"),
        html_template=theme.static_text("results.html"),
        js_on_load=theme.attach_script("UncageResults.attach", ("results_draw", "results_stop")),
        server_functions=[*server_functions(drawn)],
        elem_id="uc-results",
        apply_default_css=False,
    )
    place = gr.HTML("", html_template="<span></span>", elem_classes="uc-queue", elem_id="uc-results-queue")

    @explained
    def draw(event: gr.EventData) -> Any:
        for news in drawn.draw(event._data.get("keys")):
            yield news or gr.skip()

    running = view.results_draw(  # pyright: ignore[reportAttributeAccessIssue]
        draw,
        None,
        view,
        concurrency_limit=MOST_IN_LINE,
        concurrency_id=DEVICE_QUEUE,
        api_visibility="private",
        show_progress="minimal",
        show_progress_on=place,
        trigger_mode="once",
    )
    running.failure(None, None, None, js="() => window.UncageResults && window.UncageResults.settle()")
    view.results_stop(  # pyright: ignore[reportAttributeAccessIssue]
        lambda: message("stopped", text="Stopped."),
        None,
        view,
        cancels=[running],
        queue=False,
        api_visibility="private",
        show_progress="hidden",
    )
    return view


def server_functions(drawn: Drawn) -> list[Callable[[Any], str]]:
    """What the script asks for by name: results_overview, results_table, results_images, results_payload."""

    def results_overview(data: Any) -> dict[str, Any]:
        return overview(drawn.shipped(), drawn.handlers.slot.title)

    def results_table(data: Any) -> dict[str, Any]:
        experiment, suite, category, metric = _texts(data, "experiment", "suite", "category", "metric")
        return table_view(drawn.shipped().table(experiment, suite, category, metric))

    def results_images(data: Any) -> dict[str, Any]:
        names = ("experiment", "suite", "category", "method", "prompt", "outcome", "failure")
        found = drawn.shipped().find(**dict(zip(names, _texts(data, *names), strict=True)))
        first = data.get("first", 0)
        if not isinstance(first, int) or first < 0:
            raise ValueError(f"first={shortened(first)}: give a whole number from 0")
        return {"count": len(found), "rows": [pair_view(*pair) for pair in found[first : first + PAGE_ROWS]]}

    def results_payload(data: Any) -> dict[str, Any]:
        ids, titles = data.get("ids"), data.get("titles")
        if not isinstance(ids, list) or not isinstance(titles, list) or len(ids) != len(titles) or not 1 <= len(ids) <= 2:
            raise ValueError("give one or two runs with a title each")
        payload = exports.payload_of(drawn.handlers.store.get_many(ids))
        for run, title in zip(payload["runs"], titles, strict=True):
            run["title"] = str(title)[:200]
        return {"payload": payload}

    return [exports.answered(f) for f in (results_overview, results_table, results_images, results_payload)]


class Drawn:
    """Reads the shipped results when first asked, and makes their pictures again.

    Args:
        handlers: of the page.
        folder: of the result files; None = the shipped ones.
    """

    def __init__(self, handlers: Handlers, folder: Path | None = None) -> None:
        self.handlers = handlers
        self.folder = folder

    def shipped(self) -> Shipped:
        """The results.

        Raises:
            ValueError: when a file is damaged.
        """
        from uncage_demo.bench.results import load_shipped

        return load_shipped(self.folder or RESULTS)

    def draw(self, keys: Any) -> Iterator[str]:
        """Decode the pairs of result lines again, baseline and method side by side: progress, then their pictures and runs.

        Args:
            keys: of 1 to MAX_DRAWN result lines, from the browser.

        Raises:
            ValueError: for other keys, or when the model here is not the one that was measured.
        """
        if not isinstance(keys, list) or not 1 <= len(keys) <= MAX_DRAWN:
            raise ValueError(f"choose 1 to {MAX_DRAWN} result lines")
        shipped = self.shipped()
        pairs = [[row for row in shipped.pair(str(key))[::-1] if row is not None] for key in keys]
        if reason := next((said for pair in pairs for said in map(unknown_settings, pair) if said), ""):
            raise ValueError(reason)
        model = shipped.by_key[str(keys[0])]["model"]
        name, weights = model["id"], model["weight_hash"]
        if not self.handlers.slot.is_loaded(name):
            yield message("progress", phase=f"Loading {self.handlers.slot.title(name)}…")
        backend = self.handlers.slot.get(name)
        if backend.info.weight_hash != weights:
            raise ValueError(
                f"these results were measured with weights {weights}; the model here has {backend.info.weight_hash}, so its pictures differ"
            )
        rows = [row for pair in pairs for row in pair]
        runs = [Run(parse_prompt(row.prompt, backend), DecodingConfig.from_dict(row.config)) for row in rows]
        yield message("progress", phase="Starting…")
        for answer in self.handlers.decode(name, runs, [f"{method_title(row.method)}, seed {row.seed}" for row in rows], columns=2):
            if isinstance(answer, str):
                yield answer
                continue
            finished = map(drawn_view, rows, answer.ids, answer.finished.traces)
            told = [{"key": key, "runs": [next(finished) for _ in pair]} for key, pair in zip(keys, pairs, strict=True)]
            yield message("drawn", pairs=told)


def drawn_view(row: ImageRow, identity: str, trace: Trace) -> dict[str, Any]:
    """What the page shows of a finished run: its id, its picture, and whether it is the measured one bit for bit."""
    return {
        "id": identity,
        "title": method_title(row.method),
        "picture": live.picture_url(trace.image, 192),
        "identical": is_measured(row, trace),
    }


def unknown_settings(row: ImageRow) -> str:
    """Why a line's picture cannot be made again here: it is an edit, or its settings are not of this version; "" where it can."""
    if row.edited:
        return "An edit starts from another picture; the command bench-replay draws both again"
    try:
        DecodingConfig.from_dict(row.config)
    except ValueError as error:
        return f"This version has no such settings: {error}"
    return ""


def is_measured(row: ImageRow, trace: Trace) -> bool:
    """Whether a finished run has the tokens and the picture that the result line was made from, bit for bit."""
    return same_bits((row.tokens_hash, row.image_hash), trace.tokens.reshape(-1).astype(np.int32), trace.image)


def overview(shipped: Shipped, model_title: Callable[[str], str]) -> dict[str, Any]:
    """What there is to choose from; {"nothing": a sentence} where nothing is shipped.

    Args:
        shipped: the results.
        model_title: what the page calls a model.
    """
    from uncage_demo.bench.results import FAILURE_KINDS, OUTCOMES, shipped_weights
    from uncage_demo.bench.tables import METRICS

    if not shipped.pairs:
        return {"nothing": NOTHING}
    here = shipped_weights()
    other = [(name, weights) for name, weights in shipped.models if here.get(name, weights) != weights]
    note = " ".join(
        f"{model_title(name)} was measured with weights {weights}; here it has {here[name]}, so its pictures differ."
        for name, weights in other
    )
    experiments = [shipped.about(*pair) for pair in shipped.pairs]
    return {
        "experiments": experiments,
        "methods": {method: method_title(method) for experiment in experiments for method in experiment["methods"]},
        "models": {name: model_title(name) for name in dict.fromkeys(experiment["model"] for experiment in experiments)},
        "metrics": {key: metric.heading for key, metric in METRICS.items()},
        "failures": list(FAILURE_KINDS),
        "outcomes": list(OUTCOMES),
        "note": note,
        "max_drawn": MAX_DRAWN,
    }


def table_view(table: Table) -> dict[str, Any]:
    """A table for the script: numbers to plot and the texts to print."""
    from uncage_demo.bench.results import judge_note
    from uncage_demo.bench.tables import METRICS, format_difference, format_estimate, format_p, to_rows

    metric = METRICS[table.primary]
    scale = 100 if metric.percent else 1
    rows = []
    for row in table.rows:
        shown: dict[str, Any] = {
            "method": row.method,
            "rate": _numbers(row.estimates[table.primary], scale),
            "rate_text": format_estimate(row.estimates[table.primary], metric),
        }
        if row.comparison is not None and row.adjusted_p is not None:
            c = row.comparison
            shown["difference"] = _numbers(c.difference, scale)
            shown["difference_text"] = format_difference(c.difference, metric)
            shown["counts"] = f"{c.win} / {c.tie} / {c.loss}"
            shown["p"], shown["holm"] = format_p(c.p_value), format_p(row.adjusted_p)
        rows.append(shown)
    headings, cells = to_rows(table)
    return {
        "title": table.heading,
        "caption": table.caption,
        "judge": judge_note(table),
        "metric": table.primary,
        "name": metric.heading + (" (%)" if metric.percent else ""),
        "unit": "points" if metric.percent else "",
        "higher_is_better": metric.higher_is_better,
        "baseline": table.baseline,
        "against": table.against,
        "rows": rows,
        "headings": headings,
        "cells": cells,
    }


def pair_view(own: ImageRow, base: ImageRow | None) -> dict[str, Any]:
    """A result line and the baseline's beside it, for the list."""
    return {
        "key": own.key,
        "prompt": own.prompt,
        "seed": own.seed,
        "category": own.category,
        "unknown": unknown_settings(own) or (unknown_settings(base) if base else ""),
        "runs": [{"method": row.method, "correct": row.correct, "failures": list(row.failures)} for row in (base, own) if row is not None],
    }


def _numbers(estimate: Estimate, scale: float) -> list[float | None]:
    """[value, low, high]; None where there is no interval."""
    return [None if math.isnan(v) else round(scale * v, 4) for v in (estimate.value, estimate.low, estimate.high)]


def _texts(data: Any, *names: str) -> tuple[str, ...]:
    """Fields of what the browser sent, as texts of a sane length; missing ones are ""."""
    if not isinstance(data, dict):
        raise ValueError("the results are asked for with a set of fields")
    values = tuple(data.get(name, "") for name in names)
    for name, value in zip(names, values, strict=True):
        if not isinstance(value, str) or len(value) > 500:
            raise ValueError(f"{name}={str(value)[:60]!r}: give a text of at most 500 characters")
    return values
