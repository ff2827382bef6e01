"""Every option of a large model takes effect (what is refused, kept and printed: tests/unit/test_model_options.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tiny_checkpoints import MASK_ID, write_meissonic
from uncage_demo.backends import load_backend
from uncage_demo.prompt.parse import parse_prompt

TEXT = "a red turtle and a blue apple"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_meissonic(tmp_path_factory.mktemp("checkpoints") / "tiny-meissonic", downsample=True)


@pytest.fixture(scope="module")
def plain(folder: Path) -> Any:
    return load_backend(str(folder), image_size_px=(16, 24))


@pytest.fixture(scope="module")
def negative(folder: Path) -> Any:
    return load_backend(str(folder), image_size_px=(16, 24), negative_prompt="blurry, -dim")


def test_each_option_takes_effect(folder: Path, plain: Any, negative: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (plain.info.image_size_px, plain.info.grid) == ((16, 24), (4, 6))
    compiled: list[str] = []

    def compile_nothing(function: Any, **_: Any) -> Any:
        compiled.append(function.__name__)
        return function

    monkeypatch.setattr(torch, "compile", compile_nothing)
    other: Any = load_backend(
        str(folder),
        dtype="bf16",
        image_size_px=(16, 24),
        text_encoder=str(folder / "text_encoder"),
        offload=True,
        compile=True,
        download=False,
        report=lambda *_: pytest.fail("nothing was to be fetched"),
    )
    assert len(compiled) > 3
    assert other.network.context_embedder.weight.dtype == torch.bfloat16
    assert other._residency.offload
    assert not plain._residency.offload
    assert other.info.weight_hash == plain.info.weight_hash
    tokens = torch.full((1, 24), MASK_ID)
    prompt = parse_prompt(TEXT, plain)
    ours, theirs = (b.forward(tokens, 0, 2, [b.encode_prompt(prompt)]) for b in (plain, negative))
    # One row of a batch may differ in its last bit when another row does.
    torch.testing.assert_close(ours.cond, theirs.cond)
    assert (ours.uncond - theirs.uncond).abs().max() > 1e-3
