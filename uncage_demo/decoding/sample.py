"""One sample between two steps: what is decoded, what is committed so far, and what the model is asked. What a step does: `decoding.step`.

Shapes: n image tokens (y x grid, row-major), v codebook, k recorded text columns. A masked position is -1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from uncage_demo.backends.base import Backend, Capture, ForwardOutput, Reuse
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.batching import Request
from uncage_demo.decoding.noise import random_start, roll_offset
from uncage_demo.decoding.order import weight_at
from uncage_demo.decoding.redraw import phase_at
from uncage_demo.decoding.reuse import cells_run, whole_step
from uncage_demo.decoding.run import RecordOptions, Run, Start, recorded_columns, resolve
from uncage_demo.decoding.sight import hidden_tokens
from uncage_demo.decoding.tokens import guidance_at
from uncage_demo.orders.contrast import blur_in_cells, untokenized_words, word_matrix
from uncage_demo.orders.halton import visiting_rank
from uncage_demo.orders.table import ORDERS
from uncage_demo.trace.origin import region_cells, region_sight


def begin(backend: Backend, run: Run, options: RecordOptions, conditionings: dict[Any, Any]) -> Sample:
    """A run before its first step.

    Args:
        backend: the model.
        run: prompt, settings, starting point.
        options: how much is recorded.
        conditionings: what the model made of texts so far, by text; shared by runs that are decoded together.

    Raises:
        ValueError: settings that do not fit the backend, the prompt or the start.
    """
    config = resolve(backend, run)
    # What the model reads is the text; how the text was parsed into subjects is the engine's business alone.
    text = (run.prompt.said, run.prompt.tokens)
    if text not in conditionings:
        conditionings[text] = backend.encode_prompt(run.prompt)
    count = backend.info.grid[0] * backend.info.grid[1]
    start = run.start or Start(tokens=np.full(count, -1, np.int64))
    tokens = np.array(start.tokens, np.int64)
    given = (tokens >= 0) & (True if start.unmask_step is None else np.asarray(start.unmask_step) < 0)
    rank = None
    visits = ORDERS[config.order].visits
    if visits is not None:
        offset = roll_offset(config.seed, count) if config.halton_randomize else 0
        rank = visiting_rank(visits(*backend.info.grid), offset)
    columns = recorded_columns(run.prompt)
    readable = bool(run.prompt.subjects) and not untokenized_words(run.prompt)
    scheduled = ~given
    if config.redrawn_steps and start.step >= config.draft_steps and start.unmask_step is not None:
        scheduled = (tokens < 0) | (np.asarray(start.unmask_step) >= config.draft_steps)
    regions = region_cells(start.origin, len(run.prompt.subjects), backend.info.grid)
    return Sample(
        backend=backend,
        run=run,
        config=config,
        options=options,
        conditioning=conditionings[text],
        start=start,
        tokens=tokens,
        step=start.step,
        scheduled=scheduled,
        pinned=given,
        columns=columns,
        words=word_matrix(run.prompt, columns) if readable else None,
        rank=rank,
        sight=region_sight(regions) if regions is not None and start.sight is None else start.sight,
        regions=regions,
        likelihoods=list(start.likelihoods),
    )


@dataclass
class Sample:
    """One run between two steps.

    Args:
        backend, run, config, options, conditioning, start: what is decoded; see `begin`.
        tokens: "n" int64, -1 = masked.
        step: s, the next one.
        scheduled: "n" bool, what the schedule counts over: all that was not given, or in a redraw what it began with.
        pinned: "n" bool, never opened again: given from outside, or kept by an edit.
        columns, words: recorded text columns, and the matrix that averages them into words (None where guidance cannot read them).
        rank: "n" place in the order's visiting list; None for an order without one.
        sight: "n" uint16, whose words each cell may read; None = everybody's.
        regions: "o n" bool, where each object is asked for; None where nothing says so.
        likelihoods: of every step so far that a revision looked at, "n" float32 log p of the tokens that were there, NaN where masked.
        guide: "l h k n" attention within the guiding picture, once it has been read; None without one.
        previous: "n v" probabilities of the step before, where differential sampling compares with them.
        whole: what the last step that ran the whole grid was told, where partial ones draw on it.
        group: "n" bool, the cells that these run.
        passes: of the network, for one sample, in the step at hand; a guided forward takes two, a partial one its share of the grid.
    """

    backend: Backend
    run: Run
    config: DecodingConfig
    options: RecordOptions
    conditioning: Any
    start: Start
    tokens: np.ndarray
    step: int
    scheduled: np.ndarray
    pinned: np.ndarray
    columns: tuple[int, ...]
    words: np.ndarray | None
    rank: np.ndarray | None
    sight: np.ndarray | None = None
    regions: np.ndarray | None = None
    likelihoods: list[np.ndarray] = field(default_factory=list)
    guide: np.ndarray | None = None
    previous: torch.Tensor | None = None
    whole: ForwardOutput | None = None
    group: np.ndarray | None = None
    passes: float = 0.0
    empty: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.empty = np.zeros(len(self.tokens), np.float32)
        self.empty.flags.writeable = False  # one array serves every record that has nothing to say here

    @property
    def finished(self) -> bool:
        if self.step >= self.config.total_steps:
            return True
        # Where the model decides how many, a run is over when it is full; it has one step at least, to have something to tell.
        return self.config.varies and self.step > self.start.step and not (self.tokens < 0).any()

    @property
    def phase(self) -> tuple[DecodingConfig, int]:
        """Settings and step in force: the whole run's, or those of its draft or redraw."""
        return phase_at(self.config, self.step)

    @property
    def ends_draft(self) -> bool:
        return self.config.redrawn_steps > 0 and self.step == self.config.draft_steps - 1

    @property
    def sketched(self) -> bool:
        """Whether the run follows the structure of a guiding picture."""
        return self.start.origin is not None and self.start.origin.kind == "sketch"

    @property
    def partial(self) -> bool:
        """Whether the step runs its group's cells only."""
        return self.whole is not None and self.group is not None and whole_step(self.config, self.step) != self.step

    @property
    def sigma(self) -> float:
        """Blur of the attention maps in token-grid cells."""
        info = self.backend.info
        assert self.config.contrast_blur is not None
        return blur_in_cells(self.config.contrast_blur, info.grid, info.attention_grid)

    @property
    def captures(self) -> bool:
        """Attention is read when it is to be recorded, or when the score or the redraw needs it."""
        needed = (self.words is not None and weight_at(*self.phase) != 0) or self.ends_draft
        return needed or self.options.level == "full" or self.options.full_attention

    def seen_tokens(self) -> np.ndarray:
        """What the model is shown: the tokens so far, or the random grid that a one-step model begins with."""
        begin, info = self.backend.random_start, self.backend.info
        if begin is None:
            return self.tokens
        return random_start(self.config.seed, len(self.tokens), info.codebook_size, begin.masked_share)

    def capture(self) -> Capture | None:
        """The attention that the step's own forward is to return."""
        if not self.captures:
            return None
        # All columns, not just those recorded: what a column's numbers are must not depend on which others are wanted.
        columns = self.columns if self.options.full_attention else None
        return Capture(self.config.attention_source, columns, self.options.full_attention)

    def request(
        self,
        tokens: np.ndarray | None = None,
        capture: Capture | None = None,
        suppress: tuple[int, ...] = (),
        unconditional: bool | None = None,
        keep: bool = False,
        reuse: Reuse | None = None,
    ) -> Request:
        """A forward of this step, counted.

        Args:
            tokens: "n" what the model is to see; None = what it sees at this step.
            capture: attention wanted.
            suppress: further text tokens hidden from the model's attention.
            unconditional: also run the unconditional half; None = where guidance, or a product of experts, needs it.
            keep: keep the features for later steps.
            reuse: the features of an earlier step, and the cells to run.
        """
        config, step = self.phase
        if unconditional is None:
            unconditional = guidance_at(config, step) != 1.0 or (config.composition > 0 and len(self.run.prompt.subjects) > 1)
        self.passes += (1 + unconditional) * (1.0 if reuse is None else self._share(reuse.cells))
        return Request(
            tokens=self.seen_tokens() if tokens is None else tokens,
            step=step,
            num_steps=config.total_steps,
            conditioning=self.conditioning,
            text_length=len(self.run.prompt.tokens),
            unconditional=unconditional,
            capture=capture,
            suppress=tuple(sorted({*self.run.suppress, *suppress})) if suppress else self.run.suppress,
            hidden=None if self.sight is None else hidden_tokens(self.sight, self.run.prompt),
            keep=keep,
            reuse=reuse,
        )

    def _share(self, cells: np.ndarray) -> float:
        run = np.zeros(len(self.tokens), bool)
        run[cells] = True
        return cells_run(run, self.backend.info.grid, self.backend.info.attention_grid)

    def half(self) -> np.ndarray:
        """Every second cell, as on a chessboard: the black ones in even steps, the white ones in odd steps."""
        y, x = np.divmod(np.arange(len(self.tokens)), self.backend.info.grid[1])
        return (y + x + self.step) % 2 == 0
