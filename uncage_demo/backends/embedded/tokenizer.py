"""Image tokenizer of the embedded model: each 16 px patch becomes one of 1,024 codes (FSQ), a convolutional decoder draws them.

The encoder sees one patch and nothing around it, so art placed on the token grid has the same codes wherever it stands;
only the decoder sees context. Knows nothing of text or decoding.

Source: finite scalar quantisation 2309.15505.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from uncage_demo.backends.embedded.replay import Replays, state_of

PATCH_PX = 16


class FSQ(nn.Module):
    """Finite scalar quantisation: each channel is bounded and rounded to a few levels; a code is the tuple of levels (2309.15505).

    Args:
        levels: number of levels of each channel.
    """

    levels_t: Tensor
    basis: Tensor

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        self.levels = tuple(int(n) for n in levels)
        self.register_buffer("levels_t", torch.tensor(self.levels, dtype=torch.float32), persistent=False)
        basis = [math.prod(self.levels[:i]) for i in range(len(self.levels))]
        self.register_buffer("basis", torch.tensor(basis), persistent=False)

    @property
    def codebook_size(self) -> int:
        """Number of codes v."""
        return math.prod(self.levels)

    def quantise(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Quantised values in -1..1 (straight-through gradient) and codes of unbounded channels z "... c"."""
        half = (self.levels_t - 1) / 2
        bounded = (torch.tanh(z) + 1) * half
        digits = bounded.round()
        straight = bounded + (digits - bounded).detach()
        return straight / half - 1, (digits.long() * self.basis).sum(-1)

    def digits(self, codes: Tensor) -> Tensor:
        """Level of each channel "... c" int64 of codes "..."."""
        return (codes[..., None] // self.basis) % self.levels_t.long()

    def values(self, codes: Tensor) -> Tensor:
        """Quantised values in -1..1, "... c" float32, of codes "..."."""
        return self.digits(codes).float() / ((self.levels_t - 1) / 2) - 1


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.gelu(self.first(F.gelu(self.norm(x)))))


class ImageTokenizer(nn.Module):
    """Patch encoder + FSQ + convolutional decoder.

    Args:
        levels: FSQ levels.
        encoder_width: hidden width of the patch encoder.
        decoder_widths: channels at 16, 8 and 4 px a cell.
        blocks: residual blocks at each of these.
        tile_codes: codes of the background tiles of training scenes, for those who compose scenes from codes; () = not assigned yet.
    """

    def __init__(
        self,
        levels: Sequence[int] = (8, 8, 4, 4),
        encoder_width: int = 320,
        decoder_widths: Sequence[int] = (192, 96, 48),
        blocks: Sequence[int] = (3, 1, 1),
        tile_codes: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.config: dict[str, Any] = {
            "levels": list(levels),
            "encoder_width": encoder_width,
            "decoder_widths": list(decoder_widths),
            "blocks": list(blocks),
        }
        self.fsq = FSQ(levels)
        self.set_tile_codes(tile_codes)
        channels = len(self.fsq.levels)
        self.encoder = nn.Sequential(
            nn.Linear(3 * PATCH_PX**2, encoder_width),
            nn.GELU(),
            nn.Linear(encoder_width, encoder_width),
            nn.GELU(),
            nn.Linear(encoder_width, channels),
        )
        wide, middle, narrow = decoder_widths
        self.decoder = nn.Sequential(
            nn.Conv2d(channels, wide, 3, padding=1),
            *(_Residual(wide) for _ in range(blocks[0])),
            nn.Conv2d(wide, middle * 4, 1),
            nn.PixelShuffle(2),
            *(_Residual(middle) for _ in range(blocks[1])),
            nn.Conv2d(middle, narrow * 4, 1),
            nn.PixelShuffle(2),
            *(_Residual(narrow) for _ in range(blocks[2])),
            nn.Conv2d(narrow, 48, 3, padding=1),
            nn.PixelShuffle(4),
        )
        self._weighted = tuple(module for module in self.decoder.modules() if module._parameters)
        self._replays = Replays()

    def set_tile_codes(self, codes: Sequence[int]) -> None:
        """Record the codes of the background tiles.

        Raises:
            ValueError: a code outside the codebook.
        """
        wrong = [code for code in codes if not 0 <= code < self.fsq.codebook_size]
        if wrong:
            raise ValueError(f"tile_codes={wrong}: codes run from 0 to {self.fsq.codebook_size - 1}")
        self.tile_codes = tuple(int(code) for code in codes)
        self.config["tile_codes"] = list(self.tile_codes)

    @staticmethod
    def patches(images: Tensor) -> Tensor:
        """Patches "b n 768" of images "b 3 H W"."""
        b, c, height, width = images.shape
        y, x = height // PATCH_PX, width // PATCH_PX
        cut = images.reshape(b, c, y, PATCH_PX, x, PATCH_PX).permute(0, 2, 4, 1, 3, 5)
        return cut.reshape(b, y * x, c * PATCH_PX**2)

    def encode(self, images: Tensor) -> Tensor:
        """Codes "b y x" int64 of images "b 3 H W" in 0..1."""
        b, _, height, width = images.shape
        _, codes = self.fsq.quantise(self.encoder(self.patches(images) * 2 - 1))
        return codes.reshape(b, height // PATCH_PX, width // PATCH_PX)

    def decode(self, codes: Tensor) -> Tensor:
        """Images "b 3 H W" in 0..1 of codes "b y x"."""
        # channels last: the convolutions' own layout on a CPU, so that nothing is laid out anew between them
        values = self.code_values(codes).contiguous(memory_format=torch.channels_last)
        if torch.is_grad_enabled():
            return self._picture(values)[0]
        return self._replays.run(state_of(self._weighted), self._picture, (values,))[0]

    def _picture(self, values: Tensor) -> tuple[Tensor]:
        return (self.decode_values(values).clamp(0, 1),)

    def code_values(self, codes: Tensor) -> Tensor:
        """Quantised values in -1..1, "b c y x" float32, of codes "b y x"."""
        return self.fsq.values(codes).permute(0, 3, 1, 2)

    def decode_values(self, values: Tensor) -> Tensor:
        """Images "b 3 H W" (not clamped) of quantised values "b c y x"."""
        return self.decoder(values) + 0.5

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruction "b 3 H W" (not clamped) and codes "b y x"; differentiable in encoder and decoder."""
        b, _, height, width = images.shape
        values, codes = self.fsq.quantise(self.encoder(self.patches(images) * 2 - 1))
        y, x = height // PATCH_PX, width // PATCH_PX
        return self.decode_values(values.reshape(b, y, x, -1).permute(0, 3, 1, 2)), codes.reshape(b, y, x)
