"""Mask head, its targets, and pasting masks into the page.

Mask R-CNN: He et al., 2017, https://arxiv.org/abs/1703.06870, section 3.

Shapes: N regions, D channels, S cells of a pooled region (14), M = 2S cells of a mask (28).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from pycocotools import mask as coco_mask
from torch import Tensor, nn

from lmv3det.model.precision import at_least_float32
from lmv3det.model.roi_pool import ROIPooler
from lmv3det.structures import Polygons


class MaskHead(nn.Module):
    """Four 3×3 convolutions, a deconvolution and one mask a class."""

    def __init__(
        self,
        pooler: ROIPooler,
        in_channels: int = 256,
        dim: int = 256,
        num_convs: int = 4,
        num_classes: int = 5,
    ) -> None:
        super().__init__()
        self.pooler = pooler
        channels = [in_channels, *[dim] * num_convs]
        self.convs = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1) for before, after in pairwise(channels)
        )
        self.deconv = nn.ConvTranspose2d(channels[-1], dim, 2, stride=2)
        self.predictor = nn.Conv2d(dim, num_classes, 1)
        for convolution in (*self.convs, self.deconv):
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(convolution.bias)
        nn.init.normal_(self.predictor.weight, std=0.001)
        nn.init.zeros_(self.predictor.bias)  # type: ignore[arg-type]

    def forward(self, pyramid: Sequence[Tensor], boxes: Tensor, batch_index: Tensor) -> Tensor:
        """boxes: N×4 pixels; batch_index: N int64 → mask logits N×classes×M×M."""
        x = self.pooler(pyramid, boxes, batch_index)  # N×D×S×S
        for convolution in self.convs:
            x = F.relu(convolution(x))
        return self.predictor(F.relu(self.deconv(x)))

    def loss(
        self,
        pyramid: Sequence[Tensor],
        boxes: Tensor,
        batch_index: Tensor,
        classes: Tensor,
        outlines: Sequence[Polygons],
    ) -> Tensor:
        """Binary cross-entropy of each region's own class, mean over regions and cells.

        Args:
            boxes: N×4 foreground regions, pixels. batch_index: N. classes: N int64.
            outlines: the N matched ground truths' polygons, in the same pixels.
        """
        logits = self(pyramid, boxes, batch_index)  # N×classes×M×M
        if not len(boxes):
            return logits.sum() * 0
        logits = logits[torch.arange(len(classes), device=classes.device), classes]  # N×M×M
        truth = rasterise(outlines, boxes.detach().cpu().double().numpy(), logits.shape[-1])
        wide = at_least_float32(logits)
        target = torch.from_numpy(truth).to(wide.device, wide.dtype, non_blocking=True)
        return F.binary_cross_entropy_with_logits(wide, target)

    @torch.no_grad()
    def predict(
        self, pyramid: Sequence[Tensor], boxes: Tensor, batch_index: Tensor, classes: Tensor
    ) -> Tensor:
        """Mask probabilities N×M×M of each region's own class, at least float32."""
        logits = self(pyramid, boxes, batch_index)
        own = logits[torch.arange(len(classes), device=classes.device), classes]
        return at_least_float32(own).sigmoid()


def rasterise(outlines: Sequence[Polygons], boxes: np.ndarray, size: int) -> np.ndarray:
    """Draw each outline in the frame of its box, by COCO's rules.

    Args:
        outlines: N unions of polygons, each K×2 (x, y) pixels.
        boxes: N×4 pixels.
        size: cells of a mask, each way.

    Returns:
        N×size×size bool.
    """
    masks = np.zeros((len(outlines), size, size), dtype=bool)
    for mask, outline, box in zip(masks, outlines, boxes, strict=True):
        scale = size / np.maximum(box[2:] - box[:2], 0.1)
        parts = [((polygon - box[:2]) * scale).ravel() for polygon in outline]
        if parts:
            runs = coco_mask.merge(coco_mask.frPyObjects(parts, size, size))
            mask[:] = coco_mask.decode(runs).astype(bool)
    return masks


def paste(
    masks: Tensor, boxes: Tensor, image_size: tuple[int, int], threshold: float = 0.5
) -> Tensor:
    """Put M×M masks into the page.

    Args:
        masks: N×M×M probabilities. boxes: N×4 pixels. image_size: (height, width).
        threshold: probability from which a pixel belongs to the region; below 0 the
            probabilities are kept, as uint8 0..255 (truncated).

    Returns:
        N×H×W bool, or uint8.
    """
    height, width = image_size
    chunk = max(1, 2**28 // max(1, height * width * 4))  # 256 MiB of float at a time
    parts = [
        _paste(some, where, height, width, threshold)
        for some, where in zip(masks.split(chunk), boxes.split(chunk), strict=True)
    ]
    dtype = torch.bool if threshold >= 0 else torch.uint8
    return torch.cat(parts) if parts else masks.new_zeros((0, height, width), dtype=dtype)


def _paste(masks: Tensor, boxes: Tensor, height: int, width: int, threshold: float) -> Tensor:
    x0, y0, x1, y1 = boxes.unsqueeze(-1).unbind(1)  # N×1 each
    x = torch.arange(width, device=masks.device, dtype=boxes.dtype) + 0.5
    y = torch.arange(height, device=masks.device, dtype=boxes.dtype) + 0.5
    x = (x - x0) / (x1 - x0) * 2 - 1  # N×W, -1..1 within the box
    y = (y - y0) / (y1 - y0) * 2 - 1  # N×H
    grid = torch.stack(
        [x[:, None].expand(-1, height, -1), y[:, :, None].expand(-1, -1, width)], dim=3
    )
    # A box without width or height covers nothing.
    grid = grid.nan_to_num(nan=2.0, posinf=2.0, neginf=-2.0).to(masks.dtype)
    values = F.grid_sample(masks.unsqueeze(1), grid, align_corners=False)[:, 0]  # N×H×W
    return values >= threshold if threshold >= 0 else (values * 255).to(torch.uint8)
