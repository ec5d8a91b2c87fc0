"""COCO average precision of boxes and masks, and what else follows from the same matches."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from lmv3det.evaluation.tables import COLUMNS

if TYPE_CHECKING:
    from lmv3det.data.categories import Category
    from lmv3det.data.coco import CocoDataset
    from lmv3det.evaluation.classes import ClassMatch

Result = dict[str, Any]
"""A COCO result: image_id, category_id, bbox [x, y, w, h], score, maybe segmentation (RLE)."""

KINDS = ("bbox", "segm")
IOU_50, IOU_75 = 0, 5  # places among COCO's IoU thresholds 0.50, 0.55 … 0.95
CONFIDENT = 0.5
"""Score from which a false detection counts as a mistake of its page."""


@dataclass
class Evaluation:
    """Scores of a detector on a data set.

    Attributes:
        metrics: `{"bbox": {"AP", "AP50", "AP75", "AR100", "per_class": {name: {the same, "count"}},
            "segm": …}`, 0..100; None where a class has no ground truth. `count` is the number of
            regions, crowds left out.
        detections: COCO results of all pages, with the data set's own ids.
        precision: by kind, 10 IoU thresholds × 101 recalls × classes, 0..1; -1 without truth.
        names: class names, in the order of the third axis of `precision`.
        mistakes: image id → missed regions and confident false detections at IoU 0.5.
        thresholds: class name → the score threshold of the best F1 of its boxes at IoU 0.5;
            classes that are never found are left out.
        left_out: classes that were not scored: `{"checkpoint": names, "data": names}`.
    """

    metrics: dict[str, dict[str, Any]]
    detections: list[Result]
    precision: dict[str, np.ndarray] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    mistakes: dict[int, int] = field(default_factory=dict)
    thresholds: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, list[str]] = field(default_factory=dict)


def score(
    dataset: CocoDataset,
    results: Sequence[Result],
    kinds: Sequence[str] = KINDS,
    classes: ClassMatch | None = None,
) -> Evaluation:
    """COCO average precision of results on the pages of a data set, by pycocotools.

    Args:
        dataset: the truth. A region without segmentation has its box as mask; crowds match any
            number of detections and count neither way.
        results: with the data set's image and category ids; for `segm` each with a segmentation.
        kinds: of `bbox` and `segm`.
        classes: which of the data set's classes are scored, and which as one; None: all.
    """
    from pycocotools.cocoeval import COCOeval

    scored = classes.scored if classes is not None else dataset.file_categories
    if classes is not None:
        number = classes.of_category
    else:
        number = {category.id: k for k, category in enumerate(scored)}
    names = _unique_names(scored)
    # pycocotools takes 0 for "no match" and ids into float64 arrays: it gets numbers from 1.
    image_number = {record.image_id: k for k, record in enumerate(dataset.records, start=1)}
    truth = [
        {
            **_with_mask(annotation),
            "image_id": image_number[record.image_id],
            "category_id": number[annotation["category_id"]] + 1,
        }
        for record in dataset.records
        for annotation in record.annotations
        if annotation["category_id"] in number
    ]
    found = [
        {
            **result,
            "image_id": image_number[result["image_id"]],
            "category_id": number[result["category_id"]] + 1,
            "area": result["bbox"][2] * result["bbox"][3],
            "iscrowd": 0,
        }
        for result in results
        if result["category_id"] in number
    ]
    counts = [0] * len(scored)
    for annotation in truth:
        counts[annotation["category_id"] - 1] += not annotation["iscrowd"]
    evaluation = Evaluation({}, list(results), names=names)
    if classes is not None:
        evaluation.left_out = classes.left_out
    truth_coco, found_coco = _coco(dataset, len(scored), truth), _coco(dataset, len(scored), found)
    for kind in kinds:
        coco = COCOeval(truth_coco, found_coco, kind)
        coco.params.imgIds = list(image_number.values())
        coco.params.catIds = list(range(1, len(scored) + 1))
        coco.params.areaRng, coco.params.areaRngLbl = coco.params.areaRng[:1], ["all"]
        with contextlib.redirect_stdout(io.StringIO()):
            coco.evaluate()
            coco.accumulate()
        precision = coco.eval["precision"][..., 0, -1]  # IoU thresholds × recalls × classes
        recall = coco.eval["recall"][..., 0, -1]  # IoU thresholds × classes
        evaluation.precision[kind] = precision
        evaluation.metrics[kind] = {
            **_summary(precision, recall),
            "per_class": {
                name: {**_summary(precision[..., k], recall[..., k]), "count": counts[k]}
                for k, name in enumerate(names)
            },
        }
        if kind == "bbox":
            matches = [match for match in coco.evalImgs if match is not None]
            image_ids = [record.image_id for record in dataset.records]
            evaluation.mistakes = _mistakes(matches, image_ids)
            evaluation.thresholds = _thresholds(matches, names, counts)
    return evaluation


def best_threshold(scores: np.ndarray, correct: np.ndarray, regions: int) -> float | None:
    """The score threshold with the best F1 = 2 · correct / (detections + regions).

    Args:
        scores: N scores of a class's detections, 0..1.
        correct: N bool, whether each found a region.
        regions: how many there are.

    Returns:
        The least score that is kept, to 4 decimals rounded down; of several as good ones the
        highest. None where no detection is correct.
    """
    if not np.any(correct):
        return None
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], np.cumsum(correct[order])
    f1 = 2 * hits / (np.arange(1, len(scores) + 1) + regions)
    f1[:-1][scores[:-1] == scores[1:]] = -1  # a threshold keeps all of the same score or none
    return float(np.floor(scores[np.argmax(f1)] * 1e4) / 1e4)


def _coco(dataset: CocoDataset, classes: int, annotations: list[dict[str, Any]]) -> Any:
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = {
        "images": [
            {"id": number, "width": record.width, "height": record.height}
            for number, record in enumerate(dataset.records, start=1)
        ],
        "categories": [{"id": number} for number in range(1, classes + 1)],
        "annotations": [
            {**annotation, "id": number} for number, annotation in enumerate(annotations, start=1)
        ],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def _with_mask(annotation: dict[str, Any]) -> dict[str, Any]:
    if annotation["segmentation"] is not None:
        return annotation
    x, y, w, h = annotation["bbox"]
    return {**annotation, "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]]}


def _unique_names(categories: Sequence[Category]) -> list[str]:
    """The names, with the id after those that several categories have."""
    names = [category.name for category in categories]
    return [f"{c.name} ({c.id})" if names.count(c.name) > 1 else c.name for c in categories]


def _summary(precision: np.ndarray, recall: np.ndarray) -> dict[str, float | None]:
    values = (precision, precision[IOU_50], precision[IOU_75], recall)
    return {
        key: 100 * float(some[some > -1].mean()) if (some > -1).any() else None
        for key, some in zip(COLUMNS, values, strict=True)
    }


def _mistakes(matches: Iterable[dict[str, Any]], image_ids: Sequence[int]) -> dict[int, int]:
    """Image id → missed regions and confident false detections at IoU 0.5.

    Args:
        matches: pycocotools' `evalImgs`, one for each class and page that has regions or
            detections; `image_id` is a page's number from 1.
        image_ids: of the pages.
    """
    counts: dict[int, int] = {}
    for match in matches:
        missed = (match["gtMatches"][IOU_50] == 0) & (np.asarray(match["gtIgnore"]) == 0)
        false = (match["dtMatches"][IOU_50] == 0) & ~match["dtIgnore"][IOU_50].astype(bool)
        false &= np.asarray(match["dtScores"]) >= CONFIDENT
        key = image_ids[match["image_id"] - 1]
        counts[key] = counts.get(key, 0) + int(missed.sum() + false.sum())
    return counts


def _thresholds(
    matches: Iterable[dict[str, Any]], names: Sequence[str], regions: Sequence[int]
) -> dict[str, float]:
    """`best_threshold` of each class, from pycocotools' `evalImgs`."""
    scores: list[list[np.ndarray]] = [[] for _ in names]
    correct: list[list[np.ndarray]] = [[] for _ in names]
    for match in matches:
        counted = ~match["dtIgnore"][IOU_50].astype(bool)
        scores[match["category_id"] - 1].append(np.asarray(match["dtScores"])[counted])
        correct[match["category_id"] - 1].append(match["dtMatches"][IOU_50][counted] > 0)
    thresholds = {}
    for k, name in enumerate(names):
        if not scores[k]:
            continue
        best = best_threshold(np.concatenate(scores[k]), np.concatenate(correct[k]), regions[k])
        if best is not None:
            thresholds[name] = best
    return thresholds
