"""Layers and heads on request: the panel under the curves asks for one run, step and word; the answer is small maps."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from uncage_demo.backends.zero_gpu import borrows_gpu
from uncage_demo.branching import attention_at, attention_of_cell, attention_to_other
from uncage_demo.player.head_maps import packed, word_rows
from uncage_demo.setting import shortened, whole_number
from uncage_demo.trace.record import Trace
from uncage_demo.ui import device_runs
from uncage_demo.ui.exports import answered

if TYPE_CHECKING:
    from uncage_demo.ui.handlers import Handlers

WAIT_S = 5.0
MOST_WAITING = 4  # calls beside the queue hold a worker thread each, so few of them may wait
GPU_S = 60
BUSY = "layers and heads are being read for others; try again in a moment"


def heads_function(handlers: Handlers) -> Callable[[Any], str]:
    """`heads({id, step, word})` for scripts: attention to one word at one step, by layer and head; `other` names one not in the prompt, and
    `cell` asks instead for the attention of that cell to all others.

    The answer is {"heads": maps as `render.heads.packed` gives them}.
    """

    room = threading.Semaphore(MOST_WAITING)

    def heads(data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            raise ValueError("layers and heads are read for one run, step and word")
        trace = handlers.store.get(data.get("id")).trace
        first, last = trace.steps[0].step, trace.steps[-1].step
        step = whole_number("step", data.get("step"), first, last)
        other = str(data.get("other") or "")
        cell = None if data.get("cell") is None else whole_number("cell", data["cell"], 0, trace.tokens.size - 1)
        word = -1 if other or cell is not None else whole_number("word", data.get("word"), 0, len(trace.prompt.words) - 1)
        rows = word_rows(trace, word) if word >= 0 else []
        if not rows and word >= 0:
            raise ValueError(f"attention to {shortened(trace.prompt.words[word].text)} was not recorded")
        if not room.acquire(blocking=False):
            raise ValueError(BUSY)
        try:
            if not handlers.slot.reading.acquire(timeout=WAIT_S):
                raise ValueError(BUSY)
            try:
                if cell is not None:
                    maps = _read_cell(handlers.slot_number, trace, step, cell)
                elif other:
                    maps = _read_other(handlers.slot_number, trace, step, other)
                else:
                    maps = _read(handlers.slot_number, trace, step)[:, :, rows].mean(axis=2)
            finally:
                handlers.slot.reading.release()
        finally:
            room.release()
        return {"heads": {**packed(maps, step, word), "other": other, "cell": cell}}

    return answered(heads)


@borrows_gpu(GPU_S)
def _read(slot: int, trace: Trace, step: int) -> np.ndarray:
    recorded = trace.steps[step - trace.steps[0].step].attention_full is not None
    backend = None if recorded else device_runs.backend_of(slot, device_runs.model_of(slot, trace))
    return attention_at(backend, trace, step)


@borrows_gpu(GPU_S)
def _read_other(slot: int, trace: Trace, step: int, word: str) -> np.ndarray:
    return attention_to_other(device_runs.backend_of(slot, device_runs.model_of(slot, trace)), trace, step, word)


@borrows_gpu(GPU_S)
def _read_cell(slot: int, trace: Trace, step: int, cell: int) -> np.ndarray:
    return attention_of_cell(device_runs.backend_of(slot, device_runs.model_of(slot, trace)), trace, step, cell)
