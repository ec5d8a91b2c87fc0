"""Pictures without words: photographs, micrographs, scans, maps and fields, as arrays.

Every function takes a random generator and a size in pixels and returns H×W×3 uint8.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Noise = np.random.Generator
RAMPS = np.array(
    [
        [(0, 0, 130), (0, 200, 255), (130, 255, 120), (255, 200, 0), (128, 0, 0)],
        [(68, 1, 84), (59, 82, 139), (33, 144, 140), (93, 201, 99), (253, 231, 37)],
        [(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)],
        [(59, 76, 192), (141, 176, 254), (221, 221, 221), (244, 154, 123), (180, 4, 38)],
        [(0, 0, 0), (64, 64, 64), (128, 128, 128), (192, 192, 192), (255, 255, 255)],
        [(255, 255, 255), (198, 219, 239), (107, 174, 214), (33, 113, 181), (8, 48, 107)],
        [(255, 255, 229), (254, 227, 145), (254, 153, 41), (204, 76, 2), (102, 37, 6)],
        [(0, 0, 255), (128, 128, 255), (255, 255, 255), (255, 128, 128), (255, 0, 0)],
    ],
    dtype=np.float32,
)
"""Colour ramps, each of five stops from low to high."""


def ramp(value: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Colours H×W×3 uint8 of values H×W in 0..1."""
    place = np.linspace(0, 1, len(stops))
    table = np.stack([np.interp(np.linspace(0, 1, 256), place, stops[:, i]) for i in range(3)], 1)
    return np.asarray(table.astype(np.uint8)[(np.clip(value, 0, 1) * 255).astype(np.uint8)])


def smooth(noise: Noise, h: int, w: int, cells: float) -> np.ndarray:
    """Smooth noise H×W in 0..1 with about ``cells`` humps along the longer side."""
    from PIL import Image

    step = max(h, w) / cells
    shape = (max(2, round(h / step) + 1), max(2, round(w / step) + 1))
    small = Image.fromarray(noise.random(shape, dtype=np.float32))
    big = np.asarray(small.resize((w, h), Image.Resampling.BICUBIC))
    return np.clip(big, 0, 1)


def clouds(noise: Noise, h: int, w: int, start: float = 3) -> np.ndarray:
    """Fractal noise H×W in 0..1."""
    value = np.zeros((h, w), np.float32)
    weight, total = 1.0, 0.0
    cells = start
    while not total or (cells < max(h, w) / 2 and weight > 0.05):
        value += weight * smooth(noise, h, w, cells)
        total += weight
        weight, cells = weight * noise.uniform(0.4, 0.65), cells * 2.3
    value /= total
    low, high = value.min(), value.max()
    return np.asarray((value - low) / max(high - low, 1e-6))


def _grid(h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates y, x from -1 to 1 on the longer side."""
    long = max(h, w)
    y = (np.arange(h, dtype=np.float32)[:, None] * 2 - h) / long
    x = (np.arange(w, dtype=np.float32)[None] * 2 - w) / long
    return np.broadcast_to(y, (h, w)), np.broadcast_to(x, (h, w))


def _spots(noise: Noise, h: int, w: int, count: int, low: float, high: float) -> np.ndarray:
    """Bright spots on 0; radii in pixels."""
    value = np.zeros((h, w), np.float32)
    for _ in range(count):
        rad = noise.uniform(low, high)
        cx, cy = noise.uniform(0, w), noise.uniform(0, h)
        reach = int(rad * 2.2) + 1
        x0, x1 = max(0, int(cx) - reach), min(w, int(cx) + reach + 1)
        y0, y1 = max(0, int(cy) - reach), min(h, int(cy) + reach + 1)
        yy = np.arange(y0, y1, dtype=np.float32)[:, None] - cy
        xx = np.arange(x0, x1, dtype=np.float32)[None] - cx
        stretch = noise.uniform(0.6, 1.6)
        spot = np.exp(-((((xx * stretch) ** 2 + yy**2) / rad**2) ** noise.choice([1.0, 2.0])))
        value[y0:y1, x0:x1] += noise.uniform(0.3, 1.0) * spot
    return np.clip(value, 0, 1)


def _grained(noise: Noise, value: np.ndarray, share: float) -> np.ndarray:
    return value + noise.standard_normal(value.shape, dtype=np.float32) * share


def _grey(value: np.ndarray) -> np.ndarray:
    return np.repeat((np.clip(value, 0, 1) * 255).astype(np.uint8)[..., None], 3, 2)


def fluorescence(noise: Noise, h: int, w: int) -> np.ndarray:
    """Stained cells: coloured spots and fibres on black."""
    pixels = np.zeros((h, w, 3), np.float32)
    for _ in range(int(noise.integers(1, 4))):
        tint = noise.permutation([1.0, noise.uniform(0, 0.5), 0.0]).astype(np.float32)
        if noise.random() < 0.35:
            fibres = np.abs(clouds(noise, h, w, noise.uniform(4, 14)) - 0.5) < 0.05
            layer = fibres * np.float32(noise.uniform(0.4, 0.9))
        else:
            size = max(h, w) * noise.uniform(0.01, 0.06)
            layer = _spots(noise, h, w, int(noise.integers(8, 45)), size * 0.6, size * 1.3)
            layer *= 0.5 + 0.5 * smooth(noise, h, w, 20)
        pixels += layer[..., None] * tint
    grain = noise.standard_normal((h, w, 1), dtype=np.float32) * 0.02
    return np.asarray((np.clip(pixels + grain, 0, 1) * 255).astype(np.uint8))


def tissue(noise: Noise, h: int, w: int) -> np.ndarray:
    """Stained tissue: pink and violet with dark nuclei."""
    base = clouds(noise, h, w, noise.uniform(4, 12))
    pale, deep = np.array([245, 225, 238]), np.array([195, 105, 165])
    if noise.random() < 0.3:
        pale, deep = np.array([235, 228, 215]), np.array([150, 95, 50])
    pixels = pale + (deep - pale) * np.clip(base * 1.3 - 0.2, 0, 1)[..., None]
    nuclei = _spots(noise, h, w, int(noise.integers(30, 120)), 2, max(4, max(h, w) * 0.02))
    pixels = pixels + (np.array([80, 45, 120]) - pixels) * nuclei[..., None]
    return np.asarray(np.clip(pixels, 0, 255).astype(np.uint8))


def electron(noise: Noise, h: int, w: int) -> np.ndarray:
    """A grey micrograph: grains, fibres or particles."""
    kind = noise.integers(3)
    base = clouds(noise, h, w, noise.uniform(5, 25))
    if kind == 0:
        value = 0.25 + 0.5 * base + 0.4 * _spots(noise, h, w, 40, 3, max(5, max(h, w) * 0.05))
    elif kind == 1:
        value = 0.3 + 0.9 * np.abs(base - 0.5)
    else:
        gy, gx = np.gradient(base)
        value = 0.5 + (gx + gy) * noise.uniform(6, 14)
    return _grey(_grained(noise, value, noise.uniform(0.01, 0.07)))


def scan(noise: Noise, h: int, w: int) -> np.ndarray:
    """A scan of a body: bright ovals within each other on black."""
    yy, xx = _grid(h, w)
    value: np.ndarray = np.zeros((h, w), np.float32)
    short = min(h, w) / max(h, w)
    for i in range(int(noise.integers(4, 9))):
        scale = short * (0.9 if i == 0 else noise.uniform(0.1, 0.5))
        reach = 0 if i == 0 else 0.4 * short
        cx, cy = noise.uniform(-reach, reach, 2)
        turn = noise.uniform(0, np.pi)
        u = (xx - cx) * np.cos(turn) + (yy - cy) * np.sin(turn)
        v = (yy - cy) * np.cos(turn) - (xx - cx) * np.sin(turn)
        inside = (u / scale) ** 2 + (v / (scale * noise.uniform(0.6, 1))) ** 2 < 1
        value = np.where(inside, noise.uniform(0.15, 0.9), value)
    value = value * (0.7 + 0.4 * clouds(noise, h, w, 8))
    pixels = _grey(_grained(noise, value, 0.03))
    if noise.random() < 0.4:
        hot = np.clip(_spots(noise, h, w, 6, 4, max(6, max(h, w) * 0.07)) * 2 - 0.6, 0, 1)
        hot *= value > 0
        pixels = np.where(hot[..., None] > 0.1, ramp(hot, RAMPS[0]), pixels)
    return pixels


def gel(noise: Noise, h: int, w: int) -> np.ndarray:
    """Bands in lanes."""
    lanes = int(noise.integers(4, 13))
    value = np.full((h, w), noise.uniform(0.75, 0.95), np.float32)
    rows = noise.uniform(0.08, 0.92, int(noise.integers(1, 7)))
    yy = np.arange(h, dtype=np.float32)[:, None] / h
    for lane in range(lanes):
        x0, x1 = int(w * (lane + 0.14) / lanes), int(w * (lane + 0.86) / lanes)
        for row in rows:
            depth = noise.uniform(0.0, 0.9)
            band = np.exp(-(((yy - row + noise.normal(0, 0.01)) / noise.uniform(0.012, 0.04)) ** 2))
            value[:, x0:x1] -= depth * band
    if noise.random() < 0.4:
        value = 1 - value
    return _grey(_grained(noise, value, 0.02))


def sky(noise: Noise, h: int, w: int) -> np.ndarray:
    """Stars, a nebula or a galaxy."""
    yy, xx = _grid(h, w)
    value: np.ndarray = 0.15 * clouds(noise, h, w) + _spots(noise, h, w, 60, 0.7, 2.5)
    if noise.random() < 0.6:
        rad = np.hypot(xx / noise.uniform(0.5, 1), yy) + 1e-3
        angle = np.arctan2(yy, xx)
        arms = 0.5 + 0.5 * np.cos(2 * angle + noise.uniform(4, 9) * np.log(rad + 0.05))
        value = value + np.exp(-rad * noise.uniform(3, 6)) * (0.4 + 0.8 * arms)
    return ramp(_grained(noise, value, 0.02), RAMPS[noise.choice([0, 2, 4, 1])])


def field(noise: Noise, h: int, w: int) -> np.ndarray:
    """A smooth field in false colours, perhaps in steps or cut to an oval."""
    value = clouds(noise, h, w, noise.uniform(1.5, 8))
    if noise.random() < 0.3:
        value = np.floor(value * 10) / 10
    if noise.random() < 0.3:
        value = _grained(noise, value, 0.08)
    pixels = ramp(value, RAMPS[noise.integers(len(RAMPS))])
    if noise.random() < 0.2:
        yy, xx = _grid(h, w)
        long = max(h, w)
        pixels[(xx * long / w) ** 2 + (yy * long / h) ** 2 > 1] = 255
    return pixels


def blocks(noise: Noise, h: int, w: int) -> np.ndarray:
    """A matrix in false colours: cells, with a strong diagonal or stripes at times."""
    rows, columns = int(noise.integers(4, 40)), int(noise.integers(4, 40))
    value: np.ndarray = noise.random((rows, columns), dtype=np.float32)
    kind = noise.random()
    if kind < 0.3:
        columns = rows
        gap = np.abs(np.arange(rows)[:, None] - np.arange(rows)[None])
        value = np.exp(-gap / noise.uniform(0.5, 6)) + 0.2 * noise.random((rows, rows))
    elif kind < 0.55:
        value = 0.4 * value + 0.6 * noise.random((rows, 1)) * (noise.random((1, columns)) > 0.3)
    yi = np.arange(h) * rows // h
    xi = np.arange(w) * columns // w
    return ramp(value[yi][:, xi], RAMPS[noise.integers(len(RAMPS))])


def land(noise: Noise, h: int, w: int) -> np.ndarray:
    """A map: land and sea with coasts, or countries in flat colours."""
    value = clouds(noise, h, w, noise.uniform(2, 5))
    if noise.random() < 0.5:
        level = noise.uniform(0.4, 0.6)
        sea = np.array(noise.choice([[255, 255, 255], [170, 205, 230], [225, 238, 248]]))
        ground = np.array(noise.choice([[225, 225, 225], [205, 220, 170], [245, 235, 205]]))
        pixels = np.where((value > level)[..., None], ground, sea).astype(np.uint8)
        pixels[np.abs(value - level) < 0.006] = 60
    else:
        steps = np.floor(value * 7).astype(int)
        colours = noise.integers(130, 250, (8, 3))
        pixels = colours[steps].astype(np.uint8)
        edge = np.diff(steps, axis=0, prepend=steps[:1]) != 0
        edge |= np.diff(steps, axis=1, prepend=steps[:, :1]) != 0
        pixels[edge] = 50
    for _ in range(int(noise.integers(0, 12))):
        y, x = int(noise.integers(4, max(5, h - 4))), int(noise.integers(4, max(5, w - 4)))
        pixels[y - 3 : y + 3, x - 3 : x + 3] = (200, 20, 20)
    return pixels


def photo(noise: Noise, h: int, w: int) -> np.ndarray:
    """Something like a photograph: things of one colour each before a lit ground."""
    yy, xx = _grid(h, w)
    top, bottom = noise.uniform(60, 250, 3), noise.uniform(20, 200, 3)
    split = noise.uniform(-0.4, 0.4) + 0.2 * (smooth(noise, h, w, 4) - 0.5)
    pixels = np.where((yy < split)[..., None], top, bottom) * (
        0.7 + 0.5 * clouds(noise, h, w, 5)[..., None]
    )
    for _ in range(int(noise.integers(1, 9))):
        cx, cy = noise.uniform(-0.9, 0.9), noise.uniform(-0.6, 0.7)
        a, b = noise.uniform(0.06, 0.45, 2)
        power = noise.choice([2, 2, 6])
        gap = np.abs((xx - cx) / a) ** power + np.abs((yy - cy) / b) ** power
        light = 0.75 + 0.35 * (xx - cx) / a * noise.choice([-1, 1])
        thing = noise.uniform(10, 250, 3) * light[..., None]
        pixels = np.where((gap < 1)[..., None], thing, pixels)
    pixels = pixels + noise.standard_normal((h, w, 1), dtype=np.float32) * noise.uniform(1, 12)
    if noise.random() < 0.3:
        pixels = np.repeat(pixels.mean(2, keepdims=True), 3, 2)
    return np.asarray(np.clip(pixels, 0, 255).astype(np.uint8))


def mask(noise: Noise, h: int, w: int) -> np.ndarray:
    """Black and white: a threshold, a check or a noise picture."""
    kind = noise.integers(3)
    value: np.ndarray
    if kind == 0:
        value = (clouds(noise, h, w, noise.uniform(2, 12)) > 0.5).astype(np.float32)
    elif kind == 1:
        yy, xx = _grid(h, w)
        value = (np.abs(xx) < noise.uniform(0.2, 0.6)) & (np.abs(yy) < noise.uniform(0.2, 0.6))
    else:
        value = (noise.random((h // 2 + 1, w // 2 + 1)) > 0.5).repeat(2, 0).repeat(2, 1)[:h, :w]
    value = value.astype(np.float32)
    return _grey(1 - value if noise.random() < 0.5 else value)


PHOTOS: list[Callable[[Noise, int, int], np.ndarray]] = [
    fluorescence,
    tissue,
    electron,
    scan,
    gel,
    sky,
    field,
    field,
    blocks,
    land,
    photo,
    photo,
    mask,
]
