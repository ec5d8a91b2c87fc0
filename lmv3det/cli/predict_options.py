"""What `predict`, `batch` and `serve` are told alike: which detector, and how it predicts."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmv3det.classes import FOLDED
from lmv3det.errors import InputError

if TYPE_CHECKING:
    from lmv3det.inference.options import DetectorOptions, PredictOptions

DEFAULT = "default"
"""A name for the model that comes with the package."""
SETTINGS_HELP = "key=value: a setting, such as input.min_size_test=640 or test.fit_to_text=false"
_SETTING = re.compile(r"[a-z_]+(\.[a-z0-9_]+)*=.*", re.DOTALL)


def add_predict_options(
    parser: argparse.ArgumentParser, *, folder: bool = False, password: bool = True
) -> None:
    """The options, in groups.

    Args:
        parser: of a command.
        folder: `--ocr` takes a folder of OCR files too.
        password: with `--password`; an upload brings its own.
    """
    parser.add_argument(
        "--ckpt", metavar="CKPT", help="checkpoint, such as output/best.pth, or a folder of a "
        "model (default: the model that comes with lmv3det)")  # fmt: skip

    text = parser.add_argument_group("text, for a model that reads it")
    text.add_argument(
        "--ocr",
        metavar="DIR|NAME" if folder else "NAME",
        help=("a folder of OCR files; " if folder else "")
        + "an engine (rapidocr, paddleocr, tesseract); auto: the text layer of a PDF where there "
        "is one, else an engine; layer: the text layer alone; none (default: layer, or auto for a "
        "model that needs text on every page)",
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
        "--max-overlap",
        type=float,
        metavar="IOU",
        help="of regions of different classes that overlap by more, keep the one of higher score",
    )
    kept.add_argument(
        "--drop-nested", action="store_true", help="drop regions that lie within another one"
    )

    how = parser.add_argument_group("how")
    how.add_argument("--batch-size", type=int, metavar="N",
                     help="pages a batch (default: the checkpoint's)")  # fmt: skip
    how.add_argument("--dpi", type=int, default=144, metavar="N",
                     help="resolution at which PDF pages are drawn (%(default)s)")  # fmt: skip
    if password:
        how.add_argument("--password", help="of encrypted PDF files")
    how.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    how.add_argument("--precision", help="auto, fp32, bf16 or fp16 (default: the checkpoint's)")
    how.add_argument("--trust-code", action="store_true",
                     help="import the classes of yours that the checkpoint names")  # fmt: skip


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


def split_settings(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Words as (inputs, settings): `key=value` is a setting, unless a file is called so."""
    settings = [word for word in words if _SETTING.fullmatch(word) and not Path(word).exists()]
    return [word for word in words if word not in settings], settings


def check_predict_options(args: argparse.Namespace) -> None:
    """Check what can be checked before torch is imported, and set `args.ckpt` to the checkpoint's
    path, or to None for the model that comes with the package.

    Raises:
        InputError: a value out of range, no such checkpoint.
    """
    check_counts(args, "batch_size", "dpi")
    check_fractions(args, "max_overlap")
    check_precision(args.precision)
    read_score(args.score)
    args.ckpt = checkpoint_path(args.ckpt)


def check_counts(args: argparse.Namespace, *names: str) -> None:
    """Check options that are 1 or more.

    Raises:
        InputError: one is less.
    """
    for name in names:
        value = getattr(args, name)
        if value is not None and value < 1:
            raise InputError(f"--{name.replace('_', '-')} is {value}; it must be 1 or more")


def check_fractions(args: argparse.Namespace, *names: str) -> None:
    """Check options that are from 0 to 1.

    Raises:
        InputError: one is not.
    """
    for name in names:
        value = getattr(args, name)
        if value is not None and not 0 <= value <= 1:
            raise InputError(f"--{name.replace('_', '-')} is {value}; it must be from 0 to 1")


def check_precision(name: str | None) -> None:
    """`--precision`, which may be left out.

    Raises:
        InputError: no such precision.
    """
    if name not in (None, "auto", "fp32", "bf16", "fp16"):
        raise InputError(f"--precision is {name!r}; it must be auto, fp32, bf16 or fp16")


def checkpoint_path(name: str | None) -> str | None:
    """`--ckpt`; None for the model of the package, which is called `default` too.

    Raises:
        InputError: there is no such file.
    """
    if name is None or (name == DEFAULT and not Path(name).exists()):
        return None
    if not Path(name).exists():
        raise InputError(f"{name}: no such checkpoint")
    return name


def detector_options(args: argparse.Namespace) -> DetectorOptions:
    """Which detector: `--ckpt`, `--device`, `--precision`, `--classes` and `args.overrides`."""
    from lmv3det.inference.options import DetectorOptions

    precision = [] if args.precision is None else [f"precision={args.precision}"]
    overrides = [*precision, *class_overrides(args), *args.overrides]
    return DetectorOptions(args.ckpt, args.device, overrides, args.trust_code)


def predict_options(args: argparse.Namespace) -> PredictOptions:
    """How pages are predicted on."""
    from lmv3det.cli.ocr import engine_options
    from lmv3det.inference.options import PredictOptions

    score = read_score(args.score)
    return PredictOptions(
        ocr=args.ocr,
        ocr_options=engine_options(args.option),
        score_threshold=score if isinstance(score, float) else None,
        thresholds=None if isinstance(score, float) else score,
        max_overlap=args.max_overlap,
        drop_nested=args.drop_nested,
        masks=getattr(args, "masks", False),
        batch_size=args.batch_size,
        dpi=args.dpi,
        password=getattr(args, "password", None),
    )


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
