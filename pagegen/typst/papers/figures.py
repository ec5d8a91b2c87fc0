"""Figures of papers: one picture or many panels as one region."""

from __future__ import annotations

import numpy as np

from pagegen.typst.figures import WHITE, Canvas, shortened
from pagegen.typst.papers.diagrams import DIAGRAMS
from pagegen.typst.papers.photos import PHOTOS
from pagegen.typst.papers.plots import plot

Cell = tuple[float, float, float, float]


def picture(c: Canvas, x: float, y: float, w: float, h: float, kind: int | None = None) -> None:
    """A photograph or something like it."""
    r = c.rng
    noise = np.random.default_rng(r.getrandbits(64))
    density = min(r.choice([0.7, 1.2, 1.8]), 420 / max(w, h))
    size = max(16, int(h * density)), max(16, int(w * density))
    make = PHOTOS[r.randrange(len(PHOTOS)) if kind is None else kind]
    c.image(x, y, w, h, make(noise, *size))
    if r.random() < 0.2 and w > 60:
        c.rec(x + w * 0.78, y + h - 8, w * 0.16, 2, (0xF0, 0xF0, 0xF0))
    if r.random() < 0.3 and w > c.size * 6 and h > c.size * 4:
        room = int(w / c.size / (1.0 if c.prose.language == "zh" else 0.6)) - 2
        word = r.choice([r.choice("ABCDEabcde"), shortened(c.prose.figure_word_label(), room)])
        top = r.random() < 0.7
        c.label(x + 3, y + c.size if top else y + h - c.size, word, 0, base=WHITE)
    if r.random() < 0.12 and w > 60:
        c.rec(x + w * 0.3, y + h * 0.4, w * 0.2, h * 0.2, None, 0.8)
    if r.random() < 0.12:
        c.rec(x, y, w, h, None, 0.5)


def drawing(c: Canvas, x: float, y: float, w: float, h: float) -> None:
    """A diagram."""
    c.rng.choice(DIAGRAMS)(c, x, y, w, h)


def _grid(c: Canvas, gap: float) -> list[Cell]:
    """Cells of a grid."""
    r, w, h = c.rng, c.width, c.height
    columns = max(1, min(r.choice([1, 2, 2, 2, 3, 3, 4, 5]), int(w / 62)))
    rows = max(1, min(r.choice([1, 1, 2, 2, 3, 4, 6]), int(h / 58)))
    if columns == rows == 1:
        columns = 2 if w > h else 1
        rows = 3 - columns
    cw, ch = (w - gap * (columns - 1)) / columns, (h - gap * (rows - 1)) / rows
    return [(j * (cw + gap), i * (ch + gap), cw, ch) for i in range(rows) for j in range(columns)]


def _collage(c: Canvas, gap: float) -> list[Cell]:
    """A rectangle cut again and again: panels of unlike sizes."""
    r = c.rng
    cells: list[Cell] = [(0.0, 0.0, c.width, c.height)]
    for _ in range(r.randint(1, 4)):
        x, y, w, h = cells.pop(max(range(len(cells)), key=lambda k: cells[k][2] * cells[k][3]))
        cut = r.uniform(0.35, 0.65)
        if (w > h and w > 130) or h < 110:
            a = (w - gap) * cut
            cells += [(x, y, a, h), (x + a + gap, y, w - a - gap, h)]
        else:
            a = (h - gap) * cut
            cells += [(x, y, w, a), (x, y + a + gap, w, h - a - gap)]
    return sorted(cells, key=lambda k: (round(k[1]), k[0]))


def panels(c: Canvas) -> None:
    """Many panels, most of one kind, with their letters."""
    r, s = c.rng, c.size
    kind = r.choice([plot, plot, plot, picture, picture, picture, drawing])
    tight = kind is picture and r.random() < 0.5
    gap = r.uniform(1, 4) if tight else s * r.uniform(1.0, 2.2)
    cells = _grid(c, gap) if r.random() < 0.75 else _collage(c, gap)
    form = r.choice(["(a)", "a", "A", "(a) below", "(a) words", "none", "title"])
    if tight and form in ("(a) below", "(a) words"):
        form = "none"
    look = r.randrange(len(PHOTOS)) if r.random() < 0.6 else None
    for i, (x, y, w, h) in enumerate(cells):
        letter = "abcdefghijklmnopqrstuvwxyz"[i % 26]
        top = s * 1.5 if form in ("(a)", "a", "A", "title") and not tight else 0.0
        low = s * 1.8 if form in ("(a) below", "(a) words") else 0.0
        body = (x, y + top, w, max(20.0, h - top - low))
        one = kind if r.random() < 0.8 else r.choice([plot, picture, drawing])
        if one is picture:
            picture(c, *body, look)
        else:
            one(c, *body)
        room = max(1, int(w / s / (1.0 if c.prose.language == "zh" else 0.58)) - 4)
        if form in ("(a)", "a", "A"):
            sign = {"(a)": f"({letter})", "a": letter, "A": letter.upper()}[form]
            c.label(x + 1, y + s * 0.7, sign, 0)
        elif form == "(a) below":
            c.label(x + w / 2, y + h - s * 0.7, f"({letter})")
        elif form == "(a) words":
            words = shortened(c.prose.figure_word_label(), room)
            c.label(x + w / 2, y + h - s * 0.7, f"({letter}) {words}")
        elif form == "title" and not tight:
            c.label(x + w / 2, y + s * 0.6, shortened(c.prose.figure_word_label(), room))


def draw(c: Canvas) -> str:
    """A figure of any kind that fills the canvas, as a typst expression."""
    r = c.rng
    roll = r.random()
    if roll < 0.45 and c.width > 110 and c.height > 70:
        panels(c)
    elif roll < 0.7:
        plot(c, 0, 0, c.width, c.height)
    elif roll < 0.86:
        drawing(c, 0, 0, c.width, c.height)
    else:
        picture(c, 0, 0, c.width, c.height)
    return c.code()
