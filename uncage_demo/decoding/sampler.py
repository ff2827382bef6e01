"""The decoding loop: forward -> which token -> how many -> where next -> commit, as an iterator of StepRecords. Nothing else.

Shapes: n image tokens (y x grid, row-major), v codebook, k recorded text columns. A masked position is -1.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from uncage_demo.backends.base import Backend, Capture, ForwardOutput
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.batching import Request, forward_all
from uncage_demo.decoding.noise import gumbel, random_start, roll_offset, uniforms
from uncage_demo.decoding.order import noise_scale, select, weight_at
from uncage_demo.decoding.redraw import kept_cells, object_places, phase_at
from uncage_demo.decoding.run import RecordOptions, Run, Start, recorded_columns, resolve
from uncage_demo.decoding.schedule import mask_count
from uncage_demo.decoding.sight import doubtful_objects, hidden_tokens, own_sight
from uncage_demo.decoding.tokens import TokenOpinion, apply_guidance, forbid_ids, guidance_at
from uncage_demo.orders.base import AttentionRead, StepContext
from uncage_demo.orders.contrast import blur_in_cells, untokenized_words, word_matrix
from uncage_demo.orders.halton import visiting_rank
from uncage_demo.orders.table import ORDERS, published_contrast
from uncage_demo.trace.origin import region_cells, region_sight
from uncage_demo.trace.record import StepRecord

# Where objects have regions, the first one of so many draft steps commits cells of the regions only, as long as there are enough.
LEADING_SHARE = 4

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
    states = [_begin(backend, run, options, conditionings) for run in runs]
    latest: list[StepRecord | None] = [None] * len(states)
    while any(not state.finished for state in states):
        active = [i for i, state in enumerate(states) if not state.finished]
        began = time.perf_counter()
        outputs = forward_all(backend, [states[i].request() for i in active])
        if timings_s is not None:
            timings_s["forward"] = timings_s.get("forward", 0.0) + time.perf_counter() - began
        for i, output in zip(active, outputs, strict=True):
            latest[i] = states[i].advance(output)
        yield [one for one in latest if one is not None]


def _begin(backend: Backend, run: Run, options: RecordOptions, conditionings: dict[Any, Any]) -> _State:
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
    return _State(
        backend=backend,
        run=run,
        config=config,
        options=options,
        conditioning=conditionings[text],
        start=start,
        tokens=tokens,
        step=start.step,
        num_scheduled=int(scheduled.sum()),
        pinned=given,
        columns=columns,
        words=word_matrix(run.prompt, columns) if readable else None,
        rank=rank,
        sight=region_sight(regions) if regions is not None and start.sight is None else start.sight,
        regions=regions,
    )


@dataclass
class _State:
    """One run between two steps."""

    backend: Backend
    run: Run
    config: DecodingConfig
    options: RecordOptions
    conditioning: Any
    start: Start
    tokens: np.ndarray
    step: int
    num_scheduled: int
    pinned: np.ndarray
    columns: tuple[int, ...]
    words: np.ndarray | None
    rank: np.ndarray | None
    sight: np.ndarray | None = None
    regions: np.ndarray | None = None
    empty: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.empty = np.zeros(len(self.tokens), np.float32)
        self.empty.flags.writeable = False  # one array serves every record that has nothing to say here

    @property
    def finished(self) -> bool:
        return self.step >= self.config.total_steps

    @property
    def phase(self) -> tuple[DecodingConfig, int]:
        """Settings and step in force: the whole run's, or those of its draft or redraw."""
        return phase_at(self.config, self.step)

    @property
    def ends_draft(self) -> bool:
        return self.config.redrawn_steps > 0 and self.step == self.config.draft_steps - 1

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

    def request(self) -> Request:
        capture = None
        if self.captures:
            # All columns, not just those recorded: what a column's numbers are must not depend on which others are wanted.
            columns = self.columns if self.options.full_attention else None
            capture = Capture(self.config.attention_source, columns, self.options.full_attention)
        config, step = self.phase
        return Request(
            tokens=self.seen_tokens(),
            step=step,
            num_steps=config.total_steps,
            conditioning=self.conditioning,
            text_length=len(self.run.prompt.tokens),
            unconditional=guidance_at(config, step) != 1.0,
            capture=capture,
            suppress=self.run.suppress,
            hidden=None if self.sight is None else hidden_tokens(self.sight, self.run.prompt),
        )

    def advance(self, output: ForwardOutput) -> StepRecord:
        """Take the three decisions of one step, commit, and tell what was done."""
        config, step = self.phase
        at = self.step
        order = ORDERS[config.order]
        first = at == self.start.step
        sight = self.sight
        masked = self.tokens < 0
        with torch.inference_mode():
            logits = apply_guidance(output.cond[0], None if output.uncond is None else output.uncond[0], guidance_at(config, step))
            sampled, opinion = self._choose_tokens(forbid_ids(logits, self.start.forbid), masked, first)
            confidence = np.where(masked, opinion.confidence(sampled), np.float32(0))
            entropy = opinion.entropy() if self.options.level == "full" or "entropy" in order.needs else None
            alternatives = opinion.top(self.options.alternatives) if self.options.level == "full" else (None, None)
            margin = opinion.margin() if "margin" in order.needs else None
        attention, attention_full = self._read_attention(output)
        context = StepContext(
            step=step,
            num_steps=config.total_steps,
            masked=masked,
            confidence=confidence,
            noise=self._noise(masked),
            contrast=self._contrast(attention),
            weight=weight_at(config, step) if self.words is not None else 0.0,
            margin=margin,
            entropy=entropy,
            rank=self.rank,
        )
        scores = np.where(masked, order.score(context, config), np.float32(-np.inf)).astype(np.float32)
        committed, cutoff = self._choose_positions(scores, masked, first)
        self.tokens = np.where(committed, sampled, self.tokens)
        if self.ends_draft:
            assert attention is not None
            self._open_again(attention)
        self.step += 1
        keeps_attention = self.options.level == "full" or self.options.full_attention
        return StepRecord(
            step=at,
            sampled=sampled.astype(np.int32),
            committed=committed,
            masked_before=masked,
            confidence=confidence,
            noise=context.noise,
            contrast=context.contrast,
            weight=context.weight,
            scores=scores,
            cutoff=cutoff,
            attention=attention if keeps_attention else None,
            attention_full=attention_full,
            alternatives=alternatives[0],
            alternative_probs=alternatives[1],
            entropy=entropy if self.options.level == "full" else None,
            sight=sight,
        )

    def _choose_tokens(self, logits: torch.Tensor, masked: np.ndarray, first: bool) -> tuple[np.ndarray, TokenOpinion]:
        """Which token: x0 at masked positions, the committed id elsewhere."""
        opinion = TokenOpinion.from_logits(logits)
        drawn = opinion.sample(uniforms(self.config.seed, self.step, "token", len(masked)), self.config.token_temperature)
        sampled = np.where(masked, drawn, self.tokens)
        if first:
            for position, token in self.start.keep.items():
                sampled[position] = token
                self.pinned[position] = True
        return sampled, opinion

    def _choose_positions(self, scores: np.ndarray, masked: np.ndarray, first: bool) -> tuple[np.ndarray, float]:
        """How many and where next: the committed positions and the lowest score that won its place (inf when none did)."""
        num_masked = int(masked.sum())
        config, step = self.phase
        stay = mask_count(config.mask_schedule, step, config.total_steps, self.num_scheduled, num_masked, config.schedule_power)
        forced, candidates = np.zeros_like(masked), masked
        if first:
            forced[list(self.start.keep)] = True
            candidates = masked.copy()
            candidates[list(self.start.hold)] = False
        if self.regions is not None and self.step < max(1, self.config.draft_steps // LEADING_SHARE):
            inside = candidates & self.regions.any(axis=0)
            if inside.sum() >= num_masked - stay:
                candidates = inside
            else:
                forced |= inside
        committed = select(scores, candidates, num_masked - stay, forced)
        earned = scores[committed & ~forced]
        return committed, float(earned.min()) if len(earned) else float("inf")

    def _open_again(self, attention: np.ndarray) -> None:
        """Mask everything but one place an object; what was given from outside or kept by an edit stays."""
        info, config = self.backend.info, self.config
        assert self.words is not None
        subjects = self.run.prompt.subjects
        # Whose place it is, nouns alone tell where the words are to be hidden: attention to colours may be what is wrong.
        named = [replace(subject, attributes=()) for subject in subjects] if config.redraws_by_own_words else subjects
        places = object_places(
            attention,
            self.words,
            named,
            grid=info.grid,
            sigma=self.sigma,
            radius_frac=config.anchor_radius,
        )
        kept = kept_cells(*places, info.grid)
        if config.redraws_by_own_words:
            if self.regions is None:
                self.sight = own_sight(kept, places[1], info.grid)
            maps = self.words @ attention.astype(np.float64)
            kept = np.delete(kept, doubtful_objects(maps, kept, subjects), axis=0)
        self.tokens = np.where(kept.any(axis=0) | self.pinned, self.tokens, -1)
        self.num_scheduled = int((self.tokens < 0).sum())

    def _noise(self, masked: np.ndarray) -> np.ndarray:
        scale = noise_scale(*self.phase)
        if scale == 0:
            return self.empty
        return np.where(masked, np.float32(scale) * gumbel(self.config.seed, self.step, len(masked)), np.float32(0))

    def _contrast(self, attention: np.ndarray | None) -> np.ndarray:
        if attention is None or self.words is None:
            return self.empty
        contrast = ORDERS[self.config.order].contrast or published_contrast
        read = AttentionRead(attention, self.words, self.run.prompt.subjects, self.backend.info.grid, self.sigma)
        return contrast(read, self.config)

    def _read_attention(self, output: ForwardOutput) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Recorded columns "k n" and, on request, every layer and head "l h k n"."""
        if output.attention is None:
            return None, None
        attention = output.attention[0].float().cpu().numpy()
        if output.attention_full is not None:
            return attention, output.attention_full[0].float().cpu().numpy()
        return attention[list(self.columns)], None
