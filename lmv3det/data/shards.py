"""Data sets in tar files, in the layout of webdataset, for training without a shared disk.

A page is three members with one key: `KEY.png` (or another image), `KEY.json` (its size and COCO
annotations) and `KEY.ocr.json` (its OCR file). `index.json` beside the tar files says where each
member lies, so that pages are read in any order, and a run goes on without reading what it has
passed. webdataset's own reader streams: its order depends on the number of loader processes, and
going on means reading all again, which is why only its layout is kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Literal

import numpy as np

from lmv3det.data.addresses import read_bytes
from lmv3det.data.categories import Category, match_categories
from lmv3det.data.class_map import fold_categories
from lmv3det.data.coco import fit_lines, fit_regions
from lmv3det.data.images import can_be, decode_image
from lmv3det.data.segmentation import check_polygons, outline
from lmv3det.errors import InputError
from lmv3det.files import are_numbers, is_int
from lmv3det.structures import Page, Sample
from lmv3det.text.ocr_json import parse_ocr

INDEX = "index.json"
FORMAT, VERSION = "lmv3det shards", 1
COLUMNS = ("image_id", "width", "height", "regions", "image", "annotations", "ocr")
"""Of the index: a list a shard, one value a page; of the last three, [first byte, bytes]."""
CATEGORIES = "categories"
"""A further list of the index: of each page the ids of its regions' categories, each once. Indices
of older versions lack it."""
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


def expand(pattern: str) -> list[str]:
    """The addresses that `pages-{000..009}.tar` stands for; itself without braces.

    Raises:
        InputError: a range that runs backwards.
    """
    found = _RANGE.search(pattern)
    if found is None:
        return [pattern]
    first, last = found[1], found[2]
    if int(last) < int(first):
        raise InputError(f"{pattern}: the range {found[0]} runs backwards")
    numbers = (str(n).zfill(len(first)) for n in range(int(first), int(last) + 1))
    names = (f"{pattern[: found.start()]}{n}{pattern[found.end() :]}" for n in numbers)
    return [address for name in names for address in expand(name)]


class ShardDataset:
    """Pages of tar files as un-transformed samples, the same as `CocoDataset` gives of the folder
    that they were written from.

    Args:
        pattern: paths or addresses of the tar files, see `expand`. `index.json` lies beside them.
            A process opens the tar files of its own share alone; the others need not be there.
        with_text: give the OCR lines too.
        missing_ocr: a page without OCR is an error, or a page without text (`empty`).
        malformed_ocr: malformed OCR is an error, or its faulty entries are left out (`skip`).
        keep_empty: keep pages without regions.
        least_side: as in `CocoDataset`.
        classes: as in `CocoDataset`.

    Attributes:
        categories: class index → category.

    Raises:
        InputError: an index that cannot be read or lacks a shard; no page; missing OCR.
    """

    def __init__(
        self,
        pattern: str,
        *,
        with_text: bool = False,
        missing_ocr: Literal["error", "empty"] = "error",
        malformed_ocr: Literal["error", "skip"] = "error",
        keep_empty: bool = True,
        least_side: int | None = None,
        classes: str | Mapping[str, str | None] | None = None,
    ) -> None:
        self.least_side = least_side
        self.with_text, self.malformed_ocr = with_text, malformed_ocr
        self.addresses = expand(pattern)
        folder, slash, _ = self.addresses[0].rpartition("/")
        self.index = f"{folder}{slash}{INDEX}"
        content = _read_index(self.index)
        own = [Category(entry["id"], entry["name"]) for entry in content["categories"]]
        self.file_categories = own
        self.ids: dict[int, int | None] = {category.id: category.id for category in own}
        if classes:
            fold = fold_categories(own, classes, self.index)
            self.file_categories, self.ids = fold.categories, fold.ids
        self.use_categories(self.file_categories)
        shards = {shard["name"]: shard for shard in content["shards"]}
        names = [PurePosixPath(address).name for address in self.addresses]
        unknown = [name for name in names if name not in shards]
        if unknown:
            raise InputError(
                f"{self.index}: has no {unknown[0]} (of {pattern}), but {', '.join(shards)[:200]}"
            )
        chosen = [shards[name] for name in names]
        counts = [len(shard["keys"]) for shard in chosen]
        self.keys = [key for shard in chosen for key in shard["keys"]]
        self.shard = np.repeat(np.arange(len(chosen)), counts)
        self.columns = columns = {
            name: np.concatenate([np.array(shard[name], dtype=np.int64) for shard in chosen])
            for name in COLUMNS
        }
        self.categories_of_page: list[list[int]] | None = None
        if all(CATEGORIES in shard for shard in chosen):
            self.categories_of_page = [ids for shard in chosen for ids in shard[CATEGORIES]]
        self.numbers = np.arange(len(self.keys))
        if not keep_empty:
            with_regions = columns["regions"] > 0
            if None in self.ids.values():
                with_regions &= self._classes_of_all().any(axis=1)
            self.numbers = self.numbers[with_regions]
        if not len(self.numbers):
            raise InputError(f"{pattern}: no page in these shards")
        lacking = int((columns["ocr"][self.numbers, 1] < 0).sum())
        if with_text and lacking and missing_ocr == "error":
            raise InputError(
                f"{self.index}: {lacking} of {len(self)} pages have no OCR: write the shards with "
                "--ocr, or set data.missing_ocr=empty to take these pages without text"
            )

    def __len__(self) -> int:
        return len(self.numbers)

    def aspect_ratios(self) -> np.ndarray:
        """N float64, height / width of every page."""
        return self.columns["height"][self.numbers] / self.columns["width"][self.numbers]

    def use_categories(self, categories: Sequence[Category]) -> None:
        """Number the classes as a list does.

        Raises:
            InputError: the shards' categories cannot be matched to the list's.
        """
        mapping = match_categories(categories, self.file_categories)
        self.categories = list(categories)
        self.class_of = {c.id: k for c, k in zip(self.file_categories, mapping, strict=True)}

    def page_classes(self) -> np.ndarray:
        """N×C bool: which classes have regions on each page, crowds left out.

        Raises:
            InputError: the index does not say.
        """
        return self._classes_of_all()[self.numbers]

    def _classes_of_all(self) -> np.ndarray:
        if self.categories_of_page is None:
            raise InputError(
                f"{self.index}: does not say which classes a page has: write the shards again "
                "(lmv3det shards)"
            )
        present = np.zeros((len(self.keys), len(self.categories)), dtype=bool)
        for row, ids in zip(present, self.categories_of_page, strict=True):
            kept = (self.ids[key] for key in ids)
            row[[self.class_of[key] for key in kept if key is not None]] = True
        return present

    def page_size(self, index: int) -> tuple[int, int]:
        """(height, width) of a page."""
        number = self.numbers[index]
        return int(self.columns["height"][number]), int(self.columns["width"][number])

    def share(self, rank: int, world_size: int) -> np.ndarray:
        """The indices of the pages of one process of several: those of every `world_size`-th tar
        file, from the `rank`-th. It is the same in every epoch.

        Raises:
            InputError: there are fewer tar files with pages than processes.
        """
        found = np.flatnonzero(self.shard[self.numbers] % world_size == rank)
        if not len(found):
            raise InputError(
                f"{self.index}: {len(self.addresses)} tar files for {world_size} processes, of "
                f"which number {rank} has no page: write as many shards as there are processes, "
                "or a multiple"
            )
        return found

    def __getitem__(self, index: int) -> Sample:
        """The page as annotated: its image, regions (crowds left out) and, `with_text`, lines.

        Raises:
            InputError: a tar file that cannot be read, or a malformed member.
        """
        number = int(self.numbers[index])
        address, key = self.addresses[self.shard[number]], self.keys[number]
        where = f"{address}: {key}"
        content = self._member(number, "image")
        image = decode_image(content, where, least_side=self.least_side)
        height, width = self.page_size(index)
        if not can_be(image.shape[:2], (height, width), self.least_side):
            raise InputError(
                f"{where}: the image has {image.shape[1]}×{image.shape[0]} pixels, the index says "
                f"{width}×{height}: the tar file is not the one that was indexed"
            )
        image_id = int(self.columns["image_id"][number])
        sample = Sample(image, Page(where, width, height, image_id))
        annotations = self._member(number, "annotations")
        self._add_regions(sample, annotations, f"{where}.json")
        if self.with_text and self.columns["ocr"][number, 1] >= 0:
            lines = self._member(number, "ocr").decode("utf-8-sig", "surrogateescape")
            text = parse_ocr(lines, f"{where}.ocr.json", malformed=self.malformed_ocr)
            sample.lines, sample.line_boxes = text.lines, fit_lines(text, image.shape[:2], 1)
        return sample

    def _member(self, number: int, column: str) -> bytes:
        start, length = self.columns[column][number].tolist()
        return read_bytes(self.addresses[self.shard[number]], start, length)

    def _add_regions(self, sample: Sample, content: bytes, where: str) -> None:
        try:
            entries = [
                entry
                for entry in json.loads(content)["annotations"]
                if not entry.get("iscrowd", 0) and self.ids[entry["category_id"]] is not None
            ]
            boxes = np.zeros((len(entries), 4))
            for box, entry in zip(boxes, entries, strict=True):
                if not (len(entry["bbox"]) == 4 and are_numbers(entry["bbox"])):
                    raise ValueError(f"bbox {entry['bbox']!r:.80}")
                box[:] = entry["bbox"]
                if entry["segmentation"] and not isinstance(entry["segmentation"], dict):
                    check_polygons(entry["segmentation"])
            boxes[:, 2:] += boxes[:, :2]
            sample.classes = np.array(
                [self.class_of[self.ids[entry["category_id"]]] for entry in entries],  # type: ignore[index]
                dtype=np.int64,
            )
            frame = (sample.page.height, sample.page.width)
            outlines = [
                outline(entry["segmentation"] or None, box, *frame)
                for box, entry in zip(boxes, entries, strict=True)
            ]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:160]
            raise InputError(f"{where}: malformed ({reason}); write the shards again") from None
        sample.boxes, sample.polygons = fit_regions(boxes, outlines, frame, sample.image.shape[:2])


def _read_index(address: str) -> dict[str, Any]:
    content = read_bytes(address)
    try:
        index = json.loads(content)
        if index["format"] != FORMAT or index["version"] != VERSION:
            raise ValueError(f"{index['format']!r:.40}, version {index['version']!r:.20}")
        for shard in index["shards"]:
            _check_shard(shard)
        known = {category["id"] for category in index["categories"]}
        for shard in index["shards"]:
            if not known.issuperset(key for ids in shard.get(CATEGORIES, []) for key in ids):
                raise ValueError(f"{shard['name']}: a page has a category that is not listed")
        for category in index["categories"]:
            if not (is_int(category["id"]) and isinstance(category["name"], str)):
                raise ValueError(f"category {category!r:.80}")
        return index
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{address}: not an index of shards, or damaged ({type(error).__name__}: "
            f"{str(error)[:120]}); write it by `lmv3det shards`"
        ) from None


def _check_shard(shard: dict[str, Any]) -> None:
    """Raises ValueError, KeyError or TypeError where a shard of an index is malformed."""
    if not all(isinstance(text, str) for text in (shard["name"], *shard["keys"])):
        raise ValueError(f"{shard['name']!r:.80}: the name and the keys must be texts")
    count = len(shard["keys"])
    for name in COLUMNS:
        values = shard[name]
        parts: Iterator[Any] = iter(values)
        if name in ("image", "annotations", "ocr"):
            if any(len(pair) != 2 for pair in values):
                raise ValueError(f"{shard['name']}: {name} must have [first byte, bytes]")
            parts = (value for pair in values for value in pair)
        if len(values) != count or not all(is_int(value) for value in parts):
            raise ValueError(f"{shard['name']}: {name} must have {count} whole numbers")
    if CATEGORIES in shard:
        lists = shard[CATEGORIES]
        if len(lists) != count or not all(is_int(key) for ids in lists for key in ids):
            raise ValueError(f"{shard['name']}: {CATEGORIES} must have {count} lists of ids")
    if count and min(*shard["width"], *shard["height"]) < 1:
        raise ValueError(f"{shard['name']}: a page without size")
