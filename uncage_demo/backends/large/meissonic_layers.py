"""Layers of the Meissonic / Monetico transformer, with the published module names.

Shapes: b batch, n image tokens (y x grid, row-major), t text tokens, c channels, h heads, d head width, v codebook.
"""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

SINUSOID_CHANNELS = 256
NORM_EPS = 1e-6


class TwoLayer(nn.Module):
    """Linear, SiLU, linear."""

    def __init__(self, channels: int, width: int, bias: bool = True) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(channels, width, bias=bias)
        self.linear_2 = nn.Linear(width, width, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear_2(F.silu(self.linear_1(x)))


class TimeTextEmbed(nn.Module):
    """The vector that modulates every block: embedded timestep plus embedded pooled condition."""

    def __init__(self, width: int, pooled_width: int) -> None:
        super().__init__()
        self.timestep_embedder = TwoLayer(SINUSOID_CHANNELS, width)
        self.text_embedder = TwoLayer(pooled_width, width)

    def forward(self, time: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        return self.timestep_embedder(sinusoids(time, SINUSOID_CHANNELS).to(condition.dtype)) + self.text_embedder(condition)


class TokenEmbed(nn.Module):
    """Token ids "b y x" -> "b y x c"."""

    def __init__(self, vocab_size: int, width: int) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(vocab_size, width)
        self.layer_norm = nn.RMSNorm(width, eps=NORM_EPS)
        self.conv = nn.Conv2d(width, width, kernel_size=1, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return channels_last(self.conv, self.layer_norm(self.embeddings(tokens)))


class TokenHead(nn.Module):
    """ "b y x c" -> logits "b y x v"."""

    def __init__(self, width: int, codebook_size: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, kernel_size=1, bias=False)
        self.layer_norm = nn.RMSNorm(width, eps=NORM_EPS)
        self.conv2 = nn.Conv2d(width, codebook_size, kernel_size=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return channels_last(self.conv2, self.layer_norm(channels_last(self.conv1, x)))


class Resample(nn.Module):
    """Halve or double the grid "b y x c" by a 2x2 (transposed) convolution, or pass it on."""

    def __init__(self, width: int, kind: str | None) -> None:
        super().__init__()
        self.downsample = NormConv(nn.Conv2d(width, width, 2, stride=2, bias=False), width) if kind == "downsample" else None
        self.upsample = NormConv(nn.ConvTranspose2d(width, width, 2, stride=2, bias=False), width) if kind == "upsample" else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        layer = self.downsample or self.upsample
        return x if layer is None else layer(x)


class NormConv(nn.Module):
    """Normalise over channels, then convolve; "b y x c"."""

    def __init__(self, conv: nn.Module, width: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(width, eps=NORM_EPS)
        self.conv = conv

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return channels_last(self.conv, self.norm(x))


class Modulation(nn.Module):
    """Layer norm whose shift and scale come from the embedding; further chunks (gates, the next norm's shift and scale) are returned."""

    def __init__(self, width: int, chunks: int) -> None:
        super().__init__()
        self.chunks = chunks
        self.linear = nn.Linear(width, chunks * width)

    def forward(self, x: torch.Tensor, embedding: torch.Tensor) -> tuple[torch.Tensor, ...]:
        shift, scale, *rest = self.linear(F.silu(embedding))[:, None].chunk(self.chunks, dim=-1)
        return modulate(x, shift, scale), *rest


class FeedForward(nn.Module):
    """Linear, GELU (tanh), linear; named as in the published weights (`net.0.proj`, `net.2`)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        first = nn.Sequential(OrderedDict(proj=nn.Linear(width, 4 * width)))
        self.net = nn.ModuleList([first, nn.Identity(), nn.Linear(4 * width, width)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net[2](F.gelu(self.net[0](x), approximate="tanh"))


def modulate(x: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Parameter-free layer norm, then scale and shift."""
    return F.layer_norm(x, x.shape[-1:], eps=NORM_EPS) * (1 + scale) + shift


def split_heads(x: torch.Tensor, heads: int) -> torch.Tensor:
    """ "b n c" -> "b h n d"."""
    return rearrange(x, "b n (h d) -> b h n d", h=heads)


def merge_heads(x: torch.Tensor) -> torch.Tensor:
    """ "b h n d" -> "b n c"."""
    return rearrange(x, "b h n d -> b n (h d)")


def channels_last(conv: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Apply a 2-d convolution to "b y x c"."""
    return rearrange(conv(rearrange(x, "b y x c -> b c y x")), "b c y x -> b y x c")


def keep_finite(x: torch.Tensor) -> torch.Tensor:
    """Residuals of these models leave the range of float16; clip them there (only there)."""
    return x.clip(-65504, 65504) if x.dtype == torch.float16 else x


def sinusoids(values: torch.Tensor, channels: int) -> torch.Tensor:
    """Sinusoidal embedding "m c" float32 of numbers "m": cosines, then sines, wavelengths from 2 pi to 10,000 times that."""
    half = channels // 2
    # In this order and in float32: timesteps reach tens of thousands, where the last bit of a rate is a visible angle.
    rates = (-math.log(10000.0) * torch.arange(half, dtype=torch.float32, device=values.device) / half).exp()
    angles = values.float()[:, None] * rates
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def rotary_angles(text_length: int, height: int, width: int, axes: tuple[int, ...], device: torch.device) -> torch.Tensor:
    """Rotation of every token and channel pair as "2 (t + n) d/2" float32 (cosines, sines): text at (0, 0, 0), image at (0, y, x)."""
    positions = torch.zeros(text_length + height * width, 3, dtype=torch.float64, device=device)
    positions[text_length:, 1] = torch.arange(height, device=device).repeat_interleave(width)
    positions[text_length:, 2] = torch.arange(width, device=device).repeat(height)
    parts = []
    for axis, size in enumerate(axes):
        rates = 10000.0 ** (-torch.arange(0, size, 2, dtype=torch.float64, device=device) / size)
        parts.append(positions[:, axis, None] * rates)
    angles = torch.cat(parts, dim=-1)
    return torch.stack([angles.cos(), angles.sin()]).float()


def rotate(x: torch.Tensor, rotation: torch.Tensor) -> torch.Tensor:
    """Rotary embedding of "b h n d": neighbouring channels (2i, 2i + 1) are turned by the token's angle; computed in float32."""
    cos, sin = rotation
    even, odd = rearrange(x.float(), "b h n (p two) -> two b h n p", two=2)
    return torch.stack([even * cos - odd * sin, odd * cos + even * sin], dim=-1).flatten(-2).to(x.dtype)
