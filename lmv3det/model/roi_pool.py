"""ROIAlign over the levels of a pyramid.

Mask R-CNN: He et al., 2017, https://arxiv.org/abs/1703.06870, section 3; the level of a region:
FPN, Lin et al., 2017, https://arxiv.org/abs/1612.03144, equation 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.ops import roi_align


def assign_level(boxes: Tensor, first: int = 2, last: int = 5) -> Tensor:
    """The pyramid level of each box: ⌊4 + log2(√area / 224)⌋ within first … last.

    Args:
        boxes: N×4 pixels.

    Returns:
        N int64, 0 for level `first`.
    """
    side = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sqrt()
    level = torch.floor(4 + torch.log2(side / 224 + 1e-8))
    return level.clamp(first, last).long() - first


class ROIPooler(nn.Module):
    """Crops every region from the level that fits its size, as P×P cells."""

    def __init__(
        self, output_size: int, strides: Sequence[int] = (4, 8, 16, 32), sampling_ratio: int = 0
    ) -> None:
        """sampling_ratio: samples of a cell each way; 0 adapts to the region's size."""
        super().__init__()
        self.output_size = output_size
        self.strides = tuple(strides)
        self.sampling_ratio = sampling_ratio

    def forward(self, pyramid: Sequence[Tensor], boxes: Tensor, batch_index: Tensor) -> Tensor:
        """Pool N regions.

        Args:
            pyramid: p2 … p5 (further levels are ignored), each B×D×H×W.
            boxes: N×4 pixels.
            batch_index: N int64, the page of each box within the batch.

        Returns:
            N×D×P×P in the pyramid's dtype. Half precision is widened on the way, because there a
            coordinate of 1000 would be off by up to 2 pixels. A coordinate that is not a number is
            pooled as 0.
        """
        boxes = boxes.to(torch.promote_types(boxes.dtype, pyramid[0].dtype)).nan_to_num(nan=0.0)
        rois = torch.cat([batch_index.to(boxes.dtype).unsqueeze(1), boxes], dim=1)  # N×5
        if len(self.strides) == 1:
            return self._pool(pyramid[0], rois, self.strides[0])
        level = assign_level(boxes, 2, 1 + len(self.strides))
        order = torch.argsort(level, stable=True)
        # One reading of the device; `bincount` would be two more.
        counts = (level == torch.arange(len(self.strides), device=level.device)[:, None]).sum(1)
        pooled = [
            self._pool(features, part, stride)
            for features, part, stride in zip(
                pyramid, rois[order].split(counts.tolist()), self.strides, strict=False
            )
        ]
        return torch.cat(pooled)[torch.argsort(order)]

    def _pool(self, features: Tensor, rois: Tensor, stride: int) -> Tensor:
        size, ratio = self.output_size, self.sampling_ratio or -1
        wide = features.to(rois.dtype)
        pooled = roi_align(wide, rois, size, 1 / stride, ratio, aligned=True)
        return pooled.to(features.dtype)
