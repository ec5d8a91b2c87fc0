"""Tables of many kinds, with and without rulings, and their captions."""

from __future__ import annotations

from pagegen.html.blocks.text import inline
from pagegen.html.writer import Writer


def caption(w: Writer, kind: str) -> str:
    """A caption: its own region."""
    r, look = w.rng, w.look
    number = w.next(kind)
    names = {
        "figure": ["Figure", "Fig.", "Abb.", "Figura", "Рис.", "Photo", "Diagram"],
        "table": ["Table", "Tab.", "Tabelle", "Tabla", "Таблица", "Tableau", "TABLE"],
    }
    label = r.choice(names[kind]) if not w.words.cjk else {"figure": "图", "table": "表"}[kind]
    label = f"{label} {number}" + r.choice([".", ":", "", " –", "."])
    if r.random() < 0.15:
        label = ""
    text = (
        w.words.paragraph(r.choice([20, 40, 80, 150, 300]))
        if r.random() < 0.6
        else w.words.phrase(3, 10)
    )
    head = w.text(label)
    if look.caption_form in ("label", "colour"):
        tint = f' style="color:{look.accent}"' if look.caption_form == "colour" else ""
        head = f"<b{tint}>{head}</b>"
    weight = {"bold": "font-weight:bold;", "italic": "font-style:italic;"}.get(
        look.caption_form, ""
    )
    align = r.choice(["start", "start", "center"])
    return w.mark(
        f"{kind.capitalize()} caption",
        f"{head} {inline(w, text)}",
        "div",
        f"font-size:{look.caption_scale}em;{weight}text-align:{align};line-height:1.25;"
        f"margin:.45em 0;text-indent:0",
    )


def table(
    w: Writer,
    rows: int,
    columns: int,
    *,
    form: str = "",
    wide: bool = True,
    money: bool = False,
    breaks: bool = False,
) -> str:
    """A table: one Table."""
    r, look = w.rng, w.look
    form = form or look.table
    line = r.choice(["#000", "#000", "#777", "#bbb", look.accent])
    pad = r.choice([0.05, 0.15, 0.3, 0.5])
    side = r.choice([0.2, 0.4, 0.7])
    cell = f"padding:{pad}em {side}em;"
    if form == "grid":
        cell += f"border:1px solid {line};"
    elif form == "rows":
        cell += f"border-bottom:1px solid {line};"
    elif form == "columns":
        cell += f"border-left:1px solid {line};border-right:1px solid {line};"
    words_in = r.choice([0, 0, 1, 2]) if not money else 0
    kinds = ["text"] + [
        r.choice(["number", "number", "text", "mixed"]) if not money else "number"
        for _ in range(columns - 1)
    ]
    maker = r.choice(
        [
            w.words.number,
            w.words.amount,
            lambda: f"{r.randint(0, 9999)}",
            lambda: f"{r.uniform(0, 1):.3f}",
        ]
    )
    shaded = r.sample(range(1, columns), min(2, columns - 1)) if r.random() < 0.15 else []
    head_ground = r.choice(
        [f"background:{look.accent};color:#fff;", f"background:{look.tint};", "", ""]
    )
    if look.accent == "#000" and "color:#fff" in head_ground:
        head_ground = "background:#ddd;"
    out = []
    if r.random() < 0.85:
        cells = []
        for c in range(columns):
            text = w.words.phrase(1, 2) if c or r.random() < 0.6 else ""
            if money and c:
                text = r.choice([str(2026 - c), w.words.phrase(1, 1), f"{2026 - c} EUR"])
            css = cell + head_ground + ("text-align:end;" if kinds[c] == "number" else "")
            if form == "book":
                css += f"border-top:1.5px solid {line};border-bottom:1px solid {line};"
            elif form == "head":
                css += f"border-bottom:1.5px solid {line};"
            cells.append(f'<th style="{css}">{w.text(text)}</th>')
        out.append(f"<tr>{''.join(cells)}</tr>")
    for i in range(rows):
        cells = []
        total = i == rows - 1 and r.random() < 0.4
        section = r.random() < 0.06 and columns > 2
        for c in range(columns):
            if c == 0:
                text = w.text(w.words.phrase(1, r.choice([2, 4])))
            elif section:
                text = ""
            elif kinds[c] == "number" or (kinds[c] == "mixed" and r.random() < 0.5):
                text = w.text("–" if r.random() < 0.05 else maker())
            else:
                text = w.text(
                    w.words.phrase(1, 3) if words_in == 0 else w.words.paragraph(20 * words_in**2)
                )
                if words_in == 2 and r.random() < 0.2:
                    text = "<br>".join("• " + w.text(w.words.phrase(1, 4)) for _ in range(3))
            css = cell + ("text-align:end;" if kinds[c] == "number" else "")
            if form == "striped" and i % 2:
                css += f"background:{look.tint};"
            if c in shaded:
                css += f"background:{look.tint};"
            if total or section:
                css += "font-weight:bold;"
            if total:
                css += f"border-top:1px solid {line};"
            if form == "book" and i == rows - 1:
                css += f"border-bottom:1.5px solid {line};"
            cells.append(f'<td style="{css}">{text}</td>')
        out.append(f"<tr>{''.join(cells)}</tr>")
    width = "width:100%;" if wide else "margin-inline:auto;"
    size = r.choice([0.7, 0.8, 0.85, 0.9, 1.0])
    keep = "" if breaks else "break-inside:avoid;"
    return w.mark(
        "Table",
        "".join(out),
        "table",
        f"{width}{keep}border-collapse:collapse;font-size:{size}em;line-height:1.2;"
        f"vertical-align:{r.choice(['top', 'middle'])}",
    )


def table_block(
    w: Writer, rows: int = 0, columns: int = 0, *, captioned: float = 0.85, money: bool = False
) -> str:
    """A table with its caption above or below."""
    r = w.rng
    most = max(2, min(9, int(w.look.column_width / w.look.size / 5)))
    columns = columns or r.randint(2, most)
    inner = table(w, rows or r.randint(2, 12), columns, wide=r.random() < 0.75, money=money)
    if r.random() < captioned:
        label = caption(w, "table")
        inner = label + inner if r.random() < 0.8 else inner + label
    if r.random() < 0.1:
        inner += w.mark("Text", w.text(w.words.sentence()), "p", "font-size:.75em;text-indent:0")
    return f'<div style="break-inside:avoid;margin:1em 0">{inner}</div>'
