"""The settings as dataclasses, one docstring a field; `docs/settings.md` is made from them.

Values are checked when a dataclass is made; `lmv3det.config` reads them from files.
"""

from __future__ import annotations

import difflib
import math
import typing
from dataclasses import field
from typing import Any, Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

_STRICT = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)
BoxLoss = Literal["smooth_l1", "giou", "diou", "ciou"]


@dataclass(config=_STRICT)
class SplitConfig:
    annotations: str | None = None
    """COCO instances JSON."""
    images: str | None = None
    """Folder of the page images; file names in the annotations are relative to it."""
    ocr: str | None = None
    """Folder of the OCR files, `<image stem>.json`. None: `OCR` beside the image folder."""


@dataclass(config=_STRICT)
class DataConfig:
    train: SplitConfig = field(default_factory=SplitConfig)
    """Pages to train on."""
    val: SplitConfig = field(default_factory=SplitConfig)
    """Pages to evaluate on."""
    strict: bool = False
    """Stop at faulty annotations; otherwise skip them and report counts."""
    missing_ocr: Literal["error", "empty"] = "error"
    """A page without OCR file is an error, or a page without text."""
    malformed_ocr: Literal["error", "skip"] = "error"
    """A faulty OCR file is an error, or its faulty lines are left out and counted."""
    workers: int = 2
    """Loader processes of each training process; 0 loads in the process itself."""
    group_by_aspect: bool = True
    """Batch tall pages with tall ones and wide with wide, to pad less."""
    keep_empty: bool = True
    """Train on pages without regions too."""

    def __post_init__(self) -> None:
        _require(self.workers >= 0, "data.workers", self.workers, "0 or more")


@dataclass(config=_STRICT)
class InputConfig:
    min_size_train: list[int] = field(default_factory=lambda: list(range(480, 801, 32)))
    """Shortest sides in pixels; one is drawn for each page and step."""
    max_size_train: int = 1333
    """Longest side allowed in training, pixels."""
    min_size_test: int = 800
    """Shortest side in evaluation and prediction, pixels."""
    max_size_test: int = 1333
    """Longest side allowed in evaluation and prediction, pixels."""
    pixel_mean: list[float] = field(default_factory=lambda: [127.5, 127.5, 127.5])
    """Subtracted from R, G, B (0..255)."""
    pixel_std: list[float] = field(default_factory=lambda: [127.5, 127.5, 127.5])
    """Divides R, G, B after the mean is subtracted."""
    size_divisibility: int = 32
    """Batches are padded to a multiple of this many pixels."""
    flip: float = 0.0
    """Probability of a horizontal flip in training (LayoutLMv3's pre-training never saw one)."""
    crop: float = 0.0
    """Probability of resize, random crop, resize in training, as DETR does."""

    def __post_init__(self) -> None:
        sizes = [*self.min_size_train, self.max_size_train, self.min_size_test, self.max_size_test]
        _require(bool(self.min_size_train), "input.min_size_train", [], "at least one size")
        _require(min(sizes) > 0, "input sizes", min(sizes), "more than 0 pixels")
        for key in ("pixel_mean", "pixel_std"):
            _require(len(getattr(self, key)) == 3, f"input.{key}", getattr(self, key), "3 values")
        _require(min(self.pixel_std) > 0, "input.pixel_std", self.pixel_std, "more than 0")
        _require(
            self.size_divisibility % 32 == 0 and self.size_divisibility > 0,
            "input.size_divisibility",
            self.size_divisibility,
            "a multiple of 32, the stride of the coarsest map",
        )
        for key in ("flip", "crop"):
            _require_fraction(getattr(self, key), f"input.{key}")


@dataclass(config=_STRICT)
class ModelConfig:
    weights: str | None = None
    """Where training starts from: a checkpoint of ours, a detectron2 .pth of this architecture,
    a Hugging Face LayoutLMv3 folder, or `hub:owner/name`, which needs the network. None: from
    scratch."""
    num_classes: int | None = None
    """Classes without background. None: as many as the training annotations have; 10, the classes
    of CDLA, where a detector is built without annotations."""
    mask_on: bool = True
    """Predict and train masks. Layout regions are mostly rectangles: off saves time and memory."""

    def __post_init__(self) -> None:
        if self.num_classes is not None:
            _require(self.num_classes > 0, "model.num_classes", self.num_classes, "1 or more")


@dataclass(config=_STRICT)
class BackboneConfig:
    hidden_size: int = 768
    """Width C of the encoder."""
    layers: int = 12
    """Transformer layers."""
    heads: int = 12
    """Attention heads."""
    intermediate_size: int = 3072
    """Width of the feed-forward layers."""
    patch_size: int = 16
    """Side of a patch in pixels; the strides of the pyramid follow from it."""
    input_size: int = 224
    """Side of the image that the learnt position table stands for, pixels."""
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
        sizes = ("hidden_size", "layers", "heads", "intermediate_size", "vocab_size")
        _require_positive(self, "backbone", sizes)
        _require(
            self.hidden_size % self.heads == 0,
            "backbone.hidden_size",
            self.hidden_size,
            f"a multiple of backbone.heads ({self.heads})",
        )
        _require(
            4 * self.coordinate_size + 2 * self.shape_size == self.hidden_size,
            "backbone.coordinate_size",
            self.coordinate_size,
            f"4 · coordinate_size + 2 · shape_size = hidden_size ({self.hidden_size})",
        )
        _require(
            len(self.out_indices) == 4 and sorted(set(self.out_indices)) == self.out_indices,
            "backbone.out_indices",
            self.out_indices,
            "four rising layer numbers",
        )
        _require(
            bool(self.out_indices)
            and self.out_indices[0] >= 0
            and self.out_indices[-1] < self.layers,
            "backbone.out_indices",
            self.out_indices,
            f"layer numbers from 0 to {self.layers - 1}",
        )
        _require(self.patch_size == 16, "backbone.patch_size", self.patch_size, "16")
        _require(
            len(self.stem_channels) == 3 and min(self.stem_channels) > 0,
            "backbone.stem_channels",
            self.stem_channels,
            "three numbers above 0",
        )
        _require(self.stem_blocks >= 0, "backbone.stem_blocks", self.stem_blocks, "0 or more")
        for key in ("dropout", "attention_dropout", "drop_path"):
            _require_fraction(getattr(self, key), f"backbone.{key}")


@dataclass(config=_STRICT)
class NeckConfig:
    out_channels: int = 256
    """Channels of the feature pyramid (p2 … p6)."""
    norm: Literal["batch", "frozen"] = "batch"
    """BatchNorm of the ×4 map; `batch` becomes SyncBatchNorm under DDP, `frozen` keeps its
    running values."""

    def __post_init__(self) -> None:
        _require_positive(self, "neck", ("out_channels",))


@dataclass(config=_STRICT)
class RPNConfig:
    anchor_sizes: list[int] = field(default_factory=lambda: [32, 64, 128, 256, 512])
    """√area of the anchors of p2 … p6, pixels."""
    aspect_ratios: list[float] = field(default_factory=lambda: [0.5, 1.0, 2.0])
    """Height / width of the anchors."""
    negative_iou: float = 0.3
    """Anchors with a smaller best IoU are negative."""
    positive_iou: float = 0.7
    """Anchors with at least this IoU are positive."""
    batch_size_per_image: int = 256
    """Anchors sampled from each page; also the losses' divisor."""
    positive_fraction: float = 0.5
    """At most this share of them positive."""
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

    def __post_init__(self) -> None:
        _require(len(self.anchor_sizes) == 5, "rpn.anchor_sizes", self.anchor_sizes, "5 sizes")
        _require(
            len(self.box_weights) == 4 and min(self.box_weights) > 0,
            "rpn.box_weights",
            self.box_weights,
            "4 weights above 0",
        )
        _require(
            bool(self.aspect_ratios) and min(*self.aspect_ratios, *self.anchor_sizes) > 0,
            "rpn.aspect_ratios",
            self.aspect_ratios,
            "one or more ratios above 0, as the sizes of rpn.anchor_sizes",
        )
        counts = ("pre_nms_train", "pre_nms_test", "post_nms_train", "post_nms_test")
        _require_positive(self, "rpn", ("batch_size_per_image", *counts))
        for key in ("positive_fraction", "nms_threshold"):
            _require_fraction(getattr(self, key), f"rpn.{key}")
        _require(
            0 <= self.negative_iou <= self.positive_iou <= 1,
            "rpn.negative_iou",
            self.negative_iou,
            "0 ≤ negative_iou ≤ positive_iou ≤ 1",
        )


@dataclass(config=_STRICT)
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
    """At most this share of them foreground."""
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
    """A box head of your own, `module:Class`, called with (in_channels, pool_size, fc_dim)."""

    def __post_init__(self) -> None:
        _require(
            len(self.iou_thresholds) == len(self.box_weights) >= 1,
            "roi.box_weights",
            self.box_weights,
            "one list of four weights for each of roi.iou_thresholds",
        )
        for weights in self.box_weights:
            _require(
                len(weights) == 4 and min(weights) > 0,
                "roi.box_weights",
                self.box_weights,
                "lists of four weights above 0",
            )
        for iou in (*self.iou_thresholds, self.positive_fraction):
            _require_fraction(iou, "roi.iou_thresholds and roi.positive_fraction")
        _require_positive(self, "roi", ("batch_size_per_image", "pool_size", "fc_dim"))
        _require(self.sampling_ratio >= 0, "roi.sampling_ratio", self.sampling_ratio, "0 or more")


@dataclass(config=_STRICT)
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
        _require_positive(self, "mask", ("pool_size", "dim"))
        for key in ("convs", "sampling_ratio"):
            _require(getattr(self, key) >= 0, f"mask.{key}", getattr(self, key), "0 or more")


@dataclass(config=_STRICT)
class TextConfig:
    selection: Literal["none", "first", "all", "sentence"] = "none"
    """Which tokens of an OCR line enter the encoder: none (image only), the first k (WE-F k), all
    (WE-All), or one mean embedding a line (SE)."""
    first_k: int = 3
    """k of `first`."""
    max_tokens: int = 300
    """Most tokens a page; whole lines are kept in reading order."""
    drop_unk: bool = False
    """Leave out unknown tokens."""
    drop_word_start: bool = False
    """Leave out the tokenizer's bare word-start piece where other tokens of the line follow."""
    reading_order: Literal["as_is", "two_column", "auto"] = "auto"
    """Order of the lines: the file's, always two columns, or columns found page by page."""
    tokenizer: str | None = None
    """Folder that `AutoTokenizer` loads or `hub:owner/name`, which needs the network."""
    unknown_words: bool = False
    """Take a line without words (a box that was found but not read) as one unknown token; off, it
    is left out."""
    page_dropout: float = 0.0
    """Probability that a page is trained without its text."""
    word_dropout: float = 0.0
    """Probability that a page with text is trained with the boxes of its lines alone, their words
    unknown."""
    line_dropout: float = 0.0
    """Most of a page's lines that are left out in training, as a share; how many is drawn for each
    page."""
    sentence_encoder: str | None = None
    """With selection `sentence`: a class of yours, `module:Class`, that makes a line's embedding
    from those of its word pieces; null takes their mean."""

    def __post_init__(self) -> None:
        if self.sentence_encoder is not None:
            if self.selection != "sentence":
                raise ValueError(
                    f"text.sentence_encoder is {self.sentence_encoder!r}, but text.selection is "
                    f"{self.selection!r}: set text.selection=sentence, or leave it out"
                )
            if ":" not in self.sentence_encoder:
                raise ValueError(
                    f"text.sentence_encoder is {self.sentence_encoder!r}; write module:Class"
                )
        for key in ("page_dropout", "word_dropout", "line_dropout"):
            _require_fraction(getattr(self, key), f"text.{key}")
        if self.word_dropout and not self.unknown_words:
            raise ValueError(
                f"text.word_dropout is {self.word_dropout}, but lines without words are left out: "
                "set text.unknown_words=true"
            )
        _require(self.first_k >= 1, "text.first_k", self.first_k, "1 or more")
        _require(self.max_tokens >= 1, "text.max_tokens", self.max_tokens, "1 or more")


@dataclass(config=_STRICT)
class FusionConfig:
    kind: str = "none"
    """none, additive (AF1), gated (AF2), vsr, concat, roi, or a class of yours: `module:Class`."""
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
        _require(
            bool(self.levels) and set(self.levels) <= {2, 3, 4, 5},
            "fusion.levels",
            self.levels,
            "levels from 2 to 5",
        )


@dataclass(config=_STRICT)
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
        _require_positive(self, "relation", ("layers", "heads", "dim"))
        _require(
            self.dim % self.heads == 0, "relation.dim", self.dim, f"a multiple of {self.heads}"
        )


@dataclass(config=_STRICT)
class SolverConfig:
    steps: int = 60000
    """Optimizer steps of the run."""
    batch_size: int = 32
    """Pages of an optimizer step, over all processes and accumulated micro-batches."""
    grad_accum_steps: int = 1
    """Micro-batches whose gradients are summed into one step."""
    lr: float = 2e-4
    """Peak learning rate."""
    backbone_multiplier: float = 1.0
    """Factor on the rate of the encoder's parameters."""
    layer_decay: float = 1.0
    """Factor on the rate for each encoder layer further from the output; 1 is off."""
    weight_decay: float = 0.05
    """AdamW's decay."""
    no_decay_norm_bias: bool = False
    """Leave norms and biases out of the decay."""
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
    """AdamW's betas."""
    eps: float = 1e-8
    """AdamW's epsilon."""
    schedule: Literal["cosine", "multistep", "constant", "wsd"] = "cosine"
    """How the rate falls after the warm-up. wsd (warm-up, stable, decay): not at all up to the last
    `decay_steps`, then to 0; a run can go on from before its decay with more steps."""
    decay_steps: int = 0
    """Steps at the end in which `wsd` lowers the rate to 0, along a cosine."""
    milestones: list[int] = field(default_factory=list)
    """Steps at which `multistep` multiplies the rate by gamma."""
    gamma: float = 0.1
    """Factor of `multistep`."""
    warmup_steps: int = 1000
    """Steps of the straight line from warmup_factor · lr to the schedule's own value."""
    warmup_factor: float = 0.01
    """Where the warm-up starts, as a share of lr."""
    allow_long_warmup: bool = False
    """Keep a warm-up as long as the run, which never reaches the peak rate; otherwise it is
    shortened to a tenth of the run, with a notice."""
    max_grad_norm: float = 1.0
    """Largest total gradient norm; 0 is off."""
    ema_decay: float = 0.0
    """Decay of an exponential moving average of the weights, which is then evaluated; 0 is off."""
    non_finite: Literal["stop", "skip"] = "stop"
    """At a loss that is not finite: stop and name the pages, or skip the step and count it."""
    log_every: int = 20
    """Steps between logged lines."""
    evaluate_every: int = 2000
    """Steps between evaluations; 0 evaluates only at the end."""
    checkpoint_every: int = 2000
    """Steps between checkpoints."""
    keep_last: int = 3
    """Numbered checkpoints to keep beside `last.pth` and `best.pth`."""

    def __post_init__(self) -> None:
        for key in ("steps", "batch_size", "grad_accum_steps", "log_every", "checkpoint_every"):
            _require(getattr(self, key) >= 1, f"solver.{key}", getattr(self, key), "1 or more")
        for key in ("evaluate_every", "keep_last", "warmup_steps", "decay_steps"):
            _require(getattr(self, key) >= 0, f"solver.{key}", getattr(self, key), "0 or more")
        for key in ("lr", "weight_decay", "max_grad_norm"):
            _require(getattr(self, key) >= 0, f"solver.{key}", getattr(self, key), "0 or more")
        _require(math.isfinite(self.lr), "solver.lr", self.lr, "a finite number")
        _require(
            len(self.betas) == 2 and 0 <= min(self.betas) <= max(self.betas) < 1,
            "solver.betas",
            self.betas,
            "two numbers from 0 to below 1",
        )
        _require_fraction(self.ema_decay, "solver.ema_decay")


@dataclass(config=_STRICT)
class TestConfig:
    score_threshold: float = 0.05
    """Detections below this score are dropped."""
    nms_threshold: float = 0.5
    """IoU above which the lower detection of the same class goes."""
    detections_per_page: int = 100
    """Most detections a page."""
    mask_threshold: float = 0.5
    """Mask probability from which a pixel belongs to the region."""
    batch_size: int = 1
    """Pages a batch, each process."""

    def __post_init__(self) -> None:
        for key in ("score_threshold", "nms_threshold", "mask_threshold"):
            _require_fraction(getattr(self, key), f"test.{key}")
        _require_positive(self, "test", ("detections_per_page", "batch_size"))


@dataclass(config=_STRICT)
class Config:
    output_dir: str = "output"
    """Where a run writes checkpoints, logs and pictures."""
    seed: int = 42
    """Seed of initialisation, sampling and data order."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Of training, evaluation and prediction alike. bf16 and fp16 are mixed precision. auto: bf16
    where a CUDA card has it, else fp16; fp32 on other devices."""
    distributed_timeout: float = 30.0
    """Minutes that several processes wait for one another in an exchange before they give up."""
    data: DataConfig = field(default_factory=DataConfig)
    """Pages and annotations."""
    input: InputConfig = field(default_factory=InputConfig)
    """Sizes and pixels of the network input."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """The detector as a whole."""
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    """The LayoutLMv3 encoder."""
    neck: NeckConfig = field(default_factory=NeckConfig)
    """ViT to feature pyramid."""
    rpn: RPNConfig = field(default_factory=RPNConfig)
    """Region proposals."""
    roi: ROIConfig = field(default_factory=ROIConfig)
    """Cascade box heads."""
    mask: MaskConfig = field(default_factory=MaskConfig)
    """Mask head."""
    text: TextConfig = field(default_factory=TextConfig)
    """From OCR lines to tokens."""
    fusion: FusionConfig = field(default_factory=FusionConfig)
    """Text features on the visual maps."""
    relation: RelationConfig = field(default_factory=RelationConfig)
    """Relation module."""
    solver: SolverConfig = field(default_factory=SolverConfig)
    """Optimizer, schedule and run."""
    test: TestConfig = field(default_factory=TestConfig)
    """From scores to detections."""

    def __post_init__(self) -> None:
        _require(
            self.distributed_timeout > 0,
            "distributed_timeout",
            self.distributed_timeout,
            "more than 0 minutes",
        )
        if self.backbone.stem == "conv" and self.fusion.kind != "none" and 2 in self.fusion.levels:
            raise ValueError(
                f"fusion.levels is {self.fusion.levels}, but with backbone.stem=conv level 2 has "
                "the stem's channels, not the text's: fuse at level 3 or higher"
            )
        if self.fusion.kind != "none" and self.text.selection == "none":
            raise ValueError(
                f"fusion.kind is {self.fusion.kind!r}, but text.selection is 'none', so there is "
                "nothing to fuse: set text.selection=first"
            )
        limit = self.backbone.max_positions - self.backbone.pad_token_id - 1
        if self.text.selection != "none" and self.text.max_tokens > limit:
            raise ValueError(
                f"text.max_tokens is {self.text.max_tokens}, but the position table has room for "
                f"{limit}: lower it or raise backbone.max_positions"
            )


def nearest(word: str, known: typing.Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _require_positive(section: Any, name: str, keys: typing.Iterable[str]) -> None:
    for key in keys:
        _require(getattr(section, key) > 0, f"{name}.{key}", getattr(section, key), "more than 0")


def _require(holds: bool, key: str, value: Any, wanted: str) -> None:
    if not holds:
        raise ValueError(f"{key} is {value!r}; it must be {wanted}")


def _require_fraction(value: float, key: str) -> None:
    _require(0 <= value <= 1, key, value, "from 0 to 1")
