"""What a report says of a run: scores by size and page, calibration, confusions, mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lmv3det.evaluation.coco import IOU_50, Evaluation, Problem, Result
from lmv3det.evaluation.matches import Matches, collect
from lmv3det.evaluation.mistakes import (
    CODES,
    FOUND,
    IGNORED,
    KINDS,
    MEANT,
    Mistakes,
    by_page,
    iou_matrix,
    sort_mistakes,
)

if TYPE_CHECKING:
    from lmv3det.data.coco import CocoDataset
    from lmv3det.evaluation.classes import ClassMatch

SIZES = {
    "small, up to 1 % of the page": (0.0, 0.01),
    "medium, 1 to 10 %": (0.01, 0.1),
    "large, above 10 %": (0.1, np.inf),
}
"""Ranges of a region's area as a fraction of its page."""
PAGE_GROUPS = {"up to 5": (0, 5), "6 to 10": (6, 10), "11 to 20": (11, 20), "over 20": (21, 10**9)}
"""Pages by how many regions they have."""
BINS = 10
DEFAULT_THRESHOLD = 0.5
"""For classes that no threshold was found for."""


@dataclass
class Group:
    """A part of the regions or pages and its AP, 0..100 (None without regions)."""

    name: str
    ap: float | None
    regions: int
    pages: int | None = None


@dataclass
class Bin:
    """Detections with scores in a range: how many, their mean score, the fraction correct."""

    low: float
    high: float
    count: int
    score: float | None
    correct: float | None


@dataclass
class Analysis:
    """A run's results on a data set.

    Attributes:
        name: of the run.
        evaluation: scores, thresholds, curves.
        matches: detections and regions.
        mistakes: their kinds and costs.
        thresholds: by class, in the order of `evaluation.names`; from these scores on, detections
            count in `confusion` and `of_page`.
        by_size: AP of regions of several sizes.
        by_count: AP on pages with few and many regions.
        calibration: scores against the fraction that is correct, in ten bins.
        calibration_error: mean difference of the two, weighted by the bins' counts, 0..1.
        confusion: (classes + 1)×(classes + 1) counts, truth × prediction; background last.
        of_page: kind of mistake → pages counts.
    """

    name: str
    evaluation: Evaluation
    matches: Matches
    mistakes: Mistakes
    thresholds: np.ndarray
    by_size: list[Group]
    by_count: list[Group]
    calibration: list[Bin]
    calibration_error: float | None
    confusion: np.ndarray
    of_page: dict[str, np.ndarray]

    @property
    def total(self) -> np.ndarray:
        """Mistakes of each page."""
        return np.sum(list(self.of_page.values()), axis=0)

    def kept(self) -> np.ndarray:
        """N bool: detections from their class's threshold on, those that count neither way out."""
        ignored = self.mistakes.kind == CODES.index(IGNORED)
        return (self.matches.score >= self.thresholds[self.matches.label]) & ~ignored


def analyse(
    dataset: CocoDataset,
    results: Sequence[Result],
    evaluation: Evaluation,
    classes: ClassMatch | None,
    name: str,
) -> Analysis:
    """Analyse the boxes of a run.

    Args:
        dataset: the truth.
        results: COCO results.
        evaluation: `score` of them.
        classes: as for `score`.
        name: of the run.
    """
    problem = Problem(dataset, results, classes)
    whole, *sized = collect(problem, [(0, np.inf), *SIZES.values()])
    mistakes = sort_mistakes(whole)
    thresholds = np.array(
        [evaluation.thresholds.get(name, DEFAULT_THRESHOLD) for name in problem.names]
    )
    calibration, error = _calibration(whole)
    analysis = Analysis(
        name=name,
        evaluation=evaluation,
        matches=whole,
        mistakes=mistakes,
        thresholds=thresholds,
        by_size=[
            Group(label, _ap(part), int(part.counts().sum()))
            for label, part in zip(SIZES, sized, strict=True)
        ],
        by_count=_by_count(whole, len(dataset)),
        calibration=calibration,
        calibration_error=error,
        confusion=np.zeros(0),
        of_page={},
    )
    kept = analysis.kept()
    analysis.confusion = _confusion(whole, kept)
    analysis.of_page = _of_page(whole, mistakes, kept, len(dataset))
    return analysis


def _ap(matches: Matches) -> float | None:
    values = matches.average_precision()
    return None if np.isnan(values).all() else 100 * float(np.nanmean(values))


def _by_count(matches: Matches, pages: int) -> list[Group]:
    regions = np.bincount(matches.region_page[~matches.region_ignored], minlength=pages)
    groups = []
    for name, (low, high) in PAGE_GROUPS.items():
        chosen = (regions >= low) & (regions <= high)
        part = matches.of_pages(chosen)
        groups.append(Group(name, _ap(part), int(part.counts().sum()), int(chosen.sum())))
    return groups


def _calibration(matches: Matches) -> tuple[list[Bin], float | None]:
    counted = ~matches.ignored[IOU_50]
    scores, correct = matches.score[counted], matches.correct[IOU_50, counted]
    place = np.clip((scores * BINS).astype(int), 0, BINS - 1)
    bins, error = [], 0.0
    for k in range(BINS):
        own = place == k
        count = int(own.sum())
        score = float(scores[own].mean()) if count else None
        fraction = float(correct[own].mean()) if count else None
        bins.append(Bin(k / BINS, (k + 1) / BINS, count, score, fraction))
        if score is not None and fraction is not None:
            error += count * abs(score - fraction)
    return bins, error / len(scores) if len(scores) else None


def _confusion(matches: Matches, kept: np.ndarray) -> np.ndarray:
    """Truth × prediction. Boxes are paired regardless of class, the highest IoU first."""
    table = np.zeros((matches.classes + 1, matches.classes + 1), dtype=np.int64)
    regions = np.flatnonzero(~matches.region_ignored)
    detections = np.flatnonzero(kept)
    table[:-1, -1] = np.bincount(matches.region_label[regions], minlength=matches.classes)
    table[-1, :-1] = np.bincount(matches.label[detections], minlength=matches.classes)
    regions_of = by_page(matches.region_page[regions])
    for page, places in by_page(matches.page[detections]).items():
        if page not in regions_of:
            continue
        own, there = detections[places], regions[regions_of[page]]
        iou = iou_matrix(matches.box[own], matches.region_box[there])
        rows, columns = np.nonzero(iou >= FOUND)
        order = np.argsort(-iou[rows, columns], kind="stable")
        free_row, free_column = np.ones(len(own), bool), np.ones(len(there), bool)
        for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
            if free_row[row] and free_column[column]:
                free_row[row] = free_column[column] = False
                truth = matches.region_label[there[column]]
                predicted = matches.label[own[row]]
                table[truth, predicted] += 1
                table[truth, -1] -= 1
                table[-1, predicted] -= 1
    return table


def _of_page(
    matches: Matches, mistakes: Mistakes, kept: np.ndarray, pages: int
) -> dict[str, np.ndarray]:
    missed = ~matches.region_ignored
    meant = np.isin(mistakes.kind, MEANT)
    missed[mistakes.target[kept & meant & (mistakes.target >= 0)]] = False
    counts = {}
    for kind in KINDS:
        if kind == "missed":
            where = matches.region_page[missed]
        else:
            where = matches.page[kept & (mistakes.kind == CODES.index(kind))]
        counts[kind] = np.bincount(where, minlength=pages)
    return counts
