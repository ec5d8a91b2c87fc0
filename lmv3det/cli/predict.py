"""`lmv3det predict`: the regions of images, folders and PDF files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from lmv3det.classes import FOLDED
from lmv3det.errors import InputError, printable

LISTED_FILES = 4
"""More files than these are counted, not named."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `lmv3det predict`."""
    add = parser.add_argument
    add("inputs", nargs="+", metavar="INPUT", help="images, folders, PDF files")
    add("--ckpt", metavar="CKPT", help="checkpoint, such as output/best.pth, or a folder of a "
        "model (default: the model that comes with lmv3det)")  # fmt: skip
    add("--out", default="predictions", help="folder to write to (%(default)s)")
    add("--format", action="append", default=[], metavar="NAME[,NAME]",
        help="also write coco, markdown, html, labelme, label-studio or cvat; detections.json is "
        "always written")  # fmt: skip

    text = parser.add_argument_group("text, for a model that reads it")
    text.add_argument(
        "--ocr",
        metavar="DIR|NAME",
        help="a folder of OCR files; an engine (rapidocr, paddleocr, tesseract); auto: the text "
        "layer of a PDF where there is one, else an engine; layer: the text layer alone; none "
        "(default: layer, or auto for a model that needs text on every page)",
    )
    text.add_argument("--option", action="append", default=[], metavar="NAME=VALUE",
                      help="an option of the engine, such as language=chi_sim")  # fmt: skip

    kept = parser.add_argument_group("which regions")
    add_classes(kept)
    kept.add_argument(
        "--score",
        metavar="N|best|CLASS=N,…",
        help="least score: of all classes, class by class, or best: those that an evaluation kept "
        "in the checkpoint (default: the checkpoint's test.score_threshold)",
    )
    kept.add_argument(
        "--draw-score",
        type=float,
        default=0.3,
        metavar="N",
        help="least score in drawings and in --format (%(default)s)",
    )
    kept.add_argument(
        "--max-overlap",
        type=float,
        metavar="IOU",
        help="of regions of different classes that overlap by more, keep the one of higher score",
    )
    kept.add_argument(
        "--drop-nested", action="store_true", help="drop regions that lie within another one"
    )
    kept.add_argument("--masks", action="store_true", help="write masks too (COCO RLE)")

    how = parser.add_argument_group("how")
    how.add_argument("--resume", action="store_true", help="go on with a job that was stopped")
    how.add_argument("--overwrite", action="store_true", help="drop what a stopped job has done")
    how.add_argument("--no-drawings", action="store_true", help="draw no pages")
    how.add_argument("--batch-size", type=int, metavar="N",
                     help="pages a batch (default: the checkpoint's)")  # fmt: skip
    how.add_argument("--dpi", type=int, default=144, metavar="N",
                     help="resolution at which PDF pages are drawn (%(default)s)")  # fmt: skip
    how.add_argument("--password", help="of encrypted PDF files")
    how.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    how.add_argument("--trust-code", action="store_true",
                     help="import the classes of yours that the checkpoint names")  # fmt: skip
    how.add_argument("--precision", help="auto, fp32, bf16 or fp16 (default: the checkpoint's)")


def add_classes(parser: Any) -> None:
    """`--classes`, for a parser or a group of one."""
    parser.add_argument(
        "--classes",
        choices=sorted(FOLDED),
        help="find the classes of this data set, or all that a model with the fine classes knows "
        "(default: the checkpoint's test.classes)",
    )


def class_overrides(args: argparse.Namespace) -> list[str]:
    """What `--classes` sets."""
    return [] if args.classes is None else [f"test.classes={args.classes}"]


def run(args: argparse.Namespace) -> int:
    """`lmv3det predict`: 0 when every page was done, 1 when some failed.

    See `lmv3det.inference.job.predict_files` for what is written. Pages that fail are named at
    the end; the others are done.
    """
    check_ranges(args)
    if args.resume and args.overwrite:
        raise InputError("--resume and --overwrite: give one of them")
    from lmv3det.data.images import find_pages

    for name in args.inputs:
        if "://" in name:
            raise InputError(f"{name}: a URL; nothing is fetched from the network: download it")
    find_pages(args.inputs, tell=False)  # a wrong path is told before torch is imported
    if args.ckpt is not None and not Path(args.ckpt).exists():
        raise InputError(f"{args.ckpt}: no such checkpoint")

    from lmv3det.inference.job import RESULT, predict_files

    report = predict_files(
        args.ckpt,
        args.inputs,
        args.out,
        **detector_options(args),
        masks=args.masks,
        drawings=not args.no_drawings,
        draw_score=args.draw_score,
        formats=[name for names in args.format for name in names.split(",")],
        resume=args.resume,
        overwrite=args.overwrite,
    )
    for failure in report.failures:
        print(printable(failure), file=sys.stderr)
    before = f", {report.resumed} of them done before" if report.resumed else ""
    lacking = f"; {RESULT} lacks those that failed" if report.failures else ""
    print(f"{printable(args.out)}: {report.done} pages{before}{lacking}")
    if len(report.files) <= LISTED_FILES:
        for path in report.files:
            print(printable(str(path)))
    else:
        print(f"and {len(report.files)} files of the formats asked for")
    if report.failures:
        raise InputError(f"{len(report.failures)} of the inputs failed, as said above")
    return 0


def check_ranges(args: argparse.Namespace) -> None:
    """Check the numbers of the command line.

    Raises:
        InputError: a value out of range.
    """
    for name in ("batch_size", "dpi"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise InputError(f"--{name.replace('_', '-')} is {value}; it must be 1 or more")
    for name in ("draw_score", "max_overlap"):
        value = getattr(args, name, None)
        if value is not None and not 0 <= value <= 1:
            raise InputError(f"--{name.replace('_', '-')} is {value}; it must be from 0 to 1")
    check_precision(args.precision)
    read_score(args.score)


def check_precision(name: str | None) -> None:
    """`--precision`, which may be left out.

    Raises:
        InputError: no such precision.
    """
    if name not in (None, "auto", "fp32", "bf16", "fp16"):
        raise InputError(f"--precision is {name!r}; it must be auto, fp32, bf16 or fp16")


def detector_options(args: argparse.Namespace) -> dict[str, Any]:
    """What `predict` and `batch` ask of the detector alike, by the names of `predict_files`."""
    from lmv3det.cli.ocr import engine_options

    score = read_score(args.score)
    return {
        "device": args.device,
        "overrides": [
            *([] if args.precision is None else [f"precision={args.precision}"]),
            *class_overrides(args),
        ],
        "trust_code": args.trust_code,
        "ocr": args.ocr,
        "ocr_options": engine_options(args.option),
        "score_threshold": score if isinstance(score, float) else None,
        "thresholds": None if isinstance(score, float) else score,
        "max_overlap": args.max_overlap,
        "drop_nested": args.drop_nested,
        "batch_size": args.batch_size,
        "dpi": args.dpi,
        "password": args.password,
    }


def read_score(text: str | None) -> Any:
    """`--score`: a number, `best`, or a mapping from class names; None where it is not given.

    Raises:
        InputError: none of these, or a number out of range.
    """
    if text is None or text == "best":
        return text
    parts = [part.rpartition("=")[::2] for part in text.split(",")]
    try:
        values = {name.strip(): float(value) for name, value in parts}
    except ValueError:
        values = {}
    if not values or ("" in values and len(parts) > 1):
        fix = "; decimals have a point, as 0.1" if len(parts) > 1 else ""
        raise InputError(f"--score {text!r} is not a number, best, or CLASS=NUMBER,…{fix}")
    if len(values) < len(parts):
        raise InputError(f"--score {text!r} names a class twice; give one number a class")
    for value in values.values():
        if not 0 <= value <= 1:
            raise InputError(f"--score is {value}; it must be from 0 to 1")
    return values.get("", values)
