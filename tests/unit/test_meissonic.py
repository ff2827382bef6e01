"""The Meissonic transformer: published names and shapes, the forward against diffusers' own blocks, loading, capture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from tests.tiny_checkpoints import MASK_ID, WIDTH, tiny_config, tiny_transformer, write_transformer
from uncage_demo.backends.attention import ColumnRecorder
from uncage_demo.backends.large.meissonic import load_transformer
from uncage_demo.backends.large.meissonic_layers import rotary_angles, rotate
from uncage_demo.backends.large.meissonic_transformer import MeissonicTransformer, TransformerConfig

T = 9


def expected_shapes(
    double: int, single: int, c: int, d: int, text: int, pooled: int, vocab: int, codebook: int
) -> dict[str, tuple[int, ...]]:
    """Published names and shapes, written down by rule: every linear layer has a bias unless listed as plain."""
    linear = {
        "context_embedder": (c, text),
        "time_text_embed.timestep_embedder.linear_1": (c, 256),
        "time_text_embed.timestep_embedder.linear_2": (c, c),
        "time_text_embed.text_embedder.linear_1": (c, pooled),
        "time_text_embed.text_embedder.linear_2": (c, c),
    }
    plain = {
        "cond_embed.linear_1": (c, 5 * 256 + pooled),
        "cond_embed.linear_2": (c, c),
        "embed.embeddings": (vocab, c),
        "embed.layer_norm": (c,),
        "embed.conv": (c, c, 1, 1),
        "encoder_proj_layer_norm": (c,),
        "project_to_hidden_norm": (c,),
        "project_to_hidden": (c, c),
        "project_from_hidden_norm": (c,),
        "project_from_hidden": (c, c),
        "mlm_layer.conv1": (c, c, 1, 1),
        "mlm_layer.layer_norm": (c,),
        "mlm_layer.conv2": (codebook, c, 1, 1),
        "down_block.downsample.norm": (c,),
        "down_block.downsample.conv": (c, c, 2, 2),
        "up_block.upsample.norm": (c,),
        "up_block.upsample.conv": (c, c, 2, 2),
    }
    for i in range(double):
        block = f"transformer_blocks.{i}"
        linear |= {f"{block}.{name}.linear": (6 * c, c) for name in ("norm1", "norm1_context")}
        square = ("to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj", "to_out.0", "to_add_out")
        linear |= {f"{block}.attn.{name}": (c, c) for name in square}
        plain |= {f"{block}.attn.{name}": (d,) for name in ("norm_q", "norm_k", "norm_added_q", "norm_added_k")}
        for name in ("ff", "ff_context"):
            linear |= {f"{block}.{name}.net.0.proj": (4 * c, c), f"{block}.{name}.net.2": (c, 4 * c)}
    for i in range(single):
        block = f"single_transformer_blocks.{i}"
        linear |= {f"{block}.norm.linear": (3 * c, c), f"{block}.proj_mlp": (4 * c, c), f"{block}.proj_out": (c, 5 * c)}
        linear |= {f"{block}.attn.{name}": (c, c) for name in ("to_q", "to_k", "to_v")}
        plain |= {f"{block}.attn.{name}": (d,) for name in ("norm_q", "norm_k")}
    shapes = {f"{name}.weight": shape for name, shape in (linear | plain).items()}
    return shapes | {f"{name}.bias": shape[:1] for name, shape in linear.items()}


def test_full_size_names_and_shapes_on_the_meta_device() -> None:
    with torch.device("meta"):
        model = MeissonicTransformer(TransformerConfig())
    found = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert found == expected_shapes(14, 28, 1024, 128, 1024, 1024, 8256, 8192)
    assert 1.0e9 < sum(p.numel() for p in model.parameters()) < 1.01e9  # "1B parameters"


def test_monetico_has_no_resampling_layers() -> None:
    with torch.device("meta"):
        names = set(MeissonicTransformer(TransformerConfig(downsample=False, upsample=False)).state_dict())
    full = set(expected_shapes(14, 28, 1024, 128, 1024, 1024, 8256, 8192))
    assert full - names == {f"{part}.{name}.weight" for part in ("down_block.downsample", "up_block.upsample") for name in ("norm", "conv")}


def inputs(height: int = 6, width: int = 4, batch: int = 2) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(3)
    tokens = torch.randint(0, 24, (batch, height, width), generator=generator)
    tokens[torch.rand(tokens.shape, generator=generator) < 0.5] = MASK_ID
    text, pooled = torch.randn(batch, T, WIDTH, generator=generator), torch.randn(batch, WIDTH, generator=generator)
    micro = torch.tensor([[1024.0, 768.0, 0.0, 0.0, 6.0]]).expand(batch, -1)
    return tokens, text, pooled, micro, torch.full((batch,), 37.0)


@torch.no_grad()
def reference(model: MeissonicTransformer, batch: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """The same forward put together from diffusers' own layers, weights loaded strictly by name."""
    from diffusers.models.downsampling import Downsample2D
    from diffusers.models.embeddings import CombinedTimestepTextProjEmbeddings, TimestepEmbedding, get_timestep_embedding
    from diffusers.models.normalization import RMSNorm
    from diffusers.models.transformers.transformer_flux import FluxPosEmbed, FluxSingleTransformerBlock, FluxTransformerBlock
    from diffusers.models.unets.uvit_2d import ConvMlmLayer, UVit2DConvEmbed
    from diffusers.models.upsampling import Upsample2D

    tokens, text, pooled, micro, timestep = batch
    config, weights = model.config, model.state_dict()
    c, heads, d = config.width, config.num_attention_heads, config.attention_head_dim

    def load(layer: torch.nn.Module, prefix: str) -> torch.nn.Module:
        start = prefix + "."
        layer.load_state_dict({name.removeprefix(start): value for name, value in weights.items() if name.startswith(start)})
        return layer.eval()

    sampling = {"padding": 0, "kernel_size": 2, "norm_type": "rms_norm", "eps": 1e-6, "elementwise_affine": True, "bias": False}
    b, height, width = tokens.shape
    micro_embedding = get_timestep_embedding(micro.flatten(), 256, flip_sin_to_cos=True, downscale_freq_shift=0).reshape(b, -1)
    condition = load(TimestepEmbedding(1280 + c, c, sample_proj_bias=False), "cond_embed")(torch.cat([pooled, micro_embedding], dim=1))
    embedding = load(CombinedTimestepTextProjEmbeddings(c, c), "time_text_embed")(timestep * 1000, condition)
    image = load(UVit2DConvEmbed(c, c, config.vocab_size, True, 1e-6, False), "embed")(tokens)
    if config.downsample:
        image = load(Downsample2D(c, use_conv=True, name="Conv2d_0", **sampling), "down_block.downsample")(image)
        height, width = height // 2, width // 2
    image = load(RMSNorm(c, 1e-6), "project_to_hidden_norm")(image.permute(0, 2, 3, 1).reshape(b, height * width, c))
    image = F.linear(image, weights["project_to_hidden.weight"])
    text = F.linear(text, weights["context_embedder.weight"], weights["context_embedder.bias"])
    text = load(RMSNorm(c, 1e-6), "encoder_proj_layer_norm")(text)
    ids = torch.zeros(height, width, 3)
    ids[..., 1] += torch.arange(height)[:, None]
    ids[..., 2] += torch.arange(width)
    rotary = FluxPosEmbed(10000, list(config.axes_dims_rope))(torch.cat([torch.zeros(text.shape[1], 3), ids.reshape(-1, 3)]))
    for i in range(config.num_layers):
        block = load(FluxTransformerBlock(c, heads, d), f"transformer_blocks.{i}")
        text, image = block(hidden_states=image, encoder_hidden_states=text, temb=embedding, image_rotary_emb=rotary)
    for i in range(config.num_single_layers):
        block = load(FluxSingleTransformerBlock(c, heads, d), f"single_transformer_blocks.{i}")
        text, image = block(hidden_states=image, encoder_hidden_states=text, temb=embedding, image_rotary_emb=rotary)
    image = F.linear(load(RMSNorm(c, 1e-6), "project_from_hidden_norm")(image), weights["project_from_hidden.weight"])
    image = image.reshape(b, height, width, c).permute(0, 3, 1, 2)
    if config.upsample:
        image = load(Upsample2D(c, use_conv_transpose=True, name="conv", interpolate=False, **sampling), "up_block.upsample")(image)
    return load(ConvMlmLayer(c, c, False, True, 1e-6, config.codebook_size), "mlm_layer")(image).flatten(2).transpose(1, 2)


@pytest.mark.parametrize("downsample", [False, True])
def test_forward_equals_the_same_network_built_of_diffusers_layers(downsample: bool) -> None:
    model = tiny_transformer(downsample)
    tokens, text, pooled, micro, timestep = inputs()
    with torch.no_grad():
        ours = model(tokens, text, pooled, micro, timestep)
        other = model(tokens, text, pooled, micro, timestep - 1)
    torch.testing.assert_close(ours, reference(model, (tokens, text, pooled, micro, timestep)), atol=2e-5, rtol=1e-4)
    assert (ours - other).abs().max() > 1e-3  # the timestep is heard
    assert ours.shape == (2, 24, 24)


def test_state_dict_round_trip(tmp_path: Path) -> None:
    folder = write_transformer(tmp_path / "transformer", downsample=True)
    model = load_transformer(folder, torch.float32)
    want = tiny_transformer(downsample=True).state_dict()
    assert model.config == tiny_config(downsample=True)
    assert all(torch.equal(value, want[name]) for name, value in model.state_dict().items())
    assert {name: tuple(v.shape) for name, v in want.items()} == expected_shapes(2, 3, WIDTH, 16, WIDTH, WIDTH, 32, 24)


def test_sharded_weights_load(tmp_path: Path) -> None:
    folder = write_transformer(tmp_path / "transformer")
    single = folder / "diffusion_pytorch_model.safetensors"
    tensors = load_file(single)
    names = sorted(tensors)
    parts = {"one.safetensors": names[::2], "two.safetensors": names[1::2]}
    for file, part in parts.items():
        save_file({name: tensors[name] for name in part}, folder / file)
    single.unlink()
    index = {"weight_map": {name: file for file, part in parts.items() for name in part}}
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    model = load_transformer(folder, torch.float32)
    assert all(torch.equal(value, tensors[name]) for name, value in model.state_dict().items())
    (folder / "two.safetensors").unlink()
    with pytest.raises(ValueError, match=r"two\.safetensors"):
        load_transformer(folder, torch.float32)


@pytest.mark.parametrize(
    "damage", ["missing", "unknown", "shape", "truncated", "garbage", "no file", "no config", "bad json", "pickle only"]
)
def test_wrong_checkpoints_are_named(tmp_path: Path, damage: str) -> None:
    folder = write_transformer(tmp_path / "transformer")
    path = folder / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    match = r"diffusion_pytorch_model\.safetensors"
    if damage == "missing":
        del tensors["transformer_blocks.1.attn.to_add_out.weight"]
        save_file(tensors, path)
        match = r"1 tensors missing: transformer_blocks\.1\.attn\.to_add_out\.weight"
    elif damage == "unknown":
        save_file(tensors | {"extra.weight": torch.zeros(1)}, path)
        match = r"1 tensors unknown: extra\.weight"
    elif damage == "shape":
        save_file(tensors | {"embed.embeddings.weight": torch.zeros(3, WIDTH)}, path)
        match = r"embed\.embeddings\.weight is \(3, 32\), not \(32, 32\)"
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
        match = "truncated"
    elif damage == "garbage":
        path.write_bytes(b"no weights here")
        match = "truncated or not a safetensors file"
    elif damage == "no file":
        path.unlink()
    elif damage == "pickle only":
        path.rename(folder / "diffusion_pytorch_model.bin")
        match = r"only diffusion_pytorch_model\.bin.*python -c"
    elif damage == "no config":
        (folder / "config.json").unlink()
        match = "not a complete checkpoint"
    else:
        (folder / "config.json").write_text("{")
        match = "cannot be read as JSON"
    with pytest.raises(ValueError, match=match):
        load_transformer(folder, torch.float32)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"axes_dims_rope": (4, 6, 8)}, "axes_dims_rope"),
        ({"axes_dims_rope": (5, 5, 6)}, "even"),
        ({"patch_size": 2}, "patch_size=2"),
        ({"guidance_embeds": True}, "guidance_embeds=True"),
        ({"pooled_projection_dim": 0}, "pooled_projection_dim=0"),
        ({"tokenizer_vocab_size": "all"}, "tokenizer_vocab_size='all'"),
        ({"upsample": True}, "upsample=True"),
        ({"vocab_size": 24}, "vocab_size=24"),
    ],
)
def test_settings_that_are_not_supported_are_named(change: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        tiny_config(**change)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("downsample", [False, True])
def test_capture_leaves_the_logits_alone_and_equals_the_whole_softmax(downsample: bool, dtype: torch.dtype) -> None:
    model = tiny_transformer(downsample).to(dtype)
    batch = inputs()
    columns, layers = [1, 4, 2], [1, 2]
    recorder = ColumnRecorder(columns, layers, full=True, rows=slice(T, None), samples=slice(1, 2))
    seen: list[torch.Tensor] = []
    attend = ColumnRecorder.attend

    def spy(self: ColumnRecorder, layer: int, query: torch.Tensor, key: torch.Tensor, *rest: Any) -> torch.Tensor:
        if layer in layers:
            weights = torch.softmax(query.float() @ key.float().transpose(-1, -2) / 16**0.5, dim=-1)
            seen.append(weights[1:2, :, T:, columns].transpose(-1, -2))
        return attend(self, layer, query, key, *rest)

    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        plain = model(*batch)
        patch.setattr(ColumnRecorder, "attend", spy)
        watched = model(*batch, recorder=recorder)
    assert plain.dtype == dtype
    assert plain.isfinite().all()
    assert torch.equal(plain, watched)
    found, want = recorder.stacked(), torch.stack(seen, dim=1)
    assert found is not None
    assert found.dtype == torch.float32
    assert found.shape == (1, 2, 2, 3, 6 if downsample else 24)
    torch.testing.assert_close(found, want, atol=1e-5 if dtype == torch.float32 else 1e-4, rtol=1e-4)
    torch.testing.assert_close(recorder.mean(), want.mean(dim=(1, 2)), atol=1e-4, rtol=1e-4)


def test_a_hidden_text_token_has_no_influence() -> None:
    model = tiny_transformer()
    tokens, text, pooled, micro, timestep = inputs()
    mask = torch.ones(2, T, dtype=torch.bool)
    mask[1, 4] = False
    changed = text.clone()
    changed[:, 4] += 1.0
    with torch.no_grad():
        hidden = model(tokens, text, pooled, micro, timestep, mask)
        hidden_changed = model(tokens, changed, pooled, micro, timestep, mask)
    assert torch.equal(hidden[1], hidden_changed[1])
    assert (hidden[0] - hidden_changed[0]).abs().max() > 1e-4


def test_a_grid_that_cannot_be_halved_is_refused() -> None:
    tokens, text, pooled, micro, timestep = inputs(5, 4)
    with pytest.raises(ValueError, match=r"\(5, 4\)"):
        tiny_transformer(True)(tokens, text, pooled, micro, timestep)


def test_rotation_depends_on_relative_position_only() -> None:
    rotation = rotary_angles(2, 4, 5, (4, 6, 6), torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(16, generator=generator), torch.randn(16, generator=generator)
    rotated_query = rotate(query.expand(1, 1, 22, 16), rotation)[0, 0]
    rotated_key = rotate(key.expand(1, 1, 22, 16), rotation)[0, 0]
    at = lambda y, x: 2 + 5 * y + x  # noqa: E731
    one = rotated_query[at(1, 1)] @ rotated_key[at(2, 3)]
    torch.testing.assert_close(one, rotated_query[at(2, 2)] @ rotated_key[at(3, 4)], atol=1e-5, rtol=1e-4)
    assert abs(one - rotated_query[at(1, 1)] @ rotated_key[at(3, 2)]) > 1e-3
    assert torch.equal(rotated_query[0], query)
