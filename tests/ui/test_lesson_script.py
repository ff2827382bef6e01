"""The script of the lessons, asked in a browser: it knows every goal and every {word} that a lesson uses."""

import re
from dataclasses import asdict
from functools import partial

import pytest

from tests.unit.test_lesson_claims import entries
from uncage_demo.diagnosis.diagnose import diagnose
from uncage_demo.ui.lessons import FOLDER, all_lessons


@pytest.fixture(scope="module")
def known(browser):
    """{"goals": [...], "words": [...]} that the script knows, and "judge": what it says of the findings of a run."""
    page = browser.new_page()
    page.add_script_tag(path=str(FOLDER / "lessons.js"))
    judge = partial(page.evaluate, "(findings) => window.UncageLessons.judgement(findings)")
    yield {**page.evaluate("() => ({ goals: window.UncageLessons.goals, words: window.UncageLessons.words })"), "judge": judge}
    page.close()


@pytest.mark.parametrize("lesson", all_lessons(), ids=lambda lesson: lesson["title"])
def test_goals_and_words_are_known(known, lesson):
    assert {key for step in lesson["steps"] for key in step["goal"]} <= set(known["goals"])
    texts = [lesson["end"], *(step[key] for step in lesson["steps"] for key in ("do", "then"))]
    assert {word for text in texts for word in re.findall(r"\{(\w+)\}", text)} <= set(known["words"])


@pytest.mark.parametrize("number", [3, 4, 6])
def test_a_lesson_says_of_a_run_what_its_diagnosis_lists(known, number):
    for entry in entries(number):
        findings = [asdict(finding) for finding in diagnose(entry.trace, entry.verdict)]
        said = known["judge"](findings)
        assert said in [finding["text"] for finding in findings]
        assert ("every object" in said) == bool(entry.verdict and entry.verdict.all_correct)
    assert known["judge"]([]) == "Nothing wrong was found."
