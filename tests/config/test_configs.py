"""The systems' configs: what each is, and that each builds at the base size."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lmv3det.ablation.systems import SYSTEMS
from lmv3det.config import load_config
from lmv3det.model.detector import build_detector
from lmv3det.model.fusion import AdditiveFusion, ConcatFusion, GatedFusion, ROIFusion

CONFIGS = Path(__file__).parents[2] / "configs"
WITH_TEXT = [name for name in SYSTEMS if name != "image_only"]


def load(name: str):
    return load_config(CONFIGS / f"{name}.yaml")


@pytest.mark.parametrize("name", [*SYSTEMS, "dataset5"])
def test_builds_at_the_base_size(name: str) -> None:
    config = load(name)
    with torch.device("meta"):
        model = build_detector(config)
    assert config.backbone.hidden_size == 768 and config.backbone.layers == 12
    assert (model.backbone.text_embedding is not None) == (name != "image_only")
    assert model.mask_head is not None


def test_there_are_no_others_that_are_systems() -> None:
    others = {"base", "dataset5", "large", "publaynet", "tiny", "ablation_tiny"}
    assert {path.stem for path in CONFIGS.glob("*.yaml")} >= {*SYSTEMS, *others}
    assert len(SYSTEMS) == 13


@pytest.mark.parametrize("name", WITH_TEXT)
def test_text_systems_share_what_the_notes_share(name: str) -> None:
    config = load(name)
    assert config.text.reading_order == ("two_column" if name == "two_column" else "auto")
    selection = {"we_all": "all", "se_af2": "sentence"}.get(name, "first")
    assert (config.text.selection, config.text.first_k) == (selection, 3)
    assert config.text.max_tokens == 300
    assert config.text.drop_unk == (name == "we_f3_no_unk")
    assert config.backbone.vocab_size == 250002 and config.backbone.pad_token_id == 1
    assert config.text.tokenizer


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("we_f3", type(None)),
        ("af1", AdditiveFusion),
        ("af2", GatedFusion),
        ("se_af2", GatedFusion),
        ("af2_rm", GatedFusion),
        ("concat", ConcatFusion),
        ("roi_text", ROIFusion),
        ("dataset5", GatedFusion),
    ],
)
def test_fusions(name: str, kind: type) -> None:
    config = load(name)
    with torch.device("meta"):
        model = build_detector(config)
    assert type(model.fusion) is kind
    assert config.fusion.levels == [5] and not config.fusion.only_where_text
    assert (model.cascade.relation is not None) == (name == "af2_rm")


def test_the_relation_modules_widths() -> None:
    for name, channels, dim in (("af2_rm", 256, 256), ("af2_rm_fpn768", 768, 768)):
        config = load(name)
        with torch.device("meta"):
            model = build_detector(config)
        assert model.fpn.output[0].out_channels == channels
        assert model.cascade.relation.features.out_features == dim


def test_dataset5_has_five_classes() -> None:
    config = load("dataset5")
    assert config.model.num_classes == 5
    assert config.data.train.annotations != load("af2").data.train.annotations


def test_systems_share_the_budget() -> None:
    first = load("image_only")
    for name in WITH_TEXT:
        config = load(name)
        assert config.solver == first.solver and config.input == first.input
        assert config.output_dir == f"output/{name}"
