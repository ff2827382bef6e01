"""What one step does: forward -> which token -> how many -> what is taken back -> where next -> commit.

Shapes: n image tokens (y x grid, row-major), v codebook, k recorded text columns. A masked position is -1.
"""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
import torch

from uncage_demo.backends.base import ForwardOutput
from uncage_demo.decoding.answers import look_back, own_forward, read_attention, step_logits, structure_scores
from uncage_demo.decoding.batching import Request
from uncage_demo.decoding.logits import entropy_temperature, grown
from uncage_demo.decoding.noise import gumbel, uniforms
from uncage_demo.decoding.order import noise_scale, select, weight_at
from uncage_demo.decoding.reuse import group_size
from uncage_demo.decoding.sample import Sample
from uncage_demo.decoding.schedule import leading_steps, stay_masked
from uncage_demo.decoding.taking_back import open_around_places, open_outdone, take_back
from uncage_demo.decoding.tokens import TokenOpinion, forbid_ids
from uncage_demo.orders.base import AttentionRead, StepContext
from uncage_demo.orders.counts import ENTROPY
from uncage_demo.orders.table import ORDERS, published_contrast
from uncage_demo.trace.record import StepRecord

Step = Generator[Request, ForwardOutput, StepRecord]


def advance(sample: Sample) -> Step:
    """Ask for the forwards of one step, take its decisions, commit, and tell what was done.

    Args:
        sample: between two steps; it is moved on.

    Yields:
        Requests, each to be answered with its ForwardOutput.

    Returns:
        The step's record.

    Raises:
        FloatingPointError: the model's logits are not finite.
    """
    config, step = sample.phase
    at, sight, masked = sample.step, sample.sight, sample.tokens < 0
    order = ORDERS[config.order]
    needs = frozenset(order.needs | ({"entropy"} if config.how_many == ENTROPY or config.entropy_heat > 0 else set()))
    first = at == sample.start.step
    sample.passes = 0.0
    yield from look_back(sample)
    output = yield from own_forward(sample)
    run = sample.group if sample.partial else None
    logits = yield from step_logits(sample, output, masked)
    with torch.inference_mode():
        opinion = TokenOpinion.from_logits(forbid_ids(logits, sample.start.forbid), masked if _masked_alone(sample, needs) else None)
        entropy = opinion.entropy() if sample.options.level == "full" or "entropy" in needs else None
        temperature = _temperature(sample, entropy)
        sampled = _choose_tokens(sample, opinion, temperature, masked, first)
        likelihood = opinion.confidence(sampled)
        confidence = np.where(masked, likelihood, np.float32(0))
        alternatives = opinion.top(sample.options.alternatives) if sample.options.level == "full" else (None, None)
        margin = opinion.margin() if "margin" in needs else None
    attention, attention_full = read_attention(sample, output)
    context = StepContext(
        step=step,
        num_steps=config.total_steps,
        masked=masked,
        confidence=confidence,
        noise=_noise(sample, masked, temperature),
        contrast=_contrast(sample, attention),
        weight=weight_at(config, step) if sample.words is not None else 0.0,
        margin=margin,
        entropy=entropy,
        rank=sample.rank,
    )
    every = order.score(context, config)
    if sample.sketched:
        every = yield from structure_scores(sample, sampled, likelihood, masked)
    scores = np.where(masked, every, np.float32(-np.inf)).astype(np.float32)
    stay = stay_masked(config, step, int(sample.scheduled.sum()), masked, scores, confidence, entropy)
    if sample.sketched:
        opened = open_outdone(sample, every, masked, stay)
    else:
        opened = yield from take_back(sample, masked, sampled, scores, likelihood, confidence, stay)
    committed, cutoff = _choose_positions(sample, scores, masked, int(masked.sum()) - stay + int((opened > 0).sum()), first)
    sample.tokens = np.where(opened > 0, -1, np.where(committed, sampled, sample.tokens))
    if sample.whole is not None and run is None:
        later = group_size(sample.config, at, int(sample.scheduled.sum()), int((sample.tokens < 0).sum()))
        sample.group = committed | select(scores, masked & ~committed, later)
    if sample.ends_draft:
        assert attention is not None
        opened = open_around_places(sample, attention)
    sample.step += 1
    keeps_attention = sample.options.level == "full" or sample.options.full_attention
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
        entropy=entropy if sample.options.level == "full" else None,
        sight=sight,
        reopened=opened if opened.any() else None,
        likelihood=np.where(masked, np.float32(0), likelihood) if revised else None,
        renewed=run,
        passes=sample.passes,
    )


def _masked_alone(sample: Sample, needs: frozenset[str]) -> bool:
    """Whether nothing asks what the model thinks of positions that hold a token: nothing records it, scores it or takes tokens back."""
    config = sample.config
    recorded = sample.options.level == "full" or sample.sketched
    return not (recorded or needs & {"entropy", "margin"} or config.revision is not None or config.differential > 0)


def _temperature(sample: Sample, entropy: np.ndarray | None) -> float | np.ndarray:
    """Of token sampling: one number, or one per position where it follows the entropy."""
    config = sample.config
    if config.entropy_heat == 0:
        return config.token_temperature
    assert entropy is not None
    return entropy_temperature(entropy, config.entropy_heat, config.entropy_decay, config.token_temperature)


def _choose_tokens(sample: Sample, opinion: TokenOpinion, temperature: float | np.ndarray, masked: np.ndarray, first: bool) -> np.ndarray:
    """Which token: x0 at masked positions, the committed id elsewhere."""
    drawn_from = opinion
    if sample.config.differential > 0:
        now, before = opinion.probabilities(), sample.previous
        sample.previous = now
        if before is not None:
            chances, rows = grown(now, before, masked, sample.config.differential)
            drawn_from = TokenOpinion.from_logits(chances.log()) if rows.any() else opinion
    drawn = drawn_from.sample(uniforms(sample.config.seed, sample.step, "token", len(masked)), temperature)
    sampled = np.where(masked, drawn, sample.tokens)
    if first:
        for position, token in sample.start.keep.items():
            sampled[position] = token
            sample.pinned[position] = True
    return sampled


def _choose_positions(sample: Sample, scores: np.ndarray, masked: np.ndarray, count: int, first: bool) -> tuple[np.ndarray, float]:
    """Where next: the `count` committed positions and the lowest score that won its place (inf when none did)."""
    forced, candidates = np.zeros_like(masked), masked
    if sample.partial:
        candidates = masked & sample.group
    if first:
        forced[list(sample.start.keep)] = True
        candidates = candidates.copy()
        candidates[list(sample.start.hold)] = False
    if sample.regions is not None and sample.step < leading_steps(sample.config):
        inside = candidates & sample.regions.any(axis=0)
        if inside.sum() >= count:
            candidates = inside
        else:
            forced |= inside
    committed = select(scores, candidates, count, forced, grid=sample.backend.info.grid, spacing=sample.config.spacing)
    earned = scores[committed & ~forced]
    return committed, float(earned.min()) if len(earned) else float("inf")


def _noise(sample: Sample, masked: np.ndarray, temperature: float | np.ndarray) -> np.ndarray:
    """F_g; where the temperature follows the entropy, it does so on this noise, too (2510.09012)."""
    scale = noise_scale(*sample.phase)
    if scale == 0:
        return sample.empty
    noise = np.float32(scale) * gumbel(sample.config.seed, sample.step, len(masked))
    heat = temperature.astype(np.float32) if isinstance(temperature, np.ndarray) else np.float32(1)
    return np.where(masked, heat * noise, np.float32(0))


def _contrast(sample: Sample, attention: np.ndarray | None) -> np.ndarray:
    if attention is None or sample.words is None:
        return sample.empty
    contrast = ORDERS[sample.config.order].contrast or published_contrast
    read = AttentionRead(attention, sample.words, sample.run.prompt.subjects, sample.backend.info.grid, sample.sigma)
    return contrast(read, sample.config)
