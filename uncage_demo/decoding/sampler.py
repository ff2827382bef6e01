"""The decoding loop: several samples step by step, in lockstep, their forwards together. What one step does: `decoding.step`.

Shapes: n image tokens (y x grid, row-major), v codebook, k recorded text columns. A masked position is -1.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

from uncage_demo.backends.base import Backend, ForwardOutput
from uncage_demo.backends.threads import in_lanes, lanes, one_thread
from uncage_demo.decoding.batching import Request, forward_all
from uncage_demo.decoding.run import RecordOptions, Run, Start
from uncage_demo.decoding.sample import Sample, begin
from uncage_demo.decoding.step import Step, advance
from uncage_demo.trace.record import StepRecord

__all__ = ["RecordOptions", "Run", "Start", "decode", "decode_many"]


def decode(backend: Backend, run: Run, *, record: RecordOptions | None = None) -> Iterator[StepRecord]:
    """Decode one sample step by step.

    Args:
        backend: the model.
        run: prompt, settings, starting point.
        record: how much to keep of each step; None = everything but the full attention.

    Yields:
        One StepRecord a step, from the run's first step to T - 1.

    Raises:
        ValueError: settings that do not fit the backend or the prompt (before the first forward).
        FloatingPointError: the model's logits are not finite.

    Source: MaskGIT 2202.04200; the orders' own papers are named in `order`.
    """
    for records in decode_many(backend, [run], record=record):
        yield records[0]


def decode_many(
    backend: Backend, runs: Sequence[Run], *, record: RecordOptions | None = None, timings_s: dict[str, float] | None = None
) -> Iterator[list[StepRecord]]:
    """Decode several samples in lockstep; each comes out exactly as `decode` alone would have made it.

    Runs whose tokens and prompt are equal share one forward, others go as a batch where that is exact.

    Args:
        backend: the model.
        runs: at least one; prompts, settings and numbers of steps may differ.
        record: how much to keep of each step.
        timings_s: if given, seconds spent in "forward" are added to it.

    Yields:
        One record a run; a run that has fewer steps than the others repeats its last record.

    Raises:
        ValueError: no runs, or settings that do not fit (before the first forward).
    """
    if not runs:
        raise ValueError("runs: give at least one run")
    options = record or RecordOptions()
    conditionings: dict[Any, Any] = {}
    samples = [begin(backend, run, options, conditionings) for run in runs]
    latest: list[StepRecord | None] = [None] * len(samples)
    # Where each lane has a sample, or half of one, no operator is shared out: threads that wait for a share keep the lanes' cores busy.
    in_step = backend.one_thread_each and 2 * len(samples) >= lanes(backend.device)
    while any(not sample.finished for sample in samples):
        with one_thread(backend.device) if in_step else nullcontext():
            _advance(backend, samples, latest, timings_s)
        yield [one for one in latest if one is not None]


def _advance(backend: Backend, samples: Sequence[Sample], latest: list[StepRecord | None], timings_s: dict[str, float] | None) -> None:
    """One step of every sample that is not finished; its record takes its place in `latest`."""
    steps = {i: advance(sample) for i, sample in enumerate(samples) if not sample.finished}
    wanted = {i: next(step) for i, step in steps.items()}
    while wanted:  # a step may ask for several forwards, one after the other
        began = time.perf_counter()
        outputs = forward_all(backend, list(wanted.values()))
        if timings_s is not None:
            timings_s["forward"] = timings_s.get("forward", 0.0) + time.perf_counter() - began
        told = [partial(_told, steps[i], output) for i, output in zip(wanted, outputs, strict=True)]
        answers = in_lanes(told, backend.device) if backend.one_thread_each and len(told) > 1 else [tell() for tell in told]
        asked, wanted = list(wanted), {}
        for i, answer in zip(asked, answers, strict=True):
            if isinstance(answer, StepRecord):
                latest[i] = answer
            else:
                wanted[i] = answer


def _told(step: Step, output: ForwardOutput) -> Request | StepRecord:
    """What a step asks for next, or its record, when it is told what the model answered."""
    try:
        return step.send(output)
    except StopIteration as done:
        return done.value
