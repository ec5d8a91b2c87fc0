"""Pictures for made-up pages: plots and diagrams in typst's own drawing, textures as images.

Every function returns typst code (an expression) for a box of the size asked. Lengths are
points, x to the right, y down.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pagegen.marks import BLACK, Colour, Marks, colour
from pagegen.text import Prose

PREAMBLE = """
#let lab(x, y, side, angle, size, ink, body) = context {
  let words = text(size: size * 1pt, fill: ink, body)
  let m = measure(words)
  place(dx: x * 1pt - m.width * side, dy: y * 1pt - m.height / 2,
    rotate(angle * 1deg, box(width: m.width + 0.1pt, words)))
}
#let pts(list) = list.map(p => (p.at(0) * 1pt, p.at(1) * 1pt))
#let way(stroke, list) = {
  let q = pts(list)
  place(curve(stroke: stroke, curve.move(q.at(0)), ..q.slice(1).map(p => curve.line(p))))
}
#let area(fill, list) = place(polygon(fill: fill, ..pts(list)))
#let rec(x, y, w, h, fill, stroke) = place(dx: x * 1pt, dy: y * 1pt,
  rect(width: w * 1pt, height: h * 1pt, fill: fill, stroke: stroke))
#let disc(x, y, r, fill, stroke) = place(dx: (x - r) * 1pt, dy: (y - r) * 1pt,
  circle(radius: r * 1pt, fill: fill, stroke: stroke))
"""
PALETTES: list[list[Colour]] = [
    [(0x10, 0x70, 0xB0), (0xF0, 0x70, 0x10), (0x20, 0xA0, 0x30), (0xD0, 0x20, 0x20)],
    [(0, 0, 0), (0x60, 0x60, 0x60), (0xA0, 0xA0, 0xA0), (0x30, 0x30, 0x30)],
    [(0, 0, 0xF0), (0xF0, 0, 0), (0, 0x80, 0), (0, 0, 0)],
    [(0x40, 0x50, 0x90), (0xC0, 0x40, 0x70), (0xE0, 0xA0, 0x30), (0x40, 0x90, 0x90)],
]
WHITE: Colour = (0xF0, 0xF0, 0xF0)
Point = tuple[float, float]


def quoted(text: str) -> str:
    """A typst string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def shortened(text: str, most: int) -> str:
    """The first words of a text, at most so many letters (one word may be cut)."""
    while len(text) > most and " " in text:
        text = text.rpartition(" ")[0]
    return text[: max(1, most)].rstrip("/(")


@dataclass
class Canvas:
    """One picture being drawn: its size, its marks and the typst code so far."""

    rng: random.Random
    prose: Prose
    marks: Marks
    region: int
    folder: Path
    width: float
    height: float
    size: float
    name: str

    def __post_init__(self) -> None:
        self.ink = self.marks.unit(self.region, self.size)
        self.palette = self.rng.choice(PALETTES)
        self.parts: list[str] = []

    def paint(self, base: Colour = BLACK) -> str:
        """The colour of a line or a face."""
        return colour(self.ink, base)

    def stroke(self, width: float, base: Colour = BLACK, dash: str = "solid") -> str:
        """A pen."""
        return f'stroke(paint: {self.paint(base)}, thickness: {width:.2f}pt, dash: "{dash}")'

    def label(
        self,
        x: float,
        y: float,
        text: str,
        side: float = 0.5,
        angle: int = 0,
        base: Colour = BLACK,
    ) -> None:
        """Words, their own unit, level with y; ``side`` of their width lies left of x, 0 to 1."""
        code = self.marks.unit(self.region, self.size, upright=angle == 0)
        self.parts.append(
            f"lab({x:.2f}, {y:.2f}, {side}, {angle}, {self.size:.2f}, {colour(code, base)}, "
            f"{quoted(text)})"
        )

    def way(self, points: list[Point], width: float, base: Colour, dash: str = "solid") -> None:
        """A line through points."""
        listed = ", ".join(f"({x:.2f}, {y:.2f})" for x, y in points)
        self.parts.append(f"way({self.stroke(width, base, dash)}, ({listed},))")

    def area(self, points: list[Point], base: Colour) -> None:
        """A filled polygon."""
        listed = ", ".join(f"({x:.2f}, {y:.2f})" for x, y in points)
        self.parts.append(f"area({self.paint(base)}, ({listed},))")

    def rec(
        self, x: float, y: float, w: float, h: float, fill: Colour | None, pen: float = 0.0
    ) -> None:
        """A rectangle."""
        face = self.paint(fill) if fill is not None else "none"
        edge = self.stroke(pen) if pen else "none"
        self.parts.append(f"rec({x:.2f}, {y:.2f}, {w:.2f}, {h:.2f}, {face}, {edge})")

    def dot(self, x: float, y: float, r: float, fill: Colour | None, pen: float = 0.0) -> None:
        """A disc or a ring."""
        face = self.paint(fill) if fill is not None else "none"
        edge = self.stroke(pen) if pen else "none"
        self.parts.append(f"disc({x:.2f}, {y:.2f}, {r:.2f}, {face}, {edge})")

    def image(self, x: float, y: float, w: float, h: float, pixels: np.ndarray) -> None:
        """An image (H×W or H×W×3, uint8) with a marked sheet of the same size behind it."""
        from PIL import Image

        name = f"{self.name}-{len(self.parts)}.png"
        Image.fromarray(pixels).save(self.folder / name, compress_level=1)
        self.rec(x, y, w, h, WHITE)
        self.parts.append(
            f"place(dx: {x:.2f}pt, dy: {y:.2f}pt, "
            f'image("{name}", width: {w:.2f}pt, height: {h:.2f}pt, fit: "stretch"))'
        )

    def code(self) -> str:
        """The picture as a typst expression."""
        body = "; ".join(self.parts)
        return f"box(width: {self.width:.2f}pt, height: {self.height:.2f}pt, {{ {body} }})"


def _axes(c: Canvas, x: float, y: float, w: float, h: float, *, labels: bool = True) -> Point:
    """Axes with ticks in the rectangle; returns the inner rectangle's left and bottom edge."""
    r, s = c.rng, c.size
    left, bottom = x + s * (3.4 if labels else 2.2), y + h - s * (2.9 if labels else 1.6)
    if r.random() < 0.6:
        c.rec(left, y, x + w - left, bottom - y, None, 0.5)
    else:
        c.way([(left, y), (left, bottom), (x + w, bottom)], 0.6, BLACK)
    inward = r.random() < 0.5
    ticks = r.randint(3, 5)
    step = r.choice([0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100])
    digits = 1 if step < 1 else 0
    grid = r.random() < 0.2
    for i in range(ticks + 1):
        px = left + (x + w - left) * i / ticks
        py = bottom - (bottom - y) * i / ticks
        d = -2.0 if inward else 2.0
        c.way([(px, bottom), (px, bottom + d)], 0.4, BLACK)
        c.way([(left, py), (left - d, py)], 0.4, BLACK)
        if grid and 0 < i < ticks:
            c.way([(px, y), (px, bottom)], 0.25, (0xC0, 0xC0, 0xC0))
            c.way([(left, py), (x + w, py)], 0.25, (0xC0, 0xC0, 0xC0))
        if i < ticks or labels:
            c.label(px if i < ticks else px - s * 0.6, bottom + s * 0.95, f"{i * step:.{digits}f}")
        c.label(
            left - s * 0.4,
            py + (s * 0.4 if i == ticks else 0),
            f"{i * step:.{digits}f}",
            1,
        )
    if labels:
        letter = s * (1.0 if c.prose.language == "zh" else 0.56)
        across, up = int((x + w - left) / letter), int((bottom - y) / letter)
        c.label((left + x + w) / 2, y + h - s * 0.6, shortened(c.prose.figure_word_label(), across))
        c.label(
            x + s * 0.6, (y + bottom) / 2, shortened(c.prose.figure_word_label(), up), angle=-90
        )
    return left, bottom


def _legend(c: Canvas, x: float, y: float, bases: list[Colour], dashes: list[str]) -> None:
    for i, (base, dash) in enumerate(zip(bases, dashes, strict=True)):
        c.way([(x, y + i * c.size * 1.3), (x + 10, y + i * c.size * 1.3)], 1.0, base, dash)
        c.label(x + 12, y + i * c.size * 1.3, shortened(c.prose.figure_word_label(), 14), 0)


def line_plot(c: Canvas, x: float, y: float, w: float, h: float) -> None:
    """Curves over an axis, smooth or noisy, some with marks."""
    r = c.rng
    left, bottom = _axes(c, x, y, w, h)
    pw, ph = x + w - left, bottom - y
    count = r.randint(1, 4)
    bases, dashes = [], []
    form = r.choice(["rise", "fall", "peak", "wave"])
    for i in range(count):
        base = c.palette[i]
        dash = r.choice(["solid", "solid", "dashed", "dotted"])
        noise = r.choice([0.0, 0.0, 0.02, 0.05])
        a, b = r.uniform(0.3, 0.9), r.uniform(1.0, 5.0)
        points: list[Point] = []
        for k in range(41):
            t = k / 40
            v = {
                "rise": a * (1 - math.exp(-b * t)),
                "fall": a * math.exp(-b * t) + 0.05,
                "peak": a * math.exp(-((t - 0.3 - 0.1 * i) ** 2) * 10 * b) + 0.04 * i,
                "wave": 0.5 + a * 0.45 * math.sin(b * 4 * t + i),
            }[form] + r.gauss(0, noise)
            points.append((left + pw * t, bottom - ph * min(max(v, 0.01), 0.97)))
        c.way(points, r.choice([0.6, 0.9, 1.2]), base, dash)
        if r.random() < 0.4:
            for px, py in points[2::5]:
                c.dot(px, py, 1.5, base)
        bases.append(base)
        dashes.append(dash)
    if count > 1 and pw > 90 and ph > 60:
        _legend(c, left + pw * 0.55, y + c.size, bases, dashes)


def scatter_plot(c: Canvas, x: float, y: float, w: float, h: float) -> None:
    """Points about a straight line, or clouds of points."""
    r = c.rng
    left, bottom = _axes(c, x, y, w, h)
    pw, ph = x + w - left, bottom - y
    clouds = r.random() < 0.5
    ring = r.random() < 0.4
    for i in range(r.randint(1, 3)):
        mx, my = r.uniform(0.25, 0.75), r.uniform(0.25, 0.75)
        for _ in range(r.randint(12, 32)):
            if clouds:
                u, v = r.gauss(mx, 0.08), r.gauss(my, 0.08)
            else:
                u = r.random()
                v = 0.15 + 0.6 * u + r.gauss(0, 0.07)
            u, v = min(max(u, 0.02), 0.98), min(max(v, 0.02), 0.98)
            c.dot(
                left + pw * u,
                bottom - ph * v,
                1.4,
                None if ring else c.palette[i],
                0.4 if ring else 0.0,
            )
        if not clouds:
            c.way([(left, bottom - ph * 0.15), (left + pw, bottom - ph * 0.75)], 0.8, BLACK)
            break


def bar_chart(c: Canvas, x: float, y: float, w: float, h: float) -> None:
    """Bars, alone or in groups, some with error bars."""
    r = c.rng
    left, bottom = _axes(c, x, y, w, h, labels=r.random() < 0.7)
    pw, ph = x + w - left, bottom - y
    groups, each = r.randint(3, 7), r.randint(1, 3)
    errors = r.random() < 0.4
    slot = pw / groups
    for g in range(groups):
        for e in range(each):
            v = r.uniform(0.15, 0.85)
            bw = slot * 0.7 / each
            bx = left + slot * (g + 0.15) + e * bw
            c.rec(bx, bottom - ph * v, bw, ph * v, c.palette[e], 0.4)
            if errors:
                c.way(
                    [(bx + bw / 2, bottom - ph * (v + 0.06)), (bx + bw / 2, bottom - ph * v)],
                    0.5,
                    BLACK,
                )


def diagram(c: Canvas, x: float, y: float, w: float, h: float) -> float:
    """Boxes with words, joined by arrows; returns the height used, at most ``h``."""
    r, s = c.rng, c.size
    columns = max(1, min(r.randint(2, 4), int(w / (s * 7.5))))
    rows = max(1, min(r.randint(1, 4), int(h / (s * 3.2))))
    if columns == rows == 1:
        rows = 2
    sw, sh = w / columns, min(h / rows, s * 7)
    bw, bh = sw * 0.74, min(sh * 0.6, s * 3.4)
    face = r.choice([None, None, (0xE0, 0xE0, 0xF0), (0xF0, 0xE0, 0xC0), (0xD0, 0xF0, 0xD0)])

    def arrow(a: Point, b: Point) -> None:
        c.way([a, b], 0.6, BLACK)
        length = math.hypot(b[0] - a[0], b[1] - a[1]) or 1.0
        ux, uy = (b[0] - a[0]) / length, (b[1] - a[1]) / length
        c.area(
            [
                b,
                (b[0] - 4 * ux - 2 * uy, b[1] - 4 * uy + 2 * ux),
                (b[0] - 4 * ux + 2 * uy, b[1] - 4 * uy - 2 * ux),
            ],
            BLACK,
        )

    limit = max(3, int(bw / (s * (0.95 if c.prose.language == "zh" else 0.56))))
    for i in range(rows):
        for j in range(columns):
            bx, by = x + sw * j + (sw - bw) / 2, y + sh * i
            if r.random() < 0.85:
                c.rec(bx, by, bw, bh, face, 0.6)
            else:
                c.way(
                    [
                        (bx, by + bh / 2),
                        (bx + bw / 2, by),
                        (bx + bw, by + bh / 2),
                        (bx + bw / 2, by + bh),
                        (bx, by + bh / 2),
                    ],
                    0.6,
                    BLACK,
                )
            words = c.prose.figure_word_label()
            c.label(bx + bw / 2, by + bh / 2, shortened(words, limit))
            if j + 1 < columns:
                arrow((bx + bw, by + bh / 2), (bx + sw, by + bh / 2))
            if i + 1 < rows and (j == 0 or r.random() < 0.4):
                arrow((bx + bw / 2, by + bh), (bx + bw / 2, by + sh))
    return sh * (rows - 1) + bh


def _smooth(noise: np.random.Generator, h: int, w: int, cells: int) -> np.ndarray:
    """Smooth noise H×W in 0..1 with about ``cells`` humps a side."""
    from PIL import Image

    small = noise.random((cells + 1, cells + 1), dtype=np.float32)
    big = Image.fromarray(small).resize((w, h), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(big), 0, 1)


def texture(c: Canvas, x: float, y: float, w: float, h: float) -> None:
    """Something like a photograph: clouds, cells, a landscape, layers or a heat map."""
    r = c.rng
    noise = np.random.default_rng(r.getrandbits(64))
    pw, ph = max(24, int(w * 1.2)), max(24, int(h * 1.2))
    kind = r.choice(["cloud", "cells", "land", "layers", "heat"])
    value: np.ndarray
    base = 0.5 * _smooth(noise, ph, pw, 4) + 0.3 * _smooth(noise, ph, pw, 11)
    base = base + 0.2 * _smooth(noise, ph, pw, 37)
    yy, xx = np.mgrid[0:ph, 0:pw].astype(np.float32)
    if kind == "cells":
        value = 0.25 + 0.3 * base
        for _ in range(r.randint(12, 40)):
            cx, cy, rad = r.uniform(0, pw), r.uniform(0, ph), r.uniform(3, 14)
            value += r.uniform(0.1, 0.5) * np.exp(
                -((((xx - cx) ** 2 + (yy - cy) ** 2) / rad**2) ** 2)
            )
    elif kind == "land":
        line = ph * (0.35 + 0.3 * _smooth(noise, 1, pw, 6)[0])
        value = np.where(yy < line[None], 0.75 + 0.2 * base, 0.15 + 0.45 * base)
    elif kind == "layers":
        value = 0.5 + 0.35 * np.sin(yy / r.uniform(3, 9) + 9 * base) + 0.2 * base
    elif kind == "heat":
        cells = r.randint(6, 14)
        value = np.kron(noise.random((cells, cells)), np.ones((8, 8)))
    else:
        value = base * 1.3 - 0.1
    if kind != "heat":
        value = value + noise.normal(0, 0.03, value.shape)
    value = np.clip(value, 0, 1).astype(np.float32)
    if r.random() < (0.85 if kind == "heat" else 0.35):
        low, mid, high = (np.array([r.random() for _ in range(3)]) for _ in range(3))
        v = value[..., None]
        tinted = np.where(
            v < 0.5, low * (1 - 2 * v) + mid * 2 * v, mid * (2 - 2 * v) + high * (2 * v - 1)
        )
        pixels = (np.clip(tinted, 0, 0.9) * 255).astype(np.uint8)
    else:
        pixels = (value * 225).astype(np.uint8)
    c.image(x, y, w, h, pixels)
    if r.random() < 0.3 and w > 60:
        c.rec(x + w - 34, y + h - 8, 26, 2, (0xF0, 0xF0, 0xF0))


PANELS: list[Callable[[Canvas, float, float, float, float], None]] = [
    line_plot,
    scatter_plot,
    bar_chart,
    texture,
]


def draw_figure(canvas: Canvas) -> str:
    """A figure of any kind that fits the canvas, as a typst expression."""
    r, w, h = canvas.rng, canvas.width, canvas.height
    kind = r.random()
    if kind < 0.3 and w > 150:
        columns = 2 if w < 330 else r.randint(2, 4)
        rows = 1 if h < 130 else r.randint(1, 2)
        same = r.choice(PANELS)
        gap = canvas.size * 1.2
        marked = r.random() < 0.7
        foot = canvas.size * 1.6 if marked else 0.0
        pw, ph = (w - gap * (columns - 1)) / columns, (h - gap * (rows - 1)) / rows - foot
        for i in range(rows):
            for j in range(columns):
                x, y = j * (pw + gap), i * (ph + foot + gap)
                panel = same if r.random() < 0.8 else r.choice(PANELS)
                panel(canvas, x, y, pw, ph)
                if marked:
                    letter = "abcdefgh"[i * columns + j]
                    canvas.label(x + pw / 2, y + ph + canvas.size * 0.9, f"({letter})")
    elif kind < 0.5:
        canvas.height = diagram(canvas, 0, 0, w, h)
    else:
        r.choice([line_plot, line_plot, scatter_plot, bar_chart, texture, texture])(
            canvas, 0, 0, w, h
        )
    return canvas.code()
