"""The command `ocr`: many pages to OCR files, resumable, in several processes."""

from __future__ import annotations

import argparse
import dataclasses
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from tqdm import tqdm

from lmv3det.data.images import PDF_DPI, count_pages, find_pages, is_pdf, iter_pages
from lmv3det.errors import InputError
from lmv3det.ocr.engine import Engine
from lmv3det.ocr.engines import ENGINES, accepts, get_engine
from lmv3det.text.ocr_json import write_ocr


def ocr_name(path: str | os.PathLike, number: int = 0, pages: int = 1) -> str:
    """The name of a page's OCR file.

    `<stem>.json` for the only page of an image or PDF; `<stem>_p<number>.json`, counted from 1,
    where there are several.

    Args:
        path: image or PDF.
        number: the page within it, from 0.
        pages: how many it has.
    """
    stem = Path(path).stem
    return f"{stem}.json" if pages == 1 else f"{stem}_p{number + 1}.json"


@dataclass
class OcrReport:
    """What came of a job.

    Attributes:
        written: pages read and written.
        skipped: pages that were there already.
        empty: pages without any text; written, but for those of an engine that reads PDF text
            layers, which are left to another engine.
        failed: (page, reason), in the order in which they failed.
    """

    written: int = 0
    skipped: int = 0
    empty: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class _Task:
    """A page to read: drawn already, or one that the engine takes from its PDF."""

    path: Path
    number: int
    pages: int
    out: Path
    dpi: int
    image: np.ndarray | None

    def __str__(self) -> str:
        return str(self.path) if self.pages == 1 else f"{self.path} page {self.number + 1}"


def recognize_files(
    inputs: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    engine: Engine,
    *,
    workers: int = 1,
    dpi: int = PDF_DPI,
    overwrite: bool = False,
) -> OcrReport:
    """Read the text of images, folders and PDF, and write an OCR file for every page.

    Finished pages are left as they are, so that an interrupted job goes on where it stopped. A
    page that fails does not stop the rest.

    Args:
        inputs: files and folders.
        out: folder to write to; see `ocr_name`.
        engine: reads the pages; with several workers each has a copy.
        workers: processes; 1 reads in this one.
        dpi: resolution at which PDF pages are drawn; boxes are in those pixels.
        overwrite: read finished pages again.

    Raises:
        InputError: an input that does not exist; two that would be written to the same file; a
            folder that cannot be written to.
    """
    if workers < 1:
        raise InputError(f"--workers is {workers}; it must be 1 or more")
    if dpi < 1:
        raise InputError(f"--dpi is {dpi}; it must be 1 or more")
    _make_folder(Path(out))  # before hours of reading
    report = OcrReport()
    files = _count(find_pages(inputs), report)
    _check_names(files)
    total = sum(pages for _, pages in files)
    with tqdm(total=total, desc="OCR", unit="page") as bar:
        tasks = _tasks(files, Path(out), engine, dpi, overwrite, report, bar)
        if workers == 1:
            for task in tasks:
                try:
                    lines = _read(engine, task)
                except Exception as error:  # engines are others' code and raise anything
                    _fail(report, str(task), error, bar)
                else:
                    _done(report, lines, bar)
        else:
            _read_in_processes(engine, tasks, workers, report, bar)
    return report


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        writable = os.access(out, os.W_OK)
    except OSError as error:
        raise InputError(f"--out {out}: cannot be made ({error})") from None
    if not writable:
        raise InputError(f"--out {out}: is not writable")


def _count(paths: list[Path], report: OcrReport) -> list[tuple[Path, int]]:
    """Every file with its number of pages; those that cannot be opened are reported."""
    files = []
    for path in dict.fromkeys(paths):
        try:
            files.append((path, count_pages(path)))
        except InputError as error:
            report.failed.append((str(path), str(error)))
    return files


def _check_names(files: list[tuple[Path, int]]) -> None:
    seen: dict[str, Path] = {}
    for path, pages in files:
        for number in range(pages):
            name = ocr_name(path, number, pages)
            if name in seen:
                raise InputError(
                    f"{seen[name]} and {path} would both be written to {name}: rename one, or "
                    "run them into different folders with --out"
                )
            seen[name] = path


def _tasks(
    files: list[tuple[Path, int]],
    out: Path,
    engine: Engine,
    dpi: int,
    overwrite: bool,
    report: OcrReport,
    bar: tqdm,
) -> Iterator[_Task]:
    """The pages still to be read; pages of the rest are drawn when their turn comes."""
    for path, pages in files:
        targets = [out / ocr_name(path, number, pages) for number in range(pages)]
        open_pages = [n for n, target in enumerate(targets) if overwrite or not target.exists()]
        report.skipped += pages - len(open_pages)
        bar.update(pages - len(open_pages))
        if not open_pages:
            continue
        if engine.from_pdf:
            for number in open_pages:
                yield _Task(path, number, pages, targets[number], dpi, None)
            continue
        tasks = {n: _Task(path, n, pages, targets[n], dpi, None) for n in open_pages}

        def failed(number: int, error: InputError, tasks: dict[int, _Task] = tasks) -> None:
            _fail(report, str(tasks[number]), error, bar)

        try:
            for number, image in iter_pages(path, dpi, numbers=open_pages, failed=failed):
                yield dataclasses.replace(tasks[number], image=image)
        except InputError as error:  # the file was there when its pages were counted
            for task in tasks.values():
                _fail(report, str(task), error, bar)


def _read(engine: Engine, task: _Task) -> int:
    """Read a page, write its file, and return its number of lines."""
    if task.image is not None:
        page = engine.recognize(task.image)
    elif is_pdf(task.path):
        page = engine.read_pdf(task.path, task.number, task.dpi)
    else:
        raise InputError("no PDF, so it has no text layer: take --engine rapidocr")
    if page.lines or not engine.from_pdf:  # a PDF page without text layer may be a picture of text
        write_ocr(task.out, page)
    return len(page.lines)


_engine: Engine | None = None
"""The engine of a worker process, with its models."""


def _start_worker(engine: Engine) -> None:
    global _engine
    _engine = engine
    # Ctrl-C reaches the whole group; the main process ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _read_in_worker(task: _Task) -> int:
    assert _engine is not None
    return _read(_engine, task)


def _read_in_processes(
    engine: Engine, tasks: Iterator[_Task], workers: int, report: OcrReport, bar: tqdm
) -> None:
    running: dict[Future[int], str] = {}
    others = set(active_children())
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (engine,))
    try:
        for task in tasks:
            running[pool.submit(_read_in_worker, task)] = str(task)
            if len(running) >= 2 * workers:
                _collect(running, report, bar)
        while running:
            _collect(running, report, bar)
    except KeyboardInterrupt:
        for process in set(active_children()) - others:
            process.terminate()
        raise
    except BrokenProcessPool:
        failed = "".join(f"; {page} had failed: {why}" for page, why in report.failed)
        raise InputError(
            f"a worker process died, perhaps for want of memory, while these were read: "
            f"{', '.join(running.values())}. Run the same command with fewer --workers; finished "
            f"pages are kept and skipped{failed}"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _collect(running: dict[Future[int], str], report: OcrReport, bar: tqdm) -> None:
    """Wait for a page, and book every one that is done."""
    finished, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in finished:
        name = running.pop(future)
        try:
            lines = future.result()
        except BrokenProcessPool:
            running[future] = name  # it is one of those that may have done it
            raise
        except Exception as error:  # engines are others' code and raise anything
            _fail(report, name, error, bar)
        else:
            _done(report, lines, bar)


def _done(report: OcrReport, lines: int, bar: tqdm) -> None:
    report.written += 1
    report.empty += lines == 0
    bar.update()


def _fail(report: OcrReport, name: str, error: Exception, bar: tqdm) -> None:
    reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
    report.failed.append((name, " ".join(reason.split())[:300]))
    bar.update()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `lmv3det ocr`."""
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="images, folders and PDF")
    parser.add_argument(
        "--out",
        required=True,
        metavar="DIR",
        help="folder for the OCR files: <stem>.json, or <stem>_p<number>.json for each page of a "
        "PDF of several",
    )
    parser.add_argument(
        "--engine", default="rapidocr", metavar="NAME", help=f"{', '.join(ENGINES)} (default: "
        "rapidocr)"
    )  # fmt: skip
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the engine, such as min_score=0.6 or language=chi_sim",
    )
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes (default: 1)"
    )
    parser.add_argument(
        "--dpi",
        type=int,
        default=PDF_DPI,
        metavar="N",
        help=f"resolution at which PDF pages are drawn (default: {PDF_DPI})",
    )
    parser.add_argument("--overwrite", action="store_true", help="read finished pages again")


def run(args: argparse.Namespace) -> int:
    """Run `lmv3det ocr`: 0 when every page was read, 1 when some failed."""
    options = engine_options(args.option)
    if args.workers > 1 and "threads" not in options and accepts(args.engine, "threads"):
        options["threads"] = max(1, (os.cpu_count() or 1) // args.workers)
    engine = get_engine(args.engine, **options)
    report = recognize_files(
        args.inputs,
        args.out,
        engine,
        workers=args.workers,
        dpi=args.dpi,
        overwrite=args.overwrite,
    )
    print(f"{args.out}: {report.written} pages read, {report.skipped} were there already")
    if report.empty:
        left = " layer and were not written: the same command with --engine rapidocr reads them"
        print(f"{report.empty} pages have no text{left if engine.from_pdf else ''}")
    for page, reason in report.failed:
        print(f"failed: {page}: {reason.removeprefix(f'{page}: ')}", file=sys.stderr)
    if report.failed:
        raise InputError(
            f"{len(report.failed)} pages failed, named above; run the same command again to try "
            "only them"
        )
    return 0


def engine_options(pairs: Sequence[str]) -> dict[str, Any]:
    """The values of `--option NAME=VALUE`, read as YAML.

    Raises:
        InputError: a word that is not NAME=VALUE.
    """
    options = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InputError(f"--option {pair!r} is not NAME=VALUE, such as min_score=0.6")
        try:
            options[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            options[name] = value
    return options
