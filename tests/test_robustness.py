"""The perturbations of `benchmarks.robustness`: what they do to pixels and to boxes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import robustness
from benchmarks.perturbations import LEVELS, NAMES, OTHERS, SPATIAL, perturb
from tests.tiny_detector import tiny_checkpoint

BOX = np.array([[60.0, 80.0, 160.0, 140.0]])


def blank(mark: tuple[int, int, int] = (0, 0, 0)) -> np.ndarray:
    page = np.full((320, 240, 3), 255, dtype=np.uint8)
    page[80:140, 60:160] = mark
    return page


@pytest.mark.parametrize("name", SPATIAL)
@pytest.mark.parametrize("level", LEVELS)
def test_boxes_move_with_the_ink(name, level):
    for seed in range(4):
        page, boxes = perturb(blank(), BOX, name, level, np.random.default_rng(seed))
        assert page.shape == (320, 240, 3)
        dark = page[..., 0] < 128
        rows, columns = np.flatnonzero(dark.any(1)), np.flatnonzero(dark.any(0))
        ink = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        assert np.abs(boxes[0] - ink).max() <= 1.5, (seed, boxes, ink)


@pytest.mark.parametrize("name", OTHERS)
def test_others_leave_the_boxes_and_grow_with_the_level(name):
    changes = []
    clean = blank((40, 40, 40)).repeat(3, axis=0).repeat(3, axis=1)  # 960×720
    for level in LEVELS:
        page, boxes = perturb(clean, BOX, name, level, np.random.default_rng(3))
        assert page.dtype == np.uint8 and page.shape == clean.shape
        assert np.array_equal(boxes, BOX)
        changes.append(np.abs(page.astype(float) - clean).mean())
    assert 0 < changes[0] < changes[2]


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_gives_the_same_page(name):
    pages = [perturb(blank(), BOX, name, 2, np.random.default_rng(s))[0] for s in (5, 5)]
    assert np.array_equal(*pages)


def test_levels_are_farther_from_the_page():
    turned = [perturb(blank(), BOX, "rotation", n, np.random.default_rng(1))[1] for n in LEVELS]
    heights = [boxes[0, 3] - boxes[0, 1] for boxes in turned]
    assert 60 < heights[0] < heights[1] < heights[2]


def test_a_table_that_goes_on(tmp_path: Path, capsys):
    folder = tmp_path / "pages"
    for part in ("images", "OCR"):
        (folder / part).mkdir(parents=True)
    Image.fromarray(blank()).save(folder / "images" / "a.png")
    (folder / "OCR" / "a.json").write_text(
        json.dumps({"bbox": [[60, 80, 100, 60]], "words": ["x"], "W": 240, "H": 320})
    )
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 240, "height": 320}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [60, 80, 100, 60],
                         "area": 6000, "iscrowd": 0}],
        "categories": [{"id": 1, "name": "text"}, {"id": 2, "name": "table"}],
    }  # fmt: skip
    (folder / "annotations.json").write_text(json.dumps(content))
    model = tiny_checkpoint(tmp_path / "model.pth")
    words = ["--model", str(model), "--pages", str(folder), "--states", "none"]
    words += ["--levels", "1", "--out", str(tmp_path / "out")]
    assert robustness.main([*words, "--names", "rotation"]) == 0
    capsys.readouterr()
    assert robustness.main([*words, "--names", "rotation", "speckle"]) == 0
    text = capsys.readouterr().out
    assert "| detector | clean | P1 rotation | P11 speckle | P-Avg |" in text
    kept = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert len(kept["AP"]) == 3
