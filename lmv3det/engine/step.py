"""One optimizer step: forward, backward, unscale, clip, step.

A step whose losses or gradients are not finite changes nothing.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lmv3det import distributed
from lmv3det.config import SolverConfig
from lmv3det.device import autocast, choose_precision
from lmv3det.distributed import World
from lmv3det.engine.optim import (
    MovingAverage,
    build_optimizer,
    clip_gradients,
    copy_buffers,
    fill_missing_gradients,
    load_optimizer_state,
    lr_factor,
    optimizer_state,
    reach_all,
    set_rate,
)
from lmv3det.structures import Batch


@dataclass
class StepResult:
    """How a step went.

    Attributes:
        signal: number of the signal that some process has received, or 0; the same everywhere.
        skipped: whether the step was left out; the same everywhere.
        reported: whether it was left out for a reason that the user should know (a float16
            gradient that overflows now and then is none).
        causes: what was not finite, and on which pages of this process.
    """

    signal: int
    skipped: bool = False
    reported: bool = False
    causes: list[str] = field(default_factory=list)


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
        self._name_losses([])

    def __call__(
        self, step: int, batches: Iterable[Batch], signal: Callable[[], int] = lambda: 0
    ) -> StepResult:
        """Make step number `step` (from 0).

        Args:
            step: its number.
            batches: its `solver.grad_accum_steps` micro-batches.
            signal: gives the number of a signal that this process has received, or 0.

        Returns:
            How it went. This waits for the device, once.
        """
        set_rate(self.optimizer, lr_factor(step, self.solver))
        self.optimizer.zero_grad(set_to_none=True)
        before = [buffer.clone() for buffer in self.running_values]
        with self._restored_on_error(before):
            losses, files = self._forward_backward(batches)
        fill_missing_gradients(self.parameters)
        if self.scaler.is_enabled():
            self.scaler.unscale_(self.optimizer)
        norm = clip_gradients(self.parameters, self.solver.max_grad_norm, self.solver.clip_type)

        odd = torch.stack([~losses.isfinite().all(), ~norm.isfinite()]).float()
        told = torch.tensor([float(signal())]).to(self.device, non_blocking=True)
        flags = torch.cat([odd, told])
        bad_loss, bad_norm, received = distributed.reduce_max(flags, self.world).tolist()
        result = StepResult(int(received), skipped=bool(bad_loss or bad_norm))
        if result.skipped:
            self._restore(before)
            # A norm that is not finite is how the scaler finds its scale.
            result.reported = bool(bad_loss) or not self.scaler.is_enabled()
            result.causes = self._causes(losses, files, bool(bad_loss))
        else:
            self.scaler.step(self.optimizer)
            if self.average is not None:
                self.average.update(self.model, step + 1)
            self._sums += losses.to(self._sums.dtype).mean(0)
            self._count += 1
        self.scaler.update()
        return result

    def _forward_backward(self, batches: Iterable[Batch]) -> tuple[Tensor, list[list[str]]]:
        """Gradients of a step's micro-batches; the backward pass of the last one joins those of
        all processes.

        Returns:
            The losses, micro-batches × names, and the files of each micro-batch.
        """
        losses, files = [], []
        for number, batch in enumerate(batches, start=1):
            files.append([page.file for page in batch.pages])
            batch = batch.to(self.device, non_blocking=True)
            alone = self.world.size > 1 and number < self.solver.grad_accum_steps
            with self.wrapped.no_sync() if alone else contextlib.nullcontext():  # type: ignore[operator, attr-defined]
                with autocast(self.device, self.precision):
                    named = self.wrapped(batch)
                if list(named) != self.names:
                    self._name_losses(list(named))
                values = torch.stack(list(named.values()))
                total = values.sum()
                # A loss that is not finite makes every gradient NaN, and in all processes, so that
                # the gradients' norm is not finite in any of them.
                finite = torch.where(total.detach().isfinite(), 1.0, math.nan)
                loss = reach_all(total * finite, self.parameters) / self.solver.grad_accum_steps
                self.scaler.scale(loss).backward()
            losses.append(values.detach())
        return torch.stack(losses), files

    def _causes(self, losses: Tensor, files: list[list[str]], bad_loss: bool) -> list[str]:
        causes = []
        for values, pages in zip(losses.tolist(), files, strict=True):
            odd = [n for n, v in zip(self.names, values, strict=True) if not math.isfinite(v)]
            if odd or not bad_loss:
                what = ", ".join(odd) if odd else "the gradients (not the losses)"
                causes.append(f"{what} not finite on {', '.join(pages)}")
        return causes

    @contextlib.contextmanager
    def _restored_on_error(self, before: list[Tensor]) -> Iterator[None]:
        try:
            yield
        except BaseException:  # the first micro-batches have changed BatchNorm's values already
            self._restore(before)
            raise

    def _restore(self, before: list[Tensor]) -> None:
        """Give BatchNorm back the running values that it had before the step."""
        copy_buffers(before, self.running_values)

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
