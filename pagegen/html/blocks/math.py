"""Display formulas in MathML."""

from __future__ import annotations

import random

from pagegen.html.writer import Writer

LETTERS = [
    "x",
    "y",
    "z",
    "a",
    "b",
    "c",
    "k",
    "n",
    "m",
    "p",
    "q",
    "r",
    "s",
    "t",
    "u",
    "v",
    "w",
    "α",
    "β",
    "γ",
    "λ",
    "μ",
    "σ",
    "φ",
    "ω",
    "A",
    "B",
    "F",
    "G",
    "H",
    "K",
    "L",
    "M",
    "N",
    "P",
    "Q",
    "R",
    "S",
    "T",
    "X",
]


def _letter(r: random.Random) -> str:
    return f"<mi>{r.choice(LETTERS)}</mi>"


def _atom(r: random.Random, depth: int) -> str:
    roll = r.random()
    if roll < 0.35 or depth > 2:
        return _letter(r)
    if roll < 0.45:
        return f"<mn>{r.randint(0, 99)}</mn>"
    if roll < 0.6:
        sign = r.choice(["<mi>i</mi>", "<mi>j</mi>", "<mn>0</mn>"])
        return f"<msub>{_letter(r)}<mrow>{sign}</mrow></msub>"
    if roll < 0.72:
        sign = r.choice(["<mn>2</mn>", "<mi>n</mi>", "<mo>′</mo>"])
        return f"<msup>{_letter(r)}<mrow>{sign}</mrow></msup>"
    if roll < 0.85:
        return f"<mfrac><mrow>{_sum(r, depth + 1)}</mrow><mrow>{_sum(r, depth + 1)}</mrow></mfrac>"
    if roll < 0.9:
        return f"<msqrt>{_sum(r, depth + 1)}</msqrt>"
    if roll < 0.95:
        return f"<mo>(</mo>{_sum(r, depth + 1)}<mo>)</mo>"
    name = r.choice(["sin", "log", "exp", "max", "lim"])
    return f"<mi>{name}</mi><mo>(</mo>{_sum(r, depth + 1)}<mo>)</mo>"


def _sum(r: random.Random, depth: int) -> str:
    parts = [_atom(r, depth)]
    for _ in range(r.choice([0, 0, 1, 1, 2])):
        parts.append(f"<mo>{r.choice(['+', '−', '+', '·', '='])}</mo>{_atom(r, depth)}")
    if r.random() < 0.1:
        sign = r.choice("∑∫∏")
        parts.insert(
            0,
            f"<munderover><mo>{sign}</mo><mrow><mi>i</mi><mo>=</mo><mn>1</mn></mrow>"
            f"<mi>n</mi></munderover>",
        )
    return "".join(parts)


def formula(r: random.Random) -> str:
    """A formula as MathML, in display style."""
    sign = r.choice(["=", "=", "=", "≤", "≈", ">", "→", "∝"])
    parts = [_letter(r) if r.random() < 0.6 else _atom(r, 1), f"<mo>{sign}</mo>", _sum(r, 0)]
    if r.random() < 0.4:
        parts += [f"<mo>{r.choice(['=', '+', '−'])}</mo>", _sum(r, 0)]
    return f'<math display="block" style="display:inline math">{"".join(parts)}</math>'


def small(r: random.Random) -> str:
    """A short formula that stands within a line of words."""
    left = (
        f"<msub>{_letter(r)}<mi>{r.choice('ijkn')}</mi></msub>" if r.random() < 0.5 else _letter(r)
    )
    right = r.choice(
        [_letter(r), f"<mn>{r.randint(0, 99)}</mn>", f"<msup>{_letter(r)}<mn>2</mn></msup>"]
    )
    if r.random() < 0.4:
        return f"<math>{left}</math>"
    sign = r.choice(["=", "&lt;", "∈", "≤", "→", "≈"])
    return f"<math>{left}<mo>{sign}</mo>{right}</math>"


def equation(w: Writer) -> str:
    """A display formula, one Equation; its number stands apart."""
    r = w.rng
    align = r.choice(["center", "center", "center", "flex-start"])
    inner = w.mark(
        "Equation", formula(r), "span", "display:inline-block;text-indent:0", 'dir="ltr" data-ink'
    )
    number = ""
    if r.random() < 0.5:
        form = r.choice(["(1)", "(1)", "(1.1)", "[1]"]).replace("1", str(w.next("equation")), 1)
        number = w.mark(
            "Equation",
            form,
            "span",
            "position:absolute;inset-inline-end:0;text-indent:0",
            'data-f="joins"',
        )
    return (
        f'<div style="display:flex;align-items:center;justify-content:{align};position:relative;'
        f'margin:.6em 0;break-inside:avoid;font-size:{r.choice([1, 1, 1.1])}em">'
        f"{inner}{number}</div>"
    )
