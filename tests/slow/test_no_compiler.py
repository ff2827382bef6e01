"""A machine without a C++ compiler is told so when a model is to be compiled, not in its first step."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.tiny_checkpoints import write_meissonic
from uncage_demo.backends.large.hub import load_large


def test_without_a_compiler_it_is_said_when_the_model_is_loaded(tmp_path: Path) -> None:
    from torch._inductor import config

    torch._dynamo.reset()  # what other tests compiled must not answer for this machine
    with config.patch({"cpp.cxx": ("no-such-compiler",)}), pytest.raises(ValueError, match=r"needs a C\+\+ compiler .* for cpu"):
        load_large(str(write_meissonic(tmp_path / "meissonic")), image_size_px=32, compile=True)
