"""Layers and heads as the player reads them: small maps of one word at one step, asked for one at a time or taken along in a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from uncage_demo.player.packing import array
from uncage_demo.trace.record import Trace

# What the maps of all runs, steps and words may add to a file that opens offline, before base64.
MAX_OFFLINE_BYTES = 6 << 20
NOT_RECORDED = (
    "Not in this file. The app reads layers and heads from the model when they are asked for; this page has no model to ask. "
    "Open the run's trace in the app, or record them with it: generate(..., full_attention=True) in Python."
)
TOO_LARGE = "Not in this file: the layers and heads of these runs would make it too large. Open their traces in the app."


def packed(maps: np.ndarray, step: int, word: int) -> dict[str, Any]:
    """Maps of one word at one step as the player reads them.

    Args:
        maps: "l h n" attention, 0..1.
        step: 0-based.
        word: index into prompt.words.

    Returns:
        {step, word, layers, heads, max, codes}; codes are 8 bits with a square-root code, 255 = max.
    """
    top = float(maps.max()) or 1.0
    codes = array(np.rint(np.sqrt(np.clip(maps / top, 0, 1)) * 255), "uint8")
    return {"step": step, "word": word, "layers": maps.shape[0], "heads": maps.shape[1], "max": top, "codes": codes}


def word_rows(trace: Trace, word: int) -> list[int]:
    """Rows of the recorded attention that belong to a word; [] where none was recorded."""
    return [trace.columns.index(token) for token in trace.prompt.words[word].tokens if token in trace.columns]


def recorded_heads(traces: Sequence[Trace], ids: Sequence[str]) -> dict[str, Any]:
    """What a page without a server can show of layers and heads: every recorded map, or why there is none.

    Args:
        traces: the runs; only steps that hold `attention_full` have maps.
        ids: their addresses in the payload.

    Returns:
        {"maps": {"<id> <step> <word>": packed maps}, "note": what to say where a map is not among them}.
    """
    wanted = [
        (record.attention_full, f"{identity} {record.step} {word}", record.step, word, rows)
        for trace, identity in zip(traces, ids, strict=True)
        for record in trace.steps
        if record.attention_full is not None
        for word in range(len(trace.prompt.words))
        if (rows := word_rows(trace, word))
    ]
    if sum(full.shape[0] * full.shape[1] * full.shape[3] for full, *_ in wanted) > MAX_OFFLINE_BYTES:
        return {"maps": {}, "note": TOO_LARGE}
    maps = {key: packed(full[:, :, rows].mean(axis=2), step, word) for full, key, step, word, rows in wanted}
    return {"maps": maps, "note": NOT_RECORDED}
