"""The settings as dataclasses, one docstring a field; `docs/settings.md` is made from them.

Values are checked when a dataclass is made; `lmv3det.config` reads them from files. The sections of
the detector's parts are in `lmv3det.config.model_schema`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Tag
from pydantic.dataclasses import dataclass

from lmv3det.config.checks import STRICT, require, require_fraction, require_positive
from lmv3det.config.model_schema import (
    BackboneConfig,
    FusionConfig,
    MaskConfig,
    ModelConfig,
    NeckConfig,
    RelationConfig,
    ROIConfig,
    RPNConfig,
)


@dataclass(config=STRICT)
class SplitConfig:
    annotations: str | None = None
    """COCO instances JSON; or a folder of LabelMe files, a JSON export of Label Studio, or an XML
    export of CVAT."""
    images: str | None = None
    """Folder of the page images; file names in the annotations are relative to it."""
    ocr: str | None = None
    """Folder of the OCR files, `<image stem>.json` or `<image name>.json`. None: `OCR` next to the
    image folder."""
    classes: str | dict[str, str | None] | None = None
    """Other names for the file's classes, `{List: Text, Watermark: null}`: those with equal names
    become one, and regions of null are left out. Or the name of a folding of the fine classes:
    cdla, doclaynet, publaynet."""


@dataclass(config=STRICT)
class TrainSplitConfig(SplitConfig):
    shards: str | None = None
    """Instead of annotations, images and ocr: tar files that `lmv3det shards` wrote, such as
    `pages-{000..009}.tar`; paths, or addresses that fsspec opens."""
    weight: float = 1.0
    """How often each page comes in an epoch: 2 is twice, 0.5 every other epoch."""

    def __post_init__(self) -> None:
        require(self.weight > 0, "data.train.weight", self.weight, "more than 0")


def _one_or_several(value: Any) -> str:
    return "several" if isinstance(value, list) else "one"


TrainSplits = Annotated[
    Annotated[TrainSplitConfig, Tag("one")] | Annotated[list[TrainSplitConfig], Tag("several")],
    Discriminator(_one_or_several),
]
"""One section, or a list of them."""


@dataclass(config=STRICT)
class DataConfig:
    train: TrainSplits = field(default_factory=TrainSplitConfig)
    """Pages to train on; or a list of such sections, which are joined."""
    val: SplitConfig = field(default_factory=SplitConfig)
    """Pages to evaluate on."""
    classes: str | list[str] | None = None
    """The classes of the run in the order of their indices, or the name of a folding (cdla,
    doclaynet, publaynet, fine), whose classes are taken. None: those of the first data set, and
    then what the next ones add."""
    repeat_threshold: float = 0.0
    """Repeat-factor sampling: a page with a class that fewer than this fraction of pages have comes
    more often, √(threshold / fraction) times an epoch; 0 is off."""
    strict: bool = False
    """Stop at faulty annotations; otherwise skip them and report counts."""
    missing_ocr: Literal["error", "empty"] = "error"
    """A page without OCR file is an error, or a page without text."""
    malformed_ocr: Literal["error", "skip"] = "error"
    """A faulty OCR file is an error, or its faulty lines are left out and counted."""
    workers: int | None = None
    """Loader processes of each training process; 0 loads in the process itself. None: as many as
    there are cores for each, 8 at most."""
    group_by_aspect: bool = True
    """Batch tall pages with tall ones and wide with wide, to pad less."""
    keep_empty: bool = True
    """Train on pages without regions too."""
    reduced_jpeg: bool = False
    """In training, decode a JPEG at a half, a quarter or an eighth of its size where that is enough
    for the largest of `input.min_size_train`: faster on scans, and a little smoother."""

    def __post_init__(self) -> None:
        if self.workers is not None:
            require(self.workers >= 0, "data.workers", self.workers, "0 or more")
        require_fraction(self.repeat_threshold, "data.repeat_threshold")
        require(self.train != [], "data.train", self.train, "a section, or a list of one or more")
        names = self.classes if isinstance(self.classes, list) else []
        twice = sorted({name for name in names if names.count(name) > 1})
        require(not twice and self.classes != [], "data.classes", self.classes, "names, each once")

    @property
    def train_sets(self) -> list[TrainSplitConfig]:
        """The data sets to train on."""
        return self.train if isinstance(self.train, list) else [self.train]


@dataclass(config=STRICT)
class AugmentConfig:
    probability: float = 0.0
    """Share of training pages that look different each time that they come; 0 is off. What is done
    to such a page is drawn by the probabilities below."""
    tone: float = 0.6
    """Probability of another contrast, gamma, colour of ink and of paper."""
    grey: float = 0.1
    """Probability that colours go."""
    light: float = 0.2
    """Probability of uneven light, as on a scan or a photograph, or a dark edge at the binding."""
    geometry: float = 0.4
    """Probability of a small turn, shift, zoom and perspective. Regions, outlines and OCR lines
    move along; what leaves the page is cut off."""
    rotation: float = 1.5
    """Largest turn, degrees either way."""
    zoom: float = 0.05
    """Largest change of scale, and of the ratio of width to height, as a fraction."""
    perspective: float = 0.01
    """How far each corner moves at most, as a fraction of the page's sides."""
    small: float = 0.2
    """Probability that a page is made smaller and enlarged again."""
    small_scale: float = 0.5
    """The smallest such scale."""
    blur: float = 0.25
    """Probability of a Gaussian blur."""
    blur_sigma: float = 0.8
    """Its largest standard deviation, pixels of the network input."""
    noise: float = 0.2
    """Probability of grain, and at times of specks."""
    noise_level: float = 0.03
    """Its largest standard deviation, as a fraction of white."""
    jpeg: float = 0.4
    """Probability of JPEG compression."""
    jpeg_quality: list[int] = field(default_factory=lambda: [30, 90])
    """Its lowest and highest quality, from 1 to 95."""

    def __post_init__(self) -> None:
        chances = ("probability", "tone", "grey", "light", "geometry", "small", "blur", "noise")
        for key in (*chances, "jpeg", "noise_level"):
            require_fraction(getattr(self, key), f"input.augment.{key}")
        for key, low, high in (
            ("rotation", 0, 45),
            ("zoom", 0, 0.5),
            ("perspective", 0, 0.2),
            ("blur_sigma", 0, 100),
            ("small_scale", 0.05, 1),
        ):
            value = getattr(self, key)
            require(low <= value <= high, f"input.augment.{key}", value, f"from {low} to {high}")
        quality = self.jpeg_quality
        require(
            len(quality) == 2 and 1 <= quality[0] <= quality[1] <= 95,
            "input.augment.jpeg_quality",
            quality,
            "the lowest and the highest quality, from 1 to 95",
        )


@dataclass(config=STRICT)
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
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Pages in training as they come from other printers, scanners, cameras and files."""

    def __post_init__(self) -> None:
        sizes = [*self.min_size_train, self.max_size_train, self.min_size_test, self.max_size_test]
        require(bool(self.min_size_train), "input.min_size_train", [], "at least one size")
        require(min(sizes) > 0, "input sizes", min(sizes), "more than 0 pixels")
        for key in ("pixel_mean", "pixel_std"):
            require(len(getattr(self, key)) == 3, f"input.{key}", getattr(self, key), "3 values")
        require(min(self.pixel_std) > 0, "input.pixel_std", self.pixel_std, "more than 0")
        require(
            self.size_divisibility % 32 == 0 and self.size_divisibility > 0,
            "input.size_divisibility",
            self.size_divisibility,
            "a multiple of 32, the stride of the coarsest map",
        )
        for key in ("flip", "crop"):
            require_fraction(getattr(self, key), f"input.{key}")


@dataclass(config=STRICT)
class TextConfig:
    selection: Literal["none", "first", "all", "sentence"] = "none"
    """Which tokens of an OCR line enter the encoder: none (image only), the first k (WE-F k), all
    (WE-All), or one mean embedding a line (SE)."""
    first_k: int = 3
    """k of `first`."""
    max_tokens: int = 300
    """Tokens a page at most; whole lines are kept in reading order."""
    max_line_tokens: int = 128
    """With selection `sentence`: word pieces of a line that enter its embedding, the first ones."""
    drop_unk: bool = False
    """Leave out unknown tokens."""
    drop_word_start: bool | Literal["after"] = False
    """Leave out the tokenizer's bare word-start piece where other tokens of the line follow;
    `after`: once the first k are taken, so that k - 1 are left, as the notes run WE-F3."""
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
    """Largest fraction of a page's lines that is left out in training; how many is drawn for each
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
            require_fraction(getattr(self, key), f"text.{key}")
        if self.word_dropout and not self.unknown_words:
            raise ValueError(
                f"text.word_dropout is {self.word_dropout}, but lines without words are left out: "
                "set text.unknown_words=true"
            )
        for key in ("first_k", "max_tokens", "max_line_tokens"):
            require(getattr(self, key) >= 1, f"text.{key}", getattr(self, key), "1 or more")


@dataclass(config=STRICT)
class SolverConfig:
    steps: int = 60000
    """Optimizer steps of the run."""
    batch_size: int = 32
    """Pages of an optimizer step, over all processes and accumulated micro-batches."""
    epochs: float | None = None
    """Passes through the training pages, in the place of `steps`."""
    grad_accum_steps: int = 1
    """Micro-batches whose gradients are summed into one step."""
    lr: float = 2e-4
    """Peak learning rate."""
    backbone_multiplier: float = 1.0
    """Factor on the lr of the encoder, pyramid, fusion and FPN, as in the original."""
    layer_decay: float = 1.0
    """Factor on the lr for each encoder layer further from the output; 1 is off."""
    weight_decay: float = 0.05
    """AdamW's decay."""
    no_decay_norm_bias: bool = False
    """Leave norms and biases out of the decay."""
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
    """AdamW's betas."""
    eps: float = 1e-8
    """AdamW's epsilon."""
    schedule: Literal["cosine", "multistep", "constant", "wsd"] = "cosine"
    """How the lr falls after the warm-up. wsd (warm-up, stable, decay): not at all up to the last
    `decay_steps`, then to 0; a run can go on from before its decay with more steps."""
    decay_steps: int = 0
    """Steps at the end in which `wsd` lowers the lr to 0, along a cosine."""
    milestones: list[int] = field(default_factory=list)
    """Steps at which `multistep` multiplies the lr by gamma."""
    gamma: float = 0.1
    """Factor of `multistep`."""
    warmup_steps: int = 1000
    """Steps of the straight line from warmup_factor · lr to the schedule's own value."""
    warmup_factor: float = 0.01
    """Where the warm-up starts, as a fraction of lr."""
    allow_long_warmup: bool = False
    """Keep a warm-up as long as the run, which never reaches the peak lr; otherwise it is
    shortened to a tenth of the run, with a notice."""
    max_grad_norm: float = 1.0
    """Largest gradient, as `clip_type` measures it; 0 is off."""
    clip_type: Literal["total_norm", "norm", "value"] = "total_norm"
    """What is clipped: the norm of all gradients together, that of each parameter's, or every
    number by itself."""
    loss_weights: dict[str, float] = field(default_factory=dict)
    """Factors on losses by their names, as metrics.jsonl has them: `{loss_rpn_loc: 2}`; others
    have 1."""
    freeze: list[str] = field(default_factory=list)
    """Parameters that are not trained at first, by their names' beginning up to a dot, such as
    `backbone`; * stands for anything. BatchNorm goes on measuring."""
    freeze_steps: int | None = None
    """Steps for which they are not. None: the whole run."""
    ema_decay: float = 0.0
    """Decay of an exponential moving average of the weights, which is then evaluated; 0 is off."""
    non_finite: Literal["stop", "skip"] = "stop"
    """At a loss that is not finite: stop and name the pages, or skip the step and count it."""
    log_every: int = 20
    """Steps between logged lines."""
    evaluate_every: int = 2000
    """Steps between evaluations; 0 evaluates only at the end."""
    patience: int = 0
    """Evaluations without a better AP after which a run ends; 0 is off."""
    checkpoint_every: int = 2000
    """Steps between checkpoints."""
    keep_last: int = 3
    """Numbered checkpoints to keep, in addition to `last.pth` and `best.pth`."""

    def __post_init__(self) -> None:
        for key in ("steps", "batch_size", "grad_accum_steps", "log_every", "checkpoint_every"):
            require(getattr(self, key) >= 1, f"solver.{key}", getattr(self, key), "1 or more")
        for key in ("evaluate_every", "keep_last", "warmup_steps", "decay_steps", "patience"):
            require(getattr(self, key) >= 0, f"solver.{key}", getattr(self, key), "0 or more")
        factors = ("backbone_multiplier", "layer_decay", "gamma", "eps")
        for key in ("lr", "weight_decay", "max_grad_norm", *factors):
            require(getattr(self, key) >= 0, f"solver.{key}", getattr(self, key), "0 or more")
        require(
            len(self.betas) == 2 and 0 <= min(self.betas) <= max(self.betas) < 1,
            "solver.betas",
            self.betas,
            "two numbers from 0 to below 1",
        )
        for key in ("ema_decay", "warmup_factor"):
            require_fraction(getattr(self, key), f"solver.{key}")
        for name, weight in self.loss_weights.items():
            require(weight >= 0, f"solver.loss_weights.{name}", weight, "0 or more")
        if self.epochs is not None:
            require(self.epochs > 0, "solver.epochs", self.epochs, "more than 0")
        if self.freeze_steps is not None:
            require(self.freeze_steps >= 0, "solver.freeze_steps", self.freeze_steps, "0 or more")
            require(
                bool(self.freeze),
                "solver.freeze",
                [],
                "a list of what solver.freeze_steps is about",
            )


@dataclass(config=STRICT)
class TestAugmentConfig:
    sizes: list[int] = field(default_factory=list)
    """Shortest sides in pixels at which each page is seen; none: `input.min_size_test` alone."""
    max_size: int | None = None
    """Longest side allowed, pixels. None: `input.max_size_test`."""
    flip: bool = False
    """See each page mirrored left and right too."""

    def __post_init__(self) -> None:
        limit = 10_000
        for size in [*self.sizes, *([] if self.max_size is None else [self.max_size])]:
            require(0 < size <= limit, "test.augment sizes", size, f"from 1 to {limit} pixels")
        require(len(self.sizes) <= 32, "test.augment.sizes", self.sizes, "32 sizes at most")


@dataclass(config=STRICT)
class TestConfig:
    score_threshold: float = 0.05
    """Detections below this score are dropped."""
    nms_threshold: float = 0.5
    """IoU above which the lower detection of the same class goes."""
    detections_per_page: int = 100
    """Detections a page at most."""
    mask_threshold: float = 0.5
    """Mask probability from which a pixel belongs to the region."""
    batch_size: int = 1
    """Pages a batch, each process."""
    classes: Literal["cdla", "doclaynet", "publaynet", "fine"] | None = None
    """What a model with the fine classes finds: they fold into those of a data set before
    suppression (`lmv3det.classes`). None: the classes that it was trained with."""
    fit_to_text: bool = False
    """Move the sides of regions onto the text lines within them, by a line's height at most; upper
    and lower sides only where they are a third of it off. For a model that reads text."""
    augment: TestAugmentConfig = field(default_factory=TestAugmentConfig)
    """Several views of each page in `evaluate` and prediction, whose detections are joined before
    another suppression: better scores for as many times the time. Off without sizes and flip."""

    def __post_init__(self) -> None:
        for key in ("score_threshold", "nms_threshold", "mask_threshold"):
            require_fraction(getattr(self, key), f"test.{key}")
        require_positive(self, "test", ("detections_per_page", "batch_size"))


@dataclass(config=STRICT)
class Config:
    output_dir: str = "output"
    """Where a run writes checkpoints, logs and pictures."""
    seed: int = 42
    """Seed of initialisation, sampling and data order."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Of training, evaluation and prediction alike. bf16 and fp16 are mixed precision. auto: bf16
    where a CUDA GPU has it, else fp16; fp32 on other devices."""
    distributed_timeout: float = 30.0
    """Minutes that several processes wait for one another in an exchange before they give up."""
    data: DataConfig = field(default_factory=DataConfig)
    """Pages and annotations."""
    input: InputConfig = field(default_factory=InputConfig)
    """Sizes and pixels of the network input."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """The detector as a whole."""
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    """The encoder."""
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
        require(self.seed >= 0, "seed", self.seed, "0 or more")
        for key, number in _integers(self, ""):
            require(abs(number) < 2**32, key, number, "below 2^32")
        timeout = self.distributed_timeout
        require(timeout > 0, "distributed_timeout", timeout, "more than 0 minutes")
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


def _integers(section: Any, prefix: str) -> Iterator[tuple[str, int]]:
    """Every integer of a section and of those in it, with its dotted key."""
    for item in dataclasses.fields(section):
        key, value = prefix + item.name, getattr(section, item.name)
        for one in value if isinstance(value, list) else [value]:
            if dataclasses.is_dataclass(one):
                yield from _integers(one, f"{key}.")
            elif isinstance(one, int):
                yield key, one
