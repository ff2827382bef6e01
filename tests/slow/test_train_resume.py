"""A killed training run continues with the same data in the same order, and ends in the same weights; reports change nothing."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from tests.drawings import drawn_atlas
from tests.small_training import assert_same_weights, few_pictures, small_detector, small_tokenizer, small_transformer, stop_before, train
from uncage_demo.train import loop, pictures
from uncage_demo.train import transformer as transformer_stage
from uncage_demo.train.token_scenes import TokenScenes


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


def test_data_of_a_step_depend_on_seed_stage_and_step_alone():
    def draw(*key):
        return loop.batch_rng(*key).random(4).tolist()

    assert draw(0, "detector", 7) == draw(0, "detector", 7)
    assert len({tuple(draw(*key)) for key in ((0, "a", 7), (1, "a", 7), (0, "b", 7), (0, "a", 8))}) == 4


class TestReports:
    def test_pictures_and_rates_change_no_weight(self, tmp_path, monkeypatch):
        few_pictures(monkeypatch)
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
        few_pictures(monkeypatch)
        assert pictures.trained_detector(tmp_path, small_detector()) is None
        assert pictures.GeneratedPictures(tmp_path, small_transformer(), small_tokenizer(), None)(loop.Progress(step=4)) == {}
        assert (tmp_path / "pictures/transformer-000004.png").exists()

    def test_tokenizer_shows_originals_above_reconstructions(self, tmp_path):
        pictures.ReconstructedScenes(tmp_path, small_tokenizer(), drawn_atlas())(loop.Progress(step=12))
        sheet = np.asarray(Image.open(tmp_path / "pictures/tokenizer-000012.png"), np.float32) / 255
        original = pictures.ReconstructedScenes(tmp_path, small_tokenizer(), drawn_atlas()).scenes
        assert np.abs(sheet[:192, :192] - original[0].clip(0, 1)).max() < 0.01
        assert np.abs(sheet[192:, :192] - original[0]).mean() > 0.05
