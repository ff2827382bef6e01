"""One branch of a run as JSON: what `generate --branch` takes and a link holds, as `reproduce.branch_steps` writes it. Everything in it is
untrusted."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from uncage_demo.config import DecodingConfig
from uncage_demo.setting import shortened, whole_number

_KEYS = ("at_step", "keep", "drop", "forbid", "suppress_word", "settings", "of")


@dataclass(frozen=True)
class BranchWish:
    """One branch that is asked for.

    Args:
        at_step: its first step, from 0.
        changes: keep, drop, forbid, suppress_word, as `branching.branch` takes them.
        settings: what changes of the run's settings.
        of: the run that it changes: its id in a command, the letter of its stage in a link; "" = any.
    """

    at_step: int
    changes: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    of: str = ""


def parse_branch(text: str, what: str = "--branch") -> BranchWish:
    """One branch from JSON text.

    Args:
        text: as `branch_steps` gives it, from anywhere.
        what: its name in messages.

    Raises:
        ValueError: naming what is wrong and what is allowed.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict) or "at_step" not in data or not set(data) <= set(_KEYS):
        raise ValueError(f"{what} {shortened(text)}: give a JSON object with at_step, and some of {', '.join(_KEYS[1:])}")
    changes: dict[str, Any] = {}
    for name in ("keep", "drop"):
        if name in data:
            changes[name] = tuple(_whole_numbers(f"{what} {name}", data[name]))
    if "forbid" in data:
        if not isinstance(data["forbid"], dict) or not all(key.isascii() and key.isdigit() for key in data["forbid"]):
            raise ValueError(f'{what} forbid={shortened(data["forbid"])}: give positions with token ids, such as {{"40": [7]}}')
        changes["forbid"] = {int(key): tuple(_whole_numbers(f"{what} forbid", ids)) for key, ids in data["forbid"].items()}
    if data.get("suppress_word") is not None:
        changes["suppress_word"] = whole_number(f"{what} suppress_word", data["suppress_word"], 0, 511)
    settings, of = data.get("settings", {}), data.get("of", "")
    if not isinstance(settings, dict) or not isinstance(of, str):
        raise ValueError(f"{what} {shortened(text)}: settings is an object, of a text")
    DecodingConfig.from_dict(settings)
    return BranchWish(whole_number(f"{what} at_step", data["at_step"], 0, 255), changes, settings, of)


def changed(trace_config: dict[str, Any], wish: BranchWish) -> dict[str, Any]:
    """The arguments of `branching.branch` after the trace.

    Args:
        trace_config: settings of the run that is branched.
        wish: what is asked for.

    Raises:
        ValueError: settings that do not fit together.
    """
    config = DecodingConfig.from_dict({**trace_config, **wish.settings}) if wish.settings else None
    return {"at_step": wish.at_step, **wish.changes, **({"config": config} if config else {})}


def _whole_numbers(name: str, values: Any) -> list[int]:
    if not isinstance(values, list):
        raise ValueError(f"{name}={shortened(values)}: give a list of whole numbers")
    return [whole_number(name, value, 0, 2**16 - 1) for value in values]
