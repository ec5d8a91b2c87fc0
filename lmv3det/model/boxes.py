"""Arithmetic of boxes: coder, regression losses, clipping, NMS.

Boxes are …×4: x0, y0, x1, y1 in pixels.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import batched_nms, nms

SCALE_CLAMP = math.log(1000.0 / 16)
"""Largest dw and dh, so that exp() stays finite."""
MAX_NMS_BOXES = 25_000
"""Boxes that one suppression on a GPU takes: it keeps a bit for each pair, here 78 MB."""


def encode(boxes: Tensor, targets: Tensor, weights: Sequence[float]) -> Tensor:
    """Deltas …×4 (dx, dy, dw, dh) that turn `boxes` into `targets`.

    R-CNN: Girshick et al., 2014, https://arxiv.org/abs/1311.2524, appendix C, times `weights`.
    """
    (x, y, w, h), (tx, ty, tw, th) = _center_size(boxes), _center_size(targets)
    wx, wy, ww, wh = weights
    deltas = [wx * (tx - x) / w, wy * (ty - y) / h, ww * torch.log(tw / w), wh * torch.log(th / h)]
    return torch.stack(deltas, dim=-1)


def decode(boxes: Tensor, deltas: Tensor, weights: Sequence[float]) -> Tensor:
    """Boxes moved by deltas, the inverse of `encode`; dw and dh are clamped at log(1000/16).

    Args:
        boxes: …×4.
        deltas: …×4, or …×4k for k classes.

    Returns:
        As `deltas`, in the wider of both dtypes.
    """
    moves = deltas.unflatten(-1, (-1, 4))  # …×k×4
    x, y, w, h = (part.unsqueeze(-1) for part in _center_size(boxes))  # …×1
    dx, dy, dw, dh = (part / weight for part, weight in zip(moves.unbind(-1), weights, strict=True))
    center_x, center_y = x + dx * w, y + dy * h
    half_w = 0.5 * w * torch.exp(dw.clamp(max=SCALE_CLAMP))
    half_h = 0.5 * h * torch.exp(dh.clamp(max=SCALE_CLAMP))
    corners = [center_x - half_w, center_y - half_h, center_x + half_w, center_y + half_h]
    return torch.stack(corners, dim=-1).flatten(-2)


def _center_size(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x0, y0, x1, y1 = boxes.unbind(-1)
    w, h = x1 - x0, y1 - y0
    return x0 + 0.5 * w, y0 + 0.5 * h, w, h


def clip(boxes: Tensor, limits: Tensor) -> Tensor:
    """Boxes cut at their page: `limits` is broadcast …×2 (height, width)."""
    height, width = limits.to(boxes.dtype).unbind(-1)
    zero = torch.zeros_like(width)
    x0, y0, x1, y1 = boxes.unbind(-1)
    inside = [
        x0.maximum(zero).minimum(width),
        y0.maximum(zero).minimum(height),
        x1.maximum(zero).minimum(width),
        y1.maximum(zero).minimum(height),
    ]
    return torch.stack(inside, dim=-1)


def not_empty(boxes: Tensor) -> Tensor:
    """True for boxes wider and higher than 0."""
    return (boxes[..., 2] > boxes[..., 0]) & (boxes[..., 3] > boxes[..., 1])


def nms_by_page(
    boxes: Tensor,
    scores: Tensor,
    batch_index: Tensor,
    group: Tensor,
    num_pages: int,
    iou_threshold: float,
    max_boxes: int,
) -> list[Tensor]:
    """Non-maximum suppression within the groups of each page, then each page's best `max_boxes`.

    Args:
        boxes: N×4. scores: N. batch_index: N int64, rising. group: N int64, such as the class or
            the level.

    Returns:
        For each page the kept indices into N, by falling score. A GPU is waited for twice.
    """
    groups = group.max() + 1 if group.numel() else 1
    group = batch_index * groups + group
    if boxes.device.type == "cuda":
        keep = _suppress_on_gpu(boxes, scores, batch_index, group, num_pages, iou_threshold)
    else:
        keep = batched_nms(boxes, scores, group, iou_threshold)  # by falling score
    order = torch.argsort(batch_index[keep], stable=True)
    counts = page_counts(batch_index[keep], num_pages)
    return [part[:max_boxes] for part in keep[order].split(counts)]


def page_counts(batch_index: Tensor, num_pages: int) -> list[int]:
    """How many rows each page has. This waits for the device, once."""
    pages = torch.arange(num_pages, device=batch_index.device)
    return (batch_index == pages.unsqueeze(1)).sum(1).tolist()


def _suppress_on_gpu(
    boxes: Tensor,
    scores: Tensor,
    batch_index: Tensor,
    group: Tensor,
    num_pages: int,
    iou_threshold: float,
) -> Tensor:
    """As `batched_nms`, which from 25 000 boxes on waits for a GPU once a group: here once for
    some pages together. Groups are kept apart by moving them, in float64, where that is exact
    enough.

    Returns:
        The kept indices; those of a page by falling score.
    """
    extent = boxes.double().max() + 1 if len(boxes) else 1.0
    apart = boxes.double() + (group.double() * extent).unsqueeze(1)
    if len(boxes) <= MAX_NMS_BOXES:
        return nms(apart, scores.double(), iou_threshold)
    kept, first, last = [], 0, 0
    for count in [*page_counts(batch_index, num_pages), MAX_NMS_BOXES + 1]:
        if last + count - first > MAX_NMS_BOXES and last > first:
            part = slice(first, last)
            kept.append(nms(apart[part], scores[part].double(), iou_threshold) + first)
            first = last
        last += count
    return torch.cat(kept)


def smooth_l1_loss(pred: Tensor, target: Tensor, beta: float) -> Tensor:
    """Huber's loss over beta, elementwise; plain L1 where beta is 0.

    Fast R-CNN: Girshick, 2015, https://arxiv.org/abs/1504.08083, section 2.3.
    """
    if beta < 1e-5:
        return (pred - target).abs()
    return F.smooth_l1_loss(pred, target, reduction="none", beta=beta)


def iou_loss(boxes: Tensor, targets: Tensor, kind: str, eps: float = 1e-7) -> Tensor:
    """1 - IoU and what a kind adds, of N×4 and N×4, row by row: N.

    `torchvision.ops` has the same losses; they pick rows by masks, which makes a GPU wait some
    twenty times a step.

    Args:
        kind: `giou` (Rezatofighi et al., 2019, https://arxiv.org/abs/1902.09630) adds the part of
            the common frame that neither box covers; `diou` (Zheng et al., 2020,
            https://arxiv.org/abs/1911.08287) the squared distance of the centres over that of the
            frame's corners, and `ciou` a term for the shapes too.
        eps: added to every divisor.
    """
    low, high = torch.maximum(boxes[:, :2], targets[:, :2]), torch.minimum(boxes, targets)[:, 2:]
    shared = torch.where((high > low).all(dim=1), (high - low).prod(dim=1), 0.0)
    size, target_size = boxes[:, 2:] - boxes[:, :2], targets[:, 2:] - targets[:, :2]
    union = size.prod(dim=1) + target_size.prod(dim=1) - shared
    iou = shared / (union + eps)
    frame = torch.maximum(boxes, targets)[:, 2:] - torch.minimum(boxes, targets)[:, :2]
    if kind == "giou":
        area = frame.prod(dim=1)
        return 1 - iou + (area - union) / (area + eps)
    apart = (boxes[:, :2] + boxes[:, 2:] - targets[:, :2] - targets[:, 2:]) / 2
    loss = 1 - iou + apart.square().sum(dim=1) / (frame.square().sum(dim=1) + eps)
    if kind == "diou":
        return loss
    turn = torch.atan(target_size[:, 0] / target_size[:, 1]) - torch.atan(size[:, 0] / size[:, 1])
    shape = 4 / math.pi**2 * turn.square()
    with torch.no_grad():
        weight = shape / (1 - iou + shape + eps)
    return loss + weight * shape


BOX_LOSSES = {kind: functools.partial(iou_loss, kind=kind) for kind in ("giou", "diou", "ciou")}


def box_regression_loss(
    boxes: Tensor,
    deltas: Tensor,
    targets: Tensor,
    weights: Sequence[float],
    kind: str,
    beta: float = 0.0,
) -> Tensor:
    """Regression loss of each of N boxes: N.

    Args:
        boxes: N×4 anchors or proposals. deltas: N×4 predicted. targets: N×4 ground truth.
        kind: `smooth_l1` compares deltas (summed over the four), the others decoded boxes.
    """
    if kind == "smooth_l1":
        return smooth_l1_loss(deltas, encode(boxes, targets, weights), beta).sum(dim=-1)
    return BOX_LOSSES[kind](decode(boxes, deltas, weights), targets)
