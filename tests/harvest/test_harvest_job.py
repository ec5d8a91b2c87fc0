"""The job: what it writes, leaves out, takes up again, and survives."""

from __future__ import annotations

import json
import shutil
import time

import pytest

from lmv3det.cli import main
from lmv3det.data.coco import CocoDataset
from lmv3det.harvest import harvest, worker
from lmv3det.harvest import job as job_module
from lmv3det.harvest.job import chosen
from lmv3det.text.ocr_json import read_ocr
from tests.harvest.tagged_pdf import simple, tagged, write_pdf


@pytest.fixture
def documents(tmp_path):
    folder = tmp_path / "documents"
    (folder / "deeper").mkdir(parents=True)
    simple(folder / "first.pdf", 3)
    simple(folder / "deeper" / "second.pdf", 4)
    write_pdf(
        {1: b"<</Type/Catalog/Pages 2 0 R>>", 2: b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
         3: b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]>>"},
        folder / "untagged.pdf",
    )  # fmt: skip
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 and then nothing")
    extra = "BT /F 12 Tf 72 400 Td (text that nobody has tagged) Tj ET\n"
    tagged(folder / "half.pdf", {20: b"/S/P/P 6 0 R/K 0"}, [20], extra=extra)
    return folder


def test_a_folder_becomes_a_data_set_that_training_reads(documents, tmp_path):
    out, draw = tmp_path / "data", tmp_path / "draw"
    report = harvest([documents], out, validation=0.5, draw=draw)
    assert (report.documents, report.pages) == (3, 2)
    assert [(name.rpartition("/")[2], why.partition(":")[0]) for name, why in report.left_out] == [
        ("untagged.pdf", "not tagged"), ("half.pdf page 1", "untagged text"),
    ]  # fmt: skip
    ((failed, _),) = report.failed
    assert failed.endswith("broken.pdf")
    dataset = CocoDataset(report.annotations, out / "images", out / "OCR")
    assert len(dataset) == 2
    samples = [dataset[index] for index in range(2)]
    assert sorted(len(sample.boxes) for sample in samples) == [3, 4]
    for path in (out / "OCR").iterdir():
        assert read_ocr(path).lines[0] == "words of line 0"
    splits = [json.loads((out / f"{name}.json").read_text()) for name in ("train", "val")]
    sources = [{image["source"] for image in split["images"]} for split in splits]
    assert len(sources[0]) == len(sources[1]) == 1 and sources[0] != sources[1]
    assert len(list(draw.glob("*.jpg"))) == 2 and len(list(draw.glob("left_out/*.jpg"))) == 1


def test_finished_pages_are_not_read_again(documents, tmp_path):
    out = tmp_path / "data"
    first = harvest([documents], out)
    times = {path: path.stat().st_mtime_ns for path in (out / ".pages").iterdir()}
    next((out / "images").iterdir()).unlink()
    second = harvest([documents], out)
    assert (first.there, second.there) == (0, 2)
    changed = [p for p in (out / ".pages").iterdir() if p.stat().st_mtime_ns != times[p]]
    assert len(changed) == 1
    assert second.counts == first.counts and len(list((out / "images").iterdir())) == 2


def test_the_same_document_twice_is_read_once(documents, tmp_path):
    shutil.copy(documents / "first.pdf", documents / "copy.pdf")
    report = harvest([documents / "copy.pdf", documents / "first.pdf"], tmp_path / "data")
    assert report.pages == 1
    assert report.left_out[0][1].startswith("the same as ")


def hang(*_):
    time.sleep(1000)


def test_a_document_that_hangs_or_dies_ends_alone(documents, tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "survey", hang)
    started = time.monotonic()
    report = harvest([documents / "first.pdf"], tmp_path / "data", page_seconds=1)
    assert report.failed == [(str(documents / "first.pdf"), "took more than 1 s to read")]
    assert time.monotonic() - started < 300


def test_without_libreoffice_a_line_says_so(documents, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(job_module, "find_office", lambda: None)
    (documents / "letter.docx").write_bytes(b"PK")
    words = ["harvest", str(documents / "letter.docx"), str(documents / "first.pdf")]
    assert main([*words, "--out", str(tmp_path / "data")]) == 1
    said = capsys.readouterr()
    assert "letter.docx: needs LibreOffice (soffice), which is not installed" in said.err
    assert "1 pages of 1 documents" in said.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere", "--out", "data"], "nowhere: no such file or folder"),
        (["first.pdf", "--out", "first.pdf"], "is a file"),
        (["first.pdf", "--out", "data", "--dpi", "7"], "dpi is 7: give 30 to 600"),
        (["first.pdf", "--out", "data", "--val", "1"], "val is 1.0"),
        (["first.pdf", "--out", "data", "--untagged", "nan"], "untagged is nan"),
        (["untagged.pdf", "--out", "data"], "no page that can be trusted"),
        (["first.pdf", "--out", "data", "--val", "0.5"], "all pages are of one document"),
        (["first.pdf", "--out", "deeper"], "holds other files"),
    ],
)
def test_mistakes_have_one_line(documents, monkeypatch, capsys, words, message):
    monkeypatch.chdir(documents)
    assert main(["harvest", *words]) == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("lmv3det harvest: ") and message in last


def test_pages_of_a_document_are_spread_over_it():
    assert chosen(5, None) == chosen(5, 9) == [0, 1, 2, 3, 4]
    assert chosen(101, 3) == [0, 50, 100]
    assert chosen(100, 1) == [0]
