"""What a document is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from lmv3det.documents.lines import Box, Span
from lmv3det.documents.tables import Table

Kind = Literal[
    "heading", "paragraph", "list", "code", "picture", "table", "formula", "caption", "footnote"
]


@dataclass(frozen=True)
class Item:
    """An item of a list.

    Attributes:
        spans: its text, without its mark.
        mark: `-` for a bullet, or its number as it is written: `1.`, `(a)`, `[12]`.
        depth: in how many lists it lies, from 0.
        left: x of its first line, pixels.
    """

    spans: list[Span]
    mark: str = "-"
    depth: int = 0
    left: float = 0.0


@dataclass
class Part:
    """A part of a document.

    Attributes:
        kind: what it is.
        page: on which it begins, from 1.
        box: x0 y0 x1 y1 on that page, pixels.
        category: class name of its region; empty for text outside of all regions.
        page_width: pixels.
        spans: its text; of a picture and of a formula the text in it.
        level: of a heading, from 1.
        items: of a list.
        code: of a listing, with its line breaks.
        table: cells of a table.
        picture: its picture, relative to the folder, or as a `data:` URL; empty without one.
        captions: of a picture or table.
        captions_first: whether they stand above it.
        label: of a footnote.
        words: that its lines hold, those of its captions too.
        size: of its letters, pixels.
        bold: whether all of its lines are.
        is_title: whether its class is that of the document's title.
        first_line: box.
        last_line: box.
        end_page: page on which it ends, where that is another one.
        box_of_last: box of what it ends with, where that stands elsewhere.
    """

    kind: Kind
    page: int
    box: Box
    category: str = ""
    page_width: float = 0.0
    spans: list[Span] = field(default_factory=list)
    level: int = 0
    items: list[Item] = field(default_factory=list)
    code: str = ""
    table: Table | None = None
    picture: str = ""
    captions: list[list[Span]] = field(default_factory=list)
    captions_first: bool = False
    label: str = ""
    words: int = 0
    size: float = 0.0
    bold: bool = False
    is_title: bool = False
    first_line: Box = (0.0, 0.0, 0.0, 0.0)
    last_line: Box = (0.0, 0.0, 0.0, 0.0)
    end_page: int = 0
    box_of_last: Box | None = None

    @property
    def end_page_or_own(self) -> int:
        """The page on which it ends."""
        return self.end_page or self.page
