"""Curves."""

from __future__ import annotations

import numpy as np
from PIL import Image

from lmv3det.visualization.curves import draw_precision_recall


def test_curves_leave_out_classes_without_truth(tmp_path):
    precision = np.stack([np.linspace(1, 0, 101), np.full(101, -1.0)], axis=1)
    draw_precision_recall(tmp_path / "new" / "curves.png", precision, ["Text", "Table"], "bbox")
    with Image.open(tmp_path / "new" / "curves.png") as picture:
        picture.load()
        assert min(picture.size) > 300
    draw_precision_recall(tmp_path / "empty.png", precision[:, 1:], ["Table"], "bbox")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.png", "new"]
