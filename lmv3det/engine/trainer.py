"""The loop over the steps: train, log, save, evaluate."""

from __future__ import annotations

import contextlib
import itertools
import logging
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch.utils.data import DataLoader
from tqdm.contrib.logging import logging_redirect_tqdm

from lmv3det import distributed
from lmv3det.checkpoint.file import Checkpoint
from lmv3det.config import Config, to_yaml
from lmv3det.data.categories import Category
from lmv3det.data.coco import CocoDataset
from lmv3det.data.loader import build_test_loader
from lmv3det.device import describe
from lmv3det.distributed import World
from lmv3det.engine.callbacks import Callback
from lmv3det.engine.log import RunLog, memory_gib, read_entries
from lmv3det.engine.randomness import (
    random_state,
    restore_random_state,
    same_randomness,
    seed_everything,
)
from lmv3det.engine.resume import changed_settings
from lmv3det.engine.run_files import BEST, LAST, save_best, save_last
from lmv3det.engine.signals import StopSignals
from lmv3det.engine.step import StepResult, TrainStep
from lmv3det.errors import InputError
from lmv3det.files import replacing
from lmv3det.text.tokenization import PageTokenizer

if TYPE_CHECKING:
    from lmv3det.evaluation.coco import Evaluation
    from lmv3det.structures import Batch

log = logging.getLogger(__name__)

_MIN_LOSS_SCALE = 2.0**-10
"""A float16 loss scale (at first 2¹⁶) below which halving it further will not help."""


_LARGE_ON_CPU = 50_000_000
"""Parameters from which a training on a CPU is warned of; LayoutLMv3-base has 125 million."""


class Interrupted(Exception):
    """A signal ended the run early; `path` is the checkpoint that it goes on from."""

    def __init__(self, signum: int, step: int, path: Path) -> None:
        super().__init__(f"stopped after step {step}; {path} is written: go on with --resume")
        self.signum, self.step, self.path = signum, step, path


class Trainer:
    """A run: the loop over the steps, with its log, evaluations and checkpoints.

    `lmv3det.engine.run.build_trainer` makes one from a config.

    Args:
        config: the settings of the run.
        world: this process among all.
        training: the model with its optimizer.
        loader: endless batches of training pages, of this process; from the place that a run goes
            on from.
        categories: the model's classes in the order of class indices.
        page_tokenizer: is saved with the model; None for a model without text.
        val_data: the pages to evaluate on; None evaluates nothing.
        callbacks: are called on the way, in their order.

    Attributes:
        step: steps done.
        folder: where the run writes.
        best: the best AP so far, in the first process; None without one.
    """

    def __init__(
        self,
        config: Config,
        world: World,
        training: TrainStep,
        loader: DataLoader,
        categories: list[Category],
        page_tokenizer: PageTokenizer | None = None,
        val_data: CocoDataset | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self.config, self.world, self.device = config, world, world.device
        self.folder = Path(config.output_dir)
        self.training, self.loader = training, loader
        self.categories, self.page_tokenizer = categories, page_tokenizer
        self.val_data, self.callbacks = val_data, list(callbacks)
        self.step, self.skipped, self.pages_seen = 0, 0, 0
        self.signals = StopSignals()
        self.signals.shield(loader)
        self.signal, self.stopping, self._asked_to_stop = 0, False, False
        self.saved_step = self.step
        self.seconds, self.waited, self.window = 0.0, 0.0, 0
        self.run_log: RunLog | None = None
        self.best: float | None = None

    def resume(self, checkpoint: Checkpoint, source: Path) -> None:
        """Take over the state of a run; the model has its weights already.

        Args:
            checkpoint: with the state of a run.
            source: its path, which messages name.

        Raises:
            InputError: the state cannot be used.
        """
        try:
            self._take_over(checkpoint)
        except torch.OutOfMemoryError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError,
                RuntimeError) as error:  # fmt: skip
            raise InputError(
                f"{source}: the state of the run in it cannot be used ({type(error).__name__}: "
                f"{' '.join(str(error).split())[:160]}): it is damaged; resume from another "
                f"checkpoint, or start anew with model.weights={source} and another output_dir"
            ) from None

    def _take_over(self, checkpoint: Checkpoint) -> None:
        state, rank = checkpoint.training, self.world.rank
        self.step, self.skipped = checkpoint.step, state["skipped"]
        self.saved_step, self.pages_seen = self.step, state["pages_seen"]
        self.training.load_state(state, checkpoint.weights)
        changed = changed_settings(checkpoint.config, self.config)
        if changed and self.world.is_main:
            shown = ", ".join(f"{key} {old} → {new}" for key, (old, new) in changed.items())
            log.info("resumed with other settings: %s", shown)
        if len(state["random"]) == self.world.size:
            restore_random_state(state["random"][rank], self.device)
            return
        seed_everything(self.config.seed + rank + 1_000_003 * self.step)
        if self.world.is_main:
            log.warning(
                "the run had %d processes and now has %d: it goes on from its weights and its "
                "place in the data, but with other random numbers",
                len(state["random"]),
                self.world.size,
            )

    def stop(self) -> None:
        """End the run after the step that is under way, or the next one, as after its last one: in
        all processes, whichever calls this. For callbacks."""
        self._asked_to_stop = True

    @property
    def done(self) -> bool:
        """Whether no step follows."""
        return self.stopping or self.step >= self.config.solver.steps

    def fit(self) -> Path:
        """Train to the last step, with evaluations and checkpoints on the way.

        Returns:
            The path of `last.pth`.
        """
        self._announce()
        with contextlib.ExitStack() as stack:
            stack.enter_context(logging_redirect_tqdm())
            if self.world.is_main:
                self.run_log = RunLog(self.folder, self.config.solver.steps, self.step, self.device)
                stack.callback(self.run_log.close)
            stack.enter_context(self.signals)
            batches = self._batches(iter(self.loader))
            stack.callback(self._close_loader, batches)
            if self._evaluation_due() and not self._evaluated():
                self._evaluate()
            self._tell("before_run")
            self._agree_to_stop()
            while not self.done:
                try:
                    self._tell("before_step")
                    result = self._train_step(batches)
                except (InputError, torch.OutOfMemoryError):
                    self._rescue()
                    raise
                self._tell("after_step", result)
                self._after_step(result)
            self._tell("after_run")
        return self.folder / LAST

    def _tell(self, event: str, *about: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self, *about)

    def _agree_to_stop(self) -> None:
        """Settle among all processes whether one was asked to stop; every process calls this."""
        if self.callbacks:
            asked = distributed.gather(self._asked_to_stop, self.world)
            self.stopping = self.stopping or any(asked)

    def _batches(self, loaded: Iterator[Batch]) -> Generator[Batch, None, None]:
        while True:
            began = time.perf_counter()
            batch = next(loaded)
            self.waited += time.perf_counter() - began
            if self.step == 0 and self.world.is_main:
                self._draw_first(batch)
            yield batch

    def _close_loader(self, batches: Generator[Batch, None, None]) -> None:
        """End the loader's processes now. Left to the garbage collector (a traceback may keep the
        loader alive), each of them would be waited for for seconds."""
        batches.close()
        del self.loader

    def _train_step(self, batches: Iterator[Batch]) -> StepResult:
        began, solver = time.perf_counter(), self.config.solver
        micro_batches = itertools.islice(batches, solver.grad_accum_steps)
        result = self.training(
            self.step, micro_batches, lambda: self.signals.received, lambda: self._asked_to_stop
        )
        self.step += 1
        self.window += 1
        self.pages_seen += solver.batch_size
        self.seconds += time.perf_counter() - began
        self.signal = result.signal
        if result.reported:
            self._leave_out(result.causes)
        return result

    def _leave_out(self, causes: list[str]) -> None:
        """Count a step that was left out; stop the run where the config says so."""
        self.skipped += 1
        parts = distributed.gather(causes, self.world)
        found = f"step {self.step}: {'; '.join(cause for part in parts for cause in part)}"
        if self.config.solver.non_finite == "stop":
            self._stop(found)
        if self.world.is_main:
            log.warning("%s: left out (%d so far)", found, self.skipped)

    def _after_step(self, result: StepResult) -> None:
        solver = self.config.solver
        alone = self.world.size == 1
        self.stopping = result.stop or (alone and self._asked_to_stop)
        done = self.done
        if self.run_log is not None:
            self.run_log.advance()
        if self.step % solver.log_every == 0 or done:
            self._log()
        if alone:
            self.signal = self.signal or self.signals.received
        if self.signal and not done:
            raise Interrupted(self.signal, self.step, self._save(numbered=False))
        regular, due = self.step % solver.checkpoint_every == 0, self._evaluation_due()
        if regular or done or due:  # an error in the evaluation must not cost the steps before it
            self._save(numbered=regular)
        if due:
            self._evaluate()

    def _stop(self, found: str) -> NoReturn:
        path = self._save(numbered=False)
        raise InputError(
            f"{found}. The weights are as before this step, saved in {path}. Look at these pages "
            "(lmv3det check), lower solver.lr, or set solver.non_finite=skip"
        )

    def _log(self) -> None:
        """Mean losses since the last line, over all processes, and the speed."""
        means = self.training.take_means()
        scaler = self.training.scaler
        if scaler.is_enabled() and scaler.get_scale() < _MIN_LOSS_SCALE:
            self._stop(
                f"step {self.step}: the gradients are not finite at any loss scale, down to "
                f"{scaler.get_scale():.1e}; precision=bf16 or fp32 may help"
            )
        if self.run_log is not None and means and self.window:
            values: dict[str, float | int] = {
                "lr": max(group["lr"] for group in self.training.optimizer.param_groups),
                **means,
                "total": sum(means[name] for name in self.training.names),
                "pages_per_second": self.window * self.config.solver.batch_size / self.seconds,
                "data_wait": self.waited / self.seconds,
                "memory_gib": memory_gib(self.device),
                "skipped": self.skipped,
            }
            if scaler.is_enabled():
                values["loss_scale"] = scaler.get_scale()
            self.run_log.log_step(self.step, values)
        self.seconds, self.waited, self.window = 0.0, 0.0, 0

    def _evaluation_due(self) -> bool:
        every = self.config.solver.evaluate_every
        regular = every > 0 and self.step > 0 and self.step % every == 0
        return self.val_data is not None and (regular or self.done)

    def _evaluated(self) -> bool:
        """Whether an earlier part of the run has evaluated this step; notes its best AP too."""
        done = False
        if self.world.is_main and self.step:
            entries = [e for e in read_entries(self.folder) if "evaluation" in e]
            done = any(e["step"] == self.step for e in entries)
        return distributed.from_main(done, self.world)

    def _evaluate(self) -> None:
        from lmv3det.evaluation.detector import evaluate_detector

        assert self.val_data is not None
        self._tell("before_evaluation")
        began = time.perf_counter()
        model = self.training.evaluated
        distributed.broadcast_buffers(model, self.world)
        with same_randomness(self.device):
            loader = build_test_loader(
                self.config,
                self.val_data,
                self.page_tokenizer,
                rank=self.world.rank,
                world_size=self.world.size,
            )
            self.signals.shield(loader)
            evaluation = evaluate_detector(
                model,
                self.val_data,
                loader,
                self.categories,
                self.device,
                mask_threshold=self.config.test.mask_threshold,
                precision=self.config.precision,
            )
            del loader  # its processes end here, not when garbage is collected
        if evaluation is not None:
            self._keep_evaluation(evaluation, time.perf_counter() - began)
        self._tell("after_evaluation", None if evaluation is None else evaluation.metrics)
        distributed.barrier(self.world)
        self._agree_to_stop()

    def _keep_evaluation(self, evaluation: Evaluation, seconds: float) -> None:
        from lmv3det.visualization.curves import draw_training
        from lmv3det.visualization.training import draw_validation

        assert self.run_log is not None and self.val_data is not None
        scores = evaluation.metrics["bbox"]
        found = scores["AP"] if scores["AP"] is not None else -1.0
        if self.best is None or found > self.best:
            self.best = found
            save_best(self.folder, self._content({}))
        self.run_log.log_evaluation(self.step, evaluation.metrics, seconds)
        log.info(
            "step %d: bbox AP %.2f, AP50 %.2f (best AP %.2f)",
            self.step,
            found,
            scores["AP50"] or 0.0,
            self.best,
        )
        pictures = self.folder / "pictures"
        draw_validation(pictures / f"step_{self.step}", self.val_data, evaluation.detections)
        draw_training(read_entries(self.folder), pictures / "curves.png")

    def _content(self, training: dict[str, Any]) -> Checkpoint:
        files = self.page_tokenizer.files() if self.page_tokenizer is not None else {}
        weights = self.training.evaluated.state_dict()
        return Checkpoint(weights, self.config, self.categories, files, self.step, training)

    def _save(self, numbered: bool) -> Path:
        """Write `last.pth` (every process calls this; the first one writes)."""
        distributed.broadcast_buffers(self.training.model, self.world)
        training = {
            **self.training.state(),
            "random": distributed.gather(random_state(self.device), self.world),
            "pages_seen": self.pages_seen,
            "skipped": self.skipped,
        }
        if self.world.is_main:
            content = self._content(training)
            self._tell("before_save", content)
            keep = self.config.solver.keep_last
            save_last(self.folder, content, keep=keep, number=numbered)
        distributed.barrier(self.world)
        self.saved_step = self.step
        self._tell("after_save", self.folder / LAST)
        return self.folder / LAST

    def _rescue(self) -> None:
        """Save what was reached before a page that cannot be read, or a page too large, if this is
        the only process (several would have to agree; their last checkpoint has to do)."""
        if self.world.size == 1 and self.step > self.saved_step:
            log.warning("the run up to step %d is saved in %s", self.step, self._save(False))

    def _announce(self) -> None:
        """Write the config, and say what is about to happen."""
        if not self.world.is_main:
            return
        self.best = _best_so_far(self.folder) if self.step else None
        with replacing(self.folder / "config.yaml") as path:
            path.write_text(to_yaml(self.config), encoding="utf-8")
        solver, training = self.config.solver, self.training
        parameters = sum(p.numel() for p in training.parameters)
        log.info(
            "%s on %s: %.1f million parameters, %d classes, %d pages; a step has %d pages = "
            "%d process(es) × %d micro-batch(es) × %d",
            f"going on from step {self.step}" if self.step else "a new run",
            describe(self.device, training.precision),
            parameters / 1e6,
            len(self.categories),
            len(self.loader.dataset),  # type: ignore[arg-type]
            solver.batch_size,
            self.world.size,
            solver.grad_accum_steps,
            solver.batch_size // (self.world.size * solver.grad_accum_steps),
        )
        if training.frozen:
            log.info(
                "%.1f million more are not trained %s (solver.freeze)",
                sum(p.numel() for p in training.frozen) / 1e6,
                "at all" if solver.freeze_steps is None else f"for {solver.freeze_steps} steps",
            )
        if self.device.type == "cpu" and parameters > _LARGE_ON_CPU:
            log.warning(
                "%.0f million parameters on a CPU: a step takes minutes and up to 17 GB, and a "
                "signal waits for its end; --size tiny trains the same system small, --config "
                "finetune starts from the model of the package",
                parameters / 1e6,
            )
        if training.scaler.is_enabled():
            log.info(
                "float16: steps whose gradients overflow are left out while the loss scale is "
                "found, the first ones mostly"
            )

    def _draw_first(self, batch: Batch) -> None:
        from lmv3det.visualization.training import draw_batch

        path = self.folder / "pictures" / "train_batch.png"
        if not path.exists():
            given = self.config.input
            draw_batch(path, batch, self.categories, given.pixel_mean, given.pixel_std)


def _best_so_far(folder: Path) -> float | None:
    """The AP of `best.pth`, as metrics.jsonl has it; None without one."""
    if not (folder / BEST).is_file():
        return None
    entries = [e["evaluation"]["bbox"]["AP"] for e in read_entries(folder) if "evaluation" in e]
    return max((-1.0 if ap is None else ap for ap in entries), default=None)
