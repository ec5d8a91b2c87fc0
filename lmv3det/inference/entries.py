"""What `predict` writes of a page into detections.json, and the server answers."""

from __future__ import annotations

from typing import Any, TypedDict


class _Region(TypedDict):
    bbox: list[float]
    score: float
    category: str


class RegionEntry(_Region, total=False):
    """A region.

    Attributes:
        bbox: x, y, w, h in pixels of the page.
        score: 0 to 1.
        category: class name.
        polygon: four corners [x, y] on a page that was turned upright, from the upper left of the
            region as it is read, clockwise; `bbox` is the box around them.
        segmentation: its mask, COCO run lengths.
        order: its number in reading order, from 0; a region without one belongs to no document.
        lines: the text lines in it.
        text: these lines, joined.
        picture: its picture, relative to the folder that is written to.
    """

    polygon: list[list[float]]
    segmentation: dict[str, Any]
    order: int
    lines: list[str]
    text: str
    picture: str


class _Page(TypedDict):
    file: str
    page: int


class PageEntry(_Page, total=False):
    """A page.

    Attributes:
        file: that it comes from.
        page: its number in the file, from 1.
        width: pixels.
        height: pixels.
        detections: its regions by falling score.
        turned: how it was turned upright: `quarters` times 90°, then by `skew` degrees, both
            anticlockwise; not there where it was not.
        drawing: the drawing of it, relative to the folder that is written to.
        image: its image, likewise.
        picture: its image as a `data:` URL.
        content: what documents are made of (`lmv3det.documents.page.content_to_json`); it is not in
            detections.json.
        text_lines: `bbox` (x, y, w, h) and `text` of its text lines.
        error: what was wrong with a page that could not be read, which has no more than this.
    """

    width: int
    height: int
    turned: dict[str, float]
    drawing: str
    image: str
    picture: str
    content: dict[str, Any]
    text_lines: list[dict[str, Any]]
    error: str
    detections: list[RegionEntry]


def detections_last(entry: PageEntry) -> PageEntry:
    """The entry with its detections behind all else, because they are long."""
    found = entry["detections"]
    ordered = entry.copy()
    del ordered["detections"]
    ordered["detections"] = found
    return ordered
