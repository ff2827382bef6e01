"""Branches of a recorded run: edit it at a step and go on from there; and reading its attention again.

What the model sees at a step is in the trace (the tokens committed before it), so one forward pass gives exactly what it saw then.
A branch is two pure steps around the engine: `plan` makes the run to decode, `graft` joins what came of it with the parent's steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from uncage_demo.backends.base import Backend, Capture
from uncage_demo.backends.options import TRACE_KEY, ModelOptions, check_same
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.batching import Request, forward_all
from uncage_demo.decoding.run import RecordOptions, Run, Start, WholeStep, recorded_columns
from uncage_demo.decoding.sampler import decode
from uncage_demo.decoding.sight import hidden_tokens
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.runner import OnStep, Progress, finish, stream
from uncage_demo.setting import shortened, whole_number
from uncage_demo.trace.frames import frames_told
from uncage_demo.trace.lineage import Edits, Lineage, within_limit
from uncage_demo.trace.record import Trace
from uncage_demo.types import Prompt

MAX_OTHER_CHARS = 40
Maps = TypeVar("Maps")


@dataclass(frozen=True)
class BranchPlan:
    """A branch that is ready to be decoded.

    Args:
        run: what to decode: the prompt, settings and starting point of the branch.
        at_step: the first step that is decoded.
        edits: the edits in force.
    """

    run: Run
    at_step: int
    edits: Edits


def plan(
    trace: Trace,
    at_step: int,
    *,
    keep: Sequence[int] = (),
    drop: Sequence[int] = (),
    forbid: Mapping[int, Sequence[int]] | None = None,
    config: DecodingConfig | None = None,
    suppress_word: int | None = None,
) -> BranchPlan:
    """The run that continues a recorded one from a step on; nothing is decoded yet.

    Args:
        trace, at_step, keep, drop, forbid, config, suppress_word: as `branch`.

    Raises:
        ValueError: a step or position out of range, or edits that contradict each other.
    """
    edits = _edits_in_force(trace, at_step, keep, drop, forbid or {}, suppress_word)
    start = _branch_start(trace, at_step, edits, {int(position) for position in drop})
    own = DecodingConfig.from_dict(trace.config)
    config = config or own
    if config == own and suppress_word is None and not (keep or drop or forbid):
        start = replace(start, whole=_whole_before(trace, at_step))  # what is edited is looked at as a whole
    return BranchPlan(Run(trace.prompt, config, start, _word_tokens(trace.prompt, edits.suppress_word)), at_step, edits)


def graft(trace: Trace, branch_plan: BranchPlan, made: Trace) -> Trace:
    """The whole trace of a branch: the parent's steps before it, then what was decoded, lineage filled in.

    Args:
        trace: the parent.
        branch_plan: from `plan`.
        made: what decoding the plan's run gave.
    """
    at_step = branch_plan.at_step
    before = at_step - trace.steps[0].step
    frames = made.frames
    if trace.frames is not None and made.frames is not None:
        frames = np.concatenate([trace.frames[:before], made.frames])
    earlier = within_limit([replace(line, earlier=None) for line in trace.branches if line.at_step <= at_step])
    lineage = Lineage(trace.id, at_step, branch_plan.edits, trace.config, earlier)
    return replace(
        made,
        steps=trace.steps[:before] + made.steps,
        frames=frames,
        token_pictures={**trace.token_pictures, **made.token_pictures},
        lineage=lineage,
    )


def stream_branch(backend: Backend, trace: Trace, at_step: int, **edits: Any) -> Iterator[Progress]:
    """As `branch`, telling after every step as `runner.stream` does; the last item carries the whole branch. Close it to cancel.

    Args:
        backend, trace, at_step, edits: as `branch`.

    Raises:
        ValueError: as `branch`, before the first forward.
    """
    check_weights(backend, trace)
    check_same(ModelOptions.from_json(trace.versions.get(TRACE_KEY)), backend.options, trace.model, backend.info)
    branch_plan = plan(trace, at_step, **edits)
    for item in stream(backend, [branch_plan.run], frames=False if trace.frames is None else frames_told(trace.versions)):
        yield item if item.traces is None else replace(item, traces=[graft(trace, branch_plan, item.traces[0])])


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
    changes = {"keep": keep, "drop": drop, "forbid": forbid, "config": config, "suppress_word": suppress_word}
    return finish(stream_branch(backend, trace, at_step, **changes), on_step)[0]


def check_weights(backend: Backend, trace: Trace) -> None:
    """Refuse a trace of other weights than the backend's.

    Raises:
        ValueError: naming both.
    """
    info = backend.info
    if (trace.model.id, trace.model.weight_hash) != (info.id, info.weight_hash):
        made_by, here = f"{trace.model.id} {trace.model.weight_hash}", f"{info.id} {info.weight_hash}"
        raise ValueError(f"this trace was made by {made_by}, the model here is {here}; the same weights are needed")


def attention_at(backend: Backend | None, trace: Trace, step: int) -> np.ndarray:
    """Attention of each layer and head at one step.

    Args:
        backend: the model that made the trace (same weights); not needed where the trace holds the answer.
        trace: any run.
        step: one of the trace's steps, counted over the whole run from 0.

    Returns:
        "l h k n" float32: layer, head, recorded text column, image token.

    Raises:
        ValueError: a step that the trace does not have, no model, a model with other weights, or one that tells no heads apart.
    """
    tokens, since = state_before(trace, step)
    recorded = trace.steps[step - trace.steps[0].step].attention_full
    if recorded is not None:
        return recorded
    if backend is None:
        raise ValueError("this trace holds no layers and heads, and there is no model to read them from")
    check_weights(backend, trace)
    start = Start(tokens=tokens, step=step, unmask_step=since, sight=trace.steps[step - trace.steps[0].step].sight)
    run = Run(trace.prompt, DecodingConfig.from_dict(trace.config), start, _hidden(trace, step))
    return _every_head(backend, run)


def attention_to_other(backend: Backend, trace: Trace, step: int, word: str) -> np.ndarray:
    """Attention to a word that is not in the prompt, of each layer and head: as if the prompt went on "and a <word>" at this step.

    Args:
        backend: the model that made the trace (same weights).
        trace: any run.
        step: one of the trace's steps, counted over the whole run from 0.
        word: one or a few words; the text encoder must know them.

    Returns:
        "l h n" float32: layer, head, image token; the mean over the word's text tokens.

    Raises:
        ValueError: a blank or long word, one that the model does not read, or as `attention_at`.
    """
    word = " ".join(str(word).split())
    if not 1 <= len(word) <= MAX_OTHER_CHARS:
        raise ValueError(f"the word has {len(word)} characters: give 1 to {MAX_OTHER_CHARS}")
    tokens, since = state_before(trace, step)
    check_weights(backend, trace)
    prompt = parse_prompt(f"{trace.prompt.text} and {'an' if word[0] in 'aeiouAEIOU' else 'a'} {word}", backend)
    read = [token for one in prompt.words if one.start >= len(prompt.text) - len(word) for token in one.tokens]
    if not read or prompt.unknown:
        raise ValueError(f"this model does not read “{word}” after this prompt; try another word")
    # what the cells of a redraw may read is told by the prompt's own objects, which this word is none of: here they read everything
    run = Run(prompt, DecodingConfig.from_dict(trace.config), Start(tokens=tokens, step=step, unmask_step=since), _hidden(trace, step))
    full = _every_head(backend, run)
    columns = recorded_columns(prompt)
    return full[:, :, [columns.index(token) for token in read]].mean(axis=2)


def attention_of_cell(backend: Backend, trace: Trace, step: int, cell: int) -> np.ndarray:
    """Where one cell looks in the picture at one step: its attention to every cell, of each layer and head.

    Args:
        backend: the model that made the trace (same weights); embedded models only.
        trace: any run.
        step: one of the trace's steps, counted over the whole run from 0.
        cell: row by row from 0.

    Returns:
        "l h n" float32: layer, head, image token that is looked at. What is missing to 1 goes to the text.

    Raises:
        ValueError: a cell out of range, a model that does not tell, or as `attention_at`.
    """
    tokens, _ = state_before(trace, step)
    whole_number("cell", cell, 0, len(tokens) - 1)
    check_weights(backend, trace)
    record = trace.steps[step - trace.steps[0].step]
    request = Request(
        tokens=tokens,
        step=step,
        num_steps=int(trace.config["num_steps"]),
        conditioning=backend.encode_prompt(trace.prompt),
        text_length=len(trace.prompt.tokens),
        unconditional=False,
        capture=Capture("all", full=True, image=True),
        suppress=_hidden(trace, step),
        hidden=None if record.sight is None else hidden_tokens(record.sight, trace.prompt),
    )
    full = _told_apart(backend, forward_all(backend, [request])[0].attention_full)
    return full[0, :, :, :, cell].float().cpu().numpy()


def _every_head(backend: Backend, run: Run) -> np.ndarray:
    """Attention "l h k n" of the first step of a run; raises ValueError where the model does not tell its layers and heads apart."""
    steps = decode(backend, run, record=RecordOptions(level="minimal", full_attention=True))
    try:
        full = next(steps).attention_full
    finally:
        steps.close()  # type: ignore[attr-defined]  # decode is a generator
    return _told_apart(backend, full)


def _told_apart(backend: Backend, full: Maps | None) -> Maps:
    """Attention of every layer and head; raises ValueError where the model gave none."""
    if full is None:
        raise ValueError(f"model {backend.info.id!r} does not tell its layers and heads apart")
    return full


def _hidden(trace: Trace, step: int) -> tuple[int, ...]:
    """Text tokens that a knock-out hid from the model at this step."""
    lines = [line for line in trace.branches if line.at_step <= step]
    if not lines:
        return ()
    word = max(lines, key=lambda line: line.at_step).edits.suppress_word
    return () if word is None else trace.prompt.words[word].tokens


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
        raise ValueError(f"at_step={shortened(at_step)}: this trace has steps {first} to {last}")
    at = trace.steps[at_step - first]
    tokens = np.where(at.masked_before, -1, at.sampled).astype(np.int64)
    since = np.where(trace.steps[0].masked_before, -1, trace.unmask_step.reshape(-1)).astype(np.int64)
    for record in trace.steps[: at_step - first]:
        since[record.committed] = record.step
    since[at.masked_before] = -1
    return tokens, since


def _edits_in_force(
    trace: Trace, at_step: int, keep: Sequence[int], drop: Sequence[int], forbid: Mapping[int, Sequence[int]], suppress_word: int | None
) -> Edits:
    """The edits of a branch, those of the parent that still hold at this step included."""
    count = trace.tokens.size
    for name, positions in (("keep", keep), ("drop", drop), ("forbid", forbid)):
        wrong = [p for p in positions if isinstance(p, bool) or not isinstance(p, (int, np.integer)) or not 0 <= p < count]
        if wrong:
            raise ValueError(f"{name}: position {shortened(wrong[0])} is not one of 0..{count - 1}")
    kept, dropped = {int(p) for p in keep}, {int(p) for p in drop}
    if kept & dropped:
        raise ValueError(f"position {min(kept & dropped)} is both kept and dropped")
    forbidden = {int(p): {int(i) for i in ids} for p, ids in forbid.items()}
    lineage = trace.lineage
    if lineage is not None and lineage.at_step <= at_step:
        inherited = lineage.edits
        for position, ids in inherited.forbid:
            forbidden.setdefault(position, set()).update(ids)
        suppress_word = inherited.suppress_word if suppress_word is None else suppress_word
        if lineage.at_step == at_step:
            kept |= set(inherited.keep) - dropped
            dropped |= set(inherited.drop) - kept
    forbid_ids = tuple((position, tuple(sorted(ids))) for position, ids in sorted(forbidden.items()) if ids)
    return Edits(tuple(sorted(kept)), tuple(sorted(dropped)), forbid_ids, suppress_word)


def _branch_start(trace: Trace, at_step: int, edits: Edits, asked: set[int]) -> Start:
    tokens, since = state_before(trace, at_step)
    at = trace.steps[at_step - trace.steps[0].step]
    sampled = at.sampled
    forbid = {position: tuple(ids) for position, ids in edits.forbid}
    masked = tokens < 0
    # What the parent's own drop masked again was free to come back at this very step; only what is dropped now is held back.
    once = np.zeros(len(tokens), bool)
    for record in trace.steps[: at_step - trace.steps[0].step]:
        once |= record.committed
    dropped = {p for p in edits.drop if not masked[p]} | {p for p, ids in forbid.items() if int(tokens[p]) in ids}
    for position in dropped:
        tokens[position], since[position] = -1, -1
    return Start(
        tokens=tokens,
        step=at_step,
        unmask_step=since,
        # A position committed earlier is kept by doing nothing.
        keep={p: int(sampled[p]) for p in edits.keep if masked[p]},
        hold=frozenset(p for p in edits.drop if masked[p] and (p in asked or not once[p])),
        forbid=forbid,
        sight=at.sight,
        before=_seen_before(trace, at_step),
        likelihoods=_likelihoods_before(trace, at_step),
        origin=trace.origin,
    )


def _seen_before(trace: Trace, at_step: int) -> tuple[np.ndarray, np.ndarray | None] | None:
    """What the model saw one step earlier: tokens, -1 = masked, and sight; None at the first step on record."""
    if at_step == trace.steps[0].step:
        return None
    record = trace.steps[at_step - 1 - trace.steps[0].step]
    return np.where(record.masked_before, -1, record.sampled).astype(np.int64), record.sight


def _whole_before(trace: Trace, at_step: int) -> WholeStep | None:
    """The step that ran the whole grid last, where this one ran a part of it."""
    first = trace.steps[0].step
    at = trace.steps[at_step - first]
    wholes = [record for record in trace.steps[: at_step - first] if record.renewed is None]
    if at.renewed is None or not wholes:
        return None
    tokens = np.where(wholes[-1].masked_before, -1, wholes[-1].sampled).astype(np.int64)
    return WholeStep(wholes[-1].step, tokens, wholes[-1].sight, at.renewed)


def _likelihoods_before(trace: Trace, at_step: int) -> tuple[np.ndarray, ...]:
    """What a revision remembers of the steps before this one: log p of the tokens that were there, NaN where masked."""
    before = trace.steps[: at_step - trace.steps[0].step]
    return tuple(
        np.where(record.masked_before, np.float32(np.nan), record.likelihood) for record in before if record.likelihood is not None
    )


def _word_tokens(prompt: Prompt, word: int | None) -> tuple[int, ...]:
    if word is None:
        return ()
    if not 0 <= word < len(prompt.words):
        raise ValueError(f"suppress_word={word}: this prompt has words 0 to {len(prompt.words) - 1}")
    if not prompt.words[word].tokens:
        raise ValueError(f"suppress_word={word}: the text encoder cut {prompt.words[word].text!r} off, nothing to hide")
    return prompt.words[word].tokens
