"""`ENV/bin/python -m benchmarks.pymupdf4llm_documents PDFS OUT`: Markdown of pymupdf4llm.

Run by an environment of its own (`pip install pymupdf4llm==0.3.4`, AGPL): nothing of it is imported
elsewhere, and nothing of this project but the list of files.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.document_files import DOCUMENTS


def main(pdfs: Path, out: Path) -> None:
    """Write a .md a document, of the pages that are measured."""
    import pymupdf
    import pymupdf4llm

    out.mkdir(parents=True, exist_ok=True)
    for document in DOCUMENTS:
        path = pdfs / document.name
        with pymupdf.open(path) as file:
            pages = list(range(document.pages[0] - 1, min(document.pages[1], len(file))))
        text = pymupdf4llm.to_markdown(str(path), pages=pages)
        (out / f"{path.stem}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
