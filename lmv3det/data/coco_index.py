"""A COCO file as arrays: every entry checked, what is wrong reported, the rest packed.

The file is read entry by entry, so that memory holds numbers and no objects.

Arrays of N pages, R regions and their segmentations (`Packed`):
    image_id, width, height     N int64
    names                       uint8, the pages' `file_name` in UTF-8, a NUL behind each
    name_start                  N + 1 int64, where each begins in `names`
    region_start                N + 1 int64, the regions of page n are region_start[n] … [n + 1]
    id, category_id, iscrowd    R int64
    bbox                        4 R float64 x, y, w, h, clipped to the page
    area                        R float64
    segmentation                R int64, `NONE`, `POLYGONS` or `MASK`
    content_start, content_stop R int64, the bytes of `content` that hold it
    content                     uint8: polygons as float64 (their number, the length of each, all
                                coordinates), a run-length mask as JSON
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lmv3det.data.categories import read_categories
from lmv3det.data.coco_annotations import AnnotationList
from lmv3det.data.coco_pages import PageList
from lmv3det.data.cvat import read_cvat
from lmv3det.data.issues import DataReport
from lmv3det.data.json_stream import NoList, read_lists
from lmv3det.data.label_studio import read_label_studio
from lmv3det.data.labelme import read_labelme
from lmv3det.data.packed import PackedWriter
from lmv3det.data.tool_pages import ToolPages
from lmv3det.errors import InputError

SECTIONS = ("images", "annotations", "categories")


def index_coco(
    annotations: Path,
    images: Path,
    writer: PackedWriter,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Check annotations and write their arrays.

    Args:
        annotations: COCO instances JSON, or what a tool wrote (see `tool_reader`).
        images: folder that `file_name` is relative to.
        writer: takes the arrays.
        progress: is told how many bytes of the file have been read.

    Returns:
        What belongs to them: `categories` (id, name), `issues` (the fields of each), and the facts
        that they rest on: `images` (the folder), `missing` (file names that were not found),
        `read` (files that were opened: name, size in bytes, time in ns).

    Raises:
        InputError: no such file, none that is known, or no usable category.
    """
    report = DataReport()
    lists: dict[str, Any] = {}
    read = tool_reader(annotations)
    if read is not None:
        lists = read(annotations, ToolPages(images, report))
        regions = AnnotationList(writer)
        regions.extend(lists["annotations"])
        return _write(annotations, images, {**lists, "annotations": regions}, report, writer)
    try:
        with _no_collection():
            for key, begins, entries in read_lists(annotations, SECTIONS, progress):
                if begins:
                    lists[key] = AnnotationList(writer) if key == "annotations" else []
                lists[key].extend(entries)
    except FileNotFoundError:
        raise InputError(f"{annotations}: no such annotation file") from None
    except OSError as error:
        raise InputError(f"{annotations}: cannot be read ({error.strerror})") from None
    except NoList as error:
        raise _not_coco(annotations, f"{error}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{annotations}: not JSON ({error})") from None
    for key in SECTIONS:
        if key not in lists:
            raise _not_coco(annotations, f"it has no list {key!r}")
    return _write(annotations, images, lists, report, writer)


def tool_reader(path: Path) -> Callable[[Path, ToolPages], dict[str, Any]] | None:
    """What reads the annotations of a tool, told by what they are: a folder is LabelMe's, XML
    CVAT's, and a JSON list Label Studio's. None: COCO."""
    if path.is_dir():
        return read_labelme
    try:
        with open(path, "rb") as file:
            start = file.read(1024).removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    except OSError:
        return None  # as reading it tells
    return {b"<": read_cvat, b"[": read_label_studio}.get(start)


def _write(
    annotations: Path,
    images: Path,
    lists: dict[str, Any],
    report: DataReport,
    writer: PackedWriter,
) -> dict[str, Any]:
    """Check the lists of a COCO file and write their arrays."""
    categories = read_categories(lists, annotations, report)
    pages = PageList(images, report)
    pages.extend(lists.pop("images"))  # entries take more room than what is made of them
    pages.write(writer)
    lists["annotations"].write(writer, pages, {c.id for c in categories}, report)
    return {
        "categories": [[category.id, category.name] for category in categories],
        "issues": [[i.kind, i.entry, i.problem, i.action] for i in report.issues],
        "images": str(images),
        "missing": pages.missing,
        "read": pages.read,
    }


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Without the search for cycles, of which JSON's values have none: with millions of them it
    would take a good part of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _not_coco(path: Path, why: str) -> InputError:
    return InputError(
        f"{path}: {why}; it must be COCO instances JSON with images, annotations and categories"
    )
