"""An export of CVAT, "CVAT for images 1.1": one XML file."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from lmv3det.data.tool_pages import ToolPages, turned_box
from lmv3det.errors import InputError
from lmv3det.files import is_number

_CORNERS = ("xtl", "ytl", "xbr", "ybr")


def read_cvat(path: Path, pages: ToolPages) -> dict[str, list[dict[str, Any]]]:
    """The pages of an export. Boxes and polygons are regions; other shapes are left out.

    Returns:
        The lists of a COCO file; the classes in the order of the task's labels.

    Raises:
        InputError: no such XML.
    """
    try:
        content = path.read_bytes()
        if b"<!ENTITY" in content:  # CVAT writes none, and they can grow without end
            raise InputError(f"{path}: XML with entities of its own, which CVAT does not write")
        root = ElementTree.fromstring(content)
    except (OSError, ElementTree.ParseError, LookupError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not XML ({error})") from None
    images = root.findall("image")
    if root.tag != "annotations" or not images:
        raise InputError(
            f'{path}: not "CVAT for images 1.1", which has annotations with an image each page; '
            "export the task in this format"
        )
    for image in images:
        width, height = (_whole(image.get(key)) for key in ("width", "height"))
        name = image.get("name", "")
        page = pages.add_page(pages.find(name), width, height)
        for number, shape in enumerate(image):
            problem = _add(pages, page, shape)
            if problem:
                where = f"image {image.get('id')} ({name}) shape {number}"
                pages.report.add("malformed shape", where, problem, "left out")
    labels = [one.text or "" for one in root.findall("meta//labels/label/name")]
    return pages.lists([label for label in labels if label])


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() and len(text) < 20 else None


def _add(pages: ToolPages, page: int, shape: ElementTree.Element) -> str | None:
    """Add a shape; what is wrong with it where it is no region."""
    label, get = shape.get("label"), shape.get
    if shape.tag == "tag":  # of the whole page
        return None
    if shape.tag not in ("box", "polygon"):
        return f"a {shape.tag}, not a box or a polygon"
    if not label:
        return "no label"
    try:
        if shape.tag == "polygon":
            pairs = [pair.split(",") for pair in get("points", "").split(";")]
            points = np.array(pairs, dtype=np.float64)
            turn = 0.0
        else:
            points = np.array([float(get(key, "nan")) for key in _CORNERS]).reshape(2, 2)
            turn = float(get("rotation", "0"))
    except ValueError:
        points, turn = np.full((1, 2), np.nan), 0.0
    fits = points.ndim == 2 and points.shape[1] == 2 and all(map(is_number, points.flat))
    if not fits or not is_number(turn) or (shape.tag == "polygon" and len(points) < 3):
        return f"a {shape.tag} of {dict(shape.attrib)!r:.80}"
    if turn:
        points = turned_box((*points[0], *(points[1] - points[0])), turn)
    pages.add_region(page, label, points, shape.tag == "box" and not turn)
    return None
