"""`lmv3det ocr`: the text lines of images, folders and PDF files."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lmv3det.errors import InputError, count_of, printable

if TYPE_CHECKING:
    from lmv3det.ocr.engine import Engine
    from lmv3det.ocr.job import OcrReport


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `lmv3det ocr`."""
    add = parser.add_argument
    add("inputs", nargs="+", metavar="INPUT", help="images, folders and PDF")
    add("--out", required=True, metavar="DIR", help="folder for the OCR files: <stem>.json, or "
        "<stem>_p<number>.json for each page of a file of several")  # fmt: skip
    add("--engine", default="rapidocr", metavar="NAME", help="rapidocr, paddleocr, tesseract; "
        "pdf-text: the text layer of PDF; auto: the text layer where there is one, else an engine "
        "(--option engine=NAME) (default: rapidocr)")  # fmt: skip
    add("--option", action="append", default=[], metavar="NAME=VALUE",
        help="an option of the engine, such as min_score=0.6 or language=chi_sim")  # fmt: skip
    add("--workers", type=int, default=1, metavar="N", help="processes (default: 1)")
    add("--dpi", type=int, default=144, metavar="N",
        help="resolution at which PDF pages are drawn (%(default)s)")  # fmt: skip
    add("--password", help="of encrypted PDF files")
    add("--overwrite", action="store_true", help="read finished pages again")
    add("--json", action="store_true", help="say what was done as JSON on standard output")


def run(args: argparse.Namespace) -> int:
    """`lmv3det ocr`: 0 when every page was read, 1 when some failed."""
    from lmv3det.ocr import get_engine, recognize_files
    from lmv3det.ocr.engines import accepts

    options = engine_options(args.option)
    reader = options.get("engine", "rapidocr") if args.engine == "auto" else args.engine
    if args.workers > 1 and "threads" not in options and accepts(reader, "threads"):
        options["threads"] = max(1, (os.cpu_count() or 1) // args.workers)
    engine = get_engine(args.engine, **options)
    report = recognize_files(
        args.inputs,
        args.out,
        engine,
        workers=args.workers,
        dpi=args.dpi,
        overwrite=args.overwrite,
        password=args.password,
    )
    if args.json:
        failed = [{"page": page, "why": why} for page, why in report.failed]
        facts = {"out": args.out, "written": report.written, "skipped": report.skipped}
        print(json.dumps({**facts, "empty": report.empty, "failed": failed}, ensure_ascii=True))
    elif not args.quiet:
        _say(args, report, engine)
    for page, why in report.failed:
        print(printable(f"failed: {page}: {why.removeprefix(f'{page}: ')}"), file=sys.stderr)
    if report.failed:
        raise InputError(
            f"{count_of(len(report.failed), 'page')} failed, named above; run the same command "
            "again to try only them"
        )
    return 0


def _say(args: argparse.Namespace, report: OcrReport, engine: Engine) -> None:
    there = f", {report.skipped} were there already" if report.skipped else ""
    print(f"{printable(args.out)}: {count_of(report.written, 'page')} read{there}")
    if report.empty:
        have, were, them = ("has", "was", "it") if report.empty == 1 else ("have", "were", "them")
        left = (
            f" layer and {were} not written: the same command with --engine rapidocr reads {them}"
        )
        print(f"{count_of(report.empty, 'page')} {have} no text"
              f"{left if engine.layer_only else ''}")  # fmt: skip


def engine_options(pairs: Sequence[str]) -> dict[str, Any]:
    """The values of `--option NAME=VALUE`, read as YAML.

    Raises:
        InputError: a word that is not NAME=VALUE.
    """
    from lmv3det.config.yaml_text import parse_yaml

    options = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InputError(f"--option {pair!r} is not NAME=VALUE, such as min_score=0.6")
        try:
            options[name] = parse_yaml(value)
        except ValueError:
            options[name] = value
    return options
