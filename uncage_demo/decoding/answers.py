"""What the model answers in a step: its logits after all that is done to them, and the attention that was read.

What asks for further forwards is a generator of requests. Shapes: n image tokens, v codebook, k recorded text columns, l layers, h heads.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np
import torch

from uncage_demo.backends.base import Capture, ForwardOutput, Reuse
from uncage_demo.decoding.batching import Request
from uncage_demo.decoding.logits import away_from_weaker, composed, noise_amount, normal_noise
from uncage_demo.decoding.reuse import partial_steps_after, renewed
from uncage_demo.decoding.sample import Sample
from uncage_demo.decoding.tokens import TokenOpinion, apply_guidance, forbid_ids, guidance_at
from uncage_demo.orders.structure import likeness, structure_score


def own_forward(sample: Sample) -> Generator[Request, ForwardOutput, ForwardOutput]:
    """What the model says at a step of the whole grid, where a partial step runs its group's cells alone.

    Args:
        sample: at the step; what later partial steps draw on is kept in it.
    """
    yield from _recall(sample)
    if sample.partial:
        assert sample.whole is not None
        assert sample.group is not None
        cells = np.flatnonzero(sample.group)
        partial = yield sample.request(capture=sample.capture(), reuse=Reuse(sample.whole.features, cells))
        with torch.inference_mode():
            return renewed(sample.whole, partial, cells)
    keep = bool(partial_steps_after(sample.config, sample.step))
    output = yield sample.request(capture=sample.capture(), keep=keep)
    sample.whole, sample.group = (output if keep else None), None
    return output


def _recall(sample: Sample) -> Generator[Request, ForwardOutput, None]:
    """A run that is continued at a partial step asks once more what the model said at the whole one before it."""
    before = sample.start.whole
    if before is None or sample.step != sample.start.step:
        return
    earlier = replace(sample, tokens=np.array(before.tokens, np.int64), sight=before.sight, step=before.step)
    sample.whole = yield earlier.request(capture=earlier.capture(), keep=True)
    sample.group = before.group


def guided(sample: Sample, output: ForwardOutput) -> torch.Tensor:
    """Logits "n v" after classifier-free guidance."""
    return apply_guidance(output.cond[0], None if output.uncond is None else output.uncond[0], guidance_at(*sample.phase))


def step_logits(sample: Sample, output: ForwardOutput, masked: np.ndarray) -> Generator[Request, ForwardOutput, torch.Tensor]:
    """Logits "n v" of a step after everything that is done to them; asks for the further forwards that this takes.

    Args:
        sample: at the step.
        output: of the step's own forward.
        masked: "n" bool, when the step began.
    """
    config, step = sample.phase
    cond, weight = output.cond[0], config.self_guidance
    experts = []
    for others in _others_words(sample) if config.composition > 0 else ():
        one = yield sample.request(sample.seen_tokens(), suppress=others, unconditional=False)
        experts.append(one.cond[0])
    weaker = None
    if weight > 0 and not masked.all():
        hidden = np.where(~masked & sample.half(), -1, sample.tokens)
        weaker = (yield sample.request(hidden, unconditional=False)).cond[0]
    with torch.inference_mode():
        logits = guided(sample, output)
        if experts:
            assert output.uncond is not None
            logits = composed(cond, output.uncond[0], experts, guidance_at(config, step), config.composition)
        if weaker is not None:
            logits = away_from_weaker(logits, cond, weaker, weight)
        amount = noise_amount(config.logit_noise, step, config.total_steps)
        if amount > 0:
            noise = normal_noise(sample.config.seed, sample.step, (logits.shape[0], logits.shape[1]))
            logits = logits + amount * torch.from_numpy(noise).to(logits)
    return logits


def _others_words(sample: Sample) -> list[tuple[int, ...]]:
    """For each object of the prompt the text tokens of all others; nothing for a prompt of fewer than two."""
    prompt = sample.run.prompt
    own = [{t for group in s.groups for w in group for t in prompt.words[w].tokens} for s in prompt.subjects]
    return [tuple(sorted(set().union(*own) - mine)) for mine in own] if len(own) > 1 else []


def look_back(sample: Sample) -> Generator[Request, ForwardOutput, None]:
    """A run that is continued asks once more what the model said one step earlier, where differential sampling compares with it."""
    before = sample.start.before
    if sample.config.differential == 0 or sample.previous is not None or before is None or sample.step == 0:
        return
    earlier = replace(sample, tokens=np.array(before[0], np.int64), sight=before[1], step=sample.step - 1)
    output = yield earlier.request()
    logits = yield from step_logits(earlier, output, earlier.tokens < 0)
    sample.previous = TokenOpinion.from_logits(forbid_ids(logits, sample.start.forbid)).probabilities()


def structure_scores(
    sample: Sample, sampled: np.ndarray, likelihood: np.ndarray, masked: np.ndarray
) -> Generator[Request, ForwardOutput, np.ndarray]:
    """Scores "n" of a run that follows the structure of a picture; asks for attention within the picture that was just drawn.

    Args:
        sample: at the step.
        sampled: "n", what each cell holds or drew; likelihood: "n" float32, its log p.
        masked: "n" bool, when the step began.

    Source: 2302.05496 (MaskSketch), section 3.
    """
    origin, capture = sample.start.origin, Capture("all", full=True, image=True)
    assert origin is not None
    assert origin.strength is not None
    if sample.guide is None:
        read = yield sample.request(np.array(origin.guide, np.int64), capture, unconditional=False)
        assert read.attention_full is not None
        sample.guide = read.attention_full[0].float().cpu().numpy()
    drawn = yield sample.request(sampled, capture, unconditional=False)
    assert drawn.attention_full is not None
    alike = likeness(sample.guide, drawn.attention_full[0].float().cpu().numpy())
    return structure_score(alike, likelihood, masked | (sample.scheduled & ~sample.pinned), origin.strength)


def read_attention(sample: Sample, output: ForwardOutput) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Recorded columns "k n" and, on request, every layer and head "l h k n"."""
    if output.attention is None:
        return None, None
    attention = output.attention[0].float().cpu().numpy()
    if output.attention_full is not None:
        return attention, output.attention_full[0].float().cpu().numpy()
    return attention[list(sample.columns)], None
