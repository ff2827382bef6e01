"""Which token, beyond guidance: what is done to the logits before a token is drawn. Pure functions; each leaves them alone at its neutral
setting, bit for bit.

Shapes: n positions, v codebook, o objects.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from uncage_demo.decoding.noise import uniforms

# What a probability that did not grow is set to before the rest is scaled to 1 (2411.10781).
LEAST_GROWTH = 1e-6


def composed(
    cond: Float[Tensor, "n v"], uncond: Float[Tensor, "n v"], each: Sequence[Float[Tensor, "n v"]], scale: float, share: float
) -> Float[Tensor, "n v"]:
    """Guidance by a product of experts, one for each object: l = u + g ((1 - w)(c - u) + w sum_i (c_i - u)).

    Args:
        cond, uncond: logits with the whole prompt and without any.
        each: logits that read one object's words only, one tensor per object.
        scale: g.
        share: w, 0..1; 0 is classifier-free guidance, 1 the product alone.

    Source: 2604.05730 (log p = log p_u + sum_i w_i (log p_i - log p_u)).
    """
    uncond = uncond.float()
    experts = sum((one.float() - uncond for one in each), torch.zeros_like(uncond))
    return uncond + scale * ((1 - share) * (cond.float() - uncond) + share * experts)


def away_from_weaker(logits: Float[Tensor, "n v"], cond: Float[Tensor, "n v"], weaker: Float[Tensor, "n v"], weight: float) -> Tensor:
    """Self-guidance: l + w (c - c'), where c' is the same model's answer with a part of what is committed hidden from it.

    Args:
        logits: after guidance. cond: c.
        weaker: c'.
        weight: w, >= 0.

    Source: 2410.13136 guides away from a weaker answer of the same model; its weaker answer needs a trained adapter, this one none.
    """
    return logits + weight * (cond.float() - weaker.float())


def normal_noise(seed: int, step: int, shape: tuple[int, int]) -> Float[np.ndarray, "n v"]:
    """Standard normal numbers "n v" float32 that depend on seed and step only (Box and Muller, from float64 uniforms)."""
    count = shape[0] * shape[1]
    half = -(-count // 2)
    first, second = uniforms(seed, step, "logits", 2 * half).reshape(2, half)
    size, angle = np.sqrt(-2 * np.log(first)), 2 * np.pi * second
    return np.concatenate([size * np.cos(angle), size * np.sin(angle)])[:count].reshape(shape).astype(np.float32)


def noise_amount(amount: float, step: int, num_steps: int) -> float:
    """Noise regularisation at a step: amount |cos(pi s / (T - 1))|, so full at both ends and none in the middle.

    Source: 2411.10781 (amount 2).
    """
    return amount * abs(math.cos(math.pi * step / (num_steps - 1))) if num_steps > 1 else amount


def grown(
    now: Float[Tensor, "n v"], before: Float[Tensor, "n v"], masked: Bool[np.ndarray, " n"], share: float
) -> tuple[Float[Tensor, "n v"], Bool[np.ndarray, " n"]]:
    """Differential sampling: where the model's opinion changed least since the last step, draw from what grew: norm(clip(p_t - p_(t-1))).

    Args:
        now, before: probabilities, float32.
        masked: "n" bool; others are left alone.
        share: of the masked positions, those of the lowest KL divergence of now from before, 0..1.

    Returns:
        Probabilities "n v", and "n" bool which rows are new.

    Source: 2411.10781.
    """
    divergence = torch.special.xlogy(now, now / before.clamp_min(1e-30)).sum(-1).double().cpu().numpy()
    cells = np.flatnonzero(masked)
    chosen = cells[np.argsort(divergence[cells], kind="stable")[: round(share * len(cells))]]
    rows = np.zeros(len(masked), bool)
    rows[chosen] = True
    where = torch.from_numpy(rows).to(now.device)[:, None]
    growth = (now - before).clamp_min(LEAST_GROWTH)
    return torch.where(where, growth / growth.sum(-1, keepdim=True), now), rows


def entropy_temperature(entropy: Float[np.ndarray, " n"], heat: float, decay: float, base: float) -> Float[np.ndarray, " n"]:
    """Temperature of each position: T = T0 exp(-H / alpha) + theta, so that sure positions are drawn with more freedom.

    Args:
        entropy: H, "n", nats.
        heat: T0, >= 0; decay: alpha, > 0; base: theta, >= 0.

    Source: 2510.09012.
    """
    return heat * np.exp(-entropy.astype(np.float64) / decay) + base
