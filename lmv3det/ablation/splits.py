"""The pages of an ablation: which are trained on, which are held back, and their tokenizer."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lmv3det.config import Config, SplitConfig
from lmv3det.data.coco import CocoDataset, Record
from lmv3det.errors import InputError
from lmv3det.files import write_json
from lmv3det.text.ocr_json import ocr_path, read_ocr
from lmv3det.text.train_tokenizer import train_tokenizer

log = logging.getLogger(__name__)

ANNOTATIONS, IMAGES, OCR = "annotations.json", "images", "OCR"
MAX_ENTRIES = 8000
"""Of a tokenizer that is trained here."""


@dataclass(frozen=True)
class Split:
    """Pages to train on and pages held back.

    Attributes:
        train: where the training pages are.
        val: where the held-back pages are.
        pages: `{"train": number, "val": number, "digest": of names, regions and classes}`: two
            splits with the same digest are the same.
    """

    train: SplitConfig
    val: SplitConfig
    pages: dict[str, Any]

    def held_back(self) -> CocoDataset:
        """The held-back pages, for scoring."""
        assert self.val.annotations is not None and self.val.images is not None
        return CocoDataset(self.val.annotations, self.val.images, self.val.ocr, quiet=True)


def data_folder(folder: Path, option: str = "--data") -> SplitConfig:
    """The files of a data set folder as `lmv3det synthetic` writes one.

    Raises:
        InputError: there is no such folder, or it holds no annotations or images.
    """
    for path in (folder / ANNOTATIONS, folder / IMAGES):
        if not path.exists():
            raise InputError(
                f"{option} {folder}: {path} does not exist; give a folder with {ANNOTATIONS}, "
                f"{IMAGES}/ and {OCR}/, as `lmv3det synthetic` writes one"
            )
    return SplitConfig(str(folder / ANNOTATIONS), str(folder / IMAGES), str(folder / OCR))


def split_pages(data: SplitConfig, fraction: float, seed: int, out: Path) -> Split:
    """Hold back some pages of a data set, drawn by a seed.

    Copies of a page (files of the same content) stay on one side.

    Args:
        data: the data set.
        fraction: of the pages to hold back; at least one page is on either side.
        seed: of the draw, which depends on the file names and nothing else.
        out: folder that `train.json` and `val.json` are written to.

    Raises:
        InputError: the data cannot be used, or has too few pages.
    """
    assert data.annotations is not None and data.images is not None
    dataset = CocoDataset(data.annotations, data.images, data.ocr)
    groups: dict[str, list[Record]] = defaultdict(list)
    contents = file_contents(dataset.records)
    for record in sorted(dataset.records, key=lambda record: (record.file_name, record.image_id)):
        groups[contents[record.path]].append(record)
    if not 0 < fraction < 1:
        raise InputError(f"--val-fraction is {fraction}: give a number between 0 and 1")
    if len(groups) < 2:
        raise InputError(
            f"{data.annotations}: {len(groups)} page cannot be split into pages to train on and "
            "pages held back; give more, or held-back pages by --val DIR"
        )
    pages = list(groups.values())
    count = min(max(1, round(fraction * len(pages))), len(pages) - 1)
    held = np.random.default_rng(seed).permutation(len(pages))[:count].tolist()
    val_ids = {record.image_id for number in held for record in pages[number]}
    train_ids = {record.image_id for record in dataset.records} - val_ids
    content = json.loads(Path(data.annotations).read_text(encoding="utf-8-sig"))
    sides = []
    for name, ids in (("train", train_ids), ("val", val_ids)):
        path = out / f"{name}.json"
        write_json(path, _subset(content, ids))
        sides.append(SplitConfig(str(path), data.images, data.ocr))
    return _split(*sides)


def given_split(train: SplitConfig, val: SplitConfig) -> Split:
    """Two data sets, one to train on and one held back.

    Raises:
        InputError: one cannot be used, or a page is in both.
    """
    records = []
    for side in (train, val):
        assert side.annotations is not None and side.images is not None
        records.append(CocoDataset(side.annotations, side.images, side.ocr, quiet=True).records)
    contents = file_contents([*records[0], *records[1]])
    known = {contents[record.path]: record for record in records[0]}
    both = [(known[contents[r.path]], r) for r in records[1] if contents[r.path] in known]
    if both:
        first, second = both[0]
        raise InputError(
            f"{len(both)} of {len(records[1])} held-back pages are trained on too, such as "
            f"{second.path} (= {first.path}): take them out of {train.annotations} or of "
            f"{val.annotations}"
        )
    return _split(train, val)


def file_contents(records: Iterable[Record]) -> dict[Path, str]:
    """Page file → a key that only files of the same content share. Files of a size that no other
    file has are not read."""
    by_size: dict[int, list[Path]] = defaultdict(list)
    for path in {record.path for record in records}:
        by_size[path.stat().st_size].append(path)
    keys = {}
    for size, paths in by_size.items():
        for path in paths:
            alone = len(paths) == 1
            keys[path] = str(size) if alone else hashlib.sha256(path.read_bytes()).hexdigest()
    return keys


def _subset(content: dict[str, Any], ids: set[int]) -> dict[str, Any]:
    def of(key: str, field: str) -> list[dict[str, Any]]:
        return [e for e in content[key] if isinstance(e, dict) and _in(e.get(field), ids)]

    return {
        "images": of("images", "id"),
        "annotations": of("annotations", "image_id"),
        "categories": content["categories"],
    }


def _in(value: Any, ids: set[int]) -> bool:
    return isinstance(value, int) and value in ids


def _split(train: SplitConfig, val: SplitConfig) -> Split:
    pages: dict[str, Any] = {}
    entries = []
    for name, side in (("train", train), ("val", val)):
        assert side.annotations is not None and side.images is not None
        dataset = CocoDataset(side.annotations, side.images, side.ocr, quiet=True)
        pages[name] = len(dataset)
        names = {category.id: category.name for category in dataset.file_categories}
        for record in dataset.records:
            regions = sorted(
                [names[a["category_id"]], *(round(value) for value in a["bbox"])]
                for a in record.annotations
            )
            entries.append([name, Path(record.file_name).name, regions])
    entries.sort()
    pages["digest"] = hashlib.sha256(json.dumps(entries).encode()).hexdigest()[:16]
    return Split(train, val, pages)


def tokenizer_of_pages(out: Path, split: Split, config: Config, vocab_size: int) -> Path:
    """A tokenizer trained on the OCR files of the training pages, or the one from before.

    It works on characters, so that rare ones are unknown tokens.

    Args:
        out: its folder.
        split: whose training pages are read.
        config: `data.missing_ocr` and `data.malformed_ocr` are read.
        vocab_size: entries at most.

    Raises:
        InputError: OCR files that are missing or faulty, or hold no text.
    """
    made_from = {"pages": split.pages["digest"], "vocab_size": vocab_size}
    note = out / "made_from.json"
    if note.is_file() and json.loads(note.read_text(encoding="utf-8")) == made_from:
        return out
    size = train_tokenizer(_lines(split.train, config), out, vocab_size, "char_bpe")
    write_json(note, made_from)
    log.info(
        "no text.tokenizer is given: one of %d entries is trained on the OCR files of the %d "
        "training pages and kept in %s",
        size,
        split.pages["train"],
        out,
    )
    return out


def _lines(side: SplitConfig, config: Config) -> Iterator[str]:
    assert side.annotations is not None and side.images is not None
    dataset = CocoDataset(
        side.annotations,
        side.images,
        side.ocr,
        with_text=True,
        missing_ocr=config.data.missing_ocr,
        malformed_ocr=config.data.malformed_ocr,
        quiet=True,
    )
    for record in dataset.records:
        path = ocr_path(dataset.ocr, record.file_name, dataset.images)
        if config.data.missing_ocr == "empty" and not os.path.exists(path):
            continue
        yield from read_ocr(path, malformed=config.data.malformed_ocr).lines
