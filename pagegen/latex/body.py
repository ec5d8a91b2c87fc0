"""The body of a made-up paper as marked LaTeX: paragraphs, equations, floats, lists, references."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from pathlib import Path

from pagegen.english import EnglishProse
from pagegen.english_words import SURNAMES
from pagegen.latex.formulas import Formulas
from pagegen.latex.pictures import POOL, picture
from pagegen.latex.tables import FORMS, Tables
from pagegen.latex.words import LINK_COLOURS, PURE_BLUE, colour, escaped
from pagegen.marks import MOST_UNITS, RegionMark
from pagegen.text import MATH_END, MATH_START

_MATH = re.compile(f"{MATH_START}[^{MATH_END}]*{MATH_END}")
_LINKED = re.compile(r"([\[(])(\d+(?:, \d+)?|[A-Z][^()]* (?:19|20)\d\d)([\])])")


@dataclass
class Look:
    """What the blocks of a paper need to know of its class.

    Attributes:
        columns: 1 or 2.
        width: of a column, points.
        length: characters that fill a page, about.
        cites: ``number`` or ``name``.
        caption_above: of tables.
        subsections: the class sets their titles on lines of their own.
        placement: floats take a letter for their place.
    """

    columns: int
    width: float
    length: int
    cites: str = "number"
    caption_above: bool = True
    subsections: bool = True
    placement: bool = True


@dataclass
class Body:
    """Writes marked blocks; ``regions[code - 1]`` says what a code means, None: nothing."""

    rng: random.Random
    look: Look
    pictures: Path
    seed: int
    regions: list[RegionMark | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        r = self.rng
        self.prose = EnglishProse(r)
        self.prose.cite_style = self.look.cites
        self.prose.math_share = r.choice([0.02, 0.1, 0.25, 0.4])
        self.formulas = Formulas(r)
        self.equations = r.choice([0.0, 0.08, 0.2, 0.35, 0.5, 0.6])
        self.floats = r.choice([0.25, 0.5, 0.9, 1.4])  # To a page and column.
        self.tables = r.choice([0.2, 0.4, 0.6])
        self.links = r.choice([None, None, *LINK_COLOURS])
        self.grids = Tables(r, self.prose, self.formulas, self.words, r.choice(FORMS))
        self.link_form = r.choice(["plain", "plain", "frame"]) if self.links else "plain"
        self.raised = self.look.cites == "number" and r.random() < 0.15
        self.notes = 0
        self.placement = r.choice(["t", "tb", "htb", "ht", "!htbp"])
        self.theorem = r.random() < 0.35
        self.typed = r.random() < 0.25

    # -- words --------------------------------------------------------------------------------

    def region(self, category: str, *, flows: bool = False) -> int:
        """The code of a new region.

        Raises:
            ValueError: the document has more than colours can tell apart.
        """
        if len(self.regions) >= MOST_UNITS:
            raise ValueError(f"a document has more than {MOST_UNITS} regions")
        if len(self.regions) + 1 == PURE_BLUE:
            self.regions.append(None)
        self.regions.append(RegionMark(category, flows))
        return len(self.regions)

    def ignored(self) -> int:
        """The code of something that is no region: line numbers, a stamp in the margin."""
        self.regions.append(None)
        return len(self.regions)

    def words(self, text: str, code: int = 0) -> str:
        """LaTeX of a text; its formulas are made anew; citations may be coloured."""
        parts = []
        for i, part in enumerate(_MATH.split(text)):
            if i:
                parts.append(f"${self.formulas.inline()}$")
            parts.append(escaped(part))
        result = "".join(parts)
        if self.raised:
            result = re.sub(r" \[([\d, ]+)\]", r"\\textsuperscript{\1}", result)
        elif self.links and code:
            # A backslash of the replacement stands doubled.
            link = colour(code, self.links).replace("\\", r"\\")
            form = rf"\1{{{link}\2}}\3"
            if self.link_form == "frame":
                form = rf"\1\\linkbox{{{link}}}{{\2}}\3"
            result = _LINKED.sub(form, result)
        return result

    def text(self, length: int, code: int = 0) -> str:
        """Running text of about so many characters, some words stressed."""
        r = self.rng
        sentences = []
        size = 0
        while size < length:
            plain = self.prose.sentence()
            size += len(plain)
            latex = self.words(plain, code)
            if r.random() < 0.05 and "$" not in latex and "{" not in latex:
                words = latex.split(" ")
                at = r.randrange(len(words))
                style = r.choice(["emph", "emph", "textit", "textbf", "texttt"])
                words[at] = rf"\{style}{{{words[at]}}}"
                latex = " ".join(words)
            sentences.append(latex)
        return " ".join(sentences)

    def marked(self, category: str, latex: str) -> str:
        """A group of its own region, for words inside a macro's argument."""
        return f"{{{colour(self.region(category))}{latex}}}"

    # -- blocks -------------------------------------------------------------------------------

    def paragraph(self) -> str:
        """A paragraph; equations in it part it into regions."""
        r = self.rng
        parts = [self._piece(r.choice([60, 150, 300, 500, 800, 1100]), footnote=True)]
        closed = False
        while r.random() < self.equations:
            parts.append(self.equation())
            if closed := r.random() < 0.25:
                parts[-1] = parts[-1].removesuffix(r"\endgroup") + r"\par\endgroup"
                break
            parts.append(self._piece(r.choice([30, 60, 150, 400]), lower=True))
        ending = "\n\n" if closed else "\\par\n\n"
        return r"\leavevmode " + "%\n".join(parts) + ending

    def _piece(self, length: int, *, lower: bool = False, footnote: bool = False) -> str:
        code = self.region("Text", flows=True)
        text = self.text(int(length * self.rng.uniform(0.7, 1.3)), code)
        if lower and text[0].isupper():
            lead = self.rng.choice(["where ", "with ", "so that ", "and "])
            text = lead + text[0].lower() + text[1:]
        if footnote and self.rng.random() < 0.04:
            text += self.footnote()
        if footnote and self.rng.random() < 0.04:
            name = escaped(self.prose.phrase(article=False).capitalize())
            text = rf"\textbf{{{name}.}} {text}"
        return rf"\begingroup{colour(code)}{text}\endgroup"

    def footnote(self) -> str:
        """A footnote."""
        mark = colour(self.note_code())
        return rf"\footnote{{{mark}{self.words(self.prose.footnote())}}}"

    def note_code(self) -> int:
        """The code that a document's footnotes share: those of a column are one region."""
        if not self.notes:
            self.notes = self.region("Footnote", flows=True)
        return self.notes

    def equation(self) -> str:
        """A display formula with its number."""
        code = self.region("Equation")
        return rf"\begingroup{colour(code)}{self.formulas.display(self.look.width / 6)}\endgroup"

    def heading(self, level: int = 1, words: str = "", star: bool = False) -> str:
        """A section's title."""
        name = "section" if level == 1 else r"subsection"
        text = self.words(words or self.prose.heading())
        if not words and self.rng.random() < 0.45:
            link = self.rng.choice([" of ", " and ", " for ", ": ", " in ", " with "])
            text += link + self.words(self.prose.phrase(article=False))
        mark = colour(self.region("Section header"))
        return rf"\def\headmark{{{mark}}}\{name}{'*' if star else ''}{{{text}}}" + "\n"

    def item_list(self) -> str:
        """A list, each item a region."""
        r = self.rng
        kind = r.choice(["itemize", "itemize", "enumerate", "description"])
        tight = r"\itemsep0pt\parskip0pt " if r.random() < 0.5 else ""
        items = []
        marks = []
        for _ in range(r.randint(2, 6)):
            code = self.region("List item", flows=True)
            marks.append(colour(code))
            text = self.words(self.prose.list_item(), code)
            while len(text) < r.choice([20, 60, 150]):
                text += " " + self.words(self.prose.sentence(), code)
            label = f"[{escaped(self.prose.noun().capitalize())}]" if kind == "description" else ""
            items.append(rf"\item{label} {text}")
        # A label has the colour that holds where its item begins.
        inner = items[0] + "".join(
            rf"\par{mark}" + "\n" + item for mark, item in zip(marks[1:], items[1:], strict=True)
        )
        return rf"\begingroup{marks[0]}\begin{{{kind}}}{tight}{inner}\end{{{kind}}}\endgroup" "\n\n"

    def typed_lines(self) -> str:
        """Lines of typewriter: keys, code, addresses."""
        r = self.rng
        code = self.region("Code", flows=True)
        kind = r.choice(["key", "code", "address"])
        lines = []
        for _ in range(r.choice([1, 2, 2, 3, 6])):
            noun, other = self.prose.noun().lower(), self.prose.noun().lower()
            if kind == "key":
                lines.append(f"{r.getrandbits(128):032X}"[: r.choice([16, 24, 32])])
            elif kind == "address":
                lines.append(escaped(f"https://www.example.org/{noun}/{other}_{r.randint(1, 99)}"))
            else:
                lines.append(escaped(f"{noun}_{r.randint(1, 9)} = {other}({r.random():.3f})"))
        inner = r"\\ ".join(lines)
        return rf"\begin{{quote}}{colour(code)}\ttfamily {inner}\end{{quote}}" "\n\n"

    def back_matter(self) -> str:
        """Short notes at a paper's end, each with its head."""
        r = self.rng
        heads = ["Abbreviations", "Funding", "Author contributions", "Competing interests"]
        heads += ["Data availability", "Ethics approval", "Consent for publication"]
        parts = []
        for head in r.sample(heads, r.randint(2, 5)):
            title = self.marked("Section header", rf"\bfseries {head}")
            code = self.region("Text", flows=True)
            text = self.text(r.choice([30, 80, 150]), code)
            parts.append(
                rf"\par\addvspace{{5pt}}\noindent {title}\par\nobreak\noindent"
                rf"\begingroup{colour(code)}{text}\endgroup\par"
            )
        return r"{\small " + "\n".join(parts) + "}\n\n"

    def statement(self) -> str:
        """A theorem, lemma or proof."""
        kind = self.rng.choice(["Theorem", "Lemma", "Definition", "Proposition", "Remark", "Proof"])
        code = self.region("Text", flows=True)
        text = self.text(self.rng.choice([120, 250, 450]), code)
        start, end = rf"\begin{{lpx{kind.lower()}}}", rf"\end{{lpx{kind.lower()}}}"
        if self.rng.random() < self.equations:
            rest = self._piece(self.rng.choice([60, 150]), lower=True)
            return rf"{start}\begingroup{colour(code)}{text}\endgroup%" + (
                f"\n{self.equation()}%\n{rest}{end}\n\n"
            )
        return rf"\begingroup{colour(code)}{start}{text}{end}\endgroup" "\n\n"

    # -- floats -------------------------------------------------------------------------------

    def caption(self, category: str) -> str:
        """A caption, its label with it."""
        code = self.region(category, flows=False)
        text = self.prose.caption("figure" if category.startswith("F") else "table")
        for _ in range(self.rng.choice([0, 0, 0, 1, 1, 2, 3])):
            text += " " + self.prose.sentence()
        return (
            rf"\begingroup\def\capmark{{{colour(code)}}}\capmark"
            rf"\caption{{{self.words(text)}}}\endgroup "
        )

    def figure(self) -> str:
        """A float with a picture, or several of one height side by side; one region."""
        r, look = self.rng, self.look
        wide = look.columns == 2 and r.random() < 0.25
        room = look.width * (2.05 if wide else 1)
        count = r.choice([1, 1, 1, 2, 2, 3] if room > 300 else [1, 1, 1, 1, 2])
        mark = colour(self.region("Figure"))
        share = r.choice([0.8, 0.95, 1.0] if room < 300 else [0.4, 0.55, 0.7, 0.9])
        if count > 1:
            share = r.choice([0.7, 0.85, 0.96])
        labelled = count > 1 and r.random() < 0.5
        rows = []
        for row in range(r.choice([1, 1, 1, 2]) if count > 1 else 1):
            first = r.randrange(POOL)
            panels = [
                picture(self.pictures, self.seed, (first + i * 97) % POOL) for i in range(count)
            ]
            height = min(room * share / sum(1 / aspect for _, aspect in panels), 260.0)
            cells = []
            for i, (name, aspect) in enumerate(panels):
                box = rf"\picbox{{{mark}}}{{{height / aspect:.1f}pt}}{{{height:.1f}pt}}{{{name}}}"
                if labelled:
                    label = f"({'abcdefgh'[row * count + i]})"
                    if r.random() < 0.5:
                        label += " " + escaped(self.prose.figure_word_label())
                    inner = rf"{box}\\{mark}\footnotesize {label}"
                    box = rf"\begin{{tabular}}[b]{{@{{}}c@{{}}}}{inner}\end{{tabular}}"
                cells.append(box)
            rows.append(r.choice([r"\hfill ", r"\quad ", " "]).join(cells))
        gap = r"\\[4pt] "
        body = rf"\centering {gap.join(rows)}\par "
        return self._float("figure", wide, [body, self.caption("Figure caption")])

    def table(self) -> str:
        """A float with a table."""
        r, look = self.rng, self.look
        wide = look.columns == 2 and r.random() < 0.25
        code = self.region("Table")
        size = r.choice([r"\small", r"\footnotesize", r"\footnotesize", r"\scriptsize", ""])
        size += r.choice(["", "", "", r"\sffamily"])
        grid = self.grids.tabular(look.width * (2.05 if wide else 1))
        body = rf"\centering\begingroup{colour(code)}{size} {grid}\endgroup\par "
        parts = [self.caption("Table caption"), body]
        if not look.caption_above or r.random() < 0.15:
            parts.reverse()
        if r.random() < 0.12:
            note = r.choice([r"$^{*}p < 0.05$; $^{**}p < 0.01$. ", r"\textit{Note.} ", r"$^{a}$ "])
            note += self.words(self.prose.sentence())
            parts.append(rf"\vskip3pt{{\footnotesize {self.marked('Text', note)}\par}}")
        return self._float("table", wide, parts)

    def _float(self, kind: str, wide: bool, parts: list[str]) -> str:
        star = "*" if wide else ""
        place = "[t]" if wide else f"[{self.placement}]"
        if not self.look.placement:
            place = ""
        inner = "%\n".join(parts)
        return rf"\begin{{{kind}{star}}}{place}{inner}\end{{{kind}{star}}}" + "\n\n"

    # -- end ----------------------------------------------------------------------------------

    def references(self, count: int) -> str:
        """The reference list with its title."""
        r = self.rng
        title, code = self.region("Section header"), self.region("Reference", flows=True)
        named = self.look.cites == "name"
        self.prose.reference_style = r.choice(
            ["authoryear", "apa"] if named else ["plain", "physics", "plain"]
        )
        items = []
        for i in range(count):
            text = self.words(self.prose.reference())
            if r.random() < 0.6:  # The journal's name, or what stands there.
                text = re.sub(r"\. ([A-Z][^.,]{4,40}), ", r". \\emph{\1}, ", text, count=1)
            label = ""
            if named:
                label = f"[{{{escaped(self.prose.zipf(SURNAMES))}({r.randint(1980, 2021)})}}]"
            items.append(rf"\bibitem{label}{{k{i}}} {text}")
        if named:
            items.sort(key=lambda item: item.partition("} ")[2])
        inner = rf"{colour(code)}\nobreak " + "\n".join(items)
        start = rf"\def\headmark{{{colour(title)}}}\begin{{thebibliography}}{{99}}"
        return rf"{start}{inner}\end{{thebibliography}}" + "\n"

    def fill(self, pages: float) -> str:
        """Blocks for about so many pages."""
        r, look = self.rng, self.look
        parts = [self.heading(words="Introduction" if r.random() < 0.8 else "")]
        used, goal = 0.0, pages * look.length
        since = 0
        while used < goal:
            roll = r.random()
            if since > 1 and roll < 0.14:
                level = 2 if look.subsections and r.random() < 0.5 else 1
                parts.append(self.heading(level))
                if level == 1 and look.subsections and r.random() < 0.25:
                    parts.append(self.heading(2))
                since = 0
                used += 150
                continue
            if since and roll < 0.18:
                parts.append(self.item_list())
                used += 400
            elif since and roll < 0.26 and self.theorem:
                parts.append(self.statement())
                used += 350
            elif since and roll < 0.28 and self.typed:
                parts.append(self.typed_lines())
                used += 150
            elif r.random() < self.floats * 800 / look.length * look.columns:
                parts.append(self.table() if r.random() < self.tables else self.figure())
                used += look.length * 0.28 / look.columns
            before = len(self.regions)
            parts.append(self.paragraph())
            used += len(parts[-1]) * 0.85 + 150 * (len(self.regions) - before - 1)
            since += 1
        return "".join(parts)
