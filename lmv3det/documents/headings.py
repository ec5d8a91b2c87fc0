"""Levels of headings: by their numbers, then by the size of their letters over the document."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lmv3det.documents.lines import Line
from lmv3det.documents.page import Block
from lmv3det.documents.parts import Part
from lmv3det.documents.text import plain

SAME = 0.06
"""Difference of the sizes of headings of one level at most, as a fraction."""
LARGER = 1.15
"""Text of so many times the usual size, in a line of its own, is a heading."""
LONGEST = 15
"""Words of such a heading at most."""
DEEPEST = 6
"""The deepest level."""
_NUMBER = re.compile(
    r"^(?:(?:chapter|appendix|part|section)\s+)?"
    r"(?:(\d{1,3}(?:\.\d{1,3})*)[.)]?|([A-Z](?:\.\d{1,3})+)\.?|([A-Z])\.|([IVX]{1,5})\.)\s+\S",
    re.IGNORECASE,
)
_WORDED = re.compile(r"^(?:chapter|appendix)\s+([\dA-Z]+)\b", re.IGNORECASE)


def number_depth(text: str) -> int:
    """How many parts the number of a heading has: 2 for `3.1 Data`; 0 without a number."""
    match = _NUMBER.match(text)
    if not match:
        return 1 if _WORDED.match(text) else 0
    number = next(group for group in match.groups() if group)
    if match[3] and not match[3].isupper():
        return 0
    return number.count(".") + 1


def looks_like_heading(lines: Sequence[Line], block: Block, body: float) -> bool:
    """Whether text that no heading's region holds is one: larger than the text, or bold with a
    number, in one line or two."""
    text = " ".join(line.text for line in lines)
    if len(lines) > 2 or not body or len(text.split()) > LONGEST or block.kind == "caption":
        return False
    if not any(c.isalpha() for c in text) or re.search(r"[.,;:]$", text.strip()):
        return False
    larger = all(line.size >= LARGER * body for line in lines)
    bold = all(line.bold for line in lines) and lines[0].size >= 0.95 * body
    return larger or (bold and number_depth(text) > 0 and text[:1].isdigit())


def set_levels(parts: Sequence[Part], body: float) -> None:
    """Set `level` of the headings of a document.

    The title, if there is one, is of the first level; a heading's number says how deep it lies
    below that. Of those without a number, the size of the letters says it, beside that of the
    numbered ones.

    Args:
        parts: of the document.
        body: size of the text, pixels; 0 where it is not known.
    """
    headings = [part for part in parts if part.kind == "heading"]
    if not headings:
        return
    depths = [number_depth(plain(part.spans)) for part in headings]
    sizes: dict[int, list[float]] = {}
    for part, depth in zip(headings, depths, strict=True):
        if depth:
            sizes.setdefault(depth, []).append(part.size)
    usual = {depth: sorted(own)[len(own) // 2] for depth, own in sizes.items()}
    title = _title(headings, depths, usual)
    shift = 1 if title is not None else 0
    ladder = _ladder([p.size for p, depth in zip(headings, depths, strict=True)
                      if not depth and p is not title])  # fmt: skip
    for part, depth in zip(headings, depths, strict=True):
        if part is title:
            level = 1
        elif depth:
            level = depth + shift
        elif usual:
            level = _among(part.size, usual) + shift
        else:
            level = next(k for k, size in enumerate(ladder, 1) if part.size >= size * (1 - SAME))
            level += shift
        part.level = max(1, min(level, DEEPEST))


def _title(headings: Sequence[Part], depths: Sequence[int], usual: dict[int, float]) -> Part | None:
    """The title of the document: a region of that class, or the first heading, where it is larger
    than all others on the first page with any."""
    for part in headings:
        if part.is_title:
            return part
    first = headings[0]
    others = [part.size for part in headings if part is not first]
    if depths[0] or not all(size * (1 + SAME) < first.size for size in others):
        return None
    return first


def _among(size: float, usual: dict[int, float]) -> int:
    """The level of a heading without a number, beside those with one: of the nearest size, or
    one above all, or below."""
    for depth in sorted(usual):
        if abs(size - usual[depth]) <= SAME * max(size, usual[depth]):
            return depth
    larger = [depth for depth in usual if usual[depth] > size]
    return max(larger) + 1 if larger else 1


def _ladder(sizes: Sequence[float]) -> list[float]:
    """Distinct sizes from the largest, those near one another taken as one."""
    ladder: list[float] = []
    for size in sorted(sizes, reverse=True):
        if not ladder or size < ladder[-1] * (1 - SAME):
            ladder.append(size)
    return ladder
