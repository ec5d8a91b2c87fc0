"""A page of a paper: its kind, its blocks in order, its header and footer, as typst source."""

from __future__ import annotations

import random
from pathlib import Path

from lmv3det.synthetic.blocks import fonts, markup
from lmv3det.synthetic.chinese import ChineseProse
from lmv3det.synthetic.english import EnglishProse
from lmv3det.synthetic.figures import Canvas, quoted
from lmv3det.synthetic.furniture import Furniture
from lmv3det.synthetic.marks import Marks, colour
from lmv3det.synthetic.papers import equations, figures, tables
from lmv3det.synthetic.papers.style import PaperStyle, draw_paper_style
from lmv3det.synthetic.style import SANS
from lmv3det.synthetic.text import Corpus, Prose
from lmv3det.synthetic.typeset import Page, document

KINDS = {
    "text": 17, "mixed": 27, "math": 12, "figures": 13, "tables": 12, "first": 10,
    "references": 8, "last": 6,
}  # fmt: skip
THEOREMS = ["Theorem", "Lemma", "Definition", "Proposition", "Remark", "Proof.", "Example"]


class PaperWriter(Furniture):
    """Puts the blocks of a paper's page in order."""

    style: PaperStyle

    # -- blocks -------------------------------------------------------------------------------

    def after_formula(self) -> str:
        """A paragraph that goes on after a formula, without indent."""
        region = self.marks.region("Text", flows=True)
        zh = self.style.language == "zh"
        lead = self.rng.choice(
            ["式中，", "其中，", "由此可得"] if zh else ["where ", "with ", "and "]
        )
        text = lead + self.prose.sentence()
        if not zh:
            text = lead + text[len(lead)].lower() + text[len(lead) + 1 :]
        while self.rng.random() < 0.4:
            text += ("" if zh else " ") + self.prose.sentence()
        return f"#par(first-line-indent: 0pt)[{self.words(text, region, self.style.size)}]\n\n"

    def theorem(self) -> str:
        """A theorem or its proof: a bold word, then slanted or upright words."""
        r, s = self.rng, self.style
        region = self.marks.region("Text", flows=True)
        code = self.marks.unit(region, s.size)
        name = r.choice(THEOREMS)
        label = name if name.endswith(".") else f"{name} {r.randint(1, 9)}.{r.randint(1, 9)}. "
        text = self.prose.paragraph(r.choice([120, 250, 400]))
        look = "emph" if name[0] in "TLP" and not name.endswith(".") else "text"
        skip = s.leading + s.size * 0.5
        return (
            f"#block(above: {skip:.2f}pt, below: {skip:.2f}pt, width: 100%)"
            f"[#par(first-line-indent: 0pt)[#text(fill: {colour(code)})"
            f"[#strong[{markup(label)}]#h(0.4em)#{look}[{markup(text)}]]]]\n\n"
        )

    def listing(self) -> str:
        """Program text between rules."""
        r, s = self.rng, self.style
        region = self.marks.region("Text")
        size = s.size * 0.82
        code = self.marks.unit(region, size)
        lines = []
        for _ in range(r.randint(4, 14)):
            words = shorten(self.prose.figure_word_label().lower(), 24)
            start = r.choice(["for", "if", "return", "let", "while", words.split()[0], "x ="])
            lines.append(f"#h({r.randint(0, 3)}em){markup(f'{start} {words} ({r.randint(0, 9)})')}")
        rule = f"line(length: 100%, stroke: 0.5pt + {colour(code)})"
        return (
            f"#block(width: 100%, breakable: false)[#set par(first-line-indent: 0pt, "
            f"leading: {size * 0.5:.2f}pt, justify: false, spacing: {size * 0.5:.2f}pt)\n"
            f'#set text(size: {size:.2f}pt, font: "DejaVu Sans Mono", fill: {colour(code)})\n'
            f"#{rule}\n{' #linebreak() '.join(lines)}\n#{rule}]\n\n"
        )

    def item_list(self) -> str:
        """A list in the text; items that stand apart are regions of their own."""
        r, s = self.rng, self.style
        mark = r.choice(["1.", "(1)", "•", "•", "–"])
        texts = self.item_texts("list", r.randint(2, 7), r.choice([20, 60, 140]) // self.density())
        gap = s.leading + s.list_gap * s.size
        if s.list_gap < 0.5:
            return self.entries("Text", texts, mark, s.size, 1, gap)
        drawn = [self.entries("Text", [t], mark, s.size, i + 1, gap) for i, t in enumerate(texts)]
        return "".join(drawn)

    def equation(self) -> str:
        """A display formula, its number apart from it."""
        return equations.equation(self, self.style)

    def caption(self, kind: str) -> str:
        """A caption, its own region; some Chinese ones are in English too."""
        s = self.style
        region = self.marks.region("Figure caption" if kind == "figure" else "Table caption")
        size = s.size * s.caption_scale
        code = self.marks.unit(region, size)
        number = str(self.numbers[kind])
        label, text = self.caption_text(kind, length=self.rng.choice([0, 0, 80, 250, 500]))
        weight = "bold" if s.caption_bold or (s.language == "zh" and s.caption_sans) else "regular"
        slant = "italic" if s.caption_italic else "normal"
        second = ""
        if isinstance(self.prose, ChineseProse) and self.rng.random() < 0.4:
            words = self.prose.foreign.caption(kind).rstrip(".")
            name = "Fig." if kind == "figure" else "Table"
            second = f" #linebreak() {markup(f'{name} {number}  {words}')}"
        family = fonts((SANS, *s.fonts[1:])) if s.caption_sans else fonts(s.fonts)
        return (
            f"#align(center, block(breakable: false)[#set align({s.caption_align})\n"
            f"#set par(first-line-indent: 0pt, leading: {s.leading * 0.9:.2f}pt)\n"
            f"#set text(size: {size:.2f}pt, fill: {colour(code)}, style: {quoted(slant)}, "
            f"font: {family})\n"
            f"#text(weight: {quoted(weight)})[{markup(label + s.caption_separator.rstrip())}]"
            f"{markup(s.caption_separator[-1:].strip(':.') or ' ')}{markup(text)}{second}])\n"
        )

    def drawn_figure(self, width: float, height: float) -> str:
        """A figure's picture, its own region."""
        r, s = self.rng, self.style
        region = self.marks.region("Figure")
        self.pictures += 1
        size = min(max(r.choice([4.2, 5, 6, 7, 8, 9]), width / 70), width / 22)
        name = f"{self.name}-{self.pictures}"
        canvas = Canvas(r, self.prose, self.marks, region, self.folder, width, height, size, name)
        drawn = figures.draw(canvas)
        font = fonts((SANS, *s.fonts[1:])) if r.random() < 0.65 else fonts(s.fonts)
        return f"#align(center, text(font: {font}, {drawn}))\n"

    def float_of(self, kind: str, width: float, height: float) -> str:
        """A figure or table with its caption, at most about ``height`` points high."""
        r, s = self.rng, self.style
        gap = f"\n#v({s.size * r.uniform(0.4, 1.1):.2f}pt, weak: true)\n"
        if kind == "figure":
            share = r.choice([1.0, 1.0, 1.0, 0.9, 0.8, 0.65, 0.5])
            w = width * share
            h = min(w * r.choice([0.4, 0.6, 0.75, 0.75, 0.9, 1.2]), height * 0.85)
            parts = [self.drawn_figure(w, h), self.caption(kind)]
            if r.random() < 0.06:
                parts.reverse()
        else:
            parts = [self.caption(kind), tables.table(self, width, height * 0.8)]
            if r.random() < 0.25:
                parts.reverse()
            if r.random() < 0.25:
                parts.append(tables.notes(self, width))
        tight = f"{s.size * 0.6:.2f}pt"
        return (
            f"block(width: 100%, breakable: false)[#set par(spacing: {tight})\n"
            f"#set block(spacing: {tight})\n{gap.join(parts)}]"
        )

    def put_float(self, kind: str, share: float, *, first: bool = False) -> tuple[str, float]:
        """A float placed on the page and the height it takes; ``share`` is of the body's."""
        r, s = self.rng, self.style
        span = s.columns > 1 and r.random() < (0.6 if first else 0.25)
        width = s.body_width if span else s.column_width
        height = s.body_height * share
        block = self.float_of(kind, width, height)
        clear = s.line * r.uniform(0.7, 1.6)
        used = 0.8 * height * (s.columns if span else 1)
        if span:
            where = "top" if first else r.choice(["top", "bottom"])
            scope = 'scope: "parent", '
        elif first or r.random() < 0.7:
            where, scope = "top" if first else r.choice(["top", "bottom", "auto"]), ""
            if self.titled and s.columns == 1:
                where = "bottom"
        else:
            space = f"#v({clear:.2f}pt, weak: true)\n"
            return f"{space}#{block}\n{space}\n", used
        return f"#place({where}, {scope}float: true, clearance: {clear:.2f}pt, {block})\n\n", used

    # -- the page -----------------------------------------------------------------------------

    titled = False

    def fill(self, kind: str) -> str:
        """The body of a page of ``kind``."""
        r, s = self.rng, self.style
        goal = s.body_height * s.columns * 1.5
        parts: list[str] = []
        used = 0.0
        if kind == "last":
            goal *= r.uniform(0.3, 0.85)
        if kind == "first":
            self.titled = True
            block, used = self.title_block()
            parts.append(block)
            self.section = 0
            words = "引言" if s.language == "zh" else "Introduction"
            parts.append(
                self.heading(text=self.heading_text(words=words if r.random() < 0.7 else ""))
            )
        if kind in ("figures", "tables"):
            block, height = self.put_float(kind[:-1], r.uniform(0.4, 0.92), first=True)
            parts.append(block)
            used += height
        refs_from = goal * r.uniform(0.0, 0.7) if kind in ("references", "last") else goal * 9
        most = {"figures": 3, "tables": 3, "mixed": 2 + s.columns, "math": 1, "last": 1}
        floats = most.get(kind, 0)
        last = "heading" if kind == "first" else "start"
        while used < goal:
            if used >= refs_from and last != "heading":
                parts.append(self._closing(goal - used))
                break
            drawn, add, last = self._next(last, kind, floats, used)
            floats -= last == "float"
            parts.append(drawn)
            used += add
        return "".join(parts)

    def _next(self, last: str, kind: str, floats: int, used: float) -> tuple[str, float, str]:
        """The next block, the height it takes, about, and what it is."""
        r, s = self.rng, self.style
        math = s.math * (2.0 if kind == "math" else 0.6) + (0.15 if kind == "math" else 0.0)
        if last == "formula" and r.random() < 0.5:
            return self.after_formula(), s.line * 2.5, "text"
        if last not in ("heading", "start"):
            if r.random() < math and (last != "formula" or r.random() < 0.15):
                return self.equation(), s.line * 2.8, "formula"
            roll = r.random()
            if roll < 0.12:
                level = 1 if r.random() < 0.5 else 2
                drawn = self.heading(level)
                if level == 1 and r.random() < 0.2:
                    drawn += self.heading(2)
                return drawn, s.line * 2.2, "heading"
            if roll < 0.17 and last != "list":
                return self.item_list(), s.line * 6, "list"
            if roll < 0.17 + 0.25 * math and s.language == "en":
                return self.theorem(), s.line * 4, "text"
            if roll > 0.99 and s.language == "en":
                return self.listing(), s.line * 9, "list"
        if floats > 0 and last not in ("heading", "float") and r.random() < 0.3:
            kind = "table" if r.random() < 0.4 else "figure"
            drawn, height = self.put_float(kind, r.uniform(0.18, 0.42))
            return drawn, height, "float"
        length = int(r.choice([100, 250, 400, 600, 900, 1400]) * r.uniform(0.7, 1.3))
        if math > 0.2:
            length = min(length, r.choice([60, 150, 300, 500]))
        length //= self.density()
        start = used == 0 and last == "start" and r.random() < 0.6
        drawn = self.paragraph(length, footnote=r.random() < 0.03, continued=start)
        return drawn, (s.lines_of(length) + 0.5) * s.line, "text"

    def _closing(self, room: float) -> str:
        """The references that fill about ``room`` points of the column."""
        r, s = self.rng, self.style
        each = s.line * 0.95 * max(2.0, s.lines_of(55 if s.language == "zh" else 110))
        drawn = ""
        if r.random() < 0.8:
            drawn = self.heading(text=self.prose.references_title())
        return drawn + self.references(
            min(70, max(3, int(room / each))), first=r.choice([1, 1, r.randint(2, 60)])
        )


def shorten(text: str, most: int) -> str:
    """A text of at most ``most`` letters."""
    return text[:most].strip() or text


def stamp(rng: random.Random, style: PaperStyle) -> str:
    """An archive's upright mark in the left margin: no region, as in the data sets."""
    r = rng
    number = f"{r.randint(7, 24):02d}{r.randint(1, 12):02d}.{r.randint(1, 99999):05d}"
    field = r.choice(["cs.CV", "hep-th", "astro-ph", "math.AP", "cond-mat", "quant-ph", "cs.LG"])
    text = (
        f"arXiv:{number}v{r.randint(1, 4)}  [{field}]  {r.randint(1, 28)} Jun 20{r.randint(10, 24)}"
    )
    return (
        f", background: place(left + horizon, dx: {style.left * 0.3:.1f}pt, "
        f'rotate(-90deg, reflow: true, text(size: 16pt, fill: rgb("#808080"), {quoted(text)})))'
    )


def write_paper(
    rng: random.Random, *, language: str, corpus: Corpus | None, folder: Path, name: str
) -> Page:
    """One page's source, its marks and style; images that it shows are put in ``folder``."""
    style = draw_paper_style(rng, language)
    prose: Prose
    if language == "zh":
        prose = ChineseProse(rng, corpus.chinese if corpus else ())
    else:
        prose = EnglishProse(rng, corpus.english if corpus else ())
    marks = Marks()
    writer = PaperWriter(rng, style, prose, marks, folder, name)
    writer.style = style
    kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
    number = 1 if kind == "first" and rng.random() < 0.5 else rng.randint(2, 999)
    header, footer = writer.header(kind, number), writer.footer(number)
    body = writer.fill(kind)
    if style.line_numbers:
        ink = 'text(size: 6pt, fill: rgb("#808080"), str(n))'
        body = f"#set par.line(numbering: n => {ink})\n{body}"
    extra = stamp(rng, style) if style.stamp and kind == "first" else ""
    return Page(document(style, writer.footnote_code, header, footer, body, extra), marks, style)
