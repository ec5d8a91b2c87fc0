"""Where to compute, and in which precision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmv3det.errors import InputError

if TYPE_CHECKING:
    import torch

PRECISIONS = {"fp32": None, "bf16": "bfloat16", "fp16": "float16"}
"""Setting → autocast's dtype."""


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """The device that `auto`, `cpu`, `cuda`, `cuda:N` or `mps` stands for.

    `auto` and `cuda` give every process of a host the GPU of its local rank.

    Raises:
        InputError: no such device here.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            name = "cuda"
        else:
            name = "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda", "mps"):
        raise InputError(f"device is {name!r}; it must be auto, cpu, cuda, cuda:N or mps")
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise InputError(
                f"device is {name!r}, but torch sees no CUDA GPU", setting="device=cpu"
            )
        index = local_rank if device.index is None else device.index
        if index >= torch.cuda.device_count():
            raise InputError(
                f"device is {name!r}: process {local_rank} of this host asks for GPU {index}, but "
                f"there are {torch.cuda.device_count()}; start at most as many processes "
                "(torchrun --nproc_per_node), or set device"
            )
        return torch.device("cuda", index)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise InputError("device is 'mps', which this machine does not have", setting="device=cpu")
    return device


def choose_precision(name: str, device: torch.device | str) -> torch.dtype | None:
    """The dtype of autocast that the setting `precision` stands for; None for float32.

    `auto` is bfloat16 on a CUDA GPU that computes in it, float16 on another one, and float32 on
    every other device. Training, evaluation and prediction all choose by this function.

    Raises:
        InputError: no such precision.
    """
    import torch

    device = torch.device(device)
    if name == "auto":
        if device.type != "cuda":
            return None
        return torch.bfloat16 if torch.cuda.is_bf16_supported(False) else torch.float16
    if name not in PRECISIONS:
        raise InputError(f"precision is {name!r}; it must be auto, {', '.join(PRECISIONS)}")
    dtype = PRECISIONS[name]
    return None if dtype is None else getattr(torch, dtype)


def autocast(device: torch.device | str, precision: str | torch.dtype | None) -> torch.autocast:
    """The context of every forward pass: mixed precision, or none.

    Args:
        device: where the model is.
        precision: the setting (`auto`, `fp32`, `bf16`, `fp16`), or what `choose_precision` gave.
    """
    import torch

    if isinstance(precision, str):
        precision = choose_precision(precision, device)
    kind = torch.device(device).type
    return torch.autocast(kind, dtype=precision, enabled=precision is not None)


def describe(device: torch.device | str, precision: torch.dtype | None) -> str:
    """Device and precision in words, such as `cuda:0 in bfloat16`."""
    return f"{device} in {str(precision or 'float32').removeprefix('torch.')}"
