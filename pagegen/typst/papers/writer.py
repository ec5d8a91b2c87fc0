"""A page of a paper: its kind, its blocks in order, its header and footer, as typst source."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from pagegen.marks import Marks, colour
from pagegen.style import SANS
from pagegen.text import Corpus
from pagegen.typst.blocks import fonts
from pagegen.typst.figures import Canvas
from pagegen.typst.papers import extras, figures, tables
from pagegen.typst.papers.formulas import LongFormulas
from pagegen.typst.papers.furniture import PaperFurniture
from pagegen.typst.papers.style import draw_paper_style
from pagegen.typst.typeset import Page, document, new_prose

KINDS = {
    "text": 8, "mixed": 24, "math": 11, "figures": 16, "tables": 19, "first": 9,
    "references": 12, "last": 6, "contents": 1,
}  # fmt: skip


LATEX = ("article", "preprint", "physics", "engineering")
"""Families that stand for papers set by LaTeX."""
Draw = Callable[[Canvas, float, float, float, float], None]


class PaperWriter(PaperFurniture):
    """Puts the blocks of a paper's page in order."""

    def drawn_figure(self, width: float, height: float, draw: Draw | None = None) -> str:
        """A figure's picture, its own region: by ``draw``, or one of any kind."""
        r, s = self.rng, self.style
        region = self.marks.region("Figure")
        self.pictures += 1
        size = min(max(r.choice([4.2, 5, 6, 7, 8, 9]), width / 70), width / 22)
        name = f"{self.name}-{self.pictures}"
        canvas = Canvas(r, self.prose, self.marks, region, self.folder, width, height, size, name)
        if draw is None:
            drawn = figures.draw(canvas)
        else:
            draw(canvas, 0, 0, width, height)
            drawn = canvas.code()
        font = fonts((SANS, *s.fonts[1:])) if r.random() < 0.65 else fonts(s.fonts)
        return f"#align(center, text(font: {font}, {drawn}))\n"

    def pictures_apart(self, width: float, height: float) -> str:
        """Pictures side by side, each a region, as LaTeX sets several files in one figure."""
        r, s = self.rng, self.style
        count = r.choice([2, 2, 2, 3]) if width > 160 else 2
        gap = s.size * r.choice([0.6, 1.0, 1.8])
        share = r.choice([1.0, 1.0, 0.8])
        w = (width * share - gap * (count - 1)) / count
        h = min(w * r.choice([0.7, 0.75, 1.0, 1.0]), height * 0.85)
        draw = r.choice([figures.picture, figures.picture, figures.plot])
        named = r.random() < 0.3
        cells = []
        for i in range(count):
            cell = self.drawn_figure(w, h, draw)
            if named:
                words = self.words(f"({'abc'[i]})", self.marks.region("Figure caption"), s.size)
                cell += f"#v({s.size * 0.4:.1f}pt, weak: true)\n{words}"
            cells.append(f"[{cell}]")
        return (
            f"#align(center, grid(columns: {count}, column-gutter: {gap:.1f}pt, "
            f"{', '.join(cells)}))\n"
        )

    def float_of(self, kind: str, width: float, height: float) -> str:
        """A figure or table with its caption, at most about ``height`` points high."""
        r, s = self.rng, self.style
        gap = f"\n#v({s.size * r.uniform(0.4, 1.1):.2f}pt, weak: true)\n"
        if kind == "figure":
            share = r.choice([1.0, 1.0, 1.0, 0.9, 0.8, 0.65, 0.5])
            w = width * share
            h = min(w * r.choice([0.4, 0.6, 0.75, 0.75, 0.9, 1.2]), height * 0.85)
            if s.family in LATEX and r.random() < 0.22:
                return self._float_block(
                    [self.pictures_apart(width, height), self.caption(kind)], gap, height
                )
            parts = [self.drawn_figure(w, h), self.caption(kind)]
            if share <= 0.65 and width > 250 and r.random() < 0.2:
                level = r.choice(["top", "bottom", "horizon"])
                beside = f"columns: ({w:.1f}pt, 1fr), column-gutter: {s.size:.1f}pt"
                parts = [f"#grid({beside}, align: {level}, [{parts[0]}], [{parts[1]}])"]
            elif r.random() < 0.06:
                parts.reverse()
        else:
            parts = [self.caption(kind), tables.table(self, width, height * 0.8)]
            if r.random() < 0.25:
                parts.reverse()
            if r.random() < 0.25:
                parts.append(tables.notes(self, width))
        return self._float_block(parts, gap, height)

    def _float_block(self, parts: list[str], gap: str, height: float) -> str:
        """The parts of a float over each other."""
        r, s = self.rng, self.style
        tight = f"{s.size * 0.6:.2f}pt"
        frame = ""
        if s.family in ("medicine", "open access", "free") and r.random() < 0.06:
            frame = f", inset: {s.size * 0.6:.1f}pt, stroke: 0.4pt + {colour(0)}"
        block = (
            f"block(width: 100%{frame}, breakable: false)[#set par(spacing: {tight})\n"
            f"#set block(spacing: {tight})\n{gap.join(parts)}]"
        )
        if height < 0.5 * s.body_height:
            return block
        # What is higher than the page is left out; it would run into the foot.
        most = f"{0.95 * s.body_height:.1f}pt"
        return (
            f"layout(room => {{ let it = {block}\n"
            f"if measure(it, width: room.width).height < {most} {{ it }} }})"
        )

    def put_float(self, kind: str, share: float, *, first: bool = False) -> tuple[str, float]:
        """A float placed on the page and the height it takes; ``share`` is of the body's."""
        r, s = self.rng, self.style
        span = s.columns > 1 and r.random() < (0.6 if first else 0.35)
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
        goal = s.body_height * s.columns * (1.2 if kind in ("text", "references") else 1.45)
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
        if kind == "contents":
            words = "目录" if s.language == "zh" else "Contents"
            parts.append(self.heading(text=words))
            count = r.randint(8, max(9, int(s.body_height * s.columns / s.line / 1.1)))
            parts.append(extras.contents(self, count))
            used += count * s.line
        if kind in ("figures", "tables"):
            block, height = self.put_float(kind[:-1], r.uniform(0.4, 0.92), first=True)
            parts.append(block)
            used += height
        refs_from = goal * 9
        if kind in ("references", "last"):
            refs_from = min(goal, s.body_height * s.columns) * r.uniform(0.0, 0.65)
        if kind == "references" and r.random() < 0.45:
            # A list that came from the page before.
            return self.references(self._entries_in(goal), first=r.randint(5, 90))
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
        if last == "formula" and math > 0.15 and r.random() < 0.35:
            both = self.link_words() + self.equation()
            return both, s.line * 4, "formula"
        if last == "formula" and r.random() < 0.6:
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
            if roll > 0.98 and roll < 0.99:
                return self.quotation(), s.line * 5, "list"
            if roll > 0.94 and roll < 0.955:
                return self.lone_line(), s.line * 3, "text"
            if roll > 0.955 and roll < 0.98:
                return extras.extra(self), s.line * 9, "list"
            if roll > 0.99 and s.language == "en":
                return self.listing(), s.line * 9, "list"
        if floats > 0 and last not in ("heading", "float") and r.random() < 0.35:
            kind = "table" if r.random() < 0.45 else "figure"
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
        drawn = ""
        if r.random() < (0.5 if s.family in ("medicine", "open access") else 0.1):
            drawn = extras.back_matter(self)
        if r.random() < 0.8:
            drawn += self.heading(text=self.prose.references_title())
        first = r.choice([1, 1, r.randint(2, 60)])
        return drawn + self.references(self._entries_in(room), first=first)

    def _entries_in(self, room: float) -> int:
        """About how many references fill ``room`` points of a column."""
        s = self.style
        each = s.line * 0.95 * max(1.5, s.lines_of(55 if s.language == "zh" else 110))
        return min(70, max(3, int(room / each)))


def write_paper(
    rng: random.Random, *, language: str, corpus: Corpus | None, folder: Path, name: str
) -> Page:
    """One page's source, its marks and style; images that it shows are put in ``folder``."""
    style = draw_paper_style(rng, language)
    prose = new_prose(rng, language, corpus)
    marks = Marks(full_height=True)
    writer = PaperWriter(rng, style, prose, marks, folder, name)
    writer.style = style
    if rng.random() < 0.7:
        formulas = LongFormulas(rng)
        prose.inline = lambda: formulas.terms(rng.choice([0.5, 0.5, 2.0, 4.0]), 2)[0]
        dense = style.math > 0.15
        prose.math_share = rng.choice([0.1, 0.3, 0.6] if dense else [0.0, 0.05, 0.2])
    kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
    number = 1 if kind == "first" and rng.random() < 0.5 else rng.randint(2, 999)
    header, footer = writer.header(kind, number), writer.footer(number)
    body = writer.fill(kind)
    if style.line_numbers:
        ink = 'text(size: 6pt, fill: rgb("#808080"), str(n))'
        body = f"#set par.line(numbering: n => {ink})\n{body}"
    behind = writer.background(kind)
    extra = f", background: {behind}" if behind else ""
    return Page(document(style, writer.footnote_code, header, footer, body, extra), marks, style)
