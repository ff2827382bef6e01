"""What the large backend needs of a token network: how it is called, and the facts that differ between networks.

Shapes: b batch, n image tokens (y x grid, row-major), t text tokens, v codebook.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch

from uncage_demo.backends.attention import ColumnRecorder
from uncage_demo.backends.base import RandomStart


class TokenNetwork(Protocol):
    """What the backend needs of a token network: logits "b n v" of token grids "b y x"."""

    def __call__(
        self,
        tokens: torch.Tensor,
        text: torch.Tensor,
        pooled: torch.Tensor,
        micro_conditions: torch.Tensor,
        timestep: torch.Tensor,
        text_mask: torch.Tensor | None = None,
        recorder: ColumnRecorder | None = None,
    ) -> torch.Tensor: ...

    def compile_blocks(self) -> None:
        """Compile the blocks in place; what attention reads or hides must not depend on it."""
        ...


class ReusingNetwork(TokenNetwork, Protocol):
    """A network that can keep its features and run some cells only (see MeissonicTransformer.again)."""

    def again(
        self,
        tokens: torch.Tensor,
        cells: torch.Tensor,
        pooled: torch.Tensor,
        micro_conditions: torch.Tensor,
        timestep: torch.Tensor,
        features: Any,
        recorder: ColumnRecorder | None = None,
    ) -> torch.Tensor: ...


@dataclass(frozen=True)
class NetworkFacts:
    """What the backend must know of a network.

    Args:
        layer_heads: heads of each layer that attention can be read from, in the order the layers run.
        default_layers: those that the source "default" reads.
        joint: True when text and image attend jointly (text rows come first), False for cross-attention.
        attention_grid: (y, x) at which the network attends.
        blur: default blur sigma in attention-grid cells.
        time_as_fraction: the timestep is (T-1-s)/T (Muddit), not T-1-s.
        random_start: of a one-step model, how it begins.
    """

    layer_heads: tuple[int, ...]
    default_layers: range
    joint: bool
    attention_grid: tuple[int, int]
    blur: float
    time_as_fraction: bool = False
    random_start: RandomStart | None = None
