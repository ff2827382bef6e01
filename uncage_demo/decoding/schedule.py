"""How many: the number of positions that stay masked after each step, by the schedule or by what the model says.

T = num_steps, s = 0-based step, N = number of positions the schedule counts over (those masked when decoding began).
"""

from __future__ import annotations

import math

import numpy as np

from uncage_demo.config import SCHEDULE_NAMES, DecodingConfig
from uncage_demo.decoding.noise import uniforms
from uncage_demo.orders import counts

# floor() of a value that is whole in exact arithmetic (N/2 at cos(pi/3)) must not depend on the last bit of the platform's cosine.
_WHOLE_NUMBER_SLACK = 1e-9
# Where objects have regions, the first one of so many draft steps commits cells of the regions only, as long as there are enough.
LEADING_SHARE = 4


def leading_steps(config: DecodingConfig) -> int:
    """How many of a run's first steps commit cells of regions before any other, where objects have regions."""
    return max(1, config.draft_steps // LEADING_SHARE)


def scheduled_masked(schedule: str, step: int, num_steps: int, num_tokens: int, power: float = 2.0) -> int:
    """What a schedule asks to stay masked after a step, before the limits that every step obeys (see `mask_count`).

    Args:
        schedule: "cosine" floor(N cos(pi/2 (s+1)/T)), "linear" floor(N (1 - (s+1)/T)), "power" floor(N (1 - ((s+1)/T)^power)),
            "arccos" N - max(s+1, floor(N (1 - 2/pi arccos((s+1)/T)))), or "cosine_float32" and "linear_float32": the first two
            rounded to float32 after every operation, as the schedulers of Meissonic and aMUSEd compute them.
        step: s, 0..T-1.
        num_steps: T, >= 1.
        num_tokens: N, >= 0.
        power: exponent of "power", > 0.

    Returns:
        A count; may be negative for "arccos" with more steps than tokens.

    Raises:
        ValueError: unknown schedule, or a step outside 0..T-1.

    Source: MaskGIT 2202.04200 section 3.2 (cosine, linear, power); 2503.17076 (arccos); diffusers AmusedScheduler (float32).
    """
    if schedule not in SCHEDULE_NAMES:
        raise ValueError(f"schedule={schedule!r}: choose one of {', '.join(SCHEDULE_NAMES)}")
    if num_steps < 1 or not 0 <= step < num_steps:
        raise ValueError(f"step={step}: allowed are 0..{num_steps - 1} for num_steps={num_steps}")
    done = step + 1
    if schedule == "linear":
        return num_tokens * (num_steps - done) // num_steps
    if schedule.endswith("_float32"):
        return _count_in_float32(schedule, done, num_steps, num_tokens)
    ratio = done / num_steps
    if schedule == "cosine":
        return _floor(num_tokens * math.cos(math.pi / 2 * ratio))
    if schedule == "power":
        return _floor(num_tokens * (1.0 - ratio**power))
    return num_tokens - max(done, _floor(num_tokens * (1.0 - 2.0 / math.pi * math.acos(ratio))))


def mask_count(schedule: str, step: int, num_steps: int, num_tokens: int, num_masked: int, power: float = 2.0) -> int:
    """Number of positions that stay masked after a step: m = max(1, min(num_masked - 1, scheduled)); 0 after the last step.

    Args:
        schedule: one of config.SCHEDULE_NAMES.
        step: s, 0..T-1.
        num_steps: T, >= 1.
        num_tokens: N, the positions the schedule counts over.
        num_masked: positions still masked when the step begins, 0..; 0 stays 0.
        power: exponent of the "power" schedule.

    Returns:
        0..num_masked; the step commits num_masked minus this. A single remaining position waits for the last step.

    Raises:
        ValueError: unknown schedule, a step outside 0..T-1, or negative counts.

    Source: MaskGIT 2202.04200; Meissonic src/scheduler.py (the limits).
    """
    if num_tokens < 0 or num_masked < 0:
        raise ValueError(f"num_tokens={num_tokens}, num_masked={num_masked}: counts must be >= 0")
    scheduled = scheduled_masked(schedule, step, num_steps, num_tokens, power)
    if step == num_steps - 1 or num_masked == 0:
        return 0
    return max(1, min(num_masked - 1, scheduled))


def stay_masked(
    config: DecodingConfig,
    step: int,
    total: int,
    masked: np.ndarray,
    scores: np.ndarray,
    confidence: np.ndarray,
    entropy: np.ndarray | None,
) -> int:
    """Number of positions that stay masked after a step, however it is decided (DecodingConfig.how_many).

    Args:
        config: settings of the phase; step: s within it.
        total: positions that the schedule counts over.
        masked: "n" bool, when the step begins.
        scores: "n" float32 of the order; confidence: "n" float32 log p of the drawn tokens.
        entropy: "n" float32, nats; needed by how_many="entropy" only.

    Source: 2202.04200 (schedule); 2505.24857 (entropy budget); 2409.02908 (first hitting).
    """
    num_masked, steps = int(masked.sum()), config.total_steps
    if config.how_many == counts.SCHEDULED:
        return mask_count(config.mask_schedule, step, steps, total, num_masked, config.schedule_power)
    if step == steps - 1 or num_masked == 0:
        return 0
    if config.how_many == counts.HITTING:
        levels = counts.hitting_levels(uniforms(config.seed, 0, "hitting", total))
        waiting = int((levels < scheduled_share(config.mask_schedule, step, steps, config.schedule_power)).sum())
        return min(num_masked, waiting)
    if config.how_many == counts.ENTROPY:
        assert entropy is not None
        wanted = counts.within_entropy(scores, entropy, masked, config.entropy_budget)
    else:
        wanted = counts.above_threshold(confidence, masked, config.confidence_threshold)
    return max(0, num_masked - max(wanted, counts.least(num_masked, step, steps)))


def scheduled_share(schedule: str, step: int, num_steps: int, power: float = 2.0) -> float:
    """Share 0..1 of the positions that a schedule wants masked after a step, before it is rounded to a whole number of them.

    Args:
        schedule, step, num_steps, power: as `scheduled_masked`; the "float32" schedules have the share of the exact ones.
    """
    fine = 1 << 30
    return scheduled_masked(schedule.removesuffix("_float32"), step, num_steps, fine, power) / fine


def _count_in_float32(schedule: str, done: int, num_steps: int, num_tokens: int) -> int:
    """A count as float32 gives it: N/2 at two thirds of the steps falls one short, because float32 has no exact third."""
    ratio = np.float32(done) / np.float32(num_steps)
    if schedule == "linear_float32":
        share = np.float32(1) - ratio
    else:
        angle = ratio * np.float32(math.pi) / np.float32(2)
        share = np.float32(math.cos(float(angle)))  # correctly rounded, so that the count is the same on every machine
    return math.floor(np.float32(num_tokens) * share)


def _floor(value: float) -> int:
    return math.floor(value + _WHOLE_NUMBER_SLACK)
