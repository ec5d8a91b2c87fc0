"""A folder of LabelMe files, one JSON a page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from lmv3det.data.tool_pages import ToolPages, read_points
from lmv3det.errors import InputError


def read_labelme(folder: Path, pages: ToolPages) -> dict[str, list[dict[str, Any]]]:
    """The pages of a folder, those of folders within it too, in the order of their names.

    Rectangles and polygons are regions, and of circles and masks their boxes; points and lines are
    left out.

    Returns:
        The lists of a COCO file.

    Raises:
        InputError: no LabelMe file in the folder.
    """
    found = 0
    for path in sorted(folder.rglob("*.json")):
        where = str(path.relative_to(folder))
        try:
            content = json.loads(path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, RecursionError) as error:
            pages.report.add("unreadable file", where, f"not JSON ({error})", "left out")
            continue
        shapes = content.get("shapes") if isinstance(content, dict) else None
        if not isinstance(shapes, list) or not isinstance(content.get("imagePath"), str):
            problem = "no shapes and imagePath, so not LabelMe's"
            pages.report.add("another file", where, problem, "left out")
            continue
        found += 1
        name = pages.find(f"{path.parent.relative_to(folder).as_posix()}/{content['imagePath']}")
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
    kind = shape.get("shape_type", "polygon")
    if not isinstance(label, str) or not label:
        return f"label {label!r:.80}"
    if points is None:
        return f"points {shape.get('points')!r:.80}, not a list of x, y pairs"
    if kind == "circle" and len(points) == 2:
        radius = float(np.linalg.norm(points[1] - points[0]))
        points = np.stack([points[0] - radius, points[0] + radius])
    elif len(points) < (3 if kind == "polygon" else 2):
        return f"a {kind} of {len(points)} points"
    elif kind not in ("rectangle", "polygon", "mask", "oriented_rectangle"):
        return f"shape_type {kind!r:.40}, which has no area"
    pages.add_region(page, label, points, kind in ("rectangle", "mask", "circle"))
    return None
