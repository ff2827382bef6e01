"""Best of n: candidates, what the choice looks at, and that a line of it makes its picture again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.bench.best_of import SEED_STRIDE, candidates, placement
from uncage_demo.bench.experiments import Experiment
from uncage_demo.bench.records import read_records
from uncage_demo.bench.run import make_images, replay, resolve, run_experiment
from uncage_demo.bench.suites import BenchPrompt
from uncage_demo.config import DecodingConfig
from uncage_demo.prompt.parse import parse_prompt

BASE = DecodingConfig(num_steps=3)
TEXTS = ("a cat and a dog", "a red car and a blue clock")
PROMPTS = [BenchPrompt(text, "suite", "animals", text) for text in TEXTS]


class Brightness:
    """Scores every picture by its mean brightness."""

    name = "brightness"

    def score(self, images: np.ndarray, prompts: Any) -> list[dict[str, Any]]:
        return [{"metrics": {"correct": int(image.mean() > 127)}, "scorer": "brightness 1"} for image in images]


@pytest.fixture(scope="module")
def backend() -> EmbeddedBackend:
    return EmbeddedBackend.tiny(0)


def test_candidates_are_the_plain_run_and_others_with_seeds_of_their_own() -> None:
    made = candidates(BASE.with_(seed=7), 3)
    assert [config.seed for config in made] == [7, 7 + SEED_STRIDE, 7 + 2 * SEED_STRIDE]
    assert {config.with_(seed=0) for config in made} == {BASE}
    for wrong in (0, 17, True, 2.0):
        with pytest.raises(ValueError, match="best_of"):
            candidates(BASE, wrong)  # pyright: ignore[reportArgumentType]


def test_one_place_an_object_scores_above_two() -> None:
    class Attentive(EmbeddedBackend):
        """Attends where it is told to, whatever the tokens are."""

        def forward(self, tokens: Any, *args: Any, **more: Any) -> Any:
            output = super().forward(tokens, *args, **more)
            assert output.attention is not None
            output.attention.zero_()
            for word, cells in places.items():
                output.attention[:, word, cells] = 1.0
            return output

    tiny = Attentive.tiny(0)
    prompt = parse_prompt(TEXTS[0], tiny)
    cat, dog = (prompt.words[subject.object[0]].tokens[0] for subject in prompt.subjects)
    grid = np.zeros((1, 36), np.int64)
    near, far, other = [0, 1, 6, 7], [28, 29, 34, 35], [4, 5, 10, 11]
    scores = []
    for cells in (near, near + far, []):
        places = {cat: cells, dog: other}
        scores += placement(tiny, [prompt], grid, BASE)
    assert scores[0] > scores[1]
    assert scores[0] > scores[2]
    assert placement(tiny, [parse_prompt("and", tiny)], grid, BASE) == [0.0]


def test_the_best_by_placement_is_kept_and_its_line_makes_it_again(backend: EmbeddedBackend, tmp_path: Path) -> None:
    experiment = Experiment("mine", "Mine", {"plain": BASE, "best of 3": BASE}, "plain", {"best of 3": 3})
    path = tmp_path / "results.jsonl"
    assert run_experiment(backend, experiment, PROMPTS, [0, 1], path, Brightness(), batch=3, own_seeds=False).made == 8
    lines = [record for record in read_records(path) if record["method"] == "best of 3"]
    assert {record["seed"] for record in lines} == {0, 1}
    for record in lines:
        prompt = parse_prompt(record["prompt"], backend)
        configs = candidates(resolve(BASE.with_(seed=record["seed"]), backend), 3)
        tokens, _ = make_images(backend, [prompt] * 3, configs)
        best = int(np.argmax(placement(backend, [prompt] * 3, tokens, configs[0])))
        assert record["config"]["seed"] == configs[best].seed
        assert replay(backend, record).identical
    assert run_experiment(backend, experiment, PROMPTS, [0, 1], path, Brightness(), own_seeds=False).made == 0


def test_an_experiment_refuses_a_wrong_number() -> None:
    with pytest.raises(ValueError, match="best_of=0"):
        Experiment("mine", "Mine", {"plain": BASE}, "plain", {"plain": 0})
