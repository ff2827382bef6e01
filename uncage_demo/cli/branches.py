"""Branches on the command line: `generate --branch JSON`, once for each, in the order in which they were made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from uncage_demo.config import DecodingConfig
from uncage_demo.setting import shortened, whole_number

if TYPE_CHECKING:
    from uncage_demo.backends.base import Backend
    from uncage_demo.trace.record import Trace

HELP = (
    "go on from a step of the run with a change, as the page's branches do; once for each branch, in order: "
    '{"at_step": 3, "keep": [12], "drop": [], "forbid": {"40": [7]}, "suppress_word": 2, "settings": {"order": "halton"}, "of": "ID"}; '
    'all but at_step may be left out; "of" is the id of the run that is changed, and another run is refused'
)
_KEYS = ("at_step", "keep", "drop", "forbid", "suppress_word", "settings", "of")


@dataclass(frozen=True)
class BranchWish:
    """One branch that a command asks for.

    Args:
        at_step: its first step, from 0.
        changes: keep, drop, forbid, suppress_word, as `branching.branch` takes them.
        settings: what changes of the run's settings.
        of: id of the run that it changes; "" = any.
    """

    at_step: int
    changes: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    of: str = ""


def parse_branch(text: str) -> BranchWish:
    """One --branch.

    Raises:
        ValueError: naming what is wrong and what is allowed.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict) or "at_step" not in data or not set(data) <= set(_KEYS):
        raise ValueError(f"--branch {shortened(text)}: give a JSON object with at_step, and some of {', '.join(_KEYS[1:])}")
    changes: dict[str, Any] = {}
    for name in ("keep", "drop"):
        if name in data:
            changes[name] = tuple(_whole_numbers(name, data[name]))
    if "forbid" in data:
        if not isinstance(data["forbid"], dict) or not all(key.isascii() and key.isdigit() for key in data["forbid"]):
            raise ValueError(f'--branch forbid={shortened(data["forbid"])}: give positions with token ids, such as {{"40": [7]}}')
        changes["forbid"] = {int(key): tuple(_whole_numbers("forbid", ids)) for key, ids in data["forbid"].items()}
    if data.get("suppress_word") is not None:
        changes["suppress_word"] = whole_number("--branch suppress_word", data["suppress_word"], 0, 511)
    settings, of = data.get("settings", {}), data.get("of", "")
    if not isinstance(settings, dict) or not isinstance(of, str):
        raise ValueError(f"--branch {shortened(text)}: settings is an object, of a text")
    DecodingConfig.from_dict(settings)
    return BranchWish(whole_number("--branch at_step", data["at_step"], 0, 255), changes, settings, of)


def branched(backend: Backend, trace: Trace, wishes: Sequence[BranchWish]) -> Trace:
    """The run after its branches, one after the other.

    Raises:
        ValueError: a branch of another run than the one that came out, or changes that do not fit.
    """
    from uncage_demo.branching import branch

    for wish in wishes:
        if wish.of and wish.of != trace.id:
            raise ValueError(f"--branch of={wish.of!r}: the run that came out is {trace.id}, so that this branch would be another one")
        config = DecodingConfig.from_dict({**trace.config, **wish.settings}) if wish.settings else None
        trace = branch(backend, trace, wish.at_step, config=config, **wish.changes)
    return trace


def _whole_numbers(name: str, values: Any) -> list[int]:
    if not isinstance(values, list):
        raise ValueError(f"--branch {name}={shortened(values)}: give a list of whole numbers")
    return [whole_number(f"--branch {name}", value, 0, 2**16 - 1) for value in values]
