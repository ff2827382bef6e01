"""The detector that judges pictures of the embedded domain: which objects stand where, and in which colour.

A small convolutional network over the picture with one output a cell: is a noun's centre here, and what colour is it.
It is trained on rendered scenes and on tokenizer reconstructions, never on generated pictures.
Source: objects as points, 1904.07850 (one peak an object instead of boxes).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class _Down(nn.Module):
    """Residual block that halves the resolution."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(inside, outside, 3, stride=2, padding=1)
        self.norm = nn.GroupNorm(8, outside)
        self.inner = nn.Conv2d(outside, outside, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.reduce(x)
        return x + self.inner(F.gelu(self.norm(x)))


class Detector(nn.Module):
    """Cell-wise detector.

    Args:
        num_nouns: nouns it tells apart.
        num_styles: colours it tells apart, the art's own included.
        widths: channels at 4, 8 and 16 px a cell.
    """

    def __init__(self, num_nouns: int, num_styles: int, widths: Sequence[int] = (48, 96, 192)) -> None:
        super().__init__()
        self.config: dict[str, Any] = {"num_nouns": num_nouns, "num_styles": num_styles, "widths": list(widths)}
        self.num_nouns = num_nouns
        first, second, third = widths
        self.stem = nn.Conv2d(48, first, 3, padding=1)
        self.down = nn.Sequential(_Down(first, second), _Down(second, third))
        self.context = nn.ModuleList(
            nn.Sequential(
                nn.GroupNorm(8, third),
                nn.GELU(),
                nn.Conv2d(third, third, 5, padding=2, groups=third),
                nn.Conv2d(third, third, 1),
                nn.GELU(),
                nn.Conv2d(third, third, 1),
            )
            for _ in range(3)
        )
        self.head = nn.Conv2d(third, num_nouns + num_styles, 1)
        nn.init.constant_(self.head.bias[:num_nouns], -4.0)  # type: ignore[index]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Centre logits "b noun y x" and colour logits "b style y x" of images "b 3 H W" in 0..1."""
        x = self.down(self.stem(F.pixel_unshuffle(images * 2 - 1, 4)))
        for block in self.context:
            x = x + block(x)
        out = self.head(x)
        return out[:, : self.num_nouns], out[:, self.num_nouns :]


@torch.no_grad()
def peaks(centre: Tensor, color: Tensor, threshold: float = 0.5, radius: int = 2) -> list[list[tuple[int, int, float, int, int]]]:
    """Detections of each picture as (noun, style, probability, y, x), strongest first.

    Args:
        centre: "b noun y x" logits; color: "b style y x" logits.
        threshold: lowest probability, 0..1.
        radius: a weaker peak within this many cells of a stronger one is the same object.
    """
    probability = centre.sigmoid()
    found = []
    for b in range(centre.shape[0]):
        rows = (probability[b] > threshold).nonzero().tolist()
        rows = sorted(((float(probability[b, n, y, x]), n, y, x) for n, y, x in rows), reverse=True)
        kept: list[tuple[int, int, float, int, int]] = []
        for score, noun, y, x in rows:
            if all(max(abs(y - other[3]), abs(x - other[4])) > radius for other in kept):
                kept.append((noun, int(color[b, :, y, x].argmax()), score, y, x))
        found.append(kept)
    return found
