"""The shipped weights draw what they are asked, and today what they drew when the examples were made."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.shipped_makers import maker
from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.bench.run import make_images
from uncage_demo.config import DecodingConfig
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.runner import generate
from uncage_demo.shipped import EXAMPLES
from uncage_demo.trace.record import Trace


def test_the_shipped_model_draws_what_it_is_asked():
    """A few single objects: far below the card's figures, so that only a broken model fails."""
    backend = EmbeddedBackend.load()
    prompts = [parse_prompt(text, backend) for text in ("a turtle", "a red car", "a frog", "a blue clock")]
    twice = [prompt for prompt in prompts for _ in (0, 1)]
    _, images = make_images(backend, twice, [DecodingConfig(num_steps=12, seed=seed) for _ in prompts for seed in (0, 1)])
    verdicts = backend.judge_many(images, twice)
    assert sum(verdict.objects_found[0] for verdict in verdicts) >= 6


@pytest.mark.parametrize("name", ["embedded-web.mended.mend", "embedded-web.ages.meissonic-age-1-5", "rescue.uncage"])
def test_an_example_is_what_the_model_draws_today(name):
    shipped = Trace.load(EXAMPLES / f"{name}.npz")
    model = maker(shipped.model.id, shipped.age)
    again = generate(model, parse_prompt(shipped.prompt.text, model), DecodingConfig.from_dict(shipped.config))
    assert np.array_equal(again.tokens, shipped.tokens)
    assert np.array_equal(again.unmask_step, shipped.unmask_step)


def test_verdicts_of_the_index_are_the_detectors():
    index = json.loads((EXAMPLES / "index.json").read_text())
    for entry in index.values():
        for stem, said in entry["verdicts"].items():
            trace = Trace.load(EXAMPLES / f"{stem}.npz")
            assert maker(trace.model.id, trace.age).judge(trace, trace.prompt).all_correct == said["all_correct"]


def test_examples_belong_to_the_weights():
    traces = sorted(EXAMPLES.glob("*.npz"))
    assert len(traces) >= 8
    for path in traces:
        trace = Trace.load(path)
        here = maker(trace.model.id, trace.age).info.weight_hash
        assert trace.model.weight_hash == here, f"{path.name}: run `python -m uncage_demo ship`"
