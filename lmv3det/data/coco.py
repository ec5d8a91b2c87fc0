"""COCO instances JSON to samples, with every entry checked."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lmv3det.data.categories import Category, match_categories, read_categories
from lmv3det.data.images import read_image, read_orientation, read_size, turn_back
from lmv3det.data.issues import DataReport
from lmv3det.data.segmentation import check_segmentation, outline
from lmv3det.errors import InputError
from lmv3det.files import is_int, is_number
from lmv3det.structures import Page, Sample
from lmv3det.text.ocr_json import OcrPage, ocr_path, read_ocr

log = logging.getLogger(__name__)

_ROUNDING = 1.0
"""A box may stick out of the page by this many pixels without being called a issue."""


@dataclass(frozen=True)
class Record:
    """A page of the annotation file.

    Attributes:
        image_id: COCO id.
        file_name: as the annotations say, relative to the image folder.
        path: of the image file.
        width: as the annotations say (the frame of the annotations), pixels.
        height: likewise.
        packed: the annotations as JSON text: few objects to copy into loader processes.
    """

    image_id: int
    file_name: str
    path: Path
    width: int
    height: int
    packed: bytes

    @property
    def annotations(self) -> list[dict[str, Any]]:
        """The usable COCO annotations, crowds included: `id` (unique, from 1), `category_id`,
        `bbox` (clipped to the page), `area`, `iscrowd`, and `segmentation` (None where there is
        none that can be used), in the frame of `width` and `height`."""
        return json.loads(self.packed)


class CocoDataset:
    """Pages of a COCO file as un-transformed samples.

    The file is read and checked once. Faulty entries are collected in `report`; with `strict` they
    are an error, otherwise the entry is left out or mended as the report says, and one warning
    with the counts is logged.

    An image whose size is not the stored one is noticed when it is loaded: an error with `strict`,
    otherwise the annotations are taken as pixels of the stored size and scaled to the file's. Where
    the stored size is that of the raster before its EXIF rotation, that raster is taken, because
    it is what was annotated. `Sample.page` always has the stored size: detections in it compare
    with the annotations.

    Args:
        annotations: COCO instances JSON.
        images: folder that `file_name` is relative to.
        ocr: folder of the OCR files; None: `OCR` beside the image folder.
        with_text: read the OCR files too.
        strict: issues are an error.
        missing_ocr: a page without OCR file is an error, or a page without text (`empty`).
        malformed_ocr: a malformed OCR file is an error, or its faulty entries are left out
            (`skip`).
        keep_empty: keep pages without regions.
        categories: classes in the order of a model's class indices, which the file's categories
            are matched to (`match_categories`); None: the file's own, by id.
        quiet: log no warning.

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
        quiet: bool = False,
    ) -> None:
        self.annotations, self.images = Path(annotations), Path(images)
        self.ocr = Path(ocr) if ocr is not None else self.images.parent / "OCR"
        self.with_text, self.strict = with_text, strict
        self.missing_ocr, self.malformed_ocr = missing_ocr, malformed_ocr
        self.quiet = quiet
        self.report = DataReport()
        self._warned: set[str] = set()
        # Images that are reported as left out; their annotations then go without a word.
        self._left_out: set[int] = set()
        content = _read_json(self.annotations)
        if not self.images.is_dir():
            raise InputError(f"{self.images}: no such image folder")
        self.file_categories = read_categories(content, self.annotations, self.report)
        self.categories = list(categories) if categories is not None else self.file_categories
        mapping = match_categories(self.categories, self.file_categories)
        self.class_of = {c.id: k for c, k in zip(self.file_categories, mapping, strict=True)}
        pages = self._read_images(content["images"])
        regions = self._read_annotations(content["annotations"], pages)
        self.records = [
            Record(*page, json.dumps(regions[page[0]]).encode())
            for page in pages.values()
            if keep_empty or any(not a["iscrowd"] for a in regions[page[0]])
        ]
        if not self.records:
            why = self.report.summary() if self.report else "it lists none"
            raise InputError(f"{self.annotations}: no usable page: {why}")
        if with_text:
            self._find_ocr()
        if self.report and strict:
            raise InputError(
                f"{self.annotations}: {self.report.summary()}; mend them (`lmv3det check` lists "
                "all), or set data.strict=false to skip them"
            )
        if self.report and not quiet:
            log.warning("%s: %s", self.annotations, self.report.summary())

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
        regions = [a for a in record.annotations if not a["iscrowd"]]
        boxes_xywh = np.array([a["bbox"] for a in regions], dtype=np.float64).reshape(-1, 4)
        boxes = np.concatenate([boxes_xywh[:, :2], boxes_xywh[:, :2] + boxes_xywh[:, 2:]], axis=1)
        outlines = [
            outline(a["segmentation"], box, *frame) for a, box in zip(regions, boxes, strict=True)
        ]
        if frame != image.shape[:2]:
            scale = np.array([image.shape[1] / frame[1], image.shape[0] / frame[0]])
            boxes = boxes * np.tile(scale, 2)
            outlines = [[polygon * scale for polygon in polygons] for polygons in outlines]
        sample = Sample(
            image=image,
            page=Page(str(record.path), record.width, record.height, record.image_id),
            boxes=boxes,
            classes=np.array([self.class_of[a["category_id"]] for a in regions], dtype=np.int64),
            polygons=outlines,
        )
        if self.with_text:
            text = self._read_ocr(record)
            sample.lines = text.lines
            sample.line_boxes = _fit_lines(text, image.shape[:2], orientation)
        return sample

    def _load(self, record: Record) -> tuple[np.ndarray, int]:
        """The image, and the EXIF orientation that was left unapplied (1: none)."""
        image = read_image(record.path)
        height, width = image.shape[:2]
        if (height, width) == (record.height, record.width):
            return image, 1
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
        path = ocr_path(self.ocr, record.file_name)
        if self.missing_ocr == "empty" and not path.exists():
            return OcrPage(np.zeros((0, 4)))
        page = read_ocr(path, malformed=self.malformed_ocr)
        if page.skipped:
            self._warn_once("ocr", f"{path}: {page.skipped} malformed entries left out")
        return page

    def _warn_once(self, key: str, message: str) -> None:
        if key not in self._warned and not self.quiet:
            self._warned.add(key)
            log.warning("%s (said once for each loader process)", message)

    def _read_images(self, entries: list[Any]) -> dict[int, tuple[int, str, Path, int, int]]:
        pages: dict[int, tuple[int, str, Path, int, int]] = {}
        listed: dict[Path, set[str]] = {}
        files: dict[str, int] = {}
        add = self.report.add
        for number, entry in enumerate(entries):
            where = f"images[{number}]"
            if not isinstance(entry, dict):
                add("malformed image", where, f"{entry!r:.80}", "left out")
                continue
            image_id, name = entry.get("id"), entry.get("file_name")
            if not is_int(image_id) or not isinstance(name, str) or not name:
                add("malformed image", where, f"id {image_id!r}, file_name {name!r}", "left out")
                continue
            where = f"image {image_id} ({name})"
            path = self.images / name
            if path.parent not in listed:
                listed[path.parent] = _names(path.parent)
            if image_id in pages:
                add("duplicate image id", where, "the id is taken", "left out")
            elif path.name not in listed[path.parent]:
                add("missing image", where, f"no file {path}", "left out")
                self._left_out.add(image_id)
            else:
                if name in files:
                    add("file listed twice", where, f"image {files[name]} is the same file", "kept")
                files.setdefault(name, image_id)
                width, height = entry.get("width"), entry.get("height")
                if not (is_int(width) and is_int(height) and width > 0 and height > 0):
                    problem = f"width {width!r}, height {height!r}"
                    try:
                        height, width = read_size(path)
                    except InputError as error:
                        add("unreadable image", where, str(error), "left out")
                        self._left_out.add(image_id)
                        continue
                    add("size missing", where, problem, f"the file's {width}×{height} taken")
                pages[image_id] = (image_id, name, path, width, height)
        return pages

    def _read_annotations(
        self, entries: list[Any], pages: dict[int, tuple[int, str, Path, int, int]]
    ) -> dict[int, list[dict[str, Any]]]:
        regions: dict[int, list[dict[str, Any]]] = {image_id: [] for image_id in pages}
        numbers = [e.get("id") for e in entries if isinstance(e, dict)]
        next_id = max((n for n in numbers if is_int(n)), default=0) + 1
        seen: set[int] = set()
        add = self.report.add
        for number, entry in enumerate(entries):
            if not isinstance(entry, dict):
                add("malformed annotation", f"annotations[{number}]", f"{entry!r:.80}", "left out")
                continue
            own, image_id = entry.get("id"), entry.get("image_id")
            where = f"annotation {own!r}" if own is not None else f"annotations[{number}]"
            if not is_int(image_id) or image_id not in pages:
                if image_id not in self._left_out:
                    add("unknown image id", where, f"image_id {image_id!r}", "left out")
                continue
            where += f" of image {image_id} ({pages[image_id][1]})"
            width, height = pages[image_id][3:]
            category = entry.get("category_id")
            if not is_int(category) or category not in self.class_of:
                add("unknown category", where, f"category_id {category!r}", "left out")
                continue
            bbox = self._check_box(entry.get("bbox"), width, height, where)
            if bbox is None:
                continue
            if is_int(own) and own in seen:
                add("duplicate annotation id", where, "the id is taken", "given another")
            if not is_int(own) or own in seen or own < 1:
                own, next_id = max(next_id, 1), max(next_id, 1) + 1
            seen.add(own)
            segmentation = entry.get("segmentation") or None
            if segmentation is not None:
                try:
                    check_segmentation(segmentation, height, width)
                except ValueError as error:
                    add("malformed segmentation", where, str(error), "the box taken")
                    segmentation = None
            area = entry.get("area")
            regions[image_id].append(
                {
                    "id": own,
                    "image_id": image_id,
                    "category_id": category,
                    "bbox": bbox,
                    "area": area if is_number(area) and area > 0 else bbox[2] * bbox[3],
                    "iscrowd": int(bool(entry.get("iscrowd", 0))),
                    "segmentation": segmentation,
                }
            )
        return regions

    def _check_box(self, bbox: Any, width: int, height: int, where: str) -> list[float] | None:
        """x y w h clipped to the page, or None where nothing is left."""
        add = self.report.add
        if not (isinstance(bbox, list) and len(bbox) == 4 and all(map(is_number, bbox))):
            add("malformed box", where, f"bbox {bbox!r:.80}, not [x, y, w, h]", "left out")
            return None
        x, y, w, h = bbox
        if not (w > 0 and h > 0):
            add("empty box", where, f"bbox {bbox}", "left out")
            return None
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)
        if not (x1 > x0 and y1 > y0):
            add("box off the page", where, f"bbox {bbox}, page {width}×{height}", "left out")
            return None
        outside = max(-x, -y, x + w - width, y + h - height)
        if outside <= 0:
            return bbox
        if outside > _ROUNDING:
            add("box sticks out", where, f"bbox {bbox}, page {width}×{height}", "clipped")
        return [x0, y0, x1 - x0, y1 - y0]

    def _find_ocr(self) -> None:
        """Check that every page has an OCR file of its own."""
        names = _names(self.ocr)
        owners: dict[str, str] = {}
        missing, folders = [], dict[str, None]()
        for record in self.records:
            name = ocr_path(self.ocr, record.file_name).name
            where = f"image {record.image_id} ({record.file_name})"
            other = owners.setdefault(name, record.file_name)
            if other != record.file_name:
                problem = f"{name} is also that of {other}"
                self.report.add("OCR file shared", where, problem, "used for both")
            if name not in names:
                missing.append(name)
                folders[str((self.images / record.file_name).parent)] = None
        if not missing:
            return
        message = (
            f"{self.ocr}: {len(missing)} of {len(self.records)} pages have no OCR file "
            f"({', '.join(missing[:3])}{', …' if len(missing) > 3 else ''})"
        )
        if self.missing_ocr == "error":
            raise InputError(
                f"{message}; make them with `lmv3det ocr {' '.join(folders)} --out {self.ocr}`, "
                "or set data.missing_ocr=empty to take these pages without text"
            )
        if not self.quiet:
            log.warning("%s; they are taken without text", message)


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


def _fit_lines(text: OcrPage, size: tuple[int, int], orientation: int) -> np.ndarray:
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


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path}: no such annotation file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({error})") from None
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise InputError(
                f"{path}: has no list {key!r}; it must be COCO instances JSON with images, "
                "annotations and categories"
            )
    return content


def _names(folder: Path) -> set[str]:
    return set(os.listdir(folder)) if folder.is_dir() else set()
