"""One sample between two steps, and what a step does: forward -> which token -> how many -> what is taken back -> where next -> commit.

Shapes: n image tokens (y x grid, row-major), v codebook, k recorded text columns. A masked position is -1.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from uncage_demo.backends.base import Backend, Capture, ForwardOutput
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.batching import Request
from uncage_demo.decoding.logits import away_from_weaker, composed, entropy_temperature, grown, noise_amount, normal_noise
from uncage_demo.decoding.noise import gumbel, random_start, roll_offset, uniforms
from uncage_demo.decoding.order import noise_scale, select, weight_at
from uncage_demo.decoding.redraw import phase_at
from uncage_demo.decoding.run import RecordOptions, Run, Start, recorded_columns, resolve
from uncage_demo.decoding.schedule import leading_steps, stay_masked
from uncage_demo.decoding.sight import hidden_tokens, places_reopened
from uncage_demo.decoding.tokens import TokenOpinion, apply_guidance, forbid_ids, guidance_at
from uncage_demo.orders.base import AttentionRead, StepContext
from uncage_demo.orders.contrast import blur_in_cells, untokenized_words, word_matrix
from uncage_demo.orders.counts import ENTROPY
from uncage_demo.orders.halton import visiting_rank
from uncage_demo.orders.revise import REASON_CODE, Committed
from uncage_demo.orders.table import ORDERS, published_contrast
from uncage_demo.trace.origin import region_cells, region_sight
from uncage_demo.trace.record import StepRecord

Step = Generator[Request, ForwardOutput, StepRecord]


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
        previous: "n v" probabilities of the step before, where differential sampling compares with them.
        passes: of the network, for one sample, in the step at hand; a guided forward takes two.
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
    previous: torch.Tensor | None = None
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
    ) -> Request:
        """A forward of this step, counted.

        Args:
            tokens: "n" what the model is to see; None = what it sees at this step.
            capture: attention wanted.
            suppress: further text tokens hidden from the model's attention.
            unconditional: also run the unconditional half; None = where guidance, or a product of experts, needs it.
        """
        config, step = self.phase
        if unconditional is None:
            unconditional = guidance_at(config, step) != 1.0 or (config.composition > 0 and len(self.run.prompt.subjects) > 1)
        self.passes += 1 + unconditional
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
        )

    def advance(self) -> Step:
        """Ask for the forwards of one step, take its decisions, commit, and tell what was done."""
        config, step = self.phase
        at, sight, masked = self.step, self.sight, self.tokens < 0
        order = ORDERS[config.order]
        needs = order.needs | ({"entropy"} if config.how_many == ENTROPY or config.entropy_heat > 0 else set())
        first = at == self.start.step
        self.passes = 0.0
        yield from self._look_back()
        output = yield self.request(capture=self.capture())
        logits = yield from self._logits(output, masked)
        with torch.inference_mode():
            opinion = TokenOpinion.from_logits(forbid_ids(logits, self.start.forbid))
            entropy = opinion.entropy() if self.options.level == "full" or "entropy" in needs else None
            temperature = self._temperature(entropy)
            sampled = self._choose_tokens(opinion, temperature, masked, first)
            likelihood = opinion.confidence(sampled)
            confidence = np.where(masked, likelihood, np.float32(0))
            alternatives = opinion.top(self.options.alternatives) if self.options.level == "full" else (None, None)
            margin = opinion.margin() if "margin" in needs else None
        attention, attention_full = self._read_attention(output)
        context = StepContext(
            step=step,
            num_steps=config.total_steps,
            masked=masked,
            confidence=confidence,
            noise=self._noise(masked, temperature),
            contrast=self._contrast(attention),
            weight=weight_at(config, step) if self.words is not None else 0.0,
            margin=margin,
            entropy=entropy,
            rank=self.rank,
        )
        scores = np.where(masked, order.score(context, config), np.float32(-np.inf)).astype(np.float32)
        stay = stay_masked(config, step, int(self.scheduled.sum()), masked, scores, confidence, entropy)
        opened = yield from self._take_back(masked, likelihood, confidence, stay)
        committed, cutoff = self._choose_positions(scores, masked, int(masked.sum()) - stay + int((opened > 0).sum()), first)
        self.tokens = np.where(opened > 0, -1, np.where(committed, sampled, self.tokens))
        if self.ends_draft:
            assert attention is not None
            opened = self._open_around_places(attention)
        self.step += 1
        keeps_attention = self.options.level == "full" or self.options.full_attention
        revised = config.revision is not None
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
            reopened=opened if opened.any() else None,
            likelihood=np.where(masked, np.float32(0), likelihood) if revised else None,
            passes=self.passes,
        )

    def _guided(self, output: ForwardOutput) -> torch.Tensor:
        """Logits "n v" after classifier-free guidance."""
        return apply_guidance(output.cond[0], None if output.uncond is None else output.uncond[0], guidance_at(*self.phase))

    def _logits(self, output: ForwardOutput, masked: np.ndarray) -> Generator[Request, ForwardOutput, torch.Tensor]:
        """Logits "n v" of a step after everything that is done to them; asks for the further forwards that this takes."""
        config, step = self.phase
        cond, weight = output.cond[0], config.self_guidance
        experts = []
        for others in self._others_words() if config.composition > 0 else ():
            one = yield self.request(self.seen_tokens(), suppress=others, unconditional=False)
            experts.append(one.cond[0])
        weaker = None
        if weight > 0 and not masked.all():
            hidden = np.where(~masked & self._half(), -1, self.tokens)
            weaker = (yield self.request(hidden, unconditional=False)).cond[0]
        with torch.inference_mode():
            logits = self._guided(output)
            if experts:
                assert output.uncond is not None
                logits = composed(cond, output.uncond[0], experts, guidance_at(config, step), config.composition)
            if weaker is not None:
                logits = away_from_weaker(logits, cond, weaker, weight)
            amount = noise_amount(config.logit_noise, step, config.total_steps)
            if amount > 0:
                noise = normal_noise(self.config.seed, self.step, (logits.shape[0], logits.shape[1]))
                logits = logits + amount * torch.from_numpy(noise).to(logits)
        return logits

    def _others_words(self) -> list[tuple[int, ...]]:
        """For each object of the prompt the text tokens of all others; nothing for a prompt of fewer than two."""
        prompt = self.run.prompt
        own = [{t for group in s.groups for w in group for t in prompt.words[w].tokens} for s in prompt.subjects]
        return [tuple(sorted(set().union(*own) - mine)) for mine in own] if len(own) > 1 else []

    def _look_back(self) -> Generator[Request, ForwardOutput, None]:
        """A run that is continued asks once more what the model said one step earlier, where differential sampling compares with it."""
        before = self.start.before
        if self.config.differential == 0 or self.previous is not None or before is None or self.step == 0:
            return
        earlier = replace(self, tokens=np.array(before[0], np.int64), sight=before[1], step=self.step - 1)
        output = yield earlier.request()
        logits = yield from earlier._logits(output, earlier.tokens < 0)
        self.previous = TokenOpinion.from_logits(forbid_ids(logits, self.start.forbid)).probabilities()

    def _temperature(self, entropy: np.ndarray | None) -> float | np.ndarray:
        """Of token sampling: one number, or one per position where it follows the entropy."""
        config = self.config
        if config.entropy_heat == 0:
            return config.token_temperature
        assert entropy is not None
        return entropy_temperature(entropy, config.entropy_heat, config.entropy_decay, config.token_temperature)

    def _choose_tokens(self, opinion: TokenOpinion, temperature: float | np.ndarray, masked: np.ndarray, first: bool) -> np.ndarray:
        """Which token: x0 at masked positions, the committed id elsewhere."""
        drawn_from = opinion
        if self.config.differential > 0:
            now, before = opinion.probabilities(), self.previous
            self.previous = now
            if before is not None:
                chances, rows = grown(now, before, masked, self.config.differential)
                drawn_from = TokenOpinion.from_logits(chances.log()) if rows.any() else opinion
        drawn = drawn_from.sample(uniforms(self.config.seed, self.step, "token", len(masked)), temperature)
        sampled = np.where(masked, drawn, self.tokens)
        if first:
            for position, token in self.start.keep.items():
                sampled[position] = token
                self.pinned[position] = True
        return sampled

    def _choose_positions(self, scores: np.ndarray, masked: np.ndarray, count: int, first: bool) -> tuple[np.ndarray, float]:
        """Where next: the `count` committed positions and the lowest score that won its place (inf when none did)."""
        forced, candidates = np.zeros_like(masked), masked
        if first:
            forced[list(self.start.keep)] = True
            candidates = masked.copy()
            candidates[list(self.start.hold)] = False
        if self.regions is not None and self.step < leading_steps(self.config):
            inside = candidates & self.regions.any(axis=0)
            if inside.sum() >= count:
                candidates = inside
            else:
                forced |= inside
        committed = select(scores, candidates, count, forced, grid=self.backend.info.grid, spacing=self.config.spacing)
        earned = scores[committed & ~forced]
        return committed, float(earned.min()) if len(earned) else float("inf")

    def _take_back(
        self, masked: np.ndarray, likelihood: np.ndarray, confidence: np.ndarray, stay: int
    ) -> Generator[Request, ForwardOutput, np.ndarray]:
        """What is taken back: "n" uint8, the reason (a place in REASONS) of each cell that this step opens again, else 0."""
        opened = np.zeros(len(masked), np.uint8)
        config, step = self.phase
        revision = config.revision
        if revision is None:
            return opened
        self.likelihoods.append(np.where(masked, np.float32(np.nan), likelihood))
        held = ~masked & self.scheduled & ~self.pinned
        if not stay or not held.any():
            return opened
        left_out = None
        if revision.hides:
            hidden = held & self._half()
            output = yield self.request(np.where(hidden, -1, self.tokens))
            with torch.inference_mode():
                found = TokenOpinion.from_logits(self._guided(output)).confidence(np.maximum(self.tokens, 0))
            left_out = np.where(hidden, found, np.float32(np.nan))
        look = Committed(
            step=step,
            num_steps=config.total_steps,
            held=held,
            masked=masked,
            likelihood=likelihood,
            trust=mean_since_committed(self.likelihoods),
            left_out=left_out,
            confidence=confidence,
            total=int(self.scheduled.sum()),
            stay=stay,
            lots=uniforms(self.config.seed, self.step, "revise", len(masked)),
        )
        opened[revision.open(look, config.revision_strength)] = REASON_CODE[revision.reason]
        return opened

    def _half(self) -> np.ndarray:
        """Every second cell, as on a chessboard: the black ones in even steps, the white ones in odd steps."""
        y, x = np.divmod(np.arange(len(self.tokens)), self.backend.info.grid[1])
        return (y + x + self.step) % 2 == 0

    def _open_around_places(self, attention: np.ndarray) -> np.ndarray:
        """When the draft is full: mask everything but one place per object; what was given or kept by an edit stays."""
        info, config = self.backend.info, self.config
        assert self.words is not None
        opened, sight = places_reopened(
            attention,
            self.words,
            self.run.prompt.subjects,
            own_words=config.redraws_by_own_words,
            grid=info.grid,
            sigma=self.sigma,
            radius_frac=config.anchor_radius,
        )
        opened = np.where(self.pinned, np.uint8(0), opened)
        self.sight = self.sight if sight is None or self.regions is not None else sight
        self.tokens = np.where(opened > 0, -1, self.tokens)
        self.scheduled = self.tokens < 0
        return opened

    def _noise(self, masked: np.ndarray, temperature: float | np.ndarray) -> np.ndarray:
        """F_g; where the temperature follows the entropy, it does so on this noise, too (2510.09012)."""
        scale = noise_scale(*self.phase)
        if scale == 0:
            return self.empty
        noise = np.float32(scale) * gumbel(self.config.seed, self.step, len(masked))
        heat = temperature.astype(np.float32) if isinstance(temperature, np.ndarray) else np.float32(1)
        return np.where(masked, heat * noise, np.float32(0))

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


def mean_since_committed(rows: list[np.ndarray]) -> np.ndarray:
    """Mean over the newest rows of each cell back to the last one where it was masked: "n" float32; 0 for a cell that is masked now.

    Args:
        rows: "n" float32 each, oldest first, NaN where masked.
    """
    total, count = np.zeros(len(rows[-1]), np.float64), np.zeros(len(rows[-1]))
    there = np.ones(len(rows[-1]), bool)
    for row in reversed(rows):
        there &= ~np.isnan(row)
        if not there.any():
            break
        total += np.where(there, row, 0)
        count += there
    return np.divide(total, count, out=np.zeros_like(total), where=count > 0).astype(np.float32)
