"""`python -m benchmarks.documents PDFS`: how much of 20 PDF files reaches their Markdown.

PDFS is the folder that `benchmarks.document_files` makes. The truth is each file's own text layer,
as PDFium gives it, and its outline: words kept and invented (heads and feet, told by their
repetition, count on neither side), the order of the words, headings and their levels, and the cells
of tables that come with a CSV file. `--peer NAME=DIR` measures folders of .md files beside ours.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.document_files import DOCUMENTS, Document
from benchmarks.document_scores import (
    HeadingScore,
    kept_of,
    markdown_headings,
    order_similarity,
    plain_text,
    score_headings,
    table_f1,
    tables_of,
    true_text,
    words,
)

BAND = 0.12
"""Heads and feet lie within this fraction of the page's height from its edges."""
OUTER = 0.09
"""Page numbers lie within this fraction of the page's height from its edges."""
LEVEL = 0.006
"""Fraction of the page's height by which lines of one row differ at most."""
AROUND = 3
"""Pages before and behind those that are read, which are looked at for what comes again."""


@dataclass
class Truth:
    """What a file says of itself.

    Attributes:
        text: of the pages, without heads and feet, as `true_text` gives it.
        furniture: words of heads and feet.
        outline: (level, title) of the entries that lead to these pages.
        tables: rows of texts.
    """

    text: str = ""
    furniture: Counter[str] = field(default_factory=Counter)
    outline: list[tuple[int, str]] = field(default_factory=list)
    tables: list[list[list[str]]] = field(default_factory=list)


def page_range(document: Document, count: int) -> range:
    """The pages of a document that are read, from 0."""
    return range(document.pages[0] - 1, min(document.pages[1], count))


def read_truth(document: Document, folder: Path) -> Truth:
    """What the file of a document says."""
    import pypdfium2

    truth = Truth()
    pdf = pypdfium2.PdfDocument(folder / document.name)
    pages = page_range(document, len(pdf))
    repeated = _repeated(pdf, pages)
    texts = []
    for number in pages:
        body = []
        lines = list(_layer_lines(pdf[number]))
        known = [place for text, place in lines if _is_furniture(text, place, repeated)]
        for line, place in lines:
            # What stands level with a page number, or a title that comes again, is of their kind.
            if _at_edge(place) and any(abs(place - other) < LEVEL for other in known):
                truth.furniture.update(words(line))
            else:
                body.append(line)
        texts.append("\n".join(body))
    truth.text = true_text("\n".join(texts))
    for entry in pdf.get_toc():
        target = entry.get_dest()
        if target is not None and target.get_index() in pages:
            truth.outline.append((entry.level, entry.get_title()))
    for number in range(len(document.tables)):
        with open(folder / f"{document.name}.{number}.csv", encoding="utf-8", newline="") as file:
            truth.tables.append(list(csv.reader(file)))
    return truth


def _at_edge(place: float) -> bool:
    return place < BAND or place > 1 - BAND


def _is_furniture(line: str, place: float, repeated: set[str]) -> bool:
    """Whether a line at an edge comes again on other pages, or is or ends with a page number."""
    if not _at_edge(place):
        return False
    numbered = re.fullmatch(r"[\divxlcIVXLC]{1,6}|\d{1,3}\s.{,90}|.{,90}\s\d{1,3}", line)
    outer = min(place, 1 - place) < OUTER
    return _key(line) in repeated or (numbered is not None and outer)


def _layer_lines(page: Any) -> Iterator[tuple[str, float]]:
    """The lines of a page's layer as PDFium gives them, and how far down each stands, 0 to 1."""
    import pypdfium2.raw as pdfium

    text = page.get_textpage()
    height = page.get_height()
    start, count = 0, text.count_chars()
    codes = [pdfium.FPDFText_GetUnicode(text.raw, k) for k in range(count)]
    for index in range(count + 1):
        # A divided word goes on in the same line of the truth.
        if index < count and codes[index] != 0x0A:
            continue
        middle = next((k for k in range(start, index) if codes[k] > 0x20), None)
        if middle is not None:
            _, bottom, _, top = text.get_charbox(middle)
            place = 1 - (bottom + top) / 2 / max(height, 1)
            line = "".join(_character(codes[k]) for k in range(start, index)).strip()
            yield line, place
        start = index + 1


def _character(code: int) -> str:
    if code in (0x02, 0xFFFE):
        return "\u00ad\n"
    return chr(code) if code < 0xD800 or 0xDFFF < code < 0x110000 else " "


def _key(line: str) -> str:
    start = " ".join(line.split()[:3])  # the title of a section may stand behind
    return re.sub(r"\d+|\b[ivxlc]+\b", "#", start)


def _repeated(pdf: Any, pages: range) -> set[str]:
    looked_at = range(max(pages.start - AROUND, 0), min(pages.stop + AROUND, len(pdf)))
    seen: Counter[str] = Counter()
    for number in looked_at:
        lines = _layer_lines(pdf[number])
        seen.update({_key(line) for line, place in lines if _at_edge(place)})
    return {key for key, count in seen.items() if count > 1}


@dataclass
class Row:
    """The measures of a document, or of several added up."""

    name: str
    words: int = 0
    missing: int = 0
    written: int = 0
    invented: int = 0
    order: list[float] = field(default_factory=list)
    headings: HeadingScore = field(default_factory=HeadingScore)
    tables: list[float] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)

    def add(self, other: Row) -> None:
        """Add another document's."""
        for name in ("words", "missing", "written", "invented"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in vars(self.headings):
            own = getattr(self.headings, name) + getattr(other.headings, name)
            setattr(self.headings, name, own)
        self.order += other.order
        self.tables += other.tables

    @property
    def recall(self) -> float:
        """Fraction of the true words that are in the document."""
        return 1 - self.missing / max(self.words, 1)

    def cells(self) -> list[str]:
        """The cells of a row of the table."""
        heads = self.headings
        return [
            self.name, str(self.words), f"{100 * self.recall:.1f}",
            f"{100 * self.invented / max(self.written, 1):.1f}",
            f"{sum(self.order) / max(len(self.order), 1):.3f}",
            f"{heads.found}/{heads.true}" if heads.true else "",
            str(heads.headings) if heads.true else "",
            f"{heads.right}/{heads.pairs}" if heads.pairs else "",
            f"{sum(self.tables) / len(self.tables):.3f}" if self.tables else "",
        ]  # fmt: skip


HEAD = [
    "document",
    "words",
    "kept %",
    "invented %",
    "order",
    "headings",
    "of",
    "levels",
    "cells F1",
]


def score(name: str, truth: Truth, markdown: str) -> Row:
    """The measures of a document's Markdown."""
    found = words(plain_text(markdown))
    true, missing = kept_of(truth.text, found)
    extra = Counter(found) - Counter(true) - truth.furniture
    headings = markdown_headings(markdown)
    return Row(
        name, len(true), len(missing), len(found), extra.total(),
        [order_similarity(true, found)],
        score_headings(truth.outline, headings if truth.outline else []),
        [table_f1(table, tables_of(markdown)) for table in truth.tables],
        Counter(missing),
    )  # fmt: skip


def write_ours(folder: Path, out: Path, model: str | None) -> None:
    """Our Markdown of every document."""
    import torch

    from lmv3det.inference.detector import Detector
    from lmv3det.inference.job import predict_files

    torch.set_num_threads(1)
    detector = Detector.load(model, device="cpu")
    for document in DOCUMENTS:
        target = out / Path(document.name).stem
        first, last = document.pages
        predict_files(
            detector, [folder / document.name], target, drawings=False, formats=["markdown"],
            pages=f"{first}-{last}", overwrite=True,
        )  # fmt: skip
        text = (target / f"{Path(document.name).stem}.md").read_text(encoding="utf-8")
        (out / f"{Path(document.name).stem}.md").write_text(text, encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; 0 when done."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.documents", description=__doc__)
    parser.add_argument("pdfs", type=Path, metavar="PDFS", help="folder of the PDF files")
    parser.add_argument("--model", help="checkpoint or folder (default: the bundled model)")
    parser.add_argument("--out", type=Path, help="folder of our Markdown; with --no-predict it is "
                        "taken as it is", default=Path("documents"))  # fmt: skip
    parser.add_argument("--no-predict", action="store_true")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=DIR",
                        help="Markdown of another program")  # fmt: skip
    parser.add_argument("--each", action="store_true", help="a row a document")
    parser.add_argument("--missing", action="store_true", help="name the words that are missing")
    parser.add_argument("--json", type=Path, help="write the rows here too")
    options = parser.parse_args(arguments)
    if not options.no_predict:
        write_ours(options.pdfs, options.out, options.model)
    truths = {document.name: read_truth(document, options.pdfs) for document in DOCUMENTS}
    programs = {"lmv3det": options.out}
    programs |= {name: Path(path) for name, _, path in (p.partition("=") for p in options.peer)}
    rows = []
    for program, folder in programs.items():
        total = Row(f"{program}, all")
        for name, truth in truths.items():
            path = folder / f"{Path(name).stem}.md"
            text = path.read_text(encoding="utf-8") if path.exists() else ""
            row = score(f"{program}, {name}", truth, text)
            total.add(row)
            if options.each:
                rows.append(row)
            if options.missing and row.missing:
                print(row.name, dict(row.lost.most_common(30)), file=sys.stderr)
        rows.append(total)
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    for row in rows:
        print(f"| {' | '.join(row.cells())} |")
    if options.json:
        content = [dict(zip(HEAD, row.cells(), strict=True)) for row in rows]
        options.json.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
