"""A checkpoint with a fault says the same through Python, the command line and the running page's endpoints: which file, what was found,
what is allowed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

pytest.importorskip("gradio")

from tests.running_page import serving_folders
from tests.tiny_checkpoints import write_amused, write_meissonic
from uncage_demo import DecodingConfig, generate, load_backend, parse_prompt
from uncage_demo.cli.main import main

TEXT = "a red turtle and a blue apple"
WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def server() -> Iterator[SimpleNamespace]:
    with serving_folders() as page:
        yield page


def tensors_changed(part: str, change: Callable[[dict[str, torch.Tensor]], None]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = next((folder / part).glob("*.safetensors"))
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path)

    return damage


def truncated(folder: Path) -> None:
    path = folder / "vqvae" / WEIGHTS
    path.write_bytes(path.read_bytes()[:-100])


def pickled(folder: Path) -> None:
    path = folder / "transformer" / WEIGHTS
    torch.save(load_file(path), path.with_suffix(".bin"))
    path.unlink()


def scheduled_otherwise(folder: Path) -> None:
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps({"_class_name": "DDIMScheduler"}))


def curved_otherwise(folder: Path) -> None:
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"masking_schedule": "sigmoid"}))


def huge(tensors: dict[str, torch.Tensor]) -> None:
    """Half precision ends at 65504; bfloat16 and float32 go on."""
    name = next(name for name in tensors if name.endswith(("project_to_hidden.weight", "encoder_proj.weight")))
    tensors[name] *= 1e6


def narrow(tensors: dict[str, torch.Tensor]) -> None:
    name = next(name for name in tensors if name.endswith("text_projection.weight"))
    tensors[name] = tensors[name][:, :5].contiguous()


FAULTS = {
    "truncated file": (truncated, {}, r"vqvae/diffusion_pytorch_model\.safetensors: truncated"),
    "wrong shape": (
        tensors_changed("text_encoder", narrow),
        {},
        r"text_encoder/model\.safetensors: .*1 tensors of another shape: text_projection\.weight.*\(32, 5\).*\(32, 32\)",
    ),
    "pickle": (pickled, {}, r"only diffusion_pytorch_model\.bin\..*Convert it once, .*: python -c .*save_file"),
    "another scheduler": (scheduled_otherwise, {}, r"scheduler_config\.json: _class_name='DDIMScheduler'.*AmusedScheduler and Scheduler"),
    "another schedule": (curved_otherwise, {}, r"scheduler_config\.json: masking_schedule='sigmoid'; cosine and linear are known"),
    "half precision": (
        tensors_changed("transformer", huge),
        {"dtype": "float16"},
        r"logits of step 1 \(.*\) in float16: \d+ of \d+ values are not finite; .*load the model with dtype bfloat16 or float32",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("write", [write_meissonic, write_amused])
def test_a_fault_says_the_same_everywhere(
    server: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str], write: Callable[[Path], Path], fault: str
) -> None:
    damage, options, says = FAULTS[fault]
    folder = write(tmp_path / "mine")
    damage(folder)

    def draw(**more: Any) -> None:
        backend = load_backend(str(folder), image_size_px=32, **more)
        generate(backend, parse_prompt(TEXT, backend), DecodingConfig(num_steps=2))

    with pytest.raises((ValueError, FloatingPointError), match=says):
        draw(**options)
    if options:
        draw(dtype="bfloat16")
    where = ["--model", str(folder), "--image-size", "32", "--num-steps", "2", "--device", "cpu", "--out", str(tmp_path / "run")]
    capsys.readouterr()
    assert main(["generate", TEXT, *where, *(word for name, value in options.items() for word in (f"--{name}", value))]) == 2
    said = capsys.readouterr().err
    assert re.search(f"uncage: error: .*{says}", said), said
    assert "Traceback" not in said
    asked = json.dumps({"image_size_px": 32, **options})
    with pytest.raises(Exception, match=says):
        server.client.predict(TEXT, "uncage", 0, 2, 3.0, -1, "both", -1, str(folder), "", "", "", asked, "final", api_name="/generate")
