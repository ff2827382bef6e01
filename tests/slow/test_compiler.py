"""torch.compile with a real compiler: tiny models of both kinds decode as without it, and attention is read alike."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._inductor import config

from tests.tiny_checkpoints import MASK_ID, write_amused, write_meissonic
from uncage_demo.backends.base import Capture
from uncage_demo.backends.large.hub import load_large
from uncage_demo.prompt.parse import parse_prompt

_NAMES: Any = config.cpp.cxx
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not any(name and shutil.which(name) for name in _NAMES), reason="needs a C++ compiler (g++, clang++ or CXX)"),
]


@pytest.mark.parametrize("write", [write_meissonic, write_amused])
def test_a_compiled_model_gives_what_a_plain_one_gives(write: Any, tmp_path: Path) -> None:
    torch._dynamo.reset()
    folder = write(tmp_path / "model", downsample=True)
    plain, compiled = (load_large(str(folder), image_size_px=32, compile=on) for on in (False, True))
    tokens = torch.full((1, 64), MASK_ID)
    tokens[:, ::3] = 5
    prompt = parse_prompt("a red turtle and a blue apple", plain)
    want, got, unread = (
        backend.forward(tokens, 1, 4, [backend.encode_prompt(prompt)], capture=capture)
        for backend, capture in ((plain, Capture()), (compiled, Capture()), (compiled, None))
    )
    assert got.uncond is not None
    assert unread.uncond is not None
    assert got.attention is not None
    assert want.attention is not None
    assert torch.equal(got.cond, unread.cond)
    assert torch.equal(got.uncond, unread.uncond)
    torch.testing.assert_close(got.cond, want.cond, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(got.attention, want.attention, atol=1e-5, rtol=1e-3)
    several = [backend.forward(tokens.expand(2, -1), 1, 4, [backend.encode_prompt(prompt)] * 2).cond for backend in (plain, compiled)]
    torch.testing.assert_close(several[1], several[0], atol=1e-4, rtol=1e-3)
    assert torch._dynamo.utils.counters["inductor"]  # a compiler was at work, not only the tracer
