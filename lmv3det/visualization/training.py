"""Drawings of a run: the first training batch, and detections on a few validation pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lmv3det.data.categories import Category
from lmv3det.data.coco import CocoDataset
from lmv3det.files import replacing
from lmv3det.structures import Batch
from lmv3det.visualization.regions import draw_regions

PAGES = 4
"""Pages drawn at most."""


def draw_batch(
    path: Path,
    batch: Batch,
    categories: Sequence[Category],
    pixel_mean: Sequence[float],
    pixel_std: Sequence[float],
) -> None:
    """Draw the pages of a batch beside each other as the network gets them, padding included, with
    regions, class names and the boxes of text tokens. Writes a PNG.

    Args:
        batch: with targets; images B×3×H×W normalised by the mean and std (R, G, B in 0..255).
    """
    images = batch.images.detach().cpu().double().permute(0, 2, 3, 1).numpy()  # B×H×W×3
    pixels = (images * np.asarray(pixel_std) + np.asarray(pixel_mean)).clip(0, 255).round()
    pictures = []
    for number in range(min(len(batch), PAGES)):
        height, width = batch.image_sizes[number]
        lines = None
        if batch.text_boxes is not None and batch.text_mask is not None:
            grid = batch.text_boxes[number][batch.text_mask[number]].cpu().double().numpy()
            lines = np.unique(grid, axis=0) / 1000 * np.array([width, height, width, height])
        target = batch.targets[number] if batch.targets is not None else None
        classes = target.classes.tolist() if target is not None else []
        boxes = target.boxes.cpu().double().numpy() if target is not None else np.zeros((0, 4))
        names = [categories[k].name for k in classes]
        page = pixels[number].astype(np.uint8)
        pictures.append(draw_regions(page, boxes, names, classes, lines))
    _save(path, pictures)


def draw_detections(
    folder: Path,
    dataset: CocoDataset,
    detections: Sequence[dict[str, Any]],
    score_threshold: float = 0.3,
) -> None:
    """Draw the same few pages of a data set each time: the truth left, detections right.

    Args:
        folder: gets `<image stem>.png` for each page.
        dataset: the pages.
        detections: COCO results of them.
        score_threshold: detections below are left out.
    """
    names = {category.id: category.name for category in dataset.file_categories}
    step = max(1, len(dataset) // PAGES)
    for index in range(0, step * min(PAGES, len(dataset)), step):
        sample, record = dataset[index], dataset.records[index]
        height, width = sample.image.shape[:2]
        scale = np.array([width / record.width, height / record.height] * 2)
        truth = [a for a in record.annotations if not a["iscrowd"]]
        found = [
            d
            for d in detections
            if d["image_id"] == record.image_id and d["score"] >= score_threshold
        ]
        pictures = []
        for regions in (truth, found):
            boxes = np.array([r["bbox"] for r in regions], dtype=np.float64).reshape(-1, 4)
            boxes[:, 2:] += boxes[:, :2]
            ids = [r["category_id"] for r in regions]
            labels = [
                names[k] + (f" {r['score']:.2f}" if "score" in r else "")
                for k, r in zip(ids, regions, strict=True)
            ]
            classes = [dataset.class_of[k] for k in ids]
            pictures.append(draw_regions(sample.image, boxes * scale, labels, classes))
        _save(folder / f"{Path(record.file_name).stem}.png", pictures)


def _save(path: Path, pictures: Sequence[Image.Image]) -> None:
    """Pictures beside each other in one PNG."""
    gap = 8
    width = sum(picture.width for picture in pictures) + gap * (len(pictures) - 1)
    joined = Image.new("RGB", (width, max(picture.height for picture in pictures)), "black")
    left = 0
    for picture in pictures:
        joined.paste(picture, (left, 0))
        left += picture.width + gap
    with replacing(path) as temporary:
        joined.save(temporary)
