"""`lmv3det predict`: the regions of images, folders and PDF files."""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lmv3det.classes import FOLDED
from lmv3det.errors import InputError, count_of, printable

STANDARD = "-"
"""Standard input as an input, standard output as `--out`."""
TO_STDOUT = {"json", "markdown", "html"}
DEFAULT = "default"
"""A name for the model that comes with the package."""
LISTED_FILES = 4
"""More files than these are counted, not named."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `lmv3det predict`."""
    add = parser.add_argument
    add("inputs", nargs="+", metavar="INPUT",
        help="images, folders, PDF files; -: one of them from standard input")  # fmt: skip
    add("--ckpt", metavar="CKPT", help="checkpoint, such as output/best.pth, or a folder of a "
        "model (default: the model that comes with lmv3det)")  # fmt: skip
    add("--out", help="folder to write to (default: predictions, or predictions-2, … where that "
        "holds results); -: the JSON, or the one --format, to standard output")  # fmt: skip
    add("--json", action="store_true", help="say what was done as JSON on standard output")
    add("--pages", metavar="1-3,5", help="pages of each file, from 1 (default: all); 4-: from the "
        "fourth on")  # fmt: skip
    add("--format", action="append", default=[], metavar="NAME[,NAME]",
        help="also write coco, markdown, html, chunks, labelme, label-studio or cvat; "
        "detections.json is always written")  # fmt: skip

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
    how.add_argument("--overwrite", action="store_true", help="drop what a stopped job has done, "
                     "and replace the results of an earlier one")  # fmt: skip
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
    args.ckpt = checkpoint_path(args.ckpt)
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
        args.ckpt,
        [str(given) if name == STANDARD else name for name in args.inputs],
        out,
        **detector_options(args),
        masks=args.masks,
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
