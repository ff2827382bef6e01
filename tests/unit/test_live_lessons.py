"""The lessons in the page in one file: what the page can draw and check itself; nothing that needs a shipped run, an age or the brush."""

import pytest

from uncage_demo.backends.embedded.vocab import VOCABULARY
from uncage_demo.browser.live_lessons import DRAWN, live_lessons
from uncage_demo.orders.table import ORDERS
from uncage_demo.ui.lessons import all_lessons

# Goals that read where a shipped run shows something, or the brush; see lessons.js.
OF_SHIPPED_RUNS = {"finds", "paints", "paints_around", "asks"}


@pytest.mark.parametrize("lesson", live_lessons()["lessons"], ids=lambda lesson: lesson["title"])
def test_a_lesson_can_be_drawn_and_followed(lesson):
    assert not OF_SHIPPED_RUNS & {goal for step in lesson["steps"] for goal in step["goal"]}
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
