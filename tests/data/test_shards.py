"""Data sets in tar files: the same pages as in the folder, shared out, in training too."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from training_helpers import tiny_config

from lmv3det.cli import main
from lmv3det.config.schema import TrainSplitConfig
from lmv3det.data.coco import CocoDataset
from lmv3det.data.loader import build_train_loader
from lmv3det.data.sampler import TrainSampler
from lmv3det.data.shards import INDEX, ShardDataset, expand
from lmv3det.data.write_shards import write_shards
from lmv3det.engine.log import read_entries
from lmv3det.engine.run import train
from lmv3det.engine.setup import check_files, read_data
from lmv3det.errors import InputError
from lmv3det.structures import Sample


@pytest.fixture
def shards(tiny_data, tmp_path) -> Path:
    """The four pages of `tiny_data`, with OCR, in two tar files."""
    folder = CocoDataset(tiny_data.annotations, tiny_data.images, with_text=True)
    write_shards(folder, tmp_path / "shards", 2)
    return tmp_path / "shards"


def pattern(folder: Path, last: int = 1) -> str:
    return f"{folder}/pages-{{000..{last:03d}}}.tar"


def make_pages(folder: Path, count: int) -> None:
    """Pages of a region each; every third one is wide."""
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for number in range(count):
        height, width = (50, 60) if number % 3 == 0 else (60, 50)
        pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number}.png")
        images.append(
            {"id": number, "file_name": f"{number}.png", "width": width, "height": height}
        )
        annotations.append(
            {
                "id": number + 1,
                "image_id": number,
                "category_id": 1,
                "bbox": [5, 6, 30, 20 + number],
            }
        )
    content = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "Text"}],
    }
    (folder / "annotations.json").write_text(json.dumps(content), encoding="utf-8")


def in_shards(folder: Path, count: int) -> str:
    """The pages of a folder in tar files beside it; their pattern."""
    dataset = CocoDataset(folder / "annotations.json", folder / "images")
    write_shards(dataset, folder / "shards", count)
    return pattern(folder / "shards", count - 1)


def assert_same(one: Sample, other: Sample) -> None:
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_array_equal(one.boxes, other.boxes)
    np.testing.assert_array_equal(one.classes, other.classes)
    assert one.classes.dtype == other.classes.dtype
    assert len(one.polygons) == len(other.polygons)
    for these, those in zip(one.polygons, other.polygons, strict=True):
        for first, second in zip(these, those, strict=True):
            np.testing.assert_array_equal(first, second)
    assert one.lines == other.lines
    np.testing.assert_array_equal(one.line_boxes, other.line_boxes)
    assert (one.page.height, one.page.width) == (other.page.height, other.page.width)
    assert one.page.image_id == other.page.image_id


def test_pages_are_those_of_the_folder_to_the_last_bit(tiny_data, shards):
    folder = CocoDataset(tiny_data.annotations, tiny_data.images, with_text=True)
    dataset = ShardDataset(pattern(shards), with_text=True)
    assert dataset.categories == folder.categories and len(dataset) == len(folder) == 4
    np.testing.assert_array_equal(dataset.aspect_ratios(), folder.aspect_ratios())
    for index in range(4):
        assert_same(dataset[index], folder[index])
        assert dataset.page_size(index) == folder.page_size(index)
    assert len(ShardDataset(pattern(shards), keep_empty=False)) == 3


def test_reduced_pages_are_those_of_the_folder(tmp_path):
    """Those of JPEG: a PNG file is always decoded whole."""
    make_pages(tmp_path, 4)
    (tmp_path / "OCR").mkdir()
    for path in (tmp_path / "images").glob("*.png"):
        with Image.open(path) as image:
            width, height = image.size
            if path.stem != "3":  # the content counts, not the name
                image.save(path, "jpeg")
        lines = {"bbox": [[4, 6, 20, 9]], "words": ["a line"], "W": width, "H": height}
        (tmp_path / "OCR" / f"{path.stem}.json").write_text(json.dumps(lines))
    paths = (tmp_path / "annotations.json", tmp_path / "images")
    write_shards(CocoDataset(*paths, with_text=True), tmp_path / "shards", 2)
    config = tiny_config(tmp_path, tmp_path / "run", data={"reduced_jpeg": True})
    config.input.min_size_train, config.text.selection = [20], "first"
    config.input.crop, config.data.val.annotations = False, None
    folder, _ = read_data(config, quiet=True)
    config.data.train = TrainSplitConfig(shards=pattern(tmp_path / "shards"))
    dataset, _ = read_data(config, quiet=True)
    for index in range(4):
        assert_same(dataset[index], folder[index])
    assert dataset[0].image.shape == (25, 30, 3) and dataset[0].boxes.tolist() == [
        [2.5, 3, 17.5, 13]
    ]
    assert dataset[3].image.shape == (50, 60, 3)
    with pytest.raises(InputError, match=r"the image has 30×25 pixels, the index says 61×50"):
        dataset.columns["width"][0] += 1
        dataset[0]


def test_webdataset_reads_what_is_written(shards):
    """The layout is its: one sample a key, the suffix behind the first dot names the part."""
    wds = pytest.importorskip("webdataset")
    found = list(wds.WebDataset(pattern(shards), shardshuffle=False, empty_check=False))
    assert [sample["__key__"] for sample in found] == [f"{n:09d}" for n in range(10, 14)]
    for sample in found:
        assert {"png", "json", "ocr.json"} <= set(sample)
        assert json.loads(sample["json"])["id"] == int(sample["__key__"])


def test_ranges():
    assert expand("a-{08..11}.tar") == [f"a-{n}.tar" for n in ("08", "09", "10", "11")]
    assert expand("a.tar") == ["a.tar"] and len(expand("{0..1}/{0..2}.tar")) == 6
    with pytest.raises(InputError, match=r"\{3\.\.1\} runs backwards"):
        expand("a-{3..1}.tar")


def test_two_processes_of_two_loaders_see_every_page_once_an_epoch(tmp_path):
    """Each process reads its own tar files alone: those of the others are not there."""
    make_pages(tmp_path / "pages", 16)
    in_shards(tmp_path / "pages", 4)
    seen: list[list[int]] = []
    for rank in range(2):
        host = tmp_path / f"host{rank}"
        shutil.copytree(tmp_path / "pages" / "shards", host)
        for number in range(4):
            if number % 2 != rank:
                (host / f"pages-{number:03d}.tar").unlink()
        dataset = ShardDataset(pattern(host, 3))
        config = tiny_config(tmp_path, tmp_path, data={"workers": 2})
        loader = build_train_loader(
            config, dataset, None, rank=rank, world_size=2, pages_per_batch=1
        )
        batches = iter(loader)
        for epoch in range(3):
            pages = [next(batches).pages[0].image_id for _ in range(8)]
            assert len(set(pages)) == 8, f"epoch {epoch} of process {rank}"
            seen.append(pages)
        del batches
    assert not set(seen[0]) & set(seen[3]) and set(seen[0]) | set(seen[3]) == set(range(16))
    assert set(seen[0]) == set(seen[1]) == set(seen[2]) and seen[0] != seen[1]


def test_a_stream_goes_on_where_it_stopped_and_one_process_has_the_usual_one():
    ratios = np.random.default_rng(0).uniform(0.5, 1.5, 23)

    def stream(rank: int, world: int, share: np.ndarray | None, start: int = 0) -> list[Any]:
        sampler = TrainSampler(
            ratios, 2, seed=5, rank=rank, world_size=world, start=start, share=share
        )
        return [batch for batch, _ in zip(sampler, range(40), strict=False)]

    assert stream(0, 1, np.arange(23)) == stream(0, 1, None)
    mine = np.arange(1, 23, 2)
    whole = stream(1, 2, mine)
    assert stream(1, 2, mine, start=7)[:30] == whole[7:37]
    assert {page for batch in whole for page, _ in batch} == set(mine.tolist())
    seeds = [seed for rank in (0, 1) for b in stream(rank, 2, mine) for _, seed in b]
    assert len(set(seeds)) == len(seeds), "no augmentation is drawn twice"


def test_training_on_shards_has_the_losses_of_training_on_the_folder(tmp_path):
    """In one process the order of pages is the same; then everything is, also resumed."""
    make_pages(tmp_path, 7)
    shards = in_shards(tmp_path, 3)
    none = {"annotations": None, "images": None}
    solver = {"steps": 6, "schedule": "constant"}  # which does not change with the steps
    folder = tiny_config(tmp_path, tmp_path / "folder", data={"val": none}, solver=solver)
    data = {"train": {**none, "shards": shards}, "val": none}
    from_shards = tiny_config(tmp_path, tmp_path / "run", data=data, solver=solver)
    train(folder)
    from_shards.solver.steps = 3
    train(from_shards)
    from_shards.solver.steps = 6
    train(from_shards, resume=True)
    runs = [read_entries(tmp_path / name) for name in ("folder", "run")]
    losses = [[e["total"] for e in entries if "total" in e] for entries in runs]
    assert losses[0] == losses[1] and len(losses[0]) == 6


def test_what_is_wrong_is_said_in_a_line(shards, tiny_data, tmp_path):
    with pytest.raises(InputError, match=r"no-such/index\.json: no such file"):
        ShardDataset(str(tmp_path / "no-such" / "pages-{000..001}.tar"))
    with pytest.raises(InputError, match=r"has no pages-002\.tar .*but pages-000\.tar"):
        ShardDataset(pattern(shards, 2))
    with pytest.raises(InputError, match="2 tar files for 3 processes"):
        ShardDataset(pattern(shards)).share(2, 3)
    dataset = ShardDataset(pattern(shards), with_text=True)
    path = shards / "pages-000.tar"
    whole = path.read_bytes()
    path.write_bytes(whole[:2000])
    with pytest.raises(InputError, match=r"pages-000\.tar: is shorter than it was"):
        dataset[1]
    path.write_bytes(whole.replace(b'"bbox"', b'"box!"'))
    with pytest.raises(InputError, match=r"000000010\.json: malformed \(KeyError"):
        dataset[0]
    path.write_bytes(whole.replace(b"PNG", b"GIF"))
    with pytest.raises(InputError, match=r"pages-000\.tar: 000000010"):
        dataset[0]
    path.unlink()
    with pytest.raises(InputError, match=r"pages-000\.tar: no such file"):
        dataset[0]
    without = CocoDataset(tiny_data.annotations, tiny_data.images)
    write_shards(without, tmp_path / "without", 1)
    with pytest.raises(InputError, match="4 of 4 pages have no OCR"):
        ShardDataset(str(tmp_path / "without" / "pages-000.tar"), with_text=True)


@pytest.mark.parametrize(
    "change",
    [
        lambda index: index.update(version=2),
        lambda index: index.update(shards=[[]]),
        lambda index: index["shards"][0].update(width=[1]),
        lambda index: index["shards"][0].update(width=[0, 5]),
        lambda index: index["shards"][0].update(image=[[1], [2]]),
        lambda index: index["shards"][0].update(ocr=[["a", 1], [1, 1]]),
        lambda index: index.update(categories=[{"id": "x", "name": "Text"}]),
        lambda index: index["shards"][0].update(name=["a"]),
        lambda index: index["shards"][0].update(name=3),
        lambda index: index["shards"][0].update(keys=[1, 2]),
    ],
)
def test_a_damaged_index(shards, change):
    index = json.loads((shards / INDEX).read_text())
    change(index)
    (shards / INDEX).write_text(json.dumps(index))
    with pytest.raises(InputError, match=r"index\.json: not an index of shards, or damaged"):
        ShardDataset(pattern(shards))


def test_the_command_and_its_refusals(tiny_data, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["shards", "--annotations", str(tiny_data.annotations), "--images"]
    words += [str(tiny_data.images), "--ocr", str(tiny_data.ocr), "--out", str(out)]
    assert main([*words, "--shards", "9"]) == 1
    assert "9 shards of 4 pages: give 1 to 4" in capsys.readouterr().err
    assert main([*words, "--shards", "4"]) == 0
    assert f"4 pages; data.train.shards: {pattern(out, 3)}" in capsys.readouterr().out
    with tarfile.open(out / "pages-000.tar") as archive:
        names = ["000000010.png", "000000010.json", "000000010.ocr.json"]
        assert archive.getnames() == names
    first = (out / "pages-000.tar").read_bytes()
    assert main([*words, "--shards", "2"]) == 1
    assert "holds shards already; --overwrite" in capsys.readouterr().err
    assert main([*words, "--shards", "4", "--overwrite"]) == 0
    assert (out / "pages-000.tar").read_bytes() == first, "equal pages make equal files"
    config = tiny_config(tmp_path, tmp_path / "run")
    config.data.train.shards = pattern(out, 3)
    with pytest.raises(InputError, match=r"shards and data\.train\.annotations are both set"):
        check_files(config)


def test_addresses_of_fsspec(shards):
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    for path in shards.iterdir():
        memory.pipe(f"/shards/{path.name}", path.read_bytes())
    there = ShardDataset("memory://shards/pages-{000..001}.tar", with_text=True)
    here = ShardDataset(pattern(shards), with_text=True)
    for index in range(4):
        np.testing.assert_array_equal(there[index].image, here[index].image)
        assert there[index].lines == here[index].lines


@pytest.mark.parametrize("name", ["page." + "x" * 200, "page", "page.jpeg.bak", "scan.PNG"])
def test_a_page_of_any_name_goes_into_a_tar_file(tmp_path, name):
    """Failed before with a traceback: tar takes names of 100 bytes."""
    make_pages(tmp_path, 1)
    (tmp_path / "images" / "0.png").rename(tmp_path / "images" / name)
    content = json.loads((tmp_path / "annotations.json").read_text())
    content["images"][0]["file_name"] = name
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    folder = CocoDataset(tmp_path / "annotations.json", tmp_path / "images")
    write_shards(folder, tmp_path / "shards", 1)
    with tarfile.open(tmp_path / "shards" / "pages-000.tar") as archive:
        assert archive.getnames()[0] == "000000000.png"
    np.testing.assert_array_equal(
        ShardDataset(str(tmp_path / "shards/pages-000.tar"))[0].image, folder[0].image
    )
