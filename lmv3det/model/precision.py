"""Types of numbers under autocast."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """`x` in float32, or in float64 where it is: for softmax, losses and sums under autocast.

    Args:
        x: floating point, of any shape.
    """
    return x.to(torch.promote_types(x.dtype, torch.float32))
