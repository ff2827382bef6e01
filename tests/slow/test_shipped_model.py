"""The shipped weights draw what they are asked."""

from __future__ import annotations

from uncage_demo.backends.embedded.backend import EmbeddedBackend
from uncage_demo.bench.run import make_images
from uncage_demo.config import DecodingConfig
from uncage_demo.prompt.parse import parse_prompt


def test_the_shipped_model_draws_what_it_is_asked():
    """A few single objects: far below the card's figures, so that only a broken model fails."""
    backend = EmbeddedBackend.load()
    prompts = [parse_prompt(text, backend) for text in ("a turtle", "a red car", "a frog", "a blue clock")]
    twice = [prompt for prompt in prompts for _ in (0, 1)]
    _, images = make_images(backend, twice, [DecodingConfig(num_steps=12, seed=seed) for _ in prompts for seed in (0, 1)])
    verdicts = backend.judge_many(images, twice)
    assert sum(verdict.objects_found[0] for verdict in verdicts) >= 6
