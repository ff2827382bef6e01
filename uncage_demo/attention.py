"""Exact attention of chosen key columns (the text tokens), in float32, whatever the model's dtype.

Knows nothing of models, images or prompts: queries and keys go in, softmax probabilities of the wanted key columns come out.
Shapes: b batch, h heads, n query rows, m keys, d head width, k wanted columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

Columns = Sequence[int] | slice


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
        key_mask: "b m" bool, True where a key takes part; masked keys get probability 0.

    Returns:
        "b h k n" float32: probability that query row n gives to wanted key k.

    Raises:
        ValueError: on shapes that do not fit, or a column out of range.
    """
    wanted = column_indices(columns, key.shape[-2])
    logits = torch.einsum("bhnd,bhmd->bhnm", query.float(), key.float()) * scale
    if key_mask is not None:
        logits = logits.masked_fill(~key_mask[:, None, None, :], float("-inf"))
    probabilities = logits.softmax(dim=-1)
    return probabilities[..., wanted].transpose(-1, -2)


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
