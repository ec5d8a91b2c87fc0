"""A convolutional stem in the place of the patch embedding.

Xiao et al., 2021, https://arxiv.org/abs/2106.14881: a few stride-2 convolutions before the
transformer train faster and from less data than one 16×16 projection. Its maps of strides 4 and 8
are kept for the pyramid, which then need not be made of stride 16.

Shapes: B batch, H×W pixels, C hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions around which the input is added; He et al., 2015,
    https://arxiv.org/abs/1512.03385, section 3."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = _convolution(channels, channels, 1)
        self.conv2 = _convolution(channels, channels, 1)
        nn.init.zeros_(self.conv2[1].weight)  # type: ignore[arg-type]  # starts as the identity

    def forward(self, x: Tensor) -> Tensor:
        """x: B×D×H×W → the same shape."""
        return F.relu(x + self.conv2(F.relu(self.conv1(x))))


class ConvStem(nn.Module):
    """Stride-2 convolutions down to stride 16, with residual blocks at strides 4, 8 and 16."""

    def __init__(self, hidden_size: int, channels: Sequence[int], blocks: int) -> None:
        """
        Args:
            hidden_size: C of the stride-16 map.
            channels: of the maps of strides 4, 8 and 16 (the last before the projection to C).
            blocks: residual blocks at each of these strides.
        """
        super().__init__()
        self.first = _convolution(3, channels[0], 2)
        inputs = (channels[0], *channels[:-1])
        self.down = nn.ModuleList(
            _convolution(a, b, 2) for a, b in zip(inputs, channels, strict=True)
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(width) for _ in range(blocks))) for width in channels
        )
        self.project = nn.Conv2d(channels[-1], hidden_size, 1)
        nn.init.kaiming_normal_(self.project.weight, nonlinearity="linear")
        nn.init.zeros_(self.project.bias)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """images: B×3×H×W, H and W multiples of 16 → maps of strides 4, 8 and 16 (C channels)."""
        x = F.relu(self.first(images.contiguous(memory_format=torch.channels_last)))
        maps = []
        for down, blocks in zip(self.down, self.blocks, strict=True):
            x = blocks(F.relu(down(x)))
            maps.append(x)
        return maps[0], maps[1], self.project(maps[2])


def _convolution(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """A 3×3 convolution without bias, and BatchNorm."""
    convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))
