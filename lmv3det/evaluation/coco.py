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
            regions, crowds left out. Of boxes `precision` too, where there are regions: the
            fraction of detections that are correct at IoU 0.5, from `thresholds` on.
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
    problem = Problem(dataset, results, classes)
    evaluation = Evaluation({}, list(results), names=problem.names)
    if classes is not None:
        evaluation.left_out = classes.left_out
    for kind in kinds:
        coco = problem.match(kind)
        with contextlib.redirect_stdout(io.StringIO()):
            coco.accumulate()
        precision = coco.eval["precision"][..., 0, -1]  # IoU thresholds × recalls × classes
        recall = coco.eval["recall"][..., 0, -1]  # IoU thresholds × classes
        evaluation.precision[kind] = precision
        evaluation.metrics[kind] = {
            **_summary(precision, recall),
            "per_class": {
                name: {**_summary(precision[..., k], recall[..., k]), "count": problem.counts[k]}
                for k, name in enumerate(problem.names)
            },
        }
        if kind == "bbox":
            matches = [match for match in coco.evalImgs if match is not None]
            image_ids = [record.image_id for record in dataset.records]
            evaluation.mistakes = _mistakes(matches, image_ids)
            evaluation.thresholds, precisions = _thresholds(matches, problem.names, problem.counts)
            if precisions:
                scores = evaluation.metrics[kind]
                scores["precision"] = 100 * float(np.mean(list(precisions.values())))
                for name, share in precisions.items():
                    scores["per_class"][name]["precision"] = 100 * share
    return evaluation


class Problem:
    """Truth and results as pycocotools takes them.

    It takes 0 for "no match" and puts ids into float64 arrays, so pages, classes and regions get
    numbers from 1 in place of their ids. The area of a region is that of its box as a fraction of
    the page.

    Args:
        dataset: the truth.
        results: COCO results with the data set's ids.
        classes: as for `score`.

    Attributes:
        names: of the classes.
        counts: regions of each class, crowds left out.
        truth: the annotations; number k from 1 is `truth[k - 1]`.
        found: the results, likewise, without those of classes that are not scored.
    """

    def __init__(
        self, dataset: CocoDataset, results: Sequence[Result], classes: ClassMatch | None = None
    ) -> None:
        scored = classes.scored if classes is not None else dataset.file_categories
        if classes is not None:
            number = classes.of_category
        else:
            number = {category.id: k for k, category in enumerate(scored)}
        self.names = _unique_names(scored)
        self.pages = [(record.width, record.height) for record in dataset.records]
        page = {record.image_id: k for k, record in enumerate(dataset.records, start=1)}
        self.truth = [
            self._numbered(_with_mask(annotation), page[record.image_id], number)
            for record in dataset.records
            for annotation in record.annotations
            if annotation["category_id"] in number
        ]
        self.found = [
            self._numbered({**result, "iscrowd": 0}, page[result["image_id"]], number)
            for result in results
            if result["category_id"] in number
        ]
        self.counts = [0] * len(scored)
        for annotation in self.truth:
            self.counts[annotation["category_id"] - 1] += not annotation["iscrowd"]

    def _numbered(self, entry: dict[str, Any], page: int, number: dict[int, int]) -> dict[str, Any]:
        width, height = self.pages[page - 1]
        area = entry["bbox"][2] * entry["bbox"][3] / (width * height)
        category = number[entry["category_id"]] + 1
        return {**entry, "image_id": page, "category_id": category, "area": area}

    def match(
        self, kind: str = "bbox", areas: Sequence[tuple[float, float]] = ((0, np.inf),)
    ) -> Any:
        """A `COCOeval` that has matched detections with regions.

        Args:
            kind: bbox or segm.
            areas: ranges of areas as fractions of the page; regions outside of one are ignored.
        """
        from pycocotools.cocoeval import COCOeval

        coco = COCOeval(self._coco(self.truth), self._coco(self.found), kind)
        coco.params.imgIds = list(range(1, len(self.pages) + 1))
        coco.params.catIds = list(range(1, len(self.names) + 1))
        coco.params.areaRng = [list(area) for area in areas]
        coco.params.areaRngLbl = [str(k) for k in range(len(areas))]
        with contextlib.redirect_stdout(io.StringIO()):
            coco.evaluate()
        return coco

    def _coco(self, annotations: list[dict[str, Any]]) -> Any:
        from pycocotools.coco import COCO

        coco = COCO()
        coco.dataset = {
            "images": [
                {"id": number, "width": width, "height": height}
                for number, (width, height) in enumerate(self.pages, start=1)
            ],
            "categories": [{"id": number} for number in range(1, len(self.names) + 1)],
            "annotations": [
                {**annotation, "id": number}
                for number, annotation in enumerate(annotations, start=1)
            ],
        }
        with contextlib.redirect_stdout(io.StringIO()):
            coco.createIndex()
        return coco


def best_threshold(scores: np.ndarray, correct: np.ndarray, regions: int) -> float | None:
    """The score threshold with the best F1 = 2 · correct / (detections + regions).

    Args:
        scores: N scores of a class's detections, 0..1.
        correct: N bool, whether each found a region.
        regions: how many there are.

    Returns:
        A number of 4 decimals just below the least score that is kept; of several as good ones the
        highest. None where no detection is correct.
    """
    if not np.any(correct):
        return None
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], np.cumsum(correct[order])
    f1 = 2 * hits / (np.arange(1, len(scores) + 1) + regions)
    f1[:-1][scores[:-1] == scores[1:]] = -1  # a threshold keeps all of the same score or none
    return max(0.0, float(np.ceil(scores[np.argmax(f1)] * 1e4 - 1) / 1e4))


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
) -> tuple[dict[str, float], dict[str, float]]:
    """`best_threshold` of each class, and of each class with regions the fraction of detections
    from there on that are correct (0 without any), from pycocotools' `evalImgs`."""
    scores: list[list[np.ndarray]] = [[] for _ in names]
    correct: list[list[np.ndarray]] = [[] for _ in names]
    for match in matches:
        counted = ~match["dtIgnore"][IOU_50].astype(bool)
        scores[match["category_id"] - 1].append(np.asarray(match["dtScores"])[counted])
        correct[match["category_id"] - 1].append(match["dtMatches"][IOU_50][counted] > 0)
    thresholds, precisions = {}, {}
    for k, name in enumerate(names):
        if regions[k]:
            precisions[name] = 0.0
        if not scores[k]:
            continue
        found, right = np.concatenate(scores[k]), np.concatenate(correct[k])
        best = best_threshold(found, right, regions[k])
        if best is not None:
            thresholds[name] = best
            if regions[k]:
                precisions[name] = float(right[found >= best].mean())
    return thresholds, precisions
