"""How the rows of the embedded transformer lie, what is asked of its attention, and what a forward leaves for a later one.

Shapes as in `blocks`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from uncage_demo.backends.attention import columns_from_logsumexp

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


def columns_of(wanted: Sequence[Wanted]) -> Tensor:
    """The wanted columns of some blocks, "b h k n" float32, heads of one block after the other."""
    if wanted[0].known:
        return torch.cat([one.sums for one in wanted], dim=1)
    queries, keys, sums = (torch.cat([getattr(one, name) for one in wanted], dim=1) for name in ("queries", "keys", "sums"))
    return columns_from_logsumexp(queries, keys, sums, range(keys.shape[2]), 1.0 / math.sqrt(keys.shape[-1]), wanted[0].key_mask)
