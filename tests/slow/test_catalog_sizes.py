"""The catalogue's sizes: computed again from the shapes of the published configs, on the meta device."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from uncage_demo.backends.large.meissonic_transformer import MeissonicTransformer, TransformerConfig
from uncage_demo.backends.large.sizes import MODELS

# CLIP ViT-L/14 and ViT-H/14, text halves, and ViT-H/14's picture half.
TEXT_L: dict[str, Any] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "projection_dim": 768,
}
TEXT_H: dict[str, Any] = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "num_hidden_layers": 24,
    "projection_dim": 1024,
}
SIGHT_H: dict[str, Any] = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_attention_heads": 16,
    "num_hidden_layers": 32,
    "patch_size": 14,
}


def size_of(part: str) -> int:
    """Bytes of a part's state dict in float32."""
    from diffusers.models.autoencoders.vq_model import VQModel
    from diffusers.models.unets.uvit_2d import UVit2DModel
    from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModelWithProjection

    with torch.device("meta"):
        if part in ("meissonic", "monetico", "dimo") or part.startswith("muddit"):
            large = part in ("meissonic", "dimo", "muddit-1024")
            words = 49408 if part.startswith("muddit") else None
            model: torch.nn.Module = MeissonicTransformer(TransformerConfig(downsample=large, upsample=large, tokenizer_vocab_size=words))
        elif part.startswith("amused"):
            model = UVit2DModel(downsample=part == "amused-512", upsample=part == "amused-512")
        elif part == "vq":
            model = VQModel(
                down_block_types=("DownEncoderBlock2D",) * 5,
                up_block_types=("UpDecoderBlock2D",) * 5,
                block_out_channels=(128, 256, 256, 512, 768),
                latent_channels=64,
                layers_per_block=2,
                num_vq_embeddings=8192,
                mid_block_add_attention=False,
                lookup_from_codebook=True,
            )
        elif part == "clip-h":
            model = CLIPModel(CLIPConfig(text_config=TEXT_H, vision_config=SIGHT_H | {"projection_dim": 1024}, projection_dim=1024))
        else:
            model = CLIPTextModelWithProjection(CLIPTextConfig(**(TEXT_H if "-h" in part else TEXT_L)))
    return 4 * sum(value.numel() for value in model.state_dict().values())


@pytest.mark.parametrize("name", sorted(MODELS))
def test_sizes_are_those_of_the_shapes(name: str) -> None:
    sizes = MODELS[name]
    clip = "clip-l text" if name.startswith("amused") else "clip-h text"
    assert [4 * sizes.transformer, 4 * sizes.vq, 4 * sizes.text] == [size_of(name), size_of("vq"), size_of(clip)]
    if sizes.published_text is not None:
        assert 4 * sizes.published_text == size_of("clip-h")
    assert sizes.download_bytes == 4 * (sizes.transformer + sizes.vq + (sizes.published_text or sizes.text))
