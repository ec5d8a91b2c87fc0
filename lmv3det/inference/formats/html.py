"""HTML: a file a document, a section a page."""

from __future__ import annotations

import itertools
import re
from collections import Counter
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
        f'<!DOCTYPE html>\n<html lang="{language_of(pages)}">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n"
        f"<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


_LETTERS = (
    ("ja", r"[\u3040-\u30ff]"), ("ko", r"[\uac00-\ud7af]"), ("zh", r"[\u3400-\u9fff]"),
    ("he", r"[\u0590-\u05ff]"), ("ar", r"[\u0600-\u06ff]"), ("el", r"[\u0370-\u03ff]"),
    ("th", r"[\u0e00-\u0e7f]"), ("hi", r"[\u0900-\u097f]"),
)  # fmt: skip
_WORDS = {
    "en": "the of and is that with", "de": "der die und das ist nicht",
    "fr": "les des et une est dans", "es": "los las y una que por",
    "it": "il che di della sono per", "pt": "os uma não que em para",
    "nl": "het een van en niet zijn", "ru": "и в не на что как", "uk": "і у не на що як",
}  # fmt: skip


def language_of(pages: Sequence[PageEntry]) -> str:
    """The language that a document is read aloud in, as BCP 47 writes it: told by its letters, and
    by small words; `und` where neither tells."""
    lines = (line for page in pages for region in page["detections"]
             for line in region.get("lines", ()))  # fmt: skip
    text = " ".join(itertools.islice(lines, 2000)).lower()
    letters = sum(map(str.isalpha, text))
    for language, pattern in _LETTERS:
        # Japanese is told by its own letters among the Chinese ones.
        if len(re.findall(pattern, text)) > letters * (0.05 if language == "ja" else 0.3):
            return language
    found = Counter(text.split())
    scores = {name: sum(found[w] for w in words.split()) for name, words in _WORDS.items()}
    best = max(scores, key=lambda name: scores[name])
    return best if scores[best] else "und"


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
