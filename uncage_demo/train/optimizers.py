"""What trains the transformer: Muon beside AdamW, on processors with and without bf16.

Source: Muon, https://kellerjordan.github.io/posts/muon (Jordan, 2024).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from uncage_demo.train import loop


class _StayFloat32(TorchFunctionMode):
    """Leaves tensors as they are where bf16 is asked for."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """One call of PyTorch."""
        return args[0].clone() if func == Tensor.bfloat16 else func(*args, **kwargs or {})


class Float32Muon(torch.optim.Muon):
    """Muon without its rounding to bf16, for processors that only imitate it (a step there took three times as long as all else)."""

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """As torch.optim.Muon.step."""
        with _StayFloat32():
            return super().step(closure)  # pyright: ignore[reportArgumentType]


def make_optimizers(model: nn.Module, peak: float, device: torch.device) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for embeddings, norms, biases and convolutions.

    Args:
        model: a SceneTransformer. peak: highest learning rate; Muon's steps are matched to AdamW's in size. device: where it trains.
    """
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "blocks" in name]
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    muon = torch.optim.Muon if loop.has_bf16(device) else Float32Muon
    return [
        muon(matrices, lr=peak, weight_decay=0.01, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=peak, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def learning_rate(peak: float, step: int, fraction: float) -> float:
    """Warm-up over 200 steps, constant, then linear to zero over the last 40 % of the budget.

    Args:
        peak: highest rate. step: from 0. fraction: done part of the budget, 0..1.
    """
    return peak * min(1.0, (step + 1) / 200) * min(1.0, max(0.0, (1 - fraction) / 0.4) + 0.002)
