"""Where to compute, and in which precision."""

from __future__ import annotations

import torch

from lmv3det.errors import InputError


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """The device that `auto`, `cpu`, `cuda`, `cuda:N` or `mps` stands for.

    `auto` and `cuda` give every process of a host the card of its local rank.

    Raises:
        InputError: no such device here.
    """
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
            raise InputError(f"device is {name!r}, but torch sees no CUDA card; set device=cpu")
        index = local_rank if device.index is None else device.index
        if index >= torch.cuda.device_count():
            raise InputError(
                f"device is {name!r}: process {local_rank} of this host asks for card {index}, but "
                f"there are {torch.cuda.device_count()}; start at most as many processes "
                "(torchrun --nproc_per_node), or set device"
            )
        return torch.device("cuda", index)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise InputError("device is 'mps', which this machine does not have; set device=cpu")
    return device


def choose_precision(amp: str, device: torch.device) -> torch.dtype | None:
    """The dtype of autocast that `solver.amp` stands for; None for full precision."""
    if amp == "auto":
        if device.type != "cuda":
            return None
        return torch.bfloat16 if torch.cuda.is_bf16_supported(False) else torch.float16
    return {"off": None, "fp16": torch.float16, "bf16": torch.bfloat16}[amp]


def autocast(device: torch.device | str, precision: str | torch.dtype | None) -> torch.autocast:
    """The context of every forward pass: mixed precision, or none.

    Args:
        device: where the model is.
        precision: the setting (`auto`, `fp32`, `bf16`, `fp16`), or what `choose_precision` gave.
    """
    if isinstance(precision, str):
        precision = choose_precision(
            "off" if precision == "fp32" else precision, torch.device(device)
        )
    kind = torch.device(device).type
    return torch.autocast(kind, dtype=precision, enabled=precision is not None)
