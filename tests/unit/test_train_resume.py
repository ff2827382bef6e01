"""A killed training run continues with the same data in the same order, and ends in the same weights; reports change nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.drawings import drawn_atlas
from uncage_demo.backends.embedded import vocab
from uncage_demo.backends.embedded.backend import STYLES
from uncage_demo.backends.embedded.detector import Detector
from uncage_demo.backends.embedded.tokenizer import ImageTokenizer
from uncage_demo.backends.embedded.transformer import SceneTransformer
from uncage_demo.train import detector as detector_stage
from uncage_demo.train import image_tokenizer, loop, pictures
from uncage_demo.train import transformer as transformer_stage
from uncage_demo.train.token_scenes import TokenScenes

ROOT = Path(__file__).parents[2]
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


def assert_same_weights(one: torch.nn.Module, other: torch.nn.Module) -> None:
    for (name, a), b in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def stop_before(step: int, patch: pytest.MonkeyPatch, action) -> None:
    """Write a checkpoint after every step, and call `action` in the middle of one: when it asks for its data."""
    real = loop.batch_rng

    def rng(seed: int, stage: str, now: int) -> np.random.Generator:
        if now == step:
            action()
        return real(seed, stage, now)

    patch.setattr(loop, "batch_rng", rng)
    patch.setattr(loop, "run", partial(loop.run, checkpoint_every_s=0.0))


@pytest.mark.parametrize("stage", ["tokenizer", "decoder", "detector", "transformer"])
def test_interrupted_run_ends_like_an_uninterrupted_one(stage, tmp_path):
    def interrupt():
        raise KeyboardInterrupt

    straight = train(stage, tmp_path / "straight")
    with pytest.MonkeyPatch.context() as patch:
        stop_before(3, patch, interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(stage, tmp_path / "resumed")
    assert torch.load(tmp_path / f"resumed/{stage}.ckpt", weights_only=True)["progress"]["step"] == 3
    assert_same_weights(straight, train(stage, tmp_path / "resumed"))


def sleep_in_the_middle(folder: Path) -> None:
    """What the killed process runs: training that stops to sleep in its fourth step."""

    def wait() -> None:
        (folder / "in-the-middle").touch()
        time.sleep(600)

    stop_before(3, pytest.MonkeyPatch(), wait)
    train("transformer", folder)


def test_kill_minus_nine_in_the_middle_of_a_step(tmp_path):
    tmp_path.joinpath("killed").mkdir()
    script = (
        f"from pathlib import Path; from tests.unit.test_train_resume import *; sleep_in_the_middle(Path({str(tmp_path / 'killed')!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        while not (tmp_path / "killed/in-the-middle").exists():
            assert process.poll() is None, "the training process ended by itself"
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    finally:
        process.kill()
    # What a kill while writing leaves behind does no harm either.
    (tmp_path / "killed/transformer.partial").write_bytes(b"half a checkpoint")
    assert_same_weights(train("transformer", tmp_path / "straight"), train("transformer", tmp_path / "killed"))


def test_data_of_a_step_depend_on_seed_stage_and_step_alone():
    def draw(*key):
        return loop.batch_rng(*key).random(4).tolist()

    assert draw(0, "detector", 7) == draw(0, "detector", 7)
    assert len({tuple(draw(*key)) for key in ((0, "a", 7), (1, "a", 7), (0, "b", 7), (0, "a", 8))}) == 4


class TestReports:
    def test_pictures_and_rates_change_no_weight(self, tmp_path, monkeypatch):
        monkeypatch.setattr(pictures, "STEPS", 2)
        straight = train("transformer", tmp_path / "straight", 3)
        monkeypatch.setattr(loop, "run", partial(loop.run, report_every_s=0.0))
        monkeypatch.setattr(transformer_stage, "evaluate", lambda network, scenes: {})
        shown = []

        def show(progress):
            drawn = pictures.GeneratedPictures(tmp_path, network, small_tokenizer(), small_detector())(progress)
            shown.append(drawn)
            return drawn

        network = small_transformer()
        scenes = TokenScenes(drawn_atlas(), small_tokenizer().eval())
        transformer_stage.train(scenes, tmp_path / "shown", budget_s=1e9, batch=4, max_steps=3, model=network, show=show)
        assert_same_weights(straight, network)
        assert all(parameter.requires_grad for parameter in network.parameters())
        assert [sorted(figures) for figures in shown] == [["shown_correct_frac", "shown_found_frac"]] * 3
        sheets = sorted((tmp_path / "pictures").iterdir())
        assert [path.name for path in sheets] == [f"transformer-{step:06d}.png" for step in (1, 2, 3)]
        assert Image.open(sheets[0]).size == (192 * len(pictures.PROMPTS), 192 * len(pictures.SEEDS))
        logged = [json.loads(line) for line in (tmp_path / "shown/transformer.jsonl").read_text().splitlines()]
        assert [line["step"] for line in logged if "shown_correct_frac" in line] == [1, 2, 3]

    def test_without_a_detector_there_are_pictures_but_no_rates(self, tmp_path, monkeypatch):
        monkeypatch.setattr(pictures, "STEPS", 1)
        assert pictures.trained_detector(tmp_path, small_detector()) is None
        assert pictures.GeneratedPictures(tmp_path, small_transformer(), small_tokenizer(), None)(loop.Progress(step=4)) == {}
        assert (tmp_path / "pictures/transformer-000004.png").exists()

    def test_tokenizer_shows_originals_above_reconstructions(self, tmp_path):
        pictures.ReconstructedScenes(tmp_path, small_tokenizer(), drawn_atlas())(loop.Progress(step=12))
        sheet = np.asarray(Image.open(tmp_path / "pictures/tokenizer-000012.png"), np.float32) / 255
        original = pictures.ReconstructedScenes(tmp_path, small_tokenizer(), drawn_atlas()).scenes
        assert np.abs(sheet[:192, :192] - original[0].clip(0, 1)).max() < 0.01
        assert np.abs(sheet[192:, :192] - original[0]).mean() > 0.05
