"""The laboratory: every training-free method at equal numbers of forwards, and success against forwards as one plot per suite.

One experiment per number of forwards, "laboratory-16" and so on: `uncage bench --experiment laboratory --steps 16`, where the steps are
those of the baseline; a method that asks for more forwards in each step takes fewer steps. What is chosen on one half of the prompts
(`--split choose`, seeds below 100) is confirmed once on the other half (`--split confirm`, seeds from 100 on).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from uncage_demo.bench.records import Record
from uncage_demo.bench.tables import Table, build_table
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.cost import at_forwards

NAME = "laboratory"
FORWARDS = (8, 12, 16, 24, 32)
# Objects of the prompts of the suites that methods are compared on; what costs more for more objects is paid for as many.
OBJECTS = 2
# What a method must beat: the best on the clean world, and the published one.
RIVALS = ("redraw", "uncage")
_EXPERIMENT = re.compile(rf"({NAME}(?:-[a-z]+)*)-(\d+)")

# Label -> settings. Every method alone at one or two strengths, then combinations with the orders that spread or bind.
METHODS: dict[str, dict[str, Any]] = {
    "meissonic": {},
    "uncage": {"order": "uncage"},
    "anchored": {"order": "anchored"},
    "halton": {"order": "halton"},
    "redraw": {"order": "redraw"},
    "mend": {"order": "mend"},
    "remask 0.02": {"revise": "remask", "revise_strength": 0.02},
    "remask 0.1": {"revise": "remask", "revise_strength": 0.1},
    "plan 0.5": {"revise": "plan", "revise_strength": 0.5},
    "plan 1": {"revise": "plan", "revise_strength": 1.0},
    "correct 1/64": {"revise": "correct"},
    "correct 1/16": {"revise": "correct", "revise_strength": 1 / 16},
    "critic 0.1": {"revise": "critic", "revise_strength": 0.1},
    "critic 0.25": {"revise": "critic", "revise_strength": 0.25},
    "zigzag 0.1": {"revise": "zigzag", "revise_strength": 0.1},
    "zigzag 0.25": {"revise": "zigzag", "revise_strength": 0.25},
    "entropy 1": {"how_many": "entropy", "entropy_budget": 1.0},
    "entropy 4": {"how_many": "entropy", "entropy_budget": 4.0},
    "confidence 0.9": {"how_many": "confidence", "confidence_threshold": 0.9},
    "first hitting": {"how_many": "first_hitting"},
    "spacing 2": {"spacing": 2.0},
    "spacing 3": {"spacing": 3.0},
    "halton from the objects": {"order": "halton_aware"},
    "guidance, first half": {"guidance_interval": (0.0, 0.5)},
    "guidance, after a quarter": {"guidance_interval": (0.25, 1.0)},
    "guidance, growing": {"guidance_schedule": "ramp"},
    "reuse 3": {"reuse_steps": 3},
    "experts 0.5": {"composition": 0.5},
    "experts 1": {"composition": 1.0},
    "self-guidance 1": {"self_guidance": 1.0},
    "logit noise 0.5": {"logit_noise": 0.5},
    "logit noise 2": {"logit_noise": 2.0},
    "differential 0.25": {"differential": 0.25},
    "entropy heat 0.4": {"entropy_heat": 0.4, "token_temperature": 0.6},
    "zigzag 0.1, differential 0.25, logit noise 0.5": {
        "revise": "zigzag",
        "revise_strength": 0.1,
        "differential": 0.25,
        "logit_noise": 0.5,
    },
    "uncage, differential 0.25": {"order": "uncage", "differential": 0.25},
    "uncage, spacing 2": {"order": "uncage", "spacing": 2.0},
    "uncage, plan 1": {"order": "uncage", "revise": "plan", "revise_strength": 1.0},
    "uncage, critic 0.25": {"order": "uncage", "revise": "critic", "revise_strength": 0.25},
    "anchored, spacing 2": {"order": "anchored", "spacing": 2.0},
    "anchored, redraw": {"order": "anchored", "redraw_share": 4},
    "redraw, spacing 2": {"order": "redraw", "spacing": 2.0},
    "redraw, plan 1": {"order": "redraw", "revise": "plan", "revise_strength": 1.0},
    "halton, critic 0.25": {"order": "halton", "revise": "critic", "revise_strength": 0.25},
    "mend, spacing 2": {"order": "mend", "spacing": 2.0},
    "uncage, guidance first half": {"order": "uncage", "guidance_interval": (0.0, 0.5)},
    "anchored, guidance first half": {"order": "anchored", "guidance_interval": (0.0, 0.5)},
    "redraw, guidance first half": {"order": "redraw", "guidance_interval": (0.0, 0.5)},
    "redraw, plan 1, guidance first half": {"order": "redraw", "revise": "plan", "revise_strength": 1.0, "guidance_interval": (0.0, 0.5)},
    "anchored, redraw, guidance first half": {"order": "anchored", "redraw_share": 4, "guidance_interval": (0.0, 0.5)},
    "mend, guidance first half": {"order": "mend", "guidance_interval": (0.0, 0.5)},
    "mend, differential 0.25, guidance first half": {"order": "mend", "differential": 0.25, "guidance_interval": (0.0, 0.5)},
    "mend, spacing 2, guidance first half": {"order": "mend", "spacing": 2.0, "guidance_interval": (0.0, 0.5)},
}


def methods_at(base: DecodingConfig, count: int) -> dict[str, DecodingConfig]:
    """Every method with as many steps as `count` forwards pay for.

    Args:
        base: settings shared by all, nothing left to the model. count: forwards.
    """
    made = {}
    for label, changes in METHODS.items():
        settings = {name: value for name, value in changes.items() if name != "redraw_share"}
        config = at_forwards(base.with_(**settings), count, OBJECTS)
        if "redraw_share" in changes:
            config = config.with_(redraw_steps=config.total_steps // changes["redraw_share"])
        made[label] = config
    return made


def series_of(experiment: str) -> tuple[str, int] | None:
    """The series that an experiment belongs to and its number of forwards; None for one that is not of the laboratory.

    "laboratory-16" is of the series "laboratory", "laboratory-web-24" of "laboratory-web": another model's results are another curve.
    """
    found = _EXPERIMENT.fullmatch(experiment)
    return (found[1], int(found[2])) if found else None


def series_in(records: Sequence[Record], least: int = 1) -> list[tuple[str, str]]:
    """(series, suite) of everything that was measured at `least` numbers of forwards or more, in the order of the records."""
    counts: dict[tuple[str, str], set[int]] = {}
    for experiment, suite in dict.fromkeys((record["experiment"], record["suite"]) for record in records):
        if found := series_of(experiment):
            counts.setdefault((found[0], suite), set()).add(found[1])
    return [key for key, seen in counts.items() if len(seen) >= least]


def curves(records: Sequence[Record], suite: str, series: str = NAME) -> dict[str, dict[int, Table]]:
    """For each rival the table at every number of forwards, lowest first: {rival: {forwards: table}}.

    Args:
        records: result lines, others are left out. suite: whose. series: see `series_of`.
    """
    of_suite = [record for record in records if record["suite"] == suite]
    methods: dict[int, set[str]] = {}
    for record in of_suite:
        found = series_of(record["experiment"])
        if found is not None and found[0] == series:
            methods.setdefault(found[1], set()).add(record["method"])
    return {
        rival: {
            count: build_table(records, f"{series}-{count}", suite, baseline=rival) for count in sorted(methods) if rival in methods[count]
        }
        for rival in RIVALS
    }
