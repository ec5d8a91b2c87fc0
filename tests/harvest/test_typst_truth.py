"""Regions by typst's tags against regions by the colour of every letter, which know nothing of
tags: the same boxes within two pixels."""

from __future__ import annotations

import random

import numpy as np
import pytest

from lmv3det.harvest import read_labels
from lmv3det.harvest.tags import RoleMap
from pagegen.marks import Marks, colour
from pagegen.truth import hull, read_page

typst = pytest.importorskip("typst")
pdfium = pytest.importorskip("pypdfium2")

SCALE = 1000 / 842
TEXT = (
    "layout detection finds the parts of a page such as headings paragraphs tables and figures "
    "from pixels and words which engines read quickly jumping over lazy grey gaps"
)
WORDS = TEXT.split()


class Writer:
    """Writes pages with tags by their markup and truth by their colours."""

    def __init__(self, seed: int) -> None:
        self.rng, self.marks = random.Random(seed), Marks(full_height=True)
        self.parts: list[str] = []

    def text(self, count: int) -> str:
        return " ".join(self.rng.choice(WORDS) for _ in range(count)).capitalize()

    def ink(self, category: str, size: float, *, flows: bool = False, stacked: bool = False) -> str:
        region = self.marks.region(category, flows=flows)
        return colour(self.marks.unit(region, size, stacked=stacked))

    def coloured(self, category: str, size: float, body: str, **kwargs: bool) -> str:
        return f"#text(fill: {self.ink(category, size, **kwargs)}, size: {size}pt)[{body}]"

    def paragraph(self) -> str:
        note = ""
        if self.rng.random() < 0.3:
            entry = self.coloured("Footnote", 8, self.text(self.rng.randint(4, 30)))
            note = f"#footnote[{entry}]"
        body = self.coloured("Text", 10, self.text(self.rng.randint(8, 120)) + ".", flows=True)
        return f"{body}{note}"

    def heading(self) -> str:
        depth = self.rng.choice((1, 2, 3))
        size = {1: 15, 2: 12, 3: 10}[depth]
        words = self.text(self.rng.randint(1, 5))
        return f"{'=' * depth} {self.coloured('Section header', size, words)}"

    def items(self) -> str:
        sign = self.rng.choice("-+")
        lines = []
        for _ in range(self.rng.randint(2, 4)):
            ink = self.ink("List item", 10, flows=True)
            words = self.text(self.rng.randint(2, 30))
            # Each item is a list of its own, so that its marker has its colour.
            marker = (
                f"#set list(marker: text(fill: {ink})[•])\n"
                f"#set enum(numbering: n => text(fill: {ink})[#n.])\n"
            )
            lines.append(f"#[{marker}#set text(fill: {ink})\n{sign} {words}\n]")
        return "\n\n".join(lines)

    def table(self) -> str:
        ink = self.ink("Table", 9)
        columns, rows = self.rng.randint(2, 5), self.rng.randint(2, 6)
        cells = ", ".join(f"[{self.text(self.rng.randint(1, 2))}]" for _ in range(columns * rows))
        stroke = self.rng.choice((f"0.5pt + {ink}", f"(y: 0.5pt + {ink})", "none"))
        caption = self.coloured("Table caption", 9, self.text(self.rng.randint(3, 20)))
        body = (
            f"table(columns: {columns}, stroke: {stroke}, "
            f"..({cells}).map(c => text(fill: {ink}, size: 9pt, c)))"
        )
        return self.captioned(body, caption)

    def figure(self) -> str:
        ink = self.ink("Figure", 9)
        caption = self.coloured("Figure caption", 9, self.text(self.rng.randint(3, 30)))
        width, height = self.rng.randint(60, 180), self.rng.randint(30, 90)
        fill = ink.removeprefix('rgb("').removesuffix('")')
        shape = self.rng.choice(
            (f"<rect width='{width}' height='{height}' fill='{fill}'/>",
             f"<ellipse cx='{width / 2}' cy='{height / 2}' rx='{width / 2.5}' "
             f"ry='{height / 3}' fill='{fill}'/>")
        )  # fmt: skip
        svg = (
            f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}'>"
            f"{shape}</svg>"
        )
        return self.captioned(f'image(bytes("{svg}"), width: {width}pt, alt: "drawn")', caption)

    def captioned(self, body: str, caption: str) -> str:
        where = self.rng.choice(("top", "bottom"))
        return (
            f"#figure({body}, caption: figure.caption(position: {where}, "
            f"[{caption}]), supplement: none, numbering: none)"
        )

    def formula(self) -> str:
        ink = self.ink("Equation", 10, stacked=True)
        body = self.rng.choice(
            ("a^2 + b^2 = c^2", "integral_0^1 f(x) dif x = F(1) - F(0)", "x = (p + q)/(p - q)")
        )
        return f"#[#set text(fill: {ink})\n$ {body} $\n]"

    def code(self) -> str:
        ink = self.ink("Code", 8)
        lines = "\n".join(f"  {self.text(2)} = {self.text(1)}" for _ in range(3))
        return f"#[#set text(fill: {ink})\n```\n{lines}\n```\n]"

    def page(self) -> str:
        makers = [self.paragraph] * 4 + [self.heading] * 2
        makers += [self.items, self.table, self.figure, self.formula, self.code]
        head = self.coloured("Header", 8, self.text(3))
        foot = self.coloured("Footer", 8, "17")
        columns = self.rng.choice((1, 1, 2))
        parts = [self.rng.choice(makers)() for _ in range(14)]
        return (
            f'#set page(paper: "a4", columns: {columns}, header: [{head}], footer: [{foot}])\n'
            '#set text(font: "New Computer Modern", size: 10pt)\n#show raw: set text(size: 8pt)\n'
            f"#set par(justify: true)\n#show heading: it => block(it.body)\n"
            "#set footnote(numbering: _ => [])\n" + "\n\n".join(parts)
        )


def read(pdf: bytes):
    with pdfium.PdfDocument(pdf) as document:
        page = document[0]
        image = np.array(page.render(scale=SCALE).to_pil().convert("RGB"))
        return read_labels(page, image, SCALE, RoleMap(document), 0.02)


def same(box: tuple, other: tuple) -> bool:
    return max(abs(a - b) for a, b in zip(box, other, strict=True)) <= 2.0


@pytest.mark.parametrize("seed", range(12))
def test_tags_and_colours_give_the_same_regions(seed):
    writer = Writer(seed)
    pdf = typst.compile(writer.page().encode())
    labels = read(pdf)
    truth = [(r.category, hull(r.boxes)) for r in read_page(pdf, writer.marks, SCALE).regions]
    found = [(r.kind, r.box) for r in labels.regions]
    missed = [t for t in truth if not any(t[0] == f[0] and same(t[1], f[1]) for f in found)]
    wrong = [f for f in found if not any(t[0] == f[0] and same(t[1], f[1]) for t in truth)]
    assert len(truth) > 3
    assert (missed, wrong) == ([], [])
