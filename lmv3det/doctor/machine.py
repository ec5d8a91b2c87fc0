"""Where the commands compute: device, precision, threads, allocator, shared memory."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from lmv3det.doctor.findings import Finding

ALLOCATOR = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000"}
"""Variables by which glibc keeps large blocks, instead of giving them back after every layer."""

OTHER_ALLOCATORS = ("jemalloc", "tcmalloc", "mimalloc")


def check_device(device: str, precision: str) -> Iterator[Finding]:
    """The device and precision of the commands, by the functions that they call.

    Args:
        device: the setting: auto, cpu, cuda, cuda:N or mps.
        precision: the setting: auto, fp32, bf16 or fp16.
    """
    import torch

    from lmv3det.device import choose_device, choose_precision, describe

    chosen = choose_device(device)
    text = describe(chosen, choose_precision(precision, chosen))
    if chosen.type == "cuda":
        gpu = torch.cuda.get_device_properties(chosen)
        text += f" ({gpu.name}, {gpu.total_memory / 2**30:.0f} GiB)"
    if chosen.type == "cpu" and not torch.cuda.is_available() and _has_nvidia_card():
        yield Finding(
            "device",
            f"{text}, because this torch ({torch.__version__}) does not see the NVIDIA GPU",
            "advice",
            "check the driver with nvidia-smi, and install a torch with CUDA (pytorch.org)",
        )
    else:
        yield Finding("device", text)


def check_threads(device: str) -> Iterator[Finding]:
    """Whether torch has as many threads as there are cores for it, and glibc keeps its blocks."""
    import torch

    from lmv3det.data.loader import usable_cores
    from lmv3det.device import choose_device

    threads, cores = torch.get_num_threads(), usable_cores()
    text = f"{threads} of torch, for {cores} usable cores"
    if threads > cores:
        yield Finding("threads", text, "advice", f"export OMP_NUM_THREADS={cores}")
    elif threads < cores and choose_device(device).type == "cpu":
        fix = f"export OMP_NUM_THREADS={cores}, unless other work needs the cores"
        yield Finding("threads", text, "advice", fix)
    else:
        yield Finding("threads", text)
    if choose_device(device).type != "cpu" or platform.libc_ver()[0] != "glibc":
        return
    preloaded = [a for a in OTHER_ALLOCATORS if a in os.environ.get("LD_PRELOAD", "")]
    missing = [f"{name}={value}" for name, value in ALLOCATOR.items() if name not in os.environ]
    if preloaded:
        yield Finding("allocator", preloaded[0])
    elif missing:
        text = "glibc gives large blocks back after every layer, which costs time on a CPU"
        yield Finding("allocator", text, "advice", f"export {' '.join(missing)}")
    else:
        yield Finding("allocator", "glibc keeps large blocks")


def check_shared_memory(folder: Path = Path("/dev/shm")) -> Iterator[Finding]:
    """Whether the batches that the loader's processes hand over fit in shared memory."""
    from lmv3det.config import Config
    from lmv3det.data.loader import default_workers

    if not folder.is_dir():
        yield Finding("shared memory", "of the system's own kind")
        return
    given = Config().input
    page = 3 * max(given.min_size_train) * given.max_size_train
    pages = default_workers() * _PREFETCHED * _BATCH
    needed = pages * page / 2**20
    free = shutil.disk_usage(folder).free / 2**20
    text = (
        f"{free:,.0f} MiB free; {default_workers()} loader processes with batches of {_BATCH} "
        f"pages hold up to {needed:,.0f} MiB"
    )
    if free < needed:
        fix = "start the container with --shm-size=2g or --ipc=host, or set data.workers=0"
        yield Finding("shared memory", text, "advice", fix)
    else:
        yield Finding("shared memory", text)


_PREFETCHED = 2
"""Batches that a loader process makes ahead: the default of torch's DataLoader."""
_BATCH = 4


def _has_nvidia_card() -> bool:
    return Path("/proc/driver/nvidia/gpus").is_dir() or shutil.which("nvidia-smi") is not None
