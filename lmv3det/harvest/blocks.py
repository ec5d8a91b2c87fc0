"""Elements of the structure tree to blocks: what will be a region, or its fragments.

A block takes what is in its element but for other blocks: a paragraph in a list item belongs to
the item, a list in it does not; whatever is in a table belongs to the table, but for its caption
and for footnotes.
"""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass, field

from lmv3det.harvest.tags import GROUPS, HEADINGS, INLINE, KNOWN, Element

CAPTION = "Caption"
"""A caption of which it is not yet known whether a figure or a table has it."""
_KINDS = {
    "LI": "List item",
    "Table": "Table",
    "Figure": "Figure",
    "Caption": CAPTION,
    "Note": "Footnote",
    "FENote": "Footnote",
    "Footnote": "Footnote",
    "Formula": "Equation",
    "TOC": "Table of contents",
    "Index": "Table of contents",
    "BibEntry": "Reference",
    "Code": "Code",
    "Form": "Form",
    "Title": "Title",
    "P": "Text",
}
_NOTES = {"Note", "FENote", "Footnote"}
_OBJECTS = {"Table", "Figure", "Formula", "Code", "Form"}
_BREAKS_OUT: dict[str, Container[str]] = {
    "Table": {"Caption", *_NOTES},
    "Figure": {"Caption", *_NOTES},
    "Equation": (),
    "Code": (),
    "Form": (),
    CAPTION: {"Figure", "Table", *_NOTES},
    "List item": {"LI", "L", "TOC", "Index", "Caption", *_NOTES, *_OBJECTS, *HEADINGS},
    "Footnote": {"Figure", "Table"},
    "Table of contents": {"Caption", *HEADINGS},
    "Reference": (),
}
"""Kind of block → tags within it that are blocks of their own. In the others, all but `INLINE`."""
_STYLES: tuple[tuple[str, str], ...] = (
    (r"title|doc-?title|document title", "Title"),
    (r"subtitle|((user )?index|toc|contents|bibliography|table index|figure index) heading", "H"),
    (r"heading ?\d*|überschrift ?\d*", "H"),
    (r"(toc|contents|user index|index|figure index|illustration index) ?\d+|table of figures",
     "Table of contents"),
    (r"caption|illustration|figure|table|drawing|legend|beschriftung", CAPTION),
    (r"footnote|endnote|footnote text|endnote text", "Footnote"),
    (r"header|(header|head) (left|right|first)|kopfzeile", "Header"),
    (r"footer|(footer|foot) (left|right|first)|fußzeile", "Footer"),
    (r"bibliography ?\d*", "Reference"),
    (r"preformatted text|html preformatted|source ?code|code|listing|verbatim", "Code"),
)  # fmt: skip
"""Names of paragraph styles that say more than the P that they are mapped to."""
_PATTERNS = [(re.compile(pattern), kind) for pattern, kind in _STYLES]


@dataclass(eq=False)
class Block:
    """What will be a region.

    Attributes:
        kind: a fine class, or `CAPTION`.
        ids: of its marked content, in reading order.
        level: of a heading; 0 where none is told.
        parent: the block that its element stands in.
        above: the tag of the element that a caption stands in.
        anonymous: text that stands in no paragraph.
        merges: with the block before it, where the two are close: lines of one listing, entries of
            one list of references.
    """

    kind: str
    ids: list[int] = field(default_factory=list)
    level: int = 0
    parent: Block | None = None
    above: str = ""
    anonymous: bool = False
    merges: bool = False


@dataclass
class Blocks:
    """The blocks of a page in reading order.

    Attributes:
        found: the blocks.
        artifacts: ids of content that the tree itself calls an artifact.
        unknown: tags that are not known, with text right in them.
    """

    found: list[Block] = field(default_factory=list)
    artifacts: set[int] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)


def to_blocks(tops: Sequence[Element], drawn: set[int]) -> Blocks:
    """The blocks of a page.

    Args:
        tops: its structure tree.
        drawn: ids of marked content with something else than text in it.
    """
    walk = _Walk(drawn)
    walk.children(tops, None, "")
    return walk.blocks


class _Walk:
    def __init__(self, drawn: set[int]) -> None:
        self.drawn, self.blocks = drawn, Blocks()

    def children(self, children: Sequence[Element | int], block: Block | None, above: str) -> None:
        """What is in an element, whose content goes to `block`; None: each run of text is one."""
        own: Block | None = None
        # Code and formulas beside text that stands in no paragraph are words of it.
        mixed = any(isinstance(child, int) or _is_inline(child) for child in children)
        for child in children:
            if block is not None:
                self._child(child, block, above)
            elif mixed and isinstance(child, Element) and child.kind in ("Code", "Formula"):
                own = own or self._new(Block("Text", anonymous=True))
                own.ids += child.ids()
            elif isinstance(child, int) or _is_inline(child):
                if own is None:
                    own = self._new(Block("Text", anonymous=True))
                self._child(child, own, above)
            else:
                own = None
                self._child(child, None, above)

    def _child(self, child: Element | int, block: Block | None, above: str) -> None:
        if isinstance(child, int):
            if block is not None:
                block.ids.append(child)
            return
        kind = child.kind
        if kind == "Artifact":
            self.blocks.artifacts.update(child.ids())
        elif block is not None and self._stays(kind, child.name, block):
            if kind == "BibEntry" and block.kind == "List item":
                block.kind, block.merges = "Reference", True
            self.children(child.children, block, above)
        elif self._is_frame(child):
            self.children(child.children, None, kind)
        elif kind in _KINDS or kind in HEADINGS:
            new = self._new(self._block(child, block, above))
            self.children(child.children, new, kind)
        else:
            if kind not in KNOWN:
                if any(isinstance(inner, int) for inner in child.children):
                    self.blocks.unknown.add(child.name)
                self.children(child.children, block, above)
                return
            # For captions, a mere group is what it stands in.
            self.children(child.children, None, above if kind in ("NonStruct", "Div") else kind)

    def _is_frame(self, element: Element) -> bool:
        """Whether a table or figure only places what is in it."""
        if element.kind == "Table":
            return _is_layout(element)
        return element.kind == "Figure" and self._holds_others(element)

    def _stays(self, kind: str, name: str, block: Block) -> bool:
        """Whether an element belongs to the block that it stands in."""
        if block.kind in _BREAKS_OUT:
            out = kind in _BREAKS_OUT[block.kind]
            if kind == "P" and block.kind in ("Table of contents", "List item"):
                out = _style(name) == "H"
            return not out
        return kind in INLINE or (kind not in _KINDS and kind not in HEADINGS
                                  and kind not in GROUPS - {"NonStruct"})  # fmt: skip

    def _block(self, element: Element, parent: Block | None, above: str) -> Block:
        kind = _KINDS.get(element.kind, "Section header")
        level = HEADINGS.get(element.kind, 0)
        merges = kind in ("Reference", "Table of contents")
        if element.kind == "P":
            style = _style(element.name)
            if style == "H":
                kind, level = "Section header", _level(element.name)
            elif style is not None:
                kind = style
                merges = style in ("Code", "Reference", "Table of contents")
        elif element.kind in HEADINGS and _style(element.name) == "Title":
            kind = "Title"
        if kind == CAPTION and above in ("TOC", "Index"):
            kind = "Section header"
        return Block(kind, level=level, parent=parent, above=above, merges=merges)

    def _new(self, block: Block) -> Block:
        self.blocks.found.append(block)
        return block

    def _holds_others(self, figure: Element) -> bool:
        """Whether a figure is only a frame: around a table, a listing, or paragraphs."""
        inner = [element for child in figure.children if isinstance(child, Element)
                 for element in child.walk()]  # fmt: skip
        kinds = {element.kind for element in inner}
        captions = {number for element in inner if element.kind == "Caption"
                    for number in element.ids()}  # fmt: skip
        if self.drawn & (set(figure.ids()) - captions):
            return "Table" in kinds and "Figure" not in kinds
        return bool(kinds & {"Table", "Code", "P", "BlockQuote", "L", "Formula"})


def _is_inline(element: Element) -> bool:
    """Whether text in it runs on with what stands beside it."""
    if element.kind in INLINE:
        return all(isinstance(child, int) or _is_inline(child) for child in element.children)
    return element.kind == "NonStruct" and all(isinstance(c, int) for c in element.children)


def _is_layout(table: Element) -> bool:
    """Whether a table only places things: it has headings, another table or a single cell in it."""
    inner = [element for child in table.children if isinstance(child, Element)
             for element in child.walk()]  # fmt: skip
    kinds = [element.kind for element in inner]
    if "Table" in kinds or any(kind in HEADINGS for kind in kinds):
        return True
    return kinds.count("TD") + kinds.count("TH") == 1 and "TR" in kinds


def _style(name: str) -> str | None:
    """What the name of a paragraph style says; "H" for a heading."""
    plain = re.sub(r"[\s_]+", " ", name.replace("#20", " ")).strip().casefold()
    for pattern, kind in _PATTERNS:
        if pattern.fullmatch(plain):
            return kind
    return None


def _level(name: str) -> int:
    found = re.search(r"\d+$", name)
    return int(found[0][:2]) if found else 0
