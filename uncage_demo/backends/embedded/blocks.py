"""The blocks of the embedded transformer: text alone, text and image with weights of their own, both with the same weights.

Shapes: b batch, n image tokens, t text tokens, m = t + n, d width, h heads, e width of a head. A sample's image may be read with several
texts side by side (see `Layout`): c readings, M rows of all of them.
Source: 2410.08261 (block layout), 2104.09864 (rotary positions).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from uncage_demo.backends.attention import column_slice, columns_from_logsumexp, fused_attention, onehot_columns

# Keys and values "b h m e" of one block.
Known = tuple[Tensor, Tensor]
# Of some captions: activations "b t d"; queries and keys "b t 2 h e" and values "b t d" of the first multi-modal block.
Texts = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Features:
    """What a forward leaves for a later one that runs some image tokens only.

    Args:
        known: keys and values of every block, in order.
        key_mask, mask: as `Reading`.
    """

    known: tuple[Known, ...]
    key_mask: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Reading:
    """One text with the image beside it, among the rows of a sample.

    Args:
        first: its first row in M.
        t, n: tokens of the text, which comes first, and of the image.
        key_mask: "b m" bool, keys that may be attended to, or "b m m" bool where that differs by query.
        mask: the same as what is added to the scores (see `additive_mask`).
    """

    first: int
    t: int
    n: int
    key_mask: Tensor
    mask: Tensor

    @property
    def rows(self) -> slice:
        """Its rows in M."""
        return slice(self.first, self.first + self.t + self.n)

    @property
    def image_rows(self) -> slice:
        """Those of the image."""
        return slice(self.first + self.t, self.first + self.t + self.n)

    def of_image(self) -> Reading:
        """The same for queries of the image alone."""
        key_mask = self.key_mask[:, self.t :] if self.key_mask.ndim == 3 else self.key_mask
        return replace(self, key_mask=key_mask, mask=self.mask[:, :, self.t :] if self.mask.shape[2] > 1 else self.mask)


@dataclass(frozen=True)
class Layout:
    """How the rows "b M d" of a batch lie: readings one after the other. Whatever works row by row takes all of them at once.

    Args:
        readings: of every sample, the same ones.
        turns: of all rows, "M 1 1 e" (see `turns_after_text`).
    """

    readings: tuple[Reading, ...]
    turns: tuple[Tensor, Tensor]

    def beside(self, texts: Tensor, images: Tensor) -> Tensor:
        """Rows "b M ..." of those of the texts "b sum(t) ..." and of the images "b c*n ...", or "b n ..." where all read the same."""
        shared, pieces, before = images.shape[1] == self.readings[0].n, [], 0
        for number, one in enumerate(self.readings):
            pieces += [texts[:, before : before + one.t], images if shared else images[:, number * one.n : (number + 1) * one.n]]
            before += one.t
        return torch.cat(pieces, dim=1)


@dataclass(frozen=True)
class Renewed:
    """Which rows of a block are run, and what is known of all of them.

    Args:
        known: keys and values "b h m e" as they were; those of the rows are replaced.
        rows: "r" places in m.
        mask: of the rows, as `Reading`.
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

    def heads(self, layer: int, count: int) -> tuple[int, ...]:
        """The heads of this layer that are to be read, of `count`; reading no others is what keeps capture cheap."""
        if self.full or self.layers is None:
            return tuple(range(count))
        return tuple(head for wanted, head in self.layers if wanted == layer)


@dataclass(frozen=True)
class Wanted:
    """Of one block, what the wanted columns of attention are made of: those of all blocks are computed at once.

    Args:
        queries: "b h n e" of the wanted rows and heads. keys: "b h k e" of the wanted columns.
        sums: log-sum-exp "b h n" of the rows, or the columns "b h k n" themselves where these are `known`.
        key_mask: "b k" or "b n k" bool, the columns that may be attended to.
        known: see `sums`.
    """

    queries: Tensor
    keys: Tensor
    sums: Tensor
    key_mask: Tensor
    known: bool = False


class _Mlp(nn.Sequential):
    def __init__(self, width: int, ratio: int) -> None:
        super().__init__(nn.Linear(width, ratio * width), nn.GELU(approximate="tanh"), nn.Linear(ratio * width, width))


def _heads(x: Tensor, heads: int) -> Tensor:
    b, m, d = x.shape
    return x.view(b, m, heads, d // heads).transpose(1, 2)


def _merge(x: Tensor) -> Tensor:
    b, h, m, d = x.shape
    return x.transpose(1, 2).reshape(b, m, h * d)


def _merge_into(rows: Tensor, x: Tensor) -> None:
    """Heads "b h m e" side by side, written to rows "b m d"."""
    rows.unflatten(-1, (x.shape[1], x.shape[3])).copy_(x.transpose(1, 2))


def _gelu_into(rows: Tensor, x: Tensor) -> None:
    """GELU of x, written to rows of the same shape."""
    if torch.is_grad_enabled():
        rows.copy_(F.gelu(x, approximate="tanh"))
    else:
        torch.ops.aten.gelu.out(x, approximate="tanh", out=rows)


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
    other = x.roll(x.shape[-1] // 2, dims=-1)
    return (x * own).add_(other.mul_(partner))


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
        return _turn(normed.mul_(torch.stack([self.norm_q.weight, self.norm_k.weight])[:, None]), turns)

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
        text_mixed, image_mixed = torch.empty_like(text), torch.empty_like(image)
        known, before = [], 0
        for number, one in enumerate(layout.readings):
            q, k = self.apart(both[:, one.rows])
            v = _heads(values[:, one.rows], self.heads)
            known.append((k, v))
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=one.mask)
            _merge_into(text_mixed[:, before : before + one.t], mixed[:, :, : one.t])
            _merge_into(image_mixed[:, number * one.n : (number + 1) * one.n], mixed[:, :, one.t :])
            before += one.t
        if keep is not None:
            keep.append(_joined_known(known))
        text, image = text + self.text.out(text_mixed), image + self.image.out(image_mixed)
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
        width = self.width
        both, values, hidden = self._read(x)
        both, left = self.turned(both, layout.turns), x
        if image_only:
            hidden, left = (torch.cat([rows[:, one.image_rows] for one in layout.readings], dim=1) for rows in (hidden, x))
        joined = x.new_empty(*left.shape[:2], self.out.in_features)
        _gelu_into(joined[..., width:], hidden)
        known, begin = [], 0
        first: tuple[Tensor, Tensor, Wanted | None] | None = None
        for one in layout.readings:
            q, k = self.apart(both[:, one.rows])
            v = _heads(values[:, one.rows], self.heads)
            known.append((k, v))
            q, one = (q[:, :, one.t :], one.of_image()) if image_only else (q, one)
            wanted = request if first is None else None
            mixed, columns = _attend(q, k, v, one.key_mask, one.mask, slice(0 if image_only else one.t, None), wanted, read)
            _merge_into(joined[:, begin : begin + q.shape[2], :width], mixed)
            begin += q.shape[2]
            first = first or (q, k, columns)
        if keep is not None:
            keep.append(_joined_known(known))
        assert first is not None
        return self.out(joined).add_(left), *first

    def again(
        self, x: Tensor, key_mask: Tensor, renewed: Renewed, request: AttentionRequest | None = None, read: tuple[int, ...] = ()
    ) -> tuple[Tensor, Wanted | None]:
        """New activations "b r d" of some image tokens, all else as it was, and what the wanted attention is made of (None without
        request).

        Args:
            x: "b r d". key_mask, request, read: as `forward`, the mask of the rows. renewed: what is known.
        """
        width = self.width
        both, values, hidden = self._read(x)
        q, k = self.apart(self.turned(both, renewed.turns))
        k, v = renewed.with_rows(k, _heads(values, self.heads))
        mixed, columns = _attend(q, k, v, key_mask, renewed.mask, slice(None), request, read)
        joined = x.new_empty(*x.shape[:2], self.out.in_features)
        _merge_into(joined[..., :width], mixed)
        _gelu_into(joined[..., width:], hidden)
        return self.out(joined).add_(x), columns

    def _read(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries and keys side by side "b m 2d", values "b m d", and what the MLP is to make of "b m ratio*d"."""
        return _split_linear(self.into, self.norm(x), 2 * self.width, 3 * self.width)


def _split_linear(layer: nn.Linear, x: Tensor, *places: int) -> tuple[Tensor, ...]:
    """The outputs of a linear layer cut at some places, each part in memory of its own: the same bits as all in one."""
    ends = (0, *places, layer.out_features)
    return tuple(F.linear(x, layer.weight[a:b], layer.bias[a:b]) for a, b in itertools.pairwise(ends))


def _joined_known(known: list[Known]) -> Known:
    """Keys and values of all readings along the batch."""
    keys, values = zip(*known, strict=True)
    return torch.cat(keys), torch.cat(values)


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
    scale = q.shape[-1] ** -0.5
    fused = fused_attention(q, k, v, scale, mask=mask) if request is not None and read else None
    mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask) if fused is None else fused[0]
    if request is None or not read:
        return mixed, None
    samples, heads, columns = slice(request.samples), column_slice(read), column_slice(request.columns)
    key_mask = key_mask[samples, rows] if key_mask.ndim == 3 else key_mask[samples]
    queries, keys = q[samples, heads][:, :, rows], k[samples, heads]
    if fused is None:
        found = onehot_columns(queries, keys, request.columns, scale, key_mask)
        return mixed, Wanted(queries, keys[:, :, columns], found, key_mask[..., columns], known=True)
    return mixed, Wanted(queries, keys[:, :, columns], fused[1][samples, heads][:, :, rows], key_mask[..., columns])


def columns_of(wanted: Sequence[Wanted]) -> Tensor:
    """The wanted columns of some blocks, "b h k n" float32, heads of one block after the other."""
    if wanted[0].known:
        return torch.cat([one.sums for one in wanted], dim=1)
    queries, keys, sums = (torch.cat([getattr(one, name) for one in wanted], dim=1) for name in ("queries", "keys", "sums"))
    return columns_from_logsumexp(queries, keys, sums, range(keys.shape[2]), keys.shape[-1] ** -0.5, wanted[0].key_mask)
