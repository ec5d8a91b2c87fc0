"""Detections drawn over their pages, alone or next to the truth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from lmv3det.files import replacing
from lmv3det.structures import as_array
from lmv3det.visualization.regions import draw_regions

if TYPE_CHECKING:
    from lmv3det.data.coco import CocoDataset
    from lmv3det.structures import Detections

GAP = 8


def picture_of_detections(
    image: np.ndarray, detections: Detections, score_threshold: float
) -> Image.Image:
    """A page with its detections, their class names and scores.

    Args:
        image: H×W×3 uint8 RGB, the page.
        detections: in its pixels, with `names`.
        score_threshold: those below are left out.
    """
    shown = as_array(detections.scores) >= score_threshold
    boxes = as_array(detections.boxes)[shown]
    classes = as_array(detections.classes)[shown]
    scores = as_array(detections.scores)[shown]
    labels = [f"{detections.names[k]} {s:.2f}" for k, s in zip(classes, scores, strict=True)]
    return draw_regions(image, boxes, labels, classes.tolist())


def draw_with_truth(
    dataset: CocoDataset,
    index: int,
    results: Iterable[dict[str, Any]],
    path: Path,
    score_threshold: float = 0.3,
) -> None:
    """Draw a page twice: its truth at the left, detections at the right.

    Args:
        dataset: the pages.
        index: of the page.
        results: COCO results; those of other pages are left out.
        path: picture to write.
        score_threshold: detections below are left out.
    """
    sample, record = dataset[index], dataset.records[index]
    height, width = sample.image.shape[:2]
    scale = np.tile([width / record.width, height / record.height], 2)
    truth = [a for a in record.annotations if not a["iscrowd"]]
    found = [
        result
        for result in results
        if result["image_id"] == record.image_id and result["score"] >= score_threshold
    ]
    names = {category.id: category.name for category in dataset.file_categories}
    number = {category_id: k for k, category_id in enumerate(names)}
    pictures = []
    for regions in (truth, found):
        boxes = np.array([r["bbox"] for r in regions], dtype=np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        ids = [r["category_id"] for r in regions]
        labels = [
            names[k] + (f" {r['score']:.2f}" if "score" in r else "")
            for k, r in zip(ids, regions, strict=True)
        ]
        colors = [number[k] for k in ids]
        pictures.append(draw_regions(sample.image, boxes * scale, labels, colors))
    save_side_by_side(pictures, path)


def draw_worst(
    folder: Path,
    dataset: CocoDataset,
    results: Sequence[dict[str, Any]],
    mistakes: dict[int, int],
    count: int,
) -> list[Path]:
    """Draw the pages with the most mistakes next to their truth.

    Args:
        folder: pictures `<number>_<image stem>.png` are written to it, the worst page first.
        dataset: the pages.
        results: COCO results of them.
        mistakes: image id → how many.
        count: pages at most; those without mistakes are left out.
    """
    place = {record.image_id: index for index, record in enumerate(dataset.records)}
    worst = sorted((m for m in mistakes.items() if m[1]), key=lambda item: -item[1])[:count]
    paths = []
    for number, (image_id, _) in enumerate(worst, start=1):
        index = place[image_id]
        paths.append(folder / f"{number}_{Path(dataset.records[index].file_name).stem}.png")
        draw_with_truth(dataset, index, results, paths[-1])
    return paths


def save_side_by_side(pictures: Sequence[Image.Image], path: Path) -> None:
    """Write pictures of any sizes side by side into one file, `GAP` pixels apart."""
    width = sum(picture.width for picture in pictures) + GAP * (len(pictures) - 1)
    joined = Image.new("RGB", (width, max(picture.height for picture in pictures)), "black")
    left = 0
    for picture in pictures:
        joined.paste(picture, (left, 0))
        left += picture.width + GAP
    with replacing(path) as temporary:
        joined.save(temporary)
