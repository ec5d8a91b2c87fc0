"""The way from images to results, and a step of training, wait for a GPU at known places only."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from benchmarks.readings import count_readings
from lmv3det.config import SolverConfig
from lmv3det.distributed import World
from lmv3det.engine.optim import build_optimizer
from lmv3det.engine.step import TrainStep
from lmv3det.inference.detector import Detector
from lmv3det.inference.options import PredictOptions
from lmv3det.model import box_grid
from lmv3det.model.detector import build_detector
from lmv3det.structures import Batch, Page, Sample, Target
from tests.tiny_detector import CATEGORIES, tiny_config

# Proposals: which boxes are left, suppression, the boxes of each page.
PROPOSALS = {
    "rpn.select_proposals: nonzero": 1,
    "boxes.nms_by_page: nms": 1,
    "boxes.page_counts: tolist": 1,
}
PREDICTION = {
    **PROPOSALS,
    "roi_pool.forward: tolist": 4,  # the boxes of each level, in three stages and for the masks
    "relation.forward: _local_scalar_dense": 1,  # the most regions of a page
    "cascade.select_detections: nonzero": 1,
    "boxes.nms_by_page: nms": 2,
    "boxes.page_counts: tolist": 2,
}
TRAINING = {
    **PROPOSALS,
    "cascade.sample: mask as index": 1,
    "boxes.page_counts: tolist": 3,  # of the proposals, and what is left before two stages
    "roi_pool.forward: tolist": 4,
    "relation.forward: _local_scalar_dense": 1,
    "detector._mask_loss: cpu": 1,  # which outlines are wanted
    "mask_head.loss: cpu": 1,  # the boxes that they are drawn in
    "mask_head.loss: numpy": 1,  # of that copy, which waits no more
    "detector._mask_loss: nonzero": 1,  # likewise
    "detector._mask_loss: tolist": 1,  # likewise
}


@pytest.fixture
def detector(monkeypatch: pytest.MonkeyPatch):
    """Text, fusion, relation and masks; the map is made as on a GPU."""
    monkeypatch.setattr(box_grid, "_on_host", lambda _: False)
    torch.manual_seed(0)
    config = tiny_config(
        model={"mask_on": True},
        backbone={"dropout": 0.0, "attention_dropout": 0.0, "spatial_bias": True},
        text={"selection": "first"},
        fusion={"kind": "gated"},
        relation={"enabled": True},
        rpn={"pre_nms_train": 50, "post_nms_train": 20},  # more would be suppressed group by group
    )
    return build_detector(config)


def make_batch(pages: int) -> Batch:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(pages, 3, 64, 96, generator=generator)
    boxes = torch.tensor([[4.0, 4, 50, 20], [10, 30, 90, 60]])
    corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2).double().numpy()
    target = Target(boxes, torch.tensor([0, 1]), [[outline] for outline in corners])
    ids = torch.randint(2, 40, (pages, 5), generator=generator)
    text_boxes = torch.tensor([[10, 10, 500, 40]]).expand(pages, 5, 4).clone()
    mask = torch.arange(5).expand(pages, 5) < 4
    places = [Page(f"{n}.png", 96, 64) for n in range(pages)]
    return Batch(images, [(64, 96)] * pages, ids, text_boxes, mask, [target] * pages, places)


@pytest.mark.parametrize("pages", [1, 3])
def test_prediction(detector, pages: int) -> None:
    """Each count is of the batch, whatever its pages."""
    detector.eval()
    detector.predict(make_batch(pages), 0.0)  # makes the anchors
    batch = make_batch(pages)
    with count_readings() as found:
        result = detector.predict(batch, 0.0)
    assert all(len(page) for page in result)
    assert found == Counter(PREDICTION)


@pytest.mark.parametrize("pages", [1, 3])
def test_training(detector, pages: int) -> None:
    detector.train()
    detector.losses(make_batch(pages))
    batch = make_batch(pages)
    with count_readings() as found:
        losses = detector.losses(batch)
        torch.stack(list(losses.values())).sum().backward()
    assert losses["loss_mask"] > 0
    assert found == Counter(TRAINING)


def test_a_step(detector) -> None:
    """The step itself waits once, to see whether all was finite, and adds the losses' places."""
    solver = SolverConfig(steps=4, max_grad_norm=1.0)
    world = World(0, 1, torch.device("cpu"))
    step = TrainStep(detector.train(), build_optimizer(detector, solver), solver, world)
    step(0, [make_batch(2)])
    batch = make_batch(2)
    with count_readings() as found:
        assert not step(1, [batch]).skipped
    assert found - Counter(TRAINING) == Counter({"step.__call__: tolist": 1})


def test_from_image_to_result(detector) -> None:
    """The command's own path: what is added to the model's is told for each page."""
    config = tiny_config(model={"mask_on": True})
    torch.manual_seed(0)
    model = Detector(build_detector(config).eval(), config, CATEGORIES)
    samples = [Sample(np.full((64, 96, 3), 255 - n, np.uint8), Page("", 96, 64)) for n in range(3)]
    list(model.stream(samples, PredictOptions(batch_size=3, score_threshold=0.0)))
    with count_readings() as found:
        assert (
            len(list(model.stream(samples, PredictOptions(batch_size=3, score_threshold=0.0)))) == 3
        )
    added = found - Counter(PREDICTION)
    # Boxes, scores and classes of each page come to the host.
    assert added == Counter({"structures.as_array: cpu": 9, "structures.as_array: numpy": 9})


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: x.unique(),
        lambda x: x.cpu(),
        lambda x: x.tolist(),
        lambda x: bool(x.any()),
        lambda x: x.new_tensor([1.0]),
        lambda x: torch.tensor([1.0], device=x.device),
        lambda x: x.to("cpu"),
        lambda x: x.masked_select(x > 0),
        lambda x: x.index_put_([x > 1], torch.tensor(0.0)),
    ],
)
def test_every_kind_of_reading_is_seen(wait) -> None:
    with count_readings() as found:
        wait(torch.ones(4))
    assert sum(found.values()) >= 1


def test_what_waits_for_nothing_is_not_counted() -> None:
    with count_readings() as found:
        x = torch.tensor([1.0, 2]).to("cpu", non_blocking=True)
        x = x[torch.tensor([0, 1])].masked_fill(x > 1, 0.0) + torch.where(x > 1, x, 0)
        x.topk(1), x.argsort(), x[:1]
    assert not found
