"""Cascade box heads.

Cascade R-CNN: Cai & Vasconcelos, 2018, https://arxiv.org/abs/1712.00726, section 4.

Shapes: B pages, N regions of all pages together, G ground truths of all pages, D pyramid channels,
P cells of a pooled region, F width of a head, C classes (index C is the background).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import box_iou

from lmv3det.model import boxes as box_ops
from lmv3det.model.matcher import match, sample
from lmv3det.model.precision import at_least_float32
from lmv3det.model.roi_pool import ROIPooler
from lmv3det.structures import Detections, Target


class BoxHead(nn.Module):
    """Two fully connected layers over a pooled region."""

    def __init__(self, in_channels: int, pool_size: int, fc_dim: int) -> None:
        super().__init__()
        self.out_features = fc_dim
        self.fc1 = nn.Linear(in_channels * pool_size**2, fc_dim)
        self.fc2 = nn.Linear(fc_dim, fc_dim)
        for layer in (self.fc1, self.fc2):
            nn.init.kaiming_uniform_(layer.weight, a=1)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """x: N×D×P×P → N×F."""
        return F.relu(self.fc2(F.relu(self.fc1(x.flatten(1)))))


class BoxPredictor(nn.Module):
    """Class logits and class-agnostic deltas of a region, and the losses that train them.

    A loss of your own is one override, of `class_loss` or `box_loss`; of `losses`, where they
    depend on one another.

    Args:
        in_features: width F of a region's features.
        num_classes: C, without the background.
        text_features: width T of the region's text feature, which the classifier alone sees.
        box_weights: of dx, dy, dw, dh, which are divided by them where a box is decoded.
        box_loss_kind: smooth_l1, giou, diou or ciou.
        smooth_l1_beta: where smooth L1 turns from square to linear; 0 is L1.
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        text_features: int = 0,
        *,
        box_weights: Sequence[float] = (10.0, 10.0, 5.0, 5.0),
        box_loss_kind: str = "ciou",
        smooth_l1_beta: float = 0.0,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.box_weights = tuple(box_weights)
        self.box_loss_kind, self.smooth_l1_beta = box_loss_kind, smooth_l1_beta
        self.cls_score = nn.Linear(in_features + text_features, num_classes + 1)
        self.bbox_pred = nn.Linear(in_features, 4)
        nn.init.normal_(self.cls_score.weight, std=0.01)
        nn.init.normal_(self.bbox_pred.weight, std=0.001)
        for layer in (self.cls_score, self.bbox_pred):
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, text: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x: N×F; text: N×T → logits N×(C+1) and deltas N×4."""
        joined = x if text is None else torch.cat([x, text], dim=1)
        return self.cls_score(joined), self.bbox_pred(x)

    def losses(self, logits: Tensor, deltas: Tensor, regions: Proposals) -> tuple[Tensor, Tensor]:
        """The two losses of a stage, scalars: that of the classes, and that of the boxes.

        Args:
            logits: N×(C+1), background last, as `forward` or the relation module gives them.
            deltas: N×4.
            regions: the N regions, with `classes` and `gt_boxes`.
        """
        assert regions.classes is not None and regions.gt_boxes is not None
        if not len(regions.boxes):
            return logits.sum() * 0, deltas.sum() * 0
        loss_cls = self.class_loss(at_least_float32(logits), regions.classes)
        return loss_cls, self.box_loss(deltas.to(regions.boxes.dtype), regions)

    def class_loss(self, logits: Tensor, classes: Tensor) -> Tensor:
        """Mean cross-entropy of all regions, a scalar.

        Args:
            logits: N×(C+1), at least float32, background last; N is 1 or more.
            classes: N int64, C for background.
        """
        return F.cross_entropy(logits, classes)

    def box_loss(self, deltas: Tensor, regions: Proposals) -> Tensor:
        """Regression of the foreground over the number of all regions, a scalar.

        The background regresses a box onto itself and weighs 0: to pick the foreground, a GPU
        would have to be waited for.

        Args:
            deltas: N×4, of the boxes' dtype; N is 1 or more.
            regions: the N regions, with `classes` and `gt_boxes`.
        """
        assert regions.classes is not None and regions.gt_boxes is not None
        foreground = regions.classes < self.num_classes
        background = ~foreground.unsqueeze(1)
        rows = box_ops.box_regression_loss(
            regions.boxes,
            deltas.masked_fill(background, 0.0),
            torch.where(background, regions.boxes, regions.gt_boxes),
            self.box_weights,
            self.box_loss_kind,
            self.smooth_l1_beta,
        )
        return (rows * foreground).sum() / len(regions.boxes)


class _ScaleGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, scale):
        ctx.scale = scale
        return x

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.scale, None


@dataclass
class Proposals:
    """The regions of all pages, joined: boxes N×4, the page of each (N int64), and in training
    the class of each (N int64, C for background), the matched ground truth's box (N×4) and its
    number among the ground truths of all pages (N int64)."""

    boxes: Tensor
    batch_index: Tensor
    classes: Tensor | None = None
    gt_boxes: Tensor | None = None
    gt_index: Tensor | None = None

    def __getitem__(self, index: Tensor) -> Proposals:
        return Proposals(
            self.boxes[index],
            self.batch_index[index],
            None if self.classes is None else self.classes[index],
            None if self.gt_boxes is None else self.gt_boxes[index],
            None if self.gt_index is None else self.gt_index[index],
        )


@dataclass
class StageOutput:
    """A stage's regions, logits N×(C+1), deltas N×4 and features N×F."""

    regions: Proposals
    logits: Tensor
    deltas: Tensor
    features: Tensor


class CascadeHeads(nn.Module):
    """Box heads one after another: each refines the boxes of the one before, at a higher IoU.

    Attributes:
        measures: what a training step may log beside its losses: name → a number on the device.
    """

    def __init__(
        self,
        pooler: ROIPooler,
        heads: Sequence[nn.Module],
        predictors: Sequence[BoxPredictor],
        num_classes: int,
        iou_thresholds: Sequence[float] = (0.5, 0.6, 0.7),
        batch_size_per_image: int = 512,
        positive_fraction: float = 0.25,
        score_threshold: float = 0.05,
        nms_threshold: float = 0.5,
        detections_per_page: int = 100,
        text_pooler: nn.Module | None = None,
        relation: nn.Module | None = None,
    ) -> None:
        """
        Args:
            heads: one module a stage, N×D×P×P → N×F.
            predictors: one a stage, N×F → logits N×(C+1), deltas N×4; with the weights of the
                stage's deltas, and its losses.
            text_pooler: (text maps, boxes, batch_index) → N×T for the classifiers, or None.
            relation: refines the last stage's logits and boxes among a page's regions, or None.

        Raises:
            ValueError: heads, predictors and thresholds are not as many.
        """
        super().__init__()
        counts = [len(each) for each in (heads, predictors, iou_thresholds)]
        if len(set(counts)) > 1:
            names = ("heads", "predictors", "iou_thresholds")
            said = ", ".join(f"{n} {name}" for n, name in zip(counts, names, strict=True))
            raise ValueError(f"each stage has one of each, but there are {said}")
        self.pooler = pooler
        self.heads = nn.ModuleList(heads)
        self.predictors = nn.ModuleList(predictors)
        self.text_pooler = text_pooler
        self.relation = relation
        self.num_classes = num_classes
        self.iou_thresholds = tuple(iou_thresholds)
        self.batch_size_per_image = batch_size_per_image
        self.positive_fraction = positive_fraction
        self.score_threshold = score_threshold
        self.nms_threshold = nms_threshold
        self.detections_per_page = detections_per_page
        self.measures: dict[str, Tensor] = {}
        self.folding: Tensor | None
        self.register_buffer("folding", None, persistent=False)

    @property
    def box_weights(self) -> list[tuple[float, ...]]:
        """Of each stage's deltas, as its predictor has them."""
        return [cast(BoxPredictor, predictor).box_weights for predictor in self.predictors]

    def losses(
        self,
        pyramid: Sequence[Tensor],
        proposals: Sequence[Tensor],
        image_sizes: Sequence[tuple[int, int]],
        targets: Sequence[Target],
        text_maps: Sequence[Tensor] | None = None,
    ) -> tuple[Proposals, dict[str, Tensor]]:
        """Losses of every stage, and the regions sampled for the first one (for the mask head).

        `measures` then has the foreground's share among these regions.
        """
        with torch.no_grad():
            regions = self.sample(proposals, targets)
            self.measures = {"foreground_share": self._foreground_share(regions)}
        sampled, losses = regions, {}
        stages = self.stages(pyramid, regions, image_sizes, targets, text_maps)
        for number, (stage, predictor) in enumerate(zip(stages, self.predictors, strict=True)):
            loss_cls, loss_box = _losses(predictor, stage)
            losses[f"loss_cls_stage{number}"] = loss_cls
            losses[f"loss_box_reg_stage{number}"] = loss_box
        if self.relation is not None:
            loss_cls, loss_box = _losses(predictor, self.relation(stage, image_sizes))
            losses["loss_cls_relation"] = loss_cls
            losses["loss_box_reg_relation"] = loss_box
        return sampled, losses

    def _foreground_share(self, regions: Proposals) -> Tensor:
        """A number on the device, 0 without regions."""
        assert regions.classes is not None
        foreground = (regions.classes < self.num_classes).sum()
        return foreground / max(len(regions.classes), 1)

    @torch.no_grad()
    def predict(
        self,
        pyramid: Sequence[Tensor],
        proposals: Sequence[Tensor],
        image_sizes: Sequence[tuple[int, int]],
        text_maps: Sequence[Tensor] | None = None,
        score_threshold: float | None = None,
    ) -> list[Detections]:
        """Detections of each page, boxes in pixels of the network input.

        `score_threshold` takes the place of the module's own.
        """
        regions = _join(proposals)
        stages = list(self.stages(pyramid, regions, image_sizes, None, text_maps))
        if self.relation is not None:
            stages[-1] = self.relation(stages[-1], image_sizes)
        scores = self.class_scores([stage.logits for stage in stages])
        boxes = self.refine(stages[-1], self.box_weights[-1], image_sizes)
        return select_detections(
            boxes,
            scores,
            regions.batch_index,
            image_sizes,
            self.score_threshold if score_threshold is None else score_threshold,
            self.nms_threshold,
            self.detections_per_page,
        )

    def class_scores(self, logits: Sequence[Tensor]) -> Tensor:
        """Probabilities N×(C+1) from the logits N×(C+1) of all stages: their mean, in the classes
        that `fold_into` chose."""
        every = [at_least_float32(of_stage).softmax(-1) for of_stage in logits]
        scores = torch.stack(every).mean(0)
        if self.folding is None:
            return scores
        with torch.autocast(scores.device.type, enabled=False):  # a product, kept in float32
            return scores @ self.folding.to(scores)

    def fold_into(self, matrix: Tensor) -> None:
        """Predict other classes, each the sum of some of the heads' own; training is as before.

        The sums are taken before suppression, so that no region is found twice.

        Args:
            matrix: C×K float, 1 where a class of the heads becomes one of K others, else 0. What
                a row of zeros loses goes to the background.
        """
        background = torch.cat([1 - matrix.sum(1), matrix.new_ones(1)]).unsqueeze(1)  # (C+1)×1
        kept = torch.cat([matrix, matrix.new_zeros(1, matrix.shape[1])])  # (C+1)×K
        self.folding = torch.cat([kept, background], dim=1)

    def stages(
        self,
        pyramid: Sequence[Tensor],
        regions: Proposals,
        image_sizes: Sequence[tuple[int, int]],
        targets: Sequence[Target] | None,
        text_maps: Sequence[Tensor] | None,
    ) -> Iterator[StageOutput]:
        """Run the stages one after another."""
        scale = 1 / len(self.heads)  # of each stage's gradient in the maps that all share
        # Widened once, not in every stage's pooling.
        dtype = pyramid[0].dtype
        pyramid = [at_least_float32(features) for features in pyramid]
        scaled = [
            _ScaleGradient.apply(at_least_float32(text_map), scale) for text_map in text_maps or []
        ]
        stage: StageOutput | None = None
        for number, (head, predictor) in enumerate(zip(self.heads, self.predictors, strict=True)):
            if stage is not None:
                with torch.no_grad():
                    boxes = self.refine(stage, self.box_weights[number - 1], image_sizes)
                    regions = Proposals(boxes, regions.batch_index)
                    if targets is not None:
                        regions, counts = _without_empty(regions, len(targets))
                        regions = self.label(regions, counts, targets, self.iou_thresholds[number])
            pooled = self.pooler(pyramid, regions.boxes, regions.batch_index)  # N×D×P×P
            features = head(_ScaleGradient.apply(pooled.to(dtype), scale))  # N×F
            if self.text_pooler is not None:
                text = self.text_pooler(scaled, regions.boxes, regions.batch_index)  # N×T
                logits, deltas = predictor(features, text)
            else:
                logits, deltas = predictor(features)
            stage = StageOutput(regions, logits, deltas, features)
            yield stage

    def refine(
        self,
        stage: StageOutput,
        weights: Sequence[float],
        image_sizes: Sequence[tuple[int, int]],
    ) -> Tensor:
        """The stage's boxes N×4, decoded and clipped to their pages."""
        boxes = stage.regions.boxes
        moved = box_ops.decode(boxes, stage.deltas.to(boxes.dtype), weights)
        sizes = torch.tensor(image_sizes).to(boxes.device, non_blocking=True)  # B×2
        return box_ops.clip(moved, sizes[stage.regions.batch_index])

    def sample(self, proposals: Sequence[Tensor], targets: Sequence[Target]) -> Proposals:
        """The regions of the first stage: proposals and ground truth, matched, then sampled."""
        with_truth = [
            torch.cat([boxes, target.boxes.to(boxes.dtype)])
            for boxes, target in zip(proposals, targets, strict=True)
        ]
        counts = [len(boxes) for boxes in with_truth]
        regions = self.label(_join(with_truth), counts, targets, self.iou_thresholds[0])
        length = max(counts)
        label = regions.batch_index.new_full((len(targets), length), -1)  # B×length
        column = torch.cat([torch.arange(len(b), device=b.device) for b in with_truth])
        assert regions.classes is not None
        label[regions.batch_index, column] = (regions.classes < self.num_classes).to(label.dtype)
        number = label.new_zeros(label.shape)
        number[regions.batch_index, column] = torch.arange(len(column), device=label.device)
        (positive, is_positive), (negative, is_negative) = sample(
            label, self.batch_size_per_image, self.positive_fraction
        )
        index = torch.cat([positive, negative], dim=1)
        drawn = torch.cat([is_positive, is_negative], dim=1)
        return regions[number.take_along_dim(index, dim=1)[drawn]]

    def label(
        self, regions: Proposals, counts: Sequence[int], targets: Sequence[Target], iou: float
    ) -> Proposals:
        """Match the regions with the ground truth of their page, page by page: the overlap of all
        regions with all ground truths would grow with the square of the batch.

        Args:
            regions: page by page.
            counts: the regions of each page.
            targets: one a page.
            iou: from which a region belongs to a ground truth.
        """
        boxes, batch_index = regions.boxes, regions.batch_index
        classes = torch.full_like(batch_index, self.num_classes)
        gt_boxes, gt_index = torch.zeros_like(boxes), torch.zeros_like(batch_index)
        row = first = 0  # numbers of the page's first region and ground truth
        for count, target in zip(counts, targets, strict=True):
            truth = target.boxes.to(boxes.dtype)  # G×4
            page = slice(row, row + count)
            if len(truth):
                index, label = match(box_iou(truth, boxes[page]), iou, iou)  # n
                classes[page] = torch.where(label == 1, target.classes[index], self.num_classes)
                gt_boxes[page] = truth[index]
                gt_index[page] = first + index
            row, first = row + count, first + len(truth)
        return Proposals(boxes, batch_index, classes, gt_boxes, gt_index)


def _losses(predictor: nn.Module, stage: StageOutput) -> tuple[Tensor, Tensor]:
    return cast(BoxPredictor, predictor).losses(stage.logits, stage.deltas, stage.regions)


def _join(boxes: Sequence[Tensor]) -> Proposals:
    batch_index = torch.cat(
        [torch.full_like(b[:, 0], n, dtype=torch.int64) for n, b in enumerate(boxes)]
    )
    return Proposals(torch.cat(list(boxes)), batch_index)


def _without_empty(regions: Proposals, num_pages: int) -> tuple[Proposals, list[int]]:
    """The regions whose boxes are not empty, and how many each page has. A GPU is waited for
    once."""
    kept = box_ops.not_empty(regions.boxes)
    # Empty ones are counted as of a page more.
    counts = box_ops.page_counts(torch.where(kept, regions.batch_index, num_pages), num_pages)
    order = torch.argsort((~kept).to(torch.int8), stable=True)
    return regions[order[: sum(counts)]], counts


def select_detections(
    boxes: Tensor,
    scores: Tensor,
    batch_index: Tensor,
    image_sizes: Sequence[tuple[int, int]],
    score_threshold: float,
    nms_threshold: float,
    max_detections: int,
) -> list[Detections]:
    """From scored regions to detections: threshold, suppression within each class, and the best
    `max_detections` of a page.

    Args:
        boxes: N×4, clipped. scores: N×(C+1) probabilities, background last. batch_index: N int64.
    """
    finite = boxes.isfinite().all(1) & scores.isfinite().all(1)
    candidates = (scores[:, :-1] > score_threshold) & finite.unsqueeze(1)
    row, classes = candidates.nonzero(as_tuple=True)
    candidate_boxes, candidate_scores = boxes[row], scores[row, classes]
    kept = box_ops.nms_by_page(
        candidate_boxes,
        candidate_scores,
        batch_index[row],
        classes,
        len(image_sizes),
        nms_threshold,
        max_detections,
    )
    return [
        Detections(candidate_boxes[keep], candidate_scores[keep], classes[keep], size)
        for keep, size in zip(kept, image_sizes, strict=True)
    ]
