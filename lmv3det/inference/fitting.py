"""Box sides moved onto the page's text lines (`test.fit_to_text`).

A detector places a side to a pixel of its input, which is several of the page: a letter is cut, or
a line's foot left out. Where text lines are known, they say where the side belongs.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from lmv3det.structures import as_array

if TYPE_CHECKING:
    from lmv3det.structures import Detections

WITHIN = 0.5
"""A line is a region's if this fraction of its area lies in it."""
COVERED = 0.3
"""Fraction of a region's area that its lines must cover: a figure with a few letters stays."""
REACH = 1.0
"""A side moves by at most this many line heights."""
SLACK = 0.3
"""An upper or lower side within this many line heights of the text stays: OCR engines, PDF files
and annotations differ by as much in how high they draw a line."""

TALL = 5.0
"""Lines more than this many times as tall as the page's median line are left out: an OCR engine
took part of a picture for a line."""


def fit_to_text(detections: Detections, line_boxes: np.ndarray) -> Detections:
    """The detections with their sides on the outermost sides of the text lines within them.

    Masks are kept as they are and so follow their boxes.

    Args:
        detections: N boxes.
        line_boxes: L×4, in the same pixels.
    """
    boxes = as_array(detections.boxes)
    fitted: Any = fit_boxes(boxes, line_boxes).astype(boxes.dtype)
    if not isinstance(detections.boxes, np.ndarray):
        import torch

        fitted = torch.from_numpy(fitted).to(detections.boxes.device)
    return dataclasses.replace(detections, boxes=fitted)


def fit_boxes(boxes: np.ndarray, line_boxes: np.ndarray) -> np.ndarray:
    """N×4 boxes, each side on the outermost side of the lines within, where that is near.

    Args:
        boxes: N×4 x0 y0 x1 y1.
        line_boxes: L×4, in the same pixels; those without area, or very tall, are left out.
    """
    boxes, lines = boxes.astype(np.float64), np.asarray(line_boxes, dtype=np.float64)
    area = (lines[:, 2:] - lines[:, :2]).clip(0).prod(axis=1)
    heights = lines[:, 3] - lines[:, 1]
    usable = area > 0
    if usable.any():
        usable &= heights <= TALL * np.median(heights[usable])
    lines, area, heights = lines[usable], area[usable], heights[usable]
    if not len(boxes) or not len(lines):
        return boxes
    low = np.maximum(boxes[:, None, :2], lines[:, :2])  # N×L×2
    high = np.minimum(boxes[:, None, 2:], lines[:, 2:])
    shared = (high - low).clip(0).prod(axis=2)  # N×L
    within = shared >= WITHIN * area
    covered = (shared * within).sum(axis=1)
    fits = within.any(axis=1) & (covered >= COVERED * (boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
    boxes, within, result = boxes[fits], within[fits][:, :, None], boxes.copy()
    outer = np.concatenate(
        [
            np.where(within, lines[:, :2], np.inf).min(axis=1, initial=np.inf),
            np.where(within, lines[:, 2:], -np.inf).max(axis=1, initial=-np.inf),
        ],
        axis=1,
    )
    height = np.nanmedian(np.where(within[:, :, 0], heights, np.nan), axis=1, keepdims=True)
    moved = np.abs(outer - boxes)
    near = (moved <= REACH * height) & (moved >= height * [0, SLACK, 0, SLACK])
    result[fits] = np.where(near, outer, boxes)
    return result
