"""Blocks and what stands on the page to regions with their lines of words."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from lmv3det.harvest.blocks import CAPTION, Block, Blocks, to_blocks
from lmv3det.harvest.content import Box, Content, Ink, Letter
from lmv3det.harvest.lines import Row, fragments, hull, overlap, to_rows
from lmv3det.harvest.tags import Element

WHOLE = {"Figure", "Table", "Equation", "Form"}
"""Regions that end at their ink and are never cut in fragments."""
INKED = {"Figure", "Table", "Form"}
"""Regions whose box is cut at what can be seen of them."""
BAND = 0.15
"""Heads and feet that are not marked as such stand within this part of the page's height."""
_FIGURE_WORDS = re.compile(
    r"\s*(fig|figure|figura|figur|abb|abbildung|bild|obr|rys|рис|図|图|그림|chart|diagram|photo|"
    r"scheme|plate|illustration|image|map|exhibit|graph)\b", re.IGNORECASE
)  # fmt: skip
_TABLE_WORDS = re.compile(
    r"\s*(tab|table|tabelle|tableau|tabla|tabella|tabela|tabulka|табл|таблица|表|표)(\b|\s*\d)",
    re.IGNORECASE,
)
_NUMBERED = re.compile(
    r"\s*(fig\.?|figure|figura|figur|abb\.?|abbildung|tab\.?|table|tabelle|tableau|tabla|"
    r"tabella|tabela|рис\.?|рисунок|табл\.?|таблица|図|图|表|그림|표)\s*[A-Z]?\d[\d.\-]*\s*"
    r"([.:–—\-：．]|\b)", re.IGNORECASE
)  # fmt: skip
_NUMBER = re.compile(r"[\(\[]?\s*[\w.\-–]{1,8}\s*[\)\]]")
_CAPTIONED = {"Figure": "Figure caption", "Table": "Table caption", "Form": "Table caption",
              "Code": "Figure caption", "Equation": "Figure caption"}  # fmt: skip


@dataclass(eq=False)
class Region:
    """A region of a page.

    Attributes:
        kind: a fine class.
        box: x0 y0 x1 y1 in pixels.
        rows: its lines in reading order.
        level: of a heading.
        part: which fragment of its block it is.
    """

    kind: str
    box: Box
    rows: list[Row] = field(default_factory=list)
    level: int = 0
    part: int = 0


@dataclass
class PageRegions:
    """What a page's tags say.

    Attributes:
        regions: in reading order, heads and feet last.
        loose: lines of words that are in no region.
        stray: letters and digits of `loose` that no tag names.
        letters: letters and digits in all.
        unnamed: boxes of drawings and pictures that no tag names.
        empty: kinds of figures and tables of which nothing is on the page.
        unknown: tags that are not known, with text right in them.
    """

    regions: list[Region]
    loose: list[Row]
    stray: int
    letters: int
    unnamed: list[Box]
    empty: list[str]
    unknown: set[str]


@dataclass(eq=False)
class _Part:
    """A block with what stands on the page of it."""

    block: Block
    kind: str
    letters: list[Letter]
    inks: list[Ink]
    rows: list[Row] = field(default_factory=list)

    @property
    def boxes(self) -> list[Box]:
        return [letter.box for letter in self.letters] + [ink.box for ink in self.inks]

    @property
    def size(self) -> float:
        sizes = sorted(letter.size for letter in self.letters)
        return sizes[len(sizes) // 2] if sizes else 0.0


def find_regions(tops: Sequence[Element], content: Content) -> PageRegions:
    """The regions of a page.

    Args:
        tops: its structure tree.
        content: what stands on it.
    """
    drawn = {ink.owner for ink in content.inks if isinstance(ink.owner, int)}
    blocks = to_blocks(tops, drawn)
    parts, empty, rest_letters, rest_inks = _gather(blocks, content)
    _join_anonymous(parts)
    _take_in(parts)
    _add_fields(parts, content)
    _adopt_rules(parts, rest_inks)
    _merge(parts)
    _name_captions(parts)
    parts = [part for part in parts if part.boxes]
    regions = [region for part in parts for region in _to_regions(part)]
    furniture, loose, stray = _furniture(rest_letters, regions, content.size)
    taken = {id(ink) for part in parts for ink in part.inks}
    left = [ink for ink in rest_inks if id(ink) not in taken]
    letters = sum(letter.text.isalnum() for letter in content.letters)
    return PageRegions(
        regions + furniture,
        loose,
        stray,
        letters,
        _unnamed(left, content, [region.box for region in regions + furniture]),
        empty,
        blocks.unknown,
    )


def _gather(
    blocks: Blocks, content: Content
) -> tuple[list[_Part], list[str], list[Letter], list[Ink]]:
    """The letters and drawn objects of each block, and those of none."""
    letters: dict[int, list[Letter]] = defaultdict(list)
    inks: dict[int, list[Ink]] = defaultdict(list)
    owned = {number for block in blocks.found for number in block.ids}
    loose_letters, loose_inks = [], []
    for letter in content.letters:
        if isinstance(letter.owner, int) and letter.owner in owned:
            letters[letter.owner].append(letter)
            continue
        if letter.owner in blocks.artifacts:
            letter.owner = "Artifact"
        elif isinstance(letter.owner, int):
            letter.owner = None  # an id that the tree does not have
        loose_letters.append(letter)
    for ink in content.inks:
        if isinstance(ink.owner, int) and ink.owner in owned:
            inks[ink.owner].append(ink)
        else:
            loose_inks.append(ink)
    parts, empty, taken = [], [], set[int]()
    for block in blocks.found:
        ids = [number for number in dict.fromkeys(block.ids) if number not in taken]
        taken.update(ids)  # content that two elements claim goes to the first
        part = _Part(
            block,
            block.kind,
            [letter for number in ids for letter in letters[number]],
            [ink for number in ids for ink in inks[number]],
        )
        if part.boxes:
            parts.append(part)
        elif block.kind in ("Figure", "Table"):
            empty.append(block.kind)
    return parts, empty, loose_letters, loose_inks


def _level_with(part: _Part, others: Iterable[Letter], reach: float) -> bool:
    """Whether some of the letters stand on a line with a part, at most `reach` pixels beside it."""
    x0, y0, x1, y1 = hull(part.boxes)
    for letter in others:
        low, high = letter.box[1], letter.box[3]
        level = overlap(y0, y1, low, high) > 0.5 * min(y1 - y0, high - low)
        if level and overlap(x0, x1, letter.box[0], letter.box[2]) > -reach:
            return True
    return False


def _join_anonymous(parts: list[_Part]) -> None:
    """Text that stands in no paragraph is one block with what goes on beside it on its line."""
    index = 1
    while index < len(parts):
        part, last = parts[index], parts[index - 1]
        both = part.block.anonymous and last.block.anonymous and part.letters and last.letters
        if both and _level_with(part, last.letters[-8:], 1.2 * part.size):
            last.letters += part.letters
            last.inks += part.inks
            del parts[index]
        else:
            index += 1


def _take_in(parts: list[_Part]) -> None:
    """Formulas, code, pictures and fields that stand within a line of a text are part of it."""
    of = {id(part.block): part for part in parts}
    for part in list(parts):
        if part.kind not in ("Equation", "Code", "Figure", "Form") or not part.boxes:
            continue
        parent = None if part.block.parent is None else of.get(id(part.block.parent))
        if part.kind == "Form" and parent is None:
            near = (p for p in parts if p.kind in ("Text", "Form") and p.letters and p is not part)
            parent = next((p for p in near if _level_with(part, p.letters, 3 * p.size)), None)
        if parent is None or not parent.letters or parent is part:
            continue
        _, y0, _, y1 = hull(part.boxes)
        if part.kind == "Figure" and y1 - y0 > 2.5 * parent.size:
            continue
        reach = 3 * parent.size if part.kind in ("Form", "Figure") else 1.5 * parent.size
        if part.kind == "Equation" and _NUMBER.fullmatch("".join(x.text for x in parent.letters)):
            if _level_with(part, parent.letters, 2 * parent.size):  # its number, close beside it
                part.letters += parent.letters
                parent.letters = []
            else:
                parent.kind = "Equation"
            continue
        if not _level_with(part, parent.letters, reach):
            continue
        if part.kind == "Form" and parent.kind in ("Text", "Table"):
            parent.kind = "Form"
        parent.letters = _in_order(parent, part)
        parent.inks += part.inks if part.kind in ("Form", "Figure") else []
        part.letters, part.inks = [], []
    parts[:] = [part for part in parts if part.boxes]


def _in_order(parent: _Part, part: _Part) -> list[Letter]:
    """The letters of a block with those of a part of it, put where they stand on the line."""
    if not part.letters:
        return parent.letters
    first, letters = part.letters[0], parent.letters
    for index, letter in enumerate(letters):
        level = overlap(*letter.box[1::2], *first.box[1::2]) > 0
        if level and letter.box[0] >= first.box[2] - 1:
            return [*letters[:index], *part.letters, *letters[index:]]
    for index in reversed(range(len(letters))):
        if overlap(*letters[index].box[1::2], *first.box[1::2]) > 0:
            return [*letters[: index + 1], *part.letters, *letters[index + 1 :]]
    return [*letters, *part.letters]


def _add_fields(parts: list[_Part], content: Content) -> None:
    """Fields to fill in that no tag names are a part of the text beside them, or forms alone."""
    for box in content.fields:
        ink = Ink("path", box, None)
        whole = [part for part in parts if part.kind in WHOLE and part.boxes]
        around = next((p for p in whole if _inside(box, hull(p.boxes), 4.0)), None)
        if around is not None:
            if around.kind == "Table":
                around.kind = "Form"
            if around.kind == "Form":
                around.inks.append(ink)
            continue
        own = _Part(Block("Form"), "Form", [], [ink])
        near = (p for p in parts if p.kind in ("Text", "Form") and p.letters)
        beside = next((p for p in near if _level_with(own, p.letters, 3 * p.size)), None)
        if beside is None:
            parts.append(own)
        else:
            beside.kind = "Form"
            beside.inks.append(ink)


def _inside(box: Box, outer: Box, margin: float) -> bool:
    return (
        box[0] >= outer[0] - margin
        and box[1] >= outer[1] - margin
        and box[2] <= outer[2] + margin
        and box[3] <= outer[3] + margin
    )


def _adopt_rules(parts: list[_Part], inks: Sequence[Ink]) -> None:
    """Rules and shades of a table that are marked as artifacts, or not at all, belong to it."""
    for part in parts:
        if part.kind not in ("Table", "Form") or part.block.kind not in ("Table", "Form"):
            continue
        size = part.size or 10.0
        others = [letter for other in parts if other is not part for letter in other.letters]
        corners = np.array([letter.box for letter in others]).reshape(-1, 4)
        x0, y0, x1, y1 = hull(part.boxes)
        reach = 1.6 * size
        for ink in inks:
            if ink.kind == "image":
                continue
            a0, b0, a1, b1 = ink.box
            near = b0 >= y0 - reach and b1 <= y1 + reach and overlap(a0, a1, x0, x1) > -reach
            if not near or a1 - a0 > 1.6 * (x1 - x0) + 4 * reach:
                continue
            middle = (corners[:, :2] + corners[:, 2:]) / 2
            covers = ((middle > [a0, b0]) & (middle < [a1, b1])).all(axis=1)
            if not covers.any():
                part.inks.append(ink)


def _merge(parts: list[_Part]) -> None:
    """Lines of a listing, entries of a list of references or of contents, and fields of a form that
    follow one another become one."""
    index = 1
    while index < len(parts):
        part, last = parts[index], parts[index - 1]
        if part.kind == last.kind and _follows(last, part):
            last.letters += part.letters
            last.inks += part.inks
            del parts[index]
        else:
            index += 1


def _follows(last: _Part, part: _Part) -> bool:
    if not ((part.block.merges and last.block.merges) or part.kind == "Form"):
        return False
    if part.kind in ("Reference", "Table of contents"):
        return True  # cut in columns later
    size = max(part.size, last.size) or 10.0
    a, b = hull(last.boxes), hull(part.boxes)
    reach = 1.2 * size if part.kind == "Code" else 2.2 * size
    beside = overlap(a[0], a[2], b[0], b[2]) > -4 * size
    return (beside and -reach < b[1] - a[3] < reach) or overlap(a[1], a[3], b[1], b[3]) > 0


def _name_captions(parts: list[_Part]) -> None:
    """Which captions are a figure's, which a table's: by the element that they stand in, by their
    first word, by the elements beside them, and by what is nearest."""
    _find_captions(parts)
    for index, part in enumerate(parts):
        if part.kind != CAPTION or not part.boxes:
            continue
        text = "".join(f" {x.text}" if x.spaced else x.text for x in part.letters)
        parent = part.block.parent
        if _TABLE_WORDS.match(text):
            part.kind = "Table caption"
        elif _FIGURE_WORDS.match(text):
            part.kind = "Figure caption"
        elif parent is not None and parent.kind in _CAPTIONED:
            part.kind = _CAPTIONED[parent.kind]
        elif part.block.above in ("Table", "Figure"):
            part.kind = f"{part.block.above} caption"
        else:
            part.kind = _nearest(part, parts, index)


def _find_captions(parts: Sequence[_Part]) -> None:
    """Paragraphs that begin as captions do, right above or below a figure or table, are captions:
    programs lose the tag on the way."""
    for part in parts:
        if part.kind != "Text" or not part.letters:
            continue
        text = "".join(f" {x.text}" if x.spaced else x.text for x in part.letters[:60])
        if not _NUMBERED.match(text):
            continue
        kind = "Table" if _TABLE_WORDS.match(text) else "Figure"
        box = hull(part.boxes)
        for other in parts:
            if other.kind == kind and other.boxes:
                a = hull(other.boxes)
                gap = -overlap(a[1], a[3], box[1], box[3])
                if gap < 2 * part.size and overlap(a[0], a[2], box[0], box[2]) > 0:
                    part.kind = CAPTION


def _nearest(caption: _Part, parts: Sequence[_Part], index: int) -> str:
    """The class of a caption by the nearest figure or table."""
    box = hull(caption.boxes)
    best, least = "Figure caption", float("inf")
    for other, part in enumerate(parts):
        if part.kind not in _CAPTIONED or not part.boxes:
            continue
        a = hull(part.boxes)
        across = max(0.0, -overlap(a[0], a[2], box[0], box[2]))
        down = max(0.0, -overlap(a[1], a[3], box[1], box[3]))
        # Of two as near, the one beside it in the tree.
        distance = across + down + 0.5 * (abs(other - index) != 1)
        if distance < least:
            best, least = _CAPTIONED[part.kind], distance
    return best


def _to_regions(part: _Part) -> list[Region]:
    """The region of a block, or its fragments."""
    rows = to_rows(part.letters)
    if part.kind in WHOLE:
        return [Region(part.kind, hull(part.boxes), rows)]
    found = []
    for number, piece in enumerate(fragments(rows)):
        box = hull(row.full for row in piece)
        found.append(Region(part.kind, box, piece, part.block.level, number))
    if part.kind == "List item":  # a mark that is drawn, not written
        for ink in part.inks:
            for region in found:
                size = max(row.size for row in region.rows)
                small = max(ink.box[2] - ink.box[0], ink.box[3] - ink.box[1]) < 1.2 * size
                first = region.rows[0].full
                level = overlap(ink.box[1], ink.box[3], first[1], first[3]) > 0
                if small and level and first[0] - 3 * size < ink.box[0] < first[0]:
                    region.box = hull([region.box, ink.box])
    return found


def _furniture(
    letters: Sequence[Letter], regions: Sequence[Region], size: tuple[int, int]
) -> tuple[list[Region], list[Row], int]:
    """Heads and feet among the letters of no element: those that are marked so or stand above or
    below all else. Returns the regions, the other lines, and how many letters those have."""
    height = size[0]
    tops = [region.box[1] for region in regions]
    bottoms = [region.box[3] for region in regions]
    top, bottom = min(tops, default=height / 2), max(bottoms, default=height / 2)
    found: list[Region] = []
    loose: list[Row] = []
    stray = 0
    for owner in ("Pagination", "Artifact", None):
        for row in to_rows([letter for letter in letters if letter.owner == owner]):
            kind = "" if row.turned else _place(row, owner == "Pagination", top, bottom, height)
            if kind:
                for region in _split_row(kind, row):
                    _add_furniture(found, region)
            else:
                loose.append(row)
                stray += sum(letter.text.isalnum() for letter in row.letters)
    return found, loose, stray


def _place(row: Row, marked: bool, top: float, bottom: float, height: int) -> str:
    """Header or Footer by where a line stands; "" for neither."""
    middle = (row.box[1] + row.box[3]) / 2
    band = 0.25 if marked else BAND
    slack = 0.5 * row.size if not marked else 2 * row.size
    if middle < band * height and row.box[3] <= top + slack:
        return "Header"
    if middle > (1 - band) * height and row.box[1] >= bottom - slack:
        return "Footer"
    return ""


def _split_row(kind: str, row: Row) -> list[Region]:
    """Pieces of a head that stand apart are regions of their own."""
    groups: list[list[Letter]] = []
    for letter in sorted(row.letters, key=lambda item: item.box[0]):
        if not groups or letter.box[0] - groups[-1][-1].box[2] > 2.5 * row.size:
            groups.append([])
        groups[-1].append(letter)
    rows = [piece for group in groups for piece in to_rows(_as_written(group, row))]
    return [Region(kind, piece.full, [piece]) for piece in rows]


def _as_written(group: list[Letter], row: Row) -> list[Letter]:
    chosen = {id(letter) for letter in group}
    return [letter for letter in row.letters if id(letter) in chosen]


def _add_furniture(found: list[Region], region: Region) -> None:
    """Lines of a head one below the other are one region."""
    size = region.rows[0].size
    for other in found:
        gap = -overlap(other.box[1], other.box[3], region.box[1], region.box[3])
        beside = overlap(other.box[0], other.box[2], region.box[0], region.box[2])
        if other.kind == region.kind and gap < 0.5 * size and beside > 0:
            other.box = hull([other.box, region.box])
            other.rows += region.rows
            return
    found.append(region)


_CELL = 8
"""Pixels of a cell of the map in which drawings are looked for."""


def _unnamed(inks: Sequence[Ink], content: Content, boxes: Sequence[Box]) -> list[Box]:
    """Drawings and pictures that no tag names: what of them lies outside all regions.

    Rules, and grounds that text stands on, are none.
    """
    height, width = content.size
    centers = np.array(
        [((x.box[0] + x.box[2]) / 2, (x.box[1] + x.box[3]) / 2) for x in content.letters]
    ).reshape(-1, 2)
    rows, columns = -(-height // _CELL), -(-width // _CELL)
    covered = np.zeros((rows, columns), dtype=bool)
    for ink in inks:
        x0, y0, x1, y1 = ink.box
        if min(x1 - x0, y1 - y0) < 4 and max(x1 - x0, y1 - y0) > 0.2 * width:
            continue  # a rule
        within = ((centers > [x0, y0]) & (centers < [x1, y1])).all(axis=1).sum()
        if within > 3 or (x1 - x0) * (y1 - y0) > 0.6 * width * height:
            continue  # a ground
        covered[
            int(y0) // _CELL : int(y1) // _CELL + 1, int(x0) // _CELL : int(x1) // _CELL + 1
        ] = True
    for x0, y0, x1, y1 in boxes:
        covered[
            max(0, int(y0) // _CELL - 1) : int(y1) // _CELL + 2,
            max(0, int(x0) // _CELL - 1) : int(x1) // _CELL + 2,
        ] = False
    return [
        box
        for box in _clumps(covered)
        if min(box[2] - box[0], box[3] - box[1]) > 0.03 * height
        and BAND * height < (box[1] + box[3]) / 2 < (1 - BAND) * height
    ]


def _clumps(cells: np.ndarray) -> list[Box]:
    """Boxes of connected cells, in pixels."""
    left = {(int(y), int(x)) for y, x in np.argwhere(cells)}
    found: list[Box] = []
    while left:
        start = left.pop()
        stack, group = [start], [start]
        while stack:
            y, x = stack.pop()
            for near in ((y + j, x + i) for j in (-1, 0, 1) for i in (-1, 0, 1)):
                if near in left:
                    left.discard(near)
                    stack.append(near)
                    group.append(near)
        ys, xs = [y for y, _ in group], [x for _, x in group]
        found.append(
            (min(xs) * _CELL, min(ys) * _CELL, (max(xs) + 1) * _CELL, (max(ys) + 1) * _CELL)
        )
    return found
