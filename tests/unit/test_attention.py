"""Columns of the softmax: every path against the textbook formula."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from uncage_demo.backends import attention as A

COLUMNS = [3, 0, 17, 4]


def sample(dtype: torch.dtype = torch.float32, n: int = 37, m: int = 50, d: int = 16, b: int = 2, h: int = 3) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(7)
    shapes = ((b, h, n, d), (b, h, m, d), (b, h, m, d))
    query, key, value = (torch.randn(shape, generator=generator).to(dtype) for shape in shapes)
    mask = torch.rand(b, m, generator=generator) > 0.3
    mask[:, 3], mask[:, 17] = True, False
    return query * 3, key, value, mask


def mask_of(kind: str, mask: torch.Tensor, n: int = 37) -> torch.Tensor | None:
    """No mask, one of keys, or one of keys that differs by query row."""
    if kind == "rows":
        other = torch.rand(mask.shape[0], n, mask.shape[1], generator=torch.Generator().manual_seed(8)) > 0.3
        other[..., 3], other[..., 17] = True, False
        return other
    return mask if kind == "keys" else None


@pytest.mark.parametrize("masked", ["none", "keys", "rows"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_every_path_equals_the_whole_softmax(dtype: torch.dtype, masked: str) -> None:
    query, key, value, mask = sample(dtype)
    mask = mask_of(masked, mask)
    scale = 0.3
    want = torch.softmax(
        (torch.einsum("bhnd,bhmd->bhnm", query.float(), key.float()) * scale).masked_fill(
            torch.zeros(1, dtype=torch.bool) if mask is None else ~A.broadcast_mask(mask), float("-inf")
        ),
        dim=-1,
    )[..., COLUMNS].transpose(-1, -2)
    atol = 1e-5 if dtype == torch.float32 else 1e-4
    lse = A.eager_logsumexp(query, key, scale, mask)
    found = {
        "text_columns": A.text_columns(query, key, COLUMNS, scale, mask),
        "with output": A.scaled_dot_product_with_columns(query, key, value, COLUMNS, scale=scale, key_mask=mask)[1],
        "one-hot": A.onehot_columns(query, key, COLUMNS, scale, mask),
        "eager": A.eager_columns(query, key, COLUMNS, scale, mask),
        "eager lse": A.columns_from_logsumexp(query, key, lse, COLUMNS, scale, mask),
    }
    for name, columns in found.items():
        assert columns.dtype == torch.float32, name
        assert columns.shape == (2, 3, 4, 37), name
        torch.testing.assert_close(columns, want, atol=atol, rtol=1e-4, msg=lambda text, name=name: f"{name}: {text}")
    if mask is not None:
        assert (found["text_columns"][:, :, 2] == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("masked", ["none", "keys", "rows"])
def test_output_is_the_plain_attention_bit_for_bit(dtype: torch.dtype, masked: str) -> None:
    query, key, value, mask = sample(dtype)
    key_mask = mask_of(masked, mask)
    output, _ = A.scaled_dot_product_with_columns(query, key, value, COLUMNS, key_mask=key_mask)
    assert torch.equal(output, A.attention(query, key, value, key_mask=key_mask))
    if key_mask is None:
        assert torch.equal(output, F.scaled_dot_product_attention(query, key, value))


def test_the_fused_kernel_is_used_on_this_machine() -> None:
    query, key, value, mask = sample()
    assert A.fused_attention(query, key, value, 0.25) is not None
    assert A.fused_attention(query, key, value, 0.25, mask) is not None


def test_without_a_fused_kernel_the_columns_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    query, key, value, _ = sample()
    want = A.scaled_dot_product_with_columns(query, key, value, COLUMNS)
    monkeypatch.setattr(A, "fused_attention", lambda *args, **kwargs: None)
    found = A.scaled_dot_product_with_columns(query, key, value, COLUMNS)
    torch.testing.assert_close(found, want, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(A.text_columns(query, key, COLUMNS, 0.25), want[1], atol=1e-6, rtol=1e-5)


def test_rows_and_samples_pick_what_is_wanted() -> None:
    query, key, value, _ = sample()
    whole = A.scaled_dot_product_with_columns(query, key, value, COLUMNS)[1]
    part = A.scaled_dot_product_with_columns(query, key, value, COLUMNS, rows=slice(5, 20), samples=slice(1, None))[1]
    torch.testing.assert_close(part, whole[1:, :, :, 5:20])


def test_all_columns_sum_to_one() -> None:
    query, key, _, _ = sample()
    torch.testing.assert_close(A.text_columns(query, key, slice(None), 0.25).sum(dim=2), torch.ones(2, 3, 37))


def test_eager_logsumexp_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    query, key, _, mask = sample()
    whole = A.eager_logsumexp(query, key, 0.25, mask)
    monkeypatch.setattr(A, "_CHUNK_ELEMENTS", 1000)
    torch.testing.assert_close(A.eager_logsumexp(query, key, 0.25, mask), whole)


def test_large_scores_do_not_overflow() -> None:
    query, key, _, _ = sample()
    columns = A.text_columns(query * 100, key * 100, COLUMNS, 1.0)
    torch.testing.assert_close(columns, A.eager_columns(query * 100, key * 100, COLUMNS, 1.0), atol=2e-3, rtol=0)
    assert columns.isfinite().all()


def test_recorder_reduces_over_layers_and_heads() -> None:
    query, key, value, _ = sample()
    recorder = A.ColumnRecorder(COLUMNS, [1, 2], full=True, rows=slice(7, None))
    for layer in range(4):
        output = recorder.attend(layer, query + layer, key, value)
        assert torch.equal(output, A.attention(query + layer, key, value))
    parts = [A.eager_columns(query[:, :, 7:] + layer, key, COLUMNS, 0.25) for layer in (1, 2)]
    full = recorder.stacked()
    assert full is not None
    torch.testing.assert_close(full, torch.stack(parts, dim=1), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(recorder.mean(), torch.stack(parts, dim=1).mean(dim=(1, 2)), atol=1e-5, rtol=1e-4)


def test_recorder_notices_a_missing_layer() -> None:
    query, key, value, _ = sample()
    recorder = A.ColumnRecorder(COLUMNS, [0, 5])
    recorder.attend(0, query, key, value)
    with pytest.raises(RuntimeError, match=r"\[0, 5\]"):
        recorder.mean()


def test_bad_input_is_named() -> None:
    query, key, _, mask = sample()
    with pytest.raises(ValueError, match=r"column 50.*0\.\.49"):
        A.text_columns(query, key, [50], 1.0)
    with pytest.raises(ValueError, match="must be b h n d"):
        A.text_columns(query[..., :8], key, [0], 1.0)
    with pytest.raises(ValueError, match="key_mask"):
        A.text_columns(query, key, [0], 1.0, mask[:, :-1])


def test_shapes_of_the_gpu_kernels_log_sum_exp() -> None:
    """The three layouts that fused_attention reads, as torch itself declares them (no GPU needed)."""
    x = torch.empty(2, 8, 101, 64, device="meta", dtype=torch.bfloat16)
    aten = torch.ops.aten
    assert aten._scaled_dot_product_flash_attention(x, x, x, scale=0.1)[1].shape == (2, 8, 101)
    assert aten._scaled_dot_product_efficient_attention(x, x, x, None, True, scale=0.1)[1].shape == (2, 8, 128)
    assert aten._scaled_dot_product_cudnn_attention(x, x, x, None, True, scale=0.1)[1].shape == (2, 8, 101, 1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kernel", ["FLASH_ATTENTION", "EFFICIENT_ATTENTION", "CUDNN_ATTENTION", "MATH"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_gpu_kernels(kernel: str, dtype: torch.dtype) -> None:
    from torch.nn.attention import SDPBackend, sdpa_kernel

    if dtype == torch.float32 and kernel in ("FLASH_ATTENTION", "CUDNN_ATTENTION"):
        pytest.skip("half precision only")
    query, key, value, mask = (part.cuda() for part in sample(dtype, d=64))
    with sdpa_kernel(getattr(SDPBackend, kernel)), torch.inference_mode():
        output, columns = A.scaled_dot_product_with_columns(query, key, value, COLUMNS)
        assert torch.equal(output, F.scaled_dot_product_attention(query, key, value))
        assert (A.fused_attention(query, key, value, 0.125) is None) == (kernel == "MATH")
    torch.testing.assert_close(columns, A.eager_columns(query, key, COLUMNS, 0.125), atol=1e-4, rtol=1e-3)
    masked = A.scaled_dot_product_with_columns(query, key, value, COLUMNS, key_mask=mask)[1]
    torch.testing.assert_close(masked, A.eager_columns(query, key, COLUMNS, 0.125, mask), atol=1e-4, rtol=1e-3)
