"""Mistakes by kind, and how much average precision each kind costs.

The kinds and the idea of correcting one kind at a time follow Bolya et al., "TIDE: A General
Toolbox for Identifying Object Detection Errors" (ECCV 2020); boxes are compared at IoU 0.5, and
below 0.1 a box and a region have nothing to do with each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lmv3det.evaluation.matches import Matches, average_precision

FOUND, NEAR = 0.5, 0.1
"""IoU from which a region counts as found, and from which a detection is meant for it."""

KINDS = {
    "missed": "no detection is meant for the region",
    "wrong class": "at the place of a region, under the name of another class",
    "badly placed": f"right class, but the IoU is only {NEAR} to {FOUND}",
    "both": "wrong class, and badly placed",
    "duplicate": "the region is found already, by a detection with a higher score",
    "background": "there is no region",
}
"""Kinds of mistakes, and what they mean."""
CORRECT, IGNORED = "correct", "ignored"
CODES = [CORRECT, IGNORED, *KINDS]
"""The place of a kind in it is its code."""
MEANT = [CODES.index(kind) for kind in (CORRECT, "wrong class", "badly placed")]
"""Kinds of detections that are meant for one region."""


@dataclass
class Mistakes:
    """What is wrong with each detection and region of `Matches`.

    Attributes:
        kind: N codes (places in `CODES`).
        target: N regions that detections are meant for, by IoU; -1: none.
        missed: G bool, regions that no detection is meant for.
        cost: kind → mean over classes of the AP at IoU 0.5 that correcting it would gain, 0..100.
    """

    kind: np.ndarray
    target: np.ndarray
    missed: np.ndarray
    cost: dict[str, float]


def sort_mistakes(matches: Matches) -> Mistakes:
    """Find out the kind of every mistake, and the cost of each kind."""
    kind = np.zeros(len(matches.page), dtype=np.int64)
    target = matches.region.copy()
    detections = by_page(matches.page)
    regions = by_page(np.where(matches.region_ignored, -1, matches.region_page))
    none = np.zeros(0, dtype=np.int64)
    for page, own in detections.items():
        false = own[~matches.correct[0, own] & ~matches.ignored[0, own]]
        if len(false):
            there = regions.get(page, none)
            kind[false], target[false] = _kinds(matches, false, there)
    kind[matches.ignored[0]] = CODES.index(IGNORED)
    missed = ~matches.region_ignored
    meant = np.isin(kind, MEANT)
    missed[target[meant & (target >= 0)]] = False
    mistakes = Mistakes(kind, target, missed, {})
    mistakes.cost = _costs(matches, mistakes)
    return mistakes


def by_page(page: np.ndarray) -> dict[int, np.ndarray]:
    """Page → the places that hold it."""
    if not len(page):
        return {}
    order = np.argsort(page, kind="stable")
    pages, first = np.unique(page[order], return_index=True)
    return dict(zip(pages.tolist(), np.split(order, first[1:]), strict=True))


def iou_matrix(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """IoU of N boxes with G others (x0 y0 x1 y1), N×G."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = (high - low).clip(min=0).prod(axis=2)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    other = (others[:, 2:] - others[:, :2]).prod(axis=1)
    return shared / np.maximum(area[:, None] + other[None] - shared, 1e-12)


def _kinds(
    matches: Matches, false: np.ndarray, regions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Codes and targets of the false detections of a page."""
    if not len(regions):
        return np.full(len(false), CODES.index("background")), np.full(len(false), -1)
    iou = iou_matrix(matches.box[false], matches.region_box[regions])
    same = matches.label[false][:, None] == matches.region_label[regions][None]
    own, other = np.where(same, iou, 0.0), np.where(same, 0.0, iou)
    best_own, best_other = own.max(axis=1), other.max(axis=1)
    conditions = [best_own >= FOUND, best_other >= FOUND, best_own >= NEAR, best_other >= NEAR]
    names = ["duplicate", "wrong class", "badly placed", "both"]
    kind = np.select(conditions, [CODES.index(n) for n in names], CODES.index("background"))
    of_other = np.isin(kind, [CODES.index("wrong class"), CODES.index("both")])
    place = np.where(of_other, other.argmax(axis=1), own.argmax(axis=1))
    target = np.where(kind == CODES.index("background"), -1, regions[place])
    return kind, target


def _costs(matches: Matches, mistakes: Mistakes) -> dict[str, float]:
    counts = matches.counts()
    label, correct = matches.label, matches.correct[0]
    before = _mean_ap(matches, label, correct, ~matches.ignored[0], counts)
    taken = np.zeros(len(matches.region_page), dtype=bool)
    taken[matches.region[correct]] = True
    costs = {}
    for name in KINDS:
        chosen = mistakes.kind == CODES.index(name)
        if name == "missed":
            fewer = counts - np.bincount(
                matches.region_label[mistakes.missed], minlength=len(counts)
            )
            after = _mean_ap(matches, label, correct, ~matches.ignored[0], fewer)
        elif name in ("wrong class", "badly placed"):
            # The best detection for each region that is not found becomes correct; others go.
            numbers = np.flatnonzero(chosen)
            numbers = numbers[np.argsort(-matches.score[numbers], kind="stable")]
            numbers = numbers[~taken[mistakes.target[numbers]]]
            _, first = np.unique(mistakes.target[numbers], return_index=True)
            corrected = numbers[first]
            new_label, new_correct = label.copy(), correct.copy()
            new_label[corrected] = matches.region_label[mistakes.target[corrected]]
            new_correct[corrected] = True
            kept = ~matches.ignored[0] & (~chosen | new_correct)
            after = _mean_ap(matches, new_label, new_correct, kept, counts)
        else:
            after = _mean_ap(matches, label, correct, ~matches.ignored[0] & ~chosen, counts)
        costs[name] = 100 * max(after - before, 0.0)
    return costs


def _mean_ap(
    matches: Matches, label: np.ndarray, correct: np.ndarray, kept: np.ndarray, counts: np.ndarray
) -> float:
    """AP at IoU 0.5, the mean over the classes that have regions; a class whose regions have all
    been taken out counts as 1."""
    values = []
    for k in np.flatnonzero(matches.counts()):
        own = kept & (label == k)
        if counts[k] == 0:
            values.append(1.0)
            continue
        ignored = np.zeros((1, own.sum()), dtype=bool)
        values.append(
            average_precision(matches.score[own], correct[None, own], ignored, int(counts[k]))[0]
        )
    return float(np.mean(values)) if values else 0.0
