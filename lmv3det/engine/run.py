"""From a config to a trained detector, in one process or several."""

from __future__ import annotations

import contextlib
import copy
import logging
import tempfile
from collections.abc import Collection
from pathlib import Path

import torch

from lmv3det import distributed
from lmv3det.checkpoint.file import Checkpoint
from lmv3det.checkpoint.untrusted import named_code
from lmv3det.config import Config
from lmv3det.distributed import World
from lmv3det.engine.setup import check_files, shorten_warmup, use_default_model
from lmv3det.engine.state import LAST, checkpoints, read_resumable
from lmv3det.engine.trainer import Trainer
from lmv3det.errors import InputError
from lmv3det.files import lock_folder

log = logging.getLogger(__name__)


def train(
    config: Config,
    *,
    resume: bool | str = False,
    or_start: bool = False,
    trust_code: bool = False,
) -> Path:
    """Train a detector. Under `torchrun`, every process calls this.

    Args:
        config: the settings; `output_dir`, `data.train.*` and, for evaluation, `data.val.*` name
            the files.
        resume: go on from `output_dir/last.pth`, or from the given checkpoint. Processes on hosts
            that do not have the file are sent it.
        or_start: with `resume`: begin where no host has the file, and take the newest where they
            differ, as a launcher wants that starts the same command again after a failure.
        trust_code: let the checkpoint that is resumed, or that `model.weights` names, have classes
            (`module:Class`) in its config that `config` does not name.

    Returns:
        The path of `last.pth`.

    Raises:
        InputError: data, config or checkpoint cannot be used; another run writes to the folder; a
            loss was not finite; the GPU's memory does not suffice.
        Interrupted: SIGTERM or SIGINT came; the state is saved.
    """
    config = copy.deepcopy(config)
    folder = Path(config.output_dir)
    source = folder / LAST if isinstance(resume, bool) else Path(resume)
    with (
        distributed.start(config.device, config.distributed_timeout) as world,
        contextlib.ExitStack() as stack,
    ):
        with distributed.failing_together(world):
            check_files(config)
            use_default_model(config)
            if world.is_main:
                _check_folder(folder, bool(resume))
                stack.enter_context(lock_folder(folder, "a training", ["pictures"]))
                shorten_warmup(config)
        config.solver.warmup_steps = distributed.from_main(config.solver.warmup_steps, world)
        trusted = trust_code or named_code(config).values()
        checkpoint = find_checkpoint(source, world, trusted, or_start) if resume else None
        try:
            trainer = Trainer(config, world, checkpoint, source, trust_code=trust_code)
            checkpoint = None  # the run has its own copy of what it needs
            return trainer.fit()
        except torch.OutOfMemoryError as error:
            raise InputError(
                f"{world.device} has too little memory ({' '.join(str(error).split())[:120]}): set "
                "backbone.gradient_checkpointing=true, a larger solver.grad_accum_steps (fewer "
                "pages at a time), or a smaller input.max_size_train and input.min_size_train"
            ) from None


def _check_folder(folder: Path, resume: bool) -> None:
    found = checkpoints(folder)
    if found and not resume:
        raise InputError(
            f"{folder}: holds a run already ({', '.join(p.name for p in found[:3])}): go on with "
            "it by --resume, or set another output_dir"
        )


def find_checkpoint(
    source: Path, world: World, trust_code: bool | Collection[str], or_start: bool
) -> Checkpoint | None:
    """The checkpoint to go on from: the same one in every process.

    Args:
        source: its path, which need not be there on every host.
        world: this process among all.
        trust_code: as for `load_checkpoint`.
        or_start: where no host has it, or they differ: see `train`.

    Returns:
        None where no host has it, with `or_start`.

    Raises:
        InputError: no host has it, they differ, or it cannot be read.
    """
    with distributed.failing_together(world):
        own = read_resumable(source, trust_code) if source.is_file() else None
    steps = distributed.gather(-1 if own is None else own.step, world)
    newest = max(steps)
    if newest < 0:
        if or_start:
            return None
        raise InputError(
            f"{source}: nothing to resume; start without --resume, or set output_dir to the run's"
        )
    owner = steps.index(newest)
    for rank, step in enumerate(steps):
        if step not in (-1, newest) and not or_start:
            raise InputError(
                f"{source}: is of step {step} where process {rank} runs, and of step {newest} "
                f"where process {owner} does: give all hosts the same file"
            )
    if min(steps) == newest:
        return own
    lacks = steps[world.rank] != newest
    with tempfile.TemporaryDirectory(prefix="lmv3det-") as temporary:
        copy = Path(temporary) / source.name
        distributed.send_file(source, copy if lacks else None, owner, world)
        with distributed.failing_together(world):
            return read_resumable(copy, trust_code) if lacks else own
