"""Box arithmetic against hand-computed cases, invariances and numerical gradients."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.ops import box_iou

from lmv3det.model import boxes as box_ops

WEIGHTS = (10.0, 10.0, 5.0, 5.0)


def random_boxes(number: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(number, 2, generator=generator, dtype=torch.float64) * 100
    side = torch.rand(number, 2, generator=generator, dtype=torch.float64) * 80 + 4
    return torch.cat([corner, corner + side], dim=1)


def test_deltas_by_hand() -> None:
    source = torch.tensor([[0.0, 0.0, 10.0, 20.0]], dtype=torch.float64)
    target = torch.tensor([[5.0, 0.0, 25.0, 20.0]], dtype=torch.float64)
    deltas = box_ops.encode(source, target, WEIGHTS)
    expected = [[10 * (15 - 5) / 10, 0.0, 5 * math.log(2), 0.0]]
    torch.testing.assert_close(deltas, torch.tensor(expected, dtype=torch.float64))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_decode_undoes_encode(seed: int) -> None:
    source, target = random_boxes(5, seed), random_boxes(5, seed + 1)
    deltas = box_ops.encode(source, target, WEIGHTS)
    torch.testing.assert_close(box_ops.decode(source, deltas, WEIGHTS), target)


def test_growth_is_clamped() -> None:
    source = torch.tensor([[0.0, 0.0, 16.0, 16.0]])
    grown = box_ops.decode(source, torch.tensor([[0.0, 0.0, 1e4, 1e4]]), (1, 1, 1, 1))
    torch.testing.assert_close(grown[0, 2] - grown[0, 0], torch.tensor(1000.0))


def aspect_term(pred: Tensor, target: Tensor) -> Tensor:
    """v of CIoU, from the widths and heights."""
    (w, h), (tw, th) = ((b[:, 2:] - b[:, :2]).unbind(1) for b in (pred, target))
    return 4 / math.pi**2 * (torch.atan(tw / th) - torch.atan(w / h)) ** 2


def ciou_alpha(pred: Tensor, target: Tensor) -> Tensor:
    v, iou = aspect_term(pred, target), box_iou(pred, target).diagonal()
    return v / (1 - iou + v)


@pytest.mark.parametrize("kind", ["giou", "diou", "ciou"])
class TestOverlapLosses:
    def test_same_box_costs_nothing(self, kind: str) -> None:
        boxes = random_boxes(6)
        assert box_ops.BOX_LOSSES[kind](boxes, boxes).abs().max() < 1e-7

    def test_moving_and_scaling_both_changes_nothing(self, kind: str) -> None:
        loss, pred, target = box_ops.BOX_LOSSES[kind], random_boxes(20), random_boxes(20, 1)
        before = loss(pred, target)
        torch.testing.assert_close(loss(pred * 7 + 50, target * 7 + 50), before, atol=1e-6, rtol=0)

    def test_gradient_is_the_numerical_one(self, kind: str) -> None:
        # Away from the corners where maximum and minimum have a kink.
        pred = torch.tensor([[10.0, 12, 50, 47], [0, 0, 9, 30]], dtype=torch.float64)
        target = torch.tensor([[15.0, 10, 45, 60], [20, 40, 31, 52]], dtype=torch.float64)
        loss, step = box_ops.BOX_LOSSES[kind], 1e-5
        pred.requires_grad_()
        loss(pred, target).sum().backward()
        if kind == "ciou":  # its trade-off alpha is a constant, so hold it fixed
            alpha = ciou_alpha(pred.detach(), target)
            loss = lambda p, t: box_ops.BOX_LOSSES["diou"](p, t) + alpha * aspect_term(p, t)  # noqa: E731
        for row, column in torch.cartesian_prod(torch.arange(2), torch.arange(4)).tolist():
            move = torch.zeros_like(pred)
            move[row, column] = step
            with torch.no_grad():
                slope = (loss(pred + move, target) - loss(pred - move, target)).sum() / (2 * step)
            torch.testing.assert_close(pred.grad[row, column], slope, atol=1e-8, rtol=1e-6)

    def test_no_rows(self, kind: str) -> None:
        assert box_ops.BOX_LOSSES[kind](torch.zeros(0, 4), torch.zeros(0, 4)).sum() == 0


def test_losses_by_hand() -> None:
    # Two squares of side 2 that share a quarter: IoU 1/7, enclosing box of side 3.
    pred = torch.tensor([[0.0, 0, 2, 2]], dtype=torch.float64)
    target = torch.tensor([[1.0, 1, 3, 3]], dtype=torch.float64)
    for kind, expected in {
        "giou": 1 - 1 / 7 + (9 - 7) / 9,
        "diou": 1 - 1 / 7 + 2 / 18,
        "ciou": 1 - 1 / 7 + 2 / 18,  # same shape: no term for it
    }.items():
        assert box_ops.BOX_LOSSES[kind](pred, target).item() == pytest.approx(expected, abs=1e-6)
    # Same center, another shape: 1 - IoU and the aspect term alone.
    pred = torch.tensor([[-2.0, -1, 2, 1]], dtype=torch.float64)
    target = torch.tensor([[-1.0, -2, 1, 2]], dtype=torch.float64)
    iou = 4 / 12
    aspect = 4 / math.pi**2 * (math.atan(0.5) - math.atan(2.0)) ** 2
    expected = 1 - iou + aspect * aspect / (1 - iou + aspect)
    assert box_ops.BOX_LOSSES["ciou"](pred, target).item() == pytest.approx(expected, abs=1e-6)


def test_smooth_l1_by_hand() -> None:
    pred, target = torch.tensor([0.0, 0.5, 3.0]), torch.zeros(3)
    assert box_ops.smooth_l1_loss(pred, target, 0.0).tolist() == [0.0, 0.5, 3.0]
    assert box_ops.smooth_l1_loss(pred, target, 1.0).tolist() == [0.0, 0.125, 2.5]


def test_clip_and_not_empty() -> None:
    boxes = torch.tensor([[-5.0, -5, 300, 300], [150, 20, 170, 30], [10, 10, 10, 30]])
    clipped = box_ops.clip(boxes, torch.tensor([100, 120]))  # height, width
    assert clipped.tolist() == [[0, 0, 120, 100], [120, 20, 120, 30], [10, 10, 10, 30]]
    assert box_ops.not_empty(clipped).tolist() == [True, False, False]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000))
def test_nms_by_page_against_the_definition(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    boxes, number = random_boxes(40, seed).float(), 40
    scores = torch.rand(number, generator=generator)
    page = torch.randint(0, 3, (number,), generator=generator)
    group = torch.randint(0, 2, (number,), generator=generator)
    kept = box_ops.nms_by_page(boxes, scores, page, group, 3, 0.3, 6)
    overlap = box_iou(boxes, boxes)
    for n in range(3):
        expected: list[int] = []
        for i in scores.argsort(descending=True).tolist():
            rivals = [j for j in expected if group[j] == group[i]]
            if page[i] == n and all(overlap[i, j] <= 0.3 for j in rivals):
                expected.append(i)
        assert kept[n].tolist() == expected[:6]


def test_nms_of_nothing() -> None:
    empty = torch.zeros(0, dtype=torch.int64)
    kept = box_ops.nms_by_page(torch.zeros(0, 4), torch.zeros(0), empty, empty, 2, 0.5, 10)
    assert [len(k) for k in kept] == [0, 0]


@pytest.mark.parametrize("seed", range(5))
def test_suppression_on_a_card_is_the_same(seed: int, monkeypatch) -> None:
    """At once, and a few pages at a time."""
    from torchvision.ops import batched_nms

    boxes, scores = random_boxes(60, seed), torch.rand(60).double()
    batch_index, level = torch.arange(60) // 20, torch.arange(60) % 3
    group = batch_index * 3 + level
    wanted = batched_nms(boxes, scores, group, 0.4)
    for limit in (100, 45, 1):
        monkeypatch.setattr(box_ops, "MAX_NMS_BOXES", limit)
        found = box_ops._suppress_on_gpu(boxes, scores, batch_index, group, 3, 0.4)
        for page in range(3):
            assert torch.equal(
                found[batch_index[found] == page], wanted[batch_index[wanted] == page]
            )
    assert len(box_ops._suppress_on_gpu(boxes[:0], scores[:0], group[:0], group[:0], 3, 0.4)) == 0


@pytest.mark.parametrize("kind", ["giou", "diou", "ciou"])
def test_overlap_losses_are_torchvisions(kind: str) -> None:
    """Values and gradients, of boxes that overlap, touch, or lie apart."""
    from torchvision import ops

    name = {"giou": "generalized", "diou": "distance", "ciou": "complete"}[kind]
    theirs = getattr(ops, f"{name}_box_iou_loss")
    target = torch.cat([random_boxes(40, 1), torch.tensor([[10.0, 10, 20, 20]]).double()])
    start = torch.cat([random_boxes(40), torch.tensor([[20.0, 10, 30, 20]]).double()])
    results = []
    for loss in (box_ops.BOX_LOSSES[kind], theirs):
        leaf = start.clone().requires_grad_()
        value = loss(leaf, target)
        value.sum().backward()
        results.append((value.detach(), leaf.grad))
    for mine, other in zip(*results, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-12)
