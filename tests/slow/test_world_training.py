"""Training of a world that shares parts: its ages, its files, and the one command that makes a model of it."""

from __future__ import annotations

import json
from argparse import Namespace
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from tests.drawings import drawn_atlas
from tests.tiny_parts import small_transformer, tokenizer
from uncage_demo.backends import load_backend
from uncage_demo.backends.ages import age_file
from uncage_demo.backends.embedded.files import is_model_folder
from uncage_demo.train import card_world, commands, parts, scenes, transformer
from uncage_demo.train.binding import COLOR_IDS
from uncage_demo.train.place_codes import assign
from uncage_demo.train.token_scenes import TokenBatch, TokenScenes
from uncage_demo.train.worlds import CLEAN, WEB


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A training folder of the web world after a few steps, with its ages."""
    folder = tmp_path_factory.mktemp("training")
    token_scenes = TokenScenes(drawn_atlas(), tokenizer())
    transformer.train(token_scenes, folder, budget_s=1e9, batch=2, max_steps=21, model=small_transformer(), world=WEB)
    return folder


class TestTraining:
    def test_nobody_is_told_whose_a_colour_word_is(self, monkeypatch, tmp_path):
        batches: list[TokenBatch] = []
        real = transformer.grounding_loss

        def spy(text_logits: torch.Tensor, batch: TokenBatch, conditioned: torch.Tensor) -> torch.Tensor:
            batches.append(batch)
            return real(text_logits, batch, conditioned)

        monkeypatch.setattr(transformer, "grounding_loss", spy)
        token_scenes = TokenScenes(drawn_atlas(), tokenizer())
        for world, told_some in ((WEB, False), (CLEAN, True)):
            batches.clear()
            transformer.train(
                token_scenes, tmp_path / world.name, budget_s=1e9, batch=16, max_steps=2, model=small_transformer(), world=world
            )
            owners = torch.cat([batch.word_owner[torch.isin(batch.text_ids, COLOR_IDS)] for batch in batches])
            assert len(owners)
            assert bool((owners >= 0).any()) == told_some

    def test_ages_are_kept_with_what_they_have_seen(self, trained):
        from safetensors import safe_open

        for name, steps in (("1-20", 2), ("1-5", 5), ("3-5", 13)):
            with safe_open(trained / f"ages/{name}.safetensors", framework="pt") as file:
                assert (file.metadata()["steps"], file.metadata()["images"]) == (str(steps), str(2 * steps))

    def test_export_shares_parts_and_loads_at_every_age(self, trained, tmp_path):
        home = tmp_path / "clean"
        made = parts.new_parts(tiny=True) | {"tokenizer": tokenizer(), "transformer": small_transformer()}
        assign(made["tokenizer"], drawn_atlas(), tmp_path)
        parts.export_model(made, drawn_atlas(), home)
        out = tmp_path / "web"
        own = {**parts.shared_parts(home), "transformer": small_transformer()}
        parts.restore(trained, "transformer", own)
        parts.export_model(own, drawn_atlas(), out, WEB, shared=home, kept=trained)
        assert sorted(path.name for path in out.iterdir()) == ["ages", "config.json", "transformer.safetensors"]
        config = json.loads((out / "config.json").read_text())
        assert (config["shared"], config["world"]) == ("../clean", "web")
        assert "tokenizer" not in config
        assert is_model_folder(out)
        whole = load_backend(str(out))
        assert (whole.info.id, whole.info.default_steps) == ("embedded-web", WEB.default_steps)
        hashes = {load_backend(str(out), age=age).info.weight_hash for age in ("1/20", 0.2, "3/5", "1")}
        assert len(hashes) == 4
        young = load_backend(str(out), age="1/5")
        assert "1/5" in young.info.title
        assert young.options.given() == {"age": "1/5"}
        # The card tells every file, also those that lie elsewhere.
        rows = "\n".join(card_world.part_rows(out))
        assert "[detector.safetensors](../clean/README.md)" in rows
        assert "ages/1-5.safetensors | the transformer after 1/5 of its training, 10 images" in rows
        age_file(out, Fraction(1, 5)).unlink()
        with pytest.raises(ValueError, match="keeps no weights of age 1/5; it has 1/20, 3/5, 1"):
            load_backend(str(out), age="1/5")
        (home / "config.json").unlink()
        with pytest.raises(FileNotFoundError, match="shares the tokenizer and detector"):
            load_backend(str(out))

    def test_an_unfinished_tokenizer_is_not_shared(self, tmp_path):
        made = parts.new_parts(tiny=True) | {"tokenizer": tokenizer(), "transformer": small_transformer()}
        parts.export(tmp_path, made, {})
        with pytest.raises(ValueError, match="tile codes"):
            parts.shared_parts(tmp_path)


class TestCommand:
    def namespace(self, **given) -> Namespace:
        return Namespace(
            **(
                {"world": "web", "stage": None, "shared": None, "out": None, "folder": None, "budget": 1.0, "batch": None, "steps": None}
                | given
            )
        )

    def test_one_command_makes_the_model(self, tmp_path, monkeypatch):
        monkeypatch.setattr(scenes, "SpriteAtlas", lambda cache: drawn_atlas())
        monkeypatch.setattr(parts, "choose_heads", lambda model, scenes: [(1, 0)])
        home = tmp_path / "clean"
        made = parts.new_parts(tiny=True)
        assign(made["tokenizer"], drawn_atlas(), tmp_path)
        parts.export_model(made, drawn_atlas(), home)
        args = self.namespace(
            stage=["transformer", "export"], shared=home, out=tmp_path / "web", folder=tmp_path / "training", batch=2, steps=3
        )
        vars(args).update(preset="cpu", tiny=True, seed=0, init=None)
        assert commands.run_train(args) == 0
        model = load_backend(str(tmp_path / "web"))
        assert model.info.id == "embedded-web"
        assert json.loads((tmp_path / "training/training.json").read_text())["transformer"]["images"] == 6
