"""Running pages: blocks drawn by their shares until the page is full."""

from __future__ import annotations

from collections.abc import Mapping

from pagegen.html.blocks import extras, figures, forms, math, tables, text
from pagegen.html.writer import Writer


def block(w: Writer, kind: str) -> tuple[str, float]:
    """A block of a kind and the letters that would fill its room, about."""
    r = w.rng
    if kind == "p":
        length = r.choice([80, 150, 300, 450, 700])
        return text.paragraph(w, length, note=r.random() < 0.06), length
    if kind == "note":
        return text.paragraph(w, 300, note=True), 450
    if kind == "h":
        level = r.choice([1, 2, 2, 3])
        return text.heading(w, level), 120
    if kind in ("ul", "ol"):
        count = r.randint(2, 7)
        return text.items(w, count, ordered=kind == "ol", first=r.choice([1, 1, 1, 4])), count * 110
    if kind == "fig":
        return figures.figure_block(w), 900
    if kind == "tab":
        return tables.table_block(w), 700
    if kind == "eq":
        lead = text.paragraph(w, r.choice([40, 100, 200]))
        return lead + math.equation(w), 350
    if kind == "code":
        return text.code(w), 500
    if kind == "form":
        return forms.form(w, r.randint(3, 9)), 600
    if kind == "quote":
        return text.quotation(w), 250
    if kind == "box":
        inner = text.heading(w, 3) if r.random() < 0.6 else ""
        inner += text.paragraph(w, r.choice([80, 200, 400]), first=True)
        if r.random() < 0.3:
            inner += text.items(w, r.randint(2, 5))
        return text.box(w, inner), 500
    if kind == "drop":
        return extras.drop_cap(w, 400), 400
    if kind == "keys":
        return extras.key_figures(w), 250
    if kind == "warn":
        return extras.warning(w), 350
    if kind == "toc":
        return text.contents(w, r.randint(8, 30)), 900
    if kind == "refs":
        return text.heading(w, 1) + text.references(w, r.randint(4, 20)), 1500
    raise ValueError(kind)


def fill(w: Writer, shares: Mapping[str, float], *, full: float = 1.0, start: str = "") -> str:
    """Blocks that fill the page's columns to ``full`` of them, more than it holds where 1."""
    look, r = w.look, w.rng
    room = look.column_width * look.columns * look.body_height
    room /= (look.size * (1.0 if w.words.cjk else 0.5)) * look.size * look.leading
    if w.words.cjk:
        room *= 2.4
    goal = room * (full if full < 1 else 1.25)
    out, used, last = [start], 0.0, "h" if start else ""
    if not start and full >= 1 and "p" in shares and r.random() < 0.4:
        # The page begins in the middle of a paragraph of the page before.
        words = w.words.paragraph(r.choice([150, 300, 500]))
        words = words[len(words) // 8 :]
        words = words if w.words.cjk else words.partition(" ")[2]
        out.append(
            w.mark("Text", text.inline(w, words or w.words.sentence()), "p", "text-indent:0")
        )
    while used < goal:
        kind = r.choices(list(shares), list(shares.values()))[0]
        if last == "h" and kind in ("h", "fig", "tab"):
            kind = "p"
        made, size = block(w, kind)
        out.append(made)
        used += size
        last = kind
    return "".join(out)
