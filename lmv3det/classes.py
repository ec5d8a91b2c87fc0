"""The fine classes of regions, and how they fold into the classes of known data sets.

A region is told as finely as its source tells it; whoever wants fewer classes folds them by name.
"""

from __future__ import annotations

from collections.abc import Mapping
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


def folding_matrix(folding: str) -> list[list[float]]:
    """What folds probabilities: fine classes by row, the folding's classes by column.

    Args:
        folding: a key of `FOLDINGS`.

    Returns:
        len(FINE) rows of len(FOLDED[folding]) numbers, 1 where a class becomes another, else 0. A
        row of zeros is a class that the data set does not annotate; its probability falls to
        the background.

    Raises:
        KeyError: no such folding.
    """
    names, classes = FOLDINGS[folding], FOLDED[folding]
    return [[float(names[fine] == name) for name in classes] for fine in FINE]
