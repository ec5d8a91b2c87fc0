"""The twelve perturbations of document pages that RoDLA names (Chen et al., CVPR 2024, section 3),
written anew from their description, each at three levels.

A page is H×W×3 uint8. The three spatial ones move its boxes too; the others leave them. All draws
come from the generator, so that a seed gives the same pages.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFilter, ImageFont

LEVELS = (1, 2, 3)
Maps = tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]
"""A page, and what moves points N×2 (x, y in pixels) of the page before onto it."""


def rotation(page: np.ndarray, level: int, rng: np.random.Generator) -> Maps:
    """Turned about its middle, by 5, 10 or 15 degrees either way."""
    height, width = page.shape[:2]
    angle = math.radians((5, 10, 15)[level - 1]) * rng.choice([-1, 1])
    cos, sin = math.cos(angle), math.sin(angle)
    middle = np.array([width, height]) / 2
    matrix = np.array([[cos, -sin], [sin, cos]])

    def move(points: np.ndarray) -> np.ndarray:
        return (points - middle) @ matrix.T + middle

    def back(points: np.ndarray) -> np.ndarray:
        return (points - middle) @ matrix + middle

    return _resample(page, back), move


def keystoning(page: np.ndarray, level: int, rng: np.random.Generator) -> Maps:
    """Seen at an angle: each corner moves inwards by up to 2, 6 or 10 % of the sides."""
    height, width = page.shape[:2]
    reach = (0.02, 0.06, 0.1)[level - 1]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=float)
    inwards = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * np.array([width, height])
    moved = corners + inwards * rng.uniform(0.3 * reach, reach, (4, 2))
    there, back = _homography(corners, moved), _homography(moved, corners)
    return _resample(page, lambda p: _project(back, p)), lambda p: _project(there, p)


def warping(page: np.ndarray, level: int, rng: np.random.Generator) -> Maps:
    """Bent as paper does: two long waves of 0.4, 0.9 or 1.5 % of the height."""
    height, width = page.shape[:2]
    size = (0.004, 0.009, 0.015)[level - 1] * height
    phase, waves = rng.uniform(0, 2 * math.pi, 2), rng.uniform(0.7, 1.8, 2)

    def shift(points: np.ndarray) -> np.ndarray:
        x, y = points[:, 0] / width, points[:, 1] / height
        return size * np.stack(
            [
                np.sin(2 * math.pi * waves[0] * y + phase[0]),
                np.sin(2 * math.pi * waves[1] * x + phase[1]),
            ],
            axis=1,
        )

    def back(points: np.ndarray) -> np.ndarray:
        return points - shift(points)

    def move(points: np.ndarray) -> np.ndarray:
        there = points + shift(points)
        for _ in range(5):  # the point whose way back ends at `points`
            there = points + shift(there)
        return there

    return _resample(page, back), move


def watermark(page: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    """Words across the page, in grey of growing strength and size."""
    height, width = page.shape[:2]
    alpha, size = ((70, 0.06), (120, 0.09), (170, 0.12))[level - 1]
    layer = Image.new("RGBA", (2 * width, 2 * height), (0, 0, 0, 0))
    font = ImageFont.load_default(size * height)
    draw = ImageDraw.Draw(layer)
    step = int(3 * size * height)
    words = str(rng.choice(["CONFIDENTIAL", "DRAFT", "SAMPLE COPY"]))
    for y in range(0, 2 * height, step):
        draw.text((int(rng.integers(0, step)), y), (words + "   ") * 4, (90, 90, 90, alpha), font)
    turned = layer.rotate(float(rng.uniform(20, 40)))
    turned = turned.crop((width // 2, height // 2, width // 2 + width, height // 2 + height))
    return np.array(Image.alpha_composite(_image(page).convert("RGBA"), turned).convert("RGB"))


def background(page: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    """One, two or three soft coloured pictures behind the page's ink."""
    height, width = page.shape[:2]
    ground = np.full(page.shape, 255.0)
    for _ in range(level):
        h, w = (int(side * rng.uniform(0.3, 0.6)) for side in (height, width))
        y, x = int(rng.integers(0, height - h)), int(rng.integers(0, width - w))
        ground[y : y + h, x : x + w] = _clouds(h, w, rng, 3) * 140 + 100
    return _bytes(page * ground / 255)


def illumination(page: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    """A shadow or a glare with a soft edge, over a third of the page and more."""
    height, width = page.shape[:2]
    depth = (0.25, 0.45, 0.65)[level - 1]
    angle = rng.uniform(0, 2 * math.pi)
    y, x = np.mgrid[0:height, 0:width]
    along = (x / width - 0.5) * math.cos(angle) + (y / height - 0.5) * math.sin(angle)
    edge = 1 / (1 + np.exp(-(along - rng.uniform(-0.15, 0.15)) / 0.06))
    shade = 1 - depth * edge[..., None]
    if rng.random() < 0.3:  # a glare takes the ink away
        return _bytes(255 - (255 - page.astype(float)) * shade)
    return _bytes(page * shade)


def ink_bleeding(page: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    """Ink that spreads: the darkest of the neighbours within 1, 2 or 3 pixels, softly."""
    spread = _image(page).filter(ImageFilter.MinFilter(2 * level + 1))
    share = rng.uniform(0.5, 0.7)
    return _bytes(np.asarray(spread) * share + page * (1 - share))


def ink_holdout(page: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    """Ink that does not reach the paper: the lightest of the neighbours, softly and in places."""
    thin = np.asarray(_image(page).filter(ImageFilter.MaxFilter(3 if level < 3 else 5)))
    share = (0.4, 0.65, 0.7)[level - 1] * (0.6 + 0.4 * _clouds(*page.shape[:2], rng, 1))
    return _bytes(thin * share + page * (1 - share))


def defocus(page: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    """Out of focus: the mean over a disc of radius 1, 3 or 5 pixels on a page 1600 high."""
    radius = (1, 3, 5)[level - 1] * page.shape[0] / 1600
    side = math.ceil(radius)
    y, x = np.mgrid[-side : side + 1, -side : side + 1]
    disc = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)
    return _blur(page, disc)


def vibration(page: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    """Moved while it was taken: the mean along a line of 3, 9 or 15 pixels on a page 1600 high."""
    reach = max(1.0, (3, 9, 15)[level - 1] * page.shape[0] / 1600) / 2
    angle, side = rng.uniform(0, math.pi), math.ceil(reach)
    y, x = np.mgrid[-side : side + 1, -side : side + 1]
    across = np.abs(-x * math.sin(angle) + y * math.cos(angle))
    along = np.abs(x * math.cos(angle) + y * math.sin(angle))
    return _blur(page, np.clip(1 - across, 0, 1) * np.clip(reach + 0.5 - along, 0, 1))


def speckle(page: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    """Specks of ink and of paper, denser from level to level."""
    height, width = page.shape[:2]
    result = page.copy()
    number = int((2e-4, 6e-4, 1.2e-3)[level - 1] * height * width)
    for value in (30, 255):
        y, x = rng.integers(0, height, number), rng.integers(0, width, number)
        for dy in (0, 1):
            for dx in (0, 1):
                held = rng.random(number) < (1.0 if dx == dy == 0 else 0.6)
                rows, columns = np.minimum(y + dy, height - 1), np.minimum(x + dx, width - 1)
                result[rows[held], columns[held]] = value
    return result


def texture(page: np.ndarray, level: int, rng: np.random.Generator) -> np.ndarray:
    """The fibres of coarse paper: short bent lines, 300, 900 or 1800 of them, and grain."""
    height, width = page.shape[:2]
    image = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(image)
    for _ in range((300, 900, 1800)[level - 1]):
        point = rng.uniform(0, 1, 2) * (width, height)
        angle, path = rng.uniform(0, 2 * math.pi), [tuple(point)]
        for _ in range(5):
            angle += rng.normal(0, 0.4)
            point = point + height * 0.006 * np.array([math.cos(angle), math.sin(angle)])
            path.append(tuple(point))
        draw.line(path, int(rng.integers(60, 150)), 1)
    fibres = np.asarray(image.filter(ImageFilter.GaussianBlur(0.6)), dtype=float)[..., None]
    grain = rng.normal(0, 4 * level, (height, width, 1))
    return _bytes(page - fibres * (0.35 + 0.15 * level) + grain)


SPATIAL = {"rotation": rotation, "warping": warping, "keystoning": keystoning}
OTHERS = {
    "watermark": watermark,
    "background": background,
    "illumination": illumination,
    "ink bleeding": ink_bleeding,
    "ink holdout": ink_holdout,
    "defocus": defocus,
    "vibration": vibration,
    "speckle": speckle,
    "texture": texture,
}
NAMES = (*SPATIAL, *OTHERS)
"""P1 … P12 in the paper's order."""


def perturb(
    page: np.ndarray, boxes: np.ndarray, name: str, level: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A perturbed page and its boxes.

    Args:
        page: H×W×3 uint8.
        boxes: N×4 float, x0 y0 x1 y1 in pixels.
        name: one of `NAMES`.
        level: 1, 2 or 3.
        rng: all draws come from it.

    Returns:
        The page, of the same size, and the boxes around the moved ones, cut at the page.
    """
    if name in OTHERS:
        return OTHERS[name](page, level, rng), boxes
    moved, move = SPATIAL[name](page, level, rng)
    return moved, move_boxes(boxes, move, page.shape[1], page.shape[0])


def move_boxes(
    boxes: np.ndarray, move: Callable[[np.ndarray], np.ndarray], width: int, height: int
) -> np.ndarray:
    """The boxes N×4 around what `move` makes of the sides of boxes N×4, cut at the page."""
    if not len(boxes):
        return boxes
    along = np.linspace(0, 1, 9)
    x0, y0, x1, y1 = (np.repeat(side[:, None], len(along), axis=1) for side in boxes.T)  # N×9
    across, down = x0 + (x1 - x0) * along, y0 + (y1 - y0) * along
    xs = np.concatenate([across, across, x0, x1], axis=1)  # top, bottom, left, right
    ys = np.concatenate([y0, y1, down, down], axis=1)
    points = move(np.stack([xs.ravel(), ys.ravel()], axis=1)).reshape(len(boxes), -1, 2)
    low, high = points.min(axis=1), points.max(axis=1)
    return np.concatenate([low, high], axis=1).clip(0, [width, height, width, height])


def _image(page: np.ndarray) -> Image.Image:
    return Image.fromarray(page)


def _bytes(page: np.ndarray) -> np.ndarray:
    return page.clip(0, 255).round().astype(np.uint8)


def _tensor(page: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(page.astype(np.float32)).permute(2, 0, 1)[None]  # 1×3×H×W


def _array(page: torch.Tensor) -> np.ndarray:
    return _bytes(page[0].permute(1, 2, 0).numpy())


def _resample(page: np.ndarray, back: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The page whose point p shows what lies at `back(p)`; white from outside."""
    height, width = page.shape[:2]
    y, x = np.mgrid[0:height, 0:width] + 0.5
    source = back(np.stack([x.ravel(), y.ravel()], axis=1))
    grid = source / (width, height) * 2 - 1
    grid = torch.from_numpy(grid.astype(np.float32)).view(1, height, width, 2)
    darkness = 255 - _tensor(page)
    return _array(255 - F.grid_sample(darkness, grid, align_corners=False))


def _blur(page: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    weight = torch.from_numpy((kernel / kernel.sum()).astype(np.float32))[None, None]
    margin = kernel.shape[0] // 2
    padded = F.pad(_tensor(page), (margin,) * 4, mode="replicate")
    return _array(F.conv2d(padded, weight.expand(3, -1, -1, -1), groups=3))


def _clouds(height: int, width: int, rng: np.random.Generator, channels: int) -> np.ndarray:
    """Soft random shapes H×W×channels from 0 to 1."""
    coarse = torch.from_numpy(rng.random((1, channels, 6, 6), dtype=np.float32))
    fine = F.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=False)
    return fine[0].permute(1, 2, 0).clamp(0, 1).numpy()


def _homography(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The 3×3 matrix that maps four points 4×2 onto four others."""
    rows, values = [], []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    solved = np.linalg.solve(np.array(rows, dtype=float), np.array(values, dtype=float))
    return np.append(solved, 1.0).reshape(3, 3)


def _project(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    moved = np.concatenate([points, np.ones((len(points), 1))], axis=1) @ matrix.T
    return moved[:, :2] / moved[:, 2:]


def as_jpeg(page: np.ndarray, quality: int = 90) -> bytes:
    """A page as a JPEG file."""
    buffer = io.BytesIO()
    _image(page).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
