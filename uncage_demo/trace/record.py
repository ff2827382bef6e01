"""The trace: everything one decoding run did, step by step. The centre of the house.

A trace is numpy arrays and plain values; it knows no torch, no picture files, no Gradio.
Shapes: s step, n image tokens (y x grid, row-major), k recorded text columns, a alternatives.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from uncage_demo.backends.ages import said
from uncage_demo.backends.options import TRACE_KEY, ModelOptions
from uncage_demo.orders.counts import COUNTS, SCHEDULED
from uncage_demo.trace.lineage import Lineage, lineage_json
from uncage_demo.trace.notes import Note
from uncage_demo.trace.origin import Origin, origin_json
from uncage_demo.trace.shown import shown
from uncage_demo.types import ModelInfo, Prompt

SCHEMA_VERSION = 1


MAX_MESSAGE_CHARS = 280


class TraceFormatError(ValueError):
    """A trace, or a file that claims to hold one, is not valid; the message says what is wrong and what is allowed.

    Args:
        message: shown in full up to 280 characters; of a longer one (a hostile file can put anything into it) the middle is left out.
    """

    def __init__(self, message: str) -> None:
        printable = "".join(c if c.isprintable() else "?" for c in message)
        if len(printable) > MAX_MESSAGE_CHARS:
            printable = f"{printable[:180]} ... {printable[-(MAX_MESSAGE_CHARS - 185) :]}"
        super().__init__(printable)


def require(condition: bool, message: str) -> None:
    """Refuse a trace for which a condition does not hold.

    Raises:
        TraceFormatError: with the message.
    """
    if not condition:
        raise TraceFormatError(message)


@dataclass
class StepRecord:
    """One decoding step of one sample; all arrays are over the n positions of the grid, row-major.

    Args:
        step: 0-based s.
        sampled: "n" int32: x0; committed positions hold their committed id.
        committed: "n" bool: committed in exactly this step.
        masked_before: "n" bool: still masked when the step began.
        confidence: "n" float32: F_c = log p(x0) of the sampled token, p after guidance and before token_temperature; 0 where committed.
        noise: "n" float32: F_g as added to the score (tau_s times Gumbel; 0 where the order uses none, and where committed).
        contrast: "n" float32: F_a before the weight (after rescaling and blur).
        weight: w_a in force at this step (0 when not guided).
        scores: "n" float32: F used for the choice; -inf at positions committed before.
        cutoff: the lowest score that won its place; +inf when the step committed nothing.
        attention: "k n" float32: attention of each image token to each recorded text column; None when not captured.
        attention_full: "l h k n" float32 on request, else None.
        alternatives: "n a" int32 ids of the most probable tokens; alternative_probs: "n a" float32.
        entropy: "n" float32, nats, of p at each position.
        sight: "n" uint16: bit o says that the position could read the words of the prompt's subject o; None where all could read all.
        reopened: "n" uint8: the reason (a place in `orders.revise.REASONS`) why a position was masked again when the step ended, 0 where it
            was not; None where the step opened none, and in traces from before this was recorded.
        likelihood: "n" float32: log p of the token that each committed position held when the step began, 0 where masked; None where
            nothing asked for it.
        renewed: "n" bool: the positions that the model ran in this step; all else it knew from the last step that ran the whole grid, and
            what is recorded of the others is what it said then. None where it ran the whole grid.
        passes: how often the network ran over the whole grid in this step, for one sample (a guided forward runs it twice, and running a
            share of the grid counts as that share); None in
            traces from before this was recorded.
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
    sight: np.ndarray | None = None
    reopened: np.ndarray | None = None
    likelihood: np.ndarray | None = None
    renewed: np.ndarray | None = None
    passes: float | None = None

    @property
    def leaves_nothing(self) -> bool:
        """Whether every position is committed when the step ends."""
        return not (self.masked_before & ~self.committed).any() and self.reopened is None

    def same_commits(self, other: StepRecord) -> bool:
        """Whether both steps committed the same cells with the same tokens."""
        if not np.array_equal(self.committed, other.committed):
            return False
        return np.array_equal(self.sampled[self.committed], other.sampled[other.committed])


@dataclass
class Trace:
    """A whole decoding run.

    Args:
        prompt: the prompt as the model read it (tokens, words, subjects).
        config: the DecodingConfig as a plain dict (`DecodingConfig.from_dict` restores it); guidance_scale and contrast_blur hold the
            values in force, never None.
        model: facts about the model, weight hash included.
        columns: indices into prompt.tokens of the recorded text columns (the k axis of `attention`).
        steps: the records.
        tokens: "y x" int32: the final token grid.
        unmask_step: "y x" int32: step at which each cell was committed; -1 for cells given from the start (editing).
        image: "H W 3" uint8, the finished picture.
        frames: "s H W 3" uint8 pictures of `sampled` at every step, or None.
        token_pictures: optional dict {token id: "p p 3" uint8} of the alternatives.
        lineage: how a branch came about (see `branching.branch`); None for a run that is none.
        timings_s: seconds by stage ("forward", "decode", "total").
        versions: library versions; for a large model also what it was loaded with (see model_options.py).
        created: ISO 8601 time, UTC.
        origin: what the run began with (see `editing`); None for a run from an empty grid.
        notes: what people wrote on steps and cells; no part of the id.
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
    lineage: Lineage | None = None
    timings_s: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    created: str = ""
    origin: Origin | None = None
    notes: tuple[Note, ...] = ()

    @property
    def length(self) -> int:
        """Number of steps of the whole run: as many as there were where the model decided how many, else num_steps."""
        last = self.steps[-1]
        varies = COUNTS[str(self.config.get("how_many", SCHEDULED))].varies
        return last.step + 1 if varies and last.leaves_nothing else int(self.config["num_steps"])

    @property
    def grid(self) -> tuple[int, int]:
        """(y, x) of the token grid."""
        return self.tokens.shape[0], self.tokens.shape[1]

    @property
    def age(self) -> str:
        """The part of its training after which the model's weights were kept, such as "1/5"; "" = all of it.

        Raises:
            ValueError: the trace's model options cannot be read.
        """
        return ModelOptions.from_json(self.versions.get(TRACE_KEY)).age or ""

    @property
    def age_said(self) -> str:
        """The age in words: "1/5 of its training", "all of its training"."""
        return said(self.age)

    @property
    def branches(self) -> tuple[Lineage, ...]:
        """The branches that led to this run, the newest first; empty for a run that is none."""
        return () if self.lineage is None else self.lineage.lines

    def word_maps(self, step: int) -> np.ndarray:
        """Attention maps "w n" float32 of every word at one step: the mean over the word's text tokens (0 for a word without tokens)."""
        attention = self.steps[step].attention
        if attention is None:
            raise ValueError(f"step {step} of this trace has no recorded attention")
        column_of = {token: k for k, token in enumerate(self.columns)}
        maps = np.zeros((len(self.prompt.words), attention.shape[1]), np.float32)
        for w, word in enumerate(self.prompt.words):
            rows = [column_of[t] for t in word.tokens if t in column_of]
            if rows:  # most words are one token
                maps[w] = attention[rows[0]] if len(rows) == 1 else attention[rows].mean(axis=0)
        return maps

    @property
    def id(self) -> str:
        """First 16 hex digits of a hash over what was decoded: prompt, settings, model, lineage, origin, tokens."""
        said = [
            self.prompt.text,
            self.config,
            self.model.id,
            self.model.weight_hash,
            asdict(self.prompt)["subjects"],
            lineage_json(self.lineage),
        ]
        if self.origin is not None:
            said.append(origin_json(self.origin))
        digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
        digest.update(np.ascontiguousarray(self.tokens, np.int32).tobytes())
        digest.update(np.ascontiguousarray(self.unmask_step, np.int32).tobytes())
        return digest.hexdigest()[:16]

    def _repr_html_(self) -> str | None:
        """What a notebook shows: the player."""
        return shown([self])

    # Short names for the functions of `trace.check` and `trace.file`, which know more than this module: imported when they are called.

    def validate(self) -> None:
        """Check that the trace is whole and consistent with itself (see `check.check_trace`).

        Raises:
            TraceFormatError: saying what is wrong.
        """
        from uncage_demo.trace.check import check_trace

        check_trace(self)

    def to_bytes(self, *, frames: bool = True) -> bytes:
        """The trace as one .npz file (see `file.trace_to_bytes`); the same trace gives the same bytes.

        Args:
            frames: False leaves the pictures of the steps out.

        Raises:
            TraceFormatError: when the trace is not valid or larger than a file may be.
        """
        from uncage_demo.trace.file import trace_to_bytes

        return trace_to_bytes(self, frames=frames)

    @classmethod
    def from_bytes(cls, data: bytes) -> Trace:
        """Inverse of to_bytes. The bytes are not trusted (see `file.trace_from_bytes`).

        Raises:
            TraceFormatError: saying what is wrong.
        """
        from uncage_demo.trace.file import trace_from_bytes

        return trace_from_bytes(data)

    def save(self, path: str | Path, *, frames: bool = True) -> Path:
        """Write the trace to a file (see `file.save_trace`); returns its path."""
        from uncage_demo.trace.file import save_trace

        return save_trace(self, path, frames=frames)

    @classmethod
    def load(cls, path: str | Path) -> Trace:
        """Read a trace file. Its content is not trusted (see `file.load_trace`).

        Raises:
            TraceFormatError: saying what is wrong with the content.
            OSError: when the file cannot be read.
        """
        from uncage_demo.trace.file import load_trace

        return load_trace(path)


class Traces(list[Trace]):
    """A list of runs that a notebook shows as the player; in all else a list."""

    def _repr_html_(self) -> str | None:
        """What a notebook shows: the player of these runs, side by side; "" of none."""
        return shown(self) if self else ""


def stem_of(order: str, age: str = "", number: int | None = None) -> str:
    """What the files of one run are called: its order, with the model's age where runs of several ages are written ("uncage-age-1-5"), and
    with the round's number for the rounds of a remix ("uncage-round-2")."""
    return order + (f"-age-{age.replace('/', '-')}" if age else "") + (f"-round-{number}" if number else "")
