"""Which of the detections of a page are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lmv3det.errors import InputError
from lmv3det.structures import as_array

if TYPE_CHECKING:
    from lmv3det.structures import Detections

INSIDE = 0.9
"""A region lies within another if this fraction of its area does."""


def check_fraction(value: Any, name: str) -> float:
    """A number from 0 to 1.

    Raises:
        InputError: anything else, NaN included.
    """
    # numpy's and torch's numbers are taken, strings and truth values are not.
    fits = not isinstance(value, (str, bool)) and hasattr(value, "__float__")
    if not fits or not 0 <= float(value) <= 1:
        raise InputError(f"{name} is {value!r}; it must be a number from 0 to 1")
    return float(value)


def check_count(value: Any, name: str) -> int:
    """A whole number from 1.

    Raises:
        InputError: anything else.
    """
    if isinstance(value, (str, bool)) or not hasattr(value, "__index__") or value < 1:
        raise InputError(f"{name} is {value!r}; it must be a whole number, 1 or more")
    return int(value)


@dataclass
class Selection:
    """Thresholds, and what is done about regions that overlap.

    Attributes:
        thresholds: detections at or below that of their class are dropped, one a class.
        max_overlap: of two regions of different classes that overlap by more than this IoU the
            one with the lower score is dropped; None keeps both. (Those of one class are settled
            by the model's non-maximum suppression, `test.nms_threshold`.)
        drop_nested: drop regions that lie within another one that is kept.
    """

    thresholds: Sequence[float]
    max_overlap: float | None = None
    drop_nested: bool = False

    @classmethod
    def choose(
        cls,
        names: Sequence[str],
        score_threshold: float,
        thresholds: Any = None,
        best: Mapping[str, float] | None = None,
        max_overlap: float | None = None,
        drop_nested: bool = False,
    ) -> Selection:
        """A selection as the arguments of `Detector.predict` say.

        Args:
            names: class names by class index.
            score_threshold: for classes that `thresholds` does not name.
            thresholds: a number for all classes; a mapping from class names; or `best`.
            best: class name → the threshold that an evaluation found; empty where none did.
            max_overlap: see the class.
            drop_nested: likewise.

        Raises:
            InputError: a value out of range, an unknown class, `best` where there are none.
        """
        usual = check_fraction(score_threshold, "score_threshold")
        if max_overlap is not None:
            max_overlap = check_fraction(max_overlap, "max_overlap")
        if thresholds == "best":
            if not best:
                raise InputError(
                    "thresholds is 'best', but the checkpoint has none; evaluate it with `lmv3det "
                    "evaluate`, which can keep them in it, or give numbers"
                )
            thresholds = {name: best[name] for name in names if name in best}
        if isinstance(thresholds, Mapping):
            unknown = [str(name) for name in thresholds if name not in names]
            if unknown:
                raise InputError(
                    f"thresholds: no class {', '.join(unknown)}; there are {', '.join(names)}"
                )
            own = {k: check_fraction(v, f"threshold of {k}") for k, v in thresholds.items()}
            values = [own.get(name, usual) for name in names]
        elif thresholds is not None:
            values = [check_fraction(thresholds, "thresholds")] * len(names)
        else:
            values = [usual] * len(names)
        return cls(values, max_overlap, bool(drop_nested))

    @property
    def lowest(self) -> float:
        """The threshold that the model itself can apply."""
        return min(self.thresholds, default=0.0)

    def keep(self, detections: Detections) -> np.ndarray:
        """N bool: which detections are kept."""
        boxes, scores = as_array(detections.boxes), as_array(detections.scores)
        keep = np.ones(len(scores), dtype=bool)
        if self.thresholds:
            limits = np.array(self.thresholds, dtype=scores.dtype)
            keep = scores > limits[as_array(detections.classes)]
        if self.max_overlap is not None:
            keep[keep] = not_covered(boxes[keep], scores[keep], self.max_overlap)
        if self.drop_nested:
            keep[keep] = containers(boxes[keep]) < 0
        return keep


def not_covered(boxes: np.ndarray, scores: np.ndarray, max_overlap: float) -> np.ndarray:
    """What non-maximum suppression over all classes keeps, as torchvision's `nms`.

    Args:
        boxes: N×4.
        scores: N.
        max_overlap: IoU above which the box of the lower score is dropped.

    Returns:
        N bool.
    """
    boxes = np.asarray(boxes, dtype=np.float32)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable").tolist():
        low = np.maximum(boxes[kept, :2], boxes[index, :2])
        high = np.minimum(boxes[kept, 2:], boxes[index, 2:])
        shared = (high - low).clip(0).prod(axis=1)
        if not (shared > max_overlap * (area[kept] + area[index] - shared)).any():
            kept.append(index)
    keep = np.zeros(len(boxes), dtype=bool)
    keep[kept] = True
    return keep


def containers(boxes: Any) -> np.ndarray:
    """For each of N boxes the index of the smallest larger one that it lies within; -1: none.

    Args:
        boxes: N×4, an array or a tensor.

    Returns:
        N int64.
    """
    boxes = as_array(boxes).astype(np.float32)
    if not len(boxes):
        return np.zeros(0, dtype=np.int64)
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])  # N×N×2
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = (high - low).clip(0).prod(axis=2)
    area = (boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=1)
    # Of two boxes that lie within each other the first one, which has the higher score, is outer.
    index = np.arange(len(boxes))
    larger = (area > area[:, None]) | ((area == area[:, None]) & (index < index[:, None]))
    within = larger & (shared >= INSIDE * area[:, None]) & (area[:, None] > 0)
    size = np.where(within, area, np.inf)
    return np.where(within.any(axis=1), size.argmin(axis=1), -1)
