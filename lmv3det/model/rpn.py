"""Region proposal network.

Faster R-CNN: Ren et al., 2015, https://arxiv.org/abs/1506.01497, section 3.1; on a pyramid as in
FPN: Lin et al., 2017, https://arxiv.org/abs/1612.03144, section 4.1.

Shapes: B batch, H×W cells of a level, A anchors of a cell, N = Σ H·W·A anchors of all levels,
G ground truths of a page.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import box_iou

from lmv3det.model import boxes as box_ops
from lmv3det.model.anchors import cell_anchors, grid_anchors
from lmv3det.model.matcher import match, sample
from lmv3det.structures import Target


class RPNHead(nn.Module):
    """One 3×3 convolution shared by the levels, then objectness and deltas of every anchor."""

    def __init__(self, channels: int, num_anchors: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.objectness_logits = nn.Conv2d(channels, num_anchors, 1)
        self.anchor_deltas = nn.Conv2d(channels, num_anchors * 4, 1)
        for convolution in (self.conv, self.objectness_logits, self.anchor_deltas):
            nn.init.normal_(convolution.weight, std=0.01)
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]

    def forward(self, pyramid: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """pyramid: levels of B×D×H×W → logits B×HWA and deltas B×HWA×4, one a level."""
        logits, deltas = [], []
        for features in pyramid:
            hidden = F.relu(self.conv(features))
            logits.append(self.objectness_logits(hidden).permute(0, 2, 3, 1).flatten(1))
            moves = self.anchor_deltas(hidden)
            moves = moves.reshape(moves.shape[0], -1, 4, *moves.shape[2:])  # B×A×4×H×W
            deltas.append(moves.permute(0, 3, 4, 1, 2).flatten(1, 3))  # B×HWA×4
        return logits, deltas


class RPN(nn.Module):
    """Proposals from a pyramid, and the losses that train them."""

    def __init__(
        self,
        in_channels: int = 256,
        anchor_sizes: Sequence[float | Sequence[float]] = (32, 64, 128, 256, 512),
        aspect_ratios: Sequence[float] | Sequence[Sequence[float]] = (0.5, 1.0, 2.0),
        strides: Sequence[int] = (4, 8, 16, 32, 64),
        negative_iou: float = 0.3,
        positive_iou: float = 0.7,
        batch_size_per_image: int = 256,
        positive_fraction: float = 0.5,
        pre_nms: tuple[int, int] = (2000, 1000),
        post_nms: tuple[int, int] = (2000, 1000),
        nms_threshold: float = 0.7,
        box_loss_kind: str = "ciou",
        smooth_l1_beta: float = 0.0,
        box_weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
    ) -> None:
        """anchor_sizes, aspect_ratios: of each level; ratios may be those of all levels.

        pre_nms, post_nms: proposals at most (in training, in test).
        """
        super().__init__()
        ratios: Sequence = aspect_ratios
        if not isinstance(ratios[0], Sequence):
            ratios = [ratios] * len(anchor_sizes)
        self.cells = [cell_anchors(*level) for level in zip(anchor_sizes, ratios, strict=True)]
        self.head = RPNHead(in_channels, len(self.cells[0]))
        self.strides = tuple(strides)
        self.negative_iou, self.positive_iou = negative_iou, positive_iou
        self.batch_size_per_image = batch_size_per_image
        self.positive_fraction = positive_fraction
        self.pre_nms, self.post_nms = pre_nms, post_nms
        self.nms_threshold = nms_threshold
        self.box_loss_kind, self.smooth_l1_beta = box_loss_kind, smooth_l1_beta
        self.box_weights = tuple(box_weights)
        self._anchor_cache: dict[tuple, list[Tensor]] = {}

    def forward(
        self,
        pyramid: Sequence[Tensor],
        image_sizes: Sequence[tuple[int, int]],
        targets: Sequence[Target] | None = None,
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Propose regions.

        Args:
            pyramid: p2 … p6, each B×D×H×W.
            image_sizes: B (height, width) before padding.
            targets: ground truth; given in training.

        Returns:
            One M×4 tensor of proposals a page (pixels, best first, no gradient), and the losses
            `loss_rpn_cls` and `loss_rpn_loc`; empty without targets.
        """
        anchors = self.anchors(pyramid)
        logits, deltas = self.head(pyramid)
        proposals, _ = self.proposals(anchors, logits, deltas, image_sizes)
        if targets is None:
            return proposals, {}
        return proposals, self.losses(anchors, logits, deltas, targets)

    def anchors(self, pyramid: Sequence[Tensor]) -> list[Tensor]:
        """Anchors HWA×4 of each level, at least float32 (the cell anchors are float32's)."""
        grids = tuple((p.shape[2], p.shape[3]) for p in pyramid)
        dtype = torch.promote_types(pyramid[0].dtype, torch.float32)
        key = (grids, dtype, pyramid[0].device)
        if key not in self._anchor_cache:
            if len(self._anchor_cache) >= 16:
                self._anchor_cache.clear()
            self._anchor_cache[key] = [
                grid_anchors(cell.to(pyramid[0].device, dtype), grid, stride)
                for cell, grid, stride in zip(self.cells, grids, self.strides, strict=True)
            ]
        return self._anchor_cache[key]

    @torch.no_grad()
    def proposals(
        self,
        anchors: Sequence[Tensor],
        logits: Sequence[Tensor],
        deltas: Sequence[Tensor],
        image_sizes: Sequence[tuple[int, int]],
    ) -> tuple[list[Tensor], list[Tensor]]:
        """The best anchors of each level, decoded, then `select_proposals`."""
        best_boxes, best_logits = [], []
        for level_anchors, level_logits, level_deltas in zip(anchors, logits, deltas, strict=True):
            number = min(self.pre_nms[not self.training], level_logits.shape[1])
            scores, index = level_logits.detach().to(level_anchors.dtype).topk(number, dim=1)
            moves = level_deltas.detach().take_along_dim(index.unsqueeze(-1), dim=1)  # B×k×4
            moves = moves.to(level_anchors.dtype)
            best_boxes.append(box_ops.decode(level_anchors[index], moves, self.box_weights))
            best_logits.append(scores)
        max_boxes = self.post_nms[not self.training]
        return select_proposals(best_boxes, best_logits, image_sizes, self.nms_threshold, max_boxes)

    def losses(
        self,
        anchors: Sequence[Tensor],
        logits: Sequence[Tensor],
        deltas: Sequence[Tensor],
        targets: Sequence[Target],
    ) -> dict[str, Tensor]:
        """Objectness and regression losses, `objectness_loss` and `box_loss` of the anchors that
        are sampled, both over (batch_size_per_image · B)."""
        all_anchors, all_logits = torch.cat(list(anchors)), torch.cat(list(logits), dim=1)
        all_deltas = torch.cat(list(deltas), dim=1)
        label, target_boxes = self.assign(all_anchors, targets)  # B×N, B×N×4
        (positive, is_positive), (negative, is_negative) = sample(
            label, self.batch_size_per_image, self.positive_fraction
        )
        index = torch.cat([positive, negative], dim=1)  # B×k
        drawn = torch.cat([is_positive, is_negative], dim=1)
        truth = torch.cat([is_positive, torch.zeros_like(is_negative)], dim=1)
        chosen = all_logits.take_along_dim(index, dim=1).to(all_anchors.dtype)
        loss_cls = self.objectness_loss(chosen, truth, drawn)
        source = all_anchors[positive]  # B×k×4
        moves = all_deltas.take_along_dim(positive.unsqueeze(-1), dim=1).to(source.dtype)
        wanted = target_boxes.take_along_dim(positive.unsqueeze(-1), dim=1)
        loss_loc = self.box_loss(
            source.flatten(0, 1), moves.flatten(0, 1), wanted.flatten(0, 1), is_positive.flatten()
        )
        divisor = self.batch_size_per_image * len(targets)
        return {"loss_rpn_cls": loss_cls / divisor, "loss_rpn_loc": loss_loc / divisor}

    def objectness_loss(self, logits: Tensor, is_object: Tensor, drawn: Tensor) -> Tensor:
        """Sum of the binary cross-entropy of the sampled anchors, a scalar. The place for a loss
        of your own.

        Args:
            logits: B×k, at least float32, of anchors of B pages.
            is_object: B×k bool, whether an anchor is on a region.
            drawn: B×k bool, whether it was sampled: others fill rows up, and count nothing.
        """
        return F.binary_cross_entropy_with_logits(
            logits, is_object.to(logits.dtype), weight=drawn.to(logits.dtype), reduction="sum"
        )

    def box_loss(self, anchors: Tensor, deltas: Tensor, gt_boxes: Tensor, drawn: Tensor) -> Tensor:
        """Sum of the regression losses of the sampled positive anchors, a scalar. The place for a
        loss of your own.

        Args:
            anchors: M×4.
            deltas: M×4, predicted, of the anchors' dtype.
            gt_boxes: M×4, what the anchors should become.
            drawn: M bool, whether an anchor was sampled as positive.
        """
        # Others regress an anchor onto itself and are weighted with 0.
        undrawn = ~drawn.unsqueeze(-1)
        rows = box_ops.box_regression_loss(
            anchors,
            deltas.masked_fill(undrawn, 0.0),
            torch.where(undrawn, anchors, gt_boxes),
            self.box_weights,
            self.box_loss_kind,
            self.smooth_l1_beta,
        )
        return (rows * drawn).sum()

    @torch.no_grad()
    def assign(self, anchors: Tensor, targets: Sequence[Target]) -> tuple[Tensor, Tensor]:
        """Labels B×N (1, 0, -1) and the ground truth box B×N×4 of every anchor."""
        labels, boxes = [], []
        for target in targets:
            truth = target.boxes.to(anchors.dtype)
            index, label = match(
                box_iou(truth, anchors), self.negative_iou, self.positive_iou, True
            )
            labels.append(label)
            boxes.append(truth[index] if len(truth) else torch.zeros_like(anchors))
        return torch.stack(labels), torch.stack(boxes)


@torch.no_grad()
def select_proposals(
    boxes: Sequence[Tensor],
    logits: Sequence[Tensor],
    image_sizes: Sequence[tuple[int, int]],
    nms_threshold: float,
    max_boxes: int,
) -> tuple[list[Tensor], list[Tensor]]:
    """Clip, drop empty and non-finite boxes, suppress within each level, keep a page's best.

    Args:
        boxes: decoded boxes B×k×4, one tensor a level.
        logits: B×k, one tensor a level.

    Returns:
        Boxes (at most `max_boxes`)×4 and logits of each page, best first.
    """
    device, num_pages = boxes[0].device, boxes[0].shape[0]
    level = torch.cat(
        [torch.full((b.shape[1],), n, device=device) for n, b in enumerate(boxes)]
    ).expand(num_pages, -1)  # B×K
    all_boxes, all_logits = torch.cat(list(boxes), dim=1), torch.cat(list(logits), dim=1)
    finite = all_boxes.isfinite().all(-1) & all_logits.isfinite()
    sizes = torch.tensor(image_sizes).to(device, non_blocking=True)  # B×2
    all_boxes = box_ops.clip(all_boxes, sizes.unsqueeze(1))
    batch_index, row = (finite & box_ops.not_empty(all_boxes)).nonzero(as_tuple=True)
    flat_boxes, flat_logits = all_boxes[batch_index, row], all_logits[batch_index, row]
    kept = box_ops.nms_by_page(
        flat_boxes,
        flat_logits,
        batch_index,
        level[batch_index, row],
        num_pages,
        nms_threshold,
        max_boxes,
    )
    return [flat_boxes[keep] for keep in kept], [flat_logits[keep] for keep in kept]
