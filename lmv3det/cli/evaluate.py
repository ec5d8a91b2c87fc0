"""`lmv3det evaluate`: score a checkpoint on annotated pages, in one process or under torchrun."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lmv3det.cli.predict_options import add_classes, class_overrides
from lmv3det.errors import InputError, printable

if TYPE_CHECKING:
    from lmv3det.config import Config
    from lmv3det.data.categories import Category
    from lmv3det.data.coco import CocoDataset
    from lmv3det.evaluation.classes import ClassMatch
    from lmv3det.evaluation.coco import Evaluation

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", help="checkpoint, such as output/best.pth; default: the "
                        "model that comes with lmv3det")  # fmt: skip
    parser.add_argument("--annotations", help="COCO JSON, or what `lmv3det check` "
                        "reads (default: data.val of the checkpoint)")  # fmt: skip
    parser.add_argument("--images", help="folder of the page images")
    parser.add_argument("--ocr", help="folder of the OCR files (default: OCR next to the images)")
    add_classes(parser)
    parser.add_argument("--out", help="folder to write to (default: evaluation, or evaluation-2, … "
                        "where that holds results)")  # fmt: skip
    parser.add_argument("--worst", type=int, default=4, help="worst pages to draw (%(default)s)")
    parser.add_argument(
        "--trust-code",
        action="store_true",
        help="import the classes of yours that the checkpoint names",
    )
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="NAME=NAME,…",
        help="take a class of the checkpoint or of the data set as another, such as List=Text; "
        "classes of the same name are one, and those that one side lacks are not scored",
    )
    parser.add_argument(
        "--save-thresholds",
        action="store_true",
        help="write the score threshold of each class's best F1 into the checkpoint",
    )
    parser.add_argument(
        "--report", type=Path, metavar="DIR", help="write DIR/report.html, which shows the mistakes"
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="settings, such as test.batch_size=4"
    )


def run(args: argparse.Namespace) -> int:
    """Evaluate a checkpoint.

    Writes metrics.json, detections.json, table.md, precision-recall curves and drawings of the
    worst pages, and prints the table.
    """
    from lmv3det.checkpoint.loading import checkpoint_page_tokenizer, load_detector
    from lmv3det.cli.predict import free_folder
    from lmv3det.data.coco import CocoDataset
    from lmv3det.data.loader import build_test_loader
    from lmv3det.data.transforms import views_at_test
    from lmv3det.device import choose_precision, describe
    from lmv3det.distributed import failing_together, start
    from lmv3det.evaluation.classes import match_classes, read_map
    from lmv3det.evaluation.detector import evaluate_detector
    from lmv3det.evaluation.files import write_evaluation
    from lmv3det.evaluation.tables import metrics_tables
    from lmv3det.files import lock_folder
    from lmv3det.inference.views import join_by

    if args.worst < 0:
        raise InputError(f"--worst is {args.worst}; it must be 0 or more")
    renamed = read_map(args.map)
    args.checkpoint = _checkpoint(args)
    if args.out is None:
        args.out = str(free_folder("evaluation", args, "metrics.json"))
    elif (Path(args.out) / "metrics.json").exists():
        log.warning("%s: the results of an earlier evaluation are replaced", args.out)
    model, checkpoint = load_detector(
        args.checkpoint,
        "cpu",
        [*args.overrides, *class_overrides(args)],
        trust_code=args.trust_code,
    )
    config = checkpoint.config
    annotations, images, ocr = _data(args, config)
    quiet = int(os.environ.get("RANK", 0)) > 0
    dataset = CocoDataset(
        annotations,
        images,
        ocr,
        classes=config.data.val.classes if args.annotations is None else None,
        with_text=config.text.selection != "none",
        strict=config.data.strict,
        missing_ocr=config.data.missing_ocr,
        malformed_ocr=config.data.malformed_ocr,
        quiet=quiet,
    )
    classes = match_classes(checkpoint.categories, dataset.file_categories, renamed)
    if not quiet:
        _report_left_out(classes)
    encoder = checkpoint_page_tokenizer(checkpoint)
    with (
        start(config.device, config.distributed_timeout) as world,
        contextlib.ExitStack() as stack,
    ):
        with failing_together(world):
            if world.is_main:  # a fault here is told before the work
                stack.enter_context(lock_folder(Path(args.out), "another evaluation", ["pages"]))
        if world.is_main:
            precision = choose_precision(config.precision, world.device)
            log.info("on %s", describe(world.device, precision))
        views = views_at_test(config)
        loader = build_test_loader(
            config, dataset, encoder, rank=world.rank, world_size=world.size, augment=True
        )
        evaluation = evaluate_detector(
            model.to(world.device),
            dataset,
            loader,
            checkpoint.categories,
            world.device,
            mask_threshold=config.test.mask_threshold,
            precision=config.precision,
            classes=classes,
            views=None if views is None else join_by(config, views),
        )
        if evaluation is not None:
            write_evaluation(evaluation, dataset, Path(args.out), args.worst)
            print(metrics_tables(evaluation.metrics))
            if args.report is not None:
                _report(args, evaluation, dataset, classes)
            if args.save_thresholds:
                names, found = evaluation.names, evaluation.thresholds
                _save_thresholds(args.checkpoint, checkpoint.categories, classes, names, found)
    return 0


def _checkpoint(args: argparse.Namespace) -> str:
    """The checkpoint that is named; `default` is the model that comes with the package.

    Raises:
        InputError: thresholds are to be written into that one.
    """
    from lmv3det.cli.predict_options import checkpoint_path
    from lmv3det.inference.default_model import default_model_folder

    path = checkpoint_path(args.checkpoint)
    if path is None and args.save_thresholds:
        raise InputError(
            "--save-thresholds: the model of the package is not written to; give a copy of it, as "
            "`lmv3det convert` makes one"
        )
    return path or str(default_model_folder())


def _report(
    args: argparse.Namespace, evaluation: Evaluation, dataset: CocoDataset, classes: ClassMatch
) -> None:
    from lmv3det.evaluation.analysis import analyse
    from lmv3det.evaluation.report import write_report
    from lmv3det.files import remove_leftovers

    name = Path(args.checkpoint).stem
    analysis = analyse(dataset, evaluation.detections, evaluation, classes, name)
    path = args.report / "report.html"
    remove_leftovers(path)
    write_report(path, dataset, [analysis], title=f"Layout detection, {args.checkpoint}")
    log.info("%s written", path)


def _report_left_out(classes: ClassMatch) -> None:
    """Say which classes are not scored."""
    for side, names in classes.left_out.items():
        other = "data set" if side == "checkpoint" else "checkpoint"
        if names:
            log.warning(
                "not scored, because the %s lacks them (--map tells which is which): %s",
                other,
                printable(", ".join(names)),
            )


def _save_thresholds(
    path: str,
    categories: Sequence[Category],
    classes: ClassMatch,
    names: Sequence[str],
    found: Mapping[str, float],
) -> None:
    """Write thresholds into a checkpoint under the names of its own classes."""
    from lmv3det.checkpoint.file import load_checkpoint, save_checkpoint
    from lmv3det.checkpoint.folder import MARKER
    from lmv3det.files import remove_leftovers, write_json

    thresholds = {
        category.name: found[names[place]]
        for category, place in zip(categories, classes.of_index, strict=True)
        if place is not None and names[place] in found
    }
    # A link stays one: what it leads to is written.
    path = os.path.realpath(path)
    if Path(path).is_dir():
        marker = Path(os.path.realpath(Path(path) / MARKER))
        about = json.loads(marker.read_text(encoding="utf-8"))
        write_json(marker, {**about, "thresholds": thresholds})
    else:
        remove_leftovers(Path(path))
        checkpoint = load_checkpoint(path, trust_code=True)  # it was loaded before
        save_checkpoint(path, dataclasses.replace(checkpoint, thresholds=thresholds))
    log.info("%s: thresholds of %d classes written", path, len(thresholds))


def _data(args: argparse.Namespace, config: Config) -> tuple[str, str, str | None]:
    """Annotations, images and OCR folder: as given, or those of the checkpoint's config."""
    split = config.data.val
    if (args.annotations is None) != (args.images is None):
        given, other = ("images", "annotations") if args.images else ("annotations", "images")
        raise InputError(f"--{given} is given without --{other}; give both")
    if args.annotations is not None:
        return args.annotations, args.images, args.ocr
    fix = "give --annotations FILE --images DIR (and --ocr DIR for a model with text)"
    for key in ("annotations", "images"):
        path = getattr(split, key)
        if path is None:
            raise InputError(f"{args.checkpoint}: its config has no data.val.{key}; {fix}")
        if not Path(path).exists():
            raise InputError(f"{args.checkpoint}: its data.val.{key}, {path}, is not here; {fix}")
    assert split.annotations is not None and split.images is not None
    return split.annotations, split.images, args.ocr or split.ocr
