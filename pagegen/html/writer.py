"""Writes a page: its looks, its words, its pictures, and what the blocks count."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from html import escape

from pagegen.html.content.pictures import Pictures
from pagegen.html.content.words import Words
from pagegen.html.look import Look

ROMAN = [
    "i",
    "ii",
    "iii",
    "iv",
    "v",
    "vi",
    "vii",
    "viii",
    "ix",
    "x",
    "xi",
    "xii",
    "xiii",
    "xiv",
    "xv",
    "xvi",
    "xvii",
    "xviii",
    "xix",
    "xx",
]


class Writer:
    """What the blocks of one page write with."""

    def __init__(self, rng: random.Random, look: Look, pictures: Pictures) -> None:
        self.rng = rng
        self.look = look
        self.words = Words(rng, look.language)
        self.pictures = pictures
        self.numbers = {"figure": rng.randint(1, 30), "table": rng.randint(1, 30),
                        "section": rng.randint(1, 12), "note": rng.randint(1, 20),
                        "equation": rng.randint(1, 40)}  # fmt: skip
        self.hyphens = look.align == "justify" and rng.random() < 0.7
        self.math = 0.0
        self.notes: list[str] = []
        self.page_number = rng.choice([rng.randint(1, 30), rng.randint(1, 500)])

    def next(self, name: str) -> int:
        """The next number of a kind of block."""
        self.numbers[name] += 1
        return self.numbers[name]

    def chance(self, share: float) -> bool:
        """True in so many cases."""
        return self.rng.random() < share

    @contextmanager
    def inside(self, width: float, height: float, columns: int = 1, size: float = 0.0,
               accent: str = "") -> Iterator[None]:  # fmt: skip
        """Blocks are written for a box of this size in CSS pixels, within the page."""
        outer = self.look
        self.look = replace(outer, width=width, height=height, margin=(0.0, 0.0, 0.0, 0.0),
                            columns=columns, size=size or outer.size,
                            accent=accent or outer.accent)  # fmt: skip
        try:
            yield
        finally:
            self.look = outer

    def mark(self, category: str, inner: str, tag: str = "div", style: str = "",
             more: str = "") -> str:  # fmt: skip
        """An element that is a region."""
        css = f' style="{style}"' if style else ""
        return f'<{tag} data-r="{category}"{css} {more}>{inner}</{tag}>'

    def text(self, text: str) -> str:
        """Words as HTML."""
        return escape(text)


def numeral(form: str, i: int) -> str:
    """Number ``i`` (from 1) in a form as ``1.``, ``(a)`` or ``i.``."""
    for sign, text in (
        ("1", str(i)),
        ("a", chr(96 + (i - 1) % 26 + 1)),
        ("i", ROMAN[(i - 1) % 20]),
        ("A", chr(64 + (i - 1) % 26 + 1)),
        ("I", ROMAN[(i - 1) % 20].upper()),
    ):
        if sign in form:
            return form.replace(sign, text)
    return form
