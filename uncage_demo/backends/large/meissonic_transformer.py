"""The Meissonic / Monetico transformer in plain torch, with the published module names, so that published weights load by name.

Knows nothing of prompts, text encoders, pictures or decoding: token grids and text states go in, logits come out.
Shapes: b batch, n image tokens (y x grid, row-major), t text tokens, c channels, h heads, d head width, v codebook.

Source: 2410.08261 (Meissonic); the block structure is that of 2403.03206 with single-modal blocks behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from hashlib import sha256
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from uncage_demo.backends.attention import ColumnRecorder, attention, pooled_rows
from uncage_demo.backends.large.compiling import compile_methods
from uncage_demo.backends.large.meissonic_layers import (
    NORM_EPS,
    SINUSOID_CHANNELS,
    FeedForward,
    Modulation,
    Resample,
    TimeTextEmbed,
    TokenEmbed,
    TokenHead,
    TwoLayer,
    keep_finite,
    merge_heads,
    modulate,
    rotary_angles,
    rotate,
    sinusoids,
    split_heads,
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
    ) -> torch.Tensor:
        """Logits of every position.

        Args:
            tokens: "b y x" int64, masked positions hold the mask id; y and x even where the model downsamples.
            text: "b t c_text"; pooled: "b c_pooled"; micro_conditions: "b 5" (width, height, crop, crop, aesthetic score).
            timestep: "b" float32; what a model counts as one is in NetworkFacts.
            text_mask: "b t" bool, False = this text token is hidden from every query (word knock-out); or "b n t" bool, False = hidden
                from that image token. Text itself reads what any image token may read.
            recorder: reads attention to text columns in the single-modal blocks.

        Returns:
            "b n v" in the weights' dtype, n = y x row-major.
        """
        if self.config.downsample and (tokens.shape[1] % 2 or tokens.shape[2] % 2):
            raise ValueError(f"token grid {tuple(tokens.shape[1:])}: must be even, the model attends at half of it")
        dtype = self.context_embedder.weight.dtype
        micro = rearrange(sinusoids(micro_conditions.flatten(), SINUSOID_CHANNELS), "(b m) c -> b (m c)", m=MICRO_CONDITIONS)
        condition = self.cond_embed(torch.cat([pooled.float(), micro], dim=1).to(dtype))
        embedding = self.time_text_embed(timestep.float() * 1000, condition)

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

        for block in self.transformer_blocks:
            text, image = block(text, image, embedding, rotation, key_mask)
        joint = torch.cat([text, image], dim=1)
        for block in self.single_transformer_blocks:
            joint = block(joint, embedding, rotation, key_mask, recorder)
        image = self.project_from_hidden(self.project_from_hidden_norm(joint[:, text.shape[1] :]))
        image = self.up_block(rearrange(image, "b (y x) c -> b y x c", y=height))
        return rearrange(self.mlm_layer(image), "b y x v -> b (y x) v")

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


class Projections(nn.Module):
    """Query, key and value projections with normalised queries and keys; with `joint`, a second set for the text and both outputs."""

    def __init__(self, config: TransformerConfig, joint: bool) -> None:
        super().__init__()
        c, d = config.width, config.attention_head_dim
        self.heads = config.num_attention_heads
        self.to_q, self.to_k, self.to_v = nn.Linear(c, c), nn.Linear(c, c), nn.Linear(c, c)
        self.norm_q, self.norm_k = nn.RMSNorm(d, eps=NORM_EPS), nn.RMSNorm(d, eps=NORM_EPS)
        if joint:
            self.add_q_proj, self.add_k_proj, self.add_v_proj = nn.Linear(c, c), nn.Linear(c, c), nn.Linear(c, c)
            self.norm_added_q, self.norm_added_k = nn.RMSNorm(d, eps=NORM_EPS), nn.RMSNorm(d, eps=NORM_EPS)
            self.to_out = nn.ModuleList([nn.Linear(c, c)])
            self.to_add_out = nn.Linear(c, c)

    def main(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Queries, keys, values "b h n d" of the image (or joint) tokens."""
        query, key, value = (split_heads(layer(x), self.heads) for layer in (self.to_q, self.to_k, self.to_v))
        return self.norm_q(query), self.norm_k(key), value

    def added(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Queries, keys, values "b h t d" of the text tokens."""
        query, key, value = (split_heads(layer(x), self.heads) for layer in (self.add_q_proj, self.add_k_proj, self.add_v_proj))
        return self.norm_added_q(query), self.norm_added_k(key), value


class MultiModalBlock(nn.Module):
    """Text and image keep their own weights and attend jointly (text first)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.norm1, self.norm1_context = Modulation(config.width, 6), Modulation(config.width, 6)
        self.attn = Projections(config, joint=True)
        self.ff, self.ff_context = FeedForward(config.width), FeedForward(config.width)

    def forward(
        self, text: torch.Tensor, image: torch.Tensor, embedding: torch.Tensor, rotation: torch.Tensor, key_mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        query, key, value, text_rest, image_rest = self.before(text, image, embedding, rotation)
        mixed = attention(query, key, value, key_mask=key_mask)
        return self.after(text, image, mixed, text_rest, image_rest)

    def before(
        self, text: torch.Tensor, image: torch.Tensor, embedding: torch.Tensor, rotation: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
        """Queries, keys, values "b h (t + n) d", and what is left of both modulations for `after`."""
        image_in, *image_rest = self.norm1(image, embedding)
        text_in, *text_rest = self.norm1_context(text, embedding)
        pairs = zip(self.attn.added(text_in), self.attn.main(image_in), strict=True)
        query, key, value = (torch.cat(pair, dim=2) for pair in pairs)
        return rotate(query, rotation), rotate(key, rotation), value, text_rest, image_rest

    def after(
        self,
        text: torch.Tensor,
        image: torch.Tensor,
        mixed: torch.Tensor,
        text_rest: Sequence[torch.Tensor],
        image_rest: Sequence[torch.Tensor],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Text "b t c" and image "b n c" behind the block, from what attention "b h (t + n) d" mixed."""
        merged = merge_heads(mixed)
        text_mixed, image_mixed = merged[:, : text.shape[1]], merged[:, text.shape[1] :]
        image = self._finish(image, self.attn.to_out[0](image_mixed), self.ff, image_rest)
        text = self._finish(text, self.attn.to_add_out(text_mixed), self.ff_context, text_rest)
        return keep_finite(text), image

    @staticmethod
    def _finish(x: torch.Tensor, mixed: torch.Tensor, feed_forward: nn.Module, gates: Sequence[torch.Tensor]) -> torch.Tensor:
        gate, shift, scale, ff_gate = gates
        x = x + gate * mixed
        return x + ff_gate * feed_forward(modulate(x, shift, scale))


class SingleModalBlock(nn.Module):
    """Text and image share weights; attention and feed-forward run side by side. The blocks that UNCAGE reads attention from."""

    def __init__(self, config: TransformerConfig, index: int) -> None:
        super().__init__()
        self.index = index
        self.norm = Modulation(config.width, 3)
        self.proj_mlp = nn.Linear(config.width, 4 * config.width)
        self.proj_out = nn.Linear(5 * config.width, config.width)
        self.attn = Projections(config, joint=False)

    def forward(
        self,
        x: torch.Tensor,
        embedding: torch.Tensor,
        rotation: torch.Tensor,
        key_mask: torch.Tensor | None,
        recorder: ColumnRecorder | None,
    ) -> torch.Tensor:
        query, key, value, normed, gate = self.before(x, embedding, rotation)
        if recorder is None:
            mixed = attention(query, key, value, key_mask=key_mask)
        else:
            mixed = recorder.attend(self.index, query, key, value, key_mask)
        return self.after(x, mixed, normed, gate)

    def before(self, x: torch.Tensor, embedding: torch.Tensor, rotation: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Queries, keys, values "b h (t + n) d", the normalised tokens "b (t + n) c" and the gate "b 1 c"."""
        normed, gate = self.norm(x, embedding)
        query, key, value = self.attn.main(normed)
        return rotate(query, rotation), rotate(key, rotation), value, normed, gate

    def after(self, x: torch.Tensor, mixed: torch.Tensor, normed: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
        """Tokens "b (t + n) c" behind the block, from what attention "b h (t + n) d" mixed."""
        wide = F.gelu(self.proj_mlp(normed), approximate="tanh")
        return keep_finite(x + gate * self.proj_out(torch.cat([merge_heads(mixed), wide], dim=-1)))
