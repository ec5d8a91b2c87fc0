"""COCO results of any tool, read and checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmv3det.errors import InputError
from lmv3det.evaluation.coco import Result
from lmv3det.files import is_number, read_json

if TYPE_CHECKING:
    from lmv3det.data.coco import CocoDataset


def read_results(path: Path, dataset: CocoDataset) -> list[Result]:
    """Boxes of a COCO results file: a list of `image_id`, `category_id`, `bbox` x y w h, `score`.

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
    return results


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
