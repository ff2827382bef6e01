"""Tiny random checkpoints on disk, laid out as the published ones: transformer, vqvae, tokenizer, text_encoder, scheduler."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import pre_tokenizers

from uncage_demo.backends.large.meissonic_transformer import MeissonicTransformer, TransformerConfig

CODEBOOK, VOCAB, MASK_ID = 24, 32, 31
WIDTH, WORDS = 32, 40
MERGES = [("r", "e"), ("re", "d</w>"), ("t", "u"), ("tu", "r"), ("a", "p"), ("ap", "p")]


def tiny_config(downsample: bool = False, **changes: Any) -> TransformerConfig:
    """A Meissonic config of a few thousand parameters a layer."""
    sizes: dict[str, Any] = {
        "num_layers": 2,
        "num_single_layers": 3,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "joint_attention_dim": WIDTH,
        "pooled_projection_dim": WIDTH,
        "axes_dims_rope": (4, 6, 6),
        "vocab_size": VOCAB,
        "codebook_size": CODEBOOK,
        "downsample": downsample,
        "upsample": downsample,
    }
    return TransformerConfig(**(sizes | changes))


def randomize(module: torch.nn.Module, seed: int = 0, std: float = 0.15) -> torch.nn.Module:
    """Every parameter redrawn, so that no default (ones, zeros) hides a mistake."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * std + (0.5 if parameter.ndim == 1 else 0.0))
    return module.eval()


def tiny_transformer(downsample: bool = False, seed: int = 0) -> MeissonicTransformer:
    """A random Meissonic transformer."""
    model = MeissonicTransformer(tiny_config(downsample))
    randomize(model, seed)
    return model


def tiny_uvit(downsample: bool = False, seed: int = 0) -> Any:
    """A random UVit2DModel."""
    from diffusers.models.unets.uvit_2d import UVit2DModel

    model = UVit2DModel(
        hidden_size=WIDTH,
        cond_embed_dim=WIDTH,
        encoder_hidden_size=WIDTH,
        vocab_size=VOCAB,
        codebook_size=CODEBOOK,
        in_channels=16,
        block_out_channels=16,
        num_res_blocks=1,
        downsample=downsample,
        upsample=downsample,
        block_num_heads=4,  # not as many as the layers between, as in the published model
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=48,
    )
    return randomize(model, seed)


def tiny_vq(seed: int = 1) -> Any:
    """A random VQModel with 4 pixels a token."""
    from diffusers.models.autoencoders.vq_model import VQModel

    model = VQModel(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 8, 16),
        latent_channels=6,
        num_vq_embeddings=CODEBOOK,
        norm_num_groups=4,
        vq_embed_dim=6,
        mid_block_add_attention=False,
        lookup_from_codebook=True,
        force_upcast=True,
    )
    return randomize(model, seed, std=0.3)


def tiny_tokenizer() -> Any:
    """A CLIP tokenizer that knows every byte and a few merges."""
    from transformers import CLIPTokenizer

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in MERGES), "<|startoftext|>", "<|endoftext|>"]
    merges: Any = MERGES
    return CLIPTokenizer(vocab={name: i for i, name in enumerate(names)}, merges=merges, model_max_length=77)


def tiny_text_encoder(vocab_size: int, end_id: int, seed: int = 2) -> Any:
    """A random CLIP text encoder with projection."""
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=vocab_size,
        hidden_size=WIDTH,
        intermediate_size=48,
        projection_dim=WIDTH,
        num_hidden_layers=3,
        num_attention_heads=2,
        eos_token_id=end_id,
        bos_token_id=end_id - 1,
        pad_token_id=end_id,
    )
    return randomize(CLIPTextModelWithProjection(config), seed)


def write_common(folder: Path) -> None:
    """vqvae, tokenizer, text_encoder, scheduler."""
    tiny_vq().save_pretrained(folder / "vqvae")
    tokenizer = tiny_tokenizer()
    tokenizer.save_pretrained(folder / "tokenizer")
    tiny_text_encoder(len(tokenizer), tokenizer.eos_token_id).save_pretrained(folder / "text_encoder")
    (folder / "scheduler").mkdir(parents=True)
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps({"mask_token_id": MASK_ID, "masking_schedule": "cosine"}))


def write_meissonic(folder: Path, downsample: bool = False) -> Path:
    """A Meissonic checkpoint; returns the folder."""
    write_common(folder)
    write_transformer(folder / "transformer", downsample)
    return folder


def write_transformer(folder: Path, downsample: bool = False) -> Path:
    """config.json and weights of a Meissonic transformer; returns the folder."""
    folder.mkdir(parents=True)
    model = tiny_transformer(downsample)
    config = asdict(model.config) | {"_class_name": "Transformer2DModel", "in_channels": 64}
    (folder / "config.json").write_text(json.dumps(config))
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / "diffusion_pytorch_model.safetensors")
    return folder


def write_muddit(folder: Path, downsample: bool = True) -> Path:
    """A Muddit checkpoint with all its parts: Meissonic's, and a text decoder; returns the folder."""
    write_meissonic(folder, downsample)
    config = folder / "transformer" / "config.json"
    said = json.loads(config.read_text()) | {"_class_name": "SymmetricTransformer2DModel", "tokenizer_vocab_size": WORDS}
    config.write_text(json.dumps(said))
    weights = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    save_file(load_file(weights) | {"text_decoder.1.weight": torch.ones(WORDS, WIDTH)}, weights)
    return folder


def write_amused(folder: Path, downsample: bool = False) -> Path:
    """An aMUSEd checkpoint; returns the folder."""
    write_common(folder)
    tiny_uvit(downsample).save_pretrained(folder / "transformer")
    return folder


# The two families whose whole checkpoints most tests go through.
WRITERS = {"meissonic": write_meissonic, "amused": write_amused}


def write_tiny(family: str, parent: Path) -> Path:
    """A checkpoint of a family whose attention sees fewer cells than the grid has, in a folder of its own; returns the folder."""
    return WRITERS[family](parent / f"tiny-{family}", downsample=True)
