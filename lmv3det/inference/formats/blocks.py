"""From the regions of a page to the blocks of a document, which Markdown and HTML write down."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from lmv3det.inference.entries import PageEntry, RegionEntry
from lmv3det.inference.formats import Pages, in_order
from lmv3det.inference.formats.roles import Role, is_picture, role
from lmv3det.ocr.engine import join_words
from lmv3det.ocr.names import UniqueNames

HYPHENS = "-\u2010\u00ad"
"""What divides a word at the end of a line: hyphen-minus, hyphen, soft hyphen."""
FAR = 0.1
"""A caption is further from its picture or table by at most this fraction of the page's height."""


@dataclass
class Block:
    """A block of a document.

    Attributes:
        role: what it is.
        text: its text, in one line.
        items: the items of a list.
        picture: its picture, relative to the folder, or as a `data:` URL; empty without one.
        category: class name.
        captions: texts of the captions of a picture or table.
    """

    role: Role
    text: str
    items: list[str]
    picture: str
    category: str
    captions: list[str] = field(default_factory=list)


def page_blocks(page: PageEntry) -> list[Block]:
    """The blocks of a page in reading order: captions with what they belong to, headers and
    footers left out."""
    regions = [r for r in in_order(page) if role(r["category"]) != "furniture"]
    blocks = [_block(region) for region in regions]
    owners = [k for k, b in enumerate(blocks) if b.role in ("picture", "table")]
    kept = []
    for index, block in enumerate(blocks):
        owner = _owner(index, owners, regions, page["height"]) if block.role == "caption" else None
        if owner is None or not block.text:
            kept.append(index)
        else:
            blocks[owner].captions.append(block.text)
    return [blocks[index] for index in kept]


def _block(region: RegionEntry) -> Block:
    kind, lines = role(region["category"]), region.get("lines", [])
    return Block(
        kind,
        join_lines(lines),
        list_items(lines) if kind == "list" or _is_list(lines) else [],
        region.get("picture", "") if is_picture(region) else "",
        region["category"],
    )


def _owner(
    caption: int, owners: Sequence[int], regions: Sequence[RegionEntry], height: float
) -> int | None:
    """The nearest picture or table above or below a caption, that its class allows."""
    x, y, w, h = regions[caption]["bbox"]
    name = regions[caption]["category"].casefold()
    best, least = None, FAR * height
    for owner in owners:
        kind = role(regions[owner]["category"])
        if (kind == "table" and "figure" in name) or (kind == "picture" and "table" in name):
            continue
        ox, oy, ow, oh = regions[owner]["bbox"]
        if min(x + w, ox + ow) <= max(x, ox):  # not in the same column
            continue
        gap = max(oy - (y + h), y - (oy + oh), 0)
        if gap < least:
            best, least = owner, gap
    return best


def join_lines(lines: Sequence[str]) -> str:
    """Lines as one text: no space between Chinese characters, and none within divided words."""
    parts: list[str] = []
    end = ""  # of what is there: looking at all of it again for each line takes quadratic time
    spaced = False
    for line in map(str.strip, lines):
        if not line:
            continue
        if _is_divided(end, line):
            parts[-1], end = parts[-1][:-1], end[:-1]
        elif parts:
            parts.append(" ")
            end += " "
            spaced = True
        parts.append(line)
        end = (end + line[-4:])[-4:]
    text = "".join(parts)
    return join_words([text]) if spaced else text


def _is_divided(text: str, line: str) -> bool:
    """Whether a text ends in the middle of a word that a line goes on with, in any alphabet."""
    if not (len(text) > 1 and text[-1] in HYPHENS and line and line[0].isalpha()):
        return False
    before = text[-2]
    if unicodedata.category(before)[0] == "M":  # an accent of its own
        before = text[-3:-2] or before
    if text[-1] == "\u00ad":
        return before.isalpha()
    # Chinese has no hyphens, and in Hebrew and Arabic they join words.
    if unicodedata.east_asian_width(before) == "W" or unicodedata.bidirectional(before) != "L":
        return False
    return before.isalpha() and before == before.lower() and line[0] == line[0].lower()


_MARK = re.compile(r"^[•○■▪◦·]\s")
_BULLET = re.compile(r"^(?:[-–—•●○■▪◦·*]|\(?\d{1,3}[.)]|\(?[a-z][.)]|\[\d+\])\s+")


def _is_list(lines: Sequence[str]) -> bool:
    """Whether lines of any class are a list: bullets stand for nothing else."""
    return bool(lines) and _MARK.match(lines[0]) is not None


def list_items(lines: Sequence[str]) -> list[str]:
    """The items of a list, each begun by a bullet or a number; their bullets are left out."""
    items: list[list[str]] = []
    for line in lines:
        if not items or _BULLET.match(line):
            items.append([])
        items[-1].append(_BULLET.sub("", line) if not items[-1] else line)
    return [join_lines(item) for item in items]


def picture_link(picture: str) -> str:
    """A block's picture as the link to it."""
    return picture if picture.startswith("data:image/") else quote(os.fsencode(picture))


def documents(pages: Pages) -> Iterator[tuple[str, list[PageEntry]]]:
    """The pages of each file: (path of the file, its pages)."""
    current: list[PageEntry] = []
    for page in pages():
        if current and page["file"] != current[0]["file"]:
            yield current[0]["file"], current
            current = []
        current.append(page)
    if current:
        yield current[0]["file"], current


def document_names(pages: Pages, suffix: str) -> Iterator[tuple[str, list[PageEntry]]]:
    """The pages of each file: (name of the document to write, its pages)."""
    names = UniqueNames()
    for file, own in documents(pages):
        yield names.new(Path(file).stem, suffix), own
