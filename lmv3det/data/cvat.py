"""An export of CVAT, "CVAT for images 1.1" or "CVAT for video 1.1": one XML file."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import numpy as np

from lmv3det.data.archive import AnnotationFile
from lmv3det.data.limits import max_pixels
from lmv3det.data.shapes import ellipse, turned_box
from lmv3det.data.tool_pages import ToolPages
from lmv3det.errors import InputError
from lmv3det.files import are_numbers, as_int, is_number

_CORNERS = ("xtl", "ytl", "xbr", "ybr")
_NO_REGIONS = frozenset(("tag", "points", "polyline", "skeleton", "cuboid"))
"""Types of labels that no region can have."""


def read_cvat(file: AnnotationFile, pages: ToolPages) -> dict[str, list[dict[str, Any]]]:
    """The pages of an export. Boxes, polygons, ellipses and masks are regions; other shapes are
    left out. Of a video every frame with shapes is a page.

    Returns:
        The lists of a COCO file; the classes in the order of the task's labels.

    Raises:
        InputError: no such XML.
    """
    try:
        content = file.read()
        if b"<!ENTITY" in content:  # CVAT writes none, and they can grow without end
            raise InputError(f"{file}: XML with entities of its own, which CVAT does not write")
        root = ElementTree.fromstring(content)
    except InputError:
        raise
    except (OSError, ElementTree.ParseError, LookupError, ValueError, RecursionError) as error:
        raise InputError(f"{file}: not XML ({error})") from None
    images, tracks = root.findall("image"), root.findall("track")
    if root.tag != "annotations" or not (images or tracks):
        other = ""
        if root.tag == "annotation" and root.find("object/bndbox") is not None:
            other = ", but Pascal VOC, a file a page"
        raise InputError(
            f'{file}: not "CVAT for images 1.1"{other}, which has annotations with an image each '
            "page; export the task in this format"
        )
    for image in images:
        name, subset = image.get("name", ""), image.get("subset", "")
        if subset and pages.folder.find(f"{subset}/{name}") == f"{subset}/{name}":
            name = f"{subset}/{name}"
        page = pages.add_page(name, as_int(image.get("width")), as_int(image.get("height")))
        for number, shape in enumerate(image):
            _add_or_tell(pages, page, shape, f"image {image.get('id')} ({name}) shape {number}")
    if tracks:
        _read_video(root, tracks, pages)
    labels = [_label(one) for one in root.findall("meta//labels/label")]
    return pages.lists([label for label in labels if label])


def _label(label: ElementTree.Element) -> str:
    """The name of a label of a task; "" of a part of a skeleton, and of others that no region can
    have."""
    if label.find("parent") is not None or label.findtext("type") in _NO_REGIONS:
        return ""
    return label.findtext("name") or ""


def _read_video(
    root: ElementTree.Element, tracks: list[ElementTree.Element], pages: ToolPages
) -> None:
    """The frames of a video, of which each track has its shapes."""
    size = root.find("meta//original_size")
    width, height = (
        None if size is None else as_int(size.findtext(side)) for side in ("width", "height")
    )
    frames: dict[int, list[tuple[str, ElementTree.Element]]] = {}
    for track in tracks:
        where = f"track {track.get('id')}"
        for number, shape in enumerate(track):
            if shape.get("outside") == "1":  # not on this frame
                continue
            frame = as_int(shape.get("frame"))
            if frame is None or frame < 0:
                problem = f"frame {shape.get('frame')!r:.40}"
                pages.report.add("malformed shape", f"{where} shape {number}", problem, "left out")
                continue
            if shape.get("label") is None and track.get("label") is not None:
                shape.set("label", track.get("label", ""))
            frames.setdefault(frame, []).append((f"{where} shape {number}", shape))
    for frame, shapes in sorted(frames.items()):
        name = f"frame_{frame:06d}"
        page = pages.add_page(name, width, height)
        for where, shape in shapes:
            _add_or_tell(pages, page, shape, f"{name}, {where}")


def _add_or_tell(pages: ToolPages, page: int, shape: ElementTree.Element, where: str) -> None:
    try:
        problem = _add(pages, page, shape, where)
    except ValueError:
        problem = f"a {shape.tag} of {dict(shape.attrib)!r:.80}"
    if problem:
        pages.report.add("malformed shape", where, problem, "left out")


def _add(pages: ToolPages, page: int, shape: ElementTree.Element, where: str) -> str | None:
    """Add a shape; what is wrong with it where it is no region.

    Raises:
        ValueError: its numbers are none.
    """
    label, get = shape.get("label"), shape.get
    if shape.tag == "tag":  # of the whole page
        return None
    if shape.tag not in ("box", "polygon", "ellipse", "mask"):
        return f"a {shape.tag}, which has no area"
    if not label:
        return "no label"
    if shape.tag == "mask":
        return _add_mask(pages, page, shape, label, where)
    turn = float(get("rotation", "0"))
    if shape.tag == "polygon":
        points = np.array([pair.split(",") for pair in get("points", "").split(";")], np.float64)
        if len(points) < 3 or points.ndim != 2 or points.shape[1] != 2:
            raise ValueError
    elif shape.tag == "ellipse":
        values = [float(get(key, "nan")) for key in ("cx", "cy", "rx", "ry")]
        if not are_numbers([*values, turn]) or min(values[2:]) <= 0:
            raise ValueError
        points = ellipse(values[:2], values[2:], turn)
    else:
        points = np.array([float(get(key, "nan")) for key in _CORNERS]).reshape(2, 2)
    if not all(map(is_number, points.ravel().tolist())) or not is_number(turn):
        raise ValueError
    if turn and shape.tag == "box":
        points = turned_box((*points[0], *(points[1] - points[0])), turn)
    pages.add_region(page, label, points, shape.tag == "box" and not turn)
    return None


def _add_mask(
    pages: ToolPages, page: int, shape: ElementTree.Element, label: str, where: str
) -> str | None:
    """Add a mask: lengths of runs of 0 and 1 in turn, row by row of its box. Where they do not
    fill it, the box is the region."""
    numbers = [float(shape.get(key, "nan")) for key in ("left", "top", "width", "height")]
    if not are_numbers(numbers):
        raise ValueError
    left, top, width, height = map(int, numbers)
    if width <= 0 or height <= 0:
        raise ValueError
    try:
        runs = [int(text) for text in shape.get("rle", "").split(",")]
    except ValueError:
        runs = []
    size = width * height
    if min(runs, default=-1) < 0 or sum(runs) != size or size > max_pixels():
        problem = f"its rle does not fill {width}×{height} pixels"
        pages.report.add("malformed mask", where, problem, "the box taken")
        box = np.array([[left, top], [left + width, top + height]], dtype=np.float64)
        pages.add_region(page, label, box, True)
        return None
    mask = np.repeat(np.arange(len(runs)) % 2 > 0, runs).reshape(height, width)
    return pages.add_mask(page, label, mask, left, top)
