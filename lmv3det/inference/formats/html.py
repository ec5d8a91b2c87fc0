"""HTML: a file a document, a section a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lmv3det.documents.html import html
from lmv3det.files import replacing
from lmv3det.inference.formats import Pages
from lmv3det.inference.formats.content import document_names

NEEDS_PICTURES = NEEDS_CONTENT = True


def write(pages: Pages, out: Path, names: Sequence[str]) -> list[Path]:
    """Write `<stem>.html` for each file, with what Markdown has in it too."""
    written = []
    for name, document in document_names(pages, ".html"):
        with replacing(out / name) as temporary:
            text = html(document, name)
            temporary.write_text(text, encoding="utf-8", errors="xmlcharrefreplace")
        written.append(out / name)
    return written
