"""Codes for the tiles of named places: each gets one that no drawing uses.

The tokenizer learns objects on plain paper. Afterwards the places' tiles are given the codes that are left over, and only the decoder
learns what they look like, and what paper an object stands on from the cells around it. So an object keeps its codes in every place.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from uncage_demo.backends.embedded.tokenizer import FSQ, ImageTokenizer
from uncage_demo.backends.embedded.vocab import PLACES
from uncage_demo.files import write_atomically
from uncage_demo.train.places import PAPER, place_tiles
from uncage_demo.train.scenes import SpriteAtlas

FILE = "tile-codes.json"


def free_codes(fsq: FSQ, used: Tensor, groups: int, size: int) -> np.ndarray:
    """Codes that nothing uses, in groups of near neighbours: "groups size" int64.

    Each group grows around the free code whose free neighbours are nearest; its first code is that one.

    Raises:
        ValueError: fewer free codes than wanted.
    """
    taken = set(used.tolist())
    free = [code for code in range(fsq.codebook_size) if code not in taken]
    if len(free) < groups * size:
        raise ValueError(f"{len(free)} codes are free; {groups} places with {size} tiles each need {groups * size}")
    found = []
    for _ in range(groups):
        points = fsq.values(torch.tensor(free, device=fsq.levels_t.device)).cpu()
        nearest = torch.cdist(points, points).sort(dim=1, stable=True)
        best = int(nearest.values[:, :size].sum(dim=1).argmin())
        group = [free[int(index)] for index in nearest.indices[best, :size]]
        found.append(group)
        free = [code for code in free if code not in group]
    return np.array(found)


@torch.no_grad()
def tile_codes(tokenizer: ImageTokenizer, atlas: SpriteAtlas) -> list[int]:
    """The code of every background tile: plain paper and confetti as the tokenizer encodes them, the places' tiles as `free_codes` says.

    Args:
        tokenizer: as the stage "tokenizer" left it. atlas: the art.
    """
    plain = list(place_tiles(""))
    codes = torch.zeros(len(atlas.tiles), dtype=torch.int64)
    codes[plain] = _encoded(tokenizer, atlas.tiles[plain]).flatten()
    used = torch.cat([drawing_codes(tokenizer, atlas).unique(), codes[plain]])
    for place, group in zip(PLACES, free_codes(tokenizer.fsq, used, len(PLACES), len(place_tiles(PLACES[0]))), strict=True):
        codes[list(place_tiles(place))] = torch.from_numpy(group)
    return codes.tolist()


def assign(tokenizer: ImageTokenizer, atlas: SpriteAtlas, folder: Path) -> None:
    """Give the tokenizer its tile codes; kept in the training folder, so that a resumed run has the same.

    Args:
        tokenizer: as the stage "tokenizer" left it (changed in place). atlas: the art. folder: the training folder.
    """
    path = folder / FILE
    if not path.exists():
        write_atomically(path, json.dumps(tile_codes(tokenizer, atlas)) + "\n")
    tokenizer.set_tile_codes(json.loads(path.read_text()))


@torch.no_grad()
def drawing_codes(tokenizer: ImageTokenizer, atlas: SpriteAtlas) -> Tensor:
    """Codes "drawing y x" of every drawing on plain paper, in the atlas' order."""
    return _encoded(tokenizer, np.stack([art[..., :3] + PAPER * (1 - art[..., 3:]) for art in atlas.sprites.values()]))


def _encoded(tokenizer: ImageTokenizer, pictures: np.ndarray) -> Tensor:
    """Codes "b y x" of pictures "b H W 3"; on the CPU, wherever the tokenizer is."""
    device = next(tokenizer.parameters()).device
    return tokenizer.encode(torch.from_numpy(pictures).permute(0, 3, 1, 2).to(device)).cpu()
