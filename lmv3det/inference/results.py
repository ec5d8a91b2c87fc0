"""From detections to entries: page pixels, COCO's boxes and masks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from lmv3det.inference.entries import RegionEntry
from lmv3det.structures import as_array

if TYPE_CHECKING:
    from lmv3det.structures import Detections, Page


def in_page_pixels(found: Iterable[Detections], pages: Iterable[Page]) -> list[Detections]:
    """Detections of the network's input in the pixels of their pages, `page` set."""
    return [
        dataclasses.replace(detections.resized((page.height, page.width)), page=page)
        for detections, page in zip(found, pages, strict=True)
    ]


def boxes_xywh(detections: Detections, decimals: int) -> list[list[float]]:
    """The boxes as N lists of x, y, w, h, rounded."""
    boxes = as_array(detections.boxes).astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    return boxes.round(decimals).tolist()


def encode_masks(detections: Detections, threshold: float = 0.5) -> list[dict[str, Any]]:
    """The masks as N COCO run-length encodings `{"size": [h, w], "counts": str}` of the frame.

    As those of `paste`, but drawn within the boxes alone: most of a page is outside of them.

    Args:
        detections: with masks.
        threshold: probability from which a pixel belongs to a region, above 0.
    """
    import torch
    from pycocotools import mask as coco_mask

    from lmv3det.model.mask_head import paste

    assert detections.masks is not None
    height, width = detections.image_size
    masks = detections.masks.float().cpu()
    boxes = detections.boxes.float().cpu()
    # Interpolation reaches half a cell of the mask beyond the box.
    margin = (boxes[:, 2:] - boxes[:, :2]) / (2 * masks.shape[-1]) + 1
    limit = torch.tensor([width, height])
    first = torch.minimum((boxes[:, :2] - margin).floor().clamp(min=0), limit)
    last = torch.minimum((boxes[:, 2:] + margin).ceil().clamp(min=0), limit)
    shifted = boxes - first.repeat(1, 2)
    sizes = (last - first).long().tolist()
    encoded = []
    for number, (x, y) in enumerate(first.long().tolist()):  # windows differ in size
        w, h = sizes[number]
        one = slice(number, number + 1)
        pixels = paste(masks[one], shifted[one], (h, w), threshold)[0].numpy()
        counts = _run_lengths(pixels, x, y, height, width)
        encoded.append({"size": [height, width], "counts": counts})
    compressed = coco_mask.frPyObjects(encoded, height, width) if encoded else []
    return [{"size": [height, width], "counts": mask["counts"].decode()} for mask in compressed]


def _run_lengths(pixels: np.ndarray, x: int, y: int, height: int, width: int) -> list[int]:
    """COCO's run lengths (down the columns, zeros first) of a page that holds a window.

    Args:
        pixels: h×w bool, the window.
        x: its left column.
        y: its upper row.
        height: of the page.
        width: of the page.
    """
    h, w = pixels.shape
    padded = np.zeros((w, h + 2), dtype=np.int8)
    padded[:, 1:-1] = pixels.T
    steps = np.diff(padded, axis=1)  # w×(h+1): 1 where a run starts, -1 behind its end
    column, row = np.nonzero(steps)
    places = (x + column) * height + y + row  # start, end, start, end …
    # A run that reaches the foot of a column goes on at the head of the next.
    joined = np.flatnonzero(places[1:-1:2] == places[2::2])
    places = np.delete(places, np.concatenate([2 * joined + 1, 2 * joined + 2]))
    counts = np.diff(places, prepend=0, append=height * width).tolist()
    return counts if counts[-1] else counts[:-1]  # no zeros behind a mask that fills the corner


def page_entries(detections: Detections, mask_threshold: float | None = None) -> list[RegionEntry]:
    """The detections of a page as `{"bbox": [x, y, w, h], "score", "category": name}`.

    Args:
        detections: with `names`.
        mask_threshold: adds `segmentation`, the mask above this probability; None leaves it out.
    """
    scores = as_array(detections.scores).astype(np.float64).round(6).tolist()
    names = [detections.names[k] for k in detections.classes.tolist()]
    entries: list[RegionEntry] = [
        {"bbox": box, "score": score, "category": name}
        for box, score, name in zip(boxes_xywh(detections, 3), scores, names, strict=True)
    ]
    if mask_threshold is not None:
        for entry, mask in zip(entries, encode_masks(detections, mask_threshold), strict=True):
            entry["segmentation"] = mask
    return entries
