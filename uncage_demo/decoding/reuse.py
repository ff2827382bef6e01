"""Which steps run the whole grid, and which run a few cells and read all else as the last whole one left it (2505.19089, ReCAP).

A whole step ranks the masked cells and names the group: those that it commits, and those that the partial steps after it will. A partial
step runs the group alone, so that each of its tokens still sees those that were committed just before.
T = number of steps, s = 0-based step. Shapes: n image tokens (y x grid, row-major).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Bool

from uncage_demo.backends.base import ForwardOutput
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.redraw import phase_at
from uncage_demo.decoding.schedule import mask_count, scheduled_share
from uncage_demo.decoding.tokens import guidance_at
from uncage_demo.orders.table import ORDERS


def whole_step(config: DecodingConfig, step: int) -> int:
    """The step whose look at the whole grid a step draws on: an earlier one, or the step itself where it looks at the whole grid.

    Whole are the steps before reuse_from, the guided ones (their score reads attention of every cell), and the one that ends a draft.

    Args:
        config: settings, nothing left to the model.
        step: s of the whole run, 0..T-1.
    """
    settings, local = phase_at(config, step)
    ends_draft = config.redrawn_steps > 0 and step == config.draft_steps - 1
    if config.reuse_steps == 0 or ends_draft:
        return step
    guided = settings.guided_steps if ORDERS[settings.order].guided and settings.contrast_weight != 0 else 0
    first = max(guided, math.ceil(settings.reuse_from * settings.total_steps))
    if local <= first:
        return step
    whole = first + (local - first) // (settings.reuse_steps + 1) * (settings.reuse_steps + 1)
    # A forward without its unconditional half leaves nothing for one that needs it, and the other way round.
    same_halves = (guidance_at(settings, local) == 1.0) == (guidance_at(settings, whole) == 1.0)
    return step - local + whole if same_halves else step


def partial_steps_after(config: DecodingConfig, step: int) -> list[int]:
    """The partial steps that directly follow a step, in order; none after the last step."""
    following = []
    for later in range(step + 1, config.total_steps):
        if whole_step(config, later) == later:
            break
        following.append(later)
    return following


def group_size(config: DecodingConfig, step: int, total: int, num_masked: int) -> int:
    """How many cells the partial steps after a whole one commit.

    Args:
        config: settings; step: s of the whole run.
        total: positions that the schedule counts over.
        num_masked: positions that are masked when the whole step has ended.
    """
    left = num_masked
    for later in partial_steps_after(config, step):
        settings, local = phase_at(config, later)
        left = mask_count(settings.mask_schedule, local, settings.total_steps, total, left, settings.schedule_power)
    return num_masked - left


def share_run(config: DecodingConfig, step: int) -> float:
    """The share of the grid that a step runs, 0..1, as the schedule has it before it rounds to whole cells; 1 for a whole step."""
    whole = whole_step(config, step)
    if whole == step:
        return 1.0
    settings, first = phase_at(config, whole)
    _, last = phase_at(config, [whole, *partial_steps_after(config, whole)][-1])
    masked = [
        1.0 if at < 0 else scheduled_share(settings.mask_schedule, at, settings.total_steps, settings.schedule_power)
        for at in (first - 1, last)
    ]
    return masked[0] - masked[1]


def cells_run(group: Bool[np.ndarray, " n"], grid: tuple[int, int], attention_grid: tuple[int, int]) -> float:
    """The share of the network's own grid that holds these cells, 0..1: where tokens share a place there, all of it is run."""
    (height, width), (high, wide) = grid, attention_grid
    return float(group.reshape(high, height // high, wide, width // wide).any(axis=(1, 3)).mean())


def renewed(whole: ForwardOutput, partial: ForwardOutput, cells: np.ndarray) -> ForwardOutput:
    """The output of a partial forward in its place among what the whole one said; nothing is changed in place.

    Args:
        whole: of every position.
        partial: of the positions `cells` alone.
        cells: "r" int64.
    """

    places = torch.from_numpy(cells)

    def joined(old: torch.Tensor, new: torch.Tensor, axis: int) -> torch.Tensor:
        return old.index_copy(axis, places.to(old.device), new)

    def both(old: torch.Tensor | None, new: torch.Tensor | None, axis: int) -> torch.Tensor | None:
        return None if old is None or new is None else joined(old, new, axis)

    return ForwardOutput(
        joined(whole.cond, partial.cond, 1),
        both(whole.uncond, partial.uncond, 1),
        both(whole.attention, partial.attention, 2),
        both(whole.attention_full, partial.attention_full, 4),
    )
