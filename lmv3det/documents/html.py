"""A document as HTML: a section a page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape

from lmv3det.documents.lines import Span
from lmv3det.documents.markdown import picture_link
from lmv3det.documents.parts import Item, Part
from lmv3det.documents.tables import Table
from lmv3det.documents.text import plain
from lmv3det.documents.whole import Document

_STYLE = (
    "body{max-width:46em;margin:2em auto;padding:0 1em;font-family:sans-serif;line-height:1.5}"
    "img{max-width:100%}figure{margin:1.5em 0}figcaption{color:#555}pre{overflow-x:auto}"
    "section+section{border-top:1px solid #ccc;margin-top:2em}.note{font-size:85%}"
    "table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.2em .5em;text-align:left}"
)


def html(document: Document, title: str) -> str:
    """A document as a page of HTML.

    Args:
        document: to write.
        title: of the page.
    """
    pages: dict[int, list[str]] = {}
    for part in document.parts:
        pages.setdefault(part.page, []).extend(_part(part, document))
    body = "\n".join(
        f'<section id="page-{page}">\n' + "\n".join(parts) + "\n</section>"
        for page, parts in pages.items()
    )
    return (
        f'<!DOCTYPE html>\n<html lang="{language_of(document)}">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n"
        f"<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _part(part: Part, document: Document) -> Iterator[str]:
    if part.kind == "heading":
        yield f"<h{part.level or 1}>{inline(part.spans)}</h{part.level or 1}>"
    elif part.kind == "list":
        yield html_list(part.items)
    elif part.kind == "code":
        yield f"<pre><code>{escape(part.code)}</code></pre>"
    elif part.kind == "footnote" and part.label:
        label = escape(part.label)
        yield (
            f'<p class="note" id="note-{label}"><sup><a href="#mark-{label}">{label}</a></sup> '
            f"{inline(part.spans)}</p>"
        )
    elif part.kind in ("picture", "table", "formula") and (part.picture or part.table):
        yield _figure(part, document)
    elif part.spans:
        yield f"<p>{inline(part.spans)}</p>"
        yield from (f"<p>{inline(caption)}</p>" for caption in part.captions)


def _figure(part: Part, document: Document) -> str:
    captions = "".join(f"<figcaption>{inline(text)}</figcaption>" for text in part.captions)
    picture = ""
    if part.picture:
        alternative = plain(part.captions[0]) if part.captions else part.category
        if part.kind == "formula":
            alternative = plain(part.spans) or part.category
        elif part.kind == "picture" and part.spans:
            alternative += f": {plain(part.spans)}"
        size = _formula_size(part, document) if part.kind == "formula" else ""
        source = escape(picture_link(part.picture))
        picture = f'<img src="{source}" alt="{escape(alternative)}"{size}>'
    if part.table is None:
        text = f"<p>{inline(part.spans)}</p>" if part.kind == "table" and part.spans else ""
        body = f"{picture}{text}"
        return f"<figure>{_with(captions, body, part.captions_first)}</figure>"
    if picture:
        picture = f"<details><summary>{escape(part.category)}</summary>{picture}</details>"
    body = f"{html_table(part.table)}{picture}"
    return f"<figure>{_with(captions, body, part.captions_first)}</figure>"


def _with(captions: str, body: str, first: bool) -> str:
    return captions + body if first else body + captions


def _formula_size(part: Part, document: Document) -> str:
    """The size of a formula's picture, so that its letters are as large as the text."""
    sizes = Counter(round(p.size, 1) for p in document.parts if p.kind == "paragraph" and p.size)
    if not sizes:
        return ""
    size = sizes.most_common(1)[0][0]
    return f' style="width:{(part.box[2] - part.box[0]) / size:.1f}em"'


def html_table(table: Table) -> str:
    """A table, with the merged cells as such."""
    rows: list[str] = []
    for number in range(table.rows):
        cells = []
        for cell in table.cells:
            if cell.row == number:
                tag = "th" if cell.header else "td"
                spans = f' rowspan="{cell.rows}"' if cell.rows > 1 else ""
                spans += f' colspan="{cell.columns}"' if cell.columns > 1 else ""
                cells.append(f"<{tag}{spans}>{inline(cell.spans)}</{tag}>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table>\n{chr(10).join(rows)}\n</table>"


def html_list(items: Sequence[Item]) -> str:
    """A list with the lists in it."""
    return _list(items, 0)[0] if items else ""


def _list(items: Sequence[Item], start: int) -> tuple[str, int]:
    """The list that begins with an item, and the place behind it."""
    depth, at = items[start].depth, start
    tag, attributes = _list_tag(items[start].mark)
    rows: list[str] = []
    while at < len(items) and items[at].depth >= depth:
        if items[at].depth > depth:
            inner, at = _list(items, at)
            if rows:
                rows[-1] = rows[-1].removesuffix("</li>") + f"{inner}</li>"
            continue
        mark = items[at].mark
        before = f"{escape(mark)} " if mark != "-" and tag == "ul" else ""
        rows.append(f"<li>{before}{inline(items[at].spans)}</li>")
        at += 1
    return f"<{tag}{attributes}>{''.join(rows)}</{tag}>", at


def _list_tag(mark: str) -> tuple[str, str]:
    match = re.fullmatch(r"(\d{1,9})[.)]", mark)
    if not match:
        return "ul", ""
    return "ol", "" if match[1] == "1" else f' start="{int(match[1])}"'


def inline(spans: Sequence[Span]) -> str:
    """Spans as HTML."""
    written = []
    for span in spans:
        style, text = span.style, escape(span.text)
        if style.note:
            label = escape(style.note)
            written.append(f'<sup id="mark-{label}"><a href="#note-{label}">{text}</a></sup>')
            continue
        if span.text.strip():
            for has, tag in (
                (style.mono, "code"), (style.italic, "em"), (style.bold, "strong"),
                (style.script == "super", "sup"), (style.script == "sub", "sub"),
            ):  # fmt: skip
                text = f"<{tag}>{text}</{tag}>" if has else text
            if style.link:
                text = f'<a href="{escape(style.link)}">{text}</a>'
        written.append(text)
    return "".join(written)


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
_ENOUGH = 20_000
"""Words that a language is told by at most."""


def language_of(document: Document) -> str:
    """The language that a document is read aloud in, as BCP 47 writes it: told by its letters, and
    by small words; `und` where neither tells."""
    words: list[str] = []
    for part in document.parts:
        for spans in (part.spans, *(item.spans for item in part.items)):
            words += plain(spans).lower().split()
        if len(words) > _ENOUGH:
            break
    text = " ".join(words)
    letters = sum(map(str.isalpha, text))
    for language, pattern in _LETTERS:
        # Japanese is told by its own letters among the Chinese ones.
        if len(re.findall(pattern, text)) > letters * (0.05 if language == "ja" else 0.3):
            return language
    found = Counter(words)
    scores = {name: sum(found[w] for w in own.split()) for name, own in _WORDS.items()}
    best = max(scores, key=lambda name: scores[name])
    return best if scores[best] else "und"
