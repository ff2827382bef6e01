"""What must hold in every run: each step commits as many tokens as the schedule asks for, and a committed token changes only where a step
says that it was taken back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.redraw import phase_at
from uncage_demo.decoding.schedule import stay_masked
from uncage_demo.orders.counts import ENTROPY
from uncage_demo.trace.record import StepRecord, Trace
from uncage_demo.trace.story import reopened_by, reopening_steps

_KINDS = {"start": 0, "end": 1, "pad": 2}


@dataclass(frozen=True)
class Health:
    """The invariants of one run.

    Args:
        scheduled: tokens that the schedule, or whatever else decides how many, asks for in each step: as many more as the step took back.
        counts_ok: whether each step committed that many.
        changed: committed tokens that a later step altered although no step had taken them back; 0 in a healthy run.
        taken_back: committed tokens that steps took back, by their own account.
        special: "s 3" float32 share of the attention on start, end and padding tokens (mean over cells), not-a-number for a kind that was
            not recorded; None without attention.
    """

    scheduled: list[int]
    counts_ok: bool
    changed: int
    taken_back: int
    special: np.ndarray | None


def health(trace: Trace) -> Health:
    """Check the invariants of a run.

    Args:
        trace: a finished or partial run.

    Source: the schedule of 2202.04200 section 3.3 as `decoding.schedule` has it.
    """
    config = DecodingConfig.from_dict(trace.config)
    scheduled, changed = [], 0
    previous: StepRecord | None = None
    first = trace.steps[0]
    # What the schedule counts over: every cell but those given from outside; in a redraw, those that it began with.
    total = int((first.masked_before | (trace.unmask_step.reshape(-1) >= 0)).sum())
    anywhere = reopening_steps(trace)
    for record in trace.steps:
        masked = int(record.masked_before.sum())
        at_work, step = phase_at(config, record.step)
        if config.redrawn_steps and step == 0 and record.step:
            total = masked
        if config.how_many == ENTROPY and record.entropy is None:
            stay = masked - int(record.committed.sum())  # nothing was recorded that could tell
        else:
            stay = stay_masked(at_work, step, total, record.masked_before, record.scores, record.confidence, record.entropy)
        # A draft that is full is opened when its last step ends; the redraw's schedule counts from there.
        ends_draft = config.redrawn_steps > 0 and record.step == config.draft_steps - 1
        scheduled.append(masked - stay + (0 if ends_draft else int(np.sum(reopened_by(record)))))
        if previous is not None:
            fixed = ~previous.masked_before | previous.committed
            if record.step in anywhere:
                fixed &= ~record.masked_before  # a branch may open a cell again; that is no fault
            fixed &= ~(np.asarray(reopened_by(previous)) & record.masked_before)
            changed += int((fixed & (record.masked_before | (previous.sampled != record.sampled))).sum())
        previous = record
    counts = [int(record.committed.sum()) for record in trace.steps]
    taken_back = sum(int(np.sum(reopened_by(record))) for record in trace.steps)
    return Health(scheduled, counts == scheduled, changed, taken_back, _special_mass(trace))


def _special_mass(trace: Trace) -> np.ndarray | None:
    if any(record.attention is None for record in trace.steps):
        return None
    mass = np.full((len(trace.steps), 3), np.nan, np.float32)
    for k, token in enumerate(trace.columns):
        if not trace.prompt.tokens[token].special:
            continue
        kind = _KINDS.get(trace.prompt.tokens[token].text.strip("<>|"), 2)
        share = [float(record.attention[k].mean()) for record in trace.steps if record.attention is not None]
        mass[:, kind] = np.nan_to_num(mass[:, kind]) + np.array(share, np.float32)
    return mass
