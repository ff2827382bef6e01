"""A very small real backend for tests of the engine: a two-layer network in plain torch, with switches for bad behaviour.

Every position's logits depend on all tokens and on the prompt, attention is a softmax over the text tokens, and the conditional and
unconditional halves differ. `leaky` adds the batch size to the logits, as a machine whose kernels depend on the batch would.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from uncage_demo.backends.base import Capture, ForwardOutput, RandomStart, Reuse
from uncage_demo.backends.options import ModelOptions
from uncage_demo.types import ModelInfo, Prompt


class ToyBackend:
    """See the module. Args: grid (y, x); codebook v; leaky as above; attention_grid where it differs from grid."""

    def __init__(
        self, grid: tuple[int, int] = (6, 5), codebook: int = 24, *, leaky: bool = False, attention_grid: tuple[int, int] | None = None
    ) -> None:
        self.info = ModelInfo(
            id="toy",
            title="toy",
            weight_hash="t" * 16,
            grid=grid,
            codebook_size=codebook,
            image_size_px=(grid[0] * 4, grid[1] * 4),
            attention_grid=attention_grid or grid,
            single_layers=3,
            num_heads=2,
            default_guidance_scale=3.0,
        )
        self.device = torch.device("cpu")
        self.options, self.max_batch, self.least_guidance = ModelOptions(), 8, 0.0
        self.random_start: RandomStart | None = None
        self.keeps_features = self.one_thread_each = False
        self.leaky, self.calls = leaky, []
        n, width = grid[0] * grid[1], 16
        generator = torch.Generator().manual_seed(0)
        self.embed = torch.randn(codebook + 1, width, generator=generator)
        self.place = torch.randn(n, width, generator=generator)
        self.words = torch.randn(64, width, generator=generator)
        self.mix = torch.randn(width, width, generator=generator) / width**0.5
        self.out = torch.randn(width, codebook, generator=generator) / 2

    @property
    def mask_id(self) -> int:
        return self.info.codebook_size

    @property
    def vocabulary(self) -> None:
        return None

    @property
    def default_blur(self) -> float:
        return 0.7

    def encode_prompt(self, prompt: Prompt) -> Any:
        ids = [sum(map(ord, token.text)) % 64 for token in prompt.tokens]
        return self.words[ids]

    def forward(
        self,
        tokens: torch.Tensor,
        step: int,
        num_steps: int,
        conditioning: Sequence[Any],
        *,
        unconditional: bool = True,
        capture: Capture | None = None,
        suppress: Sequence[int] = (),
        hidden: torch.Tensor | None = None,
        keep: bool = False,
        reuse: Reuse | None = None,
    ) -> ForwardOutput:
        assert not keep
        assert reuse is None
        self.calls.append((len(tokens), step))
        outputs, maps = [], []
        for number, (row, text) in enumerate(zip(tokens, conditioning, strict=True)):
            x = self.embed[row] + self.place
            x = x + (x.mean(0) @ self.mix).tanh()
            weights = x @ text.T * 0.7
            if suppress:
                weights[:, list(suppress)] = -torch.inf
            if hidden is not None:
                weights = weights.masked_fill(hidden[number], -torch.inf)
            weights = weights.softmax(-1)
            outputs.append(((x + weights @ text) @ self.out, x @ self.out))
            maps.append(weights.T)
        cond, uncond = (torch.stack([pair[i] for pair in outputs]) for i in (0, 1))
        if self.leaky:
            cond = cond + 0.3 * len(tokens) * torch.arange(cond.shape[-1])
        attention = torch.stack(maps)
        if capture is None:
            return ForwardOutput(cond, uncond if unconditional else None)
        if capture.columns is not None:
            attention = attention[:, list(capture.columns)]
        full = attention[:, None, None].repeat(1, 3, 2, 1, 1) if capture.full else None
        return ForwardOutput(cond, uncond if unconditional else None, attention, full)

    def decode_tokens(self, tokens: torch.Tensor) -> np.ndarray:
        y, x = self.info.grid
        grids = tokens.reshape(-1, y, x).numpy().astype(np.uint8)
        return np.repeat(np.repeat(grids, 4, axis=1), 4, axis=2)[..., None].repeat(3, axis=-1)

    def encode_image(self, image: np.ndarray) -> np.ndarray:
        return image[::4, ::4, 0].astype(np.int64)

    def token_pictures(self, ids: Sequence[int], size_px: int = 16) -> np.ndarray:
        return np.array([np.full((size_px, size_px, 3), i % 256) for i in ids], np.uint8).reshape(-1, size_px, size_px, 3)

    def tokenize(self, text: str) -> Any:
        raise NotImplementedError

    def judge_many(self, images: np.ndarray, prompts: Sequence[Prompt]) -> None:
        return None

    def judge(self, image: Any, prompt: Prompt) -> None:
        return None
