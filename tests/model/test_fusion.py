"""The fusions by themselves, against the original's arrays, and inside a small detector."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lmv3det.config import Config, from_dict
from lmv3det.errors import InputError
from lmv3det.model.backbone import LayoutLMv3, visual_boxes
from lmv3det.model.box_grid import count_boxes, scatter
from lmv3det.model.detector import build_detector, build_fusion, canvas_boxes
from lmv3det.model.fusion import (
    FUSIONS,
    AdditiveFusion,
    ConcatFusion,
    Fusion,
    GatedFusion,
    ROIFusion,
    VSRFusion,
)
from lmv3det.structures import Batch, Target

PARITY = Path(__file__).parents[1] / "parity"
CASES = ("tall", "wide", "early_stop", "square")
KINDS = ("none", "additive", "gated", "vsr", "concat", "roi")
LEVELS = (2, 3, 4, 5)


class HalfFusion(Fusion):
    """V + S/2: a fusion that a user might write, named in a config as `module:Class`."""

    def fuse(self, visual: Tensor, text: Tensor, level: int) -> Tensor:
        return visual + text / 2


# ------------------------------------------------------------------ the fusions by themselves


@pytest.fixture(scope="module")
def fixture() -> dict[str, np.ndarray]:
    with np.load(PARITY / "fusion.npz", allow_pickle=False) as stored:
        return dict(stored)


def run_last_level(fusion: Fusion, feat: Tensor, text: Tensor, boxes: Tensor, valid: Tensor):
    """Fuse level 5 alone; the finer maps and their text are not looked at."""
    others = [feat.new_zeros(1)] * 3
    return fusion.double()([*others, feat], [*others, text], boxes, valid)[0][3]


def load_case(fixture, case: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    feat, text, boxes = (torch.from_numpy(fixture[f"{case}.{k}"]) for k in ("feat", "text", "bbox"))
    return feat, text, boxes, (boxes != 0).any(-1)


def gated_with_weights(fixture, case: str, channels: int, **options) -> GatedFusion:
    fusion = GatedFusion(channels, **options).double()
    fusion.gate["p5"].weight.data = torch.from_numpy(fixture[f"{case}.score_weight"])
    fusion.gate["p5"].bias.data = torch.from_numpy(fixture[f"{case}.score_bias"])
    return fusion


@pytest.mark.parametrize("case", CASES)
def test_gated_of_the_original(fixture, case: str) -> None:
    feat, text, boxes, valid = load_case(fixture, case)
    fusion = gated_with_weights(fixture, case, feat.shape[1])
    expected = torch.from_numpy(fixture[f"{case}.axis_and_padding_fixed.gated"])
    fused = run_last_level(fusion, feat, text, boxes, valid)
    torch.testing.assert_close(fused, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_additive_and_concat_of_the_original(fixture, case: str) -> None:
    """The original stores both for its own painting; with the right one they follow from it."""
    feat, text, boxes, valid = load_case(fixture, case)
    channels = feat.shape[1]
    added = run_last_level(AdditiveFusion(channels), feat, text, boxes, valid)
    joined = run_last_level(ConcatFusion(channels), feat, text, boxes, valid)
    painted = torch.from_numpy(fixture[f"{case}.axis_and_padding_fixed.painted"])
    torch.testing.assert_close(added, feat + painted, rtol=0, atol=1e-9)
    torch.testing.assert_close(joined, torch.cat([feat, painted], dim=1), rtol=0, atol=1e-9)


@pytest.mark.parametrize("case", ("tall", "wide", "square"))
def test_known_mistake_of_the_axes(fixture, case: str) -> None:
    """x and y swapped: the original's stored sums, concatenations and gates are those of swapped
    boxes, through the same fusions, and differ from the right ones."""
    feat, text, boxes, valid = load_case(fixture, case)
    channels, swapped = feat.shape[1], boxes[..., [1, 0, 3, 2]]
    fusions = {
        "added": AdditiveFusion(channels),
        "concat": ConcatFusion(channels),
        "gated": gated_with_weights(fixture, case, channels),
    }
    for name, fusion in fusions.items():
        stored = torch.from_numpy(fixture[f"{case}.as_is.{name}"])
        mistaken = run_last_level(fusion, feat, text, swapped, valid)
        torch.testing.assert_close(mistaken, stored, rtol=0, atol=1e-9)
        right = run_last_level(fusion, feat, text, boxes, valid)
        assert (right - stored).abs().max() > 0.1, name


def random_inputs(levels: int = 4, channels: int = 4, tokens: int = 5):
    """Four maps of an 8×12 patch grid, four text states, boxes over the left half, valid."""
    generator = torch.Generator().manual_seed(0)
    sizes = [(32, 48), (16, 24), (8, 12), (4, 6)]
    maps = [torch.randn(2, channels, *s, dtype=torch.float64, generator=generator) for s in sizes]
    text = [
        torch.randn(2, tokens, channels, dtype=torch.float64, generator=generator) for _ in maps
    ]
    corners = torch.rand(2, tokens, 2, 2, generator=generator).sort(dim=2).values
    boxes = (corners * torch.tensor([450.0, 900.0])).flatten(2)
    valid = torch.ones(2, tokens, dtype=torch.bool)
    valid[1, 3:] = False
    return maps, text, boxes, valid


@pytest.mark.parametrize("kind", ["gated", "vsr"])
def test_gates_start_even(kind: str) -> None:
    """Untrained, every cell is weighed alike, whatever the size of the text map."""
    torch.manual_seed(0)
    fusion = FUSIONS[kind](96, levels=[3])
    visual, text = torch.randn(2, 96, 12, 9), 3 * torch.randn(2, 96, 12, 9)
    fused = fusion.fuse(visual, text, 3)
    even = (visual + text) / 2
    assert ((fused - even).abs() <= 0.2 * (visual - text).abs() + 1e-5).all()  # weights 0.3 … 0.7


@pytest.mark.parametrize("levels", [(5,), (2, 4), (2, 3, 4, 5)])
@pytest.mark.parametrize("kind", ["additive", "gated", "vsr", "concat"])
def test_only_the_chosen_levels_change(kind: str, levels: tuple[int, ...]) -> None:
    maps, text, boxes, valid = random_inputs()
    fusion = FUSIONS[kind](4, levels=levels).double()
    fused, text_maps = fusion(maps, text, boxes, valid)
    assert text_maps is None
    for level, before, after, channels in zip(
        LEVELS, maps, fused, fusion.out_channels(), strict=True
    ):
        assert after.shape[1] == channels and after.shape[2:] == before.shape[2:]
        assert (after is before) == (level not in levels)


def test_formulas_by_hand() -> None:
    """Every fusion written out for one level, with the text state of that level."""
    maps, text, boxes, valid = random_inputs()
    visual, s = maps[1], scatter(text[1], boxes, valid, 16, 24)
    gated = GatedFusion(4, levels=[3]).double()
    g = torch.sigmoid(F.relu(gated.gate["p3"](visual + s)))
    assert torch.allclose(gated(maps, text, boxes, valid)[0][1], g * visual + (1 - g) * s)
    free = GatedFusion(4, levels=[3], gate_relu=False).double()
    free.load_state_dict(gated.state_dict())
    h = torch.sigmoid(gated.gate["p3"](visual + s))
    assert torch.allclose(free(maps, text, boxes, valid)[0][1], h * visual + (1 - h) * s)
    assert (g >= 0.5).all() and (h < 0.5).any(), "the ReLU keeps vision at a half or more"
    vsr = VSRFusion(4, levels=[3]).double()
    a = torch.sigmoid(vsr.attention["p3"](torch.cat([visual, s], dim=1)))
    assert a.shape == visual.shape, "one weight for each channel"
    assert torch.allclose(vsr(maps, text, boxes, valid)[0][1], a * visual + (1 - a) * s)
    mean = AdditiveFusion(4, levels=[3], reduce="mean")(maps, text, boxes, valid)[0][1]
    assert torch.allclose(mean, visual + scatter(text[1], boxes, valid, 16, 24, "mean"))


@pytest.mark.parametrize("kind", ["additive", "gated", "vsr", "concat"])
def test_only_where_text(kind: str) -> None:
    """Off: the gated forms shrink V where no text is. On: V stays there, the rest is as before."""
    maps, text, boxes, valid = random_inputs()
    shrinking = FUSIONS[kind](4).double()
    keeping = FUSIONS[kind](4, only_where_text=True).double()
    keeping.load_state_dict(shrinking.state_dict())
    before, after = (f(maps, text, boxes, valid)[0][3] for f in (shrinking, keeping))
    covered = (count_boxes(boxes, valid, 4, 6) > 0).expand_as(after)
    visual = maps[3]
    if kind == "concat":
        visual = torch.cat([visual, torch.zeros_like(visual)], dim=1)
    assert covered.any() and not covered.all()
    assert torch.equal(after[covered], before[covered])
    assert torch.equal(after[~covered], visual[~covered])
    shrunk = not torch.allclose(before[~covered], visual[~covered])
    assert shrunk == (kind in ("gated", "vsr"))


def test_roi_keeps_the_maps_and_hands_the_text_on() -> None:
    maps, text, boxes, valid = random_inputs()
    fused, text_maps = ROIFusion(4, levels=[3, 5])(maps, text, boxes, valid)
    assert all(after is before for after, before in zip(fused, maps, strict=True))
    assert text_maps is not None and len(text_maps) == 2
    assert torch.equal(text_maps[0], scatter(text[1], boxes, valid, 16, 24))
    assert torch.equal(text_maps[1], scatter(text[3], boxes, valid, 4, 6))


@pytest.mark.parametrize("kind", sorted(FUSIONS))
def test_without_text_and_fully_masked(kind: str) -> None:
    maps, text, boxes, valid = random_inputs()
    fusion = FUSIONS[kind](4, levels=LEVELS).double()
    nothing = fusion(maps, None, boxes[:, :0], valid[:, :0])
    masked = fusion(maps, text, boxes, torch.zeros_like(valid))
    for one, other in zip(
        nothing[0] + (nothing[1] or []), masked[0] + (masked[1] or []), strict=True
    ):
        assert torch.equal(one, other)


@pytest.mark.parametrize("kind", sorted(FUSIONS))
@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_gradcheck(kind: str, reduce: str) -> None:
    """Gradients to the visual map, the text and the fusion's own weights."""
    _, text, boxes, valid = random_inputs(channels=2)
    visual = torch.randn(2, 2, 4, 3, dtype=torch.float64, requires_grad=True)
    state = text[3].requires_grad_()
    fusion = FUSIONS[kind](2, reduce=reduce).double()
    weights = [p.detach().clone().requires_grad_() for p in fusion.parameters()]
    names = [name for name, _ in fusion.named_parameters()]
    others = [visual.new_zeros(1)] * 3

    def run(visual: Tensor, state: Tensor, *values: Tensor) -> Tensor:
        inputs = ([*others, visual], [*others, state], boxes, valid)
        given = dict(zip(names, values, strict=True))
        fused, text_maps = torch.func.functional_call(fusion, given, inputs)
        return text_maps[0] if text_maps else fused[3]

    if kind == "roi":
        assert torch.autograd.gradcheck(lambda s: run(visual, s, *weights), (state,))
    else:
        assert torch.autograd.gradcheck(run, (visual, state, *weights))


def test_autocast_and_half_maps() -> None:
    """The text map is painted in float32 and joins a half-precision visual map in its type."""
    maps, text, boxes, valid = random_inputs()
    half = [m.bfloat16() for m in maps]
    states = [t.bfloat16() for t in text]
    for kind in FUSIONS:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            fused, text_maps = FUSIONS[kind](4)(half, states, boxes, valid)
        assert fused[3].dtype == torch.bfloat16 and fused[3].isfinite().all()
        assert text_maps is None or text_maps[0].dtype == torch.bfloat16


def test_the_base_class_says_what_to_override() -> None:
    with pytest.raises(TypeError, match=r"Fusion must override fuse\(visual, text, level\)"):
        Fusion(4)(*random_inputs())


# ------------------------------------------------------------------ the encoder's text


def tiny_config(kind: str = "none", **sections: dict) -> Config:
    values: dict[str, dict] = {
        "model": {"num_classes": 3, "mask_on": False},
        "backbone": {
            "hidden_size": 32,
            "layers": 4,
            "heads": 2,
            "intermediate_size": 48,
            "out_indices": [0, 1, 2, 3],
            "coordinate_size": 6,
            "shape_size": 4,
            "vocab_size": 40,
            "dropout": 0.0,
            "attention_dropout": 0.0,
        },
        "neck": {"out_channels": 16},
        "rpn": {"pre_nms_train": 60, "pre_nms_test": 40, "post_nms_train": 60, "post_nms_test": 30},
        "roi": {"fc_dim": 24, "batch_size_per_image": 24, "sampling_ratio": 2},
        "mask": {"dim": 8, "convs": 2, "sampling_ratio": 2},
        "text": {"selection": "first"},
        "fusion": {"kind": kind},
        "relation": {"dim": 16, "heads": 2},
        "test": {"score_threshold": 0.0},
    }
    for name, section in sections.items():
        values[name].update(section)
    return from_dict(values)


def make_batch(lengths: list[int], seed: int = 0, size: tuple[int, int] = (96, 128)) -> Batch:
    """Random pages of one size with so many tokens each, padded to the longest."""
    generator = torch.Generator().manual_seed(seed)
    height, width = size
    pages = []
    for length in lengths:
        image = torch.randn(3, height, width, dtype=torch.float64, generator=generator)
        ids = torch.randint(2, 40, (length,), generator=generator)
        corners = torch.randint(0, 1001, (length, 2, 2), generator=generator)
        pages.append((image, ids, corners.sort(dim=1).values.flatten(1)))
    longest = max(lengths)
    return Batch(
        images=torch.stack([image for image, _, _ in pages]),
        image_sizes=[size] * len(pages),
        input_ids=torch.stack([F.pad(i, (0, longest - len(i)), value=1) for _, i, _ in pages]),
        text_boxes=torch.stack([F.pad(b, (0, 0, 0, longest - len(b))) for _, _, b in pages]),
        text_mask=torch.stack([torch.arange(longest) < len(i) for _, i, _ in pages]),
        targets=[
            Target(
                torch.tensor([[8.0, 8.0, 60.0, 40.0], [20.0, 50.0, 120.0, 90.0]]).double(),
                torch.tensor([0, 2]),
                [[outline(8, 8, 60, 40)], [outline(20, 50, 120, 90)]],
            )
            for _ in pages
        ],
    )


def outline(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], dtype=np.float64)


def page_of(batch: Batch, number: int) -> Batch:
    """One page of a batch alone, its text cut to its own tokens."""
    assert batch.input_ids is not None and batch.text_boxes is not None
    assert batch.text_mask is not None and batch.targets is not None
    length = int(batch.text_mask[number].sum())
    one = slice(number, number + 1)
    return Batch(
        batch.images[one],
        batch.image_sizes[one],
        batch.input_ids[one, :length],
        batch.text_boxes[one, :length],
        batch.text_mask[one, :length],
        batch.targets[one],
    )


def tiny_encoder(**options) -> LayoutLMv3:
    torch.manual_seed(0)
    encoder = LayoutLMv3(
        hidden_size=32,
        layers=3,
        heads=2,
        intermediate_size=48,
        out_indices=(0, 1, 2),
        use_text=True,
        coordinate_size=6,
        shape_size=4,
        vocab_size=40,
        **options,
    )
    return encoder.double().eval()


def encode(encoder: LayoutLMv3, batch: Batch, mask: bool = True):
    seen = batch.text_mask if mask else None
    return encoder(batch.images, batch.input_ids, batch.text_boxes, seen)


def test_known_mistake_padding_attended_to() -> None:
    """A page's visual and text states are the same alone and beside a longer text; without the
    mask, as the notes run it, they are not."""
    encoder, batch = tiny_encoder(), make_batch([3, 11])
    alone_visual, alone_text = encode(encoder, page_of(batch, 0))
    visual, text = encode(encoder, batch)
    for one, both in zip(alone_visual, visual, strict=True):
        torch.testing.assert_close(both[:1], one, rtol=0, atol=1e-11)
    for one, both in zip(alone_text, text, strict=True):
        torch.testing.assert_close(both[:1, :3], one, rtol=0, atol=1e-11)
    mistaken, _ = encode(encoder, batch, mask=False)
    assert (mistaken[-1][:1] - alone_visual[-1]).abs().max() > 1e-6


def test_known_mistake_fixed_visual_boxes() -> None:
    """The spatial bias with boxes of a fixed 14×14 grid does not fit any other page."""
    encoder = tiny_encoder(spatial_bias=True)
    torch.nn.init.normal_(encoder.spatial_bias_x.weight)
    batch = make_batch([4, 4])
    visual, _ = encode(encoder, batch)
    assert visual[-1].shape[2:] == (6, 8) and visual[-1].isfinite().all()
    patches, _ = encoder.patches(batch.images)
    x, length, grid = encoder.embed(patches, batch.input_ids, batch.text_boxes, None)
    bias = encoder.attention_mask(x, length, grid, batch.text_boxes, batch.text_mask, None)
    assert bias.shape[-1] == x.shape[1] == 4 + 1 + 6 * 8
    fixed = torch.cat([batch.text_boxes, visual_boxes((14, 14)).expand(2, -1, -1)], dim=1)
    with pytest.raises(RuntimeError, match="size of tensor"):
        torch.zeros(2, 2, x.shape[1], x.shape[1]) + encoder.spatial_bias_x(fixed[..., 0])


def test_known_mistake_text_boxes_alone_for_the_spatial_bias() -> None:
    """Every pair of text and patches has the bias of its own two boxes: x0 for x, y1 for y."""
    encoder = tiny_encoder(spatial_bias=True)
    for table in (encoder.spatial_bias_x, encoder.spatial_bias_y):
        torch.nn.init.normal_(table.weight)
    batch = make_batch([4, 4])
    patches, _ = encoder.patches(batch.images)
    x, length, grid = encoder.embed(patches, batch.input_ids, batch.text_boxes, None)
    bias = encoder.attention_mask(x, length, grid, batch.text_boxes, None, None)
    joint = torch.cat([batch.text_boxes, visual_boxes(grid).expand(2, -1, -1)], dim=1)
    query, key = 2, length + 1 + 3 * 8 + 5  # a token, and the patch in row 3, column 5
    assert joint[0, key].tolist() == [625, 500, 750, 666]
    pair = joint[0, [query, key]]
    expected = encoder.spatial_bias_x(pair[:, 0]) + encoder.spatial_bias_y(pair[:, 3])
    torch.testing.assert_close(bias[0, :, query, key], expected[:, 0, 1] / 16**0.5)
    torch.testing.assert_close(bias[0, :, key, query], expected[:, 1, 0] / 16**0.5)
    text_alone = encoder.spatial_bias_x(batch.text_boxes[..., 0])  # B×h×T×T
    with pytest.raises(RuntimeError, match="size of tensor"):
        torch.zeros(2, 2, x.shape[1], x.shape[1]) + text_alone


def test_known_mistake_text_length_without_text() -> None:
    """No text, T = 0 and a fully masked text give the same visual states."""
    encoder, batch = tiny_encoder(), make_batch([4, 4])
    without, text = encoder(batch.images)
    assert text is None
    empty, text = encoder(
        batch.images, batch.input_ids[:, :0], batch.text_boxes[:, :0], batch.text_mask[:, :0]
    )
    assert text is None
    masked, _ = encoder(
        batch.images, batch.input_ids, batch.text_boxes, torch.zeros_like(batch.text_mask)
    )
    for one, other, third in zip(without, empty, masked, strict=True):
        assert torch.equal(one, other)
        torch.testing.assert_close(third, one, rtol=0, atol=1e-11)


def test_text_boxes_on_the_canvas() -> None:
    """A page of 96×64 on a canvas of 96×128: its right edge is the canvas's middle."""
    batch = make_batch([2])
    batch = dataclasses.replace(
        batch, image_sizes=[(96, 64)], text_boxes=torch.tensor([[[0, 0, 1000, 1000]] * 2])
    )
    boxes, valid = canvas_boxes(batch)
    assert boxes.tolist() == [[[0, 0, 500, 1000]] * 2] and valid.all()
    boxes, valid = canvas_boxes(dataclasses.replace(batch, input_ids=None))
    assert boxes.shape == (1, 0, 4) and valid.shape == (1, 0)


# ------------------------------------------------------------------ the whole detector


def tiny_detector(config: Config, seed: int = 0):
    torch.manual_seed(seed)
    return build_detector(config).double()


def assert_same_detections(one, other) -> None:
    assert len(one) == len(other) > 0
    torch.testing.assert_close(one.boxes, other.boxes, rtol=0, atol=1e-8)
    torch.testing.assert_close(one.scores, other.scores, rtol=0, atol=1e-10)
    assert torch.equal(one.classes, other.classes)


@pytest.mark.parametrize("kind", ["none", "gated", "roi"])
def test_a_page_is_the_same_alone_and_beside_a_longer_text(kind: str) -> None:
    detector = tiny_detector(tiny_config(kind)).eval()
    batch = make_batch([3, 12])
    together = detector.predict(batch)
    for number in (0, 1):
        assert_same_detections(detector.predict(page_of(batch, number))[0], together[number])


@pytest.mark.parametrize("kind", ["none", "gated", "concat", "roi"])
def test_empty_text_is_fully_masked_text(kind: str) -> None:
    detector = tiny_detector(tiny_config(kind)).eval()
    batch = make_batch([5, 5])
    masked = dataclasses.replace(batch, text_mask=torch.zeros_like(batch.text_mask))
    without = dataclasses.replace(batch, input_ids=None, text_boxes=None, text_mask=None)
    empty = dataclasses.replace(
        batch,
        input_ids=batch.input_ids[:, :0],
        text_boxes=batch.text_boxes[:, :0],
        text_mask=batch.text_mask[:, :0],
    )
    expected = detector.predict(masked)
    for other in (without, empty):
        for one, two in zip(expected, detector.predict(other), strict=True):
            assert_same_detections(one, two)


@pytest.mark.parametrize("kind", KINDS)
def test_losses_gradients_and_predictions(kind: str) -> None:
    """A batch of text, text of length 0, and pages without ground truth, through every system."""
    detector = tiny_detector(tiny_config(kind, fusion={"levels": [3, 5]}))
    batch = make_batch([6, 4])
    no_text = dataclasses.replace(
        batch,
        input_ids=batch.input_ids[:, :0],
        text_boxes=batch.text_boxes[:, :0],
        text_mask=batch.text_mask[:, :0],
    )
    nothing = Target(torch.zeros(0, 4).double(), torch.zeros(0, dtype=torch.int64), [])
    no_truth = dataclasses.replace(batch, targets=[nothing, nothing])
    half_truth = dataclasses.replace(batch, targets=[batch.targets[0], nothing])
    for kind_of_batch in (batch, no_text, no_truth, half_truth):
        detector.train().zero_grad()
        losses = detector(kind_of_batch)
        assert all(loss.isfinite() for loss in losses.values())
        sum(losses.values()).backward()
        gradients = [p.grad for p in detector.parameters() if p.grad is not None]
        assert all(gradient.isfinite().all() for gradient in gradients)
        found = detector.eval()(kind_of_batch)
        assert len(found) == 2 and all(page.boxes.isfinite().all() for page in found)


# Weights whose gradient is 0 by construction: adding a number to every key changes no softmax, and
# a BatchNorm takes away the bias before it.
WITHOUT_GRADIENT = ("attention.key.bias", "pyramid.up4.0.bias")


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_gets_a_gradient(kind: str) -> None:
    config = tiny_config(
        kind,
        model={"mask_on": True},
        fusion={"levels": [2, 3, 4, 5], "gate_relu": False},
        backbone={"relative_bias": True, "spatial_bias": True},
    )
    detector = tiny_detector(config).train()
    sum(detector.losses(make_batch([7, 5])).values()).backward()
    without = [
        name
        for name, parameter in detector.named_parameters()
        if parameter.grad is None or parameter.grad.abs().max() < 1e-13
    ]
    assert [name for name in without if not name.endswith(WITHOUT_GRADIENT)] == []
    for table in (detector.backbone.text_embedding.word, detector.backbone.text_embedding.position):
        assert (table.weight.grad[1] == 0).all(), "the padding id's row gets none"


def test_text_changes_what_is_found() -> None:
    for kind in KINDS:
        detector = tiny_detector(tiny_config(kind)).eval()
        batch = make_batch([6, 6])
        other = dataclasses.replace(batch, input_ids=(batch.input_ids + 5) % 38 + 2)
        scores = [detector.predict(b)[0].scores[:10] for b in (batch, other)]
        assert not torch.allclose(*scores, atol=1e-9), kind


def test_lateral_of_concat_takes_twice_the_channels() -> None:
    detector = tiny_detector(tiny_config("concat", fusion={"levels": [4]}))
    assert [conv.in_channels for conv in detector.fpn.lateral] == [32, 32, 64, 32]


def test_a_fusion_of_the_users() -> None:
    config = tiny_config(f"{__name__}:HalfFusion", fusion={"levels": [4], "reduce": "mean"})
    fusion = build_fusion(config)
    assert isinstance(fusion, HalfFusion) and fusion.levels == (4,) and fusion.reduce == "mean"
    detector = tiny_detector(config).train()
    assert isinstance(detector.fusion, HalfFusion)
    sum(detector.losses(make_batch([3, 2])).values()).backward()
    assert detector.backbone.text_embedding.word.weight.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module:Thing", "cannot be imported"),
        (f"{__name__}:NoSuchClass", "cannot be imported"),
        (f"{__name__}:Path", "does not derive from Fusion"),
    ],
)
def test_a_fusion_that_cannot_be_used(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        build_fusion(tiny_config(name))
    assert "fusion.kind" in str(caught.value) and name in str(caught.value)
