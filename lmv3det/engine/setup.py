"""From a config to what a run needs: checked files, data, sizes, the model to start from."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

from lmv3det.checkpoint.file import Checkpoint
from lmv3det.checkpoint.loading import build_with_weights, checkpoint_page_tokenizer
from lmv3det.config import Config
from lmv3det.data.categories import Category
from lmv3det.data.coco import CocoDataset
from lmv3det.data.shards import ShardDataset
from lmv3det.data.transforms import CROP_SHORT_SIDES
from lmv3det.distributed import World
from lmv3det.errors import InputError
from lmv3det.inference.default_model import default_model_folder
from lmv3det.model.detector import LayoutDetector, build_detector
from lmv3det.text.tokenization import PageTokenizer, build_page_tokenizer

log = logging.getLogger(__name__)


def shorten_warmup(config: Config) -> None:
    """Make a warm-up that is as long as the run, and would never reach the peak rate, a tenth of
    it, with a notice; unless `solver.allow_long_warmup`."""
    solver = config.solver
    if solver.warmup_steps < solver.steps or solver.allow_long_warmup:
        return
    shorter = solver.steps // 10
    log.warning(
        "solver.warmup_steps is %d and the run has %d steps: the warm-up is shortened to %d "
        "(solver.allow_long_warmup=true keeps it, and the peak rate is never reached)",
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
    for name in ("train", "val"):
        split = getattr(config.data, name)
        if getattr(split, "shards", None) is not None:
            set_too = [k for k in ("annotations", "images", "ocr") if getattr(split, k) is not None]
            if set_too:
                raise InputError(
                    f"data.{name}.shards and data.{name}.{set_too[0]} are both set: set one of "
                    "them to null"
                )
            continue
        paths = {"annotations": split.annotations, "images": split.images}
        if name == "val" and not any(paths.values()):
            continue
        for key, path in paths.items():
            what = "annotation file" if key == "annotations" else "image folder"
            fix = f"give it by data.{name}.{key}=PATH, or in the config file"
            if path is None:
                raise InputError(f"data.{name}.{key}, the {what}, is not set; {fix}")
            exists = Path(path).is_dir() or (key == "annotations" and Path(path).is_file())
            if not exists:
                raise InputError(
                    f"data.{name}.{key} is {path}: no such {what} (seen from {Path.cwd()}); {fix}"
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


def read_data(config: Config, quiet: bool) -> tuple[CocoDataset | ShardDataset, CocoDataset | None]:
    """The training pages, and those for evaluation where the config names some.

    `model.num_classes` is set to the number of categories where it is None.

    Args:
        quiet: log nothing.

    Raises:
        InputError: data that cannot be used, or another number of classes.
    """
    data, model = config.data, config.model
    options: dict[str, Any] = {
        "with_text": config.text.selection != "none",
        "strict": data.strict,
        "missing_ocr": data.missing_ocr,
        "malformed_ocr": data.malformed_ocr,
        "quiet": quiet,
    }
    least_side = _least_side(config) if data.reduced_jpeg else None
    train: CocoDataset | ShardDataset
    if data.train.shards is not None:
        train = ShardDataset(
            data.train.shards,
            with_text=options["with_text"],
            missing_ocr=data.missing_ocr,
            malformed_ocr=data.malformed_ocr,
            keep_empty=data.keep_empty,
            least_side=least_side,
        )
    else:
        assert data.train.annotations is not None and data.train.images is not None
        train = CocoDataset(
            data.train.annotations,
            data.train.images,
            data.train.ocr,
            keep_empty=data.keep_empty,
            least_side=least_side,
            **options,
        )
    number = len(train.categories)
    if model.num_classes not in (None, number):
        raise InputError(
            f"model.num_classes is {model.num_classes}, but "
            f"{data.train.shards or data.train.annotations} has {number} "
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
        categories=train.categories,
        **options,
    )
    return train, val


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
    if config.model.weights is not None:
        from lmv3det.convert import load_initial_weights

        report = load_initial_weights(
            model, config.model.weights, config, categories=categories, trust_code=trust_code
        )
        if world.is_main:
            for line in str(report).splitlines():
                log.info("%s", line)
    return model
