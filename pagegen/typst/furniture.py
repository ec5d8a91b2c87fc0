"""What stands around the running text: title block, header and footer, as marked typst source."""

from __future__ import annotations

from collections.abc import Callable

from pagegen.chinese import ChineseProse
from pagegen.marks import colour
from pagegen.text import Prose
from pagegen.typst.blocks import Blocks, fonts
from pagegen.typst.figures import quoted


class Furniture(Blocks):
    """Writes title blocks, headers and footers."""

    def _part(
        self,
        category: str,
        text: str,
        scale: float,
        *,
        below: float,
        options: str = "",
        par: str = "justify: false",
        inset: float = 0.0,
    ) -> str:
        """One part of a title block, its own region; lengths are points, ``scale`` of the body."""
        size = self.style.size * scale
        words = self.words(text, self.marks.region(category), size)
        return (
            f"#block(width: 100%, breakable: false, above: 0pt, below: {below:.2f}pt, "
            f"inset: (x: {inset:.2f}pt))[#set par(first-line-indent: 0pt, {par})\n"
            f"#set text(size: {size:.2f}pt{options})\n{words}]\n"
        )

    def _names(self, prose: Prose) -> str:
        r = self.rng
        names = [prose.person() for _ in range(r.choice((1, 2, 2, 3, 4, 5)))]
        if prose.language == "en" and len(names) > 1 and r.random() < 0.5:
            return ", ".join(names[:-1]) + " and " + names[-1]
        return ("，" if prose.language == "zh" else ", ").join(names)

    def _title_and_authors(self, prose: Prose, scale: float) -> list[str]:
        r, s = self.rng, self.style
        weight = r.choice(["bold", "bold", "regular"])
        looks = f", weight: {quoted(weight)}, font: {fonts(s.head_fonts)}, hyphenate: false"
        leading = f"justify: false, leading: {s.size * scale * 0.4:.2f}pt"
        gap = s.size * r.uniform(1.0, 1.8)
        parts = [self._part("Title", prose.title(), scale, below=gap, options=looks, par=leading)]
        size = r.choice([1.0, 1.1, 1.2])
        parts.append(
            self._part("Text", self._names(prose), size, below=s.size * r.uniform(0.7, 1.1))
        )
        slant = ', style: "italic"' if prose.language == "en" and r.random() < 0.5 else ""
        for _ in range(r.choice((1, 1, 2))):
            size = r.choice([0.85, 0.9])
            parts.append(
                self._part("Text", prose.affiliation(), size, below=s.size * 0.8, options=slant)
            )
        if r.random() < 0.3:
            parts.append(self._part("Text", prose.received(), 0.85, below=s.size * 0.8))
        return parts

    def _abstract(self, prose: Prose, inset: float) -> list[str]:
        r, s = self.rng, self.style
        parts = []
        label = prose.abstract_label()
        density = 3 if prose.language == "zh" else 1
        text = prose.paragraph(r.randint(400, 1100) // density)
        scale = r.choice([0.88, 0.92, 1.0])
        justify = f"justify: {'true' if s.justify else 'false'}"
        if prose.language == "en" and r.random() < 0.45:
            title = label.rstrip(".—")
            bold = ', weight: "bold"'
            parts.append(
                self._part(
                    "Section header", title, scale, below=s.size * 0.8, options=bold, inset=inset
                )
            )
        else:
            gap = " " if prose.language == "en" else "　"
            text = label + ("" if label[-1] in "—：]】" else gap) + text
        parts.append(self._part("Text", text, scale, below=s.size, par=justify, inset=inset))
        if r.random() < 0.6:
            label, words = prose.keywords()
            text = f"{label} {words}"
            parts.append(self._part("Text", text, scale, below=s.size, par=justify, inset=inset))
        return parts

    def title_block(self) -> tuple[str, float]:
        """Title, authors, affiliations, abstract, keywords; and the height it takes, about.

        Some Chinese papers have all that in English too.
        """
        r, s = self.rng, self.style
        align = r.choice(["center", "center", "left"])
        head = self._title_and_authors(self.prose, r.uniform(1.35, 1.9))
        height = 0.24
        over = s.columns == 1 or r.random() < 0.6
        inset = s.body_width * r.choice([0.0, 0.0, 0.06, 0.1]) if over else 0.0
        body = [f"#align(left)[{p}]\n" for p in self._abstract(self.prose, inset)]
        if isinstance(self.prose, ChineseProse) and over and r.random() < 0.5:
            second = self._title_and_authors(self.prose.foreign, r.uniform(1.15, 1.4))
            body.append(f"#v({s.size:.2f}pt)\n")
            body.extend(f"#align({align})[{p}]\n" for p in second)
            body.extend(f"#align(left)[{p}]\n" for p in self._abstract(self.prose.foreign, inset))
            height += 0.2
        start = "".join(f"#align({align})[{p}]\n" for p in head)
        rest = "".join(body)
        if s.columns == 1:
            return f"{start}{rest}#v({s.size:.2f}pt)\n", height * s.body_height
        place = (
            f'#place(top, scope: "parent", float: true, '
            f"clearance: {s.size * r.uniform(1.2, 2.2):.2f}pt)"
        )
        if over:
            return f"{place}[{start}{rest}]\n\n", height * s.body_height * s.columns
        return f"{place}[{start}]\n\n{rest}", height * s.body_height * (0.4 * s.columns + 1)

    def _piece(self, category: str, text: str, size: float) -> str:
        """A piece of a header or footer, its own region."""
        return self.words(text, self.marks.region(category), size)

    def _fit(self, make: Callable[[], str], size: float) -> str:
        """A text that leaves room for another beside it."""
        letter = size * (1.0 if self.style.language == "zh" else 0.55)
        text = ""
        for _ in range(12):
            text = make()
            if len(text) * letter < self.style.body_width * 0.42:
                return text
        return text[: max(4, int(self.style.body_width * 0.42 / letter))].strip()

    def header(self, kind: str, number: int) -> str:
        """The page's head."""
        r, s = self.rng, self.style
        form = s.header_form
        if form == "none" or (kind == "first" and r.random() < 0.5):
            return ""
        size = s.size * r.choice([0.8, 0.88, 0.95])
        slant = ', style: "italic"' if r.random() < 0.3 and s.language == "en" else ""
        own = (
            f"#set text(size: {size:.2f}pt{slant})\n"
            f"#set par(first-line-indent: 0pt, justify: false)\n"
        )
        if form == "number":
            side = r.choice(["right", "center", "left"])
            return own + f"#align({side})[{self._piece('Header', str(number), size)}]"
        text = self._piece("Header", self._fit(self.prose.running_head, size), size)
        if form in ("middle", "rule"):
            line = f"#align(center)[{text}]"
        elif form == "outer":
            line = f"#align({r.choice(['left', 'right'])})[{text}]"
        else:
            other = str(number)
            if r.random() < 0.25:
                other = self._fit(self.prose.running_head, size)
            pair = [text, self._piece("Header", other, size)]
            if r.random() < 0.5:
                pair.reverse()
            line = f"{pair[0]}#h(1fr){pair[1]}"
        if "rule" not in form:
            return own + line
        gap = size * r.uniform(0.4, 0.7)
        return own + (
            f"#stack(dir: ttb, spacing: {gap:.2f}pt, [{line}], "
            f"line(length: 100%, stroke: 0.5pt + {colour(0)}))"
        )

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
            return own + f"#align({side})[{self._piece('Footer', str(number), size)}]"
        if form == "dash":
            sign = r.choice([f"– {number} –", f"- {number} -", f"· {number} ·"])
            return own + f"#align(center)[{self._piece('Footer', sign, size)}]"
        text = self._piece("Footer", self._fit(self.prose.foot, size), size)
        if form == "text":
            return own + f"#align({r.choice(['left', 'center'])})[{text}]"
        pair = [text, self._piece("Footer", str(number), size)]
        if r.random() < 0.5:
            pair.reverse()
        return own + f"{pair[0]}#h(1fr){pair[1]}"
