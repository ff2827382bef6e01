"""From a detector's verdict to numbers: success rates and the kinds of failure.

The detector is the backend's own (`Backend.judge`); this module only counts. Its judgement is a model's, not the truth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from uncage_demo.backends.base import Backend
from uncage_demo.bench.records import JUDGE
from uncage_demo.types import FoundObject, Prompt, Subject, Verdict

# Two detections of different nouns that share this much of their area are one drawn thing that is half of each.
MIXTURE_OVERLAP = 0.5
FAILURES = ("missing", "mixture", "leaked", "duplicate")


def judge_many(backend: Backend, images: np.ndarray, prompts: Sequence[Prompt]) -> list[Verdict]:
    """Verdicts of pictures "b H W 3" uint8, one per prompt.

    Raises:
        ValueError: when the backend has no detector.
    """
    verdicts = backend.judge_many(images, prompts)
    if verdicts is None:
        raise ValueError(f"model {backend.info.id!r} has no detector of its own; choose another scorer (--scorer clip or none)")
    return verdicts


def failures(verdict: Verdict, subjects: Sequence[Subject]) -> dict[str, bool]:
    """Which failures a picture shows.

    Args:
        verdict: the detector's verdict.
        subjects: the prompt's subjects, in the verdict's order.

    Returns:
        missing: an object asked for was not found;
        mixture: two different nouns in one place: two detections (intersection over union >= 0.5), or one that has a rival;
        leaked: an object carries a colour that the prompt gave to another object and not to it;
        duplicate: a noun was detected more often than the prompt asks for it.
    """
    asked = Counter(subject.noun for subject in subjects for _ in range(subject.count))
    found = Counter(detection.noun for detection in verdict.detections)
    wrong = wrong_objects(verdict, subjects)
    return {
        "missing": not all(verdict.objects_found),
        "mixture": bool(wrong["mixture"]),
        "leaked": bool(wrong["leaked"]),
        "duplicate": any(found[noun] > count for noun, count in asked.items()),
    }


def wrong_objects(verdict: Verdict, subjects: Sequence[Subject]) -> dict[str, list[FoundObject]]:
    """The detections that show a mixture or a leaked colour, as `failures` tells them."""
    nouns = {subject.noun for subject in subjects}
    colors = {noun: {color for s in subjects if s.noun == noun for color in s.colors} for noun in nouns}
    elsewhere = {noun: {color for s in subjects if s.noun != noun for color in s.colors} - colors[noun] for noun in nouns}
    found = verdict.detections

    def melted(one: FoundObject) -> bool:
        return bool(one.rival) or any(one.noun != other.noun and overlap(one, other) >= MIXTURE_OVERLAP for other in found)

    return {
        "mixture": [one for one in found if melted(one)],
        "leaked": [one for one in found if one.color in elsewhere.get(one.noun, ())],
    }


def overlap(a: FoundObject, b: FoundObject) -> float:
    """Intersection over union of two boxes, 0..1."""
    height = min(a.box[2], b.box[2]) - max(a.box[0], b.box[0])
    width = min(a.box[3], b.box[3]) - max(a.box[1], b.box[1])
    if height <= 0 or width <= 0:
        return 0.0
    shared = height * width
    area = sum((d.box[2] - d.box[0]) * (d.box[3] - d.box[1]) for d in (a, b))
    return shared / (area - shared)


def metrics(verdict: Verdict, subjects: Sequence[Subject]) -> dict[str, int]:
    """Numbers of one picture, each 0 or 1 but for `extra` (a count).

    Returns:
        one: at least one object found; two: at least two (only with three or more subjects); all: every object found;
        bound: every object found in its colour; correct: the same and nothing extra; extra: objects beyond those asked for;
        colored: of prompts with a colour, whether every asked colour is right; position, place: of prompts that ask for one, whether it is
        right; and the failures.
    """
    numbers: dict[str, int] = {"one": int(any(verdict.objects_found))}
    if len(verdict.objects_found) >= 3:
        numbers["two"] = int(sum(verdict.objects_found) >= 2)
    numbers["all"] = int(all(verdict.objects_found))
    if any(subject.colors for subject in subjects):
        numbers["colored"] = int(all(right for right, s in zip(verdict.colors_right, subjects, strict=True) if s.colors))
    numbers["bound"] = int(all(verdict.objects_found) and all(verdict.colors_right))
    numbers["correct"] = int(verdict.all_correct)
    numbers["extra"] = int(verdict.extra_objects)
    for wish in verdict.wishes:
        numbers[wish.kind] = numbers.get(wish.kind, 1) * int(wish.met)
    return numbers | {name: int(value) for name, value in failures(verdict, subjects).items()}


def summary(verdict: Verdict) -> dict[str, Any]:
    """What a result line keeps of a verdict (boxes in hundredths of the picture)."""
    seen = [[d.noun, d.color, round(d.score, 2), [round(100 * side) for side in d.box]] for d in verdict.detections]
    return {"found": [int(f) for f in verdict.objects_found], "colors": [int(c) for c in verdict.colors_right], "seen": seen}


class DetectorScorer:
    """Scores pictures with the backend's own detector.

    Args:
        backend: must have a detector.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.name = JUDGE

    def score(self, images: np.ndarray, prompts: Sequence[Prompt]) -> list[dict[str, Any]]:
        """For each picture {"metrics": {...}, "verdict": {...}, "scorer": name and version}."""
        verdicts = judge_many(self.backend, images, prompts)
        return [
            {"metrics": metrics(verdict, prompt.subjects), "verdict": summary(verdict), "scorer": verdict.scorer}
            for verdict, prompt in zip(verdicts, prompts, strict=True)
        ]
