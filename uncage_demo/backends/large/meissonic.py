"""Meissonic (1024 px) and Monetico (512 px): from a checkpoint folder to a backend.

The transformer is ours (meissonic_transformer.py); text encoder and VQ model come from transformers and diffusers, imported only
when such a model is loaded.
"""

from __future__ import annotations

from pathlib import Path

import torch

from uncage_demo.backends.large.assemble import LoadOptions, NetworkShape, assemble
from uncage_demo.backends.large.backend import LargeBackend
from uncage_demo.backends.large.meissonic_transformer import MeissonicTransformer, TransformerConfig
from uncage_demo.backends.large.weights import load_strict, read_json, read_tensors


def load_transformer(folder: Path, dtype: torch.dtype) -> MeissonicTransformer:
    """The transformer with its published weights.

    Args:
        folder: holds config.json and safetensors weights with the published names.
        dtype: of the parameters; the file may hold another.

    Raises:
        ValueError: on a missing or truncated file, a setting that is not supported, or a name or shape that does not fit.
    """
    config = TransformerConfig.from_dict(read_json(folder / "config.json"))
    tensors = read_tensors(folder)
    with torch.device("meta"):
        model = MeissonicTransformer(config)
    load_strict(model, tensors, dtype, folder)
    return model.eval()


def load_meissonic(folder: Path, text_folder: Path, options: LoadOptions) -> LargeBackend:
    """A backend from a checkpoint folder (transformer/, vqvae/, tokenizer/, scheduler/) and a text encoder folder.

    Raises:
        ValueError: incomplete or unfitting checkpoint, or a size the model does not allow.
    """
    transformer = load_transformer(folder / "transformer", options.dtype)
    config = transformer.config
    shape = NetworkShape.of(
        config,
        text_width=config.joint_attention_dim,
        pooled_width=config.pooled_projection_dim,
        layer_heads=(config.num_attention_heads,) * config.num_single_layers,
        default_layers=range(config.num_single_layers),
        joint=True,
        size_px=(512, 1024),
        guidance_scale=9.0,
    )
    return assemble(folder, text_folder, transformer, shape, options)
