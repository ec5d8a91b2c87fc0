"""Marks: which region and which run of words every letter and line of a page belongs to.

A mark is hidden in the colour: the low four bits of red, green and blue hold twelve bits, the
number of a *unit*, and the high bits stay the colour that the eye sees. Whatever the typesetter
does with a paragraph (breaks it over lines, columns and pages, hyphenates, justifies), every
glyph in the PDF still carries its unit, so that boxes and words are exact by construction.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lmv3det.classes import FINE

Colour = tuple[int, int, int]
BLACK: Colour = (0, 0, 0)
MOST_UNITS = 4095


@dataclass(frozen=True)
class RegionMark:
    """A region that will be annotated.

    Attributes:
        category: one of `lmv3det.classes.FINE`.
        flows: it may break over columns, and then gives one box a fragment.
        joins: index of a region that it becomes part of where the two stand close; -1 for none.
    """

    category: str
    flows: bool
    joins: int = -1


@dataclass(frozen=True)
class UnitMark:
    """A run of words that belongs together: a paragraph, a table's cell, an axis label.

    Attributes:
        region: index into ``Marks.regions``.
        size: type size in points.
        stacked: a formula, whose parts stand above each other within one line.
        upright: False for a label turned by 90 degrees.
    """

    region: int
    size: float
    stacked: bool = False
    upright: bool = True


@dataclass
class Marks:
    """The regions and units of one document, in the order in which they were made.

    Attributes:
        regions: what is annotated.
        units: what is read as one.
        full_height: regions of words reach over the whole height of their type, as in data sets
            made from the words of PDF files, instead of over the ink alone.
    """

    regions: list[RegionMark] = field(default_factory=list)
    units: list[UnitMark] = field(default_factory=list)
    full_height: bool = False

    def region(self, category: str, *, flows: bool = False, joins: int = -1) -> int:
        """A new region; returns its index."""
        if category not in FINE:
            raise ValueError(f"category {category!r} is not one of {', '.join(FINE)}")
        self.regions.append(RegionMark(category, flows, joins))
        return len(self.regions) - 1

    def unit(self, region: int, size: float, *, stacked: bool = False, upright: bool = True) -> int:
        """A new unit of a region; returns its code, 1 to 4095 (0 is "not marked")."""
        if len(self.units) >= MOST_UNITS:
            raise ValueError(f"a page has more than {MOST_UNITS} units")
        self.units.append(UnitMark(region, size, stacked, upright))
        return len(self.units)


def colour(code: int, base: Colour = BLACK) -> str:
    """The typst colour that looks like ``base`` and carries ``code``."""
    nibbles = (code >> 8, (code >> 4) & 15, code & 15)
    mixed = [(b & 0xF0) | n for b, n in zip(base, nibbles, strict=True)]
    return 'rgb("#{:02x}{:02x}{:02x}")'.format(*mixed)


def code_of(red: int, green: int, blue: int) -> int:
    """The code that a colour carries."""
    return (red & 15) << 8 | (green & 15) << 4 | (blue & 15)
