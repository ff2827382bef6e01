"""How a notebook shows runs: the player stands on traces, so whoever puts the package together says here what shows them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uncage_demo.trace.record import Trace

_show: Callable[[Sequence[Trace]], str] | None = None


def show_with(function: Callable[[Sequence[Trace]], str]) -> None:
    """Say what shows runs from now on.

    Args:
        function: from one run or several to HTML; called when a notebook asks, so it may import what it needs then.
    """
    global _show
    _show = function


def shown(traces: Sequence[Trace]) -> str | None:
    """HTML of the runs; None, where nobody has said how to show them: a notebook then prints them as Python does."""
    return None if _show is None else _show(traces)
