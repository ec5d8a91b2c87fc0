"""Document layout detection with LayoutLMv3 in plain PyTorch.

The names below are imported when first used, so that `import lmv3det` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lmv3det.checkpoint.file import load_checkpoint
    from lmv3det.config import load_config
    from lmv3det.engine.callbacks import Callback
    from lmv3det.engine.run import train
    from lmv3det.inference.detector import Detector
    from lmv3det.model.detector import build_detector

__version__ = "0.1.0"
__all__ = ["Callback", "Detector", "build_detector", "load_checkpoint", "load_config", "train"]

_HOMES = {
    "Callback": "lmv3det.engine.callbacks",
    "Detector": "lmv3det.inference.detector",
    "build_detector": "lmv3det.model.detector",
    "load_checkpoint": "lmv3det.checkpoint.file",
    "load_config": "lmv3det.config",
    "train": "lmv3det.engine.run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
