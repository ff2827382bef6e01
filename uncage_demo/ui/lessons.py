"""Lessons: texts and goals in static/lesson-*.json, each on a shipped example. The browser checks the goals; no model is needed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from uncage_demo.bench.scorers_detector import wrong_objects
from uncage_demo.browser.live_lessons import DRAWN, HeldLesson
from uncage_demo.files import in_order
from uncage_demo.types import Subject, Verdict
from uncage_demo.ui.examples import Example, Examples
from uncage_demo.ui.exports import payload_of

FOLDER = Path(__file__).parent / "static"


@cache
def all_lessons() -> tuple[dict[str, Any], ...]:
    """Every lesson by the number in its file's name: title, about, minutes, example, stages, start, intro, steps (do, goal, then), end."""
    return tuple(json.loads(path.read_text(encoding="utf-8")) for path in in_order(FOLDER.glob("lesson-*.json")))


@cache
def all_terms() -> tuple[dict[str, str], ...]:
    """The reading list: {term, says} with one sentence each."""
    return tuple(json.loads((FOLDER / "terms.json").read_text(encoding="utf-8")))


@cache
def all_papers() -> tuple[dict[str, str], ...]:
    """What to read next: {title, arxiv, says} with one sentence each."""
    return tuple(json.loads((FOLDER / "papers.json").read_text(encoding="utf-8")))


def shown_in(verdict: Verdict, subjects: Sequence[Subject], grid: tuple[int, int]) -> dict[str, list[int]]:
    """Where a run's finished picture shows what a goal `finds` asks for: the cells, row by row, on which a click finds it.

    Args:
        verdict: the detector's, of the run.
        subjects: of its prompt.
        grid: (rows, columns) of cells.

    Returns:
        "leaked", "mixture", "double": the cells of the objects that show it (of a double, of all that are there too often); "missing",
        "bound": every cell of a picture that lacks an object, or has every object in its colour.
    """
    everywhere = list(range(grid[0] * grid[1]))
    wrong = wrong_objects(verdict, subjects)
    asked, found = Counter(s.noun for s in subjects for _ in range(s.count)), Counter(one.noun for one in verdict.detections)
    wrong["double"] = [one for one in verdict.detections if 0 < asked[one.noun] < found[one.noun]]
    return {
        **{kind: sorted({cell for one in found for cell in _cells(one.box, grid)}) for kind, found in wrong.items()},
        "missing": [] if all(verdict.objects_found) else everywhere,
        "bound": everywhere if all(verdict.objects_found) and all(verdict.colors_right) else [],
    }


def _cells(box: Sequence[float], grid: tuple[int, int]) -> list[int]:
    """The cells whose middle is in a box (top, left, bottom, right), 0..1."""
    rows, columns = grid
    return [
        row * columns + column
        for row in range(rows)
        for column in range(columns)
        if box[0] <= (row + 0.5) / rows < box[2] and box[1] <= (column + 0.5) / columns < box[3]
    ]


def _shown(examples: Examples, stem: str) -> dict[str, list[int]]:
    entry = examples.entry(stem)
    if entry.verdict is None:
        return {}
    return shown_in(entry.verdict, entry.trace.prompt.subjects, entry.trace.grid)


def lesson_text(examples: Examples, data: Any) -> str:
    """JSON text of one lesson with the ids of its runs, or the list of lessons for number 0.

    Args:
        examples: the shipped examples.
        data: {"number": 0 or a lesson's} from the browser.
    """
    lessons = all_lessons()
    number = data.get("number") if isinstance(data, dict) else None
    if not isinstance(number, int) or not 1 <= number <= len(lessons):
        listed = [{"title": one["title"], "minutes": one["minutes"], "about": one["about"]} for one in lessons]
        return json.dumps({"lessons": listed, "terms": all_terms(), "papers": all_papers()})
    lesson = lessons[number - 1]
    found = {e.name: e for e in examples.all}
    example = found.get(lesson["example"]) or next(iter(examples.all), None)
    if example is None:
        return json.dumps({"error": "No finished example is installed, so there is nothing to look at yet."})
    ids = _stages(lesson, example)
    return json.dumps({**lesson, "number": number, "count": len(lessons), "ids": ids, "shown": _asked(examples, lesson, ids)})


def _stages(lesson: dict[str, Any], example: Example) -> list[str]:
    """Ids of the runs that a lesson shows."""
    wanted = lesson.get("stages")
    ids = [i for i in example.ids if i.rpartition(".")[2] in wanted] if wanted else example.ids
    return (ids or example.ids)[:6]


def _asked(examples: Examples, lesson: dict[str, Any], ids: Sequence[str]) -> list[dict[str, list[int]]]:
    """For each run of a lesson where it shows what a goal asks for; nothing where none does."""
    asks = any("finds" in step["goal"] for step in lesson["steps"])
    return [_shown(examples, identity.removeprefix("example:")) for identity in ids] if asks else []


def held_lessons() -> dict[str, HeldLesson]:
    """The runs of lessons for the page in one file, by the lesson's file: those that it cannot draw itself.

    A lesson whose example is not installed is left out.
    """
    examples = Examples()
    found = {example.name: example for example in examples.all}
    names = [path.stem for path in in_order(FOLDER.glob("lesson-*.json"))]
    held: dict[str, HeldLesson] = {}
    for name, lesson in zip(names, all_lessons(), strict=True):
        example = found.get(lesson["example"])
        if name in DRAWN or example is None:
            continue
        ids = _stages(lesson, example)
        entries = [examples.entry(identity.removeprefix("example:")) for identity in ids]
        held[name] = {"payload": payload_of(entries), "shown": _asked(examples, lesson, ids)}
    return held
