"""Synthetic pages: geometry against the pixels, words, seeds, resuming, look-alikes, faults."""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("typst")

from lmv3det.cli.synthetic import add_arguments, run
from lmv3det.errors import InputError
from lmv3det.files import lock_folder
from pagegen.chinese import ChineseProse
from pagegen.degrade import move_boxes, scan
from pagegen.english import EnglishProse
from pagegen.marks import Marks, code_of, colour
from pagegen.ocr import misread, ocr_json, whole_pixels
from pagegen.style import draw_style
from pagegen.text import Corpus
from pagegen.truth import hull, read_page
from pagegen.typst import generate
from pagegen.typst import maker as maker_module
from pagegen.typst.lookalike import LookAlikes
from pagegen.typst.maker import gather_fonts
from pagegen.typst.typeset import PageWriter

CDLA = ["Text", "Title", "Figure", "Figure caption", "Table", "Table caption"]
CDLA += ["Header", "Footer", "Reference", "Equation"]
PAGES = 8


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of eight pages, both languages."""
    out = tmp_path_factory.mktemp("synthetic") / "plain"
    generate(out, PAGES, seed=5)
    return out


def load(out: Path) -> tuple[dict, dict[str, list[dict]], dict[str, dict]]:
    data = json.loads((out / "annotations.json").read_text("utf-8"))
    regions = {
        image["file_name"]: [a for a in data["annotations"] if a["image_id"] == image["id"]]
        for image in data["images"]
    }
    lines = {
        image["file_name"]: json.loads(
            (out / "OCR" / (Path(image["file_name"]).stem + ".json")).read_text("utf-8")
        )
        for image in data["images"]
    }
    return data, regions, lines


def inside(inner: list[float], outer: list[float], slack: float = 0) -> bool:
    x, y, w, h = inner
    a, b, c, d = outer
    return x >= a - slack and y >= b - slack and x + w <= a + c + slack and y + h <= b + d + slack


def test_format(plain: Path) -> None:
    data, _, lines = load(plain)
    assert [c["name"] for c in data["categories"]] == list(CDLA)
    assert [c["id"] for c in data["categories"]] == list(range(1, 11))
    assert len(data["images"]) == PAGES
    assert len({a["id"] for a in data["annotations"]}) == len(data["annotations"])
    for image in data["images"]:
        with Image.open(plain / "images" / image["file_name"]) as picture:
            assert picture.size == (image["width"], image["height"])
        assert 998 <= image["height"] <= 1002
        ocr = lines[image["file_name"]]
        assert (ocr["W"], ocr["H"]) == (image["width"], image["height"])
        assert len(ocr["bbox"]) == len(ocr["words"]) > 5
        assert all(isinstance(w, str) and w.strip() == w != "" for w in ocr["words"])
    for a in data["annotations"]:
        x, y, w, h = a["bbox"]
        assert a["segmentation"] == [[x, y, x + w, y, x + w, y + h, x, y + h]]
        assert a["area"] == w * h > 0
        assert a["iscrowd"] == 0
    assert {image["language"] for image in data["images"]} == {"en", "zh"}
    found = Counter(a["category_id"] for a in data["annotations"])
    assert len(found) >= 8, found


def test_boxes_hug_the_ink_and_hold_it(plain: Path) -> None:
    _, regions, _ = load(plain)
    for name, found in regions.items():
        grey = np.asarray(Image.open(plain / "images" / name).convert("L"))
        held = np.zeros(grey.shape, dtype=bool)
        for region in found:
            x, y, w, h = region["bbox"]
            held[y : y + h, x : x + w] = True
            ink = grey[y : y + h, x : x + w] < 235
            assert ink.any(), (name, region)
            columns, rows = np.flatnonzero(ink.any(0)), np.flatnonzero(ink.any(1))
            slack = max(columns[0], w - 1 - columns[-1], rows[0], h - 1 - rows[-1])
            assert slack <= 3, (name, region, slack)
        dark = grey < 190
        # Only the thin rules under headers and above footnotes belong to no region.
        rows = np.flatnonzero((dark & ~held).any(1))
        assert len(rows) <= 8, (name, rows)
        assert (dark & ~held).sum() < 0.1 * dark.sum(), name


def test_regions_do_not_overlap(plain: Path) -> None:
    _, regions, _ = load(plain)
    for name, found in regions.items():
        boxes = [a["bbox"] for a in found]
        for i, (x0, y0, w0, h0) in enumerate(boxes):
            for x1, y1, w1, h1 in boxes[i + 1 :]:
                wide = min(x0 + w0, x1 + w1) - max(x0, x1)
                high = min(y0 + h0, y1 + h1) - max(y0, y1)
                assert min(wide, high) <= 2, (name, boxes[i], (x1, y1, w1, h1))


def test_lines_lie_on_the_page_each_in_one_region_and_fill_it(plain: Path) -> None:
    _, regions, lines = load(plain)
    ids = {name: i + 1 for i, name in enumerate(CDLA)}
    for name, ocr in lines.items():
        page = [0, 0, ocr["W"], ocr["H"]]
        for box in ocr["bbox"]:
            assert inside(box, page)
            assert sum(inside(box, a["bbox"], 1) for a in regions[name]) == 1, (name, box)
        for region in regions[name]:
            if region["category_id"] not in (ids["Text"], ids["Title"], ids["Reference"]):
                continue
            own = np.array([b for b in ocr["bbox"] if inside(b, region["bbox"])], dtype=float)
            union = np.array([*own[:, :2].min(0), *(own[:, :2] + own[:, 2:]).max(0)])
            x, y, w, h = region["bbox"]
            assert np.abs(union - [x, y, x + w, y + h]).max() <= 2


def test_same_seed_same_bytes_whatever_the_count_and_the_workers(
    plain: Path, tmp_path: Path
) -> None:
    generate(tmp_path / "again", 3, seed=5, workers=2)
    for kind in ("images", "OCR"):
        files = sorted((tmp_path / "again" / kind).iterdir())
        assert len(files) == 3
        for file in files:
            assert file.read_bytes() == (plain / kind / file.name).read_bytes(), file.name


def test_another_seed_other_pages(tmp_path: Path, plain: Path) -> None:
    generate(tmp_path / "other", 1, seed=6, language="en")
    first = (tmp_path / "other" / "OCR" / "page_000001.json").read_bytes()
    assert first != (plain / "OCR" / "page_000001.json").read_bytes()


def test_resumes_and_makes_only_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "data"
    made: list[int] = []
    make = maker_module.Maker.make

    def count(self: maker_module.Maker, index: int) -> None:
        if len(made) == 1:
            raise KeyboardInterrupt
        made.append(index)
        make(self, index)

    monkeypatch.setattr(maker_module.Maker, "make", count)
    with pytest.raises(KeyboardInterrupt):
        generate(out, 2, language="en")
    assert not (out / "annotations.json").exists()
    monkeypatch.setattr(
        maker_module.Maker, "make", lambda self, i: (made.append(i), make(self, i))[1]
    )
    generate(out, 2, language="en")
    assert made == [0, 1]
    whole = (out / "annotations.json").read_bytes()
    generate(out, 2, language="en")
    assert made == [0, 1]
    assert (out / "annotations.json").read_bytes() == whole
    with pytest.raises(InputError, match="seed 0, not 1"):
        generate(out, 2, seed=1, language="en")
    assert (out / "annotations.json").read_bytes() == whole
    left = out / "images" / f".{2**22 + 1}.{'0' * 12}.png"  # as a killed run leaves it
    left.write_bytes(b"half a page")
    generate(out, 2, language="en")
    assert not left.exists()


def test_two_jobs_do_not_share_a_folder(tmp_path: Path) -> None:
    with lock_folder(tmp_path, "this test"), pytest.raises(InputError, match="another job writes"):
        generate(tmp_path, 1, language="en")
    generate(tmp_path, 1, language="en")


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match="holds other files"):
        generate(tmp_path, 1)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pages": 0}, "pages is 0"),
        ({"share": 1.5}, "share is 1.5"),
        ({"setting": "plane"}, "'plane'"),
        ({"language": "fr"}, "'fr'"),
        ({"dpi": 5}, "dpi is 5"),
        ({"ocr_noise": -0.1}, "ocr_noise is -0.1"),
        ({"workers": 0}, "workers is 0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_faulty_settings(tmp_path: Path, options: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        generate(tmp_path / "x", **{"pages": 1, **options})
    assert not (tmp_path / "x").exists()


def test_missing_chinese_font_is_named_with_the_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = maker_module.importlib.util.find_spec
    monkeypatch.setattr(
        maker_module.importlib.util,
        "find_spec",
        lambda name: None if name == "pylopdf_fonts_zh_cn" else find(name),
    )
    with pytest.raises(InputError, match=r"pylopdf-fonts-zh-cn.*pip install"):
        generate(tmp_path / "x", 1, language="zh")
    assert maker_module.font_files("en")


def test_corpus(tmp_path: Path) -> None:
    paragraph = 'Quokkas jump over wombats without \\any #hurry or $worry in the "morning" sun. '
    corpus = tmp_path / "corpus.txt"
    corpus.write_text(paragraph * 3 + "\nshort\n", "utf-8")
    generate(tmp_path / "data", 1, language="en", corpus=corpus)
    words = " ".join(load(tmp_path / "data")[2]["page_000001.png"]["words"])
    assert "wombats" in words
    assert "#hurry" in words
    with pytest.raises(InputError, match="no Chinese paragraph"):
        Corpus.read(corpus, "mixed")
    (tmp_path / "bad.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8"):
        Corpus.read(tmp_path / "bad.txt", "en")
    with pytest.raises(InputError, match="cannot be read"):
        Corpus.read(tmp_path / "none.txt", "en")


def test_scanned_pages_keep_their_boxes_on_the_ink(tmp_path: Path) -> None:
    generate(tmp_path, 2, seed=3, language="en", degrade=True, ocr_noise=0.05)
    _, regions, lines = load(tmp_path)
    for name, found in regions.items():
        assert name.endswith(".jpg")
        grey = np.asarray(Image.open(tmp_path / "images" / name).convert("L"), dtype=float)
        held = np.zeros(grey.shape, dtype=bool)
        for region in found:
            x, y, w, h = region["bbox"]
            held[max(0, y - 2) : y + h + 2, max(0, x - 2) : x + w + 2] = True
        dark = grey < 0.6 * np.median(grey)
        assert (dark & held).sum() > 0.9 * dark.sum()
        assert lines[name]["words"]


def test_scan_moves_boxes_with_the_paper() -> None:
    for seed in range(6):
        picture = Image.new("RGB", (300, 400), (255, 255, 255))
        picture.paste((0, 0, 0), (60, 300, 90, 330))
        scanned, matrix = scan(picture, random.Random(seed))
        assert scanned.size == picture.size
        grey = np.asarray(scanned.convert("L"), dtype=float)
        rows, columns = np.nonzero(grey < 0.5 * np.median(grey))
        keep = (abs(columns - np.median(columns)) < 25) & (abs(rows - np.median(rows)) < 25)
        seen = [
            columns[keep].min(),
            rows[keep].min(),
            columns[keep].max() + 1,
            rows[keep].max() + 1,
        ]
        moved = move_boxes(np.array([[60.0, 300.0, 90.0, 330.0]]), matrix)[0]
        assert np.abs(moved - seen).max() < 2.5


def test_move_boxes_by_hand() -> None:
    quarter = np.array([[0.0, -1.0, 10.0], [1.0, 0.0, 0.0]])
    boxes = move_boxes(np.array([[1.0, 2.0, 4.0, 3.0]]), quarter)
    assert boxes.tolist() == [[7.0, 1.0, 8.0, 4.0]]


def test_marks_hide_in_any_colour() -> None:
    for code in (1, 15, 16, 4095):
        for base in ((0, 0, 0), (0x10, 0x73, 0xFF)):
            text = colour(code, base)
            shade = tuple(int(text[6 + i : 8 + i], 16) for i in (0, 2, 4))
            assert code_of(*shade) == code
            assert all(abs(a - (b & 0xF0)) < 16 for a, b in zip(shade, base, strict=True))
    with pytest.raises(ValueError, match="Caption"):
        Marks().region("Caption")


def typeset(tmp_path: Path, source: str) -> bytes:
    import typst

    gather_fonts("zh", tmp_path)
    fonts = typst.Fonts(include_system_fonts=False, font_paths=[str(tmp_path / "fonts")])
    pdf = typst.Compiler(font_paths=fonts, ignore_system_fonts=True).compile(
        source.encode(), format="pdf"
    )
    assert isinstance(pdf, bytes)
    return pdf


def test_a_known_page(tmp_path: Path) -> None:
    """A paragraph over two columns gives two fragments; words and gaps as they stand."""
    marks = Marks()
    flow = marks.unit(marks.region("Text", flows=True), 10)
    box = marks.unit(marks.region("Equation"), 10, stacked=True)
    pair = marks.unit(marks.region("Footer"), 10)
    chinese = marks.unit(marks.region("Title"), 10)
    pdf = typeset(
        tmp_path,
        f"""#set page(width: 200pt, height: 120pt, margin: 10pt, columns: 2)
#set columns(gutter: 20pt)
#set text(size: 10pt, font: ("New Computer Modern", "Noto Serif SC"))
#set text(fill: {colour(flow)})
One two\\ three $x^2$ four\\ five\\ six\\ seven\\ eight\\ nine\\ ten\\ affine.

#text(fill: {colour(box)})[$ a/b $]
#text(fill: {colour(pair)})[left#h(1fr)right]
#place(bottom, text(fill: {colour(chinese)})[图 3　中文，标题])
#rect(width: 10pt, height: 10pt)""",
    )
    truth = read_page(pdf, marks, 2.0)
    assert truth.image.size == (400, 240)
    texts = {r.category: [line.text for line in r.lines] for r in truth.regions[2:]}
    flows = truth.regions[:2]
    assert [r.category for r in flows] == ["Text", "Text"]
    joined = [line.text for r in flows for line in r.lines]
    assert joined == [
        "One two",
        "three x2 four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "affine.",
    ]
    assert hull(flows[0].boxes)[2] <= 180
    assert hull(flows[1].boxes)[0] >= 219
    assert texts["Equation"] == ["ab"]
    assert texts["Footer"] == ["left", "right"]
    assert texts["Title"] == ["图 3 中文，标题"]
    equation = next(r for r in truth.regions if r.category == "Equation")
    x0, y0, x1, y1 = hull(equation.boxes)
    assert 4 < x1 - x0 < 30
    assert 25 < y1 - y0 < 50


def test_misreading_and_files() -> None:
    lines = [((10, 10, 60, 20), "The quick brown fox"), ((0, 30, 40, 40), "中文“引号”")]
    assert misread(lines, 0.0, random.Random(0), 100, 100)[0][1] == lines[0][1]
    noisy = misread(lines * 20, 0.2, random.Random(0), 100, 100)
    assert any(text != "The quick brown fox" for _, text in noisy[::2])
    assert all(0 <= x0 < x1 <= 100 and 0 <= y0 < y1 <= 100 for (x0, y0, x1, y1), _ in noisy)
    text = ocr_json(lines, 100, 200)
    read = json.loads(text)
    assert read == {
        "bbox": [[10, 10, 50, 10], [0, 30, 40, 10]],
        "words": ["The quick brown fox", "中文“引号”"],
        "W": 100,
        "H": 200,
    }
    assert "中文" in text
    assert json.loads(ocr_json([], 5, 6)) == {"bbox": [], "words": [], "W": 5, "H": 6}
    assert whole_pixels(np.array([[1.5, 2.2, 3.1, 4.0], [0.5, 3.0, 2.0, 5.5]]), 10, 5) == (
        0,
        2,
        4,
        5,
    )
    assert whole_pixels(np.array([[11.0, 2.0, 12.0, 4.0]]), 10, 5) is None


@pytest.mark.parametrize(("prose", "language"), [(EnglishProse, "en"), (ChineseProse, "zh")])
def test_prose_is_varied_and_of_the_length_asked(prose: type, language: str) -> None:
    one = prose(random.Random(1))
    text = one.paragraph(3000)
    assert 2500 < len(text) < 3600
    sentences = [one.sentence() for _ in range(200)]
    assert len(set(sentences)) > 190
    assert (sum("\u4e00" <= c <= "\u9fff" for c in text) > 0.5 * len(text)) == (language == "zh")
    counts = Counter(text.split()) if language == "en" else Counter(text)
    top = counts.most_common(400)
    assert top[0][1] > 8 * top[-1][1]  # Few words often, many seldom.
    assert prose(random.Random(1)).paragraph(3000) == text


def looks(setting_rng: int, language: str, tmp_path: Path) -> tuple[LookAlikes, PageWriter]:
    rng = random.Random(setting_rng)
    style = draw_style(rng, language)
    prose = (ChineseProse if language == "zh" else EnglishProse)(rng)
    writer = PageWriter(rng, style, prose, Marks(), tmp_path, "x")
    return LookAlikes(writer, 1.0), writer


def test_look_alikes_toss_for_their_class(tmp_path: Path) -> None:
    tops: Counter[str] = Counter()
    lists: Counter[str] = Counter()
    slots: Counter[str] = Counter()
    for seed in range(120):
        look, writer = looks(seed, "en" if seed % 2 else "zh", tmp_path)
        look.top_line()
        tops.update(r.category for r in writer.marks.regions)
        writer.marks.regions.clear()
        look.entry_list()
        lists.update({r.category for r in writer.marks.regions} - {"Section header"})
        writer.marks.regions.clear()
        look.with_slots("table", 200)
        slots.update(r.category for r in writer.marks.regions if r.category != "Table")
    for counts, names in (
        (tops, {"Header", "Section header"}),
        (lists, {"Reference", "List item"}),
        (slots, {"Table caption", "Text"}),
    ):
        assert set(counts) == names
        assert min(counts.values()) > 0.33 * sum(counts.values()), counts


def test_text_matters_pages(tmp_path: Path) -> None:
    """On look-alike pages the captions' first line starts with its label in the body's type."""
    generate(tmp_path, 3, seed=11, setting="text_matters", share=1.0, language="en")
    data, regions, lines = load(tmp_path)
    ids = {name: i + 1 for i, name in enumerate(CDLA)}
    captions = 0
    for name, found in regions.items():
        ocr = lines[name]
        for region in found:
            if region["category_id"] in (ids["Figure caption"], ids["Table caption"]):
                own = [
                    (b[1], w)
                    for b, w in zip(ocr["bbox"], ocr["words"], strict=True)
                    if inside(b, region["bbox"])
                ]
                assert min(own)[1].lower().startswith(("fig", "table"))
                captions += 1
    assert captions >= 1
    assert data["images"]


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    args = parser.parse_args([str(tmp_path / "o"), "--pages", "1", "--dpi", "72", "--seed", "4"])
    assert args.setting == "plain"
    assert run(args) == 0
    assert capsys.readouterr().out.strip().endswith("annotations.json")
    assert json.loads((tmp_path / "o" / "settings.json").read_text())["dpi"] == 72
