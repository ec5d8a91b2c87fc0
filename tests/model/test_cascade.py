"""The cascade: what goes from stage to stage, labels, sampling, losses and the last selection."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from lmv3det.model import cascade as cascade_module
from lmv3det.model.cascade import (
    BoxHead,
    BoxPredictor,
    CascadeHeads,
    Proposals,
    StageOutput,
    select_detections,
)
from lmv3det.model.roi_pool import ROIPooler
from lmv3det.structures import Target

CLASSES = 3
WEIGHTS = ((10.0, 10.0, 5.0, 5.0), (20.0, 20.0, 10.0, 10.0), (30.0, 30.0, 15.0, 15.0))
SIZES = [(64, 80), (60, 96)]


class Says(BoxPredictor):
    """A predictor that says the same of every region."""

    def __init__(self, logits: list[float], deltas: list[float]) -> None:
        nn.Module.__init__(self)
        self.num_classes, self.box_weights = CLASSES, WEIGHTS[0]
        self.box_loss_kind, self.smooth_l1_beta = "ciou", 0.0
        self.logits = nn.Parameter(torch.tensor(logits, dtype=torch.float64))
        self.deltas = nn.Parameter(torch.tensor(deltas, dtype=torch.float64))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.logits.expand(len(x), -1), self.deltas.expand(len(x), -1)


def make_pyramid(pages: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(pages, 2, 64 // s, 96 // s, generator=generator, dtype=torch.float64)
        for s in (4, 8, 16, 32)
    ]


def make_cascade(
    predictors: list[Says] | None = None, box_loss: str = "ciou", **options
) -> CascadeHeads:
    torch.manual_seed(0)
    stages = len(options.get("iou_thresholds", WEIGHTS))
    for predictor, weights in zip(predictors or [], WEIGHTS, strict=False):
        predictor.box_weights = weights
    if predictors is None:
        predictors = [
            BoxPredictor(4, CLASSES, box_weights=WEIGHTS[n], box_loss_kind=box_loss)
            for n in range(stages)
        ]
        for predictor in predictors:
            nn.init.normal_(predictor.cls_score.weight, std=1.0)
            nn.init.normal_(predictor.bbox_pred.weight, std=0.5)
    heads = [BoxHead(2, 3, 4) for _ in range(stages)]
    return CascadeHeads(ROIPooler(3), heads, predictors, CLASSES, **options).double()


def boxes(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, 4)


def target(rows: list[list[float]], classes: list[int]) -> Target:
    return Target(boxes(*rows), torch.tensor(classes, dtype=torch.int64))


def silent(deltas: list[float] | None = None, logits: list[float] | None = None) -> Says:
    return Says(logits or [0.0] * (CLASSES + 1), deltas or [0.0] * 4)


class TestPredict:
    def test_scores_are_the_mean_of_three_and_boxes_those_of_the_last_stage(self) -> None:
        said = [[2.0, 0, 0, 0], [0, 1.0, 0, 0], [0.5, 0, 3.0, 0]]
        # dx in widths: 1/10, then 2/20, then 3/30: each moves the box by a tenth of its width.
        moves = [[1.0, 0, 0, 0], [2.0, 0, 0, 0], [3.0, 0, 0, 0]]
        cascade = make_cascade([Says(s, m) for s, m in zip(said, moves, strict=True)])
        found = cascade.predict(make_pyramid(1), [boxes([10, 10, 30, 40])], SIZES[:1])[0]
        mean = sum(torch.tensor(s, dtype=torch.float64).softmax(0) for s in said) / 3
        torch.testing.assert_close(found.scores, mean[:CLASSES].sort(descending=True).values)
        assert found.classes.tolist() == mean[:CLASSES].argsort(descending=True).tolist()
        for box in found.boxes:
            torch.testing.assert_close(box, boxes([16, 10, 36, 40])[0])

    def test_clipped_between_the_stages(self) -> None:
        """A box pushed out of the page comes back as wide as what was left of it."""
        cascade = make_cascade([silent([2.0, 0, 0, 0]), silent(), silent([-15.0, 0, 0, 0])])
        pyramid, proposals = make_pyramid(1), [boxes([50, 10, 70, 40])]
        # + 0.2 · 20, then unchanged, then - 0.5 · width.
        regions = Proposals(proposals[0], torch.zeros(1).long())
        stages = list(cascade.stages(pyramid, regions, [(64, 72)], None, None))
        assert stages[1].regions.boxes.tolist() == [[54, 10, 72, 40]]
        found = cascade.predict(pyramid, proposals, [(64, 72)])[0]
        torch.testing.assert_close(found.boxes[0], boxes([45, 10, 63, 40])[0])

    def test_empty_boxes_stay_in_test(self) -> None:
        cascade = make_cascade([silent([40.0, 0, 0, 0]), silent(), silent()])
        proposals = [boxes([60, 10, 70, 40], [1, 1, 8, 9])]
        stages = list(
            cascade.stages(
                make_pyramid(1),
                Proposals(proposals[0], torch.zeros(2).long()),
                [(64, 72)],
                None,
                None,
            )
        )
        assert [len(stage.regions.boxes) for stage in stages] == [2, 2, 2]
        assert stages[1].regions.boxes[0].tolist() == [72, 10, 72, 40]
        assert cascade.predict(make_pyramid(1), proposals, [(64, 72)])[0].boxes.isfinite().all()

    @pytest.mark.parametrize("counts", [(0, 0), (0, 3)])
    def test_pages_without_proposals(self, counts: tuple[int, int]) -> None:
        proposals = [boxes([5, 5, 40, 30]).repeat(n, 1) for n in counts]
        found = make_cascade().predict(make_pyramid(), proposals, SIZES)
        assert [d.image_size for d in found] == SIZES
        assert [len(d) > 0 for d in found] == [n > 0 for n in counts]

    def test_a_page_alone_is_the_page_in_a_batch(self) -> None:
        cascade, pyramid = make_cascade(score_threshold=0.0), make_pyramid()
        proposals = [
            boxes([5, 5, 40, 30], [20, 8, 70, 60]),
            boxes([1, 2, 30, 30], [40, 5, 90, 50], [3, 3, 9, 50]),
        ]
        together = cascade.predict(pyramid, proposals, SIZES)
        for n in (0, 1):
            one = [p[n : n + 1] for p in pyramid]
            alone = cascade.predict(one, proposals[n : n + 1], SIZES[n : n + 1])[0]
            torch.testing.assert_close(alone.boxes, together[n].boxes)
            torch.testing.assert_close(alone.scores, together[n].scores)
            assert torch.equal(alone.classes, together[n].classes)

    def test_weights_that_are_no_numbers_give_no_detection(self) -> None:
        cascade = make_cascade([silent([math.nan] * 4), silent(), silent()])
        found = cascade.predict(make_pyramid(1), [boxes([5, 5, 40, 30])], SIZES[:1])
        assert len(found[0]) == 0


class TestSelection:
    def select(self, where: Tensor, scores: list[list[float]], threshold: float, most: int = 9):
        page = torch.zeros(len(where), dtype=torch.int64)
        table = torch.tensor(scores, dtype=torch.float64)
        return select_detections(where, table, page, [(99, 99)], threshold, 0.5, most)[0]

    def test_threshold_is_strict(self) -> None:
        where = boxes([0, 0, 9, 9], [20, 20, 30, 30], [40, 40, 50, 50])
        scores = [[0.25, 0.75], [0.0, 1.0], [0.5, 0.5]]
        assert self.select(where, scores, 0.25).scores.tolist() == [0.5]
        # A threshold of 0 leaves out scores of exactly 0 and nothing else.
        assert self.select(where, scores, 0.0).scores.tolist() == [0.5, 0.25]

    def test_suppression_is_within_a_class(self) -> None:
        where = boxes([0, 0, 10, 10], [0, 0, 10, 9])
        found = self.select(where, [[0.6, 0.2, 0.2], [0.5, 0.3, 0.2]], 0.1)
        assert found.classes.tolist() == [0, 1]
        torch.testing.assert_close(found.scores, torch.tensor([0.6, 0.3]).double())
        assert found.boxes.tolist() == [[0, 0, 10, 10], [0, 0, 10, 9]]

    def test_background_is_never_found(self) -> None:
        assert len(self.select(boxes([0, 0, 9, 9]), [[0.0, 0.0, 1.0]], 0.0)) == 0

    def test_most(self) -> None:
        where = torch.arange(8.0).double().unsqueeze(1) * 20 + boxes([0, 0, 9, 9])
        found = self.select(where, [[n / 10, 1 - n / 10] for n in range(1, 9)], 0.0, 3)
        torch.testing.assert_close(found.scores, torch.tensor([0.8, 0.7, 0.6]).double())

    def test_not_finite(self) -> None:
        where = boxes([0, 0, 9, 9], [math.nan, 0, 9, 9], [20, 20, 30, 30])
        found = self.select(where, [[math.nan, 0.1], [0.9, 0.1], [0.4, 0.6]], 0.05)
        assert found.scores.tolist() == [0.4]


TRUTH = [0.0, 0, 20, 10]  # area 200


class TestLabels:
    @pytest.mark.parametrize(
        ("iou", "expected"), [(0.5, [1, 1, 1, 3]), (0.6, [1, 1, 3, 3]), (0.7, [1, 3, 3, 3])]
    )
    def test_thresholds_by_hand(self, iou: float, expected: list[int]) -> None:
        """Boxes that are parts of the truth have an IoU of 0.75, 0.65, 0.55 and 0.45."""
        parts = boxes(*([0, 0, 20 * share, 10] for share in (0.75, 0.65, 0.55, 0.45)))
        regions = make_cascade().label(
            Proposals(parts, torch.zeros(4).long()), [4], [target([TRUTH], [1])], iou
        )
        assert regions.classes.tolist() == expected
        assert (regions.gt_boxes == boxes(TRUTH)).all()

    @pytest.mark.parametrize("iou", [0.5, 0.75])
    def test_exactly_the_threshold_is_foreground(self, iou: float) -> None:
        part = boxes([0, 0, 20 * iou, 10])
        regions = make_cascade().label(
            Proposals(part, torch.zeros(1).long()), [1], [target([TRUTH], [2])], iou
        )
        assert regions.classes.tolist() == [2]

    def test_no_low_quality_matches(self) -> None:
        regions = make_cascade().label(
            Proposals(boxes([0, 0, 4, 10]), torch.zeros(1).long()), [1], [target([TRUTH], [1])], 0.5
        )
        assert regions.classes.tolist() == [CLASSES]

    def test_never_across_pages(self) -> None:
        """Every page has the regions of the other page's truth."""
        first, second = [0.0, 0, 20, 10], [30.0, 30, 50, 50]
        regions = make_cascade().label(
            Proposals(boxes(first, second, first, second), torch.tensor([0, 0, 1, 1])),
            [2, 2],
            [target([first], [1]), target([second], [2])],
            0.5,
        )
        assert regions.classes.tolist() == [1, 3, 3, 2]
        assert regions.gt_index[[0, 3]].tolist() == [0, 1]

    def test_an_empty_page_beside_another(self) -> None:
        first = [0.0, 0, 20, 10]
        regions = make_cascade().label(
            Proposals(boxes(first, first), torch.tensor([0, 1])),
            [1, 1],
            [target([], []), target([first], [2])],
            0.5,
        )
        assert regions.classes.tolist() == [3, 2]

    def test_number_of_the_truth_counts_through_the_batch(self) -> None:
        a, b, c = [0.0, 0, 9, 9], [20.0, 20, 30, 30], [40.0, 40, 60, 60]
        regions = make_cascade().label(
            Proposals(boxes(a, c, b), torch.tensor([0, 1, 1])),
            [1, 2],
            [target([a], [0]), target([b, c], [1, 2])],
            0.5,
        )
        assert regions.gt_index.tolist() == [0, 2, 1] and regions.classes.tolist() == [0, 2, 1]


class TestSample:
    def test_ground_truth_is_appended(self) -> None:
        truth = [5.0, 5, 30, 30]
        regions = make_cascade().sample([boxes([50, 40, 70, 60])], [target([truth], [1])])
        found = {
            tuple(b): c
            for b, c in zip(regions.boxes.tolist(), regions.classes.tolist(), strict=True)
        }
        assert found == {tuple(truth): 1, (50, 40, 70, 60): CLASSES}

    def test_numbers_and_share(self) -> None:
        truth = [5.0, 5, 30, 30]
        near = boxes(truth).repeat(40, 1)
        far = boxes([50, 40, 70, 60]).repeat(40, 1)
        cascade = make_cascade(batch_size_per_image=16, positive_fraction=0.25)
        regions = cascade.sample(
            [torch.cat([near, far]), far], [target([truth], [1]), target([], [])]
        )
        counts = [
            [
                ((regions.batch_index == n) & (regions.classes == c)).sum().item()
                for c in (1, CLASSES)
            ]
            for n in (0, 1)
        ]
        assert counts == [[4, 12], [0, 16]]

    def test_fewer_than_wanted(self) -> None:
        cascade = make_cascade(batch_size_per_image=512)
        regions = cascade.sample(
            [boxes([50, 40, 70, 60]), boxes()], [target([[5.0, 5, 30, 30]], [1]), target([], [])]
        )
        assert (
            regions.batch_index.tolist().count(0) == 2
            and regions.batch_index.tolist().count(1) == 0
        )

    def test_nothing_at_all(self) -> None:
        cascade = make_cascade()
        targets = [target([], []), target([], [])]
        sampled, losses = cascade.losses(make_pyramid(), [boxes(), boxes()], SIZES, targets)
        assert len(sampled.boxes) == 0
        assert all(loss == 0 for loss in losses.values()) and len(losses) == 6
        sum(losses.values()).backward()
        assert all(p.grad is not None and (p.grad == 0).all() for p in cascade.parameters())


PROPOSALS = [boxes([4, 4, 28, 33], [50, 40, 70, 60]), boxes([10, 5, 60, 50])]
TARGETS = [target([[5.0, 5, 30, 30]], [1]), target([[12.0, 6, 66, 48]], [0])]


class TestLosses:
    def test_names(self) -> None:
        _, losses = make_cascade().losses(make_pyramid(), PROPOSALS, SIZES, TARGETS)
        assert set(losses) == {
            f"{name}_stage{n}" for n in range(3) for name in ("loss_cls", "loss_box_reg")
        }

    def test_stage_losses_by_hand(self) -> None:
        """Two regions, one of them foreground, L1."""
        logits = torch.tensor([[1.0, 0, 0, 2], [0, 0, 3.0, 0]], dtype=torch.float64)
        deltas = torch.tensor([[1.0, 0, 0, 0], [7.0, 7, 7, 7]], dtype=torch.float64)
        regions = Proposals(
            boxes([0, 0, 10, 20], [30, 30, 40, 40]),
            torch.zeros(2).long(),
            torch.tensor([1, CLASSES]),
            boxes([5, 0, 25, 20], [0, 0, 1, 1]),
        )
        predictor = BoxPredictor(4, CLASSES, box_weights=WEIGHTS[0], box_loss_kind="smooth_l1")
        loss_cls, loss_box = predictor.losses(logits, deltas, regions)
        rows = [math.e + 2 + math.e**2, 3 + math.e**3]
        expected = (math.log(rows[0]) - 0 + math.log(rows[1]) - 0) / 2
        assert loss_cls.item() == pytest.approx(expected)
        # dx = 10 · 10/10, dw = 5 · log 2; over both regions of the stage.
        assert loss_box.item() == pytest.approx((abs(1 - 10) + 5 * math.log(2)) / 2)

    def test_no_foreground(self) -> None:
        cascade = make_cascade()
        _, losses = cascade.losses(make_pyramid(), PROPOSALS, SIZES, [target([], [])] * 2)
        assert all(losses[f"loss_box_reg_stage{n}"] == 0 for n in range(3))
        sum(losses.values()).backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in cascade.parameters())

    def test_empty_boxes_are_dropped_in_training(self) -> None:
        cascade = make_cascade([silent([40.0, 0, 0, 0]), silent(), silent()])
        regions = Proposals(boxes([60, 10, 70, 40], [1, 1, 8, 9]), torch.zeros(2).long())
        targets = [target([[1.0, 1, 40, 9]], [1])]
        stages = list(cascade.stages(make_pyramid(1), regions, [(64, 72)], targets, None))
        # The first is pushed out of the page and goes, the second is moved by 4 widths and stays.
        assert [len(stage.regions.boxes) for stage in stages] == [2, 1, 1]
        assert stages[1].regions.boxes.tolist() == [[29, 1, 36, 9]]

    def test_all_boxes_dropped(self) -> None:
        cascade = make_cascade([silent([400.0, 0, 0, 0]), silent(), silent()])
        _, losses = cascade.losses(
            make_pyramid(1), [boxes([60, 10, 70, 40])], [(64, 72)], [target([], [])]
        )
        assert losses["loss_cls_stage0"] > 0
        assert losses["loss_cls_stage1"] == losses["loss_cls_stage2"] == 0

    def test_clipped_between_the_stages_in_training(self) -> None:
        cascade = make_cascade([silent([2.0, 0, 0, 0]), silent(), silent()])
        regions = Proposals(boxes([50, 10, 70, 40]), torch.zeros(1).long())
        targets = [target([[1.0, 1, 40, 9]], [1])]
        stages = list(cascade.stages(make_pyramid(1), regions, [(64, 72)], targets, None))
        assert stages[1].regions.boxes.tolist() == [[54, 10, 72, 40]]

    def test_later_stages_match_again_without_sampling(self) -> None:
        """The first stage's box moves onto the truth: foreground from the second stage on."""
        # dx: half a width to the right.
        cascade = make_cascade([silent([5.0, 0, 0, 0]), silent(), silent()])
        regions = Proposals(
            boxes([0, 10, 20, 40]),
            torch.zeros(1).long(),
            torch.tensor([CLASSES]),
            boxes([10, 10, 30, 40]),
        )
        targets = [target([[10.0, 10, 30, 40]], [2])]
        stages = list(cascade.stages(make_pyramid(1), regions, [(64, 96)], targets, None))
        assert [stage.regions.classes.tolist() for stage in stages] == [[CLASSES], [2], [2]]

    def test_each_stage_has_its_own_threshold(self) -> None:
        """Boxes that stay where they are, with IoUs of 0.75, 0.65 and 0.55."""
        cascade = make_cascade([silent(), silent(), silent()])
        targets = [target([TRUTH], [1])]
        regions = cascade.label(
            Proposals(
                boxes(*([0, 0, 20 * share, 10] for share in (0.75, 0.65, 0.55))),
                torch.zeros(3).long(),
            ),
            [3],
            targets,
            cascade.iou_thresholds[0],
        )
        stages = list(cascade.stages(make_pyramid(1), regions, [(64, 96)], targets, None))
        assert [stage.regions.classes.tolist() for stage in stages] == [
            [1, 1, 1],
            [1, 1, CLASSES],
            [1, CLASSES, CLASSES],
        ]

    def test_no_gradient_from_one_stage_into_the_boxes_of_the_next(self) -> None:
        cascade = make_cascade()
        _, losses = cascade.losses(make_pyramid(), PROPOSALS, SIZES, TARGETS)
        losses["loss_cls_stage2"].backward()
        assert all(p.grad is None for p in cascade.predictors[:2].parameters())
        assert all(p.grad is None for p in cascade.heads[:2].parameters())

    def test_gradient_into_the_features_is_a_third_of_the_plain_sum(self) -> None:
        cascade = make_cascade()
        gradients = []
        for scaled in (True, False):
            pyramid = [level.clone().requires_grad_() for level in make_pyramid()]
            cascade.zero_grad()
            regions = cascade.sample(PROPOSALS, TARGETS)
            total = torch.zeros((), dtype=torch.float64)
            for number, stage in enumerate(cascade.stages(pyramid, regions, SIZES, TARGETS, None)):
                if not scaled:  # the same stage without the scale
                    pooled = cascade.pooler(pyramid, stage.regions.boxes, stage.regions.batch_index)
                    features = cascade.heads[number](pooled)
                    logits, deltas = cascade.predictors[number](features)
                    stage = StageOutput(stage.regions, logits, deltas, features)
                predictor = cascade.predictors[number]
                total = total + sum(predictor.losses(stage.logits, stage.deltas, stage.regions))
            total.backward()
            gradients.append((pyramid[0].grad, cascade.heads[1].fc1.weight.grad.clone()))
        (scaled_maps, scaled_head), (plain_maps, plain_head) = gradients
        assert plain_maps.abs().sum() > 0
        torch.testing.assert_close(scaled_maps, plain_maps / 3)
        torch.testing.assert_close(scaled_head, plain_head)  # the heads' own is not scaled

    @pytest.mark.parametrize("kind", ["smooth_l1", "giou", "diou", "ciou"])
    def test_kinds_of_box_loss(self, kind: str) -> None:
        cascade = make_cascade(box_loss=kind)
        _, losses = cascade.losses(make_pyramid(), PROPOSALS, SIZES, TARGETS)
        assert all(loss.isfinite() for loss in losses.values())
        assert losses["loss_box_reg_stage0"] > 0

    def test_regions_are_matched_within_their_page_alone(self, monkeypatch) -> None:
        """The overlaps of a batch grow with its pages, not with their square."""
        shapes = []
        overlap = cascade_module.box_iou
        monkeypatch.setattr(
            cascade_module,
            "box_iou",
            lambda a, b: shapes.append((len(a), len(b))) or overlap(a, b),
        )
        truth = [target([[10, 10, 30, 30]], [0]), target([[10, 10, 30, 30], [2, 2, 9, 9]], [2, 1])]
        truth.insert(1, target([], []))
        same = boxes([10, 10, 30, 30], [50, 50, 60, 60])
        regions = Proposals(
            torch.cat([same, same, same[:1]]), torch.tensor([0, 0, 1, 1, 2], dtype=torch.int64)
        )
        found = make_cascade().label(regions, [2, 2, 1], truth, 0.5)
        assert shapes == [(1, 2), (2, 1)]
        assert found.classes.tolist() == [0, CLASSES, CLASSES, CLASSES, 2]
        assert found.gt_index[[0, 4]].tolist() == [0, 1]
        assert found.gt_boxes[4].tolist() == [10, 10, 30, 30]

    def test_half_precision_maps_are_widened_once_for_all_stages(self, monkeypatch) -> None:
        seen = []
        pool = ROIPooler.forward

        def watch(self, pyramid, *args):
            seen.append([(id(level), level.dtype) for level in pyramid])
            return pool(self, pyramid, *args)

        monkeypatch.setattr(ROIPooler, "forward", watch)
        cascade = make_cascade().bfloat16()
        pyramid = [level.bfloat16() for level in make_pyramid()]
        cascade.predict(pyramid, [p.float() for p in PROPOSALS], SIZES)
        assert len(seen) == 3 and seen[0] == seen[1] == seen[2]
        assert {dtype for _, dtype in seen[0]} == {torch.float32}

    def test_one_stage_is_a_plain_head(self) -> None:
        cascade = make_cascade(iou_thresholds=(0.5,))
        _, losses = cascade.losses(make_pyramid(), PROPOSALS, SIZES, TARGETS)
        assert set(losses) == {"loss_cls_stage0", "loss_box_reg_stage0"}

    def test_half_precision_outputs_are_widened(self) -> None:
        cascade = make_cascade().float()
        pyramid = [level.bfloat16() for level in make_pyramid()]
        proposals = [p.float() for p in PROPOSALS]
        targets = [Target(t.boxes.float(), t.classes) for t in TARGETS]
        with torch.autocast("cpu", torch.bfloat16):
            _, losses = cascade.losses(pyramid, proposals, SIZES, targets)
            found = cascade.predict(pyramid, proposals, SIZES)
        assert {loss.dtype for loss in losses.values()} == {torch.float32}
        assert {d.boxes.dtype for d in found} == {d.scores.dtype for d in found} == {torch.float32}
        sum(losses.values()).backward()
        assert all(p.grad.isfinite().all() for p in cascade.parameters())


def test_text_reaches_the_classifier_alone() -> None:
    predictor = BoxPredictor(4, CLASSES, text_features=2).double()
    x, text = torch.randn(5, 4).double(), torch.randn(5, 2).double()
    logits, deltas = predictor(x, text)
    other_logits, other_deltas = predictor(x, text + 1)
    assert torch.equal(deltas, other_deltas) and not torch.equal(logits, other_logits)


@pytest.mark.parametrize("odd", ["heads", "predictors", "iou_thresholds"])
def test_lists_of_different_lengths_are_refused(odd):
    parts = {
        "heads": [BoxHead(2, 3, 4)] * 2,
        "predictors": [BoxPredictor(4, CLASSES)] * 2,
        "iou_thresholds": (0.5, 0.6),
    }
    CascadeHeads(ROIPooler(3), num_classes=2, **parts)
    with pytest.raises(ValueError, match=f"1 {odd}"):
        CascadeHeads(ROIPooler(3), num_classes=2, **{**parts, odd: parts[odd][:1]})


class Focal(BoxPredictor):
    """Focal loss (Lin et al., 2017, https://arxiv.org/abs/1708.02002), gamma 2."""

    def class_loss(self, logits: Tensor, classes: Tensor) -> Tensor:
        log_p = logits.log_softmax(-1).gather(1, classes.unsqueeze(1))[:, 0]
        return (-((1 - log_p.exp()) ** 2) * log_p).mean()


def test_a_class_loss_is_one_override() -> None:
    """The boxes' losses stay, the classes' are those of the override, in every stage."""
    torch.manual_seed(0)
    usual = make_cascade()
    own = make_cascade([Focal(4, CLASSES, box_weights=weights) for weights in WEIGHTS])
    own.load_state_dict(usual.state_dict())
    values = []
    for cascade in (usual, own):
        torch.manual_seed(1)
        values.append(cascade.losses(make_pyramid(), PROPOSALS, SIZES, TARGETS)[1])
    for name in values[0]:
        assert torch.equal(values[0][name], values[1][name]) == name.startswith("loss_box"), name
    # One region whose right class has the probability 1/4: (3/4)² · log 4.
    regions = Proposals(
        boxes([0, 0, 9, 9]), torch.zeros(1).long(), torch.tensor([2]), boxes([0, 0, 9, 9])
    )
    logits = torch.zeros(1, CLASSES + 1, dtype=torch.float64)
    loss, _ = Focal(4, CLASSES).losses(logits, torch.zeros(1, 4).double(), regions)
    assert loss.item() == pytest.approx(0.75**2 * math.log(4))


def test_the_share_of_foreground_is_measured() -> None:
    cascade = make_cascade()
    sampled, _ = cascade.losses(make_pyramid(), PROPOSALS, SIZES, TARGETS)
    share = cascade.measures["foreground_share"]
    assert share.item() == pytest.approx((sampled.classes < CLASSES).double().mean().item())
    assert not share.requires_grad
    cascade.losses(make_pyramid(), [boxes(), boxes()], SIZES, [target([], [])] * 2)
    assert cascade.measures["foreground_share"] == 0
