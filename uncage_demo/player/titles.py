"""What the stages are called: the order, what a branch or an edit changed, age and seed where they differ."""

from __future__ import annotations

from collections.abc import Sequence

from uncage_demo.orders.table import ORDERS, order_of
from uncage_demo.prompt.judging import counted
from uncage_demo.trace.lineage import Edits
from uncage_demo.trace.record import Trace

_SWITCH = "Switch from"


def stage_titles(traces: Sequence[Trace]) -> list[str]:
    """The order's name, with what was changed for a branch, and the seed where seeds differ; where the model's ages differ, the age first,
    because a narrow stage cuts the end of its title."""
    seeds, ages = (len({of(t) for t in traces}) > 1 for of in (lambda t: t.config["seed"], lambda t: t.age))
    names = []
    for t in traces:
        order = order_of(t.config["order"]).title
        asked = t.origin is None or t.origin.kind not in ("picture", "sketch")  # neither asks the order
        order = " · ".join(filter(None, (order if asked else "", edit_made(t))))
        parts = [branch_change(t), f"step {t.lineage.at_step + 1}", order] if t.lineage else [order]
        if parts[0].startswith(_SWITCH):  # the new order tells the branch from others
            parts = [parts[2], parts[1], parts[0].replace("S", "s", 1)]
        name = " · ".join(parts)
        name = f"{t.age_said.capitalize()} · {name}" if ages else name
        names.append(f"{name}, seed {t.config['seed']}" if seeds else name)
    return names


def edit_made(trace: Trace) -> str:
    """What an edit did, e.g. "25 cells drawn again"; "" for a run from an empty grid."""
    origin = trace.origin
    if origin is None:
        return ""
    drawn = int(trace.steps[0].masked_before.sum())
    if origin.kind == "extend":
        # What was there moves away from the side on which room is made.
        sides = zip(origin.shift, (("row", "above", "below"), ("column", "on the left", "on the right")), strict=True)
        return "Extended: " + " and ".join(f"{counted(abs(by), line)} {(here, there)[by < 0]}" for by, (line, here, there) in sides if by)
    if origin.kind == "remix":
        return f"Round {origin.round}, {counted(drawn, 'cell')}"
    if origin.kind == "compose":
        pinned = trace.tokens.size - drawn
        parts = [counted(pinned, "pin")] if pinned else []
        return "With " + " and ".join(parts + ([counted(len(origin.regions), "region")] if origin.regions else []))
    if origin.kind == "sketch":
        return "With a picture's structure"
    return "Your picture" if origin.kind == "picture" else f"{counted(drawn, 'cell')} drawn again"


def branch_change(trace: Trace) -> str:
    """What a branch changed in the run that it continues, e.g. "Forbid token at row 11, column 11"; edits of that run are left out."""
    lineage = trace.lineage
    if lineage is None:
        return ""
    old = lineage.earlier[0].edits if lineage.earlier else Edits((), (), (), None)
    edits, columns = lineage.edits, trace.grid[1]
    changes = []
    for name, cells, known in (
        ("Commit now at", edits.keep, old.keep),
        ("Delay at", edits.drop, old.drop),
        ("Forbid token at", [cell for cell, _ in edits.forbid], [line[0] for line in old.forbid if line in edits.forbid]),
    ):
        changes += [f"{name} row {cell // columns + 1}, column {cell % columns + 1}" for cell in cells if cell not in known]
    hidden = edits.suppress_word
    if hidden is not None and hidden != old.suppress_word:
        changes.append(f"Without “{trace.prompt.words[hidden].text}”")
    before = lineage.parent_config.get("order")
    if before != trace.config["order"] and before in ORDERS:
        changes.append(f"{_SWITCH} {ORDERS[before].title}")
    return " and ".join(changes) or "Other settings"
