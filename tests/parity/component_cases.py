"""The components file: box arithmetic, matcher, losses, pooler, NMS, proposals, anchors, schedule,
resizing, sampling, pasting and rasterising, each by itself."""

from __future__ import annotations

import numpy as np
import torch
from fixture import Fixture, Options
from torch import Tensor
from torchvision.ops import box_iou

from lmv3det.config import SolverConfig
from lmv3det.data.transforms import resize, shortest_edge_size
from lmv3det.engine.optim import lr_factor
from lmv3det.model import boxes as box_ops
from lmv3det.model.anchors import cell_anchors, grid_anchors
from lmv3det.model.mask_head import paste, rasterise
from lmv3det.model.matcher import match, sample
from lmv3det.model.roi_pool import ROIPooler, assign_level
from lmv3det.model.rpn import select_proposals
from lmv3det.structures import Page, Sample


def check_components(fixture: Fixture, options: Options) -> None:
    """Every array of `components.npz` that is not an input."""
    for part in (
        check_coder,
        check_matcher,
        check_losses,
        check_pooler,
        check_nms,
        check_proposals,
        check_anchors,
        check_schedule,
        check_resize,
        check_sampling,
        check_masks,
    ):
        part(fixture)


def tensor(fixture: Fixture, key: str) -> Tensor:
    return torch.from_numpy(fixture[key])


def check_coder(fixture: Fixture) -> None:
    source, target = tensor(fixture, "b2b.src"), tensor(fixture, "b2b.target")
    deltas = tensor(fixture, "b2b.deltas")
    weights = fixture["b2b.weights"].tolist()
    for number, weight in enumerate(weights):
        fixture.compare(f"b2b.get.{number}", box_ops.encode(source, target, weight))
        fixture.compare(f"b2b.apply.{number}", box_ops.decode(source, deltas, weight))
    per_class = tensor(fixture, "b2b.deltas_3class")
    fixture.compare("b2b.apply_3class", box_ops.decode(source, per_class, weights[1]))
    fixture.compare("b2b.scale_clamp", np.array(box_ops.SCALE_CLAMP))


def check_matcher(fixture: Fixture) -> None:
    iou = box_iou(tensor(fixture, "iou.gt"), tensor(fixture, "iou.pred"))
    fixture.compare("iou.matrix", iou)
    cases = {
        "rpn": match(iou, 0.3, 0.7, allow_low_quality=True),
        "roi50": match(iou, 0.5, 0.5),
        "roi60": match(iou, 0.6, 0.6),
        "roi70": match(iou, 0.7, 0.7),
        "rpn_no_gt": match(iou[:0], 0.3, 0.7, allow_low_quality=True),
    }
    for name, (index, label) in cases.items():
        fixture.compare(f"matcher.{name}.index", index)
        fixture.compare(f"matcher.{name}.label", label)


def check_losses(fixture: Fixture) -> None:
    target = tensor(fixture, "loss.gt")
    for kind, loss in box_ops.BOX_LOSSES.items():
        pred = tensor(fixture, "loss.pred").requires_grad_()
        rows = loss(pred, target)
        rows.sum().backward()
        fixture.compare(f"loss.{kind}", rows)
        fixture.compare(f"loss.{kind}.grad", pred.grad)
        fixture.compare(f"loss.{kind}.mean_empty", loss(target[:0], target[:0]).sum())
    for beta in ("0.0", "0.11", "1.0"):
        pair = tensor(fixture, "loss.sl1.a"), tensor(fixture, "loss.sl1.b")
        ours = box_ops.smooth_l1_loss(*pair, float(beta))
        fixture.compare(f"loss.smooth_l1.beta{beta}", ours)
    source, deltas = tensor(fixture, "loss.dense.src"), tensor(fixture, "loss.dense.deltas")
    for kind in ("smooth_l1", "giou", "diou", "ciou"):
        ours = box_ops.box_regression_loss(source, deltas, target, (10, 10, 5, 5), kind)
        fixture.compare(f"loss.dense.{kind}", ours.sum())


def check_pooler(fixture: Fixture) -> None:
    maps = [tensor(fixture, f"pool.feat{n}").requires_grad_() for n in range(4)]
    boxes = [tensor(fixture, f"pool.boxes{n}") for n in range(2)]
    page = torch.cat([torch.full((len(b),), n) for n, b in enumerate(boxes)])
    joined = torch.cat(boxes)
    fixture.compare("pool.level", assign_level(joined))
    pooled = ROIPooler(7)(maps, joined, page)
    fixture.compare("pool.out7", pooled)
    fixture.compare("pool.out14", ROIPooler(14)(maps, joined, page))
    fixture.compare("pool.out7_ratio2", ROIPooler(7, sampling_ratio=2)(maps, joined, page))
    (pooled * tensor(fixture, "pool.grad_weight")).sum().backward()
    for number, features in enumerate(maps):
        fixture.compare(f"pool.grad{number}", features.grad)
    none = ROIPooler(7)(maps, joined[:0], page[:0])
    fixture.compare("pool.out_no_boxes_shape", np.array(none.shape))


def check_nms(fixture: Fixture) -> None:
    boxes, scores = tensor(fixture, "nms.boxes"), tensor(fixture, "nms.scores")
    classes = tensor(fixture, "nms.classes")
    for key in [key for key in fixture.arrays if key.startswith("nms.keep")]:
        threshold = float(key.removeprefix("nms.keep"))
        page = torch.zeros_like(classes)
        (kept,) = box_ops.nms_by_page(boxes, scores, page, classes, 1, threshold, len(boxes))
        fixture.compare(key, kept)


def check_proposals(fixture: Fixture) -> None:
    before, after, threshold, _ = fixture["props.pre_post_thresh_min"].tolist()
    boxes, logits = [], []
    for level in range(3):
        all_logits = tensor(fixture, f"props.logits{level}")
        best, index = all_logits.topk(min(int(before), all_logits.shape[1]), dim=1)
        level_boxes = tensor(fixture, f"props.boxes{level}")
        boxes.append(level_boxes.take_along_dim(index.unsqueeze(-1), dim=1))
        logits.append(best)
    sizes = [tuple(size) for size in fixture["props.image_sizes"].tolist()]
    kept, scores = select_proposals(boxes, logits, sizes, threshold, int(after))
    for page in range(len(sizes)):
        fixture.compare(f"props.out_boxes{page}", kept[page])
        fixture.compare(f"props.out_logits{page}", scores[page])


def check_anchors(fixture: Fixture) -> None:
    sizes, strides = (32, 64, 128, 256, 512), (4, 8, 16, 32, 64)
    for number, (size, stride) in enumerate(zip(sizes, strides, strict=True)):
        cell = cell_anchors(size, (0.5, 1.0, 2.0))
        fixture.compare(f"anchors.cell{number}", cell)
        height, width = fixture["anchors.grid_hw"][number].tolist()
        fixture.compare(f"anchors.grid{number}", grid_anchors(cell, (height, width), stride))


def check_schedule(fixture: Fixture) -> None:
    cases = {
        "official": SolverConfig(lr=2e-4, steps=60000),
        "seed": SolverConfig(lr=2e-4, steps=30000),
        "warmup_longer_than_run": SolverConfig(lr=2e-4, steps=300, allow_long_warmup=True),
        "multistep": SolverConfig(
            lr=2e-4, steps=60000, schedule="multistep", milestones=[40000, 50000]
        ),
    }
    for name, solver in cases.items():
        steps = fixture[f"lr.{name}.iter"].tolist()
        rates = np.array([solver.lr * lr_factor(step, solver) for step in steps])
        # Rates are small: compare them as shares of the peak rate too.
        fixture.compare(f"lr.{name}.lr", rates)
        assert np.allclose(rates / solver.lr, fixture[f"lr.{name}.lr"] / solver.lr, atol=1e-9)


def check_resize(fixture: Fixture) -> None:
    ours = [
        [shortest_edge_size((h, w), short, most) for short, most in fixture["resize.short_max"]]
        for h, w in fixture["resize.hw"].tolist()
    ]
    fixture.compare("resize.out", np.array(ours))
    image = fixture["resize.image"]
    for key in [key for key in fixture.arrays if key.startswith("resize.image_")]:
        height, width = (int(side) for side in key.removeprefix("resize.image_").split("x"))
        page = Sample(image, Page("drawn", image.shape[1], image.shape[0]))
        fixture.compare(key, resize(page, (height, width)).image)


def check_sampling(fixture: Fixture) -> None:
    """How many are taken; which ones is drawn at random."""
    table = fixture["sample.pos_neg_ignored_num_fraction_takenpos_takenneg"]
    ours = []
    for positives, negatives, ignored, number, fraction, _, _ in table.tolist():
        label = torch.tensor([1] * int(positives) + [0] * int(negatives) + [-1] * int(ignored))
        label = label[torch.randperm(len(label))]
        drawn = sample(label.unsqueeze(0), int(number), fraction)
        for wanted, (index, counts) in zip((1, 0), drawn, strict=True):
            chosen = index[counts]
            assert (label[chosen] == wanted).all() and len(chosen.unique()) == len(chosen)
        taken = [counts.sum().item() for _, counts in drawn]
        ours.append([positives, negatives, ignored, number, fraction, *taken])
    fixture.compare("sample.pos_neg_ignored_num_fraction_takenpos_takenneg", np.array(ours))


def check_masks(fixture: Fixture) -> None:
    masks, boxes = tensor(fixture, "paste.masks"), tensor(fixture, "paste.boxes")
    size = tuple(fixture["paste.hw"].tolist())
    fixture.compare("paste.out", paste(masks, boxes, size))
    fixture.compare("paste.out_soft_uint8", paste(masks, boxes, size, threshold=-1))
    ends = np.cumsum(fixture["raster.polygon_len"])[:-1]
    outlines = [[p.reshape(-1, 2)] for p in np.split(fixture["raster.polygon_xy"], ends)]
    fixture.compare("raster.masks", rasterise(outlines, fixture["raster.boxes"], 28))
    parts = [fixture[f"raster.two_part_xy{n}"].reshape(-1, 2) for n in range(2)]
    box = fixture["raster.two_part_box"][None]
    fixture.compare("raster.two_part", rasterise([parts], box, 28)[0])
