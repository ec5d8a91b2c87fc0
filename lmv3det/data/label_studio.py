"""A JSON export of Label Studio: a list of tasks, one a page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from lmv3det.data.images import IMAGE_SUFFIXES
from lmv3det.data.tool_pages import ToolPages, read_points, turned_box
from lmv3det.errors import InputError
from lmv3det.files import are_numbers


def read_label_studio(path: Path, pages: ToolPages) -> dict[str, list[dict[str, Any]]]:
    """The pages of an export, which is "JSON", not "JSON-MIN".

    Rectangles and polygons are regions. Of several annotations of a task the last one that was not
    cancelled is taken; a task without annotations has its last prediction.

    Returns:
        The lists of a COCO file.

    Raises:
        InputError: no JSON, or no tasks.
    """
    try:
        tasks = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({error})") from None
    known = [isinstance(task, dict) and isinstance(task.get("data"), dict) for task in tasks]
    if not any(known):
        raise InputError(
            f"{path}: a JSON list, but not of Label Studio's tasks, which have data and "
            "annotations; export them as JSON (not JSON-MIN), or give COCO instances JSON"
        )
    for number, task in enumerate(tasks):
        where = f"tasks[{number}]"
        if not known[number]:
            pages.report.add("malformed task", where, f"{task!r:.80}", "left out")
            continue
        image = _image(task["data"])
        if image is None:
            pages.report.add("malformed task", where, "its data name no image", "left out")
            continue
        name = pages.find(image)
        results = _results(task, f"{where} ({name})", pages)
        sizes = [(r.get("original_width"), r.get("original_height")) for r in results]
        page = pages.add_page(name, *(sizes[0] if sizes else ()))
        for place, result in enumerate(results):
            problem = _add(pages, page, result)
            if problem:
                pages.report.add(
                    "malformed result", f"{where} result[{place}]", problem, "left out"
                )
    return pages.lists()


def _image(data: dict[str, Any]) -> str | None:
    """The path of a task's image, as its data name it."""
    named = [data.get("image"), *data.values()]
    for value in filter(lambda value: isinstance(value, str) and value, named):
        parts = urlsplit(value)
        local = parse_qs(parts.query).get("d", [])
        path = local[0] if local else unquote(parts.path)
        if value == named[0] or Path(path).suffix.lower() in IMAGE_SUFFIXES:
            return path
    return None


def _results(task: dict[str, Any], where: str, pages: ToolPages) -> list[dict[str, Any]]:
    annotations = [
        one
        for one in _list(task.get("annotations"))
        if isinstance(one, dict) and not one.get("was_cancelled")
    ]
    if len(annotations) > 1:
        problem = f"{len(annotations)} annotations"
        pages.report.add("annotated several times", where, problem, "the last one taken")
    if not annotations:
        annotations = [one for one in _list(task.get("predictions")) if isinstance(one, dict)]
        said = "the last prediction taken" if annotations else "a page without regions"
        pages.report.add("not annotated", where, "no annotation that was submitted", said)
    results = _list(annotations[-1].get("result")) if annotations else []
    # Choices, ratings and texts have no place on the page.
    shown = [r for r in results if isinstance(r, dict) and isinstance(r.get("value"), dict)]
    return [r for r in shown if {"x", "points"} & r["value"].keys()]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _add(pages: ToolPages, page: int, result: dict[str, Any]) -> str | None:
    """Add a result; what is wrong with it where it is no region."""
    value: dict[str, Any] = result["value"]
    size: list[Any] = [result.get("original_width"), result.get("original_height")]
    labels = value.get("rectanglelabels") or value.get("polygonlabels") or value.get("labels")
    if not isinstance(labels, list) or not labels or not isinstance(labels[0], str):
        return "no label"
    if not are_numbers(size) or min(size) <= 0:
        return f"original_width {size[0]!r:.40}, original_height {size[1]!r:.40}"
    percent = np.array(size) / 100
    if "points" in value:
        points = read_points(value["points"])
        if points is None or len(points) < 3:
            return f"points {value['points']!r:.80}"
        pages.add_region(page, labels[0], points * percent, False)
        return None
    box = [value.get(key) for key in ("x", "y", "width", "height")]
    turn = value.get("rotation", 0)
    if not are_numbers([*box, turn]):
        return f"x, y, width, height, rotation {[*box, turn]!r:.80}"
    x, y, w, h = (np.array(box) * np.tile(percent, 2)).tolist()
    points = turned_box((x, y, w, h), turn, (x, y)) if turn else np.array([[x, y], [x + w, y + h]])
    pages.add_region(page, labels[0], points, not turn)
    return None
