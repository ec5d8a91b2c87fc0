"""Drawings of a run: the first training batch, and a few validation pages over time."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from lmv3det.data.categories import Category
from lmv3det.data.coco import CocoDataset
from lmv3det.structures import Batch
from lmv3det.visualization.detections import GAP, draw_with_truth, save_side_by_side
from lmv3det.visualization.labels import draw_label, make_label
from lmv3det.visualization.regions import draw_regions

PAGES = 6
"""Pages drawn at most."""
MOMENTS, HEIGHT = 8, 700
"""Evaluations side by side at most, and the height of their pictures in pixels."""


def draw_batch(
    path: Path,
    batch: Batch,
    categories: Sequence[Category],
    pixel_mean: Sequence[float],
    pixel_std: Sequence[float],
) -> None:
    """Draw the pages of a batch side by side as the network gets them, padding included, with
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

    The pictures of earlier evaluations, in the folders next to this one, are joined with them:
    `over_time/<page>.png` has the truth and the detections of a page as the training went on.

    Args:
        folder: `step_<number>`; gets `<page>.png` for each page.
        dataset: the pages.
        results: COCO results of them.
    """
    step = max(1, len(dataset) // PAGES)
    for index in range(0, step * min(PAGES, len(dataset)), step):
        page = Path(dataset.records[index].file_name)
        name = f"{'__'.join(page.with_suffix('').parts)}.png"
        draw_with_truth(dataset, index, results, folder / name)
        _draw_over_time(folder.parent, name)


def _draw_over_time(pictures: Path, name: str) -> None:
    """Join a page's pictures of all evaluations, or of `MOMENTS` of them, the last included."""
    steps = sorted(
        (int(path.parent.name.removeprefix("step_")), path)
        for path in pictures.glob(f"step_*/{glob.escape(name)}")
        if path.parent.name.removeprefix("step_").isdecimal()
    )
    chosen = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), MOMENTS)).round().astype(int))
    columns: list[Image.Image] = []
    for number in chosen.tolist():
        step, path = steps[number]
        with Image.open(path, formats=["PNG"]) as both:
            half = (both.width - GAP) // 2
            if not columns:
                columns.append(_column(both.crop((0, 0, half, both.height)), "truth"))
            found = both.crop((half + GAP, 0, both.width, both.height))
            columns.append(_column(found, f"step {step}"))
    save_side_by_side(columns, pictures / "over_time" / name)


def _column(picture: Image.Image, title: str) -> Image.Image:
    """A picture at the height of `HEIGHT`, under its title."""
    width = max(1, round(picture.width * HEIGHT / picture.height))
    label = make_label(title, 16)
    column = Image.new("RGB", (width, HEIGHT + round(label.height)), "white")
    column.paste(picture.convert("RGB").resize((width, HEIGHT)), (0, round(label.height)))
    draw_label(ImageDraw.Draw(column), label, (0, 0, width, label.height), (40, 40, 40))
    return column
