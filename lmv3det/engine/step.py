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
    clip_gradients,
    copy_buffers,
    fill_missing_gradients,
    load_optimizer_state,
    lr_factor,
    named_by,
    optimizer_state,
    reach_all,
    set_rate,
)
from lmv3det.errors import InputError
from lmv3det.structures import Batch

GRAD_NORM = "grad_norm"


@dataclass
class StepResult:
    """How a step went.

    Attributes:
        signal: number of the signal that some process has received, or 0; the same everywhere.
        stop: whether some process wants the run to end; the same everywhere.
        skipped: whether the step was left out; the same everywhere.
        reported: whether it was left out for a reason that the user should know (a float16
            gradient that overflows now and then is none).
        causes: what was not finite, and on which pages of this process.
    """

    signal: int
    stop: bool = False
    skipped: bool = False
    reported: bool = False
    causes: list[str] = field(default_factory=list)


def prepare_model(model: nn.Module, world: World) -> nn.Module:
    """The model in training mode on this process's device, BatchNorm synchronised where several
    processes train on CUDA. Its parameters stay the same objects."""
    return distributed.synchronise_batch_norm(model, world).to(world.device).train()


class TrainStep:
    """A model in training, with its optimizer, scaler and moving average.

    In training mode the model maps a batch to its losses by name. Modules within it may have
    `measures`, a dict of numbers by name on the device, which each training pass fills anew: their
    means are logged beside those of the losses.

    Args:
        model: as `prepare_model` gives it.
        optimizer: over `parameter_groups` of the model.
        solver: the settings.
        world: this process among all.
        precision: the setting of this name.

    Attributes:
        model: the model.
        evaluated: the model to evaluate and keep: the moving average where there is one.
        precision: autocast's dtype, or None.
        parameters: those that are trained now.
        names: of the losses, once a step was made.

    Raises:
        InputError: `solver.freeze` names nothing.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        solver: SolverConfig,
        world: World,
        precision: str = "auto",
    ) -> None:
        self.solver, self.world, self.device = solver, world, world.device
        self.model, self.optimizer = model, optimizer
        self.running_values = [
            buffer
            for module in self.model.modules()
            if isinstance(module, _BatchNorm)
            for buffer in module.buffers()
        ]
        self.average = MovingAverage(self.model, solver.ema_decay) if solver.ema_decay else None
        self.evaluated = self.average.model if self.average is not None else self.model
        trained = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        self._freezable = [trained[n] for n in named_by(solver.freeze, list(trained))]
        self._frozen = False
        self._start_training(0)
        self.precision = choose_precision(precision, self.device)
        self.scaler = torch.amp.GradScaler(
            self.device.type, enabled=self.precision == torch.float16
        )
        self.names: list[str] = []
        self._weights: Tensor | None = None
        self._clear_means([])

    def _start_training(self, step: int) -> None:
        """Freeze or thaw what `solver.freeze` names, as it is for a step (from 0)."""
        last = self.solver.freeze_steps
        self._frozen = last is None or step < last
        for parameter in self._freezable:
            parameter.requires_grad_(not self._frozen)
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        if not self.parameters:
            raise InputError(
                f"solver.freeze is {self.solver.freeze}, which is all there is: nothing is trained"
            )
        self.wrapped = distributed.wrap(self.model, self.world)

    @property
    def frozen(self) -> list[Tensor]:
        """The parameters that `solver.freeze` keeps as they are for now."""
        return list(self._freezable) if self._frozen else []

    def __call__(
        self,
        step: int,
        batches: Iterable[Batch],
        signal: Callable[[], int] = lambda: 0,
        stop: Callable[[], bool] = lambda: False,
    ) -> StepResult:
        """Make step number `step` (from 0).

        Args:
            step: its number.
            batches: its `solver.grad_accum_steps` micro-batches.
            signal: gives the number of a signal that this process has received, or 0.
            stop: tells whether this process wants the run to end.

        Returns:
            How it went. This waits for the device, once.

        Raises:
            InputError: `solver.loss_weights` names a loss that the model does not have.
        """
        if (
            self.frozen
            and self.solver.freeze_steps is not None
            and step >= self.solver.freeze_steps
        ):
            self._start_training(step)
        set_rate(self.optimizer, lr_factor(step, self.solver))
        self.optimizer.zero_grad(set_to_none=True)
        before = [buffer.clone() for buffer in self.running_values]
        with self._restored_on_error(before):
            losses, measured, files = self._forward_backward(batches)
        fill_missing_gradients(self.parameters)
        if self.scaler.is_enabled():
            self.scaler.unscale_(self.optimizer)
        norm = clip_gradients(self.parameters, self.solver.max_grad_norm, self.solver.clip_type)

        odd = torch.stack([~losses.isfinite().all(), ~norm.isfinite()]).float()
        told = torch.tensor([float(signal()), float(stop())]).to(self.device, non_blocking=True)
        flags = torch.cat([odd, told])
        bad_loss, bad_norm, received, ends = distributed.reduce_max(flags, self.world).tolist()
        result = StepResult(int(received), bool(ends), skipped=bool(bad_loss or bad_norm))
        if result.skipped:
            self._restore(before)
            # A norm that is not finite is how the scaler finds its scale.
            result.reported = bool(bad_loss) or not self.scaler.is_enabled()
            result.causes = self._causes(losses, files, bool(bad_loss))
        else:
            self.scaler.step(self.optimizer)
            if self.average is not None:
                self.average.update(self.model, step + 1)
            dtype = self._sums.dtype
            self._sums += torch.cat(
                [losses.to(dtype).mean(0), measured.to(dtype).mean(0), norm.to(dtype)[None]]
            )
            self._count += 1
        self.scaler.update()
        return result

    def _forward_backward(self, batches: Iterable[Batch]) -> tuple[Tensor, Tensor, list[list[str]]]:
        """Gradients of a step's micro-batches; the backward pass of the last one joins those of
        all processes.

        Returns:
            The losses, micro-batches × names; the measures, micro-batches × theirs; and the files
            of each micro-batch.
        """
        losses, measured, files = [], [], []
        for number, batch in enumerate(batches, start=1):
            files.append([page.file for page in batch.pages])
            batch = batch.to(self.device, non_blocking=True)
            alone = self.world.size > 1 and number < self.solver.grad_accum_steps
            with self.wrapped.no_sync() if alone else contextlib.nullcontext():  # type: ignore[operator, attr-defined]
                with autocast(self.device, self.precision):
                    named = self.wrapped(batch)
                measures = self._measures()
                self._name(list(named), list(measures))
                values = torch.stack(list(named.values()))
                if self._weights is not None:
                    values = values * self._weights.to(values.dtype)
                total = values.sum()
                # A loss that is not finite makes every gradient NaN, and in all processes, so that
                # the gradients' norm is not finite in any of them.
                finite = torch.where(total.detach().isfinite(), 1.0, math.nan)
                loss = reach_all(total * finite, self.parameters) / self.solver.grad_accum_steps
                self.scaler.scale(loss).backward()
            losses.append(values.detach())
            measured.append(torch.stack(list(measures.values())) if measures else values[:0])
        return torch.stack(losses), torch.stack(measured).detach(), files

    def _measures(self) -> dict[str, Tensor]:
        """What the modules measured in the pass before."""
        found: dict[str, Tensor] = {}
        for module in self.model.modules():
            measures = getattr(module, "measures", None)
            if isinstance(measures, dict):
                found.update(measures)
        return found

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

    def take_means(self) -> dict[str, float]:
        """Mean losses (as `solver.loss_weights` weighs them), measures and `grad_norm`, the norm
        of all gradients before they are clipped, by name since the last call, over all processes
        and the steps that were not left out; empty without any. Every process must call this."""
        sums, count = self._totals()
        logged = self._logged
        self._clear_means(logged)
        if not float(count):
            return {}
        return dict(zip(logged, (sums / count).tolist(), strict=True))

    def _totals(self) -> tuple[Tensor, Tensor]:
        totals = torch.cat([self._sums, self._count[None]])
        totals = distributed.reduce_sum(totals, self.world).cpu()
        return totals[:-1], totals[-1]

    def _name(self, losses: list[str], measures: list[str]) -> None:
        """Note the names of a pass; where they are others than before, means begin anew."""
        if losses != self.names:
            self.names = losses
            self._weights = self._loss_weights(losses)
        logged = [*losses, *measures, GRAD_NORM]
        if logged != self._logged:
            self._clear_means(logged)

    def _loss_weights(self, names: list[str]) -> Tensor | None:
        given = self.solver.loss_weights
        unknown = [name for name in given if name not in names]
        if unknown:
            raise InputError(
                f"solver.loss_weights names {', '.join(unknown)}, but the losses are "
                f"{', '.join(names)}"
            )
        if not given:
            return None
        return torch.tensor([given.get(name, 1.0) for name in names]).to(self.device)

    def _clear_means(self, logged: list[str]) -> None:
        self._logged = logged
        dtype = torch.float32 if self.device.type == "mps" else torch.float64
        self._sums = torch.zeros(len(logged), dtype=dtype, device=self.device)
        self._count = torch.zeros((), dtype=dtype, device=self.device)

    def state(self) -> dict[str, Any]:
        """What the next step depends on beside `evaluated`. Every process must call this."""
        sums, count = self._totals()
        return {
            "optimizer": optimizer_state(self.optimizer),
            "scaler": self.scaler.state_dict(),
            "raw_weights": self.model.state_dict() if self.average is not None else {},
            "loss_names": self._logged,
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
        self._clear_means(list(state["loss_names"]))
        if self.world.is_main:
            copy_buffers([state["loss_sums"], state["loss_count"]], [self._sums, self._count])
