"""Randomness that depends only on (seed, step, position, purpose): a counter-based generator, read at fixed places.

No state is carried from step to step, so a sample comes out the same alone, in a batch, beside another order, on any
device, or resumed from step k. Position = index in the stream, so the first n values do not depend on n either.
"""

from __future__ import annotations

import threading

import numpy as np

# One number a purpose; never reuse one, traces recorded earlier depend on them.
PURPOSES = {"token": 1, "order": 2, "halton": 3, "start": 4, "revise": 5, "hitting": 6, "logits": 7}
_STEP_BITS = 32
_own = threading.local()


def uniforms(seed: int, step: int, purpose: str, count: int) -> np.ndarray:
    """Uniform numbers "n" float64 strictly between 0 and 1, one per position.

    Args:
        seed: 0..2**63-1; 0 is a seed like any other.
        step: 0-based s, 0..2**32-1.
        purpose: a key of PURPOSES; different purposes are independent streams.
        count: n, >= 0.

    Returns:
        (k + 1/2) / 2^52 with k the upper 52 bits of the i-th output of Philox-4x64 under the key (seed, purpose and step):
        never 0 and never 1, so that logarithms and inverse CDFs need no clamp.

    Raises:
        ValueError: a seed or step out of range, or an unknown purpose.

    Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3" (Philox).
    """
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed={seed!r}: give a whole number from 0 to 2**63-1")
    if not 0 <= step < 2**_STEP_BITS:
        raise ValueError(f"step={step!r}: give a whole number from 0 to 2**32-1")
    if purpose not in PURPOSES:
        raise ValueError(f"purpose={purpose!r}: choose one of {', '.join(PURPOSES)}")
    key = np.array([seed, (PURPOSES[purpose] << _STEP_BITS) | step], dtype=np.uint64)
    # random_raw, not Generator.random: only the raw stream is promised to stay the same between numpy versions.
    raw = _generator(key).random_raw(count)
    return ((raw >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def _generator(key: np.ndarray) -> np.random.Philox:
    """This thread's generator at the beginning of a key's stream; to make one anew takes five times as long."""
    if not hasattr(_own, "generator"):
        _own.generator = np.random.Philox(key=key)
        _own.state = _own.generator.state
    _own.state["state"]["key"] = key
    _own.generator.state = _own.state
    return _own.generator


def gumbel(seed: int, step: int, count: int) -> np.ndarray:
    """Gumbel(0, 1) noise "n" float32 of the order score, from float64 uniforms.

    Args:
        seed, step, count: as `uniforms`.

    Returns:
        -log(-log(u)), taken in float64: in float32 the tails would be cut off, which lowers the effective temperature.

    Source: 2508.05399 eq. 1; 2409.02908 (truncation).
    """
    return -np.log(-np.log(uniforms(seed, step, "order", count))).astype(np.float32)


def roll_offset(seed: int, count: int) -> int:
    """Per-sample offset 0..count-1 by which a randomised Halton list is rolled."""
    return int(uniforms(seed, 0, "halton", 1)[0] * count)


def random_start(seed: int, count: int, codebook_size: int, masked_share: float) -> np.ndarray:
    """What a one-step model sees: "n" int64 random tokens, of which a fixed number, at random positions, is masked (-1).

    Args:
        seed: as `uniforms`.
        count: n.
        codebook_size: v.
        masked_share: fraction that is masked, 0..1; rounded to a whole number of positions, at least 1.

    Source: 2503.15457 (Di[M]O), section 3.3.
    """
    tokens = (uniforms(seed, 0, "start", count) * codebook_size).astype(np.int64)
    order = np.argsort(uniforms(seed, 1, "start", count), kind="stable")
    tokens[order[: max(1, round(count * masked_share))]] = -1
    return tokens
