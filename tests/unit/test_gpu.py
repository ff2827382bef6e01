"""Large models on a CUDA device: the same decisions as on the CPU within rounding, exact capture, offloading that frees memory.

Skipped where there is no such device; nothing here needs weights from the hub.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.tiny_checkpoints import MASK_ID, write_tiny
from uncage_demo.backends.attention import eager_columns, fused_attention, scaled_dot_product_with_columns
from uncage_demo.backends.base import Capture
from uncage_demo.backends.large.hub import load_large
from uncage_demo.config import DecodingConfig
from uncage_demo.decoding.sampler import Run, decode
from uncage_demo.prompt.parse import parse_prompt

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
TEXT = "a red turtle and a blue apple"


@pytest.fixture(scope="module", params=["meissonic", "amused"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(request.param, tmp_path_factory.mktemp(request.param))


def forward(backend: Any, capture: Capture | None = None, suppress: tuple[int, ...] = ()) -> Any:
    tokens = torch.full((2, 64), MASK_ID)
    tokens[:, ::3] = 5
    prompt = parse_prompt(TEXT, backend)
    given = [backend.encode_prompt(prompt)] * 2
    return backend.forward(tokens.to(backend.device), 1, 4, given, capture=capture, suppress=suppress)


def test_float32_agrees_with_the_cpu(folder: Path) -> None:
    here, there = (load_large(str(folder), device, "fp32", image_size_px=32) for device in ("cpu", "cuda"))
    for suppress in ((), (2, 3)):
        want, got = (forward(backend, Capture(), suppress) for backend in (here, there))
        torch.testing.assert_close(got.cond.cpu(), want.cond, atol=2e-3, rtol=2e-2)
        torch.testing.assert_close(got.attention.cpu(), want.attention, atol=1e-4, rtol=2e-2)
    tokens = torch.arange(64)[None] % 24
    np.testing.assert_allclose(there.decode_tokens(tokens).astype(int), here.decode_tokens(tokens).astype(int), atol=2)


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
def test_capture_leaves_the_logits_alone_and_sums_to_one(folder: Path, dtype: str) -> None:
    backend = load_large(str(folder), "cuda", dtype, image_size_px=32)
    plain, watched = forward(backend), forward(backend, Capture())
    assert torch.equal(plain.cond, watched.cond)
    assert watched.attention.dtype == torch.float32
    assert plain.cond.isfinite().all()
    if not backend.facts.joint:  # where text and image attend jointly the rest goes to image tokens
        torch.testing.assert_close(watched.attention.sum(dim=1), torch.ones(2, 64, device="cuda"), atol=5e-3, rtol=0)
    hidden = forward(backend, Capture(), (2,))
    assert (hidden.attention[:, 2] == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_columns_at_the_sizes_of_the_published_models(dtype: torch.dtype) -> None:
    """Meissonic: 77 + 1024 joint tokens, 8 heads of 128; aMUSEd: 256 queries on 77 keys, 16 heads of 64 (no multiple of 8)."""
    generator = torch.Generator().manual_seed(0)
    for heads, queries, keys, width in ((8, 1101, 1101, 128), (16, 256, 77, 64)):
        query, key, value = (torch.randn(2, heads, n, width, generator=generator).to("cuda", dtype) for n in (queries, keys, keys))
        output, columns = scaled_dot_product_with_columns(query, key, value, range(77))
        assert torch.equal(output, torch.nn.functional.scaled_dot_product_attention(query, key, value))
        assert fused_attention(query, key, value, width**-0.5) is not None
        torch.testing.assert_close(columns, eager_columns(query, key, range(77), width**-0.5), atol=1e-4, rtol=5e-3)


def test_a_guided_decode_repeats_itself(folder: Path) -> None:
    backend = load_large(str(folder), "cuda", image_size_px=32)
    run = Run(parse_prompt(TEXT, backend), DecodingConfig("uncage", 4))
    one, two = (list(decode(backend, run)) for _ in range(2))
    assert [record.sampled.tolist() for record in one] == [record.sampled.tolist() for record in two]
    assert sum(int(record.committed.sum()) for record in one) == 64


def test_with_offloading_only_the_part_in_use_is_on_the_device(folder: Path) -> None:
    plain, backend = (load_large(str(folder), "cuda", "fp32", image_size_px=32, offload=on) for on in (False, True))
    parts = {"text": backend.text.encoder, "network": backend.network, "pictures": backend.pictures.model}

    def there() -> set[str]:
        return {name for name, part in parts.items() if next(part.parameters()).device.type == "cuda"}

    assert there() == set()
    torch.testing.assert_close(forward(backend).cond, forward(plain).cond)
    assert there() == {"network"}
    backend.decode_tokens(torch.zeros(1, 64, dtype=torch.int64))
    assert there() == {"pictures"}


def test_compiled_blocks_agree(folder: Path) -> None:
    pytest.importorskip("triton", reason="torch.compile needs Triton on a GPU")
    torch._dynamo.reset()
    plain, compiled = (load_large(str(folder), "cuda", "fp32", image_size_px=32, compile=on) for on in (False, True))
    unread, read = forward(compiled), forward(compiled, Capture())
    assert torch.equal(unread.cond, read.cond)
    torch.testing.assert_close(read.cond, forward(plain).cond, atol=2e-3, rtol=2e-2)
