"""A COCO file as large as a published data set's, with regions like its own."""

from __future__ import annotations

import json
import os
import random
import tempfile
from pathlib import Path

REGIONS = 9
"""A page, as in PubLayNet: 3.3 million on 360 000 pages, some 450 bytes each."""
_SHAPES = 200


def coco_file(pages: int) -> tuple[Path, Path]:
    """The annotation file and the image folder (of empty files), made at the first call.

    They lie in the folder for temporary files and take 1.6 GB for 360 000 pages.
    """
    folder = Path(tempfile.gettempdir()) / f"lmv3det-benchmark-{pages}"
    annotations, images = folder / "annotations.json", folder / "images"
    if annotations.exists():
        return annotations, images
    images.mkdir(parents=True, exist_ok=True)
    names = [f"PMC{1_000_000 + number}_{number % 30:05d}.jpg" for number in range(pages)]
    for name in names:
        (images / name).touch()
    shapes = _shapes()
    partial = folder / "partial"
    with open(partial, "w", encoding="ascii") as file:
        entries = (
            json.dumps({"file_name": name, "width": 612, "id": number, "height": 792})
            for number, name in enumerate(names)
        )
        file.write('{"images": [' + ", ".join(entries) + '], "annotations": [')
        for number in range(REGIONS * pages):
            comma = ", " if number else ""
            shape = shapes[number % _SHAPES]
            file.write(f'{comma}{shape}"image_id": {number // REGIONS}, "id": {number + 1}}}')
        categories = [{"id": k, "name": f"class {k}"} for k in range(1, 6)]
        file.write(f'], "categories": {json.dumps(categories)}}}')
    os.replace(partial, annotations)
    return annotations, images


def _shapes() -> list[str]:
    """The text of some annotations, without their ids at the end."""
    generator = random.Random(0)
    shapes = []
    for number in range(_SHAPES):
        x, y, w, h = (round(generator.uniform(10, 300), 2) for _ in range(4))
        flat = [
            round(start + side * generator.random(), 2)
            for _ in range(20)
            for start, side in ((x, w), (y, h))
        ]
        shape = {
            "segmentation": [flat],
            "area": round(w * h, 5),
            "iscrowd": 0,
            "bbox": [x, y, w, h],
            "category_id": 1 + number % 5,
        }
        shapes.append(json.dumps(shape)[:-1] + ", ")
    return shapes
