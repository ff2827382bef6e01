"""Lessons: every goal is one that the page knows, every slot in a text is one that it fills from the run."""

import re

import pytest

from uncage_demo.ui.lessons import FOLDER, all_lessons

SCRIPT = (FOLDER / "lessons.js").read_text(encoding="utf-8")
GOALS = set(re.findall(r"^      (\w+): \([^)]*\) =>", SCRIPT[SCRIPT.index("const tests") : SCRIPT.index("function facts")], re.M))
SLOTS = set(re.findall(r"^        (\w+): ", SCRIPT[SCRIPT.index("words: {") : SCRIPT.index("function filled")], re.M))


def test_the_script_was_read():
    assert {"layer", "pin_differs", "unguided"} <= GOALS
    assert {"steps", "guided", "diagnosis", "guidance"} <= SLOTS


@pytest.mark.parametrize("lesson", all_lessons(), ids=lambda lesson: lesson["title"])
def test_goals_and_slots_are_known(lesson):
    assert len(lesson["steps"]) >= 3
    for step in lesson["steps"]:
        assert step["goal"]
        assert set(step["goal"]) <= GOALS
    texts = [lesson["end"], *lesson["intro"], *(step[key] for step in lesson["steps"] for key in ("do", "then"))]
    assert all(texts)
    assert {slot for text in texts for slot in re.findall(r"\{(\w+)\}", text)} <= SLOTS
    assert not any(re.search(r"\{", text) for text in lesson["intro"])  # told before the run is known
    goals = {key for step in lesson["steps"] for key in step["goal"]}
    if goals & {"at_fork", "pin_differs", "unguided"}:
        assert len(lesson["stages"]) == 2
