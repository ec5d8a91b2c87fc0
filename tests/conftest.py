"""Shared fixtures: a tiny data set made by hand, and the folder of real pages."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import CHROMIUM, FLAGS
from PIL import Image


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests may take an hour, others the minutes that pyproject.toml says."""
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(3600))


@dataclass
class TinyData:
    """A COCO data set on disk: `annotations.json`, `images/`, `OCR/`.

    Change `content` (the annotation file) and call `save` to make a faulty one.
    """

    root: Path
    content: dict[str, Any]

    @property
    def annotations(self) -> Path:
        return self.root / "annotations.json"

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def ocr(self) -> Path:
        return self.root / "OCR"

    def save(self) -> None:
        self.annotations.write_text(json.dumps(self.content), encoding="utf-8")


@pytest.fixture(autouse=True)
def no_cache_of_the_user(tmp_path_factory: pytest.TempPathFactory, monkeypatch) -> None:
    """Keeps indexes of annotation files out of the user's cache folder."""
    monkeypatch.setenv("LMV3DET_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def tiny_data(tmp_path: Path) -> TinyData:
    """Four pages: `a` 60×40 (height × width) with three regions and a crowd, `b` 50×40 with none,
    `c` 30×50 with a run-length mask, `d` 48×36 with a box alone. Categories 7 and 3 are out of
    order on purpose."""
    generator = np.random.default_rng(0)
    sizes = {"a": (60, 40), "b": (50, 40), "c": (30, 50), "d": (48, 36)}
    (tmp_path / "images").mkdir()
    (tmp_path / "OCR").mkdir()
    images = []
    for image_id, (name, (height, width)) in enumerate(sizes.items(), start=10):
        pixels = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{name}.png")
        images.append(
            {"id": image_id, "file_name": f"{name}.png", "width": width, "height": height}
        )
        lines = {
            "bbox": [[2, 3, 20, 4], [5, 10, 10, 5]],
            "words": ["first line", f"第二 {name}"],
            "W": width,
            "H": height,
        }
        (tmp_path / "OCR" / f"{name}.json").write_text(json.dumps(lines), encoding="utf-8")
    mask = np.zeros((30, 50), dtype=np.uint8)
    mask[5:20, 10:30] = 1
    mask[5:12, 30:35] = 1
    annotations = [
        _region(1, 10, 7, [4, 5, 20, 10], [[4, 5, 24, 5, 24, 15, 4, 15]]),
        _region(2, 10, 3, [1, 30, 30, 20], [[1, 30, 31, 30, 1, 50]]),
        _region(3, 10, 7, [10, 20, 5, 5], None),
        _region(4, 10, 3, [0, 0, 40, 5], {"size": [60, 40], "counts": [0, 5, 2395]}, crowd=1),
        _region(5, 12, 7, [10, 5, 25, 15], {"size": [30, 50], "counts": _counts(mask)}),
        {"id": 6, "image_id": 13, "category_id": 3, "bbox": [3.5, 4.5, 10, 20]},
    ]
    categories = [{"id": 7, "name": "Text"}, {"id": 3, "name": "Table"}]
    data = TinyData(
        tmp_path, {"images": images, "annotations": annotations, "categories": categories}
    )
    data.save()
    return data


def _region(
    key: int, image_id: int, category_id: int, bbox: list, segmentation: Any, crowd: int = 0
) -> dict[str, Any]:
    return {
        "id": key,
        "image_id": image_id,
        "category_id": category_id,
        "bbox": bbox,
        "area": bbox[2] * bbox[3],
        "iscrowd": crowd,
        "segmentation": segmentation,
    }


def _counts(mask: np.ndarray) -> list[int]:
    """Run lengths of a mask, column by column, zeros first."""
    flat = np.concatenate([[0], mask.flatten(order="F"), [2]])
    ends = np.flatnonzero(np.diff(flat))
    lengths = np.diff(np.concatenate([[0], ends]))
    return lengths.tolist()


@pytest.fixture(scope="session")
def lmv3det_data() -> Path:
    """Folder of real pages, named by the environment variable LMV3DET_DATA."""
    folder = os.environ.get("LMV3DET_DATA")
    if not folder:
        pytest.skip("LMV3DET_DATA is not set: no real pages to test with")
    path = Path(folder).resolve()
    if not path.is_dir():
        pytest.fail(f"LMV3DET_DATA is {folder}, which is no folder")
    return path


@pytest.fixture
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()
