"""The annotations of generated pages, in COCO format."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lmv3det.classes import FINE, FOLDED, FOLDINGS
from lmv3det.errors import InputError
from lmv3det.files import are_numbers, atomic_write, is_int, read_json


def read_record(path: Path) -> dict[str, Any]:
    """What is on a finished page, as `write_annotations` takes it.

    Raises:
        InputError: the file cannot be read, or is no record.
    """
    mend = "remove it, and the page is made again"
    try:
        record = read_json(path)
    except InputError as error:
        raise InputError(f"{error}; {mend}") from None
    regions = record.get("regions") if isinstance(record, dict) else None
    whole = isinstance(regions, list) and all(map(_is_region, regions))
    whole = whole and all(is_int(record.get(side)) for side in ("width", "height"))
    if not whole or not isinstance(record.get("file_name"), str):
        raise InputError(f"{path}: not the record of a page; {mend}")
    return record


def _is_region(region: Any) -> bool:
    box = region.get("box") if isinstance(region, dict) else None
    numbers = isinstance(box, list) and len(box) == 4 and are_numbers(box)
    return numbers and region.get("category") in list(FINE)


def write_annotations(path: Path, pages: Iterable[dict[str, Any]], classes: str = "cdla") -> None:
    """Write COCO instances; pages and regions are numbered from 1.

    Args:
        path: of the JSON file.
        pages: a record each: ``regions``, a list of ``category`` (a name) and ``box`` (x0, y0,
            x1, y1 in pixels), and what an image of COCO has (``file_name``, ``width``, ``height``).
        classes: a key of `lmv3det.classes.FOLDINGS`, into whose classes the fine ones fold.
    """
    ids = {name: i for i, name in enumerate(FOLDED[classes], start=1)}
    folded = FOLDINGS[classes]
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, page in enumerate(pages, start=1):
        images.append({"id": number, **page})
        for region in images[-1].pop("regions"):
            name = folded[region["category"]]
            if name is None:
                continue
            x0, y0, x1, y1 = region["box"]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": ids[name],
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]],
                    "area": (x1 - x0) * (y1 - y0),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": i, "name": name} for name, i in ids.items()]
    data = {"images": images, "annotations": annotations, "categories": categories}
    atomic_write(path, json.dumps(data).encode())
