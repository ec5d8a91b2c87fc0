"""OCR jobs with a fake engine, the text layer of hand-made PDF, and the real engines."""

import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hand_made_pdf import words, write_pdf
from PIL import Image, ImageDraw, ImageFont

from lmv3det.cli import main
from lmv3det.cli.ocr import engine_options
from lmv3det.data.images import iter_pages
from lmv3det.errors import InputError
from lmv3det.files import lock_folder
from lmv3det.ocr import engines, get_engine, ocr_name, recognize_files
from lmv3det.ocr.engine import Engine, enclosing_lines, join_words
from lmv3det.text.ocr_json import OcrPage, ocr_path, read_ocr


@dataclass
class Brightness(Engine):
    """One line a page, its word the grey level; black pages fail."""

    _calls: int = 0

    def recognize(self, image):
        self._calls += 1
        grey = int(image[0, 0, 0])
        if grey == 0:
            raise RuntimeError("too dark\nto read")
        height, width = image.shape[:2]
        return OcrPage(np.array([[1.0, 2, 3, 4]]), [str(grey)], width, height)


class Interrupted(Brightness):
    def recognize(self, image):
        if self._calls == 2:
            raise KeyboardInterrupt
        return super().recognize(image)


class Crash(Engine):
    def recognize(self, image):
        import os

        time.sleep(0.5)
        os._exit(3)


def images(folder: Path, *greys: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, grey in enumerate(greys):
        Image.new("RGB", (60 + number, 80), (grey,) * 3).save(folder / f"page{number}.png")
    return folder


def grey_pdf(path: Path, *levels: float) -> Path:
    return write_pdf(path, *[f"{level} g 0 0 300 400 re f" for level in levels])


def test_names():
    assert ocr_name("a/b.scan.png") == "b.scan.json"
    assert ocr_name("a/b.pdf", 0, 1) == "b.json"
    assert [ocr_name("a/b.pdf", n, 2) for n in range(2)] == ["b_p1.json", "b_p2.json"]


@pytest.mark.parametrize("workers", [1, 2])
def test_every_page_is_written_and_failures_stop_nothing(tmp_path, workers):
    folder = images(tmp_path / "in", 100, 0, 200)
    grey_pdf(tmp_path / "in" / "paper.pdf", 0.5, 1)
    (tmp_path / "in" / "broken.pdf").write_bytes(b"%PDF-1.4 and no more")
    report = recognize_files([folder], tmp_path / "out", Brightness(), workers=workers)
    assert report.written == 4 and report.skipped == 0
    assert [Path(page).name for page, _ in report.failed] == ["broken.pdf", "page1.png"]
    assert report.failed[1][1] == "RuntimeError: too dark to read"
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["page0.json", "page2.json", "paper_p1.json", "paper_p2.json"]
    page = read_ocr(tmp_path / "out" / "page2.json")
    assert page.lines == ["200"] and (page.width, page.height) == (62, 80)
    # Finished pages are skipped; the one that failed is tried again.
    images(tmp_path / "in", 100, 50, 200)
    again = recognize_files([folder], tmp_path / "out", Brightness())
    assert (again.written, again.skipped, len(again.failed)) == (1, 4, 1)


def test_a_bad_page_of_a_pdf_does_not_cost_the_later_ones(tmp_path, monkeypatch):
    frames = [Image.new("RGB", (30 if n != 1 else 90, 40), "white") for n in range(3)]
    frames[0].save(tmp_path / "a.pdf", save_all=True, append_images=frames[1:], resolution=72)
    monkeypatch.setenv("LMV3DET_MAX_PIXELS", "2000")
    out = tmp_path / "out"
    report = recognize_files([tmp_path / "a.pdf"], out, Brightness(), dpi=72)
    assert sorted(path.name for path in out.iterdir()) == ["a_p1.json", "a_p3.json"]
    ((page, reason),) = report.failed
    assert "2" in page.removeprefix(str(tmp_path)) and "90×40 pixels" in reason
    again = recognize_files([tmp_path / "a.pdf"], out, Brightness(), dpi=72)
    assert (again.written, again.skipped, len(again.failed)) == (0, 2, 1)


def test_a_folder_that_cannot_be_written_is_told_before_the_work(tmp_path):
    folder = images(tmp_path / "in", 100)
    (tmp_path / "out").write_text("a file")
    engine = Brightness()
    with pytest.raises(InputError, match=r"out: cannot be written to"):
        recognize_files([folder], tmp_path / "out", engine)
    assert engine._calls == 0


def test_of_several_models_that_of_the_package_is_taken(tmp_path, monkeypatch):
    for name in ("PP_det_small.onnx", "fetched_det_server.onnx"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError, match="has 2 models"):
        engines._find_model(tmp_path, "det")
    monkeypatch.setattr(
        engines.importlib.metadata, "files", lambda package: ["rapidocr/models/PP_det_small.onnx"]
    )
    assert engines._find_model(tmp_path, "det").name == "PP_det_small.onnx"


def test_finished_pages_are_not_read_again_unless_asked(tmp_path):
    folder = images(tmp_path / "in", 100, 200)
    engine = Brightness()
    recognize_files([folder], tmp_path / "out", engine)
    images(folder, 101, 201)
    recognize_files([folder], tmp_path / "out", engine)
    assert engine._calls == 2
    assert read_ocr(tmp_path / "out" / "page0.json").lines == ["100"]
    recognize_files([folder], tmp_path / "out", engine, overwrite=True)
    assert read_ocr(tmp_path / "out" / "page0.json").lines == ["101"]


def test_an_interrupted_job_keeps_what_is_finished(tmp_path):
    folder = images(tmp_path / "in", 100, 200, 210)
    with pytest.raises(KeyboardInterrupt):
        recognize_files([folder], tmp_path / "out", Interrupted())
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["page0.json", "page1.json"]


@pytest.mark.slow
def test_a_worker_that_dies_ends_the_job(tmp_path):
    folder = images(tmp_path / "in", 100, 200, 210)
    with pytest.raises(InputError, match="a worker process died"):
        recognize_files([folder], tmp_path / "out", Crash(), workers=2)


def test_two_pages_of_one_name(tmp_path):
    """Of one folder each has its whole name, of two folders its folder's, by which readers find
    it."""
    images(tmp_path / "a", 100)
    images(tmp_path / "b", 200)
    Image.new("RGB", (60, 80), (50, 50, 50)).save(tmp_path / "b" / "PAGE0.jpg")
    inputs = [tmp_path / "a", tmp_path / "b" / "page0.png", tmp_path / "b" / "PAGE0.jpg"]
    out = tmp_path / "out"
    assert recognize_files(inputs, out, Brightness()).written == 3
    words = {str(path.relative_to(out)): read_ocr(path).lines for path in out.rglob("*.json")}
    assert words == {
        "a/page0.json": ["100"], "b/page0.png.json": ["200"], "b/PAGE0.jpg.json": ["50"]
    }  # fmt: skip
    assert read_ocr(ocr_path(out, "PAGE0.jpg", tmp_path / "b")).lines == ["50"]
    assert read_ocr(ocr_path(out, "page0.png", tmp_path / "a")).lines == ["100"]
    assert read_ocr(ocr_path(out, "page0.png", tmp_path / "b")).lines == ["200"]
    assert recognize_files(inputs, tmp_path / "out", Brightness()).skipped == 3
    same = [tmp_path / "a" / "page0.png"] * 2
    assert recognize_files(same, tmp_path / "out2", Brightness()).written == 1


def test_folders_of_one_name_are_told_apart(tmp_path):
    for name, grey in (("x", 10), ("y", 20)):
        images(tmp_path / name / "images", grey)
    inputs = [tmp_path / "x" / "images", tmp_path / "y" / "images"]
    recognize_files(inputs, tmp_path / "out", Brightness())
    for folder, grey in zip(inputs, ("10", "20"), strict=True):
        assert read_ocr(ocr_path(tmp_path / "out", "page0.png", folder)).lines == [grey]


def test_a_second_source_of_one_name_is_refused(tmp_path):
    """Whether it comes with a later command or has taken the place of the first."""
    first, second = images(tmp_path / "train", 100), images(tmp_path / "val", 200)
    out = tmp_path / "out"
    recognize_files([first], out, Brightness())
    source = read_ocr(out / "page0.json").source
    assert source is not None
    assert source.name == "train/page0.png" and source.page == 1
    assert source.sha256 == hashlib.sha256((first / "page0.png").read_bytes()).hexdigest()
    for overwrite in (False, True):
        report = recognize_files([second], out, Brightness(), overwrite=overwrite)
        ((page, why),) = report.failed
        assert report.written == report.skipped == 0 and page == str(second / "page0.png")
        assert "is the text of train/page0.png" in why and "--out" in why
    assert read_ocr(out / "page0.json").lines == ["100"]
    images(tmp_path / "train", 150)
    ((_, why),) = recognize_files([first], out, Brightness()).failed
    assert "before it changed" in why and "--overwrite" in why
    assert recognize_files([first], out, Brightness(), overwrite=True).written == 1
    assert read_ocr(out / "page0.json").lines == ["150"]
    # Two documents of one name, in folders of one name, by two commands.
    for name, levels in (("m", (0.2, 0.3)), ("n", (0.4, 0.5))):
        (tmp_path / name / "pdf").mkdir(parents=True)
        grey_pdf(tmp_path / name / "pdf" / "a.pdf", *levels)
    assert recognize_files([tmp_path / "m" / "pdf"], out, Brightness()).written == 2
    assert len(recognize_files([tmp_path / "n" / "pdf"], out, Brightness()).failed) == 2


def test_wrong_arguments(tmp_path):
    folder = images(tmp_path / "in", 100)
    with pytest.raises(InputError, match="--workers is 0"):
        recognize_files([folder], tmp_path / "out", Brightness(), workers=0)
    with pytest.raises(InputError, match="--dpi is 0"):
        recognize_files([folder], tmp_path / "out", Brightness(), dpi=0)
    with pytest.raises(InputError, match="no such file"):
        recognize_files([tmp_path / "none.png"], tmp_path / "out", Brightness())


def test_rotated_lines_get_the_enclosing_box():
    # Of this rotated line, corners one and three alone would give 30 … 70 across.
    corners = [[[30, 10], [90, 40], [70, 60], [10, 30]], [[95, -5], [140, -5], [140, 9], [95, 9]]]
    page = enclosing_lines([*corners, corners[0]], ["one ", "two", " "], (200, 100))
    assert page.boxes.tolist() == [[10, 10, 90, 60], [95, 0, 100, 9]]
    assert page.lines == ["one", "two"] and (page.width, page.height) == (100, 200)
    assert enclosing_lines([], [], (5, 6)).boxes.shape == (0, 4)


def test_words_are_joined_as_their_script_is_written():
    assert join_words(["a", "b"]) == "a b"
    assert join_words(["版", "面", "of", "页", "。", "b"]) == "版面 of 页。 b"


def test_lines_of_a_text_layer(tmp_path):
    page = words(50, 300, "First line, left") + words(180, 300, "Right column")
    page += words(50, 280, "Second-level) E = mc".replace(")", "")) + words(170, 284, "2", 8)
    path = write_pdf(tmp_path / "a.pdf", words(10, 10, "front"), page)
    result = get_engine("pdf-text").read_pdf(path, 1, 144)
    assert result.lines[:2] == ["First line, left", "Right column"]
    assert result.lines[2].startswith("Second-level E = mc")
    assert (result.width, result.height) == (600, 800)
    x0, y0, x1, y1 = result.boxes[0]
    # Baseline 300 points from the bottom, capitals of Helvetica 0.72 em high.
    assert x0 == pytest.approx(101.8, abs=1) and 230 < x1 < 240
    assert y0 == pytest.approx(800 - 2 * (300 + 0.72 * 12), abs=1.5)
    assert y1 == pytest.approx(800 - 2 * (300 - 0.2 * 12), abs=2.5)


def test_typeset_text(tmp_path):
    """Divided words, ligatures and mathematical letters, set by a real typesetter."""
    typst = pytest.importorskip("typst")
    source = tmp_path / "a.typ"
    source.write_text(
        "#set page(width: 80mm, height: 120mm)\n#set par(justify: true)\n#set text(9pt)\n"
        "The office is affluent in flowcharts and internationalizations of incomprehensibilities "
        "and counterintuitive characterizations of misunderstood documentations.\n\n"
        "$ alpha = x $",
        encoding="utf-8",
    )
    typst.compile(source, output=tmp_path / "a.pdf")
    page = get_engine("pdf-text").read_pdf(tmp_path / "a.pdf", 0, 72)
    assert page.lines[0].startswith("The office is affluent in flow")
    assert any(line.endswith("-") for line in page.lines)
    assert not any("\ufffe" in line or "\ufffd" in line for line in page.lines)
    assert "\U0001d6fc = \U0001d465" in page.lines
    assert len(page.lines) == 5


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
@pytest.mark.parametrize("dpi", [72, 100])
def test_boxes_lie_on_the_ink(tmp_path, rotate, dpi):
    """Also where the page is rotated, starts elsewhere than at 0, and has no whole size."""
    content = words(70, 330, "Hamburg") + words(120, 80, "gyp", 20)
    box = "20 30 310.3 400.7"
    path = write_pdf(tmp_path / "a.pdf", content, rotate=rotate, box=box)
    ((_, image),) = iter_pages(path, dpi)
    page = get_engine("pdf-text").read_pdf(path, 0, dpi)
    assert (page.height, page.width) == image.shape[:2]
    assert sorted(page.lines) == ["Hamburg", "gyp"]
    ink = image.min(axis=2) < 200
    for x0, y0, x1, y1 in page.boxes:
        rows, columns = np.nonzero(ink[int(y0) - 4 : int(y1) + 5, int(x0) - 4 : int(x1) + 5])
        found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        expected = [x0 - int(x0) + 4, y0 - int(y0) + 4, x1 - int(x0) + 4, y1 - int(y0) + 4]
        np.testing.assert_allclose(found, expected, atol=1.6)
    assert ink.sum() == sum(
        ink[int(y0) - 2 : int(y1) + 3, int(x0) - 2 : int(x1) + 3].sum()
        for x0, y0, x1, y1 in page.boxes
    )


def test_the_text_layer_engine_is_for_pdf(tmp_path):
    engine = get_engine("pdf-text")
    with pytest.raises(InputError, match="no text layer"):
        engine.recognize(np.zeros((5, 5, 3), dtype=np.uint8))
    report = recognize_files([images(tmp_path / "in", 9)], tmp_path / "out", engine)
    assert "not a PDF" in report.failed[0][1]
    with pytest.raises(InputError, match="page 2 cannot be read"):
        engine.read_pdf(grey_pdf(tmp_path / "a.pdf", 1), 1, 72)


def test_the_command(tmp_path, capsys):
    write_pdf(tmp_path / "a.pdf", words(50, 300, "Some words"), "")
    arguments = [str(tmp_path / "a.pdf"), "--out", str(tmp_path / "out"), "--engine", "pdf-text"]
    assert main(["ocr", *arguments, "--dpi", "72"]) == 0
    assert "1 page has no text layer and was not written" in capsys.readouterr().out
    assert not (tmp_path / "out" / "a_p2.json").exists()
    page = json.loads((tmp_path / "out" / "a_p1.json").read_text(encoding="utf-8"))
    assert page["words"] == ["Some words"] and page["W"] == 300
    (tmp_path / "b.png").write_bytes(b"no image")
    assert main(["ocr", str(tmp_path / "b.png"), *arguments]) == 1
    err = capsys.readouterr().err
    assert "b.png: not an image" in err and "1 page failed" in err


def test_auto_takes_the_layer_where_there_is_one(tmp_path, monkeypatch):
    """Failed before: a PDF with a scanned page needed two runs, with another engine each."""
    monkeypatch.setitem(engines.ENGINES, "rapidocr", Brightness)
    write_pdf(tmp_path / "a.pdf", words(50, 300, "Some words"), "0.5 g 0 0 300 400 re f")
    images(tmp_path, 100)
    report = recognize_files([tmp_path], tmp_path / "out", get_engine("auto"), dpi=72)
    assert report.written == 3 and not report.failed
    found = {path.stem: read_ocr(path).lines[0] for path in (tmp_path / "out").iterdir()}
    assert found["a_p1"] == "Some words" and found["page0"] == "100"
    assert int(found["a_p2"]) == pytest.approx(128, abs=2)
    engine = pickle.loads(pickle.dumps(get_engine("auto")))
    assert engine.recognize(np.full((9, 9, 3), 7, np.uint8)).lines == ["7"]


def test_auto_checks_what_it_is_given():
    with pytest.raises(InputError, match="give one that reads images"):
        get_engine("auto", engine="pdf-text")
    with pytest.raises(InputError, match="'auto'; give one that reads images"):
        get_engine("auto", engine="auto")
    with pytest.raises(InputError, match="engine tesseract: unknown option 'min_scor'"):
        get_engine("auto", engine="tesseract", min_scor=0.5)


@pytest.mark.parametrize("engine", ["pdf-text", "auto", "grey"])
def test_encrypted_pdf(tmp_path, engine, monkeypatch):
    """Failed before: they could not be read at all."""
    monkeypatch.setitem(engines.ENGINES, "grey", Brightness)
    page = words(50, 300, "Secret words")
    write_pdf(tmp_path / "a.pdf", page, page, password="open sesame")
    for password, why in ((None, "encrypted; set password"), ("wrong", "wrong password")):
        report = recognize_files(
            [tmp_path / "a.pdf"], tmp_path / "out", get_engine(engine), password=password
        )
        assert report.written == 0 and why in report.failed[0][1]
    report = recognize_files(
        [tmp_path / "a.pdf"], tmp_path / "out", get_engine(engine), password="open sesame"
    )
    assert report.written == 2 and not report.failed
    expected = "255" if engine == "grey" else "Secret words"
    assert read_ocr(tmp_path / "out/a_p2.json").lines == [expected]


def test_one_job_a_folder(tmp_path):
    """Failed before: two jobs read every page twice."""
    folder = images(tmp_path / "in", 100)
    with (
        lock_folder(tmp_path / "out", "a test"),
        pytest.raises(InputError, match="another job writes to it already"),
    ):
        recognize_files([folder], tmp_path / "out", Brightness())
    (tmp_path / "out" / ".4711.0123456789ab.json").write_text("half a page")
    recognize_files([folder], tmp_path / "out", Brightness())
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["page0.json"]


def test_names_and_words_that_nobody_expects(tmp_path):
    """Failed before: a traceback for each. A page fails, or is written; the rest is done."""

    class Surrogates(Brightness):
        def recognize(self, image):
            page = super().recognize(image)
            return OcrPage(page.boxes, [f"{page.lines[0]} \udcff"], page.width, page.height)

    folder = images(tmp_path / "in", 100, 200)
    for name in (b"\xff.png", b"x" * 251 + b".png", b"a\n\x1b.png"):
        shutil.copy(folder / "page0.png", os.path.join(os.fsencode(folder), name))
    report = recognize_files([folder], tmp_path / "out", Brightness())
    assert report.written + len(report.failed) == 5 and report.written >= 4
    os.mkfifo(tmp_path / "pipe.png")
    report = recognize_files([tmp_path / "pipe.png", folder], tmp_path / "out2", Surrogates())
    assert len(report.failed) + report.written == 6
    assert "not a regular file" in report.failed[0][1]


def test_pages_that_wait_for_workers_are_bounded_by_their_bytes(tmp_path, monkeypatch):
    """Failed before: two pages a worker were held, of any size."""
    from lmv3det.ocr import job

    held = []

    class Pool:
        """Runs a page when its result is asked for, and notes how many wait."""

        def __init__(self, *_):
            self.waiting = []

        def submit(self, work, task):
            future = job.Future()
            self.waiting.append((future, task))
            held.append(len(self.waiting))
            return future

        def shutdown(self, **_):
            pass

    pool = Pool()

    def wait(running, return_when):
        future, task = pool.waiting.pop(0)
        future.set_result(job._read(Brightness(), task))
        return {future}, set()

    monkeypatch.setattr(job, "ProcessPoolExecutor", lambda *_: pool)
    monkeypatch.setattr(job, "wait", wait)
    folder = images(tmp_path / "in", *[100] * 8)
    assert recognize_files([folder], tmp_path / "a", Brightness(), workers=4).written == 8
    assert max(held) == 8
    held.clear()
    monkeypatch.setattr(job, "MAX_HELD_BYTES", 40_000)  # 60 · 80 · 3 bytes and more a page
    assert recognize_files([folder], tmp_path / "b", Brightness(), workers=4).written == 8
    assert max(held) == 2


KILLED = """
import sys, time
import numpy as np
from lmv3det.ocr import Engine, recognize_files
from lmv3det.text.ocr_json import OcrPage
class Slow(Engine):
    def recognize(self, image):
        print("page", flush=True)
        time.sleep(600)
if __name__ == "__main__":
    recognize_files([sys.argv[1]], sys.argv[2], Slow(), workers=1 + (sys.argv[3] == "2"))
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_killed_job_leaves_nothing_running(tmp_path, workers):
    """Failed before: worker processes waited for ever."""
    (tmp_path / "job.py").write_text(KILLED)
    folder = images(tmp_path / "in", 100, 200)
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen(
        [sys.executable, tmp_path / "job.py", folder, tmp_path / "out", workers],
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stdout.readline() == b"page\n"
    process.kill()
    # Ends when the last process that has the pipe has ended.
    assert process.stdout.read().replace(b"page\n", b"") == b""
    process.wait()
    report = recognize_files([folder], tmp_path / "out", Brightness())
    assert report.written == 2


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("rapidcr", {}, "did you mean rapidocr"),
        ("pdf-text", {"language": "eng"}, "unknown option 'language'"),
        ("paddleocr", {"text_detection_model_name": "x"}, "text_detection_model_dir, text_rec"),
    ],
)
def test_engines_that_cannot_be(name, options, message):
    with pytest.raises(InputError, match=message):
        get_engine(name, **options)


def test_missing_packages_name_the_fix(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install \"\.\[ocr\]\""):
        get_engine("rapidocr")
    with pytest.raises(InputError, match=r"pip install \"\.\[tesseract\]\""):
        get_engine("tesseract")
    models = {
        f"text_{part}_model_{what}": str(tmp_path)
        for part in ("detection", "recognition")
        for what in ("name", "dir")
    }
    with pytest.raises(InputError, match=r"pip install \"\.\[paddle\]\""):
        get_engine("paddleocr", **models)
    models["text_detection_model_dir"] = "/nowhere"
    with pytest.raises(InputError, match="/nowhere: no such folder"):
        get_engine("paddleocr", **models)


def test_options_of_the_command():
    assert engine_options(["min_score=0.6", "language=chi_sim+eng"]) == {
        "min_score": 0.6,
        "language": "chi_sim+eng",
    }
    with pytest.raises(InputError, match="not NAME=VALUE"):
        engine_options(["fast"])


def test_rapidocr_without_its_models_says_so(tmp_path):
    pytest.importorskip("rapidocr")
    pytest.importorskip("onnxruntime")
    with pytest.raises(InputError, match=r"has 0 models \*det\*\.onnx"):
        get_engine("rapidocr", models=tmp_path)


def text_page() -> np.ndarray:
    image = Image.new("RGB", (500, 200), "white")
    draw = ImageDraw.Draw(image)
    draw.text((40, 30), "Layout of documents", fill="black", font=ImageFont.load_default(28))
    draw.text((40, 120), "Second line 2024", fill="black", font=ImageFont.load_default(28))
    return np.array(image)


def check_text_page(page: OcrPage) -> None:
    assert page.lines == ["Layout of documents", "Second line 2024"]
    assert (page.width, page.height) == (500, 200)
    ink = text_page().min(axis=2) < 128
    for (x0, y0, x1, y1), rows in zip(page.boxes, (slice(0, 90), slice(90, 200)), strict=True):
        found, across = np.nonzero(ink[rows])
        top = found.min() + rows.start
        np.testing.assert_allclose([x0, x1], [across.min(), across.max()], atol=12)
        np.testing.assert_allclose([y0, y1], [top, found.max() + rows.start], atol=12)


@pytest.mark.slow
def test_rapidocr_reads_a_page_without_the_network(monkeypatch):
    pytest.importorskip("rapidocr")
    pytest.importorskip("onnxruntime")

    def refuse(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", refuse)
    engine = get_engine("rapidocr", threads=1)
    check_text_page(engine.recognize(text_page()))
    empty = engine.recognize(np.full((100, 120, 3), 255, dtype=np.uint8))
    assert empty.boxes.shape == (0, 4) and (empty.width, empty.height) == (120, 100)
    check_text_page(pickle.loads(pickle.dumps(engine)).recognize(text_page()))


@pytest.mark.slow
def test_tesseract_reads_a_page():
    pytest.importorskip("pytesseract")
    if shutil.which("tesseract") is None:
        pytest.skip("tesseract is not installed")
    check_text_page(get_engine("tesseract").recognize(text_page()))
    with pytest.raises(InputError, match="no data for language xyz"):
        get_engine("tesseract", language="xyz")
