"""Pictures without a judge, and judging them later: a large model draws for hours, and what judges it may be on another machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from uncage_demo.bench.records import PACKED_DIGITS, UNJUDGED, Record, derived_keys, digest
from uncage_demo.bench.run import Scorer
from uncage_demo.bench.tables import COST
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.prompt.words import WordReader
from uncage_demo.types import Prompt

_OF_A_JUDGE = ("metrics", "scorer", "verdict", "caption")


class Unjudged:
    """Says nothing of any picture: its lines hold what made it, its hash, and the forwards that it took."""

    name = UNJUDGED

    def score(self, images: np.ndarray, prompts: Sequence[Prompt]) -> list[dict[str, Any]]:
        """For each picture {"metrics": {}, "scorer": "none"}."""
        return [{"metrics": {}, "scorer": UNJUDGED} for _ in prompts]


def pictures_in(folder: str | Path) -> dict[str, Path]:
    """The PNG files below a folder, by the hash that a result line has of its picture, however they are laid out.

    Raises:
        ValueError: no such folder, no PNG in it, or a file that is no picture.
    """
    folder = Path(folder)
    paths = sorted(folder.rglob("*.png")) if folder.is_dir() else []
    if not paths:
        raise ValueError(f"{folder}: {'no PNG files in it' if folder.is_dir() else 'no such folder'}; give what --images wrote")
    found: dict[str, Path] = {}
    for path in paths:
        found.setdefault(digest(_pixels(path).tobytes()), path)
    return found


def score_records(
    records: Sequence[Record],
    folder: str | Path,
    scorer: Scorer,
    *,
    batch: int = 16,
    on_batch: Callable[[int, int], None] | None = None,
) -> list[Record]:
    """The same result lines as another judge scores their pictures; nothing is drawn again.

    Args:
        records: result lines, of any scorer.
        folder: the pictures, as `uncage bench --images` wrote them in any layout; each is known by the hash in its line.
        scorer: who judges.
        batch: pictures judged together, >= 1.
        on_batch: called after each batch with (lines judged, lines in all).

    Returns:
        One line for each, in order, as `uncage bench` with that scorer would have written it. Where the best of several pictures was
        kept, `uncage bench` does not know the line again.

    Raises:
        ValueError: no lines, or a picture that is not in the folder.
    """
    if not records:
        raise ValueError("no result lines to judge")
    if batch < 1:
        raise ValueError(f"batch={batch!r}: give a whole number from 1")
    paths = pictures_in(folder)
    paths |= {made[:PACKED_DIGITS]: path for made, path in paths.items()}  # lines of a packed file hold so much of it
    absent = [record for record in records if record.get("image_hash") not in paths]
    if absent:
        first = absent[0]
        raise ValueError(
            f"{folder}: {len(absent)} of {len(records)} pictures are not there, the first is {first['prompt']!r}, {first['method']}, "
            f"seed {first['seed']}; give the folder that --images wrote, unchanged"
        )
    reader, judged = WordReader(), []
    for start in range(0, len(records), batch):
        part = records[start : start + batch]
        images = [_pixels(paths[record["image_hash"]]) for record in part]
        prompts = [parse_prompt(record["prompt"], reader) for record in part]
        for same in _of_one_size(images):
            scores = scorer.score(np.stack([images[i] for i in same]), [prompts[i] for i in same])
            judged += [(start + i, score) for i, score in zip(same, scores, strict=True)]
        if on_batch is not None:
            on_batch(start + len(part), len(records))
    return [_judged(records[i], scorer.name, score) for i, score in sorted(judged, key=lambda one: one[0])]


def _pixels(path: Path) -> np.ndarray:
    """ "H W 3" uint8."""
    try:
        with Image.open(path) as picture:
            return np.ascontiguousarray(np.asarray(picture.convert("RGB")))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read as a picture ({error})") from None


def _of_one_size(images: Sequence[np.ndarray]) -> list[list[int]]:
    sizes: dict[tuple[int, ...], list[int]] = {}
    for i, image in enumerate(images):
        sizes.setdefault(image.shape, []).append(i)
    return list(sizes.values())


def _judged(record: Record, scorer: str, score: dict[str, Any]) -> Record:
    kept = {name: value for name, value in record.items() if name not in _OF_A_JUDGE}
    image, key = derived_keys(record | {"config": record["config"] | {"seed": record["seed"]}}, scorer)
    cost = {name: record["metrics"][name] for name in COST if name in record["metrics"]}
    return kept | score | {"metrics": {**score["metrics"], **cost}, "key": key, "image_key": image}
