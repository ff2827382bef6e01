"""Which token: guidance, forbidden ids, sampling, and what the model thought of every position.

Works on the logits of one sample, "n v" (n positions, v codebook). Knows nothing of orders, schedules or pictures.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int32, Int64
from torch import Tensor
from torch.nn import functional as F

from uncage_demo.config import DecodingConfig

# Rows of the float64 CDF held at once: bounds memory at 64x64 positions x 8,192 codes to 64 MB.
_CDF_ROWS = 1024
_LOG_OF_NOTHING = -1e4
# Weights below e^-87 are denormal numbers, or next to them: their exponential takes twenty times as long as that of others.
_LOG_OF_LEAST, _LEAST = -87.0, 1.7e-38


def guidance_at(config: DecodingConfig, step: int) -> float:
    """Guidance scale g in force at a step: constant, or a ramp from 1 at the first step to guidance_scale at the last; 1 outside of
    guidance_interval.

    Raises:
        ValueError: when config.guidance_scale is None (the engine fills in the model's default first).
    """
    if config.guidance_scale is None:
        raise ValueError("guidance_scale is left to the model: fill it in with DecodingConfig.resolved(backend.info.defaults)")
    start, end = config.guidance_interval
    share = step / config.total_steps
    if share < start or (share >= end and end < 1):
        return 1.0
    if config.guidance_schedule == "constant" or config.total_steps == 1:
        return float(config.guidance_scale)
    return 1.0 + (float(config.guidance_scale) - 1.0) * step / (config.total_steps - 1)


def apply_guidance(cond: Float[Tensor, "*n v"], uncond: Float[Tensor, "*n v"] | None, scale: float) -> Float[Tensor, "*n v"]:
    """Classifier-free guidance l = u + g (c - u), in float32.

    Args:
        cond, uncond: logits of the conditional and unconditional half; uncond may be None when scale is 1.
        scale: g >= 0; exactly 1 returns the conditional logits untouched.

    Raises:
        ValueError: when the unconditional half is missing and scale is not 1.

    Source: 2207.12598; Meissonic uses g = 9, aMUSEd g = 10.
    """
    if scale == 1.0:
        return cond.float()
    if uncond is None:
        raise ValueError(f"guidance_scale={scale:g} needs the unconditional half of the logits")
    uncond = uncond.float()
    return (cond.float() - uncond).mul_(scale).add_(uncond)


def _exponential(shifted: Tensor) -> Tensor:
    """exp of values <= 0; where it would be below 1.7e-38, it is 0.

    A row of weights holds a 1, so what is left out changes neither its float64 sum nor an id that is drawn: uniforms are 2^-53 or more.
    """
    return F.threshold(shifted.clamp_min(_LOG_OF_LEAST).exp_(), _LEAST, 0.0, inplace=True)


def forbid_ids(logits: Float[Tensor, "n v"], forbidden: Mapping[int, Iterable[int]]) -> Float[Tensor, "n v"]:
    """A copy of the logits with the forbidden ids of each position at minus infinity; the same tensor when nothing is forbidden."""
    if not forbidden:
        return logits
    logits = logits.clone()
    for position, ids in forbidden.items():
        logits[position, list(ids)] = -torch.inf
    return logits


@dataclass(frozen=True)
class TokenOpinion:
    """What the model thinks of every position: p = softmax(l) after guidance. One exponential serves sampling, confidence and entropy.

    Args:
        shifted: "n v" float32 logits minus their maximum of the row; forbidden ids far below 0.
        weights: "n v" float32 exp(shifted); 0 for forbidden ids and where it is below 1.7e-38.
        total: "n" float64 row sums of the weights, so that p = weights / total.
        only: "m" bool with n True where only some of m positions were read. What `sample` and `confidence` are given and give is of all m
            then, 0 where nothing was read.
    """

    shifted: Tensor
    weights: Tensor
    total: Tensor
    only: Bool[np.ndarray, " m"] | None = None

    @classmethod
    def from_logits(cls, logits: Float[Tensor, "m v"], only: Bool[np.ndarray, " m"] | None = None) -> TokenOpinion:
        """Read logits in float32 whatever the model's dtype; minus infinity means "never".

        Args:
            logits: of m positions.
            only: the positions that matter; None = all.
        """
        only = None if only is None or only.all() else only
        if only is not None:
            logits = logits[torch.from_numpy(np.flatnonzero(only)).to(logits.device)]
        logits = logits.float()
        # A finite floor whose exponential is exactly 0: -inf would turn 0 log 0 into NaN. NaN itself passes through.
        shifted = (logits - logits.amax(dim=-1, keepdim=True)).clamp_min_(_LOG_OF_NOTHING)
        weights = _exponential(shifted)
        return cls(shifted, weights, weights.sum(dim=-1, dtype=torch.float64), only)

    def _of_all(self, values: np.ndarray) -> np.ndarray:
        """Values of all positions, 0 where nothing was read, of those of the positions that were."""
        if self.only is None:
            return values
        every = np.zeros(len(self.only), values.dtype)
        every[self.only] = values
        return every

    def sample(self, uniforms: Float[np.ndarray, " n"], temperature: float | Float[np.ndarray, " n"] = 1.0) -> Int64[np.ndarray, " n"]:
        """Sample one id a position by inverse CDF: x0 ~ Cat(softmax(l / temperature)).

        Args:
            uniforms: "n" float64 in (0, 1), one per position.
            temperature: >= 0, one number or one per position; 0 takes the most probable id (lowest index on a tie).

        Returns:
            "n" int64 ids, never one of probability 0. The CDF is summed in float64, so the draw does not hang on how a device sums.

        Source: MaskGIT 2202.04200 (every token is sampled, the order decides which are kept).
        """
        if self.only is not None:
            of_some = temperature[self.only] if isinstance(temperature, np.ndarray) else temperature
            return self._of_all(replace(self, only=None).sample(uniforms[self.only], of_some))
        if isinstance(temperature, np.ndarray):
            cold = temperature == 0
            rows = torch.from_numpy(np.where(cold, 1, temperature)).to(self.shifted)[:, None]
            return np.where(cold, self.sample(uniforms, 0.0), self._draw(uniforms, _exponential(self.shifted / rows)))
        if temperature == 0:
            # argmax of a tie is not the same on every device; the first index of the maximum is.
            return (self.shifted == 0).to(torch.uint8).argmax(dim=-1).cpu().numpy()
        return self._draw(uniforms, self.weights if temperature == 1 else _exponential(self.shifted / temperature))

    def _draw(self, uniforms: Float[np.ndarray, " n"], weights: Float[Tensor, "n v"]) -> Int64[np.ndarray, " n"]:
        """Ids by inverse CDF of weights that need not sum to 1."""
        targets = torch.from_numpy(np.ascontiguousarray(uniforms, dtype=np.float64)).to(self.shifted.device)
        ids = []
        for rows, wanted in zip(weights.split(_CDF_ROWS), targets.split(_CDF_ROWS), strict=True):
            cdf = rows.cumsum(dim=-1, dtype=torch.float64)
            # right=True: the first id whose CDF exceeds the target, so an id of probability 0 is never drawn.
            ids.append(torch.searchsorted(cdf, wanted[:, None] * cdf[:, -1:], right=True)[:, 0])
        # NaN logits leave the range; the order's score, NaN too, is what reports them.
        return torch.cat(ids).clamp_max_(self.shifted.shape[1] - 1).cpu().numpy()

    def probabilities(self) -> Float[Tensor, "n v"]:
        """p, "n v" float32."""
        return (self.shifted.exp() / self.total[:, None]).float()

    def confidence(self, ids: Int64[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """F_c = log p of the given ids, "n" float32, before any token temperature."""
        index = torch.from_numpy(ids if self.only is None else ids[self.only]).to(self.shifted.device)[:, None]
        return self._of_all((self.shifted.gather(1, index)[:, 0] - self.total.log()).float().cpu().numpy())

    def entropy(self) -> Float[np.ndarray, " n"]:
        """Entropy of p, "n" float32, nats: log total - sum(p shifted)."""
        mean = torch.linalg.vecdot(self.weights, self.shifted).double() / self.total
        return (self.total.log() - mean).float().cpu().numpy()

    def top(self, count: int) -> tuple[Int32[np.ndarray, "n a"], Float[np.ndarray, "n a"]]:
        """The `count` most probable ids "n a" int32 and their probabilities "n a" float32, most probable first."""
        count = min(count, self.weights.shape[-1])
        values, ids = self.weights.topk(count, dim=-1)
        if not bool(values[:, -1:].all()):  # where the model is very sure, the others' order is among the smallest numbers
            values, ids = self.shifted.exp().topk(count, dim=-1)
        return ids.to(torch.int32).cpu().numpy(), (values / self.total[:, None]).float().cpu().numpy()

    def margin(self) -> Float[np.ndarray, " n"]:
        """p(1st) - p(2nd), "n" float32 (1 for a codebook of one)."""
        _, probs = self.top(2)
        return probs[:, 0] - probs[:, 1] if probs.shape[1] > 1 else np.ones(len(probs), np.float32)
