"""Decoding on the device that the deployment has: here, or borrowed for the call on a ZeroGPU Space.

A borrowed GPU runs the call in a forked process: arguments and results travel, models are found in the slot that the fork inherits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from uncage_demo import branching, runner
from uncage_demo.backends.zero_gpu import borrows_gpu
from uncage_demo.config import DecodingConfig
from uncage_demo.trace.frames import Frames
from uncage_demo.trace.record import Trace
from uncage_demo.types import Verdict
from uncage_demo.ui.models import is_embedded, own_steps

if TYPE_CHECKING:
    from uncage_demo.backends.base import Backend
    from uncage_demo.ui.models import ModelSlot

_SLOTS: list[ModelSlot] = []
JUDGE_S = 20  # of a borrowed GPU, for one picture; loading counts


def register(slot: ModelSlot) -> int:
    """Make a slot known to borrowed processes; returns its number."""
    _SLOTS.append(slot)
    return len(_SLOTS) - 1


def backend_of(slot: int, model: str) -> Backend:
    """The model of a slot, loaded where it is not yet."""
    return _SLOTS[slot].get(model)


def model_of(slot: int, trace: Trace) -> str:
    """What the slot knows the model of a run by, see `ModelSlot.of_trace`."""
    return _SLOTS[slot].of_trace(trace)


@dataclass(frozen=True)
class Finished:
    """The end of a run.

    Args:
        traces: the finished runs.
        verdicts: what the model's own scorer says of each, None where it has none.
        owed: whether the pictures of the steps are still to be drawn, because many waited.
    """

    traces: list[Trace]
    verdicts: list[Verdict | None]
    owed: bool = False


def seconds_for(slot: int, model: str, runs: Sequence[Any], frames: Frames = True) -> int:
    """GPU seconds to ask for: a generous bound, because a call that takes longer is cut off. Loading counts; 20 to 300."""
    steps = sum(run.config.num_steps or own_steps(model) for run in runs)
    return round(min(300.0, 20 + 0.1 * steps if is_embedded(model) else 60 + 1.0 * steps))


def ages_seconds_for(slot: int, models: Sequence[str], runs: Sequence[Any], frames: Frames = True) -> int:
    """As seconds_for, for a model at several ages."""
    return seconds_for(slot, models[0], runs)


def branch_seconds_for(slot: int, model: str, trace: Trace, changes: dict[str, Any]) -> int:
    """As seconds_for, for one branch."""
    return seconds_for(slot, model, [runner.Run(trace.prompt, DecodingConfig.from_dict(trace.config))])


@borrows_gpu(seconds_for)
def stream(slot: int, model: str, runs: Sequence[Any], frames: Frames = True) -> Iterator[runner.Progress | Finished]:
    """runner.stream on the slot's model; the scorer reads the finished runs before the device is given back."""
    backend = _SLOTS[slot].get(model)
    yield from judged(backend, runner.stream(backend, runs, frames=frames))


@borrows_gpu(branch_seconds_for)
def stream_branch(slot: int, model: str, trace: Trace, changes: dict[str, Any]) -> Iterator[runner.Progress | Finished]:
    """branching.stream_branch on the slot's model, judged before the device is given back."""
    backend = _SLOTS[slot].get(model)
    yield from judged(backend, branching.stream_branch(backend, trace, **changes))


@borrows_gpu(ages_seconds_for)
def stream_ages(slot: int, models: Sequence[str], runs: Sequence[Any], frames: Frames = True) -> Iterator[runner.Progress | Finished]:
    """As `stream`, of the slot's model at several ages, all on one clock.

    Args:
        slot: number of the slot.
        models: names with their ages.
        runs: as many of each model, the first model's first.
        frames: as runner.stream.
    """
    backends = [_SLOTS[slot].get(model) for model in models]
    each = len(runs) // len(models)
    items = runner.stream_together([runner.stream(one, runs[each * i :][:each], frames=frames) for i, one in enumerate(backends)])
    yield from judged(backends[0], items)  # the ages share one detector


def stream_pictures(
    slot: int, model: str, traces: Sequence[Trace], verdicts: Sequence[Verdict | None]
) -> Iterator[runner.Progress | Finished]:
    """runner.stream_pictures on the slot's model; the verdicts stay."""
    for item in runner.stream_pictures(_SLOTS[slot].get(model), traces):
        yield item if item.traces is None else Finished(item.traces, list(verdicts))


@borrows_gpu(JUDGE_S)
def verdict_on(slot: int, model: str, trace: Trace) -> Verdict | None:
    """What the slot's model says of a run from a file, as it would of its own; None where the run is of other weights.

    Args:
        slot: number of the slot.
        model: what the slot knows the run's model by.
        trace: untrusted. A picture of another size than the model's is not looked at.
    """
    backend = _SLOTS[slot].get(model)
    known, said = backend.info, trace.model
    same = (known.id, known.weight_hash, known.grid) == (said.id, said.weight_hash, trace.grid)
    return backend.judge(trace, trace.prompt) if same and trace.image.shape[:2] == tuple(known.image_size_px) else None


def judged(backend: Backend, items: Iterator[runner.Progress]) -> Iterator[runner.Progress | Finished]:
    """A stream that ends with what the model's own scorer says of the finished runs."""
    for item in items:
        if item.traces is None:
            yield item
        else:
            yield Finished(item.traces, [backend.judge(trace, trace.prompt) for trace in item.traces])
