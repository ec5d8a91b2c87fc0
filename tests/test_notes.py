"""The way of somebody who comes from the original with a yaml and a checkpoint: convert both, train
from them in four processes, lose one, go on, evaluate, convert back.

By the commands that the documentation names. The values of the yaml are the original's; the sizes
are small, so that four processes train on two cores.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from lmv3det.checkpoint.file import load_checkpoint
from lmv3det.config import from_dict, merge, read_yaml, to_dict
from lmv3det.convert import to_detectron2
from lmv3det.engine.randomness import seed_everything
from lmv3det.model.detector import build_detector

sys.path.insert(0, str(Path(__file__).parent / "engine"))

from test_trainer import losses, make_pages
from training_helpers import tiny_config

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
SHAPES = Path(__file__).parent / "parity" / "state_dict_shapes_base.txt"
PATIENCE = 900.0
CLASSES = 2
YAML = f"""
MODEL:
  MASK_ON: True
  IMAGE_ONLY: True
  META_ARCHITECTURE: "VLGeneralizedRCNN"
  PIXEL_MEAN: [127.5, 127.5, 127.5]
  PIXEL_STD: [127.5, 127.5, 127.5]
  WEIGHTS: "model_final.pth"
  BACKBONE: {{NAME: "build_vit_fpn_backbone"}}
  VIT:
    NAME: "layoutlmv3_base"
    OUT_FEATURES: ["layer3", "layer5", "layer7", "layer11"]
    DROP_PATH: 0.1
    IMG_SIZE: [448, 448]
    POS_TYPE: "abs"
  ROI_HEADS: {{NAME: CascadeROIHeads, IN_FEATURES: ["p2", "p3", "p4", "p5"],
               NUM_CLASSES: {CLASSES + 1}}}
  ROI_BOX_HEAD: {{CLS_AGNOSTIC_BBOX_REG: True, NAME: "FastRCNNConvFCHead", NUM_FC: 2,
                  POOLER_RESOLUTION: 7, BBOX_REG_LOSS_TYPE: ciou}}
  ROI_MASK_HEAD: {{NAME: "MaskRCNNConvUpsampleHead", NUM_CONV: 4, POOLER_RESOLUTION: 14}}
  FPN: {{IN_FEATURES: ["layer3", "layer5", "layer7", "layer11"]}}
  ANCHOR_GENERATOR: {{SIZES: [[32], [64], [128], [256], [512]], ASPECT_RATIOS: [[0.5, 1.0, 2.0]]}}
  RPN: {{IN_FEATURES: ["p2", "p3", "p4", "p5", "p6"], PRE_NMS_TOPK_TRAIN: 2000,
         PRE_NMS_TOPK_TEST: 1000, POST_NMS_TOPK_TRAIN: 2000, POST_NMS_TOPK_TEST: 1000,
         BBOX_REG_LOSS_TYPE: ciou}}
DATASETS: {{TRAIN: ("publaynet_train",), TEST: ("publaynet_val",)}}
SOLVER:
  GRADIENT_ACCUMULATION_STEPS: 1
  BASE_LR: 0.0002
  WARMUP_ITERS: 1000
  IMS_PER_BATCH: 4
  MAX_ITER: 30000
  CHECKPOINT_PERIOD: 2000
  LR_SCHEDULER_NAME: "WarmupCosineLR"
  AMP: {{ENABLED: True}}
  OPTIMIZER: "ADAMW"
  BACKBONE_MULTIPLIER: 1.0
  CLIP_GRADIENTS: {{ENABLED: True, CLIP_TYPE: "full_model", CLIP_VALUE: 1.0, NORM_TYPE: 2.0}}
  WARMUP_FACTOR: 0.01
  WEIGHT_DECAY: 0.05
TEST: {{EVAL_PERIOD: 2000}}
INPUT:
  CROP: {{ENABLED: True, TYPE: "absolute_range", SIZE: (384, 600)}}
  MIN_SIZE_TRAIN: (480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800)
  FORMAT: "RGB"
DATALOADER: {{FILTER_EMPTY_ANNOTATIONS: False}}
VERSION: 2
AUG: {{DETR: True}}
SEED: 42
"""


def run(*words: object, code: int = 0) -> str:
    """A command of the project; what it said."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", *map(str, words)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=PATIENCE
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def torchrun(log: Path, *words: object) -> subprocess.Popen:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc_per_node", "4", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with open(log, "wb") as stream:
        return subprocess.Popen(command, env=environment, stdout=stream, stderr=subprocess.STDOUT)


def finish(process: subprocess.Popen, log: Path) -> None:
    try:
        assert process.wait(PATIENCE) == 0, log.read_text()[-4000:]
    finally:
        process.kill()


def worker(parent: subprocess.Popen, rank: int) -> int:
    """The process of a rank below torchrun."""
    tasks = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    for pid in tasks:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        if f"LOCAL_RANK={rank}".encode() in environment:
            return int(pid)
    raise AssertionError(f"rank {rank} is not there")


def test_their_commands_end_to_end(tmp_path):
    make_pages(tmp_path)
    images, annotations = tmp_path / "images", tmp_path / "annotations.json"
    named = [c["name"] for c in json.loads(annotations.read_text())["categories"]]
    assert len(named) == CLASSES
    theirs, ours = tmp_path / "cascade_layoutlmv3.yaml", tmp_path / "ours.yaml"
    theirs.write_text(YAML)

    # Their yaml, all of which can be had.
    said = run("lmv3det", "convert-config", theirs, "--strict", "--out", ours)
    assert "left out: MODEL.VIT.IMG_SIZE" in said
    config = from_dict(read_yaml(ours))
    assert config.model.num_classes == CLASSES + 1 and config.backbone.input_size == 224
    assert (config.solver.steps, config.rpn.box_loss) == (30000, "ciou")

    # A checkpoint of theirs, with small sizes.
    small = read_small(tmp_path)
    seed_everything(0)
    state = build_detector(from_dict(small)).state_dict()
    torch.save({"model": to_detectron2(state), "iteration": 7}, tmp_path / "model_final.pth")
    sizes = [f"backbone.{key}={small['backbone'][key]}" for key in ("heads", "out_indices")]
    start = tmp_path / "start.pth"
    said = run(
        "lmv3det", "convert", tmp_path / "model_final.pth", "--yaml", theirs, "--to", "lmv3det",
        "--annotations", annotations, "--out", start, *[s.replace(" ", "") for s in sizes],
    )  # fmt: skip
    assert f"the last one is called 'unnamed {CLASSES + 1}'" in said

    # Four processes, one of which is killed; torchrun starts them again, and they go on.
    values = merge(read_yaml(ours), small)
    values["model"]["weights"] = str(start)

    def config_file(name: str) -> Path:
        values["output_dir"] = str(tmp_path / name)
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(values))
        return path

    log = tmp_path / "killed.log"
    script = (ROOT / "train.py", "--config", config_file("killed"), "--resume-or-start")
    process = torchrun(log, "--max_restarts", 2, *script)
    until = time.monotonic() + PATIENCE
    while not (tmp_path / "killed" / "step_2.pth").exists():
        assert process.poll() is None and time.monotonic() < until, log.read_text()[-4000:]
        time.sleep(0.05)
    os.kill(worker(process, 2), signal.SIGKILL)
    finish(process, log)
    text = log.read_text()
    assert "Traceback" not in re.sub(r"(?s)torch/distributed/elastic.*", "", text), text[-6000:]

    # Nothing happens to this one; both end with the same weights.
    log = tmp_path / "quiet.log"
    script = (ROOT / "train.py", "--config", config_file("quiet"))
    finish(torchrun(log, *script), log)
    killed, quiet = (load_checkpoint(tmp_path / name / "last.pth") for name in ("killed", "quiet"))
    assert killed.step == quiet.step == 4
    for name, tensor in quiet.weights.items():
        assert torch.equal(killed.weights[name], tensor), name
    assert losses(tmp_path / "killed")[-1] == losses(tmp_path / "quiet")[-1]

    # Four processes go on by hand from the middle of a run, to the bit.
    last = tmp_path / "quiet" / "last.pth"
    last.write_bytes((tmp_path / "quiet" / "step_2.pth").read_bytes())
    finish(torchrun(log, *script, "--resume"), log)
    for name, tensor in load_checkpoint(last).weights.items():
        assert torch.equal(killed.weights[name], tensor), name

    # Evaluate, and convert back: their names, and what was trained.
    out = tmp_path / "scores"
    run("lmv3det", "evaluate", last, "--annotations", annotations, "--images", images, "--out", out)
    scores = json.loads((out / "metrics.json").read_text())
    assert set(named) <= set(scores["bbox"]["per_class"]) and "segm" in scores
    back = tmp_path / "back"
    run("lmv3det", "convert", last, "--to", "detectron2", "--out", back)
    returned = torch.load(back / "model_final.pth", weights_only=True)["model"]
    expected = to_detectron2(load_checkpoint(last).weights)
    assert set(returned) == set(expected) == set(to_detectron2(state))
    assert all(torch.equal(returned[name], expected[name]) for name in expected)


def read_small(folder: Path) -> dict:
    """Sizes and a budget for two cores, and the pages; the rest is the yaml's."""
    config = tiny_config(
        folder,
        folder / "run",
        model={"mask_on": True, "num_classes": CLASSES + 1},
        backbone={"input_size": 224},
        neck={"norm": "frozen"},
        mask={"convs": 4},
        solver={"steps": 4, "batch_size": 4, "checkpoint_every": 2, "keep_last": 5},
    )
    values = to_dict(config)
    kept = ("data", "input", "backbone", "neck", "rpn", "roi", "mask", "model")
    small = {key: values[key] for key in kept}
    keys = ("steps", "batch_size", "warmup_steps", "log_every", "evaluate_every")
    keys += ("checkpoint_every", "keep_last")
    return {**small, "device": "cpu", "solver": {key: values["solver"][key] for key in keys}}


def test_a_checkpoint_of_the_published_shapes_converts(tmp_path):
    """All names and shapes of the published detector, and eleven classes for ten names."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for line in SHAPES.read_text().splitlines():
        found = re.fullmatch(r"(\S+) \[([\d, ]*)\] (\w+)", line.strip())
        if found is None:
            continue
        name, kind = found[1], getattr(torch, found[3])
        shape = [int(size) for size in found[2].split(",") if size.strip()]
        if "cls_score" in name:
            shape[0] = 12
        elif "mask_head.predictor" in name:
            shape[0] = 11
        whole = not kind.is_floating_point
        values = (
            torch.zeros(shape, dtype=kind) if whole else torch.randn(shape, generator=generator)
        )
        state[name] = values.to(kind)
    assert len(state) > 200
    torch.save({"model": state}, tmp_path / "model_final.pth")
    theirs, out = tmp_path / "their.yaml", tmp_path / "ours.pth"
    theirs.write_text(YAML.replace(f"NUM_CLASSES: {CLASSES + 1}", "NUM_CLASSES: 11"))
    names = ",".join(f"class {number}" for number in range(1, 11))
    convert = ("lmv3det", "convert")
    run(*convert, tmp_path / "model_final.pth", "--yaml", theirs, "--to", "lmv3det",
        "--classes", names, "--out", out)  # fmt: skip
    checkpoint = load_checkpoint(out)
    assert [c.name for c in checkpoint.categories][-2:] == ["class 10", "unnamed 11"]
    assert checkpoint.weights["backbone.position_table"].shape[1] == 197
    run(*convert, out, "--to", "detectron2", "--out", tmp_path / "back.pth")
    back = torch.load(tmp_path / "back.pth", weights_only=True)["model"]
    for name, tensor in back.items():
        assert torch.equal(tensor, state[name]), name
