"""Encoders other than LayoutLMv3: of timm, and what an encoder of one's own must keep to."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tiny_detector import CATEGORIES, tiny_config
from torch import Tensor

from lmv3det.checkpoint.file import Checkpoint, load_checkpoint, save_checkpoint
from lmv3det.checkpoint.loading import load_detector
from lmv3det.config import Config
from lmv3det.convert import load_initial_weights
from lmv3det.convert.conversion import save_as
from lmv3det.convert.report import LoadReport
from lmv3det.engine.optim import layer_depths, parameter_groups
from lmv3det.errors import InputError
from lmv3det.model.backbone_base import Backbone, Features
from lmv3det.model.detector import build_detector
from lmv3det.model.timm_backbone import TimmBackbone
from lmv3det.structures import Batch, Target

SMALL: dict[str, dict[str, Any]] = {
    "vit_tiny_patch16_224": {"depth": 4, "embed_dim": 48, "num_heads": 2},
    "eva02_tiny_patch14_224": {"depth": 4, "embed_dim": 48, "num_heads": 2},
    "convnext_atto": {"depths": [1, 1, 1, 1], "dims": [8, 16, 24, 32]},
    "swin_tiny_patch4_window7_224": {"embed_dim": 16, "depths": [1] * 4, "num_heads": [2] * 4},
    "resnet10t": {},
    "mobilenetv3_small_050": {},
}


def timm_config(name: str, **sections: dict[str, Any]) -> Config:
    options = {"name": name, **SMALL[name]}
    return tiny_config(
        backbone={"kind": "timm", "options": options},
        model={"mask_on": False},
        rpn={"pre_nms_train": 40, "post_nms_train": 30},
        **sections,
    )


def page(text: bool = False, height: int = 96) -> Batch:
    batch = Batch(
        images=torch.randn(1, 3, height, 128, generator=torch.Generator().manual_seed(0)),
        image_sizes=[(height, 128)],
        targets=[Target(torch.tensor([[10.0, 8.0, 60.0, 30.0]]), torch.tensor([1]))],
    )
    if text:
        batch.input_ids = torch.tensor([[5, 9, 7]])
        batch.text_boxes = torch.tensor(
            [[[100, 100, 450, 130], [100, 150, 450, 180], [0, 0, 90, 40]]]
        )
        batch.text_mask = torch.ones(1, 3, dtype=torch.bool)
    return batch


@pytest.mark.parametrize("name", SMALL)
def test_of_timm_trains_is_saved_and_predicts(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = timm_config(name)
    model = build_detector(config)
    groups = parameter_groups(model, lr=1e-3, weight_decay=0.0, layer_decay=0.5)
    assert len(groups) > 4
    optimizer = torch.optim.AdamW(groups)
    for _ in range(2):
        optimizer.zero_grad()
        loss = torch.stack(list(model.train().losses(page()).values())).sum()
        loss.backward()
        assert all(p.grad is not None for p in model.parameters())
        optimizer.step()
    path = tmp_path / "a.pth"
    save_checkpoint(path, Checkpoint(model.state_dict(), config, CATEGORIES))
    again, _ = load_detector(path, overrides=["test.score_threshold=0.0"])
    model.eval().cascade.score_threshold = 0.0
    for height in (96, 64):  # another size than those trained
        (wanted,), (found,) = model.predict(page(height=height)), again.predict(page(height=height))
        assert len(found) and torch.equal(wanted.boxes, found.boxes)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SMALL if not name.startswith("eva")])
def test_of_timm_as_onnx(name: str, tmp_path: Path) -> None:
    """Pages of three sizes have the detections of the detector."""
    pytest.importorskip("onnxruntime")
    from lmv3det.inference.export.onnx_file import export_onnx

    torch.manual_seed(0)
    config = timm_config(name, test={"score_threshold": 0.01})
    path = tmp_path / "a.pth"
    save_checkpoint(path, Checkpoint(build_detector(config).state_dict(), config, CATEGORIES))
    exported = export_onnx(path, tmp_path / "a.onnx")
    assert all(one.within == one.compared > 0 for one in exported.differences)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "convnext_atto"])
@pytest.mark.parametrize("kind", ["gated", "concat", "roi"])
def test_text_is_fused_with_an_encoder_that_reads_none(name: str, kind: str) -> None:
    torch.manual_seed(0)
    fusion = {"kind": kind, "levels": [4, 5]}
    model = build_detector(timm_config(name, text={"selection": "first"}, fusion=fusion))
    sum(model.train().losses(page(text=True)).values()).backward()
    word = model.text_states.embedding.word.weight.grad
    assert word[[5, 7, 9]].abs().sum(1).min() > 0 and word[10:].abs().sum() == 0
    assert isinstance(model.eval().predict(page())[0].boxes, Tensor)  # a page without text


def test_gradient_checkpointing_changes_no_gradient() -> None:
    gradients = []
    for enabled in (False, True):
        torch.manual_seed(0)
        model = build_detector(timm_config("vit_tiny_patch16_224"))
        model.backbone.set_gradient_checkpointing(enabled)
        model.backbone.train()(page().images).maps[-1].square().sum().backward()
        gradients.append([p.grad for p in model.backbone.parameters() if p.grad is not None])
    assert len(gradients[0]) > 10
    for one, two in zip(*gradients, strict=True):
        torch.testing.assert_close(one, two)


def test_layers_rise_to_the_output() -> None:
    depths = layer_depths(build_detector(timm_config("vit_tiny_patch16_224")))
    block = "backbone.encoder.model.blocks.{}.mlp.fc1.weight"
    assert [depths[block.format(number)] for number in range(4)] == [4, 3, 2, 1]
    assert depths["backbone.encoder.model.patch_embed.proj.weight"] == 5


def test_weights_of_a_file(tmp_path: Path) -> None:
    options = SMALL["convnext_atto"]
    source, other = (TimmBackbone("convnext_atto", **options) for _ in range(2))
    path = tmp_path / "weights.safetensors"
    save_file(dict(source.encoder.model.state_dict()), path)
    other.load_weights(str(path))
    for one, two in zip(source.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)
    with pytest.raises(InputError, match="no such file"):
        other.load_weights(str(tmp_path / "missing.safetensors"))
    with pytest.raises(InputError, match=r"resnet10t cannot take"):
        TimmBackbone("resnet10t").load_weights(str(path))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "convnext_atomic"}, "which timm does not know"),
        ({"name": "hf-hub:owner/model"}, "which timm does not know"),
        ({"name": "resnet10t", "pretrained": True}, r"'pretrained', which is no option"),
        ({"name": "resnet10t", "checkpoint_path": "a.pth"}, r"'checkpoint_path', which is no"),
        ({"name": "resnet10t", "no_such": 3}, r"backbone\.kind is 'timm'.*no_such"),
    ],
)
def test_options_that_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        build_detector(tiny_config(backbone={"kind": "timm", "options": options}))


def test_settings_that_contradict_the_encoder() -> None:
    with pytest.raises(InputError, match=r"set backbone\.options"):
        tiny_config(backbone={"kind": "timm"})
    with pytest.raises(InputError, match="did you mean 'timm'"):
        tiny_config(backbone={"kind": "tim"})
    with pytest.raises(InputError, match=r"reads no text.*text\.selection=none"):
        build_detector(timm_config("resnet10t", text={"selection": "first"}))
    with pytest.raises(InputError, match=r"backbone\.options"):
        tiny_config(backbone={"options": {"layers": 3}})


class Wrong(Backbone):
    """An encoder that breaks the contract as it is told."""

    def __init__(self, channels: list[int], strides: list[int], unit: int = 32) -> None:
        super().__init__()
        self.out_channels, self.strides, self.size_divisibility = channels, strides, unit

    def forward(self, images: Tensor, *text: Any) -> Features:
        return Features([images] * 4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"channels": [8, 8, 8], "strides": [4, 8, 16, 32]}, "out_channels is"),
        ({"channels": [8] * 4, "strides": [2, 4, 8, 16]}, "strides is"),
        ({"channels": [8, 8, 8, 9], "strides": [16] * 4}, "equal where all strides are 16"),
        ({"channels": [8] * 4, "strides": [16] * 4, "unit": 48}, "size_divisibility is 32"),
        ({"channels": [8] * 4}, r"cannot be built by Wrong.*strides"),
        ({"chanels": [8] * 4}, r"did you mean 'channels'.*options are channels, strides, unit"),
    ],
)
def test_what_breaks_the_contract(monkeypatch, options: dict[str, Any], said: str) -> None:
    monkeypatch.setitem(sys.modules, "own_encoders", sys.modules[__name__])
    config = tiny_config(backbone={"kind": "own_encoders:Wrong", "options": options})
    with pytest.raises(InputError, match=said):
        build_detector(config)


def test_an_encoder_that_is_no_backbone() -> None:
    with pytest.raises(InputError, match="does not derive from Backbone"):
        build_detector(tiny_config(backbone={"kind": "torch.nn:Identity"}))


def test_weights_and_formats_of_another_encoder(tmp_path: Path) -> None:
    config = timm_config("resnet10t")
    model = build_detector(config)
    path = tmp_path / "a.pth"
    save_checkpoint(path, Checkpoint(model.state_dict(), config, CATEGORIES))
    assert load_initial_weights(build_detector(config), str(path), config).loaded
    other = tiny_config(model={"mask_on": False})
    with pytest.raises(InputError, match=r"its encoder is timm.*backbone\.kind"):
        load_initial_weights(build_detector(other), str(path), other)
    for form in ("detectron2", "huggingface"):
        with pytest.raises(InputError, match=f"which {form} has no place for"):
            save_as(load_checkpoint(path), form, tmp_path / form, LoadReport(source="a"))
