"""Many pages to results on disk: written as they come, resumable, one job a folder."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lmv3det.data.images import count_pages, find_pages
from lmv3det.data.pdf import is_pdf
from lmv3det.device import describe
from lmv3det.documents.page import content_to_json
from lmv3det.errors import InputError, count_of, explain
from lmv3det.files import content_hash, lock_folder
from lmv3det.inference.detections import PageDetections
from lmv3det.inference.detector import Detector
from lmv3det.inference.entries import detections_last
from lmv3det.inference.formats import Format, Pages, load_format
from lmv3det.inference.formats.content import document_of, documents
from lmv3det.inference.journal import Journal, Key, count_entries
from lmv3det.inference.options import DetectorOptions, PredictOptions
from lmv3det.inference.pictures import save_page_image, save_region_pictures
from lmv3det.inference.samples import read_samples
from lmv3det.inference.selection import check_fraction
from lmv3det.inference.text_source import PageText, choose_text, page_text
from lmv3det.ledger import Ledger
from lmv3det.ocr.engine import Engine
from lmv3det.ocr.engines import announce
from lmv3det.ocr.names import MAX_BYTES, UniqueNames, page_names
from lmv3det.structures import Sample

log = logging.getLogger(__name__)

RESULT = "detections.json"
SUFFIXES = {"markdown": ".md", "html": ".html", "chunks": ".jsonl"}
"""Of the formats with a file a document."""
JOURNAL = "detections.partial.jsonl"
_FOLDER_IS_LOST = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
"""Errors that would meet every further page too."""


@dataclass
class JobReport:
    """What came of a job.

    Attributes:
        done: pages in the result, those of a resumed job among them.
        resumed: of these, the pages that were done before.
        failures: a line for each page or file that failed.
        regions: class → regions of the draw score or more, in all pages of the result.
        files: what was written for the asked formats, beside `detections.json`.
        words: of the text lines of all pages, where a format writes documents; 0 elsewhere.
        left_out: of these, the words of headers and footers, which documents leave out.
        missing: of these, the words that are in no document.
    """

    done: int = 0
    resumed: int = 0
    failures: list[str] = field(default_factory=list)
    regions: Counter[str] = field(default_factory=Counter)
    files: list[Path] = field(default_factory=list)
    words: int = 0
    left_out: int = 0
    missing: int = 0


def predict_files(
    detector: Detector | DetectorOptions | str | os.PathLike | None,
    inputs: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    options: PredictOptions | None = None,
    *,
    drawings: bool = True,
    draw_score: float = 0.3,
    formats: Sequence[str] = (),
    resume: bool = False,
    overwrite: bool = False,
    pages: str | None = None,
) -> JobReport:
    """Find the regions of files and write them into a folder.

    `detections.json` is a list with an entry a page, in the order of the inputs: file, page (from
    1), width, height, detections (see `PageDetections.to_dict`), and the name of its drawing:
    `<stem>.png`, or `<stem>_p<page>.png` for a PDF or a TIFF of several pages. A page that fails
    is reported, and the rest is done.

    Pages are kept in `detections.partial.jsonl` as they are done, and replace `detections.json` at
    the end; a job that was stopped or killed goes on with `resume`.

    Args:
        detector: a detector, or what is to be loaded when the folder has been checked:
            `DetectorOptions`, or a checkpoint; None: the model that comes with the package.
        inputs: images, PDF files and folders of them.
        out: folder to write to.
        options: how; masks are written too (COCO RLE) where its `masks` is true.
        drawings: draw the regions of every page.
        draw_score: least score of regions in drawings, and in formats for people.
        formats: further formats, of `lmv3det.inference.formats.FORMATS`.
        resume: go on with a job that was stopped.
        overwrite: drop what a stopped job has done, and replace the results of an earlier one: its
            files that are not written again are removed, those that somebody changed stay.
        pages: of each file, such as `1-3,5` or `4-`; None: all. A file that has none of them fails.

    Raises:
        InputError: inputs that do not exist, a folder that another job writes to or that has the
            pages of a stopped one or the results of an earlier one, files in it that no job wrote
            and this one would replace, a checkpoint or option that cannot be used.
    """
    options = options or PredictOptions()
    options = dataclasses.replace(options, masks=bool(options.masks))
    check_fraction(draw_score, "draw_score")
    wanted = read_ranges(pages)
    writers = [load_format(name) for name in dict.fromkeys(formats)]
    paths = list(dict.fromkeys(find_pages(inputs)))
    out = Path(out)
    with lock_folder(out, "another job", ["pictures", "images"]):
        ledger = Ledger(out, resume)
        stopped = count_entries(out / JOURNAL)
        if stopped and not (resume or overwrite):
            raise InputError(
                f"{out}: holds {stopped} pages of a job that was stopped; --resume goes on with "
                "it, --overwrite starts again"
            )
        if (out / RESULT).exists() and not (resume or overwrite or stopped):
            raise InputError(
                f"{out}: holds the results of an earlier run; --overwrite replaces them, or give "
                "another --out"
            )
        source: dict[str, Any] = {"checkpoint": "detector"}
        if not isinstance(detector, Detector):
            if not isinstance(detector, DetectorOptions):
                detector = DetectorOptions(detector)
            source = detector.settings()
            detector = Detector.of_options(detector)
            log.info("on %s", describe(detector.device, detector.precision))
        if options.masks and detector.model.mask_head is None:
            raise InputError(
                f"{source['checkpoint']}: has no mask head (model.mask_on); leave out --masks"
            )
        settings = {
            **source,
            **options.settings(),
            "drawings": drawings,
            "draw_score": draw_score,
            "formats": sorted(set(formats)),
        }
        detector.selection(options)  # checked before any page is read
        job = _Job(detector, out, options, settings, writers, ledger)
        with ledger.kept():
            return job.run(paths, resume, wanted)


def read_ranges(text: str | None) -> Callable[[int], bool]:
    """Whether a page (from 1) is among those that a text such as `1-3,5` or `4-` names.

    Raises:
        InputError: it names none.
    """
    if text is None:
        return lambda _: True
    ranges = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d{1,9})\s*(?:(-)\s*(\d{1,9})?)?\s*", part, re.ASCII)
        first = int(found[1]) if found else 0
        last = int(found[3]) if found and found[3] else first if found and not found[2] else 10**9
        if not 1 <= first <= last:
            raise InputError(f"--pages {text!r}: give pages from 1, such as 1-3,5 or 4-")
        ranges.append((first, last))
    return lambda number: any(first <= number <= last for first, last in ranges)


class _Job:
    """Predicts on files and writes the results as they come."""

    def __init__(
        self,
        detector: Detector,
        out: Path,
        options: PredictOptions,
        settings: dict[str, Any],
        formats: Sequence[Format],
        ledger: Ledger,
    ) -> None:
        self.ledger = ledger
        self.detector, self.out, self.settings = detector, out, settings
        self.options, self.formats = options, formats
        self.report = JobReport()

    def run(self, paths: Sequence[Path], resume: bool, wanted: Callable[[int], bool]) -> JobReport:
        """Predict on the pages that are not in the journal, and write the result."""
        files = [(path, count) for path in paths if (count := self._count(path))]
        keys = [(str(path), n) for path, k in files for n in range(1, k + 1) if wanted(n)]
        for path, count in files:
            if not any(map(wanted, range(1, count + 1))):
                self.report.failures.append(
                    f"{path}: has {count_of(count, 'page')}, none of those asked for"
                )
        self._name(files)
        self.ledger.check(self._targets(paths))
        text = self._text(files)
        journal = Journal(self.out / JOURNAL, self.settings, resume)
        try:
            for path, _ in files:
                journal.add_input(str(path), content_hash(path))
            left = [key for key in keys if key not in journal.places]
            self.report.resumed = len(keys) - len(left)
            self.bar = tqdm(
                total=len(keys), initial=self.report.resumed, desc="predict", unit="page"
            )
            samples = self._samples(files, set(left), text)
            stream = self.detector.stream(samples, self.options, self._failed)
            with self.bar:
                for sample, detections in stream:
                    self._write(journal, sample, detections)
            for entry in journal.entries(keys):
                self.report.regions.update(
                    region["category"]
                    for region in entry["detections"]
                    if region["score"] >= self.settings["draw_score"]
                )
            self.report.done = sum(key in journal.places for key in keys)
            self._count_words(lambda: journal.entries(keys))
            for chosen in self.formats:
                self.report.files += chosen.write(
                    lambda: journal.entries(keys), self.out, self.detector.names
                )
        except BaseException as error:
            done = sum(key in journal.places for key in keys)
            with contextlib.suppress(OSError):  # a full disk has been told of
                journal.close()
            if isinstance(error, (KeyboardInterrupt, OSError, InputError)):
                log.warning(
                    "%d of %d pages are done and kept in %s; the same command with --resume goes "
                    "on%s", done, len(keys), self.out / JOURNAL,
                    f" ({RESULT} is of an earlier job)" if (self.out / RESULT).exists() else "",
                )  # fmt: skip
            raise
        journal.finish(self.out / RESULT, keys)
        for path in self.ledger.prune():
            log.warning("%s: of an earlier run, and changed since: it stays", path)
        return self.report

    def _count_words(self, pages: Pages) -> None:
        """Count the words that documents have, and those that they have not."""
        if any(chosen.needs_content for chosen in self.formats):
            for _, own in documents(pages):
                document = document_of(own)
                self.report.words += document.words
                self.report.left_out += document.left_out
                self.report.missing += document.missing

    def _targets(self, paths: Sequence[Path]) -> Iterator[Path]:
        """The files that are going to be written, as far as their names are known before."""
        yield self.out / RESULT
        if self.settings["drawings"]:
            yield from (self.out / f"{stem}.png" for stem in self.stems.values())
        for name in self.settings["formats"]:
            if name in SUFFIXES:
                names = UniqueNames()
                yield from (self.out / names.new(path.stem, SUFFIXES[name]) for path in paths)
            elif name in ("labelme", "coco", "label-studio", "cvat"):
                yield self.out / {"labelme": "labels.txt", "coco": "coco.json"}.get(
                    name, f"{name.replace('-', '_')}.{'xml' if name == 'cvat' else 'json'}"
                )

    def _count(self, path: Path) -> int:
        try:
            return count_pages(path, self.options.password)
        except Exception as error:
            self.report.failures.append(_of(path, error))
            return 0

    def _name(self, files: Sequence[tuple[Path, int]]) -> None:
        """Give every page the names of its files, which do not depend on which pages fail."""
        names = UniqueNames(MAX_BYTES - 20)  # pictures of its regions have longer names
        self.counts = {str(path): count for path, count in files}
        self.stems: dict[Key, str] = {}
        for path, count in files:
            for number in range(1, count + 1):
                stem = path.stem + (f"_p{number}" if count > 1 or is_pdf(path) else "")
                self.stems[str(path), number] = names.new(stem, ".png").removesuffix(".png")

    def _text(self, files: Sequence[tuple[Path, int]]) -> PageText | None:
        if not self.detector.uses_text:
            return None
        source = choose_text(self.options.ocr, self.detector.config, self.options.ocr_options)
        if isinstance(source, Engine):
            announce(source, [path for path, _ in files])
        return page_text(source, self.detector.config, self.options, page_names(files))

    def _samples(
        self, files: Sequence[tuple[Path, int]], left: set[Key], text: PageText | None
    ) -> Iterator[Sample]:
        for path, count in files:
            numbers = [n for n in range(count) if (str(path), n + 1) in left]
            if not numbers:
                continue

            def failed(number: int, error: Exception, path: Path = path) -> None:
                self._fail(path, number, error)

            try:
                yield from read_samples(
                    path, text, self.options, pages=count, numbers=numbers, failed=failed
                )
            except InputError as error:  # the file was there when its pages were counted
                self.report.failures.append(_of(path, error))
                self.bar.update(len(numbers))

    def _failed(self, sample: Sample, error: Exception) -> None:
        self._fail(Path(sample.page.file), sample.page.number, error)

    def _fail(self, path: Path, number: int, error: Exception) -> None:
        where = f" (page {number + 1})" if self.counts[str(path)] > 1 else ""
        self.report.failures.append(f"{_of(path, error)}{where}")
        self.bar.update()

    def _write(self, journal: Journal, sample: Sample, detections: PageDetections) -> None:
        """Draw a page and add it to the journal."""
        settings, key = self.settings, (sample.page.file, sample.page.number + 1)
        stem = self.stems[key]
        detections.image, detections.dpi = sample.image, self.options.dpi
        detections.password = self.options.password
        try:
            threshold = self.detector.config.test.mask_threshold if settings["masks"] else None
            entry = detections.to_dict(threshold, settings["draw_score"])
            if settings["drawings"]:
                entry = {**entry, "drawing": f"{stem}.png"}
                detections.plot(self.out / entry["drawing"], settings["draw_score"])
            if any(chosen.needs_content for chosen in self.formats):
                entry["content"] = content_to_json(detections.content(settings["draw_score"]))
            if any(chosen.needs_pictures for chosen in self.formats):
                save_region_pictures(sample.image, entry, self.out, stem)
            if any(chosen.needs_images for chosen in self.formats):
                entry["image"] = save_page_image(
                    sample.image, sample.page.file, self.counts[sample.page.file], self.out, stem
                )
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _FOLDER_IS_LOST:
                raise
            self._failed(sample, error)
            return
        journal.append(detections_last(entry))
        self.bar.update()


def _of(path: Path, error: BaseException) -> str:
    """What an error says, with the file that it is about."""
    text = explain(error)
    named = isinstance(error, InputError) and error.subject
    return text if named or str(path) in text else f"{path}: {text}"
