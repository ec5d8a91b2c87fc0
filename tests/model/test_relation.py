"""The relation module: what it must leave alone, what it depends on, and that it trains."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from lmv3det.config import from_dict
from lmv3det.model.cascade import Proposals, StageOutput
from lmv3det.model.detector import build_detector
from lmv3det.model.relation import RelationModule, box_geometry
from lmv3det.structures import Batch, Target

SIZES = [(100, 80), (120, 90)]


def make_stage(counts: tuple[int, ...], seed: int = 0) -> StageOutput:
    """Random regions, so many on each page, in mixed order of pages."""
    generator = torch.Generator().manual_seed(seed)
    page = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    page = page[torch.randperm(len(page), generator=generator)]
    number = len(page)
    corners = torch.rand(number, 2, 2, dtype=torch.float64, generator=generator) * 80
    boxes = corners.sort(dim=1).values.flatten(1)

    def noise(width: int) -> Tensor:
        return torch.randn(number, width, dtype=torch.float64, generator=generator)

    return StageOutput(Proposals(boxes, page), noise(4), noise(4), noise(12))


def make_module(trained: bool = True, **options) -> RelationModule:
    torch.manual_seed(0)
    module = RelationModule(12, 3, **{"dim": 16, "heads": 4, **options}).double()
    if trained:
        for layer in (module.cls_score, module.bbox_pred):
            torch.nn.init.normal_(layer.weight)
            torch.nn.init.normal_(layer.bias)
    return module


def pick(stage: StageOutput, index: Tensor) -> StageOutput:
    return StageOutput(
        stage.regions[index], stage.logits[index], stage.deltas[index], stage.features[index]
    )


@pytest.mark.parametrize("layers", [1, 3])
def test_untrained_it_changes_nothing(layers: int) -> None:
    stage = make_stage((5, 3))
    refined = make_module(trained=False, layers=layers)(stage, SIZES)
    assert torch.equal(refined.logits, stage.logits) and torch.equal(refined.deltas, stage.deltas)
    assert refined.regions is stage.regions and refined.features is stage.features


def test_trained_it_refines_both() -> None:
    stage = make_stage((5, 3))
    refined = make_module()(stage, SIZES)
    assert refined.logits.shape == stage.logits.shape and refined.deltas.shape == stage.deltas.shape
    assert ((refined.logits - stage.logits).abs() > 1e-6).all()
    assert ((refined.deltas - stage.deltas).abs() > 1e-6).all()


def test_order_of_regions_and_pages_does_not_matter() -> None:
    stage, module = make_stage((5, 3)), make_module(layers=2)
    expected = module(stage, SIZES)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(1))
    shuffled = module(pick(stage, order), SIZES)
    torch.testing.assert_close(shuffled.logits, expected.logits[order])
    torch.testing.assert_close(shuffled.deltas, expected.deltas[order])
    swapped = dataclasses.replace(
        stage, regions=Proposals(stage.regions.boxes, 1 - stage.regions.batch_index)
    )
    torch.testing.assert_close(module(swapped, SIZES[::-1]).logits, expected.logits)


def test_a_page_alone_is_the_page_in_a_batch() -> None:
    """Padding is masked, and no page sees another's regions."""
    stage, module = make_stage((9, 2)), make_module(layers=2)
    together = module(stage, SIZES)
    for page in (0, 1):
        own = (stage.regions.batch_index == page).nonzero()[:, 0]
        alone = pick(stage, own)
        alone = dataclasses.replace(
            alone,
            regions=Proposals(alone.regions.boxes, torch.zeros_like(alone.regions.batch_index)),
        )
        refined = module(alone, SIZES[page : page + 1])
        torch.testing.assert_close(refined.logits, together.logits[own])
        torch.testing.assert_close(refined.deltas, together.deltas[own])


def test_regions_of_a_page_see_each_other() -> None:
    stage, module = make_stage((6, 3)), make_module()
    changed = stage.features.clone()
    first = int((stage.regions.batch_index == 0).nonzero()[0])
    changed[first] += 1
    before = module(stage, SIZES).logits
    after = module(dataclasses.replace(stage, features=changed), SIZES).logits
    moved = (before - after).abs().amax(1) > 1e-9
    assert torch.equal(moved, stage.regions.batch_index == 0)


def test_position_and_size_matter() -> None:
    stage, module = make_stage((4,)), make_module()
    moved = dataclasses.replace(
        stage, regions=Proposals(stage.regions.boxes / 2, stage.regions.batch_index)
    )
    assert not torch.allclose(module(stage, SIZES[:1]).logits, module(moved, SIZES[:1]).logits)


@pytest.mark.parametrize("counts", [(0, 0), (0, 4), (4, 0)])
def test_pages_without_regions(counts: tuple[int, int]) -> None:
    stage, module = make_stage(counts), make_module()
    refined = module(stage, SIZES)
    assert len(refined.logits) == sum(counts) and refined.logits.isfinite().all()
    if sum(counts):
        refined.logits.sum().backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())


def test_gradients_reach_every_weight() -> None:
    module = make_module(layers=2).train()
    stage = make_stage((5, 3))
    stage.features.requires_grad_()
    refined = module(stage, SIZES)
    (refined.logits.square().sum() + refined.deltas.square().sum()).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in module.parameters())
    assert stage.features.grad is not None and (stage.features.grad != 0).all()


def test_it_learns_what_one_region_cannot_know() -> None:
    """The class is 1 where the region is the page's topmost: only its neighbours tell."""
    torch.manual_seed(0)
    module = RelationModule(4, 1, dim=32, heads=4)
    optimizer = torch.optim.AdamW(module.parameters(), lr=3e-3)

    def step() -> tuple[Tensor, float]:
        top = torch.rand(32, 4) * 80
        boxes = torch.stack([top * 0, top, top * 0 + 20, top + 10], dim=-1).flatten(0, 1)
        page = torch.arange(32).repeat_interleave(4)
        zero = boxes.new_zeros
        stage = StageOutput(
            Proposals(boxes, page), zero(len(boxes), 2), zero(len(boxes), 4), zero(len(boxes), 4)
        )
        truth = torch.nn.functional.one_hot(top.argmin(1), 4).flatten()
        logits = module(stage, [(100, 100)] * 32).logits
        right = (logits.argmax(1) == truth).float().mean().item()
        return torch.nn.functional.cross_entropy(logits, truth), right

    for _ in range(150):
        loss, right = step()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert right > 0.9, "one region alone gives 0.85 at best"


def test_geometry_by_hand() -> None:
    boxes = torch.tensor([[10.0, 20.0, 50.0, 70.0], [0.0, 0.0, 0.0, 0.0]])
    geometry = box_geometry(boxes, torch.tensor([[100, 200], [100, 200]]))
    expected = torch.tensor([0.05, 0.2, 0.25, 0.7, 0.2, 0.5])
    torch.testing.assert_close(geometry[0, :6], expected)
    torch.testing.assert_close(geometry[0, 6:], torch.tensor([0.2, 0.5]).log())
    assert geometry[1].isfinite().all(), "an empty box has a finite logarithm"


@pytest.mark.parametrize("out_channels", [16, 48])
def test_in_the_detector(out_channels: int) -> None:
    """Losses of its own over the same regions, gradients, and detections that its residuals move;
    with a pyramid as wide as the usual and three times that."""
    config = from_dict(
        {
            "model": {"num_classes": 3, "mask_on": False},
            "backbone": {
                "hidden_size": 32,
                "layers": 4,
                "heads": 2,
                "intermediate_size": 48,
                "out_indices": [0, 1, 2, 3],
                "coordinate_size": 6,
                "shape_size": 4,
            },
            "neck": {"out_channels": out_channels},
            "rpn": {"pre_nms_train": 50, "post_nms_train": 50, "post_nms_test": 20},
            "roi": {"fc_dim": 24, "batch_size_per_image": 24, "sampling_ratio": 2},
            "relation": {"enabled": True, "dim": 48, "heads": 4, "layers": 2},
            "test": {"score_threshold": 0.0},
        }
    )
    torch.manual_seed(0)
    detector = build_detector(config).train()
    truth = Target(torch.tensor([[8.0, 8.0, 60.0, 40.0]]), torch.tensor([1]))
    nothing = Target(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    batch = Batch(torch.randn(2, 3, 64, 96), [(64, 96)] * 2, targets=[truth, nothing])
    losses = detector(batch)
    assert losses["loss_cls_relation"] == losses["loss_cls_stage2"], "untrained it changes nothing"
    assert losses["loss_box_reg_relation"] == losses["loss_box_reg_stage2"]
    sum(losses.values()).backward()
    relation = detector.cascade.relation
    assert relation.cls_score.weight.grad.abs().max() > 0
    detector.eval()
    before = detector(batch)
    torch.nn.init.normal_(relation.cls_score.weight)
    torch.nn.init.normal_(relation.bbox_pred.weight, std=0.1)
    after = detector(batch)
    assert all(page.boxes.isfinite().all() for page in after)
    assert not torch.allclose(before[0].scores[:5], after[0].scores[:5])
