"""The lessons in the page in one file: what it can draw and check itself, and shipped runs that it is given."""

import pytest

from uncage_demo.backends.embedded.vocab import VOCABULARY
from uncage_demo.browser.live_lessons import DRAWN, live_lessons
from uncage_demo.orders.table import ORDERS
from uncage_demo.ui.lessons import all_lessons, held_lessons

# Goals that read where a run shows something; see lessons.js. In a run that the page draws it looks for objects that are there too often.
OF_A_MISTAKE = {"finds", "paints", "paints_around"}


@pytest.mark.parametrize("lesson", live_lessons()["lessons"], ids=lambda lesson: lesson["title"])
def test_a_lesson_can_be_drawn_and_followed(lesson):
    of_a_mistake = {wanted for step in lesson["steps"] for goal, wanted in step["goal"].items() if goal in OF_A_MISTAKE}
    assert of_a_mistake == ({"double"} if lesson["draw"].get("mistake") else set())
    assert lesson["end"]
    assert lesson["stages"]
    assert set(lesson["stages"]) <= set(ORDERS)
    nouns = {choice["noun"] for choice in lesson["draw"]["choices"]}
    colors = {choice["color"] for choice in lesson["draw"]["choices"]} - {""}
    assert nouns <= set(VOCABULARY.objects)
    assert colors <= set(VOCABULARY.colors)


def test_every_lesson_is_there_or_named_as_one_of_the_app():
    held = live_lessons()
    titles = [lesson["title"] for lesson in held["lessons"]] + held["elsewhere"]
    assert sorted(titles) == sorted(lesson["title"] for lesson in all_lessons())
    assert len(held["lessons"]) == len(DRAWN) >= 4
    assert held["terms"]
    assert held["papers"]
    assert "uc-lesson-list" in held["markup"]


def test_lessons_on_shipped_runs_come_with_these():
    held = held_lessons()
    told = live_lessons(held, ["embedded-blind"])
    assert told["elsewhere"] == []
    assert [one["title"] for one in told["lessons"]] == [one["title"] for one in all_lessons()]
    for lesson in (one for one in told["lessons"] if "held" in one):
        mine = held[lesson["held"].removeprefix("live-")]
        payload, shown = mine["payload"], mine["shown"]
        assert lesson["shown"] == shown
        assert lesson["intro"][-1].startswith("These runs are of another model") == (payload["model"]["id"] != "embedded-blind")
        assert not {"paints", "paints_around", "asks"} & {goal for step in lesson["steps"] for goal in step["goal"]}
        finds = {step["goal"]["finds"] for step in lesson["steps"] if "finds" in step["goal"]}
        assert all(any(run[kind] for run in shown) for kind in finds)
        assert all(run["findings"] and run["verdict"] for run in payload["runs"])
