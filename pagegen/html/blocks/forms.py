"""Fields to fill in."""

from __future__ import annotations

from pagegen.html.writer import Writer


def form(w: Writer, rows: int) -> str:
    """Fields with labels, boxes to tick and lines to write on: one Form."""
    r, look = w.rng, w.look
    kind = r.choice(["grid", "lines", "dots", "boxes"])
    out = []
    for _ in range(rows):
        cells = []
        for _ in range(r.choice([1, 1, 2, 2, 3])):
            label = w.text(w.words.phrase(1, 4))
            filled = w.text(r.choice([w.words.name(), w.words.date(), w.words.amount()]))
            value = (
                f"<span style=\"font-family:'{look.mono}'\">{filled}</span>"
                if r.random() < 0.4
                else "&nbsp;"
            )
            roll = r.random()
            if roll < 0.2:
                ticks = " ".join(
                    f'<span style="display:inline-block;width:.8em;height:.8em;border:1px '
                    f'solid #000;'
                    f'margin:0 .3em 0 .8em"></span>{w.text(w.words.word())}'
                    for _ in range(r.randint(1, 4))
                )  # fmt: skip
                cells.append(f'<div style="flex:1">{label} {ticks}</div>')
            elif kind == "grid":
                cells.append(
                    f'<div style="flex:{r.randint(1, 3)};border:1px solid #555;padding:.15em .4em">'
                    f'<div style="font-size:.75em">{label}</div><div>{value}</div></div>'
                )
            elif kind == "boxes":
                squares = "".join(
                    '<span style="display:inline-block;width:1.1em;height:1.3em;border:1px '
                    'solid #444">'
                    "</span>" for _ in range(r.randint(4, 10)))  # fmt: skip
                cells.append(f'<div style="flex:1">{label} {squares}</div>')
            else:
                line = "dotted" if kind == "dots" else "solid"
                cells.append(
                    f'<div style="flex:1;display:flex;gap:.4em"><span>{label}:</span>'
                    f'<span style="flex:1;border-bottom:1px {line} #333;min-width:3em">'
                    f"{value}</span></div>"
                )
        gap = "0" if kind == "grid" else "1em"
        out.append(
            f'<div style="display:flex;gap:{gap};'
            f'margin:{0 if kind == "grid" else r.choice([0.3, 0.6])}em 0">{"".join(cells)}</div>'
        )
    return w.mark("Form", "".join(out), "div", "break-inside:avoid;margin:.6em 0;text-indent:0")
