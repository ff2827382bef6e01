"""Token grids to pictures and back through a diffusers VQModel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from uncage_demo.backends.large.finite import check_finite

# Pixels decoded at once: one picture of 1024 x 1024, for which the decoder holds 3.2 GB of activations.
_BATCH_PIXELS = 1 << 20


class VqPictures:
    """Decodes token ids with the VQ model's codebook and decoder, and encodes pictures, in float32.

    Args:
        model: diffusers VQModel in evaluation mode, float32.

    Raises:
        ValueError: when the model does not look its codes up itself (`lookup_from_codebook`).
    """

    def __init__(self, model: Any) -> None:
        if not model.config.lookup_from_codebook:
            raise ValueError("VQ model: lookup_from_codebook is false, so token ids cannot be decoded with it")
        self.model = model
        self.factor = 2 ** (len(model.config.block_out_channels) - 1)
        self.codebook_size = int(model.config.num_vq_embeddings)

    @torch.no_grad()
    def decode(self, tokens: torch.Tensor) -> np.ndarray:
        """Pictures "b H W 3" uint8 of token grids "b y x"; H = factor * y.

        Raises:
            ValueError: an id outside 0..v-1; FloatingPointError: the decoder's values are not finite.
        """
        if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) < self.codebook_size:
            raise ValueError(f"token ids {int(tokens.min())}..{int(tokens.max())}: allowed are 0..{self.codebook_size - 1}")
        pixels = tokens.shape[1] * tokens.shape[2] * self.factor**2
        parts = [self._decode(part) for part in tokens.split(max(1, _BATCH_PIXELS // pixels))]
        return np.concatenate(parts) if parts else np.zeros((0, 0, 0, 3), np.uint8)

    def _decode(self, tokens: torch.Tensor) -> np.ndarray:
        shape = (*tokens.shape, self.model.config.latent_channels)
        tokens = tokens.to(next(self.model.parameters()).device)
        sample = self.model.decode(tokens, force_not_quantize=True, shape=shape).sample
        check_finite(sample, "picture of the VQ decoder", "")
        return sample.clamp(0, 1).mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()

    @torch.no_grad()
    def encode(self, images: np.ndarray) -> np.ndarray:
        """Token ids "b y x" int64 of pictures "b H W 3" uint8; H and W are multiples of `factor`. Each cell gets the nearest code.

        Raises:
            FloatingPointError: the encoder's values are not finite.
        """
        pixels = max(1, images.shape[1] * images.shape[2])
        # a copy: a picture from a file may be read-only, which PyTorch warns of
        parts = torch.from_numpy(np.array(images)).split(max(1, _BATCH_PIXELS // pixels))
        return np.concatenate([self._encode(part) for part in parts])

    def _encode(self, images: torch.Tensor) -> np.ndarray:
        pixels = images.to(next(self.model.parameters()).device).permute(0, 3, 1, 2).float() / 255
        latents = self.model.encode(pixels).latents
        check_finite(latents, "latents of the VQ encoder", "")
        _, _, (_, _, ids) = self.model.quantize(latents)
        return ids.reshape(latents.shape[0], *latents.shape[2:]).cpu().numpy().astype(np.int64)

    @torch.no_grad()
    def swatches(self, ids: Sequence[int], size_px: int) -> np.ndarray:
        """Small pictures "k p p 3" uint8 of single codes: the middle of a 3 x 3 grid filled with one code, resized to size_px."""
        if size_px < 1:
            raise ValueError(f"size_px={size_px}: give at least 1")
        if not len(ids):
            return np.zeros((0, size_px, size_px, 3), np.uint8)
        grids = torch.tensor(list(ids), dtype=torch.int64)[:, None, None].expand(-1, 3, 3)
        f = self.factor
        middle = torch.from_numpy(self.decode(grids)[:, f : 2 * f, f : 2 * f]).permute(0, 3, 1, 2).float()
        resized = F.interpolate(middle, size=(size_px, size_px), mode="bilinear", antialias=True)
        return resized.clamp(0, 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
