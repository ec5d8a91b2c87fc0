"""Markdown: a file a document, its pages one after another."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from lmv3det.files import replacing
from lmv3det.inference.entries import PageEntry
from lmv3det.inference.formats import Pages
from lmv3det.inference.formats.blocks import Block, document_names, page_blocks, picture_link

NEEDS_PICTURES = True


def write(pages: Pages, out: Path, names: Sequence[str]) -> list[Path]:
    """Write `<stem>.md` for each file: titles as headings, pictures of tables, figures and
    formulas with their captions, lists; headers and footers are left out. The first heading of a
    document is of the first level.

    Text outside of all regions is not in it (detections.json has the regions alone, an OCR file
    all text).
    """
    written = []
    for name, own in document_names(pages, ".md"):
        with replacing(out / name) as temporary:
            temporary.write_text(text(own), encoding="utf-8", errors="backslashreplace")
        written.append(out / name)
    return written


def text(pages: Sequence[PageEntry]) -> str:
    """The Markdown of the pages of a document."""
    level = 1
    parts: list[str] = []
    for page in pages:
        for block in page_blocks(page):
            heading = block.role in ("title", "heading")
            parts += _markdown(block, level if heading else 0)
            if heading and block.text:
                level = 2
    return "\n\n".join(parts) + "\n"


def _markdown(block: Block, level: int) -> Iterator[str]:
    if block.picture:
        yield f"![{escape(block.category)}]({picture_link(block.picture)})"
    elif level and block.text:
        yield f"{'#' * level} {escape(block.text)}"
    elif block.items:
        yield "\n".join(f"- {escape(item)}" for item in block.items)
    elif block.text:
        yield escape(block.text)
    for caption in block.captions:
        yield f"*{escape(caption)}*"


def escape(line: str) -> str:
    """Text of which Markdown reads nothing as markup, in one line."""
    line = " ".join("".join(c if c.isprintable() else " " for c in line).split())
    line = re.sub(r"([\\`*_\[\]<>|$~])", r"\\\1", line)
    line = re.sub(r"&(?=#?\w{1,31};)", r"\\&", line)  # an entity
    if re.fullmatch(r"(?:- ?){3,}|=+|-+|\++", line):  # a rule, or a heading's underline
        return f"\\{line}"
    line = re.sub(r"^(#{1,6}(?=\s|$)|[-+](?=\s)|={3})", r"\\\1", line)
    line = re.sub(r"(^|\s)(#+)$", r"\1\\\2", line)  # would close a heading
    return re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", line)
