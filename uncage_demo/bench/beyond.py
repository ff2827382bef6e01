"""Ideas beyond UNCAGE: chosen on one half of the prompts, confirmed once on the other half with other seeds; every idea is shown.

Experiments whose name begins with "choose" hold the ideas, those that begin with "confirm" the confirmation. Labels may be anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from uncage_demo.bench.records import Record
from uncage_demo.bench.tables import METRICS, Row, Table, build_table, format_difference, format_estimate, format_p, markdown_table
from uncage_demo.decoding.config import DecodingConfig

CHOOSE, CONFIRM = "choose", "confirm"


@dataclass(frozen=True)
class Idea:
    """One method beyond UNCAGE.

    Args:
        label: its name in the lines.
        chosen, confirmed: its rows, with the comparison against the reference; None where it was not run.
    """

    label: str
    chosen: Row | None
    confirmed: Row | None


@dataclass(frozen=True)
class Beyond:
    """All ideas with the tables they stand in.

    Args:
        choosing, confirming: tables of the experiments, each compared with `reference` of the same place in its list.
        references: labels that the tables compare with: UNCAGE where a table has it, else the experiment's baseline.
        ideas: best first, as chosen; references and baselines are not among them.
        shared_prompts, shared_seeds: what the two halves have in common (should be nothing).
    """

    choosing: tuple[Table, ...]
    confirming: tuple[Table, ...]
    references: tuple[str, ...]
    ideas: tuple[Idea, ...]
    shared_prompts: int
    shared_seeds: int

    def clear(self) -> list[Idea]:
        """Ideas whose confirmation is above the reference with an interval clear of zero."""
        return [i for i in self.ideas if i.confirmed and i.confirmed.comparison and i.confirmed.comparison.difference.low > 0]


def is_idea(experiment: str) -> bool:
    """Whether an experiment belongs to this section."""
    return experiment.startswith((CHOOSE, CONFIRM))


def reference_of(table: Table) -> str:
    """The label of UNCAGE with its default settings in a table; the baseline where there is none."""
    default = DecodingConfig(order="uncage").to_dict()
    base = table.row(table.baseline).settings
    for row in table.rows:
        if row.method.lower() == "uncage":
            return row.method
    contrast = ("contrast_weight", "contrast_mode", "contrast_rescale", "attention_source", "use_confidence", "use_noise")
    for row in table.rows:
        rest = {k: v for k, v in row.settings.items() if k != "order" and base.get(k) != v}
        if row.settings.get("order") == "uncage" and not rest and all(row.settings.get(k, default[k]) == default[k] for k in contrast):
            return row.method
    return table.baseline


def gather(records: Sequence[Record]) -> Beyond:
    """Read the ideas from result lines.

    Raises:
        ValueError: when lines contradict each other (see `build_table`).
    """
    names = list(dict.fromkeys(r["experiment"] for r in records if is_idea(r["experiment"])))
    tables: dict[str, Table] = {}
    plain: set[str] = set()
    for name in names:
        first = build_table(records, name)
        tables[name] = build_table(records, name, metrics=[first.primary], primary=first.primary, baseline=reference_of(first))
        plain |= {first.baseline, tables[name].baseline}
    choosing = tuple(t for n, t in tables.items() if n.startswith(CHOOSE))
    confirming = tuple(t for n, t in tables.items() if n.startswith(CONFIRM))
    labels = dict.fromkeys(row.method for t in (*choosing, *confirming) for row in t.rows if row.method not in plain)
    ideas = [Idea(label, _find(choosing, label), _find(confirming, label)) for label in labels]
    ideas.sort(key=lambda idea: -_gain(idea.chosen or idea.confirmed))
    sides = [[r for r in records if r["experiment"].startswith(part)] for part in (CHOOSE, CONFIRM)]
    prompts, seeds = ([{r[key] for r in side} for side in sides] for key in ("prompt", "seed"))
    references = tuple(t.baseline for t in (*choosing, *confirming))
    return Beyond(choosing, confirming, references, tuple(ideas), len(prompts[0] & prompts[1]), len(seeds[0] & seeds[1]))


def beyond_section(records: Sequence[Record], plots: str = "") -> str:
    """The ideas as Markdown: how they were tried, every one with its intervals, and what was confirmed."""
    found = gather(records)
    first = (*found.choosing, *found.confirming)[0]
    metric = METRICS[first.primary]
    against = " or ".join(dict.fromkeys(found.references))
    unit = ", points" if metric.percent else ""
    columns = (metric.heading + (" %" if metric.percent else ""), f"against {against}{unit}", "p (Holm)")
    head = ["idea", *(f"{part}: {column}" for part in ("choosing", "confirming") for column in columns)]
    lines = []
    for name in dict.fromkeys((*_baselines(records), *found.references)):
        lines.append([name, *_cells(_find(found.choosing, name), first), *_cells(_find(found.confirming, name), first)])
    lines += [[idea.label, *_cells(idea.chosen, first), *_cells(idea.confirmed, first)] for idea in found.ideas]
    picture = f"![Ideas beyond UNCAGE]({plots}/beyond.png)\n" if plots else ""
    return f"### Beyond UNCAGE\n\n{_how(found)}\n\n{markdown_table(head, lines)}\n{verdict(found)}\n\n{picture}"


def verdict(found: Beyond) -> str:
    """What was confirmed, what was not, and how many ideas did not get that far."""
    against = " or ".join(dict.fromkeys(found.references))
    tried = [idea for idea in found.ideas if idea.confirmed]
    if not tried:
        return "No idea has been taken to the other half yet; nothing is claimed."
    clear = found.clear()
    parts = [f"**Confirmed**: {_told(idea)} against {against} on prompts and seeds that it was not chosen on." for idea in clear] or [
        f"**None was confirmed** as better than {against}."
    ]
    parts += [f"Not confirmed: {_told(idea)}." for idea in tried if idea not in clear]
    left = len(found.ideas) - len(tried)
    if left:
        parts.append(f"The other {left} idea{'s' if left > 1 else ''} went no further than the choosing half.")
    return " ".join(parts)


def _how(found: Beyond) -> str:
    sizes = [("Chosen on", found.choosing), ("confirmed on", found.confirming)]
    told = "; ".join(f"{name} {' and '.join(_half(t) for t in tables)}" for name, tables in sizes if tables) + "."
    if found.choosing and found.confirming:
        shared = {"prompts": found.shared_prompts, "seeds": found.shared_seeds}
        common = " and ".join(f"{count} {name}" for name, count in shared.items() if count)
        told += f" In common: {common or 'no prompt and no seed'}."
    return told + " Every idea that was measured is listed, the failed ones too; the order is that of the choosing half."


def _half(table: Table) -> str:
    seeds = table.seeds
    span = f"{seeds[0]}-{seeds[-1]}" if len(seeds) > 1 and seeds == tuple(range(seeds[0], seeds[-1] + 1)) else ", ".join(map(str, seeds))
    return f"{table.prompts:,} prompts of {table.suite}, seed{'s' if len(seeds) > 1 else ''} {span}, {table.images:,} images a method"


def _baselines(records: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(str(r.get("baseline", r["method"])) for r in records if is_idea(r["experiment"])))


def _find(tables: Sequence[Table], label: str) -> Row | None:
    """The row of that label; of the last table that has it (a later experiment repeats an earlier one with more images)."""
    return next((row for table in reversed(tables) for row in table.rows if row.method == label), None)


def _gain(row: Row | None) -> float:
    return row.comparison.difference.value if row and row.comparison else 0.0


def _cells(row: Row | None, table: Table) -> list[str]:
    metric = METRICS[table.primary]
    if row is None:
        return ["", "", ""]
    value = format_estimate(row.estimates[table.primary], metric)
    if row.comparison is None or row.adjusted_p is None:
        return [value, "reference", ""]
    return [value, format_difference(row.comparison.difference, metric), format_p(row.adjusted_p)]


def _told(idea: Idea) -> str:
    assert idea.confirmed is not None
    comparison = idea.confirmed.comparison
    if comparison is None:
        return idea.label
    metric = METRICS[next(iter(idea.confirmed.estimates))]
    told = format_difference(comparison.difference, metric) + (" points" if metric.percent else "")
    return f"*{idea.label}*, {told} (win / tie / loss {comparison.win} / {comparison.tie} / {comparison.loss})"
