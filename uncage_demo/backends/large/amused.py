"""aMUSEd (256 and 512 px): diffusers' UVit2DModel behind the backend, its text attention read and masked by processors of ours.

The processors are installed inside a context manager that puts the former ones back even when a forward raises.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from torch import nn

from uncage_demo.backends.attention import ColumnRecorder, attention, pooled_rows
from uncage_demo.backends.large.assemble import LoadOptions, NetworkShape, assemble
from uncage_demo.backends.large.backend import LargeBackend
from uncage_demo.backends.large.layout import Parts
from uncage_demo.backends.large.weights import complain, first_line, load_diffusers, read_adapter, read_json

logger = logging.getLogger(__name__)


class TextAttention:
    """Attention processor that gives what the standard one gives, hides masked text tokens and records wanted columns.

    Args:
        layer: index for the recorder.
        recorder: reads columns, or None.
        text_mask: "b t" bool, False = hidden, or "b n t" bool where that differs by token of the grid; or None.
        grid: (y, x) of the tokens.
    """

    def __init__(self, layer: int, recorder: ColumnRecorder | None, text_mask: torch.Tensor | None, grid: tuple[int, int]) -> None:
        self.layer, self.recorder, self.text_mask, self.grid = layer, recorder, text_mask, grid

    def __call__(self, attn: Any, hidden_states: torch.Tensor, encoder_hidden_states: torch.Tensor, **_: Any) -> torch.Tensor:
        """Output "b n c" of cross-attention from image tokens "b n c" to text tokens "b t c"."""
        parts = (attn.to_q(hidden_states), attn.to_k(encoder_hidden_states), attn.to_v(encoder_hidden_states))
        query, key, value = (rearrange(part, "b n (h d) -> b h n d", h=attn.heads) for part in parts)
        mask = self.text_mask
        if mask is not None and mask.ndim == 3:
            mask = pooled_rows(mask, self.grid, query.shape[-2])
        if self.recorder is None:
            mixed = attention(query, key, value, key_mask=mask)
        else:
            mixed = self.recorder.attend(self.layer, query, key, value, mask)
        return attn.to_out[0](rearrange(mixed, "b h n d -> b n (h d)"))


@cache
def _outside_graphs() -> type[TextAttention]:
    """The processor for compiled blocks: what differs between forwards must not be compiled into them. To say so loads the compiler."""
    return type("TextAttentionOutsideGraphs", (TextAttention,), {"__call__": torch.compiler.disable(TextAttention.__call__)})


class AmusedNetwork(nn.Module):
    """UVit2DModel with the call signature of our token networks.

    Args:
        model: diffusers UVit2DModel in evaluation mode.

    Raises:
        ValueError: when an attention of the model does more than the processor here reproduces, or a setting does not fit.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        config = model.config
        if type(config.micro_cond_encode_dim) is not int or 5 * config.micro_cond_encode_dim != config.micro_cond_embed_dim:
            found = (config.micro_cond_encode_dim, config.micro_cond_embed_dim)
            raise ValueError(f"micro_cond_encode_dim={found[0]!r}, micro_cond_embed_dim={found[1]!r}: the second must be 5 times the first")
        if not isinstance(config.layer_norm_eps, (int, float)):
            raise ValueError(f"layer_norm_eps={config.layer_norm_eps!r}: give a number")
        self.model = model
        self._compiled = False
        for name, module in self.text_attentions():
            extra = (module.group_norm, module.spatial_norm, module.norm_cross, module.norm_q, module.norm_k)
            if any(part is not None for part in extra) or module.residual_connection or module.rescale_output_factor != 1:
                raise ValueError(f"{name}: this attention has norms or scales that aMUSEd does not have")

    def text_attentions(self) -> list[tuple[str, Any]]:
        """Every attention whose keys are text tokens, in the order they run: the down block's, the transformer layers', the up block's."""

        def of_block(name: str) -> list[tuple[str, Any]]:
            blocks = enumerate(getattr(self.model, name).attention_blocks)
            return [(f"{name}.attention_blocks.{i}.{part}", getattr(block, part)) for i, block in blocks for part in ("attn1", "attn2")]

        layers = [(f"transformer_layers.{i}.attn2", layer.attn2) for i, layer in enumerate(self.model.transformer_layers)]
        return of_block("down_block") + layers + of_block("up_block")

    @property
    def heads(self) -> tuple[int, ...]:
        """Heads of each text attention; the convolutional blocks have fewer."""
        return tuple(module.heads for _, module in self.text_attentions())

    @property
    def main_layers(self) -> range:
        """Indices of the transformer layers' text attentions, the ones read by default."""
        first = 2 * len(self.model.down_block.attention_blocks)
        return range(first, first + len(self.model.transformer_layers))

    def compile_blocks(self) -> None:
        """Compile the transformer layers and the convolutional blocks around their text attentions."""
        self._compiled = True
        for block in (*self.model.down_block.res_blocks, *self.model.transformer_layers, *self.model.up_block.res_blocks):
            block.compile()

    @contextmanager
    def watched(self, recorder: ColumnRecorder | None, text_mask: torch.Tensor | None, grid: tuple[int, int]) -> Iterator[None]:
        """Install our processors where they are needed; the former ones are back when the block ends, whatever happened in it."""
        saved: list[tuple[Any, Any]] = []
        processor_of = _outside_graphs() if self._compiled else TextAttention
        try:
            for layer, (_, module) in enumerate(self.text_attentions()):
                # Compiled blocks always get ours, so that reading attention changes nothing that they were compiled for.
                if self._compiled or text_mask is not None or (recorder is not None and layer in recorder.layers):
                    saved.append((module, module.processor))
                    module.set_processor(processor_of(layer, recorder, text_mask, grid))
            yield
        finally:
            for module, processor in saved:
                module.set_processor(processor)

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
        """Logits "b n v" of token grids "b y x" (this model does not look at the timestep)."""
        dtype = self.model.dtype
        with self.watched(recorder, text_mask, (tokens.shape[1], tokens.shape[2])):
            logits = self.model(tokens, text.to(dtype), pooled.to(dtype), micro_conditions.float())
        return rearrange(logits, "b v y x -> b (y x) v")


def load_amused(parts: Parts, options: LoadOptions) -> LargeBackend:
    """A backend from a checkpoint's parts.

    Raises:
        ValueError: incomplete or unfitting checkpoint or adapter, or a size the model does not allow.
    """
    from diffusers.models.unets.uvit_2d import UVit2DModel

    model = load_diffusers(UVit2DModel, parts.transformer, options.dtype)
    if parts.lora is not None:
        model = with_adapter(model, parts.lora)
    network = AmusedNetwork(model)
    config = network.model.config
    shape = NetworkShape.of(
        config,
        text_width=config.encoder_hidden_size,
        pooled_width=config.cond_embed_dim,
        layer_heads=network.heads,
        default_layers=network.main_layers,
        joint=False,
        size_px=(256, 512),
    )
    return assemble(parts, network, shape, options)


def with_adapter(model: Any, folder: Path) -> Any:
    """The model with a LoRA adapter merged into its weights, so that everything after loading is as without one.

    Args:
        model: diffusers UVit2DModel.
        folder: adapter_config.json and adapter_model.safetensors, as peft's save_pretrained writes them.

    Raises:
        ValueError: peft is not installed, or the adapter is not of this model.
    """
    try:
        from peft import PeftModel
    except ImportError:
        raise ValueError(f"lora={str(folder)!r}: adapters need the library peft; install it with: pip install peft") from None
    config = read_json(folder / "adapter_config.json")
    if config.get("peft_type") != "LORA":
        raise ValueError(f"{folder / 'adapter_config.json'}: peft_type is {config.get('peft_type')!r}, only LORA is read")
    tensors = read_adapter(folder / "adapter_model.safetensors")
    before = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            adapted: Any = PeftModel.from_pretrained(model, str(folder))
        expected = {name.replace(".default.", ".") for name, _ in adapted.named_parameters() if "lora_" in name}
    except Exception as error:  # peft raises whatever its config leads it to
        raise ValueError(f"{folder}: this adapter does not fit the model: {first_line(error)}") from None
    complain(folder / "adapter_model.safetensors", missing=expected - set(tensors), unknown=set(tensors) - expected)
    logger.debug("peft said %s", [str(one.message) for one in told])
    merged = adapted.merge_and_unload().eval()
    if {name: tuple(value.shape) for name, value in merged.state_dict().items()} != before:
        raise ValueError(f"{folder}: this adapter leaves other weights than the model had; only plain LoRA is read")
    return merged
