"""The devices and dtypes that models run on: a clear yes or no for each name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uncage_demo.backends.options import DTYPES

if TYPE_CHECKING:
    import torch


def parse_device(name: str | torch.device) -> torch.device:
    """A device that models run on and that this machine has.

    Args:
        name: "cpu" (every model runs there, the large ones slowly), "cuda", "cuda:N", or "auto": cuda where there is one, else cpu.

    Raises:
        ValueError: naming the device and why not. Apple's mps is a no: decoding adds probabilities up in float64, which it does not have.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        place = torch.device(name)
    except RuntimeError:
        place = None
    if place is not None and place.type == "mps":
        raise ValueError(f"device={str(name)!r}: models do not run on mps, which has no float64 to add probabilities up in; use cpu")
    if place is None or place.type not in ("cpu", "cuda"):
        raise ValueError(f"device={str(name)!r}: use auto, cpu, cuda or cuda:N")
    here = torch.cuda.device_count() if place.type == "cuda" else 1
    if (place.index or 0) >= here:
        raise ValueError(f"device={str(name)!r}: this machine has {here} {place.type.upper()} devices; cpu always works")
    return place


def parse_dtype(dtype: str | torch.dtype | None, device: torch.device) -> torch.dtype:
    """A floating-point dtype from its name, or the device's usual one.

    Raises:
        ValueError: naming the dtype and what is allowed.
    """
    import torch

    if dtype is None:
        if device.type == "cuda":
            return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
        return torch.float32
    name = DTYPES.get(str(dtype).removeprefix("torch."))
    if name is None:
        raise ValueError(f"dtype={dtype!r}: use fp32, fp16 or bf16")
    return getattr(torch, name)
