"""3 x 3 convolutions with fewer multiplications, for graphs that WebAssembly computes.

A tile of 3 x 3 results takes 81 multiplications per pair of channels as a sum of products, and 25 after Winograd's transform of its
5 x 5 inputs and of the kernel. The kernels are transformed where the graph is loaded, so the file holds them as they are.

Shapes: b batch, c channels in, k channels out, h w picture, r c tiles of 3 x 3 in rows and columns.
Source: 1509.09308 (minimal filtering F(3 x 3, 3 x 3), points 0, 1, -1, 2 and infinity).
"""

from __future__ import annotations

from copy import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 3  # of a tile's results, and of the kernel
POINTS = 2 * SIDE - 1  # of a tile's inputs along one side
# One axis: results = RESULTS @ ((KERNEL @ g) * (INPUTS @ d)) of three taps g and five inputs d.
RESULTS = ((1, 1, 1, 1, 0), (0, 1, -1, 2, 0), (0, 1, 1, 4, 1))
KERNEL = ((1 / 2, 0, 0), (-1 / 2, -1 / 2, -1 / 2), (-1 / 6, 1 / 6, -1 / 6), (1 / 6, 1 / 3, 2 / 3), (0, 0, 1))
INPUTS = ((2, -1, -2, 1, 0), (0, -2, -1, 1, 0), (0, 2, -3, 1, 0), (0, -1, 0, 1, 0), (0, 2, -1, -2, 1))
# Of fewer channels the transforms cost more than they save.
_LEAST_CHANNELS = 32


class WinogradConv(nn.Module):
    """A convolution as `conv`, of pictures whose sides are multiples of three; the last digits are its own.

    Args:
        conv: 3 x 3, stride 1, padding 1, one group.
    """

    results: Tensor
    kernel: Tensor
    inputs: Tensor

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        results, kernel, inputs = (torch.kron(one, one) for one in map(torch.tensor, (RESULTS, KERNEL, INPUTS)))
        self.register_buffer("results", results.float())
        self.register_buffer("kernel", kernel.float())
        self.register_buffer("inputs", inputs.float().view(POINTS**2, 1, POINTS, POINTS))

    def forward(self, x: Tensor) -> Tensor:
        """Pictures "b k h w" of pictures "b c h w"."""
        _, c, h, w = (int(size) for size in x.shape)
        k, rows, columns = self.weight.shape[0], h // SIDE, w // SIDE
        kernels = (self.kernel @ self.weight.permute(2, 3, 0, 1).reshape(SIDE**2, k * c)).view(POINTS**2, k, c)
        tiles = F.conv2d(x.reshape(-1, 1, h, w), self.inputs, stride=SIDE, padding=1)
        tiles = tiles.view(-1, c, POINTS**2, rows * columns).permute(2, 1, 0, 3).reshape(POINTS**2, c, -1)
        made = self.results @ (kernels @ tiles).reshape(POINTS**2, -1)
        made = made.view(SIDE, SIDE, k, -1, rows, columns).permute(3, 2, 4, 0, 5, 1).reshape(-1, k, h, w)
        return made if self.bias is None else made + self.bias[:, None, None]


def with_winograd(module: nn.Module, height: int, width: int) -> nn.Module:
    """A module with every 3 x 3 convolution that this makes faster replaced; the given one stays.

    Args:
        module: of convolutions of stride 1 and of steps that multiply the sides of its pictures by whole numbers.
        height, width: of the pictures it is called with; where three does not divide them, nothing is replaced.
    """
    if height % SIDE or width % SIDE:
        return module
    return _replaced(module)


def _replaced(module: nn.Module) -> nn.Module:
    if isinstance(module, nn.Conv2d):
        plain = module.kernel_size == (SIDE, SIDE) and module.stride == (1, 1) and module.padding == (1, 1) and module.groups == 1
        return WinogradConv(module) if plain and module.in_channels >= _LEAST_CHANNELS else module
    made = copy(module)  # its weights are the same ones
    made._modules = {name: child and _replaced(child) for name, child in module._modules.items()}
    return made
