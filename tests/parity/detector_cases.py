"""The image-only detector: evaluation and training files."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import torch
from fixture import (
    FLOAT32_LOSSES,
    TOLERANCE,
    Fixture,
    Options,
    build_config,
    deterministic_model,
    make_batch,
)

from lmv3det.convert.parameter_names import detectron2_name
from lmv3det.model.cascade import select_detections
from lmv3det.model.detector import LayoutDetector
from lmv3det.model.mask_head import rasterise
from lmv3det.structures import Batch, Target

OUT_INDICES = (3, 5, 7, 11)
# score threshold, NMS threshold, most detections
RESULT_SETS = {"default": (0.05, 0.5, 100), "low": (0.0, 0.5, 400), "high": (0.3, 0.3, 100)}


@torch.no_grad()
def check_evaluation(fixture: Fixture, options: Options) -> None:
    """Every array of a `*_eval*.npz` file, from the input to the masks."""
    model = deterministic_model(build_config(options), options.offset).eval()
    pages = fixture.numbers("image")
    batch = make_batch([fixture[f"image{n}"] for n in pages])
    fixture.compare("input", batch.images)

    visual, _ = model.backbone(batch.images)
    maps = model.pyramid(visual)
    for tap, features in zip(OUT_INDICES, maps, strict=True):
        fixture.compare(f"bottom_up.layer{tap}", features)
    pyramid = model.fpn(maps)
    for level, features in enumerate(pyramid, 2):
        fixture.compare(f"fpn.p{level}", features)

    anchors = model.rpn.anchors(pyramid)
    logits, deltas = model.rpn.head(pyramid)
    for level in range(2, 7):
        fixture.compare(f"anchors.p{level}", anchors[level - 2])
        fixture.compare(f"rpn_logits.p{level}", logits[level - 2])
        fixture.compare(f"rpn_deltas.p{level}", deltas[level - 2])
    proposals, scores = model.rpn.proposals(anchors, logits, deltas, batch.image_sizes)
    for page in pages:
        fixture.compare(f"proposals{page}.boxes", proposals[page])
        fixture.compare(f"proposals{page}.logits", scores[page])

    check_cascade(fixture, model, batch, pyramid, proposals)


def check_cascade(fixture: Fixture, model: LayoutDetector, batch: Batch, pyramid, proposals):
    """The three stages, the result sets and the masks."""
    cascade = model.cascade
    regions = torch.cat(proposals)
    page = torch.cat([torch.full((len(p),), n) for n, p in enumerate(proposals)])
    first = dataclasses.replace(cascade_regions(regions, page))
    stages = list(cascade.stages(pyramid, first, batch.image_sizes, None, None))
    for number, stage in enumerate(stages):
        for n in range(len(batch)):
            rows = stage.regions.batch_index == n
            key = f"stage{number}.image{n}"
            fixture.compare(f"{key}.in_boxes", stage.regions.boxes[rows])
            fixture.compare(f"{key}.logits", stage.logits[rows])
            fixture.compare(f"{key}.deltas", stage.deltas[rows])
    scores = torch.stack([stage.logits.softmax(-1) for stage in stages]).mean(0)
    boxes = cascade.refine(stages[-1], cascade.box_weights[-1], batch.image_sizes)
    for name, thresholds in RESULT_SETS.items():
        found = select_detections(boxes, scores, page, batch.image_sizes, *thresholds)
        for n, detections in enumerate(found):
            if f"{name}{n}.boxes" not in fixture:
                continue
            fixture.compare(f"{name}{n}.boxes", detections.boxes)
            fixture.compare(f"{name}{n}.scores", detections.scores)
            fixture.compare(f"{name}{n}.classes", detections.classes)
    for n, detections in enumerate(model.predict(batch)):
        key = f"default{n}"
        if f"{key}.mask_probs" not in fixture:
            continue
        index = torch.full_like(detections.classes, n)
        logits = model.mask_head(pyramid, detections.boxes, index)
        own = logits[torch.arange(len(detections)), detections.classes]
        fixture.compare(f"{key}.mask_logits_all_classes", logits)
        fixture.compare(f"{key}.mask_logits_first", own[:10])
        fixture.compare(f"{key}.mask_probs", detections.masks)
        fixture.compare(f"{key}.boxes", detections.boxes)  # through predict() as well


def cascade_regions(boxes, page):
    from lmv3det.model.cascade import Proposals

    return Proposals(boxes, page)


def read_targets(fixture: Fixture, pages: list[int]) -> list[Target]:
    """Ground truth of a training file."""
    targets = []
    for n in pages:
        ends = np.cumsum(fixture[f"gt{n}.polygon_len"])
        polygons = [p.reshape(-1, 2) for p in np.split(fixture[f"gt{n}.polygon_xy"], ends[:-1])]
        counts = np.cumsum(fixture[f"gt{n}.polygons_per_object"])
        outlines = [
            polygons[start:end] for start, end in zip([0, *counts[:-1]], counts, strict=True)
        ]
        boxes = torch.from_numpy(fixture[f"gt{n}.boxes"])
        targets.append(Target(boxes, torch.from_numpy(fixture[f"gt{n}.classes"]), outlines))
    return targets


def check_training(fixture: Fixture, options: Options) -> None:
    """Losses, gradients, counters and running statistics of every case of a `*_train*.npz`."""
    cases = [key.removesuffix(".losses") for key in fixture.arrays if key.endswith(".losses")]
    for case in cases:
        check_training_case(fixture, options, case)


def check_training_case(fixture: Fixture, options: Options, case: str) -> None:
    """One case: `<box loss>`, or `<box loss>_image<n>_empty` without the objects of page n."""
    kind, *emptied = re.split(r"_image(\d+)_empty", case)
    sample_all = {"batch_size_per_image": 65536, "box_loss": kind}
    config = build_config(
        options, rpn=sample_all, roi={"batch_size_per_image": 8192, "box_loss": kind}
    )
    model = deterministic_model(config, options.offset).train()
    pages = fixture.numbers("image")
    targets = read_targets(fixture, pages)
    for n in (int(number) for number in emptied if number):
        targets[n] = Target(torch.zeros(0, 4).double(), torch.zeros(0, dtype=torch.int64), [])
    batch = make_batch([fixture[f"image{n}"] for n in pages], targets)

    losses = model(batch)
    sum(losses.values()).backward()
    for name, value in zip(fixture[f"{case}.loss_names"], fixture[f"{case}.losses"], strict=True):
        key = f"{case}.losses: {name}"
        fixture.arrays[key] = np.asarray(value)
        fixture.compare(key, losses[str(name)], FLOAT32_LOSSES.get(str(name), TOLERANCE))

    gradients = {detectron2_name(name): p.grad for name, p in model.named_parameters()}
    ours = [gradients[str(name)] for name in fixture["param_names"]]
    fixture.compare(f"{case}.grad_none", np.array([g is None for g in ours]))
    filled = [torch.zeros(1) if g is None else g for g in ours]
    fixture.compare(f"{case}.grad_norms", np.array([g.norm().item() for g in filled]))
    fixture.compare(f"{case}.grad_sums", np.array([g.sum().item() for g in filled]))
    fixture.compare(f"{case}.grad_first4", np.stack([np.resize(g.numpy(), 4) for g in filled]))
    for name, buffer in model.named_buffers():
        key = f"{case}.after.{detectron2_name(name)}"
        if key in fixture:
            fixture.compare(key, buffer)
    counters = count(model, batch)
    for name, value in zip(fixture[f"{case}.stat_names"], fixture[f"{case}.stats"], strict=True):
        key = f"{case}.stats: {name}"
        fixture.arrays[key] = np.asarray(value)
        fixture.compare(key, counters[str(name)])


@torch.no_grad()
def count(model: LayoutDetector, batch: Batch) -> dict[str, float]:
    """The original's own counters: means over the pages, and shares."""
    targets, pages = batch.targets, len(batch)
    pyramid, _ = model.features(batch)
    label, _ = model.rpn.assign(torch.cat(model.rpn.anchors(pyramid)), targets)
    counters = {
        "rpn/num_pos_anchors": (label == 1).sum().item() / pages,
        "rpn/num_neg_anchors": (label == 0).sum().item() / pages,
    }
    proposals, _ = model.rpn(pyramid, batch.image_sizes)
    cascade = model.cascade
    sampled = cascade.sample(proposals, targets)
    background = cascade.num_classes
    for number, stage in enumerate(
        cascade.stages(pyramid, sampled, batch.image_sizes, targets, None)
    ):
        classes, guess = stage.regions.classes, stage.logits.argmax(1)
        foreground = classes < background
        prefix = f"stage{number}/"
        roi = prefix if number else ""
        counters[f"{roi}roi_head/num_fg_samples"] = foreground.sum().item() / pages
        counters[f"{roi}roi_head/num_bg_samples"] = (~foreground).sum().item() / pages
        counters[f"{prefix}fast_rcnn/cls_accuracy"] = (guess == classes).double().mean().item()
        if foreground.any():
            wrong, missed = guess != classes, guess == background
            counters[f"{prefix}fast_rcnn/fg_cls_accuracy"] = (
                (~wrong)[foreground].double().mean().item()
            )
            counters[f"{prefix}fast_rcnn/false_negative"] = (
                missed[foreground].double().mean().item()
            )
    fg = sampled[sampled.classes < background]
    outlines = [outline for target in targets for outline in target.polygons]
    truth = torch.from_numpy(rasterise([outlines[n] for n in fg.gt_index], fg.boxes.numpy(), 28))
    logits = model.mask_head(pyramid, fg.boxes, fg.batch_index)[
        torch.arange(len(fg.classes)), fg.classes
    ]
    wrong = (logits > 0) != truth
    counters["mask_rcnn/accuracy"] = 1 - wrong.double().mean().item()
    counters["mask_rcnn/false_positive"] = (wrong & ~truth).sum().item() / (~truth).sum().item()
    counters["mask_rcnn/false_negative"] = (wrong & truth).sum().item() / truth.sum().item()
    return counters
