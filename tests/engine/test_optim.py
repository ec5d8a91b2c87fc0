"""Parameter groups, learning rates, the moving average."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lmv3det.config import SolverConfig, from_dict
from lmv3det.convert.parameter_names import detectron2_name
from lmv3det.engine.optim import (
    MovingAverage,
    build_optimizer,
    clip_gradients,
    fill_missing_gradients,
    layer_depths,
    load_optimizer_state,
    lr_factor,
    lr_scale,
    optimizer_state,
    parameter_groups,
    reach_all,
    set_rate,
)
from lmv3det.errors import InputError
from lmv3det.model.backbone_base import Backbone
from lmv3det.model.detector import build_detector

FIXTURE = Path(__file__).parents[1] / "parity" / "components.npz"
SOLVERS = {
    "official": {"steps": 60000},
    "seed": {"steps": 30000},
    "warmup_longer_than_run": {"steps": 300, "allow_long_warmup": True},
    "multistep": {"steps": 60000, "schedule": "multistep", "milestones": [40000, 50000]},
}


@pytest.mark.parametrize("name", SOLVERS)
def test_rates_are_the_originals(name):
    with np.load(FIXTURE) as arrays:
        iterations, expected = arrays[f"lr.{name}.iter"], arrays[f"lr.{name}.lr"]
    solver = SolverConfig(**SOLVERS[name])  # type: ignore[arg-type]
    got = [solver.lr * lr_factor(int(step), solver) for step in iterations]
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=0)


def test_rates_by_hand():
    solver = SolverConfig(steps=100, warmup_steps=10, warmup_factor=0.1)
    end = 0.5 * (1 + math.cos(math.pi * 0.1))
    assert lr_factor(0, solver) == 0.1
    assert lr_factor(5, solver) == pytest.approx((0.1 + end) / 2, rel=1e-15)
    assert lr_factor(10, solver) == end
    assert lr_factor(50, solver) == pytest.approx(0.5, abs=1e-15)
    assert lr_factor(100, solver) == 0
    constant = SolverConfig(steps=100, warmup_steps=0, schedule="constant")
    assert [lr_factor(step, constant) for step in (0, 50, 99)] == [1, 1, 1]


def test_multistep_takes_milestones_in_any_order():
    solver = SolverConfig(
        steps=10, warmup_steps=0, schedule="multistep", milestones=[6, 3], gamma=0.5
    )
    assert [lr_factor(step, solver) for step in (2, 3, 5, 6, 9)] == [1, 0.5, 0.5, 0.25, 0.25]


@pytest.fixture(scope="module")
def detector() -> nn.Module:
    values = {
        "model": {"num_classes": 2},
        "backbone": {
            "hidden_size": 12, "layers": 4, "heads": 2, "intermediate_size": 24,
            "coordinate_size": 2, "shape_size": 2, "out_indices": [0, 1, 2, 3], "vocab_size": 30,
            "relative_bias": True,
        },
        "neck": {"out_channels": 8},
        "roi": {"fc_dim": 8},
        "mask": {"dim": 4, "convs": 1},
        "text": {"selection": "first"},
    }  # fmt: skip
    return build_detector(from_dict(values))


def test_by_default_one_group_decays_everything(detector):
    (group,) = parameter_groups(detector, lr=0.1, weight_decay=0.05)
    assert len(group["params"]) == len(list(detector.parameters()))
    assert group["names"] == [name for name, _ in detector.named_parameters()]
    assert (group["peak_lr"], group["weight_decay"]) == (0.1, 0.05)


def test_every_parameter_is_in_exactly_one_group(detector):
    groups = parameter_groups(
        detector, lr=0.1, weight_decay=0.05, layer_decay=0.5, no_decay_norm_bias=True
    )
    seen = [id(p) for group in groups for p in group["params"]]
    assert sorted(seen) == sorted(id(p) for p in detector.parameters())
    assert len(groups) == 2 * (1 + 4 + 1)  # heads, four layers, embeddings; with and without decay


def test_no_decay_spares_the_bias_of_an_attention_module():
    """`nn.MultiheadAttention` calls it `in_proj_bias`."""
    attention = nn.MultiheadAttention(8, 2)
    groups = parameter_groups(attention, lr=0.1, weight_decay=0.05, no_decay_norm_bias=True)
    decay = {name: group["weight_decay"] for group in groups for name in group["names"]}
    assert decay == {"in_proj_weight": 0.05, "out_proj.weight": 0.05,
                     "in_proj_bias": 0.0, "out_proj.bias": 0.0}  # fmt: skip


def test_no_decay_spares_norms_and_biases_alone(detector):
    groups = parameter_groups(detector, lr=0.1, weight_decay=0.05, no_decay_norm_bias=True)
    assert sorted(g["weight_decay"] for g in groups) == [0, 0.05]
    spared = next(set(g["names"]) for g in groups if g["weight_decay"] == 0)
    assert "backbone.visual_norm.weight" in spared
    assert "pyramid.up4.1.weight" in spared  # BatchNorm
    assert "backbone.layers.0.attention.query.bias" in spared
    assert "fpn.lateral.0.bias" in spared
    assert "backbone.relative_bias.weight" not in spared  # a table, whatever it is called
    assert "backbone.position_table" not in spared
    assert "backbone.layers.0.output.weight" not in spared


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fpn.lateral.0.weight", 0.1),
        ("pyramid.up2.0.weight", 0.1),
        ("fusion.gate.p5.weight", 0.1),
        ("rpn.head.conv.weight", 1.0),
        ("cascade.heads.0.fc1.weight", 1.0),
        ("mask_head.predictor.weight", 1.0),
        ("backbone.layers.11.output.weight", 0.1 * 0.5),
        ("backbone.layers.1.output.weight", 0.1 * 0.5**11),
        ("backbone.layers.0.output.weight", 0.1 * 0.5**12),
        ("backbone.patch_embedding.weight", 0.1 * 0.5**13),
        ("backbone.text_embedding.word.weight", 0.1 * 0.5**13),
    ],
)
def test_rate_scale(name, expected):
    with torch.device("meta"):
        depths = layer_depths(build_detector(from_dict({"text": {"selection": "all"}})))
    assert lr_scale(name, depths.get(name, 0), backbone_multiplier=0.1, layer_decay=0.5) == expected


class NoLayers(Backbone):
    """An encoder that does not say which layer a parameter is of."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)


def test_a_layer_wise_decay_needs_layers():
    model = nn.Module()
    model.backbone = NoLayers()
    assert len(parameter_groups(model, lr=1.0, weight_decay=0.0)) == 1
    with pytest.raises(InputError, match="layer_of"):
        parameter_groups(model, lr=1.0, weight_decay=0.0, layer_decay=0.5)


def test_the_backbone_multiplier_reaches_every_name_with_backbone_in_the_original(detector):
    for name, _ in detector.named_parameters():
        theirs = detectron2_name(name)
        assert theirs is not None
        factor = lr_scale(name, 3, backbone_multiplier=0.1, layer_decay=1.0)
        assert factor == (0.1 if "backbone" in theirs else 1.0), name


@pytest.mark.parametrize("limit", [0.5, 0.0])
def test_gradients_are_clipped_as_detectron2_clips_them(limit):
    given = [torch.tensor([3.0, -4.0]), torch.tensor([0.1, 0.2]), torch.tensor([-0.7])]
    total = math.sqrt(sum(float(g.square().sum()) for g in given))

    def clipped(kind):
        parameters = [torch.nn.Parameter(torch.zeros_like(g)) for g in given]
        for parameter, gradient in zip(parameters, given, strict=True):
            parameter.grad = gradient.clone()
        assert float(clip_gradients(parameters, limit, kind)) == pytest.approx(total)
        return [parameter.grad for parameter in parameters]

    for kind, expected in {
        "total_norm": [g * (limit / total) for g in given],
        "norm": [g * min(1.0, limit / float(g.norm())) for g in given],
        "value": [g.clamp(-limit, limit) for g in given],
    }.items():
        for got, wanted in zip(clipped(kind), expected if limit else given, strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-6)


def test_frozen_parameters_stay_out(detector):
    detector.fpn.requires_grad_(False)
    try:
        groups = parameter_groups(detector, lr=0.1, weight_decay=0)
        assert not any(name.startswith("fpn.") for g in groups for name in g["names"])
    finally:
        detector.fpn.requires_grad_(True)


def small(steps: int = 0) -> tuple[nn.Module, torch.optim.AdamW]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 1)).double()
    optimizer = build_optimizer(model, SolverConfig(lr=0.1, no_decay_norm_bias=True))
    for _ in range(steps):
        step(model, optimizer)
    return model, optimizer


def step(model: nn.Module, optimizer: torch.optim.AdamW) -> None:
    x = torch.arange(6, dtype=torch.float64).view(2, 3)
    optimizer.zero_grad()
    model(x).square().sum().backward()
    optimizer.step()


def test_decay_and_rate_act_as_set():
    """AdamW's first step moves by the rate, in the sign of the gradient, after the decay."""
    model = nn.Linear(1, 1, bias=False).double()
    nn.init.constant_(model.weight, 2.0)
    optimizer = build_optimizer(model, SolverConfig(lr=0.5, weight_decay=0.1))
    set_rate(optimizer, 0.2)
    model(torch.ones(1, 1, dtype=torch.float64)).sum().backward()
    optimizer.step()
    assert model.weight.item() == pytest.approx(2 * (1 - 0.1 * 0.1) - 0.1, rel=1e-6)


def test_optimizer_state_survives_a_regrouping():
    (model, optimizer), (other, _) = small(3), small(3)
    state = copy.deepcopy(optimizer_state(optimizer))
    assert set(state) == {name for name, _ in other.named_parameters()}
    regrouped = build_optimizer(other, SolverConfig(lr=0.1, weight_decay=0.0))
    assert len(regrouped.param_groups) == 1 != len(optimizer.param_groups)
    load_optimizer_state(regrouped, state)
    for group in optimizer.param_groups:
        group["weight_decay"] = 0.0
    step(model, optimizer)
    step(other, regrouped)
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_moving_average_by_hand():
    model = nn.BatchNorm1d(1)
    with torch.no_grad():
        model.weight.fill_(1.0)
    average = MovingAverage(model, decay=0.9)
    with torch.no_grad():
        model.weight.fill_(2.0)
        model.running_mean.fill_(5.0)
    average.update(model, 1)  # decay min(0.9, 2/11)
    assert average.model.weight.item() == pytest.approx(2 / 11 + 2 * 9 / 11)
    assert average.model.running_mean.item() == 5.0
    average.update(model, 10**6)
    assert average.model.weight.item() == pytest.approx(
        0.9 * (2 / 11 + 2 * 9 / 11) + 0.1 * 2, rel=1e-6
    )
    assert not average.model.training
    assert model.weight.requires_grad and not average.model.weight.requires_grad


def test_reach_all_visits_every_parameter_and_changes_nothing():
    used, unused = nn.Parameter(torch.tensor(3.0)), nn.Parameter(torch.tensor(4.0))
    visited = []
    unused.register_post_accumulate_grad_hook(lambda p: visited.append("post"))
    loss = reach_all(used.square(), [used, unused])
    assert loss.item() == 9
    loss.backward()
    assert used.grad is not None and used.grad.item() == 6
    assert unused.grad is None
    fill_missing_gradients([used, unused])
    assert used.grad.item() == 6 and unused.grad is not None and unused.grad.item() == 0


def test_wsd_stays_at_the_peak_and_then_falls_to_0() -> None:
    solver = SolverConfig(steps=100, warmup_steps=10, warmup_factor=0.0, schedule="wsd",
                          decay_steps=20)  # fmt: skip
    rates = [lr_factor(step, solver) for step in (0, 5, 10, 80, 85, 90, 95, 100)]
    quarter = 0.5 * (1 + math.cos(math.pi / 4))
    assert rates == pytest.approx([0, 0.5, 1, 1, quarter, 0.5, 1 - quarter, 0], abs=1e-12)
    endless = SolverConfig(steps=100, warmup_steps=0, schedule="wsd")
    assert [lr_factor(step, endless) for step in (0, 50, 99)] == [1, 1, 1]
