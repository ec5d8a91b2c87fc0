"""The examples run as files, and their classes plug in from a YAML config."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from training_helpers import tiny_config as training_config

from lmv3det.checkpoint.file import Checkpoint, load_checkpoint, save_checkpoint
from lmv3det.checkpoint.folder import from_pretrained
from lmv3det.cli import main
from lmv3det.config import from_dict, load_config, merge, to_dict, to_yaml
from lmv3det.convert import load_initial_weights
from lmv3det.data.categories import Category
from lmv3det.errors import InputError
from lmv3det.inference.default_model import default_model_folder
from lmv3det.inference.detector import Detector
from lmv3det.inference.export.onnx_file import export_onnx
from lmv3det.model.backbone import SentenceEncoder
from lmv3det.model.detector import build_detector
from lmv3det.structures import Batch, Target

ROOT = Path(__file__).parent.parent
SMALL = """
model: {num_classes: 3, mask_on: false}
backbone: {hidden_size: 32, layers: 4, heads: 2, intermediate_size: 64, out_indices: [0, 1, 2, 3],
           coordinate_size: 6, shape_size: 4, vocab_size: 100}
neck: {out_channels: 32}
roi: {fc_dim: 48, sampling_ratio: 2}
text: {selection: first}
"""


@pytest.fixture
def examples(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "examples"))


def make_page() -> Batch:
    return Batch(
        images=torch.randn(1, 3, 64, 96),
        image_sizes=[(64, 96)],
        input_ids=torch.tensor([[5, 9]]),
        text_boxes=torch.tensor([[[100, 100, 450, 300], [0, 0, 90, 400]]]),
        text_mask=torch.ones(1, 2, dtype=torch.bool),
        targets=[Target(torch.tensor([[10.0, 8.0, 60.0, 30.0]]), torch.tensor([1]))],
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("custom_fusion", "FiLMFusion on levels (4, 5)"),
        ("custom_head", "ConvHead, ConvHead"),
        ("custom_encoder", "ConvEncoder with strides [4, 8, 16, 32]"),
        ("resnet_detector", "loss_box_reg_stage2"),
    ],
)
def test_the_file_runs(name: str, said: str) -> None:
    run = run_example(name)
    assert said in run.stdout and "detections" in run.stdout


def run_example(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, str(ROOT / "examples" / f"{name}.py"), *arguments],
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run


def test_fusion_from_a_config(examples, tmp_path: Path) -> None:
    path = tmp_path / "film.yaml"
    path.write_text(
        SMALL + "fusion: {kind: 'custom_fusion:FiLMFusion', levels: [3], reduce: mean}\n",
        encoding="utf-8",
    )
    torch.manual_seed(0)
    detector = build_detector(load_config(path))
    assert type(detector.fusion).__name__ == "FiLMFusion"
    assert detector.fusion.levels == (3,) and detector.fusion.reduce == "mean"
    page = make_page()
    detector.eval()
    start = detector.features(page)[0]
    plain = detector.fpn(
        detector.pyramid(
            detector.backbone(page.images, page.input_ids, page.text_boxes, page.text_mask)[0]
        )
    )
    assert all(map(torch.equal, start, plain)), "FiLM starts as the identity"
    sum(detector.train().losses(page).values()).backward()
    assert detector.fusion.film["p3"].weight.grad.abs().max() > 0


def test_head_from_a_config(examples, tmp_path: Path) -> None:
    path = tmp_path / "head.yaml"
    path.write_text(SMALL, encoding="utf-8")
    torch.manual_seed(0)
    detector = build_detector(load_config(path, ["roi.head=custom_head:ConvHead"]))
    assert [type(head).__name__ for head in detector.cascade.heads] == ["ConvHead"] * 3
    sum(detector.train().losses(make_page()).values()).backward()
    path.write_text(
        SMALL.replace("sampling_ratio: 2", "sampling_ratio: 2, head_options: {convolutions: 3}")
    )
    deeper = build_detector(load_config(path, ["roi.head=custom_head:ConvHead"]))
    assert len(deeper.cascade.heads[0].convolutions) == 3 * 3  # convolution, norm, ReLU each
    for head in detector.cascade.heads:
        assert all(p.grad is not None and p.grad.abs().max() > 0 for p in head.parameters())


def test_losses_from_a_config(examples, tmp_path: Path) -> None:
    """The example's own losses are lower; what they do not touch is equal to the bit."""
    lines = [line.split() for line in run_example("custom_loss").stdout.splitlines()]
    found = {line[0]: (float(line[1]), float(line[3])) for line in lines}
    for name, (usual, own) in found.items():
        if name.startswith("loss_cls"):
            assert own < usual
        elif name == "loss_rpn_cls":
            assert own != usual
        else:
            assert own == usual
    path = tmp_path / "loss.yaml"
    path.write_text(SMALL, encoding="utf-8")
    words = ["roi.predictor=custom_loss:FocalPredictor", "roi.predictor_options={gamma: 3.0}"]
    detector = build_detector(load_config(path, words))
    assert [p.gamma for p in detector.cascade.predictors] == [3.0] * 3
    assert detector.cascade.predictors[1].box_weights == (20.0, 20.0, 10.0, 10.0)
    with pytest.raises(InputError, match=r"roi\.predictor .* unexpected keyword .* 'gama'"):
        build_detector(load_config(path, [words[0], "roi.predictor_options={gama: 3.0}"]))
    with pytest.raises(InputError, match="does not derive from RPN"):
        build_detector(load_config(path, ["rpn.kind=custom_loss:FocalPredictor"]))
    with pytest.raises(InputError, match=r"roi\.predictor_options is .* empty without"):
        load_config(path, words[1:])
    torch.manual_seed(0)
    config = load_config(path, ["rpn.kind=custom_loss:SmoothRPN", *words])
    checkpoint = tmp_path / "own.pth"
    model = build_detector(config)
    save_checkpoint(checkpoint, Checkpoint(model.state_dict(), config, [Category(1, "Text")] * 3))
    for code in ("roi.predictor", "rpn.kind"):
        usual = [f"{code}=null"]
        usual += [f"{'roi.predictor_options' if 'roi' in code else 'rpn.options'}={{}}"]
        with pytest.raises(InputError, match="trust-code"):
            load_initial_weights(model, str(checkpoint), load_config(path, usual))


def test_the_resnet_trains_by_its_command(examples, tiny_data, tmp_path: Path) -> None:
    tiny_data.save()
    words = ["input.min_size_train=[64]", "input.max_size_train=96", "input.min_size_test=64",
             "input.max_size_test=96", "solver.steps=1", "solver.batch_size=1", "data.workers=0",
             "device=cpu", f"output_dir={tmp_path}/run"]  # fmt: skip
    run_example("resnet_detector", str(tiny_data.annotations), str(tiny_data.images), *words)
    weights = load_checkpoint(tmp_path / "run" / "last.pth").weights
    assert "backbone.body.conv1.weight" in weights and "rpn.head.conv.weight" in weights


def test_head_at_the_tiny_configs_width(examples) -> None:
    """48 channels, which 32 groups do not divide."""
    words = ["roi.head=custom_head:ConvHead", "model.num_classes=3", "text.selection=first"]
    torch.manual_seed(0)
    detector = build_detector(load_config("tiny", words))
    losses = detector.train().losses(make_page())
    assert all(loss.isfinite() for loss in losses.values())


def test_a_head_that_is_not_there(examples, tmp_path: Path) -> None:
    path = tmp_path / "head.yaml"
    path.write_text(SMALL, encoding="utf-8")
    config = load_config(path, ["roi.head=custom_head:NoSuchHead"])
    with pytest.raises(InputError, match=r"roi.head is 'custom_head:NoSuchHead'"):
        build_detector(config)


class FirstPiece(SentenceEncoder):
    """A line is its first word piece, through a layer that starts as the identity."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__(hidden_size)
        self.layer = torch.nn.Linear(hidden_size, hidden_size)
        torch.nn.init.eye_(self.layer.weight)
        torch.nn.init.zeros_(self.layer.bias)

    def forward(self, pieces: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        assert real.dtype == torch.bool and real.shape == pieces.shape[:3]
        return self.layer(pieces[:, :, 0])


def test_a_sentence_encoder_of_ones_own(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "own_sentences", sys.modules[__name__])
    path = tmp_path / "own.yaml"
    path.write_text(SMALL)
    words = ["text.selection=sentence", "text.sentence_encoder=own_sentences:FirstPiece"]
    torch.manual_seed(0)
    own = build_detector(load_config(path, words)).eval()
    torch.manual_seed(0)
    mean = build_detector(load_config(path, words[:1])).eval()
    missing, unexpected = own.load_state_dict(mean.state_dict(), strict=False)
    assert not unexpected and all(".sentence.layer." in name for name in missing)
    page = make_page()
    several, first = torch.tensor([[[5, 7, 9], [9, 8, 1]]]), torch.tensor([[[5], [9]]])

    def states(model, ids: torch.Tensor) -> torch.Tensor:
        boxes, mask = page.text_boxes, page.text_mask
        return model.backbone(page.images, ids, boxes, mask, page.image_sizes)[1][-1]

    with torch.no_grad():
        assert torch.equal(states(own, several), states(mean, first))
        assert not torch.allclose(states(own, several), states(mean, several))
    page.input_ids = several
    sum(own.train()(page).values()).backward()
    assert own.backbone.text_embedding.sentence.layer.weight.grad.abs().sum() > 0
    with pytest.raises(InputError, match=r"text\.selection=sentence"):
        load_config(path, words[1:])
    with pytest.raises(InputError, match="derive from SentenceEncoder"):
        build_detector(load_config(path, [words[0], "text.sentence_encoder=torch.nn:Linear"]))


def test_a_head_of_ones_own_starts_from_the_packed_model(examples, tmp_path) -> None:
    """docs/howto/head.md: everything but the head is loaded, the log says what starts anew, and the
    detector trains; back to the usual head, the other way round."""
    folder = default_model_folder()
    classes = len(from_pretrained(folder).categories)
    overrides = [f"model.num_classes={classes}", f"text.tokenizer={folder / 'tokenizer'}"]
    config = load_config("finetune", ["roi.head=custom_head:ConvHead", *overrides])
    model = build_detector(config)
    report = load_initial_weights(model, str(folder), config)
    stored = from_pretrained(folder)
    for name, tensor in model.state_dict().items():
        if name.startswith("cascade.heads."):
            assert "custom_head:ConvHead" in report.fresh[name], name
        elif not name.endswith("num_batches_tracked"):
            assert torch.equal(tensor, stored.weights[name].to(tensor.dtype)), name
    losses = model.losses(make_page())
    torch.stack(list(losses.values())).sum().backward()
    assert all(p.grad is not None for p in model.cascade.heads.parameters())

    path = tmp_path / "own.pth"
    save_checkpoint(path, Checkpoint(model.state_dict(), config, stored.categories))
    usual = load_config("finetune", overrides)
    with pytest.raises(InputError, match="trust-code"):
        load_initial_weights(build_detector(usual), str(path), usual)
    report = load_initial_weights(build_detector(usual), str(path), usual, trust_code=True)
    assert "cascade.heads.0.convolutions.0.weight" in report.left_out
    assert "cascade.heads.0.fc1.weight" in report.fresh and not report.missing


def test_what_does_not_fit_names_the_command_that_mends_it(tmp_path) -> None:
    config = load_config("finetune", ["model.num_classes=10", "neck.out_channels=32"])
    with pytest.raises(InputError, match=r"lmv3det convert .* --allow-missing"):
        load_initial_weights(build_detector(config), str(default_model_folder()), config)


def test_an_encoder_of_ones_own_is_trained_loaded_and_exported(
    examples, tiny_data, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    backbone = {"kind": "custom_encoder:ConvEncoder", "options": {"width": 8}}
    config = training_config(tiny_data.root, tmp_path / "out", solver={"steps": 2})
    values = merge(to_dict(config), {"backbone": backbone, "solver": {"layer_decay": 0.9}})
    (tmp_path / "own.yaml").write_text(to_yaml(from_dict(values)), encoding="utf-8")
    assert main(["train", "--config", str(tmp_path / "own.yaml")]) == 0
    last = tmp_path / "out" / "last.pth"
    with pytest.raises(InputError, match=r"backbone\.kind is 'custom_encoder:ConvEncoder'.*trust"):
        Detector.load(last, "cpu")
    detector = Detector.load(last, "cpu", trust_code=True)
    assert type(detector.model.backbone).__name__ == "ConvEncoder"
    assert len(detector.predict([np.full((64, 80, 3), 200, np.uint8)])) == 1
    exported = export_onnx(last, tmp_path / "own.onnx", trust_code=True)
    assert all(one.within == one.compared for one in exported.differences)
