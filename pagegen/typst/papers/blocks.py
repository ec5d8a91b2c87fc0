"""The running blocks of a paper's page: paragraphs, theorems, lists, captions, references."""

from __future__ import annotations

import re

from pagegen.chinese import ChineseProse
from pagegen.marks import BLACK, Colour, colour
from pagegen.style import SANS
from pagegen.typst.blocks import fonts, markup
from pagegen.typst.figures import quoted
from pagegen.typst.furniture import Furniture
from pagegen.typst.papers import equations
from pagegen.typst.papers.style import PaperStyle

THEOREMS = ["Theorem", "Lemma", "Definition", "Proposition", "Remark", "Proof.", "Example"]
LINK_WORDS = [
    "and", "where", "with", "or", "so that", "Then we obtain", "subject to", "We thus have",
    "which gives", "Similarly,", "for all", "Hence,", "It follows from the above equation that",
    "Substituting this into the equation of motion, we find", "On the other hand,", "In this case",
]  # fmt: skip
LONE = [
    "for the Fig. #", "and for Table #:", "in the case #", "(continued from #)", "Then, by #,",
    "The output for # is", "while Fig. # gives", "as follows:", "Proof of part #.", "# stands for",
]  # fmt: skip
LONE_ZH = ["对于图 #", "由式 # 可知", "结果如下：", "如图 # 所示：", "步骤 # 如下"]
LINK_WORDS_ZH = ["则有", "其中", "即", "于是可得", "由此得到", "同理可得", "将上式代入，可得", "且"]
LINKS = re.compile(
    r"(\[\d+(?:, \d+)*\]|(?<=Fig\. )\d+|(?<=Table )\d+|(?<=Section )\d+"
    r"|\([^()]{3,40}, (?:19|20)\d\d\))"
)


class PaperBlocks(Furniture):
    """Writes the blocks of a paper's page."""

    style: PaperStyle

    def words(self, text: str, region: int, size: float, base: Colour = BLACK) -> str:
        """A text as one marked unit; its citations in this page's looks of links."""
        code = self.marks.unit(region, size)
        return f"#text(fill: {colour(code, base)})[{self.linked(text, code, base)}]"

    def linked(self, text: str, code: int, base: Colour = BLACK) -> str:
        """Markup of a text whose citations are coloured, boxed or raised."""
        form = self.style.links
        if form == "plain":
            return markup(text)
        parts = []
        for i, part in enumerate(LINKS.split(text)):
            if i % 2 == 0:
                parts.append(markup(part))
            elif form == "raised":
                digits = part[0] == "["
                parts.append(f"#super[{markup(part[1:-1])}]" if digits else markup(part))
            elif form == "boxed":
                edge = (0x00, 0xE0, 0x00) if part[0] in "[(" else (0xE0, 0x00, 0x00)
                ink = colour(0, edge)
                parts.append(f"#box(stroke: 0.5pt + {ink}, outset: 1pt)[{markup(part)}]")
            else:
                ink = colour(code, self.style.link_colour)
                parts.append(f"#text(fill: {ink})[{markup(part)}]")
        return "".join(parts)

    def paragraph(self, length: int, *, footnote: bool = False, continued: bool = False) -> str:
        """A paragraph, some with a heading run in."""
        s, r = self.style, self.rng
        if continued:  # Its start is cut off, which must not cut a formula.
            share, self.prose.math_share = self.prose.math_share, 0.0
            drawn = super().paragraph(length, footnote=footnote, continued=True)
            self.prose.math_share = share
            return drawn
        if footnote or r.random() > s.run_in:
            return super().paragraph(length, footnote=footnote)
        region = self.marks.region("Text", flows=True)
        code = self.marks.unit(region, s.size)
        look = r.choice(["strong", "strong", "emph"])
        lead = self.prose.heading() + ("　" if s.language == "zh" else r.choice([".", ":", " –"]))
        gap = "" if s.language == "zh" else " "
        rest = self.linked(gap + self.prose.paragraph(length), code)
        return f"#par[#text(fill: {colour(code)})[#{look}[{markup(lead)}]{rest}]]\n\n"

    def quotation(self) -> str:
        """A paragraph set in from both sides in smaller type."""
        r, s = self.rng, self.style
        region = self.marks.region("Text", flows=True)
        size = s.size * r.choice([0.9, 0.95, 1.0])
        words = self.words(
            self.prose.paragraph(r.choice([150, 300]) // self.density()), region, size
        )
        skip = s.leading + s.size * 0.6
        return (
            f"#block(above: {skip:.2f}pt, below: {skip:.2f}pt, width: 100%, "
            f"inset: (x: {s.size * r.uniform(1, 3):.1f}pt))[#set par(first-line-indent: 0pt)\n"
            f"#set text(size: {size:.2f}pt)\n{words}]\n\n"
        )

    def references(self, count: int, *, first: int = 1) -> str:
        """A reference list in one of the many forms of journals."""
        r, s = self.rng, self.style
        if r.random() < 0.3:
            return super().references(count, first=first)
        region = self.marks.region("Reference", flows=True)
        size = max(5.5, s.size * r.choice([0.78, 0.85, 0.9, 1.0]))
        code = self.marks.unit(region, size)
        mark = s.reference_mark
        if self.prose.reference_style in ("authoryear", "apa") and s.language == "en":
            mark = "none"
        hang = {"none": r.choice([0, 1.2, 1.8]), "1.": 1.6}.get(mark, 2.0) * size
        raised = r.random() < 0.08
        slanted, strong = r.choice([-1, 1, 2]), r.random() < 0.4
        link = colour(code, s.link_colour)
        frame = colour(0, (0x00, 0xE0, 0xE0))
        parts = []
        for i in range(count):
            pieces = self.prose.reference().split(". ")
            body = ""
            boxed = len(pieces) - 2 if s.links == "boxed" else -1
            for k, piece in enumerate(pieces):
                text = piece + (". " if k + 1 < len(pieces) else "")
                inner = markup(text)
                if k == slanted and s.language == "en":
                    inner = f"#emph[{inner}]"
                if strong and k + 1 == len(pieces) and k != slanted:
                    inner = f"#strong[{inner}]" if len(text) < 12 else inner
                if k == boxed and len(text) < 50:
                    inner = f"#box(stroke: 0.5pt + {frame}, outset: 1pt)[{inner}]"
                body += inner
            if s.links == "coloured" and r.random() < 0.5:
                body += (
                    f"#text(fill: {link})[{markup(f' doi:10.{1000 + i}/j.{r.randint(1, 9999)}')}]"
                )
            sign = mark.replace("1", str(first + i)) if mark != "none" else ""
            lead = f"#box(width: {hang:.2f}pt)[{markup(sign)}]" if sign else ""
            if raised and sign:
                lead = f"#super[{markup(str(first + i))}]#h(0.3em)"
            parts.append(f"#par[{lead}{body}]")
        gap = s.leading * size / s.size + r.choice([0.0, 0.0, 0.2, 0.5, 1.0]) * size
        inner = "\n\n".join(parts)
        return (
            f"#block(above: {s.leading + size * 0.4:.2f}pt, width: 100%)["
            f"#set par(first-line-indent: 0pt, hanging-indent: {hang:.2f}pt, "
            f"spacing: {gap:.2f}pt, leading: {s.leading * size / s.size:.2f}pt, "
            f"justify: {'true' if r.random() < 0.7 else 'false'})\n"
            f"#set text(size: {size:.2f}pt, fill: {colour(code)})\n{inner}]\n\n"
        )

    def heading(self, level: int = 1, text: str | None = None) -> str:
        """A section's title, in small capitals in some papers."""
        drawn = super().heading(level, text)
        if self.style.small_capitals:
            return f"#smallcaps[{drawn}]\n\n"
        return drawn

    def heading_text(self, level: int = 1, words: str = "") -> str:
        """A heading's number and words; some as long as a title."""
        if not words and self.rng.random() < 0.33:
            words = self.prose.title()
        return super().heading_text(level, words)

    def link_words(self) -> str:
        """A few words between two formulas, without indent, a region of their own."""
        zh = self.style.language == "zh"
        texts = LINK_WORDS_ZH if zh else LINK_WORDS
        region = self.marks.region("Text")
        words = self.words(self.rng.choice(texts), region, self.style.size)
        return f"#par(first-line-indent: 0pt)[{words}]\n\n"

    def lone_line(self) -> str:
        """A short line between displays, as ``for the Fig. 2(b).``"""
        r, zh = self.rng, self.style.language == "zh"
        number = f"{r.randint(1, 9)}({r.choice('abcd')})"
        texts = LONE_ZH if zh else LONE
        words = self.words(
            r.choice(texts).replace("#", number), self.marks.region("Text"), self.style.size
        )
        return f"#par(first-line-indent: 0pt)[{words}]\n\n"

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
        region = self.marks.region("Code")
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
        """A list in the text, each item a region."""
        r, s = self.rng, self.style
        mark = r.choice(["1.", "(1)", "•", "•", "–"])
        texts = self.item_texts("list", r.randint(2, 7), r.choice([20, 60, 140]) // self.density())
        gap = s.leading + s.list_gap * s.size
        if s.list_gap < 0.5:
            return self.entries("List item", texts, mark, s.size, 1, gap)
        drawn = [
            self.entries("List item", [t], mark, s.size, i + 1, gap) for i, t in enumerate(texts)
        ]
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
        start = colour(code, s.heading_colour if s.caption_bold else BLACK)
        label += s.caption_separator.rstrip()
        gap = markup(s.caption_separator[-1:].strip(":.") or " ")
        gap = " #linebreak() " if s.caption_own_line else gap
        return (
            f"#align(center, block(breakable: false)[#set align({s.caption_align})\n"
            f"#set par(first-line-indent: 0pt, leading: {s.leading * 0.9:.2f}pt)\n"
            f"#set text(size: {size:.2f}pt, fill: {colour(code)}, style: {quoted(slant)}, "
            f"font: {family})\n"
            f"#text(weight: {quoted(weight)}, fill: {start})[{markup(label)}]"
            f"{gap}{self.linked(text, code)}{second}])\n"
        )


def shorten(text: str, most: int) -> str:
    """A text of at most ``most`` letters."""
    return text[:most].strip() or text
