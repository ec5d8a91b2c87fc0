"""The settings of the detector's parts; `lmv3det.config.schema` has the others."""

from __future__ import annotations

from dataclasses import field
from typing import Any, ClassVar, Literal

from pydantic.dataclasses import dataclass

from lmv3det.config.checks import (
    MAX_WIDTH,
    STRICT,
    nearest,
    require,
    require_between,
    require_class,
    require_fraction,
    require_positive,
)

BoxLoss = Literal["smooth_l1", "giou", "diou", "ciou"]


@dataclass(config=STRICT)
class ModelConfig:
    weights: str | None = None
    """Where training starts from: a checkpoint of ours, a detectron2 .pth of this architecture,
    a Hugging Face LayoutLMv3 folder, `hub:owner/name`, which needs the network, or `default`, the
    model that comes with the package. None: from scratch."""
    num_classes: int | None = None
    """Classes without background. None: as many as the training annotations have; 10, the classes
    of CDLA, where a detector is built without annotations."""
    mask_on: bool = True
    """Predict and train masks. Layout regions are mostly rectangles: off saves time and memory."""

    def __post_init__(self) -> None:
        if self.num_classes is not None:
            require_between(self, "model", num_classes=(1, MAX_WIDTH))


@dataclass(config=STRICT)
class BackboneConfig:
    kind: str = "layoutlmv3"
    """layoutlmv3; timm, an encoder of timm's, which reads no text; or a class of yours that derives
    from `Backbone`: `module:Class`. The settings below that are not about tokens are those of
    layoutlmv3."""
    options: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of another kind's constructor; for timm `name`, such as
    `{name: convnext_tiny}`, and what `timm.create_model` takes."""
    weights: str | None = None
    """Pre-trained weights of timm's encoder alone, with which a training starts: a file, `hub:` for
    those that timm names, or `hub:owner/name`, which need the network."""
    hidden_size: int = 768
    """Width C of the encoder."""
    layers: int = 12
    """Transformer layers."""
    heads: int = 12
    """Attention heads."""
    intermediate_size: int = 3072
    """Width of the feed-forward layers."""
    patch_size: ClassVar[int] = 16
    """Side of a patch in pixels. No setting: the strides of the pyramid follow from it."""
    input_size: int = 224
    """Side in pixels of the image that the learnt position table was made for."""
    out_indices: list[int] = field(default_factory=lambda: [3, 5, 7, 11])
    """The four layers (from 0) whose outputs feed the pyramid."""
    coordinate_size: int = 128
    """Width of the x and y embeddings of a text box."""
    shape_size: int = 128
    """Width of the height and width embeddings of a text box."""
    vocab_size: int = 50265
    """Rows of the word table."""
    max_positions: int = 514
    """Rows of the 1D position table (the first pad_token_id + 1 are not used by text)."""
    max_2d_positions: int = 1024
    """Rows of each 2D position table."""
    type_vocab_size: int = 1
    """Rows of the token type table."""
    pad_token_id: int = 1
    """Id of the padding token; its rows get no gradient."""
    layer_norm_eps: float = 1e-5
    """Epsilon of the encoder's LayerNorms (the visual one has 1e-6)."""
    dropout: float = 0.1
    """Dropout after embeddings and dense layers."""
    attention_dropout: float = 0.1
    """Dropout of attention probabilities."""
    drop_path: float = 0.0
    """Stochastic depth: the last layer's rate, rising linearly from 0 (the original: 0)."""
    relative_bias: bool = False
    """Bias attention by 1D distance (off in the original detector)."""
    spatial_bias: bool = False
    """Bias attention by distance in x and y (off in the original detector)."""
    relative_buckets: int = 32
    """Buckets of the 1D bias."""
    relative_max_distance: int = 128
    """Distance from which the 1D bias has one bucket."""
    spatial_buckets: int = 64
    """Buckets of the spatial bias."""
    spatial_max_distance: int = 256
    """Distance (0..1000) from which the spatial bias has one bucket."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""
    mask_padding: bool = False
    """Keep attention off padded patches, so that a page does not depend on its batch-mates."""
    stem: Literal["patch", "conv"] = "patch"
    """patch: LayoutLMv3's projection of patches. conv: stride-2 convolutions to stride 16, whose
    maps of strides 4 and 8 feed the pyramid; learns from less data where training starts from
    scratch."""
    stem_channels: list[int] = field(default_factory=lambda: [48, 96, 192])
    """Channels of the conv stem at strides 4, 8 and 16."""
    stem_blocks: int = 1
    """Residual blocks of the conv stem at each of these strides."""

    def __post_init__(self) -> None:
        kinds = ("layoutlmv3", "timm")
        if self.kind not in kinds and ":" not in self.kind:
            raise ValueError(
                f"backbone.kind is {self.kind!r}; it must be one of {', '.join(kinds)} or "
                f"module:Class{nearest(self.kind, kinds)}"
            )
        own = self.kind != "layoutlmv3"
        require(
            own or not self.options,
            "backbone.options",
            self.options,
            "empty for layoutlmv3, whose settings are those of this section",
        )
        require(
            own or self.weights is None,
            "backbone.weights",
            self.weights,
            "null for layoutlmv3, which takes its weights from model.weights",
        )
        if self.kind == "timm" and not isinstance(self.options.get("name"), str):
            raise ValueError(
                "backbone.kind is 'timm', but backbone.options names no encoder: set "
                "backbone.options='{name: convnext_tiny}'"
            )
        require_between(
            self,
            "backbone",
            hidden_size=(1, MAX_WIDTH),
            layers=(1, 200),
            heads=(1, 1024),
            intermediate_size=(1, 4 * MAX_WIDTH),
            coordinate_size=(1, MAX_WIDTH),
            shape_size=(1, MAX_WIDTH),
            vocab_size=(1, 2**24),
            pad_token_id=(0, self.vocab_size - 1),
            max_positions=(self.pad_token_id + 2, 2**20),
            max_2d_positions=(1001, 2**20),  # boxes are on a grid of 0..1000
            type_vocab_size=(1, 2**16),
            relative_buckets=(4, 2**16),
            spatial_buckets=(4, 2**16),
            relative_max_distance=(self.relative_buckets // 4 + 1, 2**20),
            spatial_max_distance=(self.spatial_buckets // 4 + 1, 2**20),
            input_size=(self.patch_size, 2**14),
            stem_blocks=(0, 100),
        )
        require(
            self.input_size % self.patch_size == 0,
            "backbone.input_size",
            self.input_size,
            f"a multiple of the patches' side, {self.patch_size}",
        )
        require(
            self.hidden_size % self.heads == 0,
            "backbone.hidden_size",
            self.hidden_size,
            f"a multiple of backbone.heads ({self.heads})",
        )
        require(
            4 * self.coordinate_size + 2 * self.shape_size == self.hidden_size,
            "backbone.coordinate_size",
            self.coordinate_size,
            f"4 · coordinate_size + 2 · shape_size = hidden_size ({self.hidden_size})",
        )
        require(
            len(self.out_indices) == 4 and sorted(set(self.out_indices)) == self.out_indices,
            "backbone.out_indices",
            self.out_indices,
            "four rising layer numbers",
        )
        require(
            bool(self.out_indices)
            and self.out_indices[0] >= 0
            and self.out_indices[-1] < self.layers,
            "backbone.out_indices",
            self.out_indices,
            f"layer numbers from 0 to {self.layers - 1}",
        )
        require(
            len(self.stem_channels) == 3 and 0 < min(self.stem_channels) <= MAX_WIDTH,
            "backbone.stem_channels",
            self.stem_channels,
            f"three numbers from 1 to {MAX_WIDTH}",
        )
        for key in ("dropout", "attention_dropout", "drop_path"):
            require_fraction(getattr(self, key), f"backbone.{key}")
        require_positive(self, "backbone", ("layer_norm_eps",))


@dataclass(config=STRICT)
class NeckConfig:
    out_channels: int = 256
    """Channels of the feature pyramid (p2 … p6)."""
    norm: Literal["batch", "frozen"] = "batch"
    """BatchNorm of the ×4 map; `batch` becomes SyncBatchNorm under DDP, `frozen` keeps its
    running values."""

    def __post_init__(self) -> None:
        require_between(self, "neck", out_channels=(1, MAX_WIDTH))


@dataclass(config=STRICT)
class RPNConfig:
    anchor_sizes: list[int] | list[list[int]] = field(
        default_factory=lambda: [32, 64, 128, 256, 512]
    )
    """√area of the anchors of p2 … p6, pixels; or a list for each level."""
    aspect_ratios: list[float] | list[list[float]] = field(default_factory=lambda: [0.5, 1.0, 2.0])
    """Height / width of the anchors; or a list for each level."""
    negative_iou: float = 0.3
    """Anchors with a smaller best IoU are negative."""
    positive_iou: float = 0.7
    """Anchors with at least this IoU are positive."""
    batch_size_per_image: int = 256
    """Anchors sampled from each page; also the losses' divisor."""
    positive_fraction: float = 0.5
    """At most this fraction of them positive."""
    pre_nms_train: int = 2000
    """Best proposals a level before NMS, in training."""
    pre_nms_test: int = 1000
    """Best proposals a level before NMS, in test."""
    post_nms_train: int = 2000
    """Proposals a page after NMS, in training."""
    post_nms_test: int = 1000
    """Proposals a page after NMS, in test."""
    nms_threshold: float = 0.7
    """IoU above which the lower proposal goes."""
    box_loss: BoxLoss = "ciou"
    """Regression loss."""
    smooth_l1_beta: float = 0.0
    """Where smooth L1 turns from square to linear; 0 is L1."""
    box_weights: list[float] = field(default_factory=lambda: [1.0, 1.0, 1.0, 1.0])
    """Weights of dx, dy, dw, dh."""
    kind: str | None = None
    """An RPN of your own with its losses, `module:Class`, derived from RPN."""
    options: dict[str, bool | int | float | str | list[float]] = field(default_factory=dict)
    """Further arguments of its constructor."""

    def __post_init__(self) -> None:
        require_class(self.kind, "rpn.kind", self.options, "rpn.options")
        require(len(self.anchor_sizes) == 5, "rpn.anchor_sizes", self.anchor_sizes, "5 sizes")
        require(
            len(self.box_weights) == 4 and min(self.box_weights) > 0,
            "rpn.box_weights",
            self.box_weights,
            "4 weights above 0",
        )
        sizes, ratios = self.sizes_of_levels(), self.ratios_of_levels()
        require(
            len(ratios) == 5 and all(r > 0 for level in ratios + sizes for r in level),
            "rpn.aspect_ratios",
            self.aspect_ratios,
            "one or more ratios above 0, as the sizes of rpn.anchor_sizes, or five lists of them",
        )
        counts_of_levels = {len(s) * len(r) for s, r in zip(sizes, ratios, strict=True)}
        require(
            len(counts_of_levels) == 1 and 0 not in counts_of_levels,
            "rpn.anchor_sizes",
            self.anchor_sizes,
            "of equally many anchors at all levels, which share a head",
        )
        counts = ("pre_nms_train", "pre_nms_test", "post_nms_train", "post_nms_test")
        require_positive(self, "rpn", ("batch_size_per_image", *counts))
        require(self.smooth_l1_beta >= 0, "rpn.smooth_l1_beta", self.smooth_l1_beta, "0 or more")
        for key in ("positive_fraction", "nms_threshold"):
            require_fraction(getattr(self, key), f"rpn.{key}")
        require(
            0 <= self.negative_iou <= self.positive_iou <= 1,
            "rpn.negative_iou",
            self.negative_iou,
            "0 ≤ negative_iou ≤ positive_iou ≤ 1",
        )

    def sizes_of_levels(self) -> list[list[int]]:
        """The anchors' sizes at each of the five levels."""
        return [size if isinstance(size, list) else [size] for size in self.anchor_sizes]

    def ratios_of_levels(self) -> list[list[float]]:
        """The anchors' ratios at each of the five levels."""
        ratios: list = self.aspect_ratios
        return ratios if ratios and isinstance(ratios[0], list) else [ratios] * 5


@dataclass(config=STRICT)
class ROIConfig:
    iou_thresholds: list[float] = field(default_factory=lambda: [0.5, 0.6, 0.7])
    """IoU from which a proposal is foreground, one a cascade stage."""
    box_weights: list[list[float]] = field(
        default_factory=lambda: [
            [10.0, 10.0, 5.0, 5.0],
            [20.0, 20.0, 10.0, 10.0],
            [30.0, 30.0, 15.0, 15.0],
        ]
    )
    """Weights of dx, dy, dw, dh, one list a stage."""
    batch_size_per_image: int = 512
    """Regions sampled from each page."""
    positive_fraction: float = 0.25
    """At most this fraction of them foreground."""
    pool_size: int = 7
    """Cells of a pooled region, each way."""
    sampling_ratio: int = 0
    """ROIAlign's samples in a cell, each way; 0 adapts to the region's size (slow on a CPU)."""
    fc_dim: int = 1024
    """Width of the box heads."""
    box_loss: BoxLoss = "ciou"
    """Regression loss of all stages."""
    smooth_l1_beta: float = 0.0
    """Where smooth L1 turns from square to linear; 0 is L1."""
    head: str | None = None
    """A box head of your own, `module:Class`, built with (in_channels, pool_size, fc_dim). None:
    two fully connected layers."""
    head_options: dict[str, Any] = field(default_factory=dict)
    """Further arguments of its constructor."""
    predictor: str | None = None
    """A predictor of your own with its losses, `module:Class`, derived from BoxPredictor."""
    predictor_options: dict[str, bool | int | float | str | list[float]] = field(
        default_factory=dict
    )
    """Further arguments of its constructor."""

    def __post_init__(self) -> None:
        require_class(
            self.predictor, "roi.predictor", self.predictor_options, "roi.predictor_options"
        )
        require(
            len(self.iou_thresholds) == len(self.box_weights) >= 1,
            "roi.box_weights",
            self.box_weights,
            "one list of four weights for each of roi.iou_thresholds",
        )
        require(
            len(self.iou_thresholds) <= 10,
            "roi.iou_thresholds",
            self.iou_thresholds,
            "of 10 stages at most",
        )
        for weights in self.box_weights:
            require(
                len(weights) == 4 and min(weights) > 0,
                "roi.box_weights",
                self.box_weights,
                "lists of four weights above 0",
            )
        for iou in (*self.iou_thresholds, self.positive_fraction):
            require_fraction(iou, "roi.iou_thresholds and roi.positive_fraction")
        require_positive(self, "roi", ("batch_size_per_image",))
        require(self.smooth_l1_beta >= 0, "roi.smooth_l1_beta", self.smooth_l1_beta, "0 or more")
        require(
            self.head is not None or not self.head_options,
            "roi.head_options",
            self.head_options,
            "empty without roi.head",
        )
        require_between(
            self, "roi", pool_size=(1, 256), fc_dim=(1, MAX_WIDTH), sampling_ratio=(0, 256)
        )


@dataclass(config=STRICT)
class MaskConfig:
    pool_size: int = 14
    """Cells of a pooled region, each way; masks have twice as many."""
    sampling_ratio: int = 0
    """ROIAlign's samples in a cell, each way; 0 adapts to the region's size."""
    convs: int = 4
    """3×3 convolutions before the deconvolution."""
    dim: int = 256
    """Their channels."""

    def __post_init__(self) -> None:
        require_between(
            self,
            "mask",
            pool_size=(1, 256),
            dim=(1, MAX_WIDTH),
            convs=(0, 100),
            sampling_ratio=(0, 256),
        )


@dataclass(config=STRICT)
class FusionConfig:
    kind: str = "none"
    """none, additive (AF1), gated (AF2), vsr, concat, roi, or a class of yours: `module:Class`."""
    options: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of its constructor, beside those that the settings below give."""
    levels: list[int] = field(default_factory=lambda: [5])
    """Pyramid levels (2 … 5) whose visual map is fused with the text map."""
    reduce: Literal["sum", "mean"] = "sum"
    """How the features of boxes that cover the same cell are joined."""
    gate_relu: bool = True
    """ReLU before the gate's sigmoid, which keeps the gate at ½ or more (as reported)."""
    only_where_text: bool = False
    """Leave the visual map as it is where no text covers a cell."""

    def __post_init__(self) -> None:
        kinds = ("none", "additive", "gated", "vsr", "concat", "roi")
        if self.kind not in kinds and ":" not in self.kind:
            raise ValueError(
                f"fusion.kind is {self.kind!r}; it must be one of {', '.join(kinds)} or "
                f"module:Class{nearest(self.kind, kinds)}"
            )
        require(
            self.kind != "none" or not self.options,
            "fusion.options",
            self.options,
            "empty without a fusion, whose arguments they are",
        )
        require(
            bool(self.levels) and set(self.levels) <= {2, 3, 4, 5},
            "fusion.levels",
            self.levels,
            "levels from 2 to 5",
        )


@dataclass(config=STRICT)
class RelationConfig:
    enabled: bool = False
    """Let the detections of a page attend to each other after the last stage."""
    layers: int = 1
    """Attention layers."""
    heads: int = 8
    """Attention heads."""
    dim: int = 256
    """Width of the attention."""

    def __post_init__(self) -> None:
        require_between(self, "relation", layers=(1, 100), heads=(1, 1024), dim=(1, MAX_WIDTH))
        require(self.dim % self.heads == 0, "relation.dim", self.dim, f"a multiple of {self.heads}")
