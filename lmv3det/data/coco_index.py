"""Annotations as arrays: every entry checked, what is wrong reported, the rest packed.

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
import dataclasses
import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lmv3det.data.archive import AnnotationFile, annotation_files, is_zip
from lmv3det.data.categories import read_categories, same_names
from lmv3det.data.coco_annotations import AnnotationList
from lmv3det.data.coco_pages import PageList
from lmv3det.data.cvat import read_cvat
from lmv3det.data.issues import DataReport
from lmv3det.data.json_stream import NoList, read_lists
from lmv3det.data.label_studio import read_label_studio
from lmv3det.data.labelme import read_labelme
from lmv3det.data.packed import PackedWriter
from lmv3det.data.tool_pages import ToolPages
from lmv3det.errors import InputError, printable

SECTIONS = ("images", "annotations", "categories")
_LARGEST_PAGE = 64 << 20
"""Bytes that a LabelMe file may have, which can hold its picture."""


def index_coco(
    annotations: Path,
    images: Path,
    writer: PackedWriter,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Check annotations and write their arrays.

    Args:
        annotations: COCO instances JSON, or what a tool wrote (see `_kind`): a file, a folder of
            LabelMe files, or a ZIP.
        images: folder that `file_name` is relative to.
        writer: takes the arrays.
        progress: callback, with how many bytes of the file have been read.

    Returns:
        What belongs to them: `categories` (id, name), `issues` (the fields of each), and the facts
        that they rest on: `images` (the folder); `missing`, `looked_for`, `read` (`PageList`).

    Raises:
        InputError: no such file, none that is known, or no usable category.
    """
    report = DataReport()
    if is_zip(annotations):
        return _index_zip(annotations, images, report, writer)
    if annotations.is_dir():
        files = [AnnotationFile(path) for path in sorted(annotations.rglob("*.json"))]
        lists = read_labelme(files, annotations, ToolPages(images, report))
        return _write(annotations, images, lists, report, writer)
    return _index_file(AnnotationFile(annotations), images, report, writer, progress)


def _index_file(
    file: AnnotationFile,
    images: Path,
    report: DataReport,
    writer: PackedWriter,
    progress: Callable[[int], None] | None,
) -> dict[str, Any]:
    kind = _kind(file)
    if kind == "LabelMe":
        lists = read_labelme([file], file.path.parent, ToolPages(images, report))
    elif kind in _READERS:
        lists = _READERS[kind](file, ToolPages(images, report))
    else:
        lists = _read_coco(file, writer, progress)
    return _write(file, images, lists, report, writer)


def _index_zip(
    path: Path, images: Path, report: DataReport, writer: PackedWriter
) -> dict[str, Any]:
    """The annotations of a ZIP: one file of COCO, Label Studio or CVAT, or files of LabelMe."""
    kinds: dict[str | None, list[AnnotationFile]] = {}
    files = annotation_files(path)
    for file in files:
        kinds.setdefault(_kind(file), []).append(file)
    pages = kinds.pop("LabelMe", [])
    others = kinds.pop(None, [])
    known = [file for of_kind in kinds.values() for file in of_kind]
    if len(known) == 1 and not pages:
        return _index_file(known[0], images, report, writer, None)
    if pages and not known:
        lists = read_labelme(pages, path, ToolPages(images, report))
        return _write(path, images, lists, report, writer)
    names = [printable(file.member) for file in (known + pages or others)]
    listed = f"{', '.join(names[:5])}{', …' if len(names) > 5 else ''}"
    if not known:
        raise InputError(
            f"{path}: no annotations of COCO, Label Studio, CVAT for images or LabelMe in this "
            f"ZIP, but {listed}: export in one of these formats"
        )
    raise InputError(
        f"{path}: a ZIP with {len(names)} annotation files ({listed}): unpack it, and give one of "
        "them at a time"
    )


_READERS = {"CVAT": read_cvat, "Label Studio": read_label_studio}


def _kind(file: AnnotationFile) -> str | None:
    """Whose annotations a file holds, told by what it is: XML is CVAT's, a JSON list Label
    Studio's, a JSON object with shapes LabelMe's, and another one is COCO. Of the files of a ZIP
    some are none of these: None."""
    try:
        start = file.start()
    except OSError:
        return "COCO"  # as reading it tells
    if start[:1] == b"<":
        return "CVAT" if not file.member or b"<annotations" in start else None
    if start[:1] == b"[":
        return "Label Studio"
    if not file.member and file.path.stat().st_size > _LARGEST_PAGE:
        return "COCO"
    content = file.read()
    if b'"shapes"' in content and b'"categories"' not in content:
        return "LabelMe"
    lists = all(f'"{key}"'.encode() in content for key in SECTIONS)
    return "COCO" if lists or not file.member else None


def _read_coco(
    file: AnnotationFile, writer: PackedWriter, progress: Callable[[int], None] | None
) -> dict[str, Any]:
    lists: dict[str, Any] = {}
    try:
        with _no_collection():
            for key, begins, entries in read_lists(file, SECTIONS, progress):
                if begins:
                    lists[key] = AnnotationList(writer) if key == "annotations" else []
                lists[key].extend(entries)
    except FileNotFoundError:
        raise InputError(f"{file}: no such annotation file") from None
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from None
    except NoList as error:
        raise _not_coco(file, f"{error}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: not JSON ({error})") from None
    for key in SECTIONS:
        if key not in lists:
            raise _not_coco(file, f"it has no list {key!r}")
    return lists


def _write(
    source: Path | AnnotationFile,
    images: Path,
    lists: dict[str, Any],
    report: DataReport,
    writer: PackedWriter,
) -> dict[str, Any]:
    """Check the lists of a COCO file and write their arrays."""
    regions = lists["annotations"]
    if not isinstance(regions, AnnotationList):
        regions = AnnotationList(writer)
        regions.extend(lists["annotations"])
    categories = read_categories(lists["categories"], source, report)
    same = same_names(categories, regions.used(), report)
    regions.rename(same)
    categories = [category for category in categories if category.id not in same]
    pages = PageList(images, report)
    pages.extend(lists.pop("images"))  # entries take more room than what is made of them
    pages.write(writer)
    regions.write(writer, pages, categories, report)
    return {
        "categories": [[c.id, c.name] for c in categories],
        "issues": [list(dataclasses.astuple(issue)) for issue in report.issues],
        "images": str(images),
        "missing": pages.missing,
        "looked_for": pages.looked_for,
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


def _not_coco(path: AnnotationFile, why: str) -> InputError:
    return InputError(
        f"{path}: {why}; it must be COCO instances JSON with images, annotations and categories"
    )
