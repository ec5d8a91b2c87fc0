"""`lmv3det train`: from a config to a trained detector, in one process or several."""

from __future__ import annotations

import argparse
import contextlib
import copy
import logging
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from tqdm.contrib.logging import logging_redirect_tqdm

from lmv3det import distributed
from lmv3det.checkpoint import Checkpoint
from lmv3det.config import Config, load_config, to_yaml
from lmv3det.data.coco import CocoDataset
from lmv3det.data.loader import build_test_loader, build_train_loader
from lmv3det.data.tokens import build_text_encoder
from lmv3det.distributed import World
from lmv3det.errors import InputError
from lmv3det.model.detector import build_detector
from lmv3det.optim import (
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
from lmv3det.results import replacing
from lmv3det.run_log import RunLog, draw_curves, memory_gib, read_entries
from lmv3det.stop_signals import StopSignals, shield_loader
from lmv3det.training_state import (
    BEST,
    LAST,
    changed_settings,
    check_same_model,
    checkpoints,
    load_weights,
    random_state,
    read_resumable,
    restore_random_state,
    same_randomness,
    save_best,
    save_last,
    seed_everything,
)

if TYPE_CHECKING:
    from lmv3det.evaluation import Evaluation
    from lmv3det.structures import Batch

log = logging.getLogger(__name__)


class Interrupted(Exception):
    """A signal ended the run early; `path` is the checkpoint that it goes on from."""

    def __init__(self, signum: int, step: int, path: Path) -> None:
        super().__init__(f"stopped at step {step}; {path} is written: go on with --resume")
        self.signum, self.step, self.path = signum, step, path


def train(config: Config, *, resume: bool | str = False) -> Path:
    """Train a detector. Under `torchrun`, every process calls this.

    Args:
        config: the settings; `output_dir`, `data.train.*` and, for evaluation, `data.val.*` name
            the files.
        resume: go on from `output_dir/last.pth`, or from the given checkpoint.

    Returns:
        The path of `last.pth`.

    Raises:
        InputError: data, config or checkpoint cannot be used; a loss was not finite.
        Interrupted: SIGTERM or SIGINT came; the state was saved.
    """
    config = copy.deepcopy(config)
    folder = Path(config.output_dir)
    check_files(config)
    source = (folder / LAST if resume is True else Path(resume)) if resume else None
    found = checkpoints(folder)
    if source is None and found:
        raise InputError(
            f"{folder}: holds a run already ({', '.join(p.name for p in found[:3])}): go on with "
            "it by --resume, or set another output_dir"
        )
    checkpoint = read_resumable(source) if source is not None else None
    with distributed.start(config.device) as world:
        try:
            return Trainer(config, world, checkpoint, source).fit()
        except torch.OutOfMemoryError as error:
            raise InputError(
                f"{world.device} has too little memory ({' '.join(str(error).split())[:120]}): set "
                "backbone.checkpoint=true, or more of solver.accumulate (fewer pages at a time), "
                "or smaller input.min_size_train and input.max_size_train"
            ) from None


def check_files(config: Config) -> None:
    """Check that the files which a config names are there, before anything heavy.

    Raises:
        InputError: one is missing, naming the setting.
    """
    for name in ("train", "val"):
        split = getattr(config.data, name)
        given = [key for key in ("annotations", "images") if getattr(split, key) is not None]
        if name == "val" and not given:
            continue
        for key in ("annotations", "images"):
            path = getattr(split, key)
            what = "COCO JSON file" if key == "annotations" else "image folder"
            if path is None:
                raise InputError(f"data.{name}.{key} is not set; give the {what}: "
                                 f"data.{name}.{key}=PATH")  # fmt: skip
            exists = Path(path).is_file() if key == "annotations" else Path(path).is_dir()
            if not exists:
                raise InputError(
                    f"data.{name}.{key} is {path}: no such {what} (from {Path.cwd()}); set "
                    f"data.{name}.{key}=PATH"
                )


def micro_batch_size(config: Config, world_size: int) -> int:
    """Pages of one micro-batch of one process.

    Raises:
        InputError: `solver.batch_size` cannot be shared out evenly.
    """
    solver = config.solver
    parts = world_size * solver.accumulate
    if solver.batch_size % parts:
        near = max(1, round(solver.batch_size / parts)) * parts
        raise InputError(
            f"solver.batch_size is {solver.batch_size}, which {world_size} process(es) × "
            f"{solver.accumulate} accumulated micro-batches cannot share evenly: set "
            f"solver.batch_size={near} or another solver.accumulate"
        )
    return solver.batch_size // parts


def choose_precision(amp: str, device: torch.device) -> torch.dtype | None:
    """The dtype of autocast that `solver.amp` stands for; None for full precision."""
    if amp == "auto":
        if device.type != "cuda":
            return None
        return torch.bfloat16 if torch.cuda.is_bf16_supported(False) else torch.float16
    return {"off": None, "fp16": torch.float16, "bf16": torch.bfloat16}[amp]


@dataclass
class Pending:
    """What the device has yet to tell about a step.

    `status`: signal number, whether a loss and whether the gradient's norm is not finite, each the
    largest over all processes. `losses`: micro-batches × names, of this process. `files`: the
    pages of each micro-batch.
    """

    status: Tensor
    losses: Tensor
    files: list[list[str]]


class Trainer:
    """A run: data, model, optimizer, and the loop over them.

    Raises:
        InputError: data, config or checkpoint cannot be used.
    """

    def __init__(
        self, config: Config, world: World, checkpoint: Checkpoint | None, source: Path | None
    ) -> None:
        self.config, self.world, self.device = config, world, world.device
        self.folder = Path(config.output_dir)
        self.pages_per_batch = micro_batch_size(config, world.size)
        self.encoder = build_text_encoder(config)
        self._read_data()
        if checkpoint is not None and source is not None:
            check_same_model(checkpoint, config, self.categories, source)
        self._build_model(checkpoint, source)
        self.step, self.skipped = 0, 0
        self.pending: Pending | None = None
        self.signal = 0
        self.names: list[str] = []
        self.sums = torch.zeros(0)  # of the losses since the last logged line
        self.count = torch.zeros(())  # finite steps since then
        self.seconds, self.waited, self.window = 0.0, 0.0, 0
        if checkpoint is None:
            seed_everything(config.seed + world.rank)
        else:
            self._resume(checkpoint)
        micro_batches = self.micro_batches_done(checkpoint)
        self.loader = build_train_loader(
            config,
            self.train_data,
            self.encoder,
            rank=world.rank,
            world_size=world.size,
            pages_per_batch=self.pages_per_batch,
            start=micro_batches,
            with_polygons=config.model.mask_on,
        )
        shield_loader(self.loader)

    def _read_data(self) -> None:
        config, data = self.config, self.config.data
        options = {
            "with_text": config.text.selection != "none",
            "strict": data.strict,
            "missing_ocr": data.missing_ocr,
            "malformed_ocr": data.malformed_ocr,
            "quiet": not self.world.is_main,
        }
        given = data.train
        assert given.annotations is not None and given.images is not None
        self.train_data = CocoDataset(
            given.annotations, given.images, given.ocr, keep_empty=data.keep_empty, **options
        )  # type: ignore[arg-type]
        self.categories = self.train_data.categories
        number, wanted = len(self.categories), config.model.num_classes
        if wanted not in (None, number):
            raise InputError(
                f"model.num_classes is {wanted}, but {given.annotations} has {number} categories: "
                f"set model.num_classes={number}, or leave it out"
            )
        config.model.num_classes = number
        self.val_data = None
        val = data.val
        if val.annotations is not None and val.images is not None:
            self.val_data = CocoDataset(
                val.annotations, val.images, val.ocr, categories=self.categories, **options
            )  # type: ignore[arg-type]
        elif self.world.is_main:
            log.warning("data.val is not set: nothing will be evaluated, and no %s kept", BEST)

    def _build_model(self, checkpoint: Checkpoint | None, source: Path | None) -> None:
        config, solver = self.config, self.config.solver
        seed_everything(config.seed)
        model = build_detector(config)
        if checkpoint is not None and source is not None:
            raw = checkpoint.training["raw_weights"] or checkpoint.weights
            load_weights(model, raw, source)
        elif config.model.weights is not None:
            from lmv3det.convert import load_initial_weights

            report = load_initial_weights(model, config.model.weights, config, self.categories)
            if self.world.is_main:
                log.info("%s", report)
        model = distributed.synchronise_batch_norm(model, self.world)
        self.model = model.to(self.device).train()
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.norm_buffers = [
            buffer
            for module in self.model.modules()
            if isinstance(module, nn.modules.batchnorm._BatchNorm)
            for buffer in module.buffers()
        ]
        self.average = MovingAverage(self.model, solver.ema) if solver.ema else None
        self.wrapped = distributed.wrap(self.model, self.world)
        self.optimizer = build_optimizer(self.model, solver)
        self.precision = choose_precision(solver.amp, self.device)
        self.scaler = torch.amp.GradScaler(
            self.device.type, enabled=self.precision == torch.float16
        )

    def _resume(self, checkpoint: Checkpoint) -> None:
        state, rank = checkpoint.training, self.world.rank
        self.step, self.skipped = checkpoint.step, state["skipped"]
        load_optimizer_state(self.optimizer, state["optimizer"])
        if state["scaler"] and self.scaler.is_enabled():
            self.scaler.load_state_dict(state["scaler"])
        if self.average is not None:
            load_weights(self.average.model, checkpoint.weights, self.folder / LAST)
        self.names = list(state["loss_names"])
        share = 1.0 if rank == 0 else 0.0
        self.sums = state["loss_sums"].to(self.device) * share
        self.count = state["loss_count"].to(self.device) * share
        changed = changed_settings(checkpoint.config, self.config)
        if changed and self.world.is_main:
            shown = ", ".join(f"{key} {old} → {new}" for key, (old, new) in changed.items())
            log.info("resumed with other settings: %s", shown)
        if len(state["random"]) == self.world.size:
            restore_random_state(state["random"][rank], self.device)
        else:
            seed_everything(self.config.seed + rank + 1_000_003 * self.step)
            if self.world.is_main:
                log.warning(
                    "the run had %d processes and now has %d: it goes on from its weights and "
                    "place in the data, but not with the same random numbers",
                    len(state["random"]), self.world.size,
                )  # fmt: skip

    def micro_batches_done(self, checkpoint: Checkpoint | None) -> int:
        """Micro-batches that this process has consumed, of the size that it now has."""
        if checkpoint is None:
            return 0
        pages = checkpoint.training["pages_seen"]
        self.pages_before = pages - checkpoint.step * self.config.solver.batch_size
        return pages // (self.pages_per_batch * self.world.size)

    pages_before = 0
    """Pages seen beyond steps · batch_size, where an earlier part had another batch size."""

    def fit(self) -> Path:
        """Train to the last step, with evaluations and checkpoints on the way."""
        solver, main = self.config.solver, self.world.is_main
        self._announce()
        self.run_log = RunLog(self.folder, solver.steps, self.step, self.device) if main else None
        self.best = self._best_so_far()
        with contextlib.ExitStack() as stack:
            stack.enter_context(logging_redirect_tqdm())
            if self.run_log is not None:
                stack.callback(self.run_log.close)
            self.signals = stack.enter_context(StopSignals())
            self.batches = iter(self.loader)
            if self.step and self._evaluation_due() and not self._evaluated(self.step):
                self._evaluate()
            while self.step < solver.steps:
                self._train_step()
                self._after_step()
        return self.folder / LAST

    def _after_step(self) -> None:
        solver, done = self.config.solver, self.step == self.config.solver.steps
        if self.run_log is not None:
            self.run_log.advance()
        if self.step % solver.log_every == 0 or done:
            self._settle()
            self._log()
        if self.world.size == 1:
            self.signal = self.signal or self.signals.received
        if self.signal and not done:
            path = self._save(numbered=False)
            raise Interrupted(self.signal, self.step, path)
        if self.step % solver.checkpoint_every == 0 or done:
            self._save(numbered=self.step % solver.checkpoint_every == 0)
        if self._evaluation_due():
            self._evaluate()

    def _train_step(self) -> None:
        """One optimizer step: forward and backward of every micro-batch, then the update."""
        began, solver = time.perf_counter(), self.config.solver
        set_rate(self.optimizer, rate_factor(self.step, solver))
        self.optimizer.zero_grad(set_to_none=True)
        norms = [buffer.clone() for buffer in self.norm_buffers]
        losses, files = [], []
        for number in range(solver.accumulate):
            batch = self._next_batch()
            files.append([page.file for page in batch.pages])
            losses.append(self._forward_backward(batch, number + 1 == solver.accumulate))
        self._settle()  # of the step before: raises before anything is updated
        self._update(torch.stack(losses), files, norms)
        self.step += 1
        self.window += 1
        self.seconds += time.perf_counter() - began

    def _next_batch(self) -> Batch:
        began = time.perf_counter()
        batch = next(self.batches)
        self.waited += time.perf_counter() - began
        if self.step == 0 and self.world.is_main:
            self._draw_first(batch)
        return batch.to(self.device, non_blocking=True)

    def _forward_backward(self, batch: Batch, last: bool) -> Tensor:
        """Add a micro-batch's gradients; gives its losses (by `names`) without waiting for them."""
        several = self.world.size > 1 and not last
        with self.wrapped.no_sync() if several else contextlib.nullcontext():  # type: ignore
            with self._autocast():
                losses = self.wrapped(batch)
            if list(losses) != self.names:
                self._name_losses(list(losses))
            total = torch.stack(list(losses.values())).sum()
            # A loss that is not finite makes every gradient NaN, in all processes, so that their
            # norm tells all of them alike.
            finite = torch.where(total.detach().isfinite(), 1.0, math.nan)
            loss = reach_all(total * finite, self.parameters) / self.config.solver.accumulate
            self.scaler.scale(loss).backward()
        return torch.stack([value.detach() for value in losses.values()])

    def _autocast(self):
        enabled = self.precision is not None
        return torch.autocast(self.device.type, dtype=self.precision, enabled=enabled)

    def _name_losses(self, names: list[str]) -> None:
        self.names = names
        dtype = torch.float32 if self.device.type == "mps" else torch.float64
        self.sums = torch.zeros(len(names), dtype=dtype, device=self.device)
        self.count = torch.zeros((), dtype=dtype, device=self.device)

    def _update(self, losses: Tensor, files: list[list[str]], norms: list[Tensor]) -> None:
        """Unscale, clip, step; nothing moves where the gradients are not finite."""
        solver = self.config.solver
        fill_missing_gradients(self.parameters)
        if self.scaler.is_enabled():
            self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.parameters, solver.clip_norm or math.inf)
        flags = torch.stack([~losses.isfinite().all(), ~norm.isfinite()]).float()
        signal = torch.tensor([float(self.signals.received)]).to(self.device, non_blocking=True)
        status = distributed.reduce_max(torch.cat([signal, flags]), self.world)
        if self.scaler.is_enabled():
            self.scaler.step(self.optimizer)
            self.scaler.update()
            bad = status[1] > 0
        else:
            bad = status[1:].amax() > 0
            step_unless(self.optimizer, bad)
        copy_buffers(
            [torch.where(bad, old, new) for old, new in zip(norms, self.norm_buffers, strict=True)],
            self.norm_buffers,
        )
        if self.average is not None:
            self.average.update(self.model, self.step + 1)
        mean = losses.to(self.sums.dtype).mean(0)
        self.sums += torch.where(bad, torch.zeros_like(mean), mean)
        self.count += (~bad).to(self.count.dtype)
        self.pending = Pending(status, losses, files)

    def _settle(self) -> None:
        """Read what the last step's status says.

        Raises:
            InputError: a loss was not finite, and the config says stop.
        """
        pending, self.pending = self.pending, None
        if pending is None:
            return
        signal, loss_bad, grad_bad = pending.status.tolist()
        self.signal = self.signal or int(signal)
        if loss_bad or (grad_bad and not self.scaler.is_enabled()):
            self._not_finite(pending, bool(loss_bad))

    def _not_finite(self, pending: Pending, loss_bad: bool) -> None:
        mine = []
        for losses, files in zip(pending.losses.tolist(), pending.files, strict=True):
            odd = [n for n, v in zip(self.names, losses, strict=True) if not math.isfinite(v)]
            if odd or not loss_bad:
                what = " and ".join(odd) + " not finite" if odd else "gradients not finite"
                mine.append(f"{what} on {', '.join(files)}")
        found = "; ".join(part for parts in distributed.gather(mine, self.world) for part in parts)
        if self.config.solver.non_finite == "skip":
            self.skipped += 1
            if self.world.is_main:
                log.warning(
                    "step %d left out (%d so far): %s", self.step, self.skipped, found
                )  # fmt: skip
            return
        path = self._save(numbered=False)
        raise InputError(
            f"step {self.step}: {found}; the weights are as before it, saved in {path}. Look at "
            "these pages (lmv3det check), lower solver.lr, or set solver.non_finite=skip"
        )

    def _log(self) -> None:
        """Mean losses since the last line, over all processes, and the speed."""
        mean = distributed.reduce_sum(torch.cat([self.sums, self.count[None]]), self.world)
        *sums, count = mean.tolist()
        self._name_losses(self.names)
        if self.run_log is not None and count and self.window:
            losses = {name: value / count for name, value in zip(self.names, sums, strict=True)}
            values: dict[str, float | int] = {
                "lr": max(group["lr"] for group in self.optimizer.param_groups),
                **losses,
                "total": sum(losses.values()),
                "pages_per_second": self.window * self.config.solver.batch_size / self.seconds,
                "data_wait": self.waited / self.seconds,
                "memory_gib": memory_gib(self.device),
                "skipped": self.skipped,
            }
            if self.scaler.is_enabled():
                values["loss_scale"] = self.scaler.get_scale()
            self.run_log.log_step(self.step, values)
        self.seconds, self.waited, self.window = 0.0, 0.0, 0

    def _evaluation_due(self) -> bool:
        every, steps = self.config.solver.evaluate_every, self.config.solver.steps
        regular = every > 0 and self.step % every == 0
        return self.val_data is not None and (regular or self.step == steps)

    def _evaluate(self) -> None:
        from lmv3det.evaluation import evaluate_detector

        assert self.val_data is not None
        began = time.perf_counter()
        self._settle()
        model = self.average.model if self.average is not None else self.model
        distributed.broadcast_buffers(model, self.world)
        with same_randomness(self.device), self._autocast():
            loader = build_test_loader(
                self.config,
                self.val_data,
                self.encoder,
                rank=self.world.rank,
                world_size=self.world.size,
            )
            shield_loader(loader)
            evaluation = evaluate_detector(
                model,
                self.val_data,
                loader,
                self.categories,
                self.device,
                mask_threshold=self.config.test.mask_threshold,
            )
        if evaluation is not None and self.run_log is not None:
            self._keep_evaluation(evaluation, time.perf_counter() - began)
        distributed.barrier(self.world)

    def _keep_evaluation(self, evaluation: Evaluation, seconds: float) -> None:
        from lmv3det.training_pictures import draw_detections

        assert self.run_log is not None and self.val_data is not None
        scores = evaluation.metrics["bbox"]
        found = scores["AP"] if scores["AP"] is not None else -1.0
        if self.best is None or found > self.best:
            self.best = found
            save_best(self.folder, self._content({}))
        self.run_log.log_evaluation(self.step, evaluation.metrics, seconds)
        log.info(
            "step %d: bbox AP %.2f, AP50 %.2f (best AP %.2f)",
            self.step, found, scores["AP50"] or 0.0, self.best,
        )  # fmt: skip
        pictures = self.folder / "pictures"
        draw_detections(pictures / f"step_{self.step}", self.val_data, evaluation.detections)
        draw_curves(self.folder, pictures / "curves.png")

    def _best_so_far(self) -> float | None:
        if not self.step or not (self.folder / BEST).is_file():
            return None
        entries = self._evaluations()
        aps = [e["evaluation"]["bbox"]["AP"] for e in entries]
        return max((-1.0 if ap is None else ap for ap in aps), default=None)

    def _evaluations(self) -> list[dict]:
        return [e for e in read_entries(self.folder) if "evaluation" in e]

    def _evaluated(self, step: int) -> bool:
        found = any(e["step"] == step for e in self._evaluations())
        return distributed.from_main(found, self.world)

    def _content(self, training: dict) -> Checkpoint:
        model = self.average.model if self.average is not None else self.model
        files = self.encoder.files() if self.encoder is not None else {}
        return Checkpoint(
            model.state_dict(), self.config, self.categories, files, self.step, training
        )

    def _save(self, numbered: bool) -> Path:
        """Write `last.pth` (all processes call this; the first one writes)."""
        self._settle()
        distributed.broadcast_buffers(self.model, self.world)
        states = distributed.gather(random_state(self.device), self.world)
        totals = torch.cat([self.sums, self.count[None]])
        totals = distributed.reduce_sum(totals, self.world)
        if self.world.is_main:
            training = {
                "optimizer": optimizer_state(self.optimizer),
                "scaler": self.scaler.state_dict(),
                "raw_weights": self.model.state_dict() if self.average is not None else {},
                "random": states,
                "pages_seen": self.step * self.config.solver.batch_size + self.pages_before,
                "skipped": self.skipped,
                "loss_names": self.names,
                "loss_sums": totals[:-1].cpu(),
                "loss_count": totals[-1].cpu(),
            }
            keep = self.config.solver.keep_last
            save_last(self.folder, self._content(training), keep=keep, number=numbered)
        distributed.barrier(self.world)
        return self.folder / LAST

    def _announce(self) -> None:
        """Write the config, and say what is about to happen."""
        if not self.world.is_main:
            return
        with replacing(self.folder / "config.yaml") as path:
            path.write_text(to_yaml(self.config), encoding="utf-8")
        solver = self.config.solver
        log.info(
            "%s: %.1f million parameters, %d classes, on %s in %s; %d training pages; a step has "
            "%d pages = %d process(es) × %d micro-batch(es) × %d",
            f"going on from step {self.step}" if self.step else "a new run",
            sum(p.numel() for p in self.parameters) / 1e6, len(self.categories), self.device,
            str(self.precision or torch.float32).removeprefix("torch."), len(self.train_data),
            solver.batch_size, self.world.size, solver.accumulate, self.pages_per_batch,
        )  # fmt: skip

    def _draw_first(self, batch: Batch) -> None:
        from lmv3det.training_pictures import draw_batch

        path = self.folder / "pictures" / "train_batch.png"
        if not path.exists():
            config = self.config.input
            draw_batch(path, batch, self.categories, config.pixel_mean, config.pixel_std)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `lmv3det train`."""
    parser.add_argument("--config", required=True, help="YAML file with the settings")
    parser.add_argument(
        "--resume", action="store_true", help="go on from last.pth in the config's output_dir"
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="settings, such as solver.lr=1e-4"
    )


def run(args: argparse.Namespace) -> int:
    """`lmv3det train`, also under torchrun: 0 when the last step is done, 128 + the signal's
    number (130 for Ctrl-C, 143 for SIGTERM) where one ended the run early."""
    if int(os.environ.get("RANK", "0")) > 0:
        logging.getLogger("lmv3det").setLevel(logging.ERROR)
    try:
        path = train(load_config(args.config, args.overrides), resume=args.resume)
    except Interrupted as stop:
        log.warning("%s", stop)
        return 128 + stop.signum
    log.info("done: %s", path)
    return 0


__all__ = ["Interrupted", "Trainer", "add_arguments", "run", "train"]
