"""Counts what would make the host wait for a GPU, on a machine without one."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

WAITS = {
    "aten._local_scalar_dense",
    "aten.equal",
    "aten.is_nonzero",
    "aten.nonzero",
    "aten.masked_select",
    "aten.bincount",
    "aten.histc",
    "aten.unique_dim",
    "aten._unique",
    "aten._unique2",
    "aten.unique_consecutive",
    "aten.repeat_interleave",
    "torchvision.nms",
}
"""Operations that read a size or a number back from the GPU."""
READS = {"tolist", "cpu", "numpy", "__array__"}
"""Methods of a tensor that copy it to the host."""


@contextmanager
def count_readings() -> Iterator[Counter[str]]:
    """How often each place of the package would wait: `module.function: operation` → times.

    An index that is a mask waits, as do a copy to the host, a tensor made on the GPU from numbers
    (`torch.tensor(…, device=…)`, `new_tensor`), and `.to(device)` without `non_blocking`.
    """
    found: Counter[str] = Counter()
    with _Functions(found), _Operations(found):
        yield found


class _Functions(TorchFunctionMode):
    def __init__(self, found: Counter[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        given = (*args[1:], *kwargs.values())
        to_device = any(isinstance(value, (torch.device, str)) for value in given)
        if (
            name in READS
            or name == "new_tensor"
            or (name in ("tensor", "as_tensor") and kwargs.get("device") is not None)
            or (name == "to" and to_device and not kwargs.get("non_blocking") and _by_hand())
        ):
            self.found[f"{_place()}: {name}"] += 1
        return func(*args, **kwargs)


class _Operations(TorchDispatchMode):
    def __init__(self, found: Counter[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func.overloadpacket).replace("::", ".")
        masks = name.startswith(("aten.index", "aten._index")) and any(
            torch.is_tensor(index) and index.dtype in (torch.bool, torch.uint8)
            for index in (args[1] if len(args) > 1 and isinstance(args[1], (list, tuple)) else ())
        )
        if name in WAITS or masks:
            self.found[f"{_place()}: {'mask as index' if masks else name.split('.')[1]}"] += 1
        return func(*args, **(kwargs or {}))


def _by_hand() -> bool:
    """Whether the function that is looked at was not called by torch's own code, which moves
    tensors to the device that they are on."""
    return not sys._getframe(2).f_globals.get("__name__", "").startswith("torch.")


def _place() -> str:
    """The innermost function of the package that is running."""
    frame = sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith("lmv3det."):
            return f"{module.rpartition('.')[2]}.{frame.f_code.co_name}"
        frame = frame.f_back  # type: ignore[assignment]
    return "elsewhere"
