"""The blocks of the embedded transformer: text alone, text and image with weights of their own, both with the same weights.

Shapes: b batch, n image tokens, t text tokens, m = t + n, d width, h heads, e width of a head. A sample's image may be read with several
texts side by side (see `Layout`): c readings, M rows of all of them.
Source: 2410.08261 (block layout), 2104.09864 (rotary positions).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from uncage_demo.backends.attention import fused_attention, onehot_columns
from uncage_demo.backends.embedded.rows import AttentionRequest, Known, Layout, Renewed, Wanted


class _Mlp(nn.Sequential):
    def __init__(self, width: int, ratio: int) -> None:
        super().__init__(nn.Linear(width, ratio * width), nn.GELU(approximate="tanh"), nn.Linear(ratio * width, width))


def _heads(x: Tensor, heads: int) -> Tensor:
    b, m, d = x.shape
    return x.view(b, m, heads, d // heads).transpose(1, 2)


def _merge(x: Tensor) -> Tensor:
    b, h, m, d = x.shape
    return x.transpose(1, 2).reshape(b, m, h * d)


def _merged(mixed: Sequence[Tensor]) -> Tensor:
    """Heads side by side "b M d" of the attention "b h m e" of some readings, one after the other."""
    return _merge(mixed[0]) if len(mixed) == 1 else torch.cat([_merge(one) for one in mixed], dim=1)


def _side_by_side(mixed: Sequence[Tensor], hidden: Tensor) -> Tensor:
    """Attention "b h m e" of some readings beside GELU of what goes through the MLP "b M c": "b M d+c"."""
    if torch.is_grad_enabled():
        return torch.cat([_merged(mixed), F.gelu(hidden, approximate="tanh")], dim=-1)
    # Written where it belongs at once: half a pass over the memory of the whole.
    b, total, c = hidden.shape
    _, h, _, e = mixed[0].shape
    rows = hidden.new_empty(b, total, h * e + c)
    first = 0
    for one in mixed:
        rows[:, first : first + one.shape[2], : h * e].unflatten(-1, (h, e)).copy_(one.transpose(1, 2))
        first += one.shape[2]
    torch.ops.aten.gelu.out(hidden, approximate="tanh", out=rows[..., h * e :])
    return rows


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
    """Channels "b m 2 h e" turned in pairs (i, i + e/2): x cos - y sin, y cos + x sin."""
    own, partner = (factor.to(x.dtype) for factor in turns)
    return (x * own).add_(x.roll(x.shape[-1] // 2, dims=-1).mul_(partner))


class _QueriesAndKeys(nn.Module):
    """What queries and keys of an image block have in common: a norm each over a head's channels, then the turn by position."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_q, self.norm_k = nn.LayerNorm(width // heads, bias=False), nn.LayerNorm(width // heads, bias=False)

    def turned(self, read: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
        """Queries and keys "b m 2 h e", normalised and turned, of both side by side "b m 2d"; one pass over both."""
        b, m, _ = read.shape
        parts = read.view(b, m, 2, self.heads, -1)
        # A norm without weight, then the weight, has the bits of a norm with weight.
        normed = F.layer_norm(parts, parts.shape[-1:], eps=self.norm_q.eps)
        return _turn(normed * torch.stack([self.norm_q.weight, self.norm_k.weight])[:, None], turns)

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
        text = text + self.out(_merge(F.scaled_dot_product_attention(q, k, v, attn_mask=mask)))
        return text + self.mlp(self.norm2(text))


class Stream(nn.Module):
    """One modality's half of a multi-modal block."""

    def __init__(self, width: int, ratio: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = _Mlp(width, ratio)


class MultiBlock(_QueriesAndKeys):
    def __init__(self, width: int, heads: int, ratio: int) -> None:
        super().__init__(width, heads)
        self.text, self.image = Stream(width, ratio), Stream(width, ratio)

    def read_text(self, text: Tensor, turns: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Queries and keys "b t 2 h e" and values "b t d" of the text alone."""
        both, values = _split_linear(self.text.qkv, self.text.norm1(text), 2 * text.shape[-1])
        return self.turned(both, turns), values

    def forward(
        self, text: Tensor, image: Tensor, layout: Layout, text_read: tuple[Tensor, Tensor] | None = None, keep: list[Known] | None = None
    ) -> tuple[Tensor, Tensor]:
        """New text and image activations, "b sum(t) d" and "b c*n d".

        Args:
            text: "b sum(t) d", the texts of all readings one after the other.
            image: "b c*n d", or "b n d" where all readings have the same, which needs `text_read`.
            layout: of the rows.
            text_read: what `read_text` gives, where it is known already.
            keep: keys and values are added to it, "c*b ...".
        """
        width = image.shape[-1]
        both, values = _split_linear(self.image.qkv, self.image.norm1(image), 2 * width)
        if text_read is None:
            text_both, text_values = _split_linear(self.text.qkv, self.text.norm1(text), 2 * width)
            both, values = self.turned(layout.beside(text_both, both), layout.turns), layout.beside(text_values, values)
        else:
            # The first reading's image rows have the same turns as any other's.
            here = layout.readings[0].image_rows
            both = layout.beside(text_read[0], self.turned(both, (layout.turns[0][here], layout.turns[1][here])))
            values = layout.beside(text_read[1], values)
            if image.shape[1] == layout.readings[0].n:
                image = torch.cat([image] * len(layout.readings), dim=1)
        known, mixed = [], []
        for one in layout.readings:
            q, k = self.apart(both[:, one.rows])
            known.append((k, _heads(values[:, one.rows], self.heads)))
            mixed.append(F.scaled_dot_product_attention(q, *known[-1], attn_mask=one.mask))
        if keep is not None:
            keep.append(_joined_known(known))
        of_text = [part[:, :, : one.t] for part, one in zip(mixed, layout.readings, strict=True)]
        of_image = [part[:, :, one.t :] for part, one in zip(mixed, layout.readings, strict=True)]
        text, image = text + self.text.out(_merged(of_text)), image + self.image.out(_merged(of_image))
        return text + self.text.mlp(self.text.norm2(text)), image + self.image.mlp(self.image.norm2(image))

    def again(self, image: Tensor, renewed: Renewed) -> Tensor:
        """New activations "b r d" of some image tokens, all else as it was."""
        both, values = _split_linear(self.image.qkv, self.image.norm1(image), 2 * image.shape[-1])
        q, k = self.apart(self.turned(both, renewed.turns))
        k, v = renewed.with_rows(k, _heads(values, self.heads))
        image = image + self.image.out(_merge(F.scaled_dot_product_attention(q, k, v, attn_mask=renewed.mask)))
        return image + self.image.mlp(self.image.norm2(image))


class SingleBlock(_QueriesAndKeys):
    """Attention and MLP side by side, one set of weights for both modalities."""

    def __init__(self, width: int, heads: int, ratio: int) -> None:
        super().__init__(width, heads)
        self.width = width
        self.norm = nn.LayerNorm(width)
        self.into, self.out = nn.Linear(width, (3 + ratio) * width), nn.Linear(width + ratio * width, width)

    def forward(
        self,
        x: Tensor,
        layout: Layout,
        image_only: bool = False,
        request: AttentionRequest | None = None,
        read: tuple[int, ...] = (),
        keep: list[Known] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Wanted | None]:
        """New activations "b M d", queries and keys "b h m e" of the first reading, and what its wanted attention is made of
        (None without request).

        Args:
            layout: of the rows.
            image_only: leave the text out of the new activations, "b c*n d", and of the queries, where nobody reads it any more.
            request, read: what to read, and from which heads; nothing without either.
            keep: keys and values are added to it, "c*b ...".
        """
        both, values, hidden = self._read(x)
        both, left = self.turned(both, layout.turns), x
        if image_only:
            hidden, left = (torch.cat([rows[:, one.image_rows] for one in layout.readings], dim=1) for rows in (hidden, x))
        known, mixed = [], []
        first: tuple[Tensor, Tensor, Wanted | None] | None = None
        for one in layout.readings:
            q, k = self.apart(both[:, one.rows])
            v = _heads(values[:, one.rows], self.heads)
            known.append((k, v))
            q, one = (q[:, :, one.t :], one.of_image()) if image_only else (q, one)
            wanted = request if first is None else None
            own, columns = _attend(q, k, v, one.key_mask, one.mask, slice(0 if image_only else one.t, None), wanted, read)
            mixed.append(own)
            first = first or (q, k, columns)
        if keep is not None:
            keep.append(_joined_known(known))
        assert first is not None
        return left + self.out(_side_by_side(mixed, hidden)), *first

    def again(
        self, x: Tensor, key_mask: Tensor, renewed: Renewed, request: AttentionRequest | None = None, read: tuple[int, ...] = ()
    ) -> tuple[Tensor, Wanted | None]:
        """New activations "b r d" of some image tokens, all else as it was, and what the wanted attention is made of (None without
        request).

        Args:
            x: "b r d". key_mask, request, read: as `forward`, the mask of the rows. renewed: what is known.
        """
        both, values, hidden = self._read(x)
        q, k = self.apart(self.turned(both, renewed.turns))
        k, v = renewed.with_rows(k, _heads(values, self.heads))
        mixed, columns = _attend(q, k, v, key_mask, renewed.mask, slice(None), request, read)
        return x + self.out(_side_by_side([mixed], hidden)), columns

    def _read(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries and keys side by side "b m 2d", values "b m d", and what the MLP is to make of "b m ratio*d"."""
        both, values, hidden = _split_linear(self.into, self.norm(x), 2 * self.width, 3 * self.width)
        return both, values, hidden


def _split_linear(layer: nn.Linear, x: Tensor, *places: int) -> tuple[Tensor, ...]:
    """The outputs of a linear layer cut at some places; without gradients each part in memory of its own: the same bits."""
    ends = (0, *places, layer.out_features)
    if torch.is_grad_enabled():
        return layer(x).split([b - a for a, b in itertools.pairwise(ends)], dim=-1)
    return tuple(F.linear(x, layer.weight[a:b], layer.bias[a:b]) for a, b in itertools.pairwise(ends))


def _joined_known(known: list[Known]) -> Known:
    """Keys and values of all readings along the batch."""
    keys, values = zip(*known, strict=True)
    return torch.cat(keys), torch.cat(values)


def _as_slice(indices: Sequence[int]) -> slice | list[int]:
    """Indices without gaps as a slice, which costs no copy; others as a list."""
    first, count = (indices[0] if indices else 0), len(indices)
    return slice(first, first + count) if tuple(indices) == tuple(range(first, first + count)) else list(indices)


def _attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    key_mask: Tensor,
    mask: Tensor,
    rows: slice,
    request: AttentionRequest | None,
    read: tuple[int, ...],
) -> tuple[Tensor, Wanted | None]:
    """Attention "b h n e", and of the query rows `rows` what its wanted columns are made of (None without request)."""
    scale = 1.0 / math.sqrt(q.shape[-1])
    fused = fused_attention(q, k, v, scale, mask=mask) if request is not None and read else None
    mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask) if fused is None else fused[0]
    if request is None or not read:
        return mixed, None
    samples, heads, columns = slice(request.samples), _as_slice(read), _as_slice(request.columns)
    key_mask = key_mask[samples, rows] if key_mask.ndim == 3 else key_mask[samples]
    queries, keys = q[samples, heads][:, :, rows], k[samples, heads]
    if fused is None:
        found = onehot_columns(queries, keys, request.columns, scale, key_mask)
        return mixed, Wanted(queries, keys[:, :, columns], found, key_mask[..., columns], known=True)
    return mixed, Wanted(queries, keys[:, :, columns], fused[1][samples, heads][:, :, rows], key_mask[..., columns])
