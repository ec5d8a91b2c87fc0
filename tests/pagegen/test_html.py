"""Pages by HTML: regions and lines against the ink, nothing that overlaps, seeds, resuming."""

from __future__ import annotations

import importlib.util
import json
import random
from pathlib import Path

import numpy as np
import pytest

from lmv3det.errors import InputError
from pagegen import warp
from pagegen.html import generate
from pagegen.html.browser import find_chromium
from pagegen.html.labels import Line, Region, blank, cut_at_ink, regions_of

chromium = pytest.mark.skipif(
    find_chromium() is None or importlib.util.find_spec("playwright") is None,
    reason="no Chromium or no playwright: apt-get install chromium, pip install playwright",
)
PAGES = 8
RUNNING = ("report", "gazette", "letter", "textbook", "annual", "guide")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("html") / "pages"
    generate(out, PAGES, seed=3, kinds=RUNNING, jpeg=None, wear=False)
    return out


def _regions(out: Path) -> dict[str, list[tuple[str, list[int]]]]:
    data = json.loads((out / "annotations.json").read_text())
    names = {c["id"]: c["name"] for c in data["categories"]}
    files = {i["id"]: i["file_name"] for i in data["images"]}
    found: dict[str, list[tuple[str, list[int]]]] = {name: [] for name in files.values()}
    for a in data["annotations"]:
        x, y, w, h = a["bbox"]
        found[files[a["image_id"]]].append((names[a["category_id"]], [x, y, x + w, y + h]))
    return found


def _lines(out: Path, name: str) -> list[tuple[str, list[int]]]:
    page = json.loads((out / "OCR" / f"{Path(name).stem}.json").read_text())
    boxes = [[x, y, x + w, y + h] for x, y, w, h in page["bbox"]]
    return list(zip(page["words"], boxes, strict=True))


def _pixels(out: Path, name: str) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(out / "images" / name).convert("L")).astype(int)


@chromium
def test_lines_lie_on_their_ink_within_two_pixels(pages: Path) -> None:
    slacks: list[int] = []
    for name in _regions(pages):
        pixels = _pixels(pages, name)
        for text, (x0, y0, x1, y1) in _lines(pages, name):
            part = pixels[y0:y1, x0:x1]
            ink = abs(part - np.bincount(part.ravel()).argmax()) > 24
            if len(text) < 4 or not text.isascii() or not text[-1].isalnum() or not ink.any():
                continue
            columns, rows = np.flatnonzero(ink.any(axis=0)), np.flatnonzero(ink.any(axis=1))
            slack = (columns[0], x1 - x0 - 1 - columns[-1], rows[0], y1 - y0 - 1 - rows[-1])
            slacks.append(max(slack))
    # 2 and the rounding to whole pixels; type that the browser leans itself, for want of an italic
    # face, starts further right than its upright letters do.
    assert len(slacks) > 60
    assert np.mean(np.array(slacks) <= 3) > 0.95
    assert max(slacks) <= 6


@chromium
def test_no_ink_of_words_is_outside_of_every_region(pages: Path) -> None:
    for name, regions in _regions(pages).items():
        lines = _lines(pages, name)
        assert lines
        for text, (x0, y0, x1, y1) in lines:
            inside = [
                r
                for _, r in regions
                if r[0] <= x0 + 1 and r[1] <= y0 + 1 and r[2] >= x1 - 1 and r[3] >= y1 - 1
            ]
            assert inside, (name, text)


@chromium
def test_regions_do_not_overlap(pages: Path) -> None:
    for name, regions in _regions(pages).items():
        for i, (_, a) in enumerate(regions):
            for _, b in regions[i + 1 :]:
                across = min(a[2], b[2]) - max(a[0], b[0])
                down = min(a[3], b[3]) - max(a[1], b[1])
                assert min(across, down) <= 8, (name, a, b)  # 0.6 % of 1000 and the rounding


@chromium
def test_pages_are_made_again_alike_and_only_those_that_miss(pages: Path, tmp_path: Path) -> None:
    other = tmp_path / "pages"
    generate(other, PAGES, seed=3, kinds=RUNNING, jpeg=None, wear=False)
    first = (pages / "annotations.json").read_bytes()
    assert (other / "annotations.json").read_bytes() == first
    gone, kept = other / ".pages/page_000002.json", other / "images/page_000003.png"
    before = kept.stat().st_mtime_ns
    gone.unlink()
    generate(other, PAGES, seed=3, kinds=RUNNING, jpeg=None, wear=False)
    assert (other / "annotations.json").read_bytes() == first
    assert kept.stat().st_mtime_ns == before
    for name in _regions(pages):
        assert (_pixels(pages, name) == _pixels(other, name)).all()
    with pytest.raises(InputError, match="another seed"):
        generate(other, PAGES, seed=4, kinds=RUNNING, jpeg=None, wear=False)


def test_wrong_settings_are_told(tmp_path: Path) -> None:
    for wrong in ({"pages": 0}, {"pages": 1, "kinds": ["bok"]}, {"pages": 1, "height": 20},
                  {"pages": 1, "classes": "coco"}):  # fmt: skip
        with pytest.raises(InputError, match="pages by HTML"):
            generate(tmp_path / "x", **wrong)  # type: ignore[arg-type]


def test_a_missing_chromium_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMV3DET_CHROMIUM", str(tmp_path / "none"))
    with pytest.raises(InputError, match=r"Chromium|playwright"):
        generate(tmp_path / "x", 1)


def _entry(category: str, words: list[list[object]], **more: object) -> dict[str, object]:
    return {"c": category, "drawn": [], "words": words, "f": "", "ink": False, **more}


def test_a_paragraph_over_two_columns_is_two_regions() -> None:
    # text, x0, y0, x1, y1, base line, size, block, turned
    words = [["one", 10, 93, 30, 100, 100, 10, 0, 0], ["two", 10, 102, 30, 112, 112, 10, 0, 0],
             ["three", 60, 10, 90, 20, 20, 10, 0, 0]]  # fmt: skip
    found = regions_of({"regions": [_entry("Text", words)]}, 2.0)
    assert [[line.text for line in r.lines] for r in found] == [["one", "two"], ["three"]]
    # 0.86 of the size above the base line and 0.22 below the last.
    assert found[0].box == pytest.approx((20, 2 * (100 - 8.6), 60, 2 * (112 + 2.2)))


def test_words_far_apart_are_two_lines_and_joined_ones_one() -> None:
    words = [["a", 10, 90, 20, 100, 100, 10, 0, 0], ["b", 23, 90, 30, 100, 100, 10, 0, 0],
             ["c", 60, 90, 70, 100, 100, 10, 0, 0]]  # fmt: skip
    (region,) = regions_of({"regions": [_entry("Text", words)]}, 1.0)
    assert [line.text for line in region.lines] == ["a b", "c"]


def test_a_drawing_is_cut_at_its_ink_and_a_blank_line_is_seen() -> None:
    image = np.full((100, 100, 3), 240, np.uint8)
    image[30:50, 20:60] = 10
    region = Region("Figure", np.array([[5.0, 5.0, 95.0, 95.0]]), ink=True)
    cut_at_ink(region, image)
    assert region.box == (20, 30, 60, 50)
    region.lines = [Line("ab", (20, 30, 60, 55), 50, 20, False)]
    assert not blank([region], image)
    region.lines = [Line("ab", (70, 30, 90, 50), 50, 20, False)]
    assert blank([region], image)


def test_boxes_move_with_a_bent_page() -> None:
    from PIL import Image

    for seed in range(6):
        pixels = np.full((400, 300, 3), 255, np.uint8)
        pixels[100:120, 60:220] = 0
        bent, move = warp.bend(Image.fromarray(pixels), random.Random(seed))
        x0, y0, x1, y1 = warp.move_boxes(np.array([[60.0, 100.0, 220.0, 120.0]]), move)[0]
        ink = np.asarray(bent.convert("L")).astype(int)[60:170, 40:260] < 60
        rows, columns = np.flatnonzero(ink.any(axis=1)) + 60, np.flatnonzero(ink.any(axis=0)) + 40
        found = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        assert np.abs(np.array(found) - (x0, y0, x1, y1)).max() <= 2
