"""The structure tree of a tagged PDF page, as PDFium reads it.

PDFium gives the elements that have content on the page, and resolves role maps by one step.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from lmv3det.errors import InputError

MAX_ELEMENTS = 50_000
"""Elements with content on one page."""
MAX_CHILDREN = 200_000
"""Children on one page, elements and pieces of content."""
MAX_COPY = 256 << 20
"""Bytes of a document whose role map is read whole."""
_ROLES = re.compile(rb"/RoleMap\s*(?:<<([^<>]*)>>|(\d+)\s+(\d+)\s+R)")
_NAME = re.compile(rb"/([^\s/<>\[\]()]+)")
MAX_DEPTH = 64
"""PDFium stops at 32 itself."""

HEADINGS = {"H": 0, **{f"H{level}": level for level in range(1, 10)}}
"""Tag → level; 0 where the tag does not tell it."""
_GROUPS = (
    "Document DocumentFragment Part Art Article Sect Section Div Aside BlockQuote NonStruct "
    "Private TR TH TD THead TBody TFoot L LBody TOCI Slide Workbook Worksheet Textbox"
)
GROUPS = frozenset(_GROUPS.split())
"""What holds other blocks; text right in it is a block of its own."""
_INLINE = "Span Link Reference Lbl Em Strong Sub Quote Ruby RB RT RP Warichu WT WP Annot"
INLINE = frozenset(_INLINE.split())
_BLOCKS = (
    "P LI Table Figure Caption Note FENote Footnote Formula TOC Index BibEntry Code Form Title "
    "Artifact"
)
BLOCKS = frozenset(_BLOCKS.split()) | frozenset(HEADINGS)
KNOWN = GROUPS | INLINE | BLOCKS


@dataclass
class Element:
    """An element of the structure tree.

    Attributes:
        kind: its tag after the role map, one of `KNOWN` where the document keeps to the standard.
        name: its tag as the document calls it: the name of a style, often.
        children: elements, and ids of marked content on this page, in order.
    """

    kind: str
    name: str
    children: list[Element | int] = field(default_factory=list)

    def walk(self) -> Iterator[Element]:
        """The element and all that are in it."""
        stack = [self]
        while stack:
            element = stack.pop()
            yield element
            stack += [child for child in reversed(element.children) if isinstance(child, Element)]

    def ids(self) -> list[int]:
        """Ids of all marked content in it, in order."""
        found: list[int] = []
        stack: list[Element | int] = [self]
        while stack:
            child = stack.pop()
            if isinstance(child, int):
                found.append(child)
            else:
                stack += reversed(child.children)
        return found


class RoleMap:
    """A document's own tags → standard tags.

    PDFium follows one step of a role map. Where a tag is still unknown, the whole map is read from
    a copy of the document as PDFium writes it, in which no object is packed.

    Args:
        document: an open document of pypdfium2; None has no map.
    """

    def __init__(self, document: Any = None) -> None:
        self.document = document
        self.steps: dict[str, str] | None = None

    def resolve(self, kind: str) -> str:
        """The standard tag at the end of a chain; the last name of a chain without one."""
        if kind in KNOWN or not kind or self.document is None:
            return kind
        if self.steps is None:
            self.steps = _read_roles(self.document)
        seen = {kind}
        while kind not in KNOWN and kind in self.steps:
            kind = self.steps[kind]
            if kind in seen:
                break
            seen.add(kind)
        return kind


class _Sink:
    """What PDFium writes to, up to a number of bytes."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0

    def write(self, data: bytes) -> int:
        self.size += len(data)
        if self.size > MAX_COPY:
            raise OverflowError
        self.parts.append(bytes(data))
        return len(data)


def _read_roles(document: Any) -> dict[str, str]:
    sink = _Sink()
    try:
        document.save(sink)
    except Exception:  # too large, or PDFium cannot write it: the map stays unknown
        return {}
    data = b"".join(sink.parts)
    steps: dict[str, str] = {}
    for found in _ROLES.finditer(data):
        text = found[1]
        if text is None:
            start = data.find(b"\n" + found[2] + b" " + found[3] + b" obj")
            end = data.find(b"endobj", start)
            text = data[start:end].partition(b"<<")[2] if 0 <= start < end else b""
        names = [_pdf_name(name) for name in _NAME.findall(text[:1_000_000])]
        steps.update(zip(names[::2], names[1::2], strict=False))
    return steps


def _pdf_name(name: bytes) -> str:
    raw = re.sub(rb"#([0-9A-Fa-f]{2})", lambda found: bytes([int(found[1], 16)]), name)
    return raw.decode("utf-8", errors="replace")


def read_tree(page: Any, roles: RoleMap) -> list[Element]:
    """The top elements of a page's structure tree; [] where the page has no tags.

    Args:
        page: an open page of pypdfium2.
        roles: of the document.

    Raises:
        InputError: more elements than are allowed.
    """
    import pypdfium2.raw as pdfium

    tree = pdfium.FPDF_StructTree_GetForPage(page)
    if not tree:
        return []
    try:
        tops = _read(pdfium, tree)
    finally:
        pdfium.FPDF_StructTree_Close(tree)
    for top in tops:
        for element in top.walk():
            element.kind = roles.resolve(element.kind)
    return tops


def _read(pdfium: Any, tree: Any) -> list[Element]:
    tops: list[Element] = []
    seen: set[int] = set()
    children = 0
    # (PDFium's element, where it goes, depth); an element that comes twice is taken once.
    stack: list[tuple[Any, list[Element | int], int]] = []
    root: list[Element | int] = []
    for index in reversed(range(min(pdfium.FPDF_StructTree_CountChildren(tree), MAX_CHILDREN))):
        stack.append((pdfium.FPDF_StructTree_GetChildAtIndex(tree, index), root, 0))
    order: list[tuple[Element, list[Any]]] = []
    while stack:
        handle, into, depth = stack.pop()
        address = ctypes.cast(handle, ctypes.c_void_p).value
        if address is None or address in seen or depth > MAX_DEPTH:
            continue
        seen.add(address)
        name = _wide(pdfium.FPDF_StructElement_GetRawType, handle, pdfium.FPDF_WCHAR)
        kind = _wide(pdfium.FPDF_StructElement_GetType, handle)
        element = Element(kind, name)
        into.append(element)
        count = pdfium.FPDF_StructElement_CountChildren(handle)
        children += max(count, 0)
        if len(seen) > MAX_ELEMENTS or children > MAX_CHILDREN:
            raise InputError(f"more than {MAX_ELEMENTS:,} tags on one page")
        # Slots keep the order, as elements are read depth first.
        slots: list[list[Element | int]] = []
        below = []
        for index in range(count):
            slot: list[Element | int] = []
            slots.append(slot)
            child = pdfium.FPDF_StructElement_GetChildAtIndex(handle, index)
            if child:
                below.append((child, slot, depth + 1))
                continue
            number = pdfium.FPDF_StructElement_GetChildMarkedContentID(handle, index)
            if number >= 0:
                slot.append(number)
        stack += reversed(below)
        order.append((element, slots))
    for element, slots in order:
        element.children = [child for slot in slots for child in slot]
    tops += [child for child in root if isinstance(child, Element)]
    return [top for top in tops if top.kind or top.children]


def _wide(get: Callable, handle: Any, unit: Any = None) -> str:
    """A UTF-16 string that PDFium hands out, at most 1000 units of it."""
    size = get(handle, None, 0)
    if not 2 < size <= 2000:
        return ""
    buffer = ctypes.create_string_buffer(size)
    get(handle, buffer if unit is None else ctypes.cast(buffer, ctypes.POINTER(unit)), size)
    return buffer.raw[: size - 2].decode("utf-16-le", errors="replace")
