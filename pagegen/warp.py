"""Pages photographed or scanned from books: bent, in perspective, creased, shone through."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

Move = Callable[[np.ndarray], np.ndarray]
"""Points N×2 (x, y) of the flat page to points of the bent one."""
CELLS = 24


def bend(image: Image.Image, rng: random.Random) -> tuple[Image.Image, Move]:
    """A photograph of a page that does not lie flat, of the same size.

    Args:
        image: RGB page.
        rng: where all chance comes from.

    Returns:
        The photograph (RGB), and what takes points of the page to it.
    """
    from PIL import Image

    noise = np.random.default_rng(rng.getrandbits(64))
    width, height = image.size
    size = np.array([width, height], dtype=float)
    move = _motion(rng, size)
    if rng.random() < 0.5:
        image = _shine_through(image, rng)
    xs, ys = np.linspace(0, width, CELLS + 1), np.linspace(0, height, CELLS + 1)
    goal = np.stack(np.meshgrid(xs.round(), ys.round()), axis=2)  # of the photograph
    source = _inverse(move, goal.reshape(-1, 2)).reshape(goal.shape)
    mesh = []
    for j in range(CELLS):
        for i in range(CELLS):
            (x0, y0), (x1, y1) = goal[j, i], goal[j + 1, i + 1]
            corners = (source[j, i], source[j + 1, i], source[j + 1, i + 1], source[j, i + 1])
            quad = tuple(float(v) for corner in corners for v in corner)
            mesh.append(((int(x0), int(y0), int(x1), int(y1)), quad))
    ground = rng.randint(0, 90)
    moved = image.transform(
        image.size, Image.Transform.MESH, mesh, Image.Resampling.BICUBIC, fillcolor=(ground,) * 3
    )
    pixels = np.asarray(moved, dtype=np.float32) / 255
    light = _light(rng, height, width)
    for _ in range(rng.choice([0, 0, 1, 2])):
        light *= _crease(rng, height, width)
    paper = np.array([1, rng.uniform(0.95, 1), rng.uniform(0.85, 1)], dtype=np.float32)
    pixels = pixels * light[..., None] * paper * rng.uniform(0.8, 1)
    pixels += noise.normal(0, rng.choice([0.0, 0.008, 0.02]), (height, width, 1))
    return Image.fromarray((np.clip(pixels, 0, 1) * 255).astype(np.uint8)), move


def _motion(rng: random.Random, size: np.ndarray) -> Move:
    """Bent towards a side, a little turned and in perspective; within the picture."""
    turn = math.radians(rng.gauss(0, 0.6))
    cos, sin = math.cos(turn), math.sin(turn)
    depth = rng.uniform(0, 0.022) * rng.choice([-1, 1])
    squeeze = rng.uniform(0, 0.05) * rng.choice([-1, 1])
    slope = rng.uniform(-0.04, 0.04)
    tilt = rng.uniform(-0.04, 0.04)
    zoom = rng.uniform(0.93, 0.99)

    def move(points: np.ndarray) -> np.ndarray:
        u = points / size * 2 - 1  # −1 to 1
        x, y = u[:, 0], u[:, 1]
        y = y + depth * 2 * (x * x - 0.5) * (1 + 0.3 * y)
        x = x + squeeze * (1 - x * x) * 0.5
        far = 1 / (1 + slope * x + tilt * y)
        x, y = x * far, y * far
        ratio = size[0] / size[1]
        turned = np.stack([cos * x - sin * y / ratio, sin * x * ratio + cos * y], axis=1)
        return (turned * zoom + 1) / 2 * size

    return move


def _inverse(move: Move, goal: np.ndarray) -> np.ndarray:
    """The points that ``move`` takes to ``goal`` N×2, by fixed-point steps."""
    points = goal.copy()
    for _ in range(25):
        points += goal - move(points)
    return points


def move_boxes(boxes: np.ndarray, move: Move) -> np.ndarray:
    """Boxes N×4 (x0 y0 x1 y1) around the moved boxes, from points along their edges."""
    share = np.linspace(0, 1, 9)
    x0, y0, x1, y1 = (boxes[:, k, None] for k in range(4))
    across, down = x0 + (x1 - x0) * share, y0 + (y1 - y0) * share  # N×9
    one = np.ones_like(share)
    edges = [(across, y0 * one), (across, y1 * one), (x0 * one, down), (x1 * one, down)]
    points = np.concatenate([np.stack(edge, axis=2) for edge in edges], axis=1)  # N×36×2
    moved = move(points.reshape(-1, 2)).reshape(points.shape)
    return np.concatenate([moved.min(axis=1), moved.max(axis=1)], axis=1)


def _shine_through(image: Image.Image, rng: random.Random) -> Image.Image:
    """The page with its own mirror image faintly behind it."""
    from PIL import Image, ImageChops, ImageFilter, ImageOps

    back = ImageOps.mirror(image).filter(ImageFilter.GaussianBlur(1.2))
    share = rng.uniform(0.05, 0.2)
    pale = Image.blend(Image.new("RGB", image.size, (255, 255, 255)), back, share)
    return ImageChops.multiply(image, pale)


def _light(rng: random.Random, height: int, width: int) -> np.ndarray:
    """Uneven light H×W with the shadow of a fold or a hand in some."""
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None]
    light = 0.95 + rng.uniform(-0.12, 0.05) * x + rng.uniform(-0.12, 0.05) * y
    if rng.random() < 0.6:
        side = rng.choice([-1.0, 1.0])
        light = light * (1 - rng.uniform(0.1, 0.5) * np.exp(-(1 - side * x) * rng.uniform(5, 20)))
    if rng.random() < 0.4:
        cx, cy, wide = rng.uniform(-1, 1), rng.uniform(-1, 1), rng.uniform(0.3, 0.9)
        far = ((x - cx) ** 2 + (y - cy) ** 2) / wide**2
        light = light * (1 - rng.uniform(0.1, 0.35) * np.exp(-far))
    return np.asarray(np.clip(light, 0.2, 1.05), dtype=np.float32)


def _crease(rng: random.Random, height: int, width: int) -> np.ndarray:
    """The light on a fold H×W: darker on one side of a line, brighter on the other."""
    y = np.arange(height, dtype=np.float32)[:, None]
    x = np.arange(width, dtype=np.float32)[None]
    angle = rng.choice([0.0, math.pi / 2, rng.uniform(0, math.pi)])
    away = (x - width * rng.uniform(0.3, 0.7)) * math.cos(angle) + (
        y - height * rng.uniform(0.3, 0.7)
    ) * math.sin(angle)
    return np.asarray(
        1 - rng.uniform(0.05, 0.2) * np.sign(away) * np.exp(-np.abs(away) / rng.uniform(2, 14)),
        dtype=np.float32,
    )
