"""The blocks of a page as marked typst source: paragraphs, headings, figures, tables and so on."""

from __future__ import annotations

import random
import re
from pathlib import Path

from pagegen.marks import BLACK, Colour, Marks, colour
from pagegen.style import SANS, Style
from pagegen.text import MATH_END, MATH_START, Prose
from pagegen.typst.figures import Canvas, draw_figure, quoted
from pagegen.typst.formulas import Formulas

_MATH = re.compile(f"{MATH_START}([^{MATH_END}]*){MATH_END}")


def markup(text: str) -> str:
    """Typst markup of a text: words as string literals, formulas as mathematics."""
    parts = []
    for i, part in enumerate(_MATH.split(text)):
        if i % 2:
            parts.append(f"${part}$")
        elif part:
            parts.append(f"#{quoted(part)};")
    return "".join(parts)


class Blocks:
    """Writes the blocks of one page in its style.

    Args:
        rng: where all chance comes from.
        style: the page's looks.
        prose: the page's text.
        marks: filled with the regions and units that are written.
        folder: where images are put for the typesetter.
        name: start of the images' file names.
    """

    def __init__(
        self,
        rng: random.Random,
        style: Style,
        prose: Prose,
        marks: Marks,
        folder: Path,
        name: str,
    ) -> None:
        self.rng, self.style, self.prose, self.marks = rng, style, prose, marks
        self.folder, self.name = folder, name
        self.formulas = Formulas(rng)
        self.section = rng.randint(0, 6)
        self.subsection = 0
        self.numbers = {"figure": rng.randint(1, 9), "table": rng.randint(1, 5)}
        self.equation_number = rng.randint(1, 40)
        self.footnote_code = 0
        self.pictures = 0

    def words(self, text: str, region: int, size: float, base: Colour = BLACK) -> str:
        """A text as one marked unit."""
        code = self.marks.unit(region, size)
        return f"#text(fill: {colour(code, base)})[{markup(text)}]"

    def words_in(self, text: str) -> str:
        """Markup of a text whose mark is set around it."""
        return markup(text)

    def font_list(self, families: tuple[str, ...]) -> str:
        """A typst font list."""
        return fonts(families)

    # -- running text -------------------------------------------------------------------------

    def paragraph(self, length: int, *, footnote: bool = False, continued: bool = False) -> str:
        """A paragraph of about ``length`` characters, its own region."""
        region = self.marks.region("Text", flows=True)
        text = self.prose.paragraph(length)
        if continued:
            cut = text.find("，" if self.prose.language == "zh" else " ", len(text) // 5)
            rest = text[cut + 1 :].strip()
            text = rest if cut > 0 and rest else text
        body = self.words(text, region, self.style.size)
        if footnote:
            if not self.footnote_code:
                footer = self.marks.region("Footnote", flows=True)
                self.footnote_code = self.marks.unit(footer, self.style.size * 0.8)
            body += f"#footnote[{markup(self.prose.footnote())}]"
        if continued:
            return f"#par(first-line-indent: 0pt)[{body}]\n\n"
        return f"#par[{body}]\n\n"

    def heading_text(self, level: int = 1, words: str = "") -> str:
        """A heading's number and words in this page's form."""
        text, form = words or self.prose.heading(), self.style.heading_form
        if level == 1:
            self.section += 1
            self.subsection = 0
        else:
            self.subsection += 1
        if form == "upper":
            return text.upper()
        if not form:
            return text
        number = str(self.section)
        if form == "I.":
            number = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X")[
                self.section % 10
            ]
            number = f"{number}." if level == 1 else f"{'ABCDEFGH'[(self.subsection - 1) % 8]}."
        elif form == "一、":
            if level == 1:
                return f"{'一二三四五六七八九十'[(self.section - 1) % 10]}、{text}"
            return f"（{'一二三四五六七八九十'[(self.subsection - 1) % 10]}）{text}"
        elif level > 1:
            number = f"{self.section}.{self.subsection}"
        elif form == "1.":
            number += "."
        gap = "　" if self.prose.language == "zh" else " "
        return f"{number}{gap}{text}"

    def heading(self, level: int = 1, text: str | None = None) -> str:
        """A section's title."""
        s = self.style
        size = s.size * (s.heading_scale if level == 1 else min(s.heading_scale, 1.05))
        region = self.marks.region("Section header")
        words = self.words(text or self.heading_text(level), region, size, s.heading_colour)
        italic = "italic" if level > 1 and s.heading_weight == "regular" else "normal"
        return (
            f"#block(above: {s.line * 1.25 + 2:.2f}pt, below: {s.line * 0.85 + 1:.2f}pt, "
            f"sticky: true, breakable: false, width: 100%)[#set align({s.heading_align})\n"
            f"#set par(justify: false, first-line-indent: 0pt)\n"
            f"#set text(size: {size:.2f}pt, weight: {quoted(s.heading_weight)}, "
            f"style: {quoted(italic)}, font: {fonts(s.head_fonts)}, hyphenate: false)\n{words}]\n\n"
        )

    def equation(self) -> str:
        """A display formula, most with a number."""
        s, r = self.style, self.rng
        region = self.marks.region("Equation")
        code = self.marks.unit(region, s.size, stacked=True)
        wide = s.column_width > 300
        formula = self.formulas.display(wide)
        number = ""
        if r.random() < 0.75:
            tag = r.choice([f"({self.equation_number})", f"({self.equation_number})"])
            self.equation_number += 1
            number = self.words(tag, region, s.size)
        align = "left" if s.equation_left else "center"
        pad = "#h(2em)" if s.equation_left else ""
        body = f"{pad}#text(fill: {colour(code)})[$display({formula})$]"
        return (
            f"#block(above: {s.leading + s.size * 0.55:.2f}pt, "
            f"below: {s.leading + s.size * 0.55:.2f}pt, breakable: false, width: 100%)["
            f"#set par(first-line-indent: 0pt, justify: false)\n"
            f"#grid(columns: (2em, 1fr, 2em), align: (left + horizon, {align} + horizon, "
            f"right + horizon), [], [{body}], [{number}])]\n\n"
        )

    def item_texts(self, kind: str, count: int, length: int) -> list[str]:
        """Texts of a list's items (``kind`` is ``list``) or of references, about as long each."""
        texts = []
        glue = "" if self.prose.language == "zh" else " "
        for _ in range(count):
            if kind == "reference":
                text = self.prose.reference()
                for _ in range(8):
                    if len(text) >= length * 0.7:
                        break
                    text = max(text, self.prose.reference(), key=len)
            else:
                text = self.prose.list_item()
                while len(text) < length * 0.7:
                    text += glue + self.prose.item_sentence()
            texts.append(text)
        return texts

    def entries(
        self, category: str, texts: list[str], mark: str, size: float, first: int, gap: float
    ) -> str:
        """A list or a reference list: entries with hanging indents.

        Each item of a list is a region; references are one, which flows.
        """
        apart = category == "List item"
        region = -1 if apart else self.marks.region(category, flows=True)
        code = 0 if apart else self.marks.unit(region, size)
        hang = {"none": 1.2, "•": 1.0, "1.": 1.5}.get(mark, 1.9) * size
        parts = []
        for i, text in enumerate(texts):
            sign = mark.replace("1", str(first + i)) if mark != "none" else ""
            lead = f"#box(width: {hang:.2f}pt)[{markup(sign)}]" if sign else ""
            body = f"{lead}{markup(text)}"
            if apart:
                own = self.marks.unit(self.marks.region(category, flows=True), size)
                body = f"#text(fill: {colour(own)})[{body}]"
            parts.append(f"#par[{body}]")
        inner = "\n\n".join(parts)
        s = self.style
        return (
            f"#block(above: {s.paragraph_skip + size * 0.35:.2f}pt, "
            f"below: {s.paragraph_skip + size * 0.35:.2f}pt, width: 100%)["
            f"#set par(first-line-indent: 0pt, hanging-indent: {hang:.2f}pt, "
            f"spacing: {gap:.2f}pt, leading: {s.leading * size / s.size:.2f}pt)\n"
            f"#set text(size: {size:.2f}pt, fill: {colour(code)})\n{inner}]\n\n"
        )

    def item_list(self) -> str:
        """A numbered or bulleted list in the text, each item a region."""
        r, s = self.rng, self.style
        count = r.randint(2, 6)
        mark = r.choice(["1.", "(1)", "•", "•"])
        texts = self.item_texts("list", count, r.choice([20, 60, 110]) // self.density())
        return self.entries(
            "List item", texts, mark, s.size, 1, s.leading + r.choice([0, 0.3]) * s.size
        )

    def references(self, count: int, *, first: int = 1) -> str:
        """A reference list: one Reference region a column."""
        r, s = self.rng, self.style
        size = s.size * r.choice([0.82, 0.88, 0.9, 1.0])
        mark = s.reference_mark
        if self.prose.reference_style in ("authoryear", "apa") and self.prose.language == "en":
            mark = "none"
        texts = self.item_texts("reference", count, 0)
        gap = s.leading * size / s.size + r.choice([0.0, 0.2, 0.5]) * size
        return self.entries("Reference", texts, mark, size, first, gap)

    def density(self) -> int:
        """Chinese says as much in about a third of the letters."""
        return 3 if self.prose.language == "zh" else 1

    # -- figures and tables -------------------------------------------------------------------

    def caption_text(self, kind: str, *, label: bool = True, length: int = 0) -> tuple[str, str]:
        """A caption's label and its text of at least about ``length`` characters."""
        r, prose = self.rng, self.prose
        text = prose.caption(kind)
        extra = r.choice((0, 0, 1, 1, 2)) if prose.language == "en" else r.choice((0, 0, 0, 1))
        glue = " " if prose.language == "en" else "。"
        if prose.language == "zh" and (extra or length > len(text)):
            text += glue
            glue = ""
        while extra > 0 or len(text) < length * 0.7:
            text += glue + prose.sentence()
            extra -= 1
        number = str(self.numbers[kind])
        self.numbers[kind] += 1
        return prose.caption_label(kind, number), text

    def caption(self, kind: str) -> str:
        """A caption in this page's caption style, its own region."""
        s = self.style
        region = self.marks.region("Figure caption" if kind == "figure" else "Table caption")
        size = s.size * s.caption_scale
        code = self.marks.unit(region, size)
        label, text = self.caption_text(kind)
        weight = "bold" if s.caption_bold and s.language == "en" else "regular"
        slant = "italic" if s.caption_italic else "normal"
        return (
            f"#align(center, block(breakable: false)[#set align({s.caption_align})\n"
            f"#set par(first-line-indent: 0pt, leading: {s.leading * 0.9:.2f}pt)\n"
            f"#set text(size: {size:.2f}pt, fill: {colour(code)}, style: {quoted(slant)})\n"
            f"#text(weight: {quoted(weight)})[{markup(label + s.caption_separator.rstrip())}]"
            f"{markup(s.caption_separator[-1:].strip(':.') or ' ')}{markup(text)}])\n"
        )

    def picture(self, width: float) -> str:
        """A figure's picture about ``width`` points wide, its own region."""
        r, s = self.rng, self.style
        region = self.marks.region("Figure")
        share = (
            r.choice([1.0, 1.0, 0.9, 0.75, 0.6]) if width < 320 else r.choice([1, 0.8, 0.6, 0.5])
        )
        w = width * share
        h = min(w * r.uniform(0.45, 0.95), s.body_height * r.uniform(0.2, 0.36))
        self.pictures += 1
        canvas = Canvas(
            r, self.prose, self.marks, region, self.folder, w, h,
            max(4.5, min(s.size * 0.75, 7.5)), f"{self.name}-{self.pictures}",
        )  # fmt: skip
        drawn = draw_figure(canvas)
        font = fonts((SANS, *s.fonts[1:])) if r.random() < 0.6 else fonts(s.fonts)
        return f"#align(center, text(font: {font}, {drawn}))\n"

    def _cell(self, column: int, kinds: list[str]) -> str:
        r = self.rng
        kind = kinds[column]
        if kind == "head":
            return self.prose.row_head()
        if kind == "int":
            return str(r.randint(0, 9999 if r.random() < 0.3 else 99))
        if kind == "pm":
            return f"{r.uniform(0, 99):.1f}\u00a0±\u00a0{r.uniform(0, 9):.1f}"
        if kind == "percent":
            return f"{r.uniform(0, 100):.1f}%"
        if kind == "sign":
            return r.choice(["yes", "yes", "no", "no", "–"])
        most, digits = r.choice([(1, 3), (1, 2), (99, 1), (99, 2), (99, 3)])
        return f"{r.uniform(-most if r.random() < 0.08 else 0, most):.{digits}f}"

    def table(self, width: float) -> str:
        """A table in this page's form, its own region, at most ``width`` points wide."""
        r, s = self.rng, self.style
        region = self.marks.region("Table")
        size = s.size * r.choice([0.8, 0.88, 0.92])
        edge = self.marks.unit(region, size)
        room = width / (size * (5.0 if s.language == "en" else 4.4))
        columns = max(2, min(r.randint(3, 8), int(room)))
        rows = r.randint(3, 12)
        kinds = [
            r.choice(["int", "float", "float", "pm", "percent", "sign"]) for _ in range(columns)
        ]
        kinds[0] = "head"
        if width / columns < size * 5.5:
            kinds = [k if k not in ("pm",) else "float" for k in kinds]
        cells = []
        for row in range(-1, rows):
            for column in range(columns):
                text = self.prose.cell_head() if row < 0 else self._cell(column, kinds)
                body = self.words(text, region, size)
                if row < 0 and s.heading_weight == "bold" and s.language == "en":
                    body = f"#strong[{body}]"
                cells.append(f"[{body}]")
        rule = colour(edge)
        form = s.table_form
        stroke, extra, fill = "none", "", "none"
        if form == "ruled":
            stroke = f"0.5pt + {rule}"
        elif form == "rows":
            stroke = f"(x: none, y: 0.4pt + {rule})"
        elif form in ("booktabs", "striped"):
            extra = (
                f"table.hline(y: 0, stroke: 0.9pt + {rule}), "
                f"table.hline(y: 1, stroke: 0.5pt + {rule}), "
                f"table.hline(y: {rows + 1}, stroke: 0.9pt + {rule}), "
            )
            if form == "striped":
                fill = (
                    f"(x, y) => if calc.even(y) and y > 0 {{ {colour(edge, (0xE0, 0xE0, 0xE0))} }}"
                )
        full = r.random() < 0.5
        widths = f"(auto, ) + (1fr, ) * {columns - 1}" if full else f"{columns}"
        align = r.choice(["left", "center", "right"])
        inset = size * r.uniform(0.22, 0.5)
        return (
            f"#align(center)[#set text(size: {size:.2f}pt, hyphenate: false)\n"
            f"#set par(justify: false, first-line-indent: 0pt, leading: {size * 0.45:.2f}pt)\n"
            f"#table(columns: {widths}, stroke: {stroke}, fill: {fill}, "
            f"inset: (x: {size * r.uniform(0.35, 0.7):.2f}pt, y: {inset:.2f}pt), "
            f"align: (x, y) => if x == 0 {{ left }} else {{ {align} }}, "
            f"{extra}{', '.join(cells)})]\n"
        )


def fonts(families: tuple[str, ...]) -> str:
    """A typst font list; the Latin face first, without the punctuation that Chinese shares."""
    if len(families) == 1:
        return quoted(families[0])
    first = f'(name: {quoted(families[0])}, covers: "latin-in-cjk")'
    return f"({first}, {', '.join(quoted(f) for f in families[1:])})"
