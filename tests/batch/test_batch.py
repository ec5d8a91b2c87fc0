"""Corpora to Parquet: what is found, rows of good and bad pages, jobs that go on, both engines."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from batch_helpers import TEXT, draw_page, rows
from hand_made_pdf import write_pdf

fsspec = pytest.importorskip("fsspec")
pytest.importorskip("pyarrow")

from lmv3det.batch.documents import find_documents, readable  # noqa: E402
from lmv3det.batch.job import read_results, run_batch  # noqa: E402
from lmv3det.batch.plan import DOCUMENTS, JOB  # noqa: E402
from lmv3det.batch.shard import BatchOptions, Worker, columns_of, schema  # noqa: E402
from lmv3det.cli import main  # noqa: E402
from lmv3det.errors import InputError  # noqa: E402
from lmv3det.files import lock_folder  # noqa: E402
from lmv3det.inference.detections import PageDetections  # noqa: E402
from lmv3det.inference.detector import Detector  # noqa: E402
from lmv3det.inference.options import DetectorOptions, PredictOptions  # noqa: E402
from lmv3det.text.ocr_json import OcrPage  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


def changed(options: BatchOptions, **values: object) -> BatchOptions:
    return replace(options, predict=replace(options.predict, **values))


def test_documents_are_found_once_and_sorted(corpus, tmp_path):
    with tarfile.open(tmp_path / "pages.tar", "w") as archive:
        archive.add(corpus / "page1.png", "a/page1.png")
        archive.add(corpus / "broken.png", "notes.txt")
    memory = fsspec.filesystem("memory")
    memory.pipe("/store/x.png", (corpus / "page0.png").read_bytes())
    (tmp_path / "list.txt").write_text(
        f"# a comment\n\nfile://{corpus}/page0.png\nmemory://store/x.png\n{corpus}/gone.pdf\n"
    )
    sources = [str(corpus), f"{corpus}/page*.png", str(tmp_path / "pages.tar")]
    documents = find_documents([*sources, str(tmp_path / "list.txt")])
    names = [document.name for document in documents]
    assert names == sorted(set(names)) and len(names) == 10 + 1 + 1 + 1
    assert f"{corpus}/below/wide0.png" in names and "memory:///store/x.png" in names
    assert f"{corpus}/gone.pdf" in names  # a line of a list is not asked for: its row has the error
    member = f"tar://a/page1.png::{tmp_path}/pages.tar"
    assert member in names
    with fsspec.open(member) as stream:
        assert stream.read() == (corpus / "page1.png").read_bytes()


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("nothing-here", "no such file"),
        ("no-such-protocol://x", "no-such-protocol"),
        ("empty", "no such file, or no image"),
        ("bad.tar", r"bad\.tar: cannot be read"),
    ],
)
def test_a_source_that_cannot_be_used_is_named(tmp_path, monkeypatch, source, why):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.tar").write_bytes(b"no tar file" * 100)
    with pytest.raises(InputError, match=why):
        find_documents([source])


def test_rows_are_those_of_predict(corpus, options, tmp_path):
    report = run_batch([corpus], tmp_path / "out", options, shard_size=4)
    assert (report.pages, report.failed, report.skipped) == (12, 1, 0)
    files = sorted(path.name for path in (tmp_path / "out").glob("*.parquet"))
    assert files == [f"pages-00000{n}.parquet" for n in range(3)]
    table = read_results(tmp_path / "out").to_table()
    assert table.schema.equals(schema()) and json.loads(table.schema.metadata[b"classes"]) == [
        "Table", "Text"
    ]  # fmt: skip
    found = table.to_pylist()
    assert [row["document"] for row in found] == sorted(row["document"] for row in found)
    assert [r["page"] for r in found if r["document"].endswith("three.pdf")] == [1, 2, 3]
    (bad,) = (row for row in found if row["error"] is not None)
    assert bad["document"] == f"{corpus}/broken.png" and bad["error"].startswith(bad["document"])
    assert bad["page"] is bad["width"] is bad["boxes"] is bad["order"] is None
    detector = Detector.load(options.detector.ckpt, "cpu")
    regions = 0
    for row in found:
        if row["error"] is not None:
            continue
        assert row["sha256"] == hashlib.sha256(Path(row["document"]).read_bytes()).hexdigest()
        page = detector.predict(row["document"])[row["page"] - 1]
        assert (row["height"], row["width"]) == page.image_size
        boxes = np.array(row["boxes"]).reshape(-1, 4)
        np.testing.assert_allclose(boxes, page.boxes.numpy(), atol=0.006)
        np.testing.assert_allclose(row["scores"], page.scores.numpy(), atol=6e-5)
        assert row["classes"] == [page.names[k] for k in page.classes.tolist()]
        assert len(row["text"]) == len(row["order"]) == len(boxes)
        regions += len(boxes)
    assert regions > 20 and min(row["seconds"] for row in found) > 0


def test_a_page_is_the_same_alone_and_in_a_batch(corpus, options, tmp_path):
    """Pages of one size are batched; then a row must not depend on its neighbours."""
    run_batch([corpus], tmp_path / "one", options)
    options = changed(options, batch_size=4)
    run_batch([corpus], tmp_path / "four", options)
    one, four = rows(tmp_path / "one"), rows(tmp_path / "four")
    assert [(r["document"], r["page"]) for r in one] == [(r["document"], r["page"]) for r in four]
    for first, second in zip(one, four, strict=True):
        assert first["classes"] == second["classes"] and first["order"] == second["order"]
        if first["boxes"]:
            # Another order of summation may round another way: one unit of the last decimal.
            np.testing.assert_allclose(first["boxes"], second["boxes"], atol=0.0101)
            np.testing.assert_allclose(first["scores"], second["scores"], atol=1.01e-4)


def test_text_and_order_of_regions():
    """A region has the lines in it; one that covers the same again has neither text nor order."""
    lines = OcrPage(np.array([[10.0, 10, 50, 20], [10, 30, 50, 40]]), ["first", "sec\udcffond"])
    boxes = torch.tensor([[0.0, 0, 100, 60], [0, 0, 100, 61], [0, 70, 100, 100.126]])
    classes, names = torch.tensor([1, 0, 1]), ["Table", "Text"]
    page = PageDetections(boxes, torch.tensor([0.9, 0.8, 0.7]), classes, (120, 100), names=names)
    page.lines = lines
    values = columns_of(page, 0.3)
    assert values["text"] == ["first\nsec\\udcffond", "", ""] and values["order"] == [0, None, 1]
    assert (values["words"], values["words_outside"]) == (2, 0)
    page.lines = OcrPage(np.array([[10.0, 10, 50, 20], [10, 62, 50, 68]]), ["in it", "not in"])
    values = columns_of(page, 0.3)
    assert (values["words"], values["words_outside"]) == (4, 2)
    assert values["classes"] == ["Text", "Table", "Text"]
    assert values["boxes"][2] == [0, 70, 100, 100.13]


def test_tar_files_lists_and_stores_give_the_same_as_files(corpus, options, tmp_path):
    run_batch([f"{corpus}/page*.png", corpus / "three.pdf"], tmp_path / "files", options)
    memory = fsspec.filesystem("memory")
    with tarfile.open(tmp_path / "pages.tar", "w") as archive:
        for number in range(3):
            archive.add(corpus / f"page{number}.png", f"page{number}.png")
    for name in ("page3.png", "page4.png", "page5.png", "three.pdf"):
        memory.pipe(f"/corpus/{name}", (corpus / name).read_bytes())
    (tmp_path / "list.txt").write_text("memory://corpus/*.png\nmemory://corpus/three.pdf\n")
    sources = [tmp_path / "pages.tar", tmp_path / "list.txt"]
    report = run_batch(sources, tmp_path / "stores", options)
    assert (report.pages, report.failed) == (9, 0)

    def by_content(out: Path) -> dict[tuple, dict]:
        return {(r["sha256"], r["page"]): {**r, "document": ""} for r in rows(out)}

    assert by_content(tmp_path / "stores") == by_content(tmp_path / "files")


def test_errors_name_the_document_not_its_copy(options, tmp_path):
    memory = fsspec.filesystem("memory")
    memory.pipe("/bad/x.png", b"not an image")
    memory.pipe("/bad/y.pdf", b"%PDF-1.4 and no more")
    (tmp_path / "list.txt").write_text(
        "memory://bad/x.png\nmemory://bad/y.pdf\nmemory://bad/gone.png\n"
    )
    report = run_batch([tmp_path / "list.txt"], tmp_path / "out", options)
    assert (report.pages, report.failed) == (3, 3)
    for row in rows(tmp_path / "out"):
        assert row["document"] in row["error"] and "lmv3det-" not in row["error"]
    with tarfile.open(tmp_path / "pages.tar", "w") as archive:
        archive.add(draw_page(tmp_path / "page.png"), "page.png")
    run_batch([tmp_path / "pages.tar"], tmp_path / "tar", options)
    (tmp_path / "tar" / "pages-000000.parquet").unlink()
    (tmp_path / "pages.tar").write_bytes((tmp_path / "pages.tar").read_bytes()[:600])
    report = run_batch([tmp_path / "pages.tar"], tmp_path / "tar", options, resume=True)
    assert report.failed == 1 and "shorter than it was" in rows(tmp_path / "tar")[0]["error"]


def test_files_of_this_machine_need_no_temporary_folder(corpus, options, tmp_path, monkeypatch):
    """So that a killed job leaves none."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    assert run_batch([corpus], tmp_path / "out", options).failed == 1


def test_a_page_that_the_model_fails_on_is_a_row(corpus, options, tmp_path, monkeypatch):
    usual = Detector._detect_batch

    def failing(self, pages, selection, masks):
        if any(sample.page.file.endswith("page2.png") for sample, _ in pages):
            raise RuntimeError("out of luck")
        return usual(self, pages, selection, masks)

    monkeypatch.setattr(Detector, "_detect_batch", failing)
    many = changed(options, batch_size=3)
    report = run_batch([f"{corpus}/page*.png"], tmp_path / "out", many)
    assert (report.pages, report.failed) == (6, 1)
    (bad,) = (row for row in rows(tmp_path / "out") if row["error"])
    assert bad["document"].endswith("page2.png") and bad["page"] == 1
    assert "out of luck" in bad["error"]


def test_a_stopped_job_goes_on_by_shard(corpus, options, tmp_path, monkeypatch):
    out = tmp_path / "out"
    run_batch([corpus], tmp_path / "whole", options, shard_size=3)
    usual, seen = Worker.__call__, []

    def stopped(self, number, *arguments):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(number)
        return usual(self, number, *arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Worker, "__call__", stopped)
        run_batch([corpus], out, options, shard_size=3)
    assert len(list(out.glob("*.parquet"))) == 2
    with pytest.raises(InputError, match="holds a job already; --resume"):
        run_batch([corpus], out, options)
    with pytest.raises(InputError, match="begun with shard_size 3, not 5"):
        run_batch([corpus], out, options, shard_size=5, resume=True)
    with pytest.raises(InputError, match="begun with dpi 144, not 72"):
        run_batch([corpus], out, changed(options, dpi=72), resume=True)
    draw_page(corpus / "later.png")  # belongs to another job
    report = run_batch([corpus], out, options, resume=True)
    before = len(read_results(tmp_path / "whole").to_table()) - report.pages
    assert report.skipped == before > 0 and rows(out) == rows(tmp_path / "whole")
    report = run_batch([corpus], out, options, resume=True)
    assert (report.pages, report.skipped) == (0, 12)
    report = run_batch([corpus], out, options, overwrite=True)
    assert (report.pages, report.skipped) == (13, 0) and len(list(out.glob("*.parquet"))) == 1


def test_one_job_a_folder_and_damaged_plans(corpus, options, tmp_path):
    out = tmp_path / "out"
    with lock_folder(out, "a test"), pytest.raises(InputError, match="another job writes to it"):
        run_batch([corpus], out, options)
    run_batch([corpus], out, options)
    (out / DOCUMENTS).write_text((out / DOCUMENTS).read_text()[:-30])
    with pytest.raises(InputError, match=r"job\.json: damaged"):
        run_batch([corpus], out, options, resume=True)
    (out / JOB).write_text("[]")
    with pytest.raises(InputError, match=r"job\.json: damaged"):
        run_batch([corpus], out, options, resume=True)
    with pytest.raises(InputError, match=r"no pages-\*\.parquet"):
        read_results(tmp_path)


@pytest.mark.parametrize(
    ("file", "change"),
    [
        (JOB, lambda job: job | {"shard_size": 0}),
        (JOB, lambda job: job | {"shard_size": "3"}),
        (JOB, lambda job: job | {"settings": [1]}),
        (DOCUMENTS, lambda line: [line[0], 3, 0, -1]),
        (DOCUMENTS, lambda line: [*line[:3], [5]]),
        (DOCUMENTS, lambda line: [*line[:2], -7, 10]),
        (DOCUMENTS, lambda line: []),
        (DOCUMENTS, None),
    ],
)
def test_a_plan_of_other_values(file, change, corpus, options, tmp_path):
    """None: nested too deeply to be read."""
    out = tmp_path / "out"
    run_batch([corpus], out, options, shard_size=4)
    lines = (out / file).read_text().splitlines() if file == DOCUMENTS else []
    if change is None:
        lines[0] = "[" * 100_000
    elif file == DOCUMENTS:
        lines[0] = json.dumps(change(json.loads(lines[0])))
    content = "\n".join(lines) if lines else json.dumps(change(json.loads((out / JOB).read_text())))
    (out / file).write_text(content)
    with pytest.raises(InputError, match=r"job\.json: damaged") as error:
        run_batch([corpus], out, options, resume=True)
    assert "\n" not in str(error.value)


def test_a_finished_shard_that_is_damaged_is_named(corpus, options, tmp_path):
    out = tmp_path / "out"
    run_batch([corpus], out, options, shard_size=4)
    wanted = rows(out)
    path = out / "pages-000001.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    for read in (lambda: run_batch([corpus], out, options, resume=True), lambda: read_results(out)):
        with pytest.raises(InputError, match=r"pages-000001\.parquet: damaged.*remove it"):
            read()
    path.unlink()
    run_batch([corpus], out, options, resume=True)
    assert rows(out) == wanted


def test_names_that_are_no_utf8(options, tmp_path):
    draw_page(tmp_path / "page.png")
    folder = tmp_path / "pages"
    folder.mkdir()
    os.rename(tmp_path / "page.png", os.fsencode(folder) + b"/\xff\xfe.png")
    report = run_batch([folder], tmp_path / "out", options)
    (row,) = rows(tmp_path / "out")
    assert report.failed == 0 and row["document"].endswith("\\udcff\\udcfe.png")
    assert readable("页面") == "页面"


def test_the_command(corpus, options, tmp_path, capsys):
    words = ["batch", str(corpus), "--out", str(tmp_path / "out"), "--ckpt", options.detector.ckpt]
    words += ["--device", "cpu"]
    assert main(words) == 0
    said = capsys.readouterr()
    assert "12 pages in" in said.out and "1 failed, 0 skipped" in said.out
    assert main([*words, "--resume"]) == 0
    assert "0 failed, 12 skipped" in capsys.readouterr().out
    assert main([*words, "--overwrite", "--ocr", str(tmp_path)]) == 1
    assert "a folder of OCR files names pages" in capsys.readouterr().err
    assert main([*words, "--shard-size", "0"]) == 1
    assert "--shard-size is 0" in capsys.readouterr().err


@pytest.mark.parametrize(("ocr", "wanted"), [(None, "Hello page"), ("none", "")])
def test_the_text_layer_of_a_pdf(tmp_path, monkeypatch, ocr, wanted):
    """The bundled model reads text; one region over the whole page is put in for what it finds."""

    def one_region(self, pages, selection, masks):
        ((sample, _),) = pages
        height, width = sample.image.shape[:2]
        box = torch.tensor([[0.0, 0, width, height]])
        lines = OcrPage(sample.line_boxes, list(sample.lines), width, height)
        found = PageDetections(box, torch.ones(1), torch.zeros(1).long(), (height, width))
        return [(sample, replace(found, names=self.names, page=sample.page, lines=lines))]

    monkeypatch.setattr(Detector, "_detect_batch", one_region)
    path = str(write_pdf(tmp_path / "text.pdf", TEXT))
    run_batch(
        [path],
        tmp_path / "out",
        BatchOptions(DetectorOptions(device="cpu"), PredictOptions(ocr=ocr)),
    )
    (row,) = rows(tmp_path / "out")
    assert row["text"] == [wanted] and row["order"] == [0]
