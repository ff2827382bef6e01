"""The lessons of the app's page for the page in one file, which draws their runs itself with the model that it holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from uncage_demo.files import in_order

# Texts, goals and script are those of the app's page. They are read as files: this room knows nothing of the page's code.
FOLDER = Path(__file__).parents[1] / "ui" / "static"
SCRIPT, MARKUP = FOLDER / "lessons.js", FOLDER / "lessons.html"
# What is drawn for a lesson: choices of the menus, a place and a seed. Its text must hold for any run of its orders; the others speak of
# one shipped run, of a model's ages, or ask for the brush.
DRAWN: dict[str, dict[str, Any]] = {
    "lesson-1-why-steps": {"choices": [("rabbit", "blue", 1), ("apple", "red", 1)], "place": "", "seed": "1"},
    "lesson-2-schedule": {"choices": [("cat", "", 1), ("balloon", "green", 1)], "place": "", "seed": "2"},
    "lesson-4-contrast": {"choices": [("turtle", "", 1), ("apple", "pink", 1)], "place": "", "seed": "0"},
    "lesson-5-what-if": {"choices": [("turtle", "", 1), ("apple", "pink", 1)], "place": "", "seed": "0"},
}


def live_lessons() -> dict[str, Any]:
    """What the page holds: the lessons that it can draw, terms, papers, titles of the others, and the fixed markup."""
    all_ = {path.stem: _read(path) for path in in_order(FOLDER.glob("lesson-*.json"))}
    return {
        "lessons": [{**all_[stem], "draw": _drawn(draw)} for stem, draw in DRAWN.items()],
        "elsewhere": [lesson["title"] for stem, lesson in all_.items() if stem not in DRAWN],
        "terms": _read(FOLDER / "terms.json"),
        "papers": _read(FOLDER / "papers.json"),
        "markup": MARKUP.read_text(encoding="utf-8"),
    }


def _drawn(draw: dict[str, Any]) -> dict[str, Any]:
    choices = [{"noun": noun, "color": color, "count": count, "side": ""} for noun, color, count in draw["choices"]]
    return {**draw, "choices": choices}


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
