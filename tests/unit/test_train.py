"""How the embedded model is made: art, scenes, token-space stamping, losses, resuming, binding figures, export."""

from __future__ import annotations

import math
import re
import types
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.drawings import drawn_atlas
from uncage_demo.backends.embedded import vocab
from uncage_demo.backends.embedded.detector import peaks
from uncage_demo.backends.embedded.tokenizer import FSQ, ImageTokenizer
from uncage_demo.backends.embedded.transformer import SceneTransformer
from uncage_demo.train import art, binding, captions, loop, optimizers, parts, place_codes, places, scenes, worlds
from uncage_demo.train import detector as detector_stage
from uncage_demo.train import transformer as transformer_stage
from uncage_demo.train.export import export
from uncage_demo.train.token_scenes import TokenBatch, TokenScenes


@pytest.fixture(scope="module")
def atlas():
    return drawn_atlas()


@pytest.fixture(scope="module")
def tokenizer():
    torch.manual_seed(0)
    return ImageTokenizer(encoder_width=32, decoder_widths=(16, 8, 8), blocks=(1, 0, 0)).eval()


@pytest.fixture(scope="module")
def token_scenes(atlas, tokenizer):
    return TokenScenes(atlas, tokenizer)


def small_transformer(seed: int = 0) -> SceneTransformer:
    torch.manual_seed(seed)
    return SceneTransformer(len(vocab.WORDS), vocab.TEXT_LENGTH, width=16, ratio=2, text_layers=1, multi_layers=1, single_layers=2)


class TestArt:
    def rgba(self):
        picture = np.zeros((8, 8, 4), np.float32)
        picture[2:6, 2:6] = (0.2, 0.6, 0.3, 1)
        picture[3, 3, :3] = 0.05
        picture[4, 4, :3] = 0.95
        return picture

    @pytest.mark.parametrize("color", vocab.COLORS)
    def test_recolour_keeps_shape_and_order_of_light(self, color):
        out = art.recolour(self.rgba(), color)
        assert np.array_equal(out[..., 3], self.rgba()[..., 3])
        light = out[..., :3].sum(-1)
        assert light[3, 3] < light[2, 2] < light[4, 4]

    def test_middle_becomes_the_pure_color(self):
        out = art.recolour(self.rgba(), "blue")
        assert np.abs(out[2, 2, :3] * 255 - art.RAMPS["blue"][1]).max() < 1

    def test_colors_are_told_apart(self):
        middles = np.array([art.RAMPS[color][1] for color in vocab.COLORS], float)
        distance = np.linalg.norm(middles[:, None] - middles[None], axis=-1) + 1e9 * np.eye(len(middles))
        assert distance.min() > 50

    def test_unknown_color(self):
        with pytest.raises(ValueError, match="crimson"):
            art.recolour(self.rgba(), "crimson")

    def test_changed_package_is_refused(self, tmp_path):
        package = art.PACKAGES[0]
        (tmp_path / f"iconify-json-noto-{package.version}.tgz").write_bytes(b"not the package")
        with pytest.raises(RuntimeError, match="integrity"):
            art.fetch_icons(tmp_path)


def _words_of(scene, subject):
    """The words of the caption that describe a subject."""
    words = [token.text for token in vocab.tokenize(scene.caption)[0] if not token.special]
    return [word for word, owner in zip(words, scene.word_owners, strict=True) if owner == subject]


def _check_position(scene, index, position):
    """The object is on that side of the other one, or, alone, of the picture."""
    axis = "x" if position in ("left", "right") else "y"
    sign = 1 if position in ("left", "above") else -1
    own = getattr(scene.objects[index], axis)
    if len(scene.objects) > 1:
        assert sign * (getattr(scene.objects[1 - index], axis) - own) >= scenes.SPRITE_CELLS
    else:
        assert sign * ((scenes.GRID - scenes.SPRITE_CELLS) / 2 - own) >= captions.ASIDE_CELLS


class TestScenes:
    @pytest.mark.parametrize("count", [1, 2, 3])
    def test_sprites_never_overlap_and_stay_inside(self, count):
        rng = np.random.default_rng(count)
        for _ in range(50):
            used = np.zeros((scenes.GRID, scenes.GRID), int)
            for y, x in scenes.sample_layout(rng, count):
                used[y : y + scenes.SPRITE_CELLS, x : x + scenes.SPRITE_CELLS] += 1
            assert used.max() == 1
            assert used.sum() == count * scenes.SPRITE_CELLS**2

    def test_four_objects_do_not_fit(self):
        with pytest.raises(ValueError, match="1 to 3"):
            scenes.sample_layout(np.random.default_rng(0), 4)

    def test_caption_owners_match_the_words(self):
        rng = np.random.default_rng(3)
        for _ in range(100):
            scene = scenes.sample_scene(rng)
            tokens, _, truncated = vocab.tokenize(scene.caption)
            words = [token.text for token in tokens if not token.special]
            assert truncated == ""
            assert len(words) == len(scene.word_owners)
            for word, owner in zip(words, scene.word_owners, strict=True):
                own = [placed for placed in scene.objects if placed.subject == owner]
                meant = vocab.canonical(word)
                if own:
                    assert meant in (own[0].noun, own[0].color, *vocab.POSITIONS) or vocab.NUMBERS[meant] == len(own) > 1
                elif owner == captions.PLACE_OWNER:
                    assert meant == scene.place
                else:
                    assert meant not in (*vocab.NOUNS, *vocab.COLORS, *vocab.PLACES, *vocab.POSITIONS, *vocab.NUMBERS)

    def test_captions_are_true(self):
        rng = np.random.default_rng(6)
        told = dict.fromkeys((*vocab.POSITIONS, *vocab.PLACES, "two", "three"), 0)
        for _ in range(600):
            scene = scenes.sample_scene(rng, mix=scenes.Mix(0.5, 0.9, 0.3))
            words = [vocab.canonical(word) for word in re.findall(r"\w+", scene.caption)]
            for place in set(words) & set(vocab.PLACES):
                assert place == scene.place
                told[place] += 1
            assert bool(scene.place) == bool(set(words) & set(vocab.PLACES))
            if "two" in words or "three" in words:
                numbers = [sum(placed.subject == s for placed in scene.objects) for s in {placed.subject for placed in scene.objects}]
                assert max(numbers) == (3 if "three" in words else 2)
                told["three" if "three" in words else "two"] += 1
            for index in range(2):
                for position in {vocab.canonical(w) for w in _words_of(scene, index)} & set(vocab.POSITIONS):
                    told[position] += 1
                    _check_position(scene, index, position)
        assert min(told.values()) >= 5

    def test_every_word_of_a_caption_is_known(self):
        rng = np.random.default_rng(4)
        ids = {identity for _ in range(200) for identity in vocab.tokenize(scenes.sample_scene(rng).caption)[1]}
        assert vocab.UNKNOWN not in ids

    def test_same_seed_same_scene(self):
        first, second = (scenes.sample_scene(np.random.default_rng(0)) for _ in range(2))
        assert first.caption == second.caption
        assert np.array_equal(first.tiles, second.tiles)


class TestTokenSpace:
    def test_stamping_equals_encoding_the_rendered_scene(self, atlas, tokenizer, token_scenes):
        rng = np.random.default_rng(0)
        drawn = [scenes.sample_scene(rng, mix=scenes.PLAIN_MIX) for _ in range(12)]
        pixels = torch.from_numpy(np.stack([atlas.render(scene) for scene in drawn])).permute(0, 3, 1, 2)
        with torch.no_grad():
            encoded = tokenizer.encode(pixels).numpy()
        stamped = np.stack([token_scenes.stamp(scene)[0] for scene in drawn])
        # Rounding right at a level's edge may differ in the last float digit.
        assert (encoded == stamped).mean() > 0.998

    def test_owners_cover_what_the_sprite_touches(self, atlas, token_scenes):
        scene = scenes.sample_scene(np.random.default_rng(1), (0, 0, 1), scenes.PLAIN_MIX)
        _, owner = token_scenes.stamp(scene)
        for index, placed in enumerate(scene.objects):
            assert (owner == index).sum() == atlas.touched[placed.noun].sum()

    def test_an_object_keeps_its_codes_in_every_place(self, token_scenes):
        rng = np.random.default_rng(2)
        scene = scenes.sample_scene(rng, (0, 1, 0), scenes.PLAIN_MIX)
        plain, owner = token_scenes.stamp(scene)
        paper = token_scenes.tiles[0]
        for place in vocab.PLACES:
            codes, again = token_scenes.stamp(replace(scene, place=place, tiles=places.sample_tiles(rng, place, scenes.GRID)))
            assert np.array_equal(owner, again)
            inside = (owner >= 0) & (plain != paper)
            assert np.array_equal(codes[inside], plain[inside])
            assert set(codes[~inside].tolist()) <= {int(token_scenes.tiles[tile]) for tile in places.place_tiles(place)}

    def test_tiles_of_places_have_codes_of_their_own(self, token_scenes):
        drawings = {int(code) for codes in token_scenes.sprites.values() for code in codes.flatten()}
        plain = set(token_scenes.tiles[list(places.place_tiles(""))].tolist())
        named = [int(token_scenes.tiles[tile]) for place in vocab.PLACES for tile in places.place_tiles(place)]
        assert len(named) == len(set(named)) == len(vocab.PLACES) * (1 + places.TILES_PER_PLACE)
        assert not set(named) & (drawings | plain)

    def test_too_few_free_codes_are_refused(self):
        fsq = FSQ((4, 4, 2))
        with pytest.raises(ValueError, match="12 codes are free; 5 places with 9 tiles"):
            place_codes.free_codes(fsq, torch.arange(20), 5, 9)

    def test_codes_and_digits_are_inverse(self):
        fsq = FSQ((8, 8, 4, 4))
        codes = torch.arange(fsq.codebook_size)
        assert torch.equal((fsq.digits(codes) * fsq.basis).sum(-1), codes)
        _, again = fsq.quantise(torch.atanh(fsq.values(codes).clamp(-0.999, 0.999)))
        assert torch.equal(again, codes)


class TestLosses:
    def test_mask_share_follows_the_cosine(self):
        tokens = torch.zeros(2000, 144, dtype=torch.long)
        masked_tokens, masked = transformer_stage.mask_tokens(tokens, 99, np.random.default_rng(0))
        assert torch.equal(masked_tokens == 99, masked)
        assert masked.sum(1).min() >= 1
        assert abs(masked.float().mean().item() - 2 / math.pi) < 0.02

    def test_some_scenes_with_positions_are_masked_as_a_whole(self):
        blank = torch.arange(400) < 200
        _, masked = transformer_stage.mask_tokens(torch.zeros(400, 144, dtype=torch.int64), 99, np.random.default_rng(0), blank)
        whole = masked.all(dim=1)
        assert abs(float(whole[blank].float().mean()) - transformer_stage.BLANK_FRAC) < 0.15
        assert float(whole[~blank].float().mean()) < 0.15

    def test_grounding_loss_prefers_own_words(self, token_scenes):
        batch = token_scenes.batch(np.random.default_rng(0), 8, (0, 1, 0))
        own = (batch.owner[:, :, None] == batch.word_owner[:, None]) & (batch.owner[:, :, None] >= 0)
        conditioned = torch.ones(8, dtype=torch.bool)
        good = transformer_stage.grounding_loss(own[None].float() * 5, batch, conditioned)
        blind = transformer_stage.grounding_loss(torch.zeros_like(own[None], dtype=torch.float32), batch, conditioned)
        bad = transformer_stage.grounding_loss(-own[None].float() * 5, batch, conditioned)
        assert good < blind < bad

    def test_words_of_untold_owners_neither_help_nor_harm(self, token_scenes):
        batch = token_scenes.batch(np.random.default_rng(0), 8, (0, 1, 0))
        batch.word_owner[torch.isin(batch.text_ids, binding.COLOR_IDS)] = transformer_stage.UNTOLD
        logits = torch.randn(1, 8, 144, vocab.TEXT_LENGTH, generator=torch.Generator().manual_seed(0))
        untold = (batch.word_owner == transformer_stage.UNTOLD)[None, :, None].float()
        assert untold.any()
        conditioned = torch.ones(8, dtype=torch.bool)
        plain, drawn = (transformer_stage.grounding_loss(logits + shift * untold, batch, conditioned) for shift in (0, 9))
        assert torch.equal(plain, drawn)

    def test_dropped_captions_do_not_count(self, token_scenes):
        batch = token_scenes.batch(np.random.default_rng(0), 4, (0, 1, 0))
        logits = torch.randn(1, 4, 144, vocab.TEXT_LENGTH, generator=torch.Generator().manual_seed(0))
        nobody = transformer_stage.grounding_loss(logits, batch, torch.zeros(4, dtype=torch.bool))
        assert nobody == 0

    def test_learning_rate_rises_holds_and_falls(self):
        rates = [transformer_stage.learning_rate(1.0, step, fraction) for step, fraction in ((0, 0.0), (500, 0.3), (900, 0.8), (999, 1.0))]
        assert rates[0] < 0.01
        assert rates[1] == pytest.approx(1.0, abs=0.01)
        assert rates[1] > rates[2] > rates[3] > 0


class TestPositionSense:
    @pytest.mark.parametrize(("knows", "expected"), [(True, 1.0), (False, 0.5)])
    def test_share_of_scenes_that_fit_their_own_caption(self, token_scenes, monkeypatch, knows, expected):
        told = {}
        collate = token_scenes.collate

        def listen(chosen):
            examples = collate(chosen)
            told.update(zip(map(tuple, examples.text_ids.tolist()), examples.tokens, strict=True))
            said = [re.findall(r"\w+", scene.caption) for scene in chosen]
            assert all(any(vocab.position(words, i) for i in range(len(words))) for words in said)
            return examples

        class Oracle(torch.nn.Linear):
            mask_id = 1024

            def forward(self, tokens, text_ids):
                assert bool((tokens == self.mask_id).all())
                logits = torch.zeros(*tokens.shape, 1024)
                for row, ids in enumerate(map(tuple, text_ids.tolist())):
                    if knows and ids in told:
                        logits[row].scatter_(1, told[ids][:, None], 5.0)
                return types.SimpleNamespace(logits=logits)

        monkeypatch.setattr(token_scenes, "collate", listen)
        oracle: Any = Oracle(1, 1)
        assert transformer_stage.position_sense(oracle, token_scenes, 12) == expected


class TestDetectorTargets:
    def test_peaks_read_targets_back(self):
        scene = scenes.sample_scene(np.random.default_rng(5), (0, 0, 1))
        centre, style = detector_stage.targets([scene])
        colors = torch.nn.functional.one_hot(style.clamp(min=0), len(scenes.STYLES)).permute(0, 3, 1, 2).float()
        found = peaks(centre * 20 - 10, colors)[0]
        wanted = {(vocab.NOUNS.index(p.noun), scenes.STYLES.index(p.color), p.y + 2, p.x + 2) for p in scene.objects}
        assert {(noun, style, y, x) for noun, style, _, y, x in found} == wanted

    def test_weaker_neighbour_is_the_same_object(self):
        centre = torch.full((1, 24, 12, 12), -9.0)
        centre[0, 3, 5, 5], centre[0, 7, 6, 6], centre[0, 3, 5, 9] = 4.0, 3.0, 2.0
        found = peaks(centre, torch.zeros(1, 12, 12, 12))[0]
        assert [(noun, y, x) for noun, _, _, y, x in found] == [(3, 5, 5), (3, 5, 9)]


class TestBinding:
    def test_perfect_and_blind_maps(self, token_scenes):
        batch = token_scenes.batch(np.random.default_rng(0), 16, (0, 1, 0), replace(worlds.CLEAN, mix=binding.TWO_SUBJECTS))
        own = ((batch.owner[:, :, None] == batch.word_owner[:, None]) & (batch.owner[:, :, None] >= 0)).float().transpose(1, 2)
        everywhere = torch.ones_like(batch.owner, dtype=torch.bool)
        perfect = binding.readability(own + 0.01, batch, everywhere)
        blind = binding.readability(torch.full_like(own, 0.1), batch, everywhere)
        assert perfect["noun_auc"] == 1.0
        assert perfect["noun_ratio"] > 50
        assert blind["noun_auc"] == 0.5
        assert blind["noun_ratio"] == pytest.approx(1.0)
        assert blind["noun_gain"] == pytest.approx(1.0)

    def test_words_of_position_are_neither_noun_nor_colour(self):
        caption = "a cat on the left and a red car on the right"
        tokens, ids, _ = vocab.tokenize(caption)
        owners = [-1] * len(ids)
        for index, words in enumerate((("cat", "left"), ("red", "car", "right"))):
            for word in words:
                owners[[token.text for token in tokens].index(word)] = index
        text, owner = torch.tensor([ids]), torch.tensor([owners])
        batch = TokenBatch(torch.zeros(1, 1), torch.zeros(1, 1), text, owner)
        said = [tuple(None if at is None else vocab.WORDS[ids[at]] for at in pair) for pair in binding.object_words(batch, 0)]
        assert said == [("cat", None), ("car", "red")]

    def test_area_under_curve_by_hand(self):
        assert binding.area_under_curve(torch.tensor([3.0, 1.0]), torch.tensor([2.0, 1.0])) == pytest.approx((1 + 1 + 0 + 0.5) / 4)

    def test_heads_are_chosen_among_those_that_exist(self, token_scenes):
        pairs = binding.choose_heads(small_transformer().eval(), token_scenes, count=8)
        assert pairs
        assert all(0 <= layer < 2 and 0 <= head < 2 for layer, head in pairs)


class TestGrownWeights:
    """Weights of a smaller vocabulary are trained on with the new words added."""

    def test_old_rows_stay_and_new_ones_are_fresh(self, tmp_path):
        torch.manual_seed(1)
        old = SceneTransformer(
            len(vocab.WORDS) - 3, vocab.TEXT_LENGTH - 4, width=16, ratio=2, text_layers=1, multi_layers=1, single_layers=2
        )
        export(tmp_path, {"transformer": old}, {})
        new = small_transformer(seed=2)
        fresh = new.word_embedding.weight[-3:].clone()
        parts.load_grown(tmp_path, {"transformer": new})
        assert torch.equal(new.word_embedding.weight[:-3], old.word_embedding.weight.half().float())
        assert torch.equal(new.word_embedding.weight[-3:], fresh)
        assert torch.equal(new.final.weight, old.final.weight.half().float())

    def test_another_architecture_is_refused(self, tmp_path):
        wide = SceneTransformer(len(vocab.WORDS), vocab.TEXT_LENGTH, width=32, ratio=2, text_layers=1, multi_layers=1, single_layers=2)
        export(tmp_path, {"transformer": wide}, {})
        with pytest.raises(ValueError, match="only rows may be added"):
            parts.load_grown(tmp_path, {"transformer": small_transformer()})

    def test_missing_folder(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="--init takes a model folder"):
            parts.load_grown(tmp_path / "none", {"transformer": small_transformer()})


def test_arithmetic_follows_the_machine(monkeypatch):
    for bf16, dtype, muon in ((False, torch.float32, "Float32Muon"), (True, torch.bfloat16, "Muon")):
        monkeypatch.setattr(loop, "has_bf16", lambda device, bf16=bf16: bf16)
        with loop.autocast(torch.device("cpu")):
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
        chosen = optimizers.make_optimizers(small_transformer(), 1e-3, torch.device("cpu"))
        assert [type(optimizer).__name__ for optimizer in chosen] == [muon, "AdamW"]


@pytest.mark.parametrize("shape", [(6, 9), (9, 6)])
def test_float32_muon_is_muon_without_its_rounding(shape):
    generator = torch.Generator().manual_seed(0)
    gradient = torch.randn(shape, generator=generator)
    moved = {}
    for kind in (torch.optim.Muon, optimizers.Float32Muon):
        weight = torch.nn.Parameter(torch.zeros(shape))
        weight.grad = gradient.clone()
        kind([weight], lr=1.0, weight_decay=0.0, momentum=0.0, nesterov=False, adjust_lr_fn="match_rms_adamw").step()
        moved[kind] = -weight.detach().double() / (0.2 * max(shape) ** 0.5)
    # Muon's iteration in float64: an odd polynomial of the singular values, which all end near 1.
    left, values, right = torch.linalg.svd(gradient.double(), full_matrices=False)
    values = values / gradient.double().norm()
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    exact = left @ values.diag() @ right
    error = {kind: float((step - exact).abs().max()) for kind, step in moved.items()}
    assert error[optimizers.Float32Muon] < 1e-5 < 1e-3 < error[torch.optim.Muon] < 0.1


def test_export_refuses_files_a_space_refuses(tmp_path):
    big = torch.nn.Linear(2400, 2400)
    big.config = {}  # type: ignore[assignment]
    with pytest.raises(ValueError, match="at most 10000000"):
        export(tmp_path, {"transformer": big}, {})
