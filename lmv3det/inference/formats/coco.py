"""COCO: the pages and their regions as a data set that `check`, `train` and others read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lmv3det.files import write_json
from lmv3det.inference.formats import Pages, in_order

NEEDS_IMAGES = True


def write(pages: Pages, out: Path, names: Sequence[str]) -> list[Path]:
    """Write coco.json: the pages' images are in `images/`, which is `--images` of other commands.

    Its annotations are the regions of a document (see `PageDetections.document`), with their
    scores. Category ids count from 1 in the model's order.
    """
    ids = {name: k for k, name in enumerate(names, start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, page in enumerate(pages(), start=1):
        images.append(
            {
                "id": image_id,
                "file_name": page["image"].removeprefix("images/"),
                "width": page["width"],
                "height": page["height"],
            }
        )
        for region in in_order(page):
            annotation = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": ids[region["category"]],
                "bbox": region["bbox"],
                "area": round(region["bbox"][2] * region["bbox"][3], 2),
                "iscrowd": 0,
                "score": region["score"],
            }
            if "segmentation" in region:
                annotation["segmentation"] = region["segmentation"]
            annotations.append(annotation)
    categories = [{"id": key, "name": name} for name, key in ids.items()]
    content = {"images": images, "annotations": annotations, "categories": categories}
    write_json(out / "coco.json", content)
    return [out / "coco.json"]
