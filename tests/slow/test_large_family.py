"""The family's newer members (Muddit, Di[M]O), the models' own encoders, adapters, and values that are not finite."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.tiny_checkpoints import CODEBOOK, MASK_ID, tiny_uvit, write_amused, write_meissonic, write_muddit
from uncage_demo.backends.large import hub
from uncage_demo.backends.large.catalog import CatalogEntry
from uncage_demo.backends.large.download import ModelUnavailable
from uncage_demo.backends.large.hub import load_large
from uncage_demo.backends.large.meissonic_transformer import MeissonicTransformer, TransformerConfig
from uncage_demo.backends.options import AUTHORS_NEGATIVE, ModelOptions
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.noise import random_start
from uncage_demo.decoding.run import Run, Start
from uncage_demo.decoding.sampler import decode
from uncage_demo.prompt.parse import parse_prompt
from uncage_demo.runner import compare, generate

TEXT = "a red turtle and a blue apple"


@pytest.fixture(scope="module")
def meissonic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_meissonic(tmp_path_factory.mktemp("meissonic") / "tiny", downsample=True)


@pytest.fixture(scope="module")
def one_step(meissonic: Path) -> Any:
    return load_large(str(meissonic), image_size_px=32, family="dimo")


@pytest.fixture(scope="module", params=["meissonic", "amused"])
def plain(request: pytest.FixtureRequest, meissonic: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = meissonic if request.param == "meissonic" else write_amused(tmp_path_factory.mktemp("amused") / "tiny")
    return load_large(str(folder), image_size_px=32)


def test_muddit_has_one_tensor_more_at_full_size() -> None:
    with torch.device("meta"):
        base, muddit = (MeissonicTransformer(TransformerConfig(tokenizer_vocab_size=words)).state_dict() for words in (None, 49408))
    assert set(muddit) - set(base) == {"text_decoder.1.weight"}
    assert tuple(muddit["text_decoder.1.weight"].shape) == (49408, 1024)


def test_muddit_is_meissonic_with_another_timestep(tmp_path: Path, meissonic: Path) -> None:
    muddit = load_large(str(write_muddit(tmp_path / "muddit")), image_size_px=32)
    other = load_large(str(meissonic), image_size_px=32)
    seen: list[float] = []
    forward = muddit.network.forward
    muddit.network.forward = lambda *inputs: (seen.append(float(inputs[4][0])), forward(*inputs))[1]  # type: ignore[method-assign]
    tokens = torch.full((1, 64), MASK_ID)
    given = [muddit.encode_prompt(parse_prompt(TEXT, muddit))]
    with torch.no_grad():
        logits = {steps: muddit.forward(tokens, 1, steps, given, unconditional=False).cond for steps in (4, 2)}
    assert seen == [0.5, 0.0]
    # at T = 2, step 1 both count zero, so that the same weights give the same logits
    assert torch.equal(logits[2], other.forward(tokens, 1, 2, given, unconditional=False).cond)
    assert not torch.equal(logits[4], other.forward(tokens, 1, 4, given, unconditional=False).cond)
    assert not [name for name in muddit.network.state_dict() if name.startswith("text_decoder")]  # pictures do not need it
    assert (muddit.info.default_steps, muddit.info.default_guidance_scale) == (64, 9.0)


def test_a_transformer_alone_takes_the_rest_from_meissonic(tmp_path: Path) -> None:
    """Muddit's repository holds 512/transformer and 1024/transformer and nothing else."""
    repository = tmp_path / "Muddit"
    write_muddit(tmp_path / "whole", downsample=False)
    (repository / "512").mkdir(parents=True)
    shutil.move(tmp_path / "whole" / "transformer", repository / "512" / "transformer")
    with pytest.raises(ModelUnavailable, match="MeissonFlow/Meissonic is not on this machine"):
        load_large(str(repository), download=False)
    for part in ("vqvae", "tokenizer", "scheduler", "text_encoder"):
        shutil.move(tmp_path / "whole" / part, repository / "512" / part)
    assert load_large(str(repository), image_size_px=32).info.id == "Muddit"


def test_a_published_model_draws_at_its_published_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether Muddit 512 halves its grid, its authors' code and scripts do not agree; its pictures have 512 pixels either way."""
    for downsample in (False, True):
        folder = write_muddit(tmp_path / str(downsample), downsample=downsample)
        entry = CatalogEntry("muddit-512", "Muddit 512", "muddit", "", source=str(folder))
        monkeypatch.setattr(hub, "find", lambda name, entry=entry: entry)
        backend = load_large("muddit-512")
        assert backend.info.image_size_px == (512, 512)
        assert backend.options.image_size_px is None


def test_one_step_is_a_run_of_one_step(one_step: Any) -> None:
    prompt = parse_prompt(TEXT, one_step)
    trace = generate(one_step, prompt, DecodingConfig())
    assert trace.config["num_steps"] == 1
    assert trace.config["guidance_scale"] == 1.0
    assert len(trace.steps) == 1
    assert trace.steps[0].committed.all()
    assert (trace.unmask_step == 0).all()
    again, other = generate(one_step, prompt, DecodingConfig()), generate(one_step, prompt, DecodingConfig(seed=1))
    np.testing.assert_array_equal(trace.image, again.image)
    assert (trace.tokens != other.tokens).any()
    pair = compare(one_step, prompt, [DecodingConfig("uncage"), DecodingConfig("random")])
    for run in pair:  # no order has anything to decide
        np.testing.assert_array_equal(run.tokens, trace.tokens)


def test_one_step_sees_a_partly_random_grid_and_noise_on_it(one_step: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []
    forward = one_step.network.forward
    monkeypatch.setattr(one_step.network, "forward", lambda *inputs: (seen.append(inputs[0]), forward(*inputs))[1])
    run = Run(parse_prompt(TEXT, one_step), DecodingConfig(seed=3))
    record = next(decode(one_step, run))
    want = random_start(3, 64, CODEBOOK, 0.6)
    np.testing.assert_array_equal(seen[0].flatten().numpy(), np.where(want < 0, MASK_ID, want))
    assert (want < 0).sum() == round(0.6 * 64)
    assert len(set(want[want >= 0].tolist())) > 5
    assert (record.sampled[want >= 0] != want[want >= 0]).any()  # what was shown is drawn anew, too
    quiet = [next(decode(one_step, run)).confidence]
    monkeypatch.setattr(one_step.network, "embedding_noise", 0.0)
    assert not np.array_equal(quiet[0], next(decode(one_step, run)).confidence)


def test_what_one_step_cannot_do_is_said(one_step: Any, meissonic: Path) -> None:
    prompt = parse_prompt(TEXT, one_step)
    with pytest.raises(ValueError, match=r"num_steps=8: tiny draws every position in one step, so give 1"):
        generate(one_step, prompt, DecodingConfig(num_steps=8))
    tokens = np.full(64, -1)
    assert generate(one_step, prompt, DecodingConfig(), start=Start(tokens)).config["num_steps"] == 1
    tokens[3] = 1
    with pytest.raises(ValueError, match=r"start\.tokens: tiny draws every position anew"):
        generate(one_step, prompt, DecodingConfig(), start=Start(tokens))
    with pytest.raises(ValueError, match="holds a model of the meissonic family, expected amused"):
        load_large(str(meissonic), family="amused")
    assert load_large(str(meissonic), image_size_px=32).random_start is None


def test_the_authors_settings_hold_where_nothing_is_asked_for(plain: Any) -> None:
    amused = plain.negative_prompt == ""
    trace = generate(plain, parse_prompt(TEXT, plain), DecodingConfig("meissonic", num_steps=None if amused else 3), frames=False)
    want = (12, 10.0) if amused else (3, 9.0)
    assert (trace.config["num_steps"], trace.config["guidance_scale"]) == want
    assert (trace.config["schedule"], list(trace.config["noise_temperature"])) == ("cosine_float32", [2.0, 0.0])
    assert plain.negative_prompt == ("" if amused else AUTHORS_NEGATIVE)
    assert plain.info.default_steps == (12 if amused else 64)


def test_guidance_holds_only_above_one(plain: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = parse_prompt(TEXT, plain)
    rows: list[int] = []
    forward = plain.network.forward
    monkeypatch.setattr(plain.network, "forward", lambda *inputs: (rows.append(len(inputs[0])), forward(*inputs))[1])
    traces = [generate(plain, prompt, DecodingConfig(num_steps=2, guidance_scale=g), frames=False) for g in (0.0, 0.5, 1.0, 1.5)]
    assert rows == [1, 1, 1, 1, 1, 1, 2, 2]
    assert [trace.config["guidance_scale"] for trace in traces] == [1.0, 1.0, 1.0, 1.5]
    np.testing.assert_array_equal(traces[0].tokens, traces[2].tokens)


def test_encode_image_is_the_vq_encoders_nearest_codes(plain: Any) -> None:
    generator = np.random.default_rng(0)
    picture = generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    ids = plain.encode_image(picture)
    assert ids.shape == (8, 8)
    assert ids.dtype == np.int64
    vq = plain.pictures.model
    with torch.no_grad():
        latents = vq.encode(torch.from_numpy(picture).permute(2, 0, 1)[None] / 255).latents[0].permute(1, 2, 0)
    book = vq.quantize.embedding.weight
    far = ((latents[:, :, None] - book) ** 2).sum(-1)
    np.testing.assert_array_equal(ids, far.argmin(-1).numpy())
    assert len(np.unique(ids)) > 1
    for wrong, says in ((picture[:16], "give uint8 of shape"), (picture.astype(np.float32), "float32"), ("a.png", "picture is str")):
        with pytest.raises(ValueError, match=says):
            plain.encode_image(wrong)


def test_a_picture_can_be_masked_in_part_and_drawn_again(plain: Any) -> None:
    ids = plain.encode_image(np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)).reshape(-1)
    start = np.where(np.arange(64) < 20, -1, ids)
    trace = generate(plain, parse_prompt(TEXT, plain), DecodingConfig(num_steps=2), start=Start(start), frames=False)
    np.testing.assert_array_equal(trace.tokens.reshape(-1)[20:], ids[20:])


def test_values_that_are_not_finite_are_named(plain: Any) -> None:
    prompt = [plain.encode_prompt(parse_prompt(TEXT, plain))]
    tokens = torch.full((1, 64), MASK_ID)
    name, weight = next((n, p) for n, p in plain.network.named_parameters() if p.ndim == 2)
    kept = weight.detach().clone()
    try:
        weight.data[0, 0] = torch.nan
        with pytest.raises(FloatingPointError, match=rf"logits of step 1 .* not finite; the weights {name} hold such values"):
            plain.forward(tokens, 0, 4, prompt)
        weight.data.copy_(torch.full_like(kept, 3e38))  # finite, but what is computed with it is not
        with pytest.raises(FloatingPointError, match="the first such layer is "):
            plain.forward(tokens, 0, 4, prompt)
    finally:
        weight.data.copy_(kept)
    assert plain.forward(tokens, 0, 4, prompt).cond.isfinite().all()
    last = plain.pictures.model.decoder.conv_out.bias
    kept = last.detach().clone()
    try:
        last.data[0] = torch.inf
        with pytest.raises(FloatingPointError, match=r"picture of the VQ decoder \(1, 3, 32, 32\) in float32: 1024 of 3072"):
            plain.decode_tokens(torch.zeros(1, 64, dtype=torch.int64))
    finally:
        last.data.copy_(kept)


def test_an_adapter_is_merged(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    folder = write_amused(tmp_path / "tiny")
    config = peft.LoraConfig(r=2, lora_alpha=4, target_modules=["to_q", "to_v"], init_lora_weights=False)
    torch.manual_seed(0)
    adapted = peft.get_peft_model(tiny_uvit(), config)
    adapted.save_pretrained(tmp_path / "adapter")
    want = adapted.merge_and_unload().state_dict()
    plain: Any = load_large(str(folder), image_size_px=32)
    backend: Any = load_large(str(folder), image_size_px=32, lora=str(tmp_path / "adapter"))
    found: Any = backend.network
    changed = [name for name, value in found.model.state_dict().items() if not torch.equal(value, plain.network.model.state_dict()[name])]
    assert changed
    assert all("to_q" in name or "to_v" in name for name in changed)
    for name, value in found.model.state_dict().items():
        torch.testing.assert_close(value, want[name], atol=1e-6, rtol=1e-5)
    assert backend.info.weight_hash != plain.info.weight_hash
    assert json.loads(backend.options.to_text())["lora"] == "adapter"
    weights = tmp_path / "adapter" / "adapter_model.safetensors"
    tensors = load_file(weights)
    lost = sorted(tensors)[0]
    save_file({name: value for name, value in tensors.items() if name != lost}, weights)
    with pytest.raises(ValueError, match=rf"1 tensors missing: .*{lost.split('.')[-2]}"):
        load_large(str(folder), image_size_px=32, lora=str(tmp_path / "adapter"))
    said = tmp_path / "adapter" / "adapter_config.json"
    said.write_text(json.dumps(json.loads(said.read_text()) | {"peft_type": "LOHA"}))
    with pytest.raises(ValueError, match="peft_type is 'LOHA', only LORA"):
        load_large(str(folder), image_size_px=32, lora=str(tmp_path / "adapter"))


def test_adapters_are_of_amused_and_need_peft(tmp_path: Path, meissonic: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    with pytest.raises(ValueError, match="adapters are read for aMUSEd only"):
        load_large(str(meissonic), lora=str(tmp_path))
    folder = write_amused(tmp_path / "tiny")
    with pytest.raises(ModelUnavailable, match=r"no file matches adapter_config\.json"):
        load_large(str(folder), lora=str(tmp_path))
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (tmp_path / name).write_text("{}")
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ValueError, match="adapters need the library peft; install it with: pip install peft"):
        load_large(str(folder), lora=str(tmp_path))


def test_too_little_memory_is_told_with_what_helps(plain: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a first day the likeliest error; nothing here has a GPU, so PyTorch's own error is raised by hand."""
    from uncage_demo.backends.large.memory import what_helps

    prompt = parse_prompt(TEXT, plain)

    def fail(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.00 GiB")

    with monkeypatch.context() as patch:
        patch.setattr(plain.pictures, "decode", fail)
        with pytest.raises(MemoryError, match=r"not enough memory on cpu for the picture decoder of tiny\. What helps: dtype='bfloat16'"):
            generate(plain, prompt, DecodingConfig(num_steps=1))
    with monkeypatch.context() as patch:
        patch.setattr(plain.network, "forward", fail)
        with pytest.raises(MemoryError, match="for a step of 1 x 2 pictures of tiny"):
            generate(plain, prompt, DecodingConfig(num_steps=1))
        patch.setattr(plain.network, "forward", lambda *_: (_ for _ in ()).throw(RuntimeError("another fault")))
        with pytest.raises(RuntimeError, match="another fault"):
            generate(plain, prompt, DecodingConfig(num_steps=1))
    assert generate(plain, prompt, DecodingConfig(num_steps=1)).image.shape == (32, 32, 3)
    said = what_helps(torch.device("cuda"), ModelOptions())
    assert said.startswith("What helps: offload=True (--offload), a smaller image_size_px")
    assert "offload" not in what_helps(torch.device("cuda"), ModelOptions(offload=True))


def test_such_errors_reach_command_line_and_page(
    meissonic: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from uncage_demo.backends.large.pictures import VqPictures
    from uncage_demo.cli import main as cli
    from uncage_demo.ui.errors import explained

    decode = VqPictures.decode

    def fail(pictures: VqPictures, tokens: torch.Tensor) -> np.ndarray:
        if tokens.shape[1:] == (8, 8):  # not the trial that loading makes
            raise torch.OutOfMemoryError("CUDA out of memory")
        return decode(pictures, tokens)

    monkeypatch.setattr(VqPictures, "decode", fail)
    where = ["--model", str(meissonic), "--image-size", "32", "--num-steps", "1", "--device", "cpu", "--out", str(tmp_path / "run")]
    assert cli.main(["generate", TEXT, *where]) == 2
    assert "uncage: error: not enough memory on cpu for the picture decoder of tiny" in capsys.readouterr().err

    def broken(error: Exception) -> None:
        raise error

    for error in (MemoryError("not enough memory on cuda"), FloatingPointError("logits of step 1 are not finite")):
        with pytest.raises(Exception, match=str(error)):
            explained(broken)(error)
    with pytest.raises(Exception, match="Something went wrong on the server"):
        explained(broken)(MemoryError())
    # memory that runs out between forwards, while tokens are drawn
    with pytest.raises(Exception, match=r"not enough memory on the GPU\. What helps: fewer pictures side by side"):
        explained(broken)(torch.OutOfMemoryError("CUDA out of memory"))
    assert cli.explain(torch.OutOfMemoryError("CUDA out of memory")).startswith("not enough memory on the GPU")
