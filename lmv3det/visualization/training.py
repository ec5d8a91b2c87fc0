"""Drawings of a run: the first training batch, and detections on a few validation pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lmv3det.data.categories import Category
from lmv3det.data.coco import CocoDataset
from lmv3det.structures import Batch
from lmv3det.visualization.detections import draw_beside_truth, save_side_by_side
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
        batch: with targets; images B×3×H×W, normalised by the mean and std (R, G, B in 0..255) or
            as a loader ships them.
    """
    images = (
        batch.normalized().images.detach().cpu().double().permute(0, 2, 3, 1).numpy()
    )  # B×H×W×3
    pixels = (images * np.asarray(pixel_std) + np.asarray(pixel_mean)).clip(0, 255).round()
    pictures = []
    for number in range(min(len(batch), PAGES)):
        height, width = batch.image_sizes[number]
        lines = None
        if batch.text_boxes is not None:
            real = slice(None) if batch.text_mask is None else batch.text_mask[number]
            grid = batch.text_boxes[number][real].cpu().double().numpy()
            lines = np.unique(grid, axis=0) / 1000 * np.array([width, height, width, height])
        target = batch.targets[number] if batch.targets is not None else None
        classes = target.classes.tolist() if target is not None else []
        boxes = target.boxes.cpu().double().numpy() if target is not None else np.zeros((0, 4))
        names = [categories[k].name for k in classes]
        page = pixels[number].astype(np.uint8)
        pictures.append(draw_regions(page, boxes, names, classes, lines))
    save_side_by_side(pictures, path)


def draw_validation(folder: Path, dataset: CocoDataset, results: Sequence[dict[str, Any]]) -> None:
    """Draw the same few pages of a data set each time: the truth left, detections right.

    Args:
        folder: gets `<image stem>.png` for each page.
        dataset: the pages.
        results: COCO results of them.
    """
    step = max(1, len(dataset) // PAGES)
    for index in range(0, step * min(PAGES, len(dataset)), step):
        name = f"{Path(dataset.records[index].file_name).stem}.png"
        draw_beside_truth(dataset, index, results, folder / name)
