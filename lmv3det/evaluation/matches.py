"""Which detection found which region, as arrays, and average precision of parts of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lmv3det.evaluation.coco import Problem

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)


@dataclass
class Matches:
    """Detections and regions of all pages; T IoU thresholds 0.50, 0.55 … 0.95.

    Attributes:
        page: N places of the detections' pages in the data set.
        label: N classes.
        score: N, 0..1.
        box: N×4 x0 y0 x1 y1 pixels.
        correct: T×N bool, whether it found a region of its class.
        ignored: T×N bool, counted neither way (it found a crowd, or is outside the area range).
        region: N, the region found at IoU 0.5 (a place in the arrays below); -1: none.
        region_page: G.
        region_label: G.
        region_box: G×4.
        region_ignored: G bool: crowds, and regions outside the area range.
        classes: how many there are.
    """

    page: np.ndarray
    label: np.ndarray
    score: np.ndarray
    box: np.ndarray
    correct: np.ndarray
    ignored: np.ndarray
    region: np.ndarray
    region_page: np.ndarray
    region_label: np.ndarray
    region_box: np.ndarray
    region_ignored: np.ndarray
    classes: int

    def of_pages(self, chosen: np.ndarray) -> Matches:
        """The part on some pages (a bool for each page). `region` is of no use in it."""
        kept, regions = chosen[self.page], chosen[self.region_page]
        return replace(
            self,
            **{name: getattr(self, name)[kept] for name in ("page", "label", "score", "box")},
            correct=self.correct[:, kept],
            ignored=self.ignored[:, kept],
            region=self.region[kept],
            **{
                f"region_{name}": getattr(self, f"region_{name}")[regions]
                for name in ("page", "label", "box", "ignored")
            },
        )

    def counts(self) -> np.ndarray:
        """Regions of each class that are not ignored."""
        return np.bincount(self.region_label[~self.region_ignored], minlength=self.classes)

    def average_precision(self) -> np.ndarray:
        """T×classes, 0..1; NaN where a class has no region."""
        counts = self.counts()
        values = np.full((len(self.correct), self.classes), np.nan)
        for k in np.flatnonzero(counts):
            own = self.label == k
            values[:, k] = average_precision(
                self.score[own], self.correct[:, own], self.ignored[:, own], int(counts[k])
            )
        return values


def collect(problem: Problem, areas: Sequence[tuple[float, float]]) -> list[Matches]:
    """Match the boxes of all pages; one `Matches` for each range of areas.

    Args:
        problem: truth and results.
        areas: ranges as fractions of the page.
    """
    coco = problem.match("bbox", areas)
    return [_matches(problem, coco.evalImgs, list(area)) for area in areas]


def _matches(problem: Problem, evaluated: list[dict[str, Any] | None], area: list) -> Matches:
    thresholds = len(IOU_THRESHOLDS)
    ids: list[int] = []
    correct, ignored, regions = [], [], []
    region_ignored = np.ones(len(problem.truth), dtype=bool)
    for match in evaluated:
        if match is None or match["aRng"] != area:
            continue
        ids += match["dtIds"]
        found = np.asarray(match["dtMatches"]).reshape(thresholds, -1)
        correct.append(found > 0)
        ignored.append(np.asarray(match["dtIgnore"]).reshape(found.shape).astype(bool))
        regions.append(found[0].astype(np.int64) - 1)
        numbers = np.asarray(match["gtIds"], dtype=np.int64) - 1
        region_ignored[numbers] = np.asarray(match["gtIgnore"]).astype(bool)
    detections = [problem.found[number - 1] for number in ids]
    page, label, box = _columns(detections)
    region_page, region_label, region_box = _columns(problem.truth)
    none = np.zeros((thresholds, 0), dtype=bool)
    return Matches(
        page=page,
        label=label,
        score=np.array([d["score"] for d in detections], dtype=np.float64),
        box=box,
        correct=np.concatenate([none, *correct], axis=1),
        ignored=np.concatenate([none, *ignored], axis=1),
        region=np.concatenate([np.zeros(0, dtype=np.int64), *regions]),
        region_page=region_page,
        region_label=region_label,
        region_box=region_box,
        region_ignored=region_ignored,
        classes=len(problem.names),
    )


def _columns(entries: Sequence[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    page = np.array([entry["image_id"] for entry in entries], dtype=np.int64) - 1
    label = np.array([entry["category_id"] for entry in entries], dtype=np.int64) - 1
    box = np.array([entry["bbox"] for entry in entries], dtype=np.float64).reshape(-1, 4)
    return page, label, np.concatenate([box[:, :2], box[:, :2] + box[:, 2:]], axis=1)


def average_precision(
    scores: np.ndarray, correct: np.ndarray, ignored: np.ndarray, regions: int
) -> np.ndarray:
    """COCO's average precision: the mean over 101 recalls of the best precision from each on.

    Args:
        scores: N.
        correct: T×N bool, one row an IoU threshold.
        ignored: T×N bool.
        regions: how many there are, at least 1.

    Returns:
        T values, 0..1.
    """
    order = np.argsort(-scores, kind="mergesort")
    correct, ignored = correct[:, order], ignored[:, order]
    hits = (correct & ~ignored).cumsum(axis=1)
    false = (~correct & ~ignored).cumsum(axis=1)
    precision = hits / np.maximum(hits + false, 1)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    best = np.concatenate([best, np.zeros((len(best), 1))], axis=1)  # 0 beyond the last recall
    recall = hits / regions
    places = [np.searchsorted(row, RECALLS, side="left") for row in recall]
    return np.array([row[place].mean() for row, place in zip(best, places, strict=True)])
