"""Makes the files of `lmv3det doctor`'s self-test: `python -m tools.doctor_files`.

From the original's arrays in tests/parity, and a page of `lmv3det synthetic`.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from lmv3det.doctor.selftest import FOLDER
from lmv3det.files import replacing, write_json
from pagegen.typst import generate

ARRAYS = Path(__file__).parents[1] / "tests" / "parity" / "tiny_image_only_eval.npz"
SEED = 16


def make_arrays(out: Path) -> None:
    """The page of the file and the detections on it."""
    with np.load(ARRAYS, allow_pickle=False) as stored:
        arrays = {
            "page": stored["image0"],
            "boxes": stored["default0.boxes"],
            "scores": stored["default0.scores"],
            "classes": stored["default0.classes"],
        }
    with replacing(out / "arrays.npz") as path, path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def make_page(out: Path) -> None:
    """A generated page of 16 grey levels, and its regions."""
    with tempfile.TemporaryDirectory() as folder:
        annotations = generate(folder, 1, seed=SEED, language="en", height=800)
        content = json.loads(annotations.read_text(encoding="utf-8"))
        names = {category["id"]: category["name"] for category in content["categories"]}
        image = Image.open(annotations.parent / "images" / content["images"][0]["file_name"])
        image = image.convert("L").quantize(16)
    regions = [
        {"category": names[one["category_id"]], "bbox": one["bbox"]}
        for one in content["annotations"]
    ]
    with replacing(out / "page.png") as path:
        image.save(path, format="PNG", optimize=True)
    write_json(out / "page.json", regions)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    make_arrays(FOLDER)
    make_page(FOLDER)
