"""The whole job: documents to COCO annotations, images and OCR files; resumable, in processes."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from lmv3det.classes import FOLDINGS
from lmv3det.data.images import PDF_DPI
from lmv3det.errors import InputError, explain
from lmv3det.files import LOCK, atomic_write, lock_folder, read_json
from lmv3det.harvest import worker
from lmv3det.harvest.office import FILTERS, Office, find_office, is_office
from lmv3det.harvest.record import name_titles, read_record, write_coco
from lmv3det.harvest.worker import Settings, Task

if TYPE_CHECKING:
    from pebble import ProcessPool

PAGE_SECONDS = 120.0
"""For a page; after that its process is ended."""
UNTAGGED = 0.02
RULES = 1
"""Changes when the same page would give other regions, so that a folder holds one kind."""
FOLDERS = ("images", "OCR", ".pages", ".converted")
_TASKS = 300
"""Pages that a process reads before a new one takes its place, which gives memory back."""
_LONGEST = 120
"""Letters of a document's name that the names of its pages take over."""


@dataclass
class HarvestReport:
    """What came of a job.

    Attributes:
        annotations: path of the COCO file.
        documents: how many were read.
        pages: pages that can be trusted.
        there: pages that an earlier run had read.
        counts: regions of each class.
        left_out: (page, reason) of pages that cannot be trusted, and of documents without tags.
        failed: (document or page, reason) of what could not be read.
        splits: name of a split → its pages.
    """

    annotations: Path
    documents: int = 0
    pages: int = 0
    there: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    splits: dict[str, int] = field(default_factory=dict)

    def reasons(self) -> Counter[str]:
        """How many pages were left out for each kind of reason."""
        kinds = (why.partition(":")[0] for _, reason in self.left_out for why in reason.split("; "))
        return Counter(kinds)


@dataclass
class _Document:
    """A document to read."""

    path: Path
    name: str
    digest: str
    pdf: Path
    pages: int = 0

    @property
    def stem(self) -> str:
        plain = re.sub(r"[^\w.\-]+", "_", self.path.stem).strip("._") or "document"
        return f"{plain[:_LONGEST].encode()[:_LONGEST].decode(errors='ignore')}-{self.digest[:8]}"


def harvest(
    inputs: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    *,
    classes: str = "fine",
    dpi: int = PDF_DPI,
    jpeg: int | None = None,
    untagged: float = UNTAGGED,
    pages: int | None = None,
    validation: float = 0.0,
    draw: str | os.PathLike | None = None,
    workers: int = 1,
    page_seconds: float = PAGE_SECONDS,
    password: str | None = None,
) -> HarvestReport:
    """Make training data of tagged PDF, and of what LibreOffice can turn into it.

    A page that cannot be trusted is left out, and one that cannot be read does not stop the others.
    Finished pages are not read again.

    Args:
        inputs: files, and folders, which are searched with all that is in them.
        out: folder for `images/`, `OCR/` and `annotations.json` (COCO instances); `.pages/`,
            `.converted/` and `settings.json` beside them are for resuming, `left_out.txt` names
            the pages that were left out.
        classes: a key of `lmv3det.classes.FOLDINGS`.
        dpi: resolution at which pages are drawn.
        jpeg: quality of JPEG files, 1 to 95; None makes PNG files.
        untagged: share of a page's letters without a tag, 0 to 1, up to which it is trusted.
        pages: of a document at most, spread evenly over it; None takes all.
        validation: share of the pages, 0 to 0.9, that goes to `val.json`, by whole documents; the
            rest is then in `train.json`. `annotations.json` has all.
        draw: folder for drawings of all pages, those left out in `left_out/` within it.
        workers: processes.
        page_seconds: for a page.
        password: of encrypted PDF files.

    Raises:
        InputError: a setting outside its range, an input that does not exist, nothing to read,
            a folder that cannot be used.
    """
    _check(classes, dpi, jpeg, untagged, pages, validation, workers, page_seconds)
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; name a folder for the data")
    files = find_documents(inputs, out)
    settings = Settings(
        out, dpi, jpeg, float(untagged), None if draw is None else Path(draw), password
    )
    with lock_folder(out, "another job", FOLDERS):
        _claim(out, settings)
        job = _Job(settings, pages, workers, page_seconds)
        job.run(files)
        job.write(classes, validation)
    return job.report


def find_documents(inputs: Sequence[str | os.PathLike], out: Path) -> list[Path]:
    """PDF and office files of inputs, folders searched to all depths; nothing within `out`.

    Raises:
        InputError: an input that does not exist or is of another kind; no document at all.
    """
    suffixes = {".pdf", *FILTERS}
    found: list[Path] = []
    for given in inputs:
        path = Path(given)
        if path.is_dir():
            found += _search(path, suffixes, out)
        elif not path.exists():
            raise InputError(f"{path}: no such file or folder")
        elif path.suffix.lower() not in suffixes:
            raise InputError(f"{path}: not one of {', '.join(sorted(suffixes))}")
        else:
            found.append(path)
    if not found:
        names = ", ".join(sorted(suffixes))
        raise InputError(f"{', '.join(map(str, inputs))}: no document there ({names})")
    return list(dict.fromkeys(found))


def _search(folder: Path, suffixes: set[str], out: Path) -> Iterator[Path]:
    own = out.resolve()
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if (Path(parent) / name).resolve() != own)
        for name in sorted(names):
            path = Path(parent) / name
            # Locks of office programs begin so.
            hidden = name.startswith((".", "~$"))
            if path.suffix.lower() in suffixes and path.is_file() and not hidden:
                yield path


def _check(
    classes: str,
    dpi: int,
    jpeg: int | None,
    untagged: float,
    pages: int | None,
    validation: float,
    workers: int,
    page_seconds: float,
) -> None:
    faults = [
        (classes not in FOLDINGS, f"classes {classes!r}: one of {', '.join(FOLDINGS)}"),
        (not 30 <= dpi <= 600, f"dpi is {dpi}: give 30 to 600"),
        (jpeg is not None and not 1 <= jpeg <= 95, f"jpeg is {jpeg}: give 1 to 95"),
        (not 0 <= untagged <= 1, f"untagged is {untagged}: give a share from 0 to 1"),
        (pages is not None and pages < 1, f"pages is {pages}: give at least 1"),
        (not 0 <= validation <= 0.9, f"val is {validation}: give a share from 0 to 0.9"),
        (workers < 1, f"workers is {workers}: give at least 1"),
        (not 0 < page_seconds < 1e6, f"page-seconds is {page_seconds}: give more than 0"),
    ]
    for wrong, message in faults:
        if wrong:
            raise InputError(f"harvest: {message}")


def _claim(out: Path, settings: Settings) -> None:
    """Make the folder ours, or see that it is ours with the same settings."""
    file = out / "settings.json"
    own: dict[str, Any] = {"dpi": settings.dpi, "jpeg": settings.jpeg}
    own |= {"untagged": settings.untagged, "rules": RULES}
    if not file.exists():
        if any(path.name != LOCK for path in out.iterdir()):
            raise InputError(
                f"{out}: holds other files and no settings.json of harvested pages; name an empty "
                "or a new folder"
            )
        atomic_write(file, json.dumps({"harvest": own}, indent=1).encode())
    else:
        try:
            old = read_json(file)
        except InputError as error:
            raise InputError(f"{error}; remove the folder or name another") from None
        was = old.get("harvest") if isinstance(old, dict) else None
        if not isinstance(was, dict):
            raise InputError(f"{file}: not of harvested pages; name another folder")
        for key, value in own.items():
            if was.get(key) != value:
                raise InputError(
                    f"{file}: the pages there were read with {key} {was.get(key)!r}, not "
                    f"{value!r}; name another folder, or ask for the same"
                )
    for name in FOLDERS:
        (out / name).mkdir(exist_ok=True)


class _Job:
    def __init__(
        self, settings: Settings, most: int | None, workers: int, page_seconds: float
    ) -> None:
        self.settings, self.most = settings, most
        self.workers, self.page_seconds = workers, page_seconds
        self.report = HarvestReport(settings.out / "annotations.json")
        self.documents: list[_Document] = []
        self.digests: dict[str, str] = {}
        self.unread: set[str] = set()

    def run(self, files: Sequence[Path]) -> None:
        from pebble import ProcessPool

        documents = [found for path in files if (found := self._identify(path))]
        self._convert(documents)
        context: Any = multiprocessing.get_context("spawn")
        pool = ProcessPool(self.workers, _TASKS, worker.start, context=context)
        try:
            self._survey(pool, documents)
            self._read(pool)
        except BaseException:
            pool.stop()
            raise
        else:
            pool.close()
        finally:
            pool.join()

    def _identify(self, path: Path) -> _Document | None:
        """A document by its content; None for one that cannot be read, or that came before."""
        try:
            with open(path, "rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest() if hasattr(
                    hashlib, "file_digest") else _digest(stream)  # fmt: skip
        except OSError as error:
            self._fail(str(path), f"cannot be read ({error.strerror})")
            return None
        if is_office(path):  # how it looks depends on the files beside it
            digest = hashlib.sha256(f"{digest} {path.suffix.lower()}".encode()).hexdigest()
        if digest in self.digests:
            self.report.left_out.append((str(path), f"the same as {self.digests[digest]}"))
            return None
        self.digests[digest] = str(path)
        return _Document(path, str(path), digest, path)

    def _convert(self, documents: list[_Document]) -> None:
        """Turn office documents into PDF; those that cannot be are taken out."""
        office = [document for document in documents if is_office(document.path)]
        for document in office:
            document.pdf = self.settings.out / ".converted" / f"{document.digest[:32]}.pdf"
        missing = [document for document in office if not document.pdf.exists()]
        if not missing:
            return
        program = find_office()
        if program is None:
            for document in missing:
                self._fail(document.name, "needs LibreOffice (soffice), which is not installed")
                documents.remove(document)
            return
        with tempfile.TemporaryDirectory(
            prefix="lmv3det-office-", ignore_cleanup_errors=True
        ) as profile:
            converter = Office(program, Path(profile))
            for document in tqdm(missing, desc="convert", unit="document"):
                try:
                    converter.convert(document.path, document.pdf)
                except (InputError, OSError) as error:
                    self._fail(document.name, _without(explain(error), document.name))
                    documents.remove(document)

    def _survey(self, pool: ProcessPool, documents: list[_Document]) -> None:
        def took(document: _Document, count: int) -> None:
            document.pages = count
            if count == 0:
                self.report.left_out.append((document.name, "not tagged"))

        calls = ((d, (d.pdf, self.settings.password)) for d in documents)
        with tqdm(total=len(documents), desc="open", unit="document") as bar:
            self._all(pool, worker.survey, calls, took, lambda d: d.name, bar)
        self.documents = [document for document in documents if document.pages]

    def _read(self, pool: ProcessPool) -> None:
        tasks = [task for document in self.documents for task in self._tasks(document)]
        left = [task for task in tasks if not self._is_done(task)]
        self.report.there = len(tasks) - len(left)

        def name(task: Task) -> str:
            return f"{task.name} page {task.number + 1}"

        calls = ((task, (task, self.settings)) for task in left)
        with tqdm(total=len(tasks), initial=len(tasks) - len(left), desc="harvest", unit="page",
                  ) as bar:  # fmt: skip
            self._all(pool, worker.read_page, calls, lambda task, _: None, name, bar)

    def _tasks(self, document: _Document) -> Iterator[Task]:
        for number in chosen(document.pages, self.most):
            stem = f"{document.stem}_p{number + 1}"
            yield Task(document.pdf, document.name, number, stem)

    def _is_done(self, task: Task) -> bool:
        try:
            record = read_record(self.settings.out / ".pages" / f"{task.stem}.json")
        except InputError:
            return False
        trusted = not record["reasons"]
        wanted = []
        if trusted:
            wanted = [self.settings.out / "images" / record["file_name"]]
            wanted.append(self.settings.out / "OCR" / f"{task.stem}.json")
        if self.settings.draw is not None:
            wanted.append(worker.drawing_path(self.settings.draw, task.stem, trusted))
        return all(path.exists() for path in wanted)

    def _all(
        self,
        pool: ProcessPool,
        function: Callable,
        calls: Iterable[tuple[Any, tuple]],
        took: Callable[[Any, Any], None],
        name: Callable[[Any], str],
        bar: tqdm,
    ) -> None:
        """Call a function in the processes, a few calls ahead; what fails is noted by name."""
        running: dict[Future, Any] = {}

        def collect() -> None:
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                item = running.pop(future)
                bar.update()
                try:
                    result = future.result()
                except Exception as error:
                    self._fail(name(item), self._explain(error, name(item)))
                else:
                    took(item, result)

        for item, arguments in calls:
            while len(running) >= 3 * self.workers:
                collect()
            running[pool.schedule(function, args=arguments, timeout=self.page_seconds)] = item
        while running:
            collect()

    def _explain(self, error: Exception, name: str) -> str:
        from pebble import ProcessExpired

        if isinstance(error, TimeoutError):
            return f"took more than {self.page_seconds:g} s to read"
        if isinstance(error, (ProcessExpired, MemoryError)):
            return "cannot be read: damaged, or made to use up memory"
        return _without(explain(error), name)

    def _fail(self, name: str, why: str) -> None:
        self.report.failed.append((name, why))

    def write(self, classes: str, validation: float) -> None:
        """Write the annotation files, and which pages were left out."""
        report, out = self.report, self.settings.out
        found: list[tuple[_Document, list[dict[str, Any]]]] = []
        for document in self.documents:
            records = []
            for task in self._tasks(document):
                path = out / ".pages" / f"{task.stem}.json"
                if path.exists():
                    with suppress(InputError):  # it was damaged and could not be read again
                        records.append(read_record(path))
            name_titles(records)
            for record in records:
                if record["reasons"]:
                    page = f"{document.name} page {record['page'] + 1}"
                    report.left_out.append((page, "; ".join(record["reasons"])))
            trusted = [record for record in records if not record["reasons"]]
            report.documents += 1
            report.pages += len(trusted)
            if trusted:
                found.append((document, trusted))
        lines = [f"{name}: {why}" for name, why in report.left_out]
        text = "".join(f"{' '.join(line.split())}\n" for line in lines)
        atomic_write(out / "left_out.txt", text.encode("utf-8", errors="backslashreplace"))
        if not found:
            return
        pages = [page for _, records in found for page in records]
        report.counts = write_coco(report.annotations, pages, classes)
        if validation > 0:
            held = _held_back(found, validation)
            for split, inside in (("train", False), ("val", True)):
                chosen_pages = [page for document, records in found for page in records
                                if (document.digest in held) is inside]  # fmt: skip
                write_coco(out / f"{split}.json", chosen_pages, classes)
                report.splits[split] = len(chosen_pages)


def chosen(pages: int, most: int | None) -> list[int]:
    """Numbers of at most `most` pages of a document, from 0, spread evenly with the first and the
    last."""
    if most is None or pages <= most:
        return list(range(pages))
    if most == 1:
        return [0]
    return sorted({round(index * (pages - 1) / (most - 1)) for index in range(most)})


def _held_back(found: Sequence[tuple[_Document, list]], share: float) -> set[str]:
    """The documents that are held back: in an order that depends on their content alone, until
    their pages are the share; one at least stays on either side.

    Raises:
        InputError: there is one document alone.
    """
    if len(found) < 2:
        raise InputError(
            "--val: all pages are of one document, and pages of one are not held back from its "
            "others; add documents, or leave --val out"
        )
    wanted = share * sum(len(records) for _, records in found)
    held: set[str] = set()
    count = 0
    for document, records in sorted(found, key=lambda pair: pair[0].digest)[:-1]:
        if held and count + len(records) / 2 > wanted:
            break
        held.add(document.digest)
        count += len(records)
    return held


def _without(text: str, name: str) -> str:
    """An error's text without the name that it is listed by."""
    return text.removeprefix(f"{name}: ")


def _digest(stream: Any) -> str:
    """Python 3.10 has no `hashlib.file_digest`."""
    digest = hashlib.sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()
