"""The detector: from a batch of pages to detections or losses.

`LayoutDetector` receives its parts; `build_detector` makes them from a config.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lmv3det.config import Config, load_config
from lmv3det.config.parts import build_part
from lmv3det.errors import InputError
from lmv3det.model.backbone import LayoutLMv3, SentenceEncoder, TextEmbedding
from lmv3det.model.backbone_base import Backbone, check_backbone
from lmv3det.model.cascade import BoxHead, BoxPredictor, CascadeHeads
from lmv3det.model.fusion import FUSIONS, Fusion, ROITextPooler, TextStates
from lmv3det.model.mask_head import MaskHead
from lmv3det.model.neck import FPN, build_pyramid
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
        text_states: nn.Module | None = None,
    ) -> None:
        """
        Args:
            backbone: a `Backbone`: images and tokens → four maps, and text states or None.
            pyramid: its maps → strides 4, 8, 16, 32.
            fpn: these → p2 … p6.
            rpn: p2 … p6 → proposals, and its losses.
            cascade: proposals → detections, and its losses.
            mask_head: detections → their masks.
            fusion: joins text states with the maps of the pyramid.
            text_states: makes the text states for the fusion where the backbone makes none.
        """
        super().__init__()
        self.backbone = backbone
        self.pyramid = pyramid
        self.fusion = fusion
        self.fpn = fpn
        self.rpn = rpn
        self.cascade = cascade
        self.mask_head = mask_head
        self.text_states = text_states

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
        if self.text_states is not None and batch.input_ids is not None and batch.input_ids.numel():
            text = self.text_states(batch.input_ids, batch.text_boxes)
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


def build_backbone(config: Config) -> Backbone:
    """The encoder that the config names.

    Raises:
        InputError: a class that cannot be used, or does not keep the contract of `Backbone`; a
            padding that is too small for it.
    """
    settings, padding = config.backbone, config.input.size_divisibility
    if settings.kind == "layoutlmv3":
        sizes = {k: v for k, v in dataclasses.asdict(settings).items() if k not in _OF_ANY_KIND}  # type: ignore[call-overload]
        return LayoutLMv3(
            **sizes,
            use_text=config.text.selection != "none",
            sentence_encoder=_sentence_encoder(config),
            size_divisibility=padding,
        )
    built_in: dict[str, type] = {}
    if settings.kind == "timm":
        from lmv3det.model.timm_backbone import TimmBackbone

        built_in["timm"] = TimmBackbone
    key = "backbone.kind"
    backbone = build_part(settings.kind, key, Backbone, options=settings.options, built_in=built_in)
    check_backbone(backbone, key, settings.kind)
    if padding % backbone.size_divisibility:
        raise InputError(
            f"input.size_divisibility is {padding}, but {settings.kind} needs pages of a multiple "
            f"of {backbone.size_divisibility} pixels: set it to that"
        )
    if (
        config.text.selection != "none"
        and config.fusion.kind == "none"
        and (not backbone.text_channels)
    ):
        raise InputError(
            f"text.selection is {config.text.selection!r}, but the encoder {settings.kind} reads "
            "no text and fusion.kind is 'none': set text.selection=none, or a fusion"
        )
    backbone.set_gradient_checkpointing(settings.gradient_checkpointing)
    return backbone


_OF_ANY_KIND = ("kind", "options", "weights")


def _text_states(config: Config, channels: int) -> TextStates:
    """The tokens' embeddings for an encoder that reads no text, of the sizes of `backbone`."""
    sizes = {name: getattr(config.backbone, name) for name in _OF_TOKENS}
    embedding = TextEmbedding(**sizes)
    embedding.sentence = _sentence_encoder(config) or embedding.sentence
    return TextStates(embedding, channels)


_OF_TOKENS = (
    "hidden_size", "vocab_size", "max_positions", "max_2d_positions", "coordinate_size",
    "shape_size", "type_vocab_size", "pad_token_id", "layer_norm_eps", "dropout",
)  # fmt: skip


def build_fusion(config: Config, channels: int | None = None) -> Fusion | None:
    """The fusion that the config names; None without one.

    Args:
        channels: of the maps and of the text states; None: `backbone.hidden_size`.
    """
    settings = config.fusion
    if settings.kind == "none":
        return None
    given: dict[str, Any] = {
        "levels": settings.levels,
        "reduce": settings.reduce,
        "only_where_text": settings.only_where_text,
    }
    if settings.kind == "gated":
        given["gate_relu"] = settings.gate_relu
    return build_part(
        settings.kind,
        "fusion.kind",
        Fusion,
        channels or config.backbone.hidden_size,
        options=settings.options,
        built_in=FUSIONS,
        **given,
    )


def _sentence_encoder(config: Config) -> SentenceEncoder | None:
    name = config.text.sentence_encoder
    if name is None:
        return None
    hidden = config.backbone.hidden_size
    return build_part(name, "text.sentence_encoder", SentenceEncoder, hidden)


def build_detector(config: Config | None = None) -> LayoutDetector:
    """The detector that a config describes, freshly initialised, on the CPU, in float32.

    Args:
        config: as `load_config` gives; None for the defaults (LayoutLMv3-base, image only).

    Raises:
        InputError: a class named in the config cannot be used.
    """
    config = config or load_config()
    num_classes = config.model.num_classes or DEFAULT_NUM_CLASSES
    backbone = build_backbone(config)
    # Of text states and of the maps that they are fused with.
    fused = backbone.text_channels or (
        backbone.out_channels[3] if backbone.strides[3] == 16 else config.backbone.hidden_size
    )
    fusion = build_fusion(config, fused)
    pyramid = build_pyramid(
        backbone.out_channels, backbone.strides, config.neck.norm, fused if fusion else None
    )
    channels = list(pyramid.out_channels)
    if fusion is not None:
        for level in fusion.levels:
            if channels[level - 2] != fused:
                raise InputError(
                    f"fusion.levels is {list(fusion.levels)}, but the map of level {level} has "
                    f"{channels[level - 2]} channels and the text {fused}: fuse at another level"
                )
            channels[level - 2] = fusion.out_channels()[level - 2]
    embeds = fusion is not None and not backbone.text_channels
    return LayoutDetector(
        backbone=backbone,
        pyramid=pyramid,
        fpn=FPN(channels, config.neck.out_channels),
        rpn=_build_rpn(config),
        cascade=_build_cascade(config, num_classes, fused),
        mask_head=_build_mask_head(config, num_classes) if config.model.mask_on else None,
        fusion=fusion,
        text_states=_text_states(config, fused) if embeds else None,
    )


def _build_rpn(config: Config) -> RPN:
    rpn = config.rpn
    build: Callable[..., Any] = RPN
    if rpn.kind is not None:
        build = functools.partial(build_part, rpn.kind, "rpn.kind", RPN, options=rpn.options)
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


def _build_cascade(config: Config, num_classes: int, text_channels: int) -> CascadeHeads:
    roi, dim = config.roi, config.roi.fc_dim
    channels = config.neck.out_channels
    sizes = (channels, roi.pool_size, dim)
    heads: list[nn.Module] = [
        BoxHead(*sizes)
        if roi.head is None
        else build_part(roi.head, "roi.head", nn.Module, *sizes, options=roi.head_options)
        for _ in roi.iou_thresholds
    ]
    text_pooler = None
    if config.fusion.kind == "roi":
        poolers = [
            ROIPooler(roi.pool_size, (2**level,), roi.sampling_ratio)
            for level in config.fusion.levels
        ]
        text_pooler = ROITextPooler(poolers, text_channels, dim)
    predictor: Callable[..., Any] = BoxPredictor
    if roi.predictor is not None:
        predictor = functools.partial(
            build_part,
            roi.predictor,
            "roi.predictor",
            BoxPredictor,
            options=roi.predictor_options,
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
