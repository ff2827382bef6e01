"""Training stages on small modules and few drawings, and a way to stop one in the middle of a step."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.drawings import drawn_atlas
from uncage_demo.backends.embedded import vocab
from uncage_demo.backends.embedded.backend import STYLES
from uncage_demo.backends.embedded.detector import Detector
from uncage_demo.backends.embedded.tokenizer import ImageTokenizer
from uncage_demo.backends.embedded.transformer import SceneTransformer
from uncage_demo.train import detector as detector_stage
from uncage_demo.train import image_tokenizer, loop, pictures
from uncage_demo.train import transformer as transformer_stage
from uncage_demo.train.export import export
from uncage_demo.train.parts import new_parts
from uncage_demo.train.token_scenes import TokenScenes

STEPS = 5


def small_tokenizer() -> ImageTokenizer:
    torch.manual_seed(0)
    return ImageTokenizer(encoder_width=16, decoder_widths=(8, 8, 8), blocks=(0, 0, 0))


def small_transformer() -> SceneTransformer:
    torch.manual_seed(0)
    return SceneTransformer(len(vocab.WORDS), vocab.TEXT_LENGTH, width=16, ratio=2, text_layers=1, multi_layers=1, single_layers=2)


def small_detector() -> Detector:
    torch.manual_seed(0)
    return Detector(len(vocab.NOUNS), len(STYLES), widths=(8, 8, 8))


def train(stage: str, folder: Path, steps: int = STEPS, **options) -> torch.nn.Module:
    """A few steps of a stage with small modules."""
    shared = {"budget_s": 1e9, "batch": 4, "max_steps": steps, **options}
    if stage in ("tokenizer", "decoder"):
        return image_tokenizer.train(drawn_atlas(), folder, model=small_tokenizer(), codes_stay=stage == "decoder", **shared)
    if stage == "detector":
        return detector_stage.train(drawn_atlas(), small_tokenizer().eval(), folder, model=small_detector(), **shared)
    scenes = TokenScenes(drawn_atlas(), small_tokenizer().eval())
    return transformer_stage.train(scenes, folder, model=small_transformer(), **shared)


def write_untrained_model(folder: Path) -> Path:
    """A model folder with tiny random parts, as `train` would leave it; returns the folder."""
    torch.manual_seed(0)
    parts = {name: part.eval() for name, part in new_parts(tiny=True).items()}
    export(folder, parts, {"attention_heads": [[0, 0]], "blur": 0.5, "defaults": {"num_steps": 2}})
    return folder


def assert_same_weights(one: torch.nn.Module, other: torch.nn.Module) -> None:
    for (name, a), b in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def few_pictures(patch: pytest.MonkeyPatch) -> None:
    """Two prompts in two steps where a real report draws many."""
    for name, value in (("STEPS", 2), ("PROMPTS", pictures.PROMPTS[:2]), ("SEEDS", (0,))):
        patch.setattr(pictures, name, value)


def stop_before(step: int, patch: pytest.MonkeyPatch, action: Callable[[], None]) -> None:
    """Write a checkpoint after every step, and call `action` in the middle of one: when it asks for its data."""
    real = loop.batch_rng

    def rng(seed: int, stage: str, now: int) -> np.random.Generator:
        if now == step:
            action()
        return real(seed, stage, now)

    patch.setattr(loop, "batch_rng", rng)
    patch.setattr(loop, "run", partial(loop.run, checkpoint_every_s=0.0))


def sleep_in_the_middle(folder: Path) -> None:
    """What the killed process runs: training that stops to sleep in its fourth step."""

    def wait() -> None:
        (folder / "in-the-middle").touch()
        time.sleep(600)

    stop_before(3, pytest.MonkeyPatch(), wait)
    train("transformer", folder)
