"""What a step takes back: the revision of the settings, and what a draft opens when it is full.

Shapes: n image tokens (y x grid, row-major), k recorded text columns.
"""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
import torch

from uncage_demo.backends.base import ForwardOutput
from uncage_demo.decoding.answers import guided
from uncage_demo.decoding.batching import Request
from uncage_demo.decoding.noise import uniforms
from uncage_demo.decoding.order import select
from uncage_demo.decoding.sample import Sample
from uncage_demo.decoding.sight import places_reopened
from uncage_demo.decoding.tokens import TokenOpinion
from uncage_demo.orders.revise import REASON_CODE, Committed
from uncage_demo.orders.structure import outdone


def take_back(
    sample: Sample,
    masked: np.ndarray,
    sampled: np.ndarray,
    scores: np.ndarray,
    likelihood: np.ndarray,
    confidence: np.ndarray,
    stay: int,
) -> Generator[Request, ForwardOutput, np.ndarray]:
    """What the settings' revision takes back, which may ask for a forward of its own.

    Args:
        sample: at the step, before anything is committed in it.
        masked: "n" bool, when the step began.
        sampled, scores: "n", what each position holds or drew, and the order's scores.
        likelihood: "n" float32, log p of what each position holds or drew.
        confidence: the same where masked, 0 elsewhere.
        stay: how many positions stay masked after the step.

    Returns:
        "n" uint8, the reason (a place in REASONS) of each cell that this step opens again, else 0.
    """
    opened = np.zeros(len(masked), np.uint8)
    config, step = sample.phase
    revision = config.revision
    if revision is None:
        return opened
    sample.likelihoods.append(np.where(masked, np.float32(np.nan), likelihood))
    held = ~masked & sample.scheduled & ~sample.pinned
    if not stay or not held.any():
        return opened
    left_out = None
    if revision.hides:
        hidden = held & sample.half()
        output = yield sample.request(np.where(hidden, -1, sample.tokens))
        with torch.inference_mode():
            found = TokenOpinion.from_logits(guided(sample, output)).confidence(np.maximum(sample.tokens, 0))
        left_out = np.where(hidden, found, np.float32(np.nan))
    elif revision.ahead:
        committed = select(scores, masked, int(masked.sum()) - stay)
        output = yield sample.request(np.where(committed, sampled, sample.tokens), unconditional=True)
        assert output.uncond is not None
        with torch.inference_mode():
            found = TokenOpinion.from_logits(output.uncond[0]).confidence(np.maximum(sample.tokens, 0))
        left_out = np.where(held, found, np.float32(np.nan))
    look = Committed(
        step=step,
        num_steps=config.total_steps,
        held=held,
        masked=masked,
        likelihood=likelihood,
        trust=mean_since_committed(sample.likelihoods),
        left_out=left_out,
        confidence=confidence,
        total=int(sample.scheduled.sum()),
        stay=stay,
        lots=uniforms(sample.config.seed, sample.step, "revise", len(masked)),
    )
    opened[revision.open(look, config.revision_strength)] = REASON_CODE[revision.reason]
    return opened


def open_around_places(sample: Sample, attention: np.ndarray) -> np.ndarray:
    """When the draft is full: mask everything but one place per object; what was given or kept by an edit stays.

    Args:
        sample: at the draft's last step, whose tokens, sight and schedule change.
        attention: "k n" of that step.

    Returns:
        "n" uint8, the reason of each cell that is opened, else 0.
    """
    info, config = sample.backend.info, sample.config
    assert sample.words is not None
    opened, sight = places_reopened(
        attention,
        sample.words,
        sample.run.prompt.subjects,
        own_words=config.redraws_by_own_words,
        grid=info.grid,
        sigma=sample.sigma,
        radius_frac=config.anchor_radius,
    )
    opened = np.where(sample.pinned, np.uint8(0), opened)
    sample.sight = sample.sight if sight is None or sample.regions is not None else sight
    sample.tokens = np.where(opened > 0, -1, sample.tokens)
    sample.scheduled = sample.tokens < 0
    return opened


def open_outdone(sample: Sample, scores: np.ndarray, masked: np.ndarray, stay: int) -> np.ndarray:
    """Of a run that follows the structure of a picture: "n" uint8, the reason of each committed cell that waiting ones outdo, else 0.

    Args:
        sample: at the step. scores: "n" of every cell. masked: "n" bool, when the step began. stay: how many stay masked.
    """
    held = ~masked & sample.scheduled & ~sample.pinned
    return np.where(outdone(scores, masked, held, stay), np.uint8(REASON_CODE["unlike"]), np.uint8(0))


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
