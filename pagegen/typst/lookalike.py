"""Regions that look alike and that only their words tell apart (setting ``text_matters``).

Each method first draws how a block looks and where it stands, then tosses for its class: the
picture of the page says nothing about the toss, the first words of the lines do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pagegen.marks import colour
from pagegen.text import MATH_END, MATH_START
from pagegen.typst.figures import quoted

if TYPE_CHECKING:
    from pagegen.typst.blocks import Blocks


class LookAlikes:
    """Writes the look-alike blocks of one page.

    Args:
        blocks: the page's writer; its style, prose and marks are used.
        share: how many of the blocks that could be look-alikes are, 0 to 1.
    """

    def __init__(self, blocks: Blocks, share: float) -> None:
        self.blocks, self.share, self.rng = blocks, share, blocks.rng

    def chance(self) -> bool:
        """Whether the next block that could be a look-alike is one."""
        return self.rng.random() < self.share

    def _near(self, make: Callable[[], str], length: float, tries: int) -> str:
        """Of some texts the one whose length is nearest: lengths must not tell the class."""
        return min((make() for _ in range(tries)), key=lambda text: abs(len(text) - length))

    def _slot(self, kind: str, caption: bool, length: int) -> str:
        """A caption or a paragraph in the body's type, of about ``length`` characters."""
        b, s = self.blocks, self.blocks.style
        if caption:
            region = b.marks.region("Figure caption" if kind == "figure" else "Table caption")
            number = b.numbers[kind]
            separator = ". " if s.language == "en" else "　"

            def make() -> str:
                b.numbers[kind] = number
                return separator.join(b.caption_text(kind, length=max(1, length - 8)))

            text = self._near(make, length * 1.1, 6)
        else:
            region = b.marks.region("Text")
            text = self._near(lambda: b.prose.paragraph(length), length * 1.1, 6)
        code = b.marks.unit(region, s.size)
        words = b.words_in(text)
        return (
            f"#block(width: 100%, breakable: false)[#set align(left)\n"
            f"#set par(first-line-indent: 0pt, "
            f"leading: {s.leading:.2f}pt, justify: {'true' if s.justify else 'false'})\n"
            f"#set text(size: {s.size:.2f}pt, fill: {colour(code)})\n{words}]\n"
        )

    def with_slots(self, kind: str, width: float) -> str:
        """A figure or table with a block of body type above, below, on both sides or beside.

        With one block the toss is between its caption and a paragraph; with two, which is which.
        """
        b, r, s = self.blocks, self.rng, self.blocks.style
        layout = r.choice(["below", "above", "both", "both", "beside" if width > 260 else "both"])
        length = int(r.choice([60, 110, 180, 260]) * r.uniform(0.8, 1.2)) // b.density()
        other = int(r.choice([60, 110, 180, 260]) * r.uniform(0.8, 1.2)) // b.density()
        gap = s.size * r.uniform(0.5, 0.9)
        toss = r.random() < 0.5
        if layout == "beside":
            share = r.uniform(0.45, 0.6)
            picture = self._body(kind, width * share)
            slot = self._slot(kind, toss, length)
            cells = [f"[{picture}]", f"[{slot}]"]
            columns = [f"{share:.3f}fr", f"{1 - share:.3f}fr"]
            if r.random() < 0.5:
                cells.reverse()
                columns.reverse()
            return (
                f"#grid(columns: ({', '.join(columns)}), gutter: {s.size * 1.2:.2f}pt, "
                f"align: horizon, {', '.join(cells)})\n"
            )
        picture = self._body(kind, width)
        parts = [picture]
        if layout in ("below", "both"):
            parts.append(self._slot(kind, toss, length))
        if layout in ("above", "both"):
            above = toss if layout == "above" else not toss
            parts.insert(0, self._slot(kind, above, other))
        return f"\n#v({gap:.2f}pt, weak: true)\n".join(parts)

    def _body(self, kind: str, width: float) -> str:
        b = self.blocks
        return b.picture(width) if kind == "figure" else b.table(width)

    def top_line(self) -> str:
        """The line in the page's head: a running head or a section's title."""
        b, r, s = self.blocks, self.rng, self.blocks.style
        size = s.size * r.choice([0.9, 1.0, 1.0, 1.1])
        weight = r.choice(["regular", "bold"])
        align = r.choice(["left", "left", "center"])
        length = r.uniform(11, 20) if s.language == "zh" else r.uniform(22, 48)
        toss = r.random() < 0.5
        make = b.prose.sure_running_head if toss else self._numbered_heading
        text = self._near(make, length, 40)
        region = b.marks.region("Header" if toss else "Section header")
        code = b.marks.unit(region, size)
        return (
            f"#set text(size: {size:.2f}pt, weight: {quoted(weight)}, "
            f"font: {b.font_list(s.head_fonts)}, fill: {colour(code)}, hyphenate: false)\n"
            f"#set par(first-line-indent: 0pt, justify: false)\n"
            f"#align({align})[{b.words_in(text)}]"
        )

    def _numbered_heading(self) -> str:
        b, r = self.blocks, self.rng
        gap = "　" if b.style.language == "zh" else " "
        number = str(r.randint(1, 7))
        if r.random() < 0.5:
            number += f".{r.randint(1, 6)}"
        words = b.prose.heading() if r.random() < 0.6 else b.prose.title()
        return f"{number}{gap}{words}"

    def _plain_sentence(self) -> str:
        prose = self.blocks.prose
        for _ in range(20):
            text = prose.sentence()
            if MATH_START not in text:
                return text
        return text.replace(MATH_START, "").replace(MATH_END, "")

    def short_line(self, level: int) -> str:
        """A line of its own in the body's type: a section's title or a one-line paragraph."""
        b, r, s = self.blocks, self.rng, self.blocks.style
        toss = r.random() < 0.5
        most = int(0.9 * s.column_width / (s.size * (1.0 if s.language == "zh" else 0.5)))
        least = 9 if s.language == "zh" else 26
        length = r.uniform(least, max(least + 1, min(most, 18 if s.language == "zh" else 50)))
        make = self._numbered_heading if toss else self._plain_sentence
        text = self._near(make, length, 30)
        region = b.marks.region("Section header" if toss else "Text")
        code = b.marks.unit(region, s.size)
        above, below = s.line * 0.6 + s.leading, s.line * 0.4 + s.leading
        return (
            f"#block(above: {above:.2f}pt, below: {below:.2f}pt, "
            f"sticky: true, breakable: false, width: 100%)["
            f"#set par(first-line-indent: 0pt, justify: false)\n"
            f"#set text(fill: {colour(code)}, hyphenate: false)\n{b.words_in(text)}]\n\n"
        )

    def entry_list(self, count: int = 0) -> tuple[str, float]:
        """A reference list or an ordered list, anywhere on the page; and its height, about.

        Without ``count`` it has a few entries.
        """
        b, r, s = self.blocks, self.rng, self.blocks.style
        size = s.size * r.choice([0.88, 0.92, 1.0])
        mark = r.choice(["1.", "1.", "none", "none", "1", "[1]"])
        count = count or r.randint(4, 12)
        longest = 62 if s.language == "zh" else 130
        lengths = [r.uniform(0.55, 1.0) * longest for _ in range(count)]
        if b.prose.reference_style == "physics":
            b.prose.reference_style = "plain"
        b.prose.foreign_share = 0.0
        gap = s.leading * size / s.size + r.choice([0.0, 0.25, 0.5]) * size
        first = r.choice([1, 1, r.randint(2, 30)])
        headed = r.random() < 0.5
        toss = r.random() < 0.5
        kind = "reference" if toss else "list"

        def entry(length: float) -> str:
            return self._near(lambda: b.item_texts(kind, 1, int(length))[0], length, 14)

        texts = [entry(length) for length in lengths]
        block = b.entries("Reference" if toss else "List item", texts, mark, size, first, gap)
        if headed:
            title = b.prose.references_title() if toss else b.prose.heading()
            block = b.heading(text=title) + block
        return block, count * (s.lines_of(longest) + 0.2) * s.line
