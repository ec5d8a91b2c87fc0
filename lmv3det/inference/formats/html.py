"""HTML: a file a document, a section a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from lmv3det.files import replacing
from lmv3det.inference.entries import PageEntry
from lmv3det.inference.formats import Pages
from lmv3det.inference.formats.blocks import Block, document_names, page_blocks, picture_link

NEEDS_PICTURES = True

_STYLE = (
    "body{max-width:46em;margin:2em auto;padding:0 1em;font-family:sans-serif;line-height:1.5}"
    "img{max-width:100%}figure{margin:1.5em 0}figcaption{color:#555}"
    "section+section{border-top:1px solid #ccc;margin-top:2em}"
)


def write(pages: Pages, out: Path, names: Sequence[str]) -> list[Path]:
    """Write `<stem>.html` for each file, with what Markdown has in it too."""
    written = []
    for name, own in document_names(pages, ".html"):
        with replacing(out / name) as temporary:
            temporary.write_text(text(own, name), encoding="utf-8", errors="xmlcharrefreplace")
        written.append(out / name)
    return written


def text(pages: Sequence[PageEntry], title: str) -> str:
    """The HTML of the pages of a document."""
    level = 1
    sections = []
    for page in pages:
        parts: list[str] = []
        for block in page_blocks(page):
            heading = block.role in ("title", "heading")
            parts += _html(block, level if heading else 0)
            if heading and block.text:
                level = 2
        sections.append(f'<section id="page-{page["page"]}">\n' + "\n".join(parts) + "\n</section>")
    body = "\n".join(sections)
    return (
        f'<!DOCTYPE html>\n<html>\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _html(block: Block, level: int) -> Iterator[str]:
    if block.picture:
        captions = "".join(f"<figcaption>{escape(text)}</figcaption>" for text in block.captions)
        source = escape(picture_link(block.picture))
        yield (f'<figure><img src="{source}" alt="{escape(block.category)}">{captions}</figure>')
    elif level and block.text:
        yield f"<h{level}>{escape(block.text)}</h{level}>"
    elif block.items:
        items = "".join(f"<li>{escape(item)}</li>" for item in block.items)
        yield f"<ul>{items}</ul>"
    elif block.text:
        yield f"<p>{escape(block.text)}</p>"
