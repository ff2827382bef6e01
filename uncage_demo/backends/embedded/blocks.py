"""The blocks of the embedded transformer: text alone, text and image with weights of their own, both with the same weights.

Shapes: b batch, n image tokens, t text tokens, m = t + n, d width, h heads, e width of a head.
Source: 2410.08261 (block layout), 2104.09864 (rotary positions).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from uncage_demo.backends.attention import (
    columns_from_logsumexp,
    default_scale,
    scaled_dot_product_with_logsumexp,
    without_copy,
)
from uncage_demo.backends.embedded.replay import State, state_of

# Keys and values "b h m e" of one block.
Known = tuple[Tensor, Tensor]
# Of some captions: activations "b t d"; queries and keys "b t 2 h e" and values "b t d" of the first multi-modal block.
Texts = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Features:
    """What a forward leaves for a later one that runs some image tokens only.

    Args:
        known: keys and values of every block, in order.
        key_mask, mask: as `SingleBlock.forward`.
    """

    known: tuple[Known, ...]
    key_mask: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Renewed:
    """Which rows of a block are run, and what is known of all of them.

    Args:
        known: keys and values "b h m e" as they were; those of the rows are replaced.
        rows: "r" places in m.
        mask: of the rows, as `SingleBlock.forward`.
        turns: of the rows (see `turns_after_text`).
    """

    known: Known
    rows: Tensor
    mask: Tensor
    turns: tuple[Tensor, Tensor]

    def with_rows(self, keys: Tensor, values: Tensor) -> Known:
        """Keys and values of all rows, the new ones "b h r e" in their places."""
        return self.known[0].index_copy(2, self.rows, keys), self.known[1].index_copy(2, self.rows, values)


@dataclass(frozen=True)
class AttentionRequest:
    """Which attention to return from a forward.

    Args:
        layers: (layer, head) pairs of the single-modal blocks to average over; None = all of them.
        columns: text token indices.
        full: also return every layer and head.
        samples: read only the first `samples` of the batch (the conditional half); None = all.
    """

    layers: tuple[tuple[int, int], ...] | None
    columns: tuple[int, ...]
    full: bool = False
    samples: int | None = None

    def pairs(self, layers: int, count: int) -> tuple[tuple[int, int], ...]:
        """The (layer, head) pairs to average over, of `layers` layers with `count` heads."""
        return self.layers or tuple((layer, head) for layer in range(layers) for head in range(count))

    def heads(self, layer: int, count: int) -> tuple[int, ...]:
        """The heads of this layer that are to be read, of `count`; reading no others is what keeps capture cheap."""
        if self.full or self.layers is None:
            return tuple(range(count))
        return tuple(head for wanted, head in self.layers if wanted == layer)


@dataclass(frozen=True)
class Looked:
    """What one block leaves of its attention, for columns to be made of later: see `columns_from_logsumexp`.

    Args:
        query, key: "b h n e" and "b h m e" of the wanted samples, heads and rows.
        lse: "b h n".
    """

    query: Tensor
    key: Tensor
    lse: Tensor


def attention_read(request: AttentionRequest, looked: Sequence[Looked], key_mask: Tensor, heads: int) -> tuple[Tensor, ...]:
    """The wanted attention "b k n", and where it is asked for in full "b l h k n", too.

    Args:
        request: which.
        looked: what every block left that `request.heads` wants something of, in order; of all blocks at once, because each by itself is
            little work for many operators.
        key_mask: "b m" bool, or "b n m" bool of the rows.
        heads: h of a block.
    """
    query, key, lse = (torch.cat(parts, dim=1) for parts in zip(*((one.query, one.key, one.lse) for one in looked), strict=True))
    columns = columns_from_logsumexp(query, key, lse, request.columns, default_scale(query), key_mask[: len(query)])
    if not request.full:
        return (columns.mean(1),)
    full = columns.unflatten(1, (len(looked), heads))
    wanted = [layer * heads + head for layer, head in request.pairs(len(looked), heads)]
    return columns[:, wanted].mean(1), full


class _Mlp(nn.Sequential):
    def __init__(self, width: int, ratio: int) -> None:
        super().__init__(nn.Linear(width, ratio * width), nn.GELU(approximate="tanh"), nn.Linear(ratio * width, width))


def _heads(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _repeated(x: Tensor, copies: int) -> Tensor:
    """All of x, then all of it again, and so on; of a single sample without copying it."""
    return x.expand(copies, *x.shape).flatten(0, 1)


def _merge(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)


def rotary_table(grid: tuple[int, int], head_dim: int) -> Tensor:
    """Cosines and sines "2 n head_dim/2" of 2-D rotary positions: the first half of the pairs turn with y, the second with x."""
    quarter = head_dim // 4
    frequencies = 1.0 / (100.0 ** (torch.arange(quarter).float() / quarter))
    y, x = torch.meshgrid(torch.arange(grid[0]).float(), torch.arange(grid[1]).float(), indexing="ij")
    angles = torch.cat([y.reshape(-1, 1) * frequencies, x.reshape(-1, 1) * frequencies], dim=1)
    return torch.stack([angles.cos(), angles.sin()])


def turns_after_text(table: Tensor, t: int) -> tuple[Tensor, Tensor]:
    """Factors "t+n 1 1 e" of a channel and of its partner, for text (no position on the grid: angle 0) followed by image (see `_turn`)."""
    still = torch.stack([table.new_ones(t, table.shape[-1]), table.new_zeros(t, table.shape[-1])])
    cos, sin = torch.cat([still, table], dim=1)
    return torch.cat([cos, cos], dim=-1)[:, None, None], torch.cat([-sin, sin], dim=-1)[:, None, None]


def _turn(x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    """Channels "b m 2 h e" turned in pairs (i, i + e/2) in their place: x cos - y sin, y cos + x sin."""
    own, partner = turns if turns[0].dtype == x.dtype else (factor.to(x.dtype) for factor in turns)
    first, second = x.chunk(2, dim=-1)
    partners = torch.cat([second, first], dim=-1).mul_(partner)
    return x.mul_(own).add_(partners)


class _QueriesAndKeys(nn.Module):
    """What queries and keys of an image block have in common: a norm each over a head's channels, then the turn by position."""

    one: Tensor
    zero: Tensor

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_q, self.norm_k = nn.LayerNorm(width // heads, bias=False), nn.LayerNorm(width // heads, bias=False)
        # A norm whose weight is 1 and whose bias is 0 has the bits of one without both, and a faster kernel.
        self.register_buffer("one", torch.ones(width // heads), persistent=False)
        self.register_buffer("zero", torch.zeros(width // heads), persistent=False)
        self._last_weights: tuple[State, Tensor] | None = None

    def turned(self, read: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
        """Queries and keys "b m 2 h e", normalised and turned, of both side by side "b m 2d"; one pass over both."""
        parts = read.unflatten(-1, (2, self.heads, -1))
        # A norm without weight, then the weight, has the bits of a norm with weight.
        normed = F.layer_norm(parts, self.norm_q.normalized_shape, self.one, self.zero, self.norm_q.eps)
        return _turn(normed * self._weights(), turns)

    def _weights(self) -> Tensor:
        """Weights "2 1 e" of the two norms, put together once for a state of theirs; anew while gradients are wanted."""
        both = self.norm_q.weight, self.norm_k.weight
        if torch.is_grad_enabled():
            return torch.stack(both)[:, None]
        state = state_of((self.norm_q, self.norm_k))
        if self._last_weights is None or self._last_weights[0] != state:
            self._last_weights = state, torch.stack(both)[:, None]
        return self._last_weights[1]

    def apart(self, both: Tensor) -> tuple[Tensor, Tensor]:
        """Queries and keys "b h m e" of what `turned` gives."""
        queries, keys = both.unbind(2)
        return queries.transpose(1, 2), keys.transpose(1, 2)


class TextBlock(nn.Module):
    def __init__(self, width: int, heads: int, ratio: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = _Mlp(width, ratio)

    def forward(self, text: Tensor, mask: Tensor) -> Tensor:
        q, k, v = (_heads(part, self.heads) for part in self.qkv(self.norm1(text)).chunk(3, dim=-1))
        text = self.out(_merge(F.scaled_dot_product_attention(q, k, v, attn_mask=mask))).add_(text)
        return self.mlp(self.norm2(text)).add_(text)


class Stream(nn.Module):
    """One modality's half of a multi-modal block."""

    def __init__(self, width: int, ratio: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = _Mlp(width, ratio)

    def joined(self, x: Tensor, mixed: Tensor) -> Tensor:
        """New activations "b m d" of the old ones and of what attention mixed, both "b m d"."""
        x = self.out(mixed).add_(x)
        return self.mlp(self.norm2(x)).add_(x)


class MultiBlock(_QueriesAndKeys):
    def __init__(self, width: int, heads: int, ratio: int) -> None:
        super().__init__(width, heads)
        self.split = (2 * width, width)
        self.text, self.image = Stream(width, ratio), Stream(width, ratio)

    def read_text(self, text: Tensor, turns: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Queries and keys "b t 2 h e" and values "b t d" of the text alone."""
        return self._read(self.text.qkv(self.text.norm1(text)), turns)

    def _read(self, qkv: Tensor, turns: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        both, values = qkv.split(self.split, dim=-1)
        return self.turned(both, turns), values

    def forward(
        self,
        text: Tensor,
        image: Tensor,
        mask: Tensor,
        turns: tuple[Tensor, Tensor],
        text_read: tuple[Tensor, Tensor] | None = None,
        keep: list[Known] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """New text and image activations, "c*b t d" and "c*b n d".

        Args:
            image: "b n d" where every image is read with c texts, which needs `text_read`; the others are "c*b ...".
            mask: what is added to the scores, "b 1 1 t+n", or "b 1 t+n t+n" where that differs by query (see `additive_mask`).
            turns: of text and image (see `turns_after_text`).
            text_read: what `read_text` gives, where it is known already.
            keep: keys and values are added to it.
        """
        t = int(text.shape[1])
        image_qkv = self.image.qkv(self.image.norm1(image))
        if text_read is None:
            both, values = self._read(torch.cat([self.text.qkv(self.text.norm1(text)), image_qkv], dim=1), turns)
        else:
            copies = len(text) // len(image)
            image_both, image_values = self._read(image_qkv, (turns[0][t:], turns[1][t:]))
            both = torch.cat([text_read[0], _repeated(image_both, copies)], dim=1)
            values = torch.cat([text_read[1], _repeated(image_values, copies)], dim=1)
            image = _repeated(image, copies)
        q, k = self.apart(both)
        v = _heads(values, self.heads)
        if keep is not None:
            keep.append((k, v))
        mixed = _merge(F.scaled_dot_product_attention(q, k, v, attn_mask=mask))
        return self.text.joined(text, mixed[:, :t]), self.image.joined(image, mixed[:, t:])

    def again(self, image: Tensor, renewed: Renewed) -> Tensor:
        """New activations "b r d" of some image tokens, all else as it was."""
        both, values = self._read(self.image.qkv(self.image.norm1(image)), renewed.turns)
        q, k = self.apart(both)
        k, v = renewed.with_rows(k, _heads(values, self.heads))
        return self.image.joined(image, _merge(F.scaled_dot_product_attention(q, k, v, attn_mask=renewed.mask)))


class SingleBlock(_QueriesAndKeys):
    """Attention and MLP side by side, one set of weights for both modalities."""

    def __init__(self, width: int, heads: int, ratio: int) -> None:
        super().__init__(width, heads)
        self.split = (2 * width, width, ratio * width)
        self.norm = nn.LayerNorm(width)
        self.into, self.out = nn.Linear(width, sum(self.split)), nn.Linear(width + ratio * width, width)

    def forward(
        self,
        x: Tensor,
        key_mask: Tensor,
        mask: Tensor,
        turns: tuple[Tensor, Tensor],
        t: int,
        image_only: bool = False,
        request: AttentionRequest | None = None,
        read: tuple[int, ...] = (),
        keep: list[Known] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Looked | None]:
        """New activations "b m d", queries and keys "b h m e", and what the wanted attention is made of (None without request).

        Args:
            key_mask: "b m" bool, keys that may be attended to, or "b m m" bool where that differs by query.
            mask: the same as what is added to the scores (see `additive_mask`).
            turns: see `turns_after_text`.
            t: number of text tokens at the front.
            image_only: leave the text out of the new activations and the queries, where nobody reads them any more.
            request, read: what to read, and from which heads; nothing without either.
            keep: keys and values are added to it.
        """
        both, v, hidden = self._read(x)
        q, k = self.apart(self.turned(both, turns))
        v = _heads(v, self.heads)
        if keep is not None:
            keep.append((k, v))
        if image_only:
            x, q, hidden = x[:, t:], q[:, :, t:], hidden[:, t:]
            key_mask = key_mask[:, t:] if key_mask.ndim == 3 else key_mask
            mask = mask[:, :, t:] if mask.shape[2] > 1 else mask
        mixed, looked = _attend(q, k, v, key_mask, mask, 0 if image_only else t, request, read)
        return self._joined(x, mixed, hidden), q, k, looked

    def again(
        self, x: Tensor, key_mask: Tensor, renewed: Renewed, request: AttentionRequest | None = None, read: tuple[int, ...] = ()
    ) -> tuple[Tensor, Looked | None]:
        """New activations "b r d" of some image tokens, all else as it was, and what the wanted attention is made of
        (None without request).

        Args:
            x: "b r d". key_mask, request, read: as `forward`, the mask of the rows. renewed: what is known.
        """
        both, v, hidden = self._read(x)
        q, k = self.apart(self.turned(both, renewed.turns))
        k, v = renewed.with_rows(k, _heads(v, self.heads))
        mixed, looked = _attend(q, k, v, key_mask, renewed.mask, 0, request, read)
        return self._joined(x, mixed, hidden), looked

    def _read(self, x: Tensor) -> Iterator[Tensor]:
        """Queries and keys "b m 2d", values "b m d", and what the MLP begins with."""
        normed = self.norm(x)
        # Three products, so that what comes next reads each without gaps, and while it is still in the cache.
        parts = zip(self.into.weight.split(self.split), self.into.bias.split(self.split), strict=True)
        return (F.linear(normed, weight, bias) for weight, bias in parts)

    def _joined(self, x: Tensor, mixed: Tensor, hidden: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            both = torch.cat([_merge(mixed), F.gelu(hidden, approximate="tanh")], dim=-1)
        else:  # both written to where they are read: the same bits, and less that has to fit into the cache
            both = hidden.new_empty((*hidden.shape[:2], self.out.in_features))
            read, kept = both.split(self.split[1:], dim=-1)
            read.copy_(_merge(mixed))
            torch.ops.aten.gelu.out(hidden, approximate="tanh", out=kept)
        return self.out(both).add_(x)


def _attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    key_mask: Tensor,
    mask: Tensor,
    first: int,
    request: AttentionRequest | None,
    read: tuple[int, ...],
) -> tuple[Tensor, Looked | None]:
    """Attention "b h n e", and what it leaves of the query rows from `first` on (None without request)."""
    if request is None or not read:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask), None
    mixed, lse = scaled_dot_product_with_logsumexp(q, k, v, key_mask=key_mask, mask=mask)
    samples = len(q) if request.samples is None else request.samples
    query, key, rows = (_of_heads(part.narrow(0, 0, samples), read) for part in (q, k, lse))
    count = int(q.shape[2]) - first
    return mixed, Looked(query.narrow(2, first, count), key, rows.narrow(2, first, count))


def _of_heads(x: Tensor, heads: tuple[int, ...]) -> Tensor:
    """Heads of "b h ..."; without a copy where they follow one another."""
    wanted = without_copy(heads)
    return x.narrow(1, wanted.start, wanted.stop - wanted.start) if isinstance(wanted, slice) else x[:, list(wanted)]
