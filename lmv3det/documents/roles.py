"""What the classes of common data sets are in a document."""

from __future__ import annotations

import re
from typing import Literal

Role = Literal[
    "title", "heading", "text", "list", "picture", "table", "formula", "caption", "furniture",
    "code", "footnote", "reference", "contents",
]  # fmt: skip

_ROLES: dict[str, Role] = {
    "doctitle": "title",
    "documenttitle": "title",
    "papertitle": "title",
    "title": "heading",
    "heading": "heading",
    "section": "heading",
    "sectionheader": "heading",
    "sectiontitle": "heading",
    "paragraphtitle": "heading",
    "list": "list",
    "listitem": "list",
    "figure": "picture",
    "picture": "picture",
    "image": "picture",
    "chart": "picture",
    "photo": "picture",
    "table": "table",
    "equation": "formula",
    "formula": "formula",
    "isolateformula": "formula",
    "caption": "caption",
    "figurecaption": "caption",
    "tablecaption": "caption",
    "picturecaption": "caption",
    "figuretitle": "caption",
    "tabletitle": "caption",
    "charttitle": "caption",
    "code": "code",
    "algorithm": "code",
    "listing": "code",
    "footnote": "footnote",
    "reference": "reference",
    "references": "reference",
    "bibliography": "reference",
    "tableofcontents": "contents",
    "contents": "contents",
    "documentindex": "contents",
    "header": "furniture",
    "pageheader": "furniture",
    "footer": "furniture",
    "pagefooter": "furniture",
    "pagenumber": "furniture",
    "number": "furniture",
    "abandon": "furniture",
    "headerimage": "furniture",
    "footerimage": "furniture",
}
"""Name in lower case, letters alone → role. CDLA, PubLayNet, DocLayNet, DocBank and their kin."""


def role(name: str) -> Role:
    """The role of a class by its name; `text` for names that are not known."""
    return _ROLES.get(re.sub(r"[^a-z]", "", name.casefold()), "text")


PICTURES = ("picture", "table", "formula")
"""Roles of regions that are shown as pictures."""


def is_picture(category: str, has_text: bool) -> bool:
    """Whether a document shows a region as a picture: for what it is, or because no text of it is
    known.

    Args:
        category: class name.
        has_text: whether there is text in it.
    """
    kind = role(category)
    return kind in PICTURES or (kind != "furniture" and not has_text)
