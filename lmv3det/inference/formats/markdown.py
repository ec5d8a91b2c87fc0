"""Markdown: a file a document, its pages one after another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lmv3det.documents.markdown import markdown
from lmv3det.files import replacing
from lmv3det.inference.formats import Pages
from lmv3det.inference.formats.content import document_names

NEEDS_PICTURES = NEEDS_CONTENT = True


def write(pages: Pages, out: Path, names: Sequence[str]) -> list[Path]:
    """Write `<stem>.md` for each file: all text but headers and footers, headings with their
    levels, lists, tables, and pictures of tables, figures and formulas."""
    written = []
    for name, document in document_names(pages, ".md"):
        with replacing(out / name) as temporary:
            temporary.write_text(markdown(document), encoding="utf-8", errors="backslashreplace")
        written.append(out / name)
    return written
