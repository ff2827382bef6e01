"""The lessons of the app's page for the page in one file, which draws their runs itself with the model that it holds."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypedDict

from uncage_demo.files import in_order

# Texts, goals and script are those of the app's page. They are read as files: this room knows nothing of the page's code.
FOLDER = Path(__file__).parents[1] / "ui" / "static"
SCRIPT, MARKUP = FOLDER / "lessons.js", FOLDER / "lessons.html"
# What is drawn for a lesson: choices of the menus, a place and a seed. Its text must hold for any run of its orders; of one on a mistake,
# where the first picture has an object too often and the last one is right. Others speak of shipped runs, which whoever writes the page may
# bring along.
DRAWN: dict[str, dict[str, Any]] = {
    "lesson-1-why-steps": {"choices": [("rabbit", "blue", 1), ("apple", "red", 1)], "place": "", "seed": "1"},
    "lesson-2-schedule": {"choices": [("cat", "", 1), ("balloon", "green", 1)], "place": "", "seed": "2"},
    "lesson-4-contrast": {"choices": [("turtle", "", 1), ("apple", "pink", 1)], "place": "", "seed": "0"},
    "lesson-5-what-if": {"choices": [("turtle", "", 1), ("apple", "pink", 1)], "place": "", "seed": "0"},
    "lesson-8-mend": {"choices": [("lion", "", 1), ("car", "purple", 1)], "place": "", "seed": "3040470439", "mistake": True},
}
# What a lesson says otherwise in the page: its own model puts no colour on a wrong object (in 2 of 1,422 pictures), but draws doubles.
OWN_WORDS = Path(__file__).parent / "static" / "live"
# Their last words speak of the app's controls.
_OF_THE_APP = ("lesson-7-ages", "lesson-8-mend", "lesson-9-parallel")
_ANOTHER_MODEL = "These runs are of another model than the one in this page."


class HeldLesson(TypedDict):
    """The runs of a lesson that are in the page as they are: the player's payload, and for each run where it shows what a goal asks for."""

    payload: dict[str, Any]
    shown: list[dict[str, list[int]]]


def live_lessons(held: Mapping[str, HeldLesson] | None = None, models: Collection[str] = ()) -> dict[str, Any]:
    """What the page holds: lessons, terms, papers, titles of the lessons that it has not, and the fixed markup.

    Args:
        held: runs of lessons that it does not draw itself, by the lesson's file.
        models: names of those in the page.
    """
    held = held or {}
    all_ = {path.stem: _read(path) for path in in_order(FOLDER.glob("lesson-*.json"))}
    return {
        "lessons": [{**lesson, **_runs(stem, lesson, held, models)} for stem, lesson in all_.items() if stem in DRAWN or stem in held],
        "elsewhere": [lesson["title"] for stem, lesson in all_.items() if stem not in DRAWN and stem not in held],
        "terms": _read(FOLDER / "terms.json"),
        "papers": _read(FOLDER / "papers.json"),
        "markup": MARKUP.read_text(encoding="utf-8"),
    }


def _runs(stem: str, lesson: dict[str, Any], held: Mapping[str, HeldLesson], models: Collection[str]) -> dict[str, Any]:
    end = f"In the app: {lesson['end']}" if stem in _OF_THE_APP else lesson["end"]
    if stem in DRAWN:
        own = OWN_WORDS / f"{stem}.json"
        return {"draw": _drawn(DRAWN[stem]), "end": end, **(_read(own) if own.exists() else {})}
    runs = held[stem]
    intro = lesson["intro"] if runs["payload"]["model"]["id"] in models else [*lesson["intro"], _ANOTHER_MODEL]
    return {"held": f"live-{stem}", "shown": runs["shown"], "intro": intro, "end": end}


def _drawn(draw: dict[str, Any]) -> dict[str, Any]:
    choices = [{"noun": noun, "color": color, "count": count, "side": ""} for noun, color, count in draw["choices"]]
    return {**draw, "choices": choices}


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
