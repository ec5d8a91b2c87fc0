"""Labels on a page: where they cover least, and their drawing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lmv3det.visualization.fonts import font, runs

MAX_LABELS = 500
"""Labels on a page. More cannot be read, and each is compared with those before it."""

_CELLS = 600
"""Ink and regions are measured on a grid with about so many cells on the page's shorter side."""
_INK, _REGION, _OWN, _LABEL = 6.0, 1.0, 0.25, 60.0
"""What a covered pixel costs: text or lines of the page, another region, the label's own region,
another label."""

Box = tuple[float, float, float, float]


class Label(NamedTuple):
    """A text in the runs of its fonts; `width` and `height` of its plate, pixels."""

    runs: list[tuple[str, ImageFont.FreeTypeFont]]
    width: float
    height: float
    size: int


def make_label(text: str, size: int) -> Label:
    """A label of a font size in pixels."""
    parts = [(part, font(path, size)) for part, path in runs(text)]
    width = sum(face.getlength(part) for part, face in parts)
    return Label(parts, np.ceil(width) + 4, round(size * 1.2) + 2, size)


def draw_label(draw: ImageDraw.ImageDraw, label: Label, place: Box, rgb: Sequence[int]) -> None:
    """Draw a label on a plate of the given colour, in black or white."""
    x0, y0, x1, y1 = place
    draw.rectangle((x0, y0, x1 - 1, y1 - 1), fill=tuple(rgb))
    ink = "white" if np.dot(rgb, (0.299, 0.587, 0.114)) < 150 else "black"
    x, baseline = x0 + 2, y0 + 1 + round(0.95 * label.size)
    for part, face in label.runs:
        draw.text((x, baseline), part, fill=ink, font=face, anchor="ls")
        x += face.getlength(part)


class Placer:
    """Finds places for labels, one after the other.

    What a place covers is read from summed tables of the page, so that the time for a label does
    not grow with the number of regions.

    Args:
        page: the page without drawings.
        boxes: all regions, G×4 x0 y0 x1 y1 pixels.
    """

    def __init__(self, page: Image.Image, boxes: np.ndarray) -> None:
        self.width, self.height = page.size
        self.cell = max(1, min(page.size) // _CELLS)
        grey = np.asarray(page.convert("L").reduce(self.cell), dtype=np.float32)
        paper = float(np.median(grey))
        ink = np.abs(grey - paper) > 40
        self.ink = _summed(ink)
        self.regions = _summed(_coverage(boxes / self.cell, grey.shape))
        self.taken = np.zeros((0, 4))

    def place(self, box: np.ndarray, label: tuple[float, float]) -> Box:
        """Where a label of (width, height) is put for a region; remembered for those to come.

        Tried are places round the region and within it, and the one taken that costs least.
        """
        x0, y0, x1, y1 = box
        width, tall = label
        middle = (x0 + x1 - width) / 2, (y0 + y1 - tall) / 2
        corners = np.array(
            [
                (x0, y0 - tall),
                (x1 - width, y0 - tall),
                (x0 - width, y0),
                (x1, y0),
                (x0 - width, middle[1]),
                (x1, middle[1]),
                (x0, y1),
                (x1 - width, y1),
                (x0 - width, y1 - tall),
                (x1, y1 - tall),
                (middle[0], y0 - tall),
                (middle[0], y1),
                (x0 - width, y0 - tall),
                (x1, y0 - tall),
                (x0 - width, y1),
                (x1, y1),
                (x1 - width, y0),
                (x0, y0),
                (x1 - width, y1 - tall),
                (x0, y1 - tall),
            ]
        )
        corners = corners.clip(0, [max(self.width - width, 0), max(self.height - tall, 0)])
        places = np.concatenate([corners, corners + np.array(label)], axis=1)  # K×4
        own = _overlaps(places, box[None])[:, 0]
        others = (self._sum(self.regions, places) - own).clip(min=0)
        labels = _overlaps(places, self.taken).sum(axis=1)
        ink = self._sum(self.ink, places)
        cost = _INK * ink + _REGION * others + _OWN * own + _LABEL * labels
        best = places[np.argmin(np.round(cost, 3))]
        self.taken = np.concatenate([self.taken, best[None]])
        return tuple(best.tolist())

    def _sum(self, table: np.ndarray, places: np.ndarray) -> np.ndarray:
        """What K places cover, in pixels of the page."""
        rows, columns = table.shape
        x0, y0 = (places[:, :2] / self.cell).round().astype(int).T
        x1, y1 = (places[:, 2:] / self.cell).round().astype(int).T
        x0, x1 = (np.clip(x, 0, columns - 1) for x in (x0, x1))
        y0, y1 = (np.clip(y, 0, rows - 1) for y in (y0, y1))
        covered = table[y1, x1] - table[y0, x1] - table[y1, x0] + table[y0, x0]
        return covered * self.cell**2


def _coverage(boxes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """How many boxes cover each cell, H×W."""
    height, width = shape
    steps = np.zeros((height + 1, width + 1))
    x0, y0, x1, y1 = boxes.clip(0, [width, height, width, height]).round().astype(int).T
    for y, x, step in ((y0, x0, 1), (y0, x1, -1), (y1, x0, -1), (y1, x1, 1)):
        np.add.at(steps, (y, x), step)
    return steps.cumsum(axis=0).cumsum(axis=1)[:height, :width]


def _summed(values: np.ndarray) -> np.ndarray:
    """Summed-area table, (H + 1)×(W + 1)."""
    table = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    table[1:, 1:] = values.cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    return table


def _overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Areas that K boxes share with N others, K×N."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return (high - low).clip(min=0).prod(axis=2)
