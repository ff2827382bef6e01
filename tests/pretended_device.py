"""A device that is not there: tensors carry a mark that says where they would be, and what mixes devices is an error.

So code that forgets to move something to an accelerator fails on a machine without one. All arithmetic is the CPU's.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

DEVICE = "cuda"
# What PyTorch allows across devices when the first tensor is on the accelerator.
MIXING = ("__getitem__", "__setitem__", "copy_")
# Bookkeeping of modules and copies that computes nothing.
IGNORED = ("_has_compatible_shallow_copy_type", "__deepcopy__")


class MixedDevicesError(RuntimeError):
    """An operation got tensors of both devices, or NumPy one of the accelerator's."""


def place(tensor: Tensor) -> str:
    """Where a tensor is: "cpu" or DEVICE."""
    return getattr(tensor, "_place", "cpu")


class PretendedDevice(TorchFunctionMode):
    """While active, `.to("cuda")` and `device="cuda"` mark tensors, marks follow every operation, and mixing raises MixedDevicesError."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """One call of PyTorch."""
        kwargs, name = dict(kwargs or {}), getattr(func, "__name__", "")
        if func == Tensor.device.__get__:
            return torch.device(place(args[0]))
        if func == Tensor.data.__set__:  # pyright: ignore[reportAttributeAccessIssue]
            _moved(args[0], place(args[1]))
            return func(*args)
        if func == Tensor.cpu:
            return _moved(args[0].view_as(args[0]), "cpu")
        if func == Tensor.to:
            return _to(*args, **kwargs)
        if name in ("numpy", "__array__") and place(args[0]) != "cpu":
            raise MixedDevicesError(f"{name} of a tensor on {DEVICE}")
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        places = {place(t) for t in tensors if t.dim()} or {place(t) for t in tensors}
        if len(places) > 1 and name not in IGNORED and not (name in MIXING and place(tensors[0]) == DEVICE):
            raise MixedDevicesError(f"{name} of tensors on {', '.join(f'{place(t)} {tuple(t.shape)}' for t in tensors)}")
        asked = kwargs.pop("device", None)
        where = torch.device(asked).type if asked is not None else place(tensors[0]) if len(places) > 1 else next(iter(places), "cpu")
        result = func(*args, **kwargs)
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                _moved(leaf, where)
        return result


def _to(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """`Tensor.to`: the device becomes a mark, the rest is done."""
    where, rest = place(tensor), []
    for value in (*args, kwargs.pop("device", None)):
        if isinstance(value, torch.device | str):
            where = torch.device(value).type
        elif isinstance(value, torch.dtype):
            rest.append(value)
    wanted = {key: value for key, value in kwargs.items() if key in ("dtype", "memory_format")}
    changed = Tensor.to(tensor, *rest, **wanted) if rest or wanted else tensor
    return _moved(changed.view_as(changed), where)


def _moved(tensor: Tensor, where: str) -> Tensor:
    tensor._place = where  # pyright: ignore[reportAttributeAccessIssue]
    return tensor
