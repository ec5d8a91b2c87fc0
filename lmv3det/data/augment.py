"""Pages in training as they come from other printers, scanners, cameras and files.

Everything is done at the size of the network input, in bytes and mostly by Pillow, so that a page
takes milliseconds.
"""

from __future__ import annotations

import io
import math
from dataclasses import replace

import numpy as np
from PIL import Image, ImageFilter

from lmv3det.config.schema import AugmentConfig
from lmv3det.data.transforms import warp
from lmv3det.structures import Sample


class Augment:
    """Another look for a page, in the order in which paper and files get theirs: the paper's
    place, its light, lens and ink, then grain and compression.

    Args:
        settings: probabilities and strengths.
    """

    def __init__(self, settings: AugmentConfig) -> None:
        self.settings = settings

    def __call__(self, sample: Sample, generator: np.random.Generator) -> Sample:
        """The changed page, of the same size; every draw comes from `generator`."""
        given = self.settings
        if generator.random() >= given.probability:
            return sample

        def drawn(probability: float) -> bool:
            return bool(generator.random() < probability)

        if drawn(given.geometry):
            matrix = random_motion(sample.image.shape[:2], given, generator)
            sample = warp(sample, matrix, _surroundings(sample.image, generator))
        image = Image.fromarray(sample.image)
        if drawn(given.small):
            image = _enlarged(image, generator.uniform(given.small_scale, 1), drawn(0.5))
        if drawn(given.blur):
            image = image.filter(ImageFilter.GaussianBlur(generator.uniform(0, given.blur_sigma)))
        if drawn(given.tone):
            image = image.point(random_tone(generator))
        if drawn(given.grey):
            image = image.convert("L").convert("RGB")
        if drawn(given.light):
            image = _lit(image, generator)
        if drawn(given.noise):
            image = _grained(image, generator, generator.uniform(0, given.noise_level))
        if drawn(given.jpeg):
            low, high = given.jpeg_quality
            image = _compressed(image, int(generator.integers(low, high + 1)))
        return replace(sample, image=np.array(image))


def random_motion(
    size: tuple[int, ...], settings: AugmentConfig, generator: np.random.Generator
) -> np.ndarray:
    """The 3×3 matrix of a small turn, zoom, shift and perspective of a page of (height, width)
    `size`, in pixels, about its middle; the shift is a quarter of `zoom` of its sides at most."""
    height, width = size
    side = np.array([width, height], dtype=np.float64)
    angle = math.radians(generator.uniform(-1, 1) * settings.rotation)
    zoom = 1 + generator.uniform(-1, 1) * settings.zoom
    squeeze = 1 + generator.uniform(-0.5, 0.5, 2) * settings.zoom
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    shift = generator.uniform(-0.25, 0.25, 2) * settings.zoom * side
    corners = np.array([[0.0, 0.0], [1, 0], [1, 1], [0, 1]]) * side
    moved = (corners - side / 2) @ (turn * squeeze * zoom).T + side / 2 + shift
    moved += generator.uniform(-1, 1, (4, 2)) * settings.perspective * side
    return _homography(corners, moved)


def _homography(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The 3×3 projective map that takes four points (4×2) to four others."""
    rows, values = [], []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return np.append(np.linalg.solve(np.array(rows), np.array(values)), 1).reshape(3, 3)


def _surroundings(image: np.ndarray, generator: np.random.Generator) -> tuple[int, int, int]:
    """What lies around the paper: mostly more of it, the median of the page's edge; now and then
    the white, grey or black of a scanner."""
    if generator.random() < 0.25:
        value = int(generator.choice([0, 64, 160, 255]))
        return value, value, value
    edge = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    red, green, blue = np.median(edge, axis=0).astype(int).tolist()
    return red, green, blue


def _enlarged(image: Image.Image, scale: float, sharp: bool) -> Image.Image:
    """An image that was stored at `scale` of its size."""
    how = Image.Resampling.LANCZOS if sharp else Image.Resampling.BILINEAR
    small = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(small, how).resize(image.size, how)


def random_tone(generator: np.random.Generator) -> list[int]:
    """A table of 3 × 256 values: each channel from its ink to its paper along a power.

    The power makes ink thinner (below 1) or fatter. Ink is up to a quarter of the way to white,
    paper down to four fifths of it, a little yellower on half of the pages.
    """
    ramp = np.linspace(0, 1, 256) ** generator.uniform(0.65, 1.5)
    ink = generator.uniform(0, 0.25) * generator.random()
    paper = 1 - generator.uniform(0, 0.2) * generator.random()
    colour = np.ones(3)
    if generator.random() < 0.5:
        colour = np.array([1.0, generator.uniform(0.95, 1.0), generator.uniform(0.84, 0.99)])
    tint = generator.uniform(0.97, 1.0, 3)
    table = (ink + (paper - ink) * ramp) * (colour * tint)[:, None]
    return np.rint(table * 255).astype(int).ravel().tolist()


def _lit(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """Uneven light: a bilinear field, and on a quarter of the pages a dark edge at the binding."""
    width, height = image.size
    yy = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    xx = np.linspace(-1, 1, width, dtype=np.float32)
    a, b, c = generator.uniform(-0.07, 0.07, 3).astype(np.float32)
    light = np.float32(0.95) + a * xx + b * yy + c * xx * yy  # H×W
    if generator.random() < 0.25:
        side = np.float32(generator.choice([-1.0, 1.0]))
        depth, width_of_edge = generator.uniform(0.15, 0.5), generator.uniform(12, 30)
        light *= 1 - np.float32(depth) * np.exp(-(1 - side * xx) * np.float32(width_of_edge))
    factor = np.clip(light * 256 + 0.5, 0, 256).astype(np.uint16)
    # 255 · 256 fits into 16 bits.
    return Image.fromarray(((np.asarray(image) * factor[..., None]) >> 8).astype(np.uint8))


def _grained(image: Image.Image, generator: np.random.Generator, level: float) -> Image.Image:
    """Grey noise of a standard deviation of `level` of white; specks on a third of the pages."""
    pixels = np.asarray(image)
    height, width = pixels.shape[:2]
    grain = generator.standard_normal((height, width), dtype=np.float32) * np.float32(level * 255)
    noisy = pixels + np.rint(grain).astype(np.int16)[..., None]
    if generator.random() < 1 / 3:
        count = int(generator.integers(1, 30))
        rows, columns = (
            generator.integers(height, size=count),
            generator.integers(width, size=count),
        )
        noisy[rows, columns] = (noisy[rows, columns] * generator.uniform(0.3, 0.8)).astype(np.int16)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def _compressed(image: Image.Image, quality: int) -> Image.Image:
    """An image as JPEG leaves it."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer, formats=["JPEG"]).convert("RGB")
