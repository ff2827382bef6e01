"""What handlers answer with: messages for the page's scripts."""

from __future__ import annotations

import itertools
import json
from typing import Any

from uncage_demo.prompt.judging import counted
from uncage_demo.ui.jobs import Place

_sequence = itertools.count(1)


def message(kind: str, **data: Any) -> str:
    """A message to a component's script: JSON text with a number that makes it new, and no "<" in it."""
    return json.dumps({"kind": kind, "seq": next(_sequence), **data}, default=str).replace("<", "\\u003c")


def said_place(place: Place) -> str:
    """A waiting run's place and the time left, in words."""
    time_left = "" if place.seconds is None else f", about {_said_time(place.seconds)}"
    runs = counted(place.ahead, "run")
    if place.full:
        kept = "Your prompt is kept, and you are let in as soon as there is room."
        return f"The line is full: {runs} {'is' if place.ahead == 1 else 'are'} before yours{time_left}. {kept}"
    if not place.ahead:
        return "Starting…"
    return f"Waiting: {runs} before yours{time_left}"


def _said_time(seconds: float) -> str:
    return f"{max(1, round(seconds))} s" if seconds < 90 else f"{round(seconds / 60)} min"
