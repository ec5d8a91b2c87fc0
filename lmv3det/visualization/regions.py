"""Regions and text lines drawn on a page."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from lmv3det.data.pixels import resize_image
from lmv3det.structures import Polygons
from lmv3det.visualization.labels import MAX_LABELS, Box, Placer, draw_label, make_label

# Twelve colours that are easy to tell apart on white paper.
MAX_SIDE = 4000
"""Pixels of a drawing's longer side at most."""
_PALETTE = (
    (214, 39, 40),
    (31, 119, 180),
    (44, 160, 44),
    (255, 127, 14),
    (148, 103, 189),
    (0, 158, 158),
    (227, 26, 165),
    (140, 86, 75),
    (120, 130, 0),
    (70, 70, 200),
    (190, 130, 0),
    (90, 90, 90),
)
_LINE_COLOR = (120, 150, 190)
_PARTS = 8
"""A union of more polygons (of a mask's rectangles) is drawn without the lines between them."""
_THIN = 12
"""An outline is at most this part of the shorter side of its region."""
_GOLDEN = 0.618033988749895


def color(index: int) -> tuple[int, int, int]:
    """The RGB colour (0..255) of a class index; the same in every picture."""
    if index < len(_PALETTE):
        return _PALETTE[index]
    # Further hues a golden section apart, two shades in turn.
    red, green, blue = colorsys.hsv_to_rgb(index * _GOLDEN % 1, 0.85, 0.55 + 0.25 * (index % 2))
    return round(red * 255), round(green * 255), round(blue * 255)


def draw_regions(
    image: np.ndarray | Image.Image,
    boxes: np.ndarray,
    labels: Sequence[str],
    class_indices: Sequence[int],
    line_boxes: np.ndarray | None = None,
    polygons: Sequence[Polygons] | None = None,
) -> Image.Image:
    """A copy of a page with its regions outlined, tinted and labelled in their class's colour.

    A label is put where it covers least of the page's text, of the regions and of other labels:
    next to its region where there is room. At most `MAX_LABELS` are drawn. Pages with a side of
    more than `MAX_SIDE` pixels are drawn smaller.

    Args:
        image: the page, H×W×3 uint8 RGB or PIL.
        boxes: G×4 x0 y0 x1 y1 pixels.
        labels: G strings; an empty one is left out.
        class_indices: G class indices, for the colours.
        line_boxes: L×4 boxes of text lines, drawn thin under the regions.
        polygons: G outlines to draw in place of the boxes.

    Raises:
        ValueError: boxes, labels, classes and polygons of different lengths.
    """
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    lengths = {len(boxes), len(labels), len(class_indices)}
    if len(lengths | ({len(polygons)} if polygons is not None else set())) > 1:
        raise ValueError("boxes, labels, class_indices and polygons must be as many")
    array = np.asarray(image.convert("RGB") if isinstance(image, Image.Image) else image)
    height, width = array.shape[:2]
    scale = MAX_SIDE / max(height, width)
    if scale < 1:
        array = resize_image(array, (max(1, round(height * scale)), max(1, round(width * scale))))
        boxes = boxes * scale
        if line_boxes is not None:
            line_boxes = np.asarray(line_boxes) * scale
        if polygons is not None:
            polygons = [[np.asarray(part) * scale for part in outline] for outline in polygons]
    page = Image.fromarray(array)
    line = max(1, round(min(page.size) / 400))
    tint = Image.new("RGBA", page.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(tint)
    outlines = polygons if polygons is not None else [[_corners(box)] for box in boxes]
    # Large regions first, so that small ones lie on top. A drawn pixel replaces what was there:
    # all tints, then the text lines, then all edges.
    order = np.argsort(-(boxes[:, 2:] - boxes[:, :2]).prod(axis=1), kind="stable").tolist()
    for index in order:
        for points in _points(outlines[index]):
            draw.polygon(points, fill=(*color(int(class_indices[index])), 36))
    for box in np.asarray(() if line_boxes is None else line_boxes).reshape(-1, 4):
        draw.rectangle(_ordered(box), outline=(*_LINE_COLOR, 200))
    # A thin region keeps a thin outline, or nothing would be seen of what it holds.
    sides = (boxes[:, 2:] - boxes[:, :2]).min(axis=1)
    widths = np.clip(sides / _THIN, 1, line).round().astype(int).tolist()
    for index in order:
        edge = (*color(int(class_indices[index])), 255)
        if len(outlines[index]) > _PARTS:
            draw.rectangle(_ordered(boxes[index]), outline=edge, width=widths[index])
            continue
        for points in _points(outlines[index]):
            draw.line([*points, points[0]], fill=edge, width=widths[index], joint="curve")
    drawn = Image.alpha_composite(page.convert("RGBA"), tint).convert("RGB")
    _draw_labels(drawn, page, boxes, labels, class_indices)
    return drawn


def _draw_labels(
    drawn: Image.Image,
    page: Image.Image,
    boxes: np.ndarray,
    labels: Sequence[str],
    class_indices: Sequence[int],
) -> None:
    """Draw the labels, those of the largest regions where there are more than `MAX_LABELS`."""
    size = max(11, round(min(page.size) / 60))
    chosen = [index for index, label in enumerate(labels) if label]
    if len(chosen) > MAX_LABELS:
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
        chosen = sorted(sorted(chosen, key=lambda index: -areas[index])[:MAX_LABELS])
    if not chosen:
        return
    placer, draw = Placer(page, boxes), ImageDraw.Draw(drawn)
    for index in chosen:
        label = make_label(labels[index], size)
        place = placer.place(boxes[index], (label.width, label.height))
        draw_label(draw, label, place, color(int(class_indices[index])))


def _ordered(box: np.ndarray) -> Box:
    x0, y0, x1, y1 = (float(value) for value in box)
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def _points(outline: Polygons) -> list[list[tuple[float, float]]]:
    """What Pillow takes as polygons."""
    return [[(float(x), float(y)) for x, y in part] for part in outline if len(part) >= 3]


def _corners(box: np.ndarray) -> np.ndarray:
    x0, y0, x1, y1 = box
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
