"""labelme: a JSON file beside each page's image, as labelme itself saves it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lmv3det.files import replacing, write_json
from lmv3det.inference.formats import Pages, in_order

NEEDS_IMAGES = True


def write(pages: Pages, out: Path, names: Sequence[str]) -> list[Path]:
    """Write `images/<page>.json`, a rectangle a region (a polygon on a
    page that was turned upright); `labelme OUT/images` opens them, and
    `labelme OUT/images --labels OUT/labels.txt` offers the model's classes."""
    for page in pages():
        image = Path(page["image"])
        shapes: list[dict[str, Any]] = []
        for region in in_order(page):
            x, y, w, h = region["bbox"]
            corners = [[x, y], [x + w, y + h]]
            shapes.append(
                {
                    "label": region["category"],
                    "points": region.get("polygon", corners),
                    "group_id": None,
                    "description": " ".join(region.get("lines", [])),
                    "shape_type": "polygon" if "polygon" in region else "rectangle",
                    "flags": {},
                }
            )
        content: dict[str, Any] = {
            "version": "5.5.0",
            "flags": {},
            "shapes": shapes,
            "imagePath": image.name,
            "imageData": None,
            "imageHeight": page["height"],
            "imageWidth": page["width"],
        }
        write_json((out / image).with_suffix(".json"), content)
    labels = out / "labels.txt"
    with replacing(labels) as temporary:
        text = "\n".join(names) + "\n"
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    return [out / "images", labels]
