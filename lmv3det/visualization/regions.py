"""Regions and text lines drawn on a page."""

from __future__ import annotations

import colorsys
import functools
import importlib.util
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lmv3det.structures import Polygons

log = logging.getLogger(__name__)

# Twelve colours that stay apart on white paper, for most sets of classes.
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
_GOLDEN = 0.618033988749895
_CJK_FONTS = (
    "NotoSansCJK*",
    "NotoSansSC*",
    "SourceHanSans*",
    "wqy-*",
    "DroidSansFallback*",
    "msyh*",
    "simhei*",
    "PingFang*",
    "STHeiti*",
    "NotoSerifCJK*",
    "NotoSerifSC*",
)
_FONT_PACKAGE = "pylopdf_fonts_zh_cn"

Box = tuple[float, float, float, float]


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

    Labels stand where they cover least: in the margin or beside their region where there is room.

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
    page = image.convert("RGB") if isinstance(image, Image.Image) else Image.fromarray(image)
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    lengths = {len(boxes), len(labels), len(class_indices)}
    if len(lengths | ({len(polygons)} if polygons is not None else set())) > 1:
        raise ValueError("boxes, labels, class_indices and polygons must be as many")
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
    for index in order:
        edge = (*color(int(class_indices[index])), 255)
        if len(outlines[index]) > _PARTS:
            draw.rectangle(_ordered(boxes[index]), outline=edge, width=line)
            continue
        for points in _points(outlines[index]):
            draw.line([*points, points[0]], fill=edge, width=line, joint="curve")
    page = Image.alpha_composite(page.convert("RGBA"), tint).convert("RGB")
    _draw_labels(ImageDraw.Draw(page), page.size, boxes, labels, class_indices)
    return page


def _draw_labels(
    draw: ImageDraw.ImageDraw,
    size: tuple[int, int],
    boxes: np.ndarray,
    labels: Sequence[str],
    class_indices: Sequence[int],
) -> None:
    height = max(11, round(min(size) / 55))
    taken = np.zeros((0, 4))
    for index, label in enumerate(labels):
        if not label:
            continue
        font = _font(height, label.isascii())
        left, top, right, bottom = draw.textbbox((0, 0), label, font=font)
        width, tall = right - left + 4, bottom - top + 4
        place = _label_place(boxes, index, (width, tall), size, taken)
        rgb = color(int(class_indices[index]))
        draw.rectangle((place[0], place[1], place[2] - 1, place[3] - 1), fill=rgb)
        ink = "white" if np.dot(rgb, (0.299, 0.587, 0.114)) < 150 else "black"
        draw.text((place[0] + 2 - left, place[1] + 2 - top), label, fill=ink, font=font)
        taken = np.concatenate([taken, [place]])


def _label_place(
    boxes: np.ndarray,
    index: int,
    label: tuple[float, float],
    size: tuple[int, int],
    taken: np.ndarray,
) -> Box:
    """Of places round a box and within it, the one that covers least of labels and regions."""
    x0, y0, x1, y1 = boxes[index]
    width, tall = label
    corners = [
        (x0, y0 - tall),
        (x1 - width, y0 - tall),
        (x0 - width, y0),
        (x1, y0),
        (x0, y1),
        (x0 - width, y1 - tall),
        (x1, y1 - tall),
        (x1 - width, y0),
        (x0, y0),
        (x1 - width, y1 - tall),
    ]
    best, least = None, np.inf
    for x, y in corners:
        x = min(max(x, 0), max(size[0] - width, 0))
        y = min(max(y, 0), max(size[1] - tall, 0))
        place = np.array([x, y, x + width, y + tall])
        cost = 20 * _overlap(place, taken) + _overlap(place, boxes)
        if cost < least - 1e-9:
            best, least = (x, y, x + width, y + tall), cost
    assert best is not None
    return best


def _overlap(box: np.ndarray, others: np.ndarray) -> float:
    """Area that a box shares with others, summed."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    return float((high - low).clip(min=0).prod(axis=1).sum())


def _ordered(box: np.ndarray) -> Box:
    x0, y0, x1, y1 = (float(value) for value in box)
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def _points(outline: Polygons) -> list[list[tuple[float, float]]]:
    """What Pillow takes as polygons."""
    return [[(float(x), float(y)) for x, y in part] for part in outline if len(part) >= 3]


def _corners(box: np.ndarray) -> np.ndarray:
    x0, y0, x1, y1 = box
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])


@functools.lru_cache(maxsize=32)
def _font(height: int, ascii_only: bool) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    path = None if ascii_only else _cjk_font()
    if path is None:
        return ImageFont.load_default(height)
    return ImageFont.truetype(str(path), height)


@functools.lru_cache(maxsize=1)
def _cjk_font() -> Path | None:
    """A font with Chinese letters, from the system or the package `pylopdf-fonts-zh-cn`."""
    folders = [Path.home() / ".local/share/fonts", Path.home() / ".fonts"]
    if sys.platform == "win32":
        folders.append(Path("C:/Windows/Fonts"))
    elif sys.platform == "darwin":
        folders += [Path("/System/Library/Fonts"), Path("/Library/Fonts")]
    else:
        folders += [Path("/usr/local/share/fonts"), Path("/usr/share/fonts")]
    package = importlib.util.find_spec(_FONT_PACKAGE)
    if package is not None and package.submodule_search_locations:
        folders += [Path(folder) for folder in package.submodule_search_locations]
    for pattern in _CJK_FONTS:
        for folder in folders:
            for path in sorted(folder.rglob(pattern)):
                if path.suffix.lower() in (".ttf", ".ttc", ".otf"):
                    return path
    log.warning("no font with Chinese letters found (install fonts-noto-cjk): labels lack them")
    return None
