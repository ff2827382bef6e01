"""The script of the lessons, asked in a browser: it knows every goal and every {word} that a lesson uses."""

import re

import pytest

from uncage_demo.ui.lessons import FOLDER, all_lessons


@pytest.fixture(scope="module")
def known(browser):
    """{"goals": [...], "words": [...]} that the script knows."""
    page = browser.new_page()
    page.add_script_tag(path=str(FOLDER / "lessons.js"))
    yield page.evaluate("() => ({ goals: window.UncageLessons.goals, words: window.UncageLessons.words })")
    page.close()


@pytest.mark.parametrize("lesson", all_lessons(), ids=lambda lesson: lesson["title"])
def test_goals_and_words_are_known(known, lesson):
    assert {key for step in lesson["steps"] for key in step["goal"]} <= set(known["goals"])
    texts = [lesson["end"], *(step[key] for step in lesson["steps"] for key in ("do", "then"))]
    assert {word for text in texts for word in re.findall(r"\{(\w+)\}", text)} <= set(known["words"])
