"""What happens on the server when a visitor does something: parse, generate, branch, open. Every error becomes a message.

Handlers answer with messages: JSON texts for the page's scripts. Payloads of finished runs are fetched by id when a stage shows them.
"""

from __future__ import annotations

import functools
import itertools
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from uncage_demo import runner
from uncage_demo.backends.ages import ages_of, said
from uncage_demo.backends.base import Backend
from uncage_demo.backends.zero_gpu import on_zero_gpu
from uncage_demo.config import DecodingConfig, parse_seeds
from uncage_demo.decoding.batching import found_exact
from uncage_demo.decoding.run import resolve
from uncage_demo.orders.table import order_of
from uncage_demo.prompt.parse import check_drawable, parse_prompt
from uncage_demo.setting import whole_number
from uncage_demo.trace.record import Trace
from uncage_demo.trace.reproduce import command_line, python_snippet
from uncage_demo.types import Prompt
from uncage_demo.ui import chips, device_runs
from uncage_demo.ui import settings as options
from uncage_demo.ui.device_runs import Finished
from uncage_demo.ui.examples import Example, Examples
from uncage_demo.ui.line import Job, Line, Place, Shown, check_cost
from uncage_demo.ui.models import ModelSlot, default_model, own_steps
from uncage_demo.ui.panel import BROWSER_MAX
from uncage_demo.ui.session import TraceStore
from uncage_demo.ui.settings import Settings

log = logging.getLogger(__name__)
MADE_BEFORE = "Made before with the same settings: the same bits, at once."
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


@dataclass(frozen=True)
class Made:
    """The end of a request.

    Args:
        ids: of its runs in the store.
        finished: the runs.
        before: whether an equal request had made them already.
    """

    ids: list[str]
    finished: Finished
    before: bool = False


def said_place(place: Place) -> str:
    """A waiting run's place and the time left, in words."""
    time_left = "" if place.seconds is None else f", about {_said_time(place.seconds)}"
    if place.full:
        return f"The line is full: {place.ahead} runs are before yours{time_left}. Your prompt is kept, and you are let in as it empties."
    if not place.ahead:
        return "Starting…"
    return f"Waiting: {place.ahead} run{'s' * (place.ahead != 1)} before yours{time_left}"


def _said_time(seconds: float) -> str:
    return f"{max(1, round(seconds))} s" if seconds < 90 else f"{round(seconds / 60)} min"


def checked_steps(chosen: Settings, seeds: int = 1) -> int:
    """Decoding steps of each picture, the model's own where they are left open; refused when all together would hold the device too long.

    Args:
        chosen: orders, steps and model.
        seeds: how many pictures each order makes.

    Raises:
        ValueError: as `line.check_cost`.
    """
    steps = chosen.configs()[0].num_steps or own_steps(chosen.model)
    check_cost(len(chosen.orders), seeds, steps)
    return steps


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
        self.line = Line(1 if self.slot.one_device else None, self._exact)

    def _exact(self, job: Job) -> bool:
        return job.together is not None and found_exact(self.slot.get(job.together[0]))

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

    def decode(
        self, model: str, runs: Sequence[runner.Run], labels: Sequence[str], edits: str = "", ages: Sequence[str] = (), **extra: Any
    ) -> Iterator[str | Made]:
        """Progress messages while waiting and decoding, then the finished runs. Closing it leaves; what nobody waits for stops.

        Args:
            model: name of the backend, loaded.
            runs: what to decode, side by side. What they leave to the model is filled in first, so that equal runs are seen to be equal.
            labels: of the stages, one a run.
            edits: the prompt's corrections, kept with the runs.
            ages: names of the model at several ages; as many runs belong to each, the first one's first. () = all runs are the model's.
            extra: more fields of the progress messages.

        Raises:
            ValueError: settings that do not fit the model or the prompt.
        """
        backend = self.slot.get(model)
        runs = [replace(run, config=resolve(backend, run)) for run in runs]
        key = (model, backend.info.weight_hash, tuple(ages), tuple(runs), edits)
        ids = self.line.remembered(key)
        if ids is not None and (made := self.made_before(ids)) is not None:
            yield made
            return
        steps = {run.config.total_steps for run in runs}

        def make() -> Job:
            return Job(
                work=lambda together: (
                    device_runs.stream_ages(self.slot_number, ages, together)
                    if ages
                    else device_runs.stream(self.slot_number, model, together)
                ),
                runs=tuple(runs),
                cost=sum(run.config.total_steps for run in runs),
                grid=backend.info.grid,
                keep=lambda finished: self.keep(finished, edits),
                together=(model, *steps) if len(steps) == 1 and not ages and not on_zero_gpu() else None,
                most=backend.max_batch,
                shared_device=self.slot.shares_cores(model),
                gate=self.slot.gate(model),
            )

        for item in self.line.follow(key, make):
            yield from self._news(item, labels, extra)

    def _news(self, item: Any, labels: Sequence[str], extra: dict[str, Any]) -> Iterator[str | Made]:
        """What the line tells, as messages: "" where there is nothing to say, but a place where Cancel can stop the handler."""
        if isinstance(item, Place):
            yield message("progress", phase=said_place(item), ahead=item.ahead, seconds=item.seconds, full=item.full, **extra)
        elif isinstance(item, Shown):
            progress = item.progress
            data = {"step": progress.step, "num_steps": progress.num_steps, "elapsed_s": progress.elapsed_s, **extra}
            if item.pictures is not None:
                data["runs"] = [{**picture, "label": label} for picture, label in zip(item.pictures, labels, strict=False)]
            yield message("progress", **data)
        elif isinstance(item, Job):
            assert item.ids is not None
            assert item.finished is not None
            yield Made(item.ids, item.finished)
        else:
            yield ""

    def made_before(self, ids: Sequence[str]) -> Made | None:
        """Runs of an equal request that are still in the store; None where one was let go."""
        try:
            entries = self.store.get_many(ids)
        except ValueError:
            return None
        return Made(list(ids), Finished([e.trace for e in entries], [e.verdict for e in entries]), before=True)

    def generate(self, text: str, edits: str, chosen: Settings, *, allow_download: bool = False) -> Iterator[tuple[str, str | None]]:
        """Decode one prompt in every order of `chosen`, side by side from one seed.

        Yields:
            (message for the stage, chips value or None).
        """
        checked_steps(chosen)
        if not self.slot.is_loaded(chosen.backend):
            yield message("progress", phase=f"Loading {self.slot.title(chosen.backend)}…"), None
        prompt, backend = self.understood_prompt(text, edits, chosen.backend, allow_download)
        shown = chips.chips_value(prompt, backend.vocabulary, backend.info.title, edits)
        yield message("progress", phase="Starting…"), shown
        configs = chosen.configs()
        labels = [order_of(c.order).title for c in configs]
        for answer in self.decode(chosen.backend, [runner.Run(prompt, c) for c in configs], labels, edits):
            if isinstance(answer, str):
                yield answer, None
                continue
            extra = {"note": MADE_BEFORE} if answer.before else {}
            yield self.shown(answer.ids, chosen, edits, step=answer.finished.traces[0].steps[-1].step, **extra), None

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
        if chosen is None or any(trace.lineage or trace.origin for trace in traces):
            return {"ids": list(ids), "query": None, "command": None, "python": python}
        one_age = len({trace.age for trace in traces}) == 1  # a link names one
        linked = one_age and int(traces[0].config["seed"]) <= BROWSER_MAX  # a page cannot hold larger ones exactly
        return {
            "ids": list(ids),
            "query": options.to_query(traces[0].prompt.text, chosen, edits) if linked else None,
            "command": command_line(traces, subjects=edits),
            "python": python,
        }

    def compare(self, text: str, edits: str, chosen: Settings, seeds: Sequence[int]) -> Iterator[str]:
        """Decode one prompt in several orders with several seeds, all on one clock."""
        checked_steps(chosen, len(seeds))
        if not self.slot.is_loaded(chosen.backend):
            yield message("progress", phase=f"Loading {self.slot.title(chosen.backend)}…")
        prompt, _ = self.understood_prompt(text, edits, chosen.backend)
        runs, labels = [], []
        for order in chosen.orders:  # a row an order, a column a seed
            for seed in seeds:
                config = replace(chosen, orders=(order,)).with_shared(seed=seed).configs()[0]
                runs.append(runner.Run(prompt, config))
                labels.append(f"{order_of(order).title}, seed {seed}")
        yield message("progress", phase="Starting…")
        titles = [order_of(order).title for order in chosen.orders]
        for answer in self.decode(chosen.backend, runs, labels, edits, columns=len(seeds)):
            yield answer if isinstance(answer, str) else self.grid(answer, chosen, seeds, titles, edits)

    def compare_ages(self, text: str, edits: str, chosen: Settings, seeds: Sequence[int]) -> Iterator[str]:
        """Decode one prompt in the first order of `chosen` at every age of the model, with several seeds, all on one clock.

        Raises:
            ValueError: a model that keeps no ages.
        """
        chosen = replace(chosen, orders=chosen.orders[:1], age="")
        ages = [*map(str, ages_of(chosen.model))]
        checked_steps(chosen, len(ages) * len(seeds))
        models = [replace(chosen, age=age).backend for age in ages]
        yield message("progress", phase=f"Loading {self.slot.title(chosen.model)} at {len(ages)} ages…")
        prompt, _ = self.understood_prompt(text, edits, chosen.backend)
        for model in models:
            self.slot.get(model)
        runs = [runner.Run(prompt, chosen.with_shared(seed=seed).configs()[0]) for _ in ages for seed in seeds]
        titles = [f"After {said(age)}" for age in ages]
        labels = [f"{title}, seed {seed}" for title in titles for seed in seeds]
        for answer in self.decode(chosen.backend, runs, labels, edits, models, columns=len(seeds)):
            yield answer if isinstance(answer, str) else self.grid(answer, chosen, seeds, titles, edits)

    def grid(self, made: Made, chosen: Settings, seeds: Sequence[int], titles: Sequence[str], edits: str) -> str:
        """The message that shows a finished comparison: a row of runs a title, a column a seed."""
        rows = []
        for number, seed in enumerate(seeds):
            of_seed = made.ids[number :: len(seeds)]
            rows.append({"seed": seed, **self.told(of_seed, chosen.with_shared(seed=seed), edits)})
        return message("grid", ids=made.ids, rows=rows, counts=_counts(titles, made.finished, len(seeds)))

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
        for answer in self.branching(parent.trace, changes, parent.edits):
            if isinstance(answer, Made):
                made = answer
            else:
                yield answer
        assert made is not None  # a branch ends with its trace or raises
        (identity,) = made.ids
        kept = ids if len(ids) < options.MAX_STAGES else ids[: options.MAX_STAGES - 1]
        yield message("traces", **self.told([*kept, identity], None, parent.edits), step=changes["at_step"], branch=identity)

    def check_same_model(self, trace: Trace) -> None:
        """Load the model that a branch of this run needs.

        Raises:
            ValueError: when it is not here, or has other weights.
        """
        if self.slot.get(device_runs.model_of(trace)).info.weight_hash != trace.model.weight_hash:
            raise ValueError("this run was made with other weights than the loaded model's; generate it again before branching")

    def branching(self, trace: Trace, changes: dict[str, Any], edits: str = "") -> Iterator[str | Made]:
        """Progress messages of a branch and its end, by way of the line. Closing it leaves; what nobody waits for stops."""

        model = device_runs.model_of(trace)

        def make() -> Job:
            return Job(
                work=lambda together: device_runs.stream_branch(self.slot_number, model, trace, changes),
                runs=(),
                cost=max(1, int(trace.config["num_steps"]) - changes["at_step"]),
                grid=trace.model.grid,
                keep=lambda finished: self.keep(finished, edits),
                shared_device=self.slot.shares_cores(model),
                gate=self.slot.gate(model),
            )

        for item in self.line.follow(None, make):
            if isinstance(item, Shown):  # the runs on stage stay while a branch is decoded
                item = replace(item, pictures=None)
            yield from self._news(item, (), {"from_step": changes["at_step"]})

    # -- shipped and opened runs ----------------------------------------------------------------------------------------

    def examples_listed(self) -> str:
        """JSON text for the row of examples: name, title and sentence of each."""
        return json.dumps([{"name": e.name, "title": e.title, "about": e.about} for e in self.examples.all]).replace("<", "\\u003c")

    def plan(self, text: str | None, orders: Sequence[str] | None, seeds: str, num_steps: float | None, model: str = "") -> str:
        """What a comparison with these inputs would make, or what is wrong with them; blank steps are the model's own."""
        data: dict[str, Any] = {"prompt": (text or "").strip(), "rows": []}
        try:
            data["rows"] = [order_of(order).title for order in orders or ()]
            data["columns"] = parse_seeds(seeds or "", options.MAX_SEEDS)
            chosen = Settings(model or default_model(), tuple(orders or ()), {"num_steps": options.tidy("num_steps", num_steps)})
            data["steps"] = checked_steps(chosen, len(data["columns"]))
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


def _counts(titles: Sequence[str], finished: Finished, columns: int) -> list[dict[str, Any]]:
    """Of each row: how many of its runs the scorer calls fully correct, of how many that it judged."""
    counts = []
    for number, title in enumerate(titles):
        judged = [v for v in finished.verdicts[number * columns : (number + 1) * columns] if v is not None]
        counts.append({"title": title, "correct": sum(v.all_correct for v in judged), "judged": len(judged)})
    return counts


def branch_arguments(trace: Trace, event: dict[str, Any]) -> dict[str, Any]:
    """What the player reports of a branch or a knock-out -> arguments of branching.branch; everything in it is untrusted.

    Args:
        trace: the run to branch from.
        event: step; then action ("keep" | "drop" | "forbid") with cell and token, or order, or word.

    Raises:
        ValueError: naming the value and what is allowed.
    """
    arguments: dict[str, Any] = {"at_step": whole_number("step", event.get("step"), trace.steps[0].step, trace.steps[-1].step)}
    if event.get("order"):
        arguments["config"] = DecodingConfig.from_dict({**trace.config, "order": event["order"]})
    elif event.get("word") is not None:
        arguments["suppress_word"] = whole_number("word", event.get("word"), 0, len(trace.prompt.words) - 1)
    else:
        cell = whole_number("cell", event.get("cell"), 0, trace.tokens.size - 1)
        action = event.get("action")
        if action in ("keep", "drop"):
            arguments[action] = (cell,)
        elif action == "forbid":
            arguments["forbid"] = {cell: (whole_number("token", event.get("token"), 0, trace.model.codebook_size - 1),)}
        else:
            raise ValueError(f"action={action!r}: choose keep, drop or forbid")
    return arguments
