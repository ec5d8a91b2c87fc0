"""From a config to a trained detector, in one process or several."""

from __future__ import annotations

import contextlib
import copy
import logging
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

import torch
from torch import nn

from lmv3det import distributed
from lmv3det.checkpoint.file import Checkpoint
from lmv3det.checkpoint.untrusted import named_code
from lmv3det.config import Config
from lmv3det.data.loader import build_train_loader
from lmv3det.distributed import World
from lmv3det.engine.callbacks import Callback, EarlyStopping
from lmv3det.engine.optim import build_optimizer
from lmv3det.engine.randomness import seed_everything
from lmv3det.engine.resume import check_same_model, read_resumable
from lmv3det.engine.run_files import LAST, checkpoints
from lmv3det.engine.setup import (
    build_model,
    check_files,
    micro_batch_size,
    read_data,
    run_page_tokenizer,
    set_steps,
    shorten_warmup,
    use_default_model,
)
from lmv3det.engine.step import TrainStep, prepare_model
from lmv3det.engine.trainer import Trainer
from lmv3det.errors import InputError
from lmv3det.files import lock_folder

log = logging.getLogger(__name__)


def train(
    config: Config,
    *,
    model: nn.Module | None = None,
    callbacks: Sequence[Callback] = (),
    resume: bool | str = False,
    or_start: bool = False,
    trust_code: bool = False,
) -> Path:
    """Train a detector. Under `torchrun`, every process calls this.

    Args:
        config: the settings; `output_dir`, `data.train.*` and, for evaluation, `data.val.*` name
            the files.
        model: a detector of your own in the place of the config's, on the CPU: in training mode it
            maps a `Batch` to losses by name, and its `predict(batch)` gives a page's `Detections`
            each. It is trained as it is: `model.weights` is not read. None: as the config says.
        callbacks: are called on the way; see `lmv3det.engine.callbacks.Callback`.
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
        trusted = trust_code or named_code(config).values()
        checkpoint = find_checkpoint(source, world, trusted, or_start) if resume else None
        try:
            trainer = build_trainer(
                config,
                world,
                checkpoint,
                source,
                model=model,
                callbacks=callbacks,
                trust_code=trust_code,
            )
            model = checkpoint = None  # the run has its own copy of what it needs
            return trainer.fit()
        except torch.OutOfMemoryError as error:
            raise InputError(
                f"{world.device} has too little memory ({' '.join(str(error).split())[:120]}): set "
                "backbone.gradient_checkpointing=true, a larger solver.grad_accum_steps (fewer "
                "pages at a time), or a smaller input.max_size_train and input.min_size_train"
            ) from None


def build_trainer(
    config: Config,
    world: World,
    checkpoint: Checkpoint | None = None,
    source: Path | None = None,
    *,
    model: nn.Module | None = None,
    callbacks: Sequence[Callback] = (),
    trust_code: bool = False,
) -> Trainer:
    """The trainer that a config describes.

    Args:
        config: the settings; `model.num_classes` and what depends on the number of pages are filled
            in.
        world: this process among all.
        checkpoint: the run to go on with, or None for a new one.
        source: the checkpoint's path.
        model: as for `train`.
        callbacks: as for `train`.
        trust_code: let the config that comes with `model.weights` name code.

    Raises:
        InputError: data, config or checkpoint cannot be used.
    """
    source = source or Path(config.output_dir) / LAST
    pages_per_batch = micro_batch_size(config, world.size)
    tokenizer = run_page_tokenizer(config, checkpoint)
    train_data, val_data = read_data(config, quiet=not world.is_main)
    set_steps(config, len(train_data))
    shorten_warmup(config, quiet=not world.is_main)
    categories = train_data.categories
    if checkpoint is not None:
        check_same_model(checkpoint, config, categories, source)
    seed_everything(config.seed)  # every process starts from the same weights
    if model is None:
        model = build_model(config, world, categories, checkpoint, source, trust_code=trust_code)
    else:
        _check_own(model, config, len(categories))
        if checkpoint is not None:
            _load_own(model, checkpoint, source)
    model = prepare_model(model, world)
    optimizer = build_optimizer(model, config.solver)
    training = TrainStep(model, optimizer, config.solver, world, config.precision)
    pages_seen = 0 if checkpoint is None else checkpoint.training["pages_seen"]
    loader = build_train_loader(
        config,
        train_data,
        tokenizer,
        rank=world.rank,
        world_size=world.size,
        pages_per_batch=pages_per_batch,
        start=pages_seen // (pages_per_batch * world.size),
        with_polygons=config.model.mask_on,
    )
    if config.solver.patience:
        callbacks = [EarlyStopping(config.solver.patience), *callbacks]
    trainer = Trainer(config, world, training, loader, categories, tokenizer, val_data, callbacks)
    if checkpoint is None:
        seed_everything(config.seed + world.rank)
    else:
        trainer.resume(checkpoint, source)
    return trainer


def _check_own(model: nn.Module, config: Config, classes: int) -> None:
    """See that a model of the user's has the classes of the data, as far as it says."""
    number = getattr(getattr(model, "cascade", None), "num_classes", classes)
    if number != classes:
        raise InputError(
            f"the model that was given has {number} classes, the annotations have {classes}"
        )
    if config.model.weights is not None:
        log.info("model.weights is not read: the model that was given is trained as it is")


def _load_own(model: nn.Module, checkpoint: Checkpoint, source: Path) -> None:
    """The weights of the run that goes on, in a model of the user's."""
    try:
        model.load_state_dict(checkpoint.training["raw_weights"] or checkpoint.weights)
    except RuntimeError as error:
        raise InputError(
            f"{source}: its weights are not those of the model that was given "
            f"({' '.join(str(error).split())[:200]})"
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
