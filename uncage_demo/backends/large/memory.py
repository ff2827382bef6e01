"""Memory of a device: where the parts of a model live, and an error that says which part did not fit and what would help."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from uncage_demo.backends.options import ModelOptions

# How PyTorch says it of main memory, for which it has no error of its own.
_MAIN_MEMORY = ("can't allocate memory", "not enough memory")


@contextmanager
def memory_told(doing: str, device: torch.device, options: ModelOptions) -> Iterator[None]:
    """Turn PyTorch's errors about memory into one that says what to do.

    Args:
        doing: what the memory is for, such as "a step of meissonic".
        device: where it is wanted.
        options: how the model was loaded.

    Raises:
        MemoryError: instead of torch.OutOfMemoryError, and of main memory's RuntimeError.
    """
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and not any(text in str(error) for text in _MAIN_MEMORY):
            raise
        raise MemoryError(f"not enough memory on {device} for {doing}. {what_helps(device, options)}") from None


def what_helps(device: torch.device, options: ModelOptions) -> str:
    """What needs less memory than how a model is loaded now."""
    ways = []
    if device.type != "cpu" and not options.offload:
        ways.append("offload=True (--offload)")
    if options.dtype == "float32" or (options.dtype is None and device.type == "cpu"):
        ways.append("dtype='bfloat16' (--dtype bfloat16)")
    ways.append("a smaller image_size_px (--image-size)")
    ways.append("fewer pictures side by side")
    return f"What helps: {', '.join(ways[:-1])} or {ways[-1]}."


class Residency:
    """Where modules live. Without offloading all stay on the device; with it, only the one in use does.

    Args:
        modules: name -> module.
        device: where they run.
        offload: keep unused ones in main memory.
    """

    def __init__(self, modules: dict[str, nn.Module], device: torch.device, offload: bool) -> None:
        self.modules, self.device, self.offload = modules, device, offload
        self.active: str | None = None
        for module in modules.values():
            module.to("cpu" if offload else device)

    def use(self, name: str) -> None:
        """Bring a module to the device (and send the others away when offloading)."""
        if not self.offload or self.active == name:
            return
        for other, module in self.modules.items():
            if other != name:
                module.to("cpu")
        self.modules[name].to(self.device)
        self.active = name
