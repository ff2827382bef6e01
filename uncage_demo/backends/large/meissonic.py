"""Meissonic (1024 px), Monetico (512 px), Muddit (both) and Di[M]O (1024 px, one step): from a checkpoint's parts to a backend.

The transformer is ours (meissonic_transformer.py); text encoder and VQ model come from transformers and diffusers, imported only
when such a model is loaded.
"""

from __future__ import annotations

from pathlib import Path

import torch

from uncage_demo.backends.base import RandomStart
from uncage_demo.backends.large.assemble import LoadOptions, NetworkShape, assemble
from uncage_demo.backends.large.backend import LargeBackend
from uncage_demo.backends.large.layout import Parts
from uncage_demo.backends.large.meissonic_transformer import MeissonicTransformer, TransformerConfig
from uncage_demo.backends.large.weights import load_strict, read_json, read_tensors

# What Di[M]O's sample_Meissonic.py draws with: 60 % of the positions masked, the others random tokens, a tenth of noise on all of them.
MASKED_SHARE, EMBEDDING_NOISE = 0.6, 0.1


def load_transformer(folder: Path, dtype: torch.dtype, embedding_noise: float = 0.0) -> MeissonicTransformer:
    """The transformer with its published weights. Muddit's text decoder is checked and let go: pictures do not need it.

    Args:
        folder: holds config.json and safetensors weights with the published names.
        dtype: of the parameters; the file may hold another.
        embedding_noise: see MeissonicTransformer.

    Raises:
        ValueError: on a missing or truncated file, a setting that is not supported, or a name or shape that does not fit.
    """
    config = TransformerConfig.from_dict(read_json(folder / "config.json"))
    tensors = read_tensors(folder)
    with torch.device("meta"):
        model = MeissonicTransformer(config, embedding_noise)
    load_strict(model, tensors, dtype, folder)
    model.text_decoder = None
    return model.eval()


def load_meissonic(parts: Parts, options: LoadOptions) -> LargeBackend:
    """A backend from a checkpoint's parts.

    Raises:
        ValueError: incomplete or unfitting checkpoint, or a size the model does not allow.
    """
    one_step = options.family == "dimo"
    transformer = load_transformer(parts.transformer, options.dtype, EMBEDDING_NOISE if one_step else 0.0)
    config = transformer.config
    shape = NetworkShape.of(
        config,
        text_width=config.joint_attention_dim,
        pooled_width=config.pooled_projection_dim,
        layer_heads=(config.num_attention_heads,) * config.num_single_layers,
        default_layers=range(config.num_single_layers),
        joint=True,
        size_px=(512, 1024),
        time_as_fraction=options.family == "muddit",
        random_start=RandomStart(MASKED_SHARE) if one_step else None,
    )
    return assemble(parts, transformer, shape, options)
