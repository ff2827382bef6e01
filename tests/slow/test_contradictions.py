"""Diagnosis and verdict tell one story on runs that are made for it (of shipped examples: tests/unit/test_verdict_agrees.py)."""

from __future__ import annotations

import os

import numpy as np
import pytest

from uncage_demo.backends import load_backend
from uncage_demo.config import DecodingConfig
from uncage_demo.diagnosis.detector import contradictions
from uncage_demo.diagnosis.diagnose import diagnose
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.runner import compare
from uncage_demo.trace.record import Trace

PROMPTS = (
    "a turtle and a pink apple in a meadow",
    "a red car and a blue bench",
    "two cats and a dog",
    "a lion on the left and an elephant on the right",
    "a monkey, a yellow balloon and a green frog",
    "a black cat and a white rabbit",
    "a bird with a crown",
    "a purple suitcase and a brown bear at night",
    "a red apple and a green apple",
    "a clock above a chair",
)
ORDERS = ("meissonic", "uncage")


def _contradictions(world: str, prompts: tuple[str, ...], seeds: range) -> tuple[int, int, int]:
    """(runs, wrong pictures, contradictions) of a shipped model over prompts, seeds and orders."""
    backend = load_backend(world)
    runs = wrong = against = 0
    for text in prompts:
        prompt = parse_prompt(text, backend)
        for seed in seeds:
            traces: list[Trace] = compare(backend, prompt, [DecodingConfig(order=o, seed=seed, num_steps=8) for o in ORDERS], frames=False)
            for trace in traces:
                verdict = backend.judge(trace, prompt)
                assert verdict is not None
                runs, wrong = runs + 1, wrong + (not verdict.all_correct)
                against += bool(contradictions(trace, diagnose(trace, verdict), verdict))
    return runs, wrong, against


@pytest.mark.parametrize("world", ["embedded", "embedded-web", "embedded-blind"])
def test_generated_runs_hold_no_contradiction(world: str) -> None:
    """A few runs here; UNCAGE_CONTRADICTION_SEEDS=10 makes it 200 of each world."""
    seeds = int(os.environ.get("UNCAGE_CONTRADICTION_SEEDS", "0"))
    prompts = PROMPTS if seeds else PROMPTS[:3]
    runs, wrong, against = _contradictions(world, prompts, range(seeds or 1))
    assert runs == len(prompts) * (seeds or 1) * len(ORDERS)
    assert wrong > 0, "no wrong picture: this test would see no contradiction"
    assert against == 0
    assert np.isfinite(runs)
