"""Weights that follow from their names, so that arrays can be compared without a checkpoint.

The rule is that of the arrays in tests/parity (its README.md): unit normal numbers, seeded by the
name, times a factor that keeps the layer's output of ordinary size.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

_TABLES = {"cls_token": 0.5, "pos_embed": 1.0}
"""Ending → factor, for what is looked up or added."""

_GAINS = (
    ("patch_embed.proj", 3.0),
    (".fpn1.", 2.0),
    (".fpn2.", 2.0),
    ("fpn_output2", 0.5),
    ("fpn_output4", 1.5),
    ("fpn_output5", 3.0),
    ("attention.self.query", 1.5),
    ("attention.self.key", 1.5),
    ("attention.output.dense", 0.5),
    ("intermediate.dense", 1.4),
    ("output.dense", 0.5),
    ("anchor_deltas", 0.2),
    ("bbox_pred", 1.0),
    ("objectness_logits", 2.0),
    ("cls_score", 1.5),
    ("box_head.", 1.4),
    ("rpn_head.conv", 1.4),
)
"""Part of a name → gain of a matrix or kernel; the first that fits counts."""


def weights_by_name(shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """The weights of an image-only detector without mask head.

    Args:
        shapes: detectron2's name → shape, floating-point entries alone.

    Returns:
        Name → float64 tensor.
    """
    return {name: torch.from_numpy(_value(name, tuple(shape))) for name, shape in shapes.items()}


def _value(name: str, shape: tuple[int, ...]) -> np.ndarray:
    noise = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    if name.endswith("running_mean"):
        return 0.1 * noise
    if name.endswith("running_var"):
        return 1 + 0.1 * np.abs(noise)
    for ending, factor in _TABLES.items():
        if name.endswith(ending):
            return factor * noise
    if noise.ndim <= 1:
        return 0.1 * noise if name.endswith("bias") else 1 + 0.1 * noise
    gain = next((gain for part, gain in _GAINS if part in name), 1.0)
    return noise * (gain / math.sqrt(math.prod(shape[1:])))
