"""What a run calls on its way: a base class for callbacks of your own, and early stopping."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lmv3det.engine.log import read_entries

if TYPE_CHECKING:
    from lmv3det.checkpoint.file import Checkpoint
    from lmv3det.config import Config
    from lmv3det.data.categories import Category
    from lmv3det.distributed import World
    from lmv3det.engine.step import StepResult, TrainStep

log = logging.getLogger(__name__)


class Run(Protocol):
    """What a callback is handed, which is a `Trainer`.

    Attributes:
        step: steps done.
        config: the settings of the run.
        folder: where it writes.
        world: this process among all.
        training: the model (`training.model`) with its optimizer.
        categories: the model's classes in the order of class indices.
    """

    step: int
    config: Config
    folder: Path
    world: World
    training: TrainStep
    categories: list[Category]

    def stop(self) -> None:
        """End the run after the step that is under way, or the next one, as after its last one."""


class Callback:
    """Does something at certain moments of a run; override the methods that you need.

    Every process of a run calls its callbacks, and `trainer.world.is_main` tells the first one.
    What a callback raises ends the run with its traceback.
    """

    def before_run(self, trainer: Run) -> None:
        """Before the first step; `trainer.step` is that of the checkpoint where a run goes on."""

    def before_step(self, trainer: Run) -> None:
        """Before step number `trainer.step` (from 0); its pages are not loaded yet."""

    def after_step(self, trainer: Run, result: StepResult) -> None:
        """After a step, of which `trainer.step` are done now; `result` tells how it went."""

    def before_evaluation(self, trainer: Run) -> None:
        """Before the pages of `data.val` are evaluated with `trainer.training.evaluated`."""

    def after_evaluation(self, trainer: Run, metrics: dict[str, Any] | None) -> None:
        """After an evaluation.

        Args:
            trainer: the run.
            metrics: `{"bbox": {"AP": …, "per_class": …}, "segm": …}` in per cent in the first
                process; None in the others.
        """

    def before_save(self, trainer: Run, checkpoint: Checkpoint) -> None:
        """Before `checkpoint` is written as last.pth, in the first process alone."""

    def after_save(self, trainer: Run, path: Path) -> None:
        """After last.pth was written to `path`; in every process."""

    def after_run(self, trainer: Run) -> None:
        """After the last step, evaluation and save; not after an error or a signal."""


class EarlyStopping(Callback):
    """Ends a run after evaluations without a better AP (`solver.patience`).

    They are read from metrics.jsonl, so that a run that goes on counts those before it too.

    Args:
        patience: how many evaluations without a better one end the run, 1 or more.
        kind: bbox or segm.
        metric: the score that counts, such as AP or AP50.
    """

    def __init__(self, patience: int, kind: str = "bbox", metric: str = "AP") -> None:
        self.patience, self.kind, self.metric = patience, kind, metric

    def before_run(self, trainer: Run) -> None:
        if trainer.step:
            self._check(trainer)

    def after_evaluation(self, trainer: Run, metrics: dict[str, Any] | None) -> None:
        self._check(trainer)

    def _check(self, trainer: Run) -> None:
        if not trainer.world.is_main:
            return
        entries = [e for e in read_entries(trainer.folder) if "evaluation" in e]
        found = [e["evaluation"].get(self.kind, {}).get(self.metric) for e in entries]
        scores = [-1.0 if score is None else score for score in found]
        if not scores:
            return
        best = scores.index(max(scores))
        if len(scores) - 1 - best >= self.patience:
            log.info(
                "%s %s was best at step %d (%.2f): the run ends, after %d evaluations without a "
                "better one (solver.patience)",
                self.kind,
                self.metric,
                entries[best]["step"],
                scores[best],
                self.patience,
            )
            trainer.stop()
