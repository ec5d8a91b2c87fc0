"""Augmentation at test time: the detections of several views of a page become those of one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lmv3det.inference.selection import not_covered
from lmv3det.structures import Detections, as_array

if TYPE_CHECKING:
    from lmv3det.config import Config
    from lmv3det.data.transforms import TestViews


@dataclasses.dataclass(frozen=True)
class JoinViews:
    """`join_views` with its settings.

    Attributes:
        flipped: of each view, whether it is mirrored.
        nms_threshold: IoU above which the lower detection of the same class goes.
        max_detections: how many of a page are kept.
    """

    flipped: Sequence[bool]
    nms_threshold: float
    max_detections: int

    def __call__(self, found: Sequence[Detections]) -> Detections:
        return join_views(found, self.flipped, self.nms_threshold, self.max_detections)


def join_by(config: Config, views: TestViews) -> JoinViews:
    """Joins the views of a page as a config's `test` says."""
    test = config.test
    return JoinViews(views.flipped, test.nms_threshold, test.detections_per_page)


def unflip(detections: Detections) -> Detections:
    """What was found on a mirrored page, on the page as it is."""
    width = detections.image_size[1]
    boxes: Any = detections.boxes
    mirrored = boxes[:, [2, 1, 0, 3]]
    mirrored[:, [0, 2]] = width - mirrored[:, [0, 2]]
    masks: Any = detections.masks
    if masks is not None:
        masks = masks[..., ::-1] if isinstance(masks, np.ndarray) else masks.flip(-1)
    return dataclasses.replace(detections, boxes=mirrored, masks=masks)


def join_views(
    found: Sequence[Detections],
    flipped: Sequence[bool],
    nms_threshold: float,
    max_detections: int,
) -> Detections:
    """The detections of a page's views, suppressed together within each class.

    A mask stays with its box, so that it is that of one view.

    Args:
        found: of each view, in its own frame; all of them tensors, or all arrays.
        flipped: of each view, whether it is mirrored.
        nms_threshold: IoU above which the lower detection of the same class goes.
        max_detections: how many are kept, the best ones.

    Returns:
        By falling score, in the frame of the first view; those of a single view as they are.
    """
    upright = [unflip(one) if turned else one for one, turned in zip(found, flipped, strict=True)]
    if len(upright) == 1:
        return upright[0]
    frame = upright[0].image_size
    parts = [one.resized(frame) for one in upright]
    joined = dataclasses.replace(
        parts[0],
        boxes=_concatenate([one.boxes for one in parts]),
        scores=_concatenate([one.scores for one in parts]),
        classes=_concatenate([one.classes for one in parts]),
        masks=None if parts[0].masks is None else _concatenate([one.masks for one in parts]),
    )
    boxes, scores, classes = map(as_array, (joined.boxes, joined.scores, joined.classes))
    keep = np.zeros(len(scores), dtype=bool)
    for kind in np.unique(classes):
        rows = np.flatnonzero(classes == kind)
        keep[rows[not_covered(boxes[rows], scores[rows], nms_threshold)]] = True
    order = np.argsort(-scores, kind="stable")
    return joined[order[keep[order]][:max_detections]]


def _concatenate(values: Sequence[Any]) -> Any:
    if isinstance(values[0], np.ndarray):
        return np.concatenate(values)
    import torch

    return torch.cat(list(values))
