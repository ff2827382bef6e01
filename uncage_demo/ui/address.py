"""What the page's address says that the page cannot use: it is told once, and the page opens as it does without it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import SequenceMatcher
from itertools import islice

from uncage_demo.backends.options import OPTIONS
from uncage_demo.setting import listed, shortened
from uncage_demo.ui import lessons
from uncage_demo.ui.models import entry_of
from uncage_demo.ui.settings import MAX_STAGES, SHARED_FIELDS, from_query

TABS = ("play", "compare", "learn", "results")
LAYERS = ("picture", "guess", "order", "confidence", "object", "word", "contrast", "difference")  # of player-layers.js
_SETTINGS = ("model", "orders", "age", "frames", "edits", *(one.name for one in OPTIONS), *SHARED_FIELDS)
_RUNS = ("prompt", "example", "runs", "branches")
# How page-address.js reads them.
_VIEW = {
    "step": (r"[0-9]{1,6}", "a whole number from 0"),
    "object": (r"0*[1-9][0-9]{0,5}", "a whole number from 1"),
    "word": (r"0*[1-9][0-9]{0,5}", "a whole number from 1"),
    "cell": (r"0*[1-9][0-9]{0,5}(-0*[1-9][0-9]{0,5})", "ROW-COLUMN, such as 3-5"),
    "region": (r"0*[1-9][0-9]{0,5}(-0*[1-9][0-9]{0,5}){3}", "TOP-LEFT-BOTTOM-RIGHT, such as 2-3-4-5"),
    "stage": (r"[A-X]", "the letter of a picture, from A"),
    "embed": (r"1", "1"),
}
_CHOICES = {"tab": TABS, "layer": LAYERS, "of": LAYERS[:-1]}
_KNOWN = (*_RUNS, *_SETTINGS, *_VIEW, *_CHOICES, "lesson")
_ALIKE, _PERHAPS = 0.75, 0.7  # likeness of a name to one of ours: surely meant for us, and named beside it
_MOST_TOLD, _MOST_READ, _LONGEST_NAME = 4, 50, 40  # nobody can keep the server busy with a long address
_ON_STAGE = 2  # orders that the first tab draws


def misunderstood(query: Mapping[str, str]) -> str:
    """A sentence on the parameters that the page leaves out, with what is allowed; "" where there are none.

    Names that resemble none of ours belong to other programs. Settings beside a prompt are not looked at: what draws a picture is
    taken as a whole or refused (see `settings.from_query`).

    Args:
        query: parameters of an address, untrusted.
    """
    told = [said for name, value in islice(query.items(), _MOST_READ) if (said := _wrong(name, value, query))]
    if not told:
        return ""
    more = f"; and {len(told) - _MOST_TOLD} more" if len(told) > _MOST_TOLD else ""
    return f"Left out of the address: {'; '.join(told[:_MOST_TOLD])}{more}."


def _wrong(name: str, value: str, query: Mapping[str, str]) -> str:
    if len(name) > _LONGEST_NAME:
        return ""
    if name not in _KNOWN:
        near = sorted(((SequenceMatcher(None, name.lower(), known).ratio(), known) for known in _KNOWN), reverse=True)
        names = [known for likeness, known in near if likeness >= _PERHAPS][:2]
        return f"{shortened(name, _LONGEST_NAME)} (is {' or '.join(names)} meant?)" if near[0][0] >= _ALIKE else ""
    if not value:
        return ""
    if name in _CHOICES and value not in _CHOICES[name]:
        return f"{name}={shortened(value, _LONGEST_NAME)}: choose one of {listed(_CHOICES[name])}"
    if name in _VIEW and not re.fullmatch(_VIEW[name][0], value, re.ASCII) and not (name == "step" and "prompt" in query):
        return f"{name}={shortened(value, _LONGEST_NAME)}: give {_VIEW[name][1]}"
    if name == "lesson" and not lesson_number(value):
        return f"lesson={shortened(value, _LONGEST_NAME)}: give a whole number from 1 to {len(lessons.all_lessons())}"
    if name in _SETTINGS and "prompt" not in query:
        return _setting(name, value)
    if name == "orders" and len(value.split(",")) > _ON_STAGE:
        return f"orders after the first {_ON_STAGE} (Compare draws up to {MAX_STAGES})"
    if name == "branches" and not {"prompt", "example"} & set(query):
        return "branches: a link has them beside its prompt or its example"
    return ""


def _setting(name: str, value: str) -> str:
    """What is wrong with a setting that stands alone: its value, or that there is no prompt."""
    try:
        if name == "model":
            entry_of(value)
        from_query({name: value})
    except ValueError as error:
        return str(error).removeprefix("in the link: ").rstrip(".")
    return f"{name}={shortened(value, _LONGEST_NAME)}: a link has settings beside its prompt"


def lesson_number(text: object) -> int:
    """Lesson of a link, 1-based; 0 for anything else than a number of a lesson."""
    return int(str(text)) if re.fullmatch(r"[0-9]{1,3}", str(text)) and 1 <= int(str(text)) <= len(lessons.all_lessons()) else 0
