"""What stands around a paper's text: title blocks, banners, heads and feet, marks in the margin."""

from __future__ import annotations

from collections.abc import Sequence

from pagegen.chinese import ChineseProse
from pagegen.marks import BLACK, Colour, colour
from pagegen.typst.blocks import fonts, markup
from pagegen.typst.figures import quoted
from pagegen.typst.papers.blocks import PaperBlocks

KINDS_OF_ARTICLE = [
    "RESEARCH ARTICLE", "Original Article", "REVIEW", "Research", "Open Access", "Case report",
    "ORIGINAL PAPER", "Letter", "Article", "Technical Note",
]  # fmt: skip
PARTS = ["Background", "Objective", "Methods", "Results", "Conclusions"]


class PaperFurniture(PaperBlocks):
    """Writes title blocks, heads, feet and what stands in the margins of papers."""

    def lines(self, texts: Sequence[str], category: str, size: float) -> str:
        """Lines of words as one region."""
        code = self.marks.unit(self.marks.region(category), size)
        joined = " #linebreak() ".join(markup(text) for text in texts)
        return f"#text(fill: {colour(code)}, size: {size:.2f}pt)[{joined}]"

    # -- title blocks -------------------------------------------------------------------------

    def _mail(self) -> str:
        name = self.prose.person(short=True).split()[-1].lower()
        return f"{name}@{self.rng.choice(['example.org', 'example.edu', 'example.net'])}"

    def _author_grid(self) -> str:
        """Authors side by side, each over an institute."""
        r, s = self.rng, self.style
        count = r.choice([1, 2, 2, 3, 3, 4, 6])
        across = min(count, 3)
        cells = []
        for _ in range(count):
            texts = [self.prose.person(), *self.prose.affiliation().split(", ", 2)]
            if r.random() < 0.7:
                texts.append(self._mail())
            cells.append(f"[{self.lines(texts, 'Text', s.size * 0.95)}]")
        return (
            f"#block(above: 0pt, below: {s.size * 1.2:.2f}pt, width: 100%)"
            f"[#set par(justify: false, first-line-indent: 0pt)\n"
            f"#grid(columns: (1fr,) * {across}, align: center, column-gutter: {s.size * 2:.1f}pt, "
            f"row-gutter: {s.size * 1.2:.1f}pt, {', '.join(cells)})]\n"
        )

    def _author_list(self, align: str) -> list[str]:
        """Authors in one line or more with raised letters; institutes below."""
        r, s = self.rng, self.style
        signs = "abcde" if r.random() < 0.5 else "12345"
        places = r.randint(1, 4)
        size = s.size * r.choice([1.0, 1.1, 1.2])
        code = self.marks.unit(self.marks.region("Text"), size)
        people = [
            f"{markup(self.prose.person())}#super[{markup(signs[i % places])}]"
            for i in range(r.randint(2, 9))
        ]
        weight = r.choice(["regular", "bold"])
        parts = [
            f"#block(width: 100%, above: 0pt, below: {s.size:.1f}pt)[#set par(justify: false, "
            f"first-line-indent: 0pt)\n#text(size: {size:.2f}pt, weight: {quoted(weight)}, "
            f"fill: {colour(code)})[{markup(', ').join(people)}]]\n"
        ]
        small = s.size * r.choice([0.75, 0.85, 0.9])
        code = self.marks.unit(self.marks.region("Text"), small)
        rows = " #linebreak() ".join(
            f"#super[{markup(signs[k])}]{markup(' ' + self.prose.affiliation())}"
            for k in range(places)
        )
        look = r.choice(["normal", "italic"])
        parts.append(
            f"#block(width: 100%, above: 0pt, below: {s.size * 1.2:.1f}pt)["
            f"#set par(justify: false, first-line-indent: 0pt, leading: {small * 0.5:.2f}pt)\n"
            f"#text(size: {small:.2f}pt, style: {quoted(look)}, fill: {colour(code)})[{rows}]]\n"
        )
        return [f"#align({align})[{p}]\n" for p in parts]

    def _structured_abstract(self, inset: float) -> str:
        """An abstract in parts with bold names, each a region, some on a grey ground."""
        r, s = self.rng, self.style
        size = s.size * r.choice([0.9, 1.0])
        parts = []
        if r.random() < 0.8:
            region = self.marks.region("Section header")
            parts.append(f"#par[#strong[{self.words('Abstract', region, size)}]]")
        for name in r.sample(PARTS, r.randint(3, 5)):
            code = self.marks.unit(self.marks.region("Text", flows=True), size)
            text = self.prose.paragraph(r.choice([120, 250, 400]))
            parts.append(
                f"#par[#text(fill: {colour(code)})[#strong[{markup(name + ': ')}]{markup(text)}]]"
            )
        box = ""
        if r.random() < 0.4:
            box = f", fill: {colour(0, r.choice([(0xF0, 0xF0, 0xF0), (0xE0, 0xF0, 0xF0)]))}"
        if r.random() < 0.3:
            box += f", stroke: 0.5pt + {colour(0, (0x60, 0x60, 0x60))}"
        pad = max(inset, s.size * 0.8 if box else 0.0)
        body = "\n\n".join(parts)
        return (
            f"#block(width: 100%, inset: (x: {pad:.1f}pt, y: {s.size * 0.7:.1f}pt){box})"
            f"[#set par(first-line-indent: 0pt, spacing: {s.leading + size * 0.4:.2f}pt)\n"
            f"#set text(size: {size:.2f}pt)\n{body}]\n"
        )

    def _banner(self) -> str:
        """A journal's banner above the title: lines of its head, a logo, rules."""
        r, s = self.rng, self.style
        if s.language == "zh" or r.random() < 0.45:
            return ""
        size = s.size * r.choice([0.75, 0.85, 1.0])
        texts = [self.prose.sure_running_head()]
        if r.random() < 0.6:
            texts.append(
                f"doi:10.{r.randint(1000, 9999)}/s{r.randint(10000, 99999)}-0{r.randint(10, 19)}"
            )
        words = self.lines(texts, "Header", size)
        tint: Colour = r.choice([(0x20, 0x60, 0xA0), (0xD0, 0x60, 0x20), (0x30, 0x80, 0x50), BLACK])
        shape = r.choice(["circle(radius: 11pt", "rect(width: 54pt, height: 20pt"])
        logo = f"#{shape}, fill: {colour(0, tint)})" if r.random() < 0.5 else ""
        sides = [f"[{words}]", f"[#align(right)[{logo}]]"]
        if r.random() < 0.5:
            sides = [f"[{logo}]", f"[#align(right)[{words}]]"]
        rule = f"#line(length: 100%, stroke: {r.choice([0.4, 1.2])}pt + {colour(0)})\n"
        label = ""
        if r.random() < 0.5:
            name = self.words(r.choice(KINDS_OF_ARTICLE), self.marks.region("Header"), s.size)
            label = f"#block(below: {s.size:.1f}pt)[#strong[{name}]]\n"
        return (
            f"#block(width: 100%, below: {s.size * 1.4:.1f}pt)[#set par(justify: false, "
            f"first-line-indent: 0pt, leading: {size * 0.5:.2f}pt)\n"
            f"#grid(columns: (1fr, 1fr), align: horizon, {', '.join(sides)})\n"
            f"{rule if r.random() < 0.6 else ''}]\n{label}"
        )

    def title_block(self) -> tuple[str, float]:
        """Title, authors, institutes, abstract; and the height they take, about."""
        r, s = self.rng, self.style
        if isinstance(self.prose, ChineseProse):
            return self._chinese_title_block(self.prose)
        if r.random() < 0.25:
            return super().title_block()
        align = "left" if s.family in ("medicine", "open access") and r.random() < 0.8 else "center"
        scale = r.uniform(1.3, 2.1)
        looks = (
            f", weight: {quoted(r.choice(['bold', 'bold', 'regular']))}, "
            f"font: {fonts(s.head_fonts)}, hyphenate: false"
        )
        leading = f"justify: false, leading: {s.size * scale * 0.42:.2f}pt"
        gap = s.size * r.uniform(1.0, 2.0)
        title = self._part(
            "Title", self.prose.title(), scale, below=gap, options=looks, par=leading
        )
        head = [self._banner(), f"#align({align})[{title}]\n"]
        if align == "center" and r.random() < 0.5:
            head.append(self._author_grid())
        else:
            head.extend(self._author_list(align))
        if r.random() < 0.25:
            date = self._part("Text", self.prose.received(), 0.9, below=s.size)
            head.append(f"#align({align})[{date}]\n")
        over = s.columns == 1 or r.random() < 0.55
        inset = s.body_width * r.choice([0.0, 0.0, 0.08, 0.12]) if over else 0.0
        if s.family in ("medicine", "open access") and r.random() < 0.6:
            rest = self._structured_abstract(inset)
        else:
            rest = "".join(f"#align(left)[{p}]\n" for p in self._abstract(self.prose, inset))
        if r.random() < 0.3:
            rule = f"#line(length: 100%, stroke: 0.5pt + {colour(0)})\n"
            rest = f"{rule}{rest}{rule}"
        start = "".join(head)
        foot = self._first_foot() if r.random() < 0.5 else ""
        if s.columns == 1:
            return f"{start}{rest}#v({s.size:.2f}pt)\n{foot}", 0.4 * s.body_height
        place = (
            f'#place(top, scope: "parent", float: true, '
            f"clearance: {s.size * r.uniform(1.2, 2.4):.2f}pt)"
        )
        if over:
            return f"{place}[{start}{rest}]\n\n{foot}", 0.4 * s.body_height * s.columns
        return f"{place}[{start}]\n\n{foot}{rest}", s.body_height * (0.2 * s.columns + 0.2)

    def _chinese_title_block(self, prose: ChineseProse) -> tuple[str, float]:
        """The usual title block with the numbers of a Chinese journal and its foot."""
        r, s = self.rng, self.style
        block, height = super().title_block()
        if r.random() < 0.6 and s.columns == 1:
            code = r.choice(["TP391", "O212", "R735.2", "TM46", "X523", "TU43", "S512"])
            text = f"中图分类号：{code}　文献标识码：A　文章编号：{r.randint(1000, 1999)}-"
            text += f"{r.randint(1000, 9999)}({r.randint(2005, 2023)}){r.randint(1, 12):02d}"
            block += self._part("Text", text, 0.9, below=s.size)
        if r.random() < 0.6:
            fund = f"基金项目：国家自然科学基金项目（{r.randint(10**7, 10**8 - 1)}）"
            who = f"作者简介：{prose.person()}，{prose.affiliation()}"
            block += self._foot_note(r.sample([prose.received(), fund, who], r.randint(1, 3)))
        return block, height

    def _first_foot(self) -> str:
        """Small words at the foot of a first page's column: address, dates, licence."""
        r = self.rng
        texts = [f"* Correspondence: {self._mail()}", self.prose.affiliation()]
        if r.random() < 0.5:
            texts.append(self.prose.received())
        if r.random() < 0.5:
            texts.append(self.prose.foot())
        return self._foot_note(texts)

    def _foot_note(self, texts: Sequence[str]) -> str:
        """Lines below a rule at the foot of the column, one region."""
        r, s = self.rng, self.style
        size = s.size * r.choice([0.75, 0.8])
        rule = f"#line(length: {r.choice([25, 40, 100])}%, stroke: 0.4pt + {colour(0)})\n"
        return (
            f"#place(bottom, float: true, clearance: {s.size:.1f}pt)[#set align(left)\n"
            f"#set par(justify: false, first-line-indent: 0pt, leading: {size * 0.45:.2f}pt, "
            f"spacing: {size * 0.6:.1f}pt)\n{rule}{self.lines(texts, 'Footer', size)}]\n\n"
        )

    # -- heads and feet -----------------------------------------------------------------------

    def header(self, kind: str, number: int) -> str:
        """The page's head, in some families in their own form."""
        r, s = self.rng, self.style
        if s.header_form == "none" or r.random() < 0.3 or kind == "first":
            return super().header(kind, number)
        size = s.size * r.choice([0.75, 0.85, 0.95, 1.0, 1.0])
        own = f"#set text(size: {size:.2f}pt, font: {fonts(s.head_fonts)})\n"
        own += "#set par(first-line-indent: 0pt, justify: false)\n"
        if isinstance(self.prose, ChineseProse):
            issue = f"第 {r.randint(1, 12)} 期"
            texts = [issue, self._fit(self.prose.running_head, size * 1.15), str(number)]
        elif s.family in ("medicine", "open access"):
            page = r.choice([f"Page {number} of {number + 9}", f"{number} of {number + 5}"])
            texts = [self.prose.sure_running_head(), page if r.random() < 0.7 else str(number)]
        else:
            texts = [self._fit(self.prose.running_head, size * 1.2), str(number)]
            if r.random() < 0.4:
                texts.insert(1, self.prose.foot()[:24].strip())
        if len(texts) == 2 and r.random() < 0.4:
            texts.reverse()
        if s.header_form == "number":
            side = r.choice(["right", "right", "center", "left"])
            return f"{own}#align({side})[{self._piece('Header', str(number), size)}]"
        pieces = [self._piece("Header", text, size) for text in texts]
        if r.random() < 0.2:
            pieces[0] = f"#emph[{pieces[0]}]"
        row = "#h(1fr)".join(pieces)
        if "rule" not in s.header_form and r.random() < 0.7:
            return own + row
        pen, gap = r.choice([0.3, 0.5, 1.0]), size * r.uniform(0.35, 0.7)
        return own + (
            f"#stack(dir: ttb, spacing: {gap:.2f}pt, [{row}], "
            f"line(length: 100%, stroke: {pen}pt + {colour(0)}))"
        )

    def footer(self, number: int) -> str:
        """The page's foot, in some families in three parts or two lines."""
        r, s = self.rng, self.style
        if s.footer_form == "number" and r.random() < 0.6:
            number_set = self._piece("Footer", str(number), s.size)
            return f"#set par(first-line-indent: 0pt)\n#align(center)[{number_set}]"
        if s.footer_form not in ("pair", "text") or r.random() < 0.4:
            return super().footer(number)
        size = s.size * r.choice([0.7, 0.8, 0.9])
        own = f"#set text(size: {size:.2f}pt)\n#set par(first-line-indent: 0pt, justify: false)\n"
        if r.random() < 0.4:
            words = self.lines([self.prose.foot(), self.prose.running_head()], "Footer", size)
            return f"{own}#align({r.choice(['left', 'center', 'right'])})[{words}]"
        texts = [self._fit(self.prose.foot, size * 1.4), str(number)]
        if r.random() < 0.5:
            texts.append(f"{r.choice(['Vol.', 'Volume'])} {r.randint(1, 99)}")
        return own + "#h(1fr)".join(self._piece("Footer", text, size) for text in texts)

    # -- the margin ---------------------------------------------------------------------------

    def background(self, kind: str) -> str:
        """What lies behind the page and is no region: an archive's mark, a tab, a watermark."""
        r, s = self.rng, self.style
        if s.stamp and kind == "first":
            return self._stamp()
        roll = r.random()
        if roll < 0.012:
            word = r.choice(["DRAFT", "PREPRINT", "IN PRESS", "样稿"])
            return f'rotate(-50deg, text(size: 90pt, fill: rgb("#e0e0e0"), {quoted(word)}))'
        if roll < 0.04 and s.family == "medicine":
            tint = colour(0, r.choice([(0x70, 0x90, 0x70), (0x30, 0x50, 0x90), (0xC0, 0x40, 0x40)]))
            word = r.choice(["PAPERS", "REVIEW", "RESEARCH", "LETTER"])
            return (
                f"place(right + top, dy: {r.uniform(0, 0.6) * s.height:.0f}pt, rect(width: 22pt, "
                f"height: 110pt, fill: {tint}, align(center + horizon, rotate(90deg, "
                f'reflow: true, text(size: 9pt, fill: rgb("#f0f0f0"), {quoted(word)})))))'
            )
        return ""

    def _stamp(self) -> str:
        r = self.rng
        number = f"{r.randint(7, 24):02d}{r.randint(1, 12):02d}.{r.randint(1, 99999):05d}"
        fields = ["cs.CV", "hep-th", "astro-ph", "math.AP", "cond-mat", "quant-ph", "cs.LG"]
        date = f"{r.randint(1, 28)} Jun 20{r.randint(10, 24)}"
        text = f"arXiv:{number}v{r.randint(1, 4)}  [{r.choice(fields)}]  {date}"
        return (
            f"place(left + horizon, dx: {self.style.left * 0.3:.1f}pt, rotate(-90deg, "
            f'reflow: true, text(size: 16pt, fill: rgb("#808080"), {quoted(text)})))'
        )
