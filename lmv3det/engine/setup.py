"""From a config to what a run needs: checked files, data, sizes, the model to start from."""

from __future__ import annotations

import dataclasses
import logging
import math
from pathlib import Path
from typing import Any

from lmv3det.checkpoint.file import Checkpoint
from lmv3det.checkpoint.loading import build_with_weights, checkpoint_page_tokenizer
from lmv3det.config import Config, SplitConfig, TrainSplitConfig
from lmv3det.data.categories import Category, name_rest
from lmv3det.data.class_map import join_categories
from lmv3det.data.coco import CocoDataset
from lmv3det.data.joined import JoinedDataset, TrainDataset
from lmv3det.data.shards import ShardDataset
from lmv3det.data.transforms import CROP_SHORT_SIDES
from lmv3det.distributed import World
from lmv3det.errors import InputError
from lmv3det.inference.default_model import default_model_folder
from lmv3det.model.backbone_base import Backbone
from lmv3det.model.detector import LayoutDetector, build_detector
from lmv3det.text.tokenization import PageTokenizer, build_page_tokenizer

log = logging.getLogger(__name__)


def set_steps(config: Config, pages: int) -> None:
    """Set `solver.steps` where `solver.epochs` says how long a run is.

    Args:
        config: changed in place.
        pages: to train on.
    """
    solver = config.solver
    if solver.epochs is not None:
        solver.steps = max(1, math.ceil(solver.epochs * pages / solver.batch_size))


def shorten_warmup(config: Config, quiet: bool = False) -> None:
    """Make a warm-up that is as long as the run, and would never reach the peak lr, a tenth of
    it, with a notice; unless `solver.allow_long_warmup`.

    Args:
        config: changed in place.
        quiet: without the notice.
    """
    solver = config.solver
    if solver.warmup_steps < solver.steps or solver.allow_long_warmup:
        return
    shorter = solver.steps // 10
    if not quiet:
        log.warning(
            "solver.warmup_steps is %d and the run has %d steps: the warm-up is shortened to %d "
            "(solver.allow_long_warmup=true keeps it, and the peak lr is never reached)",
            solver.warmup_steps,
            solver.steps,
            shorter,
        )
    solver.warmup_steps = shorter


def run_page_tokenizer(config: Config, checkpoint: Checkpoint | None) -> PageTokenizer | None:
    """With the config's tokenizer, or that of the run that goes on: under another, the ids of the
    trained word table would mean other words."""
    if checkpoint is None or not checkpoint.tokenizer_files:
        return build_page_tokenizer(config)
    if config.text.tokenizer != checkpoint.config.text.tokenizer:
        log.info("text.tokenizer is not read: the run goes on with its own tokenizer")
    return checkpoint_page_tokenizer(dataclasses.replace(checkpoint, config=config))


def use_default_model(config: Config) -> None:
    """Name the model that comes with the package where `model.weights` is `default`, and its
    tokenizer where `text.tokenizer` is not set.

    Raises:
        InputError: this installation has no model.
    """
    if config.model.weights != "default":
        return
    folder = default_model_folder()
    config.model.weights = str(folder)
    if config.text.tokenizer is None:
        config.text.tokenizer = str(folder / "tokenizer")


def check_files(config: Config) -> None:
    """Check that the files which a config names are there, before anything heavy.

    Raises:
        InputError: one is missing, naming the setting.
    """
    several = isinstance(config.data.train, list)
    for number, split in enumerate(config.data.train_sets):
        _check_split(split, f"data.train[{number}]" if several else "data.train")
    if config.data.val.annotations or config.data.val.images:
        _check_split(config.data.val, "data.val")


def _check_split(split: SplitConfig, name: str) -> None:
    """`check_files` for one data set, which messages call `name`."""
    if isinstance(split, TrainSplitConfig) and split.shards is not None:
        set_too = [k for k in ("annotations", "images", "ocr") if getattr(split, k) is not None]
        if set_too:
            raise InputError(
                f"{name}.shards and {name}.{set_too[0]} are both set: set one of them to null"
            )
        return
    for key, path in (("annotations", split.annotations), ("images", split.images)):
        what = "annotation file" if key == "annotations" else "image folder"
        fix = f"give it by {name}.{key}=PATH, or in the config file"
        if "[" in name:
            fix = "give it in the config file"
        if path is None:
            raise InputError(f"{name}.{key}, the {what}, is not set; {fix}")
        exists = Path(path).is_dir() or (key == "annotations" and Path(path).is_file())
        if not exists:
            raise InputError(
                f"{name}.{key} is {path}: no such {what} (seen from {Path.cwd()}); {fix}"
            )


def micro_batch_size(config: Config, world_size: int) -> int:
    """Pages of one micro-batch of one process.

    Raises:
        InputError: `solver.batch_size` cannot be divided evenly.
    """
    solver = config.solver
    parts = world_size * solver.grad_accum_steps
    if solver.batch_size % parts:
        near = max(1, round(solver.batch_size / parts)) * parts
        processes = f"{world_size} process" + ("es" if world_size > 1 else "")
        raise InputError(
            f"solver.batch_size is {solver.batch_size}, which {processes} with "
            f"solver.grad_accum_steps={solver.grad_accum_steps} cannot divide evenly: set "
            f"solver.batch_size={near}, or another solver.grad_accum_steps"
        )
    return solver.batch_size // parts


def _least_side(config: Config) -> int:
    """Pixels of a page's shortest side that training needs at most."""
    crop = max(CROP_SHORT_SIDES) if config.input.crop else 0
    return max(*config.input.min_size_train, crop)


def read_data(config: Config, quiet: bool) -> tuple[TrainDataset, CocoDataset | None]:
    """The training pages, and those for evaluation where the config names some.

    `model.num_classes` is set to the number of classes where it is None. Where it is one more, as
    in files for detectron2 that count the background too, the last class has no name.

    Args:
        quiet: log nothing.

    Raises:
        InputError: data that cannot be used, or another number of classes.
    """
    data, model = config.data, config.model
    options: dict[str, Any] = {
        "with_text": config.text.selection != "none",
        "missing_ocr": data.missing_ocr,
        "malformed_ocr": data.malformed_ocr,
    }
    parts = [_read_train(config, split, options, quiet) for split in data.train_sets]
    if not any(part.page_classes().any() for part in parts):
        named = ", ".join(str(split.shards or split.annotations) for split in data.train_sets)
        raise InputError(
            f"{named}: no region in any page, so that there is nothing to train on (crowds are "
            "not trained on); `lmv3det check` tells more"
        )
    categories = join_categories([part.categories for part in parts], data.classes)
    if model.num_classes == len(categories) + 1:
        categories = name_rest(categories, model.num_classes)
        if not quiet:
            log.warning(
                "model.num_classes is %d, but there are %d categories: the last class is called %r "
                "and has no regions",
                model.num_classes,
                len(categories) - 1,
                categories[-1].name,
            )
    train: TrainDataset = parts[0]
    if len(parts) > 1:
        train = JoinedDataset(parts, categories)
        if not quiet:
            named = ", ".join(category.name for category in categories)
            log.info("%d data sets joined, with the classes %s", len(parts), named)
    else:
        train.use_categories(categories)
    number = len(categories)
    if model.num_classes not in (None, number):
        names = ", ".join(str(split.shards or split.annotations) for split in data.train_sets)
        raise InputError(
            f"model.num_classes is {model.num_classes}, but {names} has {number} "
            f"categories: set model.num_classes={number}, or leave it out"
        )
    model.num_classes = number
    if data.val.annotations is None or data.val.images is None:
        if not quiet:
            log.warning("data.val is not set: nothing is evaluated, and no best.pth written")
        return train, None
    val = CocoDataset(
        data.val.annotations,
        data.val.images,
        data.val.ocr,
        categories=categories,
        classes=data.val.classes,
        strict=data.strict,
        quiet=quiet,
        **options,
    )
    return train, val


def _read_train(
    config: Config, split: TrainSplitConfig, options: dict[str, Any], quiet: bool
) -> TrainDataset:
    """One data set to train on, with its own classes."""
    data = config.data
    more: dict[str, Any] = {
        "keep_empty": data.keep_empty,
        "least_side": _least_side(config) if data.reduced_jpeg else None,
        "classes": split.classes,
        **options,
    }
    if split.shards is not None:
        return ShardDataset(split.shards, **more)
    assert split.annotations is not None and split.images is not None
    return CocoDataset(
        split.annotations, split.images, split.ocr, strict=data.strict, quiet=quiet, **more
    )


def build_model(
    config: Config,
    world: World,
    categories: list[Category],
    checkpoint: Checkpoint | None,
    source: Path,
    *,
    trust_code: bool = False,
) -> LayoutDetector:
    """The detector to train, on the CPU: of the checkpoint where a run goes on, else with the
    weights that `model.weights` names, else fresh.

    Args:
        source: the checkpoint's path.
        trust_code: let the config that comes with `model.weights` name code.

    Raises:
        InputError: weights that cannot be read or do not fit.
    """
    if checkpoint is not None:
        weights = checkpoint.training["raw_weights"] or checkpoint.weights
        fix = "use the config.yaml beside the checkpoint"
        return build_with_weights(config, weights, str(source), fix)
    model = build_detector(config)
    if config.backbone.weights is not None:
        assert isinstance(model.backbone, Backbone)
        model.backbone.load_weights(config.backbone.weights)
    if config.model.weights is not None:
        from lmv3det.convert import load_initial_weights

        report = load_initial_weights(
            model, config.model.weights, config, categories=categories, trust_code=trust_code
        )
        if world.is_main:
            for line in str(report).splitlines():
                log.info("%s", line)
    return model
