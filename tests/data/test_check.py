"""`lmv3det check`: the report, near-duplicates, drawings, exit codes."""

from __future__ import annotations

import argparse
import io
import json

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance

from lmv3det.cli.check import add_arguments, run
from lmv3det.data.fingerprint import SAME, fingerprint, similar_pairs
from lmv3det.data.images import read_image
from lmv3det.errors import InputError


def check(data, *more: object) -> int:
    data.save()
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    words = ["--annotations", data.annotations, "--images", data.images, *more]
    return run(parser.parse_args([str(word) for word in words]))


def paper(seed: int) -> Image.Image:
    """A page of grey lines, as paragraphs of one or two columns."""
    generator = np.random.default_rng(seed)
    page = Image.new("RGB", (300, 400), "white")
    draw = ImageDraw.Draw(page)
    columns = [(30, 270)] if generator.random() < 0.5 else [(30, 145), (155, 270)]
    for left, right in columns:
        y = 30
        while y < 370:
            for _ in range(int(generator.integers(2, 9))):
                end = right if generator.random() < 0.8 else int(generator.integers(left, right))
                draw.rectangle((left, y, end, y + 3), fill="black")
                y += 7
            y += int(generator.integers(5, 30))
    return page


def test_clean_data(tiny_data, capsys):
    assert check(tiny_data, "--ocr", tiny_data.ocr) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert "4 pages (1 without regions), 5 regions, 1 crowds" in lines[0]
    assert lines[2].split() == ["3", "Table", "2", "2"]
    assert lines[3].split() == ["7", "Text", "3", "2"]
    assert lines[-1].endswith("clean, no issues")


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_fault_is_listed(tiny_data, capsys, jobs):
    content = tiny_data.content
    content["annotations"][0]["bbox"] = [1, 2, 0, 5]
    content["annotations"][1]["category_id"] = 77
    content["images"][3]["width"] = 72
    (tiny_data.images / "b.png").write_bytes(b"no image")
    (tiny_data.ocr / "a.json").write_text(
        '{"bbox": [[1, 2, 3], [1, 1, 2, 2], [1, 2, -3, 4]], "words": ["a", "b", "c"], "W": 40,'
        ' "H": 60}'
    )
    (tiny_data.ocr / "c.json").unlink()
    (tiny_data.ocr / "d.json").write_text('{"bbox": [], "words": [], "W": 90, "H": 30}')
    assert check(tiny_data, "--ocr", tiny_data.ocr, "--jobs", jobs) == 1
    out = capsys.readouterr().out
    for said in (
        "empty box: annotation 1 of image 10",
        "unknown category: annotation 2 of image 10 (a.png): category_id 77",
        "unreadable image: image 11 (b.png)",
        "size differs: image 13 (d.png): the file has 36×48",
        "malformed OCR: image 10 (a.png)",
        "a.json: entry 0",
        "a.json: entry 2",
        "OCR file missing: image 12 (c.png)",
        "OCR of another shape: image 13 (d.png)",
    ):
        assert said in out, said
    last = out.splitlines()[-1]
    assert "8 issues" in last and "2 malformed OCR" in last


def test_drawings(tiny_data, capsys, tmp_path):
    folder = tmp_path / "drawings"
    assert check(tiny_data, "--draw", folder) == 0
    assert sorted(p.name for p in folder.iterdir()) == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    assert read_image(folder / "a.jpg").shape == (60, 40, 3)
    assert str(folder) in capsys.readouterr().out


def test_names_that_fake_a_line_or_are_long(tiny_data, capsys, tmp_path):
    long = "字" * 80 + "é" * 3  # 246 bytes
    for old, new in (("a", long), ("b", "b\nclean, no issues"), ("c", "c\x1b[2J")):
        (tiny_data.images / f"{old}.png").rename(tiny_data.images / f"{new}.png")
    content = tiny_data.content
    names = [f"{long}.png", "b\nclean, no issues.png", "c\x1b[2J.png"]
    for image, name in zip(content["images"], names, strict=False):
        image["file_name"] = name
    content["annotations"][0]["bbox"] = [1, 2, 0, 5]
    content["images"][1]["width"], content["images"][2]["width"] = 41, 51
    content["annotations"] = content["annotations"][:3]
    assert check(tiny_data, "--draw", tmp_path / "drawings") == 1
    out = capsys.readouterr().out
    assert len(list((tmp_path / "drawings").iterdir())) == 4
    assert sum(line.startswith("ISSUE") for line in out.splitlines()) == 3
    assert "\nclean" not in out and "\x1b" not in out


def test_near_duplicates(tiny_data, capsys):
    page = paper(0)
    page.save(tiny_data.images / "a.png")
    page.resize((240, 320)).save(tiny_data.images / "d.png")
    tiny_data.content["images"][0].update(width=300, height=400)
    tiny_data.content["images"][3].update(width=240, height=320)
    tiny_data.content["annotations"] = []
    assert check(tiny_data) == 1
    out = capsys.readouterr().out
    assert "near-duplicate: image 10 (a.png)" in out and "like image 13 (d.png)" in out
    assert out.splitlines()[-1].endswith("2 issues (1 no region, 1 near-duplicate)")


def test_pages_in_both_splits(tiny_data, tmp_path, capsys):
    other = tmp_path / "val"
    other.mkdir()
    Image.open(tiny_data.images / "c.png").save(other / "another name.png")
    paper(5).save(other / "new.png")
    content = {
        "images": [
            {"id": 1, "file_name": "another name.png", "width": 50, "height": 30},
            {"id": 2, "file_name": "new.png", "width": 300, "height": 400},
        ],
        "annotations": [],
        "categories": tiny_data.content["categories"],
    }
    path = tmp_path / "val.json"
    path.write_text(json.dumps(content))
    assert check(tiny_data, "--against", path, other) == 1
    out = capsys.readouterr().out
    assert "page in both splits: image 12 (c.png): 100% like image 1 (another name.png)" in out
    assert out.count("ISSUE") == 1
    content["categories"] = [{"id": 1, "name": "Music"}]
    content["images"] = content["images"][1:]
    path.write_text(json.dumps(content))
    assert check(tiny_data, "--against", path, other) == 1
    assert "categories differ" in capsys.readouterr().out


def test_wrong_input(tiny_data):
    with pytest.raises(InputError, match="no such OCR folder"):
        check(tiny_data, "--ocr", tiny_data.root / "none")
    with pytest.raises(InputError, match="--jobs"):
        check(tiny_data, "--jobs", 0)
    with pytest.raises(InputError, match="no such image folder"):
        check(tiny_data, "--images", tiny_data.root / "none")


def copies(page: Image.Image) -> list[Image.Image]:
    """A page re-encoded, rescaled, stretched, paled, noisy, shifted."""
    buffer = io.BytesIO()
    page.save(buffer, "JPEG", quality=40)
    noise = np.random.default_rng(0).normal(0, 8, (page.height, page.width, 1))
    noisy = (np.asarray(page) + noise).clip(0, 255).astype(np.uint8)
    shifted = Image.new("RGB", page.size, "white")
    shifted.paste(page, (1, 1))
    return [
        Image.open(buffer),
        page.resize((page.width * 2 // 3, page.height * 2 // 3), Image.Resampling.BILINEAR),
        page.resize((page.width, page.height + 20)),
        ImageEnhance.Contrast(page).enhance(0.7),
        Image.fromarray(noisy),
        shifted,
    ]


def prints(pages) -> np.ndarray:
    return np.stack([fingerprint(np.asarray(page.convert("RGB"))) for page in pages])


def test_fingerprints_tell_copies_from_other_pages():
    pages = [paper(seed) for seed in range(12)]
    own = prints(pages)
    assert list(similar_pairs(own)) == []
    for index, page in enumerate(pages[:4]):
        found = list(similar_pairs(prints(copies(page)), own))
        assert [(i, j) for i, j, _ in found] == [(i, index) for i in range(6)]


def test_blank_pages_are_like_no_other():
    blank = prints([Image.new("RGB", (300, 400), c) for c in ("white", "black", (250, 250, 250))])
    assert not blank.any() and list(similar_pairs(blank)) == []


def test_pairs_over_blocks(monkeypatch):
    monkeypatch.setattr("lmv3det.data.fingerprint._BLOCK", 3)
    values = np.eye(10, dtype=np.float32)
    values[7], values[8] = values[1], values[6]
    assert [(i, j) for i, j, _ in similar_pairs(values)] == [(1, 7), (6, 8)]
    assert {(i, j) for i, j, _ in similar_pairs(values[:2], values)} == {(0, 0), (1, 1), (1, 7)}


def test_real_pages(lmv3det_data):
    pages = [Image.open(p).convert("RGB") for p in sorted(lmv3det_data.glob("*/images/*"))]
    own = prints(pages)
    likeness = own @ own.T - np.eye(len(own))
    assert likeness.max() < SAME - 0.1
    for index in range(0, len(pages), 8):
        for page in copies(pages[index]):
            found = fingerprint(np.asarray(page.convert("RGB"))) @ own.T
            assert found.argmax() == index and found.max() > SAME
