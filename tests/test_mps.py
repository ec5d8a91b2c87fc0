"""Apple's GPUs have no float64: what is widened is on the CPU by then."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from lmv3det.evaluation.detector import page_results
from lmv3det.inference.results import boxes_xywh, page_entries
from lmv3det.model.mask_head import MaskHead
from lmv3det.model.roi_pool import ROIPooler
from lmv3det.structures import Detections, Page


class OnMps(torch.Tensor):
    """A tensor that refuses float64 until it is moved to the CPU."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, given = func.__name__, (*args[1:], *(kwargs or {}).values())
        if name == "double" or (name in ("to", "type") and torch.float64 in given):
            raise TypeError("MPS has no float64")
        result = super().__torch_function__(func, types, args, kwargs)
        return result.as_subclass(torch.Tensor) if name == "cpu" else result


def test_results() -> None:
    found = Detections(
        torch.tensor([[1.0, 2, 11, 22]]).as_subclass(OnMps),
        torch.tensor([0.5]).as_subclass(OnMps),
        torch.tensor([0]).as_subclass(OnMps),
        (30, 20),
        torch.ones(1, 28, 28).as_subclass(OnMps),
        ["Text"],
        Page("page.png", 20, 30, 7),
    )
    assert boxes_xywh(found, 1) == [[1.0, 2.0, 10.0, 20.0]]
    assert page_entries(found)[0]["score"] == 0.5
    (result,) = page_results(found, [3], 0.5)
    assert result["bbox"] == [1.0, 2.0, 10.0, 20.0] and result["segmentation"]["size"] == [30, 20]


def test_mask_targets() -> None:
    head = MaskHead(ROIPooler(4), in_channels=4, dim=4, num_convs=1, num_classes=1)
    boxes = torch.tensor([[0.0, 0, 8, 8]]).as_subclass(OnMps)
    outline = [np.array([[0.0, 0], [8, 0], [8, 8], [0, 8]])]
    none = torch.zeros(1, dtype=torch.int64)
    pyramid = [torch.zeros(1, 4, 32 // 2**k, 32 // 2**k) for k in range(4)]
    loss = head.loss(pyramid, boxes, none, none, [outline])
    assert torch.isfinite(loss)
