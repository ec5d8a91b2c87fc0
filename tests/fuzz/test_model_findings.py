"""What fuzzing has found in weights and models, each as a small case. All failed before their
fix."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from lmv3det.errors import InputError
from tests.tiny_detector import tiny_config


@pytest.mark.parametrize(
    ("parts", "said"),
    [({"a": "model.safetensors.index.json"}, "another index"), ({"a": ["x"]}, "no weight_map")],
)
def test_an_index_of_weights_that_names_itself_or_no_files(parts, said, tmp_path):
    from lmv3det.convert.sources import read_source

    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": parts}))
    with pytest.raises(InputError, match=said):
        read_source(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("backbone.patch_embedding.weight", (3,)),
        ("backbone.layers.0.attention.query.weight", None),
        ("fpn.output.0.weight", (0, 16, 3, 3)),
        ("cascade.predictors.0.cls_score.weight", ()),
        ("cascade.predictors.0.bbox_pred.weight", ()),
        ("cascade.heads.0.fc1.weight", (3,)),
        ("mask_head.predictor.weight", (3,)),
    ],
)
def test_weights_whose_shapes_say_nothing(name, shape):
    from lmv3det.convert.infer import infer_config
    from lmv3det.model.detector import build_detector

    weights = build_detector(tiny_config(model={"mask_on": True})).state_dict()
    infer_config(weights)
    if shape is None:
        weights = {key: v for key, v in weights.items() if not key.startswith("backbone.layers.")}
    else:
        assert name in weights
        weights[name] = torch.zeros(shape)
    with pytest.raises(InputError):
        infer_config(weights)


@pytest.mark.parametrize(
    "name", ["backbone.position_table", "backbone.text_embedding.position.weight"]
)
def test_a_position_table_that_is_a_number(name):
    from lmv3det.convert.fit import _fit
    from lmv3det.convert.report import LoadReport

    for shape in ((), (3,)):
        fresh = torch.zeros(1, 5, 4) if name.endswith("table") else torch.zeros(5, 4)
        assert _fit(name, torch.zeros(shape), fresh, LoadReport()) is None


@pytest.fixture
def tokenizer(tmp_path):
    """Changes a trained tokenizer's files; returns its folder."""
    from lmv3det.text.train_tokenizer import train_tokenizer

    train_tokenizer(["one two three", "four five six"] * 20, tmp_path / "tokenizer", 300)

    def change(name: str, key: str, value) -> Path:
        path = tmp_path / "tokenizer" / name
        content = json.loads(path.read_text())
        content[key] = value
        path.write_text(json.dumps(content))
        return tmp_path / "tokenizer"

    return change


def test_a_tokenizer_with_a_token_of_a_huge_id(tokenizer):
    """To save it, the library counted to the id: 2**31 took minutes and gigabytes."""
    from lmv3det.text.tokenization import PageTokenizer

    path = tokenizer("tokenizer.json", "added_tokens", [])
    content = json.loads((path / "tokenizer.json").read_text())
    content["model"]["vocab"]["e"] = 2**31
    (path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="a token of id 2147483648"):
        _ = PageTokenizer(path).vocab_size


def test_a_tokenizer_that_cannot_be_saved(tokenizer):
    from lmv3det.text.tokenization import PageTokenizer

    encoder = PageTokenizer(tokenizer("tokenizer_config.json", "remark", "\ud800"))
    assert encoder.vocab_size > 0
    with pytest.raises(InputError, match="is no tokenizer"):
        encoder.files()


def test_a_panic_of_the_tokenizers_library_is_an_error(tokenizer, monkeypatch):
    """It is no `Exception`, and passed every handler."""
    from lmv3det.text.tokenization import PageTokenizer

    encoder = PageTokenizer(tokenizer("tokenizer_config.json", "remark", ""))
    panic = type("PanicException", (BaseException,), {})
    assert encoder.vocab_size > 0

    class Panics:
        def encode_batch(self, lines, **options):
            raise panic("range end index 20 out of range for slice of length 14")

    monkeypatch.setattr(encoder._loaded, "fast", Panics())
    with pytest.raises(InputError, match=r"is no tokenizer \(range end index 20"):
        encoder._tokenize(["one"])


@pytest.fixture
def onnx_file(tmp_path):
    """Writes an ONNX file of constant results; returns its path."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from tests.fuzz.model_targets import _prepare_onnx

    (tmp_path / "seeds").mkdir()
    model, about = _prepare_onnx(tmp_path / "seeds")

    def write(place: int, values, properties: dict[str, str]) -> Path:
        import numpy as np
        from onnx import helper, numpy_helper

        changed = onnx.ModelProto()
        changed.CopyFrom(model)
        if values is not None:
            values = np.asarray(values)
            name, output = changed.graph.initializer[place].name, changed.graph.output[place]
            changed.graph.initializer[place].CopyFrom(numpy_helper.from_array(values, name))
            kind = helper.np_dtype_to_tensor_dtype(values.dtype)
            output.CopyFrom(helper.make_tensor_value_info(output.name, kind, None))
        helper.set_model_props(changed, {**about, **properties})
        (tmp_path / "model.onnx").write_bytes(changed.SerializeToString())
        return tmp_path / "model.onnx"

    return write


@pytest.mark.parametrize(
    ("place", "values", "said"),
    [
        (0, [[0.5, 1, 2]], "gives no boxes, scores and classes"),
        (0, [], "gives no boxes"),
        (1, [float("nan")], "gives no boxes"),
        (2, [99], "finds class 99, but names 2"),
        (2, [0.5], "gives no boxes"),
    ],
)
def test_an_onnx_file_that_gives_something_else(onnx_file, place, values, said):
    import numpy as np

    from lmv3det.inference.detector import Detector

    array = np.array(values, dtype=np.int64 if values == [99] else np.float32)
    detector = Detector.load(onnx_file(place, array, {}), "cpu")
    with pytest.raises(InputError, match=said):
        detector.predict(np.zeros((40, 30, 3), np.uint8), ocr="none")


@pytest.mark.parametrize("text", [b"remark", b"image_size"])
def test_an_onnx_file_whose_remarks_or_inputs_are_no_text(onnx_file, text):
    from lmv3det.inference.detector import Detector

    path = onnx_file(0, None, {"lmv3det.x": "remark"})
    path.write_bytes(path.read_bytes().replace(text, b"\xff" * len(text)))
    with pytest.raises(InputError, match="damaged"):
        Detector.load(path, "cpu")
