"""Which device a model runs on: the one place that reads a device's name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def parse_device(name: str | torch.device = "auto") -> torch.device:
    """A device that exists on this machine.

    Args:
        name: "cpu", "cuda", "cuda:1", "mps", a torch device, or "auto": what UNCAGE_DEVICE names, else cuda where there is one, else cpu.

    Raises:
        ValueError: naming what was given and what is allowed, or a device that is not on this machine.
    """
    import torch

    if name == "auto":
        name = os.environ.get("UNCAGE_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"device={str(name)!r}: use auto, cpu, cuda, cuda:N or mps") from None
    here = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if device.type not in here:
        raise ValueError(f"device={str(name)!r}: use auto, cpu, cuda, cuda:N or mps")
    if (device.index or 0) >= here[device.type]:
        raise ValueError(f"device={str(name)!r}: this machine has {here[device.type]} {device.type.upper()} devices; cpu always works")
    return device
