"""Image, regions and text lines changed together.

Every function takes a `Sample` and returns a new one; boxes, polygons and OCR line boxes stay in
the pixels of the image. `page` is left alone: it describes the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lmv3det.data.pixels import resize_image
from lmv3det.data.text_noise import TextNoise
from lmv3det.structures import Polygons, Sample

CROP_SHORT_SIDES = (400, 500, 600)
"""Shortest sides that a page is scaled to before a crop, pixels (DETR)."""
CROP_SIDES = (384, 600)
"""Least and greatest side of a crop at that scale, pixels (DETR)."""


def shortest_edge_size(size: tuple[int, int], shortest: int, longest: int) -> tuple[int, int]:
    """(height, width) scaled to a shortest side, the longest side limited.

    The shorter side becomes `shortest`; if the other then exceeds `longest`, both are scaled down;
    halves are rounded up, as detectron2's ResizeShortestEdge does.
    """
    height, width = size
    scale = shortest / min(height, width)
    new_h, new_w = (
        (float(shortest), scale * width) if height < width else (scale * height, float(shortest))
    )
    if max(new_h, new_w) > longest:
        scale = longest / max(new_h, new_w)
        new_h, new_w = new_h * scale, new_w * scale
    return max(int(new_h + 0.5), 1), max(int(new_w + 0.5), 1)


def resize(sample: Sample, size: tuple[int, int]) -> Sample:
    """Resize to (height, width), bilinear with Pillow's antialiasing."""
    height, width = sample.image.shape[:2]
    scale = np.array([size[1] / width, size[0] / height])
    return replace(
        sample,
        image=resize_image(sample.image, size),
        boxes=sample.boxes * np.tile(scale, 2),
        polygons=[[polygon * scale for polygon in outline] for outline in sample.polygons],
        line_boxes=sample.line_boxes * np.tile(scale, 2),
    )


def flip(sample: Sample) -> Sample:
    """Mirror left and right."""
    width = sample.image.shape[1]

    def mirror(boxes: np.ndarray) -> np.ndarray:
        x0, y0, x1, y1 = boxes.T
        return np.stack([width - x1, y0, width - x0, y1], axis=1)

    return replace(
        sample,
        image=np.ascontiguousarray(sample.image[:, ::-1]),
        boxes=mirror(sample.boxes),
        polygons=[
            # Reversed, so that the outline still runs the same way round.
            [(polygon * (-1, 1) + (width, 0))[::-1] for polygon in outline]
            for outline in sample.polygons
        ],
        line_boxes=mirror(sample.line_boxes),
    )


def crop(sample: Sample, window: tuple[int, int, int, int]) -> Sample:
    """Cut out a window x0 y0 x1 y1 (pixels, within the image).

    Regions are cut at the window: polygons are clipped, and the box of a region that was cut
    shrinks to what is left of its polygons. Regions with less than a pixel left each way are
    dropped. OCR lines whose centre is outside are dropped; others are cut.
    """
    x0, y0, x1, y1 = window
    height, width = sample.image.shape[:2]
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise ValueError(f"the window {window} is empty or leaves the image of {width}×{height}")
    offset, limit = np.array([x0, y0]), np.array([x1 - x0, y1 - y0])
    boxes, polygons, kept = [], [], []
    for index, (box, outline) in enumerate(zip(sample.boxes, sample.polygons, strict=True)):
        shifted = box - np.tile(offset, 2)
        moved = [polygon - offset for polygon in outline]
        if (shifted[:2] < 0).any() or (shifted[2:] > limit).any():
            shifted = np.concatenate([shifted[:2].clip(min=0), np.minimum(shifted[2:], limit)])
            if (shifted[2:] <= shifted[:2]).any():
                continue
            moved = clip_outline(moved, limit[0], limit[1])
            if not moved:
                continue
            points = np.concatenate(moved)
            shifted = np.concatenate(
                [
                    np.maximum(shifted[:2], points.min(axis=0)),
                    np.minimum(shifted[2:], points.max(axis=0)),
                ]
            )
            if (shifted[2:] - shifted[:2] < 1).any():
                continue
        boxes.append(shifted)
        polygons.append(moved)
        kept.append(index)
    centres = (sample.line_boxes[:, :2] + sample.line_boxes[:, 2:]) / 2 - offset
    inside = ((centres >= 0) & (centres < limit)).all(axis=1)
    lines = sample.line_boxes[inside] - np.tile(offset, 2)
    return replace(
        sample,
        image=np.ascontiguousarray(sample.image[y0:y1, x0:x1]),
        boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4),
        classes=sample.classes[kept],
        polygons=polygons,
        line_boxes=lines.clip(min=0, max=np.tile(limit, 2)),
        lines=[line for line, keep in zip(sample.lines, inside, strict=True) if keep],
    )


def clip_outline(outline: Polygons, width: float, height: float) -> Polygons:
    """The part of an outline within 0 … width, 0 … height; polygons without area are dropped.

    Sutherland and Hodgman's algorithm, an edge of the window after the other. What a concave
    polygon leaves as separate pieces stays connected along the window's edge by lines that
    enclose no area.
    """
    clipped = []
    for polygon in outline:
        for axis, bound, sign in ((0, 0, 1), (1, 0, 1), (0, width, -1), (1, height, -1)):
            polygon = _clip_side(polygon, axis, bound, sign)
        if len(polygon) >= 3 and _area(polygon) > 0:
            clipped.append(polygon)
    return clipped


def _clip_side(polygon: np.ndarray, axis: int, bound: float, sign: int) -> np.ndarray:
    """The part of a K×2 polygon where sign · (coordinate − bound) ≥ 0."""
    distance = sign * (polygon[:, axis] - bound)
    if (distance >= 0).all():
        return polygon
    if (distance < 0).all():
        return polygon[:0]
    points: list[np.ndarray] = []
    ends, end_distances = np.roll(polygon, -1, axis=0), np.roll(distance, -1)
    for start, end, here, there in zip(polygon, ends, distance, end_distances, strict=True):
        if here >= 0:
            points.append(start)
        if (here >= 0) != (there >= 0):
            crossing = start + (end - start) * (here / (here - there))
            crossing[axis] = bound
            points.append(crossing)
    return np.array(points).reshape(-1, 2)


def _area(polygon: np.ndarray) -> float:
    x, y = (polygon - polygon[0]).T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


class TrainTransform:
    """What training does to a page: by chance a flip and a crop, then a resize.

    Args:
        min_sizes: shortest sides in pixels, one of which is drawn.
        max_size: longest side allowed, pixels.
        flip: probability of mirroring left and right.
        crop: probability of a crop as DETR's: at a scale where the shortest side is 400, 500 or
            600, a window of 384 to 600 pixels each way. The window is cut from the page itself and
            resized once, rather than resized twice.
        text_noise: what it does to the text; None leaves it as it is.
    """

    def __init__(
        self,
        min_sizes: Sequence[int],
        max_size: int,
        flip: float = 0.0,
        crop: float = 0.0,
        text_noise: TextNoise | None = None,
    ) -> None:
        self.min_sizes, self.max_size = list(min_sizes), max_size
        self.flip, self.crop = flip, crop
        self.text_noise = text_noise or TextNoise()

    def __call__(self, sample: Sample, generator: np.random.Generator) -> Sample:
        """The changed page; every draw comes from `generator`."""
        if self.flip and generator.random() < self.flip:
            sample = flip(sample)
        if self.crop and generator.random() < self.crop:
            sample = crop(sample, random_window(sample.image.shape[:2], generator))
        shortest = int(generator.choice(self.min_sizes))
        sample = self.text_noise(sample, generator)
        return resize(sample, shortest_edge_size(sample.image.shape[:2], shortest, self.max_size))


def random_window(
    size: tuple[int, ...], generator: np.random.Generator
) -> tuple[int, int, int, int]:
    """A crop window x0 y0 x1 y1 in the pixels of a page of (height, width) `size`."""
    scale = float(generator.choice(CROP_SHORT_SIDES)) / min(size)
    least, greatest = CROP_SIDES
    lengths, starts = [], []
    for side in size:
        scaled = side * scale
        length = generator.uniform(min(least, scaled), min(greatest, scaled)) / scale
        lengths.append(min(max(round(length), 1), side))
        starts.append(int(generator.integers(side - lengths[-1] + 1)))
    return starts[1], starts[0], starts[1] + lengths[1], starts[0] + lengths[0]


class TestTransform:
    """What evaluation and prediction do to a page: a resize.

    Args:
        min_size: shortest side in pixels.
        max_size: longest side allowed, pixels.
    """

    __test__ = False  # not a test case, whatever pytest thinks of its name

    def __init__(self, min_size: int, max_size: int) -> None:
        self.min_size, self.max_size = min_size, max_size

    def __call__(self, sample: Sample) -> Sample:
        size = shortest_edge_size(sample.image.shape[:2], self.min_size, self.max_size)
        return resize(sample, size)
