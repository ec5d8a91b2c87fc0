"""The detector as one graph of tensors: a page goes in, its detections come out.

The arithmetic is that of `LayoutDetector.predict` for a batch of one page. What differs is what a
traced graph cannot hold: sizes are tensors, not Python numbers, and nothing depends on how many
regions there are.

Shapes: H×W the padded input, T tokens, N detections.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import batched_nms, roi_align

from lmv3det.model import boxes as box_ops
from lmv3det.model.detector import LayoutDetector
from lmv3det.model.fusion import ROITextPooler
from lmv3det.model.relation import RelationModule, box_geometry
from lmv3det.model.roi_pool import ROIPooler, assign_level
from lmv3det.model.rpn import RPN


class DetectorGraph(nn.Module):
    """A detector with plain tensors for arguments and results.

    Args:
        model: in evaluation mode; its masks are left out.
    """

    def __init__(self, model: LayoutDetector) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        images: Tensor,
        image_size: Tensor,
        input_ids: Tensor | None = None,
        text_boxes: Tensor | None = None,
        text_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Detect the regions of a page.

        Args:
            images: 1×3×H×W float32, normalised, zero padded at right and bottom; H and W multiples
                of `input.size_divisibility`.
            image_size: 2 int64, (height, width) before padding.
            input_ids: 1×T int64; T is 1 or more, a page without text has one token that
                `text_mask` leaves out.
            text_boxes: 1×T×4 int64 on the page's 0..1000 grid.
            text_mask: 1×T bool, True for a real token.

        Returns:
            boxes N×4 float32 in pixels of the input, scores N float32, classes N int64; by falling
            score.
        """
        pyramid, text_maps = self.features(images, image_size, input_ids, text_boxes, text_mask)
        proposals, real = self.proposals(pyramid, image_size)  # M×4, M
        boxes, scores = self.score(pyramid, text_maps, proposals, image_size)
        return self.select(boxes, scores, real)

    def features(
        self,
        images: Tensor,
        image_size: Tensor,
        input_ids: Tensor | None,
        text_boxes: Tensor | None,
        text_mask: Tensor | None,
    ) -> tuple[list[Tensor], list[Tensor] | None]:
        """p2 … p6 and the text maps for the ROI heads, as `LayoutDetector.features`."""
        model = self.model
        # A page padded to a multiple of the divisor has no padded patch to mask.
        visual, text = model.backbone(images, input_ids, text_boxes, text_mask)
        if model.text_states is not None:
            assert input_ids is not None
            text = model.text_states(input_ids, text_boxes)
        maps, text_maps = model.pyramid(visual), None
        if model.fusion is not None:
            assert text_boxes is not None
            height, width = images.shape[2:]
            padded = torch.stack([torch.as_tensor(width), torch.as_tensor(height)])
            fraction = image_size.flip(0).float() / padded.float()  # (x, y) of page over input
            boxes = text_boxes.float() * fraction.repeat(2)
            maps, text_maps = model.fusion(maps, text, boxes, text_mask)
        return model.fpn(maps), text_maps

    def proposals(self, pyramid: Sequence[Tensor], image_size: Tensor) -> tuple[Tensor, Tensor]:
        """The proposals M×4 of the page, as `RPN.proposals` and `select_proposals`, and which are
        real (M bool).

        Each level is filled up with anchors of logit -inf, so that it always has enough for a
        fixed k; `isfinite` drops them again. A page without proposals has one that is not real,
        because onnxruntime cannot reshape empty tensors.
        """
        rpn = cast(RPN, self.model.rpn)
        logits, deltas = rpn.head(pyramid)
        boxes, scores, levels = [], [], []
        count = rpn.pre_nms[1]
        for level, features in enumerate(pyramid):
            anchors = grid_anchors(rpn.cells[level], features, rpn.strides[level])
            filler = anchors.new_full((count,), float("-inf"))
            best, index = torch.cat([logits[level][0].float(), filler]).topk(count)
            all_anchors = torch.cat([anchors, anchors.new_zeros(count, 4)])
            all_deltas = torch.cat([deltas[level][0].float(), anchors.new_zeros(count, 4)])
            boxes.append(box_ops.decode(all_anchors[index], all_deltas[index], rpn.box_weights))
            scores.append(best)
            levels.append(torch.full_like(index, level))
        all_boxes, all_scores, all_levels = map(torch.cat, (boxes, scores, levels))
        finite = all_boxes.isfinite().all(-1) & all_scores.isfinite()
        all_boxes = box_ops.clip(all_boxes, image_size)
        row = (finite & box_ops.not_empty(all_boxes)).nonzero()[:, 0]
        kept = batched_nms(all_boxes[row], all_scores[row], all_levels[row], rpn.nms_threshold)
        found = all_boxes[row[kept[: rpn.post_nms[1]]]]
        none = (torch.ones_like(all_scores[row]).sum() == 0).reshape(1)
        every = torch.ones_like(found[:, 0]) > 0
        used = torch.cat([every, none]).nonzero()[:, 0]
        boxes_and_filler = torch.cat([found, found.new_zeros(1, 4)])
        return boxes_and_filler[used], torch.cat([every, ~none])[used]

    def score(
        self,
        pyramid: Sequence[Tensor],
        text_maps: Sequence[Tensor] | None,
        proposals: Tensor,
        image_size: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Boxes M×4 of the last stage and mean probabilities M×(C+1), as `CascadeHeads.predict`."""
        cascade = self.model.cascade
        boxes, stage_logits = proposals, []
        for number, (head, predictor) in enumerate(
            zip(cascade.heads, cascade.predictors, strict=True)
        ):
            features = head(pool(cascade.pooler, pyramid, boxes))  # M×F
            extra = []
            if cascade.text_pooler is not None:
                extra.append(self.pool_text(text_maps or [], boxes))
            logits, deltas = predictor(features, *extra)
            if number == len(cascade.heads) - 1 and cascade.relation is not None:
                relation = cast(RelationModule, cascade.relation)
                refined = relate(relation, features, boxes, image_size)  # M×E
                logits = logits + relation.cls_score(refined)
                deltas = deltas + relation.bbox_pred(refined)
            stage_logits.append(logits)
            moved = box_ops.decode(boxes, deltas.float(), cascade.box_weights[number])
            boxes = box_ops.clip(moved, image_size)
        return boxes, cascade.class_scores(stage_logits)

    def pool_text(self, text_maps: Sequence[Tensor], boxes: Tensor) -> Tensor:
        """M×F text features of the regions, as `ROITextPooler`."""
        pooler = cast(ROITextPooler, self.model.cascade.text_pooler)
        parts = [
            projection(pool(cast(ROIPooler, part), [text_map], boxes).mean(dim=(2, 3)))
            for part, projection, text_map in zip(
                pooler.poolers, pooler.projections, text_maps, strict=True
            )
        ]
        return F.relu(torch.stack(parts).sum(0))

    def select(self, boxes: Tensor, scores: Tensor, real: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """From scored regions to detections, as `select_detections`."""
        cascade = self.model.cascade
        finite = boxes.isfinite().all(1) & scores.isfinite().all(1) & real
        foreground = scores[:, :-1]  # M×C
        candidates = (foreground > cascade.score_threshold) & finite.unsqueeze(1)
        index = candidates.flatten().nonzero()[:, 0]
        classes = index % foreground.shape[1]
        found = boxes[torch.div(index, foreground.shape[1], rounding_mode="floor")]
        confidence = foreground.flatten()[index]
        kept = batched_nms(found, confidence, classes, cascade.nms_threshold)
        kept = kept[: cascade.detections_per_page]
        return found[kept], confidence[kept], classes[kept]


def grid_anchors(cell: Tensor, features: Tensor, stride: int) -> Tensor:
    """Anchors HWA×4 of a level with features 1×D×H×W, as `model.anchors.grid_anchors`."""
    cell = cell.to(features.dtype)
    x = torch.ones_like(features[0, 0, 0]).cumsum(0) - 1  # W
    y = torch.ones_like(features[0, 0, :, 0]).cumsum(0) - 1  # H
    x, y = torch.broadcast_tensors(x * stride, y.unsqueeze(1) * stride)  # H×W each
    shift = torch.stack([x, y, x, y], dim=-1).reshape(-1, 1, 4)
    return (shift + cell).reshape(-1, 4)


def relate(relation: RelationModule, features: Tensor, boxes: Tensor, image_size: Tensor) -> Tensor:
    """M×E features of regions after attention among them, as `RelationModule` for one page.

    Args:
        features: M×F. boxes: M×4 pixels. image_size: 2, (height, width).
    """
    geometry = box_geometry(boxes, image_size.unsqueeze(0))
    x = (relation.features(features) + relation.geometry(geometry.to(features.dtype))).unsqueeze(0)
    for layer in relation.layers:
        x = layer(x)
    return x[0]


def pool(pooler: ROIPooler, pyramid: Sequence[Tensor], boxes: Tensor) -> Tensor:
    """Pool M regions of one page: M×D×P×P, as `ROIPooler`, level by level without counting."""
    size, ratio = pooler.output_size, pooler.sampling_ratio or -1
    rois = torch.cat([torch.zeros_like(boxes[:, :1]), boxes], dim=1)  # M×5
    if len(pooler.strides) == 1:
        return roi_align(pyramid[0], rois, size, 1 / pooler.strides[0], ratio, aligned=True)
    level = assign_level(boxes, 2, 1 + len(pooler.strides))
    parts, rows = [], []
    for number, stride in enumerate(pooler.strides):
        row = (level == number).nonzero()[:, 0]
        features = pyramid[number]
        parts.append(roi_align(features, rois[row], size, 1 / stride, ratio, aligned=True))
        rows.append(row)
    # Back into the order of the boxes.
    order = torch.cat(rows)
    inverse = torch.zeros_like(order).scatter(0, order, torch.ones_like(order).cumsum(0) - 1)
    return torch.cat(parts)[inverse]
