"""Everything that is wrong with a data set, before it is trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from lmv3det.data.categories import match_categories
from lmv3det.data.coco import CocoDataset, size_problem
from lmv3det.data.fingerprint import fingerprint, similar_pairs
from lmv3det.data.images import read_image
from lmv3det.data.issues import DataReport, Issue
from lmv3det.data.records import Record
from lmv3det.errors import InputError
from lmv3det.structures import Sample
from lmv3det.text.ocr_json import ocr_path, other_image, read_ocr

_OTHER_SHAPE = 0.05
"""An OCR file's page may differ from the image's by this fraction in height / width."""

DrawPage = Callable[[Sample, Sequence[str]], None]
"""(page as annotated, class name of each region) → writes a drawing. It is pickled to the processes
that read pages."""


def open_for_check(annotations: Path, images: Path, ocr: Path | None) -> CocoDataset:
    """A data set whose issues are all collected, in `report`, and none an error.

    Raises:
        InputError: there is nothing to check: no COCO file, no image folder, no usable page.
    """
    return CocoDataset(
        annotations,
        images,
        ocr,
        with_text=ocr is not None,
        missing_ocr="empty",
        malformed_ocr="skip",
        quiet=True,
    )


def check_dataset(
    dataset: CocoDataset,
    against: CocoDataset | None = None,
    *,
    jobs: int = 1,
    draw: DrawPage | None = None,
) -> DataReport:
    """Read every page of a data set, and compare the pages with each other.

    Args:
        dataset: as `open_for_check` gives; its OCR files are read where it is `with_text`.
        against: another split, which must not share pages with this one.
        jobs: processes that read pages.
        draw: is given every page that can be read.

    Returns:
        The data set's report, with what reading the pages and comparing them found.
    """
    report = dataset.report
    prints = _check_pages(dataset, report, jobs, draw)
    _report_near_duplicates(report, dataset, prints)
    if against is not None:
        _check_split(dataset, against, report)
        other_prints = _check_pages(against, DataReport(), jobs, None)
        _report_near_duplicates(report, dataset, prints, against, other_prints)
    return report


def class_counts(dataset: CocoDataset) -> tuple[list[int], list[int], int, int]:
    """Regions and pages of each class, the pages without regions, and the crowds.

    Crowds count as neither regions nor pages of a class.
    """
    regions: Counter[int] = Counter()
    pages: Counter[int] = Counter()
    empty = crowds = 0
    for record in dataset.records:
        annotations = record.annotations
        crowds += sum(a["iscrowd"] for a in annotations)
        classes = [dataset.class_of[a["category_id"]] for a in annotations if not a["iscrowd"]]
        regions.update(classes)
        pages.update(set(classes))
        empty += not classes
    indices = range(len(dataset.categories))
    return [regions[k] for k in indices], [pages[k] for k in indices], empty, crowds


@dataclass
class _Page:
    """What reading a page found."""

    issues: list[Issue] = field(default_factory=list)
    fingerprint: np.ndarray | None = None


def _check_pages(
    dataset: CocoDataset, report: DataReport, jobs: int, draw: DrawPage | None
) -> list[np.ndarray | None]:
    """Read every page, add its issues to the report, draw it; the pages' fingerprints."""
    prints = []
    with tqdm(total=len(dataset), unit="page", desc=dataset.annotations.name) as bar:
        for page in _read_pages(dataset, jobs, draw):
            report.issues += page.issues
            prints.append(page.fingerprint)
            bar.update()
    return prints


def _read_pages(dataset: CocoDataset, jobs: int, draw: DrawPage | None) -> Iterator[_Page]:
    if jobs == 1:
        for index in range(len(dataset)):
            yield _read_page(dataset, index, draw)
        return
    with ProcessPoolExecutor(jobs, initializer=_start, initargs=(dataset, draw)) as pool:
        yield from pool.map(_read_shared, range(len(dataset)), chunksize=4)


_shared: tuple[CocoDataset, DrawPage | None]


def _start(dataset: CocoDataset, draw: DrawPage | None) -> None:
    """Keep the data set in each process, sent once."""
    global _shared
    _shared = (dataset, draw)


def _read_shared(index: int) -> _Page:
    dataset, draw = _shared
    return _read_page(dataset, index, draw)


def _read_page(dataset: CocoDataset, index: int, draw: DrawPage | None) -> _Page:
    record = dataset.records[index]
    where = f"image {record.image_id} ({record.file_name})"
    page = _Page()

    def add(kind: str, problem: str, action: str) -> None:
        page.issues.append(Issue(kind, where, problem, action))

    try:
        image = read_image(record.path)
        problem = size_problem(record)
    except InputError as error:
        add("unreadable image", str(error), "training would stop here")
        return page
    if problem is not None:
        add("size differs", problem, "annotations are fitted")
    page.fingerprint = fingerprint(image)
    if dataset.with_text:
        for issue in _ocr_issues(dataset, record, image.shape[:2]):
            add(*issue)
    if draw is not None:
        sample = dataset[index]
        draw(sample, [dataset.categories[c].name for c in sample.classes])
    return page


def _ocr_issues(
    dataset: CocoDataset, record: Record, size: tuple[int, ...]
) -> Iterator[tuple[str, str, str]]:
    path = ocr_path(dataset.ocr, record.file_name, dataset.images)
    try:
        text = read_ocr(path, malformed="skip")
    except InputError as error:
        yield "OCR file missing", str(error), "the page has no text"
        return
    for issue in text.issues:
        yield "malformed OCR", f"{path}: {issue}", "left out"
    problem = other_image(text, record.path)
    if problem:
        yield "OCR of another image", f"{path}: {problem}", "training would stop here"
    if not text.width:
        return
    shapes = [text.height / text.width, size[0] / size[1]]
    if max(shapes) > min(shapes) * (1 + _OTHER_SHAPE):
        pages = f"{path}: its page is {text.width}×{text.height}, the image {size[1]}×{size[0]}"
        yield "OCR of another shape", pages, "boxes are scaled"


def _check_split(dataset: CocoDataset, other: CocoDataset, report: DataReport) -> None:
    where = str(other.annotations)
    try:
        match_categories(dataset.categories, other.categories)
    except InputError as error:
        report.add("categories differ", where, str(error), "the splits cannot be used together")


def _report_near_duplicates(
    report: DataReport,
    dataset: CocoDataset,
    prints: list[np.ndarray | None],
    other: CocoDataset | None = None,
    other_prints: list[np.ndarray | None] | None = None,
) -> None:
    """Near-duplicates within a split, or pages in both splits."""
    records, first = _stack(dataset, prints)
    if other is None or other_prints is None:
        for i, j, likeness in similar_pairs(first):
            where, twin = (f"image {r.image_id} ({r.file_name})" for r in (records[i], records[j]))
            report.add("near-duplicate", where, f"{likeness:.0%} like {twin}", "kept")
        return
    other_records, second = _stack(other, other_prints)
    for i, j, likeness in similar_pairs(first, second):
        where = f"image {records[i].image_id} ({records[i].file_name})"
        twin = f"image {other_records[j].image_id} ({other_records[j].file_name})"
        problem = f"{likeness:.0%} like {twin} of {other.annotations}"
        report.add("page in both splits", where, problem, "kept")


def _stack(dataset: CocoDataset, prints: list[np.ndarray | None]) -> tuple[list, np.ndarray]:
    read = [(r, p) for r, p in zip(dataset.records, prints, strict=True) if p is not None]
    stacked = np.stack([p for _, p in read]) if read else np.zeros((0, 1), dtype=np.float32)
    return [r for r, _ in read], stacked
