"""Scenes composed directly in token space: sprites and background tiles are encoded once, then stamped.

Exact, because the tokenizer's encoder sees one patch at a time (a test checks it against encoding the rendered scene).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from uncage_demo.models import vocab
from uncage_demo.models.tokenizer import ImageTokenizer
from uncage_demo.train.scenes import GRID, PAPER, SPRITE_CELLS, Scene, SpriteAtlas, sample_scene


@dataclass
class TokenBatch:
    """Training examples.

    Args:
        tokens: "b n" int64 image codes.
        owner: "b n" int64: index of the object a cell belongs to, -1 for background.
        text_ids: "b t" int64.
        word_owner: "b t" int64: index of the object a text token describes, -1 for the others.
    """

    tokens: Tensor
    owner: Tensor
    text_ids: Tensor
    word_owner: Tensor


class TokenScenes:
    """Stamps scenes in token space.

    Args:
        atlas: the art.
        tokenizer: trained; only its encoder is used.
    """

    @torch.no_grad()
    def __init__(self, atlas: SpriteAtlas, tokenizer: ImageTokenizer) -> None:
        self.touched = atlas.touched
        self.keys = list(atlas.sprites)
        sprites = np.stack([art[..., :3] + PAPER * (1 - art[..., 3:]) for art in atlas.sprites.values()])
        codes = tokenizer.encode(torch.from_numpy(sprites).permute(0, 3, 1, 2)).numpy()
        self.sprites = dict(zip(self.keys, codes, strict=True))
        self.tiles = tokenizer.encode(torch.from_numpy(atlas.tiles).permute(0, 3, 1, 2)).numpy().reshape(-1)

    def stamp(self, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
        """Codes and owners "y x" of a scene."""
        tokens = self.tiles[scene.tiles]
        owner = np.full((GRID, GRID), -1)
        for index, placed in enumerate(scene.objects):
            box = np.s_[placed.y : placed.y + SPRITE_CELLS, placed.x : placed.x + SPRITE_CELLS]
            touched = self.touched[placed.noun]
            tokens[box][touched] = self.sprites[placed.noun, placed.color][touched]
            owner[box][touched] = index
        return tokens, owner

    def batch(self, rng: np.random.Generator, size: int, weights: tuple[float, float, float]) -> TokenBatch:
        """`size` random scenes; `weights` as in `scenes.sample_scene`."""
        return self.collate([sample_scene(rng, weights) for _ in range(size)])

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
