"""A whole page: its kind, its blocks in order, its header and footer, as typst source."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from pagegen.chinese import ChineseProse
from pagegen.english import EnglishProse
from pagegen.marks import Marks, colour
from pagegen.style import Style, draw_style
from pagegen.text import Corpus, Prose
from pagegen.typst.blocks import fonts
from pagegen.typst.figures import PREAMBLE, quoted
from pagegen.typst.furniture import Furniture
from pagegen.typst.lookalike import LookAlikes


@dataclass(frozen=True)
class Page:
    """A page's typst source with what its marks mean."""

    source: str
    marks: Marks
    style: Style


class PageWriter(Furniture):
    """Puts the blocks of a page in order."""

    look: LookAlikes | None = None
    titled = False

    def fill(self, kind: str) -> str:
        """The body of a page of ``kind``: first, middle, dense, references or last."""
        r, s = self.rng, self.style
        goal = s.body_height * s.columns * 1.35
        if kind == "last":
            goal *= r.uniform(0.35, 0.85)
        parts: list[str] = []
        used = 0.0
        floats = 0
        zh = s.language == "zh"
        if kind == "first":
            self.titled = True
            block, height = self.title_block()
            parts.append(block)
            used += height
            self.section = 0
            words = ("引言" if zh else "Introduction") if r.random() < 0.7 else ""
            parts.append(self.heading(text=self.heading_text(words=words)))
        refs_from = goal * r.uniform(0.0, 0.7) if kind in ("references", "last") else goal * 9
        if self.look is not None and self.look.chance() and r.random() < 0.75:
            block, height = self.look.entry_list()
            where = r.random()
        else:
            block, height, where = "", 0.0, 0.0
        last = "heading" if parts else "start"
        while used < goal:
            if block and used >= where * goal * 0.75:
                parts.append(block)
                used += height
                block, last = "", "list"
                continue
            if used >= refs_from and last != "heading":
                each = s.line * 0.95 * max(2.0, s.lines_of(55 if zh else 110))
                parts.append(self._closing_list(min(60, max(3, int((goal - used) / each)))))
                break
            drawn, add, last = self._next(last, used, kind, floats)
            floats += last in ("figure", "table")
            parts.append(drawn)
            used += add
        return "".join(parts)

    def _next(self, last: str, used: float, kind: str, floats: int) -> tuple[str, float, str]:
        r, s = self.rng, self.style
        roll = r.random()
        if last not in ("heading", "start", "paragraph-first"):
            if roll < 0.11:
                return self._heading(1 if r.random() < 0.5 else 2)
            if roll < 0.23 and last != "equation":
                return self.equation(), s.line * 2.6, "equation"
            if roll < 0.28 and last != "list":
                return self.item_list(), s.line * 5, "list"
        most = 5 if kind == "dense" else 2 + (s.columns > 1)
        if floats < most and last != "heading" and r.random() < (0.45 if kind == "dense" else 0.2):
            return self._float("table" if r.random() < 0.4 else "figure")
        length = int(r.choice([120, 250, 400, 600, 900]) * r.uniform(0.7, 1.3)) // self.density()
        drawn = self.paragraph(
            length,
            footnote=r.random() < 0.05,
            continued=used == 0 and last == "start" and r.random() < 0.6,
        )
        return drawn, (s.lines_of(length) + 0.5) * s.line, "paragraph"

    def _closing_list(self, count: int) -> str:
        """The references at the end; as a look-alike perhaps an ordered list instead."""
        if self.look is not None and self.look.chance():
            return self.look.entry_list(count)[0]
        drawn = ""
        if self.rng.random() < 0.85:
            drawn = self.heading(text=self.prose.references_title())
        first = self.rng.choice([1, 1, self.rng.randint(2, 40)])
        return drawn + self.references(count, first=first)

    def _heading(self, level: int) -> tuple[str, float, str]:
        s = self.style
        if self.look is not None and self.look.chance():
            return self.look.short_line(level), s.line * 2, "heading"
        drawn = self.heading(level)
        if level == 1 and self.rng.random() < 0.2:
            drawn += self.heading(2)
        return drawn, s.line * 2.2, "heading"

    def _float(self, kind: str) -> tuple[str, float, str]:
        r, s = self.rng, self.style
        span = s.columns > 1 and r.random() < 0.3
        width = s.body_width if span else s.column_width
        if self.look is not None and self.look.chance():
            inner = self.look.with_slots(kind, width)
        else:
            gap = s.size * r.uniform(0.5, 0.9)
            body = self.picture(width) if kind == "figure" else self.table(width)
            words = self.caption(kind)
            order = [body, words] if kind == "figure" else [words, body]
            if r.random() < 0.04:
                order.reverse()
            if r.random() < 0.04:
                order = [body]
            inner = f"\n#v({gap:.2f}pt, weak: true)\n".join(order)
        tight = f"{s.size * 0.6:.2f}pt"
        block = (
            f"block(width: 100%, breakable: false)[#set par(spacing: {tight})\n"
            f"#set block(spacing: {tight})\n{inner}]"
        )
        clear = s.line * r.uniform(0.9, 1.5)
        height = s.body_height * 0.28
        if span:
            where = r.choice(["top", "top", "bottom"])
            return (
                f'#place({where}, scope: "parent", float: true, clearance: {clear:.2f}pt, '
                f"{block})\n\n",
                height * s.columns,
                kind,
            )
        if r.random() < (0.4, 0.75, 0.85)[s.columns - 1]:
            where = r.choice(["top", "bottom", "auto"])
            if self.titled and s.columns == 1:
                where = "bottom"  # Not above the paper's title.
            return (
                f"#place({where}, float: true, clearance: {clear:.2f}pt, {block})\n\n",
                height,
                kind,
            )
        return (
            f"#v({clear:.2f}pt, weak: true)\n#{block}\n#v({clear:.2f}pt, weak: true)\n\n",
            height,
            kind,
        )


def new_prose(rng: random.Random, language: str, corpus: Corpus | None) -> Prose:
    """The text of one made-up paper in ``language``, ``en`` or ``zh``."""
    if language == "zh":
        return ChineseProse(rng, corpus.chinese if corpus else ())
    return EnglishProse(rng, corpus.english if corpus else ())


def write_plain(
    rng: random.Random,
    *,
    language: str,
    setting: str,
    share: float,
    corpus: Corpus | None,
    folder: Path,
    name: str,
) -> Page:
    """A page of setting ``plain`` or ``text_matters``; arguments as those of `page.write_page`."""
    style = draw_style(rng, language)
    prose = new_prose(rng, language, corpus)
    marks = Marks()
    writer = PageWriter(rng, style, prose, marks, folder, name)
    if setting == "text_matters":
        writer.look = LookAlikes(writer, share)
    kind = rng.choices(("first", "middle", "dense", "references", "last"), (22, 34, 20, 15, 9))[0]
    number = 1 if kind == "first" and rng.random() < 0.5 else rng.randint(2, 999)
    if writer.look is not None and kind != "first" and writer.look.chance():
        header = writer.look.top_line()
    else:
        header = writer.header(kind, number)
    footer = writer.footer(number)
    body = writer.fill(kind)
    return Page(document(style, writer.footnote_code, header, footer, body), marks, style)


def document(
    style: Style, footnote_code: int, header: str, footer: str, body: str, extra: str = ""
) -> str:
    """The typst source of a page; ``extra`` are more arguments of its ``page``."""
    s = style
    lang = '"zh", region: "cn"' if s.language == "zh" else '"en"'
    indent = "true" if s.language == "zh" else "false"
    note = colour(footnote_code)
    families = ", ".join(quoted(f) for f in s.fonts)
    return f"""{PREAMBLE}
#set page(width: {s.width:.2f}pt, height: {s.height:.2f}pt, columns: {s.columns},
  margin: (left: {s.left:.2f}pt, right: {s.right:.2f}pt,
    top: {s.top:.2f}pt, bottom: {s.bottom:.2f}pt),
  header: [{header}], footer: [{footer}]{extra})
#set columns(gutter: {s.gutter:.2f}pt)
#set text(font: {fonts(s.fonts)}, size: {s.size:.2f}pt, lang: {lang})
#show math.equation: set text(font: ("New Computer Modern Math", {families}))
#set par(justify: {"true" if s.justify else "false"}, leading: {s.leading:.2f}pt,
  spacing: {s.paragraph_skip:.2f}pt, first-line-indent: (amount: {s.indent:.2f}pt, all: {indent}))
#set footnote.entry(separator: line(length: 25%, stroke: 0.4pt + {colour(0)}),
  gap: {s.size * 0.3:.2f}pt)
#show footnote.entry: set text(size: {s.size * 0.8:.2f}pt, fill: {note})
#show footnote.entry: set par(first-line-indent: 0pt, leading: {s.size * 0.35:.2f}pt)
{body}"""
