"""From the regions, text lines and ruling lines of a page to its blocks in reading order.

Every line belongs to one block: to the region that holds it, or, where none does, to a paragraph of
its own that takes its place in the order.

Shapes: N regions, L lines, R ruling lines. Boxes are x0 y0 x1 y1, pixels of the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lmv3det.documents.lines import (
    Box,
    Line,
    Span,
    enclosing,
    line_from_json,
    line_to_json,
    merge_spans,
)
from lmv3det.documents.reading import lines_of_regions, region_order
from lmv3det.documents.roles import PICTURES, Role, role
from lmv3det.documents.tables import Table, find_table, table_from_json, table_to_json
from lmv3det.text.reading_order import Direction, text_direction

TOUCHED = 0.25
"""A line outside of all regions belongs to the one that covers this fraction of it."""
BESIDE = 3.0
"""Line heights: a mark of a few letters before a line of a region, so near, belongs to it."""
MARK = 6
"""Letters of such a mark at most: a bullet, a number."""
LEADING = 0.9
"""Line heights between two lines of one paragraph at most."""
SAME_SIZE = 0.2
"""Difference of the sizes of two lines of one paragraph at most, as a fraction."""
GROWN = 0.5
"""A figure grows over a picture of the PDF that has this fraction of its area in it."""


@dataclass
class Block:
    """A block of a page.

    Attributes:
        kind: what it is.
        category: class name of its region; empty for text outside of all regions.
        box: of it.
        lines: its text, in reading order, pieces of one row joined.
        region: index of its region; -1 for none.
        table: its cells, of a table whose text makes columns.
        picture: its picture, relative to the folder, or as a `data:` URL; empty without one.
    """

    kind: Role
    category: str
    box: Box
    lines: list[Line] = field(default_factory=list)
    region: int = -1
    table: Table | None = None
    picture: str = ""

    @property
    def text(self) -> str:
        """Its lines, parted by spaces."""
        return " ".join(line.text for line in self.lines)


@dataclass
class PageContent:
    """What a document is made of: the blocks of a page in reading order.

    Attributes:
        number: of the page in its file, from 1.
        width: pixels.
        height: likewise.
        blocks: in reading order, headers and footers too.
    """

    number: int
    width: float
    height: float
    blocks: list[Block] = field(default_factory=list)


@dataclass(frozen=True)
class Region:
    """A region of a page.

    Attributes:
        category: class name.
        box: of it.
        index: among the regions that were found.
    """

    category: str
    box: Box
    index: int


def page_content(
    number: int,
    size: tuple[float, float],
    regions: Sequence[Region],
    lines: Sequence[Line],
    rules: np.ndarray | None = None,
    pictures: np.ndarray | None = None,
) -> PageContent:
    """The blocks of a page.

    Args:
        number: of the page, from 1.
        size: (width, height).
        regions: N, none twice.
        lines: L.
        rules: R×4, ruling lines; None for none.
        pictures: P×4, boxes of the pictures of the PDF; None for none.
    """
    rules = np.zeros((0, 4)) if rules is None else rules
    lines = [line for line in lines if line.text.strip()]
    owned, outside = _share_out(regions, lines)
    blocks = []
    for region, members in zip(regions, owned, strict=True):
        own = [lines[k] for k in members]
        kind = role(region.category)
        block = Block(kind, region.category, region.box, _rows_joined(own), region.index)
        if kind == "table":
            block.table = find_table(region.box, own, rules)
        if kind in PICTURES:
            block.box = _grown(region.box, own, pictures if kind == "picture" else None)
        blocks.append(block)
    for group in _paragraphs([lines[k] for k in outside]):
        box = enclosing([line.box for line in group])
        blocks.append(Block("text", "", box, _rows_joined(group)))
    direction: Direction = "right"
    if lines:
        boxes = np.array([line.box for line in lines])
        direction = text_direction([line.text for line in lines], boxes)
    order = region_order(np.array([block.box for block in blocks]).reshape(-1, 4), direction)
    return PageContent(number, *size, [blocks[k] for k in order.tolist()])


def _share_out(
    regions: Sequence[Region], lines: Sequence[Line]
) -> tuple[list[list[int]], list[int]]:
    """The lines of each region in reading order, and those of none."""
    places = np.array([line.box for line in lines]).reshape(-1, 4)
    boxes = np.array([region.box for region in regions]).reshape(-1, 4)
    texts = [line.text for line in lines]
    owned = lines_of_regions(boxes, places, texts)
    held = {k for members in owned for k in members}
    outside = [k for k in range(len(lines)) if k not in held]
    more: dict[int, list[int]] = {}
    left = []
    for k in outside:
        owner = _touching(places[k], boxes, regions)
        if owner < 0:
            owner = _marked(k, lines, owned, regions)
        if owner < 0:
            left.append(k)
        else:
            more.setdefault(owner, []).append(k)
    for owner, added in more.items():
        own = owned[owner] + added
        whole = np.array([enclosing([lines[k].box for k in own])])
        again = lines_of_regions(whole, places[own], [texts[k] for k in own])[0]
        owned[owner] = [own[k] for k in again]
    return owned, left


def _touching(place: np.ndarray, boxes: np.ndarray, regions: Sequence[Region]) -> int:
    """The region that covers most of a line, and a fair part of it; -1 for none."""
    if not len(boxes):
        return -1
    low, high = np.maximum(boxes[:, :2], place[:2]), np.minimum(boxes[:, 2:], place[2:])
    shared = (high - low).clip(0).prod(axis=1) / max(float((place[2:] - place[:2]).prod()), 1e-9)
    text = np.array([role(region.category) not in ("picture", "formula") for region in regions])
    best = int((shared * text).argmax())
    return best if text[best] and shared[best] >= TOUCHED else -1


def _marked(
    k: int, lines: Sequence[Line], owned: Sequence[Sequence[int]], regions: Sequence[Region]
) -> int:
    """The region of the line that a bullet or number stands before; -1 where it stands alone."""
    line = lines[k]
    if len(line.text.strip()) > MARK:
        return -1
    x1, middle = line.box[2], (line.box[1] + line.box[3]) / 2
    for number, members in enumerate(owned):
        if role(regions[number].category) in (*PICTURES, "furniture"):
            continue
        for other in members:
            x0, y0, _, y1 = lines[other].box
            if y0 <= middle <= y1 and 0 <= x0 - x1 <= BESIDE * (y1 - y0):
                return number
    return -1


def _rows_joined(lines: Sequence[Line]) -> list[Line]:
    """Lines with neighbouring pieces of one row joined: a number and its title, a bullet and its
    text."""
    joined: list[Line] = []
    for line in lines:
        before = joined[-1] if joined else None
        if before is not None and _goes_on(before, line):
            spans = [*before.styled(), Span(" "), *line.styled()]
            known = before.spans and line.spans
            joined[-1] = Line(
                f"{before.text} {line.text}",
                enclosing([before.box, line.box]),
                max(before.size, line.size),
                merge_spans(spans) if known else [],
                [*before.words, *line.words],
            )
        else:
            joined.append(line)
    return joined


def _goes_on(before: Line, line: Line) -> bool:
    """Whether a line stands behind another in its row."""
    if before.box[0] > line.box[0]:
        return False
    middle = (line.box[1] + line.box[3]) / 2
    lower = (before.box[1] + before.box[3]) / 2
    level = before.box[1] <= middle <= before.box[3] or line.box[1] <= lower <= line.box[3]
    wide = line.box[2] - line.box[0] >= 0.5 * line.height or len(line.text) < 3
    return level and wide and line.box[0] >= before.box[2] - 0.5 * line.height


def _paragraphs(lines: Sequence[Line]) -> list[list[Line]]:
    """Lines outside of regions as paragraphs, in the order that they are given in."""
    groups: list[list[Line]] = []
    for line in lines:
        for group in reversed(groups[-4:]):
            if _below(group[-1], line):
                group.append(line)
                break
        else:
            groups.append([line])
    return groups


def _below(before: Line, line: Line) -> bool:
    """Whether a line goes on with the paragraph of another."""
    height = max(min(before.height, line.height), 1e-6)
    if abs(before.size - line.size) > SAME_SIZE * max(before.size, line.size):
        return False
    if _goes_on(before, line) and line.box[0] - before.box[2] < BESIDE * height:
        return True
    gap = line.box[1] - before.box[3]
    overlap = min(before.box[2], line.box[2]) - max(before.box[0], line.box[0])
    narrow = min(before.box[2] - before.box[0], line.box[2] - line.box[0])
    return -0.5 * height <= gap <= LEADING * height and overlap > 0.5 * narrow


def _grown(box: Box, lines: Sequence[Line], pictures: np.ndarray | None) -> Box:
    """The box of a figure with all of the letters and pictures that belong to it."""
    boxes = [box, *(line.box for line in lines)]
    if pictures is not None and len(pictures):
        low = np.maximum(pictures[:, :2], box[:2])
        high = np.minimum(pictures[:, 2:], box[2:])
        shared = (high - low).clip(0).prod(axis=1)
        area = (pictures[:, 2:] - pictures[:, :2]).prod(axis=1).clip(1e-9)
        x0, y0, x1, y1 = box
        small = area < 4 * (x1 - x0) * (y1 - y0)  # the ground of a page is no part of a figure
        for own in pictures[(shared >= GROWN * area) & small].tolist():
            boxes.append((own[0], own[1], own[2], own[3]))
    return enclosing(boxes)


def content_to_json(content: PageContent) -> dict[str, Any]:
    """A page's content as JSON holds it."""
    blocks = []
    for block in content.blocks:
        entry: dict[str, Any] = {
            "kind": block.kind,
            "category": block.category,
            "box": [round(value, 2) for value in block.box],
            "lines": [line_to_json(line) for line in block.lines],
            "region": block.region,
        }
        if block.table is not None:
            entry["table"] = table_to_json(block.table)
        if block.picture:
            entry["picture"] = block.picture
        blocks.append(entry)
    size = {"page": content.number, "width": content.width, "height": content.height}
    return {**size, "blocks": blocks}


def content_from_json(entry: dict[str, Any]) -> PageContent:
    """The content of `content_to_json`."""
    blocks = []
    for block in entry["blocks"]:
        x0, y0, x1, y1 = block["box"]
        blocks.append(
            Block(
                block["kind"],
                block["category"],
                (x0, y0, x1, y1),
                [line_from_json(line) for line in block["lines"]],
                block["region"],
                table_from_json(block["table"]) if "table" in block else None,
                block.get("picture", ""),
            )
        )
    return PageContent(entry["page"], entry["width"], entry["height"], blocks)
