"""Runs of the page: put in line, told of while they wait and decode, kept in the store; branches of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from uncage_demo import runner
from uncage_demo.backends.zero_gpu import on_zero_gpu
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.batching import found_exact
from uncage_demo.decoding.run import resolve
from uncage_demo.setting import whole_number
from uncage_demo.trace.frames import of_every_step, parse_frames
from uncage_demo.trace.record import Trace
from uncage_demo.ui import device_runs
from uncage_demo.ui.device_runs import Finished
from uncage_demo.ui.jobs import Job, Place, Shown, check_cost
from uncage_demo.ui.line import Line
from uncage_demo.ui.listeners import while_heard
from uncage_demo.ui.messages import message, said_place
from uncage_demo.ui.models import ModelSlot, own_steps
from uncage_demo.ui.session import Entry, TraceStore
from uncage_demo.ui.settings import Settings

_PICTURES_PER_STEP = 2  # drawn in the time of one decoding step, about


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


def visitor() -> str | None:
    """Whose request is being answered: the visitor's session, else their address; None outside a request."""
    context = sys.modules.get("gradio.context")  # a process that has not loaded Gradio, which takes seconds, answers no request
    request = context and context.LocalContext.request.get(None)
    session = getattr(request, "session_hash", None)
    return session or getattr(getattr(request, "client", None), "host", None)


def checked_steps(chosen: Settings, seeds: int = 1) -> int:
    """Decoding steps of each picture, the model's own where they are left open; refused when all together would hold the device too long.

    Args:
        chosen: orders, steps and model.
        seeds: how many pictures each order makes.

    Raises:
        ValueError: as `jobs.check_cost`.
    """
    steps = chosen.configs()[0].num_steps or own_steps(chosen.backend)
    check_cost(len(chosen.orders), seeds, steps)
    return steps


class RunHandlers:
    """The page's handlers of runs over one model slot, one store of runs and one line."""

    slot: ModelSlot
    slot_number: int
    store: TraceStore
    line: Line

    def _exact(self, job: Job) -> bool:
        return job.together is not None and found_exact(self.slot.get(job.together[0]))

    def decode(
        self,
        model: str,
        runs: Sequence[runner.Run],
        labels: Sequence[str],
        edits: str = "",
        ages: Sequence[str] = (),
        frames: str = "all",
        whole: bool = True,
        **extra: Any,
    ) -> Iterator[str | Made]:
        """Progress messages while waiting and decoding, then the finished runs. Closing it leaves; what nobody waits for stops.

        Args:
            model: name of the backend, loaded.
            runs: what to decode, side by side. What they leave to the model is filled in first, so that equal runs are seen to be equal.
            labels: of the stages, one per run.
            edits: the prompt's corrections, kept with the runs.
            ages: names of the model at several ages; as many runs belong to each, the first one's first. () = all runs are the model's.
            frames: of which steps pictures are made.
            whole: False gives the finished pictures first while many wait; see `step_pictures` for the others.
            extra: more fields of the progress messages.

        Raises:
            ValueError: settings that do not fit the model or the prompt.
        """
        backend = self.slot.get(model)
        runs = [replace(run, config=resolve(backend, run)) for run in runs]
        key = (model, backend.info.weight_hash, tuple(ages), tuple(runs), edits, frames)
        ids = self.line.remembered(key)
        if ids is not None and (made := self.made_before(ids)) is not None:
            yield self._as_asked(made, whole)
            return
        steps = {run.config.total_steps for run in runs}
        # Elsewhere one run at a time has the device, and its pictures cost little beside the model.
        may_hurry = not whole and not ages and parse_frames(frames) == 1 and self.slot.shares_cores(model)

        def make() -> Job:
            return Job(
                work=lambda together: (
                    device_runs.stream_ages(self.slot_number, ages, together, frames)
                    if ages
                    else device_runs.stream(self.slot_number, model, together, frames)
                ),
                runs=tuple(runs),
                cost=sum(run.config.total_steps for run in runs),
                grid=backend.info.grid,
                keep=lambda finished: self.keep(finished, edits),
                together=(model, frames, *steps) if len(steps) == 1 and not ages and not on_zero_gpu() else None,
                most=backend.max_batch,
                shared_device=self.slot.shares_cores(model),
                gate=self.slot.gate(model),
                hurried=(lambda together: device_runs.stream(self.slot_number, model, together, "final")) if may_hurry else None,
            )

        for item in while_heard(self.line.follow(key, make, visitor())):
            for answer in self._news(item, labels, extra):
                yield self._as_asked(answer, whole) if isinstance(answer, Made) else answer

    def _as_asked(self, made: Made, whole: bool) -> Made:
        """What was made, with the pictures that it still owes: somebody on the page got it while many waited."""
        if not whole or not made.finished.owed:
            return made
        self.whole_entries(made.ids)
        return self._stored(made.ids, made.before)

    def step_pictures(self, ids: Sequence[str]) -> Iterator[str]:
        """Wait until nobody waits for a finished picture, then draw what runs still owe and put them into the store; "" while that takes.

        Args:
            ids: of the runs. Those that owe nothing are left alone.

        Raises:
            ValueError: a run that is no longer kept, or whose model is not here any more.
        """
        owing = self._owing(ids)
        if not owing:
            return
        model = self.slot.of_trace(owing[0].trace)
        steps = sum(len(entry.trace.steps) for entry in owing)

        def make() -> Job:
            return Job(
                work=lambda together: self._pictures(model, owing),
                runs=(),
                cost=max(1, steps // _PICTURES_PER_STEP),
                grid=owing[0].trace.model.grid,
                keep=lambda finished: self._complete(owing, finished),
                shared_device=self.slot.shares_cores(model),
                gate=self.slot.gate(model),
                later=True,
            )

        for _ in while_heard(self.line.follow(("pictures", *(entry.id for entry in owing)), make)):
            yield ""

    def whole_entries(self, ids: Sequence[str]) -> list[Entry]:
        """Runs of the store with the pictures of their steps, drawn at once where they are still owed: what a file or a branch needs."""
        owing = self._owing(ids)
        if owing:
            model = self.slot.of_trace(owing[0].trace)
            with self.slot.gate(model):
                for item in self._pictures(model, owing):
                    if isinstance(item, Finished):
                        self._complete(owing, item)
        return self.store.get_many(ids)

    def _owing(self, ids: Sequence[str]) -> list[Entry]:
        return list({entry.id: entry for entry in self.store.get_many(ids) if entry.owed}.values())

    def _pictures(self, model: str, owing: Sequence[Entry]) -> Iterator[runner.Progress | Finished]:
        return device_runs.stream_pictures(self.slot_number, model, [e.trace for e in owing], [e.verdict for e in owing])

    def _complete(self, owing: Sequence[Entry], finished: Finished) -> list[str]:
        for entry, trace in zip(owing, finished.traces, strict=True):
            self.store.replace(replace(entry, trace=trace, owed=False))
        return [entry.id for entry in owing]

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
            return self._stored(ids, before=True)
        except ValueError:
            return None

    def _stored(self, ids: Sequence[str], before: bool) -> Made:
        entries = self.store.get_many(ids)
        finished = Finished([e.trace for e in entries], [e.verdict for e in entries], any(e.owed for e in entries))
        return Made(list(ids), finished, before)

    def keep(self, finished: Finished, edits: str = "") -> list[str]:
        """Put finished runs into the store; returns their ids."""
        traces = finished.traces
        if finished.owed:  # what reproduces them asks for all pictures, as the visitor did
            traces = [replace(trace, versions=of_every_step(trace.versions)) for trace in traces]
        pairs = zip(traces, finished.verdicts, strict=True)
        return [self.store.add(trace, verdict, edits, finished.owed) for trace, verdict in pairs]

    def check_same_model(self, trace: Trace) -> None:
        """Load the model that a branch of this run needs.

        Raises:
            ValueError: when it is not here, or has other weights.
        """
        if self.slot.get(self.slot.of_trace(trace)).info.weight_hash != trace.model.weight_hash:
            raise ValueError("this run was made with other weights than the loaded model's; generate it again before branching")

    def branching(self, trace: Trace, changes: dict[str, Any], edits: str = "") -> Iterator[str | Made]:
        """Progress messages of a branch and its end, by way of the line. Closing it leaves; what nobody waits for stops."""

        model = self.slot.of_trace(trace)

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

        for item in while_heard(self.line.follow(None, make, visitor())):
            if isinstance(item, Shown):  # the runs on stage stay while a branch is decoded
                item = replace(item, pictures=None)
            yield from self._news(item, (), {"from_step": changes["at_step"]})


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
