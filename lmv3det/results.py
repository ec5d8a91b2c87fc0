"""From detections to files: page pixels, COCO entries, JSON that is written whole or not at all."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

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
    boxes = detections.boxes.double().cpu().numpy().copy()
    boxes[:, 2:] -= boxes[:, :2]
    return boxes.round(decimals).tolist()


def encode_masks(detections: Detections, threshold: float = 0.5) -> list[dict[str, Any]]:
    """The masks as N COCO run-length encodings `{"size": [h, w], "counts": str}` of the frame.

    Args:
        detections: with masks.
        threshold: probability from which a pixel belongs to a region.
    """
    from pycocotools import mask as coco_mask

    from lmv3det.model.mask_head import paste

    assert detections.masks is not None
    height, width = detections.image_size
    chunk = max(1, 2**27 // (height * width))  # 128 MiB of pixels at a time
    encoded: list[dict[str, Any]] = []
    for masks, boxes in zip(
        detections.masks.split(chunk), detections.boxes.split(chunk), strict=True
    ):
        # COCO runs down the columns: N×W×H in memory is H×W×N in Fortran order.
        pixels = paste(masks, boxes.to(masks.dtype), (height, width), threshold).mT.contiguous()
        encoded += coco_mask.encode(pixels.cpu().numpy().view(np.uint8).T)
    return [{"size": [height, width], "counts": mask["counts"].decode()} for mask in encoded]


def page_entries(detections: Detections, mask_threshold: float | None = None) -> list[dict]:
    """The detections of a page as `{"bbox": [x, y, w, h], "score", "category": name}`.

    Args:
        detections: with `names`.
        mask_threshold: adds `segmentation`, the mask above this probability; None leaves it out.
    """
    scores = detections.scores.double().cpu().numpy().round(4).tolist()
    names = [detections.names[k] for k in detections.classes.tolist()]
    entries: list[dict[str, Any]] = [
        {"bbox": box, "score": score, "category": name}
        for box, score, name in zip(boxes_xywh(detections, 2), scores, names, strict=True)
    ]
    if mask_threshold is not None:
        for entry, mask in zip(entries, encode_masks(detections, mask_threshold), strict=True):
            entry["segmentation"] = mask
    return entries


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write to, which replaces `path` when the block ends without an error.

    Its folder is made. The suffix stays the same, because picture formats are told by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON at once or not at all; NaN is refused."""
    with replacing(path) as temporary:
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


class JsonList:
    """Writes a JSON list, an entry a line, as the entries come; NaN is refused.

    The list replaces `path` when the block ends, also when an error or Ctrl-C ends it: what was
    appended until then is kept. Only an error before the first entry leaves `path` as it was.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.count = path, 0
        self.temporary = path.with_name(f".{os.getpid()}.{path.name}")

    def append(self, entry: Any) -> None:
        """Write an entry."""
        text = json.dumps(entry, ensure_ascii=False, allow_nan=False)
        self.stream.write(f",\n{text}" if self.count else f"\n{text}")
        self.count += 1

    def __enter__(self) -> JsonList:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.stream = open(self.temporary, "w", encoding="utf-8")
        self.stream.write("[")
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            self.stream.write("\n]\n")
            self.stream.close()
            if self.count or error is None:
                os.replace(self.temporary, self.path)
        finally:
            self.temporary.unlink(missing_ok=True)
