"""From the pages of a file to its document: what can be told only from all of them.

Words that are divided, levels of headings, headers and footers, paragraphs that go on in the next
column, and footnotes with their marks.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from lmv3det.documents.furniture import Furniture
from lmv3det.documents.headings import looks_like_heading, set_levels
from lmv3det.documents.lines import Box, Line, Span, merge_spans
from lmv3det.documents.lists import Item, contents_items, is_contents, list_items, reference_items
from lmv3det.documents.page import Block, PageContent
from lmv3det.documents.parts import Part
from lmv3det.documents.roles import PICTURES
from lmv3det.documents.text import (
    count_words,
    is_bullet,
    join_spans,
    list_mark,
    plain,
    running,
    vocabulary,
    without_start,
)

FAR = 0.1
"""A caption is further from its picture or table by at most this fraction of the page's height."""
FULL = 0.85
"""Fraction of its column that the last line of a paragraph takes that goes on elsewhere."""
_SENTENCE_END = re.compile(r"[.!?:;。！？：；]['\"”’»)\]]*$")
_NOTE_MARK = re.compile(r"^(\d{1,3}|[*†‡§¶])\s*(?=\S)")


@dataclass
class Document:
    """A document.

    Attributes:
        parts: in reading order.
        words: of all pages.
        left_out: of these, the words of headers and footers, which are left out on purpose.
        missing: of these, the words that are in no part; 0 where all is well.
    """

    parts: list[Part] = field(default_factory=list)
    words: int = 0
    left_out: int = 0
    missing: int = 0


def build_document(pages: Sequence[PageContent]) -> Document:
    """The document of the pages of a file.

    Args:
        pages: in their order.
    """
    known = vocabulary(line.text for page in pages for block in page.blocks for line in block.lines)
    furniture = Furniture(pages)
    body = _body_size(pages)
    document = Document()
    for page in pages:
        own: list[Block] = []
        dropped: list[Block] = []
        for block in page.blocks:
            (dropped if furniture.is_furniture(block, page) else own).append(block)
        document.left_out += sum(count_words(block.text) for block in dropped)
        document.words += sum(count_words(block.text) for block in page.blocks)
        document.parts += _page_parts(own, page, known, body)
    document.missing = (
        document.words - document.left_out - sum(part.words for part in document.parts)
    )
    document.parts = _lists_joined(_paragraphs_joined(document.parts, known))
    set_levels(document.parts, body)
    _link_notes(document.parts)
    return document


def _body_size(pages: Sequence[PageContent]) -> float:
    """The size of most letters of running text, pixels; 0 where there is none."""
    sizes: Counter[float] = Counter()
    for page in pages:
        for block in page.blocks:
            if block.kind == "text":
                for line in block.lines:
                    sizes[round(line.size, 1)] += len(line.text)
    return sizes.most_common(1)[0][0] if sizes else 0.0


def _page_parts(
    blocks: Sequence[Block], page: PageContent, known: Counter[str], body: float
) -> list[Part]:
    """The parts of a page, captions with what they belong to."""
    owners = [k for k, block in enumerate(blocks) if block.kind in ("picture", "table")]
    captions: dict[int, list[Block]] = {}
    kept = []
    for index, block in enumerate(blocks):
        owner = _owner(index, owners, blocks, page.height) if block.kind == "caption" else None
        if owner is None or not block.lines:
            kept.append(index)
        else:
            captions.setdefault(owner, []).append(block)
    parts = []
    for index in kept:
        part = _part(blocks[index], page, known, body)
        for caption in captions.get(index, []):
            part.captions.append(running(caption.lines, known))
            part.captions_first = caption.box[1] < part.box[1]
            part.words += count_words(caption.text)
        if part.words or part.picture:
            parts.append(part)
    return parts


def _owner(
    caption: int, owners: Sequence[int], blocks: Sequence[Block], height: float
) -> int | None:
    """The nearest picture or table above or below a caption, that its class allows."""
    x0, y0, x1, y1 = blocks[caption].box
    name = blocks[caption].category.casefold()
    best, least = None, FAR * height
    for owner in owners:
        kind = blocks[owner].kind
        if (kind == "table" and "figure" in name) or (kind == "picture" and "table" in name):
            continue
        ox0, oy0, ox1, oy1 = blocks[owner].box
        if min(x1, ox1) <= max(x0, ox0):  # not in the same column
            continue
        gap = max(oy0 - y1, y0 - oy1, 0)
        if gap < least:
            best, least = owner, gap
    return best


def _part(block: Block, page: PageContent, known: Counter[str], body: float) -> Part:
    """A block as a part: its kind settled by its text."""
    lines = block.lines
    part = Part("paragraph", page.number, block.box, block.category, page.width)
    part.words, part.picture = count_words(block.text), block.picture
    part.size = _median([line.size for line in lines])
    part.bold = bool(lines) and all(line.bold for line in lines)
    part.last_line = lines[-1].box if lines else block.box
    part.first_line = lines[0].box if lines else block.box
    if block.kind in PICTURES:
        part.kind = "formula" if block.kind == "formula" else block.kind  # type: ignore[assignment]
        part.table = block.table
        part.spans = running(lines, known)
        if block.kind == "table" and block.table is None and is_contents(lines):
            part.kind, part.items, part.picture = "list", contents_items(lines, known), ""
    elif not lines:
        part.kind = "picture" if block.picture else "paragraph"
    elif block.kind in ("title", "heading") and not is_bullet(lines[0].text):
        part.kind, part.spans = "heading", running(lines, known)
        part.is_title = block.kind == "title"
    elif block.kind == "contents" or is_contents(lines):
        part.kind, part.items = "list", contents_items(lines, known)
    elif block.kind == "code" or _is_code(lines):
        part.kind, part.code = "code", code_text(lines)
    elif block.kind == "reference":
        part.kind, part.items = "list", reference_items(lines, known)
    elif block.kind == "footnote" or (block.kind == "furniture" and _has_note_mark(lines)):
        part.kind, part.spans = "footnote", running(lines, known)
    elif block.kind == "list" or _is_list(lines):
        part.kind, part.items = "list", list_items(lines, known)
    else:
        part.spans = running(lines, known)
        if looks_like_heading(lines, block, body):
            part.kind = "heading"
        elif block.kind == "caption":
            part.kind = "caption"
    return part


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2] if ordered else 0.0


def _is_list(lines: Sequence[Line]) -> bool:
    """Whether lines of any class are a list: bullets stand for nothing else; dashes and numbers do,
    unless several lines begin with them at one place."""
    if is_bullet(lines[0].text):
        return True
    marked = [line for line in lines if list_mark(line.text)[0]]
    if len(marked) < 2 or not list_mark(lines[0].text)[0]:
        return False
    first = marked[0]
    return all(abs(line.box[0] - first.box[0]) <= first.height for line in marked)


def _is_code(lines: Sequence[Line]) -> bool:
    return len(lines) > 1 and all(line.mono for line in lines)


def code_text(lines: Sequence[Line]) -> str:
    """The lines of a listing with their indents, blank lines where there is room for one."""
    ordered = sorted(lines, key=lambda line: line.box[1])
    left = min(line.box[0] for line in ordered)
    widths = [(line.box[2] - line.box[0]) / len(line.text) for line in ordered if line.text]
    advance = max(_median(widths), 1e-6)
    steps = [b.box[3] - a.box[3] for a, b in itertools.pairwise(ordered)]
    step = min((s for s in steps if s > 0.5 * ordered[0].height), default=1.0)
    rows: list[str] = []
    before: Line | None = None
    for line in ordered:
        indent = round((line.box[0] - left) / advance)
        if before is not None and line.box[1] < (before.box[1] + before.box[3]) / 2:
            rows[-1] += " " * max(indent - len(rows[-1]), 1) + line.text
            continue
        if before is not None and line.box[3] - before.box[3] > 1.6 * step:
            rows.append("")
        rows.append(" " * indent + line.text)
        before = line
    return "\n".join(rows)


def _has_note_mark(lines: Sequence[Line]) -> bool:
    first = lines[0].styled()[0]
    return first.style.script == "super" or bool(re.match(r"[*†‡§¶]\s?\S", lines[0].text))


def _paragraphs_joined(parts: Sequence[Part], known: Counter[str]) -> list[Part]:
    """Parts with paragraphs joined that go on in the next column or on the next page."""
    joined: list[Part] = []
    last: int | None = None  # of the paragraph before, whatever floats stand between
    for part in parts:
        if part.kind == "paragraph":
            if last is not None and _continues(joined[last], part):
                first = joined[last]
                first.spans = join_spans([first.spans, part.spans], known)
                first.words += part.words
                first.last_line, first.box_of_last = part.last_line, part.box
                first.end_page = part.page
                continue
            last = len(joined)
        elif part.kind in ("heading", "list", "code", "formula"):
            last = None
        joined.append(part)
    return joined


def _continues(before: Part, part: Part) -> bool:
    """Whether a paragraph goes on with another one that stands in another column or page."""
    text, more = plain(before.spans), plain(part.spans)
    if not text or not more or abs(before.size - part.size) > 0.1 * max(before.size, part.size):
        return False
    end = before.box_of_last or before.box
    below = before.end_page_or_own == part.page and part.box[1] >= before.last_line[3] - 1
    same_column = below and min(end[2], part.box[2]) > max(end[0], part.box[0])
    if _SENTENCE_END.search(text):
        return False
    small = more[0].islower() or more[0] in "([,;"
    if same_column and before.end_page_or_own == part.page:
        near = part.box[1] - before.last_line[3] < 1.5 * max(part.size, 1)
        return small and near
    width = end[2] - end[0]
    full = before.last_line[2] - end[0] >= FULL * width
    indented = part.first_line[0] - part.box[0] > 0.8 * part.size
    return small or text[-1] in "-\u2010," or (full and not indented and text[-1].isalnum())


def _lists_joined(parts: Sequence[Part]) -> list[Part]:
    """Parts with neighbouring lists of one kind made one."""
    joined: list[Part] = []
    for part in parts:
        before = joined[-1] if joined else None
        if (
            before is not None
            and before.kind == part.kind == "list"
            and before.category == part.category
        ):
            # Depths of both are counted from their own left: those of one column are compared.
            shift = _shift(before, part)
            before.items += [replace(item, depth=item.depth + shift) for item in part.items]
            before.words += part.words
            before.box_of_last = part.box
            before.end_page = part.page
        else:
            joined.append(part)
    return joined


def _shift(before: Part, part: Part) -> int:
    """By how much deeper a list is than the one that it goes on with."""
    if not before.items or not part.items or before.end_page_or_own != part.page:
        return 0
    size = max(part.size, 1.0)
    lefts: dict[int, float] = {}
    for item in before.items:
        lefts.setdefault(item.depth, item.left)
    own = part.items[0].left
    if own >= max(lefts.values()) + 3 * 10 * size:  # another column
        return 0
    nearest = min(lefts, key=lambda depth: abs(lefts[depth] - own))
    if abs(lefts[nearest] - own) <= 0.7 * size:
        return nearest - part.items[0].depth
    deeper = own > lefts[nearest]
    return max(nearest + (1 if deeper else 0) - part.items[0].depth, 0)


def _link_notes(parts: Sequence[Part]) -> None:
    """Give footnotes labels, and their marks in the text too."""
    used: Counter[str] = Counter()
    for part in parts:
        if part.kind != "footnote":
            continue
        match = _NOTE_MARK.match(plain(part.spans))
        if not match:
            part.kind = "paragraph"
            continue
        mark = match[1]
        owners = [
            other for other in parts if other is not part and _has_mark(other, mark, part.page)
        ]
        used[mark] += 1
        label = mark if mark.isdigit() and used[mark] == 1 else f"{part.page}-{used[mark]}"
        if not owners:
            part.kind = "paragraph"
            continue
        part.label = label
        part.spans = without_start(part.spans, match.end())
        owners[0].spans = _with_label(owners[0].spans, mark, label)
        for number, item in enumerate(owners[0].items):
            owners[0].items[number] = replace(item, spans=_with_label(item.spans, mark, label))


def _has_mark(part: Part, mark: str, page: int) -> bool:
    if not part.page <= page <= part.end_page_or_own or part.kind in ("footnote", *PICTURES):
        return False
    spans = [*part.spans, *(span for item in part.items for span in item.spans)]
    return any(span.style.script == "super" and span.text.strip() == mark for span in spans)


def _with_label(spans: Sequence[Span], mark: str, label: str) -> list[Span]:
    found, done = [], False
    for span in spans:
        if not done and span.style.script == "super" and span.text.strip() == mark:
            span, done = replace(span, style=replace(span.style, note=label)), True
        found.append(span)
    return merge_spans(found)


__all__ = ["Box", "Document", "Item", "Part", "build_document"]
