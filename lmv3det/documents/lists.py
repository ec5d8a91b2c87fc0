"""Items of lists, of lists of references, and of tables of contents."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence

from lmv3det.documents.lines import Line, Span
from lmv3det.documents.parts import Item
from lmv3det.documents.text import join_spans, list_mark, running, without_start

INDENT = 0.7
"""Ems by which items of an inner list stand further right."""
_LEADER = re.compile(r"\s*(?:\.\s*){3,}|\s*…+\s*|\s*(?:·\s*){3,}")
_ENTRY = re.compile(r"(?:\.\s?){3,}|…{2,}|(?:·\s?){3,}")
_REFERENCE = re.compile(r"^(?:\[[^\]]{1,12}\]|\d{1,3}[.)])\s+")


def list_items(lines: Sequence[Line], known: Container[str] = ()) -> list[Item]:
    """The items of a list, each begun by a bullet or a number; inner ones by their place.

    Args:
        lines: of the list.
        known: words of the document.
    """
    groups: list[list[Line]] = []
    for line in lines:
        if not groups or list_mark(line.text)[0]:
            groups.append([])
        groups[-1].append(line)
    depths = _depths([group[0] for group in groups])
    items = []
    for group, depth in zip(groups, depths, strict=True):
        mark, count = list_mark(group[0].text)
        first = without_start(group[0].styled(), count)
        spans = join_spans([first, *(line.styled() for line in group[1:])], known)
        items.append(Item(spans, mark or "-", depth, group[0].box[0]))
    return items


def _depths(lines: Sequence[Line]) -> list[int]:
    """How deep items lie, by the places that they begin at: those open to the left count."""
    depths = []
    open_places: list[float] = []
    for line in lines:
        slack = INDENT * max(line.size, 1e-6)
        while open_places and line.box[0] < open_places[-1] - slack:
            open_places.pop()
        if not open_places or line.box[0] > open_places[-1] + slack:
            open_places.append(line.box[0])
        depths.append(len(open_places) - 1)
    return depths


def reference_items(lines: Sequence[Line], known: Container[str] = ()) -> list[Item]:
    """The entries of a list of references: begun by a number, or by a line that hangs out.

    Args:
        lines: of the list.
        known: words of the document.
    """
    numbered = any(_REFERENCE.match(line.text) for line in lines)
    left = min(line.box[0] for line in lines)
    hangs = any(line.box[0] > left + INDENT * line.size for line in lines)
    groups: list[list[Line]] = []
    for line in lines:
        starts = (
            bool(_REFERENCE.match(line.text)) if numbered
            else hangs and line.box[0] <= left + INDENT * line.size
        )  # fmt: skip
        if not groups or starts:
            groups.append([])
        groups[-1].append(line)
    # Its number is part of an entry: the text points at it.
    return [Item(running(group, known), "-", 0, group[0].box[0]) for group in groups]


def is_contents(lines: Sequence[Line]) -> bool:
    """Whether most lines are entries of a table of contents: dots lead to a number at their end."""
    led = sum(
        bool(_ENTRY.search(line.text)) and line.text.rstrip()[-1:].isalnum() for line in lines
    )
    return led >= 2 and 2 * led >= len(lines)


def contents_items(lines: Sequence[Line], known: Container[str] = ()) -> list[Item]:
    """The entries of a table of contents, one a line; inner ones by their numbers, else by their
    place.

    Args:
        lines: of it.
        known: words of the document.
    """
    groups: list[list[Line]] = []
    for line in lines:
        # An entry of several lines ends with its page.
        ended = bool(groups) and bool(re.search(r"(?:\d|[ivxlc])$", groups[-1][-1].text.strip()))
        if not groups or ended or not _leads(lines):
            groups.append([])
        groups[-1].append(line)
    by_place = _depths([group[0] for group in groups])
    items = []
    for group, place in zip(groups, by_place, strict=True):
        spans = [Span(_LEADER.sub(" … ", s.text), s.style) for s in running(group, known)]
        number = re.match(r"(?:\d+|[A-Z])((?:\.\d+)*)\.?\s", group[0].text)
        depth = number[1].count(".") if number else place
        items.append(Item([s for s in spans if s.text], "-", depth, group[0].box[0]))
    return _from_outer(items)


def _leads(lines: Sequence[Line]) -> bool:
    return is_contents(lines)


def _from_outer(items: Sequence[Item]) -> list[Item]:
    """Items whose depths grow by one at most."""
    found: list[Item] = []
    least = min((item.depth for item in items), default=0)
    for item in items:
        depth = min(item.depth - least, found[-1].depth + 1 if found else 0)
        found.append(Item(item.spans, item.mark, depth, item.left))
    return found
