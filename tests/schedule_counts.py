"""The counts of diffusers' scheduler in its own arithmetic, against ours."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from uncage_demo.decoding.schedule import scheduled_masked


def compare_counts(num_tokens: int, numbers_of_steps: Iterable[int]) -> dict[int, list[int]]:
    """Check the float32 schedules over every step of each T, and compare cosine's exact counts with its float32 ones.

    Args:
        num_tokens: positions of the grid.
        numbers_of_steps: each T to look at, 1 or more.

    Returns:
        T -> exact minus float32 count, at the steps where they differ; a T without such a step is left out.

    Raises:
        AssertionError: a float32 schedule counts otherwise than diffusers' arithmetic.
    """
    differ: dict[int, list[int]] = {}
    for num_steps in numbers_of_steps:
        ratios, counted = torch.arange(1, num_steps) / num_steps, {}
        for name, share in (("cosine_float32", torch.cos(ratios * math.pi / 2)), ("linear_float32", 1 - ratios)):
            counted[name] = [scheduled_masked(name, step, num_steps, num_tokens) for step in range(num_steps - 1)]
            assert counted[name] == (num_tokens * share).floor().int().tolist()
        exact = [scheduled_masked("cosine", step, num_steps, num_tokens) for step in range(num_steps - 1)]
        if gaps := [a - b for a, b in zip(exact, counted["cosine_float32"], strict=True) if a != b]:
            differ[num_steps] = gaps
    return differ
