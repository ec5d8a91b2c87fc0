"""The whole detector: odd pages, precisions, gradients, custom parts, published names."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch
from tiny_detector import tiny_config
from torch import Tensor, nn

from lmv3det.config import from_dict, load_config
from lmv3det.config.parts import find_part
from lmv3det.convert.parameter_names import from_detectron2, to_detectron2
from lmv3det.errors import InputError
from lmv3det.model.detector import LayoutDetector, build_detector, canvas_boxes
from lmv3det.model.fusion import AdditiveFusion
from lmv3det.structures import Batch, Target

PARITY = Path(__file__).parents[1] / "parity"
CONFIGS = Path(__file__).parents[2] / "configs"
SIZE = (64, 96)
# Everything that has parameters of its own: text, gated fusion, relation module, masks.
FULL = {
    "text": {"selection": "all"},
    "fusion": {"kind": "gated", "levels": [3, 5]},
    "relation": {"enabled": True, "dim": 16, "heads": 2},
}
QUICK = {
    "rpn": {"batch_size_per_image": 32, "pre_nms_train": 40, "post_nms_train": 30},
    "roi": {"batch_size_per_image": 24},
}


def make_model(dtype: torch.dtype = torch.float32, **sections) -> LayoutDetector:
    torch.manual_seed(0)
    return build_detector(tiny_config(**{**QUICK, **sections})).to(dtype)


def loud(model: LayoutDetector) -> LayoutDetector:
    """Weights large enough that pages tell apart and detections are sure of themselves."""
    torch.manual_seed(1)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.2)
    return model


def make_target(*boxes: list[float], outlines: bool = True) -> Target:
    corners = torch.tensor(boxes).reshape(-1, 4)
    polygons = [
        [torch.tensor([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]).double().numpy()]
        for x0, y0, x1, y1 in corners.tolist()
    ]
    return Target(corners, torch.arange(len(corners)) % 2, polygons if outlines else None)


def make_batch(
    text: bool = False, sizes: tuple[tuple[int, int], ...] = (SIZE, SIZE), targets=None
) -> Batch:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(len(sizes), 3, *SIZE, generator=generator)
    for image, (height, width) in zip(images, sizes, strict=True):
        image[:, height:] = 0
        image[:, :, width:] = 0
    batch = Batch(images, list(sizes), targets=targets)
    if text:
        corners = torch.randint(0, 1001, (len(sizes), 6, 2, 2), generator=generator)
        batch.text_boxes = corners.sort(2).values.flatten(2)
        batch.input_ids = torch.randint(2, 50, (len(sizes), 6), generator=generator)
        batch.text_mask = torch.arange(6) < torch.arange(6, 6 - len(sizes), -1).unsqueeze(1)
    return batch


TARGETS = [
    make_target([4, 6, 50, 30], [40, 32, 90, 60], [2, 40, 30, 62]),
    make_target([10, 5, 70, 40], [60, 44, 95, 62]),
]


def test_untrained_detections_are_sorted_and_inside() -> None:
    model = loud(make_model(test={"score_threshold": 0.01})).eval()
    found = model(make_batch(sizes=((60, 90), SIZE)))
    assert [d.image_size for d in found] == [(60, 90), SIZE]
    for page in found:
        assert len(page) > 1
        assert (page.scores.diff() <= 0).all() and (page.scores > 0.01).all()
        assert (page.boxes >= 0).all()
        assert (page.boxes[:, 2] <= page.image_size[1]).all()
        assert (page.boxes[:, 3] <= page.image_size[0]).all()
        assert page.classes.dtype == torch.int64 and set(page.classes.tolist()) <= {0, 1}
        assert page.masks.shape == (len(page), 28, 28)
        assert (page.masks >= 0).all() and (page.masks <= 1).all()
        assert not page.boxes.requires_grad


def test_mode_chooses_between_losses_and_detections() -> None:
    model, batch = make_model(), make_batch(targets=TARGETS)
    assert set(model.train()(batch)) == {
        "loss_rpn_cls",
        "loss_rpn_loc",
        *(f"loss_{name}_stage{n}" for name in ("cls", "box_reg") for n in range(3)),
        "loss_mask",
    }
    assert isinstance(model.eval()(batch), list)


def test_no_masks() -> None:
    model, batch = make_model(model={"mask_on": False}), make_batch(targets=TARGETS)
    assert "loss_mask" not in model.train()(batch)
    assert all(page.masks is None for page in model.eval()(batch))
    for target in (without := make_batch(targets=[make_target(outlines=False)] * 2)).targets:
        assert target.polygons is None
    assert all(loss.isfinite() for loss in model.train()(without).values())


class TestTargets:
    def test_none_at_all(self) -> None:
        with pytest.raises(ValueError, match=r"batch\.targets"):
            make_model().train()(make_batch())

    def test_masks_need_outlines(self) -> None:
        targets = [TARGETS[0], make_target([4, 6, 50, 30], outlines=False)]
        with pytest.raises(ValueError, match="one outline for each gt box"):
            make_model().train()(make_batch(targets=targets))

    @pytest.mark.parametrize("empty", [(0,), (1,), (0, 1)])
    def test_pages_without_regions(self, empty: tuple[int, ...]) -> None:
        targets = [make_target() if n in empty else TARGETS[n] for n in (0, 1)]
        model = make_model().train()
        losses = model(make_batch(targets=targets))
        assert all(loss.isfinite() for loss in losses.values())
        if len(empty) == 2:
            assert losses["loss_mask"] == losses["loss_rpn_loc"] == 0
        sum(losses.values()).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name

    def test_a_white_page(self) -> None:
        batch = make_batch(targets=[make_target(), make_target()])
        batch.images.fill_(1.0)
        model = make_model()
        assert all(loss.isfinite() for loss in model.train()(batch).values())
        assert all(page.boxes.isfinite().all() for page in model.eval()(batch))

    @pytest.mark.parametrize("box", [[0.0, 0, 96, 64], [3.0, 3, 4, 4], [0.0, 30, 96, 31]])
    def test_regions_of_extreme_shape(self, box: list[float]) -> None:
        model = make_model().train()
        losses = model(make_batch(targets=[make_target(box), TARGETS[1]]))
        sum(losses.values()).backward()
        assert all(loss.isfinite() for loss in losses.values())
        assert all(p.grad.isfinite().all() for p in model.parameters())


def test_a_page_alone_is_the_page_in_a_batch() -> None:
    model = loud(make_model(torch.float64, test={"score_threshold": 0.01}, **FULL)).eval()
    batch = make_batch(text=True).to(torch.float64)
    together = model(batch)
    for n in (0, 1):
        rows = slice(n, n + 1)
        one = Batch(
            batch.images[rows],
            batch.image_sizes[rows],
            batch.input_ids[rows],
            batch.text_boxes[rows],
            batch.text_mask[rows],
        )
        alone = model(one)[0]
        assert len(alone) > 1 and torch.equal(alone.classes, together[n].classes)
        for name in ("boxes", "scores", "masks"):
            torch.testing.assert_close(getattr(alone, name), getattr(together[n], name))


@pytest.mark.parametrize("how", ["float64", "bfloat16 autocast"])
def test_precisions(how: str) -> None:
    dtype = torch.float64 if how == "float64" else torch.float32
    model = loud(make_model(dtype, **FULL))
    batch = make_batch(text=True, targets=TARGETS).to(dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.float32):
        losses = model.train()(batch)
        found = model.eval()(batch)
    assert all(loss.isfinite() and loss.dtype == dtype for loss in losses.values()), losses
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), name
    for page in found:
        assert page.boxes.dtype == page.scores.dtype == page.masks.dtype == dtype
        assert page.boxes.isfinite().all() and page.masks.isfinite().all()


@pytest.mark.parametrize("norm", ["batch", "frozen"])
def test_every_parameter_gets_a_gradient(norm: str) -> None:
    model = loud(make_model(neck={"norm": norm}, **FULL)).train()
    # Moves so small that the ground truth among the regions stays foreground in every stage.
    for predictor in model.cascade.predictors:
        nn.init.normal_(predictor.bbox_pred.weight, std=1e-4)
    sum(model(make_batch(text=True, targets=TARGETS)).values()).backward()
    silent = [
        name
        for name, p in model.named_parameters()
        if p.grad is None or not p.grad.isfinite().all() or p.grad.abs().sum() == 0
    ]
    assert silent == []


class TestText:
    def test_without_tokens(self) -> None:
        """Pages without text go through a model with text: ids missing, or none in the batch."""
        model = loud(make_model(test={"score_threshold": 0.01}, **FULL)).eval()
        batch = make_batch()
        without = model(batch)
        batch.input_ids = torch.zeros(2, 0, dtype=torch.int64)
        batch.text_boxes = torch.zeros(2, 0, 4, dtype=torch.int64)
        batch.text_mask = torch.zeros(2, 0, dtype=torch.bool)
        for a, b in zip(without, model(batch), strict=True):
            torch.testing.assert_close(a.scores, b.scores)
        batch.targets = TARGETS
        losses = model.train()(batch)
        sum(losses.values()).backward()
        assert all(loss.isfinite() for loss in losses.values())

    def test_text_changes_what_is_found(self) -> None:
        model = loud(make_model(test={"score_threshold": 0.01}, **FULL)).eval()
        with_text, without = model(make_batch(text=True)), model(make_batch())
        assert with_text[0].scores.tolist() != without[0].scores.tolist()

    def test_text_into_an_image_only_model(self) -> None:
        with pytest.raises(ValueError, match="use_text"):
            make_model().eval()(make_batch(text=True))

    def test_canvas_boxes_of_a_padded_page(self) -> None:
        """A page of 32×48 on an input of 64×96: the page's grid is half of the input's."""
        batch = make_batch(text=True, sizes=((32, 48), SIZE))
        batch.text_boxes[:, 0] = torch.tensor([0, 500, 1000, 1000])
        boxes, valid = canvas_boxes(batch)
        assert boxes[0, 0].tolist() == [0, 250, 500, 500]
        assert boxes[1, 0].tolist() == [0, 500, 1000, 1000]
        assert torch.equal(valid, batch.text_mask)

    def test_canvas_boxes_without_text(self) -> None:
        boxes, valid = canvas_boxes(make_batch())
        assert boxes.shape == (2, 0, 4) and valid.shape == (2, 0) and valid.dtype == torch.bool


def test_equal_seeds_give_equal_losses() -> None:
    def run(seed: int) -> list[float]:
        torch.manual_seed(seed)
        model = build_detector(tiny_config(**QUICK, **FULL)).train()
        losses = model(make_batch(text=True, targets=TARGETS))
        return [loss.item() for loss in losses.values()]

    assert run(5) == run(5) != run(6)


def test_prediction_draws_nothing_at_random() -> None:
    model = loud(make_model(test={"score_threshold": 0.01}, **FULL)).eval()
    first, second = (model(make_batch(text=True)) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a.boxes, b.boxes) and torch.equal(a.scores, b.scores)


def test_training_after_inference_mode() -> None:
    """Tables kept from a prediction serve the next training step."""
    model, batch = make_model(**FULL), make_batch(text=True, targets=TARGETS)
    with torch.inference_mode():
        model.eval()(batch)
    sum(model.train()(batch).values()).backward()


class OwnFusion(AdditiveFusion):
    """A fusion of the user's own."""


class OwnHead(nn.Module):
    """A box head of the user's own: mean and one layer."""

    def __init__(self, in_channels: int, pool_size: int, fc_dim: int) -> None:
        super().__init__()
        self.fc = nn.Linear(in_channels, fc_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.mean((2, 3)))


class HeadOfBlocks(OwnHead):
    """With an option."""

    def __init__(self, in_channels: int, pool_size: int, fc_dim: int, block: int = 1) -> None:
        super().__init__(in_channels, pool_size, fc_dim)
        if block < 1:
            raise ValueError(f"block is {block}")
        self.block = block


class WeighedFusion(AdditiveFusion):
    """With an option, by way of `**kwargs`."""

    def __init__(self, channels: int, weight: float = 1.0, **kwargs) -> None:
        super().__init__(channels, **kwargs)
        self.weight = weight


class TestCustomParts:
    @pytest.fixture(autouse=True)
    def importable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "own_parts", sys.modules[__name__])

    def test_good_ones(self) -> None:
        model = make_model(
            text={"selection": "all"},
            fusion={"kind": "own_parts:OwnFusion"},
            roi={"head": "own_parts:OwnHead", "batch_size_per_image": 24},
        )
        assert type(model.fusion).__name__ == "OwnFusion"
        assert [type(head).__name__ for head in model.cascade.heads] == ["OwnHead"] * 3
        sum(model.train()(make_batch(text=True, targets=TARGETS)).values()).backward()

    @pytest.mark.parametrize(
        "name",
        ["own_parts:Missing", "no_such_module:X", "own_parts", "own_parts:", ":OwnHead", ".a:B"],
    )
    def test_what_cannot_be_imported(self, name: str) -> None:
        with pytest.raises(InputError, match=r"roi\.head is .*cannot be imported.*module:Class"):
            build_detector(tiny_config(roi={"head": name}))

    @pytest.mark.parametrize("name", ["own_parts:OwnHead", "own_parts:SIZE"])
    def test_what_is_no_fusion(self, name: str) -> None:
        config = tiny_config(text={"selection": "all"}, fusion={"kind": name})
        with pytest.raises(InputError, match=r"fusion\.kind is .*does not derive from Fusion"):
            build_detector(config)

    def test_unknown_word(self) -> None:
        with pytest.raises(InputError, match="did you mean 'additive'"):
            tiny_config(text={"selection": "all"}, fusion={"kind": "aditive"})

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"blocks": 3}, r"roi\.head_options has 'blocks'.*mean 'block'.*its options are block"),
            ({"fc_dim": 3}, r"roi\.head_options has 'fc_dim', which a setting of its own gives"),
            ({"block": 0}, r"roi\.head is 'own_parts:HeadOfBlocks'.*ValueError: block"),
        ],
    )
    def test_options_that_cannot_be_used(self, options: dict, said: str) -> None:
        roi = {"head": "own_parts:HeadOfBlocks", "head_options": options}
        with pytest.raises(InputError, match=said):
            build_detector(tiny_config(roi=roi))

    def test_options_of_a_head_and_a_fusion(self) -> None:
        model = build_detector(
            tiny_config(
                roi={"head": "own_parts:HeadOfBlocks", "head_options": {"block": 3}},
                text={"selection": "all"},
                fusion={"kind": "own_parts:WeighedFusion", "options": {"weight": 0.25}},
            )
        )
        assert [head.block for head in model.cascade.heads] == [3, 3, 3]
        assert model.fusion.weight == 0.25

    def test_a_built_in_fusion_takes_no_other_options(self) -> None:
        config = tiny_config(
            text={"selection": "all"}, fusion={"kind": "vsr", "options": {"gain": 2}}
        )
        with pytest.raises(InputError, match=r"fusion\.options has 'gain'.*it has no options"):
            build_detector(config)

    def test_a_setting_that_is_not_listed_names_no_code(self) -> None:
        with pytest.raises(ValueError, match="CODE_SETTINGS"):
            find_part("own_parts:OwnHead", "mask.head", nn.Module)

    def test_find_part(self) -> None:
        assert find_part("own_parts:OwnHead", "roi.head", nn.Module) is OwnHead


def listed(file: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of one of the original's lists."""
    lines = (PARITY / file).read_text(encoding="utf-8").splitlines()
    matches = [re.match(r"(\S+) \[([\d, ]*)\] \w+$", line) for line in lines]
    return {m[1]: tuple(int(n) for n in m[2].split(",") if n.strip()) for m in matches if m}


class TestPublished:
    def build(self, **sections) -> LayoutDetector:
        with torch.device("meta"):
            return build_detector(from_dict({"model": {"num_classes": 5}, **sections}))

    def test_names_and_shapes_of_the_base_model(self) -> None:
        names = listed("state_dict_shapes_base.txt")
        state = self.build().state_dict()
        theirs = {name: tuple(t.shape) for name, t in to_detectron2(state).items()}
        assert theirs == names
        assert set(from_detectron2(to_detectron2(state))) == set(state)

    def test_names_and_shapes_with_text_and_biases(self) -> None:
        names = {
            **listed("state_dict_shapes_base.txt"),
            **listed("state_dict_shapes_text_and_bias.txt"),
        }
        state = self.build(
            text={"selection": "all"}, backbone={"relative_bias": True, "spatial_bias": True}
        ).state_dict()
        assert {name: tuple(t.shape) for name, t in to_detectron2(state).items()} == names

    def test_number_of_parameters(self) -> None:
        model = self.build()
        names = listed("state_dict_shapes_base.txt")
        buffers = {name for name in names if re.search("running_|num_batches", name)}
        expected = sum(torch.Size(s).numel() for n, s in names.items() if n not in buffers)
        assert sum(p.numel() for p in model.parameters()) == expected
        encoder = sum(p.numel() for p in model.backbone.parameters())
        # 12 layers of 4 · 768² + 2 · 768 · 3072 weights and their biases and norms, patches,
        # positions, class token and two norms.
        layer = 4 * (768 * 768 + 768) + 2 * 768 * 3072 + 3072 + 768 + 4 * 768
        assert encoder == 12 * layer + 768 * (3 * 256 + 1) + 197 * 768 + 768 + 4 * 768

    def test_large(self) -> None:
        with torch.device("meta"):
            model = build_detector(load_config(CONFIGS / "large.yaml"))
        assert len(model.backbone.layers) == 24 and model.backbone.out_indices == (7, 11, 15, 23)
        assert model.fpn.lateral[0].weight.shape == (256, 1024, 1, 1)
        assert 3.0e8 < sum(p.numel() for p in model.backbone.parameters()) < 3.1e8

    def test_large_with_text(self) -> None:
        with torch.device("meta"):
            model = build_detector(load_config(CONFIGS / "large.yaml", ["text.selection=first"]))
        table = model.backbone.text_embedding
        assert table.x.weight.shape == (1024, 171) and table.height.weight.shape == (1024, 170)
