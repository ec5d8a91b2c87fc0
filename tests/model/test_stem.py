"""The convolutional stem: strides, its start, and a detector that stands on it."""

from __future__ import annotations

import pytest
import torch
from tiny_detector import tiny_config

from lmv3det.errors import InputError
from lmv3det.model.detector import build_detector
from lmv3det.model.stem import ConvStem, ResidualBlock
from lmv3det.structures import Batch, Target

STEM = {"stem": "conv", "stem_channels": [8, 12, 16]}


def test_strides_and_channels() -> None:
    maps = ConvStem(20, (8, 12, 16), 1)(torch.rand(2, 3, 64, 96))
    assert [tuple(m.shape) for m in maps] == [(2, 8, 16, 24), (2, 12, 8, 12), (2, 20, 4, 6)]


def test_a_cell_lies_where_its_pixels_are() -> None:
    stem = ConvStem(20, (8, 12, 16), 0).eval()
    blank = torch.zeros(1, 3, 128, 128)
    marked = blank.clone()
    marked[..., 64:68, 96:100] = 1.0
    with torch.no_grad():
        changes = [(a - b).abs().sum(1)[0] for a, b in zip(stem(marked), stem(blank), strict=True)]
    for change, stride in zip(changes, (4, 8, 16), strict=True):
        ys, xs = change.nonzero(as_tuple=True)
        assert ys.min() <= 64 // stride <= ys.max() and xs.min() <= 96 // stride <= xs.max()
        # Three convolutions of stride 2 see a few cells around, not the page.
        assert (ys.max() - ys.min()) * stride < 64 and (xs.max() - xs.min()) * stride < 64


def test_residual_blocks_start_as_the_identity() -> None:
    x = torch.rand(2, 8, 6, 6)  # what a ReLU gives
    assert torch.equal(ResidualBlock(8)(x), x)


def test_a_detector_learns_through_its_stem() -> None:
    config = tiny_config(
        backbone=STEM, model={"mask_on": False}, text={"selection": "first"},
        fusion={"kind": "additive", "levels": [3]},
    )  # fmt: skip
    torch.manual_seed(0)
    detector = build_detector(config)
    batch = Batch(torch.rand(1, 3, 96, 64), [(96, 64)])
    batch.input_ids, batch.text_mask = torch.tensor([[5, 6]]), torch.ones(1, 2, dtype=torch.bool)
    batch.text_boxes = torch.tensor([[[100, 100, 800, 200]] * 2])
    batch.targets = [Target(torch.tensor([[8.0, 8.0, 50.0, 30.0]]), torch.tensor([1]))]
    pyramid, _ = detector.features(batch)
    assert [tuple(m.shape[2:]) for m in pyramid] == [(24, 16), (12, 8), (6, 4), (3, 2), (2, 1)]
    sum(detector.losses(batch).values()).backward()
    stem = detector.backbone.patch_embedding
    assert all(p.grad is not None and p.grad.isfinite().all() for p in stem.parameters())
    assert stem.first[0].weight.grad.abs().sum() > 0


def test_the_default_is_the_patch_embedding() -> None:
    weights = build_detector(tiny_config()).state_dict()
    assert weights["backbone.patch_embedding.weight"].shape == (32, 3, 16, 16)
    assert {n.split(".")[1] for n in weights if n.startswith("pyramid.")} == {"up4", "up2"}


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"backbone": {**STEM, "stem_channels": [8, 16]}}, "three numbers"),
        ({"backbone": {**STEM, "stem_blocks": -1}}, "stem_blocks"),
        (
            {"backbone": STEM, "text": {"selection": "first"},
             "fusion": {"kind": "additive", "levels": [2, 3]}},
            "level 3 or higher",
        ),
    ],
)  # fmt: skip
def test_faults_are_named(sections, message: str) -> None:
    with pytest.raises(InputError, match=message):
        tiny_config(**sections)
