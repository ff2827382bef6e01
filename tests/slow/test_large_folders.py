"""Folders of large models: what they may look like, what is read of them, and errors that name what is wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants

from tests.tiny_checkpoints import tiny_vq, write_amused, write_meissonic
from uncage_demo.backends import load_backend
from uncage_demo.backends.large import hub
from uncage_demo.backends.large.download import ModelUnavailable
from uncage_demo.backends.large.layout import family_of
from uncage_demo.backends.large.weights import load_diffusers, load_text_encoder, load_tokenizer, weight_hash


@pytest.fixture(autouse=True)
def _nothing_cached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.delenv("UNCAGE_DOWNLOAD", raising=False)
    monkeypatch.delenv("UNCAGE_MODELS", raising=False)


def test_what_a_folder_may_look_like(tmp_path: Path) -> None:
    plain = hub.load_large(str(write_meissonic(tmp_path / "mine")), image_size_px=32)
    want = plain.info.weight_hash
    repository = tmp_path / "models--owner--name"
    for name in ("aaaa", "bbbb"):
        write_meissonic(repository / "snapshots" / name)
    with pytest.raises(ModelUnavailable, match="2 snapshots; give the path of one"):
        hub.load_large(str(repository), image_size_px=32)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("bbbb")
    found = hub.load_large(str(repository), image_size_px=32)
    assert (found.info.id, found.info.weight_hash) == ("owner/name", want)
    write_meissonic(tmp_path / "nest" / "512")
    assert hub.load_large(str(tmp_path / "nest"), image_size_px=32).info.weight_hash == want
    assert hub.load_large(str(tmp_path / "nest" / "512" / "transformer"), image_size_px=32).info.weight_hash == want
    write_meissonic(tmp_path / "nest" / "1024", downsample=True)
    with pytest.raises(ModelUnavailable, match="several models, 1024, 512"):
        hub.load_large(str(tmp_path / "nest"))
    # another repository as text encoder: its own folder, or the one that has it inside
    for encoder in (tmp_path / "mine" / "text_encoder", tmp_path / "mine"):
        assert hub.load_large(str(tmp_path / "mine"), text_encoder=str(encoder), image_size_px=32).info.weight_hash == want


def test_a_folder_without_a_text_encoder_needs_a_named_one(tmp_path: Path) -> None:
    folder = write_meissonic(tmp_path / "mine")
    (folder / "text_encoder").rename(tmp_path / "encoder")
    with pytest.raises(ModelUnavailable, match=r"no file matches text_encoder/config\.json"):
        hub.load_large(str(folder))
    assert hub.load_large(str(folder), text_encoder=str(tmp_path / "encoder"), image_size_px=32)


def test_half_precision_copies_are_read_where_there_is_nothing_else(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = write_meissonic(tmp_path / "mine")
    plain: Any = hub.load_large(str(folder), image_size_px=32)
    for part, stem in (("transformer", "diffusion_pytorch_model"), ("vqvae", "diffusion_pytorch_model"), ("text_encoder", "model")):
        path = folder / part / f"{stem}.safetensors"
        save_file({name: value.half() for name, value in load_file(path).items()}, path.with_name(f"{stem}.fp16.safetensors"))
        path.unlink()
    half: Any = hub.load_large(str(folder), image_size_px=32)
    assert half.info.weight_hash != plain.info.weight_hash
    assert half.network.context_embedder.weight.dtype == torch.float32
    torch.testing.assert_close(half.network.context_embedder.weight, plain.network.context_embedder.weight, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("shards", [1, 2])
def test_pickles_are_refused_with_the_command_that_converts_them(tmp_path: Path, shards: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import shlex
    import subprocess
    import sys

    from safetensors.torch import load_file

    folder = write_meissonic(tmp_path / "mi ne")
    path = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    names = sorted(tensors)
    path.unlink()
    for number in range(shards):
        end = "" if shards == 1 else f"-0000{number + 1}-of-0000{shards}"
        torch.save({name: tensors[name] for name in names[number::shards]}, path.with_name(f"diffusion_pytorch_model{end}.bin"))
    with pytest.raises(ValueError, match="Convert it once") as caught:
        hub.load_large(str(folder))
    command = str(caught.value).partition("where it comes from: ")[2]
    if shards == 2:
        subprocess.run(command.replace("python", sys.executable, 1), shell=True, check=True)
    else:  # what the shell would run, without the seconds that another process takes to import torch
        python, option, program, *arguments = shlex.split(command)
        assert (python, option) == ("python", "-c")
        monkeypatch.setattr(sys, "argv", ["-c", *arguments])
        exec(program, {})
    again = load_file(path)
    assert set(again) == set(tensors)
    assert all(torch.equal(again[name], tensors[name]) for name in names)
    hub.load_large(str(folder), image_size_px=32)


def test_settings_left_out_are_the_references(tmp_path: Path) -> None:
    from uncage_demo.backends.large.meissonic_transformer import TransformerConfig

    config = TransformerConfig.from_dict({})
    assert (config.num_layers, config.num_single_layers, config.num_attention_heads, config.joint_attention_dim) == (19, 38, 24, 4096)
    assert (config.downsample, config.upsample, config.pooled_projection_dim) == (False, False, 768)
    folder = write_meissonic(tmp_path / "mine")
    path = folder / "transformer" / "config.json"
    said = json.loads(path.read_text())
    path.write_text(json.dumps({name: value for name, value in said.items() if name not in ("downsample", "upsample", "patch_size")}))
    assert hub.load_large(str(folder), image_size_px=32).info.attention_grid == (8, 8)
    (folder / "scheduler" / "scheduler_config.json").write_text("{}")
    assert hub.load_large(str(folder), image_size_px=32).mask_id == 31
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps({"masking_schedule": "sine"}))
    with pytest.raises(ValueError, match=r"scheduler_config\.json: masking_schedule='sine'; cosine and linear are known"):
        hub.load_large(str(folder))
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps({"_class_name": "EulerDiscreteScheduler", "beta_start": 0.1}))
    with pytest.raises(ValueError, match=r"_class_name='EulerDiscreteScheduler' and no mask_token_id; AmusedScheduler and Scheduler are"):
        hub.load_large(str(folder))
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps({"_class_name": "Scheduler", "masking_schedule": "linear"}))
    assert hub.load_large(str(folder), image_size_px=32).info.default_schedule == "linear_float32"


def test_loading_a_whole_clip_model_says_nothing_alarming(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from transformers import CLIPConfig, CLIPModel

    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2, "projection_dim": 16}
    vision = sizes | {"image_size": 8, "patch_size": 4}
    text = sizes | {"vocab_size": 40, "eos_token_id": 39, "bos_token_id": 38, "pad_token_id": 39}
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)).save_pretrained(tmp_path)
    capfd.readouterr()
    encoder = load_text_encoder(tmp_path, torch.float32)
    assert encoder.text_projection.weight.shape == (24, 32)  # the width that the whole model projects to
    said = capfd.readouterr()
    assert "UNEXPECTED" not in said.out + said.err
    assert "vision" not in said.out + said.err


def test_a_folder_that_is_called_like_a_model_has_its_own_settings(tmp_path: Path) -> None:
    amused = hub.load_large(str(write_amused(tmp_path / "meissonic")), image_size_px=32)
    assert (amused.info.default_steps, amused.info.default_guidance_scale, amused.negative_prompt) == (12, 10.0, "")
    one_step = hub.load_large(str(write_meissonic(tmp_path / "muddit-1024")), image_size_px=32, family="dimo")
    assert one_step.info.default_steps == 1
    assert hub.load_large(str(write_meissonic(tmp_path / "amused-256"))).info.image_size_px == (512, 512)


def test_an_incomplete_folder_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "transformer").mkdir()
    with pytest.raises(ModelUnavailable, match=r"transformer/config\.json"):
        hub.load_large(str(tmp_path))


def test_a_folder_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "transformer").mkdir()
    (tmp_path / "transformer" / "config.json").write_text(json.dumps({"_class_name": "OtherModel"}))
    with pytest.raises(ValueError, match="OtherModel is neither"):
        family_of(tmp_path / "transformer")


def test_load_backend_takes_a_local_folder(tmp_path: Path) -> None:
    folder = write_meissonic(tmp_path / "mine")
    backend: Any = load_backend(str(folder), dtype="bfloat16")
    assert backend.info.id == "mine"
    assert backend.info.image_size_px == (512, 512)  # this one does not downsample
    assert backend.info.grid == (128, 128)  # 4 pixels a token in the tiny VQ model
    assert backend.network.context_embedder.weight.dtype == torch.bfloat16
    assert backend.pictures.model.dtype == torch.float32
    other = hub.load_large(str(folder), image_size_px=64, text_encoder=str(folder / "text_encoder"))
    assert other.info.weight_hash == backend.info.weight_hash
    with pytest.raises(ValueError, match=r"30 × 30 px: both sides must be multiples of 4"):
        hub.load_large(str(folder), image_size_px=30)
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps({"mask_token_id": 3}))
    with pytest.raises(ValueError, match="mask_token_id=3"):
        hub.load_large(str(folder))


def test_broken_parts_are_named(tmp_path: Path) -> None:
    from diffusers.models.autoencoders.vq_model import VQModel

    folder = write_meissonic(tmp_path / "mine")
    weights = folder / "text_encoder" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(ValueError, match=r"model\.safetensors: truncated"):
        load_text_encoder(folder / "text_encoder", torch.float32)
    (folder / "tokenizer" / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match="tokenizer cannot be loaded"):
        load_tokenizer(folder / "tokenizer")
    with pytest.raises(ValueError, match="no such file"):
        load_diffusers(VQModel, folder / "nothing", torch.float32)


WRONG_SETTINGS = [
    ("meissonic", "transformer/config.json", {"num_layers": "many"}, "num_layers='many'"),
    ("meissonic", "transformer/config.json", {"num_single_layers": 10**7}, "num_single_layers=10000000"),
    ("meissonic", "transformer/config.json", {"downsample": None}, "downsample=None"),
    ("meissonic", "transformer/config.json", {"axes_dims_rope": 16}, "axes_dims_rope=16"),
    ("meissonic", "transformer/config.json", {"num_layers": 1}, "tensors unknown: transformer_blocks.1"),
    ("amused", "transformer/config.json", {"micro_cond_encode_dim": 0}, "micro_cond_encode_dim=0"),
    ("amused", "transformer/config.json", {"layer_norm_eps": None}, "layer_norm_eps=None"),
    ("amused", "transformer/config.json", {"num_hidden_layers": "x"}, "UVit2DModel cannot be loaded"),
    ("meissonic", "scheduler/scheduler_config.json", {"mask_token_id": None}, "mask_token_id=None"),
    ("meissonic", "text_encoder/config.json", {"hidden_size": "wide"}, "CLIPTextModelWithProjection cannot be loaded"),
    ("meissonic", "text_encoder/config.json", {"eos_token_id": None}, "the text encoder does not run with this config"),
    ("meissonic", "text_encoder/config.json", {"max_position_embeddings": 20}, "text_encoder"),
    ("meissonic", "vqvae/config.json", {"lookup_from_codebook": False}, "lookup_from_codebook is false"),
    ("meissonic", "vqvae/config.json", {"norm_num_groups": 3}, "vqvae"),
    ("meissonic", "vqvae/config.json", {"block_out_channels": None}, "VQModel cannot be loaded"),
]


@pytest.mark.parametrize(("family", "file", "change", "match"), WRONG_SETTINGS)
def test_wrong_settings_are_named_when_the_model_is_loaded(
    tmp_path: Path, family: str, file: str, change: dict[str, Any], match: str
) -> None:
    folder = (write_meissonic if family == "meissonic" else write_amused)(tmp_path / "mine")
    config = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(config | change))
    with pytest.raises(ValueError, match=re.escape(match)):
        hub.load_large(str(folder), image_size_px=32)


def test_a_file_in_place_of_its_folder_and_a_broken_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_meissonic(tmp_path / "mine")
    (folder / "model_index.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelUnavailable, match="this is a file; give the folder"):
        hub.load_large("mine/model_index.json")  # reads like a hub id, too
    index = folder / "transformer" / "diffusion_pytorch_model.safetensors.index.json"
    for wrong in ({}, {"weight_map": ["a"]}, {"weight_map": {}}):
        index.write_text(json.dumps(wrong))
        with pytest.raises(ValueError, match="names 0 shards, missing: all"):
            hub.load_large(str(folder))
    index.write_text(json.dumps({"weight_map": {"a": "../../elsewhere.safetensors"}}))
    with pytest.raises(ValueError, match="names 1 shards, missing"):
        hub.load_large(str(folder))


def test_an_encoder_or_decoder_of_another_size_is_named(tmp_path: Path) -> None:
    folder = write_meissonic(tmp_path / "mine")
    narrow = tmp_path / "narrow"
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    sizes: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "projection_dim": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    CLIPTextModelWithProjection(CLIPTextConfig(vocab_size=600, **sizes)).save_pretrained(narrow)
    with pytest.raises(ValueError, match="text encoder of width 16 and projection 32, the transformer takes 32 and 32"):
        hub.load_large(str(folder), text_encoder=str(narrow))
    with pytest.raises(ModelUnavailable, match=r"config\.json"):
        hub.load_large(str(folder), text_encoder=str(tmp_path))
    with pytest.raises(ModelUnavailable, match=r"text_encoder: owner/encoder .*hub cannot be reached"):
        hub.load_large(str(folder), text_encoder="owner/encoder")
    with pytest.raises(ModelUnavailable, match="text_encoder: '/nowhere': no such folder"):
        hub.load_large(str(folder), text_encoder="/nowhere")


def test_the_text_half_of_a_whole_clip_model_is_used(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file
    from transformers import CLIPConfig, CLIPModel, CLIPTextModelWithProjection

    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2, "projection_dim": 32}
    text = sizes | {"vocab_size": 40, "eos_token_id": 39}
    vision = sizes | {"image_size": 8, "patch_size": 4}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=32)).eval()
    model.save_pretrained(tmp_path)
    encoder = load_text_encoder(tmp_path, torch.float32)
    assert isinstance(encoder, CLIPTextModelWithProjection)
    ids = torch.tensor([[1, 5, 7, 39, 39]])
    with torch.no_grad():
        torch.testing.assert_close(encoder(ids).text_embeds, model.text_projection(model.text_model(ids).pooler_output))
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    save_file({name: value for name, value in tensors.items() if not name.endswith("final_layer_norm.weight")}, path)
    with pytest.raises(ValueError, match=r"1 tensors missing: .*final_layer_norm"):
        load_text_encoder(tmp_path, torch.float32)


def test_weight_hash_follows_the_weights_and_trusts_names_of_the_cache(tmp_path: Path) -> None:
    tiny_vq(1).save_pretrained(tmp_path / "one")
    tiny_vq(2).save_pretrained(tmp_path / "two")
    one, two = weight_hash([tmp_path / "one"]), weight_hash([tmp_path / "two"])
    assert len(one) == 16
    assert one != two
    assert weight_hash([tmp_path / "one", tmp_path / "two"]) not in (one, two)
    file = tmp_path / "one" / "diffusion_pytorch_model.safetensors"
    from uncage_demo.backends.large.weights import file_hash

    blob = tmp_path / file_hash(file)
    file.rename(blob)
    file.symlink_to(blob)
    assert weight_hash([tmp_path / "one"]) == one
    blob.write_bytes(b"not read again")
    assert weight_hash([tmp_path / "one"]) == one


def test_weights_that_do_not_fit_name_file_tensor_and_both_shapes(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = write_meissonic(tmp_path / "mine")
    path = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    save_file(tensors | {"context_embedder.weight": torch.zeros(32, 31)}, path)
    with pytest.raises(ValueError, match=r"transformer/diffusion_pytorch_model\.safetensors: these weights do not fit") as caught:
        hub.load_large(str(folder))
    assert "1 tensors of another shape: context_embedder.weight is (32, 31), not (32, 32)" in str(caught.value)
    save_file(tensors | {"context_embedder.weight": torch.ones(32, 32, dtype=torch.int8)}, path)
    with pytest.raises(ValueError, match=r"not of float32, float16 or bfloat16 numbers: context_embedder\.weight is int8"):
        hub.load_large(str(folder))
    shards = [f"diffusion_pytorch_model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    names = sorted(tensors)
    for number, shard in enumerate(shards):
        save_file({name: tensors[name] for name in names[number::2] if name != names[0]}, path.with_name(shard))
    path.unlink()
    listed = {name: shards[number % 2] for number, name in enumerate(names)}
    path.with_name("diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps({"weight_map": listed}))
    with pytest.raises(ValueError, match=rf"00001-of-00002\.safetensors and 1 more shards: .*1 tensors missing: {names[0]}"):
        hub.load_large(str(folder))
    whole = path.with_name(shards[1])
    whole.write_bytes(whole.read_bytes()[:-10])
    with pytest.raises(ValueError, match=r"00002-of-00002\.safetensors: truncated"):
        hub.load_large(str(folder))
    whole.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4027785216\n")
    with pytest.raises(ValueError, match=r"00002-of-00002\.safetensors: holds a pointer of Git LFS .* git lfs pull"):
        hub.load_large(str(folder))
