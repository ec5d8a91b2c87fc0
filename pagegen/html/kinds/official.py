"""Gazettes and ordinances, tenders, contracts, patents."""

from __future__ import annotations

import random

from pagegen.html.blocks import extras, figures, forms, math, tables, text
from pagegen.html.content.pictures import Pictures
from pagegen.html.kinds.mix import fill
from pagegen.html.look import draw_look
from pagegen.html.page import finish
from pagegen.html.writer import Writer, numeral

Made = tuple[Writer, str]


def gazette(rng: random.Random, language: str, pictures: Pictures) -> Made:
    """A page of a gazette: articles with centred numbers, lists of letters, tables, footnotes."""
    r = rng
    look = draw_look(r, language, columns=(1, 1, 2, 2, 3), sizes=(8, 9, 9.5, 10, 11, 12),
                     faces=("serif", "serif", "sans"), colourful=0.08)  # fmt: skip
    w = Writer(r, look, pictures)
    centre = "text-align:center"
    look.heading_numbers = ""
    parts = []
    if r.random() < 0.3:
        name = w.text(w.words.title(2, 5).upper())
        parts.append(w.mark("Header", name, "div", f"column-span:all;{centre};font-size:1.6em;"
                            f"border-bottom:2px solid;margin-bottom:.6em"))  # fmt: skip
    if r.random() < 0.4:
        parts.append(text.title(w, r.choice([1.2, 1.5]), centre))
    article = r.randint(1, 60)
    word = r.choice(["Article", "Art.", "§", "Artikel", "Статья", "Artículo", "Section", "Άρθρο"])
    if w.words.cjk:
        word = "第"
    goal = look.columns * look.body_height / look.size / look.leading
    used, number = 0.0, 1
    chars = look.column_width / look.size / (0.5 if not w.words.cjk else 1)
    while used < goal * 1.15:
        roll = r.random()
        if roll < 0.22:
            article, number = article + 1, 1
            words = f"{word} {article}" + ("条" if w.words.cjk else "")
            if r.random() < 0.4:
                words += f" – {w.words.title(2, 6)}"
            parts.append(text.heading(w, 2, text=words, scale=r.choice([1, 1, 1.1]),
                                      style=r.choice([centre, ""])))  # fmt: skip
            used += 3
            if r.random() < 0.4:
                parts.append(text.heading(w, 3, style=centre, scale=1.0))
                used += 2
        elif roll < 0.7:
            length = r.choice([120, 250, 400])
            sign = numeral(r.choice(["(1)", "1.", "", ""]), number)
            body = f"{w.text(sign)} {text.inline(w, w.words.paragraph(length))}"
            if r.random() < 0.12:
                body += f"<sup>{text.footnote(w)}</sup>"
            parts.append(w.mark("Text", body, "p"))
            used += length / chars + 1
            number += 1
        elif roll < 0.9:
            count = r.randint(2, 6)
            parts.append(text.items(w, count, ordered=r.random() < 0.8,
                                    length=r.choice([40, 100, 200])))  # fmt: skip
            used += count * max(1, 110 / chars)
        elif roll < 0.96:
            parts.append(tables.table_block(w, captioned=0.4))
            used += 14
        else:
            parts.append(math.equation(w))
            used += 3
    return w, finish(w, "".join(parts), over=extras.stamp(w) if r.random() < 0.04 else "")


def contract(rng: random.Random, language: str, pictures: Pictures) -> Made:
    """A contract or a certificate with names to be signed over."""
    r = rng
    look = draw_look(r, language, sizes=(9, 10, 11, 12), colourful=0.1)
    w = Writer(r, look, pictures)
    start = text.title(w, r.choice([1.3, 1.7]), "text-align:center") if r.random() < 0.5 else ""
    body = fill(w, {"p": 25, "ol": 12, "h": 12, "form": 3, "tab": 2, "ul": 3}, start=start,
                full=r.uniform(0.3, 0.75))  # fmt: skip
    over = extras.stamp(w) if r.random() < 0.15 else ""
    return w, finish(w, body + extras.signatures(w), over=over)


def tender(rng: random.Random, language: str, pictures: Pictures) -> Made:
    """A notice of a tender: numbered labels, fields with their values, dates, sums."""
    r = rng
    look = draw_look(r, language, sizes=(8.5, 9, 10, 11), faces=("sans", "serif"),
                     columns=(1, 1, 1, 2), colourful=0.3)  # fmt: skip
    w = Writer(r, look, pictures)
    parts = []
    if r.random() < 0.4:
        logo = figures.image(w, look.size * 5, look.size * 4, kind="clip")
        parts.append(f'<div style="column-span:all;width:{look.size * 6:.0f}px">{logo}</div>')
        parts.append(text.title(w, 1.4, "column-span:all"))
    section = r.randint(1, 6)
    for _ in range(9):
        section += 1
        parts.append(text.heading(w, 2, text=f"{numeral('I', section)}. {w.words.title(2, 6)}"))
        for k in range(r.randint(1, 5)):
            roll = r.random()
            label = f"{numeral('I', section)}.{k + 1}) {w.words.phrase(1, 4)}"
            if roll < 0.45:
                value = r.choice([w.words.company(), w.words.date(), w.words.contact(),
                                  w.words.paragraph(80), w.words.amount()])  # fmt: skip
                parts.append(w.mark("Text", f"<b>{w.text(label)}:</b> {w.text(value)}", "p",
                                    "text-indent:0"))  # fmt: skip
            elif roll < 0.65:
                parts.append(text.heading(w, 3, text=label, scale=1.0))
                parts.append(text.paragraph(w, r.choice([80, 200]), first=True))
            elif roll < 0.8:
                parts.append(forms.form(w, r.randint(1, 4)))
            elif roll < 0.92:
                parts.append(text.items(w, r.randint(2, 5), ordered=r.random() < 0.5))
            else:
                parts.append(tables.table_block(w, rows=r.randint(2, 6), captioned=0.2))
    return w, finish(w, "".join(parts))


def patent(rng: random.Random, language: str, pictures: Pictures) -> Made:
    """A page of a patent: two columns with numbered lines, claims, or a sheet of figures."""
    r = rng
    look = draw_look(r, language, papers=("a4", "letter"), columns=(2, 2, 1), sizes=(9, 10, 11),
                     faces=("serif",), colourful=0.0, margins=(0.08, 0.12))  # fmt: skip
    look.heading_numbers, look.heading_form = "", r.choice(["plain", "bold", "upper"])
    w = Writer(r, look, pictures)
    if r.random() < 0.25:
        look.columns = 1
        wide = look.column_width
        sheets = []
        for _ in range(r.choice([1, 1, 2])):
            sheets.append(figures.image(w, wide * r.uniform(0.6, 1), look.height * 0.36,
                                        kind=r.choice(["chart", "clip"])))  # fmt: skip
            label = f"FIG. {w.next('figure')}"
            sheets.append(w.mark("Figure caption", label, "div",
                                 "text-align:center;margin:.6em 0 1.5em;"
                                 "font-size:1.2em"))  # fmt: skip
        return w, finish(w, "".join(sheets))
    number = r.randint(1, 90)
    parts: list[str] = []
    while len(parts) < 26:
        roll = r.random()
        if roll < 0.12:
            parts.append(text.heading(w, 2, style="text-align:center"))
        elif roll < 0.22:
            parts.append(math.equation(w))
        elif roll < 0.28:
            parts.append(tables.table_block(w))
        elif roll < 0.6:
            parts.append(text.paragraph(w, r.choice([200, 400, 600])))
        else:
            number += 1
            parts.append(extras.clause(w, number))
    over = ""
    if look.columns == 2 and r.random() < 0.7:
        step = look.size * look.leading * 5
        middle = look.margin[3] + look.column_width + look.gap / 2
        count = int(look.body_height / step)
        over = "".join(
            f'<div data-skip style="position:absolute;left:{middle - 8:.0f}px;width:16px;'
            f"text-align:center;top:{look.margin[0] + step * (i + 1):.0f}px;"
            f'font-size:{look.size * 0.7:.1f}px;line-height:1">{5 * (i + 1)}</div>'
            for i in range(count)
        )
        look.gap = max(look.gap, 34)
    return w, finish(w, "".join(parts), over=over)


KINDS = {"gazette": gazette, "contract": contract, "tender": tender, "patent": patent}
SHARES = {"gazette": 14, "contract": 5, "tender": 6, "patent": 6}
