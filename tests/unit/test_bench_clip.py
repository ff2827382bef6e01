"""CLIP and BLIP scores: templates, both modes, hand-computed cosines, and tiny random models through the real library."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from uncage_demo.bench.scorers_clip import TEMPLATES, ClipScorer, fill_templates, prompt_parts
from uncage_demo.types import Prompt, Subject, Word


def prompt_of(text: str, nouns: Sequence[str], colors: Sequence[str] = ()) -> Prompt:
    spans, at = [], 0
    for piece in text.split():
        spans.append(Word(piece, at, at + len(piece)))
        at += len(piece) + 1
    where = {word.text: i for i, word in enumerate(spans)}
    subjects = []
    for k, noun in enumerate(nouns):
        attributes = ((where[colors[k]],),) if k < len(colors) and colors[k] else ()
        subjects.append(Subject((where[noun],), attributes, noun, noun))
    return Prompt(text, (), tuple(spans), tuple(subjects))


def test_there_are_eighty_different_templates() -> None:
    assert len(TEMPLATES) == len(set(TEMPLATES)) == 80
    assert all(template.count("{}") == 1 for template in TEMPLATES)
    for known in ("a bad photo of a {}.", "itap of my {}.", "the origami {}.", "a photo of the hard to see {}.", "a {} in a video game."):
        assert known in TEMPLATES


def test_the_published_defect_is_kept_in_paper_mode_and_gone_in_corrected_mode() -> None:
    text = "an orca and a dolphin"
    paper, corrected = fill_templates(text, "paper"), fill_templates(text, "corrected")
    assert all("orcand a dolphin" in filled for filled in paper if "{}" not in filled)
    assert all("an orca and a dolphin" in filled for filled in corrected)
    assert "a photo of an orca and a dolphin." in corrected
    assert not any("a an " in filled or "the an " in filled for filled in corrected)


def test_modes_agree_where_nothing_is_corrupted() -> None:
    assert fill_templates("a cat and a dog", "paper") == fill_templates("a cat and a dog", "corrected")
    assert "a photo of a cat and a dog." in fill_templates("a cat and a dog")
    assert "a photo of the glasses." in fill_templates("glasses")
    with pytest.raises(ValueError, match="mode='exact'"):
        fill_templates("a cat", "exact")


def test_parts_of_a_prompt() -> None:
    three = prompt_of("a red apple and a dog and a blue car", ["apple", "dog", "car"], ["red", "", "blue"])
    assert prompt_parts(three, "paper") == ["a red apple", "a dog"]
    assert prompt_parts(three) == ["a red apple", "a dog", "a blue car"]
    assert prompt_parts(prompt_of("a cat with a crown", ["cat", "crown"]), "paper") == ["a cat", "a crown"]
    assert prompt_parts(prompt_of("glasses", [])) == ["glasses"]


def test_scores_by_hand() -> None:
    """Feature space of two axes: "cat" and "dog". A text has a 3 on the axis of each word it holds; lengths must not matter."""

    def embed_texts(texts: Sequence[str]) -> torch.Tensor:
        return torch.tensor([[3.0 * ("cat" in t), 3.0 * ("dog" in t)] for t in texts])

    def embed_images(pictures: np.ndarray) -> torch.Tensor:
        return torch.tensor([[4.0, 3.0], [0.0, 0.5]])

    scorer = ClipScorer(embed_images, embed_texts, lambda pictures: ["cat", "a cat and a dog"], version="by hand")
    prompt = prompt_of("a cat and a dog", ["cat", "dog"])
    both, dog = scorer.score(np.zeros((2, 4, 4, 3), np.uint8), [prompt, prompt])
    # Picture (.8, .6), text (1, 1)/sqrt 2: cosine 1.4/sqrt 2; cat .8, dog .6. Picture (0, 1): text 1/sqrt 2; cat 0.
    assert both["metrics"] == pytest.approx({"text_image": 100 * 1.4 / 2**0.5, "min_object": 60.0, "text_text": 100 / 2**0.5}, abs=1e-3)
    assert dog["metrics"] == pytest.approx({"text_image": 100 / 2**0.5, "min_object": 0.0, "text_text": 100.0}, abs=1e-3)
    assert dog["caption"] == "a cat and a dog"
    assert both["scorer"] == "clip-corrected by hand"


def test_a_third_subject_counts_in_corrected_mode_only() -> None:
    def embed_texts(texts: Sequence[str]) -> torch.Tensor:
        return torch.tensor([[1.0 * ("cat" in t), 1.0 * ("dog" in t), 1.0 * ("frog" in t)] for t in texts])

    prompt = prompt_of("a cat and a dog and a frog", ["cat", "dog", "frog"])
    for mode, expected in (("paper", 100 / 2**0.5), ("corrected", 0.0)):
        scorer = ClipScorer(lambda pictures: torch.tensor([[1.0, 1.0, 0.0]]), embed_texts, mode=mode)
        line = scorer.score(np.zeros((1, 2, 2, 3), np.uint8), [prompt])[0]
        assert line["metrics"]["min_object"] == pytest.approx(expected, abs=1e-3)
        assert "text_text" not in line["metrics"]
