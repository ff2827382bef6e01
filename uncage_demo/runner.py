"""From runs to finished traces: one, several side by side, live, and branches of a recorded one.

The loop is in `decoding.sampler`; here its records become pictures, timings and a Trace.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import numpy as np

from uncage_demo.artist import Artist
from uncage_demo.backends.base import Backend
from uncage_demo.decoding.config import DecodingConfig
from uncage_demo.decoding.run import recorded_columns, resolve
from uncage_demo.decoding.sampler import RecordOptions, Run, Start, decode_many
from uncage_demo.model_options import TRACE_KEY, ModelOptions, check_same, options_of, recorded
from uncage_demo.trace import StepRecord, Trace
from uncage_demo.types import Prompt

OnStep = Callable[[int, int, list[StepRecord]], None]
_LIBRARIES = ("uncage-demo", "torch", "numpy")


class Cancelled(Exception):
    """Raised by an on_step callback to stop decoding after the step that just finished."""


@dataclass(frozen=True)
class Progress:
    """What `stream` tells after every step.

    Args:
        step: 0-based step that just finished (of the longest run).
        num_steps: T of the longest run.
        records: one a run; a run that finished earlier repeats its last record.
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

    @property
    def done_frac(self) -> float:
        """Share of the steps that is done, 0..1."""
        return (self.step + 1) / self.num_steps


def generate(
    backend: Backend,
    prompt: Prompt,
    config: DecodingConfig,
    *,
    on_step: OnStep | None = None,
    frames: bool = True,
    full_attention: bool = False,
    start: Start | None = None,
) -> Trace:
    """Generate one picture and record how.

    Args:
        backend, prompt, config: the model, the prompt parsed for it, the settings.
        on_step: called after every step with (step, num_steps, records); may raise Cancelled.
        frames: also decode the picture of every step.
        full_attention: also record every layer and head (large).
        start: starting point, for editing or resuming.

    Returns:
        The finished trace.

    Raises:
        ValueError: settings that do not fit (before the first forward).
        Cancelled: from on_step.
    """
    record = RecordOptions(full_attention=full_attention)
    return _finish(stream(backend, [Run(prompt, config, start)], frames=frames, record=record), on_step)[0]


def compare(
    backend: Backend, prompt: Prompt, configs: Sequence[DecodingConfig], *, on_step: OnStep | None = None, frames: bool = True
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
    return _finish(stream(backend, [Run(prompt, config) for config in configs], frames=frames), on_step)


def stream(backend: Backend, runs: Sequence[Run], *, frames: bool = True, record: RecordOptions | None = None) -> Iterator[Progress]:
    """Decode runs in lockstep and tell after every step; close the iterator to cancel.

    Args:
        backend: the model.
        runs: at least one.
        frames: decode the picture of every step as it comes.
        record: how much to keep of each step.

    Yields:
        A Progress after every step, and a last one with the finished traces.

    Raises:
        ValueError: no runs, or settings that do not fit (before the first forward).
    """
    began = time.perf_counter()
    timings_s = {"forward": 0.0, "decode": 0.0}
    configs = [resolve(backend, run) for run in runs]
    records: list[list[StepRecord]] = [[] for _ in runs]
    pictures: list[list[np.ndarray]] = [[] for _ in runs]
    num_steps = max((config.num_steps for config in configs), default=0)
    artist = Artist(backend, timings_s)
    progress = None
    for latest in decode_many(backend, runs, record=record, timings_s=timings_s):
        moved = [i for i, one in enumerate(latest) if not records[i] or records[i][-1] is not one]
        drawn = artist.draw([latest[i].sampled for i in moved]) if frames else []
        for place, i in enumerate(moved):
            records[i].append(latest[i])
            pictures[i].extend(drawn[place : place + 1])
        current = [shown[-1] for shown in pictures] if frames else None
        progress = Progress(max(one.step for one in latest), num_steps, latest, time.perf_counter() - began, current)
        yield progress
    assert progress is not None
    traces = [
        _build_trace(backend, run, config, records[i], pictures[i], artist)
        for i, (run, config) in enumerate(zip(runs, configs, strict=True))
    ]
    timings_s["total"] = time.perf_counter() - began
    for trace in traces:
        trace.timings_s = dict(timings_s)
    yield Progress(progress.step, num_steps, progress.records, timings_s["total"], progress.frames, traces)


def branch(
    backend: Backend,
    trace: Trace,
    at_step: int,
    *,
    keep: Sequence[int] = (),
    drop: Sequence[int] = (),
    forbid: Mapping[int, Sequence[int]] | None = None,
    config: DecodingConfig | None = None,
    suppress_word: int | None = None,
    on_step: OnStep | None = None,
) -> Trace:
    """Continue a recorded run from a step on with edits: "what if". Without edits the result equals the parent.

    Args:
        backend: the model that made the trace (same weights).
        trace: the parent; its records before at_step become the branch's.
        at_step: k; the branch begins with what was committed before step k.
        keep: positions whose token, as the parent sampled it at step k, is committed at step k whatever its score.
        drop: positions committed before step k are masked again; positions still masked are not committed at step k (they may be later).
        forbid: {position: token ids} never sampled there again; a token already committed that is forbidden is dropped.
        config: other settings from here on (order, seed, weight ...); None = the parent's.
        suppress_word: index of a word hidden from the model's attention from here on (a causal test of that word).
        on_step: as `generate`.

    Returns:
        The whole trace of the branch, lineage filled in: parent id, at_step, edits, the parent's settings and, where the parent is
        itself a branch taken before step k, its lineage as "earlier".

    Raises:
        ValueError: a step or position out of range, edits that contradict each other, or a trace of another model.
        Cancelled: from on_step.
    """
    info = backend.info
    if (trace.model.id, trace.model.weight_hash) != (info.id, info.weight_hash):
        made_by, here = f"{trace.model.id} {trace.model.weight_hash}", f"{info.id} {info.weight_hash}"
        raise ValueError(f"this trace was made by {made_by}, the model here is {here}; a branch needs the same weights")
    check_same(ModelOptions.from_json(trace.versions.get(TRACE_KEY)), options_of(backend))
    config = config or DecodingConfig.from_dict(trace.config)
    edits = _edits_in_force(trace, at_step, keep, drop, forbid or {}, suppress_word)
    start = _branch_start(trace, at_step, edits)
    run = Run(trace.prompt, config, start, _word_tokens(trace.prompt, edits["suppress_word"]))
    made = _finish(stream(backend, [run], frames=trace.frames is not None), on_step)[0]
    before = at_step - trace.steps[0].step
    made.steps = trace.steps[:before] + made.steps
    if trace.frames is not None and made.frames is not None:
        made.frames = np.concatenate([trace.frames[:before], made.frames])
    made.token_pictures = {**trace.token_pictures, **made.token_pictures}
    own = {key: value for key, value in trace.lineage.items() if key != "earlier"}
    earlier = [line for line in [own, *trace.lineage.get("earlier", [])] if line and line["at_step"] <= at_step]
    made.lineage = {"parent": trace.id, "at_step": at_step, "edits": edits, "parent_config": trace.config, "earlier": earlier}
    return made


def state_before(trace: Trace, at_step: int) -> tuple[np.ndarray, np.ndarray]:
    """What was committed before a step.

    Args:
        trace: any trace.
        at_step: one of the trace's steps.

    Returns:
        "n" int64 tokens with -1 where still masked, and "n" int64 the step each was committed at, -1 where given or masked.

    Raises:
        ValueError: a step that the trace does not have.
    """
    first, last = trace.steps[0].step, trace.steps[-1].step
    if isinstance(at_step, bool) or not isinstance(at_step, (int, np.integer)) or not first <= at_step <= last:
        raise ValueError(f"at_step={at_step!r}: this trace has steps {first} to {last}")
    at = trace.steps[at_step - first]
    tokens = np.where(at.masked_before, -1, at.sampled).astype(np.int64)
    since = np.where(trace.steps[0].masked_before, -1, trace.unmask_step.reshape(-1)).astype(np.int64)
    for record in trace.steps[: at_step - first]:
        since[record.committed] = record.step
    since[at.masked_before] = -1
    return tokens, since


def _edits_in_force(
    trace: Trace, at_step: int, keep: Sequence[int], drop: Sequence[int], forbid: Mapping[int, Sequence[int]], suppress_word: int | None
) -> dict[str, Any]:
    """The edits of a branch as plain lists, those of the parent that still hold at this step included."""
    count = trace.tokens.size
    for name, positions in (("keep", keep), ("drop", drop), ("forbid", forbid)):
        wrong = [p for p in positions if isinstance(p, bool) or not isinstance(p, (int, np.integer)) or not 0 <= p < count]
        if wrong:
            raise ValueError(f"{name}: position {wrong[0]!r} is not one of 0..{count - 1}")
    kept, dropped = {int(p) for p in keep}, {int(p) for p in drop}
    if kept & dropped:
        raise ValueError(f"position {min(kept & dropped)} is both kept and dropped")
    forbidden = {int(p): {int(i) for i in ids} for p, ids in forbid.items()}
    inherited = trace.lineage["edits"] if trace.lineage and trace.lineage["at_step"] <= at_step else None
    if inherited is not None:
        for position, ids in inherited["forbid"]:
            forbidden.setdefault(position, set()).update(ids)
        suppress_word = inherited["suppress_word"] if suppress_word is None else suppress_word
        if trace.lineage["at_step"] == at_step:
            kept |= set(inherited["keep"]) - dropped
            dropped |= set(inherited["drop"]) - kept
    return {
        "keep": sorted(kept),
        "drop": sorted(dropped),
        "forbid": [[position, sorted(ids)] for position, ids in sorted(forbidden.items()) if ids],
        "suppress_word": suppress_word,
    }


def _branch_start(trace: Trace, at_step: int, edits: dict[str, Any]) -> Start:
    tokens, since = state_before(trace, at_step)
    sampled = trace.steps[at_step - trace.steps[0].step].sampled
    forbid = {position: tuple(ids) for position, ids in edits["forbid"]}
    masked = tokens < 0
    dropped = {p for p in edits["drop"] if not masked[p]} | {p for p, ids in forbid.items() if int(tokens[p]) in ids}
    for position in dropped:
        tokens[position], since[position] = -1, -1
    return Start(
        tokens=tokens,
        step=at_step,
        unmask_step=since,
        # A position committed earlier is kept by doing nothing.
        keep={p: int(sampled[p]) for p in edits["keep"] if masked[p]},
        hold=frozenset(p for p in edits["drop"] if masked[p]),
        forbid=forbid,
    )


def _word_tokens(prompt: Prompt, word: int | None) -> tuple[int, ...]:
    if word is None:
        return ()
    if not 0 <= word < len(prompt.words):
        raise ValueError(f"suppress_word={word}: this prompt has words 0 to {len(prompt.words) - 1}")
    if not prompt.words[word].tokens:
        raise ValueError(f"suppress_word={word}: the text encoder cut {prompt.words[word].text!r} off, nothing to hide")
    return prompt.words[word].tokens


def _finish(items: Iterator[Progress], on_step: OnStep | None) -> list[Trace]:
    traces = None
    for item in items:
        if item.traces is not None:
            traces = item.traces
        elif on_step is not None:
            on_step(item.step, item.num_steps, item.records)
    assert traces is not None
    return traces


def _build_trace(
    backend: Backend, run: Run, config: DecodingConfig, records: list[StepRecord], pictures: list[np.ndarray], artist: Artist
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
        image=artist.draw([tokens])[0],
        frames=np.stack(pictures) if pictures else None,
        token_pictures=artist.token_pictures(ids),
        versions=_versions() | recorded(backend),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # run from a checkout, not installed
            continue
    return versions
