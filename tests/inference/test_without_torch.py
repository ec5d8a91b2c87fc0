"""An ONNX file predicts where only the packages are installed that docs/export.md names."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.ops import nms

from lmv3det.checkpoint.loading import checkpoint_page_tokenizer, load_detector
from lmv3det.inference.detector import Detector
from lmv3det.inference.onnx_model import sample_arrays
from lmv3det.inference.selection import not_covered
from lmv3det.structures import Sample
from lmv3det.text.tokenization import PageTokenizer
from lmv3det.text.train_tokenizer import train_tokenizer
from tests.hand_made_pdf import words as pdf_words
from tests.hand_made_pdf import write_pdf
from tests.tiny_detector import tiny_checkpoint, tiny_config

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from lmv3det.inference.export.onnx_file import batch_arrays, export_onnx

ROOT = Path(__file__).parents[2]
IMPORTED = {"pillow": "PIL", "pyyaml": "yaml"}
"""Packages whose module has another name."""
RUN = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
from lmv3det.cli.app import main
sys.exit(main(sys.argv[1:]))
"""


def blocked_modules() -> list[str]:
    """Modules of lmv3det's dependencies that the documented command does not install."""
    text = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    (listed,) = re.findall(r"pip install (onnxruntime .*)", text)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [re.split(r"[<>=]", line)[0] for line in project["dependencies"]]
    left = [name for name in [*names, "onnx"] if name not in listed.split()]
    return [IMPORTED.get(name, name) for name in left]


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> tuple[Path, Path]:
    """A checkpoint with text, and its ONNX file."""
    folder = tmp_path_factory.mktemp("exported")
    train_tokenizer(["one two three", "four five six"] * 20, folder / "tokenizer", 300, "bpe")
    encoder = PageTokenizer(folder / "tokenizer")
    config = tiny_config(
        text={"selection": "first", "page_dropout": 0.1},
        fusion={"kind": "additive"},
        backbone={"vocab_size": encoder.vocab_size, "pad_token_id": encoder.pad_token_id},
    )
    source = tiny_checkpoint(folder / "model.pth", config, tokenizer_files=encoder.files())
    export_onnx(source, folder / "model.onnx", ["test.score_threshold=0.3"])
    return source, folder / "model.onnx"


def test_predict_imports_no_torch(exported, tmp_path):
    source, path = exported
    assert {"torch", "torchvision", "transformers"} <= set(blocked_modules())
    page = np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    Image.fromarray(page).save(tmp_path / "page.png")
    content = pdf_words(20, 350, "one two three", 60) + pdf_words(20, 150, "six five", 60)
    write_pdf(tmp_path / "paper.pdf", content)
    out = tmp_path / "out"
    words = ["predict", "page.png", "paper.pdf", "--ckpt", str(path), "--out", str(out)]
    words += ["--format", "coco,markdown,html,labelme,label-studio,cvat", "--draw-score", "0.3"]
    words += ["--max-overlap", "0.6", "--drop-nested"]
    command = [sys.executable, "-c", RUN.format(blocked=blocked_modules()), *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads((out / "detections.json").read_text(encoding="utf-8"))
    assert (out / "page.png").is_file() and (out / "label_studio.json").is_file()
    eager = Detector.load(source, "cpu", ["test.score_threshold=0.3"])
    inputs = [tmp_path / "page.png", tmp_path / "paper.pdf"]
    wanted = eager.predict(inputs, max_overlap=0.6, drop_nested=True)
    assert len(found) == len(wanted) == 2
    for one, two in zip(found, wanted, strict=True):
        expected = two.to_dict()["detections"]
        assert len(one["detections"]) == len(expected) > 0
        for a, b in zip(one["detections"], expected, strict=True):
            assert a["category"] == b["category"] and a.get("lines") == b.get("lines")
            assert a["bbox"] == pytest.approx(b["bbox"], abs=0.1)
            assert a["score"] == pytest.approx(b["score"], abs=1e-3)
    (unread,) = eager.predict(inputs[1], "none", max_overlap=0.6, drop_nested=True)
    assert unread.scores.tolist() != wanted[1].scores.tolist()  # so the text layer was read


@pytest.mark.parametrize("lines", [[], ["one two", "six"]])
def test_the_arrays_are_those_of_the_batch(exported, lines):
    _, checkpoint = load_detector(exported[0])
    detector = Detector.load(exported[0], "cpu")
    image = np.random.default_rng(1).integers(0, 256, (50, 71, 3), dtype=np.uint8)
    boxes = np.array([[2.0, 2, 40, 9], [5, 20, 60, 30]])[: len(lines)].reshape(-1, 4)
    sample = Sample(image, None, line_boxes=boxes, lines=lines)  # type: ignore[arg-type]
    batch = detector.collate([sample]).normalized()
    wanted = batch_arrays(batch, checkpoint.config)
    tokenizer = checkpoint_page_tokenizer(checkpoint)
    found = sample_arrays(sample, checkpoint.config, tokenizer)
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        assert array.dtype == found[name].dtype
        np.testing.assert_array_equal(array, found[name], err_msg=name)


def test_suppression_is_torchvisions():
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(300, 2, generator=generator) * 20
    sides = torch.rand(300, 2, generator=generator) * 10
    sides[:5] = 0  # boxes without area, whose IoU is no number
    boxes = torch.cat([corners, corners + sides], dim=1)
    boxes[1] = boxes[0]
    scores = torch.rand(300, generator=generator)
    scores[50:60] = scores[50]
    for limit in (0.0, 0.3, 0.7, 1.0):
        wanted = torch.zeros(300, dtype=torch.bool)
        wanted[nms(boxes, scores, limit)] = True
        found = not_covered(boxes.numpy(), scores.numpy(), limit)
        assert found.tolist() == wanted.tolist() and 5 <= found.sum() < 300 + (limit == 1)
    assert not_covered(np.zeros((0, 4)), np.zeros(0), 0.5).tolist() == []
