"""From one-scale ViT maps to a feature pyramid.

Shapes: B batch, C hidden size, Hp×Wp patches (stride 16), D pyramid channels.
ViT to pyramid: Li et al., 2021, https://arxiv.org/abs/2111.11429, section 3; FPN: Lin et al.,
2017, https://arxiv.org/abs/1612.03144, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d


class ViTPyramid(nn.Module):
    """Four maps of stride 16 → strides 4, 8, 16, 32."""

    def __init__(self, channels: int, norm: str = "batch") -> None:
        """norm: `batch`, or `frozen` for a BatchNorm that keeps its running values."""
        super().__init__()
        self.out_channels = [channels] * 4
        batch_norm = {"batch": nn.BatchNorm2d, "frozen": FrozenBatchNorm2d}[norm]
        self.up4 = nn.Sequential(
            nn.ConvTranspose2d(channels, channels, 2, stride=2),
            batch_norm(channels),
            nn.GELU(),
            nn.ConvTranspose2d(channels, channels, 2, stride=2),
        )
        self.up2 = nn.Sequential(nn.ConvTranspose2d(channels, channels, 2, stride=2))
        self.down2 = nn.MaxPool2d(2)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """maps: four B×C×Hp×Wp → B×C×4Hp×4Wp, B×C×2Hp×2Wp, B×C×Hp×Wp, B×C×Hp/2×Wp/2."""
        first, second, third, fourth = maps
        return [self.up4(first), self.up2(second), third, self.down2(fourth)]


class StemPyramid(nn.Module):
    """The maps of a convolutional stem and of the encoder → strides 4, 8, 16, 32.

    Nothing is upsampled from stride 16: the FPN's top-down path does that.
    """

    def __init__(self, channels: int, fine_channels: Sequence[int]) -> None:
        """fine_channels: of the stem's maps of strides 4 and 8. The map of stride 8 gets C
        channels, so that text can be fused with it; that of stride 4 keeps its own."""
        super().__init__()
        self.out_channels = [fine_channels[0], channels, channels, channels]
        self.lateral = nn.Conv2d(fine_channels[1], channels, 1)
        self.down2 = nn.MaxPool2d(2)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """maps: strides 4, 8, 16, 16 → strides 4, 8, 16, 32."""
        first, second, third, fourth = maps
        return [first, self.lateral(second), third, self.down2(fourth)]


class MapPyramid(nn.Module):
    """The maps of a hierarchical encoder, of strides 4, 8, 16, 32, as they are."""

    def __init__(self, in_channels: Sequence[int], channels: int | None = None) -> None:
        """channels: bring every map to as many by a 1×1 convolution, so that text can be fused with
        it; None leaves the maps alone."""
        super().__init__()
        self.out_channels = [channels or number for number in in_channels]
        self.lateral = nn.ModuleList(
            nn.Conv2d(number, channels, 1) if channels else nn.Identity() for number in in_channels
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """maps: strides 4, 8, 16, 32 → the same."""
        return [lateral(one) for lateral, one in zip(self.lateral, maps, strict=True)]


def build_pyramid(
    channels: Sequence[int], strides: Sequence[int], norm: str = "batch", fused: int | None = None
) -> ViTPyramid | StemPyramid | MapPyramid:
    """The pyramid of strides 4, 8, 16, 32 for an encoder's maps.

    Args:
        channels: of the four maps.
        strides: of the four maps, one of `backbone_base.STRIDES`.
        norm: as for `ViTPyramid`.
        fused: channels that maps which are fused with text must have, where they differ.
    """
    if tuple(strides) == (16, 16, 16, 16):
        return ViTPyramid(channels[0], norm)
    if tuple(strides) == (4, 8, 16, 16):
        return StemPyramid(channels[3], channels[:2])
    return MapPyramid(channels, fused)


class FPN(nn.Module):
    """Lateral 1×1 and output 3×3 convolutions with a top-down path; p6 is p5 at every second
    cell."""

    def __init__(self, in_channels: Sequence[int], out_channels: int = 256) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(c, out_channels, 1) for c in in_channels)
        self.output = nn.ModuleList(
            nn.Conv2d(out_channels, out_channels, 3, padding=1) for _ in in_channels
        )
        for convolution in (*self.lateral, *self.output):
            nn.init.kaiming_uniform_(convolution.weight, a=1)
            nn.init.zeros_(convolution.bias)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """maps: finest first, strides 4 … 32 → p2 … p6, each B×D×H×W, strides 4 … 64."""
        above: Tensor | None = None
        pyramid: list[Tensor] = []
        for features, lateral, output in reversed(
            list(zip(maps, self.lateral, self.output, strict=True))
        ):
            merged = lateral(features)
            if above is not None:
                merged = merged + F.interpolate(above, scale_factor=2.0, mode="nearest")
            pyramid.insert(0, output(merged))
            above = merged
        return [*pyramid, F.max_pool2d(pyramid[-1], kernel_size=1, stride=2)]
