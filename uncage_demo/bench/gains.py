"""Small tables that a document asks for by name: what methods gain over a baseline, each on all the pictures it shares with it.

A document holds the marks `<!-- gains COLUMNS | METHODS:begin ... -->` and `<!-- gains COLUMNS | METHODS:end -->`. COLUMNS are
EXPERIMENT/METRIC, separated by spaces; METHODS are labels of the result lines, separated by semicolons. A third part, `| against LABEL`,
names what they are compared with where that is not the experiment's own baseline.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from uncage_demo.bench.records import Record
from uncage_demo.bench.tables import METRICS, Row, Table, build_table, format_difference, format_estimate, markdown_table
from uncage_demo.bench.titles import method_title, suite_title

NAMES = re.compile(r"<!-- (gains [^\n]+?):begin ")


@dataclass(frozen=True)
class Gains:
    """What such a table shows.

    Args:
        columns: (experiment, metric) of each column.
        methods: labels of the rows.
        against: label of what they are compared with; "" = the experiment's baseline.
    """

    columns: tuple[tuple[str, str], ...]
    methods: tuple[str, ...]
    against: str = ""


def read_name(name: str) -> Gains:
    """The table that a name asks for: "gains table1/correct table1/leaked | uncage; mend".

    Raises:
        ValueError: naming what cannot be read.
    """
    columns, bar, rest = name.removeprefix("gains ").partition(" | ")
    methods, _, against = rest.partition(" | against ")
    pairs = [tuple(word.split("/")) for word in columns.split()]
    if not bar or not methods.strip() or any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"{name!r}: write gains EXPERIMENT/METRIC ... | METHOD; METHOD, and | against METHOD where needed")
    for _, metric in pairs:
        if metric not in METRICS:
            raise ValueError(f"{name!r}: metric {metric!r}: choose one of {', '.join(METRICS)}")
    return Gains(tuple((experiment, metric) for experiment, metric in pairs), tuple(map(str.strip, methods.split(";"))), against.strip())


def gains_section(records: Sequence[Record], wanted: Gains) -> str:
    """The table as Markdown: the baseline's rates, each method's difference in points, and on how many pictures.

    Differences whose interval is clear of zero are bold. Below it stands where each number comes from.

    Args:
        records: result lines.
        wanted: what to show.

    Raises:
        ValueError: when an experiment or a method has no results.
    """
    experiments = tuple(dict.fromkeys(experiment for experiment, _ in wanted.columns))
    lines = {name: [record for record in records if record["experiment"] == name] for name in experiments}
    for name, found in lines.items():
        if not found:
            raise ValueError(f"no results for experiment {name!r}")
    methods = {name: {record["method"] for record in found} for name, found in lines.items()}
    for method in wanted.methods:
        if not any(method in found for found in methods.values()):
            raise ValueError(f"method {method!r} has no results in {', '.join(experiments)}")
    base = {name: wanted.against or str(found[0].get("baseline", found[0]["method"])) for name, found in lines.items()}

    def table(experiment: str, metric: str, method: str) -> Table:
        """Of a method and what it is compared with, on the pictures that both have."""
        own = [record for record in lines[experiment] if record["method"] in (base[experiment], method)]
        return build_table(own, experiment, metrics=[metric], primary=metric, baseline=base[experiment])

    models = {name: found[0]["model"]["id"] for name, found in lines.items()}
    head = ["order"]
    for experiment, metric in wanted.columns:
        where = f"`{models[experiment]}`: " if len(experiments) > 1 else ""
        head.append(where + METRICS[metric].heading)
    plain = [table(experiment, metric, base[experiment]) for experiment, metric in wanted.columns]
    rates = [f"{format_estimate(one.rows[0].estimates[one.primary], METRICS[one.primary])} %" for one in plain]
    cells = [[" or ".join(dict.fromkeys(map(method_title, base.values()))), *rates]]
    sizes: dict[str, dict[str, list[str]]] = {name: {} for name in experiments}
    for method in wanted.methods:
        row = [method_title(method)]
        for experiment, metric in wanted.columns:
            if method not in methods[experiment]:
                row.append("")
                continue
            one = table(experiment, metric, method)
            row.append(_difference(one.row(method), metric))
            named = sizes[experiment].setdefault(one.size.replace("images per method", "pictures per order"), [])
            if method not in named:
                named.append(method)
        cells.append(row)
    told = [f"`{models[name]}`: {_sizes(lines[name], found)}" for name, found in sizes.items()]
    return f"{markdown_table(head, cells)}\nRates in percent, differences in points, 95 % intervals in brackets. {'. '.join(told)}.\n"


def _sizes(lines: Sequence[Record], sizes: dict[str, list[str]]) -> str:
    """On which prompts, and how many pictures; of which methods where not all have as many."""
    suites = suite_title(" + ".join(dict.fromkeys(str(line["suite"]) for line in lines)))
    parts = [f"{size} ({', '.join(map(method_title, methods))})" if len(sizes) > 1 else size for size, methods in sizes.items()]
    return f"{suites}, {'; '.join(parts)}"


def _difference(row: Row, metric: str) -> str:
    """A method's difference with its interval; bold where that is clear of zero."""
    assert row.comparison is not None
    difference = row.comparison.difference
    text = format_difference(difference, METRICS[metric])
    return f"**{text}**" if difference.low > 0 or difference.high < 0 else text
