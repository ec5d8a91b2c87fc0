"""Label Studio: tasks with predictions, and the labels of the interface."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from lmv3det.files import replacing, write_json
from lmv3det.inference.formats import Pages, in_order

NEEDS_IMAGES = True
FILES = "/data/local-files/?d="
"""Where Label Studio serves local files from, below LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT."""
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML has no way to write."""


def write(pages: Pages, out: Path, names: Sequence[str]) -> list[Path]:
    """Write label_studio.json, a task a page with its regions as predictions, and
    label_studio.xml, the labelling interface.

    The images are served from the folder if Label Studio runs with
    LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true and
    LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=OUT.
    """
    tasks = []
    for page in pages():
        width, height = page["width"], page["height"]
        results, scores = [], []
        for number, region in enumerate(in_order(page)):
            x, y, w, h = region["bbox"]
            value = {
                "x": 100 * x / width,
                "y": 100 * y / height,
                "width": 100 * w / width,
                "height": 100 * h / height,
                "rotation": 0,
                "rectanglelabels": [_label(region["category"])],
            }
            results.append(
                {
                    "id": f"region{number}",
                    "type": "rectanglelabels",
                    "from_name": "label",
                    "to_name": "image",
                    "original_width": width,
                    "original_height": height,
                    "image_rotation": 0,
                    "score": region["score"],
                    "value": value,
                }
            )
            scores.append(region["score"])
        mean = sum(scores) / len(scores) if scores else 0.0
        prediction = {"model_version": "lmv3det", "score": mean, "result": results}
        tasks.append(
            {
                "data": {"image": FILES + quote(os.fsencode(page["image"])), "file": page["file"]},
                "predictions": [prediction],
            }
        )
    write_json(out / "label_studio.json", tasks)
    labels = "\n".join(f"    <Label value={quoteattr(_label(name))}/>" for name in names)
    with replacing(out / "label_studio.xml") as temporary:
        temporary.write_text(
            '<View>\n  <Image name="image" value="$image"/>\n'
            f'  <RectangleLabels name="label" toName="image">\n{labels}\n'
            "  </RectangleLabels>\n</View>\n",
            encoding="utf-8",
        )
    return [out / "label_studio.json", out / "label_studio.xml"]


def _label(name: str) -> str:
    """A class name as tasks and interface both have it: what XML cannot hold as escapes."""
    return _NOT_XML.sub(lambda found: ascii(found[0])[1:-1], name)
