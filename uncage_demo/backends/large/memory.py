"""Too little memory, told: which part of which model did not fit, and what would help that is not in use yet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

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
