"""Running experiments on a real model with small random weights: resuming, sharding, reuse, replay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.bench.experiments import Experiment
from uncage_demo.bench.records import merge, read_records
from uncage_demo.bench.run import make_images, own_seed, pictures_at_once, replay, resolve, run_experiment
from uncage_demo.bench.suites import BenchPrompt
from uncage_demo.bench.tables import build_table
from uncage_demo.config import DecodingConfig
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.types import Prompt

BASE = DecodingConfig(num_steps=3)
EXPERIMENT = Experiment(
    "mine", "Mine", {"meissonic": BASE, "uncage": BASE.with_(order="uncage"), "random": BASE.with_(order="random")}, "meissonic"
)
PROMPTS = [BenchPrompt(text, "suite", "animals", text) for text in ("a cat and a dog", "a red car and a blue clock")]


class Brightness:
    """A scorer that fails after a given number of pictures, as a killed run does."""

    name = "brightness"

    def __init__(self, fail_after: int = 10**9) -> None:
        self.left = fail_after
        self.seen = 0

    def score(self, images: np.ndarray, prompts: Sequence[Prompt]) -> list[dict[str, Any]]:
        self.seen += len(images)
        self.left -= len(images)
        if self.left < 0:
            raise KeyboardInterrupt
        return [{"metrics": {"correct": int(image.mean() > 127)}, "scorer": "brightness 1"} for image in images]


@pytest.fixture(scope="module")
def backend() -> EmbeddedBackend:
    return EmbeddedBackend.tiny(0)


@pytest.fixture(scope="module")
def reference(backend: EmbeddedBackend, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    path = tmp_path_factory.mktemp("whole") / "results.jsonl"
    summary = run_experiment(backend, EXPERIMENT, PROMPTS, [0, 1], path, Brightness(), batch=6)
    assert (summary.made, summary.kept, summary.reused) == (12, 0, 0)
    assert summary.images_per_s > 0
    return read_records(path)


def test_every_line_says_what_made_it(backend: EmbeddedBackend, reference: list[dict[str, Any]]) -> None:
    assert len(reference) == len({r["key"] for r in reference}) == 12
    for record in reference:
        config = DecodingConfig.from_dict(record["config"])
        assert config.seed == record["seed"]
        assert config.guidance_scale == backend.info.default_guidance_scale
        assert config.contrast_blur == backend.default_blur
        assert record["model"] == {"id": backend.info.id, "weight_hash": backend.info.weight_hash}
        assert {"uncage-demo", "torch", "numpy", "device"} <= set(record["versions"])
    assert len({r["image_hash"] for r in reference}) > 6


def test_interrupted_run_continues_without_doing_anything_twice(
    backend: EmbeddedBackend, reference: list[dict[str, Any]], tmp_path: Path
) -> None:
    path = tmp_path / "results.jsonl"
    with pytest.raises(KeyboardInterrupt):
        run_experiment(backend, EXPERIMENT, PROMPTS, [0, 1], path, Brightness(fail_after=8), batch=4)
    assert len(read_records(path)) == 8
    scorer = Brightness()
    summary = run_experiment(backend, EXPERIMENT, PROMPTS, [0, 1], path, scorer, batch=3)
    assert (summary.made, summary.kept, scorer.seen) == (4, 8, 4)
    # Other batches, same pictures.
    assert {r["key"]: r["image_hash"] for r in read_records(path)} == {r["key"]: r["image_hash"] for r in reference}
    again = run_experiment(backend, EXPERIMENT, PROMPTS, [0, 1], path, Brightness(fail_after=0))
    assert (again.made, again.kept) == (0, 12)


def test_shards_divide_the_work_and_merge(backend: EmbeddedBackend, reference: list[dict[str, Any]], tmp_path: Path) -> None:
    parts = []
    for index in range(2):
        path = tmp_path / f"{index}.jsonl"
        run_experiment(backend, EXPERIMENT, PROMPTS, [0, 1], path, Brightness(), shard=(index, 2))
        parts.append(read_records(path))
    assert [len(part) for part in parts] == [6, 6]
    whole = {r["key"]: r for r in merge(parts)}
    assert {k: (r["image_hash"], r["metrics"]) for k, r in whole.items()} == {r["key"]: (r["image_hash"], r["metrics"]) for r in reference}
    with pytest.raises(ValueError, match="shard=2/2"):
        run_experiment(backend, EXPERIMENT, PROMPTS, [0], tmp_path / "x.jsonl", Brightness(), shard=(2, 2))


def test_noise_of_its_own_for_each_prompt_is_the_same_for_all_methods(backend: EmbeddedBackend, tmp_path: Path) -> None:
    assert own_seed("a cat", 0) == 3882755056  # the same on every machine
    run_experiment(backend, EXPERIMENT, PROMPTS, [0, 1], tmp_path / "own.jsonl", Brightness())
    lines = read_records(tmp_path / "own.jsonl")
    for method in EXPERIMENT.methods:
        seeds = {item.text: {r["seed"] for r in lines if (r["prompt"], r["method"]) == (item.text, method)} for item in PROMPTS}
        assert seeds == {item.text: {own_seed(item.text, 0), own_seed(item.text, 1)} for item in PROMPTS}
    run_experiment(backend, EXPERIMENT, PROMPTS, [0, 1], tmp_path / "shared.jsonl", Brightness(), own_seeds=False)
    assert {r["seed"] for r in read_records(tmp_path / "shared.jsonl")} == {0, 1}
    assert "2 prompts, 2 seeds per prompt, 4 images per method" in build_table(lines, EXPERIMENT.name).size


def test_equal_pictures_of_another_experiment_are_taken_over(backend: EmbeddedBackend, tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    run_experiment(backend, EXPERIMENT, PROMPTS, [0], path, Brightness())
    other = Experiment("other", "Other", {"plain": BASE, "strong": BASE.with_(order="uncage", contrast_weight=9.0)}, "plain")
    summary = run_experiment(backend, other, PROMPTS, [0], path, Brightness())
    assert (summary.made, summary.reused) == (2, 2)
    records = read_records(path)
    taken = [r for r in records if r["method"] == "plain"]
    source = {r["prompt"]: r for r in records if r["method"] == "meissonic"}
    assert [r["image_hash"] for r in taken] == [source[r["prompt"]]["image_hash"] for r in taken]
    assert all(r["experiment"] == "other" and r["baseline"] == "plain" for r in taken)


def test_replay_is_bit_for_bit_and_notices_a_difference(backend: EmbeddedBackend, reference: list[dict[str, Any]]) -> None:
    for record in reference[::5]:
        again = replay(backend, record)
        assert again.identical
        assert again.image.dtype == np.uint8
    assert not replay(backend, reference[0] | {"image_hash": "0" * 16}).identical
    other_seed = reference[0] | {"config": reference[0]["config"] | {"seed": 99}}
    assert not replay(backend, other_seed).identical
    with pytest.raises(ValueError, match="made by embedded with weights ffff"):
        replay(backend, reference[0] | {"model": {"id": backend.info.id, "weight_hash": "ffff"}})


def test_pictures_do_not_depend_on_what_is_beside_them(backend: EmbeddedBackend) -> None:
    prompts = [parse_prompt(p.text, backend) for p in PROMPTS]
    configs = [BASE.with_(order="uncage", seed=s) for s in (0, 1)]
    tokens, images = make_images(backend, prompts, configs)
    for i in range(2):
        alone_tokens, alone_image = make_images(backend, prompts[i : i + 1], configs[i : i + 1])
        assert np.array_equal(alone_tokens[0], tokens[i])
        assert np.array_equal(alone_image[0], images[i])


def test_resolve_fills_the_models_defaults(backend: EmbeddedBackend) -> None:
    resolved = resolve(DecodingConfig(order="uncage", num_steps=8), backend)
    assert (resolved.guidance_scale, resolved.contrast_blur, resolved.contrast_steps) == (3.0, 0.5, 2)


def test_bad_batch_is_refused(backend: EmbeddedBackend, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="batch=0"):
        run_experiment(backend, EXPERIMENT, PROMPTS, [0], tmp_path / "x.jsonl", Brightness(), batch=0)


def test_a_large_models_batch_is_smaller() -> None:
    info = EmbeddedBackend.tiny().info
    assert pictures_at_once(64, info) == 64
    meissonic = replace(info, grid=(64, 64), codebook_size=8192)
    assert pictures_at_once(64, meissonic) == 8  # 268 MB of logits each
    assert pictures_at_once(2, meissonic) == 2
    assert pictures_at_once(64, replace(info, grid=(256, 256), codebook_size=8192)) == 1
