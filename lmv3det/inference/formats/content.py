"""What documents are made of, from the entries of pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lmv3det.documents.lines import Line
from lmv3det.documents.page import (
    Block,
    PageContent,
    content_from_json,
)
from lmv3det.documents.roles import role
from lmv3det.documents.whole import Document, build_document
from lmv3det.inference.entries import PageEntry
from lmv3det.inference.formats import Pages, in_order
from lmv3det.ocr.names import UniqueNames


def entry_content(page: PageEntry) -> PageContent:
    """The content of a page: what the entry holds; where it holds none, its regions with their
    lines, which are taken to stand below one another.

    Args:
        page: an entry.
    """
    found: Any = page.get("content")
    regions = page["detections"]
    if found is not None:
        content = content_from_json(found)
        for block in content.blocks:
            if block.region >= 0:
                block.picture = regions[block.region].get("picture", "")
        return content
    width, height = page.get("width", 0), page.get("height", 0)
    content = PageContent(page.get("page", 1), width, height)
    for region in in_order(page):
        x, y, w, h = region["bbox"]
        texts = region.get("lines", [])
        step = h / max(len(texts), 1)
        heading = role(region["category"]) in ("title", "heading")
        lines = [
            Line(text, (x, y + k * step, x + w, y + (k + 1) * step), step if heading else 0.0)
            for k, text in enumerate(texts)
        ]
        block = Block(role(region["category"]), region["category"], (x, y, x + w, y + h), lines)
        block.picture = region.get("picture", "")
        content.blocks.append(block)
    return content


def documents(pages: Pages) -> Iterator[tuple[str, list[PageEntry]]]:
    """The pages of each file: (path of the file, its pages)."""
    current: list[PageEntry] = []
    for page in pages():
        if current and page["file"] != current[0]["file"]:
            yield current[0]["file"], current
            current = []
        current.append(page)
    if current:
        yield current[0]["file"], current


def document_names(pages: Pages, suffix: str) -> Iterator[tuple[str, Document]]:
    """The document of each file: (name of the file to write, the document)."""
    names = UniqueNames()
    for file, own in documents(pages):
        yield names.new(Path(file).stem, suffix), document_of(own)


def document_of(pages: Sequence[PageEntry]) -> Document:
    """The document of the pages of a file."""
    return build_document([entry_content(page) for page in pages])
