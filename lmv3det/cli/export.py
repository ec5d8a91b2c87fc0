"""`lmv3det export`: a detector as a file for other runtimes."""

from __future__ import annotations

import argparse
import functools
from pathlib import Path
from typing import Any

from lmv3det.cli.predict_options import add_classes, class_overrides
from lmv3det.errors import InputError, printable

FORMATS = {"onnx": ".onnx", "torchscript": ".ts"}
"""Format → suffix of its files."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `lmv3det export`."""
    add = parser.add_argument
    add("ckpt", metavar="CKPT", help="checkpoint, such as output/best.pth, or a folder of a model")
    add("overrides", nargs="*", metavar="key=value", help="settings that the file keeps, such as "
        "test.score_threshold=0.01")  # fmt: skip
    add_classes(parser)
    add("--format", choices=FORMATS, default="onnx", help="of the file (%(default)s)")
    add("--out", type=Path, metavar="FILE", help="file to write (default: CKPT with the suffix of "
        "the format)")  # fmt: skip
    add("--check", nargs="+", default=[], metavar="PAGE", help="images, folders or PDF files on "
        "which the file is compared with the checkpoint (default: noise)")  # fmt: skip
    add("--ocr", metavar="DIR|NAME", help="text of these pages, as in lmv3det predict")
    add("--precision", choices=("fp32", "fp16", "int8"), default="fp32", help="of the weights in "
        "the file; fp16 and int8 are for --format onnx with --check (%(default)s)")  # fmt: skip
    add("--trust-code", action="store_true",
        help="import the classes of yours that the checkpoint names")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """`lmv3det export`: write the file, and print how far it is from the checkpoint."""
    source, suffix = Path(args.ckpt), FORMATS[args.format]
    if not source.exists():
        raise InputError(f"{source}: no such checkpoint")
    out = args.out or source.with_name(source.name.removesuffix(".pth") + suffix)
    if out.suffix != suffix:
        raise InputError(f"--out {out}: its name must end in {suffix}, by which it is recognised")
    if out.is_dir():
        raise InputError(f"--out {out}: a folder; give a file")
    if args.precision != "fp32" and args.format != "onnx":
        raise InputError(
            f"--precision {args.precision} goes with --format onnx, not with {args.format}"
        )
    from lmv3det.inference.export.onnx_file import export_onnx
    from lmv3det.inference.export.torchscript_file import export_torchscript

    export: Any = export_torchscript
    if args.format == "onnx":
        export = functools.partial(export_onnx, precision=args.precision)
    done = export(
        source,
        out,
        [*args.overrides, *class_overrides(args)],
        pages=args.check,
        ocr=args.ocr,
        trust_code=args.trust_code,
    )
    for one in done.differences:
        beyond = one.compared - one.within
        print(
            f"{printable(one.page)}: {one.detections} detections; at most {one.pixels:.2g} px and "
            f"{one.score:.2g} in score from the checkpoint"
            + (f" ({beyond} of {one.compared} beyond the bounds)" if beyond else "")
        )
    if done.left_out_masks:
        print("the mask head is left out: the file finds boxes, not masks")
    print(f"{printable(str(done.path))}: {done.path.stat().st_size / 1e6:.1f} MB")
    return 0
