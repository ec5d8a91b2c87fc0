"""The RPN: proposals in odd places, and losses against a plain loop."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lmv3det.model.rpn import RPN, RPNHead, select_proposals
from lmv3det.structures import Target

STRIDES = (4, 8, 16, 32, 64)
SIZES = [(64, 90), (60, 96)]
CHANNELS = 6


def make_rpn(**options) -> RPN:
    torch.manual_seed(0)
    options = {"anchor_sizes": (8, 16, 24, 32, 48), **options}
    rpn = RPN(CHANNELS, **options).double()
    for parameter in rpn.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return rpn


def make_pyramid(pages: int = 2, height: int = 64, width: int = 96) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randn(
            pages,
            CHANNELS,
            -(-height // stride),
            -(-width // stride),
            generator=generator,
            dtype=torch.float64,
        )
        for stride in STRIDES
    ]


def target(*boxes: list[float]) -> Target:
    number = len(boxes)
    return Target(
        torch.tensor(boxes, dtype=torch.float64).reshape(number, 4),
        torch.zeros(number, dtype=torch.int64),
    )


TARGETS = [target([10, 8, 33, 29], [50, 20, 88, 60]), target([4, 4, 15, 13])]


class TestHead:
    def test_shapes(self) -> None:
        logits, deltas = RPNHead(CHANNELS, 3)(
            [level.float() for level in make_pyramid(2, 64, 96)[:2]]
        )
        assert [tuple(part.shape) for part in logits] == [(2, 16 * 24 * 3), (2, 8 * 12 * 3)]
        assert [tuple(part.shape) for part in deltas] == [(2, 16 * 24 * 3, 4), (2, 8 * 12 * 3, 4)]

    def test_order_is_row_column_anchor(self) -> None:
        """The centre weight alone: each output is a known multiple of its own cell."""
        head = RPNHead(1, 2)
        with torch.no_grad():
            for parameter in head.parameters():
                parameter.zero_()
            head.conv.weight[0, 0, 1, 1] = 1.0
            head.objectness_logits.weight[:, 0, 0, 0] = torch.tensor([1.0, 10.0])
            head.anchor_deltas.weight[:, 0, 0, 0] = torch.arange(8.0)
        cells = torch.arange(1.0, 7.0).view(1, 1, 2, 3)
        logits, deltas = head([cells])
        assert logits[0].tolist() == [[1, 10, 2, 20, 3, 30, 4, 40, 5, 50, 6, 60]]
        assert deltas[0][0, 0].tolist() == [0, 1, 2, 3]  # anchor-major channels
        assert deltas[0][0, 3].tolist() == [8, 10, 12, 14]  # the second cell's second anchor


class TestAnchors:
    def test_one_set_a_level_and_kept(self) -> None:
        rpn, pyramid = make_rpn(), make_pyramid()
        first = rpn.anchors(pyramid)
        assert [len(level) for level in first] == [3 * p.shape[2] * p.shape[3] for p in pyramid]
        assert all(a is b for a, b in zip(first, rpn.anchors(pyramid), strict=True))
        other = rpn.anchors(make_pyramid(1, 128, 64))
        assert [len(level) for level in other] != [len(level) for level in first]

    def test_never_in_half_precision(self) -> None:
        pyramid = [level.bfloat16() for level in make_pyramid()]
        assert {level.dtype for level in make_rpn().anchors(pyramid)} == {torch.float32}

    def test_number_of_kept_grids_is_bounded(self) -> None:
        rpn = make_rpn()
        for width in range(64, 64 + 40 * 64, 64):
            rpn.anchors(make_pyramid(1, 64, width))
        assert len(rpn._anchor_cache) <= 16

    def test_made_in_inference_they_serve_training(self) -> None:
        rpn, pyramid = make_rpn(), make_pyramid()
        with torch.inference_mode():
            rpn.eval()(pyramid, SIZES)
        _, losses = rpn.train()(pyramid, SIZES, TARGETS)
        sum(losses.values()).backward()


class TestProposals:
    def test_training_and_test_have_their_own_numbers(self) -> None:
        rpn = make_rpn(pre_nms=(40, 15), post_nms=(30, 12), nms_threshold=1.0)
        pyramid = make_pyramid()
        counts = {}
        for training in (True, False):
            proposals, losses = rpn.train(training)(pyramid, SIZES)
            assert losses == {}
            counts[training] = [len(p) for p in proposals]
        assert counts == {True: [30, 30], False: [12, 12]}

    def test_number_of_each_level_before_suppression(self) -> None:
        rpn = make_rpn(pre_nms=(6, 2), post_nms=(99, 99), nms_threshold=1.0)
        torch.nn.init.zeros_(rpn.head.anchor_deltas.weight)  # no box leaves the page
        torch.nn.init.zeros_(rpn.head.anchor_deltas.bias)
        counts = {}
        for training in (True, False):
            proposals, _ = rpn.train(training)(make_pyramid(), [(64, 96)] * 2)
            counts[training] = [len(p) for p in proposals]
        assert counts == {True: [5 * 6] * 2, False: [5 * 2] * 2}

    def test_best_first_inside_the_page_without_gradient(self) -> None:
        rpn, pyramid = make_rpn().eval(), make_pyramid()
        logits, deltas = rpn.head(pyramid)
        boxes, scores = rpn.proposals(rpn.anchors(pyramid), logits, deltas, SIZES)
        for page_boxes, page_scores, (height, width) in zip(boxes, scores, SIZES, strict=True):
            assert len(page_boxes) and not page_boxes.requires_grad
            assert (page_scores.diff() <= 0).all()
            assert (page_boxes >= 0).all()
            assert (page_boxes[:, 0::2] <= width).all() and (page_boxes[:, 1::2] <= height).all()
            assert (page_boxes[:, 2:] > page_boxes[:, :2]).all()

    def test_page_smaller_than_every_anchor(self) -> None:
        rpn = make_rpn(anchor_sizes=(64, 128, 256, 512, 1024))
        proposals, _ = rpn.eval()(make_pyramid(1, 32, 32), [(20, 7)])
        assert len(proposals[0]) > 0
        assert (proposals[0][:, 2] <= 7).all() and (proposals[0][:, 3] <= 20).all()
        _, losses = rpn.train()(make_pyramid(1, 32, 32), [(20, 7)], [target([1, 1, 6, 12])])
        assert all(loss.isfinite() for loss in losses.values())

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_logits_and_deltas_that_are_no_numbers(self, value: float) -> None:
        rpn, pyramid = make_rpn().eval(), make_pyramid()
        logits, deltas = rpn.head(pyramid)
        logits[0][0, 5] = value
        deltas[1][1, 7] = value
        boxes, scores = rpn.proposals(rpn.anchors(pyramid), logits, deltas, SIZES)
        for page_boxes, page_scores in zip(boxes, scores, strict=True):
            assert len(page_boxes) and page_boxes.isfinite().all() and page_scores.isfinite().all()
        logits = [torch.full_like(level, value) for level in logits]
        boxes, _ = rpn.proposals(rpn.anchors(pyramid), logits, deltas, SIZES)
        assert [len(page_boxes) for page_boxes in boxes] == [0, 0]

    def test_suppression_is_within_a_level(self) -> None:
        same = torch.tensor([[[0.0, 0, 10, 10], [0, 0, 10, 9]]])
        boxes, scores = select_proposals(
            [same, same], [torch.tensor([[3.0, 2]]), torch.tensor([[1.0, 4]])], [(20, 20)], 0.7, 9
        )
        assert scores[0].tolist() == [4, 3]
        assert boxes[0].tolist() == [[0, 0, 10, 9], [0, 0, 10, 10]]

    def test_empty_boxes_are_dropped_and_a_page_may_have_none(self) -> None:
        outside = torch.tensor([[[30.0, 0, 40, 10]], [[0.0, 0, 5, 5]]])
        boxes, _ = select_proposals([outside], [torch.zeros(2, 1)], [(20, 20), (20, 20)], 0.7, 9)
        assert [len(page_boxes) for page_boxes in boxes] == [0, 1]


def smooth_l1(source: list[float], move: Tensor, truth: list[float]) -> Tensor:
    """L1 between the deltas, written out."""
    (w, h), (tw, th) = ((b[2] - b[0], b[3] - b[1]) for b in (source, truth))
    x, y = source[0] + w / 2, source[1] + h / 2
    tx, ty = truth[0] + tw / 2, truth[1] + th / 2
    wanted = [(tx - x) / w, (ty - y) / h, math.log(tw / w), math.log(th / h)]
    return sum(((move[n] - wanted[n]).abs() for n in range(4)), torch.zeros(()))


def overlap_loss(kind: str, source: list[float], move: Tensor, truth: list[float]) -> Tensor:
    """GIoU, DIoU and CIoU losses of one decoded box, written out."""
    w, h = source[2] - source[0], source[3] - source[1]
    x, y = source[0] + w / 2 + move[0] * w, source[1] + h / 2 + move[1] * h
    pw, ph = w * move[2].exp(), h * move[3].exp()
    box = [x - pw / 2, y - ph / 2, x + pw / 2, y + ph / 2]
    t = [torch.tensor(v, dtype=torch.float64) for v in truth]
    tw, th = t[2] - t[0], t[3] - t[1]
    wide = torch.minimum(box[2], t[2]) - torch.maximum(box[0], t[0])
    high = torch.minimum(box[3], t[3]) - torch.maximum(box[1], t[1])
    inter = wide * high if wide > 0 and high > 0 else torch.zeros(())
    union = pw * ph + tw * th - inter
    iou = inter / union
    outer_w = torch.maximum(box[2], t[2]) - torch.minimum(box[0], t[0])
    outer_h = torch.maximum(box[3], t[3]) - torch.minimum(box[1], t[1])
    if kind == "giou":
        return 1 - iou + (outer_w * outer_h - union) / (outer_w * outer_h)
    centre = (x - (t[0] + t[2]) / 2) ** 2 + (y - (t[1] + t[3]) / 2) ** 2
    diou = 1 - iou + centre / (outer_w**2 + outer_h**2)
    if kind == "diou":
        return diou
    v = 4 / math.pi**2 * (torch.atan(tw / th) - torch.atan(pw / ph)) ** 2
    return diou + v * (v / (1 - iou + v)).detach()


def iou_of(a: list[float], b: list[float]) -> float:
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    inter = max(wide, 0) * max(high, 0)
    return inter / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter)


def plain_losses(
    kind: str, anchors: Tensor, logits: Tensor, deltas: Tensor, truths: list[list[list[float]]]
) -> tuple[Tensor, Tensor, list[list[int]]]:
    """Both losses, not yet divided, over all anchors that are not ignored; and the labels."""
    loss_cls, loss_box = torch.zeros(()), torch.zeros(())
    labels: list[list[int]] = []
    for page, boxes in enumerate(truths):
        rows = anchors.tolist()
        table = [[iou_of(box, anchor) for anchor in rows] for box in boxes]
        labels.append([])
        for n, anchor in enumerate(rows):
            column = [row[n] for row in table]
            best = max(column, default=0.0)
            ties = any(row[n] == max(row) for row in table)
            label = 1 if best >= 0.7 or ties else 0 if best < 0.3 else -1
            labels[-1].append(label)
            if label == -1:
                continue
            p = torch.sigmoid(logits[page, n])
            loss_cls = loss_cls - (p.log() if label else (1 - p).log())
            if label:
                truth, move = boxes[column.index(best)], deltas[page, n]
                if kind == "smooth_l1":
                    loss_box = loss_box + smooth_l1(anchor, move, truth)
                else:
                    loss_box = loss_box + overlap_loss(kind, anchor, move, truth)
    return loss_cls, loss_box, labels


@pytest.mark.parametrize("kind", ["smooth_l1", "giou", "diou", "ciou"])
def test_losses_and_gradients_against_a_plain_loop(kind: str) -> None:
    """A sample larger than the number of anchors takes them all."""
    number = 8192
    rpn = make_rpn(batch_size_per_image=number, box_loss_kind=kind).train()
    pyramid = make_pyramid(2, 32, 64)
    truths = [[[3.0, 2, 20, 18], [24, 5, 60, 30]], [[30.0, 10, 41, 20]]]
    anchors = rpn.anchors(pyramid)
    outputs = []
    for _ in range(2):
        logits, deltas = rpn.head(pyramid)
        outputs.append([[part.detach().requires_grad_() for part in x] for x in (logits, deltas)])
    (logits, deltas), (plain_logits, plain_deltas) = outputs
    losses = rpn.losses(anchors, logits, deltas, [target(*boxes) for boxes in truths])
    sum(losses.values()).backward()
    loss_cls, loss_box, labels = plain_losses(
        kind, torch.cat(anchors), torch.cat(plain_logits, 1), torch.cat(plain_deltas, 1), truths
    )
    ((loss_cls + loss_box) / (2 * number)).backward()
    assert {-1, 0, 1} == {label for page in labels for label in page}
    torch.testing.assert_close(losses["loss_rpn_cls"], loss_cls / (2 * number))
    torch.testing.assert_close(losses["loss_rpn_loc"], loss_box / (2 * number), rtol=1e-6, atol=0)
    for got, expected in zip((*logits, *deltas), (*plain_logits, *plain_deltas), strict=True):
        expected_grad = torch.zeros_like(got) if expected.grad is None else expected.grad
        torch.testing.assert_close(got.grad, expected_grad, rtol=1e-5, atol=1e-10)


class TestLosses:
    def test_divisor_is_the_sample_size_even_where_fewer_are_drawn(self) -> None:
        pyramid = make_pyramid(1, 32, 32)
        values = []
        for number in (8192, 16384):
            rpn = make_rpn(batch_size_per_image=number)
            _, losses = rpn.train()(pyramid, [(32, 32)], [target([3, 3, 20, 20])])
            values.append(losses)
        for name in values[0]:
            torch.testing.assert_close(values[0][name], 2 * values[1][name])

    def test_a_page_without_regions_has_negatives_alone(self) -> None:
        rpn, pyramid = make_rpn().train(), make_pyramid(1)
        logits, deltas = rpn.head(pyramid)
        label, boxes = rpn.assign(torch.cat(rpn.anchors(pyramid)), [target()])
        assert (label == 0).all() and (boxes == 0).all()
        losses = rpn.losses(rpn.anchors(pyramid), logits, deltas, [target()])
        assert losses["loss_rpn_loc"] == 0 and losses["loss_rpn_cls"] > 0
        sum(losses.values()).backward()
        gradients = {name: p.grad for name, p in rpn.named_parameters()}
        assert all(g is not None and g.isfinite().all() for g in gradients.values())
        assert gradients["head.objectness_logits.weight"].abs().sum() > 0
        assert gradients["head.anchor_deltas.weight"].abs().sum() == 0

    def test_an_empty_page_beside_another(self) -> None:
        """The first page's regions are not those of the second."""
        rpn, pyramid = make_rpn(batch_size_per_image=8192).train(), make_pyramid()
        _, both = rpn(pyramid, SIZES, [TARGETS[0], target()])
        _, first = rpn([p[:1] for p in pyramid], SIZES[:1], TARGETS[:1])
        _, second = rpn([p[1:] for p in pyramid], SIZES[1:], [target()])
        for name in both:
            torch.testing.assert_close(both[name], (first[name] + second[name]) / 2)

    def test_ignored_anchors_are_never_sampled(self) -> None:
        rpn, pyramid = make_rpn(batch_size_per_image=8192).train(), make_pyramid(1)
        anchors = rpn.anchors(pyramid)
        label, _ = rpn.assign(torch.cat(anchors), TARGETS[:1])
        logits, deltas = rpn.head(pyramid)
        logits = [part.detach().requires_grad_() for part in logits]
        losses = rpn.losses(anchors, logits, deltas, TARGETS[:1])
        losses["loss_rpn_cls"].backward()
        gradient = torch.cat([part.grad for part in logits], dim=1)[0]
        assert (label == -1).any()
        assert torch.equal(gradient != 0, label[0] != -1)

    def test_at_most_half_of_the_sample_is_positive(self) -> None:
        """Ten anchors drawn of each page: the gradient says which."""
        rpn, pyramid = make_rpn(batch_size_per_image=10).train(), make_pyramid(1)
        anchors = rpn.anchors(pyramid)
        # A region that nothing covers makes every anchor positive that does not overlap it.
        targets = [target([500, 500, 510, 510], [10, 10, 30, 30])]
        label, _ = rpn.assign(torch.cat(anchors), targets)
        assert (label == 1).sum() > 10 and (label == 0).sum() == 0
        logits, deltas = rpn.head(pyramid)
        logits = [part.detach().requires_grad_() for part in logits]
        rpn.losses(anchors, logits, deltas, targets)["loss_rpn_cls"].backward()
        gradient = torch.cat([part.grad for part in logits], dim=1)
        assert (gradient < 0).sum() == 5 and (gradient > 0).sum() == 0

    def test_half_precision_outputs_are_widened(self) -> None:
        rpn, pyramid = make_rpn().float().train(), [p.float() for p in make_pyramid()]
        with torch.autocast("cpu", torch.bfloat16):
            proposals, losses = rpn(pyramid, SIZES, TARGETS)
        assert {p.dtype for p in proposals} == {torch.float32}
        assert {loss.dtype for loss in losses.values()} == {torch.float32}
        sum(losses.values()).backward()
        assert all(p.grad.isfinite().all() for p in rpn.parameters())


class HalfObjectness(RPN):
    """Half the usual loss of objectness, and no other change."""

    def objectness_loss(self, logits: Tensor, is_object: Tensor, drawn: Tensor) -> Tensor:
        assert logits.shape == is_object.shape == drawn.shape
        return super().objectness_loss(logits, is_object, drawn) / 2


def test_an_objectness_loss_is_one_override() -> None:
    usual = make_rpn(batch_size_per_image=16).train()
    own = HalfObjectness(CHANNELS, (8, 16, 24, 32, 48), batch_size_per_image=16).double().train()
    own.load_state_dict(usual.state_dict())
    pyramid = make_pyramid()
    values = []
    for rpn in (usual, own):
        torch.manual_seed(2)
        values.append(rpn(pyramid, [(64, 96)] * 2, TARGETS)[1])
    torch.testing.assert_close(values[0]["loss_rpn_cls"] / 2, values[1]["loss_rpn_cls"])
    assert torch.equal(values[0]["loss_rpn_loc"], values[1]["loss_rpn_loc"])
