"""Many pages to OCR files, resumable, in several processes."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path

import numpy as np
from tqdm import tqdm

from lmv3det.data.images import PDF_DPI, count_pages, find_pages, iter_pages
from lmv3det.data.pdf import is_pdf
from lmv3det.errors import InputError, explain
from lmv3det.files import content_hash, lock_folder
from lmv3det.ocr.engine import Engine
from lmv3det.ocr.engines import announce
from lmv3det.ocr.names import page_names
from lmv3det.text.ocr_json import Source, read_ocr, write_ocr

MAX_HELD_BYTES = 1 << 30
"""Of the drawn pages that wait for the worker processes; a larger page waits alone."""


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
    source: Source | None = None
    image: np.ndarray | None = None
    password: str | None = None

    def __str__(self) -> str:
        return str(self.path) if self.pages == 1 else f"{self.path} page {self.number + 1}"

    @property
    def held_bytes(self) -> int:
        return 0 if self.image is None else self.image.nbytes


def recognize_files(
    inputs: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    engine: Engine,
    *,
    workers: int = 1,
    dpi: int = PDF_DPI,
    overwrite: bool = False,
    password: str | None = None,
) -> OcrReport:
    """Read pages and write an OCR file for each.

    A page that fails does not stop the others. Pages whose file is there already are skipped, so
    that an interrupted job goes on where it stopped. The files are named by `page_names`; where two
    pages of a folder would have the same (`a.jpg` and `a.png`), each has its whole name
    (`a.png.json`), and pages of several folders keep the folder's name, by which training finds
    them too. A file says which image it is of, and is not replaced by the text of another one.

    Args:
        inputs: images, PDF files and folders of them.
        out: folder for the OCR files.
        engine: reads the pages; with several workers each has a copy.
        workers: processes; 1 reads in this one.
        dpi: resolution at which PDF pages are drawn; boxes are in those pixels.
        overwrite: read finished pages again.
        password: of encrypted PDF files.

    Raises:
        InputError: an input that does not exist; `auto` without an engine for images; a folder
            that cannot be written to, or that another job writes to; a worker process that died.
    """
    if workers < 1:
        raise InputError(f"--workers is {workers}; it must be 1 or more")
    if dpi < 1:
        raise InputError(f"--dpi is {dpi}; it must be 1 or more")
    paths = list(dict.fromkeys(find_pages(inputs)))
    announce(engine, paths)
    with lock_folder(Path(out), "another job"):  # before hours of reading
        job = _Job(engine, Path(out), dpi, overwrite, password)
        job.run(paths, workers)
    return job.report


class _Job:
    """Reads the pages of files, in this process or in others, and counts what comes of them."""

    def __init__(
        self, engine: Engine, out: Path, dpi: int, overwrite: bool, password: str | None
    ) -> None:
        self.engine, self.out, self.dpi = engine, out, dpi
        self.overwrite, self.password = overwrite, password
        self.report = OcrReport()

    def run(self, paths: Sequence[Path], workers: int) -> None:
        files = self._count(paths)
        total = sum(pages for _, pages in files)
        with tqdm(total=total, desc="OCR", unit="page") as self.bar:
            if workers > 1:
                self._read_in_processes(self._tasks(files), workers)
                return
            for task in self._tasks(files):
                try:
                    lines = _read(self.engine, task)
                except Exception as error:  # engines are others' code and raise anything
                    self._fail(str(task), error)
                else:
                    self._done(lines)

    def _count(self, paths: Sequence[Path]) -> list[tuple[Path, int]]:
        """Every file with its number of pages; those that cannot be opened are reported."""
        files = []
        for path in paths:
            try:
                files.append((path, count_pages(path, self.password)))
            except InputError as error:
                self.report.failed.append((str(path), explain(error)))
        return files

    def _tasks(self, files: list[tuple[Path, int]]) -> Iterator[_Task]:
        """The pages still to be read; those that are drawn are drawn when their turn comes."""
        names = page_names(files)
        for path, pages in files:
            targets = [self.out / names[str(path), number] for number in range(pages)]
            try:
                sha256 = content_hash(path)
            except OSError as error:
                for number in range(pages):
                    self._fail(str(_Task(path, number, pages, targets[number], self.dpi)), error)
                continue
            tasks = {}
            for number, target in enumerate(targets):
                source = Source.of(path, number, sha256)
                task = _Task(path, number, pages, target, self.dpi, source, None, self.password)
                problem = _problem(target, source, self.overwrite)
                if problem:
                    self._fail(str(task), InputError(f"{target}: {problem}"))
                elif target.exists() and not self.overwrite:
                    self.report.skipped += 1
                    self.bar.update()
                else:
                    tasks[number] = task
            if self.engine.from_pdf and is_pdf(path):
                yield from tasks.values()
            elif tasks:
                yield from self._drawn(path, tasks)

    def _drawn(self, path: Path, tasks: dict[int, _Task]) -> Iterator[_Task]:
        def failed(number: int, error: InputError) -> None:
            self._fail(str(tasks.pop(number)), error)

        pages = iter_pages(
            path, self.dpi, numbers=list(tasks), failed=failed, password=self.password
        )
        try:
            for number, image in pages:
                yield dataclasses.replace(tasks.pop(number), image=image)
        except InputError as error:  # the file was there when its pages were counted
            for task in tasks.values():
                self._fail(str(task), error)

    def _read_in_processes(self, tasks: Iterator[_Task], workers: int) -> None:
        running: dict[Future[int], _Task] = {}
        others = set(active_children())
        pool = ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (self.engine,))
        try:
            for task in tasks:
                held = task.held_bytes + sum(other.held_bytes for other in running.values())
                while running and (len(running) >= 2 * workers or held > MAX_HELD_BYTES):
                    self._collect(running)
                    held = task.held_bytes + sum(other.held_bytes for other in running.values())
                running[pool.submit(_read_in_worker, task)] = task
            while running:
                self._collect(running)
        except KeyboardInterrupt:
            for process in set(active_children()) - others:
                process.terminate()
            raise
        except BrokenProcessPool:
            failed = "".join(f"; {page} had failed: {why}" for page, why in self.report.failed)
            raise InputError(
                "a worker process died, perhaps because memory ran out, while these were read: "
                f"{', '.join(map(str, running.values()))}. Run the same command with fewer "
                f"--workers; finished pages are kept and skipped{failed}"
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _collect(self, running: dict[Future[int], _Task]) -> None:
        """Wait for a page, and count every one that is done."""
        finished, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in finished:
            task = running.pop(future)
            try:
                lines = future.result()
            except BrokenProcessPool:
                running[future] = task  # it is one of those that may have done it
                raise
            except Exception as error:  # engines are others' code and raise anything
                self._fail(str(task), error)
            else:
                self._done(lines)

    def _done(self, lines: int) -> None:
        self.report.written += 1
        self.report.empty += lines == 0
        self.bar.update()

    def _fail(self, name: str, error: Exception) -> None:
        self.report.failed.append((name, explain(error)))
        self.bar.update()


def _problem(target: Path, source: Source, overwrite: bool) -> str:
    """Why the text of a source cannot go into a file; "" where it can, or is there already."""
    if not target.exists():
        return ""
    try:
        there = read_ocr(target, malformed="skip").source
    except InputError as error:
        return str(error).removeprefix(f"{target}: ")
    if there is None or (there.sha256, there.page) == (source.sha256, source.page):
        return ""
    if (there.name, there.page) != (source.name, source.page):
        return f"is the text of {there.name}, page {there.page}; give another --out"
    changed = f"is the text of another {source.name}, or of this one before it changed"
    return "" if overwrite else f"{changed}; --overwrite reads it again, or give another --out"


def _read(engine: Engine, task: _Task) -> int:
    """Read a page, write its file, and return its number of lines."""
    if task.image is not None:
        page = engine.recognize(task.image)
    else:
        page = engine.read_pdf(task.path, task.number, task.dpi, task.password)
    # A page without text layer may be a picture of text, and is left to an engine that reads it.
    if page.lines or task.image is not None or not engine.layer_only:
        page.source = task.source
        write_ocr(task.out, page)
    return len(page.lines)


_engine: Engine | None = None
"""The engine of a worker process, with its models."""


def _start_worker(engine: Engine) -> None:
    global _engine
    _engine = engine
    # Ctrl-C reaches the whole group; the main process ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A killed parent cannot end its workers, which would wait for ever."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _read_in_worker(task: _Task) -> int:
    assert _engine is not None
    return _read(_engine, task)
