"""What happens on the server when a visitor does something: parse, generate, branch, open. Every error becomes a message.

Handlers answer with messages: JSON texts for the page's scripts. Payloads of finished runs are fetched by id when a stage shows them.
"""

from __future__ import annotations

import functools
import itertools
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from uncage_demo import runner
from uncage_demo.backends.base import Backend
from uncage_demo.config import DecodingConfig, parse_seeds
from uncage_demo.orders.table import order_of
from uncage_demo.prompt.parse import check_drawable, parse_prompt
from uncage_demo.trace.record import Trace
from uncage_demo.trace.reproduce import command_line, python_snippet
from uncage_demo.types import Prompt
from uncage_demo.ui import chips, device_runs, live
from uncage_demo.ui import settings as options
from uncage_demo.ui.device_runs import Finished
from uncage_demo.ui.examples import Example, Examples
from uncage_demo.ui.models import ModelSlot
from uncage_demo.ui.session import TraceStore
from uncage_demo.ui.settings import Settings

log = logging.getLogger(__name__)
_sequence = itertools.count(1)


def message(kind: str, **data: Any) -> str:
    """A message to a component's script: JSON text with a number that makes it new, and no "<" in it."""
    return json.dumps({"kind": kind, "seq": next(_sequence), **data}, default=str).replace("<", "\\u003c")


def explained(function: Callable[..., Any]) -> Callable[..., Any]:
    """ValueErrors become gr.Error with their message; anything else is logged in full and told in one sentence."""
    if _is_generator(function):

        @functools.wraps(function)
        def generator(*args: Any, **kwargs: Any) -> Iterator[Any]:
            try:
                yield from function(*args, **kwargs)
            except Exception as error:
                raise _told(error) from error

        return generator

    @functools.wraps(function)
    def plain(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            raise _told(error) from error

    return plain


def _is_generator(function: Callable[..., Any]) -> bool:
    import inspect

    return inspect.isgeneratorfunction(function)


def _told(error: Exception) -> gr.Error:
    if isinstance(error, gr.Error):
        return error
    if isinstance(error, (ValueError, FileNotFoundError, ConnectionError)):
        return gr.Error(str(error), duration=12, print_exception=False)
    log.exception("a handler failed")
    return gr.Error(
        f"Something went wrong on the server ({type(error).__name__}). Nothing was lost; try again.", duration=12, print_exception=False
    )


class Handlers:
    """The page's handlers over one model slot and one store of runs.

    Args:
        slot: loads models on first use.
        examples: shipped runs.
    """

    def __init__(self, slot: ModelSlot | None = None, examples: Examples | None = None) -> None:
        self.slot = slot or ModelSlot()
        self.slot_number = device_runs.register(self.slot)
        self.examples = examples or Examples()
        self.store = TraceStore(shipped=self.examples.entry)

    # -- prompt ---------------------------------------------------------------------------------------------------------

    def understood_prompt(self, text: str, edits: str, model: str, allow_download: bool = False) -> tuple[Prompt, Backend]:
        """Parsed and corrected prompt with its backend, loaded; refused when it holds words that the model cannot draw.

        Raises:
            ValueError: for a blank or oversized prompt, corrections that do not fit it, or words outside the model's vocabulary.
        """
        text = (text or "").strip()
        if len(text) > options.MAX_PROMPT_CHARS:
            raise ValueError(f"The prompt has {len(text)} characters; at most {options.MAX_PROMPT_CHARS} are allowed.")
        reader = self.slot.reader(model)
        check_drawable(parse_prompt(text, reader, chips.read_edits(edits)), reader)  # refuse before a model is loaded for nothing
        backend = self.slot.get(model, allow_download)
        prompt = parse_prompt(text, backend, chips.read_edits(edits))
        check_drawable(prompt, backend)
        return prompt, backend

    def chips_for(self, text: str, edits: str, model: str) -> tuple[str, str]:
        """(chips value, corrections kept) without loading a model; a blank prompt gives the vocabulary alone."""
        reader, title = self.slot.reader(model), self.slot.title(model)
        text = (text or "").strip()
        if len(text) > options.MAX_PROMPT_CHARS:
            raise ValueError(f"The prompt has {len(text)} characters; at most {options.MAX_PROMPT_CHARS} are allowed.")
        note = ""
        try:
            prompt = parse_prompt(text, reader, chips.read_edits(edits))
        except ValueError as error:
            note = f"Corrections undone: {error}" if edits else ""
            edits = ""
            try:
                prompt = parse_prompt(text, reader)
            except ValueError as reason:  # blank, or nothing but punctuation: there are no words to show
                prompt, note = Prompt(text, (), ()), str(reason) if text else ""
        return chips.chips_value(prompt, reader.vocabulary, title, edits, note), edits

    def edited(self, text: str, edits: str, model: str, click: Any) -> tuple[str, str]:
        """(chips value, corrections kept) after a click on a chip."""
        prompt = parse_prompt((text or "").strip(), self.slot.reader(model), chips.read_edits(edits))
        vocabulary = self.slot.reader(model).vocabulary
        prompt = chips.edit(prompt, vocabulary, click.get("action"), click.get("word"), click.get("subject"))
        kept = chips.write_edits(prompt)
        return chips.chips_value(prompt, vocabulary, self.slot.title(model), kept), kept

    def replaced(self, text: str, model: str, click: Any) -> str:
        """The prompt's text after taking a suggestion for an unknown word."""
        text = (text or "").strip()
        return chips.replace_word(text, parse_prompt(text, self.slot.reader(model)), click.get("word"), click.get("text"))

    def rest_of(self, text: str, model: str) -> str:
        """What the model can draw of a prompt that names things it does not know, as a prompt.

        Raises:
            ValueError: when nothing of it can be drawn.
        """
        reader = self.slot.reader(model)
        prompt = parse_prompt((text or "").strip(), reader)
        rest = chips.rest_of(prompt, reader.vocabulary)
        if not rest:
            check_drawable(prompt, reader)
            raise ValueError("this prompt can be drawn as it is; look at the words again")
        return rest

    def added(self, text: str, model: str, click: Any) -> str:
        """The prompt's text after choosing a word that the model can draw."""
        return chips.add_word(text or "", click.get("kind"), click.get("text"), self.slot.reader(model).vocabulary)

    # -- runs -----------------------------------------------------------------------------------------------------------

    def decode(self, model: str, runs: Sequence[Any], labels: Sequence[str], **extra: Any) -> Iterator[str | Finished]:
        """Progress messages while decoding, then the finished runs. Holds the device; closing it stops at the next step."""
        with self.slot.decoding:
            many = len(runs) > options.MAX_STAGES
            backend = self.slot.get(model)
            last = -1.0
            for item, pictures in live.with_pictures(
                device_runs.stream(self.slot_number, model, runs), backend.info.grid, 112 if many else live.LIVE_PX
            ):
                if isinstance(item, Finished):
                    yield item
                    return
                if pictures is None and item.elapsed_s - last < live.MIN_INTERVAL_S:
                    yield ""  # nothing to say, but a place where Cancel can stop the run
                    continue
                last = item.elapsed_s
                data: dict[str, Any] = {"step": item.step, "num_steps": item.num_steps, "elapsed_s": item.elapsed_s, **extra}
                if pictures is not None:
                    data["runs"] = [{**picture, "label": label} for picture, label in zip(pictures, labels, strict=True)]
                yield message("progress", **data)

    def generate(self, text: str, edits: str, chosen: Settings, *, allow_download: bool = False) -> Iterator[tuple[str, str | None]]:
        """Decode one prompt in every order of `chosen`, side by side from one seed.

        Yields:
            (message for the stage, chips value or None).
        """
        if not self.slot.is_loaded(chosen.model):
            yield message("progress", phase=f"Loading {self.slot.title(chosen.model)}…"), None
        prompt, backend = self.understood_prompt(text, edits, chosen.model, allow_download)
        shown = chips.chips_value(prompt, backend.vocabulary, backend.info.title, edits)
        yield message("progress", phase="Waiting for the device…" if self.slot.decoding.locked() else "Decoding…"), shown
        configs = chosen.configs()
        labels = [order_of(c.order).title for c in configs]
        for answer in self.decode(chosen.model, [runner.Run(prompt, c) for c in configs], labels):
            if isinstance(answer, str):
                if answer:
                    yield answer, None
                continue
            ids = self.keep(answer, edits)
            yield self.shown(ids, chosen, edits, step=answer.traces[0].steps[-1].step), None

    def keep(self, finished: Finished, edits: str = "") -> list[str]:
        """Put finished runs into the store; returns their ids."""
        return [self.store.add(trace, verdict, edits) for trace, verdict in zip(finished.traces, finished.verdicts, strict=True)]

    def shown(self, ids: Sequence[str], chosen: Settings | None, edits: str = "", **extra: Any) -> str:
        """The message that puts finished runs on stage, with what reproduces them."""
        return message("traces", **self.told(ids, chosen, edits), **extra)

    def told(self, ids: Sequence[str], chosen: Settings | None, edits: str = "") -> dict[str, Any]:
        """Ids of runs with the link, command line and Python that reproduce them; None for those that cannot (a branch has no link)."""
        traces = [entry.trace for entry in self.store.get_many(ids)]
        python: str | None
        try:
            python = python_snippet(traces, overrides=chips.read_edits(edits))
        except ValueError:  # a branch whose parent is not on stage
            python = None
        if chosen is None or any(trace.lineage for trace in traces):
            return {"ids": list(ids), "query": None, "command": None, "python": python}
        return {
            "ids": list(ids),
            "query": options.to_query(traces[0].prompt.text, chosen, edits),
            "command": command_line(traces, subjects=edits),
            "python": python,
        }

    def compare(self, text: str, edits: str, chosen: Settings, seeds: Sequence[int]) -> Iterator[str]:
        """Decode one prompt in several orders with several seeds, all on one clock."""
        if not self.slot.is_loaded(chosen.model):
            yield message("progress", phase=f"Loading {self.slot.title(chosen.model)}…")
        prompt, _ = self.understood_prompt(text, edits, chosen.model)
        runs, labels = [], []
        for order in chosen.orders:  # a row an order, a column a seed
            for seed in seeds:
                config = replace(chosen, orders=(order,)).with_shared(seed=seed).configs()[0]
                runs.append(runner.Run(prompt, config))
                labels.append(f"{order_of(order).title}, seed {seed}")
        yield message("progress", phase="Decoding…")
        for answer in self.decode(chosen.model, runs, labels, columns=len(seeds)):
            if isinstance(answer, str):
                if answer:
                    yield answer
                continue
            ids, rows = self.keep(answer, edits), []
            for number, seed in enumerate(seeds):
                of_seed = ids[number :: len(seeds)]
                rows.append({"seed": seed, **self.told(of_seed, chosen.with_shared(seed=seed), edits)})
            yield message("grid", ids=ids, rows=rows, counts=_counts(chosen.orders, answer, len(seeds)))

    def branch(self, ids: Any, event: Any) -> Iterator[str]:
        """Decode on from a step of a run with a change; the branch joins the stages as a new one.

        Args:
            ids: the runs on stage.
            event: what the player reports: run (index), step, and keep / drop / forbid / order / word.
        """
        if not isinstance(ids, list) or not isinstance(event, dict):
            raise ValueError("a branch needs the runs on stage and a change")
        entries = self.store.get_many(ids[: options.MAX_STAGES])
        number = event.get("run")
        if not isinstance(number, int) or not 0 <= number < len(entries):
            raise ValueError(f"run={number!r}: choose one of the {len(entries)} runs on stage")
        parent = entries[number]
        changes = branch_arguments(parent.trace, event)
        self.check_same_model(parent.trace)
        yield message("progress", phase="Decoding the branch…")
        made = None
        for answer in self.branching(parent.trace, changes):
            if isinstance(answer, Finished):
                made = answer
            else:
                yield message(
                    "progress", step=answer.step, num_steps=answer.num_steps, elapsed_s=answer.elapsed_s, from_step=changes["at_step"]
                )
        assert made is not None  # a branch ends with its trace or raises
        (identity,) = self.keep(made, parent.edits)
        kept = ids if len(ids) < options.MAX_STAGES else ids[: options.MAX_STAGES - 1]
        yield message("traces", **self.told([*kept, identity], None, parent.edits), step=changes["at_step"], branch=identity)

    def check_same_model(self, trace: Trace) -> None:
        """Load the model that a branch of this run needs.

        Raises:
            ValueError: when it is not here, or has other weights.
        """
        if self.slot.get(trace.model.id).info.weight_hash != trace.model.weight_hash:
            raise ValueError("this run was made with other weights than the loaded model's; generate it again before branching")

    def branching(self, trace: Trace, changes: dict[str, Any]) -> Iterator[runner.Progress | Finished]:
        """The steps of a branch and its end. Holds the device; closing it stops at the next step."""
        with self.slot.decoding:
            yield from device_runs.stream_branch(self.slot_number, trace.model.id, trace, changes)

    def branched(self, trace: Trace, changes: dict[str, Any]) -> Finished:
        """One branch, waited for."""
        self.check_same_model(trace)
        *_, made = self.branching(trace, changes)
        assert isinstance(made, Finished)
        return made

    # -- shipped and opened runs ----------------------------------------------------------------------------------------

    def examples_listed(self) -> str:
        """JSON text for the row of examples: name, title and sentence of each."""
        return json.dumps([{"name": e.name, "title": e.title, "about": e.about} for e in self.examples.all]).replace("<", "\\u003c")

    def plan(self, text: str | None, orders: Sequence[str] | None, seeds: str, num_steps: float | None) -> str:
        """What a comparison with these inputs would make, or what is wrong with them."""
        data: dict[str, Any] = {"prompt": (text or "").strip(), "rows": []}
        try:
            data["rows"] = [order_of(order).title for order in orders or ()]
            data["columns"] = parse_seeds(seeds or "", options.MAX_SEEDS)
            data["steps"] = options.tidy("num_steps", num_steps)
            Settings(orders=tuple(orders or ()), shared={"num_steps": data["steps"]})
        except ValueError as error:
            data["problem"] = str(error)
        return message("plan", **data)

    def show_example(self, example: Example, **extra: Any) -> str:
        """The message that puts a shipped example on stage."""
        entries = self.store.get_many(example.ids[: options.MAX_STAGES])
        chosen = options.settings_of_traces([e.trace for e in entries])
        return self.shown([e.id for e in entries], chosen, example=example.name, about=example.about, **extra)

    def open_trace(self, path: str) -> tuple[str, Trace]:
        """Load an untrusted trace file; (message for the stage, trace).

        Raises:
            ValueError: naming what is wrong with the file.
        """
        trace = Trace.load(path)
        edits = chips.corrections_of(trace)
        identity = self.store.add(trace, None, edits)
        try:
            chosen = options.settings_of_traces([trace])
        except ValueError:
            chosen = None
        return self.shown([identity], chosen, edits, opened=True), trace


def _counts(orders: Sequence[str], finished: Finished, columns: int) -> list[dict[str, Any]]:
    """Of each order: how many of its runs the scorer calls fully correct, of how many that it judged."""
    counts = []
    for number, order in enumerate(orders):
        said = [v for v in finished.verdicts[number * columns : (number + 1) * columns] if v is not None]
        counts.append({"title": order_of(order).title, "correct": sum(v.all_correct for v in said), "judged": len(said)})
    return counts


def branch_arguments(trace: Trace, event: dict[str, Any]) -> dict[str, Any]:
    """What the player reports of a branch or a knock-out -> arguments of branching.branch; everything in it is untrusted.

    Args:
        trace: the run to branch from.
        event: step; then action ("keep" | "drop" | "forbid") with cell and token, or order, or word.

    Raises:
        ValueError: naming the value and what is allowed.
    """
    arguments: dict[str, Any] = {"at_step": _whole(event, "step", trace.steps[0].step, trace.steps[-1].step)}
    if event.get("order"):
        arguments["config"] = DecodingConfig.from_dict({**trace.config, "order": event["order"]})
    elif event.get("word") is not None:
        arguments["suppress_word"] = _whole(event, "word", 0, len(trace.prompt.words) - 1)
    else:
        cell = _whole(event, "cell", 0, trace.tokens.size - 1)
        action = event.get("action")
        if action in ("keep", "drop"):
            arguments[action] = (cell,)
        elif action == "forbid":
            arguments["forbid"] = {cell: (_whole(event, "token", 0, trace.model.codebook_size - 1),)}
        else:
            raise ValueError(f"action={action!r}: choose keep, drop or forbid")
    return arguments


def _whole(event: dict[str, Any], name: str, low: int, high: int) -> int:
    value = event.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name}={value!r}: give a whole number from {low} to {high}")
    return value
