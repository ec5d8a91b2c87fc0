"""COCO instances JSON to samples, with every entry checked."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from lmv3det.data.categories import Category, match_categories
from lmv3det.data.class_map import fold_categories
from lmv3det.data.images import can_be, read_image, read_orientation, read_size, turn_back
from lmv3det.data.index_cache import open_index
from lmv3det.data.issues import DataReport, Issue, NothingUsable
from lmv3det.data.ocr_files import find_ocr
from lmv3det.data.records import Record, Records, pages_with_regions
from lmv3det.errors import InputError
from lmv3det.structures import Page, Sample
from lmv3det.text.ocr_json import OcrPage, ocr_path, other_image, read_ocr

log = logging.getLogger(__name__)

COMPARED = 16
"""Pages whose OCR files are compared with their images when a data set is opened; the others are
when they are read."""


class CocoDataset:
    """Pages of a COCO file as un-transformed samples.

    The file is read and checked once. Faulty entries are collected in `report`; with `strict` they
    are an error, otherwise the entry is left out or fixed as the report says, and one warning
    with the counts is logged. Suspicions (see `Issue`) are a warning each.

    An image whose size is not the stored one is noticed when it is loaded: an error with `strict`,
    otherwise the annotations are taken as pixels of the stored size and scaled to the file's. Where
    the stored size is that of the raster before its EXIF rotation, that raster is taken, because
    it is what was annotated. `Sample.page` always has the stored size: detections in it compare
    with the annotations.

    Args:
        annotations: COCO instances JSON.
        images: folder that `file_name` is relative to.
        ocr: folder of the OCR files; None: `OCR` next to the image folder.
        with_text: read the OCR files too.
        strict: issues are an error.
        missing_ocr: a page without OCR file is an error, or a page without text (`empty`).
        malformed_ocr: a malformed OCR file, or one that says it is of another image, is an error,
            or it is left out: of a malformed one the faulty entries
            (`skip`).
        keep_empty: keep pages without regions.
        categories: classes in the order of a model's class indices, which the file's categories
            are matched to (`match_categories`); None: the file's own, by id.
        classes: the file's class name → another one, or None to leave its regions out; or the name
            of a folding (`fold_categories`). All that follows, `file_categories` too, is as if the
            file had these classes.
        quiet: log no warning.
        least_side: decode a JPEG at a half, a quarter or an eighth of its size where its shortest
            side then still has this many pixels; None decodes all of it.

    Attributes:
        categories: class index → category.
        file_categories: the file's own categories by id.
        class_of: the file's category id → class index.
        records: the pages.
        report: the issues found.

    Raises:
        InputError: an unreadable file, or one that is no COCO file; no usable page; issues
            with `strict`; missing OCR files; categories that cannot be matched.
    """

    def __init__(
        self,
        annotations: str | os.PathLike,
        images: str | os.PathLike,
        ocr: str | os.PathLike | None = None,
        *,
        with_text: bool = False,
        strict: bool = False,
        missing_ocr: Literal["error", "empty"] = "error",
        malformed_ocr: Literal["error", "skip"] = "error",
        keep_empty: bool = True,
        categories: Sequence[Category] | None = None,
        classes: str | Mapping[str, str | None] | None = None,
        quiet: bool = False,
        least_side: int | None = None,
    ) -> None:
        self.least_side = least_side
        self.annotations, self.images = Path(annotations), Path(images)
        self.ocr = Path(ocr) if ocr is not None else self.images.parent / "OCR"
        self.with_text, self.strict = with_text, strict
        self.missing_ocr, self.malformed_ocr = missing_ocr, malformed_ocr
        self.quiet = quiet
        self.report = DataReport()
        self._warned: set[str] = set()
        self._compared: set[int] = set()
        index = open_index(self.annotations, self.images)
        self.report.issues += [Issue(*values) for values in index.header["issues"]]
        self.file_categories = [Category(*values) for values in index.header["categories"]]
        ids = None
        if classes:
            fold = fold_categories(self.file_categories, classes, self.annotations)
            self.file_categories, ids = fold.categories, fold.ids
        self.use_categories(self.file_categories if categories is None else categories)
        numbers = np.arange(len(index.image_id))
        if not keep_empty:
            numbers = numbers[pages_with_regions(index, ids)]
        self.records = Records(index, self.images, numbers, ids)
        if not len(numbers):
            why = self.report.summary() if self.report else "it lists none"
            hint = _other_folder(self.images, index.header["missing"])
            message = f"{self.annotations}: no usable page: {why}{hint}"
            raise NothingUsable(message, self.report)
        if with_text:
            missing = find_ocr(self.records, self.images, self.ocr, self.report)
            if missing is not None and missing_ocr == "error":
                raise InputError(
                    f"{missing.message}; make them with {missing.command}, or set "
                    "data.missing_ocr=empty to take these pages without text"
                )
            if missing is not None and not quiet:
                log.warning("%s; they are taken without text", missing.message)
            if malformed_ocr == "error":
                self._compare_some()
        faults = self.report.faults
        if faults and strict:
            raise InputError(
                f"{self.annotations}: {faults.summary()}; fix them (`lmv3det check` lists "
                "all), or set data.strict=false to skip them"
            )
        if not quiet:
            if faults:
                log.warning("%s: %s", self.annotations, faults.summary())
            for suspicion in self.report.suspicions:
                log.warning("%s: %s", self.annotations, suspicion)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Sample:
        """The page as annotated: its image, regions (crowds left out) and, `with_text`, lines.

        Raises:
            InputError: an unreadable image or OCR file; a size that is not the stored one, with
                `strict`.
        """
        record = self.records[index]
        image, orientation = self._load(record)
        frame = (record.height, record.width)
        boxes, categories, outlines = record.regions.without_crowds(*frame)
        boxes, outlines = fit_regions(boxes, outlines, frame, image.shape[:2])
        sample = Sample(
            image=image,
            page=Page(str(record.path), record.width, record.height, record.image_id),
            boxes=boxes,
            classes=np.array([self.class_of[key] for key in categories], dtype=np.int64),
            polygons=outlines,
        )
        if self.with_text:
            text = self._read_ocr(record)
            sample.lines = text.lines
            sample.line_boxes = fit_lines(text, image.shape[:2], orientation)
        return sample

    def use_categories(self, categories: Sequence[Category]) -> None:
        """Number the classes as a list does.

        Raises:
            InputError: the file's categories cannot be matched to the list's.
        """
        mapping = match_categories(categories, self.file_categories)
        self.categories = list(categories)
        self.class_of = {c.id: k for c, k in zip(self.file_categories, mapping, strict=True)}

    def page_classes(self) -> np.ndarray:
        """N×C bool: which classes have regions on each page, crowds left out."""
        return self.records.page_classes(self.class_of, len(self.categories))

    def share(self, rank: int, world_size: int) -> np.ndarray | None:
        """None: every process draws from all pages."""
        return None

    def aspect_ratios(self) -> np.ndarray:
        """N float64, height / width of every page."""
        return self.records.aspect_ratios()

    def page_size(self, index: int) -> tuple[int, int]:
        """(height, width) of a page's file.

        Raises:
            InputError: it cannot be read.
        """
        return read_size(self.records[index].path)

    def _load(self, record: Record) -> tuple[np.ndarray, int]:
        """The image, and the EXIF orientation that was left unapplied (1: none)."""
        image = read_image(record.path, least_side=self.least_side)
        if can_be(image.shape[:2], (record.height, record.width), self.least_side):
            return image, 1
        image = read_image(record.path)
        height, width = image.shape[:2]
        problem = size_problem(record)
        if self.strict:
            raise InputError(
                f"{record.path}: {problem}; correct width and height of image {record.image_id} "
                f"in {self.annotations}, or set data.strict=false to scale the annotations"
            )
        self._warn_once("size", f"{record.path}: {problem}; such annotations are fitted")
        if (width, height) == (record.height, record.width):
            orientation = read_orientation(record.path)
            if orientation >= 5:
                return read_image(record.path, upright=False), orientation
        return image, 1

    def _read_ocr(self, record: Record) -> OcrPage:
        path = ocr_path(self.ocr, record.file_name, self.images)
        if self.missing_ocr == "empty" and not path.exists():
            return OcrPage(np.zeros((0, 4)))
        page = read_ocr(path, malformed=self.malformed_ocr)
        if page.skipped:
            self._warn_once("ocr", f"{path}: {page.skipped} malformed entries left out")
        if page.source is not None and record.image_id not in self._compared:
            problem = other_image(page, record.path)
            if problem and self.malformed_ocr == "skip":
                self._warn_once("other", f"{path}: {problem}; such pages are taken without text")
                return OcrPage(np.zeros((0, 4)))
            if problem:
                raise InputError(
                    f"{path}: {problem}; `lmv3det ocr {record.path.parent} --out NEW_FOLDER` reads "
                    f"the text of {record.path}"
                )
            self._compared.add(record.image_id)
        return page

    def _compare_some(self) -> None:
        """Read some OCR files, so that a folder of another data set's is told of at once."""
        for number in np.unique(np.linspace(0, len(self) - 1, COMPARED).astype(int)).tolist():
            self._read_ocr(self.records[number])

    def _warn_once(self, key: str, message: str) -> None:
        if key not in self._warned and not self.quiet:
            self._warned.add(key)
            log.warning("%s (said once for each loader process)", message)


def size_problem(record: Record) -> str | None:
    """What is wrong with a page's stored size, or None where it is the (upright) file's.

    Raises:
        InputError: the image cannot be read.
    """
    height, width = read_size(record.path)
    if (height, width) == (record.height, record.width):
        return None
    problem = f"the file has {width}×{height} pixels, the annotations say "
    problem += f"{record.width}×{record.height}"
    if read_size(record.path, upright=False) == (record.height, record.width):
        problem += f", its size before the EXIF rotation {read_orientation(record.path)}"
    return problem


def fit_regions(
    boxes: np.ndarray,
    outlines: list[list[np.ndarray]],
    frame: tuple[int, int],
    size: tuple[int, int],
) -> tuple[np.ndarray, list[list[np.ndarray]]]:
    """Boxes and outlines of a page of (height, width) `frame` in pixels of an image of `size`."""
    if frame == size:
        return boxes, outlines
    scale = np.array([size[1] / frame[1], size[0] / frame[0]])
    return boxes * np.tile(scale, 2), [[part * scale for part in parts] for parts in outlines]


def fit_lines(text: OcrPage, size: tuple[int, int], orientation: int) -> np.ndarray:
    """OCR boxes in the pixels of an image of (height, width) `size`."""
    if not len(text.boxes):
        return np.zeros((0, 4))
    boxes, height, width = text.boxes, text.height, text.width
    if orientation != 1 and (height > width) != (size[0] > size[1]):
        boxes = turn_back(boxes, (height, width), orientation)
        height, width = width, height
    if (height, width) == size:
        return boxes
    return boxes * np.tile([size[1] / width, size[0] / height], 2)


def _other_folder(images: Path, missing: Sequence[str]) -> str:
    """A hint where the images lie below or above the folder that was given."""
    if not missing:
        return ""
    for folder in (images.parent, images.parent.parent, *sorted(images.glob("*/"))[:20]):
        if (folder / missing[0]).is_file():
            return (
                f"; {folder / missing[0]} is there: give {folder} as the image folder (--images, "
                "or data.train.images and data.val.images)"
            )
    return ""
