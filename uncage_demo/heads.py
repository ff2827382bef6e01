"""Attention of every layer and head at one step of a recorded run: read again from the model, because traces keep only the mean.

What the model sees at a step is in the trace (the tokens committed before it), so one forward pass gives exactly what it saw then.
"""

from __future__ import annotations

import numpy as np

from uncage_demo.backends.base import Backend
from uncage_demo.decoding.config import DecodingConfig
from uncage_demo.decoding.run import RecordOptions, Run, Start
from uncage_demo.decoding.sampler import decode
from uncage_demo.runner import state_before
from uncage_demo.trace import Trace


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
    info = backend.info
    if (trace.model.id, trace.model.weight_hash) != (info.id, info.weight_hash):
        raise ValueError(f"this run was made by {trace.model.id} {trace.model.weight_hash}; the model here is {info.id} {info.weight_hash}")
    start = Start(tokens=tokens, step=step, unmask_step=since)
    run = Run(trace.prompt, DecodingConfig.from_dict(trace.config), start, _hidden(trace, step))
    steps = decode(backend, run, record=RecordOptions(level="minimal", full_attention=True))
    try:
        full = next(steps).attention_full
    finally:
        steps.close()  # type: ignore[attr-defined]  # decode is a generator
    if full is None:
        raise ValueError(f"model {info.id!r} does not tell its layers and heads apart")
    return full


def _hidden(trace: Trace, step: int) -> tuple[int, ...]:
    """Text tokens that a knock-out hid from the model at this step."""
    lines = [line for line in [trace.lineage, *trace.lineage.get("earlier", [])] if line and line["at_step"] <= step]
    if not lines:
        return ()
    word = max(lines, key=lambda line: line["at_step"])["edits"]["suppress_word"]
    return () if word is None else trace.prompt.words[word].tokens
