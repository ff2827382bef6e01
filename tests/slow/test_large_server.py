"""A large model through the running page's endpoints and tools: a tiny checkpoint in a folder, a real server on a free port."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio")
pytest.importorskip("mcp")

from gradio_client import handle_file

from tests.running_page import call, serving_folders
from tests.tiny_checkpoints import WRITERS, tiny_uvit, write_meissonic, write_tiny
from uncage_demo.backends.options import AUTHORS_NEGATIVE
from uncage_demo.trace.record import Trace

TEXT = "a red turtle and a blue apple"
SMALL = json.dumps({"image_size_px": 32})


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    place = tmp_path_factory.mktemp("checkpoints")
    return {family: str(write_tiny(family, place)) for family in WRITERS}


@pytest.fixture(scope="module")
def server() -> Iterator[SimpleNamespace]:
    with serving_folders() as page:
        yield page


def generate(server: SimpleNamespace, model: str, *, steps: int = -1, more: str = SMALL, frames: str = "final", **named: Any) -> Any:
    return server.client.predict(
        TEXT, "uncage", 0, steps, 3.0, -1, "both", -1, model, "", "", named.get("preset", ""), more, frames, api_name="/generate"
    )


def file_of(given: Any) -> str:
    """The path of a file as the client hands it on without downloading it."""
    return given if isinstance(given, str) else given["path"]


def test_a_folders_own_settings_hold_where_nothing_is_asked_for(server: SimpleNamespace, folders: dict[str, str]) -> None:
    for family, steps, guidance, negative in (("amused", 12, 10.0, ""), ("meissonic", 64, 9.0, AUTHORS_NEGATIVE)):
        _, trace, said = generate(server, folders[family])
        settings = said["settings"]
        assert (said["steps"], settings["guidance_scale"], settings["schedule"]) == (steps, guidance, "cosine_float32")
        assert settings["noise_temperature"] == [2.0, 0.0]
        assert said["model"]["options"]["image_size_px"] == [32, 32]
        made = Trace.load(file_of(trace))
        assert made.image.shape == (32, 32, 3)
        assert made.frames is None
        assert made.model.default_negative_prompt == negative
        assert made.model.id == f"tiny-{family}"


def test_orders_side_by_side_with_options_and_a_preset(server: SimpleNamespace, folders: dict[str, str]) -> None:
    options = json.dumps({"image_size_px": [32, 48], "negative_prompt": "dim", "dtype": "bf16"})
    pictures, traces, said = server.client.predict(
        TEXT, ["meissonic", "halton"], 7, 3, 3.0, folders["meissonic"], "", "", "", options, "every 2", api_name="/compare"
    )
    assert len(pictures) == len(traces) == 2
    assert [one["settings"]["order"] for one in said] == ["meissonic", "halton"]
    assert {one["steps"] for one in said} == {3}
    assert said[0]["model"]["options"] == {"image_size_px": [32, 48], "negative_prompt": "dim", "dtype": "bfloat16"}
    assert said[0]["frames"] == "every 2"
    _, _, published = generate(server, folders["meissonic"], steps=4, preset="maskgit")
    assert published["settings"]["order"] == "maskgit"


def test_a_run_is_branched_edited_and_exported_after_another_model_was_loaded(
    server: SimpleNamespace, folders: dict[str, str], tmp_path: Path
) -> None:
    _, trace, _ = generate(server, folders["meissonic"], steps=3, frames="all")
    path = file_of(trace)
    generate(server, folders["amused"], steps=2)  # the first model is let go
    given = handle_file(path)
    _, branched, said = server.client.predict(given, 1, "order", 0, "halton", 0, api_name="/branch")
    assert (said["settings"]["order"], said["model"]["id"]) == ("halton", "tiny-meissonic")
    assert Trace.load(file_of(branched)).model.weight_hash == Trace.load(path).model.weight_hash
    _, edited, _ = server.client.predict(given, "0-5", "", [], -1, -1, api_name="/edit")
    before, after = Trace.load(path).tokens.reshape(-1), Trace.load(file_of(edited[0])).tokens.reshape(-1)
    np.testing.assert_array_equal(after[6:], before[6:])
    picture, found = server.client.predict(given, api_name="/open_trace")
    assert picture
    assert found["objects"] == ["red turtle", "blue apple"]
    assert "<html" in Path(file_of(server.client.predict([given], "html", -1, api_name="/export"))).read_text()[:200].lower()


def test_a_picture_is_read_and_a_composition_drawn(server: SimpleNamespace, folders: dict[str, str], tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(tmp_path / "mine.png")
    pictures, traces, said = server.client.predict(
        handle_file(tmp_path / "mine.png"), TEXT, folders["amused"], SMALL, api_name="/read_picture"
    )
    assert len(pictures) == 2
    assert said[0]["picture"]["mean_error"] > 0
    read = Trace.load(file_of(traces[0]))
    assert read.tokens.shape == (8, 8)
    regions, pins = json.dumps({"turtle": [0, 0, 4, 4]}), json.dumps({"63": 5})
    _, traces, said = server.client.predict(TEXT, regions, pins, ["meissonic"], -1, 3, folders["amused"], SMALL, api_name="/compose")
    assert Trace.load(file_of(traces[0])).tokens.reshape(-1)[63] == 5


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"more": json.dumps({"image_size_px": 30})}, "image size 30 × 30 px: both sides must be multiples of 8"),
        ({"more": json.dumps({"dtype": "int8"})}, "dtype='int8': use float32, bfloat16 or float16"),
        ({"more": json.dumps({"lora": "/tmp"})}, "lora='/tmp': not an option of tiny-meissonic here"),
        ({"more": json.dumps({"text_encoder": "/nowhere/at/all"})}, "/nowhere/at/all"),
        ({"more": json.dumps({"family": "amused"})}, "holds a model of the meissonic family, expected amused"),
        ({"more": "{"}, "give an object with some of dtype"),
        ({"steps": 300}, "num_steps=300"),
        ({"frames": "sometimes"}, "frames='sometimes'"),
        ({"model": "/nowhere/at/all"}, "is not offered here"),
        ({"model": "embedded"}, "not an option of Emoji scenes"),
        ({"model": "monetico"}, "is not on this machine, and downloading was not asked for"),
    ],
    ids=str,
)
def test_bad_settings_are_named(
    server: SimpleNamespace, folders: dict[str, str], change: dict[str, Any], says: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    asked = {"model": folders["meissonic"], "steps": 2, **change}
    with pytest.raises(Exception, match=re.escape(says)):
        generate(server, **asked)


def test_damaged_weights_are_named(server: SimpleNamespace, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    folder = write_meissonic(tmp_path / "broken", downsample=True)
    weights = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    tensors["context_embedder.weight"][0, 0] = torch.nan
    save_file(tensors, weights)
    with pytest.raises(Exception, match=r"logits of step 1 .*not finite; the weights context_embedder\.weight hold such values"):
        generate(server, str(folder), steps=2)
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(Exception, match=r"diffusion_pytorch_model\.safetensors: truncated"):
        generate(server, str(folder), steps=2, more=json.dumps({"image_size_px": 16}))


def test_an_adapter_draws_through_command_line_and_endpoints(
    server: SimpleNamespace, folders: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    peft = pytest.importorskip("peft")
    import torch

    from uncage_demo.cli.main import main

    torch.manual_seed(0)
    adapted = peft.get_peft_model(tiny_uvit(), peft.LoraConfig(r=2, lora_alpha=400, target_modules=["to_v"], init_lora_weights=False))
    adapted.save_pretrained(tmp_path / "adapter")
    plain = generate(server, folders["amused"], steps=3)
    with_it = generate(server, folders["amused"], steps=3, more=json.dumps({"image_size_px": 32, "lora": str(tmp_path / "adapter")}))
    before, after = Trace.load(file_of(plain[1])), Trace.load(file_of(with_it[1]))
    assert before.model.weight_hash != after.model.weight_hash
    assert not np.array_equal(before.tokens, after.tokens)
    asked = ["--lora", str(tmp_path / "adapter"), "--model", folders["amused"], "--image-size", "32", "--num-steps", "3", "--device", "cpu"]
    assert main(["generate", TEXT, *asked, "--frames", "final", "--formats", "npz", "--quiet", "--out", str(tmp_path / "run")]) == 0
    drawn = Trace.load(next((tmp_path / "run").rglob("*.npz")))
    assert np.array_equal(drawn.tokens, after.tokens)
    assert f"--lora={tmp_path / 'adapter'}" in capsys.readouterr().out  # so that the printed command runs


def test_assistants_name_a_folder(server: SimpleNamespace, folders: dict[str, str]) -> None:
    asked = {"prompt": TEXT, "model": folders["meissonic"], "num_steps": 2, "model_options": SMALL, "frames": "final"}
    answer = call(server, "generate", asked)
    assert not answer.isError, answer.content
    assert sum(one.type == "image" for one in answer.content) == 1
    said = next(json.loads(one.text) for one in answer.content if one.type == "text" and one.text.startswith("{"))
    assert (said["model"]["id"], said["settings"]["guidance_scale"]) == ("tiny-meissonic", 9.0)
    wrong = call(server, "generate", asked | {"model_options": json.dumps({"image_size_px": 30})})
    assert wrong.isError
    assert "multiples of 8" in wrong.content[0].text
    read = call(server, "parse", {"prompt": TEXT, "model": folders["meissonic"]})
    assert "blue apple" in read.content[0].text


def test_models_on_offer_say_their_own_settings_and_options(server: SimpleNamespace) -> None:
    listed = {one["id"]: one for one in server.client.predict(api_name="/list_models")}
    assert (listed["meissonic"]["settings"]["num_steps"], listed["amused-256"]["settings"]["num_steps"]) == (64, 12)
    assert "text_encoder" in listed["meissonic"]["options"]
    assert "lora" in listed["amused-512"]["options"]
    assert listed["embedded"]["options"] == []
