"""What is kept of a page between two runs, and the annotation files made of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lmv3det.classes import FINE, FOLDED, FOLDINGS
from lmv3det.errors import InputError
from lmv3det.files import are_numbers, atomic_write, is_int, read_json


def read_record(path: Path) -> dict[str, Any]:
    """The record of a finished page.

    Returns:
        `file` (the document), `page` (from 0), `stem` (of its image and OCR file), `width`,
        `height`, `regions` (`category`, a fine class; `box`, x0 y0 x1 y1 in pixels; `level` of a
        heading), `reasons` (why it is left out) and `file_name`.

    Raises:
        InputError: the file cannot be read, or is no record.
    """
    mend = "remove it, and the page is read again"
    try:
        record = read_json(path)
    except InputError as error:
        raise InputError(f"{error}; {mend}") from None
    if not isinstance(record, dict):
        raise InputError(f"{path}: not the record of a page; {mend}")
    regions, reasons = record.get("regions"), record.get("reasons")
    whole = isinstance(regions, list) and all(map(_is_region, regions))
    whole = whole and isinstance(reasons, list) and all(isinstance(r, str) for r in reasons)
    whole = whole and all(is_int(record.get(key)) for key in ("page", "width", "height"))
    if not whole or not all(isinstance(record.get(k), str) for k in ("file", "stem", "file_name")):
        raise InputError(f"{path}: not the record of a page; {mend}")
    return record


def _is_region(region: Any) -> bool:
    box = region.get("box") if isinstance(region, dict) else None
    numbers = isinstance(box, list) and len(box) == 4 and are_numbers(box)
    return numbers and region.get("category") in FINE and is_int(region.get("level"))


def name_titles(pages: Sequence[Mapping[str, Any]]) -> None:
    """Make a document's only heading of the first level its title, where it comes first.

    Args:
        pages: the records of one document, in order; changed in place.
    """
    headings = [
        (number, region)
        for number, page in enumerate(pages)
        for region in page["regions"]
        if region["category"] in ("Title", "Section header")
    ]
    first = [(number, region) for number, region in headings if region["level"] == 1]
    titled = any(region["category"] == "Title" for _, region in headings)
    if titled or len(first) != 1 or len(headings) < 2 or not pages:
        return
    number, region = first[0]
    if pages[number]["page"] < 2 and headings[0][1]["level"] in (0, 1):
        region["category"] = "Title"


def write_coco(path: Path, pages: Iterable[Mapping[str, Any]], folding: str) -> Counter[str]:
    """Write COCO instances; pages and regions are numbered from 1.

    Args:
        path: of the JSON file.
        pages: records of pages that can be trusted.
        folding: which classes: a key of `FOLDINGS`.

    Returns:
        How many regions there are of each class.
    """
    names, classes = FOLDINGS[folding], FOLDED[folding]
    ids = {name: number for number, name in enumerate(classes, start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    counts = Counter(dict.fromkeys(classes, 0))
    for number, page in enumerate(pages, start=1):
        kept = {key: page[key] for key in ("file_name", "width", "height")}
        images.append(
            {"id": number, **kept, "source": page["file"], "source_page": page["page"] + 1}
        )
        for region in page["regions"]:
            name = names[region["category"]]
            if name is None:
                continue
            counts[name] += 1
            x0, y0, x1, y1 = region["box"]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": ids[name],
                    "bbox": [x0, y0, round(x1 - x0, 2), round(y1 - y0, 2)],
                    "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]],
                    "area": round((x1 - x0) * (y1 - y0), 2),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": number, "name": name} for name, number in ids.items()]
    content = {"images": images, "annotations": annotations, "categories": categories}
    text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    atomic_write(path, text.encode("utf-8", errors="backslashreplace"))
    return counts
