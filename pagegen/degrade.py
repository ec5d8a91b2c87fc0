"""Print and scan: a page that was on paper, with its boxes moved as the paper moved."""

from __future__ import annotations

import io
import math
import random
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image


def scan(image: Image.Image, rng: random.Random) -> tuple[Image.Image, np.ndarray]:
    """A scanned print of a page, of the same size.

    A small turn, shear and shift, paper colour, uneven light, blurred and thinned or fattened
    ink, noise, specks, JPEG.

    Args:
        image: RGB page.
        rng: where all chance comes from.

    Returns:
        The scan (RGB) and the 2×3 matrix that takes a point (x, y, 1) of the page to the scan.
    """
    from PIL import Image, ImageFilter

    noise = np.random.default_rng(rng.getrandbits(64))
    width, height = image.size
    paper = np.array([rng.uniform(0.86, 1.0)] * 3)
    if rng.random() < 0.5:
        paper *= np.array([1.0, rng.uniform(0.96, 1.0), rng.uniform(0.86, 0.98)])
    forward = _motion(rng, width, height)
    inverse = np.linalg.inv(np.vstack([forward, [0, 0, 1]]))[:2]
    # Pillow's matrix takes pixel centres of the output to the input; its own half-pixel shift on
    # both sides keeps the matrix as it is for continuous coordinates.
    moved = image.transform(
        image.size,
        Image.Transform.AFFINE,
        tuple(inverse.ravel().tolist()),
        Image.Resampling.BICUBIC,
        fillcolor=(255, 255, 255),
    )
    blur = rng.choice([0.0, 0.4, 0.6, 0.8])
    if blur:
        moved = moved.filter(ImageFilter.GaussianBlur(blur))
    pixels = np.asarray(moved, dtype=np.float32) / 255
    pixels = pixels ** rng.uniform(0.75, 1.35)  # Thinner or fatter ink.
    black = rng.uniform(0.0, 0.18)
    pixels = black + (1 - black) * pixels
    light = _light(rng, noise, height, width)
    pixels = pixels * (paper * 1.0).astype(np.float32) * light[..., None]
    grain = rng.choice([0.0, 0.01, 0.02, 0.035])
    if grain:
        pixels += noise.normal(0, grain, (height, width, 1)).astype(np.float32)
    for _ in range(rng.choice([0, 0, 8, 25])):
        x, y = rng.randrange(width), rng.randrange(height)
        pixels[y : y + rng.randint(1, 2), x : x + rng.randint(1, 2)] *= rng.uniform(0.3, 0.8)
    if rng.random() < 0.3:
        pixels[:] = pixels.mean(axis=2, keepdims=True)
    result = Image.fromarray((np.clip(pixels, 0, 1) * 255).astype(np.uint8))
    if rng.random() < 0.6:
        result = _pressed(result, rng.randint(35, 80))
    return result, forward


def _pressed(image: Image.Image, quality: int) -> Image.Image:
    """An image as JPEG leaves it."""
    from PIL import Image

    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(io.BytesIO(buffer.getvalue()), formats=["JPEG"]).convert("RGB")


def wear(image: Image.Image, rng: random.Random) -> tuple[Image.Image, np.ndarray | None]:
    """A page as such pages come: most from files, made smaller or larger, some scanned.

    Args:
        image: RGB page.
        rng: where all chance comes from.

    Returns:
        The page (RGB, the same size) and the 2×3 matrix that takes its points to the new page,
        or None where they did not move.
    """
    from PIL import Image, ImageFilter

    roll = rng.random()
    if roll < 0.07:
        return scan(image, rng)
    if roll < 0.55:
        return image, None
    if rng.random() < 0.5:
        share = rng.uniform(0.55, 0.9)
        small = (round(image.width * share), round(image.height * share))
        how = rng.choice([Image.Resampling.BILINEAR, Image.Resampling.LANCZOS])
        image = image.resize(small, how, reducing_gap=2.0).resize(image.size, how)
    elif rng.random() < 0.5:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.8)))
    if rng.random() < 0.35:
        dark, light = rng.choice([0, 0, 30, 60]), rng.choice([255, 255, 248, 236])
        power = rng.uniform(0.6, 1.5)
        table = [round(dark + (light - dark) * (i / 255) ** power) for i in range(256)]
        image = image.point(table * 3)
    if rng.random() < 0.5:
        image = _pressed(image, rng.randint(30, 80))
    return image, None


def _motion(rng: random.Random, width: int, height: int) -> np.ndarray:
    """A small affine motion about the page's middle: 2×3."""
    turn = math.radians(rng.gauss(0, 0.5) if rng.random() < 0.8 else 0.0)
    turn = min(max(turn, -0.026), 0.026)
    shear = rng.gauss(0, 0.003)
    sx, sy = rng.uniform(0.97, 1.0), rng.uniform(0.97, 1.0)
    linear = np.array(
        [
            [sx * math.cos(turn), -sy * (math.sin(turn) + shear)],
            [sx * math.sin(turn), sy * math.cos(turn)],
        ]
    )
    middle = np.array([width / 2, height / 2])
    shift = np.array([rng.gauss(0, 0.004) * width, rng.gauss(0, 0.004) * height])
    return np.column_stack([linear, middle - linear @ middle + shift])


def _light(rng: random.Random, noise: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Uneven light H×W, about 1; some pages have a dark edge where the book was bound."""
    yy = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    xx = np.linspace(-1, 1, width, dtype=np.float32)[None]
    a, b, c = (rng.uniform(-0.05, 0.05) for _ in range(3))
    light = 1 - 0.04 * rng.random() + a * xx + b * yy + c * xx * yy
    if rng.random() < 0.25:
        side = rng.choice([-1.0, 1.0])
        light = light * (
            1 - rng.uniform(0.15, 0.5) * np.exp(-(1 - side * xx) * rng.uniform(12, 30))
        )
    return np.asarray(light, dtype=np.float32)


def move_boxes(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Boxes N×4 (x0 y0 x1 y1) around the moved boxes; ``matrix`` is 2×3."""
    x0, y0, x1, y1 = boxes.T
    corners = np.stack(
        [np.stack([x0, x1, x1, x0], axis=1), np.stack([y0, y0, y1, y1], axis=1)], axis=2
    )
    moved = corners @ matrix[:, :2].T + matrix[:, 2]
    return np.concatenate([moved.min(axis=1), moved.max(axis=1)], axis=1)
