"""COCO results of any tool, read and checked."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lmv3det.data.issues import DataReport
from lmv3det.data.suspicions import suspect_units
from lmv3det.errors import InputError
from lmv3det.evaluation.coco import Result
from lmv3det.files import is_number, read_json

if TYPE_CHECKING:
    from lmv3det.data.coco import CocoDataset

log = logging.getLogger(__name__)


def read_results(path: Path, dataset: CocoDataset) -> list[Result]:
    """Boxes of a COCO results file: a list of `image_id`, `category_id`, `bbox` x y w h, `score`.

    What can be scored, but looks like a mistake, is a warning each: scores outside of 0 to 1, pages
    without a result, results that are there twice, boxes as corners or in another unit.

    Args:
        path: the file.
        dataset: whose ids the results have.

    Raises:
        InputError: no such file, no JSON, an entry that is none or that fits no page or class.
    """
    content = read_json(path)
    if not isinstance(content, list):
        raise InputError(f"{path}: not COCO results, which are a list of detections")
    pages = {record.image_id for record in dataset.records}
    categories = {category.id for category in dataset.file_categories}
    results = []
    for number, entry in enumerate(content):
        problem = _problem(entry, pages, categories)
        if problem:
            raise InputError(f"{path}: [{number}]: {problem}")
        results.append({key: entry[key] for key in ("image_id", "category_id", "bbox", "score")})
    for warning in _warnings(results, dataset):
        log.warning("%s: %s", path, warning)
    return results


def _warnings(results: list[Result], dataset: CocoDataset) -> Iterator[str]:
    """What results look like that can be scored, and are perhaps not meant so."""
    if not results:
        yield "no detection at all"
        return
    count = f"of {len(results):,} detections"
    scores = np.array([result["score"] for result in results], dtype=np.float64)
    outside = (scores < 0) | (scores > 1)
    if outside.any():
        yield (
            f"{int(outside.sum()):,} {count} have a score below 0 or above 1 ({scores.min():g} to "
            f"{scores.max():g}): of its order all AP is made, but thresholds and calibration "
            "expect a probability"
        )
    known = {(r["image_id"], r["category_id"], *r["bbox"], r["score"]) for r in results}
    if len(known) < len(results):
        yield (
            f"{len(results) - len(known):,} {count} are there twice, of equal page, class, box "
            "and score, and count as false: was a file joined to itself?"
        )
    sizes = {record.image_id: (record.width, record.height) for record in dataset.records}
    with_some = {result["image_id"] for result in results}
    missing = [key for key in sizes if key not in with_some]
    if missing:
        shown = ", ".join(map(str, missing[:5])) + (", …" if len(missing) > 5 else "")
        yield (
            f"{len(missing):,} of {len(sizes):,} pages have no detection (image {shown}): are the "
            "results of other pages, or of a part?"
        )
    boxes = np.array([result["bbox"] for result in results], dtype=np.float64)
    report = DataReport()
    suspect_units(boxes, np.array([sizes[result["image_id"]] for result in results]), report)
    for suspicion in report.issues:
        yield suspicion.problem


def _problem(entry: Any, pages: set[int], categories: set[int]) -> str:
    """What is wrong with an entry; empty if nothing is."""
    if not isinstance(entry, dict):
        return f"{entry!r:.80} is no detection with image_id, category_id, bbox and score"
    for key, known, what in (
        ("image_id", pages, "page"), ("category_id", categories, "category")
    ):  # fmt: skip
        value = entry.get(key)
        if type(value) is not int or value not in known:
            return f"{key} {value!r:.80} is that of no {what} in the annotations"
    bbox = entry.get("bbox")
    if not (isinstance(bbox, list) and len(bbox) == 4 and all(map(is_number, bbox))):
        return f"bbox {bbox!r:.80} is not [x, y, w, h]"
    if bbox[2] < 0 or bbox[3] < 0:
        return f"bbox {bbox!r:.80} has a negative width or height"
    if not is_number(entry.get("score")):
        return f"score {entry.get('score')!r:.80} is no number"
    return ""
