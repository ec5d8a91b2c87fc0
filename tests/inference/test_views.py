"""Augmentation at test time: views of a page, and what becomes of their detections."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_detector import CATEGORIES, tiny_checkpoint, tiny_config

from lmv3det.config import load_config
from lmv3det.data.coco import CocoDataset
from lmv3det.data.loader import build_test_loader
from lmv3det.data.transforms import TestTransform, TestViews, views_at_test
from lmv3det.errors import InputError
from lmv3det.evaluation.detector import evaluate_detector
from lmv3det.inference.detector import Detector
from lmv3det.inference.views import join_by, join_views, unflip
from lmv3det.model.detector import build_detector
from lmv3det.structures import Detections, Page, Sample

VIEWS = ["test.augment.sizes=[64, 80]", "test.augment.max_size=128", "test.augment.flip=true"]


def found(boxes, scores, classes, size, masks=None) -> Detections:
    return Detections(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(scores, dtype=torch.float32),
        torch.tensor(classes, dtype=torch.int64),
        size,
        masks,
    )


def page(seed: int = 0, height: int = 90, width: int = 70) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_views_of_a_page():
    image = page()
    sample = Sample(image, Page("", 70, 90), line_boxes=np.array([[7.0, 9, 35, 18]]), lines=["a"])
    views = TestViews([35, 70], 200, flip=True)
    seen = views(sample)
    assert views.flipped == [False, True, False, True]
    assert [view.view for view in seen] == [0, 1, 2, 3]
    assert [view.image.shape[:2] for view in seen] == [(45, 35), (45, 35), (90, 70), (90, 70)]
    assert np.array_equal(seen[3].image, image[:, ::-1])
    assert seen[1].line_boxes.tolist() == [[35 - 17.5, 4.5, 35 - 3.5, 9.0]]


def test_unflip_is_its_own_inverse():
    masks = torch.rand(1, 28, 28)
    one = found([[10, 5, 30, 20]], [0.9], [1], (50, 100), masks)
    turned = unflip(one)
    assert turned.boxes.tolist() == [[70, 5, 90, 20]]
    assert torch.equal(turned.masks, masks.flip(-1))
    back = unflip(turned)
    assert torch.equal(back.boxes, one.boxes) and torch.equal(back.masks, masks)


def test_joined_by_hand():
    """Two views, the second mirrored and twice as large: what both see is there once, with the
    better score; another class stays; what one of them sees alone is kept, in the first's frame."""
    first = found([[10, 10, 30, 20], [50, 50, 60, 60]], [0.6, 0.3], [0, 1], (100, 100))
    second = found(
        [[140, 20, 180, 40], [140, 20, 180, 40], [0, 100, 40, 120]],
        [0.8, 0.5, 0.4],
        [0, 1, 0],
        (200, 200),
    )
    joined = join_views([first, second], [False, True], 0.5, 100)
    assert joined.image_size == (100, 100)
    assert joined.scores.tolist() == pytest.approx([0.8, 0.5, 0.4, 0.3])
    assert joined.classes.tolist() == [0, 1, 0, 1]
    assert joined.boxes.tolist() == [
        [10, 10, 30, 20], [10, 10, 30, 20], [80, 50, 100, 60], [50, 50, 60, 60]
    ]  # fmt: skip
    assert join_views([first, second], [False, True], 0.5, 2).scores.tolist() == pytest.approx(
        [0.8, 0.5]
    )


def test_arrays_are_joined_as_tensors_are():
    rng = np.random.default_rng(0)
    tensors, arrays = [], []
    for size in ((60, 80), (90, 120)):
        low = rng.uniform(0, 40, (30, 2)).astype(np.float32)
        boxes = np.concatenate([low, low + rng.uniform(1, 40, (30, 2)).astype(np.float32)], 1)
        scores, classes = rng.random(30).astype(np.float32), rng.integers(0, 2, 30)
        arrays.append(Detections(boxes, scores, classes, size))
        tensors.append(Detections(*map(torch.from_numpy, (boxes, scores, classes)), size))
    ours = join_views(tensors, [False, True], 0.5, 20)
    theirs = join_views(arrays, [False, True], 0.5, 20)
    assert isinstance(theirs.boxes, np.ndarray) and 0 < len(theirs) <= 20
    np.testing.assert_allclose(ours.boxes.numpy(), theirs.boxes, rtol=1e-6)
    assert np.array_equal(ours.scores.numpy(), theirs.scores)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "model.pth")


def test_one_size_without_flip_is_the_plain_prediction(checkpoint):
    plain = Detector.load(checkpoint, "cpu", ["test.score_threshold=0"])
    same = Detector.load(checkpoint, "cpu", ["test.score_threshold=0", "test.augment.sizes=[64]"])
    for one, other in zip(plain.predict(page()), same.predict(page()), strict=True):
        assert len(one) and torch.equal(one.boxes, other.boxes)
        assert torch.equal(one.scores, other.scores) and torch.equal(one.masks, other.masks)


def test_a_page_and_its_mirror_image_give_mirrored_regions(checkpoint):
    """With both views of each size, what is found does not depend on the side."""
    detector = Detector.load(
        checkpoint, "cpu", ["test.score_threshold=0", "test.augment.flip=true",
                            "input.size_divisibility=32", "test.nms_threshold=0.5"]
    )  # fmt: skip
    image = page(1, 96, 64)  # no padding, which is on one side alone
    (one,), (other,) = (
        detector.predict(each) for each in (image, np.ascontiguousarray(image[:, ::-1]))
    )
    assert len(one) == len(other) > 0
    torch.testing.assert_close(one.scores, other.scores, rtol=1e-4, atol=1e-6)
    mirrored = 64 - other.boxes[:, [2, 1, 0, 3]][:, [0, 2]]
    torch.testing.assert_close(one.boxes[:, [0, 2]], mirrored, rtol=0, atol=0.05)


def test_evaluation_sees_what_prediction_sees(tiny_data):
    """The same regions by `evaluate` and `Detector`, with batches of several pages and sizes."""
    tiny_data.save()
    config = load_config(None, VIEWS)
    config = tiny_config(
        test={"score_threshold": 0.0, "batch_size": 2, "augment": vars(config.test.augment)}
    )
    torch.manual_seed(0)
    model = build_detector(config).eval()
    dataset = CocoDataset(tiny_data.annotations, tiny_data.images, categories=CATEGORIES)
    views = views_at_test(config)
    loader = build_test_loader(config, dataset, None, augment=True)
    evaluation = evaluate_detector(
        model, dataset, loader, CATEGORIES, "cpu", progress=False, views=join_by(config, views)
    )
    detector = Detector(model, config, CATEGORIES)
    for record in dataset.records:
        (ours,) = detector.predict(tiny_data.images / record.file_name)
        theirs = [d for d in evaluation.detections if d["image_id"] == record.image_id]
        assert len(ours) == len(theirs) > 0
        np.testing.assert_allclose(
            [d["score"] for d in theirs], ours.scores.numpy(), rtol=1e-5, atol=1e-7
        )


def test_settings():
    assert views_at_test(load_config()) is None
    views = views_at_test(load_config(None, ["test.augment.flip=true", "input.min_size_test=640"]))
    assert views.flipped == [False, True] and isinstance(views.transforms[0], TestTransform)
    assert (views.transforms[0].min_size, views.transforms[0].max_size) == (640, 1333)
    with pytest.raises(InputError, match=r"test\.augment sizes is 20000"):
        load_config(None, ["test.augment.sizes=[20000]"])
