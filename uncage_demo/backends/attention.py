"""Exact attention of chosen key columns (the text tokens), in float32, whatever the model's dtype.

Knows nothing of models, images or prompts: queries and keys go in, softmax probabilities of the wanted key columns come out.
Fused kernels keep the log-sum-exp (LSE) of every row, and with it a few columns of the softmax cost one thin matrix product:
`P[:, S] = exp(scale * Q K_S^T - LSE)`. Nothing of the size n x m is ever stored on that path.

Shapes: b batch, h heads, n query rows, m keys, d head width, k wanted columns, l layers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend

Columns = Sequence[int] | slice
ALL = slice(None)
_CHUNK_ELEMENTS = 1 << 24  # the eager log-sum-exp works in blocks of at most this many scores (64 MiB in float32)


def text_columns(
    query: torch.Tensor,
    key: torch.Tensor,
    columns: Columns,
    scale: float,
    key_mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """Softmax attention probabilities of the wanted key columns, normalised over all keys.

    Args:
        query: "b h n d", after normalisation and rotary embedding.
        key: "b h m d", likewise.
        columns: indices (or a slice) of the wanted keys, in the order wanted; each in 0..m-1.
        scale: factor of the dot products, > 0.
        key_mask: "b m" bool, True where a key takes part, or "b n m" bool where that differs by query row; masked keys get probability 0.
            Every row needs at least one True.

    Returns:
        "b h k n" float32: probability that query row n gives to wanted key k.

    Raises:
        ValueError: on shapes that do not fit, or a column out of range.
    """
    check_shapes(query, key, key_mask)
    wanted = column_indices(columns, key.shape[-2])
    fused = fused_attention(query, key, key, scale, key_mask)
    lse = eager_logsumexp(query, key, scale, key_mask) if fused is None else fused[1]
    return columns_from_logsumexp(query, key, lse, wanted, scale, key_mask)


def scaled_dot_product_with_columns(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    columns: Columns,
    *,
    scale: float | None = None,
    key_mask: torch.Tensor | None = None,
    rows: slice = ALL,
    samples: slice = ALL,
    heads: Sequence[int] | slice = ALL,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scaled dot-product attention that also returns chosen columns of its softmax.

    The output is what `F.scaled_dot_product_attention` gives, bit for bit: the kernel that it would choose is called directly so that
    its log-sum-exp can be kept; where that kernel has none to give, a second attention with one-hot values reads the columns.

    Args:
        query, key, value: "b h n d", "b h m d", "b h m d".
        columns: wanted keys, each in 0..m-1.
        scale: factor of the dot products; None = 1/sqrt(d).
        key_mask: "b m" or "b n m" bool, True where a key takes part.
        rows: query rows whose columns are wanted (the image tokens).
        samples: samples whose columns are wanted (the conditional half of a guidance batch).
        heads: heads whose columns are wanted, in this order.

    Returns:
        output "b h n d" in the input's dtype, and columns "b' h' k n'" float32.

    Raises:
        ValueError: on shapes that do not fit, or a column out of range.

    Source: the log-sum-exp identity is the one of 2205.14135 (FlashAttention).
    """
    check_shapes(query, key, key_mask)
    wanted = column_indices(columns, key.shape[-2])
    factor = default_scale(query) if scale is None else float(scale)
    fused = fused_attention(query, key, value, factor, key_mask)
    mask = None if key_mask is None else key_mask[samples]
    if mask is not None and mask.ndim == 3:
        mask = mask[:, rows]
    chosen = heads if isinstance(heads, slice) else without_copy(heads)
    wanted_query, wanted_key = query[samples][:, chosen][:, :, rows], key[samples][:, chosen]
    if fused is None:
        output = attention(query, key, value, scale=factor, key_mask=key_mask)
        return output, onehot_columns(wanted_query, wanted_key, wanted, factor, mask)
    output, lse = fused
    return output, columns_from_logsumexp(wanted_query, wanted_key, lse[samples][:, chosen][:, :, rows], wanted, factor, mask)


def scaled_dot_product_with_logsumexp(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    key_mask: torch.Tensor | None,
    mask: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scaled dot-product attention, and each row's log-sum-exp, of which `columns_from_logsumexp` makes columns of the softmax later.

    Args:
        query, key, value: "b h n d", "b h m d", "b h m d".
        key_mask: "b m" or "b n m" bool, True where a key takes part.
        mask: the same as what is added to the scores (see `additive_mask`).

    Returns:
        output "b h n d", bit for bit as `F.scaled_dot_product_attention`, and log-sum-exp "b h n" float32.

    Raises:
        ValueError: on shapes that do not fit.
    """
    check_shapes(query, key, key_mask)
    scale = default_scale(query)
    fused = _fused(query, key, value, scale, mask)
    if fused is not None:
        return fused
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask), eager_logsumexp(query, key, scale, key_mask)


def default_scale(query: torch.Tensor) -> float:
    """Factor of the dot products of queries "... d" where nothing else is said: 1/sqrt(d)."""
    return 1.0 / math.sqrt(query.shape[-1])


def attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    scale: float | None = None,
    key_mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """Plain scaled dot-product attention "b h n d" with an optional key mask "b m" or "b n m" (True = takes part)."""
    return F.scaled_dot_product_attention(query, key, value, attn_mask=additive_mask(key_mask, query.dtype), scale=scale)


def fused_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float, key_mask: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Output "b h n d" and log-sum-exp "b h n" float32 of the fused kernel that torch would choose; None where it has no LSE to give.

    Masked attention on CUDA returns None: those kernels want aligned masks of the full n x m size.
    """
    return _fused(query, key, value, scale, additive_mask(key_mask, query.dtype))


def _fused(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float, mask: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor] | None:
    if query.requires_grad or key.requires_grad or value.requires_grad:
        return None  # the private kernels below are called for inference only
    aten = torch.ops.aten
    if query.device.type == "cpu":
        if aten._fused_sdp_choice(query, key, value, mask, scale=scale) != SDPBackend.FLASH_ATTENTION.value:
            return None
        output, lse = aten._scaled_dot_product_flash_attention_for_cpu(query, key, value, 0.0, False, attn_mask=mask, scale=scale)
    elif query.device.type == "cuda" and mask is None:
        choice = aten._fused_sdp_choice(query, key, value, None, scale=scale)
        if choice == SDPBackend.FLASH_ATTENTION.value and query.shape[-1] % 8 == 0:
            output, lse = aten._scaled_dot_product_flash_attention(query, key, value, scale=scale)[:2]
        elif choice == SDPBackend.EFFICIENT_ATTENTION.value:
            output, lse = aten._scaled_dot_product_efficient_attention(query, key, value, None, True, scale=scale)[:2]
            lse = lse[..., : query.shape[-2]]  # this kernel pads its rows to a multiple of 32
        elif choice == SDPBackend.CUDNN_ATTENTION.value:
            output, lse = aten._scaled_dot_product_cudnn_attention(query, key, value, None, True, scale=scale)[:2]
            lse = lse.squeeze(-1) if lse.ndim == 4 else lse
        else:
            return None
    else:
        return None
    return (output, lse.float()) if lse.shape == query.shape[:-1] else None


def columns_from_logsumexp(
    query: torch.Tensor,
    key: torch.Tensor,
    lse: torch.Tensor,
    columns: Sequence[int],
    scale: float,
    key_mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """Softmax columns "b h k n" float32 from the rows' log-sum-exp "b h n": exp(scale q k_S - LSE)."""
    wanted = without_copy(columns)
    logits = (key[:, :, wanted].float() @ query.float().transpose(-1, -2)).mul_(scale)
    probabilities = logits.sub_(lse.float()[:, :, None]).exp_().clamp_(max=1.0)
    if key_mask is not None:
        probabilities.mul_(broadcast_mask(key_mask)[..., wanted].transpose(-1, -2))
    return probabilities


def without_copy(indices: Sequence[int]) -> Columns:
    """Indices as a slice where they follow one another: what is read with a slice is not copied."""
    chosen = list(indices)
    ends = (chosen[0], chosen[0] + len(chosen)) if chosen else (0, 0)
    return slice(*ends) if chosen == list(range(*ends)) else chosen


def onehot_columns(
    query: torch.Tensor, key: torch.Tensor, columns: Sequence[int], scale: float, key_mask: torch.Tensor | None = None
) -> torch.Tensor:
    """Softmax columns "b h k n" float32 by a second attention in float32 whose values are the one-hot indicators of the columns."""
    indicator = torch.zeros(key.shape[-2], len(columns), device=key.device)
    indicator[list(columns), range(len(columns))] = 1.0
    value = indicator.expand(*key.shape[:2], -1, -1)
    return attention(query.float(), key.float(), value, scale=scale, key_mask=key_mask).transpose(-1, -2)


def eager_columns(
    query: torch.Tensor, key: torch.Tensor, columns: Columns, scale: float, key_mask: torch.Tensor | None = None
) -> torch.Tensor:
    """The textbook reference: the whole softmax in float32, then its columns "b h k n". Needs b h n m floats."""
    wanted = column_indices(columns, key.shape[-2])
    logits = (query.float() @ key.float().transpose(-1, -2)) * scale
    if key_mask is not None:
        logits = logits.masked_fill(~broadcast_mask(key_mask), float("-inf"))
    return logits.softmax(dim=-1)[..., wanted].transpose(-1, -2)


def eager_logsumexp(query: torch.Tensor, key: torch.Tensor, scale: float, key_mask: torch.Tensor | None = None) -> torch.Tensor:
    """Log-sum-exp "b h n" float32 of the scaled scores, in blocks of rows so that memory stays bounded."""
    rows = max(1, _CHUNK_ELEMENTS // max(1, query.shape[0] * query.shape[1] * key.shape[-2]))
    transposed = key.float().transpose(-1, -2)
    # One row of the mask serves every query where the mask does not tell them apart.
    masks = None if key_mask is None else broadcast_mask(key_mask).expand(-1, -1, query.shape[-2], -1).split(rows, dim=-2)
    parts = []
    for place, block in enumerate(query.split(rows, dim=-2)):
        logits = (block.float() @ transposed) * scale
        if masks is not None:
            logits = logits.masked_fill(~masks[place], float("-inf"))
        parts.append(logits.logsumexp(dim=-1))
    return torch.cat(parts, dim=-1)


def additive_mask(key_mask: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor | None:
    """A key mask bool (True = takes part) as "b 1 1 m" or "b 1 n m" with 0 and minus infinity, which every kernel takes."""
    if key_mask is None:
        return None
    mask = broadcast_mask(key_mask)
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, float("-inf"))


def pooled_rows(mask: torch.Tensor, grid: tuple[int, int], rows: int) -> torch.Tensor:
    """A mask "b n m" of a token grid's rows, for a network that attends at a coarser grid: "b rows m".

    Cells that share a query see what any of them sees.

    Args:
        mask: "b n m" bool, True = takes part.
        grid: (y, x) of the n rows.
        rows: number of queries, n or n divided by a square.

    Raises:
        ValueError: the numbers do not fit.
    """
    n = mask.shape[1]
    factor = math.isqrt(n // rows)
    if n != grid[0] * grid[1] or rows * factor**2 != n or grid[0] % factor or grid[1] % factor:
        raise ValueError(f"a mask of {n} rows on a grid {grid} does not fit {rows} queries")
    if factor == 1:
        return mask
    cells = mask.reshape(len(mask), grid[0] // factor, factor, grid[1] // factor, factor, -1)
    return cells.any(dim=4).any(dim=2).flatten(1, 2)


def broadcast_mask(key_mask: torch.Tensor) -> torch.Tensor:
    """A mask of keys "b m", or of keys for each query row "b n m", as "b 1 1 m" or "b 1 n m"."""
    return key_mask[:, None, None] if key_mask.ndim == 2 else key_mask[:, None]


def column_indices(columns: Columns, num_keys: int) -> list[int]:
    """The wanted columns as a list of plain indices.

    Raises:
        ValueError: naming the first column outside 0..num_keys-1.
    """
    wanted = list(range(*columns.indices(num_keys))) if isinstance(columns, slice) else [int(c) for c in columns]
    for column in wanted:
        if not 0 <= column < num_keys:
            raise ValueError(f"attention column {column}: there are {num_keys} keys, give 0..{num_keys - 1}")
    return wanted


def check_shapes(query: torch.Tensor, key: torch.Tensor, key_mask: torch.Tensor | None) -> None:
    """Check "b h n d" against "b h m d" and a mask "b m" or "b n m" bool.

    Raises:
        ValueError: with both shapes.
    """
    if query.ndim != 4 or key.ndim != 4 or query.shape[:2] != key.shape[:2] or not _same_width(query, key):
        raise ValueError(f"query {tuple(query.shape)} and key {tuple(key.shape)} must be b h n d and b h m d")
    if key_mask is not None and (key_mask.dtype != torch.bool or tuple(key_mask.shape) not in _mask_shapes(query, key)):
        wanted = " or ".join(map(str, _mask_shapes(query, key)))
        raise ValueError(f"key_mask {tuple(key_mask.shape)} {key_mask.dtype}: must be bool of shape {wanted}")


def _mask_shapes(query: torch.Tensor, key: torch.Tensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return (key.shape[0], key.shape[-2]), (key.shape[0], query.shape[-2], key.shape[-2])


def _same_width(query: torch.Tensor, key: torch.Tensor) -> bool:
    return query.shape[-1] == key.shape[-1]


class ColumnRecorder:
    """Collects the wanted columns of the wanted layers during one forward and reduces them at once over heads and layers.

    Args:
        columns: wanted key indices.
        layers: wanted layer indices.
        full: also keep every layer and head.
        rows: query rows to read (the image tokens).
        samples: samples to read (the conditional half).
    """

    def __init__(
        self, columns: Sequence[int], layers: Sequence[int], *, full: bool = False, rows: slice = ALL, samples: slice = ALL
    ) -> None:
        self.columns = tuple(columns)
        self.layers = frozenset(layers)
        self.full = full
        self.rows = rows
        self.samples = samples
        self._sum: torch.Tensor | None = None
        self._seen: list[int] = []
        self._kept: list[torch.Tensor] = []

    def attend(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, key_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Attention output "b h n d" of one layer; its columns are recorded if the layer is wanted."""
        if layer not in self.layers:
            return attention(query, key, value, key_mask=key_mask)
        output, columns = scaled_dot_product_with_columns(
            query, key, value, self.columns, key_mask=key_mask, rows=self.rows, samples=self.samples
        )
        mean = columns.mean(dim=1)
        self._sum = mean if self._sum is None else self._sum.add_(mean)
        self._seen.append(layer)
        if self.full:
            self._kept.append(columns)
        return output

    def mean(self) -> torch.Tensor:
        """ "b k n" float32: mean over the wanted layers and all heads.

        Raises:
            RuntimeError: when the forward did not pass every wanted layer exactly once.
        """
        if self._sum is None or sorted(self._seen) != sorted(self.layers):
            raise RuntimeError(f"attention wanted of layers {sorted(self.layers)}, seen {sorted(self._seen)}")
        return self._sum / len(self._seen)

    def stacked(self) -> torch.Tensor | None:
        """ "b l h k n" float32, layers in forward order; None unless `full`."""
        return torch.stack(self._kept, dim=1) if self.full else None
