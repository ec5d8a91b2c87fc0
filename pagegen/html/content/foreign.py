"""Passages of the machine's free HTML documents: real structure in foreign hands.

Headings, paragraphs, lists, tables, program text and figures of a document come in their order,
marked as regions; all looks of their own are left out.
"""

from __future__ import annotations

import random
import re
from functools import lru_cache
from html import escape
from html.parser import HTMLParser
from pathlib import Path

PLACES = (
    "usr/share/doc/debian-handbook/html/*/*.html",
    "usr/share/doc/debian-policy/policy.html/*.html",
    "usr/share/doc/developers-reference/*.html",
    "usr/share/doc/postgresql-doc-*/html/*.html",
    "usr/share/gimp/*/help/*/*.html",
    "usr/share/doc/gnucash-docs/*/*.html",
    "usr/share/doc/octave/octave.html/*.html",
    "usr/share/doc/octave-doc/octave.html/*.html",
    "usr/share/R/doc/html/*.html",
    "usr/share/doc/R/manual/*.html",
    "usr/share/doc/r-doc-html/manual/*.html",
    "usr/share/doc/sqlite3-doc/*.html",
    "usr/share/doc/python3.11/html/*/*.html",
    "usr/share/debian-reference/*.html",
)
_BLOCKS = {
    "p": "Text", "li": "List item", "dd": "Text", "dt": "Text", "pre": "Code", "h1": "Title",
    "h2": "Section header", "h3": "Section header", "h4": "Section header",
    "h5": "Section header", "figcaption": "Figure caption", "caption": "Table caption",
}  # fmt: skip
_OUT = {"script", "style", "nav", "head", "form", "footer", "header", "svg", "button", "select"}
_INLINE = {"b", "i", "em", "strong", "code", "sub", "sup", "tt", "var"}
_ASIDE = re.compile(r"\b(nav|docnav|navheader|navfooter|toc|sphinxsidebar|related|footer|header|"
                    r"breadcrumb|linkbar|buttonlinks)\b")  # fmt: skip
"""Classes of what a printed page would not show."""
_CAPTION = re.compile(
    r"(?:<\w+>)*(?:(Figur[ea]?|Imagen|Abbildung|Рисунок|图|図)|"
    r"Table(?:au)?|Tabell?[ae]|Tabla|Таблица|表)"
    r"\s*[\d.]+"
)
_INDEX = re.compile(r"search|index|genindex|copyright", re.I)
_HEAVY = 60
MOST = 400_000
"""Files of more bytes are left out."""


@lru_cache(maxsize=1)
def documents() -> dict[str, tuple[str, ...]]:
    """The machine's HTML files by where they lie, so that a large manual is not all there is."""
    found = {}
    for place in PLACES:
        files = sorted(str(p) for p in Path("/").glob(place) if not _INDEX.search(p.name))
        if len(files) > 3:
            found[place] = tuple(files)
    return found


class _Reader(HTMLParser):
    """Blocks of a document: (class, HTML) each, with ``Table`` and ``Figure`` among them."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.blocks: list[tuple[str, str]] = []
        self._open: list[tuple[str, list[str]]] = []  # class, inner HTML
        self._lists: list[int] = []  # next number, or 0 for marks
        self._out = 0
        self._left, self._depth = "", 0  # a tag whose element is left out, and how deep
        self._table: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if self._left:
            self._depth += tag == self._left
            return
        if tag not in ("img", "br") and _ASIDE.search(f"{given.get('class')} {given.get('id')}"):
            self._left, self._depth = tag, 1
            return
        if tag in _OUT:
            self._out += 1
            return
        if self._out:
            return
        if tag == "table" and self._table is None:
            self._flush()
            self._table = []
        elif self._table is not None and tag in ("tr", "td", "th"):
            self._table.append(f"<{tag}>")
        elif tag in ("ul", "ol"):
            self._flush()
            self._lists.append(1 if tag == "ol" else 0)
        elif tag == "img" and self._table is None:
            source = self.folder / (given.get("src") or "")
            if source.suffix in (".png", ".jpg", ".jpeg") and source.is_file():
                self._flush()
                self.blocks.append(("Figure", str(source)))
        elif tag in _BLOCKS and self._table is None:
            if tag == "p" and self._open and self._open[-1][0] == "List item":
                return  # A paragraph within an item belongs to it.
            self._flush()
            self._open.append((_BLOCKS[tag], []))
        elif tag in _INLINE:
            self._add(f"<{tag}>")
        elif tag == "br":
            self._add("<br>")

    def handle_endtag(self, tag: str) -> None:
        if self._left:
            self._depth -= tag == self._left
            if self._depth == 0:
                self._left = ""
        elif tag in _OUT:
            self._out = max(0, self._out - 1)
        elif self._out:
            return
        elif tag == "table" and self._table is not None:
            self.blocks.append(("Table", "".join(self._table)))
            self._table = None
        elif self._table is not None and tag in ("tr", "td", "th"):
            self._table.append(f"</{tag}>")
        elif tag in ("ul", "ol"):
            self._flush()
            if self._lists:
                self._lists.pop()
        elif tag in _BLOCKS and self._table is None:
            if tag == "p" and self._open and self._open[-1][0] == "List item":
                return
            self._flush()
        elif tag in _INLINE:
            self._add(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if not self._out and not self._left:
            self._add(escape(data.replace("¶", "")))

    def _add(self, html: str) -> None:
        if self._table is not None:
            self._table.append(html)
        elif self._open:
            self._open[-1][1].append(html)

    def _flush(self) -> None:
        while self._open:
            kind, parts = self._open.pop()
            inner = "".join(parts)
            if kind != "Code":
                inner = " ".join(inner.split())
            if any(c.isalnum() for c in inner):
                if kind == "Text" and (found := _CAPTION.match(inner)):
                    kind = "Figure caption" if found[1] else "Table caption"
                if kind == "List item":
                    sign = "•"
                    if self._lists and self._lists[-1]:
                        sign = f"{self._lists[-1]}."
                        self._lists[-1] += 1
                    kind = f"List item/{sign}/{len(self._lists)}"
                self.blocks.append((kind, inner))
            self._open.clear()


@lru_cache(maxsize=64)
def _blocks_of(path: str) -> tuple[tuple[str, str], ...]:
    file = Path(path)
    if file.stat().st_size > MOST:
        return ()
    reader = _Reader(file.parent)
    reader.feed(file.read_text(encoding="utf-8", errors="ignore"))
    return tuple(reader.blocks)


def passage(rng: random.Random) -> list[tuple[str, str]]:
    """Blocks of a document in their order from somewhere in it; none where there are none."""
    places = documents()
    if not places:
        return []
    for _ in range(8):
        found = _blocks_of(rng.choice(places[rng.choice(sorted(places))]))
        if len(found) < 6:
            continue
        start = 0 if rng.random() < 0.3 else rng.randrange(len(found) - 4)
        return list(found[start : start + _HEAVY])
    return []
