"""Smaller things: signatures, stamps, key figures, icons, warnings, cards, steps."""

from __future__ import annotations

import math

from pagegen.html.blocks import figures, text
from pagegen.html.writer import Writer, numeral

PENS = ["#1a2a6c", "#000", "#223", "#24408e"]


def signature(w: Writer) -> str:
    """A name written by hand: one Figure."""
    r = w.rng
    width, height = r.uniform(80, 190), r.uniform(25, 60)
    x, y = 4.0, height * 0.6
    path = [f"M{x:.0f} {y:.0f}"]
    while x < width - 20:
        dx = r.uniform(6, 22)
        path.append(
            f"C{x + r.uniform(-8, 12):.0f} {r.uniform(2, height - 2):.0f} "
            f"{x + dx + r.uniform(-12, 8):.0f} {r.uniform(2, height - 2):.0f} "
            f"{x + dx:.0f} {height * r.uniform(0.3, 0.8):.0f}"
        )
        x += dx
    svg = (
        f'<svg width="{width:.0f}" height="{height:.0f}"><path d="{"".join(path)}" fill="none" '
        f'stroke="{r.choice(PENS)}" stroke-width="{r.choice([1, 1.5, 2])}"/></svg>'
    )
    return w.mark("Figure", svg, "div", f"width:{width:.0f}px;height:{height:.0f}px", "data-ink")


def signatures(w: Writer) -> str:
    """Names to be signed over, side by side."""
    r = w.rng
    cells = []
    for _ in range(r.randint(1, 3)):
        hand = signature(w) if r.random() < 0.5 else '<div style="height:2.5em"></div>'
        line = "border-top:1px solid #000;" if r.random() < 0.6 else ""
        words = [w.words.name()] + ([w.words.phrase(1, 3)] if r.random() < 0.6 else [])
        name = w.mark("Text", "<br>".join(map(w.text, words)), "div", "")
        cells.append(
            f'<div style="flex:0 1 40%">{hand}<div style="{line}padding-top:.3em">'
            f"{name}</div></div>"
        )
    return (
        f'<div style="display:flex;justify-content:space-between;gap:2em;margin-top:2em;'
        f'break-inside:avoid;text-indent:0">{"".join(cells)}</div>'
    )


def stamp(w: Writer) -> str:
    """A rubber stamp on top of the page, as it was used later: no region."""
    r, look = w.rng, w.look
    ink = r.choice(["#a11", "#1a3f8f", "#253", "#502070"])
    word = w.words.title(1, 2).upper()[:18]
    x, y = r.uniform(0.1, 0.7) * look.width, r.uniform(0.1, 0.85) * look.height
    form = r.choice(["50%", "6px", "0"])
    return (
        f'<div data-skip style="position:absolute;left:{x:.0f}px;top:{y:.0f}px;z-index:9;'
        f"transform:rotate({r.uniform(-25, 25):.0f}deg);border:{r.choice([2, 3])}px solid {ink};"
        f"color:{ink};opacity:{r.uniform(0.3, 0.7):.2f};padding:.8em 1em;border-radius:{form};"
        f"font:700 {r.uniform(10, 18):.0f}px '{look.mono}';text-align:center\">{w.text(word)}<br>"
        f"{w.text(w.words.date())}</div>"
    )


def watermark(w: Writer) -> str:
    """A pale word across the page: no region."""
    r, look = w.rng, w.look
    word = r.choice(["DRAFT", "COPY", "SAMPLE", "KOPIE", "PROJET", "SPECIMEN", "CONFIDENTIAL"])
    return (
        f'<div data-skip style="position:absolute;left:0;top:{look.height * 0.42:.0f}px;width:100%;'
        f"text-align:center;transform:rotate(-{r.randint(30, 60)}deg);color:#000;"
        f"opacity:{r.uniform(0.05, 0.12):.2f};font:700 {look.width / 6:.0f}px/1 sans-serif;"
        f'white-space:nowrap">{word}</div>'
    )


def key_figures(w: Writer) -> str:
    """Large numbers, each with a line of words below it: a Text each."""
    r, look = w.rng, w.look
    count = max(1, min(4, int(look.column_width / look.size / 8), r.randint(2, 4)))
    scale = r.choice([1.8, 2.4, 3.0])
    cells = []
    for _ in range(count):
        number = w.text(w.words.number())
        words = w.text(w.words.phrase(1, 4))
        cells.append(
            w.mark(
                "Text",
                f'<div style="font-size:{scale}em;line-height:1.1;color:{look.accent};'
                f"font-family:'{look.head}';font-weight:bold\">{number}</div>"
                f'<div style="font-size:.85em">{words}</div>',
                "div",
                "flex:1 1 0;text-align:start;text-indent:0",
                'data-f="one"',
            )
        )
    row = "display:flex;gap:1.5em;margin:1em 0;break-inside:avoid"
    return f'<div style="{row}">{"".join(cells)}</div>'


def icon(w: Writer, size: float) -> str:
    """A small sign as for a warning or a note: one Figure."""
    r = w.rng
    tint = r.choice(["#e6a700", "#c0392b", "#2471a3", "#000"])
    shape = r.choice(
        [
            f'<path d="M{size / 2:.1f} 1L{size - 1:.1f} {size - 1:.1f}H1Z" fill="{tint}"/>',
            f'<circle cx="{size / 2:.1f}" cy="{size / 2:.1f}" r="{size / 2 - 1:.1f}" '
            f'fill="{tint}"/>',
            f'<rect x="1" y="1" width="{size - 2:.1f}" height="{size - 2:.1f}" rx="3" '
            f'fill="{tint}"/>',
        ]
    )
    bar = (
        f'<path d="M{size / 2:.1f} {size * 0.35:.1f}V{size * 0.68:.1f}M{size / 2:.1f} '
        f'{size * 0.76:.1f}v{size * 0.08:.1f}" stroke="#fff" stroke-width="{size / 9:.1f}"/>'
    )
    svg = f'<svg width="{size:.0f}" height="{size:.0f}" style="display:block">{shape}{bar}</svg>'
    return w.mark(
        "Figure", svg, "div", f"width:{size:.0f}px;height:{size:.0f}px;flex:none", "data-ink"
    )


def warning(w: Writer) -> str:
    """A warning in a box, with its sign beside it."""
    r, look = w.rng, w.look
    head = (
        text.heading(w, 3, text=w.words.title(1, 2).upper(), style="margin:0 0 .2em")
        if r.random() < 0.6
        else ""
    )
    body = head + text.paragraph(w, r.choice([60, 120, 220]), first=True)
    if r.random() < 0.25:
        body += text.items(w, r.randint(2, 4), deep=False)
    sign = icon(w, look.size * r.uniform(1.6, 3)) if r.random() < 0.75 else ""
    css = r.choice(
        [
            "border:1px solid #000",
            "background:#fff4d6",
            "background:#f2f2f2",
            f"border-top:2px solid {look.accent};border-bottom:2px solid {look.accent}",
            "border:2px solid #c00",
            f"border-inline-start:4px solid {look.accent}",
        ]
    )
    return (
        f'<div class="box" style="display:flex;gap:.8em;{css};padding:.6em;margin:.8em 0;'
        f'break-inside:avoid">{sign}<div style="flex:1;min-width:0">{body}</div></div>'
    )


def steps(w: Writer) -> str:
    """Numbered steps, each beside its picture."""
    r, look = w.rng, w.look
    wide = look.column_width * r.uniform(0.25, 0.45)
    rows = []
    for i in range(r.randint(2, 4)):
        picture = figures.image(
            w, wide, look.body_height * 0.18, kind=r.choice(["photo", "clip", "chart"])
        )
        words = text.items(
            w,
            r.randint(1, 2),
            ordered=True,
            length=r.choice([60, 120]),
            deep=False,
            first=2 * i + 1,
        )
        cells = [
            f'<div style="flex:none;width:{wide:.0f}px">{picture}</div>',
            f'<div style="flex:1;min-width:0">{words}</div>',
        ]
        if r.random() < 0.5:
            cells.reverse()
        rows.append(
            f'<div style="display:flex;gap:1em;margin:.8em 0;break-inside:avoid">'
            f"{''.join(cells)}</div>"
        )
    return "".join(rows)


def cards(w: Writer, rows: int, across: int) -> str:
    """Pictures of goods or people in a grid, each with words below."""
    r, look = w.rng, w.look
    gap = look.size * 1.2
    wide = (look.column_width - gap * (across - 1)) / across
    kind = r.choice(["photo", "clip"])
    captions = r.random() < 0.5
    shape = r.uniform(0.6, 1.1)
    cells = []
    for _ in range(rows * across):
        picture = figures.image(w, wide * 0.96, wide * shape, kind=kind)
        if captions:
            words = w.mark(
                "Figure caption",
                w.text(w.words.phrase(1, 6)),
                "div",
                "font-size:.85em;margin-top:.3em;text-align:start",
            )
        else:
            lines = [f"<b>{w.text(w.words.phrase(1, 3))}</b>", w.text(w.words.phrase(2, 6))]
            if r.random() < 0.7:
                lines.append(w.text(f"{w.words.amount()} {r.choice(['€', '$', '£', 'Kč'])}"))
            words = w.mark(
                "Text",
                "<br>".join(lines),
                "div",
                "font-size:.85em;margin-top:.3em;text-align:start",
            )
        cells.append(
            f'<div style="break-inside:avoid;text-indent:0;min-width:0">{picture}{words}</div>'
        )
    return (
        f'<div style="display:grid;grid-template-columns:repeat({across},minmax(0,1fr));'
        f'gap:{gap:.0f}px;margin:.8em 0">{"".join(cells)}</div>'
    )


def drop_cap(w: Writer, length: int) -> str:
    """A paragraph whose first letter is some lines high: one Text."""
    r, look = w.rng, w.look
    words = w.words.paragraph(length)
    lines = r.choice([2, 3, 3])
    size = look.size * look.leading * lines * 0.92
    first, rest = words[:1], words[1:]
    cap = (
        f"<span style=\"float:inline-start;font:{size:.0f}px/{size:.0f}px '{look.head}';"
        f'padding-inline-end:.08em;color:{look.accent}">{w.text(first)}</span>'
    )
    return w.mark("Text", cap + text.inline(w, rest), "p", "text-indent:0")


def clause(w: Writer, number: int) -> str:
    """A numbered paragraph of an act or a patent, its number outside or within."""
    sign = numeral(w.rng.choice(["(1)", "1.", "[1]"]), number)
    return w.mark(
        "Text", f"{w.text(sign)} {text.inline(w, w.words.paragraph(250))}", "p", "text-indent:0"
    )


def turn(w: Writer, words: str, category: str = "Header") -> str:
    """Words written upwards at the page's edge."""
    r, look = w.rng, w.look
    side = r.choice(["left", "right"])
    away = min(look.margin[1], look.margin[3]) * 0.3
    top = r.uniform(0.1, 0.5) * look.height
    size = look.size * r.choice([0.7, 0.8, 1.0])
    mode = "vertical-rl" if r.random() < 0.6 else "sideways-lr"
    length = math.floor(look.height - top - 20)
    inner = w.mark(category, w.text(words), "span", "", 'data-turn data-f="one"')
    return (
        f'<div style="position:absolute;{side}:{away:.0f}px;top:{top:.0f}px;writing-mode:{mode};'
        f"font:{size:.1f}px/1.2 '{look.head}';color:{look.accent};max-height:{length}px;"
        f'white-space:nowrap;text-indent:0;hyphens:manual">{inner}</div>'
    )
