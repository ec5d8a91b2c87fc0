"""Pages cut in parts: brochures, magazines with bleeding pictures, newspapers, posters, slides."""

from __future__ import annotations

import random
from collections.abc import Mapping

from pagegen.html.blocks import figures, modules, text
from pagegen.html.content.pictures import Pictures
from pagegen.html.look import draw_look
from pagegen.html.page import finish
from pagegen.html.writer import Writer

Made = tuple[Writer, str]


def _page(
    w: Writer, rect: modules.Rect, kinds: Mapping[str, float], least: float, over: str
) -> str:
    """A page whose body is cut in parts below what stands at its top."""
    body = over + modules.modular(w, rect, kinds, least)
    return finish(w, "", over=body)


def brochure(rng: random.Random, language: str, pictures: Pictures) -> Made:
    """A page of a brochure or leaflet."""
    look = draw_look(rng, language, papers=("a4", "a4", "letter", "a5", "square", "a4l", "dl"),
                     sizes=(9, 10, 11, 12, 14, 17), faces=("sans", "sans", "serif"),
                     margins=(0.05, 0.09), colourful=1.0)  # fmt: skip
    look.heading_numbers = ""
    w = Writer(rng, look, pictures)
    m = look.margin
    top, over = m[0], ""
    if rng.random() < 0.45:
        high = look.height * rng.uniform(0.12, 0.4)
        if rng.random() < 0.6:
            over = modules.module(w, (0, 0, look.width, high), "bleed")
            top = high + look.size
        else:
            scale = min(rng.choice([2, 3, 4]), look.width / look.size / 12)
            ground = rng.choice([f"background:{rng.choice(modules.DARK)};color:#fff", ""])
            with w.inside(look.width - m[1] - m[3], high):
                name = text.title(w, scale, "color:inherit" if ground else "")
            over = modules.place((0, 0, look.width, high), name,
                                 f"{ground};padding:{m[0] * 0.6:.0f}px {m[3]:.0f}px")  # fmt: skip
            top = high + look.size
    rect = (m[3], top, look.width - m[1] - m[3], look.height - top - m[2])
    kinds = {"article": 30, "tint": 14, "dark": 9, "frame": 6, "picture": 20, "list": 8,
             "quote": 5, "table": 7, "chart": 6}  # fmt: skip
    return w, _page(w, rect, kinds, look.size * 15, over)


def spread(rng: random.Random, language: str, pictures: Pictures) -> Made:
    """A page of a magazine with pictures that bleed, side bars and pull quotes."""
    look = draw_look(rng, language, papers=("a4", "letter", "b5"), sizes=(8, 8.5, 9, 9.5, 10),
                     margins=(0.06, 0.1), colourful=0.9)  # fmt: skip
    look.heading_numbers = ""
    look.heading_form = rng.choice(["bold", "plain", "upper", "italic"])
    w = Writer(rng, look, pictures)
    m = look.margin
    x, y, width, height = m[3], m[0], look.width - m[1] - m[3], look.height - m[0] - m[2]
    over = ""
    roll = rng.random()
    if roll < 0.35:
        high = look.height * rng.uniform(0.25, 0.6)
        over = modules.module(w, (0, 0, look.width, high), "bleed")
        y, height = high + look.size, look.height - high - look.size - m[2]
    elif roll < 0.55:
        wide = look.width * rng.uniform(0.25, 0.45)
        over = modules.module(w, (0, 0, wide, look.height), "bleed")
        x, width = wide + m[3] * 0.6, look.width - wide - m[3] * 0.6 - m[1]
    elif roll < 0.75:
        wide = width * rng.uniform(0.22, 0.34)
        bar = (x + width - wide, y, wide, height)
        over = modules.module(w, bar, rng.choice(["tint", "dark", "frame"]))
        width -= wide + look.size * 1.5
    if rng.random() < 0.6 and height > 300:
        scale = min(rng.choice([2.5, 3.5, 4.5]), width / look.size / 10)
        high = look.size * scale * 2.7
        with w.inside(width, high):
            over += modules.place((x, y, width, high), text.title(w, scale, "margin:0"))
        y, height = y + high, height - high
    if rng.random() < 0.4 and height > 260:
        size = look.size * rng.choice([1.4, 1.7])
        high = size * 5
        with w.inside(width, high, 1, size):
            lead = text.paragraph(w, 170, first=True)
        over += modules.place((x, y, width, high), lead, f"font-size:{size:.1f}px;line-height:1.3")
        y, height = y + high + size, height - high - size
    kinds = {"article": 55, "picture": 14, "tint": 6, "quote": 5, "chart": 3, "table": 3}
    return w, _page(w, (x, y, width, height), kinds, look.size * 22, over)


def broadsheet(rng: random.Random, language: str, pictures: Pictures) -> Made:
    """A page of a newspaper cut in articles."""
    look = draw_look(rng, language, papers=("tabloid", "a3", "a4", "letter"),
                     sizes=(8, 8.5, 9, 10), faces=("serif", "serif", "sans"),
                     margins=(0.03, 0.06), colourful=0.3)  # fmt: skip
    look.heading_numbers = ""
    look.rule = rng.random() < 0.5
    look.heading_form = rng.choice(["bold", "bold", "plain"])
    w = Writer(rng, look, pictures)
    m = look.margin
    y, over = m[0], ""
    if rng.random() < 0.4:
        high = look.size * 7
        words = w.words.title(1, 3)
        room = (look.width - m[1] - m[3]) / max(1, len(words)) / (1.0 if w.words.cjk else 0.7)
        name = w.mark("Header", w.text(words), "div",
                      f"font:700 {min(look.size * 4.5, room):.0f}px/1.15 '{look.head}';"
                      f"text-align:center;"
                      f"white-space:nowrap")  # fmt: skip
        over = modules.place((m[3], y, look.width - m[1] - m[3], high), name)
        y += high
    rect = (m[3], y, look.width - m[1] - m[3], look.height - y - m[2])
    kinds = {"article": 60, "picture": 14, "frame": 6, "tint": 6, "table": 3, "list": 3}
    return w, _page(w, rect, kinds, look.size * 20, over)


def poster(rng: random.Random, language: str, pictures: Pictures) -> Made:
    """A poster, cover or certificate: few large words, pictures, a line at the foot."""
    look = draw_look(rng, language, papers=("a4", "letter", "a3", "a5", "a4l", "slide169"),
                     sizes=(12, 14, 17, 20), margins=(0.07, 0.14), colourful=0.9)  # fmt: skip
    look.heading_numbers = ""
    r = rng
    w = Writer(r, look, pictures)
    centre = r.choice(["center", "center", "start"])
    dark = r.random() < 0.3
    if dark:
        look.ground, look.ink, look.accent = r.choice(modules.DARK), "#fff", "#fff"
    inner = look.width - look.margin[1] - look.margin[3]
    frame = ""
    if r.random() < 0.25:
        line = r.choice(["double", "solid"])
        frame = (
            f'<div style="position:absolute;inset:{look.size:.0f}px;'
            f'border:{r.choice([2, 5, 8])}px {line} {look.accent}"></div>'
        )
    parts = []
    scale = min(r.choice([2, 2.5, 3.5]), inner / look.size / 9)
    if r.random() < 0.6:
        kind = r.choice(["clip", "photo", "clip"])
        wide = inner * (r.uniform(0.12, 0.35) if kind == "clip" else r.uniform(0.5, 1))
        parts.append(figures.image(w, wide, look.height * 0.35, kind=kind))
    parts.append(text.title(w, scale, f"text-align:{centre}"))
    for _ in range(r.randint(1, 5)):
        roll = r.random()
        gap = f"margin:{r.uniform(0.5, 2):.1f}em 0"
        if roll < 0.35:
            line = w.text(r.choice([w.words.name(), w.words.date(), w.words.company(),
                                    w.words.phrase(2, 6)]))  # fmt: skip
            parts.append(w.mark("Text", line, "p", f"text-align:{centre};text-indent:0;{gap};"
                                f"font-size:{r.choice([0.8, 1, 1.3])}em"))  # fmt: skip
        elif roll < 0.55:
            parts.append(text.heading(w, 2, style=f"text-align:{centre}"))
        elif roll < 0.8:
            parts.append(text.paragraph(w, r.choice([60, 120, 220]), first=True,
                                        style=f"text-align:{centre};{gap}"))  # fmt: skip
        elif roll < 0.9:
            parts.append(text.items(w, r.randint(2, 5), length=20, deep=False))
        else:
            parts.append(figures.image(w, inner * r.uniform(0.4, 1), look.height * 0.25))
    if r.random() < 0.3:
        r.shuffle(parts)
    lead = f'<div style="height:{look.height * r.uniform(0, 0.15):.0f}px"></div>'
    return w, finish(w, lead + "".join(parts), head=r.random() < 0.6, over=frame)


KINDS = {"brochure": brochure, "spread": spread, "broadsheet": broadsheet, "poster": poster}
SHARES = {"brochure": 16, "spread": 13, "broadsheet": 6, "poster": 6}
