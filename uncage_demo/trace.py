"""The trace: everything one decoding run did, step by step. The centre of the house.

A trace is numpy arrays and plain values; it knows no torch, no picture files, no Gradio.
Shapes: s step, n image tokens (y x grid, row-major), k recorded text columns, a alternatives.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from uncage_demo.types import ModelInfo, Prompt

SCHEMA_VERSION = 1


@dataclass
class StepRecord:
    """One decoding step of one sample; all arrays are over the n positions of the grid, row-major.

    Args:
        step: 0-based s.
        sampled: "n" int32: x0; committed positions hold their committed id.
        committed: "n" bool: committed in exactly this step.
        masked_before: "n" bool: still masked when the step began.
        confidence: "n" float32: F_c = log p(x0) of the sampled token (after guidance); what a committed position had is irrelevant here (0).
        noise: "n" float32: F_g as added to the score (tau_s times Gumbel; 0 where the order uses none).
        contrast: "n" float32: F_a before the weight (after rescaling and blur).
        weight: w_a in force at this step (0 when not guided).
        scores: "n" float32: F used for the choice; -inf at positions committed before.
        cutoff: the lowest score that was committed.
        attention: "k n" float32: attention of each image token to each recorded text column; None when not captured.
        attention_full: "l h k n" float32 on request, else None.
        alternatives: "n a" int32 ids of the most probable tokens; alternative_probs: "n a" float32.
        entropy: "n" float32, nats, of p at each position.
    """

    step: int
    sampled: np.ndarray
    committed: np.ndarray
    masked_before: np.ndarray
    confidence: np.ndarray
    noise: np.ndarray
    contrast: np.ndarray
    weight: float
    scores: np.ndarray
    cutoff: float
    attention: np.ndarray | None = None
    attention_full: np.ndarray | None = None
    alternatives: np.ndarray | None = None
    alternative_probs: np.ndarray | None = None
    entropy: np.ndarray | None = None


@dataclass
class Trace:
    """A whole decoding run.

    Args:
        prompt: the prompt as the model read it (tokens, words, subjects).
        config: the DecodingConfig as a plain dict (`DecodingConfig.from_dict` restores it); guidance_scale and contrast_blur hold the values in force.
        model: facts about the model, weight hash included.
        columns: indices into prompt.tokens of the recorded text columns (the k axis of `attention`).
        steps: the records.
        tokens: "y x" int32: the final token grid.
        unmask_step: "y x" int32: step at which each cell was committed; -1 for cells given from the start (editing).
        image: "H W 3" uint8, the finished picture.
        frames: "s H W 3" uint8 pictures of `sampled` at every step, or None.
        token_pictures: optional dict {token id: "p p 3" uint8} of the alternatives.
        lineage: how a branch came about: {"parent": id, "at_step": k, "edits": {...}} or {}.
        timings_s: seconds by stage ("forward", "decode", "total").
        versions: library versions.
        created: ISO 8601 time, UTC.
    """

    prompt: Prompt
    config: dict[str, Any]
    model: ModelInfo
    columns: tuple[int, ...]
    steps: list[StepRecord]
    tokens: np.ndarray
    unmask_step: np.ndarray
    image: np.ndarray
    frames: np.ndarray | None = None
    token_pictures: dict[int, np.ndarray] = field(default_factory=dict)
    lineage: dict[str, Any] = field(default_factory=dict)
    timings_s: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    created: str = ""

    @property
    def grid(self) -> tuple[int, int]:
        """(y, x) of the token grid."""
        return self.tokens.shape[0], self.tokens.shape[1]

    def word_maps(self, step: int) -> np.ndarray:
        """Attention maps "w n" float32 of every word at one step: the mean over the word's text tokens (0 for a word without tokens)."""
        attention = self.steps[step].attention
        if attention is None:
            raise ValueError(f"step {step} of this trace has no recorded attention")
        column_of = {token: k for k, token in enumerate(self.columns)}
        maps = np.zeros((len(self.prompt.words), attention.shape[1]), np.float32)
        for w, word in enumerate(self.prompt.words):
            rows = [column_of[t] for t in word.tokens if t in column_of]
            if rows:
                maps[w] = attention[rows].mean(axis=0)
        return maps
