"""Masks as run lengths, lists of JSON, files that are replaced whole."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from lmv3det.files import JsonList, replacing, write_json
from lmv3det.inference.results import boxes_xywh, encode_masks, page_entries
from lmv3det.model.mask_head import paste
from lmv3det.structures import Detections


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.9])
def test_masks_are_those_of_paste(threshold):
    generator = torch.Generator().manual_seed(0)
    size = torch.tensor([70.0, 90.0])  # width, height
    first = torch.rand(40, 2, generator=generator) * size
    last = torch.minimum(first + torch.rand(40, 2, generator=generator) * 60, size)
    boxes = torch.cat([first, last], dim=1)
    # The whole page, the whole height, a pixel, nothing.
    boxes[:4] = torch.tensor([[-9, -9, 80, 99], [10, 0, 20, 90], [3, 4, 4, 5], [8, 9, 8, 9]])
    masks = torch.rand(40, 28, 28, generator=generator)
    masks[:3] = 1.0
    found = Detections(boxes, torch.ones(40), torch.zeros(40).long(), (90, 70), masks)
    expected = paste(masks, boxes, (90, 70), threshold).numpy().astype(np.uint8)
    for pixels, encoded in zip(expected, encode_masks(found, threshold), strict=True):
        wanted = coco_mask.encode(np.asfortranarray(pixels))
        assert encoded == {"size": [90, 70], "counts": wanted["counts"].decode()}
    assert expected[0].all() and not expected[3].any()


def test_no_masks():
    none = Detections(
        torch.zeros(0, 4), torch.zeros(0), torch.zeros(0).long(), (9, 9), torch.zeros(0, 28, 28)
    )
    assert encode_masks(none) == page_entries(none, 0.5) == []


def test_entries():
    found = Detections(
        torch.tensor([[1.004, 2, 11.508, 22]]), torch.tensor([0.87654]), torch.tensor([1]),
        (30, 20), names=["Table", "Text"],
    )  # fmt: skip
    assert boxes_xywh(found, 1) == [[1.0, 2.0, 10.5, 20.0]]
    assert page_entries(found) == [
        {"bbox": [1.004, 2.0, 10.504, 20.0], "score": 0.87654, "category": "Text"}
    ]


def test_list_keeps_what_came_before_an_error(tmp_path):
    path = tmp_path / "new" / "list.json"
    with JsonList(path) as entries:
        pass
    assert json.loads(path.read_text()) == []
    with pytest.raises(KeyboardInterrupt), JsonList(path) as entries:
        entries.append({"name": "页"})
        entries.append(2)
        raise KeyboardInterrupt
    assert json.loads(path.read_text()) == [{"name": "页"}, 2]
    assert "页" in path.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="not JSON"), JsonList(path) as entries:
        entries.append(float("nan"))
    assert json.loads(path.read_text()) == [{"name": "页"}, 2]
    assert [p.name for p in path.parent.iterdir()] == ["list.json"]


def test_files_are_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file.json"
    write_json(path, {"AP": None})
    with pytest.raises(ValueError, match="not JSON"):
        write_json(path, {"AP": float("nan")})
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        assert temporary.suffix == ".json"
        temporary.write_text("half")
        raise RuntimeError
    assert json.loads(path.read_text()) == {"AP": None}
    assert [p.name for p in tmp_path.iterdir()] == ["file.json"]
