"""Annual reports and price lists: tables of figures among text, key figures, cards."""

from __future__ import annotations

import random

from pagegen.html.blocks import extras, figures, tables, text
from pagegen.html.content.pictures import Pictures
from pagegen.html.kinds.mix import fill
from pagegen.html.look import draw_look
from pagegen.html.page import finish
from pagegen.html.writer import Writer

Made = tuple[Writer, str]
PLAIN = ["none", "none", "head", "rows", "book", "striped"]


def annual(rng: random.Random, language: str, pictures: Pictures) -> Made:
    """A page of an annual report: text with tables without rulings, notes, charts."""
    r = rng
    look = draw_look(r, language, columns=(1, 1, 2, 2, 3), sizes=(7.5, 8, 9, 9.5, 10),
                     faces=("sans", "serif"), colourful=0.7)  # fmt: skip
    look.heading_numbers = r.choice(["", "", "1.", "1"])
    w = Writer(r, look, pictures)
    parts = []
    if r.random() < 0.3:
        parts.append(text.title(w, r.choice([1.6, 2.2]), "column-span:all"))
    if r.random() < 0.25:
        parts.append(f'<div style="column-span:all">{extras.key_figures(w)}</div>')
    for _ in range(14):
        roll = r.random()
        if roll < 0.35:
            label = tables.caption(w, "table") if r.random() < 0.35 else ""
            columns = r.randint(2, max(2, min(6, int(look.column_width / look.size / 5))))
            grid = tables.table(w, r.randint(3, 14), columns, form=r.choice(PLAIN), money=True,
                                breaks=True)  # fmt: skip
            parts.append(f'<div style="margin:.8em 0">{label}{grid}</div>')
        elif roll < 0.55:
            parts.append(text.heading(w, r.choice([1, 2, 3])))
        elif roll < 0.63:
            parts.append(figures.figure_block(w, kind=r.choice(["chart", "chart", "photo"])))
        elif roll < 0.68:
            parts.append(text.items(w, r.randint(2, 6)))
        else:
            parts.append(text.paragraph(w, note=r.random() < 0.1))
    return w, finish(w, "".join(parts))


def price_list(rng: random.Random, language: str, pictures: Pictures) -> Made:
    """A catalogue or price list: cards with pictures, or long tables under headings."""
    r = rng
    look = draw_look(r, language, sizes=(8, 9, 10, 11), faces=("sans", "sans", "serif"),
                     papers=("a4", "letter", "a5", "a4l"), columns=(1, 1, 2), colourful=0.8,
                     margins=(0.05, 0.1))  # fmt: skip
    look.heading_numbers = ""
    w = Writer(r, look, pictures)
    start = text.title(w, r.choice([1.5, 2.2]), "column-span:all") if r.random() < 0.5 else ""
    if r.random() < 0.55:
        look.columns = 1
        across = r.randint(2, max(2, min(5, int(look.column_width / 110))))
        rows = r.randint(2, max(2, int(look.body_height / look.column_width * across / 1.4)))
        body = extras.cards(w, rows, across)
        if r.random() < 0.5:
            body = text.heading(w, 2) + body
        return w, finish(w, start + body)
    parts = [start]
    for _ in range(r.randint(3, 8)):
        parts.append(text.heading(w, 2))
        if r.random() < 0.3:
            parts.append(text.paragraph(w, 80, first=True))
        if r.random() < 0.25:
            parts.append(figures.figure_block(w, most=look.body_height * 0.15))
        columns = r.randint(2, max(2, min(5, int(look.column_width / look.size / 6))))
        parts.append(tables.table(w, r.randint(3, 14), columns, money=r.random() < 0.6,
                                  breaks=True))  # fmt: skip
    return w, finish(w, "".join(parts))


def menu(rng: random.Random, language: str, pictures: Pictures) -> Made:
    """A recipe: a picture, a list of what it needs, steps."""
    r = rng
    look = draw_look(r, language, papers=("a5", "a4", "square", "letter"), sizes=(9, 10, 11, 13),
                     columns=(1, 2), colourful=0.9)  # fmt: skip
    look.heading_numbers = ""
    w = Writer(r, look, pictures)
    parts = [text.title(w, r.choice([1.6, 2.2]), "column-span:all")]
    if r.random() < 0.8:
        parts.insert(r.randrange(2), figures.figure_block(w, captioned=0.3, kind="photo"))
    if r.random() < 0.5:
        parts.append(text.paragraph(w, 150, first=True))
    needs = text.heading(w, 3) + text.items(w, r.randint(4, 10), length=20, deep=False)
    parts.append(text.box(w, needs) if r.random() < 0.4 else needs)
    parts.append(text.heading(w, 3))
    parts.append(text.items(w, r.randint(3, 8), ordered=True, length=120, deep=False)
                 if r.random() < 0.6 else fill(w, {"p": 1}, full=0.3))  # fmt: skip
    if r.random() < 0.3:
        parts.append(extras.key_figures(w))
    return w, finish(w, "".join(parts))


def cv(rng: random.Random, language: str, pictures: Pictures) -> Made:
    """A CV: a portrait, a coloured side, dates beside words."""
    r = rng
    look = draw_look(r, language, sizes=(9, 10, 11), faces=("sans", "serif"), colourful=0.7,
                     papers=("a4", "letter"))  # fmt: skip
    look.heading_numbers = ""
    w = Writer(r, look, pictures)
    parts = []
    portrait = figures.image(w, 90, 110, kind="photo") if r.random() < 0.5 else ""
    contact = w.mark("Text", "<br>".join(w.text(w.words.contact()) for _ in range(3)), "div",
                     "text-indent:0;text-align:start;font-size:.9em")  # fmt: skip
    name = text.title(w, r.choice([1.8, 2.4]), "margin:0", text=w.words.name())
    parts.append(
        f'<div style="display:flex;justify-content:space-between;gap:1em;margin-bottom:1em">'
        f"<div>{name}{contact}</div><div>{portrait}</div></div>"
    )
    for _ in range(r.randint(3, 6)):
        parts.append(text.heading(w, 2, text=w.words.title(1, 3)))
        form = r.random()
        for _ in range(r.randint(1, 4)):
            years = f"{r.randint(1980, 2010)}–{r.randint(2011, 2026)}"
            if form < 0.5:
                when = w.mark("Text", years, "div", "text-indent:0")
                what = f"<b>{w.text(w.words.phrase(2, 4))}</b><br>{w.text(w.words.paragraph(70))}"
                said = w.mark("Text", what, "div", "text-indent:0;text-align:start")
                parts.append(
                    f'<div style="display:flex;margin:.4em 0;break-inside:avoid"><div '
                    f'style="flex:0 0 7em">{when}</div><div style="flex:1">{said}</div></div>'
                )
            elif form < 0.75:
                parts.append(text.items(w, 1, length=80, deep=False))
            else:
                parts.append(text.paragraph(w, r.choice([60, 150]), first=True))
    return w, finish(w, "".join(parts), head=r.random() < 0.4)


KINDS = {"annual": annual, "pricelist": price_list, "recipe": menu, "cv": cv}
SHARES = {"annual": 14, "pricelist": 7, "recipe": 3, "cv": 3}
