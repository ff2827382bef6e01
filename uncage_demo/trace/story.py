"""What happens to a run's positions from step to step: which settings were in force, what may be masked again, and whether it adds up."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from uncage_demo.config import DecodingConfig
from uncage_demo.orders.revise import REASONS
from uncage_demo.trace.origin import Origin
from uncage_demo.trace.record import StepRecord, Trace, require


def settings_at(trace: Trace, step: int) -> DecodingConfig:
    """The settings that a step was decoded with: the trace's own, or, before a branch took over, the parent's.

    Args:
        trace: any run.
        step: counted over the whole run from 0.
    """
    return DecodingConfig.from_dict(_config_at(trace, step))


def settings_of_steps(trace: Trace) -> list[DecodingConfig]:
    """`settings_at` of every record of a run, each read once."""
    told = [_config_at(trace, record.step) for record in trace.steps]
    read = {id(data): DecodingConfig.from_dict(data) for data in {id(data): data for data in told}.values()}
    return [read[id(data)] for data in told]


def _config_at(trace: Trace, step: int) -> dict[str, Any]:
    later = [line for line in trace.branches if line.at_step > step]
    return min(later, key=lambda line: line.at_step).parent_config if later else trace.config


def reasons_at(config: DecodingConfig, step: int, origin: Origin | None = None) -> set[str]:
    """For which reasons (names of `orders.revise.REASONS`) a step may open positions again.

    Args:
        config: the settings that it was decoded with.
        step: counted over the whole run from 0.
        origin: of the run.
    """
    if origin is not None and origin.kind == "sketch":
        return {"unlike"}
    if config.redrawn_steps and step == config.draft_steps - 1:
        return {"elsewhere", "unvouched"}
    return set() if config.revision is None else {config.revision.reason}


def reopening_steps(trace: Trace) -> set[int]:
    """Steps before which any committed position may be masked again: where a branch took over from its parent, and, in traces from before
    this was recorded, where a redraw begins."""
    configs = [DecodingConfig.from_dict(data) for data in (trace.config, *(line.parent_config for line in trace.branches))]
    told = {record.step + 1 for record in trace.steps if record.passes is not None}
    return {line.at_step for line in trace.branches} | {config.draft_steps for config in configs if config.redrawn_steps} - told


def reopened_by(record: StepRecord | None) -> np.ndarray | Literal[False]:
    """Which positions a step says that it opened again: "n" bool, or False for none."""
    return False if record is None or record.reopened is None else record.reopened > 0


def check_story(trace: Trace) -> None:
    """Replay the commits: tokens never change once committed, the last step leaves nothing, the result is what the trace says.

    Args:
        trace: its arrays have the right shapes, types and ranges (see `trace.check`).

    Raises:
        TraceFormatError: naming the step and what does not follow from the one before.
    """
    tokens, unmask_step = trace.tokens.reshape(-1), trace.unmask_step.reshape(-1)
    anywhere = reopening_steps(trace)
    opened: np.ndarray | Literal[False] = False
    masked = trace.steps[0].masked_before
    held = np.where(masked, -1, trace.steps[0].sampled)
    since = np.where(masked, -2, unmask_step)
    for record in trace.steps:
        where = f"step {record.step}: "
        added = record.masked_before & ~masked & ~np.asarray(opened)
        require(not (masked & ~record.masked_before).any(), f"{where}a position is no longer masked but was never committed")
        require(record.step in anywhere or not added.any(), f"{where}a committed position is masked again")
        closed = np.asarray(opened) & ~record.masked_before
        require(record.step in anywhere or not closed.any(), f"{where}a position that was opened again is not masked")
        before = ~record.masked_before
        require(bool((record.sampled[before] == held[before]).all()), f"{where}a committed token changed")
        held = np.where(record.committed, record.sampled, held)
        since = np.where(record.committed, record.step, since)
        masked = record.masked_before & ~record.committed
        opened = reopened_by(record)
        require(not (masked & opened).any(), f"{where}a position is opened again that was still masked")
        told = set() if record.reopened is None else {REASONS[code].name for code in np.unique(record.reopened[record.reopened > 0])}
        strange = told - (reasons_at(settings_at(trace, record.step), record.step, trace.origin) if told else set())
        require(not strange, f"{where}positions are masked again as {', '.join(sorted(strange))}, which its settings do not do")
    require(not np.any(opened), f"step {trace.steps[-1].step}: the last step opens positions again")
    require(not masked.any(), f"{int(masked.sum())} positions are still masked after the last step")
    require(bool((held == tokens).all()), "tokens is not what the steps committed")
    require(bool((since == unmask_step).all()), "unmask_step is not when the steps committed")
    first = trace.steps[0].step
    given = ~trace.steps[0].masked_before & (unmask_step >= first)
    early = given & ~np.logical_or.reduce([record.committed for record in trace.steps])
    require(not early.any(), f"unmask_step of a position present before step {first} must be below {first}")
