"""A tiny detector, and a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from batch_helpers import TEXT, draw_page
from hand_made_pdf import write_pdf
from tiny_detector import tiny_checkpoint

if TYPE_CHECKING:
    from lmv3det.batch.shard import BatchOptions


@pytest.fixture(scope="module")
def options(tmp_path_factory) -> BatchOptions:
    from lmv3det.batch.shard import BatchOptions
    from lmv3det.inference.options import DetectorOptions

    path = tiny_checkpoint(tmp_path_factory.mktemp("model") / "model.pth")
    return BatchOptions(DetectorOptions(str(path), "cpu"), threads=1)


@pytest.fixture
def corpus(tmp_path) -> Path:
    """Ten documents of 12 pages: two of them broken, one of three pages, two in a folder below."""
    folder = tmp_path / "corpus"
    for number in range(6):
        draw_page(folder / f"page{number}.png", number)
    for number in range(2):
        draw_page(folder / "below" / f"wide{number}.png", number, (60, 80))
    write_pdf(folder / "three.pdf", TEXT, TEXT, TEXT)
    (folder / "broken.png").write_bytes(b"no image at all")
    return folder
