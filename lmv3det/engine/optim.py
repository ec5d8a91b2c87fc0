"""Parameter groups, AdamW, the learning rate's course, and the moving average of the weights."""

from __future__ import annotations

import bisect
import copy
import math
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from lmv3det.config import SolverConfig
from lmv3det.errors import InputError
from lmv3det.model.backbone_base import Backbone

_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm)
_OF_BACKBONE = ("backbone.", "pyramid.", "text_states.", "fusion.", "fpn.")


def lr_scale(name: str, depth: int, backbone_multiplier: float, layer_decay: float) -> float:
    """The factor on the learning rate of one parameter.

    `backbone_multiplier` reaches what it reached in the original, every parameter whose name there
    has "backbone" in it: the encoder, the pyramid, the fusion within it and the FPN.

    Layer-wise decay as in BEiT (Bao et al., 2021, https://arxiv.org/abs/2106.08254, appendix):
    whatever is not of the encoder is not decayed, the encoder's last layer has `layer_decay`, each
    layer below one factor more, and the embeddings one more than the first layer.

    Args:
        name: the parameter's name in the detector.
        depth: how often it is decayed, of `layer_depths`.
    """
    scale = backbone_multiplier if name.startswith(_OF_BACKBONE) else 1.0
    return scale * layer_decay**depth


def layer_depths(model: nn.Module) -> dict[str, int]:
    """How many factors of `layer_decay` each parameter of the encoder has, by its name in the
    detector: 1 in the last layer that the encoder names (`Backbone.layer_of`), one more in each
    layer below. Parameters that it gives no layer are left out."""
    backbone = getattr(model, "backbone", None)
    if not isinstance(backbone, Backbone):
        return {}
    layers = {name: backbone.layer_of(name) for name, _ in backbone.named_parameters()}
    named = {name: layer for name, layer in layers.items() if layer is not None}
    above = max(named.values(), default=0) + 1
    return {f"backbone.{name}": above - layer for name, layer in named.items()}


def parameter_groups(
    model: nn.Module,
    *,
    lr: float,
    weight_decay: float,
    backbone_multiplier: float = 1.0,
    layer_decay: float = 1.0,
    no_decay_norm_bias: bool = False,
) -> list[dict[str, Any]]:
    """The trainable parameters in as few groups as differ in lr or decay.

    Args:
        model: the detector.
        lr: peak learning rate.
        weight_decay: AdamW's decay; of every parameter, unless `no_decay_norm_bias` leaves out
            the parameters of norms and everything whose name ends in bias.

    Returns:
        Groups with `params`, `names`, `peak_lr`, `lr` and `weight_decay`.

    Raises:
        InputError: a layer-wise decay for an encoder that names no layers.
    """
    depths = layer_depths(model)
    if layer_decay != 1 and not depths:
        raise InputError(
            f"solver.layer_decay is {layer_decay:g}, but the encoder does not name its layers "
            "(layer_of): set solver.layer_decay=1"
        )
    exempt: set[int] = set()
    if no_decay_norm_bias:
        for module in model.modules():
            for name, parameter in module.named_parameters(recurse=False):
                if isinstance(module, _NORMS) or name.endswith("bias"):  # `in_proj_bias` too
                    exempt.add(id(parameter))
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        own_lr = lr * lr_scale(name, depths.get(name, 0), backbone_multiplier, layer_decay)
        decay = 0.0 if id(parameter) in exempt else weight_decay
        group = groups.setdefault(
            (own_lr, decay),
            {"params": [], "names": [], "peak_lr": own_lr, "lr": own_lr, "weight_decay": decay},
        )
        group["params"].append(parameter)
        group["names"].append(name)
    return list(groups.values())


def build_optimizer(model: nn.Module, solver: SolverConfig) -> torch.optim.AdamW:
    """AdamW over `parameter_groups`, in its fused form where the device has one."""
    groups = parameter_groups(
        model,
        lr=solver.lr,
        weight_decay=solver.weight_decay,
        backbone_multiplier=solver.backbone_multiplier,
        layer_decay=solver.layer_decay,
        no_decay_norm_bias=solver.no_decay_norm_bias,
    )
    fused = all(p.device.type in ("cpu", "cuda") for g in groups for p in g["params"])
    betas = (solver.betas[0], solver.betas[1])
    # An lr of exactly 0 is legal; the groups carry their own.
    return torch.optim.AdamW(groups, lr=solver.lr, betas=betas, eps=solver.eps, fused=fused)


def clip_gradients(parameters: Sequence[Tensor], limit: float, kind: str) -> Tensor:
    """Clip the gradients in place, as `solver.clip_type` says.

    Args:
        parameters: those with gradients.
        limit: the largest norm or value; 0 is none.
        kind: total_norm, norm or value.

    Returns:
        The norm of all gradients together before that, a number on their device.
    """
    total = nn.utils.clip_grad_norm_(
        parameters, limit if limit and kind == "total_norm" else math.inf
    )
    if limit and kind == "norm":
        for parameter in parameters:
            nn.utils.clip_grad_norm_(parameter, limit)
    elif limit and kind == "value":
        nn.utils.clip_grad_value_(parameters, limit)
    return total


def lr_factor(step: int, solver: SolverConfig) -> float:
    """The learning rate of a step (from 0) as a fraction of the peak lr.

    The schedule runs over the whole run: cosine ½ (1 + cos(π · step / steps)), multistep
    gamma^(milestones reached), constant, or wsd: constant up to the last `decay_steps`, over which
    a cosine leads from 1 to 0. Up to `warmup_steps` (the whole run where that is
    shorter) a straight line leads from `warmup_factor` to the schedule's value at its end.
    """
    warmup = min(solver.warmup_steps, solver.steps)
    if step >= warmup:
        return _schedule(step, solver)
    done = step / warmup
    start = solver.warmup_factor * _schedule(0, solver)
    return (1 - done) * start + done * _schedule(warmup, solver)


def _schedule(step: int, solver: SolverConfig) -> float:
    if solver.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * step / solver.steps))
    if solver.schedule == "multistep":
        return solver.gamma ** bisect.bisect_right(sorted(solver.milestones), step)
    if solver.schedule == "wsd":
        left = min((solver.steps - step) / max(solver.decay_steps, 1), 1.0)  # fraction of the decay
        return 0.5 * (1 - math.cos(math.pi * left))
    return 1.0


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Give every group `factor` times its own peak lr."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, dict[str, Tensor]]:
    """The optimizer's state by parameter name: independent of how parameters are grouped."""
    return {
        name: dict(optimizer.state[parameter])
        for group in optimizer.param_groups
        for name, parameter in zip(group["names"], group["params"], strict=True)
        if parameter in optimizer.state
    }


def load_optimizer_state(
    optimizer: torch.optim.Optimizer, state: dict[str, dict[str, Tensor]]
) -> None:
    """Take over what `optimizer_state` gave; lr and decay stay those of the groups.

    Raises:
        KeyError: a parameter of the state is not among the optimizer's.
        ValueError: parameters with different values; a tensor that is not of its parameter's
            shape.
    """
    parameters = {
        name: parameter
        for group in optimizer.param_groups
        for name, parameter in zip(group["names"], group["params"], strict=True)
    }
    number = {name: index for index, name in enumerate(parameters)}
    keys = next((set(values) for values in state.values()), set())
    for name, values in state.items():
        if set(values) != keys:
            raise ValueError(f"{name} has {', '.join(values)}, others have {', '.join(keys)}")
        for key, value in values.items():
            # Fused steps do not look, and would write beyond the tensor.
            fits = value.dim() == 0 if key == "step" else value.shape == parameters[name].shape
            if not fits:
                raise ValueError(
                    f"{key} of {name} is {list(value.shape)}, the parameter "
                    f"{list(parameters[name].shape)}"
                )
    content = optimizer.state_dict()
    # Cloned: the tensors of a checkpoint are mapped from its file.
    content["state"] = {
        number[name]: {key: value.clone() for key, value in values.items()}
        for name, values in state.items()
    }
    optimizer.load_state_dict(content)


class MovingAverage:
    """Exponential moving average of a model's weights.

    The decay of step t is min(decay, (1 + t) / (10 + t)), so that the random start is soon
    forgotten. Buffers are copied. (torch's `AveragedModel` counts on the weights' device: a decay
    that depends on the count would wait for a GPU in each step, and the count be saved too.)

    Attributes:
        model: the averaged copy, in evaluation mode.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after optimizer step number `step` (from 1)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        mine = [p.detach() for p in self.model.parameters()]
        theirs = [p.detach() for p in model.parameters()]
        torch._foreach_lerp_(mine, theirs, 1 - decay)
        copy_buffers(model.buffers(), self.model.buffers())


@torch.no_grad()
def copy_buffers(source, target) -> None:
    """Copy tensors one by one into others."""
    for theirs, mine in zip(source, target, strict=True):
        mine.copy_(theirs)


class _ReachAll(torch.autograd.Function):
    @staticmethod
    def forward(ctx, loss, *parameters):
        ctx.number = len(parameters)
        return loss.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad, *([None] * ctx.number)


def reach_all(loss: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """The same loss, whose backward pass visits every parameter, with no gradient for those that
    it does not depend on (the text tables for pages without text, say). DistributedDataParallel
    waits for a visit of each; this costs less than its search for unused parameters."""
    return _ReachAll.apply(loss, *parameters)


def fill_missing_gradients(parameters: Sequence[Tensor]) -> None:
    """Zeros for parameters without gradient: alone as among several processes, AdamW then treats
    every parameter in every step."""
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)


def named_by(patterns: Sequence[str], names: Sequence[str]) -> list[str]:
    """The names that patterns stand for, in the order of `names`.

    Args:
        patterns: a name; its beginning up to a dot, such as `backbone`; `*` and `?` stand for
            anything, as in file names.
        names: of parameters.

    Raises:
        InputError: a pattern that no name fits.
    """
    chosen: set[str] = set()
    for pattern in patterns:
        fits = [n for n in names if fnmatchcase(n, pattern) or fnmatchcase(n, f"{pattern}.*")]
        if not fits:
            parts = list(dict.fromkeys(name.partition(".")[0] for name in names))
            raise InputError(
                f"solver.freeze names {pattern!r}, but no trained parameter's name begins with "
                f"it; they begin with {', '.join(parts)}"
            )
        chosen.update(fits)
    return [name for name in names if name in chosen]
