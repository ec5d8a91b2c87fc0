"""Displayed formulas: one line or many, with their numbers apart from them."""

from __future__ import annotations

from lmv3det.synthetic.blocks import Blocks
from lmv3det.synthetic.marks import colour
from lmv3det.synthetic.papers.style import PaperStyle


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


def _aligned(b: Blocks, region: int, wide: bool) -> str:
    """Lines under each other at their relation signs; each line is one line of words."""
    r, s = b.rng, b.style
    rows = []
    chained = r.random() < 0.6
    for i in range(r.choice((2, 2, 3, 3, 4, 6))):
        left, sign, right, end = b.formulas.parts(wide)
        code = b.marks.unit(region, s.size, stacked=True)
        ink = f"#set text(fill: {colour(code)})\n"
        left = "" if chained and i else f"$display({left})$"
        rows.append(f"[{ink}{left}], [{ink}$display({sign} {right}{end})$]")
    gap = s.size * r.choice([0.5, 0.8, 1.1])
    return (
        f"#grid(columns: 2, align: (right + horizon, left + horizon), "
        f"column-gutter: 0.3em, row-gutter: {gap:.2f}pt, {', '.join(rows)})"
    )


def _broken(b: Blocks, region: int) -> str:
    """A long formula that goes on in the next lines."""
    r, s = b.rng, b.style
    left, sign, right, _ = b.formulas.parts(True)
    rows = [f"[{_row(b, region, f'{left} {sign} {right}')}]"]
    for _ in range(r.choice((1, 1, 2))):
        sign = r.choice(["+", "-", "times"])
        terms = " + ".join(b.formulas.term(0) for _ in range(r.randint(1, 3)))
        rows.append(f"[#h({r.uniform(1, 4):.1f}em){_row(b, region, f'{sign} {terms}')}]")
    return f"#grid(columns: 1, align: left, row-gutter: {s.size * 0.8:.2f}pt, {', '.join(rows)})"


def equation(b: Blocks, s: PaperStyle) -> str:
    """A displayed formula in the page's form."""
    r = b.rng
    wide = s.column_width > 300
    region = b.marks.region("Equation")
    roll = r.random()
    if roll < 0.62:
        body = _row(b, region, b.formulas.display(wide))
    elif roll < 0.72 and wide:
        gap = r.choice(["quad", "quad quad"])
        both = [" ".join(b.formulas.parts(False)[:3]) for _ in range(2)]
        body = _row(b, region, f" {gap} ".join(both))
    elif roll < 0.82 and wide:
        body = _broken(b, region)
    else:
        body = _aligned(b, region, wide)
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
