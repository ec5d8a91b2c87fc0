"""Average precision: perfect and wrong detections, crowds, masks, ids, processes, the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tiny_detector import CATEGORIES, tiny_checkpoint, tiny_config
from torch import nn

from lmv3det.checkpoint.file import Checkpoint, save_checkpoint
from lmv3det.checkpoint.loading import load_detector
from lmv3det.cli import main
from lmv3det.data.categories import Category
from lmv3det.data.coco import CocoDataset
from lmv3det.data.loader import build_test_loader
from lmv3det.errors import InputError
from lmv3det.evaluation.coco import evaluate_detector, score
from lmv3det.model.detector import build_detector
from lmv3det.structures import Detections


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
        {"AP": 100, "AP50": 100, "AP75": 100, "AR100": 100}, abs=1e-9
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


@pytest.fixture
def command(tiny_data, tmp_path, capsys):
    """Runs `lmv3det evaluate` on the tiny data; returns (code, stdout, stderr)."""
    checkpoint = tiny_checkpoint(tmp_path / "model.pth")

    def run(*words: str, data: bool = True):
        given = ["--annotations", tiny_data.annotations, "--images", tiny_data.images]
        words = ("evaluate", str(checkpoint), *map(str, given if data else ()), *words)
        code = main([*words, "--out", str(tmp_path / "out")])
        return code, *capsys.readouterr()

    return run


def test_command_writes_files_and_prints_the_table(command, tmp_path):
    code, out, err = command("test.score_threshold=0.2", "--worst", "1")
    assert code == 0, err
    assert "| Table" in out and "| Text" in out and "Masks" in out
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert set(metrics) == {"bbox", "segm"}
    assert metrics["bbox"]["per_class"]["Text"]["count"] == 3
    results = json.loads((tmp_path / "out/detections.json").read_text())
    assert {"image_id", "category_id", "bbox", "score", "segmentation"} == set(results[0])
    assert min(result["score"] for result in results) >= 0.2
    assert (tmp_path / "out/table.md").read_text().strip() == out.strip()
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"pr_curves.png", "pr_curves_segm.png"} <= names
    assert len(list((tmp_path / "out/pages").iterdir())) == 1
    code, out, err = command("test.score_threshold=0.99", "model.mask_on=false")
    assert code == 0, err
    assert json.loads((tmp_path / "out/detections.json").read_text()) == []
    assert set(json.loads((tmp_path / "out/metrics.json").read_text())) == {"bbox"}


@pytest.mark.parametrize(
    ("words", "data", "message"),
    [
        ((), False, "its config has no data.val.annotations; give --annotations"),
        (("--annotations", "x.json"), False, "without --images"),
        (("--annotations", "x.json", "--images", "."), False, "x.json: no such annotation file"),
        (("test.score_treshold=0.1",), True, "did you mean"),
        (("score_threshold",), True, "not key=value"),
        (("test.score_threshold=2",), True, "from 0 to 1"),
        (("neck.out_channels=32",), True, "neck.out_channels=32: such settings need a new"),
        (("model.num_classes=5",), True, "names 2 classes"),
        (("device=cuda:77",), True, "cuda:77"),
    ],
)
def test_command_says_what_is_wrong_in_one_line(command, words, data, message):
    code, out, err = command(*words, data=data)
    assert (code, out) == (1, "")
    assert err.startswith("lmv3det evaluate: ") and err.count("\n") == 1
    assert message in err


def test_validation_data_of_the_config_is_used_and_missed(tiny_data, tmp_path, capsys):
    split = {"annotations": str(tiny_data.annotations), "images": str(tiny_data.images)}
    config = tiny_config(data={"workers": 0, "val": split})
    checkpoint = tiny_checkpoint(tmp_path / "model.pth", config)
    words = ["evaluate", str(checkpoint), "--out", str(tmp_path / "out"), "--worst", "0"]
    assert main(words) == 0
    assert not (tmp_path / "out/pages").exists()
    tiny_data.annotations.unlink()
    assert main(words) == 1
    assert "annotations.json, is not here; give --annotations" in capsys.readouterr().err


def test_damaged_checkpoint(tmp_path):
    config = tiny_config()
    weights = build_detector(config).state_dict()
    name = next(iter(weights))
    del weights[name]
    save_checkpoint(tmp_path / "less.pth", Checkpoint(weights, config, CATEGORIES))
    with pytest.raises(InputError, match=f"{name} is missing.*damaged"):
        load_detector(tmp_path / "less.pth")
    with pytest.raises(InputError, match="no such checkpoint"):
        load_detector(tmp_path / "none.pth")


def test_two_processes_score_like_one(tiny_data, tmp_path):
    """Also with an odd number of pages, where a process has fewer."""
    tiny_data.content["images"] = tiny_data.content["images"][:3]
    tiny_data.content["annotations"] = tiny_data.content["annotations"][:5]
    tiny_data.save()
    checkpoint = tiny_checkpoint(tmp_path / "model.pth")
    root = Path(__file__).resolve().parents[2]
    words = [str(root / "evaluate.py"), str(checkpoint), "--worst", "0"]
    words += ["--annotations", str(tiny_data.annotations), "--images", str(tiny_data.images)]
    assert main(["evaluate", *words[1:], "--out", str(tmp_path / "one")]) == 0
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2",
              "--master_addr", "127.0.0.1", "--master_port", "0", "--standalone"]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    done = subprocess.run(
        [*launch, *words, "--out", str(tmp_path / "two")],
        env=environment, capture_output=True, text=True, timeout=600, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for name in ("metrics.json", "detections.json"):
        one, two = ((tmp_path / folder / name).read_text() for folder in ("one", "two"))
        assert one == two
    assert json.loads(one)  # there are detections
    assert done.stdout.count("| all") == 2  # boxes and masks, from one process
