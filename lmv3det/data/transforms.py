"""Image, regions and text lines changed together.

Every function takes a `Sample` and returns a new one; boxes, polygons and OCR line boxes stay in
the pixels of the image. `page` is left alone: it describes the file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from lmv3det.config import Config
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


def padded(size: Sequence[int], step: int) -> tuple[int, int]:
    """(height, width) of a page's input: its sides, rounded up to multiples of `step`."""
    return -(-size[0] // step) * step, -(-size[1] // step) * step


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
    offset = np.array([x0, y0])
    return _cut(
        replace(
            sample,
            image=np.ascontiguousarray(sample.image[y0:y1, x0:x1]),
            boxes=sample.boxes - np.tile(offset, 2),
            polygons=[[polygon - offset for polygon in outline] for outline in sample.polygons],
            line_boxes=sample.line_boxes - np.tile(offset, 2),
        )
    )


def warp(sample: Sample, matrix: np.ndarray, fill: tuple[int, int, int]) -> Sample:
    """Move a page by a projective map, in a frame of the same size.

    A region's outline is moved point by point. Its box goes where the outline's bounds go, as far
    from them on each side as before; what leaves the frame is cut as `crop` does. The boxes of OCR
    lines are those around their moved corners, as an OCR engine would give them.

    Args:
        sample: the page.
        matrix: 3×3, from (x, y, 1) of the page to the new page, in pixels with the origin at the
            upper left corner of the first pixel.
        fill: R, G, B where no page is.
    """
    height, width = sample.image.shape[:2]
    inverse = np.linalg.inv(matrix)
    # Pillow adds half a pixel on both sides, so that the matrix is the one of such coordinates.
    image = Image.fromarray(sample.image).transform(
        (width, height),
        Image.Transform.PERSPECTIVE,
        (inverse / inverse[2, 2]).ravel()[:8].tolist(),
        Image.Resampling.BILINEAR,
        fillcolor=fill,
    )
    boxes, polygons = _move_regions(sample, matrix)
    corners = sample.line_boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 2)
    moved = _move(corners, matrix).reshape(-1, 4, 2)
    line_boxes = np.concatenate([moved.min(axis=1), moved.max(axis=1)], axis=1)
    return _cut(
        replace(
            sample,
            image=np.array(image),
            boxes=boxes,
            polygons=polygons,
            line_boxes=line_boxes,
        )
    )


def _move(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points K×2 through a 3×3 projective map."""
    moved = points @ matrix[:, :2].T + matrix[:, 2]
    return moved[:, :2] / moved[:, 2:]


def _move_regions(sample: Sample, matrix: np.ndarray) -> tuple[np.ndarray, list[Polygons]]:
    """The moved boxes G×4, and the moved outlines."""
    parts = [polygon for outline in sample.polygons for polygon in outline]
    if not parts:
        return sample.boxes, sample.polygons
    points = np.concatenate(parts)
    moved = _move(points, matrix)
    lengths = [sum(map(len, outline)) for outline in sample.polygons]
    starts = np.cumsum([0, *lengths[:-1]])
    bounds = [
        np.concatenate([np.minimum.reduceat(p, starts), np.maximum.reduceat(p, starts)], axis=1)
        for p in (points, moved)
    ]
    pieces = iter(np.split(moved, np.cumsum([len(part) for part in parts])[:-1]))
    polygons = [[next(pieces) for _ in outline] for outline in sample.polygons]
    return bounds[1] + sample.boxes - bounds[0], polygons


def _cut(sample: Sample) -> Sample:
    """Cut regions and lines that stick out of the image; `crop` says how."""
    limit = np.array(sample.image.shape[1::-1], dtype=np.float64)
    boxes, polygons, kept = [], [], []
    for index, (box, outline) in enumerate(zip(sample.boxes, sample.polygons, strict=True)):
        if (box[:2] < 0).any() or (box[2:] > limit).any():
            box = np.concatenate([box[:2].clip(min=0), np.minimum(box[2:], limit)])
            if (box[2:] <= box[:2]).any():
                continue
            outline = clip_outline(outline, limit[0], limit[1])
            if not outline:
                continue
            points = np.concatenate(outline)
            box = np.concatenate(
                [np.maximum(box[:2], points.min(axis=0)), np.minimum(box[2:], points.max(axis=0))]
            )
            if (box[2:] - box[:2] < 1).any():
                continue
        boxes.append(box)
        polygons.append(outline)
        kept.append(index)
    centres = (sample.line_boxes[:, :2] + sample.line_boxes[:, 2:]) / 2
    inside = ((centres >= 0) & (centres < limit)).all(axis=1)
    return replace(
        sample,
        boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4),
        classes=sample.classes[kept],
        polygons=polygons,
        line_boxes=sample.line_boxes[inside].clip(min=0, max=np.tile(limit, 2)),
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
    """What training does to a page: by chance a flip and a crop, a resize, and another look.

    Args:
        min_sizes: shortest sides in pixels, one of which is drawn.
        max_size: longest side allowed, pixels.
        flip: probability of mirroring left and right.
        crop: probability of a crop as DETR's: at a scale where the shortest side is 400, 500 or
            600, a window of 384 to 600 pixels each way. The window is cut from the page itself and
            resized once, rather than resized twice.
        text_noise: what it does to the text; None leaves it as it is.
        augment: what it does to the resized page, such as `augment.Augment`; None leaves it.
    """

    def __init__(
        self,
        min_sizes: Sequence[int],
        max_size: int,
        flip: float = 0.0,
        crop: float = 0.0,
        text_noise: TextNoise | None = None,
        augment: Callable[[Sample, np.random.Generator], Sample] | None = None,
    ) -> None:
        self.min_sizes, self.max_size = list(min_sizes), max_size
        self.flip, self.crop = flip, crop
        self.text_noise = text_noise or TextNoise()
        self.augment = augment

    def __call__(self, sample: Sample, generator: np.random.Generator) -> Sample:
        """The changed page; every draw comes from `generator`."""
        if self.flip and generator.random() < self.flip:
            sample = flip(sample)
        if self.crop and generator.random() < self.crop:
            sample = crop(sample, random_window(sample.image.shape[:2], generator))
        shortest = int(generator.choice(self.min_sizes))
        sample = self.text_noise(sample, generator)
        sample = resize(sample, shortest_edge_size(sample.image.shape[:2], shortest, self.max_size))
        return sample if self.augment is None else self.augment(sample, generator)


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


class TestViews:
    """The views of a page for augmentation at test time: several sizes, mirrored or not.

    Args:
        sizes: shortest sides in pixels, one or more.
        max_size: longest side allowed, pixels.
        flip: see each size mirrored left and right too.

    Attributes:
        flipped: of each view, whether it is mirrored; the first one is not.
    """

    __test__ = False

    def __init__(self, sizes: Sequence[int], max_size: int, flip: bool = False) -> None:
        self.transforms = [TestTransform(size, max_size) for size in sizes]
        self.flip = flip
        self.flipped = [False, True] * len(sizes) if flip else [False] * len(sizes)

    def __call__(self, sample: Sample) -> list[Sample]:
        """The views of a page, in their order."""
        views = []
        for transform in self.transforms:
            resized = transform(sample)
            views += [resized, flip(resized)] if self.flip else [resized]
        return [replace(view, view=number) for number, view in enumerate(views)]


def views_at_test(config: Config) -> TestViews | None:
    """The views of a page that `test.augment` names; None where it is off."""
    given = config.test.augment
    if not given.sizes and not given.flip:
        return None
    sizes = given.sizes or [config.input.min_size_test]
    return TestViews(sizes, given.max_size or config.input.max_size_test, given.flip)
