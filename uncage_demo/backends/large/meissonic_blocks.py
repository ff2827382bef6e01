"""The blocks of the Meissonic / Monetico transformer, with the published module names, and running some image tokens of them again.

Shapes: b batch, n image tokens, t text tokens, r tokens that are run again, c channels, h heads, d head width.
Source: 2403.03206 (block layout), 2505.19089 (running some tokens again).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from uncage_demo.backends.attention import ColumnRecorder, attention
from uncage_demo.backends.large.meissonic_layers import (
    NORM_EPS,
    FeedForward,
    Modulation,
    keep_finite,
    merge_heads,
    modulate,
    rotate,
    split_heads,
)

if TYPE_CHECKING:
    from uncage_demo.backends.large.meissonic_transformer import TransformerConfig

# Keys and values "b h (t + n) d" of one block.
Known = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Features:
    """What a forward leaves for a later one that runs some image tokens only.

    Args:
        known: keys and values of every block, in order.
        rotation: of every token; key_mask: as `attention` takes it.
    """

    known: tuple[Known, ...]
    rotation: torch.Tensor
    key_mask: torch.Tensor | None


@dataclass(frozen=True)
class Renewed:
    """Which rows of a block are run, and what is known of all of them.

    Args:
        known: keys and values of all rows as they were; those of the rows run are replaced.
        rows: "r" places among text and image tokens.
        rotation, key_mask: of these rows.
    """

    known: Known
    rows: torch.Tensor
    rotation: torch.Tensor
    key_mask: torch.Tensor | None

    def turned(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries "b h r d" of these rows, keys and values "b h (t + n) d" of all."""
        keys = self.known[0].index_copy(2, self.rows, rotate(key, self.rotation))
        return rotate(query, self.rotation), keys, self.known[1].index_copy(2, self.rows, value)


class Projections(nn.Module):
    """Query, key and value projections with normalised queries and keys; with `joint`, a second set for the text and both outputs."""

    def __init__(self, config: TransformerConfig, joint: bool) -> None:
        super().__init__()
        c, d = config.width, config.attention_head_dim
        self.heads = config.num_attention_heads
        self.to_q, self.to_k, self.to_v = nn.Linear(c, c), nn.Linear(c, c), nn.Linear(c, c)
        self.norm_q, self.norm_k = nn.RMSNorm(d, eps=NORM_EPS), nn.RMSNorm(d, eps=NORM_EPS)
        if joint:
            self.add_q_proj, self.add_k_proj, self.add_v_proj = nn.Linear(c, c), nn.Linear(c, c), nn.Linear(c, c)
            self.norm_added_q, self.norm_added_k = nn.RMSNorm(d, eps=NORM_EPS), nn.RMSNorm(d, eps=NORM_EPS)
            self.to_out = nn.ModuleList([nn.Linear(c, c)])
            self.to_add_out = nn.Linear(c, c)

    def main(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Queries, keys, values "b h n d" of the image (or joint) tokens."""
        query, key, value = (split_heads(layer(x), self.heads) for layer in (self.to_q, self.to_k, self.to_v))
        return self.norm_q(query), self.norm_k(key), value

    def added(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Queries, keys, values "b h t d" of the text tokens."""
        query, key, value = (split_heads(layer(x), self.heads) for layer in (self.add_q_proj, self.add_k_proj, self.add_v_proj))
        return self.norm_added_q(query), self.norm_added_k(key), value


class MultiModalBlock(nn.Module):
    """Text and image keep their own weights and attend jointly (text first)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.norm1, self.norm1_context = Modulation(config.width, 6), Modulation(config.width, 6)
        self.attn = Projections(config, joint=True)
        self.ff, self.ff_context = FeedForward(config.width), FeedForward(config.width)

    def forward(
        self,
        text: torch.Tensor,
        image: torch.Tensor,
        embedding: torch.Tensor,
        rotation: torch.Tensor,
        key_mask: torch.Tensor | None,
        keep: list[Known] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        query, key, value, text_rest, image_rest = self.before(text, image, embedding, rotation)
        if keep is not None:
            keep.append((key, value))
        mixed = attention(query, key, value, key_mask=key_mask)
        return self.after(text, image, mixed, text_rest, image_rest)

    def again(self, image: torch.Tensor, embedding: torch.Tensor, renewed: Renewed) -> torch.Tensor:
        """Image tokens "b r c" behind the block, all else as it was."""
        image_in, *rest = self.norm1(image, embedding)
        query, key, value = renewed.turned(*self.attn.main(image_in))
        mixed = merge_heads(attention(query, key, value, key_mask=renewed.key_mask))
        return self._finish(image, self.attn.to_out[0](mixed), self.ff, rest)

    def before(
        self, text: torch.Tensor, image: torch.Tensor, embedding: torch.Tensor, rotation: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
        """Queries, keys, values "b h (t + n) d", and what is left of both modulations for `after`."""
        image_in, *image_rest = self.norm1(image, embedding)
        text_in, *text_rest = self.norm1_context(text, embedding)
        pairs = zip(self.attn.added(text_in), self.attn.main(image_in), strict=True)
        query, key, value = (torch.cat(pair, dim=2) for pair in pairs)
        return rotate(query, rotation), rotate(key, rotation), value, text_rest, image_rest

    def after(
        self,
        text: torch.Tensor,
        image: torch.Tensor,
        mixed: torch.Tensor,
        text_rest: Sequence[torch.Tensor],
        image_rest: Sequence[torch.Tensor],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Text "b t c" and image "b n c" behind the block, from what attention "b h (t + n) d" mixed."""
        merged = merge_heads(mixed)
        text_mixed, image_mixed = merged[:, : text.shape[1]], merged[:, text.shape[1] :]
        image = self._finish(image, self.attn.to_out[0](image_mixed), self.ff, image_rest)
        text = self._finish(text, self.attn.to_add_out(text_mixed), self.ff_context, text_rest)
        return keep_finite(text), image

    @staticmethod
    def _finish(x: torch.Tensor, mixed: torch.Tensor, feed_forward: nn.Module, gates: Sequence[torch.Tensor]) -> torch.Tensor:
        gate, shift, scale, ff_gate = gates
        x = x + gate * mixed
        return x + ff_gate * feed_forward(modulate(x, shift, scale))


class SingleModalBlock(nn.Module):
    """Text and image share weights; attention and feed-forward run side by side. The blocks that UNCAGE reads attention from."""

    def __init__(self, config: TransformerConfig, index: int) -> None:
        super().__init__()
        self.index = index
        self.norm = Modulation(config.width, 3)
        self.proj_mlp = nn.Linear(config.width, 4 * config.width)
        self.proj_out = nn.Linear(5 * config.width, config.width)
        self.attn = Projections(config, joint=False)

    def forward(
        self,
        x: torch.Tensor,
        embedding: torch.Tensor,
        rotation: torch.Tensor,
        key_mask: torch.Tensor | None,
        recorder: ColumnRecorder | None,
        keep: list[Known] | None = None,
    ) -> torch.Tensor:
        query, key, value, normed, gate = self.before(x, embedding, rotation)
        if keep is not None:
            keep.append((key, value))
        return self.after(x, self._attend(query, key, value, key_mask, recorder), normed, gate)

    def again(self, x: torch.Tensor, embedding: torch.Tensor, renewed: Renewed, recorder: ColumnRecorder | None) -> torch.Tensor:
        """Image tokens "b r c" behind the block, all else as it was."""
        normed, gate = self.norm(x, embedding)
        query, key, value = renewed.turned(*self.attn.main(normed))
        return self.after(x, self._attend(query, key, value, renewed.key_mask, recorder), normed, gate)

    def _attend(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        key_mask: torch.Tensor | None,
        recorder: ColumnRecorder | None,
    ) -> torch.Tensor:
        if recorder is None:
            return attention(query, key, value, key_mask=key_mask)
        return recorder.attend(self.index, query, key, value, key_mask)

    def before(self, x: torch.Tensor, embedding: torch.Tensor, rotation: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Queries, keys, values "b h (t + n) d", the normalised tokens "b (t + n) c" and the gate "b 1 c"."""
        normed, gate = self.norm(x, embedding)
        query, key, value = self.attn.main(normed)
        return rotate(query, rotation), rotate(key, rotation), value, normed, gate

    def after(self, x: torch.Tensor, mixed: torch.Tensor, normed: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
        """Tokens "b (t + n) c" behind the block, from what attention "b h (t + n) d" mixed."""
        wide = F.gelu(self.proj_mlp(normed), approximate="tanh")
        return keep_finite(x + gate * self.proj_out(torch.cat([merge_heads(mixed), wide], dim=-1)))
