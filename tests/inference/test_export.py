"""The exported file against the detector that it was made of, and against misuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lmv3det.checkpoint.file import load_checkpoint, save_checkpoint
from lmv3det.checkpoint.loading import load_detector
from lmv3det.cli.app import main
from lmv3det.errors import InputError
from lmv3det.inference.detector import Detector
from lmv3det.structures import Batch, Detections, as_array
from lmv3det.text.ocr_json import OcrPage
from lmv3det.text.tokenization import PageTokenizer
from lmv3det.text.train_tokenizer import train_tokenizer
from tests.tiny_detector import tiny_checkpoint, tiny_config

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from lmv3det.inference.export import onnx_file  # noqa: E402
from lmv3det.inference.export.graph import DetectorGraph  # noqa: E402
from lmv3det.inference.export.onnx_file import compare, export_onnx  # noqa: E402
from lmv3det.inference.export.small_weights import quantize  # noqa: E402
from lmv3det.inference.onnx_model import load_onnx  # noqa: E402

# Random weights give every class about 1/3: at 0.3 there are detections, and no crowd.
LOW = "test.score_threshold=0.3"


@pytest.fixture(scope="module")
def image_only(tmp_path_factory) -> tuple[Path, Path]:
    """A checkpoint with a mask head, and its ONNX file."""
    folder = tmp_path_factory.mktemp("image_only")
    source = tiny_checkpoint(folder / "model.pth", tiny_config(model={"mask_on": True}))
    export_onnx(source, folder / "model.onnx", [LOW])
    return source, folder / "model.onnx"


@pytest.fixture(scope="module")
def with_text(tmp_path_factory) -> tuple[Path, Path]:
    """The same of a model with text, its fusion, position biases and a relation module."""
    folder = tmp_path_factory.mktemp("with_text")
    train_tokenizer(["one two three", "four five six"] * 20, folder / "tokenizer", 300, "bpe")
    encoder = PageTokenizer(folder / "tokenizer")
    config = tiny_config(
        text={"selection": "first"},
        fusion={"kind": "gated"},
        relation={"enabled": True},
        backbone={
            "vocab_size": encoder.vocab_size,
            "pad_token_id": encoder.pad_token_id,
            "relative_bias": True,
            "spatial_bias": True,
        },
    )
    source = tiny_checkpoint(folder / "model.pth", config, tokenizer_files=encoder.files())
    checkpoint = load_checkpoint(source)
    biases = [name for name in checkpoint.weights if "_bias" in name and "backbone" in name]
    assert len(biases) == 3
    for name, value in checkpoint.weights.items():
        if name.endswith(("_bias.weight", "_bias_x.weight", "_bias_y.weight")):  # 0 at first
            checkpoint.weights[name] = torch.randn(value.shape)
        if "relation.cls_score" in name or "relation.bbox_pred" in name:
            checkpoint.weights[name] = 0.05 * torch.randn(value.shape)
    source = folder / "related.pth"
    save_checkpoint(source, checkpoint)
    export_onnx(source, folder / "model.onnx", [LOW])
    return source, folder / "model.onnx"


def random_page(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)


def assert_same(one: Detections, two: Detections) -> None:
    assert len(one) == len(two) > 0
    np.testing.assert_allclose(as_array(one.boxes), as_array(two.boxes), rtol=0, atol=0.05)
    np.testing.assert_allclose(as_array(one.scores), as_array(two.scores), rtol=0, atol=1e-4)
    assert one.classes.tolist() == two.classes.tolist()


def test_the_file_predicts_as_the_checkpoint(image_only):
    source, path = image_only
    pages = [random_page(64, 64), random_page(90, 60), random_page(200, 333)]
    wanted = Detector.load(source, "cpu", [LOW, "model.mask_on=false"]).predict(pages)
    found = Detector.load(path).predict(pages, batch_size=2)
    for one, two in zip(wanted, found, strict=True):
        assert_same(one, two)
        assert one.names == two.names == ["Table", "Text"]


def test_with_text_without_and_with_none_at_all(with_text):
    source, path = with_text
    page = random_page(80, 64)
    lines = OcrPage(np.array([[2.0, 2, 40, 9], [5, 20, 60, 30]]), ["one two", "six"], 64, 80)
    eager, exported = Detector.load(source, "cpu", [LOW]), Detector.load(path)
    (wanted,), (found,) = eager.predict(page, ocr=[lines]), exported.predict(page, ocr=[lines])
    assert_same(wanted, found)
    (no_text,), (none_found,) = eager.predict(page, ocr="none"), exported.predict(page, ocr="none")
    assert_same(no_text, none_found)
    assert found.scores.tolist() != none_found.scores.tolist()  # text has its effect in the graph


def test_a_page_without_regions(image_only, tmp_path):
    source, path = image_only
    (none,) = Detector.load(path).predict(random_page(64, 64), score_threshold=1.0)
    assert len(none) == 0
    export_onnx(source, tmp_path / "strict.onnx", ["test.score_threshold=1.0"])
    (none,) = Detector.load(tmp_path / "strict.onnx").predict(random_page(70, 64))
    assert none.boxes.shape == (0, 4) and none.classes.shape == none.scores.shape == (0,)


def test_a_page_without_proposals(tmp_path):
    """Deltas that are not finite are no proposals."""
    source = tiny_checkpoint(tmp_path / "model.pth")
    model, checkpoint = load_detector(source, "cpu", ["model.mask_on=false"])
    torch.nn.init.constant_(model.rpn.head.anchor_deltas.bias, float("nan"))
    onnx_file.write_graph(model, checkpoint, tmp_path / "empty.onnx")
    other, _ = load_onnx(tmp_path / "empty.onnx")
    batch = Batch(torch.randn(1, 3, 64, 96), [(64, 90)])
    found = other.find(onnx_file.batch_arrays(batch, checkpoint.config))
    assert len(found) == 0


def test_the_export_leaves_the_model_as_it_was(tmp_path):
    source = tiny_checkpoint(tmp_path / "model.pth")
    model, checkpoint = load_detector(source, "cpu")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    onnx_file.write_graph(model, checkpoint, tmp_path / "model.onnx")
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_of_two_exports_into_one_file_the_second_is_refused(image_only, tmp_path, monkeypatch):
    source, out, usual = image_only[0], tmp_path / "model.onnx", onnx_file._difference

    def with_a_second(*arguments):
        monkeypatch.setattr(onnx_file, "_difference", usual)
        with pytest.raises(InputError, match=r"model\.onnx: another export writes to it already"):
            export_onnx(source, out, [LOW])
        export_onnx(source, tmp_path / "other.onnx", [LOW])
        return usual(*arguments)

    monkeypatch.setattr(onnx_file, "_difference", with_a_second)
    export_onnx(source, out, [LOW])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "other.onnx"]


def test_the_file_describes_itself(with_text, tmp_path):
    source, path = with_text
    alone = tmp_path / "alone.onnx"
    alone.write_bytes(path.read_bytes())
    _, found = load_onnx(alone)
    wanted = load_checkpoint(source)
    assert found.categories == wanted.categories
    assert found.tokenizer_files.keys() == wanted.tokenizer_files.keys()
    for name, content in wanted.tokenizer_files.items():
        assert content.tolist() == found.tokenizer_files[name].tolist()
    assert found.config.fusion == wanted.config.fusion
    assert found.config.test.score_threshold == 0.3
    onnx.checker.check_model(onnx.load(alone))


def test_a_file_that_differs_is_not_written(image_only, tmp_path, monkeypatch):
    source, _ = image_only
    select = DetectorGraph.select

    def moved(self, boxes, scores, real):
        found, *rest = select(self, boxes, scores, real)
        return found + 0.2, *rest

    monkeypatch.setattr(DetectorGraph, "select", moved)
    out = tmp_path / "model.onnx"
    out.write_text("as it was")
    with pytest.raises(InputError, match="not written"):
        export_onnx(source, out, [LOW])
    assert out.read_text() == "as it was"
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]


def test_torchscript_predicts_as_the_checkpoint(with_text, tmp_path):
    source, _ = with_text
    out = tmp_path / "model.ts"
    assert main(["export", str(source), LOW, "--format", "torchscript", "--out", str(out)]) == 0
    model, _ = load_detector(source, "cpu", [LOW])
    names = dict.fromkeys(["lmv3det.categories", "lmv3det.tokenizer/tokenizer.json"], "")
    script = torch.jit.load(out, _extra_files=names)
    assert b"Table" in names["lmv3det.categories"] and names["lmv3det.tokenizer/tokenizer.json"]
    images, ids = torch.randn(1, 3, 64, 128), torch.randint(5, 50, (1, 9))
    boxes = torch.tensor([[100, 100, 300, 200]]).expand(1, 9, 4)
    (wanted,) = model.predict(Batch(images, [(60, 120)], ids, boxes))
    with torch.no_grad():
        mask = torch.ones(1, 9, dtype=torch.bool)
        found = script(images, torch.tensor([60, 120]), ids, boxes, mask)
    assert_same(wanted, Detections(*found, (60, 120)))


@pytest.mark.parametrize("bits, share, most", [(16, 0.55, 1e-3), (8, 0.32, 0.05)])
def test_small_weights(with_text, tmp_path, bits, share, most):
    """Smaller by what the weights take, and the same but for their rounding."""
    source, _ = with_text
    wide = tiny_checkpoint(tmp_path / "wide.pth", tiny_config(roi={"fc_dim": 512}))
    with pytest.raises(InputError, match="--check"):
        export_onnx(wide, tmp_path / "none.onnx", precision={16: "fp16", 8: "int8"}[bits])
    model, checkpoint = load_detector(wide, "cpu", ["model.mask_on=false", LOW])
    onnx_file.write_graph(model, checkpoint, tmp_path / "exact.onnx")
    onnx_file.write_small(model, checkpoint, tmp_path / "small.onnx", bits)
    sizes = [(tmp_path / name).stat().st_size for name in ("exact.onnx", "small.onnx")]
    graph = sizes[0] - 4 * sum(p.numel() for p in model.parameters())
    assert sizes[1] - graph < share * (sizes[0] - graph)
    (wanted,) = Detector.load(tmp_path / "exact.onnx").predict(random_page(64, 64))
    (found,) = Detector.load(tmp_path / "small.onnx").predict(random_page(64, 64))
    assert 0 < abs(wanted.scores[0] - found.scores[0]) < most
    model, checkpoint = load_detector(source, "cpu", [LOW])  # word table, attention
    onnx_file.write_small(model, checkpoint, tmp_path / "text.onnx", bits)
    onnx.checker.check_model(onnx.load(tmp_path / "text.onnx"))
    assert len(Detector.load(tmp_path / "text.onnx").predict(random_page(64, 64))[0])


def test_each_channel_has_its_scale():
    weight = np.array([[1.0, 0.5], [-254, 127], [0, 0]], dtype=np.float32)
    stored, scale = quantize(weight, 0)
    assert stored.tolist() == [[127, 64], [-127, 64], [0, 0]] and scale.shape == (3, 1)
    assert scale[1] == 2 and scale[2] == 1
    stored, scale = quantize(weight, -1)
    assert scale.shape == (1, 2) and stored[:, 1].tolist() == [0, 127, 0]
    error = np.abs(stored * scale - weight)
    assert (error <= scale / 2 + 1e-6).all()


def test_comparison_finds_what_lacks_and_forgives_the_edge():
    def page(*rows):
        boxes = torch.tensor([row[:4] for row in rows]).reshape(-1, 4)
        scores = torch.tensor([row[4] for row in rows])
        return Detections(boxes, scores, torch.tensor([int(r[5]) for r in rows]), (9, 9))

    one, edge = (0.0, 0.0, 5.0, 5.0, 0.9, 0), (1.0, 1.0, 3.0, 3.0, 0.3005, 1)

    def most(*pages):
        return compare(*pages, threshold, 100, 1e-3).max(axis=0, initial=0).tolist()

    threshold = 0.3
    assert most(page(one), page(one, edge)) == [0, 0]
    assert most(page(one), page())[0] == most(page(), page(one))[0] == float("inf")
    other_class = (0.0, 0.0, 5.0, 5.0, 0.9, 1)
    assert most(page(one), page(other_class))[0] == float("inf")
    moved = (0.0, 0.5, 5.0, 5.0, 0.8, 0)
    assert most(page(one), page(moved)) == pytest.approx([0.5, 0.1])
    threshold = 0.2
    assert most(page(one), page(one, edge))[0] == float("inf")
    # Both sides count: two that agree, and one that has no fellow.
    assert len(compare(page(one), page(one, edge), 0.2, 100, 1e-3)) == 3


def test_misuse_is_told_in_one_line(image_only, tmp_path):
    _, path = image_only
    with pytest.raises(InputError, match=r"export it with test\.score_threshold=0\.1"):
        Detector.load(path).predict(random_page(64, 64), score_threshold=0.1)
    with pytest.raises(InputError, match="part of the exported graph"):
        Detector.load(path, overrides=["test.nms_threshold=0.9"])
    with pytest.raises(InputError, match="runs on the CPU"):
        Detector.load(path, device="cuda")
    assert (
        Detector.load(path, overrides=["input.min_size_test=32"]).config.input.min_size_test == 32
    )
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match="cannot read it"):
        Detector.load(cut)
    stranger = onnx.load(path)
    del stranger.metadata_props[:]
    onnx.save(stranger, tmp_path / "stranger.onnx")
    with pytest.raises(InputError, match="not one that lmv3det export wrote"):
        Detector.load(tmp_path / "stranger.onnx")


def test_the_commands(image_only, tmp_path, capsys):
    from PIL import Image

    source, _ = image_only
    page, out = tmp_path / "page.png", tmp_path / "model.onnx"
    Image.fromarray(random_page(70, 64)).save(page)
    assert main(["export", str(source), LOW, "--out", str(out), "--check", str(page)]) == 0
    printed = capsys.readouterr().out
    assert "page.png" in printed and "masks" in printed
    words = ["predict", str(page), "--ckpt", str(out), "--out", str(tmp_path / "found")]
    assert main(words) == 0
    assert (tmp_path / "found" / "detections.json").is_file()
    assert main([*words, "--masks", "--overwrite"]) == 1
    assert main(["export", str(source), "--out", str(tmp_path / "model.bin")]) == 1
