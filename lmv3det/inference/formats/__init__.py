"""What `predict` writes beside detections.json: one module a format.

A module has `write(pages, out, names) -> list[Path]`, and says what it needs of each page:
`NEEDS_PICTURES` the regions that are shown as pictures, cut out, `NEEDS_CONTENT` its text lines and
what a PDF says of them, `NEEDS_IMAGES` the whole page as an image file. `pages` is a function, so
that pages can be read more than once, one at a time; they are the entries of detections.json.
`names` are the class names by class index.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lmv3det.errors import InputError
from lmv3det.inference.entries import PageEntry, RegionEntry

Pages = Callable[[], Iterator[PageEntry]]

FORMATS = {
    "json": "detections.json alone, which is always written",
    "coco": "coco.json, a data set with the pages as images/",
    "markdown": "a .md a file, in reading order",
    "html": "a .html a file, in reading order",
    "chunks": "a .jsonl a file: its parts with the headings above them, for retrieval",
    "labelme": "images/ with a .json each, to correct in labelme",
    "label-studio": "label_studio.json with images/, to correct in Label Studio",
    "cvat": "cvat.xml with images/, to correct in CVAT",
}
"""Format → what it is."""


@dataclass
class Format:
    """A format: what it needs of each page, and what writes it."""

    needs_pictures: bool
    needs_content: bool
    needs_images: bool
    write: Callable[[Pages, Path, Sequence[str]], list[Path]]


def load_format(name: str) -> Format:
    """The format of a name.

    Raises:
        InputError: there is none of this name.
    """
    if name not in FORMATS:
        near = difflib.get_close_matches(str(name), FORMATS, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise InputError(f"format {name!r} is not one of {', '.join(FORMATS)}{hint}")
    if name == "json":
        return Format(False, False, False, lambda pages, out, names: [])
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    return Format(
        getattr(module, "NEEDS_PICTURES", False),
        getattr(module, "NEEDS_CONTENT", False),
        getattr(module, "NEEDS_IMAGES", False),
        module.write,
    )


def in_order(page: PageEntry) -> list[RegionEntry]:
    """The regions of a page that belong to a document, in reading order."""
    regions = [region for region in page["detections"] if "order" in region]
    return sorted(regions, key=lambda region: region["order"])
