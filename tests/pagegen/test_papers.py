"""Pages of the setting ``papers``: geometry against the pixels, every kind of figure and table."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("typst")

from lmv3det.classes import CDLA, FOLDINGS
from lmv3det.errors import InputError
from pagegen import degrade
from pagegen.degrade import wear
from pagegen.english import EnglishProse
from pagegen.marks import Marks, colour
from pagegen.truth import Region, Truth, _near, hull
from pagegen.typst import generate, maker
from pagegen.typst.figures import Canvas
from pagegen.typst.maker import crowded
from pagegen.typst.papers.diagrams import DIAGRAMS
from pagegen.typst.papers.photos import PHOTOS
from pagegen.typst.papers.plots import plot
from pagegen.typst.papers.style import FAMILIES, draw_paper_style

PAGES = 16


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pages that were not worn, so that ink is where it was set."""
    out = tmp_path_factory.mktemp("papers") / "papers"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(degrade, "wear", lambda image, rng: (image, None))
        generate(out, PAGES, seed=2, setting="papers")
    return out


def by_page(out: Path) -> dict[str, list[tuple[str, list[int]]]]:
    data = json.loads((out / "annotations.json").read_text("utf-8"))
    names = {image["id"]: image["file_name"] for image in data["images"]}
    pages: dict[str, list[tuple[str, list[int]]]] = {name: [] for name in names.values()}
    for a in data["annotations"]:
        pages[names[a["image_id"]]].append((CDLA[a["category_id"] - 1], a["bbox"]))
    return pages


def test_boxes_hug_the_ink_and_hold_most_of_it(papers: Path) -> None:
    for name, found in by_page(papers).items():
        grey = np.asarray(Image.open(papers / "images" / name).convert("L"))
        held = np.zeros(grey.shape, dtype=bool)
        for category, (x, y, w, h) in found:
            held[y : y + h, x : x + w] = True
            ink = grey[y : y + h, x : x + w] < 240
            assert ink.any(), (name, category)
            columns, rows = np.flatnonzero(ink.any(0)), np.flatnonzero(ink.any(1))
            assert max(columns[0], w - 1 - columns[-1]) <= 3, (name, category, (x, y, w, h))
            # Words: the height of the type; pictures, tables and formulas: the ink.
            type_height = category not in ("Figure", "Table")
            assert max(rows[0], h - 1 - rows[-1]) <= (12 if type_height else 3), (name, category)
        dark = grey < 150
        assert (dark & ~held).sum() < 0.1 * dark.sum(), name


def test_regions_do_not_overlap(papers: Path) -> None:
    for name, found in by_page(papers).items():
        for i, (one, (x0, y0, w0, h0)) in enumerate(found):
            for two, (x1, y1, w1, h1) in found[i + 1 :]:
                wide = min(x0 + w0, x1 + w1) - max(x0, x1)
                high = min(y0 + h0, y1 + h1) - max(y0, y1)
                assert min(wide, high) <= 3, (name, one, two)


def test_each_line_of_words_lies_in_one_region(papers: Path) -> None:
    for name, found in by_page(papers).items():
        ocr = json.loads((papers / "OCR" / f"{Path(name).stem}.json").read_text("utf-8"))
        assert len(ocr["bbox"]) == len(ocr["words"]) > 3
        text = " ".join(ocr["words"])
        assert text.isprintable()
        assert not re.search(r"(bold|cal|frac|hat|overline)\(", text), name  # A cut formula.
        for x, y, w, h in ocr["bbox"]:
            holders = [
                1
                for _, (a, b, c, d) in found
                if x >= a - 1 and y >= b - 1 and x + w <= a + c + 1 and y + h <= b + d + 1
            ]
            assert len(holders) == 1, (name, (x, y, w, h))


def test_all_classes_come(papers: Path) -> None:
    found = Counter(category for page in by_page(papers).values() for category, _ in page)
    assert set(found) == set(CDLA)


def test_same_seed_same_bytes(
    papers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(degrade, "wear", lambda image, rng: (image, None))
    generate(tmp_path / "again", 2, seed=2, setting="papers")
    for kind in ("images", "OCR"):
        for file in (tmp_path / "again" / kind).iterdir():
            assert file.read_bytes() == (papers / kind / file.name).read_bytes(), file.name


def test_height_and_jpeg(tmp_path: Path) -> None:
    generate(tmp_path / "a", 1, language="en", setting="papers", height=500, jpeg=70)
    image = Image.open(tmp_path / "a" / "images" / "page_000001.jpg")
    assert 498 <= image.height <= 502
    with pytest.raises(InputError, match="height 500, not 600"):
        generate(tmp_path / "a", 1, language="en", setting="papers", height=600, jpeg=70)
    for options, said in (
        ({"height": 20}, "height is 20"),
        ({"jpeg": 0}, "jpeg is 0"),
        ({"height": 500, "dpi": 72}, "both dpi and height"),
    ):
        with pytest.raises(InputError, match=said):
            generate(tmp_path / "b", 1, **options)


def test_a_folder_from_before_a_setting_came_is_gone_on_with(tmp_path: Path) -> None:
    generate(tmp_path / "old", 1, language="en")
    file = tmp_path / "old" / "settings.json"
    settings = json.loads(file.read_text())
    del settings["height"], settings["jpeg"]
    file.write_text(json.dumps(settings))
    assert generate(tmp_path / "old", 1, language="en").exists()
    with pytest.raises(InputError, match="jpeg None, not 80"):
        generate(tmp_path / "old", 1, language="en", jpeg=80)


@pytest.mark.parametrize("make", dict.fromkeys([*PHOTOS]))
def test_photos_fill_their_size_and_vary(make) -> None:  # type: ignore[no-untyped-def]
    first = make(np.random.default_rng(1), 61, 90)
    assert first.shape == (61, 90, 3)
    assert first.dtype == np.uint8
    assert first.std() > 3
    assert not np.array_equal(first, make(np.random.default_rng(2), 61, 90))
    assert np.array_equal(first, make(np.random.default_rng(1), 61, 90))


@pytest.mark.parametrize("draw", [plot, *dict.fromkeys(DIAGRAMS)])
@pytest.mark.parametrize("size", [(45.0, 40.0), (160.0, 90.0), (480.0, 600.0)])
def test_drawings_of_any_size_stay_near_their_canvas(  # type: ignore[no-untyped-def]
    draw, size: tuple[float, float], tmp_path: Path
) -> None:
    import typst

    from pagegen.truth import read_page
    from pagegen.typst.figures import PREAMBLE

    w, h = size
    for seed in range(3):
        rng, marks = random.Random(seed), Marks()
        region = marks.region("Figure")
        canvas = Canvas(rng, EnglishProse(rng), marks, region, tmp_path, w, h, 6.0, "x")
        draw(canvas, 0, 0, w, h)
        page = f"{PREAMBLE}\n#set page(width: {w + 100}pt, height: {h + 100}pt, margin: 50pt)\n"
        (tmp_path / "m.typ").write_text(page + f"#{canvas.code()}", "utf-8")
        pdf = typst.compile(str(tmp_path / "m.typ"))
        x0, y0, x1, y1 = hull(read_page(pdf, marks, 1.0).regions[0].boxes)
        assert x0 > 50 - 30 and y0 > 50 - 30 and x1 < w + 80 and y1 < h + 80, (seed, x0, y0, x1, y1)
        assert x1 - x0 > 0.3 * w


def test_words_cover_the_height_of_their_type(tmp_path: Path) -> None:
    import typst

    from pagegen.truth import read_page

    marks = Marks(full_height=True)
    line = marks.unit(marks.region("Header"), 10)
    cell = marks.unit(marks.region("Table"), 10)
    source = f"""#set page(width: 100pt, height: 100pt, margin: 10pt)
#place(dy: 20pt, text(fill: {colour(line)}, size: 10pt)[axe])
#place(dy: 60pt, text(fill: {colour(cell)}, size: 10pt)[axe])"""
    (tmp_path / "m.typ").write_text(source)
    header, table = read_page(typst.compile(str(tmp_path / "m.typ")), marks, 1.0).regions
    x0, y0, x1, y1 = hull(header.boxes)
    assert y1 - y0 == pytest.approx(10.8)
    low = hull(table.boxes)
    assert low[3] - low[1] < 5.5  # The ink of x-high letters.
    assert (x0, x1) == pytest.approx((low[0], low[2]))
    assert y1 == pytest.approx(low[3] - 40 + 2.2, abs=0.3)


def test_a_number_joins_its_formula_only_where_they_are_close() -> None:
    def region(x0: float, x1: float) -> Region:
        return Region("Equation", np.array([[x0, 10.0, x1, 20.0]]))

    assert _near(region(0, 50), region(60, 70), 20)
    assert not _near(region(0, 50), region(80, 90), 20)
    assert _near(region(0, 50), region(40, 70), 20)


def test_pages_where_something_ran_into_its_neighbour_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def page(*boxes: tuple[int, int, int, int]) -> Truth:
        regions = [Region("Text", np.array([box], dtype=float)) for box in boxes]
        return Truth(Image.new("RGB", (800, 1000)), regions)

    assert not crowded(page())
    assert not crowded(page((0, 0, 100, 50), (0, 47, 100, 90), (120, 0, 200, 90)))
    assert crowded(page((0, 0, 100, 50), (0, 300, 90, 400), (50, 30, 200, 90)))

    tried = []
    typeset = maker.Maker._typeset

    def watch(self: maker.Maker, rng: random.Random, index: int) -> tuple[object, Truth]:
        made, truth = typeset(self, rng, index)
        if not tried:
            truth.regions.append(Region("Table", truth.regions[0].boxes))
        tried.append(made)
        return made, truth

    monkeypatch.setattr(maker.Maker, "_typeset", watch)
    generate(tmp_path / "a", 1, language="en", setting="papers")
    assert len(tried) == 2
    tried.clear()
    generate(tmp_path / "b", 1, language="en")
    assert len(tried) == 1  # The older settings' pages stay as they are.


def test_styles_leave_room_for_text() -> None:
    seen = set()
    for seed in range(300):
        style = draw_paper_style(random.Random(seed), "zh" if seed % 3 == 0 else "en")
        assert style.column_width > 90
        assert style.body_height > 300
        assert style.leading > 0
        seen.add(style.family)
    assert len(seen) == sum(len(f) for f in FAMILIES.values()) - 1  # "free" stands in both.


def test_wear_keeps_the_size_and_moves_boxes_with_the_page() -> None:
    picture = Image.new("RGB", (200, 300), (255, 255, 255))
    picture.paste((0, 0, 0), (60, 200, 90, 230))
    kept = 0
    for seed in range(60):
        worn, matrix = wear(picture, random.Random(seed))
        assert worn.size == picture.size
        kept += np.array_equal(np.asarray(worn), np.asarray(picture))
        if matrix is None:
            grey = np.asarray(worn.convert("L"), dtype=float)
            rows, columns = np.nonzero(grey < 0.6 * np.median(grey))
            assert abs(columns.min() - 60) <= 2 and abs(rows.max() - 229) <= 2
    assert 10 < kept < 50


def test_fine_classes_fold_into_those_asked_for(tmp_path: Path) -> None:
    """The same pages in all classes and in ten: a class becomes another, no region is lost."""
    told = {}
    for classes in ("fine", "cdla"):
        generate(tmp_path, 12, seed=8, setting="papers", language="en", classes=classes)
        data = json.loads((tmp_path / "annotations.json").read_text("utf-8"))
        names = {c["id"]: c["name"] for c in data["categories"]}
        told[classes] = [(a["bbox"], names[a["category_id"]]) for a in data["annotations"]]
    assert {"Section header", "List item"} <= {name for _, name in told["fine"]}
    assert [(box, FOLDINGS["cdla"][name]) for box, name in told["fine"]] == told["cdla"]
    with pytest.raises(InputError, match="classes 'coco': one of"):
        generate(tmp_path, 12, seed=8, setting="papers", language="en", classes="coco")
