"""Displayed formulas: one line or many, with their numbers apart from them."""

from __future__ import annotations

from pagegen.marks import colour
from pagegen.typst.blocks import Blocks
from pagegen.typst.papers.formulas import LongFormulas
from pagegen.typst.papers.style import PaperStyle


def _number(b: Blocks, style: PaperStyle, formula: int) -> str:
    """A formula's number, a region of its own unless it touches the formula."""
    region = b.marks.region("Equation", joins=formula)
    form = style.equation_number
    tag = form.replace("1", str(b.equation_number), 1).replace("S", str(max(1, b.section)))
    b.equation_number += 1
    return b.words(tag, region, b.style.size)


def _row(b: Blocks, region: int, formula: str) -> str:
    code = b.marks.unit(region, b.style.size, stacked=True)
    return f"#text(fill: {colour(code)})[$display({formula})$]"


def _room(b: Blocks, share: float) -> float:
    """Ems of a formula that fills a share of the column between its number and its pad."""
    return max(4.0, share * (b.style.column_width / b.style.size - 5.0))


def _single(b: Blocks, f: LongFormulas, region: int, share: float) -> str:
    """A formula on one line; it may have a mark at its end."""
    left, width = f.side()
    right, _ = f.terms(max(1.0, _room(b, share) - width - 1.5))
    end = b.rng.choice(["\\,", ".", "", ""])
    return _row(b, region, f"{left} {f.relation()} {right}{end}")


def _pair(b: Blocks, f: LongFormulas, region: int) -> str:
    """Two short formulas on one line."""
    parts = []
    for _ in range(2):
        left, width = f.side()
        right, _ = f.terms(max(1.0, _room(b, 0.38) - width - 1.5), 1)
        parts.append(f"{left} = {right}")
    return _row(b, region, b.rng.choice([" quad quad ", "\\, quad ", " quad "]).join(parts))


def _aligned(b: Blocks, f: LongFormulas, region: int, share: float) -> str:
    """Lines under each other at their relation signs; each line is one line of words."""
    r, s = b.rng, b.style
    rows = []
    chained = r.random() < 0.6
    first, width = f.side()
    for i in range(r.choice((2, 2, 3, 3, 4, 6))):
        if not chained and i:
            first, width = f.side()
        right, _ = f.terms(max(1.0, _room(b, share * r.uniform(0.5, 1)) - width - 1.5))
        code = b.marks.unit(region, s.size, stacked=True)
        ink = f"#set text(fill: {colour(code)})\n"
        left = "" if chained and i else f"$display({first})$"
        rows.append(f"[{ink}{left}], [{ink}$display({f.relation()} {right})$]")
    gap = s.size * r.choice([0.5, 0.8, 1.1])
    return (
        f"#grid(columns: 2, align: (right + horizon, left + horizon), "
        f"column-gutter: 0.3em, row-gutter: {gap:.2f}pt, {', '.join(rows)})"
    )


def _broken(b: Blocks, f: LongFormulas, region: int) -> str:
    """A long formula that goes on in the next lines."""
    r, s = b.rng, b.style
    rows = [f"[{_single(b, f, region, r.uniform(0.7, 0.95))}]"]
    for _ in range(r.choice((1, 1, 2, 3))):
        terms, _ = f.terms(_room(b, r.uniform(0.3, 0.8)))
        row = _row(b, region, f"{r.choice('+-')} {terms}")
        rows.append(f"[#h({r.uniform(0, 3):.1f}em){row}]")
    return f"#grid(columns: 1, align: left, row-gutter: {s.size * 0.8:.2f}pt, {', '.join(rows)})"


def equation(b: Blocks, s: PaperStyle) -> str:
    """A displayed formula in the page's form."""
    r = b.rng
    f = LongFormulas(r)
    region = b.marks.region("Equation")
    share = r.choice([0.25, 0.4, 0.6, 0.8, 0.95])
    roll = r.random()
    if roll < 0.2:
        body = _row(b, region, b.formulas.display(s.column_width > 300))
    elif roll < 0.66:
        body = _single(b, f, region, share)
    elif roll < 0.72:
        body = _pair(b, f, region)
    elif roll < 0.82:
        body = _broken(b, f, region)
    else:
        body = _aligned(b, f, region, share)
    number = _number(b, s, region) if r.random() < s.equation_share else ""
    align = "left" if s.equation_left else "center"
    pad = "#h(2em)" if s.equation_left else ""
    left, right = "", number
    if s.equation_number_left:
        left, right = number, ""
    level = r.choice(["horizon", "horizon", "bottom"])
    skip = s.leading + s.size * r.choice([0.3, 0.55, 0.8])
    return (
        f"#block(above: {skip:.2f}pt, below: {skip:.2f}pt, breakable: false, width: 100%)["
        f"#set par(first-line-indent: 0pt, justify: false)\n"
        f"#grid(columns: (2em, 1fr, 2em), align: (left + {level}, {align} + horizon, "
        f"right + {level}), [{left}], [{pad}{body}], [{right}])]\n\n"
    )
