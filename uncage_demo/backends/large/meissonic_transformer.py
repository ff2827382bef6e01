"""The Meissonic / Monetico transformer in plain torch, with the published module names, so that published weights load by name.

Knows nothing of prompts, text encoders, pictures or decoding: token grids and text states go in, logits come out.
Shapes: b batch, n image tokens (y x grid, row-major), t text tokens, c channels, h heads, d head width, v codebook.

Source: 2410.08261 (Meissonic); the block structure is that of 2403.03206 with single-modal blocks behind it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from hashlib import sha256
from typing import Any

import torch
from einops import rearrange
from torch import nn

from uncage_demo.backends.attention import ColumnRecorder, pooled_rows
from uncage_demo.backends.large.compiling import compile_methods
from uncage_demo.backends.large.meissonic_blocks import Features, Known, MultiModalBlock, Renewed, SingleModalBlock
from uncage_demo.backends.large.meissonic_layers import (
    NORM_EPS,
    SINUSOID_CHANNELS,
    Resample,
    TimeTextEmbed,
    TokenEmbed,
    TokenHead,
    TwoLayer,
    rotary_angles,
    sinusoids,
)

_RANGES = (
    ("num_layers", 0, 1000),
    ("num_single_layers", 1, 1000),
    *((name, 1, 1 << 20) for name in ("attention_head_dim", "num_attention_heads", "joint_attention_dim", "pooled_projection_dim")),
    *((name, 1, 1 << 24) for name in ("vocab_size", "codebook_size", "patch_size")),
)
# What the authors' class takes for a setting that its config.json leaves out; not the sizes of any published model.
_REFERENCE_DEFAULTS: dict[str, Any] = {
    "num_layers": 19,
    "num_single_layers": 38,
    "attention_head_dim": 128,
    "num_attention_heads": 24,
    "joint_attention_dim": 4096,
    "pooled_projection_dim": 768,
    "axes_dims_rope": (16, 56, 56),
    "vocab_size": 8256,
    "codebook_size": 8192,
    "downsample": False,
    "upsample": False,
}
MICRO_CONDITIONS = 5  # width, height, crop top, crop left, aesthetic score


@dataclass(frozen=True)
class TransformerConfig:
    """The sizes of a transformer; defaults are the published 1024 px Meissonic (a file that leaves some out: `from_dict`).

    Args:
        num_layers: multi-modal blocks; num_single_layers: single-modal blocks.
        attention_head_dim, num_attention_heads: their product is the width c.
        joint_attention_dim: width of the text encoder's states; pooled_projection_dim: of its pooled embedding.
        axes_dims_rope: channels of a head that the rotary embedding gives to (text, y, x); they sum to the head width.
        vocab_size: rows of the token embedding (mask id included); codebook_size: v.
        downsample, upsample: attention runs at half the token grid.
        tokenizer_vocab_size: words that Muddit's text decoder can write; None = there is no such decoder. Pictures do not need it.

    Raises:
        ValueError: naming the setting that does not fit.
    """

    num_layers: int = 14
    num_single_layers: int = 28
    attention_head_dim: int = 128
    num_attention_heads: int = 8
    joint_attention_dim: int = 1024
    pooled_projection_dim: int = 1024
    axes_dims_rope: tuple[int, ...] = (16, 56, 56)
    vocab_size: int = 8256
    codebook_size: int = 8192
    downsample: bool = True
    upsample: bool = True
    patch_size: int = 1
    guidance_embeds: bool = False
    tokenizer_vocab_size: int | None = None

    def __post_init__(self) -> None:
        for name, least, most in _RANGES:
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise ValueError(f"{name}={value!r}: give a whole number from {least} to {most}")
        for name in ("downsample", "upsample", "guidance_embeds"):
            if type(getattr(self, name)) is not bool:
                raise ValueError(f"{name}={getattr(self, name)!r}: give true or false")
        axes = self.axes_dims_rope
        if not isinstance(axes, (list, tuple)) or any(type(size) is not int or size < 1 for size in axes):
            raise ValueError(f"axes_dims_rope={axes!r}: give three whole numbers above 0")
        object.__setattr__(self, "axes_dims_rope", tuple(axes))
        if self.patch_size != 1 or self.guidance_embeds:
            raise ValueError(f"patch_size={self.patch_size}, guidance_embeds={self.guidance_embeds}: only 1 and False are supported")
        if sum(self.axes_dims_rope) != self.attention_head_dim or len(self.axes_dims_rope) != 3:
            raise ValueError(f"axes_dims_rope={self.axes_dims_rope}: give three numbers with sum {self.attention_head_dim}")
        if any(size % 2 for size in self.axes_dims_rope):
            raise ValueError(f"axes_dims_rope={self.axes_dims_rope}: give even numbers")
        words = self.tokenizer_vocab_size
        if words is not None and (type(words) is not int or not 1 <= words <= 1 << 24):
            raise ValueError(f"tokenizer_vocab_size={words!r}: give a whole number from 1 to {1 << 24}, or nothing")
        if self.downsample != self.upsample:
            raise ValueError(f"downsample={self.downsample}, upsample={self.upsample}: must be equal")
        if self.vocab_size <= self.codebook_size:
            raise ValueError(f"vocab_size={self.vocab_size}: must exceed codebook_size={self.codebook_size} (a mask id is needed)")

    @property
    def width(self) -> int:
        """c = heads times head width."""
        return self.num_attention_heads * self.attention_head_dim

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TransformerConfig:
        """From a parsed config.json: what it leaves out has the authors' defaults, names that the forward does not need are ignored."""
        known = {f.name for f in fields(cls)}
        return cls(**(_REFERENCE_DEFAULTS | {name: value for name, value in data.items() if name in known}))


class MeissonicTransformer(nn.Module):
    """Masked generative transformer: multi-modal blocks, then single-modal blocks, over text and image tokens.

    Args:
        config: sizes; parameters are created on the current default device ("meta" included).
        embedding_noise: share of Gaussian noise that is mixed into the embedded tokens, 0..1; drawn anew from the tokens themselves, so
            that equal grids get equal noise (Di[M]O; 0 for all others).
    """

    def __init__(self, config: TransformerConfig, embedding_noise: float = 0.0) -> None:
        super().__init__()
        self.config, self.embedding_noise = config, embedding_noise
        c = config.width
        self.time_text_embed = TimeTextEmbed(c, c)
        self.context_embedder = nn.Linear(config.joint_attention_dim, c)
        self.cond_embed = TwoLayer(MICRO_CONDITIONS * SINUSOID_CHANNELS + config.pooled_projection_dim, c, bias=False)
        self.embed = TokenEmbed(config.vocab_size, c)
        self.down_block = Resample(c, "downsample" if config.downsample else None)
        self.up_block = Resample(c, "upsample" if config.upsample else None)
        self.encoder_proj_layer_norm = nn.RMSNorm(c, eps=NORM_EPS)
        self.project_to_hidden_norm = nn.RMSNorm(c, eps=NORM_EPS)
        self.project_to_hidden = nn.Linear(c, c, bias=False)
        self.transformer_blocks = nn.ModuleList(MultiModalBlock(config) for _ in range(config.num_layers))
        self.single_transformer_blocks = nn.ModuleList(SingleModalBlock(config, i) for i in range(config.num_single_layers))
        self.project_from_hidden_norm = nn.RMSNorm(c, eps=NORM_EPS)
        self.project_from_hidden = nn.Linear(c, c, bias=False)
        self.mlm_layer = TokenHead(c, config.codebook_size)
        words = config.tokenizer_vocab_size
        self.text_decoder = (
            None if words is None else nn.Sequential(nn.LayerNorm(c, NORM_EPS, elementwise_affine=False), nn.Linear(c, words, bias=False))
        )

    def compile_blocks(self) -> None:
        """Compile what every block does before and after its attention. Attention itself is a fused kernel already and stays as it is, so
        that reading it or hiding words changes neither the compiled code nor the logits.
        """
        for block in [*self.transformer_blocks, *self.single_transformer_blocks]:
            compile_methods(block, "before", "after")

    def forward(
        self,
        tokens: torch.Tensor,
        text: torch.Tensor,
        pooled: torch.Tensor,
        micro_conditions: torch.Tensor,
        timestep: torch.Tensor,
        text_mask: torch.Tensor | None = None,
        recorder: ColumnRecorder | None = None,
        keep: list[Features] | None = None,
    ) -> torch.Tensor:
        """Logits of every position.

        Args:
            tokens: "b y x" int64, masked positions hold the mask id; y and x even where the model downsamples.
            text: "b t c_text"; pooled: "b c_pooled"; micro_conditions: "b 5" (width, height, crop, crop, aesthetic score).
            timestep: "b" float32; what a model counts as one is in NetworkFacts.
            text_mask: "b t" bool, False = this text token is hidden from every query (word knock-out); or "b n t" bool, False = hidden
                from that image token. Text itself reads what any image token may read.
            recorder: reads attention to text columns in the single-modal blocks.
            keep: the features that `again` reads are added to it.

        Returns:
            "b n v" in the weights' dtype, n = y x row-major.
        """
        if self.config.downsample and (tokens.shape[1] % 2 or tokens.shape[2] % 2):
            raise ValueError(f"token grid {tuple(tokens.shape[1:])}: must be even, the model attends at half of it")
        dtype = self.context_embedder.weight.dtype
        embedding = self._embedding(pooled, micro_conditions, timestep)
        image = self.down_block(self._with_noise(self.embed(tokens), tokens))
        _, height, width, _ = image.shape
        image = self.project_to_hidden(self.project_to_hidden_norm(rearrange(image, "b y x c -> b (y x) c")))
        text = self.encoder_proj_layer_norm(self.context_embedder(text.to(dtype)))
        rotation = rotary_angles(text.shape[1], height, width, self.config.axes_dims_rope, tokens.device)
        key_mask = None
        if text_mask is not None:
            if text_mask.ndim == 3:
                by_image = pooled_rows(text_mask, (tokens.shape[1], tokens.shape[2]), image.shape[1])
                by_text = text_mask.any(dim=1, keepdim=True).expand(-1, text.shape[1], -1)
                text_mask = torch.cat([by_text, by_image], dim=1)
            key_mask = torch.cat([text_mask, text_mask.new_ones(*text_mask.shape[:-1], image.shape[1])], dim=-1)

        known: list[Known] | None = None if keep is None else []
        for block in self.transformer_blocks:
            text, image = block(text, image, embedding, rotation, key_mask, known)
        joint = torch.cat([text, image], dim=1)
        for block in self.single_transformer_blocks:
            joint = block(joint, embedding, rotation, key_mask, recorder, known)
        if keep is not None and known is not None:
            keep.append(Features(tuple(known), rotation, key_mask))
        image = self.project_from_hidden(self.project_from_hidden_norm(joint[:, text.shape[1] :]))
        image = self.up_block(rearrange(image, "b (y x) c -> b y x c", y=height))
        return rearrange(self.mlm_layer(image), "b y x v -> b (y x) v")

    def again(
        self,
        tokens: torch.Tensor,
        cells: torch.Tensor,
        pooled: torch.Tensor,
        micro_conditions: torch.Tensor,
        timestep: torch.Tensor,
        features: Features,
        recorder: ColumnRecorder | None = None,
    ) -> torch.Tensor:
        """As forward, for some cells of the grid at which the network attends; all else is read as an earlier forward left it.

        Args:
            tokens, pooled, micro_conditions, timestep: as `forward`, as they are now.
            cells: "r" int64, cells of the attention grid; each stands for one token, or for 2 x 2 where the network downsamples.
            features: of that forward, whose text and hidden words stay in force.
            recorder: as `forward`; its rows are the r cells.

        Returns:
            "b r f v": logits of the f tokens of each cell, row-major.

        Source: 2505.19089 (ReCAP).
        """
        embedding = self._embedding(pooled, micro_conditions, timestep)
        side = 2 if self.config.downsample else 1
        # The convolutions in and out do not overlap, so the cells may stand one below the other.
        blocks = rearrange(tokens, "b (y fy) (x fx) -> b (y x) fy fx", fy=side, fx=side)[:, cells]
        image = self.down_block(self.embed(rearrange(blocks, "b r fy fx -> b (r fy) fx")))
        image = self.project_to_hidden(self.project_to_hidden_norm(rearrange(image, "b r one c -> b (r one) c")))
        rows = cells + (features.rotation.shape[1] - tokens.shape[1] * tokens.shape[2] // side**2)
        key_mask = features.key_mask[:, rows] if features.key_mask is not None and features.key_mask.ndim == 3 else features.key_mask
        parts = [Renewed(known, rows, features.rotation[:, rows], key_mask) for known in features.known]
        for block, part in zip(self.transformer_blocks, parts, strict=False):
            image = block.again(image, embedding, part)  # type: ignore[operator]
        for block, part in zip(self.single_transformer_blocks, parts[len(self.transformer_blocks) :], strict=True):
            image = block.again(image, embedding, part, recorder)  # type: ignore[operator]
        image = self.up_block(self.project_from_hidden(self.project_from_hidden_norm(image))[:, :, None])
        return rearrange(self.mlm_layer(image), "b (r fy) fx v -> b r (fy fx) v", fy=side)

    def _embedding(self, pooled: torch.Tensor, micro_conditions: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """What modulates every block: "b c"."""
        dtype = self.context_embedder.weight.dtype
        micro = rearrange(sinusoids(micro_conditions.flatten(), SINUSOID_CHANNELS), "(b m) c -> b (m c)", m=MICRO_CONDITIONS)
        condition = self.cond_embed(torch.cat([pooled.float(), micro], dim=1).to(dtype))
        return self.time_text_embed(timestep.float() * 1000, condition)

    def _with_noise(self, embedded: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Embedded tokens "b y x c" with their share of noise, of variance 1 like a normalised embedding's.

        Source: 2503.15457 (Di[M]O), section 3.4.
        """
        if self.embedding_noise == 0:
            return embedded
        grids = tokens.cpu().numpy()
        generators = (torch.Generator().manual_seed(int.from_bytes(sha256(grid.tobytes()).digest()[:7])) for grid in grids)
        noise = torch.stack([torch.randn(embedded.shape[1:], generator=generator) for generator in generators])
        share = self.embedding_noise
        return share * noise.to(embedded.device, embedded.dtype) + (1 - share**2) ** 0.5 * embedded
