"""`lmv3det evaluate`: COCO average precision of boxes and masks, in one process or several.

The pages are shared out among the processes; each predicts its own, the first gathers and scores.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lmv3det.errors import InputError
from lmv3det.evaluation.tables import (
    COLUMNS,
    metrics_tables,
)
from lmv3det.files import JsonList, replacing, write_json
from lmv3det.inference.results import boxes_xywh, encode_masks, in_page_pixels

if TYPE_CHECKING:
    import torch
    from torch import nn

    from lmv3det.config import Config
    from lmv3det.data.categories import Category
    from lmv3det.data.coco import CocoDataset
    from lmv3det.structures import Batch, Detections

log = logging.getLogger(__name__)

Result = dict[str, Any]
"""A COCO result: image_id, category_id, bbox [x, y, w, h], score, maybe segmentation (RLE)."""

KINDS = ("bbox", "segm")
IOU_50, IOU_75 = 0, 5  # places among COCO's IoU thresholds 0.50, 0.55 … 0.95
CONFIDENT = 0.5
"""Score from which a false detection counts as a mistake of its page."""


@dataclass
class Evaluation:
    """Scores of a detector on a data set.

    Attributes:
        metrics: `{"bbox": {"AP", "AP50", "AP75", "AR100", "per_class": {name: {the same, "count"}},
            "segm": …}`, 0..100; None where a class has no ground truth. `count` is the number of
            regions, crowds left out.
        detections: COCO results of all pages, with the data set's own ids.
        precision: by kind, 10 IoU thresholds × 101 recalls × classes, 0..1; -1 without truth.
        names: class names, in the order of the third axis of `precision`.
        mistakes: image id → missed regions and confident false detections at IoU 0.5.
    """

    metrics: dict[str, dict[str, Any]]
    detections: list[Result]
    precision: dict[str, np.ndarray] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    mistakes: dict[int, int] = field(default_factory=dict)


def evaluate_detector(
    model: nn.Module,
    dataset: CocoDataset,
    loader: Iterable[Batch],
    categories: Sequence[Category],
    device: torch.device | str,
    *,
    mask_threshold: float = 0.5,
    precision: str = "auto",
    progress: bool = True,
) -> Evaluation | None:
    """Score a detector on a data set.

    Where torch.distributed is initialised every process must call this, with the loader of its
    own share (`build_test_loader` with rank and world_size); the result is that of one process, as
    long as a page's detections do not depend on the pages it is batched with.

    Args:
        model: a `LayoutDetector` on `device`; left in the mode it was in.
        dataset: the annotated pages.
        loader: batches of the pages of `dataset` that are this process's.
        categories: the model's classes in the order of class indices; those of the data set must
            be among them. Detections of others are dropped and counted in a warning.
        device: where batches go.
        mask_threshold: probability from which a pixel belongs to a mask.
        precision: the setting of this name.
        progress: show a bar (first process).

    Returns:
        The scores in the first process, None in the others.

    Raises:
        InputError: a page that cannot be read (in every process), categories that do not fit.
    """
    from tqdm import tqdm

    from lmv3det.data.categories import match_categories
    from lmv3det.device import autocast

    ids = np.full(len(categories), -1, dtype=np.int64)
    ids[match_categories(categories, dataset.file_categories)] = [
        category.id for category in dataset.file_categories
    ]
    rank, world_size = _rank_and_size()
    share = len(range(rank, len(dataset), world_size))
    bar = tqdm(total=share, desc="evaluate", unit="page", disable=not progress or rank > 0)
    results: list[Result] = []
    unknown, failure = 0, ""
    with bar, _eval_mode(model):
        try:
            for batch in loader:
                batch = batch.to(device, non_blocking=True)
                with autocast(device, precision):
                    found = model.predict(batch)  # type: ignore[operator]
                for detections in in_page_pixels(found, batch.pages):
                    known, outside = page_results(detections, ids, mask_threshold)
                    results += known
                    unknown += outside
                bar.update(len(batch))
        except InputError as error:
            failure = str(error)
    _raise_together(failure)
    gathered = _gather((results, unknown))
    if gathered is None:
        return None
    unknown = sum(part[1] for part in gathered)
    if unknown:
        names = [c.name for c, known in zip(categories, ids, strict=True) if known < 0]
        log.warning(
            "%s: %d detections are of classes that it does not have (%s), and are left out",
            dataset.annotations, unknown, ", ".join(names),
        )  # fmt: skip
    place = {record.image_id: number for number, record in enumerate(dataset.records)}
    results = [result for part in gathered for result in part[0]]
    results.sort(key=lambda result: place[result["image_id"]])
    has_masks = getattr(model, "mask_head", None) is not None
    return score(dataset, results, KINDS if has_masks else KINDS[:1])


def page_results(
    detections: Detections, category_ids: np.ndarray, mask_threshold: float
) -> tuple[list[Result], int]:
    """COCO results of a page.

    Args:
        detections: in page pixels, `page` set.
        category_ids: class index → category id; -1 where a class has none.
        mask_threshold: probability from which a pixel belongs to a mask.

    Returns:
        The results by falling score (boxes to 1/1000 pixel), and how many detections of classes
        without a category were left out.
    """
    assert detections.page is not None
    categories = category_ids[detections.classes.cpu().numpy()]
    boxes = boxes_xywh(detections, decimals=3)
    # Eight digits keep the order of float32 scores.
    scores = detections.scores.double().cpu().numpy().round(8).tolist()
    masks = [] if detections.masks is None else encode_masks(detections, mask_threshold)
    results: list[Result] = [
        {"image_id": detections.page.image_id, "category_id": c, "bbox": box, "score": s}
        for c, box, s in zip(categories.tolist(), boxes, scores, strict=True)
    ]
    for result, mask in zip(results, masks, strict=bool(masks)):
        result["segmentation"] = mask
    known = [result for result in results if result["category_id"] >= 0]
    return known, len(results) - len(known)


def score(
    dataset: CocoDataset, results: Sequence[Result], kinds: Sequence[str] = KINDS
) -> Evaluation:
    """COCO average precision of results on the pages of a data set, by pycocotools.

    Args:
        dataset: the truth. A region without segmentation has its box as mask; crowds match any
            number of detections and count neither way.
        results: with the data set's image and category ids; for `segm` each with a segmentation.
        kinds: of `bbox` and `segm`.
    """
    from pycocotools.cocoeval import COCOeval

    truth = _coco(dataset, [_with_mask(a) for r in dataset.records for a in r.annotations])
    ids = [category.id for category in dataset.file_categories]
    names = _unique_names(dataset.file_categories)
    counts = dict.fromkeys(ids, 0)
    for annotation in truth.dataset["annotations"]:
        counts[annotation["category_id"]] += not annotation["iscrowd"]
    found = _coco(dataset, [_as_annotation(n, r) for n, r in enumerate(results, start=1)])
    evaluation = Evaluation({}, list(results), names=names)
    for kind in kinds:
        coco = COCOeval(truth, found, kind)
        coco.params.imgIds = [record.image_id for record in dataset.records]
        coco.params.catIds = ids
        coco.params.areaRng, coco.params.areaRngLbl = coco.params.areaRng[:1], ["all"]
        with contextlib.redirect_stdout(io.StringIO()):
            coco.evaluate()
            coco.accumulate()
        precision = coco.eval["precision"][..., 0, -1]  # IoU thresholds × recalls × classes
        recall = coco.eval["recall"][..., 0, -1]  # IoU thresholds × classes
        evaluation.precision[kind] = precision
        evaluation.metrics[kind] = {
            **_summary(precision, recall),
            "per_class": {
                name: {**_summary(precision[..., k], recall[..., k]), "count": counts[key]}
                for k, (key, name) in enumerate(zip(ids, names, strict=True))
            },
        }
        if kind == "bbox":
            evaluation.mistakes = _mistakes(coco.evalImgs)
    return evaluation


def _coco(dataset: CocoDataset, annotations: list[dict[str, Any]]) -> Any:
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = {
        "images": [
            {"id": r.image_id, "width": r.width, "height": r.height} for r in dataset.records
        ],
        "categories": [{"id": c.id, "name": c.name} for c in dataset.file_categories],
        "annotations": annotations,
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def _with_mask(annotation: dict[str, Any]) -> dict[str, Any]:
    if annotation["segmentation"] is not None:
        return annotation
    x, y, w, h = annotation["bbox"]
    return {**annotation, "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]]}


def _as_annotation(number: int, result: Result) -> dict[str, Any]:
    area = result["bbox"][2] * result["bbox"][3]
    return {**result, "id": number, "area": area, "iscrowd": 0}


def _unique_names(categories: Sequence[Category]) -> list[str]:
    """The names, with the id behind those that several categories have."""
    names = [category.name for category in categories]
    return [f"{c.name} ({c.id})" if names.count(c.name) > 1 else c.name for c in categories]


def _summary(precision: np.ndarray, recall: np.ndarray) -> dict[str, float | None]:
    values = (precision, precision[IOU_50], precision[IOU_75], recall)
    return {
        key: 100 * float(some[some > -1].mean()) if (some > -1).any() else None
        for key, some in zip(COLUMNS, values, strict=True)
    }


def _mistakes(matches: Iterable[dict[str, Any] | None]) -> dict[int, int]:
    """Image id → missed regions and confident false detections at IoU 0.5."""
    counts: dict[int, int] = {}
    for match in matches:  # one for each class and page that has regions or detections
        if match is None:
            continue
        missed = (match["gtMatches"][IOU_50] == 0) & (np.asarray(match["gtIgnore"]) == 0)
        false = (match["dtMatches"][IOU_50] == 0) & ~match["dtIgnore"][IOU_50].astype(bool)
        false &= np.asarray(match["dtScores"]) >= CONFIDENT
        key = int(match["image_id"])
        counts[key] = counts.get(key, 0) + int(missed.sum() + false.sum())
    return counts


@contextlib.contextmanager
def _eval_mode(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; afterwards every module is in the mode it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _rank_and_size() -> tuple[int, int]:
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def _raise_together(failure: str) -> None:
    """Raise the first failure in every process, so that none waits for another for ever."""
    import torch.distributed as dist

    failures: list[Any] = [failure] * _rank_and_size()[1]
    if len(failures) > 1:
        dist.all_gather_object(failures, failure)
    for found in filter(None, failures):
        raise InputError(found)


def _gather(value: Any) -> list[Any] | None:
    """The values of all processes in the first, None in the others."""
    import torch.distributed as dist

    rank, world_size = _rank_and_size()
    if world_size == 1:
        return [value]
    values: list[Any] | None = [None] * world_size if rank == 0 else None
    dist.gather_object(value, values)
    return values


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `lmv3det evaluate`."""
    parser.add_argument("checkpoint", help="checkpoint, such as output/best.pth")
    parser.add_argument("--annotations", help="COCO JSON (default: data.val of the checkpoint)")
    parser.add_argument("--images", help="folder of the page images")
    parser.add_argument("--ocr", help="folder of the OCR files (default: OCR beside the images)")
    parser.add_argument("--out", default="evaluation", help="folder to write to (%(default)s)")
    parser.add_argument("--trust-code", action="store_true",
                        help="import the classes of yours that the checkpoint names")  # fmt: skip
    parser.add_argument("--worst", type=int, default=4, help="worst pages to draw (%(default)s)")
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="settings, such as test.batch_size=4"
    )


def run(args: argparse.Namespace) -> int:
    """`lmv3det evaluate`, also under torchrun.

    Writes metrics.json, detections.json, table.md, precision-recall curves and drawings of the
    worst pages, and prints the table.
    """
    from lmv3det.checkpoint.loading import checkpoint_page_tokenizer, load_detector
    from lmv3det.data.coco import CocoDataset
    from lmv3det.data.loader import build_test_loader
    from lmv3det.device import choose_precision, describe
    from lmv3det.engine.distributed import start

    model, checkpoint = load_detector(
        args.checkpoint, "cpu", args.overrides, trust_code=args.trust_code
    )
    config = checkpoint.config
    annotations, images, ocr = _data(args, config)
    dataset = CocoDataset(
        annotations,
        images,
        ocr,
        with_text=config.text.selection != "none",
        strict=config.data.strict,
        missing_ocr=config.data.missing_ocr,
        malformed_ocr=config.data.malformed_ocr,
        categories=checkpoint.categories,
        quiet=int(os.environ.get("RANK", 0)) > 0,
    )
    encoder = checkpoint_page_tokenizer(checkpoint)
    Path(args.out).mkdir(parents=True, exist_ok=True)  # a fault here is told before the work
    with start(config.device, config.distributed_timeout) as world:
        if world.is_main:
            precision = choose_precision(config.precision, world.device)
            log.info("on %s", describe(world.device, precision))
        loader = build_test_loader(config, dataset, encoder, rank=world.rank, world_size=world.size)
        evaluation = evaluate_detector(
            model.to(world.device),
            dataset,
            loader,
            checkpoint.categories,
            world.device,
            mask_threshold=config.test.mask_threshold,
            precision=config.precision,
        )
        if evaluation is not None:
            write_evaluation(evaluation, dataset, Path(args.out), args.worst)
            print(metrics_tables(evaluation.metrics))
    return 0


def write_evaluation(
    evaluation: Evaluation, dataset: CocoDataset, folder: Path, worst: int = 0
) -> None:
    """Write metrics.json, detections.json, table.md, pr_curves.png (boxes), pr_curves_segm.png
    (masks), and drawings of the `worst` pages with the most mistakes into pages/."""
    from lmv3det.visualization.curves import draw_precision_recall
    from lmv3det.visualization.detections import draw_worst

    write_json(folder / "metrics.json", evaluation.metrics)
    with JsonList(folder / "detections.json") as entries:
        for result in evaluation.detections:
            entries.append(result)
    with replacing(folder / "table.md") as path:
        path.write_text(metrics_tables(evaluation.metrics) + "\n", encoding="utf-8")
    for kind, precision in evaluation.precision.items():
        name = "pr_curves.png" if kind == "bbox" else f"pr_curves_{kind}.png"
        draw_precision_recall(
            folder / name, precision[IOU_50], evaluation.names, f"{kind}, IoU 0.5"
        )
    if worst > 0:
        results, mistakes = evaluation.detections, evaluation.mistakes
        draw_worst(folder / "pages", dataset, results, mistakes, worst)


def _data(args: argparse.Namespace, config: Config) -> tuple[str, str, str | None]:
    """Annotations, images and OCR folder: as given, or those of the checkpoint's config."""
    split = config.data.val
    if (args.annotations is None) != (args.images is None):
        given, other = ("images", "annotations") if args.images else ("annotations", "images")
        raise InputError(f"--{given} is given without --{other}; give both")
    if args.annotations is not None:
        return args.annotations, args.images, args.ocr
    mend = "give --annotations FILE --images DIR (and --ocr DIR for a model with text)"
    for key in ("annotations", "images"):
        path = getattr(split, key)
        if path is None:
            raise InputError(f"{args.checkpoint}: its config has no data.val.{key}; {mend}")
        if not Path(path).exists():
            raise InputError(f"{args.checkpoint}: its data.val.{key}, {path}, is not here; {mend}")
    assert split.annotations is not None and split.images is not None
    return split.annotations, split.images, args.ocr or split.ocr
