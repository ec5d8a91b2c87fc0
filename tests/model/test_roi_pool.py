"""Pooling of regions: the level rule, exact averages, order, dtypes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.ops import roi_align

from lmv3det.model.roi_pool import ROIPooler, assign_level

PAGE = 256  # pixels each way


def square(side: float) -> list[float]:
    return [0.0, 0.0, side, side]


def pyramid(pages: int = 2, channels: int = 3) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    sizes = [PAGE // stride for stride in (4, 8, 16, 32, 64)]
    return [
        torch.randn(pages, channels, n, n, generator=generator, dtype=torch.float64) for n in sizes
    ]


def boxes_of_all_sizes(number: int = 40) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    corner = torch.rand(number, 2, generator=generator, dtype=torch.float64) * 100
    side = 20 * 20 ** torch.rand(number, 2, generator=generator, dtype=torch.float64)
    page = torch.randint(0, 2, (number,), generator=generator)
    return torch.cat([corner, corner + side], dim=1), page


def ramp(stride: int, height: int = PAGE, width: int = PAGE) -> Tensor:
    """One channel x, one y: the coordinates in pixels of the centres of the cells."""
    y, x = torch.meshgrid(
        (torch.arange(height // stride, dtype=torch.float64) + 0.5) * stride,
        (torch.arange(width // stride, dtype=torch.float64) + 0.5) * stride,
        indexing="ij",
    )
    return torch.stack([x, y]).unsqueeze(0)


def test_levels_by_hand() -> None:
    sides = [1, 56, 111, 113, 223, 225, 447, 449, 4000]
    boxes = torch.tensor([square(side) for side in sides], dtype=torch.float64)
    assert assign_level(boxes).tolist() == [0, 0, 0, 1, 1, 2, 2, 3, 3]


def test_only_the_area_counts() -> None:
    boxes = torch.tensor([[10.0, 20, 10 + 4 * 120, 20 + 30], square(120)])
    assert assign_level(boxes).tolist() == [1, 1]


def test_a_side_of_exactly_224_is_level_4_and_the_epsilon_decides_just_below() -> None:
    """log2(side / 224 + 1e-8) reaches 0 for sides down to 224 · (1 - 1e-8)."""
    sides = [224.0, 224 * (1 - 0.5e-8), 224 * (1 - 2e-8)]
    boxes = torch.tensor([square(side) for side in sides], dtype=torch.float64)
    assert assign_level(boxes).tolist() == [2, 2, 1]


def test_empty_box_is_on_the_finest_level() -> None:
    assert assign_level(torch.tensor([[5.0, 5, 5, 9]])).tolist() == [0]


def test_first_and_last_level() -> None:
    boxes = torch.tensor([square(1), square(224), square(5000)])
    assert assign_level(boxes, first=3, last=4).tolist() == [0, 1, 1]


@pytest.mark.parametrize("ratio", [0, 2])
def test_each_region_comes_from_its_own_level_and_page_in_its_own_row(ratio: int) -> None:
    features, (boxes, page) = pyramid(), boxes_of_all_sizes()
    level = assign_level(boxes)
    assert set(level.tolist()) == {0, 1, 2}
    pooled = ROIPooler(7, sampling_ratio=ratio)(features, boxes, page)
    assert pooled.shape == (40, 3, 7, 7)
    for row in range(40):
        n = int(level[row])
        own = features[n][page[row] : page[row] + 1]
        expected = roi_align(own, [boxes[row : row + 1]], 7, 1 / (4 * 2**n), ratio or -1, True)
        torch.testing.assert_close(pooled[row : row + 1], expected)


@pytest.mark.parametrize("ratio", [0, 2])
def test_a_linear_map_gives_the_centres_of_the_cells(ratio: int) -> None:
    """The average of x and y over a cell is at its centre: no half-cell shift."""
    features = [ramp(stride) for stride in (4, 8, 16, 32)]
    boxes = torch.tensor([[40.0, 48, 110, 97], [70, 66, 203, 213]], dtype=torch.float64)
    assert assign_level(boxes).tolist() == [0, 1]
    pooled = ROIPooler(7, sampling_ratio=ratio)(features, boxes, torch.zeros(2).long())
    cells = (torch.arange(7, dtype=torch.float64) + 0.5) / 7
    for box, got in zip(boxes, pooled, strict=True):
        x = box[0] + cells * (box[2] - box[0])
        y = box[1] + cells * (box[3] - box[1])
        torch.testing.assert_close(got[0], x.expand(7, 7))
        torch.testing.assert_close(got[1], y.unsqueeze(1).expand(7, 7))


def test_no_boxes() -> None:
    features = [level.requires_grad_() for level in pyramid()]
    pooled = ROIPooler(7)(features, torch.zeros(0, 4).double(), torch.zeros(0).long())
    assert pooled.shape == (0, 3, 7, 7)
    pooled.sum().backward()
    assert all((level.grad == 0).all() for level in features[:4])


def test_one_level() -> None:
    features, (boxes, page) = pyramid()[2:3], boxes_of_all_sizes(5)
    rois = torch.cat([page.double().unsqueeze(1), boxes], dim=1)
    expected = roi_align(features[0], rois, 3, 1 / 16, 2, True)
    torch.testing.assert_close(ROIPooler(3, (16,), 2)(features, boxes, page), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("strides", [(4,), (4, 8, 16, 32)])
def test_half_precision_features_are_pooled_at_the_boxes_exact_place(dtype, strides) -> None:
    """Boxes rounded to bfloat16 would be pooled up to 2 pixels away from where they are."""
    box = torch.tensor([[903.3, 701.2, 961.7, 760.4]])
    features = [ramp(stride, 1024, 1024).float() for stride in strides]
    exact = ROIPooler(7, strides, 2)(features, box, torch.zeros(1).long())
    # Differences of place, not of size, survive in half precision.
    shifted = [level - torch.tensor([930.0, 730.0]).view(2, 1, 1) for level in features]
    pooled = ROIPooler(7, strides, 2)(
        [level.to(dtype) for level in shifted], box, torch.zeros(1).long()
    )
    assert pooled.dtype == dtype
    moved = pooled.float() - (exact - torch.tensor([930.0, 730.0]).view(2, 1, 1))
    assert moved.abs().max() < 0.2


def test_boxes_that_are_no_numbers_do_not_stop_the_others() -> None:
    features = pyramid(1)
    boxes = torch.tensor([[0.0, 0, 40, 40], [float("nan")] * 4, [3.0, float("nan"), 50, 60]])
    pooled = ROIPooler(7)(features, boxes.double(), torch.zeros(3).long())
    alone = ROIPooler(7)(features, boxes[:1].double(), torch.zeros(1).long())
    torch.testing.assert_close(pooled[:1], alone)
    assert pooled.isfinite().all()
