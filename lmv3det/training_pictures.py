"""Drawings of a run: the first training batch, and detections on a few validation pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from lmv3det.data.categories import Category
from lmv3det.data.coco import CocoDataset
from lmv3det.results import replacing
from lmv3det.structures import Batch

COLORS = [
    (230, 25, 75), (0, 130, 200), (60, 180, 75), (245, 130, 48), (145, 30, 180),
    (0, 160, 160), (240, 50, 230), (170, 110, 40), (128, 128, 0), (0, 0, 128),
]  # fmt: skip
PAGES = 4
"""Pages drawn at most."""


def draw_batch(
    path: Path,
    batch: Batch,
    categories: Sequence[Category],
    pixel_mean: Sequence[float],
    pixel_std: Sequence[float],
) -> None:
    """Draw the pages of a batch beside each other as the network gets them: regions with class
    names, and text boxes in grey. Writes a PNG."""
    images = batch.images.detach().cpu().float().permute(0, 2, 3, 1).numpy()  # B×H×W×3
    pixels = (images * np.asarray(pixel_std) + np.asarray(pixel_mean)).clip(0, 255)
    pictures = []
    for number in range(min(len(batch), PAGES)):
        picture = Image.fromarray(pixels[number].round().astype(np.uint8))
        height, width = batch.image_sizes[number]
        if batch.text_boxes is not None and batch.text_mask is not None:
            grid = batch.text_boxes[number][batch.text_mask[number]].cpu().double().numpy()
            boxes = grid / 1000 * np.array([width, height, width, height])
            _draw(picture, boxes, [""] * len(boxes), [(150, 150, 150)] * len(boxes), 1)
        if batch.targets is not None:
            target = batch.targets[number]
            classes = target.classes.tolist()
            names = [categories[k].name for k in classes]
            colors = [COLORS[k % len(COLORS)] for k in classes]
            _draw(picture, target.boxes.cpu().double().numpy(), names, colors, 2)
        pictures.append(picture)
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
            picture = Image.fromarray(sample.image)
            boxes = np.array([r["bbox"] for r in regions], dtype=np.float64).reshape(-1, 4)
            boxes[:, 2:] += boxes[:, :2]
            ids = [r["category_id"] for r in regions]
            labels = [
                names[k] + (f" {r['score']:.2f}" if "score" in r else "")
                for k, r in zip(ids, regions, strict=True)
            ]
            colors = [COLORS[dataset.class_of[k] % len(COLORS)] for k in ids]
            _draw(picture, boxes * scale, labels, colors, max(2, width // 400))
            pictures.append(picture)
        _save(folder / f"{Path(record.file_name).stem}.png", pictures)


def _draw(
    picture: Image.Image,
    boxes: np.ndarray,
    labels: Sequence[str],
    colors: Sequence[tuple[int, int, int]],
    width: int,
) -> None:
    pen = ImageDraw.Draw(picture)
    for box, label, color in zip(boxes.tolist(), labels, colors, strict=True):
        x0, y0, x1, y1 = box
        pen.rectangle((x0, y0, max(x0, x1), max(y0, y1)), outline=color, width=width)
        if label:
            # Pillow's own font has Latin letters only.
            text = label.encode("latin-1", "replace").decode("latin-1")
            place = pen.textbbox((x0, y0), text)
            pen.rectangle(place, fill=color)
            pen.text((x0, y0), text, fill="white")


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
