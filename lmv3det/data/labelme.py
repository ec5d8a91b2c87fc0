"""Files of LabelMe and X-AnyLabeling, one JSON a page."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from lmv3det.data.archive import AnnotationFile
from lmv3det.data.shapes import read_points
from lmv3det.data.tool_pages import ToolPages
from lmv3det.errors import InputError

_POLYGONS = frozenset(("polygon", "rotation", "quadrilateral", "oriented_rectangle"))
_BOXES = frozenset(("rectangle", "mask"))


def read_labelme(
    files: Sequence[AnnotationFile], folder: Path, pages: ToolPages
) -> dict[str, list[dict[str, Any]]]:
    """The pages of some files.

    Rectangles and shapes of corners are regions, and of circles and masks their boxes; points and
    lines are left out.

    Args:
        files: in the order of the pages.
        folder: that they lie in, or their ZIP.
        pages: takes pages and regions.

    Returns:
        The lists of a COCO file.

    Raises:
        InputError: no LabelMe file among them.
    """
    found = 0
    for file in files:
        where = file.member or file.path.relative_to(folder).as_posix()
        try:
            content = json.loads(file.read().decode("utf-8-sig"))
        except InputError:
            raise
        except (OSError, ValueError, RecursionError) as error:
            pages.report.add("unreadable file", where, f"not JSON ({error})", "left out")
            continue
        shapes = content.get("shapes") if isinstance(content, dict) else None
        # An image without a path has the name of its file.
        image = content.get("imagePath") if isinstance(content, dict) else None
        image = PurePosixPath(where).stem if image is None else image
        if not isinstance(shapes, list) or not isinstance(image, str) or not image:
            problem = "no shapes and imagePath, so not LabelMe's"
            pages.report.add("another file", where, problem, "left out")
            continue
        found += 1
        name = posixpath.join(posixpath.dirname(where), image)
        page = pages.add_page(name, content.get("imageWidth"), content.get("imageHeight"))
        for number, shape in enumerate(shapes):
            wrong = _add(pages, page, shape)
            if wrong:
                pages.report.add("malformed shape", f"{where} shapes[{number}]", wrong, "left out")
    if not found:
        raise InputError(
            f"{folder}: no LabelMe file in this folder (*.json with shapes and imagePath); give "
            "their folder, or one file of COCO, Label Studio or CVAT"
        )
    return pages.lists()


def _add(pages: ToolPages, page: int, shape: Any) -> str | None:
    """Add a shape; what is wrong with it where it is no region."""
    if not isinstance(shape, dict):
        return f"{shape!r:.80}"
    label, points = shape.get("label"), read_points(shape.get("points"))
    if not isinstance(label, str) or not label:
        return f"label {label!r:.80}"
    if points is None:
        return f"points {shape.get('points')!r:.80}, not a list of x, y pairs"
    kind = shape.get("shape_type")
    kind = "polygon" if kind is None else kind  # as old files have it
    if not isinstance(kind, str):
        return f"shape_type {kind!r:.40}"
    if kind == "circle" and len(points) == 2:
        radius = float(np.linalg.norm(points[1] - points[0]))
        pages.add_region(
            page, label, np.stack([points[0] - radius, points[0] + radius]), is_box=True
        )
    elif kind in _POLYGONS or kind in _BOXES:
        if len(points) < (3 if kind in _POLYGONS else 2):
            return f"a {kind} of {len(points)} points"
        pages.add_region(page, label, points, kind in _BOXES)
    else:
        return f"shape_type {kind!r:.40} of {len(points)} points, which has no area"
    return None
