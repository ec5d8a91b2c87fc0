"""The `annotations` of a COCO file, checked against its pages and categories.

What one entry says by itself is checked while it is read, what it says about others when all are
there: the lists of a COCO file come in any order.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from lmv3det.data.categories import Category
from lmv3det.data.coco_pages import PageList
from lmv3det.data.issues import DataReport
from lmv3det.data.packed import PackedWriter
from lmv3det.data.segmentation import bounds, check_polygons, run_lengths
from lmv3det.data.shapes import turned_box
from lmv3det.data.suspicions import suspect_classes, suspect_units
from lmv3det.files import are_numbers, as_int, as_number, is_number

NONE, POLYGONS, MASK = 0, 1, 2
"""Kinds of segmentation."""
_ROUNDING = 1.0
"""A box may stick out of the page by this many pixels without being called an issue."""
_MAX_ID = 2**62
"""Annotations of higher ids are given others, for which there must be room."""
_NO_OBJECT, _BAD_IMAGE, _BAD_CATEGORY, _BAD_BOX, _NO_ID, _BOX_FOUND, _BAD_CROWD = (
    1, 2, 4, 8, 16, 32, 64
)  # fmt: skip


class AnnotationList:
    """The annotations of a COCO file, as arrays in the order of the file."""

    def __init__(self, writer: PackedWriter) -> None:
        self.file, self.place = writer.file, writer.align()
        self.start = self.place
        self.flags, self.kinds, self.crowd = array("b"), array("b"), array("b")
        self.own, self.image, self.category = array("q"), array("q"), array("q")
        self.box, self.area, self.ends = array("d"), array("d"), array("q")
        # What is said of entries whose values are no numbers: (number, flag) → text.
        self.texts: dict[tuple[int, int], str] = {}
        self.outlines: dict[int, str] = {}
        # Numbers that were written as text: how many, and the first.
        self.as_text, self.first_text = 0, ""

    def extend(self, entries: Iterable[Any]) -> None:
        for entry in entries:
            self._add(entry)

    def _add(self, entry: Any) -> None:
        number, flags = len(self.flags), 0
        if not isinstance(entry, dict):
            self.texts[number, _NO_OBJECT] = f"{entry!r:.80}"
            entry, flags = {}, _NO_OBJECT
        get = entry.get
        own, image_id, category, box = get("id"), get("image_id"), get("category_id"), get("bbox")
        # The types first: this is done millions of times.
        if not (
            type(own) is type(image_id) is type(category) is int
            and -_MAX_ID < own < _MAX_ID
            and -_MAX_ID < image_id < _MAX_ID
            and -_MAX_ID < category < _MAX_ID
        ):
            own, image_id, category, flags = self._no_ids(number, own, image_id, category, flags)
        segmentation = get("segmentation")
        if not (isinstance(box, list) and len(box) == 4 and are_numbers(box)):
            box, flags = self._other_box(number, box, segmentation, flags)
        attributes = get("attributes")
        if attributes and not segmentation and isinstance(attributes, dict):
            turn = attributes.get("rotation")
            if is_number(turn) and turn % 360 and not flags & _BAD_BOX:  # as CVAT writes it
                corners = turned_box(box, turn)
                low, size = corners.min(axis=0), np.ptp(corners, axis=0)
                box = (*low.tolist(), *size.tolist())
                segmentation = [corners.ravel().tolist()]
        crowd = get("iscrowd", 0)
        if type(crowd) is not int or not 0 <= crowd <= 1:
            crowd, flags = self._other_crowd(number, crowd, flags)
        area = get("area")
        self.own.append(own)
        self.image.append(image_id)
        self.category.append(category)
        self.box.extend(box)
        self.area.append(area if is_number(area) and area > 0 else 0)
        self.crowd.append(crowd)
        self.kinds.append(self._segmentation(number, segmentation))
        self.ends.append(self.place - self.start)
        self.flags.append(flags)

    def _no_ids(
        self, number: int, own: Any, image_id: Any, category: Any, flags: int
    ) -> tuple[int, int, int, int]:
        """The three ids with 0 for what is none, and the flags that say so."""
        found = []
        for value, flag in ((own, _NO_ID), (image_id, _BAD_IMAGE), (category, _BAD_CATEGORY)):
            whole = as_int(value)
            if whole is None:
                flags |= flag
                if flag != _NO_ID or value is not None:
                    self.texts[number, flag] = f"{value!r:.80}"
            elif isinstance(value, str):
                self._told_as_text(number, value)
            found.append(whole or 0)
        own, image_id, category = found
        return own, image_id, category, flags

    def _other_box(
        self, number: int, box: Any, segmentation: Any, flags: int
    ) -> tuple[Sequence[float], int]:
        """The box of an entry whose `bbox` is no four numbers: of texts, or of its segmentation."""
        if isinstance(box, list) and len(box) == 4:
            values = [as_number(value) for value in box]
            if are_numbers(values):
                self._told_as_text(number, box)
                return values, flags  # type: ignore[return-value]
        self.texts[number, _BAD_BOX] = f"{box!r:.80}"
        found = bounds(segmentation)
        if found is None:
            return (0, 0, 0, 0), flags | _BAD_BOX
        return found, flags | _BOX_FOUND

    def _other_crowd(self, number: int, crowd: Any, flags: int) -> tuple[int, int]:
        """`iscrowd` of an entry where it is neither 0 nor 1."""
        if crowd is None or isinstance(crowd, bool):
            return int(bool(crowd)), flags
        value = as_int(crowd)
        if value in (0, 1):
            if isinstance(crowd, str):
                self._told_as_text(number, crowd)
            return value, flags
        self.texts[number, _BAD_CROWD] = f"{crowd!r:.80}"
        return 0, flags | _BAD_CROWD

    def _told_as_text(self, number: int, value: Any) -> None:
        self.as_text += 1
        self.first_text = self.first_text or f"annotations[{number}] has {value!r:.80}"

    def used(self) -> set[int]:
        """The category ids of the entries."""
        return set(np.unique(np.asarray(self.category)).tolist())

    def rename(self, same: dict[int, int]) -> None:
        """Give entries of one category another: id → id."""
        category = np.asarray(self.category)  # a view
        for key, other in same.items():
            category[category == key] = other

    def _segmentation(self, number: int, segmentation: Any) -> int:
        if not segmentation:
            return NONE
        if isinstance(segmentation, dict):
            content = json.dumps(segmentation).encode("ascii")
            self._write(content + b" " * (-len(content) % 8))  # what follows may be float64
            return MASK
        try:
            check_polygons(segmentation)
        except ValueError as error:
            self.outlines[number] = str(error)
            return NONE
        values = array("d", [len(segmentation), *map(len, segmentation)])
        for flat in segmentation:
            values.extend(flat)
        self._write(values.tobytes())
        return POLYGONS

    def _write(self, content: bytes) -> None:
        self.file.write(content)
        self.place += len(content)

    def write(
        self,
        writer: PackedWriter,
        pages: PageList,
        categories: Sequence[Category],
        report: DataReport,
    ) -> None:
        """Check the entries against pages and categories, and write the usable ones by page."""
        # Views of the lists, not copies: they are large.
        flags, own, image, category, area = map(
            np.asarray, (self.flags, self.own, self.image, self.category, self.area)
        )
        box = np.asarray(self.box).reshape(-1, 4)
        page = _places(image, pages.number)
        page[(flags & _BAD_IMAGE) > 0] = -1
        sizes = np.array(pages.sizes, dtype=np.float64).reshape(-1, 2)
        clipped, outside, off = _clip(box, sizes, page)
        silent = np.isin(image, list(pages.left_out)) & ((flags & _BAD_IMAGE) == 0)
        known = np.isin(category, [c.id for c in categories]) & ((flags & _BAD_CATEGORY) == 0)
        found = _Found(self, pages, page, report)
        # An entry is left out for the first thing that is wrong with it.
        left = np.ones(len(flags), dtype=bool)
        for order, (kind, wrong, action) in enumerate(
            (
                ("malformed annotation", (flags & _NO_OBJECT) > 0, "left out"),
                ("unknown image id", page < 0, "left out"),
                ("unknown category", ~known, "left out"),
                ("malformed box", (flags & _BAD_BOX) > 0, "left out"),
                ("empty box", ~(box[:, 2:] > 0).all(axis=1), "left out"),
                ("box off the page", off, "left out"),
            )
        ):
            told = left & wrong
            if kind == "unknown image id":
                told &= ~silent
            found.add(order, kind, told, action)
            left &= ~wrong
        found.add(6, "box sticks out", left & (outside > _ROUNDING), "clipped")
        found.add(7, "malformed box", left & ((flags & _BOX_FOUND) > 0), "that of its segmentation")
        found.add(8, "malformed iscrowd", left & ((flags & _BAD_CROWD) > 0), "taken as 0")
        placed = known & (page >= 0) & ((flags & (_BAD_BOX | _NO_OBJECT)) == 0)
        suspicions = DataReport()
        suspect_units(box[placed], sizes[page[placed]], suspicions)
        del box, placed
        own = self._give_ids(own, left, flags, found)
        kinds = self._check_segmentations(left, page, sizes, found)
        found.tell()
        report.issues += suspicions.issues
        if self.as_text:
            problem = f"{self.as_text:,} numbers are texts ({self.first_text})"
            report.suspect("texts for numbers", "annotations", problem, "read as numbers")
        crowd = np.asarray(self.crowd) > 0
        of_regions, of_crowds = (
            dict(zip(*(part.tolist() for part in np.unique(ids, return_counts=True)), strict=True))
            for ids in (category[left & ~crowd], category[left & crowd])
        )
        if pages.names:
            suspect_classes(categories, of_regions, of_crowds, report)
        kept = np.flatnonzero(left)
        kept = kept[np.argsort(page[kept], kind="stable")]
        counts = np.bincount(page[kept], minlength=len(sizes))
        del page, image
        area = np.where(area > 0, area, clipped[:, 2] * clipped[:, 3])
        ends = np.asarray(self.ends)
        starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
        writer.name("content", "u1", self.start, self.place - self.start)
        writer.add("region_start", np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))
        writer.add("id", own[kept])
        writer.add("category_id", category[kept])
        writer.add("iscrowd", np.asarray(self.crowd)[kept].astype(np.int64))
        writer.add("bbox", clipped[kept].ravel())
        writer.add("area", area[kept])
        writer.add("segmentation", kinds[kept])
        writer.add("content_start", starts[kept])
        writer.add("content_stop", ends[kept])

    def _give_ids(
        self, own: np.ndarray, left: np.ndarray, flags: np.ndarray, found: _Found
    ) -> np.ndarray:
        """Ids that are unique and at least 1: those of the file where they are so."""
        usable = ((flags & (_NO_ID | _NO_OBJECT)) == 0) & (own < _MAX_ID)
        highest = int(own[usable].max(initial=0))
        candidates = np.flatnonzero(left & usable & (own >= 1))
        first = np.zeros(len(own), dtype=bool)
        first[candidates[np.unique(own[candidates], return_index=True)[1]]] = True
        again = np.zeros(len(own), dtype=bool)
        again[candidates] = True
        found.add(9, "duplicate annotation id", again & ~first, "given another")
        new = np.flatnonzero(left & ~first)
        own = own.copy()
        own[new] = max(highest + 1, 1) + np.arange(len(new))
        return own

    def _check_segmentations(
        self, left: np.ndarray, page: np.ndarray, sizes: np.ndarray, found: _Found
    ) -> np.ndarray:
        kinds = np.array(self.kinds, dtype=np.int64)
        masks = np.flatnonzero(left & (kinds == MASK)).tolist()
        self.file.flush()
        for number in masks:
            start = self.ends[number - 1] if number else 0
            mask = json.loads(self._read(start, self.ends[number]))
            width, height = map(int, sizes[page[number]])
            try:
                if not run_lengths(mask, height, width)[1::2].any():
                    raise ValueError("the mask is empty")
            except ValueError as error:
                self.outlines[number] = str(error)
                kinds[number] = NONE
        bad = np.zeros(len(kinds), dtype=bool)
        bad[list(self.outlines)] = True
        found.add(10, "malformed segmentation", bad & left, "the box taken")
        return kinds

    def _read(self, start: int, stop: int) -> bytes:
        end = self.file.tell()
        self.file.seek(self.start + start)
        content = self.file.read(stop - start)
        self.file.seek(end)
        return content


class _Found:
    """Issues of annotations, told in the order of the file."""

    def __init__(
        self, entries: AnnotationList, pages: PageList, page: np.ndarray, report: DataReport
    ) -> None:
        self.entries, self.pages, self.page, self.report = entries, pages, page, report
        self.found: list[tuple[int, int, str, str]] = []

    def add(self, order: int, kind: str, wrong: np.ndarray, action: str) -> None:
        self.found += [(number, order, kind, action) for number in np.flatnonzero(wrong).tolist()]

    def tell(self) -> None:
        for number, _, kind, action in sorted(self.found):
            self.report.add(kind, self._where(number, kind), self._problem(number, kind), action)

    def _where(self, number: int, kind: str) -> str:
        entries = self.entries
        flags = entries.flags[number]
        if kind == "malformed annotation":
            return f"annotations[{number}]"
        if (number, _NO_ID) in entries.texts:
            where = f"annotation {entries.texts[number, _NO_ID]}"
        else:
            where = (
                f"annotations[{number}]" if flags & _NO_ID else f"annotation {entries.own[number]}"
            )
        page = int(self.page[number])
        if page < 0:
            return where
        return f"{where} of image {entries.image[number]} ({self.pages.names[page]})"

    def _problem(self, number: int, kind: str) -> str:
        entries, texts = self.entries, self.entries.texts
        if kind == "malformed annotation":
            return texts[number, _NO_OBJECT]
        if kind == "unknown image id":
            return f"image_id {texts.get((number, _BAD_IMAGE), entries.image[number])}"
        if kind == "unknown category":
            return f"category_id {texts.get((number, _BAD_CATEGORY), entries.category[number])}"
        if kind == "malformed box":
            return f"bbox {texts[number, _BAD_BOX]}, not [x, y, w, h]"
        if kind == "malformed iscrowd":
            return f"iscrowd {texts[number, _BAD_CROWD]}, not 0 or 1"
        if kind == "duplicate annotation id":
            return "the id is taken"
        if kind == "malformed segmentation":
            return entries.outlines[number]
        values = entries.box[4 * number : 4 * number + 4]
        box = [int(value) if value.is_integer() else value for value in values]
        if kind == "empty box":
            return f"bbox {box}"
        width, height = self.pages.sizes[2 * int(self.page[number]) :][:2]
        return f"bbox {box}, page {width}×{height}"


def _clip(
    boxes: np.ndarray, sizes: np.ndarray, page: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes clipped to their pages. One axis at a time: there can be millions.

    Args:
        boxes: R×4 x, y, w, h.
        sizes: N×2 width, height.
        page: R, the place in `sizes`; -1 where there is none.

    Returns:
        R×4, where nothing was to be clipped as before; by how many pixels each stuck out (R,
        below 0: it lies within); and which have nothing on the page (R bool).
    """
    clipped = boxes.copy()
    outside, off = np.full(len(boxes), -1.0), np.zeros(len(boxes), dtype=bool)
    for axis in (0, 1) if len(sizes) else ():
        low, limit = boxes[:, axis], sizes[page, axis]
        high = low + boxes[:, axis + 2]
        np.maximum(outside, np.maximum(-low, high - limit), out=outside)
        low, high = np.maximum(low, 0), np.minimum(high, limit)
        off |= ~(high > low)
        clipped[:, axis], clipped[:, axis + 2] = low, high - low
    np.copyto(clipped, boxes, where=(outside <= 0)[:, None])
    return clipped, outside, off


def _places(values: np.ndarray, places: dict[int, int]) -> np.ndarray:
    """The place of each value (int64), -1 where it has none."""
    if not places:
        return np.full(len(values), -1, dtype=np.int64)
    keys = np.array(list(places), dtype=np.int64)
    order = np.argsort(keys)
    at = np.minimum(np.searchsorted(keys, values, sorter=order), len(keys) - 1)
    found = order[at]
    return np.where(keys[found] == values, found, -1)
