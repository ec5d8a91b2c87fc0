"""Pictures of a run: the same pages at every evaluation, side by side."""

from __future__ import annotations

import numpy as np
from PIL import Image

from lmv3det.data.coco import CocoDataset
from lmv3det.visualization.regions import color
from lmv3det.visualization.training import HEIGHT, MOMENTS, draw_validation


def test_the_same_pages_over_time(tiny_data):
    """A detection that only the second evaluation has is in its column alone."""
    Image.new("RGB", (36, 48), "white").save(tiny_data.images / "d.png")
    dataset = CocoDataset(tiny_data.annotations, tiny_data.images)
    pictures = tiny_data.root / "pictures"
    found = [{"image_id": 13, "category_id": 7, "bbox": [3, 4, 25, 30], "score": 0.9}]
    draw_validation(pictures / "step_5", dataset, [])
    draw_validation(pictures / "step_40", dataset, found)
    names = {path.name for path in (pictures / "step_5").iterdir()}
    assert names == {path.name for path in (pictures / "over_time").iterdir()}
    assert names == {"a.png", "b.png", "c.png", "d.png"}
    with Image.open(pictures / "over_time" / "d.png") as joined:
        pixels = np.asarray(joined.convert("RGB")).astype(int)
    width = round(36 * HEIGHT / 48)
    assert pixels.shape[1] == 3 * width + 2 * 8
    columns = [pixels[30:, k * (width + 8) : k * (width + 8) + width] for k in range(3)]
    near = [(np.abs(c - color(1)).max(axis=2) < 40).any() for c in columns]  # Text, the second
    assert near == [False, False, True]


def test_many_evaluations_are_thinned(tiny_data):
    tiny_data.content["images"] = tiny_data.content["images"][3:]
    tiny_data.save()
    dataset = CocoDataset(tiny_data.annotations, tiny_data.images, quiet=True)
    for step in range(MOMENTS + 3):
        draw_validation(tiny_data.root / f"step_{step}", dataset, [])
    with Image.open(tiny_data.root / "over_time" / "d.png") as joined:
        width = round(36 * HEIGHT / 48)
        assert joined.width == (MOMENTS + 1) * width + MOMENTS * 8
