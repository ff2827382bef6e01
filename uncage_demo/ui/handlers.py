"""What happens on the server when a visitor does something: parse, generate, branch, open. Every error becomes a message.

Handlers answer with messages: JSON texts for the page's scripts. Payloads of finished runs are fetched by id when a stage shows them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from uncage_demo import runner
from uncage_demo.backends.ages import ages_of, said
from uncage_demo.backends.large.download import is_folder
from uncage_demo.config import DecodingConfig, parse_seeds
from uncage_demo.orders.table import order_of
from uncage_demo.setting import shortened
from uncage_demo.trace.record import Trace
from uncage_demo.trace.reproduce import command_line, python_snippet
from uncage_demo.trace.wish import changed
from uncage_demo.types import Verdict
from uncage_demo.ui import chips, device_runs
from uncage_demo.ui import settings as options
from uncage_demo.ui.branch_links import branches_text, parse_branches, roots_of
from uncage_demo.ui.device_runs import Finished
from uncage_demo.ui.examples import Example, Examples
from uncage_demo.ui.line import Line
from uncage_demo.ui.messages import message
from uncage_demo.ui.models import ModelSlot, default_model, is_embedded
from uncage_demo.ui.opened import read_traces
from uncage_demo.ui.prompting import PromptHandlers
from uncage_demo.ui.runs import Made, RunHandlers, branch_arguments, checked_steps
from uncage_demo.ui.session import TraceStore
from uncage_demo.ui.settings import Settings

MADE_BEFORE = "Made before with the same settings: the same picture, bit for bit."


class Handlers(PromptHandlers, RunHandlers):
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

    # -- runs -----------------------------------------------------------------------------------------------------------

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
        yield message("progress", phase="Starting…", query=options.to_query(prompt.text, chosen, edits)), shown
        configs = chosen.configs()
        labels = [order_of(c.order).title for c in configs]
        runs = [runner.Run(prompt, c) for c in configs]
        for answer in self.decode(chosen.backend, runs, labels, edits, frames=chosen.frames, whole=False):
            if isinstance(answer, str):
                yield answer, None
                continue
            extra = {"note": MADE_BEFORE} if answer.before else {}
            yield self.shown(answer.ids, chosen, edits, step=answer.finished.traces[0].steps[-1].step, **extra), None

    def shown(self, ids: Sequence[str], chosen: Settings | None, edits: str = "", **extra: Any) -> str:
        """The message that puts finished runs on stage, with what reproduces them."""
        return message("traces", **self.told(ids, chosen, edits), **extra)

    def told(self, ids: Sequence[str], chosen: Settings | None, edits: str = "") -> dict[str, Any]:
        """Ids of runs and hashes of what was decoded, with link, command line and Python that reproduce them, or None in their place."""
        traces = [entry.trace for entry in self.store.get_many(ids)]
        sketches = all(is_embedded(trace.model.id) for trace in traces)  # only these tell attention within the picture
        return {"ids": list(ids), "sketches": sketches, **self.reproduced(ids, traces, chosen, edits)}

    def reproduced(self, ids: Sequence[str], traces: Sequence[Trace], chosen: Settings | None, edits: str = "") -> dict[str, Any]:
        """Hashes of what was decoded, with link, command line and Python that reproduce some runs, or None in their place.

        Args:
            ids, traces: runs of one prompt; they need not be in the store.
            chosen: what was asked for, or None where that is not known.
            edits: the prompt's corrections.
        """
        shown = {"hashes": [trace.id for trace in traces]}
        python: str | None
        given = _asked(chosen)
        try:
            python = python_snippet(traces, overrides=chips.read_edits(edits), **given)
        except ValueError:  # a branch whose parent is not on stage
            python = None
        if any(trace.origin for trace in traces):
            return {**shown, "query": None, "command": None, "python": python}
        command = command_line(traces, subjects=edits, **given)
        return {**shown, "query": self.link(ids, traces, chosen, edits), "command": command, "python": python}

    def link(self, ids: Sequence[str], traces: Sequence[Trace], chosen: Settings | None, edits: str) -> dict[str, str] | None:
        """Query parameters of a link that makes these runs again, their branches included; None where no link can."""
        branched = any(trace.lineage for trace in traces)
        roots = roots_of(traces) if branched else traces
        if roots is None or len({trace.age for trace in roots}) > 1 or int(roots[0].config["seed"]) > options.BROWSER_MAX:
            return None  # a link names one age, and a page cannot hold larger seeds exactly
        if not branched:
            return None if chosen is None else options.to_query(traces[0].prompt.text, chosen, edits)
        branches = branches_text(traces)
        shipped = next((e.name for e in self.examples.all if e.ids[: options.MAX_STAGES] == list(ids[: len(roots)])), None)
        if branches and shipped:
            return {"example": shipped, "branches": branches}
        same = options.settings_of_traces(roots)
        alike = [config.to_dict() for config in same.configs()] == [DecodingConfig.from_dict(t.config).to_dict() for t in roots]
        if not branches or not alike or self.slot.of_trace(roots[0]) != same.backend:
            return None
        return {**options.to_query(roots[0].prompt.text, same, edits), "branches": branches}

    def compare(self, text: str, edits: str, chosen: Settings, seeds: Sequence[int]) -> Iterator[str]:
        """Decode one prompt in several orders with several seeds, all on one clock."""
        checked_steps(chosen, len(seeds))
        if not self.slot.is_loaded(chosen.backend):
            yield message("progress", phase=f"Loading {self.slot.title(chosen.backend)}…")
        prompt, _ = self.understood_prompt(text, edits, chosen.backend)
        runs, labels = [], []
        for order in chosen.orders:  # one row per order, one column per seed
            for seed in seeds:
                config = replace(chosen, orders=(order,)).with_shared(seed=seed).configs()[0]
                runs.append(runner.Run(prompt, config))
                labels.append(f"{order_of(order).title}, seed {seed}")
        yield message("progress", phase="Starting…")
        titles = [order_of(order).title for order in chosen.orders]
        for answer in self.decode(chosen.backend, runs, labels, edits, frames=chosen.frames, columns=len(seeds)):
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
        for answer in self.decode(chosen.backend, runs, labels, edits, models, chosen.frames, columns=len(seeds)):
            yield answer if isinstance(answer, str) else self.grid(answer, chosen, seeds, titles, edits)

    def grid(self, made: Made, chosen: Settings, seeds: Sequence[int], titles: Sequence[str], edits: str) -> str:
        """The message that shows a finished comparison: one row of runs per title, one column per seed."""
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
        entries = self.whole_entries(ids[: options.MAX_STAGES])
        number = event.get("run")
        if not isinstance(number, int) or not 0 <= number < len(entries):
            raise ValueError(f"run={shortened(number)}: choose one of the {len(entries)} runs on stage")
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
        kept = kept_beside(number, len(entries), options.MAX_STAGES - 1)
        gone = next((chr(ord("A") + place) for place in range(len(entries)) if place not in kept), "")
        note = f"{options.MAX_STAGES} runs are the most on stage: {gone} made room for the branch." if gone else ""
        told = self.told([*(entries[place].id for place in kept), identity], None, parent.edits)
        yield message("traces", **told, step=changes["at_step"], branch=identity, note=note)

    def branch_again(self, ids: Any, branches: Any) -> Iterator[str]:
        """Make the branches of a link again, one after the other; they join the stages.

        Args:
            ids: the runs on stage.
            branches: JSON text from the link.
        """
        if not isinstance(ids, list) or not isinstance(branches, str):
            raise ValueError("the branches of a link need the runs on stage")
        entries = self.whole_entries(ids[: options.MAX_STAGES])
        wishes = parse_branches(branches, len(entries))
        self.check_same_model(entries[0].trace)
        for number, wish in enumerate(wishes, 1):
            parent = entries[ord(wish.of) - ord("A")]
            yield message("progress", phase=f"Making branch {number} of {len(wishes)} again…")
            for answer in self.branching(parent.trace, changed(parent.trace.config, wish), parent.edits):
                if isinstance(answer, Made):
                    entries += self.store.get_many(answer.ids)
                else:
                    yield answer
        yield message("traces", **self.told([entry.id for entry in entries], None, entries[0].edits), branch=entries[-1].id)

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

    def open_traces(self, paths: Sequence[str], **extra: Any) -> tuple[str, list[Trace]]:
        """Load untrusted trace files; (message for the stage, traces).

        Raises:
            ValueError: naming what is wrong with the files.
        """
        traces = read_traces(paths)
        edits = [chips.corrections_of(trace) for trace in traces]
        ids = [self.store.add(trace, self.verdict_on(trace), kept) for trace, kept in zip(traces, edits, strict=True)]
        return self.shown(ids, _made_by(traces), edits[0], opened=True, **extra), traces

    def verdict_on(self, trace: Trace) -> Verdict | None:
        """What the model of a run from a file says of it; None where that very model is not at hand.

        Args:
            trace: untrusted.
        """
        try:
            model = self.slot.of_trace(trace)
            if not self.slot.at_hand(model):
                return None
            with self.slot.gate(model):
                return device_runs.verdict_on(self.slot_number, model, trace)
        except ValueError:  # a model or an age that is not offered here
            return None


def _made_by(traces: Sequence[Trace]) -> Settings | None:
    """The settings that make all of these runs side by side; None where no settings do."""
    try:
        chosen = options.settings_of_traces(traces)
        alike = [config.to_dict() for config in chosen.configs()] == [DecodingConfig.from_dict(t.config).to_dict() for t in traces]
    except ValueError:
        return None
    same = all((t.prompt.text, t.age, t.model.id) == (traces[0].prompt.text, traces[0].age, traces[0].model.id) for t in traces)
    return chosen if len(traces) == 1 or (alike and same) else None


def kept_beside(edited: int, count: int, room: int) -> list[int]:
    """Which runs on stage stay beside new ones: the edited one first of all, then the earlier ones, in the order in which they stand.

    Args:
        edited: index of the edited run; count: runs on stage; room: stages that are left for them.
    """
    others = (number for number in range(count) if number != edited)
    return sorted([edited, *others][: max(0, room)])


def _counts(titles: Sequence[str], finished: Finished, columns: int) -> list[dict[str, Any]]:
    """Of each row: how many of its runs the scorer calls fully correct, of how many that it judged."""
    counts = []
    for number, title in enumerate(titles):
        judged = [v for v in finished.verdicts[number * columns : (number + 1) * columns] if v is not None]
        counts.append({"title": title, "correct": sum(v.all_correct for v in judged), "judged": len(judged)})
    return counts


def _asked(chosen: Settings | None) -> dict[str, Any]:
    """The model as it was asked for, for what reproduces a run: a trace knows no path of a folder."""
    if chosen is None or not (chosen.options.given() or is_folder(chosen.model)):
        return {}
    return {"model": chosen.model, "options": chosen.loaded}
