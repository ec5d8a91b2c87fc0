"""One optimizer step: forward and backward of its micro-batches, clipping, update, averages.

Nothing here waits for the device: what a step did is read when the next one has been launched
(`settle`). A step whose gradients are not finite changes nothing.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lmv3det.config import SolverConfig
from lmv3det.device import autocast, choose_precision
from lmv3det.engine import distributed
from lmv3det.engine.distributed import World
from lmv3det.engine.optim import (
    MovingAverage,
    build_optimizer,
    copy_buffers,
    fill_missing_gradients,
    load_optimizer_state,
    optimizer_state,
    rate_factor,
    reach_all,
    set_rate,
    step_unless,
)
from lmv3det.structures import Batch


@dataclass
class Status:
    """What a step turned out to be.

    Attributes:
        signal: number of the signal that some process has received, or 0.
        faults: what was not finite, and on which pages of this process.
        faulty: whether it was left out, in all processes alike.
    """

    signal: int
    faults: list[str]
    faulty: bool


@dataclass
class _Pending:
    """What the device has yet to tell about a step. `flags`: the signal's number, whether a loss
    and whether the gradients' norm is not finite, each the largest over all processes. `losses`:
    micro-batches × names, of this process. `files`: the pages of each micro-batch."""

    flags: Tensor
    losses: Tensor
    files: list[list[str]]


class TrainStep:
    """A model in training, with its optimizer, scaler and moving average.

    Args:
        model: the detector; moved to the device of `world`.
        solver: the settings.
        world: this process among all.
        precision: the setting of this name.

    Attributes:
        model: the detector, BatchNorm synchronised where several processes train on CUDA.
        evaluated: the model to evaluate and keep: the moving average where there is one.
        precision: autocast's dtype, or None.
        names: of the losses, once a step was made.
    """

    def __init__(
        self, model: nn.Module, solver: SolverConfig, world: World, precision: str = "auto"
    ) -> None:
        self.solver, self.world, self.device = solver, world, world.device
        model = distributed.synchronise_batch_norm(model, world)
        self.model = model.to(self.device).train()
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.running_values = [
            buffer
            for module in self.model.modules()
            if isinstance(module, _BatchNorm)
            for buffer in module.buffers()
        ]
        self.average = MovingAverage(self.model, solver.ema_decay) if solver.ema_decay else None
        self.evaluated = self.average.model if self.average is not None else self.model
        self.wrapped = distributed.wrap(self.model, world)
        self.optimizer = build_optimizer(self.model, solver)
        self.precision = choose_precision(precision, self.device)
        self.scaler = torch.amp.GradScaler(
            self.device.type, enabled=self.precision == torch.float16
        )
        self._pending: _Pending | None = None
        self._name_losses([])

    def autocast(self) -> torch.autocast:
        """The context of forward passes."""
        return autocast(self.device, self.precision)

    def launch(self, step: int, batches: Iterable[Batch]) -> _Pending:
        """Gradients of step number `step` (from 0) over `solver.grad_accum_steps` micro-batches.
        The backward pass of the last one joins the gradients of all processes."""
        set_rate(self.optimizer, rate_factor(step, self.solver))
        self.optimizer.zero_grad(set_to_none=True)
        self._before = [buffer.clone() for buffer in self.running_values]
        losses, files = [], []
        for number, batch in enumerate(batches, start=1):
            files.append([page.file for page in batch.pages])
            batch = batch.to(self.device, non_blocking=True)
            losses.append(self._forward_backward(batch, number == self.solver.grad_accum_steps))
        return _Pending(torch.zeros(0), torch.stack(losses), files)

    def _forward_backward(self, batch: Batch, last: bool) -> Tensor:
        several = self.world.size > 1 and not last
        with self.wrapped.no_sync() if several else contextlib.nullcontext():  # type: ignore[operator, attr-defined]
            with self.autocast():
                losses = self.wrapped(batch)
            if list(losses) != self.names:
                self._name_losses(list(losses))
            values = torch.stack(list(losses.values()))
            total = values.sum()
            # A loss that is not finite makes every gradient NaN, and in all processes, so that
            # the gradients' norm tells all of them alike.
            finite = torch.where(total.detach().isfinite(), 1.0, math.nan)
            loss = reach_all(total * finite, self.parameters) / self.solver.grad_accum_steps
            self.scaler.scale(loss).backward()
        return values.detach()

    def update(self, launched: _Pending, step: int, signal: int) -> None:
        """Unscale, clip, step; nothing moves where the gradients are not finite.

        Args:
            launched: as `launch` gave, after `settle` of the step before.
            step: the step's number, from 0.
            signal: number of a signal that this process has received, or 0.
        """
        fill_missing_gradients(self.parameters)
        if self.scaler.is_enabled():
            self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.solver.max_grad_norm or math.inf)
        flags = torch.stack([~launched.losses.isfinite().all(), ~norm.isfinite()]).float()
        received = torch.tensor([float(signal)]).to(self.device, non_blocking=True)
        launched.flags = distributed.reduce_max(torch.cat([received, flags]), self.world)
        if self.scaler.is_enabled():
            # A norm that is not finite is the scaler's everyday business.
            bad = launched.flags[1] > 0
            self.scaler.step(self.optimizer)
            self.scaler.update()
        else:
            bad = launched.flags[1:].amax() > 0
            step_unless(self.optimizer, bad)
        for before, buffer in zip(self._before, self.running_values, strict=True):
            buffer.copy_(torch.where(bad, before, buffer))
        if self.average is not None:
            self.average.update(self.model, step + 1)
        mean = launched.losses.to(self._sums.dtype).mean(0)
        self._sums += torch.where(bad, torch.zeros_like(mean), mean)
        self._count += (~bad).to(self._count.dtype)
        self._pending = launched

    def settle(self) -> Status:
        """Read how the last step went; at once where nothing is open."""
        pending, self._pending = self._pending, None
        if pending is None:
            return Status(0, [], False)
        signal, loss_bad, norm_bad = pending.flags.tolist()
        if not (loss_bad or (norm_bad and not self.scaler.is_enabled())):
            return Status(int(signal), [], False)
        faults = []
        for losses, files in zip(pending.losses.tolist(), pending.files, strict=True):
            odd = [n for n, v in zip(self.names, losses, strict=True) if not math.isfinite(v)]
            if odd or not loss_bad:
                what = ", ".join(odd) if odd else "the gradients (not the losses)"
                faults.append(f"{what} not finite on {', '.join(files)}")
        return Status(int(signal), faults, True)

    def take_mean_losses(self) -> dict[str, float]:
        """Mean losses by name since the last call, over all processes and the steps that were not
        left out; empty without any. Every process must call this."""
        sums, count = self._totals()
        self._name_losses(self.names)
        if not float(count):
            return {}
        return dict(zip(self.names, (sums / count).tolist(), strict=True))

    def _totals(self) -> tuple[Tensor, Tensor]:
        totals = torch.cat([self._sums, self._count[None]])
        totals = distributed.reduce_sum(totals, self.world).cpu()
        return totals[:-1], totals[-1]

    def _name_losses(self, names: list[str]) -> None:
        self.names = names
        dtype = torch.float32 if self.device.type == "mps" else torch.float64
        self._sums = torch.zeros(len(names), dtype=dtype, device=self.device)
        self._count = torch.zeros((), dtype=dtype, device=self.device)

    def state(self) -> dict[str, Any]:
        """What the next step depends on beside `evaluated`. Every process must call this."""
        sums, count = self._totals()
        return {
            "optimizer": optimizer_state(self.optimizer),
            "scaler": self.scaler.state_dict(),
            "raw_weights": self.model.state_dict() if self.average is not None else {},
            "loss_names": self.names,
            "loss_sums": sums,
            "loss_count": count,
        }

    def load_state(self, state: dict[str, Any], averaged: dict[str, Tensor]) -> None:
        """Take over what `state` gave; the model has its weights already.

        Args:
            averaged: the weights of `evaluated`.
        """
        load_optimizer_state(self.optimizer, state["optimizer"])
        if state["scaler"] and self.scaler.is_enabled():
            self.scaler.load_state_dict(state["scaler"])
        if self.average is not None and state["raw_weights"]:
            self.average.model.load_state_dict(averaged)
        self._name_losses(list(state["loss_names"]))
        if self.world.is_main:
            copy_buffers([state["loss_sums"], state["loss_count"]], [self._sums, self._count])
