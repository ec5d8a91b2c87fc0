"""What people do with a page's regions in Python and in a notebook."""

from __future__ import annotations

import base64
import builtins
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

from lmv3det.errors import InputError
from lmv3det.inference.detections import PageDetections
from lmv3det.structures import Page
from lmv3det.text.ocr_json import OcrPage


def page(**values) -> PageDetections:
    """A heading above a paragraph whose word is divided; the paragraph has the higher score."""
    lines = OcrPage(
        np.array([[12.0, 12, 60, 18], [12, 32, 88, 38], [12, 42, 50, 48]]),
        ["A <b>title</b>", "Some words are di-", "vided."],
        100,
        80,
    )
    return PageDetections(
        boxes=torch.tensor([[10.0, 30, 90, 50], [10, 10, 90, 20]]),
        scores=torch.tensor([0.75, 0.5]),
        classes=torch.tensor([1, 0]),
        image_size=(80, 100),
        names=["Title", "Text"],
        lines=lines,
        **{
            "page": Page("scan.pdf", 100, 80, number=2),
            "image": np.full((80, 100, 3), 255, np.uint8),
            "password": "sesame",
            **values,
        },
    )


def test_a_page_is_a_sequence_of_regions():
    """Failed before: each was a page with boxes of shape (4,)."""
    text, title = page()
    assert (text.category, text.score, text.box) == ("Text", 0.75, (10.0, 30.0, 90.0, 50.0))
    assert text.text == "Some words are divided." and title.lines == ["A <b>title</b>"]
    assert page()[0] == text and page()[-1] == title and text.mask is None
    with pytest.raises(IndexError):
        page()[2]
    rest = page()[1:]
    assert isinstance(rest, PageDetections) and [region.category for region in rest] == ["Title"]
    assert list(page()[:0]) == []


def test_masks_go_with_their_region():
    masks = torch.rand(2, 28, 28)
    regions = list(page(masks=masks))
    assert np.array_equal(regions[1].mask, masks[1].numpy())


def test_pages_are_equal_or_not():
    """Failed before: the truth value of a tensor is ambiguous."""
    one = page()
    assert one == page() and one != page(dpi=72) and one != "page"
    other = page()
    other.boxes[1, 2] += 1
    assert one != other
    other = page()
    other.lines.lines[0] = "another"
    assert one != other
    assert one in [other, page()]


def test_repr_is_one_line_without_secrets():
    shown = repr(page())
    assert shown == "<scan.pdf, page 3: 100×80, 2 regions: 1 Text, 1 Title>"
    assert repr(page()[:0]) == "<scan.pdf, page 3: 100×80, 0 regions>"
    assert "\n" not in repr(page(page=Page("a\nb.png", 100, 80)))


def test_a_notebook_shows_the_page():
    html = page()._repr_html_()
    data = re.search(r'src="data:image/jpeg;base64,([^"]+)"', html)
    assert data is not None
    with Image.open(io.BytesIO(base64.b64decode(data[1]))) as picture:
        assert picture.size == (100, 80)
    assert "A &lt;b&gt;title" in html and "<b>" not in html and "sesame" not in html
    with Image.open(io.BytesIO(page()._repr_png_())) as picture:
        drawn = np.asarray(picture)
    assert (drawn != 255).any()


def test_a_notebook_says_why_there_is_no_picture(tmp_path):
    lost = page(image=None, page=Page(str(tmp_path / "gone.png"), 100, 80))
    assert "gone.png" in lost._repr_html_() and "<img" not in lost._repr_html_()
    assert lost._repr_png_() is None


def test_regions_as_a_table(monkeypatch):
    pytest.importorskip("pandas")
    table = page().to_dataframe()
    assert list(table.columns) == [
        "file", "page", "category", "score", "x0", "y0", "x1", "y1", "order", "text"
    ]  # fmt: skip
    assert table["category"].tolist() == ["Text", "Title"] and table["page"].tolist() == [3, 3]
    assert table["order"].tolist() == [1, 0]  # the title is read first
    assert table.loc[1, ["x0", "y0", "x1", "y1"]].tolist() == [10, 10, 90, 20]
    assert table["text"][0] == "Some words are divided."
    assert len(page()[:0].to_dataframe()) == 0

    real = builtins.__import__

    def without_pandas(name, *args, **options):
        if name == "pandas":
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without_pandas)
    with pytest.raises(InputError, match="pandas is not installed"):
        page().to_dataframe()
