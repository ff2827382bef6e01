"""Branches in a link: the runs that they continue are named by the letters of their stages, so that a fresh page can make them again."""

from __future__ import annotations

import json
from collections.abc import Sequence

from uncage_demo.setting import shortened
from uncage_demo.trace.record import Trace
from uncage_demo.trace.reproduce import branch_steps
from uncage_demo.trace.wish import BranchWish, parse_branch
from uncage_demo.ui.settings import MAX_STAGES

MAX_CHARS = 8000  # of all branches of a link; servers refuse much longer addresses


def roots_of(traces: Sequence[Trace]) -> list[Trace] | None:
    """The runs on stage that a link describes by prompt and settings; None where a branch's parent is not before it on stage, or one is an
    edit."""
    roots = [trace for trace in traces if trace.lineage is None]
    known = {trace.id for trace in roots}
    if not roots or roots != list(traces[: len(roots)]) or any(trace.origin for trace in traces):
        return None
    for trace in traces[len(roots) :]:
        if trace.lineage is None or trace.lineage.parent not in known:
            return None
        known.add(trace.id)
    return roots


def branches_text(traces: Sequence[Trace]) -> str:
    """The branches on stage as a link has them; "" where there are none, or too many for a link.

    Args:
        traces: the runs on stage, every branch after the run that it continues (see `roots_of`).
    """
    letters = {trace.id: chr(ord("A") + number) for number, trace in reversed(list(enumerate(traces)))}
    wishes = [{**branch_steps(trace)[-1], "of": letters[trace.lineage.parent]} for trace in traces if trace.lineage]
    text = json.dumps(wishes, separators=(",", ":")) if wishes else ""
    return text if len(text) <= MAX_CHARS else ""


def parse_branches(text: str, stages: int) -> list[BranchWish]:
    """Inverse of branches_text.

    Args:
        text: a link's, untrusted.
        stages: runs that are on stage before the branches.

    Raises:
        ValueError: naming what is wrong and what is allowed.
    """
    if len(text) > MAX_CHARS:
        raise ValueError(f"branches has {len(text)} characters: at most {MAX_CHARS}")
    try:
        listed = json.loads(text)
    except (ValueError, RecursionError):
        listed = None
    if not isinstance(listed, list) or not 1 <= len(listed) <= MAX_STAGES - stages:
        raise ValueError(f"branches={shortened(text)}: give a JSON list of 1 to {MAX_STAGES - stages} branches")
    wishes = [parse_branch(json.dumps(one), "branch") for one in listed]
    for number, wish in enumerate(wishes, stages):
        allowed = [chr(ord("A") + stage) for stage in range(number)]
        if wish.of not in allowed:
            raise ValueError(f"branch of={shortened(wish.of)}: choose one of {', '.join(allowed)}")
    return wishes
