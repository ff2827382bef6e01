"""What a user would otherwise pick: diffusers' AmusedPipeline, plain and with eager attention kept, on the same small random weights.

The weights are random and the sizes small, so only ratios mean something; transformers and diffusers are imported when it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from uncage_demo.backends.large.amused import AmusedNetwork
from uncage_demo.backends.large.backend import LargeBackend
from uncage_demo.backends.large.clip import ClipText
from uncage_demo.backends.large.network import NetworkFacts
from uncage_demo.backends.large.pictures import VqPictures
from uncage_demo.bench.run import make_images
from uncage_demo.bench.speed import PROMPT, Timing, time_paired
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.run import RecordOptions, Run
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.runner import stream
from uncage_demo.types import ModelInfo

_GRID, _CODES, _WIDTH, _HEADS, _LAYERS = 16, 256, 128, 4, 4


class KeepAttention:
    """Attention processor that computes and keeps the whole softmax matrix, as `output_attentions` does.

    Args:
        kept: list that every matrix "(b h) n t" is appended to.
    """

    def __init__(self, kept: list[torch.Tensor]) -> None:
        self.kept = kept

    def __call__(self, attn: Any, hidden_states: torch.Tensor, encoder_hidden_states: torch.Tensor, **_: Any) -> torch.Tensor:
        """Output "b n c"."""
        query, key, value = attn.to_q(hidden_states), attn.to_k(encoder_hidden_states), attn.to_v(encoder_hidden_states)
        query, key, value = (attn.head_to_batch_dim(part) for part in (query, key, value))
        matrix = attn.get_attention_scores(query, key)
        self.kept.append(matrix)
        return attn.to_out[0](attn.batch_to_head_dim(torch.bmm(matrix, value)))


def tiny_amused(seed: int = 0, device: str | torch.device = "cpu") -> tuple[LargeBackend, Any]:
    """Our backend and diffusers' AmusedPipeline around the same modules with random weights (16 x 16 tokens).

    Args:
        seed: of the weights.
        device: where both run.
    """
    from diffusers.models.autoencoders.vq_model import VQModel
    from diffusers.models.unets.uvit_2d import UVit2DModel
    from diffusers.pipelines.deprecated.amused.pipeline_amused import AmusedPipeline
    from diffusers.schedulers.scheduling_amused import AmusedScheduler
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

    letters = list("abcdefghijklmnopqrstuvwxyz")
    pieces = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer({piece: i for i, piece in enumerate(pieces)}, [], model_max_length=77)
    # The weights come from torch's global generator; it is put back as it was.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        transformer = UVit2DModel(
            hidden_size=_WIDTH,
            cond_embed_dim=32,
            micro_cond_encode_dim=16,
            micro_cond_embed_dim=5 * 16,
            encoder_hidden_size=32,
            vocab_size=_CODES + 8,
            codebook_size=_CODES,
            in_channels=_WIDTH,
            block_out_channels=_WIDTH,
            num_res_blocks=1,
            block_num_heads=_HEADS,
            num_hidden_layers=_LAYERS,
            num_attention_heads=_HEADS,
            intermediate_size=2 * _WIDTH,
            sample_size=_GRID,
        )
        vq = VQModel(
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            block_out_channels=(16, 16, 16),
            latent_channels=16,
            sample_size=4 * _GRID,
            num_vq_embeddings=_CODES,
            norm_num_groups=8,
            mid_block_add_attention=False,
            lookup_from_codebook=True,
        )
        text_config = CLIPTextConfig(
            vocab_size=len(pieces),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            projection_dim=32,
            max_position_embeddings=77,
            bos_token_id=len(pieces) - 2,
            eos_token_id=len(pieces) - 1,
            pad_token_id=len(pieces) - 1,
        )
        encoder = CLIPTextModelWithProjection(text_config)
    models: list[Any] = [transformer, vq, encoder]
    for model in models:
        model.eval().to(device)
    scheduler = AmusedScheduler(mask_token_id=_CODES + 7)
    pipeline: Any = AmusedPipeline(vqvae=vq, tokenizer=tokenizer, text_encoder=encoder, transformer=transformer, scheduler=scheduler)
    pipeline.set_progress_bar_config(disable=True)
    network = AmusedNetwork(transformer)
    info = ModelInfo(
        id="amused-random",
        title="aMUSEd, random weights",
        weight_hash="0" * 16,
        grid=(_GRID, _GRID),
        codebook_size=_CODES,
        image_size_px=(4 * _GRID, 4 * _GRID),
        attention_grid=(_GRID, _GRID),
        single_layers=len(network.heads),
        num_heads=_HEADS,
        default_steps=12,
        default_guidance_scale=10.0,
        default_noise_temperature=(2.0, 0.0),
        default_schedule="cosine_float32",
    )
    facts = NetworkFacts(network.heads, network.main_layers, joint=False, attention_grid=(_GRID, _GRID), blur=1.0)
    text = ClipText(tokenizer, encoder)
    backend = LargeBackend(info, facts, text, network, VqPictures(vq), _CODES + 7, torch.device(device))
    return backend, pipeline


def against_diffusers(rounds: int, device: str | torch.device = "cpu", num_steps: int = 12) -> list[Timing]:
    """One picture with AmusedPipeline (the reference), with eager attention kept, and with ours: plain, guided, fully traced."""
    backend, pipeline = tiny_amused(0, device)
    prompt = parse_prompt(PROMPT, backend)
    plain = DecodingConfig(num_steps=num_steps, guidance_scale=10.0)
    guided = plain.with_(order="uncage")
    attentions = [module for _, module in AmusedNetwork(pipeline.transformer).text_attentions()]

    def rival() -> None:
        generator = torch.Generator("cpu").manual_seed(0)
        pipeline(PROMPT, num_inference_steps=num_steps, guidance_scale=10.0, generator=generator, output_type="np")

    def rival_keeping_attention() -> list[torch.Tensor]:
        kept: list[torch.Tensor] = []
        saved = [module.processor for module in attentions]
        try:
            for module in attentions:
                module.set_processor(KeepAttention(kept))
            rival()
        finally:
            for module, processor in zip(attentions, saved, strict=True):
                module.set_processor(processor)
        return kept

    def traced() -> None:
        for _ in stream(backend, [Run(prompt, guided)], frames=False, record=RecordOptions()):
            pass

    variants: dict[str, Callable[[], object]] = {
        "diffusers AmusedPipeline": rival,
        "diffusers AmusedPipeline, eager attention kept": rival_keeping_attention,
        "ours, plain decode": lambda: make_images(backend, [prompt], [plain]),
        "ours, guided": lambda: make_images(backend, [prompt], [guided]),
        "ours, guided, full trace": traced,
    }
    return time_paired(variants, rounds, torch.device(device))
