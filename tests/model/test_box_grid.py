"""The box-to-grid map against hand-made cases, brute force, the original's tables and itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lmv3det.model.box_grid import cell_ranges, count_boxes, scatter

PARITY = Path(__file__).parents[1] / "parity"
CASES = ("tall", "wide", "early_stop", "square")


@pytest.fixture(scope="module")
def fixture() -> dict[str, np.ndarray]:
    with np.load(PARITY / "fusion.npz", allow_pickle=False) as stored:
        return dict(stored)


def brute_force(text: Tensor, boxes: Tensor, valid: Tensor, height: int, width: int) -> Tensor:
    """One box after another, with the plain definition of the cells in numpy's float32."""
    painted = torch.zeros(len(text), text.shape[2], height, width, dtype=text.dtype)
    for page in range(len(text)):
        for token in range(text.shape[1]):
            if not valid[page, token]:
                continue
            x0, y0, x1, y1 = boxes[page, token].numpy().astype(np.float32) / np.float32(1000)
            columns = slice(int(x0 * np.float32(width)), int(x1 * np.float32(width)) + 1)
            rows = slice(int(y0 * np.float32(height)), int(y1 * np.float32(height)) + 1)
            painted[page, :, rows, columns] += text[page, token][:, None, None]
    return painted


def random_case(seed: int, batch: int = 2, tokens: int = 9, channels: int = 3):
    generator = torch.Generator().manual_seed(seed)
    corners = torch.randint(0, 1001, (batch, tokens, 2, 2), generator=generator)
    boxes = corners.sort(dim=2).values.flatten(2)  # x0 y0 x1 y1
    text = torch.randn(batch, tokens, channels, dtype=torch.float64, generator=generator)
    valid = torch.rand(batch, tokens, generator=generator) < 0.8
    return text, boxes, valid


def test_by_hand() -> None:
    """A 2×4 grid: rows change at 500, columns at 250, 500, 750; both ends are painted."""
    text = torch.tensor([[[1.0], [10.0], [100.0]]])
    boxes = torch.tensor([[[0, 0, 249, 1000], [250, 0, 500, 499], [300, 500, 999, 600]]])
    painted = scatter(text, boxes, torch.ones(1, 3, dtype=torch.bool), 2, 4)
    assert painted.shape == (1, 1, 2, 4)
    assert painted[0, 0].tolist() == [[1, 10, 10, 0], [1, 100, 100, 100]]


def test_cells_of_the_original(fixture) -> None:
    """Every coordinate 0..1000 at every tabulated grid size, for x and for y."""
    values = torch.arange(1001)
    for size, cells in zip(fixture["scale.sizes"], fixture["scale.cell"], strict=True):
        expected = torch.from_numpy(cells.astype(np.int64))
        last = expected.clamp(max=int(size) - 1)
        for boxes in (values.unsqueeze(1).expand(-1, 4), values.unsqueeze(1).repeat(1, 4).float()):
            x0, y0, x1, y1 = cell_ranges(boxes, int(size), int(size)).unbind(-1)
            assert torch.equal(x0, expected) and torch.equal(y0, expected)
            assert torch.equal(x1, last) and torch.equal(y1, last)


def test_float32_arithmetic_differs_from_integers(fixture) -> None:
    """The table tells the original's rounding from exact division, which must not be used."""
    values = torch.arange(1001)
    differing = [
        int(((values * int(size)) // 1000 != torch.from_numpy(cells.astype(np.int64))).sum())
        for size, cells in zip(fixture["scale.sizes"], fixture["scale.cell"], strict=True)
    ]
    assert differing == fixture["scale.differs_from_integer_floor"].tolist() and sum(differing) > 0


@pytest.mark.parametrize("case", CASES)
def test_painted_of_the_original(fixture, case: str) -> None:
    text, boxes, feat = (torch.from_numpy(fixture[f"{case}.{k}"]) for k in ("text", "bbox", "feat"))
    painted = scatter(text, boxes, (boxes != 0).any(-1), *feat.shape[2:])
    expected = torch.from_numpy(fixture[f"{case}.axis_and_padding_fixed.painted"])
    torch.testing.assert_close(painted, expected, rtol=0, atol=1e-9)


def test_x_is_for_columns(fixture) -> None:
    """Known mistake: x scaled by the height and used for rows. The original's own painting is that
    of the swapped boxes, and differs from the right one."""
    text, boxes, feat = (torch.from_numpy(fixture[f"tall.{k}"]) for k in ("text", "bbox", "feat"))
    swapped = scatter(text, boxes[..., [1, 0, 3, 2]], (boxes != 0).any(-1), *feat.shape[2:])
    mistaken = torch.from_numpy(fixture["tall.as_is.painted"])
    right = torch.from_numpy(fixture["tall.axis_and_padding_fixed.painted"])
    torch.testing.assert_close(swapped, mistaken, rtol=0, atol=1e-9)
    assert (mistaken - right).abs().max() > 0.1


def test_a_line_at_the_corner_does_not_end_the_page(fixture) -> None:
    """Known mistake: painting stops at the first box whose scaled numbers are all 0."""
    text, boxes, feat = (
        torch.from_numpy(fixture[f"early_stop.{k}"]) for k in ("text", "bbox", "feat")
    )
    valid = (boxes != 0).any(-1)
    size = feat.shape[2:]
    x0, y0, x1, y1 = cell_ranges(boxes, *size).unbind(-1)
    before_end = ((x0 + y0 + x1 + y1) != 0).long().cumprod(1).bool()
    stopped = scatter(text, boxes, before_end, *size)
    mistaken = torch.from_numpy(fixture["early_stop.axis_fixed.painted"])
    torch.testing.assert_close(stopped, mistaken, rtol=0, atol=1e-9)
    assert (scatter(text, boxes, valid, *size) - mistaken).abs().max() > 0.1


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    batch=st.integers(1, 3),
    tokens=st.integers(0, 12),
    height=st.integers(1, 26),
    width=st.integers(1, 26),
)
def test_map_is_brute_force(seed: int, batch: int, tokens: int, height: int, width: int) -> None:
    text, boxes, valid = random_case(seed, batch, tokens)
    painted = scatter(text, boxes, valid, height, width)
    expected = brute_force(text, boxes, valid, height, width)
    torch.testing.assert_close(painted, expected, rtol=0, atol=1e-12)
    covered = brute_force(torch.ones_like(text[..., :1]), boxes, valid, height, width) > 0
    assert (painted[~covered.expand_as(painted)] == 0).all(), "uncovered cells are exactly zero"
    counts = count_boxes(boxes, valid, height, width)
    assert torch.equal(
        counts.double(), brute_force(torch.ones_like(text[..., :1]), boxes, valid, height, width)
    )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), height=st.sampled_from([8, 12, 13]), fraction=st.floats(0.2, 1))
def test_boxes_may_be_floats(seed: int, height: int, fraction: float) -> None:
    text, boxes, valid = random_case(seed)
    scaled = boxes.float() * fraction
    painted = scatter(text, scaled, valid, height, 10)
    torch.testing.assert_close(painted, brute_force(text, scaled, valid, height, 10))


def test_mean_is_sum_over_count() -> None:
    text, boxes, valid = random_case(3, tokens=20)
    ones = torch.ones_like(text)
    count = brute_force(ones, boxes, valid, 9, 7)
    expected = brute_force(text, boxes, valid, 9, 7) / count.clamp(min=1)
    assert (count > 1).any() and (count == 0).any()
    torch.testing.assert_close(scatter(text, boxes, valid, 9, 7, "mean"), expected)


def test_another_reduce_is_refused() -> None:
    with pytest.raises(ValueError, match="'max'; it must be 'sum' or 'mean'"):
        scatter(*random_case(0), 4, 4, reduce="max")


def test_boxes_outside_and_reversed() -> None:
    """Cut at the grid; a box that starts at the far edge, or reversed, covers nothing."""
    boxes = torch.tensor(
        [[[-50, -50, 200, 200], [1000, 0, 1000, 1000], [600, 600, 1500, 1500], [900, 0, 100, 900]]]
    )
    text = torch.tensor([[[1.0], [10.0], [100.0], [1000.0]]])
    painted = scatter(text, boxes, torch.ones(1, 4, dtype=torch.bool), 2, 2)
    assert painted[0, 0].tolist() == [[1, 0], [0, 100]]


@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_gradcheck(reduce: str) -> None:
    text, boxes, valid = random_case(5, tokens=6)
    text.requires_grad_()
    assert torch.autograd.gradcheck(lambda t: scatter(t, boxes, valid, 8, 5, reduce), text)


def test_gradients_are_the_same_every_time() -> None:
    text, boxes, valid = random_case(11, tokens=60)
    text = text.float()
    weight = torch.randn(2, 3, 24, 16)
    gradients = []
    for _ in range(3):
        leaf = text.clone().requires_grad_()
        (scatter(leaf, boxes, valid, 24, 16) * weight).sum().backward()
        gradients.append(leaf.grad)
    assert all(torch.equal(gradients[0], other) for other in gradients[1:])


def test_nothing_is_written_in_place() -> None:
    """Known mistake: in-place writes on tensors that autograd needs. The loop of the notes fails
    where the map it paints on is also an input of the product before it."""
    text, boxes, valid = random_case(2, tokens=5)
    text.requires_grad_()
    visual = torch.randn(2, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    squared = visual.exp()  # its gradient needs its own value
    painted = squared
    for page in range(2):
        painted[page, :, 2:4, 3:6] += text[page, 0][:, None, None]
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        painted.sum().backward()
    before = (text.detach().clone(), boxes.clone(), valid.clone())
    squared = visual.exp()
    (squared + scatter(text, boxes, valid, 8, 8)).sum().backward()
    torch.testing.assert_close(visual.grad, visual.detach().exp())
    assert torch.equal(text, before[0]) and torch.equal(boxes, before[1])
    assert torch.equal(valid, before[2])


def test_what_stands_at_other_tokens_is_not_read() -> None:
    text, boxes, valid = random_case(7)
    valid[:, 2] = False
    spoilt = text.clone()
    spoilt[~valid] = float("nan")
    spoilt.requires_grad_()
    painted = scatter(spoilt, boxes, valid, 8, 8)
    assert torch.equal(painted, scatter(text, boxes, valid, 8, 8))
    painted.sum().backward()
    assert spoilt.grad is not None and (spoilt.grad[~valid] == 0).all()


def test_no_text_and_fully_masked() -> None:
    text, boxes, valid = random_case(1)
    nothing = torch.zeros_like(valid)
    masked = text.clone().requires_grad_()
    painted = scatter(masked, boxes, nothing, 4, 6)
    assert painted.shape == (2, 3, 4, 6) and (painted == 0).all()
    painted.sum().backward()
    assert masked.grad is not None and (masked.grad == 0).all()
    for reduce in ("sum", "mean"):
        empty = scatter(text[:, :0], boxes[:, :0], valid[:, :0], 4, 6, reduce)
        assert empty.shape == (2, 3, 4, 6) and (empty == 0).all()


def test_dtypes() -> None:
    text, boxes, valid = random_case(4)
    assert scatter(text, boxes, valid, 8, 8).dtype == torch.float64
    assert scatter(text.float(), boxes, valid, 8, 8).dtype == torch.float32
    assert scatter(text.half(), boxes, valid, 8, 8).dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        within = scatter(text.float(), boxes, valid, 8, 8, "mean")
    assert torch.equal(within, scatter(text.float(), boxes, valid, 8, 8, "mean"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_without_synchronisation() -> None:
    text, boxes, valid = (part.cuda() for part in random_case(9, tokens=30))
    text.requires_grad_()
    torch.cuda.set_sync_debug_mode("error")
    try:
        painted = scatter(text, boxes, valid, 25, 19, "mean")
        painted.square().sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    host = [part.detach().cpu() for part in (text, boxes, valid)]
    torch.testing.assert_close(painted.cpu(), scatter(*host, 25, 19, "mean"))


def test_one_band_gives_the_same_as_many(monkeypatch) -> None:
    """The path of a GPU, where a page is one band of all tokens."""
    text, boxes, valid = random_case(8, tokens=15)
    expected = scatter(text, boxes, valid, 16, 9)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    torch.testing.assert_close(scatter(text, boxes, valid, 16, 9), expected)


def test_tokens_may_come_in_any_order() -> None:
    text, boxes, valid = random_case(6, tokens=12)
    order = torch.randperm(12)
    shuffled = scatter(text[:, order], boxes[:, order], valid[:, order], 8, 8)
    torch.testing.assert_close(shuffled, scatter(text, boxes, valid, 8, 8))
