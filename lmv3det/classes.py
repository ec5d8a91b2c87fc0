"""The fine classes of regions, and how they fold into the classes of known data sets.

A region is told as finely as its source tells it; whoever wants fewer classes folds them by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

FINE = (
    "Title",
    "Section header",
    "Text",
    "List item",
    "Figure",
    "Figure caption",
    "Table",
    "Table caption",
    "Header",
    "Footer",
    "Footnote",
    "Reference",
    "Equation",
    "Code",
    "Form",
    "Table of contents",
)
"""Every fine class; the place is the class index, and in COCO files the id less one."""

CDLA = (
    "Text",
    "Title",
    "Figure",
    "Figure caption",
    "Table",
    "Table caption",
    "Header",
    "Footer",
    "Reference",
    "Equation",
)
"""The ten classes of CDLA in their order. Headings of all levels are Title, footnotes Footer."""

DOCLAYNET = (
    "Caption",
    "Footnote",
    "Formula",
    "List-item",
    "Page-footer",
    "Page-header",
    "Picture",
    "Section-header",
    "Table",
    "Text",
    "Title",
)
"""The eleven classes of DocLayNet (Pfitzmann et al., 2022) in their order."""

PUBLAYNET = ("text", "title", "list", "table", "figure")
"""The five classes of PubLayNet (Zhong et al., 2019) in their order."""

_CDLA = {
    "Section header": "Title",
    "List item": "Text",
    "Footnote": "Footer",
    "Code": "Text",
    "Form": "Table",
    "Table of contents": "Text",
}
_DOCLAYNET = {
    "Section header": "Section-header",
    "List item": "List-item",
    "Figure": "Picture",
    "Figure caption": "Caption",
    "Table caption": "Caption",
    "Header": "Page-header",
    "Footer": "Page-footer",
    "Reference": "List-item",
    "Equation": "Formula",
    "Code": "Text",
    "Form": "Table",
    "Table of contents": "Table",
}
_PUBLAYNET = {
    "Title": "title",
    "Section header": "title",
    "Text": "text",
    "List item": "list",
    "Figure": "figure",
    "Figure caption": "text",
    "Table": "table",
    "Table caption": "text",
    "Header": None,
    "Footer": None,
    "Footnote": "text",
    "Reference": "list",
    "Equation": "text",
    "Code": "text",
    "Form": "table",
    "Table of contents": "list",
}

FOLDINGS: Mapping[str, Mapping[str, str | None]] = MappingProxyType(
    {
        "cdla": MappingProxyType({name: _CDLA.get(name, name) for name in FINE}),
        "doclaynet": MappingProxyType({name: _DOCLAYNET.get(name, name) for name in FINE}),
        "publaynet": MappingProxyType({name: _PUBLAYNET[name] for name in FINE}),
        "fine": MappingProxyType({name: name for name in FINE}),
    }
)
"""Name of a folding → fine class → the class that it becomes; None where the data set does not
annotate such regions."""

FOLDED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"cdla": CDLA, "doclaynet": DOCLAYNET, "publaynet": PUBLAYNET, "fine": FINE}
)
"""Name of a folding → its classes in the order of class indices."""


def folding_matrix(folding: str, names: Sequence[str] = FINE) -> list[list[float]]:
    """What folds probabilities: a model's classes by row, the folding's classes by column.

    Args:
        folding: a key of `FOLDINGS`.
        names: the model's classes, each one of `FINE` (case, spaces, `_` and `-` do not count).

    Returns:
        len(names) rows of len(FOLDED[folding]) numbers, 1 where a class becomes another, else 0. A
        row of zeros is a class that the data set does not annotate; its probability falls to
        the background.

    Raises:
        KeyError: no such folding, or a name that is no fine class.
    """
    fine = {plain_name(name): name for name in FINE}
    if unknown := [name for name in names if plain_name(name) not in fine]:
        raise KeyError(unknown[0])
    folded = [FOLDINGS[folding][fine[plain_name(name)]] for name in names]
    return [[float(name == other) for other in FOLDED[folding]] for name in folded]


_ALSO = {
    "Title": ("document title", "doc title"),
    "Section header": ("heading", "section heading", "section title", "paragraph title"),
    "Text": ("paragraph", "body text", "plain text", "abstract", "author"),
    "List item": ("list",),
    "Figure": ("picture", "image", "chart", "photo", "logo", "graphic", "illustration"),
    "Figure caption": ("caption", "image caption", "picture caption", "figure title"),
    "Table caption": ("table title",),
    "Header": ("page header", "running head"),
    "Footer": ("page footer", "page number"),
    "Reference": ("references", "bibliography"),
    "Equation": ("formula", "display formula", "isolate formula"),
    "Code": ("algorithm", "listing"),
    "Form": ("key value region", "form field"),
    "Table of contents": ("document index", "contents", "toc", "index"),
}


def nearest_class(name: str, known: Sequence[str]) -> int | None:
    """The class that a class of another name should start from.

    Args:
        name: of a class that is to be learnt.
        known: the classes of a trained model.

    Returns:
        The place in `known` of the class of this name; else of the fine class that is known by
        this name in other data sets (Picture: Figure); else of the class that this one folds into
        (Section header: Title). None where there is none.
    """
    places = {plain_name(other): number for number, other in reversed(list(enumerate(known)))}
    fine = {plain_name(also): other for other, names in _ALSO.items() for also in names}
    fine |= {plain_name(other): other for other in FINE}
    nearest = fine.get(plain_name(name))
    wanted = [name, nearest, *(FOLDINGS[folding].get(nearest or "") for folding in FOLDINGS)]
    plain = (plain_name(other) for other in wanted if other is not None)
    return next((places[other] for other in plain if other in places), None)


def plain_name(name: str) -> str:
    """A class name as names are compared: case, spaces, `_` and `-` do not count."""
    return "".join(name.casefold().replace("_", " ").replace("-", " ").split())
