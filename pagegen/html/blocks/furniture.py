"""Heads, feet and page numbers."""

from __future__ import annotations

from pagegen.html.blocks import figures
from pagegen.html.writer import ROMAN, Writer


def _piece(w: Writer, category: str, text: str, css: str = "") -> str:
    return w.mark(category, w.text(text), "span", css)


def _number(w: Writer) -> str:
    r, n = w.rng, w.page_number
    return r.choice(
        [
            str(n),
            str(n),
            str(n),
            f"– {n} –",
            f"Page {n}",
            f"{n}/{n + r.randint(0, 40)}",
            f"{n} | ",
            f"Seite {n}",
            f"p. {n}",
            ROMAN[n % 20],
        ]
    ).strip()


def _row(w: Writer, category: str, pieces: list[str]) -> str:
    r = w.rng
    just = (
        r.choice(["space-between", "center", "flex-end"]) if len(pieces) == 1 else "space-between"
    )
    inner = "".join(_piece(w, category, p) for p in pieces)
    row = f"display:flex;justify-content:{just};gap:2em;align-items:baseline"
    return f'<div style="{row}">{inner}</div>'


def running(w: Writer) -> tuple[str, str]:
    """The page's head and foot."""
    r, look = w.rng, w.look
    name = w.words.title(2, 6)
    if r.random() < 0.3:
        name = name.upper()
    head = foot = ""
    where = r.choices(["head", "foot", "both", "none"], [25, 35, 35, 5])[0]
    size = r.choice([0.7, 0.8, 0.85, 0.9])
    if where in ("head", "both"):
        pieces = [name]
        if where == "head":
            pieces.append(_number(w))
        elif r.random() < 0.5:
            pieces.append(r.choice([w.words.date(), w.words.company(), w.words.phrase(1, 3)]))
        if r.random() < 0.4:
            pieces.reverse()
        line = (
            f"border-bottom:1px solid {look.accent};padding-bottom:.3em;"
            if r.random() < 0.4
            else ""
        )
        head = f'<div style="{line}">{_row(w, "Header", pieces)}</div>'
    if where in ("foot", "both"):
        pieces = [_number(w)]
        if r.random() < 0.5:
            pieces.append(r.choice([w.words.company(), w.words.title(1, 5), w.words.contact()]))
            if r.random() < 0.3:
                pieces.append(w.words.date())
        if r.random() < 0.5:
            pieces.reverse()
        line = f"border-top:1px solid {look.accent};padding-top:.3em;" if r.random() < 0.35 else ""
        foot = f'<div style="{line}">{_row(w, "Footer", pieces)}</div>'
    if head and r.random() < 0.1:
        logo = figures.image(w, look.size * r.uniform(2, 5), look.size * 2.2, kind="clip")
        cells = [f'<div style="flex:1">{head}</div>', f"<div>{logo}</div>"]
        if r.random() < 0.5:
            cells.reverse()
        head = f'<div style="display:flex;gap:1em;align-items:center">{"".join(cells)}</div>'
    face = r.choice([look.head, look.body])
    font = f"font-size:{look.size * size:.1f}px;font-family:'{face}';line-height:1.2;"
    tint = f"color:{r.choice([look.accent, '#555', look.ink])};"
    return (
        f'<div style="{font}{tint}">{head}</div>' if head else "",
        f'<div style="{font}{tint}">{foot}</div>' if foot else "",
    )
