"""torch.compile for the large models: the parts between attentions, and a clear error where nothing can be compiled.

Attention is left out on purpose. It runs in a fused kernel already, and as plain code between compiled parts it can be read or masked
without compiling anything again, so that the logits are bitwise the same whether attention is read or not.
"""

from __future__ import annotations

import torch
from torch import nn

from uncage_demo.backends.large.weights import first_line


def compile_methods(module: nn.Module, *names: str) -> None:
    """Replace methods of a module by compiled ones, in place; modules of one class and size share what is compiled.

    Args:
        module: any module.
        names: methods of it that read no data of tensors and call nothing that cannot be traced.
    """
    for name in names:
        setattr(module, name, torch.compile(getattr(module, name), fullgraph=True))


def require_compiler(device: torch.device) -> None:
    """Compile something small on the device, so that a machine without a compiler says so at once and not in the first step.

    Raises:
        ValueError: what is needed.
    """
    from torch._inductor.utils import fresh_cache

    needs = "Triton" if device.type == "cuda" else "a C++ compiler (g++ or clang++; CXX names another) and Python's headers"
    try:
        # What an earlier process compiled and left on the disk proves nothing about this one.
        with fresh_cache():
            torch.compile(_trial)(torch.ones(8, device=device))
    except (RuntimeError, OSError) as error:
        raise ValueError(
            f"compile=True: torch.compile needs {needs} for {device}; load the model without it ({first_line(error)})"
        ) from None


def _trial(x: torch.Tensor) -> torch.Tensor:
    return (x * 2).sin()
