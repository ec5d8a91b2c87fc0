"""An export of Label Studio, "JSON" or "JSON-MIN": a list of tasks, each of one page or several."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from lmv3det.data.archive import AnnotationFile
from lmv3det.data.brush import decode_bitmask, decode_brush
from lmv3det.data.images import IMAGE_SUFFIXES
from lmv3det.data.shapes import ellipse, read_points, turned_box
from lmv3det.data.tool_pages import ToolPages
from lmv3det.errors import InputError
from lmv3det.files import are_numbers, is_int

_NO_SHAPES = frozenset(
    ("choices", "rating", "text", "number", "datetime", "taxonomy", "pairwise", "ranker", "items")
)
"""Keys of values that say something of a page or a region, and have no place on it."""
_BITMASK = "imageDataURL"
_SIDES = ("x", "y", "width", "height")
_NUMBER = re.compile(r"(\d+)\D*$", re.ASCII)


def read_label_studio(file: AnnotationFile, pages: ToolPages) -> dict[str, list[dict[str, Any]]]:
    """The pages of an export.

    Rectangles, polygons, ellipses and brushes are regions; results of one id (shape, label and text
    of the template for OCR) are one. Of several annotations of a task the last one that was not
    cancelled is taken, of those of a ground truth if there are any; a task without annotations has
    its last prediction. A task of several pages (`valueList`, `Repeater`) has a page for each.

    Returns:
        The lists of a COCO file.

    Raises:
        InputError: no JSON, or no tasks.
    """
    try:
        tasks = json.loads(file.read().decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file}: not JSON ({error})") from None
    is_task = [isinstance(task, dict) and isinstance(task.get("data"), dict) for task in tasks]
    if not any(is_task):
        short = [_of_short_form(task) for task in tasks]
        if not any(short):
            raise InputError(
                f"{file}: a JSON list, but not of Label Studio's tasks, which have data and "
                "annotations; export them as JSON, or give COCO instances JSON"
            )
        tasks = [long or task for long, task in zip(short, tasks, strict=True)]
        is_task = [long is not None for long in short]
    for number, task in enumerate(tasks):
        where = f"tasks[{number}]"
        if is_task[number]:
            _Task(task, where, pages).read()
        else:
            pages.report.add("malformed task", where, f"{task!r:.80}", "left out")
    return pages.lists()


def _of_short_form(entry: Any) -> dict[str, Any] | None:
    """An entry of JSON-MIN as a task; None where it is none."""
    if not isinstance(entry, dict):
        return None
    data, results = {}, []
    for key, value in entry.items():
        shapes = [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
        if any(any(name.endswith("labels") for name in one) for one in shapes):
            sizes = ("original_width", "original_height")
            results += [{"value": one, **{k: one.get(k) for k in sizes}} for one in shapes]
        else:
            data[key] = value
    if not results and not any(_path(value) for value in data.values()):
        return None
    return {"data": data, "annotations": [{"result": results}]}


@dataclass
class _Shape:
    """A result with a place on a page."""

    number: int
    kind: str
    value: dict[str, Any]
    page: int
    size: list[Any]
    key: Any
    labels: list[str] = field(default_factory=list)

    @property
    def place(self) -> str:
        """What is the same for two results of the same place."""
        names = {
            "box": (*_SIDES, "rotation"), "polygon": ("points",), "brush": ("rle",),
            "ellipse": ("x", "y", "radiusX", "radiusY", "rotation"), "bitmask": (_BITMASK,),
        }[self.kind]  # fmt: skip
        return json.dumps([self.kind, *(self.value.get(name) for name in names)])


class _Task:
    """A task: its pages, and the regions of each."""

    def __init__(self, task: dict[str, Any], where: str, pages: ToolPages) -> None:
        self.task, self.where, self.pages = task, where, pages
        self.images, self.is_list = _images(task["data"])
        # Labels of results that have no place of their own, by their id.
        self.labels: dict[Any, list[str]] = {}

    def read(self) -> None:
        add = self.pages.report.add
        if not self.images:
            add("malformed task", self.where, "its data name no image", "left out")
            return
        names = [self.pages.find(image) for _, image in self.images]
        shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
        self.where = f"{self.where} ({shown})"
        shapes = list(self._shapes(self._results()))
        sizes: dict[int, list[Any]] = {}
        for shape in shapes:
            if are_numbers(shape.size) and min(shape.size) > 0:
                sizes.setdefault(shape.page, shape.size)
        shown_pages = {shape.page for shape in shapes} or {self._main()}
        ids = {
            number: self.pages.add_page(image, *sizes.get(number, ()))
            for number, (_, image) in enumerate(self.images)
            if self.is_list or number in shown_pages
        }
        groups: dict[Any, list[_Shape]] = {}
        for shape in shapes:
            groups.setdefault((shape.page, shape.key), []).append(shape)
        for group in groups.values():
            for shape in self._regions(group):
                problem = self._add(ids[shape.page], shape)
                if problem:
                    self._malformed(shape.number, problem)

    def _malformed(self, number: int, problem: str, action: str = "left out") -> None:
        where = f"{self.where} result[{number}]"
        self.pages.report.add("malformed result", where, problem, action)

    def _results(self) -> list[Any]:
        """The results of the annotation that is taken."""
        add = self.pages.report.add
        given = self.task.get("annotations", self.task.get("completions"))
        annotations = [
            one
            for one in _list(given)
            if isinstance(one, dict) and not (one.get("was_cancelled") or one.get("skipped"))
        ]
        if len(annotations) > 1:
            problem = f"{len(annotations)} annotations"
            truths = [one for one in annotations if one.get("ground_truth")]
            which = "the last one" + (" of a ground truth" if truths else "")
            add("annotated several times", self.where, problem, f"{which} taken")
            annotations = truths or annotations
        if not annotations:
            annotations = [x for x in _list(self.task.get("predictions")) if isinstance(x, dict)]
            said = "the last prediction taken" if annotations else "a page without regions"
            add("not annotated", self.where, "no annotation that was submitted", said)
        if not annotations:
            return []
        results = annotations[-1].get("result")
        if not isinstance(results, list) and results is not None:
            add("malformed task", self.where, f"result {results!r:.80}", "no region read")
        return _list(results)

    def _shapes(self, results: list[Any]) -> Iterator[_Shape]:
        """The results that have a place on a page. Choices, ratings and relations have none; what
        else has none is told of."""
        names = [r.get("to_name") for r in results if isinstance(r, dict)]
        towards = list(dict.fromkeys(name for name in names if isinstance(name, str)))
        placed = {
            r["id"]
            for r in results
            if isinstance(r, dict) and isinstance(r.get("value"), dict) and _kind(r["value"])
            and isinstance(r.get("id"), str)
        }  # fmt: skip
        for number, result in enumerate(results):
            if not isinstance(result, dict):
                self._malformed(number, f"{result!r:.80}")
                continue
            value = result.get("value")
            if not isinstance(value, dict):
                if result.get("type") != "relation":
                    self._malformed(number, f"value {value!r:.80}")
                continue
            kind, labels = _kind(value), _labels(value)
            if kind is None:
                own = result.get("id")
                if (
                    labels and isinstance(own, str) and own in placed
                ):  # of a shape that another result has
                    self.labels.setdefault(own, labels)
                elif labels is not None or not _NO_SHAPES & value.keys():
                    what = result.get("type") or ", ".join(map(str, value))
                    self._malformed(number, f"{what!r:.60} has no area on a page")
                continue
            page = self._page(result, towards)
            if page is None:
                said = {key: result.get(key) for key in ("item_index", "to_name")}
                self._malformed(number, f"of which of {len(self.images)} images is not said {said}")
                continue
            if labels and len(labels) > 1:
                self._malformed(number, f"labels {labels!r:.80}", f"{labels[0]!r:.40} taken")
            if result.get("image_rotation"):
                turn = f"the page was turned by {result['image_rotation']!r:.20}° in the editor"
                self._malformed(number, turn, "read as on the page that is not turned")
            size = [result.get("original_width"), result.get("original_height")]
            own = result.get("id")
            key: Any = own if isinstance(own, str) else number
            yield _Shape(number, kind, value, page, size, key, labels or [])

    def _page(self, result: dict[str, Any], towards: list[str]) -> int | None:
        """Which of the task's images a result lies on; None where that is not said."""
        if len(self.images) == 1:
            return 0
        index, name = result.get("item_index"), result.get("to_name")
        if is_int(index):
            return index if 0 <= index < len(self.images) else None
        keys = [key for key, _ in self.images]
        if isinstance(name, str) and keys.count(name) == 1:
            return keys.index(name)
        found = _NUMBER.search(name) if isinstance(name, str) else None
        if found:  # `page_0`, `page_1` of a Repeater; `image1`, `image2` of images by name
            number = int(found[1][:9])
            by_number = [k for k, key in enumerate(keys) if _number(key) == number]
            if len(by_number) == 1:
                return by_number[0]
            if len(set(keys)) == 1 and number < len(self.images):
                return number
        # Beside the page there may be images that nobody can draw on, such as a thumbnail.
        if len(towards) <= 1 and len(set(keys)) == len(keys):
            return self._main()
        return None

    def _main(self) -> int:
        """Which of images that are named one by one is the page."""
        keys = [key for key, _ in self.images]
        return keys.index("image") if "image" in keys else 0

    def _regions(self, group: list[_Shape]) -> Iterator[_Shape]:
        """The regions of results with one id."""
        labelled = [shape for shape in group if shape.labels]
        if not labelled and group[0].key in self.labels:
            group[0].labels = self.labels[group[0].key]
            labelled = group[:1]
        if not labelled:
            self._malformed(group[0].number, "no label")
            return
        seen = set()
        for shape in labelled:
            key = (shape.place, shape.labels[0])
            if key not in seen:
                seen.add(key)
                yield shape
        places = {shape.place for shape in labelled}
        for shape in group:
            if not shape.labels and shape.place not in places:
                self._malformed(shape.number, "no label")

    def _add(self, page: int, shape: _Shape) -> str | None:
        """Add a region; what is wrong with it where it is none."""
        value, label, size = shape.value, shape.labels[0], shape.size
        if not are_numbers(size) or min(size) <= 0:
            known = self.pages.size(self.images[shape.page][1])
            if known is None:
                return f"original_width {size[0]!r:.40}, original_height {size[1]!r:.40}"
            size = list(known)
        percent = np.array(size) / 100
        if shape.kind in ("brush", "bitmask"):
            if not all(float(side).is_integer() for side in size):
                return f"a mask of a page of {size!r:.60} pixels"
            try:
                if shape.kind == "brush":
                    mask = decode_brush(value["rle"], int(size[1]), int(size[0]))
                else:
                    mask = decode_bitmask(value[_BITMASK], int(size[1]), int(size[0]))
            except ValueError as error:
                return str(error)
            return self.pages.add_mask(page, label, mask, 0, 0)
        if shape.kind == "polygon":
            points = read_points(value["points"])
            if points is None or len(points) < 3:
                return f"points {value['points']!r:.80}"
            self.pages.add_region(page, label, points * percent, False)
            return None
        turn = value.get("rotation") or 0
        names = ("x", "y", "radiusX", "radiusY") if shape.kind == "ellipse" else _SIDES
        numbers = [value.get(name) for name in names]
        if not are_numbers([*numbers, turn]):
            return f"{', '.join(names)}, rotation {[*numbers, turn]!r:.80}"
        x, y, w, h = (np.array(numbers) * np.tile(percent, 2)).tolist()
        if shape.kind == "ellipse":
            if min(w, h) <= 0:
                return f"radii {w:g}, {h:g}"
            self.pages.add_region(page, label, ellipse((x, y), (w, h), turn), False)
        elif turn:
            self.pages.add_region(page, label, turned_box((x, y, w, h), turn, (x, y)), False)
        else:
            self.pages.add_region(page, label, np.array([[x, y], [x + w, y + h]]), True)
        return None


def _kind(value: dict[str, Any]) -> str | None:
    """What shape a value has."""
    if "rle" in value:
        return "brush"
    if _BITMASK in value:
        return "bitmask"
    if "radiusX" in value:
        return "ellipse"
    if "points" in value:
        return "polygon"
    # A key point has x, y and a width.
    return "box" if {"x", "width", "height"} <= value.keys() else None


def _labels(value: dict[str, Any]) -> list[str] | None:
    """The labels of a value; None where it is none that has any."""
    lists = [value[key] for key in value if isinstance(key, str) and key.endswith("labels")]
    if not lists:
        return None
    found = [label for labels in lists for label in _list(labels)]
    return list(dict.fromkeys(label for label in found if isinstance(label, str) and label))


def _images(data: dict[str, Any]) -> tuple[list[tuple[str, str]], bool]:
    """The images that a task's data name, each with the key that it is under: those of the list
    where there is one, else all. And whether they are a list, of which each is a page."""
    single: list[tuple[str, str]] = []
    for key, value in data.items():
        found = [_path(value, key)] if isinstance(value, str) else []
        if isinstance(value, list):
            for entry in value:
                inner = entry.values() if isinstance(entry, dict) else [entry]
                paths = [path for one in inner if (path := _path(one)) is not None]
                found += paths[:1]
            if any(found):
                return [(key, path) for path in found if path], True
        single += [(key, path) for path in found if path]
    return single, False


def _path(value: Any, key: str = "") -> str | None:
    """The path of an image that a value of a task's data is; under `image` it need not look so."""
    if not isinstance(value, str) or not value:
        return None
    try:
        parts = urlsplit(value)
        local = parse_qs(parts.query, max_num_fields=20).get("d", [])
    except ValueError:
        return value if key == "image" else None
    path = local[0] if local else unquote(parts.path)
    if key == "image" or PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES:
        return path or None
    return None


def _number(key: str) -> int | None:
    found = _NUMBER.search(key)
    return int(found[1][:9]) if found else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
