"""Letters, acts, invoices, forms, tables, slides and leaflets."""

from __future__ import annotations

import random

from pagegen.html.blocks import figures, forms, tables, text
from pagegen.html.content.pictures import Pictures
from pagegen.html.kinds.mix import fill
from pagegen.html.look import draw_look
from pagegen.html.page import finish
from pagegen.html.writer import Writer

Made = tuple[Writer, str]


def _address(w: Writer, more: str = "") -> str:
    return w.mark("Text", "<br>".join(w.text(x) for x in w.words.address()), "div", more)


def letter(rng: random.Random, language: str, pictures: Pictures) -> Made:
    """A letter."""
    look = draw_look(rng, language, sizes=(10, 11, 12))
    w = Writer(rng, look, pictures)
    logo = (
        figures.image(w, look.size * rng.uniform(4, 9), look.size * 5, kind="clip")
        if rng.random() < 0.6
        else ""
    )
    parts = [
        f'<div style="display:flex;justify-content:space-between;margin-bottom:2em">'
        f"<div>{logo}</div>"
        f"{_address(w, 'text-align:start;font-size:.85em')}</div>"
    ]
    parts.append(_address(w, "margin-bottom:1.5em"))
    parts.append(
        w.mark(
            "Text",
            w.text(w.words.date()),
            "p",
            f"text-align:{rng.choice(['end', 'start'])};margin-bottom:1.5em",
        )
    )
    if rng.random() < 0.7:
        parts.append(text.heading(w, 2, text=w.words.title(3, 8), scale=1.0))
    parts.append(
        w.mark("Text", w.text(w.words.phrase(2, 3) + ","), "p", "text-indent:0;margin-bottom:1em")
    )
    parts.append(fill(w, {"p": 10, "ul": 1, "tab": 0.6}, full=rng.uniform(0.25, 0.6)))
    parts.append(
        w.mark("Text", w.text(w.words.phrase(2, 3)), "p", "text-indent:0;margin-top:1.5em")
    )
    parts.append(w.mark("Text", w.text(w.words.name()), "p", "text-indent:0;margin-top:3em"))
    return w, finish(w, "".join(parts))


def act(rng: random.Random, language: str, pictures: Pictures) -> Made:
    """An official act or a contract: numbered articles."""
    look = draw_look(
        rng, language, columns=(1, 1, 1, 2, 3), faces=("serif", "serif", "sans"), colourful=0.1
    )
    look.heading_numbers = rng.choice(["§", "Art.", "1.", "", "I."])
    w = Writer(rng, look, pictures)
    start = ""
    if rng.random() < 0.35:
        centre = "text-align:center"
        if rng.random() < 0.5:
            start += figures.image(w, look.size * 5, look.size * 5, kind="clip")
        start += text.title(w, rng.choice([1.3, 1.6, 2]), centre)
        start += w.mark("Text", w.text(w.words.date()), "p", centre + ";text-indent:0")
    body = fill(
        w,
        {"p": 40, "h": 16, "ol": 14, "note": 3, "tab": 4, "form": 1},
        start=start,
        full=rng.choice([1, 1, 0.6]),
    )
    return w, finish(w, body)


def invoice(rng: random.Random, language: str, pictures: Pictures) -> Made:
    """An invoice, an order or a price list."""
    look = draw_look(
        rng, language, faces=("sans", "sans", "serif"), sizes=(8, 9, 10, 11), colourful=0.6
    )
    w = Writer(rng, look, pictures)
    logo = figures.image(w, look.size * 7, look.size * 5, kind="clip") if rng.random() < 0.7 else ""
    side = rng.choice(["row", "row-reverse"])
    parts = [
        f'<div style="display:flex;flex-direction:{side};justify-content:space-between;'
        f'margin-bottom:1.5em">'
        f"<div>{logo}</div>{_address(w)}</div>"
    ]
    parts.append(text.title(w, rng.choice([1.4, 2.0]), text=w.words.title(1, 3)))
    parts.append(
        f'<div style="display:flex;justify-content:space-between;margin-bottom:1em">'
        f"{_address(w)}{_address(w)}</div>"
    )
    parts.append(
        tables.table(
            w,
            rng.randint(3, 25),
            rng.randint(3, 6),
            money=True,
            form=rng.choice(["grid", "rows", "head", "striped", "none"]),
        )
    )
    parts.append(fill(w, {"p": 3, "ul": 1, "tab": 0.5, "form": 0.5}, full=0.12))
    return w, finish(w, "".join(parts))


def figures_table(rng: random.Random, language: str, pictures: Pictures) -> Made:
    """A table of figures that fills the page, as in annual reports."""
    look = draw_look(
        rng, language, papers=("a4", "letter", "a4l"), sizes=(7.5, 8, 9, 10), colourful=0.6
    )
    w = Writer(rng, look, pictures)
    start = text.heading(w, 1) if rng.random() < 0.7 else ""
    if rng.random() < 0.4:
        start += text.paragraph(w, 150)
    if rng.random() < 0.4:
        start += tables.caption(w, "table")
    form = rng.choice(["none", "none", "head", "rows", "book", "striped", "grid"])
    rows = int(look.body_height / look.size / rng.uniform(1.5, 2.4))
    body = tables.table(
        w,
        rng.randint(rows // 2, rows),
        rng.randint(3, 7),
        form=form,
        money=rng.random() < 0.8,
        breaks=True,
    )
    return w, finish(w, start + body + fill(w, {"p": 3, "note": 1, "h": 1, "tab": 1}, full=0.3))


def form_page(rng: random.Random, language: str, pictures: Pictures) -> Made:
    """A form."""
    look = draw_look(
        rng, language, faces=("sans", "sans", "serif"), sizes=(8, 9, 10, 11), colourful=0.3
    )
    w = Writer(rng, look, pictures)
    parts = [text.title(w, rng.choice([1.3, 1.6]), f"text-align:{rng.choice(['center', 'start'])}")]
    while len(parts) < 12:
        parts.append(text.heading(w, rng.choice([2, 3])))
        if rng.random() < 0.4:
            parts.append(text.paragraph(w, rng.choice([60, 150]), first=True))
        parts.append(forms.form(w, rng.randint(2, 9)))
        if rng.random() < 0.15:
            parts.append(text.items(w, rng.randint(2, 4), ordered=True))
    return w, finish(w, "".join(parts))


def slide(rng: random.Random, language: str, pictures: Pictures) -> Made:
    """A slide."""
    look = draw_look(
        rng,
        language,
        papers=("slide169", "slide43"),
        sizes=(13, 15, 17, 20, 24),
        faces=("sans", "sans", "serif"),
        columns=(1, 1, 2),
        margins=(0.05, 0.1),
        colourful=0.8,
    )
    look.heading_numbers = ""
    w = Writer(rng, look, pictures)
    start = text.title(w, rng.choice([1.2, 1.5, 1.8]), "column-span:all")
    shares = {"ul": 20, "ol": 5, "p": 10, "fig": 14, "tab": 6, "box": 3, "h": 2, "eq": 6, "code": 2}
    return w, finish(w, start + fill(w, shares, full=rng.choice([1, 0.6, 0.4])))


def leaflet(rng: random.Random, language: str, pictures: Pictures) -> Made:
    """A leaflet: large type, coloured boxes, pictures."""
    look = draw_look(
        rng,
        language,
        papers=("a4", "a5", "dl", "square", "a4l"),
        columns=(1, 1, 2, 3),
        sizes=(9, 10, 11, 13, 16),
        faces=("sans", "sans", "serif"),
        margins=(0.05, 0.11),
        colourful=1.0,
    )
    look.heading_numbers = ""
    w = Writer(rng, look, pictures)
    if look.width < 500:
        look.columns = 1
    start = text.title(w, rng.choice([1.6, 2.2, 3.0]), "column-span:all")
    shares = {"p": 25, "h": 12, "box": 18, "fig": 16, "ul": 9, "quote": 5, "tab": 4}
    return w, finish(w, start + fill(w, shares))


KINDS = {
    "letter": letter,
    "act": act,
    "invoice": invoice,
    "figures": figures_table,
    "form": form_page,
    "slide": slide,
    "leaflet": leaflet,
}
SHARES = {"letter": 6, "act": 12, "invoice": 6, "figures": 8, "form": 6, "slide": 7, "leaflet": 11}
