"""A whole page: its kind, its blocks in order, its header and footer, as typst source."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from lmv3det.synthetic.blocks import Blocks, fonts, markup
from lmv3det.synthetic.chinese import ChineseProse
from lmv3det.synthetic.english import EnglishProse
from lmv3det.synthetic.figures import PREAMBLE, quoted
from lmv3det.synthetic.lookalike import LookAlikes
from lmv3det.synthetic.marks import Marks, colour
from lmv3det.synthetic.style import Style, draw_style
from lmv3det.synthetic.text import Corpus, Prose


@dataclass(frozen=True)
class Page:
    """A page's typst source with what its marks mean."""

    source: str
    marks: Marks
    style: Style


class PageWriter(Blocks):
    """Puts the blocks of a page in order."""

    look: LookAlikes | None = None

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
            block, height = self.title_block()
            parts.append(block)
            used += height
            parts.append(self.heading())
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
                if r.random() < 0.85:
                    parts.append(self.heading(text=self.prose.references_title()))
                each = s.line * 0.95 * max(2.0, s.lines_of(110 if not zh else 55))
                count = max(3, int((goal - used) * (1.0 if kind != "last" else 0.9) / each))
                parts.append(
                    self.references(min(count, 60), first=r.choice([1, 1, r.randint(2, 40)]))
                )
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
        block = f"block(width: 100%, breakable: false)[#set par(spacing: {s.size * 0.6:.2f}pt)\n#set block(spacing: {s.size * 0.6:.2f}pt)\n{inner}]"
        clear = s.line * r.uniform(0.9, 1.5)
        height = s.body_height * 0.28
        if span:
            where = r.choice(["top", "top", "bottom"])
            return (
                f'#place({where}, scope: "parent", float: true, clearance: {clear:.2f}pt, {block})\n\n',
                height * s.columns,
                kind,
            )
        if r.random() < 0.45:
            where = r.choice(["top", "bottom", "auto"])
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

    def title_block(self) -> tuple[str, float]:
        """Title, authors, affiliations, abstract, keywords; and the height it takes, about."""
        r, s, prose = self.rng, self.style, self.prose
        align = r.choice(["center", "center", "left"])
        size = s.size * r.uniform(1.35, 1.9)
        parts = []

        def block(
            category: str,
            text: str,
            scale: float,
            *,
            below: float,
            options: str = "",
            par: str = "justify: false",
            wrap: str = "",
        ) -> None:
            region = self.marks.region(category)
            words = self.words(text, region, s.size * scale)
            inner = (
                f"#set par(first-line-indent: 0pt, {par})\n"
                f"#set text(size: {s.size * scale:.2f}pt{options})\n{words}"
            )
            parts.append(
                f"#block(width: 100%, breakable: false, above: 0pt, below: {below:.2f}pt"
                f"{wrap})[{inner}]\n"
            )

        weight = r.choice(["bold", "bold", "regular"])
        head = f", weight: {quoted(weight)}, font: {fonts(s.head_fonts)}, hyphenate: false"
        scale = size / s.size
        block(
            "Title",
            prose.title(),
            scale,
            below=s.size * r.uniform(1.0, 1.8),
            options=head,
            par=f"justify: false, leading: {size * 0.4:.2f}pt",
        )
        count = r.choice((1, 2, 2, 3, 4, 5))
        glue = "，" if s.language == "zh" else ", "
        names = [prose.person() for _ in range(count)]
        if s.language == "en" and count > 1 and r.random() < 0.5:
            joined = ", ".join(names[:-1]) + " and " + names[-1]
        else:
            joined = glue.join(names)
        block("Text", joined, r.choice([1.0, 1.1, 1.2]), below=s.size * r.uniform(0.7, 1.1))
        slant = ', style: "italic"' if s.language == "en" and r.random() < 0.5 else ""
        for _ in range(r.choice((1, 1, 2))):
            block(
                "Text",
                prose.affiliation(),
                r.choice([0.85, 0.9]),
                below=s.size * 0.8,
                options=slant,
            )
        if r.random() < 0.3:
            block("Text", prose.received(), 0.85, below=s.size * 0.8)
        head_parts, parts = parts, []
        inset = s.body_width * r.choice([0.0, 0.0, 0.06, 0.1])
        wrap = f", inset: (x: {inset:.2f}pt)"
        label = prose.abstract_label()
        abstract = prose.paragraph(r.randint(500, 1200) // self.density())
        scale = r.choice([0.88, 0.92, 1.0])
        justify = f"justify: {'true' if s.justify else 'false'}"
        if s.language == "en" and r.random() < 0.45:
            block(
                "Title",
                label.rstrip(".—"),
                scale,
                below=s.size * 0.8,
                options=', weight: "bold"',
                wrap=wrap,
            )
            block("Text", abstract, scale, below=s.size, par=justify, wrap=wrap)
        else:
            gap = "" if label.endswith("—") or s.language == "zh" else " "
            block("Text", label + gap + abstract, scale, below=s.size, par=justify, wrap=wrap)
        if r.random() < 0.6:
            label, words = prose.keywords()
            block("Text", f"{label} {words}", scale, below=s.size, par=justify, wrap=wrap)
        body = parts
        start = "".join(f"#align({align})[{p}]\n" for p in head_parts)
        everything = start + "".join(f"#align(left)[{p}]\n" for p in body)
        height = s.body_height * 0.36
        if s.columns == 1:
            return everything + f"#v({s.size:.2f}pt)\n", height
        clear = s.size * r.uniform(1.2, 2.2)
        if r.random() < 0.6:
            block_ = f'#place(top, scope: "parent", float: true, clearance: {clear:.2f}pt)[{everything}]\n\n'
            return block_, height * s.columns * 0.75
        block_ = f'#place(top, scope: "parent", float: true, clearance: {clear:.2f}pt)[{start}]\n\n'
        rest = "".join(f"#align(left)[{p}]\n" for p in body)
        return block_ + rest, height * 0.6 * s.columns

    # -- header and footer --------------------------------------------------------------------

    def piece(self, category: str, text: str, size: float) -> str:
        """A piece of a header or footer, its own region."""
        return self.words(text, self.marks.region(category), size)

    def header(self, kind: str, number: int) -> str:
        """The page's head."""
        r, s = self.rng, self.style
        form = s.header_form
        if kind == "first" and r.random() < 0.5:
            form = "none"
        if form == "none":
            return ""
        size = s.size * r.choice([0.8, 0.88, 0.95])
        slant = ', style: "italic"' if r.random() < 0.3 and s.language == "en" else ""
        own = f"#set text(size: {size:.2f}pt{slant})\n#set par(first-line-indent: 0pt, justify: false)\n"
        if form == "number":
            side = r.choice(["right", "center", "left"])
            return own + f"#align({side})[{self.piece('Header', str(number), size)}]"
        text = self.piece("Header", self._fit(self.prose.running_head, size), size)
        rule = (
            f"#v(-{size * 0.55:.2f}pt)#line(length: 100%, stroke: 0.5pt + {colour(0)})"
            if "rule" in form
            else ""
        )
        if form in ("middle", "rule"):
            return own + f"#align(center)[{text}]{rule}"
        if form == "outer":
            side = r.choice(["left", "right"])
            return own + f"#align({side})[{text}]"
        other = str(number)
        if r.random() < 0.25:
            other = self._fit(self.prose.running_head, size)
        second = self.piece("Header", other, size)
        pair = [text, second]
        if r.random() < 0.5:
            pair.reverse()
        return own + f"{pair[0]}#h(1fr){pair[1]}{rule}"

    def _fit(self, make: object, size: float) -> str:
        text = ""
        for _ in range(12):
            text = make()  # type: ignore[operator]
            if (
                len(text) * size * (1.0 if self.style.language == "zh" else 0.55)
                < self.style.body_width * 0.42
            ):
                break
        return text if len(text) < 90 else text[:60]

    def footer(self, number: int) -> str:
        """The page's foot."""
        r, s = self.rng, self.style
        form = s.footer_form
        if s.header_form in ("number", "pair", "pair-rule") and form in ("number", "dash"):
            form = r.choice(["none", "text", form])
        if form == "none":
            return ""
        size = s.size * r.choice([0.8, 0.9, 1.0])
        own = f"#set text(size: {size:.2f}pt)\n#set par(first-line-indent: 0pt, justify: false)\n"
        if form == "number":
            side = r.choice(["center", "center", "right", "left"])
            return own + f"#align({side})[{self.piece('Footer', str(number), size)}]"
        if form == "dash":
            sign = r.choice([f"– {number} –", f"- {number} -", f"· {number} ·"])
            return own + f"#align(center)[{self.piece('Footer', sign, size)}]"
        text = self.piece("Footer", self._fit(self.prose.foot, size), size)
        if form == "text":
            return own + f"#align({r.choice(['left', 'center'])})[{text}]"
        pair = [text, self.piece("Footer", str(number), size)]
        if r.random() < 0.5:
            pair.reverse()
        return own + f"{pair[0]}#h(1fr){pair[1]}"


def write_page(
    rng: random.Random,
    *,
    language: str,
    setting: str,
    share: float,
    corpus: Corpus | None,
    folder: Path,
    name: str,
) -> Page:
    """One page's source, its marks and style; images that it shows are put in ``folder``."""
    if language == "mixed":
        language = rng.choice(["en", "zh"])
    style = draw_style(rng, language)
    prose: Prose
    if language == "zh":
        prose = ChineseProse(rng, corpus.chinese if corpus else ())
    else:
        prose = EnglishProse(rng, corpus.english if corpus else ())
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
    s = style
    lang = '"zh", region: "cn"' if language == "zh" else '"en"'
    indent = "true" if language == "zh" else "false"
    note = colour(writer.footnote_code)
    source = f"""{PREAMBLE}
#set page(width: {s.width:.2f}pt, height: {s.height:.2f}pt, columns: {s.columns},
  margin: (left: {s.left:.2f}pt, right: {s.right:.2f}pt, top: {s.top:.2f}pt, bottom: {s.bottom:.2f}pt),
  header: [{header}], footer: [{footer}])
#set columns(gutter: {s.gutter:.2f}pt)
#set text(font: {fonts(s.fonts)}, size: {s.size:.2f}pt, lang: {lang})
#show math.equation: set text(font: ("New Computer Modern Math", {", ".join(quoted(f) for f in s.fonts)}))
#set par(justify: {"true" if s.justify else "false"}, leading: {s.leading:.2f}pt,
  spacing: {s.paragraph_skip:.2f}pt, first-line-indent: (amount: {s.indent:.2f}pt, all: {indent}))
#set footnote.entry(separator: line(length: 25%, stroke: 0.4pt + {colour(0)}), gap: {s.size * 0.3:.2f}pt)
#show footnote.entry: set text(size: {s.size * 0.8:.2f}pt, fill: {note})
#show footnote.entry: set par(first-line-indent: 0pt, leading: {s.size * 0.35:.2f}pt)
{body}"""
    return Page(source, marks, style)


__all__ = ["Page", "PageWriter", "markup", "write_page"]
