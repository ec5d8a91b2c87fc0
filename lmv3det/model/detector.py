"""The detector: from a batch of pages to detections or losses.

`LayoutDetector` receives its parts; `build_detector` makes them from a config.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lmv3det.config import Config, load_config
from lmv3det.errors import InputError
from lmv3det.model.backbone import LayoutLMv3, SentenceEncoder
from lmv3det.model.cascade import BoxHead, BoxPredictor, CascadeHeads
from lmv3det.model.fusion import FUSIONS, Fusion, ROITextPooler
from lmv3det.model.mask_head import MaskHead
from lmv3det.model.neck import FPN, StemPyramid, ViTPyramid
from lmv3det.model.relation import RelationModule
from lmv3det.model.roi_pool import ROIPooler
from lmv3det.model.rpn import RPN
from lmv3det.structures import Batch, Detections, Polygons, Target

DEFAULT_NUM_CLASSES = 10
"""The classes of CDLA, where neither config nor annotations say."""


class LayoutDetector(nn.Module):
    """LayoutLMv3 with a feature pyramid, an RPN, cascade box heads and an optional mask head."""

    def __init__(
        self,
        backbone: nn.Module,
        pyramid: nn.Module,
        fpn: nn.Module,
        rpn: nn.Module,
        cascade: CascadeHeads,
        mask_head: MaskHead | None = None,
        fusion: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.pyramid = pyramid
        self.fusion = fusion
        self.fpn = fpn
        self.rpn = rpn
        self.cascade = cascade
        self.mask_head = mask_head

    def forward(self, batch: Batch) -> dict[str, Tensor] | list[Detections]:
        """`losses` in training mode, else `predict` (one entry, because DDP needs it)."""
        return self.losses(batch) if self.training else self.predict(batch)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The named losses of a batch with targets; their sum is what is trained.

        Raises:
            ValueError: the batch has no targets.
        """
        if batch.targets is None:
            raise ValueError("losses need batch.targets; this batch has none")
        pyramid, text_maps = self.features(batch)
        proposals, losses = self.rpn(pyramid, batch.image_sizes, batch.targets)
        sampled, box_losses = self.cascade.losses(
            pyramid, proposals, batch.image_sizes, batch.targets, text_maps
        )
        losses = {**losses, **box_losses}
        if self.mask_head is not None:
            losses["loss_mask"] = self._mask_loss(pyramid, sampled, batch.targets)
        return losses

    @torch.no_grad()
    def predict(
        self, batch: Batch, score_threshold: float | None = None, with_masks: bool = True
    ) -> list[Detections]:
        """Detections of each page, boxes in pixels of the network input.

        Args:
            batch: the pages.
            score_threshold: detections at or below are dropped; None takes the cascade's.
            with_masks: make the masks, where there is a mask head.
        """
        pyramid, text_maps = self.features(batch)
        proposals, _ = self.rpn(pyramid, batch.image_sizes)
        detections = self.cascade.predict(
            pyramid, proposals, batch.image_sizes, text_maps, score_threshold
        )
        if self.mask_head is None or not with_masks:
            return detections
        return self._with_masks(pyramid, detections)

    def features(self, batch: Batch) -> tuple[list[Tensor], list[Tensor] | None]:
        """p2 … p6 of a batch, and the text maps for the ROI heads where the fusion makes them."""
        visual, text = self.backbone(
            batch.images, batch.input_ids, batch.text_boxes, batch.text_mask, batch.image_sizes
        )
        maps, text_maps = self.pyramid(visual), None
        if self.fusion is not None:
            boxes, valid = canvas_boxes(batch)
            maps, text_maps = self.fusion(maps, text, boxes, valid)
        return self.fpn(maps), text_maps

    def _mask_loss(self, pyramid, sampled, targets: Sequence[Target]) -> Tensor:
        """The mask head's loss over the foreground of the first stage's sample."""
        assert self.mask_head is not None
        outlines: list[Polygons] = [
            outline for target in targets for outline in target.polygons or []
        ]
        if len(outlines) != sum(len(target.boxes) for target in targets):
            raise ValueError("the mask head trains on polygons; give one outline for each gt box")
        is_foreground = sampled.classes < self.cascade.num_classes
        # One copy to the host: the ground truth of each region, -1 for background.
        matched = torch.where(is_foreground, sampled.gt_index, -1).cpu()
        rows = (matched >= 0).nonzero()[:, 0]
        foreground = sampled[rows.to(sampled.classes.device, non_blocking=True)]
        chosen = [outlines[number] for number in matched[rows].tolist()]
        return self.mask_head.loss(
            pyramid, foreground.boxes, foreground.batch_index, foreground.classes, chosen
        )

    def _with_masks(self, pyramid, detections: list[Detections]) -> list[Detections]:
        assert self.mask_head is not None
        boxes = torch.cat([found.boxes for found in detections])
        classes = torch.cat([found.classes for found in detections])
        batch_index = torch.cat([torch.full_like(d.classes, n) for n, d in enumerate(detections)])
        masks = self.mask_head.predict(pyramid, boxes, batch_index, classes)
        parts = masks.split([len(found) for found in detections])
        return [
            dataclasses.replace(found, masks=part)
            for found, part in zip(detections, parts, strict=True)
        ]


def canvas_boxes(batch: Batch) -> tuple[Tensor, Tensor]:
    """Text boxes on the 0..1000 grid of the padded input instead of the page's, and which count.

    Returns:
        boxes B×T×4 float and valid B×T bool; T is 0 without text.
    """
    device = batch.images.device
    if batch.input_ids is None or batch.text_boxes is None:
        empty = torch.zeros(len(batch), 0, 4, device=device)
        return empty, empty[..., 0].bool()
    height, width = batch.images.shape[2:]
    scale = torch.tensor(
        [[w / width, h / height, w / width, h / height] for h, w in batch.image_sizes]
    )  # B×4, on the host
    boxes = batch.text_boxes.float() * scale.to(device, non_blocking=True).unsqueeze(1)
    valid = batch.text_mask
    if valid is None:
        valid = torch.ones(boxes.shape[:2], dtype=torch.bool, device=device)
    return boxes, valid


def load_class(name: str, key: str, base: type) -> type:
    """The class that a setting names as `module:Class`.

    Raises:
        InputError: it cannot be imported, or does not derive from `base`.
    """
    module_name, _, class_name = name.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except Exception as error:  # the module is someone's own code and may raise anything
        raise InputError(
            f"{key} is {name!r}, which cannot be imported ({type(error).__name__}: {error}); write "
            "module:Class and run where the module can be found (PYTHONPATH)"
        ) from error
    if not (isinstance(found, type) and issubclass(found, base)):
        raise InputError(f"{key} is {name!r}, which does not derive from {base.__name__}")
    return found


def _build_own(kind: type, name: str, key: str, *args: Any, **options: Any) -> Any:
    """An object of a class that a setting names.

    Raises:
        InputError: its constructor fails.
    """
    try:
        return kind(*args, **options)
    except Exception as error:  # someone's own code
        given = ", ".join([*map(repr, args), *(f"{k}={v!r}" for k, v in options.items())])
        raise InputError(
            f"{key} is {name!r}, which cannot be built by {kind.__name__}({given}) "
            f"({type(error).__name__}: {error})"
        ) from error


def build_fusion(config: Config) -> Fusion | None:
    """The fusion that the config names; None without one."""
    settings = config.fusion
    if settings.kind == "none":
        return None
    options: dict[str, Any] = {
        "levels": settings.levels,
        "reduce": settings.reduce,
        "only_where_text": settings.only_where_text,
    }
    hidden = config.backbone.hidden_size
    if settings.kind not in FUSIONS:
        kind = load_class(settings.kind, "fusion.kind", Fusion)
        return _build_own(kind, settings.kind, "fusion.kind", hidden, **options)
    if settings.kind == "gated":
        options["gate_relu"] = settings.gate_relu
    return FUSIONS[settings.kind](hidden, **options)


def _sentence_encoder(config: Config) -> SentenceEncoder | None:
    name = config.text.sentence_encoder
    if name is None:
        return None
    key = "text.sentence_encoder"
    return _build_own(
        load_class(name, key, SentenceEncoder), name, key, config.backbone.hidden_size
    )


def build_detector(config: Config | None = None) -> LayoutDetector:
    """The detector that a config describes, freshly initialised, on the CPU, in float32.

    Args:
        config: as `load_config` gives; None for the defaults (LayoutLMv3-base, image only).

    Raises:
        InputError: a class named in the config cannot be used.
    """
    config = config or load_config()
    num_classes = config.model.num_classes or DEFAULT_NUM_CLASSES
    fusion = build_fusion(config)
    hidden = config.backbone.hidden_size
    pyramid: ViTPyramid | StemPyramid = ViTPyramid(hidden, config.neck.norm)
    if config.backbone.stem == "conv":
        pyramid = StemPyramid(hidden, config.backbone.stem_channels)
    channels = list(pyramid.out_channels)
    if fusion is not None:
        for level in fusion.levels:
            channels[level - 2] = fusion.out_channels()[level - 2]
    backbone = LayoutLMv3(
        **dataclasses.asdict(config.backbone),  # type: ignore[call-overload]
        use_text=config.text.selection != "none",
        sentence_encoder=_sentence_encoder(config),
        size_divisibility=config.input.size_divisibility,
    )
    return LayoutDetector(
        backbone=backbone,
        pyramid=pyramid,
        fpn=FPN(channels, config.neck.out_channels),
        rpn=_build_rpn(config),
        cascade=_build_cascade(config, num_classes),
        mask_head=_build_mask_head(config, num_classes) if config.model.mask_on else None,
        fusion=fusion,
    )


def _build_rpn(config: Config) -> RPN:
    rpn = config.rpn
    build: Callable[..., Any] = RPN
    if rpn.kind is not None:
        kind = load_class(rpn.kind, "rpn.kind", RPN)
        build = functools.partial(_build_own, kind, rpn.kind, "rpn.kind", **rpn.options)
    return build(
        config.neck.out_channels,
        rpn.anchor_sizes,
        rpn.aspect_ratios,
        negative_iou=rpn.negative_iou,
        positive_iou=rpn.positive_iou,
        batch_size_per_image=rpn.batch_size_per_image,
        positive_fraction=rpn.positive_fraction,
        pre_nms=(rpn.pre_nms_train, rpn.pre_nms_test),
        post_nms=(rpn.post_nms_train, rpn.post_nms_test),
        nms_threshold=rpn.nms_threshold,
        box_loss_kind=rpn.box_loss,
        smooth_l1_beta=rpn.smooth_l1_beta,
        box_weights=rpn.box_weights,
    )


def _build_cascade(config: Config, num_classes: int) -> CascadeHeads:
    roi, dim = config.roi, config.roi.fc_dim
    channels = config.neck.out_channels
    if roi.head is None:
        heads = [BoxHead(channels, roi.pool_size, dim) for _ in roi.iou_thresholds]
    else:
        kind = load_class(roi.head, "roi.head", nn.Module)
        heads = [
            _build_own(kind, roi.head, "roi.head", channels, roi.pool_size, dim)
            for _ in roi.iou_thresholds
        ]
    text_pooler = None
    if config.fusion.kind == "roi":
        poolers = [
            ROIPooler(roi.pool_size, (2**level,), roi.sampling_ratio)
            for level in config.fusion.levels
        ]
        text_pooler = ROITextPooler(poolers, config.backbone.hidden_size, dim)
    predictor: Callable[..., Any] = BoxPredictor
    if roi.predictor is not None:
        own = load_class(roi.predictor, "roi.predictor", BoxPredictor)
        predictor = functools.partial(
            _build_own, own, roi.predictor, "roi.predictor", **roi.predictor_options
        )
    relation = None
    if config.relation.enabled:
        relation = RelationModule(
            dim, num_classes, config.relation.dim, config.relation.heads, config.relation.layers
        )
    return CascadeHeads(
        ROIPooler(roi.pool_size, sampling_ratio=roi.sampling_ratio),
        heads,
        [
            predictor(
                dim,
                num_classes,
                dim if text_pooler else 0,
                box_weights=weights,
                box_loss_kind=roi.box_loss,
                smooth_l1_beta=roi.smooth_l1_beta,
            )
            for weights in roi.box_weights
        ],
        num_classes,
        iou_thresholds=roi.iou_thresholds,
        batch_size_per_image=roi.batch_size_per_image,
        positive_fraction=roi.positive_fraction,
        score_threshold=config.test.score_threshold,
        nms_threshold=config.test.nms_threshold,
        detections_per_page=config.test.detections_per_page,
        text_pooler=text_pooler,
        relation=relation,
    )


def _build_mask_head(config: Config, num_classes: int) -> MaskHead:
    mask = config.mask
    pooler = ROIPooler(mask.pool_size, sampling_ratio=mask.sampling_ratio)
    return MaskHead(pooler, config.neck.out_channels, mask.dim, mask.convs, num_classes)
