"""Letters to lines of words, and lines to the fragments of a region in its columns.

A line reaches from the height of its ascenders to its descenders, as on the generated pages of
papers: one em and a little, from its base line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from lmv3det.harvest.content import Box, Letter

ABOVE, BELOW = 0.86, 0.22
"""A line reaches so many em above and below its base line."""
WIDE_GAP = 1.9
"""Words that stand further apart, in em, are two entries of the OCR file."""
CJK = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]")


def hull(boxes: Iterable[Box]) -> Box:
    """The box around boxes, of which there is at least one."""
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return min(x0), min(y0), max(x1), max(y1)


def overlap(low: float, high: float, other_low: float, other_high: float) -> float:
    """How much two ranges have in common; negative where there is a gap."""
    return min(high, other_high) - max(low, other_low)


@dataclass
class Row:
    """Letters on one line of a region, however far apart.

    Attributes:
        letters: in the order of the file.
        box: around their ink.
        base: y of the base line.
        size: type size in pixels.
        turned: whether they run upwards, downwards or aslant.
    """

    letters: list[Letter]
    box: Box
    base: float
    size: float
    turned: bool

    @property
    def text(self) -> str:
        return words(self.letters)

    @property
    def full(self) -> Box:
        """The box from ascenders to descenders; the ink's where that reaches further."""
        if self.turned:
            return self.box
        x0, y0, x1, y1 = self.box
        if CJK.search(self.text):
            middle = median(letter.box[1] + letter.box[3] for letter in self.letters) / 2
            low, high = middle - 0.5 * self.size, middle + 0.5 * self.size
        else:
            low, high = self.base - ABOVE * self.size, self.base + BELOW * self.size
        return x0, min(y0, low), x1, max(y1, high)

    def pieces(self) -> list[tuple[str, Box]]:
        """Its words, apart where a wide gap stands; each with the box around its ink."""
        if self.turned:
            return [(self.text, self.box)]
        parts: list[list[Letter]] = []
        for letter in self.letters:
            last = parts[-1][-1] if parts else None
            gap = 0.0 if last is None else -overlap(*last.box[::2], *letter.box[::2])
            if last is None or gap > WIDE_GAP * self.size:
                parts.append([])
            parts[-1].append(letter)
        return [(words(part), hull(letter.box for letter in part)) for part in parts]


def words(letters: Sequence[Letter]) -> str:
    """The text of letters."""
    parts = []
    for letter in letters:
        parts.append(f" {letter.text}" if letter.spaced else letter.text)
    return " ".join("".join(parts).split())


def to_rows(letters: Sequence[Letter]) -> list[Row]:
    """Letters in reading order as lines."""
    groups: list[list[Letter]] = []
    base = size = 0.0
    for letter in letters:
        last = groups[-1][-1] if groups else None
        if last is None or letter.turned != last.turned:
            fresh = True
        elif letter.turned:
            fresh = letter.owner != last.owner
        else:
            # Raised and lowered letters are less than 0.7 em off; lines are an em apart at least.
            fresh = abs(letter.base - base) > 0.7 * max(size, letter.size)
        if fresh:
            groups.append([])
            base, size = letter.base, letter.size
        groups[-1].append(letter)
        if letter.size >= 0.9 * size:  # not a raised one, which says little of the line
            base, size = letter.base, max(size, letter.size)
    return [_row(group) for group in groups]


def _row(letters: list[Letter]) -> Row:
    size = max(letter.size for letter in letters)
    base = median(letter.base for letter in letters if letter.size >= 0.8 * size)
    box = hull(letter.box for letter in letters)
    return Row(letters, box, base, size, letters[0].turned)


def fragments(rows: Sequence[Row]) -> list[list[Row]]:
    """Lines of one region, apart where it goes on in another column or far below."""
    parts: list[list[Row]] = []
    for row in rows:
        if not parts or _breaks(parts[-1], row):
            parts.append([])
        parts[-1].append(row)
    return parts


def _breaks(part: list[Row], row: Row) -> bool:
    last, size = part[-1], max(part[-1].size, row.size)
    level = overlap(*last.box[1::2], *row.box[1::2]) > 0
    x0, _, x1, bottom = hull(item.box for item in part)
    if row.turned or last.turned:
        return False
    if level and abs(row.base - last.base) < 0.7 * size:  # goes on beside it
        return False
    up = row.base < last.base - 1.5 * size
    apart = overlap(x0, x1, row.box[0], row.box[2]) < -size and not level
    return up or apart or row.box[1] - bottom > 2.2 * size
