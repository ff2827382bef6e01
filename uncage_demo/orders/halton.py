"""The Halton visiting list: cells of a grid in an order that spreads evenly (2503.17076). Exact whole-number arithmetic."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Int


@lru_cache(maxsize=32)
def _halton_order(height: int, width: int) -> np.ndarray:
    cells = height * width
    order, seen = np.empty(cells, np.int64), np.zeros(cells, bool)
    found, first, block = 0, 1, max(64, 2 * cells)
    while found < cells:
        index = np.arange(first, first + block)
        visited = _radical_floor(index, 2, height) * width + _radical_floor(index, 3, width)
        _, earliest = np.unique(visited, return_index=True)
        fresh = visited[np.sort(earliest)]
        fresh = fresh[~seen[fresh]]
        order[found : found + len(fresh)] = fresh
        seen[fresh] = True
        found, first = found + len(fresh), first + block
    order.flags.writeable = False
    return order


def halton_order(height: int, width: int) -> Int[np.ndarray, " n"]:
    """Visiting order of a grid by Halton points: bases 2 (rows) and 3 (columns), from index 1, first visits only, every cell once.

    Args:
        height, width: grid size, 1..1024 each.

    Returns:
        "n" int64, a permutation of 0..height*width-1 (row-major cells), read-only. Computed in whole numbers, so it is exact.

    Raises:
        ValueError: a size out of range.

    Source: 2503.17076 (which stops after 10,000 points; a 64x64 grid needs 10,363).
    """
    for name, value in (("height", height), ("width", width)):
        if not 1 <= value <= 1024:
            raise ValueError(f"{name}={value!r}: give a whole number from 1 to 1024")
    return _halton_order(int(height), int(width))


def visiting_rank(order: Int[np.ndarray, " n"], offset: int = 0) -> Int[np.ndarray, " n"]:
    """Place of every cell in a visiting order (0 = first), after rolling the list so that it begins at `offset`."""
    rank = np.empty(len(order), np.int64)
    rank[order] = (np.arange(len(order)) - offset) % len(order)
    return rank


def _radical_floor(index: np.ndarray, base: int, size: int) -> np.ndarray:
    """floor(size * radical inverse of index): the digits mirrored at the point, in exact whole-number arithmetic."""
    rest, mirrored, scale = index.copy(), np.zeros_like(index), 1
    while rest.any():
        mirrored = mirrored * base + rest % base
        rest //= base
        scale *= base
    return mirrored * size // scale
