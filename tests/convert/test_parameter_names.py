"""Parameter names of detectron2 and Hugging Face."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from lmv3det.config import from_dict
from lmv3det.convert.parameter_names import (
    PUBLISHED,
    detectron2_name,
    encoder_name,
    from_detectron2,
    huggingface_name,
    our_name,
    to_detectron2,
)
from lmv3det.model.detector import build_detector

PARITY = Path(__file__).parents[1] / "parity"
TINY = {
    "backbone": {
        "hidden_size": 24,
        "layers": 4,
        "heads": 2,
        "intermediate_size": 16,
        "out_indices": [0, 1, 2, 3],
        "coordinate_size": 4,
        "shape_size": 4,
        "vocab_size": 30,
    },
    "neck": {"out_channels": 8},
    "roi": {"fc_dim": 8},
    "mask": {"dim": 8},
    "model": {"num_classes": 3},
}


def listed(file: str) -> dict[str, list[int]]:
    """Names and shapes of one of the original's lists."""
    lines = (PARITY / file).read_text(encoding="utf-8").splitlines()
    matches = [re.match(r"(\S+) \[([\d, ]*)\] \w+$", line) for line in lines]
    return {m[1]: [int(n) for n in m[2].split(",") if n.strip()] for m in matches if m}


def ours(**sections) -> dict[str, torch.Tensor]:
    return build_detector(from_dict({**TINY, **sections})).state_dict()


def test_every_name_of_the_published_detector_has_one_of_ours():
    names = listed("state_dict_shapes_base.txt")
    with torch.device("meta"):
        model = build_detector(from_dict({"model": {"num_classes": 5}}))
    expected = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    assert {our_name(name): shape for name, shape in names.items()} == expected
    assert all(name.startswith((*PUBLISHED, "mask_head.")) for name in expected)


def test_every_name_of_the_text_tables_and_biases_has_one_of_ours():
    names = listed("state_dict_shapes_text_and_bias.txt")
    sections = {
        "text": {"selection": "all"},
        "backbone": {"relative_bias": True, "spatial_bias": True},
    }
    with torch.device("meta"):
        state = build_detector(from_dict(sections)).state_dict()
    constant = "backbone.bottom_up.backbone.embeddings.position_ids"
    assert our_name(constant) is None
    for name, shape in names.items():
        if name != constant:
            assert list(state[our_name(name)].shape) == shape


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"text": {"selection": "first"}},
        {"text": {"selection": "first"}, "fusion": {"kind": "gated", "levels": [2, 4, 5]}},
        {"text": {"selection": "first"}, "fusion": {"kind": "vsr"}},
        {"text": {"selection": "first"}, "fusion": {"kind": "concat"}},
        {"text": {"selection": "first"}, "fusion": {"kind": "roi"}},
        {"relation": {"enabled": True, "dim": 16, "heads": 2}},
        {"backbone": {**TINY["backbone"], "relative_bias": True, "spatial_bias": True}},
    ],
)
def test_renaming_there_and_back_gives_the_same_tensors(sections):
    state = ours(**sections)
    theirs = to_detectron2(state)
    assert all(detectron2_name(name) is not None for name in state)
    back = from_detectron2(theirs)
    assert list(back) == list(state)
    assert all(back[name] is state[name] for name in state)


def test_text_tables_go_out_with_the_constant_of_the_original():
    theirs = to_detectron2(ours(text={"selection": "first"}))
    positions = theirs["backbone.bottom_up.backbone.embeddings.position_ids"]
    assert torch.equal(positions, torch.arange(514)[None])


@pytest.mark.parametrize("prefix", ["", "layoutlmv3."])
def test_hugging_face_names_with_and_without_prefix(prefix):
    ours_name = "layers.10.attention.query.weight"
    theirs = "encoder.layer.10.attention.self.query.weight"
    assert encoder_name(prefix + theirs) == ours_name
    assert huggingface_name(ours_name) == theirs
    assert encoder_name(prefix + "classifier.weight") is None


def test_assumed_names_of_the_fusion():
    encoder = "backbone.bottom_up.backbone.encoder."
    assert our_name(encoder + "score_conv.weight") == "fusion.gate.p5.weight"
    assert our_name(encoder + "score_conv_p3.bias") == "fusion.gate.p3.bias"
    assert our_name("roi_heads.relation.features.weight") == "cascade.relation.features.weight"
    assert our_name("head.fc.weight") is None
