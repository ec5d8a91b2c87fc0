"""Text books with formulas, manuals in steps, printed web pages, colophons."""

from __future__ import annotations

import random

from pagegen.html.blocks import extras, figures, tables, text
from pagegen.html.content.pictures import Pictures
from pagegen.html.kinds.mix import fill
from pagegen.html.look import draw_look
from pagegen.html.page import finish
from pagegen.html.writer import Writer

Made = tuple[Writer, str]


def textbook(rng: random.Random, language: str, pictures: Pictures) -> Made:
    """A page of a text book: formulas, theorems, exercises, footnotes, figures, tables."""
    r = rng
    look = draw_look(
        r,
        language,
        papers=("a5", "b5", "a4", "letter"),
        columns=(1, 1, 1, 2),
        sizes=(9, 10, 10.5, 11, 12),
        faces=("serif", "serif", "sans"),
        colourful=0.25,
    )
    look.heading_numbers = r.choice(["1", "1.", "§", ""])
    w = Writer(r, look, pictures)
    w.math = r.choice([0.0, 0.3, 0.7])
    shares = {
        "p": 40,
        "eq": r.choice([10, 25, 40]),
        "note": r.choice([1, 3, 10]),
        "fig": 7,
        "tab": 7,
        "h": 7,
        "ol": 6,
        "box": 2,
        "code": r.choice([0, 0, 6]),
        "refs": 3,
    }
    return w, finish(w, fill(w, shares))


def guide(rng: random.Random, language: str, pictures: Pictures) -> Made:
    """A manual: steps beside pictures, warnings in boxes with signs, tables of parts."""
    r = rng
    look = draw_look(
        r,
        language,
        papers=("a4", "letter", "a5"),
        columns=(1, 1, 2),
        faces=("sans", "sans", "serif"),
        colourful=0.6,
    )
    w = Writer(r, look, pictures)
    parts = []
    for _ in range(12):
        roll = r.random()
        if roll < 0.2:
            parts.append(text.heading(w, r.choice([1, 2, 3])))
        elif roll < 0.36:
            parts.append(extras.steps(w))
        elif roll < 0.52:
            parts.append(extras.warning(w))
        elif roll < 0.62:
            parts.append(tables.table_block(w))
        elif roll < 0.72:
            parts.append(figures.figure_block(w))
        elif roll < 0.84:
            parts.append(text.items(w, r.randint(2, 6), ordered=r.random() < 0.6))
        elif roll < 0.88:
            parts.append(text.code(w))
        else:
            parts.append(text.paragraph(w))
    return w, finish(w, "".join(parts))


def web_page(rng: random.Random, language: str, pictures: Pictures) -> Made:
    """A web page as printed: the browser's head and foot, a bar of links, an article."""
    r = rng
    look = draw_look(
        r,
        language,
        sizes=(9, 10, 11, 12),
        faces=("sans", "sans", "serif"),
        colourful=0.9,
        margins=(0.05, 0.1),
    )
    look.heading_numbers, look.indent = "", 0.0
    look.skip = look.size * 0.8
    w = Writer(r, look, pictures)
    parts = []
    if r.random() < 0.6:
        links = " ".join(
            f"<a>{w.text(w.words.title(1, 2))}</a>\u2003" for _ in range(r.randint(3, 6))
        )
        logo = figures.image(w, look.size * 4, look.size * 3, kind="clip")
        bar = w.mark("Header", links, "div", "text-indent:0;text-align:start")
        parts.append(
            f'<div style="display:flex;gap:1em;align-items:center;margin-bottom:1em">'
            f'<div style="flex:none">{logo}</div>{bar}</div>'
        )
    parts.append(text.title(w, r.choice([1.6, 2.2])))
    if r.random() < 0.6:
        line = f"{w.words.name()} · {w.words.date()}"
        parts.append(w.mark("Text", w.text(line), "p", "color:#777;font-size:.85em"))
    wide = r.random() < 0.5
    main = fill(w, {"p": 30, "h": 8, "ul": 8, "fig": 8, "code": 3, "tab": 4, "quote": 3, "box": 3})
    if wide:
        parts.append(main)
        return w, finish(w, "".join(parts))
    inner = look.column_width
    with w.inside(inner * 0.66, look.body_height):
        main = fill(w, {"p": 30, "h": 8, "ul": 8, "fig": 8, "tab": 3, "quote": 3})
    with w.inside(inner * 0.28, look.body_height):
        side = "".join(
            text.heading(w, 3) + text.items(w, r.randint(3, 7), length=20, deep=False)
            for _ in range(r.randint(1, 4))
        )
    cells = [
        f'<div style="width:66%">{main}</div>',
        f'<div style="width:28%;font-size:.85em">{side}</div>',
    ]
    if r.random() < 0.4:
        cells.reverse()
    high = look.body_height * 0.8
    parts.append(
        f'<div style="display:flex;justify-content:space-between;height:{high:.0f}px;'
        f'overflow:hidden" class="clip">{"".join(cells)}</div>'
    )
    return w, finish(w, "".join(parts))


def colophon(rng: random.Random, language: str, pictures: Pictures) -> Made:
    """A page with little on it: an imprint, a dedication, a part's title, an advertisement."""
    r = rng
    look = draw_look(
        r, language, papers=("a4", "a5", "b5", "letter"), sizes=(7.5, 8, 9, 10, 11), colourful=0.3
    )
    w = Writer(r, look, pictures)
    lines = [
        r.choice(
            [
                w.words.company(),
                w.words.contact(),
                w.words.phrase(2, 7),
                "ISBN 978-" + str(r.randint(10**9, 10**10)),
                f"© {r.randint(1990, 2026)} " + w.words.company(),
                w.words.date(),
            ]
        )
        for _ in range(r.randint(3, 14))
    ]
    groups: list[list[str]] = [[]]
    for line in lines:
        groups[-1].append(line)
        if r.random() < 0.35:
            groups.append([])
    align = r.choice(["start", "start", "center"])
    parts = [f'<div style="height:{look.height * r.uniform(0, 0.55):.0f}px"></div>']
    if r.random() < 0.4:
        parts.append(text.title(w, r.choice([1.4, 2, 2.6]), f"text-align:{align}"))
    for group in groups:
        if group:
            parts.append(
                w.mark(
                    "Text",
                    "<br>".join(map(w.text, group)),
                    "p",
                    f"text-indent:0;text-align:{align};margin-bottom:1em",
                )
            )
    if r.random() < 0.3:
        parts.append(figures.image(w, look.size * 8, look.size * 6, kind="clip"))
    if r.random() < 0.3:
        parts.append(text.paragraph(w, 300, first=True))
    return w, finish(w, "".join(parts), head=r.random() < 0.4)


KINDS = {"textbook": textbook, "guide": guide, "web": web_page, "colophon": colophon}
SHARES = {"textbook": 20, "guide": 10, "web": 5, "colophon": 3}
