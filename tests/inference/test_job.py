"""Prediction jobs that are stopped, killed, run twice, and given pages that nobody expects."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_detector import tiny_checkpoint

from lmv3det.cli import main
from lmv3det.data.categories import Category
from lmv3det.errors import InputError
from lmv3det.files import lock_folder
from lmv3det.inference import job as jobs
from lmv3det.inference.detector import Detector
from lmv3det.inference.formats import FORMATS
from lmv3det.inference.job import JOURNAL, predict_files
from lmv3det.inference.options import PredictOptions

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "model.pth")


@pytest.fixture(scope="module")
def detector(checkpoint) -> Detector:
    return Detector.load(checkpoint, device="cpu")


def draw_page(path: Path, seed: int = 0) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (80, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def pages(tmp_path) -> Path:
    folder = tmp_path / "pages"
    folder.mkdir()
    for number in range(6):
        draw_page(folder / f"page{number}.png", number)
    return folder


def read(folder: Path) -> list[dict]:
    return json.loads((folder / "detections.json").read_text(encoding="utf-8"))


def stop_after(monkeypatch, count: int, error: BaseException) -> None:
    usual, seen = Detector._detect, []

    def stopped(self, *batch):
        if len(seen) == count:
            raise error
        seen.append(1)
        return usual(self, *batch)

    monkeypatch.setattr(Detector, "_detect", stopped)


def test_a_stopped_job_goes_on_and_gives_what_a_whole_one_gives(
    detector, pages, tmp_path, monkeypatch
):
    """Failed before: a stopped job left a part of the pages as if they were all."""
    out = tmp_path / "out"
    whole = predict_files(detector, [pages], tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(patch, 2, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            predict_files(detector, [pages], out)
    assert not (out / "detections.json").exists() and (out / JOURNAL).exists()
    with pytest.raises(InputError, match=r"holds 2 pages of a job that was stopped; --resume"):
        predict_files(detector, [pages], out)
    report = predict_files(detector, [pages], out, resume=True)
    assert (report.done, report.resumed, whole.done) == (6, 2, 6)
    assert read(out) == read(tmp_path / "whole")
    assert {p.name for p in out.iterdir()} == {p.name for p in (tmp_path / "whole").iterdir()}


def test_resume_wants_the_same_job(detector, pages, tmp_path, monkeypatch):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        stop_after(patch, 2, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            predict_files(detector, [pages], out)
    with pytest.raises(InputError, match=r"the stopped job had score_threshold None, not 0\.5"):
        predict_files(detector, [pages], out, PredictOptions(score_threshold=0.5), resume=True)
    # More pages are no other job; the order is that of the inputs.
    draw_page(pages / "page0a.png")
    report = predict_files(detector, [pages], out, resume=True)
    assert (report.done, report.resumed) == (7, 2)
    assert [Path(entry["file"]).stem for entry in read(out)][:3] == ["page0", "page0a", "page1"]


def test_overwrite_starts_again_and_an_old_result_stays_until_then(
    detector, pages, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    predict_files(detector, [pages], out)
    before = (out / "detections.json").read_bytes()
    with monkeypatch.context() as patch:
        stop_after(patch, 2, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            predict_files(
                detector, [pages], out, PredictOptions(score_threshold=0.0), overwrite=True
            )
    assert (out / "detections.json").read_bytes() == before
    report = predict_files(
        detector, [pages], out, PredictOptions(score_threshold=0.0), overwrite=True
    )
    assert (report.done, report.resumed) == (6, 0) and not (out / JOURNAL).exists()


def test_a_line_that_was_cut_off_is_done_again(detector, pages, tmp_path, monkeypatch):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        stop_after(patch, 3, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            predict_files(detector, [pages], out)
    content = (out / JOURNAL).read_bytes()
    (out / JOURNAL).write_bytes(content[:-20])
    report = predict_files(detector, [pages], out, resume=True)
    assert (report.done, report.resumed) == (6, 2)
    (out / JOURNAL).write_text("not of a job\nat all\n")
    with pytest.raises(InputError, match="not written by a job"):
        predict_files(detector, [pages], out, resume=True)


SLOWLY = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a shell's & started
from lmv3det.cli import main
from lmv3det.inference.job import _Job
usual = _Job._write
def slowly(self, *page):
    usual(self, *page)
    print("page", flush=True)
    time.sleep(0.3)
_Job._write = slowly
sys.exit(main(sys.argv[1:]))
"""


def start(*words: object) -> subprocess.Popen:
    """A job in a process, when its first two pages are done."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLOWLY, *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for _ in range(2):
        assert process.stdout.readline() == "page\n", process.communicate()
    return process


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_a_killed_job_loses_nothing(checkpoint, pages, tmp_path, number, capsys):
    """Failed before: SIGTERM and SIGKILL lost all pages, and left a temporary file."""
    out = tmp_path / "out"
    words = ["predict", pages, "--ckpt", checkpoint, "--out", out, "--device", "cpu"]
    process = start(*words)
    # The folder is taken for as long as the process lives.
    assert main([str(word) for word in [*words, "--resume"]]) == 1
    assert "another job writes to it already" in capsys.readouterr().err
    (out / f".{process.pid}.0123456789ab.png").write_bytes(b"half a drawing")
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    codes = {signal.SIGTERM: 143, signal.SIGKILL: -9, signal.SIGINT: 130}
    assert process.returncode == codes[number]
    if number != signal.SIGKILL:
        assert "of 6 pages are done" in err and "Traceback" not in err
    assert main([str(word) for word in [*words, "--resume"]]) == 0
    assert len(read(out)) == 6
    drawings = {entry["drawing"] for entry in read(out)}
    assert {path.name for path in out.iterdir()} == {*drawings, "detections.json"}


def test_one_job_a_folder(detector, pages, tmp_path):
    """Failed before: the second job replaced the first one's result."""
    with lock_folder(tmp_path / "out", "a test"), pytest.raises(InputError, match="already"):
        predict_files(detector, [pages], tmp_path / "out")
    predict_files(detector, [pages], tmp_path / "out")


def test_names_that_nobody_expects(detector, tmp_path):
    """Failed before: any of these ended the job with a traceback."""
    folder = tmp_path / "pages"
    folder.mkdir()
    names = [b"good.png", b"\xff\xfe.png", b"x" * 245 + b".png", b"a\nb\x1b.png"]
    names.append("页面.png".encode())
    for seed, name in enumerate(names):
        draw_page(tmp_path / "page.png", seed)
        os.rename(tmp_path / "page.png", os.path.join(os.fsencode(folder), name))
    report = predict_files(
        detector,
        [folder],
        tmp_path / "out",
        formats=["coco", "markdown", "html", "labelme", "label-studio", "cvat"],
    )
    assert not report.failures and report.done == len(names)
    entries = read(tmp_path / "out")
    assert {os.fsencode(Path(entry["file"]).name) for entry in entries} == set(names)
    assert all((tmp_path / "out" / entry["drawing"]).is_file() for entry in entries)
    assert all((tmp_path / "out" / entry["image"]).is_file() for entry in entries)
    assert all(Path(entry["file"]).is_file() for entry in entries)


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
@pytest.mark.parametrize("utf8", ["0", "1"])
@pytest.mark.slow
def test_chinese_names_in_every_locale(checkpoint, tmp_path, locale, utf8):
    draw_page(tmp_path / "页面.png")
    words = ["predict", tmp_path / "页面.png", tmp_path / "no\udcff", "--ckpt", checkpoint]
    environment = {
        **os.environ, "LC_ALL": locale, "PYTHONUTF8": utf8, "PYTHONCOERCECLOCALE": "0",
        "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    command = [sys.executable, "-m", "lmv3det", *words, "--out", tmp_path / "输出"]
    done = subprocess.run(command, env=environment, capture_output=True)
    assert done.returncode == 1 and done.stderr.count(b"\n") == 1
    assert b"no such file" in done.stderr
    command.remove(tmp_path / "no\udcff")
    done = subprocess.run(command, env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert len(read(tmp_path / "输出")) == 1


def test_a_pipe_is_no_page(detector, pages, tmp_path):
    """Failed before: the job waited for ever for somebody to write into it."""
    os.mkfifo(tmp_path / "page.png")
    report = predict_files(detector, [tmp_path / "page.png", pages], tmp_path / "out")
    assert report.done == 6
    (failure,) = report.failures
    assert failure == f"{tmp_path / 'page.png'}: not a regular file; give an image or a PDF"


def test_a_page_that_breaks_anything_fails_alone(detector, pages, tmp_path, monkeypatch):
    """Failed before: errors other than InputError ended the job."""
    usual = Detector._detect_batch

    def broken(self, batch, *rest):
        if any(sample.page.file.endswith("page1.png") for sample, _ in batch):
            raise RuntimeError("no kernel\nfor this")
        return usual(self, batch, *rest)

    monkeypatch.setattr(Detector, "_detect_batch", broken)
    drawn = jobs._Job._write

    def undrawable(self, journal, sample, detections):
        if sample.page.file.endswith("page3.png"):
            detections.names = None
        drawn(self, journal, sample, detections)

    monkeypatch.setattr(jobs._Job, "_write", undrawable)
    report = predict_files(detector, [pages], tmp_path / "out", PredictOptions(batch_size=4))
    assert [Path(entry["file"]).stem[-1] for entry in read(tmp_path / "out")] == list("0245")
    assert f"{pages / 'page1.png'}: RuntimeError: no kernel for this" in report.failures
    assert len(report.failures) == 2


def test_class_names_that_nobody_expects(detector, pages, tmp_path):
    """Failed before: a lone surrogate or a control character ended the job."""
    categories = [Category(1, "Ta\udcff\x1b[1mble"), Category(2, '<Text> & "more"')]
    other = Detector(detector.model, detector.config, categories)
    report = predict_files(other, [pages], tmp_path / "out", formats=list(FORMATS))
    assert not report.failures and report.done == 6
    names = {d["category"] for entry in read(tmp_path / "out") for d in entry["detections"]}
    assert names <= {category.name for category in categories}


def test_a_full_disk_ends_the_job_in_one_line(checkpoint, pages, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device", "page.png")

    monkeypatch.setattr("lmv3det.inference.detections.PageDetections.plot", full)
    words = ["predict", str(pages), "--ckpt", str(checkpoint), "--out", str(tmp_path / "out")]
    assert main([*words, "--device", "cpu"]) == 1
    assert "No space left on device" in capsys.readouterr().err.splitlines()[-1]


def test_pages_held_are_bounded_by_their_bytes(detector, monkeypatch):
    """Failed before: a batch of large pages was held whole."""
    sizes = []
    usual = Detector._detect_batch

    def counted(self, batch, *rest):
        sizes.append(len(batch))
        return usual(self, batch, *rest)

    monkeypatch.setattr(Detector, "_detect_batch", counted)
    images = [np.full((80, 60, 3), 255, np.uint8)] * 6
    detector.predict(images, batch_size=6)
    monkeypatch.setattr("lmv3det.inference.detector.MAX_HELD_BYTES", 90_000)
    detector.predict(images, batch_size=6)
    # 80 · 60 · 3 bytes a page, and 64 × 85 pixels resized
    assert sizes == [6, 2, 2, 2] or sizes == [6, 3, 3]


def test_the_same_names_as_ocr(checkpoint, tmp_path):
    """`a.jpg` and `a.png` get the text that `ocr` read of them, not each other's."""
    from lmv3det.ocr.names import page_names

    files = [(tmp_path / "a.jpg", 1), (tmp_path / "a.png", 1), (tmp_path / "b.pdf", 2)]
    assert list(page_names(files).values()) == [
        "a.jpg.json", "a.png.json", "b_p1.json", "b_p2.json"
    ]  # fmt: skip
    draw_page(tmp_path / "a.png")
    draw_page(tmp_path / "a.jpg")
    detector = Detector.load(checkpoint, device="cpu")
    predict_files(detector, [tmp_path / "a.jpg", tmp_path / "a.png"], tmp_path / "out")
    assert [entry["drawing"] for entry in read(tmp_path / "out")] == ["a.png", "a-2.png"]


def test_wrong_words_are_one_line(checkpoint, pages, tmp_path, capsys):
    def fails(*words: object) -> str:
        common = ["predict", str(pages), "--ckpt", str(checkpoint), "--device", "cpu"]
        assert main([*common, "--out", str(tmp_path / "out"), *map(str, words)]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        return line

    assert "--score is nan; it must be from 0 to 1" in fails("--score", "nan")
    assert "not a number, best, or CLASS=NUMBER" in fails("--score", "Text")
    assert "no class Figure; there are Table, Text" in fails("--score", "Figure=0.5")
    assert "the checkpoint has none" in fails("--score", "best")
    assert "format 'markdwn' is not one of" in fails("--format", "markdwn")
    assert "--max-overlap is 2.0" in fails("--max-overlap", "2")
    assert "--precision is 'fp8'" in fails("--precision", "fp8")
    assert "give one of them" in fails("--resume", "--overwrite")
    assert "x.pdf: a URL; nothing is fetched" in fails("https://x.org/x.pdf")
    line = fails("--ckpt", tmp_path / "none\n\x1b[1m.pth")
    assert "\x1b" not in line and "no such checkpoint" in line
