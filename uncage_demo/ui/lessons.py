"""Lessons: texts and goals in static/lesson-*.json, each on a shipped example. The browser checks the goals; no model is needed."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from uncage_demo.ui.examples import Examples

FOLDER = Path(__file__).parent / "static"


@cache
def all_lessons() -> tuple[dict[str, Any], ...]:
    """Every lesson in the order of its file name: title, about, minutes, example, stages, start, intro, steps (do, goal, then), end."""
    return tuple(json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("lesson-*.json")))


def lesson_text(examples: Examples, data: Any) -> str:
    """JSON text of one lesson with the ids of its runs, or the list of lessons for number 0.

    Args:
        examples: the shipped examples.
        data: {"number": 0..6} from the browser.
    """
    lessons = all_lessons()
    number = data.get("number") if isinstance(data, dict) else None
    if not isinstance(number, int) or not 1 <= number <= len(lessons):
        return json.dumps({"lessons": [{"title": one["title"], "minutes": one["minutes"], "about": one["about"]} for one in lessons]})
    lesson = lessons[number - 1]
    found = {e.name: e for e in examples.all}
    example = found.get(lesson["example"]) or next(iter(examples.all), None)
    if example is None:
        return json.dumps({"error": "No finished example is installed, so there is nothing to look at yet."})
    wanted = lesson.get("stages")
    ids = [i for i in example.ids if i.rpartition(".")[2] in wanted] if wanted else example.ids
    return json.dumps({**lesson, "number": number, "count": len(lessons), "ids": (ids or example.ids)[:6]})
