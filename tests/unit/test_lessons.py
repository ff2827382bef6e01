"""Lessons are whole: each has an introduction, steps with a goal and an answer, and stages where its goals compare two runs."""

import json
import re

import pytest

from uncage_demo.backends.ages import AGES
from uncage_demo.bench.scorers_detector import failures
from uncage_demo.shipped import EMBEDDED
from uncage_demo.types import FoundObject, Subject, Verdict
from uncage_demo.ui import lessons
from uncage_demo.ui.examples import Examples
from uncage_demo.ui.lessons import all_lessons, shown_in
from uncage_demo.ui.session import Entry

COMPARING = {"at_fork", "pin_differs", "unguided"}


@pytest.mark.parametrize("lesson", all_lessons(), ids=lambda lesson: lesson["title"])
def test_a_lesson_is_whole(lesson):
    assert len(lesson["steps"]) >= 3
    assert all([lesson["end"], *lesson["intro"], *(step[key] for step in lesson["steps"] for key in ("do", "goal", "then"))])
    assert not any(re.search(r"\{", text) for text in lesson["intro"])  # told before the run is known
    if COMPARING & {key for step in lesson["steps"] for key in step["goal"]}:
        assert len(lesson["stages"]) == 2


def shipped(lesson):
    """The example of a lesson, or None where its model is not there either."""
    examples = Examples()
    found = {example.name: example for example in examples.all}.get(lesson["example"])
    if lesson["example"] and found is None:
        model = lesson["example"].split(".")[0]
        assert not EMBEDDED.get(model, EMBEDDED["embedded"]).exists(), f"run `python -m uncage_demo ship --example {lesson['example']}`"
    return examples, found


def judged(entry: Entry) -> Verdict:
    """What was said of a shipped run; examples of embedded models are all judged."""
    assert entry.verdict is not None, entry.id
    return entry.verdict


@pytest.mark.parametrize("lesson", all_lessons(), ids=lambda lesson: lesson["title"])
def test_what_a_lesson_lets_find_is_there(lesson):
    """Every goal `finds` has a place to click, and none is met everywhere."""
    wanted = [step["goal"]["finds"] for step in lesson["steps"] if "finds" in step["goal"]]
    examples, found = shipped(lesson)
    if found is None or not wanted:
        return
    entries = [examples.entry(path.stem) for path in found.files]
    shown = [shown_in(judged(e), e.trace.prompt.subjects, e.trace.grid) for e in entries]
    for kind in wanted:
        assert any(one[kind] for one in shown), kind
        assert not all(len(one[kind]) == entries[0].trace.tokens.size for one in shown), kind


@pytest.mark.parametrize("lesson", all_lessons(), ids=lambda lesson: lesson["title"])
def test_words_that_a_lesson_asks_for_are_in_its_text_and_its_prompt(lesson):
    examples, found = shipped(lesson)
    for step in (step for step in lesson["steps"] if "words" in step["goal"]):
        assert all(f"“{word}”" in step["do"] for word in step["goal"]["words"])
        if found is not None:
            prompt = examples.entry(found.files[0].stem).trace.prompt
            assert set(step["goal"]["words"]) <= {word.text for word in prompt.words}


def test_the_lesson_of_failures_shows_one_kind_a_stage():
    examples, found = shipped(all_lessons()[2])
    if found is None:
        return
    entries = [examples.entry(path.stem) for path in found.files]
    kinds = [{k for k, v in failures(judged(e), e.trace.prompt.subjects).items() if v and k != "duplicate"} for e in entries]
    assert kinds == [{"leaked"}, {"mixture"}, {"missing"}]
    assert len({e.trace.prompt.text for e in entries}) == 1


def test_the_lesson_of_ages_says_what_its_traces_show():
    examples, found = shipped(all_lessons()[6])
    if found is None:
        return
    entries = [examples.entry(path.stem) for path in found.files]
    assert [e.trace.age for e in entries] == [*map(str, AGES), ""]
    assert not all(judged(entries[0]).objects_found)
    assert judged(entries[-1]).all_correct


def test_the_lesson_of_mending_shows_a_mistake_that_an_order_mends():
    lesson = all_lessons()[7]
    examples, found = shipped(lesson)
    if found is None:
        return
    entries = [examples.entry(f"{found.name}.{stage}") for stage in lesson["stages"]]
    shown = [shown_in(judged(e), e.trace.prompt.subjects, e.trace.grid) for e in entries]
    assert 0 < len(shown[0]["leaked"]) < entries[0].trace.tokens.size / 2
    assert not shown[1]["leaked"]
    assert judged(entries[1]).all_correct
    assert [e.trace.config["order"] for e in entries] == lesson["stages"]
    assert lesson["start"]["step"] == entries[0].trace.steps[-1].step


def test_where_a_failure_is_found():
    red, green = Subject((1,), ((0,),), "red turtle", "turtle", ("red",)), Subject((3,), ((2,),), "green apple", "apple", ("green",))
    leaked = FoundObject("turtle", "green", 1.0, (0.0, 0.0, 0.5, 0.5))
    melted = FoundObject("apple", "green", 1.0, (0.5, 0.5, 1.0, 1.0), "cat")
    shown = shown_in(Verdict((True, True), (False, True), 0, False, (leaked, melted)), (red, green), (4, 4))
    assert shown == {"leaked": [0, 1, 4, 5], "mixture": [10, 11, 14, 15], "missing": [], "bound": [], "double": []}
    whole = shown_in(Verdict((True, False), (True, False), 0, False, ()), (red, green), (2, 2))
    assert (whole["missing"], whole["bound"]) == ([0, 1, 2, 3], [])


def test_the_tenth_lesson_comes_after_the_ninth(tmp_path, monkeypatch):
    for number in (10, 2, 9):
        (tmp_path / f"lesson-{number}-name.json").write_text(json.dumps({"title": str(number)}))
    monkeypatch.setattr(lessons, "FOLDER", tmp_path)
    assert [one["title"] for one in lessons.all_lessons.__wrapped__()] == ["2", "9", "10"]
