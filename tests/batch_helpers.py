"""Pages for corpora, and the rows that come of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

TEXT = "BT /F 24 Tf 30 300 Td (Hello page) Tj ET"


def draw_page(path: Path, seed: int = 0, size: tuple[int, int] = (80, 60)) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def rows(out: Path) -> list[dict[str, Any]]:
    """The rows of a job without what a clock gave."""
    from lmv3det.batch.job import read_results

    found = read_results(out).to_table().to_pylist()
    return [{key: value for key, value in row.items() if key != "seconds"} for row in found]
