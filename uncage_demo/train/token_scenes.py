"""Scenes composed directly in token space: sprites and background tiles are encoded once, then stamped.

The tokenizer's encoder sees one patch at a time, so on plain paper this is what encoding the rendered scene gives (a test compares). In a
named place an object keeps its codes, and the decoder sees from the cells around what paper it stands on (see `place_codes`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from uncage_demo.backends.embedded import vocab
from uncage_demo.backends.embedded.tokenizer import ImageTokenizer
from uncage_demo.train.place_codes import drawing_codes, tile_codes
from uncage_demo.train.places import plain_tile
from uncage_demo.train.scenes import GRID, SPRITE_CELLS, Scene, SpriteAtlas
from uncage_demo.train.worlds import CLEAN, World, sample_scene


@dataclass
class TokenBatch:
    """Training examples.

    Args:
        tokens: "b n" int64 image codes.
        owner: "b n" int64: index of the subject a cell belongs to, -1 for background.
        text_ids: "b t" int64.
        word_owner: "b t" int64: index of the subject a text token describes, PLACE_OWNER for the word of the place, -1 for the others.
    """

    tokens: Tensor
    owner: Tensor
    text_ids: Tensor
    word_owner: Tensor


class TokenScenes:
    """Stamps scenes in token space.

    Args:
        atlas: the art.
        tokenizer: trained; only its encoder is used, and its tile codes where it has them (else they are worked out).

    Raises:
        ValueError: the tokenizer's tile codes are not for these tiles.
    """

    @torch.no_grad()
    def __init__(self, atlas: SpriteAtlas, tokenizer: ImageTokenizer) -> None:
        given = tokenizer.tile_codes or tile_codes(tokenizer, atlas)
        if len(given) != len(atlas.tiles):
            raise ValueError(f"the tokenizer has {len(given)} tile codes for {len(atlas.tiles)} tiles; see place_codes.assign")
        self.touched = atlas.touched
        self.sprites = dict(zip(atlas.sprites, drawing_codes(tokenizer, atlas).numpy(), strict=True))
        self.tiles = np.array(given)

    def stamp(self, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
        """Codes "y x" int64, and the subject that each cell belongs to "y x" int64 (-1 = background)."""
        tokens = self.tiles[scene.tiles]
        owner = np.full((GRID, GRID), -1)
        for placed in scene.objects:
            box = np.s_[placed.y : placed.y + SPRITE_CELLS, placed.x : placed.x + SPRITE_CELLS]
            touched, codes = self.touched[placed.noun], self.sprites[placed.noun, placed.color]
            # A cell that an object hardly touches has the code of paper: then it is the place's.
            codes = np.where(codes == self.tiles[0], self.tiles[plain_tile(scene.place)], codes)
            tokens[box][touched] = codes[touched]
            owner[box][touched] = placed.subject
        return tokens, owner

    def codes(self, scenes: Sequence[Scene]) -> Tensor:
        """Codes "b y x" int64 of scenes."""
        return torch.from_numpy(np.stack([self.stamp(scene)[0] for scene in scenes]))

    def batch(self, rng: np.random.Generator, size: int, weights: tuple[float, float, float], world: World = CLEAN) -> TokenBatch:
        """`size` random scenes; `weights` and `world` as in `worlds.sample_scene`."""
        return self.collate([sample_scene(rng, weights, world) for _ in range(size)])

    def collate(self, scenes: list[Scene]) -> TokenBatch:
        """The examples of given scenes."""
        tokens, owner, text, words = [], [], [], []
        for scene in scenes:
            codes, owners = self.stamp(scene)
            _, ids, truncated = vocab.tokenize(scene.caption)
            if truncated:
                raise ValueError(f"caption {scene.caption!r} is longer than {vocab.TEXT_LENGTH} text tokens")
            tokens.append(codes.reshape(-1))
            owner.append(owners.reshape(-1))
            text.append(ids)
            words.append((-1, *scene.word_owners, *[-1] * (vocab.TEXT_LENGTH - 1 - len(scene.word_owners))))
        return TokenBatch(*(torch.from_numpy(np.asarray(part, np.int64)) for part in (tokens, owner, text, words)))
