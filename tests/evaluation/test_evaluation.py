"""Average precision: perfect and wrong detections, crowds, masks, ids, thresholds."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tiny_detector import CATEGORIES, tiny_config
from torch import nn

from lmv3det.data.categories import Category
from lmv3det.data.coco import CocoDataset
from lmv3det.data.loader import build_test_loader
from lmv3det.errors import InputError
from lmv3det.evaluation import coco
from lmv3det.evaluation.classes import match_classes
from lmv3det.evaluation.coco import best_threshold, score
from lmv3det.evaluation.detector import evaluate_detector, page_results
from lmv3det.structures import Detections, Page


class Oracle(nn.Module):
    """Finds what the data set holds, in the network's pixels, moved to the right by `shift`."""

    def __init__(self, dataset: CocoDataset, shift: float = 0.0, masks: bool = False) -> None:
        super().__init__()
        self.dataset, self.shift = dataset, shift
        self.mask_head = nn.Identity() if masks else None
        self.place = {record.image_id: k for k, record in enumerate(dataset.records)}

    def predict(self, batch):
        assert not self.training
        return [self.find(*both) for both in zip(batch.pages, batch.image_sizes, strict=True)]

    def find(self, page, size):
        sample = self.dataset[self.place[page.image_id]]
        boxes = torch.from_numpy(sample.boxes).float()
        boxes[:, 0::2] = boxes[:, 0::2] * size[1] / page.width + self.shift * size[1]
        boxes[:, 1::2] *= size[0] / page.height
        count = len(boxes)
        masks = torch.ones(count, 28, 28) if self.mask_head is not None else None
        classes = torch.from_numpy(sample.classes)
        return Detections(boxes, torch.linspace(0.9, 0.5, count), classes, size, masks)


def tiny_dataset(data, **options) -> CocoDataset:
    data.save()
    return CocoDataset(data.annotations, data.images, categories=CATEGORIES, **options)


def evaluate(model, dataset, config=None, categories=CATEGORIES):
    loader = build_test_loader(config or tiny_config(), dataset, None)
    return evaluate_detector(model, dataset, loader, categories, "cpu", progress=False)


def test_perfect_boxes_score_100(tiny_data):
    dataset = tiny_dataset(tiny_data)
    model = Oracle(dataset).train()
    evaluation = evaluate(model, dataset)
    assert model.training  # as it was
    metrics = evaluation.metrics["bbox"]
    assert list(evaluation.metrics) == ["bbox"]
    assert {k: v for k, v in metrics.items() if k != "per_class"} == pytest.approx(
        {"AP": 100, "AP50": 100, "AP75": 100, "AR100": 100, "precision": 100}, abs=1e-9
    )
    # The crowd of class 3 is no region.
    assert {k: v["count"] for k, v in metrics["per_class"].items()} == {"Table": 2, "Text": 3}
    assert set(evaluation.mistakes.values()) == {0}
    # The data set's own ids, page pixels, x y w h.
    found = [(r["image_id"], r["category_id"], r["bbox"]) for r in evaluation.detections]
    assert found == [
        (10, 7, pytest.approx([4, 5, 20, 10], abs=2e-3)),
        (10, 3, pytest.approx([1, 30, 30, 20], abs=2e-3)),
        (10, 7, pytest.approx([10, 20, 5, 5], abs=2e-3)),
        (12, 7, pytest.approx([10, 5, 25, 15], abs=2e-3)),
        (13, 3, pytest.approx([3.5, 4.5, 10, 20], abs=2e-3)),
    ]


def test_boxes_beside_the_regions_score_0(tiny_data):
    dataset = tiny_dataset(tiny_data)
    evaluation = evaluate(Oracle(dataset, shift=1.0), dataset)
    assert evaluation.metrics["bbox"]["AP"] == 0
    assert evaluation.metrics["bbox"]["per_class"]["Text"]["AR100"] == 0
    # Clipped to the page's edge: 3 missed and 3 false, 1 and 1, 1 and 1.
    assert evaluation.mistakes == {10: 6, 12: 2, 13: 2}


def test_no_detections_and_no_truth(tiny_data):
    dataset = tiny_dataset(tiny_data)
    metrics = score(dataset, []).metrics
    assert metrics["bbox"]["AP"] == metrics["segm"]["AR100"] == 0
    tiny_data.content["annotations"] = [
        a for a in tiny_data.content["annotations"] if a["category_id"] == 7
    ]
    metrics = evaluate(Oracle(tiny_dataset(tiny_data)), tiny_dataset(tiny_data)).metrics["bbox"]
    assert metrics["per_class"]["Table"] == {
        "AP": None, "AP50": None, "AP75": None, "AR100": None, "count": 0
    }  # fmt: skip
    assert metrics["AP"] == pytest.approx(100)  # the mean over classes with truth
    assert json.dumps(metrics, allow_nan=False)


def test_crowds_count_neither_way(tiny_data):
    dataset = tiny_dataset(tiny_data)
    truth = evaluate(Oracle(dataset), dataset).detections
    in_crowd = {"image_id": 10, "category_id": 3, "bbox": [5, 1, 10, 4], "score": 0.99}
    metrics = score(dataset, [in_crowd, *truth], ["bbox"]).metrics["bbox"]
    assert metrics["per_class"]["Table"]["AP"] == pytest.approx(100)
    tiny_data.content["annotations"][3]["iscrowd"] = 0
    metrics = score(tiny_dataset(tiny_data), [in_crowd, *truth], ["bbox"]).metrics["bbox"]
    assert metrics["per_class"]["Table"]["count"] == 3
    assert metrics["per_class"]["Table"]["AP"] < 80


def test_masks(tiny_data):
    """Full masks are perfect where the truth is its box; a triangle and a notched block are not."""
    dataset = tiny_dataset(tiny_data)
    evaluation = evaluate(Oracle(dataset, masks=True), dataset)
    assert list(evaluation.metrics) == ["bbox", "segm"]
    by_image = [coco_mask.decode(r["segmentation"]) for r in evaluation.detections]
    assert by_image[0].shape == (60, 40)
    assert by_image[0].sum() == 200 and by_image[0][5:15, 4:24].all()
    assert by_image[3].shape == (30, 50) and by_image[3][5:20, 10:35].all()
    segm = evaluation.metrics["segm"]["per_class"]
    # Tables: a box (null segmentation), and half a box, whose IoU is below 0.55.
    assert segm["Table"]["AP75"] == pytest.approx(100 * 51 / 101)
    assert segm["Text"]["AP75"] == pytest.approx(100)


def test_written_results_give_the_metrics_to_pycocotools_alone(tiny_data, capsys):
    dataset = tiny_dataset(tiny_data)
    evaluation = evaluate(Oracle(dataset, shift=0.03), dataset)
    for annotation in tiny_data.content["annotations"]:
        annotation.setdefault("iscrowd", 0)
        annotation.setdefault("area", annotation["bbox"][2] * annotation["bbox"][3])
    tiny_data.save()
    assert capsys.readouterr().out == ""
    truth = COCO(tiny_data.annotations)
    coco = COCOeval(truth, truth.loadRes(evaluation.detections), "bbox")
    coco.evaluate()
    coco.accumulate()
    coco.summarize()
    metrics = evaluation.metrics["bbox"]
    assert 0 < metrics["AP"] < 100
    expected = [100 * coco.stats[k] for k in (0, 1, 2, 8)]
    assert [metrics[k] for k in ("AP", "AP50", "AP75", "AR100")] == pytest.approx(expected)


def test_categories_in_another_order_and_of_another_model(tiny_data, caplog):
    """The model's class indices need not be those of the file; what it does not have goes."""
    categories = [Category(1, "Figure"), Category(2, "text"), Category(5, "TABLE")]
    dataset = CocoDataset(tiny_data.annotations, tiny_data.images, categories=categories)
    evaluation = evaluate(Oracle(dataset), dataset, categories=categories)
    assert evaluation.metrics["bbox"]["AP"] == pytest.approx(100)
    assert {r["category_id"] for r in evaluation.detections} == {3, 7}

    class Figures(Oracle):
        def find(self, page, size):
            found = super().find(page, size)
            found.classes = torch.zeros_like(found.classes)
            return found

    evaluation = evaluate(Figures(dataset), dataset, categories=categories)
    assert evaluation.detections == [] and evaluation.metrics["bbox"]["AP"] == 0
    assert "5 detections are of classes that it does not have (Figure)" in caplog.text
    with pytest.raises(InputError, match="Table"):
        evaluate(Oracle(dataset), dataset, categories=categories[:2])


def test_page_that_cannot_be_read(tiny_data):
    dataset = tiny_dataset(tiny_data)
    (tiny_data.images / "c.png").write_text("no picture")
    with pytest.raises(InputError, match=r"c\.png"):
        evaluate(Oracle(dataset), dataset)


def test_an_annotated_size_that_is_not_the_files(tiny_data):
    """Detections come in the annotations' frame."""
    for name in ("width", "height"):
        tiny_data.content["images"][0][name] *= 2
    for annotation in tiny_data.content["annotations"][:4]:
        annotation["bbox"] = [2 * value for value in annotation["bbox"]]
        annotation["segmentation"] = None

    class InInput(Oracle):
        def find(self, page, size):
            sample = self.dataset[self.place[page.image_id]]
            height, width = sample.image.shape[:2]
            scale = np.tile([size[1] / width, size[0] / height], 2)
            found = super().find(page, size)
            found.boxes = torch.from_numpy(sample.boxes * scale).float()
            return found

    dataset = tiny_dataset(tiny_data)
    evaluation = evaluate(InInput(dataset), dataset)
    assert evaluation.metrics["bbox"]["AP"] == pytest.approx(100)
    assert evaluation.detections[0]["bbox"] == pytest.approx([8, 10, 40, 20], abs=5e-3)


@pytest.mark.parametrize(
    ("categories", "images"),
    [
        ({7: -1, 3: -7}, {}),
        ({7: 0, 3: -1}, {10: -1, 11: 0, 12: -5}),
        ({7: 2**63 - 1, 3: -(2**63)}, {10: 2**63 - 1, 13: -(2**63)}),
    ],
)
def test_ids_are_names_not_numbers(tiny_data, categories, images):
    """Whatever the ids are, the scores are the same."""
    content = tiny_data.content
    for category in content["categories"]:
        category["id"] = categories[category["id"]]
    for image in content["images"]:
        image["id"] = images.get(image["id"], image["id"])
    for annotation in content["annotations"]:
        annotation["category_id"] = categories[annotation["category_id"]]
        annotation["image_id"] = images.get(annotation["image_id"], annotation["image_id"])
    dataset = tiny_dataset(tiny_data)
    evaluation = evaluate(Oracle(dataset), dataset)
    assert evaluation.metrics["bbox"]["AP"] == pytest.approx(100)
    assert [r["category_id"] for r in evaluation.detections if r["image_id"] == 12] or images
    assert {r["category_id"] for r in evaluation.detections} == set(categories.values())
    assert {r["image_id"] for r in evaluation.detections} <= {r["id"] for r in content["images"]}
    assert set(evaluation.mistakes) == {r["image_id"] for r in evaluation.detections}


class Float32Only(torch.Tensor):
    """A tensor on a device without float64, as Apple's GPUs are."""

    def double(self):
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype")

    def cpu(self):
        return self.as_subclass(torch.Tensor)


def test_results_need_no_float64_on_the_device():
    found = Detections(
        torch.tensor([[1.0, 2, 11, 22]]).as_subclass(Float32Only),
        torch.tensor([0.7]).as_subclass(Float32Only),
        torch.tensor([1]),
        (30, 40),
        torch.ones(1, 28, 28).as_subclass(Float32Only),
        page=Page("a.png", 40, 30, 5),
    )
    (result,) = page_results(found, [3, 7], 0.5)
    assert (result["image_id"], result["category_id"]) == (5, 7)
    assert result["bbox"] == pytest.approx([1, 2, 10, 20])
    assert result["score"] == pytest.approx(0.7)
    assert coco_mask.area(result["segmentation"]) == 200


def test_best_threshold_is_that_of_every_threshold_tried():
    generator = np.random.default_rng(0)
    for _ in range(50):
        count = int(generator.integers(1, 30))
        scores = generator.integers(0, 12, count) / 16  # many are equal
        correct = generator.random(count) < 0.5
        regions = int(correct.sum() + generator.integers(0, 5))
        tried = {t: _f1(scores, correct, regions, t) for t in scores}
        best = best_threshold(scores, correct, regions)
        if not correct.any():
            assert best is None
        else:
            assert _f1(scores, correct, regions, best) == pytest.approx(max(tried.values()))
    assert best_threshold(np.zeros(0), np.zeros(0, bool), 3) is None


def _f1(scores, correct, regions, threshold):
    kept = scores >= threshold
    return 2 * (kept & correct).sum() / (kept.sum() + regions)


def test_thresholds_by_class(tiny_data):
    """Text is found at 0.8 and 0.6, a false one lies between; Table is never found."""
    dataset = tiny_dataset(tiny_data)
    boxes = [([4, 5, 20, 10], 0.8), ([30, 50, 5, 5], 0.7), ([10, 20, 5, 5], 0.6)]
    results = [{"image_id": 10, "category_id": 7, "bbox": box, "score": s} for box, s in boxes]
    # 3 regions: F1 is 2/4 at 0.8, 2/5 at 0.7, 4/6 at 0.6.
    assert score(dataset, results, ["bbox"]).thresholds == {"Text": pytest.approx(0.5999)}
    assert score(dataset, [], ["bbox"]).thresholds == {}


def test_classes_taken_as_one(tiny_data):
    """Tables as text: the truth and the detections of both are one class."""
    dataset = CocoDataset(tiny_data.annotations, tiny_data.images)
    categories = [Category(1, "Table"), Category(2, "Paragraph")]
    classes = match_classes(
        categories, dataset.file_categories, {"Table": "Text", "Paragraph": "Text"}
    )
    loader = build_test_loader(tiny_config(), dataset, None)
    evaluation = evaluate_detector(
        Oracle(dataset), dataset, loader, categories, "cpu", progress=False, classes=classes
    )
    assert list(evaluation.metrics["bbox"]["per_class"]) == ["Text"]
    assert evaluation.metrics["bbox"]["per_class"]["Text"]["count"] == 5
    assert evaluation.metrics["bbox"]["AP"] == pytest.approx(100)
    assert {r["category_id"] for r in evaluation.detections} == {7}


def test_classes_that_the_model_lacks_are_not_scored(tiny_data, caplog):
    dataset = CocoDataset(tiny_data.annotations, tiny_data.images)
    categories = [Category(1, "table"), Category(2, "Figure")]

    classes = match_classes(categories, dataset.file_categories)
    loader = build_test_loader(tiny_config(), dataset, None)
    evaluation = evaluate_detector(
        Oracle(dataset), dataset, loader, categories, "cpu", progress=False, classes=classes
    )
    assert list(evaluation.metrics["bbox"]["per_class"]) == ["Table"]
    assert evaluation.metrics["bbox"]["AP"] == pytest.approx(100)
    assert evaluation.left_out == {"checkpoint": ["Figure"], "data": ["Text"]}
    assert "3 detections are of classes that it does not have (Figure)" in caplog.text


def test_precision_from_the_best_threshold():
    """By hand: .9 right, .8 wrong, .7 right, .2 wrong with 2 regions have their best F1 at .7."""
    match = {
        "category_id": 1,
        "dtScores": [0.9, 0.8, 0.7, 0.2],
        "dtMatches": np.tile(np.array([5, 0, 6, 0]), (10, 1)),
        "dtIgnore": np.zeros((10, 4), dtype=bool),
    }
    thresholds, precisions = coco._thresholds([match], ["A", "B", "C"], [2, 3, 0])
    assert 0.69 < thresholds["A"] <= 0.7 and set(thresholds) == {"A"}
    assert precisions == {"A": pytest.approx(2 / 3), "B": 0.0}
