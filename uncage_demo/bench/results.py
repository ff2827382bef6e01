"""The results that ship with the project: tables and single images, for the page and the README. Reads files; draws nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, overload

from uncage_demo.bench.ages import WHOLE, age_of, has_ages
from uncage_demo.bench.records import DIGESTS, UNJUDGED, Record, merge, read_records, record_files
from uncage_demo.bench.tables import METRICS, PRIMARY, Table, build_table, measured
from uncage_demo.bench.titles import experiment_title, heading
from uncage_demo.shipped import EMBEDDED, RESULTS

# What was measured of every shipped model, the detector's error on its weights among it.
MODEL_METRICS = {name: folder / "metrics.json" for name, folder in EMBEDDED.items()}

# The paper's table and figures in its order, before anything else.
FIRST = ("table1", "weights", "guided-steps", "blur", "terms", "sources")


@dataclass(frozen=True)
class ImageRow:
    """One shipped picture: how it was judged, and all that is needed to make it again.

    Args:
        key: key of its result line.
        experiment, method, baseline, suite, category, prompt, seed: its place.
        correct: judged fully correct (None where the scorer does not say).
        failures: names of the failures seen.
        config: settings with the seed, as a plain dict (`DecodingConfig.from_dict` restores them).
        tokens_hash, image_hash: digests of the measured tokens and picture ("" where the line has none).
        edited: whether it is an edit of another picture, so that prompt and settings alone do not make it again.
    """

    key: str
    experiment: str
    method: str
    baseline: str
    suite: str
    category: str
    prompt: str
    seed: int
    correct: bool | None
    failures: tuple[str, ...]
    config: dict[str, Any]
    tokens_hash: str
    image_hash: str
    edited: bool = False


class Found(Sequence[tuple[ImageRow, ImageRow | None]]):
    """Pictures that were found, each made when it is asked for: a page of twelve does not cost thirty thousand.

    Args:
        pairs: lines of a picture and of the baseline's beside it.
    """

    def __init__(self, pairs: Sequence[tuple[Record, Record | None]]) -> None:
        self._pairs = pairs

    def __len__(self) -> int:
        return len(self._pairs)

    @overload
    def __getitem__(self, index: int) -> tuple[ImageRow, ImageRow | None]: ...
    @overload
    def __getitem__(self, index: slice) -> Found: ...
    def __getitem__(self, index: int | slice) -> tuple[ImageRow, ImageRow | None] | Found:
        if isinstance(index, slice):
            return Found(self._pairs[index])
        own, base = self._pairs[index]
        return _image_row(own), _image_row(base) if base else None


class Shipped:
    """All shipped results.

    Args:
        records: result lines; equal parts of them are shared in memory.

    `pairs` are the experiments with their suites, the paper's first; `models` the (id, weight hash) of those that made the pictures,
    younger weights aside.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = list(records)
        self.by_key = {record["key"]: record for record in self.records}
        self._by_place = {_place(record, record["method"]): record for record in self.records}
        self._lines: dict[tuple[str, str], list[Record]] = {}
        for record in self.records:
            self._lines.setdefault((record["experiment"], record["suite"]), []).append(record)
        pairs = [pair for pair, lines in self._lines.items() if not has_ages(lines, *pair)]
        self.pairs = tuple(sorted(pairs, key=lambda pair: FIRST.index(pair[0]) if pair[0] in FIRST else len(FIRST)))
        whole = (record["model"] for record in self.records if age_of(record) == WHOLE)
        self.models = tuple(dict.fromkeys((model["id"], model["weight_hash"]) for model in whole))
        self._tables: dict[tuple[str, ...], Table] = {}

    def table(self, experiment: str, suite: str, category: str = "", metric: str = "") -> Table:
        """The comparison of one experiment on one suite; made when first asked for, then kept.

        Args:
            experiment, suite, category: which lines; category "" takes all.
            metric: what methods are compared on; "" = the primary one.

        Raises:
            ValueError: when there is no such thing.
        """
        key = (experiment, suite, category, metric)
        if key not in self._tables:
            lines = self._lines.get((experiment, suite), self.records)
            self._tables[key] = build_table(lines, experiment, suite, category=category, primary=metric)
        return self._tables[key]

    def about(self, experiment: str, suite: str) -> dict[str, Any]:
        """What there is of an experiment on a suite: title, model, baseline, methods, categories, and the metrics that all lines have."""
        lines = self._lines[experiment, suite]
        all_have = set.intersection(*(set(measured(record)) for record in lines))
        metrics = [key for key in METRICS if key in all_have]
        return {
            "experiment": experiment,
            "suite": suite,
            "title": heading(experiment_title(lines[0]), suite),
            "model": lines[0]["model"]["id"],
            "baseline": lines[0].get("baseline", lines[0]["method"]),
            "methods": list(dict.fromkeys(record["method"] for record in lines)),
            "categories": list(dict.fromkeys(record["category"] for record in lines)),
            "metrics": metrics,
            "primary": next((key for key in PRIMARY if key in metrics), ""),
        }

    def find(
        self,
        *,
        experiment: str = "",
        method: str = "",
        suite: str = "",
        category: str = "",
        prompt: str = "",
        outcome: str = "",
        failure: str = "",
    ) -> Found:
        """Pictures that match every condition, each with the baseline's picture of the same prompt and seed (None for the baseline itself).

        Args:
            experiment, method, suite, category: exact; "" matches all.
            prompt: a part of the prompt, in any case.
            outcome: a key of OUTCOMES; "" matches all.
            failure: a kind of failure that the picture shows; "" matches all.

        Raises:
            ValueError: for an unknown outcome or failure.
        """
        if outcome not in ("", *OUTCOMES):
            raise ValueError(f"outcome={outcome!r}: choose one of {', '.join(OUTCOMES)}")
        if failure not in ("", *FAILURE_KINDS):
            raise ValueError(f"failure={failure!r}: choose one of {', '.join(FAILURE_KINDS)}")
        exact = {"experiment": experiment, "method": method, "suite": suite, "category": category}
        wanted = {name: value for name, value in exact.items() if value}
        found: list[tuple[Record, Record | None]] = []
        for record in self._lines.get((experiment, suite), self.records):
            if any(record[name] != value for name, value in wanted.items()) or prompt.lower() not in record["prompt"].lower():
                continue
            if failure and not measured(record).get(failure):
                continue
            partner = self.partner(record)
            if outcome and not OUTCOMES[outcome](_correct(record), _correct(partner)):
                continue
            found.append((record, partner))
        return Found(found)

    def pair(self, key: str) -> tuple[ImageRow, ImageRow | None]:
        """The picture of a line's key and the baseline's picture beside it.

        Raises:
            ValueError: when no line has that key.
        """
        if key not in self.by_key:
            raise ValueError(f"no shipped result has the key {key!r}")
        record = self.by_key[key]
        partner = self.partner(record)
        return _image_row(record), _image_row(partner) if partner else None

    def partner(self, record: Record) -> Record | None:
        """The baseline's line of the same prompt and seed; None for the baseline itself or where it is missing."""
        baseline = record.get("baseline", record["method"])
        return None if baseline == record["method"] else self._by_place.get(_place(record, baseline))


# What a picture's verdict is beside the baseline's; None means that there is no such verdict.
OUTCOMES: dict[str, Callable[[bool | None, bool | None], bool]] = {
    "right": lambda own, base: own is True,
    "wrong": lambda own, base: own is False,
    "better": lambda own, base: own is True and base is False,
    "worse": lambda own, base: own is False and base is True,
    "both wrong": lambda own, base: own is False and base is False,
}
FAILURE_KINDS = ("missing", "mixture", "miscolored", "leaked", "duplicate", "extra")


@lru_cache(maxsize=2)
def load_shipped(folder: Path = RESULTS) -> Shipped:
    """Read every result file of a folder. Empty, not an error, where there is no such folder: nothing shipped yet.

    Raises:
        ValueError: when a file is damaged or results contradict each other.
    """
    shared: dict[Any, Any] = {}
    return Shipped(merge([_shared_parts(record, shared) for record in read_records(path)] for path in record_files(folder)))


def _measured(files: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in files.items() if path.exists()}


def detector_error(weight_hash: str, files: Mapping[str, Path] = MODEL_METRICS) -> str:
    """One sentence: how often the embedded models' detector is wrong on unseen scenes; "" where that was not measured for these weights.

    Args:
        weight_hash: of the model whose results are judged.
        files: metrics.json of every model, by its name.
    """
    measured = (metrics for metrics in _measured(files).values() if metrics.get("weight_hash") == weight_hash)
    found = next((metrics["detector"] for metrics in measured if "detector" in metrics), None)
    if found is None:
        return ""
    objects, colors = (100 * (1 - found[f"reconstructed_{what}_frac"]) for what in ("objects", "colors"))
    return (
        f"The detector's own error on {found['scenes_n']:.0f} unseen scenes (true pictures, through the image tokenizer): "
        f"{objects:.1f} % with a wrong object, {colors:.1f} % with a wrong object or colour."
    )


def judge_note(table: Table, files: Mapping[str, Path] = MODEL_METRICS) -> str:
    """One sentence about the judge, to stand beside every table: the detector's own error, or that it is not on record.

    Args:
        table: whose pictures were judged.
        files: as in `detector_error`.
    """
    if "detector" in table.scorer:
        return detector_error(table.model.split()[-1], files) or "The detector's own error with these weights is not on record."
    return "The scores are another model's judgement, not the truth." if table.scorer not in ("", UNJUDGED) else ""


def shipped_weights(files: Mapping[str, Path] = MODEL_METRICS) -> dict[str, str]:
    """Model -> weight hash of the shipped embedded models, as their measurements name them; without those that have none."""
    return {name: metrics["weight_hash"] for name, metrics in _measured(files).items() if metrics.get("weight_hash")}


def build_tables(records: list[Record]) -> tuple[Table, ...]:
    """One table for each experiment and suite of the records, in order of appearance; what was run at several ages is in `ages`."""
    pairs = dict.fromkeys((record["experiment"], record["suite"]) for record in records)
    return tuple(build_table(records, experiment, suite) for experiment, suite in pairs if not has_ages(records, experiment, suite))


def _shared_parts(record: Record, shared: dict[Any, Any]) -> Record:
    """The line without what the page does not need; what many lines share (settings without the seed, scores, words) is one object."""
    kept = {name: value for name, value in record.items() if name not in ("verdict", "schema")}
    kept["config"] = {name: value for name, value in record["config"].items() if name != "seed"}
    for name, value in kept.items():
        if isinstance(value, (dict, str)) and name not in ("key", "image_key", *DIGESTS):
            # repr is many times faster than JSON; equal parts in another order are then two, which costs memory only
            kept[name] = shared.setdefault(value if isinstance(value, str) else (repr(value),), value)
    return kept


def _place(record: Record, method: str) -> tuple[Any, ...]:
    return record["experiment"], record["suite"], method, record["prompt"], record["seed"]


def _correct(record: Record | None) -> bool | None:
    return bool(record["metrics"]["correct"]) if record and "correct" in record["metrics"] else None


def _image_row(record: Record) -> ImageRow:
    names = ("key", "experiment", "method", "suite", "category", "prompt", "seed")
    return ImageRow(
        **{name: record[name] for name in names},
        baseline=record.get("baseline", record["method"]),
        correct=_correct(record),
        failures=tuple(name for name in FAILURE_KINDS if measured(record).get(name)),
        config={**record["config"], "seed": record["seed"]},
        tokens_hash=record.get("tokens_hash", ""),
        image_hash=record.get("image_hash", ""),
        edited="edit" in record,
    )
