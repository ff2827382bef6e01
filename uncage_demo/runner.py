"""From runs to finished traces: one, several side by side, live.

The loop is in `decoding.sampler`; here its records become pictures, timings and a Trace. Branches of a recorded run: `branching`.
"""

from __future__ import annotations

import platform
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from typing import Any

import numpy as np
import torch

from uncage_demo.backends import load_backend
from uncage_demo.backends.ages import ages_of
from uncage_demo.backends.base import Backend
from uncage_demo.backends.options import recorded
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.batching import in_batches
from uncage_demo.decoding.run import recorded_columns, resolve
from uncage_demo.decoding.sampler import RecordOptions, Run, Start, decode_many
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.trace.frames import Frames, of_every_step, parse_frames, recorded_frames
from uncage_demo.trace.record import StepRecord, Trace, Traces
from uncage_demo.types import Prompt

OnStep = Callable[[int, int, list[StepRecord]], None]
_LIBRARIES = ("uncage-demo", "torch", "numpy")
# Grids remembered: enough for runs side by side that have not parted yet, and for the final picture.
_REMEMBERED_GRIDS = 16

_token_pictures: weakref.WeakKeyDictionary[Any, dict[int, np.ndarray]] = weakref.WeakKeyDictionary()


class Cancelled(Exception):
    """Raised by an on_step callback to stop decoding after the step that just finished."""


class PictureCache:
    """Pictures of token grids and of single tokens while one stream of runs goes on; nothing is drawn twice.

    Args:
        backend: the model.
        timings_s: seconds spent drawing are added to its "decode".
    """

    def __init__(self, backend: Backend, timings_s: dict[str, float]) -> None:
        self.backend, self.timings_s = backend, timings_s
        self._drawn: dict[bytes, np.ndarray] = {}

    def draw(self, grids: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Pictures "H W 3" uint8 of complete token grids "n", each the same as if drawn alone."""
        keys = [grid.tobytes() for grid in grids]
        missing = {key: grid for key, grid in zip(keys, grids, strict=True) if key not in self._drawn}
        began = time.perf_counter()
        for key, picture in zip(missing, self._decode(list(missing.values())), strict=True):
            self._drawn[key] = picture
        self.timings_s["decode"] = self.timings_s.get("decode", 0.0) + time.perf_counter() - began
        pictures = [self._drawn[key] for key in keys]
        while len(self._drawn) > max(_REMEMBERED_GRIDS, len(grids)):
            self._drawn.pop(next(iter(self._drawn)))
        return pictures

    def token_pictures(self, ids: Sequence[int]) -> dict[int, np.ndarray]:
        """Small pictures by token id; the backend draws each id once in the life of the process."""
        known = _token_pictures.setdefault(self.backend, {})
        missing = [token for token in ids if token not in known]
        if missing:
            known.update(zip(missing, self.backend.token_pictures(missing), strict=True))
        return {token: known[token] for token in ids}

    def _decode(self, grids: list[np.ndarray]) -> list[np.ndarray]:
        return in_batches(self.backend, ("pictures",), grids, self._together, np.array_equal)

    def _together(self, grids: Sequence[np.ndarray]) -> list[np.ndarray]:
        tokens = torch.from_numpy(np.stack(grids).astype(np.int64)).to(self.backend.device)
        return list(self.backend.decode_tokens(tokens))


@dataclass(frozen=True)
class Progress:
    """What `stream` tells after every step.

    Args:
        step: 0-based step that just finished (of the longest run).
        num_steps: T of the longest run.
        records: one per run; a run that finished earlier repeats its last record.
        elapsed_s: seconds since the stream began.
        frames: "H W 3" uint8 pictures of each run's current guess, or None without frames.
        traces: None until the last item, which carries the finished traces.
    """

    step: int
    num_steps: int
    records: list[StepRecord]
    elapsed_s: float
    frames: list[np.ndarray] | None = None
    traces: list[Trace] | None = None


def generate(
    backend: Backend,
    prompt: Prompt,
    config: DecodingConfig,
    *,
    on_step: OnStep | None = None,
    frames: Frames = True,
    full_attention: bool = False,
    start: Start | None = None,
) -> Trace:
    """Generate one picture and record how.

    Args:
        backend, prompt, config: the model, the prompt parsed for it, the settings.
        on_step: called after every step with (step, num_steps, records); may raise Cancelled.
        frames: of which steps the picture is decoded, too (see `parse_frames`); large pictures cost more than the steps themselves.
        full_attention: also record every layer and head (large).
        start: starting point, for editing or resuming.

    Returns:
        The finished trace.

    Raises:
        ValueError: settings that do not fit (before the first forward).
        Cancelled: from on_step.
    """
    record = RecordOptions(full_attention=full_attention)
    return finish(stream(backend, [Run(prompt, config, start)], frames=frames, record=record), on_step)[0]


def compare(
    backend: Backend, prompt: Prompt, configs: Sequence[DecodingConfig], *, on_step: OnStep | None = None, frames: Frames = True
) -> list[Trace]:
    """Generate one picture a configuration, side by side; each trace is what `generate` gives for that configuration alone.

    Args:
        backend, prompt: the model and the prompt parsed for it.
        configs: at least one.
        on_step, frames: as `generate`.

    Returns:
        One trace a configuration, in order. timings_s are those of the whole comparison.

    Raises:
        ValueError: no configuration, or one that does not fit (before the first forward).
        Cancelled: from on_step.
    """
    return finish(stream(backend, [Run(prompt, config) for config in configs], frames=frames), on_step)


def stream(backend: Backend, runs: Sequence[Run], *, frames: Frames = True, record: RecordOptions | None = None) -> Iterator[Progress]:
    """Decode runs in lockstep and tell after every step; close the iterator to cancel.

    Args:
        backend: the model.
        runs: at least one.
        frames: of which steps the picture is decoded as it comes (see `parse_frames`). Where not every step has one, the picture of the
            last one that has stands in its place.
        record: how much to keep of each step.

    Yields:
        A Progress after every step, and a last one with the finished traces.

    Raises:
        ValueError: no runs, or settings that do not fit (before the first forward).
    """
    every = parse_frames(frames)
    began = time.perf_counter()
    timings_s = {"forward": 0.0, "decode": 0.0}
    configs = [resolve(backend, run) for run in runs]
    records: list[list[StepRecord]] = [[] for _ in runs]
    pictures: list[list[np.ndarray]] = [[] for _ in runs]
    num_steps = max((config.total_steps for config in configs), default=0)
    cache = PictureCache(backend, timings_s)
    progress = None
    for latest in decode_many(backend, runs, record=record, timings_s=timings_s):
        moved = [i for i, one in enumerate(latest) if not records[i] or records[i][-1] is not one]
        due = [i for i in moved if every and (len(records[i]) % every == 0 or latest[i].leaves_nothing)]
        drawn = dict(zip(due, cache.draw([latest[i].sampled for i in due]) if due else [], strict=True))
        for i in moved:
            records[i].append(latest[i])
            if every:
                pictures[i].append(drawn[i] if i in drawn else pictures[i][-1])
        current = [shown[-1] for shown in pictures] if every else None
        progress = Progress(max(one.step for one in latest), num_steps, latest, time.perf_counter() - began, current)
        yield progress
    assert progress is not None
    traces = [
        _build_trace(backend, run, config, records[i], pictures[i], cache, every)
        for i, (run, config) in enumerate(zip(runs, configs, strict=True))
    ]
    timings_s["total"] = time.perf_counter() - began
    for trace in traces:
        trace.timings_s = dict(timings_s)
    yield Progress(progress.step, num_steps, progress.records, timings_s["total"], progress.frames, traces)


def stream_pictures(backend: Backend, traces: Sequence[Trace]) -> Iterator[Progress]:
    """Draw the pictures of every step of finished runs that were made without them: the same bits as if drawn on the way.

    Args:
        backend: the model that made the runs.
        traces: runs of one grid, one at least; they stay as they are.

    Yields:
        A Progress after every step, and a last one with the traces that have the pictures.

    Raises:
        ValueError: no runs, or runs of another model.
    """
    if not traces or any(trace.model.weight_hash != backend.info.weight_hash for trace in traces):
        raise ValueError(f"{len(traces)} runs: give at least one, and only runs of the model {backend.info.id} with its present weights")
    began = time.perf_counter()
    cache = PictureCache(backend, {})
    pictures: list[list[np.ndarray]] = [[] for _ in traces]
    num_steps = max(len(trace.steps) for trace in traces)
    for step in range(num_steps):
        records = [trace.steps[min(step, len(trace.steps) - 1)] for trace in traces]
        drawn = cache.draw([record.sampled for record in records])
        for trace, shown, picture in zip(traces, pictures, drawn, strict=True):
            if step < len(trace.steps):
                shown.append(picture)
        yield Progress(step, num_steps, records, time.perf_counter() - began, drawn)
    whole = [
        replace(trace, frames=np.stack(shown), versions=of_every_step(trace.versions))
        for trace, shown in zip(traces, pictures, strict=True)
    ]
    yield Progress(num_steps - 1, num_steps, records, time.perf_counter() - began, drawn, whole)


def stream_together(streams: Sequence[Iterator[Progress]]) -> Iterator[Progress]:
    """Several streams as one, step by step: runs of different models, or of one model at different ages, on one clock. Close it to cancel.

    Args:
        streams: at least one, each from `stream`. One that ends earlier repeats its last step.

    Yields:
        A Progress after every step of the longest, and a last one with all finished traces, in order.

    Raises:
        ValueError: no streams, or what a stream raises (before the first forward of any other's second step).
    """
    if not streams:
        raise ValueError("no runs: give at least one")
    latest: list[Progress | None] = [None] * len(streams)
    try:
        while any(one is None or one.traces is None for one in latest):
            for number, items in enumerate(streams):
                told = latest[number]
                if told is None or told.traces is None:
                    latest[number] = next(items)
            yield _joined([one for one in latest if one is not None])
    finally:
        for items in streams:
            close = getattr(items, "close", None)
            if close is not None:
                close()


def _joined(latest: Sequence[Progress]) -> Progress:
    """What several streams told last, as one."""
    frames = [frame for one in latest for frame in one.frames or ()]
    traces = [trace for one in latest for trace in one.traces or ()]
    over = all(one.traces is not None for one in latest)
    return Progress(
        max(one.step for one in latest),
        max(one.num_steps for one in latest),
        [record for one in latest for record in one.records],
        max(one.elapsed_s for one in latest),
        frames if all(one.frames is not None for one in latest) else None,
        traces if over else None,
    )


def compare_ages(
    name: str,
    text: str,
    config: DecodingConfig,
    *,
    device: str = "cpu",
    overrides: Sequence[dict[str, Any]] | None = None,
    on_step: OnStep | None = None,
    frames: Frames = True,
) -> list[Trace]:
    """Generate one picture at every age of a model: the same prompt and seed at several points of its training, on one clock.

    Args:
        name: an embedded model that keeps ages, such as "embedded-web", or its folder (see `load_backend`).
        text: the prompt.
        config: the settings, one seed for all ages.
        device: where it runs.
        overrides: corrections of the prompt's subjects, as `parse_prompt` takes them.
        on_step, frames: as `generate`.

    Returns:
        One trace an age, youngest first; the last one is the model itself. `Trace.age` tells which.

    Raises:
        ValueError: a model without ages, or settings that do not fit (before the first forward).
        Cancelled: from on_step.
    """
    backends = [load_backend(name, device, age=age) for age in ages_of(name)]
    prompt = parse_prompt(text, backends[0], overrides)
    return finish(stream_together([stream(one, [Run(prompt, config)], frames=frames) for one in backends]), on_step)


def finish(items: Iterator[Progress], on_step: OnStep | None = None) -> list[Trace]:
    """Run a stream to its end; returns the finished traces.

    Args:
        items: from `stream` (or `branch.stream_branch`).
        on_step: called after every step with (step, num_steps, records); may raise Cancelled.
    """
    traces: list[Trace] | None = None
    for item in items:
        if item.traces is not None:
            traces = item.traces
        elif on_step is not None:
            on_step(item.step, item.num_steps, item.records)
    assert traces is not None
    return Traces(traces)


def _build_trace(
    backend: Backend,
    run: Run,
    config: DecodingConfig,
    records: list[StepRecord],
    pictures: list[np.ndarray],
    cache: PictureCache,
    every: int,
) -> Trace:
    grid = backend.info.grid
    count = grid[0] * grid[1]
    tokens, since = np.full(count, -1, np.int32), np.full(count, -1, np.int32)
    if run.start is not None:
        tokens[:] = run.start.tokens
        if run.start.unmask_step is not None:
            since[:] = np.where(tokens >= 0, run.start.unmask_step, -1)
    for record in records:
        tokens[record.committed] = record.sampled[record.committed]
        since[record.committed] = record.step
    shown = [record.alternatives.reshape(-1) for record in records if record.alternatives is not None]
    ids = np.unique(np.concatenate(shown)).tolist() if shown else []
    return Trace(
        prompt=run.prompt,
        config=config.to_dict(),
        model=backend.info,
        columns=recorded_columns(run.prompt),
        steps=records,
        tokens=tokens.reshape(grid),
        unmask_step=since.reshape(grid),
        image=cache.draw([tokens])[0],
        frames=np.stack(pictures) if pictures else None,
        token_pictures=cache.token_pictures(ids),
        versions=_versions() | recorded(backend) | recorded_frames(every if every else False),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        origin=None if run.start is None else run.start.origin,
    )


@cache
def _versions() -> dict[str, str]:
    """Versions of what computes, looked up on disk once: 15 ms, which is half a step."""
    versions = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # run from a checkout, not installed
            continue
    return versions
