"""Masks: rasterising and pasting by hand, the own class, and the loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from lmv3det.model import mask_head as module
from lmv3det.model.mask_head import MaskHead, paste, rasterise
from lmv3det.model.roi_pool import ROIPooler

CLASSES = 3


def rectangle(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], dtype=np.float64)


class TestRasterise:
    def test_left_half(self) -> None:
        mask = rasterise([[rectangle(10, 20, 24, 48)]], np.array([[10.0, 20, 38, 48]]), 28)
        assert mask.shape == (1, 28, 28) and mask.dtype == bool
        expected = np.zeros((28, 28), dtype=bool)
        expected[:, :14] = True
        assert np.array_equal(mask[0], expected)

    def test_lower_quarter_of_a_box_that_is_not_square(self) -> None:
        mask = rasterise([[rectangle(0, 75, 40, 100)]], np.array([[0.0, 0, 40, 100]]), 28)
        assert mask[0, 21:].all() and not mask[0, :21].any()

    def test_whole_box_and_nothing_of_it(self) -> None:
        box = np.array([[5.0, 5, 15, 15]] * 2)
        masks = rasterise([[rectangle(0, 0, 50, 50)], [rectangle(30, 30, 40, 40)]], box, 28)
        assert masks[0].all() and not masks[1].any()

    def test_union_of_parts(self) -> None:
        parts = [rectangle(0, 0, 7, 28), rectangle(21, 0, 28, 28)]
        mask = rasterise([parts], np.array([[0.0, 0, 28, 28]]), 28)[0]
        assert mask[:, :7].all() and mask[:, 21:].all() and not mask[:, 7:21].any()

    def test_triangle_is_about_half(self) -> None:
        triangle = np.array([[0.0, 0], [28, 0], [0, 28]])
        mask = rasterise([[triangle]], np.array([[0.0, 0, 28, 28]]), 28)[0]
        assert mask[0, 0] and not mask[-1, -1]
        assert abs(mask.mean() - 0.5) < 0.03

    def test_box_without_width_and_outline_without_parts(self) -> None:
        box = np.array([[5.0, 5, 5, 5], [0, 0, 9, 9]])
        masks = rasterise([[rectangle(0, 0, 10, 10)], []], box, 28)
        assert masks.shape == (2, 28, 28) and not masks[1].any()

    def test_nothing(self) -> None:
        assert rasterise([], np.zeros((0, 4)), 28).shape == (0, 28, 28)


class TestPaste:
    def half(self) -> Tensor:
        mask = torch.zeros(1, 28, 28)
        mask[:, :, :14] = 1.0
        return mask

    def test_left_half_of_a_box(self) -> None:
        page = paste(self.half(), torch.tensor([[4.0, 6, 24, 26]]), (30, 40))
        assert page.shape == (1, 30, 40) and page.dtype == torch.bool
        expected = torch.zeros(30, 40, dtype=torch.bool)
        expected[6:26, 4:14] = True
        assert torch.equal(page[0], expected)

    def test_box_that_leaves_the_page(self) -> None:
        page = paste(torch.ones(1, 28, 28), torch.tensor([[-10.0, -5, 10, 5]]), (30, 40))
        assert page[0, :5, :10].all() and page.sum() == 50

    def test_box_outside_the_page(self) -> None:
        assert not paste(torch.ones(1, 28, 28), torch.tensor([[50.0, 5, 60, 15]]), (30, 40)).any()

    @pytest.mark.parametrize("box", [[5.0, 5, 5, 20], [5.5, 5.5, 5.5, 5.5], [5.0, 7.5, 20, 7.5]])
    def test_box_without_width_or_height_covers_nothing(self, box: list[float]) -> None:
        assert not paste(torch.ones(1, 28, 28), torch.tensor([box]), (30, 40)).any()

    def test_probabilities_are_kept_below_a_threshold_of_0(self) -> None:
        page = paste(torch.full((1, 28, 28), 0.5), torch.tensor([[0.0, 0, 40, 30]]), (30, 40), -1)
        assert page.dtype == torch.uint8
        assert page[0, 15, 20] == 127

    def test_parts_give_what_the_whole_gives(self, monkeypatch: pytest.MonkeyPatch) -> None:
        masks = torch.rand(7, 28, 28, generator=torch.Generator().manual_seed(0))
        boxes = torch.tensor([[3.0, 4, 30, 25]]) + torch.arange(7.0).unsqueeze(1)
        whole = paste(masks, boxes, (30, 40))
        sizes = []
        inner = module._paste
        monkeypatch.setattr(
            module, "_paste", lambda m, *rest: (sizes.append(len(m)), inner(m, *rest))[1]
        )
        single = torch.cat([paste(m, b, (30, 40)) for m, b in zip(masks[:, None], boxes[:, None],
                           strict=True)])  # fmt: skip
        assert sizes == [1] * 7 and torch.equal(single, whole)

    def test_large_pages_go_in_parts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sizes = []

        def fake(masks, boxes, height, width, threshold):
            sizes.append(len(masks))
            return torch.zeros(len(masks), 1, 1, dtype=torch.bool)

        monkeypatch.setattr(module, "_paste", fake)
        assert len(paste(torch.zeros(5, 28, 28), torch.zeros(5, 4), (8192, 4096))) == 5
        assert sizes == [2, 2, 1]  # 128 MiB of float a mask

    def test_no_masks(self) -> None:
        page = paste(torch.zeros(0, 28, 28), torch.zeros(0, 4), (30, 40))
        assert page.shape == (0, 30, 40) and page.dtype == torch.bool


def make_head(**options) -> MaskHead:
    torch.manual_seed(0)
    head = MaskHead(ROIPooler(4), in_channels=2, dim=3, num_convs=1, num_classes=CLASSES, **options)
    return head.double()


def make_pyramid(pages: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(pages, 2, 64 // s, 96 // s, generator=generator, dtype=torch.float64)
        for s in (4, 8, 16, 32)
    ]


BOXES = torch.tensor([[4.0, 4, 40, 36], [10, 8, 60, 60], [2, 30, 90, 60]], dtype=torch.float64)
PAGE = torch.tensor([0, 1, 1])
LABELS = torch.tensor([2, 0, 1])
OUTLINES = [[rectangle(*box)] for box in ([4, 4, 22, 36], [0, 0, 96, 64], [2, 45, 90, 60])]


class TestHead:
    def test_shape(self) -> None:
        assert make_head()(make_pyramid(), BOXES, PAGE).shape == (3, CLASSES, 8, 8)

    def test_own_class(self) -> None:
        head = make_head()
        logits = head(make_pyramid(), BOXES, PAGE)
        expected = torch.stack([logits[n, c] for n, c in enumerate(LABELS.tolist())]).sigmoid()
        torch.testing.assert_close(head.predict(make_pyramid(), BOXES, PAGE, LABELS), expected)

    def test_loss_by_hand(self) -> None:
        head, pyramid = make_head(), make_pyramid()
        loss = head.loss(pyramid, BOXES, PAGE, LABELS, OUTLINES)
        p = head.predict(pyramid, BOXES, PAGE, LABELS)
        truth = torch.zeros(3, 8, 8, dtype=torch.bool)
        truth[0, :, :4] = True  # the left half of the first box
        truth[1] = True
        truth[2, 4:] = True  # the lower half of the third
        expected = -torch.where(truth, p, 1 - p).log().mean()
        torch.testing.assert_close(loss, expected)

    def test_only_the_own_class_is_trained(self) -> None:
        head = make_head()
        head.loss(make_pyramid(), BOXES[:1], PAGE[:1], LABELS[:1], OUTLINES[:1]).backward()
        moved = head.predictor.weight.grad.abs().sum(dim=(1, 2, 3)) > 0
        assert moved.tolist() == [False, False, True]

    def test_no_foreground_is_a_loss_of_0_with_a_gradient(self) -> None:
        head = make_head()
        loss = head.loss(make_pyramid(), BOXES[:0], PAGE[:0], LABELS[:0], [])
        assert loss == 0
        loss.backward()
        assert all(p.grad is not None and (p.grad == 0).all() for p in head.parameters())

    def test_no_detections(self) -> None:
        assert make_head().predict(make_pyramid(), BOXES[:0], PAGE[:0], LABELS[:0]).shape == (
            0,
            8,
            8,
        )

    def test_number_of_outlines_must_be_that_of_the_regions(self) -> None:
        with pytest.raises(ValueError):
            make_head().loss(make_pyramid(), BOXES, PAGE, LABELS, OUTLINES[:2])

    def test_probabilities_of_half_precision_features_are_wide(self) -> None:
        pyramid = [level.bfloat16() for level in make_pyramid()]
        with torch.autocast("cpu", torch.bfloat16):
            head = make_head().float()
            masks = head.predict(pyramid, BOXES.float(), PAGE, LABELS)
            loss = head.loss(pyramid, BOXES.float(), PAGE, LABELS, OUTLINES)
        assert masks.dtype == loss.dtype == torch.float32
