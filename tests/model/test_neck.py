"""ViT to pyramid and FPN: shapes, the norm, and sums by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from lmv3det.model.neck import FPN, ViTPyramid


def maps(channels: int = 4, pages: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(pages, channels, 6, 4, generator=generator) + 1 for _ in range(4)]


def test_strides_of_the_pyramid() -> None:
    scaled = ViTPyramid(4)(maps())
    assert [tuple(m.shape) for m in scaled] == [
        (2, 4, 24, 16),
        (2, 4, 12, 8),
        (2, 4, 6, 4),
        (2, 4, 3, 2),
    ]
    levels = FPN([4] * 4, 5)(scaled)
    assert [tuple(m.shape) for m in levels] == [
        (2, 5, 24, 16),
        (2, 5, 12, 8),
        (2, 5, 6, 4),
        (2, 5, 3, 2),
        (2, 5, 2, 1),  # p6: every second cell of p5, the first one kept
    ]


def test_third_map_is_left_alone_and_fourth_is_the_largest_of_four() -> None:
    given = maps()
    scaled = ViTPyramid(4)(given)
    assert scaled[2] is given[2]
    expected = given[3].unflatten(3, (2, 2)).unflatten(2, (3, 2)).amax(dim=(3, 5))
    torch.testing.assert_close(scaled[3], expected, atol=0, rtol=0)


def test_batch_norm_learns_running_values() -> None:
    pyramid = ViTPyramid(4)
    norm = pyramid.up4[1]
    assert isinstance(norm, nn.BatchNorm2d)
    before = norm.running_mean.clone()
    pyramid.train()(maps())
    assert not torch.equal(norm.running_mean, before)
    kept = norm.running_mean.clone()
    pyramid.eval()(maps())
    assert torch.equal(norm.running_mean, kept)


def test_frozen_norm_keeps_its_values_and_is_the_same_in_training() -> None:
    pyramid = ViTPyramid(4, norm="frozen")
    norm = pyramid.up4[1]
    assert isinstance(norm, FrozenBatchNorm2d)
    with torch.no_grad():
        norm.running_mean.fill_(0.5)
        norm.running_var.fill_(4.0)
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    trained = pyramid.train()(maps())
    sum(m.sum() for m in trained).backward()
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())
    assert not list(norm.parameters())
    assert all(buffer.grad is None for buffer in norm.buffers())
    assert all(p.grad is not None for p in pyramid.parameters())
    for a, b in zip(trained, pyramid.eval()(maps()), strict=True):
        torch.testing.assert_close(a, b, atol=0, rtol=0)
    # Of one page alone the same as in a batch, which a batch's own statistics would not give.
    torch.testing.assert_close(pyramid.train()([m[:1] for m in maps()])[0], trained[0][:1])


def test_frozen_norm_takes_the_running_values_of_a_learnt_one() -> None:
    learnt = ViTPyramid(4)
    learnt.train()(maps())
    frozen = ViTPyramid(4, norm="frozen")
    frozen.load_state_dict(learnt.state_dict())
    with torch.no_grad():
        expected, got = learnt.eval()(maps())[0], frozen(maps())[0]
    torch.testing.assert_close(got, expected)


def test_unknown_norm() -> None:
    with pytest.raises(KeyError):
        ViTPyramid(4, norm="layer")


def identity_fpn() -> FPN:
    """Lateral and output convolutions that pass their one channel on."""
    fpn = FPN([1] * 4, 1)
    with torch.no_grad():
        for lateral in fpn.lateral:
            lateral.weight.fill_(1.0)
        for output in fpn.output:
            output.weight.zero_()
            output.weight[0, 0, 1, 1] = 1.0
    return fpn


def test_top_down_path_by_hand() -> None:
    """Constant maps 1, 2, 4, 8 (finest first): each level is itself and all above it."""
    given = [
        torch.full((1, 1, 8 * 2**n, 6 * 2**n), float(value))
        for n, value in zip((3, 2, 1, 0), (1, 2, 4, 8), strict=True)
    ]
    levels = identity_fpn()(given)
    for level, expected in zip(levels, (15, 14, 12, 8, 8), strict=True):
        assert (level == expected).all()


def test_upsampling_repeats_each_cell() -> None:
    given = [torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 4, 4)]
    top = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    levels = identity_fpn()([*given, top])
    expected = top.repeat_interleave(8, 2).repeat_interleave(8, 3)
    assert torch.equal(levels[0], expected)


def test_p6_is_every_second_cell_of_p5() -> None:
    fpn = FPN([2] * 4, 3)
    given = [torch.randn(1, 2, 5 * 2**n, 7 * 2**n) for n in (3, 2, 1, 0)]
    *_, p5, p6 = fpn(given)
    assert torch.equal(p6, p5[:, :, ::2, ::2])


def test_number_of_maps_must_be_that_of_the_levels() -> None:
    with pytest.raises(ValueError):
        FPN([1] * 4, 1)([torch.zeros(1, 1, 4, 4)] * 3)
