"""A job replaces the files that a job wrote into its folder, and no others."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hand_made_pdf import write_pdf
from PIL import Image
from tiny_detector import tiny_checkpoint

from lmv3det.cli import main
from lmv3det.errors import InputError
from lmv3det.inference.detector import Detector
from lmv3det.inference.job import JOURNAL, predict_files
from lmv3det.inference.options import PredictOptions
from lmv3det.ledger import LEDGER, Ledger

TEXT = "BT /F 24 Tf 30 300 Td (Hello page) Tj ET"


@pytest.fixture(scope="module")
def detector(tmp_path_factory) -> Detector:
    path = tiny_checkpoint(tmp_path_factory.mktemp("model") / "model.pth")
    return Detector.load(path, device="cpu")


def draw_page(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (80, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def results(out: Path) -> list[dict]:
    return json.loads((out / "detections.json").read_text())


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_an_input_linked_into_the_folder(detector, tmp_path, link):
    """Its drawing would have its name."""
    page = draw_page(tmp_path / "scans" / "scan.png")
    out = tmp_path / "out"
    out.mkdir()
    link(page, out / "scan.png")
    before = contents(tmp_path)
    with pytest.raises(InputError, match=r"out/scan\.png: there already"):
        predict_files(detector, [tmp_path / "scans"], out)
    after = contents(tmp_path)
    assert all(after[name] == content for name, content in before.items())


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("name", "formats"),
    [
        ("a.png", []), ("a.md", ["markdown"]), ("a.html", ["html"]), ("coco.json", ["coco"]),
        ("detections.json", []), ("labels.txt", ["labelme"]), ("cvat.xml", ["cvat"]),
        ("label_studio.json", ["label-studio"]), (JOURNAL, []),
    ],
)  # fmt: skip
def test_in_a_folder_with_files_of_ones_own(
    detector, tmp_path, monkeypatch, name, formats, overwrite
):
    """`--out .`: nothing is replaced, with and without `--overwrite`."""
    write_pdf(tmp_path / "a.pdf", TEXT)
    draw_page(tmp_path / "pages" / "a.png")
    (tmp_path / name).write_text("mine")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"there already|earlier run|not written by a job"):
        predict_files(detector, ["pages"], ".", formats=formats, overwrite=overwrite)
    assert (tmp_path / name).read_text() == "mine"


def test_pictures_of_ones_own_below(detector, tmp_path):
    """A page whose image would replace somebody's fails by itself."""
    draw_page(tmp_path / "pages" / "a.png")
    mine = draw_page(tmp_path / "out" / "images" / "a.png", 1).read_bytes()
    report = predict_files(detector, [tmp_path / "pages"], tmp_path / "out", formats=["coco"])
    assert report.done == 0 and "there already" in report.failures[0]
    assert (tmp_path / "out" / "images" / "a.png").read_bytes() == mine


def test_an_earlier_result_is_not_replaced_without_a_word(detector, tmp_path):
    draw_page(tmp_path / "pages" / "a.png")
    out = tmp_path / "out"
    predict_files(detector, [tmp_path / "pages"], out)
    before = contents(out)
    with pytest.raises(InputError, match="results of an earlier run; --overwrite"):
        predict_files(detector, [tmp_path / "pages"], out)
    assert contents(out) == before
    predict_files(detector, [tmp_path / "pages"], out, overwrite=True)
    assert len(results(out)) == 1


def test_overwriting_removes_what_is_not_written_again(detector, tmp_path, caplog):
    """Old predictions do not stay where `check` and `train` read them; corrections do."""
    for name in ("a", "b", "c"):
        draw_page(tmp_path / "pages" / f"{name}.png")
    out = tmp_path / "out"
    options: dict = {"formats": ["labelme"], "options": PredictOptions(score_threshold=0.0)}
    predict_files(detector, [tmp_path / "pages"], out, **options)
    corrected = out / "images" / "c.json"
    corrected.write_text(corrected.read_text() + " ")
    (out / "images" / "notes.txt").write_text("mine")
    only_a = [tmp_path / "pages" / "a.png"]
    predict_files(detector, only_a, out, **options, overwrite=True)
    names = {name for name in contents(out) if name != LEDGER}
    assert names == {
        "detections.json", "a.png", "labels.txt", "images/a.png", "images/a.json",
        "images/c.json", "images/notes.txt",
    }  # fmt: skip
    assert "c.json: of an earlier run, and changed since: it stays" in caplog.text


def test_a_resumed_job_keeps_what_it_wrote_before(detector, tmp_path, monkeypatch):
    for number in range(4):
        draw_page(tmp_path / "pages" / f"{number}.png", number)
    out = tmp_path / "out"
    usual, seen = Detector._detect, []

    def stopped(self, *batch):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(1)
        return usual(self, *batch)

    with monkeypatch.context() as patch:
        patch.setattr(Detector, "_detect", stopped)
        with pytest.raises(KeyboardInterrupt):
            predict_files(detector, [tmp_path / "pages"], out)
    predict_files(detector, [tmp_path / "pages"], out, resume=True)
    assert sorted(p.name for p in out.glob("*.png")) == [f"{n}.png" for n in range(4)]
    # Killed between the note and the file, or the file and the page's entry: it is written again.
    with open(out / LEDGER, "ab") as stream:
        stream.write(b'\n["0.png", "cut o')
    predict_files(detector, [tmp_path / "pages"], out, overwrite=True)
    assert len(results(out)) == 4


def test_a_file_that_was_replaced_is_done_again(detector, tmp_path, monkeypatch):
    """`--resume` kept the result of the page that was there before."""
    pages = [draw_page(tmp_path / "pages" / f"{n}.png", n) for n in range(3)]
    out = tmp_path / "out"
    usual, seen = Detector._detect, []

    def stopped(self, *batch):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(1)
        return usual(self, *batch)

    with monkeypatch.context() as patch:
        patch.setattr(Detector, "_detect", stopped)
        with pytest.raises(KeyboardInterrupt):
            predict_files(detector, pages, out, PredictOptions(score_threshold=0.0))
    stamp = os.stat(pages[0]).st_mtime_ns
    draw_page(pages[0], 77)
    os.utime(pages[0], ns=(stamp, stamp))
    report = predict_files(detector, pages, out, PredictOptions(score_threshold=0.0), resume=True)
    assert (report.done, report.resumed) == (3, 1)
    predict_files(detector, pages, tmp_path / "whole", PredictOptions(score_threshold=0.0))
    assert results(out) == results(tmp_path / "whole")


def test_a_link_stays_a_link(tiny_data, tmp_path):
    """`evaluate --save-thresholds` writes what the link leads to."""
    real = tiny_checkpoint(tmp_path / "epochs" / "3.pth")
    (tmp_path / "best.pth").symlink_to(real)
    before = real.read_bytes()
    words = ["evaluate", tmp_path / "best.pth", "--annotations", tiny_data.annotations]
    words += ["--images", tiny_data.images, "--out", tmp_path / "out", "--save-thresholds"]
    assert main([*map(str, words)]) == 0
    assert (tmp_path / "best.pth").is_symlink() and real.read_bytes() != before


def test_ledgers(tmp_path):
    (tmp_path / LEDGER).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="is a link"):
        Ledger(tmp_path)
    (tmp_path / LEDGER).unlink()
    (tmp_path / LEDGER).write_bytes(b'5\n[]\n["a", "b", "c"]\n\xff\n["../x", "0"]\n')
    ledger = Ledger(tmp_path)
    (tmp_path / "a").write_text("x")
    assert not ledger.is_ours(tmp_path / "a")
    assert ledger.prune() == []
