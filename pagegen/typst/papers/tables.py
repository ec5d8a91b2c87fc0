"""Tables of papers: ruled or not, of numbers or of words, small or as large as the page."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from pagegen.marks import BLACK, Colour, colour
from pagegen.style import SANS
from pagegen.text import MATH_END, MATH_START
from pagegen.typst.blocks import Blocks, fonts

FORMS = (
    ["booktabs"] * 5
    + ["lines"] * 3
    + ["double"] * 2
    + ["grid"] * 3
    + ["bars"] * 2
    + ["rows", "rows", "plain", "shaded", "shaded", "banded"]
)
_MATH = re.compile(f"{MATH_START}[^{MATH_END}]*{MATH_END}")
GREYS: list[Colour] = [(0xE0, 0xE0, 0xE0), (0xD0, 0xE0, 0xF0), (0xF0, 0xE0, 0xD0)]


@dataclass
class _Table:
    """One table while it is written.

    Attributes:
        kinds: what stands in each column.
        rules: typst code of lines, fills and so on.
        cells: typst code of the cells in their order.
    """

    region: int
    edge: int
    size: float
    width: float
    kinds: list[str]
    form: str
    y: int = 0
    rules: list[str] = field(default_factory=list)
    cells: list[str] = field(default_factory=list)

    @property
    def columns(self) -> int:
        """How many columns it has."""
        return len(self.kinds)

    def rule(self, y: int, pen: float, start: int = 0, end: int | None = None) -> None:
        """A level line above row y."""
        stop = "" if end is None else f", end: {end}"
        self.rules.append(
            f"table.hline(y: {y}, start: {start}{stop}, stroke: {pen}pt + {colour(self.edge)})"
        )


def _value(b: Blocks, kind: str) -> str:
    """A cell's text."""
    r = b.rng
    if r.random() < 0.04:
        return r.choice(["–", "-", "n/a", "—"])
    if kind == "int":
        return str(r.randint(0, 9999 if r.random() < 0.3 else 99))
    if kind == "large":
        return f"{r.randint(1000, 9999999):,}"
    if kind == "pm":
        return f"{r.uniform(0, 99):.1f}\u00a0±\u00a0{r.uniform(0, 9):.1f}"
    if kind == "share":
        return f"{r.randint(0, 300)}\u00a0({r.uniform(0, 100):.1f}%)"
    if kind == "interval":
        low = r.uniform(0.2, 2)
        high = low + r.uniform(0.5, 3)
        return f"{low + 0.4:.2f}\u00a0({low:.2f}–{high:.2f})"
    if kind == "p":
        return r.choice([f"{r.random():.3f}", "<0.001", f"{r.random():.2f}", "NS"])
    if kind == "sign":
        return r.choice(["yes", "no", "+", "−", "✓", "A", "B"])
    if kind == "power":
        return f"{r.uniform(1, 9.9):.1f}\u00a0×\u00a010−{r.randint(1, 9)}"
    if kind == "math":
        return MATH_START + b.formulas.variable() + MATH_END
    if kind == "cite":
        return f"[{r.randint(1, 99)}]"
    if kind == "year":
        return str(r.randint(1985, 2023))
    if kind == "long":
        return b.prose.paragraph(r.choice([120, 300]) // b.density())
    if kind == "words":
        text = b.prose.list_item()
        most = r.choice([25, 60, 110, 170]) // b.density()
        while len(text) < most * 0.6:
            text += ("" if b.prose.language == "zh" else " ") + b.prose.item_sentence()
        text = _MATH.sub("x", text)[:most]  # A formula must not be cut.
        return text.rpartition(" ")[0] or text
    if kind == "term":
        return b.prose.figure_word_label()
    most, digits = r.choice([(1, 3), (1, 2), (99, 1), (99, 2), (9, 4)])
    return f"{r.uniform(-most if r.random() < 0.12 else 0, most):.{digits}f}"


NUMBERS = [
    "int", "float", "float", "float", "pm", "share", "interval", "p", "power", "large", "sign",
]  # fmt: skip


def _nature(b: Blocks, width: float, size: float) -> list[str]:
    """The columns' kinds; the room that each needs decides how many there are."""
    r = b.rng
    nature = r.choices(("numbers", "one", "words", "mixed", "small"), (26, 20, 32, 13, 9))[0]
    room = width / size
    if nature == "words" and r.random() < 0.15:
        return ["long"]
    if nature == "words":
        count = max(2, min(r.randint(2, 5), int(room / 9)))
        kinds = r.choices(["words", "words", "words", "term", "cite", "year"], k=count - 1)
        return [r.choice(["term", "head", "words"]), *kinds]
    if nature == "small":
        return ["head", *r.choices(NUMBERS, k=r.randint(1, 2))]
    need = {"pm": 5.5, "share": 6.5, "interval": 8.5, "power": 6.5, "large": 5, "term": 7}
    one = r.choice(NUMBERS)
    kinds = [r.choice(["head", "head", "head", "term", "math"])]
    left = room - 8
    most = r.choice([3, 5, 7, 9, 14])
    while len(kinds) < most:
        kind = one if nature == "one" else r.choice(NUMBERS)
        if nature == "mixed" and r.random() < 0.4:
            kind = r.choice(["term", "cite", "year", "sign", "math"])
        left -= need.get(kind, 4.0)
        if left < 0:
            break
        kinds.append(kind)
    return kinds if len(kinds) > 1 else ["head", "float"]


def _rows_that_fit(b: Blocks, t: _Table, height: float, inset: float) -> int:
    """About how many rows fill ``height`` points."""
    each = t.size * 0.72 + 2 * inset
    if t.kinds == ["long"]:
        each *= max(2.0, 200 / b.density() * t.size * 0.5 / t.width)
    if "words" in t.kinds:
        letters = (130 / b.density()) * t.size * 0.5
        each += 0.9 * t.size * (letters / (t.width / t.columns))
    return max(1, int(height / each))


def _head(b: Blocks, t: _Table, bold: bool, levels: int) -> None:
    """The head's cells, in one or two levels."""
    r = b.rng

    def cell(text: str, options: str = "") -> str:
        body = b.words(text, t.region, t.size)
        body = f"#strong[{body}]" if bold else body
        return f"table.cell({options})[{body}]" if options else f"[{body}]"

    if levels == 2 and t.columns >= 4:
        t.cells.append(cell(b.prose.cell_head(), "rowspan: 2"))
        at = 1
        while at < t.columns:
            span = min(t.columns - at, r.randint(2, 3))
            t.cells.append(cell(b.prose.cell_head(), f"colspan: {span}, align: center"))
            if t.form in ("booktabs", "lines") and span > 1:
                t.rule(1, 0.35, at, at + span)
            at += span
        t.cells.extend(cell(b.prose.cell_head()) for _ in range(t.columns - 1))
        t.y = 2
        return
    t.cells.extend(
        cell("" if i == 0 and r.random() < 0.2 else b.prose.cell_head()) for i in range(t.columns)
    )
    t.y = 1


def _body(b: Blocks, t: _Table, rows: int) -> list[int]:
    """The body's cells; returns the rows where a group starts."""
    r = b.rng
    grouped = r.random() < 0.25 and rows > 5
    form = r.choice(["span", "span", "rows"])
    side = r.choice(["left", "left", "center"])
    groups: list[int] = []
    sparse = r.random() < 0.1
    indent = "#h(0.8em)" if r.random() < 0.4 else ""
    best = r.random() < 0.25
    row, span = 0, 0
    while row < rows:
        if grouped and form == "span" and row % max(3, rows // 4) == 0:
            words = b.words(b.prose.row_head(), t.region, t.size)
            look = r.choice(["strong", "emph"])
            t.cells.append(f"table.cell(colspan: {t.columns}, align: {side})[#{look}[{words}]]")
            groups.append(t.y)
            t.y += 1
        for i, kind in enumerate(t.kinds):
            options = ""
            if i == 0 and grouped and form == "rows":
                if row < span:
                    continue
                high = min(r.randint(2, 4), rows - row)
                span = row + high
                options = f"rowspan: {high}, align: left + horizon"
                groups.append(t.y)
            if sparse and i and r.random() < 0.5:
                t.cells.append("[]")
                continue
            text = b.prose.row_head() if kind == "head" else _value(b, kind)
            body = b.words(text, t.region, t.size)
            if best and i and r.random() < 0.08:
                body = f"#strong[{body}]"
            lead = indent if i == 0 and grouped and form == "span" else ""
            t.cells.append(f"table.cell({options})[{body}]" if options else f"[{lead}{body}]")
        t.y += 1
        row += 1
    return groups


def _rules(b: Blocks, t: _Table, head: int, groups: list[int]) -> str:
    """The lines and fills of the form; returns typst's ``stroke`` and ``fill``."""
    r, ink = b.rng, colour(t.edge)
    end = t.y
    if t.form == "grid":
        return f"stroke: {r.choice([0.3, 0.5, 0.7])}pt + {ink}"
    if t.form == "rows":
        return f"stroke: (x: none, y: 0.35pt + {ink})"
    if t.form == "plain":
        if r.random() < 0.5:
            t.rule(head, 0.4)
        return "stroke: none"
    heavy, light = r.choice([(0.9, 0.5), (0.4, 0.4), (1.4, 0.6), (0.6, 0.4)])
    for y, pen in ((0, heavy), (head, light), (end, heavy)):
        t.rule(y, pen)
    if groups and r.random() < 0.6:
        close = r.random() < 0.3
        for y in groups[1:]:
            t.rule(y, light)
            if close and y + 1 < end:
                t.rule(y + 1, light)
    fill = ""
    if t.form == "bars" and t.columns > 1:
        for x in sorted(r.sample(range(1, t.columns), r.randint(1, t.columns - 1))):
            t.rules.append(f"table.vline(x: {x}, stroke: 0.4pt + {ink})")
        if r.random() < 0.5:
            for x in (0, t.columns):
                t.rules.append(f"table.vline(x: {x}, stroke: 0.4pt + {ink})")
    elif t.form == "shaded":
        fill = f", fill: (x, y) => if y < {head} {{ {colour(t.edge, r.choice(GREYS))} }}"
    elif t.form == "banded":
        odd = r.randint(0, 1)
        fill = (
            f", fill: (x, y) => if y >= {head} and calc.rem(y, 2) == {odd} "
            f"{{ {colour(t.edge, r.choice(GREYS))} }}"
        )
    return f"stroke: none{fill}"


def _tracks(b: Blocks, t: _Table) -> str:
    """The columns' widths."""
    r = b.rng
    if t.kinds == ["long"]:
        return "(1fr,)"
    if "words" in t.kinds:
        parts = ["1.6fr" if k == "words" else "0.9fr" if k == "term" else "auto" for k in t.kinds]
        return f"({', '.join(parts)},)"
    if r.random() < 0.5:
        return f"(auto, ) + (1fr, ) * {t.columns - 1}"
    return str(t.columns)


def table(b: Blocks, width: float, height: float) -> str:
    """A table, its own region, at most ``width`` and about at most ``height`` points large."""
    r, s = b.rng, b.style
    region = b.marks.region("Table")
    size = max(5.2, s.size * r.choice([0.7, 0.78, 0.85, 0.9, 0.9, 1.0]))
    edge = b.marks.unit(region, size)
    form = s.table_form if r.random() < 0.5 else r.choice(FORMS)
    kinds = _nature(b, width, size)
    if "words" in kinds and r.random() < 0.6:
        form = r.choice(["lines", "lines", "booktabs", "rows", "banded", "plain"])
    t = _Table(region, edge, size, width, kinds, form)
    inset = size * r.choice([0.16, 0.22, 0.3, 0.4, 0.55])
    if "words" in kinds and form in ("lines", "booktabs", "plain") and r.random() < 0.4:
        inset = size * r.choice([0.7, 0.9, 1.2])  # Space parts its rows, not rules.
    fit = _rows_that_fit(b, t, height, inset)
    large = height > 0.35 * s.body_height
    most = r.choice([8, 12, 20, 60, 60] if large else [3, 4, 6, 8, 12, 20])
    rows = max(2, min(fit, most, 1200 // t.columns))
    bold = r.random() < 0.4
    levels = 2 if r.random() < 0.25 else 1
    _head(b, t, bold, levels)
    head = t.y
    if form == "double":
        t.rule(head, 0.4)
    groups = _body(b, t, rows)
    looks = _rules(b, t, head, groups)
    align = r.choice(["left", "center", "center", "right"])
    if "words" in kinds and r.random() < 0.7:
        align = "left"
    first = r.choice(["left", "left", "left", align])
    level = r.choice(["horizon", "top"])
    sans = f", font: {fonts((SANS, *s.fonts[1:]))}" if r.random() < 0.2 else ""
    full = "words" in t.kinds
    body = (
        f"#table(columns: {_tracks(b, t)}, {looks}, "
        f"inset: (x: {size * r.uniform(0.3, 0.8):.2f}pt, y: {inset:.2f}pt), "
        f"align: (x, y) => if x == 0 {{ {first} + {level} }} else {{ {align} + {level} }}, "
        f"{', '.join(t.rules + t.cells)})"
    )
    if full and r.random() < 0.3:
        body = f"#block(width: {r.uniform(0.7, 1) * width:.1f}pt)[{body}]"
    lead = size * r.choice([0.35, 0.45, 0.55])
    return (
        f"#align(center)[#set text(size: {size:.2f}pt, hyphenate: false{sans})\n"
        f"#set par(justify: false, first-line-indent: 0pt, leading: {lead:.2f}pt)\n{body}]\n"
    )


def notes(b: Blocks, width: float) -> str:
    """Small words below a table, their own region."""
    r, s = b.rng, b.style
    region = b.marks.region("Text")
    size = max(5.0, s.size * r.choice([0.7, 0.8]))
    lead = r.choice(
        ["Note: ", "a ", "* ", "* p < .05. ", "", "注：" if s.language == "zh" else "Notes. "]
    )
    text = lead + b.prose.sentence()
    while r.random() < 0.4:
        text += (" " if s.language == "en" else "") + b.prose.sentence()
    words = b.words(text, region, size, BLACK)
    return (
        f"#block(width: {width:.1f}pt)[#set align(left)\n#set par(first-line-indent: 0pt, "
        f"leading: {size * 0.45:.2f}pt)\n#set text(size: {size:.2f}pt)\n{words}]\n"
    )
