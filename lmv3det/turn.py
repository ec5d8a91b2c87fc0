"""How a page is turned upright, and how what is found there is given back in its own pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Turn:
    """How a page is brought upright: by quarter turns, then by its skew.

    Attributes:
        quarters: times 90° anticlockwise, 0 to 3.
        skew: degrees anticlockwise after that.
        size: (height, width) of the page as it is, in pixels.
    """

    quarters: int
    skew: float
    size: tuple[int, int]

    def __bool__(self) -> bool:
        return bool(self.quarters or self.skew)

    @property
    def upright_size(self) -> tuple[int, int]:
        """(height, width) of the upright page."""
        height, width = self.size if self.quarters % 2 == 0 else self.size[::-1]
        if not self.skew:
            return height, width
        angle = math.radians(abs(self.skew))
        s, c = math.sin(angle), math.cos(angle)
        return math.ceil(height * c + width * s), math.ceil(width * c + height * s)

    @property
    def matrix(self) -> np.ndarray:
        """2×3: from a point of the upright page to the point of the page as it is, in pixels."""
        height, width = self.size
        turned = (height, width) if self.quarters % 2 == 0 else (width, height)
        upright = self.upright_size
        angle = math.radians(self.skew)
        s, c = math.sin(angle), math.cos(angle)
        rotate = np.array([[c, -s], [s, c]])  # y is down: anticlockwise seen, undone
        centre = (
            np.array([turned[1], turned[0]]) / 2 - rotate @ np.array([upright[1], upright[0]]) / 2
        )
        back, origin = {
            0: (np.eye(2), (0, 0)),
            1: (np.array([[0, -1], [1, 0]]), (width, 0)),
            2: (-np.eye(2), (width, height)),
            3: (np.array([[0, 1], [-1, 0]]), (0, height)),
        }[self.quarters]
        return np.column_stack([back @ rotate, back @ centre + np.array(origin)])

    def turn(self, image: np.ndarray) -> np.ndarray:
        """The upright page, H×W×3 uint8; corners that the page does not reach have its ground."""
        turned = np.ascontiguousarray(np.rot90(image, self.quarters))
        if not self.skew:
            return turned
        height, width = self.upright_size
        only = Turn(0, self.skew, turned.shape[:2])
        picture = Image.fromarray(turned).transform(
            (width, height),
            Image.Transform.AFFINE,
            data=tuple(only.matrix.ravel()),
            resample=Image.Resampling.BICUBIC,
            fillcolor=_ground(turned),
        )
        return np.asarray(picture)

    def quadrilaterals(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes of the upright page as outlines on the page as it is.

        Args:
            boxes: N×4 x0 y0 x1 y1 in pixels of the upright page.

        Returns:
            N×4×2 (x, y): the corners from the upper left of the upright box on, clockwise.
        """
        boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
        corners = boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]  # N×4×2
        matrix = self.matrix
        return corners @ matrix[:, :2].T + matrix[:, 2]

    def boxes_back(self, boxes: np.ndarray) -> np.ndarray:
        """The boxes around `quadrilaterals`, cut at the page's sides; N×4."""
        return _around(self.quadrilaterals(boxes), self.size)

    def boxes_upright(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes of the page as it is on the upright page, N×4.

        Skew keeps a box's centre and size: a line of text fills its upright box, not the box
        around its turned corners.
        """
        boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
        matrix = np.vstack([self.matrix, [0, 0, 1]])
        inverse = np.linalg.inv(matrix)[:2]
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2 @ inverse[:, :2].T + inverse[:, 2]
        sizes = boxes[:, 2:] - boxes[:, :2]
        if self.quarters % 2:
            sizes = sizes[:, ::-1]
        if self.skew:
            sizes = _unskewed(sizes, abs(self.skew))
        height, width = self.upright_size
        upright = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)
        return upright.clip(0, [width, height, width, height])


def _unskewed(sizes: np.ndarray, skew: float) -> np.ndarray:
    """N×2 (w, h) of the turned rectangles inside the boxes of N×2 sizes around them; where the box
    is of no rectangle so turned, its own size.

    From W = w·cos + h·sin and H = w·sin + h·cos.
    """
    s, c = math.sin(math.radians(skew)), math.cos(math.radians(skew))
    w = (sizes[:, 0] * c - sizes[:, 1] * s) / (c * c - s * s)
    h = (sizes[:, 1] * c - sizes[:, 0] * s) / (c * c - s * s)
    inner = np.stack([w, h], axis=1)
    return np.where((inner > 1).all(axis=1, keepdims=True), inner, sizes)


def _around(outlines: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    boxes = np.concatenate([outlines.min(axis=1), outlines.max(axis=1)], axis=1)
    return boxes.clip(0, [width, height, width, height])


def _ground(image: np.ndarray) -> tuple[int, ...]:
    """The median colour of a page's margins."""
    edges = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    return tuple(int(value) for value in np.median(edges, axis=0))
