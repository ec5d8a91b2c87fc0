"""A page of a tagged PDF as training data: regions and words, or why it is left out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lmv3det.errors import InputError
from lmv3det.harvest.content import Box, read_content
from lmv3det.harvest.lines import overlap
from lmv3det.harvest.regions import INKED, PageRegions, Region, find_regions
from lmv3det.harvest.tags import RoleMap, read_tree

OUTSIDE = 0.02
"""A region may reach over the page's edge by this part of the page's side."""
OVERLAP = 0.2
"""Two regions may have this part of the smaller one in common."""
INK = 12
"""Grey levels (of 255) by which a region must differ within itself to show anything."""
WHITE = 250
"""What is darker is ink, on white paper."""


@dataclass
class PageLabels:
    """What a page gives.

    Attributes:
        size: (height, width) in pixels.
        regions: with boxes in pixels.
        lines: text and box of every line of words on the page.
        reasons: why the page cannot be trusted; none where it can be.
        untagged: the share of its letters and digits that no tag names.
    """

    size: tuple[int, int]
    regions: list[Region] = field(default_factory=list)
    lines: list[tuple[str, Box]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    untagged: float = 0.0


def read_labels(
    page: Any, image: np.ndarray, scale: float, roles: RoleMap, most_untagged: float
) -> PageLabels:
    """Regions and words of a page by its tags.

    Args:
        page: an open page of pypdfium2.
        image: H×W×3 uint8 RGB, the page drawn at `scale`.
        scale: pixels a point.
        roles: the document's.
        most_untagged: the share of letters and digits without a tag that is let pass.

    Raises:
        InputError: it holds more than is allowed.
    """
    size = image.shape[0], image.shape[1]
    labels = PageLabels(size)
    content = read_content(page, scale)
    if content.size != size:
        raise InputError(f"drawn as {size[1]}×{size[0]} pixels, not as {content.size[::-1]}")
    tops = read_tree(page, roles)
    if not content.letters and not content.inks:
        labels.reasons.append("nothing on it")
        return labels
    if not tops:
        labels.reasons.append("no tags on it")
        return labels
    found = find_regions(tops, content)
    grey = image.mean(axis=2)
    for region in found.regions:
        if region.kind in INKED:
            region.box = _cut_at_ink(region.box, grey)
    labels.regions = found.regions
    rows = [row for region in found.regions for row in region.rows] + found.loose
    labels.lines = [piece for row in rows for piece in row.pieces()]
    labels.untagged = found.stray / max(1, found.letters)
    labels.reasons = _faults(found, grey, content.hidden, labels.untagged, most_untagged)
    _clip(labels)
    return labels


def _cut_at_ink(box: Box, grey: np.ndarray) -> Box:
    """A box cut at the ink in it: a picture may have white margins, and PDFium's boxes of sharp
    bends reach further than the line."""
    height, width = grey.shape
    left, top = max(0, math.floor(box[0])), max(0, math.floor(box[1]))
    right, bottom = min(width, math.ceil(box[2])), min(height, math.ceil(box[3]))
    ink = grey[top:bottom, left:right] < WHITE
    columns, rows = np.flatnonzero(ink.any(axis=0)), np.flatnonzero(ink.any(axis=1))
    if len(columns) == 0:
        return box
    return (
        max(box[0], float(left + columns[0])),
        max(box[1], float(top + rows[0])),
        min(box[2], float(left + columns[-1] + 1)),
        min(box[3], float(top + rows[-1] + 1)),
    )


def _faults(
    found: PageRegions, grey: np.ndarray, hidden: int, untagged: float, most_untagged: float
) -> list[str]:
    """Why a page cannot be trusted."""
    faults = []
    if not found.regions:
        faults.append("no region on it")
    if found.unknown:
        faults.append(f"unknown tags: {', '.join(sorted(found.unknown)[:5])}")
    if untagged > most_untagged:
        faults.append(f"untagged text: {untagged:.0%} of the letters")
    if hidden > most_untagged * max(1, found.letters):
        faults.append(f"hidden text: {hidden} letters are there but not drawn")
    if found.unnamed:
        x0, y0, x1, y1 = found.unnamed[0]
        faults.append(f"untagged drawing: {_count(found.unnamed)} at {_at((x0, y0, x1, y1))}")
    blank = [region for region in found.regions if not _shows(region.box, grey)]
    for kind in ("Figure", "Table"):
        number = found.empty.count(kind) + sum(region.kind == kind for region in blank)
        if number:
            faults.append(f"empty {kind.lower()}: {number}")
    unseen = [region for region in blank if region.kind not in ("Figure", "Table")]
    if unseen:
        faults.append(f"text that cannot be seen: {unseen[0].kind} at {_at(unseen[0].box)}")
    outside = [region for region in found.regions if _is_outside(region.box, grey.shape)]
    if outside:
        faults.append(f"region outside: {outside[0].kind} at {_at(outside[0].box)}")
    pairs = overlapping(found.regions)
    if pairs:
        one, two = pairs[0]
        faults.append(
            f"overlapping regions: {len(pairs)}, such as {one.kind} and {two.kind} at "
            f"{_at(two.box)}"
        )
    return faults


def _count(boxes: list[Box]) -> str:
    return "one" if len(boxes) == 1 else f"{len(boxes)}, the first"


def _at(box: Box) -> str:
    return " ".join(f"{value:.0f}" for value in box)


def _shows(box: Box, grey: np.ndarray) -> bool:
    """Whether anything can be seen in a box; a field of one colour stands out from around it."""
    x0, y0 = max(0, math.floor(box[0]) - 3), max(0, math.floor(box[1]) - 3)
    part = grey[y0 : math.ceil(box[3]) + 3, x0 : math.ceil(box[2]) + 3]
    return part.size > 0 and float(part.max() - part.min()) >= INK


def _is_outside(box: Box, size: tuple[int, ...]) -> bool:
    height, width = size
    across, down = OUTSIDE * width, OUTSIDE * height
    return box[0] < -across or box[1] < -down or box[2] > width + across or box[3] > height + down


def overlapping(regions: list[Region]) -> list[tuple[Region, Region]]:
    """Pairs of regions that have more than `OVERLAP` of the smaller one in common."""
    found = []
    for index, one in enumerate(regions):
        for two in regions[index + 1 :]:
            across = overlap(one.box[0], one.box[2], two.box[0], two.box[2])
            down = overlap(one.box[1], one.box[3], two.box[1], two.box[3])
            if min(across, down) <= 2:
                continue
            least = min(_area(one.box), _area(two.box))
            if across * down > OVERLAP * least:
                found.append((one, two))
    return found


def _area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def _clip(labels: PageLabels) -> None:
    """Cut boxes at the page's edges; what is nothing then goes."""
    height, width = labels.size

    def inside(box: Box) -> Box:
        x0, y0, x1, y1 = box
        return (
            min(max(x0, 0.0), width),
            min(max(y0, 0.0), height),
            min(max(x1, 0.0), width),
            min(max(y1, 0.0), height),
        )

    for region in labels.regions:
        region.box = inside(region.box)
    labels.regions = [region for region in labels.regions if _area(region.box) > 4]
    lines = [(text, inside(box)) for text, box in labels.lines]
    labels.lines = [(text, box) for text, box in lines if text and _area(box) > 0]
