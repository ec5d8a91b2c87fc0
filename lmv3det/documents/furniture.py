"""Headers and footers: what a document leaves out on purpose."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from lmv3det.documents.page import Block, PageContent
from lmv3det.documents.text import count_words

BAND = 0.15
"""Headers and footers lie within this fraction of the page's height from its edges."""
SIDE = 0.1
"""Text on its side lies within this fraction of the page's width from its edges."""
OUTER = 0.09
"""A header or footer that does not come again lies within this fraction of the page's height."""
LONGEST = 25
"""Words of such a one at most: longer ones are text."""
_NOTE = re.compile(r"[*†‡§¶]\s?\S")
_PAGE_NUMBER = re.compile(r"(?:page\s*)?[-–—]?\s*(?:\d{1,4}|[ivxlc]{1,6})\s*[-–—]?", re.IGNORECASE)


class Furniture:
    """What comes again at the edges of a document's pages.

    Args:
        pages: of the document.
    """

    def __init__(self, pages: Sequence[PageContent]) -> None:
        seen: Counter[tuple[bool, str]] = Counter()
        for page in pages:
            edge = [block for block in page.blocks if _at_edge(block, page) and block.lines]
            seen.update({(_is_upper(block, page), _key(block.text)) for block in edge})
        again = [place for place, count in seen.items() if count > 1]
        self.repeated = {key for _, key in again}
        self.sides = {upper for upper, _ in again}

    def is_furniture(self, block: Block, page: PageContent) -> bool:
        """Whether a block is a header or a footer.

        One whose class says so, at an edge of its page. One that does not come again on other
        pages is text, where it is long, further from the edge, begins with the mark of a note, or
        stands at a side at which others do not come again. A page number at an edge is
        one, and text outside of all regions that comes again there, or stands on its side.

        Args:
            block: of the page.
            page: where it lies.
        """
        text = block.text
        if block.kind == "furniture":
            if not _at_edge(block, page):
                return _on_side(block, page)
            if _key(text) in self.repeated:
                return True
            if _PAGE_NUMBER.fullmatch(text.strip()) or not block.lines:
                return True
            if _NOTE.match(text) or block.lines[0].styled()[0].style.script == "super":
                return False
            if self.sides and _is_upper(block, page) not in self.sides:
                return False
            short = len(block.lines) <= 2 and count_words(text) <= LONGEST
            return short and _is_outer(block, page)
        if not block.lines or block.kind != "text":
            return False
        if _PAGE_NUMBER.fullmatch(text.strip()) and _at_edge(block, page):
            return True
        if block.category:
            return False
        if _on_side(block, page):
            return True
        if not _at_edge(block, page):
            return False
        return _key(text) in self.repeated


def _at_edge(block: Block, page: PageContent) -> bool:
    middle = (block.box[1] + block.box[3]) / 2
    return middle < BAND * page.height or middle > (1 - BAND) * page.height


def _is_upper(block: Block, page: PageContent) -> bool:
    return (block.box[1] + block.box[3]) / 2 < page.height / 2


def _is_outer(block: Block, page: PageContent) -> bool:
    return block.box[1] < OUTER * page.height or block.box[3] > (1 - OUTER) * page.height


def _on_side(block: Block, page: PageContent) -> bool:
    """Whether a block is one line on its side, in the margin."""
    x0, y0, x1, y1 = block.box
    middle = (x0 + x1) / 2
    margin = middle < SIDE * page.width or middle > (1 - SIDE) * page.width
    return margin and y1 - y0 > 3 * (x1 - x0) and len(block.lines) <= 2


def _key(text: str) -> str:
    """A text as it comes again on other pages: numbers apart."""
    return re.sub(r"\d+|\b[ivxlc]+\b", "#", " ".join(text.split()))
