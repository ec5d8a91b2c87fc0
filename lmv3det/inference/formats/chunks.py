"""Chunks for retrieval: a file of JSON lines a document."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from lmv3det.documents.chunks import chunks
from lmv3det.files import replacing
from lmv3det.inference.formats import Pages
from lmv3det.inference.formats.content import document_names

NEEDS_CONTENT = True


def write(pages: Pages, out: Path, names: Sequence[str]) -> list[Path]:
    """Write `<stem>.jsonl` for each file: a paragraph, list, table or listing a line, with the
    headings above it, its place and its length."""
    written = []
    for name, document in document_names(pages, ".jsonl"):
        with replacing(out / name) as temporary:
            lines = (json.dumps(chunk, ensure_ascii=False) for chunk in chunks(document))
            text = "".join(f"{line}\n" for line in lines)
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
        written.append(out / name)
    return written
