"""Several folders of pages as one."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # tools/ is not installed

from lmv3det.data.coco import CocoDataset
from lmv3det.errors import InputError
from tools.merge_pages import merge_pages


@pytest.fixture
def folders(tiny_data, tmp_path: Path) -> list[Path]:
    found = []
    for name in ("a", "b"):
        folder = tmp_path / "sets" / name
        folder.mkdir(parents=True)
        shutil.copyfile(tiny_data.annotations, folder / "annotations.json")
        shutil.copytree(tiny_data.images, folder / "images")
        shutil.copytree(tiny_data.ocr, folder / "OCR")
        found.append(folder)
    return found


def test_every_page_keeps_its_regions_and_text(folders, tmp_path: Path) -> None:
    content = json.loads((folders[1] / "annotations.json").read_text())
    content["categories"].reverse()  # other ids would be the same classes
    (folders[1] / "annotations.json").write_text(json.dumps(content))
    number = merge_pages(tmp_path / "all", folders)
    one = CocoDataset(folders[0] / "annotations.json", folders[0] / "images", with_text=True)
    both = CocoDataset(tmp_path / "all/annotations.json", tmp_path / "all/images", with_text=True)
    assert number == len(both) == 2 * len(one)
    for k in range(len(both)):
        ours, theirs = both[k], one[k % len(one)]
        assert ours.lines == theirs.lines and (ours.image == theirs.image).all()
        assert ours.boxes.tolist() == theirs.boxes.tolist()
        assert ours.classes.tolist() == theirs.classes.tolist()


def test_a_set_that_grew_is_merged_again(folders, tmp_path: Path) -> None:
    merge_pages(tmp_path / "all", folders[:1])
    assert merge_pages(tmp_path / "all", folders) == 2 * len(
        json.loads((folders[0] / "annotations.json").read_text())["images"]
    )


def test_faults_are_named(folders, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two folders are called a"):
        merge_pages(tmp_path / "all", [folders[0], folders[0]])
    content = json.loads((folders[1] / "annotations.json").read_text())
    content["categories"].pop()
    (folders[1] / "annotations.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="other classes"):
        merge_pages(tmp_path / "all", folders)
    with pytest.raises(InputError, match=r"no annotations\.json"):
        merge_pages(tmp_path / "all", [tmp_path / "none"])
