"""Books, reports, magazines, manuals, newspapers: pages of running text."""

from __future__ import annotations

import random

from pagegen.html.blocks import figures, tables, text
from pagegen.html.content.pictures import Pictures
from pagegen.html.kinds.mix import fill
from pagegen.html.look import draw_look
from pagegen.html.page import finish
from pagegen.html.writer import Writer

Made = tuple[Writer, str]


def book(rng: random.Random, language: str, pictures: Pictures) -> Made:
    """A page of a book."""
    look = draw_look(
        rng,
        language,
        papers=("a5", "b5", "digest", "a4"),
        faces=("serif", "serif", "sans"),
        margins=(0.1, 0.17),
        colourful=0.1,
    )
    w = Writer(rng, look, pictures)
    start = ""
    if rng.random() < 0.25:
        start = f'<div style="height:{look.height * rng.uniform(0.02, 0.15):.0f}px"></div>'
        start += text.title(
            w, rng.choice([1.4, 1.8, 2.2]), f"text-align:{rng.choice(['center', 'start'])}"
        )
    maths = rng.choice([0, 0, 25])
    body = fill(
        w,
        {
            "p": 60,
            "drop": 2,
            "h": 6,
            "eq": maths,
            "fig": 4,
            "tab": 3,
            "quote": 3,
            "ul": 3,
            "ol": 3,
            "note": rng.choice([2, 2, 12]),
        },
        full=rng.choice([1, 1, 1, 0.5]),
        start=start,
    )
    return w, finish(w, body)


def report(rng: random.Random, language: str, pictures: Pictures) -> Made:
    """A page of a report."""
    look = draw_look(rng, language, columns=(1, 1, 1, 2, 2), colourful=0.6)
    w = Writer(rng, look, pictures)
    start = text.title(w, 1.9) if rng.random() < 0.2 else ""
    shares = {
        "p": 40,
        "h": 14,
        "ul": 8,
        "ol": 4,
        "fig": 9,
        "tab": 12,
        "box": 4,
        "note": 5,
        "eq": 7,
        "quote": 1,
        "refs": 3,
    }
    return w, finish(w, fill(w, shares, start=start, full=rng.choice([1, 1, 1, 0.6])))


def manual(rng: random.Random, language: str, pictures: Pictures) -> Made:
    """A page of a manual."""
    look = draw_look(
        rng,
        language,
        papers=("a4", "letter", "a5"),
        columns=(1, 1, 2),
        faces=("sans", "sans", "serif"),
        colourful=0.6,
    )
    w = Writer(rng, look, pictures)
    shares = {"p": 22, "h": 16, "ul": 10, "ol": 18, "fig": 14, "tab": 8, "box": 10, "code": 11}
    return w, finish(w, fill(w, shares))


def magazine(rng: random.Random, language: str, pictures: Pictures) -> Made:
    """A page of a magazine: a large title, a picture, narrow columns."""
    look = draw_look(
        rng,
        language,
        papers=("a4", "letter", "b5"),
        columns=(2, 3, 3, 4),
        sizes=(8, 8.5, 9, 9.5),
        margins=(0.05, 0.09),
        colourful=0.9,
    )
    w = Writer(rng, look, pictures)
    inner = look.width - look.margin[1] - look.margin[3]
    over = ""
    if rng.random() < 0.7:
        over = text.title(
            w,
            rng.choice([2.4, 3.2, 4.5]),
            f"column-span:all;text-align:{rng.choice(['start', 'center'])}",
        )
        if rng.random() < 0.6:
            over += text.paragraph(
                w,
                rng.choice([80, 200]),
                first=True,
                style=f"column-span:all;font-size:{rng.choice([1.3, 1.6])}em;margin-bottom:.8em",
            )
        if rng.random() < 0.6:
            picture = figures.image(w, inner, look.height * rng.uniform(0.2, 0.45), kind="photo")
            label = tables.caption(w, "figure") if rng.random() < 0.6 else ""
            over += f'<div style="column-span:all;margin-bottom:1em">{picture}{label}</div>'
    shares = {"p": 50, "h": 9, "fig": 9, "quote": 6, "box": 7, "drop": 3, "ul": 3, "tab": 3}
    return w, finish(w, over + fill(w, shares))


def newspaper(rng: random.Random, language: str, pictures: Pictures) -> Made:
    """A page of a newspaper."""
    look = draw_look(
        rng,
        language,
        papers=("tabloid", "a3", "tabloid"),
        columns=(4, 5, 6),
        sizes=(8, 8.5, 9),
        margins=(0.03, 0.06),
        colourful=0.2,
    )
    look.heading_numbers = ""
    look.rule = rng.random() < 0.5
    w = Writer(rng, look, pictures)
    over = text.title(w, rng.choice([3, 4, 5]), "column-span:all")
    if rng.random() < 0.4:
        over = (
            w.mark(
                "Header",
                w.text(w.words.phrase(1, 3)),
                "div",
                f"column-span:all;font:700 {look.size * 5:.0f}px/1.1 '{look.head}';"
                f"text-align:center",
            )
            + over
        )
    out = over
    for _ in range(rng.randint(2, 5)):
        out += text.heading(w, 1, scale=rng.choice([1.4, 1.8, 2.4]))
        if rng.random() < 0.5:
            out += w.mark("Text", w.text(w.words.name()), "p", "font-weight:bold;text-indent:0")
        out += fill(w, {"p": 60, "fig": 8, "quote": 2, "h": 3}, full=rng.uniform(0.15, 0.35))
    return w, finish(w, out)


def contents(rng: random.Random, language: str, pictures: Pictures) -> Made:
    """A contents page."""
    look = draw_look(rng, language, papers=("a4", "a5", "letter"), columns=(1, 1, 1, 2))
    w = Writer(rng, look, pictures)
    start = text.title(w, rng.choice([1.3, 1.8])) if rng.random() < 0.7 else ""
    count = int(look.body_height * look.columns / look.size / look.leading * rng.uniform(0.3, 0.9))
    return w, finish(w, start + text.contents(w, count))


def references(rng: random.Random, language: str, pictures: Pictures) -> Made:
    """A bibliography."""
    look = draw_look(rng, language, columns=(1, 1, 2), sizes=(9, 10, 11))
    w = Writer(rng, look, pictures)
    start = (
        fill(w, {"p": 1, "note": 0.2}, full=rng.uniform(0.05, 0.5)) if rng.random() < 0.5 else ""
    )
    start += text.heading(w, 1)
    return w, finish(w, start + text.references(w, rng.randint(8, 60)))


KINDS = {
    "book": book,
    "report": report,
    "manual": manual,
    "magazine": magazine,
    "newspaper": newspaper,
    "contents": contents,
    "references": references,
}
SHARES = {
    "book": 16,
    "report": 20,
    "manual": 14,
    "magazine": 14,
    "newspaper": 5,
    "contents": 13,
    "references": 10,
}
