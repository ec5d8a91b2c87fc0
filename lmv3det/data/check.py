"""`lmv3det check`: everything that is wrong with a data set, before it is trained on."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from lmv3det.data.categories import match_categories
from lmv3det.data.coco import CocoDataset, size_problem
from lmv3det.data.fingerprint import fingerprint, similar_pairs
from lmv3det.data.images import read_image
from lmv3det.data.issues import DataReport, Fault
from lmv3det.errors import InputError
from lmv3det.text.ocr_json import ocr_path, read_ocr
from lmv3det.visualization.regions import draw_regions

_OTHER_SHAPE = 0.05
"""An OCR file's page may differ from the image's by this share in height / width."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--annotations", type=Path, required=True, metavar="FILE", help="COCO instances JSON"
    )
    parser.add_argument(
        "--images", type=Path, required=True, metavar="DIR", help="folder of the page images"
    )
    parser.add_argument(
        "--ocr", type=Path, metavar="DIR", help="folder of the OCR files; checked only when given"
    )
    parser.add_argument(
        "--draw", type=Path, metavar="DIR", help="write a drawing of every page into this folder"
    )
    parser.add_argument(
        "--against",
        type=Path,
        nargs=2,
        metavar=("FILE", "DIR"),
        help="annotations and images of another split, which must not share pages with this one",
    )
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="processes that read pages (default: 1)"
    )


def run(args: argparse.Namespace) -> int:
    """Check a data set and print a report; 0 when it is clean, 1 when it has faults."""
    if args.jobs < 1:
        raise InputError(f"--jobs is {args.jobs}; it must be 1 or more")
    if args.ocr is not None and not args.ocr.is_dir():
        raise InputError(f"{args.ocr}: no such OCR folder")
    dataset = _open(args.annotations, args.images, args.ocr)
    report = dataset.report
    prints = _check_pages(dataset, report, args.jobs, args.draw)
    _report_twins(report, dataset, prints)
    if args.against:
        other = _open(args.against[0], args.against[1], None)
        _check_split(dataset, other, report)
        other_prints = _check_pages(other, DataReport(), args.jobs, None)
        _report_twins(report, dataset, prints, other, other_prints)
    for line in describe(dataset):
        print(line)
    for fault in report.faults:
        print(f"FAULT {fault}")
    if args.draw is not None:
        print(f"drawings: {args.draw}")
    kinds = ", ".join(f"{count} {kind}" for kind, count in report.counts.items())
    count = f"{len(report)} fault" + ("s" if len(report) > 1 else "")
    print(f"{args.annotations}: {f'{count} ({kinds})' if report else 'clean, no faults'}")
    return 1 if report else 0


def describe(dataset: CocoDataset) -> list[str]:
    """What a data set holds: pages, and regions of each class."""
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
    lines = [
        f"{dataset.annotations}: {len(dataset)} pages ({empty} without regions), "
        f"{regions.total()} regions, {crowds} crowds"
    ]
    width = max(5, *(len(category.name) for category in dataset.categories))
    lines.append(f"{'id':>6}  {'class':<{width}}  {'regions':>8}  {'pages':>8}")
    for index, category in enumerate(dataset.categories):
        lines.append(
            f"{category.id:>6}  {category.name:<{width}}  {regions[index]:>8}  {pages[index]:>8}"
        )
    return lines


@dataclass
class _Page:
    """What reading a page found."""

    faults: list[Fault] = field(default_factory=list)
    fingerprint: np.ndarray | None = None


def _open(annotations: Path, images: Path, ocr: Path | None) -> CocoDataset:
    return CocoDataset(
        annotations,
        images,
        ocr,
        with_text=ocr is not None,
        missing_ocr="empty",
        malformed_ocr="skip",
        quiet=True,
    )


def _check_pages(
    dataset: CocoDataset, report: DataReport, jobs: int, draw: Path | None
) -> list[np.ndarray | None]:
    """Read every page, add its faults to the report, draw it; the pages' fingerprints."""
    if draw is not None:
        draw.mkdir(parents=True, exist_ok=True)
    prints = []
    with tqdm(total=len(dataset), unit="page", desc=dataset.annotations.name) as bar:
        for page in _read_pages(dataset, jobs, draw):
            report.faults += page.faults
            prints.append(page.fingerprint)
            bar.update()
    return prints


def _read_pages(dataset: CocoDataset, jobs: int, draw: Path | None) -> Iterator[_Page]:
    if jobs == 1:
        for index in range(len(dataset)):
            yield _read_page(dataset, index, draw)
        return
    with ProcessPoolExecutor(jobs, initializer=_start, initargs=(dataset, draw)) as pool:
        yield from pool.map(_read_shared, range(len(dataset)), chunksize=4)


_shared: tuple[CocoDataset, Path | None]


def _start(dataset: CocoDataset, draw: Path | None) -> None:
    """Keep the data set in each process, sent once."""
    global _shared
    _shared = (dataset, draw)


def _read_shared(index: int) -> _Page:
    dataset, draw = _shared
    return _read_page(dataset, index, draw)


def _read_page(dataset: CocoDataset, index: int, draw: Path | None) -> _Page:
    record = dataset.records[index]
    where = f"image {record.image_id} ({record.file_name})"
    page = _Page()

    def add(kind: str, problem: str, action: str) -> None:
        page.faults.append(Fault(kind, where, problem, action))

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
        for kind, fault, action in _ocr_faults(dataset, record.file_name, image.shape[:2]):
            add(kind, fault, action)
    if draw is not None:
        sample = dataset[index]
        picture = draw_regions(
            sample.image,
            sample.boxes,
            [dataset.categories[c].name for c in sample.classes],
            sample.classes.tolist(),
            sample.line_boxes,
            sample.polygons,
        )
        _save(picture, draw / Path(record.file_name.replace("/", "__")).with_suffix(".jpg"))
    return page


def _ocr_faults(
    dataset: CocoDataset, file_name: str, size: tuple[int, ...]
) -> Iterator[tuple[str, str, str]]:
    path = ocr_path(dataset.ocr, file_name)
    try:
        text = read_ocr(path, malformed="skip")
    except InputError as error:
        yield "OCR file missing", str(error), "the page has no text"
        return
    for fault in text.faults:
        yield "malformed OCR", f"{path}: {fault}", "left out"
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


def _report_twins(
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


def _save(picture: Image.Image, path: Path) -> None:
    partial = path.with_name(f".{path.name}.tmp")
    picture.save(partial, "JPEG", quality=90)
    partial.replace(path)
