"""The experiment "editing": what is erased, what counts as whole, lines that can be continued and made again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.backends.embedded.verdict import verdict_of
from uncage_demo.bench import editing
from uncage_demo.bench.experiments import Setting, only
from uncage_demo.bench.experiments import editing as experiment_of
from uncage_demo.bench.records import read_records
from uncage_demo.bench.run import replay
from uncage_demo.bench.suites import BenchPrompt
from uncage_demo.bench.tables import build_table
from uncage_demo.config import DecodingConfig
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.types import FoundObject

TINY = EmbeddedBackend.tiny(seed=0)
ITEMS = [BenchPrompt(text, "own", "pairs", text) for text in ("a turtle and a pink apple", "a cat and a dog", "a red car and a bear")]
EXPERIMENT = only(experiment_of(Setting(DecodingConfig(num_steps=4), TINY.info, 0.5)), ["halton"])


def sees(backend: Any, images: np.ndarray, prompts: Any) -> list[Any]:
    """A detector that sees what is asked for, side by side."""
    found = []
    for prompt in prompts:
        seen = []
        for o, subject in enumerate(prompt.subjects):
            box = (0.0, 0.5 * o, 0.4, 0.5 * o + 0.4)
            seen.append(FoundObject(subject.noun, subject.colors[0] if subject.colors else "", 0.9, box))
        found.append(verdict_of(seen, prompt))
    return found


@pytest.fixture(autouse=True)
def seeing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(editing, "judge_many", sees)


def test_lines_are_made_once_and_can_be_made_again(tmp_path) -> None:
    path = tmp_path / "editing.jsonl"
    first = editing.run_editing(TINY, EXPERIMENT, ITEMS, [0, 1], path, pictures=2, batch=2)
    assert (first.pictures, first.tried, first.made, first.kept) == (2, 2, 4, 0)
    records = read_records(path)
    assert {r["method"] for r in records} == {"meissonic", "halton"}
    assert {r["edit"]["prompt"] for r in records} == {ITEMS[0].text, ITEMS[2].text}, "a prompt needs exactly one coloured object"
    for record in records:
        assert replay(TINY, record).identical
        assert record["prompt"] != record["edit"]["prompt"]
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) - 40])  # killed while the last line was written
    again = editing.run_editing(TINY, EXPERIMENT, ITEMS, [0, 1], path, pictures=3, batch=2)
    assert (again.pictures, again.made, again.kept) == (3, 3, 3)
    assert path.read_bytes().startswith(raw)
    table = build_table(read_records(path), "editing")
    assert table.row("halton").estimates["correct"].value == 1.0
    assert "seam" in table.metrics


def test_what_is_not_erased_is_as_before() -> None:
    case = editing._right_ones(TINY, next(editing._batches(TINY, EXPERIMENT, ITEMS, [0], 1)))[0]
    made = editing._drawn(TINY, [case], [editing._line(TINY, EXPERIMENT, "halton", EXPERIMENT.methods["halton"], case)])[0]
    tokens, image, _, _ = editing.replay_edit(TINY, made)
    outside = np.ones(36, bool)
    outside[list(case.erased)] = False
    assert np.array_equal(tokens[outside], case.tokens[outside])
    assert made["metrics"]["seam"] in (0, 1)
    assert image.shape == case.image.shape


def test_the_box_of_the_object_and_a_margin_are_erased_but_no_other_object() -> None:
    prompt = parse_prompt(ITEMS[0].text, TINY)
    verdict = sees(TINY, np.zeros((1, 96, 96, 3), np.uint8), [prompt])[0]
    erased = editing.erased_cells(verdict, prompt, 1, (6, 6)).reshape(6, 6)
    assert erased.tolist() == [[False, False, True, True, True, True]] * 3 + [[False] * 6] * 3


def test_a_new_color_is_a_new_one_and_always_the_same() -> None:
    colors = {editing.new_color("a turtle and a pink apple", "pink", ["blue"], number) for number in range(60)}
    assert len(colors) > 5
    assert not colors & {"pink", "blue"}
    assert editing.new_color("x", "pink", [], 3) == editing.new_color("x", "pink", [], 3)


def test_a_seam_is_broken_by_a_lost_object_or_a_worse_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    case = editing._right_ones(TINY, next(editing._batches(TINY, EXPERIMENT, ITEMS, [0], 1)))[0]
    prompt = parse_prompt(case.item.text, TINY)
    right = sees(TINY, case.image[None], [prompt])[0]
    same = editing.seam_metrics(TINY, case, case.image, right)
    assert same == {"seam": 1, "seam_rise": 0.0}
    assert editing.seam_metrics(TINY, case, case.image, verdict_of(right.detections[1:], prompt))["seam"] == 0
    moved = FoundObject("turtle", "", 0.9, (0.5, 0.0, 0.9, 0.4))
    assert editing.seam_metrics(TINY, case, case.image, verdict_of([moved, right.detections[1]], prompt))["seam"] == 0
    noise = np.random.default_rng(0).integers(0, 256, case.image.shape, dtype=np.uint8)
    worse = editing.seam_metrics(TINY, case, noise, right)
    assert worse["seam"] == int(worse["seam_rise"] <= editing.SEAM_RISE)
    assert worse["seam_rise"] > editing.SEAM_RISE


def test_what_cannot_be_run_is_named(tmp_path) -> None:
    with pytest.raises(ValueError, match="pictures=0"):
        editing.run_editing(TINY, EXPERIMENT, ITEMS, [0], tmp_path / "a.jsonl", pictures=0)
    with pytest.raises(ValueError, match="exactly one coloured object"):
        editing.run_editing(TINY, EXPERIMENT, ITEMS[1:2], [0], tmp_path / "a.jsonl")
    with pytest.raises(ValueError, match="method 'best'"):
        only(EXPERIMENT, ["best"])
