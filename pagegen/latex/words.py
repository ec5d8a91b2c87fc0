"""Words and colours as LaTeX source."""

from __future__ import annotations

from pagegen.marks import BLACK, Colour

_ESCAPES = {c: "\\" + c for c in "&%#_${}"}
_ESCAPES |= {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
_ESCAPES |= {"“": "``", "”": "''", "–": "--", "—": "---", "\u00a0": "~", "±": r"$\pm$"}
GREY: Colour = (0x80, 0x80, 0x80)
LINK_COLOURS: list[Colour] = [(0, 0, 0xF0), (0, 0xA0, 0), (0xC0, 0, 0), (0, 0, 0x80)]
BASES = {BLACK, GREY, *LINK_COLOURS}
"""The colours in which marks are hidden."""
PURE_BLUE = 15
"""The code that a class's own blue seems to carry; it is not given out."""


def escaped(text: str) -> str:
    """A text without formulas as LaTeX source."""
    return "".join(_ESCAPES.get(c, c) for c in text)


def colour(code: int, base: Colour = BLACK) -> str:
    """The command that sets the colour that looks like ``base`` and carries ``code``."""
    nibbles = (code >> 8, (code >> 4) & 15, code & 15)
    parts = [(b & 0xF0) | n for b, n in zip(base, nibbles, strict=True)]
    return r"\mk" + "".join(f"{{{p / 255:.5f}}}" for p in parts)
