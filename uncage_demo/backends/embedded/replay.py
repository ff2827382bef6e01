"""Functions of tensors, played back without Python between their operators.

The embedded model is so small that Python and its way into each operator are a seventh of a forward pass. A function that has been asked
often for inputs of the same shapes is recorded once, and its operators are then run by PyTorch's own interpreter, in the same order, as
they were: nothing is fused or reordered, and the first playback must have the bits of the function itself.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn

Outputs = tuple[Tensor, ...]
# Addresses and versions of weights.
State = tuple[tuple[int, ...], tuple[int, ...]]

_VERSION = attrgetter("_version")

# A recording costs as much as some 25 calls save, so a single picture is drawn without one.
CALLS_BEFORE = 32
_MOST = 16  # recordings in the life of a process: 4 to 9 MB each, which PyTorch never gives back
MOST_SAMPLES = 2  # where more are drawn together, Python's share is too small to be worth a recording


def state_of(modules: Sequence[nn.Module]) -> State:
    """Addresses and versions of every weight that the modules themselves hold: equal as long as none is changed or replaced."""
    # Looked up each time: a weight may be replaced, a module is not.
    weights = [weight for part in modules for weight in part._parameters.values() if weight is not None]
    try:
        versions = tuple(map(_VERSION, weights))
    except RuntimeError:  # loaded in inference mode: PyTorch counts no changes of such tensors
        versions = ()
    return tuple(map(Tensor.data_ptr, weights)), versions


_recording = threading.Lock()
_made = 0  # by this process


class Replays:
    """What was recorded, and how often what else was asked. May be asked by several threads."""

    def __init__(self) -> None:
        self._calls: dict[Any, int] = {}
        self._recorded: dict[Any, Any] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Replays:
        """A recording belongs to the weights that it was made with: a copy begins with none."""
        return Replays()

    def run(self, key: Any, function: Callable[..., Outputs], inputs: tuple[Tensor, ...], *, at_once: bool = False) -> Outputs:
        """What the function makes of the inputs, from a recording where there is one.

        Args:
            key: hashable; all that the function does beyond what its inputs say.
            function: of tensors alone; it may not ask for a value of theirs.
            inputs: on one device, without gradients; the first one's first axis is that of the samples.
            at_once: record it now, however often it has been asked.

        Returns:
            The function's outputs, bit for bit.
        """
        if inputs[0].device.type != "cpu" or len(inputs[0]) > MOST_SAMPLES or torch.is_autocast_enabled("cpu"):
            return function(*inputs)
        shape = _shape(key, inputs)
        recorded = self._recorded.get(shape)
        if recorded is not None:
            return _played(recorded, inputs)
        calls = self._calls[shape] = self._calls.get(shape, 0) + 1
        if calls != CALLS_BEFORE and not at_once:
            return function(*inputs)
        made = function(*inputs)
        self._record(shape, function, inputs, made)
        return made

    def has(self, key: Any, inputs: tuple[Tensor, ...]) -> bool:
        """Whether `run` has a recording for such inputs."""
        return _shape(key, inputs) in self._recorded

    @property
    def recorded(self) -> int:
        """How many recordings there are."""
        return len(self._recorded)

    def _record(self, shape: Any, function: Callable[..., Outputs], inputs: tuple[Tensor, ...], made: Outputs) -> None:
        global _made

        def named(*tensors: Tensor) -> Outputs:  # the recorder wants a function with a name
            return function(*tensors)

        with _recording, warnings.catch_warnings():
            if _made >= _MOST or shape in self._recorded:
                return
            _made += 1
            # What the recorder warns of, sizes taken as they are, is what the key is for.
            warnings.simplefilter("ignore")
            try:
                recorded = torch.jit.trace(named, inputs, check_trace=False)
            except RuntimeError:  # PyTorch records on some versions of Python only: the function is called as before
                return
            again = _played(recorded, inputs)
            if all(torch.equal(one, other) for one, other in zip(made, again, strict=True)):
                self._recorded[shape] = recorded


def _shape(key: Any, inputs: tuple[Tensor, ...]) -> Any:
    return (key, *((one.shape, one.dtype) for one in inputs))


def _played(recorded: Any, inputs: tuple[Tensor, ...]) -> Outputs:
    # What was recorded is run, not something rewritten.
    with torch.jit.optimized_execution(False):  # pyright: ignore[reportPrivateImportUsage]
        return tuple(recorded(*inputs))
