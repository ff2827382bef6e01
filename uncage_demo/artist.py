"""Pictures of token grids and of single tokens while a run goes on; nothing is drawn twice."""

from __future__ import annotations

import time
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from uncage_demo.backends.base import Backend

# Grids remembered: enough for runs side by side that have not parted yet, and for the final picture.
_REMEMBERED_GRIDS = 16

_token_pictures: weakref.WeakKeyDictionary[Any, dict[int, np.ndarray]] = weakref.WeakKeyDictionary()
_exact: weakref.WeakKeyDictionary[Any, dict[tuple[int, int], bool]] = weakref.WeakKeyDictionary()


class Artist:
    """Draws for one stream of runs.

    Args:
        backend: the model.
        timings_s: seconds spent drawing are added to its "decode".
    """

    def __init__(self, backend: Backend, timings_s: dict[str, float]) -> None:
        self.backend, self.timings_s = backend, timings_s
        self._drawn: dict[bytes, np.ndarray] = {}

    def draw(self, grids: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Pictures "H W 3" uint8 of complete token grids "n", each the same as if drawn alone."""
        keys = [grid.tobytes() for grid in grids]
        missing = {key: grid for key, grid in zip(keys, grids, strict=True) if key not in self._drawn}
        began = time.perf_counter()
        for key, picture in zip(missing, self._decode(list(missing.values())), strict=True):
            self._drawn[key] = picture
        self.timings_s["decode"] = self.timings_s.get("decode", 0.0) + time.perf_counter() - began
        pictures = [self._drawn[key] for key in keys]
        while len(self._drawn) > max(_REMEMBERED_GRIDS, len(grids)):
            self._drawn.pop(next(iter(self._drawn)))
        return pictures

    def token_pictures(self, ids: Sequence[int]) -> dict[int, np.ndarray]:
        """Small pictures by token id; the backend draws each id once in the life of the process."""
        known = _token_pictures.setdefault(self.backend, {})
        missing = [token for token in ids if token not in known]
        if missing:
            known.update(zip(missing, self.backend.token_pictures(missing), strict=True))
        return {token: known[token] for token in ids}

    def _decode(self, grids: list[np.ndarray]) -> list[np.ndarray]:
        if len(grids) < 2:
            return [self._together([grid])[0] for grid in grids]
        known = _exact.setdefault(self.backend, {})
        shape = len(grids), torch.get_num_threads()
        if shape not in known:
            # As with forwards: a batch is used only where it gives each picture the bits that it gets alone on this machine.
            pictures, alone = self._together(grids), [self._together([grid])[0] for grid in grids]
            known[shape] = all(np.array_equal(a, b) for a, b in zip(pictures, alone, strict=True))
            return alone
        return self._together(grids) if known[shape] else [self._together([grid])[0] for grid in grids]

    def _together(self, grids: list[np.ndarray]) -> list[np.ndarray]:
        tokens = torch.from_numpy(np.stack(grids).astype(np.int64)).to(self.backend.device)
        return list(self.backend.decode_tokens(tokens))
