"""aMUSEd behind the backend: capture by processors, word knock-out, and decoding exactly as diffusers' own pipeline decodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.tiny_checkpoints import CODEBOOK, MASK_ID, WIDTH, tiny_uvit, write_amused
from uncage_demo.backends.attention import ColumnRecorder
from uncage_demo.backends.base import Capture
from uncage_demo.backends.large.amused import AmusedNetwork
from uncage_demo.backends.large.backend import LargeBackend
from uncage_demo.backends.large.hub import load_large
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.noise import gumbel, uniforms
from uncage_demo.decoding.sampler import Run, decode
from uncage_demo.types import Prompt

T = 7


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_amused(tmp_path_factory.mktemp("checkpoints") / "tiny-amused")


@pytest.fixture(scope="module")
def backend(folder: Path) -> LargeBackend:
    return load_large(str(folder), image_size_px=32)


def prompt_of(backend: LargeBackend, text: str) -> Prompt:
    tokens, cut = backend.tokenize(text)
    return Prompt(text, tokens, (), truncated=cut)


def inputs() -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(5)
    tokens = torch.randint(0, CODEBOOK, (2, 4, 6), generator=generator)
    tokens[torch.rand(tokens.shape, generator=generator) < 0.5] = MASK_ID
    text, pooled = torch.randn(2, T, WIDTH, generator=generator), torch.randn(2, WIDTH, generator=generator)
    return tokens, text, pooled, torch.tensor([[512.0, 512.0, 0.0, 0.0, 6.0]]).expand(2, -1), torch.zeros(2)


def processors(network: AmusedNetwork) -> list[Any]:
    return [module.processor for _, module in network.text_attentions()]


def test_full_size_text_attentions_on_the_meta_device(monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers.models.unets.uvit_2d import UVit2DModel

    for layer in (torch.nn.Linear, torch.nn.Conv2d, torch.nn.Embedding):
        # On the meta device there is nothing to initialise, but pretending to takes seconds.
        monkeypatch.setattr(layer, "reset_parameters", lambda self: None)
    with torch.device("meta"):
        network = AmusedNetwork(UVit2DModel(downsample=True, upsample=True))
    pairs = network.text_attentions()
    names = [name for name, _ in pairs]
    assert network.main_layers == range(6, 28)
    assert names[6:28] == [f"transformer_layers.{i}.attn2" for i in range(22)]
    for side, found in (("down_block", names[:6]), ("up_block", names[28:])):
        assert found == [f"{side}.attention_blocks.{i}.attn{j}" for i in range(3) for j in (1, 2)]
    assert network.heads == (12,) * 6 + (16,) * 22 + (12,) * 6
    shapes = {name: tuple(value.shape) for name, value in network.model.state_dict().items()}
    for name in names:
        width = 1024 if name.startswith("transformer") else 768  # the convolutional blocks first map the text to their width
        assert all(shapes[f"{name}.{part}.weight"] == (width, width) for part in ("to_q", "to_k", "to_v", "to_out.0"))
    assert shapes["down_block.attention_blocks.0.kv_mapper.weight"] == (768, 1024)
    assert shapes["embed.embeddings.weight"] == (8256, 768)
    assert shapes["mlm_layer.conv2.weight"] == (8192, 768, 1, 1)
    assert 6.0e8 < sum(p.numel() for p in network.parameters()) < 6.1e8


@pytest.mark.parametrize("layers", [(0, 1), (2, 4), (5, 6)])  # of the down block, the transformer, the up block
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("downsample", [False, True])
def test_capture_leaves_the_logits_alone_and_equals_the_whole_softmax(
    downsample: bool, dtype: torch.dtype, layers: tuple[int, ...]
) -> None:
    network = AmusedNetwork(tiny_uvit(downsample).to(dtype))
    batch = inputs()
    seen: dict[int, torch.Tensor] = {}
    columns = [2, 0, 5]

    def watch(layer: int) -> Any:
        def hook(module: Any, args: tuple[torch.Tensor, ...], kwargs: dict[str, torch.Tensor]) -> None:
            query = module.to_q(args[0]).unflatten(-1, (module.heads, -1)).transpose(1, 2).float()
            key = module.to_k(kwargs["encoder_hidden_states"]).unflatten(-1, (module.heads, -1)).transpose(1, 2).float()
            weights = torch.softmax(query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5, dim=-1)
            seen[layer] = weights[1:, :, :, columns].transpose(-1, -2)

        return hook

    attentions = [module for _, module in network.text_attentions()]
    hooks = [attentions[i].register_forward_pre_hook(watch(i), with_kwargs=True) for i in layers]
    recorder = ColumnRecorder(columns, layers, full=True, samples=slice(1, 2))
    before = processors(network)
    with torch.no_grad():
        plain = network(*batch)
        watched = network(*batch, recorder=recorder)
        direct = network.model(batch[0], batch[1].to(dtype), batch[2].to(dtype), batch[3])
    for hook in hooks:
        hook.remove()
    assert torch.equal(plain, watched)
    assert torch.equal(plain, direct.flatten(2).transpose(1, 2))
    assert all(a is b for a, b in zip(before, processors(network), strict=True))
    found = recorder.stacked()
    assert found is not None
    assert found.shape == (1, 2, network.heads[layers[0]], 3, 6 if downsample else 24)
    want = torch.stack([seen[i] for i in layers], dim=1)
    torch.testing.assert_close(found, want, atol=1e-5 if dtype == torch.float32 else 2e-4, rtol=1e-4)


def test_the_backend_reads_the_transformer_by_default_and_everything_on_request(backend: LargeBackend) -> None:
    info = backend.info
    assert (info.single_layers, info.num_heads, info.default_source) == (2 + 3 + 2, 2, "layers:2-4")
    condition = backend.encode_prompt(prompt_of(backend, "a red turtle"))
    tokens = torch.full((1, 64), MASK_ID)

    def read(source: str, full: bool = False) -> Any:
        return backend.forward(tokens, 0, 4, [condition], capture=Capture(source, (1, 3, 2), full))

    assert torch.equal(read("default").attention, read("layers:2-4").attention)
    each = torch.stack([read(f"layers:{i}-{i}").attention for i in range(7)])
    torch.testing.assert_close(read("all").attention, each.mean(dim=0), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(read("default").attention, each[2:5].mean(dim=0), atol=1e-6, rtol=1e-5)
    assert (each - each.mean(dim=0)).abs().amax(dim=(1, 2, 3)).min() > 1e-4  # every layer counts
    assert read("layers:5-6", full=True).attention_full.shape == (1, 2, 4, 3, 64)
    assert read("default", full=True).attention_full.shape == (1, 3, 2, 3, 64)
    with pytest.raises(ValueError, match=r'2 or 4 heads.*such as "layers:2-4"'):
        read("all", full=True)
    with pytest.raises(ValueError, match="has layers 0 to 6"):
        read("layers:3-7")


def test_processors_are_restored_when_a_forward_raises() -> None:
    network = AmusedNetwork(tiny_uvit())
    before = processors(network)
    mask = torch.ones(2, T, dtype=torch.bool)

    def fail(*_: Any) -> None:
        assert processors(network)[0] is not before[0]  # ours were in place when it happened
        raise RuntimeError("in the middle of a step")

    hook = network.model.transformer_layers[1].register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="in the middle"):
        network(*inputs(), text_mask=mask, recorder=ColumnRecorder([0], [0, 1, 2]))
    hook.remove()
    assert all(a is b for a, b in zip(before, processors(network), strict=True))


def test_a_hidden_text_token_has_no_influence() -> None:
    network = AmusedNetwork(tiny_uvit())
    tokens, text, pooled, micro, time = inputs()
    mask = torch.ones(2, T, dtype=torch.bool)
    mask[1, 3] = False
    changed = text.clone()
    changed[:, 3] += 1.0
    with torch.no_grad():
        hidden = network(tokens, text, pooled, micro, time, mask)
        hidden_changed = network(tokens, changed, pooled, micro, time, mask)
        everything = network(tokens, text, pooled, micro, time, torch.ones_like(mask))
        plain = network(tokens, text, pooled, micro, time)
    assert torch.equal(hidden[1], hidden_changed[1])
    assert not torch.equal(hidden[0], hidden_changed[0])
    torch.testing.assert_close(everything, plain, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("num_steps", [5, 8, 12, 48, 64])
def test_decoding_equals_the_pipeline_of_diffusers(
    folder: Path, backend: LargeBackend, num_steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Same weights, same noise: the pipeline's sampling reads our random numbers, everything else in it is its own.

    12 and 48 are numbers that 3 divides: there the pipeline's float32 counts one position fewer than exact arithmetic at one step.
    """
    import diffusers.schedulers.scheduling_amused as theirs
    from diffusers.pipelines.deprecated.amused.pipeline_amused import AmusedPipeline
    from diffusers.schedulers.scheduling_amused import AmusedScheduler

    seed, text, count = 11, "a red turtle", 64
    config = DecodingConfig("meissonic", num_steps, seed, guidance_scale=10.0, noise_temperature=(2.0, 0.0), schedule="cosine_float32")
    prompt = prompt_of(backend, text)
    records = list(decode(backend, Run(prompt, config)))
    ours = [np.where(r.masked_before & ~r.committed, MASK_ID, r.sampled).reshape(8, 8) for r in records]

    calls = {"token": 0, "order": 0}

    def draw(probabilities: torch.Tensor, samples: int, generator: Any = None) -> torch.Tensor:
        wanted = torch.from_numpy(uniforms(seed, calls["token"], "token", count))[:, None]
        calls["token"] += 1
        return torch.searchsorted(probabilities.double().cumsum(-1), wanted, right=True)

    def noise(like: torch.Tensor, generator: Any = None) -> torch.Tensor:
        calls["order"] += 1
        return torch.from_numpy(gumbel(seed, calls["order"] - 1, count))[None].to(like)

    monkeypatch.setattr(torch, "multinomial", draw)
    monkeypatch.setattr(theirs, "gumbel_noise", noise)
    network: Any = backend.network
    pipeline: Any = AmusedPipeline(
        vqvae=backend.pictures.model,
        tokenizer=backend.text.tokenizer,
        text_encoder=backend.text.encoder,
        transformer=network.model,
        scheduler=AmusedScheduler(mask_token_id=MASK_ID),
    )
    pipeline.set_progress_bar_config(disable=True)
    states: list[np.ndarray] = []
    image = pipeline(
        text,
        height=32,
        width=32,
        num_inference_steps=num_steps,
        guidance_scale=10.0,
        temperature=(2, 0),
        callback=lambda step, timestep, latents: states.append(latents[0].numpy().copy()),
    ).images[0]
    assert calls == {"token": num_steps, "order": num_steps - 1}
    for step, (our, their) in enumerate(zip(ours, states, strict=True)):
        np.testing.assert_array_equal(our, their, err_msg=f"after step {step}")
    np.testing.assert_array_equal(backend.decode_tokens(torch.from_numpy(ours[-1])[None])[0], np.asarray(image))


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_half_precision_decodes(folder: Path, dtype: str) -> None:
    backend = load_large(str(folder), image_size_px=16, dtype=dtype)
    prompt = prompt_of(backend, "a red turtle")
    records = list(decode(backend, Run(prompt, DecodingConfig(num_steps=3))))
    assert len(records) == 3
    assert all(np.isfinite(r.confidence).all() for r in records)
    attention = records[0].attention
    assert attention is not None
    assert attention.dtype == np.float32
    full = backend.forward(torch.full((1, 16), MASK_ID), 0, 3, [backend.encode_prompt(prompt)], capture=Capture()).attention
    assert full is not None
    torch.testing.assert_close(full.sum(dim=1), torch.ones(1, 16), atol=2e-3, rtol=0)


def test_a_truncated_or_foreign_checkpoint_is_named(tmp_path: Path) -> None:
    from diffusers.models.unets.uvit_2d import UVit2DModel
    from safetensors.torch import load_file, save_file

    from uncage_demo.backends.large.amused import load_diffusers

    tiny_uvit().save_pretrained(tmp_path)
    path = tmp_path / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    lost = "transformer_layers.1.attn2.to_q.weight"
    save_file({name: value for name, value in tensors.items() if name != lost}, path)
    with pytest.raises(ValueError, match=lost.replace(".", r"\.")):
        load_diffusers(UVit2DModel, tmp_path, torch.float32)
    save_file(tensors | {"foreign.weight": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match=r"foreign\.weight"):
        load_diffusers(UVit2DModel, tmp_path, torch.float32)
    save_file(tensors | {lost: torch.zeros(3, 3)}, path)
    with pytest.raises(ValueError, match="transformer_layers"):
        load_diffusers(UVit2DModel, tmp_path, torch.float32)
    save_file(tensors, path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ValueError, match=r"diffusion_pytorch_model\.safetensors: truncated"):
        load_diffusers(UVit2DModel, tmp_path, torch.float32)
