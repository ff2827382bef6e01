"""Lessons are whole: each has an introduction, steps with a goal and an answer, and stages where its goals compare two runs."""

import re

import pytest

from uncage_demo.ui.lessons import all_lessons

COMPARING = {"at_fork", "pin_differs", "unguided"}


@pytest.mark.parametrize("lesson", all_lessons(), ids=lambda lesson: lesson["title"])
def test_a_lesson_is_whole(lesson):
    assert len(lesson["steps"]) >= 3
    assert all([lesson["end"], *lesson["intro"], *(step[key] for step in lesson["steps"] for key in ("do", "goal", "then"))])
    assert not any(re.search(r"\{", text) for text in lesson["intro"])  # told before the run is known
    if COMPARING & {key for step in lesson["steps"] for key in step["goal"]}:
        assert len(lesson["stages"]) == 2
