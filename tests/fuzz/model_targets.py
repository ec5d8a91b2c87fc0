"""Fuzz targets: checkpoints, folders of models, weights of others, tokenizers, ONNX files."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
import yaml

from lmv3det import distributed
from lmv3det.checkpoint.file import load_checkpoint
from lmv3det.checkpoint.folder import save_pretrained
from lmv3det.cli.convert import run as run_convert
from lmv3det.convert.conversion import save_as, to_checkpoint
from lmv3det.convert.sources import read_source
from lmv3det.engine.resume import read_resumable
from lmv3det.engine.run import build_trainer
from lmv3det.inference.detector import Detector
from lmv3det.text.tokenization import PageTokenizer
from lmv3det.text.train_tokenizer import train_tokenizer
from tests.fuzz.data_targets import small_pages
from tests.fuzz.model_mutations import mutate_content, mutate_file, mutate_state, torch_bytes
from tests.fuzz.mutations import json_bytes, mutate_bytes, mutate_text, mutate_value
from tests.fuzz.target import Target
from tests.tiny_detector import tiny_checkpoint, tiny_config
from tests.training_helpers import tiny_config as training_config

PAGE = np.full((64, 48, 3), 200, dtype=np.uint8)
LINES = ["one two", "three 第二"]


def _text_checkpoint(folder: Path) -> Path:
    """A tiny checkpoint that reads text, with its tokenizer."""
    train_tokenizer(["one two three", "four five six"] * 20, folder / "tokenizer", 300, "bpe")
    encoder = PageTokenizer(folder / "tokenizer")
    config = tiny_config(
        model={"mask_on": False},
        text={"selection": "first", "page_dropout": 0.1},
        fusion={"kind": "gated"},
        backbone={"vocab_size": encoder.vocab_size, "pad_token_id": encoder.pad_token_id},
    )
    return tiny_checkpoint(folder / "model.pth", config, tokenizer_files=encoder.files())


def _predict(path: Path) -> object:
    detector = Detector.load(path, "cpu")
    return detector.predict(PAGE, ocr="none")


def _prepare_checkpoint(folder: Path) -> list[dict[str, Any]]:
    plain = tiny_checkpoint(folder / "plain.pth", tiny_config(model={"mask_on": True}))
    paths = (plain, _text_checkpoint(folder))
    return [torch.load(path, weights_only=True) for path in paths]


def _write_checkpoint(rng: Random, seeds: Any, folder: Path) -> None:
    content = rng.choice(seeds)
    if rng.random() < 0.8:
        content = mutate_content(rng, content)
    (folder / "model.pth").write_bytes(torch_bytes(rng, content))


def _read_checkpoint(rng: Random, seeds: Any, folder: Path) -> object:
    return _predict(folder / "model.pth")


def _prepare_resume(folder: Path) -> tuple[Path, dict[str, Any]]:
    """A run of two steps, and its last checkpoint."""

    from lmv3det.engine.run import train

    (folder / "annotations.json").write_text(json.dumps(small_pages(folder)))
    config = training_config(
        folder, folder / "run", solver={"steps": 2, "ema_decay": 0.9, "evaluate_every": 0},
        data={"val": {"annotations": None, "images": None}, "train": {}},
    )  # fmt: skip
    train(config)
    return folder, torch.load(folder / "run/last.pth", weights_only=True)


def _write_resume(rng: Random, seeds: Any, folder: Path) -> None:
    content = dict(seeds[1])
    training = content["training"]
    if rng.random() < 0.7:
        key = rng.choice(list(training))
        value = training[key]
        nested = isinstance(value, (dict, list)) and key != "raw_weights"
        changed = mutate_state(rng, value) if nested else mutate_content(rng, training).get(key)
        content["training"] = {**training, key: changed}
    else:
        content["training"] = mutate_content(rng, training)
    (folder / "last.pth").write_bytes(torch_bytes(rng, content))


def _read_resume(rng: Random, seeds: Any, folder: Path) -> object:
    path = folder / "last.pth"
    checkpoint = read_resumable(path)
    config = training_config(
        seeds[0], folder / "run", solver={"steps": 3, "ema_decay": 0.9, "evaluate_every": 0},
        data={"val": {"annotations": None, "images": None}, "train": {}},
    )  # fmt: skip
    with distributed.start("cpu", 60) as world:
        return build_trainer(config, world, checkpoint, path).fit()


def _prepare_folder(folder: Path) -> Path:
    save_pretrained(load_checkpoint(_text_checkpoint(folder)), folder / "model")
    return folder / "model"


def _write_folder(rng: Random, seeds: Any, folder: Path) -> None:
    shutil.copytree(seeds, folder / "model")
    files = sorted(path for path in (folder / "model").rglob("*") if path.is_file())
    mutate_file(rng, rng.choice(files))


def _read_folder(rng: Random, seeds: Any, folder: Path) -> object:
    return _predict(folder / "model")


def _prepare_weights(folder: Path) -> dict[str, Any]:
    """A model as detectron2's file, and its encoder as Hugging Face's folder."""
    checkpoint = tiny_checkpoint(folder / "ours.pth", tiny_config(model={"mask_on": True}))
    whole, report = to_checkpoint(read_source(str(checkpoint)))
    save_as(whole, "detectron2", folder / "detectron2", report)
    whole, report = to_checkpoint(read_source(str(checkpoint)))
    save_as(whole, "huggingface", folder / "huggingface", report)
    state = torch.load(folder / "detectron2/model_final.pth", weights_only=True)
    return {"folder": folder, "state": state}


def _write_weights(rng: Random, seeds: Any, folder: Path) -> None:
    out = folder / "model"
    if rng.random() < 0.5:
        shutil.copytree(seeds["folder"] / "detectron2", out)
        if rng.random() < 0.6:
            content = mutate_content(rng, seeds["state"])
            (out / "model_final.pth").write_bytes(torch_bytes(rng, content))
        else:
            mutate_file(rng, rng.choice(sorted(p for p in out.iterdir() if p.is_file())))
        return
    shutil.copytree(seeds["folder"] / "huggingface", out)
    if rng.random() < 0.3:  # as several files with an index
        (out / "model.safetensors").rename(out / "part.safetensors")
        names = {"weight_map": {"cls_token": "part.safetensors", "norm.weight": rng.choice(
            ("part.safetensors", "model.safetensors.index.json", "../config.json"))}}  # fmt: skip
        (out / "model.safetensors.index.json").write_bytes(json_bytes(rng, names))
        return
    mutate_file(rng, rng.choice(sorted(p for p in out.iterdir() if p.is_file())))


def _read_weights(rng: Random, seeds: Any, folder: Path) -> object:
    import argparse

    words = {"to": "lmv3det", "yaml": None, "config": None, "classes": "a,b", "annotations": None,
             "rename": [], "half": False, "trust_code": False, "seed": 0, "overrides": [],
             "allow_missing": rng.random() < 0.7,
             "allow_unexpected": rng.random() < 0.7}  # fmt: skip
    sizes = ["backbone.heads=2", "backbone.out_indices=[0,1,2,3]", "neck.out_channels=16",
             "roi.fc_dim=32", "mask.dim=16", "mask.convs=1"]  # fmt: skip
    wrong = rng.choice(("backbone.hidden_size=64", "model.num_classes=3", "neck.out_channels=8"))
    words["overrides"] = [*sizes, wrong] if rng.random() < 0.1 else sizes
    source, out = str(folder / "model"), folder / "out.pth"
    return run_convert(argparse.Namespace(source=source, out=out, **words))


def _prepare_tokenizer(folder: Path) -> dict[str, Path]:
    for kind in ("bpe", "char_bpe", "unigram"):
        texts = ["one two three", "四五六 seven", "eight nine"] * 20
        train_tokenizer(texts, folder / kind, 300, kind)  # type: ignore[arg-type]
    return {path.name: path for path in folder.iterdir()}


def _write_tokenizer(rng: Random, seeds: Any, folder: Path) -> None:
    shutil.copytree(seeds[rng.choice(sorted(seeds))], folder / "tokenizer")
    mutate_file(rng, rng.choice(sorted((folder / "tokenizer").iterdir())))
    if rng.random() < 0.1:
        (folder / "tokenizer/special_tokens_map.json").write_bytes(json_bytes(rng, {"pad": "x"}))


def _read_tokenizer(rng: Random, seeds: Any, folder: Path) -> object:
    encoder = PageTokenizer(
        folder / "tokenizer", selection=rng.choice(("first", "all", "sentence")), max_tokens=50
    )
    boxes = np.array([[1, 1, 20, 9], [1, 20, 30, 29]])
    tokens = encoder(LINES, boxes, (60, 40))
    assert tokens.ids.size == 0 or 0 <= tokens.ids.min() <= tokens.ids.max() < encoder.vocab_size
    encoder.files()
    return encoder.unk_token_id


def _prepare_onnx(folder: Path) -> Any:
    """The parts of a small file that says what `lmv3det export` would say."""
    import onnx
    from onnx import TensorProto, helper

    from lmv3det.inference.onnx_model import metadata

    checkpoint = load_checkpoint(
        tiny_checkpoint(folder / "m.pth", tiny_config(model={"mask_on": False}))
    )
    inputs = [
        helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, "h", "w"]),
        helper.make_tensor_value_info("image_size", TensorProto.INT64, [2]),
    ]
    made = {"boxes": np.array([[1, 2, 30, 40]], np.float32), "scores": np.array([0.9], np.float32),
            "classes": np.array([1], np.int64)}  # fmt: skip
    constants = [onnx.numpy_helper.from_array(value, f"{key}_") for key, value in made.items()]
    nodes = [helper.make_node("Identity", [f"{key}_"], [key]) for key in made]
    outputs = [
        helper.make_tensor_value_info(key, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
        for key, v in made.items()
    ]
    graph = helper.make_graph(nodes, "detector", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    saved = dataclasses.replace(checkpoint, thresholds={"Text": 0.5})
    return model, metadata(saved)


def _write_onnx(rng: Random, seeds: Any, folder: Path) -> None:

    import onnx
    from onnx import helper, numpy_helper

    model, about = onnx.ModelProto(), dict(seeds[1])
    model.CopyFrom(seeds[0])
    kind = rng.randrange(6)
    if kind < 3:
        key = rng.choice(list(about))
        if key.endswith("config"):
            values = mutate_value(rng, yaml.safe_load(about[key]))
            with contextlib.suppress(RecursionError):  # the writer's, not the reader's
                about[key] = yaml.safe_dump(values)
        elif rng.random() < 0.7 and not key.endswith("version"):
            about[key] = json_bytes(rng, json.loads(about[key])).decode("utf-8", "replace")
        else:
            about[key] = mutate_text(rng, about[key])
        if rng.random() < 0.2:
            about["lmv3det.tokenizer/" + rng.choice(("../x", "tokenizer.json", ""))] = "{}"
    elif kind == 3:
        values = rng.choice(
            (np.zeros((2, 4), np.float32), np.full((1, 4), np.nan, np.float32), np.zeros(3),
             np.array([99]), np.array([-1]), np.array(["x"]), np.zeros((0, 4), np.float32))
        )  # fmt: skip
        place = rng.randrange(3)
        name = model.graph.initializer[place].name
        model.graph.initializer[place].CopyFrom(numpy_helper.from_array(values, name))
        output = model.graph.output[place]
        output.CopyFrom(
            helper.make_tensor_value_info(
                output.name, helper.np_dtype_to_tensor_dtype(values.dtype), None
            )
        )
    elif kind == 4:
        del model.graph.output[rng.randrange(3)]
    helper.set_model_props(
        model, {k: v.encode("utf-8", "replace").decode() for k, v in about.items()}
    )
    data = model.SerializeToString()
    if kind == 5:
        data = mutate_bytes(rng, data)
    (folder / "model.onnx").write_bytes(data)


def _read_onnx(rng: Random, seeds: Any, folder: Path) -> object:
    return _predict(folder / "model.onnx")


TARGETS = (
    Target("checkpoint", _prepare_checkpoint, _write_checkpoint, _read_checkpoint),
    Target("resume", _prepare_resume, _write_resume, _read_resume),
    Target("folder", _prepare_folder, _write_folder, _read_folder),
    Target("weights", _prepare_weights, _write_weights, _read_weights),
    Target("tokenizer", _prepare_tokenizer, _write_tokenizer, _read_tokenizer),
    Target("onnx", _prepare_onnx, _write_onnx, _read_onnx),
)
