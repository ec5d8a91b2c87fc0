"""Charts and drawings as SVG, with words in them."""

from __future__ import annotations

import math
import random
from html import escape

from pagegen.html.content.words import Words

PALETTES = [
    ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b"],
    ["#003f5c", "#58508d", "#bc5090", "#ff6361", "#ffa600", "#7a5195"],
    ["#222", "#555", "#888", "#aaa", "#ccc", "#444"],
    ["#264653", "#2a9d8f", "#e9c46a", "#f4a261", "#e76f51", "#1d3557"],
    ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"],
]


def chart(rng: random.Random, words: Words, width: float, height: float, size: float) -> str:
    """A chart of some kind as an SVG element of this size in CSS pixels."""
    draw = rng.choice([_bars, _bars, _lines, _lines, _pie, _dots, _flow, _stack])
    inner = draw(rng, words, width, height, size)
    return (
        f'<svg width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-size="{size:.1f}">{inner}</svg>'
    )


def _text(x: float, y: float, text: str, anchor: str = "middle", extra: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {extra}>{escape(text)}</text>'


def _axes(
    rng: random.Random, words: Words, w: float, h: float, size: float
) -> tuple[str, tuple[float, float, float, float]]:
    left, bottom, top = size * 3.4, size * 2.2, size * rng.choice([0.8, 2.2])
    x0, y0, x1, y1 = left, top, w - size, h - bottom
    parts = [f'<path d="M{x0:.1f} {y0:.1f}V{y1:.1f}H{x1:.1f}" fill="none" stroke="#333"/>']
    ticks = rng.choice([4, 5])
    most = rng.choice([1, 5, 10, 50, 100, 1000, 20000])
    grid = rng.random() < 0.5
    for i in range(ticks + 1):
        y = y1 - (y1 - y0) * i / ticks
        if grid:
            parts.append(f'<path d="M{x0:.1f} {y:.1f}H{x1:.1f}" stroke="#ddd"/>')
        parts.append(
            _text(x0 - size * 0.4, y + size * 0.35, f"{round(most * i / ticks, 2):g}", "end")
        )
    if top > size * 2:
        parts.append(_text(w / 2, size * 1.1, words.phrase(2, 4)))
    return "".join(parts), (x0, y0, x1, y1)


def _labels(words: Words, count: int, rng: random.Random) -> list[str]:
    if rng.random() < 0.4:
        start = rng.randint(1960, 2015)
        return [str(start + i) for i in range(count)]
    return [words.word()[:8] for _ in range(count)]


def _bars(rng: random.Random, words: Words, w: float, h: float, size: float) -> str:
    axes, (x0, y0, x1, y1) = _axes(rng, words, w, h, size)
    count = rng.randint(3, max(3, min(12, int((x1 - x0) / size / 3.5))))
    group = rng.choice([1, 1, 2, 3])
    colours = rng.choice(PALETTES)
    step = (x1 - x0) / count
    parts = [axes]
    for i, label in enumerate(_labels(words, count, rng)):
        for k in range(group):
            tall = (y1 - y0) * rng.uniform(0.1, 0.97)
            bar = step * 0.75 / group
            parts.append(
                f'<rect x="{x0 + step * (i + 0.12) + k * bar:.1f}" y="{y1 - tall:.1f}" '
                f'width="{bar * 0.95:.1f}" height="{tall:.1f}" fill="{colours[k]}"/>'
            )
        parts.append(_text(x0 + step * (i + 0.5), y1 + size * 1.3, label))
    return "".join(parts)


def _stack(rng: random.Random, words: Words, w: float, h: float, size: float) -> str:
    colours = rng.choice(PALETTES)
    count = rng.randint(3, max(3, min(9, int(h / size / 2.2))))
    left = size * 6
    step = h / count
    parts = []
    for i in range(count):
        x, y = left, step * (i + 0.15)
        parts.append(_text(left - size * 0.5, y + step * 0.45, words.word()[:9], "end"))
        for k in range(rng.randint(1, 4)):
            wide = (w - left) * rng.uniform(0.05, 0.24)
            parts.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{step * 0.7:.1f}" '
                f'fill="{colours[k]}"/>'
            )
            x += wide
    return "".join(parts)


def _lines(rng: random.Random, words: Words, w: float, h: float, size: float) -> str:
    axes, (x0, y0, x1, y1) = _axes(rng, words, w, h, size)
    colours = rng.choice(PALETTES)
    parts = [axes]
    points = rng.randint(4, 40)
    for k in range(rng.randint(1, 4)):
        y = rng.uniform(0.2, 0.8)
        at = []
        for i in range(points):
            y = min(0.97, max(0.02, y + rng.gauss(0, 0.5 / math.sqrt(points))))
            at.append(f"{x0 + (x1 - x0) * i / (points - 1):.1f} {y1 - (y1 - y0) * y:.1f}")
        fill = f'fill="{colours[k]}" fill-opacity="0.3"' if rng.random() < 0.1 else 'fill="none"'
        parts.append(
            f'<path d="M{"L".join(at)}" {fill} stroke="{colours[k]}" '
            f'stroke-width="{rng.choice([1, 1.5, 2.5])}"/>'
        )
    count = max(2, min(7, int((x1 - x0) / size / 4)))
    for i, label in enumerate(_labels(words, count, rng)):
        parts.append(_text(x0 + (x1 - x0) * (i + 0.5) / count, y1 + size * 1.3, label))
    return "".join(parts)


def _dots(rng: random.Random, words: Words, w: float, h: float, size: float) -> str:
    axes, (x0, y0, x1, y1) = _axes(rng, words, w, h, size)
    parts = [axes]
    for colour in rng.choice(PALETTES)[: rng.randint(1, 3)]:
        mx, my = rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.8)
        for _ in range(rng.randint(8, 60)):
            x = min(1, max(0, rng.gauss(mx, 0.15)))
            y = min(1, max(0, rng.gauss(my, 0.15)))
            parts.append(
                f'<circle cx="{x0 + (x1 - x0) * x:.1f}" cy="{y1 - (y1 - y0) * y:.1f}" '
                f'r="2.2" fill="{colour}"/>'
            )
    parts.append(_text((x0 + x1) / 2, y1 + size * 1.5, words.phrase(1, 3)))
    return "".join(parts)


def _pie(rng: random.Random, words: Words, w: float, h: float, size: float) -> str:
    colours = rng.choice(PALETTES)
    radius = min(w * 0.3, h * 0.46)
    cx, cy = radius + size, h / 2
    count = rng.randint(2, 6)
    cuts = sorted(rng.random() for _ in range(count - 1))
    edges = [0.0, *cuts, 1.0]
    parts = []
    for i in range(count):
        a, b = (2 * math.pi * e - math.pi / 2 for e in edges[i : i + 2])
        large = 1 if b - a > math.pi else 0
        parts.append(
            f'<path d="M{cx:.1f} {cy:.1f}L{cx + radius * math.cos(a):.1f} '
            f"{cy + radius * math.sin(a):.1f}A{radius:.1f} {radius:.1f} 0 {large} 1 "
            f'{cx + radius * math.cos(b):.1f} {cy + radius * math.sin(b):.1f}Z" '
            f'fill="{colours[i]}" stroke="#fff"/>'
        )
        y = h * 0.5 + (i - count / 2 + 0.5) * size * 1.8
        x = cx + radius + size * 1.5
        if y > size and y < h - size * 0.4:
            parts.append(
                f'<rect x="{x:.1f}" y="{y - size * 0.8:.1f}" width="{size:.1f}" '
                f'height="{size:.1f}" fill="{colours[i]}"/>'
            )
            label = f"{words.word()[:9]} {100 * (edges[i + 1] - edges[i]):.0f} %"
            parts.append(_text(x + size * 1.5, y, label, "start"))
    return "".join(parts)


def _flow(rng: random.Random, words: Words, w: float, h: float, size: float) -> str:
    across = max(1, min(4, int(w / size / 9)))
    down = max(1, min(4, int(h / size / 4)))
    cw, ch = w / across, h / down
    fill = rng.choice(["#fff", "#eef", "#efe", "#fee", "#eee", "#dce9f5"])
    parts = []
    for i in range(across):
        for j in range(down):
            if rng.random() < 0.15 and across * down > 2:
                continue
            x, y, bw, bh = cw * (i + 0.12), ch * (j + 0.18), cw * 0.76, ch * 0.64
            parts.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{bw:.1f}" height="{bh:.1f}" '
                f'rx="{rng.choice([0, 3, 8])}" fill="{fill}" stroke="#333"/>'
            )
            parts.append(_text(x + bw / 2, y + bh / 2 + size * 0.35, words.word()[:10]))
            if i + 1 < across:
                parts.append(
                    f'<path d="M{x + bw:.1f} {y + bh / 2:.1f}h{cw * 0.24 - 4:.1f}" '
                    f'stroke="#333"/><path d="M{x + bw + cw * 0.24:.1f} {y + bh / 2:.1f}'
                    f'l-6 -3v6z" fill="#333"/>'
                )
            if j + 1 < down and rng.random() < 0.6:
                parts.append(
                    f'<path d="M{x + bw / 2:.1f} {y + bh:.1f}v{ch * 0.36 - 4:.1f}" stroke="#333"/>'
                )
    return "".join(parts)
