"""What a page costs in operations and bytes, and what GPUs can do by their makers' sheets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from lmv3det.config import Config
from lmv3det.model.detector import build_detector

SHEETS: dict[str, tuple[float, float, float]] = {
    "H200": (989, 67, 4800),
    "H100 PCIe": (756, 51, 2000),
    "H100": (989, 67, 3350),
    "A100-SXM4-40GB": (312, 19.5, 1555),
    "A100": (312, 19.5, 2039),
    "L40S": (362, 91.6, 864),
    "L4": (121, 30.3, 300),
    "A10": (125, 31.2, 600),
    "RTX 4090": (165, 82.6, 1008),
    "RTX 3090": (71, 35.6, 936),
    "RTX 2080 Ti": (54, 13.4, 616),
    "V100": (125, 15.7, 900),
    "T4": (65, 8.1, 320),
}
"""Part of a GPU's name → TFLOP/s of dense products in bfloat16 (float16 where a GPU has no
bfloat16; with float32 sums), TFLOP/s in plain float32, and GB/s of its memory. The first name that
fits counts."""


def sheet(name: str) -> tuple[float, float, float] | None:
    """The sheet of a GPU by its name; None for one that is not listed."""
    return next((numbers for part, numbers in SHEETS.items() if part in name), None)


@dataclass
class Cost:
    """Of one page's forward pass.

    Attributes:
        flops: of products, convolutions and attention; a multiplication with an addition is two.
        attention_flops: of these, the two products of attention.
        moved: bytes read and written if every operation reads its inputs and writes its output
            once (fused ones move fewer), in the width that `page_cost` was given.
        weights: number of weights.
    """

    flops: float
    attention_flops: float
    moved: float
    weights: int

    @property
    def training_flops(self) -> float:
        """Of forward and backward pass, by the usual rule: three times the forward pass."""
        return 3 * self.flops


def page_cost(config: Config, height: int, width: int, tokens: int = 0, itemsize: int = 2) -> Cost:
    """The cost of a page, counted on torch's meta device: nothing is computed.

    ROIAlign and suppression are left out: they are few operations of no matrix unit.

    Args:
        config: of the detector; 1000 proposals (or its `post_nms_test`) and 100 detections.
        height: of the padded input, pixels.
        width: likewise.
        tokens: of the page's text.
        itemsize: bytes of a number.
    """
    with torch.device("meta"):
        detector = build_detector(config).eval()
        images = torch.empty(1, 3, height, width)
        text: dict[str, Any] = {}
        if tokens and detector.backbone.text_embedding is not None:
            text["input_ids"] = torch.empty(1, tokens, dtype=torch.int64)
            text["text_boxes"] = torch.empty(1, tokens, 4, dtype=torch.int64)
        channels, size = config.neck.out_channels, config.roi.pool_size
        regions = torch.empty(config.rpn.post_nms_test, channels, size, size)
        found = torch.empty(100, channels, config.mask.pool_size, config.mask.pool_size)
    operations, attention, moved = FlopCounterMode(display=False), _Attention(), _Moved()
    with torch.no_grad(), operations, moved, attention:
        visual, _ = detector.backbone(images, **text)
        pyramid = detector.fpn(detector.pyramid(visual))
        detector.rpn.head(pyramid)
        for head, predictor in zip(
            detector.cascade.heads, detector.cascade.predictors, strict=True
        ):
            predictor(head(regions))
        if detector.mask_head is not None:
            for convolution in detector.mask_head.convs:
                found = convolution(found)
            detector.mask_head.predictor(detector.mask_head.deconv(found))
    return Cost(
        operations.get_total_flops() + attention.flops,
        attention.flops,
        (moved.numbers + attention.numbers) * itemsize,
        sum(p.numel() for p in detector.parameters()),
    )


class _Attention(TorchFunctionMode):
    """Counts attention by its formula, as a fused kernel computes it: no score matrix is moved."""

    def __init__(self) -> None:
        super().__init__()
        self.flops, self.numbers = 0.0, 0.0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not torch.nn.functional.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        query, key = args[0], args[1]
        self.flops += 4 * query.numel() * key.shape[-2]
        self.numbers += 2 * query.numel() + 2 * key.numel()
        return torch.empty_like(query)


class _Moved(TorchDispatchMode):
    """Sums the sizes of what operations read and write."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not (func.is_view or "empty" in func.__name__ or "as_strided" in func.__name__):
            tensors = [t for t in tree_leaves((args, kwargs, result)) if torch.is_tensor(t)]
            self.numbers += sum(t.numel() for t in tensors)
        return result
