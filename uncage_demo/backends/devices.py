"""Which device and dtype a model runs in: the one place that reads their names, with a clear yes or no for each."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from uncage_demo.backends.options import DTYPES

if TYPE_CHECKING:
    import torch


def parse_device(name: str | torch.device = "auto") -> torch.device:
    """A device that exists on this machine.

    Args:
        name: "cpu" (every model runs there, the large ones slowly), "cuda", "cuda:1", a torch device, or "auto": what UNCAGE_DEVICE
            names, else cuda where there is one, else cpu.

    Raises:
        ValueError: naming what was given and what is allowed, or a device that is not on this machine. Apple's mps is a no: decoding adds
            probabilities up in float64, which it does not have.
    """
    import torch

    if name == "auto":
        name = os.environ.get("UNCAGE_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"device={str(name)!r}: use auto, cpu, cuda or cuda:N") from None
    here = {"cpu": 1, "cuda": torch.cuda.device_count()}
    if device.type == "mps":
        raise ValueError(f"device={str(name)!r}: models do not run on mps, which has no float64 to add probabilities up in; use cpu")
    if device.type not in here:
        raise ValueError(f"device={str(name)!r}: use auto, cpu, cuda or cuda:N")
    if (device.index or 0) >= here[device.type]:
        raise ValueError(f"device={str(name)!r}: this machine has {here[device.type]} {device.type.upper()} devices; cpu always works")
    return device


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
