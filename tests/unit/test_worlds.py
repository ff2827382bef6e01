"""The worlds that models are trained in: the clean one stays as it is, draw for draw; the web's captions fail as declared."""

from __future__ import annotations

import hashlib
from argparse import Namespace
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.drawings import drawn_atlas
from tests.tiny_parts import tokenizer
from uncage_demo.backends.embedded import vocab
from uncage_demo.shipped import EMBEDDED
from uncage_demo.train import commands, loop, scenes, worlds
from uncage_demo.train.captions import WORD_PATTERN
from uncage_demo.train.token_scenes import TokenScenes
from uncage_demo.train.worlds import BLIND, CLEAN, WEB, WORLDS, World

PAIRS = (0.0, 1.0, 0.0)
# Two coloured objects, exact captions: a share of a World changes one thing at a time.
EXACT = World("exact", "for tests", "embedded", mix=scenes.PLAIN_MIX)


def drawn(world: World, count: int = 400, weights: tuple[float, float, float] = PAIRS, seed: int = 0) -> list[scenes.Scene]:
    rng = np.random.default_rng(seed)
    return [worlds.sample_scene(rng, weights, world) for _ in range(count)]


def words_of(scene: scenes.Scene) -> list[tuple[str, int]]:
    return [(vocab.canonical(word), owner) for word, owner in zip(WORD_PATTERN.findall(scene.caption), scene.word_owners, strict=True)]


def told(scene: scenes.Scene, words: tuple[str, ...]) -> list[tuple[str, int]]:
    return [(word, owner) for word, owner in words_of(scene) if word in words]


class TestCleanWorld:
    def test_same_scenes_as_before_there_were_worlds(self):
        """A hash of what the code before worlds drew: whoever trains the clean world trains on the same data."""
        rng = loop.batch_rng(0, "transformer", 7)
        seen = [worlds.sample_scene(rng, (0.2, 0.55, 0.25)) for _ in range(64)]
        text = repr([(s.caption, s.word_owners, s.objects, s.place, s.tiles.tolist()) for s in seen])
        assert hashlib.sha256(text.encode()).hexdigest()[:16] == "49f01ae303ed8198"
        assert rng.random() == pytest.approx(0.9456517793722714, abs=1e-15)

    def test_it_is_exact_and_its_colours_are_supervised(self):
        assert CLEAN.is_exact
        assert CLEAN.grounds_colors
        assert CLEAN.grounding_weight == 0.1
        assert CLEAN.shared == ""

    def test_captions_of_no_share_are_exact(self):
        assert not replace(EXACT, absent_frac=1.0).is_exact
        for scene in drawn(EXACT, 50):
            assert [owner for _, owner in told(scene, vocab.NOUNS)] == [0, 1]


class TestWebCaptions:
    def test_every_caption_fits_and_is_known(self):
        for scene in drawn(WEB, 300, (0.3, 0.4, 0.3)):
            _, ids, truncated = vocab.tokenize(scene.caption)
            assert truncated == ""
            assert vocab.UNKNOWN not in ids
            assert scene.objects

    def test_same_seed_same_scene(self):
        assert [s.caption for s in drawn(WEB, 20)] == [s.caption for s in drawn(WEB, 20)]

    def test_a_colour_word_that_moved_still_belongs_to_what_has_the_colour(self):
        moved = 0
        for scene in drawn(replace(EXACT, shuffled_frac=1.0)):
            color_of = {placed.subject: placed.color for placed in scene.objects}
            colors = told(scene, vocab.COLORS)
            assert all(color_of[owner] == word for word, owner in colors)
            moved += len(colors) == 2 and [owner for _, owner in colors] == [1, 0]
        # Of two words at random places half change them; a quarter of the pairs have two colours.
        assert 20 < moved < 90

    def test_nobody_else_takes_part_in_a_shuffle(self):
        for scene in drawn(replace(EXACT, shuffled_frac=1.0), 100):
            assert [owner for _, owner in told(scene, vocab.NOUNS)] == [0, 1]
            bare = {placed.subject for placed in scene.objects if not placed.color}
            assert not bare & {owner for _, owner in told(scene, vocab.COLORS)}

    def test_an_absent_object_is_named_and_not_shown(self):
        for scene in drawn(replace(EXACT, absent_frac=1.0), 100):
            named, shown = told(scene, vocab.NOUNS), [(placed.noun, placed.subject) for placed in scene.objects]
            assert len(named) == 2
            assert len(shown) == 1
            assert shown[0] in named

    def test_an_unnamed_object_is_shown_and_owns_no_word(self):
        for scene in drawn(replace(EXACT, unnamed_frac=1.0), 100):
            assert len(scene.objects) == 2
            assert [owner for _, owner in told(scene, vocab.NOUNS)] == [0]
            assert sorted(placed.subject for placed in scene.objects) == [0, 1]
            assert {owner for _, owner in words_of(scene)} <= {-1, 0}

    def test_colours_are_left_out_beside_others_only(self):
        untold = replace(EXACT, uncolored_frac=1.0)
        assert not any(told(scene, vocab.COLORS) for scene in drawn(untold, 50))
        alone = drawn(untold, 50, (1.0, 0.0, 0.0))
        assert all(bool(scene.objects[0].color) == bool(told(scene, vocab.COLORS)) for scene in alone)

    def test_favourite_colours_are_frequent_and_no_colour_is_impossible(self):
        seen = Counter(worlds.sample_color(np.random.default_rng(seed), "apple", WEB) for seed in range(3000))
        colored = sum(seen[color] for color in vocab.COLORS)
        first, second, third = WEB.favourites["apple"]
        assert seen[first] > seen[second] > seen[third] > max(seen[c] for c in vocab.COLORS if c not in WEB.favourites["apple"])
        assert min(seen[color] for color in vocab.COLORS) > 0.02 * colored
        assert set(WEB.favourites) == set(vocab.OBJECTS)

    def test_overlaps_reach_as_far_as_they_may(self):
        def nearest(world: World) -> list[int]:
            boxes = [worlds.sample_layout(np.random.default_rng(seed), 2, world) for seed in range(200)]
            return [max(abs(a[0] - b[0]), abs(a[1] - b[1])) for a, b in boxes]

        assert min(nearest(EXACT)) == scenes.SPRITE_CELLS
        distances = nearest(replace(EXACT, overlap_frac=1.0, overlap_cells=3))
        assert (min(distances), max(distances)) == (2, scenes.SPRITE_CELLS - 1)

    def test_what_hides_owns_the_cells(self):
        token_scenes = TokenScenes(drawn_atlas(), tokenizer())
        objects = (worlds.Placed("cat", "", 2, 2, 0), worlds.Placed("dog", "", 2, 4, 1))
        scene = scenes.Scene(objects, np.zeros((12, 12), int), "a cat and a dog", (-1, 0, -1, -1, 1))
        _, owner = token_scenes.stamp(scene)
        assert (owner == 1).sum() == drawn_atlas().touched["dog"].sum()
        assert 0 < (owner == 0).sum() < drawn_atlas().touched["cat"].sum()


class TestBlindCaptions:
    def test_most_scenes_show_two_colours(self):
        seen = drawn(BLIND, 300, (0.2, 0.55, 0.25))
        two = sum(len({placed.color for placed in scene.objects if placed.color}) >= 2 for scene in seen) / len(seen)
        assert 0.85 < two < 0.97

    def test_worlds_without_that_share_draw_as_before(self):
        shares = {"shuffled_frac": 0.85, "favourite_frac": 0.6, "absent_frac": 0.35, "unnamed_frac": 0.05, "uncolored_frac": 0.15}
        any_colors = replace(WEB, colored_frac=0.0, **shares)
        seen = [(s.caption, s.word_owners, s.objects, s.place) for s in drawn(any_colors, 64, (0.2, 0.55, 0.25))]
        assert hashlib.sha256(repr(seen).encode()).hexdigest()[:16] == "bf32288178766da5"
        assert len({s.color for scene in drawn(replace(EXACT, colored_frac=1.0), 20) for s in scene.objects if s.color}) > 1

    def test_a_colour_stands_with_its_owner_as_often_as_with_the_other(self):
        pairs = [told(scene, vocab.COLORS) for scene in drawn(BLIND, 400)]
        owners = [[owner for _, owner in colors] for colors in pairs if len(colors) == 2]
        assert 0.4 < sum(owner == [0, 1] for owner in owners) / len(owners) < 0.6

    def test_nothing_else_is_wrong_with_its_captions(self):
        for scene in drawn(BLIND, 100):
            named = {noun for noun, _ in told(scene, vocab.NOUNS)}
            assert {placed.noun for placed in scene.objects} == named
            assert {placed.color for placed in scene.objects if placed.color} == {color for color, _ in told(scene, vocab.COLORS)}


class TestDeclarations:
    def test_each_has_a_folder_of_its_own(self):
        assert {world.model for world in WORLDS.values()} == set(EMBEDDED)
        assert all(world.shared in ("", *WORLDS) for world in WORLDS.values())

    @pytest.mark.parametrize("change", [{"absent_frac": 1.5}, {"shuffled_frac": -0.1}, {"grounding_weight": 2.0}, {"overlap_cells": 5}])
    def test_bad_values_are_named(self, change):
        (name, value) = next(iter(change.items()))
        with pytest.raises(ValueError, match=f"{name}={value}: give a"):
            replace(WEB, **change)

    def test_unknown_world(self):
        with pytest.raises(ValueError, match="world 'moon': choose from clean, web"):
            worlds.world_named("moon")


class TestCommand:
    def namespace(self, **given) -> Namespace:
        return Namespace(
            **(
                {"world": "web", "stage": None, "shared": None, "out": None, "folder": None, "budget": 1.0, "batch": None, "steps": None}
                | given
            )
        )

    def test_folders_are_the_worlds(self):
        args = self.namespace()
        assert commands.settle_world(args) is WEB
        assert args.out == EMBEDDED["embedded-web"]
        assert args.folder == Path("runs/emoji-scenes-web")
        clean = self.namespace(world="clean")
        commands.settle_world(clean)
        assert (clean.out, clean.folder) == (EMBEDDED["embedded"], Path("runs/emoji-scenes"))

    def test_stages_of_a_world_that_shares(self):
        assert commands.stages_of(self.namespace(), WEB) == commands.SHARING_STAGES
        assert commands.stages_of(self.namespace(), CLEAN) == commands.STAGES
        with pytest.raises(ValueError, match=r"--stage detector: the world 'web' .* choose from transformer, export, card"):
            commands.stages_of(self.namespace(stage=["detector"]), WEB)

    def test_nothing_to_share(self):
        with pytest.raises(ValueError, match="--shared somewhere: the world 'clean' has its own"):
            commands.stages_of(self.namespace(shared=Path("somewhere")), CLEAN)

    def test_unknown_world_before_anything_is_made(self, tmp_path):
        with pytest.raises(ValueError, match="world 'moon'"):
            commands.run_train(self.namespace(world="moon", folder=tmp_path / "new"))
        for option in ("batch", "steps"):
            with pytest.raises(ValueError, match=f"--{option} 0: give a whole number from 1 to"):
                commands.run_train(self.namespace(**{option: 0}, folder=tmp_path / "new"))
        assert not (tmp_path / "new").exists()
