"""Plots: axes, ticks and words by the typesetter, curves and points as a picture between them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np

from pagegen.marks import BLACK, Colour
from pagegen.typst.figures import Canvas, shortened
from pagegen.typst.papers.photos import RAMPS, Noise, clouds, ramp

INKS: list[list[tuple[int, int, int]]] = [
    [(31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189)],
    [(0, 0, 255), (255, 0, 0), (0, 0, 0), (0, 150, 0), (255, 0, 255)],
    [(0, 0, 0), (0, 0, 0), (90, 90, 90), (140, 140, 140), (60, 60, 60)],
    [(0, 114, 189), (217, 83, 25), (237, 177, 32), (126, 47, 142), (119, 172, 48)],
    [(69, 114, 167), (170, 70, 67), (137, 165, 78), (128, 105, 155), (61, 150, 174)],
]
SCALE = 3
"""Pixels a point in the pictures: they are made smaller when the page is drawn."""


class Sheet:
    """What lies between the axes, w × h points, drawn at ``SCALE`` pixels a point."""

    def __init__(self, c: Canvas, w: float, h: float, ground: tuple[int, int, int]) -> None:
        from PIL import Image, ImageDraw

        self.r = c.rng
        self.w, self.h = max(8, int(w * SCALE)), max(8, int(h * SCALE))
        self.image = Image.new("RGB", (self.w, self.h), ground)
        self.draw = ImageDraw.Draw(self.image)
        self.inks = self.r.choice(INKS)
        self.noise: Noise = np.random.default_rng(self.r.getrandbits(64))

    def at(self, u: np.ndarray, v: np.ndarray) -> list[tuple[float, float]]:
        """Pixels of points with u, v in 0..1, v upward."""
        return list(zip((u * self.w).tolist(), ((1 - v) * self.h).tolist(), strict=True))

    def line(
        self, u: np.ndarray, v: np.ndarray, ink: tuple[int, int, int], pen: float, dash: int = 0
    ) -> None:
        """A line, in dashes of ``dash`` points when that is not 0."""
        points = self.at(u, v)
        width = max(1, round(pen * SCALE))
        if not dash:
            self.draw.line(points, fill=ink, width=width, joint="curve")
            return
        run = 0.0
        for a, b in itertools.pairwise(points):
            if run % (2 * dash * SCALE) < dash * SCALE:
                self.draw.line([a, b], fill=ink, width=width)
            run += math.dist(a, b)

    def marker(self, x: float, y: float, rad: float, form: int, ink: tuple[int, int, int]) -> None:
        """A disc, ring, square, triangle or cross at a pixel; ``rad`` in points."""
        q, d = rad * SCALE, self.draw
        if form == 0:
            d.ellipse([x - q, y - q, x + q, y + q], fill=ink)
        elif form == 1:
            d.ellipse([x - q, y - q, x + q, y + q], outline=ink, width=2)
        elif form == 2:
            d.rectangle([x - q, y - q, x + q, y + q], fill=ink)
        elif form == 3:
            d.polygon([(x, y - q), (x - q, y + q), (x + q, y + q)], outline=ink, fill=ink)
        else:
            d.line([x - q, y - q, x + q, y + q], fill=ink, width=2)
            d.line([x - q, y + q, x + q, y - q], fill=ink, width=2)


def _curve(s: Sheet, t: np.ndarray, form: str, shift: float) -> np.ndarray:
    """Values in 0..1 over t in 0..1."""
    r = s.r
    a, b = r.uniform(0.25, 0.75), r.uniform(1.2, 6)
    v: np.ndarray
    if form == "rise":
        v = a * (1 - np.exp(-b * t)) + 0.1
    elif form == "fall":
        v = a * np.exp(-b * t) + 0.08 + 0.15 * shift
    elif form == "power":
        v = 0.05 + 0.85 * t**b * (1 - 0.5 * shift)
    elif form == "logistic":
        v = 0.05 + a / (1 + np.exp(-3 * b * (t - r.uniform(0.3, 0.7))))
    elif form == "peaks":
        v = np.full_like(t, 0.06 + 0.25 * shift)
        for _ in range(r.randint(1, 7)):
            v = v + r.uniform(0.05, 0.5) * np.exp(
                -(((t - r.random()) / r.uniform(0.006, 0.06)) ** 2)
            )
    elif form == "wave":
        v = 0.5 + a * 0.5 * np.sin(b * r.choice([2, 6, 12]) * t + 6 * shift) * np.exp(
            -r.choice([0, 2]) * t
        )
    elif form == "walk":
        steps = np.cumsum(s.noise.standard_normal(len(t))) / len(t) ** 0.5
        v = 0.5 + 0.3 * steps
    elif form == "steps":
        v = 1 - np.cumsum(s.noise.random(len(t)) < 0.08) * r.uniform(0.03, 0.12)
    else:
        v = 0.15 + 0.6 * t * r.uniform(-1, 1) + 0.4 * shift
    return np.asarray(np.clip(v, 0.01, 0.99))


def curves(s: Sheet) -> None:
    """Curves of one form, some noisy, dashed, marked or with a band."""
    r = s.r
    form = r.choice(
        ["rise", "fall", "power", "logistic", "peaks", "peaks", "wave", "walk", "steps", "line"]
    )
    dense = form in ("peaks", "walk", "wave")
    t = np.linspace(0, 1, 240 if dense else 60)
    noise = r.choice([0, 0, 0, 0.01, 0.03])
    pen, marked, band = r.choice([0.5, 0.8, 1.2, 1.6]), r.random() < 0.4, r.random() < 0.2
    count = r.choice([1, 1, 2, 3, 4, 6])
    for i in range(count):
        ink = s.inks[i % 5]
        v = _curve(s, t, form, i / count) + noise * s.noise.standard_normal(len(t))
        v = np.clip(v, 0.005, 0.995)
        if band:
            reach = 0.02 + 0.06 * t
            edge = s.at(t, np.clip(v + reach, 0, 1)) + s.at(t, np.clip(v - reach, 0, 1))[::-1]
            s.draw.polygon(edge, fill=tuple((255 * 2 + k) // 3 for k in ink))
        s.line(t, v, ink, pen, r.choice([0, 0, 0, 2, 4]) if count > 1 else 0)
        if marked:
            kind = r.randint(0, 4)
            for x, y in s.at(t, v)[:: max(3, len(t) // 14)]:
                s.marker(x, y, 1.6, kind, ink)
                if noise:
                    s.draw.line([x, y - 12, x, y + 12], fill=ink, width=2)


def points(s: Sheet) -> None:
    """Clouds of points, or points about a line."""
    r = s.r
    clouds_ = r.random() < 0.5
    for i in range(r.randint(1, 5) if clouds_ else r.randint(1, 2)):
        n = r.choice([10, 25, 60, 200])
        u = s.noise.random(n)
        v = 0.15 + (0.6 - 0.2 * i) * u + s.noise.normal(0, r.uniform(0.02, 0.12), n)
        if clouds_:
            u = s.noise.normal(r.uniform(0.2, 0.8), r.uniform(0.03, 0.15), n)
            v = s.noise.normal(r.uniform(0.2, 0.8), r.uniform(0.03, 0.15), n)
        kind, rad = r.randint(0, 4), r.uniform(0.8, 2.2) if n < 100 else 0.9
        for x, y in s.at(np.clip(u, 0.02, 0.98), np.clip(v, 0.02, 0.98)):
            s.marker(x, y, rad, kind, s.inks[i])
        if not clouds_:
            s.line(np.array([0, 1.0]), np.array([0.15, 0.75 - 0.2 * i]), s.inks[i], 0.8)


def bars(s: Sheet) -> None:
    """Bars in groups or stacks or a histogram, upright or lying."""
    r = s.r
    lying, error = r.random() < 0.15, r.random() < 0.45
    groups, each = r.choice([(r.randint(2, 8), r.randint(1, 4)), (r.randint(12, 40), 1)])
    gap = 0.0 if groups > 10 and r.random() < 0.7 else r.uniform(0.15, 0.5)
    stacked = each > 1 and r.random() < 0.3
    hump = groups > 10
    long, wide = (s.w, s.h) if lying else (s.h, s.w)
    slot = wide / groups
    outline = (0, 0, 0) if r.random() < 0.6 else None
    for g in range(groups):
        base = 0.0
        for e in range(each):
            size = r.uniform(0.1, 0.85)
            if hump:
                size = min(0.95, 0.9 * math.exp(-(((g / groups - 0.4) / 0.25) ** 2)) + 0.1 * size)
            if stacked:
                size /= each
            bw = slot * (1 - gap) / (1 if stacked else each)
            b0 = slot * (g + gap / 2) + (0 if stacked else e * bw)
            l0, l1 = base * long, (base + size) * long
            box = [l0, b0, l1, b0 + bw] if lying else [b0, long - l1, b0 + bw, long - l0]
            s.draw.rectangle(box, fill=s.inks[e], outline=outline, width=1)
            if error and not stacked and not lying:
                m = b0 + bw / 2
                s.draw.line([m, long - l1 - 15, m, long - l1 + 15], fill=(0, 0, 0), width=2)
                s.draw.line([m - 5, long - l1 - 15, m + 5, long - l1 - 15], fill=(0, 0, 0), width=2)
            base += size if stacked else 0.0


def boxes(s: Sheet) -> None:
    """Box plots, or intervals about a line as in a forest plot."""
    r = s.r
    count = r.randint(2, 9)
    forest = r.random() < 0.3
    if forest:
        s.draw.line([s.w / 2, 0, s.w / 2, s.h], fill=(0, 0, 0), width=2)
    for i in range(count):
        mid, reach = r.uniform(0.25, 0.75), r.uniform(0.05, 0.2)
        if forest:
            y = s.h * (i + 0.5) / count
            s.draw.line([s.w * (mid - reach), y, s.w * (mid + reach), y], fill=(0, 0, 0), width=3)
            s.marker(s.w * mid, y, r.uniform(1.5, 3), 2, s.inks[0])
            continue
        x, half = s.w * (i + 0.5) / count, s.w * 0.3 / count
        y0, y1, ym = (s.h * (1 - v) for v in (mid + reach * 0.5, mid - reach * 0.5, mid))
        top, low = s.h * (1 - mid - reach), s.h * (1 - mid + reach)
        s.draw.line([x, top, x, low], fill=(0, 0, 0), width=2)
        face = s.inks[i % 5] if r.random() < 0.6 else (255, 255, 255)
        s.draw.rectangle([x - half, y0, x + half, y1], fill=face, outline=(0, 0, 0), width=2)
        s.draw.line([x - half, ym, x + half, ym], fill=(0, 0, 0), width=3)


def mesh(s: Sheet) -> None:
    """A field in colours or as contour lines."""
    h, w = max(8, s.h // 2), max(8, s.w // 2)
    value = clouds(s.noise, h, w, s.noise.uniform(1.2, 4))
    if s.r.random() < 0.35:
        steps = np.floor(value * s.r.randint(6, 14))
        edge = np.diff(steps, axis=0, prepend=steps[:1]) != 0
        edge |= np.diff(steps, axis=1, prepend=steps[:, :1]) != 0
        pixels = np.full((h, w, 3), 255, np.uint8)
        pixels[edge] = s.inks[0]
    else:
        pixels = ramp(value, RAMPS[s.noise.integers(len(RAMPS))])
    from PIL import Image

    s.image.paste(Image.fromarray(pixels).resize((s.w, s.h)))


def arrows(s: Sheet) -> None:
    """A field of arrows."""
    n = s.r.randint(6, 14)
    turn = 6.3 * clouds(s.noise, n, n, 2)
    reach = 0.4 * min(s.w, s.h) / n
    for i in range(n):
        for j in range(n):
            x, y = s.w * (j + 0.5) / n, s.h * (i + 0.5) / n
            dx, dy = reach * math.cos(turn[i, j]), reach * math.sin(turn[i, j])
            s.draw.line([x - dx, y - dy, x + dx, y + dy], fill=s.inks[0], width=2)
            s.marker(x + dx, y + dy, 0.8, 0, s.inks[0])


def surface(s: Sheet) -> None:
    """A wire mesh seen from the side."""
    n = s.r.randint(10, 24)
    z = clouds(s.noise, n, n, 2)
    j, i = np.meshgrid(np.arange(n) / (n - 1), np.arange(n) / (n - 1))
    x = 0.1 + 0.55 * j + 0.25 * i
    y = 0.08 + 0.3 * i + 0.12 * (1 - j) + 0.45 * z
    for k in range(n - 1, -1, -1):
        s.line(x[k], y[k], s.inks[0], 0.4)
        s.line(x[:, k], y[:, k], s.inks[0], 0.4)


KINDS: list[Callable[[Sheet], None]] = [
    curves, curves, curves, curves, points, points, bars, bars, boxes, mesh, arrows, surface,
]  # fmt: skip
UNITS = ["s", "ms", "nm", "mm", "km", "eV", "GeV", "K", "Hz", "dB", "%", "h", "kg", "MPa", "a.u."]


def _quantity(c: Canvas) -> str:
    r = c.rng
    if r.random() < 0.45:
        return c.prose.figure_word_label()
    letter = r.choice(["x", "t", "E", "T", "p", "q", "n", "V", "log N", "r", "Time", "z", "k", "m"])
    return r.choice([letter, f"{letter} ({r.choice(UNITS)})", f"{letter} [{r.choice(UNITS)}]"])


def _numbers(c: Canvas, count: int) -> list[str]:
    """Ticks' numbers, ``count`` of them."""
    r = c.rng
    form = r.random()
    if form < 0.12:
        low = r.randint(-6, 1)
        return [f"1e{low + i}" for i in range(count)]
    step = r.choice([0.1, 0.2, 0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 500, 1000])
    first = r.choice([0, 0, 0, 1, -count // 2]) * step
    digits = 2 if step == 0.25 else 1 if step < 1 else 0
    return [f"{first + i * step:.{digits}f}" for i in range(count)]


def _ticks(c: Canvas, x: float, y: float, w: float, h: float, names: bool) -> None:
    """Ticks and their numbers on the left and lower edge of a rectangle."""
    r, s = c.rng, c.size
    d = r.choice([-2.0, -2.0, 2.0, 1.2])
    across = max(2, min(r.randint(3, 7), int(w / (s * 3))))
    up = max(2, min(r.randint(3, 7), int(h / (s * 1.8))))
    words = names and r.random() < 0.15
    far = "opposite" if d < 0 and r.random() < 0.7 else ""
    for i, text in enumerate(_numbers(c, across)):
        px = x + w * (i + 0.5) / across
        c.way([(px, y + h), (px, y + h + d)], 0.35, BLACK)
        if far:
            c.way([(px, y), (px, y - d)], 0.35, BLACK)
        if words:
            text = shortened(c.prose.figure_word_label(), max(2, int(w / across / s / 0.6)))
        c.label(px, y + h + s * 0.95, text)
    for i, text in enumerate(_numbers(c, up)):
        py = y + h - h * (i + 0.5) / up
        c.way([(x, py), (x - d, py)], 0.35, BLACK)
        if far:
            c.way([(x + w, py), (x + w + d, py)], 0.35, BLACK)
        c.label(x - s * 0.45, py, text, 1)


def _legend(c: Canvas, s: Sheet, x: float, y: float, w: float, h: float) -> None:
    """A key to the curves in a corner or beside."""
    r, z = c.rng, c.size
    count = r.randint(1, 4)
    if w < z * 12 or h < z * (count + 2) * 1.3:
        return
    lx = x + r.choice([0.08, 0.55]) * w
    ly = y + r.choice([0.06 * h + z, h - z * 1.4 * count])
    if r.random() < 0.4:
        pen = 0.3 if r.random() < 0.7 else 0.0
        c.rec(lx - 3, ly - z, min(w * 0.42, z * 8), z * 1.35 * count + z * 0.6, (0xF0,) * 3, pen)
    for i in range(count):
        base: Colour = s.inks[i]
        c.way([(lx, ly + i * z * 1.3), (lx + 9, ly + i * z * 1.3)], 0.9, base)
        room = max(2, int((x + w - lx - 12) / z / (1.0 if c.prose.language == "zh" else 0.58)))
        c.label(lx + 11, ly + i * z * 1.3, shortened(_quantity(c), min(16, room)), 0)


def plot(c: Canvas, x: float, y: float, w: float, h: float) -> None:
    """A plot with its axes in the rectangle."""
    r, s = c.rng, c.size
    named = w > s * 9 and h > s * 8 and r.random() < 0.85
    bare = r.random() < 0.08
    title = named and r.random() < 0.2
    left = 0.0 if bare else s * (4.0 if named else 2.6)
    low = 0.0 if bare else s * (3.0 if named else 1.7)
    top = s * 1.6 if title else s * 0.3
    px, py, pw, ph = x + left, y + top, max(12.0, w - left - 1), max(12.0, h - low - top)
    ground = (255, 255, 255) if r.random() < 0.88 else (234, 234, 242)
    kind = r.choice(KINDS)
    bar = kind is mesh and pw > s * 10 and r.random() < 0.6
    if bar:
        pw -= s * 3.4
    sheet = Sheet(c, pw, ph, ground)
    if r.random() < 0.2:
        for i in range(1, 6):
            q = (225, 225, 225) if ground[0] == 255 else (255, 255, 255)
            sheet.draw.line([0, sheet.h * i / 6, sheet.w, sheet.h * i / 6], fill=q, width=2)
            sheet.draw.line([sheet.w * i / 6, 0, sheet.w * i / 6, sheet.h], fill=q, width=2)
    kind(sheet)
    c.image(px, py, pw, ph, np.asarray(sheet.image))
    if bar:
        stops = RAMPS[r.randrange(len(RAMPS))]
        strip = ramp(np.linspace(1, 0, 64)[:, None].repeat(4, 1), stops)
        c.image(px + pw + s * 0.6, py, s * 0.7, ph, strip)
        for i, text in enumerate(_numbers(c, 4)):
            c.label(px + pw + s * 1.5, py + ph * (1 - (i + 0.5) / 4), text[:5], 0)
    if not bare:
        frame = r.random()
        if frame < 0.75:
            c.rec(px, py, pw, ph, None, r.choice([0.4, 0.6, 0.8]))
        elif frame < 0.95:
            c.way([(px, py), (px, py + ph), (px + pw, py + ph)], 0.6, BLACK)
        _ticks(c, px, py, pw, ph, named)
    if named and not bare:
        letter = s * (1.0 if c.prose.language == "zh" else 0.58)
        c.label(px + pw / 2, y + h - s * 0.7, shortened(_quantity(c), int(pw / letter)))
        c.label(x + s * 0.6, py + ph / 2, shortened(_quantity(c), int(ph / letter)), angle=-90)
    if title:
        letter = s * (1.0 if c.prose.language == "zh" else 0.58)
        c.label(px + pw / 2, y + s * 0.6, shortened(c.prose.figure_word_label(), int(pw / letter)))
    if r.random() < 0.4:
        _legend(c, sheet, px, py, pw, ph)
