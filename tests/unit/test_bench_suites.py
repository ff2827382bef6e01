"""Suites: counts, wording, repeatability, prompt files, splits."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.backends.embedded.verdict import verdict_of
from uncage_demo.backends.embedded.vocab import POSITION_SAID
from uncage_demo.bench.suites import (
    ANIMALS,
    COLORS,
    OBJECTS,
    PLACES,
    POSITIONS,
    SUITES,
    build_suites,
    load_prompts,
    noun_phrase,
    split_prompts,
)
from uncage_demo.prompt.parse import check_drawable, parse_prompt


def test_attend_excite_has_the_published_structure() -> None:
    prompts = build_suites(["attend-excite"])
    assert Counter(p.category for p in prompts) == {"animals": 66, "animals-objects": 144, "objects": 66}
    assert len({p.text for p in prompts}) == 276
    for prompt in prompts:
        words = prompt.text.split()
        colors = [w for w in words if w in COLORS]
        nouns = [w for w in words if w in ANIMALS + OBJECTS]
        assert len(nouns) == 2
        if prompt.category == "objects":
            assert len(set(colors)) == 2
        elif prompt.category == "animals-objects":
            worn = nouns[1] in ("bow", "crown", "glasses")
            assert ("with" in words) == worn
            assert len(colors) == (0 if worn else 1)
        else:
            assert not colors


def test_articles() -> None:
    assert noun_phrase("elephant") == "an elephant"
    assert noun_phrase("car", "orange") == "an orange car"
    assert noun_phrase("apple", "red") == "a red apple"
    assert noun_phrase("glasses", "green") == "green glasses"
    assert noun_phrase("elephant", published=True) == "a elephant"
    published = [p.text for p in build_suites(["attend-excite"], published=True)]
    assert "a elephant and a frog" in published
    assert not any(" an " in f" {text} " for text in published)


@pytest.mark.parametrize("name", ["places", "positions", "numbers"])
def test_what_else_can_be_asked_for(name: str) -> None:
    """Every prompt of these suites is read as it is meant."""
    backend = EmbeddedBackend.tiny()
    prompts = build_suites([name])
    categories = Counter(p.category for p in prompts)
    assert (
        categories
        == {
            "places": dict.fromkeys(PLACES, 12),
            "positions": dict.fromkeys(POSITIONS, 12),
            "numbers": {"two": 24, "three": 12, "two and one": 12},
        }[name]
    )
    for item in prompts:
        prompt = parse_prompt(item.text, backend)
        check_drawable(prompt, backend)
        counts = [subject.count for subject in prompt.subjects]
        wishes = [(wish.kind, wish.label) for wish in verdict_of([], prompt, "").wishes]
        if name == "places":
            assert wishes == [("place", item.category)]
        elif name == "positions":
            nouns, said = [subject.noun for subject in prompt.subjects], POSITION_SAID[item.category]
            lies = f" {item.category} " in wishes[0][1]
            assert len(wishes) == (1 if lies else 2)
            assert wishes[0][1].startswith(nouns[0])
            assert lies or wishes[0][1].endswith(said)
        else:
            assert counts == {"two": [2], "three": [3], "two and one": [2, 1]}[item.category]


def test_suites_repeat_and_depend_on_the_seed() -> None:
    for name in SUITES:
        assert build_suites([name]) == build_suites([name])
        assert all(p.suite == name for p in build_suites([name]))
    assert build_suites(["attend-excite"], 0) != build_suites(["attend-excite"], 1)


def test_swapped_colours_come_in_pairs_that_only_swap() -> None:
    prompts = build_suites(["swapped-colours"])
    for cluster, count in Counter(p.cluster for p in prompts).items():
        assert count == 2
        one, two = (p.text for p in prompts if p.cluster == cluster)
        assert one != two
        keep = set(COLORS) | {"a", "an"}
        assert [w for w in one.split() if w not in keep] == [w for w in two.split() if w not in keep]
        assert [w for w in one.split() if w in COLORS] == [w for w in two.split() if w in COLORS][::-1]


def test_two_coloured_objects_are_fresh_prompts_of_every_pair() -> None:
    prompts = build_suites(["two-coloured-objects"])
    assert len({p.text for p in prompts}) == len(prompts) == 264
    assert set(Counter(p.cluster for p in prompts).values()) == {4}
    assert not {p.text for p in prompts} & {p.text for p in build_suites(["attend-excite"])}
    for prompt in prompts:
        colors = [w for w in prompt.text.split() if w in COLORS]
        assert len(set(colors)) == 2
        assert [w for w in prompt.text.split() if w in OBJECTS] == prompt.cluster.split()


def test_each_seed_of_two_coloured_objects_has_prompts_of_its_own() -> None:
    texts = [{p.text for p in build_suites(["two-coloured-objects"], seed)} for seed in range(3)]
    assert len(set.union(*texts)) == 3 * 264


def test_other_suites() -> None:
    three = build_suites(["three-subjects"])
    assert len(three) == 60
    assert all(p.text.count(" and ") == 2 for p in three)
    for prompt in build_suites(["same-class-two-colours"]):
        nouns = [w for w in prompt.text.split() if w in OBJECTS]
        assert nouns[0] == nouns[1]
        assert len({w for w in prompt.text.split() if w in COLORS}) == 2
    assert Counter(p.category for p in build_suites(["single-object"])) == {"plain": 24, "coloured": 132}
    assert "a black apple" in {p.text for p in build_suites(["rare-colours"])}
    with pytest.raises(ValueError, match="no-such"):
        build_suites(["no-such"])


def test_split_is_a_partition_that_keeps_clusters_whole() -> None:
    prompts = build_suites(["attend-excite", "swapped-colours"])
    choose, confirm = split_prompts(prompts, "choose"), split_prompts(prompts, "confirm")
    assert Counter(choose + confirm) == Counter(prompts)
    assert not {p.cluster for p in choose} & {p.cluster for p in confirm}
    assert Counter(p.category for p in choose if p.suite == "attend-excite") == {"animals": 33, "animals-objects": 72, "objects": 33}
    with pytest.raises(ValueError, match="'half'"):
        split_prompts(prompts, "half")


def test_prompt_files(tmp_path: Path) -> None:
    text = tmp_path / "mine.txt"
    text.write_text("# comment\na cat\n\na dog\na cat\n", encoding="utf-8")
    assert [(p.text, p.suite) for p in load_prompts(text)] == [("a cat", "mine"), ("a dog", "mine")]
    nested = tmp_path / "ssd.json"
    nested.write_text(json.dumps({"ssd2": ["a tiger and a lion"], "ssd3": ["a bus"]}), encoding="utf-8")
    assert [(p.text, p.category) for p in load_prompts(nested)] == [("a tiger and a lion", "ssd2"), ("a bus", "ssd3")]
    nested.write_text('["a bus"]', encoding="utf-8")
    assert load_prompts(nested)[0].category == "all"


@pytest.mark.parametrize(("content", "message"), [("[]", "no prompt"), ("3", "expected a list"), ('{"a": [1]}', "'a'"), ("{", "not JSON")])
def test_bad_prompt_files_are_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        load_prompts(path)
