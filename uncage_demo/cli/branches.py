"""Branches on the command line: `generate --branch JSON`, once for each, in the order in which they were made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from uncage_demo.trace.wish import BranchWish, changed

if TYPE_CHECKING:
    from uncage_demo.backends.base import Backend
    from uncage_demo.trace.record import Trace

HELP = (
    "go on from a step of the run with a change, as the page's branches do; once for each branch, in order: "
    '{"at_step": 3, "keep": [12], "drop": [], "forbid": {"40": [7]}, "suppress_word": 2, "settings": {"order": "halton"}, "of": "ID"}; '
    'all but at_step may be left out; "of" is the id of the run that is changed, and another run is refused'
)


def branched(backend: Backend, trace: Trace, wishes: Sequence[BranchWish]) -> Trace:
    """The run after its branches, one after the other.

    Raises:
        ValueError: a branch of another run than the one that came out, or changes that do not fit.
    """
    from uncage_demo.branching import branch

    for wish in wishes:
        if wish.of and wish.of != trace.id:
            raise ValueError(f"--branch of={wish.of!r}: the run that came out is {trace.id}, so that this branch would be another one")
        trace = branch(backend, trace, **changed(trace.config, wish))
    return trace
