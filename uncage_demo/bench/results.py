"""The results that ship with the project: tables and single images, for the page and the README. Reads files; draws nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from uncage_demo.bench.records import Record, read_many
from uncage_demo.bench.tables import Table, build_table

RESULTS_DIR = Path(__file__).resolve().parents[2] / "assets" / "results"
MODEL_METRICS = Path(__file__).resolve().parents[2] / "assets" / "emoji-scenes" / "metrics.json"


@dataclass(frozen=True)
class ImageRow:
    """One shipped picture: how it was judged, and all that is needed to make it again.

    Args:
        key: key of its result line.
        experiment, method, suite, category, prompt, seed: its place.
        correct: judged fully correct (None where the scorer does not say).
        failures: names of the failures seen.
        config: settings as a plain dict (`DecodingConfig.from_dict` restores them).
    """

    key: str
    experiment: str
    method: str
    suite: str
    category: str
    prompt: str
    seed: int
    correct: bool | None
    failures: tuple[str, ...]
    config: dict[str, Any]


@dataclass(frozen=True)
class Shipped:
    """All shipped results.

    Args:
        tables: one an experiment and suite, in the order of the files.
        images: one a result line.
        weight_hashes: of the models that made them; pictures can be made again only with these weights.
    """

    tables: tuple[Table, ...]
    images: tuple[ImageRow, ...]
    weight_hashes: tuple[str, ...]

    def find(
        self, *, experiment: str = "", method: str = "", suite: str = "", prompt: str = "", correct: bool | None = None, failure: str = ""
    ) -> list[ImageRow]:
        """Images that match every condition given ("" and None match all; `prompt` matches a part of the prompt)."""
        return [
            row
            for row in self.images
            if experiment in ("", row.experiment)
            and method in ("", row.method)
            and suite in ("", row.suite)
            and prompt.lower() in row.prompt.lower()
            and (correct is None or row.correct is correct)
            and (not failure or failure in row.failures)
        ]


@lru_cache(maxsize=2)
def load_shipped(folder: Path = RESULTS_DIR) -> Shipped:
    """Read every result file of a folder (.jsonl, .jsonl.gz). Empty, not an error, where there is no such folder: nothing shipped yet.

    Raises:
        ValueError: when a file is damaged or results contradict each other.
    """
    records = read_many([folder]) if folder.is_dir() else []
    images = tuple(_image_row(record) for record in records)
    hashes = tuple(dict.fromkeys(record["model"]["weight_hash"] for record in records))
    return Shipped(build_tables(records), images, hashes)


def detector_error(weight_hash: str, path: Path = MODEL_METRICS) -> str:
    """One sentence: how often the embedded model's detector is wrong on unseen scenes; "" where that was not measured for these weights.

    Args:
        weight_hash: of the model whose results are judged.
        path: the model's metrics.json.
    """
    if not path.exists():
        return ""
    metrics = json.loads(path.read_text(encoding="utf-8"))
    if metrics.get("weight_hash") != weight_hash or "detector" not in metrics:
        return ""
    found = metrics["detector"]
    objects, colors = (100 * (1 - found[f"reconstructed_{what}_frac"]) for what in ("objects", "colors"))
    return (
        f"The detector's own error on {found['scenes_n']:.0f} unseen scenes (true pictures, through the image tokenizer): "
        f"{objects:.1f} % with a wrong object, {colors:.1f} % with a wrong object or colour."
    )


def judge_note(table: Table, path: Path = MODEL_METRICS) -> str:
    """One sentence about the judge, to stand beside every table: the detector's own error, or that it is not on record.

    Args:
        table: whose pictures were judged.
        path: the model's metrics.json.
    """
    if "detector" in table.scorer:
        return detector_error(table.model.split()[-1], path) or "The detector's own error with these weights is not on record."
    return "The scores are another model's judgement, not the truth." if table.scorer else ""


def shipped_weights(path: Path = MODEL_METRICS) -> str:
    """Weight hash of the shipped embedded model, as its measurements name it; "" where there are none."""
    return str(json.loads(path.read_text(encoding="utf-8")).get("weight_hash", "")) if path.exists() else ""


def build_tables(records: list[Record]) -> tuple[Table, ...]:
    """One table for each experiment and suite of the records, in their order of appearance."""
    pairs = dict.fromkeys((record["experiment"], record["suite"]) for record in records)
    return tuple(build_table(records, experiment, suite) for experiment, suite in pairs)


def _image_row(record: Record) -> ImageRow:
    metrics = record["metrics"]
    return ImageRow(
        record["key"],
        record["experiment"],
        record["method"],
        record["suite"],
        record["category"],
        record["prompt"],
        record["seed"],
        bool(metrics["correct"]) if "correct" in metrics else None,
        tuple(name for name in ("missing", "mixture", "leaked", "duplicate") if metrics.get(name)),
        record["config"],
    )
