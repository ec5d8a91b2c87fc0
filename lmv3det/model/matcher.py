"""Which ground truth each box is matched with, and which boxes are trained on.

Faster R-CNN: Ren et al., 2015, https://arxiv.org/abs/1506.01497, section 3.1.2.
"""

from __future__ import annotations

import torch
from torch import Tensor


def match(
    iou: Tensor, negative_iou: float, positive_iou: float, allow_low_quality: bool = False
) -> tuple[Tensor, Tensor]:
    """Assign each of N boxes to one of G ground truths.

    With `allow_low_quality`, every box that ties for some ground truth's best IoU is positive too,
    and keeps its own best ground truth; a ground truth that no box overlaps (best IoU
    0) makes every box positive that does not overlap it, as in the original.

    Args:
        iou: G×N, G may be 0.

    Returns:
        index N int64 of the best ground truth (0 where G = 0), and label N int8: 1 positive,
        0 negative, -1 ignored (best IoU from negative_iou up to positive_iou).
    """
    if iou.shape[0] == 0:
        index = torch.zeros(iou.shape[1], dtype=torch.int64, device=iou.device)
        return index, torch.zeros_like(index, dtype=torch.int8)
    best, index = iou.max(dim=0)  # N
    label = torch.full_like(index, -1, dtype=torch.int8)
    label.masked_fill_(best < negative_iou, 0).masked_fill_(best >= positive_iou, 1)
    if allow_low_quality:
        best_of_truth = iou.max(dim=1, keepdim=True).values  # G×1
        label.masked_fill_((iou == best_of_truth).any(dim=0), 1)
    return index, label


def sample(
    label: Tensor, number: int, positive_fraction: float
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Draw at most `number` boxes of each row at random: at most the given fraction
    positive, the rest negative. Nothing is synchronised with the host.

    Args:
        label: B×N int8 as `match` gives.

    Returns:
        For the positives, then for the negatives: index B×k int64 and drawn B×k bool, which is
        True where the index counts.
    """
    order = torch.rand(label.shape, device=label.device)

    def draw(wanted: Tensor, limit: int) -> tuple[Tensor, Tensor]:
        key, index = order.masked_fill(~wanted, -1.0).topk(min(limit, label.shape[1]), dim=1)
        return index, key >= 0

    positive, positive_drawn = draw(label == 1, int(number * positive_fraction))
    negative, negative_drawn = draw(label == 0, number)
    room = number - positive_drawn.sum(1, keepdim=True)  # B×1
    negative_drawn &= torch.arange(negative.shape[1], device=label.device) < room
    return (positive, positive_drawn), (negative, negative_drawn)
