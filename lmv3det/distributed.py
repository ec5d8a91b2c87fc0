"""One process or several: ranks, devices and the few collectives that training needs.

`torchrun` sets RANK, WORLD_SIZE and LOCAL_RANK; without them there is one process. Processes on
CUDA talk over nccl, on a CPU over gloo.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lmv3det.device import choose_device
from lmv3det.errors import InputError

log = logging.getLogger(__name__)
T = TypeVar("T")
_LONG = datetime.timedelta(days=7)
_LOST = (
    "Connection closed by peer",
    "Connection reset by peer",
    "Broken pipe",
    "connectFullMesh failed",
    "NCCL communicator was aborted",
    "remote process exited",
)
"""Signs of a lost connection in messages of gloo and nccl."""
_BLOCK = 1 << 26
"""Bytes of a file that are sent at a time."""


@dataclass(frozen=True)
class World:
    """This process among all.

    Attributes:
        rank: number of this process, from 0.
        size: number of processes.
        device: where this process computes.
        waiting: a group whose exchanges may take days: for what process 0 does while the others
            wait; None for one process.
    """

    rank: int
    size: int
    device: torch.device
    waiting: Any = None

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0


@contextmanager
def start(device_name: str, timeout: float = 30.0) -> Iterator[World]:
    """Join the other processes, if `torchrun` started any, and leave them at the end.

    Args:
        device_name: the setting `device`.
        timeout: minutes that an exchange between processes may take; 0 or less is refused.

    Raises:
        InputError: the device cannot be used.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    device = choose_device(device_name, local_rank)
    if size > 1 and device.type == "cuda" and device_name.startswith("cuda:"):
        raise InputError(
            f"device is {device_name!r} with {size} processes, which would share one GPU; set "
            "device=cuda"
        )
    if device.type == "cuda":
        torch.cuda.set_device(device)
    world = World(rank, size, device)
    if size == 1:
        yield world
        return
    if device.type == "mps":
        raise InputError(f"device mps with {size} processes is not possible", setting="device=cpu")
    joined, allowed = dist.is_initialized(), datetime.timedelta(minutes=timeout)
    if not joined:
        on_cuda = device.type == "cuda"
        with _told_of_loss(world):
            dist.init_process_group(
                "cpu:gloo,cuda:nccl" if on_cuda else "gloo",
                timeout=allowed,
                device_id=device if on_cuda else None,
                **_store(world, allowed),
            )
    # The group gets its long timeout only when all are in it: a process that dies before would be
    # waited for as long. Older versions of torch cannot change it.
    can_change = hasattr(dist, "set_timeout")
    waiting: Any = dist.new_group(backend="gloo", timeout=allowed if can_change else _LONG)
    if can_change:
        dist.set_timeout(_LONG, waiting)
    world = dataclasses.replace(world, waiting=waiting)
    if joined:
        yield world
        return
    try:
        with _told_of_loss(world):
            yield world
            barrier(world)  # process 0 may still score or write
    except BaseException:
        # With nccl, ending the group waits for processes that may be in an exchange with this one,
        # and the error would never be shown. The launcher ends them once this process has ended.
        if device.type != "cuda":
            dist.destroy_process_group()
        raise
    dist.destroy_process_group()


def _store(world: World, timeout: datetime.timedelta) -> dict[str, Any]:
    """Where processes meet after torchrun has started them again on one host: torch (2.14) keeps
    the store of the first try, with the addresses of processes that are gone. On several hosts the
    tries are not counted alike, and docs/hosts.md says what to set instead."""
    tries = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    if tries == "0" or os.environ.get("GROUP_WORLD_SIZE") != "1":
        return {}
    store, rank, size = next(iter(dist.rendezvous("env://", timeout=timeout)))
    return {
        "store": dist.PrefixStore(f"restart{tries}", store),
        "rank": rank,
        "world_size": size,
    }


@contextmanager
def _told_of_loss(world: World) -> Iterator[None]:
    """A lost connection to another process in one line: what went wrong is said where it did.

    Raises:
        InputError: the connection to another process was lost.
    """
    try:
        yield
    except RuntimeError as error:  # of gloo, nccl and their store; torch has no class for it
        text = str(error)
        if not any(sign in text for sign in _LOST):
            raise
        raise InputError(
            f"process {world.rank} of {world.size} lost another one, which has ended: see what "
            "that one said"
        ) from None


def wrap(model: nn.Module, world: World) -> nn.Module:
    """The model as it is trained: itself, or in DistributedDataParallel.

    Every parameter must be visited in each backward pass (`lmv3det.engine.optim.reach_all`).
    """
    if world.size == 1:
        return model
    wrapped = DistributedDataParallel(
        model,
        device_ids=[world.device.index] if world.device.type == "cuda" else None,
        gradient_as_bucket_view=True,
    )
    _lay_buckets(wrapped)
    return wrapped


def _lay_buckets(wrapped: DistributedDataParallel) -> None:
    """A backward pass of zeros, after which DDP lays its buckets anew, in the order in which this
    pass reaches the parameters: the last first.

    DDP does so once, after its first backward pass. Gradients of more than two processes are summed
    in an order that depends on the buckets, so a run that goes on would have its first step in
    others than the run that never stopped.
    """
    model: Any = wrapped.module

    def zero() -> Tensor:
        # Autograd takes the youngest node first.
        return torch.stack([p.sum() * 0 for p in model.parameters() if p.requires_grad]).sum()

    model.forward = zero  # in place of the class' own, for this pass
    try:
        wrapped().backward()
    finally:
        del model.forward
    wrapped.zero_grad(set_to_none=True)


def synchronise_batch_norm(model: nn.Module, world: World) -> nn.Module:
    """BatchNorm over the pages of all processes, where several train on CUDA.

    torch has no SyncBatchNorm for the CPU: there each process normalises with its own pages, the
    running values are those of process 0, and a warning says so.
    """
    own = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())
    if world.size == 1 or not own:
        return model
    if world.device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    if world.is_main:
        log.warning(
            "BatchNorm is not synchronised between processes on a CPU: each normalises with its "
            "own pages (neck.norm=frozen makes the number of processes irrelevant)"
        )
    return model


def broadcast_buffers(model: nn.Module, world: World) -> None:
    """Give all processes the buffers of process 0 (running values of an unsynchronised norm)."""
    if world.size > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)


def reduce_max(values: Tensor, world: World) -> Tensor:
    """The largest of each value over all processes (in place)."""
    if world.size > 1:
        dist.all_reduce(values, dist.ReduceOp.MAX)
    return values


def reduce_sum(values: Tensor, world: World) -> Tensor:
    """The sum of each value over all processes (in place)."""
    if world.size > 1:
        dist.all_reduce(values)
    return values


def current(device: torch.device | str) -> World:
    """The processes that are joined already; one without torch.distributed.

    Args:
        device: where this process computes.
    """
    if dist.is_available() and dist.is_initialized():
        return World(dist.get_rank(), dist.get_world_size(), torch.device(device))
    return World(0, 1, torch.device(device))


def gather(value: T, world: World) -> list[T]:
    """The values of all processes by rank, in every process."""
    if world.size == 1:
        return [value]
    values: list[Any] = [None] * world.size
    dist.all_gather_object(values, value)
    return values


def gather_to_main(value: T, world: World) -> list[T] | None:
    """The values of all processes by rank in process 0, None in the others."""
    if world.size == 1:
        return [value]
    values: list[Any] | None = [None] * world.size if world.is_main else None
    dist.gather_object(value, values)
    return values


def from_main(value: T, world: World) -> T:
    """Process 0's value, in every process."""
    if world.size == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values, 0)
    return values[0]


def send_file(path: Path, copy: Path | None, owner: int, world: World) -> None:
    """Send a file of one process to the others, some megabytes at a time. Every process calls this.

    Args:
        path: the file, in process `owner`.
        copy: where this process writes it; None: it has no need of it.
        owner: rank of the process that has the file.
        world: this process among all.

    Raises:
        InputError: a process cannot read or write it.
    """
    with contextlib.ExitStack() as stack:
        with failing_together(world):
            reader = stack.enter_context(open(path, "rb")) if world.rank == owner else None
            writer = None if copy is None else stack.enter_context(open(copy, "wb"))
        while True:
            with failing_together(world):
                block = reader.read(_BLOCK) if reader is not None else b""
            size = torch.tensor(len(block))
            dist.broadcast(size, owner)
            if not size:
                return
            content = torch.empty(int(size), dtype=torch.uint8)
            if reader is not None:
                content = torch.frombuffer(bytearray(block), dtype=torch.uint8)
            dist.broadcast(content, owner)
            with failing_together(world):
                if writer is not None:
                    writer.write(content.numpy().tobytes())


def barrier(world: World) -> None:
    """Wait for all processes, as long as it takes."""
    if world.size > 1:
        dist.barrier(group=world.waiting)


@contextmanager
def failing_together(world: World) -> Iterator[None]:
    """An `InputError` or `OSError` of one process becomes an `InputError` in every one, so that
    none waits for another. Every process must enter and leave this.

    Raises:
        InputError: the first process that failed says why.
    """
    failure = ""
    try:
        yield
    except (InputError, OSError) as error:
        if world.size == 1:
            raise
        failure = str(error) or type(error).__name__
    for found in filter(None, gather(failure, world)):
        raise InputError(found)
