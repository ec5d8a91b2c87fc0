"""Runs of a few steps: what they write, how they stop, and how exactly they go on."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from training_helpers import tiny_config

from lmv3det.checkpoint.file import Checkpoint, load_checkpoint, read_torch, write_torch
from lmv3det.checkpoint.folder import save_pretrained
from lmv3det.checkpoint.loading import load_detector
from lmv3det.cli import main
from lmv3det.cli.train import run
from lmv3det.config import load_config, to_yaml
from lmv3det.data.categories import Category
from lmv3det.device import choose_precision
from lmv3det.engine import setup
from lmv3det.engine.log import read_entries
from lmv3det.engine.optim import lr_factor
from lmv3det.engine.randomness import (
    random_state,
    restore_random_state,
    same_randomness,
    seed_everything,
)
from lmv3det.engine.resume import changed_settings
from lmv3det.engine.run import train
from lmv3det.engine.run_files import numbered, save_last
from lmv3det.engine.setup import micro_batch_size, shorten_warmup
from lmv3det.engine.signals import StopSignals
from lmv3det.engine.trainer import Interrupted, Trainer
from lmv3det.errors import InputError
from lmv3det.files import LOCK, lock_folder, temporary_path
from lmv3det.inference import default_model
from lmv3det.inference.detector import Detector
from lmv3det.model.detector import LayoutDetector

CPU = torch.device("cpu")


def losses(folder: Path) -> list[tuple]:
    """Step, rate and losses of every logged line."""
    return [
        (e["step"], e["lr"], *(e[n] for n in sorted(e) if n.startswith("loss_")), e["total"])
        for e in read_entries(folder)
        if "evaluation" not in e
    ]


def stop_at(monkeypatch, step: int, number: int = signal.SIGTERM) -> None:
    """Let a signal arrive in the middle of an optimizer step (counted from 1)."""
    original = Trainer._train_step

    def with_signal(self, batches):
        if self.step + 1 == step:
            os.kill(os.getpid(), number)
        return original(self, batches)

    monkeypatch.setattr(Trainer, "_train_step", with_signal)


def same(one, other) -> bool:
    """Deep equality of what a checkpoint holds."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return one == other


@pytest.mark.parametrize(
    ("workers", "solver"),
    [
        (0, {"grad_accum_steps": 2, "log_every": 4, "ema_decay": 0.9, "layer_decay": 0.8}),
        (2, {"evaluate_every": 2, "checkpoint_every": 2}),
    ],
)
def test_interrupted_and_resumed_is_bit_for_bit_the_same(
    tiny_data, tmp_path, monkeypatch, workers, solver
):
    """Dropout, stochastic depth, scale jitter and the sampling of anchors and regions are on."""
    others = set(multiprocessing.active_children())  # of a server of other tests
    sections = {
        "backbone": {"drop_path": 0.2},
        "data": {"workers": workers},
        "solver": {"steps": 6, "batch_size": 2, **solver},
    }
    whole = tiny_config(tiny_data.root, tmp_path / "whole", **sections)
    train(whole)
    parts = tiny_config(tiny_data.root, tmp_path / "parts", **sections)
    with monkeypatch.context() as patch:
        stop_at(patch, 3)
        with pytest.raises(Interrupted, match="stopped after step 3"):
            train(parts)
    assert load_checkpoint(tmp_path / "parts" / "last.pth").step == 3
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    train(parts, resume=True)

    left = set(multiprocessing.active_children()) - others
    assert not left  # no loader's process is left behind
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    expected = load_checkpoint(tmp_path / "whole" / "last.pth")
    got = load_checkpoint(tmp_path / "parts" / "last.pth")
    assert got.step == 6
    assert same(got.weights, expected.weights)
    assert same(got.training, expected.training)
    evaluations = [
        [(e["step"], e["evaluation"]) for e in read_entries(tmp_path / name) if "evaluation" in e]
        for name in ("whole", "parts")
    ]
    assert evaluations[0] == evaluations[1] and len(evaluations[0]) == (3 if workers else 1)


def test_other_seeds_give_other_losses(tiny_data, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(tiny_config(tiny_data.root, tmp_path / name, seed=seed, solver={"steps": 3}))
    assert losses(tmp_path / "a") == losses(tmp_path / "b") != losses(tmp_path / "c")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A finished run of four steps with evaluation, masks and a moving average."""
    root = tmp_path_factory.mktemp("finished")
    make_pages(root)
    sections = {
        "model": {"mask_on": True},
        "solver": {"evaluate_every": 2, "checkpoint_every": 1, "keep_last": 2, "ema_decay": 0.5},
    }
    last = train(tiny_config(root, root / "run", **sections))
    assert last == root / "run" / "last.pth"
    return root / "run"


def make_pages(root: Path) -> None:
    """Two pages with a region each, and one without."""
    (root / "images").mkdir()
    generator = np.random.default_rng(0)
    for number in range(3):
        pixels = generator.integers(0, 256, (60, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "images" / f"{number}.png")
    content = {
        "images": [{"id": n, "file_name": f"{n}.png", "width": 50, "height": 60} for n in range(3)],
        "annotations": [
            {"id": n + 1, "image_id": n, "category_id": 4 + n, "bbox": [5, 6, 30, 20]}
            for n in range(2)
        ],
        "categories": [{"id": 4, "name": "Text"}, {"id": 5, "name": "Figure"}],
    }
    (root / "annotations.json").write_text(json.dumps(content), encoding="utf-8")


def test_what_a_run_leaves(finished):
    names = {path.name for path in finished.iterdir()}
    assert {"config.yaml", "last.pth", "best.pth", "metrics.jsonl", "pictures"} <= names
    assert {"step_3.pth", "step_4.pth"} <= names and "step_2.pth" not in names  # keep_last 2
    assert any(name.startswith("events.out.tfevents") for name in names)
    assert not {name for name in names if name.startswith(".")}  # no lock, no temporary files
    assert load_config(finished / "config.yaml").model.num_classes == 2
    for name in ("train_batch.png", "curves.png", "step_2/0.png", "step_4/2.png"):
        with Image.open(finished / "pictures" / name) as picture:
            picture.verify()


def test_metrics_have_every_loss_rate_and_speed(finished):
    entries = read_entries(finished)
    assert [("evaluation" in e, e["step"]) for e in entries] == [
        (False, 1), (False, 2), (True, 2), (False, 3), (False, 4), (True, 4),
    ]  # fmt: skip
    names = {"loss_rpn_cls", "loss_rpn_loc", "loss_mask"}
    names |= {f"loss_{kind}_stage{n}" for kind in ("cls", "box_reg") for n in range(3)}
    line = entries[0]
    assert {n for n in line if n.startswith("loss_")} == names
    assert line["total"] == pytest.approx(sum(line[n] for n in names))
    assert line["lr"] == pytest.approx(0.01 * 1e-3)
    assert line["pages_per_second"] > 0 and 0 <= line["data_wait"] <= 1
    assert {"bbox", "segm"} <= entries[2]["evaluation"].keys()
    assert entries[2]["evaluation"]["bbox"]["per_class"]["Text"]["count"] == 1


def test_checkpoints_describe_themselves(finished):
    model, checkpoint = load_detector(finished / "best.pth")
    assert [(c.id, c.name) for c in checkpoint.categories] == [(4, "Text"), (5, "Figure")]
    assert checkpoint.training == {} and not model.training
    last = load_checkpoint(finished / "last.pth")
    assert last.step == 4 and last.libraries["torch"]
    raw = last.training["raw_weights"]  # beside the moving average
    assert raw.keys() == last.weights.keys() and not same(raw, last.weights)
    assert (finished / "best.pth").stat().st_size < (finished / "last.pth").stat().st_size


def test_a_finished_run_has_nothing_left_to_do(finished):
    before = (finished / "last.pth").stat().st_mtime_ns, len(read_entries(finished))
    config = load_config(finished / "config.yaml")
    assert train(config, resume=True) == finished / "last.pth"
    assert before == ((finished / "last.pth").stat().st_mtime_ns, len(read_entries(finished)))


def test_a_second_run_in_the_same_folder_is_refused(finished):
    with pytest.raises(InputError, match=r"holds a run already.*--resume.*output_dir"):
        train(load_config(finished / "config.yaml"))
    assert load_checkpoint(finished / "last.pth").step == 4


def copied(finished: Path, folder: Path, *overrides: str):
    """The config of a copy of the finished run's last checkpoint."""
    write_torch(folder / "run" / "last.pth", read_torch(finished / "last.pth"))
    return load_config(finished / "config.yaml", [f"output_dir={folder / 'run'}", *overrides])


def test_a_run_goes_on_with_more_steps_and_another_rate(finished, tmp_path, caplog):
    config = copied(finished, tmp_path, "solver.steps=5", "solver.lr=5e-4", "solver.ema_decay=0")
    caplog.set_level("INFO", logger="lmv3det")
    train(config, resume=True)
    assert "solver.steps 4 → 5" in caplog.text and "solver.lr 0.001 → 0.0005" in caplog.text
    (line,) = losses(tmp_path / "run")
    assert line[0] == 5 and line[1] < 5e-4
    assert load_checkpoint(tmp_path / "run" / "last.pth").step == 5


def test_another_model_is_refused(finished, tmp_path):
    config = copied(finished, tmp_path, "solver.steps=5", "roi.fc_dim=16")
    with pytest.raises(InputError, match=r"roi.fc_dim=32, the config now says 16.*model.weights"):
        train(config, resume=True)


def test_other_categories_are_refused(finished, tmp_path):
    make_pages(tmp_path)
    file = tmp_path / "annotations.json"
    file.write_text(file.read_text(encoding="utf-8").replace("Figure", "Table"), encoding="utf-8")
    config = copied(finished, tmp_path, "solver.steps=5", f"data.train.annotations={file}")
    config.data.val.annotations = str(file)
    with pytest.raises(InputError, match=r"5 Figure.*5 Table"):
        train(config, resume=True)


def test_resuming_from_a_model_or_from_nothing_is_refused(finished, tmp_path):
    config = load_config(finished / "config.yaml", [f"output_dir={tmp_path}"])
    with pytest.raises(InputError, match=r"last.pth: nothing to resume; start without --resume"):
        train(config, resume=True)
    with pytest.raises(InputError, match=r"best.pth: holds a model only"):
        train(config, resume=str(finished / "best.pth"))


def test_resuming_from_a_numbered_checkpoint(finished, tmp_path):
    config = load_config(finished / "config.yaml", [f"output_dir={tmp_path}"])
    train(config, resume=str(finished / "step_3.pth"))
    assert losses(tmp_path) == losses(finished)[-1:]


def test_a_run_starts_from_another_runs_weights(finished, tmp_path):
    """The first loss is that of the trained weights, not of fresh ones."""
    fresh = load_config(finished / "config.yaml", [f"output_dir={tmp_path / 'a'}"])
    fresh.solver.steps = 3
    started = load_config(
        finished / "config.yaml",
        [f"output_dir={tmp_path / 'b'}", f"model.weights={finished / 'last.pth'}"],
    )
    started.solver.steps = 3
    train(fresh), train(started)
    assert losses(tmp_path / "a")[0][0] == losses(tmp_path / "b")[0][0] == 1
    assert losses(tmp_path / "a")[0] != losses(tmp_path / "b")[0]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_ends_the_command(tiny_data, tmp_path, monkeypatch, number, code):
    config = tiny_config(tiny_data.root, tmp_path / "run")
    (tmp_path / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
    stop_at(monkeypatch, 2, number)
    before = signal.getsignal(number)
    args = argparse.Namespace(
        config=tmp_path / "config.yaml",
        resume=False,
        resume_or_start=False,
        trust_code=False,
        overrides=[],
    )
    assert run(args) == code
    assert signal.getsignal(number) == before
    checkpoint = load_checkpoint(tmp_path / "run" / "last.pth")
    assert checkpoint.step == 2 and checkpoint.training["pages_seen"] == 4


def test_a_second_ctrl_c_ends_at_once(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)  # what torchrun passes on
        assert signals.received == signal.SIGINT
        now[0] += 3
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)


def poison(monkeypatch, page: str, value: float) -> None:
    """Make a loss of every batch with a page `value`, and what BatchNorm sees of it not finite."""
    original = LayoutDetector.losses

    def poisoned(self, batch):
        odd = any(p.file.endswith(page) for p in batch.pages)
        if odd:
            batch.images = batch.images * math.nan
        found = original(self, batch)
        if odd:
            found["loss_cls_stage1"] = found["loss_cls_stage1"].detach() * 0 + value
        return found

    monkeypatch.setattr(LayoutDetector, "losses", poisoned)


@pytest.mark.parametrize("log_every", [1, 20])
def test_a_loss_that_is_not_finite_stops_and_names_the_pages(
    tiny_data, tmp_path, monkeypatch, log_every
):
    """BatchNorm's running values are saved as they were before the step, too."""
    solver = {"batch_size": 1, "steps": 8, "log_every": log_every}
    config = tiny_config(tiny_data.root, tmp_path / "run", solver=solver)
    config.data.group_by_aspect = False
    with monkeypatch.context() as patch:
        poison(patch, "c.png", math.inf)
        with pytest.raises(InputError) as caught:
            train(config)
    message = str(caught.value)
    assert "loss_cls_stage1" in message and f"{tiny_data.images / 'c.png'}" in message
    assert "a.png" not in message and "non_finite=skip" in message
    step = int(message.split("step ")[1].split(":")[0])
    assert 1 <= step <= 4
    checkpoint = load_checkpoint(tmp_path / "run" / "last.pth")
    assert checkpoint.step == step
    assert all(w.isfinite().all() for w in checkpoint.weights.values())
    # The weights are those of the step before.
    other = tiny_config(
        tiny_data.root, tmp_path / "other", solver={"batch_size": 1, "steps": 8, "keep_last": 9}
    )
    other.data.group_by_aspect, other.solver.checkpoint_every = False, 1
    train(other)
    if step > 1:
        expected = load_checkpoint(tmp_path / "other" / f"step_{step - 1}.pth")
        assert same(checkpoint.weights, expected.weights)
    train(config, resume=True)  # the pages were mended
    assert load_checkpoint(tmp_path / "run" / "last.pth").step == 8


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_loss_that_is_not_finite_is_skipped_and_counted(
    tiny_data, tmp_path, monkeypatch, caplog, precision
):
    solver = {"batch_size": 2, "grad_accum_steps": 2, "steps": 6, "non_finite": "skip"}
    config = tiny_config(tiny_data.root, tmp_path / "run", precision=precision, solver=solver)
    poison(monkeypatch, "c.png", math.nan)
    train(config)
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert sum("left out" in text for text in warned) == 3 and "c.png" in caplog.text
    checkpoint = load_checkpoint(tmp_path / "run" / "last.pth")
    assert checkpoint.training["skipped"] == 3
    assert all(w.isfinite().all() for w in checkpoint.weights.values())
    steps = {state["step"].item() for state in checkpoint.training["optimizer"].values()}
    assert len(steps) == 1 and steps.pop() <= 3
    assert "NaN" not in (tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_stays_close(tiny_data, tmp_path, precision):
    for name in ("fp32", precision):
        config = tiny_config(tiny_data.root, tmp_path / name, precision=name, solver={"steps": 3})
        config.backbone.dropout = config.backbone.attention_dropout = 0.0
        train(config)
    first, second = (read_entries(tmp_path / name)[0] for name in ("fp32", precision))
    assert first["total"] != second["total"]
    assert first["total"] == pytest.approx(second["total"], rel=0.05)


def test_a_page_that_cannot_be_read_costs_no_step(tiny_data, tmp_path, monkeypatch):
    config = tiny_config(tiny_data.root, tmp_path / "run", solver={"steps": 6, "batch_size": 1})
    original = Trainer._train_step

    def spoil(self, batches):
        if self.step == 2:
            for path in tiny_data.images.iterdir():
                path.write_bytes(b"no picture")
        return original(self, batches)

    monkeypatch.setattr(Trainer, "_train_step", spoil)
    with pytest.raises(InputError, match=r"\.png"):
        train(config)
    assert load_checkpoint(tmp_path / "run" / "last.pth").step == 2


def test_precision_of_auto():
    assert choose_precision("auto", CPU) is None
    assert choose_precision("auto", "mps") is None
    assert choose_precision("fp32", torch.device("cuda")) is None
    assert choose_precision("bf16", CPU) == torch.bfloat16
    with pytest.raises(InputError, match="precision is 'off'; it must be auto, fp32"):
        choose_precision("off", CPU)


def test_a_run_evaluates_as_its_checkpoint_is_evaluated(tiny_data, tmp_path, monkeypatch):
    """The same precision in the run, in `evaluate` and in `Detector`: the same scores."""
    seen = []
    original = LayoutDetector.predict

    def watch(self, batch, score_threshold=None, with_masks=True):
        device = batch.images.device.type
        enabled = torch.is_autocast_enabled(device)
        seen.append(torch.get_autocast_dtype(device) if enabled else torch.float32)
        return original(self, batch, score_threshold, with_masks)

    monkeypatch.setattr(LayoutDetector, "predict", watch)
    config = tiny_config(
        tiny_data.root, tmp_path / "run", precision="bf16", solver={"lr": 3e-3, "steps": 6}
    )
    train(config)
    best = tmp_path / "run" / "best.pth"
    assert main(["evaluate", str(best), "--out", str(tmp_path / "eval"), "--worst", "0"]) == 0
    metrics = json.loads((tmp_path / "eval" / "metrics.json").read_text(encoding="utf-8"))
    entries = [e for e in read_entries(tmp_path / "run") if "evaluation" in e]
    del metrics["thresholds"]
    assert metrics == entries[-1]["evaluation"]
    Detector.load(best, "cpu").predict(tiny_data.images)
    assert set(seen) == {torch.bfloat16} and len(seen) >= 9
    seen.clear()
    Detector.load(best, "cpu", ["precision=fp32"]).predict(tiny_data.images)
    assert set(seen) == {torch.float32}


def test_pages_of_a_micro_batch(tiny_data, tmp_path):
    config = tiny_config(tiny_data.root, tmp_path, solver={"batch_size": 8, "grad_accum_steps": 2})
    assert [micro_batch_size(config, world) for world in (1, 2, 4)] == [4, 2, 1]
    with pytest.raises(InputError, match=r"batch_size is 8, which 3 processes.*batch_size=6"):
        micro_batch_size(config, 3)


@pytest.mark.parametrize("key", ["train.annotations", "train.images", "val.annotations"])
def test_missing_files_are_named_with_their_setting(tiny_data, tmp_path, key):
    config = tiny_config(tiny_data.root, tmp_path / "run")
    split, name = key.split(".")
    setattr(getattr(config.data, split), name, str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=rf"data.{key} is .*nowhere: no such .*data.{key}=PATH"):
        train(config)
    setattr(getattr(config.data, split), name, None)
    with pytest.raises(InputError, match=rf"data.{key}, the .*, is not set"):
        train(config)
    assert not (tmp_path / "run").exists()


def test_another_number_of_classes_is_refused(tiny_data, tmp_path):
    config = tiny_config(tiny_data.root, tmp_path / "run", model={"num_classes": 5})
    with pytest.raises(InputError, match=r"num_classes is 5, but .* has 2 .*num_classes=2"):
        train(config)


def test_validation_pages_with_other_categories_are_refused(tiny_data, tmp_path):
    other = json.loads(tiny_data.annotations.read_text(encoding="utf-8"))
    other["categories"][0]["name"] = "Footnote"
    (tmp_path / "val.json").write_text(json.dumps(other), encoding="utf-8")
    config = tiny_config(tiny_data.root, tmp_path / "run")
    config.data.val.annotations = str(tmp_path / "val.json")
    with pytest.raises(InputError, match="Footnote"):
        train(config)


def test_without_validation_pages_it_trains_and_says_so(tiny_data, tmp_path, caplog):
    config = tiny_config(tiny_data.root, tmp_path / "run", solver={"steps": 3})
    config.data.val.annotations = config.data.val.images = None
    train(config)
    assert "nothing is evaluated" in caplog.text
    assert not (tmp_path / "run" / "best.pth").exists()


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> Path:
    """A word-level tokenizer of a few words, as a folder."""
    tokenizers = pytest.importorskip("tokenizers")
    from transformers import PreTrainedTokenizerFast

    words = {word: n for n, word in enumerate(("<s>", "<pad>", "</s>", "<unk>", "first", "line"))}
    plain = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    plain.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    folder = tmp_path_factory.mktemp("tokenizer")
    PreTrainedTokenizerFast(
        tokenizer_object=plain, pad_token="<pad>", unk_token="<unk>"
    ).save_pretrained(folder)
    return folder


def test_a_text_model_trains_saves_its_tokenizer_and_takes_pages_without_text(
    tiny_data, tmp_path, tokenizer
):
    (tiny_data.ocr / "a.json").unlink()
    sections = {
        "data": {"missing_ocr": "empty"},
        "text": {"selection": "first", "tokenizer": str(tokenizer)},
        "fusion": {"kind": "gated"},
        "relation": {"enabled": True, "dim": 16, "heads": 2},
        "solver": {"steps": 5, "batch_size": 1},
    }
    config = tiny_config(tiny_data.root, tmp_path / "run", **sections)
    train(config)
    checkpoint = load_checkpoint(tmp_path / "run" / "last.pth")
    assert "tokenizer.json" in checkpoint.tokenizer_files
    model, _ = load_detector(tmp_path / "run" / "last.pth")
    # Pages without text skip no parameter: all have made the same number of steps.
    steps = {name: s["step"].item() for name, s in checkpoint.training["optimizer"].items()}
    assert steps.keys() == dict(model.named_parameters()).keys()
    assert set(steps.values()) == {5}


def test_a_killed_save_leaves_no_more_checkpoints_than_are_kept(tmp_path, monkeypatch):
    """A job that is killed before the end of its last save has nothing more to save."""

    def killed(*paths):
        raise KeyboardInterrupt

    checkpoint = Checkpoint(
        {"a": torch.zeros(1)}, tiny_config(tmp_path, tmp_path), [Category(1, "Text")]
    )
    for step in (3, 6):
        save_last(tmp_path, dataclasses.replace(checkpoint, step=step), keep=2, number=True)
    monkeypatch.setattr(os, "link", killed)
    with pytest.raises(KeyboardInterrupt):
        save_last(tmp_path, dataclasses.replace(checkpoint, step=9), keep=2, number=True)
    assert [step for step, _ in numbered(tmp_path)] == [6, 9]
    assert load_checkpoint(tmp_path / "last.pth").step == 6


def test_going_back_keeps_the_checkpoint_that_is_written(tmp_path):
    """A run that goes on from an old checkpoint, beside later ones."""
    checkpoint = Checkpoint(
        {"a": torch.zeros(1)}, tiny_config(tmp_path, tmp_path), [Category(1, "Text")]
    )
    for step in (6, 9, 4):
        save_last(tmp_path, dataclasses.replace(checkpoint, step=step), keep=2, number=True)
    assert load_checkpoint(tmp_path / "last.pth").step == 4


def test_a_resumed_run_keeps_its_tokenizer(tiny_data, tmp_path, tokenizer):
    own = tmp_path / "tokenizer"
    shutil.copytree(tokenizer, own)
    text = {"selection": "first", "tokenizer": str(own)}
    solver = {"steps": 4, "batch_size": 1, "checkpoint_every": 2}
    config = tiny_config(tiny_data.root, tmp_path / "run", text=text, solver=solver)
    train(config)
    before = load_checkpoint(tmp_path / "run" / "last.pth")
    shutil.rmtree(own)  # it may be gone, or made anew with other words
    train(config, resume=str(tmp_path / "run" / "step_2.pth"))
    after = load_checkpoint(tmp_path / "run" / "last.pth")
    assert after.tokenizer_files.keys() == before.tokenizer_files.keys()
    assert all(torch.equal(t, before.weights[name]) for name, t in after.weights.items())


def test_the_default_model_is_a_start_with_its_tokenizer_and_classes_by_name(
    tiny_data, tmp_path, tokenizer, monkeypatch
):
    """The run names Table and Text the other way round, and one class more."""
    text = {"selection": "first", "tokenizer": str(tokenizer)}
    config = tiny_config(tiny_data.root, tmp_path / "first", text=text)
    train(config)
    first = load_checkpoint(tmp_path / "first" / "last.pth")
    save_pretrained(first, tmp_path / "packed")
    monkeypatch.setattr(setup, "default_model_folder", lambda: tmp_path / "packed")
    content = tiny_data.content
    content["categories"] = [{"id": 5, "name": "Seal"}, *reversed(content["categories"])]
    tiny_data.save()
    sections = {"text": {"selection": "first"}, "model": {"weights": "default", "mask_on": False}}
    config = tiny_config(tiny_data.root, tmp_path / "run", solver={"lr": 1e-9}, **sections)
    train(config)
    assert config.model.weights == "default", "the caller's config is left as it is"
    second = load_checkpoint(tmp_path / "run" / "last.pth")
    assert second.tokenizer_files.keys() == first.tokenizer_files.keys()
    old, new = ({c.name: n for n, c in enumerate(c.categories)} for c in (first, second))
    assert new.keys() - old.keys() == {"Seal"}
    weight = "cascade.predictors.0.cls_score.weight"
    for name in old:
        torch.testing.assert_close(
            second.weights[weight][new[name]], first.weights[weight][old[name]], atol=1e-5, rtol=0
        )


def test_an_installation_without_model_says_so(tiny_data, tmp_path, monkeypatch):
    monkeypatch.setattr(default_model, "DEFAULT_MODEL", "none")
    config = tiny_config(tiny_data.root, tmp_path / "run", model={"weights": "default"})
    with pytest.raises(InputError, match="no model of its own"):
        train(config)


def test_a_failing_evaluation_costs_no_steps(tiny_data, tmp_path, monkeypatch):
    solver = {"steps": 4, "evaluate_every": 3}
    config = tiny_config(tiny_data.root, tmp_path / "run", solver=solver)

    def failing(self) -> None:
        raise InputError("a bad page")

    monkeypatch.setattr(Trainer, "_evaluate", failing)
    with pytest.raises(InputError, match="a bad page"):
        train(config)
    assert load_checkpoint(tmp_path / "run" / "last.pth").step == 3


def test_missing_ocr_names_the_command(tiny_data, tmp_path, tokenizer):
    (tiny_data.ocr / "a.json").unlink()
    text = {"selection": "first", "tokenizer": str(tokenizer)}
    config = tiny_config(tiny_data.root, tmp_path / "run", text=text)
    with pytest.raises(InputError, match=r"lmv3det ocr .*images --out .*OCR"):
        train(config)


def test_random_state_is_complete_and_loads_safely(tmp_path):
    seed_everything(3)
    torch.randn(3), np.random.randn(3), random.gauss(0, 1)  # leaves halves of pairs behind
    write_torch(tmp_path / "state.pth", {"random": random_state(CPU)})

    def draw():
        return [random.random(), random.gauss(0, 1), *np.random.randn(3), *torch.rand(3).tolist()]

    expected = draw()
    draw()
    restore_random_state(read_torch(tmp_path / "state.pth")["random"], CPU)
    with same_randomness(CPU):
        assert draw() == expected
    assert draw() == expected


def test_changed_settings_are_found(tiny_data, tmp_path):
    one, other = (tiny_config(tiny_data.root, tmp_path) for _ in range(2))
    other.solver.lr, other.backbone.out_indices = 5.0, [0, 1, 2, 2]
    assert changed_settings(one, other) == {
        "solver.lr": (1e-3, 5.0),
        "backbone.out_indices": ([0, 1, 2, 3], [0, 1, 2, 2]),
    }


def test_too_little_memory_names_the_mends(tiny_data, tmp_path, monkeypatch):
    def full(self, batch):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(LayoutDetector, "losses", full)
    config = tiny_config(tiny_data.root, tmp_path / "run")
    with pytest.raises(
        InputError, match=r"backbone.gradient_checkpointing=true.*grad_accum_steps.*max_size_train"
    ):
        train(config)


def test_the_example_configs_load():
    folder = Path(__file__).parents[2] / "configs"
    names = ["base", "image_only", "publaynet", "large", "tiny"]
    configs = {name: load_config(folder / f"{name}.yaml") for name in names}
    assert configs["image_only"].solver.batch_size == 4
    assert configs["image_only"].rpn.box_loss == configs["image_only"].roi.box_loss == "ciou"
    published = configs["publaynet"]
    assert (published.solver.batch_size, published.solver.steps) == (32, 60000)
    assert published.rpn.box_loss == published.roi.box_loss == "smooth_l1"
    assert configs["large"].backbone.layers == 24
    assert configs["tiny"].device == "cpu"


def test_a_page_too_many_leaves_batch_norm_as_it_was(tiny_data, tmp_path, monkeypatch):
    """The first micro-batch has changed the running values when the second one fails."""
    solver = {"batch_size": 2, "grad_accum_steps": 2, "steps": 6}
    config = tiny_config(tiny_data.root, tmp_path / "run", solver=solver)
    original, calls, seen = LayoutDetector.losses, [], []

    def fails(self, batch):
        values = [b.clone() for n, b in self.named_buffers() if "running" in n]
        calls.append(values)
        if len(calls) == 6:  # the second micro-batch of the third step
            seen.extend(calls[4])
            raise InputError("page.png: cannot be read")
        return original(self, batch)

    monkeypatch.setattr(LayoutDetector, "losses", fails)
    with pytest.raises(InputError, match=r"page\.png"):
        train(config)
    checkpoint = load_checkpoint(tmp_path / "run" / "last.pth")
    saved = [w for name, w in checkpoint.weights.items() if "running" in name]
    assert checkpoint.step == 2 and len(saved) == len(seen) > 0
    assert all(torch.equal(a, b) for a, b in zip(saved, seen, strict=True))


def test_a_warm_up_longer_than_the_run_is_shortened(tiny_data, tmp_path, caplog):
    config = tiny_config(tiny_data.root, tmp_path / "run", solver={"warmup_steps": 1000})
    config.solver.steps = 20
    shorten_warmup(config)
    assert config.solver.warmup_steps == 2 and "1000 and the run has 20 steps" in caplog.text
    assert max(lr_factor(step, config.solver) for step in range(20)) > 0.9
    config.solver.warmup_steps, config.solver.allow_long_warmup = 1000, True
    shorten_warmup(config)
    assert config.solver.warmup_steps == 1000


HOLD = """
import sys, time
from pathlib import Path
from lmv3det.files import lock_folder
with lock_folder(Path(sys.argv[1]), "a training"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_training_in_a_folder_is_refused(tiny_data, tmp_path):
    """The lock of a process that is killed is gone with it."""
    config = tiny_config(tiny_data.root, tmp_path / "run", solver={"steps": 2})
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None and other.stdout.readline() == "held\n"
            with pytest.raises(InputError, match=r"run: a training writes to it already"):
                train(config)
        finally:
            other.kill()
    assert {path.name for path in (tmp_path / "run").iterdir()} == {LOCK}
    for name in ("last.pth", "step_20.pth"):  # of a killed run
        left = temporary_path(tmp_path / "run" / name).name.replace(
            str(os.getpid()), str(2**22 + 1)
        )
        (tmp_path / "run" / left).write_bytes(b"half a checkpoint")
    train(config)
    assert not list((tmp_path / "run").glob(".*.pth"))
    with lock_folder(tmp_path / "run", "a training"):  # the run has let go of it
        pass


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("optimizer", [3]), ("optimizer", {"w": {"exp_avg": 3}}), ("random", {}),
        ("random", [{"torch": torch.ones(5056, dtype=torch.uint8, device="meta")}]),
        ("skipped", None), ("pages_seen", [1]), ("pages_seen", -1), ("raw_weights", None),
        ("raw_weights", {"w": 1}), ("loss_names", [1]), ("loss_sums", 0.5), ("scaler", 0),
    ],
)  # fmt: skip
def test_part_of_the_state_of_a_run_that_is_damaged(finished, tmp_path, key, value):
    """None: it is missing."""
    content = read_torch(finished / "last.pth")
    config = copied(finished, tmp_path, "solver.steps=5")
    training = {**content["training"], key: value}
    if value is None:
        del training[key]
    write_torch(tmp_path / "run" / "last.pth", {**content, "training": training})
    with pytest.raises(InputError, match=r"last\.pth") as error:
        train(config, resume=True)
    assert "\n" not in str(error.value)
    assert key in str(error.value) or "not an ordinary tensor" in str(error.value)


@pytest.mark.parametrize("key", ["optimizer", "one value", "moment", "random"])
def test_values_in_the_state_of_a_run_that_do_not_fit(finished, tmp_path, key):
    content = read_torch(finished / "last.pth")
    config = copied(finished, tmp_path, "solver.steps=5")
    training = content["training"]
    if key == "random":
        training["random"][0]["python"][1][0] = 2**70
    elif key == "one value":  # which the step would have read and written beyond
        next(iter(training["optimizer"].values()))["exp_avg"] = torch.zeros(1)
    elif key == "moment":
        del list(training["optimizer"].values())[1]["exp_avg_sq"]
    else:
        next(iter(training["optimizer"].values()))["exp_avg"] = torch.zeros(7, 7)
    write_torch(tmp_path / "run" / "last.pth", content)
    with pytest.raises(InputError, match=r"last\.pth: the state of the run in it.*damaged"):
        train(config, resume=True)


def test_own_code_of_a_resumed_run_must_be_in_the_config(finished, tmp_path, monkeypatch):
    """The checkpoint may name what the user's own config names, and nothing else."""
    config = copied(finished, tmp_path, "solver.steps=5")
    content = read_torch(tmp_path / "run" / "last.pth")
    content["config"]["roi"]["head"] = "nowhere:Head"
    write_torch(tmp_path / "run" / "last.pth", content)
    with pytest.raises(InputError, match=r"roi\.head is 'nowhere:Head'.*--trust-code"):
        train(config, resume=True)
    config.roi.head = "nowhere:Head"
    with pytest.raises(InputError, match=r"'nowhere:Head', which cannot be imported"):
        train(config, resume=True)


@pytest.mark.skipif(sys.platform == "win32", reason="limits a file's size")
def test_a_full_disk_is_one_line_and_costs_no_checkpoint(tiny_data, tmp_path, capfd, monkeypatch):
    import resource

    config = tiny_config(tiny_data.root, tmp_path / "run", solver={"steps": 4})
    config.solver.checkpoint_every = 2
    (tmp_path / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    original = Trainer._train_step

    def fills(self, batches):
        if self.step == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
        return original(self, batches)

    monkeypatch.setattr(Trainer, "_train_step", fills)
    try:
        assert main(["train", "--config", str(tmp_path / "config.yaml")]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    said = [line for line in capfd.readouterr().err.splitlines() if "lmv3det train:" in line]
    assert "last.pth" in said[-1] or "step_4.pth" in said[-1]
    assert load_checkpoint(tmp_path / "run" / "last.pth").step == 2
    assert not [p for p in (tmp_path / "run").iterdir() if p.name.startswith(f".{os.getpid()}")]
