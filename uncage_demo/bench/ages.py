"""How failures and the orders' gains change while a model learns: one experiment, run on the weights of several ages.

Computed from result lines alone. An age is the part of its training after which a model's weights were kept; a line without one is of
the whole training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from uncage_demo.bench.records import Record
from uncage_demo.bench.tables import METRICS, Table, build_table, format_difference, format_estimate, markdown_table
from uncage_demo.bench.titles import experiment_title, method_title

WHOLE = Fraction(1)
# What a picture of the baseline shows, from success to every kind of failure.
SHOWN = ("bound", "correct", "leaked", "missing", "mixture", "duplicate")
# What the orders are compared on.
COMPARED = ("correct", "leaked")


@dataclass(frozen=True)
class Growth:
    """One experiment on one suite at several ages.

    Args:
        experiment, title, suite: as in the lines.
        tables: metric of COMPARED -> age -> table with that metric as the primary one; ages youngest first.
    """

    experiment: str
    title: str
    suite: str
    tables: dict[str, dict[Fraction, Table]]

    @property
    def ages(self) -> tuple[Fraction, ...]:
        """The ages, youngest first."""
        return tuple(next(iter(self.tables.values())))


def age_of(record: Record) -> Fraction:
    """The age of the weights that made a line's picture."""
    return Fraction(_age_as_written(record))


def _age_as_written(record: Record) -> str:
    return record["model"].get("options", {}).get("age", WHOLE)


def has_ages(records: Sequence[Record], experiment: str, suite: str) -> bool:
    """Whether an experiment was run on the weights of more than one age."""
    written = {_age_as_written(r) for r in records if (r["experiment"], r["suite"]) == (experiment, suite)}
    return len(set(map(Fraction, written))) > 1


def growth(records: Sequence[Record], experiment: str, suite: str) -> Growth:
    """Tables by age.

    Args:
        records: result lines (others are ignored).
        experiment, suite: which lines.

    Raises:
        ValueError: as `build_table`, for any age.
    """
    lines = [r for r in records if (r["experiment"], r["suite"]) == (experiment, suite)]
    by_age = {age: [r for r in lines if age_of(r) == age] for age in sorted({age_of(r) for r in lines})}
    tables = {metric: {age: build_table(own, experiment, suite, primary=metric) for age, own in by_age.items()} for metric in COMPARED}
    return Growth(experiment, experiment_title(lines[0]), suite, tables)


def growth_markdown(found: Growth) -> str:
    """The figures behind `plots.plot_growth` as Markdown: the baseline's rates by age, then what every order gains."""
    first = found.tables[COMPARED[0]]
    whole = first[found.ages[-1]]
    headings = ["part of the training", *(f"{METRICS[key].heading} %" for key in SHOWN)]
    rates = [
        [str(age), *(format_estimate(table.row(table.baseline).estimates[key], METRICS[key]) for key in SHOWN)]
        for age, table in first.items()
    ]
    sizes = "; ".join(f"{age}: {table.size}" for age, table in first.items())
    parts = [f"# {whole.heading}\n\n## {method_title(whole.baseline)}, by age\n\n{markdown_table(headings, rates)}\n{sizes}.\n"]
    for metric, tables in found.tables.items():
        methods = [row.method for row in whole.rows if row.method != whole.baseline]
        cells = [[str(age), *(_gain(table, method, metric) for method in methods)] for age, table in tables.items()]
        heading = f"## {METRICS[metric].heading}, against {whole.against}, points"
        parts.append(f"{heading}\n\n{markdown_table(['part of the training', *map(method_title, methods)], cells)}")
    return "\n".join(parts)


def _gain(table: Table, method: str, metric: str) -> str:
    comparison = table.row(method).comparison
    return "" if comparison is None else format_difference(comparison.difference, METRICS[metric])
