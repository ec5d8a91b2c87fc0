"""What the processes of an evaluation tell each other."""

from __future__ import annotations

from typing import Any

from lmv3det.errors import InputError


def rank_and_size() -> tuple[int, int]:
    """The number of this process, and how many there are; (0, 1) without torch.distributed."""
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def raise_together(failure: str) -> None:
    """Raise the first failure in every process, so that none waits for another for ever.

    Args:
        failure: of this process; empty where all is well.

    Raises:
        InputError: a process has a failure.
    """
    import torch.distributed as dist

    failures: list[Any] = [failure] * rank_and_size()[1]
    if len(failures) > 1:
        dist.all_gather_object(failures, failure)
    for found in filter(None, failures):
        raise InputError(found)


def gather(value: Any) -> list[Any] | None:
    """The values of all processes in the first, None in the others."""
    import torch.distributed as dist

    rank, world_size = rank_and_size()
    if world_size == 1:
        return [value]
    values: list[Any] | None = [None] * world_size if rank == 0 else None
    dist.gather_object(value, values)
    return values
