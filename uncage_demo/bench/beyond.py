"""Ideas beyond UNCAGE: chosen on one half of the prompts, confirmed once on the other half with other seeds; every idea is shown.

Experiments whose name begins with "choose" hold the ideas, those that begin with "confirm" the confirmation, those that begin with
"extra" methods that cost more forwards. Labels may be anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from uncage_demo.bench.records import Record
from uncage_demo.bench.tables import (
    METRICS,
    PLOT_SUFFIX,
    Row,
    Table,
    build_table,
    format_difference,
    format_estimate,
    format_p,
    markdown_table,
    to_markdown,
)
from uncage_demo.config import DecodingConfig

CHOOSE, CONFIRM, EXTRA = "choose", "confirm", "extra"
# Measures that the README shows, of those that the scorer gives.
SHOWN = ("all", "bound", "correct", "min_object", "text_image", "text_text")
FOLDED = 12  # with more ideas than this the README folds the rounds


@dataclass(frozen=True)
class Idea:
    """One method beyond UNCAGE.

    Args:
        label: its name in the lines.
        chosen: its row where it was chosen; None where only the confirmation has it.
        confirmed: its row in each confirmation that has it; none where it did not get that far.
    """

    label: str
    chosen: Row | None
    confirmed: tuple[Row, ...]


@dataclass(frozen=True)
class Round:
    """One experiment that ideas were chosen on.

    Args:
        table: the comparison with its reference: UNCAGE where the table has it, else the experiment's baseline.
        plain: the reference and the experiment's own baseline; no ideas.
        ideas: the others, best first.
    """

    table: Table
    plain: tuple[str, ...]
    ideas: tuple[Idea, ...]


@dataclass(frozen=True)
class Beyond:
    """All ideas with the tables they stand in.

    Args:
        rounds: the experiments that ideas were chosen on.
        confirming: the confirmations, compared with UNCAGE where they have it.
        confirmed: the ideas in them, best first.
        extra: comparisons with methods that cost more forwards.
        shared_prompts, shared_seeds: what choosing and confirming have in common (should be nothing).
    """

    rounds: tuple[Round, ...]
    confirming: tuple[Table, ...]
    confirmed: tuple[Idea, ...]
    extra: tuple[Table, ...]
    shared_prompts: int
    shared_seeds: int

    def clear(self, part: bool = False) -> list[Idea]:
        """Ideas whose every confirmation is above its reference with an interval clear of zero; with `part`, those with only some."""
        held = [(i, [bool(row.comparison and row.comparison.difference.low > 0) for row in i.confirmed]) for i in self.confirmed]
        return [idea for idea, each in held if (any(each) and not all(each) if part else all(each))]


def is_idea(experiment: str) -> bool:
    """Whether an experiment belongs to this section."""
    return experiment.startswith((CHOOSE, CONFIRM, EXTRA))


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
    tables: dict[str, Table] = {}
    plain: dict[str, tuple[str, ...]] = {}
    for name in dict.fromkeys(r["experiment"] for r in records if is_idea(r["experiment"])):
        first = build_table(records, name)
        keys = [key for key in SHOWN if key in first.metrics]
        against = first.baseline if name.startswith(EXTRA) else reference_of(first)
        tables[name] = build_table(records, name, metrics=keys, primary=first.primary, baseline=against)
        plain[name] = tuple(dict.fromkeys((first.baseline, tables[name].baseline)))
    confirming = {name: table for name, table in tables.items() if name.startswith(CONFIRM)}

    def ideas(name: str) -> tuple[Idea, ...]:
        """Of an experiment, each with its confirmations."""
        found = []
        for row in tables[name].rows:
            later = [r for n, table in confirming.items() for r in table.rows if r.method == row.method and r.method not in plain[n]]
            if row.method not in plain[name]:
                found.append(Idea(row.method, None if name in confirming else row, tuple(later)))
        return tuple(sorted(found, key=lambda idea: -_gain(idea.chosen or idea.confirmed[-1])))

    rounds = tuple(Round(table, plain[name], ideas(name)) for name, table in tables.items() if name.startswith(CHOOSE))
    extra = tuple(table for name, table in tables.items() if name.startswith(EXTRA))
    confirmed = {idea.label: idea for name in confirming for idea in ideas(name)}
    best_first = sorted(confirmed.values(), key=lambda idea: -max(_gain(row) for row in idea.confirmed))
    halves = [[r for r in records if r["experiment"].startswith(part)] for part in (CHOOSE, CONFIRM)]
    prompts, seeds = ([{r[key] for r in half} for half in halves] for key in ("prompt", "seed"))
    shared = len(prompts[0] & prompts[1]), len(seeds[0] & seeds[1])
    return Beyond(rounds, tuple(confirming.values()), tuple(best_first), extra, *shared)


def beyond_section(records: Sequence[Record], plots: str = "") -> str:
    """The ideas as Markdown: what was confirmed, the confirmation's table, then every idea of every round with its interval."""
    found = gather(records)
    parts = [f"### Beyond UNCAGE\n\n{_how(found)}\n\n{verdict(found)}\n"]
    parts += [f"{table.heading}, against {table.against}:\n\n{to_markdown(table)}" for table in found.confirming]
    if plots:
        parts.append(f"![Ideas beyond UNCAGE]({plots}/beyond{PLOT_SUFFIX})\n")
    count = sum(len(one.ideas) for one in found.rounds)
    for one in found.rounds:
        text = round_table(one)
        title = f"{one.table.title}: {len(one.ideas)} idea{'s' if len(one.ideas) != 1 else ''} against {one.table.against}"
        parts.append(f"<details><summary>{title}</summary>\n\n{text}\n</details>\n" if count > FOLDED else f"{title}:\n\n{text}")
    parts += [f"#### {table.heading}\n\nAgainst {table.against}:\n\n{to_markdown(table)}" for table in found.extra]
    return "\n".join(parts)


def round_table(one: Round) -> str:
    """Every idea of a round with its interval, best first, after what it is compared with."""
    table = one.table
    metric = METRICS[table.primary]
    heading = metric.heading + (" %" if metric.percent else "")
    against = f"against {table.against}" + (", points" if metric.percent else "")
    lines = []
    for row in (*map(table.row, one.plain), *(idea.chosen for idea in one.ideas if idea.chosen)):
        cells = [row.title, format_estimate(row.estimates[table.primary], metric), "reference", "", "", ""]
        if row.comparison is not None and row.adjusted_p is not None:
            c = row.comparison
            cells[2:4] = [format_difference(c.difference, metric), f"{c.win} / {c.tie} / {c.loss}"]
            cells[4:] = [format_p(c.p_value), format_p(row.adjusted_p)]
        lines.append(cells)
    test = "McNemar" if metric.percent else "sign test"
    head = ["idea", heading, against, "win / tie / loss", f"p ({test})", "p (Holm)"]
    return f"{markdown_table(head, lines)}\n{table.caption}\n"


def verdict(found: Beyond) -> str:
    """What was confirmed, what was not, and how many ideas did not get that far."""
    if not found.confirmed:
        return "No idea has been taken to the other half yet; nothing is claimed."
    against = " or ".join(dict.fromkeys(table.against for table in found.confirming))
    clear, partly = found.clear(), found.clear(part=True)
    parts = []
    for idea in found.confirmed:
        if idea in clear or idea in partly:
            parts.append(f"**Confirmed{' in part' if idea in partly else ''}**: {_told(idea, found)} against {against}.")
    parts = parts or [f"**None was confirmed** as better than {against}."]
    parts += [f"Not confirmed: {_told(idea, found)}." for idea in found.confirmed if idea not in clear and idea not in partly]
    names = {idea.label for idea in found.confirmed}
    left = len({idea.label for one in found.rounds for idea in one.ideas} - names)
    if left:
        parts.append(f"The other {left} idea{'s' if left > 1 else ''} went no further than choosing.")
    return " ".join(parts)


def _how(found: Beyond) -> str:
    sizes = [("Chosen on", [one.table for one in found.rounds]), ("confirmed on", found.confirming)]
    told = "; ".join(f"{name} {_halves(tables)}" for name, tables in sizes if tables) + "."
    if found.rounds and found.confirming:
        shared = {"prompts": found.shared_prompts, "seeds": found.shared_seeds}
        common = " and ".join(f"{count} {name}" for name, count in shared.items() if count)
        told += f" In common: {common or 'no prompt and no seed'}."
    return told[0].upper() + told[1:] + " Every idea that was measured is listed, the failed ones too."


def _halves(tables: Sequence[Table]) -> str:
    """Prompts, seeds and images of some tables; those on as many prompts of the same suites are told together."""
    groups: dict[tuple[int, str], list[Table]] = {}
    for table in tables:
        groups.setdefault((table.prompts, table.suite), []).append(table)
    parts = []
    for (prompts, suite), group in groups.items():
        seeds = sorted({seed for table in group for seed in table.seeds})
        span = f"{seeds[0]}-{seeds[-1]}" if len(seeds) > 1 and seeds == list(range(seeds[0], seeds[-1] + 1)) else ", ".join(map(str, seeds))
        sizes = sorted({table.images for table in group})
        images = f"{sizes[0]:,} to {sizes[-1]:,}" if len(sizes) > 1 else f"{sizes[0]:,}"
        times = f" in {len(group)} rounds" if len(group) > 1 else ""
        parts.append(f"{prompts:,} prompts of {suite}, seed{'s' if len(seeds) > 1 else ''} {span}, {images} images per method{times}")
    return " and ".join(parts)


def _gain(row: Row | None) -> float:
    return row.comparison.difference.value if row and row.comparison else 0.0


def _told(idea: Idea, found: Beyond) -> str:
    """The confirmations of an idea in words."""
    told = []
    for row in idea.confirmed:
        if row.comparison is None:
            continue
        table = next(table for table in found.confirming if row in table.rows)
        metric = METRICS[table.primary]
        counts = f"{row.comparison.win} / {row.comparison.tie} / {row.comparison.loss}"
        gain = format_difference(row.comparison.difference, metric) + (" points" if metric.percent else "")
        where = f" in “{table.title}”" if len(idea.confirmed) > 1 else ""
        told.append(f"{gain}{where} (win / tie / loss {counts}, p (Holm) {format_p(row.adjusted_p or 0.0)})")
    return f"*{idea.label}*, {' and '.join(told)}" if told else idea.label
