"""Samples, batches and detections: moving and resizing."""

from __future__ import annotations

import numpy as np
import torch

from lmv3det.structures import Batch, Detections, Page, Sample, Target


def make_batch() -> Batch:
    targets = [
        Target(torch.tensor([[1.0, 2, 30, 40]]), torch.tensor([1]), [[np.zeros((4, 2))]]),
        Target(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)),
    ]
    return Batch(
        images=torch.zeros(2, 3, 32, 32),
        image_sizes=[(30, 32), (32, 20)],
        input_ids=torch.ones(2, 5, dtype=torch.int64),
        text_boxes=torch.zeros(2, 5, 4, dtype=torch.int64),
        text_mask=torch.ones(2, 5, dtype=torch.bool),
        targets=targets,
        pages=[Page("a.png", 64, 60), Page("b.png", 40, 64)],
    )


def test_to_moves_every_tensor_and_those_of_the_targets() -> None:
    batch = make_batch()
    moved = batch.to("meta")
    tensors = [moved.images, moved.input_ids, moved.text_boxes, moved.text_mask]
    for target in moved.targets:
        tensors += [target.boxes, target.classes]
    assert {t.device.type for t in tensors} == {"meta"}
    assert batch.images.device.type == "cpu" and batch.targets[0].boxes.device.type == "cpu"
    assert moved.pages is batch.pages and moved.image_sizes is batch.image_sizes
    assert moved.targets[0].polygons is batch.targets[0].polygons
    assert moved.targets[1].polygons is None


def test_a_dtype_is_for_floats_alone() -> None:
    moved = make_batch().to(torch.float64)
    assert moved.images.dtype == moved.targets[0].boxes.dtype == torch.float64
    assert moved.input_ids.dtype == moved.text_boxes.dtype == torch.int64
    assert moved.text_mask.dtype == torch.bool and moved.targets[0].classes.dtype == torch.int64
    moved = make_batch().to("meta", torch.float64)
    assert moved.input_ids.device.type == "meta" and moved.input_ids.dtype == torch.int64


def test_a_batch_without_text_and_targets() -> None:
    moved = Batch(torch.zeros(1, 3, 32, 32), [(32, 32)]).to("meta")
    assert moved.input_ids is None and moved.targets is None and len(moved) == 1


def found(*boxes: list[float], image_size: tuple[int, int] = (40, 30)) -> Detections:
    number = len(boxes)
    return Detections(
        torch.tensor(boxes).reshape(number, 4),
        torch.linspace(0.9, 0.1, number),
        torch.arange(number),
        image_size,
        masks=torch.rand(number, 28, 28),
        names=["Text", "Table"],
    )


def test_resized_by_hand() -> None:
    """(height, width) 40×30 → 80×90: twice as high, three times as wide."""
    before = found([3.0, 4, 6, 8], [0, 0, 30, 40])
    after = before.resized((80, 90))
    assert after.boxes.tolist() == [[9, 8, 18, 16], [0, 0, 90, 80]]
    assert after.image_size == (80, 90) and before.image_size == (40, 30)
    assert after.masks is before.masks and after.names == ["Text", "Table"]
    assert torch.equal(after.scores, before.scores)


def test_resized_clips_to_the_new_frame() -> None:
    after = found([-2.0, -4, 31, 44]).resized((20, 15))
    assert after.boxes.tolist() == [[0, 0, 15, 20]]


def test_resized_there_and_back() -> None:
    before = found([3.0, 4, 6.5, 8], [0, 0, 30, 40])
    torch.testing.assert_close(before.resized((1333, 801)).resized((40, 30)).boxes, before.boxes)


def test_nothing_found() -> None:
    assert len(found().resized((5, 5))) == 0 and len(found()) == 0


def test_detections_move() -> None:
    moved = found([3.0, 4, 6, 8]).to("meta")
    assert {t.device.type for t in (moved.boxes, moved.scores, moved.classes, moved.masks)} == {
        "meta"
    }


def test_an_empty_sample_has_arrays_of_the_right_shape() -> None:
    sample = Sample(np.zeros((5, 4, 3), dtype=np.uint8), Page("a.png", 4, 5))
    assert sample.boxes.shape == (0, 4) and sample.line_boxes.shape == (0, 4)
    assert sample.classes.dtype == np.int64 and sample.lines == []
