"""Weights in and out: other people's formats, folders, and the start of a training.

`from_detectron2` and `to_detectron2` rename; `load_initial_weights` fills a model before training;
`save_pretrained` and `from_pretrained` write and read folders. Imports `checkpoint`, `model`,
`data`, `config` and what is below them.
"""

from __future__ import annotations

from lmv3det.checkpoint.folder import from_pretrained, save_pretrained
from lmv3det.convert.fit import load_initial_weights
from lmv3det.convert.parameter_names import from_detectron2, to_detectron2
from lmv3det.convert.report import LoadReport

__all__ = [
    "LoadReport",
    "from_detectron2",
    "from_pretrained",
    "load_initial_weights",
    "save_pretrained",
    "to_detectron2",
]
