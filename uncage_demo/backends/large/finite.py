"""Values that are not finite: which tensor, how many, and the first layer that gave them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn


def check_finite(values: torch.Tensor, name: str, where: str) -> None:
    """Nothing, when every value is a finite number.

    Args:
        values: any tensor.
        name: what the message calls it.
        where: appended to the message.

    Raises:
        FloatingPointError: naming tensor, shape, dtype, how many values, and what helps.
    """
    wrong = int((~values.isfinite()).sum())
    if not wrong:
        return
    dtype = str(values.dtype).removeprefix("torch.")
    help_ = "load the model with dtype bfloat16 or float32" if values.dtype == torch.float16 else "the weights may be damaged"
    raise FloatingPointError(f"{name} {tuple(values.shape)} in {dtype}: {wrong} of {values.numel()} values are not finite{where}; {help_}")


def first_not_finite(module: nn.Module, run: Callable[[], Any]) -> str:
    """Run a module once more and say where values stop being finite.

    Args:
        module: whose layers are watched.
        run: does the forward.

    Returns:
        "the first such layer is NAME", a parameter's name if it holds such values itself, or that the layers' own results are finite.
    """
    for name, parameter in module.named_parameters():
        if not parameter.isfinite().all():
            return f"the weights {name} hold such values"
    found: list[str] = []

    def watch(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            tensors = [one for one in (output if isinstance(output, (tuple, list)) else (output,)) if isinstance(one, torch.Tensor)]
            if not found and any(not tensor.isfinite().all() for tensor in tensors):
                found.append(name)

        return hook

    hooks = [part.register_forward_hook(watch(name)) for name, part in module.named_modules() if name]
    try:
        with torch.no_grad():
            run()
    finally:
        for hook in hooks:
            hook.remove()
    return f"the first such layer is {found[0]}" if found else "no layer alone gives such values"
