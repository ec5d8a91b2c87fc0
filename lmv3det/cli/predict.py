"""`lmv3det predict`: the regions of images, folders and PDF files."""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import shutil
import sys
from pathlib import Path
from urllib.parse import quote

from lmv3det.cli.predict_options import (
    SETTINGS_HELP,
    add_predict_options,
    check_fractions,
    check_predict_options,
    detector_options,
    predict_options,
    split_settings,
)
from lmv3det.errors import InputError, count_of, printable

STANDARD = "-"
"""Standard input as an input, standard output as `--out`."""
TO_STDOUT = {"json", "markdown", "html"}
LISTED_FILES = 4
"""More files than these are counted, not named."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `lmv3det predict`."""
    add = parser.add_argument
    add("inputs", nargs="+", metavar="INPUT", help="images, folders, PDF files; -: one of them "
        f"from standard input; {SETTINGS_HELP}")  # fmt: skip
    add("--out", help="folder to write to (default: predictions, or predictions-2, … where that "
        "holds results); -: the JSON, or the one --format, to standard output")  # fmt: skip
    add("--json", action="store_true", help="say what was done as JSON on standard output")
    add("--pages", metavar="1-3,5", help="pages of each file, from 1 (default: all); 4-: from the "
        "fourth on")  # fmt: skip
    add("--format", action="append", default=[], metavar="NAME[,NAME]",
        help="also write coco, markdown, html, chunks, labelme, label-studio or cvat; "
        "detections.json is always written")  # fmt: skip
    add("--draw-score", type=float, default=0.3, metavar="N",
        help="least score in drawings and in --format (%(default)s)")  # fmt: skip
    add("--no-drawings", action="store_true", help="draw no pages")
    add("--masks", action="store_true", help="write masks too (COCO RLE)")
    add("--resume", action="store_true", help="go on with a job that was stopped")
    add("--overwrite", action="store_true", help="drop what a stopped job has done, and replace "
        "the results of an earlier one")  # fmt: skip
    add_predict_options(parser, folder=True)


def run(args: argparse.Namespace) -> int:
    """`lmv3det predict`: 0 when every page was done, 1 when some failed.

    See `lmv3det.inference.job.predict_files` for what is written. Pages that fail are named at
    the end; the others are done.
    """
    args.inputs, args.overrides = split_settings(args.inputs)
    if not args.inputs:
        raise InputError("no INPUT is given, only settings")
    check_fractions(args, "draw_score")
    check_predict_options(args)
    if args.resume and args.overwrite:
        raise InputError("--resume and --overwrite: give one of them")
    formats = [name for names in args.format for name in names.split(",")]
    to_stdout = args.out == STANDARD
    if to_stdout and (args.json or args.resume or len(formats) > 1 or not {*formats} <= TO_STDOUT):
        raise InputError(
            f"--out -: writes the JSON, or one --format of {', '.join(sorted(TO_STDOUT))}, and "
            "goes with neither --json nor --resume"
        )
    from lmv3det.data.images import find_pages

    for name in args.inputs:
        if "://" in name:
            raise InputError(f"{name}: a URL; nothing is fetched from the network: download it")
    if args.inputs.count(STANDARD) > 1:
        raise InputError("-: standard input can be read once")
    named = [name for name in args.inputs if name != STANDARD]
    if named:
        find_pages(named, tell=False)  # a wrong path is told before torch is imported
    with contextlib.ExitStack() as stack:
        if to_stdout:
            from lmv3det.files import scratch_folder

            scratch = stack.enter_context(scratch_folder("predict"))
            out = scratch / "out"
        else:
            out = Path(args.out) if args.out is not None else free_folder("predictions", args)
            scratch = out
        given = None
        if len(named) < len(args.inputs):
            given = read_standard_input(scratch, args.overwrite)
        return _predict(args, out, formats, given)


def _predict(args: argparse.Namespace, out: Path, formats: list[str], given: Path | None) -> int:
    from lmv3det.inference.job import RESULT, predict_files

    to_stdout = args.out == STANDARD
    report = predict_files(
        detector_options(args),
        [str(given) if name == STANDARD else name for name in args.inputs],
        out,
        predict_options(args),
        drawings=not (args.no_drawings or to_stdout),
        draw_score=args.draw_score,
        formats=formats,
        resume=args.resume,
        overwrite=args.overwrite,
        pages=args.pages,
    )
    for failure in report.failures:
        print(printable(failure), file=sys.stderr)
    if to_stdout:
        _write_standard_output(out, RESULT, [name for name in formats if name != "json"],
                               report.files, given)  # fmt: skip
    elif args.json:
        facts = {
            "out": str(out),
            "pages": report.done,
            "resumed": report.resumed,
            "regions": dict(report.regions.most_common()),
            "words": report.words,
            "words_left_out": report.left_out,
            "words_missing": report.missing,
            "failed": report.failures,
            "files": [str(path) for path in (out / RESULT, *report.files)],
        }
        print(json.dumps(facts, ensure_ascii=True))
    elif not args.quiet:
        before = f", {report.resumed} of them done before" if report.resumed else ""
        lacking = f"; {RESULT} lacks those that failed" if report.failures else ""
        print(f"{printable(str(out))}: {count_of(report.done, 'page')}{before}{lacking}")
        classes = ", ".join(f"{number} {name}" for name, number in report.regions.most_common())
        total = count_of(sum(report.regions.values()), "region")
        print(f"{total} of score {args.draw_score:g} or more{': ' if classes else ''}"
              f"{printable(classes)}")  # fmt: skip
        if report.words:
            print(f"{count_of(report.words, 'word')} of text: {report.left_out} in headers and "
                  f"footers left out, {report.missing} missing")  # fmt: skip
        if len(report.files) <= LISTED_FILES:
            for path in report.files:
                print(printable(str(path)))
        else:
            print(f"and {len(report.files)} files of the formats asked for")
    if report.failures:
        raise InputError(f"{len(report.failures)} of the inputs failed, as said above")
    return 0


def free_folder(name: str, args: argparse.Namespace, result: str = "detections.json") -> Path:
    """The folder that is taken when none is named: another one where it holds results, unless they
    are to be replaced, or a stopped job goes on."""
    folder, number = Path(name), 1
    if getattr(args, "overwrite", False) or getattr(args, "resume", False):
        return folder
    while (folder / result).exists():
        number += 1
        folder = Path(f"{name}-{number}")
    if number > 1 and not args.quiet:
        held = name if number == 2 else f"{name} to {name}-{number - 1}"
        print(f"{held}: results of earlier runs, which stay; writing to {folder}", file=sys.stderr)
    return folder


def read_standard_input(folder: Path, overwrite: bool) -> Path:
    """Standard input as a file: `stdin`, or `stdin.pdf`.

    Raises:
        InputError: it is a terminal, is empty, or the file is there already.
    """
    from lmv3det.files import replacing

    if sys.stdin.isatty():
        raise InputError("-: standard input is a terminal; give a file to it, as in `- < a.pdf`")
    head = sys.stdin.buffer.read(1024)
    if not head:
        raise InputError("-: standard input is empty")
    path = folder / ("stdin.pdf" if b"%PDF-" in head else "stdin")
    if path.exists() and not overwrite:
        raise InputError(f"{path}: is there already; give another --out, or --overwrite")
    with replacing(path) as temporary, open(temporary, "wb") as stream:
        stream.write(head)
        shutil.copyfileobj(sys.stdin.buffer, stream)
    return path


def _write_standard_output(
    out: Path, result: str, formats: list[str], files: list[Path], given: Path | None
) -> None:
    """The JSON, or the documents of a format with their pictures in them."""
    if formats:
        texts = [path.read_bytes() for path in files if path.is_file()]
        content = b"\n".join(texts)
        for picture in sorted((out / "pictures").glob("*")):
            data = b"data:image/png;base64," + base64.b64encode(picture.read_bytes())
            content = content.replace(quote(f"pictures/{picture.name}").encode(), data)
    else:
        content = (out / result).read_bytes()
        if given is not None:
            own = json.dumps(str(given), ensure_ascii=False).encode("utf-8", "backslashreplace")
            content = content.replace(b'"file": ' + own, b'"file": "-"')
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()
