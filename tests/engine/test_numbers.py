"""Numbers of training: a curve that is kept, a plain loop beside ours, and pages at the edge."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.gpu_checks import SMALL, make_batch
from lmv3det.config import SolverConfig, from_dict, merge
from lmv3det.device import autocast
from lmv3det.distributed import World
from lmv3det.engine.optim import build_optimizer
from lmv3det.engine.step import TrainStep
from lmv3det.inference.detector import Detector
from lmv3det.inference.options import PredictOptions
from lmv3det.model.detector import build_detector
from lmv3det.structures import Batch, Page, Sample, Target
from tests.tiny_detector import CATEGORIES, tiny_config

ALONE = World(0, 1, torch.device("cpu"))
CURVE = Path(__file__).parent / "loss_curve.json"
TOLERANCE = 1e-5
"""Relative, of the kept losses. The steps are made in float64, in which the order of sums does not
show; but the first weights are drawn in float32, whose erfinv and log differ between processors by
a unit in the last place (6e-8), and eight steps may carry that some ten times as far."""


def loss_curve() -> list[dict[str, float]]:
    """Eight steps of two micro-batches, every loss of each, in float64."""
    torch.manual_seed(7)
    dropout = {"backbone": {"dropout": 0.1, "attention_dropout": 0.1, "drop_path": 0.1}}
    model = build_detector(from_dict(merge(SMALL, dropout))).double()
    solver = SolverConfig(
        steps=8, lr=1e-3, warmup_steps=2, grad_accum_steps=2, max_grad_norm=1.0, ema_decay=0.9
    )
    step = TrainStep(model, build_optimizer(model, solver), solver, ALONE)
    batch = make_batch(1, 96, 64, tokens=6).to(torch.float64)
    curve = []
    for number in range(8):
        assert not step(number, [batch, batch]).skipped
        means = step.take_means()
        curve.append({name: means[name] for name in step.names})
    return curve


def test_equal_seeds_give_the_kept_curve() -> None:
    """`python -m tests.engine.test_numbers` keeps a new one, after a change that is meant."""
    curve = loss_curve()
    assert curve == loss_curve()  # to the last bit in one process
    kept = json.loads(CURVE.read_text(encoding="utf-8"))
    assert len(kept) == len(curve)
    for step, (now, before) in enumerate(zip(curve, kept, strict=True)):
        assert now == pytest.approx(before, rel=TOLERANCE, abs=1e-9), f"step {step}"
    assert sum(curve[-1].values()) < sum(curve[0].values())


class Line(nn.Module):
    """A model whose losses are simple enough for a loop by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 4).double(), nn.Linear(4, 2).double()

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        out = self.second(torch.tanh(self.first(batch.images.mean(dim=(2, 3)))))
        return {"loss_a": out[:, 0].square().mean(), "loss_b": (out[:, 1] - 3).abs().mean()}


def pages(seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(2, 3, 4, 4, generator=generator, dtype=torch.float64) * 40
    return Batch(images, [(4, 4)] * 2)


@pytest.mark.parametrize("schedule", ["cosine", "multistep", "constant", "wsd"])
def test_rate_clipping_and_accumulation_are_those_of_a_plain_loop(schedule: str) -> None:
    """AdamW (Loshchilov & Hutter, 2019, algorithm 2) written out, in float64."""
    steps, warmup, parts, clip, peak, decay = 10, 3, 3, 0.5, 0.05, 0.1
    solver = SolverConfig(
        steps=steps, lr=peak, schedule=schedule, milestones=[5, 8], gamma=0.1, decay_steps=4,
        warmup_steps=warmup, warmup_factor=0.1, grad_accum_steps=parts, max_grad_norm=clip,
        weight_decay=decay, betas=[0.9, 0.95], eps=1e-8, no_decay_norm_bias=True,
    )  # fmt: skip
    torch.manual_seed(0)
    model = Line()
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    step = TrainStep(model, build_optimizer(model, solver), solver, ALONE, "fp32")

    def course(number: int) -> float:
        if schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * number / steps))
        if schedule == "multistep":
            return 1.0 if number < 5 else 0.1 if number < 8 else 0.01
        if schedule == "wsd" and number > steps - 4:
            return 0.5 * (1 - math.cos(math.pi * (steps - number) / 4))
        return 1.0

    mean = {name: torch.zeros_like(w) for name, w in weights.items()}
    square = {name: torch.zeros_like(w) for name, w in weights.items()}
    clipped = 0
    for number in range(steps):
        batches = [pages(10 * number + part) for part in range(parts)]
        assert not step(number, batches).skipped
        leaves = {name: w.clone().requires_grad_() for name, w in weights.items()}
        for batch in batches:
            losses = torch.func.functional_call(Line(), leaves, (batch,))
            (sum(losses.values()) / parts).backward()
        gradients = {name: leaf.grad for name, leaf in leaves.items()}
        norm = math.sqrt(sum(g.square().sum().item() for g in gradients.values()))
        clipped += norm > clip
        factor = min(1.0, clip / (norm + 1e-6))
        start = 0.1 * course(0)
        done = number / warmup
        share = course(number) if done >= 1 else (1 - done) * start + done * course(warmup)
        for name, weight in weights.items():
            gradient = gradients[name] * factor
            mean[name] = 0.9 * mean[name] + 0.1 * gradient
            square[name] = 0.95 * square[name] + 0.05 * gradient**2
            corrected = mean[name] / (1 - 0.9 ** (number + 1))
            spread = (square[name] / (1 - 0.95 ** (number + 1))).sqrt() + 1e-8
            weight -= peak * share * (decay if name.endswith("weight") else 0) * weight
            weight -= peak * share * corrected / spread
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(parameter.detach(), weights[name], rtol=1e-12, atol=1e-13)
    assert clipped > 0


def extreme_pages() -> dict[str, Sample]:
    """Pages at the edge of what can come, with text lines at the edge of what OCR gives."""

    def page(image: np.ndarray, boxes: np.ndarray) -> Sample:
        height, width = image.shape[:2]
        sample = Sample(image, Page("", width, height))
        sample.line_boxes, sample.lines = boxes, ["a line"] * len(boxes)
        return sample

    black = np.zeros((80, 64, 3), np.uint8)
    many = np.random.default_rng(0).uniform(0, 60, (4000, 2))
    return {
        "black": page(black, np.zeros((0, 4))),
        "white": page(black + 255, np.array([[0.0, 0, 64, 80]])),
        "checked": page(np.indices((80, 64)).sum(0)[..., None].repeat(3, 2).astype(np.uint8) % 2
                        * 255, np.array([[3.0, 3, 3, 3]])),
        "1×5000": page(black[:1, :1].repeat(5000, 1), np.array([[0.0, 0, 5000, 1]])),
        "5000×1": page(black[:1, :1].repeat(5000, 0), np.array([[0.0, 0, 1, 5000]])),
        "4000 lines": page(black + 127, np.concatenate([many, many + 4], axis=1)),
        "huge lines": page(black + 1, np.array([[-1e9, -1e9, 1e9, 1e9], [1e8, 1e8, 1e9, 1e9]])),
    }  # fmt: skip


def tokens(lines: list[str], boxes: np.ndarray, size: tuple[int, int]) -> SimpleNamespace:
    """A token a line, 500 at most, as a tokenizer cuts them."""
    height, width = size
    scaled = boxes[:500] / np.array([width, height, width, height]) * 1000
    scaled = np.clip(scaled, 0, 1000).astype(np.int64)
    return SimpleNamespace(ids=np.full(len(scaled), 7), boxes=scaled)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_extreme_pages_give_finite_detections(precision: str) -> None:
    config = tiny_config(
        text={"selection": "first"}, fusion={"kind": "gated"}, model={"mask_on": True}
    )
    config.precision = precision
    torch.manual_seed(0)
    model = Detector(build_detector(config).eval(), config, CATEGORIES, tokens)
    for name, sample in extreme_pages().items():
        ((_, found),) = model.stream([sample], PredictOptions(score_threshold=0.0))
        for values in (found.boxes, found.scores, found.masks):
            assert values.isfinite().all(), name
        width, height = sample.page.width, sample.page.height
        limit = torch.tensor([width, height, width, height])
        assert (found.boxes >= 0).all() and (found.boxes <= limit).all(), name


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_extreme_pages_give_finite_losses_and_gradients(precision: str) -> None:
    """Regions of the whole page, of a pixel, many alike, and none."""
    torch.manual_seed(0)
    config = tiny_config(
        backbone={"dropout": 0.0, "attention_dropout": 0.1}, text={"selection": "first"},
        fusion={"kind": "gated"}, model={"mask_on": True},
    )  # fmt: skip
    model = build_detector(config).train()
    whole, pixel = [0.0, 0, 64, 80], [10.0, 10, 11, 11]
    for name, boxes in {
        "whole": [whole], "pixel": [pixel], "none": [], "many": [whole, pixel] * 150,
        "outside": [[-5000.0, -5000, 9000, 9000]],
    }.items():  # fmt: skip
        for value in (-1.0, 0.0, 1.0, 100.0):
            outlines = [[np.array(box)[[0, 1, 2, 1, 2, 3, 0, 3]].reshape(4, 2)] for box in boxes]
            classes = torch.zeros(len(boxes), dtype=torch.int64)
            target = Target(torch.tensor(boxes).reshape(-1, 4), classes, outlines)
            images = torch.full((1, 3, 96, 64), value)
            ids, text_boxes = torch.full((1, 3), 7), torch.tensor([[[0, 0, 1000, 1000]] * 3])
            batch = Batch(images, [(80, 64)], ids, text_boxes, targets=[target])
            model.zero_grad()
            with autocast("cpu", precision):
                losses = model.losses(batch)
            total = torch.stack(list(losses.values())).sum()
            total.backward()
            assert total.isfinite(), (name, value, losses)
            if precision == "bf16":  # in float16 a scaler may have to find its scale
                for key, parameter in model.named_parameters():
                    assert parameter.grad is None or parameter.grad.isfinite().all(), (name, key)


if __name__ == "__main__":
    CURVE.write_text(json.dumps(loss_curve(), indent=1) + "\n", encoding="utf-8")
