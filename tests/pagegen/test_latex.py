"""Pages set by LaTeX: marks, reading them back, a small data set."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lmv3det.classes import CDLA
from lmv3det.errors import InputError
from lmv3det.text.ocr_json import read_ocr
from pagegen.latex import __main__ as command
from pagegen.latex.body import Body, Look
from pagegen.latex.formulas import Formulas, length
from pagegen.latex.journals import CLASSES
from pagegen.latex.macros import FILES, MARKS, PACKAGES
from pagegen.latex.pages import Failed, Job, typeset, write_document
from pagegen.latex.read import Unclear, regions_of
from pagegen.latex.words import BASES, PURE_BLUE, colour, escaped
from pagegen.marks import RegionMark, code_of


def missing_latex() -> str:
    """What is missing of LaTeX, or nothing."""
    try:
        command.check_latex()
    except InputError as error:
        return str(error)
    return ""


needs_latex = pytest.mark.skipif(bool(missing_latex()), reason=missing_latex())


def test_a_colour_carries_its_code():
    for base in BASES:
        for code in (1, 15, 16, 255, 256, 4095):
            parts = [float(x) for x in re.findall(r"\{([\d.]+)\}", colour(code, base))]
            seen = [round(255 * part) for part in parts]
            assert code_of(*seen) == code
            assert all(abs(s - b) < 16 for s, b in zip(seen, base, strict=True))


def test_the_code_of_pure_blue_is_not_given_out(tmp_path):
    import random

    body = Body(random.Random(1), Look(1, 300.0, 3000), tmp_path, 0)
    codes = [body.region("Text") for _ in range(40)]
    assert PURE_BLUE not in codes
    assert all(body.regions[code - 1] is not None for code in codes)


def test_escaped_text_has_no_bare_specials():
    assert escaped("50% of a_b & c#{}") == r"50\% of a\_b \& c\#\{\}"


def test_formulas_are_balanced_and_fit():
    import random

    formulas = Formulas(random.Random(3))
    lengths = []
    for _ in range(300):
        latex = formulas.display(60)
        assert latex.count("{") == latex.count("}")
        assert latex.count(r"\left") == latex.count(r"\right")
        assert len(re.findall(r"\\begin", latex)) == len(re.findall(r"\\end", latex))
        lengths.append(length(formulas.line(60)))
    assert np.mean(np.array(lengths) <= 60) > 0.9
    assert max(lengths) > 30


def regions(tmp_path, body, marks, *, options="", columns=1, before=""):
    """Set a document by the standard class; the regions of its first page in points."""
    import pypdfium2

    source = rf"\documentclass[{options}]{{article}}{PACKAGES}{before}{MARKS}\begin{{document}}"
    pdf = typeset(rf"{source}{body}\end{{document}}", tmp_path, tmp_path, 10**9)
    with pypdfium2.PdfDocument(pdf) as opened:
        return regions_of(opened[0], marks, columns)


def box(boxes):
    return [*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0)]


@needs_latex
def test_a_rule_is_found_to_the_point(tmp_path):
    # An upper left corner 100 and 200 points in from the page's, 150 wide and 60 high.
    place = (
        r"\unitlength1bp\noindent\begin{picture}(0,0)\put(0,-60){%s\rule{150bp}{60bp}}\end{picture}"
    )
    before = r"\usepackage[left=100bp,top=200bp]{geometry}\parindent0pt\topskip0pt"
    found = regions(tmp_path, place % colour(1), [RegionMark("Table", False)], before=before)
    tables = [box(boxes) for name, boxes in found if name == "Table"]
    assert len(tables) == 1
    np.testing.assert_allclose(tables[0], [100, 200, 250, 260], atol=0.2)


@needs_latex
def test_a_picture_is_found_though_its_sheet_is_not_seen(tmp_path):
    Image.new("RGB", (40, 20), "red").save(tmp_path / "red.png")
    body = rf"\noindent\picbox{{{colour(1)}}}{{100pt}}{{50pt}}{{red.png}}"
    found = regions(tmp_path, body, [RegionMark("Figure", False)])
    x0, y0, x1, y1 = box(dict(found)["Figure"])
    np.testing.assert_allclose([x1 - x0, y1 - y0], [100 * 72 / 72.27, 50 * 72 / 72.27], atol=0.1)


@needs_latex
def test_a_paragraph_over_two_columns_gives_two_regions(tmp_path):
    text = "A few words that go on. " * 150
    body = rf"\leavevmode\begingroup{colour(1)}{text}\endgroup\par"
    before = r"\usepackage[textheight=300pt]{geometry}"
    marks = [RegionMark("Text", True)]
    found = regions(tmp_path, body, marks, options="twocolumn", columns=2, before=before)
    left, right = sorted(box(boxes) for name, boxes in found if name == "Text")
    assert left[2] < right[0]
    assert left[3] > right[3] - 1  # The left column is full.
    assert abs(left[1] - right[1]) < 1


@needs_latex
def test_an_equation_number_far_off_is_its_own_region(tmp_path):
    marks = [RegionMark("Equation", False)]
    near = r"\begin{equation}" + "+".join(["x_i y"] * 20) + r"\end{equation}"
    far = r"\begin{equation}x=y\end{equation}"
    for body, count in ((near, 1), (far, 2)):
        found = regions(tmp_path, rf"\begingroup{colour(1)}{body}\par\endgroup", marks)
        assert sum(name == "Equation" for name, _ in found) == count


@needs_latex
def test_words_without_a_mark(tmp_path):
    marks = [RegionMark("Text", True), RegionMark("Text", True)]
    one, two = (rf"\leavevmode{{{colour(code)}Some words.}}\par" for code in (1, 2))
    found = regions(tmp_path, one + two, marks)  # The page's number has none.
    assert sorted(name for name, _ in found) == ["Footer", "Text", "Text"]
    with pytest.raises(Unclear, match="letters without a code"):
        regions(tmp_path, rf"{one}\vskip2cm Bare words.\vskip2cm{two}", marks)


@needs_latex
def test_an_error_of_latex_is_named(tmp_path):
    with pytest.raises(Failed, match="Undefined control sequence"):
        regions(tmp_path, r"\nosuchmacro", [])


@needs_latex
def test_every_class_is_set(tmp_path):
    (tmp_path / ".pictures").mkdir()
    for name in CLASSES:
        rng, document = write_document(Job(tmp_path, 5, 0.0, (name,)), 1)
        folder = tmp_path / name
        folder.mkdir()
        typeset(document.source, folder, tmp_path / ".pictures", rng.randrange(10**9))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("pages") / "set"
    command.generate(out, 5, seed=4, degrade=0.0)
    return out


def content(out):
    return {
        str(f.relative_to(out)): f.read_bytes() for f in sorted(out.rglob("*.*")) if f.is_file()
    }


@needs_latex
def test_a_data_set(made):
    data = json.loads((made / "annotations.json").read_text("utf-8"))
    assert [c["name"] for c in data["categories"]] == list(CDLA)
    assert [c["id"] for c in data["categories"]] == list(range(1, 11))
    assert len(data["images"]) == 5
    for image in data["images"]:
        size = image["width"], image["height"]
        page = Image.open(made / "images" / image["file_name"])
        assert page.size == size
        own = [a["bbox"] for a in data["annotations"] if a["image_id"] == image["id"]]
        ocr = read_ocr(made / "OCR" / f"{Path(image['file_name']).stem}.json")
        assert (ocr.width, ocr.height) == size
        assert ocr.clamped == ocr.skipped == 0
        # All that is dark lies in a region, but for thin rules and what stands in the margin.
        margin = min(x for x, *_ in own)
        dark = np.asarray(page.convert("L")) < 128
        dark[:, :margin] = False
        rest = dark.copy()
        for x, y, w, h in own:
            assert 0 <= x < x + w <= size[0] and 0 <= y < y + h <= size[1]
            assert dark[y : y + h, x : x + w].any()
            rest[max(0, y - 1) : y + h + 1, max(0, x - 1) : x + w + 1] = False
        assert rest.sum() < 0.02 * dark.sum()
        # So do the middles of the lines of words.
        for x0, y0, x1, y1 in ocr.boxes:
            x, y = (x0 + x1) / 2, (y0 + y1) / 2
            assert x1 < margin or any(a <= x <= a + w and b <= y <= b + h for a, b, w, h in own)


@needs_latex
def test_the_seed_decides_and_work_is_gone_on_with(made, tmp_path):
    other = tmp_path / "other"
    command.generate(other, 2, seed=4, degrade=0.0)
    command.generate(other, 5, seed=4, degrade=0.0)
    assert content(other) == content(made)


@needs_latex
@pytest.mark.slow
def test_several_processes_make_the_same_pages(made, tmp_path):
    other = tmp_path / "other"
    command.generate(other, 5, seed=4, degrade=0.0, workers=2)
    names = ["annotations.json", *(f"images/{f.name}" for f in (made / "images").iterdir())]
    assert all((other / name).read_bytes() == (made / name).read_bytes() for name in names)


@needs_latex
def test_another_data_set_is_left_alone(made):
    with pytest.raises(InputError, match="other settings"):
        command.generate(made, 5, seed=5, degrade=0.0)


@needs_latex
def test_a_folder_of_other_files_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="other files"):
        command.generate(tmp_path, 1)


@pytest.mark.parametrize("wrong", [{"pages": 0}, {"degrade": 1.5}, {"workers": 0}])
def test_settings_out_of_range(tmp_path, wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        command.generate(tmp_path / "out", **{"pages": 1, **wrong})


def test_without_latex(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="no pdflatex"):
        command.generate(tmp_path / "out", 1)


@needs_latex
def test_a_missing_class_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "FILES", (*FILES, "nosuchjournal.cls"))
    with pytest.raises(InputError, match=r"nosuchjournal\.cls"):
        command.generate(tmp_path / "out", 1)
