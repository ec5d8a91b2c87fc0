"""Weights in and out: every format, every fit, every refusal."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LayoutLMv3Config, LayoutLMv3ForTokenClassification, LayoutLMv3Model

from lmv3det.checkpoint.file import Checkpoint, load_checkpoint, save_checkpoint
from lmv3det.cli import main
from lmv3det.config import Config, from_dict, merge
from lmv3det.convert import (
    from_pretrained,
    load_initial_weights,
    save_pretrained,
    to_detectron2,
)
from lmv3det.convert.fit import resize_position_table
from lmv3det.convert.sources import read_source
from lmv3det.data.categories import Category
from lmv3det.errors import InputError
from lmv3det.inference.detector import Detector
from lmv3det.model.detector import LayoutDetector, build_detector
from lmv3det.text.train_tokenizer import train_tokenizer

sys.path.insert(0, str(Path(__file__).parents[1] / "parity"))

from fixture import Fixture, Options, build_config, deterministic_model, make_batch

PARITY = Path(__file__).parents[1] / "parity"
BACKBONE = {
    "hidden_size": 24,
    "layers": 4,
    "heads": 2,
    "intermediate_size": 16,
    "out_indices": [0, 1, 2, 3],
    "coordinate_size": 4,
    "shape_size": 4,
    "vocab_size": 30,
    "type_vocab_size": 1,
}
TINY = {
    "backbone": BACKBONE,
    "neck": {"out_channels": 8},
    "roi": {"fc_dim": 8},
    "mask": {"dim": 8},
    "model": {"num_classes": 3},
}
TEXT = {"text": {"selection": "first"}}
SIZES = ["backbone.heads=2", "backbone.out_indices=[0,1,2,3]"]
ABC = [Category(1, "A"), Category(2, "B"), Category(3, "C")]


def config_of(**sections) -> Config:
    return from_dict(merge(TINY, sections))


def model_of(config: Config, seed: int = 0) -> LayoutDetector:
    """A detector in which no tensor is constant."""
    torch.manual_seed(seed)
    model = build_detector(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return model


def checkpoint_of(config: Config, categories=ABC, seed: int = 0) -> Checkpoint:
    return Checkpoint(model_of(config, seed).state_dict(), config, categories)


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert set(left) == set(right)
    for name in left:
        assert left[name].dtype == right[name].dtype
        assert torch.equal(left[name], right[name]), name


@pytest.fixture
def detectron2_file(tmp_path: Path) -> Path:
    path = tmp_path / "model_final.pth"
    state = model_of(config_of()).state_dict()
    torch.save({"model": to_detectron2(state), "iteration": 7}, path)
    return path


@pytest.fixture
def image_only(tmp_path: Path) -> Path:
    path = tmp_path / "image_only.pth"
    save_checkpoint(path, checkpoint_of(config_of()))
    return path


def hub_folder(folder: Path, form: str, **changes) -> LayoutLMv3Model:
    """A LayoutLMv3 folder as the hub delivers it, small and with random weights.

    form: `bin` or `safetensors`, and `-prefixed` where it comes from a model with a head.
    """
    settings = {
        "hidden_size": 24,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "coordinate_size": 4,
        "shape_size": 4,
        "vocab_size": 30,
        "max_position_embeddings": 514,
        "type_vocab_size": 1,
        **changes,
    }
    torch.manual_seed(0)
    prefixed = form.endswith("-prefixed")
    model = (LayoutLMv3ForTokenClassification if prefixed else LayoutLMv3Model)(
        LayoutLMv3Config(**settings)
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter))
    if form.startswith("safetensors"):
        model.save_pretrained(folder)
    else:
        folder.mkdir()
        model.config.save_pretrained(folder)
        name = "layoutlmv3." * prefixed + "embeddings.position_ids"
        state = {
            **model.state_dict(),
            name: torch.arange(settings["max_position_embeddings"])[None],
        }
        torch.save(state, folder / "pytorch_model.bin")
    return model.layoutlmv3 if prefixed else model


# -- Hugging Face --------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["bin", "safetensors", "bin-prefixed", "safetensors-prefixed"])
def test_hub_folder_fills_the_encoder_of_a_text_model(tmp_path, form):
    theirs = hub_folder(tmp_path / "hub", form)
    config = config_of(**TEXT)
    model = model_of(config)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    report = load_initial_weights(model, str(tmp_path / "hub"), config)

    assert not report.missing and not report.unexpected and not report.wrong_shape
    after = model.state_dict()
    encoder = {name for name in after if name.startswith("backbone.")}
    assert set(report.loaded) == encoder
    assert set(report.fresh) == set(after) - encoder
    reasons = set(report.left_out.values())
    assert {"backbone.relative_bias is off", "backbone.spatial_bias is off"} <= reasons
    assert ("the head of another task" in reasons) == form.endswith("prefixed")
    assert ("a constant, which is made anew" in reasons) == form.startswith("bin")
    word = theirs.embeddings.word_embeddings.weight
    assert torch.equal(after["backbone.text_embedding.word.weight"], word)
    query = theirs.encoder.layer[3].attention.self.query.weight
    assert torch.equal(after["backbone.layers.3.attention.query.weight"], query)
    assert all(torch.equal(after[name], before[name]) for name in report.fresh)
    assert "loaded" in str(report) and "missing: none" in str(report)


def test_hub_folder_in_the_form_of_base_chinese(tmp_path):
    hub_folder(tmp_path / "hub", "bin-prefixed", vocab_size=250002)
    config = config_of(backbone={"vocab_size": 250002}, **TEXT)
    report = load_initial_weights(build_detector(config), str(tmp_path / "hub"), config)
    assert "backbone.text_embedding.word.weight" in report.loaded
    assert not report.missing and not report.unexpected

    english = config_of(**TEXT)
    with pytest.raises(InputError, match=r"set backbone\.vocab_size=250002"):
        load_initial_weights(build_detector(english), str(tmp_path / "hub"), english)


def test_image_only_model_leaves_the_text_tables_and_does_not_mind_the_vocabulary(tmp_path):
    hub_folder(tmp_path / "hub", "safetensors", vocab_size=77)
    config = config_of()
    report = load_initial_weights(build_detector(config), str(tmp_path / "hub"), config)
    left = [name for name, why in report.left_out.items() if why == "the model is image only"]
    assert len(left) == 9 and all(name.startswith("backbone.text_embedding.") for name in left)


def test_biases_are_loaded_where_they_are_on(tmp_path):
    theirs = hub_folder(tmp_path / "hub", "safetensors")
    config = config_of(backbone={"relative_bias": True, "spatial_bias": True})
    model = build_detector(config)
    load_initial_weights(model, str(tmp_path / "hub"), config)
    assert torch.equal(model.backbone.spatial_bias_y.weight, theirs.encoder.rel_pos_y_bias.weight)


@pytest.mark.parametrize(("rows", "changed"), [(20, "cut"), (1000, "tiled")])
def test_text_positions_are_cut_or_tiled(tmp_path, rows, changed):
    theirs = hub_folder(tmp_path / "hub", "safetensors").embeddings.position_embeddings.weight
    config = config_of(backbone={"max_positions": rows}, text={**TEXT["text"], "max_tokens": 10})
    model = build_detector(config)
    report = load_initial_weights(model, str(tmp_path / "hub"), config)
    table = model.backbone.text_embedding.position.weight
    assert torch.equal(table[:20], theirs[:20])
    if rows == 1000:
        assert torch.equal(table[514:], theirs[: 1000 - 514])
    assert ("backbone.text_embedding.position.weight", f"514 rows {changed} to {rows}") in (
        report.adapted
    )


def test_position_table_is_resized_bicubically(tmp_path):
    theirs = hub_folder(tmp_path / "hub", "safetensors").pos_embed
    config = config_of(backbone={"input_size": 320})
    model = build_detector(config)
    report = load_initial_weights(model, str(tmp_path / "hub"), config)
    table = model.backbone.position_table
    assert torch.equal(table[:, 0], theirs[:, 0])
    grid = theirs[0, 1:].reshape(14, 14, 24).permute(2, 0, 1)[None]
    wanted = torch.nn.functional.interpolate(grid, size=(20, 20), mode="bicubic")
    torch.testing.assert_close(table[0, 1:], wanted[0].permute(1, 2, 0).reshape(400, 24))
    assert [name for name, _ in report.adapted] == ["backbone.position_table"]


def test_resized_constant_position_table_stays_constant():
    table = torch.full((1, 197, 3), 0.25, dtype=torch.float64)
    torch.testing.assert_close(resize_position_table(table, 9), table[:, :82])


def test_sharded_safetensors(tmp_path):
    hub_folder(tmp_path / "whole", "safetensors")
    state = load_file(tmp_path / "whole/model.safetensors")
    names = sorted(state)
    folder = tmp_path / "sharded"
    folder.mkdir()
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, members in parts.items():
        save_file({name: state[name] for name in members}, folder / file)
    index = {"weight_map": {name: file for file, names in parts.items() for name in names}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    same(read_source(str(folder)).weights, read_source(str(tmp_path / "whole")).weights)

    (folder / "b.safetensors").unlink()
    with pytest.raises(InputError, match=r"b\.safetensors, which it names, is not there"):
        read_source(str(folder))


def test_sizes_that_differ_name_the_settings_to_change(tmp_path):
    hub_folder(tmp_path / "hub", "safetensors", num_hidden_layers=5, num_attention_heads=4)
    config = config_of()
    with pytest.raises(InputError, match=r"backbone\.layers=5 backbone\.heads=4"):
        load_initial_weights(build_detector(config), str(tmp_path / "hub"), config)


def test_hub_name_without_network(monkeypatch):
    import huggingface_hub
    from huggingface_hub.errors import OfflineModeIsEnabled

    def offline(*_args, **_kwargs):
        raise OfflineModeIsEnabled("offline mode is enabled")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(InputError, match="give its folder"):
        read_source("hub:microsoft/layoutlmv3-base")


def test_the_hub_is_asked_only_by_its_prefix(monkeypatch):
    import huggingface_hub

    asked = []

    def watch(name, **_kwargs):
        asked.append(name)
        raise OSError("offline")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", watch)
    for name in ("microsoft/layoutlmv3-base", "output/best.pth", "none"):
        with pytest.raises(InputError, match="no such file or folder"):
            read_source(name)
    with pytest.raises(InputError, match="hub:microsoft/layoutlmv3-base fetches it"):
        read_source("microsoft/layoutlmv3-base")
    config = config_of()
    for name in ("layoutlmv3-base-chinese", "microsoft/layoutlmv3-base"):
        with pytest.raises(InputError, match=rf"^model\.weights is {name}: .*hub:"):
            load_initial_weights(build_detector(config), name, config)
    assert asked == []


def test_conversion_of_a_hub_folder_is_seeded_and_goes_back(tmp_path, capsys):
    theirs = hub_folder(tmp_path / "hub", "bin")
    hub, shape = str(tmp_path / "hub"), ["backbone.out_indices=[0,1,2,3]", "text.selection=first"]
    command = ["convert", hub, "--to", "lmv3det", "--classes", "A,B,C", *shape]
    small = ["neck.out_channels=8", "roi.fc_dim=8", "mask.dim=8"]
    for name in ("one", "two"):
        assert main([*command, "--out", str(tmp_path / f"{name}.pth"), *small]) == 0
    assert "no tokenizer is kept" in capsys.readouterr().out
    one, two = (load_checkpoint(tmp_path / f"{name}.pth") for name in ("one", "two"))
    same(one.weights, two.weights)
    assert one.config.backbone.vocab_size == 30 and one.config.model.num_classes == 3

    back = ["convert", str(tmp_path / "one.pth"), "--to", "huggingface"]
    assert main([*back, "--out", str(tmp_path / "back")]) == 0
    model, info = LayoutLMv3Model.from_pretrained(tmp_path / "back", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert torch.equal(model.pos_embed, theirs.pos_embed)
    assert not model.config.has_spatial_attention_bias


# -- detectron2 ----------------------------------------------------------------------------------


def test_deterministic_checkpoint_gives_the_original_s_detections(tmp_path):
    fixture = Fixture(PARITY / "tiny_image_only_eval.npz")
    state = deterministic_model(build_config(Options())).state_dict()
    torch.save({"model": to_detectron2(state)}, tmp_path / "model_final.pth")
    yaml = tmp_path / "their.yaml"
    yaml.write_text(
        "MODEL:\n  MASK_ON: True\n  VIT: {NAME: layoutlmv3_base, IMG_SIZE: [224, 224]}\n"
        "  ROI_HEADS: {NAME: CascadeROIHeads, NUM_CLASSES: 5}\n"
        "  ROI_BOX_HEAD: {FC_DIM: 64, POOLER_RESOLUTION: 7}\n"
        "  ROI_MASK_HEAD: {CONV_DIM: 32, NUM_CONV: 4, POOLER_RESOLUTION: 14}\n"
        "  FPN: {OUT_CHANNELS: 32}\n"
        '  RPN: {PRE_NMS_TOPK_TRAIN: 2000, PRE_NMS_TOPK_TEST: "(1000)"}\n'
    )
    arguments = [
        "--to",
        "lmv3det",
        "--yaml",
        str(yaml),
        "--classes",
        "Text,Title,List,Table,Figure",
    ]
    out = tmp_path / "ours.pth"
    source = ["convert", str(tmp_path / "model_final.pth"), "backbone.heads=4"]
    assert main([*source, *arguments, "--out", str(out)]) == 0
    checkpoint = load_checkpoint(out)
    assert checkpoint.config.rpn.box_loss == "smooth_l1"
    assert [c.name for c in checkpoint.categories][3] == "Table"
    model = build_detector(checkpoint.config).double().eval()
    model.load_state_dict(checkpoint.weights)
    found = model.predict(make_batch([fixture["image0"]]))[0]
    fixture.compare("default0.boxes", found.boxes)
    fixture.compare("default0.scores", found.scores)
    fixture.compare("default0.classes", found.classes)
    assert len(fixture.results) == 3 and len(found) > 10
    assert all(result.holds for result in fixture.results), fixture.results

    # The same file as a user runs it: in float32, the page at its own size.
    page = fixture["image0"]
    sizes = [f"input.min_size_test={min(page.shape[:2])}", "input.max_size_test=2000"]
    seen = Detector.load(out, "cpu", sizes).predict(page)[0]
    assert torch.equal(seen.classes, found.classes)
    torch.testing.assert_close(seen.boxes.double(), found.boxes, rtol=0, atol=0.02)
    torch.testing.assert_close(seen.scores.double(), found.scores, rtol=0, atol=1e-4)


def test_conversion_there_and_back_is_exact(tmp_path, detectron2_file):
    ours, theirs = tmp_path / "ours.pth", tmp_path / "theirs.pth"
    first = ["convert", str(detectron2_file), "--to", "lmv3det", "--classes", "A,B,C", *SIZES]
    assert main([*first, "--out", str(ours)]) == 0
    assert main(["convert", str(ours), "--to", "detectron2", "--out", str(theirs)]) == 0
    same(
        torch.load(detectron2_file, weights_only=True)["model"],
        torch.load(theirs, weights_only=True)["model"],
    )


def test_the_detectron2_folder_that_was_written_is_read(tmp_path, image_only, capsys):
    """Its weights, and the settings of its yaml, which the report names."""
    ours, folder, back = tmp_path / "a.pth", tmp_path / "theirs", tmp_path / "b.pth"
    changed = ["test.score_threshold=0.31", "--out", str(ours)]
    assert main(["convert", str(image_only), "--to", "lmv3det", *changed]) == 0
    assert main(["convert", str(ours), "--to", "detectron2", "--out", str(folder)]) == 0
    capsys.readouterr()
    words = ["convert", str(folder), "--to", "lmv3det", "--classes", "A,B,C", "--out", str(back)]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert str(folder / "config.yaml") in said and "--yaml" in said
    before, after = load_checkpoint(ours), load_checkpoint(back)
    same(before.weights, after.weights)
    assert after.config.test.score_threshold == 0.31


@pytest.mark.skipif(sys.platform == "win32", reason="limits a file's size")
@pytest.mark.parametrize("to", ["lmv3det", "pretrained", "detectron2", "huggingface"])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, image_only, capsys, to):
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        code = main(["convert", str(image_only), "--to", to, "--out", str(tmp_path / "new" / "x")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    said = capsys.readouterr().err
    assert code == 1 and said.count("\n") == 1 and str(tmp_path) in said, said
    assert list((tmp_path / "new").iterdir()) == []


def test_half_precision_stays_as_it_is(tmp_path):
    state = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in to_detectron2(model_of(config_of()).state_dict()).items()
    }
    torch.save({"model": state}, tmp_path / "half.pth")
    out = tmp_path / "ours.pth"
    source = ["convert", str(tmp_path / "half.pth"), "--to", "lmv3det", "--classes", "A,B,C"]
    assert main([*source, *SIZES, "--out", str(out)]) == 0
    same(to_detectron2(load_checkpoint(out).weights), state)


def test_settings_are_read_from_the_shapes(detectron2_file, tmp_path):
    out = tmp_path / "ours.pth"
    source = ["convert", str(detectron2_file), "--to", "lmv3det", "--classes", "A,B,C"]
    assert main([*source, *SIZES, "--out", str(out)]) == 0
    config = load_checkpoint(out).config
    assert config.backbone.hidden_size == 24 and config.backbone.layers == 4
    assert config.backbone.intermediate_size == 16
    assert (config.neck.out_channels, config.roi.fc_dim, config.mask.dim) == (8, 8, 8)
    assert config.model.num_classes == 3 and config.model.mask_on


@pytest.mark.parametrize("kind", ["gated", "vsr", "concat", "roi", "none"])
def test_multimodal_checkpoint_by_the_assumed_names(tmp_path, kind):
    fusion = {"fusion": {"kind": kind}} if kind != "none" else {}
    sections = {**TEXT, **fusion, "relation": {"enabled": True, "dim": 16, "heads": 2}}
    config = config_of(neck={"out_channels": 24}, **sections)
    state = model_of(config).state_dict()
    path, out = tmp_path / "notes.pth", tmp_path / "ours.pth"
    torch.save({"model": to_detectron2(state)}, path)
    source = ["convert", str(path), "--to", "lmv3det", "--classes", "A,B,C", "relation.heads=2"]
    assert main([*source, *SIZES, "--out", str(out)]) == 0
    converted = load_checkpoint(out)
    same(converted.weights, state)
    assert converted.config.fusion.kind == kind and converted.config.fusion.levels == [5]
    assert converted.config.neck.out_channels == 24 and converted.config.relation.dim == 16
    assert converted.config.text.selection == "first"


def test_another_name_of_the_gate_is_told_by_rename(tmp_path, capsys):
    config = config_of(**TEXT, fusion={"kind": "gated"})
    state = model_of(config).state_dict()
    assumed = "backbone.bottom_up.backbone.encoder.score_conv."
    theirs = {k.replace(assumed, "backbone.gate_net."): v for k, v in to_detectron2(state).items()}
    path, out = tmp_path / "notes.pth", tmp_path / "ours.pth"
    torch.save({"model": theirs}, path)
    source = ["convert", str(path), "--to", "lmv3det", "--classes", "A,B,C", "--out", str(out)]
    assert main([*source, *SIZES]) == 1
    error = capsys.readouterr().err
    assert "backbone.gate_net.weight" in error and "--rename" in error and not out.exists()
    assert main([*source, *SIZES, "--rename", "backbone.gate_net.=fusion.gate.p5."]) == 0
    same(load_checkpoint(out).weights, state)


def test_arrays_of_numpy_and_remarks_beside_them_are_read(tmp_path):
    state = to_detectron2(model_of(config_of()).state_dict())
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    content = {"model": arrays, "__author__": "someone", "matching_heuristics": True}
    content["best"] = np.float64(0.5)
    torch.save(content, tmp_path / "zoo.pth")
    same(to_detectron2(read_source(str(tmp_path / "zoo.pth")).weights), state)


def test_module_prefix_and_bare_state_dicts(tmp_path):
    state = model_of(config_of()).state_dict()
    torch.save({f"module.{k}": v for k, v in to_detectron2(state).items()}, tmp_path / "ddp.pth")
    torch.save(state, tmp_path / "bare.pth")
    for name, kind in (("ddp", "detectron2"), ("bare", "lmv3det")):
        source = read_source(str(tmp_path / f"{name}.pth"))
        assert source.kind == kind
        same(source.weights, state)


def test_folder_for_detectron2_has_yaml_and_config(tmp_path, image_only):
    out = tmp_path / "d2"
    assert main(["convert", str(image_only), "--to", "detectron2", "--out", str(out)]) == 0
    assert sorted(p.name for p in out.iterdir()) == [
        "config.json",
        "config.yaml",
        "model_final.pth",
    ]
    back = tmp_path / "back.pth"
    source = ["convert", str(out / "model_final.pth"), "--yaml", str(out / "config.yaml")]
    given = ["--to", "lmv3det", "--classes", "A,B,C", "--out", str(back), *SIZES]
    assert main([*source, *given]) == 0
    before, after = load_checkpoint(image_only), load_checkpoint(back)
    same(before.weights, after.weights)
    assert before.config.rpn == after.config.rpn and before.config.roi == after.config.roi
    assert before.config.input == after.config.input and before.config.test == after.config.test


# -- our folder ----------------------------------------------------------------------------------


def test_our_folder_there_and_back(tmp_path):
    checkpoint = checkpoint_of(config_of(**TEXT, fusion={"kind": "gated"}))
    checkpoint.tokenizer_files = {"vocab.txt": torch.tensor([1, 2, 255], dtype=torch.uint8)}
    checkpoint.step = 12
    save_pretrained(checkpoint, tmp_path / "model")
    back = from_pretrained(tmp_path / "model")
    same(back.weights, checkpoint.weights)
    same(back.tokenizer_files, checkpoint.tokenizer_files)
    assert back.config == checkpoint.config and back.categories == ABC and back.step == 12
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]
    with pytest.raises(InputError, match="is there already"):
        save_pretrained(checkpoint, tmp_path / "model")


def test_folder_and_checkpoint_through_the_command(tmp_path, image_only):
    folder, back = tmp_path / "folder", tmp_path / "back.pth"
    assert main(["convert", str(image_only), "--to", "pretrained", "--out", str(folder)]) == 0
    assert main(["convert", str(folder), "--to", "lmv3det", "--out", str(back)]) == 0
    before, after = load_checkpoint(image_only), load_checkpoint(back)
    same(before.weights, after.weights)
    assert before.config == after.config and before.categories == after.categories


@pytest.mark.parametrize("lost", ["config.yaml", "model.safetensors", "lmv3det.json"])
def test_our_folder_with_a_file_lost(tmp_path, lost):
    save_pretrained(checkpoint_of(config_of()), tmp_path / "model")
    (tmp_path / "model" / lost).unlink()
    with pytest.raises(InputError, match=r"model"):
        from_pretrained(tmp_path / "model")


# -- the start of a training ---------------------------------------------------------------------


def test_own_checkpoint_loads_whole(image_only):
    config = config_of()
    model = build_detector(config)
    report = load_initial_weights(model, str(image_only), config, categories=ABC)
    same(model.state_dict(), load_checkpoint(image_only).weights)
    assert not (report.fresh or report.left_out or report.adapted or report.notes)


def test_other_number_of_unnamed_classes_starts_anew(detectron2_file):
    config = config_of(model={"num_classes": 10})
    model = model_of(config, seed=5)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    report = load_initial_weights(model, str(detectron2_file), config)
    assert len(report.fresh) == 8
    assert set(report.fresh.values()) == {"the source has 3 classes, the model 10"}
    after = model.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in report.fresh)
    assert "cascade.predictors.2.bbox_pred.weight" in report.loaded


def test_classes_of_the_same_name_keep_their_rows(image_only):
    config = config_of(model={"num_classes": 4})
    model = model_of(config, seed=5)
    fresh = model.state_dict()["cascade.predictors.1.cls_score.weight"].clone()
    wanted = [Category(9, "c"), Category(5, "New"), Category(6, "A"), Category(7, "Other")]
    report = load_initial_weights(model, str(image_only), config, categories=wanted)
    old = load_checkpoint(image_only).weights
    row = model.state_dict()["cascade.predictors.1.cls_score.weight"]
    before = old["cascade.predictors.1.cls_score.weight"]
    assert torch.equal(row[[0, 2, 4]], before[[2, 0, 3]])  # C, A and the background
    assert torch.equal(row[[1, 3]], fresh[[1, 3]])
    mask = model.state_dict()["mask_head.predictor.bias"]
    assert torch.equal(mask[[0, 2]], old["mask_head.predictor.bias"][[2, 0]])
    assert any("classes kept: c, A; new: New, Other" in what for _, what in report.adapted)


def test_a_class_starts_from_the_nearest_one(tmp_path):
    config = config_of(model={"num_classes": 2})
    fine = [Category(1, "Figure"), Category(2, "Title")]
    save_checkpoint(tmp_path / "fine.pth", checkpoint_of(config, fine))
    wanted = [Category(1, "Section-header"), Category(2, "Picture"), Category(3, "Stamp")]
    mine = config_of(model={"num_classes": 3})
    model = model_of(mine, seed=5)
    report = load_initial_weights(model, str(tmp_path / "fine.pth"), mine, categories=wanted)
    name = "cascade.predictors.0.cls_score.weight"
    old = load_checkpoint(tmp_path / "fine.pth").weights[name]
    assert torch.equal(model.state_dict()[name][[0, 1, 3]], old[[1, 0, 2]])
    said = "classes kept: Section-header (from Title), Picture (from Figure); new: Stamp"
    assert any(said in what for _, what in report.adapted)


def test_same_number_of_other_classes_starts_anew(image_only):
    config = config_of()
    wanted = [Category(1, "X"), Category(2, "Y"), Category(3, "Z")]
    report = load_initial_weights(
        build_detector(config), str(image_only), config, categories=wanted
    )
    assert set(report.fresh.values()) == {"the classes are others"}
    assert len(report.fresh) == 8


def test_reordered_classes_are_reordered(image_only):
    config = config_of()
    model = build_detector(config)
    load_initial_weights(model, str(image_only), config, categories=ABC[::-1])
    old = load_checkpoint(image_only).weights["cascade.predictors.0.cls_score.bias"]
    assert torch.equal(model.cascade.predictors[0].cls_score.bias, old[[2, 1, 0, 3]])


@pytest.mark.parametrize("kind", ["gated", "concat", "roi"])
def test_text_model_starts_from_an_image_only_one(image_only, kind):
    """What the text adds starts anew; wider inputs begin as the image-only detector."""
    config = config_of(**TEXT, fusion={"kind": kind})
    model = model_of(config, seed=5)
    report = load_initial_weights(model, str(image_only), config, categories=ABC)
    old = load_checkpoint(image_only).weights
    assert report.fresh["backbone.text_embedding.word.weight"] == "the source has no text tables"
    if kind == "gated":
        assert report.fresh["fusion.gate.p5.weight"] == "the source's fusion has none"
    if kind == "concat":
        lateral = model.fpn.lateral[3].weight
        assert torch.equal(lateral[:, :24], old["fpn.lateral.3.weight"])
        assert not lateral[:, 24:].any()
    if kind == "roi":
        score = model.cascade.predictors[0].cls_score.weight
        assert torch.equal(score[:, :8], old["cascade.predictors.0.cls_score.weight"])
        assert not score[:, 8:].any()


def test_image_only_model_starts_from_a_multimodal_one(tmp_path):
    path = tmp_path / "text.pth"
    save_checkpoint(path, checkpoint_of(config_of(**TEXT, fusion={"kind": "concat"})))
    config = config_of(model={"num_classes": 3, "mask_on": False})
    model = build_detector(config)
    report = load_initial_weights(model, str(path), config, categories=ABC)
    assert {"the model is image only", "model.mask_on is off"} == set(report.left_out.values())
    old = load_checkpoint(path).weights["fpn.lateral.3.weight"]
    assert torch.equal(model.fpn.lateral[3].weight, old[:, :24])


def test_missing_unexpected_and_wrong_shapes_are_refused_unless_allowed(tmp_path):
    state = to_detectron2(model_of(config_of()).state_dict())
    del state["backbone.fpn_output4.bias"]
    state["backbone.stray"] = torch.zeros(2)
    state["proposal_generator.rpn_head.conv.bias"] = torch.zeros(5)
    torch.save(state, tmp_path / "bad.pth")
    config = config_of()
    model = build_detector(config)
    with pytest.raises(InputError) as caught:
        load_initial_weights(model, str(tmp_path / "bad.pth"), config)
    for part in ("fpn.output.2.bias", "backbone.stray", "rpn.head.conv.bias is 5", "8"):
        assert part in str(caught.value)
    report = load_initial_weights(model, str(tmp_path / "bad.pth"), config, strict=False)
    assert report.missing == ["fpn.output.2.bias"] and report.unexpected == ["backbone.stray"]
    assert report.wrong_shape == [("rpn.head.conv.bias", (5,), (8,))]


@pytest.mark.parametrize("theirs", [{}, TEXT, {**TEXT, "fusion": {"kind": "gated"}}])
@pytest.mark.parametrize(
    "ours",
    [
        {},
        {**TEXT, "fusion": {"kind": "roi"}, "model": {"num_classes": 5}},
        {"model": {"num_classes": 3, "mask_on": False}, "neck": {"norm": "frozen"}},
        {"relation": {"enabled": True, "dim": 16, "heads": 2}},
    ],
)
def test_every_tensor_of_both_sides_is_in_the_report(tmp_path, theirs, ours):
    save_checkpoint(tmp_path / "a.pth", checkpoint_of(config_of(**theirs)))
    config = config_of(**ours)
    wanted = [*ABC[:2], *(Category(n, f"new{n}") for n in range(3, 9))]
    wanted = wanted[: config.model.num_classes]
    model = build_detector(config)
    report = load_initial_weights(
        model, str(tmp_path / "a.pth"), config, categories=wanted, strict=False
    )
    wrong = {name for name, _, _ in report.wrong_shape}
    groups = [set(report.loaded), set(report.fresh), set(report.missing), wrong]
    assert set().union(*groups) == set(model.state_dict())
    assert sum(map(len, groups)) == len(model.state_dict())
    source = set(load_checkpoint(tmp_path / "a.pth").weights)
    assert set(report.left_out) | set(report.unexpected) == source - set(model.state_dict())
    assert not report.missing and not report.unexpected and not wrong


def test_wider_classifier_with_other_classes(image_only):
    config = config_of(**TEXT, fusion={"kind": "roi"})
    model = model_of(config, seed=5)
    wanted = [Category(1, "New"), Category(2, "B"), Category(3, "A")]
    load_initial_weights(model, str(image_only), config, categories=wanted)
    old = load_checkpoint(image_only).weights["cascade.predictors.0.cls_score.weight"]
    score = model.cascade.predictors[0].cls_score.weight
    assert score.shape == (4, 16)
    assert torch.equal(score[1:, :8], old[[1, 0, 3]]) and not score[:, 8:].any()


def test_settings_of_our_checkpoint_are_changed(tmp_path, image_only):
    out = tmp_path / "o.pth"
    given = ["--to", "lmv3det", "--out", str(out), "--classes", "X,B,C"]
    assert main(["convert", str(image_only), *given, "test.score_threshold=3e-1"]) == 0
    changed, before = load_checkpoint(out), load_checkpoint(image_only)
    assert changed.config.test.score_threshold == 0.3
    assert [c.name for c in changed.categories] == ["X", "B", "C"]
    row = "cascade.predictors.0.cls_score.bias"
    assert torch.equal(changed.weights[row], before.weights[row])


def test_tokenizer_is_kept_with_the_weights(tmp_path):
    texts = ["some words of a page", "and of another"]
    size = train_tokenizer(texts, tmp_path / "tokenizer", vocab_size=300)
    config = config_of(backbone={"vocab_size": size}, **TEXT)
    torch.save({"model": to_detectron2(model_of(config).state_dict())}, tmp_path / "notes.pth")
    out, folder = tmp_path / "ours.pth", tmp_path / "folder"
    given = ["--classes", "A,B,C", f"text.tokenizer={tmp_path / 'tokenizer'}", *SIZES]
    source = ["convert", str(tmp_path / "notes.pth"), "--to", "lmv3det", *given]
    assert main([*source, "--out", str(out)]) == 0
    shutil.rmtree(tmp_path / "tokenizer")
    assert main(["convert", str(out), "--to", "pretrained", "--out", str(folder)]) == 0
    assert (folder / "tokenizer" / "tokenizer.json").is_file()
    assert Detector.load(folder, "cpu").uses_text
    same(from_pretrained(folder).tokenizer_files, load_checkpoint(out).tokenizer_files)


def test_what_weights_do_not_show_is_said(tmp_path, capsys):
    sections = {"backbone": {"spatial_bias": True}, "fusion": {"kind": "roi", "levels": [3]}}
    config = config_of(**TEXT, **sections, relation={"enabled": True, "dim": 16, "heads": 2})
    torch.save({"model": to_detectron2(model_of(config).state_dict())}, tmp_path / "notes.pth")
    source = ["convert", str(tmp_path / "notes.pth"), "--to", "lmv3det", "--classes", "A,B,C"]
    given = [word for word in SIZES if "heads" not in word]
    assert main([*source, *given, "backbone.heads=2", "--out", str(tmp_path / "a.pth")]) == 0
    said = capsys.readouterr().out
    for key in ("backbone.spatial_bias", "text.selection", "fusion.levels", "fusion.reduce"):
        assert f"{key} " in said
    assert "relation.heads cannot" in said and "backbone.heads cannot" not in said
    assert load_checkpoint(tmp_path / "a.pth").config.backbone.spatial_bias
    right = ["fusion.levels=[3]", "fusion.reduce=sum", "relation.heads=2", "text.selection=first"]
    right += ["fusion.only_where_text=false"]
    words = [*source, *given, "backbone.heads=2", *right]
    assert main([*words, "--out", str(tmp_path / "b.pth")]) == 0
    assert "cannot be read from weights" not in capsys.readouterr().out
    assert load_checkpoint(tmp_path / "b.pth").config.fusion.levels == [3]


# -- refusals ------------------------------------------------------------------------------------


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return (Path.touch, (self.target,))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("place", ["value", "whole"])
def test_payload_does_not_run(tmp_path, capsys, place):
    trap, path = tmp_path / "trap", tmp_path / "evil.pth"
    content = Payload(trap) if place == "whole" else {"model": {"x": Payload(trap)}}
    torch.save(content, path)
    command = ["convert", str(path), "--to", "lmv3det", "--out", str(tmp_path / "o.pth")]
    assert main(command) == 1
    assert "run code" in capsys.readouterr().err
    with open(path, "wb") as stream:
        pickle.dump(content, stream)
    assert main(command) == 1
    assert not trap.exists()


def test_pickle_is_refused_with_the_mend(tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"model": {"a": np.zeros(2)}}))
    with pytest.raises(InputError, match=r"pickle.*torch\.save"):
        read_source(str(path))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", ["cut", "text", "png", "zip", "empty", "pointer"])
def test_damaged_and_wrong_files(tmp_path, detectron2_file, suffix, content):
    path = tmp_path / f"bad{suffix}"
    whole = detectron2_file.read_bytes()
    if suffix == ".safetensors":
        save_file({"a": torch.zeros(1000)}, path)
        whole = path.read_bytes()
    data = {
        "cut": whole[: len(whole) // 2],
        "text": b"hello, this is no model\n" * 9,
        "png": b"\x89PNG\r\n\x1a\n" + bytes(200),
        "zip": b"PK\x03\x04" + bytes(100),
        "empty": b"",
        "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    }
    path.write_bytes(data[content])
    with pytest.raises(InputError, match=r"bad") as caught:
        read_source(str(path))
    assert ("git lfs pull" in str(caught.value)) == (content == "pointer")


def test_other_models_and_places(tmp_path):
    torch.save({"conv1.weight": torch.zeros(2)}, tmp_path / "resnet.pth")
    with pytest.raises(InputError, match=r"not a LayoutLMv3 model.*conv1\.weight"):
        read_source(str(tmp_path / "resnet.pth"))
    torch.save({"epoch": 3}, tmp_path / "none.pth")
    with pytest.raises(InputError, match="no tensors"):
        read_source(str(tmp_path / "none.pth"))
    with pytest.raises(InputError, match="no such file"):
        read_source(str(tmp_path / "lost.pth"))
    with pytest.raises(InputError, match="name the file in it"):
        read_source(str(tmp_path))
    hub_folder(tmp_path / "hub", "safetensors")
    config = json.loads((tmp_path / "hub/config.json").read_text())
    (tmp_path / "hub/config.json").write_text(json.dumps({**config, "model_type": "layoutlmv2"}))
    with pytest.raises(InputError, match="layoutlmv2"):
        read_source(str(tmp_path / "hub"))


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ([], "does not name its 3 classes"),
        (["--classes", "A,B"], "has 3 classes, but 2 are named"),
        (["--classes", "A,B,A"], "a name of its own"),
        (["--classes", "A,B,C", "neck.out_channels=16"], "neck.out_channels 8"),
        (["--classes", "A,B,C", "--rename", "nothing.=x."], "no name begins with"),
        (["--annotations", "lost.json"], "lost.json"),
    ],
)
def test_wrong_requests(tmp_path, detectron2_file, capsys, arguments, wanted):
    out = tmp_path / "o.pth"
    command = ["convert", str(detectron2_file), "--to", "lmv3det", "--out", str(out)]
    assert main([*command, *SIZES, *arguments]) == 1
    error = capsys.readouterr().err
    assert wanted in error and error.count("\n") == 1
    assert not out.exists()


def test_yaml_of_another_class_count(tmp_path, detectron2_file, capsys):
    yaml = tmp_path / "their.yaml"
    yaml.write_text("MODEL: {ROI_HEADS: {NUM_CLASSES: 7}}")
    command = ["convert", str(detectron2_file), "--yaml", str(yaml), "--classes", "A,B,C", *SIZES]
    assert main([*command, "--to", "lmv3det", "--out", str(tmp_path / "o.pth")]) == 1
    assert "model.num_classes 3, the settings given say 7" in capsys.readouterr().err


def test_a_yaml_that_counts_the_background(tmp_path, detectron2_file, capsys):
    """NUM_CLASSES 3 and two categories: the class that no region has gets a name of its own."""
    yaml, out = tmp_path / "their.yaml", tmp_path / "o.pth"
    yaml.write_text("MODEL: {ROI_HEADS: {NUM_CLASSES: 3}, VIT: {IMG_SIZE: [448, 448]}}")
    command = ["convert", str(detectron2_file), "--yaml", str(yaml), "--to", "lmv3det", *SIZES]
    assert main([*command, "--classes", "A,B", "--out", str(out)]) == 0
    assert "the last one is called 'unnamed 3'" in capsys.readouterr().out
    checkpoint = load_checkpoint(out)
    assert [(c.id, c.name) for c in checkpoint.categories] == [(1, "A"), (2, "B"), (3, "unnamed 3")]
    assert checkpoint.config.backbone.input_size == 224
    assert main([*command, "--classes", "A", "--out", str(tmp_path / "p.pth")]) == 1


def test_classes_from_a_coco_file(tmp_path, detectron2_file, tiny_data):
    tiny_data.content["categories"].append({"id": 4, "name": "List"})
    tiny_data.save()
    out = tmp_path / "o.pth"
    command = ["convert", str(detectron2_file), "--to", "lmv3det", "--out", str(out), *SIZES]
    assert main([*command, "--annotations", str(tiny_data.annotations)]) == 0
    found = [(c.id, c.name) for c in load_checkpoint(out).categories]
    assert found == [(3, "Table"), (4, "List"), (7, "Text")]


def test_nothing_is_overwritten(tmp_path, image_only, capsys):
    before = image_only.read_bytes()
    command = ["convert", str(image_only), "--to", "detectron2", "--out", str(image_only)]
    assert main(command) == 1
    assert "is there already" in capsys.readouterr().err
    assert image_only.read_bytes() == before
